"""A circuit's edges as a set that is cut down: who reads whom."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

Ends = tuple[str, str]


@dataclass(frozen=True)
class Wiring:
    """Edges between nodes (addresses) that end in a target.

    A node that reads nobody is a leaf: it is taken as it is on the image, for nothing is claimed of what it is built from. The target
    that reads nobody reads the ablated values alone.
    """

    target: str
    edges: frozenset[Ends]

    @cached_property
    def parents(self) -> dict[str, frozenset[str]]:
        """Who is read by each node that reads anybody, the target in any case."""
        found: dict[str, set[str]] = {self.target: set()}
        for source, target in self.edges:
            found.setdefault(target, set()).add(source)
        return {node: frozenset(read) for node, read in found.items()}

    @cached_property
    def nodes(self) -> frozenset[str]:
        """All nodes, without the target."""
        return frozenset(end for edge in self.edges for end in edge) - {self.target}

    def without(self, edges: Iterable[Ends], roots: frozenset[str] | None = None) -> Wiring:
        """Remove edges, and those that then lead nowhere.

        Parameters
        ----------
        roots
            Nodes that may read nobody. Any other that has lost what it read leaves the circuit: it must not become a leaf, which would
            give it for nothing what its inputs were to explain. None: all that read nobody now.
        """
        if roots is None:
            roots = frozenset(self.nodes - self.parents.keys())
        left = set(self.edges) - set(edges)
        while True:
            read, reading = {source for source, _ in left} | {self.target}, {target for _, target in left}
            kept = {
                (source, target) for source, target in left if target in read and (source in roots or source in reading)
            }
            if kept == left:
                return Wiring(self.target, frozenset(left))
            left = kept

    def without_nodes(self, nodes: Iterable[str]) -> Wiring:
        """Remove nodes with all their edges."""
        gone = set(nodes)
        return self.without([edge for edge in self.edges if not gone.isdisjoint(edge)])

    def useful(self) -> Wiring:
        """Leave out what does not lead to the target; it changes nothing."""
        return self.without(())
