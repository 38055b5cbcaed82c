"""Whether what a layer's units are tuned to forms as a phase change in training (problem 7.14)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from workbench.analyses.analysis import Analysis, Result, register
from workbench.figure_colours import ACCENT, INK, LIGHT
from workbench.finite import plain
from workbench.input_error import InputError
from workbench.models.card import cards
from workbench.models.checkpoint_series import Series, independent, series_of
from workbench.models.loading import Reference, load
from workbench.models.receptive_field import receptive_field
from workbench.models.sources.run import checkpoints
from workbench.phase_change import FEWEST, Selection, select
from workbench.task import Task
from workbench.tuned.both_renderings import BothRenderings
from workbench.tuned.probes import Responses, probe_of, scaled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from workbench.images.image_set import ImageSet
    from workbench.models.traced_model import TracedModel

Array = npt.NDArray[np.float64]
CHOICE, MEASURE, DIRECTIONS = 0, 1, 2
"""Streams of random numbers: of the rendering that units are chosen on, of that they are measured on, of random directions."""
METRICS = {
    "r2": "von Mises R2",
    "index": "curve-vs-line index",
    "second peak": "second peak / first",
    "match": "alike to the last checkpoint",
    "above": "part of the units above",
}
KINDS = {"units": "the units", "layer": "all units of the layer", "lines": "line units", "random": "random directions"}
WHOLE = "#4a78b0"
RUNS = 3
"""Trainings below which a verdict is called what it is: of few."""


@register
class PhaseChange(Analysis):
    """Follow the units that end up best tuned through the checkpoints of one or several trainings, and say whether they form abruptly.

    In the last checkpoint of each training the `number` units with the best score for `feature` are chosen (the weaker of von Mises R2 and
    curve-vs-line index, see `Tuning`), on one rendering of the stimuli. On another one they are measured in every checkpoint: R2, index,
    second peak over first, how much their responses to all stimuli are like those of the last checkpoint (correlation), all as the mean
    over the units, and as a thresholded metric the part of them whose R2 is above `threshold`. Controls are the units best tuned to
    lines, as many random directions of the layer, measured as the units are, and all of its units.

    Trainings with fewer than `FEWEST` checkpoints are left out, and of those that go alike all but the first; the summary says which and
    why (``without``).

    With `units` these are followed in place of the best ones, in the training of the open network alone: another training has other
    units under the same numbers.

    Each series of means is then compared with curves of gradual growth and with abrupt ones, all trainings together
    (`workbench.phase_change.select`: by BIC, errors that go on from sample to sample, on time and its logarithm).

    Arrays; s is a training, c a checkpoint (NaN where a training has fewer), m a metric, k a kind, o an orientation:

    ``steps``
        float64 ``s c``: updates.
    ``values``
        float64 ``k m s c``, in the order of the summary's ``kinds`` and ``metrics``.
    ``each``
        float64 ``m s c u``: of each unit that is followed, in the order of the summary's ``units``.
    ``fitted``
        float64 ``k m s c``: what the best curve says; NaN where none was fitted.
    ``film``
        float64 ``s c o``: what the best unit of each training does at each orientation, at the condition it prefers in the end.
    ``loss``
        float64 ``s l 2``: update and loss from the training's log, where one is kept.
    """

    title: ClassVar[str] = "Phase change"
    version: ClassVar[int] = 4
    takes_bf16: ClassVar[bool] = False

    layer: str = Field(description="Layer whose units are followed; the checkpoints must have it.")
    further: tuple[str, ...] = Field(default=(), description="The same network of other trainings, such as run:FOLDER.")
    feature: Literal["curves", "corners"] = Field(default="curves", description="What the units are tuned to.")
    units: tuple[int, ...] = Field(default=(), description="Units that are followed; none: those that end up best tuned.")
    number: int = Field(default=8, ge=1, le=512, description="Units of each training, those that end up best tuned; and of controls.")
    threshold: float = Field(default=0.56, gt=0, lt=1, description="R2 of the thresholded metric.")
    orientations: int = Field(default=24, ge=12, le=180, description="Orientations in one period.")
    seed: int = Field(default=0, ge=0, lt=2**31, description="Of renderings and random directions.")

    def key(self, model: TracedModel, images: ImageSet | None = None) -> str:
        """Also depend on all checkpoints and losses: a training goes on, and its folder may get another one."""
        trainings, without = self._trainings(model.ref)
        kept = [(series.name, series.refs, _files(series), _losses(series)) for series in trainings]
        content = json.dumps([super().key(model, images), kept, without])
        return hashlib.sha256(content.encode()).hexdigest()[:32]

    def compute(
        self, model: TracedModel, images: ImageSet | None, task: Task
    ) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Choose units in the last checkpoint of each training, and measure them in all."""
        if not model.sees:
            raise InputError(f"{model.name} reads no images; there is nothing to show it")
        layer = model.layer(self.layer)
        layer.check(self.units)
        trainings, without = self._trainings(model.ref)
        if not trainings:
            raise InputError(f"{model.name} has fewer than {FEWEST} checkpoints; train with more of them")
        total = sum(len(series.refs) for series in trainings)
        done = 0
        followed: list[tuple[Series, Array, Array, Array, list[int]]] = []
        for series in trainings:
            values, own, film, units = self._follow(series, lambda note, more: task.step(done + more, total, note=note))  # noqa: B023
            done += len(series.refs)
            followed.append((series, values, own, film, units))
        longest = max(len(series.refs) for series in trainings)
        steps = np.full((len(trainings), longest), np.nan)
        values = np.full((len(KINDS), len(METRICS), len(trainings), longest), np.nan)
        film = np.full((len(trainings), longest, self.orientations), np.nan)
        each = np.full((len(METRICS), len(trainings), longest, max(len(units) for *_, units in followed)), np.nan)
        for place, (series, means, own, frames, units) in enumerate(followed):
            steps[place, : len(series.refs)] = list(series.refs)
            values[:, :, place, : len(series.refs)] = means
            each[:, place, : len(series.refs), : len(units)] = own
            film[place, : len(series.refs)] = frames
        chosen = {
            kind: {metric: self._selected(steps, values[k, m]) for m, metric in enumerate(METRICS)} for k, kind in enumerate(KINDS)
        }
        fitted = np.full_like(values, np.nan)
        known_in = {
            kind: {metric: (np.isfinite(values[k, m]).sum(1) >= FEWEST).tolist() for m, metric in enumerate(METRICS)}
            for k, kind in enumerate(KINDS)
        }
        for k, (kind, of) in enumerate(chosen.items()):
            for m, (metric, found) in enumerate(of.items()):
                ends = [place for place, there in enumerate(known_in[kind][metric]) if there]
                for place, curve in zip(ends, found.best.fitted if found is not None else (), strict=True):
                    fitted[k, m, place][np.isfinite(values[k, m, place])] = curve
        logs = [_losses(series) for series in trainings]
        lines = max(map(len, logs))
        loss = np.full((len(trainings), lines, 2), np.nan)
        for place, log in enumerate(logs):
            loss[place, : len(log)] = np.array(log).reshape(-1, 2)
        task.step(total, total)
        return {"steps": steps, "values": values, "each": each, "fitted": fitted, "film": film, "loss": loss}, {
            "layer": self.layer,
            "feature": self.feature,
            "trainings": [series.name for series in trainings],
            "without": without,
            "few": len(trainings) < RUNS,
            "checkpoints": [len(series.refs) for series in trainings],
            "units": {series.name: units for series, *_, units in followed},
            "chosen": not self.units,
            "threshold": self.threshold,
            "kinds": list(KINDS),
            "metrics": list(METRICS),
            "verdicts": {
                kind: {metric: _told(found, known_in[kind][metric]) if found is not None else None for metric, found in of.items()}
                for kind, of in chosen.items()
            },
        }

    def _trainings(self, ref: str) -> tuple[list[Series], dict[str, str]]:
        """Return the trainings that are followed, and by name why others are not."""
        known = series_of(ref, self.further)
        if self.units:
            known = [series for series in known if series.step_of(ref) is not None][:1] or known[:1]
        followed = independent([series for series in known if len(series.refs) >= FEWEST])
        first = {series.trained: series.name for series in followed}
        without = {}
        for series in known:
            if len(series.refs) < FEWEST:
                without[series.name] = f"it has {len(series.refs)} of the {FEWEST} checkpoints that are needed"
            elif series not in followed:
                without[series.name] = f"it is trained as {first[series.trained]} is, seed and all, and would count twice"
        return followed, without

    def _selected(self, steps: Array, values: Array) -> Selection | None:
        """Compare the curves of one metric; None where it is not known often enough."""
        runs = [(t[np.isfinite(t)], y[np.isfinite(t)]) for t, y in zip(steps, values, strict=True)]
        known = [(t, y) for t, y in runs if np.isfinite(y).sum() >= FEWEST]
        return select(known) if known else None

    def _follow(self, series: Series, tell: Callable[[str, int], None]) -> tuple[Array, Array, Array, list[int]]:
        """Return the metrics of every kind, ``k m c``, and of every unit, ``m c u``, what the best unit does, ``c o``, and the units."""
        refs = list(series.refs.items())
        tell(f"{series.name}: choosing units", 0)
        last = load(refs[-1][1])
        layer = last.layer(self.layer)
        field, middle = scaled(last, receptive_field(last, layer))
        side = min(last.preprocessing.size)
        probe = probe_of(self.feature, field, middle, side, self.orientations)
        lines = probe_of("lines", field, middle, side, 12)
        straight = probe_of("lines", field, middle, side, self.orientations)

        def look(model: TracedModel, rendering: int) -> BothRenderings:
            return BothRenderings.of(model, model.layer(self.layer), probe, lines, straight, field, 1000 * self.seed + rendering)

        seen = look(last, CHOICE)
        scores, of_lines = seen.scores(), seen.straightness()
        units = np.array(self.units, int) if self.units else np.argsort(-scores.score, kind="stable")[: self.number]
        rest = np.setdiff1d(np.arange(layer.units), units)
        straightest = rest[np.argsort(-np.nan_to_num(of_lines[rest]), kind="stable")[: self.number]]
        random = np.random.default_rng([self.seed, DIRECTIONS]).normal(size=(layer.units, self.number))
        final = look(last, MEASURE).feature.second
        values = np.full((len(KINDS), len(METRICS), len(refs)), np.nan)
        own = np.full((len(METRICS), len(refs), len(units)), np.nan)
        film = np.full((len(refs), self.orientations), np.nan)
        every = np.arange(layer.units)
        for at, (step, ref) in enumerate(refs):
            tell(f"{series.name}: {step:,} updates", at)
            model = last if at == len(refs) - 1 else load(ref)
            seen = look(model, MEASURE)
            curves, found = seen.feature.second, seen.scores()
            film[at] = curves[scores.condition[units[0]], :, units[0]]
            measures = (found.r2, found.index, found.second_peak, _alike(curves, final, every))
            values[0, :, at] = self._means(*(measure[units] for measure in measures))
            values[1, :, at] = self._means(*measures)
            tuned = np.nan_to_num(found.r2[units])
            own[:, at] = (tuned, *(measure[units] for measure in measures[1:]), tuned > self.threshold)
            alike = _alike(curves, final, straightest)
            values[2, :, at] = self._means(seen.straightness()[straightest], np.full(1, np.nan), np.full(1, np.nan), alike)
            drawn = seen.scores(random)
            alike = _alike(curves @ random, final @ random, np.arange(self.number))
            values[3, :, at] = self._means(drawn.r2, drawn.index, drawn.second_peak, alike)
        return values, own, film, units.tolist()

    def _means(self, r2: Array, index: Array, second: Array, alike: Array) -> list[float]:
        """Return the metrics in the order of `METRICS`; a unit that never varies has an R2 of 0."""
        tuned = np.nan_to_num(r2)
        return [
            float(tuned.mean()),
            float(np.nan_to_num(index, nan=0.0).clip(min=-1).mean()) if np.isfinite(index).any() else np.nan,
            float(np.nanmean(second)) if np.isfinite(second).any() else np.nan,
            float(alike.mean()),
            float((tuned > self.threshold).mean()),
        ]

    @classmethod
    def draw(cls, result: Result) -> dict[str, Figure]:
        """Draw the metrics over time and its logarithm, and what the best unit of each training does at each checkpoint."""
        return {"metrics": _metrics(result), "film": _film(result)}


