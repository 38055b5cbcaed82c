"""Stimuli on the canvases are drawn by the worker, because their families need torch: what was drawn is kept here, the rest asked for."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QObject, Signal

from workbench.images.drawn_stimulus import Stimulus
from workbench.images.raster import Ink
from workbench.jobs.picture_requests import InkOf

if TYPE_CHECKING:
    from widgets.session import Session
    from workbench.jobs.job import JobEvent

KEPT = 64


class InkSupply(QObject):
    """Gives what was drawn, and asks for what was not: one stimulus at a time, the one wanted last next."""

    arrived = Signal()
    """A stimulus that was asked for is there."""

    def __init__(self, session: Session, parent: QObject) -> None:
        super().__init__(parent)
        self._session = session
        self._kept: OrderedDict[InkOf, Ink] = OrderedDict()
        self._asked: InkOf | None = None
        self._next: InkOf | None = None

    def __call__(self, stimulus: Stimulus, size: tuple[int, int]) -> Ink | None:
        """Return a stimulus' coverage and ink; None where it is not there yet, `arrived` follows then."""
        wanted = InkOf(stimulus, size)
        if wanted in self._kept:
            self._kept.move_to_end(wanted)
            return self._kept[wanted]
        self._next = wanted
        if self._asked is None:
            self._ask()
        return None

    def _ask(self) -> None:
        wanted, self._next = self._next, None
        if wanted is not None and wanted not in self._kept:
            self._asked = wanted
            self._session.relay.submit(wanted, self._take)

    def _take(self, event: JobEvent) -> None:
        if event.request is not self._asked or not event.ended:
            return
        assert self._asked is not None
        if event.state == "done":
            self._keep(self._asked, event.result)  # type: ignore[arg-type]
        elif event.state == "failed":  # what cannot be drawn shows nothing, and says so once
            self._session.report(event.error, event.details)
            self._keep(self._asked, (np.zeros(self._asked.size, np.float32), np.zeros(3)))
        self._asked = None
        self.arrived.emit()
        if self._asked is None:
            self._ask()

    def _keep(self, wanted: InkOf, ink: Ink) -> None:
        self._kept[wanted] = ink
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
