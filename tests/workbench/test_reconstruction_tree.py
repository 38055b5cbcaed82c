"""Trees of parts: a planted one is found whole, and keeping only it keeps the unit; where all parts matter, none is claimed to do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import workbench
from workbench.analyses.reconstruction_tree import ReconstructionTree
from workbench.circuit import Circuit
from workbench.images.array_set import ArraySet
from workbench.input_error import InputError
from workbench.models.nearest_source import nearest_source
from workbench.models.preprocessing import Preprocessing
from workbench.models.traced_model import TracedModel

SIDE = 8


class Planted(nn.Module):
    """Units of the first layer are random filters; each of the second adds up 3 of these, each of the third 2 of those, or all."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Conv2d(3, 40, 3, padding=1)
        self.parts = nn.Conv2d(40, 20, 1)
        self.sums = nn.Conv2d(20, 4, 3, padding=1)
        with torch.no_grad():
            nn.init.normal_(self.parts.weight, std=0.01)
            nn.init.normal_(self.sums.weight, std=0.01)
            for unit in range(20):
                self.parts.weight[unit, [unit, unit + 10, unit + 20], 0, 0] = torch.tensor([1.0, 0.8, -0.6])
            for unit in range(3):
                self.sums.weight[unit, [unit, unit + 9], 1, 1] = 1.0
            nn.init.normal_(self.sums.weight[3], std=0.3)  # built from all

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.sums(torch.relu(self.parts(torch.relu(self.features(x))))))


@pytest.fixture(scope="module")
def model() -> TracedModel:
    return TracedModel.from_module(Planted().eval(), torch.randn(2, 3, SIDE, SIDE), preprocessing=Preprocessing((SIDE, SIDE)))


@pytest.fixture(scope="module")
def images() -> ArraySet:
    return ArraySet(np.random.default_rng(0).integers(0, 256, (240, SIDE, SIDE, 3), np.uint8))


def layer_with(model: TracedModel, units: int) -> str:
    return next(name for name, layer in model.layers.items() if layer.units == units and layer.role == "post")


def test_a_planted_tree_is_found_and_suffices(model: TracedModel, images: ArraySet) -> None:
    first, second, third = (layer_with(model, units) for units in (40, 20, 4))
    result = ReconstructionTree(unit=f"{third}:1", images=240, enough=0.95).run(model, images)
    tree = {node["unit"]: node for node in result.summary["tree"]}
    assert set(tree[f"{third}:1"]["parts"]) == {1, 10}
    assert set(tree[f"{second}:1"]["parts"]) == {1, 11, 21} and set(tree[f"{second}:10"]["parts"]) == {10, 20, 30}
    assert all(tree[f"{first}:{unit}"]["leaf"] == "the tree ends here" for unit in (1, 11, 21, 10, 20, 30))
    assert len(tree) == 9
    summary = result.summary
    assert summary["kept"] > 0.9 and summary["kept_low"] <= summary["kept"] <= summary["kept_high"] <= 1
    assert summary["null_highest"] < 0.7 and summary["p"] == pytest.approx(1 / 21)
    circuit = Circuit.from_document(summary["circuit"])
    assert len(circuit.units) == 9 and len(circuit.edges) == 8
    assert circuit.chosen_from == (images.ref, images.content_hash)
    assert circuit.chosen_on and not set(circuit.chosen_on) & set(result.arrays["image"].tolist())
    assert ReconstructionTree.draw(result)["tree"].axes[0].texts


def test_what_is_built_from_everything_is_not_kept_by_few(model: TracedModel, images: ArraySet) -> None:
    third = layer_with(model, 4)
    few = ReconstructionTree(unit=f"{third}:3", images=120, depth=1, keep=3).run(model, images).summary
    all_of_it = ReconstructionTree(unit=f"{third}:3", images=120, depth=1, keep=20, enough=1.0).run(model, images).summary
    assert few["kept"] < 0.8
    assert all_of_it["kept"] > few["kept"] and all_of_it["tree"][0]["whole"] == pytest.approx(1, abs=1e-5)


def test_it_ends_at_the_image_and_is_the_same_again(model: TracedModel, images: ArraySet) -> None:
    third = layer_with(model, 4)
    one, two = (ReconstructionTree(unit=f"{third}:0", images=60, depth=5).run(model, images) for _ in range(2))
    assert one.summary == two.summary and all(np.array_equal(one.arrays[name], two.arrays[name]) for name in one.arrays)
    assert {node["leaf"] for node in one.summary["tree"] if not node["parts"]} == {"it reads the image"}


def test_what_has_no_tree_is_refused(model: TracedModel, images: ArraySet) -> None:
    first, third = layer_with(model, 40), layer_with(model, 4)
    for unit, why in ((f"{third}:0,1", "one unit"), (f"{third}:9", "units 0 to 3"), (f"{first}:0", "reads the image itself")):
        with pytest.raises(InputError, match=why):
            ReconstructionTree(unit=unit, images=60).run(model, images)
    with pytest.raises(InputError, match="two concepts"):
        ReconstructionTree(unit=f"{third}:0", images=60).run(model, ArraySet(np.zeros((4, SIDE, SIDE, 3), np.uint8)))


@pytest.mark.parametrize(
    ("ref", "layer", "source"),
    [
        ("bundled:inception", "mixed3b.1x1.bn", "mixed3a"),
        ("bundled:resnet", "layer1.1:add", "layer1.0"),
        ("bundled:convnext", "stages.2.blocks.1", "stages.2.blocks.0"),
        ("bundled:vit", "blocks.1", "blocks.1:add"),
    ],
)
def test_the_nearest_source_is_what_all_ways_pass_through(ref: str, layer: str, source: str) -> None:
    assert nearest_source(workbench.load(ref).graph, layer) == source
