"""Which weights read a layer's units: the convolutions and linear layers that follow, with what stands between taken as linear.

From the layer on, a unit is followed through everything that keeps units apart (non-linearities, pooling, normalisation, sums, gates,
channels set side by side, depthwise convolutions, whose kernels are composed) to the layers that mix units. In a residual network these
are those of all later blocks that read the stream.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, fx
from torch.nn.functional import conv2d

from workbench.models.graph import ModelGraph
from workbench.models.nodes import NONLINEAR, SAME_VALUES, VIEWS, kind

_KEEPS_UNITS = (
    (NONLINEAR - {"softmax", "_softmax", "log_softmax"})
    | SAME_VALUES
    | VIEWS
    | frozenset(
        "max_pool2d avg_pool2d adaptive_avg_pool2d adaptive_max_pool2d mean amax roll pad constant_pad_nd add sub mul div "
        "local_response_norm upsample_nearest2d upsample_bilinear2d upsample_bicubic2d batch_norm layer_norm group_norm cat".split()
    )
)


@dataclass(frozen=True, eq=False)
class _Followed:
    """Where the units of the layer are in a later node.

    Attributes
    ----------
    offset
        Place of the first one along the node's unit axis.
    kernel
        What depthwise convolutions and the gains of normalisations have made of each unit so far.
    """

    offset: int
    kernel: Float[Tensor, "unit y x"]


@torch.no_grad()
def outgoing_gram(graph: ModelGraph, layer: str) -> tuple[Float[Tensor, "unit unit"], tuple[str, ...]]:
    """Return the products of all pairs of units' outgoing weight vectors, and the names of the layers that read them, in order.

    The cosine of two units' weights is the product over the roots of the two units' own. Each reader counts by the size of its weights;
    where BatchNorm follows a reader directly, with that one's gain.

    Parameters
    ----------
    layer
        Any of its names. A layer that nothing reads, or only attention, gives zeros and no names.
    """
    described = graph.layer(layer)
    gram = torch.zeros(described.units, described.units, dtype=torch.float64)
    readers = []
    for node, weights in _readers(graph, graph.node(layer), described.units):
        flat = weights.flatten(1).double()
        gram += flat @ flat.T
        readers.append(graph.name(node))
    return gram.float(), tuple(readers)


def _readers(graph: ModelGraph, source: fx.Node, units: int) -> Iterator[tuple[fx.Node, Float[Tensor, "unit _ y x"]]]:
    """Yield every layer that mixes the units, with its weights unit by unit."""
    axes = graph.capture.unit_axes
    followed: dict[fx.Node, _Followed] = {source: _Followed(0, torch.ones(units, 1, 1))}
    for node in graph.graph.nodes:
        if node is source:
            continue
        came = next((read for read in node.all_input_nodes if read in followed), None)
        if came is None:
            continue
        before, operation = followed[came], kind(node)
        if operation in ("conv2d", "linear") and came is node.args[0]:
            weight = _tensor(graph, node.args[1])
            if weight is None:
                continue
            if operation == "conv2d" and _groups(node) == weight.shape[0] and weight.shape[1] == 1:
                own = weight[before.offset : before.offset + units, 0]
                followed[node] = _Followed(before.offset, _composed(own[:, None], before.kernel)[:, 0])
                continue
            full = _dense(weight, _groups(node)) if operation == "conv2d" else _spatial(weight, came, axes)
            if full is None or before.offset + units > full.shape[1]:
                continue
            full = full * _gain_after(graph, node, full)[:, None, None, None]
            yield node, _composed(full[:, before.offset : before.offset + units].transpose(0, 1), before.kernel)
        elif operation in _KEEPS_UNITS:
            after = _through(graph, node, came, before, axes, units)
            if after is not None:
                followed[node] = after


def _through(
    graph: ModelGraph, node: fx.Node, came: fx.Node, before: _Followed, axes: dict[fx.Node, int], units: int
) -> _Followed | None:
    """Follow the units through a node that keeps them apart; None where they are not there, or not to be told apart, any more."""
    operation, axis = kind(node), axes.get(node)
    if axis is None:
        return None
    if operation == "cat":
        along: Any = node.args[1] if len(node.args) > 1 else 0
        parts: Any = node.args[0]
        if int(along) % node.meta["val"].dim() == axis:
            sizes = [int(part.meta["val"].shape[axis]) for part in parts]
            return replace(before, offset=before.offset + sum(sizes[: list(parts).index(came)]))
    elif operation in ("batch_norm", "layer_norm", "group_norm"):
        gain = _gain(graph, node)
        if gain is not None:
            own = gain.flatten()[before.offset : before.offset + units]
            return replace(before, kernel=before.kernel * own[:, None, None])
    elif operation == "sub" and came is not node.args[0]:
        return replace(before, kernel=-before.kernel)
    # A view may join units with positions (a flattened map before a linear layer, see `_spatial`), all else must leave their number alone.
    same = node.meta["val"].shape[axis] == came.meta["val"].shape[axes[came]]
    return before if same or _positions_joined(node, came, axes) else None


def _positions_joined(node: fx.Node, came: fx.Node, axes: dict[fx.Node, int]) -> bool:
    """Whether a map has been flattened to a vector, channel by channel."""
    value, earlier = node.meta["val"], came.meta["val"]
    joined = value.dim() == 2 and earlier.dim() == 4 and axes[came] == 1
    return bool(joined and value.shape[1] == earlier.shape[1] * earlier.shape[2] * earlier.shape[3])


def _spatial(weight: Tensor, came: fx.Node, axes: dict[fx.Node, int]) -> Float[Tensor, "out channel y x"] | None:
    """View a linear layer's weights as kernels: 1 x 1, or as large as the map that was flattened before it."""
    earlier = came
    while isinstance(earlier.args[0] if earlier.args else None, fx.Node) and kind(earlier) in SAME_VALUES | VIEWS:
        source = earlier.args[0]
        assert isinstance(source, fx.Node)
        if source in axes and _positions_joined(earlier, source, axes):
            kernels: Tensor = weight.unflatten(1, tuple(int(size) for size in source.meta["val"].shape[1:]))
            return kernels
        earlier = source
    return weight[:, :, None, None]


