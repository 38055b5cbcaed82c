"""The units of a layer by how much the user's own image drives them, against what the open images do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QObject, Signal

from workbench.jobs.on_image_requests import UnitsOnImage
from workbench.recompute import Pick, Step

if TYPE_CHECKING:
    from widgets.session import Session
    from workbench.jobs.job import JobEvent

PERCENTILE = "percentile"
"""What the order is called in a saved state."""
TITLE = "On your image"


class ImageRanking(QObject):
    """Asks for the ranking when it is wanted, and keeps it while layer, images and image stay the same.

    Attributes
    ----------
    values
        Percentile of the activation on the image against the open images, in per cent, ``unit``; None while it is not known.
    note
        How far it is, or what it says.
    """

    changed = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._session = session
        self.values: np.ndarray | None = None
        self.note = ""
        self._request: UnitsOnImage | None = None
        self._job = 0
        self._ended = False
        self._outdated = False  # the region has changed since

    @property
    def possible(self) -> bool:
        """Whether there are an image and a set to compare it with."""
        session = self._session
        return session.model is not None and session.images is not None and session.image is not None and bool(session.layer)

    def forget(self) -> None:
        """Let go of a ranking that is about something else by now."""
        self._session.relay.cancel(self._job)
        self._outdated = False
        self._request, self.values, self.note = None, None, ""

    def forget_failure(self) -> None:
        """Let one that was cancelled or failed be asked for again."""
        if self._ended and self.values is None:
            self.forget()

    def finishing(self) -> bool:
        """Whether one is under way; then its end is waited for, and the region looked at by then is asked for."""
        self._outdated = self._request is not None and not self._ended
        return self._outdated

    def ask(self) -> None:
        """Ask for the ranking, unless it is there or on its way."""
        model, images, image = self._session.model, self._session.images, self._session.image
        if self._request is not None or model is None or images is None or image is None:
            return
        self._request = UnitsOnImage(model.ref, self._session.layer, image, images.ref, self._session.region)
        self.note = f"reading {images.name}"
        self._ended = False
        self._job = self._session.relay.submit(self._request, self._take)

    def step(self) -> Step | None:
        """Return the run of the analysis that the ranking comes from; None while it is not there."""
        if self.values is None or self._request is None or self._session.kept_image is None:
            return None
        parameters = {"layer": self._request.layer, "file": self._session.kept_image}
        if self._request.region is not None:
            parameters["region"] = list(self._request.region)
        return Step("UnitsOfImage", parameters, "ranking", (Pick("percentile", "percentile"),))

    def _take(self, event: JobEvent) -> None:
        if event.request is not self._request:
            return
        self._ended = event.ended
        if event.state == "done" and self._outdated:
            self.forget()
        elif event.state == "done":
            summary = event.result.summary
            self.values = 100 * event.result.arrays["percentile"]
            self.note = f"{'region ' if event.request.region else ''}against n = {summary['images']:,} images"
        elif event.ended:  # it is not asked again by itself; another image or layer, or choosing the order anew, does
            self.note = event.error or "cancelled"
        else:
            self.note = f"reading the images: {event.done / event.total:.0%}" if event.total else "reading the images"
        self.changed.emit()
