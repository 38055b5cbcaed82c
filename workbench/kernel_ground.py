"""What a kernel is written over: the colours of an image, or units of an earlier layer and what they detect."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.float64]
"""``y x``, or one number a channel."""
Over = Literal["pixels", "family"]


@dataclass(frozen=True, eq=False)
class Ground:
    """What a kernel is written over.

    Attributes
    ----------
    side
        Height and width of the kernel in cells.
    channels
        Channels that it reads.
    std
        Over pixels: what the network divides red, green and blue (or grey alone) by; empty over units.
    angles, strengths
        Over units: the line that each detects, in degrees, NaN for none; and how much it does, 0 to 1.
    frequencies
        Cycles a cell of the grating that each unit likes best, NaN where it has none.
    hues, tints
        Hues in degrees, and how strongly each unit responds to lines of each, ``channel hue``, its best 1; empty where not measured.
    """

    side: tuple[int, int]
    channels: int
    std: tuple[float, ...] = ()
    angles: Plane = field(default_factory=lambda: np.zeros(0))
    strengths: Plane = field(default_factory=lambda: np.zeros(0))
    frequencies: Plane = field(default_factory=lambda: np.zeros(0))
    hues: Plane = field(default_factory=lambda: np.zeros(0))
    tints: Plane = field(default_factory=lambda: np.zeros((0, 0)))

    @property
    def over(self) -> Over:
        """Whether it is pixels or units."""
        return "pixels" if self.std else "family"

    @property
    def offsets(self) -> tuple[Plane, Plane]:
        """How far each cell lies to the right of the kernel's middle, and above it."""
        rows, columns = self.side
        right = np.arange(columns) - (columns - 1) / 2
        up = (rows - 1) / 2 - np.arange(rows)
        return np.broadcast_to(right, self.side), np.broadcast_to(up[:, None], self.side)
