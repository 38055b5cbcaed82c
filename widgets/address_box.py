"""Going to a unit by its address."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QCompleter, QDialog, QLabel, QLineEdit, QVBoxLayout, QWidget

from widgets.session import Session
from widgets.theme import signal_colour
from workbench.models.layer import Unit


class AddressBox(QDialog):
    """Asks for ``layer:index``, completes the layer's name, and selects the unit; ``layer`` alone selects the layer."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Go to unit")
        self.setMinimumWidth(460)
        self._session = session
        self.field = QLineEdit(str(session.unit or f"{session.layer}:"))
        self.field.setAccessibleName("Address of a unit")
        completer = QCompleter([f"{name}:" for name in session.layers], self)
        completer.setFilterMode(Qt.MatchFlag.MatchContains)
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self.field.setCompleter(completer)
        self.field.returnPressed.connect(self._go)
        self.complaint = QLabel(wordWrap=True)
        layout = QVBoxLayout(self)
        layout.addWidget(QLabel("Address of a unit (layer:index), or the name of a layer"))
        layout.addWidget(self.field)
        layout.addWidget(self.complaint)
        self.field.selectAll()

    def _go(self) -> None:
        address = self.field.text().strip()
        try:
            if address.rstrip(":") in self._session.layers:
                self._session.select_layer(address.rstrip(":"))
            else:
                self._session.select_unit(Unit.parse(address))
        except ValueError as error:
            palette = self.complaint.palette()
            palette.setColor(self.complaint.foregroundRole(), signal_colour("error", palette))
            self.complaint.setPalette(palette)
            self.complaint.setText(str(error))
            return
        self.accept()
