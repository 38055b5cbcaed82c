"""What units do on images and on their transformed versions, place by place, moved back to where things were.

Layers with a grid (feature maps, and a transformer's patches) are compared at places; those without one (vectors, pooled layers, windows)
by one number an image. Where a strided layer begins at the image's edge its places are not symmetric about the middle: what lies a cell
off after the transformation is found once a layer, on the mean over all units, which no permutation of units changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.bootstrap import first_half
from workbench.images.transformation import Paired, Transformation
from workbench.input_error import InputError
from workbench.models.layer import Layer, on_grid

if TYPE_CHECKING:
    from workbench.images.image_set import ImageSet
    from workbench.models.traced_model import TracedModel

Samples = Float[Tensor, "batch place unit"]
SMALLEST_MAP = 3
"""Cells of a side from which on a layer may lie a cell off."""
LEAST_CONCEPTS = 8


@dataclass(frozen=True, eq=False)
class Shown:
    """Images of a set that some transformations are tried on, and which of them each half has.

    Attributes
    ----------
    indices
        Of the images.
    partners
        The image that stands for each after the transformation, where these are pairs of the set.
    concepts
        Number of each image's concept, from 0.
    first
        Whether an image's concept is of the half that partners are chosen on.
    """

    transformations: tuple[Transformation, ...]
    indices: npt.NDArray[np.int64]
    partners: npt.NDArray[np.int64] | None
    concepts: npt.NDArray[np.int64]
    first: npt.NDArray[np.bool_]

    def part(self, first: bool) -> npt.NDArray[np.int64]:
        """Return the places of the images of one half."""
        return np.flatnonzero(self.first == first)


def shown_images(images: ImageSet, transformations: Sequence[Transformation], number: int, seed: int) -> list[Shown]:
    """Choose images by a seed: some for all that is computed from an image, and pairs for each that is a pair of the set's images."""
    rng = np.random.default_rng(seed)
    names = np.asarray(images.concepts)
    computed = tuple(one for one in transformations if not isinstance(one, Paired))
    found = []
    if computed:
        chosen = np.sort(rng.permutation(len(images))[: number or None])
        found.append(_shown(images, computed, chosen, None, names[chosen], seed))
    for pair in (one for one in transformations if isinstance(one, Paired)):
        first, second = (_by_concept(images, pair, value, names) for value in (pair.first, pair.second))
        both = sorted(set(first) & set(second))
        some = sorted(rng.permutation(len(both))[: number or None].tolist())
        kept = [both[place] for place in some]
        indices, partners = (np.array([of[name] for name in kept], np.int64) for of in (first, second))
        found.append(_shown(images, (pair,), indices, partners, np.asarray(kept), seed))
    return found


def _by_concept(images: ImageSet, pair: Paired, value: str, names: npt.NDArray[Any]) -> dict[str, int]:
    if pair.column not in images.columns:
        raise InputError(f"{images.name} has no column {pair.column!r}; it has {', '.join(images.columns)}")
    column = np.asarray(images.columns[pair.column])
    places = np.flatnonzero(column == value)
    if not len(places):
        known = ", ".join(sorted(set(column.tolist()))[:12])
        raise InputError(f"no image of {images.name} has {pair.column} {value!r}; there are {known}")
    return {str(names[place]): int(place) for place in places[::-1]}


def _shown(
    images: ImageSet,
    transformations: tuple[Transformation, ...],
    indices: npt.NDArray[np.int64],
    partners: npt.NDArray[np.int64] | None,
    names: npt.NDArray[Any],
    seed: int,
) -> Shown:
    known, concepts = np.unique(names, return_inverse=True)
    if len(known) < LEAST_CONCEPTS:
        what = transformations[0].name if partners is not None else images.name
        raise InputError(f"{len(known)} concepts for {what}: at least {LEAST_CONCEPTS} are needed, half to choose partners on")
    return Shown(transformations, indices, partners, concepts.astype(np.int64), first_half(concepts, seed))


@dataclass(eq=False)
class Places:
    """Where a layer is compared under one transformation: found with the first batch, the same from then on.

    Attributes
    ----------
    before
        Flat numbers of the places of the map.
    after
        Where each of them is after the transformation; None where that lies between places, and maps have to be moved back first.
    shift
        How many cells (down, right) a map lies off after it was moved back.
    """

    before: Tensor
    after: Tensor | None
    shift: tuple[int, int] = (0, 0)


