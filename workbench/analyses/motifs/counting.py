"""Counting: what is found in the network, and how much of it in weights without motifs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from workbench.analyses.motifs.null import Tail, corrected

Array = npt.NDArray[np.floating]
NEAR = 1 - 1e-6


@dataclass(eq=False)
class Tests:
    """All tests of one kind of motif, over the whole network.

    Attributes
    ----------
    least
        Smallest score that is called a motif, however sure it is.
    score, p, what
        Of each test, in the order they were added; `what` names it for who added it.
    drawn
        For each null and each of its draws, score and p of every test in it.
    detectable
        For each layer the score at which a single motif among all its tests would be found.
    """

    least: float
    score: list[float] = field(default_factory=list)
    p: list[float] = field(default_factory=list)
    what: list[Any] = field(default_factory=list)
    drawn: list[list[list[tuple[Array, Array]]]] = field(default_factory=list)
    detectable: list[float] = field(default_factory=list)

    def add(self, scores: Array, what: Sequence[Any], nulls: Sequence[Sequence[Array]], alpha: float) -> None:
        """Test the scores of a layer against each of several nulls, given draw by draw; the least sure of the answers counts.

        Scores end at 1. Tails are fitted on Fisher's scale, which stretches what lies just below it.
        """
        tails = [Tail.of(_stretched(np.concatenate([*null]))) for null in nulls]

        def p(values: Array) -> Array:
            least_sure: Array = np.max([tail.p(_stretched(values)) for tail in tails], axis=0)
            return least_sure

        self.score += [float(one) for one in scores]
        self.p += [float(one) for one in p(np.asarray(scores))]
        self.what += list(what)
        for place, null in enumerate(nulls):
            self.add_draws([(np.asarray(draw), p(np.asarray(draw))) for draw in null], place)
        if len(scores):
            self.detectable.append(max(self.least, *(float(np.tanh(tail.value(alpha / len(scores)))) for tail in tails)))

    def add_sure(self, score: float, p: float, what: object) -> None:
        """Add a test whose p is known."""
        self.score.append(score)
        self.p.append(p)
        self.what.append(what)

    def add_draws(self, draws: Sequence[tuple[Array, Array]], null: int = 0) -> None:
        """Add scores and p of one of the nulls, draw by draw."""
        while len(self.drawn) <= null:
            self.drawn.append([])
        of_null = self.drawn[null]
        while len(of_null) < len(draws):
            of_null.append([])
        for of_draw, draw in zip(of_null, draws, strict=False):
            of_draw.append(draw)

    def found(self, alpha: float) -> tuple[npt.NDArray[np.bool_], Array]:
        """Return which tests find a motif, corrected for their number, and the q of each."""
        q = corrected(np.array(self.p))
        return (q <= alpha) & (np.array(self.score) >= self.least), q

    def found_in_null(self, alpha: float) -> npt.NDArray[np.int64]:
        """Return ``null draw``: how many each draw of each null would find, corrected in the same way."""

        def count(draw: Sequence[tuple[Array, Array]]) -> int:
            score, p = (np.concatenate([one[part] for one in draw]) for part in (0, 1))
            return int(((corrected(p) <= alpha) & (score >= self.least)).sum())

        counts = [[count(draw) for draw in null] for null in self.drawn]
        return np.array(counts, np.int64).reshape(len(counts), -1 if counts else 0)


def _stretched(scores: Array) -> Array:
    stretched: Array = np.arctanh(np.clip(np.asarray(scores, np.float64), -NEAR, NEAR))
    return stretched
