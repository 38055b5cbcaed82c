"""What the window asks about units in a set of images: what drives them, and what a sweep says of them.

As in `requests`, nothing heavy is imported before `run`, in the worker thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from workbench.images.image_set import Pixels
from workbench.jobs.job import Lane, Request
from workbench.models.layer import Unit
from workbench.task import Task

if TYPE_CHECKING:
    from workbench.images.image_set import ImageSet
    from workbench.jobs.engine import Engine

ENDS = ("top", "sample", "bottom")
"""Which examples of a unit there are, the ones looked at first before the others."""
GREY = 128
WEAKEST = 8
"""Of the images that drive a unit least, how many are shown."""
READ = 8
"""Images read together; each thread decodes so many at a time."""


@dataclass(frozen=True)
class UnitExamples(Request):
    """What a sweep found of one unit -> mapping, or None when no sweep of this layer has begun.

    The mapping has all arrays of `DatasetExamples` for this unit by their names (``top_values`` ``[k]``, ``sample_values``
    ``[range, samples]``, ``histogram``, ``mean`` …), and

    * ``top_images`` uint8 ``[k, y, x, 3]``, ``sample_images`` ``[range, samples, y, x, 3]``, and ``bottom_images`` of the first
      `WEAKEST`: what the unit saw where its activation was largest, cut out of the image at the size of the receptive field; grey where
      there was none;
    * ``top_boxes`` int32 ``[k, 4]``, ``bottom_boxes``, ``sample_boxes``: top, left, bottom, right of that in pixels of ``size``;
    * ``top_names``, ``bottom_names``, ``sample_names``: tuples of the images' ids in the order of the flattened index;
    * ``size``: height and width of the image the network read;
    * ``finished``: whether the sweep has seen all images; those it could not read count as seen;
    * ``sweep``: what it was asked for: its ``parameters``, empty while they are not known, the ``layer`` as it is called there, and the
      ``arithmetic`` it was computed with, empty while that is not known.

    The numbers are a partial result, then each of the three sets of images, the top ones first. A sweep that is still running shows what
    it has found so far.

    Attributes
    ----------
    model, images
        References.
    unit
        Address, ``layer:index``.
    """

    model: str
    images: str
    unit: str
    purpose: str = "inspector"
    lane: ClassVar[Lane] = "interactive"

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"Examples of {self.unit} in {self.images}"

    @property
    def key(self) -> str:
        """The newest of one purpose wins."""
        return f"unit examples {self.purpose}"

    def run(self, engine: Engine, task: Task) -> dict[str, Any] | None:
        """Read the unit's part of the sweep, then decode and crop the images."""
        engine.warm_up(task)
        model, images = engine.model(self.model, task=task), engine.images(self.images, task)
        unit = Unit.parse(self.unit)
        layer = model.layer_of(unit)
        found = engine.unit_examples(model, images, unit.layer, unit.index)
        if found is None:
            return None
        size = model.preprocessing.size
        field = engine.receptive_field(model, unit.layer)
        found["size"] = size
        task.step(0, 1, dict(found))  # the numbers are there at once
        indices = {end: found[f"{end}_index"][: WEAKEST if end == "bottom" else None] for end in ENDS}
        index = np.concatenate([indices[end].ravel() for end in ENDS])
        boxes = {end: receptive_boxes(found[f"{end}_position"][: len(indices[end])], layer.positions, field, size) for end in ENDS}
        starts = np.cumsum([0, *(indices[end].size for end in ENDS)])
        told: set[str] = set()
        for crops, there in cut_out(images, index, np.concatenate([boxes[end].reshape(-1, 4) for end in ENDS]), size):
            new: dict[str, Any] = {}
            for end, start, stop in zip(ENDS, starts, starts[1:], strict=False):
                if end not in told and there[start:stop].all():
                    told.add(end)
                    shape = indices[end].shape
                    new |= {
                        f"{end}_images": crops[start:stop].reshape(*shape, *crops.shape[1:]).copy(),
                        f"{end}_boxes": boxes[end],
                        f"{end}_names": tuple(images.ids[image] if image >= 0 else "" for image in index[start:stop]),
                    }
            found |= new
            task.step(int(there.sum()), len(index), new or None)
        return found


@dataclass(frozen=True)
class StrongestImages(Request):
    """The image that drives each of several units most -> mapping, or None when no sweep of their layer has begun.

    * ``images`` uint8 ``[unit, y, x, 3]``, cut out at the size of the receptive field; grey where there was none;
    * ``values`` float32 ``[unit]``; ``names``: the images' ids; ``n``: how many images were seen;
    * ``finished``, ``sweep``: as of `UnitExamples`.
    """

    model: str
    images: str
    layer: str
    units: tuple[int, ...]
    lane: ClassVar[Lane] = "interactive"

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"Strongest images of {len(self.units)} units of {self.layer}"

    @property
    def key(self) -> str:
        """The units looked at now win."""
        return "strongest images"

    def run(self, engine: Engine, task: Task) -> dict[str, Any] | None:
        """Read the units' part of the sweep, then decode and crop one image each."""
        engine.warm_up(task)
        model, images = engine.model(self.model, task=task), engine.images(self.images, task)
        layer = model.layer_of(Unit(self.layer, max(self.units)))
        found = [engine.unit_examples(model, images, self.layer, unit) for unit in self.units]
        known = [one for one in found if one is not None]
        if len(known) < len(found):
            return None
        size = model.preprocessing.size
        index = np.array([one["top_index"][0] for one in known])
        positions = np.array([one["top_position"][0] for one in known])
        boxes = receptive_boxes(positions, layer.positions, engine.receptive_field(model, self.layer), size)
        crops = np.empty(0, np.uint8)
        for so_far, there in cut_out(images, index, boxes, size):
            crops = so_far
            task.step(int(there.sum()), len(there))
        return {
            "images": crops,
            "values": np.array([one["top_values"][0] for one in known], np.float32),
            "names": tuple(images.ids[image] if image >= 0 else "" for image in index),
            "n": int(known[0]["max_histogram"].sum()),
            "finished": known[0]["finished"],
            "sweep": known[0]["sweep"],
        }


