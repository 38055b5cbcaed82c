"""Train a stretch of a training again, and keep the network after every update of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QSignalBlocker, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSpinBox, QWidget

from widgets.buttons import push_button
from widgets.elided_label import ElidedLabel
from workbench.training.commands import runs_folder

if TYPE_CHECKING:
    from widgets.session import Session
    from workbench.jobs.job import JobEvent
    from workbench.jobs.training_requests import Train
    from workbench.models.checkpoint_series import Series

EXACT = (
    "Checkpoints keep weights and no optimizer state, so it begins at update 0 with the same recipe, data and seed: what is random of an "
    "update depends on these alone, and on the same machine the same weights come out. It takes as long as the training took up to there."
)
BUNDLED = (
    "No optimizer state comes with a bundled network, so it begins at update 0 with the recipe and the seed of its card. On another "
    "machine or in another precision rounding differs, and little by little the training: compare both before you take one for the other."
)
MOST = 2000
"""Updates of a stretch, at most: each is a file."""


class Densify(QWidget):
    """From the checkpoint before a transition to the one behind it; what comes of it is a run of its own."""

    said = Signal(str, bool)
    trained = Signal(str, object)
    """Reference of the run, once the stretch is there, and the `Series` it was begun for: another may be looked at by now."""

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(parent)
        self.session = session
        self._series: Series | None = None
        self._request: Train | None = None
        self._begun_for: Series | None = None
        self._job = 0
        self.first, self.last = QSpinBox(self), QSpinBox(self)
        for box, name in ((self.first, "First update that is kept"), (self.last, "Last update that is kept")):
            box.setAccessibleName(name)
            box.setToolTip(name)
            box.setGroupSeparatorShown(True)
            box.valueChanged.connect(lambda _value: self._tell())
        self.start = push_button(self, "Densify", "", self._start)
        self.cancel = push_button(self, "Cancel", "Stop training; the same button goes on from there later", self._stop)
        self.cancel.hide()
        self.about = ElidedLabel(parent=self)
        row = QHBoxLayout(self)
        row.setContentsMargins(6, 2, 6, 2)
        for widget in (QLabel("Keep every update from"), self.first, QLabel("to"), self.last):
            row.addWidget(widget)
        row.addWidget(self.about, 1)
        row.addWidget(self.start)
        row.addWidget(self.cancel)
        self.look_at(None, None, None)

    def look_at(self, series: Series | None, span: tuple[float, float] | None, around: float | None) -> None:
        """Offer the stretch of a training between the checkpoints around a transition.

        Parameters
        ----------
        span
            Between which updates it lies; None where that is not known.
        around
            The likeliest update, or the one that is looked at: where the stretch would hold too many, that between the checkpoints beside
            it is offered.
        """
        self._series = series
        steps = list(series.refs) if series is not None else [0, 1]
        middle = steps[0] if around is None else around
        first, last = steps[0], steps[-1] + MOST
        if span is not None:
            first = max([step for step in steps if step <= span[0]], default=steps[0])
            last = min([step for step in steps if step >= span[1]], default=steps[-1])
        if last - first >= MOST:
            first = max([step for step in steps if step < middle], default=steps[0])
            last = min([step for step in steps if step > middle], default=steps[-1])
        for box, value in ((self.first, first), (self.last, last)):
            with QSignalBlocker(box):
                box.setRange(steps[0], steps[-1])
                box.setValue(value)
        self._tell()

    def _why_not(self) -> str:
        if self._series is None or not self._series.recipe:
            return "There is no training to go through again"
        if self.last.value() <= self.first.value():
            return "The last update must come after the first"
        kept = self.last.value() - self.first.value() + 1
        return f"{kept:,} networks are too many to keep; choose a stretch of at most {MOST:,}" if kept > MOST else ""

    def _tell(self) -> None:
        wrong, kept = self._why_not(), self.last.value() - self.first.value() + 1
        self.about.show_text(wrong or f"{kept:,} networks")
        self.start.setEnabled(not wrong)
        bundled = self._series is not None and self._series.final.startswith("bundled:")
        self.start.setToolTip(wrong or (BUNDLED if bundled else EXACT))

    def folder(self) -> Path:
        """Name the folder of the run: it says what was trained again and which stretch, so that the same one goes on where it stopped."""
        assert self._series is not None
        name = Path(self._series.final.partition(":")[2].partition("?")[0]).name
        which = "" if self._series.name == name else f"-{self._series.name.replace(' ', '').replace('/', '-')}"
        return runs_folder() / f"{name}{which}-dense-{self.first.value()}-{self.last.value()}"

    def _start(self) -> None:
        from workbench.jobs.training_requests import Train

        assert self._series is not None
        self._begun_for = self._series
        settings = {**self._series.parameters, "dense_from": self.first.value(), "dense_to": self.last.value()}
        precision = self._series.precision or "auto"  # in another one it would become another training
        self._request = Train(self._series.recipe, settings, self.folder(), precision=precision, until=self.last.value())
        self.start.hide()
        self.cancel.show()
        self._job = self.session.relay.submit(self._request, self._take)

    def _stop(self) -> None:
        self.session.relay.cancel(self._job)

    def _take(self, event: JobEvent) -> None:
        if event.request is not self._request:
            return
        if event.ended:
            self.start.show()
            self.cancel.hide()
        if event.state == "failed":
            self.said.emit(event.error, True)
        elif event.state == "cancelled":
            self.said.emit(f"Stopped. Densify goes on from there; so does the panel Training, with {event.request.folder.name}.", False)
        elif event.state == "done":
            self.trained.emit(f"run:{event.request.folder}", self._begun_for)
        elif event.state == "progress" and event.total:
            self.said.emit(f"Training again: update {event.done:,.0f} of {event.total:,.0f} · {event.note}", False)
