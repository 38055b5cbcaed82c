"""Runs of a network in which each unit reads what a circuit lets it read.

A unit's value follows from what it reads, so values are kept by that: two circuits that differ by an edge share all but what lies behind
it. What reads clean values alone is clean, to the last bit, and the whole network is a circuit like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.analyses.trace.paths import Paths
from workbench.analyses.trace.target import Target
from workbench.analyses.trace.wiring import Wiring
from workbench.input_error import InputError
from workbench.models.affine import layer_of
from workbench.models.nodes import batch_of

MOST = 256
"""Examples computed at once."""

Ablation = Literal["mean", "resample"]
CLEAN, ABLATED = 0, -1


@dataclass(frozen=True)
class Reading:
    """What a node reads.

    Attributes
    ----------
    node
        Its address.
    clean
        Whether it reads the clean values of everybody who is not in `read`, else the ablated ones.
    read
        Which value of whom, by number.
    """

    node: str
    clean: bool
    read: frozenset[tuple[str, int]]


class Runs:
    """The network on some images, clean, ablated and in between.

    Parameters
    ----------
    x
        Network input.
    ablated
        What ablated units become: ``unit *feature`` for each layer (a mean), or for each image the number of another, whose value it gets.
    """

    def __init__(self, paths: Paths, x: Tensor, ablated: Mapping[str, Float[Tensor, "unit *feature"]] | Sequence[int]) -> None:
        self.paths, self.model = paths, paths.model
        self.inputs = self.model.inputs(x)
        self.images = len(x)
        names = [*paths.layers, *(name for beside in paths.beside.values() for name in beside), *paths.target.layers]
        with torch.no_grad():
            self._clean = self.model.activations(self.inputs, list(dict.fromkeys(names)))
            self._ablated = {layer: self._without(layer, ablated) for layer in paths.layers}
            pre = [self.arranged(name, self._clean[name])[:, units] for name, units in paths.target.layers.items()]
        self.position = paths.target.position(torch.cat(pre, 1))
        self._numbers: dict[Reading, int] = {}
        self._values: dict[int, Tensor] = {}
        self._next = CLEAN + 1
        target = paths.target.address
        (number,) = self._run([Reading(target, True, frozenset())])
        self.full: Float[Tensor, " image"] = self._values[number]
        self.empty: Float[Tensor, " image"] = self.evaluate([Wiring(target, frozenset())])[0]

    # --- the values ------------------------------------------------------------------------------------------------------------

    def arranged(self, layer: str, value: Tensor) -> Tensor:
        """View a value of a layer as ``image unit *position``."""
        return layer_of(self.paths.graph, self.paths.graph.node(layer)).arrange(value)

    def clean(self, layer: str) -> Tensor:
        """Return a layer's clean value, as the network has it; kept."""
        name = self.paths.graph.name(self.paths.graph.node(layer))
        if name not in self._clean:
            with torch.no_grad():
                self._clean |= self.model.activations(self.inputs, [name])
        return self._clean[name]

    def ablated(self, layer: str) -> Tensor:
        """Return the value of a layer all of whose units are ablated."""
        return self._ablated[layer]

    def value(self, node: str, number: int) -> Float[Tensor, "image unit *position"]:
        """Return a node's value by number."""
        if number > CLEAN:
            return self._values[number]
        layer, units = self.paths.node(node)
        whole = self.clean(layer) if number == CLEAN else self.ablated(layer)
        return self.arranged(layer, whole)[:, list(units)]

    def _without(self, layer: str, ablated: Mapping[str, Tensor] | Sequence[int]) -> Tensor:
        value = self._clean[layer].clone()
        view = self.arranged(layer, value)
        if isinstance(ablated, Mapping):
            view[:] = layer_of(self.paths.graph, self.paths.graph.node(layer)).at_places(ablated[layer].to(view))
        else:
            view[:] = self.arranged(layer, self._clean[layer])[list(ablated)]
        return value

    # --- circuits --------------------------------------------------------------------------------------------------------------

    def evaluate(self, wirings: Sequence[Wiring]) -> Float[Tensor, "circuit image"]:
        """Return the target when every node reads its parents in the circuit, and of all others the ablated value."""
        numbers: list[dict[str, int]] = [{} for _ in wirings]
        target = self.paths.target.address
        for layer in (*self.paths.layers, target):
            here = [
                (known, node, wiring.parents.get(node))
                for known, wiring in zip(numbers, wirings, strict=True)
                for node in ([target] if layer == target else wiring.nodes)
                if self.paths.reader(node) == layer
            ]
            reading = [
                (known, Reading(node, False, frozenset((u, known[u]) for u in read)))
                for known, node, read in here
                if read is not None
            ]
            for known, node, read in here:
                if read is None:
                    known[node] = CLEAN
            for (known, each), number in zip(reading, self.numbers([each for _, each in reading]), strict=True):
                known[each.node] = number
        return torch.stack([self.vector(known[target]) for known in numbers])

    def vector(self, number: int) -> Float[Tensor, " image"]:
        """Return the target on each image, by number."""
        return self.full if number == CLEAN else self._values[number]

    def numbers(self, readings: Sequence[Reading]) -> list[int]:
        """Return the number of the value that each reading leads to; all nodes are of one layer, or the target."""
        plain = [self._plain(reading) for reading in readings]
        missing = list(dict.fromkeys(each for each in plain if each is not None and each not in self._numbers))
        if missing:
            self._numbers |= dict(zip(missing, self._run(missing), strict=True))
        return [CLEAN if each is None else self._numbers[each] for each in plain]

    def keep(self, wiring: Wiring) -> None:
        """Forget all values that this circuit does not have, to bound memory."""
        self._numbers = {
            each: number
            for each, number in self._numbers.items()
            if wiring.parents.get(each.node) == frozenset(source for source, _ in each.read)
        }
        self._values = {number: self._values[number] for number in self._numbers.values()}

    def _plain(self, reading: Reading) -> Reading | None:
        """Leave out what changes nothing; None for a reading of clean values alone."""
        if reading.clean:
            read = frozenset(pair for pair in reading.read if pair[1] != CLEAN)
            return Reading(reading.node, True, read) if read else None
        read = frozenset(pair for pair in reading.read if pair[1] != ABLATED)
        if all(number == CLEAN for _, number in read):
            left = {
                layer: set(range(self.model.layer(layer).units))
                for layer in self.paths.reads[self.paths.reader(reading.node)]
            }
            for node, _ in read:
                layer, units = self.paths.node(node)
                left.get(layer, set()).difference_update(units)
            if not any(left.values()):
                return None
        return Reading(reading.node, False, read)

    # --- running ---------------------------------------------------------------------------------------------------------------

    def _run(self, readings: Sequence[Reading]) -> list[int]:
        """Compute readings of nodes of one layer (or of the target), many at once, and number their values."""
        target = self.paths.target
        to_target = readings[0].node == target.address
        parts: list[list[Tensor]] = [[] for _ in readings]
        wanted = target.layers if to_target else {self.paths.node(readings[0].node)[0]: None}
        for layer, units in wanted.items():
            needed = [list(units or self.paths.node(reading.node)[1]) for reading in readings]
            have, cut = self.paths.piece(layer, {unit for each in needed for unit in each})
            step = max(1, MOST // self.images)
            for first in range(0, len(readings), step):
                rows = readings[first : first + step]
                values = [
                    self._stack(name, [self._read(name, row) for row in rows]) for name in self.paths.sources(layer)
                ]
                values += [self._stack(name, [self.clean(name)] * len(rows)) for name in self.paths.beside[layer]]
                with torch.inference_mode():
                    found = self.arranged(layer, cut(*values)[0]).split(self.images)
                for place, value in enumerate(found, first):
                    parts[place].append(value[:, [have.index(unit) for unit in needed[place]]])
        numbers = list(range(self._next, self._next + len(readings)))
        self._next += len(readings)
        for number, found in zip(numbers, parts, strict=True):
            joined = torch.cat(found, 1)
            self._values[number] = Target.read(joined, self.position).double() if to_target else joined
        return numbers

    def _read(self, layer: str, reading: Reading) -> Tensor:
        """Return a whole layer as a node reads it."""
        value = (self.clean(layer) if reading.clean else self.ablated(layer)).clone()
        view = self.arranged(layer, value)
        for node, number in reading.read:
            of, units = self.paths.node(node)
            if of == layer:
                view[:, list(units)] = self.value(node, number)
        return value

    def _stack(self, layer: str, values: list[Tensor]) -> Tensor:
        place = batch_of(self.paths.graph.node(layer))
        if place is None:
            raise InputError(f"{layer} does not depend on the input; choose another layer")
        return torch.cat(values, place[0])

    def edited(self, rows: Sequence[Mapping[str, Callable[[Tensor], None]]]) -> Float[Tensor, "row image"]:
        """Return the target when layers are changed and all that follows is computed again.

        Parameters
        ----------
        rows
            For each row, what is done to some layers: a function that writes into the activation, ``image unit *position``.
        """

        def edit(layer: str, change: Callable[[Tensor], None]) -> Callable[[Tensor], Tensor]:
            def apply(activation: Tensor) -> Tensor:
                changed = activation.clone()
                change(self.arranged(layer, changed))
                return changed

            return apply

        edits = [{layer: edit(layer, change) for layer, change in row.items()} for row in rows]
        parts = []
        with torch.inference_mode():
            for layer, units in self.paths.target.layers.items():
                found = self.model.edited(self.inputs, edits, target=layer, max_examples=MOST)
                parts.append([self.arranged(layer, each)[:, units] for each in found])
        return torch.stack([Target.read(torch.cat(of, 1), self.position).double() for of in zip(*parts, strict=True)])

    def replacing(self, values: Iterable[tuple[str, int]]) -> dict[str, Callable[[Tensor], None]]:
        """Return the change that gives nodes the values of these numbers."""
        by_layer: dict[str, list[tuple[str, int]]] = {}
        for node, number in values:
            by_layer.setdefault(self.paths.node(node)[0], []).append((node, number))

        def change(pairs: list[tuple[str, int]]) -> Callable[[Tensor], None]:
            def write(view: Tensor) -> None:
                for node, number in pairs:
                    view[:, list(self.paths.node(node)[1])] = self.value(node, number)

            return write

        return {layer: change(pairs) for layer, pairs in by_layer.items()}
