"""Planted circuits explain everything and random sets do not; the two ends are exact."""

from __future__ import annotations

import numpy as np
import pytest

import workbench
from workbench.analyses.explained_fraction import ExplainedFraction
from workbench.images.image_set import ImageSet
from workbench.input_error import InputError
from workbench.models.traced_model import TracedModel

GATES = ("relu:0", "relu:1", "2", "3")


@pytest.fixture(scope="module")
def model() -> TracedModel:
    return workbench.load("bundled:planted/and_or_net_decoys")


@pytest.fixture(scope="module")
def lines(model: TracedModel) -> ImageSet:
    assert model.circuit is not None
    return workbench.load_images(model.circuit.images)


@pytest.mark.parametrize("method", ["mean", "resample"])
def test_a_planted_circuit_beats_every_random_set_of_its_size(model: TracedModel, lines: ImageSet, method: str) -> None:
    circuit = ("saturate:0", "saturate:1", *GATES)
    result = ExplainedFraction(circuit=circuit, method=method, draws=40).run(model, lines)
    summary = result.summary
    assert summary["explained"] > 0.95 and summary["percentile"] == 100 and summary["p"] == pytest.approx(1 / 41)
    assert summary["null_max"] < summary["explained"] and summary["above_best_low"] > 0
    assert [(layer["layer"], layer["kept"]) for layer in summary["layers"]] == [("saturate", 2), ("relu", 4)]
    assert summary["layers"][0]["first"] == [0, 1] and len(result.arrays["null_explained"]) == 40
    assert summary["explained_low"] <= summary["explained"] <= summary["explained_high"]


def test_everything_kept_is_one_and_nothing_kept_is_zero_exactly(model: TracedModel, lines: ImageSet) -> None:
    everything = ExplainedFraction(layers=("saturate", "relu"), number=1000).run(model, lines)
    assert everything.summary["explained"] == 1 and "null_missing" in everything.summary
    assert np.array_equal(everything.arrays["loss_circuit"], everything.arrays["loss_clean"])
    nothing = ExplainedFraction(layers=("saturate", "relu"), number=0).run(model, lines)
    assert nothing.summary["explained"] == 0 and not nothing.arrays["kept/0"].any()


@pytest.mark.parametrize("ranking", ["attribution", "deviation"])
def test_evidence_chooses_the_units_on_one_half(model: TracedModel, lines: ImageSet, ranking: str) -> None:
    result = ExplainedFraction(layers=("saturate",), number=2, ranking=ranking).run(model, lines)
    assert result.arrays["evidence/0"].shape == (53,)
    if ranking == "attribution":
        assert np.flatnonzero(result.arrays["kept/0"]).tolist() == [0, 1]
        assert result.summary["explained"] > result.summary["null_max"]
    assert result.summary["images"] == result.summary["chosen_on"] == len(lines) // 2


def test_a_layer_named_beside_the_circuit_is_ablated_as_a_whole(model: TracedModel, lines: ImageSet) -> None:
    result = ExplainedFraction(circuit=GATES, layers=("saturate",)).run(model, lines)
    assert [layer["kept"] for layer in result.summary["layers"]] == [0, 4]
    assert result.summary["explained"] < 0.1, "the gates read nothing but means"


def test_it_draws(model: TracedModel, lines: ImageSet) -> None:
    figure = ExplainedFraction(layers=("saturate",), number=2).run(model, lines).figures()["explained"]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert any("20 random sets" in label for label in labels) and any("the circuit" in label for label in labels)


def test_what_cannot_be_asked_is_refused(model: TracedModel, lines: ImageSet) -> None:
    for asked, says in (
        ({}, "name the circuit's units"),
        ({"circuit": ("3",)}, "names no layer"),
        ({"circuit": ("relu:9",)}, "relu has units 0 to 3, not 9"),
        ({"circuit": ("relu:1",), "number": 3}, "give one of them"),
    ):
        with pytest.raises(InputError, match=says):
            ExplainedFraction(**asked).run(model, lines)