def _dense(weight: Float[Tensor, "out group y x"], groups: int) -> Float[Tensor, "out channel y x"]:
    """Write a grouped convolution's weights as those of one without groups."""
    if groups == 1:
        return weight
    outputs, inputs = weight.shape[0] // groups, weight.shape[1]
    full = weight.new_zeros(weight.shape[0], inputs * groups, *weight.shape[2:])
    for group in range(groups):
        rows = slice(group * outputs, (group + 1) * outputs)
        full[rows, group * inputs : (group + 1) * inputs] = weight[rows]
    return full


def _composed(
    weight: Float[Tensor, "unit out y x"], kernel: Float[Tensor, "unit y2 x2"]
) -> Float[Tensor, "unit out y3 x3"]:
    """Compose each unit's kernels so far with the next ones, strides left out of account."""
    rows, columns = kernel.shape[1] - 1, kernel.shape[2] - 1
    turned = kernel.flip(1, 2)[:, None].to(weight)
    return conv2d(weight.transpose(0, 1), turned, padding=(rows, columns), groups=len(kernel)).transpose(0, 1)


def _gain_after(graph: ModelGraph, node: fx.Node, weight: Tensor) -> Float[Tensor, "out"]:
    """Return the gain of the BatchNorm that alone reads a layer, or ones."""
    users = list(node.users)
    gain = _gain(graph, users[0]) if len(users) == 1 and kind(users[0]) == "batch_norm" else None
    return gain if gain is not None else weight.new_ones(len(weight))


def _gain(graph: ModelGraph, node: fx.Node) -> Tensor | None:
    """Return what a normalisation multiplies each unit with, apart from the deviation that depends on the image; None for nothing."""
    if kind(node) != "batch_norm":
        return _tensor(graph, node.args[2] if len(node.args) > 2 else None)
    weight, mean, variance = (_tensor(graph, node.args[i]) for i in (1, 3, 4))
    if variance is None or mean is None:
        return weight
    deviation = (variance + float(node.args[7])).rsqrt()  # type: ignore[arg-type]
    scaled: Tensor = deviation if weight is None else weight * deviation
    return scaled


def _groups(node: fx.Node) -> int:
    groups: Any = node.args[6] if len(node.args) > 6 else 1
    return int(groups)


def _tensor(graph: ModelGraph, node: Any) -> Tensor | None:
    """Return a parameter that the graph reads as it is."""
    if not isinstance(node, fx.Node) or node.op != "get_attr":
        return None
    value: Tensor = attrgetter(str(node.target))(graph.root)
    return value.detach().float().cpu()
