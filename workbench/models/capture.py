"""Capture: a module becomes one flat graph of tensor operations, once, with `torch.export`.

Three things are put right on the way, because everything later relies on them. In-place writes become out-of-place ones (else
capturing ``bn1`` beside its in-place ``relu`` would return one storage). Each node gets the names a researcher knows: the output of
the module ``layer1.0.conv1`` is called just that, its k-th further call ``layer1.0.conv1@k``, an operation inside a module
``PATH:op``. And each node knows which of its axes counts examples and which counts units.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from workbench.input_error import InputError
from workbench.models.layer import Layer, Role
from workbench.task import Task

NONLINEAR = frozenset(
    "relu relu6 gelu silu hardswish hardsigmoid hardtanh leaky_relu elu celu selu mish sigmoid tanh softmax softplus "
    "log_softmax _softmax prelu rrelu clamp clamp_min top_k_relu".split()
)
"""Operations that make a layer ``post`` and their input ``pre``."""

SAME_VALUES = frozenset("dropout feature_dropout alpha_dropout contiguous clone to _to_copy alias detach".split())
"""Operations that hand their input on unchanged in eval mode."""

HANDED_ON = frozenset("dropout feature_dropout alpha_dropout alias detach".split())
"""Those of `SAME_VALUES` that hand on the very storage; a copy is not overwritten with its original."""

VIEWS = frozenset(
    "view reshape flatten unflatten transpose permute squeeze unsqueeze expand expand_as select slice narrow split split_with_sizes "
    "chunk unbind getitem t movedim swapaxes as_strided unfold_copy _unsafe_view view_as pixel_shuffle pixel_unshuffle".split()
)
"""Operations that only rearrange; listed as layers only where a module returns them."""


class CaptureError(InputError):
    """The network cannot be captured as one graph; the message says why."""


@dataclass(frozen=True)
class Capture:
    """The flat graph and what is known of its nodes.

    Attributes
    ----------
    module
        The network that was captured.
    root
        Module that owns the parameters; they are the network's own, so in-place edits of the network are seen.
    graph
        Out-of-place operations from the placeholders to one output node.
    names
        Every name of every tensor node; the first is the shortest.
    unit_axes
        Axis of the full tensor (batch included) that counts units.
    output_spec
        How the network packs its outputs.
    module_outputs
        Nodes that a module returns.
    inner
        Nodes that can be read by name but are not listed as layers.
    """

    module: nn.Module
    root: nn.Module
    graph: fx.Graph
    names: dict[fx.Node, tuple[str, ...]]
    unit_axes: dict[fx.Node, int]
    output_spec: Any
    module_outputs: frozenset[fx.Node] = field(default=frozenset())
    inner: frozenset[fx.Node] = field(default=frozenset())


def capture(module: nn.Module, inputs: tuple[Any, ...], task: Task | None = None) -> Capture:
    """Export `module` on `inputs` (batch of two or more in dimension 0 of every tensor) and put the graph right.

    Raises
    ------
    CaptureError
        When the network cannot be exported, behaves differently each time, or differs from its own graph.
    """
    task = task or Task()
    module.eval()
    # Off for good: nn.MultiheadAttention's fast path rounds otherwise than the operations it stands for, which are what is exported.
    torch.backends.mha.set_fastpath_enabled(False)
    inputs = pytree.tree_map_only(Tensor, Tensor.clone, inputs)  # one tensor given twice would be exported as one input
    for tensor in (t for t in pytree.tree_leaves(inputs) if isinstance(t, Tensor) and t.dim()):
        if tensor.shape[0] < 2:
            raise CaptureError(f"the example input has a batch of {tensor.shape[0]}; give two examples or more")
    with torch.no_grad():
        reference = _clone(module(*inputs))
        if not _same(reference, module(*inputs)):
            raise CaptureError(
                f"{type(module).__name__} gives different outputs for the same input (noise, a counter, dropout without "
                "`training=self.training`, or BatchNorm in train mode); such a network has no fixed graph to analyse"
            )
    task.step(1, 4, note="exporting the graph")
    exported = _export(module, inputs)
    task.step(2, 4, note="naming the layers")
    root = _as_graph_module(exported)
    if not _writes_can_be_lifted(root.graph):
        root = _as_graph_module(exported.run_decompositions({}))
    _drop_checks(root.graph)
    module_names, outputs = _module_names(root.graph)
    _lift_writes(root.graph)
    _drop_dropout(root.graph, module_names, outputs)
    root.recompile()
    names = _all_names(root.graph, module_names)
    result = Capture(module, root, root.graph, names, _unit_axes(root.graph), _output_spec(root), frozenset(outputs))
    task.step(3, 4, note="comparing the graph with the network")
    with torch.no_grad():
        if not _same(reference, _clone(fx.GraphModule(root, root.graph)(*pytree.tree_leaves(inputs)))):
            raise CaptureError(
                f"the exported graph of {type(module).__name__} gives another output than the network itself"
            )
    return result


def _export(module: nn.Module, inputs: tuple[Any, ...]) -> torch.export.ExportedProgram:
    shapes = pytree.tree_map(
        lambda leaf: {0: torch.export.Dim.DYNAMIC} if isinstance(leaf, Tensor) and leaf.dim() else None, inputs
    )
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            return torch.export.export(module, inputs, dynamic_shapes=shapes, strict=False)
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CaptureError(
            f"{type(module).__name__} cannot be exported as a graph ({reason}); control flow that depends on pixel values, and "
            "batch sizes fixed in code, are the usual causes"
        ) from error


def _as_graph_module(exported: torch.export.ExportedProgram) -> fx.GraphModule:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        root = exported.module()
    assert isinstance(root, fx.GraphModule)
    return root


def _output_spec(root: fx.GraphModule) -> Any:
    spec = getattr(root, "_out_spec", None)
    if spec is None:
        spec = root.graph._codegen.pytree_info.out_spec  # type: ignore[attr-defined]
    # The graph itself now takes and returns flat lists; packing is done by whoever calls it.
    root.graph.set_codegen(fx.graph.CodeGen())
    root.recompile()
    return spec


def _drop_checks(graph: fx.Graph) -> None:
    """Remove guards and assertions: a cut runs from other places and other batch sizes than the example."""
    for node in reversed(list(graph.nodes)):
        if node.op == "call_module" or (node.op == "call_function" and not node.users and not is_tensor(node)):
            for user in list(node.users):
                graph.erase_node(user)
            graph.erase_node(node)


def _clone(output: Any) -> list[Tensor]:
    return [leaf.clone() for leaf in pytree.tree_leaves(output) if isinstance(leaf, Tensor)]


def _same(first: list[Tensor], second: Any) -> bool:
    others = [leaf for leaf in pytree.tree_leaves(second) if isinstance(leaf, Tensor)]
    return len(first) == len(others) and all(
        a.shape == b.shape and torch.equal(torch.nan_to_num(a), torch.nan_to_num(b))
        for a, b in zip(first, others, strict=True)
    )


# --- what a node is ------------------------------------------------------------------------------------------------------------


def kind(node: fx.Node) -> str:
    """Name of the node's operation without its overload: ``conv2d``, ``add``, ``getitem``; placeholders are ``input``."""
    if node.op == "placeholder":
        return "input"
    if node.op == "get_attr":
        return "parameter"
    target = node.target
    if isinstance(target, torch._ops.OpOverload):
        return target._schema.name.split("::")[-1].removesuffix("_")
    return getattr(target, "__name__", str(target))


