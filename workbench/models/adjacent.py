"""Which layers are one layer of weights apart: every convolution and linear layer, with the names its units have on either side.

What mixes units is a convolution or a linear layer. What it reads are the units of an earlier layer, seen through what keeps units apart
(pooling, views); what it makes becomes, through normalisation, residual additions and the non-linearity, units of a later one. A unit has
several names on the way (``mixed3a.1x1/bn:5``, ``mixed3a.1x1:5``, ``mixed3a:5``); here it has the last of them before it is mixed again,
so that what one pair calls its target is what the next calls its source.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, fx

from workbench.models.affine import layer_of, unit_count, varying
from workbench.models.expanded import Piece, centre, windows_of
from workbench.models.graph import ModelGraph
from workbench.models.linearise import Gate
from workbench.models.nodes import NONLINEAR, SAME_VALUES, VIEWS, kind

if TYPE_CHECKING:
    from workbench.models.traced_model import TracedModel

MIXES = frozenset(("conv1d", "conv2d", "linear"))
POOLS = frozenset("max_pool2d max_pool2d_with_indices avg_pool2d adaptive_avg_pool2d adaptive_max_pool2d mean amax".split())
_SOFTMAX = frozenset(("softmax", "_softmax", "log_softmax"))
_KEEPS = (NONLINEAR - _SOFTMAX) | SAME_VALUES | VIEWS | {"batch_norm", "layer_norm", "add", "cat", "mul"}
"""Operations through which a unit keeps its place, or gets another one in a concatenation."""
_SCALES = SAME_VALUES | VIEWS | {"batch_norm", "mul"}
"""Those that belong to the weights: BatchNorm, and layer scale."""


@dataclass(frozen=True)
class Adjacent:
    """One layer of weights.

    Attributes
    ----------
    source, target
        What its units are called on either side; those of the target begin at `first`.
    reads, makes
        Layers between which the weights are taken: what is mixed, and the sum before the non-linearity with its normalisation.
    first, units
        Which units of the target these are.
    groups
        Of a grouped convolution; as many as there are channels where it mixes none.
    pooled
        Whether nothing but global pooling stands between the target and the next layer of weights.
    """

    source: str
    target: str
    reads: str
    makes: str
    first: int
    units: int
    groups: int
    pooled: bool


def adjacent_layers(graph: ModelGraph) -> list[Adjacent]:
    """Return every layer of weights between units that depend on the input, in the order they are computed."""
    moving = varying(graph)
    found = []
    for node in graph.graph.nodes:
        read = node.args[0] if kind(node) in MIXES else None
        if not isinstance(read, fx.Node) or read not in moving or (isinstance(node.args[1], fx.Node) and node.args[1] in moving):
            continue
        while kind(read) in SAME_VALUES | VIEWS and (earlier := _read_by(graph, read)) is not None:
            read = earlier
        named = read
        while kind(named) in POOLS | SAME_VALUES | VIEWS and (earlier := _read_by(graph, named)) is not None:
            if unit_count(graph, earlier) != unit_count(graph, named):
                break
            named = earlier
        source, before = _called(graph, named, moving)
        if before:  # a part of a concatenation that others read as well
            source = graph.name(named)
        target, first = _called(graph, node, moving)
        groups = int(node.args[6]) if kind(node) == "conv2d" and len(node.args) > 6 else 1
        makes = _sum_of(graph, node, moving)
        pooled = _is_pooled(graph, target)
        found.append(Adjacent(source, target, graph.name(read), graph.name(makes), first, unit_count(graph, makes), groups, pooled))
    return found


def _read_by(graph: ModelGraph, node: fx.Node) -> fx.Node | None:
    """Return what a node reads first, where that has units."""
    earlier = node.args[0] if node.args else None
    return earlier if isinstance(earlier, fx.Node) and earlier in graph.capture.unit_axes else None


def _next(graph: ModelGraph, node: fx.Node, through: frozenset[str], moving: set[fx.Node]) -> fx.Node | None:
    """Return the only reader of a node where its units stay the same ones in it."""
    users = list(node.users)
    if len(users) != 1 or kind(users[0]) not in through or users[0] not in graph.capture.unit_axes:
        return None
    reader = users[0]
    if kind(reader) == "mul" and any(isinstance(arg, fx.Node) and arg is not node and arg in moving for arg in reader.args):
        return None
    return reader if kind(reader) == "cat" or unit_count(graph, reader) == unit_count(graph, node) else None


def _called(graph: ModelGraph, node: fx.Node, moving: set[fx.Node]) -> tuple[str, int]:
    """Return the last layer in which a node's units are, and the place of the first."""
    place, best = 0, (graph.name(node), 0)
    while (reader := _next(graph, node, _KEEPS, moving)) is not None:
        if kind(reader) == "cat":
            axis = int(reader.args[1]) if len(reader.args) > 1 else 0  # type: ignore[arg-type]
            if axis % reader.meta["val"].dim() != graph.capture.unit_axes[reader]:
                break
            parts = list(reader.args[0])  # type: ignore[arg-type]
            place += sum(unit_count(graph, part) for part in parts[: parts.index(node)])
        node = reader
        if graph.name(node) in graph.layers:
            best = graph.name(node), place
    return best


