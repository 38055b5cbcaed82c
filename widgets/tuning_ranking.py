"""The units of a layer as a table, best tuned first, each figure marked where it is above what random weights reach."""

from __future__ import annotations

from typing import Any

import numpy as np
from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt
from PySide6.QtWidgets import QWidget

TWINS = 20
"""Random-weight twins of the null: fewer are too few for a largest one."""
COLUMNS = (
    ("unit", "unit", "Number of the unit"),
    ("score", "score", "The weaker of R² and index: a detector needs both"),
    ("r2", "R²", "Variance over orientations of a second rendering that the bump fitted to the first explains"),
    ("index", "index", "Curve-vs-line index: (best curve − best line) / best curve"),
    ("second_peak", "2nd", "Second peak over the first"),
    ("preferred", "at °", "Orientation of the bump"),
    ("half_width", "½ °", "How far from there the bump has half its height"),
)


class RankingTable(QAbstractTableModel):
    """Units of a layer, best score first, with the figures they are told by."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.units: list[int] = []
        self._columns: dict[str, np.ndarray] = {}
        self._nulls: dict[str, float] = {}

    def show_scores(self, arrays: dict[str, np.ndarray] | None, nulls: dict[str, float]) -> None:
        """Take the scores of a layer; None for none."""
        self.beginResetModel()
        self.units = [] if arrays is None else arrays["ranking"].tolist()
        self._columns = {} if arrays is None else {name: arrays[name] for name, _, _ in COLUMNS[1:]}
        self._nulls = nulls
        self.endResetModel()

    def rowCount(self, parent: QModelIndex | QPersistentModelIndex = QModelIndex()) -> int:  # noqa: B008
        """One row a unit."""
        return 0 if parent.isValid() else len(self.units)

    def columnCount(self, parent: QModelIndex | QPersistentModelIndex = QModelIndex()) -> int:  # noqa: B008
        """One column a figure."""
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Name the columns."""
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return COLUMNS[section][1]
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.ToolTipRole:
            return COLUMNS[section][2]
        return None

    def data(self, index: QModelIndex | QPersistentModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Give the figure, with a star where it is above the best of all twins."""
        unit, name = self.units[index.row()], COLUMNS[index.column()][0]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        if name == "unit":
            return unit if role == Qt.ItemDataRole.DisplayRole else None
        value, null = float(self._columns[name][unit]), self._nulls.get(name)
        above = null is not None and value > null
        if role == Qt.ItemDataRole.DisplayRole:
            text = f"{value:.0f}" if name in ("preferred", "half_width") else f"{value:.2f}".replace("-", "−")
            return "–" if np.isnan(value) else text + (" *" if above else "")
        if role == Qt.ItemDataRole.ToolTipRole and null is not None:
            return f"{'above' if above else 'not above'} the best unit of {TWINS} random-weight twins ({null:.2f})"
        return None
