"""How pure a unit is, from labels of a few positions drawn in equal numbers from every range of its activation.

A unit's activation is rarely large, so positions are drawn bin by bin (`activation_bins`, `draw`): as many from the few strong ones as from
the many weak ones. The share of one label among all that were drawn is then no estimate of anything. What is wanted is the mean of
each bin's share, weighted by how many positions the bin really has (Horvitz and Thompson 1952): of what the unit fires at, how much is
what it is said to detect. Weighted by the bin's sum of activations instead, it is the share of the *expected value*: of how much the
unit fires, how much is due to it.

A bin's interval is Wilson's. That of a weighted mean is put together from the bins' own (Zou and Donner 2008, `weighted`), because a
bootstrap over a bin in which all labels agree would find no uncertainty there. Drawings of one concept are not independent, so an
interval counts concepts, not images; and as one concept has drawings in several bins, it reaches at least as far as when whole concepts
are drawn again (`over_concepts`).

Source: Cammarata et al., "Curve Detectors", Distill 2020, whose figures these are: p(label | activation), density and expected value.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from workbench.bootstrap import bounds, redrawn

Floats = npt.NDArray[np.floating]
Integers = npt.NDArray[np.integer]
Numbers = npt.NDArray[Any]

Z = 1.959964
"""Standard errors on either side of 95 %."""
POWER = 2.801585
"""Standard errors of a difference that is found four times out of five."""
BELOW = 2
"""Bins below zero; the lowest reaches down to the smallest activation."""


@dataclass(frozen=True)
class Estimate:
    """A share, and how sure it is.

    Attributes
    ----------
    value
        In [0, 1]; NaN where nothing was labelled.
    low, high
        95 % interval; all of [0, 1] where nothing was labelled.
    labels, concepts
        Labels it rests on, and the different concepts among them, which the interval counts.
    """

    value: float
    low: float
    high: float
    labels: int
    concepts: int

    @property
    def detectable(self) -> float:
        """Difference that a measurement as uncertain as this one would find four times out of five."""
        return POWER / Z * (self.high - self.low) / 2


# Drawing


def activation_bins(values: Floats, bins: int = 8) -> npt.NDArray[np.float64]:
    """Return the edges of bins of equal width: `bins` of them from 0 to the largest value, and up to `BELOW` under 0.

    The lowest reaches down to the smallest value, however far that is. A unit that is never positive has `bins` from its smallest to its
    largest value.
    """
    low, high = float(values.min()), float(values.max())
    if high <= 0:
        return np.linspace(low, high if high > low else low + 1, bins + 1)
    width = high / bins
    below = min(BELOW, math.ceil(-low / width)) if low < 0 else 0
    edges: npt.NDArray[np.float64] = np.arange(-below, bins + 1, dtype=np.float64) * width
    if low < edges[0]:
        edges[0] = low
    edges[-1] = high
    return edges


def drawn_edges(edges: Floats) -> npt.NDArray[np.float64]:
    """Return where edges are drawn: the lowest bin no wider than the others, however far down it reaches."""
    drawn: npt.NDArray[np.float64] = np.array(edges, np.float64)
    if len(drawn) > 3:
        drawn[0] = max(drawn[0], 2 * drawn[1] - drawn[2])
    return drawn


def bin_of(values: Floats, edges: Floats) -> npt.NDArray[np.int64]:
    """Return which bin each value lies in: ``[edge, next edge)``, the last one closed."""
    found: npt.NDArray[np.int64] = np.clip(np.searchsorted(edges, values, "right") - 1, 0, len(edges) - 2).astype(np.int64)
    return found


def draw(bins: Integers, groups: Integers, number: int, seed: int, count: int) -> npt.NDArray[np.int64]:
    """Draw positions, as many from every bin, and return their places, shuffled.

    In a bin every position is equally likely (systematic sampling along the images in random order), and an image is drawn twice only
    where it has more of the bin's positions than others leave room for. A bin with fewer positions than its share gives all it has, and the
    other bins share the rest.

    Parameters
    ----------
    bins, groups
        ``position``: the bin of each, and which image it is in.
    number
        Positions in all bins, out of `number`.
    count
        Positions wanted.
    """
    random = np.random.default_rng(seed)
    sizes = np.bincount(bins, minlength=number)
    shares = np.zeros(number, np.int64)
    while (left := min(count, int(sizes.sum())) - int(shares.sum())) > 0:
        room = np.flatnonzero(shares < sizes)
        each = max(1, left // len(room))
        for place in room[: left if each == 1 else None].tolist():
            shares[place] += min(each, int(sizes[place] - shares[place]))
    turn = random.permutation(int(groups.max()) + 1)[groups]
    order = np.lexsort((random.random(len(bins)), turn, bins))
    starts = np.concatenate([[0], np.cumsum(sizes)])
    chosen = [
        order[starts[place] + np.floor((np.arange(share) + random.random()) * (sizes[place] / share)).astype(np.int64)]
        for place, share in enumerate(shares.tolist())
        if share
    ]
    return random.permutation(np.concatenate(chosen)) if chosen else np.zeros(0, np.int64)


# Estimating


def wilson(share: float, number: float) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share observed in `number` independent cases (Wilson 1927)."""
    if not number:
        return 0.0, 1.0
    middle = (share + Z**2 / (2 * number)) / (1 + Z**2 / number)
    half = Z * math.sqrt(share * (1 - share) / number + Z**2 / (4 * number**2)) / (1 + Z**2 / number)
    return max(0.0, middle - half), min(1.0, middle + half)


