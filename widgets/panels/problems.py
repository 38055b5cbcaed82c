"""The problems panel: the open problems as a table to search and filter, and a page for each, where it is started."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING, Any, get_args

from PySide6.QtCore import (
    QAbstractTableModel,
    QByteArray,
    QEvent,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QSortFilterProxyModel,
    Qt,
    QUrl,
)
from PySide6.QtGui import QDesktopServices, QGuiApplication, QKeyEvent, QResizeEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QSplitter,
    QStackedLayout,
    QTextBrowser,
    QTreeView,
    QVBoxLayout,
    QWidget,
)

from widgets.commands import Command
from widgets.docks import Panel
from widgets.elided_combo_box import ElidedComboBox
from widgets.elided_label import ElidedLabel
from widgets.panels import PANELS
from widgets.problem_report import ProblemReport
from widgets.project_edit import ProjectEdit, UndoKeys
from widgets.session import Session
from widgets.theme import set_icon, signal_colour
from workbench import problems
from workbench.problems import DIFFICULTIES, Problem
from workbench.project import ProblemState, Project, Status

if TYPE_CHECKING:
    from workbench.jobs.job import JobEvent

Index = QModelIndex | QPersistentModelIndex

COLUMNS = (
    ("No.", "Number; the original table prints 7.10 as 7.1", 46),
    ("Problem", "What is asked, in short", 330),
    ("Diff.", "Difficulty: B medium, C hard, D very hard", 44),
    ("Status", "How far you are; yours to set", 104),
    ("Sub-category", "Where the original list has it", 210),
    ("Currently working", "Who is working on it; yours to set", 150),
    ("Help wanted", "What help is wanted; yours to set", 150),
)
NUMBER, TITLE, DIFFICULTY, STATUS, SUB_CATEGORY, WORKING, HELP = range(len(COLUMNS))
SORTED = Qt.ItemDataRole.UserRole
NARROW = 520
"""Width in pixels below which the page stands under the table instead of beside it."""


class ProblemsPanel(Panel):
    """Searchable, filterable table of the open problems; the chosen one with its text, links and what the user sets for it."""

    id = "problems"

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.model = ProblemTable(problems.load(), session, self)
        self.filter = Filter(self.model)
        self.table = Table(self.filter, self)
        self.field = QLineEdit(self, placeholderText="Search problems, e.g. curve", clearButtonEnabled=True)
        self.field.setAccessibleName("Search problems")
        self.field.installEventFilter(self)
        self.difficulty = choice("Difficulty", [(f"{d}: {name}", d) for d, name in DIFFICULTIES.items()])
        subs = dict.fromkeys(problem.sub_category for problem in self.model.problems)
        self.sub_category = choice("Sub-category", [(sub or "No sub-category", sub) for sub in subs])
        self.status = choice("Status", [(status.capitalize(), status) for status in get_args(Status)])
        self.count = QLabel()
        self.count.setForegroundRole(self.count.palette().ColorRole.PlaceholderText)
        self.nothing = QLabel(
            'No problem fits this search and these filters.<br><a href="clear">Show all problems</a>',
            alignment=Qt.AlignmentFlag.AlignCenter,
            wordWrap=True,
        )
        self.nothing.linkActivated.connect(self.clear_filters)
        self.page = Page(session)
        self.page.start.clicked.connect(lambda: self.start_problem(self.current().number))

        search = QHBoxLayout()
        search.addWidget(self.field, 1)
        search.addWidget(self.count)
        filters = QHBoxLayout()
        for box, share in ((self.difficulty, 5), (self.sub_category, 6), (self.status, 5)):
            filters.addWidget(box, share)
        left = QWidget()
        column = QVBoxLayout(left)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(search)
        column.addLayout(filters)
        self._stack = QStackedLayout()
        self._stack.addWidget(self.table)
        self._stack.addWidget(self.nothing)
        column.addLayout(self._stack, 1)
        self.splitter = QSplitter(childrenCollapsible=False)
        self.splitter.addWidget(left)
        self.splitter.addWidget(self.page)
        self.splitter.setSizes([1000, 1000])
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        scroll = QScrollArea(widgetResizable=True, frameShape=QFrame.Shape.NoFrame, focusPolicy=Qt.FocusPolicy.NoFocus)
        scroll.setWidget(self.splitter)  # lower than table and page need below one another, or narrower than either
        layout.addWidget(scroll)
        self.setMinimumSize(200, 120)
        self.setFocusProxy(self.field)

        self.field.textChanged.connect(self._apply_filters)
        for box in (self.difficulty, self.sub_category, self.status):
            box.currentIndexChanged.connect(self._apply_filters)
        self.table.selectionModel().currentChanged.connect(self._show_current)
        self.table.activated.connect(lambda index: self.start_problem(self.filter.problem(index).number))
        session.touched.connect(self._refresh)
        session.project_changed.connect(self._refresh)
        self.model.refresh()
        self._apply_filters()
        from workbench.jobs.requests import DescribeAnalyses

        session.relay.submit(DescribeAnalyses(), self._on_analyses)

    # What is shown

    def current(self) -> Problem:
        """Return the problem whose page is shown."""
        return self.page.problem

    def select(self, number: str) -> None:
        """Show the page of a problem, and its row, taking away filters that hide it.

        Raises
        ------
        ValueError
            When there is no problem of that number.
        """
        problem = problems.find(number)
        row = self.filter.mapFromSource(self.model.index(self.model.problems.index(problem), NUMBER))
        if not row.isValid():
            self.clear_filters()
            row = self.filter.mapFromSource(self.model.index(self.model.problems.index(problem), NUMBER))
        self.table.setCurrentIndex(row)
        self.table.scrollTo(row)

    def clear_filters(self) -> None:
        """Show all problems again."""
        self.field.clear()
        for box in (self.difficulty, self.sub_category, self.status):
            box.setCurrentIndex(0)

    def _apply_filters(self) -> None:
        self.filter.narrow(
            self.field.text(), self.difficulty.currentData(), self.sub_category.currentData(), self.status.currentData()
        )
        self._show_count()
        if not self.table.currentIndex().isValid() and self.filter.rowCount():
            self.table.setCurrentIndex(self.filter.index(0, NUMBER))

    def _show_count(self) -> None:
        shown, all_of_them = self.filter.rowCount(), len(self.model.problems)
        self.count.setText(f"{all_of_them} problems" if shown == all_of_them else f"{shown} of {all_of_them}")
        self._stack.setCurrentIndex(0 if shown else 1)

    def _show_current(self, index: QModelIndex) -> None:
        if index.isValid():
            self.page.show_problem(self.filter.problem(index))

    def _refresh(self) -> None:
        if self.model.refresh():
            self._apply_filters()
            self.page.show_state()

    def _on_analyses(self, event: JobEvent) -> None:
        if event.state == "done":
            self.page.show_analyses({card.name: card.title for card in event.result})

    # What one can do

    def start_problem(self, number: str) -> None:
        """Open the panels that a problem needs, note that it was started, and say which panels are not built yet."""
        try:
            self.select(number)
        except ValueError as error:
            self.session.report(str(error))
            return
        problem = self.current()
        if state_of(self.session.project, problem.number).status == "open":
            self.page.edit("status", "started")
        there, missing = panels_for(problem)
        self.session.panels_wanted.emit(there)
        if missing:
            self.session.inform(f"Problem {problem.number}: not built yet: {listed([name_of(id) for id in missing])}.")

    def commands(self) -> tuple[Command, ...]:
        """Offer to start the chosen problem from the palette and the menu."""
        return (
            Command(
                "problems.start",
                "Start problem",
                lambda: self.start_problem(self.current().number),
                "Open the panels that the problem chosen in the panel Problems is worked on in.",
                "Analysis",
                section="problems",
            ),
        )

    def eventFilter(self, watched, event: QEvent) -> bool:
        """Go from the search field into the table with the arrow keys."""
        if watched is self.field and event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent):
            if event.key() in (Qt.Key.Key_Down, Qt.Key.Key_Up):
                self.table.setFocus(Qt.FocusReason.TabFocusReason)
                return True
            if event.key() == Qt.Key.Key_Escape and self.field.text():
                self.field.clear()
                return True
        return super().eventFilter(watched, event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Put the page beside the table, or below it where there is no room."""
        super().resizeEvent(event)
        wanted = Qt.Orientation.Vertical if event.size().width() < NARROW else Qt.Orientation.Horizontal
        if self.splitter.orientation() != wanted:
            self.splitter.setOrientation(wanted)

    def save_state(self) -> dict[str, Any]:
        """Remember the chosen problem, the search, the filters and the columns."""
        return {
            "problem": self.current().number,
            "search": self.field.text(),
            "filters": [box.currentIndex() for box in (self.difficulty, self.sub_category, self.status)],
            "columns": self.table.columns(),
            "sizes": self.splitter.sizes(),
        }

    def restore_state(self, state: dict[str, Any]) -> None:
        """Take them back."""
        self.field.setText(str(state.get("search", "")))
        for box, place in zip((self.difficulty, self.sub_category, self.status), state.get("filters", ()), strict=False):
            if isinstance(place, int) and 0 <= place < box.count():
                box.setCurrentIndex(place)
        columns = QByteArray.fromBase64(str(state.get("columns", "")).encode("ascii", "ignore"))
        if not columns.isEmpty():
            self.table.keep_columns(columns)
        sizes = state.get("sizes")
        if isinstance(sizes, list) and len(sizes) == 2 and all(isinstance(size, int) for size in sizes):
            self.splitter.setSizes(sizes)
        shown = [self.filter.problem(self.filter.index(row, 0)).number for row in range(self.filter.rowCount())]
        if state.get("problem") in shown:
            self.select(state["problem"])


