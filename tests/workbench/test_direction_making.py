"""Making directions: they explain or separate held-out concepts, beside their null, and become units."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
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
