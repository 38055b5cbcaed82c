"""What a layer is an affine function of, and which layer a unit has before its non-linearity.

Between two non-linearities lies a sum: convolutions, normalisations with fixed statistics, residual additions, concatenations, averages.
Read backwards from a layer it ends at the values that layer is built from, each of them a layer one can go on from.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from torch import fx
from torch.utils import _pytree as pytree

from workbench.input_error import InputError
from workbench.models.graph import ModelGraph
from workbench.models.layer import Layer, Unit
from workbench.models.linearise import LINEAR
from workbench.models.nodes import NONLINEAR, SAME_VALUES, is_number, is_tensor, kind

_PRODUCTS = frozenset("mul matmul bmm einsum addmm".split())
"""Affine when one operand varies, whichever it is."""
_IN_THE_FIRST = frozenset(
    "conv1d conv2d conv3d conv_transpose2d linear batch_norm _native_batch_norm_legit_no_training div gather index "
    "index_select".split()
)
"""Affine in the first operand, as long as the others do not vary."""
_SHAPED_LIKE = frozenset("expand_as reshape_as view_as".split())
"""Of the second operand they read the shape alone."""


def layer_of(graph: ModelGraph, node: fx.Node) -> Layer:
    """Return the layer a node is, also where it is no listed one because it only rearranges.

    Raises
    ------
    InputError
        When its value does not depend on the input or is not made of real numbers.
    """
    name = graph.name(node)
    found = graph.layers.get(name) or graph.describe(node)
    if found is None:
        raise InputError(f"{name} has no units: it does not depend on the input, or is not made of real numbers")
    return found


def before_activation(graph: ModelGraph, unit: Unit) -> Unit:
    """Return the unit whose value is the pre-activation of `unit`: what the non-linearity reads that `unit` is the output of.

    A unit of a concatenation is that of its branch. Where no non-linearity comes first, it is the unit itself (or its branch's).
    """
    node, index = graph.node(unit.layer), unit.index
    while True:
        if kind(node) == "cat":
            found = _branch(graph, node, index)
            if found is None:
                break
            node, index = found
        elif kind(node) in SAME_VALUES | NONLINEAR and isinstance(node.args[0], fx.Node):
            ended = kind(node) in NONLINEAR
            node = node.args[0]
            while ended and kind(node) in SAME_VALUES and isinstance(node.args[0], fx.Node):
                node = node.args[0]
            if ended:
                break
        else:
            break
    return Unit(layer_of(graph, node).name, index)


def _branch(graph: ModelGraph, node: fx.Node, index: int) -> tuple[fx.Node, int] | None:
    """Return the branch of a concatenation that holds unit `index`, and which of its units that is."""
    parts = node.args[0]
    axis = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
    assert isinstance(parts, (list, tuple)) and isinstance(axis, int)
    if axis % node.meta["val"].dim() != graph.capture.unit_axes[node]:
        return None
    for part in parts:
        assert isinstance(part, fx.Node)
        units = int(part.meta["val"].shape[axis])
        if index < units:
            return part, index
        index -= units
    return None


def varying(graph: ModelGraph) -> set[fx.Node]:
    """Return the nodes whose value depends on what the network reads, not on the number of examples alone."""
    found: set[fx.Node] = set()
    for node in graph.graph.nodes:
        if not is_number(node) and (node.op == "placeholder" or operands(node, found)):
            found.add(node)
    return found


def is_real(node: fx.Node) -> bool:
    """Tell whether a node is a tensor of real numbers: a timestep or a token is not."""
    return is_tensor(node) and bool(node.meta["val"].is_floating_point())


def is_affine(node: fx.Node, moving: set[fx.Node]) -> bool:
    """Tell whether a node is an affine function of those of its operands that are `moving`, taken together."""
    operation = kind(node)
    if operation not in LINEAR:
        return False
    if operation not in _PRODUCTS | _IN_THE_FIRST:
        return True
    # Not `operands`, which names a value once that is multiplied by itself.
    operands = [a for a in pytree.tree_leaves((node.args, node.kwargs)) if isinstance(a, fx.Node) and a in moving]
    return len(operands) == 1 and (operation in _PRODUCTS or operands[0] is node.args[0])


def affine_sources(graph: ModelGraph, layer: str, until: Sequence[str] = (), through: AbstractSet[str] = frozenset()) -> list[str]:
    """Name the nearest layers that `layer` is an affine function of, in the order they are computed.

    Each ends the way back from `layer` through affine operations: the output of a non-linearity, of a max-pooling, of a normalisation
    that divides by what it reads, of a product of two such values; or an input. Branches of a sum or a concatenation are followed each.
    Where `layer` itself is no affine function, it is what its operands are affine functions of.

    Parameters
    ----------
    until
        Layers that also end the way back.
    through
        Operations that do not end it although they are not affine, such as normalisations whose deviation is held still.

    Raises
    ------
    InputError
        When nothing the network reads comes before `layer`.
    """
    moving = varying(graph)
    target = graph.node(layer)
    stops = {graph.node(name) for name in until}
    ends: set[fx.Node] = set()
    seen: set[fx.Node] = set()
    waiting = operands(target, moving)
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        reads = operands(node, moving)
        whole = all(is_real(read) if is_tensor(read) else is_affine(read, moving) for read in reads)
        if node in stops:
            ends.add(node)
        elif reads and (is_affine(node, moving) or kind(node) in through) and whole:
            waiting.extend(reads)
        elif is_tensor(node):
            ends.add(node)
        else:  # a layer that hands out several tensors, itself no affine function: go on from what it reads
            waiting.extend(reads)
    if not ends:
        raise InputError(f"nothing comes before {layer}; choose a later layer")
    return graph.sort(graph.name(node) for node in ends)


def unit_count(graph: ModelGraph, node: fx.Node) -> int:
    """Return how many units a node has; -1 where it has none."""
    axis = graph.capture.unit_axes.get(node)
    return int(node.meta["val"].shape[axis]) if axis is not None else -1


def operands(node: fx.Node, moving: AbstractSet[fx.Node]) -> list[fx.Node]:
    """Return what a node's values are computed from, among the nodes that depend on the input."""
    read = node.all_input_nodes[:1] if kind(node) in _SHAPED_LIKE else node.all_input_nodes
    return [operand for operand in read if operand in moving]
