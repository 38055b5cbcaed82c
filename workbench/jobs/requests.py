"""Everything the window can ask of the worker. Each request is a frozen dataclass with plain fields; what it returns is plain as well.

This module is imported by the window before the first network is open, so it imports nothing heavy; `run` does, in the worker thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from workbench.input_error import InputError
from workbench.jobs import first_look
from workbench.jobs.collector import collector_at_rest
from workbench.jobs.job import Lane, Request
from workbench.jobs.machine import SWEEP_BATCH
from workbench.jobs.runs import RunCard, find_runs, read_run
from workbench.models.layer import Layer, Unit
from workbench.models.loading import SourceEntry, entries
from workbench.task import Part, Task

if TYPE_CHECKING:
    from workbench.analyses.analysis import Result
    from workbench.jobs.engine import Engine
    from workbench.models.traced_model import TracedModel

Pixels = npt.NDArray[np.uint8]
Level = Literal["coarse", "fine"]

# Opening


IMPORTING = 0.75
"""Precedence of what has to import all libraries first: to open a bundled network none of them is needed."""


@dataclass(frozen=True)
class ListSources(Request):
    """List the networks that can be opened -> tuple of `SourceEntry`; `pattern` is a wildcard such as ``timm:convnext*``."""

    pattern: str = "*"
    lane: ClassVar[Lane] = "interactive"
    precedence: ClassVar[float] = IMPORTING

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return "List networks" if self.pattern == "*" else f"List networks {self.pattern}"

    @property
    def key(self) -> str:
        """The newest filter wins."""
        return "list sources"

    def run(self, engine: Engine, task: Task) -> tuple[SourceEntry, ...]:
        """Ask every source."""
        engine.warm_up()
        return tuple(entries(self.pattern))


@dataclass(frozen=True)
class ModelCard:
    """What is known of an open network.

    Attributes
    ----------
    parameters
        Number of parameters.
    size
        Height and width of its input in pixels.
    mean, std
        Per channel, in the range [0, 1].
    weight_hash
        SHA-256 of the weights.
    layers
        In the order in which they are computed.
    warnings
        What one must know before believing a number, such as random weights.
    held
        What it reads beside the image and nobody can choose, by name: the value of a number, else the shape of one example.
    further
        What it reads beside the image by choice, by option of the reference: what is chosen now, and a few words of help.
    draws
        Whether it is a diffusion network that `Generation` can draw with.
    prompts
        What prompts it was trained with, in a few words; empty where that is not known.
    """

    ref: str
    name: str
    architecture: str
    parameters: int
    size: tuple[int, int]
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    origin: str
    licence: str
    weight_hash: str
    labels: tuple[str, ...]
    layers: tuple[Layer, ...]
    warnings: tuple[str, ...]
    held: Mapping[str, str] = field(default_factory=dict)
    further: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    draws: bool = False
    prompts: str = ""


@dataclass(frozen=True)
class LoadModel(Request):
    """Open a network -> `ModelCard`. One that may come from the user's files is read again, since they may have changed.

    `allow_code` says that the user agreed to run the code behind a ``python:`` reference; the worker remembers it for the session.
    """

    ref: str
    allow_code: bool = False
    rank: ClassVar[int] = 0

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"Open {self.ref}"

    @property
    def key(self) -> str:
        """The network chosen last wins."""
        return "load model"

    def run(self, engine: Engine, task: Task) -> ModelCard:
        """Load, capture, and describe it; of a bundled network the description is there at once."""
        if not self.ref.startswith(("bundled:", "timm:", "torchvision:")):  # may be on this machine
            engine.forget(self.ref)
        look = first_look.first_looks().get(self.ref)
        if look is not None:
            return look.card()  # the network itself is loaded with the first thing that is asked of it
        task.step(0, 0, note="importing torch")
        return describe(engine.model(self.ref, allow_code=self.allow_code, task=task))


def describe(model: TracedModel) -> ModelCard:
    """Return the card of an open network."""
    preprocessing = model.preprocessing
    return ModelCard(
        ref=model.ref,
        name=model.name,
        architecture=model.architecture,
        parameters=model.parameter_count,
        size=preprocessing.size,
        channels=preprocessing.channels,
        mean=preprocessing.mean,
        std=preprocessing.std,
        origin=model.origin,
        licence=model.licence,
        weight_hash=model.weight_hash,
        labels=model.labels,
        layers=tuple(model.layers.values()),
        warnings=model.warnings,
        held={
            name: f"{value.item():g}" if value.numel() == 1 else " × ".join(map(str, value.shape[1:]))
            for name, value in model.held.items()
            if name not in {given.name for given in model.further.values()}
        },
        further={option: (given.value, given.help) for option, given in model.further.items()},
        draws=model.sampling is not None,
        prompts=model.sampling.about if model.sampling is not None else "",
    )


@dataclass(frozen=True)
class ImageSetCard:
    """What is known of an open image set; `columns` gives the number of distinct values of each column, `depicts` what it shows."""

    ref: str
    name: str
    length: int
    columns: dict[str, int]
    licence: str
    content_hash: str
    depicts: str = ""


@dataclass(frozen=True)
class OpenImages(Request):
    """Open an image set -> `ImageSetCard`. A folder is listed again, since files may have been added."""

    ref: str
    rank: ClassVar[int] = 0

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"Open the images {self.ref}"

    @property
    def key(self) -> str:
        """The set chosen last wins."""
        return "open images"

    def run(self, engine: Engine, task: Task) -> ImageSetCard:
        """Open and describe it."""
        if self.ref.startswith(("folder:", "files:")):
            engine.forget(self.ref)
        images = engine.images(self.ref, task)
        columns = {name: len(set(values)) for name, values in images.columns.items()}
        return ImageSetCard(images.ref, images.name, len(images), columns, images.licence, images.content_hash, images.depicts)


@dataclass(frozen=True)
class FetchImages(Request):
    """Read images of a set -> uint8 ``[n, y, x, 3]`` in the order of `indices`; a broken image is left black."""

    images: str
    indices: tuple[int, ...]
    size: tuple[int, int]
    purpose: str = "fetch images"
    lane: ClassVar[Lane] = "interactive"

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"Read {len(self.indices)} images of {self.images}"

    @property
    def key(self) -> str:
        """The newest of one purpose wins: a panel that shows images of its own names a purpose of its own."""
        return self.purpose

    def run(self, engine: Engine, task: Task) -> np.ndarray:
        """Decode them."""
        images = engine.images(self.images, task)
        found = np.zeros((len(self.indices), *self.size, 3), np.uint8)
        places: dict[int, list[int]] = {}
        for place, index in enumerate(self.indices):
            places.setdefault(index, []).append(place)
        read = 0
        for batch in images.batches(self.size, 16, list(places)):
            for index, image in zip(batch.indices.tolist(), batch.images, strict=True):
                found[places[index]] = image
            read += len(batch.indices)
            task.step(read, len(places))
        return found


@dataclass(frozen=True)
class ReadImage(Request):
    """Read one image of the user's -> uint8 ``[y, x, 3]``, upright, on white, at most `LONGEST` pixels on its longer side.

    Attributes
    ----------
    name
        What it is called, in messages too.
    source
        A file, the content of one, or pixels that were never in a file: uint8 ``[y, x, 4]``, RGBA.
    """

    name: str
    source: Path | bytes | Pixels = field(compare=False, repr=False)
    lane: ClassVar[Lane] = "interactive"

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"Read {self.name}"

    @property
    def key(self) -> str:
        """The image brought in last wins."""
        return "read image"

    def run(self, engine: Engine, task: Task) -> Pixels:
        """Decode and reduce it."""
        from PIL import Image

        from workbench.images.image_file import read_image
        from workbench.images.image_set import UnreadableImageError

        source: Path | BytesIO | Image.Image
        if isinstance(self.source, Path):
            source = self.source
        else:
            source = BytesIO(self.source) if isinstance(self.source, bytes) else Image.fromarray(self.source)
        try:
            return read_image(source, longest=LONGEST)
        except UnreadableImageError as error:
            raise UnreadableImageError(f"{self.name} {error}") from error


# Analysing


@dataclass(frozen=True)
class AnalysisCard:
    """One kind of analysis: its class name, what menus call it, its docstring, its parameters as a JSON schema."""

    name: str
    title: str
    help: str
    schema: dict[str, Any]
    needs_images: bool


@dataclass(frozen=True)
class DescribeAnalyses(Request):
    """Describe all analyses -> tuple of `AnalysisCard`."""

    lane: ClassVar[Lane] = "interactive"
    precedence: ClassVar[float] = IMPORTING

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return "List analyses"

    @property
    def key(self) -> str:
        """Asked again, the answer is the same."""
        return "describe analyses"

    def run(self, engine: Engine, task: Task) -> tuple[AnalysisCard, ...]:
        """Import and describe them."""
        import inspect

        from workbench.analyses.analysis import discover

        engine.warm_up()
        return tuple(
            AnalysisCard(name, kind.title, inspect.getdoc(kind) or "", kind.model_json_schema(), kind.needs_images)
            for name, kind in discover().items()
        )


@dataclass(frozen=True)
class RunAnalysis(Request):
    """Run an analysis -> its `Result`, from the store when it was computed before.

    `parameters` are plain values by name; `model` and `images` are references.
    """

    analysis: str
    parameters: Mapping[str, Any]
    model: str
    images: str | None = None

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"{self.analysis} of {self.model}"

    def run(self, engine: Engine, task: Task) -> Result:
        """Check the parameters, then compute."""
        from workbench.jobs.engine import configured

        return engine.run(configured(self.analysis, self.parameters), self.model, self.images, task)


@dataclass(frozen=True)
class Sweep(Request):
    """Show all images to a network and keep what each unit of some layers responds to -> `Result` of `DatasetExamples`.

    A sweep that was cancelled or killed goes on where it stopped when it is asked for again.
    """

    model: str
    images: str
    layers: tuple[str, ...]

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        what = self.layers[0] if len(self.layers) == 1 else f"{len(self.layers)} layers"
        return f"Dataset examples of {what}, {self.images}"

    def run(self, engine: Engine, task: Task) -> Result:
        """Run or resume it."""
        parameters = {"layers": list(self.layers), "batch": SWEEP_BATCH}
        return RunAnalysis("DatasetExamples", parameters, self.model, self.images).run(engine, task)


# Looking at units


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
    """

    model: str
    layer: str
    units: tuple[int, ...]
    level: Level = "coarse"
    negative: bool = False
    seeds: int = 1
    purpose: str = "grid"
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
        """What is there at once, then coarse before fine and inside it, what the inspector asks for before what the grid does."""
        if self._comes_with_network:
            return -2  # before answers to gestures, and inside them while they wait for the network
        return self.rank + 0.5 * (self.level == "fine") + 0.25 * (self.purpose == "grid")

    def run(self, engine: Engine, task: Task) -> dict[int, Pixels]:
        """Read what comes with a bundled network, or what the store has, then render the rest, `BATCH` units at a time."""
        shipped = self._shipped()
        if shipped is not None:
            return shipped
        engine.warm_up()
        from workbench.analyses.feature_visualization import COARSE, FINE, FeatureVisualization

        model = engine.model(self.model, task=task)
        parameters = COARSE if self.level == "coarse" else FINE

        def analysis(units: tuple[int, ...]) -> FeatureVisualization:
            return FeatureVisualization(
                layer=self.layer, units=units, negative=self.negative, seeds=self.seeds, **parameters
            )

        total = len(self.units)
        keys = {unit: analysis((unit,)).key(model) for unit in self.units}
        finished: dict[int, Pixels] = {}
        for unit, key in keys.items():
            kept = engine.store.load_thumbnail(key, self.seeds)
            if kept is not None:
                finished[unit] = kept
                task.step(len(finished), total, {unit: kept})
        missing = [unit for unit in keys if unit not in finished]
        for start in range(0, len(missing), BATCH):
            batch = tuple(missing[start : start + BATCH])
            images = analysis(batch).run(model, task=Part(task, len(finished), len(batch), total)).arrays["images"]
            new = dict(zip(batch, to_pixels(images), strict=True))
            for unit, pixels in new.items():
                engine.store.save_thumbnail(keys[unit], pixels)
            finished |= new
            task.step(len(finished), total, new)
        return finished


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
class UnitExamples(Request):
    """What a sweep found of one unit -> mapping, or None when no sweep of this layer has begun.

    The mapping has all arrays of `DatasetExamples` for this unit by their names (``top_values`` ``[k]``, ``sample_values``
    ``[range, samples]``, ``histogram``, ``mean`` …), and

    * ``top_images`` uint8 ``[k, y, x, 3]``, ``bottom_images``, ``sample_images`` ``[range, samples, y, x, 3]``: what the unit saw where its
      activation was largest, cut out of the image at the size of the receptive field; grey where there was no image;
    * ``top_boxes`` int32 ``[k, 4]``, ``bottom_boxes``, ``sample_boxes``: top, left, bottom, right of that in pixels of ``size``;
    * ``top_names``, ``bottom_names``, ``sample_names``: tuples of the images' ids in the order of the flattened index;
    * ``size``: height and width of the image the network read;
    * ``finished``: whether the sweep has seen all images; those it could not read count as seen;
    * ``sweep``: what it was asked for: its ``parameters``, empty while they are not known, and the ``layer`` as it is called there.

    Each of the three sets of images is a partial result as well, the top ones first. A sweep that is still running shows what it has
    found so far.

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
        total = sum(int((found[f"{end}_index"] >= 0).sum()) for end in ENDS)
        read = 0
        for end in ENDS:
            index = found[f"{end}_index"]
            boxes = receptive_boxes(found[f"{end}_position"], layer.positions, field, size)
            crops = np.full((index.size, *field, 3), GREY, np.uint8)
            places: dict[int, list[int]] = {}
            for place, image in enumerate(index.flat):
                if image >= 0:
                    places.setdefault(int(image), []).append(place)
            for batch in images.batches(size, 16, list(places)):
                for image, pixels in zip(batch.indices.tolist(), batch.images, strict=True):
                    for place in places[image]:
                        top, left, bottom, right = boxes.reshape(-1, 4)[place]
                        crops[place] = pixels[top:bottom, left:right]
                        read += 1
                task.step(read, total)
            names = tuple(images.ids[image] if image >= 0 else "" for image in index.flat)
            new = {
                f"{end}_images": crops.reshape(*index.shape, *field, 3),
                f"{end}_boxes": boxes,
                f"{end}_names": names,
            }
            found |= new
            task.step(read, total, {**new, f"{end}_values": found[f"{end}_values"], "size": size})
        return found


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

    * ``input`` uint8 ``[y, x, 3]``: what the network was shown, the image scaled and cropped as the network wants it;
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
        Top, left, bottom, right in fractions of its height and width; None for all of it.
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


# Training


@dataclass(frozen=True)
class RecipeCard:
    """A training recipe: its name, what menus call its kind, the kind's docstring, its parameters as a JSON schema.

    The schema's defaults are those of this recipe, so a named one needs nothing more.
    """

    name: str
    title: str
    help: str
    schema: dict[str, Any]


@dataclass(frozen=True)
class DescribeRecipes(Request):
    """Describe all training recipes -> tuple of `RecipeCard`: the named ones first, then the kinds."""

    lane: ClassVar[Lane] = "interactive"

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return "List training recipes"

    @property
    def key(self) -> str:
        """Asked again, the answer is the same."""
        return "describe recipes"

    def run(self, engine: Engine, task: Task) -> tuple[RecipeCard, ...]:
        """Import and describe them."""
        import inspect

        engine.warm_up()
        with collector_at_rest():
            from workbench.training.recipe import discover, schema_of

            known = discover()
        return tuple(
            RecipeCard(name, kind.title, inspect.getdoc(kind) or "", schema_of(name)) for name, (kind, _) in known.items()
        )


@dataclass(frozen=True)
class ListRuns(Request):
    """List the training runs in a folder -> tuple of `RunCard`, the one written last first."""

    folder: Path
    lane: ClassVar[Lane] = "interactive"

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"List the runs in {self.folder}"

    @property
    def key(self) -> str:
        """The folder looked at now wins."""
        return "list runs"

    def run(self, engine: Engine, task: Task) -> tuple[RunCard, ...]:
        """Read them."""
        return find_runs(self.folder)


@dataclass(frozen=True)
class Train(Request):
    """Train a network, or go on with the run in `folder` -> `RunCard`. Everything else runs inside its steps.

    Partial results are `workbench.training.trainer.Progress`. When it is cancelled its state is kept in the folder, and the same
    request goes on from there; when it is cancelled before the first update was begun, nothing is.

    Attributes
    ----------
    recipe, settings
        Name of a recipe, and the parameters that differ from it, plain values by name.
    device, precision
        As of `workbench.training.trainer.train`.
    """

    recipe: str
    settings: Mapping[str, Any]
    folder: Path
    device: str = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    rank: ClassVar[int] = 3

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"Train {self.recipe} in {self.folder.name}"

    @property
    def key(self) -> str:
        """Two runs of one folder would write over one another."""
        return f"train {self.folder.absolute()}"

    def run(self, engine: Engine, task: Task) -> RunCard:
        """Run or resume it."""
        engine.warm_up()
        with collector_at_rest():
            from workbench.training.recipe import recipe
            from workbench.training.trainer import train

            chosen = recipe(self.recipe, self.settings)
        train(chosen, self.folder, task, device=self.device, precision=self.precision)
        return read_run(self.folder)


BATCH = 8
"""Units rendered together."""
ENDS = ("top", "sample", "bottom")
"""Which examples of a unit there are, the ones looked at first before the others."""
GREY = 128
LONGEST = 2048
"""Pixels on the longer side that an image of the user's is reduced to; networks see far fewer."""


def skipped_images(summary: Mapping[str, Any]) -> str:
    """Say in one line which images of a set an analysis had to leave out; empty for none.

    Parameters
    ----------
    summary
        Of a result: how many were ``skipped``, and ``id`` and ``reason`` of the first ``unreadable`` ones.
    """
    from workbench.images.image_set import UnreadableImage, say_skipped

    skipped = summary.get("skipped", 0)
    return say_skipped(skipped, [UnreadableImage(**image) for image in summary["unreadable"]]) if skipped else ""


def layer_of(model: TracedModel, unit: Unit) -> Layer:
    """Return a unit's layer; ValueError when there is no such layer or unit."""
    layer = model.layer(unit.layer)
    if not 0 <= unit.index < layer.units:
        raise InputError(f"{unit} does not exist; {unit.layer} has units 0 to {layer.units - 1}")
    return layer


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
