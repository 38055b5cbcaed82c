"""The objects of a drawing as a list, and the numbers of the one that is selected as fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QLabel,
    QListWidget,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from widgets.buttons import push_button
from widgets.canvas.colour_button import ColourButton
from widgets.scrolled import scrolled
from workbench.images.drawing import Drawing
from workbench.images.drawn_stimulus import Stimulus
from workbench.images.shapes import Box
from workbench.images.strokes import Line
from workbench.images.thing import Thing
from workbench.input_error import InputError
from workbench.jobs.tuning_requests import STIMULI

if TYPE_CHECKING:
    from workbench.images.stimulus import Parameter

DEGREES = ("start", "sweep", "angle")
HINT = "Draw on a canvas; what was drawn is listed here and stays editable."
WORDS = {"across": "width", "down": "height", "width": "thickness"}


class ObjectList(QWidget):
    """Shows one drawing's objects, the uppermost first."""

    chosen = Signal(int)
    """The place of an object that was clicked, -1 for none."""
    edited = Signal(int, object, str)
    """Place, the object as it is now, and the name of the number that changed."""
    removed = Signal(object)
    """Places of objects that are to be erased, a set."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._drawing = Drawing()
        self._place = -1
        self._parameters: Mapping[str, tuple[Parameter, ...]] = {}
        self._fields: dict[str, QWidget] = {}
        self._kind: object = None
        self._named = QLabel(self)
        self.list = QListWidget(self)
        self.list.setAccessibleName("Objects of the drawing")
        self.list.setToolTip("Objects of the drawing, the uppermost first; several can be selected and erased")
        self.list.setSelectionMode(QListWidget.SelectionMode.ExtendedSelection)
        self.list.itemSelectionChanged.connect(self._choose)
        self.erase = push_button(self, "Erase", "Take the selected objects off this drawing", self._remove)
        self.complaint = QLabel(self, wordWrap=True)
        self.complaint.hide()
        self._rows = QWidget(self)
        self.scroll = scrolled(self._rows, self, sideways=False)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(3)
        for widget, stretch in ((self._named, 0), (self.list, 2), (self.erase, 0), (self.complaint, 0), (self.scroll, 3)):
            whole.addWidget(widget, stretch)
        self.show_drawing("", Drawing(), -1)

    def describe(self, parameters: Mapping[str, tuple[Parameter, ...]]) -> None:
        """Take what the parameters of the families of stimuli are."""
        self._parameters, self._kind = parameters, None
        self._show_fields()

    def show_drawing(self, side: str, drawing: Drawing, place: int) -> None:
        """Show a drawing's objects, one of which is selected."""
        names = [_named(one) for one in drawing.objects]
        changed = drawing is not self._drawing or not self._named.text()
        self._drawing, self._place = drawing, place if place < len(names) else -1
        self._named.setText(f"<b>{side.capitalize()}</b>: {len(names)} object{'' if len(names) == 1 else 's'}" if names else HINT)
        self._named.setWordWrap(not names)
        self.list.setVisible(bool(names))
        self.erase.setVisible(bool(names))
        self.list.blockSignals(True)
        if changed:
            self.list.clear()
            self.list.addItems(names[::-1])
        row = len(names) - 1 - self._place if self._place >= 0 else -1
        if row != self.list.currentRow() or row < 0:
            self.list.clearSelection()
            self.list.setCurrentRow(row)
        self.list.blockSignals(False)
        self.erase.setEnabled(bool(self.list.selectedItems()))
        self._show_fields()

    def places(self) -> set[int]:
        """Return the places of the objects that are selected in the list."""
        return {len(self._drawing.objects) - 1 - index.row() for index in self.list.selectedIndexes()}

    def field(self, name: str) -> Any:
        """Return the field of a number."""
        return self._fields[name]

    def _choose(self) -> None:
        places = self.places()
        self.erase.setEnabled(bool(places))
        self.chosen.emit(max(places) if len(places) == 1 else -1)

    def _remove(self) -> None:
        if places := self.places():
            self.removed.emit(places)

    # ------------------------------------------------------------------------------------------------ fields

    def _show_fields(self) -> None:
        """Show the numbers of the selected object; the fields are made anew when it is another kind of object."""
        one = self._drawing.objects[self._place] if self._place >= 0 else None
        self.complaint.hide()
        kind = (self._place, one.family, bool(self._parameters)) if isinstance(one, Stimulus) else (self._place, type(one))
        if kind != self._kind:
            self._kind = kind
            self._make(one)
        for name, value in _numbers(one, self._parameters):
            field = self._fields.get(name)
            if field is None:
                continue
            field.blockSignals(True)
            if isinstance(field, ColourButton):
                field.show_colour(value)
            elif isinstance(field, QComboBox):
                field.setCurrentIndex(round(value))
            elif isinstance(field, QDoubleSpinBox | QSpinBox):
                field.setValue(value)
            field.blockSignals(False)

    def _make(self, one: Thing | None) -> None:
        self._fields = {}
        rows = QWidget()
        form = QFormLayout(rows)
        form.setContentsMargins(0, 2, 4, 2)
        form.setVerticalSpacing(2)
        form.setHorizontalSpacing(4)
        known = {part.name: part for part in self._parameters.get(one.family, ())} if isinstance(one, Stimulus) else {}
        for name, value in _numbers(one, self._parameters):
            field = self._field(name, value, known.get(name), rows)
            self._fields[name] = field
            form.addRow(WORDS.get(name, name.replace("_", " ")), field)
        if isinstance(one, Stimulus) and not known:
            form.addRow(QLabel("Its numbers come with the first stimulus that is drawn …"))
        self.scroll.setWidget(rows)  # deletes the one before
        self._rows = rows

    def _field(self, name: str, value: Any, part: Parameter | None, parent: QWidget) -> QWidget:
        if isinstance(value, str):
            button = ColourButton(parent, "Colour of the object", "Colour of the selected object", value)
            button.taken.connect(lambda colour: self._edit(name, colour))
            return button
        if isinstance(value, int):
            whole = QSpinBox(parent, minimum=0, maximum=255)
            whole.valueChanged.connect(lambda number: self._edit(name, number))
            whole.setAccessibleName(name)
            whole.setToolTip("How far the colour of what is filled may be off, in levels of 255")
            return whole
        if part is not None and part.names:
            choice = QComboBox(parent)
            choice.addItems(part.names)
            choice.setAccessibleName(name)
            choice.setToolTip(part.help)
            choice.currentIndexChanged.connect(lambda index: self._edit(name, float(index)))
            return choice
        field = QDoubleSpinBox(parent, decimals=3, singleStep=0.01, minimum=-4.0, maximum=4.0)
        angle = name in DEGREES or (part is not None and part.unit == "degrees")
        if angle:
            field.setDecimals(1)
            field.setSingleStep(5)
            field.setSuffix("°")
            field.setRange(0.0 if name != "sweep" else 0.1, 360.0)
            field.setWrapping(name != "sweep")
        if part is not None:
            low, high = part.bounds if part.spread != "circular" else (0.0, 360.0)
            field.setRange(max(low, -100.0), min(high, 100.0))  # a default without end is shown as the most
        elif name in ("radius", "width", "across", "down"):
            field.setMinimum(0.0 if name == "width" else 0.004)
        field.setAccessibleName(WORDS.get(name, name.replace("_", " ")))
        helps = f"{part.help}{f' ({part.unit})' if part.unit else ''}" if part is not None else _help(name)
        field.setToolTip(helps)
        field.valueChanged.connect(lambda number: self._edit(name, number))
        return field

    def _edit(self, name: str, value: Any) -> None:
        if not 0 <= self._place < len(self._drawing.objects):
            return
        one = self._drawing.objects[self._place]
        try:
            if isinstance(one, Stimulus):
                made: Thing = one.given(**{name: value})
            elif name == "angle":  # a line has it by its ends
                made = one.turned(value)
            else:
                made = replace(one, **{name: value})
        except InputError as error:
            self.complaint.setText(str(error))
            self.complaint.show()
            return
        self.edited.emit(self._place, made, name)


