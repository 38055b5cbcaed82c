"""A linearised cut around one position: of each tensor in between only the window is computed that the position sees.

From the target's position back, operation by operation: a convolution asks for the pixels under its kernel, a sum for the same window
of each summand, a permutation for its axes in another order. An operation that no rule is known of asks for all of what it reads, so a
crop is never wrong, only larger than it need be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch.nn.functional import pad

from workbench.models.linearise import LinearCut
from workbench.models.nodes import kind

Window = tuple[tuple[int, int], ...]
"""First place and the one behind the last, along each axis of a tensor for one example; that of the examples is always whole."""
Reads = dict[fx.Node, Window]
"""What an operation reads of each tensor; windows may reach over its rim where there is padding."""

_POINTWISE = frozenset("add sub rsub mul div neg clone contiguous dropout detach alias to _to_copy batch_norm".split())


@dataclass(frozen=True, eq=False)
class Crop:
    """A cut that computes one window of its target.

    Attributes
    ----------
    windows
        What of each value it takes: those of the cut's sources, then the frozen ones.
    """

    module: fx.GraphModule
    windows: tuple[Window, ...]

    def of(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Cut the values for one example (sources', then frozen ones) to what is taken of them."""
        return [_cut(value, _inside(window, _whole(value.shape))) for value, window in zip(values, self.windows, strict=True)]

    def __call__(self, values: Sequence[Tensor]) -> Tensor:
        """Return the window of the target, from values that are cut already, for any number of examples."""
        result: Tensor = self.module(*values)
        return result


@dataclass(frozen=True)
class _Plan:
    """How a node is written anew.

    Attributes
    ----------
    window
        Of its value, as it will be computed.
    reads
        What it reads of each tensor.
    cropped
        Whether that is as a rule says, and not all of everything.
    """

    window: Window | None
    reads: Reads
    cropped: bool


def crop(cut: LinearCut, values: Sequence[Tensor], wanted: Window) -> Crop:
    """Crop a cut with one target to a window of that.

    Parameters
    ----------
    values
        Of the sources, then the frozen ones, for one example.
    """
    graph = cut.module.graph
    shapes = _Shapes(cut.module)
    with torch.no_grad():
        shapes.run(*values)
    (end,) = (node for node in graph.nodes if node.op == "output")
    (target,) = end.all_input_nodes
    asked: dict[fx.Node, Window] = {target: wanted}
    plans: dict[fx.Node, _Plan] = {}
    for node in reversed(graph.nodes):
        if node is end:
            continue
        plans[node] = plan = _plan(node, asked.get(node), shapes.of)
        for read, window in plan.reads.items():
            inside = _clipped(window, shapes.of[read])
            asked[read] = _union(asked[read], inside) if read in asked else inside
    piece = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        if node is not end:
            copies[node] = _copy(piece, node, plans, shapes.of, copies)
    piece.output(_narrowed(piece, copies[target], plans[target].window, wanted))
    windows = (plans[node].window for node in graph.nodes if node.op == "placeholder")
    return Crop(fx.GraphModule(cut.module, piece), tuple(window for window in windows if window is not None))


