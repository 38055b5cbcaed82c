"""The table of the open problems: its rows, what is searched and filtered, and how it looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from html import escape

from PySide6.QtCore import (
    QAbstractTableModel,
    QByteArray,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QSortFilterProxyModel,
    Qt,
)
from PySide6.QtGui import QGuiApplication, QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTreeView, QWidget

from widgets.session import Session
from widgets.theme import signal_colour
from workbench.problems import DIFFICULTIES, Problem
from workbench.project import ProblemState

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


class ProblemRows(QAbstractTableModel):
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


class ProblemFilter(QSortFilterProxyModel):
    """Keeps the problems that hold every searched word and fit the three filters; sorts 7.9 before 7.10.

    Which these are is found in `narrow`, not when Qt asks: an exception in what Qt calls would be lost there, or worse.
    """

    def __init__(self, table: ProblemRows) -> None:
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


class ProblemTable(QTreeView):
    """The table itself; until the user sets a width, the titles take what room the other first columns leave."""

    def __init__(self, shown: ProblemFilter, parent: QWidget) -> None:
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
