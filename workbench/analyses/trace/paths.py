"""Which unit can read which: the layers a circuit is looked for in, and the pieces of the network between them.

Nodes of a circuit are units (or families) of a few *layers*. An edge from u to v is what v reads from u *directly*: through the piece of
the network from the layers to v's layer that passes through none of the others (path patching: Goldowsky-Dill et al., "Localizing model
behavior with path patching", 2023). So v can be computed from any mixture of clean and ablated units.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from torch import fx

from workbench.analyses.trace.target import Target
from workbench.circuit import layer_of, units_of
from workbench.input_error import InputError
from workbench.models.affine import varying
from workbench.models.graph import Cut
from workbench.models.narrowed import narrowed
from workbench.models.nodes import kind

if TYPE_CHECKING:
    from workbench.models.traced_model import TracedModel

LAYERS = 2
"""Layers looked at where none are named."""


class Paths:
    """Layers between which edges run, the target last.

    Parameters
    ----------
    layers
        Names, all upstream of the target; none: the last `LAYERS` before it that everything flows through.

    Raises
    ------
    InputError
        When a layer does not feed the target.
    """

    def __init__(self, model: TracedModel, target: Target, layers: Sequence[str] = ()) -> None:
        self.model, self.graph, self.target = model, model.graph, target
        wanted = [self.graph.node(name) for name in target.layers]
        self.moving = varying(self.graph)
        self.layers = tuple(
            self.graph.sort(model.layer(name).name for name in layers) if layers else self._nearest(wanted)
        )
        before = set(self.graph.needed(wanted, set())) - set(wanted)
        for name in self.layers:
            if self.graph.node(name) not in before:
                raise InputError(f"{name} does not feed {target.address}; choose layers before it")
        self.readers = {name: [name] for name in self.layers} | {target.address: list(target.layers)}
        self.reads = {reader: self._read_by(reader) for reader in self.readers}
        self.beside = {name: self._beside(name) for names in self.readers.values() for name in names}
        self._pieces: dict[str, tuple[list[int], Cut]] = {}
        self._nodes: dict[str, tuple[str, tuple[int, ...]]] = {}

    def node(self, address: str) -> tuple[str, tuple[int, ...]]:
        """Return the layer and the units of a node.

        Raises
        ------
        InputError
            When its layer is none of `layers`, or has no such unit.
        """
        if address not in self._nodes:
            layer = self.model.layer(layer_of(address))
            units = tuple(unit.index for unit in units_of(address))
            if layer.name not in self.layers:
                raise InputError(f"{address} is in none of the layers {', '.join(self.layers)}")
            layer.check(units)
            if len(set(units)) < len(units):
                raise InputError(f"{address} names a unit twice; name each once")
            self._nodes[address] = layer.name, units
        return self._nodes[address]

    def reader(self, address: str) -> str:
        """Return the layer of a node, or the target's address, for `reads`."""
        return address if address == self.target.address else self.node(address)[0]

    def possible(self, nodes: Iterable[str]) -> list[tuple[str, str]]:
        """Return all edges there can be between nodes and from them to the target, in the order of the layers."""
        nodes = sorted(nodes, key=lambda node: (self.layers.index(self.node(node)[0]), self.node(node)[1]))
        return [
            (source, target)
            for target in (*nodes, self.target.address)
            for source in nodes
            if self.node(source)[0] in self.reads[self.reader(target)]
        ]

    def piece(self, layer: str, units: Iterable[int]) -> tuple[list[int], Cut]:
        """Return a piece that computes at least these units of a layer from what it reads, and which units it does compute.

        It is kept and grows, for the same few units are asked for again and again.
        """
        have, cut = self._pieces.get(layer, ([], None))
        if cut is None or not set(units) <= set(have):
            have = sorted({*have, *units})
            cut = narrowed(self.graph, [*self.sources(layer), *self.beside[layer]], layer, have)
            self._pieces[layer] = have, cut
        return have, cut

    def sources(self, layer: str) -> list[str]:
        """Return those of the layers that a layer (of a node, or of the target's pre-activation) reads directly."""
        reader = layer if layer in self.layers else self.target.address
        return self.reads[reader]

    def bypassing(self) -> list[str]:
        """Name what the target and the later layers read past the layers; it stays clean whatever is ablated."""
        first = self.layers[0]
        found = {name for layer, names in self.beside.items() if layer != first for name in names}
        return [name for name in self.graph.sort(found) if self.graph.node(name) in self.moving]

    def _read_by(self, reader: str) -> list[str]:
        held = {self.graph.node(name) for name in self.layers if name != reader}
        nodes = [self.graph.node(name) for name in self.readers[reader]]
        read = {operand for node in self.graph.needed(nodes, held) for operand in node.all_input_nodes}
        return [name for name in self.layers if self.graph.node(name) in read & held]

    def _beside(self, layer: str) -> list[str]:
        reader = layer if layer in self.layers else self.target.address
        return self.graph.frontier(self.reads[reader], [layer]) if self.reads[reader] else []

    def _nearest(self, wanted: Sequence[fx.Node]) -> list[str]:
        """Choose the last layers of non-linearities (or of branches side by side) that all flows through, else the last there are."""
        graph, targets = self.graph, list(self.target.layers)
        before = set(graph.needed(wanted, set())) - set(wanted)
        found = [layer for layer in graph.layers.values() if graph.node(layer.name) in before and layer.units > 1]
        gates = [layer.name for layer in found if layer.role == "post" or self._side_by_side(graph.node(layer.name))]
        through = [name for name in gates if not set(map(graph.node, graph.frontier([name], targets))) & self.moving]
        chosen = (through or gates)[-LAYERS:]
        if not chosen:
            raise InputError(
                f"no layer of non-linearities comes before {self.target.address}; name the layers to look in"
            )
        return chosen

    def _side_by_side(self, node: fx.Node) -> bool:
        if kind(node) != "cat":
            return False
        axis = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
        return isinstance(axis, int) and axis % node.meta["val"].dim() == self.graph.capture.unit_axes[node]
