"""What is kept of one layer's activation on one batch: taken right after the layer, while the activation is still in the cache.

Three vectorised passes over the activation, in pieces that fit the cache: maximum, minimum, and the mean and variance that batch
normalisation takes. Where an extreme lies is looked up only where it matters: soon but few images are among a unit's strongest.
Nothing here changes the running results, so a batch that runs out of memory can be done again in halves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from workbench.analyses.dataset_examples.histogram import Counted, UnitHistogram, all_finite, finite_range
from workbench.models.layer import Layer

PIECE = 1 << 19
"""Values a pass reads at a time: 2 MB, which stays in the cache until the last pass has read it."""

WIDE = 2048
"""Columns that are summed at once."""


@dataclass(frozen=True, eq=False)
class LayerBatch:
    """What one batch says about one layer.

    Attributes
    ----------
    high, low
        Largest and smallest value of each image, float32 ``image unit``; NaN where the activation has one.
    high_at, low_at
        Where they are: the position in reading order, int32 ``image unit``; -1 where nobody asks.
    mean, variance
        Over images and positions, float64 ``unit``.
    shape
        The positions of one image, such as ``(y, x)``.
    histogram
        Counts of the values that go into the histogram.
    """

    high: npt.NDArray[np.float32]
    high_at: npt.NDArray[np.int32]
    low: npt.NDArray[np.float32]
    low_at: npt.NDArray[np.int32]
    mean: npt.NDArray[np.float64]
    variance: npt.NDArray[np.float64]
    shape: tuple[int, ...]
    histogram: Counted

    @property
    def positions(self) -> int:
        """Number of positions of one image."""
        return int(np.prod(self.shape))


def seeded_fractions(seed: int, images: npt.NDArray[np.int64], number: int) -> npt.NDArray[np.float64]:
    """Return `number` fractions in [0, 1) for each image, ``image number``, which depend on the seed and the image's index alone.

    The generator is SplitMix64 (Steele, Lea and Flood 2014), with the place in the sequence made from the index.
    """
    with np.errstate(over="ignore"):
        step = np.uint64(0x9E3779B97F4A7C15)
        place = images.astype(np.uint64)[:, None] * np.uint64(number) + np.arange(number, dtype=np.uint64)
        z: Any = (place + np.uint64(1) + np.uint64(seed) * np.uint64(0xD1342543DE82EF95)) * step
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    fractions: npt.NDArray[np.float64] = (z >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return fractions


@dataclass(frozen=True, eq=False)
class Wanted:
    """What is wanted of one batch, the same of all layers.

    Attributes
    ----------
    fractions
        Where the histogram looks in each of as many equal stretches of positions, ``image stretch``; None for all positions.
    sampled
        Which images are among the sampled ones: their maximum's position is wanted whatever its value.
    """

    fractions: npt.NDArray[np.float64] | None
    sampled: npt.NDArray[np.bool_]
    _rows: dict[int, Tensor] = field(default_factory=dict)

    def rows(self, positions: int) -> Int64[Tensor, "row"] | None:
        """Return which rows of ``image*position unit`` the histogram counts when an image has so many positions; None for all."""
        if self.fractions is None or positions <= self.fractions.shape[1]:
            return None
        if positions not in self._rows:
            images, stretches = self.fractions.shape
            within = ((np.arange(stretches) + self.fractions) * positions / stretches).astype(np.int64)
            rows = within.clip(max=positions - 1) + positions * np.arange(images)[:, None]
            self._rows[positions] = torch.from_numpy(rows.ravel())
        return self._rows[positions]


class LayerReduction:
    """Reduces a layer's activation to a `LayerBatch`.

    Parameters
    ----------
    layer
        Whose activation it is.
    units
        Where the layer's units lie among those of all layers.
    top, bottom
        The k largest maxima so far, and the negatives of the k smallest minima: ``unit k``, largest first; read, never changed.
    histogram
        The running histogram of all layers, read for where its bins lie.

    Attributes
    ----------
    wanted
        Set before each batch.
    """

    wanted: Wanted

    def __init__(
        self,
        layer: Layer,
        units: slice,
        top: npt.NDArray[np.float32],
        bottom: npt.NDArray[np.float32],
        histogram: UnitHistogram,
    ) -> None:
        self.layer, self.units = layer, units
        self.top, self.bottom, self.histogram = top, bottom, histogram

    def __call__(self, activation: Tensor) -> LayerBatch:
        """Reduce the activation of one batch."""
        arranged = self.layer.arrange(activation)
        maps = as_maps(arranged)
        high_rows, low_rows, moments = [], [], []
        for piece in pieces(maps):
            high_rows.append(piece.amax(2))
            low_rows.append(piece.amin(2))
            moments.append(moments_of(piece.flatten(0, 2)))
        highs, lows = joined(high_rows), joined(low_rows)
        high, low = highs.amax(1).cpu().numpy(), lows.amin(1).cpu().numpy()
        joins_top = (high > self.top[:, -1]) | self.wanted.sampled[:, None]
        joins_bottom = low < -self.bottom[:, -1]
        return LayerBatch(
            high,
            places(maps, highs, joins_top, largest=True),
            low,
            places(maps, lows, joins_bottom, largest=False),
            *pooled(moments),
            tuple(arranged.shape[2:]),
            self._counted(maps, low, high),
        )

    def _counted(
        self,
        maps: Float[Tensor, "image y x unit"],
        low: npt.NDArray[np.float32],
        high: npt.NDArray[np.float32],
    ) -> Counted:
        """Count the values at the seeded positions, or all of them piece by piece; the bins span all of them either way."""
        rows = self.wanted.rows(maps.shape[1] * maps.shape[2])
        if self.wanted.fractions is None:
            blocks = [piece.flatten(0, 2) for piece in pieces(maps)]
        else:
            values = as_float(maps.flatten(0, 2))
            blocks = [values if rows is None else values.index_select(0, rows.to(maps.device))]
        least, most = low.min(0), high.max(0)
        finite = all_finite(least, most)
        if not finite:
            spoilt = ~(np.isfinite(least) & np.isfinite(most))
            ranges = [finite_range(block)[:2] for block in blocks]
            least = np.where(spoilt, np.min([least for least, _ in ranges], axis=0), least)
            most = np.where(spoilt, np.max([most for _, most in ranges], axis=0), most)
        return self.histogram.counted(blocks, least, most, self.units, finite=finite)


def as_maps(arranged: Float[Tensor, "image unit *position"]) -> Float[Tensor, "image y x unit"]:
    """View any number of position axes as two, units last: tokens become one row, all axes but the last are joined to y."""
    if arranged.dim() == 2:
        maps = arranged[:, :, None, None]
    elif arranged.dim() == 3:
        maps = arranged[:, :, None]
    else:
        maps = arranged.flatten(2, -2)
    return maps.permute(0, 2, 3, 1).contiguous()


def pieces(maps: Float[Tensor, "image y x unit"]) -> Iterator[Float[Tensor, "_ y x unit"]]:
    """Yield a few images at a time, in float32."""
    for piece in maps.split(max(1, PIECE // max(1, maps[0].numel()))):
        yield as_float(piece)


def as_float(values: Tensor) -> Tensor:
    """Return float32 values; the same tensor where they are."""
    return values.to(torch.float32)


def joined(found: list[Tensor]) -> Tensor:
    """Join what the pieces of a batch gave."""
    return torch.cat(found) if len(found) > 1 else found[0]


def places(
    maps: Float[Tensor, "image y x unit"],
    rows: Float[Tensor, "image y unit"],
    asked: npt.NDArray[np.bool_],
    *,
    largest: bool,
) -> npt.NDArray[np.int32]:
    """Return where the largest (or smallest) value of a unit in an image lies, in reading order, the first of equals: ``image unit``.

    Parameters
    ----------
    rows
        The largest (smallest) value of each row: found among these first, then within its row, which takes a glance at two lines.
    asked
        Where it is wanted, ``image unit``; the others are -1.
    """
    found = np.full(asked.shape, -1, np.int32)
    at = np.nonzero(asked)
    if len(at[0]):
        image, unit = (torch.from_numpy(axis).to(maps.device) for axis in at)
        columns = rows[image, :, unit]
        y = columns.argmax(1) if largest else columns.argmin(1)
        line = maps[image, y, :, unit]
        x = line.argmax(1) if largest else line.argmin(1)
        found[at] = (y * maps.shape[2] + x).cpu().numpy()
    return found


def moments_of(values: Float[Tensor, "row unit"]) -> tuple[Float[Tensor, "part unit"], Float[Tensor, "part unit"], int]:
    """Return mean and variance of the values of each unit, in several parts of equally many rows, and how many these are.

    Float32 sums of few rows are exact to about 1e-6 of the deviation, of many they are not: neighbouring rows count as units of their own
    (a view costs nothing).
    """
    rows, units = values.shape
    parts = 1
    while 2 * parts * units <= WIDE and rows % (2 * parts) == 0:
        parts *= 2
    wide = values.reshape(1, rows // parts, 1, parts * units).permute(0, 3, 1, 2)
    mean, variance = torch.batch_norm_update_stats(wide, None, None, 0.0)
    return mean.view(parts, units), variance.view(parts, units), rows // parts


def pooled(moments: list[tuple[Tensor, Tensor, int]]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Join means and variances of parts into those of all."""
    means = joined([mean for mean, _, _ in moments]).cpu().numpy().astype(np.float64)
    variances = joined([variance for _, variance, _ in moments]).cpu().numpy().astype(np.float64)
    rows = np.repeat([rows for _, _, rows in moments], [len(mean) for mean, _, _ in moments])
    weights = rows / rows.sum()
    mean = weights @ means
    return mean, weights @ (variances + (means - mean) ** 2)
