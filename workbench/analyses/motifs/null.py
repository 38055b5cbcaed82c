"""Weights without motifs, and how sure a motif is beside them.

*Shuffled*: all kernel entries of a layer in random places, across inputs and across units, before any norm is taken. Within one unit the
shuffle would be vacuous where kernels are 1 x 1: two strong inputs among many weak ones stay two strong inputs. *Dealt*: each unit's
kernels whole, but given to other inputs. It keeps how large and how smooth they are, and takes away only which input has which. *Mixed*:
units drawn anew from what the layer's units span. It keeps how many different things a layer does: units that all have one look and differ
in two colours are opposites of one another by chance. *Scattered*: kernels whole, given to any unit and input. A layer of a few strong
kernels among many weak ones keeps both, and has units with two strong inputs by chance. *Rephased*: kernels of the same spectrum whose
phases are random. They are as smooth as the layer's, which alone makes many of them alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Float64

from workbench.random_phases import Rows as Rows
from workbench.random_phases import dealt as dealt
from workbench.random_phases import rephased as rephased

TAIL = 0.05
"""Part of the null's values that its tail is fitted to."""
SMALLEST = 1e-30
"""No p is said to be smaller."""


def shuffled(rows: Rows, random: np.random.Generator) -> Rows:
    """Return a layer's kernels with every entry in a random place; positions where all are 0, cut off by the image's edge, stay so."""
    there = (rows != 0).any((0, 1))
    entries = rows.copy()
    entries[:, :, there] = random.permutation(rows[:, :, there].ravel()).reshape(*rows.shape[:2], -1)
    return entries


def mixed(rows: Rows, random: np.random.Generator) -> Rows:
    """Return units that are random sums of a layer's, with the spectrum of the layer."""
    flat = rows.reshape(len(rows), -1).astype(np.float64)
    drawn = random.normal(size=(len(rows), len(rows))) @ flat
    length = np.linalg.norm(drawn, axis=1)
    return (drawn / np.where(length > 0, length, 1)[:, None]).reshape(rows.shape).astype(np.float32)


def scattered(rows: Rows, random: np.random.Generator) -> Rows:
    """Return a layer's kernels whole, each at a random unit and input, each unit's brought to length 1 again (or 0)."""
    given = random.permutation(rows.reshape(-1, *rows.shape[2:])).reshape(rows.shape)
    return weighed(given, np.ones(rows.shape[1], np.float32))


def weighed(rows: Rows, weight: npt.NDArray[np.float32]) -> Rows:
    """Return kernels times what each source counts, each unit's of length 1 (or 0)."""
    scaled = rows * weight[None, :, None, None]
    length = np.sqrt(np.einsum("tsyx,tsyx->t", scaled, scaled))
    return (scaled / np.where(length > 0, length, 1)[:, None, None, None]).astype(np.float32)


@dataclass(frozen=True)
class Tail:
    """The upper end of a null: beyond the highest 5 % it falls like an exponential whose mean excess is theirs.

    With a few thousand values no smaller p could be told apart otherwise (Knijnenburg et al. 2009, "Fewer permutations, more accurate
    P-values"). Tails of what is bounded, such as a cosine, fall faster, so that p is rather too large.
    """

    values: Float64[np.ndarray, "n"]
    start: float
    excess: float

    @classmethod
    def of(cls, null: npt.NDArray[np.floating]) -> Tail:
        """Fit it to all values of a null; for none of them, nothing is unlikely."""
        values = np.sort(np.asarray(null, np.float64).ravel())
        if not len(values):
            return cls(values, np.inf, 1.0)
        start = float(np.quantile(values, 1 - TAIL))
        above = values[values > start] - start
        return cls(values, start, float(above.mean()) if len(above) else 0.0)

    def p(self, value: npt.NDArray[np.floating]) -> Float64[np.ndarray, "n"]:
        """Return how likely the null is to be as large as each value."""
        wanted = np.asarray(value, np.float64)
        if not len(self.values):
            return np.ones(wanted.shape)
        larger = len(self.values) - np.searchsorted(self.values, wanted, side="left")
        counted = (1 + larger) / (1 + len(self.values))
        if not self.excess > 0:
            return np.asarray(counted)
        fallen = TAIL * np.exp(-np.maximum(wanted - self.start, 0) / self.excess)
        return np.where(wanted > self.start, np.maximum(fallen, SMALLEST), counted)

    def value(self, p: float) -> float:
        """Return the value that is as unlikely as `p`."""
        if not len(self.values):
            return np.inf
        if p >= TAIL:
            return float(np.quantile(self.values, 1 - p))
        return self.start + self.excess * float(np.log(TAIL / p))


def corrected(p: npt.NDArray[np.floating]) -> Float64[np.ndarray, "n"]:
    """Return Benjamini and Hochberg's q of each p: the part of false ones among all that are at least as sure."""
    number = len(p)
    order = np.argsort(p, kind="stable")
    ranked = np.asarray(p, np.float64)[order] * number / np.arange(1, number + 1)
    q = np.empty(number)
    q[order] = np.minimum.accumulate(ranked[::-1])[::-1].clip(max=1) if number else ranked
    return q
