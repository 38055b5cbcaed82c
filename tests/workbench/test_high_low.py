"""High-low frequency detectors that were planted are found with their side and written; where there are none, none is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

import workbench
from workbench.analyses.analysis import Result
from workbench.analyses.hand_coding import HandCodedHighLow, HandCoding
from workbench.analyses.hand_coding.directed import Half, Selectivity, Tell, search, selectivity
from workbench.analyses.hand_coding.high_low import SHARES, halves_of, seeing_layers, visible
from workbench.input_error import InputError
from workbench.jobs.engine import Engine
from workbench.kernel_edits import KernelEdit
from workbench.models.kernel_site import KernelSite
from workbench.models.layer import Unit
from workbench.models.planted.high_low import SIDES
from workbench.models.traced_model import TracedModel
from workbench.reports.early_vision import _detectors, _high_low
from workbench.reports.report import write_report

PLANTED = "bundled:planted/high_low_net"


@pytest.fixture(scope="module")
def model() -> TracedModel:
    return workbench.load(PLANTED)


@pytest.fixture(scope="module")
def found(model: TracedModel) -> Result:
    return HandCodedHighLow(scales=1, twins=3).run(model)


def test_planted_detectors_are_found_with_their_side_and_no_others(found: Result) -> None:
    summary = found.summary
    assert summary["layer"] == "boundary_relu" and summary["beyond_twins_of"] == {"boundary_relu": 4} and summary["unwritable"] == ""
    by_unit = {int(one["unit"].rpartition(":")[2]): one for one in summary["units"]}
    assert {unit for unit, one in by_unit.items() if one["beyond"]} == set(range(len(SIDES)))
    for unit, side in enumerate(SIDES):
        one = by_unit[unit]
        assert abs((one["prefers"] - side + 180) % 360 - 180) < 3 and one["score"] > 0.6 > 1.5 * summary["twin_highest"]
        assert one["held_out"] > 0.99 and abs(one["score_by_hand"] - one["score"]) < 0.02
    assert all(abs(one["score"]) < 0.05 for unit, one in by_unit.items() if unit >= len(SIDES)), "fine, coarse and line units are none"
    assert set(HandCodedHighLow.draw(found)) == {"scores", "boundaries"}


def test_detectors_written_by_hand_bring_back_what_the_own_ones_do_and_shuffled_ones_do_not(model: TracedModel, found: Result) -> None:
    assert model.circuit is not None
    images = workbench.load_images(model.circuit.images)
    edits = tuple(one["edit"] for one in found.summary["units"] if one["beyond"])
    hand = HandCoding(edits=edits, shuffles=2).run(model, images).summary
    assert hand["recovered_low"] > 0.95 and hand["accuracy_hand"] > hand["accuracy_full"] - 0.02 > 0.8 > 0.5 > hand["accuracy_ablated"]
    assert hand["offset_recovered"] == pytest.approx(0, abs=1e-3) and hand["shuffled_max"] < 0.5
    back = []
    for unit in range(len(SIDES)):
        site, index = KernelSite.of(model, Unit("boundary_relu", unit))
        back.append(KernelEdit("boundary_relu", unit, *site.kernel(model, index)).document())
    own = HandCoding(edits=tuple(back), shuffles=0).run(model, images).summary
    assert own["recovered"] == pytest.approx(1, abs=1e-3)


def test_a_network_without_has_none_and_says_what_it_could_have_seen(model: TracedModel) -> None:
    site, _ = KernelSite.of(model, Unit("boundary_relu", 0))
    kernels = dict(model.graph.root.named_parameters())[site.weight].detach().clone()
    kernels[: len(SIDES)] = kernels[: len(SIDES)].abs()  # both sides alike: energy at any frequency
    without = model.with_tensors({site.weight: kernels}, "no detectors")
    summary = HandCodedHighLow(scales=1, twins=3).run(without).summary
    assert summary["beyond_twins"] == 0 and not any(one["beyond"] for one in summary["units"])
    assert 0 < summary["visible"] < 1


class Layers(TracedModel):
    """In place of a network: two layers of units that answer to nothing in particular, others for every seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def twin(self, seed: int, layers: Sequence[str] | None = None) -> Layers:
        return Layers(self.seed + 1 + seed)


