"""What nodes of a hypothesis do by themselves, on all data: one pass through the network for all of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from workbench.circuit import layer_of, units_of
from workbench.scrubbing.check import Cells

if TYPE_CHECKING:
    from workbench.models.traced_model import TracedModel

Place = tuple[str, Cells | None]
"""Address of units, and the cells of theirs that are meant; None for whole maps."""


def taken(arranged: Tensor, place: Place) -> Tensor:
    """Return the units of a place from an activation ``datum unit *position``: all of it, or ``datum unit cell``."""
    units, cells = place
    value = arranged[:, [unit.index for unit in units_of(units)]]
    if cells is None:
        return value
    rows, columns = zip(*cells, strict=True)
    return value[:, :, rows, columns]


def read(
    model: TracedModel,
    inputs: Tensor,
    places: Collection[Place],
    batch: int,
    keep: Callable[[Tensor], Tensor] = lambda value: value,
    step: Callable[[], None] = lambda: None,
) -> Mapping[Place, Tensor]:
    """Return what each place holds on all data, of which `keep` leaves what is wanted; `step` is called before every batch."""
    layers = {units: model.layer(layer_of(units)) for units, _ in places}
    names = sorted({layer.name for layer in layers.values()})
    found: dict[Place, list[Tensor]] = {place: [] for place in places}
    if not found:
        return {}
    with torch.no_grad():
        for part in inputs.split(batch):
            step()
            values = model.activations(model.inputs(part), names)
            for place, kept in found.items():
                layer = layers[place[0]]
                kept.append(keep(taken(layer.arrange(values[layer.name]), place)))
    return {place: torch.cat(kept) for place, kept in found.items()}
