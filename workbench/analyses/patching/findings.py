"""Whether patching says something: how reliable its ranking is, whether directions and attribution agree, in how few parts it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from workbench.finite import plain
from workbench.rank_correlation import rank_correlation

Array = npt.NDArray[Any]
FEWEST = 4
"""Parts of a layer below which their ranking says nothing."""


def findings(arrays: Mapping[str, Array], layers: int, groups: npt.NDArray[np.integer]) -> dict[str, Any]:
    """Return what is asked of patching, for each layer with enough parts; all of it is of all parts, for which those patched stand.

    ``reliability``
        Spearman's rank correlation of the parts' scores between the two halves of the concepts.
    ``directions``
        The same between denoise and noise.
    ``attribution`` ``attribution_noise``
        The same between exact scores and their estimates, in either direction.
    ``concentration`` ``concentration_unaligned``
        Part of the absolute scores that the tenth of the parts with the largest have; in pairs with a stranger's activations, too.
    ``concentration_twin`` ``reliability_twin``
        The same in the network of random weights, where it was patched.
    """
    whole = arrays["whole"]
    half = arrays["half"]
    told = []
    for place in range(layers):
        rows = np.flatnonzero(arrays["layer"] == place)
        if len(rows) < FEWEST:
            continue
        number = arrays["stands_for"][rows]
        every = round(float(number.sum()))
        denoise, noise = arrays["denoise"][rows], arrays["noise"][rows]
        random = arrays["twin"][rows] if "twin" in arrays else None
        told.append(
            {
                "layer": place,
                "parts": len(rows),
                "of": every,
                "reliability": _halves(denoise, whole, half, number),
                "reliability_noise": _halves(noise, -whole, half, number),
                "directions": correlation(_scores(denoise, whole), _scores(noise, -whole), number),
                "attribution": correlation(_scores(denoise, whole), _scores(arrays["denoise_estimate"][rows], whole), number),
                "attribution_noise": correlation(_scores(noise, -whole), _scores(arrays["noise_estimate"][rows], -whole), number),
                "concentration": concentration(_scores(denoise, whole), number),
                "concentration_unaligned": concentration(_scores(arrays["unaligned"][rows], whole), number),
                "concentration_twin": concentration(_scores(random, arrays["twin_whole"]), number) if random is not None else None,
                "reliability_twin": _halves(random, arrays["twin_whole"], half, number) if random is not None else None,
                "even": max(1, round(every / 10)) / every,
            }
        )
    return {"findings": told, "concepts": len(np.unique(groups))}


def _scores(effect: Array, whole: Array, of: Array | None = None) -> Array:
    if of is not None:
        effect, whole = effect[:, of], whole[of]
    found: Array = effect.mean(1) / whole.mean() if len(whole) else np.full(len(effect), np.nan)
    return found


def _halves(effect: Array, whole: Array, half: Array, number: Array) -> float | None:
    return correlation(_scores(effect, whole, half), _scores(effect, whole, ~half), number)


def correlation(one: Array, other: Array, number: Array) -> float | None:
    """Return Spearman's rank correlation of parts that stand for so many each; None where one side is all alike or is no number."""
    return rank_correlation(one, other, weights=number) if np.isfinite(one).all() and np.isfinite(other).all() else None


def concentration(scores: Array, number: Array) -> float | None:
    """Return the part of the absolute scores that the largest tenth of them has, each standing for so many."""
    order = np.argsort(-np.abs(scores), kind="stable")
    sizes, many = np.abs(scores)[order], number[order]
    total = float((sizes * many).sum())
    before = np.cumsum(many) - many
    among = np.clip(max(1, round(float(many.sum()) / 10)) - before, 0, many)
    return plain(float((sizes * among).sum()) / total) if total > 0 else None
