"""Spearman's rank correlation, ties having their average rank."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def average_ranks(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Return the rank of each of some finite numbers, from 0; those that are alike share the mean of their ranks."""
    _, place, number = np.unique(values, return_inverse=True, return_counts=True)
    found: npt.NDArray[np.float64] = (np.cumsum(number) - (number + 1) / 2)[place]
    return found


def weighted_ranks(values: npt.NDArray[np.floating], weights: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Return the rank that each number has where it stands for so many alike: up to a constant `average_ranks` of all these."""
    _, place = np.unique(values, return_inverse=True)
    number = np.bincount(place, weights)
    found: npt.NDArray[np.float64] = (np.cumsum(number) - number / 2)[place]
    return found


def rank_correlation(
    one: npt.NDArray[np.floating],
    other: npt.NDArray[np.floating],
    alike: float = 0.0,
    weights: npt.NDArray[np.floating] | None = None,
) -> float | None:
    """Return Spearman's rank correlation of what is finite in both.

    Parameters
    ----------
    alike
        Values that span no more than this have no order.
    weights
        How many each stands for; None for one each.

    Returns
    -------
    float or None
        None for fewer than three pairs of numbers, or where one side is all alike.
    """
    known = np.isfinite(one) & np.isfinite(other)
    if known.sum() < 3 or min(np.ptp(one[known]), np.ptp(other[known])) <= alike:
        return None
    if weights is None:
        return float(np.corrcoef(average_ranks(one[known]), average_ranks(other[known]))[0, 1])
    ranks = np.stack([weighted_ranks(side[known], weights[known]) for side in (one, other)])
    shared = np.cov(ranks, aweights=weights[known])
    return float(shared[0, 1] / np.sqrt(shared[0, 0] * shared[1, 1]))
