"""Scores of patches, ratios of means over pairs with their intervals; also of a sweep of which only a part is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from workbench.bootstrap import COVERAGE, redrawn

Array = npt.NDArray[Any]
LEAST = 0.05
"""Part of the median difference between two runs of a pair below which a pair says nothing."""
ENDS = (50 * (1 - COVERAGE), 50 * (1 + COVERAGE))


def differing(whole: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Tell which pairs differ by at least `LEAST` of the median pair; those of which the difference is no number do not."""
    known = np.isfinite(whole)
    sizes = np.where(known, np.abs(whole), 0.0)
    middle = float(np.median(sizes[known])) if known.any() else 0.0
    found: npt.NDArray[np.bool_] = known & (sizes >= LEAST * middle) & (middle > 0)
    return found


def oriented(found: Mapping[str, Array], drawn: bool) -> dict[str, Array]:
    """Turn the signs of pairs whose clean image has less of the metric than the corrupt one, so that pairs do not cancel one another.

    Of a unit, a text or a class that was chosen freely nobody knows which image of a pair has more. What a stranger does is turned, too: as
    with the pair's own classes it then is about half of the difference where all passes through, and figures of all metrics compare.

    Parameters
    ----------
    found
        What was measured, float64 ``p i`` and ``i``.
    drawn
        Whether ``unaligned`` has a column for each unrelated image beside the one pair, and not for each pair.
    """
    sign = {name: np.where(found[name] < 0, -1.0, 1.0) for name in ("whole", "twin_whole") if name in found}
    return {
        name: values * (sign["twin_whole"] if name.startswith("twin") else sign["whole"][:1] if drawn else sign["whole"])
        for name, values in found.items()
    }


def scored(
    arrays: Mapping[str, Array], groups: npt.NDArray[np.integer] | None, seed: Sequence[int], drawn: bool
) -> dict[str, npt.NDArray[np.float64]]:
    """Return the scores of all patches, float64 ``p``; NaN for what was not measured.

    Parameters
    ----------
    arrays
        ``denoise`` and so on, float64 ``p i``, and ``whole``; NaN where a patch was not tried on a pair.
    groups
        Concept of each pair, for the intervals; None for none.
    drawn
        Whether ``unaligned`` has a column for each unrelated image beside the one pair, and not for each pair.
    """
    whole = arrays["whole"]
    found = {}
    for name, below in (("denoise", whole), ("noise", -whole)):
        found[f"{name}_score"], found[f"{name}_low"], found[f"{name}_high"] = _ratios(arrays[name], below, groups, seed)
        found[f"{name}_attribution"] = _ratios(arrays[f"{name}_estimate"], below, None, seed)[0]
    strange = arrays["unaligned"]
    found["unaligned_score"], _, high = _ratios(strange, np.full(strange.shape[1], whole.mean()) if drawn else whole, groups, seed)
    with np.errstate(invalid="ignore"):
        found["unaligned_high"] = _largest(strange) / whole.mean() if drawn else high
    if "twin" in arrays:
        found["twin_score"] = _ratios(arrays["twin"], arrays["twin_whole"], None, seed)[0]
    return found


def _largest(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    known = np.isfinite(values)
    found: npt.NDArray[np.float64] = np.where(known.any(1), np.where(known, values, -np.inf).max(1, initial=-np.inf), np.nan)
    return found


def _ratios(
    numerator: npt.NDArray[np.float64],
    below: npt.NDArray[np.float64],
    groups: npt.NDArray[np.integer] | None,
    seed: Sequence[int],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return mean / mean for each row over the pairs that it is known of, and the ends of its 95 % interval."""
    known = np.isfinite(numerator) & np.isfinite(below)
    sums = np.where(known, numerator, 0.0), np.where(known, below, 0.0)
    none = np.full(len(numerator), np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = np.where(known.any(1), sums[0].sum(1) / sums[1].sum(1), np.nan)
        if groups is None or len(np.unique(groups)) < 2 or not len(numerator):
            return value, none, none
        place, weights = redrawn(groups, seed)
        member = np.eye(weights.shape[1])[place]
        above, under = ((each @ member) @ weights.T for each in sums)
        ratios = above / under
    whole = np.isfinite(ratios).all(1)
    low, high = np.full((2, len(numerator)), np.nan)
    low[whole], high[whole] = np.percentile(ratios[whole], ENDS, axis=1)
    return value, low, high
