"""What the worker answers to draw with: pictures of files and sets, corrupted ones, and stimuli."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from workbench.images.drawn_stimulus import Stimulus
from workbench.input_error import InputError
from workbench.jobs.engine import Engine
from workbench.jobs.picture_requests import LONGEST, CorruptPicture, DescribeStimuli, InkOf, PictureOfSet, ReadPicture
from workbench.jobs.store import Store
from workbench.task import Task

SIDE = 12
RED = np.full((SIDE, SIDE, 3), (255, 0, 0), np.uint8)
BLACK = np.zeros((SIDE, SIDE, 3), np.uint8)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(Store(tmp_path))


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def test_a_huge_image_is_reduced_and_says_so():
    found = ReadPicture("big.jpg", encoded(Image.new("RGB", (4096, 4096), "red"), "JPEG")).run(None, Task())  # type: ignore[arg-type]
    assert found.pixels.shape == (LONGEST, LONGEST, 3) and found.was == (4096, 4096) and found.reduced and not found.transparent
    small = ReadPicture("small.png", encoded(Image.new("RGB", (40, 30)))).run(None, Task())  # type: ignore[arg-type]
    assert small.was == (40, 30) and not small.reduced


def test_what_is_transparent_stays_so_and_an_opaque_picture_is_not():
    clear = Image.new("RGBA", (8, 8), (255, 0, 0, 255))
    clear.paste((0, 0, 0, 0), (4, 0, 8, 8))
    found = ReadPicture("logo.png", encoded(clear)).run(None, Task())  # type: ignore[arg-type]
    assert found.transparent and found.pixels[0, 0].tolist() == [255, 0, 0, 255] and found.pixels[0, 7, 3] == 0
    opaque = np.full((6, 5, 4), 255, np.uint8)
    assert ReadPicture("pasted", opaque).run(None, Task()).pixels.shape == (6, 5, 3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"^notes.txt is not an image"):
        ReadPicture("notes.txt", b"some words").run(None, Task())  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> str:
    for number, colour in enumerate(("red", "green", "blue")):
        (tmp_path / "set" / colour).mkdir(parents=True)
        Image.new("RGB", (20, 20), colour).save(tmp_path / "set" / colour / f"{number}.png")
    return f"folder:{tmp_path / 'set'}"


def test_an_image_of_the_set_by_number_and_at_random(engine: Engine, folder: str):
    found = PictureOfSet(folder, (SIDE, SIDE), 1).run(engine, Task())
    assert found.pixels.shape == (SIDE, SIDE, 3) and found.name == engine.images(folder).ids[1]
    assert {PictureOfSet(folder, (SIDE, SIDE), -1, seed).run(engine, Task()).name for seed in range(30)} == set(engine.images(folder).ids)
    with pytest.raises(InputError, match="images 0 to 2, not 7"):
        PictureOfSet(folder, (SIDE, SIDE), 7).run(engine, Task())


def test_a_swap_takes_an_image_of_another_concept(engine: Engine, folder: str):
    own = engine.images(folder).ids[0]
    for seed in range(10):
        found = CorruptPicture(RED, "swap", 1.0, folder, own, seed).run(engine, Task())
        assert own not in found.name and found.name.startswith("swap with ")
    middle = CorruptPicture(BLACK, "patch swap", 1.0, folder, own).run(engine, Task()).pixels
    assert not middle[0, 0].any() and middle[SIDE // 2, SIDE // 2].any()
    with pytest.raises(InputError, match="open images first"):
        CorruptPicture(RED, "swap").run(engine, Task())
    assert CorruptPicture(RED, "hue").run(engine, Task()).pixels[0, 0].argmax() == 1


def test_stimuli_are_described_without_their_ground_and_drawn(engine: Engine):
    found = DescribeStimuli().run(engine, Task())
    assert [part.name for part in found["curves"]][:3] == ["orientation", "radius", "length"]
    assert not any(part.name.startswith("ground") for parts in found.values() for part in parts)
    coverage, ink = InkOf(Stimulus("colours"), (SIDE, SIDE)).run(engine, Task())
    assert coverage.shape == (SIDE, SIDE) and (coverage == 1).all() and ink.shape == (3,)
