"""One-sided NMF: kernels of many sources as a few groups of sources with one kernel each.

As in "Visualizing Weights" (Olah et al., Distill 2021). What a group is made of is non-negative, so that its sources do the same and do
not cancel; its kernel may have both signs, so that it can excite here and inhibit there. The algorithm is the semi-NMF of Ding, Li and
Jordan (IEEE PAMI 2010).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

STEPS, STARTS = 200, 6
"""Improvements of a start, and starts, of which the best is kept."""
TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Factors:
    """Groups of sources, the one with the largest kernel first.

    Attributes
    ----------
    sources
        What each group is made of: 0 or more, every column of length 1.
    kernels
        What stands in place of the kernels of a group's sources.
    explained
        Part of the squared weights that all groups together give back, in [0, 1]; NaN where there are no weights.
    """

    sources: Float[np.ndarray, "source factor"]
    kernels: Float[np.ndarray, "row factor"]
    explained: float


def factors_of(weights: Float[np.ndarray, "row source"], number: int, pulse: Callable[[], None] = lambda: None) -> Factors:
    """Write weights as ``kernels @ sources.T``; `pulse` is called now and then.

    Parameters
    ----------
    weights
        A row a position, or a target and a position.
    number
        Factors, at most; never more than twice the rows, which is what excites and what inhibits in each.
    """
    weights = weights.astype(np.float64)
    total = float(np.square(weights).sum())
    if not 0 < total < np.inf or number < 1:
        return Factors(np.zeros((weights.shape[1], 0)), np.zeros((weights.shape[0], 0)), 0.0 if 0 < total < np.inf else float("nan"))
    number = min(number, 2 * len(weights))
    likeness = weights.T @ weights  # all that is needed of the weights but at the end
    ways = _ways(likeness, number)
    fitted = []
    for seed in range(STARTS):
        fitted.append(_fitted(likeness, _begin(likeness, ways, number, seed)))
        pulse()
    groups = max(fitted, key=lambda one: _explained(likeness, one))
    length = np.linalg.norm(groups, axis=0)
    groups = groups[:, length > TINY] / length[length > TINY]
    kernels = weights @ groups @ np.linalg.pinv(groups.T @ groups)
    order = np.argsort(-np.square(kernels).sum(0), kind="stable")
    return Factors(groups[:, order], kernels[:, order], _explained(likeness, groups) / total)


def _explained(likeness: Float[np.ndarray, "source source"], groups: Float[np.ndarray, "source factor"]) -> float:
    """Return how much of the squared weights the best kernels of some groups give back."""
    return float(np.trace(groups.T @ likeness @ groups @ np.linalg.pinv(groups.T @ groups)))


def _ways(likeness: Float[np.ndarray, "source source"], number: int) -> Float[np.ndarray, "source way"]:
    """Return which way the kernel of each source points, in as many directions as tell `number` clusters apart; 0 for no kernel."""
    length = np.sqrt(np.diag(likeness).clip(0))
    there = np.flatnonzero(length > TINY)
    values, vectors = np.linalg.eigh(likeness[np.ix_(there, there)] / np.outer(length[there], length[there]))
    ways: Float[np.ndarray, "source way"] = np.zeros((len(likeness), min(len(there), 4 * number)))
    ways[there] = (vectors * np.sqrt(values.clip(0)))[:, -ways.shape[1] :]
    return ways


def _begin(
    likeness: Float[np.ndarray, "source source"], ways: Float[np.ndarray, "source way"], number: int, seed: int
) -> Float[np.ndarray, "source factor"]:
    """Begin with clusters of sources whose kernels point the same way."""
    from scipy.cluster.vq import kmeans2

    length = np.sqrt(np.diag(likeness).clip(0))
    there = np.flatnonzero(length > TINY)
    _, cluster = kmeans2(ways[there], min(number, len(there)), minit="++", rng=np.random.default_rng(seed))
    groups: Float[np.ndarray, "source factor"] = np.zeros((len(likeness), number))
    groups[there, cluster] = length[there]
    return groups[:, groups.any(0)] + 0.02 * float(length.mean())


def _fitted(likeness: Float[np.ndarray, "source source"], groups: Float[np.ndarray, "source factor"]) -> Float[np.ndarray, "source factor"]:
    """Improve groups, `STEPS` times."""
    for _ in range(STEPS):
        inverse = np.linalg.pinv(groups.T @ groups)
        towards = likeness @ groups @ inverse
        among = inverse @ groups.T @ towards
        up = np.clip(towards, 0, None) + groups @ np.clip(-among, 0, None)
        down = np.clip(-towards, 0, None) + groups @ np.clip(among, 0, None)
        groups = groups * np.sqrt((up + TINY) / (down + TINY))
    return groups
