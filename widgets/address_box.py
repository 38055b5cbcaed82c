"""Going somewhere by its address."""

from __future__ import annotations

from PySide6.QtCore import QStringListModel, Qt
from PySide6.QtWidgets import QCompleter, QLabel, QWidget

from widgets.overlay import Overlay
from widgets.session import Session
from widgets.theme import say
from workbench.address import Address


class AddressBox(Overlay):
    """Asks for an address, short (``layer:index``) or whole, completes the layer's name, and goes there."""

    def __init__(self, session: Session, window: QWidget) -> None:
        super().__init__(window, 520)
        self._session = session
        self.field.setAccessibleName("Address of a unit")
        self.field.setPlaceholderText("layer:index, layer:{family}, the name of a layer, or a copied address")
        self._names = QStringListModel(self)
        completer = QCompleter(self._names, self)
        completer.setFilterMode(Qt.MatchFlag.MatchContains)
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self.field.setCompleter(completer)
        self.field.returnPressed.connect(self._go)
        self.field.textEdited.connect(lambda: self._say(""))
        self.complaint = QLabel(wordWrap=True)
        self.column.addWidget(self.complaint)

    def open(self) -> None:
        """Show the present address, ready to be typed over."""
        self._names.setStringList([f"{name}:" for name in self._session.layers])
        self._say("")
        selected = self._session.addresses.selected()
        self.field.setText(str(selected.place) if selected.unit is not None or selected.family else f"{self._session.layer}:")
        super().open()
        self.field.selectAll()

    def _say(self, complaint: str) -> None:
        hint = f"Type an address such as {self._session.layer or 'layer1'}:12, or paste one that was copied (Ctrl+Shift+C)"
        say(self.complaint, complaint or hint, wrong=bool(complaint))
        self.place()

    def _go(self) -> None:
        address = self.field.text().strip()
        try:
            if address.rstrip(":") in self._session.layers:
                self._session.select_layer(address.rstrip(":"))
            else:
                self._session.addresses.go(Address.parse(address))
        except ValueError as error:
            self._say(str(error))
            return
        self.close_overlay()
