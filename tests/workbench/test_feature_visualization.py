"""Rendering, on networks small enough that the right picture, or the right activation, is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from workbench.analyses.analysis import Analysis, find
from workbench.analyses.feature_visualization import COARSE, FINE, FeatureVisualization
from workbench.analyses.feature_visualization.objectives import channel
from workbench.analyses.feature_visualization.render import fitting_size, suggested_size
from workbench.images.image_set import load_images
from workbench.models.preprocessing import Preprocessing
from workbench.models.receptive_field import receptive_field
from workbench.models.traced_model import TracedModel
from workbench.task import Cancelled, Task


def random_net(channels: int = 3) -> TracedModel:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(channels, 8, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv2d(8, 6, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
    )
    for name, parameter in net.named_parameters():
        nn.init.normal_(parameter, std=0.3 if "weight" in name else 0.1)
    return TracedModel.from_module(net, torch.rand(2, channels, 32, 32))


@pytest.fixture(scope="module")
def net() -> TracedModel:
    return random_net()


def quick(layer: str = "2", units: tuple[int, ...] = (0, 1), **parameters: object) -> FeatureVisualization:
    return FeatureVisualization(**{"layer": layer, "units": units, "size": 32, "steps": 12, "held_out": 2} | parameters)


# --- how well it optimises ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("decorrelate", "bar"), [(False, 0.98), (True, 0.80)])
def test_a_planted_template_reaches_the_largest_activation_any_image_can_give(decorrelate: bool, bar: float) -> None:
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(1, 3, 9, 9, generator=generator)
    module = nn.Conv2d(3, 1, 9, bias=False)
    module.weight.data = weight
    preprocessing = Preprocessing((33, 33), (0.0,) * 3, (1.0,) * 3)
    model = TracedModel.from_module(nn.Sequential(module), torch.rand(2, 3, 33, 33), preprocessing=preprocessing)
    largest = float(weight.clamp(min=0).sum())
    result = FeatureVisualization(
        layer="0", units=(0,), objective="neuron", size=33, steps=256, transforms=False, decorrelate=decorrelate
    ).run(model)
    assert result.arrays["scores"][0, 0] >= bar * largest
    image = torch.from_numpy(result.arrays["images"][0]).permute(0, 3, 1, 2)
    assert float(module(image)[0, 0, 12, 12]) == pytest.approx(float(result.arrays["scores"][0, 0]), rel=1e-5)


def test_every_unit_of_a_batch_gets_its_own_image(net: TracedModel) -> None:
    result = quick(units=(0, 1, 2, 3, 4, 5), steps=48).run(net)
    images = torch.from_numpy(result.arrays["images"][:, 0]).permute(0, 3, 1, 2)
    response = net.activations(net.preprocess(images), ["2"])["2"].mean((2, 3))
    assert (response.argmax(0) == torch.arange(6)).all(), "another unit's image excites a unit more than its own"
    assert torch.allclose(response.diagonal(), torch.from_numpy(result.arrays["scores"][:, 0]), rtol=1e-4, atol=1e-5)
    assert (result.arrays["scores"] > result.arrays["noise_scores"]).all()


def test_negative_lowers_the_activation(net: TracedModel) -> None:
    low, high = quick(negative=True).run(net), quick().run(net)
    assert (low.arrays["scores"] < low.arrays["noise_scores"]).all()
    assert (high.arrays["scores"] > high.arrays["noise_scores"]).all()
    assert low.arrays["noise_scores"] == pytest.approx(high.arrays["noise_scores"])


def test_a_unit_that_is_off_everywhere_is_woken_by_redirected_gradients() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 2, 5), nn.ReLU6(), nn.Conv2d(2, 2, 1), nn.ReLU())
    net[0].bias.data = torch.tensor([-0.8, -0.8])
    net[2].weight.data = torch.tensor([[[[1.0]], [[0.0]]], [[[0.0]], [[1.0]]]])
    net[2].bias.data = torch.tensor([-0.05, -1e4])
    model = TracedModel.from_module(net, torch.rand(2, 3, 16, 16))
    result = FeatureVisualization(layer="3", units=(0, 1), objective="neuron", size=16, steps=32).run(model)
    assert (result.arrays["noise_scores"] == 0).all()
    assert result.arrays["scores"][0] > 0.1, "a reachable unit stayed off"
    assert result.arrays["scores"][1] == 0 and result.summary["blank"] == [1]


def test_bf16_scores_are_float32_and_nearly_as_good(net: TracedModel) -> None:
    full, half = quick(steps=32).run(net), quick(steps=32, precision="bf16").run(net)
    assert half.summary["precision"] == "bf16"
    images = torch.from_numpy(half.arrays["images"][:, 0]).permute(0, 3, 1, 2)
    response = net.activations(net.preprocess(images), ["2"])["2"].mean((2, 3))
    assert torch.allclose(response.diagonal(), torch.from_numpy(half.arrays["scores"][:, 0]), rtol=1e-4, atol=1e-5)
    assert (half.arrays["scores"] > 0.9 * full.arrays["scores"]).all()


def test_robust_scores_are_the_mean_over_transforms_not_seen_before(net: TracedModel) -> None:
    robust = quick(held_out=16, steps=32).run(net)
    brittle = quick(held_out=16, steps=32, transforms=False).run(net)
    assert (robust.arrays["robust_scores"] > brittle.arrays["robust_scores"]).all()
    assert (brittle.arrays["scores"] > robust.arrays["scores"]).all()


# --- what it is asked ------------------------------------------------------------------------------------------------------------


def test_seeds_differ_and_diversity_makes_them_differ_more(net: TracedModel) -> None:
    def likeness(result_images: np.ndarray) -> float:
        features = net.activations(net.preprocess(torch.from_numpy(result_images[0]).permute(0, 3, 1, 2)), ["2"])["2"]
        grams = torch.einsum("iuyx,ivyx->iuv", features, features).flatten(1)
        grams = grams / grams.norm(dim=1, keepdim=True)
        return float((grams @ grams.T).triu(1).sum())

    plain = quick(units=(0,), seeds=3, steps=40).run(net)
    diverse = quick(units=(0,), seeds=3, steps=40, diversity=3.0).run(net)
    assert plain.arrays["images"].shape == (1, 3, 32, 32, 3)
    assert not np.array_equal(plain.arrays["images"][0, 0], plain.arrays["images"][0, 1])
    assert likeness(diverse.arrays["images"]) < likeness(plain.arrays["images"])
    assert diverse.provenance["objective"] == "channel('2') - 3 * diversity('2')"


def test_an_expression_combines_layers(net: TracedModel) -> None:
    alone, both = (
        quick(units=(0,), steps=32).run(net),
        quick(units=(0,), steps=32, objective="channel - 2 * channel('0', 3)").run(net),
    )
    images = [torch.from_numpy(r.arrays["images"][:, 0]).permute(0, 3, 1, 2) for r in (alone, both)]
    suppressed = [float(net.activations(net.preprocess(i), ["0"])["0"][:, 3].mean()) for i in images]
    assert suppressed[1] < suppressed[0]
    assert both.summary["objective"] == "channel('2') - 2 * channel('0', 3)"


def test_directions_take_the_place_of_units(net: TracedModel) -> None:
    one_hot = tuple(tuple(float(i == unit) for i in range(6)) for unit in (0, 1))
    result = quick(units=(), objective="direction(power=0)", directions=one_hot, steps=20).run(net)
    units = quick(steps=20).run(net)
    assert result.arrays["images"] == pytest.approx(units.arrays["images"], abs=1e-4)
    with pytest.raises(ValueError, match="needs `directions`"):
        quick(objective="direction").run(net)


def test_a_caricature_grows_more_like_its_picture(net: TracedModel) -> None:
    images = load_images("stimuli:gratings")
    result = quick(units=(0, 2), objective="caricature(power=1)", steps=40, transforms=False).run(net, images=images)
    assert (result.arrays["scores"] > 2 * result.arrays["noise_scores"]).all()
    assert result.summary["statistics"] == "measured on the images"
    with pytest.raises(ValueError, match="needs pictures"):
        quick(objective="caricature").run(net)


def test_maco_keeps_natural_magnitudes_and_says_where_it_looked(net: TracedModel) -> None:
    result = quick(parameterization="maco", steps=16, crops=4, seeds=2).run(net)
    assert result.arrays["attention"].shape == (2, 2, 32, 32)
    assert result.arrays["attention"].max((2, 3)) == pytest.approx(np.ones((2, 2)))
    # The decorrelated plane, recovered from the image, has the spectrum 1 / f whatever the phases became.
    colour = torch.tensor(np.linalg.inv(_colour())).float()
    plane = torch.logit(torch.from_numpy(result.arrays["images"][0, 0]).permute(2, 0, 1).double()).float()
    magnitude = torch.fft.rfft2((colour @ plane.flatten(1)).view(3, 32, 32)).abs()
    ratio = magnitude[:, 0, 1] / magnitude[:, 0, 4]
    assert ratio == pytest.approx(torch.full((3,), 4.0), rel=0.02)
    assert (result.arrays["scores"] > result.arrays["noise_scores"]).all()


def _colour() -> np.ndarray:
    matrix = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
    return matrix / np.linalg.norm(matrix, axis=0).max()


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_networks_that_do_not_read_colours(channels: int) -> None:
    result = quick(steps=20).run(random_net(channels))
    assert result.arrays["images"].shape == (2, 1, 32, 32, 3)
    assert (result.arrays["scores"] > result.arrays["noise_scores"]).all()
    if channels == 1:
        assert "channels" not in result.arrays
        assert (np.ptp(result.arrays["images"], axis=-1) == 0).all()
    else:
        assert result.arrays["channels"].shape == (2, 1, 32, 32, channels)


class Patches(nn.Module):
    """Patches, position embeddings of one size only, tokens with their features last, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 12, 16, stride=16)
        self.place = nn.Parameter(torch.randn(9, 12))
        self.mix = nn.Linear(12, 10)
        self.head = nn.Linear(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.mix(torch.tanh(self.patch(x).flatten(2).transpose(1, 2) + self.place))
        return self.head(torch.tanh(tokens.mean(1)))


def test_tokens_and_logits_of_a_network_that_takes_one_size_only() -> None:
    torch.manual_seed(0)
    model = TracedModel.from_module(Patches(), torch.rand(2, 3, 48, 48))
    for layer, objective in (("mix", "channel"), ("mix", "neuron(position=(8,))"), ("head", "neuron")):
        result = quick(layer, objective=objective, size=32, steps=16).run(model)
        assert result.arrays["images"].shape == (2, 1, 32, 32, 3)
        assert result.summary["network_size"] == [48, 48]
        assert (result.arrays["scores"] > result.arrays["noise_scores"]).all()


class WithClassToken(Patches):
    """Sixteen patches behind a class token."""

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.randn(17, 12))
        self.first = nn.Parameter(torch.randn(1, 12))

    def forward(self, x: Tensor) -> Tensor:
        patches = self.patch(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.first.expand(x.shape[0], -1, -1), patches], 1) + self.place
        return self.head(torch.tanh(self.mix(torch.tanh(tokens)).mean(1)))


