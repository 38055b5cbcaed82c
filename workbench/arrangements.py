"""`arrangements`: the angles of a family given to its units in every other way, the null of what they are said to explain."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]

FEWEST = 20
"""Arrangements that differ below which the smallest p there can be is above .05: too few for a null."""
LISTED = 3000
"""Permutations up to which all are looked at."""


@dataclass(frozen=True, eq=False)
class Arrangements:
    """What each arrangement of the angles explains.

    Attributes
    ----------
    own
        What the angles themselves explain.
    null
        Of all arrangements that differ, the own among them; or of draws, which may be the own or equal one another.
    distinct
        Arrangements that differ, the own counted; among draws those that were met.
    complete
        Whether `null` has every arrangement once.
    """

    own: float
    null: Values
    distinct: int
    complete: bool

    @property
    def p(self) -> float:
        """Chance that a random arrangement explains as much."""
        as_much = int((self.null >= self.own - 1e-9).sum())
        return as_much / len(self.null) if self.complete else (1 + as_much) / (1 + len(self.null))

    @property
    def others(self) -> float | None:
        """Mean over the other arrangements, over all draws where they are drawn; None where there is no other."""
        if not self.complete:
            return float(self.null.mean())
        return float((self.null.sum() - self.own) / (self.distinct - 1)) if self.distinct > 1 else None

    @property
    def bar(self) -> float | None:
        """Level that 95 % of arrangements stay below; None where they are too few to say."""
        return float(np.quantile(self.null, 0.95)) if self.distinct >= FEWEST else None


def arrangements(
    families: Sequence[Values], same: Callable[..., npt.NDArray[np.int64]], explained: Callable[..., float], draws: int, seed: int
) -> Arrangements:
    """Give the angles of each family to its units in other ways.

    The units are exchangeable under the null, and each arrangement that differs is as likely as any other, the own included: leaving out
    those equal to the own would make p smaller than it is.

    Parameters
    ----------
    families
        Degrees of the units of each.
    same
        Takes angles for each family; equal where two arrangements are the same one (the whole family turned).
    explained
        Takes angles for each family, and returns the figure.
    draws
        Random arrangements where there are more than can be listed.
    """
    own, known = explained(*families), dict[bytes, float]()
    complete = math.prod(math.factorial(len(angles)) for angles in families) <= LISTED
    random = np.random.default_rng(seed)
    given: Iterable[tuple[Values, ...]] = (tuple(random.permutation(angles) for angles in families) for _ in range(draws))
    if complete:
        given = product(*([angles[list(order)] for order in permutations(range(len(angles)))] for angles in families))
    found = []
    for angles in given:
        key = same(*angles).tobytes()
        if key not in known:
            known[key] = explained(*angles)
        found.append(known[key])
    return Arrangements(own, np.array(list(known.values()) if complete else found), len(known), complete)


def beside(what: str, value: float, null: float | None, bar: float | None, count: int) -> str:
    """Say how much of something the angles explain, beside random angles."""
    if null is None:
        return f"{what} {value:.2f}; two units have no other angles to stand beside"
    if bar is None:
        return f"{what} {value:.2f}; too few units for a null: their angles can be given in {count} ways, the others {null:.2f} on average"
    return f"{what} {value:.2f}; random angles {null:.2f}, 95 % below {bar:.2f}"
