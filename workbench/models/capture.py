"""Capture: a module becomes one flat graph of tensor operations, once, with `torch.export`.

Three things are put right on the way, because everything later relies on them. In-place writes become out-of-place ones (else
capturing ``bn1`` beside its in-place ``relu`` would return one storage). Each node gets the names a researcher knows: the output of
the module ``layer1.0.conv1`` is called just that, its k-th further call ``layer1.0.conv1@k``, an operation inside a module
``PATH:op``. And each node knows which of its axes counts examples and which counts units.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from workbench.models.in_place import can_lift_writes, lift_writes
from workbench.models.nodes import CaptureError, is_tensor, kind
from workbench.models.unit_axes import unit_axes
from workbench.task import Task


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
    if not can_lift_writes(root.graph):
        root = _as_graph_module(exported.run_decompositions({}))
    _drop_checks(root.graph)
    module_names, outputs = _module_names(root.graph)
    lift_writes(root.graph)
    _drop_dropout(root.graph, module_names, outputs)
    root.recompile()
    names = _all_names(root.graph, module_names)
    result = Capture(module, root, root.graph, names, unit_axes(root.graph), _output_spec(root), frozenset(outputs))
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
