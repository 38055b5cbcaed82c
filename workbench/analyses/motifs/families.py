"""Units that are turned or mirrored versions of one another, found in their weights.

Olah et al., "Naturally Occurring Equivariance in Neural Networks" (Distill 2020): unit b is unit a turned by g when b's kernels are a's
turned by g *and* read the inputs that are a's inputs turned by g: W[a -> b] = W[g a -> g b]. The inputs of the first layer are colours,
which turning leaves as they are; from there on what is known of a layer's units says where the next layer's kernels go. Turns are the eight
of a square: only those are exact on small kernels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float32, Int64

from workbench.analyses.motifs.null import rephased

TURNS = tuple((quarter, mirrored) for mirrored in (False, True) for quarter in range(4))
"""Quarter turns counter-clockwise, then mirrored left to right; the first leaves everything as it is."""
LEAST = 0.6
"""Cosine that kernels must have when one is turned."""
MARGIN = 0.3
"""How much more alike kernels must be when one is turned than as they are."""
SURROGATES = 4

Kernels = Float32[np.ndarray, "unit source y x"]


@dataclass(frozen=True, eq=False)
class Relations:
    """What the units of a layer are to one another.

    Attributes
    ----------
    turned
        For each of `TURNS` which unit a unit becomes, -1 where there is none; a round unit is itself, turned.
    alike
        Largest cosine of two units' weights over all turns, 0 where they read different layers.
    families
        Units that are turned versions of one another, at least two; no unit is in two families.
    bar
        Cosine that was asked for.
    """

    turned: Int64[np.ndarray, "turn unit"]
    alike: Float32[np.ndarray, "unit unit"]
    families: tuple[tuple[int, ...], ...]
    bar: float


def of_input(channels: int) -> Relations:
    """Return the relations of an image's channels: turning an image leaves its colours."""
    return Relations(np.tile(np.arange(channels), (len(TURNS), 1)), np.eye(channels, dtype=np.float32), (), 1.0)


def unknown(units: int) -> Relations:
    """Return the relations of units whose weights nobody knows: each is itself."""
    turned = np.full((len(TURNS), units), -1)
    turned[0] = np.arange(units)
    return Relations(turned, np.eye(units, dtype=np.float32), (), 1.0)


@dataclass(frozen=True, eq=False)
class Part:
    """Kernels of some units of a layer, those from `first` on, and what is known of the units they read."""

    first: int
    kernels: Kernels
    source: Relations


def relations(units: int, parts: Sequence[Part], seed: int) -> Relations:
    """Compare all units of a layer with one another under every turn.

    What counts as alike must also be likelier than among kernels of the same spectrum with random phases, given to other inputs (99 % of
    them have no such partner): smooth kernels are alike by chance.
    """
    cosines = _cosines(units, parts)
    random = np.random.default_rng(seed)
    best = [_best(_cosines(units, [Part(p.first, rephased(p.kernels, random), p.source) for p in parts])) for _ in range(SURROGATES)]
    drawn = np.concatenate(best)
    bar = max(LEAST, float(np.quantile(drawn, 0.99)) if len(drawn) else 1.0)
    turned = np.full((len(TURNS), units), -1)
    turned[0] = np.arange(units)
    for g, cosine in enumerate(cosines[1:], 1):
        to = cosine.argmax(0)
        mutual = cosine.argmax(1)[to] == np.arange(units)
        turned[g] = np.where(mutual & (cosine[to, np.arange(units)] >= bar), to, -1)
    alike = np.max(np.abs(cosines), axis=0)
    np.fill_diagonal(alike, 1.0)
    return Relations(turned, alike.astype(np.float32), _families(turned, cosines), bar)


def square(kernels: Kernels) -> Kernels:
    """Pad kernels to the same height and width around their middle."""
    height, width = kernels.shape[2:]
    side = max(height, width)
    y, x = side - height, side - width
    return np.pad(kernels, ((0, 0), (0, 0), (y // 2, y - y // 2), (x // 2, x - x // 2)))


def turn(images: npt.NDArray[np.float32], g: int) -> npt.NDArray[np.float32]:
    """Turn the last two axes, which are of one size."""
    quarter, mirrored = TURNS[g]
    seen = images[..., ::-1] if mirrored else images
    return np.rot90(seen, quarter, axes=(-2, -1))


def _cosines(units: int, parts: Sequence[Part]) -> Float32[np.ndarray, "turn unit unit"]:
    """Return ``cosines[g, b, a]``: how alike b's weights are to those of a, turned by g."""
    products = np.zeros((len(TURNS), units, units), np.float32)
    squares = np.zeros(units)
    for part in parts:
        kernels = square(part.kernels)
        rows = slice(part.first, part.first + len(kernels))
        flat = kernels.reshape(len(kernels), -1)
        squares[rows] += np.einsum("tk,tk->t", flat, flat)
        for g in range(len(TURNS)):
            known: Bool[np.ndarray, "source"] = part.source.turned[g] >= 0
            if not known.any():
                continue
            moved = np.zeros_like(kernels)
            moved[:, part.source.turned[g][known]] = turn(kernels, g)[:, known]
            products[g, rows, rows] += flat @ moved.reshape(len(kernels), -1).T
    length = np.sqrt(squares)
    length[length == 0] = np.inf
    return (products / length[None, :, None] / length[None, None, :]).astype(np.float32)


def _best(cosines: Float32[np.ndarray, "turn unit unit"]) -> npt.NDArray[np.float32]:
    """Return the best partner's cosine of each unit, itself apart."""
    others = cosines[1:].copy()
    others[:, np.arange(others.shape[1]), np.arange(others.shape[1])] = -1
    best: npt.NDArray[np.float32] = others.max((0, 1))
    return best


def _families(turned: Int64[np.ndarray, "turn unit"], cosines: Float32[np.ndarray, "turn unit unit"]) -> tuple[tuple[int, ...], ...]:
    """Collect each unit with what it is turned into, largest and surest families first."""
    found = []
    for unit in range(turned.shape[1]):
        members = {
            int(other): float(cosines[g, other, unit])
            for g, other in enumerate(turned[:, unit])
            if other >= 0 and other != unit and cosines[g, other, unit] - cosines[0, other, unit] >= MARGIN
        }
        if members:
            found.append((len(members), sum(members.values()) / len(members), {unit, *members}))
    used: set[int] = set()
    families = []
    for _, _, members_of in sorted(found, key=lambda one: (-one[0], -one[1], min(one[2]))):
        left = members_of - used
        if len(left) > 1:
            used |= left
            families.append(tuple(sorted(left)))
    return tuple(families)
