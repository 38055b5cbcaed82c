"""What stands above the circuit graph: which circuit, what is added to it, how its edges are drawn."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QCheckBox, QMenu, QSpinBox, QToolButton, QVBoxLayout, QWidget

from widgets.choice_box import choice_box
from widgets.elided_combo_box import ElidedComboBox
from widgets.line_of import line_of
from widgets.popup import opens
from widgets.theme import set_icon
from widgets.views.graph_view import MEASURES

NEAREST = "nearest layer"
INPUTS = 4
"""Inputs that are added at first."""
WEAKEST = 20
"""Per cent below which edges are not drawn at first."""


class CircuitTools(QWidget):
    """The fields in two lines; the panel says what they do."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.chooser = ElidedComboBox(8, self)
        self.chooser.setToolTip("The circuits of this investigation")
        self.chooser.setAccessibleName("Circuit")
        self.whole = QMenu(self)
        self.whole.setToolTipsVisible(True)
        self.circuit = self._button("Circuit", "Begin, rename, duplicate, delete, open or export a circuit")
        opens(self.circuit, self.whole)
        self.undo = self._button("", "Take back the last edit (Ctrl+Z)", "undo", "Undo")
        self.redo = self._button("", "Do again what was taken back (Ctrl+Shift+Z)", "redo", "Redo")
        measures = {name: (title, f"Width in per cent {against}") for name, (title, against) in MEASURES.items()}
        self.measure = choice_box(ElidedComboBox(8, self), measures, "What the width and the colour of edges show")
        self.least = QSpinBox(self)
        self.least.setRange(0, 100)
        self.least.setPrefix("≥ ")
        self.least.setSuffix(" %")
        self.least.setValue(WEAKEST)
        self.least.setToolTip("Weakest edges drawn beside the strongest of each unit, in per cent; all stay in the circuit")
        self.least.setAccessibleName("Weakest edges drawn")
        self.numbers = QCheckBox("numbers", self)
        self.numbers.setToolTip("Write the numbers on the edges")

        self.units = QMenu(self)
        self.units.setToolTipsVisible(True)
        self.add = self._button("Add", "Add the selected unit, several, a family, or a pinned unit")
        opens(self.add, self.units)
        self.inputs = self._button("Inputs", "Add the strongest inputs of the selected node, with their weights")
        self.count = QSpinBox(self)
        self.count.setRange(1, 32)
        self.count.setValue(INPUTS)
        self.count.setToolTip("How many inputs are added")
        self.count.setAccessibleName("Number of inputs")
        self.source = ElidedComboBox(6, self)
        self.source.addItem(NEAREST, "")
        self.source.setToolTip("Layer whose units are the inputs")
        self.source.setAccessibleName("Layer of the inputs")
        self.connect_units = self._button("Connect", "Compute the weights between all units that are there, from each layer to the next")
        self.collapse = self._button("Collapse", "Show the selected units of a layer, or the family of the selected one, as one node")
        self.remove = self._button("Remove", "Remove the selected units, or the selected edge (Del)")
        self.trace = self._button("Trace…", "Let the strongest paths into the selected unit be found and tested")
        self.tree = self._button("Built from…", "Rebuild the selected unit from few earlier ones, those from few before them")
        self.live = self._button("Measure", "Measure faithfulness, completeness and minimality again after each edit")
        self.live.setCheckable(True)
        self.live.setChecked(True)
        self.cancel = self._button("Cancel", "Stop computing weights, tracing or rebuilding", "cancel")
        for late in (self.trace, self.tree, self.live, self.cancel):
            late.hide()

        shown = (self.measure, self.least, self.numbers)
        first = line_of(self.chooser, self.circuit, self.undo, self.redo, None, *shown, spacing=4, around=None)
        first.setStretchFactor(self.chooser, 1)
        edits = (self.add, self.inputs, self.count, self.source, self.connect_units, self.collapse, self.remove)
        second = line_of(*edits, self.trace, self.tree, self.live, None, self.cancel, spacing=4, around=None)
        second.setStretchFactor(self.source, 1)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(6, 4, 6, 2)
        whole.setSpacing(2)
        whole.addLayout(first)
        whole.addLayout(second)

    def _button(self, text: str, tip: str, picture: str = "", name: str = "") -> QToolButton:
        button = QToolButton(self)
        button.setText(text)
        button.setAutoRaise(True)
        button.setToolTip(tip)
        button.setAccessibleName(name or text)
        if picture:
            set_icon(button, picture)
            button.setIconSize(QSize(16, 16))
        if picture and text:
            button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        return button

    def on_drawing(self, changed: Callable[[], object]) -> None:
        """Call this when edges are to be drawn otherwise."""
        self.measure.currentIndexChanged.connect(lambda _index: changed())
        self.least.valueChanged.connect(lambda _value: changed())
        self.numbers.toggled.connect(lambda _on: changed())

    def offer_sources(self, layers: list[str]) -> None:
        """Offer layers to take inputs from, beside the nearest; what was chosen stays where it is among them."""
        chosen = self.source.currentText()
        if [self.source.itemText(i) for i in range(1, self.source.count())] != layers:
            self.source.clear()
            self.source.addItem(NEAREST, "")
            for layer in layers:
                self.source.addItem(layer, layer)
            self.source.setCurrentIndex(max(0, self.source.findText(chosen)))