def noise(network: TracedModel, names: Sequence[str], tell: Tell) -> dict[str, Selectivity]:
    assert isinstance(network, Layers)
    random = np.random.default_rng(network.seed)
    angles = np.arange(12) * np.pi / 6
    drawn = (random.exponential(size=(2, 3, 12, 15)) for _ in names)
    return {name: selectivity(*(Half(angles, half, half.mean(1)) for half in pair)) for name, pair in zip(names, drawn, strict=True)}


def test_of_networks_that_are_all_alike_one_is_beyond_the_others_as_often_as_chance_has_it() -> None:
    """The null level: the best of all units of a network is above those of 5 that were drawn as it was, once in 6 times."""
    names, beyond, scores = ["first", "second"], [], []
    for first in range(0, 6 * 200, 6):
        own = noise(Layers(first), names, lambda _: None)
        found = search(Layers(first), own, noise, number=4, twins=5, seed=0, tell=lambda _: None)
        beyond.append(sum(found.beyond.values()) > 0)
        assert (found.most > found.bar) == beyond[-1]
        scores += [one.score for one in own.values()]
    apart = (200 * 1 / 6 * 5 / 6) ** 0.5
    assert abs(sum(beyond) - 200 / 6) < 3 * apart
    each = np.concatenate(scores)
    assert abs(np.nanmean(each)) < 4 * np.nanstd(each) / len(each) ** 0.5, "chosen on one half, so on the other no direction is the best"


def test_random_weights_are_far_below_an_ideal_detector(model: TracedModel) -> None:
    layers = ["boundary_relu"]
    for seed in range(100, 103):
        halves = halves_of(model.twin(seed, layers), layers, 1, lambda _: None)
        assert np.nanmax(selectivity(*halves["boundary_relu"]).score) < 0.4, "an ideal detector has 0.79"


