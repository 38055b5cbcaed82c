"""What stands above the grid of units: layer, filter, families, order, size of the images."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QComboBox,
    QCompleter,
    QHBoxLayout,
    QLineEdit,
    QMenu,
    QSizePolicy,
    QSlider,
    QToolButton,
    QWidget,
)

from widgets.elided_combo_box import ElidedComboBox
from widgets.image_ranking import PERCENTILE, TITLE
from widgets.popup import opens
from widgets.views.thumbnail_grid import LARGEST, SMALLEST

SORTS = {
    "mean": "Mean activation",
    "max": "Largest activation",
    "min": "Smallest activation",
    "std": "Standard deviation",
    "sparsity": "Positions active",
    "active_images": "Images active",
    "treves_rolls": "Treves–Rolls sparseness",
}
"""Statistics of a sweep that units can be sorted by, by their names in `DatasetExamples`."""


class GridTools(QHBoxLayout):
    """The fields in one line; the panel says what they do.

    Parameters
    ----------
    families
        Menu of the families.
    """

    def __init__(self, parent: QWidget, families: QMenu) -> None:
        super().__init__()
        self.setSpacing(4)
        self.previous = _arrow(parent, Qt.ArrowType.LeftArrow, "Previous layer (Ctrl+PgUp)")
        self.layers = QComboBox(parent)
        self.layers.setEditable(True)
        self.layers.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.layers.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.layers.setMinimumContentsLength(12)
        self.layers.setMaxVisibleItems(24)
        self.layers.setToolTip("Layer. Type a part of its name to find it (Ctrl+PgUp, Ctrl+PgDown: previous, next)")
        self.layers.setAccessibleName("Layer")
        self.layers.lineEdit().setPlaceholderText("Layer")
        completer = self.layers.completer()
        completer.setFilterMode(Qt.MatchFlag.MatchContains)
        completer.setCompletionMode(QCompleter.CompletionMode.PopupCompletion)
        completer.setMaxVisibleItems(16)
        self.next = _arrow(parent, Qt.ArrowType.RightArrow, "Next layer (Ctrl+PgDown)")

        self.filter = QLineEdit(parent)
        self.filter.setClearButtonEnabled(True)
        self.filter.setPlaceholderText("Filter: 0-31, 40 or label")
        self.filter.setToolTip(
            "Show only some units: numbers and ranges such as 0-31, 40, 128-, words of their labels, {families}"
        )
        self.filter.setAccessibleName("Filter units")
        self.filter.setMinimumWidth(90)

        self.families = QToolButton(parent)
        self.families.setText("Families")
        self.families.setAutoRaise(True)
        self.families.setToolTip("Families of units: choose one, or make one of the units that are selected (Ctrl+click, Shift+click)")
        self.families.setAccessibleName("Families")
        opens(self.families, families)

        self.sort = ElidedComboBox(letters=10, parent=parent)
        self.sort.setToolTip(
            "Order of the units. Those by statistics need dataset examples (start a sweep in the inspector), the last one an image of yours"
        )
        self.sort.setAccessibleName("Sort units by")
        self.sort.addItem("Unit number", "")
        for name, title in SORTS.items():
            self.sort.addItem(title, name)
        self.sort.addItem(TITLE, PERCENTILE)
        self.direction = _arrow(parent, Qt.ArrowType.DownArrow, "Reverse the order")

        self.size = QSlider(Qt.Orientation.Horizontal, parent)
        self.size.setRange(SMALLEST, LARGEST)
        self.size.setFixedWidth(90)
        self.size.setToolTip("Size of the thumbnails in pixels (Ctrl+wheel, Ctrl+Plus, Ctrl+Minus)")
        self.size.setAccessibleName("Size of the thumbnails")

        for widget in self.all():
            self.addWidget(widget, {self.layers: 3, self.filter: 2}.get(widget, 0))

    def all(self) -> tuple[QWidget, ...]:
        """Return the fields from left to right."""
        return (self.previous, self.layers, self.next, self.filter, self.families, self.sort, self.direction, self.size)


def _arrow(parent: QWidget, arrow: Qt.ArrowType, tip: str) -> QToolButton:
    button = QToolButton(parent)
    button.setArrowType(arrow)
    button.setAutoRaise(True)
    button.setToolTip(tip)
    button.setAccessibleName(tip.partition(" (")[0])
    return button
