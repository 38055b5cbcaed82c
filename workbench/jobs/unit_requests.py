"""What the window asks about units: what they look like, what drives them, what they do on an image and what they are made of there.

As in `requests`, nothing heavy is imported before `run`, in the worker thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from workbench.input_error import InputError
from workbench.jobs import first_look
from workbench.jobs.job import Lane, Request
from workbench.models.layer import Layer, Unit
from workbench.task import Part, Task

if TYPE_CHECKING:
    from workbench.analyses.analysis import Result
    from workbench.analyses.feature_visualization import FeatureVisualization
    from workbench.images.image_set import ImageSet
    from workbench.jobs.engine import Engine
    from workbench.models.traced_model import TracedModel

Pixels = npt.NDArray[np.uint8]
Level = Literal["coarse", "fine"]

BESIDE_NUMBERS = ("weights", "circuit", "motifs", "families")
"""First words of the purposes whose pictures name the rows of what an analysis found."""
BATCH: dict[Level, int] = {"coarse": 8, "fine": 2}
"""Units rendered together: as many as let one step take no longer than a click may wait for its end."""
ENDS = ("top", "sample", "bottom")
"""Which examples of a unit there are, the ones looked at first before the others."""
GREY = 128
WEAKEST = 8
"""Of the images that drive a unit least, how many are shown."""
READ = 8
"""Images read together; each thread decodes so many at a time."""


@dataclass(frozen=True)
class Thumbnails(Request):
    """Visualize units -> ``{unit: uint8 [seed, y, x, 3]}``, those in the store first, the others in the order given.

    Partial results have the units finished since the last one. A new request of the same level (and sign) supersedes the old one, so
    give what is on the screen, and give it again when something else is.

    Attributes
    ----------
    model
        Reference.
    level
        ``coarse`` tells units apart and takes a moment, ``fine`` is a picture to look at.
    negative
        What the units are most inhibited by.
    seeds
        Images per unit, from different noise.
    purpose
        Only requests of the same purpose supersede one another: the grid has one, the inspector another.
    diversity
        How much the images of one unit are to differ from one another.
    """

    model: str
    layer: str
    units: tuple[int, ...]
    level: Level = "coarse"
    negative: bool = False
    seeds: int = 1
    purpose: str = "grid"
    diversity: float = 0.0
    rank: ClassVar[int] = 1

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        count = f"unit {self.units[0]}" if len(self.units) == 1 else f"{len(self.units)} units"
        return f"Visualize {count} of {self.layer} ({self.level})"

    @property
    def key(self) -> str:
        """The range that is on the screen now wins."""
        return f"thumbnails {self.purpose} {self.level} {'negative' if self.negative else 'positive'}"

    @property
    def precedence(self) -> float:
        """What is there at once, then coarse before fine and inside it, what the inspector asks for before what the grid does.

        Fine ones that stand beside numbers come after analyses: those are what one looks for there, and the coarse ones tell units apart.
        """
        if self._comes_with_network:
            return -2  # before answers to gestures, and inside them while they wait for the network
        fine = self.level == "fine"
        if fine and self.purpose.partition(" ")[0] in BESIDE_NUMBERS:
            return Request.rank + 0.5
        waits = {"grid": 0.25, "inspector family": 0.1}.get(self.purpose, 0.0)
        return self.rank + 0.5 * fine + waits

    def run(self, engine: Engine, task: Task) -> dict[int, Pixels]:
        """Read what comes with a bundled network, or what the store has, then render the rest, `BATCH` units at a time."""
        shipped = self._shipped()
        if shipped is not None:
            return shipped
        engine.warm_up()
        model = engine.model(self.model, task=task)
        total = len(self.units)
        keys = {unit: self.analysis((unit,)).key(model) for unit in self.units}
        finished: dict[int, Pixels] = {}
        for unit, key in keys.items():
            kept = engine.store.load_thumbnail(key, self.seeds)
            if kept is not None:
                finished[unit] = kept
                task.step(len(finished), total, {unit: kept})
        missing = [unit for unit in keys if unit not in finished]
        for start in range(0, len(missing), BATCH[self.level]):
            batch = tuple(missing[start : start + BATCH[self.level]])
            known = {unit: kept for unit in batch if (kept := engine.store.load_thumbnail(keys[unit], self.seeds)) is not None}
            if len(known) == len(batch):  # rendered meanwhile, for another panel
                finished |= known
                task.step(len(finished), total, known)
                continue
            images = self.analysis(batch).run(model, task=Part(task, len(finished), len(batch), total)).arrays["images"]
            new = dict(zip(batch, to_pixels(images), strict=True))
            for unit, pixels in new.items():
                engine.store.save_thumbnail(keys[unit], pixels)
            finished |= new
            task.step(len(finished), total, new)
        return finished


    def analysis(self, units: tuple[int, ...]) -> FeatureVisualization:
        """Return what renders some of the units."""
        from workbench.analyses.feature_visualization import COARSE, FINE, FeatureVisualization

        parameters = COARSE if self.level == "coarse" else FINE
        return FeatureVisualization(
            layer=self.layer, units=units, negative=self.negative, seeds=self.seeds, diversity=self.diversity, **parameters
        )

    @property
    def _comes_with_network(self) -> bool:
        """Whether such images of this layer come with the network."""
        look = first_look.first_looks().get(self.model)
        plain = self.level == "coarse" and self.seeds == 1 and not self.negative
        return plain and look is not None and look.has(self.layer)

    def _shipped(self) -> dict[int, Pixels] | None:
        """Return the images that come with a bundled network, when they are all that is asked for."""
        if not self._comes_with_network:
            return None
        images = first_look.first_looks()[self.model].thumbnails(self.layer)
        if images is None or not all(0 <= unit < len(images) for unit in self.units):
            return None
        return {unit: images[unit, None] for unit in self.units}


@dataclass(frozen=True)
class KeptThumbnails(Request):
    """Visualizations of a unit that were rendered before -> ``{(negative, level): uint8 [seed, y, x, 3]}``; nothing is rendered.

    Attributes
    ----------
    seeds, diversity, purpose
        As of `Thumbnails`.
    """

    model: str
    layer: str
    unit: int
    seeds: int = 1
    diversity: float = 0.0
    purpose: str = "inspector"
    lane: ClassVar[Lane] = "interactive"
    precedence: ClassVar[float] = -1.5  # takes a moment: also inside what takes longer to answer

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"Look up visualizations of {self.layer}:{self.unit}"

    @property
    def key(self) -> str:
        """The unit looked at now wins."""
        return f"kept thumbnails {self.purpose}"

    def run(self, engine: Engine, task: Task) -> dict[tuple[bool, Level], Pixels]:
        """Read them from the store."""
        if not engine.has_model(self.model):
            return {}  # not to load a network before what the window waits for
        model = engine.model(self.model)
        found: dict[tuple[bool, Level], Pixels] = {}
        levels: tuple[Level, ...] = ("coarse", "fine")
        for negative in (False, True):
            for level in levels:
                asked = Thumbnails(self.model, self.layer, (self.unit,), level, negative, self.seeds, diversity=self.diversity)
                kept = engine.store.load_thumbnail(asked.analysis((self.unit,)).key(model), self.seeds)
                if kept is not None:
                    found[negative, level] = kept
        return found


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
        engine.warm_up()
        model, images = engine.model(self.model, task=task), engine.images(self.images, task)
        unit = Unit.parse(self.unit)
        layer = layer_of(model, unit)
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
        engine.warm_up()
        from workbench.models.affine import before_activation

        model, images = engine.model(self.model, task=task), engine.images(self.images, task)
        unit = Unit.parse(self.unit)
        unit = Unit(layer_of(model, unit).name, unit.index)
        before = before_activation(model.graph, unit)
        if before == unit or layer_of(model, before).role != "pre":
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
        engine.warm_up()
        model, images = engine.model(self.model, task=task), engine.images(self.images, task)
        return engine.layer_statistics(model, images, self.layer)


@dataclass(frozen=True)
class UnitOnImage(Request):
    """What one unit does on one image -> mapping, see below.

    * ``input`` uint8 ``[y, x, 3]``: what the network was shown: the image scaled and cut to its input's size, as images of a set are;
    * ``map`` float32: the unit's activation at every position, ``[y, x]``, ``[token]`` or ``[]``;
    * ``value``: the largest of it;
    * ``top_classes``: up to five pairs of label and probability, the likeliest first; empty when the network does not classify;
    * ``percentile``: the part of the images that a sweep has seen on which the unit's largest activation is smaller, in
      [0, 1]; None when `images` is None or no sweep holds this layer; and ``n``, how many images that are.
    """

    model: str
    layer: str
    unit: int
    image: Pixels = field(compare=False)
    images: str | None = None
    purpose: str = "inspector"
    lane: ClassVar[Lane] = "interactive"

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"{self.layer}:{self.unit} on an image"

    @property
    def key(self) -> str:
        """The newest of one purpose wins."""
        return f"unit on image {self.purpose}"

    def run(self, engine: Engine, task: Task) -> dict[str, Any]:
        """Run the network once, read the layer and the output."""
        from workbench.analyses.activation_maps import ActivationMaps
        from workbench.images.array_set import ArraySet

        model = engine.model(self.model, task=task)
        layer_of(model, Unit(self.layer, self.unit))
        found = ActivationMaps(layer=self.layer, units=(self.unit,)).run(model, ArraySet(np.array(self.image)), task)
        value = found.summary["units"][0]["value"]
        share, seen_by_sweep = self._percentile(engine, model, value)
        return {
            "input": found.arrays["input"],
            "map": found.arrays["maps"][0],
            "value": value,
            "top_classes": tuple((name, probability) for name, probability in found.summary["classes"]),
            "percentile": share,
            "n": seen_by_sweep,
        }

    def _percentile(self, engine: Engine, model: TracedModel, value: float) -> tuple[float | None, int]:
        if self.images is None:
            return None, 0
        from workbench.analyses.dataset_examples import percentile

        found = engine.unit_examples(model, engine.images(self.images), self.layer, self.unit)
        return (None, 0) if found is None else (percentile(found, value), int(found["max_histogram"].sum()))


@dataclass(frozen=True)
class MapsOnImage(Request):
    """What several units of a layer do on one image -> `Result` of `ActivationMaps`.

    Attributes
    ----------
    image
        uint8 ``y x 3``, of any size.
    """

    model: str
    layer: str
    units: tuple[int, ...]
    image: Pixels = field(compare=False, repr=False)
    lane: ClassVar[Lane] = "interactive"

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"{len(self.units)} units of {self.layer} on an image"

    @property
    def key(self) -> str:
        """The units and the image looked at now win."""
        return "maps on image"

    def run(self, engine: Engine, task: Task) -> Result:
        """Run the network once."""
        engine.warm_up()
        from workbench.analyses.activation_maps import ActivationMaps
        from workbench.images.array_set import ArraySet

        model = engine.model(self.model, task=task)
        return ActivationMaps(layer=self.layer, units=self.units).run(model, ArraySet(np.array(self.image)), task)


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
        engine.warm_up()
        model, images = engine.model(self.model, task=task), engine.images(self.images, task)
        layer = layer_of(model, Unit(self.layer, max(self.units)))
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
class UnitsOnImage(Request):
    """Which units of a layer one image drives more than the images of a set do -> `Result` of `UnitsOfImage`.

    What the layer does on the set is read once, a pass over it, and kept; from then on this takes a moment, except for a region that is
    compared with the same region of each image.

    Attributes
    ----------
    model, images
        References.
    image
        uint8 ``y x 3``, of any size.
    region
        Top, left, bottom, right in fractions of what the network is shown of it (see `UnitOnImage`); None for all of it.
    parameters
        Further ones of `UnitsOfImage`, by name.
    """

    model: str
    layer: str
    image: Pixels = field(compare=False, repr=False)
    images: str
    region: tuple[float, float, float, float] | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    rank: ClassVar[int] = 1

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"Units of {self.layer} on an image"

    @property
    def key(self) -> str:
        """The image looked at now wins."""
        return "units on image"

    def run(self, engine: Engine, task: Task) -> Result:
        """Run it, from the store when it was computed before."""
        from workbench.analyses.units_of_image import UnitsOfImage
        from workbench.jobs.engine import configured

        engine.warm_up()
        analysis = configured("UnitsOfImage", {"layer": self.layer, "region": self.region, **self.parameters})
        assert isinstance(analysis, UnitsOfImage)
        return engine.run(analysis.of(self.image), self.model, self.images, task)


@dataclass(frozen=True)
class ContributionsOnImage(Request):
    """Write the unit's pre-activation on an image as a sum over the units before it -> `Result` of `Contributions`.

    Attributes
    ----------
    image
        uint8 ``y x 3``, of any size.
    position
        Row and column, or token; empty for where the unit is most active.
    """

    model: str
    layer: str
    unit: int
    image: npt.NDArray[np.uint8] = field(compare=False)
    position: tuple[int, ...] = ()
    lane: ClassVar[Lane] = "interactive"

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"What {self.layer}:{self.unit} is made of on an image"

    @property
    def key(self) -> str:
        """The unit and position looked at now win."""
        return "contributions on image"

    def run(self, engine: Engine, task: Task) -> Result:
        """Run the analysis on that one image."""
        engine.warm_up()
        from workbench.analyses.contributions import Contributions
        from workbench.images.array_set import ArraySet

        model = engine.model(self.model, task=task)
        analysis = Contributions(layer=self.layer, unit=self.unit, position=self.position, maps=0)
        return analysis.run(model, ArraySet(np.array(self.image)), task)


def layer_of(model: TracedModel, unit: Unit) -> Layer:
    """Return a unit's layer; ValueError when there is no such layer or unit."""
    layer = model.layer(unit.layer)
    if not 0 <= unit.index < layer.units:
        raise InputError(f"{unit} does not exist; {unit.layer} has units 0 to {layer.units - 1}")
    return layer


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


def to_pixels(images: npt.NDArray[np.float32]) -> Pixels:
    """Turn images in [0, 1] into uint8."""
    return np.rint(images * 255).clip(0, 255).astype(np.uint8)


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
