"""Ablation of networks whose units' use is known, and against the module itself with a hook."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from workbench.analyses.ablation import Ablation
from workbench.analyses.trace.experiment import means
from workbench.images.array_set import ArraySet
from workbench.input_error import InputError
from workbench.models.preprocessing import Preprocessing
from workbench.models.traced_model import TracedModel
from workbench.task import Cancelled, Task

SIDE, DECOYS, EACH = 8, 26, 12
CLASSES = ("red", "green", "blue", "grey")
CONSTANT, UNREAD = 3, 4
"""Units beside the detectors of the first three classes."""


class Detectors(nn.Module):
    """Units 0 to 2 find a colour and are what its class is read from, unit 3 is always 0.7, unit 4 is read by nobody."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        units = 5 + DECOYS
        self.conv = nn.Conv2d(3, units, 3, padding=1, padding_mode="replicate")
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(units, 4)
        with torch.no_grad():
            self.conv.weight[:CONSTANT] = 0
            self.conv.weight[range(3), range(3), 1, 1] = 2.0
            self.conv.bias[:CONSTANT] = -0.2
            self.conv.weight[CONSTANT] = 0
            self.conv.bias[CONSTANT] = 0.7
            self.head.weight.normal_(0, 0.05)
            self.head.weight[:, :UNREAD] = 0
            self.head.weight[range(4), range(4)] = 4.0
            self.head.weight[:, UNREAD] = 0

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.relu(self.conv(x)).mean((2, 3)))


