"""Path patching: what a sender changes of a metric through a receiver alone (Goldowsky-Dill et al. 2023).

Of the run that is patched first only what the receiver computes is taken, with a part of the sender in it; then the run is made once more
with that in the receiver's place and everything else as it was. What the sender says to anybody but the receiver is not heard. Layers that
are held on the way leave only what goes past them: the direct path where a residual stream runs beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.input_error import InputError
from workbench.models.layer import units_of
from workbench.models.patching import ROWS, NoWay, Patch, Patcher

if TYPE_CHECKING:
    from workbench.models.traced_model import TracedModel


def place_of(model: TracedModel, address: str) -> Patch:
    """Read a place: a layer as a whole, or units of one (``mixed4b:12`` or ``mixed4b:12,40``).

    Raises
    ------
    InputError
        When the network has no such layer or units.
    """
    if address in model.layers or any(address in layer.aliases for layer in model.layers.values()) or ":" not in address:
        name = model.layer(address).name
        return Patch(name, name)
    named = units_of(address)
    layer = model.layer(named[0].layer)
    units = [unit.index for unit in named]
    layer.check(units)
    return Patch(address, layer.name, torch.tensor(units).numpy())


class PathPatcher:
    """Patches of one layer as `Patcher` has them, of which only what reaches the target through a receiver counts.

    Parameters
    ----------
    layer
        The sender.
    receiver
        What is listened to, of `place_of`: a later layer, or some of its units; also the target itself, for what gets straight to it.
    target
        What is read; the output by default.
    hold
        Layers between sender and receiver that stay as they are in the run that is patched.

    Raises
    ------
    NoWay
        As of `Patcher`, of the way from the sender to the receiver.
    """

    def __init__(self, model: TracedModel, layer: str, receiver: Patch, target: str | None = None, hold: Sequence[str] = ()) -> None:
        heard = model.layer(receiver.layer)
        if heard.rows != 1 or heard.batch_axis != 0:
            raise InputError(f"{heard.name} works in windows; choose a receiver behind it")
        self.target = model.graph.name(model.graph.node(target or model.graph.output))
        try:
            self._on = Patcher(model, heard.name, self.target) if heard.name != self.target else None
        except NoWay as error:  # whatever is sent
            raise InputError(str(error)) from None
        self._to = Patcher(model, layer, heard.name, hold)
        self.model, self.layer, self.receiver = model, self._to.layer, receiver
        self.reads = list(dict.fromkeys([*self._to.reads, *(self._on.reads if self._on is not None else ())]))

    def values(self, inputs: tuple[Tensor, ...]) -> list[Tensor]:
        """Return what a run computes of all that is read; once for each of the two runs."""
        with torch.no_grad():
            return list(self.model.activations(inputs, self.reads).values())

    def chunks(self, number: int, pairs: int, rows: int = ROWS) -> list[slice]:
        """Return which patches are tried together in a batch of so many examples."""
        return self._to.chunks(number, pairs, rows)

    def run(
        self, base: Sequence[Tensor], other: Sequence[Tensor], patches: Sequence[Patch], put: Tensor | None = None
    ) -> Float[Tensor, "row pair *output"]:
        """Return the target in the run `base` with each patch of the sender heard by the receiver only.

        Parameters and rows are those of `Patcher.run`: the first row is the run `base`, the second the whole run `other`.
        """
        heard = self._to.run(self._part(base, self._to), self._part(other, self._to), patches, put)
        if self._on is None:
            return self._said(heard)
        writes = [(row, self.receiver, value) for row, value in enumerate(heard) if row != 1]  # the first: from the same batch
        return self._on.run_rows(self._part(base, self._on), self._part(other, self._on), writes, len(heard))

    def estimate(
        self, base: Sequence[Tensor], other: Tensor, metric: Callable[[Tensor], Tensor]
    ) -> Float[Tensor, "pair unit cell"]:
        """Return the first-order estimate for every unit and cell of the sender, as `workbench.models.patching.estimate` does.

        Parameters
        ----------
        other
            The sender's activation in the other run, or what is put in its place.
        metric
            Called with the target's value; returns one number a pair.
        """
        to = [value.detach() for value in self._part(base, self._to)]
        to[0] = to[0].clone().requires_grad_(True)
        with torch.enable_grad():
            (heard,) = self._to.piece(*to)
            slope = self._slope(base, heard.detach(), metric)
            kept = torch.zeros_like(heard) if slope is None else self._heard(slope)
            along = (heard * kept).sum()
            (grad,) = torch.autograd.grad(along, to[0], allow_unused=True) if along.requires_grad else (None,)
        layer = self.layer
        slope = torch.zeros_like(to[0]) if grad is None else grad
        effect = layer.arrange(slope) * (layer.arrange(other) - layer.arrange(to[0].detach()))
        found: Tensor = effect.reshape(*effect.shape[:2], -1)
        return found

    def _said(self, heard: Float[Tensor, "row pair *output"]) -> Float[Tensor, "row pair *output"]:
        """Return what is read where the receiver is the target: its other units, if only some are listened to, are those of the base."""
        if self.receiver.units is None:
            return heard
        said = heard[:1].expand_as(heard).clone()
        said[1] = heard[1]
        layer, units = self.model.layer(self.receiver.layer), torch.from_numpy(self.receiver.units).to(heard.device)
        for row, value in enumerate(heard):
            layer.arrange(said[row])[:, units] = layer.arrange(value)[:, units]
        return said

    def _slope(self, base: Sequence[Tensor], heard: Tensor, metric: Callable[[Tensor], Tensor]) -> Tensor | None:
        """Return how the metric changes with what the receiver computes."""
        on = [heard] if self._on is None else [value.detach() for value in self._part(base, self._on)]
        on[0] = on[0].clone().requires_grad_(True)
        said = on[0] if self._on is None else self._on.piece(*on)[0]
        found: Tensor | None = torch.autograd.grad(metric(said).sum(), on[0], allow_unused=True)[0]
        return found

    def _heard(self, slope: Tensor) -> Tensor:
        """Return a slope with respect to the receiver, 0 for what is not listened to."""
        if self.receiver.units is None:
            return slope
        kept = torch.zeros_like(slope)
        layer, units = self.model.layer(self.receiver.layer), torch.from_numpy(self.receiver.units).to(slope.device)
        layer.arrange(kept)[:, units] = layer.arrange(slope)[:, units]
        return kept

    def _part(self, values: Sequence[Tensor], patcher: Patcher) -> list[Tensor]:
        return [values[self.reads.index(name)] for name in patcher.reads]