def is_tensor(node: fx.Node) -> bool:
    """Whether the node's value is a single tensor."""
    return isinstance(node.meta.get("val"), Tensor)


def is_number(node: fx.Node) -> bool:
    """Whether the node's value is a number, such as that of the examples."""
    return isinstance(node.meta.get("val"), (int, float, torch.SymInt, torch.SymFloat))


def batch_of(node: fx.Node) -> tuple[int, int] | None:
    """Axis that counts examples and rows per example (windows), or None where the value does not depend on the batch."""
    value = node.meta.get("val")
    if not isinstance(value, Tensor):
        return None
    for axis, size in enumerate(value.shape):
        if isinstance(size, torch.SymInt):
            return axis, multiple(size)
    return None


def multiple(size: torch.SymInt) -> int:
    """Return a of a size ``a * batch``.

    Raises
    ------
    CaptureError
        When the size is not a multiple of the batch size.
    """
    expression = size.node.expr
    factor, rest = expression.as_coeff_Mul()
    if not rest.is_Symbol or not factor.is_Integer:
        raise CaptureError(f"a tensor has the size {expression}, which is not a multiple of the batch size")
    return int(factor)


# --- in-place writes -----------------------------------------------------------------------------------------------------------


def _written(node: fx.Node) -> fx.Node | None:
    """Return the node whose storage `node` overwrites, if it does."""
    if (
        node.op != "call_function"
        or not isinstance(node.target, torch._ops.OpOverload)
        or not node.target._schema.is_mutable
    ):
        return None
    for argument, value in zip(node.target._schema.arguments, node.args, strict=False):
        if argument.alias_info is not None and argument.alias_info.is_write and isinstance(value, fx.Node):
            return value
    return None


