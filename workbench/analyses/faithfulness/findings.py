"""What the measurements come to: curves, the numbers of inputs that explain enough, and intervals over concepts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Float64

from workbench.analyses.faithfulness.scoring import Curves
from workbench.analyses.faithfulness.task import TaskCurves
from workbench.bootstrap import bounds, detectable, redrawn
from workbench.finite import plain
from workbench.task_metric import TaskMetric, described, kept

NAMED = 10
"""Units named in a list."""
STRONGEST = 32
"""Inputs of a unit that are kept in the result, at most."""
BOOTSTRAP = 2
"""Of random numbers, the stream for the bootstrap."""
STILL = 1e-10
"""Variance, in parts of the largest of the layer, below which a unit does not vary but for rounding."""
HALF, MOST = 0.5, 0.9

Array = npt.NDArray[Any]


def explained(squares: Float64[np.ndarray, "*any number"]) -> Float64[np.ndarray, "*any number"]:
    """Return 1 - SSE(k) / SSE(0); the first number of inputs kept is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        result: npt.NDArray[np.float64] = 1 - squares / squares[..., :1]
    return result


def needed(curves: Float64[np.ndarray, "*any number"], numbers: Sequence[int], part: float) -> Float64[np.ndarray, "*any"]:
    """Return how many inputs explain `part` and go on doing so, between levels evenly in the logarithm; infinity where all do not."""
    logs = np.log(np.maximum(numbers, 1))
    below = ~(curves[..., 1:] >= part)
    # Of the levels from 1 on, the last one that is too few.
    last = np.where(below.any(-1), curves.shape[-1] - 1 - np.argmax(below[..., ::-1], -1), 0)
    after = np.minimum(last + 1, curves.shape[-1] - 1)
    low = np.take_along_axis(curves, last[..., None], -1)[..., 0]
    high = np.take_along_axis(curves, after[..., None], -1)[..., 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(last > 0, (part - low) / (high - low), 1.0)
        found = np.exp(logs[last] + share * (logs[after] - logs[last]))
    result: npt.NDArray[np.float64] = np.where(last == curves.shape[-1] - 1, np.inf, found)
    return result


def area(curves: Float64[np.ndarray, "*any number"], numbers: Sequence[int]) -> Float64[np.ndarray, "*any"]:
    """Return the mean of a curve over the logarithm of the number of inputs kept, from 1 to all; NaN for a single input."""
    logs = np.log(np.array(numbers[1:], float))
    if len(logs) < 2:
        return np.full(curves.shape[:-1], np.nan)
    result: npt.NDArray[np.float64] = np.asarray(np.trapezoid(curves[..., 1:], logs, axis=-1) / logs[-1])
    return result


@dataclass(frozen=True, eq=False)
class Found:
    """The arrays of one layer and its part of the summary."""

    arrays: dict[str, Array]
    summary: dict[str, Any]


def of_layer(curves: Curves, concepts: npt.NDArray[np.integer], seed: int) -> Found:
    """Say what the inputs kept explain.

    Parameters
    ----------
    concepts
        A number for the concept of each image that was scored.
    """
    asked, numbers = curves.asked, curves.numbers
    total = curves.squares.sum(1)
    finite = np.isfinite(total).all((0, 2)) & np.isfinite(curves.variance)
    spread = np.where(finite, np.minimum(curves.variance * len(concepts), total[0, :, 0]), 0.0)
    still = finite & (spread <= STILL * spread.max(initial=0.0))
    usable = np.flatnonzero(finite & ~still)
    each = explained(total)
    each[:, ~finite | still] = np.nan
    ranked, random = each[0], each[1:]
    some = curves.of_greedy.shape[1]
    greedy = explained(curves.of_greedy.sum(0))
    beside = usable[usable < some]
    arrays: dict[str, Array] = {
        "units": curves.units.astype(np.int32),
        "numbers": np.array(numbers, np.int32),
        "explained": ranked.astype(np.float32),
        "random": random.astype(np.float32),
        "greedy": greedy[beside].astype(np.float32),
        "greedy_units": curves.units[beside].astype(np.int32),
        "strongest": curves.order[curves.units][:, :STRONGEST].astype(np.int32),
    }
    summary: dict[str, Any] = {
        "layer": asked.layer.name,
        "sources": [{"layer": source.name, "units": source.units} for source in asked.sources],
        "inputs": asked.inputs,
        "itself": _itself(curves),
        "exact": asked.exact,
        "units": asked.layer.units,
        "scored": len(usable),
        "dead": _named(curves.units[still]),
        "not_finite": _named(curves.units[~finite]),
    }
    if not len(usable):
        return Found(arrays | {"curve": np.full((3, len(numbers)), np.nan, np.float32)}, summary)
    median = np.median(ranked[usable], 0)
    place, drawn = redrawn(concepts, [seed, BOOTSTRAP])
    again = _again(curves.squares[:, :, usable], numbers, place, drawn)
    low, high = np.quantile(again["curve"], (0.025, 0.975), axis=0) if drawn.shape[1] > 1 else (np.full(len(numbers), np.nan),) * 2
    arrays["curve"] = np.stack([median, low, high]).astype(np.float32)
    summary |= {
        "all_inputs_explain": float(np.median(ranked[usable, -1])),
        "concepts": int(drawn.shape[1]),
        "k_half": plain(float(np.median(needed(ranked[usable], numbers, HALF)))),
        "k_half_random": plain(float(np.median(needed(random[:, usable], numbers, HALF)))) if len(random) else None,
        "k_90": plain(float(np.median(needed(ranked[usable], numbers, MOST)))),
        "k_90_random": plain(float(np.median(needed(random[:, usable], numbers, MOST)))) if len(random) else None,
        "area": plain(float(np.median(area(ranked[usable], numbers)))),
        "area_random": plain(float(np.median(area(random[:, usable], numbers)))) if len(random) else None,
    }
    if drawn.shape[1] > 1:
        for name in ("k_half", "k_90", "area"):
            summary[f"{name}_low"], summary[f"{name}_high"] = (plain(end) for end in bounds(again[name]))
        summary["area_detectable"] = plain(detectable(again["area"] - again.get("area_random", 0.0)))
    if len(beside):
        summary |= {
            "area_greedy": plain(float(np.median(area(greedy[beside], numbers)))),
            "area_ranked_of_greedy_units": plain(float(np.median(area(ranked[beside], numbers)))),
            "greedy_units": len(beside),
        }
    return Found(arrays, summary)


def _again(
    squares: Float64[np.ndarray, "order image unit number"], numbers: Sequence[int], place: Array, drawn: Array
) -> dict[str, Array]:
    """Compute the medians over units again for each draw of concepts: ``curve`` is ``draw number``, the others ``draw``."""
    shape = squares.shape[2:]
    curves = []
    for order in squares:
        sums = np.zeros((drawn.shape[1], shape[0] * shape[1]))
        np.add.at(sums, place, order.reshape(len(place), -1))
        curves.append(explained((drawn @ sums).reshape(len(drawn), *shape)))
    found = {"curve": np.median(curves[0], 1), "area": np.median(area(curves[0], numbers), 1)}
    if len(curves) > 1:
        found["area_random"] = np.median([area(curve, numbers) for curve in curves[1:]], axis=(0, 2))
    for name, part in (("k_half", HALF), ("k_90", MOST)):
        found[name] = np.median(needed(curves[0], numbers, part), 1)
    return found


def _itself(curves: Curves) -> int:
    """Count the units whose strongest input is the unit of their own number in a layer of as many units."""
    first = curves.order[curves.units, 0]
    starts = np.cumsum([0, *(source.units for source in curves.asked.sources)])
    source = np.searchsorted(starts, first, side="right") - 1
    alike = np.array([one.units == curves.asked.layer.units for one in curves.asked.sources])
    return int((alike[source] & (first - starts[source] == curves.units)).sum())


def _named(units: Array) -> dict[str, Any]:
    return {"units": len(units), "first": [int(unit) for unit in units[:NAMED]]}


def of_task(curves: TaskCurves, metric: TaskMetric, concepts: npt.NDArray[np.integer], seed: int) -> Found:
    """Say what of the task is kept, of the whole that the layer's inputs do for it."""
    stream = (seed, BOOTSTRAP)
    whole = [kept(loss, curves.loss[0], curves.clean, concepts, stream) for loss in curves.loss]
    random = [[kept(loss, curves.loss[0], curves.clean, concepts, stream) for loss in draw] for draw in curves.random_loss]
    known = whole[0].known
    fractions = np.array([[one.fraction.value, one.fraction.low, one.fraction.high] for one in whole]).T
    values = np.array([[one.fraction.value for one in draw] for draw in random]).reshape(len(random), len(curves.numbers))
    arrays: dict[str, Array] = {
        "task_numbers": np.array(curves.numbers, np.int32),
        "task_kept": (fractions if known else np.full_like(fractions, np.nan)).astype(np.float32),
        "task_kept_random": (values if known else np.full_like(values, np.nan)).astype(np.float32),
        "task_loss": curves.loss.mean(1),
        "task_loss_random": curves.random_loss.mean(2),
        "task_right": curves.right.mean(1),
        "task_right_random": curves.random_right.mean(2),
    }
    summary: dict[str, Any] = {
        "images": len(curves.images),
        "loss_clean": float(curves.clean.mean()),
        "loss_all_kept": plain(curves.loss[-1].mean()),
        "loss_none_kept": plain(curves.loss[0].mean()),
        "chance": metric.chance(curves.images),
        "whole": plain(whole[0].whole.value),
        "whole_detectable": plain(whole[0].whole.detectable),
        "within_noise": whole[0].within_noise,
    }
    if metric.measure != "output":
        summary |= {
            "accuracy_clean": float(curves.clean_right.mean()),
            "accuracy_all_kept": float(curves.right[-1].mean()),
            "accuracy_none_kept": float(curves.right[0].mean()),
        }
    if known:
        half = needed(fractions[0], curves.numbers, HALF)
        summary |= {
            "k_half": plain(float(half)),
            "k_half_random": plain(float(np.median(needed(values, curves.numbers, HALF)))) if len(values) else None,
            "k_90": plain(float(needed(fractions[0], curves.numbers, MOST))),
            "k_90_random": plain(float(np.median(needed(values, curves.numbers, MOST)))) if len(values) else None,
            "area": plain(float(area(fractions[0], curves.numbers))),
            "area_random": plain(float(np.median(area(values, curves.numbers)))) if len(values) else None,
            "kept_detectable": max((described(one)["detectable"] or 0.0 for one in whole[1:-1]), default=None),
        }
    return Found(arrays, summary)
