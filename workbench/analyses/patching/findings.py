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
    """Return what is asked of patching, for each layer with enough parts.

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
        denoise, noise = arrays["denoise"][rows], arrays["noise"][rows]
        told.append(
            {
                "layer": place,
                "parts": len(rows),
                "reliability": _halves(denoise, whole, half),
                "reliability_noise": _halves(noise, -whole, half),
                "directions": correlation(_scores(denoise, whole), _scores(noise, -whole)),
                "attribution": correlation(_scores(denoise, whole), _scores(arrays["denoise_estimate"][rows], whole)),
                "attribution_noise": correlation(_scores(noise, -whole), _scores(arrays["noise_estimate"][rows], -whole)),
                "concentration": concentration(_scores(denoise, whole)),
                "concentration_unaligned": concentration(_scores(arrays["unaligned"][rows], whole)),
                "concentration_twin": concentration(_scores(arrays["twin"][rows], arrays["twin_whole"])) if "twin" in arrays else None,
                "reliability_twin": _halves(arrays["twin"][rows], arrays["twin_whole"], half) if "twin" in arrays else None,
                "even": max(1, round(len(rows) / 10)) / len(rows),
            }
        )
    return {"findings": told, "concepts": len(np.unique(groups))}


def _scores(effect: Array, whole: Array, of: Array | None = None) -> Array:
    if of is not None:
        effect, whole = effect[:, of], whole[of]
    found: Array = effect.mean(1) / whole.mean() if len(whole) else np.full(len(effect), np.nan)
    return found


def _halves(effect: Array, whole: Array, half: Array) -> float | None:
    return correlation(_scores(effect, whole, half), _scores(effect, whole, ~half))


def correlation(one: Array, other: Array) -> float | None:
    """Return Spearman's rank correlation; None where one of the two is all alike or has what is no number."""
    return rank_correlation(one, other) if np.isfinite(one).all() and np.isfinite(other).all() else None


def concentration(scores: Array) -> float | None:
    """Return the part of the absolute scores that the largest tenth of them has."""
    sizes = np.sort(np.abs(scores))[::-1]
    total = float(sizes.sum())
    return plain(float(sizes[: max(1, round(len(sizes) / 10))].sum()) / total) if total > 0 else None
