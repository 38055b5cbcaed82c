"""What comes with the bundled networks is what one would compute, is found by its content only, and saves computing it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from workbench.analyses.feature_visualization import FeatureVisualization
from workbench.jobs import first_look
from workbench.jobs.engine import Engine, subject
from workbench.jobs.requests import LayerStatistics, Thumbnails, UnitExamples
from workbench.jobs.store import Store
from workbench.models import card
from workbench.task import Task
from workbench.training import publish, trainer
from workbench.training.recipe import recipe

LAYER = "layer1"
SET = "stimuli:lines"


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A bundled network that was hardly trained, and its first look at one layer."""
    shelf = tmp_path_factory.mktemp("shelf")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(card, "FOLDER", shelf)
        patch.setattr(publish, "evaluate", lambda *_: {"test_top1": 0.1})
        patch.setattr(first_look, "FOLDER", shelf / "looks")
        patch.setattr(first_look, "IMAGES", SET)
        patch.setattr(first_look, "shown_layers", lambda model: [model.layer(LAYER)])
        card.cards.cache_clear()
        first_look._members.cache_clear()
        run = shelf / "run"
        trainer.train(recipe("resnet", {"steps": 1, "batch": 4, "checkpoints": 2}), run, Task(), device="cpu", precision="fp32")
        publish.publish(run, "tiny", Task(), shelf)
        card.cards.cache_clear()
        first_look.make(Engine(Store(shelf / "made")), "tiny", Task())
        yield shelf
    card.cards.cache_clear()
    first_look._members.cache_clear()


@pytest.fixture
def engine(shelf: Path, tmp_path: Path) -> Engine:
    return Engine(Store(tmp_path))


def test_thumbnails_are_there_without_rendering(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    request = Thumbnails("bundled:tiny", LAYER, (3, 30))
    with monkeypatch.context() as patch:
        patch.setattr(FeatureVisualization, "run", lambda *_, **__: pytest.fail("rendered"))
        found = request.run(engine, Task())
    assert {unit: images.shape for unit, images in found.items()} == {3: (1, 32, 32, 3), 30: (1, 32, 32, 3)}
    for other in (Thumbnails("bundled:tiny", LAYER, (3,), negative=True), Thumbnails("bundled:tiny", "layer2.0.act1", (3,))):
        rendered = other.run(engine, Task())[3]
        assert rendered.shape[1] > first_look.SIDE


def test_examples_and_statistics_are_there_without_a_sweep(engine: Engine) -> None:
    statistics = LayerStatistics("bundled:tiny", SET, LAYER).run(engine, Task())
    assert statistics is not None and statistics["mean"].shape == (32,) and statistics["seen"] == 36
    found = UnitExamples("bundled:tiny", SET, f"{LAYER}:3").run(engine, Task())
    assert found is not None and found["finished"] and np.isclose(found["mean"], statistics["mean"][3])
    assert UnitExamples("bundled:tiny", SET, "layer2:3").run(engine, Task()) is None


def test_other_weights_find_nothing(engine: Engine) -> None:
    model, images = engine.model("bundled:tiny"), engine.images(SET)
    assert first_look.thumbnails(model, LAYER) is not None
    next(model.graph.root.parameters()).data.add_(1e-3)
    model._weights = "0" * 64
    assert first_look.thumbnails(model, LAYER) is None
    assert not first_look.unpack_sweep(engine.store, subject(model, images))
