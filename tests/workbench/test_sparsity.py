"""Sparsity measures against their known values, nulls on random weights, and the parts of planted sums."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import workbench
from workbench.analyses.sparsity import Sparsity, gini, participation
from workbench.images.array_set import ArraySet
from workbench.input_error import InputError
from workbench.models.layer import Unit
from workbench.models.preprocessing import Preprocessing
from workbench.models.traced_model import TracedModel
from workbench.pursuit import keep_best, pursue


def noise(number: int, side: int) -> ArraySet:
    return ArraySet(np.random.default_rng(0).integers(0, 256, (number, side, side, 3), np.uint8))


def test_measures_have_the_values_they_are_known_to_have() -> None:
    assert gini(np.ones(50)) == pytest.approx(0) and participation(np.ones(50)) == pytest.approx(50)
    alone = np.zeros(100)
    alone[3] = -2
    assert gini(alone) == pytest.approx(0.99) and participation(alone) == pytest.approx(1)
    assert np.isnan(gini(np.zeros(4))) and np.isnan(participation(np.zeros(4)))
    random = np.random.default_rng(0)
    planted = np.concatenate([np.ones(20), random.normal(0, 0.02, 980)])
    assert gini(planted) == pytest.approx(0.73, abs=0.01) and participation(planted) == pytest.approx(20.7, abs=0.2)
    assert gini(np.abs(random.normal(size=4000))) == pytest.approx(0.41, abs=0.01)
    assert gini(np.sqrt(random.chisquare(9, 4000))) == pytest.approx(0.13, abs=0.01)


def test_pursuit_finds_the_parts_where_the_largest_weights_do_not() -> None:
    random = np.random.default_rng(1)
    shared = random.normal(size=(800, 40)).repeat(5, 1)
    columns = 0.8**0.5 * shared + 0.2**0.5 * random.normal(size=(800, 200))
    parts = random.choice(200, 12, replace=False)
    wanted = columns[:, parts].sum(1) + 0.02 * random.normal(size=800)
    assert set(pursue(columns, wanted, 12)) == set(parts.tolist())
    assert len(set(np.argsort(-np.abs(columns.T @ wanted))[:12]) & set(parts)) < 12, "correlation alone does not"
    exact = pursue(np.eye(6)[:, :4], np.array([0, 3.0, 0, 1.0, 0, 0]), 4)
    assert exact == [1, 3], "nothing is left to explain"
    assert pursue(np.zeros((5, 3)), np.ones(5), 3) == []


def test_with_the_networks_own_weights_fewer_images_do() -> None:
    random = np.random.default_rng(2)
    columns = random.normal(size=(60, 200)) * 0.02
    parts = random.choice(200, 12, replace=False)
    columns[:, parts] *= 50
    wanted = columns.sum(1)
    assert set(keep_best(columns, wanted, 12)) == set(parts.tolist())
    assert keep_best(np.eye(4), np.array([0, 1.0, 0, 0]), 4) == [1]
    assert keep_best(np.ones((4, 1)), -np.ones(4), 1) == [], "what leads away is not kept"


class Random(nn.Module):
    """A layer of random weights, and one of a few."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Conv2d(3, 30, 3, padding=1)
        self.dense = nn.Conv2d(30, 40, 3, padding=1)
        self.few = nn.Conv2d(30, 8, 1)
        with torch.no_grad():
            nn.init.normal_(self.dense.weight)
            self.few.weight.zero_()
            for unit in range(7):  # the eighth has no weights at all
                self.few.weight[unit, [unit, unit + 10, unit + 20], 0, 0] = torch.tensor([1.0, -1.5, 2.0])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = torch.relu(self.features(x))
        return torch.cat([torch.relu(self.dense(features)), self.few(features)], 1)


@pytest.fixture(scope="module")
def model() -> TracedModel:
    return TracedModel.from_module(Random().eval(), torch.randn(2, 3, 8, 8), preprocessing=Preprocessing((8, 8)))


def features_of(model: TracedModel) -> str:
    return next(name for name, layer in model.layers.items() if layer.role == "post" and layer.units == 30)


