"""The patches as a table that sorts by any column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt, Signal
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from workbench.patching_table import columns_of, numbers_in

if TYPE_CHECKING:
    from workbench.analyses.analysis import Result

COLUMNS = {
    "name": ("Part", "What is patched"),
    "label": ("Label", "What the direction is called"),
    "denoise_score": ("Denoise", "Part of the difference that comes back with it: what suffices"),
    "denoise_low": ("low", "Lower end of the 95 % interval over concepts"),
    "denoise_high": ("high", "Upper end"),
    "denoise_attribution": ("Attrib.", "The same by attribution, to first order"),
    "noise_score": ("Noise", "Part of the difference that is lost with it: what is needed"),
    "unaligned_score": ("Null", "Denoising with unrelated images: about 50 % where all passes through, as any third image lies halfway"),
    "twin_score": ("Twin", "Denoising in one network of random weights: no threshold"),
}
TEXTS = ("name", "label")
LOOKED_AT = 40
"""Rows that the width of a column is fitted to, beside those in sight."""
Index = QModelIndex | QPersistentModelIndex


class _Model(QAbstractTableModel):
    """Columns of a result, in an order of its own: sorting asks numpy once, not Python for each comparison."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.columns: dict[str, list[Any]] = {}
        self.names: list[str] = []
        self.order = np.zeros(0, int)
        """Place in the result of each row that is shown."""
        self._at = np.zeros(0, int)
        self._by: tuple[str, Qt.SortOrder] = ("denoise_score", Qt.SortOrder.DescendingOrder)

    def show_result(self, result: Result | None) -> None:
        """Take the patches of a result, in the order that was chosen last."""
        self.beginResetModel()
        self.columns = columns_of(result) if result is not None else {}
        self.names = [name for name in COLUMNS if name in self.columns]
        self._arrange()
        self.endResetModel()

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column, whatever result it is of; what is not known yet stands last."""
        if not 0 <= column < len(self.names):
            return
        self.beginResetModel()
        self._by = (self.names[column], order)
        self._arrange()
        self.endResetModel()

    @property
    def sorted_by(self) -> tuple[int, Qt.SortOrder]:
        """Column, -1 where there is none of that name, and order."""
        name, order = self._by
        return self.names.index(name) if name in self.names else -1, order

    def row_of(self, patch: int) -> int:
        """Return the row that shows a patch."""
        return int(self._at[patch])

    def _arrange(self) -> None:
        name, order = self._by
        number = len(self.columns.get("name", ()))
        values = self.columns.get(name)
        down = order == Qt.SortOrder.DescendingOrder
        if values is None:
            self.order = np.arange(number)
        elif name in TEXTS:
            named = sorted(range(number), key=lambda at: numbers_in(str(values[at])), reverse=down)
            self.order = np.array(named, int)
        else:
            figures = np.array([np.nan if value is None else value for value in values], float)
            self.order = np.argsort(-figures if down else figures, kind="stable")  # numpy puts what is no number last
        self._at = np.empty(number, int)
        self._at[self.order] = np.arange(number)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """One row a patch."""
        return 0 if parent.isValid() else len(self.order)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """One column a figure."""
        return 0 if parent.isValid() else len(self.names)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Name the columns."""
        if orientation == Qt.Orientation.Horizontal and role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return COLUMNS[self.names[section]][role == Qt.ItemDataRole.ToolTipRole]
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Give the name, or the figure in percent."""
        if role not in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.TextAlignmentRole):
            return None
        value = self.columns[self.names[index.column()]][self.order[index.row()]]
        text = isinstance(value, str)
        if role == Qt.ItemDataRole.DisplayRole:
            return value if text else "–" if value is None else f"{100 * value:.1f} %".replace("-", "−")
        return None if text else int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)


class PatchTable(QTableView):
    """All patches; a click, or the arrow keys, choose one. It is filled when it is looked at: a sweep shows itself many times."""

    picked = Signal(int)
    """Place of the patch in the result."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows = _Model(self)
        self._waiting: Result | None = None
        self._marked = -1
        self.setModel(self._rows)
        self.setAccessibleName("Patches and their scores")
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(20)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setResizeContentsPrecision(LOOKED_AT)
        header.setSortIndicatorShown(True)
        header.setSectionsClickable(True)
        header.sectionClicked.connect(self._on_heading)
        self.selectionModel().currentRowChanged.connect(self._on_row)
        self._marking = False

    def show_result(self, result: Result | None) -> None:
        """Take the patches of a result, None for none, in the order that the user chose last: the best first until then."""
        self._marked = -1
        self._waiting = result
        if result is None or not result.summary["incomplete"] or self.isVisible():
            self._fill()

    def _fill(self) -> None:
        result, self._waiting = self._waiting, None
        self._marking = True
        self._rows.show_result(result)
        self._marking = False
        self._show_order()

    def _show_order(self) -> None:
        column, order = self._rows.sorted_by
        self.horizontalHeader().setSortIndicator(column, order)

    def showEvent(self, event: QShowEvent) -> None:
        """Fill it with what came while it could not be seen."""
        super().showEvent(event)
        if self._waiting is not None:
            self._fill()
            self.mark(self._marked)

    def _on_heading(self, column: int) -> None:
        before, order = self._rows.sorted_by
        first = Qt.SortOrder.AscendingOrder if self._rows.names[column] in TEXTS else Qt.SortOrder.DescendingOrder
        other = Qt.SortOrder.AscendingOrder if order == Qt.SortOrder.DescendingOrder else Qt.SortOrder.DescendingOrder
        self._marking = True
        self._rows.sort(column, other if column == before else first)
        self._marking = False
        self._show_order()
        self.mark(self._marked)

    def mark(self, patch: int) -> None:
        """Select a patch without saying so."""
        self._marked = patch
        if self._waiting is not None:
            return
        self._marking = True
        if patch < 0:
            self.clearSelection()
        else:
            self.selectRow(self._rows.row_of(patch))
        self._marking = False

    def patch_at(self, row: int) -> int:
        """Return the place in the result of the patch that a row shows."""
        return int(self._rows.order[row])

    def _on_row(self, now: QModelIndex, _before: QModelIndex) -> None:
        if now.isValid() and not self._marking:
            self.picked.emit(self.patch_at(now.row()))
