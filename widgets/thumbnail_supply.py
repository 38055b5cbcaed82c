"""Keeps a grid supplied with images: decides what is rendered next, asks the worker for it, hands over what comes.

The order: coarse images on screen and one screen around it, then fine ones on screen and of selected units, then coarse ones of the
whole layer. What is on screen changes all the time; a request that is at work goes on while most of it is still wanted, since asking
anew throws away the batch at work. The worker lets a coarse request run inside the steps of a fine one.

Work that was started on purpose, such as a sweep, would wait until all of this is done, so then the two take turns: a batch of fine
images, then as long a pause; and the rest of the layer waits.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from PySide6.QtCore import QObject, QTimer, Signal

from widgets.relay import Relay
from widgets.sight import in_sight
from widgets.views.thumbnail_grid import ThumbnailGrid
from workbench.jobs.job import JobEvent
from workbench.jobs.requests import Sweep
from workbench.jobs.thumbnail_requests import Level, Thumbnails

PORTION = 8
"""Fine images that are rendered in turn with other work."""


@dataclass
class _Asked:
    """A request on its way, and when the worker began with it (until then, when it was asked)."""

    job: int
    units: tuple[int, ...]
    began: float = field(default_factory=time.monotonic)


class ThumbnailSupply(QObject):
    """Fills one grid, for one layer at a time; rests while the grid is hidden."""

    changed = Signal()
    """There is news: `done`, `total`, `stopped`, `failure`."""

    def __init__(self, grid: ThumbnailGrid, relay: Relay) -> None:
        super().__init__(grid)
        self._grid, self._relay = grid, relay
        self._model = self._layer = ""
        self._asked: dict[Level, _Asked] = {}
        self._work: set[int] = set()  # jobs that somebody started on purpose
        self.stopped = False
        self.failure: JobEvent | None = None
        self._soon = QTimer(self, singleShot=True, interval=0)
        self._soon.timeout.connect(self._ask)
        self._pause = QTimer(self, singleShot=True)
        self._pause.timeout.connect(self._ask)
        grid.visible_range.connect(self._go_on)
        grid.selectionModel().selectionChanged.connect(lambda _new, _old: self.hurry())
        relay.event.connect(self._watch)

    @property
    def total(self) -> int:
        """Images that are asked for at the moment."""
        return sum(len(asked.units) for asked in self._asked.values())

    @property
    def done(self) -> int:
        """How many of these are there."""
        return self.total - sum(len(self._left(level)) for level in self._asked)

    def begin(self, model: str, layer: str) -> None:
        """Forget all images and render those of a layer; an empty `model` for none."""
        for asked in self._asked.values():
            self._relay.cancel(asked.job)
        self._asked.clear()
        self._pause.stop()
        self._grid.forget_images()
        self._model, self._layer = model, layer
        self._go_on()
        self.changed.emit()

    def hurry(self) -> None:
        """Look again what is wanted, at the next turn of the event loop."""
        self._soon.start()

    def _go_on(self, _units: object = None) -> None:
        self.stopped, self.failure = False, None
        self.hurry()

    # ------------------------------------------------------------------------------------------------ what is wanted

    def _ask(self) -> None:
        if not self._model or self.stopped or not in_sight(self._grid):
            return
        grid = self._grid
        visible = grid.visible_units()
        coarse = [unit for unit in (*visible, *self._around(visible)) if not grid.level(unit)]
        fine = [unit for unit in dict.fromkeys((*visible, *grid.selected_units())) if grid.level(unit) != "fine"]
        if self._work:
            fine = [] if self._pause.isActive() else fine[:PORTION]
        elif not coarse and not fine and not self._asked:
            coarse = [unit for unit in grid.units if not grid.level(unit)]
        self._submit("coarse", coarse)
        self._submit("fine", fine)
        self.changed.emit()

    def _around(self, visible: Sequence[int]) -> list[int]:
        """One screen below, then one above."""
        if not visible:
            return []
        units = self._grid.units
        first = units.index(visible[0])
        last = first + len(visible)
        return [*units[last : last + len(visible)], *units[max(0, first - len(visible)) : first]]

    def _submit(self, level: Level, wanted: list[int]) -> None:
        left = self._left(level)
        if not wanted or (left and self._is_still_wanted(left, wanted)):
            return
        request = Thumbnails(self._model, self._layer, tuple(wanted), level)
        self._asked[level] = _Asked(self._relay.submit(request, self._take), request.units)

    def _left(self, level: Level) -> list[int]:
        """Units that were asked for and are not there yet."""
        asked = self._asked.get(level)
        return [unit for unit in asked.units if self._grid.level(unit) not in (level, "fine")] if asked else []

    @staticmethod
    def _is_still_wanted(left: Sequence[int], wanted: Sequence[int]) -> bool:
        """Whether most of it is, and what is rendered now is among what is wanted first."""
        first = wanted[: max(PORTION, len(wanted) // 2)]
        return left[0] in first and 2 * len(set(wanted).intersection(left)) >= len(left)

    # ------------------------------------------------------------------------------------------------ what comes

    def _take(self, event: JobEvent) -> None:
        request = event.request
        assert isinstance(request, Thumbnails)
        if (request.model, request.layer) != (self._model, self._layer):
            return
        if images := event.partial or event.result:
            self._grid.set_images({unit: pixels[0] for unit, pixels in images.items()}, fine=request.level == "fine")
        asked = self._asked.get(request.level)
        if asked is not None and asked.job == event.job:
            if event.state == "running":
                asked.began = time.monotonic()
            elif event.ended:
                self._end(request.level, event)
        self.changed.emit()

    def _end(self, level: Level, event: JobEvent) -> None:
        complete = not self._left(level)
        asked = self._asked.pop(level)
        self.stopped = event.state != "done" or not complete  # never ask for the same again and again
        self.failure = event if event.state == "failed" else None
        if level == "fine" and self._work:
            self._pause.start(round(1000 * (time.monotonic() - asked.began)))
        self.hurry()

    def _watch(self, event: JobEvent) -> None:
        """Take turns with work that was started on purpose."""
        if event.request.precedence < Sweep.rank:
            return
        if event.ended:
            self._work.discard(event.job)
            if not self._work:
                self._pause.stop()
            self.hurry()
        elif event.job not in self._work:
            self._work.add(event.job)
            fine = self._asked.get("fine")
            if fine is not None and len(self._left("fine")) > PORTION:
                del self._asked["fine"]
                self._relay.cancel(fine.job)
                self.hurry()
