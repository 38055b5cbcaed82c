"""Attribution patching: what ablating a unit, or an edge, would change, read off gradients (Nanda, "Attribution patching", 2023).

A gradient at the clean run sees no reason of two that each suffice: with one of them gone the other still holds. So it is taken at three
places of the straight way from the ablated to the clean values (Hanna et al., "Have faith in faithfulness", 2024, integrate along it):
``clean``, where ablating is asked about, ``ablated``, where restoring is, and their ``path``, the integral by Simpson's rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.analyses.trace.runs import Runs
from workbench.analyses.trace.target import Target
from workbench.models.nodes import batch_of
from workbench.task import Task

WAY = (0.0, 0.5, 1.0)
SIMPSON = (1 / 6, 4 / 6, 1 / 6)
ESTIMATES = ("clean", "ablated", "path")
PIECE = 16
"""Images whose gradients are taken at once."""

Attribution = Mapping[str, Tensor]


def of_units(runs: Runs, layer: str, slopes: Sequence[Tensor]) -> dict[str, Float[Tensor, "image unit"]]:
    """Estimate how the target of each image changes when each unit of a layer is ablated.

    Parameters
    ----------
    slopes
        What `slopes` returns of the layer.
    """
    change = runs.arranged(layer, runs.ablated(layer) - runs.clean(layer))
    return _estimates([(slope * change).reshape(*slope.shape[:2], -1).sum(2).double() for slope in slopes])


def slopes(runs: Runs, layer: str, task: Task) -> list[Float[Tensor, "image unit *position"]]:
    """Return the gradient of the target with respect to a layer at the places of `WAY`, all of the layer being there at once."""
    graph, target = runs.paths.graph, runs.paths.target
    beside = graph.frontier([layer], list(target.layers))
    cut = graph.cut([layer, *beside], list(target.layers))
    around = [runs.clean(name) for name in beside]
    found: list[list[Tensor]] = [[] for _ in WAY]
    for first in range(0, runs.images, PIECE):
        task.step(first, runs.images, note=f"attribution patching of {layer}")
        some = slice(first, min(first + PIECE, runs.images))
        held = [_some(runs, name, value, some) for name, value in zip(beside, around, strict=True)]
        clean, ablated = (_some(runs, layer, value, some) for value in (runs.clean(layer), runs.ablated(layer)))
        for place, share in enumerate(WAY):
            point = (ablated + share * (clean - ablated)).requires_grad_()
            with torch.enable_grad():
                values = cut(point, *held)
                pre = [
                    runs.arranged(name, value)[:, units]
                    for (name, units), value in zip(target.layers.items(), values, strict=True)
                ]
                read = Target.read(torch.cat(pre, 1), None if runs.position is None else runs.position[some])
                (gradient,) = torch.autograd.grad(read.sum(), point)
            found[place].append(runs.arranged(layer, gradient))
    return [torch.cat(parts) for parts in found]


def of_edges(
    runs: Runs, nodes: Sequence[str], slopes: Mapping[str, Sequence[Tensor]], task: Task
) -> dict[tuple[str, str], dict[str, Float[Tensor, " image"]]]:
    """Estimate how the target of each image changes when each edge between nodes, or from one to the target, is ablated.

    The slope of the target with respect to the reader is carried on to what it reads, through the direct piece alone.

    Parameters
    ----------
    slopes
        For each layer what `slopes` returns of it.
    """
    paths, target = runs.paths, runs.paths.target
    edges: dict[tuple[str, str], list[Tensor]] = {edge: [] for edge in paths.possible(nodes)}
    readers = dict.fromkeys(reader for _, reader in edges)
    for done, reader in enumerate(readers):
        task.step(done, len(readers), note="attribution patching of edges")
        parents = [source for source, to in edges if to == reader]
        layers = paths.reads[paths.reader(reader)]
        change = {layer: runs.arranged(layer, runs.ablated(layer) - runs.clean(layer)) for layer in layers}
        for place, share in enumerate(WAY):
            points = {}
            for layer in layers:
                points[layer] = (
                    runs.ablated(layer) + share * (runs.clean(layer) - runs.ablated(layer))
                ).requires_grad_()
            with torch.enable_grad():
                if reader == target.address:
                    pre = [_piece(runs, layer, units, points) for layer, units in target.layers.items()]
                    total = Target.read(torch.cat(pre, 1), runs.position).sum()
                else:
                    of, units = paths.node(reader)
                    total = (_piece(runs, of, units, points) * slopes[of][place][:, list(units)]).sum()
                gradients = dict(zip(points, torch.autograd.grad(total, list(points.values())), strict=True))
            for source in parents:
                layer, units = paths.node(source)
                slope = runs.arranged(layer, gradients[layer])[:, list(units)]
                edges[source, reader].append((slope * change[layer][:, list(units)]).flatten(1).sum(1).double())
    return {edge: _estimates(found) for edge, found in edges.items()}


def _piece(runs: Runs, layer: str, units: Sequence[int], points: Mapping[str, Tensor]) -> Tensor:
    have, cut = runs.paths.piece(layer, units)
    values = [points[name] for name in runs.paths.sources(layer)]
    whole = runs.arranged(layer, cut(*values, *(runs.clean(name) for name in runs.paths.beside[layer]))[0])
    return whole[:, [have.index(unit) for unit in units]]


def _estimates(along: Sequence[Tensor]) -> dict[str, Tensor]:
    path = sum((weight * value for weight, value in zip(SIMPSON, along, strict=True)), torch.zeros_like(along[0]))
    return dict(zip(ESTIMATES, (along[-1], along[0], path), strict=True))


def _some(runs: Runs, layer: str, value: Tensor, some: slice) -> Tensor:
    """Return the value on some of the images."""
    place = batch_of(runs.paths.graph.node(layer))
    assert place is not None
    axis, rows = place
    return value.narrow(axis, some.start * rows, (some.stop - some.start) * rows).detach()