def _numbers(one: Thing | None, parameters: Mapping[str, tuple[Parameter, ...]]) -> list[tuple[str, Any]]:
    """Return what of an object is edited in fields, by name."""
    if one is None:
        return []
    if isinstance(one, Stimulus):
        values = dict(one.values)
        return [(part.name, values.get(part.name, part.default)) for part in parameters.get(one.family, ())]
    given = [(f.name, getattr(one, f.name)) for f in fields(one) if f.name not in ("points", "picture", "kind")]
    if isinstance(one, Line):
        given.insert(4, ("angle", one.direction))
    return [(name, float(value) if isinstance(value, int | float) and name != "tolerance" else value) for name, value in given]


def _named(one: Thing) -> str:
    if isinstance(one, Stimulus):
        return STIMULI.get(one.family, one.family)
    return f"{one.title}, {one.angle:.0f}°" if isinstance(one, Box) and one.angle else one.title


def _help(name: str) -> str:
    if name in DEGREES:
        return "Degrees that the arc goes on for" if name == "sweep" else "Degrees counter-clockwise; 0 points right"
    if name in ("x", "y", "x2", "y2"):
        return "From the image's middle, in parts of its shorter side: to the right, or downwards"
    return "In parts of the image's shorter side" + ("; 0 is full" if name == "width" else "")
