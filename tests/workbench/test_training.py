"""The training room: what a run keeps, that it goes on as though it had not been stopped, and what it refuses."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import Field

from workbench import settings_text
from workbench.images.emoji import EmojiSet
from workbench.input_error import InputError
from workbench.jobs.runs import find_runs, read_run
from workbench.models import card
from workbench.models.caption_tokenizer import CONTEXT, VOCABULARY, VOCABULARY_SIZE, caption_tokenizer
from workbench.models.loading import LoadError, load
from workbench.models.older_recipes import as_trained
from workbench.models.small_networks import SMALL_NETWORKS
from workbench.models.small_text_networks import build_clip
from workbench.task import Cancelled, Task
from workbench.training import commands, publish, short_texts, trainer
from workbench.training.captions import Captions, caption, drawn_caption, plain_keywords, write_vocabulary
from workbench.training.drawings import Drawings, generator, held_out_concepts, held_out_variants, order
from workbench.training.log import curves_of
from workbench.training.plain_norms import norm_plainly
from workbench.training.ranks import ranks
from workbench.training.recipe import NAMED, Course, Recipe, RecipeError, discover, recipe
from workbench.training.recipes import contrastive
from workbench.training.recipes.classifier import moved, split
from workbench.training.recipes.language_model import trigram_perplexity
from workbench.training.run_lock import alone

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of 120 noisy images, reddish and bluish."""
    folder = tmp_path_factory.mktemp("colours")
    random = np.random.default_rng(0)
    for index in range(120):
        kind = ("red", "blue")[index % 2]
        pixels = random.integers(0, 120, (32, 32, 3)).astype(np.uint8)
        pixels[..., 0 if kind == "red" else 2] += 100
        (folder / kind).mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / kind / f"{index:03}.png")
    return folder


def small(colours: Path, **settings: object) -> Recipe:
    """Return a classifier that takes a few milliseconds an update."""
    given = {
        "network": "resnet",
        "images": f"folder:{colours}",
        "column": "label",
        "size": 32,
        "batch": 16,
        "steps": 12,
        "warm_up": 2,
        "checkpoints": 5,
    }
    return recipe("Classifier", given | settings)


class StopAt(Task):
    """Cancels after so many updates; remembers what it heard."""

    def __init__(self, step: int) -> None:
        self.at = step
        self.heard: list[tuple[float, float]] = []

    def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
        """Raise when the update is reached."""
        self.heard.append((done, total))
        if done == self.at and total != 0 and note != "opening the data":
            raise Cancelled


def log(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]


def test_the_same_seed_gives_the_same_losses_and_another_seed_others(
    colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "LOGGED", 1)
    losses = {}
    for name, seed in (("first", 3), ("again", 3), ("other", 4)):
        trainer.train(small(colours, seed=seed), tmp_path / name, Task(), device="cpu", precision="fp32", threads=1)
        losses[name] = [line["loss"] for line in log(tmp_path / name)]
    assert len(losses["first"]) == 12
    assert losses["first"] == losses["again"]
    assert losses["first"] != losses["other"]


def test_a_run_that_was_stopped_ends_with_the_very_weights_of_one_that_was_not(
    colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "LOGGED", 1)
    chosen = small(colours, average=0.9)
    whole = trainer.train(chosen, tmp_path / "whole", Task(), device="cpu", precision="fp32", threads=1)
    with pytest.raises(Cancelled):
        trainer.train(chosen, tmp_path / "halves", StopAt(7), device="cpu", precision="fp32", threads=1)
    assert [line["step"] for line in log(tmp_path / "halves")] == list(range(1, 8))
    halves = trainer.train(chosen, tmp_path / "halves", Task(), device="cpu", precision="fp32", threads=1)
    assert log(tmp_path / "halves") == log(tmp_path / "whole")
    for name, weight in whole.module.state_dict().items():
        assert torch.equal(weight, halves.module.state_dict()[name]), name


