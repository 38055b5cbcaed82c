"""Rebuild one series of numbers from few of many: which columns, added up or fitted, come nearest to it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Float64


def pursue(columns: Float64[np.ndarray, "n source"], wanted: Float64[np.ndarray, "n"], most: int) -> list[int]:
    """Return the columns that orthogonal matching pursuit chooses, in order; fewer than `most` once nothing is left to explain."""
    lengths = np.linalg.norm(columns, axis=0)
    usable = lengths > 1e-12 * max(1.0, float(lengths.max(initial=0.0)))
    scaled = columns[:, usable] / lengths[usable]
    names = np.flatnonzero(usable)
    residual, scale = wanted.copy(), float(np.linalg.norm(wanted))
    chosen: list[int] = []
    basis = np.empty((len(wanted), 0))
    while len(chosen) < min(most, scaled.shape[1], len(wanted) - 1) and np.linalg.norm(residual) > 1e-6 * scale:
        match = np.abs(residual @ scaled)
        match[chosen] = -1
        best = int(match.argmax())
        new = scaled[:, best] - basis @ (basis.T @ scaled[:, best])
        new -= basis @ (basis.T @ new)  # twice is enough
        length = float(np.linalg.norm(new))
        if length < 1e-8:
            break
        basis = np.column_stack([basis, new / length])
        residual = wanted - basis @ (basis.T @ wanted)
        chosen.append(best)
    return [int(names[one]) for one in chosen]


def keep_best(columns: Float64[np.ndarray, "n source"], wanted: Float64[np.ndarray, "n"], most: int) -> list[int]:
    """Return the columns whose sum comes nearest to what is wanted, greedily, in order; fewer than `most` once none brings it nearer."""
    lengths = np.square(columns).sum(0)
    left, scale = wanted.copy(), float(np.linalg.norm(wanted))
    chosen: list[int] = []
    while len(chosen) < min(most, columns.shape[1]) and np.linalg.norm(left) > 1e-6 * scale:
        gain = 2 * (left @ columns) - lengths
        gain[chosen] = -np.inf
        best = int(gain.argmax())
        if gain[best] <= 0:
            break
        left = left - columns[:, best]
        chosen.append(best)
    return chosen


def r2(truth: npt.NDArray[Any], said: npt.NDArray[Any]) -> float:
    """Return the part of the truth's energy, taken from its mean by the caller, that what was said explains; NaN where it has none."""
    spread = float(np.square(truth).sum())
    return 1 - float(np.square(truth - said).sum()) / spread if spread > 0 else float("nan")
