"""What is read off a patched run: one number a pair, larger where it is more like the clean run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from workbench.circuit import units_of
from workbench.classes import has_classes
from workbench.input_error import InputError

if TYPE_CHECKING:
    from workbench.models.layer import Layer
    from workbench.models.traced_model import TracedModel

Metric = Literal["logit difference", "logit", "log-probability", "unit"]
WORDS: dict[Metric, str] = {
    "logit difference": "logit of the clean image's class minus that of the corrupt one's",
    "logit": "logit of the clean image's class",
    "log-probability": "log-probability of the clean image's class",
    "unit": "largest activation of the unit",
}


@dataclass(frozen=True)
class Reading:
    """A metric for the pairs of one batch.

    Attributes
    ----------
    target
        Layer it is read from.
    clean, corrupt
        Classes of the two images of each pair; empty for a unit.
    unit, layer
        Index in the target layer, and that layer; -1 and None for classes.
    """

    metric: Metric
    target: str
    clean: Int64[Tensor, " pair"]
    corrupt: Int64[Tensor, " pair"]
    unit: int = -1
    layer: Layer | None = None

    def __call__(self, value: Float[Tensor, "row pair *output"]) -> Float[Tensor, "row pair"]:
        """Read it off the target's values."""
        if self.metric == "unit":
            assert self.layer is not None
            arranged = self.layer.arrange(value.flatten(0, 1))[:, self.unit]
            return arranged.reshape(*value.shape[:2], -1).amax(2)
        said = value.log_softmax(-1) if self.metric == "log-probability" else value
        found: Tensor = said.gather(2, self.clean[None, :, None].expand(len(value), -1, 1))[..., 0]
        if self.metric == "logit difference":
            found = found - said.gather(2, self.corrupt[None, :, None].expand(len(value), -1, 1))[..., 0]
        return found


@dataclass(frozen=True)
class MetricOf:
    """A metric of a network, before its pairs are known."""

    metric: Metric
    target: str
    unit: int = -1
    layer: Layer | None = None

    @classmethod
    def of(cls, model: TracedModel, metric: Metric, unit: str) -> MetricOf:
        """Check that the network has it.

        Raises
        ------
        InputError
            When there is no such unit, or the network has no classes.
        """
        if metric != "unit":
            if not has_classes(model):
                raise InputError(f"{model.name} has no classes to compare; choose the metric unit, and a unit")
            return cls(metric, model.graph.output)
        asked = units_of(unit) if unit else ()
        if len(asked) != 1:
            raise InputError("give the one unit that is read, such as mixed4a:12")
        layer = model.layer(asked[0].layer)
        if asked[0].index >= layer.units:
            raise InputError(f"{layer.name} has units 0 to {layer.units - 1}, not {asked[0].index}")
        if layer.rows != 1 or layer.batch_axis != 0:
            raise InputError(f"{layer.name} works in windows; read a unit of a layer behind it")
        return cls(metric, layer.name, asked[0].index, layer)

    def reading(self, clean: Sequence[int], corrupt: Sequence[int], device: torch.device) -> Reading:
        """Return it for the pairs of a batch, given their classes."""
        one, other = (torch.tensor(list(classes), dtype=torch.int64, device=device) for classes in (clean, corrupt))
        return Reading(self.metric, self.target, one, other, self.unit, self.layer)
