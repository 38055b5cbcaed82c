"""Expanded weights: the gradient of a unit, at one position, with respect to an earlier layer, every gate in between held still.

Olah et al., "Visualizing Weights" (Distill 2021). The gates are those of a clean run, averaged over images (`MeanGates`), or left out.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.extent import extent
from workbench.input_error import InputError
from workbench.models.affine import affine_sources, before_activation, layer_of
from workbench.models.crop import Crop, crop
from workbench.models.layer import Layer, Unit
from workbench.models.linearise import NORMS, Gate, LinearCut

if TYPE_CHECKING:
    from workbench.images.image_set import ImageSet
    from workbench.models.traced_model import TracedModel

Ways = Literal["all", "direct", "indirect"]
"""Which ways between two layers count: all, those that meet no further non-linearity, or the others."""
BYTES = 64 << 20
"""Of what is seen of a source for the units whose gradients are taken in one pass, at most."""
TOGETHER = 128
"""Units whose gradients are taken in one pass, at most."""


@dataclass(frozen=True, eq=False)
class MeanGates:
    """The frozen values of a linearised cut, averaged over images.

    Attributes
    ----------
    values
        Each for one example.
    axes
        Along which axis of each the examples lie; None where they have none.
    """

    values: tuple[Tensor, ...]
    axes: tuple[int | None, ...]

    def of(self, examples: int) -> tuple[Tensor, ...]:
        """Return them for so many examples, all alike."""
        return tuple(
            value if axis is None else value.repeat(*(examples if a == axis else 1 for a in range(value.dim())))
            for value, axis in zip(self.values, self.axes, strict=True)
        )


def mean_gates(cut: LinearCut, batches: Iterable[tuple[Tensor, ...]], pulse: Callable[[], None]) -> MeanGates:
    """Average the gates over batches of the network's inputs, calling `pulse` after each.

    Raises
    ------
    ValueError
        When there is no batch, or a value that would be averaged is no real number, such as the places of an adaptive max-pooling.
    """
    total: list[Tensor] = []
    axes: list[int | None] = []
    images = 0
    for inputs in batches:
        number = len(inputs[0])
        frozen = cut.freeze(cut.clean_run(*inputs))
        if not total:
            one, two = (cut.freeze(cut.clean_run(*(value[:1].repeat_interleave(n, 0) for value in inputs))) for n in (1, 2))
            axes = [_example_axis(single, double) for single, double in zip(one, two, strict=True)]
            if whole := [value.name for value, single in zip(cut.frozen, one, strict=True) if not single.is_floating_point()]:
                raise InputError(f"{whole[0]} cannot be averaged over images: it is made of whole numbers")
            total = [torch.zeros_like(value, dtype=torch.float64) for value in one]
        for place, (value, axis) in enumerate(zip(frozen, axes, strict=True)):
            each = value.double()
            total[place] += number * each if axis is None else each.unflatten(axis, (number, -1)).sum(axis)
        images += number
        pulse()
    if not images:
        raise ValueError("gates are averaged over at least one image")
    return MeanGates(tuple((value / images).float() for value in total), tuple(axes))


def _example_axis(one: Tensor, two: Tensor) -> int | None:
    """Return the axis along which examples lie, from the value for one example and that for two."""
    return next((axis for axis, (single, double) in enumerate(zip(one.shape, two.shape, strict=True)) if single != double), None)


@dataclass(frozen=True, eq=False)
class Window:
    """Kernels cut to where they are not zero.

    Attributes
    ----------
    kernels
        ``unit source *position``.
    start
        Where in the source the window begins, along each of its position's axes.
    """

    kernels: Float[Tensor, "unit source *position"]
    start: tuple[int, ...]

    def without(self, other: Window) -> Window:
        """Return what these kernels have beyond others of the same units."""
        both = joined([self, other])
        kernels, others = both.kernels.split(len(self.kernels))
        return Window.of(kernels - others, both.start)

    @classmethod
    def of(cls, kernels: Tensor, start: Sequence[int]) -> Window:
        """Cut kernels that begin at `start`; where all are zero one position is left."""
        there = (kernels != 0).flatten(0, 1).any(0).cpu().numpy()
        window = extent(there) or tuple(slice(size // 2, size // 2 + 1) for size in there.shape)
        places = tuple(first + part.start for first, part in zip(start, window, strict=True))
        return cls(kernels[(slice(None), slice(None), *window)].float().cpu().clone(), places)


def joined(windows: Sequence[Window]) -> Window:
    """Put the kernels of several units under one another, in the smallest window that holds all."""
    axes = len(windows[0].start)
    start = tuple(min(window.start[a] for window in windows) for a in range(axes))
    stop = tuple(max(window.start[a] + window.kernels.shape[2 + a] for window in windows) for a in range(axes))
    first = windows[0].kernels
    whole = first.new_zeros(
        sum(len(window.kernels) for window in windows), first.shape[1], *(b - a for a, b in zip(start, stop, strict=True))
    )
    row = 0
    for window in windows:
        rows: list[slice] = [slice(row, row + len(window.kernels)), slice(None)]
        for at, low, size in zip(window.start, start, window.kernels.shape[2:], strict=True):
            rows.append(slice(at - low, at - low + size))
        whole[tuple(rows)] = window.kernels
        row += len(window.kernels)
    return Window(whole, start)


def position_axes(layer: Layer) -> list[int]:
    """Return the axes of an activation that count positions inside a row: not the examples', not the units'."""
    axes = [axis for axis in range(len(layer.shape) + 1) if axis != layer.batch_axis]
    if axes:
        axes.pop(layer.unit_axis % len(axes))
    return axes


def several(value: Tensor, layer: Layer, examples: int) -> Tensor:
    """Return an activation for one example as one for so many, all alike."""
    return value.repeat(*(examples if axis == layer.batch_axis else 1 for axis in range(value.dim())))


def read_inputs(
    model: TracedModel, images: ImageSet, number: int, batch: int, seed: int
) -> tuple[list[tuple[Tensor, ...]], npt.NDArray[np.int64]]:
    """Choose images by a seed and read them: batches of what the network reads, and the indices of all that could be read."""
    order = np.sort(np.random.default_rng(seed).permutation(len(images))[:number])
    read = list(images.batches(model.preprocessing.size, batch, order))
    seen = np.concatenate([part.indices for part in read]) if read else np.empty(0, np.int64)
    return [model.inputs(model.preprocess(part.images)) for part in read], seen


# Between two layers of a network


@dataclass(frozen=True, eq=False)
class Part:
    """Target units that stand in one layer before their non-linearity, and their places in the order asked for."""

    layer: Layer
    units: list[int]
    rows: list[int]


def asked_of(model: TracedModel, source: str, target: str, units: Sequence[int]) -> tuple[Layer, Layer, tuple[int, ...]]:
    """Return the two layers and the target's units that are asked for: all where none is.

    Raises
    ------
    InputError
        When the first does not feed the second, or there is no such unit.
    """
    first, last = model.layer(source), model.layer(target)
    chosen = tuple(units) or tuple(range(last.units))
    last.check(chosen)
    if model.graph.node(last.name) not in model.graph.downstream([first.name]):
        raise InputError(f"{first.name} does not feed {last.name}; choose a source before it")
    return first, last, chosen


def parts_of(model: TracedModel, asked: Layer, units: Sequence[int]) -> list[Part]:
    """Return where units of a layer stand before their non-linearity, layer by layer: those of a concatenation in its branches."""
    found: dict[str, Part] = {}
    for row, unit in enumerate(units):
        before = before_activation(model.graph, Unit(asked.name, unit))
        part = found.setdefault(before.layer, Part(layer_of(model.graph, model.graph.node(before.layer)), [], []))
        part.units.append(before.index)
        part.rows.append(row)
    return list(found.values())


@dataclass(frozen=True, eq=False)
class Piece:
    """A linearised piece of the network with mean gates.

    Attributes
    ----------
    values
        Activations of its sources for one example: that of the first only has the right shape, the others are means.
    """

    cut: LinearCut
    gates: MeanGates
    values: list[Tensor]
    layers: list[Layer]
    target: Layer

    @classmethod
    def of(
        cls,
        model: TracedModel,
        sources: Sequence[str],
        target: Layer,
        gate: Gate,
        inputs: Sequence[tuple[Tensor, ...]],
        pulse: Callable[[], None],
    ) -> Piece:
        """Linearise what lies between some layers and a target, over batches of the network's inputs; `pulse` is called after each."""
        graph = model.graph
        cut = graph.linearise(list(sources), [target.name], gate=gate)
        layers = [layer_of(graph, graph.node(name)) for name in cut.sources]
        with torch.no_grad():
            gates = mean_gates(cut, inputs, pulse)
            first = model.activations(tuple(value[:1] for value in inputs[0]), cut.sources[:1])[cut.sources[0]]
            total: list[Tensor] = []
            number = 0
            for part in inputs if len(layers) > 1 else ():
                clean = model.activations(part, cut.sources[1:])
                sums = [_over_examples(clean[name], layer) for name, layer in zip(cut.sources[1:], layers[1:], strict=True)]
                total = [a + b for a, b in zip(total, sums, strict=True)] if total else sums
                number += len(part[0])
                pulse()
        return cls(cut, gates, [first, *((value / number).float() for value in total)], layers, target)

    @property
    def broken(self) -> Bool[Tensor, " unit"]:
        """Which units of the target have weights of their own that are no numbers."""
        found = torch.zeros(self.target.units, dtype=torch.bool)
        for weight in (*self.cut.module.parameters(), *self.cut.module.buffers()):
            if weight.dim() and len(weight) == self.target.units and weight.is_floating_point():
                found |= ~weight.detach().cpu().reshape(len(weight), -1).isfinite().all(1)
        return found

    def mended(self) -> Piece:
        """Return a piece in which every weight is a number: a product with NaN is NaN, and would make every unit's gradient one."""
        weights = (*self.cut.module.parameters(), *self.cut.module.buffers())
        if all(bool(weight.isfinite().all()) for weight in weights):
            return self
        module = copy.deepcopy(self.cut.module)
        with torch.no_grad():
            for weight in (*module.parameters(), *module.buffers()):
                weight.nan_to_num_(0.0, 0.0, 0.0)
        return replace(self, cut=replace(self.cut, module=module))

    @cached_property
    def crop(self) -> Crop:
        """What the unit at the centre sees of the piece."""
        place, size = position_axes(self.target), self.target.shape
        whole = self.target.rows > 1  # of windows, which lie among the examples
        shape = [*size[: self.target.batch_axis], self.target.rows, *size[self.target.batch_axis :]]
        wanted = [(0, length) for length in shape]
        for axis, at in () if whole else zip(place, centre(self.target), strict=True):
            wanted[axis] = (at, at + 1)
        return crop(self.cut, [*self.values, *self.gates.of(1)], tuple(wanted))

    def kernels(self, units: Sequence[int]) -> Window:
        """Return the gradients of some units at the centre with respect to the first source; it does not depend on the source's value."""
        number = len(self.values)
        seen = self.crop.of([*self.values, *self.gates.of(1)])
        many = [several(value.detach(), layer, len(units)) for value, layer in zip(seen[:number], self.layers, strict=True)]
        moving = many[0].requires_grad_()
        with torch.enable_grad():
            reached = self.target.arrange(self.crop([*many, *MeanGates(tuple(seen[number:]), self.gates.axes).of(len(units))]))
            position = centre(self.target) if self.target.rows > 1 else (0,) * (reached.dim() - 2)
            assert self.target.rows > 1 or all(size == 1 for size in reached.shape[2:]), "a crop computed more than was asked for"
            each = torch.stack([reached[(row, unit, *position)] for row, unit in enumerate(units)])
            (gradient,) = torch.autograd.grad(each.sum(), moving)
        source = self.layers[0]
        start = tuple(self.crop.windows[0][axis][0] for axis in position_axes(source))
        return Window.of(source.arrange(gradient), (0, *start) if source.rows > 1 else start)

    @property
    def together(self) -> int:
        """Units whose gradients are taken in one pass."""
        seen = math.prod(high - low for low, high in self.crop.windows[0])
        return max(1, min(TOGETHER, BYTES // (4 * max(1, seen))))


class Fit:
    """How much of the variance of some units of a piece's target the piece explains, over images and positions."""

    def __init__(self, piece: Piece, units: Sequence[int]) -> None:
        self.piece, self.units = piece, list(units)
        self._error, self._moments = np.zeros(len(units)), Moments()

    @property
    def reads(self) -> tuple[str, ...]:
        """Layers of a clean run that it is measured with."""
        return self.piece.cut.sources[0], self.piece.target.name

    @torch.no_grad()
    def see(self, clean: Mapping[str, Tensor], images: int) -> None:
        """Take another batch into account."""
        piece = self.piece
        first, name = self.reads
        values = [clean[first], *(several(value, layer, images) for value, layer in zip(piece.values[1:], piece.layers[1:], strict=True))]
        linear = piece.target.arrange(piece.cut(values, piece.gates.of(images))[0])[:, self.units]
        actual = piece.target.arrange(clean[name])[:, self.units]
        self._error += (linear - actual).double().square().transpose(0, 1).flatten(1).sum(1).cpu().numpy()
        self._moments.see(actual)

    @property
    def r2(self) -> npt.NDArray[np.float64]:
        """1 - SSE / SST of each unit; NaN where the unit does not vary."""
        spread = self._moments.std**2 * self._moments.number
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(spread > 0, 1 - self._error / spread, np.nan)


def _over_examples(value: Tensor, layer: Layer) -> Tensor:
    """Return the sum over the examples of an activation, as an activation for one example."""
    rows: Tensor = value.double().movedim(layer.batch_axis, 0).unflatten(0, (-1, layer.rows)).sum(0)
    return rows.movedim(0, layer.batch_axis)


def windows_of(whole: Piece | None, direct: Piece | None, units: Sequence[int], tell: Callable[[int], None]) -> Window:
    """Return the kernels of one of two pieces, or of what the whole has beyond the direct ways, a few units at a time.

    `tell` is called with the number of units done. Units whose own weights are no numbers have kernels of NaN.
    """
    broken = [piece.broken for piece in (whole, direct) if piece is not None]
    whole, direct = (piece.mended() if piece is not None else None for piece in (whole, direct))
    first = whole or direct
    assert first is not None
    found = []
    for start in range(0, len(units), first.together):
        chunk = list(units[start : start + first.together])
        kernels = first.kernels(chunk)
        found.append(kernels.without(direct.kernels(chunk)) if whole is not None and direct is not None else kernels)
        tell(start + len(chunk))
    window = joined(found)
    window.kernels[torch.stack(broken).any(0)[list(units)]] = torch.nan
    return window


def nothing(source: Layer, units: int) -> Window:
    """Return kernels of units that a source does not reach."""
    middle = tuple(size // 2 for size in source.positions)
    return Window(torch.zeros(units, source.units, *(1 for _ in middle)), middle)


def centre(layer: Layer, positions: Sequence[int] | None = None) -> tuple[int, ...]:
    """Return the position in the middle of the image: of a sequence of patches, or of windows, that of the middle row and column.

    Parameters
    ----------
    positions
        Sizes of the axes of its positions where the network reads images of another size than its own.
    """
    sizes = layer.positions if positions is None else tuple(positions)
    windows, inside = (sizes[:1], sizes[1:]) if layer.rows > 1 else ((), sizes)
    in_a_row = 1 if len(inside) - layer.features == 1 else 0  # of tokens; a head's features come behind them
    middle = [_in_the_middle(layer, number) for number in (*windows, *inside[:in_a_row])]
    return (*middle, *(size // 2 for size in inside[in_a_row:]))


def _in_the_middle(layer: Layer, tokens: int) -> int:
    grid = layer.grid(tokens)
    return tokens // 2 if grid is None else grid[0] + grid[1] // 2 * grid[2] + grid[2] // 2


def moments_of(
    model: TracedModel, layer: Layer, inputs: Sequence[tuple[Tensor, ...]], pulse: Callable[[], None], fits: Sequence[Fit] = ()
) -> Moments:
    """Return mean and standard deviation of a layer's units over batches of the network's inputs; fits are measured on the same run."""
    moments = Moments()
    names = list(dict.fromkeys([layer.name, *(name for fit in fits for name in fit.reads)]))
    with torch.no_grad():
        for part in inputs:
            clean = model.activations(part, names)
            moments.see(layer.arrange(clean[layer.name]))
            for fit in fits:
                fit.see(clean, len(part[0]))
            pulse()
    return moments


class Moments:
    """Mean and standard deviation of each unit, over images and positions."""

    def __init__(self) -> None:
        self.number = 0
        self._mean: Any = 0.0
        self._squares: Any = 0.0

    def see(self, arranged: Tensor) -> None:
        """Take another batch into account, ``image unit *position``, as Chan et al. (1983) combine two parts."""
        values = arranged.double().transpose(0, 1).flatten(1).cpu().numpy()
        number, mean = values.shape[1], values.mean(1)
        whole = self.number + number
        apart = mean - self._mean
        self._squares = self._squares + np.square(values - mean[:, None]).sum(1) + apart**2 * self.number * number / whole
        self._mean = self._mean + apart * number / whole
        self.number = whole

    @property
    def mean(self) -> npt.NDArray[np.float64]:
        """Of each unit."""
        return np.asarray(self._mean)

    @property
    def std(self) -> npt.NDArray[np.float64]:
        """Of each unit, as of the whole population."""
        return np.asarray(np.sqrt(self._squares / max(1, self.number)))


def pieces_of(
    model: TracedModel,
    source: Layer,
    target: Layer,
    inputs: Sequence[tuple[Tensor, ...]],
    ways: Ways,
    gate: Gate,
    pulse: Callable[[], None],
) -> tuple[Piece | None, Piece | None]:
    """Linearise what lies between, whole and only the direct ways, as far as either is needed; None where there is no such way.

    Direct ways may pass normalisations, whose deviation is held at its mean.
    """
    graph = model.graph
    if graph.node(target.name) not in graph.downstream([source.name]):
        return None, None
    nearest = affine_sources(graph, target.name, until=[source.name], through=NORMS)
    beside = [name for name in nearest if name != source.name]
    whole = Piece.of(model, [source.name], target, gate, inputs, pulse) if ways != "direct" else None
    direct = source.name in nearest and ways != "all"
    return whole, Piece.of(model, [source.name, *beside], target, gate, inputs, pulse) if direct else None
