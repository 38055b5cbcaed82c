"""What random-weight twins do, of figures that some of them may not have."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FEW = 20
"""Fewer twins are said to be too few for a null."""


def told(figure: float) -> str:
    """Write a figure that there may be none of."""
    return f"{figure:.2f}" if np.isfinite(figure) else "none, it does nothing there"


def within(null: npt.NDArray[np.float64]) -> str:
    """Say where the best units of the twins are."""
    found = known(null)
    of = f"{len(null)} twins" if len(null) >= FEW else f"{len(null)} twins, too few,"
    return f"best of {of} {found.min():.2f} – {found.max():.2f}" if len(found) else f"best of {of} do nothing there"


def known(null: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the twins of which it is known."""
    found: npt.NDArray[np.float64] = null[np.isfinite(null).all(tuple(range(1, null.ndim)))]
    return found