def test_random_weights_stay_within_both_nulls(model: TracedModel) -> None:
    result = Sparsity(source=features_of(model), target="dense", images=60, draws=200).run(model, noise(60, 8))
    arrays = result.arrays
    for null in ("gaussian", "shuffled"):
        inside = (arrays[f"gini_{null}"][:, 0] <= arrays["gini"]) & (arrays["gini"] <= arrays[f"gini_{null}"][:, 1])
        assert inside.mean() >= 0.9
    assert result.summary["gini_above_nulls"] <= 2, "5 % of 40"
    assert result.summary["gini"]["median"] == pytest.approx(0.13, abs=0.03)
    assert arrays["energy"][:, -1] == pytest.approx(1, abs=1e-6) and (np.diff(arrays["energy"], axis=1) >= -1e-6).all()
    assert arrays["whole"] == pytest.approx(1, abs=1e-6), "from layer to layer the account is exact"
    assert np.nanmax(arrays["kept"]) < 0.999 and ((arrays["size"] == -1) | (arrays["size"] > 5)).all(), "it is built from many"


def test_a_unit_is_built_from_what_was_planted_and_one_without_weights_is_not_a_number(model: TracedModel, tmp_path) -> None:
    result = Sparsity(source=features_of(model), target="few", images=80, enough=0.99).run(model, noise(80, 8))
    arrays = result.arrays
    for unit in range(7):
        assert set(arrays["support"][unit][: arrays["size"][unit]].tolist()) == {unit, unit + 10, unit + 20}
        assert arrays["kept"][unit, 2] == pytest.approx(1, abs=1e-5) and arrays["participation"][unit] < 3
    assert np.isnan(arrays["gini"][7]) and np.isnan(arrays["participation"][7]) and arrays["size"][7] == -1
    assert (arrays["support"][7] == -1).all() and result.summary["units_built"] == 7
    assert arrays["gini"][:7].min() > arrays["gini_gaussian"][:7].max()
    assert {path.name for path in (result.save(tmp_path / "out") / "figures").iterdir()} == {"sparsity.png", "sparsity.pdf"}


def test_units_of_a_concatenation_stand_in_the_order_asked_for(model: TracedModel) -> None:
    result = Sparsity(source=features_of(model), target=model.graph.output, units=(41, 2), images=40).run(model, noise(40, 8))
    assert set(result.arrays["support"][0][:3].tolist()) == {1, 11, 21} and result.arrays["participation"][1] > 10


@pytest.mark.parametrize(("pursuit", "images"), [("kept", 800), ("fitted", 6000)])
def test_parts_of_planted_sums_among_correlated_inputs_are_found(pursuit: str, images: int) -> None:
    model = workbench.load("bundled:planted/sparse_net")
    circuit = model.circuit
    assert circuit is not None
    truth: dict[int, set[int]] = {}
    for start, end, _ in circuit.edges:
        truth.setdefault(Unit.parse(end).index, set()).add(Unit.parse(start).index)
    side = model.preprocessing.size[0]
    noisy = tuple(range(len(truth) // 2, len(truth)))
    analysis = Sparsity(source="features", target="sums", units=noisy, pursuit=pursuit, images=images, keep=20, batch=200)
    result = analysis.run(model, noise(images, side))
    arrays = result.arrays
    assert arrays["gini"].mean() == pytest.approx(0.73, abs=0.02) and arrays["participation"].mean() == pytest.approx(20.7, abs=0.5)
    recall = [len(set(chosen.tolist()) & truth[unit]) / len(truth[unit]) for unit, chosen in zip(noisy, arrays["support"], strict=True)]
    assert np.mean(recall) >= 0.95, recall
    assert np.median(arrays["kept"][:, -1]) > 0.65, "the others are small, but 980"


def test_what_does_not_fit_is_said(model: TracedModel) -> None:
    with pytest.raises(InputError, match="choose a source before it"):
        Sparsity(source="few", target="features").run(model, noise(10, 8))
    with pytest.raises(InputError, match="at least 8"):
        Sparsity(source="features", target="few").run(model, noise(4, 8))