@dataclass(eq=False)
class Reader:
    """Reads a network's layers on images and on their transformed versions.

    Parameters
    ----------
    number
        Most places of a map that are compared, drawn by the seed.
    places
        What was found of each transformation and layer: the first network's holds for its twins, being the architecture's doing.
    """

    size: tuple[int, int]
    number: int
    seed: int
    places: dict[tuple[str, str], Places] = field(default_factory=dict)

    def read(
        self, model: TracedModel, images: ImageSet, shown: Shown, part: npt.NDArray[np.int64], layers: Sequence[Layer]
    ) -> Iterator[tuple[npt.NDArray[np.int64], Transformation, Layer, Samples, Samples]]:
        """Give for one batch the concepts of its images, and what each layer's units do before and after each transformation."""
        pixels, kept = self._pixels(images, shown.indices[part], model)
        others, also = self._pixels(images, shown.partners[part], model) if shown.partners is not None else (pixels, kept)
        both = kept & also
        if not both.any():
            return
        names = [layer.name for layer in layers]
        first, second = pixels[both[kept]], others[both[also]]
        concepts = shown.concepts[part[both]]
        clean: dict[bool, dict[str, Tensor]] = {}
        for one in shown.transformations:
            with torch.inference_mode():
                if one.exact not in clean:
                    clean[one.exact] = model.activations(model.preprocess(one.before(first)), names)
                after = model.activations(model.preprocess(one.after(second)), names)
                for layer in layers:
                    before, then = self._samples(one, layer, clean[one.exact][layer.name], after[layer.name])
                    yield concepts, one, layer, before, then

    def _pixels(
        self, images: ImageSet, indices: npt.NDArray[np.int64], model: TracedModel
    ) -> tuple[Float[Tensor, "batch 3 y x"], npt.NDArray[np.bool_]]:
        """Return images in [0, 1], and which of those asked for could be read."""
        read = list(images.batches(self.size, len(indices), indices))
        there = np.concatenate([part.indices for part in read]) if read else np.empty(0, np.int64)
        if not len(there):
            return torch.empty(0, 3, *self.size), np.zeros(len(indices), bool)
        pixels = torch.from_numpy(np.concatenate([part.images for part in read])).to(model.device)
        return pixels.permute(0, 3, 1, 2).float().div_(255), np.isin(indices, there)

    def _samples(self, one: Transformation, layer: Layer, clean: Tensor, after: Tensor) -> tuple[Samples, Samples]:
        before, then = (on_grid(layer, value, self.size) for value in (clean, after))
        if before.shape[-2:] == (1, 1):
            return listed(before), listed(then)
        key = (one.name, layer.name)
        if key not in self.places:
            self.places[key] = self._find(one, before, then)
        where = self.places[key]
        if where.after is not None:
            return listed(before).index_select(1, where.before), listed(then).index_select(1, where.after)
        moved = torch.roll(one.back(then), where.shift, (-2, -1))
        return listed(before).index_select(1, where.before), listed(moved).index_select(1, where.before)

    def _find(self, one: Transformation, before: Tensor, then: Tensor) -> Places:
        """Find how far a layer lies off, and draw the places."""
        height, width = before.shape[-2:]
        seen = one.seen(height, width)
        shift = (0, 0)
        if one.moves and min(height, width) >= SMALLEST_MAP:
            means = before.mean(1), one.back(then.mean(1, keepdim=True))[:, 0]
            shift = max(SHIFTS, key=lambda off: _alike(means[0], torch.roll(means[1], off, (-2, -1)), seen & _inside(off, height, width)))
        places = (seen & _inside(shift, height, width)).flatten().nonzero()[:, 0]
        drawn = np.random.default_rng(self.seed).permutation(len(places))[: self.number]
        chosen = places[torch.from_numpy(np.sort(drawn))].to(before.device)
        if not one.exact:
            return Places(chosen, None, shift)
        numbered = torch.arange(height * width, device=before.device).view(1, 1, height, width)
        return Places(chosen, torch.roll(one.back(numbered), shift, (-2, -1)).flatten()[chosen], shift)


SHIFTS = sorted(((y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)), key=lambda off: abs(off[0]) + abs(off[1]))


def listed(maps: Float[Tensor, "batch unit y x"]) -> Samples:
    """Return maps place by place."""
    return maps.permute(0, 2, 3, 1).flatten(1, 2)


def _inside(shift: tuple[int, int], height: int, width: int) -> Tensor:
    """Tell which places of a map did not come in from the other side."""
    y, x = torch.arange(height), torch.arange(width)
    rows, columns = (
        (place >= max(0, off)) & (place < size + min(0, off)) for place, off, size in ((y, shift[0], height), (x, shift[1], width))
    )
    inside: Tensor = rows[:, None] & columns[None]
    return inside


def _alike(one: Tensor, other: Tensor, seen: Tensor) -> float:
    """Return the correlation of two maps over images and the places that are seen."""
    both = torch.stack([value[:, seen.to(value.device)].flatten() for value in (one, other)])
    return float(torch.corrcoef(both)[0, 1].nan_to_num(-1))