def test_a_neuron_is_in_the_middle_of_a_transformer_and_of_a_map_of_any_size(net: TracedModel) -> None:
    torch.manual_seed(0)
    model = TracedModel.from_module(WithClassToken(), torch.rand(2, 3, 64, 64))
    result = quick("mix", size=64, objective="neuron").run(model)
    value = model.activations(model.preprocess(torch.from_numpy(result.arrays["images"][:, 0]).permute(0, 3, 1, 2)), ["mix"])["mix"]
    middle = 1 + 2 * 4 + 2  # behind the class token, of 4 x 4 patches
    assert value.shape[1:] == (17, 10)
    assert [value[unit, middle, unit].item() for unit in (0, 1)] == pytest.approx(result.arrays["scores"][:, 0].tolist(), rel=1e-4)
    assert result.summary["objective"] == "neuron('mix')"
    small = quick(size=16, objective="neuron").run(net)
    assert small.summary["network_size"] == [16, 16]
    shown = net.normalise(torch.from_numpy(small.arrays["images"][:, 0]).permute(0, 3, 1, 2))
    (maps,) = net.forward_to(["2"])(shown)
    assert maps.shape[2:] == (8, 8)
    assert [maps[unit, unit, 4, 4].item() for unit in (0, 1)] == pytest.approx(small.arrays["scores"][:, 0].tolist(), rel=1e-4)


