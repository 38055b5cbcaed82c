"""The requests, on a small network with planted weights, through the engine and through the worker."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from workbench.images.image_set import ImageSet
from workbench.jobs import engine as engine_module
from workbench.jobs.collector import at_rest, collector_at_rest
from workbench.jobs.engine import Engine, configured
from workbench.jobs.example_requests import (
    LayerStatistics,
    PreActivation,
    StrongestImages,
    UnitExamples,
    receptive_boxes,
)
from workbench.jobs.job import JobEvent
from workbench.jobs.on_image_requests import UnitOnImage
from workbench.jobs.requests import (
    DescribeAnalyses,
    FetchImages,
    ListSources,
    LoadModel,
    OpenImages,
    ReadImage,
    RunAnalysis,
    Sweep,
)
from workbench.jobs.runner import Runner
from workbench.jobs.store import Store
from workbench.jobs.thumbnail_requests import Thumbnails
from workbench.models.layer import Layer
from workbench.models.preprocessing import Preprocessing
from workbench.models.traced_model import TracedModel
from workbench.task import Cancelled, Part, Task


class Planted(nn.Module):
    """Units of `colour`: red, green, blue, and minus red; then a classifier of the three colours."""

    def __init__(self) -> None:
        super().__init__()
        self.colour = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.act = nn.ReLU()
        self.head = nn.Linear(4, 3)
        with torch.no_grad():
            self.colour.weight.zero_()
            for unit in range(3):
                self.colour.weight[unit, unit, 1, 1] = 1.0
            self.colour.weight[3, 0, 1, 1] = -1.0
            self.head.weight.copy_(10 * torch.eye(3, 4))
            self.head.bias.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.act(self.colour(x)).mean((2, 3)))


def planted(ref: str = "python:planted", **options: Any) -> TracedModel:
    preprocessing = Preprocessing((16, 20), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    return TracedModel.from_module(
        Planted(),
        torch.rand(2, 3, 16, 20),
        ["red", "green", "blue"],
        preprocessing=preprocessing,
        ref=ref,
        name="planted",
        **options,
    )


@pytest.fixture(scope="module")
def model() -> TracedModel:
    return planted()


@pytest.fixture
def engine(tmp_path: Path, model: TracedModel) -> Engine:
    made = Engine(Store(tmp_path / "cache"))
    made._models[model.ref] = model
    return made


@pytest.fixture(autouse=True)
def small_and_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thumbnails as they are, of fewer pixels and steps."""
    import workbench.analyses.feature_visualization as feature_visualization

    monkeypatch.setitem(feature_visualization.COARSE, "size", 16)
    monkeypatch.setitem(feature_visualization.COARSE, "steps", 12)
    monkeypatch.setitem(feature_visualization.FINE, "size", 32)


class Record(Task):
    """Keeps all steps; cancels at step number `stop`."""

    def __init__(self, stop: int = 10**9) -> None:
        self.steps: list[tuple[float, float, object, str]] = []
        self.stop = stop

    def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
        self.steps.append((done, total, partial, note))
        if len(self.steps) >= self.stop:
            raise Cancelled


def picture(colour: tuple[int, int, int], size: tuple[int, int] = (16, 20)) -> np.ndarray:
    return np.full((*size, 3), colour, np.uint8)


def test_unit_on_image(engine: Engine, model: TracedModel) -> None:
    image = picture((0, 0, 0))
    image[5, 7] = (255, 51, 0)
    image.setflags(write=False)  # as it arrives from the window
    answer = UnitOnImage(model.ref, "colour", 0, image).run(engine, Task())
    assert answer["map"].shape == (16, 20) and answer["map"].dtype == np.float32
    assert np.unravel_index(answer["map"].argmax(), (16, 20)) == (5, 7)
    assert answer["value"] == pytest.approx(1.0)
    np.testing.assert_array_equal(answer["input"], image)
    assert answer["percentile"] is None
    names, probabilities = zip(*answer["top_classes"], strict=True)
    assert names[0] == "red" and set(names) == {"red", "green", "blue"}
    assert sum(probabilities) == pytest.approx(1.0) and list(probabilities) == sorted(probabilities, reverse=True)
    green = UnitOnImage(model.ref, "colour", 1, image).run(engine, Task())
    assert green["value"] == pytest.approx(0.2)
    vector = UnitOnImage(model.ref, "head", 0, picture((255, 0, 0))).run(engine, Task())
    assert vector["map"].shape == () and vector["value"] == pytest.approx(10.0)