def _files(series: Series) -> list[Any]:
    """Return what tells the weights of checkpoints from others under the same references: a digest, or size and time of the file."""
    references = {step: Reference.parse(ref) for step, ref in series.refs.items()}
    runs = {name: checkpoints(Path(name).expanduser()) for name in {one.name for one in references.values() if one.scheme == "run"}}
    found: list[Any] = []
    for step, one in references.items():
        if one.scheme == "run":
            file = runs[one.name][step].stat()
            found.append((file.st_size, file.st_mtime_ns))
        elif one.scheme == "bundled":
            found.append(cards()[one.name].early[str(one.get("seed"))].sha256)
    return found


def _losses(series: Series) -> list[tuple[float, float]]:
    """Return update and loss of a training's log."""
    return [(entry["step"], entry["loss"]) for entry in series.logged if "loss" in entry]


def _alike(now: Responses, final: Responses, units: npt.NDArray[np.int64]) -> Array:
    """Return the correlation of each unit's responses to all stimuli with those in the last checkpoint; 0 for one that never varies."""
    one, other = (values[:, :, units].reshape(-1, len(units)) for values in (now, final))
    one, other = one - one.mean(0), other - other.mean(0)
    norm = np.linalg.norm(one, axis=0) * np.linalg.norm(other, axis=0)
    found: Array = np.divide((one * other).sum(0), norm, out=np.zeros(len(units)), where=norm > 0)
    return found


