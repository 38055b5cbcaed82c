"""Whether patching says something: how reliable its ranking is, whether directions and attribution agree, in how few parts it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from workbench.analyses.patching.scores import ENDS
from workbench.finite import plain
from workbench.rank_correlation import rank_correlation

Array = npt.NDArray[Any]
FEWEST = 4
"""Parts of a layer below which their ranking says nothing."""
REDRAWN, DRAWS = 15, 200
"""What random numbers are drawn for, a stream of its own (`pairs`, `joint` and `choice` have others), and how often."""


def findings(arrays: Mapping[str, Array], layers: int, groups: npt.NDArray[np.integer], seed: int) -> dict[str, Any]:
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
    ``sure``
        Of each of these the ends of its 95 % interval where only some of the layer's parts were patched: those that were drawn at random
        are drawn again from among themselves, with replacement. Empty where all were patched. It holds how far the figure depends on which
        parts were drawn, and nothing of the images; it is too wide where most of the rest was drawn. The largest in pairs with strangers
        and in the network of random weights were not chosen, so these two concentrations are the least sure, and low more often than not.
    """
    whole, half = arrays["whole"], arrays["half"]
    sides = {
        "denoise": _scores(arrays["denoise"], whole),
        "noise": _scores(arrays["noise"], -whole),
        "denoise_estimate": _scores(arrays["denoise_estimate"], whole),
        "noise_estimate": _scores(arrays["noise_estimate"], -whole),
        "unaligned": _scores(arrays["unaligned"], whole),
    }
    halved = [("denoise", whole), ("noise", -whole)]
    if "twin" in arrays:
        sides["twin"] = _scores(arrays["twin"], arrays["twin_whole"])
        halved.append(("twin", arrays["twin_whole"]))
    for name, below in halved:
        sides[f"{name} here"], sides[f"{name} there"] = (_scores(arrays[name], below, of) for of in (half, ~half))
    told = []
    for place in range(layers):
        rows = np.flatnonzero(arrays["layer"] == place)
        if len(rows) < FEWEST:
            continue
        number = arrays["stands_for"][rows]
        every = round(float(number.sum()))
        here = {name: values[rows] for name, values in sides.items()}
        told.append(
            {"layer": place, "parts": len(rows), "of": every}
            | _figures(here, number)
            | {"sure": _sure(here, number, np.random.default_rng([seed, REDRAWN, place])), "even": max(1, round(every / 10)) / every}
        )
    return {"findings": told, "concepts": len(np.unique(groups))}


def _figures(sides: Mapping[str, Array], number: Array) -> dict[str, float | None]:
    """Return the figures of some parts that stand for so many each."""

    def alike(one: str, other: str) -> float | None:
        return correlation(sides[one], sides[other], number) if one in sides else None

    return {
        "reliability": alike("denoise here", "denoise there"),
        "reliability_noise": alike("noise here", "noise there"),
        "directions": alike("denoise", "noise"),
        "attribution": alike("denoise", "denoise_estimate"),
        "attribution_noise": alike("noise", "noise_estimate"),
        "concentration": concentration(sides["denoise"], number),
        "concentration_unaligned": concentration(sides["unaligned"], number),
        "concentration_twin": concentration(sides["twin"], number) if "twin" in sides else None,
        "reliability_twin": alike("twin here", "twin there"),
    }


def _sure(sides: Mapping[str, Array], number: Array, random: np.random.Generator) -> dict[str, list[float]]:
    """Return the interval of each figure when the parts that stand for others are drawn again; empty where there are none."""
    drawn = np.flatnonzero(number > 1)
    if not len(drawn):
        return {}
    found: dict[str, list[float]] = {}
    for _ in range(DRAWS):
        places = np.concatenate([np.flatnonzero(number == 1), random.choice(drawn, len(drawn))])
        for name, value in _figures({side: values[places] for side, values in sides.items()}, number[places]).items():
            if value is not None:
                found.setdefault(name, []).append(value)
    return {name: np.percentile(values, ENDS).tolist() for name, values in found.items()}


def _scores(effect: Array, whole: Array, of: Array | None = None) -> Array:
    if of is not None:
        effect, whole = effect[:, of], whole[of]
    found: Array = effect.mean(1) / whole.mean() if len(whole) else np.full(len(effect), np.nan)
    return found


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