@dataclass(frozen=True)
class PreActivation(Request):
    """The unit whose value the non-linearity of a unit reads, and what a sweep found of it -> mapping, or None where there is none.

    * ``unit``: its address, ``layer:index``;
    * ``found``: all arrays of `DatasetExamples` for it, ``finished`` and ``sweep`` as of `UnitExamples`; None without a sweep.
    """

    model: str
    images: str
    unit: str
    lane: ClassVar[Lane] = "interactive"

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"Pre-activation of {self.unit} in {self.images}"

    @property
    def key(self) -> str:
        """The unit looked at now wins."""
        return "pre-activation"

    def run(self, engine: Engine, task: Task) -> dict[str, Any] | None:
        """Go back to it in the graph, then read its part of the sweep."""
        engine.warm_up(task)
        from workbench.models.affine import before_activation

        model, images = engine.model(self.model, task=task), engine.images(self.images, task)
        unit = Unit.parse(self.unit)
        unit = Unit(model.layer_of(unit).name, unit.index)
        before = before_activation(model.graph, unit)
        if before == unit or model.layer_of(before).role != "pre":
            return None
        return {"unit": str(before), "found": engine.unit_examples(model, images, before.layer, before.index)}


@dataclass(frozen=True)
class LayerStatistics(Request):
    """Numbers to compare the units of a layer by -> mapping of name to ``[unit]``, or None when no sweep of it has finished.

    The names are those of `DatasetExamples`: ``mean``, ``max``, ``min``, ``std``, ``sparsity``, ``active_images``, ``treves_rolls``.
    ``seen`` is the number of images they were taken from.
    """

    model: str
    images: str
    layer: str
    lane: ClassVar[Lane] = "interactive"

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"Statistics of {self.layer} in {self.images}"

    @property
    def key(self) -> str:
        """The layer looked at now wins."""
        return "layer statistics"

    def run(self, engine: Engine, task: Task) -> dict[str, Any] | None:
        """Read them from the sweep."""
        engine.warm_up(task)
        model, images = engine.model(self.model, task=task), engine.images(self.images, task)
        return engine.layer_statistics(model, images, self.layer)


def cut_out(
    images: ImageSet, index: npt.NDArray[np.integer[Any]], boxes: npt.NDArray[np.int32], size: tuple[int, int]
) -> Iterator[tuple[Pixels, npt.NDArray[np.bool_]]]:
    """Cut out the part of each image that lies in its box; grey where there is no image (a negative index) or it cannot be read.

    Yields the parts (``n y x 3``) as far as they go, and which are there, every few images; in the end all are.

    Parameters
    ----------
    index, boxes
        ``n``, and ``n 4``: top, left, bottom, right in pixels, all of one size.
    size
        Height and width that images are read at.
    """
    field = boxes[0, 2:] - boxes[0, :2]
    crops, there = np.full((len(index), *field, 3), GREY, np.uint8), index < 0
    places: dict[int, list[int]] = {}
    for place in np.flatnonzero(~there).tolist():
        places.setdefault(int(index[place]), []).append(place)
    order = list(places)
    for batch in images.batches(size, READ, order):
        for image, pixels in zip(batch.indices.tolist(), batch.images, strict=True):
            for place in places[image]:
                top, left, bottom, right = boxes[place]
                crops[place] = pixels[top:bottom, left:right]
        at = order.index(int(batch.indices[-1]))
        there[[place for image in order[: at + 1] for place in places[image]]] = True
        yield crops, there
    yield crops, np.ones_like(there)


def receptive_boxes(
    positions: npt.NDArray[np.integer[Any]], grid: tuple[int, ...], field: tuple[int, int], size: tuple[int, int]
) -> npt.NDArray[np.int32]:
    """Return what lies before each position: top, left, bottom, right in pixels, all of the size `field` and inside the image.

    Parameters
    ----------
    positions
        ``... 2``, row and column in the layer's grid.
    grid
        Height and width of the layer; anything else than two numbers has no place in the image, and sees all of it.
    field, size
        Height and width in pixels of the receptive field and of the image.
    """
    rows = grid if len(grid) == 2 else (1, 1)
    place = positions if len(grid) == 2 else np.zeros_like(positions)
    centre = (place + 0.5) * (np.array(size) / rows)
    start = np.clip(np.rint(centre - np.array(field) / 2), 0, np.array(size) - field).astype(np.int32)
    return np.concatenate([start, start + np.array(field, np.int32)], -1)
