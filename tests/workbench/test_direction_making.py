"""Making directions: they explain or separate held-out concepts, beside their null, and become units."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from pydantic import ValidationError

import workbench
from workbench.analyses.directions import Directions, keep
from workbench.images.array_set import ArraySet
from workbench.images.image_set import ImageSet
from workbench.input_error import InputError
from workbench.models.traced_model import TracedModel


@pytest.fixture(scope="module")
def model() -> TracedModel:
    return workbench.load("bundled:planted/polysemantic_net")


@pytest.fixture(scope="module")
def shown(model: TracedModel) -> ImageSet:
    assert model.circuit is not None
    images = workbench.load_images(model.circuit.images)
    kept = ArraySet(np.concatenate([batch.images for batch in images.batches((33, 33), 64)]), "lines", images.ids)
    kept.columns = images.columns
    return kept


@pytest.mark.parametrize("method", ["pca", "nmf"])
def test_factors_explain_more_of_held_out_images_than_random_directions(
    model: TracedModel, shown: ImageSet, method: Literal["pca", "nmf"]
) -> None:
    result = Directions(layer="mixed", method=method, number=6, places=16).run(model, shown)
    assert result.summary["explained"] > result.summary["null"] + 0.1
    assert (np.diff(result.arrays["explained"]) >= -1e-6).all() and result.figures()
    np.testing.assert_allclose(result.arrays["encoder"] @ result.arrays["decoder"].T, np.eye(6), atol=1e-4)


@pytest.mark.parametrize("method", ["difference", "probe"])
def test_two_kinds_are_told_apart_on_held_out_images(
    model: TracedModel, shown: ImageSet, method: Literal["difference", "probe"], monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    hue = sorted(set(shown.columns["ink_hue"]))[0]
    result = Directions(layer="relu", method=method, column="ink_hue", positive=hue).run(model, shown)
    assert result.summary["auroc"] > 0.95 > result.summary["null"] and result.summary["accuracy"] > 0.9
    assert result.figures()
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path))
    made = keep(result, "red")
    derived = workbench.load("bundled:planted/polysemantic_net?directions=red")
    assert derived.layer("relu~red").units == 1 and made.called(0) == f"{hue} - others"


def test_variance_explained_is_about_the_mean_whatever_the_method(model: TracedModel) -> None:
    random = np.random.default_rng(0)
    net = torch.nn.Conv2d(3, 8, 1)
    with torch.no_grad():
        net.weight.copy_(torch.from_numpy(random.normal(size=(8, 3, 1, 1)).astype(np.float32)) * 0.1)
        net.bias.fill_(10)  # nearly all of the squares is the mean
    far = TracedModel.from_module(net, torch.rand(2, 3, 9, 9))
    noise = ArraySet(random.integers(0, 256, (60, 9, 9, 3), np.uint8), "noise")
    nmf = Directions(layer=far.graph.output, method="nmf", number=1).run(far, noise)
    best = Directions(layer=far.graph.output, method="pca", number=1).run(far, noise)
    assert nmf.summary["explained"] < best.summary["explained"] + 0.05 and nmf.summary["explained"] < 0.8 < 1
    with torch.no_grad():
        net.weight.zero_()
        net.bias.zero_()
    with pytest.raises(InputError, match="no factors"):
        Directions(layer=far.graph.output, method="nmf").run(TracedModel.from_module(net, torch.rand(2, 3, 9, 9)), noise)


def test_the_spread_of_a_difference_is_that_of_positions(model: TracedModel, shown: ImageSet) -> None:
    hue = sorted(set(shown.columns["ink_hue"]))[0]
    result = Directions(layer="relu", method="difference", column="ink_hue", positive=hue, places=16).run(model, shown)
    with torch.inference_mode():
        x = model.preprocess(np.stack([shown.image(i, (33, 33)) for i in range(0, len(shown), 3)]))
        value = torch.einsum("bcyx,c->byx", model.activations(x, ["relu"])["relu"], torch.from_numpy(result.arrays["encoder"][0]))
    assert result.arrays["spread"][0] == pytest.approx(float(value.std()), rel=0.25)
    assert result.arrays["spread"][0] > 1.5 * result.arrays["score"].std(), "means over an image vary less than its positions do"


def test_labels_that_mean_nothing_stay_at_chance(model: TracedModel, shown: ImageSet) -> None:
    random = ArraySet(np.stack([shown.image(i, (33, 33)) for i in range(120)]), "random")
    random.columns = {"kind": [str(bit) for bit in np.random.default_rng(0).integers(0, 2, 120)]}
    result = Directions(layer="relu", method="probe", column="kind", positive="1").run(model, random)
    assert result.summary["auroc"] <= max(result.summary["null"], 0.65)


def test_what_cannot_be_made_is_refused(model: TracedModel, shown: ImageSet) -> None:
    with pytest.raises(ValidationError, match="needs a column"):
        Directions(layer="relu", method="probe")
    with pytest.raises(InputError, match="no column"):
        Directions(layer="relu", method="probe", column="style", positive="x").run(model, shown)
    with pytest.raises(InputError, match="use another column"):
        Directions(layer="relu", method="difference", column="concept", positive="x").run(model, shown)
    with pytest.raises(InputError, match="has no 'x'"):
        Directions(layer="relu", method="probe", column="ink_hue", positive="x").run(model, shown)
