"""A cut that computes only some units of its target: what a unit reads decides what it costs, not how many stand beside it.

Path patching asks for the same few units again and again. Walked back from the target, operations that keep units apart (non-linearities,
BatchNorm, sums, concatenations) are done for these units alone, and the layer that mixes units is left with their rows of its weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from workbench.input_error import InputError
from workbench.models.graph import Cut, ModelGraph, counts_batch, scaled
from workbench.models.nodes import NONLINEAR, SAME_VALUES, is_tensor, kind, multiple

_UNIT_BY_UNIT = (NONLINEAR - {"softmax", "_softmax", "log_softmax", "prelu"}) | SAME_VALUES


def narrowed(graph: ModelGraph, sources: Sequence[str], target: str, units: Sequence[int]) -> Cut:
    """Return the cut from `sources` to `units` of `target`, in the order given; equal to the whole cut's but for rounding.

    Raises
    ------
    InputError
        When a name is unknown, or the target also reads what does not come from the sources.
    """
    made = _Narrowing(graph, [graph.name(graph.node(name)) for name in sources])
    wanted = made.some(graph.node(target), list(units))
    made.piece.output((wanted,))
    made.piece.eliminate_dead_code()
    names = tuple(graph.name(graph.node(name)) for name in sources)
    return Cut(names, (graph.name(graph.node(target)),), fx.GraphModule(graph.root, made.piece))


class _Narrowing:
    def __init__(self, graph: ModelGraph, sources: Sequence[str]) -> None:
        self.graph = graph
        self.piece = fx.Graph()
        self._held = {graph.node(name): name for name in sources}
        self._whole = {node: self.piece.placeholder(f"source_{i}") for i, node in enumerate(self._held)}
        self._batch = graph.batch_size(self.piece, self._whole, self._held)
        self._axes = graph.capture.unit_axes

    def some(self, node: fx.Node, units: list[int]) -> fx.Node:
        """Return the copy of `node` that has only `units`."""
        operation = kind(node)
        if node in self._held or node not in self._axes:
            return self._selected(node, units)
        if operation in ("conv2d", "linear") and self._mixes(node):
            weight, bias = node.args[1], node.args[2] if len(node.args) > 2 else None
            rows = [self.whole(node.args[0]), self._rows(weight, units), self._rows(bias, units), *node.args[3:]]
            return self._call(node, rows)
        if operation == "batch_norm":
            read: Any = node.args[0]
            statistics = [self._rows(parameter, units) for parameter in node.args[1:5]]
            return self._call(node, [self.some(read, units), *statistics, *node.args[5:]])
        if operation in _UNIT_BY_UNIT and isinstance(node.args[0], fx.Node):
            return self._call(node, [self.some(node.args[0], units), *node.args[1:]])
        if operation in ("add", "sub", "mul") and self._alike(node):
            return self._call(node, [self.some(a, units) for a in node.args if isinstance(a, fx.Node)])
        if operation == "cat" and self._along_units(node):
            return self._of_branches(node, units)
        return self._selected(node, units)

    def whole(self, node: Any) -> Any:
        """Return the copy of `node` with all it has."""
        if node in self._whole:
            return self._whole[node]
        for needed in self.graph.needed([node], set(self._whole)):
            if counts_batch(needed):
                factor = multiple(needed.meta["val"])
                self._whole[needed] = (
                    self.piece.call_function(scaled, (self._batch(), factor)) if factor != 1 else self._batch()
                )
            elif needed.op == "placeholder":
                raise InputError(
                    f"the cut from {', '.join(self._held.values())} also reads the network's input; add its frontier to them"
                )
            else:
                self._whole[needed] = self.piece.node_copy(needed, self._whole.__getitem__)
        return self._whole[node]

    def _selected(self, node: fx.Node, units: list[int]) -> fx.Node:
        axis = self._axes[node] % node.meta["val"].dim()
        return self.piece.call_function(_taking(axis, units), (self.whole(node),))

    def _rows(self, parameter: Any, units: list[int]) -> Any:
        if not isinstance(parameter, fx.Node):
            return parameter
        return self.piece.call_function(_taking(0, units), (self.whole(parameter),))

    def _call(self, node: fx.Node, arguments: Sequence[Any]) -> fx.Node:
        assert callable(node.target)
        return self.piece.call_function(node.target, tuple(arguments), dict(node.kwargs))

    def _mixes(self, node: fx.Node) -> bool:
        """Tell whether a convolution or linear layer has one row of weights a unit, each reading everything."""
        weight: Any = node.args[1]
        ungrouped = kind(node) == "linear" or len(node.args) < 7 or node.args[6] == 1
        units = node.meta["val"].shape[self._axes[node]]
        last = kind(node) != "linear" or self._axes[node] % node.meta["val"].dim() == node.meta["val"].dim() - 1
        return bool(
            ungrouped and last and is_tensor(weight) and weight.meta["val"].shape[0] == units and not node.kwargs
        )

    def _alike(self, node: fx.Node) -> bool:
        """Tell whether both operands have the result's shape and units, so that unit meets unit."""
        operands = [a for a in node.args if isinstance(a, fx.Node)]
        return len(operands) == 2 == len(node.args) and all(
            a in self._axes and a.meta["val"].shape == node.meta["val"].shape and self._axes[a] == self._axes[node]
            for a in operands
        )

    def _along_units(self, node: fx.Node) -> bool:
        axis: Any = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
        dimensions = node.meta["val"].dim()
        return bool(axis % dimensions == self._axes[node] % dimensions)

    def _of_branches(self, node: fx.Node, units: list[int]) -> fx.Node:
        """Take each unit from the branch it is in, and bring them back in order."""
        axis = self._axes[node] % node.meta["val"].dim()
        begin, found, order = 0, list[fx.Node](), list[int]()
        for part in node.args[0]:  # type: ignore[union-attr]
            assert isinstance(part, fx.Node)
            size = int(part.meta["val"].shape[axis])
            here = [place for place, unit in enumerate(units) if begin <= unit < begin + size]
            if here:
                found.append(self.some(part, [units[place] - begin for place in here]))
                order += here
            begin += size
        if len(found) == 1:
            return found[0]
        joined = self.piece.call_function(torch.ops.aten.cat.default, (found, axis))
        return self.piece.call_function(_taking(axis, [order.index(place) for place in range(len(units))]), (joined,))


def _taking(axis: int, units: list[int]) -> Callable[[Tensor], Tensor]:
    def take(value: Tensor) -> Tensor:
        return value.index_select(axis, torch.tensor(units, device=value.device))

    return take
