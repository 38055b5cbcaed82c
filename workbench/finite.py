"""Figures that may be missing, as JSON can hold them: it knows no NaN."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt


def finite_columns(values: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Return a matrix with the columns that are not finite in some row set to 0, and which they are: one broken unit must not hide all."""
    broken: npt.NDArray[np.bool_] = np.any(~np.isfinite(values), axis=0)
    return np.where(broken, 0.0, values), broken


def plain(value: float | np.floating[Any]) -> float | None:
    """Return a figure, None for one that is not finite."""
    return float(value) if math.isfinite(value) else None


def median(values: npt.NDArray[Any]) -> float | None:
    """Return the median of what is finite, None for nothing: a unit without the figure must not hide the others."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else None
