"""Expanded weights: the gradient of a unit, at one position, with respect to an earlier layer, every gate in between held still.

Olah et al., "Visualizing Weights" (Distill 2021). The gates are those of a clean run, averaged over images (`MeanGates`), or left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.models.layer import Layer
from workbench.models.linearise import LinearCut


@dataclass(frozen=True, eq=False)
class MeanGates:
    """The frozen values of a linearised cut, averaged over images.

    Attributes
    ----------
    values
        Each for one example.
    axes
        Along which axis of each the examples lie; None where they have none.
    """

    values: tuple[Tensor, ...]
    axes: tuple[int | None, ...]

    def of(self, examples: int) -> tuple[Tensor, ...]:
        """Return them for so many examples, all alike."""
        return tuple(
            value if axis is None else value.repeat(*(examples if a == axis else 1 for a in range(value.dim())))
            for value, axis in zip(self.values, self.axes, strict=True)
        )


def mean_gates(cut: LinearCut, batches: Iterable[tuple[Tensor, ...]]) -> MeanGates:
    """Average the gates over batches of the network's inputs.

    Raises
    ------
    ValueError
        When there is no batch.
    """
    total: list[Tensor] = []
    axes: list[int | None] = []
    images = 0
    for inputs in batches:
        number = len(inputs[0])
        frozen = cut.freeze(cut.clean_run(*inputs))
        if not total:
            one, two = (cut.freeze(cut.clean_run(*(value[:1].repeat_interleave(n, 0) for value in inputs))) for n in (1, 2))
            axes = [_example_axis(single, double) for single, double in zip(one, two, strict=True)]
            total = [torch.zeros_like(value, dtype=torch.float64) for value in one]
        for place, (value, axis) in enumerate(zip(frozen, axes, strict=True)):
            each = value.double()
            total[place] += number * each if axis is None else each.unflatten(axis, (number, -1)).sum(axis)
        images += number
    if not images:
        raise ValueError("gates are averaged over at least one image")
    return MeanGates(tuple((value / images).float() for value in total), tuple(axes))


def _example_axis(one: Tensor, two: Tensor) -> int | None:
    """Return the axis along which examples lie, from the value for one example and that for two."""
    return next((axis for axis, (single, double) in enumerate(zip(one.shape, two.shape, strict=True)) if single != double), None)


@dataclass(frozen=True, eq=False)
class Window:
    """Kernels cut to where they are not zero.

    Attributes
    ----------
    kernels
        ``unit source *position``.
    start
        Where in the source the window begins, along each of its position's axes.
    """

    kernels: Float[Tensor, "unit source *position"]
    start: tuple[int, ...]

    @classmethod
    def of(cls, kernels: Tensor) -> Window:
        """Cut whole kernels; where all are zero one position is left."""
        start, parts = [], []
        for axis in range(2, kernels.dim()):
            others = [a for a in range(kernels.dim()) if a != axis]
            there = (kernels != 0).sum(others).nonzero().flatten()
            first, last = (int(there[0]), int(there[-1])) if len(there) else (kernels.shape[axis] // 2,) * 2
            start.append(first)
            parts.append(slice(first, last + 1))
        return cls(kernels[(slice(None), slice(None), *parts)].clone(), tuple(start))


def joined(windows: Sequence[Window]) -> Window:
    """Put the kernels of several units under one another, in the smallest window that holds all."""
    axes = len(windows[0].start)
    start = tuple(min(window.start[a] for window in windows) for a in range(axes))
    stop = tuple(max(window.start[a] + window.kernels.shape[2 + a] for window in windows) for a in range(axes))
    first = windows[0].kernels
    whole = first.new_zeros(
        sum(len(window.kernels) for window in windows), first.shape[1], *(b - a for a, b in zip(start, stop, strict=True))
    )
    row = 0
    for window in windows:
        rows: list[slice] = [slice(row, row + len(window.kernels)), slice(None)]
        for at, low, size in zip(window.start, start, window.kernels.shape[2:], strict=True):
            rows.append(slice(at - low, at - low + size))
        whole[tuple(rows)] = window.kernels
        row += len(window.kernels)
    return Window(whole, start)


def kernels_of(
    cut: LinearCut,
    gates: MeanGates,
    values: Sequence[Tensor],
    sources: Sequence[Layer],
    target: Layer,
    units: Sequence[int],
    position: Sequence[int],
) -> Float[Tensor, "unit source *position"]:
    """Return the gradients of some units of the cut's target, at one position, with respect to its first source.

    Parameters
    ----------
    values
        Of each source of the cut, for one example; an affine function's gradient does not depend on that of the first.
    sources, target
        The layers of the cut's sources and of its target.
    """
    many = [several(value.detach(), layer, len(units)) for value, layer in zip(values, sources, strict=True)]
    moving = many[0].requires_grad_()
    with torch.enable_grad():
        reached = target.arrange(cut(many, gates.of(len(units)))[0])
        each = torch.stack([reached[(row, unit, *position)] for row, unit in enumerate(units)])
        (gradient,) = torch.autograd.grad(each.sum(), moving)
    arranged: Tensor = sources[0].arrange(gradient)
    return arranged


def several(value: Tensor, layer: Layer, examples: int) -> Tensor:
    """Return an activation for one example as one for so many, all alike."""
    return value.repeat(*(examples if axis == layer.batch_axis else 1 for axis in range(value.dim())))
