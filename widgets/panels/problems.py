"""The problems panel: the open problems as a table to search and filter, and a page for each, where it is started."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, get_args

from PySide6.QtCore import QByteArray, QEvent, QModelIndex, Qt
from PySide6.QtGui import QKeyEvent, QResizeEvent
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QSplitter,
    QStackedLayout,
    QVBoxLayout,
    QWidget,
)

from widgets.commands import Command
from widgets.docks import Panel
from widgets.elided_combo_box import ElidedComboBox
from widgets.problem_page import ProblemPage, listed, name_of, panels_for, state_of
from widgets.problem_table import NUMBER, ProblemFilter, ProblemRows, ProblemTable
from widgets.scrolled import scrolled
from widgets.session import Session
from workbench import problems
from workbench.problems import DIFFICULTIES, Problem
from workbench.project import Status

if TYPE_CHECKING:
    from workbench.jobs.job import JobEvent

NARROW = 520
"""Width in pixels below which the page stands under the table instead of beside it."""


class ProblemsPanel(Panel):
    """Searchable, filterable table of the open problems; the chosen one with its text, links and what the user sets for it."""

    id = "problems"

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.model = ProblemRows(problems.load(), session, self)
        self.filter = ProblemFilter(self.model)
        self.table = ProblemTable(self.filter, self)
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
        self.page = ProblemPage(session)
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
        # as it may be lower than table and page need below one another, or narrower than either
        layout.addWidget(scrolled(self.splitter, tab_stop=False))
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