def _out_of_place(node: fx.Node) -> Any | None:
    """Return the operation that computes the same without writing, or None."""
    namespace, name = node.target._schema.name.split("::")  # type: ignore[union-attr]
    if not name.endswith("_"):
        return None
    packet = getattr(getattr(torch.ops, namespace), name[:-1], None)
    overload = node.target._overloadname  # type: ignore[union-attr]
    return getattr(packet, overload, None) if packet is not None and overload in packet.overloads() else None


def _shares_storage(node: fx.Node) -> bool:
    return node.op == "call_function" and kind(node) in VIEWS | HANDED_ON | {"contiguous", "to"}


def _storage(graph: fx.Graph) -> dict[fx.Node, fx.Node]:
    """Map each node to the node that owns its storage."""
    owner: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        source = _written(node) or (node.args[0] if _shares_storage(node) and node.args else None)
        owner[node] = owner[source] if isinstance(source, fx.Node) else node
    return owner


def _writes_can_be_lifted(graph: fx.Graph) -> bool:
    """Say whether every write hits a whole tensor that no view of another shape reads later."""
    owner, place = _storage(graph), {node: i for i, node in enumerate(graph.nodes)}
    for node in graph.nodes:
        written = _written(node)
        if written is None:
            continue
        if _out_of_place(node) is None:
            return False
        for other in graph.nodes:
            shared = owner[other] is owner[node] and other not in (written, node) and place[other] < place[node]
            if shared and any(place[user] > place[node] for user in other.users) and not _same_value(other, written):
                return False
    return True


def _same_value(first: fx.Node, second: fx.Node) -> bool:
    """Whether both are one storage handed on whole."""
    return _value(first) is _value(second)


def _value(node: fx.Node) -> fx.Node:
    while (kind(node) in HANDED_ON or _written(node) is not None) and isinstance(node.args[0], fx.Node):
        node = node.args[0]
    return node


def _lift_writes(graph: fx.Graph) -> None:
    """Turn every in-place operation into its out-of-place twin; later readers of what it overwrote read it instead."""
    owner, place = _storage(graph), {node: i for i, node in enumerate(graph.nodes)}
    sharing: dict[fx.Node, list[fx.Node]] = defaultdict(list)
    for node in graph.nodes:
        sharing[owner[node]].append(node)
    writes = [(node, written) for node in graph.nodes if (written := _written(node)) is not None]
    values = {node: _value(node) for node in graph.nodes}
    for node, written in writes:
        for other in sharing[owner[node]]:
            if (
                other is not node
                and place[other] < place[node]
                and (other is written or values[other] is values[written])
            ):
                for user in list(other.users):
                    if place[user] > place[node]:
                        user.replace_input_with(other, node)
    for node, _ in writes:
        node.target = _out_of_place(node)
    graph.eliminate_dead_code()