def in_bins(hits: npt.NDArray[np.bool_], bins: Integers, concepts: Sequence[str], number: int) -> list[Estimate]:
    """Return of every bin which share of its labels are hits.

    Parameters
    ----------
    hits, bins, concepts
        One of each a label.
    """
    names = np.asarray(concepts, np.str_)
    found = []
    for place in range(number):
        here = bins == place
        labels, independent = int(here.sum()), len(set(names[here].tolist()))
        share = float(hits[here].mean()) if labels else math.nan
        found.append(Estimate(share, *wilson(share, independent), labels, independent))
    return found


def weighted(estimates: Sequence[Estimate], weights: Sequence[float] | Numbers) -> Estimate:
    """Return the weighted mean of independent shares (Horvitz-Thompson), with an interval from theirs.

    With the weights w, scaled to a sum of 1, the shares p and their intervals [l, u] it is ``sum(w p)``, from
    ``sum(w p) - sqrt(sum(w (p - l))^2)`` to ``sum(w p) + sqrt(sum(w (u - p))^2)`` (Zou and Donner, "Construction of confidence limits
    about effect measures", 2008). A bin without labels could be anything: it counts as one half, within [0, 1].
    """
    known = np.asarray(weights, np.float64)
    if not len(known) or known.sum() <= 0:
        return Estimate(math.nan, 0.0, 1.0, 0, 0)
    known = known / known.sum()
    values = np.array([0.5 if math.isnan(one.value) else one.value for one in estimates])
    low, high = (np.array([getattr(one, end) for one in estimates]) for end in ("low", "high"))
    value = float(known @ values)
    counted = [one for one, weight in zip(estimates, known, strict=True) if weight > 0]
    labels, concepts = (sum(getattr(one, what) for one in counted) for what in ("labels", "concepts"))
    if not labels:
        return Estimate(math.nan, 0.0, 1.0, 0, 0)
    return Estimate(
        value,
        max(0.0, value - float(np.linalg.norm(known * (values - low)))),
        min(1.0, value + float(np.linalg.norm(known * (high - values)))),
        labels,
        concepts,
    )


def over_concepts(
    hits: npt.NDArray[np.bool_], bins: Integers, concepts: Sequence[str], weights: Sequence[float] | Numbers, seed: int = 0
) -> Estimate:
    """Return `weighted` of `in_bins`, with the wider of two intervals: theirs, and that of a bootstrap over concepts across all bins.

    The first takes bins as independent, which they are not where one concept has drawings in several. The second finds no uncertainty
    where all labels agree. A bin that a draw leaves without labels keeps its share.

    Parameters
    ----------
    hits, bins, concepts
        One of each a label.
    weights
        ``bin``.
    """
    known = np.asarray(weights, np.float64)
    estimates = in_bins(hits, bins, concepts, len(known))
    found = weighted(estimates, known)
    counted = known[bins] > 0
    if not found.labels or not counted.any():
        return found
    number = len(known)
    place, drawn = redrawn([concepts[one] for one in np.flatnonzero(counted).tolist()], seed)
    cell, shape = place * number + bins[counted], (drawn.shape[1], number)
    labels, right = (
        drawn @ np.bincount(cell, each, shape[0] * number).reshape(shape) for each in (None, hits[counted].astype(np.float64))
    )
    own = np.array([0.5 if math.isnan(one.value) else one.value for one in estimates])
    shares = np.where(labels > 0, right / np.maximum(labels, 1), own)
    low, high = bounds(shares @ (known / known.sum()))
    return Estimate(found.value, min(found.low, low), max(found.high, high), found.labels, shape[0])


def labels_needed(estimates: Sequence[Estimate], weights: Sequence[float] | Numbers, half: float = 0.05) -> int:
    """Return how many labels, as many in each bin, would bring the weighted mean's interval to +/- `half`, and no fewer than there are."""
    known = np.asarray(weights, np.float64) / max(float(np.sum(weights)), 1e-300)
    spread = [0.25 if math.isnan(one.value) else max(one.value * (1 - one.value), 0.02) for one in estimates]
    each = Z**2 * float(np.square(known) @ np.array(spread)) / half**2
    return max(math.ceil(each) * len(estimates), sum(one.labels for one in estimates))
