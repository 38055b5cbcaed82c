"""The graph is the model: named nodes, and one function, `cut`, that makes a runnable piece of it.

``cut(sources, targets)`` computes the targets from the values of the sources and nothing else. Capturing is the cut from the input
to a layer, patching the cut from a layer to the output; what the second reads beside its source (the other branches) is its
`frontier`, clean values that enter as further sources.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_aggregate

from workbench.input_error import InputError
from workbench.models.capture import Capture
from workbench.models.heads import of_heads
from workbench.models.layer import Layer
from workbench.models.max_pool import max_pool2d
from workbench.models.nodes import VIEWS, batch_of, describe, is_number, is_tensor, kind, multiple

if TYPE_CHECKING:
    from workbench.models.linearise import Gate, LinearCut

Reduction = Callable[[Tensor], Any]


@dataclass(frozen=True)
class Cut:
    """A runnable piece of the graph.

    Attributes
    ----------
    sources
        Names whose values it takes, in order.
    targets
        Names whose values it returns, in order.
    module
        The piece itself; its parameters are the network's own.
    held
        Values of sources that need not be given, one example each: a timestep, a text.
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    module: fx.GraphModule
    held: Mapping[str, Tensor] = field(default_factory=dict)

    def __call__(self, *values: Tensor) -> tuple[Any, ...]:
        """Return the targets' values (or what their reductions made of them) for the sources' `values`.

        What is held may be left out: it is expanded to the batch of the first value.

        Raises
        ------
        InputError
            When there are more or fewer values than sources.
        """
        if self.held and len(values) == len(self.sources) - len(self.held):
            given = iter(values)
            batch = values[0].shape[0]
            values = tuple(
                self.held[name].expand(batch, *self.held[name].shape[1:]) if name in self.held else next(given)
                for name in self.sources
            )
        if len(values) != len(self.sources):
            raise InputError(
                f"{len(self.sources)} values are needed ({', '.join(self.sources)}), {len(values)} were given"
            )
        result: tuple[Any, ...] = self.module(*values)
        return result


