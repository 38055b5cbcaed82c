"""The networks in the box: each does what its card says, and what is shipped of its first look is what one would compute."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from workbench.jobs import first_look
from workbench.jobs.engine import Engine
from workbench.jobs.requests import describe
from workbench.models.card import FOLDER, Card, cards
from workbench.models.device import processor_threads
from workbench.models.older_recipes import as_trained
from workbench.models.sources.published import published
from workbench.task import Task
from workbench.training.judge import JUDGES
from workbench.training.publish import evaluate
from workbench.training.recipe import recipe
from workbench.training.trainer import read_tensors

ROOT = Path(__file__).parents[2]
SHIPPED = sorted(path.stem for path in first_look.FOLDER.glob("*.zip"))
ROOM, LOOKS = 60e6, 10e6
"""Bytes that all networks and the image set may take, and what is seen first of the networks."""


def test_all_cards_are_of_networks_that_can_be_opened() -> None:
    assert set(published()) == set(cards()) != set()


def test_make_models_trains_every_network_as_its_card_says() -> None:
    made = re.search(r"^NETWORKS \?= (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert made is not None
    order = made[1].split()
    assert sorted(order) == sorted(cards()) and max(map(order.index, JUDGES.values())) < order.index("diffusion")
    for card in cards().values():
        assert recipe(card.name) == recipe(card.recipe, as_trained(card.recipe, card.parameters)), card.name


def test_networks_and_images_are_small() -> None:
    kept = [path for path in FOLDER.parent.rglob("*") if path.is_file()]
    looks = sum(path.stat().st_size for path in kept if path.parent == first_look.FOLDER)
    assert looks <= LOOKS and sum(path.stat().st_size for path in kept) - looks <= ROOM


@pytest.mark.parametrize("card", cards().values(), ids=lambda card: card.name)
def test_a_network_does_what_its_card_says(card: Card) -> None:
    card.check()
    course = recipe(card.recipe, card.parameters).prepare(torch.device("cpu"), Task())
    assert dict(course.data) == dict(card.data) and course.labels == card.labels
    measured = evaluate(course, read_tensors(card.weights)[0], Task())
    assert measured == pytest.approx(dict(card.figures), rel=0.01, abs=0.005)


def test_every_network_that_sees_has_a_first_look() -> None:
    seeing = {name for name, card in published().items() if card.recipe != "CaptionModel" and not name.startswith("judge")}
    assert set(SHIPPED) == seeing


@pytest.mark.parametrize("name", SHIPPED)
def test_a_sample_of_the_first_look_is_what_one_computes(name: str) -> None:
    look = first_look.first_looks()[f"bundled:{name}"]
    model = Engine().model(look.ref)
    assert look.card() == describe(model)
    layers = first_look.shown_layers(model)
    assert [(known["names"][0], known["made"]) for known in look.index["layers"]] == [
        (layer.name, first_look.key_of(model, layer.name)) for layer in layers
    ]
    for layer in (layers[0], layers[len(layers) // 2]):
        shipped = look.thumbnails(layer.name)
        assert shipped is not None and len(shipped) == layer.units
        units = (0, layer.units // 2)
        with processor_threads(2):  # as they were made: with one, sums round otherwise, and a unit's image may become another
            fresh = first_look.small(first_look.rendered(model, layer.name, units))
        for unit, image in zip(units, fresh, strict=True):
            likeness = np.corrcoef(shipped[unit].ravel(), image.ravel())[0, 1]
            chance = np.corrcoef(shipped[unit - 1].ravel(), image.ravel())[0, 1]
            assert likeness > 0.8 and chance < 0.8
