"""How sure a mean is, when what was measured comes in groups that are not independent inside: five drawings of one concept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

DRAWS = 1000
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
    names, place = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.stack([np.bincount(place, weights, len(names)) for weights in (numerator, below)], 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = float(np.divide(*sums.sum(0)))
        if len(names) < 2:
            return Interval(value, np.nan, np.nan, np.nan, len(names))
        drawn = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), DRAWS) @ sums
        ratios = drawn[:, 0] / drawn[:, 1]
    low, high = np.quantile(ratios, ((1 - COVERAGE) / 2, (1 + COVERAGE) / 2))
    return Interval(value, float(low), float(high), float(POWER * ratios.std()), len(names))
