"""Which expanded weights a circuit needs, and its edges from what was computed. `workbench.analyses.ExpandedWeights` does the work."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from workbench.circuit import Circuit, Edge, layer_of, units_of
from workbench.models.layer import Layer
from workbench.models.neighbours import module_of, sensible_source, sources_of

Arrays = Mapping[str, npt.NDArray[Any]]


def rows_of(circuit: Circuit, layers: Sequence[str]) -> dict[str, list[str]]:
    """Return the units of a circuit by layer, layers in the network's order; those it does not have stand last, as they came in."""
    order = {layer: place for place, layer in enumerate(layers)}
    found = circuit.layers
    return {layer: found[layer] for layer in sorted(found, key=lambda layer: order.get(layer, len(order)))}


def parameters(source: str, targets: Iterable[str]) -> dict[str, Any]:
    """Return the parameters of `ExpandedWeights` from a layer to units of another, which may be families."""
    units = [unit for target in targets for unit in units_of(target)]
    return {"source": source, "target": units[0].layer, "units": sorted({unit.index for unit in units}), "path": "all", "gate": "mean"}


def source_for(layers: Sequence[Layer], target: str) -> str:
    """Name the layer whose units are the inputs of a layer's: the nearest outside its own module that is not pooled; empty for none."""
    by_name = {layer.name: layer for layer in layers}
    if target not in by_name:
        return ""
    before = [layer for layer in sources_of(list(layers), by_name[target]) if "pool" not in layer.kind and layer.name != "input"]
    return sensible_source(before, by_name[target]).name if before else ""


def pairs_to_connect(rows: Sequence[str]) -> list[tuple[str, str]]:
    """Return the pairs of layers, earlier first, between which a circuit has edges, given its layers in the network's order.

    Each layer is read from those of the module before its own. Weights over a longer way would count what the edges in between count
    already.
    """
    modules: dict[str, list[str]] = {}
    for layer in rows:
        modules.setdefault(module_of(layer), []).append(layer)
    grouped = list(modules.values())
    across = [(source, target) for earlier, later in pairwise(grouped) for source in earlier for target in later]
    return [*across, *(pair for layers in grouped for pair in pairwise(layers))]


def strongest_inputs(arrays: Arrays, source: str, target: str, count: int) -> list[Edge]:
    """Return the edges from the units of a layer that contribute most to a unit or family, by norm times standard deviation.

    Parameters
    ----------
    arrays
        Of `ExpandedWeights` from the layer to (at least) the target's units.
    """
    contribution = np.nan_to_num(arrays["contribution"][_places(arrays, target)]).mean(0)
    strongest = [int(unit) for unit in np.argsort(-contribution, kind="stable")[:count] if contribution[unit] > 0]
    return [Edge(f"{source}:{unit}", target, weight_between(arrays, f"{source}:{unit}", target)) for unit in strongest]


def edges_between(arrays: Arrays, sources: Iterable[str], targets: Iterable[str]) -> list[Edge]:
    """Return the edges between units of two layers that have a weight at all."""
    weights = [Edge(s, t, weight_between(arrays, s, t)) for t in targets for s in sources]
    return [edge for edge in weights if math.isfinite(edge.weight) and edge.weight != 0]


def weight_between(arrays: Arrays, source: str, target: str) -> float:
    """Return the sum of the kernel's entries, summed over the units of a family that is read, averaged over those of one that reads."""
    kernels = arrays["sum"][_places(arrays, target)][:, [unit.index for unit in units_of(source)]]
    return float(kernels.sum(1).mean())


def with_weights(circuit: Circuit, edges: Iterable[Edge], run: Mapping[str, Any]) -> Circuit:
    """Add edges to a circuit; attribution and effect of those that were there stay.

    What was measured of the circuit stays, too, where all of the edges are there already: it is the same circuit.

    Parameters
    ----------
    run
        How the weights were computed: ``images``, ``path``, ``gate``. What of it holds for all weights of the circuit becomes its
        ``figures["weights"]``.
    """
    before = {edge.ends: edge for edge in circuit.edges}
    merged = [replace(before[edge.ends], weight=edge.weight) if edge.ends in before else edge for edge in edges]
    new = {edge.ends for edge in merged}
    others = any(math.isfinite(edge.weight) and edge.ends not in new for edge in circuit.edges)
    known = run_of(circuit) if others else run
    after = circuit.with_edges(merged)
    figures = circuit.figures if new <= before.keys() else after.figures
    weights = {name: run[name] for name in run if known.get(name) == run[name]}
    return replace(after, figures={**figures, "weights": weights})


def run_of(circuit: Circuit) -> Mapping[str, Any]:
    """Return what is known of how all weights of a circuit were computed, such as ``images``, ``path`` and ``gate``."""
    run = circuit.figures.get("weights")
    return run if isinstance(run, Mapping) else {}  # a file may hold anything there


def runs_of(circuit: Circuit, layers: Sequence[str]) -> list[dict[str, Any]]:
    """Return the parameters of every run of `ExpandedWeights` that the weights of a circuit come from; none where that is not known."""
    run = run_of(circuit)
    if not {"path", "gate"} <= set(run):
        return []
    how = {"path": run["path"], "gate": run["gate"]}
    found: dict[tuple[str, str], list[str]] = {}
    order = list(rows_of(circuit, layers))
    for edge in circuit.edges:
        if math.isfinite(edge.weight):
            found.setdefault((layer_of(edge.source), layer_of(edge.target)), []).append(edge.target)
    return [parameters(pair[0], found[pair]) | how for pair in sorted(found, key=lambda pair: tuple(map(order.index, pair)))]


def _places(arrays: Arrays, target: str) -> list[int]:
    at = {int(unit): place for place, unit in enumerate(arrays["units"])}
    return [at[unit.index] for unit in units_of(target)]
