"""Activation patching: run a network on one image with a part of what it computed on another put in its place.

One generic run, `Patcher`: many patches of one layer as rows of one batch, of which only what lies behind the layer is computed. What a
patch is made of - a channel, a branch, a place in the image, a head, a direction - are index builders of a few lines. Both runs without
any patch are rows of the same batch, so that "nothing patched" and "everything patched" are 0 and 1 exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor, fx

from workbench.input_error import InputError
from workbench.models.affine import unit_count
from workbench.models.device import channels_last
from workbench.models.edits import same_bits_in_every_row
from workbench.models.layer import Layer
from workbench.models.nodes import batch_of, kind
from workbench.models.one_call import one_call

if TYPE_CHECKING:
    from workbench.models.graph import ModelGraph
    from workbench.models.traced_model import TracedModel

Kind = Literal["layer", "branch", "unit", "cell", "head"]
ROWS = 64
"""Examples of a batch, both references included."""
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Patch:
    """A part of one layer's activation.

    Attributes
    ----------
    name
        Such as ``mixed4a:12`` or ``mixed4a at 3, 4``.
    units
        Which units; None for all.
    cells
        Which positions, as places among the flattened ones; None for all.
    direction
        Float ``unit``: only the component along it is patched (it need not have unit length); None for the values as they are.
    """

    name: str
    layer: str
    units: Indices | None = None
    cells: Indices | None = None
    direction: Float[Tensor, " unit"] | None = None

    def write(self, view: Float[Tensor, "pair unit cell"], value: Float[Tensor, "pair unit cell"]) -> None:
        """Put its part of `value` into `view`."""
        if self.direction is not None:
            along = self.direction.to(view) / self.direction.to(view).norm()
            cells = slice(None) if self.cells is None else torch.from_numpy(self.cells).to(view.device)
            apart = torch.einsum("puc,u->pc", value[:, :, cells] - view[:, :, cells], along)
            view[:, :, cells] += along[None, :, None] * apart[:, None]
        elif self.units is None and self.cells is None:
            view.copy_(value)
        elif self.cells is None:
            units = torch.from_numpy(self.units).to(view.device)
            view[:, units] = value[:, units]
        elif self.units is None:
            cells = torch.from_numpy(self.cells).to(view.device)
            view[:, :, cells] = value[:, :, cells]
        else:
            units, cells = (torch.from_numpy(each).to(view.device) for each in (self.units, self.cells))
            view[:, units[:, None], cells] = value[:, units[:, None], cells]

    def of(self, effect: Float[Tensor, "pair unit cell"]) -> Float[Tensor, " pair"]:
        """Return the sum over its part of what was computed for each unit and cell; not for a direction."""
        kept = effect if self.units is None else effect[:, torch.from_numpy(self.units).to(effect.device)]
        kept = kept if self.cells is None else kept[:, :, torch.from_numpy(self.cells).to(effect.device)]
        return kept.sum((1, 2))


def patches_of(model: TracedModel, layer: str, kind_of: Kind) -> list[Patch]:
    """Return every patch of a kind that a layer has, in order.

    Raises
    ------
    InputError
        When the layer has no such parts: a vector has no cells, only a concatenation has branches, only attention has heads.
    """
    found = model.layer(layer)
    name = found.name
    if kind_of == "layer":
        return [Patch(name, name)]
    if kind_of == "unit":
        return [Patch(f"{name}:{unit}", name, np.array([unit])) for unit in range(found.units)]
    if kind_of == "branch":
        return [Patch(branch, name, units) for branch, units in branches(model.graph, name)]
    if kind_of == "head":
        return [Patch(f"{name} head {head}", name, units) for head, units in enumerate(heads(model.graph, name))]
    places = cells(found, model.preprocessing.size)
    return [Patch(f"{name} at {place}", name, None, cells_at(found, np.array([at]))) for at, place in enumerate(places)]


def grid_of(layer: Layer, size: tuple[int, int]) -> tuple[int, int, int] | None:
    """Return how many positions of a layer stand before those in the image, and the rows and columns of these; None for no such grid.

    Parameters
    ----------
    size
        Height and width of the image, for a transformer's patches.
    """
    shape = layer.positions
    if layer.is_map:
        return 0, shape[0], shape[1]
    return layer.grid(shape[0], size) if layer.rows == 1 and len(shape) - layer.features == 1 else None


def cells_at(layer: Layer, places: Indices) -> Indices:
    """Return the cells of some places: the place itself, or all that the heads of attention compute there."""
    width = layer.positions[-1] if layer.features else 1
    return (np.asarray(places)[:, None] * width + np.arange(width)).ravel()


def cells(layer: Layer, size: tuple[int, int]) -> list[str]:
    """Return what the places of a layer are called: row and column, or a token's number.

    Parameters
    ----------
    size
        Height and width of the image, for a transformer's patches.

    Raises
    ------
    InputError
        When it has one position only.
    """
    shape = layer.positions[: len(layer.positions) - layer.features]
    if int(np.prod(shape)) < 2:
        raise InputError(f"{layer.name} has one position only; patch its units")
    if len(shape) == 1 and not layer.seen:
        return [f"token {token}" for token in range(shape[0])]
    grid = grid_of(layer, size)
    if grid is not None:
        prefix, rows, columns = grid
        named = [f"token {token}" for token in range(prefix)]
        return named + [f"row {at // columns}, column {at % columns}" for at in range(rows * columns)]
    return [", ".join(str(int(at)) for at in np.unravel_index(place, shape)) for place in range(int(np.prod(shape)))]


def branches(graph: ModelGraph, layer: str) -> list[tuple[str, Indices]]:
    """Return the branches that a layer is put together from, each with its units.

    Raises
    ------
    InputError
        When it is no concatenation of units.
    """
    node = graph.node(layer)
    axis = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
    whole = kind(node) == "cat" and isinstance(axis, int)
    if not whole or axis % node.meta["val"].dim() != graph.capture.unit_axes.get(node):
        raise InputError(f"{layer} is not put together from branches; choose a concatenation, such as a block of an Inception")
    found, start = [], 0
    parts = node.args[0]
    assert isinstance(parts, (list, tuple))
    for part in parts:
        assert isinstance(part, fx.Node)
        number = unit_count(graph, part)
        found.append((graph.name(part), np.arange(start, start + number)))
        start += number
    return found


def heads(graph: ModelGraph, layer: str) -> list[Indices]:
    """Return the units of each head of what attention hands on (z): its heads one after the other.

    Raises
    ------
    InputError
        When the layer is not what attention computes.
    """
    node: fx.Node | None = graph.node(layer)
    units = unit_count(graph, graph.node(layer))
    while node is not None and kind(node) != "scaled_dot_product_attention":
        reads = [read for read in node.all_input_nodes if "val" in read.meta and isinstance(read.meta["val"], Tensor)]
        same = len(reads) == 1 and reads[0].meta["val"].numel() == node.meta["val"].numel()
        node = reads[0] if same else None
    if node is None:
        raise InputError(f"{layer} has no heads; choose what attention computes (:scaled_dot_product_attention)")
    number = int(node.meta["val"].shape[1])
    if units % number:
        raise InputError(f"{layer} has {units} units, which are not {number} heads")
    return [np.arange(head * units // number, (head + 1) * units // number) for head in range(number)]


class NoWay(InputError):
    """A layer has no way to what is read, or none past what is held."""


class Patcher:
    """Patches of one layer, tried on pairs of images.

    Parameters
    ----------
    layer
        What is patched.
    target
        The layer that is read; the output by default.
    hold
        Layers on the way that keep what they are in the run that is patched: only what goes past them counts.
    recorded
        Whether what is computed is recorded as one call at its first run (`one_call`): for answers that are given while somebody draws.

    Raises
    ------
    NoWay
        When the layer does not feed the target, what is held does not lie between the two, or no path goes past it.
    """

    def __init__(
        self, model: TracedModel, layer: str, target: str | None = None, hold: Sequence[str] = (), recorded: bool = False
    ) -> None:
        self.model, self.layer, self.recorded = model, model.layer(layer), recorded
        self._recordings: dict[tuple[torch.Size, ...], Callable[..., tuple[Tensor, ...]]] = {}
        graph = model.graph
        self.target = graph.name(graph.node(target or graph.output))
        if graph.node(self.target) not in graph.downstream([self.layer.name]):
            raise NoWay(f"{self.layer.name} does not feed {self.target}; patch a layer before it")
        begin = list(dict.fromkeys([self.layer.name, *(graph.name(graph.node(name)) for name in hold)]))
        if self.target in begin[1:]:
            raise InputError(f"{self.target} is what is read; it cannot be held")
        if self.layer.name in [graph.name(graph.node(name)) for name in hold]:
            raise NoWay(f"{self.layer.name} is what is patched; it cannot be held")
        between = graph.downstream([self.layer.name])
        for name in begin[1:]:
            if graph.node(name) not in between or graph.node(self.target) not in graph.downstream([name]):
                raise NoWay(f"{name} does not lie between {self.layer.name} and {self.target}; hold a layer on the way, or none")
        if len(begin) > 1 and not _goes_past(graph, self.layer.name, begin[1:], self.target):
            raise NoWay(f"every path from {self.layer.name} to {self.target} leads through {', '.join(begin[1:])}; hold fewer layers")
        self.reads = [*begin, *graph.frontier(begin, [self.target])]
        self.piece = graph.cut(self.reads, [self.target])
        places = [batch_of(graph.node(name)) for name in (*self.reads, self.target)]
        if any(place is None for place in places):
            raise InputError(f"{self.layer.name} or what is read beside it does not depend on the input")
        *self._places, self._out = [place for place in places if place is not None]

    def values(self, inputs: tuple[Tensor, ...]) -> list[Tensor]:
        """Return what a run computes of the layer and of all that is read beside it; once for each of the two runs."""
        with torch.no_grad():
            return list(self.model.activations(inputs, self.reads).values())

    def run(
        self,
        base: Sequence[Tensor],
        other: Sequence[Tensor],
        patches: Sequence[Patch],
        put: Tensor | None = None,
    ) -> Float[Tensor, "row pair *output"]:
        """Return the target in the run `base` with each patch from the run `other`, for every pair of images.

        Parameters
        ----------
        base, other
            Of `values`.
        put
            What patches put in place of the other run's activation of the layer, such as its mean; it is expanded to it.

        Returns
        -------
        Tensor
            The first row is the run `base`, the second the run `other`, then one row a patch; all of one batch.
        """
        value = other[0] if put is None else put.to(base[0]).expand_as(other[0])
        return self.run_rows(base, other, [(row, patch, value) for row, patch in enumerate(patches, start=2)], len(patches) + 2)

    def run_rows(
        self, base: Sequence[Tensor], other: Sequence[Tensor], writes: Sequence[tuple[int, Patch, Tensor]], number: int
    ) -> Float[Tensor, "row pair *output"]:
        """Return the target for so many rows: all are the run `base`, but the second the run `other`, and for what is written into them.

        Parameters
        ----------
        writes
            Row, patch, and the activation of the layer that it takes its part from.
        """
        pairs = self._pairs(base[0])
        rows = number + -(-(-number * pairs % 8) // pairs)  # an odd size would be computed by other kernels
        read = []
        for place, (axis, _) in enumerate(self._places):
            shape = list(base[place].shape)
            shape[axis] *= rows
            stacked = base[place].new_empty(shape)
            parts = stacked.unflatten(axis, (rows, -1)).movedim(axis, 0)
            parts[:] = base[place].unsqueeze(0)
            parts[1] = other[place]
            read.append(stacked)
        axis = self._places[0][0]
        parts = read[0].unflatten(axis, (rows, -1)).movedim(axis, 0)
        flat: dict[int, Tensor] = {}
        for row, patch, value in writes:
            if id(value) not in flat:
                flat[id(value)] = self._flat(value)
            self._write(patch, parts[row], flat[id(value)])
        with torch.no_grad(), same_bits_in_every_row(self.piece):
            (output,) = self._compute(read)
        axis, per_example = self._out
        result: Tensor = output.unflatten(axis, (rows, -1)).movedim(axis, 0)[:number]
        return result if per_example == 1 else result.reshape(number, pairs, -1)

    def _compute(self, read: Sequence[Tensor]) -> tuple[Tensor, ...]:
        read = [channels_last(value) for value in read]
        if not self.recorded:
            return self.piece(*read)
        shapes = tuple(value.shape for value in read)
        if shapes not in self._recordings:
            self._recordings[shapes] = one_call(self.piece, tuple(read))
        return self._recordings[shapes](*read)

    def chunks(self, number: int, pairs: int, rows: int = ROWS) -> list[slice]:
        """Return which patches are tried together in a batch of so many examples."""
        step = max(1, rows // pairs - 2)
        return [slice(at, min(at + step, number)) for at in range(0, number, step)]

    def _pairs(self, value: Tensor) -> int:
        axis, per_example = self._places[0]
        return int(value.shape[axis]) // per_example

    def _flat(self, value: Tensor) -> Float[Tensor, "pair unit cell"]:
        arranged = self.layer.arrange(value)
        return arranged.reshape(*arranged.shape[:2], -1)

    def _write(self, patch: Patch, row: Tensor, value: Tensor) -> None:
        arranged = self.layer.arrange(row)
        if arranged.dim() == 3:
            patch.write(arranged, value)
            return
        flat = arranged.reshape(*arranged.shape[:2], -1)  # a copy where the row is no block of memory
        patch.write(flat, value)
        if flat.data_ptr() != arranged.data_ptr():
            arranged.copy_(flat.reshape(arranged.shape))


def _goes_past(graph: ModelGraph, layer: str, held: Sequence[str], target: str) -> bool:
    """Tell whether a path leads from a layer to a target past what is held."""
    shut = {graph.node(name) for name in held}
    seen, ahead = set[fx.Node](), [graph.node(layer)]
    while ahead:
        node = ahead.pop()
        if node is graph.node(target):
            return True
        ahead += [user for user in node.users if user not in seen and user not in shut]
        seen.update(node.users)
    return False


def scores(values: Float[Tensor, "row pair"]) -> Float[Tensor, "row pair"]:
    """Return (patched - base) / (other - base) of a metric, the rows as `Patcher.run` has them: 0 for the first, 1 for the second.

    In the direction *denoise* the base is the corrupt run and the other the clean one; in *noise* it is the other way round, and the same
    formula is (clean - patched) / (clean - corrupt).
    """
    base, other = values[0], values[1]
    return (values - base) / (other - base)


def estimate(
    model: TracedModel,
    layers: Sequence[str],
    base: tuple[Tensor, ...],
    other: Mapping[str, Tensor],
    metric: object,
    target: str | None = None,
) -> dict[str, Float[Tensor, "pair unit cell"]]:
    """Return attribution patching of every unit and cell of some layers, from one pass forward and one back (Nanda 2023).

    To first order a patch changes the metric by gradient x (other - base): its `Patch.of` these numbers.

    Parameters
    ----------
    base
        What the network reads in the run that is patched.
    other
        The layers' activations in the other run.
    metric
        Called with the target's value; returns one number a pair.
    """
    assert callable(metric)
    names = [model.layer(layer).name for layer in layers]
    inputs = tuple(value.detach().clone().requires_grad_(value.is_floating_point()) for value in base)
    with torch.enable_grad():
        *values, output = model.forward_to([*names, target or model.graph.output])(*inputs)
        grads = torch.autograd.grad(metric(output).sum(), values, allow_unused=True)
    found = {}
    for name, value, grad in zip(names, values, grads, strict=True):
        layer = model.layer(name)
        slope = torch.zeros_like(value) if grad is None else grad
        effect = layer.arrange(slope) * (layer.arrange(other[name]) - layer.arrange(value.detach()))
        found[name] = effect.reshape(*effect.shape[:2], -1)
    return found
