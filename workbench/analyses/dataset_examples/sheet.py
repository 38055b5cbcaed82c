"""Examples to look at: a few units of each layer and a few images of each, small enough to be kept with the result.

Whoever reads a result on another machine, or after the folder of images has moved, still sees what the units respond to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from workbench.images.scaling import cover_all
from workbench.task import Task

if TYPE_CHECKING:
    from workbench.images.image_set import ImageSet

LAYERS = 8
UNITS = 6
STRONGEST = 3
OF_A_RANGE = 2
"""Examples of each range; one when there are more than `MANY_RANGES`."""
MANY_RANGES = 6
HEIGHT = 96
"""Of an image on the sheet, in pixels."""
GREY = 128
ENDS = ("top", "sample", "bottom")

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Column:
    """One column of a sheet: which of the arrays `end` it shows, at which place behind the unit's axis.

    Attributes
    ----------
    group
        What its examples have in common: 0 the strongest, then the ranges from the highest to the lowest, then the weakest.
    """

    group: int
    end: str
    place: tuple[int, ...]


def columns(k: int, ranges: int, samples: int) -> list[Column]:
    """Return the columns of a sheet, from the strongest example to the weakest; the parameters are those of the analysis."""
    strongest = [Column(0, "top", (place,)) for place in range(min(STRONGEST, k))]
    number = min(OF_A_RANGE if ranges <= MANY_RANGES else 1, samples)
    places = np.linspace(samples - 1, 0, number + 2)[1:-1].round().astype(int).tolist()
    middle = [Column(ranges - index, "sample", (index, place)) for index in reversed(range(ranges)) for place in places]
    return [*strongest, *middle, Column(ranges + 1, "bottom", (0,))]


def drawn_layers(names: Sequence[str]) -> list[str]:
    """Return at most `LAYERS` of the layers, evenly chosen."""
    return [names[i] for i in np.unique(np.linspace(0, len(names) - 1, LAYERS).round().astype(int))]


def drawn_units(sparsity: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return at most `UNITS` units of a layer, evenly chosen from the sparsest to the densest."""
    order = np.argsort(sparsity, kind="stable")
    chosen: npt.NDArray[np.int64] = order[np.unique(np.linspace(0, len(order) - 1, UNITS).round().astype(int))]
    return chosen


def read(
    images: ImageSet, layers: Mapping[str, Arrays], shown: Sequence[Column], size: tuple[int, int], task: Task
) -> dict[str, npt.NDArray[Any]]:
    """Read the images of the drawn units, and return ``sheet_units`` and ``sheet_images`` of `DatasetExamples`.

    Parameters
    ----------
    size
        Height and width of what the network reads: the images have its proportions.
    """
    names = drawn_layers(list(layers))
    units = np.full((len(names), UNITS), -1, np.int32)
    index = np.full((len(names), UNITS, len(shown)), -1, np.int64)
    for row, name in enumerate(names):
        chosen = drawn_units(layers[name]["sparsity"])
        units[row, : len(chosen)] = chosen
        for at, column in enumerate(shown):
            index[row, : len(chosen), at] = layers[name][f"{column.end}_index"][(chosen, *column.place)]
    small = HEIGHT, max(1, round(HEIGHT * size[1] / size[0]))
    pictures = np.full((*index.shape, *small, 3), GREY, np.uint8)
    wanted = np.unique(index[index >= 0])
    readable = size if size[0] > HEIGHT else small  # stimuli too fine for a smaller size cannot be read at it
    for number, batch in enumerate(images.batches(readable, 64, wanted)):
        if number:
            task.step(len(images), len(images), note="reading the examples")
        for image, pixels in zip(batch.indices.tolist(), cover_all(batch.images, small), strict=True):
            pictures[index == image] = pixels
    return {"sheet_units": units, "sheet_images": pictures}


def names_of(images: ImageSet, layers: Mapping[str, Arrays]) -> dict[str, npt.NDArray[Any]]:
    """Return ``example_index`` and ``example_ids`` of `DatasetExamples`: every image that is an example of some unit, by name."""
    found = [np.unique(arrays[f"{end}_index"]) for arrays in layers.values() for end in ENDS]
    index = np.unique(np.concatenate(found))
    index = index[index >= 0].astype(np.int32)
    return {"example_index": index, "example_ids": np.array([images.ids[i] for i in index.tolist()], np.str_)}
