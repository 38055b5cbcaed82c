"""What is measured of a circuit, found or made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from workbench.analyses.trace.experiment import BOOTSTRAP, NULL, SUBSETS
from workbench.analyses.trace.paths import Paths
from workbench.analyses.trace.runs import ABLATED, Runs
from workbench.analyses.trace.scores import Scale, told
from workbench.analyses.trace.wiring import Ends, Wiring

Array = npt.NDArray[np.float64]
Pool = Literal["patched, not kept", "outside the circuit", "all"]
ENOUGH = 2
"""Times as many units as the circuit has, so that draws differ."""
NONE: Mapping[str, Sequence[int]] = MappingProxyType({})


def faithfulness(
    runs: Runs, scale: Scale, wiring: Wiring, concepts: Sequence[str], seed: int
) -> tuple[dict[str, Any], Array]:
    """Return both scores with their intervals, and the target of each image in the circuit."""
    target = _targets(runs, [wiring])[0]
    faithful, explained = scale.intervals(target, concepts, [seed, BOOTSTRAP])
    return told("faithfulness", faithful) | {"detectable": faithful.detectable} | told("explained", explained), target


def completeness(runs: Runs, scale: Scale, wiring: Wiring) -> dict[str, float]:
    """Return how little is left of the target when the circuit's units alone are ablated in the whole network (Wang et al. 2023, K = C).

    ``completeness`` is 1 - faithfulness of the rest: 1 when the rest does nothing, 0 when it does as well without the circuit.
    """
    rest = _without(runs, [wiring.nodes])[0]
    return {"completeness": 1 - float(scale.faithfulness(rest)), "rest_explained": float(scale.explained(rest))}


def incompleteness(runs: Runs, scale: Scale, wiring: Wiring, draws: int, seed: int) -> float | None:
    """Return the largest |faithfulness(C without K) - faithfulness(M without K)| over random halves K of the circuit (Wang et al. 2023)."""
    nodes = sorted(wiring.nodes)
    random = np.random.default_rng([seed, SUBSETS])
    subsets = [
        [node for node, out in zip(nodes, random.random(len(nodes)) < 0.5, strict=True) if out] for _ in range(draws)
    ]
    subsets = [subset for subset in subsets if subset]
    if not subsets:
        return None
    circuit = scale.faithfulness(_targets(runs, [wiring.without_nodes(subset) for subset in subsets]))
    return float(np.abs(circuit - scale.faithfulness(_without(runs, subsets))).max())


def minimality(runs: Runs, scale: Scale, wiring: Wiring, edges: Sequence[Ends]) -> dict[str, Array]:
    """Return what each edge's removal costs: ``drop`` of the score, and faithfulness and explained part without it."""
    if not edges:
        return {name: np.zeros(0) for name in ("drop", "faithfulness", "explained")}
    whole = _targets(runs, [wiring])[0]
    without = _targets(runs, [wiring.without([edge]) for edge in edges])
    return {
        "drop": scale.score(whole) - scale.score(without),
        "faithfulness": scale.faithfulness(without),
        "explained": scale.explained(without),
    }


def pools(
    paths: Paths, wiring: Wiring, tried: Mapping[str, Sequence[int]]
) -> dict[str, tuple[Pool, npt.NDArray[np.int64]]]:
    """Return which units of each layer of a circuit random ones are made of, and what they are.

    Parameters
    ----------
    tried
        Units by layer that were patched exactly and not kept. They matter more than most, so circuits of them say more than circuits of
        any units, the many idle ones among them; a layer has them as its pool where there are `ENOUGH` times as many as it has units in
        the circuit, else all units outside the circuit, else all.
    """
    own: dict[str, list[int]] = {}
    for node in sorted(wiring.nodes):
        layer, units = paths.node(node)
        own.setdefault(layer, []).extend(units)
    found: dict[str, tuple[Pool, npt.NDArray[np.int64]]] = {}
    for layer, taken in own.items():
        every = np.arange(paths.model.layer(layer).units)
        outside, patched = np.setdiff1d(every, taken), np.setdiff1d(np.array(tried.get(layer, ()), np.int64), taken)
        if len(patched) >= ENOUGH * len(taken):
            found[layer] = "patched, not kept", patched
        elif len(outside) >= len(taken):
            found[layer] = "outside the circuit", outside
        else:
            found[layer] = "all", every
    return found


def random_circuits(
    paths: Paths, wiring: Wiring, draws: int, seed: int, tried: Mapping[str, Sequence[int]] = NONE
) -> list[Wiring]:
    """Draw circuits of the same form: every unit becomes another of its layer, out of `pools`."""
    random = np.random.default_rng([seed, NULL])
    of = pools(paths, wiring, tried)
    by_layer: dict[str, list[str]] = {}
    for node in sorted(wiring.nodes):
        by_layer.setdefault(paths.node(node)[0], []).append(node)
    drawn = []
    for _ in range(draws):
        other: dict[str, str] = {wiring.target: wiring.target}
        for layer, nodes in by_layer.items():
            number = sum(len(paths.node(node)[1]) for node in nodes)
            taken = iter(random.choice(of[layer][1], number, replace=False).tolist())
            for node in nodes:
                other[node] = f"{layer}:" + ",".join(str(next(taken)) for _ in paths.node(node)[1])
        drawn.append(
            Wiring(wiring.target, frozenset((other[source], other[target]) for source, target in wiring.edges))
        )
    return drawn


def null(
    runs: Runs, scale: Scale, wiring: Wiring, draws: int, seed: int, tried: Mapping[str, Sequence[int]] = NONE
) -> tuple[dict[str, Any], dict[str, Array]]:
    """Score random circuits of the same form beside this one; ``null_drawn_from`` says of which units of each layer they are made."""
    found = _targets(runs, random_circuits(runs.paths, wiring, draws, seed, tried))
    own = _targets(runs, [wiring])[0]
    arrays = {"null_faithfulness": scale.faithfulness(found), "null_explained": scale.explained(found)}
    drawn_from = {layer: name for layer, (name, _) in pools(runs.paths, wiring, tried).items()}
    summary: dict[str, Any] = {"null_draws": draws, "null_drawn_from": drawn_from}
    for name, of in (("faithfulness", scale.faithfulness(own)), ("explained", scale.explained(own))):
        values = arrays[f"null_{name}"]
        summary[f"null_{name}_mean"] = float(values.mean())
        summary[f"null_{name}_highest"] = float(values.max())
        summary[f"p_{name}"] = float((1 + (values >= float(of)).sum()) / (1 + draws))
    return summary, arrays


def _without(runs: Runs, subsets: Sequence[Sequence[str] | frozenset[str]]) -> Array:
    """Return the target of the whole network without some nodes, ``subset image``."""
    rows: list[Mapping[str, Any]] = [runs.replacing([(node, ABLATED) for node in sorted(subset)]) for subset in subsets]
    found: Array = runs.edited(rows).cpu().numpy()
    return found


def _targets(runs: Runs, wirings: Sequence[Wiring]) -> Array:
    found: Array = runs.evaluate(wirings).cpu().numpy()
    return found
