"""Figures that may be missing, as JSON can hold them: it knows no NaN."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt


def plain(value: float | np.floating[Any]) -> float | None:
    """Return a figure, None for one that is not finite."""
    return float(value) if math.isfinite(value) else None


def median(values: npt.NDArray[Any]) -> float | None:
    """Return the median of what is finite, None for nothing: a unit without the figure must not hide the others."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else None
