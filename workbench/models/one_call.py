"""A piece of a network as one call, for answers that are given while somebody draws.

Between the operations of a piece runs Python, which the thread of the window wants at the same moment: of a small network that is most of
the time. Recorded once for inputs of one shape, the same operations run one after the other without it; the numbers are the same to the
last bit, since nothing is folded or fused.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from workbench.models.graph import Cut


def one_call(piece: Cut, inputs: tuple[Tensor, ...]) -> Callable[..., tuple[Any, ...]]:
    """Return what computes a piece for inputs of these shapes; the piece itself where its operations cannot be recorded.

    Parameters
    ----------
    inputs
        An example, all that the piece reads.
    """
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # torch would rather have whole programs compiled, which takes a compiler and half a minute
        try:
            recorded: Callable[..., tuple[Any, ...]] = torch.jit.trace(piece.module, inputs, check_trace=False)
        except RuntimeError:  # what torch raises for an operation that it has no record of
            return piece
    return recorded
