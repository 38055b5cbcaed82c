"""How sure a mean is, when what was measured comes in groups that are not independent inside: five drawings of one concept.

`ratio_of_means` gives one figure with its interval; `redrawn` the weights behind it, for figures that are no ratio of two means (a median
over units); `first_half` splits items so that no group stands on both sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

DRAWS = 1000
KEPT_GROUPS = 4000
"""Draws of more groups than that, 32 MB, are made anew each time."""
COVERAGE = 0.95
POWER = 2.8
"""Standard errors of an effect that is found, at 5 % of false alarms on either side, four times out of five: 1.96 + 0.84."""


@dataclass(frozen=True)
class Interval:
    """A ratio of means and how sure it is.

    Attributes
    ----------
    value
        The ratio, NaN where nothing was measured.
    low, high
        95 % bootstrap interval (percentiles); NaN for fewer than two groups.
    detectable
        Smallest effect that a measurement as uncertain as this one would find with a power of 80 %; NaN for fewer than two groups.
    groups
        Number of groups.
    """

    value: float
    low: float
    high: float
    detectable: float
    groups: int


def ratio_of_means(
    numerator: npt.NDArray[np.floating],
    groups: Sequence[str] | npt.NDArray[np.integer],
    seed: int | Sequence[int],
    denominator: npt.NDArray[np.floating] | None = None,
) -> Interval:
    """Return mean(numerator) / mean(denominator), and its interval when whole groups are drawn again with replacement.

    Parameters
    ----------
    numerator, denominator
        One number an item; without a denominator it is the mean.
    groups
        Which group each item belongs to.
    """
    if not len(numerator):
        return Interval(np.nan, np.nan, np.nan, np.nan, 0)
    below = np.ones(len(numerator)) if denominator is None else denominator
    place, weights = redrawn(groups, seed)
    number = weights.shape[1]
    sums = np.stack([np.bincount(place, values, number) for values in (numerator, below)], 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = float(np.divide(*sums.sum(0)))
        if number < 2:
            return Interval(value, np.nan, np.nan, np.nan, number)
        drawn = weights @ sums
        ratios = drawn[:, 0] / drawn[:, 1]
    return Interval(value, *bounds(ratios), detectable(ratios), number)


def redrawn(
    groups: Sequence[str] | npt.NDArray[np.integer], seed: int | Sequence[int]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Draw whole groups again with replacement.

    Returns
    -------
    tuple
        The number of each item's group, ``item``, and how often each group came in each draw, ``draw group``.
    """
    names, place = np.unique(np.asarray(groups), return_inverse=True)
    draw = _kept_draws if len(names) <= KEPT_GROUPS else _draws
    return place, draw(len(names), tuple(seed) if isinstance(seed, Sequence) else int(seed))


def _draws(number: int, seed: int | tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Return how often each of so many groups comes in each draw."""
    weights = np.random.default_rng(seed).multinomial(number, np.full(number, 1 / number), DRAWS)
    weights.setflags(write=False)
    return weights


_kept_draws = lru_cache(maxsize=4)(_draws)
"""Of the last few: figures of the same images are drawn alike."""


def bounds(drawn: npt.NDArray[np.floating]) -> tuple[float, float]:
    """Return the 95 % interval of what was computed from each draw; an end may be infinite."""
    ends = ((1 - COVERAGE) / 2, (1 + COVERAGE) / 2)
    low, high = np.quantile(drawn, ends) if np.isfinite(drawn).all() else np.quantile(drawn, ends, method="nearest")
    return float(low), float(high)


def detectable(drawn: npt.NDArray[np.floating]) -> float:
    """Return the smallest effect that a figure as uncertain as these draws would have found with a power of 80 %."""
    return float(POWER * drawn.std())


def first_half(groups: Sequence[str] | npt.NDArray[np.integer], seed: int | Sequence[int]) -> npt.NDArray[np.bool_]:
    """Tell which items stand in the first half of the groups, in a random order: all of a group, or none."""
    known, place = np.unique(np.asarray(groups), return_inverse=True)
    first: npt.NDArray[np.bool_] = np.random.default_rng(seed).permutation(len(known)) < len(known) // 2
    return first[place]
