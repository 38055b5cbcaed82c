"""What the window asks for to draw with: pictures of the user's and of a set, changed ones, and stimuli.

As in `requests`, nothing heavy is imported before `run`, in the worker thread.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from workbench.images.drawn_stimulus import Stimulus
from workbench.images.image_set import Pixels
from workbench.input_error import InputError
from workbench.jobs.job import Lane, Request
from workbench.task import Task

if TYPE_CHECKING:
    from workbench.images.stimulus import Parameter
    from workbench.jobs.engine import Engine

LONGEST = 1024
"""Pixels on the longer side that a picture for the canvas is reduced to."""


@dataclass(frozen=True, eq=False)
class Picture:
    """An image brought onto a canvas.

    Attributes
    ----------
    pixels
        uint8 ``[y, x, 3]``, or ``[y, x, 4]`` where something is transparent.
    name
        What it is called.
    was
        Width and height before it was reduced.
    """

    pixels: Pixels
    name: str
    was: tuple[int, int]

    @property
    def transparent(self) -> bool:
        """Whether something in it is."""
        return bool(self.pixels.shape[2] == 4)

    @property
    def reduced(self) -> bool:
        """Whether it was larger."""
        return self.was != (self.pixels.shape[1], self.pixels.shape[0])


@dataclass(frozen=True)
class ReadPicture(Request):
    """Read an image of the user's for a canvas -> `Picture`, upright, what is transparent kept, at most `LONGEST` pixels long.

    Attributes
    ----------
    name
        What it is called, in messages too.
    source
        As of `workbench.jobs.requests.ReadImage`.
    """

    name: str
    source: Path | bytes | Pixels = field(compare=False, repr=False)
    lane: ClassVar[Lane] = "interactive"

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"Read {self.name} for the canvas"

    @property
    def key(self) -> str:
        """The image brought in last wins."""
        return "read picture"

    def run(self, engine: Engine, task: Task) -> Picture:
        """Decode and reduce it."""
        from PIL import Image

        from workbench.images.image_file import FORMATS, read_image
        from workbench.images.image_set import UnreadableImageError

        def again() -> Path | BytesIO | Image.Image:
            if isinstance(self.source, Path):
                return self.source
            return BytesIO(self.source) if isinstance(self.source, bytes) else Image.fromarray(self.source)

        try:
            pixels = read_image(again(), longest=LONGEST, transparent=True)
        except UnreadableImageError as error:
            raise UnreadableImageError(f"{self.name} {error}") from error
        source = again()
        with source if isinstance(source, Image.Image) else Image.open(source, formats=FORMATS) as picture:
            wide, high = picture.size
        if (wide > high) != (pixels.shape[1] > pixels.shape[0]):  # it lay on its side
            wide, high = high, wide
        return Picture(pixels, self.name, (wide, high))


@dataclass(frozen=True)
class PictureOfSet(Request):
    """Read an image of an image set -> `Picture` of an exact size, named after it.

    Attributes
    ----------
    index
        Which; -1 for a random one.
    seed
        Of the random choice.
    """

    images: str
    size: tuple[int, int]
    index: int = -1
    seed: int = 0
    lane: ClassVar[Lane] = "interactive"

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"Read an image of {self.images} for the canvas"

    @property
    def key(self) -> str:
        """The one asked for last wins."""
        return "picture of set"

    def run(self, engine: Engine, task: Task) -> Picture:
        """Choose and decode it."""
        images = engine.images(self.images, task)
        index = self.index if self.index >= 0 else int(np.random.default_rng(self.seed).integers(len(images)))
        if index >= len(images):
            raise InputError(f"{images.name} has images 0 to {len(images) - 1}, not {index}")
        for batch in images.batches(self.size, 1, [index]):
            return Picture(np.array(batch.images[0]), str(images.ids[index]), self.size[::-1])
        raise InputError(f"{images.ids[index]} cannot be read; choose another image")


@dataclass(frozen=True)
class CorruptPicture(Request):
    """Corrupt a picture -> `Picture` of the same size, named after what was done.

    Attributes
    ----------
    pixels
        uint8 ``[y, x, 3]``.
    kind, strength
        As of `workbench.images.corruptions.corrupt`.
    images
        The set that another image is taken from, for those that need one; empty for none.
    source
        Id of the image that is not to be taken, nor another of its concept.
    seed
        Of the place and the other image.
    """

    pixels: Pixels = field(compare=False, repr=False)
    kind: str
    strength: float = 1.0
    images: str = ""
    source: str = ""
    seed: int = 0
    lane: ClassVar[Lane] = "interactive"

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"Corrupt the drawing: {self.kind}"

    @property
    def key(self) -> str:
        """The one asked for last wins."""
        return "corrupt picture"

    def run(self, engine: Engine, task: Task) -> Picture:
        """Take another image where one is needed, and corrupt."""
        engine.warm_up(task)
        from workbench.images.corruptions import corrupt

        size = self.pixels.shape[0], self.pixels.shape[1]
        random = np.random.default_rng(self.seed)
        other, told = self.pixels, ""
        if "swap" in self.kind:
            if not self.images:
                raise InputError("open images first: this takes something from another image of the set")
            images = engine.images(self.images, task)
            concepts = images.concepts
            own = {concepts[place] for place, id in enumerate(images.ids) if id == self.source}
            allowed = [place for place in range(len(images)) if concepts[place] not in own]
            if not allowed:
                raise InputError(f"{images.name} has no image of another concept; open a larger set")
            index = allowed[int(random.integers(len(allowed)))]
            for batch in images.batches(size, 1, [index]):
                other, told = np.array(batch.images[0]), f" with {images.ids[index]}"
                break
            else:
                raise InputError(f"{images.ids[index]} cannot be read; try again")
        changed = corrupt(self.kind, self.pixels[None], other[None], random, self.strength)[0]
        return Picture(np.array(changed), f"{self.kind}{told}", (size[1], size[0]))


# Stimuli


@dataclass(frozen=True)
class DescribeStimuli(Request):
    """Tell the parameters of every family of stimuli -> mapping of its name to a tuple of `Parameter`, without those of the ground."""

    lane: ClassVar[Lane] = "interactive"

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return "List stimuli"

    @property
    def key(self) -> str:
        """Asked again, the answer is the same."""
        return "describe stimuli"

    def run(self, engine: Engine, task: Task) -> dict[str, tuple[Parameter, ...]]:
        """Import them."""
        engine.warm_up(task)
        import workbench.images.stimuli  # noqa: F401  its families register themselves
        from workbench.images.stimulus import FAMILIES

        own = {name: [part for part in family.parameters if not part.name.startswith("ground_")] for name, family in FAMILIES.items()}
        return {name: tuple(parts) for name, parts in own.items()}


@dataclass(frozen=True)
class InkOf(Request):
    """Draw a stimulus for a canvas -> its coverage float32 ``y x`` and its ink float64 ``3``, as `workbench.images.raster.ink_of`."""

    stimulus: Stimulus
    size: tuple[int, int]
    lane: ClassVar[Lane] = "interactive"

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"Draw {self.stimulus.family} on the canvas"

    def run(self, engine: Engine, task: Task) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
        """Draw it."""
        engine.warm_up(task)
        from workbench.images.raster import ink_of

        return ink_of(self.stimulus, self.size)