def test_what_was_rendered_otherwise_before_is_rendered_again_and_nothing_else(net: TracedModel) -> None:
    model = TracedModel.from_module(WithClassToken(), torch.rand(2, 3, 64, 64))
    directions = ((1.0,) * 6,)
    for asked, network, again in (
        (quick("mix", objective="neuron"), model, True),
        (quick("mix", objective="neuron(position=(11,))"), model, False),
        (quick("mix"), model, False),
        (quick(objective="neuron"), net, False),
        (quick(directions=directions), net, True),
        (quick(directions=directions, objective="direction"), net, False),
    ):
        assert (asked.key(network) != Analysis.key(asked, network)) == again


# --- how it behaves --------------------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_image_whatever_else_is_in_the_batch(net: TracedModel) -> None:
    together, alone = quick(units=(0, 1, 2), seed=5).run(net), quick(units=(1,), seed=5).run(net)
    assert np.array_equal(together.arrays["images"], quick(units=(0, 1, 2), seed=5).run(net).arrays["images"])
    assert together.arrays["images"][1] == pytest.approx(alone.arrays["images"][0], abs=1e-3)
    assert not np.allclose(alone.arrays["images"], quick(units=(1,), seed=6).run(net).arrays["images"], atol=1e-2)


class Watched(Task):
    def __init__(self, stop_at: float = math.inf) -> None:
        self.steps: list[tuple[float, float, object]] = []
        self.stop_at = stop_at

    def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
        self.steps.append((done, total, partial))
        if done >= self.stop_at:
            raise Cancelled


