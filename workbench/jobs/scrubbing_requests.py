"""What the window asks of the worker while a hypothesis is edited: what is wrong at which node, and the curve hypothesis of a unit.

As in `requests`, nothing heavy is imported before `run`, in the worker thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from workbench.hypothesis import HypothesisError, Node, NodeCard
from workbench.jobs.job import Lane, Request
from workbench.models.layer import Unit
from workbench.task import Task

if TYPE_CHECKING:
    from workbench.jobs.engine import Engine
    from workbench.tuned.curve_hypothesis import CurveTemplate


@dataclass(frozen=True)
class InspectHypothesis(Request):
    """Look for what cannot be tested, and count the labels of features -> a `NodeCard` of each node, from the root down.

    Attributes
    ----------
    images
        Reference, empty for none: features are not read then.
    number, seed
        Of the images that are drawn, as `CausalScrubbing` will draw them.
    loss
        What must be kept (`workbench.hypothesis.LOSSES`).
    """

    model: str
    images: str
    root: Node
    number: int = 512
    seed: int = 0
    loss: str = "distance"
    lane: ClassVar[Lane] = "interactive"

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"Check the hypothesis of {self.root.units}"

    @property
    def key(self) -> str:
        """What was edited last counts."""
        return "inspect hypothesis"

    def run(self, engine: Engine, task: Task) -> tuple[NodeCard, ...]:
        """Ask the graph, and the columns of the images."""
        model = engine.model(self.model, task=task)
        from workbench.claims import Data, classes_seen, inspected
        from workbench.scrubbing.check import faults

        if not self.images:
            return tuple(inspected(model, self.root, None))
        images = engine.images(self.images, task)
        data, wrong = Data.drawn(images, self.number, self.seed), None
        if self.loss == "cross_entropy" and not any(faults(model, self.root)):  # which classes are seen is asked of units that are there
            try:
                classes_seen(model, self.root, images, data.seen)
            except HypothesisError as error:
                wrong = error
        return tuple(inspected(model, self.root, data, wrong))


@dataclass(frozen=True)
class FindCurveHypothesis(Request):
    """Measure a unit and those before it with stimuli, and write the curve hypothesis -> `CurveTemplate`."""

    model: str
    unit: Unit
    rank: ClassVar[int] = 1

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"Curve hypothesis of {self.unit}"

    @property
    def key(self) -> str:
        """The unit asked for last wins."""
        return "curve hypothesis"

    def run(self, engine: Engine, task: Task) -> CurveTemplate:
        """Show the stimuli; the same unit is measured once."""
        model = engine.model(self.model, task=task)
        from workbench.tuned.curve_hypothesis import curve_template

        place: tuple[Any, ...] = ("curve hypothesis", model.weight_hash, model.preprocessing, self.unit)
        return engine.kept(place, lambda: curve_template(model, self.unit, lambda: task.step(0, 0, note="showing lines and curves")))
