"""The images a unit responds to most, one of each concept, and where in each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float32, Int32, Int64

from workbench.images.image_set import Pixels
from workbench.task import Task

if TYPE_CHECKING:
    from workbench.images.image_set import ImageSet
    from workbench.models.layer import Layer
    from workbench.models.traced_model import TracedModel

BATCH = 32
HELD_BYTES = 256 << 20
"""Decoded images that are kept for looking at the units one by one; where there are more they are read again."""
BINS = 40
"""Of the histogram of the strongest activation per concept."""


@dataclass(frozen=True, eq=False)
class Examples:
    """What was found of some units.

    Attributes
    ----------
    index, value, place
        Of each unit its images, the strongest first: which, the largest activation in it, and the flattened position where that is. Filled
        up with -1, NaN and -1.
    counts, edges
        Histogram of the largest activation of each concept.
    seen
        Images that could be read.
    """

    index: Int32[np.ndarray, "unit example"]
    value: Float32[np.ndarray, "unit example"]
    place: Int32[np.ndarray, "unit example"]
    counts: Int64[np.ndarray, "unit bin"]
    edges: Float32[np.ndarray, "unit edge"]
    seen: int
    _pixels: Pixels | None

    def shown(self, images: ImageSet, size: tuple[int, int], index: Int64[np.ndarray, " image"]) -> Pixels:
        """Return some of the images."""
        if self._pixels is not None:
            kept: Pixels = self._pixels[index]
            return kept
        return np.concatenate([batch.images for batch in images.batches(size, len(index), index)])


def strongest(
    model: TracedModel, images: ImageSet, layer: Layer, units: Sequence[int], most: int, least: float, task: Task, total: int
) -> Examples:
    """Read the images once.

    Parameters
    ----------
    most
        Examples of a unit, at most; of each concept only the strongest image counts, since drawings of one concept are not independent.
    least
        Part of the unit's largest activation that an example has at least; where a unit is never above 0 it has none.
    total
        Steps of the whole analysis, of which this takes as many as there are images.
    """
    concepts, concept_of = np.unique(np.asarray(images.concepts), return_inverse=True)
    value = np.full((len(concepts), len(units)), -np.inf, np.float32)
    index = np.full(value.shape, -1, np.int32)
    place = np.full(value.shape, -1, np.int32)
    chosen = torch.as_tensor(list(units), device=model.device)

    def largest(activation: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        flat = layer.arrange(activation)[:, chosen].flatten(2) if layer.positions else layer.arrange(activation)[:, chosen, None]
        found = flat.float().nan_to_num(-torch.inf).max(2)
        return found.values, found.indices

    forward = model.forward_to([layer.name], {layer.name: largest})
    seen = 0
    shape = (len(images), *model.preprocessing.size, 3)
    pixels = np.zeros(shape, np.uint8) if math.prod(shape) <= HELD_BYTES else None
    for batch in images.batches(model.preprocessing.size, BATCH):
        with torch.inference_mode():
            ((values, places),) = forward(*model.inputs(model.preprocess(batch.images)))
        for image, found, at in zip(batch.indices.tolist(), values.cpu().numpy(), places.cpu().numpy(), strict=True):
            concept = concept_of[image]
            better = found > value[concept]
            value[concept, better], index[concept, better], place[concept, better] = found[better], image, at[better]
        if pixels is not None:
            pixels[batch.indices] = batch.images
        seen += len(batch.indices)
        task.step(seen, total, note="looking for the strongest images")
    count = min(most, len(concepts))
    order = np.argsort(-value, 0, kind="stable")[:count]
    best, height, where = (np.take_along_axis(array, order, 0).T.copy() for array in (index, value, place))
    weak = (height < least * height[:, :1]) | (height <= 0) | (best < 0)
    best[weak], height[weak], where[weak] = -1, np.nan, -1
    real = np.where(np.isfinite(value), value, 0)
    edges = np.linspace(real.min(0), np.maximum(real.max(0), real.min(0) + 1e-6), BINS + 1).T.astype(np.float32)
    counts = np.stack([np.histogram(real[:, unit], edges[unit])[0] for unit in range(len(units))])
    return Examples(best, height, where, counts, edges, seen, pixels)
