"""Which tensors are of heads of attention, followed from node to node.

What heads compute, ``datum head token feature``, or compare, ``datum head query key``, has as many axes as a map, ``datum unit row
column``. Only where it comes from tells them apart: the units of tokens were cut up into heads, or attention made it.
"""

from __future__ import annotations

from torch import fx

from workbench.models.nodes import VIEWS, is_tensor, kind
from workbench.models.unit_axes import CHANNELS_FIRST, same_axis

_PRODUCTS = frozenset("matmul bmm baddbmm einsum".split())


def of_heads(graph: fx.Graph, unit_axes: dict[fx.Node, int]) -> set[fx.Node]:
    """Return the nodes whose axes are those of heads.

    Parameters
    ----------
    unit_axes
        Axis of each node that counts units.
    """
    found: set[fx.Node] = set()
    for node in graph.nodes:
        if node.op == "call_function" and is_tensor(node) and _is_of_heads(node, found, unit_axes):
            found.add(node)
    return found


def _is_of_heads(node: fx.Node, known: set[fx.Node], unit_axes: dict[fx.Node, int]) -> bool:
    name, rank = kind(node), node.meta["val"].dim()
    if rank < 4 or name in CHANNELS_FIRST:
        return False
    read = [source for source in node.all_input_nodes if is_tensor(source)]
    if name == "scaled_dot_product_attention" or (name in _PRODUCTS and sum(source.op != "get_attr" for source in read) > 1):
        return True
    source = max(read, key=lambda one: one.meta["val"].dim(), default=None)
    if source is None:
        return False
    of, axis = source.meta["val"].shape, unit_axes.get(source)  # None of a constant
    if name in VIEWS and len(of) == 3 and axis is not None:
        return same_axis(of, axis, node.meta["val"].shape) is None
    return any(one in known for one in read)
