"""Everything the window can ask of the worker. Each request is a frozen dataclass with plain fields; what it returns is plain as well.

This module is imported by the window before the first network is open, so it imports nothing heavy; `run` does, in the worker thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from workbench.jobs.job import Lane, Request
from workbench.models.layer import Layer
from workbench.task import Task

if TYPE_CHECKING:
    from workbench.analyses.analysis import Result
    from workbench.jobs.engine import Engine

Level = Literal["coarse", "fine"]

# Opening


@dataclass(frozen=True)
class SourceEntry:
    """One network that can be opened: its reference, the group it is listed under, and what to call it there."""

    ref: str
    group: str
    title: str


@dataclass(frozen=True)
class ListSources(Request):
    """List the networks that can be opened -> tuple of `SourceEntry`; `pattern` is a wildcard such as ``timm:convnext*``."""

    pattern: str = "*"
    lane: ClassVar[Lane] = "interactive"

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
        from workbench.models.loading import list_models

        entries = []
        for ref in list_models(self.pattern):
            group, _, name = ref.partition(":")
            entries.append(SourceEntry(ref, group, name or ref))
        return tuple(entries)


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


@dataclass(frozen=True)
class LoadModel(Request):
    """Open a network -> `ModelCard`. One that was read from a file of the user's is read again, since the file may have changed.

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
        """Load, capture, and describe it."""
        if self.ref.startswith(("file:", "python:")):
            engine.forget(self.ref)
        task.step(0, 0, note="importing torch")
        model = engine.model(self.ref, allow_code=self.allow_code, task=task)
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
        )


@dataclass(frozen=True)
class ImageSetCard:
    """What is known of an open image set; `columns` gives the number of distinct values of each column."""

    ref: str
    name: str
    length: int
    columns: dict[str, int]
    licence: str
    content_hash: str


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
        return ImageSetCard(images.ref, images.name, len(images), columns, images.licence, images.content_hash)


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
