"""Activations put in the place of others: one batch for many edits, and only what lies behind them is computed again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, fx
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import pad
from torch.utils._python_dispatch import TorchDispatchMode

from workbench.input_error import InputError
from workbench.models.graph import Cut, ModelGraph
from workbench.models.nodes import batch_of, kind

Edit = Tensor | Callable[[Tensor], Tensor]
"""The new activation, expanded to the clean one's shape, or a function of the activation at that place."""
Edits = Mapping[str, Edit]
"""By layer."""
ALIGNED = 4
"""Numbers in 16 bytes."""


def with_edits(
    graph: ModelGraph,
    rows: Sequence[Edits],
    target: str,
    activations: Callable[[Sequence[str]], Sequence[Tensor]],
    *,
    batch: int,
    max_examples: int,
) -> Tensor:
    """Return what `target` is under each mapping of edits, ``row batch ...``; see `TracedModel.edited`.

    Parameters
    ----------
    activations
        Gives those of some layers when nothing is edited, for `batch` examples.
    max_examples
        Largest batch that is computed at once, whole rows of it.
    """
    rows = [{graph.name(graph.node(layer)): edit for layer, edit in row.items()} for row in rows]
    edited = graph.sort({layer for row in rows for layer in row} or {target})
    behind = {graph.name(node) for node in graph.downstream(edited) if node in graph.capture.names}
    roots, inner = [layer for layer in edited if layer not in behind], [layer for layer in edited if layer in behind]
    frontier = graph.frontier(roots, [target])
    needed = [*edited, *frontier]
    clean = dict(zip(needed, activations(needed), strict=True))
    earlier = {layer: [other for other in edited if graph.node(layer) in graph.downstream([other])] for layer in inner}
    step = max(1, max_examples // batch)
    pieces = (rows[at : at + step] for at in range(0, len(rows), step))
    return torch.cat([_piece(graph, piece, roots, earlier, frontier, clean, target, batch) for piece in pieces])


def _piece(
    graph: ModelGraph,
    rows: Sequence[Edits],
    roots: Sequence[str],
    inner: Mapping[str, Sequence[str]],
    frontier: Sequence[str],
    clean: Mapping[str, Tensor],
    target: str,
    batch: int,
) -> Tensor:
    """Compute some rows as one batch, padded to a multiple of 8 examples.

    `roots` are edited before anything else, each layer of `inner` comes behind others that are edited, and `frontier` is what stays clean
    and is read on the way to the target. Where nothing before an inner layer was changed it gets its clean value, whose last bits the piece
    need not repeat: a library may add up in another order where a batch is larger.
    """
    padding = -len(rows) * batch % 8
    changed: list[set[str]] = [set() for _ in rows]

    def stack(layer: str, values: list[Tensor]) -> Tensor:
        axis, per_example = _place(graph, layer)
        if padding:
            repeats = -(-padding // batch)
            values = [*values, torch.cat([values[-1]] * repeats, axis).narrow(axis, 0, padding * per_example)]
        return torch.cat(values, axis)

    def edit_inside(layer: str) -> Callable[[Tensor], Tensor]:
        axis, per_example = _place(graph, layer)

        def edit(value: Tensor) -> Tensor:
            sizes = [batch * per_example] * len(rows)
            *parts, rest = value.split([*sizes, value.shape[axis] - sum(sizes)], axis)
            parts = [part if now.intersection(inner[layer]) else clean[layer] for part, now in zip(parts, changed, strict=True)]
            return torch.cat([*apply(layer, parts), rest], axis)

        return edit

    def apply(layer: str, before: Sequence[Tensor]) -> list[Tensor]:
        after = [_apply(row.get(layer), value, layer) for row, value in zip(rows, before, strict=True)]
        if inner:
            for now, old, new in zip(changed, before, after, strict=True):
                if new is not old and not torch.equal(old, new):
                    now.add(layer)
        return after

    values = [stack(layer, apply(layer, [clean[layer]] * len(rows))) for layer in roots]
    values += [stack(layer, [clean[layer]] * len(rows)) for layer in frontier]
    piece = graph.cut([*roots, *frontier], [target], edits={layer: edit_inside(layer) for layer in inner})
    with same_bits_in_every_row(piece):
        (output,) = piece(*values)
    axis, per_example = _place(graph, target)
    kept = output.narrow(axis, 0, len(rows) * batch * per_example)
    return torch.stack(kept.split(batch * per_example, axis))


def _place(graph: ModelGraph, layer: str) -> tuple[int, int]:
    """Axis of the examples, and rows per example."""
    place = batch_of(graph.node(layer))
    if place is None:
        raise InputError(f"{layer} does not depend on the input; there is nothing to edit or to read there")
    return place


@contextmanager
def same_bits_in_every_row(piece: Cut) -> Iterator[None]:
    """Let equal rows of a batch stay equal to the last bit while `piece` is computed inside.

    Fused attention of a single query (class tokens) gives each thread a scratch buffer of its own, and on some processors the sum depends
    on where that begins; attention written out does not. On others a product of matrices adds up in another order where a row of the first
    does not begin at a multiple of 16 bytes, which in rows of 25 numbers three of four do not: such rows are filled up with zeros.
    """
    nodes = [node for node in piece.module.graph.nodes if node.op == "call_function"]
    attends = (node for node in nodes if kind(node) == "scaled_dot_product_attention")
    multiplies = (node for node in nodes if kind(node) in ("linear", "addmm", "mm", "matmul"))
    with ExitStack() as inside:
        if any(node.args[0].meta["val"].shape[-2] == 1 for node in attends):
            inside.enter_context(sdpa_kernel(SDPBackend.MATH))
        if not all(map(_aligned, multiplies)):
            inside.enter_context(_AlignedRows())  # type: ignore[no-untyped-call]
        yield


def _aligned(node: fx.Node) -> bool:
    """Whether the rows of what is multiplied need not be filled up.

    They are known to begin at multiples of 16 bytes, or many matrices are multiplied at once. Of a cut's own inputs the size is not known.
    """
    factors: tuple[Any, ...] = node.args[1:3] if kind(node) == "addmm" else node.args[:2]
    first, second = (factor.meta.get("val") for factor in factors)
    if second is not None and second.dim() > 1:
        return bool(second.dim() > 2 or second.shape[-1 if kind(node) == "linear" else 0] % ALIGNED == 0)
    return bool(first is not None and first.shape[-1] % ALIGNED == 0)


class _AlignedRows(TorchDispatchMode):
    """Fills up the rows of what is multiplied with zeros, on a processor."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        aten = torch.ops.aten
        if func is aten.linear.default:  # in inference mode it comes here whole
            rows, weight, *bias = args
            args = (_filled(rows), _filled(weight), *bias)
        elif func in (aten.addmm.default, aten.mm.default, aten.matmul.default):
            *added, rows, columns = args
            if rows.dim() > 1 and columns.dim() == 2:
                args = (*added, _filled(rows), _filled(columns.t()).t())
        return func(*args, **(kwargs or {}))


def _filled(rows: Tensor) -> Tensor:
    """Return rows with zeros behind them, up to a multiple of 16 bytes."""
    missing = -rows.shape[-1] % ALIGNED
    return pad(rows, (0, missing)) if missing and rows.device.type == "cpu" else rows


def _apply(edit: Edit | None, activation: Tensor, layer: str) -> Tensor:
    if edit is None:
        return activation
    changed = edit(activation) if callable(edit) and not isinstance(edit, Tensor) else edit
    if not isinstance(changed, Tensor):
        raise InputError(f"the edit of {layer} returned {type(changed).__name__}, not a tensor")
    try:
        return changed.to(activation.dtype).expand_as(activation)
    except RuntimeError:
        raise InputError(
            f"the edit of {layer} has the shape {tuple(changed.shape)}, the activation {tuple(activation.shape)}"
        ) from None
