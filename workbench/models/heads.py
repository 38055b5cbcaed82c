"""Which tensors are of heads of attention, followed from node to node.

What heads compute, ``datum head token feature``, or compare, ``datum head query key``, has as many axes as a map, ``datum unit row
column``. Only where it comes from tells them apart: the units of tokens were cut up into heads, or attention made it.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import fx

from workbench.models.nodes import VIEWS, is_tensor, kind
from workbench.models.unit_axes import CHANNELS_FIRST

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
        return not _stays(of, axis, node.meta["val"].shape)
    return any(one in known for one in read)


def _stays(of: Sequence[object], axis: int, shape: Sequence[object]) -> bool:
    """Whether an axis of `of` is one of `shape`, too: of the same size, with as many numbers behind it."""

    def behind(sizes: Sequence[object], place: int) -> int:
        product = 1
        for size in sizes[place + 1 :]:
            product *= size if isinstance(size, int) else 1
        return product

    wanted = of[axis], behind(of, axis)
    return any(isinstance(size, int) and (size, behind(shape, place)) == wanted for place, size in enumerate(shape))
