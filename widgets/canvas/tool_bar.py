"""The tools of the canvases: a button for each, and how the one that is held draws."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QUndoStack
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QSpinBox,
    QToolButton,
    QWidget,
)

from widgets.canvas.colour_button import ColourButton
from widgets.canvas.hand import KEYS, TOOLS, WIDTHS, Hand, Tool
from widgets.choice_box import choice_box
from widgets.theme import set_icon
from widgets.undo_tip import tell_steps
from workbench.jobs.tuning_requests import STIMULI

WORDS: dict[Tool, str] = {
    "select": "Select an object: drag it, take its handles, Delete erases it",
    "brush": "Brush",
    "eraser": "Eraser: the ground shows again",
    "line": "Line; with Shift at steps of 15°",
    "arc": "Arc: drag from the circle's middle; the round handle is its radius",
    "rectangle": "Rectangle; with Shift a square",
    "ellipse": "Ellipse; with Shift a circle",
    "fill": "Fill what is connected and of nearly one colour",
    "picker": "Take the colour of a pixel",
    "stamp": "Stamp a picture that can be moved and scaled",
    "stimulus": "Put a parametric stimulus that stays editable",
}


class ToolBar(QWidget):
    """Changes what the hand holds."""

    changed = Signal()
    """Another tool or way of drawing."""
    family_wanted = Signal()
    """The stimulus tool was taken: its families are to be described."""

    def __init__(self, hand: Hand, undo: QUndoStack, parent: QWidget) -> None:
        super().__init__(parent)
        self.hand = hand
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(2)
        self.buttons: dict[str, QToolButton] = {}
        for tool in TOOLS:
            button = QToolButton(self, checkable=True, autoRaise=True, checked=tool == hand.tool)
            set_icon(button, tool)
            button.setToolTip(f"{WORDS[tool]} ({KEYS[tool]})")
            button.setAccessibleName(f"{tool.capitalize()} tool")
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # one by one: a group would be a single stop for Tab
            button.clicked.connect(lambda _checked, tool=tool: self.take(tool))
            self.buttons[tool] = button
            line.addWidget(button)
        line.addSpacing(6)
        self.colour = ColourButton(self, "Colour", "Colour that is drawn with", hand.colour)
        self.colour.taken.connect(self._set_colour)
        line.addWidget(self.colour)
        self.width_ = QDoubleSpinBox(self, minimum=100 * WIDTHS[0], maximum=100 * WIDTHS[1], singleStep=0.5, decimals=1, suffix=" %")
        self.width_.setAccessibleName("Width")
        self.width_.setToolTip("Width of strokes, lines and outlines, in parts of the image's shorter side ([ and ] change it)")
        self.width_.setValue(100 * hand.width)
        self.width_.valueChanged.connect(self._set_width)
        line.addWidget(self.width_)
        self.filled = QCheckBox("full", self)
        self.filled.setToolTip("Draw full shapes, not their outlines")
        self.filled.toggled.connect(self._set_filled)
        line.addWidget(self.filled)
        self.tolerance = QSpinBox(self, minimum=0, maximum=255, value=hand.tolerance, prefix="± ")
        self.tolerance.setAccessibleName("Tolerance")
        self.tolerance.setToolTip("How far the colour of what is filled may be off, in levels of 255")
        self.tolerance.valueChanged.connect(lambda value: setattr(hand, "tolerance", value))
        line.addWidget(self.tolerance)
        kinds = {name: (title, "") for name, title in STIMULI.items()}
        self.family = choice_box(QComboBox(self), kinds, "Kind of stimulus on the canvas")
        self.family.currentIndexChanged.connect(lambda _index: setattr(hand, "family", self.family.currentData()))
        line.addWidget(self.family)
        self.picture = QToolButton(self, text="Picture …")
        self.picture.setToolTip("Choose the picture that is stamped")
        self.picture.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        line.addWidget(self.picture)
        line.addStretch(1)
        steps: list[QToolButton] = []
        for name, tip, run, allowed, can in (
            ("undo", "Take back (Ctrl+Z)", undo.undo, undo.canUndoChanged, undo.canUndo()),
            ("redo", "Do again (Ctrl+Shift+Z)", undo.redo, undo.canRedoChanged, undo.canRedo()),
        ):
            button = QToolButton(self, autoRaise=True, toolTip=tip, enabled=can)
            set_icon(button, name)
            button.setAccessibleName(f"{name.capitalize()} on the canvas")
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            button.clicked.connect(run)
            allowed.connect(button.setEnabled)
            line.addWidget(button)
            steps.append(button)
        tell_steps(undo, *steps)
        self._offer()

    def take(self, tool: str) -> None:
        """Take a tool."""
        self.hand.tool = tool  # type: ignore[assignment]
        self._offer()
        if tool == "stimulus":
            self.family_wanted.emit()
        self.changed.emit()

    def thicken(self, factor: float) -> None:
        """Take a thicker or thinner brush."""
        self.hand.thicker(factor)
        self.show_hand()
        self.changed.emit()

    def show_hand(self) -> None:
        """Show what the hand holds."""
        for field, value in ((self.width_, 100 * self.hand.width), (self.filled, self.hand.filled)):
            field.blockSignals(True)
            field.setChecked(value) if isinstance(field, QCheckBox) else field.setValue(value)
            field.blockSignals(False)
        self.colour.show_colour(self.hand.colour)
        self.family.setCurrentIndex(max(0, self.family.findData(self.hand.family)))
        self._offer()

    def _offer(self) -> None:
        """Show which tool is held, and its fields."""
        tool = self.hand.tool
        for name, button in self.buttons.items():
            button.setChecked(name == tool)
        self.colour.setVisible(tool not in ("eraser", "select", "stamp", "stimulus"))
        self.width_.setVisible(tool in ("brush", "eraser", "line", "arc", "rectangle", "ellipse"))
        self.filled.setVisible(tool in ("rectangle", "ellipse"))
        self.tolerance.setVisible(tool == "fill")
        self.family.setVisible(tool == "stimulus")
        self.picture.setVisible(tool == "stamp")

    def _set_colour(self, colour: str) -> None:
        self.hand.colour = colour
        self.changed.emit()

    def _set_width(self, percent: float) -> None:
        self.hand.width = percent / 100
        self.changed.emit()

    def _set_filled(self, on: bool) -> None:
        self.hand.filled = on
        self.changed.emit()
