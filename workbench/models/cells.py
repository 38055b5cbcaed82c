"""Which cell of an earlier feature map stands in the middle of what a cell of a later one reads.

Followed back through the graph: a convolution or pooling with stride s, padding p and a kernel of k cells that are d apart looks from its
cell c at the middle ``s c - p + d (k - 1) / 2`` of what it reads, and what works cell by cell at the same cell (Araujo et al., "Computing
Receptive Fields of Convolutional Neural Networks", Distill 2019). Exact for these operations, which are listed; all others are refused,
for what keeps a map's size may still move its cells, as a roll or a flip does. One value for the whole map, such as a gate's or the
deviation that a normalisation divides by, is not followed: it comes from no cell in particular.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx

from workbench.input_error import InputError
from workbench.models.graph import ModelGraph
from workbench.models.layer import Layer
from workbench.models.nodes import kind

Cell = tuple[int, int]
"""Row and column."""
_CELLWISE = frozenset(
    "relu relu6 gelu silu hardswish hardsigmoid hardtanh leaky_relu prelu elu celu selu mish sigmoid tanh softplus clamp clamp_min "
    "clamp_max clip exp log log_sigmoid sqrt rsqrt pow abs square reciprocal erf sin cos sign top_k_relu add sub rsub mul div neg "
    "maximum minimum where clone contiguous detach alias to _to_copy dropout batch_norm _native_batch_norm_legit_no_training group_norm "
    "instance_norm local_response_norm expand expand_as channel_shuffle".split()
)
"""Operations that read of every cell that cell alone, besides values for the whole map."""
_POOLS = frozenset("max_pool2d max_pool2d_with_indices avg_pool2d".split())
_PADS = frozenset("pad constant_pad_nd reflection_pad2d replication_pad2d".split())
_ALONG = frozenset("softmax log_softmax _softmax cat sum mean amax amin".split())
"""What works along axes: cell by cell where these are of units."""
_PARTS = frozenset("chunk split split_with_sizes tensor_split slice narrow index_select".split())
"""What takes parts of an axis: cell by cell where it is of units."""
Axes = tuple[int, int]
"""Which axes of a tensor are rows and columns."""


@dataclass(frozen=True)
class Look:
    """Along rows and columns: the cell looked at is ``step * cell + start``.

    Attributes
    ----------
    step
        Cells of the earlier map from one cell of the later map to the next.
    start
        What the later map's first cell looks at; a half between two cells.
    size
        Rows and columns of all that one cell reads, around the cell it looks at.
    """

    step: tuple[int, int] = (1, 1)
    start: tuple[float, float] = (0.0, 0.0)
    size: tuple[int, int] = (1, 1)

    def at(self, cell: Cell) -> Cell:
        """Return the cell looked at; of two equally near ones the first."""
        down, right = (math.floor(self.step[axis] * cell[axis] + self.start[axis]) for axis in (0, 1))
        return down, right

    def window(self) -> tuple[Cell, ...]:
        """Return all that is read, counted from the cell looked at."""
        down, right = (range(-((size - 1) // 2), size // 2 + 1) for size in self.size)
        return tuple((y, x) for y in down for x in right)

    def through(self, step: Sequence[int], start: Sequence[float], reads: Sequence[int] = (1, 1)) -> Look:
        """Return the look that goes one operation further back: from its cell c at ``step * c + start`` of what it reads, `reads` cells."""
        size = [(own - 1) * s + r for own, s, r in zip(self.size, step, reads, strict=True)]
        return Look(
            (self.step[0] * step[0], self.step[1] * step[1]),
            (self.start[0] * step[0] + start[0], self.start[1] * step[1] + start[1]),
            (size[0], size[1]),
        )

    def joined(self, other: Look) -> Look:
        """Return the look at all that this one and another of the same step read."""
        both = [[_ends(look.start[axis], look.size[axis]) for look in (self, other)] for axis in (0, 1)]
        ends = [(min(low for low, _ in pair), max(high for _, high in pair)) for pair in both]
        (top, bottom), (left, right) = ends
        return Look(self.step, ((top + bottom) / 2, (left + right) / 2), (round(bottom - top) + 1, round(right - left) + 1))


def is_map(layer: Layer) -> bool:
    """Whether a layer has rows and columns."""
    return layer.is_map and layer.unit_axis % len(layer.shape) == 0


def looks(graph: ModelGraph, above: str, below: str) -> Look:
    """Return where the cells of `above` look in `below`.

    Raises
    ------
    InputError
        When one of them is no feature map, the one does not feed the other, or an operation in between mixes cells or is none that is known
        to work cell by cell.
    """
    for layer in (graph.layer(above), graph.layer(below)):
        if not is_map(layer):
            raise InputError(f"{layer.name} has no rows and columns, so there are no offsets in it")
    source, target = graph.node(below), graph.node(above)
    reached = graph.downstream([graph.name(source)]) | {source}
    if target not in reached:
        raise InputError(f"{below} does not feed {above}")
    found: dict[fx.Node, tuple[Look, Axes]] = {target: (Look(), (2, 3))}
    for node in reversed(list(graph.graph.nodes)):  # readers come before what they read
        if node not in found or node is source:
            continue
        for read in node.all_input_nodes:
            if read not in reached or (seen := _back(node, read, *found[node])) is None:
                continue
            look, axes = found.setdefault(read, seen)
            if look.step != seen[0].step or axes != seen[1]:
                raise InputError(f"{above} reads {below} in several ways of different stride, so its cells look at no one cell there")
            found[read] = look.joined(seen[0]), axes
    if source not in found:
        raise InputError(f"what is between {below} and {above} mixes cells, so none of them looks at a cell of its own")
    if found[source][1] != (2, 3):
        raise InputError(f"rows and columns are exchanged between {below} and {above}; offsets cannot be followed through that")
    return found[source][0]


def _back(node: fx.Node, read: fx.Node, look: Look, axes: Axes) -> tuple[Look, Axes] | None:
    """Return where what a look has come to looks in what that reads, and which of its axes are rows and columns.

    None where it reads one value for the whole map, as from a gate.
    """
    name = kind(node)
    given: dict[int, Any] = dict(enumerate(node.args))
    if name == "getitem":  # of parts of units; that they are such is asked where they are made
        return look, axes
    shape, of = _shape(node), _shape(read)
    if name in _PARTS | _ALONG:
        if given[0] is read or name == "cat":
            named = given.get(1 if name not in ("chunk", "split", "split_with_sizes", "tensor_split") else 2, 0)
            used = _axes(named if named is not None else range(len(of)), len(of))
            if not used & set(axes) and (name in _PARTS or len(shape) == len(of)):
                return look, axes
        raise _mixing(name)
    if name in _CELLWISE or name.startswith("upsample_"):
        whole = [1] * (len(shape) - len(of)) + list(of)  # an operand of fewer axes lacks the first
        sizes = [tuple(known[axis] for axis in axes) for known in (shape, whole)]
        if sizes[1] == (1, 1) != sizes[0]:
            return None
        if name in _CELLWISE and sizes[0] == sizes[1] and len(shape) == len(of):
            return look, axes
        raise _mixing(name)
    if given.get(0) is not read:  # a kernel that is computed
        raise _mixing(name)
    if name in ("permute", "transpose", "swapaxes"):
        return look, _before(name, given, axes, len(of))
    if name == "linear" and len(of) - 1 not in axes:
        return look, axes
    if name in ("layer_norm", "rms_norm"):
        normed = set(range(len(of) - len(tuple(given[1])), len(of)))
        if normed.isdisjoint(axes) or normed >= set(axes):
            return look, axes
    if name in ("reshape", "view", "_unsafe_view", "flatten") and shape == of and len(of) == 4:
        return look, axes
    moved = _windowed(name, given, look) if axes == (2, 3) and len(of) == 4 else None
    if moved is None:
        raise _mixing(name)
    return moved, axes


def _windowed(name: str, given: dict[int, Any], look: Look) -> Look | None:
    """Return the look through what reads cells around each, of maps ``datum unit row column``; None for what is no such operation."""
    if name == "conv2d":
        kernel = [int(n) for n in given[1].meta["val"].shape[2:]]
        step, apart, padding = _pair(given.get(3, 1)), _pair(given.get(5, 1)), given.get(4, 0)
        reads = [d * (k - 1) + 1 for d, k in zip(apart, kernel, strict=True)]
        if padding == "same":  # of an odd number of cells that are added, the smaller half stands before the map
            padding = [(r - 1) // 2 for r in reads]
        pads = _pair(0 if padding == "valid" else padding)
        return look.through(step, [(r - 1) / 2 - p for r, p in zip(reads, pads, strict=True)], reads)
    if name in _POOLS:
        sides, around = _pair(given[1]), _pair(given.get(3, 0))
        step, apart = _pair(given.get(2) or given[1]), (1, 1) if name == "avg_pool2d" else _pair(given.get(4, 1))
        reads = [d * (k - 1) + 1 for d, k in zip(apart, sides, strict=True)]
        return look.through(step, [(r - 1) / 2 - p for r, p in zip(reads, around, strict=True)], reads)
    if name in _PADS:
        ends = [int(end) for end in given[1]]
        return look.through((1, 1), (-float(ends[2]) if len(ends) > 2 else 0.0, -float(ends[0])))
    return None


def _before(name: str, given: dict[int, Any], axes: Axes, rank: int) -> Axes:
    """Return the axes that rows and columns were before axes changed places."""
    order = list(range(rank))
    if name == "permute":
        order = [int(axis) % rank for axis in given[1]]
    else:
        one, other = int(given[1]) % rank, int(given[2]) % rank
        order[one], order[other] = order[other], order[one]
    return order[axes[0]], order[axes[1]]


def _shape(node: fx.Node) -> tuple[int, ...]:
    """Return the sizes of what a node gives, -1 for the batch's; nothing for what is no tensor, such as the parts of one."""
    value = node.meta.get("val")
    return tuple(int(n) if isinstance(n, int) else -1 for n in value.shape) if isinstance(value, Tensor) else ()


def _axes(named: Any, rank: int) -> set[int]:
    return {int(axis) % rank for axis in (named if isinstance(named, list | tuple | range) else (named,))}


def _mixing(name: str) -> InputError:
    return InputError(f"{name} between the two does not keep cells apart; offsets cannot be followed through it")


def _ends(start: float, size: int) -> tuple[float, float]:
    return start - (size - 1) / 2, start + (size - 1) / 2


def _pair(value: Any) -> tuple[int, int]:
    sizes = tuple(int(size) for size in value) if isinstance(value, list | tuple) else (int(value),)
    return sizes[0], sizes[-1]
