"""What is told of the partners that were found: which are beyond the twins', the families they make, and each layer's figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from workbench.analyses.equivariance.matching import NONE, orbits
from workbench.analyses.equivariance.weights import Confirmed
from workbench.bootstrap import POWER
from workbench.finite import median, plain
from workbench.images.transformation import Transformation
from workbench.models.layer import Layer

if TYPE_CHECKING:
    from workbench.analyses.equivariance.analysis import Found, Matched

Values = npt.NDArray[np.floating[Any]]
FLOATS = ("agreement", "plain", "gain", "low", "high", "own", "invariance", "weights", "weights_bar", "angle")
WHOLE = ("transformation", "layer", "unit", "partner", "family")
FLAGS = ("counts", "symmetric")
ALPHA = 0.05
"""Chance that a layer has a pair that counts although it is none."""
TINY = 1e-9


def told(
    chosen: Sequence[Transformation],
    layers: Sequence[Layer],
    own: Found,
    twins: Sequence[Found],
    weights: Mapping[tuple[str, str], Confirmed],
    least: float,
) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """Return the arrays and the part of the summary that `Equivariance` documents."""
    rows: list[dict[str, npt.NDArray[Any]]] = []
    families: list[dict[str, Any]] = []
    figures = []
    for number, one in enumerate(chosen):
        for place, layer in enumerate(layers):
            key = one.name, layer.name
            null = [twin[key] for twin in twins]
            row, found, figure = _layer(one, layer, own[key], null, weights.get(key), least, len(families))
            row |= {"transformation": np.full(layer.units, number), "layer": np.full(layer.units, place), "unit": np.arange(layer.units)}
            rows.append(row)
            families += found
            figures.append(figure)
    kinds = {**dict.fromkeys(FLOATS, np.float32), **dict.fromkeys(WHOLE, np.int32), **dict.fromkeys(FLAGS, np.bool_)}
    arrays: dict[str, npt.NDArray[Any]] = {
        name: np.concatenate([row[name] for row in rows]).astype(kind) for name, kind in kinds.items()
    }
    return arrays, {"families": families, "figures": figures}


def _layer(
    one: Transformation,
    layer: Layer,
    own: Matched,
    twins: Sequence[Matched],
    weights: Confirmed | None,
    least: float,
    first: int,
) -> tuple[dict[str, npt.NDArray[Any]], list[dict[str, Any]], dict[str, Any]]:
    """Judge one layer under one transformation."""
    partner, scores = own.partner, own.scores
    highest = [_highest(twin.scores.low) for twin in twins]
    bar = level(highest)
    counts = _counts(scores.low, scores.gain, bar, least)
    self_bar = level([_highest(np.where(_alone(twin), twin.scores.own_low, np.nan)) for twin in twins])
    symmetric = _alone(own) & (np.nan_to_num(scores.own_low, nan=-1) > self_bar)
    cosine = weights.cosine if weights is not None else np.full(layer.units, np.nan)
    cosine_bar = weights.bar if weights is not None else np.full(layer.units, np.nan)
    family, angle = np.full(layer.units, -1), np.full(layer.units, np.nan)
    found: list[dict[str, Any]] = []
    misfits = 0
    for orbit in orbits(partner, counts, one.order):
        if not orbit.consistent:
            misfits += len(orbit.units)
            continue
        units = list(orbit.units)
        angles = one.angles(range(len(units)))
        family[units], angle[units] = first + len(found), [np.nan if each is None else each for each in angles]
        linked = [unit for unit in units if counts[unit] and partner[unit] in orbit.units]
        found.append(
            {
                "transformation": one.name,
                "layer": layer.name,
                "units": units,
                "angles": angles,
                "closed": orbit.closed,
                "agreement": _mean(scores.agreement[linked]),
                "plain": _mean(scores.plain[linked]),
                "gain": _mean(scores.gain[linked]),
                "low": plain(float(scores.low[linked].min())),
                "weights": _mean(cosine[linked]),
                "weights_bar": _mean(cosine_bar[linked]),
            }
        )
    alive = partner != NONE
    asked = counts & np.isfinite(cosine)
    null_part = []
    for place, twin in enumerate(twins):
        others = level(highest[:place] + highest[place + 1 :])
        null_part.append(_counts(twin.scores.low, twin.scores.gain, others, least).sum() / max(1, (twin.partner != NONE).sum()))
    excess, null_excess = _excess(own), [_excess(twin) for twin in twins]
    widths = [median(each.scores.gain - each.scores.low) for each in (own, *twins)]  # a network whose units are all their own has none
    half_width = next((width for width in widths if width is not None), 0.0)
    figure = {
        "transformation": one.name,
        "layer": layer.name,
        "units": layer.units,
        "judged": int(alive.sum()),
        "others": int((alive & ~_alone(own)).sum()),
        "counting": int(counts.sum()),
        "matched": float(counts.sum() / max(1, alive.sum())),
        "matched_null": _mean(np.array(null_part)),
        "bar": plain(bar),
        "detectable": plain(float(max(least, bar) + half_width)),
        "families": len(found),
        "in_families": int((family >= 0).sum()),
        "misfits": misfits,
        "symmetric": int(symmetric.sum()),
        "symmetric_bar": plain(self_bar),
        "excess": plain(excess),
        "excess_null": [plain(float(np.nanmin(null_excess))), plain(float(np.nanmax(null_excess)))],
        "excess_detectable": plain(float(np.mean(null_excess) + POWER * np.std(null_excess))),
        "invariance": median(scores.invariance),
        "invariance_null": _range([median(twin.scores.invariance) for twin in twins]),
        "own": median(scores.own),
        "own_null": _range([median(twin.scores.own) for twin in twins]),
        "weights_asked": int(asked.sum()),
        "weights_confirmed": int((cosine[asked] >= cosine_bar[asked]).sum()),
        "weights_bar": _mean(cosine_bar),
    }
    row = {
        "partner": partner,
        "agreement": scores.agreement,
        "plain": scores.plain,
        "gain": scores.gain,
        "low": scores.low,
        "high": scores.high,
        "own": scores.own,
        "invariance": scores.invariance,
        "weights": cosine,
        "weights_bar": cosine_bar,
        "counts": counts,
        "symmetric": symmetric,
        "family": family,
        "angle": angle,
    }
    return row, found, figure


def level(highest: Sequence[float]) -> float:
    """Return what a figure of at most 1 has to exceed: the largest of every twin, and what a twin's largest exceeds once in 20 times.

    The largest of many is distributed as Gumbel says; here -log(1 - largest), which is not bounded, by its mean and deviation.

    Parameters
    ----------
    highest
        The largest of each twin.
    """
    largest = -np.log(np.maximum(1 - np.asarray(highest), TINY))
    scale = largest.std(ddof=1) * np.sqrt(6) / np.pi
    beyond = largest.mean() + scale * (-np.log(-np.log1p(-ALPHA)) - np.euler_gamma)
    return float(1 - np.exp(-max(beyond, largest.max())))


def _counts(low: Values, gain: Values, bar: float, least: float) -> npt.NDArray[np.bool_]:
    """Tell which partners are beyond every one of the twins', and good enough."""
    found: npt.NDArray[np.bool_] = (np.nan_to_num(low, nan=-np.inf) > bar) & (np.nan_to_num(gain, nan=-np.inf) >= least)
    return found


def _alone(matched: Matched) -> npt.NDArray[np.bool_]:
    alone: npt.NDArray[np.bool_] = matched.partner == np.arange(len(matched.partner))
    return alone


def _highest(values: Values) -> float:
    """Return the largest, 0 where there is none: no interval that ends below 0 says anything."""
    known = values[np.isfinite(values)]
    return max(0.0, float(known.max())) if len(known) else 0.0


def _excess(matched: Matched) -> float:
    """Return corr(a(Tx), b(x)) - corr(a(x), b(x)), averaged over all units that vary; 0 for a unit that is its own partner."""
    alive = matched.partner != NONE
    more = np.where(_alone(matched), 0, matched.scores.agreement - np.maximum(matched.scores.plain, 0))[alive]
    return float(np.nan_to_num(more).mean()) if alive.any() else 0.0


def _mean(values: Values) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None


def _range(values: Sequence[float | None]) -> list[float] | None:
    known = [value for value in values if value is not None]
    return [min(known), max(known)] if known else None
