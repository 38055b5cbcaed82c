"""What the window asks about one unit beyond what it looks like: what it is made of on an image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from workbench.jobs.job import Lane, Request
from workbench.task import Task

if TYPE_CHECKING:
    from workbench.analyses.analysis import Result
    from workbench.jobs.engine import Engine


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
