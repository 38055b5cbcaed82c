"""The same network, cheaper to differentiate: for optimising only, since its sums are rounded differently.

A batch normalisation in evaluation mode right after a convolution is one more scale and shift of its channels. Merged into the weights it
costs nothing, whereas on its own it takes up to a fifth of a step on a processor, most of it on the way back.
"""

from __future__ import annotations

import copy
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, fx

CONVOLUTIONS = (torch.ops.aten.conv2d.default, torch.ops.aten.conv2d.padding)
NORMALISATION = torch.ops.aten.batch_norm.default


def folded(network: fx.GraphModule) -> fx.GraphModule:
    """Return a network that computes the same with batch normalisations merged into the convolutions before them.

    Merged are those in evaluation mode whose convolution nothing else reads. The given network stays as it is; what is done to its weights
    later is not followed.
    """
    result = fx.GraphModule(network, copy.deepcopy(network.graph))
    graph = result.graph
    for node in list(graph.nodes):
        if node.op != "call_function":
            continue
        if node.target is NORMALISATION and _follows_a_convolution(node):
            convolution = node.args[0]
            weight, bias = _merged(result, convolution, node)
            with graph.inserting_before(node):
                held = []
                for kind, tensor in (("weight", weight), ("bias", bias)):
                    result.register_buffer(name := f"{kind}_of_{convolution.name}", tensor)
                    held.append(graph.get_attr(name))
                source, _, _, *rest = (*convolution.args, None)[: max(3, len(convolution.args))]
                merged = graph.call_function(convolution.target, (source, *held, *rest), convolution.kwargs)
            node.replace_all_uses_with(merged)
            graph.erase_node(node)
    graph.eliminate_dead_code()
    for node in graph.nodes:
        if node.target in CONVOLUTIONS and _is_strided_depthwise(result, node):
            node.target = _in_float32
    result.recompile()
    return result


def _follows_a_convolution(node: fx.Node) -> bool:
    before, training = node.args[0], node.args[5]
    return (
        isinstance(before, fx.Node)
        and before.target in CONVOLUTIONS
        and len(before.users) == 1
        and not training
        and all(
            read is None or (isinstance(read, fx.Node) and read.op == "get_attr")
            for read in (*before.args[1:3], *node.args[1:5])
        )
    )


def _merged(network: fx.GraphModule, convolution: fx.Node, normalisation: fx.Node) -> tuple[Tensor, Tensor]:
    """Return weight and bias of gamma (w * x + b - mean) / sqrt(var + eps) + beta."""

    def value(node: Any) -> Tensor | None:
        return attrgetter(str(node.target))(network).detach() if node is not None else None

    weight, bias = (*(value(read) for read in convolution.args[1:3]), None)[:2]
    gamma, beta, mean, variance = (value(read) for read in normalisation.args[1:5])
    if weight is None or mean is None or variance is None:
        raise ValueError(f"{normalisation.name} has no running statistics")
    scale = (variance + float(normalisation.args[7])).rsqrt()  # type: ignore[arg-type]
    if gamma is not None:
        scale = scale * gamma
    shift = -mean if bias is None else bias - mean
    shift = shift * scale if beta is None else shift * scale + beta
    return weight * scale.view(-1, 1, 1, 1), shift


def _is_strided_depthwise(network: fx.GraphModule, node: fx.Node) -> bool:
    weight = node.args[1]
    if not isinstance(weight, fx.Node) or weight.op != "get_attr" or len(node.args) < 7:
        return False
    strides = node.args[3]
    return bool(
        node.args[6] == len(attrgetter(str(weight.target))(network)) and isinstance(strides, list) and max(strides) > 1
    )


def _in_float32(x: Tensor, *rest: Any, **named: Any) -> Tensor:
    """Convolve in float32 even under autocast: the way back of a strided depthwise convolution is four times slower in bfloat16."""
    with torch.autocast(x.device.type, enabled=False):
        result: Tensor = torch.ops.aten.conv2d(x.float(), *rest, **named)
    return result
