"""The sparse autoencoder: it finds directions that were planted, goes on after a kill, and becomes units of a network."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import workbench
from workbench.task import Cancelled, Task
from workbench.training import trainer
from workbench.training.recipe import Recipe, RecipeError, recipe
from workbench.training.recipes.sparse_autoencoder import TopK, directions_of

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a folder of 60 images of coloured lines."""
    folder = tmp_path_factory.mktemp("noise")
    random = np.random.default_rng(0)
    for index in range(60):
        Image.fromarray(random.integers(0, 256, (33, 33, 3)).astype(np.uint8)).save(folder / f"{index:03}.png")
    return f"folder:{folder}"


def small(images: str, **settings: object) -> Recipe:
    given = {"network": "bundled:planted/polysemantic_net", "layer": "relu", "images": images, "steps": 12, "batch": 64, "warm_up": 2}
    return recipe("SparseAutoencoder", given | settings)


def test_it_explains_more_the_longer_it_trains_and_says_what_is_dead(noise: str, tmp_path: Path) -> None:
    course = trainer.train(small(noise, steps=100, latents=40, kept=4, silent=20), tmp_path, Task(), device="cpu", precision="fp32")
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert lines[-1]["explained"] > lines[0]["explained"] + 0.2 and 0 <= lines[-1]["dead"] <= 1
    figures = course.evaluate(course.module.eval(), Task())
    assert figures["explained"] > figures["pca_explained"] > 0 and figures["held_out_images"] == 12


def test_planted_directions_are_found() -> None:
    random = torch.Generator().manual_seed(0)
    truth = torch.nn.functional.normalize(torch.randn(12, 24, generator=random), dim=1)
    torch.manual_seed(0)
    module = TopK(24, 48, 2)
    optimizer = torch.optim.Adam(module.parameters(), lr=3e-3)
    for _ in range(600):
        code = torch.zeros(256, 12)
        code.scatter_(1, torch.rand(256, 12, generator=random).argsort(1)[:, :2], 1 + torch.rand(256, 2, generator=random))
        x = code @ truth
        optimizer.zero_grad()
        (x - module(x)).square().mean().backward()
        optimizer.step()
    assert float((truth @ module.directions.detach().T).amax(1).min()) > 0.9


def test_stopped_and_gone_on_it_ends_with_the_very_weights(noise: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "INTERVAL", 5)
    whole = trainer.train(small(noise), tmp_path / "whole", Task(), device="cpu", precision="fp32")

    class Stopped(Exception):
        """Stops a training as nobody expects it."""

    class StopAt(Task):
        def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
            if done == 7 and total == 12:
                raise Stopped

    with pytest.raises(Stopped):
        trainer.train(small(noise), tmp_path / "halves", StopAt(), device="cpu", precision="fp32")
    halves = trainer.train(small(noise), tmp_path / "halves", Task(), device="cpu", precision="fp32")
    for name, weight in whole.module.state_dict().items():
        assert torch.equal(weight, halves.module.state_dict()[name]), name


def test_a_pause_loses_no_update(noise: str, tmp_path: Path) -> None:
    class Paused(Task):
        """Cancels at the first chance after three updates."""

        def __init__(self) -> None:
            self.done = 0.0

        def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
            self.done = max(self.done, done if total == 400 else 0)
            if self.done >= 3:
                raise Cancelled

    paused = Paused()
    with pytest.raises(Cancelled):
        trainer.train(small(noise, steps=400, batch=512), tmp_path, paused, device="cpu", precision="bf16")
    assert trainer.read_tensors(tmp_path / "state.safetensors")[1]["step"] == str(int(paused.done)) == "3"


def test_reading_lets_others_in_and_a_pause_there_loses_no_update(noise: str, tmp_path: Path) -> None:
    chosen = small(noise, steps=20, batch=1024)
    stretch = chosen.prepare(torch.device("cpu"), Task())._updates
    assert 1 < stretch < 10
    whole = trainer.train(chosen, tmp_path / "whole", Task(), device="cpu", precision="fp32")
    heard: list[float] = []

    class PausedWhileReading(Task):
        def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
            if note == "reading relu" and total == 20:
                assert not torch.is_autocast_enabled("cpu"), "who is let in computes as ever"
                heard.append(done)
                if done == 2 * stretch:
                    raise Cancelled

    with pytest.raises(Cancelled):
        trainer.train(chosen, tmp_path / "halves", PausedWhileReading(), device="cpu", precision="fp32")
    assert set(heard) == {stretch, 2 * stretch} and heard.count(stretch) == 2, "a step each 32 of the 48 images, with the updates done"
    assert trainer.read_tensors(tmp_path / "halves" / "state.safetensors")[1]["step"] == str(2 * stretch)
    halves = trainer.train(chosen, tmp_path / "halves", Task(), device="cpu", precision="fp32")
    for name, weight in whole.module.state_dict().items():
        assert torch.equal(weight, halves.module.state_dict()[name]), name
    with pytest.raises(Cancelled):  # before anything is there
        chosen.prepare(torch.device("cpu"), Unwanted())


