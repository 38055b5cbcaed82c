"""What every image set promises: references, order, batches, broken images, threads and memory."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from workbench.images.array_set import ArraySet
from workbench.images.image_set import (
    PIECE,
    ImageSet,
    ImageSetError,
    Pixels,
    Size,
    UnreadableImageError,
    list_image_sets,
    load_images,
)
from workbench.images.read_ahead import read_ahead


class Numbered(ImageSet):
    """Image i is filled with i % 256; every image in `broken` cannot be read; later images are ready sooner."""

    content_hash = "numbered"

    def __init__(self, count: int, broken: tuple[int, ...] = ()) -> None:
        super().__init__("test:", "numbered", [f"number {i}" for i in range(count)], {})
        self.broken = broken
        self.read: list[int] = []

    def _read(self, index: int, size: Size | None) -> Pixels:
        self.read.append(index)
        time.sleep(0.0002 * (index % 3 == 0))
        if index in self.broken:
            raise UnreadableImageError("is broken")
        return np.full((*(size or (5, 7)), 3), index % 256, np.uint8)


def reading_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


@pytest.mark.parametrize("batch", [1, PIECE - 1, PIECE, 3 * PIECE + 5, 1000])
def test_every_image_comes_once_in_order(batch: int) -> None:
    images = Numbered(107)
    batches = list(images.batches((4, 6), batch))
    assert [len(part.indices) for part in batches] == [len(range(i, min(i + batch, 107))) for i in range(0, 107, batch)]
    indices = np.concatenate([part.indices for part in batches])
    assert indices.dtype == np.int64
    assert indices.tolist() == list(range(107))
    for part in batches:
        assert part.images.shape == (len(part.indices), 4, 6, 3)
        assert (part.images == (part.indices % 256)[:, None, None, None]).all()
    assert not reading_threads()


def test_indices_are_read_in_the_order_given_also_twice() -> None:
    order = [30, 2, 2, 99, 0]
    parts = list(Numbered(100).batches((2, 2), 2, order))
    assert np.concatenate([part.indices for part in parts]).tolist() == order
    assert np.concatenate([part.images[:, 0, 0, 0] for part in parts]).tolist() == order
    assert list(Numbered(100).batches((2, 2), 2, [])) == []


def test_a_set_can_be_read_by_two_readers_at_once() -> None:
    images = Numbered(60)
    pairs = zip(images.batches((2, 2), 10), images.batches((2, 2), 10, range(59, -1, -1)), strict=True)
    assert [(int(a.indices[0]), int(b.indices[0])) for a, b in pairs] == [(i, 59 - i) for i in range(0, 60, 10)]


def test_what_is_asked_wrongly_is_said_before_the_first_batch() -> None:
    images = Numbered(10)
    with pytest.raises(IndexError, match="image 10 asked of numbered, which has images 0 to 9"):
        images.batches((4, 4), 2, [3, 10])
    with pytest.raises(IndexError, match="image -1"):
        images.batches((4, 4), 2, [-1])
    with pytest.raises(ValueError, match="batch of 0"):
        images.batches((4, 4), 0)
    with pytest.raises(ValueError, match="0 x 4"):
        images.batches((0, 4), 2)


def test_broken_images_are_left_out_and_reported_once_by_name() -> None:
    images = Numbered(50, broken=(0, 7, 8, 9, 49))
    for _ in range(2):
        parts = list(images.batches((2, 2), 3))
        assert np.concatenate([part.indices for part in parts]).tolist() == [
            i for i in range(50) if i not in images.broken
        ]
        assert all((part.images[:, 0, 0, 0] == part.indices).all() for part in parts)
        assert all(len(part.indices) for part in parts)
    assert [(image.id, image.reason) for image in images.skipped] == [
        (f"number {i}", "is broken") for i in images.broken
    ]


def test_a_single_broken_image_is_an_error_with_its_name() -> None:
    images = Numbered(5, broken=(3,))
    assert images.image(-1).shape == (5, 7, 3)
    with pytest.raises(UnreadableImageError, match=r"^number 3: is broken$"):
        images.image(3)
    assert [image.id for image in images.skipped] == ["number 3"]
    with pytest.raises(IndexError):
        images.image(5)


def test_reading_ahead_is_bounded_and_leaves_no_thread_when_closed() -> None:
    images = Numbered(5000)
    batches = images.batches((100, 100), 32)
    assert not images.read  # nothing starts before it is asked for
    next(batches)
    time.sleep(0.1)
    assert len(images.read) <= 32 + 2 * 32 + PIECE
    assert reading_threads()
    batches.close()  # type: ignore[attr-defined]
    assert not reading_threads()


def test_large_images_are_held_in_smaller_number() -> None:
    images = Numbered(400)
    batches = images.batches((600, 600), 128)
    next(batches)
    time.sleep(0.1)
    assert len(images.read) <= 128 + 5 * PIECE
    del batches
    assert not reading_threads()


def test_an_error_in_a_thread_reaches_the_reader() -> None:
    def halve(number: int) -> int:
        if number == 5:
            raise RuntimeError("five")
        return number // 2

    results = read_ahead(halve, range(100), 4)
    assert [next(results) for _ in range(5)] == [0, 0, 1, 1, 2]
    with pytest.raises(RuntimeError, match="five"):
        next(results)
    assert not reading_threads()


def test_the_list_of_image_sets_has_a_wildcard() -> None:
    known = list_image_sets()
    assert {"emoji", "photos", "folder:PATH", "stimuli:curves", "files:PATH;PATH"} <= set(known)
    assert {"torchvision:CIFAR10?root=PATH&download=true", "torchvision:ImageNet?root=PATH"} <= set(known)
    assert list_image_sets("stimuli:*") == [ref for ref in known if ref.startswith("stimuli:")]
    for ref in known:
        if "PATH" not in ref:
            assert len(load_images(ref)) > 10, ref


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("emojis", "did you mean emoji?"),
        ("xyz:abc", "there are emoji, files, folder"),
        ("emoji?sytles=noto", "emoji has no option 'sytles'; did you mean styles?"),
        ("emoji?styles=notto", "did you mean noto?"),
        ("emoji?background=gray", "did you mean grey?"),
        ("emoji?seed=-1", "seed=-1"),
        ("emoji?seed", "has no value"),
        ("emoji:noto", "emoji?styles=noto"),
        ("stimuli:curve", "did you mean curves?"),
        ("stimuli:curves?orientation=abc", "orientation=abc"),
        ("stimuli:lines?radii=4", "lines have no parameter 'radii'"),
        ("stimuli:lines?width=7", "width 7 is outside 0.001 to 1 of the side"),
        ("stimuli:colours?ink_chroma=0.3", "chroma 0.209 is the most there"),
        ("torchvision:CIFAR", "did you mean CIFAR10"),
        ("torchvision:CIFAR10?split=val", "write train or test"),
        ("folder:/no/such/place", "there is no folder /no/such/place"),
        ("files:/no/such.png", "there is no file /no/such.png"),
        ("files:", "no file was named"),
    ],
)
def test_a_wrong_reference_is_one_line_that_says_what_to_do(ref: str, message: str) -> None:
    with pytest.raises(ImageSetError) as error:
        load_images(ref)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_bare_path_is_told_its_reference(tmp_path) -> None:
    with pytest.raises(ImageSetError, match=f"write folder:{tmp_path}"):
        load_images(str(tmp_path))


def test_arrays_of_every_common_shape_are_images() -> None:
    random = np.random.default_rng(0)
    rgb = random.integers(0, 256, (6, 8, 3), np.uint8)
    assert (ArraySet(rgb).image(0) == rgb).all()
    assert (ArraySet(rgb[..., 0]).image(0) == rgb[..., :1]).all()
    assert (ArraySet(rgb[None].repeat(4, 0), ids=list("abcd")).image(3) == rgb).all()
    assert (ArraySet(rgb / 255).image(0) == rgb).all()
    clear = np.zeros((6, 8, 4), np.uint8)
    assert (ArraySet(clear).image(0) == 255).all()
    assert ArraySet(rgb).image(0, (3, 9)).shape == (3, 9, 3)
    assert ArraySet(rgb).content_hash != ArraySet(rgb[::-1]).content_hash
    for wrong in (
        np.zeros((2, 3, 5), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.full((4, 4), 2.0),
        np.full((4, 4), np.nan),
    ):
        with pytest.raises(ImageSetError):
            ArraySet(wrong)
    with pytest.raises(ImageSetError, match="int64"):
        ArraySet(np.zeros((4, 4), np.int64))
