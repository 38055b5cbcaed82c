"""What the window asks about a network at many moments of its training: which there are, and what a unit looks like at each.

As in `requests`, nothing heavy is imported before `run`, in the worker thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from workbench.images.image_set import Pixels
from workbench.jobs.job import Lane, Request
from workbench.task import Task

if TYPE_CHECKING:
    from workbench.jobs.engine import Engine
    from workbench.models.checkpoint_series import Series
    from workbench.models.traced_model import TracedModel

Shown = Literal["kernel", "visualization"]


@dataclass(frozen=True)
class DescribeTrainings(Request):
    """Look up the trainings whose checkpoints are kept of a network, as of `series_of` -> tuple of `Series`."""

    model: str
    further: tuple[str, ...] = ()
    lane: ClassVar[Lane] = "interactive"

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"Look up checkpoints of {self.model}"

    @property
    def key(self) -> str:
        """The network that is open now wins."""
        return "describe trainings"

    def run(self, engine: Engine, task: Task) -> tuple[Series, ...]:
        """Read cards, folders and logs."""
        engine.warm_up(task)
        from workbench.models.checkpoint_series import series_of

        return tuple(series_of(self.model, self.further))


@dataclass(frozen=True)
class UnitFilm(Request):
    """Show a unit at every checkpoint -> ``{updates: uint8 [y, x, 3]}``; partial results have the frames made since the last one.

    Attributes
    ----------
    checkpoints
        Updates and reference of each, those that are wanted first before the others.
    shown
        ``kernel``: expanded weights of the unit for the pixels it sees at the middle, every non-linearity left out (the all-linear gate of
        Olah et al. 2021), grey for 0, each on a scale of its own; in a first layer that is its kernel. ``visualization``: the coarse
        feature visualization that the grid shows.
    """

    checkpoints: tuple[tuple[int, str], ...]
    layer: str
    unit: int
    shown: Shown = "kernel"
    rank: ClassVar[int] = 1

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"{self.layer}:{self.unit} at {len(self.checkpoints)} checkpoints"

    @property
    def key(self) -> str:
        """The unit looked at now wins."""
        return f"film {self.shown}"

    @property
    def precedence(self) -> float:
        """After what other panels show of the network that is open."""
        return 1.9

    def run(self, engine: Engine, task: Task) -> dict[int, Pixels]:
        """Make the frames one after the other, each known one at once."""
        found: dict[int, Pixels] = {}
        for step, ref in self.checkpoints:
            model = engine.glance(ref, task)
            frame = kernel_picture(model, self.layer, self.unit, task) if self.shown == "kernel" else self._visualization(engine, ref, task)
            found[step] = frame
            task.step(len(found), len(self.checkpoints), {step: frame}, f"{step:,} updates")
        return found

    def _visualization(self, engine: Engine, ref: str, task: Task) -> Pixels:
        """Return what the store has, or render it and put it there, where the grid finds it as well."""
        from workbench.jobs.thumbnail_requests import Thumbnails, to_pixels

        model = engine.glance(ref, task)
        analysis = Thumbnails(ref, self.layer, (self.unit,), "coarse").analysis((self.unit,))
        key = analysis.key(model)
        images = engine.store.load_thumbnail(key, 1)
        if images is None:
            (images,) = to_pixels(analysis.run(model, task=Inside(task)).arrays["images"])
            engine.store.save_thumbnail(key, images)
        picture: Pixels = images[0]
        return picture


@dataclass(frozen=True)
class PrepareCheckpoints(Request):
    """Render the coarse pictures that the grid will ask for at some checkpoints -> how many there are; they stay in the store.

    A slider that goes on to one of these finds them there: a fifth of a second to the first picture in place of a second and more.

    Attributes
    ----------
    models
        References, those that are likely looked at next before the others.
    units
        None: a network is only made ready to be opened.
    """

    models: tuple[str, ...]
    layer: str
    units: tuple[int, ...]
    rank: ClassVar[int] = 1

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"Pictures of {self.layer} at {len(self.models)} checkpoint{'s' if len(self.models) != 1 else ''}"

    @property
    def key(self) -> str:
        """Where the slider stands now wins."""
        return "prepare checkpoints"

    @property
    def precedence(self) -> float:
        """After all that is looked at now."""
        return 1.95

    def run(self, engine: Engine, task: Task) -> int:
        """Render what the store has not, a few units at a time."""
        from workbench.jobs.thumbnail_requests import BATCH, Thumbnails, to_pixels

        done, total = 0, len(self.models) * len(self.units)
        for ref in self.models:
            model = engine.glance(ref, task)
            asked = Thumbnails(ref, self.layer, self.units)
            keys = {unit: asked.analysis((unit,)).key(model) for unit in self.units}
            missing = [unit for unit in self.units if engine.store.load_thumbnail(keys[unit], 1) is None]
            for start in range(0, len(missing), BATCH["coarse"]):
                batch = tuple(missing[start : start + BATCH["coarse"]])
                images = to_pixels(asked.analysis(batch).run(model, task=Inside(task)).arrays["images"])
                for unit, pixels in zip(batch, images, strict=True):
                    engine.store.save_thumbnail(keys[unit], pixels)
                task.step(done + start + len(batch), total)
            done += len(self.units)
            task.step(done, total)
        return done


class Inside(Task):
    """Lets others in and asks whether to go on, and tells nothing: the work is one of many parts."""

    def __init__(self, task: Task) -> None:
        self._task = task

    def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
        """Ask only."""
        self._task.step(0, 0)


def kernel_picture(model: TracedModel, layer: str, unit: int, task: Task) -> Pixels:
    """Return the expanded weights of a unit for the pixels as an image, as of `UnitFilm`.

    Raises
    ------
    InputError
        When there is no such unit, it reads no pixels, or what lies between cannot be made linear.
    """
    import torch

    from workbench.input_error import InputError
    from workbench.models.expanded import asked_of, parts_of, pieces_of, windows_of
    from workbench.models.twin import dead_leaves

    if not model.sees or model.preprocessing.channels not in (1, 3):
        raise InputError(f"{model.name} does not see pixels of 1 or 3 channels")
    pixels, asked, units = asked_of(model, model.graph.name(model.graph.inputs[0]), layer, (unit,))
    (part,) = parts_of(model, asked, units)
    images = torch.from_numpy(dead_leaves(2)).permute(0, 3, 1, 2) / 255

    def ask(*_done: int) -> None:
        task.step(0, 0)

    inputs = [model.inputs(model.preprocess(images))]
    whole, _ = pieces_of(model, pixels, part.layer, inputs, "all", "one", ask)
    if whole is None:
        raise InputError(f"{layer}:{unit} reads no pixels")
    kernel = windows_of(whole, None, part.units, ask).kernels[0].numpy() / np.reshape(model.preprocessing.std, (-1, 1, 1))
    shown = 0.5 + 0.5 * kernel / (np.abs(kernel).max() or 1.0)
    found: Pixels = np.rint(255 * np.nan_to_num(shown, nan=0.5)).astype(np.uint8).transpose(1, 2, 0)
    return found.repeat(3, 2) if found.shape[2] == 1 else found
