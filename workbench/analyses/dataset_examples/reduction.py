"""What is kept of one layer's activation on one batch: taken right after the layer, while the activation is still in the cache.

Three vectorised passes over the activation, in pieces that fit the cache: maximum, minimum, and the mean and variance that batch
normalisation takes. Where an extreme lies is looked up only where it matters: soon but few images are among a unit's strongest.
Nothing here changes the running results, so a batch that runs out of memory can be done again in halves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import max_pool2d

from workbench.analyses.dataset_examples.histogram import Counted, UnitHistogram, finite_range
from workbench.models.layer import Layer

PIECE = 1 << 20
"""Values a pass reads at a time: 4 MB, which stays in the cache until the last pass has read it."""
MANY = 1 / 16
"""Part of an image's units from which it is faster to find the places of all than of those that are asked for."""


@dataclass(frozen=True, eq=False)
class LayerBatch:
    """What one batch says about one layer.

    Attributes
    ----------
    high, low
        Largest and smallest value of each image, float32 ``image unit``; NaN where the activation has one.
    high_at, low_at
        Where they are: the position in reading order, int32 ``image unit``; -1 where nobody asks.
    mean, square
        Mean over images and positions, and sum of squared differences from it, float64 ``unit``.
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
    square: npt.NDArray[np.float64]
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


@dataclass
class Wanted:
    """What is wanted of the batch that comes next.

    Attributes
    ----------
    fractions
        Where the histogram looks in each of as many equal stretches of positions, ``image stretch``; None for all positions.
    sampled
        Which images are among the sampled ones: their maximum's position is wanted whatever its value.
    """

    fractions: npt.NDArray[np.float64] | None
    sampled: npt.NDArray[np.bool_]


class LayerReduction:
    """Reduces a layer's activation to a `LayerBatch`.

    Parameters
    ----------
    layer
        Whose activation it is.
    units
        Where the layer's units lie among those of all layers.
    wanted
        What is wanted of the batch, set before it is computed.
    top, bottom
        The k largest maxima so far, and the negatives of the k smallest minima: ``unit k``, largest first; read, never changed.
    histogram
        The running histogram of all layers, read for where its bins lie.
    """

    def __init__(
        self,
        layer: Layer,
        units: slice,
        wanted: Wanted,
        top: npt.NDArray[np.float32],
        bottom: npt.NDArray[np.float32],
        histogram: UnitHistogram,
    ) -> None:
        self.layer, self.units, self.wanted = layer, units, wanted
        self.top, self.bottom, self.histogram = top, bottom, histogram

    def __call__(self, activation: Tensor) -> LayerBatch:
        """Reduce the activation of one batch."""
        arranged = self.layer.arrange(activation)
        maps = as_maps(arranged)
        pieces = [as_float(piece) for piece in maps.split(max(1, PIECE // max(1, maps[0].numel())))]
        highs, lows, moments = [], [], []
        for piece in pieces:
            highs.append(piece.amax((2, 3)))
            lows.append(piece.amin((2, 3)))
            moments.append(torch.batch_norm_update_stats(piece, None, None, 0.0))
        high, low = joined(highs), joined(lows)
        mean, square = pooled_moments(moments, [len(piece) * maps[0, 0].numel() for piece in pieces])
        joins_top = high > torch.from_numpy(self.top[:, -1]).to(high.device)
        joins_top |= torch.from_numpy(self.wanted.sampled).to(high.device)[:, None]
        joins_bottom = low < torch.from_numpy(-self.bottom[:, -1]).to(low.device)
        return LayerBatch(
            high.cpu().numpy(),
            places(maps, joins_top, largest=True).to(torch.int32).cpu().numpy(),
            low.cpu().numpy(),
            places(maps, joins_bottom, largest=False).to(torch.int32).cpu().numpy(),
            mean,
            square,
            tuple(arranged.shape[2:]),
            self._counted(maps, pieces, low, high),
        )

    def _counted(
        self,
        maps: Float[Tensor, "image unit y x"],
        pieces: list[Float[Tensor, "_ unit y x"]],
        low: Float[Tensor, "image unit"],
        high: Float[Tensor, "image unit"],
    ) -> Counted:
        if self.wanted.fractions is not None:
            values = as_float(sampled(maps, self.wanted.fractions))
            least, most, finite = finite_range(values)
            return self.histogram.counted([values], least, most, self.units, finite=finite)
        least, most = low.amin(0).cpu().numpy(), high.amax(0).cpu().numpy()
        finite = bool(np.isfinite(least).all() and np.isfinite(most).all())
        if not finite:
            ranges = [finite_range(block)[:2] for block in _blocks(pieces)]
            least = np.min([least for least, _ in ranges], axis=0)
            most = np.max([most for _, most in ranges], axis=0)
        return self.histogram.counted(_blocks(pieces), least, most, self.units, finite=finite)


def places(maps: Float[Tensor, "image unit y x"], asked: Bool[Tensor, "image unit"], *, largest: bool) -> Tensor:
    """Return where the largest (or smallest) value of a unit in an image lies, in reading order, the first of equals.

    int64 ``image unit``, -1 where it is not `asked` for (but in an image of which much is asked, all of it is looked up, which is faster).
    """
    found = torch.full(asked.shape, -1, dtype=torch.int64, device=maps.device)
    number = asked.sum(1)
    whole = number > MANY * asked.shape[1]
    if whole.any():
        images = whole.nonzero().flatten()
        for some in images.split(max(1, PIECE // max(1, maps[0].numel()))):
            part = as_float(maps[some]) if len(some) < len(maps) else as_float(maps)
            pooled = max_pool2d(part if largest else -part, part.shape[2:], return_indices=True)
            found[some] = pooled[1].flatten(1)
        asked = asked & ~whole[:, None]
    if asked.any():
        rows = maps.flatten(2)[asked]
        found[asked] = rows.argmax(1) if largest else rows.argmin(1)
    return found


def as_maps(arranged: Float[Tensor, "image unit *position"]) -> Float[Tensor, "image unit y x"]:
    """View any number of position axes as two: tokens become one column, further axes are joined to y."""
    if arranged.dim() == 2:
        maps = arranged[:, :, None, None]
    elif arranged.dim() == 3:
        maps = arranged[:, :, :, None]
    else:
        maps = arranged.flatten(2, -2)
    if maps.is_contiguous() or maps.is_contiguous(memory_format=torch.channels_last):
        return maps
    return maps.contiguous(memory_format=torch.channels_last)


def as_float(values: Tensor) -> Tensor:
    """Return float32 values; the same tensor where they are."""
    return values.to(torch.float32)


def sampled(maps: Float[Tensor, "image unit y x"], fractions: npt.NDArray[np.float64]) -> Float[Tensor, "values unit"]:
    """Return the values at one position in each of as many equal stretches of the reading order, or all where there are no more."""
    flat = maps.flatten(2)
    images, positions = flat.shape[0], flat.shape[2]
    stretches = fractions.shape[1]
    if positions <= stretches:
        return flat.transpose(1, 2).flatten(0, 1)
    within = ((np.arange(stretches) + fractions) * positions / stretches).astype(np.int64).clip(max=positions - 1)
    rows = flat.transpose(1, 2)
    if rows.is_contiguous():
        chosen = within + positions * np.arange(images)[:, None]
        return rows.flatten(0, 1).index_select(0, torch.from_numpy(chosen.ravel()).to(maps.device))
    return rows[torch.arange(images, device=maps.device)[:, None], torch.from_numpy(within).to(maps.device)].flatten(
        0, 1
    )


def pooled_moments(
    moments: list[tuple[Tensor, Tensor]], sizes: list[int]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Join means and variances of pieces into the mean of all and the sum of squared differences from it."""
    if len(moments) == 1:
        mean, variance = (moment.cpu().numpy().astype(np.float64) for moment in moments[0])
        return mean, variance * sizes[0]
    weights = np.array(sizes, np.float64)[:, None]
    means = torch.stack([mean for mean, _ in moments]).cpu().numpy().astype(np.float64)
    variances = torch.stack([variance for _, variance in moments]).cpu().numpy().astype(np.float64)
    mean = (weights * means).sum(0) / weights.sum()
    square = (weights * (variances + (means - mean) ** 2)).sum(0)
    return mean, square


def joined(pieces: list[Tensor]) -> Tensor:
    """Join the pieces of a batch, ``image unit``."""
    return torch.cat([piece.flatten(1) for piece in pieces]) if len(pieces) > 1 else pieces[0].flatten(1)


def _blocks(pieces: list[Tensor]) -> Iterator[Float[Tensor, "_ unit"]]:
    """Yield the values of each piece, one row a position."""
    for piece in pieces:
        yield piece.flatten(2).transpose(1, 2).flatten(0, 1)
