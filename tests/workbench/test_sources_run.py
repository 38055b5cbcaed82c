"""The folder of a training run, opened as a network."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from workbench.models.checkpoint_series import series_of
from workbench.models.loading import LoadError, load
from workbench.models.sources.run import checkpoints, newest_weights
from workbench.task import Cancelled, Task
from workbench.training import trainer
from workbench.training.recipe import recipe


@pytest.fixture(scope="module", params=["resnet", "timm:test_efficientnet"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train for a few updates on reddish and bluish noise; return the run's folder."""
    images, folder = tmp_path_factory.mktemp("colours"), tmp_path_factory.mktemp("runs") / "red or blue"
    random = np.random.default_rng(0)
    for index in range(40):
        kind = ("red", "blue")[index % 2]
        (images / kind).mkdir(exist_ok=True)
        Image.fromarray(random.integers(0, 255, (32, 32, 3)).astype(np.uint8)).save(images / kind / f"{index}.png")
    settings = {
        "network": request.param, "images": f"folder:{images}", "column": "label", "size": 32, "batch": 8, "steps": 4, "checkpoints": 4
    }  # fmt: skip
    trainer.train(recipe("Classifier", settings), folder, Task(), device="cpu", precision="fp32", threads=1)
    return folder


def test_a_run_opens_with_its_newest_weights(run: Path) -> None:
    model = load(f"run:{run}")
    assert model.labels == ("blue", "red") and model.preprocessing.size == (32, 32)
    assert model.name == "red or blue" and "after 4 of 4 updates" in model.origin
    state, _ = trainer.read_tensors(run / "checkpoints" / "00000004.safetensors")
    kept = {tuple(value.shape): value for value in state.values() if value.ndim == 4}
    own = [value for value in model.graph.root.parameters() if value.ndim == 4]
    assert own and any(torch.equal(value, kept[tuple(value.shape)]) for value in own)


def test_an_earlier_moment_is_another_network(run: Path) -> None:
    first, last = load(f"run:{run}?step=0"), load(f"run:{run}")
    assert first.name == "red or blue, 0 updates"
    assert first.weight_hash != last.weight_hash
    images = torch.rand(2, 3, 32, 32)
    assert not torch.equal(first(images), last(images))


@pytest.mark.parametrize("average", [0.9, 0.0])
def test_a_paused_run_opens_as_it_was_left(run: Path, tmp_path: Path, average: float) -> None:
    class Paused(Task):
        def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
            if (done, total) == (3, 4):
                raise Cancelled

    settings = json.loads((run / "recipe.json").read_text())["parameters"] | {"checkpoints": 2, "average": average}
    folder = tmp_path / "paused"
    with pytest.raises(Cancelled):
        trainer.train(recipe("Classifier", settings), folder, Paused(), device="cpu", precision="fp32", threads=1)
    assert set(checkpoints(folder)) == {0}
    model = load(f"run:{folder}")
    assert model.name == "paused, 3 updates" and "after 3 of 4 updates" in model.origin
    saved, _ = trainer.read_tensors(folder / "state.safetensors")
    kept = {tuple(value.shape): value for name, value in saved.items() if name.startswith("average." if average else "module.")}
    own = [value for value in model.graph.root.parameters() if value.ndim == 2]
    assert own and all(torch.equal(value, kept[tuple(value.shape)]) for value in own), "the weights that count"
    first = load(f"run:{folder}?step=0")
    assert first.weight_hash != model.weight_hash == load(f"run:{folder}?step=3").weight_hash
    assert list(series_of(f"run:{folder}")[0].refs) == [0], "a state is no checkpoint: it is gone with the next update"
    with pytest.raises(LoadError, match=r"no checkpoint after 4 updates .* the nearest is step=3"):
        load(f"run:{folder}?step=4")
    whole = (folder / "state.safetensors").read_bytes()
    (folder / "state.safetensors").write_bytes(whole[:100])
    with pytest.raises(LoadError, match=r"state\.safetensors is damaged .* remove it"):
        load(f"run:{folder}")
    assert load(f"run:{folder}?step=0").weight_hash == first.weight_hash
    (folder / "state.safetensors").write_bytes(whole)
    trainer.train(recipe("Classifier", settings), folder, Task(), device="cpu", precision="fp32", threads=1)
    step, weights = newest_weights(folder)
    last, _ = trainer.read_tensors(folder / "checkpoints" / "00000004.safetensors")
    assert step == 4 and all(torch.equal(weights[name], value) for name, value in last.items())


def test_what_cannot_be_opened_is_said(run: Path, tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"no checkpoint after 3000 updates .* the nearest is step=4"):
        load(f"run:{run}?step=3000")
    with pytest.raises(LoadError, match="holds no run"):
        load(f"run:{tmp_path}")
    (tmp_path / "recipe.json").write_text("{")
    with pytest.raises(LoadError, match="is damaged"):
        load(f"run:{tmp_path}")
    document = json.loads((run / "recipe.json").read_text())
    (tmp_path / "recipe.json").write_text(json.dumps(document))
    with pytest.raises(LoadError, match="no checkpoint yet"):
        load(f"run:{tmp_path}")
    (tmp_path / "checkpoints").symlink_to(run / "checkpoints")
    document["parameters"]["network"] = "convnext"
    (tmp_path / "recipe.json").write_text(json.dumps(document))
    with pytest.raises(LoadError, match="do not fit its recipe"):
        load(f"run:{tmp_path}")
    document["kind"] = "Somebody's"
    (tmp_path / "recipe.json").write_text(json.dumps(document))
    with pytest.raises(LoadError, match="not known here"):
        load(f"run:{tmp_path}")
