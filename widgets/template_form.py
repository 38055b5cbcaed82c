"""A field for each number of a kernel template; what cannot be is said at its field."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QFormLayout, QLabel, QLineEdit, QVBoxLayout, QWidget

from widgets.theme import signal_colour
from workbench.kernel_ground import Ground
from workbench.kernel_templates import TEMPLATES, Knob, Template, TemplateError


class TemplateForm(QWidget):
    """Offers the templates that can be written over what a unit reads, and their parameters."""

    written = Signal(str, object, object)
    """Name of the template, its parameters, and the kernel float32 ``channel y x``, whenever all fields can be."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._ground: Ground | None = None
        self._fields: dict[str, QLineEdit] = {}
        self._complaints: dict[str, QLabel] = {}
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
        for widget in (self.kind, self.help, self.complaint, self._rows):
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

    def field(self, name: str) -> QLineEdit:
        """Return the field of a parameter."""
        return self._fields[name]

    def complaint_at(self, name: str) -> str:
        """Return what is said at a field; empty where nothing is wrong."""
        return self._complaints[name].text()

    def _choose(self) -> None:
        name = self.kind.currentData()
        self._fill(TEMPLATES[name] if name else None)
        self._write()

    def _fill(self, chosen: Template | None) -> None:
        """Make the fields of a template."""
        self._fields, self._complaints = {}, {}
        rows = QWidget(self)
        form = QFormLayout(rows)
        form.setContentsMargins(0, 2, 0, 2)
        form.setVerticalSpacing(2)
        for knob in chosen.parameters(self._ground.over) if chosen is not None and self._ground is not None else ():
            self._add(form, knob)
        self.layout().replaceWidget(self._rows, rows)
        self._rows.hide()
        self._rows.deleteLater()
        self._rows = rows
        self.help.setText(chosen.help if chosen is not None else "Or paint on the kernel itself, cell by cell.")
        self._say("")

    def _add(self, form: QFormLayout, knob: Knob) -> None:
        field = QLineEdit(f"{knob.default:g}", self)
        field.setAccessibleName(knob.name.replace("_", " "))
        field.setToolTip(f"{knob.help}\n{knob.low:g} to {knob.high:g} {knob.unit}".rstrip())
        field.editingFinished.connect(self._write)
        said = QLabel(self, wordWrap=True)
        said.setStyleSheet(f"color: {signal_colour('error', self.palette()).name()}")
        said.hide()
        form.addRow(f"{knob.name.replace('_', ' ')}{f' ({knob.unit})' if knob.unit else ''}", field)
        form.addRow("", said)
        self._fields[knob.name], self._complaints[knob.name] = field, said

    def _write(self) -> None:
        """Write the kernel where all fields can be; say at its field what cannot."""
        name = self.kind.currentData()
        for said in self._complaints.values():
            said.setText("")
            said.hide()
        self._say("")
        if not name or self._ground is None:
            return
        values: dict[str, float] = {}
        for knob, field in self._fields.items():
            try:
                values[knob] = float(field.text().replace(",", "."))
            except ValueError:
                self._refuse(knob, f"{field.text()!r} is not a number")
                return
        try:
            kernel = TEMPLATES[name].kernel(self._ground, values)
        except TemplateError as error:
            self._refuse(error.field, error.reason)
            return
        self.written.emit(name, values, kernel)

    def _refuse(self, field: str, reason: str) -> None:
        if field in self._complaints:
            self._complaints[field].setText(reason)
            self._complaints[field].show()
        else:
            self._say(reason)

    def _say(self, text: str) -> None:
        self.complaint.setText(text)
        self.complaint.setStyleSheet(f"color: {signal_colour('error', self.palette()).name()}")
        self.complaint.setVisible(bool(text))
