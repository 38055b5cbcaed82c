"""The curves of growth that were compared: how well each fits, and where and how fast it puts the transition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QFont
from PySide6.QtWidgets import QTreeWidget, QTreeWidgetItem, QWidget

COLUMNS = {
    "Curve": "Kind of curve, and whether it is a function of time or of its logarithm; ✓ the one that fits best",
    "": "Whether such a curve is a phase change",
    "ΔBIC": "Of all trainings together, above that of the best; from 10 on the evidence against it is very strong",
    "Middle of the rise": "Updates, in each training; in brackets between which the samples leave it open (95 %, profile likelihood)",
    "Width": "From 10 to 90 % of the rise, as a part of the axis; a phase change takes at most a tenth",
}


class CurveTable(QTreeWidget):
    """One row a curve, the best first."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setColumnCount(len(COLUMNS))
        self.setRootIsDecorated(False)
        self.setUniformRowHeights(True)
        self.setHeaderLabels(list(COLUMNS))
        self.setAccessibleName("Curves of growth, best first")
        for column, tip in enumerate(COLUMNS.values()):
            self.headerItem().setToolTip(column, tip)

    def show_curves(self, told: Mapping[str, Any] | None) -> None:
        """Show what the analysis says of one metric; None for nothing."""
        self.clear()
        for place, curve in enumerate(told["curves"] if told is not None else ()):
            beyond = curve["bic"] - told["curves"][0]["bic"]
            middle = [f"{_said(at)} [{_said(low)}, {_said(high)}]" for at, (low, high) in _pairs(curve, "at")]
            width = [f"{at:.2f} [{low:.2f}, {high:.2f}]" for at, (low, high) in _pairs(curve, "width")]
            cells = [
                ("✓ " if place == 0 else "") + curve["name"],
                "abrupt" if curve["abrupt"] else "gradual",
                f"{beyond:.1f}",
                " · ".join(middle) or "–",
                " · ".join(width) or "–",
            ]
            item = QTreeWidgetItem(cells)
            item.setTextAlignment(2, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            for column, cell in enumerate(cells):
                item.setToolTip(column, cell)
                if place == 0:
                    font = QFont(self.font())
                    font.setBold(True)
                    item.setFont(column, font)
            self.addTopLevelItem(item)
        for column in range(len(COLUMNS)):
            self.resizeColumnToContents(column)


def _said(updates: float | None) -> str:
    return "–" if updates is None else f"{updates:,.0f}"


def _pairs(curve: Mapping[str, Any], name: str) -> list[tuple[float, list[float]]]:
    """Return a value and its interval of each training that has one."""
    pairs = zip(curve[name], curve[f"{name}_interval"], strict=True)
    return [(value, ends) for value, ends in pairs if value is not None]
