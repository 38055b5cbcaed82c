"""Histograms of many units at once, over a stream whose range is not known beforehand.

The bins of a unit are all of one width, a power of two, and their edges are whole multiples of it. When a value falls outside,
neighbouring bins merge into wider ones, so no count is ever guessed. The width is always the least for which the values so far fit:
it depends on their smallest and largest alone, not on the order they came in. Zero is always an edge, and bins are closed on the right,
so the values above zero are exactly those of the bins above it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int64
from torch import Tensor

LEAST_POWER = -100
DIGITS = 20
"""Edges are whole numbers below ``2**21`` times the width, and so are the numbers of all bins counted at once: exact in float32."""
WHOLE = 1.5 * 2**23
"""A float32 of this size has no digits after the point: with it added, the last bits of a float are a whole number."""

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Grid:
    """Where each unit's bins lie: a value's bin is ``ceil(value * scale) - offset``, from 0; whole numbers and powers of two in float32."""

    scale: Floats
    offset: Floats

    def edges(self, bins: int) -> Floats:
        """Return the bin edges, ``unit bins+1``."""
        return np.float32(self.offset[:, None] - 1 + np.arange(bins + 1)) / self.scale[:, None]

    def covers(self, low: Floats, high: Floats, bins: int) -> npt.NDArray[np.bool_]:
        """Say for each unit whether the bins hold all values from `low` to `high`."""
        with np.errstate(over="ignore"):
            first, last = np.ceil(low * self.scale) - self.offset, np.ceil(high * self.scale) - self.offset
        inside: npt.NDArray[np.bool_] = (first >= 0) & (last < bins)
        return inside


def fit(low: Floats, high: Floats, bins: int) -> Grid:
    """Return the finest grid of `bins` bins that covers ``[low, high]``, the range in its middle.

    Where `low` is above `high` (no value yet) the grid is the finest there is.
    """
    none = low > high
    least: Doubles = np.where(none, 0, low).astype(np.float64)
    most: Doubles = np.where(none, 0, high).astype(np.float64)
    power = np.maximum(_power((most - least) / bins), _power(np.maximum(np.abs(least), np.abs(most))) - DIGITS)
    power = np.maximum(power, LEAST_POWER)
    used = _bin(most, power) - _bin(least, power) + 1
    power = np.where(used > bins, power + 1, power)
    first, last = _bin(least, power), _bin(most, power)
    offset = first - (bins - (last - first + 1)) // 2
    return Grid(np.exp2(-power).astype(np.float32), offset.astype(np.float32))


def _power(value: Doubles) -> Integers:
    """Return the least power of two that is no smaller, the least there is for 0."""
    part, power = np.frexp(value)
    least: Integers = np.where(value > 0, np.where(part > 0.5, power, power - 1), LEAST_POWER).astype(np.int64)
    return least


def _bin(value: npt.NDArray[np.floating[Any]], power: Integers) -> Integers:
    """Return the number of the bin whose right edge is the first that is no smaller; 0 is the one that ends at zero."""
    index: Integers = np.ceil(np.ldexp(value.astype(np.float64), -power)).astype(np.int64)
    return index


def moved(counts: Integers, old: Grid, new: Grid) -> Integers:
    """Return `counts` (``unit bin``) of the grid `old` on the coarser or shifted grid `new`; what falls outside must be empty."""
    units, bins = counts.shape
    wider = np.log2(old.scale.astype(np.float64) / new.scale).astype(np.int64)
    first = old.offset.astype(np.int64)[:, None] - 1 + np.arange(bins)
    place = (first >> np.minimum(wider, 62)[:, None]) + 1 - new.offset.astype(np.int64)[:, None]
    inside = (place >= 0) & (place < bins)
    if counts[~inside].any():
        raise ValueError("a histogram was moved to bins that do not cover it")
    flat = (np.arange(units)[:, None] * bins + place)[inside]
    return np.bincount(flat, weights=counts[inside], minlength=units * bins).astype(np.int64).reshape(units, bins)


def count(values: Float[Tensor, "_ unit"], grid: Grid, bins: int, *, finite: bool) -> Int64[Tensor, "unit bin"]:
    """Count the values of each unit; the grid must cover them. Unless all are `finite`, the others are left out."""
    units = len(grid.scale)
    nowhere = units * bins
    if nowhere >= 2 << DIGITS and units > 1:
        parts = (slice(0, units // 2), slice(units // 2, units))
        grids = [Grid(grid.scale[part], grid.offset[part]) for part in parts]
        halves = zip(parts, grids, strict=True)
        return torch.cat([count(values[:, part], of, bins, finite=finite) for part, of in halves])
    start = np.arange(0, nowhere, bins, dtype=np.float32) - grid.offset + np.float32(WHOLE)
    place = (values * torch.from_numpy(grid.scale).to(values.device)).ceil_()
    place = place.add_(torch.from_numpy(start).to(values.device))
    if not finite:
        place = torch.where(torch.isfinite(values), place, nowhere + WHOLE)
    index = place.view(torch.int32).sub_(int(np.float32(WHOLE).view(np.int32)))
    return torch.bincount(index.flatten(), minlength=nowhere + 1)[:-1].view(units, bins)


def all_finite(*arrays: Floats) -> bool:
    """Whether there is neither a NaN nor an infinity."""
    return all(bool(np.isfinite(array).all()) for array in arrays)


def finite_range(values: Float[Tensor, "_ unit"]) -> tuple[Floats, Floats, bool]:
    """Return the smallest and the largest finite value of each unit (infinity, minus infinity where none), and whether all are finite."""
    low, high = values.amin(0).cpu().numpy(), values.amax(0).cpu().numpy()
    finite = all_finite(low, high)
    if not finite:
        known = torch.isfinite(values)
        low = torch.where(known, values, torch.inf).amin(0).cpu().numpy()
        high = torch.where(known, values, -torch.inf).amax(0).cpu().numpy()
    return low, high, finite


@dataclass(frozen=True, eq=False)
class Counted:
    """What one batch adds to a histogram: ``unit bin`` counts on a grid, and the range of the values."""

    counts: Integers
    grid: Grid
    low: Floats
    high: Floats


@dataclass(frozen=True, eq=False)
class UnitHistogram:
    """The running histogram of many units; its arrays are changed in place.

    Attributes
    ----------
    counts
        ``unit bin``.
    grid
        Where the bins lie.
    low, high
        Smallest and largest value so far; infinity and minus infinity before the first.
    """

    counts: Integers
    grid: Grid
    low: Floats
    high: Floats

    @classmethod
    def empty(cls, units: int, bins: int) -> UnitHistogram:
        """Return a histogram that has counted nothing."""
        low, high = np.full(units, np.inf, np.float32), np.full(units, -np.inf, np.float32)
        return cls(np.zeros((units, bins), np.int64), fit(low, high, bins), low, high)

    def on_finest_grid(self) -> UnitHistogram:
        """Return the same counts with the bins where `fit` puts them, whatever order the values came in."""
        grid = fit(self.low, self.high, self.bins)
        return UnitHistogram(moved(self.counts, self.grid, grid), grid, self.low, self.high)

    @property
    def bins(self) -> int:
        """Number of bins of a unit."""
        return int(self.counts.shape[1])

    def counted(
        self, blocks: Iterable[Float[Tensor, "_ unit"]], low: Floats, high: Floats, units: slice, *, finite: bool
    ) -> Counted:
        """Count a batch's values of some units, whose finite ones lie within `low` and `high`; nothing is changed."""
        grid = self._grid_with(low, high, units)
        total: Tensor | None = None
        for values in blocks:
            counts = count(values, grid, self.bins, finite=finite)
            total = counts if total is None else total.add_(counts)
        if total is None:
            total = torch.zeros(len(low), self.bins, dtype=torch.int64)
        return Counted(total.cpu().numpy(), grid, low, high)

    def add(self, new: Counted, units: slice) -> None:
        """Take in what a batch counted."""
        scale, offset = self.grid.scale[units], self.grid.offset[units]
        changed = np.flatnonzero((scale != new.grid.scale) | (offset != new.grid.offset))
        if changed.size:
            after = Grid(new.grid.scale[changed], new.grid.offset[changed])
            counts = self.counts[units]
            counts[changed] = moved(counts[changed], Grid(scale[changed], offset[changed]), after)
            scale[changed], offset[changed] = after.scale, after.offset
        self.counts[units] += new.counts
        np.minimum(self.low[units], new.low, out=self.low[units])
        np.maximum(self.high[units], new.high, out=self.high[units])

    def _grid_with(self, low: Floats, high: Floats, units: slice) -> Grid:
        """Return the grid some units need once values from `low` to `high` join."""
        mine = Grid(self.grid.scale[units], self.grid.offset[units])
        outside = np.flatnonzero(~mine.covers(low, high, self.bins) & (low <= high))
        if not outside.size:
            return mine
        new = fit(np.minimum(low, self.low[units])[outside], np.maximum(high, self.high[units])[outside], self.bins)
        grid = Grid(mine.scale.copy(), mine.offset.copy())
        grid.scale[outside], grid.offset[outside] = new.scale, new.offset
        return grid
