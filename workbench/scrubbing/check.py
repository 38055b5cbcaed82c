"""What of a network the nodes of a hypothesis mean, and why some mean nothing: a layer that is not there, a cycle, a cell off the map."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from workbench.circuit import layer_of, units_of
from workbench.hypothesis import HypothesisError, Node
from workbench.input_error import InputError
from workbench.models.cells import Cell, looks
from workbench.models.expanded import centre
from workbench.scrubbing.claim import Claim

if TYPE_CHECKING:
    from workbench.models.traced_model import TracedModel

Cells = tuple[Cell, ...]
"""Rows and columns of a layer; in a mapping None where a node means its units' whole maps."""


def check(model: TracedModel, root: Claim, data: int) -> Mapping[str, Cells | None]:
    """Refuse a hypothesis that cannot be tested, at the node that is wrong; return the cells of each node.

    Raises
    ------
    HypothesisError
        When a layer or unit does not exist, a child does not feed its parent or is its own input (a cycle), two children claim one unit at
        one place, an offset is off the map or counts from no position, two nodes have one name, or a feature has not one label a datum.
    """
    for fault in faults(model, root):
        raise fault
    for node in root.every():
        if node is not root and len(node.feature) != data:
            raise HypothesisError(node.name, "feature", f"it has {len(node.feature)} labels, the data are {data}")
    return places(model, root)


def places(model: TracedModel, root: Claim | Node) -> dict[str, Cells | None]:
    """Return the cells of every node, of a hypothesis without `faults`."""
    found: dict[str, Cells | None] = {root.name: _of_root(model, root)}

    def walk(node: Claim | Node) -> None:
        for child in node.children:
            found[child.name] = _cells(model, node, child, found[node.name])
            walk(child)

    walk(root)
    return found


def faults(model: TracedModel, root: Claim | Node) -> Iterator[HypothesisError]:
    """Give what is wrong, the first thing at each node, from the root down; what is below a wrong node is checked as far as it can be."""
    names: set[str] = set()

    def walk(node: Claim | Node, above: tuple[Claim | Node, ...], cells: Cells | None, sound: bool) -> Iterator[HypothesisError]:
        if node.name in names:
            yield HypothesisError(node.name, "name", "two nodes have this name")
            return
        names.add(node.name)
        own: Cells | None = None
        try:
            _units(model, node)
            if not above:
                own = _of_root(model, node)
            elif sound:
                _feeds(model, node, above)
                own = _cells(model, above[-1], node, cells)
                _unclaimed(model, node, above[-1], cells)
        except HypothesisError as error:
            sound = False
            yield error
        for child in node.children:
            yield from walk(child, (*above, node), own, sound)

    yield from walk(root, (), None, True)


def _units(model: TracedModel, node: Claim | Node) -> None:
    try:
        model.layer(layer_of(node.units)).check(unit.index for unit in units_of(node.units))
    except ValueError as error:
        raise HypothesisError(node.name, "units", str(error)) from None


def _feeds(model: TracedModel, node: Claim | Node, above: tuple[Claim | Node, ...]) -> None:
    layer, parent = model.layer(layer_of(node.units)).name, model.layer(layer_of(above[-1].units)).name
    if model.graph.node(parent) in model.graph.downstream([layer]):
        return
    if again := [other.name for other in above if _shared(model, node, other)]:
        raise HypothesisError(node.name, "units", f"{node.units} stands above it already, as {again[0]}: nothing is its own input, a cycle")
    raise HypothesisError(node.name, "units", f"{layer} does not feed {parent} of {above[-1].name}")


def _unclaimed(model: TracedModel, node: Claim | Node, parent: Claim | Node, cells: Cells | None) -> None:
    """Refuse a unit that an earlier child of the same parent claims at one of the same places."""
    for other in parent.children:
        if other is node or other.name == node.name:
            return
        try:
            shared = _shared(model, node, other)
            both = _cells(model, parent, node, cells), _cells(model, parent, other, cells)
        except ValueError:  # said at the other one
            continue
        if shared and (both[0] is None or both[1] is None or set(both[0]) & set(both[1])):
            raise HypothesisError(node.name, "units", f"{shared} is claimed by {other.name} already")


def _shared(model: TracedModel, one: Claim | Node, other: Claim | Node) -> str:
    """Return a unit that both name, empty for none."""
    layer, beside = model.layer(layer_of(one.units)).name, model.layer(layer_of(other.units)).name
    taken = {unit.index for unit in units_of(other.units)}
    common = [unit.index for unit in units_of(one.units) if layer == beside and unit.index in taken]
    return f"{layer}:{common[0]}" if common else ""


def _of_root(model: TracedModel, root: Claim | Node) -> Cells | None:
    if root.offsets:
        raise HypothesisError(root.name, "offsets", "the root stands in the middle of its map; offsets are counted from there")
    if not any(child.offsets for child in root.children):
        return None
    place = centre(model.layer(layer_of(root.units)))
    return ((place[0], place[1]),) if len(place) == 2 else None


def _cells(model: TracedModel, parent: Claim | Node, node: Claim | Node, cells: Cells | None) -> Cells | None:
    """Return the cells of a child: every offset from every cell of its parent, each once."""
    if not node.offsets:
        return None
    layer = model.layer(layer_of(node.units))
    try:
        look = looks(model.graph, model.layer(layer_of(parent.units)).name, layer.name)
    except InputError as error:
        raise HypothesisError(node.name, "offsets", str(error)) from None
    if cells is None:
        raise HypothesisError(
            node.name, "offsets", f"{parent.name} means whole maps, so there is no position to count from; give {parent.name} offsets too"
        )
    found = dict.fromkeys((y + down, x + right) for y, x in map(look.at, cells) for down, right in node.offsets)
    rows, columns = layer.positions
    if off := [cell for cell in found if not (0 <= cell[0] < rows and 0 <= cell[1] < columns)]:
        raise HypothesisError(
            node.name, "offsets", f"row {off[0][0]}, column {off[0][1]} is off the map of {layer.name}, which has {rows} × {columns} cells"
        )
    return tuple(found)