class _Shapes(fx.Interpreter):
    """Runs a graph and remembers the shape of every tensor in it."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.of: dict[fx.Node, torch.Size] = {}

    def run_node(self, n: fx.Node) -> Any:
        """Compute one node."""
        value = super().run_node(n)
        if isinstance(value, Tensor):
            self.of[n] = value.shape
        return value


def _plan(node: fx.Node, asked: Window | None, shapes: Mapping[fx.Node, torch.Size]) -> _Plan:
    """Decide what of a node is computed, and what that reads; `asked` is what later nodes read of it."""
    if kind(node) == "sym_size":  # reads no value
        return _Plan(None, {}, False)
    reads = {read: _whole(shapes[read]) for read in node.all_input_nodes if read in shapes}
    if node not in shapes:
        return _Plan(None, reads, False)
    whole = _whole(shapes[node])
    if asked is None or asked == whole:
        return _Plan(whole, reads, False)
    if node.op in ("placeholder", "get_attr"):
        return _Plan(asked, {}, False)
    rule = _RULES.get(kind(node))
    found = rule(node, asked, shapes) if rule is not None else None
    return _Plan(whole, reads, False) if found is None else _Plan(asked, reads | found, True)


def _copy(
    piece: fx.Graph,
    node: fx.Node,
    plans: Mapping[fx.Node, _Plan],
    shapes: Mapping[fx.Node, torch.Size],
    copies: Mapping[fx.Node, fx.Node],
) -> fx.Node:
    """Write a node anew, reading windows in place of whole tensors."""
    plan = plans[node]

    def read(of: fx.Node) -> fx.Node:
        wanted = plan.reads.get(of)
        if wanted is None:
            return copies[of]
        inside = _clipped(wanted, shapes[of])
        value = _narrowed(piece, copies[of], plans[of].window, inside)
        if wanted == inside:
            return value
        beyond = [(a - low, high - b) for (low, high), (a, b) in zip(wanted, inside, strict=True)]
        return piece.call_function(pad, (value, [end for ends in reversed(beyond[1:]) for end in ends]))

    made = piece.node_copy(node, read)
    if node.op == "get_attr":
        return _narrowed(piece, made, _whole(shapes[node]) if node in shapes else None, plan.window)
    if plan.cropped and kind(node) in _PADDED:
        place, none = _PADDED[kind(node)]
        if len(made.args) > place:
            made.args = (*made.args[:place], "valid" if isinstance(made.args[place], str) else none, *made.args[place + 1 :])
    return made


def _narrowed(piece: fx.Graph, value: fx.Node, have: Window | None, wanted: Window | None) -> fx.Node:
    """Cut a value that is there in one window to a smaller one."""
    if have is None or wanted is None or have == wanted:
        return value
    return piece.call_function(_cut, (value, _inside(wanted, have)))


# What is read, by operation


def _pointwise(node: fx.Node, asked: Window, shapes: Mapping[fx.Node, torch.Size]) -> Reads | None:
    if kind(node) == "batch_norm":
        value = node.args[0]
        assert isinstance(value, fx.Node)
        return {value: asked} if asked[1] == (0, shapes[node][1]) else None
    found: Reads = {}
    for read in node.all_input_nodes:
        if read in shapes:
            size = shapes[read]
            behind = asked[len(asked) - len(size) :]
            found[read] = tuple((0, 1) if s == 1 else window for s, window in zip(size, behind, strict=True))
    return found


def _normalised(node: fx.Node, asked: Window, shapes: Mapping[fx.Node, torch.Size]) -> Reads | None:
    """LayerNorm of the last axis, its deviation held."""
    deviation, value, axes = node.args[0], node.args[1], node.args[2] if len(node.args) > 2 else None
    assert isinstance(deviation, fx.Node)
    assert isinstance(value, fx.Node)
    last = (0, shapes[value][-1])
    if not isinstance(axes, list | tuple) or len(axes) != 1 or shapes[deviation][:-1] != shapes[value][:-1] or asked[-1] != last:
        return None
    rest = asked[:-1]
    return {deviation: (*rest, (0, 1)), value: (*rest, last)}


def _linear(node: fx.Node, asked: Window, shapes: Mapping[fx.Node, torch.Size]) -> Reads | None:
    value = node.args[0]
    assert isinstance(value, fx.Node)
    if asked[-1] != (0, shapes[node][-1]):  # of some outputs only: all are computed
        return None
    return {value: (*asked[:-1], (0, shapes[value][-1]))}


def _cat(node: fx.Node, asked: Window, shapes: Mapping[fx.Node, torch.Size]) -> Reads | None:
    parts: Any = node.args[0]
    axis: Any = node.args[1] if len(node.args) > 1 else 0
    along = int(axis) % len(asked)
    if asked[along] != (0, shapes[node][along]):
        return None
    return {part: (*asked[:along], (0, shapes[part][along]), *asked[along + 1 :]) for part in parts}


def _permute(node: fx.Node, asked: Window, shapes: Mapping[fx.Node, torch.Size]) -> Reads | None:
    arguments: Any = node.args
    value, number = arguments[0], len(asked)
    order = list(range(number))
    if kind(node) == "permute":
        order = [int(axis) % number for axis in arguments[1]]
    else:
        one, other = (int(axis) % number for axis in arguments[1:3])
        order[one], order[other] = order[other], order[one]
    window: list[tuple[int, int]] = [(0, 0)] * number
    for place, axis in enumerate(order):
        window[axis] = asked[place]
    return {value: tuple(window)}


def _conv(node: fx.Node, asked: Window, shapes: Mapping[fx.Node, torch.Size]) -> Reads | None:
    value, weight = node.args[0], node.args[1]
    assert isinstance(value, fx.Node)
    assert isinstance(weight, fx.Node)
    given = dict(enumerate(node.args))
    if len(asked) != 4 or asked[1] != (0, shapes[node][1]):
        return None
    kernel, stride, dilation = shapes[weight][2:], _pair(given.get(3, 1)), _pair(given.get(5, 1))
    padding: Any = given.get(4, 0)
    if padding == "same":
        padding = [d * (k - 1) // 2 for d, k in zip(dilation, kernel, strict=True)]
    elif padding == "valid":
        padding = 0
    return {value: (asked[0], (0, shapes[value][1]), *_under(asked[2:], kernel, stride, _pair(padding), dilation))}


def _pool(node: fx.Node, asked: Window, shapes: Mapping[fx.Node, torch.Size]) -> Reads | None:
    """Inside only: at the rim the number of pixels in an average differs."""
    value: Any = node.args[0]
    given = dict(enumerate(node.args))
    kernel, stride, padding = _pair(given[1]), _pair(given.get(2) or given[1]), _pair(given.get(3, 0))
    if len(asked) != 4:
        return None
    under = _under(asked[2:], kernel, stride, padding, (1, 1))
    if any(low < 0 or high > size for (low, high), size in zip(under, shapes[value][2:], strict=True)):
        return None
    return {value: (asked[0], asked[1], *under)}


def _under(
    asked: Sequence[tuple[int, int]], kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int]
) -> list[tuple[int, int]]:
    """Return the pixels under a kernel that moves over a window of the output."""
    return [
        (low * s - p, (high - 1) * s - p + d * (k - 1) + 1)
        for (low, high), k, s, p, d in zip(asked, kernel, stride, padding, dilation, strict=True)
    ]


_RULES: dict[str, Callable[[fx.Node, Window, Mapping[fx.Node, torch.Size]], Reads | None]] = {
    **dict.fromkeys(_POINTWISE, _pointwise),
    "norm": _normalised,
    "linear": _linear,
    "cat": _cat,
    "permute": _permute,
    "transpose": _permute,
    "conv2d": _conv,
    "avg_pool2d": _pool,
    "_average_pool": _pool,
}


_PADDED: dict[str, tuple[int, Any]] = {"conv2d": (4, [0, 0]), "avg_pool2d": (3, [0, 0]), "_average_pool": (3, 0)}
"""Place of the padding among an operation's arguments, and that for none: in a crop it is in the window already."""


def _pair(value: Any) -> tuple[int, int]:
    """Return a size along both axes."""
    sizes = tuple(int(size) for size in value) if isinstance(value, list | tuple) else (int(value),)
    return sizes[0], sizes[-1]


def _whole(shape: torch.Size) -> Window:
    return tuple((0, int(size)) for size in shape)


def _union(one: Window, other: Window) -> Window:
    return tuple((min(a, c), max(b, d)) for (a, b), (c, d) in zip(one, other, strict=True))


def _clipped(window: Window, size: torch.Size) -> Window:
    return tuple((max(0, low), min(high, most)) for (low, high), most in zip(window, size, strict=True))


def _inside(window: Window, have: Window) -> tuple[tuple[int, int, int], ...]:
    """Return where a window lies in a larger one: axis, first place and length, for each axis on which they differ."""
    pairs = zip(window, have, strict=True)
    return tuple((axis, low - first, high - low) for axis, ((low, high), (first, last)) in enumerate(pairs) if (low, high) != (first, last))


def _cut(value: Tensor, places: Sequence[tuple[int, int, int]]) -> Tensor:
    """Cut some axes; the others, that of the examples among them, are left as long as they are."""
    for axis, low, length in places:
        value = value.narrow(axis, low, length)
    return value
