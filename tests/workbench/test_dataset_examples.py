"""Dataset examples against a computation that keeps all activations; what is exact is compared exactly.

The network's weights are whole numbers and the images black and white, so every activation is a small whole number: the same to the
last bit in any batch, and full of ties.
"""

from __future__ import annotations

import io
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import workbench.analyses.dataset_examples.analysis as analysis
import workbench.analyses.dataset_examples.reduction as reduction
import workbench.analyses.dataset_examples.running as running
from workbench.analyses.dataset_examples import (
    SHEET,
    DatasetExamples,
    is_finished,
    layer_statistics,
    pack,
    percentile,
    swept_layers,
    unit_examples,
)
from workbench.analyses.dataset_examples.histogram import UnitHistogram, count, finite_range, fit
from workbench.analyses.dataset_examples.reduction import moments_of, places, pooled, seeded_fractions
from workbench.images.image_set import ImageSet, UnreadableImageError
from workbench.models.preprocessing import Preprocessing
from workbench.models.traced_model import TracedModel
from workbench.task import Cancelled, Task

SIZE = (12, 10)
LAYERS = ("conv", "relu", "last", "tokens", "head")


class Everything(nn.Module):
    """A layer of each arrangement: channels first, channels last, tokens, a vector."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.conv = nn.Conv2d(3, 5, 3)
        self.relu = nn.ReLU()
        self.last = nn.Linear(5, 6)
        self.tokens = nn.Linear(6, 4)
        self.head = nn.Linear(4, 7)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randint(-2, 3, parameter.shape, generator=generator))
            self.conv.bias[4] = -100.0  # never active after the non-linearity

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.conv(x))
        x = self.last(x.permute(0, 2, 3, 1))
        x = self.tokens(x.flatten(1, 2))
        return self.head(x[:, :8].sum(1))


class Noise(ImageSet):
    """Black and white noise, each image twice as dense as the one before for a while; the same for every run."""

    def __init__(self, number: int, broken: tuple[int, ...] = ()) -> None:
        super().__init__("test:noise", "Noise", [f"image {i}" for i in range(number)], {})
        self.broken = broken

    @property
    def content_hash(self) -> str:
        return f"noise {len(self)}"

    def _read(self, index: int, size: tuple[int, int] | None) -> np.ndarray:
        if index in self.broken:
            raise UnreadableImageError("broken on purpose")
        rng = np.random.default_rng(index % 23)  # images come again: ties
        height, width = size or SIZE
        return (rng.random((height, width, 3)) < 0.02 * (1 + index % 23)).astype(np.uint8) * 255


class Record(Task):
    """Keeps the steps; cancels after some."""

    def __init__(self, cancel_after: int = 0) -> None:
        self.steps: list[tuple[float, float, object, str]] = []
        self.cancel_after = cancel_after

    def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
        self.steps.append((done, total, partial, note))
        if len(self.steps) == self.cancel_after:
            raise Cancelled


@pytest.fixture(autouse=True)
def one_step_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is."""
    monkeypatch.setattr(analysis, "SECONDS_BETWEEN_STEPS", float("inf"))


def make_model() -> TracedModel:
    preprocessing = Preprocessing(SIZE, (0.0,) * 3, (1.0,) * 3)
    return TracedModel.from_module(Everything(), torch.rand(2, 3, *SIZE), preprocessing=preprocessing)


@pytest.fixture(scope="module")
def model() -> TracedModel:
    return make_model()


@pytest.fixture(scope="module")
def images() -> Noise:
    return Noise(61)


@pytest.fixture(scope="module")
def activations(model: TracedModel, images: Noise) -> dict[str, np.ndarray]:
    """All of them, ``image unit position``, and the position axes beside."""
    (batch,) = images.batches(SIZE, len(images))
    values = model.activations(model.preprocess(batch.images), LAYERS)
    return {name: model.layer(name).arrange(value).numpy() for name, value in values.items()}


def ask(**parameters: object) -> DatasetExamples:
    return DatasetExamples(**{"layers": LAYERS, "k": 9, "batch": 8, "sampled": 40, "samples": 3} | parameters)


