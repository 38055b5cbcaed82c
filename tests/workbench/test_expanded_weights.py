"""Expanded weights against impulses through random linear networks, and on networks whose weights are known."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import workbench
from workbench.analyses.expanded_weights import ExpandedWeights, alike
from workbench.images.array_set import ArraySet
from workbench.input_error import InputError
from workbench.models.layer import Unit
from workbench.models.preprocessing import Preprocessing
from workbench.models.traced_model import TracedModel

SIDE = 12


def noise(number: int = 6, side: int = SIDE) -> ArraySet:
    return ArraySet(np.random.default_rng(0).integers(0, 256, (number, side, side, 3), np.uint8))


class Linear(nn.Module):
    """Convolutions without anything between them: grouped, strided, dilated, with a residual sum or a concatenation."""

    def __init__(self, groups: int, stride: int, dilation: int, shape: str, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.shape = shape
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, padding=dilation, dilation=dilation, groups=groups)
        self.norm = nn.BatchNorm2d(4)
        self.side = nn.Conv2d(4, 4, 1)
        self.last = nn.Conv2d(8 if shape == "cat" else 4, 5, 3, stride=stride, padding=1)
        for values in (self.norm.weight, self.norm.bias, self.norm.running_mean):
            nn.init.normal_(values)
        self.norm.running_var.uniform_(0.5, 2)

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x)
        second = self.norm(self.second(first))
        if self.shape == "residual":
            second = second + first
        elif self.shape == "cat":
            second = torch.cat([second, self.side(first)], 1)
        return self.last(second)


def traced(module: nn.Module, side: int = SIDE) -> TracedModel:
    return TracedModel.from_module(module.eval(), torch.randn(2, 3, side, side), preprocessing=Preprocessing((side, side)))


@settings(max_examples=5)
@given(
    groups=st.sampled_from([1, 2, 4]),
    stride=st.sampled_from([1, 2]),
    dilation=st.sampled_from([1, 2]),
    shape=st.sampled_from(["plain", "residual", "cat"]),
    seed=st.integers(0, 99),
)
def test_in_a_linear_network_they_are_what_an_impulse_does(groups: int, stride: int, dilation: int, shape: str, seed: int) -> None:
    module = Linear(groups, stride, dilation, shape, seed)
    model = traced(module)
    result = ExpandedWeights(source="first", target="last", images=4).run(model, noise())
    kernels, start = result.arrays["kernels"], result.summary["window_start"]
    np.testing.assert_allclose(result.arrays["r2"], 1, atol=1e-5)

    first = torch.randn(1, 4, SIDE, SIDE, dtype=torch.float64)
    doubled = module.double()

    def last(value: Tensor) -> Tensor:
        handle = doubled.first.register_forward_hook(lambda *_: value)
        try:
            return doubled(torch.zeros(1, 3, SIDE, SIDE, dtype=torch.float64))
        finally:
            handle.remove()

    with torch.no_grad():
        before = last(first)
        centre = [size // 2 for size in before.shape[2:]]
        expected = np.zeros(kernels.shape)
        for unit, y, x in np.ndindex(*kernels.shape[1:]):
            hit = first.clone()
            hit[0, unit, start[0] + y, start[1] + x] += 1
            expected[:, unit, y, x] = (last(hit) - before)[0, :, centre[0], centre[1]]
    assert np.abs(kernels - expected).max() <= 1e-5 * np.abs(expected).max()
    np.testing.assert_allclose(result.arrays["sum"], expected.sum((2, 3)), atol=1e-4)
    np.testing.assert_allclose(result.arrays["norm"], np.sqrt((expected**2).sum((2, 3))), rtol=1e-4)
    np.testing.assert_allclose(result.arrays["positive"] + result.arrays["negative"], result.arrays["sum"], atol=1e-5)


class Residual(nn.Module):
    """A stream that a block with a non-linearity adds to, then a layer that reads it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.stem = nn.Conv2d(3, 4, 1)
        self.up = nn.Conv2d(4, 6, 1)
        self.down = nn.Conv2d(6, 4, 1)
        self.read = nn.Conv2d(4, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        stem = self.stem(x)
        return self.read(stem + self.down(torch.relu(self.up(stem))))


def test_direct_and_indirect_paths_stand_apart_and_add_up() -> None:
    module = Residual()
    model, images = traced(module), noise()
    paths = ("all", "direct", "indirect")
    found = {path: ExpandedWeights(source="stem", target="read", path=path, images=6).run(model, images) for path in paths}
    read, up, down = (getattr(module, name).weight.detach()[:, :, 0, 0] for name in ("read", "up", "down"))
    direct = found["direct"].arrays["kernels"][:, :, 0, 0]
    np.testing.assert_allclose(direct, read, atol=1e-6)
    total = found["all"].arrays["kernels"][:, :, 0, 0]
    with torch.no_grad():  # the gate: how often each hidden unit is open at the centre, on the images
        pixels = torch.from_numpy(np.stack([images.image(i, (SIDE, SIDE)) for i in range(6)])).permute(0, 3, 1, 2).float() / 127.5 - 1
        gate = (module.up(module.stem(pixels)) > 0).float().mean(0)[:, SIDE // 2, SIDE // 2]
    expected = read + read @ down @ torch.diag(gate) @ up
    np.testing.assert_allclose(total, expected.numpy(), atol=1e-5)
    np.testing.assert_allclose(found["indirect"].arrays["kernels"][:, :, 0, 0], (expected - read).numpy(), atol=1e-5)
    linear = ExpandedWeights(source="stem", target="read", gate="linear", images=6).run(model, images)
    np.testing.assert_allclose(linear.arrays["kernels"][:, :, 0, 0], (read + read @ down @ up).numpy(), atol=1e-5)


def test_without_a_direct_path_that_is_said_and_all_of_it_is_indirect() -> None:
    model, images = traced(Residual()), noise()
    with pytest.raises(InputError, match="no direct path"):
        ExpandedWeights(source="up", target="read", path="direct", images=4).run(model, images)
    whole, indirect = (ExpandedWeights(source="up", target="read", path=path, images=4).run(model, images) for path in ("all", "indirect"))
    np.testing.assert_array_equal(whole.arrays["kernels"], indirect.arrays["kernels"])


class Stream(nn.Module):
    """Tokens whose stream a block adds to, read behind a LayerNorm."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.embed = nn.Conv2d(3, 6, 4, stride=4)
        self.up, self.down = nn.Linear(6, 9), nn.Linear(9, 6)
        self.norm, self.read = nn.LayerNorm(6), nn.Linear(6, 5)
        nn.init.normal_(self.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        stream = self.embed(x).flatten(2).transpose(1, 2)
        wrote = torch.relu(self.up(stream))
        return self.read(self.norm(stream + self.down(wrote)))


def test_the_direct_way_along_the_stream_passes_a_layer_norm_and_is_read_in_the_middle_of_the_image() -> None:
    module = Stream()
    model, images = traced(module), noise()
    wrote = next(name for name, layer in model.layers.items() if layer.units == 9 and layer.role == "post")
    result = ExpandedWeights(source=wrote, target="read", path="direct", images=6).run(model, images)
    kernels = result.arrays["kernels"]
    assert kernels.shape == (5, 9, 1) and result.summary["window_start"] == [4], "the middle one of 3 x 3 patches"
    with torch.no_grad():
        pixels = torch.from_numpy(np.stack([images.image(i, (SIDE, SIDE)) for i in range(6)])).permute(0, 3, 1, 2).float() / 127.5 - 1
        stream = module.embed(pixels).flatten(2).transpose(1, 2)
        summed = stream + module.down(torch.relu(module.up(stream)))
        gain = (summed.var(2, unbiased=False) + 1e-5).rsqrt().mean(0)[4]
        centred = torch.eye(6) - 1 / 6
        expected = module.read.weight @ torch.diag(module.norm.weight) @ centred @ module.down.weight * gain
    np.testing.assert_allclose(kernels[:, :, 0], expected.numpy(), atol=1e-5)


class Branches(nn.Module):
    """Two branches of different reach behind non-linearities, set side by side; one source unit is dead."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.stem = nn.Conv2d(3, 3, 1)
        self.small, self.large = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 2, 5, padding=2)
        with torch.no_grad():
            self.stem.weight[2] = 0
            self.stem.bias[2] = -1

    def forward(self, x: Tensor) -> Tensor:
        stem = torch.relu(self.stem(x))
        return torch.cat([torch.relu(self.small(stem)), torch.relu(self.large(stem))], 1)


def test_units_of_a_concatenation_are_those_of_their_branches_and_a_dead_source_is_named() -> None:
    module = Branches()
    model = traced(module)
    stem = next(name for name, layer in model.layers.items() if layer.role == "post" and layer.units == 3)
    result = ExpandedWeights(source=stem, target=model.graph.output, units=(3, 0), images=6).run(model, noise())
    kernels = result.arrays["kernels"]
    assert kernels.shape == (2, 3, 5, 5) and set(result.summary["pre"]) == {"small", "large"}
    np.testing.assert_allclose(kernels[0], module.large.weight.detach()[1], atol=1e-6)
    np.testing.assert_allclose(kernels[1, :, 2, 2], module.small.weight.detach()[0, :, 0, 0], atol=1e-6)
    assert np.count_nonzero(kernels[1].sum(0)) == 1
    assert result.summary["dead_sources"] == {"units": 1, "first": [2]}
    assert np.isnan(result.arrays["contribution"][:, 2]).all() and np.isfinite(result.arrays["contribution"][:, :2]).all()
    np.testing.assert_allclose(result.arrays["r2"], 1, atol=1e-5)
    assert [entry["unit"] for entry in result.summary["strongest"][0]["inputs"]] != [] and all(
        entry["unit"] != 2 for entry in result.summary["strongest"][0]["inputs"]
    )


class Bottleneck(nn.Module):
    """A branch of two layers beside one of one."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(6)
        self.stem = nn.Conv2d(3, 4, 1)
        self.narrow, self.large, self.small = nn.Conv2d(4, 3, 1), nn.Conv2d(3, 2, 3, padding=1), nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        stem = torch.relu(self.stem(x))
        return torch.cat([torch.relu(self.small(stem)), torch.relu(self.large(torch.relu(self.narrow(stem))))], 1)


def test_branches_that_the_source_does_not_reach_have_no_weights_and_are_told() -> None:
    module = Bottleneck()
    model = traced(module)
    output = model.graph.output
    narrow = next(name for name, layer in model.layers.items() if layer.role == "post" and layer.units == 3)
    for path in ("all", "direct"):
        result = ExpandedWeights(source=narrow, target=output, path=path, images=4).run(model, noise())
        np.testing.assert_allclose(result.arrays["kernels"][2:], module.large.weight.detach(), atol=1e-6)
        assert not result.arrays["kernels"][:2].any() and np.isnan(result.arrays["r2"][:2]).all()
        assert result.summary["r2_unknown"] == {"units": 2, "first": [0, 1]} and result.summary["r2_below"]["units"] == 0
    stem = next(name for name, layer in model.layers.items() if layer.role == "post" and layer.units == 4)
    direct = ExpandedWeights(source=stem, target=output, path="direct", images=4).run(model, noise()).arrays["norm"]
    assert direct[:2].min() > 0 and not direct[2:].any(), "the branch of one layer has a direct way, the other none"
    last = next(name for name, layer in model.layers.items() if layer.role == "post" and layer.units == 2)
    with pytest.raises(InputError, match="is a part of"):
        ExpandedWeights(source=last, target=output, images=4).run(model, noise())


def test_a_unit_whose_linear_path_cancels_is_flagged() -> None:
    model = workbench.load("bundled:planted/cancelling_path_net")
    circuit = model.circuit
    assert circuit is not None
    cancelling = {Unit.parse(address).index for address in circuit.facts["cancelling"]}
    result = ExpandedWeights(source="features", target="sums", images=64).run(model, workbench.load_images("emoji"))
    assert set(result.summary["r2_below"]["first"]) == cancelling and result.summary["r2_below"]["units"] == len(cancelling)
    fits = result.arrays["r2"]
    linear = [unit for unit in range(len(fits)) if unit not in cancelling]
    assert fits[linear].min() > 0.999 and fits[sorted(cancelling)].max() < 0.5
    assert np.abs(result.arrays["sum"][np.ix_(linear, linear)] - np.eye(len(linear))).max() < 1e-5


@pytest.mark.parametrize("name", [f"timm:test_{kind}?pretrained=false" for kind in ("vit", "convnext", "resnet")])
def test_other_kinds_of_networks_have_them_too(name: str, tmp_path: Any) -> None:
    model = workbench.load(name)
    post = [layer for layer in model.layers.values() if layer.role == "pre"]
    source, target = post[0], post[-1]
    images = ArraySet(np.random.default_rng(1).integers(0, 256, (3, 40, 40, 3), np.uint8))
    result = ExpandedWeights(source=source.name, target=target.name, units=(0, 1), images=3).run(model, images)
    assert result.arrays["norm"].shape == (2, source.units) and np.isfinite(result.arrays["norm"]).all() and result.arrays["norm"].max() > 0
    assert {path.suffix for path in (result.save(tmp_path / "out") / "figures").iterdir()} == {".png", ".pdf"}


def test_units_with_like_weights_stand_together() -> None:
    first, second = np.array([1.0, 0, 0, 1]), np.array([0, 1.0, -1, 0])
    rows = np.stack([first, second, 3 * first, np.zeros(4), 0.5 * second + 0.01])
    order = alike(rows).tolist()
    assert order[-1] == 3, "what has no weights comes last"
    assert {tuple(sorted(order[:2])), tuple(sorted(order[2:4]))} == {(0, 2), (1, 4)}


def test_what_does_not_fit_is_said() -> None:
    model = traced(Residual())
    with pytest.raises(InputError, match="read does not feed stem; choose a source before it"):
        ExpandedWeights(source="read", target="stem").run(model, noise())
    with pytest.raises(InputError, match="read has units 0 to 4, not 7"):
        ExpandedWeights(source="stem", target="read", units=(7,)).run(model, noise())


def test_kernels_are_given_back_by_factors_that_group_the_sources() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(OrderedDict(first=nn.Conv2d(3, 12, 3, padding=1), last=nn.Conv2d(12, 7, 3, padding=1)))
    patterns, group = torch.randn(7, 2, 3, 3), torch.arange(12) % 2
    with torch.no_grad():
        module.last.weight.copy_(patterns[:, group] * (1 + torch.rand(12))[None, :, None, None])
    result = ExpandedWeights(source="first", target="last", factors=2, images=4).run(traced(module), noise())
    sources, kernels = result.arrays["factor_sources"], result.arrays["factor_kernels"]
    assert result.summary["factors_explain"] > 0.999
    assert set(sources.argmax(1)[::2]) != set(sources.argmax(1)[1::2]) and len(set(sources.argmax(1)[::2])) == 1
    np.testing.assert_allclose(np.einsum("sf,tfyx->tsyx", sources, kernels), result.arrays["kernels"], atol=0.02)


def test_a_unit_whose_weights_are_no_numbers_spoils_no_other() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(OrderedDict(first=nn.Conv2d(3, 6, 3, padding=1), last=nn.Conv2d(6, 5, 3, padding=1)))
    plain = ExpandedWeights(source="first", target="last", images=4).run(traced(module), noise())
    with torch.no_grad():
        module.last.weight[2] = torch.nan
    model = TracedModel.from_module(module.eval(), torch.randn(2, 3, SIDE, SIDE), preprocessing=Preprocessing((SIDE, SIDE)))
    broken = ExpandedWeights(source="first", target="last", images=4).run(model, noise())
    others = [0, 1, 3, 4]
    np.testing.assert_allclose(broken.arrays["kernels"][others], plain.arrays["kernels"][others], atol=1e-6)
    assert np.isnan(broken.arrays["kernels"][2]).all() and np.isnan(broken.arrays["r2"][2])
    assert broken.summary["r2_unknown"] == {"units": 1, "first": [2]} and broken.summary["factors_explain"] is not None
