"""Pictures of units of several layers and networks, for the cards of a circuit graph."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QImage

from widgets.views.view import as_image
from workbench.jobs.thumbnail_requests import Level, Thumbnails
from workbench.models.layer import Unit

if TYPE_CHECKING:
    from widgets.session import Session
    from workbench.jobs.job import JobEvent

LEVELS: tuple[Level, ...] = ("coarse", "fine")


class CircuitPictures(QObject):
    """Asks for the pictures of units, coarse and then fine, layer by layer, and keeps them."""

    changed = Signal()
    """More pictures are there."""

    def __init__(self, session: Session, parent: QObject) -> None:
        super().__init__(parent)
        self._session = session
        self._found: dict[tuple[str, Unit], tuple[Level, QImage]] = {}
        self._asked: dict[tuple[str, str, Level], tuple[int, ...]] = {}

    def image(self, model: str, unit: Unit) -> QImage | None:
        """Return the picture of a unit, where it is there."""
        found = self._found.get((model, unit))
        return found[1] if found is not None else None

    def levels(self, model: str, layer: str, units: Iterable[int]) -> dict[int, str]:
        """Return of which level the pictures are that are there."""
        known = {unit: self._found.get((model, Unit(layer, unit))) for unit in units}
        return {unit: found[0] for unit, found in known.items() if found is not None}

    def want(self, model: str, units: Iterable[Unit]) -> None:
        """Ask for what is missing and was not asked for."""
        by_layer: dict[str, list[int]] = {}
        for unit in units:
            by_layer.setdefault(unit.layer, []).append(unit.index)
        for layer, numbers in by_layer.items():
            for level in LEVELS:
                missing = tuple(n for n in numbers if self._found.get((model, Unit(layer, n)), ("",))[0] not in (level, "fine"))
                if set(missing) <= set(self._asked.get((model, layer, level), ())):
                    continue
                self._asked[model, layer, level] = missing
                self._session.relay.submit(Thumbnails(model, layer, missing, level, purpose=f"circuit {layer}"), self._take)

    def _take(self, event: JobEvent) -> None:
        request, found = event.request, event.partial or event.result
        assert isinstance(request, Thumbnails)
        asked = (request.model, request.layer, request.level)
        if event.ended and self._asked.get(asked) == request.units:
            del self._asked[asked]
        for number, images in (found or {}).items():
            unit = (request.model, Unit(request.layer, number))
            if self._found.get(unit, ("",))[0] != "fine":
                self._found[unit] = request.level, as_image(images[0])
        if found:
            self.changed.emit()
