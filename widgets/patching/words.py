"""What a result of patching says, in a sentence with its interval, its null and its numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.rank_correlation import rank_correlation

if TYPE_CHECKING:
    from workbench.analyses.analysis import Result

PLURAL = {
    "layer": "layers", "branch": "branches", "unit": "channels", "cell": "positions", "head": "heads", "region": "regions",
    "family": "families", "direction": "directions",
}  # fmt: skip

LARGE = 0.3
"""Score of the null from which it is explained: where all passes through it is about 0.5."""
ALIKE = 1e-4
"""Scores that differ by no more have no order."""


def percent(value: float | None) -> str:
    """Write a part of one."""
    if value is None or not math.isfinite(value):
        return "?"
    return f"{100 * value:.{1 if abs(value) < 0.0995 else 0}f} %".replace("-", "−")


def null_of(result: Result) -> tuple[float, float] | None:
    """Return the smallest and largest score of all patches with unrelated images, and in one network of random weights.

    Over pairs these are means; beside a drawn pair the largest that any of the unrelated images gives counts.
    """
    names = ["unaligned_score", "twin_score", *(["unaligned_high"] if result.summary["drawn"] else [])]
    values = np.concatenate([result.arrays[name] for name in names if name in result.arrays])
    known = values[np.isfinite(values)]
    return (float(known.min()), float(known.max())) if known.size else None


def noise_words(put: str) -> str:
    """Name the direction noise, and what it puts where that is not the other image's activation."""
    return "noise" + {"resample": "", "mean": ", putting the mean", "zero": ", putting 0"}[put]


def null_words(result: Result) -> str:
    """Name the null, which is of denoising."""
    told = result.summary
    unrelated = "unrelated images"
    if told["unrelated"] is not None:
        number, others = told["unrelated"]["images"], told["unrelated"]["other_classes"]
        unrelated = f"{number} image{'' if number == 1 else 's'} of the set, {'of other classes' if others else 'of any class'}"
    return unrelated + (" and one random network" if "twin_score" in result.arrays else "")


def halfway(null: float | None) -> str:
    """Say why a null is large, where it is."""
    return " (any third image lies about halfway between two)" if null is not None and null > LARGE else ""


def agreement(one: np.ndarray, other: np.ndarray, stands_for: np.ndarray) -> float | None:
    """Return Spearman's rank correlation of what is known of both, each patch standing for so many; None for fewer than three."""
    return rank_correlation(one, other, ALIKE, None if (stands_for == 1).all() else stands_for)


def about(result: Result) -> str:
    """Say what carries the difference, beside the null and the number of images."""
    told = result.summary
    through = f" through {told['through']}" if told["through"] else ""
    shown = "this pair" if told["drawn"] else f"{told['pairs']} pairs"
    read = f"Read: {told['metric']}, {shown}" + (f", {told['left_out']} that hardly differ left out" if told["left_out"] else "")
    if told["no_number"]:
        read += f", {told['no_number']} of which it is no number"
    if told["without"]:
        read += f"; not on the way, left out: {', '.join(told['without'])}"
    if told["incomplete"]:
        return f"{_so_far(result)} {read}."
    joint = [row for row in told["joint"] if row["together"] is not None]
    if joint and told["part"] != "region":  # of inside and outside the better one is one part alone
        best = max(joint, key=lambda row: row["together"] - (row["random_largest"] or 0.0))
        return f"{_together(best, told, through)} {read}."
    return f"{_alone(result, through)} {read}."


def _together(best: dict[str, Any], told: dict[str, Any] | Any, through: str) -> str:
    number, of = len(best["parts"]), best["of"]
    low, high = best["together_low"], best["together_high"]
    sure = f" [{percent(low)[:-2]}, {percent(high)[:-2]}]" if low is not None and high is not None else ""
    held = "on other concepts" if told["apart"] else "on clean images of other concepts"
    chosen = f"{held} than they were chosen on" if best["held_out"] else "on the pair that they were chosen on: no interval"
    unaligned = f"{percent(best['unaligned'])}{halfway(best['unaligned'])}"
    beside = f"as many others at most {percent(best['random_largest'])}, with unrelated images {unaligned}"
    carry = "carries" if number == 1 else "carry"
    some = f", {best['patched']} of which were patched," if best["patched"] < of else ""
    return (
        f"{number} of {of} {PLURAL[told['part']]} of {best['layer']}{some} {carry} {percent(best['together'])}{sure} of the "
        f"difference{through}, {chosen}; {beside}. One by one they sum to {percent(best['sum_of_singles'])}."
    )


def _alone(result: Result, through: str) -> str:
    score, names = result.arrays["denoise_score"], result.summary["names"]
    best = int(np.nanargmax(score))
    low, high, null = result.arrays["denoise_low"][best], result.arrays["denoise_high"][best], null_of(result)
    sure = f" [{percent(low)[:-2]}, {percent(high)[:-2]}]" if np.isfinite(low) and np.isfinite(high) else ""
    beside = f"; {null_words(result)} at most {percent(null[1])}{halfway(null[1])}" if null is not None else ""
    return f"{names[best]} carries {percent(score[best])}{sure} of the difference{through}{beside}."


def _so_far(result: Result) -> str:
    told, exact = result.summary, result.summary["exact"]
    guess, score = result.arrays["denoise_attribution"], result.arrays["denoise_score"]
    known = np.where(np.isfinite(score), score, guess)
    if not np.isfinite(known).any():
        return "No pair was read yet."
    best = int(np.nanargmax(known))
    how = "exactly" if np.isfinite(score[best]) else "by attribution, to first order"
    return f"So far {exact} of {len(score)} exact, the others by attribution: {told['names'][best]} carries {percent(known[best])} ({how})."