class ModelGraph:
    """The flat graph of a network, its layers by name, and the pieces cut from it.

    Attributes
    ----------
    layers
        Layers by their shortest name, in the order they are computed.
    inputs, outputs
        Nodes of the network's inputs and of what it returns.
    """

    def __init__(self, capture: Capture) -> None:
        self._capture = capture
        self.root: nn.Module = capture.root
        self.graph: fx.Graph = capture.graph
        self._place = {node: i for i, node in enumerate(self.graph.nodes)}
        self.inputs: tuple[fx.Node, ...] = tuple(node for node in self.graph.nodes if node.op == "placeholder")
        (output,) = (node for node in self.graph.nodes if node.op == "output")
        self.outputs: tuple[fx.Node | None, ...] = tuple(
            leaf if isinstance(leaf, fx.Node) else None for leaf in _leaves(output.args[0])
        )
        self._seeing = self._computed_from_the_image()
        self._of_heads = of_heads(self.graph, capture.unit_axes)
        self._nodes: dict[str, fx.Node] = {}
        for node, names in capture.names.items():
            for name in names:
                self._nodes.setdefault(name, node)
        self.layers: dict[str, Layer] = {}
        for node in capture.names:
            shown = node not in capture.inner and (kind(node) not in VIEWS or node in capture.module_outputs)
            layer = self.describe(node) if shown else None
            if layer is not None:
                self.layers[layer.name] = layer
        self._aliases = {alias: layer for layer in self.layers.values() for alias in layer.aliases}
        self._cuts: dict[tuple[tuple[str, ...], tuple[str, ...]], Cut] = {}
        self._linear_cuts: dict[tuple[tuple[str, ...], tuple[str, ...], Gate], LinearCut] = {}
        self._exposed: ModelGraph | None = None

    def describe(self, node: fx.Node) -> Layer | None:
        """Return the layer a node is, or None where it does not depend on the batch or is not made of real numbers."""
        layer = describe(node, self._capture.names[node], self._capture.unit_axes[node])
        if layer is None:
            return None
        return replace(layer, seen=node in self._seeing, mapped=node not in self._of_heads)

    def _computed_from_the_image(self) -> set[fx.Node]:
        """Return the nodes whose values are; numbers, such as that of the examples, are not."""
        image = self.inputs[0].meta["val"] if self.inputs else None
        if not isinstance(image, Tensor) or image.dim() != 4 or not image.is_floating_point():
            return set()
        found = {self.inputs[0]}
        for node in self.graph.nodes:
            if not found.isdisjoint(node.all_input_nodes) and not is_number(node):
                found.add(node)
        return found

    @property
    def capture(self) -> Capture:
        """What the graph was made from."""
        return self._capture

    def to(self, device: torch.device) -> None:
        """Move the weights and constants, and what the graph makes on a device of its own (positions, masks); cuts are made anew."""
        self.root.to(device)
        for node in self.graph.nodes:
            if node.op == "get_attr":
                value = attrgetter(str(node.target))(self.root)
                if isinstance(value, Tensor) and value.device != device:  # a constant that the module does not know as its own
                    owner, _, name = str(node.target).rpartition(".")
                    setattr(self.root.get_submodule(owner), name, value.to(device))
            node.args, node.kwargs = map_aggregate(
                (node.args, node.kwargs), lambda leaf: device if isinstance(leaf, torch.device) else leaf
            )
        self._cuts.clear()
        self._linear_cuts.clear()
        self._exposed = None

    @property
    def output(self) -> str:
        """Name of the network's first output."""
        return self.name(next(node for node in self.outputs if node is not None))

    def layer(self, name: str) -> Layer:
        """Return a layer by any of its names.

        Raises
        ------
        ValueError
            When the network has no such layer; the nearest names are suggested.
        """
        found = self.layers.get(name) or self._aliases.get(name)
        if found is None:
            close = get_close_matches(name, [*self.layers, *self._aliases], n=3, cutoff=0.5)
            hint = (
                f"did you mean {' or '.join(close)}?"
                if close
                else f"the first of its {len(self.layers)} layers are {', '.join(list(self.layers)[:5])}"
            )
            raise InputError(f"no layer named {name!r}; {hint}")
        return found

    def node(self, name: str) -> fx.Node:
        """Return the node of a layer, or of any other named tensor of the graph.

        Raises
        ------
        ValueError
            When there is none of that name.
        """
        return self._nodes[name] if name in self._nodes else self._nodes[self.layer(name).name]

    def name(self, node: fx.Node) -> str:
        """Return the shortest name of a tensor node."""
        return self._capture.names[node][0]

    def sort(self, names: Iterable[str]) -> list[str]:
        """Order layers as they are computed, each once."""
        nodes = {self.node(name) for name in names}
        return [self.name(node) for node in sorted(nodes, key=self._place.__getitem__)]

    def downstream(self, sources: Iterable[str]) -> set[fx.Node]:
        """Return all nodes that depend on any of the sources; a source that depends on another is among them."""
        start = {self.node(name) for name in sources}
        reached: set[fx.Node] = set()
        for node in self.graph.nodes:
            if any(read in reached or read in start for read in node.all_input_nodes):
                reached.add(node)
        return reached

    def frontier(self, sources: Sequence[str], targets: Sequence[str]) -> list[str]:
        """Name the clean values a cut from `sources` to `targets` reads beside its sources, in the order they are computed."""
        held = {self.node(name) for name in sources}
        changed = self.downstream(sources)
        found: set[fx.Node] = set()
        for target in targets:
            node = self.node(target)
            if node not in changed and node not in held:
                found.add(node)
        for node in self.needed([self.node(target) for target in targets], held):
            if node in changed:
                found.update(
                    read
                    for read in node.all_input_nodes
                    if read not in changed and read not in held and is_tensor(read) and batch_of(read) is not None
                )
        return [self.name(node) for node in sorted(found, key=self._place.__getitem__)]

    def cut(
        self,
        sources: Sequence[str],
        targets: Sequence[str],
        *,
        reductions: Mapping[str, Reduction] | None = None,
        edits: Mapping[str, Callable[[Tensor], Tensor]] | None = None,
    ) -> Cut:
        """Return the runnable piece from `sources` to `targets`.

        Parameters
        ----------
        reductions
            For some targets a function of the activation, run right after its layer; the cut then returns what it returns, and
            the activation itself is freed as soon as nobody reads it.
        edits
            For some layers inside the cut a function that replaces the value all later nodes read.

        Raises
        ------
        ValueError
            When a name is unknown, or the targets need values that do not come from the sources (they are named).
        """
        sources = [self.name(self.node(name)) for name in sources]
        targets = [self.name(self.node(name)) for name in targets]
        key = (tuple(sources), tuple(targets))
        plain = not reductions and not edits
        if plain and key in self._cuts:
            return self._cuts[key]
        made = self._build(key[0], key[1], reductions or {}, edits or {})
        if plain:
            self._cuts[key] = made
        return made

    def needed(self, targets: Iterable[fx.Node], held: set[fx.Node]) -> list[fx.Node]:
        """Return the nodes to compute, in order: back from the targets to the sources, parameters and constants."""
        needed: set[fx.Node] = set()
        waiting = [node for node in targets if node not in held]
        while waiting:
            node = waiting.pop()
            if node in needed:
                continue
            needed.add(node)
            if not counts_batch(node):
                waiting.extend(read for read in node.all_input_nodes if read not in held)
        return sorted(needed, key=self._place.__getitem__)

    def _build(
        self,
        sources: tuple[str, ...],
        targets: tuple[str, ...],
        reductions: Mapping[str, Reduction],
        edits: Mapping[str, Callable[[Tensor], Tensor]],
    ) -> Cut:
        held = {self.node(name): name for name in sources}
        reduce = {self.node(name): function for name, function in reductions.items()}
        edit = {self.node(name): function for name, function in edits.items()}
        wanted = [self.node(name) for name in targets]
        piece = fx.Graph()
        copies: dict[fx.Node, fx.Node] = {}
        for i, node in enumerate(held):
            copies[node] = piece.placeholder(f"source_{i}")
        batch = self.batch_size(piece, copies, held)
        reduced: dict[fx.Node, fx.Node] = {}

        def finish(node: fx.Node) -> None:
            if node in edit:
                copies[node] = piece.call_function(_named(edit[node], "edit"), (copies[node],))
            if node in reduce:
                reduced[node] = piece.call_function(_named(reduce[node], "reduction"), (copies[node],))

        for node in held:
            finish(node)
        for node in self.needed(wanted, set(held)):
            if node.op == "placeholder":
                raise InputError(
                    f"a cut from {', '.join(sources)} to {', '.join(targets)} also reads the network's input; "
                    f"add its frontier to the sources: {', '.join(self.frontier(sources, targets))}"
                )
            if counts_batch(node):
                factor = multiple(node.meta["val"])
                copies[node] = piece.call_function(scaled, (batch(), factor)) if factor != 1 else batch()
            else:
                copies[node] = piece.node_copy(node, copies.__getitem__)
                finish(node)
        piece.output(tuple(reduced.get(node, copies[node]) for node in wanted))
        _overwrite_what_nobody_reads(piece)
        for node in piece.nodes:
            if node.target is torch.ops.aten.max_pool2d.default:
                node.target = max_pool2d
        unread = [held[node] for node in held if not copies[node].users and node not in wanted]
        if unread and len(unread) == len(held):
            raise InputError(f"{', '.join(targets)} does not depend on {', '.join(sources)}")
        return Cut(sources, targets, fx.GraphModule(self.root, piece))

    @staticmethod
    def batch_size(
        piece: fx.Graph, copies: Mapping[fx.Node, fx.Node], held: Mapping[fx.Node, str]
    ) -> Callable[[], fx.Node]:
        """Return a function that gives the node of the batch size, rebuilt from the first source that knows it."""
        known: list[fx.Node] = []
        first = next(((node, *place) for node in held if (place := batch_of(node)) is not None), None)
        source = copies[first[0]] if first is not None else None

        def batch() -> fx.Node:
            if not known:
                if first is None or source is None:
                    raise InputError(f"none of {', '.join(held.values())} tells the batch size that this cut needs")
                size = piece.call_function(torch.ops.aten.sym_size.int, (source, first[1]))
                known.append(piece.call_function(divided, (size, first[2])) if first[2] != 1 else size)
            return known[0]

        return batch

    def linearise(self, sources: Sequence[str], targets: Sequence[str], *, gate: Gate = "derivative") -> LinearCut:
        """Return the cut from `sources` to `targets` made linear at a clean run (see `workbench.models.linearise`).

        Raises
        ------
        ValueError
            When an operation between them has no linearisation; it is named.
        """
        from workbench.models.linearise import linearise

        key = (tuple(sources), tuple(targets), gate)
        if key not in self._linear_cuts:
            self._linear_cuts[key] = linearise(self, sources, targets, gate)
        return self._linear_cuts[key]

    def expose_attention(self) -> ModelGraph:
        """Return a derived graph in which every attention pattern is a layer, ``PATH:pattern`` (see `workbench.models.attention`)."""
        from workbench.models.attention import expose

        if self._exposed is None:
            self._exposed = ModelGraph(expose(self._capture))
        return self._exposed


