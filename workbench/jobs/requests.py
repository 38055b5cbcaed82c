"""What the window asks of the worker about networks, images and analyses.

Each request is a frozen dataclass with plain fields; what it returns is plain as well.

This module is imported by the window before the first network is open, so it imports nothing heavy; `run` does, in the worker thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from workbench.images.image_set import Pixels
from workbench.jobs import first_look
from workbench.jobs.job import Lane, Request
from workbench.jobs.machine import SWEEP_BATCH
from workbench.models.layer import Layer
from workbench.models.loading import SourceEntry, entries
from workbench.task import Task

if TYPE_CHECKING:
    from workbench.analyses.analysis import Result
    from workbench.jobs.engine import Engine
    from workbench.models.traced_model import TracedModel


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
        engine.warm_up(task)
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
    guidance
        How far it follows a prompt unless told otherwise; 0 where it does not draw.
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
    guidance: float = 0.0


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

    @property
    def precedence(self) -> float:
        """The description of a bundled network is shown also while others wait for libraries."""
        return first_look.AT_ONCE if self.ref in first_look.first_looks() else self.rank

    def run(self, engine: Engine, task: Task) -> ModelCard:
        """Load, capture, and describe it; of a bundled network the description is there at once."""
        if not self.ref.startswith(("bundled:", "timm:", "torchvision:")):  # may be on this machine
            engine.forget(self.ref)
        look = first_look.first_looks().get(self.ref)
        if look is not None:
            return look.card()  # the network itself is loaded with the first thing that is asked of it
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
        guidance=model.sampling.guidance if model.sampling is not None else 0.0,
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
        engine.warm_up(task)
        import inspect

        from workbench.analyses.analysis import discover

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
        engine.warm_up(task)
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
