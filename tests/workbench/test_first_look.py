"""What comes with the bundled networks is what one would compute, is found by its content only, and saves computing it."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.workbench.shelf import shelf_in
from workbench.jobs import first_look
from workbench.jobs.engine import Engine
from workbench.jobs.example_requests import LayerStatistics, UnitExamples
from workbench.jobs.requests import LoadModel, describe
from workbench.jobs.store import Store
from workbench.jobs.thumbnail_requests import Thumbnails
from workbench.models.loading import LoadError
from workbench.task import Cancelled, Task
from workbench.training.recipe import recipe

LAYER = "layer1"
SET = "stimuli:lines"


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A bundled network that was hardly trained, and its first look at one layer."""
    shelf = tmp_path_factory.mktemp("shelf")
    with pytest.MonkeyPatch.context() as patch, shelf_in(shelf, {"test_top1": 0.1}) as kept:
        patch.setattr(first_look, "FOLDER", shelf / "looks")
        patch.setattr(first_look, "MODELS", shelf)
        patch.setattr(first_look, "IMAGES", SET)
        patch.setattr(first_look, "shown_layers", lambda model: [model.layer(LAYER)])
        first_look.first_looks.cache_clear()
        kept.put("tiny", recipe("resnet", {"steps": 1, "batch": 4, "checkpoints": 2}))
        first_look.make(Engine(Store(shelf / "made")), "tiny", Task())
        yield shelf
    first_look.first_looks.cache_clear()


@pytest.fixture
def engine(shelf: Path, tmp_path: Path) -> Engine:
    return Engine(Store(tmp_path))


def test_card_and_thumbnails_are_there_before_the_network_is(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(engine, "model", lambda *_, **__: pytest.fail("loaded"))
        card = LoadModel("bundled:tiny").run(engine, Task())
        found = Thumbnails("bundled:tiny", LAYER, (3, 30)).run(engine, Task())
        aliased = Thumbnails("bundled:tiny", "layer1.1", (3, 30)).run(engine, Task())
    assert card == describe(engine.model("bundled:tiny"))
    assert {unit: images.shape for unit, images in found.items()} == {3: (1, 32, 32, 3), 30: (1, 32, 32, 3)}
    assert np.array_equal(aliased[3], found[3])
    for other in (Thumbnails("bundled:tiny", LAYER, (3,), negative=True), Thumbnails("bundled:tiny", "layer2.0.act1", (3,))):
        rendered = other.run(engine, Task())[3]
        assert rendered.shape[1] > first_look.SIDE


def test_examples_and_statistics_are_there_without_a_sweep(engine: Engine) -> None:
    statistics = LayerStatistics("bundled:tiny", SET, LAYER).run(engine, Task())
    assert statistics is not None and statistics["mean"].shape == (32,) and statistics["seen"] == 36
    found = UnitExamples("bundled:tiny", SET, f"{LAYER}:3").run(engine, Task())
    assert found is not None and found["finished"] and np.isclose(found["mean"], statistics["mean"][3])
    assert UnitExamples("bundled:tiny", SET, "layer2:3").run(engine, Task()) is None


def test_without_a_place_to_unpack_them_the_examples_are_not_there(
    shelf: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    engine = Engine(Store(tmp_path / "file"))
    assert LayerStatistics("bundled:tiny", SET, LAYER).run(engine, Task()) is None
    assert UnitExamples("bundled:tiny", SET, f"{LAYER}:3").run(engine, Task()) is None
    assert caplog.text.count("cannot be kept") == 1


def test_other_weights_have_no_first_look(shelf: Path, engine: Engine) -> None:
    weights = shelf / "tiny.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + b"x")
    first_look.first_looks.cache_clear()
    try:
        assert not first_look.first_looks()
        with pytest.raises(LoadError, match="is damaged or was changed"):
            LoadModel("bundled:tiny").run(engine, Task())
    finally:
        weights.write_bytes(content)
        first_look.first_looks.cache_clear()
    assert first_look.first_looks()
    assert not first_look.unpack_sweep(engine.store, "0" * 32)


def test_one_that_is_interrupted_leaves_the_earlier_one_and_nothing_else(shelf: Path) -> None:
    class Impatient(Task):
        def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
            if note.startswith("showing it"):
                assert sorted(path.name for path in first_look.FOLDER.iterdir())[0].startswith(".tiny-"), "it is being written"
                raise Cancelled

    before = (first_look.FOLDER / "tiny.zip").read_bytes()
    with pytest.raises(Cancelled):
        first_look.make(Engine(Store(shelf / "made")), "tiny", Impatient())
    assert [path.name for path in first_look.FOLDER.iterdir()] == ["tiny.zip"]
    assert (first_look.FOLDER / "tiny.zip").read_bytes() == before


def test_a_damaged_archive_harms_nothing(shelf: Path, engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    broken = first_look.FOLDER / "broken.zip"
    whole = bytearray((first_look.FOLDER / "tiny.zip").read_bytes())
    with zipfile.ZipFile(first_look.FOLDER / "tiny.zip") as archive:
        at = archive.getinfo("index.json").header_offset + 60
    cut_up = whole[:at] + bytes(8) + whole[at + 8 :]  # what is compressed does not fit together any more
    try:
        for damaged in (b"version https://git-lfs", bytes(cut_up)):
            broken.write_bytes(damaged)
            caplog.clear()
            first_look.first_looks.cache_clear()
            assert set(first_look.first_looks()) == {"bundled:tiny"} and "broken.zip" in caplog.text
    finally:
        broken.unlink()
        first_look.first_looks.cache_clear()


def test_the_network_is_loaded_once_though_its_first_user_leaves_and_others_are_let_in(shelf: Path, engine: Engine) -> None:
    class Leaves(Task):
        def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
            raise Cancelled

    first = engine.model("bundled:tiny", task=Leaves())
    assert engine.model("bundled:tiny") is first
    engine.forget("bundled:tiny")

    class LetsIn(Task):
        inner: list[object] = []

        def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
            if not self.inner:
                self.inner.append(None)
                self.inner.append(engine.model("bundled:tiny"))

    assert engine.model("bundled:tiny", task=LetsIn()) is LetsIn.inner[1]
    assert Thumbnails("bundled:tiny", LAYER, (3,)).precedence < UnitExamples("bundled:tiny", SET, f"{LAYER}:3").precedence
    assert Thumbnails("bundled:tiny", "layer2.0.act1", (3,)).precedence > 1


def test_a_window_needs_no_torch_for_it() -> None:
    code = (
        "import sys; from workbench.jobs import requests; from workbench.jobs.first_look import first_looks\n"
        "for look in first_looks().values(): look.card(); look.thumbnails(look.index['layers'][0]['names'][0])\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
