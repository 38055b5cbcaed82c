"""Where cells look, against the cells that a gradient says are read; and operations that move or mix cells are refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import workbench
from workbench.input_error import InputError
from workbench.models.cells import looks
from workbench.models.traced_model import TracedModel

SIDE = 41


class Between(nn.Module):
    """Two maps, and what is between them; all weights are positive, so that no connection cancels."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.first, self.body, self.last = nn.Conv2d(3, 4, 1), nn.Sequential(*parts), nn.Conv2d(4, 2, 1)
        for parameter in self.parameters():
            nn.init.constant_(parameter, 0.1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.body(self.first(x)))


class Does(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function, self.linear = function, nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class OneSided(nn.Module):
    """Two branches that do not look at the same middle, and parts of units that are put together again."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.pad, self.wide = nn.Conv2d(2, 2, (1, 2)), nn.ZeroPad2d((1, 0, 0, 0)), nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        one, other = x.chunk(2, 1)
        return torch.cat([self.left(self.pad(one)), self.wide(other)], 1).relu()


class Last(nn.Module):
    """A linear map of the units of every cell, units last."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def conv(kernel: int | tuple[int, int], **options: object) -> nn.Conv2d:
    return nn.Conv2d(4, 4, kernel, **options)


@pytest.mark.parametrize(
    "parts",
    [
        (conv(3, stride=2, padding=1), conv(5, stride=3)),
        (conv(3, padding="same", dilation=2), conv(4, stride=2, padding=1)),
        (conv(4, padding="same"), conv(4, padding="same")),
        (conv((1, 4), padding=(0, 2)), conv((5, 2), stride=(2, 1))),
        (nn.AvgPool2d(3, 2, ceil_mode=True), conv(3, padding=1)),
        (nn.MaxPool2d(2), nn.AvgPool2d(2, 2), conv(2)),
        (nn.ZeroPad2d((0, 1, 3, 1)), conv(3, stride=2)),
        (nn.ReflectionPad2d(1), conv(3)),
        (OneSided(), conv(3, stride=2)),
        (Last(), conv(3, padding=1), nn.GELU()),
    ],
)  # fmt: skip
def test_the_window_is_what_the_gradient_says_is_read(parts: tuple[nn.Module, ...]) -> None:
    module = Between(*parts).eval()
    model = TracedModel.from_module(module, torch.rand(2, 3, SIDE, SIDE))
    look = looks(model.graph, "last", "first")
    # of a maximum the gradient sees one cell only: that of a mean reads the same
    for part in module.body:
        if isinstance(part, nn.MaxPool2d):
            module.body = nn.Sequential(*(nn.AvgPool2d(2) if one is part else one for one in module.body))
    given = torch.rand(1, 4, SIDE, SIDE, requires_grad=True)
    out = module.last(module.body(given))
    cell = (out.shape[2] // 2, out.shape[3] // 2)
    out[0, 0, cell[0], cell[1]].backward()
    read = given.grad[0].abs().sum(0).nonzero()
    middle, window = look.at(cell), look.window()
    said = [(middle[axis] + window[0][axis], middle[axis] + window[-1][axis]) for axis in (0, 1)]
    assert said == list(zip(read.min(0).values.tolist(), read.max(0).values.tolist(), strict=True))
    assert look.size == (said[0][1] - said[0][0] + 1, said[1][1] - said[1][0] + 1)


def test_the_cells_of_a_dilated_maximum_are_apart() -> None:
    model = TracedModel.from_module(Between(nn.MaxPool2d(3, 1, dilation=2)).eval(), torch.rand(2, 3, 21, 21))
    look = looks(model.graph, "last", "first")
    assert look.size == (5, 5) and look.at((4, 4)) == (6, 6)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("flip", lambda x: x.flip(3)),
        ("roll", lambda x: torch.roll(x, (5,), (2,))),
        ("softmax", lambda x: x.softmax(-1)),
        ("matmul", lambda x: x @ x),
        ("cumsum", lambda x: x.cumsum(2)),
        ("exchanged", lambda x: x.transpose(2, 3)),
        ("conv_transpose2d", nn.ConvTranspose2d(4, 4, 3, padding=1)),
        ("linear", nn.Linear(21, 21)),
        ("reshape|view|transpose|flatten|mixes", lambda x: (x.flatten(2).transpose(1, 2) * 2).transpose(1, 2).reshape(x.shape)),
    ],
)  # fmt: skip
def test_what_moves_or_mixes_cells_is_refused(name: str, part: object) -> None:
    body = part if isinstance(part, nn.Module) else Does(part)  # type: ignore[arg-type]
    model = TracedModel.from_module(Between(body).eval(), torch.rand(2, 3, 21, 21))
    with pytest.raises(InputError, match=name):
        looks(model.graph, "last", "first")


def test_softmax_over_units_keeps_cells_apart() -> None:
    model = TracedModel.from_module(Between(Does(lambda x: x.softmax(1)), conv(3)).eval(), torch.rand(2, 3, 21, 21))
    assert looks(model.graph, "last", "first").size == (3, 3)


def test_cells_are_followed_through_units_that_stand_last() -> None:
    graph = workbench.load("bundled:convnext").graph
    look = looks(graph, "stages.1.blocks.1", "stages.1.blocks.0")
    assert (look.step, look.start, look.size) == ((1, 1), (0.0, 0.0), (7, 7))
    assert looks(graph, "stages.1.blocks.0", "stages.0.blocks.0").step == (2, 2)
