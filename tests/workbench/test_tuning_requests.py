"""What the worker answers about one stimulus."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from workbench.images.stimuli import Curves
from workbench.images.stimulus import FAMILIES
from workbench.jobs.engine import Engine
from workbench.jobs.store import Store
from workbench.jobs.tuning_requests import STIMULI, UnitOnStimulus
from workbench.models.traced_model import TracedModel
from workbench.task import Task


class OneModel(Engine):
    """An engine that has one network, whatever is asked for."""

    def __init__(self, store: Store, model: TracedModel) -> None:
        super().__init__(store)
        self.only = model

    def model(self, ref: str, *, allow_code: bool = False, task: Task | None = None) -> TracedModel:
        return self.only


@pytest.fixture
def engine(tmp_path) -> Engine:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 5, stride=2), nn.ReLU(), nn.Conv2d(4, 6, 3))
    return OneModel(Store(tmp_path), TracedModel.from_module(net.eval(), torch.zeros(2, 3, 32, 32)))


def test_a_stimulus_is_drawn_and_read_at_the_middle(engine: Engine) -> None:
    found = UnitOnStimulus("any", "2", 3, "curves", (("orientation", 30.0), ("x", 0.1))).run(engine, Task())
    assert found["image"].shape == (32, 32, 3) and found["image"].dtype == np.uint8
    assert found["values"]["orientation"] == 30 and found["values"]["radius"] == 0.3
    model = engine.model("any")
    drawn = Curves().render(Curves().grid(orientation=30, x=0.1), (32, 32))
    with torch.inference_mode():
        activation = model.activations(model.preprocess(drawn), ["2"])["2"][0, 3]
    assert found["value"] == pytest.approx(float(activation[6, 6]), abs=1e-5)
    assert found["largest"] == pytest.approx(float(activation.max()), abs=1e-5)
    assert found["ground"] != found["value"]
    assert found["field"] == (12, 12, 9, 9)


def test_the_field_of_the_same_weights_in_images_of_another_size_is_another(engine: Engine) -> None:
    torch.manual_seed(0)
    net = nn.Conv2d(3, 4, 5).eval()
    small, large = (TracedModel.from_module(net, torch.zeros(2, 3, side, side)) for side in (16, 32))
    [layer] = [layer.name for layer in large.layers.values() if layer.kind == "conv2d"]
    assert small.weight_hash == large.weight_hash
    assert [engine.field_of_middle(model, layer).top for model in (small, large)] == [6, 14]


def test_every_family_can_be_asked_for(engine: Engine) -> None:
    for family in STIMULI:
        found = UnitOnStimulus("any", "2", 0, family).run(engine, Task())
        assert np.isfinite(found["value"]), family
        assert np.isnan(found["ground"]) == (family == "colours"), "a plain colour has no ground of its own"


def test_the_ground_is_that_without_ink_whatever_was_asked_before(engine: Engine) -> None:
    model = engine.model("any")
    for name, family in FAMILIES.items():
        if "contrast" not in {part.name for part in family.parameters}:
            continue
        shapes = [part.name for part in family.parameters if "chroma" not in part.name and part.name not in ("frequency", "high", "low")]
        for row in family.random(6, 3, shapes):
            given = {field: 0.0 if "chroma" in field else float(row[field]) for field in row.dtype.names}
            found = UnitOnStimulus("any", "2", 3, name, tuple(given.items())).run(engine, Task())
            blank = family.render(family.grid(**(given | {"contrast": 0.0})), (32, 32))
            with torch.inference_mode():
                alone = model.activations(model.preprocess(blank), ["2"])["2"][0, 3, 6, 6]
            assert found["ground"] == pytest.approx(float(alone), abs=1e-5), name
