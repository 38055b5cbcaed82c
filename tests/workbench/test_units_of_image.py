"""Units of an image: ranks on images of known colours, regions, images from outside, and what several analyses read in common."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from workbench.analyses.unit_activations import Mean, Places, as_map, slices, unit_activations
from workbench.analyses.units_of_image import UnitsOfImage
from workbench.images.array_set import ArraySet
from workbench.input_error import InputError
from workbench.jobs.engine import Engine
from workbench.jobs.on_image_requests import UnitsOnImage
from workbench.jobs.store import Store
from workbench.models.layer import Layer
from workbench.models.preprocessing import Preprocessing
from workbench.models.traced_model import TracedModel
from workbench.task import Cancelled, Task

SIDE = 8


class Channels(nn.Module):
    """Units of red, green and blue and one of none; tokens of the same; the mean as classes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.tokens = nn.Linear(4, 4)
        with torch.no_grad():
            self.conv.weight.copy_(torch.cat([torch.eye(3), torch.zeros(1, 3)])[:, :, None, None])
            self.conv.bias.zero_()
            self.tokens.weight.copy_(torch.eye(4))
            self.tokens.bias.zero_()
        self.class_token = nn.Parameter(torch.full((1, 1, 4), 9.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x).flatten(2).transpose(1, 2)
        x = self.tokens(torch.cat([self.class_token.expand(x.shape[0], -1, -1), x], 1))
        return x[:, 1:].mean(1)


@pytest.fixture(scope="module")
def model() -> TracedModel:
    example = torch.randn(2, 3, SIDE, SIDE)
    return TracedModel.from_module(
        Channels(),
        example,
        ["red", "green", "blue", "none"],
        preprocessing=Preprocessing((SIDE, SIDE)),
        name="Channels",
    )


def images() -> ArraySet:
    """Forty dark images, the last one red at the top left and green at the bottom right."""
    pixels = np.random.default_rng(0).integers(0, 100, (40, SIDE, SIDE, 3)).astype(np.uint8)
    pixels[39, :4, :4, 0] = 255
    pixels[39, 4:, 4:, 1] = 200
    return ArraySet(pixels)


def test_an_image_drives_the_units_of_its_colours(model: TracedModel) -> None:
    result = UnitsOfImage(layer="conv", image=39, shown=2).run(model, images())
    assert result.arrays["units"].tolist()[:2] == [0, 1]
    assert result.arrays["percentile"][:2].tolist() == [1, 1] and result.arrays["percentile"][3] == 0.5
    assert result.arrays["value"][:2] == pytest.approx([1, 200 / 127.5 - 1])
    assert result.arrays["maps"].shape == (2, SIDE, SIDE)
    assert (
        result.arrays["maps"][0, :4, :4] == pytest.approx(1)
        and result.arrays["maps"][0].max() == result.arrays["value"][0]
    )
    assert np.array_equal(result.arrays["input"], images().image(39))
    assert result.arrays["class_names"].tolist()[0] in ("red", "none") and result.arrays[
        "class_probabilities"
    ].sum() == pytest.approx(1)
    summary = result.summary
    assert summary["strong_units"] == 2 and summary["smallest_step"] == 1 / 39
    assert len(result.arrays["strong_units"]) == 39 and summary["strong_units_of_set"]["mean"] < 0.2
    assert summary["units"][0]["z"] > 3 and len(summary["units"]) == 2
    json.dumps(summary, allow_nan=False)
    assert set(result.figures()) == {"units"}


def test_a_region_has_units_of_its_own(model: TracedModel) -> None:
    whole = UnitsOfImage(layer="conv", image=39, region=(0.5, 0.5, 1, 1)).run(model, images())
    assert whole.arrays["units"][0] == 1 and whole.arrays["percentile"][1] == 1
    assert whole.arrays["percentile"][0] < 0.2  # the largest of 16 positions against the largest of 64
    same = UnitsOfImage(layer="conv", image=39, region=(0.5, 0.5, 1, 1), against="region").run(model, images())
    assert same.arrays["percentile"][1] == 1 and same.arrays["percentile"][2] > whole.arrays["percentile"][2]
    assert same.summary["compared_with"] == "the same region of each image"
    tokens = UnitsOfImage(layer="tokens", image=39, region=(0.5, 0.5, 1, 1)).run(model, images())
    assert tokens.arrays["maps"].shape == (4, SIDE, SIDE)  # without the class token
    assert tokens.arrays["value"][1] == pytest.approx(200 / 127.5 - 1)


def test_an_image_from_outside_the_set(model: TracedModel) -> None:
    pixels = np.zeros((50, 50, 3), np.uint8)
    pixels[..., 2] = 255
    analysis = UnitsOfImage(layer="conv")
    given = analysis.of(pixels)
    result = given.run(model, images())
    assert result.arrays["units"][0] == 2 and result.summary["image"] == "given"
    assert len(result.arrays["strong_units"]) == 40
    assert given.key(model, images()) != analysis.key(model, images()) != analysis.of(pixels[::2]).key(model, images())
    assert result.provenance["image_hash"] == ArraySet(pixels).content_hash


@pytest.mark.parametrize(
    ("layer", "parameters", "said"),
    [
        ("conv", {"image": 40}, "images 0 to 39, not 40"),
        ("mean", {"region": (0, 0, 0.5, 0.5)}, "no positions in the image"),
    ],
)
def test_what_does_not_fit_is_said(model: TracedModel, layer: str, parameters: dict[str, object], said: str) -> None:
    layer = model.graph.output if layer == "mean" else layer
    with pytest.raises(InputError, match=said):
        UnitsOfImage(layer=layer, **parameters).run(model, images())


@pytest.mark.parametrize("region", [(0.5, 0, 0.5, 1), (0, 0, 1.1, 1), (0, 0.4, 1, 0.2)])
def test_regions_without_area_are_refused(region: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValidationError, match="top < bottom"):
        UnitsOfImage(layer="conv", region=region)


def test_the_request_reads_the_set_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(Store(tmp_path))
    ref = "bundled:planted/curve_net"
    layer = list(engine.model(ref).layers)[1]
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3)).astype(np.uint8)
    request = UnitsOnImage(ref, layer, pixels, "emoji?styles=noto", parameters={"sampled": 64})
    first = request.run(engine, Task())
    assert first.summary["images"] == 64 and request.title == f"Units of {layer} on an image"
    monkeypatch.setattr(type(engine.images("emoji?styles=noto")), "batches", lambda *_, **__: pytest.fail("read again"))
    part = UnitsOnImage(ref, layer, pixels, "emoji?styles=noto", (0, 0, 0.5, 0.5), {"sampled": 64}).run(engine, Task())
    assert part.parameters["region"] == [0, 0, 0.5, 0.5]
    assert (part.arrays["value"] <= first.arrays["value"]).all()
    other = UnitsOnImage(ref, layer, pixels[::-1], "emoji?styles=noto", parameters={"sampled": 64}).run(engine, Task())
    assert other.provenance["image_hash"] != first.provenance["image_hash"]