def _drop_dropout(graph: fx.Graph, module_names: defaultdict[fx.Node, list[str]], outputs: set[fx.Node]) -> None:
    """Remove dropout, which hands its input on in eval mode; its names go to that input."""
    for node in list(graph.nodes):
        if kind(node) in ("dropout", "feature_dropout", "alpha_dropout") and isinstance(node.args[0], fx.Node):
            source = node.args[0]
            if source.op == "call_function":
                module_names[source].extend(module_names.pop(node, []))
                if node in outputs:
                    outputs.remove(node)
                    outputs.add(source)
                node.replace_all_uses_with(source)
                graph.erase_node(node)


# --- names ---------------------------------------------------------------------------------------------------------------------


def _calls(node: fx.Node) -> list[str]:
    """Module calls around the node, outermost first, each as ``path`` or ``path@k``; the network itself is the empty path."""
    if node.op != "call_function":
        return []
    stack = node.meta.get("nn_module_stack") or {}
    calls = []
    for key, (path, _) in stack.items():
        count = key.rpartition("@")[2] if "@" in key else ""
        calls.append(f"{path.split('@')[0]}@{count}" if count else path)
    return [call for call in calls if not call.startswith("_empty_nn_module_stack")]


def _module_names(graph: fx.Graph) -> tuple[defaultdict[fx.Node, list[str]], set[fx.Node]]:
    """Name the output of every module call: the inside node that is read outside; several get an index."""
    inside: dict[str, list[fx.Node]] = defaultdict(list)
    calls = {node: _calls(node) for node in graph.nodes}
    for node in graph.nodes:
        for call in calls[node]:
            if call:
                inside[call].append(node)
    names: defaultdict[fx.Node, list[str]] = defaultdict(list)
    outputs: set[fx.Node] = set()
    for call, nodes in inside.items():
        read_outside = [
            node for node in nodes if is_tensor(node) and any(call not in calls[user] for user in node.users)
        ]
        for i, node in enumerate(read_outside):
            names[node].append(call if len(read_outside) == 1 else f"{call}[{i}]")
            outputs.add(node)
    return names, outputs


def _all_names(graph: fx.Graph, module_names: dict[fx.Node, list[str]]) -> dict[fx.Node, tuple[str, ...]]:
    """Give every tensor node its names: those of modules, and ``PATH:op`` (``@k`` for the k-th of a kind in PATH)."""
    names: dict[fx.Node, tuple[str, ...]] = {}
    counts: dict[str, int] = defaultdict(int)
    operations: dict[str, int] = defaultdict(int)
    for node in graph.nodes:
        calls = _calls(node)
        if is_tensor(node) and node.op == "call_function":
            operations[calls[-1] if calls else ""] += 1
    for node in graph.nodes:
        if not is_tensor(node):
            continue
        if node.op == "placeholder":
            names[node] = (
                ("input",) if not any("input" in known for known in names.values()) else (f"input:{node.name}",)
            )
        elif node.op == "call_function":
            calls = _calls(node)
            path = calls[-1] if calls else ""
            stem = f"{path}:{kind(node)}"
            functional = f"{stem}@{counts[stem]}" if counts[stem] else stem
            counts[stem] += 1
            known = sorted(module_names.get(node, ()), key=lambda name: (name.count("."), len(name), name))
            names[node] = (*known, functional) if operations[path] > 1 or not known else tuple(known)
    return names


# --- axes ----------------------------------------------------------------------------------------------------------------------

_CHANNELS_FIRST = frozenset(
    "conv1d conv2d conv3d conv_transpose2d batch_norm group_norm instance_norm max_pool2d avg_pool2d adaptive_avg_pool2d "
    "adaptive_max_pool2d local_response_norm upsample_nearest2d upsample_bilinear2d upsample_bicubic2d pixel_shuffle "
    "pixel_unshuffle convolution native_batch_norm _native_batch_norm_legit_no_training native_group_norm".split()
)
_FEATURES_LAST = frozenset("linear layer_norm rms_norm embedding addmm native_layer_norm _native_layer_norm".split())


