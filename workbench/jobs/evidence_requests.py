"""What the window asks of the worker for an evidence card: the pictures of a blind labelling, and the card as a page."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from workbench.jobs.example_requests import cut_out, receptive_boxes
from workbench.jobs.job import Request
from workbench.models.layer import Unit
from workbench.task import Part, Task
from workbench.whole_file import write_whole

if TYPE_CHECKING:
    from workbench.analyses.analysis import Result
    from workbench.blind_labels import Labelling
    from workbench.jobs.engine import Engine

LARGEST = 160
"""Pixels on the longer side of a picture, at most."""
BINS = 8
"""Bins of the activation above zero."""


@dataclass(frozen=True)
class PrepareLabelling(Request):
    """Draw the pictures of a blind labelling, or find the one that was begun -> `Labelling` and its pictures, uint8 ``[n, y, x, 3]``.

    The same request gives the same pictures in the same order, so one that was begun goes on where it stopped. A picture is what the unit
    sees at the position: as large as its receptive field.

    Attributes
    ----------
    unit
        Address, ``layer:index``.
    count, seed, limit
        Pictures, what they are drawn by, and of how many images.
    """

    model: str
    images: str
    unit: str
    count: int = 400
    seed: int = 0
    limit: int = 1024
    rank: ClassVar[int] = 1

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"Draw {self.count} pictures of {self.unit} to label"

    @property
    def key(self) -> str:
        """The unit asked for last wins."""
        return "prepare labelling"

    def run(self, engine: Engine, task: Task) -> tuple[Labelling, npt.NDArray[np.uint8]]:
        """Read the labelling or draw one, then cut out the pictures."""
        engine.warm_up(task)
        from workbench.analyses.evidence import draw_labelling
        from workbench.blind_labels import Labelling, labelling_key, place_of
        from workbench.images.scaling import cover_all

        model, images = engine.model(self.model, task=task), engine.images(self.images, task)
        unit = Unit.parse(self.unit)
        path = place_of(labelling_key(model.weight_hash, images.content_hash, self.unit, self.count, self.seed))
        if path.exists():
            labelling = Labelling.load(path)
        else:
            labelling = draw_labelling(model, images, unit, self.count, self.seed, self.limit, BINS, Part(task, 0, 3, 4))
        layer, size = model.layer(Unit.parse(labelling.measured).layer), model.preprocessing.size
        grid = layer.positions
        positions = np.array([(*shown.position, 0, 0)[:2] for shown in labelling.pictures], np.int64)
        boxes = receptive_boxes(positions, grid, engine.receptive_field(model, layer.name), size)
        crops: npt.NDArray[np.uint8] = np.zeros(0, np.uint8)
        for so_far, there in cut_out(images, np.array([shown.image for shown in labelling.pictures]), boxes, size):
            crops = so_far
            task.step(3 + float(there.mean()), 4, note="cutting out the pictures")
        scale = LARGEST / max(crops.shape[1:3])
        if scale < 1:
            crops = cover_all(crops, (max(1, round(crops.shape[1] * scale)), max(1, round(crops.shape[2] * scale))))
        return labelling, crops


@dataclass(frozen=True)
class WriteEvidencePage(Request):
    """Draw the figures of an evidence card and write it as a page -> its path."""

    result: Result = field(repr=False, compare=False)
    path: str = ""
    rank: ClassVar[int] = 1

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"Write {Path(self.path).name}"

    def run(self, engine: Engine, task: Task) -> str:
        """Write it."""
        from workbench.evidence_card import page

        write_whole(Path(self.path), page(self.result))
        return self.path