# What analyses read in common


def test_every_reduction_reads_what_it_says(model: TracedModel) -> None:
    shown = images()
    with torch.inference_mode():
        pixels = np.stack([shown.image(index) for index in range(40)])
        direct = model.activations(model.preprocess(pixels), ["conv", "tokens"])
    layers = ["tokens", "conv"]
    largest = unit_activations(model, layers, shown, Task())
    assert list(largest.values) == layers and largest.indices.tolist() == list(range(40))
    assert np.array_equal(largest.values["conv"], direct["conv"].amax((2, 3)).numpy())
    assert (largest.values["tokens"] == 9).all()  # the class token is one of the tokens
    mean = unit_activations(model, ["conv"], shown, Task(), reduction=Mean((0, 0, 0.5, 1)), indices=np.array([3, 39]))
    assert mean.values["conv"] == pytest.approx(direct["conv"][[3, 39], :, :4].mean((2, 3)).numpy(), abs=1e-6)
    places = unit_activations(model, layers, shown, Task(), reduction=Places(5, 1))
    assert places.values["conv"].shape == (40, 5, 4)
    assert np.array_equal(
        places.values["conv"], places.values["tokens"]
    )  # the same places, once the class token is left out
    again = unit_activations(model, ["conv"], shown, Task(), reduction=Places(5, 1), indices=np.array([7]))
    assert np.array_equal(
        again.values["conv"][0], places.values["conv"][7]
    )  # an image's places do not depend on the others


def test_a_cancelled_pass_leaves_nothing(model: TracedModel, tmp_path: Path) -> None:
    class Stop(Task):
        def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
            if done >= 16:
                raise Cancelled

    with pytest.raises(Cancelled):
        unit_activations(model, ["conv"], images(), Stop(), folder=tmp_path)
    assert list(tmp_path.iterdir()) == []
    unit_activations(model, ["conv"], images(), Task(), folder=tmp_path)
    unit_activations(model, ["conv"], images(), Stop(), folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(Cancelled):  # another reduction is another thing
        unit_activations(model, ["conv"], images(), Stop(), reduction=Mean(), folder=tmp_path)


def test_activations_that_cannot_be_kept_are_returned(
    model: TracedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    expected = unit_activations(model, ["conv", "tokens"], images(), Task())
    monkeypatch.setattr("workbench.analyses.unit_activations.replacing", full)
    found = unit_activations(model, ["conv", "tokens"], images(), Task(), folder=tmp_path)
    assert all(np.array_equal(found.values[layer], values) for layer, values in expected.values.items())
    assert caplog.text.count("cannot be kept") == 1 and not list(tmp_path.iterdir())


def test_patches_are_folded_into_the_image() -> None:
    square = Layer("tokens", "linear", (197, 6), -1)
    assert as_map(torch.zeros(2, 6, 197), square, (224, 224)).shape == (2, 6, 14, 14)
    wide = Layer("tokens", "linear", (33, 6), -1)
    folded = as_map(torch.arange(33.0).expand(1, 1, -1), wide, (32, 64))
    assert folded.shape == (1, 1, 4, 8) and folded[0, 0, 0].tolist() == list(range(1, 9))
    assert as_map(torch.zeros(2, 6, 50), square, (224, 224)).shape == (2, 6, 7, 7)
    assert as_map(torch.zeros(2, 6, 77), square, (224, 224)) is None  # a text
    assert as_map(torch.zeros(2, 6), square, (224, 224)) is None
    windows = Layer("windows", "linear", (49, 6), -1, rows=4)
    assert as_map(torch.zeros(2, 6, 4, 49), windows, (224, 224)) is None


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [((0, 0, 1, 1), (0, 4), (0, 6)), ((0.5, 0.5, 1, 1), (2, 4), (3, 6)), ((0.9, 0.3, 0.95, 0.31), (3, 4), (1, 2))],
)
def test_a_region_touches_at_least_one_position(
    box: tuple[float, float, float, float], rows: tuple[int, int], columns: tuple[int, int]
) -> None:
    assert slices(box, 4, 6) == (slice(*rows), slice(*columns))
