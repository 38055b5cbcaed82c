"""Families: planted ones are found at their angles, exact mirror pairs all of them, random networks have none, and nulls are as known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score
from torch import nn

from workbench.analyses.analysis import Result
from workbench.analyses.equivariance import Equivariance
from workbench.analyses.equivariance.findings import level
from workbench.analyses.equivariance.matching import NONE, Cross, assigned, orbits
from workbench.analyses.equivariance.weights import chance
from workbench.images.array_set import ArraySet
from workbench.images.colour import oklch_to_srgb
from workbench.images.transformation import (
    EXAMPLES,
    Flip,
    Hue,
    Rotation,
    Scale,
    transformation,
    turned_hue,
    whole_turns,
)
from workbench.input_error import InputError
from workbench.models.layer import Layer, on_grid
from workbench.models.planted.rotated_family import rotated_family_net
from workbench.models.preprocessing import Preprocessing
from workbench.models.traced_model import TracedModel
from workbench.task import Cancelled, Task


def traced(net: nn.Module, side: int) -> TracedModel:
    return TracedModel.from_module(net, torch.randn(2, 3, side, side), preprocessing=Preprocessing((side, side)))


def noise(number: int, side: int, seed: int = 0) -> np.ndarray:
    """Coarse random patterns, so that neighbouring pixels go together as they do in images."""
    coarse = np.random.default_rng(seed).integers(0, 256, (number, side // 3 + 1, side // 3 + 1, 3), np.uint8)
    return coarse.repeat(3, 1).repeat(3, 2)[:, :side, :side]


def rows(result: Result, layer: str, name: str) -> np.ndarray:
    """Return one array's rows of one layer under the first transformation."""
    place = result.summary["layers"].index(layer)
    kept = (result.arrays["layer"] == place) & (result.arrays["transformation"] == 0)
    return result.arrays[name][kept]


def families(result: Result, layer: str) -> list[set[int]]:
    return [set(family["units"]) for family in result.summary["families"] if family["layer"] == layer]


def parts(units: int, groups: list[set[int]]) -> list[int]:
    """Return a partition as numbers: units of no group are alone."""
    place = {unit: number for number, group in enumerate(groups) for unit in group}
    return [place.get(unit, units + unit) for unit in range(units)]


# What was planted


@pytest.mark.parametrize("seed", range(3))
def test_planted_families_are_recovered_with_their_angles(seed: int) -> None:
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        planted = rotated_family_net.__wrapped__()  # type: ignore[attr-defined]
    model = TracedModel.from_module(planted.module, torch.randn(2, 3, 33, 33), preprocessing=planted.preprocessing)
    asked = Equivariance(transformations=("rotate:90",), layers=("relu", "flatten"), images=32, twins=3, places=64, seed=seed)
    result = asked.run(model, ArraySet(noise(32, 33, seed)))
    truth = [{int(unit.split(":")[1]) for unit in family} for family in planted.circuit.facts["families"]]
    for layer in ("relu", "flatten"):  # by place, and by the largest activation of an image
        assert adjusted_rand_score(parts(32, truth), parts(32, families(result, layer))) >= 0.9
    angle = rows(result, "relu", "angle")
    for family in planted.circuit.facts["families"]:
        turns = {int(unit.split(":")[1]): planted.circuit.units[unit]["turn"] for unit in family}
        apart = {round(float(angle[unit]) - turn) % 360 for unit, turn in turns.items()}
        assert len(apart) == 1, "angles are turns of the feature, counter-clockwise, but for where they begin"
    (figure,) = (one for one in result.summary["figures"] if one["layer"] == "relu")
    assert figure["weights_confirmed"] >= 24 and figure["matched_null"] <= 0.05 and figure["matched"] >= 24 / 32
    assert figure["detectable"] < 1 and 0 < figure["bar"] < 0.95


