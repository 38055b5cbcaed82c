"""Tuning of units, on the planted curve detectors whose angles are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from workbench.analyses.tuning import Tuning
from workbench.analyses.tuning.closely import amplitude, half_share, lean, strongest
from workbench.images.stimulus import StimulusFamily
from workbench.input_error import InputError
from workbench.jobs.engine import Engine
from workbench.jobs.store import Store
from workbench.models.planted.curve import curve_net
from workbench.models.receptive_field import ReceptiveField, receptive_field
from workbench.models.traced_model import TracedModel
from workbench.task import Cancelled, Task
from workbench.tuned.band import known, told, within
from workbench.tuned.probes import probe_of
from workbench.tuned.scores import LEAST, score


@pytest.fixture(scope="module")
def model() -> TracedModel:
    """Give the planted curve detectors in images as large as what they see, where they stand at one position only."""
    return TracedModel.from_module(curve_net().module[:4], torch.zeros(2, 3, 33, 33))


@pytest.fixture(scope="module")
def small() -> TracedModel:
    """Give a network of two layers with strides, in which the middle position does not stand in the middle of the image."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 6, 5, stride=2), nn.ReLU(), nn.Conv2d(6, 8, 5), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return TracedModel.from_module(net.eval(), torch.zeros(2, 3, 32, 32))


def test_planted_curves_are_one_family_of_the_right_angles(model: TracedModel) -> None:
    result = Tuning(layer="curve_relu", units=(2,), orientations=16, twins=0).run(model)
    assert result.summary["family"] == list(range(8))
    away = (result.arrays["preferred"] - 45.0 * np.arange(8) + 180) % 360 - 180
    assert np.abs(away).max() < 4, "the stimuli are 22.5 degrees apart"
    assert result.summary["receptive_field"] == 33
    assert result.summary["activation"] == "post-activation"
    assert result.summary["family_beats_twins"] is None and "too few" in result.summary["verdict"]
    arrays = result.arrays
    assert arrays["curve"].shape == (1, 16) and arrays["curve"][0].argmax() == 4
    assert arrays["heatmap"].shape == (1, 4, 16)
    assert arrays["heatmap"][0].max(1).argmax() in (1, 2), "13 and 21 pixels, of 18 that were planted"
    assert np.unravel_index(arrays["position"][0].argmax(), (7, 7)) == (3, 3)
    assert arrays["morph"][0].argmax() > 2, "an arc rather than a corner"
    assert np.abs(arrays["hue"]).max() < 1e-3 * arrays["best"][2], "a plain colour is nothing to a Gabor"
    assert {"layer", "unit_2"} == set(result.figures())


def test_what_a_unit_does_closely_looked_at_stands_beside_twins_of_random_weights(model: TracedModel) -> None:
    result = Tuning(layer="curve_relu", units=(2,), orientations=12, twins=4).run(model)
    arrays = result.arrays
    assert arrays["null_hue"].shape == (4, 24) and arrays["null_grating"].shape == (4, 12) and arrays["null_morph"].shape == (4, 7)
    assert arrays["morph_lean"][0] > 0.3 and arrays["position_share"][0] < 0.15, "an arc in one place drives it"
    assert arrays["hue_amplitude"][2] < 1e-3 < arrays["null_hue_amplitude"].min(), "grey Gabors know no colours, random weights do"
    assert np.allclose(arrays["null_hue"].argmax(1), 0) and arrays["null_hue"].max() <= 1 + 1e-9, "over the most that drives it"
    assert all(name in result.figures() for name in ("layer", "unit_2"))


def test_a_unit_of_one_hue_has_an_amplitude_above_all_twins() -> None:
    """Colours decide alone: unit 0 sees red less green in any shape, the rest brightness; twins draw their weights at the same scale."""
    net = nn.Sequential(nn.Conv2d(3, 8, 7, padding=3), nn.ReLU())
    with torch.no_grad():
        torch.manual_seed(0)
        net[0].weight.copy_(torch.randn(8, 1, 7, 7).expand(8, 3, 7, 7))
        net[0].weight[0] = torch.tensor([1.0, -1.0, 0.0])[:, None, None] / 7
        net[0].bias.zero_()
    result = Tuning(layer="1", units=(0,), orientations=12, twins=20).run(TracedModel.from_module(net.eval(), torch.zeros(2, 3, 33, 33)))
    arrays = result.arrays
    assert arrays["hue_amplitude"][0] > arrays["null_hue_amplitude"].max()
    assert arrays["hue_amplitude"][1:].max() < arrays["hue_amplitude"][0] / 2
    red = arrays["hues"][int(arrays["hue"][0].argmax())]
    assert min(red, 360 - red) <= 45, "OKLCH calls red 29 degrees"


