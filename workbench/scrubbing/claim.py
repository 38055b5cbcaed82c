"""A hypothesis bound to a set of data: every node has its feature as a label of each datum. And its nulls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from workbench.circuit import layer_of, units_of

if TYPE_CHECKING:
    from workbench.hypothesis import Offsets
    from workbench.models.traced_model import TracedModel

Labels = npt.NDArray[np.int64]
FEWEST = 4
"""Data of one label below which a feature mostly resamples a datum by itself."""


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


def without_hypothesis(root: Claim) -> Claim:
    """Return the hypothesis that claims nothing of the root's inputs: each child may be any datum."""
    return replace(root, children=tuple(replace(child, feature=np.zeros_like(child.feature), children=()) for child in root.children))


def of_whole_units(root: Claim) -> Claim:
    """Return the same tree in which every node below the root keeps its datum: what its units carry in all, whatever they compute."""

    def whole(node: Claim) -> Claim:
        return replace(node, feature=np.arange(len(node.feature)), children=tuple(whole(child) for child in node.children))

    return replace(root, children=tuple(whole(child) for child in root.children))


def of_random_units(model: TracedModel, root: Claim, seed: int) -> Claim:
    """Return the same tree of claims about other units of the same layers, as many; a null for which units carry a feature.

    Where a layer has not as many others, all of these are taken and the rest are of the node's own.
    """
    random = np.random.default_rng(seed)

    def other(node: Claim, taken: set[tuple[object, ...]]) -> Claim:
        layer = model.layer(layer_of(node.units))
        own = {unit.index for unit in units_of(node.units)}
        left = [unit for unit in random.permutation(layer.units).tolist() if (layer.name, node.offsets, unit) not in taken]
        drawn = sorted(sorted(left, key=own.__contains__)[: len(own)])
        taken |= {(layer.name, node.offsets, unit) for unit in drawn}
        children: set[tuple[object, ...]] = set()
        return replace(
            node, units=f"{layer.name}:{','.join(map(str, drawn))}", children=tuple(other(child, children) for child in node.children)
        )

    siblings: set[tuple[object, ...]] = set()
    return replace(root, children=tuple(other(child, siblings) for child in root.children))
