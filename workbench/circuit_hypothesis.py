"""A hypothesis made of a circuit: the graph of units becomes a tree, each unit once under every unit that reads it.

What units compute is not in a circuit, so every node begins with the feature ``itself``: the claim that these units, and no others, are
what their reader is computed from. Features are added by hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from workbench.circuit import Circuit, layer_of, units_of
from workbench.circuit_families import address_of
from workbench.hypothesis import MOST_NODES, Hypothesis, HypothesisError, Node
from workbench.input_error import InputError

UNNAMED = "itself"
T = TypeVar("T")


def outputs(circuit: Circuit) -> list[str]:
    """Return the units that no other unit of the circuit reads: what a hypothesis can be about."""
    read = {edge.source for edge in circuit.edges}
    return [unit for unit in circuit.units if unit not in read]


def treeified(circuit: Circuit, target: str, pool: int = 0) -> Hypothesis:
    """Make a hypothesis about one unit of a circuit.

    Parameters
    ----------
    pool
        How many children a node may have: of more, those of one layer are taken together, each node of neighbouring size. 0: as many as
        there are.

    Raises
    ------
    InputError
        When the unit is not in the circuit.
    HypothesisError
        At a unit that is computed from itself (a cycle), or when the tree has too many nodes, with their number.
    """
    if target not in circuit.units:
        raise InputError(f"{target} is not in the circuit {circuit.name}")
    reads: dict[str, list[str]] = {}
    for edge in circuit.edges:
        reads.setdefault(edge.target, []).append(edge.source)
    _refuse_cycles(reads, target)
    if not pool and (count := _paths(reads, target)) > MOST_NODES:
        raise HypothesisError(
            target,
            "children",
            f"as a tree the circuit has {count:,} nodes, each a run of the network on every example; at most {MOST_NODES}: "
            "pool children, 4 to 10 a node",
        )
    names: dict[str, int] = {}

    def grown(units: Sequence[str]) -> Node:
        below = list(dict.fromkeys(source for unit in units for source in reads.get(unit, ())))
        address = units[0] if len(units) == 1 else address_of([one for unit in units for one in units_of(unit)])
        names[address] = names.get(address, 0) + 1
        name = address if names[address] == 1 else f"{address} ({names[address]})"
        if sum(names.values()) > MOST_NODES:
            raise HypothesisError(name, "children", f"the tree has more than {MOST_NODES} nodes; pool children into fewer")
        return Node(name, address, UNNAMED, (), tuple(grown(group) for group in _pooled(below, pool)))

    return Hypothesis(grown([target]), f"{circuit.name or 'Circuit'}: {target}", circuit.model, circuit.images)


def pooled(hypothesis: Hypothesis, most: int) -> Hypothesis:
    """Return the same with at most so many children a node where they can be taken together: leaves of one layer, feature and offsets."""
    taken = {node.name for node in hypothesis.root.every()}

    def walk(node: Node) -> Node:
        children = tuple(walk(child) for child in node.children)
        alike: dict[tuple[object, ...], list[Node]] = {}
        for child in children:
            own = (child.name,) if child.children else (layer_of(child.units), child.feature, child.offsets)
            alike.setdefault(own, []).append(child)
        if len(children) <= most:
            return replace(node, children=children)
        groups = _shared_out(list(alike.values()), most)
        return replace(node, children=tuple(_together(group, taken) for group in groups))

    return hypothesis.with_root(walk(hypothesis.root))


def _together(nodes: Sequence[Node], taken: set[str]) -> Node:
    """Put leaves together under a name that is free, which is taken then."""
    if len(nodes) == 1:
        return nodes[0]
    wanted, number = f"{nodes[0].name} and {len(nodes) - 1} more", 2
    name = wanted
    while name in taken:
        name, number = f"{wanted} ({number})", number + 1
    taken.add(name)
    units = address_of([unit for node in nodes for unit in units_of(node.units)])
    return replace(nodes[0], name=name, units=units)


def _pooled(units: Sequence[str], most: int) -> list[list[str]]:
    """Share units out among at most so many groups of one layer each; 0: one group a unit."""
    if not most or len(units) <= most:
        return [[unit] for unit in units]
    of_layer: dict[str, list[str]] = {}
    for unit in units:
        of_layer.setdefault(layer_of(unit), []).append(unit)
    return _shared_out(list(of_layer.values()), most)


def _shared_out(alike: Sequence[list[T]], most: int) -> list[list[T]]:
    """Cut each list into pieces, the longer into more, so that there are at most `most` where that can be."""
    pieces = [1] * len(alike)
    while sum(pieces) < most:
        fullest = max(range(len(alike)), key=lambda place: len(alike[place]) / pieces[place])
        if len(alike[fullest]) == pieces[fullest]:
            break
        pieces[fullest] += 1
    return [
        group[len(group) * piece // count : len(group) * (piece + 1) // count]
        for group, count in zip(alike, pieces, strict=True)
        for piece in range(count)
    ]


def _refuse_cycles(reads: Mapping[str, Sequence[str]], target: str) -> None:
    done: set[str] = set()
    above: list[str] = []

    def walk(unit: str) -> None:
        if unit in above:
            round_about = " ← ".join([*above[above.index(unit) :], unit])
            raise HypothesisError(unit, "children", f"it is computed from itself, a cycle: {round_about}")
        if unit in done:
            return
        above.append(unit)
        for source in reads.get(unit, ()):
            walk(source)
        above.pop()
        done.add(unit)

    walk(target)


def _paths(reads: Mapping[str, Sequence[str]], target: str) -> int:
    """Count the nodes of the tree without making it."""
    count: dict[str, int] = {}

    def of(unit: str) -> int:
        if unit not in count:
            count[unit] = 1 + sum(of(source) for source in reads.get(unit, ()))
        return count[unit]

    return of(target)
