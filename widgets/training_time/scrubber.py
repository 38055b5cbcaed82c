"""A slider through a training: every dock follows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QSignalBlocker, Qt, QTimer, Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QSlider, QToolButton, QWidget

from widgets.buttons import push_button
from widgets.sight import in_sight
from widgets.views.axes import number
from workbench.jobs.checkpoint_requests import PrepareCheckpoints

if TYPE_CHECKING:
    from collections.abc import Sequence

    from widgets.session import Session
    from workbench.jobs.job import JobEvent
    from workbench.models.checkpoint_series import Series
    from workbench.models.layer import Unit


AHEAD, FIRST = 5, 16
"""Checkpoints on either side whose pictures are made ready, and units of the layer, in the order of their numbers."""
PAUSE = 400
"""Milliseconds that the slider rests before that begins."""


class Scrubber(QWidget):
    """Opens the checkpoint it stands at; layer and units stay selected.

    While one is being opened, only the newest of the others is kept in mind: so those on the way are seen, as far as there is time, and
    the last one always. The network that the training ended with is one click away.

    Attributes
    ----------
    trainings
        Those the slider can go through.
    """

    moved = Signal()
    """Another training, or another moment of it, is looked at."""

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(parent)
        self.session = session
        self.trainings: tuple[Series, ...] = ()
        self._waiting = ""  # reference of the checkpoint that is opened next
        self._asked = ""  # of the one that is being opened
        self._together: tuple[tuple[int, ...], str] = ((), "")
        self._home: tuple[str, Unit | None] = ("", None)  # what was selected in the final network
        self._again = QTimer(self, singleShot=True, interval=0)
        self._again.timeout.connect(self._select_together)
        self._rest = QTimer(self, singleShot=True, interval=PAUSE)
        self._rest.timeout.connect(self._prepare)
        self.training = QComboBox(self)
        self.training.setAccessibleName("Training")
        self.training.setToolTip("Which training the slider goes through")
        self.training.activated.connect(lambda _index: self._on_training())
        self.slider = QSlider(Qt.Orientation.Horizontal, self)
        self.slider.setAccessibleName("Moment of the training")
        self.slider.setToolTip("Drag: every panel shows the network as it was then")
        self.slider.setTickPosition(QSlider.TickPosition.TicksBelow)
        self.slider.setPageStep(3)
        self.slider.valueChanged.connect(lambda _value: self._on_slider())
        self.earlier, self.later = QToolButton(self), QToolButton(self)
        for button, arrow, tip, way in (
            (self.earlier, Qt.ArrowType.LeftArrow, "The checkpoint before", -1),
            (self.later, Qt.ArrowType.RightArrow, "The next checkpoint", 1),
        ):
            button.setArrowType(arrow)
            button.setAutoRaise(True)
            button.setToolTip(tip)
            button.setAccessibleName(tip)
            button.clicked.connect(lambda _checked, way=way: self.slider.setValue(self.slider.value() + way))
        self.where = QLabel(self)
        self.where.setMinimumWidth(self.fontMetrics().horizontalAdvance("00,000 updates · loss 0.000"))
        self.final = push_button(self, "Final network", "Back to the network that the training ended with", self.open_final)
        row = QHBoxLayout(self)
        row.setContentsMargins(6, 2, 6, 2)
        for widget in (self.training, self.earlier, self.slider, self.later, self.where, self.final):
            row.addWidget(widget, 1 if widget is self.slider else 0)
        session.model_changed.connect(lambda _card: self._follow())
        session.loading.connect(self._on_loading)
        self.show_trainings(())

    @property
    def series(self) -> Series | None:
        """The training that is looked at."""
        return self.trainings[self.training.currentIndex()] if self.trainings else None

    @property
    def step(self) -> int | None:
        """Updates at which the slider stands."""
        series = self.series
        return list(series.refs)[self.slider.value()] if series is not None else None

    def show_trainings(self, trainings: Sequence[Series]) -> None:
        """Offer these; stay at the one that is looked at where it is still among them, or go to that of the open network."""
        before = self.series
        self.trainings = tuple(trainings)
        with QSignalBlocker(self.training):
            self.training.clear()
            self.training.addItems([series.name for series in trainings])
            names = [series.name for series in trainings]
            self.training.setCurrentIndex(names.index(before.name) if before is not None and before.name in names else 0)
        with QSignalBlocker(self.slider):
            self.slider.setRange(0, len(self.series.refs) - 1 if self.series is not None else 0)
        self._follow()
        if self.series is not None and in_sight(self):  # the graph that all of them share is captured before the first drag
            last = list(self.series.refs.values())[-1]
            self.session.relay.submit(PrepareCheckpoints((last,), self.session.layer, ()))

    def knows(self, ref: str) -> bool:
        """Whether a network is a moment of these trainings."""
        return any(series.step_of(ref) is not None for series in self.trainings)

    # ------------------------------------------------------------------------------------------------ moving

    def go_to(self, step: float) -> None:
        """Go to the checkpoint nearest to so many updates."""
        if self.series is not None:
            steps = list(self.series.refs)
            self.slider.setValue(min(range(len(steps)), key=lambda at: abs(steps[at] - step)))

    def open_final(self) -> None:
        """Open what the training ended with, and select what was selected there where the checkpoints did not have it."""
        if self.series is None:
            return
        layer, unit = self._home if self._home[0] and self._home[0] not in self.session.layers else (self.session.layer, self.session.unit)
        self._waiting = ""
        self._together = (self.session.selection, self.session.family)
        self._asked = self.series.final
        self.session.open_model(self.series.final, layer=layer, unit=unit)

    def _on_training(self) -> None:
        """Look at the same moment of another training."""
        series, card = self.series, self.session.model
        if series is None:
            return
        with QSignalBlocker(self.slider):
            self.slider.setRange(0, len(series.refs) - 1)
        if card is not None and series.step_of(card.ref) is None:
            self._open(list(series.refs.values())[self.slider.value()])
        self._tell()

    def _on_slider(self) -> None:
        series, card = self.series, self.session.model
        if series is None:
            return
        ref = list(series.refs.values())[self.slider.value()]
        if card is None or card.ref != ref:
            self._open(ref)
        self._tell()

    def _open(self, ref: str) -> None:
        """Open a checkpoint, or remember it until the one that is being opened is there."""
        session = self.session
        if self._asked:
            self._waiting = ref
            return
        if session.model is not None and self.series is not None and session.model.ref == self.series.final:
            self._home = (session.layer, session.unit)
        self._together = (session.selection, session.family)
        self._asked = ref
        self._rest.start()
        session.open_model(ref, layer=session.layer, unit=session.unit)

    def _on_loading(self, event: JobEvent) -> None:
        """Go on with the newest once the one before is there, or could not be opened."""
        if not event.ended or getattr(event.request, "ref", "") != self._asked:
            return
        self._asked = ""
        if event.state != "done":
            self._waiting = ""
            self._follow()

    def _follow(self) -> None:
        """Stand where the open network is, unless a newer one is on its way."""
        card = self.session.model
        if self._waiting and not self._asked:
            ref, self._waiting = self._waiting, ""
            if card is None or ref != card.ref:
                self._open(ref)
        if card is not None and self.knows(card.ref):  # what it reads beside the image, its other moments read as well
            self.trainings = tuple(series.read_as(card.ref) for series in self.trainings)
        if card is not None and not self._asked:
            found = [(at, step) for at, series in enumerate(self.trainings) if (step := series.step_of(card.ref)) is not None]
            if found:
                own = next((place for place in found if place[0] == self.training.currentIndex()), found[0])
                with QSignalBlocker(self.training), QSignalBlocker(self.slider):
                    self.training.setCurrentIndex(own[0])
                    steps = list(self.trainings[own[0]].refs)
                    self.slider.setRange(0, len(steps) - 1)
                    self.slider.setValue(steps.index(own[1]))
                self._again.start()
        self._tell()

    def _prepare(self) -> None:
        """Have pictures rendered of the checkpoints that the slider may go to next, the nearest first."""
        series, session = self.series, self.session
        if series is None or not in_sight(self) or session.layer not in session.layers:
            return
        refs, here = list(series.refs.values()), self.slider.value()
        near = sorted((at for at in range(len(refs)) if 0 < abs(at - here) <= AHEAD), key=lambda at: abs(at - here))
        units = dict.fromkeys([*session.selection, *range(min(FIRST, session.layers[session.layer].units))])
        session.relay.submit(PrepareCheckpoints(tuple(refs[at] for at in near), session.layer, tuple(units)))

    def _select_together(self) -> None:
        """Select the other units again that were selected with the one that is looked at."""
        units, family = self._together
        session, layer = self.session, self.session.layers.get(self.session.layer)
        if session.unit is not None and session.unit.index in units and layer is not None and max(units) < layer.units:
            session.select_together(units, family)
        self._together = ((), "")

    def _tell(self) -> None:
        series, step = self.series, self.step
        known = series is not None and step is not None
        for widget in (self.slider, self.training, self.final):
            widget.setEnabled(known)
        self.training.setVisible(len(self.trainings) > 1)
        self.earlier.setEnabled(known and self.slider.value() > 0)
        self.later.setEnabled(known and self.slider.value() < self.slider.maximum())
        if series is None or step is None:
            self.where.setText("")
        else:
            self.final.setEnabled(self.session.model is None or self.session.model.ref != series.final)
            loss = [line["loss"] for line in series.logged if "loss" in line and line["step"] >= step][:1]
            self.where.setText(" · ".join([f"{step:,} updates", *(f"loss {number(value)}" for value in loss)]))
        self.moved.emit()
