"""Which axis of a tensor counts units, followed from node to node."""

from __future__ import annotations

from typing import Any

from torch import Tensor, fx
from torch.utils import _pytree as pytree

from workbench.models.nodes import is_tensor, kind

CHANNELS_FIRST = frozenset(
    "conv1d conv2d conv3d conv_transpose2d batch_norm group_norm instance_norm max_pool2d avg_pool2d adaptive_avg_pool2d "
    "adaptive_max_pool2d local_response_norm upsample_nearest2d upsample_bilinear2d upsample_bicubic2d pixel_shuffle "
    "pixel_unshuffle convolution native_batch_norm _native_batch_norm_legit_no_training native_group_norm".split()
)
_FEATURES_LAST = frozenset("linear layer_norm rms_norm embedding addmm native_layer_norm _native_layer_norm".split())


def unit_axes(graph: fx.Graph) -> dict[fx.Node, int]:
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
    if name in CHANNELS_FIRST:
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


def same_axis(before: Any, axis: int, after: Any) -> int | None:
    """Return the axis of the shape `after` that is one of `before`: of the same size, with as many numbers behind it."""

    def stride(shape: Any, place: int) -> int:
        product = 1
        for size in shape[place + 1 :]:
            product = product * (size if isinstance(size, int) else 1)
        return product

    wanted = stride(before, axis)
    places = (place for place, size in enumerate(after) if isinstance(size, int) and size == before[axis])
    return next((place for place in places if stride(after, place) == wanted), None)


def _axis_of_same_place(before: Any, axis: int, after: Any) -> int | None:
    """Find the axis of `after` that is one of `before`, else one of the same size; none of size 1."""
    found = same_axis(before, axis, after)
    if found is not None and after[found] > 1:
        return found
    for place, size in enumerate(after):
        if isinstance(size, int) and size == before[axis] and size > 1:
            return place
    return None
