"""Offset and scale of a kernel written by hand: whoever writes a kernel says where it points, not how large it is.

Least squares against what the unit gives behind its non-linearity: before it, most of what a sparse detector does is to be negative, which
nothing downstream sees. The search begins at the two straight lines of least squares, against the sum before the non-linearity and against
what is behind it. A kernel of zeros gets the mean of the unit by that, which is mean ablation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

STEPS = 20
"""Of Levenberg and Marquardt's method; it is at rest after about ten."""
Gate = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Fit:
    """What a kernel is multiplied with, and what is added.

    Attributes
    ----------
    r2
        1 - SSE / SST of the unit's output on what it was fitted to; NaN where that does not vary.
    """

    scale: float
    offset: float
    r2: float


def fit(
    written: Float[Tensor, " sample"],
    before: Float[Tensor, " sample"],
    behind: Float[Tensor, " sample"],
    gate: Gate,
    shifts: bool = True,
) -> Fit:
    """Return the scale and the offset under which a kernel does most nearly what the unit does.

    Parameters
    ----------
    written
        What the kernel gives.
    before, behind
        What the unit gives, before and behind its non-linearity.
    gate
        The non-linearity.
    shifts
        Whether there may be an offset.
    """
    k, p, y = written.double(), before.double(), behind.double()
    columns = torch.stack([k, torch.ones_like(k)], 1) if shifts else k[:, None]
    best: tuple[float, Tensor] | None = None
    for wanted in (p, y):
        at = _improved(columns, y, _line(columns, wanted), gate)
        error = float((gate(columns @ at) - y).square().sum())
        if best is None or error < best[0]:
            best = error, at
    assert best is not None
    total = float((y - y.mean()).square().sum())
    scale, offset = float(best[1][0]), float(best[1][1]) if shifts else 0.0
    return Fit(scale, offset, 1 - best[0] / total if total > 0 else float("nan"))


def _line(columns: Tensor, wanted: Tensor) -> Tensor:
    """Return the straight line of least squares; what does not vary has slope 0."""
    spread = columns[:, 0].std(correction=0)
    if float(spread) < 1e-12:
        constant = columns[:, 0].mean()
        if columns.shape[1] > 1:
            return torch.stack([torch.ones_like(constant), wanted.mean() - constant])
        return torch.ones(1, dtype=columns.dtype)
    solved: Tensor = torch.linalg.lstsq(columns, wanted[:, None]).solution[:, 0]
    return solved


def _improved(columns: Tensor, wanted: Tensor, at: Tensor, gate: Gate) -> Tensor:
    """Go on from a start until no step is better."""
    damping, error = 1e-3, float("inf")
    for _ in range(STEPS):
        with torch.enable_grad():
            inside = (columns @ at).requires_grad_()
            given = gate(inside)
            (slope,) = torch.autograd.grad(given.sum(), inside)
        left = given.detach() - wanted
        error = float(left.square().sum())
        jacobian = columns * slope[:, None]
        square, gradient = jacobian.T @ jacobian, jacobian.T @ left
        diagonal = square.diagonal().clamp_min(1e-12)
        for _ in range(6):
            step = torch.linalg.solve(square + damping * torch.diag(diagonal), gradient)
            new = at - step
            better = float((gate(columns @ new) - wanted).square().sum())
            if better < error:
                break
            damping *= 10
        else:
            return at
        at, damping = new, damping / 10
        if error - better < 1e-10 * max(error, 1e-12):
            break
    return at