def _told(found: Selection, known: Sequence[bool]) -> dict[str, Any]:
    """Return the verdict and all curves, the best first, as plain data; what is of a training in the order of all trainings.

    Parameters
    ----------
    known
        Which of the trainings the curves were fitted to; the others have no transition.
    """

    def of_each(values: Sequence[Any], without: Any) -> list[Any]:
        rest = iter(values)
        return [next(rest) if there else without for there in known]

    return {
        "verdict": found.verdict,
        "margin": plain(found.margin),
        "best": found.best.name,
        "curves": [
            {
                "name": curve.name,
                "abrupt": curve.abrupt,
                "bic": plain(curve.bic),
                "at": of_each([plain(value) for value in curve.at], None),
                "at_interval": of_each([[plain(end) for end in ends] for ends in curve.at_interval], [None, None]),
                "width": of_each([plain(value) for value in curve.width], None),
                "width_interval": of_each([[plain(end) for end in ends] for ends in curve.width_interval], [None, None]),
            }
            for curve in found.curves
        ],
    }


def _metrics(result: Result) -> Figure:
    from matplotlib.figure import Figure

    summary, arrays = result.summary, result.arrays
    shown = [name for name in summary["metrics"] if np.isfinite(arrays["values"][0, summary["metrics"].index(name)]).any()]
    figure = Figure(figsize=(9, 1.9 * len(shown) + 0.6), layout="constrained")
    axes = figure.subplots(len(shown), 2, squeeze=False, sharey="row")
    for row, name in enumerate(shown):
        place = summary["metrics"].index(name)
        for column, scale in enumerate(("linear", "log")):
            axis = axes[row][column]
            _lines(axis, summary, arrays, place, scale)
            if column == 0:
                axis.set_ylabel(METRICS[name] + (f" {summary['threshold']:g}" if name == "above" else ""), fontsize=7)
            if row == len(shown) - 1:
                axis.set_xlabel("updates" + (" + 1, logarithmic" if scale == "log" else ""), fontsize=8)
        told = summary["verdicts"]["units"][name]
        if told is not None:
            axes[row][1].set_title(f"{told['verdict']}: best {told['best']}, BIC margin {told['margin']:.0f}", fontsize=7)
    axes[0][0].legend(fontsize=6, frameon=False)
    trainings = len(summary["trainings"])
    few = f", fewer than {RUNS}" if summary["few"] else ""
    figure.suptitle(f"{summary['feature']} in {summary['layer']}: {trainings} training{'s' * (trainings != 1)}{few}", fontsize=9)
    return figure


