"""A cropped cut computes what the whole one does at that place, from less."""

from __future__ import annotations

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from workbench.models.crop import Window, crop
from workbench.models.preprocessing import Preprocessing
from workbench.models.traced_model import TracedModel

SIDE = 20


class Pooled(nn.Module):
    """Everything that a rule is known of, and a mean over the map, of which none is."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.pool = nn.MaxPool2d(3, 2, padding=seed % 2)
        self.one, self.two = nn.Conv2d(4, 3, 3, padding="same"), nn.Conv2d(4, 5, 3, padding=2, dilation=2, groups=1)
        self.norm, self.mix = nn.LayerNorm(8), nn.Linear(8, 8)
        self.gate = nn.Conv2d(8, 8, 1)
        self.last = nn.Conv2d(8, 6, 3, stride=2, padding=1, groups=2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(torch.relu(self.stem(x)))
        x = torch.cat([self.one(x), self.two(x)], 1)
        x = x + self.mix(self.norm(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        x = x * torch.sigmoid(self.gate(x.mean((2, 3), keepdim=True)))
        return self.last(torch.nn.functional.gelu(x))


class Mixer(nn.Module):
    """Tokens, mixed across positions by a linear layer of their own and added to what they were."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.embed, self.tokens = nn.Conv2d(3, 6, 5, stride=5), nn.Linear(16, 16)
        self.norm, self.read = nn.LayerNorm(6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2)
        return self.read(self.norm(x + self.tokens(x.transpose(1, 2)).transpose(1, 2)))


def traced(module: nn.Module, side: int = SIDE) -> TracedModel:
    return TracedModel.from_module(module.eval(), torch.randn(2, 3, side, side), preprocessing=Preprocessing((side, side)))


def check(model: TracedModel, source: str, target: str, place: tuple[float, float]) -> tuple[Window, Window]:
    """Compare at a place (0 to 1 along each axis), and return what is seen of the source and all of it."""
    cut = model.graph.linearise([source], [target])
    x = torch.randn(1, 3, *model.preprocessing.size)
    clean = model.activations(x, [source])[source]
    with torch.no_grad():
        frozen = cut.freeze(cut.clean_run(x))
    (whole,) = cut([clean], frozen)
    at = [int(share * (size - 1)) for share, size in zip(place, whole.shape[2:], strict=True)]
    wanted = ((0, 1), (0, whole.shape[1]), (at[0], at[0] + 1), (at[1], at[1] + 1))
    cropped = crop(cut, [clean, *frozen], wanted)
    seen = cropped.of([clean, *frozen])
    with torch.no_grad():
        found = cropped(seen)
    torch.testing.assert_close(found, whole[:, :, at[0] : at[0] + 1, at[1] : at[1] + 1], rtol=1e-4, atol=1e-5)

    moving = clean.detach().requires_grad_()
    (full,) = torch.autograd.grad(cut([moving], frozen)[0][0, 1, at[0], at[1]], moving)
    part = seen[0].detach().requires_grad_()
    (less,) = torch.autograd.grad(cropped([part, *seen[1:]])[0, 1, 0, 0], part)
    window = tuple(slice(low, high) for low, high in cropped.windows[0])
    torch.testing.assert_close(less, full[window], rtol=1e-4, atol=1e-6)
    outside = full.clone()
    outside[window] = 0
    assert not outside.any()
    return cropped.windows[0], tuple((0, size) for size in clean.shape)


@settings(max_examples=4)
@given(st.integers(0, 9), st.sampled_from([0.0, 0.3, 0.5, 1.0]), st.sampled_from([0.0, 0.5, 1.0]))
def test_a_crop_is_the_whole_at_that_place(seed: int, y: float, x: float) -> None:
    check(traced(Pooled(seed)), "stem", "last", (y, x))


@pytest.mark.parametrize(
    "name, source, target",
    [
        ("resnet10t", "layer1", "layer2.0.conv2"),
        ("resnet10t", "conv1", "layer2.0.conv1"),
        ("convnext_atto", "stages.0", "stages.1.blocks.0.conv_dw"),
        ("convnext_atto", "stages.1.blocks.0.conv_dw", "stages.1.blocks.1.conv_dw"),
    ],
)
def test_of_libraries_networks_only_a_window_is_seen(name: str, source: str, target: str) -> None:
    torch.manual_seed(0)
    seen, whole = check(traced(timm.create_model(name), 96), source, target, (0.5, 0.5))
    assert all(high - low <= (last - first) * 0.75 for (low, high), (first, last) in zip(seen[2:], whole[2:], strict=True))


def test_a_place_that_reads_the_mean_of_the_map_sees_all_of_it() -> None:
    seen, whole = check(traced(Pooled(0)), "stem", "last", (0.5, 0.5))
    assert seen != whole  # the factor that reads the mean is frozen
    model = traced(timm.create_model("resnet10t").eval(), 96)
    cut = model.graph.linearise(["layer3"], ["fc"])
    x = torch.randn(1, 3, 96, 96)
    clean = model.activations(x, ["layer3"])["layer3"]
    with torch.no_grad():
        frozen = cut.freeze(cut.clean_run(x))
    assert crop(cut, [clean, *frozen], ((0, 1), (0, 1000))).windows[0] == tuple((0, size) for size in clean.shape)


def test_what_mixes_positions_is_computed_whole() -> None:
    model = traced(Mixer())
    cut = model.graph.linearise(["embed"], ["read"])
    x = torch.randn(1, 3, SIDE, SIDE)
    clean = model.activations(x, ["embed"])["embed"]
    with torch.no_grad():
        frozen = cut.freeze(cut.clean_run(x))
        (whole,) = cut([clean], frozen)
        for token in (0, 7, 15):
            cropped = crop(cut, [clean, *frozen], ((0, 1), (token, token + 1), (0, 4)))
            torch.testing.assert_close(cropped(cropped.of([clean, *frozen])), whole[:, token : token + 1], rtol=1e-4, atol=1e-5)
