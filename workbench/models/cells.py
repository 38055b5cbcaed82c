"""Which cell of an earlier feature map stands in the middle of what a cell of a later one reads.

Followed back through the graph: a convolution or pooling with stride s, padding p and a kernel of k cells that are d apart looks from its
cell c at the middle ``s c - p + d (k - 1) / 2`` of what it reads, everything that keeps the map's size at the same cell (Araujo et al.,
"Computing Receptive Fields of Convolutional Neural Networks", Distill 2019). Exact, and the same for every network of these operations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import fx

from workbench.input_error import InputError
from workbench.models.capture import kind
from workbench.models.graph import ModelGraph
from workbench.models.layer import Layer

Cell = tuple[int, int]
"""Row and column."""


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


def is_map(layer: Layer) -> bool:
    """Whether a layer has rows and columns."""
    return len(layer.positions) == 2 and layer.rows == 1 and layer.unit_axis % len(layer.shape) == 0


def looks(graph: ModelGraph, above: str, below: str) -> Look:
    """Return where the cells of `above` look in `below`.

    Raises
    ------
    InputError
        When one of them is no feature map, the one does not feed the other, or an operation in between mixes all cells.
    """
    for layer in (graph.layer(above), graph.layer(below)):
        if not is_map(layer):
            raise InputError(f"{layer.name} has no rows and columns, so there are no offsets in it")
    source, target = graph.node(below), graph.node(above)
    reached = graph.downstream([graph.name(source)]) | {source}
    found: dict[fx.Node, Look] = {target: Look()}
    for node in reversed(list(graph.graph.nodes)):  # readers come before what they read
        if node not in found or node is source:
            continue
        for read in node.all_input_nodes:
            if read not in reached:
                continue
            seen = _back(node, read, found[node])
            if seen is None:
                continue
            known = found.setdefault(read, seen)
            if known.step != seen.step:
                raise InputError(f"{above} reads {below} in several ways of different stride, so its cells look at no one cell there")
            if max(known.size) < max(seen.size):  # of several ways the one that reads most
                found[read] = seen
    if source not in found:
        raise InputError(f"{below} does not feed {above}")
    return found[source]


def _back(node: fx.Node, read: fx.Node, look: Look) -> Look | None:
    """Return where what a look has come to looks in what that reads; None where it reads one value for the whole map, as a gate does."""
    sizes = [tuple(int(n) if isinstance(n, int) else -1 for n in one.meta["val"].shape) for one in (node, read)]
    if len(sizes[1]) != 4 or sizes[1][2:] == (1, 1) != sizes[0][2:]:
        return None
    name, given = kind(node), dict(enumerate(node.args))
    if name == "conv2d":
        weight: Any = given[1]
        kernel = [int(n) for n in weight.meta["val"].shape[2:]]
        step, apart, padding = _pair(given.get(3, 1)), _pair(given.get(5, 1)), given.get(4, 0)
        if isinstance(padding, str):
            pads = [d * (k - 1) / 2 if padding == "same" else 0.0 for d, k in zip(apart, kernel, strict=True)]
        else:
            pads = [float(p) for p in _pair(padding)]
        reads = [d * (k - 1) + 1 for d, k in zip(apart, kernel, strict=True)]
        return look.through(step, [(r - 1) / 2 - p for r, p in zip(reads, pads, strict=True)], reads)
    if name in ("max_pool2d", "max_pool2d_with_indices", "avg_pool2d"):
        sides = _pair(given[1])
        step, around = _pair(given.get(2) or given[1]), _pair(given.get(3, 0))
        return look.through(step, [(k - 1) / 2 - p for k, p in zip(sides, around, strict=True)], sides)
    if name in ("pad", "constant_pad_nd"):
        ends: Any = given[1]
        return look.through((1, 1), (-float(ends[2]) if len(ends) > 2 else 0.0, -float(ends[0])))
    if sizes[0][2:] == sizes[1][2:] and len(sizes[0]) == 4:
        return look
    raise InputError(f"{name} between the two does not keep cells apart; offsets cannot be followed through it")


def _pair(value: Any) -> tuple[int, int]:
    sizes = tuple(int(size) for size in value) if isinstance(value, list | tuple) else (int(value),)
    return sizes[0], sizes[-1]
