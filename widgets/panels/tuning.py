"""What a unit does as a stimulus turns, bends and moves, by hand and at all orientations, and which units of the layer are tuned at all."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from PySide6.QtCore import QModelIndex, Qt
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QSplitter,
    QTableView,
    QVBoxLayout,
)

from widgets.analysis_run import AnalysisRun
from widgets.badge import Badge
from widgets.choice_box import choice_box
from widgets.docks import Panel
from widgets.elided_label import ElidedLabel
from widgets.newest_question import NewestQuestion
from widgets.scrolled import scrolled
from widgets.sight import in_sight
from widgets.theme import say
from widgets.tuning_figures import TuningFigures
from widgets.tuning_ranking import TWINS, RankingTable
from widgets.views.axes import number
from widgets.views.polar_plot import PolarPlot
from widgets.views.stimulus_view import StimulusView
from workbench.jobs.requests import RunAnalysis
from workbench.jobs.tuning_requests import STIMULI, UnitOnStimulus
from workbench.labels import primary
from workbench.models.layer import Unit
from workbench.owner import known_of
from workbench.recompute import of_result

if TYPE_CHECKING:
    from widgets.session import Session
    from widgets.views.view import View
    from workbench.analyses.analysis import Result
    from workbench.jobs.job import JobEvent
    from workbench.jobs.requests import ModelCard

AT_ONCE = 16
"""Units whose curves are drawn over one another, at most: each takes as many stimuli again."""
TURNED = ("curves", "lines", "corners", "line_ends", "gratings", "high_low")
"""Stimuli of which the analysis `Tuning` makes curves."""
UNTURNED = "This kind of stimulus has no orientation to turn; drag it on the left."
SILENT = "no response above the plain ground at any orientation"
INVITATION = "Open a network and choose a unit: here a stimulus stands that you can drag, and what the unit does at every orientation."


class TuningPanel(Panel):
    """The stimulus and the curves follow the selected unit; the ranking is of its layer and is computed when asked for."""

    id: ClassVar[str] = "tuning"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._given: dict[str, dict[str, float]] = {}  # where the stimulus is, by family
        self._dragged: set[str] = set()  # families whose stimulus the user put there: they stay when another unit is chosen
        self._dragged_in = session.model.ref if session.model is not None else ""  # the network they were put there in
        self._curves: Result | None = None  # of the unit
        self._layer_result: Result | None = None
        self._curves_asked: RunAnalysis | None = None
        self._curves_missing = False  # what was asked for failed or was cancelled; it may be tried again in Jobs
        self._curves_job = 0
        self._live = NewestQuestion(session.relay, self)
        self._live.ended.connect(self._take_stimulus)
        self._build()
        session.model_changed.connect(self._on_model)
        session.layer_changed.connect(self._on_layer)
        session.unit_changed.connect(self._on_unit)
        session.selection_changed.connect(lambda _units: self._renew())
        self._renew()

    def _build(self) -> None:
        kinds = {name: (title, "") for name, title in STIMULI.items()}
        self.family = choice_box(QComboBox(self), kinds, "Kind of stimulus", self._on_family)
        self.unit = ElidedLabel(parent=self, mode=Qt.TextElideMode.ElideMiddle)
        self.best = QPushButton("Best stimulus", self)
        self.best.setToolTip("Show the stimulus that the unit responded to most")
        self.best.clicked.connect(self._show_best)
        self.best.setEnabled(False)
        self.rank = QPushButton("Rank the layer", self)
        self.rank.setToolTip(f"Score every unit of the layer beside the best of {TWINS} random-weight twins; this takes minutes")
        self.rank.clicked.connect(self._ask_ranking)
        self.run = AnalysisRun(self, "Ranking the layer", "Stop ranking")
        self.run.said.connect(self._say)
        self.run.done.connect(self._take_ranking)
        bar = QHBoxLayout()
        bar.setContentsMargins(6, 4, 6, 2)
        bar.addWidget(self.family)
        bar.addWidget(self.unit, 1)
        bar.addWidget(self.best)
        bar.addWidget(self.rank)
        bar.addWidget(self.run.cancel)
        self.said = QLabel(self, wordWrap=True)
        self.said.setMargin(4)
        self.stimulus = StimulusView(self)
        self.stimulus.dragged.connect(self._on_dragged)
        self.polar = PolarPlot(self)
        self.figures = TuningFigures(self)
        self.table = RankingTable(self)
        self.list = QTableView(self)
        self.list.setModel(self.table)
        self.list.setAccessibleName("Units of the layer, best tuned first")
        self.list.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.list.verticalHeader().hide()
        self.list.verticalHeader().setDefaultSectionSize(20)
        self.list.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.list.clicked.connect(self._pick)
        self.list.activated.connect(self._pick)
        upper, lower = QSplitter(Qt.Orientation.Horizontal, self), QSplitter(Qt.Orientation.Horizontal, self)
        upper.addWidget(self.stimulus)
        upper.addWidget(self.polar)
        lower.addWidget(self.figures)
        lower.addWidget(self.list)
        self.splitter = QSplitter(Qt.Orientation.Vertical, self)
        self.splitter.addWidget(upper)
        self.splitter.addWidget(lower)
        self.splitter.setSizes([320, 240])
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(2)
        whole.addLayout(bar)
        whole.addWidget(Badge(self.session, self))
        whole.addWidget(self.said)
        whole.addWidget(scrolled(self.splitter, self, tab_stop=False), 1)

    @property
    def _kind(self) -> str:
        return str(self.family.currentData())

    # ------------------------------------------------------------------------------------------------ what is selected

    def _on_model(self, card: ModelCard | None) -> None:
        if card is None or card.ref != self._dragged_in:
            self._given.clear()
            self._dragged.clear()
        self._dragged_in = card.ref if card is not None else ""
        self._forget_layer()
        self._renew()

    def _on_layer(self, _name: str) -> None:
        self._forget_layer()
        self._renew()

    def _on_unit(self, _unit: Unit | None) -> None:
        self._given = self._dragged_stimuli()  # what the unit before preferred says nothing of this one
        self._renew()

    def _dragged_stimuli(self) -> dict[str, dict[str, float]]:
        return {kind: values for kind, values in self._given.items() if kind in self._dragged}

    def _on_family(self) -> None:
        self._curves = self._curves_asked = None
        self._forget_layer()
        self._renew()

    def _renew(self) -> None:
        """Show stimulus and curves of the selected unit, if somebody is looking."""
        model, unit = self.session.model, self.session.unit
        self.unit.setText(f"{unit} ({self._role})" if unit is not None else "")
        self.rank.setEnabled(model is not None and bool(self.session.layer) and self._kind in TURNED)
        if model is None or unit is None:
            self._curves_asked = self._curves = None
            self.stimulus.clear(INVITATION if model is None else "Click a unit in the panel Neurons.")
            self._live.forget()
            self._wait("")
            return
        if not in_sight(self):
            return
        self._ask_stimulus()
        self._ask_curves()

    @property
    def _role(self) -> str:
        layer = self.session.layers.get(self.session.layer)
        return {"pre": "pre-activation", "post": "post-activation"}.get(layer.role if layer is not None else "", "activation")

    # ------------------------------------------------------------------------------------------------ the stimulus by hand

    def _ask_stimulus(self) -> None:
        model, unit = self.session.model, self.session.unit
        if model is not None and unit is not None:
            given = tuple(sorted(self._given.get(self._kind, {}).items()))
            request = UnitOnStimulus(model.ref, unit.layer, unit.index, self._kind, given)
            if request != self._live.newest:
                self._live.ask(request)

    def _on_dragged(self, values: dict[str, float]) -> None:
        """Keep what was dragged, and ask what the unit does now."""
        self._given.setdefault(self._kind, {}).update(values)
        self._dragged.add(self._kind)
        self._ask_stimulus()

    def _show_best(self) -> None:
        """Put the stimulus where the unit responded most."""
        self._dragged.discard(self._kind)
        if self._curves is not None:
            self._given[self._kind] = dict(self._curves.summary["best_stimuli"][0])
            self._ask_stimulus()

    def _take_stimulus(self, event: JobEvent) -> None:
        request, unit, model = event.request, self.session.unit, self.session.model
        assert isinstance(request, UnitOnStimulus)
        now = (model.ref if model is not None else "", unit, self._kind)
        if (request.model, Unit(request.layer, request.unit), request.family) != now:
            return
        if event.state == "failed":
            self.stimulus.clear(event.error)
        elif event.state == "done":
            found = event.result
            said = [f"{self._role} at the middle {number(found['value'])}"]
            if np.isfinite(found["ground"]):
                said.append(f"ground alone {number(found['ground'])}")
            said.append(f"largest anywhere {number(found['largest'])}")
            self.stimulus.show_stimulus(
                found["image"],
                found["values"],
                found["field"],
                title=f"{STIMULI[request.family]} and {unit}",
                caption=" · ".join(said),
                made_from=self._origin(**{name: found[name] for name in ("value", "ground", "largest")}, stimulus=found["values"]),
            )

    # ------------------------------------------------------------------------------------------------ curves of the unit

    def _ask_curves(self) -> None:
        model, unit = self.session.model, self.session.unit
        assert model is not None and unit is not None
        kind = self._kind if self._kind in TURNED else TURNED[0]  # hues and frequencies are the same for all kinds
        wanted = RunAnalysis("Tuning", {"layer": unit.layer, "units": self._together(), "feature": kind, "twins": 0}, model.ref)
        if self._curves_missing or wanted != self._curves_asked:
            self.session.relay.cancel(self._curves_job)
            self._curves_missing = False
            self._curves, self._curves_asked = None, wanted
            self._wait("Showing stimuli at all orientations …")
            if self._layer_result is None:
                self._say("")  # it was of another unit
            self._curves_job = self.session.relay.submit(wanted, self._take_curves)

    def _wait(self, message: str) -> None:
        """Show no curves, and say why."""
        self.best.setEnabled(False)
        self.polar.clear(message if self._kind in TURNED else UNTURNED)
        self.figures.clear(message)

    def _together(self) -> list[int]:
        """Return the unit, then the others that are selected with it, in their order, as many as are looked at closely at once."""
        unit, selected = self.session.unit, self.session.selection
        assert unit is not None
        others = [other for other in selected if other != unit.index] if unit.index in selected else []
        return [unit.index, *others][:AT_ONCE]

    def _called(self, unit: int) -> str:
        """Return what a unit goes by: its number, and its label where it has one."""
        model, layer = self.session.model, self.session.layer
        known = known_of(self.session.project.labels, model.ref, layer) if model is not None else {}
        label = primary(known.get(str(Unit(layer, unit)), ()))
        return f"{unit} {label.name}" if label is not None else str(unit)

    def _take_curves(self, event: JobEvent) -> None:
        if event.request is not self._curves_asked:
            return
        self._curves_job = event.job
        self._curves_missing = event.state in ("failed", "cancelled")
        if self._curves_missing:
            self._wait(event.error or "Cancelled; choose the unit again.")
        elif event.state == "progress" and event.total:
            self._wait(f"{event.note.capitalize() or 'Showing stimuli'}: {event.done / event.total:.0%}")
        elif event.state == "done":
            self._curves = event.result
            self._show_curves()
            if self._kind in TURNED and self._kind not in self._dragged:  # begin with what this unit prefers
                self._show_best()

    def _show_curves(self) -> None:
        result = self._curves
        if result is None:
            return
        arrays, summary = result.arrays, result.summary
        names = [self._called(int(unit)) for unit in arrays["units"]]
        turned = self._kind in TURNED
        self.best.setEnabled(turned)
        self.figures.show_result(result, names, self._origin(), turned, self._layer_result)
        if not turned:
            return
        unit = int(arrays["units"][0])
        address = f"{summary['layer']}:{unit}"
        band, nulls = self._null()
        r2, index = float(arrays["r2"][unit]), float(arrays["index"][unit])
        beside = f" (twins ≤ {nulls['r2']:.2f})" if nulls else ""
        turns = f"R² {r2:.2f}{beside}" if np.isfinite(r2) else SILENT
        told = [turns, f"prefers {float(arrays['preferred'][unit]):.0f}°"] if np.isfinite(r2) else [turns]
        shown, selected = len(arrays["units"]), len(self.session.selection)
        if shown > 1:
            told = [f"{shown} units" if shown >= selected else f"{shown} of {selected} units", f"{unit}: {told[0]}"]
        self.polar.show_tuning(
            arrays["orientations"],
            arrays["curve"][0],
            period=float(summary["period"]),
            second=arrays["curve_second"][0],
            band=band,
            name=names[0],
            beside=list(zip(names[1:], arrays["curve"][1:], strict=True)),
            title=f"Radial tuning of {self.session.family or address}",
            note=" · ".join(told),
            made_from=self._origin(r2=r2, index=index, null=nulls or "not computed", stimuli=summary["stimuli"]),
        )
        self.polar.recomputation = of_result(result, summary["layer"])
        if self._layer_result is None:
            self.table.show_scores(dict(arrays), {})
            self._mark()
            parts = [f"{summary['activation']} above the plain ground, {summary['stimuli']:,} stimuli", turns]
            if np.isfinite(index):
                parts.append(f"curve-vs-line {index:.2f}")
            if np.isfinite(second := float(arrays["second_peak"][unit])):
                parts.append(f"second peak {second:.2f}")
            parts.append("without a null these say little: rank the layer beside random weights")
            self._say(" · ".join(parts) + ".")

    def _null(self) -> tuple[np.ndarray | None, dict[str, float]]:
        """Return the twins' curves and the best of their layers, once the layer was ranked."""
        if self._layer_result is None or not len(self._layer_result.arrays["null_r2"]):
            return None, {}
        arrays = self._layer_result.arrays
        return arrays["null_curve"], {name: float(arrays[f"null_{name}"].max()) for name in ("score", "r2", "index")}

    # ------------------------------------------------------------------------------------------------ the layer

    def _ask_ranking(self) -> None:
        model = self.session.model
        if model is None or not self.session.layer:
            return
        self.run.ask(RunAnalysis("Tuning", {"layer": self.session.layer, "feature": self._kind, "twins": TWINS}, model.ref))

    def _take_ranking(self, result: Result) -> None:
        self._layer_result = result
        self.table.show_scores(dict(result.arrays), self._null()[1])
        self._mark()
        self._show_curves()
        self._say_ranking()

    def _say_ranking(self) -> None:
        assert self._layer_result is not None
        summary = self._layer_result.summary
        parts = [summary["verdict"].rstrip("."), f"family R² {_beside(summary, 'family_r2')}"]
        if summary["family_index"] is not None:
            parts.append(f"family index {_beside(summary, 'family_index')}")
        parts.append(f"{summary['units_above_null']} of {summary['units']} single units above every twin (*)")
        self._say(" · ".join(parts) + ".")

    def _pick(self, index: QModelIndex) -> None:
        """Look at the unit of a row."""
        if self.session.layer:
            self.session.select_unit(Unit(self.session.layer, self.table.units[index.row()]))

    def _mark(self) -> None:
        unit = self.session.unit
        if unit is not None and unit.index in self.table.units:
            self.list.selectRow(self.table.units.index(unit.index))

    def _forget_layer(self) -> None:
        self.run.forget()
        self._layer_result = None
        self.table.show_scores(None, {})
        self._say("")

    def _origin(self, **more: object) -> dict[str, object]:
        """Return the provenance of a figure."""
        session, model = self.session, self.session.model
        badge = {"badge": session.badge} if session.badge else {}
        address = replace(session.addresses.selected(), view=self.id)
        of = {"model": model.ref, "weights": model.weight_hash} if model is not None else {}
        return {**of, "unit": str(session.unit), "activation": self._role, "address": str(address), **badge, **more}

    def _say(self, text: str, wrong: bool = False) -> None:
        say(self.said, text, wrong)
        self.said.setVisible(bool(text))

    # ------------------------------------------------------------------------------------------------ the panel's contract

    def showEvent(self, event: Any) -> None:
        """Ask for what was not asked for while nobody looked."""
        super().showEvent(event)
        self._renew()

    def save_state(self) -> dict[str, Any]:
        """Keep the kind of stimulus, where it was dragged to, and which figure is looked at."""
        figure = self.figures.choice.currentData()
        dragged = {"given": self._dragged_stimuli(), "model": self._dragged_in}
        return {"family": self._kind, **dragged, "sizes": self.splitter.sizes(), "figure": figure}

    def restore_state(self, state: dict[str, Any]) -> None:
        """Take it back."""
        self.family.setCurrentIndex(max(0, self.family.findData(state.get("family"))))
        self.figures.choice.setCurrentIndex(max(0, self.figures.choice.findData(state.get("figure"))))
        given = state.get("given")
        if isinstance(given, dict):
            self._given = {name: dict(values) for name, values in given.items() if name in STIMULI and isinstance(values, dict)}
            self._dragged = set(self._given)
            self._dragged_in = str(state.get("model", ""))  # it may still have to come
        sizes = state.get("sizes")
        if isinstance(sizes, list) and len(sizes) == self.splitter.count():
            self.splitter.setSizes(sizes)
        self._renew()

    def views(self) -> list[View]:
        """The curve, the chosen figure and the stimulus, as far as they are shown."""
        polar = [self.polar] if self.polar.data() else []
        return [*polar, *self.figures.views(), *([self.stimulus] if self.stimulus.handles() or "image" in self.stimulus.data() else [])]


def _beside(summary: Any, name: str) -> str:
    """Write a figure beside the best of the twins."""
    null = summary[f"{name}_null"]
    return f"{summary[name]:.2f}" + (f" (twins ≤ {null:.2f})" if null is not None else "")
