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
    "Middle of the rise": "Updates, in each training (– has none); in brackets what the samples leave open (95 %, profile likelihood)",
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
            middle, width = _each(curve, "at", ",.0f"), _each(curve, "width", ".2f")
            cells = [
                ("✓ " if place == 0 else "") + curve["name"],
                "abrupt" if curve["abrupt"] else "gradual",
                f"{beyond:.1f}",
                middle,
                width,
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


def _each(curve: Mapping[str, Any], name: str, shown: str) -> str:
    """Return a value and its interval of each training in their order, a dash for one that has none; one dash where none has."""
    pairs = zip(curve[name], curve[f"{name}_interval"], strict=True)
    told = ["–" if value is None else f"{value:{shown}} [{_said(low, shown)}, {_said(high, shown)}]" for value, (low, high) in pairs]
    return " · ".join(told) if set(told) != {"–"} else "–"


def _said(value: float | None, shown: str) -> str:
    return "–" if value is None else f"{value:{shown}}"
