"""How much of a target a circuit explains.

``faithfulness`` = (m(circuit) - m(ablated)) / (m(full) - m(ablated)), where m is the mean over images of the target, each image counted in
the direction in which ablating everything changes it: else images on which the target falls and images on which it rises would cancel,
and with a corrupt image in the place of each clean one m(full) - m(ablated) would be zero from the start. Images that ablating everything
changes by no more than noise say nothing of the direction and are left out of m (and counted).

``explained`` = 1 - sum (circuit - full)^2 / sum (ablated - full)^2: errors of either sign that cancel in the mean show here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from workbench.bootstrap import Interval, ratio_of_means
from workbench.finite import plain

NOISE = 0.01
"""Share of the usual change (root mean square) below which an image has no direction."""
DEAD = 1e-5
"""Share of the target's size below which ablating everything changes nothing."""

Array = npt.NDArray[np.float64]


class Scale:
    """The two ends of the scale, and circuits' places on it.

    Parameters
    ----------
    full, empty
        Target of each image in the whole network, and with everything ablated.
    """

    def __init__(self, full: Array, empty: Array) -> None:
        self.full, self.empty = full, empty
        change = full - empty
        self.usual = float(np.sqrt(np.mean(change**2)))
        self.direction = np.sign(change) * (np.abs(change) > NOISE * self.usual)

    @property
    def dead(self) -> bool:
        """Whether ablating everything changes nothing that could be explained."""
        return self.usual <= DEAD * max(float(np.abs(self.full).max()), 1e-12)

    @property
    def left_out(self) -> int:
        """Images without a direction."""
        return int((self.direction == 0).sum())

    def mean(self, change: Array) -> Array:
        """Return what a change of the target, ``... image``, is to m."""
        return np.asarray((change * self.direction).mean(-1))

    def faithfulness(self, circuit: Array) -> Array:
        """Return the faithfulness of circuits, ``... image`` to ``...``."""
        return np.asarray(
            ((circuit - self.empty) * self.direction).sum(-1) / ((self.full - self.empty) * self.direction).sum()
        )

    def explained(self, circuit: Array) -> Array:
        """Return the part of the squared change that circuits explain, ``... image`` to ``...``; at most 1."""
        return np.asarray(1 - ((circuit - self.full) ** 2).sum(-1) / ((self.empty - self.full) ** 2).sum())

    def score(self, circuit: Array) -> Array:
        """Return the worse of the two, too much being as bad as too little: what is chosen by."""
        return np.asarray(np.minimum(1 - np.abs(1 - self.faithfulness(circuit)), self.explained(circuit)))

    def intervals(self, circuit: Array, groups: Sequence[str], seed: Sequence[int]) -> tuple[Interval, Interval]:
        """Return faithfulness and explained part of one circuit, ``image``, with bootstrap intervals over groups."""
        above = (self.full - self.empty) * self.direction
        faithful = ratio_of_means((circuit - self.empty) * self.direction, groups, seed, above)
        error = ratio_of_means((circuit - self.full) ** 2, groups, seed, (self.empty - self.full) ** 2)
        return faithful, Interval(1 - error.value, 1 - error.high, 1 - error.low, error.detectable, error.groups)


def told(name: str, interval: Interval) -> dict[str, Any]:
    """Write an interval as plain data."""
    return {name: plain(interval.value), f"{name}_low": plain(interval.low), f"{name}_high": plain(interval.high)}
