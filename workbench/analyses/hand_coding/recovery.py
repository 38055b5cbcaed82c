"""What comes back of the performance: ratios of means with their intervals, McNemar's test, and when nothing can be said."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from workbench.bootstrap import POWER, ratio_of_means
from workbench.finite import plain
from workbench.task_metric import described, kept

NORMAL = 1.96
"""Standard errors on either side of an interval of 95 %."""
Losses = npt.NDArray[np.float64]


def recovered(loss: Losses, ablated: Losses, full: Losses, groups: npt.NDArray[np.integer], stream: Sequence[int]) -> dict[str, Any]:
    """Return (hand - ablated) / (full - ablated) of the log-probability as plain data, or why it cannot be told (`refused`)."""
    found = kept(loss, ablated, full, groups, tuple(stream))
    said = {name.replace("kept", "recovered"): value for name, value in described(found).items()}
    # From the interval's width: a few draws with next to nothing to recover would carry the deviation of a ratio off.
    low, high = said["recovered_low"], said["recovered_high"]
    said["detectable"] = None if low is None or high is None else POWER * (high - low) / (2 * NORMAL)
    whole = found.whole
    refused = ""
    if not found.known:
        around = f"{whole.value:.3g} [{whole.low:.3g}, {whole.high:.3g}]" if math.isfinite(whole.low) else f"{whole.value:.3g}"
        refused = f"ablating these units changes the loss by {around}, which is within noise: write more units, or show more images"
    return said | {"lost": plain(whole.value), "lost_low": plain(whole.low), "lost_high": plain(whole.high), "refused": refused}


def accuracy(right: Sequence[npt.NDArray[np.float64]], groups: npt.NDArray[np.integer], stream: Sequence[int]) -> dict[str, Any]:
    """Return accuracy of the network, ablated and hand-coded, what is recovered of it, and McNemar's tests.

    Parameters
    ----------
    right
        1 where each of the three is right, 0 where not, one number an image.
    """
    full, ablated, hand = right
    whole = ratio_of_means(full - ablated, groups, list(stream))
    share = ratio_of_means(hand - ablated, groups, list(stream), full - ablated)
    known = whole.low > 0
    return {
        "accuracy_full": float(full.mean()),
        "accuracy_ablated": float(ablated.mean()),
        "accuracy_hand": float(hand.mean()),
        "accuracy_recovered": plain(share.value) if known else None,
        "accuracy_recovered_low": plain(share.low) if known else None,
        "accuracy_recovered_high": plain(share.high) if known else None,
        "mcnemar": {"hand_ablated": mcnemar(hand, ablated), "full_hand": mcnemar(full, hand)},
    }


def mcnemar(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> dict[str, float]:
    """Return on how many images only the first is right, on how many only the second, and the exact two-sided p of as large a difference.

    References
    ----------
    McNemar, "Note on the sampling error of the difference between correlated proportions or percentages", Psychometrika 12 (1947).
    """
    only_first, only_second = int(((first == 1) & (second == 0)).sum()), int(((first == 0) & (second == 1)).sum())
    number, fewer = only_first + only_second, min(only_first, only_second)
    p = min(1.0, 2 * sum(math.comb(number, k) for k in range(fewer + 1)) / 2**number)  # Python divides whole numbers of any size
    return {"only_first": only_first, "only_second": only_second, "p": p}
