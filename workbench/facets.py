"""Facets of a unit as plain data: what the window shows of a result of `Polysemanticity`, and the objective that visualizes one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from workbench.models.layer import Unit

if TYPE_CHECKING:
    from workbench.analyses.analysis import Result

NAMED = 4
"""Inputs that an objective of a facet names."""


@dataclass(frozen=True, eq=False)
class Facet:
    """One facet.

    Attributes
    ----------
    rows
        Which of the unit's examples belong to it, the strongest first.
    inputs, shares, signs
        Addresses of the units below it is built from, their mean part of its relevance, and -1 where it comes of activations below 0.
    told, told_by
        Held-out AUROC of the downstream unit that tells it from the others, NaN where there is none, and that unit.
    """

    rows: np.ndarray
    inputs: tuple[str, ...]
    shares: tuple[float, ...]
    signs: tuple[float, ...]
    told: float
    told_by: str


def facets_of(result: Result, unit: int) -> list[Facet]:
    """Return the facets of a unit, the largest first; none where it has too few examples."""
    arrays = result.arrays
    (places,) = np.nonzero(arrays["unit"] == unit)
    if not len(places):
        return []
    row = int(places[0])
    found = []
    for facet in range(int(arrays["number"][row])):
        named = [place for place, name in enumerate(arrays["inputs"][row][facet]) if name]
        found.append(
            Facet(
                np.flatnonzero(arrays["facet"][row] == facet),
                tuple(str(arrays["inputs"][row][facet][place]) for place in named),
                tuple(float(arrays["input_share"][row][facet][place]) for place in named),
                tuple(float(arrays["input_sign"][row][facet][place]) for place in named),
                float(arrays["told"][row][facet]),
                str(arrays["told_by"][row][facet]),
            )
        )
    return found


def objective_of(unit: Unit, inputs: Sequence[str], shares: Sequence[float], signs: Sequence[float]) -> str:
    """Return the objective that visualizes one facet: the unit, and by their shares the units below that the facet is built from.

    Of the ways to drive the unit it prefers the one through these inputs, as faceted feature visualization does (Goh et al., "Multimodal
    neurons in artificial neural networks", Distill 2021, there with a probe in place of the inputs). Inputs that drive the unit by being
    below 0 are made small.
    """
    said = f"neuron({unit.layer!r}, {unit.index})"
    positive = [(name, share, sign) for name, share, sign in zip(inputs, shares, signs, strict=True) if share > 0][:NAMED]
    largest = max((share for _, share, _ in positive), default=1.0)
    for name, share, sign in positive:
        below = Unit.parse(name)
        said += f" {'-' if sign < 0 else '+'} {share / largest:.2f} * neuron({below.layer!r}, {below.index})"
    return said
