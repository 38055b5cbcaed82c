"""The blocks that everything passes through, and the parts each is put together from.

A block that everything passes through carries all of a difference between two images: patching it as a whole says nothing. What can be
asked is which of its parts carries it: which branch of a concatenation, or what is added to a stream.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, TypeVar

from torch import fx

from workbench.input_error import InputError
from workbench.models.affine import before_activation
from workbench.models.layer import Layer, Unit
from workbench.models.nearest_source import nearest_source
from workbench.models.nodes import SAME_VALUES, VIEWS, batch_of, kind
from workbench.models.patching import Patch, patches_of

if TYPE_CHECKING:
    from workbench.models.traced_model import TracedModel


T = TypeVar("T")
MOVES = VIEWS | SAME_VALUES | {"roll", "flip", "pad", "constant_pad_nd"}
"""Operations behind which the values are the same ones, elsewhere."""


@dataclass(frozen=True, eq=False)
class Block:
    """A layer that everything passes through.

    Attributes
    ----------
    parts
        What it is put together from, in order: all of one layer, or some units of the block.
    module
        The innermost module that it belongs to: what comes out of the last block of a stage is named after the stage, and is one of
        that block's sums nevertheless.
    """

    layer: str
    parts: tuple[Patch, ...]
    module: str


def passed_by_all(model: TracedModel) -> list[str]:
    """Return the layers that everything passes through, from early to late: what a layer-by-layer answer is about.

    Raises
    ------
    InputError
        When there is none.
    """
    found: list[str] = []
    before = before_activation(model.graph, Unit(model.layer(model.graph.output).name, 0))
    at: str | None = nearest_source(model.graph, before.layer, sums=True)
    while at is not None:
        if at not in model.layers:  # named, but not told apart into units
            at = nearest_source(model.graph, at, sums=True)
            continue
        layer = model.layer(at)
        if len(layer.positions) and layer.units > 1:
            found.append(layer.name)
        above = None
        for unit in (0, layer.units - 1):  # branches of a concatenation: what all of them pass through
            before = before_activation(model.graph, Unit(layer.name, unit))
            above = _common(model, above, nearest_source(model.graph, before.layer, sums=True))
        at = above
    if not found:
        raise InputError("the network has no layer that everything passes through")
    return found[::-1]


def _common(model: TracedModel, one: str | None, other: str | None) -> str | None:
    """Return the earlier of two layers."""
    if one is None or other is None:
        return one or other
    return model.graph.sort([one, other])[0]


def blocks_with_parts(model: TracedModel) -> list[Block]:
    """Return the blocks that have parts, from early to late.

    Raises
    ------
    InputError
        When no block has parts: in a plain chain each layer carries everything.
    """
    names = passed_by_all(model)
    stream = {model.graph.node(name) for name in names}
    blocks = [Block(name, tuple(parts), _module(model.layer(name))) for name in names if (parts := _parts(model, name, stream))]
    if not blocks:
        raise InputError("no layer that everything passes through is put together from parts; patch units or places")
    return blocks


def _module(layer: Layer) -> str:
    names = [name.partition(":")[0] for name in (layer.name, *layer.aliases)]
    return max(names, key=lambda name: name.count("."))


def spread_blocks(blocks: Sequence[Block], most: int) -> list[Block]:
    """Return so many blocks at most, evenly over all; the sums within one module stay together.

    A transformer adds to its stream twice in each of its blocks, first what attention says and then what the MLP does: of single sums every
    second one would be all attention.
    """
    modules = [list(group) for _, group in groupby(blocks, lambda block: block.module)]
    for number in range(len(modules), 0, -1):
        chosen = [block for module in spread(modules, number) for block in module]
        if len(chosen) <= most:
            return chosen
    return spread(blocks, most)


def _parts(model: TracedModel, name: str, stream: set[fx.Node]) -> list[Patch]:
    """Return branches of a concatenation, or what is added to the stream."""
    node = model.graph.node(name)
    if kind(node) == "cat":
        try:
            return patches_of(model, name, "branch")
        except InputError:  # of places, not of units
            return []
    while kind(node) != "add" and len(node.all_input_nodes) == 1:  # a non-linearity behind the sum
        if node.all_input_nodes[0] in stream:
            return []
        node = node.all_input_nodes[0]
    if kind(node) != "add":
        return []
    known = model.graph.capture.names
    streams = [read for read in node.all_input_nodes if _is_moved(read, stream, known)]
    added = [read for read in node.all_input_nodes if read not in streams and read in known and batch_of(read) is not None]
    if len(added) == 1 and not streams:  # with a constant, such as a position
        return []
    layers = (_layer_behind(model, read) for read in added)
    return [Patch(layer, layer) for layer in layers if layer is not None]


def _is_moved(node: fx.Node, stream: set[fx.Node], known: Collection[fx.Node]) -> bool:
    """Whether it is a value of the stream, maybe arranged otherwise."""
    at: fx.Node | None = node
    while at is not None and at not in stream:
        at = _before_move(at, known)
    return at is not None


def _layer_behind(model: TracedModel, node: fx.Node) -> str | None:
    """Return the layer whose values these are; None where they are those of no layer, or what they come from is read elsewhere as well.

    Windows that are put together again, or tokens and channels that change places, are moved before they are added.
    """
    known = model.graph.capture.names
    found = None
    at: fx.Node | None = node
    while at is not None:
        if at in known and known[at][0] in model.layers:
            found = known[at][0]
        at = _before_move(at, known)
        if at is not None and sum(user in known for user in at.users) > 1:
            break
    return found


def _before_move(node: fx.Node, known: Collection[fx.Node]) -> fx.Node | None:
    """Return what a node only arranges otherwise; None where it does more."""
    read = [one for one in node.all_input_nodes if one in known]  # without sizes
    return read[0] if kind(node) in MOVES and len(read) == 1 else None


def spread(things: Sequence[T], number: int) -> list[T]:
    """Return so many, evenly over all of them."""
    if number >= len(things):
        return list(things)
    step = (len(things) - 1) / max(1, number - 1)
    return [things[place] for place in dict.fromkeys(round(at * step) for at in range(number))]
