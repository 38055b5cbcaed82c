"""The patches as a table that sorts by any column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, QSortFilterProxyModel, Qt, Signal
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from workbench.patching_table import columns_of

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
    "unaligned_score": ("Null", "Denoising with activations of unrelated images"),
    "twin_score": ("Twin", "Denoising in a network of random weights"),
}
Index = QModelIndex | QPersistentModelIndex


class _Model(QAbstractTableModel):
    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.columns: dict[str, list[Any]] = {}
        self.names: list[str] = []

    def show_result(self, result: Result | None) -> None:
        self.beginResetModel()
        self.columns = columns_of(result) if result is not None else {}
        self.names = [name for name in COLUMNS if name in self.columns]
        self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """One row a patch."""
        return 0 if parent.isValid() or not self.columns else len(self.columns["name"])

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """One column a figure."""
        return 0 if parent.isValid() else len(self.names)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Name the columns."""
        if orientation == Qt.Orientation.Horizontal and role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return COLUMNS[self.names[section]][role == Qt.ItemDataRole.ToolTipRole]
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Give the name, or the figure in percent; what is not known yet sorts last."""
        value = self.columns[self.names[index.column()]][index.row()]
        text = isinstance(value, str)
        if role == Qt.ItemDataRole.DisplayRole:
            return value if text else "–" if value is None else f"{100 * value:.1f} %".replace("-", "−")
        if role == Qt.ItemDataRole.UserRole:
            return value if text else -1e9 if value is None else value
        if role == Qt.ItemDataRole.TextAlignmentRole and not text:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return None


class PatchTable(QTableView):
    """All patches; a click, or the arrow keys, choose one."""

    picked = Signal(int)
    """Place of the patch in the result."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows = _Model(self)
        self._sorted = QSortFilterProxyModel(self)
        self._sorted.setSourceModel(self._rows)
        self._sorted.setSortRole(Qt.ItemDataRole.UserRole)
        self.setModel(self._sorted)
        self.setSortingEnabled(True)
        self.setAccessibleName("Patches and their scores")
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(20)
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.selectionModel().currentRowChanged.connect(self._on_row)
        self._marking = False

    def show_result(self, result: Result | None) -> None:
        """Take the patches of a result, the best first; None for none."""
        self._rows.show_result(result)
        if result is not None:
            self.sortByColumn(self._rows.names.index("denoise_score"), Qt.SortOrder.DescendingOrder)

    def mark(self, patch: int) -> None:
        """Select a patch without saying so."""
        self._marking = True
        if patch < 0:
            self.clearSelection()
        else:
            row = self._sorted.mapFromSource(self._rows.index(patch, 0)).row()
            self.selectRow(row)
        self._marking = False

    def _on_row(self, now: QModelIndex, _before: QModelIndex) -> None:
        if now.isValid() and not self._marking:
            self.picked.emit(self._sorted.mapToSource(now).row())
