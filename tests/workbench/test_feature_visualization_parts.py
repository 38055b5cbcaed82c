"""The parts of feature visualization, each against the formula it implements."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from workbench.analyses.feature_visualization.folding import NORMALISATION, folded
from workbench.analyses.feature_visualization.gradients import Gain, QuasiHyperbolicAdam
from workbench.analyses.feature_visualization.objectives import (
    Diversity,
    Rows,
    caricature,
    channel,
    deepdream,
    direction,
    diversity,
    neuron,
    parse,
)
from workbench.analyses.feature_visualization.parameterization import Fourier, ImageStatistics, Maco, Pixel
from workbench.analyses.feature_visualization.transforms import Robustness, crops, identity, resample
from workbench.models.traced_model import TracedModel

LAYER = torch.randn(4, 5, 3, 4, generator=torch.Generator().manual_seed(0))
ROWS = Rows({"l": LAYER, "v": LAYER[:, :, 0, 0]}, torch.tensor([1, 1, 4, 4]), seeds=2)


# --- objectives ------------------------------------------------------------------------------------------------------------------


def test_each_term_is_its_formula() -> None:
    assert torch.allclose(channel("l", 3).value(ROWS), LAYER[:, 3].mean((1, 2)))
    own = torch.stack([LAYER[row, unit].mean() for row, unit in enumerate([1, 1, 4, 4])])
    assert torch.allclose(channel("l").value(ROWS), own)
    assert torch.equal(neuron("l", 2).value(ROWS), LAYER[:, 2, 1, 2])
    assert torch.equal(neuron("l", 2, (0, 3)).value(ROWS), LAYER[:, 2, 0, 3])
    assert torch.equal(neuron("v", 2).value(ROWS), LAYER[:, 2, 0, 0])
    assert torch.allclose(deepdream("l").value(ROWS), LAYER.square().mean((1, 2, 3)))
    vector = (3.0, 0.0, 0.0, 0.0, 4.0)
    dot = 0.6 * LAYER[:, 0] + 0.8 * LAYER[:, 4]
    assert torch.allclose(direction("l", vector, 0).value(ROWS), dot.mean((1, 2)), atol=1e-6)
    assert torch.allclose(direction("l", (3, 0, 0, 0, 4), 0).value(ROWS), dot.mean((1, 2)), atol=1e-6), "whole numbers as well"
    weighted = dot * (dot / LAYER.norm(dim=1)).clamp(min=0.1) ** 2
    assert torch.allclose(direction("l", vector, 2).value(ROWS), weighted.mean((1, 2)), atol=1e-5)
    pictured = Rows(ROWS.activations, ROWS.units, 2, None, {"l": LAYER.flip(0)})
    a, b = LAYER.flatten(1), LAYER.flip(0).flatten(1)
    dot = (a * b).sum(1) / b.norm(dim=1)
    assert torch.allclose(caricature("l", 1).value(pictured), dot * (dot / a.norm(dim=1)).clamp(min=0.1), atol=1e-5)


def test_neurons_without_a_position_can_be_placed() -> None:
    objective = neuron("l", 2) - 0.5 * neuron("l", 1, (0, 0)) + channel("l") + neuron("v")
    assert objective.placed({"l": (2, 3)}) == neuron("l", 2, (2, 3)) - 0.5 * neuron("l", 1, (0, 0)) + channel("l") + neuron("v")


def test_diversity_is_the_cosine_of_gram_matrices_within_a_unit() -> None:
    grams = [sample.flatten(1) @ sample.flatten(1).T for sample in LAYER]
    expected = [
        float((grams[i] * grams[j]).sum() / grams[i].norm() / grams[j].norm() * LAYER[i].square().mean().sqrt())
        for i, j in ((0, 1), (1, 0), (2, 3), (3, 2))
    ]
    assert diversity("l").value(ROWS).tolist() == pytest.approx(expected, rel=1e-5)
    assert Diversity("l").value(Rows(ROWS.activations, ROWS.units)).tolist() == [0.0] * 4
    alike = Rows({"l": LAYER[:1].expand(2, -1, -1, -1)}, torch.tensor([0, 0]), 2)
    scale = float(LAYER[0].square().mean().sqrt())
    assert diversity("l").value(alike).tolist() == pytest.approx([scale, scale], rel=1e-5)


def test_the_algebra_adds_subtracts_and_scales() -> None:
    combined = 2 * channel("l", 0) - diversity("l") / 4 + -neuron("v", 1)
    expected = 2 * channel("l", 0).value(ROWS) - diversity("l").value(ROWS) / 4 - neuron("v", 1).value(ROWS)
    assert torch.allclose(combined.value(ROWS), expected)
    assert combined.layers == ("l", "v")


@pytest.mark.parametrize(
    "objective",
    [
        channel("mixed4a", 3) - 0.5 * diversity("mixed4a"),
        -neuron("blocks.3:add", 7, (2, 2)),
        neuron("a", position=(1,)) + 3 * deepdream("b") - caricature("c", power=2.0),
        direction("l", (0.5, -1.0), power=0.0) / 3,
    ],
)
def test_a_name_is_the_expression_that_makes_the_objective_again(objective) -> None:
    again = parse(str(objective))
    assert again.layers == objective.layers
    assert [term for _, term in again.terms] == [term for _, term in objective.terms]
    assert [weight for weight, _ in again.terms] == pytest.approx([weight for weight, _ in objective.terms], rel=1e-5)


def test_words_without_a_layer_mean_the_one_at_hand() -> None:
    assert parse("channel - 0.5*diversity", "m") == channel("m") - 0.5 * diversity("m")
    assert parse("channel(3)", "m") == channel("m", 3)
    assert (
        str(channel("mixed4a", 3) - 0.5 * diversity("mixed4a")) == "channel('mixed4a', 3) - 0.5 * diversity('mixed4a')"
    )
    assert str(-channel("m")) == "-channel('m')"


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "3",
        "channel +",
        "chanel",
        "channel * channel",
        "channel + 1",
        "channel / 0",
        "channel(colour=3)",
        "[channel]",
        "__import__('os').getcwd()",
        "channel(__import__('os'))",
        "neuron(lambda: 0)",
    ],
)
def test_anything_else_is_refused_and_nothing_is_run(expression: str) -> None:
    with pytest.raises(ValueError, match="cannot read the objective"):
        parse(expression, "l")


# --- parameterization ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(16, 16), (15, 17), (8, 21)])
def test_fourier_is_lucids_formula(size: tuple[int, int]) -> None:
    images = Fourier([7], size, ImageStatistics.usual(3), decorrelate=False)
    spectrum = torch.view_as_complex(images.variables.detach()).numpy()[0]
    height, width = size
    f = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    scale = np.sqrt(width * height) / np.maximum(f, 1 / max(width, height))
    expected = np.fft.irfft2(spectrum * scale, s=size) / 4
    assert images.plane().detach().numpy()[0] == pytest.approx(expected, abs=1e-5)
    assert images.image().detach().numpy()[0] == pytest.approx(1 / (1 + np.exp(-expected)), abs=1e-5)
    assert 0.009 < float(images.variables.detach().std()) < 0.011


@pytest.mark.parametrize("kind", [Fourier, Pixel, Maco])
def test_a_row_depends_on_its_seed_alone(kind: type) -> None:
    together = kind([3, 4, 5], (16, 16), ImageStatistics.usual(3)).image()
    alone = kind([4], (16, 16), ImageStatistics.usual(3)).image()
    assert torch.allclose(together[1], alone[0], atol=1e-6)
    assert not torch.allclose(together[1], together[2], atol=1e-3)
    assert together.shape == (3, 3, 16, 16) and together.min() >= 0 and together.max() <= 1


def test_colour_is_decorrelated_by_the_root_of_its_covariance() -> None:
    usual = ImageStatistics.usual(3).colour
    assert float(usual.norm(dim=0).max()) == pytest.approx(1)
    assert usual[:, 0] / usual[0, 0] == pytest.approx(torch.tensor([1, 27 / 26, 27 / 26]))
    assert torch.equal(ImageStatistics.usual(5).colour, torch.eye(5))
    mixing = torch.tensor([[0.2, 0.1, 0.0], [0.2, 0.0, 0.1], [0.2, -0.1, 0.0]])
    sources = torch.randn(16, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    measured = ImageStatistics.measured(0.5 + torch.einsum("cd,idyx->icyx", mixing, sources))
    covariance, expected = measured.colour @ measured.colour.T, mixing @ mixing.T
    assert covariance / covariance.trace() == pytest.approx(expected / expected.trace(), abs=0.02)
    grey = ImageStatistics.measured(sources[:, :1].expand(-1, 3, -1, -1))
    assert torch.isfinite(grey.colour).all() and torch.isfinite(grey.natural_spectrum((16, 16))).all()
    assert torch.isfinite(ImageStatistics.measured(torch.full((2, 3, 8, 8), 0.5)).colour).all()


def test_natural_magnitudes_are_measured_and_resized() -> None:
    smooth = torch.nn.functional.avg_pool2d(torch.rand(32, 1, 36, 36, generator=torch.Generator().manual_seed(1)), 5, 1)
    measured = ImageStatistics.measured(smooth)
    same, larger = measured.natural_spectrum((32, 32))[0], measured.natural_spectrum((64, 64))[0]
    assert same[1:, 1:] == pytest.approx(measured.spectrum[0, 1:, 1:])
    assert larger.shape == (64, 33) and larger[0, 0] == 0
    assert float(larger[2:6, 2:6].mean()) == pytest.approx(float(same[1:3, 1:3].mean()), rel=0.25)
    power_law = ImageStatistics.usual(1).natural_spectrum((32, 32))[0]
    assert float(power_law[0, 2] / power_law[0, 8]) == pytest.approx(4)


# --- transforms ------------------------------------------------------------------------------------------------------------------


def test_maps_are_drawn_from_lucids_ranges_at_any_size() -> None:
    maps = Robustness().draw(4000, torch.Generator().manual_seed(0))
    scale = 1 / torch.det(maps[:, :, :2]).sqrt()
    angle = torch.rad2deg(torch.atan2(maps[:, 1, 0], maps[:, 0, 0]))
    assert 0.9 <= scale.min() < 0.91 and 1.09 < scale.max() <= 1.1001
    assert -10.001 <= angle.min() < -9.8 and 9.8 < angle.max() <= 10.001
    assert float((angle == 0).float().mean()) == pytest.approx(5 / 26, abs=0.03)
    pixels = maps[:, :, 2] * 224 / 2
    assert 4 < pixels.abs().max() < 4 + 2 * 1.15 / 0.9 * 1.1


def test_resampling_is_exact_where_it_should_be() -> None:
    images = torch.rand(3, 2, 12, 10, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(resample(images, identity(), (12, 10)), images, atol=1e-5)
    shift = torch.tensor([[[1.0, 0.0, 2 * 2 / 10], [0.0, 1.0, 0.0]]])
    moved = resample(images, shift, (12, 10))
    assert torch.allclose(moved[..., :8], images[..., 2:], atol=1e-5)
    assert torch.allclose(moved[..., 8:], torch.zeros(3, 2, 12, 2), atol=1e-5), "outside the image is 0"
    both = resample(images, torch.cat([identity(), shift]), (12, 10))
    assert torch.equal(both, torch.cat([resample(images, identity(), (12, 10)), moved]))
    assert resample(images, identity(), (24, 20)).shape == (3, 2, 24, 20)


def test_a_turn_of_an_oblong_image_keeps_right_angles() -> None:
    turn = Robustness(jitter_before=0, jitter_after=0, scale=(1, 1), turn=(10, 10), still=0)
    (matrix,) = turn.draw(1, torch.Generator(), aspect=2.0)
    to_pixels = torch.diag(torch.tensor([2.0, 1.0]))
    linear = to_pixels @ matrix[:, :2] @ to_pixels.inverse()
    assert torch.allclose(linear @ linear.T, torch.eye(2), atol=1e-6)


def test_crops_are_squares_inside_the_image() -> None:
    maps = crops(2000, 0.3, torch.Generator().manual_seed(0))
    width, centre = maps[:, 0, 0], maps[:, :, 2]
    assert torch.equal(maps[:, 0, 0], maps[:, 1, 1]) and (maps[:, 0, 1] == 0).all()
    assert float(width.mean()) == pytest.approx(0.3, abs=0.01) and float(width.std()) == pytest.approx(0.05, abs=0.01)
    assert (centre.abs() + width[:, None] <= 1 + 1e-6).all()
    assert float((centre / 2).std()) == pytest.approx(0.15, abs=0.02)


# --- what keeps it fast ------------------------------------------------------------------------------------------------------------


def trained_looking_net() -> torch.nn.Module:
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, bias=False),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        torch.nn.Conv2d(8, 8, 3, stride=2, padding="valid", groups=8),
        torch.nn.BatchNorm2d(8, affine=False),
        torch.nn.ReLU6(),
        torch.nn.BatchNorm2d(8),
        torch.nn.Conv2d(8, 4, 1),
        torch.nn.BatchNorm2d(4),
    )
    for part in net.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
            if part.affine:
                torch.nn.init.normal_(part.weight)
                torch.nn.init.normal_(part.bias)
    return net.eval()


def test_folding_keeps_what_is_computed_and_what_flows_back() -> None:
    model = TracedModel.from_module(trained_looking_net(), torch.rand(2, 3, 16, 16))
    image = torch.rand(2, 3, 16, 16, requires_grad=True)
    for layer, left in (("8", 1), ("3", 0), ("0", 0)):
        plain = model.forward_to([layer]).module
        merged = folded(plain)
        ours, theirs = merged(image)[0], plain(image)[0]
        assert torch.allclose(ours, theirs, atol=1e-5)
        gradients = [torch.autograd.grad(value.square().sum(), image)[0] for value in (ours, theirs)]
        assert torch.allclose(*gradients, rtol=1e-3, atol=1e-4)
        assert sum(node.target is NORMALISATION for node in merged.graph.nodes) == left, layer
    both = model.forward_to(["0", "1"]).module
    assert torch.equal(folded(both)(image)[0], both(image)[0]), "a layer that is read must not be merged away"
    assert sum(node.target is NORMALISATION for node in both.graph.nodes) == 1, "the network itself was changed"


def test_folding_follows_a_weight_edited_in_place() -> None:
    net = trained_looking_net()
    model = TracedModel.from_module(net, torch.rand(2, 3, 16, 16))
    image = torch.rand(2, 3, 16, 16)
    before = folded(model.forward_to(["8"]).module)(image)[0]
    net[0].weight.data.mul_(0.5)
    after = folded(model.forward_to(["8"]).module)(image)[0]
    assert not torch.allclose(before, after) and torch.allclose(after, net(image), atol=1e-5)


def test_a_gain_changes_no_step_and_saves_tiny_gradients() -> None:
    gradient = torch.randn(4, 3, 4, generator=torch.Generator().manual_seed(0))
    gradient *= torch.tensor([1.0, 1e-20, 1e-36, 1e15])[:, None, None]
    gain = Gain(4, torch.device("cpu"))
    scaled = gain.settle(gradient)
    assert gain.factors.isfinite().all() and scaled.isfinite().all()
    scaled = scaled[[0, 1, 3]]
    assert ((scaled.abs().mean((1, 2)) > 0.5) & (scaled.abs().mean((1, 2)) < 2)).all()
    assert (gain.factors.log2() % 1 == 0).all(), "only powers of two are exact"
    assert torch.equal(gain.settle(gradient), gradient), "once chosen it stays"
    steps = []
    for rate in (1.0, 2.0**-30):
        variables = torch.zeros(3, 3, 4)
        optimiser = QuasiHyperbolicAdam(variables, 0.1)
        for i in range(3):
            optimiser.step((scaled + i) * rate)
        steps.append(variables)
    assert torch.allclose(*steps, rtol=1e-4)


def test_the_optimiser_is_its_formula() -> None:
    generator = torch.Generator().manual_seed(0)
    gradients = [torch.randn(5, generator=generator) for _ in range(4)]
    variables = torch.zeros(5)
    optimiser = QuasiHyperbolicAdam(variables, 0.1)
    m = v = expected = torch.zeros(5)
    for t, g in enumerate(gradients, 1):
        optimiser.step(g)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        expected = expected + 0.1 * (0.5 * g + 0.5 * m / (1 - 0.9**t)) / (v / (1 - 0.999**t)).sqrt()
    assert torch.allclose(variables, expected, atol=1e-6)


def test_energy_is_the_same_at_every_decay() -> None:
    energy = []
    for decay in (0.0, 1.0, 1.6):
        images = Fourier(range(8), (64, 64), ImageStatistics.usual(3), decay=decay, decorrelate=False)
        energy.append(float(images.plane().detach().std()))
    assert energy == pytest.approx([energy[1]] * 3, rel=0.25)
