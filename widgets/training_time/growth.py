"""What is said and drawn of a `PhaseChange`: its curves in the plot, the transition, the verdict in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from widgets.training_time.growth_plot import Growth

if TYPE_CHECKING:
    from workbench.analyses.analysis import Result
    from workbench.models.checkpoint_series import Series

METRICS = {
    "r2": "von Mises R²",
    "index": "curve-vs-line index",
    "second peak": "second peak / first",
    "match": "alike to the last checkpoint",
    "above": "part of the units above R² .56",
}
KINDS = {"units": "units", "layer": "whole layer", "lines": "line units", "random": "random directions"}


def growth_of(result: Result, metric: str, each: bool) -> list[Growth]:
    """Return the curves of one metric: units and controls of every training, the fitted ones, and on demand each unit."""
    summary, arrays = result.summary, result.arrays
    place = summary["metrics"].index(metric)
    found: list[Growth] = []
    for training in range(len(summary["trainings"])):
        known = np.isfinite(arrays["steps"][training])
        steps = arrays["steps"][training][known]
        for k, kind in enumerate(summary["kinds"]):
            found.append(Growth(KINDS[kind], steps, arrays["values"][k, place, training][known], kind))
        if each:
            own = arrays["each"][place, training][known]
            found += [Growth("each unit", steps, own[:, unit], "each") for unit in range(own.shape[1])]
        found.append(Growth("best curve", steps, arrays["fitted"][0, place, training][known], "fitted"))
    return [curve for curve in found if np.isfinite(curve.values).any()]


def losses_of(series: Series | None) -> list[Growth]:
    """Return the loss of a training, where a log was kept."""
    lines = [(line["step"], line["loss"]) for line in series.logged if "loss" in line] if series is not None else []
    return [Growth("loss", *np.array(lines, float).T, "loss")] if lines else []


def told_of(result: Result | None, metric: str) -> Mapping[str, Any] | None:
    """Return what is said of the units by a metric, as of the result's summary; None for nothing."""
    return result.summary["verdicts"]["units"][metric] if result is not None else None


def span_of(result: Result | None, metric: str, series: Series | None) -> tuple[float, float] | None:
    """Return between which updates the best curve puts the transition of a training; None where it has none."""
    told = told_of(result, metric)
    place = _place_of(result, series)
    if told is None or place is None:
        return None
    low, high = told["curves"][0]["at_interval"][place]
    return (low, high) if low is not None and high is not None else None


def middle_of(result: Result | None, metric: str, series: Series | None) -> float | None:
    """Return where the best curve puts the middle of a training's rise, in updates; None where it has none."""
    told = told_of(result, metric)
    place = _place_of(result, series)
    if told is None or place is None:
        return None
    middle = told["curves"][0]["at"][place]
    return float(middle) if middle is not None else None


def _place_of(result: Result | None, series: Series | None) -> int | None:
    """Return which of a result's trainings one is; where selected units were followed it is that of the network they are of."""
    if result is None or series is None:
        return None
    if result.parameters.get("units"):
        return 0 if series.step_of(str(result.provenance["model"])) is not None else None
    names = result.summary["trainings"]
    return names.index(series.name) if series.name in names else None


def verdict_of(result: Result, metric: str) -> str:
    """Say in a line what came of it, beside its controls, and of how many trainings."""
    summary, told = result.summary, told_of(result, metric)
    if told is None:
        return ""
    parts = [f"<b>{told['verdict'].capitalize()}</b> ({METRICS[metric]}): best curve {told['best']}"]
    parts.append(f"BIC margin of abrupt over gradual {told['margin']:.1f}, counts from ±10")
    controls = [f"{KINDS[kind]} {of[metric]['verdict']}" for kind, of in summary["verdicts"].items() if kind != "units" and of[metric]]
    if controls:
        parts.append(f"controls: {', '.join(controls)}")
    if summary["few"]:
        trainings = len(summary["trainings"])
        parts.append(f"of {trainings} training{'s' * (trainings != 1)} only; three are wanted for a verdict on the network")
    return " · ".join(parts)