def choice(name: str, entries: Sequence[tuple[str, str]]) -> ElidedComboBox:
    """Make a box to choose a filter from; its first entry, with no data, is its name and filters nothing."""
    box = ElidedComboBox(letters=2)
    box.setAccessibleName(f"{name} filter")
    box.setToolTip(f"Show only problems of one {name.lower()}")
    for text, data in ((f"{name}: any", None), *entries):
        box.addItem(text, data)
    return box


def state_of(project: Project, number: str) -> ProblemState:
    """Return what the user has set for a problem."""
    return project.problems.get(number, ProblemState())


def panels_for(problem: Problem) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the panels a problem opens: those that are there, and those that are not built yet."""
    there = tuple(id for id in problem.opens if id in PANELS)
    return there, tuple(id for id in problem.opens if id not in PANELS)


def name_of(id: str) -> str:
    """Write the id of a panel or the name of an analysis as one would say it: ``weight heatmap``."""
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in id.replace("_", " "))
    return words.strip()


def listed(names: Sequence[str]) -> str:
    """Write names as a sentence has them: ``a, b and c``."""
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part) if names else "none"


class ProblemTable(QAbstractTableModel):
    """The problems as rows; what the user set comes from the session's project."""

    def __init__(self, entries: Sequence[Problem], session: Session, parent: QObject) -> None:
        super().__init__(parent)
        self.problems = list(entries)
        self._session = session
        self._shown: dict[str, ProblemState] = {}

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """Count the problems."""
        return 0 if parent.isValid() else len(self.problems)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """Count the columns."""
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """Name the columns."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        return {Qt.ItemDataRole.DisplayRole: COLUMNS[section][0], Qt.ItemDataRole.ToolTipRole: COLUMNS[section][1]}.get(role)

    def state(self, row: int) -> ProblemState:
        """Return what the user set for the problem of a row."""
        return self._shown.get(self.problems[row].number, ProblemState())

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """Give text, tooltip, sort key and colour of a cell."""
        problem, column = self.problems[index.row()], index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(problem, self.state(index.row()), column)
        if role == SORTED:
            chapter, number = problem.order
            return 1000 * chapter + number if column == NUMBER else self._text(problem, self.state(index.row()), column)
        if role == Qt.ItemDataRole.TextAlignmentRole and column == DIFFICULTY:
            return Qt.AlignmentFlag.AlignCenter
        if role == Qt.ItemDataRole.ToolTipRole:
            if column == DIFFICULTY:
                return f"{problem.difficulty}: {DIFFICULTIES[problem.difficulty]}"
            if column in (WORKING, HELP):
                return self._text(problem, self.state(index.row()), column) or COLUMNS[column][1]
            return f"<p style='white-space: normal'><b>{escape(problem.title)}</b><br>{escape(problem.text)}</p>"
        if role == Qt.ItemDataRole.ForegroundRole and column == STATUS:
            status = self.state(index.row()).status
            meaning = {"started": "info", "partly answered": "warning", "answered": "good"}.get(status)
            return signal_colour(meaning, QGuiApplication.palette()) if meaning else None
        return None

    def _text(self, problem: Problem, state: ProblemState, column: int) -> str:
        return {
            NUMBER: problem.number,
            TITLE: problem.title,
            DIFFICULTY: problem.difficulty,
            STATUS: state.status,
            SUB_CATEGORY: problem.sub_category or "–",
            WORKING: state.currently_working,
            HELP: state.help_wanted,
        }[column]

    def refresh(self) -> bool:
        """Show what is in the project now; return whether that is anything new."""
        now = self._session.project.problems
        if now == self._shown:
            return False
        self._shown = {number: replace(state) for number, state in now.items()}
        self.dataChanged.emit(self.index(0, 0), self.index(len(self.problems) - 1, len(COLUMNS) - 1))
        return True


class Filter(QSortFilterProxyModel):
    """Keeps the problems that hold every searched word and fit the three filters; sorts 7.9 before 7.10.

    Which these are is found in `narrow`, not when Qt asks: an exception in what Qt calls would be lost there, or worse.
    """

    def __init__(self, table: ProblemTable) -> None:
        super().__init__(table)
        self._table = table
        self._accepted = set(range(len(table.problems)))
        self.setSourceModel(table)
        self.setSortRole(SORTED)
        self.setSortCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)

    def narrow(self, text: str, difficulty: str | None, sub_category: str | None, status: str | None) -> None:
        """Keep what holds every word of `text` and has the given properties; None is any."""
        words = text.casefold().split()
        accepted = set()
        for row, problem in enumerate(self._table.problems):
            state = self._table.state(row)
            wanted = ((difficulty, problem.difficulty), (sub_category, problem.sub_category), (status, state.status))
            content = searched(problem, state)
            if all(want in (None, found) for want, found in wanted) and all(word in content for word in words):
                accepted.add(row)
        self.beginFilterChange()
        self._accepted = accepted
        self.endFilterChange()

    def problem(self, index: QModelIndex) -> Problem:
        """Return the problem of a row."""
        return self._table.problems[self.mapToSource(index).row()]

    def filterAcceptsRow(self, row: int, parent: Index) -> bool:
        """Whether a problem is shown."""
        return row in self._accepted


def searched(problem: Problem, state: ProblemState) -> str:
    """Return everything of a problem that a search looks at, in lower case."""
    ours = (problem.number, problem.title, problem.text, problem.sub_category, DIFFICULTIES[problem.difficulty])
    works = (link.title for link in problem.existing_work)
    return " ".join((*ours, *works, state.status, state.currently_working, state.help_wanted)).casefold()


class Table(QTreeView):
    """The table itself; until the user sets a width, the titles take what room the other first columns leave."""

    def __init__(self, shown: Filter, parent: QWidget) -> None:
        super().__init__(parent)
        self._fits = True
        self.setAccessibleName("Open problems")
        self.setModel(shown)
        self.setRootIsDecorated(False)
        self.setUniformRowHeights(True)
        self.setAlternatingRowColors(True)
        self.setAllColumnsShowFocus(True)
        self.setSortingEnabled(True)
        self.sortByColumn(NUMBER, Qt.SortOrder.AscendingOrder)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        header = self.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        header.setMinimumSectionSize(36)
        for column, (_, _, width) in enumerate(COLUMNS):
            header.resizeSection(column, width)
        header.sectionResized.connect(self._note_resized)

    def columns(self) -> str:
        """Return the widths that the user has set, as text; empty when none was set."""
        return "" if self._fits else bytes(self.header().saveState().toBase64().data()).decode("ascii")

    def keep_columns(self, saved: QByteArray) -> None:
        """Take back widths that the user had set."""
        self._fits = not self.header().restoreState(saved)

    def _note_resized(self, _column: int, _before: int, _width: int) -> None:
        if QGuiApplication.mouseButtons() & Qt.MouseButton.LeftButton and self.header().underMouse():
            self._fits = False

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fit the titles."""
        super().resizeEvent(event)
        if self._fits:
            header = self.header()
            others = sum(header.sectionSize(column) for column in (NUMBER, DIFFICULTY, STATUS))
            header.resizeSection(TITLE, max(150, self.viewport().width() - others))


