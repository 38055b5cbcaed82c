"""Faithfulness curves on networks whose inputs are known, and their ends, which are known for every network."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import workbench
from workbench.analyses.analysis import Result
from workbench.analyses.faithfulness import Faithfulness, compare, table
from workbench.analyses.faithfulness.findings import area, explained, needed
from workbench.analyses.faithfulness.orders import greedy, left_out, numbers_of, ranked, shuffled
from workbench.images.array_set import ArraySet
from workbench.input_error import InputError
from workbench.models.preprocessing import Preprocessing
from workbench.models.traced_model import TracedModel
from workbench.task import Cancelled, Task

SIDE, PARTS, LOUD = 8, 5, 25
CLASSES = ("red", "green", "blue")
QUICK: dict[str, Any] = {"images": 60, "scored": 0, "greedy_units": 2, "draws": 3, "positions": 4, "task_images": 20}


class Planted(nn.Module):
    """Units that add up 5 inputs which vary, among 25 that are always nearly 3; one that never varies; and one that is not finite."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        inputs = PARTS + LOUD + 2
        self.features = nn.Conv2d(3, inputs, 3, padding=1)
        self.sums = nn.Conv2d(inputs, 6, 1)
        self.head = nn.Linear(6, len(CLASSES))
        with torch.no_grad():
            self.features.weight[PARTS:] *= 0.004
            self.features.bias.zero_()
            self.features.bias[PARTS:] = 3.0
            self.sums.weight.fill_(0.0)
            self.sums.weight[:4, :PARTS] = torch.rand(4, PARTS, 1, 1) + 0.5
            self.sums.weight[:4, PARTS : PARTS + LOUD] = 2.0
            self.sums.weight[5, 0] = torch.inf
            self.head.weight[:, 4:] = 0.0
            x = torch.from_numpy(noise(60)).permute(0, 3, 1, 2) / 127.5 - 1
            self.head.weight *= 4 / self(x).std(0)[:, None]
            self.head.bias -= self(x).mean(0)
            self.classes = self(x).argmax(1).tolist()

    def forward(self, x: Tensor) -> Tensor:
        sums = torch.relu(self.sums(torch.relu(self.features(x))))
        return self.head(sums[:, :5].mean((2, 3)).matmul(torch.eye(5, 6)))


def noise(number: int, side: int = SIDE) -> Any:
    random = np.random.default_rng(0)
    return random.integers(0, 120, (number, side, side, 3), np.uint8) + random.integers(0, 120, (number, 1, 1, 3), np.uint8)


def pictures(number: int = 60, labels: bool = True) -> ArraySet:
    """Noise in which the network is right, two drawings of each concept."""
    found = ArraySet(noise(number))
    found.columns = {"concept": [f"concept {place // 2}" for place in range(number)]}
    if labels:
        found.columns |= {"colour": [CLASSES[one] for one in Planted().classes[:number]]}
    return found


@pytest.fixture(scope="module")
def model() -> TracedModel:
    return TracedModel.from_module(
        Planted().eval(), torch.rand(2, 3, SIDE, SIDE), CLASSES, preprocessing=Preprocessing((SIDE, SIDE)), name="planted"
    )


@pytest.fixture(scope="module")
def result(model: TracedModel) -> Result:
    return Faithfulness(layers=("sums",), levels=30, **QUICK).run(model, pictures())


def at(result: Result, number: int, name: str = "explained", layer: int = 0) -> Any:
    """What so many inputs explain."""
    return result.arrays[f"{name}/{layer}"][..., result.arrays[f"numbers/{layer}"].tolist().index(number)]


def good(result: Result) -> Any:
    """Rows of the four planted units."""
    return result.arrays["units/0"] < 4


def test_a_unit_of_five_inputs_is_explained_by_five_and_by_no_wrong_five(model: TracedModel, result: Result) -> None:
    mine = good(result)
    assert (at(result, PARTS)[mine] >= 0.99).all()
    assert (at(result, PARTS, "random")[:, mine].mean(0) < 0.6).all()
    wrong = Faithfulness(layers=("sums",), levels=30, ranking="weight_mean", **QUICK).run(model, pictures())
    assert (at(wrong, PARTS)[good(wrong)] < 0.1).all(), "the loud inputs come first"
    assert (np.sort(result.arrays["strongest/0"][mine][:, :PARTS]) == np.arange(PARTS)).all()
    layer = result.summary["layers"][0]
    assert layer["k_90"] <= PARTS < layer["k_90_random"] and layer["area"] - layer["area_random"] > layer["area_detectable"]
    assert layer["area_low"] <= layer["area"] <= layer["area_high"]


