"""What random-weight twins do, of figures that some of them may not have."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def within(null: npt.NDArray[np.float64]) -> str:
    """Say where the twins are."""
    found = known(null)
    return f"twins {found.min():.2f} – {found.max():.2f}" if len(found) else "twins do nothing here"


def known(null: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the twins of which it is known."""
    found: npt.NDArray[np.float64] = null[np.isfinite(null).all(tuple(range(1, null.ndim)))]
    return found