@pytest.mark.parametrize("name", ["colours", "vit", "caption-lm"])
def test_what_breaks_off_inside_an_update_goes_on_from_the_last_state(
    name: str, colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "INTERVAL", 2)
    few = {"steps": 5, "batch": 8, "warm_up": 1, "checkpoints": 2}
    chosen = small(colours, steps=5) if name == "colours" else recipe(name, few)
    whole = trainer.train(chosen, tmp_path / "whole", Task(), device="cpu", precision="bf16", threads=1)
    prepare = type(chosen).prepare

    def fragile(self: Recipe, device: torch.device, task: Task) -> Course:
        course = prepare(self, device, task)
        loss = course.loss

        def broken(step: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
            found = loss(step)
            if step == 3:
                raise KeyboardInterrupt
            return found

        monkeypatch.setattr(course, "loss", broken)
        return course

    with monkeypatch.context() as broken:
        broken.setattr(type(chosen), "prepare", fragile)
        with pytest.raises(KeyboardInterrupt):
            trainer.train(chosen, tmp_path / "broken", Task(), device="cpu", precision="bf16", threads=1)
    assert trainer.read_tensors(tmp_path / "broken" / "state.safetensors")[1]["step"] == "2"
    again = trainer.train(chosen, tmp_path / "broken", Task(), device="cpu", precision="bf16", threads=1)
    for part, weight in whole.module.state_dict().items():
        assert torch.equal(weight, again.module.state_dict()[part]), part
    assert log(tmp_path / "whole") == log(tmp_path / "broken")


def test_ctrl_c_ends_a_run_between_two_updates() -> None:
    heard = []

    class Listener(Task):
        def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
            heard.append(done)

    before = signal.getsignal(signal.SIGINT)
    with commands.interrupts_between_updates(Listener()) as patient:
        patient.step(1, 3)
        signal.raise_signal(signal.SIGINT)
        assert heard == [1]
        with pytest.raises(KeyboardInterrupt):
            patient.step(2, 3)
    assert heard == [1, 2]
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("begun", ["bf16", "fp32"])
def test_auto_goes_on_in_the_precision_a_run_was_begun_with(
    colours: Path, tmp_path: Path, begun: trainer.Precision
) -> None:
    chosen = small(colours, steps=2)
    with pytest.raises(Cancelled):
        trainer.train(chosen, tmp_path, StopAt(1), device="cpu", precision=begun, threads=1)
    assert trainer.pick_precision("auto", torch.device("cpu"), tmp_path) == begun
    trainer.train(chosen, tmp_path, Task(), device="cpu", threads=1)


def test_damaged_files_of_a_run_are_named(colours: Path, tmp_path: Path) -> None:
    chosen = small(colours, steps=3)
    with pytest.raises(Cancelled):
        trainer.train(chosen, tmp_path, StopAt(1), device="cpu", precision="fp32", threads=1)
    with pytest.raises(RecipeError, match="precision fp32 there, bf16 here"):
        trainer.train(chosen, tmp_path, Task(), device="cpu", precision="bf16", threads=1)
    state = tmp_path / "state.safetensors"
    state.write_bytes(state.read_bytes()[:100])
    with pytest.raises(RecipeError, match=r"state\.safetensors is damaged"):
        trainer.train(chosen, tmp_path, Task(), device="cpu", precision="fp32", threads=1)
    (tmp_path / "recipe.json").write_text("{}", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"recipe\.json is damaged"):
        commands.evaluate(str(tmp_path), False, Task())


def test_other_images_in_the_folder_are_noticed(colours: Path, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    shutil.copytree(colours, folder)
    chosen = small(folder, steps=3)
    with pytest.raises(Cancelled):
        trainer.train(chosen, tmp_path / "run", StopAt(1), device="cpu", precision="fp32", threads=1)
    (folder / "red").rename(folder / "amber")
    with pytest.raises(RecipeError, match="its images, what is held out, or its classes differ"):
        commands.evaluate(str(tmp_path / "run"), False, Task())


def test_images_that_can_no_longer_be_read_end_a_run(colours: Path, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    shutil.copytree(colours, folder)
    course = small(folder).prepare(torch.device("cpu"), Task())
    for file in folder.rglob("*.png"):
        file.write_bytes(b"")
    with pytest.raises(RecipeError, match=r"no image of images can be read any more: .*\.png"):
        course.loss(0)
    with pytest.raises(RecipeError, match="none of the 96 images of the train part"):
        course.evaluate(course.module.eval(), Task())
    assert len(course.unreadable) == 96


def test_a_run_that_was_killed_goes_on_from_its_last_state(colours: Path, tmp_path: Path) -> None:
    settings = ["network=resnet", f"images=folder:{colours}", "column=label", "size=32", "batch=8", "steps=100000"]
    command = [
        sys.executable,
        "main.py",
        "train",
        "Classifier",
        "--out",
        str(tmp_path),
        "--precision",
        "fp32",
        "--threads",
        "1",
    ]
    for setting in settings:
        command += ["--set", setting]
    running = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"})
    try:
        deadline = time.monotonic() + 110
        while not (tmp_path / "log.jsonl").exists() and time.monotonic() < deadline:
            assert running.poll() is None
            time.sleep(0.1)
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait()
    saved = log(tmp_path)[-1]["step"]
    assert saved >= trainer.INTERVAL
    chosen = publish.read_recipe(tmp_path)
    stop = StopAt(int(saved) + 2)
    with pytest.raises(Cancelled):
        trainer.train(chosen, tmp_path, stop, device="cpu", precision="fp32", threads=1)
    assert next(done for done, total in stop.heard if total == 100_000 and done) == saved + 1
    assert (tmp_path / "checkpoints" / "00000000.safetensors").exists()


def test_what_is_not_told_apart_is_not_right_and_no_number_is_refused(colours: Path) -> None:
    scores = torch.tensor([[3.0, 2.0, 2.0], [3.0, 2.0, 2.0], [1.0, 1.0, 1.0], [0.0, 5.0, -1.0]])
    assert ranks(scores, torch.tensor([0, 2, 1, 1])).tolist() == [0, 2, 2, 0]
    course = small(colours).prepare(torch.device("cpu"), Task())
    with torch.no_grad():
        for weight in course.module.parameters():
            weight.zero_()
    figures = course.evaluate(course.module.eval(), Task())
    assert figures["test_top1"] == figures["train_top1"] == 0, "it says the same of every class"
    with torch.no_grad():
        next(course.module.parameters()).fill_(torch.nan)
    with pytest.raises(RecipeError, match="gives values that are no numbers"):
        course.evaluate(course.module, Task())
    towers = recipe("clip", {"batch": 4}).prepare(torch.device("cpu"), Task())
    towers._look = lambda module, indices, task, note: (torch.full((2, 128), torch.nan), indices[:2].tolist())
    with pytest.raises(RecipeError, match="gives values that are no numbers"):
        towers.evaluate(towers.module.eval(), Task())


def test_one_program_at_a_time_trains_in_a_folder(colours: Path, tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from workbench.training.run_lock import alone\n"
        "with alone(Path(sys.argv[1])):\n"
        "    print('mine', flush=True)\n"
        "    time.sleep(600)\n"
    )
    chosen, folder = small(colours, steps=2, checkpoints=2), tmp_path / "run"

    def train() -> None:
        trainer.train(chosen, folder, Task(), device="cpu", precision="fp32", threads=1)

    other = subprocess.Popen([sys.executable, "-c", code, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None and other.stdout.readline() == "mine\n"
        with pytest.raises(RecipeError, match="run is being trained by another program; wait for its end, or give a new folder"):
            train()
        assert not (folder / "recipe.json").exists(), "nothing was written over"
    finally:
        other.kill()
        other.communicate()
    train()
    assert read_run(folder).step == 2 and [run.folder for run in find_runs(tmp_path)] == [folder]
    with alone(folder), pytest.raises(RecipeError, match="by another program"):
        train()


def test_a_classifier_learns_what_can_be_learned(colours: Path, tmp_path: Path) -> None:
    chosen = small(colours, steps=60, batch=32, mix=0.0, erase=0.0)
    course = trainer.train(chosen, tmp_path, Task(), device="cpu", precision="bf16", threads=1)
    figures = course.evaluate(course.module.eval(), Task())
    assert figures["test_top1"] >= 0.95
    assert figures["train_images"] + figures["test_images"] == 120
    kept = sorted(int(path.stem) for path in (tmp_path / "checkpoints").iterdir())
    assert kept == chosen.checkpoint_steps()


def test_any_architecture_of_timm_can_be_trained(colours: Path, tmp_path: Path) -> None:
    chosen = small(colours, network="timm:resnet10t", steps=2, checkpoints=2)
    trainer.train(chosen, tmp_path, Task(), device="cpu", precision="fp32", threads=1)
    assert len(log(tmp_path)) == 1


def test_a_vision_transformer_is_trained_at_any_size_and_opens_again(colours: Path, tmp_path: Path) -> None:
    chosen = small(colours, network="vit", size=32, steps=2, checkpoints=2)
    trainer.train(chosen, tmp_path / "run", Task(), device="cpu", precision="fp32", threads=1)
    assert load(f"run:{tmp_path / 'run'}").preprocessing.size == (32, 32)
    with pytest.raises(RecipeError, match="does not run"):
        trainer.train(small(colours, network="torchvision:alexnet"), tmp_path / "none", Task(), device="cpu", precision="fp32", threads=1)
    assert not (tmp_path / "none").exists(), "no run is left that could never go on"
    torch.manual_seed(0)
    bundled = SMALL_NETWORKS["vit"](2).state_dict()
    own = small(colours, network="vit", size=64).prepare(torch.device("cpu"), Task()).module
    assert own.training and all(torch.equal(bundled[name], value) for name, value in own.state_dict().items()), "at 64 as ever"


def test_checkpoints_are_dense_early() -> None:
    steps = recipe("inception").checkpoint_steps()
    assert len(steps) >= 30
    assert steps[:4] == [0, 1, 2, 3]
    assert steps[-1] == recipe("inception").steps
    gaps = np.diff(steps)
    assert (gaps[:10] <= 5).all()
    assert gaps[-1] > 100
    assert recipe("inception", {"steps": 3}).checkpoint_steps() == [0, 1, 2, 3]


def test_a_stretch_of_a_run_is_trained_again_with_every_update_kept(colours: Path, tmp_path: Path) -> None:
    sparse = small(colours, steps=12, checkpoints=4)
    trainer.train(sparse, tmp_path / "sparse", Task(), device="cpu", precision="fp32", threads=1)
    (before, after) = sparse.checkpoint_steps()[1:3]
    dense = sparse.model_copy(update={"dense_from": before, "dense_to": after})
    trainer.train(dense, tmp_path / "dense", Task(), device="cpu", precision="fp32", threads=1, until=after)
    kept = {int(path.stem): path for path in (tmp_path / "dense" / "checkpoints").iterdir()}
    assert sorted(kept) == [0, *range(before, after + 1)], "it stops there"
    for step in (before, after):
        first, again = (trainer.read_tensors(tmp_path / run / "checkpoints" / f"{step:08}.safetensors")[0] for run in ("sparse", "dense"))
        assert all(torch.equal(first[name], again[name]) for name in first), "it is the same training"
    trainer.train(dense, tmp_path / "dense", Task(), device="cpu", precision="fp32", threads=1)
    assert log(tmp_path / "dense")[-1] == log(tmp_path / "sparse")[-1], "and goes on when it is told to"


def test_a_run_from_before_a_parameter_was_there_goes_on(colours: Path, tmp_path: Path) -> None:
    chosen = small(colours, steps=2, checkpoints=2)
    trainer.train(chosen, tmp_path, Task(), device="cpu", precision="fp32", threads=1, until=1)
    told = json.loads((tmp_path / "recipe.json").read_text())
    del told["parameters"]["dense_from"], told["parameters"]["dense_to"]
    (tmp_path / "recipe.json").write_text(json.dumps(told))
    trainer.train(chosen, tmp_path, Task(), device="cpu", precision="fp32", threads=1)
    with pytest.raises(RecipeError, match="dense_to 0 there, 1 here"):
        trainer.train(chosen.model_copy(update={"dense_to": 1}), tmp_path, Task(), device="cpu", precision="fp32", threads=1)


def test_a_restarted_learning_rate_is_that_of_the_shorter_run_and_then_comes_once_more() -> None:
    settings = {"learning_rate": 0.5, "warm_up": 10}
    short = recipe("inception", {"steps": 100, **settings})
    again = recipe("inception", {"steps": 60, **settings})
    third = recipe("inception", {"steps": 40, **settings})
    for begins in ((100, 160), (160, 100)):
        long = recipe("inception", {"steps": 200, "restart": begins, **settings})
        assert [long.rate(step) for step in range(100)] == [short.rate(step) for step in range(100)]
        assert [long.rate(step) for step in range(100, 160)] == [again.rate(step) for step in range(60)]
        assert [long.rate(step) for step in range(160, 200)] == [third.rate(step) for step in range(40)]
    cut_short = recipe("inception", {"steps": 100, "restart": (100, 160), **settings})
    assert [cut_short.rate(step) for step in range(100)] == [short.rate(step) for step in range(100)]
    assert long.rate(200) == pytest.approx(0), "the rate after the last update is asked for by the log"


def test_a_restart_of_older_runs_was_a_number_of_its_own() -> None:
    for told, meant in ((0, ()), ([0], ()), (100, (100,)), ([160, 100, 160], (100, 160))):
        assert recipe("inception", {"restart": told}).restart == meant
        assert as_trained("Classifier", {"restart": told})["restart"] == list(meant)
    assert as_trained("Classifier", {})["restart"] == []
    assert recipe("clip", settings_text.recipe_settings("clip", ["restart=0"])).restart == ()
    with pytest.raises(RecipeError, match="restart"):
        recipe("inception", {"restart": -1})
    with pytest.raises(RecipeError, match="restart"):
        recipe("inception", {"restart": "often"})


def test_the_learning_rate_rises_and_falls() -> None:
    chosen = recipe("inception", {"steps": 1000, "warm_up": 100, "learning_rate": 0.5})
    rates = [chosen.rate(step) for step in range(1000)]
    assert np.argmax(rates) == 100
    assert max(rates) == 0.5
    assert (np.diff(rates[:100]) > 0).all()
    assert (np.diff(rates[100:]) < 0).all()
    assert rates[-1] < 1e-5


@pytest.mark.parametrize(
    ("name", "settings", "told"),
    [
        ("incepton", {}, "did you mean inception?"),
        ("inception", {"steps": 0}, "steps: Input should be greater than or equal to 1"),
        ("inception", {"step": 5}, "step: Extra inputs are not permitted"),
        ("Classifier", {}, "network: Field required"),
        ("Contrastive", {"styles_first_from": 5}, "Contrastive: styles_first_from needs styles_from: without"),
    ],
)
def test_a_wrong_recipe_is_refused_by_name(name: str, settings: dict[str, object], told: str) -> None:
    with pytest.raises(RecipeError, match=told.replace("?", r"\?")):
        recipe(name, settings)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"column": "colour"}, "has no column 'colour'; it has label"),
        ({"batch": 500}, "a batch of 500 is more than the 96 images to train on"),
        ({"network": "resnett"}, "no network is named 'resnett'"),
        ({"network": "lucid:inceptionv1"}, "no network is named 'lucid:inceptionv1'"),
        ({"network": "timm:resnet18x"}, "resnet18"),
        ({"network": "torchvision:alexnet"}, r"alexnet does not run on images of 32 x 32 pixels \(.*too small\); choose another size"),
        ({"images": "folder:/nowhere"}, "/nowhere"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_words(colours: Path, settings: dict[str, object], told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        small(colours, **settings).prepare(torch.device("cpu"), Task())


def test_a_folder_with_another_run_is_left_alone(colours: Path, tmp_path: Path) -> None:
    trainer.train(small(colours, steps=2), tmp_path, Task(), device="cpu", precision="fp32", threads=1)
    with pytest.raises(RecipeError, match=r"holds another run \(learning_rate 0\.002 there, 0\.1 here\)"):
        trainer.train(
            small(colours, steps=2, learning_rate=0.1), tmp_path, Task(), device="cpu", precision="fp32", threads=1
        )


def test_a_loss_that_is_no_number_ends_the_run(colours: Path, tmp_path: Path) -> None:
    chosen = small(colours, steps=40, learning_rate=1e30, warm_up=3)
    with pytest.raises(Cancelled):
        trainer.train(chosen, tmp_path, StopAt(1), device="cpu", precision="fp32", threads=1)
    with pytest.raises(RecipeError, match="no longer a number"):
        trainer.train(chosen, tmp_path, Task(), device="cpu", precision="fp32", threads=1)
    kept, told = trainer.read_tensors(tmp_path / "state.safetensors")
    assert told["step"] == "1"
    assert all(bool(value.isfinite().all()) for value in kept.values())


def test_a_published_run_is_measured_as_kept_and_a_damaged_file_refused(
    colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, box = tmp_path / "run", tmp_path / "box"
    box.mkdir()
    trainer.train(small(colours, steps=20), run, Task(), device="cpu", precision="fp32", threads=1)
    with pytest.raises(InputError, match="holds no run"):
        publish.publish(tmp_path / "nothing", "colours", Task(), box)
    publish.publish(run, "colours", Task(), box)
    monkeypatch.setattr(card, "FOLDER", box)
    card.cards.cache_clear()
    try:
        commands.evaluate("colours", True, Task())
        told = json.loads(capsys.readouterr().out)
        assert told["measured"] == told["card"]
        model = load("bundled:colours")
        assert model.labels == ("blue", "red")
        weights = box / "colours.safetensors"
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(bytes(content))
        with pytest.raises(LoadError, match="damaged or was changed: its SHA-256"):
            load("bundled:colours")
        with pytest.raises(LoadError, match="damaged"):
            commands.evaluate("bundled:colours", False, Task())
    finally:
        card.cards.cache_clear()


def test_a_paused_run_is_measured_as_it_was_left(colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = small(colours, steps=400, batch=32, checkpoints=2, mix=0.0, erase=0.0)
    with pytest.raises(Cancelled):
        trainer.train(chosen, tmp_path, StopAt(60), device="cpu", precision="fp32", threads=1)
    commands.evaluate(str(tmp_path), True, Task())
    told = json.loads(capsys.readouterr().out)
    assert (told["updates"], told["of"]) == (60, 400) and told["measured"]["test_top1"] >= 0.95, "not that of a network without training"
    commands.evaluate(str(tmp_path), False, Task())
    assert capsys.readouterr().out.startswith("after 60 of 400 updates\ntrain_top1 ")


def test_a_network_that_is_made_anew_is_told_beside_the_one_before(
    colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    box = tmp_path / "box"
    chosen = small(colours, steps=4)
    monkeypatch.setitem(NAMED, "colours", (type(chosen), chosen.model_dump()))
    monkeypatch.setattr(publish, "runs_folder", lambda: tmp_path / "runs")
    publish.make("colours", box)
    assert (told := capsys.readouterr().out).startswith("colours: train_top1 ") and "before" not in told
    of_card = json.loads((box / "colours.json").read_text())
    (box / "colours.json").write_text(json.dumps(of_card | {"figures": of_card["figures"] | {"test_top1": 0.125}}))
    publish.make("colours", box)
    measured = of_card["figures"]["test_top1"]
    assert f", test_top1 {measured:g} (before: 0.125), " in capsys.readouterr().out
    assert json.loads((box / "colours.json").read_text()) == of_card


def test_a_finished_run_is_not_taken_for_a_network_made_anew(
    colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs, chosen = tmp_path / "runs", small(colours, steps=4)
    monkeypatch.setitem(NAMED, "colours", (type(chosen), chosen.model_dump()))
    monkeypatch.setattr(publish, "runs_folder", lambda: runs)
    trainer.train(chosen, runs / "colours", Task(), device="cpu", precision="fp32", threads=1, until=3)
    publish.make("colours", tmp_path / "box")
    assert capsys.readouterr().out.startswith(f"colours: going on with the run in {runs / 'colours'}, after 3 of 4 updates\n")
    (runs / "colours" / "notes.txt").write_text("mine")
    for number in (1, 2):
        publish.make("colours", tmp_path / "box")
        aside = runs / f"colours.before-{number}"
        assert capsys.readouterr().out.startswith(f"colours: the run there was finished and is now in {aside}; beginning anew\n")
        assert read_run(aside).step == read_run(runs / "colours").step == 4
        assert (aside / "notes.txt").exists() == (number == 1) and not (runs / "colours" / "notes.txt").exists()


def test_networks_that_were_made_before_all_were_are_not_made_again_until_all_are(tmp_path: Path, monkeypatch, capsys) -> None:
    made: list[str] = []

    def make(name: str) -> None:
        if made == ["inception", "vit"]:
            made.append("stopped")
            raise KeyboardInterrupt
        made.append(name)

    monkeypatch.setattr(publish, "runs_folder", lambda: tmp_path / "runs")
    monkeypatch.setattr(publish, "make", make)
    names = ["inception", "vit", "clip"]
    with pytest.raises(KeyboardInterrupt):
        publish.make_all(names)
    publish.make_all(names)
    assert made == ["inception", "vit", "stopped", "clip"] and "vit: made before this was stopped" in capsys.readouterr().out
    publish.make_all(names)
    assert made[4:] == names, "all are made anew once all were made"




def test_the_parts_of_a_folder_say_what_is_held_out(colours: Path, tmp_path: Path) -> None:
    def course(*parts: str) -> tuple[Course, dict[str, set[str]]]:
        folder = tmp_path / "-".join(parts)
        for place, part in enumerate(parts):
            for kind in ("red", "blue"):
                (folder / part / kind).mkdir(parents=True)
                for file in sorted((colours / kind).iterdir())[place::4]:
                    shutil.copy(file, folder / part / kind)
        made = small(folder).prepare(torch.device("cpu"), Task())
        used = {side: {made.images.ids[index].partition("/")[0] for index in getattr(made, side).tolist()} for side in ("train", "test")}
        return made, used

    for parts, held in ((("train", "val"), {"val"}), (("training", "validation", "test"), {"test"}), (("train", "test"), {"test"})):
        made, used = course(*parts)
        assert made.labels == ("blue", "red") and used == {"train": {parts[0]}, "test": held}
    made, used = course("test", "val")
    assert made.labels == ("blue", "red") and used["train"] == {"test", "val"}, "none is called what one trains on: a fifth at random"


def test_no_concept_is_on_both_sides() -> None:
    images = EmojiSet()
    train, test = split(images, 0)
    concepts = np.array(images.columns["concept"])
    held = set(concepts[test.numpy()])
    assert held == held_out_concepts()
    assert not held & set(concepts[train.numpy()])
    assert len(train) + len(test) == len(images)
    assert 0.18 < len(test) / len(images) < 0.22
    assert held_out_variants() < held
    assert 30 < len(held_out_variants()) < 100
    for name in held - held_out_variants():  # of the others no counterpart is trained on
        role = name.removeprefix("man ").removeprefix("woman ")
        assert name == role or {role, f"man {role}", f"woman {role}"} <= held | (set() if role in concepts else {role})


def test_a_drawing_is_shown_as_it_is_when_nothing_moves() -> None:
    images = EmojiSet(["noto"])
    drawings = Drawings(images, torch.device("cpu"), grounds=2)
    white = torch.ones(3, 3, 1, 1)
    shown = drawings.batch(torch.tensor([0, 40, 900]), generator(0, 0), strength=0.0, recolour=0.0, flip=False, ground=white)
    wanted = torch.from_numpy(np.stack([images.image(index) for index in (0, 40, 900)])).permute(0, 3, 1, 2) / 255
    assert (shown - wanted).abs().max() < 0.02


def test_moving_and_recolouring_are_two_things() -> None:
    images = EmojiSet(["noto"])
    drawings, white, few = Drawings(images, torch.device("cpu"), grounds=2), torch.ones(3, 3, 1, 1), torch.tensor([0, 40, 900])
    ground = (drawings.drawings[few, 3] == 0)[:, None].expand(-1, 3, -1, -1)

    def change(**how: float) -> torch.Tensor:
        still = drawings.batch(few, generator(0, 0), strength=0.0, recolour=0.0, flip=False, ground=white)
        return (drawings.batch(few, generator(0, 0), flip=False, ground=white, **how) - still).abs()

    recoloured, moved_about = change(strength=0.0, recolour=1.0), change(strength=1.0, recolour=0.0)
    assert recoloured[ground].max() < 1e-5 and recoloured.max() > 0.05, "where nothing is drawn nothing changes"
    assert moved_about[ground].max() > 0.3, "what is drawn is elsewhere"
    plain = torch.full((4, 3, 16, 16), 0.5)
    assert torch.allclose(moved(plain, generator(0, 0), 1.0, recolour=0.0, flip=True), plain, atol=1e-5)
    shown = moved(plain, generator(0, 0), 0.0, recolour=1.0, flip=False)
    assert (shown - 0.5).abs().max() > 0.05 and torch.allclose(shown, shown[:, :, :1, :1].expand_as(shown), atol=1e-5)


def test_drawings_depend_on_their_update_alone() -> None:
    drawings = Drawings(EmojiSet(["noto"]), torch.device("cpu"), grounds=16)
    chosen = torch.arange(20)
    first = drawings.batch(chosen, generator(1, 5))
    assert torch.equal(first, drawings.batch(chosen, generator(1, 5)))
    assert not torch.equal(first, drawings.batch(chosen, generator(1, 6)))
    assert first.min() >= 0
    assert first.max() <= 1.3


def test_every_pass_shows_every_image_once() -> None:
    shown = torch.cat([order(50, 7, start, 20) for start in range(0, 100, 20)])
    assert sorted(shown[:50].tolist()) == list(range(50))
    assert sorted(shown[50:].tolist()) == list(range(50))
    assert shown[:50].tolist() != shown[50:].tolist()


def test_captions_say_name_keywords_and_style() -> None:
    assert plain_keywords("grin, :D, tears_of_joy, Turtle, grin, 3", "turtle") == ["grin", "tears of joy"]
    assert caption("Mrs. Claus", "fluent_3d", ["red"]) == "mrs. claus, red, fluent 3d style"
    texts = {drawn_caption("turtle", "noto", ["slow", "shell"], generator(0, step)) for step in range(60)}
    assert all(text.endswith(", noto style") for text in texts)
    assert any(text.startswith("a turtle") for text in texts)
    assert any("turtle" not in text for text in texts)
    tokens = caption_tokenizer()(sorted(texts))
    assert tokens.shape[1] == 32
    assert int(tokens.max()) == 1537


def test_the_vocabulary_is_learned_from_what_is_trained_on(tmp_path: Path) -> None:
    write_vocabulary(tmp_path / "captions.txt.gz")
    learned, kept = (
        gzip.decompress(path.read_bytes()).decode().splitlines() for path in (tmp_path / "captions.txt.gz", VOCABULARY)
    )
    assert learned[0] == kept[0]
    assert sorted(learned) == sorted(kept)  # the library breaks ties between equally frequent pairs anew each time


def test_plain_captions_need_no_mending() -> None:
    from open_clip import SimpleTokenizer

    captions = Captions(EmojiSet())
    texts = [captions.full(index) for index in range(0, 7_850, 10)]
    texts += ["caf\u00e9 &amp; cr\u00e8me", "\u017f\u212a", "a\tb\nc", "\u201ca\u201d, noto style"]
    texts += ["A Cat ,  it's  'll-made. :x", "", " ", "1 2-3 'S"]
    ours, thorough = caption_tokenizer(), SimpleTokenizer(bpe_path=str(VOCABULARY), context_length=CONTEXT)
    assert [ours.encode(text) for text in texts] == [thorough.encode(text) for text in texts]


def test_a_figure_that_a_line_lacks_has_a_shorter_curve() -> None:
    lines = [{"step": 10, "rate": 0.1, "loss": 2.0}, {"step": 20, "rate": 0.1, "loss": 1.0, "error": 0.5}]
    assert curves_of(lines) == {"loss": ([10, 20], [2.0, 1.0]), "error": ([20], [0.5])}


def test_a_trigram_model_does_not_read_across_texts() -> None:
    learned = [[5, 6], [7, 8], [5, 5], [7, 9]]  # 7 after the first: half of the time 8 follows; 6, 7, 8 is in no text
    best = max(
        -((a / VOCABULARY_SIZE) * (a / VOCABULARY_SIZE + b / 4 + (1 - a - b) / 2)) ** -0.5
        for a, b in [(a / 200, b / 200) for a in range(1, 200) for b in range(0, 200 - a)]
    )
    assert trigram_perplexity(learned, [[6, 7, 8]]) == pytest.approx(-best, rel=0.01)


@pytest.mark.parametrize("learned", [[], [[]], [[1], [1]]])
def test_a_trigram_model_that_read_nothing_knows_nothing(learned: list[list[int]]) -> None:
    assert trigram_perplexity(learned, [[1, 2, 3], [1]]) == pytest.approx(VOCABULARY_SIZE)


def test_a_trigram_model_knows_what_two_tokens_tell() -> None:
    random = np.random.default_rng(0)
    # Two tokens drawn from two, then each the last but one: a first one of two, 38 that only a trigram is certain of.
    rows = [(random.integers(2, 4, 2).tolist() * 20)[:40] for _ in range(400)]
    share = 37 / 39  # of the trigram's weight, at which .5 (1 - share) (.5 + .5 share)^38 is largest
    wanted = (0.5 * (1 - share) * (0.5 + 0.5 * share) ** 38) ** (-1 / 39)
    assert trigram_perplexity(rows[:200], rows[200:]) == pytest.approx(wanted, rel=0.02)


@pytest.mark.parametrize("name", ["clip", "clip-rn", "diffusion", "caption-lm"])
def test_recipes_with_text_give_losses_that_learn(name: str) -> None:
    course = recipe(name, {"batch": 4}).prepare(torch.device("cpu"), Task())
    optimizer = torch.optim.Adam(course.module.parameters(), 3e-4)  # no warm-up: at 1e-3 the first step is too far for a ResNet
    torch.manual_seed(0)
    course.module.eval()
    before, _ = course.loss(0)
    for _ in range(4):
        loss, figures = course.loss(0)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        assert all(value.ndim == 0 for value in figures.values())
    after, _ = course.loss(0)
    assert after.item() < before.item()


def test_tied_weights_are_kept(tmp_path: Path) -> None:
    chosen = recipe("caption-lm", {"steps": 2, "batch": 4})
    trainer.train(chosen, tmp_path, Task(), device="cpu", precision="fp32", threads=1)
    kept, _ = trainer.read_tensors(tmp_path / "checkpoints" / "00000002.safetensors")
    assert torch.equal(kept["lm_head.weight"], kept["transformer.wte.weight"])


def test_every_recipe_has_words_for_its_parameters() -> None:
    for name, (kind, settings) in discover().items():
        assert kind.title
        assert kind.__doc__
        assert set(settings) <= set(kind.model_fields), name
        assert all(field.description for field in kind.model_fields.values())


def test_a_diffusion_network_is_judged_by_what_it_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.training.recipes import diffusion

    class Bright:
        """Names the style, or the subgroup, after how bright an image is."""

        def __init__(self, bright: str, dark: str) -> None:
            self.names = [dark, bright]

        def likeliest(self, images: torch.Tensor, count: int) -> list[list[str]]:
            assert images.shape[1:] == (3, 32, 32) and images.abs().max() <= 1
            return [[self.names[int(image.mean() > 0)]] * count for image in images]

    course = recipe("diffusion", {"channels": (8, 16, 16)}).prepare(torch.device("cpu"), Task())
    monkeypatch.setattr(diffusion, "DRAWN", 40)
    monkeypatch.setattr(diffusion, "MEASURED", 8)
    assert set(course.evaluate(course.module.eval(), Task())) >= {"train_error", "test_error"}
    judges = {"style": Bright("fluent_3d", "noto"), "object": Bright("animal-bird", "animal-bug")}
    monkeypatch.setattr(diffusion.Judge, "of", lambda what, device: judges[what])
    monkeypatch.setattr(
        course,
        "draw",
        lambda module, texts, random: torch.stack(
            [torch.full((3, 32, 32), 0.5 if "fluent" in text else -0.5) for text in texts]
        ),
    )
    figures = course.evaluate(course.module, Task())
    random = torch.Generator().manual_seed(0)
    chosen = course.known[torch.randperm(len(course.known), generator=random)[:40]].tolist()
    styles = [course.images.columns["style"][index] for index in chosen]
    assert figures["style_top1"] == pytest.approx(
        sum(style in ("fluent_3d", "noto") for style in styles) / 40, abs=1e-3
    )
    assert figures["style_family_top1"] == pytest.approx(
        sum(style.startswith(("fluent", "noto")) for style in styles) / 40, abs=1e-3
    )
    birds = [course.images.columns["subgroup"][index] for index in chosen]
    right = [
        name == ("animal-bird" if style.startswith("fluent") else "animal-bug")
        for name, style in zip(birds, styles, strict=True)
    ]
    assert figures["object_top5"] == pytest.approx(sum(right) / 40, abs=1e-3)
    assert 0 <= figures["judge_object_top5"] <= 1
    drawn = type(course).draw(course, course.module, ["turtle, noto style"], random)
    assert drawn.shape == (1, 3, 32, 32) and drawn.abs().max() <= 1


def test_a_batch_of_a_clip_has_every_concept_once_and_its_words_in_another_style() -> None:
    course = recipe("clip-rn", {"batch": 12}).prepare(torch.device("cpu"), Task())
    columns = course.images.columns
    for step in (0, 40):
        chosen = course._chosen(step, generator(0, step))[1].tolist()
        concepts = [columns["concept"][index] for index in chosen]
        assert len(set(concepts)) == 12 and all(name not in held_out_concepts() for name in concepts)
        for index in chosen:
            told, rival, rival_style = course.captions.draw_with_rival(index, course.styles, generator(0, index))
            (words, _, style), (others, _, other) = told.rpartition(", "), rival.rpartition(", ")
            assert words == others and style == f"{columns['style'][index].replace('_', ' ')} style" and other != style
            assert other.removesuffix(" style").replace(" ", "_") == rival_style and rival_style in course.styles
            assert told == course.captions.draw(index, generator(0, index)), "the caption is the one without a rival"


def test_a_rival_is_no_images_caption_and_pushes_its_own_image_away() -> None:
    course = recipe("clip-rn", {"batch": 64}).prepare(torch.device("cpu"), Task())
    random = generator(0, 0)
    chosen = course._chosen(0, random)[1].tolist()
    told, rivals, _ = zip(*(course.captions.draw_with_rival(index, course.styles, random) for index in chosen), strict=True)
    assert not set(told) & set(rivals)
    small = recipe("clip-rn", {"batch": 4}).prepare(torch.device("cpu"), Task())
    kept = []

    def keep(_module: torch.nn.Module, _given: object, found: tuple[torch.Tensor, ...]) -> None:
        for value in found[:2]:
            value.retain_grad()
        kept.append(found)

    small.module.register_forward_hook(keep)
    small.module.eval()
    small.loss(0)[0].backward()
    seen, read, _ = kept[0]
    assert read.shape[0] == 8
    away = (seen.detach() * -read.grad[4:]).sum(1)
    assert (away < 0).all(), "a step against the gradient turns a rival away from its image"


def test_captions_with_like_words_in_an_images_style_are_right_in_part() -> None:
    course = recipe("clip", {"batch": 12, "likeness": 2.0}).prepare(torch.device("cpu"), Task())
    columns = course.images.columns
    names = [columns["concept"][int(known[0])] for known in course.concepts]
    cat, kitten, tree = (names.index(name) for name in ("cat face", "grinning cat", "deciduous tree"))
    alike = course.alike[[cat, cat, cat], [cat, kitten, tree]]
    assert alike[0] == pytest.approx(1, abs=1e-6) and 0 < alike[2] < alike[1] / 5 < 0.2
    concepts, styles, rivals = torch.tensor([cat, kitten, tree]), ["noto", "noto", "twemoji"], ["twemoji", "openmoji", "noto"]
    right = course._right(concepts, styles, rivals)
    expected = torch.eye(3, 6)
    expected[0, 1] = expected[1, 0] = 2 * alike[1]  # both in noto
    expected[0, 5] = 2 * alike[2]  # the tree's words in noto are like the cat's to this little extent
    expected[1, 5] = 2 * course.alike[kitten, tree]
    expected[2, 3] = 2 * alike[2]
    torch.testing.assert_close(right, expected)
    alone = recipe("clip", {"batch": 12, "likeness": 0}).prepare(torch.device("cpu"), Task())
    torch.testing.assert_close(alone._right(concepts, styles, rivals), torch.eye(3, 6))


@pytest.mark.parametrize("rivals", [True, False])
def test_a_loss_pulls_towards_all_that_is_right(rivals: bool) -> None:
    """With logits that are parameters, all 0, the gradient is the even share of each caption less what is right, both ways."""
    gradients = {}
    for likeness in (0.0, 2.0):
        course = recipe("clip", {"batch": 64, "likeness": likeness, "rivals": rivals}).prepare(torch.device("cpu"), Task())
        count, wide = 64, 128 if rivals else 64

        class Towers(torch.nn.Module):
            def __init__(self, wide: int) -> None:
                super().__init__()
                self.logits = torch.nn.Parameter(torch.zeros(64, wide))

            def forward(self, _images: torch.Tensor, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
                return self.logits, torch.eye(len(tokens)), torch.tensor(1.0)

        course.module = Towers(wide)
        course.loss(0)[0].backward()
        gradients[likeness] = course.module.logits.grad
        random = generator(0, 0)
        concepts, indices = course._chosen(0, random)
        course._drawings.batch(indices, random, strength=1.0)
        drawn = [course.captions.draw_with_rival(index, course.styles, random) for index in indices.tolist()]
        styles = [course.images.columns["style"][index] for index in indices.tolist()]
        right = course._right(concepts, styles, [style for _, _, style in drawn])[:, :wide]
        assert (right.sum(1) > 1.1).any() == (likeness > 0)
        expected = (1 / wide - right / right.sum(1, keepdim=True)) / count
        back = right[:, :count].T
        expected[:, :count] += ((1 / count - back / back.sum(1, keepdim=True)) / count).T
        torch.testing.assert_close(gradients[likeness], expected / 2)
    assert not torch.allclose(gradients[0.0], gradients[2.0])


def test_a_run_is_read_with_the_parameters_it_was_trained_with(tmp_path: Path) -> None:
    told = recipe("diffusion").model_dump(mode="json") | {"restart": 6200}
    del told["still"]
    (tmp_path / "recipe.json").write_text(json.dumps({"kind": "Diffusion", "parameters": told}))
    read = publish.read_recipe(tmp_path)
    assert read.still == 0 and read.restart == (6200,), "not today's"
    settings = read_run(tmp_path).settings
    assert settings["still"] == 0 and settings["restart"] == [6200]


@pytest.mark.parametrize("rivals", [True, False])
def test_an_image_is_to_find_its_style_among_the_mean_captions_of_each_from_the_update_on_that_is_told(rivals: bool) -> None:
    course, early, first, without = (
        recipe("clip", {"batch": 12, "rivals": rivals} | begins).prepare(torch.device("cpu"), Task())
        for begins in ({"styles_from": 2}, {"styles_from": 1}, {"styles_from": 1, "styles_first_from": 2}, {"styles_from": 0})
    )
    towers: list[torch.Tensor] = []
    course.module.register_forward_hook(lambda _module, _inputs, found: towers.__setitem__(slice(None), found))

    def loss(of: Course, step: int) -> float:
        torch.manual_seed(step)  # of the patches left out
        return of.loss(step)[0].item()

    before, added = (loss(course, step) - loss(without, step) for step in (1, 2))
    assert before == pytest.approx(0, abs=1e-6)
    once, four_times = (loss(first, step) - loss(without, step) for step in (1, 2))
    assert once == pytest.approx(loss(early, 1) - loss(without, 1), abs=1e-6) and four_times == pytest.approx(4 * added, rel=1e-4)
    random = generator(0, 2)
    indices = course._chosen(2, random)[1]
    course._drawings.batch(indices, random, strength=1.0, recolour=0.0)
    drawn = [course.captions.draw_with_rival(index, course.styles, random) for index in indices.tolist()]
    styles = np.array([course.images.columns["style"][index] for index in indices.tolist()])
    read_styles = np.concatenate([styles, [style for _, _, style in drawn]]) if rivals else styles
    seen, read, scale = towers
    mean = torch.stack([read[torch.from_numpy(read_styles == one)].mean(0) for one in sorted(set(read_styles))])
    shares = torch.log_softmax(scale * seen @ mean.T, dim=1)
    wanted = [sorted(set(read_styles)).index(style) for style in styles]
    assert added == pytest.approx(-shares[range(12), wanted].mean().item(), abs=1e-4)


def test_part_of_each_image_lies_under_another_drawing_in_its_style_from_the_update_on_that_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Numbers:
        """Shows of each drawing its number."""

        def batch(self, indices: torch.Tensor, **_: Any) -> torch.Tensor:
            return indices.float()[:, None, None, None].expand(-1, 3, 64, 64)

    course = recipe("clip", {"batch": 24, "covered_from": 3}).prepare(torch.device("cpu"), Task())
    course._drawings = Numbers()
    seen: list[torch.Tensor] = []
    monkeypatch.setattr(contrastive, "network_input", lambda shown: seen.append(shown) or torch.zeros(len(shown), 3, 64, 64))
    for step in (2, 3):
        course.loss(step)
    concept, style = (np.array(course.images.columns[name]) for name in ("concept", "style"))
    bare, covered = (images[:, 0].long().numpy() for images in seen)
    assert all(len(np.unique(image)) == 1 for image in bare)
    own = course._chosen(3, generator(0, 3))[1].tolist()
    areas = []
    for image, index in zip(covered, own, strict=True):
        (over,) = set(np.unique(image)) - {index}
        assert style[over] == style[index] and concept[over] != concept[index]
        rows, columns = (np.flatnonzero((image == over).any(axis)) for axis in (1, 0))
        assert (image[np.ix_(rows, columns)] == over).all(), "a box"
        assert len(rows) == np.ptp(rows) + 1 <= 49 and len(columns) == np.ptp(columns) + 1 <= 49
        areas.append(len(rows) * len(columns))
    assert min(areas) >= 49 and len(set(areas)) > 12


def test_drawings_of_the_diffusion_network_stand_still_from_the_update_on_that_is_told() -> None:
    course = recipe("diffusion", {"channels": (8, 16, 16), "still": 5}).prepare(torch.device("cpu"), Task())
    few = course.known[:4]

    def shown(step: int, seed: int) -> torch.Tensor:
        return course.shown(few, generator(seed, step), step)

    assert not torch.allclose(shown(4, 0), shown(4, 1), atol=0.02), "moved and recoloured a little"
    assert torch.allclose(shown(5, 0), shown(5, 1), atol=1e-5)
    always = recipe("diffusion", {"channels": (8, 16, 16), "still": 0}).prepare(torch.device("cpu"), Task())
    assert not torch.allclose(always.shown(few, generator(0, 9), 9), shown(9, 0), atol=0.02)


def test_a_run_agrees_with_a_recipe_that_got_parameters_with_lists_and_made_defaults(tmp_path: Path) -> None:
    class Grown(Recipe):
        widths: tuple[int, ...] = (32, 64)
        kinds: list[str] = Field(default_factory=lambda: ["arc"])

        def prepare(self, device: torch.device, task: Task) -> Course:
            raise NotImplementedError

    class Nothing(Course):
        data = {"images": "none"}

        def loss(self, step: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
            raise NotImplementedError

        def evaluate(self, module: torch.nn.Module, task: Task) -> dict[str, float]:
            raise NotImplementedError

    trainer.agree(tmp_path, Grown(), Nothing(), "fp32")
    file = tmp_path / "recipe.json"
    document = json.loads(file.read_text(encoding="utf-8"))
    del document["parameters"]["widths"], document["parameters"]["kinds"]
    file.write_text(json.dumps(document), encoding="utf-8")
    trainer.agree(tmp_path, Grown(), Nothing(), "fp32")
    with pytest.raises(RecipeError, match=r"kinds \['arc'\] there, \['line'\] here"):
        trainer.agree(tmp_path, Grown(kinds=["line"]), Nothing(), "fp32")


def test_plain_norms_compute_the_same_there_and_back() -> None:
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.GroupNorm(2, 8), torch.nn.SiLU(), torch.nn.Conv2d(8, 4, 3))
    module.to(memory_format=torch.channels_last)
    x = torch.randn(2, 3, 9, 9).to(memory_format=torch.channels_last).requires_grad_()
    flat = torch.randn(2, 8, requires_grad=True)

    def there_and_back() -> list[torch.Tensor]:
        module.zero_grad()
        seen, plain = module(x), module[1](flat)
        (seen.square().sum() + plain.square().sum()).backward()
        found = [seen, plain, x.grad, flat.grad, *(weight.grad for weight in module.parameters())]
        x.grad = flat.grad = None
        return [value.detach().clone() for value in found]

    before = there_and_back()
    norm_plainly(module)
    layouts: list[bool] = []
    module[1].register_forward_pre_hook(lambda _, inputs: layouts.append(inputs[0].is_contiguous()))
    module[1].register_full_backward_pre_hook(lambda _, gradients: layouts.append(gradients[0].is_contiguous()))
    module[0].register_full_backward_pre_hook(
        lambda _, gradients: layouts.append(gradients[0].is_contiguous(memory_format=torch.channels_last))
    )
    module(x).sum().backward()
    assert layouts == [True, False, True], "plain where it is normed; convolutions' gradients channels-last"
    x.grad = None
    for one, other in zip(before, there_and_back(), strict=True):
        assert torch.allclose(one, other, atol=1e-5, rtol=1e-4)


def test_texts_that_are_read_no_further_than_they_go_are_read_the_same() -> None:
    torch.manual_seed(0)
    clip = build_clip("vit")
    texts = ["a cat, noto style", "x", "dog", " ".join(["grinning"] * 40), "a very long walk in the park, noto style"]
    tokens = caption_tokenizer()([*texts, "!, emoji", "a cat, noto style"])
    assert tokens[3].min() > 0, "one fills the context"

    def there_and_back() -> list[torch.Tensor]:
        clip.zero_grad()
        found = [clip.encode_text(tokens, normalize=normalize) for normalize in (True, False)]
        (found[0] * torch.arange(7.0)[:, None]).sum().backward()
        gradients = {name: weight.grad for name, weight in clip.named_parameters()}
        return [value.detach().clone() for value in (*found, *(value for value in gradients.values() if value is not None))]

    before, known = there_and_back(), set(clip.state_dict())
    short_texts.read_short(clip)
    read: list[tuple[int, ...]] = []
    clip.ln_final.register_forward_hook(lambda _module, _inputs, found: read.append(tuple(found.shape[:2])))
    after = there_and_back()
    assert len(after) == len(before) > 40 and set(clip.state_dict()) == known
    for one, other in zip(before, after, strict=True):
        assert (one - other).abs().max() <= 1e-5 * one.abs().max()
    assert sum(rows for rows, _ in read) == 2 * len(tokens), "each once"
    assert sum(rows * length for rows, length in read) < 0.6 * 2 * tokens.numel()
    torch.testing.assert_close(after[0][0], after[0][-1])
    assert clip.encode_text(tokens[:2]).shape == (2, 128), "fewer than groups"