class Page(QWidget):
    """One problem: what it asks, what is known, what the user sets for it, and the button that starts it."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._titles: dict[str, str] | None = None
        self.problem = problems.load()[0]
        self.text = QTextBrowser(openLinks=False)
        self.text.setAccessibleName("About the problem")
        self.text.anchorClicked.connect(open_link)
        self.text.highlighted.connect(lambda url: self.text.setToolTip(url.toString()))
        self.status = ElidedComboBox(letters=3)
        for status in get_args(Status):
            self.status.addItem(status.capitalize(), status)
        self.status.setToolTip("How far you are with it; saved with the investigation")
        self.working = QLineEdit(placeholderText="nobody yet")
        self.working.setToolTip("Who is working on it; saved with the investigation")
        self.help = QLineEdit(placeholderText="none")
        self.help.setToolTip("What help is wanted; saved with the investigation")
        self.start = QPushButton("Start")
        set_icon(self.start, "run")
        self.report = ProblemReport(session, self)
        UndoKeys(session, self.working, self.help)
        for field, name in ((self.status, "Status"), (self.working, "Currently working"), (self.help, "Help wanted")):
            field.setAccessibleName(name)
        self.status.activated.connect(lambda: self.edit("status", self.status.currentData()))
        self.working.textEdited.connect(lambda text: self.edit("currently_working", text))
        self.help.textEdited.connect(lambda text: self.edit("help_wanted", text))

        form = QGridLayout()
        form.setHorizontalSpacing(6)
        form.setVerticalSpacing(1)
        for column, field in enumerate((self.status, self.working, self.help)):
            caption = ElidedLabel(field.accessibleName())
            caption.setBuddy(field)
            form.addWidget(caption, 0, column)
            form.addWidget(field, 1, column)
            form.setColumnStretch(column, 1)
        form.addWidget(self.start, 1, 3)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(5)
        layout.addWidget(self.text, 1)
        layout.addWidget(self.report)
        layout.addLayout(form)
        self.show_problem(self.problem)

    def show_problem(self, problem: Problem) -> None:
        """Show another problem."""
        self.problem = problem
        there, missing = panels_for(problem)
        tip = f"Open {listed([PANELS[id].title for id in there])}"
        self.start.setToolTip(tip + (f"; not built yet: {listed([name_of(id) for id in missing])}" if missing else ""))
        self._write()
        self.text.verticalScrollBar().setValue(0)
        self.report.show_problem(problem.number)
        self.show_state()

    def show_analyses(self, titles: dict[str, str]) -> None:
        """Take which analyses there are, class name -> title."""
        self._titles = titles
        self._write()

    def _write(self) -> None:
        problem = self.problem
        about = [problem.sub_category or "No sub-category", f"{problem.difficulty}: {DIFFICULTIES[problem.difficulty]}"]
        about += [f"printed as {problem.printed_number}"] if problem.printed_number != problem.number else []
        faint = self.palette().color(self.palette().ColorRole.PlaceholderText).name()
        there, missing = panels_for(problem)

        def lines(ready: Sequence[str], unbuilt: Sequence[str]) -> str:
            said = [f"{listed(ready)}."] if ready else []
            said += [f"<span style='color:{faint}'>Not built yet: {listed(unbuilt)}.</span>"] if unbuilt else []
            return " ".join(said)

        known = self._titles if self._titles is not None else {}
        built = [known[name] for name in problem.analyses if name in known]
        unbuilt = [name_of(name) for name in problem.analyses if name not in known]
        rows = [("Panels", lines([PANELS[id].title for id in there], [name_of(id) for id in missing]))]
        if self._titles is not None:
            rows.append(("Analyses", lines(built, unbuilt)))
        works = "".join(
            f"<li><a href='{escape(link.url)}'>{escape(link.title)}</a></li>" for link in problem.existing_work
        )
        sources = " · ".join(f"<a href='{escape(link.url)}'>{escape(link.title)}</a>" for link in problems.sources())
        place = self.text.verticalScrollBar().value()
        self.text.setHtml(
            f"<p style='margin:2px 0 0 0; font-size:large'><b>{problem.number}&nbsp; {escape(problem.title)}</b></p>"
            f"<p style='margin-top:0; color:{faint}'>{escape(' · '.join(about))}</p>"
            f"<p>{escape(problem.text)}</p>"
            f"<p style='margin-bottom:2px'><b>Existing work</b></p><ul style='margin:0; -qt-list-indent:0'>{works}</ul>"
            + "".join(f"<p><b>{name}</b>&nbsp; {text}</p>" for name, text in rows)
            + f"<p style='color:{faint}'><b>Source</b>&nbsp; {sources}</p>"
        )
        self.text.verticalScrollBar().setValue(place)

    def show_state(self) -> None:
        """Show what the project holds for this problem; a field that shows it already keeps its cursor."""
        state = state_of(self._session.project, self.problem.number)
        self.status.setCurrentIndex(self.status.findData(state.status))
        for field, text in ((self.working, state.currently_working), (self.help, state.help_wanted)):
            if field.text() != text:
                field.setText(text)
                field.setCursorPosition(len(text) if field.hasFocus() else 0)

    def edit(self, name: str, value: str) -> None:
        """Set one field of what the user sets; it can be taken back."""
        number = self.problem.number
        before = getattr(state_of(self._session.project, number), name)
        if value == before:
            return

        def put(text: str):
            def change(project: Project) -> None:
                state = project.problems.setdefault(number, ProblemState())
                setattr(state, name, text)
                if state == ProblemState():
                    del project.problems[number]

            return change

        said = {"status": "status", "currently_working": "who is working", "help_wanted": "help wanted"}[name]
        typing = None if name == "status" else (number, name)
        self._session.undo_stack.push(
            ProjectEdit(self._session, f"problem {number}: {said}", put(value), put(before), typing)
        )

    def changeEvent(self, event: QEvent) -> None:
        """Write the text in the new colours when they change."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "text"):
            self._write()


def open_link(url: QUrl) -> None:
    """Open an article in the browser."""
    QDesktopServices.openUrl(url)