class Mirrored(nn.Module):
    """Exactly equivariant: in each layer units 0..k-1, their mirror images k..2k-1, and one unit that is its own."""

    def __init__(self, pairs: int, stride: int = 1) -> None:
        super().__init__()
        units = 2 * pairs + 1
        self.first = nn.Conv2d(3, units, 5, stride, 2, bias=False)
        self.second = nn.Conv2d(units, units, 3, 1, 1, bias=False)
        self.relu, self.out, self.flatten = nn.ReLU(), nn.ReLU(), nn.Flatten()
        self.pool = nn.AdaptiveAvgPool2d(1)
        mirror = [*range(pairs, 2 * pairs), *range(pairs), 2 * pairs]
        with torch.no_grad():
            for conv, sources in ((self.first, [0, 1, 2]), (self.second, mirror)):
                weight = torch.randn_like(conv.weight)
                weight[pairs : 2 * pairs] = weight[:pairs][:, sources].flip(-1)
                weight[-1] = (weight[-1] + weight[-1][sources].flip(-1)) / 2
                conv.weight.copy_(weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.flatten(self.pool(self.out(self.second(self.relu(self.first(x))))))


@pytest.mark.parametrize("stride", [1, 2])
def test_a_network_that_is_flip_equivariant_gives_all_its_pairs(stride: int) -> None:
    torch.manual_seed(1)
    pairs = 6
    # An image of 25 pixels is symmetric about the middle of the stride's places; one of 24 lies a pixel off.
    model = traced(Mirrored(pairs, stride), 25 if stride == 1 else 24)
    images = ArraySet(noise(48, 25 if stride == 1 else 24))
    result = Equivariance(transformations=("flip",), layers=("relu", "out"), images=48, twins=4, least=0.2).run(model, images)
    partner = [*range(pairs, 2 * pairs), *range(pairs), 2 * pairs]
    for layer in ("relu", "out"):
        assert rows(result, layer, "partner").tolist() == partner
        if stride == 1:
            assert sorted(map(sorted, families(result, layer))) == [[unit, unit + pairs] for unit in range(pairs)]
            assert rows(result, layer, "agreement") == pytest.approx(1, abs=1e-4)
            assert rows(result, layer, "weights") == pytest.approx(1, abs=1e-4)
            assert rows(result, layer, "symmetric").tolist() == [False] * 2 * pairs + [True]
            assert rows(result, layer, "own")[-1] == pytest.approx(1, abs=1e-4)


def test_a_random_twin_has_no_families_beyond_the_null() -> None:
    torch.manual_seed(1)
    model = traced(Mirrored(12), 21).twin(100)
    asked = Equivariance(transformations=("flip", "rotate:90", "hue:120"), layers=("relu", "out"), images=32, twins=6)
    result = asked.run(model, ArraySet(noise(32, 21)))
    assert result.summary["families"] == []
    assert not result.arrays["counts"].any() and (result.arrays["family"] == -1).all()


def test_two_units_that_go_together_are_not_partners() -> None:
    """A unit and nearly the same one again: on a mirrored image they agree as well, because neither minds mirroring."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 5, padding=2, bias=False), nn.ReLU())
    with torch.no_grad():
        net[0].weight[:4] = (net[0].weight[:4] + net[0].weight[:4].flip(-1)) / 2
        net[0].weight[4:] = net[0].weight[:4] + 0.03 * torch.randn(4, 3, 5, 5)
    result = Equivariance(layers=("1",), images=32, twins=3).run(traced(net, 21), ArraySet(noise(32, 21)))
    assert families(result, "1") == [] and rows(result, "1", "own").min() > 0.5


# Colours and pairs of images


def colour_net() -> TracedModel:
    """Three units for three hues a third of the circle apart, and one for lightness, one position each."""
    net = nn.Sequential(nn.Conv2d(3, 4, 1, bias=False), nn.ReLU())
    with torch.no_grad():
        net[0].weight[:3, :, 0, 0] = 1.5 * torch.eye(3) - 0.5
        net[0].weight[3] = 0.3
    return traced(net, 9)


def test_hues_make_a_family_with_their_angles() -> None:
    random = np.random.default_rng(0)
    colours = oklch_to_srgb(random.uniform(0.6, 0.75, 48 * 9), random.uniform(0, 0.1, 48 * 9), random.uniform(0, 360, 48 * 9))
    images = (255 * colours.reshape(48, 3, 3, 3).repeat(3, 1).repeat(3, 2)).round().astype(np.uint8)
    result = Equivariance(transformations=("hue:120",), layers=("1",), images=48, twins=3).run(colour_net(), ArraySet(images))
    (family,) = result.summary["families"]
    assert set(family["units"]) == {0, 1, 2} and sorted(family["angles"]) == [0, 120, 240]
    angle = dict(zip(family["units"], family["angles"], strict=True))
    assert [(angle[unit] - angle[0]) % 360 for unit in (1, 2)] == [120, 240], "red, green and blue, in the order of their hues"
    assert rows(result, "1", "own")[3] > 0.5 > rows(result, "1", "own")[:3].max(), "lightness minds less"


def test_pairs_of_images_are_a_transformation_too() -> None:
    """The second style paints what is red blue: a unit for red does there what that for blue does."""
    plain = noise(40, 9)
    images = ArraySet(np.concatenate([plain, plain[..., ::-1]]))
    images.columns = {"concept": [f"c{i}" for i in range(40)] * 2, "style": ["plain"] * 40 + ["swapped"] * 40}
    asked = Equivariance(transformations=("style:plain>swapped",), layers=("1",), images=0, twins=3)
    result = asked.run(colour_net(), images)
    assert rows(result, "1", "partner").tolist() == [2, 1, 0, 3]
    assert families(result, "1") == [{0, 2}] and result.summary["families"][0]["angles"] == [None, None]
    assert result.summary["tried"]["style:plain>swapped"] == {"images": 40, "concepts": 40, "scored_on": 20, "scored_concepts": 20}
    with pytest.raises(InputError, match="has no column 'hand'"):
        Equivariance(transformations=("hand:a>b",), layers=("1",)).run(colour_net(), images)
    with pytest.raises(InputError, match="has style 'plane'"):
        Equivariance(transformations=("style:plane>swapped",), layers=("1",)).run(colour_net(), images)


# Parts


def test_random_phases_are_as_alike_as_known() -> None:
    """.31 for white and .87 for smooth kernels of 11 x 11, at the 99th percentile."""
    random = np.random.default_rng(0)
    white = random.normal(size=(32, 1, 11, 11)).astype(np.float32)
    wave = np.fft.fftfreq(11)
    low = np.exp(-(wave[:, None] ** 2 + wave[None] ** 2) / (2 * 0.08**2))
    smooth = np.fft.ifft2(np.fft.fft2(white) * low).real.astype(np.float32)
    one = np.zeros(1, np.int64)
    levels = {name: np.mean([chance(Rotation(90), kernels, one, np.random.default_rng(seed)) for seed in range(8)])
              for name, kernels in (("white", white), ("smooth", smooth))}  # fmt: skip
    assert levels["white"] == pytest.approx(0.31, abs=0.04)
    assert levels["smooth"] == pytest.approx(0.87, abs=0.08)


def test_correlations_from_running_sums_are_those_of_all_at_once() -> None:
    random = torch.Generator().manual_seed(0)
    before, after = (torch.randn(20, 7, 5, generator=random) + 100 for _ in range(2))
    before[..., 4] = 3.0
    cross = Cross()
    for some in (slice(0, 3), slice(3, 12), slice(12, 20)):
        cross.see(before[some], after[some])
    a, b = (value.flatten(0, 1).T.numpy().astype(float) for value in (after, before[..., :4]))
    assert cross.correlation[:, :4] == pytest.approx(np.corrcoef(a, b)[:5, 5:], abs=1e-4)
    assert np.isnan(cross.correlation[:, 4]).all()
    assert assigned(cross.correlation, False)[4] == NONE


def test_orbits_close_as_the_transformation_allows() -> None:
    partner = np.array([1, 2, 3, 0, 5, 4, 7, 8, 6, 10, 11, 9, 12])
    accepted = np.ones(13, bool)
    accepted[11] = False
    found = {orbit.units: (orbit.closed, orbit.consistent) for orbit in orbits(partner, accepted, 4)}
    assert found == {
        (0, 1, 2, 3): (True, True),
        (4, 5): (True, True),  # a line: half a turn is none
        (6, 7, 8): (True, False),  # three quarter turns are not nothing
        (9, 10, 11): (False, True),
    }
    mirrored = {orbit.units: orbit.consistent for orbit in orbits(partner, accepted, 2)}
    assert mirrored[(4, 5)] and not mirrored[(9, 10, 11)] and not mirrored[(6, 7, 8)]


def test_patches_are_a_grid_and_what_has_none_is_averaged() -> None:
    tokens = torch.arange(2 * 17 * 3.0).view(2, 17, 3)
    grid = on_grid(Layer("blocks.0", "add", (17, 3), -1), tokens, (32, 32))
    assert grid.shape == (2, 3, 4, 4) and torch.equal(grid[0, :, 1, 2], tokens[0, 1 + 6])
    vector = on_grid(Layer("head", "linear", (10,), 0), torch.ones(2, 10), (32, 32))
    assert vector.shape == (2, 10, 1, 1)
    text = on_grid(Layer("text", "add", (3, 3), -1), torch.ones(2, 3, 3), (32, 32))
    assert text.shape == (2, 3, 1, 1)


def test_transformations_do_what_they_say() -> None:
    assert [transformation(name).name for name in EXAMPLES] == list(EXAMPLES)
    images = torch.rand(2, 3, 12, 12)
    for one in (Flip(), Rotation(90), Rotation(270)):
        assert torch.equal(one.back(one.after(images)), images) and torch.equal(one.before(images), images)
    smooth = torch.nn.functional.interpolate(torch.rand(2, 3, 4, 4), 48, mode="bicubic").clamp(0, 1)
    for other in (Rotation(30), Scale(0.7)):
        seen = other.seen(48, 48)[None, None] & (torch.hypot(*torch.meshgrid(*[torch.linspace(-1, 1, 48)] * 2, indexing="ij")) < 0.6)
        moved = other.back(other.after(smooth))
        assert (moved - smooth).abs()[seen.expand_as(smooth)].max() < 0.05
    turned = Rotation(30).after(smooth)
    assert torch.allclose(turned[..., 0, 0], torch.full((2, 3), 0.5)), "corners are grey"
    assert [whole_turns(degrees) for degrees in (90, 120, 45, 100, 1.7)] == [4, 3, 8, 18, 0]
    assert Rotation(90).angles(range(5)) == [0, 270, 180, 90, 0] and Flip().angles((0, 1)) == [None, None]


def test_hues_turn_and_lightness_stays() -> None:
    hues = np.arange(0, 360, 30.0)
    colours = torch.tensor(oklch_to_srgb(np.full(12, 0.7), np.full(12, 0.1), hues)).float().T[None, :, :, None]
    assert torch.allclose(turned_hue(colours, 90), colours.roll(-3, 2), atol=1e-4)
    grey = torch.linspace(0, 1, 5)[None, None, :, None].expand(1, 3, 5, 1)
    assert torch.allclose(Hue(77).after(grey), grey, atol=2e-3)


@pytest.mark.parametrize("name", ["mirror", "rotate", "rotate:0", "rotate:x", "hue:400", "scale:1", "style:a>a", "scale:nan", ""])
def test_what_is_no_transformation_is_said_in_one_line(name: str) -> None:
    with pytest.raises(InputError) as error:
        transformation(name)
    assert "\n" not in str(error.value)


def test_what_cannot_be_asked_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    model = colour_net()
    with pytest.raises(InputError, match="concepts"):
        Equivariance(layers=("1",)).run(model, ArraySet(noise(5, 9)))
    with pytest.raises(InputError, match="with 4 units or more"):
        Equivariance(layers=("input",)).run(model, ArraySet(noise(32, 9)))
    wide = TracedModel.from_module(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU()), torch.randn(2, 3, 8, 12))
    with pytest.raises(InputError, match="only square images"):
        Equivariance(transformations=("rotate:90",), layers=("1",)).run(wide, ArraySet(noise(32, 12)))


def test_it_can_be_cancelled_and_says_how_far_it_is() -> None:
    class Steps(Task):
        def __init__(self, last: float) -> None:
            self.shares: list[float] = []
            self.last = last

        def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
            self.shares.append(done / total)
            if done / total > self.last:
                raise Cancelled

    asked = Equivariance(layers=("1",), images=32, twins=3)
    whole, cut = Steps(1.0), Steps(0.4)
    asked.run(colour_net(), ArraySet(noise(32, 9)), whole)
    assert whole.shares == sorted(whole.shares) and whole.shares[-1] == pytest.approx(1)
    with pytest.raises(Cancelled):
        asked.run(colour_net(), ArraySet(noise(32, 9)), cut)


def test_a_level_is_beyond_all_twins_and_rarely_exceeded() -> None:
    random = np.random.default_rng(0)
    highest = 1 - np.exp(-random.gumbel(0.5, 0.05, size=(400, 20)))
    next_one = 1 - np.exp(-random.gumbel(0.5, 0.05, size=400))
    levels = np.array([level(row.tolist()) for row in highest])
    assert 0.01 <= np.mean(next_one > levels) <= 0.08
    assert (levels >= highest.max(1) - 1e-9).all() and levels.max() < 1 and level([0.0, 0.0, 0.0]) == 0


class Patches(nn.Module):
    """Tokens as a transformer has them: patches, each unit with its mirror image four further, then a layer that keeps that so."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.mix, self.act = nn.Conv2d(3, 8, 4, 4, bias=False), nn.Linear(8, 8, bias=False), nn.GELU()
        with torch.no_grad():
            self.embed.weight[4:] = self.embed.weight[:4].flip(-1)
            self.mix.weight[4:] = self.mix.weight[:4][:, [4, 5, 6, 7, 0, 1, 2, 3]]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.mix(self.embed(x).flatten(2).transpose(1, 2)))


def test_tokens_are_matched_patch_by_patch_and_drawn() -> None:
    torch.manual_seed(0)
    result = Equivariance(layers=("act",), images=32, twins=3).run(traced(Patches(), 16), ArraySet(noise(32, 16)))
    assert rows(result, "act", "partner").tolist() == [4, 5, 6, 7, 0, 1, 2, 3]
    assert rows(result, "act", "agreement") == pytest.approx(1, abs=1e-4)
    drawn = result.figures()
    assert set(drawn) == {"layers", "gains"} and drawn["layers"].axes[0].get_ylabel() == "units with a partner"
