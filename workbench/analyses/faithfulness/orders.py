"""In which order the inputs of a unit are kept."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float64, Int64


def numbers_of(inputs: int, levels: int) -> list[int]:
    """Return 0 and about `levels` numbers of inputs from 1 to all, evenly in their logarithm."""
    return sorted({0, *(round(float(k)) for k in np.geomspace(1, inputs, levels))})


def ranked(strength: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return each unit's inputs, ``unit input``, the strongest first."""
    order: npt.NDArray[np.int64] = np.argsort(-np.nan_to_num(strength, nan=-1.0), axis=1, kind="stable")
    return order


def shuffled(units: int, inputs: int, seed: list[int]) -> npt.NDArray[np.int64]:
    """Return a random order of the inputs for each unit."""
    return np.random.default_rng(seed).permuted(np.tile(np.arange(inputs), (units, 1)), axis=1)


def left_out(order: Int64[np.ndarray, "unit input"], numbers: list[int]) -> Bool[np.ndarray, "unit input number"]:
    """Tell which inputs are not among the first so many."""
    place = np.empty_like(order)
    np.put_along_axis(place, order, np.tile(np.arange(order.shape[1]), (len(order), 1)), axis=1)
    result: npt.NDArray[np.bool_] = place[..., None] >= np.array(numbers)
    return result


def greedy(
    shares: Float64[np.ndarray, "sample input"], wanted: Float64[np.ndarray, "sample"], first: Int64[np.ndarray, "input"], among: int
) -> npt.NDArray[np.int64]:
    """Return an order in which each next input is the one that brings the sum nearest to what is wanted, as long as any does.

    Parameters
    ----------
    first
        The inputs by strength: only the first `among` compete, and what is not chosen follows in this order.
    """
    candidates = first[:among]
    columns = shares[:, candidates]
    products = columns.T @ columns
    lengths, match = np.diag(products).copy(), columns.T @ wanted
    chosen: list[int] = []
    for _ in range(len(candidates)):
        gain = 2 * match - lengths
        gain[chosen] = -np.inf
        best = int(gain.argmax())
        if not gain[best] > 0:
            break
        chosen.append(best)
        match -= products[:, best]
    return np.concatenate([candidates[chosen], first[~np.isin(first, candidates[chosen])]])
