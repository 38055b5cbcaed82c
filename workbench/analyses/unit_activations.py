"""One number a unit and image: what analyses of whole image sets share, read in one pass and kept.

An analysis that asks for the same layer, images and reduction again, or another one that does, reads the numbers from a folder that the
engine hands out (`OverImages.sharing`): 16 MB for 500 units and 7,850 images.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float32, Int64
from pydantic import Field, PrivateAttr
from torch import Tensor

from workbench.analyses.analysis import Analysis
from workbench.images.image_set import UnreadableImage
from workbench.input_error import InputError
from workbench.task import Task
from workbench.whole_file import replacing

if TYPE_CHECKING:
    from workbench.images.image_set import ImageSet
    from workbench.models.layer import Layer
    from workbench.models.traced_model import TracedModel

Box = tuple[float, float, float, float]
"""Top, left, bottom, right of a region of the image, in fractions of its height and width."""
Indices = Int64[np.ndarray, "_"]

WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
BATCH, BATCH_ON_GPU = 8, 64
"""Images computed at once; on a processor larger batches are no faster, and a click waits for the end of one."""

logger = logging.getLogger(__name__)


# What is kept of an image


@dataclass(frozen=True)
class Largest:
    """The largest activation over all positions, or over those inside a region."""

    box: Box = WHOLE

    def __call__(self, layer: Layer, activation: Tensor, size: tuple[int, int], images: Indices) -> Tensor:
        """Return ``image unit``."""
        return _inside(layer.arrange(activation), layer, size, self.box).amax(2)


@dataclass(frozen=True)
class Mean:
    """The mean activation over all positions, or over those inside a region."""

    box: Box = WHOLE

    def __call__(self, layer: Layer, activation: Tensor, size: tuple[int, int], images: Indices) -> Tensor:
        """Return ``image unit``."""
        return _inside(layer.arrange(activation), layer, size, self.box).float().mean(2)


@dataclass(frozen=True)
class Places:
    """The activations at some random places of each image, the same in every layer."""

    number: int
    seed: int = 0

    def __call__(self, layer: Layer, activation: Tensor, size: tuple[int, int], images: Indices) -> Tensor:
        """Return ``image place unit``; where a layer has no positions, its value at each place."""
        arranged = layer.arrange(activation)
        maps = as_map(arranged, layer, size)
        maps = arranged.flatten(2)[..., None] if maps is None and arranged.dim() > 2 else maps
        if maps is None:
            return arranged[:, None].expand(-1, self.number, -1)
        fractions = np.stack(
            [np.random.default_rng([self.seed, int(image)]).random((self.number, 2)) for image in images]
        )
        place = torch.from_numpy((fractions * maps.shape[2:]).astype(np.int64)).to(maps.device)
        rows = torch.arange(len(maps), device=maps.device)[:, None]
        return maps.movedim(1, -1)[rows, place[..., 0], place[..., 1]]


Reduction = Largest | Mean | Places


def as_map(arranged: Tensor, layer: Layer, size: tuple[int, int]) -> Tensor | None:
    """View an arranged activation as ``image unit y x``, or None where its positions have no place in the image.

    A sequence of patches is folded into the rows and columns of the image (`size` is its height and width); the tokens before them are left
    out. Of the features that a head computes of each token it is the largest.
    """
    folded = _folded(arranged, layer, size)
    return folded.amax(-1) if folded is not None and layer.features else folded


def _folded(arranged: Tensor, layer: Layer, size: tuple[int, int]) -> Tensor | None:
    """View it as ``image unit y x *feature``."""
    if layer.is_map:
        return arranged
    if layer.rows != 1 or arranged.dim() - layer.features != 3:
        return None
    grid = layer.grid(arranged.shape[2], size)
    if grid is None:
        return None
    prefix, _, columns = grid
    folded: Tensor = arranged[:, :, prefix:].unflatten(2, (-1, columns))
    return folded


def slices(box: Box, rows: int, columns: int) -> tuple[slice, slice]:
    """Return the rows and columns of a grid that a region touches, at least one of each."""

    def cut(start: float, end: float, number: int) -> slice:
        first = min(math.floor(start * number), number - 1)
        return slice(first, max(math.ceil(end * number), first + 1))

    return cut(box[0], box[2], rows), cut(box[1], box[3], columns)


def _inside(arranged: Tensor, layer: Layer, size: tuple[int, int], box: Box) -> Tensor:
    """Return the activations inside a region, ``image unit position``."""
    if box == WHOLE:
        return arranged.reshape(*arranged.shape[:2], -1)
    maps = _folded(arranged, layer, size)
    if maps is None:
        raise InputError(
            f"{layer.name} has no positions in the image, so it cannot be read in a region; leave the region out"
        )
    return maps[(slice(None), slice(None), *slices(box, *maps.shape[2:4]))].flatten(2)


# One image


@dataclass(frozen=True, eq=False)
class OnImage:
    """What a layer does on one image.

    Attributes
    ----------
    activation
        As it comes, a batch of one.
    arranged
        ``unit *position``.
    classes
        The likeliest classes with their probabilities, at most 5; none where the network does not classify.
    input
        uint8 ``y x 3``: the image as the network was shown it.
    """

    activation: Tensor
    arranged: Tensor
    classes: tuple[tuple[str, float], ...]
    input: np.ndarray


def on_image(model: TracedModel, layer: Layer, pixels: np.ndarray) -> OnImage:
    """Show one image (uint8 ``y x 3``) to a network."""
    with torch.inference_mode():
        shown = model.preprocess(np.array(pixels[None]))
        activation, output = model.forward_to([layer.name, model.graph.output])(shown)
        probabilities = output[0].float().softmax(-1).cpu().numpy() if output.dim() == 2 else np.empty(0)
        return OnImage(activation, layer.arrange(activation)[0], model.top_classes(probabilities), model.pixels(shown))


# Reading


@dataclass(frozen=True, eq=False)
class Responses:
    """What was read.

    Attributes
    ----------
    indices
        Images of the set, ascending; those that cannot be read are left out.
    values
        By layer, float32: ``image unit``, or ``image place unit``.
    unreadable
        The first of the images that could not be read.
    """

    indices: Indices
    values: Mapping[str, Float32[np.ndarray, "_ *place unit"]]
    unreadable: tuple[UnreadableImage, ...] = ()


def unit_activations(
    model: TracedModel,
    layers: Sequence[str],
    images: ImageSet,
    task: Task,
    *,
    reduction: Reduction = Largest(),
    indices: Indices | None = None,
    folder: Path | None = None,
) -> Responses:
    """Return what all units of some layers do on each image, in one pass for the layers that are not in the folder.

    Parameters
    ----------
    layers
        Names, under which they are returned.
    reduction
        What is kept of an image: `Largest`, `Mean` or `Places`.
    indices
        Which images, ascending; None for all.
    folder
        Where such numbers are kept, by content: network, images, layer and reduction.

    Raises
    ------
    InputError
        When a layer is unknown, or no image can be read.
    """
    order = np.arange(len(images)) if indices is None else indices
    paths = {name: folder / f"{_key(model, images, name, reduction, order)}.npz" for name in layers} if folder else {}
    kept = {name: found for name, path in paths.items() if (found := _load(path)) is not None}
    missing = [name for name in layers if name not in kept]
    if missing:
        read, values, unreadable = _read(model, missing, images, reduction, order, task)
        new: dict[str, _Kept] = {name: (read, values[name], unreadable) for name in missing}
        kept |= new
        if folder:
            _save({paths[name]: entry for name, entry in new.items()})
    read, _, unreadable = kept[layers[0]]
    if any(not np.array_equal(read, other) for other, _, _ in kept.values()):  # a file became unreadable since
        read = np.array(sorted(set.intersection(*(set(other.tolist()) for other, _, _ in kept.values()))), np.int64)
    everything = {
        name: values[np.isin(own, read)] if len(own) != len(read) else values for name, (own, values, _) in kept.items()
    }
    return Responses(read, {name: everything[name] for name in layers}, tuple(unreadable))


_Kept = tuple[Indices, np.ndarray, list[UnreadableImage]]
NAMED = 5
"""Unreadable images that are named."""


def _read(
    model: TracedModel, layers: Sequence[str], images: ImageSet, reduction: Reduction, order: Indices, task: Task
) -> tuple[Indices, dict[str, np.ndarray], list[UnreadableImage]]:
    size = model.preprocessing.size
    at = np.zeros(0, np.int64)

    def reducer(name: str) -> Callable[[Tensor], Tensor]:
        layer = model.layer(name)
        return lambda activation: reduction(layer, activation, size, at).float().cpu()

    names = {name: model.layer(name).name for name in layers}
    forward = model.forward_to(list(names.values()), {own: reducer(own) for own in names.values()})
    found: dict[str, list[np.ndarray]] = {name: [] for name in layers}
    seen: list[np.ndarray] = []
    number = BATCH if model.device.type == "cpu" else BATCH_ON_GPU
    for batch in images.batches(size, number, order):
        at = batch.indices
        with torch.inference_mode():
            for name, values in zip(layers, forward(model.preprocess(batch.images)), strict=True):
                found[name].append(values.numpy())
        seen.append(at)
        task.step(
            int(np.searchsorted(order, at[-1])) + 1, len(order), note=f"{model.name}: reading {', '.join(layers)}"
        )
    if not seen:
        raise InputError(f"no image of {images.name} can be read")
    wanted = {images.ids[index] for index in np.setdiff1d(order, np.concatenate(seen)).tolist()}
    unreadable = [image for image in images.skipped if image.id in wanted][:NAMED]
    return np.concatenate(seen), {name: np.concatenate(parts) for name, parts in found.items()}, unreadable


def _key(model: TracedModel, images: ImageSet, layer: str, reduction: Reduction, order: Indices) -> str:
    content = [
        model.weight_hash,
        repr(model.preprocessing),
        images.content_hash,
        model.layer(layer).name,
        repr(reduction),
        hashlib.sha256(order.astype("<i8").tobytes()).hexdigest(),
    ]
    if model.arithmetic == "tf32":  # bf16 is not for these analyses
        content.append(model.arithmetic)
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]


def _save(entries: Mapping[Path, _Kept]) -> None:
    """Keep what was read, where that can be written; else the log says so, and it is read again when next asked for."""
    try:
        for path, (indices, values, skipped) in entries.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            unreadable = json.dumps([[image.id, image.reason] for image in skipped])
            with replacing(path) as beside, beside.open("wb") as file:
                np.savez(file, indices=indices, values=values, unreadable=np.frombuffer(unreadable.encode(), np.uint8))
    except OSError as error:
        logger.warning("activations cannot be kept, so they will be read again (%s)", error)


def _load(path: Path) -> _Kept | None:
    try:
        with np.load(path, allow_pickle=False) as members:
            unreadable = [UnreadableImage(*image) for image in json.loads(members["unreadable"].tobytes())]
            return members["indices"], members["values"], unreadable
    except FileNotFoundError:
        return None
    except Exception as error:  # damaged in some way; it is read again
        logger.warning("dropped the damaged cache entry %s (%s: %s)", path, type(error).__name__, error)
        path.unlink(missing_ok=True)
        return None


# What such analyses have in common


class OverImages(Analysis):
    """Base of analyses that read one number a unit and image, and can share them with others."""

    needs_images: ClassVar[bool] = True

    response: Literal["max", "mean"] = Field(
        default="max",
        description="What a unit's activation on an image is: the largest or the mean over all positions or tokens.",
    )
    concept: str = Field(
        default="concept",
        description="Column whose equal values are drawings of one thing, so not independent; without it every image is on its own.",
    )
    sampled: int = Field(
        default=16384, ge=16, le=32768, description="Images taken at most, whole concepts, chosen by the seed."
    )
    seed: int = Field(
        default=0, ge=0, lt=2**31 - 1000, description="Of the first twin, and of everything that is chosen at random."
    )

    _shared: Path | None = PrivateAttr(default=None)

    def sharing(self, folder: str | Path) -> OverImages:
        """Return the same analysis with a folder where it finds and leaves activations that other analyses can use."""
        shared = self.model_copy()
        shared._shared = Path(folder)
        return shared

    def reduction(self, box: Box = WHOLE) -> Largest | Mean:
        """Return what is kept of an image, or of a region of it."""
        return Largest(box) if self.response == "max" else Mean(box)

    def chosen(self, images: ImageSet) -> Indices:
        """Return the images that are taken, ascending: all, or so many random concepts that the next one would be too many.

        Raises
        ------
        InputError
            When there are none.
        """
        if not len(images):
            raise InputError(f"{images.name} has no images")
        concept = self.concepts(images, np.arange(len(images)))
        if len(images) <= self.sampled:
            return np.arange(len(images))
        order = np.random.default_rng(self.seed).permutation(int(concept.max()) + 1)
        count = int(np.searchsorted(np.cumsum(np.bincount(concept)[order]), self.sampled, "right"))
        return np.flatnonzero(np.isin(concept, order[: max(count, 1)]))

    def concepts(self, images: ImageSet, indices: Indices) -> Indices:
        """Number the concepts of some images from 0, in the order of their first images.

        Raises
        ------
        InputError
            When the images have no column of that name (the default one may be missing).
        """
        if self.concept not in ("", "concept", *images.columns):
            raise InputError(
                f"{images.name} has no column {self.concept!r}; it has {', '.join(images.columns) or 'none'}"
            )
        names = images.columns.get(self.concept, images.ids)
        numbers: dict[str, int] = {}
        return np.array([numbers.setdefault(names[index], len(numbers)) for index in indices.tolist()], np.int64)

    def activations(
        self,
        model: TracedModel,
        layers: Sequence[str],
        images: ImageSet,
        indices: Indices,
        task: Task,
        reduction: Reduction | None = None,
    ) -> Responses:
        """Read what the units of some layers do on each image, or find it in the shared folder."""
        return unit_activations(
            model, layers, images, task, reduction=reduction or self.reduction(), indices=indices, folder=self._shared
        )


def of_images(images: ImageSet, read: Responses, asked: int) -> dict[str, object]:
    """Return the part of a summary that says which images the numbers rest on."""
    return {
        "images": len(read.indices),
        "of": len(images),
        "skipped": asked - len(read.indices),
        "unreadable": [{"id": image.id, "reason": image.reason} for image in read.unreadable],
    }