def counts_batch(node: fx.Node) -> bool:
    """Tell whether the node reads a size that depends on the batch: rebuilt in every cut, never computed from its tensor."""
    return kind(node) == "sym_size" and isinstance(node.meta.get("val"), torch.SymInt)


def scaled(batch: int, factor: int) -> int:
    """Rows of a tensor that has `factor` rows an example."""
    return batch * factor


def divided(size: int, rows: int) -> int:
    """Examples in a tensor of `size` rows."""
    return size // rows


FRESH = frozenset("conv1d conv2d conv3d convolution batch_norm linear relu add addmm matmul".split())
"""Operations whose result is a tensor of its own: no view of another, read by nobody but its users."""


def _overwrite_what_nobody_reads(piece: fx.Graph) -> None:
    """Let ReLU and addition write where their first input lies, as most networks do themselves.

    Capturing made all writes out of place, so that a layer stays what it was when it is read; where a piece reads it nowhere else, the
    copy costs 4 % of a forward pass. In inference mode only: elsewhere somebody may want a gradient.
    """
    fresh = {node for node in piece.nodes if isinstance(node.target, torch._ops.OpOverload) and kind(node) in FRESH}
    for node in fresh:
        source = node.args[0]
        if (
            node.target in _OVERWRITING
            and source in fresh
            and list(source.users) == [node]
            and source not in node.args[1:]
            and source.meta["val"].shape == node.meta["val"].shape
            and source.meta["val"].dtype == node.meta["val"].dtype
        ):
            node.target = _OVERWRITING[node.target]


def _relu(value: Tensor) -> Tensor:
    # The very operation, not `torch.relu`: redirected gradients recognise it.
    result: Tensor = torch.relu_(value) if torch.is_inference_mode_enabled() else torch.ops.aten.relu.default(value)
    return result


def _add(value: Tensor, other: Tensor, *, alpha: float = 1) -> Tensor:
    if torch.is_inference_mode_enabled() and value.dtype == torch.result_type(value, other):  # autocast mixes them
        return value.add_(other, alpha=alpha)
    result: Tensor = torch.ops.aten.add.Tensor(value, other, alpha=alpha)
    return result


_OVERWRITING: dict[Any, Callable[..., Tensor]] = {torch.ops.aten.relu.default: _relu, torch.ops.aten.add.Tensor: _add}


def _named(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Wrap any callable as a plain function, which is what a graph can hold."""

    def call(value: Tensor) -> Any:
        return function(value)

    call.__name__ = call.__qualname__ = name
    return call


def _leaves(value: Any) -> list[Any]:
    return [leaf for item in value for leaf in _leaves(item)] if isinstance(value, (list, tuple)) else [value]
