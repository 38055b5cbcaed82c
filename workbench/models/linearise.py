"""Linearised cuts: what a layer would be if every gate stood still.

Between two layers each non-linearity is replaced by a product with a gate taken from a clean run: ReLU by its mask, GELU by its
derivative, a softmax by the pattern it gave, LayerNorm by division by the clean deviation, a squeeze-and-excite product by its clean
factor. What is left is affine in the source, so its gradient is the *expanded weight* between the two layers (Olah et al.,
"Visualizing Weights", Distill 2021). The gates enter as further sources: take them from one image, or average them over data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from workbench.input_error import InputError
from workbench.models.graph import ModelGraph, counts_batch, scaled
from workbench.models.nodes import is_tensor, kind, multiple

Gate = Literal["derivative", "ratio", "one"]

_ELEMENTWISE = frozenset(
    "relu relu6 gelu silu hardswish hardsigmoid hardtanh leaky_relu elu celu selu mish sigmoid tanh softplus clamp clamp_min "
    "clamp_max exp log sqrt rsqrt pow abs square reciprocal erf log_sigmoid top_k_relu".split()
)
LINEAR = frozenset(
    "conv1d conv2d conv3d conv_transpose2d linear add sub rsub neg cat stack mean sum avg_pool2d avg_pool3d adaptive_avg_pool2d "
    "_native_batch_norm_legit_no_training batch_norm pad constant_pad_nd reflection_pad2d replication_pad2d view reshape flatten "
    "unflatten transpose permute squeeze unsqueeze expand expand_as reshape_as view_as select slice narrow split split_with_sizes "
    "chunk unbind getitem t movedim contiguous clone to _to_copy alias detach dropout index_select gather index roll pixel_shuffle "
    "pixel_unshuffle upsample_nearest2d upsample_bilinear2d upsample_bicubic2d matmul bmm addmm einsum mul div repeat "
    "repeat_interleave flip unfold im2col _unsafe_view add_n channel_shuffle".split()
)
"""Operations that are affine in what varies, as long as only one factor of a product does."""

_POOLS = frozenset("max_pool2d max_pool2d_with_indices adaptive_max_pool2d".split())
NORMS = frozenset("layer_norm group_norm rms_norm instance_norm".split())
"""Normalisations, affine once the deviation they divide by is held still."""


@dataclass(frozen=True)
class Frozen:
    """One clean-run value that enters a linearised cut: `make` of the clean values of the nodes named in `reads`."""

    name: str
    reads: tuple[str, ...]
    make: Callable[..., Tensor]


@dataclass(frozen=True)
class LinearCut:
    """A cut that is affine in its sources.

    Attributes
    ----------
    sources, targets
        Layer names.
    frozen
        Clean-run values it takes after the sources, in order.
    module
        Runs it: sources' values, then the frozen ones.
    graph
        Where the clean run is taken from: the network's graph, or the one derived from it with attention written out.
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    frozen: tuple[Frozen, ...]
    module: fx.GraphModule
    graph: ModelGraph

    @property
    def reads(self) -> tuple[str, ...]:
        """Layers of the clean run that `freeze` needs, each once."""
        return tuple(dict.fromkeys(name for value in self.frozen for name in value.reads))

    def clean_run(self, *inputs: Tensor) -> dict[str, Tensor]:
        """Return the activations `freeze` needs, from the network's `inputs`."""
        names = [self.graph.name(node) for node in self.graph.inputs]
        return dict(zip(self.reads, self.graph.cut(names, self.reads)(*inputs), strict=True)) if self.reads else {}

    def freeze(self, clean: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """Make the frozen values from a clean run's activations of `reads`; average them over runs for a mean gate."""
        return tuple(value.make(*(clean[name] for name in value.reads)) for value in self.frozen)

    def __call__(self, values: Sequence[Tensor], frozen: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the targets' values for the sources' `values`, the gates standing at `frozen`."""
        result: tuple[Tensor, ...] = self.module(*values, *frozen)
        return result


def linearise(
    graph: ModelGraph, sources: Sequence[str], targets: Sequence[str], gate: Gate = "derivative"
) -> LinearCut:
    """Make the cut from `sources` to `targets` affine in the sources.

    Parameters
    ----------
    gate
        ``derivative``: f'(clean), exact at the clean run for ReLU; ``ratio``: f(clean) / clean, exact at the clean run for every
        non-linearity; ``one``: non-linearities left out, Distill's all-linear gate. Max-pooling becomes average-pooling (as in
        "Visualizing Weights"), under ``ratio`` the clean run's argmax; adaptive max-pooling is always the latter.

    Raises
    ------
    ValueError
        When an operation has no linearisation; it is named.
    """
    if any(kind(node) == "scaled_dot_product_attention" for node in graph.downstream(sources)):
        graph = graph.expose_attention()
    held = {graph.node(name): graph.name(graph.node(name)) for name in sources}
    wanted = [graph.node(name) for name in targets]
    frontier = [graph.node(name) for name in graph.frontier(list(held.values()), targets)]
    changed = graph.downstream(list(held.values()))
    piece = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {node: piece.placeholder(f"source_{i}") for i, node in enumerate(held)}
    frozen: list[Frozen] = []

    def freeze(name: str, reads: Sequence[fx.Node], make: Callable[..., Tensor]) -> fx.Node:
        frozen.append(Frozen(name, tuple(graph.name(node) for node in reads), make))
        return piece.placeholder(f"frozen_{len(frozen) - 1}")

    # Placeholders stand first in a graph, so the frozen values are declared before anything is computed.
    needed = graph.needed(wanted, set(held) | set(frontier))
    plan: dict[fx.Node, tuple[str, fx.Node]] = {}
    for node in frontier:
        copies[node] = freeze(graph.name(node), [node], _same)
    for node in needed:
        if node in changed:
            frozen_part = _plan(graph, node, changed | set(held), gate, freeze)
            if frozen_part is not None:
                plan[node] = frozen_part
    batch = graph.batch_size(piece, copies, held)
    for node in needed:
        if counts_batch(node):
            factor = multiple(node.meta["val"])
            copies[node] = piece.call_function(scaled, (batch(), factor)) if factor != 1 else batch()
        elif node in plan:
            copies[node] = _linear_twin(piece, node, copies, *plan[node])
        elif node.op == "placeholder":
            raise InputError(f"{', '.join(targets)} also reads the input beside {', '.join(sources)}")
        else:
            copies[node] = piece.node_copy(node, copies.__getitem__)
    piece.output(tuple(copies[node] for node in wanted))
    names = tuple(graph.name(node) for node in wanted)
    piece.eliminate_dead_code()
    return LinearCut(tuple(held.values()), names, tuple(frozen), fx.GraphModule(graph.root, piece), graph)


def _plan(
    graph: ModelGraph,
    node: fx.Node,
    varying: set[fx.Node],
    gate: Gate,
    freeze: Callable[[str, Sequence[fx.Node], Callable[..., Tensor]], fx.Node],
) -> tuple[str, fx.Node] | None:
    """Decide how a node becomes linear: ``None`` where it is, else how and the placeholder of what is frozen."""
    name, operation = (graph.name(node) if is_tensor(node) else node.name), kind(node)
    moving = [a for a in pytree.tree_leaves((node.args, node.kwargs)) if isinstance(a, fx.Node) and a in varying]
    if operation in _ELEMENTWISE:
        if gate == "one":
            return "copy", moving[0]
        function = _elementwise(node, moving[0])
        return "gate", freeze(
            f"gate of {name}", [moving[0]], _ratio(function) if gate == "ratio" else _derivative(function)
        )
    if operation in ("softmax", "_softmax", "log_softmax"):
        return "constant", freeze(name, [node], _same)
    if operation in NORMS:
        return "norm", freeze(f"deviation of {name}", [moving[0]], _deviation(node))
    if operation in _POOLS:
        if gate == "ratio" or operation == "adaptive_max_pool2d":
            return "argmax", freeze(f"argmax of {name}", [moving[0]], _argmax(node))
        return "average", moving[0]
    if operation in ("mul", "div", "matmul", "bmm") and len(moving) > 1:
        held = node.args[1] if operation == "div" else _factor(node)
        assert isinstance(held, fx.Node)
        return f"product:{0 if held is node.args[0] else 1}", freeze(graph.name(held), [held], _same)
    if operation == "div" and node.args[1] in varying:
        return "ratio", freeze(f"1 / {name}", [node, moving[0]], lambda value, divisor: value / divisor)
    if operation not in LINEAR and not isinstance(node.meta.get("val"), (int, torch.SymInt)):
        raise InputError(f"{name} ({operation}) has no linearisation between these layers")
    return None


def _factor(node: fx.Node) -> fx.Node:
    """Choose the operand that acts as the gate: the pattern of an attention, the factor of squeeze-and-excite, else the second."""

    def is_gate(operand: Any) -> bool:
        while isinstance(operand, fx.Node) and kind(operand) in (
            "view",
            "expand",
            "reshape",
            "unsqueeze",
            "clone",
            "contiguous",
        ):
            operand = operand.args[0]
        return isinstance(operand, fx.Node) and kind(operand) in (
            "softmax",
            "_softmax",
            "sigmoid",
            "hardsigmoid",
            "tanh",
        )

    first, second = node.args[0], node.args[1]
    chosen = first if is_gate(first) and not is_gate(second) else second
    assert isinstance(chosen, fx.Node)
    return chosen


def _linear_twin(
    piece: fx.Graph, node: fx.Node, copies: Mapping[fx.Node, fx.Node], how: str, frozen: fx.Node
) -> fx.Node:
    if how == "constant":
        return frozen
    if how == "copy":
        return copies[frozen]
    if how == "gate":
        moving = next(a for a in node.args if isinstance(a, fx.Node) and a in copies)
        return piece.call_function(torch.ops.aten.mul.Tensor, (copies[moving], frozen))
    if how == "norm":
        arguments = fx.node.map_arg(node.args, copies.__getitem__)
        return piece.call_function(_frozen_norm(node), (frozen, *arguments))
    if how == "average":
        arguments = fx.node.map_arg(node.args, copies.__getitem__)
        return piece.call_function(_average_pool if is_tensor(node) else _average_pool_alone, tuple(arguments))
    if how == "argmax":
        source = node.args[0]
        assert isinstance(source, fx.Node)
        return piece.call_function(_take if is_tensor(node) else _take_alone, (copies[source], frozen))
    if how.startswith("product"):
        place = int(how[-1])
        factors = [
            frozen if i == place else copies.get(a, a) for i, a in enumerate(node.args) if isinstance(a, fx.Node)
        ]
        assert callable(node.target)
        return piece.call_function(node.target, tuple(factors))
    assert how == "ratio"
    divisor = node.args[1]
    assert isinstance(divisor, fx.Node)
    return piece.call_function(torch.ops.aten.mul.Tensor, (copies[divisor], frozen))


def _same(value: Tensor) -> Tensor:
    return value


def _elementwise(node: fx.Node, varying: fx.Node) -> Callable[[Tensor], Tensor]:
    target = node.target
    assert callable(target)

    def function(value: Tensor) -> Tensor:
        arguments = [value if a is varying else a for a in node.args]
        result: Tensor = target(*arguments, **node.kwargs)
        return result

    return function


def _derivative(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def gate(clean: Tensor) -> Tensor:
        with torch.enable_grad():
            point = clean.detach().requires_grad_()
            (slope,) = torch.autograd.grad(function(point).sum(), point)
        return slope

    return gate


def _ratio(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    slope = _derivative(function)

    def gate(clean: Tensor) -> Tensor:
        tiny = clean.abs() < 1e-6
        return torch.where(tiny, slope(clean), function(clean) / torch.where(tiny, torch.ones_like(clean), clean))

    return gate


def _groups(node: fx.Node) -> tuple[int | None, int]:
    """Number of groups (None: the last axes are normalised) and how many last axes."""
    if kind(node) == "group_norm":
        return int(node.args[1]), 0  # type: ignore[arg-type]
    if kind(node) == "instance_norm":
        return -1, 0
    return None, len(node.args[1])  # type: ignore[arg-type]


def _epsilon(node: fx.Node) -> float:
    place = {"layer_norm": 4, "group_norm": 4, "rms_norm": 3, "instance_norm": 7}[kind(node)]
    given = node.kwargs.get("eps", node.args[place] if len(node.args) > place else None)
    return 1e-5 if given is None else float(given)  # type: ignore[arg-type]


def _grouped(value: Tensor, groups: int | None, axes: int) -> tuple[Tensor, list[int]]:
    """View `value` so that one statistic belongs to each remaining place, and say over which axes it is taken."""
    if groups is None:
        return value, list(range(-axes, 0))
    view = value.reshape(value.shape[0], value.shape[1] if groups == -1 else groups, -1)
    return view, [-1]


def _deviation(node: fx.Node) -> Callable[[Tensor], Tensor]:
    """1 / sqrt(variance + eps) of the clean value, as the normalisation itself computes it."""
    groups, axes = _groups(node)
    epsilon, centred = _epsilon(node), kind(node) != "rms_norm"

    def reciprocal(clean: Tensor) -> Tensor:
        view, over = _grouped(clean, groups, axes)
        variance = view.var(over, keepdim=True, unbiased=False) if centred else view.square().mean(over, keepdim=True)
        return (variance + epsilon).rsqrt()

    return reciprocal


def _frozen_norm(node: fx.Node) -> Callable[..., Tensor]:
    groups, axes = _groups(node)
    operation = kind(node)
    weight_place, bias_place = {
        "layer_norm": (2, 3),
        "group_norm": (2, 3),
        "rms_norm": (2, None),
        "instance_norm": (1, 2),
    }[operation]

    def norm(reciprocal: Tensor, value: Tensor, *rest: Any) -> Tensor:
        arguments = (value, *rest)
        view, over = _grouped(value, groups, axes)
        centre = 0.0 if operation == "rms_norm" else view.mean(over, keepdim=True)
        result = ((view - centre) * reciprocal).reshape(value.shape)
        weight = arguments[weight_place] if len(arguments) > weight_place else None
        bias = arguments[bias_place] if bias_place is not None and len(arguments) > bias_place else None
        shape = [-1] + [1] * (value.dim() - 2) if groups is not None else list(value.shape[-axes:])
        if weight is not None:
            result = result * weight.reshape(shape)
        return result + bias.reshape(shape) if bias is not None else result

    return norm


def _average_pool(
    value: Tensor, kernel: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil: bool = False
) -> Tensor:
    if any(d != 1 for d in (dilation if isinstance(dilation, (list, tuple)) else [dilation])):
        raise InputError(f"a dilated max-pool (dilation {dilation}) has no average-pool twin")
    return torch.nn.functional.avg_pool2d(value, kernel, stride or None, padding, ceil, count_include_pad=False)


def _argmax(node: fx.Node) -> Callable[[Tensor], Tensor]:
    def places(clean: Tensor) -> Tensor:
        pool = node.target if kind(node) == "adaptive_max_pool2d" else torch.ops.aten.max_pool2d_with_indices.default
        assert callable(pool)
        indices: Tensor = pool(clean, *node.args[1:], **node.kwargs)[1]
        return indices

    return places


def _take(value: Tensor, places: Tensor) -> Tensor:
    return (
        value.flatten(2)
        .gather(2, places.flatten(2).expand(value.shape[0], -1, -1))
        .reshape(value.shape[0], *places.shape[1:])
    )


def _take_alone(value: Tensor, places: Tensor) -> tuple[Tensor]:
    """Do the same where the operation also returns the places; nobody reads these twice."""
    return (_take(value, places),)


def _average_pool_alone(*arguments: Any) -> tuple[Tensor]:
    return (_average_pool(*arguments),)
