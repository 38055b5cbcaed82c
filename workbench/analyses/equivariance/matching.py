"""Which unit does on x what unit a does on T x: correlations from running sums, an assignment of units to units, and its orbits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from scipy.optimize import linear_sum_assignment
from torch import Tensor

NONE = -1
"""Partner of a unit that cannot be judged."""


@dataclass(frozen=True, eq=False)
class Origin:
    """Where running sums of a layer's units are counted from: close to their means, so that nothing is lost to rounding."""

    mean: Tensor
    scale: Tensor

    @classmethod
    def of(cls, samples: Tensor) -> Origin:
        """Take it from the first batch, ``batch place unit``."""
        values = samples.flatten(0, 1)
        scale = values.std(0) if len(values) > 1 else torch.zeros(values.shape[1])
        return cls(values.mean(0), torch.where(scale > 0, scale, torch.ones_like(scale)))

    def __call__(self, samples: Tensor) -> Tensor:
        """Return samples counted from here."""
        return (samples - self.mean) / self.scale


class Cross:
    """Correlation of every unit after a transformation with every unit before it, over images and places, from running sums."""

    def __init__(self) -> None:
        self.number = 0
        self._origin: Origin | None = None
        self._sums: list[Tensor] = []

    def see(self, before: Tensor, after: Tensor) -> None:
        """Take another batch into account, each ``batch place unit``."""
        if self._origin is None:
            self._origin = Origin.of(before)
        b, a = (self._origin(samples).flatten(0, 1) for samples in (before, after))
        sums = [value.double() for value in (a.sum(0), b.sum(0), (a * a).sum(0), (b * b).sum(0), a.T @ b)]
        self._sums = [one + more for one, more in zip(self._sums, sums, strict=True)] if self._sums else sums
        self.number += len(a)

    @property
    def correlation(self) -> Float64[np.ndarray, "after before"]:
        """``correlation[a, b]``: of a on the transformed images with b on the images; NaN where one does not vary."""
        a, b, aa, bb, ab = (value.cpu().numpy() for value in self._sums)
        covariance = ab - np.outer(a, b) / self.number
        spread = [np.maximum(square - total**2 / self.number, 0) for square, total in ((aa, a), (bb, b))]
        with np.errstate(invalid="ignore", divide="ignore"):
            varies = [value > 1e-9 * np.maximum(square, 1e-30) for value, square in zip(spread, (aa, bb), strict=True)]
            deviations = [np.where(there, np.sqrt(value), np.nan) for there, value in zip(varies, spread, strict=True)]
            return np.asarray(covariance / np.outer(*deviations)).clip(-1, 1)


def assigned(correlation: Float64[np.ndarray, "unit unit"], involution: bool) -> Int64[np.ndarray, "unit"]:
    """Return the partner of each unit: the permutation of units with the largest sum of correlations; `NONE` where they do not vary.

    Parameters
    ----------
    involution
        Whether the transformation undoes itself: then a is to b what b is to a, and both figures are estimates of one.
    """
    if involution:
        correlation = (correlation + correlation.T) / 2
    alive = np.flatnonzero(np.isfinite(np.diag(correlation)))
    partner = np.full(len(correlation), NONE, np.int64)
    rows, columns = linear_sum_assignment(correlation[np.ix_(alive, alive)], maximize=True)
    partner[alive[rows]] = alive[columns]
    return partner


@dataclass(frozen=True)
class Orbit:
    """Units that a transformation turns into one another.

    Attributes
    ----------
    units
        In the order in which each is the next one's partner.
    closed
        Whether the last one's partner is the first.
    consistent
        Whether it closes after as many units as the transformation allows (a part of its order), or does not close before.
    """

    units: tuple[int, ...]
    closed: bool
    consistent: bool


def orbits(partner: Int64[np.ndarray, "unit"], accepted: Bool[np.ndarray, "unit"], order: int | None) -> list[Orbit]:
    """Follow the partners that were accepted, from unit to unit; only orbits of two units or more.

    Parameters
    ----------
    order
        How often the transformation is applied until nothing has changed; 0 for never, None where nobody can say.
    """
    following = {int(unit): int(partner[unit]) for unit in np.flatnonzero(accepted) if partner[unit] not in (NONE, unit)}
    starts = [unit for unit in following if unit not in set(following.values())]
    found, used = [], set[int]()
    for start in (*starts, *following):
        if start in used:
            continue
        chain = [start]
        while (next_unit := following.get(chain[-1])) is not None and next_unit != start:
            chain.append(next_unit)
        used.update(chain)
        closed = following.get(chain[-1]) == start
        if order == 2:  # a is b mirrored, so b is a mirrored
            fits = closed and len(chain) == 2
        else:
            fits = not closed or order is None or (order > 0 and (order % len(chain) == 0 or len(chain) % order == 0))
        found.append(Orbit(tuple(chain), closed, fits))
    return sorted(found, key=lambda orbit: (-len(orbit.units), min(orbit.units)))

