"""The share that each unit of one layer has in each unit of a later one, wherever the later one is a sum over the earlier.

Between two non-linearities lies a sum, and nearly always the same one at every place: a kernel that is moved over the source. `shares_of`
takes these kernels as gradients at the target's middle, or, where the map is too small to hold them, at its corners, which together see
every part of them that reaches into the map; and compares the sum with the network on random values. A source that is no such thing
(patches of an image that become tokens) is pushed through the piece one unit at a time instead. Either way a share is exact, borders and
strides included.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

from workbench.input_error import InputError
from workbench.models.affine import layer_of
from workbench.models.expanded import Piece, several, windows_of
from workbench.models.layer import Layer
from workbench.models.linearise import LinearCut

if TYPE_CHECKING:
    from workbench.models.traced_model import TracedModel

CLOSE = 1e-4
"""Largest difference between a moved kernel and the piece itself, in parts of the largest value, that is rounding."""
BYTES = 128 << 20
"""Of the shares that are worked on at once."""
UNITS_AT_ONCE = 32
"""Units whose gradients are taken in one pass."""
CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}

Places = Int64[Tensor, "image place"]


class Shares(ABC):
    """What each unit of one source layer adds to each unit of the target; linear in the source's values.

    Attributes
    ----------
    source
        The layer; `values` below are its activations, arranged ``image unit *position``.
    """

    source: Layer

    @abstractmethod
    def at(self, values: Tensor, places: Places, units: Sequence[int]) -> Iterator[tuple[slice, Float[Tensor, "source sample unit"]]]:
        """Yield the shares of some source units at a time (which ones, and what they add).

        Parameters
        ----------
        places
            Of each image, target positions as places in its flattened map; a sample is an image's place, image by image.
        units
            Of the target.
        """

    @abstractmethod
    def added(self, values: Tensor, chosen: Bool[Tensor, "unit source"]) -> Float[Tensor, "image unit *position"]:
        """Return what the source units `chosen` for each target unit add to it, at all positions."""

    @abstractmethod
    def strength(self) -> Float[Tensor, "unit source"]:
        """Return the size of the weights: the norm of each kernel."""


@dataclass(frozen=True, eq=False)
class MovedKernels(Shares):
    """A kernel that is moved over the source.

    Attributes
    ----------
    kernels
        ``unit source feature *window``: `feature` are the source's positions along axes that the target has not, such as the numbers that
        a head writes to a token.
    start, stride
        Along each of the target's axes: where in the source the window begins for the target's position 0, and how far it moves.
    positions
        Of the target; none where it is read at one place alone.
    crop
        Part of the source's positions that the kernels know; empty for all.
    """

    source: Layer
    kernels: Float[Tensor, "unit source feature *window"]
    start: tuple[int, ...]
    stride: tuple[int, ...]
    positions: tuple[int, ...]
    crop: tuple[slice, ...] = ()

    def _read(self, values: Tensor) -> Float[Tensor, "image source feature *reached"]:
        """Fold the source, padded with zeros and cut to what the target's positions read."""
        axes = len(self.positions)
        folded = _folded(values[(slice(None), slice(None), *self.crop)], axes)
        padding: list[int] = []
        begin, length = [], []
        for axis in range(axes):
            reach = self.stride[axis] * (self.positions[axis] - 1) + self.kernels.shape[3 + axis]
            before = max(0, -self.start[axis])
            after = max(0, self.start[axis] + reach - folded.shape[3 + axis])
            padding = [before, after, *padding]
            begin.append(self.start[axis] + before)
            length.append(reach)
        padded = F.pad(folded, padding) if any(padding) else folded
        for axis in range(axes):
            padded = padded.narrow(3 + axis, begin[axis], length[axis])
        return padded

    def at(self, values: Tensor, places: Places, units: Sequence[int]) -> Iterator[tuple[slice, Float[Tensor, "source sample unit"]]]:
        """Gather what the window sees at each place, and multiply."""
        read = self._read(values)
        where = self._window(places, read.shape[3:]).to(values.device)
        flat = read.reshape(*read.shape[:3], -1)
        images, sources, features = flat.shape[:3]
        entries = features * where.shape[2]
        chunk = max(1, BYTES // (4 * max(1, images * places.shape[1] * (entries + len(units)))))
        weights = self.kernels[list(units)].flatten(2).permute(1, 2, 0)
        index = where.flatten(1)[:, None, None]
        for start in range(0, sources, chunk):
            part = flat[:, start : start + chunk]
            seen = part.gather(3, index.expand(*part.shape[:3], -1)).unflatten(3, where.shape[1:])
            rows = seen.permute(1, 0, 3, 2, 4).flatten(3).flatten(1, 2)
            yield slice(start, start + part.shape[1]), rows @ weights[start : start + chunk]

    def _window(self, places: Places, reached: Sequence[int]) -> Int64[Tensor, "image place entry"]:
        """Return the places in the flattened source that the window covers."""
        found = torch.zeros(*places.shape, 1, dtype=torch.int64)
        rest = places
        steps = [math.prod(reached[axis + 1 :]) for axis in range(len(reached))]
        for axis, size in reversed(list(enumerate(self.positions))):
            coordinate, rest = rest % size, rest // size
            entries = coordinate[..., None] * self.stride[axis] + torch.arange(self.kernels.shape[3 + axis])
            found = (entries[..., :, None] * steps[axis] + found[..., None, :]).flatten(2)
        return found

    def added(self, values: Tensor, chosen: Bool[Tensor, "unit source"]) -> Float[Tensor, "image unit *position"]:
        """Convolve with the kernels of what is chosen."""
        masked = self.kernels * chosen[(..., *[None] * (self.kernels.dim() - 2))]
        read = self._read(values)
        if not self.positions:
            result: Tensor = F.linear(read.flatten(1), masked.flatten(1))
            return result
        convolve = CONVOLUTIONS[len(self.positions)]
        convolved: Tensor = convolve(read.flatten(1, 2), masked.flatten(1, 2), stride=self.stride)
        return convolved

    def strength(self) -> Float[Tensor, "unit source"]:
        """Return the norm of each kernel."""
        norms: Tensor = self.kernels.flatten(2).norm(dim=2)
        return norms


@dataclass(frozen=True, eq=False)
class Pushed(Shares):
    """A source that is pushed through the piece one unit at a time, everything else being zero.

    Attributes
    ----------
    target
        The layer.
    example
        The source's values for one example, arranged; only their shape counts.
    piece
        From the source's values, as the network lays them out, to the target's, less what comes of zeros.
    """

    source: Layer
    target: Layer
    example: Float[Tensor, "1 unit *position"]
    piece: Callable[[Tensor], Tensor]

    def _one(self, values: Tensor, unit: int) -> Float[Tensor, "image unit *position"]:
        alone = torch.zeros_like(values)
        alone[:, unit] = values[:, unit]
        reached: Tensor = self.target.arrange(self.piece(self._laid_out(alone)))
        return reached

    def _laid_out(self, arranged: Tensor) -> Tensor:
        layer = self.source
        axis = layer.unit_axis % len(layer.shape) + 1 if layer.shape else 0
        return arranged.movedim(1, axis).movedim(0, layer.batch_axis) if layer.shape else arranged[:, 0]

    def at(self, values: Tensor, places: Places, units: Sequence[int]) -> Iterator[tuple[slice, Float[Tensor, "source sample unit"]]]:
        """Run the piece once a unit."""
        index = places.to(values.device)[:, None]
        for unit in range(values.shape[1]):
            reached = self._one(values, unit)[:, list(units)]
            maps = reached.flatten(2) if reached.dim() > 2 else reached[..., None]
            picked = maps.gather(2, index.expand(-1, len(units), -1))
            yield slice(unit, unit + 1), picked.permute(0, 2, 1).flatten(0, 1)[None]

    def added(self, values: Tensor, chosen: Bool[Tensor, "unit source"]) -> Float[Tensor, "image unit *position"]:
        """Add up what the piece makes of each unit."""
        total: Tensor | None = None
        for unit in torch.nonzero(chosen.any(0))[:, 0].tolist():
            one = self._one(values, unit)
            one = one * chosen[:, unit].to(one.dtype).reshape(-1, *[1] * (one.dim() - 2))
            total = one if total is None else total + one
        if total is None:
            return torch.zeros_like(self._one(values, 0))
        return total

    def strength(self) -> Float[Tensor, "unit source"]:
        """Return how much a source that is 1 everywhere adds, as a norm over the target's positions."""
        ones = torch.ones_like(self.example)
        return torch.stack([self._one(ones, unit)[0].flatten(1).norm(dim=1) for unit in range(self.source.units)], 1)


def shares_of(model: TracedModel, sources: Sequence[str], target: Layer, x: Tensor) -> list[Shares]:
    """Return the shares of the units of `sources`, of which together the target is an affine function.

    Parameters
    ----------
    x
        A network input, for the activations' shapes.

    Raises
    ------
    InputError
        When an operation between them is not affine.
    """
    graph = model.graph
    cut = graph.linearise(list(sources), [target.name])
    layers = [layer_of(graph, graph.node(name)) for name in cut.sources]
    if cut.frozen:
        raise InputError(f"{target.name} is no sum over {', '.join(sources)}: {cut.frozen[0].name} stands between; name nearer sources")
    with torch.no_grad():
        clean = model.activations(model.inputs(x[:1]), list(cut.sources))
    values = [clean[name] for name in cut.sources]
    found: dict[int, Shares] = {}
    middle = tuple(size // 2 for size in target.positions)
    corners = sorted(set(product(*({0, size - 1} for size in target.positions))))
    for places in ([middle], corners):
        left = [place for place in range(len(layers)) if place not in found]
        seen = _seen_from(places, cut, values, layers, target, left)
        found |= {place: moved for place in left if (moved := _moves(cut, values, layers, target, place, seen.get(place))) is not None}
    return [
        found[place] if place in found else Pushed(layer, target, layer.arrange(values[place]), _piece(cut, values, layers, place))
        for place, layer in enumerate(layers)
    ]


@dataclass(frozen=True, eq=False)
class _Seen:
    """What one source's kernels look like from one position of the target: cut to where any is not zero."""

    position: tuple[int, ...]
    start: tuple[int, ...]
    units: slice
    kernels: Float[Tensor, "unit source feature *window"]


def _seen_from(
    positions: Sequence[tuple[int, ...]],
    cut: LinearCut,
    values: Sequence[Tensor],
    layers: Sequence[Layer],
    target: Layer,
    asked: Sequence[int],
) -> dict[int, list[_Seen]]:
    """Take the gradients at some of the target's positions, with respect to those sources asked for whose positions can be the target's."""
    axes = len(target.positions)
    fitting = [place for place in asked if len(layers[place].positions) >= axes and layers[place].rows == 1]
    seen: dict[int, list[_Seen]] = {place: [] for place in fitting if axes <= max(CONVOLUTIONS)}
    for position in positions if seen else ():
        for first in range(0, target.units, UNITS_AT_ONCE):
            units = range(target.units)[first : first + UNITS_AT_ONCE]
            many = [several(value.detach(), layer, len(units)) for value, layer in zip(values, layers, strict=True)]
            moving = [many[place].requires_grad_() for place in seen]
            with torch.enable_grad():
                reached = target.arrange(cut(many, ())[0])
                each = torch.stack([reached[(row, unit, *position)] for row, unit in enumerate(units)])
                gradients = torch.autograd.grad(each.sum(), moving, allow_unused=True)
            for (place, found), gradient in zip(seen.items(), gradients, strict=True):
                if gradient is not None:
                    folded = _folded(layers[place].arrange(gradient), axes)
                    there = [_reach(folded, 3 + axis) for axis in range(axes)]
                    window = folded[(slice(None), slice(None), slice(None), *there)].clone()
                    found.append(_Seen(position, tuple(part.start for part in there), slice(first, first + len(units)), window))
    return seen


def _folded(arranged: Tensor, axes: int) -> Float[Tensor, "image unit feature *position"]:
    """Take the positions behind the first `axes` ones together, as features of a unit."""
    return (arranged.flatten(2 + axes) if arranged.dim() > 2 + axes else arranged[..., None]).movedim(-1, 2)


def _reach(folded: Tensor, axis: int) -> slice:
    there = torch.nonzero((folded != 0).movedim(axis, 0).flatten(1).any(1))[:, 0]
    return slice(int(there[0]), int(there[-1]) + 1) if len(there) else slice(0, 1)


def _piece(cut: LinearCut, values: Sequence[Tensor], layers: Sequence[Layer], place: int) -> Callable[[Tensor], Tensor]:
    """Return what becomes of one source's values while all others are zero, less what becomes of zeros alone."""
    quiet, layer = [torch.zeros_like(value) for value in values], layers[place]

    @torch.no_grad()
    def piece(value: Tensor) -> Tensor:
        examples = value.shape[layer.batch_axis] // layer.rows
        given = [several(one, of, examples) for one, of in zip(quiet, layers, strict=True)]
        nothing = cut(given, ())[0]
        given[place] = value
        return cut(given, ())[0] - nothing

    return piece


def _moves(
    cut: LinearCut, values: Sequence[Tensor], layers: Sequence[Layer], target: Layer, place: int, seen: list[_Seen] | None
) -> MovedKernels | None:
    """Put together what was seen of a source's kernels; None where moving them is not what the piece does."""
    if seen is None:
        return None
    layer = layers[place]
    shape = list(values[place].shape)
    shape[layer.batch_axis] *= 2
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(values[place])
    truth = target.arrange(_piece(cut, values, layers, place)(noise))
    everything = torch.ones(target.units, layer.units, dtype=torch.bool, device=noise.device)
    for stride in product(*_strides(layer, target)):
        moved = _moved(layer, target, seen, stride)
        said = moved.added(layer.arrange(noise), everything)
        if said.shape == truth.shape and float((said - truth).abs().max()) <= CLOSE * float(truth.abs().max()):
            return moved
    return None


def _strides(source: Layer, target: Layer) -> list[list[int]]:
    """Return, along each axis, by how much the kernel may move from one position to the next, the likeliest first."""
    found = []
    for size, wanted in zip(source.positions, target.positions, strict=False):
        ratio = size / wanted
        found.append(list(dict.fromkeys(max(1, step) for step in (round(ratio), math.floor(ratio), math.ceil(ratio)))))
    return found


def _moved(layer: Layer, target: Layer, seen: Sequence[_Seen], stride: tuple[int, ...]) -> MovedKernels:
    """Lay what was seen from each position over one another."""
    axes = len(stride)
    if not seen:
        seen = [_Seen((0,) * axes, (0,) * axes, slice(0, 1), torch.zeros(1, layer.units, math.prod(layer.positions[axes:]), *[1] * axes))]
    starts = [tuple(s - r * c for s, r, c in zip(one.start, stride, one.position, strict=True)) for one in seen]
    low = tuple(min(start[axis] for start in starts) for axis in range(axes))
    high = tuple(max(start[axis] + one.kernels.shape[3 + axis] for start, one in zip(starts, seen, strict=True)) for axis in range(axes))
    first = seen[0].kernels
    whole = first.new_zeros(target.units, *first.shape[1:3], *(b - a for a, b in zip(low, high, strict=True)))
    for start, one in zip(starts, seen, strict=True):
        window = [slice(s - a, s - a + size) for s, a, size in zip(start, low, one.kernels.shape[3:], strict=True)]
        place = (one.units, slice(None), slice(None), *window)
        # One position may see less of a kernel than another, never something else.
        whole[place] = torch.where(one.kernels != 0, one.kernels, whole[place])
    return MovedKernels(layer, whole, low, stride, target.positions)


def shares_at_centre(
    model: TracedModel, source: Layer, target: Layer, inputs: Sequence[tuple[Tensor, ...]], pulse: Callable[[], None]
) -> MovedKernels:
    """Return the shares of a source farther away, at the target's centre, every gate in between held at its mean over `inputs`.

    They make up the target no better than a linear account can (`ExpandedWeights` says how well).
    """
    piece = Piece.of(model, [source.name], target, "derivative", inputs, pulse)
    window = windows_of(piece, None, range(target.units), lambda _: pulse())
    crop = tuple(slice(first, first + size) for first, size in zip(window.start, window.kernels.shape[2:], strict=True))
    kernels = window.kernels.reshape(*window.kernels.shape[:2], -1).to(model.device)
    return MovedKernels(source, kernels, (), (), (), crop)
