"""What is asked of a family with angles: joint tuning curves fall onto one another, and weights depend on the difference of angles."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import workbench
from workbench.analyses.joint_tuning import JointTuning, aligned_curves, explained
from workbench.analyses.relative_weights import RelativeWeights, explains
from workbench.images.array_set import ArraySet
from workbench.input_error import InputError
from workbench.models.preprocessing import Preprocessing
from workbench.models.traced_model import TracedModel

ANGLES = (0.0, 90.0, 180.0, 270.0)


def noise(number: int, side: int) -> ArraySet:
    coarse = np.random.default_rng(0).integers(0, 256, (number, side // 3 + 1, side // 3 + 1, 3), np.uint8)
    return ArraySet(coarse.repeat(3, 1).repeat(3, 2)[:, :side, :side])


def turned_net(equivariant: bool) -> TracedModel:
    """Two families of four quarter turns; the second's kernels from the first are turned with them, or each unit's are its own."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 5, bias=False), nn.ReLU(), nn.Conv2d(4, 4, 3, bias=False), nn.ReLU())
    with torch.no_grad():
        net[0].weight.copy_(torch.stack([torch.rot90(net[0].weight[0], turn, (-2, -1)) for turn in range(4)]))
        if equivariant:
            first = net[2].weight[0]
            net[2].weight.copy_(torch.stack([torch.rot90(first, turn, (-2, -1)).roll(turn, 0) for turn in range(4)]))
    return TracedModel.from_module(net, torch.randn(2, 3, 21, 21), preprocessing=Preprocessing((21, 21)))


def relative(model: TracedModel, angles: tuple[float, ...] = ANGLES):
    asked = RelativeWeights(
        source="1", source_units=range(4), source_angles=ANGLES, target="3", target_units=range(4), target_angles=angles, images=8
    )
    return asked.run(model, noise(8, 21))


def test_weights_of_an_equivariant_network_depend_on_the_difference_alone() -> None:
    result = relative(turned_net(True))
    assert result.summary["r2"] == pytest.approx(1, abs=1e-6) and result.summary["r2_null"] < 0.9
    assert result.summary["arrangements"] == 18 and result.summary["p"] == pytest.approx(1 / 18), "four by four units have 17 other ways"
    assert result.summary["r2_bar"] is None, "and that is too few for a level"
    unrolled = result.arrays["unrolled"]
    assert result.arrays["differences"].tolist() == list(ANGLES) and unrolled == pytest.approx(np.tile(unrolled[0], (4, 1)), abs=1e-5)
    assert result.arrays["weights"] == pytest.approx(result.arrays["kernels"].sum((2, 3)), abs=1e-5)
    assert set(result.figures()) == {"unrolled"}


def test_weights_of_no_equivariant_network_and_wrong_angles_do_not() -> None:
    assert relative(turned_net(False)).summary["p"] > 0.05
    assert relative(turned_net(True), (0.0, 180.0, 90.0, 270.0)).summary["r2"] < 0.9


def test_what_fits_nowhere_is_said() -> None:
    with pytest.raises(ValueError, match="as many angles"):
        RelativeWeights(source="1", source_units=(0, 1), source_angles=(0, 1, 2), target="3", target_units=(0, 1), target_angles=(0, 1))
    with pytest.raises(InputError, match="has units 0 to 3"):
        RelativeWeights(
            source="1", source_units=(0, 9), source_angles=(0, 90), target="3", target_units=(0, 1), target_angles=(0, 90)
        ).run(turned_net(True), noise(8, 21))


def test_differences_that_explain_all_and_nothing() -> None:
    angles = np.array(ANGLES)
    circulant = np.cos(np.deg2rad(angles[None] - angles[:, None]))
    assert explains(circulant, angles, angles) == pytest.approx(1)
    by_target = np.tile(np.arange(4.0)[:, None], (1, 4))
    assert explains(by_target, angles, angles) == pytest.approx(0)


def test_planted_families_are_tuned_jointly_and_at_their_angles() -> None:
    model = workbench.load("bundled:planted/rotated_family_net")
    family = model.circuit.facts["families"][0]
    units = tuple(int(unit.split(":")[1]) for unit in family)
    angles = tuple(float(model.circuit.units[unit]["turn"]) for unit in family)
    asked = JointTuning(layer="relu", units=units, angles=angles, steps=8, examples=3, images=48)
    result = asked.run(model, noise(48, 33))
    assert result.summary["together"] > result.summary["together_null"] + 0.1, "beyond other angles"
    assert result.summary["arrangements"] == 6 and result.summary["p"] == pytest.approx(1 / 6) and result.summary["together_bar"] is None
    aligned = result.arrays["aligned"]
    assert result.arrays["steps"].tolist() == [-180, -135, -90, -45, 0, 45, 90, 135]
    assert (aligned.argmax(1) == 4).all(), "each answers most where its angle says"
    wrong = JointTuning(**asked.model_dump() | {"angles": tuple(-angle for angle in angles)}).run(model, noise(48, 33))
    assert wrong.summary["together"] < result.summary["together"]
    assert result.arrays["examples"].shape == (4, 3) and set(result.figures()) == {"tuning"}


def test_curves_are_moved_to_where_the_angles_say() -> None:
    angles = np.array([0.0, 90.0, 200.0])
    theta = np.arange(36) * 10.0
    peak = np.exp(np.cos(np.deg2rad(theta[None, None] - (angles[None, :] - angles[:, None])[..., None])))
    aligned = aligned_curves(peak, angles)
    assert aligned == pytest.approx(np.broadcast_to(np.exp(np.cos(np.deg2rad(theta))), aligned.shape), abs=0.01)
    assert explained(aligned) > 0.999 > explained(aligned_curves(peak, angles[::-1].copy()))


def test_hues_are_turned_too() -> None:
    net = nn.Sequential(nn.Conv2d(3, 3, 1, bias=False), nn.ReLU())
    with torch.no_grad():
        net[0].weight[:, :, 0, 0] = 1.5 * torch.eye(3) - 0.5
    model = TracedModel.from_module(net, torch.randn(2, 3, 9, 9), preprocessing=Preprocessing((9, 9)))
    asked = JointTuning(layer="1", units=(0, 1, 2), angles=(29, 142, 264), turned="hue", steps=12, examples=4, images=40)
    result = asked.run(model, noise(40, 9))
    assert result.summary["together"] > result.summary["together_null"] and result.summary["arrangements"] == 6
