"""A network at every moment of its training: a slider that all panels follow, how units grow, and whether they do so abruptly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from PySide6.QtCore import Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QLabel, QSplitter, QVBoxLayout

from widgets.analysis_run import AnalysisRun
from widgets.buttons import push_button
from widgets.choice_box import choice_box
from widgets.docks import Panel
from widgets.elided_label import ElidedLabel
from widgets.file_dialogs import ask_for_folder
from widgets.sight import in_sight
from widgets.theme import say
from widgets.training_time.curve_table import CurveTable
from widgets.training_time.densify import Densify
from widgets.training_time.film import Film
from widgets.training_time.growth import METRICS, growth_of, losses_of, middle_of, span_of, told_of, verdict_of
from widgets.training_time.growth_plot import GrowthPlot
from widgets.training_time.scrubber import Scrubber
from workbench.jobs.checkpoint_requests import DescribeTrainings
from workbench.jobs.requests import RunAnalysis
from workbench.recompute import of_result
from workbench.training.commands import runs_folder

if TYPE_CHECKING:
    from widgets.session import Session
    from widgets.views.view import View
    from workbench.analyses.analysis import Result
    from workbench.jobs.job import JobEvent
    from workbench.models.checkpoint_series import Series

FOLLOWED = {
    "best": ("the best tuned units", "The units of the layer that end up best tuned, in every training"),
    "selected": ("the selected units", "The unit or units that are selected, or the family, in this training"),
}
FEATURES = {"curves": "to curves", "corners": "to corners"}
EXAMPLE = "bundled:inception"
NARROW = 760
"""Width in pixels below which the table of curves stands below the plot."""
INVITATION = "Open a network whose training was kept: then a slider goes through it here, and every panel follows."
LOOKING = "Looking for checkpoints of this network …"
NOT_YET = (
    "Run follows units through all checkpoints: how well each is tuned at every moment, beside all units of the layer, line units "
    "and random directions; then curves of gradual and of abrupt growth are compared. It takes minutes, and can be cancelled."
)


class PhaseChangePanel(Panel):
    """The trainings of the open network; slider and film follow the selected unit, the curves are computed when asked for."""

    id: ClassVar[str] = "phase_change"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._result: Result | None = None
        self._further: tuple[str, ...] = ()  # trainings that were added by hand
        self._first = ""  # the network whose trainings were looked up; at another moment of them it is still this one
        self._asked: DescribeTrainings | None = None
        self._looked_at: Series | None = None
        self._build()
        session.model_changed.connect(lambda _card: self._on_model())
        session.layer_changed.connect(lambda _name: self._tell_units())
        session.selection_changed.connect(lambda _units: self._tell_units())
        self._on_model()

    def _build(self) -> None:
        self.scrubber = Scrubber(self.session, self)
        self.scrubber.moved.connect(self._on_moved)
        self.example = push_button(self, f"Open {EXAMPLE}", "Its first layers are kept at many moments", self._open_example)
        self.add = push_button(self, "Add a training…", "Another training of the same network: the folder of its run", self._ask_folder)
        self.compute = push_button(self, "Run", NOT_YET, self._start)
        self.run = AnalysisRun(self, "Following units", "Stop following")
        self.run.said.connect(self._say)
        self.run.done.connect(self._take)
        self.run.in_place_of(self.compute)
        self.who = choice_box(QComboBox(self), FOLLOWED, "Units that are followed", self._tell_units)
        self.feature = choice_box(QComboBox(self), {name: (words, words) for name, words in FEATURES.items()}, "What tuned means")
        measures = {name: (words, words) for name, words in METRICS.items()}
        self.measure = choice_box(QComboBox(self), measures, "What is measured of them", self._show)
        self.each = QCheckBox("each unit", self)
        self.each.setToolTip("Draw every unit that is followed, beside their mean")
        self.each.toggled.connect(lambda _on: self._show())
        self.logarithmic = QCheckBox("log time", self)
        self.logarithmic.setToolTip("Logarithmic axis of updates: shows what happens early")
        self.logarithmic.setChecked(True)
        bar = QHBoxLayout()
        bar.setContentsMargins(6, 4, 6, 0)
        self.units = ElidedLabel(parent=self, mode=Qt.TextElideMode.ElideMiddle)
        for widget in (QLabel("Follow", self), self.who, self.feature, self.units, self.compute, self.run.cancel):
            bar.addWidget(widget)
        shown = QHBoxLayout()
        shown.setContentsMargins(6, 0, 6, 0)
        for widget in (self.measure, self.each, self.logarithmic, self.add, self.example):
            shown.addWidget(widget)
        shown.addStretch(1)
        self.said = QLabel(self, wordWrap=True)
        self.said.setMargin(4)
        self.film = Film(self.session, self, self._origin)
        self.film.picked.connect(self.scrubber.go_to)
        self.plot = GrowthPlot(self)
        self.plot.picked.connect(self.scrubber.go_to)
        self.logarithmic.toggled.connect(lambda on: setattr(self.plot, "logarithmic", on))
        self.table = CurveTable(self)
        self.splitter = QSplitter(Qt.Orientation.Horizontal, self, childrenCollapsible=False)
        self.splitter.addWidget(self.plot)
        self.splitter.addWidget(self.table)
        self.splitter.setSizes([500, 430])
        self.densify = Densify(self.session, self)
        self.densify.said.connect(self._say)
        self.densify.trained.connect(self._on_trained)
        self.parts = QSplitter(Qt.Orientation.Vertical, self, childrenCollapsible=False)
        self.parts.addWidget(self.film)
        self.parts.addWidget(self.splitter)
        self.parts.setSizes([130, 350])
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(2)
        whole.addWidget(self.scrubber)
        whole.addLayout(bar)
        whole.addLayout(shown)
        whole.addWidget(self.said)
        whole.addWidget(self.parts, 1)
        whole.addWidget(self.densify)
        self.setFocusProxy(self.scrubber.slider)

    # ------------------------------------------------------------------------------------------------ which trainings

    @property
    def _series(self) -> Series | None:
        return self.scrubber.series

    def _on_model(self) -> None:
        """Stay with the trainings that are looked at where the open network is of them; look up those of any other."""
        card = self.session.model
        if card is not None and self.scrubber.knows(card.ref):
            return
        self._further = ()
        self._nothing(LOOKING)
        self._look_up()

    def _look_up(self) -> None:
        card = self.session.model
        if card is None:
            self._nothing(INVITATION)
        elif in_sight(self):
            if not self._first or not self.scrubber.knows(card.ref):
                self._first = card.ref
            wanted = DescribeTrainings(self._first, self._further)
            if wanted != self._asked:
                self._asked = wanted
                self.session.relay.submit(wanted, self._take_trainings)

    def _take_trainings(self, event: JobEvent) -> None:
        if event.request is not self._asked:
            return
        if event.state == "failed":
            if self._further:
                self._further = self._further[:-1]
                self._asked = DescribeTrainings(self._first, self._further)  # those that are still here
                self._say(event.error, wrong=True)
            else:
                self._nothing(f"{event.error}.\nA network of your own has them once it was trained in the panel Training.")
        elif event.state == "done":
            if not self._further:
                self._forget()
            self.scrubber.show_trainings(event.result)
            self._ready()

    def _nothing(self, message: str) -> None:
        """Say why there is nothing here."""
        self._asked, self._first = None, ""
        self._forget()
        self.scrubber.show_trainings(())
        self.plot.clear(message)
        self._ready()

    def _ready(self) -> None:
        known = self._series is not None
        self.example.setVisible(not known)
        for widget in (self.compute, self.who, self.feature, self.measure, self.each, self.add):
            widget.setEnabled(known)
        self._tell_units()
        self._show()

    def _open_example(self) -> None:
        self.session.open_model(EXAMPLE)

    def _ask_folder(self) -> None:
        ask_for_folder(self, "Folder of a training run", lambda path: self.add_training(f"run:{path}"), runs_folder())

    def add_training(self, ref: str) -> None:
        """Look at another training of the same network beside those that are here."""
        if ref not in self._further:
            self._further = (*self._further, ref)
            self._look_up()

    def _on_trained(self, ref: str, of: Series) -> None:
        """Take the run in where what it was begun for is still looked at; another network's has no place here."""
        if of.final not in [series.final for series in self.scrubber.trainings]:
            self._say(f"Trained again: {Path(ref).name}; to see it open {of.final}, then add that run.")
            return
        self._asked = None  # the same one may have more checkpoints now
        self.add_training(ref)
        self._look_up()
        self._say(f"Trained again: {Path(ref).name} is among the checkpoints of its training, or for itself beside the slider.")

    # ------------------------------------------------------------------------------------------------ moving through time

    def _on_moved(self) -> None:
        """Mark the moment everywhere; another training has another film and another stretch."""
        series = self._series
        self.plot.mark(self.scrubber.step)
        self.film.look_at(series, self.scrubber.step)
        if series is not self._looked_at:
            self._looked_at = series
            self._show()

    # ------------------------------------------------------------------------------------------------ following units

    def _tell_units(self) -> None:
        """Say which units would be followed."""
        layer, selected = self.session.layer, self.session.selection
        if self.who.currentData() == "best":
            self.feature.show()
            self.units.setText(f"in {layer}" if layer else "")
        else:
            self.feature.hide()
            named = self.session.family or ", ".join(map(str, selected[:6])) + (" …" if len(selected) > 6 else "")
            self.units.setText(f"{layer}: {named}" if selected else "none is selected")
        ready = self._series is not None and bool(layer) and (self.who.currentData() == "best" or bool(selected))
        self.compute.setEnabled(ready)

    def _start(self) -> None:
        series, layer = self._series, self.session.layer
        if series is None or not layer:
            return
        asked: dict[str, Any] = {"layer": layer, "feature": self.feature.currentData()}
        if self.who.currentData() == "selected":
            asked["units"] = list(self.session.selection)
        elif self._further:
            asked["further"] = list(self._further)
        first = series if "units" in asked else self.scrubber.trainings[0]
        self.run.ask(RunAnalysis("PhaseChange", asked, first.final))

    def _take(self, result: Result) -> None:
        self._result = result
        self._show()

    def _forget(self) -> None:
        self.run.forget()
        self._result = None
        self.table.show_curves(None)
        self._say("")

    def _show(self) -> None:
        """Draw the metric that is chosen, and its curves."""
        series, result, metric = self._series, self._result, self.measure.currentData()
        self.densify.setVisible(series is not None)
        self.table.setVisible(False)
        if series is None:
            return
        span, losses = span_of(result, metric, series), losses_of(series)
        middle = middle_of(result, metric, series)
        self.densify.look_at(series, span, self.scrubber.step if middle is None else middle)
        told = told_of(result, metric)
        self.table.show_curves(told)
        self.table.setVisible(told is not None)
        curves = growth_of(result, metric, self.each.isChecked()) if result is not None else []
        without = "" if losses else "no loss was kept with the checkpoints of this training"
        if result is not None and curves:
            summary = result.summary
            units, trainings = sum(map(len, summary["units"].values())), len(summary["trainings"])
            band = " · band: middle of the rise" if span is not None else ""
            self.plot.show_growth(
                [*curves, *losses],
                title=f"{summary['layer']}: {summary['feature']}",
                label=METRICS[metric],
                note=f"n = {units} units, {trainings} training{'s' * (trainings != 1)}{band}",
                span=span,
                made_from=self._origin(units=summary["units"], verdict=told["verdict"] if told else None, without=without),
            )
            self.plot.recomputation = of_result(result, summary["layer"])
            left_out = [f"{name} is left out: {why}" for name, why in summary["without"].items()]
            self._say(" · ".join(part for part in (verdict_of(result, metric), *left_out, without) if part) + ".")
        elif result is not None:
            self.plot.clear(f"{METRICS[metric]} is not defined for what was followed; choose another measure.")
        elif losses:
            self.plot.show_growth(losses, title=f"Loss of {series.name}", label="", note="Run follows units", made_from=self._origin())
        else:
            self.plot.clear(f"{NOT_YET}\n\n{without.capitalize()}.")
        self.plot.mark(self.scrubber.step)

    def _origin(self, **more: object) -> dict[str, object]:
        """Return the provenance of a figure."""
        series = self._series
        of = {"model": series.final, "training": series.name, "checkpoints": len(series.refs)} if series is not None else {}
        return {**of, "address": str(replace(self.session.addresses.selected(), view=self.id)), **more}

    def _say(self, text: str, wrong: bool = False) -> None:
        say(self.said, text, wrong)
        self.said.setVisible(bool(text))

    # ------------------------------------------------------------------------------------------------ the panel's contract

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Put the table beside the plot, or below it where there is no room."""
        super().resizeEvent(event)
        wanted = Qt.Orientation.Vertical if event.size().width() < NARROW else Qt.Orientation.Horizontal
        if self.splitter.orientation() != wanted:
            self.splitter.setOrientation(wanted)

    def showEvent(self, event: Any) -> None:
        """Ask for what was not asked for while nobody looked."""
        super().showEvent(event)
        self._look_up()
        self.film.renew()

    @property
    def _boxes(self) -> tuple[tuple[str, QComboBox], ...]:
        return ("who", self.who), ("feature", self.feature), ("measure", self.measure), ("film", self.film.kind)

    def save_state(self) -> dict[str, Any]:
        """Keep what is shown and how."""
        return {
            **{name: box.currentData() for name, box in self._boxes},
            "each": self.each.isChecked(),
            "logarithmic": self.logarithmic.isChecked(),
        }

    def restore_state(self, state: dict[str, Any]) -> None:
        """Take it back."""
        for name, box in self._boxes:
            box.setCurrentIndex(max(0, box.findData(state.get(name))))
        self.each.setChecked(bool(state.get("each", False)))
        self.logarithmic.setChecked(bool(state.get("logarithmic", True)))

    def views(self) -> list[View]:
        """The curves and the film, as far as they are shown."""
        return [*([self.plot] if self.plot.data() else []), *([self.film.strip] if self.film.strip.rows else [])]
