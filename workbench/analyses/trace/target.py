"""What a circuit is asked to explain: one number an image, the pre-activation of a unit (or the mean of a family's) somewhere."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.circuit import layer_of, units_of
from workbench.input_error import InputError
from workbench.models import affine
from workbench.models.affine import before_activation
from workbench.models.expanded import centre
from workbench.models.layer import Unit

if TYPE_CHECKING:
    from workbench.models.traced_model import TracedModel

At = Literal["strongest", "centre", "mean"]
CLASS = "class:"


@dataclass(frozen=True)
class Target:
    """A unit, a family or a class, and where it is read.

    Attributes
    ----------
    address
        As a circuit has it.
    asked
        Its units as they were asked for.
    units
        Their pre-activations: what their non-linearity reads, in the branch of a concatenation they come from. A class has its logit.
    at
        ``strongest``: where the clean pre-activation is largest on this image; ``centre``; ``mean`` over all positions.
    middle
        The position in the middle of their layer (`workbench.models.expanded.centre`).
    """

    address: str
    asked: tuple[Unit, ...]
    units: tuple[Unit, ...]
    at: At
    middle: tuple[int, ...]

    @classmethod
    def of(cls, model: TracedModel, text: str, at: At) -> Target:
        """Read an address, or ``class:`` and the name of a class.

        Raises
        ------
        InputError
            When the network has no such unit or class.
        """
        address = text
        if text.startswith(CLASS):
            name = text.removeprefix(CLASS)
            if name not in model.labels:
                raise InputError(
                    f"{model.name} knows no class {name!r}; write layer:index of a unit, or one of its labels"
                )
            address = f"{model.graph.output}:{model.labels.index(name)}"
        layer = model.layer(layer_of(address))
        asked = tuple(Unit(layer.name, unit.index) for unit in units_of(address))
        layer.check(unit.index for unit in asked)
        units = tuple(before_activation(model.graph, unit) for unit in asked)
        middle = centre(affine.layer_of(model.graph, model.graph.node(units[0].layer)))
        return cls(address, asked, units, at, middle)

    @property
    def layers(self) -> dict[str, list[int]]:
        """Layers of the pre-activations, each with its units."""
        found: dict[str, list[int]] = {}
        for unit in self.units:
            found.setdefault(unit.layer, []).append(unit.index)
        return found

    def position(self, clean: Float[Tensor, "image unit *position"]) -> Int[Tensor, " image"] | None:
        """Choose where it is read on each image, as a place among the flattened positions; None for the mean over all."""
        flat = clean.mean(1).reshape(len(clean), -1)
        if self.at == "mean":
            return None
        if self.at == "centre":
            shape = clean.shape[2:]
            place = sum(at * math.prod(shape[axis + 1 :]) for axis, at in enumerate(self.middle))
            return torch.full((len(flat),), place, device=clean.device)
        return flat.argmax(1)

    @staticmethod
    def read(
        value: Float[Tensor, "image unit *position"], position: Int[Tensor, " image"] | None
    ) -> Float[Tensor, " image"]:
        """Return one number an image."""
        flat = value.mean(1).reshape(len(value), -1)
        return flat.mean(1) if position is None else flat.gather(1, position[:, None])[:, 0]
