"""Families in a circuit: several units of a layer taken as one node, and one node taken apart.

What is taken as one for a drawing keeps its units in the circuit itself, so that measures stay those of the units; only a circuit that
was traced by families has a family among its units.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from workbench.circuit import Circuit, Edge, units_of
from workbench.input_error import InputError
from workbench.models.layer import Unit


def address_of(units: Sequence[Unit]) -> str:
    """Return the address of units of one layer taken as one: ``mixed3b:1,2``.

    Raises
    ------
    InputError
        When there are none, or they are of several layers.
    """
    layers = {unit.layer for unit in units}
    if len(layers) != 1:
        raise InputError("only units of one layer can be taken as one")
    numbers = dict.fromkeys(unit.index for unit in units)
    return f"{layers.pop()}:{','.join(map(str, numbers))}"


def members(circuit: Circuit, family: str) -> list[str]:
    """Return the units of a circuit that belong to a family, in the circuit's order; themselves families in a circuit traced by these."""
    inside = set(units_of(family))
    return [unit for unit in circuit.units if inside.issuperset(units_of(unit))]


def together(circuit: Circuit, families: Iterable[str]) -> Circuit:
    """Return the circuit as it is drawn when families are taken as one; a family with fewer than two units in it is left out.

    The weight from one family to another is the sum over the units that are read, averaged over the units that read: how much an
    average unit of the one gets when all of the other are equally active. Attributions, which are parts of one metric, are summed. The
    effect of several edges is not the sum of their effects, so it is kept for a single edge only. A family reads itself nowhere.
    """
    place: dict[str, str] = {}
    for family in families:
        inside = [unit for unit in members(circuit, family) if unit not in place]
        if len(inside) > 1:
            place |= dict.fromkeys(inside, family)
    if not place:
        return circuit
    size = {family: list(place.values()).count(family) for family in place.values()}
    between: dict[tuple[str, str], list[Edge]] = {}
    for edge in circuit.edges:
        source, target = place.get(edge.source, edge.source), place.get(edge.target, edge.target)
        if source != target:
            between.setdefault((source, target), []).append(edge)
    edges = tuple(_joined(ends, edges, size.get(ends[1], 1)) for ends, edges in between.items())
    units = tuple(dict.fromkeys(place.get(unit, unit) for unit in circuit.units))
    return replace(circuit, units=units, edges=edges)


def _joined(ends: tuple[str, str], edges: Sequence[Edge], readers: int) -> Edge:
    if len(edges) == 1 and readers == 1:
        return replace(edges[0], source=ends[0], target=ends[1])
    effect = edges[0].effect if len(edges) == 1 else math.nan
    return Edge(*ends, _sum(edge.weight for edge in edges) / readers, _sum(edge.attribution for edge in edges), effect)


def _sum(values: Iterable[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return math.fsum(known) if known else math.nan


def taken_apart(circuit: Circuit, family: str) -> Circuit:
    """Put the units of a family that is one unit of the circuit in its place, each with its edges; their numbers are not known yet.

    Raises
    ------
    InputError
        When it is not in the circuit, or no family.
    """
    inside = [str(unit) for unit in units_of(family)]
    if family not in circuit.units or len(inside) < 2:
        raise InputError(f"{family} is not a family of this circuit")
    units = [each for unit in circuit.units for each in (inside if unit == family else [unit])]
    known = {edge.ends: edge for edge in circuit.edges}
    ends = [
        (source, target)
        for edge in circuit.edges
        for source in (inside if edge.source == family else [edge.source])
        for target in (inside if edge.target == family else [edge.target])
    ]
    edges = tuple(known.get(pair, Edge(*pair)) for pair in dict.fromkeys(ends))
    return replace(circuit, units=tuple(dict.fromkeys(units)), edges=edges, figures=circuit.lasting)