def test_a_kernel_is_written_for_the_side_of_the_stimuli_that_its_unit_was_chosen_by(
    model: TracedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held-out stimuli have no say: where they point to another side, what is written is the same."""

    def turned(first: Half, second: Half) -> Selectivity:
        return selectivity(first, Half(second.angles, np.roll(second.response, 4, 1), second.even))

    angles = np.arange(12) * np.pi / 6
    response = np.cos(angles[:, None] - np.pi / 2).clip(0)[None]
    found = turned(*(Half(angles, response, np.zeros((1, 1))) for _ in range(2)))
    assert found.chosen == pytest.approx(90) and found.prefers == pytest.approx(150) and found.score < 0
    written = []
    for choose in (selectivity, turned):
        monkeypatch.setattr("workbench.analyses.hand_coding.high_low.selectivity", choose)
        units = HandCodedHighLow(scales=1, twins=1, number=24).run(model).summary["units"]
        written.append({one["unit"]: one["parameters"] for one in units})
    assert written[0] == written[1]


def test_the_visible_effect_is_smaller_where_the_bar_is_lower_and_none_where_it_is_above_the_ideal() -> None:
    angles = np.arange(12) * np.pi / 6
    flat = np.random.default_rng(0).uniform(0.5, 1, (1, 12, 40))
    halves = [Half(angles, flat, flat.mean(1)) for _ in range(2)]
    low, high, beyond = (visible(halves[0], halves[1], bar) for bar in (0.05, 0.5, 0.85))
    assert low is not None and high is not None and low < high and beyond is None


def test_the_visible_effect_is_the_part_of_the_mean_square_that_was_added_to_units_that_are_none() -> None:
    angles = np.arange(12) * np.pi / 6
    even = np.ones((1, 12, 10))
    found = visible(Half(angles, even, 1.0), Half(angles, even, 1.0), 0.3)
    # An added cosine of mean square 1 has mean 0.637 above 0 and vector sum 0.5: the first share that is enough, and its part.
    share = next(s for s in SHARES if 0.5 * s**0.5 / ((1 - s) ** 0.5 + 0.637 * s**0.5) > 0.3)
    assert found == pytest.approx(share / (1 + 2 * 0.637 * (share * (1 - share)) ** 0.5), abs=0.02) and found < share - 0.05
    detectors = np.cos(angles[:, None] - np.linspace(0, 6, 90)).clip(0)[None] * 2
    both = Half(angles, np.concatenate([even, detectors], 2), np.concatenate([np.ones((1, 10)), np.zeros((1, 90))], 1))
    assert visible(both, both, 0.3) == found, "nine of ten are found already"


def test_layers_that_cannot_be_written_are_looked_through_and_say_why() -> None:
    torch.manual_seed(0)
    grouped = torch.nn.Conv2d(8, 8, 9, padding=4, groups=8)
    first = [torch.nn.ZeroPad2d(1), torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU()]
    net = torch.nn.Sequential(*first, grouped, torch.nn.ReLU(), torch.nn.Conv2d(8, 4, 1), torch.nn.ReLU())
    model = TracedModel.from_module(net, torch.zeros(2, 3, 32, 32))
    assert seeing_layers(model) == ["4", "6"], "the first reads the image, if with a rim"
    analysis = HandCodedHighLow(twins=1, scales=1, layer="4")
    result = analysis.run(model)
    assert "grouped kernels" in result.summary["unwritable"] and not any("edit" in one for one in result.summary["units"])
    assert set(HandCodedHighLow.draw(result)) == {"scores"}
    with pytest.raises(InputError, match="joins several layers"):
        HandCodedHighLow(layer="mixed3a", twins=1).run(workbench.load("bundled:inception"))


def test_a_twin_for_some_layers_is_the_whole_one_there() -> None:
    model = workbench.load("bundled:inception")
    images = model.preprocess(torch.rand(2, 3, 64, 64))
    layers = ["conv2d2", "mixed3a.3x3.bn"]
    with torch.inference_mode():
        whole, part = (twin.activations(images, layers) for twin in (model.twin(3), model.twin(3, layers)))
    assert all(torch.allclose(whole[name], part[name], rtol=1e-5, atol=1e-6) for name in layers)


def test_the_answer_names_every_layer_with_detectors_and_the_highest_score_of_all() -> None:
    told = {"looked_through": {"a": 30, "b": 20}, "layer": "a", "twins": 5, "twin_highest": 0.3, "visible": 0.25, "unwritable": ""}
    none = _high_low(told | {"beyond_twins_of": {"a": 0, "b": 0}, "highest": 0.29, "units": [{"beyond": False, "score": 0.1}]})
    assert none.startswith("no high-low") and "of 50 units of a, b" in none and "score 0.29 at most" in none and "25% or more" in none
    units = [{"beyond": True, "score": 0.5, "edit": {}}] * 2
    some = _high_low(told | {"beyond_twins_of": {"a": 2, "b": 1}, "highest": 0.6, "units": units})
    assert some.startswith("3 high-low frequency detectors in a (2), b (1): of 50 units") and "score 0.60 at most" in some
    assert some.endswith("Written were the 2 highest of a.")
    one = _high_low(told | {"beyond_twins_of": {"a": 0, "b": 1}, "highest": 0.6, "layer": "b", "units": units[:1]})
    assert one.startswith("1 high-low frequency detector in b: ") and "this one prefers" in one and "Written" not in one
    table = _detectors(told | {"units": [{"unit": f"a:{n}", "prefers": 0.0, **units[0]} for n in range(12)]})
    assert "the 6 units with the highest score of 30 of a" in table.caption and "12 units are present and were written" in table.caption


def test_the_report_says_it_of_a_network_that_has_them(monkeypatch: pytest.MonkeyPatch, model: TracedModel) -> None:
    from workbench.analyses.hand_coding import EarlyFamilies

    monkeypatch.setattr("workbench.reports.early_vision.EarlyFamilies", lambda **_: EarlyFamilies(draws=50, twins=1))
    monkeypatch.setattr("workbench.reports.early_vision.HandCodedHighLow", lambda **_: HandCodedHighLow(scales=1, twins=3))
    assert model.circuit is not None
    findings = write_report(Engine(), "7.5", [PLANTED], images=model.circuit.images).findings
    told = findings.figures[PLANTED]
    assert [one["unit"] for one in told["high_low"]["units"] if one["beyond"]] and told["high_low_frequency"]["recovered"] > 0.9
    said = [part for part in findings.sections[0].parts if isinstance(part, str)]
    assert any("4 high-low frequency detectors in boundary_relu" in part and "(4 units) bring back" in part for part in said)
