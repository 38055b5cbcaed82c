"""Shares against the network itself: they add up, at every place, whatever lies between."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import workbench
from workbench.input_error import InputError
from workbench.models.affine import affine_sources, layer_of
from workbench.models.preprocessing import Preprocessing
from workbench.models.shares import MovedKernels, Pushed, Shares, shares_at_centre, shares_of
from workbench.models.traced_model import TracedModel

BAR = 1e-5


class Residual(nn.Module):
    """A stem, a block with a stride and a kernel larger than its map, and a head that pools."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.wide = nn.Conv2d(6, 8, 7, stride=2, padding=3)
        self.bn = nn.BatchNorm2d(8)
        self.down = nn.Conv2d(6, 8, 1, stride=2)
        self.narrow = nn.Conv2d(8, 8, 3, padding=2, dilation=2)
        self.head = nn.Linear(8, 5)
        self.bn.running_mean.normal_()
        self.bn.running_var.uniform_(0.5, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        inner = torch.relu(self.bn(self.wide(x)))
        x = torch.relu(self.narrow(inner) + self.down(x))
        return self.head(x.mean((2, 3)))


@pytest.fixture(scope="module")
def model() -> TracedModel:
    return TracedModel.from_module(Residual().eval(), torch.randn(2, 3, 10, 10), preprocessing=Preprocessing((10, 10)))


def check(model: TracedModel, target: str) -> list[Shares]:
    """What all sources add is the pre-activation but for what is the same on every image: the bias."""
    layer = layer_of(model.graph, model.graph.node(target))
    names = affine_sources(model.graph, layer.name)
    side = model.preprocessing.size[0]
    x = torch.randn(5, 3, side, side, generator=torch.Generator().manual_seed(1))
    shares = shares_of(model, names, layer, x)
    with torch.no_grad():
        clean = model.activations(x, [*names, layer.name])
        actual = layer.arrange(clean[layer.name])
        rest = actual.clone()
        places = torch.stack([torch.randperm(max(1, actual[0, 0].numel()))[:3] for _ in range(5)])
        units = [0, layer.units - 1]
        for one in shares:
            values = one.source.arrange(clean[one.source.name])
            added = one.added(values, torch.ones(layer.units, one.source.units, dtype=torch.bool))
            rest -= added
            single = torch.cat([part for _, part in one.at(values, places, units)])
            flat = added.reshape(*added.shape[:2], -1)[:, units]
            wanted = flat.gather(2, places[:, None].expand(-1, 2, -1)).permute(0, 2, 1).flatten(0, 1)
            assert (single.sum(0) - wanted).abs().max() <= BAR * actual.abs().max()
    assert (rest - rest[:1]).abs().max() <= BAR * actual.abs().max()
    return shares


@pytest.mark.parametrize("target", ["stem", "bn", "add", "head"])
def test_residual_branches_sum_to_the_pre_activation(model: TracedModel, target: str) -> None:
    name = next(name for name, layer in model.layers.items() if layer.kind == "add") if target == "add" else target
    shares = check(model, name)
    assert all(isinstance(one, MovedKernels) for one in shares)
    assert len(shares) == (2 if target == "add" else 1)


def test_a_unit_alone_adds_what_the_network_loses_without_it(model: TracedModel) -> None:
    layer = model.layer("bn")
    (name,) = affine_sources(model.graph, "bn")
    x = torch.randn(3, 3, 10, 10)
    (shares,) = shares_of(model, [name], layer, x)
    with torch.no_grad():
        values = model.activations(x, [name])[name]
        without = values.clone()
        without[:, 4] = 0
        lost = model.activations(x, ["bn"])["bn"] - model.edited(x, {name: without}, target="bn")
        chosen = torch.zeros(8, 6, dtype=torch.bool)
        chosen[:, 4] = True
        assert torch.allclose(shares.added(values, chosen), lost, atol=BAR * float(lost.abs().max()))
    assert shares.strength().shape == (8, 6)


def test_patches_that_become_tokens_are_pushed_through_and_heads_are_kernels() -> None:
    model = workbench.load("bundled:planted/residual_sum_net")
    shares = check(model, "blocks.0")
    assert [type(one) for one in shares] == [Pushed, MovedKernels, MovedKernels]
    assert shares[1].source.name == "blocks.0.attn:scaled_dot_product_attention" and shares[0].source.name == "input"
    assert torch.isfinite(shares[0].strength()).all()


def test_what_is_no_sum_is_refused(model: TracedModel) -> None:
    with pytest.raises(InputError, match="no sum over input"):
        shares_of(model, ["input"], model.layer("bn"), torch.randn(2, 3, 10, 10))


def test_a_source_farther_away_is_read_at_the_centre(model: TracedModel) -> None:
    x = torch.randn(6, 3, 10, 10)
    stem, head = model.layer("stem"), model.layer("head")
    shares = shares_at_centre(model, stem, head, [(x,)], lambda: None)
    with torch.no_grad():
        values = model.activations(x, ["stem"])["stem"]
        everything = torch.ones(5, 6, dtype=torch.bool)
        added = shares.added(values, everything)
        doubled = shares.added(2 * values, everything)
    assert added.shape == (6, 5) and torch.allclose(doubled, 2 * added, atol=1e-5)
