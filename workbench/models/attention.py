"""Attention patterns as layers: the fused attention node written out, or the softmax a network already has, named."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import fx

from workbench.models.capture import Capture
from workbench.models.nodes import SAME_VALUES, VIEWS, is_tensor, kind
from workbench.models.unit_axes import unit_axis

aten = torch.ops.aten


def expose(capture: Capture) -> Capture:
    """Return a capture in which each fused attention is softmax(Q K^T scale + mask) V.

    New names per attention module at PATH, as TransformerLens has them in ``attn.hook_attn_scores`` and ``attn.hook_pattern``:
    ``PATH:scores`` and ``PATH:pattern``, each ``batch head query key``. The attention node keeps its names (z, ``batch head query
    feature``). In families that spell attention out (Swin, LeViT), the softmax that feeds the product with V is named the same way.
    Values differ from the fused kernel's by rounding (about 1e-6 relative).
    """
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    names: dict[fx.Node, tuple[str, ...]] = {}
    axes: dict[fx.Node, int] = {}
    outputs: set[fx.Node] = set()

    def add(target: Any, args: tuple[Any, ...], like: fx.Node, name: str = "") -> fx.Node:
        made = graph.call_function(target, args)
        values = fx.node.map_arg(args, lambda node: node.meta["val"])
        made.meta = {"nn_module_stack": like.meta.get("nn_module_stack"), "val": target(*values)}
        names[made] = (name,) if name else (f"{stem(like)}:{made.name}",)
        axes[made] = unit_axis(made, axes)
        if name:
            outputs.add(made)
        return made

    def stem(node: fx.Node) -> str:
        functional = next((name for name in reversed(capture.names[node]) if ":" in name), capture.names[node][0])
        return functional.partition(":")[0]

    def unique(name: str) -> str:
        taken = {known for given in names.values() for known in given}
        candidates = (name if k == 0 else f"{name}@{k}" for k in range(len(taken) + 1))
        return next(candidate for candidate in candidates if candidate not in taken)

    for node in capture.graph.nodes:
        if kind(node) == "scaled_dot_product_attention":
            with fake_mode(node):
                query, key, value, mask, causal, scale, grouped = (
                    copies.get(part, part) if isinstance(part, fx.Node) else part for part in _arguments(node)
                )
                if grouped:
                    groups = query.meta["val"].shape[1] // key.meta["val"].shape[1]
                    key = add(aten.repeat_interleave.self_int, (key, groups, 1), node)
                    value = add(aten.repeat_interleave.self_int, (value, groups, 1), node)
                scores = add(aten.matmul.default, (query, add(aten.transpose.int, (key, -2, -1), node)), node)
                scores = add(aten.mul.Tensor, (scores, scale), node, unique(f"{stem(node)}:scores"))
                if causal:
                    length = int(query.meta["val"].shape[-2])
                    mask = add(aten.tril.default, (add(aten.ones.default, ([length, length],), node),), node)
                    mask = add(aten.log.default, (mask,), node)
                if mask is not None:
                    if mask.meta["val"].dtype == torch.bool:
                        scores = add(aten.where.ScalarOther, (mask, scores, -math.inf), node)
                    else:
                        scores = add(aten.add.Tensor, (scores, mask), node)
                pattern = add(aten.softmax.int, (scores, -1), node, unique(f"{stem(node)}:pattern"))
                result = add(aten.matmul.default, (pattern, value), node)
            copied = result
        else:
            copied = graph.node_copy(node, copies.__getitem__)
        copies[node] = copied
        if node in capture.names:
            reader = _reader_of_pattern(node)
            pattern_name = (unique(f"{stem(reader)}:pattern"),) if reader is not None else ()
            names[copied] = (*capture.names[node], *pattern_name)
            axes[copied] = 1 if pattern_name else capture.unit_axes[node]
        if node in capture.module_outputs:
            outputs.add(copied)
    inner = frozenset(copies[node] for node in capture.inner)
    return Capture(capture.module, capture.root, graph, names, axes, capture.output_spec, frozenset(outputs), inner)


def fake_mode(node: fx.Node) -> Any:
    """Return the mode in which the graph's example values were made, for computing the shape of a new node."""
    from torch._guards import detect_fake_mode

    return detect_fake_mode([node.meta["val"]])


def _arguments(node: fx.Node) -> tuple[Any, ...]:
    defaults = {"attn_mask": None, "dropout_p": 0.0, "is_causal": False, "scale": None, "enable_gqa": False}
    given: dict[str, Any] = dict(zip(("query", "key", "value", *defaults), node.args, strict=False)) | dict(node.kwargs)
    settings: dict[str, Any] = defaults | given
    scale = settings["scale"]
    if scale is None:
        scale = 1 / math.sqrt(int(settings["query"].meta["val"].shape[-1]))
    parts = (settings["query"], settings["key"], settings["value"], settings["attn_mask"])
    return (*parts, settings["is_causal"], scale, settings["enable_gqa"])


def _reader_of_pattern(node: fx.Node) -> fx.Node | None:
    """Return the product with the values that reads this softmax, if there is one: then the softmax is an attention pattern."""
    waiting = list(node.users) if kind(node) in ("softmax", "_softmax") and is_tensor(node) else []
    while waiting:
        user = waiting.pop()
        if kind(user) in ("matmul", "bmm", "einsum"):
            return user
        if kind(user) in SAME_VALUES | VIEWS:
            waiting.extend(user.users)
    return None
