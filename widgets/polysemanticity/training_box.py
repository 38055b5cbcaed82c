"""Train a sparse autoencoder on the layer that is looked at, watch it, pause it, and open its latents as units."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import (
    QComboBox,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from widgets.buttons import push_button
from widgets.polysemanticity.names import free_name
from widgets.theme import say
from widgets.views.curve_plot import CurvePlot
from workbench.direction_set import NAME
from workbench.jobs.training_requests import ListRuns, Train
from workbench.models.loading import without_directions
from workbench.training.commands import runs_folder

if TYPE_CHECKING:
    from widgets.session import Session
    from workbench.jobs.job import JobEvent
    from workbench.jobs.runs import RunCard

KIND = "SparseAutoencoder"
SHOWN = ("loss", "explained", "dead")
MEASURED = ("explained", "unused")


class TrainingBox(QFrame):
    """A few settings, the curves of the run, and what can be done with it."""

    finished = Signal(object)
    """Folder of a run whose latents are to be kept."""

    def __init__(self, session: Session, layer: Callable[[], str], parent: QWidget) -> None:
        super().__init__(parent)
        self.session, self._layer = session, layer
        self._job = 0
        self._request: Train | None = None
        self._runs: dict[str, RunCard] = {}
        self._taken: frozenset[str] = frozenset()  # names of runs of any kind
        self._begun = False
        self._last = ""  # name of the run that was trained last, to be chosen once it is listed
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.latents = self._number(0, 131072, 0, "automatic", "Latents; automatic: 4 to 16 for each unit of the layer")
        self.kept = self._number(0, 1024, 0, "automatic", "Latents that are active at a position; automatic: up to 32")
        self.steps = self._number(50, 1_000_000, 2000, "", "Weight updates")
        self.name = QLineEdit(self)
        self.name.setToolTip("Folder of the run, and name of the directions; empty: the name that is shown in grey")
        self.runs = QComboBox(self)
        self.runs.setToolTip("Autoencoders that were trained before, on any network")
        self.runs.setMinimumContentsLength(14)
        form = QFormLayout()
        fields = {
            "Latents": self.latents,
            "Active": self.kept,
            "Updates": self.steps,
            "Name": self.name,
            "Runs": self.runs,
        }
        for text, widget in fields.items():
            widget.setAccessibleName(text)
            form.addRow(text, widget)
        self.start = push_button(self, "Train", "Train a new autoencoder on the activations of this layer", self._start)
        self.pause = push_button(
            self, "Pause", "Stop for now; Resume goes on from here, also after the window was closed", self._pause
        )
        self.use = push_button(
            self, "Open latents", "Open the network with the latents of the chosen run as units", self._use
        )
        buttons = QHBoxLayout()
        for button in (self.start, self.pause, self.use):
            buttons.addWidget(button)
        self.said = QLabel(self, wordWrap=True)
        left = QVBoxLayout()
        left.addLayout(form)
        left.addLayout(buttons)
        left.addWidget(self.said)
        left.addStretch(1)
        self.curves = CurvePlot(self)
        self.curves.setMinimumHeight(230)
        self.curves.clear(
            "Train writes the layer's activations as sums of few latents each. It goes on in the background."
        )
        whole = QHBoxLayout(self)
        whole.addLayout(left, 2)
        whole.addWidget(self.curves, 3)
        self.runs.currentIndexChanged.connect(lambda _index: self._choose())
        self.name.textChanged.connect(lambda _text: self._typed())
        self.refresh()

    def _number(self, least: int, most: int, value: int, special: str, tip: str) -> QSpinBox:
        box = QSpinBox(self)
        box.setRange(least, most)
        box.setValue(value)
        box.setSpecialValueText(special)
        box.setToolTip(tip)
        box.setGroupSeparatorShown(True)
        return box

    # Runs

    def list_runs(self) -> None:
        """Ask for the runs that are there."""
        self.session.relay.submit(ListRuns(runs_folder()), self._take_runs)

    def _take_runs(self, event: JobEvent) -> None:
        if event.state != "done":
            return
        chosen, self._last = self._last or self.runs.currentText(), ""
        self._taken = frozenset(card.folder.name for card in event.result)
        self._runs = {card.folder.name: card for card in event.result if card.recipe == KIND}
        self.runs.blockSignals(True)
        self.runs.clear()
        for name, card in self._runs.items():
            self.runs.addItem(name)
            tip = f"{card.settings.get('layer')} of {card.settings.get('network')}, {card.step:,} of {card.steps:,} updates"
            self.runs.setItemData(self.runs.count() - 1, tip)
        self.runs.setCurrentIndex(max(0, self.runs.findText(chosen)) if self._runs else -1)
        self.runs.blockSignals(False)
        self._choose(bool(self.said.text()))

    def _choose(self, silent: bool = False) -> None:
        """Show the chosen run; what became of the last one stays to be read until the user chooses another."""
        card = self._runs.get(self.runs.currentText())
        if card is not None and not self._job:
            self._draw(dict(card.curves), card.folder.name)
        if card is not None and not self._job and not silent:
            say(
                self.said,
                f"{card.folder.name}: {card.step:,} of {card.steps:,} updates, {card.settings.get('layer')}",
                False,
            )
        self.refresh()

    def _draw(self, curves: dict[str, Any], name: str) -> None:
        shown = {quantity: curves[quantity] for quantity in SHOWN if quantity in curves}
        if shown:
            self.curves.show_curves(
                shown, title=f"Autoencoder {name}", label="weight updates", note="means of 10 updates"
            )

    # What can be done

    def refresh(self) -> None:
        """Enable what is possible now."""
        ready = self.session.model is not None and self.session.images is not None and bool(self._layer())
        card = self._runs.get(self.runs.currentText())
        self.name.setPlaceholderText(free_name(f"{self._layer() or 'layer'}-sae", self._taken))
        self.start.setEnabled(ready and not self._job and not self._objection())
        self.pause.setText("Pause" if self._job or card is None or card.step >= card.steps else "Resume")
        self.pause.setEnabled(bool(self._job) or (card is not None and card.step < card.steps))
        self.use.setEnabled(not self._job and card is not None and card.step > 0)

    def _wanted(self) -> str:
        return self.name.text().strip() or self.name.placeholderText()

    def _objection(self) -> str:
        """Say why the name cannot be taken; empty where it can."""
        name = self._wanted()
        if not NAME.fullmatch(name):
            return f"{name} cannot be a name: use letters, digits, - _ and dots."
        return f"There is a run {name} already; choose another name." if name in self._taken else ""

    def _typed(self) -> None:
        if not self._job:
            say(self.said, self._objection(), True)
        self.refresh()

    def _start(self) -> None:
        model, images = self.session.model, self.session.images
        if model is None or images is None:
            return
        settings = {
            "network": without_directions(model.ref),
            "layer": self._layer(),
            "images": images.ref,
            "latents": self.latents.value(),
            "kept": self.kept.value(),
            "steps": self.steps.value(),
        }
        self._submit(Train(KIND, settings, Path(runs_folder()) / self._wanted()))

    def _pause(self) -> None:
        if self._job:
            say(self.said, "Pausing after this update …", False)
            self.session.relay.cancel(self._job)
            return
        card = self._runs.get(self.runs.currentText())
        if card is not None and card.step < card.steps:
            self._submit(Train(card.recipe, card.settings, card.folder))

    def _submit(self, request: Train) -> None:
        self._request, self._begun = request, False
        self._job = self.session.relay.submit(request, self._follow)
        say(self.said, f"{request.folder.name}: waiting for its turn …", False)
        self.refresh()

    def _follow(self, event: JobEvent) -> None:
        if event.request is not self._request or self._request is None:
            return
        name = self._request.folder.name
        if event.partial is not None:
            self._begun = True
            self._draw(event.partial.curves, name)
        if not event.ended:
            self._job = event.job
            if event.total:
                say(self.said, f"{name}: update {int(event.done):,} of {int(event.total):,}. {event.note}", False)
            return
        self._job, self._last = 0, name
        if event.state != "failed":  # who mends what failed wants to keep the name
            self.name.clear()
        if event.state == "failed":
            say(self.said, f"{name}: {event.error}", True)
        elif event.state == "done":
            measured, skipped = event.result.measured, event.result.skipped
            figures = ", ".join(f"{figure} {value:.3g}" for figure, value in measured.items() if figure in MEASURED)
            said = [f"{name}: finished; on {measured['held_out_images']:,} held-out images {figures}."]
            said += [f"{skipped[:1].upper()}{skipped[1:]}."] * bool(skipped)
            say(self.said, " ".join([*said, "Open latents makes its latents units of the network."]), False)
        elif self._begun and event.total and event.done >= event.total:
            say(self.said, f"{name}: finished, and cancelled before it was measured. Open latents measures it.", False)
        elif self._begun or name in self._runs:
            say(self.said, f"{name}: paused. Resume goes on from here.", False)
        else:
            say(self.said, f"{name}: cancelled before it began.", False)
        self.list_runs()
        self.refresh()

    def _use(self) -> None:
        card = self._runs.get(self.runs.currentText())
        if card is not None:
            self.finished.emit(card.folder)
