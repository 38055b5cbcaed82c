"""The nearest earlier layer that everything between it and a unit passes through: what the unit can be rebuilt from, whole.

In a plain chain that is the layer before; in a branch of a concatenation the branch's own; in a residual network the stream where both ways
part. In terms of the graph it is the nearest dominator with weights in between (Prosser 1959).
"""

from __future__ import annotations

from torch import fx

from workbench.models.adjacent import MIXES, POOLS
from workbench.models.affine import operands, unit_count, varying
from workbench.models.graph import ModelGraph
from workbench.models.nodes import SAME_VALUES, VIEWS, kind

_MIXES = MIXES | {"scaled_dot_product_attention", "matmul", "bmm"}


def nearest_source(graph: ModelGraph, layer: str, sums: bool = False) -> str | None:
    """Return the layer that `layer` is wholly computed from, the nearest with weights in between; None where that is the input.

    Pooling and views that keep units apart are not layers of their own: the name is that of what they read.

    Parameters
    ----------
    sums
        Whether one that is put together from several values counts without weights in between as well: the last sum of a transformer
        has a normalisation behind it and nothing else.
    """
    moving = varying(graph)
    above: dict[fx.Node, fx.Node | None] = {}
    depth: dict[fx.Node, int] = {}
    for node in graph.graph.nodes:  # in the order of computation: all operands are known
        if node not in moving:
            continue
        common: fx.Node | None = None
        read = operands(node, moving)
        for place, operand in enumerate(read):
            common = operand if place == 0 else _shared(above, depth, common, operand)
        above[node] = common
        depth[node] = 0 if common is None else depth[common] + 1
    target = graph.node(layer)
    behind = _ancestors(target, moving)
    found = above.get(target)
    while found is not None:
        between = behind - _ancestors(found, moving) - {found} | {target}
        mixed = any(kind(node) in _MIXES for node in between)
        if found in graph.capture.unit_axes and (mixed or (sums and _is_put_together(graph, found, moving))):
            break
        found = above[found]
    while found is not None and kind(found) in POOLS | SAME_VALUES | VIEWS:
        earlier = above[found]
        if earlier is None or unit_count(graph, earlier) != unit_count(graph, found):
            break
        found = earlier
    if found is None or found.op == "placeholder":
        return None
    return graph.name(found)


def _shared(
    above: dict[fx.Node, fx.Node | None], depth: dict[fx.Node, int], one: fx.Node | None, other: fx.Node | None
) -> fx.Node | None:
    """Return the nearest node that both are computed through."""
    while one is not other:
        if one is None or other is None:
            return None
        if depth[one] >= depth[other]:
            one = above[one]
        else:
            other = above[other]
    return one


def _is_put_together(graph: ModelGraph, node: fx.Node, moving: set[fx.Node]) -> bool:
    """Whether it is a sum, or a concatenation of units, of several values that depend on the input."""
    if len(operands(node, moving)) < 2:
        return False
    axis = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
    return kind(node) == "add" or (kind(node) == "cat" and axis % node.meta["val"].dim() == graph.capture.unit_axes[node])


def _ancestors(node: fx.Node, moving: set[fx.Node]) -> set[fx.Node]:
    found: set[fx.Node] = set()
    waiting = [node]
    while waiting:
        for operand in operands(waiting.pop(), moving):
            if operand not in found:
                found.add(operand)
                waiting.append(operand)
    return found
