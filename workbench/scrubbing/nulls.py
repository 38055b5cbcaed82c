"""What a hypothesis is compared with: the same tree without its features, with all its units do, and about other units."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from workbench.circuit import layer_of, units_of
from workbench.scrubbing.check import Cells, places
from workbench.scrubbing.claim import Claim

if TYPE_CHECKING:
    from workbench.models.traced_model import TracedModel

TRIES = 20
"""Draws of other units for the children of a node, before these keep their own."""


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

    Children of one node that meet at a cell get different units there, as in any hypothesis. Where a layer has not as many others, all of
    these are taken and the rest are of the node's own; where children leave one another too few, all of them keep their own.
    """
    random = np.random.default_rng(seed)
    cells = places(model, root)  # of layers and offsets, whichever the units are

    def drawn(parent: Claim) -> list[str] | None:
        """Return other units for each child, or None where one of them finds too few that are free."""
        held: list[tuple[str, Cells | None, list[int]]] = []
        for child in parent.children:
            layer, here = model.layer(layer_of(child.units)), cells[child.name]
            own = {unit.index for unit in units_of(child.units)}
            taken = {unit for known, there, units in held if known == layer.name and _meet(there, here) for unit in units}
            left = [unit for unit in random.permutation(layer.units).tolist() if unit not in taken]
            if len(left) < len(own):
                return None
            held.append((layer.name, here, sorted(sorted(left, key=own.__contains__)[: len(own)])))
        return [f"{name}:{','.join(map(str, units))}" for name, _, units in held]

    def others(parent: Claim) -> Claim:
        found = next((units for _ in range(TRIES) if (units := drawn(parent)) is not None), [child.units for child in parent.children])
        pairs = zip(parent.children, found, strict=True)
        return replace(parent, children=tuple(others(replace(child, units=units)) for child, units in pairs))

    return others(root)


def _meet(one: Cells | None, other: Cells | None) -> bool:
    return one is None or other is None or not set(one).isdisjoint(other)
