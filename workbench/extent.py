"""Where something is in an array."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def extent(there: npt.NDArray[np.bool_]) -> tuple[slice, ...] | None:
    """Return the smallest window that holds all places that are true, one slice an axis; None where there are none."""
    if not there.any():
        return None
    found = []
    for axis in range(there.ndim):
        places = np.flatnonzero(there.any(tuple(other for other in range(there.ndim) if other != axis)))
        found.append(slice(int(places[0]), int(places[-1]) + 1))
    return tuple(found)
