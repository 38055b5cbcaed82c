"""What the window asks about a circuit before it has weights computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.circuit import layer_of, units_of
from workbench.jobs.job import Request

if TYPE_CHECKING:
    from workbench.jobs.engine import Engine
    from workbench.models.traced_model import TracedModel
    from workbench.task import Task


@dataclass(frozen=True)
class Connected(Request):
    """Which layers feed which units, so that no weights are asked for where there are none -> places in `asked`.

    Attributes
    ----------
    asked
        A layer, and the addresses of units (or families) of another.
    """

    model: str
    asked: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"Which layers of {self.model} feed which"

    def run(self, engine: Engine, task: Task) -> tuple[int, ...]:
        """Ask the graph of the network."""
        model = engine.model(self.model, task=task)
        return tuple(place for place, (source, targets) in enumerate(self.asked) if feeds(model, source, targets))


def feeds(model: TracedModel, source: str, targets: tuple[str, ...]) -> bool:
    """Whether a layer feeds the pre-activation of any of the units; a branch of a concatenation does not feed its own units there.

    Raises
    ------
    InputError
        When the network has no such layer.
    """
    from workbench.models.affine import before_activation
    from workbench.models.layer import Unit

    behind = model.graph.downstream([model.layer(source).name])
    units = [Unit(model.layer(layer_of(target)).name, unit.index) for target in targets for unit in units_of(target)]
    return any(model.graph.node(before_activation(model.graph, unit).layer) in behind for unit in units)
