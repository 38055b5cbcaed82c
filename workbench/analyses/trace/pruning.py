"""From many edges to few: remove what costs least, measuring what is left each time (the idea of ACDC, Conmy et al. 2023).

Estimates only say what to try first: every removal is measured, together with all before it, so that of two reasons that each suffice the
second is kept although each alone costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from workbench.analyses.trace.runs import Runs
from workbench.analyses.trace.scores import Scale
from workbench.analyses.trace.wiring import Ends, Wiring
from workbench.task import Task

BY_ESTIMATE = 48
"""Above so many edges they are tried in the order of the estimates, from there on in the order of what removing each alone costs."""
PART = 4
"""A fourth of the edges is tried at once; one, once there are fewer than `ONE_BY_ONE`."""
ONE_BY_ONE = 24


@dataclass(frozen=True)
class Pruned:
    """The way down.

    Attributes
    ----------
    way
        Circuits from the largest to the empty one.
    scores
        What each scored on the images it was chosen on.
    chosen
        Place of the smallest one whose score is not below `least`.
    least
        The threshold, or that part of what all candidates together reach where they do not reach it.
    """

    way: tuple[Wiring, ...]
    scores: tuple[float, ...]
    chosen: int
    least: float


def prune(runs: Runs, scale: Scale, begin: Wiring, estimates: Mapping[Ends, float], threshold: float, task: Task) -> Pruned:
    """Remove edges of `begin` until none is left.

    Parameters
    ----------
    estimates
        How much each edge may matter; the smallest are tried first.
    threshold
        Score that the circuit must keep.
    """
    here, score = begin, _scores(runs, scale, [begin])[0]
    # What is only part of the candidates cannot be asked for more than they reach.
    least = threshold if score >= threshold else threshold * score
    way, scores, chosen = [here], [score], 0
    roots = begin.nodes - begin.parents.keys()
    order, measured = sorted(here.edges, key=lambda edge: (estimates[edge], edge)), False
    while here.edges:
        task.step(len(begin.edges) - len(here.edges), len(begin.edges), note=f"pruning: {len(here.edges)} edges, score {score:.3f}")
        if len(here.edges) <= BY_ESTIMATE and not measured:
            order, measured = _by_cost(runs, scale, here, roots), True
        size = max(1, len(order) // PART) if len(order) >= ONE_BY_ONE else 1
        while True:
            shorter = here.without(order[:size], roots)
            left = _scores(runs, scale, [shorter])[0]
            # A part may cost no more than its share of what there is to lose.
            fair = score < least or left >= score - (score - least) * size / len(order)
            if fair or size == 1:
                break
            size = max(1, size // 2)
        if not fair and not measured:  # the estimates know no edge that can go
            order, measured = _by_cost(runs, scale, here, roots), True
            continue
        here, score = shorter, left
        order, measured = [edge for edge in order if edge in here.edges], False
        runs.keep(here)
        way.append(here)
        scores.append(score)
        if score >= least:
            chosen = len(way) - 1
    return Pruned(tuple(way), tuple(scores), chosen, least)


def _by_cost(runs: Runs, scale: Scale, here: Wiring, roots: frozenset[str]) -> list[Ends]:
    """Order edges by what the circuit loses without each, the least first."""
    edges = sorted(here.edges)
    left = _scores(runs, scale, [here.without([edge], roots) for edge in edges])
    return [edges[place] for place in np.argsort(-np.array(left), kind="stable")]


def _scores(runs: Runs, scale: Scale, wirings: list[Wiring]) -> list[float]:
    return [float(score) for score in scale.score(runs.evaluate(wirings).cpu().numpy())]