def pictures(labels: bool = True) -> ArraySet:
    """Twelve plain images of each class, three of each concept, of random brightness."""
    random = np.random.default_rng(0)
    images = np.full((4 * EACH, SIDE, SIDE, 3), 30, np.uint8)
    for place in range(4 * EACH):
        channel = place // EACH
        level = random.integers(150, 250)
        if channel < 3:
            images[place, :, :, channel] = level
        images[place] += random.integers(0, 6, (SIDE, SIDE, 3), dtype=np.uint8)
    found = ArraySet(images)
    concepts = [f"concept {place // 3}" for place in range(len(images))]
    found.columns = {"concept": concepts} | ({"colour": [CLASSES[place // EACH] for place in range(len(images))]} if labels else {})
    return found


@pytest.fixture(scope="module")
def detectors() -> tuple[Detectors, TracedModel]:
    module = Detectors().eval()
    preprocessing = Preprocessing((SIDE, SIDE), (0.0,) * 3, (1.0,) * 3)
    return module, TracedModel.from_module(module, torch.rand(2, 3, SIDE, SIDE), CLASSES, preprocessing=preprocessing, name="colours")


def by_hand(module: Detectors, model: TracedModel, images: ArraySet, replace: dict[int, Tensor | float] | None) -> Tensor:
    """Outputs of the module itself, with a hook that replaces units."""
    x = model.preprocess(next(images.batches((SIDE, SIDE), len(images))).images)

    def hook(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        output = output.clone()
        for unit, value in (replace or {}).items():
            output[:, unit] = value
        return output

    handle = module.relu.register_forward_hook(hook)
    with torch.no_grad():
        found = module(x).double()
    handle.remove()
    return found


def test_a_planted_detectors_class_falls_most_and_stands_out_of_the_null(detectors: tuple[Detectors, TracedModel]) -> None:
    _, model = detectors
    for unit in range(3):
        for method in ("zero", "mean", "resample"):
            result = Ablation(layer="relu", units=(unit,), method=method).run(model, pictures())
            summary, arrays = result.summary, result.arrays
            assert np.argmin(arrays["class_change"]) == unit
            assert summary["classes"][0]["class"] == CLASSES[unit]
            assert arrays["class_high"][unit] < -0.1
            assert summary["change_high"] < 0
            assert summary["percentile"] >= 85, "the two other detectors may be among the draws"
            assert summary["class_percentile"] >= 85
            assert "column colour" in summary["measure"] and summary["groups"] == "concept" and summary["concepts"] == 16
            if method == "zero":
                assert set(arrays["most_image"] // EACH) == {unit}


def test_a_unit_that_nothing_reads_changes_no_bit(detectors: tuple[Detectors, TracedModel]) -> None:
    _, model = detectors
    for method in ("zero", "mean", "resample"):
        for measure in ("classes", "output"):
            result = Ablation(layer="relu", units=(UNREAD,), method=method, measure=measure, batch=64).run(model, pictures())
            assert not result.arrays["change"].any() and not result.arrays["output_change"].any()
            assert result.summary["change"] == 0 and result.summary["change_low"] == 0 and result.summary["percentile"] < 30
            if measure == "classes":
                assert not result.arrays["kl"].any() and not result.arrays["class_change"].any()
                assert result.summary["top1_changed"] == 0
            else:
                assert (result.arrays["cosine"] == 1).all()


def test_the_mean_of_a_constant_unit_is_no_change_but_zero_is_one(detectors: tuple[Detectors, TracedModel]) -> None:
    _, model = detectors
    for method in ("mean", "resample"):
        found = Ablation(layer="relu", units=(CONSTANT,), method=method).run(model, pictures())
        assert np.abs(found.arrays["change"]).max() <= 1e-6
    zero = Ablation(layer="relu", units=(CONSTANT,), method="zero").run(model, pictures())
    assert np.abs(zero.arrays["change"]).max() > 0.1
    assert zero.summary["classes"][0]["class"] == "grey"


def test_every_image_changes_as_it_does_in_the_module_itself(detectors: tuple[Detectors, TracedModel]) -> None:
    module, model = detectors
    images = pictures()
    clean = by_hand(module, model, images, None)
    x = model.preprocess(next(images.batches((SIDE, SIDE), len(images))).images)
    with torch.no_grad():
        mean = module.relu(module.conv(x)).mean((0, 2, 3))
    classes = torch.arange(4).repeat_interleave(EACH)
    units = (0, 2, 7)
    for method, values in (("zero", dict.fromkeys(units, 0.0)), ("mean", {unit: mean[unit] for unit in units})):
        ablated = by_hand(module, model, images, values)
        change = ablated.log_softmax(1) - clean.log_softmax(1)
        result = Ablation(layer="relu", units=units, method=method, null_images=20).run(model, images)
        arrays = result.arrays
        assert arrays["image"].tolist() == list(range(48))
        assert np.abs(arrays["change"] - change[range(48), classes].numpy()).max() <= 1e-5
        kl = (clean.softmax(1) * (clean.log_softmax(1) - ablated.log_softmax(1))).sum(1)
        assert np.abs(arrays["kl"] - kl.numpy()).max() <= 1e-5
        assert (arrays["top_ablated"] == ablated.argmax(1).numpy()).all()
        assert np.abs(arrays["output_change"] - (ablated - clean).mean(0).numpy()).max() <= 1e-5
        assert result.summary["accuracy_clean"] == pytest.approx(float((clean.argmax(1) == classes).double().mean()))
        assert result.summary["change"] == pytest.approx(float(change[range(48), classes].mean()), abs=1e-6)
        draw = arrays["null_units"][3].tolist()
        null = by_hand(module, model, images, {unit: 0.0 if method == "zero" else mean[unit] for unit in draw})
        expected = (null.log_softmax(1) - clean.log_softmax(1))[range(48), classes][arrays["null_image"]]
        assert arrays["null_change"][3] == pytest.approx(float(expected.mean()), abs=1e-6)
        place = int(arrays["null_image"][0]) // EACH
        mine = arrays["null_image"] // EACH == place
        assert arrays["null_class_change"][3, place] == pytest.approx(float(expected[mine].mean()), abs=1e-6)


def test_random_units_of_the_same_number_are_the_null(detectors: tuple[Detectors, TracedModel]) -> None:
    _, model = detectors
    result = Ablation(layer="relu", units=(0, 1), null_draws=25, null_images=10).run(model, pictures())
    drawn = result.arrays["null_units"]
    assert drawn.shape == (25, 2) and not np.isin(drawn, (0, 1)).any()
    assert len({tuple(units) for units in drawn.tolist()}) == 25 and (drawn[:, 0] < drawn[:, 1]).all()
    summary = result.summary
    assert summary["null_draws"] == 25 and summary["null_images"] == 10 == len(result.arrays["null_image"])
    assert summary["null_low"] <= summary["null_mean"] <= summary["null_high"]
    own = result.arrays["change"][np.isin(result.arrays["image"], result.arrays["null_image"])].mean()
    assert summary["change_on_null_images"] == pytest.approx(own)
    larger = int((np.abs(result.arrays["null_change"]) >= abs(own)).sum())
    assert summary["p"] == pytest.approx((1 + larger) / 26)
    every = Ablation(layer="conv", units=tuple(range(29)), null_draws=20).run(model, pictures()).summary
    assert every["null_draws"] == 0 and "not as many other units" in every["null_missing"]
    some = Ablation(layer="conv", units=tuple(range(15)), null_draws=20).run(model, pictures()).arrays["null_units"]
    assert some.shape == (16, 15), "as many as there are"


def test_resampling_gives_every_image_what_another_one_has() -> None:
    class Level(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(x).mean((2, 3))

    levels = np.arange(1, 24, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    preprocessing = Preprocessing((4, 4), (0.0,) * 3, (1.0,) * 3)
    model = TracedModel.from_module(Level(), torch.rand(2, 3, 4, 4), preprocessing=preprocessing)
    before = None
    for batch in (3, 66, 256):
        run = Ablation(layer=":relu", units=(0,), method="resample", seed=5, batch=batch).run(model, ArraySet(levels))
        size = np.arange(1, 24) / 255
        moved = run.arrays["change"] * np.linalg.norm(np.repeat(size[:, None], 3, 1), axis=1).mean()
        assert moved.min() >= 0.9 / 255, "no image keeps its own"
        assert abs(run.arrays["output_change"]).max() <= 1e-6, "each gives its own to exactly one other"
        assert np.allclose(moved, np.round(moved * 255) / 255, atol=1e-6)
        if before is not None:
            assert np.allclose(moved, before, atol=1e-6), "the batch size decides nothing"
        before = moved
    with pytest.raises(InputError, match="resampling needs two images"):
        Ablation(layer=":relu", units=(0,), method="resample").run(model, ArraySet(levels[:1]))


def test_the_seed_decides_everything(detectors: tuple[Detectors, TracedModel]) -> None:
    _, model = detectors
    asked = {"layer": "relu", "units": (1,), "method": "resample", "limit": 30, "null_images": 12}
    first, second, other = (Ablation(seed=seed, **asked).run(model, pictures()) for seed in (3, 3, 4))
    assert first.summary == second.summary
    for name, array in first.arrays.items():
        assert np.array_equal(array, second.arrays[name], equal_nan=array.dtype.kind == "f"), name
    assert first.summary["images"] == 30
    assert not np.array_equal(first.arrays["image"], other.arrays["image"])
    assert not np.array_equal(first.arrays["null_units"], other.arrays["null_units"])


def test_without_labels_it_is_the_class_the_clean_network_predicts(detectors: tuple[Detectors, TracedModel]) -> None:
    module, model = detectors
    result = Ablation(layer="relu", units=(0,)).run(model, pictures(labels=False))
    assert result.summary["measure"] == "log-probability of the class that the clean network predicts"
    assert "accuracy_clean" not in result.summary
    assert (result.arrays["class"] == by_hand(module, model, pictures(), None).argmax(1).numpy()).all()
    assert (result.arrays["class"] == result.arrays["top_clean"]).all()
    assert result.arrays["class_images"].sum() == 48


def test_classes_can_be_chosen_and_unknown_labels_are_left_out(detectors: tuple[Detectors, TracedModel]) -> None:
    _, model = detectors
    result = Ablation(layer="relu", units=(0,), classes=("red", "blue")).run(model, pictures())
    assert result.arrays["class_images"].tolist() == [12, 0, 12, 0]
    assert np.isnan(result.arrays["class_change"][[1, 3]]).all() and result.summary["left_out"] == 24
    images = pictures()
    images.columns = dict(images.columns) | {"colour": ["violet"] * 30 + ["grey"] * 18}
    result = Ablation(layer="relu", units=(0,), column="colour").run(model, images)
    assert result.summary["images"] == 18 and result.summary["left_out"] == 30
    for wrong, message in (
        ({"column": "shape"}, "has no column 'shape'"),
        ({"column": "concept"}, "no concept of .* is a class of colours"),
        ({"classes": ("violet",)}, "no class 'violet'"),
        ({"units": (31,)}, "relu has units 0 to 30, not 31"),
        ({"units": (1, 1)}, "name one twice"),
        ({"measure": "output", "classes": ("red",)}, "of no use"),
        ({"layer": "rellu"}, "did you mean"),
    ):
        with pytest.raises(InputError, match=message):
            Ablation(**{"layer": "relu", "units": (0,)} | wrong).run(model, pictures())
    with pytest.raises(InputError, match="does not say which class"):
        Ablation(layer="relu", units=(0,), classes=("red",)).run(model, pictures(labels=False))


def test_a_network_without_classes_is_measured_by_its_output(detectors: tuple[Detectors, TracedModel]) -> None:
    module, model = detectors
    nameless = TracedModel.from_module(module, torch.rand(2, 3, SIDE, SIDE), preprocessing=model.preprocessing)
    with pytest.raises(InputError, match="names no classes"):
        Ablation(layer="relu", units=(0,), measure="classes").run(nameless, pictures())
    result = Ablation(layer="relu", units=(0,), method="zero").run(nameless, pictures())
    clean, ablated = (by_hand(module, model, pictures(), replaced) for replaced in (None, {0: 0.0}))
    size = clean.norm(dim=1).mean()
    assert np.abs(result.arrays["change"] - ((ablated - clean).norm(dim=1) / size).numpy()).max() <= 1e-5
    assert result.summary["change"] == pytest.approx(float((ablated - clean).norm(dim=1).mean() / size), rel=1e-5)
    assert np.abs(result.arrays["cosine"] - torch.cosine_similarity(clean, ablated).numpy()).max() <= 1e-5
    assert "class_change" not in result.arrays and result.summary["percentile"] > 80


def test_tokens_and_groups_of_units(tmp_path) -> None:
    import timm

    torch.manual_seed(0)
    network = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=2, num_classes=4)
    nn.init.normal_(network.head.weight)
    model = TracedModel.from_module(network, torch.rand(2, 3, 32, 32), CLASSES)
    result = Ablation(layer="blocks.0.mlp.act", units=(3, 500), method="mean", limit=12).run(model, pictures())
    assert result.arrays["null_units"].shape == (20, 2) and result.summary["images"] == 12
    assert np.abs(result.arrays["change"]).max() > 0
    heads = Ablation(layer="blocks.1.attn:scaled_dot_product_attention", units=(1,), limit=12).run(model, pictures())
    assert heads.arrays["null_units"].tolist() == [[0], [2]], "a layer of three heads has two others"


def test_the_mean_of_a_head_is_a_vector() -> None:
    """What a head computes has a mean for each feature; one number for all of them would be another activation."""
    import timm

    torch.manual_seed(0)
    network = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=2, num_classes=4)
    nn.init.normal_(network.head.weight)
    model = TracedModel.from_module(network, torch.rand(2, 3, 32, 32), CLASSES)
    images = pictures()
    name = "blocks.1.attn:scaled_dot_product_attention"
    x = model.preprocess(next(images.batches((32, 32), len(images))).images)
    with torch.no_grad():
        z = model.activations(x, [name])[name]
        assert z.shape[1:] == (3, 5, 64) and model.layer(name).features == 1 and not model.layer(name).is_map
        middle = z[:, 1].double().mean((0, 1))

        def put(value: torch.Tensor) -> torch.Tensor:
            changed = value.clone()
            changed[:, 1] = middle.to(value)
            return changed

        wanted = model.edited(x, {name: put}) - model(x)
    result = Ablation(layer=name, units=(1,), measure="output", null_images=2).run(model, images)
    np.testing.assert_allclose(result.arrays["output_change"], wanted.mean(0).numpy(), atol=1e-5)
    torch.testing.assert_close(means(model, [name], x)[name][1], middle)


def test_it_can_be_stopped_and_says_how_far_it_is(detectors: tuple[Detectors, TracedModel]) -> None:
    _, model = detectors

    class Watched(Task):
        def __init__(self, steps: int) -> None:
            self.left, self.seen = steps, []

        def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
            self.seen.append((done, total, partial))
            self.left -= 1
            if not self.left:
                raise Cancelled

    for method in ("mean", "resample"):
        ablation = Ablation(layer="relu", units=(0,), method=method, batch=66, null_images=24)
        task = Watched(1000)
        ablation.run(model, pictures(), task)
        done = [now for now, _, _ in task.seen]
        assert len({total for _, total, _ in task.seen}) == 1 and done == sorted(done) and done[-1] == task.seen[0][1]
        assert task.seen[-1][2]["images"] == 48
        for steps in range(1, len(task.seen), 4):
            with pytest.raises(Cancelled):
                ablation.run(model, pictures(), Watched(steps))


def test_the_result_can_be_written_and_drawn(detectors: tuple[Detectors, TracedModel], tmp_path) -> None:
    _, model = detectors
    for measure in ("classes", "output"):
        result = Ablation(layer="relu", units=(0,), measure=measure).run(model, pictures())
        result.save(tmp_path / measure)
        written = json.loads((tmp_path / measure / "result.json").read_text())
        assert written["summary"]["most_changed"][0]["image"] == int(result.arrays["most_image"][0])
        assert "NaN" not in (tmp_path / measure / "result.json").read_text()
        drawn = {path.stem for path in (tmp_path / measure / "figures").glob("*.png")}
        assert drawn == {"effect", "images"} | ({"classes"} if measure == "classes" else set())