class Unwanted(Task):
    """Cancels at the first image that is read."""

    def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
        if note == "reading relu":
            raise Cancelled


def test_every_stretch_is_read_in_the_numbers_it_is_measured_in(noise: str, tmp_path: Path) -> None:
    chosen = small(noise, steps=5, batch=1024)
    course = trainer.train(chosen, tmp_path, Task(), device="cpu", precision="bf16")
    assert course._stretch == 1
    fresh = chosen.prepare(torch.device("cpu"), Task())
    assert torch.equal(course._rows, fresh._read(1, Task()))
    with torch.autocast("cpu", torch.bfloat16):
        fresh.loss(0)
    assert fresh._stretch == 0 and torch.equal(fresh._rows, chosen.prepare(torch.device("cpu"), Task())._rows)


def test_killed_it_loses_at_most_one_interval(noise: str, tmp_path: Path) -> None:
    code = (
        "import sys, torch\n"
        "from pathlib import Path\n"
        "from workbench.task import Cancelled, Task\n"
        "from workbench.training import trainer\n"
        "from workbench.training.recipe import recipe\n"
        "trainer.INTERVAL = 20\n"
        "class Told(Task):\n"
        "    def step(self, done, total, partial=None, note=''):\n"
        "        if total > 1000: sys.stdout.write(f'{int(done)}\\n'); sys.stdout.flush()\n"
        "given = dict(network='bundled:planted/polysemantic_net', layer='relu', images=sys.argv[1], steps=100000, batch=64, warm_up=2)\n"
        "trainer.train(recipe('SparseAutoencoder', given), Path(sys.argv[2]), Told(), device='cpu', precision='fp32', threads=1)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-c", code, noise, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    reached, deadline = 0, time.monotonic() + 120
    for line in process.stdout:
        reached = int(line)
        if reached >= 50 or time.monotonic() > deadline:
            break
    os.kill(process.pid, signal.SIGKILL)
    reached = max([reached, *(int(line) for line in process.stdout.read().split())])
    process.wait()
    process.stdout.close()
    state, told = trainer.read_tensors(tmp_path / "state.safetensors")
    assert reached >= 50 and reached - int(told["step"]) <= 20
    assert all(torch.isfinite(value).all() for value in state.values())


def test_a_run_becomes_units_of_the_network(noise: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path / "data"))
    course = trainer.train(small(noise, steps=40), tmp_path / "run", Task(), device="cpu", precision="fp32")
    made = directions_of(tmp_path / "run", "lines-sae", Task())
    made.save()
    model = workbench.load("bundled:planted/polysemantic_net?directions=lines-sae")
    assert not model.warnings
    x = torch.rand(2, 3, 33, 33) * 2 - 1
    found = model.activations(x, ["relu", "relu~lines-sae"])
    rows = found["relu"].permute(0, 2, 3, 1).flatten(0, 2)
    module = course.module
    assert isinstance(module, TopK)
    with torch.no_grad():
        wanted = module.code(module.before(rows))
    torch.testing.assert_close(found["relu~lines-sae"].permute(0, 2, 3, 1).flatten(0, 2), wanted, atol=1e-4, rtol=1e-3)
    decoded = wanted @ torch.from_numpy(made.decoder) + (module.centre * module.scale).detach()
    torch.testing.assert_close(decoded, module(rows).detach(), atol=1e-4, rtol=1e-3)
    assert made.mixture(0).shape == (len(made),) and np.isfinite(made.spread).all()


def test_what_cannot_be_trained_is_refused(noise: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no layer named"):
        small(noise, layer="rely").prepare(torch.device("cpu"), Task())
    with pytest.raises(RecipeError, match="keep fewer"):
        small(noise, latents=4, kept=5).prepare(torch.device("cpu"), Task())
    with pytest.raises(RecipeError, match="holds no run"):
        directions_of(tmp_path, "x", Task())