@pytest.mark.parametrize("method", ["mean", "resample"])
def test_all_inputs_explain_all_and_none_explain_nothing_exactly(model: TracedModel, method: str) -> None:
    found = Faithfulness(layers=("sums", "head"), method=method, levels=6, **QUICK).run(model, pictures())
    for layer, rows in ((0, good(found)), (1, slice(None))):
        for name in ("explained", "random"):
            ends = found.arrays[f"{name}/{layer}"][..., rows, :]
            assert (ends[..., 0] == 0).all() and (ends[..., -1] == 1).all()
        kept = found.arrays[f"task_kept/{layer}"]
        assert kept[0, 0] == 0 and kept[0, -1] == 1
        task = found.summary["layers"][layer]["task"]
        assert task["loss_all_kept"] == task["loss_clean"] and task["accuracy_all_kept"] == task["accuracy_clean"]
        assert task["loss_none_kept"] > task["loss_clean"]
    greedy_ends = found.arrays["greedy/1"]
    assert (greedy_ends[:, 0] == 0).all() and (greedy_ends[:, -1] == 1).all()


def test_units_that_do_not_vary_or_are_not_finite_are_named_and_in_no_median(result: Result) -> None:
    layer = result.summary["layers"][0]
    assert layer["dead"] == {"units": 1, "first": [4]} and layer["not_finite"] == {"units": 1, "first": [5]}
    assert layer["scored"] == 4
    assert np.isnan(result.arrays["explained/0"][~good(result)]).all() and np.isfinite(result.arrays["curve/0"]).all()


def test_the_task_says_what_is_right_by_chance_and_with_nothing(result: Result) -> None:
    task = result.summary["layers"][0]["task"]
    assert result.summary["task"] == "log-probability of the right class (column colour)"
    assert task["chance"]["loss"] == pytest.approx(np.log(3)) and task["chance"]["accuracy"] == pytest.approx(1 / 3)
    assert result.summary["ranked_on"] + result.summary["scored_on"] == 60 and result.summary["groups"] == "concept"
    without = Faithfulness(layers=("sums",), levels=6, **QUICK).run(model_of(), pictures(labels=False))
    assert without.summary["task"] == "KL divergence from the clean classes"
    assert without.summary["layers"][0]["task"]["loss_clean"] == 0


def model_of() -> TracedModel:
    return TracedModel.from_module(Planted().eval(), torch.rand(2, 3, SIDE, SIDE), CLASSES, preprocessing=Preprocessing((SIDE, SIDE)))


def test_sums_of_twenty_among_a_thousand_correlated_inputs_are_told_from_noise() -> None:
    model = workbench.load("bundled:planted/sparse_net")
    plain = ArraySet(np.random.default_rng(0).integers(0, 256, (80, 16, 16, 3), np.uint8))
    found = Faithfulness(layers=("sums",), levels=200, **QUICK | {"images": 80, "greedy_units": 0, "task_images": 0}).run(model, plain)
    assert (at(found, 20) >= 0.95).all() and (at(found, 20)[found.arrays["units/0"] < 8] >= 0.99).all()
    assert at(found, 20, "random").max() < 0.35
    planted = {unit: {int(a.split(":")[1]) for a in facts["inputs"]} for unit, facts in model.circuit.units.items()}  # type: ignore[union-attr]
    for row, unit in enumerate(found.arrays["units/0"].tolist()):
        assert set(found.arrays["strongest/0"][row, :20].tolist()) == planted[f"sums:{unit}"]


def test_a_linear_path_that_cancels_explains_nothing_however_many_inputs_are_kept() -> None:
    model = workbench.load("bundled:planted/cancelling_path_net")
    emoji = workbench.load_images("emoji?styles=noto")
    found = Faithfulness(layers=("sums",), sources=("features",), images=64, scored=0, greedy_units=2).run(model, emoji)
    layer = found.summary["layers"][0]
    assert not layer["exact"] and "task" not in layer and [one["layer"] for one in layer["sources"]] == ["features"]
    everything = dict(zip(found.arrays["units/0"].tolist(), found.arrays["explained/0"][:, -1].tolist(), strict=True))
    first = dict(zip(found.arrays["units/0"].tolist(), at(found, 1).tolist(), strict=True))
    for unit in range(4):
        assert everything[unit] < 0.5, "|a| is no linear function of a"
        assert everything[unit + 4] > 0.99 and first[unit + 4] > 0.99
    nearer = Faithfulness(layers=("sums",), images=64, scored=0, greedy_units=0, task_images=0).run(model, emoji)
    assert nearer.summary["layers"][0]["exact"] and (at(nearer, 2) >= 0.99).all()
    with pytest.raises(InputError, match="resampling needs sources"):
        Faithfulness(layers=("sums",), sources=("features",), method="resample", images=64).run(model, emoji)


def test_neurons_that_read_three_earlier_ones_are_found_through_the_stream() -> None:
    model = workbench.load("bundled:planted/residual_sum_net")
    emoji = workbench.load_images("emoji?styles=noto")
    asked = Faithfulness(layers=("blocks.1.mlp.fc1",), sources=("blocks.0.mlp.act",), images=64, scored=0, greedy_units=0)
    found = asked.run(model, emoji)
    planted = {unit: {int(a.split(":")[1]) for a in facts["inputs"]} for unit, facts in model.circuit.units.items()}  # type: ignore[union-attr]
    strongest = dict(zip(found.arrays["units/0"].tolist(), found.arrays["strongest/0"][:, :3].tolist(), strict=True))
    hits = [len(planted[f"blocks.1.mlp.act:{unit}"] & set(strongest[unit])) for unit in range(16)]
    assert np.mean(hits) >= 2


