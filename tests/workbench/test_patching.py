"""Patching gives 0 for nothing and 1 for everything exactly, finds what was planted, and tells AND from OR by its direction."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import workbench
from tests.workbench.colour_net import Colours
from workbench.analyses.patching import ActivationPatching
from workbench.images.array_set import ArraySet
from workbench.images.corruptions import CORRUPTIONS, corrupt
from workbench.images.image_set import load_images
from workbench.input_error import InputError
from workbench.models.patching import Patch, Patcher, branches, estimate, heads, patches_of, scores
from workbench.models.preprocessing import Preprocessing
from workbench.models.traced_model import TracedModel

SIDE = 12


class Branched(nn.Module):
    """Two branches put together, a residual path around them, and classes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.narrow, self.wide = nn.Conv2d(16, 6, 1), nn.Conv2d(16, 10, 3, padding=1)
        self.mixed = nn.Conv2d(16, 16, 3, padding=1)
        self.head = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        stem = torch.relu(self.stem(x))
        both = torch.cat([torch.relu(self.narrow(stem)), torch.relu(self.wide(stem))], 1)
        return self.head((torch.relu(self.mixed(both)) + stem).mean((2, 3)))


def traced(module: nn.Module, dtype: torch.dtype = torch.float32) -> TracedModel:
    example = torch.randn(2, 3, SIDE, SIDE, dtype=dtype)
    return TracedModel.from_module(module.to(dtype).eval(), example, preprocessing=Preprocessing((SIDE, SIDE)))


@pytest.fixture(scope="module")
def model() -> TracedModel:
    return traced(Branched())


def images(pairs: int, seed: int, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor]:
    return (torch.randn(pairs, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype),)


def concatenation(model: TracedModel) -> str:
    return next(name for name, layer in model.layers.items() if layer.kind == "cat")


def test_nothing_is_0_and_everything_1_exactly_beside_any_patches(model: TracedModel) -> None:
    for layer in (concatenation(model), "stem", "mixed"):
        patcher = Patcher(model, layer)
        base, other = patcher.values(images(3, 0)), patcher.values(images(3, 1))
        for number in (1, 5, 16):
            found = scores(patcher.run(base, other, patches_of(model, layer, "unit")[:number])[..., 0])
            assert (found[0] == 0).all() and (found[1] == 1).all()
        none = Patch("none", layer, np.arange(0))
        same = patcher.run(base, base, patches_of(model, layer, "unit")[:4])
        assert all(torch.equal(row, same[0]) for row in same), "what puts in what is there changes no bit"
        assert torch.equal(*patcher.run(base, other, [none])[[0, 2]])


def test_a_whole_layer_that_all_passes_through_carries_everything(model: TracedModel) -> None:
    through = next(name for name, layer in model.layers.items() if layer.kind == "add")
    patcher = Patcher(model, through)
    base, other = patcher.values(images(2, 0)), patcher.values(images(2, 1))
    assert (scores(patcher.run(base, other, patches_of(model, through, "layer"))[..., 0])[2] == 1).all()
    layer = concatenation(model)
    beside = Patcher(model, layer)
    values = [beside.values(images(2, seed)) for seed in (0, 1)]
    around = scores(beside.run(*values, patches_of(model, layer, "layer"))[..., 0])[2]
    assert not (around == 1).any(), "a path goes around it"