def test_previews_progress_and_cancel_at_each_step(net: TracedModel) -> None:
    task = Watched()
    result = quick(units=(0, 1, 2), batch=2, steps=20, seeds=2).run(net, task=task)
    seen = [done for done, _, _ in task.steps]
    assert [done for done in seen if done == int(done)] == list(range(1, 41))
    assert seen == sorted(seen) and {done % 1 for done in seen} >= {0, 0.5}, "others may run halfway through a step, too"
    assert {total for _, total, _ in task.steps} == {40}
    partials = [partial for _, _, partial in task.steps if partial is not None]
    assert {tuple(partial) for partial in partials} == {(0, 1), (2,)}
    last = partials[-1][2]
    assert last.dtype == np.uint8 and last.shape == (2, 32, 32, 3)
    assert np.abs(last / 255 - result.arrays["images"][2]).max() < 0.003
    stopped = Watched(stop_at=3)
    with pytest.raises(Cancelled):
        quick().run(net, task=stopped)
    assert [done for done, _, _ in stopped.steps if done == int(done)] == [1, 2, 3]


def test_it_stops_when_nothing_is_gained_any_more(net: TracedModel) -> None:
    result = quick(steps=400, tolerance=0.05, transforms=False).run(net)
    assert 48 <= result.summary["steps"] < 400
    assert np.isnan(result.arrays["history"][result.summary["steps"] :]).all()


