"""What the window asks about units' looks: their visualizations, rendered now or before.

As in `requests`, nothing heavy is imported before `run`, in the worker thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from workbench.images.image_set import Pixels
from workbench.jobs import first_look
from workbench.jobs.job import Lane, Request
from workbench.task import Part, Task

if TYPE_CHECKING:
    from workbench.analyses.feature_visualization import FeatureVisualization
    from workbench.jobs.engine import Engine

Level = Literal["coarse", "fine"]

BESIDE_NUMBERS = ("weights", "circuit", "motifs", "families")
"""First words of the purposes whose pictures name the rows of what an analysis found."""
BATCH: dict[Level, int] = {"coarse": 8, "fine": 2}
"""Units rendered together: as many as let one step take no longer than a click may wait for its end."""


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
            return first_look.AT_ONCE
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
        engine.warm_up(task)
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


def to_pixels(images: npt.NDArray[np.float32]) -> Pixels:
    """Turn images in [0, 1] into uint8."""
    return np.rint(images * 255).clip(0, 255).astype(np.uint8)