def positions_of(flat: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if not shape:
        return np.zeros((*flat.shape, 2), int)
    if len(shape) == 1:
        return np.stack([flat, np.zeros_like(flat)], -1)
    return np.stack(np.unravel_index(flat, shape), -1)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("histogram", ["seeded", "full"])
def test_equals_a_computation_that_keeps_everything(
    layer: str, histogram: str, model: TracedModel, images: Noise, activations: dict[str, np.ndarray]
) -> None:
    result = ask(layers=(layer,), histogram=histogram).run(model, images)
    found = {name.removeprefix(f"{layer}/"): array for name, array in result.arrays.items()}
    shape = activations[layer].shape[2:]
    values = activations[layer].reshape(*activations[layer].shape[:2], -1)
    number, units, positions = values.shape

    for end, sign in (("top", 1), ("bottom", -1)):
        best, at = (sign * values).max(2), (sign * values).argmax(2)
        order = np.argsort(-best, axis=0, kind="stable")[:9]
        assert len(np.unique(best[:, 0])) < number  # there are ties
        np.testing.assert_array_equal(found[f"{end}_index"], order.T)
        np.testing.assert_array_equal(found[f"{end}_values"], sign * np.take_along_axis(best, order, 0).T)
        np.testing.assert_array_equal(found[f"{end}_position"], positions_of(np.take_along_axis(at, order, 0).T, shape))
    np.testing.assert_allclose(found["mean"], values.mean((0, 2), dtype=np.float64), rtol=2e-6, atol=2e-6)
    np.testing.assert_allclose(found["std"], values.std((0, 2), dtype=np.float64), rtol=2e-6, atol=2e-6)
    np.testing.assert_array_equal(found["max"], values.max((0, 2)))
    np.testing.assert_array_equal(found["min"], values.min((0, 2)))
    maxima = values.max(2)
    np.testing.assert_allclose(found["active_images"], (maxima > 0).mean(0), rtol=1e-6)
    response = np.maximum(maxima, 0).astype(np.float64)
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(found["treves_rolls"], response.mean(0) ** 2 / (response**2).mean(0), rtol=1e-6)
    assert not found["nonfinite_images"].any()

    counted = values
    if histogram == "seeded" and positions > 16:
        within = ((np.arange(16) + seeded_fractions(0, np.arange(number), 16)) * positions / 16).astype(int)
        counted = np.take_along_axis(values, within[:, None, :], 2)
    assert (found["histogram"].sum(1) == counted[:, 0].size).all()
    np.testing.assert_allclose(found["sparsity"], (counted > 0).mean((0, 2)), rtol=1e-6)
    for name, of in (("histogram", counted), ("max_histogram", maxima[:, :, None])):
        for unit in range(units):
            edges = found[f"{name}_edges"][unit]
            width = edges[1] - edges[0]
            assert np.log2(width) % 1 == 0 and (np.diff(edges) == width).all() and not (edges / width % 1).any()
            bins = np.searchsorted(edges, of[:, unit].ravel(), side="left") - 1
            np.testing.assert_array_equal(np.bincount(bins, minlength=64), found[name][unit])


def test_samples_come_from_their_ranges(model: TracedModel, images: Noise, activations: dict[str, np.ndarray]) -> None:
    found = ask(layers=("conv",)).run(model, images).arrays
    values = activations["conv"].reshape(len(images), 5, -1)
    maxima = values.max(2)
    sampled = np.sort(np.random.default_rng(0).choice(61, 40, replace=False))
    for unit in range(5):
        edges = found["conv/range_edges"][unit]
        np.testing.assert_array_equal(edges[[0, -1]], [maxima[sampled, unit].min(), maxima[sampled, unit].max()])
        for low, high, index, value, position in zip(
            edges[:-1],
            edges[1:],
            found["conv/sample_index"][unit],
            found["conv/sample_values"][unit],
            found["conv/sample_position"][unit],
            strict=True,
        ):
            assert set(index) <= set(sampled) and len(set(index)) == 3
            assert ((value >= low) & (value <= high)).all() and (np.diff(value) >= 0).all()
            np.testing.assert_array_equal(value, maxima[index, unit])
            np.testing.assert_array_equal(position, positions_of(values[index, unit].argmax(1), (10, 8)))
    other = ask(layers=("conv",), seed=1).run(model, images).arrays
    assert (other["conv/sample_index"] != found["conv/sample_index"]).any()
    np.testing.assert_array_equal(other["conv/top_index"], found["conv/top_index"])


def test_fewer_images_than_places(model: TracedModel) -> None:
    found = ask(k=5, ranges=4, samples=2).run(model, Noise(3)).arrays
    assert (found["conv/top_index"][:, 3:] == -1).all() and (found["conv/top_position"][:, 3:] == -1).all()
    assert np.isnan(found["conv/top_values"][:, 3:]).all() and np.isfinite(found["conv/top_values"][:, :3]).all()
    index = found["conv/sample_index"]
    assert all(sorted(of[of >= 0]) == [0, 1, 2] for of in index)
    assert (np.isnan(found["conv/sample_values"]) == (index < 0)).all()


@pytest.mark.parametrize("histogram", ["seeded", "full"])
def test_the_batch_size_changes_nothing(histogram: str, model: TracedModel, images: Noise) -> None:
    results = [ask(batch=batch, histogram=histogram).run(model, images) for batch in (1, 7, 61)]
    for other in results[1:]:
        equal(other.arrays, results[0].arrays)


def equal(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name, array in one.items():
        if name.endswith(("/mean", "/std")):
            np.testing.assert_allclose(array, other[name], rtol=2e-6, atol=2e-6, err_msg=name)
        else:
            np.testing.assert_array_equal(array, other[name], err_msg=name)


def test_only_the_places_asked_for_are_looked_up() -> None:
    maps = torch.randint(-3, 4, (4, 6, 5, 40), generator=torch.Generator().manual_seed(0)).float()
    flat = maps.flatten(1, 2).numpy()
    for largest in (True, False):
        rows = maps.amax(2) if largest else maps.amin(2)
        truth = flat.argmax(1) if largest else flat.argmin(1)
        everywhere = places(maps, rows, np.ones((4, 40), np.bool_), largest=largest)
        np.testing.assert_array_equal(everywhere, truth)
        asked = np.random.default_rng(1).random((4, 40)) < 0.1
        some = places(maps, rows, asked, largest=largest)
        np.testing.assert_array_equal(some, np.where(asked, truth, -1))
        assert (places(maps, rows, asked & False, largest=largest) == -1).all()


# Histograms whose range nobody knows


def test_the_grid_is_the_finest_that_covers() -> None:
    rng = np.random.default_rng(0)
    low = np.concatenate([rng.normal(size=500) * 10.0 ** rng.integers(-6, 6, 500), [0, 3, -3, 0, 1e-30, 1e30]])
    high = low + np.concatenate([np.abs(rng.normal(size=500)) * 10.0 ** rng.integers(-6, 6, 500), [0, 0, 0, 64, 0, 0]])
    low, high = low.astype(np.float32), high.astype(np.float32)
    for bins in (8, 64):
        grid = fit(low, high, bins)
        assert grid.covers(low, high, bins).all()
        edges = grid.edges(bins)
        width = 1 / grid.scale.astype(np.float64)
        assert (np.log2(width) % 1 == 0).all()
        assert ((edges[:, 0] < low) & (high <= edges[:, -1])).all()
        used = np.ceil(high / width) - np.ceil(low / width) + 1
        half = np.ceil(high / (width / 2)) - np.ceil(low / (width / 2)) + 1
        too_large = np.maximum(np.abs(low), np.abs(high)) / (width / 2) > 2**20
        assert (used <= bins).all()
        assert ((half > bins) | too_large | (width == 2.0**-100)).all()


def test_a_histogram_does_not_depend_on_the_order() -> None:
    rng = np.random.default_rng(1)
    values = (rng.normal(size=(400, 6)) * np.exp(rng.normal(size=(400, 1)) * 3)).astype(np.float32)
    values[:, 1] = np.abs(values[:, 1])
    values[:, 2] = 0.0
    values[:, 3] = np.where(rng.random(400) < 0.5, values[:, 3], np.nan)
    values[7, 4], values[9, 4] = np.inf, -np.inf
    values[:, 5] = np.nan
    found = []
    for order, step in ((np.arange(400), 400), (np.arange(400)[::-1], 3), (np.argsort(np.abs(values[:, 0])), 1)):
        histogram = UnitHistogram.empty(6, 16)
        for start in range(0, 400, step):
            block = torch.from_numpy(values[order[start : start + step]])
            low, high, finite = finite_range(block)
            everything = slice(0, 6)
            histogram.add(histogram.counted([block], low, high, everything, finite=finite), everything)
        final = histogram.on_finest_grid()
        found.append((final.counts, final.grid.edges(16)))
    for counts, edges in found:
        np.testing.assert_array_equal(counts, found[0][0])
        np.testing.assert_array_equal(edges, found[0][1])
        np.testing.assert_array_equal(counts.sum(1), np.isfinite(values).sum(0))
        for unit in range(5):
            known = values[np.isfinite(values[:, unit]), unit]
            bins = np.searchsorted(edges[unit], known, side="left") - 1
            np.testing.assert_array_equal(np.bincount(bins, minlength=16), counts[unit])


@pytest.mark.parametrize(("rows", "units", "parts"), [(8192, 64, 32), (394, 768, 2), (33, 5, 1), (3, 4000, 1)])
def test_moments_are_exact(rows: int, units: int, parts: int) -> None:
    values = torch.randn(rows, units, generator=torch.Generator().manual_seed(0)) + 5
    one, two = moments_of(values), moments_of(values[: rows // 3])
    assert one[0].shape == (parts, units) and one[2] * parts == rows
    mean, variance = pooled([one, two])
    both = torch.cat([values, values[: rows // 3]]).double()
    np.testing.assert_allclose(mean, both.mean(0), rtol=1e-6)
    np.testing.assert_allclose(variance, both.var(0, correction=0), rtol=2e-6, atol=1e-6)


def test_many_units_are_counted_in_parts() -> None:
    values = torch.randn(50, 5000, generator=torch.Generator().manual_seed(0)) * 10
    low, high, finite = finite_range(values)
    grid = fit(low, high, 1024)
    counts = count(values, grid, 1024, finite=finite)
    edges = grid.edges(1024)
    for unit in (0, 2499, 2500, 4999):
        bins = np.searchsorted(edges[unit], values[:, unit].numpy(), side="left") - 1
        np.testing.assert_array_equal(np.bincount(bins, minlength=1024), counts[unit])
    assert (counts.sum(1) == 50).all()


def test_seeded_positions_are_spread_evenly() -> None:
    fractions = seeded_fractions(3, np.arange(5000), 16)
    assert fractions.min() >= 0 and fractions.max() < 1
    assert np.abs(fractions.mean(0) - 0.5).max() < 0.02
    assert np.abs(np.corrcoef(fractions.T) - np.eye(16)).max() < 0.06
    assert (fractions != seeded_fractions(4, np.arange(5000), 16)).mean() > 0.99
    np.testing.assert_array_equal(fractions[70:80], seeded_fractions(3, np.arange(70, 80), 16))


# What can go wrong


def test_dead_units_and_units_with_nan_are_named(images: Noise) -> None:
    network = Everything()
    with torch.no_grad():
        network.conv.weight[2, 0, 0, 0] = float("nan")
    preprocessing = Preprocessing(SIZE, (0.0,) * 3, (1.0,) * 3)
    spoilt = TracedModel.from_module(network, torch.zeros(2, 3, *SIZE), preprocessing=preprocessing)
    for histogram in ("seeded", "full"):
        result = ask(layers=("conv", "relu"), histogram=histogram).run(spoilt, images)
        layers = result.summary["layers"]
        assert layers["conv"]["nonfinite"] == [2] and layers["relu"]["nonfinite"] == [2]
        assert layers["conv"]["dead"] == [] and layers["relu"]["dead"] == [4]
        assert (layers["conv"]["role"], layers["relu"]["role"]) == ("pre", "post")
        arrays = result.arrays
        assert arrays["conv/nonfinite_images"].tolist() == [0, 0, 61, 0, 0]
        assert (arrays["conv/top_index"][2] == -1).all() and np.isnan(arrays["conv/mean"][2])
        assert np.isnan(arrays["conv/sample_values"][2]).all() and not arrays["conv/histogram"][2].any()
        whole = ask(layers=("conv", "relu"), histogram=histogram).run(make_model(), images).arrays
        for name in (name for name in arrays if "/" in name):
            np.testing.assert_array_equal(np.delete(arrays[name], 2, 0), np.delete(whole[name], 2, 0), err_msg=name)


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("not enough memory"), MemoryError()]
)
def test_the_batch_halves_itself(
    error: Exception, model: TracedModel, images: Noise, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ask().run(model, images)
    forward_to = model.forward_to
    sizes = []

    def small(layers: object, reductions: object) -> object:
        forward = forward_to(layers, reductions)

        def run(x: torch.Tensor) -> object:
            results = forward(x)  # what ran before memory was short must leave no trace
            if len(x) > 3:
                raise error
            sizes.append(len(x))
            return results

        return run

    monkeypatch.setattr(model, "forward_to", small)
    task = Record()
    result = ask().run(model, images, task)
    equal(result.arrays, whole.arrays)
    assert max(sizes) == 2 and sum(sizes) == 61 and result.summary["batch"] == 2
    assert "2 images at once" in task.steps[-1][3]


def test_other_errors_and_hopeless_shortage_are_passed_on(
    model: TracedModel, images: Noise, monkeypatch: pytest.MonkeyPatch
) -> None:
    for error in (RuntimeError("a wrong shape"), torch.OutOfMemoryError("no memory at all")):

        def never(*_: object, error: Exception = error) -> object:
            raise error

        monkeypatch.setattr(model, "forward_to", lambda *_, never=never: never)
        with pytest.raises(type(error), match=str(error)):
            ask().run(model, images)


def test_broken_images_are_left_out(model: TracedModel, images: Noise, activations: dict[str, np.ndarray]) -> None:
    result = ask(layers=("conv",)).run(model, Noise(61, broken=(0, 5, *range(16, 24), 60)))
    assert result.summary["images"] == 50 and result.summary["skipped"] == 11
    named = [(image["id"], image["reason"]) for image in result.summary["unreadable"]]
    assert named == [(f"image {i}", "broken on purpose") for i in (0, 5, *range(16, 24), 60)]
    assert not set(result.arrays["conv/top_index"].ravel()) & {0, 5, *range(16, 24), 60}
    assert (result.arrays["conv/max_histogram"].sum(1) == 50).all()
    kept = np.delete(activations["conv"], [0, 5, *range(16, 24), 60], 0)
    np.testing.assert_allclose(result.arrays["conv/mean"], kept.mean((0, 2, 3)), rtol=1e-5)


def test_wrong_questions(model: TracedModel, images: Noise) -> None:
    with pytest.raises(ValueError, match=r"no layer named 'conw'; did you mean conv"):
        ask(layers=("conw",)).run(model, images)
    with pytest.raises(ValueError, match="name it once"):
        ask(layers=("conv", "conv")).run(model, images)
    with pytest.raises(ValueError, match="needs images"):
        ask().run(model)
    with pytest.raises(ValueError, match="Noise has no images"):
        ask().run(model, Noise(0))
    with pytest.raises(ValueError, match="at least 1"):
        ask(layers=())


# On disk


def test_partial_results_are_shown(model: TracedModel, images: Noise, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analysis, "SECONDS_BETWEEN_PARTIALS", 0.0)
    task = Record()
    result = ask().run(model, images, task)
    assert [step[:2] for step in task.steps] == [(min(8 * (i + 1), 61), 61) for i in range(8)]
    partial = task.steps[1][2]
    assert isinstance(partial, dict) and (partial["conv/top_index"] < 16).all()
    np.testing.assert_array_equal(task.steps[-1][2]["conv/top_values"], result.arrays["conv/top_values"])


def test_other_work_is_let_in_between_layers(
    model: TracedModel, images: Noise, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ask().run(model, images)
    monkeypatch.setattr(analysis, "SECONDS_BETWEEN_STEPS", -1.0)
    task = Record()
    equal(ask().run(model, images, task).arrays, whole.arrays)
    assert [step[0] for step in task.steps[:7]] == [0] * 5 + [8] * 2  # after each of five layers, and after the batch
    with pytest.raises(Cancelled):
        ask().kept_in(tmp_path).run(model, images, Record(cancel_after=6 * 2 + 3))
    task = Record()
    equal(ask().kept_in(tmp_path).run(model, images, task).arrays, whole.arrays)
    assert task.steps[0][0] == 16


def test_a_cancelled_sweep_goes_on(model: TracedModel, images: Noise, tmp_path: Path) -> None:
    whole = ask().run(model, images)
    with pytest.raises(Cancelled):
        ask().kept_in(tmp_path).run(model, images, Record(cancel_after=3))
    halfway = ask(layers=LAYERS).run(model, Noise(24))  # of the same images, the first three batches
    for layer, unit in (("conv", 3), ("head", 6)):
        seen = unit_examples(tmp_path, layer, unit)
        for name in ("top_index", "top_values", "bottom_position", "histogram", "max_histogram_edges", "sparsity"):
            np.testing.assert_array_equal(seen[name], halfway.arrays[f"{layer}/{name}"][unit], err_msg=name)
        assert {f"{layer}/{name}" for name in seen} == {name for name in whole.arrays if name.startswith(f"{layer}/")}
    task = Record()
    result = ask().kept_in(tmp_path).run(model, images, task)
    assert task.steps[0][0] == 32
    equal(result.arrays, whole.arrays)
    assert result.summary == whole.summary and result.parameters == whole.parameters


def test_a_sweep_that_goes_on_still_names_what_it_left_out(model: TracedModel, tmp_path: Path) -> None:
    broken = (1, 3, 20, 60)
    with pytest.raises(Cancelled):
        ask().kept_in(tmp_path).run(model, Noise(61, broken), Record(cancel_after=2))
    result = ask().kept_in(tmp_path).run(model, Noise(61, broken))
    assert [image["id"] for image in result.summary["unreadable"]] == [f"image {i}" for i in broken]
    assert result.summary["skipped"] == 4
    assert ask().kept_in(tmp_path).run(model, Noise(61, broken)).summary == result.summary
    many = ask(layers=("conv",)).run(model, Noise(61, tuple(range(55)))).summary
    assert many["skipped"] == 55 and [image["id"] for image in many["unreadable"]] == [f"image {i}" for i in range(50)]
    none = ask(layers=("conv",)).run(model, Noise(4, tuple(range(4)))).summary
    assert none["images"] == 0 and len(none["unreadable"]) == 4


def test_a_finished_sweep_is_read_and_not_run_again(
    model: TracedModel, images: Noise, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ask().kept_in(tmp_path).run(model, images)
    assert [path.name for path in tmp_path.iterdir()] == ["examples.zarr"]
    monkeypatch.setattr(model, "forward_to", None)
    second = ask().kept_in(tmp_path).run(model, images)
    assert second.summary == first.summary
    for name, array in first.arrays.items():
        np.testing.assert_array_equal(second.arrays[name], array)
        assert second.arrays[name].dtype == array.dtype
    for source in (tmp_path, first.arrays):
        found = unit_examples(source, "last", 5)
        assert {f"last/{name}" for name in found} == {name for name in first.arrays if name.startswith("last/")}
        for name, array in found.items():
            np.testing.assert_array_equal(array, first.arrays[f"last/{name}"][5])
        with pytest.raises(ValueError, match="units 0 to 5, not 6"):
            unit_examples(source, "last", 6)
        with pytest.raises(ValueError, match="'norm' is not part of"):
            unit_examples(source, "norm", 0)
    statistics = layer_statistics(tmp_path, "tokens")
    np.testing.assert_array_equal(statistics["std"], first.arrays["tokens/std"])
    assert statistics["seen"] == 61


def test_what_is_shipped_is_smaller_and_the_same_to_a_thousandth(model: TracedModel, images: Noise, tmp_path: Path) -> None:
    whole = ask().kept_in(tmp_path).run(model, images)
    layers = swept_layers(tmp_path)
    layer = next(iter(layers))

    def read() -> list[dict[str, np.ndarray]]:
        return [unit_examples(tmp_path, layer, unit) for unit in range(3)]

    def size() -> int:
        return sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file() and SHEET not in path.parts)

    before, held = read(), size()
    pack(tmp_path)
    assert size() < held and swept_layers(tmp_path) == layers and is_finished(tmp_path)
    for one, other in zip(before, read(), strict=True):
        for name in one:
            assert np.allclose(one[name], other[name], rtol=1e-3 if "values" in name or "edges" in name else 0, equal_nan=True), name
    assert whole.summary["images"] == layer_statistics(tmp_path, layer)["seen"]


def test_nothing_to_read_yet(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        unit_examples(tmp_path, "conv", 0)
    with pytest.raises(FileNotFoundError):
        layer_statistics(tmp_path, "conv")


@pytest.mark.parametrize("damage", ["truncated", "garbage", "samples", "other sweep"])
def test_a_damaged_state_begins_again(
    damage: str, model: TracedModel, images: Noise, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Cancelled):
        ask(seed=int(damage == "other sweep")).kept_in(tmp_path).run(model, images, Record(cancel_after=2))
    state = tmp_path / "state.safetensors"
    if damage == "truncated":
        state.write_bytes(state.read_bytes()[:5000])
    elif damage == "garbage":
        state.write_bytes(b"not a state" * 100)
    elif damage == "samples":
        (tmp_path / "sample_values.f32").write_bytes(b"1234")
    task = Record()
    with caplog.at_level(logging.WARNING):
        result = ask().kept_in(tmp_path).run(model, images, task)
    assert task.steps[0][0] == 8 and "begins again" in caplog.text
    equal(result.arrays, ask().run(model, images).arrays)


def test_two_processes_with_the_same_sweep_do_not_end_one_another(
    model: TracedModel, images: Noise, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each writes while the other one does: the second ends the whole sweep while the first has its state half written."""
    whole = ask().run(model, images)
    save_file, seconds = running.save_file, []

    def save(*arguments: Any) -> None:
        save_file(*arguments)
        if not seconds:
            seconds.append(None)
            seconds.append(ask().kept_in(tmp_path).run(model, images))

    monkeypatch.setattr(running, "save_file", save)
    first = ask().kept_in(tmp_path).run(model, images)
    equal(first.arrays, whole.arrays)
    equal(seconds[1].arrays, whole.arrays)
    assert [path.name for path in tmp_path.iterdir()] == ["examples.zarr"]


def test_what_killed_processes_left_goes_with_the_state(model: TracedModel, images: Noise, tmp_path: Path) -> None:
    for name in (".state.safetensors", ".state.safetensors.0123abcd.saving"):
        (tmp_path / name).write_bytes(b"half")
    ask().kept_in(tmp_path).run(model, images)
    assert [path.name for path in tmp_path.iterdir()] == ["examples.zarr"]


CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
import test_dataset_examples as tests
tests.analysis.SECONDS_BETWEEN_STEPS = 1e9

class Loud(tests.Task):
    def step(self, done, total, partial=None, note=""):
        print(int(done), flush=True)

tests.ask(batch=2).kept_in(Path({folder!r})).run(tests.make_model(), tests.Noise(6001), Loud())
"""


def test_killed_in_the_middle_it_loses_at_most_one_batch(model: TracedModel, tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    code = CHILD.format(here=str(Path(__file__).parent), folder=str(tmp_path))
    environment = os.environ | {"PYTHONPATH": str(root)}
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment, cwd=root)
    assert child.stdout is not None
    done = 0
    for line in child.stdout:
        done = int(line)
        if done >= 60:
            child.send_signal(signal.SIGKILL)
            break
    rest = child.stdout.read().split()
    assert child.wait(timeout=30) == -signal.SIGKILL
    done = int(rest[-1]) if rest else done
    assert 60 <= done < 6001
    assert not list(tmp_path.glob("*.zarr"))

    sampled = unit_examples(tmp_path, "conv", 0)["max_histogram"].sum()
    assert done <= sampled <= done + 2  # what was reported is kept; the batch that was being computed may be, too
    task = Record(cancel_after=3)
    with pytest.raises(Cancelled):
        ask(batch=2).kept_in(tmp_path).run(model, Noise(6001), task)
    assert task.steps[0][0] == sampled + 2
    seen = int(task.steps[-1][0])
    straight = ask(batch=2).run(model, Noise(seen))
    found = unit_examples(tmp_path, "relu", 1)
    for name in ("top_index", "top_position", "bottom_values", "histogram", "histogram_edges", "max_histogram", "mean"):
        np.testing.assert_allclose(found[name], straight.arrays[f"relu/{name}"][1], rtol=1e-6, err_msg=name)


def test_the_part_of_images_below_a_value(
    model: TracedModel, images: Noise, activations: dict[str, np.ndarray]
) -> None:
    maxima = activations["conv"][:, 0].max((1, 2))
    found = unit_examples(ask().run(model, images).arrays, "conv", 0)
    assert percentile(found, float(maxima.max())) == 1.0
    assert percentile(found, float(maxima.min()) - 1e-3 - 1) == 0.0
    middle = percentile(found, float(np.median(maxima)))
    assert abs(middle - (maxima <= np.median(maxima)).mean()) < 0.1
    assert np.isnan(percentile({"max_histogram": np.zeros(4), "max_histogram_edges": np.arange(5.0)}, 1.0))


def test_figures(model: TracedModel, images: Noise) -> None:
    result = ask().run(model, images)
    figures = result.figures()
    sheets = ["examples_1_conv", "examples_2_relu", "examples_3_last", "examples_4_tokens", "examples_5_head"]
    assert set(figures) == {"histograms", "sparsity", *sheets}
    titles = [axis.get_title() for axis in figures["histograms"].axes]
    assert any(title.startswith("unit 4 · 0 % > 0") for title in titles)
    assert "61 images" in figures["histograms"].get_suptitle()
    figures["sparsity"].savefig(io.BytesIO(), dpi=40)


def texts(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def test_examples_are_named_and_drawn(model: TracedModel, images: Noise) -> None:
    result = ask().run(model, images)
    arrays = result.arrays
    ids = arrays["example_ids"][np.searchsorted(arrays["example_index"], arrays["conv/sample_index"])]
    assert ids.dtype.kind == "U" and ids.shape == arrays["conv/sample_index"].shape
    assert (ids == np.char.add("image ", arrays["conv/sample_index"].astype(str))).all()
    units = arrays["sheet_units"][0]
    sparsity = arrays["conv/sparsity"][units[units >= 0]]
    assert (np.diff(sparsity) >= 0).all() and units.tolist()[5:] == [-1]  # it has five
    pictures = arrays["sheet_images"]
    assert pictures.shape == (5, 6, 3 + 5 * 2 + 1, 96, 80, 3)  # as wide for its height as the network's input
    strongest = images.image(int(arrays["conv/top_index"][units[0], 0]), (96, 80))
    np.testing.assert_array_equal(pictures[0, 0, 0], strongest)
    assert (pictures[0, 5] == 128).all()

    sheet = result.figures()["examples_2_relu"]
    said = texts(sheet)
    assert said[0] == "relu (post-activation): 5 of 5 units, from the sparsest to the densest; 61 images of test:noise"
    assert "on the layer's own scale" in said[1] and "40 random images" in said[1]
    assert said[2:9] == ["strongest", "80–100 %", "60–80 %", "40–60 %", "20–40 %", "0–20 %", "weakest"]
    unit = int(arrays["sheet_units"][1, 4])
    best = f"{arrays['relu/top_values'][unit, 0]:.3g}\nimage {arrays['relu/top_index'][unit, 0]}"
    assert any(text.startswith(f"unit {unit}\n") for text in said) and best in said
    assert len(sheet.axes[0].images) == 5 * 14
    sheet.savefig(io.BytesIO(), dpi=40)


def test_a_sheet_has_no_more_than_there_is(model: TracedModel) -> None:
    few = ask(layers=("relu",), k=1, ranges=9, samples=1).run(model, Noise(3, broken=(1,)))
    assert few.arrays["example_ids"].tolist() == ["image 0", "image 2"]
    assert few.arrays["sheet_images"].shape[2] == 1 + 9 + 1
    assert len(few.figures()["examples_1_relu"].axes[0].images) == 5 * (1 + 2 + 1)
    none = ask(layers=("relu",)).run(model, Noise(2, broken=(0, 1)))
    assert none.arrays["example_ids"].size == 0 and (none.arrays["sheet_images"] == 128).all()
    assert not none.figures()["examples_1_relu"].axes[0].images


def test_small_pieces_give_the_same(model: TracedModel, images: Noise, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ask(histogram="full").run(model, images)
    monkeypatch.setattr(reduction, "PIECE", 600)
    equal(ask(histogram="full").run(model, images).arrays, whole.arrays)