def _lines(axis: Axes, summary: Mapping[str, Any], arrays: Mapping[str, Any], place: int, scale: str) -> None:
    for k, (kind, colour) in enumerate(zip(summary["kinds"], (ACCENT, WHOLE, INK, LIGHT), strict=True)):
        for training in range(len(summary["trainings"])):
            steps, values = arrays["steps"][training], arrays["values"][k, place, training]
            x = steps + 1 if scale == "log" else steps
            axis.plot(x, values, color=colour, linewidth=1.1, marker=".", markersize=2, label=KINDS[kind] if training == 0 else None)
    if scale == "log":
        axis.set_xscale("log")
    if arrays["loss"].shape[1]:
        beside = axis.twinx()
        for log in arrays["loss"]:
            beside.plot(log[:, 0] + (scale == "log"), log[:, 1], color=LIGHT, linewidth=0.6, linestyle="--")
        beside.set_ylabel("loss (dashed)", fontsize=6)
        beside.tick_params(labelsize=5)
    axis.tick_params(labelsize=6)


def _film(result: Result) -> Figure:
    from matplotlib.figure import Figure

    summary, arrays = result.summary, result.arrays
    trainings: Sequence[str] = summary["trainings"]
    figure = Figure(figsize=(9, 1.9 * len(trainings) + 0.4), layout="constrained")
    for place, (axis, name) in enumerate(zip(figure.subplots(len(trainings), 1, squeeze=False)[:, 0], trainings, strict=True)):
        known = np.isfinite(arrays["steps"][place])
        strip = arrays["film"][place][known].T
        axis.imshow(strip, aspect="auto", origin="lower", cmap="magma", extent=(-0.5, strip.shape[1] - 0.5, 0, 360))
        steps = arrays["steps"][place][known]
        shown = np.unique(np.linspace(0, len(steps) - 1, 9).round().astype(int))
        axis.set_xticks(shown, [f"{steps[at]:,.0f}" for at in shown], fontsize=6)
        axis.set_yticks([0, 90, 180, 270])
        axis.tick_params(labelsize=6)
        axis.set_ylabel(f"{name}\n{summary['layer']}:{summary['units'][name][0]}", fontsize=7, parse_math=False)
    axis.set_xlabel("updates (one column a checkpoint); colour: response above the plain ground at each orientation (degrees)", fontsize=7)
    return figure
