"""Checkpoints of a network's first layers: kept apart, opened by step and seed, refused when they are not there."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.workbench.shelf import shelf_in
from workbench.models import card
from workbench.models.inception import EARLY
from workbench.models.loading import LoadError, load
from workbench.models.sources import (
    published,  # noqa: F401 - before the folder of cards is another one
    tracing,
)
from workbench.task import Cancelled
from workbench.training import publish, trainer
from workbench.training.recipe import recipe


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    shelf = tmp_path_factory.mktemp("early")
    settings = {"steps": 3, "batch": 4}
    with shelf_in(shelf, {"test_top1": 0.5}) as kept:
        publish.publish_early(kept.put("inception", recipe("inception", settings)), "inception", shelf)
        further = shelf / "runs" / "further"
        with pytest.raises(Cancelled):
            trainer.train(recipe("inception", {**settings, "seed": 1}), further, publish.Until(2), device="cpu", precision="fp32")
        assert not (further / "checkpoints" / "00000003.safetensors").exists()
        publish.publish_early(further, "inception", shelf)
        card.cards.cache_clear()
        yield shelf


def test_the_last_step_is_the_published_network_and_seeds_differ(shelf: Path) -> None:
    kept = card.cards()["inception"].early
    assert {seed: early.steps for seed, early in kept.items()} == {"0": (0, 1, 2, 3), "1": (0, 1, 2)}
    assert [line["step"] for line in kept["0"].logged] == [3] and kept["0"].logged[0]["loss"] > 0 and kept["1"].logged == ()
    images = torch.rand(2, 3, 64, 64)
    whole = load("bundled:inception").activations(images, list(EARLY))
    last = load("bundled:inception?step=3")
    assert set(EARLY) <= set(last.layers) and last.parameter_count < 60_000
    early = last.activations(images, list(EARLY))
    assert all(torch.equal(early[name], whole[name]) for name in EARLY) and torch.equal(last(images), whole["mixed3a"])
    first, other = load("bundled:inception?step=0"), load("bundled:inception?seed=1&step=0")
    assert len({first.weight_hash, last.weight_hash, other.weight_hash}) == 3 and other.name == "inception, seed 1, 0 updates"


def test_a_checkpoint_beside_an_open_one_is_not_captured_again_and_is_the_same(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.rand(2, 3, 64, 64)
    tracing._TRAININGS.clear()
    alone = load("bundled:inception?step=3")
    tracing._TRAININGS.clear()
    beside = load("bundled:inception?step=0")
    monkeypatch.setattr(tracing, "_captured", None)  # nothing is captured from here on
    swapped = load("bundled:inception?step=3")
    assert (swapped.ref, swapped.name, swapped.weight_hash) == (alone.ref, alone.name, alone.weight_hash)
    assert torch.equal(swapped(images), alone(images)) and not torch.equal(beside(images), alone(images))
    assert torch.equal(swapped.twin(1)(images), alone.twin(1)(images)), "also what is drawn from its weights is the same"
    monkeypatch.undo()
    del beside, swapped
    gc.collect()
    assert {model for models in tracing._TRAININGS.values() for model in models} <= {alone}, "what nobody holds is let go"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("step=7", "no checkpoint of inception after 7 updates; the nearest is step=3"),
        ("step=1&seed=5", "no checkpoints of inception with seed 5; there are seeds 0, 1"),
        ("seed=1", "give a step as well"),
    ],
)
def test_what_is_not_there_is_said(shelf: Path, options: str, said: str) -> None:
    with pytest.raises(LoadError, match=said):
        load(f"bundled:inception?{options}")


def test_a_damaged_file_is_refused(shelf: Path) -> None:
    path = shelf / "inception.seed1.early.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(LoadError, match=r"inception\.seed1\.early\.safetensors is damaged or was changed"):
        load("bundled:inception?seed=1&step=0")
