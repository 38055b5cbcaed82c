"""What the network does on the two drawings, asked again and again while something is drawn.

One question of a kind is under way at a time, and the newest pair is asked about as soon as it is answered: a question that was replaced
by each movement of the mouse would never be answered while the mouse moves. Activations come first; patching runs inside the time they
leave, and while something is drawn only of the blocks that nobody has to wait for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PySide6.QtCore import QObject, QTimer, Signal

from workbench.jobs.canvas_requests import PairOnNetwork, PartsOnPair
from workbench.models.layer import Unit

if TYPE_CHECKING:
    from widgets.session import Session
    from workbench.jobs.job import JobEvent

AFFORDABLE = 0.02
"""Seconds that one step of patching may keep activations waiting while something is drawn."""
BREATH = 400
"""Milliseconds between two rounds of patching while something is drawn, in which only activations are computed."""
REST = 200
"""Milliseconds without a movement after which all blocks are patched."""

Pair = tuple[np.ndarray, np.ndarray]


class LiveAnswers(QObject):
    """Asks about the newest pair of images.

    Attributes
    ----------
    unit
        The unit that patching reads off; None for classes, or the output.
    """

    answered = Signal(object)
    """What `PairOnNetwork` found."""
    patched = Signal(object)
    """What `PartsOnPair` found."""
    part_patched = Signal(object)
    """Scores of some blocks, by name."""
    failed = Signal(str, str)
    """Which question failed, ``activations`` or ``patching``, and why."""

    def __init__(self, session: Session, parent: QObject) -> None:
        super().__init__(parent)
        self._session = session
        self.unit: Unit | None = None
        self._pair: Pair | None = None
        self._drawing = False
        self._asked: PairOnNetwork | None = None
        self._told: tuple[str, str, Pair] | None = None  # what was asked about last
        self._patching: PartsOnPair | None = None
        self._patched: tuple[str, Unit | None, Pair, bool] | None = None
        self._patching_job = 0
        self._rest = QTimer(self, singleShot=True, interval=REST)
        self._rest.timeout.connect(self._settle)
        self._breath = QTimer(self, singleShot=True, interval=BREATH)
        self._breath.timeout.connect(self._ask)

    def show(self, clean: np.ndarray, corrupt: np.ndarray, drawing: bool) -> None:
        """Ask about a pair; `drawing`: more are about to come."""
        self._pair = clean, corrupt
        if drawing and not self._drawing and self._patching is not None and self._patching.affordable > AFFORDABLE:
            self._session.relay.cancel(self._patching_job)  # it would keep activations waiting
            self._patched = None
        self._drawing = drawing
        if drawing:
            self._rest.start()
        else:
            self._rest.stop()
        self._ask()

    def forget(self) -> None:
        """Take no answer any more, and ask nothing."""
        self._rest.stop()
        self._breath.stop()
        self._pair = self._told = self._patched = None
        self._asked = self._patching = None

    def again(self) -> None:
        """Ask about the pair once more: another network, layer or unit is selected."""
        self._told = self._patched = None
        self._ask()

    def _settle(self) -> None:
        self._drawing = False
        self._ask()

    def _ask(self) -> None:
        model, layer = self._session.model, self._session.layer
        if self._pair is None or model is None or not layer:
            return
        if self._asked is None and not _same(self._told, (model.ref, layer, self._pair)):
            self._told = model.ref, layer, self._pair
            self._asked = PairOnNetwork(model.ref, layer, *self._pair)
            self._session.relay.submit(self._asked, self._take)
        waits = self._patching is not None or (self._drawing and self._breath.isActive()) or np.array_equal(*self._pair)
        if not waits and not _same(self._patched, (model.ref, self.unit, self._pair, self._drawing)):
            self._patched = model.ref, self.unit, self._pair, self._drawing
            affordable = AFFORDABLE if self._drawing else float("inf")
            self._patching = PartsOnPair(model.ref, *self._pair, self.unit, affordable)
            self._patching_job = self._session.relay.submit(self._patching, self._take_patched)

    def _take(self, event: JobEvent) -> None:
        if event.request is not self._asked or not event.ended:
            return
        self._asked = None
        if event.state == "done":
            self.answered.emit(event.result)
        elif event.state == "failed":
            self.failed.emit("activations", event.error)
        self._ask()

    def _take_patched(self, event: JobEvent) -> None:
        if event.request is not self._patching:
            return
        if isinstance(event.partial, dict):
            self.part_patched.emit(event.partial)
        if not event.ended:
            return
        self._patching = None
        if self._drawing:
            self._breath.start()
        if event.state == "done":
            self.patched.emit(event.result)
        elif event.state == "failed":
            self.failed.emit("patching", event.error)
        self._ask()


def _same(one: tuple[Any, ...] | None, other: tuple[Any, ...]) -> bool:
    """Whether two questions are the same; images are compared as objects."""
    return one is not None and all(a is b or (not isinstance(a, tuple) and a == b) or _alike(a, b) for a, b in zip(one, other, strict=True))


def _alike(one: object, other: object) -> bool:
    return isinstance(one, tuple) and isinstance(other, tuple) and all(a is b for a, b in zip(one, other, strict=True))
