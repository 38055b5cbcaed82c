"""A field for each number of a kernel template, and a handle or a slider that says the same; what cannot be is said at its field."""

from __future__ import annotations

import math

import numpy as np
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QComboBox, QFormLayout, QHBoxLayout, QLabel, QLineEdit, QSlider, QVBoxLayout, QWidget

from widgets.template_handles import HANDLES, placed
from widgets.theme import set_colour
from widgets.views.template_view import TemplateView
from workbench.kernel_ground import Ground
from workbench.kernel_templates import TEMPLATES, Knob, Template, TemplateError

STEPS = 500
"""Of a slider."""
WIDE = 50.0
"""Largest over smallest from which a slider goes in equal ratios."""


class TemplateForm(QWidget):
    """Offers the templates that can be written over what a unit reads, and their parameters."""

    written = Signal(str, object, object)
    """Name of the template, its parameters, and the kernel float32 ``channel y x``, whenever all fields can be."""
    previewed = Signal(object)
    """The kernel while a handle or a slider is held; None when it was let go where no kernel can be written."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._ground: Ground | None = None
        self._fields: dict[str, QLineEdit] = {}
        self._complaints: dict[str, QLabel] = {}
        self._sliders: dict[str, tuple[Knob, QSlider]] = {}
        self._written: dict[str, float] | None = None
        self.picture = TemplateView(self)
        self.picture.setToolTip("Drag the squares: each stands for one or two of the numbers below")
        self.picture.dragged.connect(self._drag)
        self.picture.dropped.connect(self._drop)
        self.picture.hide()
        self.kind = QComboBox(self)
        self.kind.setAccessibleName("Template")
        self.kind.setToolTip("What the kernel is written as; only what can be made of what the unit reads is offered")
        self.kind.activated.connect(lambda _index: self._choose())
        self.help = QLabel(self, wordWrap=True)
        self.complaint = QLabel(self, wordWrap=True)
        self._rows = QWidget(self)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(4, 2, 4, 2)
        whole.setSpacing(3)
        for widget in (self.kind, self.help, self.picture, self.complaint, self._rows):
            whole.addWidget(widget)
        whole.addStretch(1)

    def show_ground(self, ground: Ground | None) -> None:
        """Offer what can be written over it; None for nothing."""
        over = None if self._ground is None else self._ground.over
        self._ground = ground
        self.setEnabled(ground is not None)
        if ground is None or ground.over == over:
            return
        self.kind.clear()
        self.kind.addItem("choose a template …", "")
        for name, one in TEMPLATES.items():
            if ground.over in one.over:
                self.kind.addItem(one.title, name)
        self._fill(None)

    def show_template(self, name: str, parameters: dict[str, float]) -> None:
        """Show what a kernel was written from, without writing it; an empty name for none."""
        place = max(0, self.kind.findData(name))
        if place != self.kind.currentIndex() or (place and not self._fields):
            self.kind.setCurrentIndex(place)
            self._fill(TEMPLATES[name] if place else None)
        for knob, value in parameters.items():
            if knob in self._fields and self._fields[knob].text() != f"{value:g}":
                self._fields[knob].setText(f"{value:g}")
        if place and (found := self._read()) is not None:
            self._written = found[0]

    def field(self, name: str) -> QLineEdit:
        """Return the field of a parameter."""
        return self._fields[name]

    def slider(self, name: str) -> QSlider:
        """Return the slider of a parameter that has no place on the picture."""
        return self._sliders[name][1]

    def complaint_at(self, name: str) -> str:
        """Return what is said at a field; empty where nothing is wrong."""
        return self._complaints[name].text()

    def _choose(self) -> None:
        name = self.kind.currentData()
        self._fill(TEMPLATES[name] if name else None)
        self._write()

    def _fill(self, chosen: Template | None) -> None:
        """Make the fields of a template."""
        self._fields, self._complaints, self._sliders, self._written = {}, {}, {}, None
        self.picture.clear()
        self.picture.setVisible(chosen is not None)
        on_picture = placed(chosen.name) if chosen is not None else frozenset()
        rows = QWidget(self)
        form = QFormLayout(rows)
        form.setContentsMargins(0, 2, 0, 2)
        form.setVerticalSpacing(2)
        for knob in self._knobs() if chosen is not None else ():
            self._add(form, knob, knob.name not in on_picture)
        self.layout().replaceWidget(self._rows, rows)
        self._rows.hide()
        self._rows.deleteLater()
        self._rows = rows
        self.help.setText(chosen.help if chosen is not None else "Or paint on the kernel itself, cell by cell.")
        self._say("")

    def _add(self, form: QFormLayout, knob: Knob, slides: bool) -> None:
        field = QLineEdit(f"{knob.default:g}", self)
        field.setAccessibleName(knob.name.replace("_", " "))
        field.setToolTip(f"{knob.help}\n{knob.low:g} to {knob.high:g} {knob.unit}".rstrip())
        field.editingFinished.connect(self._write)
        said = QLabel(self, wordWrap=True)
        set_colour(said, "error")
        said.hide()
        line = QHBoxLayout()
        line.addWidget(field, 1)
        if slides:
            slider = QSlider(Qt.Orientation.Horizontal, self)
            slider.setRange(0, STEPS)
            slider.setAccessibleName(f"{field.accessibleName()}, by hand")
            slider.setToolTip(field.toolTip())
            slider.setValue(_step_of(knob, knob.default))
            slider.valueChanged.connect(lambda step, of=knob, by=slider: self._slide(of, step, by.isSliderDown()))
            slider.sliderReleased.connect(self._drop)
            line.addWidget(slider, 1)
            self._sliders[knob.name] = knob, slider
        form.addRow(f"{knob.name.replace('_', ' ')}{f' ({knob.unit})' if knob.unit else ''}", line)
        form.addRow("", said)
        self._fields[knob.name], self._complaints[knob.name] = field, said

    # ------------------------------------------------------------------------------------------------ by hand

    def _drag(self, changed: dict[str, float]) -> None:
        """Take what a handle stands for, as far as its parameter goes, and show the kernel."""
        for knob in self._knobs():
            if knob.name in changed:
                self._fields[knob.name].setText(f"{_within(knob, changed[knob.name]):.4g}")
        self._preview()

    def _slide(self, knob: Knob, step: int, held: bool) -> None:
        self._fields[knob.name].setText(f"{_value_at(knob, step):.4g}")
        if held:
            self._preview()
        else:  # by the keyboard or the wheel
            self._write()

    def _preview(self) -> None:
        found = self._read()
        if found is not None:
            self.previewed.emit(found[1])

    def _drop(self) -> None:
        """Write what was dragged, as one edit; what was only clicked on is none."""
        if not self._write():
            self.previewed.emit(None)

    # ------------------------------------------------------------------------------------------------ writing

    def _knobs(self) -> tuple[Knob, ...]:
        """Return the parameters of the chosen template."""
        return TEMPLATES[self.kind.currentData()].parameters(self._ground.over) if self._ground is not None else ()

    def _numbers(self) -> tuple[dict[str, float], str]:
        """Return what stands in the fields, and the first of them that is no number."""
        values: dict[str, float] = {}
        wrong = ""
        for knob, field in self._fields.items():
            try:
                values[knob] = float(field.text().replace(",", "."))
            except ValueError:
                wrong = wrong or knob
        return values, wrong

    def _read(self) -> tuple[dict[str, float], np.ndarray] | None:
        """Return the fields and the kernel they give, and show both; where there is none, say why at its field."""
        for said in self._complaints.values():
            said.setText("")
            said.hide()
        self._say("")
        name = self.kind.currentData()
        if not name or self._ground is None:
            return None
        values, wrong = self._numbers()
        if wrong:
            self._refuse(wrong, f"{self._fields[wrong].text()!r} is not a number")
            return None
        for knob, slider in self._sliders.values():
            slider.blockSignals(True)
            slider.setValue(_step_of(knob, values[knob.name]))
            slider.blockSignals(False)
        try:
            kernel = TEMPLATES[name].kernel(self._ground, values)
        except TemplateError as error:
            self._refuse(error.field, error.reason)
            if all(math.isfinite(value) for value in values.values()):
                self.picture.move_to({knob.name: _within(knob, values[knob.name]) for knob in self._knobs()})
            return None
        self.picture.show_template(kernel, HANDLES[name], values, TEMPLATES[name].title)
        return values, kernel

    def _write(self) -> bool:
        """Write the kernel where all fields can be and say what is not written yet; return whether they can."""
        found = self._read()
        if found is not None and found[0] != self._written:
            self._written = found[0]
            self.written.emit(self.kind.currentData(), *found)
        return found is not None

    def _refuse(self, field: str, reason: str) -> None:
        if field in self._complaints:
            self._complaints[field].setText(reason)
            self._complaints[field].show()
        else:
            self._say(reason)

    def _say(self, text: str) -> None:
        self.complaint.setText(text)
        set_colour(self.complaint, "error")
        self.complaint.setVisible(bool(text))


def _within(knob: Knob, value: float) -> float:
    """Return the nearest value that a parameter can have."""
    return min(knob.high, max(knob.low, value))


def _step_of(knob: Knob, value: float) -> int:
    """Return the step of a slider at which a value is."""
    if not math.isfinite(value):
        return 0
    value = _within(knob, value)
    if knob.low > 0 and knob.high / knob.low > WIDE:
        return round(STEPS * math.log(value / knob.low) / math.log(knob.high / knob.low))
    return round(STEPS * (value - knob.low) / (knob.high - knob.low))


def _value_at(knob: Knob, step: int) -> float:
    """Return the value at a step of a slider."""
    share = step / STEPS
    if knob.low > 0 and knob.high / knob.low > WIDE:
        return float(knob.low * (knob.high / knob.low) ** share)
    return knob.low + share * (knob.high - knob.low)
