"""What the window asks about one stimulus while its handles are dragged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from workbench.jobs.few_threads import few_threads
from workbench.jobs.job import Lane, Request
from workbench.task import Task

if TYPE_CHECKING:
    from torch import Tensor

    from workbench.images.stimulus import Table
    from workbench.jobs.engine import Engine

STIMULI = {
    "curves": "Curves",
    "lines": "Lines",
    "line_ends": "Line ends",
    "corners": "Corners",
    "circles": "Circles",
    "gratings": "Gratings",
    "checkers": "Checkers",
    "high_low": "High beside low frequency",
    "centre_surround": "Centre and surround",
    "patches": "Patches of colour",
    "colours": "Colours",
}
"""Families of stimuli and what they are called; written out so that the window need not import what draws them."""

COLOURS = "ink_", "ground_", "profile"
"""How parameters begin that a stimulus without contrast still depends on: a mixture of ink and ground is left of some profiles."""


@dataclass(frozen=True)
class UnitOnStimulus(Request):
    """What one unit does on one parametric stimulus -> mapping, see below.

    * ``image`` uint8 ``[y, x, 3]``: the stimulus at the size of the network's input;
    * ``values``: every parameter of the stimulus by name, those not given at their default;
    * ``value``: the unit's activation at the layer's middle position, and ``ground`` that without ink;
    * ``largest``: its largest activation at any position;
    * ``field``: top, left, height, width in pixels of what the middle position sees.

    Attributes
    ----------
    given
        Parameters that are not at their default, as pairs of name and value.
    """

    model: str
    layer: str
    unit: int
    family: str
    given: tuple[tuple[str, float], ...] = ()
    lane: ClassVar[Lane] = "interactive"

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"{self.layer}:{self.unit} on a stimulus"

    @property
    def key(self) -> str:
        """The newest wins."""
        return "unit on stimulus"

    def run(self, engine: Engine, task: Task) -> dict[str, Any]:
        """Draw it and run the network as far as the layer."""
        engine.warm_up(task)
        import torch

        import workbench.images.stimuli  # noqa: F401  its families register themselves
        from workbench.images.stimulus import FAMILIES
        from workbench.models.one_call import one_call
        from workbench.models.receptive_field import at_middle

        model = engine.model(self.model, task=task)
        layer, family = model.layer(self.layer), FAMILIES[self.family]
        defaults = {part.name: part.default for part in family.parameters}
        table = family.grid(**(defaults | dict(self.given)))
        of = model.ref, model.weight_hash, layer.name

        def shown(row: Table) -> tuple[Tensor, Tensor, Tensor]:
            """Return the image, its activation, and that at the middle of all units."""
            image = family.render(row, model.preprocessing.size, model.device)
            inputs = model.inputs(model.preprocess(image))
            place = ("stimulus run", *of, tuple(value.shape for value in inputs))
            run = engine.kept(place, lambda: one_call(model.forward_to([layer.name]), inputs), alone=True)
            activation = layer.arrange(run(*inputs)[0])
            return image, activation, at_middle(activation, layer)[0]

        with torch.inference_mode(), few_threads(model.preprocessing.size):
            image, activation, middle = shown(table)
            ground = float("nan")
            if "contrast" in defaults:  # without ink nothing is left of the shape
                blank = table.copy()
                blank["contrast"] = 0
                grounds: dict[tuple[object, ...], Tensor] = engine.kept(("stimulus grounds", *of), dict, alone=True)
                colours = self.family, *(float(blank[name][0]) for name in defaults if name.startswith(COLOURS))
                if colours not in grounds:
                    grounds.clear()
                    grounds[colours] = shown(blank)[2]
                ground = float(grounds[colours][self.unit])
        field = engine.field_of_middle(model, layer.name)
        return {
            "image": (image[0] * 255).round().byte().permute(1, 2, 0).contiguous().cpu().numpy(),
            "values": {name: float(table[name][0]) for name in defaults},
            "value": float(middle[self.unit]),
            "ground": ground,
            "largest": float(activation[0, self.unit].max()),
            "field": (field.top, field.left, field.height, field.width),
        }