def test_images_are_no_larger_than_the_receptive_field_asks() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 5, stride=2), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.AdaptiveAvgPool2d(1))
    torch.manual_seed(0)
    model = TracedModel.from_module(net, torch.rand(2, 3, 160, 160))
    fields = {layer: receptive_field(model, model.layer(layer)) for layer in ("0", "2", "3")}
    assert [(fields[layer].height, fields[layer].width) for layer in ("0", "2")] == [(5, 5), (9, 9)]
    assert fields["3"].height > 150
    assert suggested_size(model, model.layer("2"), channel("2")) == (32, 32)
    assert suggested_size(model, model.layer("3"), channel("3")) == (160, 160)
    assert FeatureVisualization(layer="2", units=(0,), steps=2).run(model).arrays["images"].shape[2:4] == (32, 32)
    assert fitting_size(model, channel("2"), (6, 6)) == (16, 16), "6 pixels leave nothing of the map"
    assert fitting_size(model, channel("2"), (40, 40)) == (40, 40)


def test_weights_that_are_not_numbers_are_reported() -> None:
    module = nn.Sequential(nn.Conv2d(3, 2, 3))
    model = TracedModel.from_module(module, torch.rand(2, 3, 16, 16))
    module[0].weight.data[0] = float("nan")
    with pytest.raises(ValueError, match="check the network's weights"):
        FeatureVisualization(layer="0", units=(0,), size=16, steps=2).run(model)


def test_a_network_in_double_precision() -> None:
    torch.manual_seed(0)
    model = TracedModel.from_module(nn.Sequential(nn.Conv2d(3, 2, 3)).double(), torch.rand(2, 3, 16, 16).double())
    result = FeatureVisualization(layer="0", units=(0,), size=16, steps=4).run(model)
    assert (result.arrays["scores"] > result.arrays["noise_scores"]).all()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"units": (99,)}, "units 0 to 5, not 99"),
        ({"layer": "conv9"}, "conv9"),
        ({"objective": "channel('2', 77)"}, "units 0 to 5, not 77"),
        ({"objective": "chanel"}, "chanel"),
        ({"objective": "neuron(position=(40, 0))"}, "position"),
        ({"directions": ((1.0, 2.0),), "objective": "direction"}, "needs 6 numbers"),
        ({"directions": ((1.0,) * 6,)}, "the objective 'channel' reads none of `directions`"),
        ({"directions": ((1.0,) * 6,), "objective": "direction('2', (1, 0, 0, 0, 0, 0))"}, "reads none of `directions`"),
        ({"steps": 0}, "steps"),
    ],
)
def test_what_does_not_exist_is_refused_in_one_line(net: TracedModel, parameters: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        quick(**parameters).run(net)


def test_the_result_is_saved_with_its_figures_and_the_name_of_its_objective(net: TracedModel, tmp_path) -> None:
    result = quick(seeds=2, units=(1, 4)).run(net)
    folder = result.save(tmp_path / "out")
    assert {path.name for path in (folder / "figures").iterdir()} == {
        f"{name}.{ending}" for name in ("contact_sheet", "history") for ending in ("png", "pdf")
    }
    assert "channel('2')" in (folder / "result.json").read_text()
    sheet = result.figures()["contact_sheet"]
    assert {axis.get_title().split()[0] for axis in sheet.axes if axis.images} == {"1", "4"}
    assert find("FeatureVisualization") is FeatureVisualization


def test_presets_are_valid_parameters() -> None:
    for preset in (COARSE, FINE):
        assert FeatureVisualization(layer="2", **preset).steps == preset["steps"]


def test_weights_gain_no_gradient_and_keep_their_state(net: TracedModel) -> None:
    before = {name: value.clone() for name, value in net.graph.root.state_dict().items()}
    quick().run(net)
    assert all(torch.equal(before[name], value) for name, value in net.graph.root.state_dict().items())
    parameters: list[Tensor] = list(net.graph.root.parameters())
    assert parameters and all(parameter.grad is None for parameter in parameters)