def test_unit_on_image_scales_and_crops_as_the_network_does(engine: Engine, model: TracedModel) -> None:
    answer = UnitOnImage(model.ref, "colour", 2, picture((0, 0, 255), (90, 40))).run(engine, Task())
    assert answer["input"].shape == (16, 20, 3) and (answer["input"] == (0, 0, 255)).all()


@pytest.mark.parametrize(
    ("layer", "unit", "message"),
    [("colour", 4, "colour:4 does not exist; colour has units 0 to 3"), ("color", 0, "colour")],
)
def test_an_unknown_unit_is_said(engine: Engine, model: TracedModel, layer: str, unit: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        UnitOnImage(model.ref, layer, unit, picture((0, 0, 0))).run(engine, Task())


def test_thumbnails_show_what_was_planted(engine: Engine, model: TracedModel) -> None:
    task = Record()
    found = Thumbnails(model.ref, "colour", (2, 0, 3)).run(engine, task)
    assert list(found) == [2, 0, 3]
    for unit, channel in ((2, 2), (0, 0)):
        assert found[unit].dtype == np.uint8 and found[unit].ndim == 4 and found[unit].shape[0] == 1
        means = found[unit].mean((0, 1, 2))
        assert means.argmax() == channel
    assert found[3].mean((0, 1, 2)).argmin() == 0
    dones = [done for done, *_ in task.steps]
    assert dones == sorted(dones) and dones[-1] == 3 and {total for _, total, *_ in task.steps} == {3}


def test_thumbnails_negative_and_seeds(engine: Engine, model: TracedModel) -> None:
    found = Thumbnails(model.ref, "colour", (0,), negative=True, seeds=2).run(engine, Task())
    assert found[0].shape[0] == 2
    assert found[0].mean((0, 1, 2)).argmin() == 0
    assert not np.array_equal(found[0][0], found[0][1])


def test_thumbnails_come_from_the_store_unit_by_unit(engine: Engine, model: TracedModel, monkeypatch: Any) -> None:
    monkeypatch.setattr("workbench.jobs.thumbnail_requests.BATCH", {"coarse": 2, "fine": 2})
    first = Thumbnails(model.ref, "colour", (0, 1)).run(engine, Task())
    task = Record()
    both = Thumbnails(model.ref, "colour", (2, 1, 0, 3)).run(engine, task)
    partials = [partial for _, _, partial, _ in task.steps if partial is not None]
    assert [list(partial) for partial in partials if isinstance(partial, dict)] == [[1], [0], [2, 3]]
    for unit in (0, 1):
        np.testing.assert_array_equal(both[unit], first[unit])
    again = Record()
    Thumbnails(model.ref, "colour", (0, 1, 2, 3)).run(engine, again)
    assert len(again.steps) == 4  # nothing was rendered
    other = Record()
    Thumbnails(model.ref, "colour", (0,), seeds=2).run(engine, other)
    assert len(other.steps) > 4


def test_a_superseded_range_keeps_what_was_finished(engine: Engine, model: TracedModel, monkeypatch: Any) -> None:
    monkeypatch.setattr("workbench.jobs.thumbnail_requests.BATCH", {"coarse": 1, "fine": 1})
    with pytest.raises(Cancelled):
        Thumbnails(model.ref, "colour", (0, 1, 2)).run(engine, Record(stop=20))
    task = Record()
    Thumbnails(model.ref, "colour", (0, 1, 2)).run(engine, task)
    first = next(partial for _, _, partial, _ in task.steps if partial is not None)
    assert isinstance(first, dict) and list(first) == [0]


def test_a_damaged_thumbnail_is_drawn_again(engine: Engine, model: TracedModel) -> None:
    request = Thumbnails(model.ref, "colour", (0,))
    before = request.run(engine, Task())
    (path,) = (engine.store.root / "thumbnails").rglob("*.webp")
    path.write_bytes(b"not an image")
    np.testing.assert_array_equal(request.run(engine, Task())[0], before[0])


def test_load_model_gives_a_card(engine: Engine, model: TracedModel, monkeypatch: Any) -> None:
    loads: list[tuple[str, bool]] = []

    def load(ref: str, *, allow_code: bool = False, task: Task | None = None) -> TracedModel:
        loads.append((ref, allow_code))
        return planted(ref, warnings=["random weights"], licence="MIT", origin="here", architecture="tiny")

    monkeypatch.setattr("workbench.models.loading.load", load)
    card = LoadModel("python:a.py:make", allow_code=True).run(engine, Task())
    assert (card.ref, card.name, card.size, card.channels) == ("python:a.py:make", "planted", (16, 20), 3)
    assert card.parameters == 4 * 3 * 9 + 4 * 3 + 3 and card.labels == ("red", "green", "blue")
    assert (card.licence, card.origin, card.warnings) == ("MIT", "here", ("random weights",))
    assert all(isinstance(layer, Layer) for layer in card.layers) and "colour" in [layer.name for layer in card.layers]
    engine.model("python:a.py:make")
    LoadModel("python:a.py:make").run(engine, Task())  # its file may have changed: read again, the permission stays
    LoadModel("timm:x").run(engine, Task())
    LoadModel("timm:x").run(engine, Task())
    assert loads == [("python:a.py:make", True)] * 2 + [("timm:x", False)]


@pytest.mark.parametrize("limit", [("KEPT_MODELS", 2), ("KEPT_PARAMETERS", 0)])
def test_the_network_used_longest_ago_is_freed(tmp_path: Path, monkeypatch: Any, limit: tuple[str, int]) -> None:
    def load(ref: str, *, allow_code: bool = False, task: Task | None = None) -> TracedModel:
        return planted(ref)

    monkeypatch.setattr("workbench.models.loading.load", load)
    monkeypatch.setattr(engine_module, *limit)
    engine = Engine(Store(tmp_path))
    engine.model("any")  # torch itself holds on to the first one that a process exports
    first = weakref.ref(engine.model("a"))
    engine.model("b")
    assert engine.model("a") is first()
    engine.model("c")  # b was used longest ago
    assert list(engine._models) == ["a", "c"]
    engine.model("d")
    assert first() is None
    engine.close()


def test_the_collector_rests_and_comes_back() -> None:
    with collector_at_rest():
        assert not gc.isenabled()
        with collector_at_rest():
            pass
        assert not gc.isenabled() and at_rest()
    assert gc.isenabled() and not at_rest()
    with pytest.raises(RuntimeError), collector_at_rest():
        raise RuntimeError
    assert gc.isenabled()


def test_the_collector_rests_until_the_last_of_several_threads_lets_it() -> None:
    first, second = collector_at_rest(), collector_at_rest()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)  # they overlap, neither is inside the other
    assert not gc.isenabled() and at_rest()
    second.__exit__(None, None, None)
    assert gc.isenabled() and not at_rest()


