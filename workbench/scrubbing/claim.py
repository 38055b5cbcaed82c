"""A hypothesis bound to a set of data: every node has its feature as a label of each datum."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from workbench.hypothesis import Offsets

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Claim:
    """A node of a hypothesis.

    Attributes
    ----------
    name
        What it is called; unique in the hypothesis.
    units
        Address of the units, such as ``relu:0`` or ``mixed3a:4,7``.
    feature
        Label of every datum of the set, int64 ``datum``: two data agree where their labels are equal. The root's is not used.
    children
        What it is computed from; none: the units are taken as they are on the datum.
    offsets
        Cells of its layer that it means, rows down and columns to the right of the one that each cell of its parent looks at; none: all of
        its maps. A root whose children have offsets means the middle of its map.
    """

    name: str
    units: str
    feature: Labels
    children: tuple[Claim, ...] = ()
    offsets: Offsets = ()

    def every(self) -> Iterator[Claim]:
        """Return this node and all below it."""
        yield self
        for child in self.children:
            yield from child.every()


@dataclass(frozen=True)
class Occupancy:
    """How many data share a label of a node's feature.

    Attributes
    ----------
    labels
        How many labels there are.
    least, mean
        Data of the rarest label; and those that a datum agrees with on average, itself included.
    itself
        Part of the draws that give the datum back: they change nothing, and make the hypothesis look better than it is.
    """

    labels: int
    least: int
    mean: float
    itself: float


def occupancy(feature: Labels) -> Occupancy:
    """Count how many data share each label."""
    _, place, count = np.unique(feature, return_inverse=True, return_counts=True)
    return Occupancy(len(count), int(count.min()), float(count[place].mean()), float((1 / count[place]).mean()))
