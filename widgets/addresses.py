"""Going to an address, and the address of what is selected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt, Signal

from workbench.address import Address
from workbench.models.layer import Unit
from workbench.unit_families import find_family

if TYPE_CHECKING:
    from widgets.session import Session
    from workbench.jobs.requests import ModelCard


class Addresses(QObject):
    """What of the session has an address, and the way there; opens networks and images that are not open."""

    view_wanted = Signal(str)
    """The view of an address that was gone to, such as ``inspector.histogram``."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._session = session
        self._awaited: Address | None = None
        # Queued: by then the session has told everyone what is selected in the new network.
        session.model_changed.connect(self._on_model, Qt.ConnectionType.QueuedConnection)

    def selected(self) -> Address:
        """Return the address of what is selected: a family, units, one unit, or the layer."""
        session = self._session
        model = session.model.ref if session.model is not None else ""
        if session.family and find_family(session.project.families, model, session.layer, session.family) is not None:
            return Address(model, layer=session.layer, family=session.family)
        several = session.selection if len(session.selection) > 1 else ()
        return Address(model, layer=session.layer, units=several or ((session.unit.index,) if session.unit is not None else ()))

    def of_unit(self, unit: Unit, view: str = "") -> Address:
        """Return the address of a unit of the open network, or of a view of it, which is one of the open images too."""
        session = self._session
        model = session.model.ref if session.model is not None else ""
        images = session.images.ref if view and session.images is not None else ""
        return Address(model, images, unit.layer, (unit.index,), view=view)

    def open(self, address: Address | str) -> None:
        """Go to an address; that it cannot be gone to is said in a message."""
        try:
            self.go(Address.parse(address) if isinstance(address, str) else address)
        except ValueError as error:
            self._session.report(str(error))

    def go(self, address: Address) -> None:
        """Open the network and the images of an address where they are not open, and select what it names.

        Raises
        ------
        ValueError
            When the open network or the investigation has not what it names. Of a network that is opened for it that is a message.
        """
        session = self._session
        self._awaited = None
        if address.images and (session.images is None or session.images.ref != address.images):
            session.open_images(address.images)
        here = session.model is not None and address.model in (session.model.ref, session.owner(address.layer) if address.layer else "")
        if address.model and not here:
            self._awaited = address
            family = find_family(session.project.families, address.model, address.layer, address.family)
            unit = Unit(address.layer, family.units[0]) if family is not None else address.unit
            session.open_model(address.model, layer=address.layer, unit=unit)
        elif address.layer and session.model is None and session.opening_model:
            self._awaited = address
        else:
            self._select(address)

    def _on_model(self, card: ModelCard | None) -> None:
        awaited, self._awaited = self._awaited, None
        if awaited is None or card is None or awaited.model not in ("", card.ref):
            return
        try:
            self._select(awaited)
        except ValueError as error:
            self._session.report(str(error))

    def _select(self, address: Address) -> None:
        session = self._session
        if address.layer and session.model is None:
            raise ValueError(f"no network is open to go to {address.place} in")
        if address.family:
            session.select_family(address.layer, address.family)
        elif address.unit is not None:
            layer = session.known_name(address.layer)
            if layer not in session.layers:
                session.select_layer(layer)  # says which is near
            for unit in address.units:
                session.check_unit(Unit(layer, unit))
            session.select_unit(Unit(layer, address.units[0]))
            session.select_together(address.units)
        elif address.layer:
            session.select_layer(address.layer)
        if address.view:
            self.view_wanted.emit(address.view)