@pytest.mark.parametrize(("dtype", "apart"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_many_in_a_batch_are_as_one_after_the_other(dtype: torch.dtype, apart: float) -> None:
    model = traced(Branched(), dtype)
    layer = concatenation(model)
    clean, corrupt = images(2, 0, dtype), images(2, 1, dtype)
    patcher = Patcher(model, layer)
    base, other = patcher.values(corrupt), patcher.values(clean)
    patches = [*patches_of(model, layer, "unit"), *patches_of(model, layer, "cell")[:7], *patches_of(model, layer, "branch")]
    patches.append(Patch("some of both", layer, np.array([2, 9]), np.array([0, 5, 77])))
    together = patcher.run(base, other, patches)[2:]
    for patch, row in zip(patches, together, strict=True):

        def put(activation: torch.Tensor, patch: Patch = patch) -> torch.Tensor:
            changed = activation.clone()
            units = slice(None) if patch.units is None else patch.units
            mask = torch.zeros(SIDE * SIDE, dtype=torch.bool)
            mask[slice(None) if patch.cells is None else patch.cells] = True
            part = changed[:, units]
            changed[:, units] = torch.where(mask.view(SIDE, SIDE), other[0][:, units], part)
            return changed

        alone = model.edited(corrupt, {layer: put})
        assert (alone - row).abs().max() <= apart * together.abs().max(), patch.name


def test_a_direction_moves_only_along_itself(model: TracedModel) -> None:
    layer = "mixed"
    patcher = Patcher(model, layer)
    base, other = patcher.values(images(1, 0)), patcher.values(images(1, 1))
    axis = torch.zeros(16)
    axis[3] = -2.0
    by_direction, by_unit = patcher.run(base, other, [Patch("direction", layer, direction=axis), Patch("unit", layer, np.array([3]))])[2:]
    assert torch.allclose(by_direction, by_unit, atol=1e-6)


class OneUnit(nn.Module):
    """The output is what unit 4 says, through a layer that could hear all."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.units, self.out = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 2)
        with torch.no_grad():
            self.out.weight.zero_()
            self.out.weight[0, 4] = 1.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(torch.relu(self.units(x)).mean((2, 3)))


def test_a_planted_unit_carries_all_and_the_others_nothing() -> None:
    model = traced(OneUnit())
    layer = next(name for name, found in model.layers.items() if found.role == "post")
    for direction in ((0, 1), (1, 0)):
        patcher = Patcher(model, layer)
        base, other = (patcher.values(images(6, seed)) for seed in direction)
        found = scores(patcher.run(base, other, patches_of(model, layer, "unit"))[..., 0])[2:].mean(1)
        assert found[4] == pytest.approx(1, abs=0.02)
        assert np.delete(found.numpy(), 4) == pytest.approx(0, abs=0.02)


def test_or_needs_no_reason_of_two_and_and_needs_both() -> None:
    model = workbench.load("bundled:planted/and_or_net")
    assert model.circuit is not None
    stimuli = load_images("stimuli:lines?orientation=0,90&ink_hue=29,264&ink_lightness=0.5&ink_chroma=0.1&width=0.1212")
    both, neither = ((model.preprocess(stimuli.image(index, model.preprocessing.size)[None]),) for index in (0, 3))
    patcher = Patcher(model, "saturate")
    clean, corrupt = patcher.values(both), patcher.values(neither)
    reasons = patches_of(model, "saturate", "unit")[:2]  # lying, red
    denoise = scores(patcher.run(corrupt, clean, reasons)[:, 0])[2:]
    noise = scores(patcher.run(clean, corrupt, reasons)[:, 0])[2:]
    places = [model.labels.index(name) for name in ("AND", "OR")]
    conjunction, disjunction = (torch.stack([denoise[:, place], noise[:, place]]) for place in places)
    assert disjunction[0] == pytest.approx(torch.ones(2), abs=0.02) and disjunction[1] == pytest.approx(torch.zeros(2), abs=0.02)
    assert conjunction[0] == pytest.approx(torch.zeros(2), abs=0.02) and conjunction[1] == pytest.approx(torch.ones(2), abs=0.02)


def test_attribution_is_exact_where_all_behind_is_linear(model: TracedModel) -> None:
    through = next(name for name, layer in model.layers.items() if layer.kind == "add")
    corrupt, clean = images(2, 0), images(2, 1)
    patcher = Patcher(model, through)
    base, other = patcher.values(corrupt), patcher.values(clean)
    patches = patches_of(model, through, "unit")
    exact = patcher.run(base, other, patches)[..., 1]
    guess = estimate(model, [through], corrupt, {through: other[0]}, lambda value: value[:, 1])[through]
    assert torch.stack([patch.of(guess) for patch in patches]) == pytest.approx(exact[2:] - exact[0], abs=1e-5)


def test_parts_have_names_and_what_has_none_says_so(model: TracedModel) -> None:
    layer = concatenation(model)
    assert [len(units) for _, units in branches(model.graph, layer)] == [6, 10]
    assert patches_of(model, layer, "cell")[SIDE + 2].name == f"{layer} at row 1, column 2"
    vit = workbench.load("bundled:vit")
    attention = next(name for name in vit.layers if "scaled_dot_product_attention" in name)
    assert len({len(units) for units in heads(vit.graph, attention)}) == 1
    assert np.concatenate(heads(vit.graph, attention)).tolist() == list(range(vit.layer(attention).units))
    assert patches_of(vit, "blocks.1", "cell")[0].name.startswith("blocks.1 at ")
    for wrong, kind, why in (("head", "cell", "one position"), ("mixed", "branch", "branches"), ("mixed", "head", "no heads")):
        with pytest.raises(InputError, match=why):
            patches_of(model, wrong, kind)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="does not feed"):
        Patcher(model, "mixed", "stem")


@pytest.fixture(scope="module")
def coloured() -> tuple[TracedModel, ArraySet]:
    names = ("red", "green", "blue")
    model = TracedModel.from_module(
        Colours().eval(), torch.randn(2, 3, SIDE, SIDE), preprocessing=Preprocessing((SIDE, SIDE)), labels=names
    )
    random = np.random.default_rng(0)
    shows = random.integers(0, 3, 90)
    pixels = random.integers(0, 60, (90, SIDE, SIDE, 3), np.uint8)
    pixels[np.arange(90), :, :, shows] += 160
    columns = {"colour": [names[one] for one in shows], "concept": [f"{names[one]} {at % 5}" for at, one in enumerate(shows)]}
    shown = ArraySet(pixels)
    shown.columns = columns
    return model, shown


@pytest.mark.parametrize("put", ["resample", "mean", "zero"])
def test_the_units_of_the_classes_carry_the_difference(coloured: tuple[TracedModel, ArraySet], put: str) -> None:
    model, shown = coloured
    result = ActivationPatching(layers=("parts.relu",), part="unit", pairs=30, top=3, put=put, twin=put == "resample").run(model, shown)
    arrays, summary = result.arrays, result.summary
    denoise = arrays["denoise"].mean(1) / arrays["whole"].mean()
    assert denoise[:3].sum() == pytest.approx(1, abs=1e-5) and (denoise[:3] > 0.1).all()
    assert np.abs(denoise[3:]).max() < 1e-6
    assert arrays["denoise_estimate"] == pytest.approx(arrays["denoise"], abs=1e-4), "all behind it is linear"
    assert arrays["noise_estimate"] == pytest.approx(arrays["noise"], abs=1e-4)
    if put == "resample":
        assert arrays["twin"].sum(0) == pytest.approx(arrays["twin_whole"], abs=1e-3), "all behind it is linear there, too"
        assert summary["findings"][0]["concentration"] > summary["findings"][0]["concentration_twin"]
        assert arrays["noise"] == pytest.approx(-arrays["denoise"], abs=1e-4)
    (joint,) = summary["joint"]
    assert set(joint["parts"]) == {f"parts.relu:{unit}" for unit in range(3)}
    assert joint["together"] == pytest.approx(1, abs=1e-5) == joint["sum_of_singles"]
    (found,) = summary["findings"]
    assert found["reliability"] > 0.9 and found["attribution"] > 0.99
    assert abs(arrays["unaligned"][:3].sum(0).mean() / arrays["whole"].mean()) < 0.8
    assert {row["name"] for row in summary["patches"][:3]} == {f"parts.relu:{unit}" for unit in range(3)}
    assert all(row["denoise_low"] <= row["denoise"] <= row["denoise_high"] for row in summary["patches"][:3])
    assert set(ActivationPatching.draw(result)) == {"effects", "scatter", "halves"}


def test_pairs_that_do_not_differ_are_counted_and_refused(coloured: tuple[TracedModel, ArraySet]) -> None:
    model, shown = coloured
    with pytest.raises(InputError, match="one unit that is read"):
        ActivationPatching(layers=("parts.relu",), metric="unit", pairs=16).run(model, shown)
    read = ActivationPatching(layers=("parts.see",), part="unit", metric="unit", unit="parts.relu:3", pairs=16).run(model, shown)
    carried = {row["name"]: row["denoise"] for row in read.summary["patches"]}
    assert carried.pop("parts.see:3") == pytest.approx(1, abs=1e-5) and set(carried.values()) == {0.0}
    with pytest.raises(InputError, match="at least 8"):
        ActivationPatching(layers=("parts.relu",), pairs=16).run(model, ArraySet(np.zeros((5, SIDE, SIDE, 3), np.uint8)))


@pytest.mark.parametrize("kind", sorted(CORRUPTIONS))
def test_corruptions_change_what_they_say(kind: str) -> None:
    random = np.random.default_rng(0)
    clean, others = random.integers(0, 256, (2, 3, 16, 20, 3), np.uint8)
    found = corrupt(kind, clean.copy(), others, np.random.default_rng(1))
    assert found.shape == clean.shape and found.dtype == np.uint8 and (found != clean).any()
    changed = (found != clean).any(3).mean()
    assert np.array_equal(found, corrupt(kind, clean.copy(), others, np.random.default_rng(1)))
    parts = {"swap": (0.99, 1), "blur": (0.99, 1), "patch swap": (0.2, 0.3), "occlusion": (0.1, 0.3), "hue": (0.9, 1)}[kind]
    assert parts[0] <= changed <= parts[1]
    with pytest.raises(InputError, match="no corruption"):
        corrupt("blurr", clean, others, random)


def test_a_shifted_hue_keeps_lightness_and_turns_red_towards_green() -> None:
    random = np.random.default_rng(0)
    shown = np.zeros((1, 2, 2, 3), np.uint8)
    shown[:] = (180, 90, 90)
    shown[0, 0] = 128
    found = corrupt("hue", shown, shown, random)
    assert np.abs(found[0, 0].astype(int) - 128).max() <= 1, "grey has no hue"
    assert found[0, 1, 0].argmax() == 1, "120 degrees on from red"
    back = corrupt("hue", corrupt("hue", found, found, random), found, random)
    assert np.abs(back[0, 1].astype(int) - shown[0, 1]).max() <= 2, "three thirds are a whole turn"
