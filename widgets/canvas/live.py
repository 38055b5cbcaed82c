"""What the network does on the two drawings, asked again and again while something is drawn.

One question of a kind is under way at a time, and the newest pair is asked about as soon as it is answered (`NewestQuestion`). Activations
come first; patching runs inside the time they leave, and while something is drawn only of the blocks that nobody has to wait for. While
nobody looks nothing is asked, and an answer about a network, layer or unit that is no longer selected is dropped, and scores of an earlier
pair once both images are alike. Each answer comes with what the images it is about show, in words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtWidgets import QWidget

from widgets.newest_question import NewestQuestion
from widgets.sight import in_sight
from workbench.jobs.canvas_requests import PairOnNetwork, PartsOnPair
from workbench.models.layer import Unit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from widgets.session import Session
    from workbench.jobs.job import JobEvent

AFFORDABLE = 0.02
"""Seconds that one step of patching may keep activations waiting while something is drawn."""
BREATH = 400
"""Milliseconds between two rounds of patching while something is drawn, in which only activations are computed."""
REST = 200
"""Milliseconds without a movement after which all blocks are patched."""


class Pair(NamedTuple):
    """Two images, and what stands on them, in words, by side."""

    clean: np.ndarray
    corrupt: np.ndarray
    told: Mapping[str, str]

    @property
    def alike(self) -> bool:
        """Whether both are the same."""
        return np.array_equal(self.clean, self.corrupt)


class LiveAnswers(QObject):
    """Asks about the newest pair of images while the widget it belongs to is looked at."""

    answered = Signal(object, object)
    """What `PairOnNetwork` found, and what its images show, in words, by side; so do the others."""
    patched = Signal(object, object)
    """What `PartsOnPair` found."""
    part_patched = Signal(object, object)
    """Scores of some blocks, by name."""
    failed = Signal(str, str)
    """Which question failed, ``activations`` or ``patching``, and why."""

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(parent)
        self._session, self._widget = session, parent
        self._unit: Unit | None = None
        self._patches = True
        self._pair: Pair | None = None
        self._answered: Pair | None = None  # the last one since something is drawn: what it does is known, and can be patched at once
        self._drawing = False
        self.activations = NewestQuestion(session.relay, self)
        self.activations.ended.connect(self._take)
        self._told: tuple[str, str, Pair] | None = None  # what was asked about last
        self._patching: PartsOnPair | None = None
        self._patched: tuple[str, Unit | None, Pair, bool] | None = None
        self._patching_job = 0
        self._rest = QTimer(self, singleShot=True, interval=REST)
        self._rest.timeout.connect(self._settle)
        self._breath = QTimer(self, singleShot=True, interval=BREATH)
        self._breath.timeout.connect(self._ask)

    def show(self, clean: np.ndarray, corrupt: np.ndarray, drawing: bool, told: Mapping[str, str]) -> None:
        """Ask about a pair; `drawing`: more are about to come; `told`: what it shows."""
        self._pair = Pair(clean, corrupt, told)
        if self._pair.alike:  # what is under way is about an earlier pair, which is gone; it is patched anew should it come back
            self._patched = None
            if self._patching is not None:
                self._session.relay.cancel(self._patching_job)
        if drawing and not self._drawing and self._patching is not None and self._patching.affordable > AFFORDABLE:
            self._session.relay.cancel(self._patching_job)  # it would keep activations waiting
            self._patched = None
        if drawing and not self._drawing:
            self._answered = None
        self._drawing = drawing
        if drawing:
            self._rest.start()
        else:
            self._rest.stop()
        self._ask()

    def forget(self) -> None:
        """Take no answer any more, and ask nothing until the next pair: another network is open."""
        self._rest.stop()
        self._breath.stop()
        patching = self._patching is not None
        self._pair = self._answered = self._told = self._patched = self._patching = None
        self._drawing = False
        self.activations.forget()
        if patching:
            self._session.relay.cancel(self._patching_job)

    def again(self) -> None:
        """Ask what the network does on the pair once more: another layer is selected."""
        if self.activations.newest is None:  # one that is under way is dropped where it is of another layer
            self._told = None
        self._ask()

    def read_off(self, unit: Unit | None, patches: bool = True) -> None:
        """Read patched runs off something else.

        Parameters
        ----------
        unit
            The unit that is read off; None for classes, or the output.
        patches
            Whether there is something to read off; nothing is patched otherwise.
        """
        self._unit, self._patches, self._patched = unit, patches, None
        if self._patching is not None and not self._is_wanted(self._patching):
            self._session.relay.cancel(self._patching_job)
        self._ask()

    def _is_wanted(self, request: PartsOnPair) -> bool:
        model = self._session.model
        there = self._pair is not None and not self._pair.alike
        return there and self._patches and model is not None and (request.model, request.unit) == (model.ref, self._unit)

    def _settle(self) -> None:
        self._drawing = False
        self._ask()

    def _ask(self) -> None:
        model, layer = self._session.model, self._session.layer
        if self._pair is None or model is None or not layer or not in_sight(self._widget):
            return
        if not _same(self._told, (model.ref, layer, self._pair)):
            self._told = model.ref, layer, self._pair
            self.activations.ask(PairOnNetwork(model.ref, layer, *self._pair))
        pair = self._answered if self._drawing else self._pair
        waits = self._patching is not None or (self._drawing and self._breath.isActive()) or pair is None or pair.alike
        if pair is not None and self._patches and not waits and not _same(self._patched, (model.ref, self._unit, pair, self._drawing)):
            self._patched = model.ref, self._unit, pair, self._drawing
            affordable = AFFORDABLE if self._drawing else float("inf")
            self._patching = PartsOnPair(model.ref, pair.clean, pair.corrupt, self._unit, affordable, pair.told)
            self._patching_job = self._session.relay.submit(self._patching, self._take_patched)

    def _take(self, event: JobEvent) -> None:
        asked, model = event.request, self._session.model
        assert isinstance(asked, PairOnNetwork)
        if model is None or (asked.model, asked.layer) != (model.ref, self._session.layer):
            return  # another layer was selected meanwhile, and is asked about now
        if event.state == "done":
            self._answered = Pair(asked.clean, asked.corrupt, asked.drawings)
            self.answered.emit(event.result, asked.drawings)
        elif event.state == "failed":
            self.failed.emit("activations", event.error)
        elif self.activations.newest is None:
            self._told = None  # cancelled by hand: asked again with the next movement, not now
            return
        self._ask()

    def _take_patched(self, event: JobEvent) -> None:
        patching = self._patching
        if patching is None or event.request is not patching:
            return
        wanted = self._is_wanted(patching)
        if wanted and isinstance(event.partial, dict):
            self.part_patched.emit(event.partial, patching.drawings)
        if not event.ended:
            return
        self._patching = None
        if self._drawing:
            self._breath.start()
        if not wanted:
            pass  # something else is read off now
        elif event.state == "done":
            self.patched.emit(event.result, patching.drawings)
        elif event.state == "failed":
            self.failed.emit("patching", event.error)
        self._ask()


def _same(one: tuple[Any, ...] | None, other: tuple[Any, ...]) -> bool:
    """Whether two questions are the same; images are compared as objects."""
    return one is not None and all(a is b or (not isinstance(a, tuple) and a == b) or _alike(a, b) for a, b in zip(one, other, strict=True))


def _alike(one: object, other: object) -> bool:
    return isinstance(one, Pair) and isinstance(other, Pair) and one.clean is other.clean and one.corrupt is other.corrupt