def test_what_is_imported_is_frozen_and_later_collections_are_short() -> None:
    code = (
        "import gc, time; from workbench.jobs.engine import Engine; "
        "Engine().warm_up(); assert gc.isenabled() and gc.get_freeze_count() > 100_000, gc.get_freeze_count(); "
        "began = time.process_time(); gc.collect(); assert time.process_time() - began < 0.05"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_the_libraries_are_told_holds_also_where_they_were_imported_before(monkeypatch: pytest.MonkeyPatch) -> None:
    import timm  # noqa: F401 - as a test or a user's script may have done
    from tqdm import tqdm

    monkeypatch.setattr(tqdm, "monitor_interval", 10)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    engine = Engine()
    engine.warm_up()
    assert tqdm.monitor_interval == 0 and not torch.backends.cudnn.allow_tf32

    torch.backends.cudnn.allow_tf32 = True  # as a job that computes with TF32 sets it
    engine.warm_up()
    assert torch.backends.cudnn.allow_tf32


def test_jobs_inside_a_step_see_no_inference_mode_and_leave_random_numbers_alone(tmp_path: Path) -> None:
    engine = Engine(Store(tmp_path))
    torch.manual_seed(3)
    with torch.inference_mode():
        state = torch.random.get_rng_state()
        with engine.isolated():
            assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
            leaf = torch.rand(3, requires_grad=True)
            leaf.sum().backward()
        assert torch.is_inference_mode_enabled() and torch.equal(torch.random.get_rng_state(), state)


class Colours(ImageSet):
    """Plain images: number i is red in steps of 10; number 3 is broken."""

    def __init__(self, count: int = 12) -> None:
        ids = [f"image {i}" for i in range(count)]
        super().__init__("test:colours", "Colours", ids, {"parity": ["even", "odd"] * (count // 2)}, "CC0")
        self.reads = 0

    @property
    def content_hash(self) -> str:
        return "colours"

    def _read(self, index: int, size: tuple[int, int] | None) -> np.ndarray:
        from workbench.images.image_set import UnreadableImageError

        self.reads += 1
        if index == 3:
            raise UnreadableImageError("broken")
        return picture((10 * index, 0, 0), size or (16, 20))


def test_open_and_fetch_images(engine: Engine, monkeypatch: Any) -> None:
    opened: list[str] = []

    def load_images(ref: str, task: Task | None = None) -> ImageSet:
        opened.append(ref)
        return Colours()

    monkeypatch.setattr("workbench.images.image_set.load_images", load_images)
    card = OpenImages("test:colours").run(engine, Task())
    assert (card.ref, card.name, card.length, card.columns) == ("test:colours", "Colours", 12, {"parity": 2})
    images = FetchImages("test:colours", (5, 3, 0, 5, 11), (4, 6)).run(engine, Task())
    assert images.shape == (5, 4, 6, 3) and images.dtype == np.uint8
    assert images[:, 0, 0, 0].tolist() == [50, 0, 0, 50, 110]
    assert opened == ["test:colours"]
    with pytest.raises(IndexError, match="image 12"):
        FetchImages("test:colours", (12,), (4, 6)).run(engine, Task())
    assert FetchImages("test:colours", (), (4, 6)).run(engine, Task()).shape == (0, 4, 6, 3)


class Dots(Colours):
    """Black images with one pixel at (number, 2 * number), the redder the later."""

    def _read(self, index: int, size: tuple[int, int] | None) -> np.ndarray:
        image = picture((0, 0, 0), size or (16, 20))
        image[index, 1 + index] = (20 * (index + 1), 0, 0)
        return image


def test_an_image_is_read_from_a_file_its_content_or_pixels(engine: Engine, tmp_path: Path) -> None:
    half = np.zeros((6, 8, 4), np.uint8)
    half[:, 4:] = (10, 20, 30, 255)
    Image.fromarray(half).save(tmp_path / "half.png")
    for source in (tmp_path / "half.png", (tmp_path / "half.png").read_bytes(), half):
        image = ReadImage("half.png", source).run(engine, Task())
        assert image.shape == (6, 8, 3)
        assert image[0, 0].tolist() == [255, 255, 255] and image[0, 7].tolist() == [10, 20, 30]


@pytest.mark.parametrize(("size", "read"), [((5000, 1000), (410, 2048)), ((1, 5000), (2048, 1)), ((2048, 2048), (2048, 2048))])
@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_a_large_image_is_reduced_whole(engine: Engine, tmp_path: Path, ending: str, size: Any, read: Any) -> None:
    Image.new("RGB", size, (0, 200, 0)).save(tmp_path / f"a.{ending}")
    image = ReadImage("a", tmp_path / f"a.{ending}").run(engine, Task())
    assert image.shape == (*read, 3)
    assert np.abs(image.astype(int) - (0, 200, 0)).max() <= 2


def test_a_large_image_lies_as_the_camera_says(engine: Engine, tmp_path: Path) -> None:
    picture = Image.new("L", (4096, 1024))
    picture.paste(255, (0, 0, 2048, 1024))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90° clockwise
    picture.save(tmp_path / "turned.jpg", exif=exif)
    image = ReadImage("turned", tmp_path / "turned.jpg").run(engine, Task())
    assert image.shape == (2048, 512, 3) and image[:1000].min() > 250 and image[1048:].max() < 5


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")  # silenced in use; pytest resets filters
def test_an_image_of_81_million_pixels_is_read_and_one_of_102_refused_for_what_it_is(engine: Engine, tmp_path: Path) -> None:
    Image.new("L", (9000, 9000), 70).save(tmp_path / "big.png", compress_level=1)
    assert (ReadImage("big.png", tmp_path / "big.png").run(engine, Task()) == 70).all()
    Image.new("1", (11_648, 8_736)).save(tmp_path / "huge.png", compress_level=1)
    for source in (tmp_path / "huge.png", (tmp_path / "huge.png").read_bytes()):
        with pytest.raises(ValueError, match=r"^huge\.png has more than 89 million pixels, the most that is decoded; shrink it"):
            ReadImage("huge.png", source).run(engine, Task())


def test_an_image_that_cannot_be_read_is_named(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("words", encoding="utf-8")
    with pytest.raises(ValueError, match=r"^text\.png is not an image of a kind that can be read: it begins with b'words'"):
        ReadImage("text.png", tmp_path / "text.png").run(engine, Task())
    with pytest.raises(ValueError, match=r"^Pasted image is empty"):
        ReadImage("Pasted image", b"").run(engine, Task())


def test_a_sweep_and_what_it_found_of_a_unit(engine: Engine, model: TracedModel) -> None:
    dots = Dots()
    engine._images[dots.ref] = dots
    question = UnitExamples(model.ref, dots.ref, "colour:0")
    assert question.run(engine, Task()) is None
    image = dots.image(5)
    assert UnitOnImage(model.ref, "colour", 0, image, dots.ref).run(engine, Task())["percentile"] is None

    task = Record()
    result = Sweep(model.ref, dots.ref, ("colour", "act")).run(engine, task)
    assert result.arrays["colour/top_index"][0, :3].tolist() == [11, 10, 9] and task.steps
    answer = question.run(engine, Task())
    assert answer is not None
    assert answer["top_index"][:3].tolist() == [11, 10, 9] and answer["size"] == (16, 20)
    assert answer["top_position"][:2].tolist() == [[11, 12], [10, 11]]
    assert answer["top_names"][:2] == ("image 11", "image 10") and answer["top_names"][12:] == ("",) * 4
    # The receptive field is the one pixel whose weight is not zero.
    assert answer["top_boxes"][0].tolist() == [11, 12, 12, 13]
    assert answer["top_images"].shape == (16, 1, 1, 3) and answer["top_images"][:3, 0, 0, 0].tolist() == [240, 220, 200]
    assert (answer["top_images"][12:] == 128).all()
    np.testing.assert_array_equal(answer["histogram"], result.arrays["colour/histogram"][0])
    ranges, samples = answer["sample_index"].shape
    assert answer["sample_images"].shape == (ranges, samples, 1, 1, 3)
    assert len(answer["sample_names"]) == ranges * samples

    partials = Record()
    question.run(engine, partials)
    told = [[name for name in partial if name.endswith("_images")] for _, _, partial, _ in partials.steps if isinstance(partial, dict)]
    numbers, *pictures = told
    assert "active_images" in numbers and "top_images" not in numbers, "the numbers come first"
    assert [name for names in pictures for name in names] == ["top_images", "sample_images", "bottom_images"]

    before = PreActivation(model.ref, dots.ref, "act:0").run(engine, Task())
    assert before is not None and before["unit"] == "colour:0"
    np.testing.assert_array_equal(before["found"]["max_histogram"], answer["max_histogram"])
    assert PreActivation(model.ref, dots.ref, "colour:0").run(engine, Task()) is None

    strongest = StrongestImages(model.ref, dots.ref, "colour", (0, 2)).run(engine, Task())
    assert strongest is not None and strongest["names"][0] == "image 11" and strongest["n"] == 12
    assert strongest["images"].shape == (2, 1, 1, 3) and strongest["images"][0, 0, 0].tolist() == [240, 0, 0]
    np.testing.assert_array_equal(strongest["values"][0], answer["top_values"][0])
    assert StrongestImages(model.ref, dots.ref, "head", (0, 1)).run(engine, Task()) is None

    answers = [UnitOnImage(model.ref, "colour", 0, dots.image(i), dots.ref).run(engine, Task()) for i in (1, 11)]
    low, high = (answer["percentile"] for answer in answers)
    assert [answer["n"] for answer in answers] == [12, 12]
    assert 0 <= low < 0.25 and high > 0.9
    assert UnitExamples(model.ref, dots.ref, "head:0").run(engine, Task()) is None
    with pytest.raises(ValueError, match="colour:4 does not exist"):
        UnitExamples(model.ref, dots.ref, "colour:4").run(engine, Task())
    with pytest.raises(ValueError, match="not the address of a unit"):
        UnitExamples(model.ref, dots.ref, "colour").run(engine, Task())

    again = Record()
    second = Sweep(model.ref, dots.ref, ("colour", "act")).run(engine, again)
    assert not [note for _, total, _, note in again.steps if total == 12]  # nothing was computed again
    assert second.provenance == result.provenance and second.summary == result.summary
    np.testing.assert_array_equal(second.arrays["act/mean"], result.arrays["act/mean"])


def test_a_cancelled_sweep_shows_what_it_has_and_goes_on(engine: Engine, model: TracedModel) -> None:
    dots = Dots()
    engine._images[dots.ref] = dots
    sweep = RunAnalysis("DatasetExamples", {"layers": ["colour"], "batch": 4}, model.ref, dots.ref)
    with pytest.raises(Cancelled):
        sweep.run(engine, Record(stop=2))
    answer = UnitExamples(model.ref, dots.ref, "colour:0").run(engine, Task())
    assert answer is not None and answer["top_index"][:3].tolist() == [7, 6, 5] and not answer["finished"]
    assert LayerStatistics(model.ref, dots.ref, "colour").run(engine, Task()) is None
    task = Record()
    result = sweep.run(engine, task)
    assert task.steps[0][0] == 12
    assert UnitExamples(model.ref, dots.ref, "colour:0").run(engine, Task())["finished"]
    assert result.arrays["colour/top_index"][0, :3].tolist() == [11, 10, 9]


def test_what_was_computed_is_returned_though_nothing_can_be_kept(
    tmp_path: Path, model: TracedModel, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    engine = Engine(Store(tmp_path / "file"))
    dots = Dots()
    engine._models[model.ref], engine._images[dots.ref] = model, dots
    visualized = RunAnalysis("FeatureVisualization", {"layer": "colour", "units": [0], "steps": 8, "size": 16, "held_out": 0}, model.ref)
    assert visualized.run(engine, Task()).arrays["images"].shape == (1, 1, 16, 16, 3)
    swept = Sweep(model.ref, dots.ref, ("colour",)).run(engine, Task())
    assert swept.arrays["colour/top_index"][0, :3].tolist() == [11, 10, 9]
    assert UnitExamples(model.ref, dots.ref, "colour:0").run(engine, Task()) is None
    shared = RunAnalysis("UnitsOfImage", {"layer": "colour", "image": 5}, model.ref, dots.ref)
    assert shared.run(engine, Task()).summary["images"] == 12
    task = Record()
    found = Thumbnails(model.ref, "colour", (0, 2)).run(engine, task)
    assert [set(partial) for _, _, partial, _ in task.steps if isinstance(partial, dict)] == [{0, 2}] and set(found) == {0, 2}
    said = [record for record in caplog.records if record.name.startswith("workbench")]
    assert len(said) == 1 and "cannot be kept" in said[0].getMessage()


def test_a_damaged_sweep_is_done_again(engine: Engine, model: TracedModel, caplog: pytest.LogCaptureFixture) -> None:
    dots = Dots()
    engine._images[dots.ref] = dots
    sweep = Sweep(model.ref, dots.ref, ("colour",))
    before = sweep.run(engine, Task())
    for path in engine.store.root.rglob("zarr.json"):
        path.write_text("{")
    assert UnitExamples(model.ref, dots.ref, "colour:0").run(engine, Task()) is None
    after = sweep.run(engine, Task())
    assert "dropped the damaged cache entry" in caplog.text
    np.testing.assert_array_equal(after.arrays["colour/top_values"], before.arrays["colour/top_values"])
    assert UnitExamples(model.ref, dots.ref, "colour:0").run(engine, Task()) is not None


def test_receptive_boxes_stay_inside() -> None:
    positions = np.array([[0, 0], [3, 3], [1, 2], [-1, -1]])
    boxes = receptive_boxes(positions, (4, 4), (10, 6), (32, 64))
    assert boxes.tolist() == [[0, 5, 10, 11], [22, 53, 32, 59], [7, 37, 17, 43], [0, 0, 10, 6]]
    tokens = receptive_boxes(np.array([[7, 0]]), (197,), (32, 64), (32, 64))
    assert tokens.tolist() == [[0, 0, 32, 64]]


def test_run_analysis_computes_once(engine: Engine, model: TracedModel) -> None:
    parameters = {"layer": "colour", "units": [0, 2], "steps": 8, "size": 16, "held_out": 0}
    request = RunAnalysis("FeatureVisualization", parameters, model.ref)
    task = Record()
    first = request.run(engine, task)
    assert first.arrays["images"].shape == (2, 1, 16, 16, 3) and task.steps
    again = Record()
    second = request.run(engine, again)
    assert not again.steps
    np.testing.assert_array_equal(first.arrays["images"], second.arrays["images"])
    assert second.provenance == first.provenance and second.provenance["weights"] == model.weight_hash


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"layer": "colour", "steps": 0}, r"steps = 0: .*greater than or equal to 1.* \(allowed: >= 1 and <= 8192\)"),
        ({"layer": "colour", "stepps": 3}, r"no parameter 'stepps'; did you mean steps\?"),
        ({}, "needs the parameter layer"),
        ({"layer": "colour", "units": ["x"]}, r"units\.0 = 'x': "),
        ({"layer": "colour", "objective": "nonsense("}, "objective"),
    ],
)
def test_wrong_parameters_are_said_in_one_line(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        configured("FeatureVisualization", parameters)
    assert "\n" not in str(caught.value)


def test_an_unknown_analysis_suggests_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean FeatureVisualization"):
        configured("FeatureVisualisation", {})


def test_analyses_and_sources_are_described(engine: Engine) -> None:
    cards = {card.name: card for card in DescribeAnalyses().run(engine, Task())}
    card = cards["FeatureVisualization"]
    assert card.schema["properties"]["steps"]["maximum"] == 8192 and not card.needs_images and card.help
    assert all(entry.ref.startswith("timm:resnet1") for entry in ListSources("timm:resnet1*").run(engine, Task()))


def test_a_part_tells_the_whole() -> None:
    whole = Record()
    part = Part(whole, 8, 4, 20)
    part.step(0, 10)
    part.step(5, 10, {"partial": 1}, note="half")
    part.step(3, 0)
    assert whole.steps == [(8, 20, None, ""), (10, 20, None, "half"), (8, 20, None, "")]


def test_through_the_worker_a_click_is_answered_while_thumbnails_render(tmp_path: Path, model: TracedModel) -> None:
    events: list[JobEvent] = []
    changed = threading.Condition()

    def deliver(event: JobEvent) -> None:
        with changed:
            events.append(event)
            changed.notify_all()

    def factory() -> Engine:
        made = Engine(Store(tmp_path / "cache"))
        made._models[model.ref] = model
        return made

    def wait(job: int, *states: str) -> JobEvent:
        def found() -> JobEvent | None:
            return next((e for e in events if e.job == job and e.state in states), None)

        with changed:
            assert changed.wait_for(found, 30)
            event = found()
        assert event is not None
        return event

    runner = Runner(deliver, factory)
    try:
        slow = runner.submit(Thumbnails(model.ref, "colour", (0, 1, 2, 3), level="fine"))
        assert wait(slow, "progress", "failed").state == "progress"
        click = wait(runner.submit(UnitOnImage(model.ref, "colour", 0, picture((255, 0, 0)))), "done", "failed")
        assert click.state == "done", click.details
        assert isinstance(click.result, dict) and click.result["value"] == pytest.approx(1.0)
        assert not click.result["map"].flags.writeable
        assert not [e for e in events if e.job == slow and e.ended]
        newer = runner.submit(Thumbnails(model.ref, "colour", (1,), level="fine"))
        assert wait(slow, "done", "failed", "cancelled").state == "cancelled"
        done = wait(newer, "done", "failed")
        assert done.state == "done" and isinstance(done.result, dict) and list(done.result) == [1]
    finally:
        assert runner.close(10)


def test_fine_pictures_beside_numbers_come_after_the_numbers() -> None:
    asked = RunAnalysis("ExpandedWeights", {}, "any")
    for purpose in ("weights", "circuit conv", "motifs conv", "families"):
        coarse, fine = (Thumbnails("any", "conv", (1,), level, purpose=purpose) for level in ("coarse", "fine"))
        assert coarse.precedence < asked.precedence < fine.precedence
    assert Thumbnails("any", "conv", (1,), "fine", purpose="inspector").precedence < asked.precedence


def test_importing_the_requests_is_light() -> None:
    code = (
        "import importlib, pkgutil, sys, workbench.jobs, workbench.jobs.runner; "
        "names = [one.name for one in pkgutil.iter_modules(workbench.jobs.__path__) if one.name.endswith('requests')]; "
        "assert len(names) > 5, names; "
        "[importlib.import_module(f'workbench.jobs.{name}') for name in names]; "
        "heavy = {'torch', 'timm', 'pydantic', 'zarr', 'PySide6', 'matplotlib', 'PIL', 'scipy'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_engine_itself_imports_torch_only_when_asked() -> None:
    code = (
        "import sys; from workbench.jobs.engine import Engine; engine = Engine(); engine.close(); "
        "assert 'torch' not in sys.modules and 'pydantic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
