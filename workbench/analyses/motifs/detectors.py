"""What each motif is, as a number of every unit of a layer of weights; the same is asked of weights without motifs.

Kernels come as `weighed` gives them, each unit's of length 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float32, Int64

from workbench.analyses.motifs.null import Rows

STRONGEST = 8
"""Inputs that may make up the cases of a union."""
CASES = 4
"""Cases of a union, at most."""
ADDS = 0.3
"""Strength of an input that is named, beside the strongest of its case."""


@dataclass(frozen=True, eq=False)
class Seen:
    """One motif in all units of a layer, or in all pairs of them.

    Attributes
    ----------
    row
        The units that are asked, by their places; of a pair the first.
    score
        Of each.
    what
        What it was found in: number of the family, of the partner, or of cases.
    """

    row: npt.NDArray[np.int64]
    score: npt.NDArray[np.float32]
    what: npt.NDArray[np.int64]


def strengths(rows: Rows) -> Float32[np.ndarray, "unit source"]:
    """Return how much each input excites (or, below 0, inhibits): length of the positive entries less that of the negative ones."""
    positive, negative = np.maximum(rows, 0), np.minimum(rows, 0)
    excites = np.sqrt(np.einsum("tsyx,tsyx->ts", positive, positive))
    inhibits = np.sqrt(np.einsum("tsyx,tsyx->ts", negative, negative))
    strength: npt.NDArray[np.float32] = (excites - inhibits).astype(np.float32)
    return strength


def pooling(strength: Float32[np.ndarray, "unit source"], families: Sequence[Sequence[int]]) -> Seen:
    """Say how much a unit adds up several members of one family.

    The strongest member is left out, so that one strong input is no sum; members that inhibit are taken away. Divided by the root of the
    number of members left: .87 for four that are all there is, .71 for two.
    """
    scores = np.zeros((max(1, len(families)), len(strength)), np.float32)
    for place, family in enumerate(families):
        of = strength[:, list(family)]
        scores[place] = (of.sum(1) - of.max(1)) / np.sqrt(len(family) - 1)
    return Seen(np.arange(len(strength)), scores.max(0), scores.argmax(0))


def union(strength: Float32[np.ndarray, "unit source"], common: Bool[np.ndarray, "source source"]) -> Seen:
    """Say how far a unit is excited by two to four things that have nothing in common, and by little else.

    The strongest inputs are gathered to cases: one that has something in common with a stronger one belongs to its case. The score is the
    part of the unit's energy (strengths squared, what inhibits included) that the cases have, times the weakest case over the strongest.
    """
    units, sources = strength.shape
    order = np.argsort(-strength, axis=1, kind="stable")[:, :STRONGEST]
    rows = np.arange(units)
    case = np.zeros(order.shape, np.int64)
    number = np.zeros(units, np.int64)
    energy = np.zeros((units, min(STRONGEST, sources)), np.float32)
    for j in range(order.shape[1]):
        share = np.square(np.maximum(strength[rows, order[:, j]], 0))
        like = common[order[:, j : j + 1], order[:, :j]]
        joins = like.any(1) if j else np.zeros(units, bool)
        case[:, j] = np.where(joins, case[rows, like.argmax(1)] if j else 0, number)
        energy[rows, case[:, j]] += share
        number += ~joins
    total = np.square(strength).sum(1)
    total[total == 0] = np.inf
    ranked = -np.sort(-energy, axis=1)
    most = min(CASES, ranked.shape[1])
    if most < 2:
        return Seen(rows, np.zeros(units, np.float32), np.zeros(units, np.int64))
    first = np.where(ranked[:, :1] > 0, ranked[:, :1], np.inf)
    scores = np.cumsum(ranked, 1)[:, 1:most] / total[:, None] * np.sqrt(ranked[:, 1:most] / first)
    return Seen(rows, scores.max(1).astype(np.float32), scores.argmax(1) + 2)


def cases_of(strength: Float32[np.ndarray, "source"], common: Bool[np.ndarray, "source source"], number: int) -> list[list[int]]:
    """Return the inputs of a unit's strongest cases, the strongest first; what adds little to its case is left out."""
    cases: list[list[int]] = []
    for source in np.argsort(-strength, kind="stable")[:STRONGEST]:
        if strength[source] <= 0:
            break
        of = next((case for case in cases if common[source, case].any()), None)
        if of is None:
            cases.append([int(source)])
        else:
            of.append(int(source))
    ranked = sorted(cases, key=lambda case: -float(np.square(strength[case]).sum()))[:number]
    return [[source for source in case if strength[source] >= ADDS * strength[case[0]]] for case in ranked]


def opposite(rows: Rows) -> Seen:
    """Say of all pairs of units, each the other's most opposite one, how much their weights are each other's negative: -cos.

    A pair is one test, so that what is found, what is asked and what the null has are counted alike.
    """
    flat = rows.reshape(len(rows), -1)
    against = -(flat @ flat.T)
    np.fill_diagonal(against, -1)
    partner: Int64[np.ndarray, "unit"] = against.argmax(1)
    units = np.arange(len(rows))
    first = np.flatnonzero((partner[partner] == units) & (units < partner))
    return Seen(first, against[first, partner[first]].astype(np.float32), partner[first])


def bands(rows: Rows) -> Float32[np.ndarray, "unit source 3"]:
    """Return how each kernel varies: from row to row, from column to column, and altogether, each as a part of the unit's energy.

    Petrov et al., "Weight Banding" (Distill 2021): near global pooling kernels vary from row to row alone.
    """
    centred = rows - rows.mean((2, 3), keepdims=True)
    height, width = rows.shape[2:]
    down = np.square(centred.mean(3)).sum(2) * width
    across = np.square(centred.mean(2)).sum(2) * height
    return np.stack([down, across, np.square(centred).sum((2, 3))], 2).astype(np.float32)