def _unit_axes(graph: fx.Graph) -> dict[fx.Node, int]:
    """Say for each tensor node which axis counts units, followed through the operations that keep or move it."""
    axes: dict[fx.Node, int] = {}
    for node in graph.nodes:
        if is_tensor(node):
            axes[node] = unit_axis(node, axes)
    return axes


def unit_axis(node: fx.Node, axes: dict[fx.Node, int]) -> int:
    """Axis of the node's full tensor that counts units, given the axes of the nodes before it."""
    value: Tensor = node.meta["val"]
    name, rank = kind(node), value.dim()
    default = 1 if rank >= 4 or node.op == "placeholder" else max(rank - 1, 0)
    if name in _CHANNELS_FIRST:
        return min(1, rank - 1)
    if name in _FEATURES_LAST:
        return rank - 1
    if name == "scaled_dot_product_attention" or node.op != "call_function":
        return min(default, max(rank - 1, 0))
    sources = [a for a in pytree.tree_leaves((node.args, node.kwargs)) if isinstance(a, fx.Node) and a in axes]
    source = max(sources, key=lambda s: s.meta["val"].dim(), default=None)
    if source is None:
        return default
    before, axis = source.meta["val"], axes[source]
    if name in ("permute", "transpose", "movedim", "swapaxes", "t"):
        return _order(node, before.dim()).index(axis)
    if rank == before.dim() and name not in ("view", "reshape", "_unsafe_view"):
        return axis
    if name in (
        "select",
        "squeeze",
        "mean",
        "sum",
        "amax",
        "unsqueeze",
        "getitem",
        "view",
        "reshape",
        "flatten",
        "_unsafe_view",
    ):
        found = _axis_of_same_place(before.shape, axis, value.shape)
        if found is not None:
            return found
    return min(default, max(rank - 1, 0))


def _order(node: fx.Node, rank: int) -> list[int]:
    name, rest = kind(node), node.args[1:]
    if name == "permute":
        return [int(d) % rank for d in rest[0]]  # type: ignore[union-attr, arg-type]
    order = list(range(rank))
    first, second = (0, 1) if name == "t" else (int(rest[0]) % rank, int(rest[1]) % rank)  # type: ignore[arg-type]
    if name == "movedim":
        order.insert(second, order.pop(first))
    else:
        order[first], order[second] = order[second], order[first]
    return order


def _axis_of_same_place(before: Any, axis: int, after: Any) -> int | None:
    """Find the axis of `after` with the same size and as many elements behind it as `axis` has in `before`."""

    def stride(shape: Any, place: int) -> int:
        product = 1
        for size in shape[place + 1 :]:
            product = product * (size if isinstance(size, int) else 1)
        return product

    for place, size in enumerate(after):
        if isinstance(size, int) and size == before[axis] and size > 1 and stride(after, place) == stride(before, axis):
            return place
    for place, size in enumerate(after):
        if isinstance(size, int) and size == before[axis] and size > 1:
            return place
    return None


def describe(node: fx.Node, names: tuple[str, ...], axis: int) -> Layer | None:
    """Return the layer a node is, or None where it does not depend on the batch or is not made of real numbers."""
    batch, value = batch_of(node), node.meta["val"]
    if batch is None or not value.dtype.is_floating_point:
        return None
    batch_axis, rows = batch
    shape = tuple(int(size) for i, size in enumerate(value.shape) if i != batch_axis)
    unit = axis - 1 if axis > batch_axis else axis
    if axis == batch_axis:
        unit = len(shape) - 1
    if unit == len(shape) - 1 and len(shape) > 1:
        unit = -1
    role: Role = ""
    if kind(node) in NONLINEAR:
        role = "post"
    elif any(kind(user) in NONLINEAR for user in _through_same_values(node)):
        role = "pre"
    return Layer(names[0], kind(node), shape, unit, role, names[1:], batch_axis, rows)


def _through_same_values(node: fx.Node) -> Iterator[fx.Node]:
    for user in node.users:
        if kind(user) in SAME_VALUES:
            yield from _through_same_values(user)
        else:
            yield user
