"""What a unit does at every position of some images: what all other figures are compared with, and what labels are drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from workbench.blind_labels import Bins, Labelling, Shown
from workbench.input_error import InputError
from workbench.models.affine import before_activation, layer_of
from workbench.models.layer import Layer, Unit
from workbench.purity import activation_bins, bin_of, draw
from workbench.task import Part, Task

if TYPE_CHECKING:
    from workbench.images.image_set import ImageSet
    from workbench.models.traced_model import TracedModel

BATCH = 32
POSITIONS = 4096
"""Positions of an image that are kept, the same random ones of each where there are more."""
IMAGES, PLACES = range(2)
"""What random numbers are drawn for."""


def measured_unit(model: TracedModel, unit: Unit) -> tuple[Unit, Layer]:
    """Return the unit whose activation is looked at: the pre-activation where there is one, since it also says how far below zero.

    Raises
    ------
    InputError
        When the network has no such unit.
    """
    layer = model.layer_of(unit)
    before = before_activation(model.graph, Unit(layer.name, unit.index))
    return before, layer_of(model.graph, model.graph.node(before.layer))


@dataclass(frozen=True, eq=False)
class Population:
    """What one unit does at every position of some images.

    Attributes
    ----------
    unit, layer
        Whose activation it is (`measured_unit`).
    indices
        int64 ``image``: places in the set.
    values
        float32 ``image place``.
    places
        int64 ``place``: each in reading order of the layer's grid.
    shape
        The layer's grid.
    mean, std
        float64 ``unit``: of all units of the layer, over all positions.
    """

    unit: Unit
    layer: Layer
    indices: npt.NDArray[np.int64]
    values: npt.NDArray[np.float32]
    places: npt.NDArray[np.int64]
    shape: tuple[int, ...]
    mean: npt.NDArray[np.float64]
    std: npt.NDArray[np.float64]

    @classmethod
    def read(cls, model: TracedModel, unit: Unit, images: ImageSet, limit: int, seed: int, task: Task) -> Population:
        """Show at most `limit` images, chosen by the seed, to the network.

        Raises
        ------
        InputError
            When there is no such unit, or no image can be read.
        """
        before, layer = measured_unit(model, unit)
        order = np.random.default_rng([seed, IMAGES]).permutation(len(images))[:limit]
        shape = tuple(layer.positions)
        number = int(np.prod(shape)) if shape else 1
        places = np.sort(np.random.default_rng([seed, PLACES]).permutation(number)[:POSITIONS])
        kept: list[Tensor] = []
        indices: list[npt.NDArray[np.int64]] = []
        moments = torch.zeros(2, layer.units, dtype=torch.float64, device=model.device)
        forward = model.forward_to([layer.name])
        for batch in images.batches(model.preprocessing.size, BATCH, order):
            with torch.inference_mode():
                arranged = layer.arrange(forward(model.preprocess(batch.images))[0])
                flat = arranged.reshape(*arranged.shape[:2], -1)
                kept.append(flat[:, before.index, places].float().cpu())
                wide = flat.double()
                moments += torch.stack([wide.mean(2).sum(0), wide.square().mean(2).sum(0)])
            indices.append(batch.indices)
            task.step(sum(map(len, indices)), len(order), note=f"reading {layer.name}")
        if not indices:
            raise InputError(f"no image of {images.name} can be read")
        mean, square = (moments / sum(map(len, indices))).cpu().numpy()
        std = np.sqrt(np.maximum(square - mean**2, 0))
        return cls(before, layer, np.concatenate(indices), torch.cat(kept).numpy(), places, shape, mean, std)

    @property
    def of_unit(self) -> tuple[float, float]:
        """Mean and standard deviation of the unit."""
        return float(self.mean[self.unit.index]), float(self.std[self.unit.index])

    def in_deviations(self, value: float) -> float:
        """Return how many standard deviations above the mean a value is; NaN for a unit that never changes."""
        mean, std = self.of_unit
        return (value - mean) / std if std > 0 else float("nan")

    def position(self, place: int) -> tuple[int, ...]:
        """Return the position that a column of `values` is of."""
        return tuple(int(part) for part in np.unravel_index(int(self.places[place]), self.shape)) if self.shape else ()

    def bins(self, number: int) -> Bins:
        """Cut the activation into bins (see `activation_bins`)."""
        flat = self.values.ravel().astype(np.float64)
        edges = activation_bins(flat, number)
        place = bin_of(flat, edges)
        counts = np.bincount(place, minlength=len(edges) - 1)
        sums = np.bincount(place, flat, minlength=len(edges) - 1)
        mean, std = self.of_unit
        return Bins(edges=edges.tolist(), mean=mean, std=std, counts=counts.tolist(), sums=sums.tolist(), images=len(self.indices))

    def drawn(self, bins: Bins, count: int, seed: int) -> list[tuple[int, int, int]]:
        """Draw positions, as many from every bin; return row and column in `values`, and the bin, of each, in random order."""
        place = bin_of(self.values.ravel(), np.array(bins.edges))
        of_image = np.repeat(np.arange(len(self.indices)), len(self.places))
        chosen = draw(place, of_image, len(bins.counts), seed, count)
        return [(int(one // len(self.places)), int(one % len(self.places)), int(place[one])) for one in chosen]


def draw_labelling(
    model: TracedModel, images: ImageSet, unit: Unit, count: int, seed: int, limit: int, bins: int, task: Task
) -> Labelling:
    """Draw the pictures of a blind labelling: `count` positions of at most `limit` images, as many from every bin of the activation.

    Raises
    ------
    InputError
        When there is no such unit, it never changes, or no image can be read.
    """
    population = Population.read(model, unit, images, limit, seed, Part(task, 0, 1, 1))
    if not population.of_unit[1] > 0:
        raise InputError(f"{unit} does the same on all {len(population.indices)} images; there is nothing to label")
    ranges = population.bins(bins)
    concepts = images.concepts
    pictures = [
        Shown(
            image=(image := int(population.indices[row])),
            name=images.ids[image],
            concept=concepts[image],
            position=list(population.position(column)),
            activation=float(population.values[row, column]),
            bin=place,
        )
        for row, column, place in population.drawn(ranges, count, seed)
    ]
    return Labelling(
        model=model.ref,
        weights=model.weight_hash,
        images=images.ref,
        images_hash=images.content_hash,
        unit=str(unit),
        measured=str(population.unit),
        wanted=count,
        seed=seed,
        bins=ranges,
        pictures=pictures,
    )