def _sum_of(graph: ModelGraph, node: fx.Node, moving: set[fx.Node]) -> fx.Node:
    """Return where a layer's sums have their normalisation and layer scale."""
    while (reader := _next(graph, node, _SCALES, moving)) is not None:
        node = reader
    return node


def _is_pooled(graph: ModelGraph, layer: str) -> bool:
    """Whether a layer's maps are pooled to one position before anything else reads them."""
    node = graph.node(layer)
    if len(node.meta["val"].shape) < 4:
        return False
    while len(node.users) == 1:
        (node,) = node.users
        if kind(node) in POOLS:
            shape = layer_of(graph, node).positions if node in graph.capture.unit_axes else (2,)
            if all(size == 1 for size in shape):
                return True
        elif kind(node) not in _KEEPS:
            return False
    return False


def kernels_between(
    model: TracedModel, pair: Adjacent, inputs: Sequence[tuple[Tensor, ...]], gate: Gate, tell: Callable[[int], None]
) -> npt.NDArray[np.float32]:
    """Return the weights between two layers as kernels, ``target source y x``, in a window whose middle is where the target looks.

    Vectors have kernels of 1 x 1, sequences of tokens of 1 x token; units with weights that are no numbers have NaN. `inputs` are batches
    of what the network reads: where one layer of weights lies between the two, any will do; else gates are averaged over them. `tell` is
    called with the number of units done.
    """
    target = layer_of(model.graph, model.graph.node(pair.makes))
    piece = Piece.of(model, [pair.reads], target, gate, inputs, lambda: tell(0))
    window = windows_of(piece, None, range(target.units), tell)
    source = piece.layers[0]
    kernels = window.kernels
    positions = source.positions
    if len(positions) != 2:
        return kernels.reshape(*kernels.shape[:2], 1, -1).numpy()
    maps = len(target.positions) == 2
    looks, reaches = (centre(target), target.positions) if maps else ((0, 0), (1, 1))
    pads: list[int] = []
    for low, size, whole, at, reached in zip(window.start, kernels.shape[2:], positions, looks, reaches, strict=True):
        middle = _middle(low, size, whole, at, reached)
        before, after = middle - low, low + size - 1 - middle
        pads = [round(max(0.0, after - before)), round(max(0.0, before - after)), *pads]
    return torch.nn.functional.pad(kernels, pads).numpy()


def _middle(low: int, size: int, whole: int, at: int, reached: int) -> float:
    """Return what the middle of a kernel is: of its window, unless the image's edge cuts it off."""
    if (low > 0 and low + size < whole) or reached == 1:
        return low + (size - 1) / 2
    return round(2 * ((at + 0.5) * whole / reached - 0.5)) / 2
