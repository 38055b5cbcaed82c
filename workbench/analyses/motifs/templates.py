"""Which kernels return all over a network, whatever they are: an unsupervised search for motifs nobody has named.

The strongest kernels of every unit, of all layers with kernels of one size, are brought to length 1, turned and mirrored so that they fit
best, and clustered (k-means whose distance is the smallest over the eight turns of a square). Clusters are made of one half of the target
units and counted on the other: which part of its kernels fit a template, beside that of kernels whose entries are in random places,
and of kernels as smooth as they are, with random phases; the harder of the two counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Float32

from workbench.analyses.motifs.families import TURNS, turn
from workbench.analyses.motifs.null import Rows

OF_UNIT = 3
"""Strongest kernels of a unit that are looked at."""
TEMPLATES = 8
"""Templates of a size, at most."""
FITS = 0.85
"""Cosine with a template from which on a kernel is said to be one."""
FEWEST = 64
"""Kernels of a size that are worth clustering."""
MOST = 4096
"""Kernels of a size that clusters are made of, at most."""
ROUNDS = 12


@dataclass(frozen=True, eq=False)
class Strongest:
    """Kernels and where they are: number of the pair, unit of the target, unit of the source."""

    kernels: Float32[np.ndarray, "kernel y x"]
    where: npt.NDArray[np.int64]


def strongest(rows: Rows, pair: int) -> Strongest:
    """Return the strongest kernels of each unit, each of length 1."""
    energy = np.einsum("tsyx,tsyx->ts", rows, rows)
    order = np.argsort(-energy, axis=1, kind="stable")[:, :OF_UNIT]
    unit = np.repeat(np.arange(len(rows)), order.shape[1])
    source = order.ravel()
    kept = energy[unit, source] > 1e-12
    unit, source = unit[kept], source[kept]
    kernels = rows[unit, source]
    kernels = kernels / np.sqrt(energy[unit, source])[:, None, None]
    return Strongest(kernels.astype(np.float32), np.stack([np.full(len(unit), pair), unit, source], 1).astype(np.int64))


def fitted(
    kernels: Float32[np.ndarray, "kernel y x"], templates: Float32[np.ndarray, "template y x"]
) -> tuple[Float32[np.ndarray, "kernel template"], npt.NDArray[np.int64]]:
    """Return the cosine of each kernel with each template in the turn that fits best, and which turn that is."""
    turned = np.stack([turn(kernels, g).reshape(len(kernels), -1) for g in range(len(TURNS))])
    cosines = turned @ templates.reshape(len(templates), -1).T
    return cosines.max(0), cosines.argmax(0)


def clustered(kernels: Float32[np.ndarray, "kernel y x"], random: np.random.Generator) -> Float32[np.ndarray, "template y x"]:
    """Return templates of length 1, the one that most kernels fit first; none is like another."""
    chosen = kernels[random.permutation(len(kernels))[:MOST]]
    templates = chosen[random.integers(len(chosen))][None]
    while len(templates) < min(TEMPLATES, len(chosen)):  # each next one from what fits those so far least
        far = 1 - fitted(chosen, templates)[0].max(1).clip(-1, 1)
        if not far.sum() > 0:
            break
        templates = np.concatenate([templates, chosen[random.choice(len(chosen), p=far / far.sum())][None]])
    for _ in range(ROUNDS):
        cosines, best = fitted(chosen, templates)
        of = cosines.argmax(1)
        means = []
        for place in range(len(templates)):
            members = np.flatnonzero(of == place)
            if not len(members):
                continue
            mean = np.mean([turn(chosen[m][None], int(best[m, place]))[0] for m in members], axis=0)
            if np.linalg.norm(mean) > 1e-6:
                means.append(mean / np.linalg.norm(mean))
        templates = np.stack(means).astype(np.float32)
    counts = (fitted(chosen, templates)[0] >= FITS).sum(0)
    kept: list[int] = []
    for place in np.argsort(-counts, kind="stable"):
        if not kept or fitted(templates[place][None], templates[kept])[0].max() < FITS:
            kept.append(int(place))
    distinct: npt.NDArray[np.float32] = templates[kept]
    return distinct


@dataclass(frozen=True, eq=False)
class Returning:
    """A template, and how many kernels of the half it was not made of fit it.

    Attributes
    ----------
    share, null
        Part of the kernels, and of those of the null that has more.
    p
        That as many fit by chance, in that null.
    drawn
        For each null and each of its draws which part of its kernels fit, and p of that.
    examples
        Those that fit best, as `Strongest.where` gives them.
    """

    template: Float32[np.ndarray, "y x"]
    share: float
    null: float
    p: float
    drawn: list[list[tuple[float, float]]]
    examples: npt.NDArray[np.int64]


def returning(found: Sequence[Strongest], nulls: Sequence[Sequence[Sequence[Strongest]]], random: np.random.Generator) -> list[Returning]:
    """Cluster the kernels of one size and count each template.

    Parameters
    ----------
    nulls
        For each null and each of its draws what `found` has.
    """
    from scipy.stats import binom

    kernels = np.concatenate([one.kernels for one in found])
    where = np.concatenate([one.where for one in found])
    units, of = np.unique(where[:, :2], axis=0, return_inverse=True)
    first = (random.permutation(len(units)) < len(units) // 2)[of.ravel()]
    if min(first.sum(), (~first).sum()) < FEWEST // 2:
        return []
    templates = clustered(kernels[first], random)
    held = fitted(kernels[~first], templates)[0]
    draws = [[fitted(np.concatenate([one.kernels for one in draw]), templates)[0] >= FITS for draw in null] for null in nulls]
    by_chance = [np.concatenate(null) for null in draws]
    result = []

    def p(count: int, number: int, expected: float) -> float:
        return float(binom.sf(count - 1, number, expected)) if count else 1.0

    for place, template in enumerate(templates):
        count = int((held[:, place] >= FITS).sum())
        expected = max((1 + float(fits[:, place].sum())) / (1 + len(fits)) for fits in by_chance)
        share = max(float(fits[:, place].mean()) for fits in by_chance)
        best = np.argsort(-held[:, place], kind="stable")[: min(count, 24)]
        drawn = [
            [(float(draw[:, place].mean()), p(int(draw[:, place].sum()), len(draw), expected)) for draw in null] for null in draws
        ]
        result.append(Returning(template, count / len(held), share, p(count, len(held), expected), drawn, where[~first][best]))
    return result
