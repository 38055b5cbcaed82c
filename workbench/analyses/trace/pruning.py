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
from workbench.task import Part, Task

FEW = 40
"""Edges from which on the cost of removing each alone is measured in every round; above it costs most of the time of a trace."""
SWEEPS = 3
"""Rounds in which it is measured above that, where no estimate is right any more."""
PART, LEAST_PART = 4, 32
"""A fourth of the edges is tried at once, then half of that, down to a 32nd."""
ONE_BY_ONE = 16
"""Edges from which on one is removed at a time."""
TOGETHER = 16
"""Circuits between two steps."""


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
        The threshold, or that part of the best score on the way where none reaches it.
    """

    way: tuple[Wiring, ...]
    scores: tuple[float, ...]
    chosen: int
    least: float


def prune(
    runs: Runs, scale: Scale, begin: Wiring, estimates: Mapping[Ends, float], threshold: float, task: Task
) -> Pruned:
    """Remove edges of `begin` until none is left.

    Parameters
    ----------
    estimates
        How much each edge may matter; the smallest are tried first.
    threshold
        Score that the circuit must keep.
    """
    here, score = begin, _scores(runs, scale, [begin])[0]
    # Where the candidates do not reach the threshold, that part of what is reached on the way; leaving some out may do better.
    least = threshold if score >= threshold else threshold * max(score, 0.0)
    way, scores = [here], [score]
    roots = frozenset(begin.nodes - begin.parents.keys())
    order, fresh, sweeps = sorted(here.edges, key=lambda edge: (estimates[edge], edge)), False, SWEEPS
    while here.edges:
        number = len(here.edges)
        task.step(len(begin.edges) - number, len(begin.edges), note=f"pruning: {number} edges, score {score:.3f}")
        told = Part(task, len(begin.edges) - number, 0, len(begin.edges))
        if number <= FEW and score >= least and not fresh:
            order, fresh = _by_cost(runs, scale, here, roots, told), True
        size = max(1, number // PART) if number >= ONE_BY_ONE else 1
        smallest = max(1, number // LEAST_PART)
        while True:
            shorter = here.without(order[:size], roots)
            left = _scores(runs, scale, [shorter])[0]
            # A part may cost no more than its share of what there is to lose; below the threshold nothing is left to choose.
            fair = score < least or left >= score - (score - least) * size / number
            if fair or size == smallest:
                break
            size = max(smallest, size // 2)
        if not fair and not fresh and sweeps:
            order, fresh, sweeps = _by_cost(runs, scale, here, roots, told), True, sweeps - 1
            continue
        here, score = shorter, left
        order, fresh = [edge for edge in order if edge in here.edges], False
        runs.keep(here)
        way.append(here)
        scores.append(score)
        if least < threshold:
            least = threshold if score >= threshold else max(least, threshold * score)
    chosen = max(place for place, reached in enumerate(scores) if reached >= least)
    return Pruned(tuple(way), tuple(scores), chosen, least)


def _by_cost(runs: Runs, scale: Scale, here: Wiring, roots: frozenset[str], task: Task) -> list[Ends]:
    """Order edges by what the circuit loses without each, the least first."""
    edges = sorted(here.edges)
    left = []
    for first in range(0, len(edges), TOGETHER):
        task.step(first, len(edges), note=f"measuring {len(edges)} edges")
        left += _scores(runs, scale, [here.without([edge], roots) for edge in edges[first : first + TOGETHER]])
    return [edges[place] for place in np.argsort(-np.array(left), kind="stable")]


def _scores(runs: Runs, scale: Scale, wirings: list[Wiring]) -> list[float]:
    return [float(score) for score in scale.score(runs.evaluate(wirings).cpu().numpy())]
