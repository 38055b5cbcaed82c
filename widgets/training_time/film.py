"""A unit at every checkpoint of a training, as a strip of pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from widgets.choice_box import choice_box
from widgets.scrolled import scrolled
from widgets.sight import in_sight
from widgets.views.image_strip import ImageStrip, Picture, Row
from workbench.jobs.checkpoint_requests import UnitFilm
from workbench.models.layer import Unit

if TYPE_CHECKING:
    from widgets.session import Session
    from workbench.jobs.job import JobEvent
    from workbench.models.checkpoint_series import Series

FILMS = {
    "kernel": ("kernel", "Weights of the unit for the pixels it sees, all non-linearities left out; grey is 0, each on a scale of its own"),
    "visualization": ("visualization", "The image the unit responds to most, at each checkpoint; takes a second each"),
}


def captions(steps: Iterable[int]) -> list[str]:
    """Write numbers of updates as narrow as the smallest frame: ``4000``, ``12k``; in full where these would not differ."""
    steps = list(steps)
    short = [f"{step}" if step < 10_000 else f"{step / 1000:.0f}k" if step < 1_000_000 else f"{step / 1e6:.0f}M" for step in steps]
    return short if len(set(short)) == len(short) else [f"{step:,}" for step in steps]


class Film(QWidget):
    """Follows the selected unit; a click on a picture goes to its moment."""

    picked = Signal(int)
    """Updates of the picture that was clicked."""

    def __init__(self, session: Session, parent: QWidget, origin: Callable[..., Mapping[str, Any]]) -> None:
        super().__init__(parent)
        self.session, self._origin = session, origin
        self._series: Series | None = None
        self._step: int | None = None
        self._request: UnitFilm | None = None
        self._job = 0
        self._frames: dict[int, np.ndarray] = {}
        self.kind = choice_box(QComboBox(self), FILMS, "What the film shows of the unit", self.renew)
        self.title = QLabel(self)
        self.strip = ImageStrip(smallest=28, largest=64)
        self.strip.setAccessibleName("The unit at every checkpoint")
        self.strip.picked.connect(self._pick)
        head = QHBoxLayout()
        head.setContentsMargins(8, 2, 6, 0)
        head.addWidget(self.title, 1)
        head.addWidget(self.kind)
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.strip)
        column.addStretch(1)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(0)
        whole.addLayout(head)
        whole.addWidget(scrolled(content, self, tab_stop=False), 1)
        self._soon = QTimer(self, singleShot=True, interval=0)  # a new network, layer and unit come one after the other
        self._soon.timeout.connect(self.renew)
        session.layer_changed.connect(lambda _name: self._soon.start())
        session.unit_changed.connect(lambda _unit: self._soon.start())

    def look_at(self, series: Series | None, step: int | None) -> None:
        """Show a training, and mark a moment of it."""
        if series is not self._series:
            self._soon.start()
        self._series, self._step = series, step
        self._draw()

    def renew(self) -> None:
        """Ask for the frames of the selected unit, if somebody is looking."""
        series, unit = self._series, self.session.unit
        wanted = None
        if series is not None and unit is not None:
            wanted = UnitFilm(tuple(series.refs.items()), unit.layer, unit.index, self.kind.currentData())
        if wanted != self._request and in_sight(self):
            self.session.relay.cancel(self._job)
            self._request, self._frames = wanted, {}
            if wanted is not None:
                self._job = self.session.relay.submit(wanted, self._take)
        self._draw()

    def _take(self, event: JobEvent) -> None:
        if event.request is not self._request:
            return
        if event.state == "failed":
            self._request = None
            self.strip.clear(f"No film: {event.error}.")
        elif found := event.partial or event.result:
            self._frames |= found
            self._draw()

    def _pick(self, _row: int, place: int) -> None:
        if self._series is not None:
            self.picked.emit(list(self._series.refs)[place])

    def _draw(self) -> None:
        series, film = self._series, self._request
        self.kind.setVisible(series is not None)
        if series is None:
            self.title.setText("")
            self.strip.clear()
        elif film is None:
            self.title.setText("")
            self.strip.clear(self.strip.message or "Click a unit in the panel Neurons: here stands what it was at every moment.")
        elif film.checkpoints == tuple(series.refs.items()):
            unit = Unit(film.layer, film.unit)
            words, tip = FILMS[film.shown]
            self.title.setText(f"<b>{unit}</b>, {words} · {series.name} · click a picture to go there")
            self.title.setToolTip(tip)
            pictures = tuple(
                Picture(self._frames.get(step), caption, tip=f"{unit} after {step:,} updates", chosen=step == self._step)
                for step, caption in zip(series.refs, captions(series.refs), strict=True)
            )
            self.strip.show_rows(
                [Row("", pictures, lines=4)],
                title=f"{unit} over {series.name}: {words}",
                made_from=self._origin(unit=str(unit), updates=list(series.refs), shown=tip),
            )

    def showEvent(self, event: Any) -> None:
        """Ask for what was not asked for while nobody looked."""
        super().showEvent(event)
        self._soon.start()