@pytest.mark.parametrize("turn", [0, 5, 12])
def test_an_amplitude_is_the_first_harmonic_over_the_strongest_response(turn: int) -> None:
    angles = 2 * np.pi * (np.arange(24) - turn) / 24
    curves = np.stack([3 + np.cos(angles), 2 * np.cos(2 * angles), np.ones(24)], 1)
    assert np.allclose(amplitude(curves, np.array([4.0, 2.0, 1.0])), [0.25, 0, 0])
    ranked = [np.broadcast_to([-5.0, 0.0, 0.0], (4, 12, 3)), np.zeros((4, 12, 3))]
    most = strongest(ranked, np.broadcast_to([0.0, 1.0, 0.0], (2, 12, 3)), np.zeros((24, 3)))
    assert most.tolist() == [5, 1, 5 * LEAST], "up or down"


def test_places_and_roundings_that_hardly_do_anything_have_no_figure() -> None:
    position = np.array([[0.0, 1.0], [0.4, 0.6]])
    assert half_share(position, 1.0) == 0.5 and np.isnan(half_share(position * 1e-6, 1.0)) and np.isnan(half_share(-position, 1.0))
    assert lean(np.array([0.0, 1.0, 0.5]), 1.0) == 0.5 and lean(np.array([1.0, 0, -1]), 1.0) == -2
    assert np.isnan(lean(np.array([0.0, 1e-6]), 1.0)) and np.isnan(lean(np.zeros(7), 1.0))
    assert told(np.nan) == "none, it does nothing there" and told(0.5) == "0.50"
    assert within(np.array([np.nan, 0.1, 0.3])) == "best of 3 twins, too few, 0.10 – 0.30"
    assert within(np.full(20, np.nan)) == "best of 20 twins do nothing there"
    assert known(np.array([[np.nan, 1], [2, 3.0]])).tolist() == [[2, 3]]


def test_another_unit_of_the_layer_is_looked_at_without_showing_the_layer_everything_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, ref = Engine(Store(tmp_path)), "bundled:planted/curve_net"
    first = engine.run(Tuning(layer="gabor_relu", units=(1,), orientations=12, twins=0), ref, None, Task())
    shown: list[int] = []
    monkeypatch.setattr("workbench.tuned.probes.BATCH", 10_000)
    render = StimulusFamily.render
    monkeypatch.setattr(StimulusFamily, "render", lambda self, table, *more: shown.append(len(table)) or render(self, table, *more))
    asked = Tuning(layer="gabor_relu", units=(2,), orientations=12, twins=0)
    second = engine.run(asked, ref, None, Task())
    assert sum(shown) < 80 < second.summary["stimuli"], "moved about, rounded, and grounds"
    assert np.array_equal(first.arrays["score"], second.arrays["score"]) and second.arrays["units"].tolist() == [2]
    alone = asked.run(engine.model(ref))
    assert sum(shown) > 800 and all(np.array_equal(alone.arrays[name], second.arrays[name], equal_nan=True) for name in alone.arrays)
    shown.clear()
    engine.run(Tuning(layer="gabor_relu", units=(2,), orientations=12, feature="lines", twins=0), ref, None, Task())
    assert sum(shown) > 200, "other stimuli"


def test_line_detectors_prefer_their_angle_over_180_degrees(model: TracedModel) -> None:
    result = Tuning(layer="gabor_relu", feature="lines", orientations=16, twins=1).run(model)
    away = (result.arrays["preferred"] - 11.25 * np.arange(16) + 90) % 180 - 90
    assert np.abs(away).max() < 4
    assert np.isnan(result.arrays["index"]).all()
    assert result.arrays["r2"].min() > 0.6
    assert result.arrays["null_curve"].shape == (1, 16)
    assert len(result.arrays["units"]) == 4, "the best of the layer where none were named"


@pytest.mark.parametrize("feature", ["corners", "high_low"])
def test_every_feature_can_be_turned(small: TracedModel, feature: str) -> None:
    result = Tuning(layer="3", feature=feature, orientations=12, twins=1).run(small)
    for name in ("curve", "heatmap", "grating", "hue", "position", "morph", "r2", "null_r2"):
        assert np.isfinite(result.arrays[name][: len(result.arrays["units"])]).any(), name
    assert result.figures()["layer"].axes


