"""Activation maps of planted units."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from workbench.analyses.activation_maps import ActivationMaps
from workbench.images.array_set import ArraySet
from workbench.input_error import InputError
from workbench.models.preprocessing import Preprocessing
from workbench.models.traced_model import TracedModel


class Colours(nn.Module):
    """Units of red, green and blue; their means are the classes."""

    def __init__(self) -> None:
        super().__init__()
        self.colour = nn.Conv2d(3, 3, 1, bias=False)
        with torch.no_grad():
            self.colour.weight.copy_(torch.eye(3)[:, :, None, None])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 20 * self.colour(x).mean((2, 3))


@pytest.fixture(scope="module")
def model() -> TracedModel:
    plain = Preprocessing((6, 8), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    return TracedModel.from_module(
        Colours(), torch.randn(2, 3, 6, 8), ["red", "green", "blue"], preprocessing=plain, name="Colours"
    )


def test_a_map_says_where_a_unit_is_active_and_the_classes_what_is_seen(model: TracedModel, tmp_path) -> None:
    pixels = np.zeros((2, 6, 8, 3), np.uint8)
    pixels[1, 2, 5] = (0, 102, 255)
    result = ActivationMaps(layer="colour", units=(2, 1), image=1).run(model, ArraySet(pixels))
    maps = result.arrays["maps"]
    assert maps.shape == (2, 6, 8) and np.count_nonzero(maps) == 2
    assert maps[0, 2, 5] == pytest.approx(1.0) and maps[1, 2, 5] == pytest.approx(0.4)
    np.testing.assert_allclose(result.arrays["value"], [1.0, 0.4], rtol=1e-6)
    assert result.arrays["class_names"][0] == "blue" and result.summary["units"][0] == {"unit": 2, "value": pytest.approx(1.0)}
    np.testing.assert_array_equal(result.arrays["input"], pixels[1])
    assert {"maps.png", "maps.pdf"} <= {path.name for path in (result.save(tmp_path / "out") / "figures").iterdir()}


def test_without_units_all_are_kept_and_a_vector_has_no_axis(model: TracedModel) -> None:
    images = ArraySet(np.full((6, 8, 3), (255, 0, 0), np.uint8))
    assert ActivationMaps(layer="colour").run(model, images).arrays["maps"].shape == (3, 6, 8)
    vector = ActivationMaps(layer=model.graph.output).run(model, images)
    assert vector.arrays["maps"].shape == (3,) and vector.summary["map"] is None
    assert vector.arrays["value"][0] == pytest.approx(20.0)


def test_what_is_not_there_is_said(model: TracedModel) -> None:
    images = ArraySet(np.zeros((6, 8, 3), np.uint8))
    with pytest.raises(InputError, match="colour:3 does not exist"):
        ActivationMaps(layer="colour", units=(3,)).run(model, images)
    with pytest.raises(InputError, match="has images 0 to 0, not 4"):
        ActivationMaps(layer="colour", image=4).run(model, images)
