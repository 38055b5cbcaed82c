"""Whether weights say of two units what their activations say: W[a -> b] = W[T a -> T b].

Olah et al., "Naturally Occurring Equivariance in Neural Networks" (Distill 2020). Where b does on x what a does on T x, b's kernels are a's
moved back, and read the partners of what a reads. Only a mirror image and quarter turns are exact on small kernels; a colour's or a scale's
transformation is no permutation of what the first layer reads, and is not asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float64, Int64

from workbench.analyses.equivariance.matching import NONE
from workbench.images.transformation import Transformation
from workbench.models.adjacent import Adjacent, kernels_between
from workbench.random_phases import Rows, rephased

if TYPE_CHECKING:
    from workbench.models.traced_model import TracedModel

Kernels = npt.NDArray[np.float32]
"""``unit source y x``."""
SURROGATES = 4
LIKELY = 0.99
"""Part of units with random phases whose best partner is less alike."""


@dataclass(frozen=True, eq=False)
class Confirmed:
    """How alike the kernels of each unit's partner are to its own, moved back.

    Attributes
    ----------
    cosine
        NaN where the two read different layers, or the layer has no weights of its own.
    bar
        Of each unit: 99 % of units with random phases have no partner in the layer that is as much alike.
    """

    cosine: Float64[np.ndarray, "unit"]
    bar: Float64[np.ndarray, "unit"]


def can_confirm(one: Transformation) -> bool:
    """Whether kernels can be moved as images are."""
    return one.exact and one.moves


def kernels_of(model: TracedModel, pairs: list[Adjacent], pulse: Callable[[], None]) -> list[Kernels]:
    """Read the kernels of some layers of weights; any image will do, since nothing but weights lies between."""
    size = model.preprocessing.size
    inputs = [model.inputs(model.preprocess(torch.full((1, model.preprocessing.channels, *size), 0.5)))]
    return [kernels_between(model, pair, inputs, "one", lambda _done: pulse()) for pair in pairs]


def confirmed(
    one: Transformation,
    units: int,
    partner: Int64[np.ndarray, "unit"],
    parts: list[tuple[Adjacent, Kernels]],
    sources: Mapping[str, npt.NDArray[np.int64]],
    seed: int,
) -> Confirmed:
    """Compare each unit's kernels, moved back and given to the partners of what it reads, with those of its partner.

    Parameters
    ----------
    parts
        Layers of weights that make units of the layer, with their kernels.
    sources
        Partners of the units of each layer that is read; colours are their own.
    """
    cosine, bar = np.full(units, np.nan), np.full(units, np.nan)
    random = np.random.default_rng(seed)
    for pair, kernels in parts:
        known = sources.get(pair.source)
        if known is None or len(known) != kernels.shape[1]:
            continue
        rows = np.nan_to_num(_square(kernels))
        alike = _alike(one, rows, known)
        inside = np.arange(pair.first, pair.first + len(rows))
        within = partner[inside] - pair.first
        there = (partner[inside] != NONE) & (within >= 0) & (within < len(rows)) & (np.abs(rows).max((1, 2, 3), initial=0) > 0)
        cosine[inside[there]] = alike[np.flatnonzero(there), within[there]]
        bar[inside] = chance(one, rows, known, random)
    return Confirmed(cosine, bar)


def chance(one: Transformation, rows: Rows, sources: Int64[np.ndarray, "source"], random: np.random.Generator) -> float:
    """Return the cosine of the best partner that 99 % of units with the layer's kernels, but random phases, do not exceed."""
    best = []
    for _ in range(SURROGATES if len(rows) > 1 else 0):
        alike = _alike(one, rephased(rows, random), sources)
        np.fill_diagonal(alike, -1)
        best.append(alike.max(1))
    return float(np.quantile(np.concatenate(best), LIKELY)) if best else 1.0


def _alike(one: Transformation, rows: Rows, sources: Int64[np.ndarray, "source"]) -> Float64[np.ndarray, "unit partner"]:
    """Return ``alike[a, b]``: cosine of a's kernels, moved back and given to the partners of what a reads, and b's."""
    moved = one.back(torch.from_numpy(np.ascontiguousarray(rows))).numpy()
    given = np.zeros_like(rows)
    known = sources != NONE
    given[:, sources[known]] = moved[:, known]
    a, b = given.reshape(len(rows), -1).astype(np.float64), rows.reshape(len(rows), -1).astype(np.float64)
    length = np.linalg.norm(b, axis=1)
    length[length == 0] = np.inf
    return np.asarray(a @ b.T / np.outer(length, length))


def _square(kernels: Kernels) -> Kernels:
    """Pad kernels to the same height and width around their middle."""
    height, width = kernels.shape[2:]
    side = max(height, width)
    y, x = side - height, side - width
    return np.pad(kernels, ((0, 0), (0, 0), (y // 2, y - y // 2), (x // 2, x - x // 2)))