def test_without_layers_it_takes_a_spread_of_what_is_a_sum(model: TracedModel) -> None:
    found = Faithfulness(spread=2, levels=4, **QUICK | {"images": 16, "task_images": 0}).run(model, pictures())
    assert [layer["layer"] for layer in found.summary["layers"]] == ["sums"], "few inputs are not worth a curve"
    vit = workbench.load("bundled:planted/residual_sum_net")
    some = Faithfulness(spread=4, levels=4, **QUICK | {"images": 16, "scored": 8, "task_images": 0}).run(
        vit, workbench.load_images("emoji?styles=noto")
    )
    names = [layer["layer"] for layer in some.summary["layers"]]
    assert len(names) == 4 and names == vit.graph.sort(names) and names[-1] == vit.graph.output


# What curves come to


def test_numbers_masks_and_orders() -> None:
    assert numbers_of(1, 5) == [0, 1] and numbers_of(100, 3) == [0, 1, 10, 100]
    order = ranked(np.array([[1.0, 3.0, np.nan, 2.0]]))
    assert order.tolist() == [[1, 3, 0, 2]], "what is not known comes last"
    assert left_out(order, [0, 1, 4])[0].T.tolist() == [[True] * 4, [True, False, True, True], [False] * 4]
    drawn = shuffled(3, 50, [0])
    assert (np.sort(drawn) == np.arange(50)).all() and len({tuple(row) for row in drawn.tolist()}) == 3


def test_greedy_finds_parts_that_are_not_the_strongest_and_keeps_to_those_that_compete() -> None:
    random = np.random.default_rng(0)
    parts = random.normal(size=(200, 3))
    loud = random.normal(size=(200, 1)) * 5
    columns = np.concatenate([loud, -loud, parts], 1)
    wanted = columns.sum(1)
    assert set(greedy(columns, wanted, np.arange(5), 5)[:3]) == {2, 3, 4}, "two that cancel are of no use alone"
    assert greedy(columns, wanted, np.arange(5), 2)[2:].tolist() == [2, 3, 4]


def test_how_many_are_needed_lies_between_levels_and_what_falls_again_does_not_count() -> None:
    numbers = [0, 1, 10, 100]
    curves = explained(np.array([[4.0, 2.0, 0.4, 0.0], [4.0, 0.0, 4.0, 0.0], [4.0, 4.0, 4.0, 4.0]]))
    assert needed(curves, numbers, 0.5)[0] == 1 and 1 < needed(curves, numbers, 0.8)[0] < 10
    assert needed(curves, numbers, 0.9)[1] == pytest.approx(10 * 10**0.9)
    assert needed(curves, numbers, 0.5)[2] == np.inf
    assert area(np.ones((1, 4)), numbers) == pytest.approx(1) and np.isnan(area(np.ones((1, 2)), [0, 1])).all()


# One figure and one table of several networks


def test_several_networks_stand_in_one_figure_and_one_table(result: Result, tmp_path: Path) -> None:
    other = Faithfulness(layers=("head", "sums"), levels=4, **QUICK).run(model_of(), pictures())
    rows = table([result, other])
    assert [(row["network"], row["layer"]) for row in rows] == [("planted", "sums"), ("Planted", "head"), ("Planted", "sums")]
    assert rows[0]["k_90"] == result.summary["layers"][0]["k_90"] and rows[0]["left_out"] == 2
    figure = compare([result, other])
    assert len(figure.axes) == 3 and [text.get_text() for text in figure.legends[0].get_texts()] == ["planted", "Planted"]
    assert (result.save(tmp_path) / "figures" / "faithfulness.png").stat().st_size > 10_000
    with pytest.raises(InputError, match="nothing to compare"):
        compare([])
    with pytest.raises(InputError, match="Ablation has no faithfulness curves"):
        table([Result("Ablation", {}, {}, {})])


# What is refused


def test_what_cannot_be_asked_is_refused(model: TracedModel) -> None:
    with pytest.raises(InputError, match="head does not feed sums"):
        Faithfulness(layers=("sums",), sources=("head",)).run(model, pictures())
    with pytest.raises(InputError, match="did you mean sums"):
        Faithfulness(layers=("sum",)).run(model, pictures())
    with pytest.raises(InputError, match="of two concepts and more"):
        Faithfulness(layers=("sums",)).run(model, pictures(2))


def test_it_can_be_cancelled(model: TracedModel) -> None:
    class Stops(Task):
        def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
            if done > 0.3:
                raise Cancelled

    with pytest.raises(Cancelled):
        Faithfulness(layers=("sums",), **QUICK).run(model, pictures(), Stops())


def test_the_same_seed_gives_the_same_curves(model: TracedModel, result: Result) -> None:
    again = Faithfulness(layers=("sums",), levels=30, **QUICK).run(model, pictures())
    for name, values in result.arrays.items():
        assert np.array_equal(values, again.arrays[name], equal_nan=values.dtype.kind == "f"), name
    assert OrderedDict(again.summary) == OrderedDict(result.summary)