def test_stimuli_stand_where_the_middle_position_looks(small: TracedModel) -> None:
    field = receptive_field(small, small.layer("3"))
    assert (field.height, field.width) == (13, 13)
    assert (field.top, field.left) == (10, 10), "position 5 of 10, every second pixel"
    assert field.middle((32, 32)) == (0.5 / 32, 0.5 / 32)
    probe = probe_of("curves", 13 / 32, field.middle((32, 32)), 32, 12)
    assert set(probe.table()[0]["x"]) == {0.5 / 32}
    first, start = probe.table()
    second, later = probe.table([0, 0], 13 / 32)
    assert (start, later) == (0, 15)
    assert np.ptp(second["x"]) > 0 and (first["width"] != second["width"]).all()
    assert probe.table([0, 0], 0.4)[0].tobytes() == probe.table([0, 0], 0.4)[0].tobytes()


def test_what_is_chosen_among_noise_is_not_found_again() -> None:
    """Scores are those of the second rendering, so a unit that only fits the first one has none."""
    random = np.random.default_rng(0)
    first, second = random.normal(size=(2, 16, 24, 300)).clip(0)
    lines = random.normal(size=(2, 36, 300)).clip(0) * 0.1
    found = score(first, second, (lines[0], lines[1]), 360, 7.5)
    assert np.nanmean(found.r2) < 0.1
    assert found.family_r2 < 0.2
    again = score(first, first, (lines[0], lines[0]), 360, 0.0)
    assert np.nanmean(again.r2) > 0.2, "chosen and scored on the same stimuli it would look tuned"


def test_a_unit_of_which_the_index_is_unknown_scores_nothing_beside_lines() -> None:
    angles = np.arange(24) * 15.0
    bump = np.exp(4 * (np.cos(np.deg2rad(angles - 90)) - 1))
    first = (bump[None, :, None] - np.array([0.0, 2.0])).astype(float)  # of the second unit no curve is above the ground
    found = score(first, first, (np.zeros((3, 2)), np.zeros((3, 2))), 360, 0.0)
    assert np.isnan(found.index[1]) and found.r2[1] > 0.9 and found.score.tolist() == [pytest.approx(found.r2[0]), 0.0]
    assert set(found.family) == {-1, 0}
    assert score(first, first, None, 360, 0.0).score[1] > 0.9, "R2 alone where there are no lines"


def test_the_middle_of_patches_is_in_the_middle_and_what_is_global_does_not_make_the_field_the_whole_image() -> None:
    torch.manual_seed(0)

    class Patches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches, self.first = nn.Conv2d(3, 8, 4, stride=4), nn.Parameter(torch.zeros(1, 1, 8))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            tokens = self.patches(x).flatten(2).transpose(1, 2)
            return torch.cat([self.first.expand(x.shape[0], -1, -1), tokens], 1).relu()

    model = TracedModel.from_module(Patches(), torch.zeros(2, 3, 32, 32))
    [layer] = [layer for layer in model.layers.values() if layer.role == "post"]
    assert layer.positions == (65,)
    assert receptive_field(model, layer) == ReceptiveField(16, 16, 4, 4)

    class Squeezed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.gate, self.last = nn.Conv2d(3, 8, 5), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.conv(x)
            return self.last(x * self.gate(x.mean((2, 3), keepdim=True)).sigmoid())

    model = TracedModel.from_module(Squeezed(), torch.zeros(2, 3, 40, 40))
    field = receptive_field(model, model.layer("last"))
    assert 5 <= field.height <= 9 and 5 <= field.width <= 9
    pooled = TracedModel.from_module(nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1)), torch.zeros(2, 3, 40, 40))
    assert receptive_field(pooled, pooled.layer("1")).height == 40


def test_what_does_not_fit_is_refused_and_work_can_be_cancelled(small: TracedModel) -> None:
    with pytest.raises(InputError, match="units 0 to 7, not 8"):
        Tuning(layer="3", units=(8,), twins=0).run(small)

    narrow = TracedModel.from_module(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), torch.zeros(2, 3, 32, 32))
    with pytest.raises(InputError, match="cannot tell two frequencies apart"):
        Tuning(layer="1", feature="high_low", twins=0).run(narrow)

    class Impatient(Task):
        def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
            raise Cancelled

    with pytest.raises(Cancelled):
        Tuning(layer="3", twins=0).run(small, task=Impatient())
