"""Edits as rows of one batch: equal rows stay equal to the last bit, whatever is multiplied."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from workbench.models.traced_model import TracedModel


class Products(nn.Module):
    """A linear layer and a product with a matrix; rows of them begin anywhere in memory when they are no multiple of 16 bytes."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        torch.manual_seed(width)
        self.conv, self.relu = nn.Conv2d(3, width, 3, padding=1), nn.ReLU()
        self.head = nn.Linear(width, outputs)
        self.further = nn.Parameter(torch.randn(outputs, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.relu(self.conv(x)).mean((2, 3))) @ self.further


@pytest.mark.parametrize("width", [5, 24, 25, 26, 31, 37, 101])
@pytest.mark.parametrize("mode", [nullcontext, torch.no_grad, torch.inference_mode])
def test_equal_rows_are_equal_to_the_last_bit(width: int, mode: type) -> None:
    module = Products(width, 5).eval()
    model = TracedModel.from_module(module, torch.rand(2, 3, 8, 8))
    x = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with mode():
        found = model.edited(x, [{}, {"relu": lambda value: value}, {"conv": lambda value: value}, {"relu": torch.relu}, {}])
        alone = module(x)
    assert (found == found[:1]).all()
    torch.testing.assert_close(found[0], alone)


class OtherBitsInLargerBatches(TorchDispatchMode):
    """A processor on which a convolution of many examples adds up in another order, far enough to be seen in every number."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        return found * (1 + 1e-3) if "conv" in str(func) and len(found) > 4 else found


def test_a_layer_put_back_behind_another_changes_no_bit() -> None:
    """What was read in a small batch is what a row of a large one has where nothing before it is changed."""
    model = TracedModel.from_module(Products(8, 5).eval(), torch.rand(2, 3, 8, 8))
    x = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    same = {"input": lambda value: value.clone()}
    with OtherBitsInLargerBatches(), torch.inference_mode():
        kept = model.activations(x, ["conv"])["conv"]
        plain, back, behind, moved, other = model.edited(
            x, [{}, {"conv": kept}, same | {"conv": kept}, {"input": torch.roll(x, 1, 3)}, {"conv": 2 * kept}]
        )
        doubled = model.edited(x, {"conv": 2 * kept})
    assert torch.equal(plain, back) and torch.equal(plain, behind)
    torch.testing.assert_close(other, doubled)
    assert not torch.allclose(moved, plain)
