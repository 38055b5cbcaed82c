"""What the window asks about one stimulus while its handles are dragged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from workbench.jobs.job import Lane, Request
from workbench.task import Task

if TYPE_CHECKING:
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
        """The newest wins: while a handle is dragged only the last place counts."""
        return "unit on stimulus"

    def run(self, engine: Engine, task: Task) -> dict[str, Any]:
        """Draw it and run the network as far as the layer."""
        import torch

        import workbench.images.stimuli  # noqa: F401  its families register themselves
        from workbench.images.stimulus import FAMILIES
        from workbench.models.receptive_field import at_middle

        model = engine.model(self.model, task=task)
        layer, family = model.layer(self.layer), FAMILIES[self.family]
        names = [part.name for part in family.parameters]
        defaults = {part.name: part.default for part in family.parameters}
        table = np.repeat(family.grid(**(defaults | dict(self.given))), 2)
        blank = "contrast" in names
        if blank:
            table["contrast"][1] = 0
        with torch.inference_mode():
            images = family.render(table, model.preprocessing.size, model.device)
            activation = layer.arrange(model.forward_to([layer.name])(*model.inputs(model.preprocess(images)))[0])[:, self.unit]
        middle = at_middle(activation[:, None], layer)[:, 0].float().cpu().numpy()
        field = engine.field_of_middle(model, layer.name)
        return {
            "image": (images[0] * 255).round().byte().permute(1, 2, 0).contiguous().cpu().numpy(),
            "values": {name: float(table[name][0]) for name in names},
            "value": float(middle[0]),
            "ground": float(middle[1]) if blank else float("nan"),
            "largest": float(activation[0].max()),
            "field": (field.top, field.left, field.height, field.width),
        }
