"""Writes in place become out-of-place operations: else a layer captured beside one that overwrites it would be that one."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from torch import fx

from workbench.models.nodes import HANDED_ON, VIEWS, kind


def can_lift_writes(graph: fx.Graph) -> bool:
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


def lift_writes(graph: fx.Graph) -> None:
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


def _same_value(first: fx.Node, second: fx.Node) -> bool:
    """Whether both are one storage handed on whole."""
    return _value(first) is _value(second)


def _value(node: fx.Node) -> fx.Node:
    while (kind(node) in HANDED_ON or _written(node) is not None) and isinstance(node.args[0], fx.Node):
        node = node.args[0]
    return node
