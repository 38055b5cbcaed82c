"""Which layers are asked about, and which layers each of them is a sum of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from torch import fx

from workbench.input_error import InputError
from workbench.models.affine import affine_sources, is_affine, is_real, layer_of, varying
from workbench.models.expanded import parts_of
from workbench.models.graph import ModelGraph
from workbench.models.layer import Layer
from workbench.models.linearise import NORMS
from workbench.models.nodes import NONLINEAR, SAME_VALUES, is_tensor, kind
from workbench.models.traced_model import TracedModel

MIXES = frozenset("conv1d conv2d conv3d conv_transpose2d linear addmm matmul bmm einsum".split())
"""Operations that make a layer more than a rearrangement of earlier ones."""
TURNS = frozenset("permute transpose movedim".split())
"""Operations that put the same values in another order, as before a normalisation of the last axis."""
FEWEST = 8
"""Inputs below which a layer is not worth a curve, unless it is asked for."""


@dataclass(frozen=True)
class Asked:
    """A layer, before its non-linearity, and the layers whose units are its inputs.

    Attributes
    ----------
    exact
        Whether the layer is a sum over these; else gates in between are held at their mean, and it is read at its centre only.
    """

    layer: Layer
    sources: tuple[Layer, ...]
    exact: bool

    @property
    def inputs(self) -> int:
        """Number of inputs."""
        return sum(source.units for source in self.sources)


def asked_of(model: TracedModel, layers: Sequence[str], sources: Sequence[str], spread: int) -> list[Asked]:
    """Return the layers named, each before its non-linearity and branch by branch, or about `spread` of the network's.

    Parameters
    ----------
    sources
        Layers whose units are the inputs, for those of the layers that they feed; none: the nearest each layer is a sum of.

    Raises
    ------
    InputError
        When a layer is unknown, or none of the sources feeds one that is named.
    """
    graph = model.graph
    if layers:
        parts = [part.layer for name in layers for part in parts_of(model, model.layer(name), range(model.layer(name).units))]
        return [_asked(model, layer, sources) for layer in dict.fromkeys(parts)]
    stops = [model.layer(name).name for name in sources]
    fed = graph.downstream(stops) if stops else set(graph.graph.nodes)
    found = [_asked(model, layer, sources) for layer in _summed(graph) if graph.node(layer.name) in fed]
    found = [one for one in found if one.inputs >= FEWEST] or found
    if not found:
        raise InputError(f"no layer of {model.name} is a sum over earlier ones; name the layers and their sources")
    places = np.unique(np.linspace(0, len(found) - 1, min(spread, len(found))).round().astype(int))
    return [found[place] for place in places.tolist()]


def _asked(model: TracedModel, layer: Layer, sources: Sequence[str]) -> Asked:
    graph = model.graph
    node = graph.node(layer.name)
    named = [name for name in graph.sort(model.layer(name).name for name in sources) if node in graph.downstream([name])]
    if sources and not named:
        raise InputError(f"{', '.join(sources)} does not feed {layer.name}; choose sources before it, or none")
    nearest = affine_sources(graph, layer.name, until=named)
    exact = set(named) <= set(nearest)
    return Asked(layer, tuple(layer_of(graph, graph.node(name)) for name in (nearest if exact else named)), exact)


def _summed(graph: ModelGraph) -> Iterator[Layer]:
    """Yield the layers that are a weighted sum and are read by something that is none, in order, and the output if it is one."""
    moving, seen = varying(graph), set[fx.Node]()
    readers = [node for node in graph.graph.nodes if node in moving and kind(node) in NONLINEAR | NORMS]
    ends = [node.args[0] for node in readers] + [node for node in graph.outputs[:1] if node is not None]
    for node in ends:
        while isinstance(node, fx.Node) and kind(node) in SAME_VALUES | TURNS:
            node = node.args[0]
        if not isinstance(node, fx.Node) or node in seen or not is_tensor(node) or not is_real(node) or node not in moving:
            continue
        seen.add(node)
        if graph.name(node) in graph.layers and is_affine(node, moving) and _mixes(graph, node):
            yield layer_of(graph, node)


def _mixes(graph: ModelGraph, node: fx.Node) -> bool:
    nearest = {graph.node(name) for name in affine_sources(graph, graph.name(node))}
    return any(kind(between) in MIXES for between in graph.needed([node], nearest))
