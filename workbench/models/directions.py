"""Directions as units: a graph with one layer more, which reads a site and is on the path to the output.

With x the site's value, z the directions read from it (`workbench.direction_set`) and D their decoder, all that read the site read

    x + (z - z') D

instead, where z' are the very same directions, computed once and kept: as long as nobody edits z, the difference is 0 to the last bit, and
every layer and the output are what they were, exactly. Whoever sets, ablates or patches a unit of z changes the site by that direction
alone; what the directions do not explain of it stays. So no analysis needs to know of directions: sweeps, weights, patching and
visualizations find a layer.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn

from workbench.direction_set import DirectionSet
from workbench.input_error import InputError
from workbench.models.attention import fake_mode
from workbench.models.capture import Capture
from workbench.models.graph import ModelGraph
from workbench.models.tensors import assign, tensors_of
from workbench.models.unit_axes import unit_axis

aten = torch.ops.aten


def top_k_relu(value: Tensor, kept: int, axis: int) -> Tensor:
    """Return the `kept` largest entries along an axis as far as they are above 0, and 0 in place of the others."""
    largest, places = value.topk(kept, axis, sorted=False)
    return torch.zeros_like(value).scatter(axis, places, largest.clamp_min(0))


def insert(graph: ModelGraph, directions: DirectionSet) -> Capture:
    """Return a capture in which the directions are the layer ``SITE~NAME``.

    Beside it the graph has, by name but not listed as layers, ``SITE~NAME:clean`` (z') and ``SITE~NAME:site``, the value that is read in
    the site's place.

    Raises
    ------
    InputError
        When the network has no such site, or it has other units.
    """
    capture, layer, site = graph.capture, graph.layer(directions.layer), graph.node(directions.layer)
    if layer.units != directions.units:
        raise InputError(f"the directions {directions.name} are of {directions.units} units, {layer.name} has {layer.units}")
    reading = f"{layer.name}~{directions.name}"
    if reading in graph.layers:
        raise InputError(f"the directions {directions.name} are in this network already")
    axis = capture.unit_axes[site]
    rank = site.meta["val"].dim()
    maps = axis == 1 and rank == 4
    if not maps and axis != rank - 1:
        raise InputError(f"{layer.name} has its units on axis {axis} of {rank}; directions can be read of maps, tokens and vectors")
    root = nn.Module()
    for name, tensor in tensors_of(capture):
        assign(root, name, tensor)
    owner = f"directions_{sum(name.startswith('directions_') for name, _ in root.named_children())}"
    given = {"encoder": directions.encoder, "bias": directions.bias, "decoder": directions.decoder.T.copy()}
    like = next((p for p in capture.root.parameters() if p.is_floating_point()), torch.zeros(()))
    copied, copies = fx.Graph(), dict[fx.Node, fx.Node]()
    names: dict[fx.Node, tuple[str, ...]] = {}
    axes: dict[fx.Node, int] = {}
    weights: dict[str, fx.Node] = {}

    def add(target: Any, args: tuple[Any, ...], name: str) -> fx.Node:
        made = copied.call_function(target, args)
        made.meta = {
            "nn_module_stack": site.meta.get("nn_module_stack"),
            "val": target(*fx.node.map_arg(args, lambda node: node.meta["val"])),
        }
        names[made] = (name,)
        axes[made] = unit_axis(made, axes)
        return made

    def read() -> fx.Node:
        """Add the layer behind the copy of the site; return what is read in the site's place."""
        for part, array in given.items():
            tensor = torch.from_numpy(array).to(like.device, like.dtype)
            tensor = tensor[..., None, None] if maps and tensor.dim() == 2 else tensor
            assign(root, f"{owner}.{part}", tensor)
            weights[part] = copied.get_attr(f"{owner}.{part}")
            weights[part].meta["val"] = fake_mode(site).from_tensor(tensor, static_shapes=True)
        with fake_mode(site):
            linear = aten.conv2d.default if maps else aten.linear.default
            whole = copies[site]
            clean = add(linear, (whole, weights["encoder"], weights["bias"]), f"{reading}:pre" if directions.kept else f"{reading}:clean")
            if directions.kept:
                hidden.append(clean)
                clean = add(top_k_relu, (clean, directions.kept, axis), f"{reading}:clean")
            directed = add(aten.alias.default, (clean,), reading)
            change = add(aten.sub.Tensor, (directed, clean), f"{reading}:change")
            moved = add(linear, (change, weights["decoder"]), f"{reading}:moved")
            changed = add(aten.add.Tensor, (whole, moved), f"{reading}:site")
            hidden.extend((clean, change, moved, changed))
            return changed

    hidden: list[fx.Node] = []
    instead: dict[fx.Node, fx.Node] = {}
    for node in capture.graph.nodes:
        made = copied.node_copy(node, lambda read: instead.get(read, copies[read]))
        copies[node] = made
        if node in capture.names:
            names[made], axes[made] = capture.names[node], capture.unit_axes[node]
        if node is site:
            instead[node] = read()
    outputs = frozenset(copies[node] for node in capture.module_outputs)
    unlisted = frozenset([*(copies[node] for node in capture.inner), *hidden])
    return Capture(capture.module, root, copied, names, axes, capture.output_spec, outputs, unlisted)
