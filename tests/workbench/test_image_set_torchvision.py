"""Torchvision's data sets: opened where they lie, downloaded from a server of our own, refused with one clear line."""

from __future__ import annotations

import gzip
import hashlib
import inspect
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision
from PIL import Image

from workbench.images.image_set import ImageSetError, UnreadableImageError, list_image_sets, load_images
from workbench.images.torchvision_set import NAMES
from workbench.task import Cancelled, Task

PARTS = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def digits(count: int) -> tuple[bytes, bytes]:
    """Return images and labels in MNIST's format; the grey of an image is 20 times its label."""
    labels = (np.arange(count) % 10).astype(np.uint8)
    pixels = np.broadcast_to((labels * 20)[:, None, None], (count, 28, 28))
    sizes = b"".join(number.to_bytes(4, "big") for number in (count, 28, 28))
    return b"\0\0\x08\x03" + sizes + pixels.tobytes(), b"\0\0\x08\x01" + count.to_bytes(4, "big") + labels.tobytes()


def write_mnist(folder: Path, compressed: bool) -> None:
    folder.mkdir(parents=True)
    for name, content in zip(PARTS, (*digits(300), *digits(40)), strict=True):
        (folder / (name + ".gz" * compressed)).write_bytes(gzip.compress(content, mtime=0) if compressed else content)


def test_every_named_data_set_exists() -> None:
    for name in NAMES:
        assert hasattr(torchvision.datasets, name), name


def test_mnist_by_root(tmp_path: Path) -> None:
    write_mnist(tmp_path / "MNIST/raw", compressed=False)
    train, test = (load_images(f"torchvision:MNIST?root={tmp_path}&split={split}") for split in ("train", "test"))
    assert (len(train), len(test)) == (300, 40)
    assert test.columns["label"][:2] == ["0 - zero", "1 - one"]
    assert test.image(3).shape == (28, 28, 3)
    (batch,) = test.batches((32, 32), 64)
    assert (batch.images[:, 5, 5, 1] == batch.indices % 10 * 20).all()
    assert train.content_hash != test.content_hash


def test_without_a_root_they_lie_where_all_data_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path))
    with pytest.raises(ImageSetError, match="datasets"):
        load_images("torchvision:MNIST")
    write_mnist(tmp_path / "datasets/MNIST/raw", compressed=False)
    assert len(load_images("torchvision:MNIST")) == 300


def test_a_folder_data_set_with_a_broken_image(tmp_path: Path) -> None:
    folder = tmp_path / "eurosat/2750"
    for name in ("Forest", "River"):
        (folder / name).mkdir(parents=True)
        Image.new("RGB", (64, 64), "green").save(folder / name / f"{name}_1.jpg")
    (folder / "River/River_2.jpg").write_bytes(b"")
    images = load_images(f"torchvision:EuroSAT?root={tmp_path}")
    assert images.columns["label"] == ["Forest", "River", "River"]
    (batch,) = images.batches((64, 64), 8)
    assert batch.indices.tolist() == [0, 1]
    assert [image.id for image in images.skipped] == ["2"]
    with pytest.raises(UnreadableImageError, match=r"^2: cannot be read"):
        images.image(2)


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("CIFAR10", "add download=true to fetch it"),
        ("STL10?split=nonsense", "nonsense"),
        ("ImageNet?download=true", "has no public download"),
        ("ImageNet", "cannot be opened from"),
        ("Caltech101?split=test", "leave it out"),
        ("MNIST?download=yes", "neither true nor false"),
    ],
)
def test_what_is_not_there_is_one_clear_line(ref: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ImageSetError) as error:
        load_images(f"torchvision:{ref}{'&' if '?' in ref else '?'}root={tmp_path}")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_the_list_offers_to_download_what_can_be_downloaded() -> None:
    for ref in list_image_sets("torchvision:*"):
        kind = getattr(torchvision.datasets, ref.removeprefix("torchvision:").partition("?")[0])
        assert ref.endswith("?root=PATH&download=true") == ("download" in inspect.signature(kind.__init__).parameters)
        with pytest.raises(ImageSetError, match="in place of PATH"):  # and never into a folder of that name
            load_images(ref)


class Watching(Task):
    """Notes every step, and cancels after some bytes."""

    def __init__(self, most: float = float("inf")) -> None:
        self.steps: list[tuple[float, float, str]] = []
        self.most = most

    def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
        self.steps.append((done, total, note))
        if done > self.most:
            raise Cancelled


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    write_mnist(tmp_path / "served", compressed=True)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "served"))) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        mnist = torchvision.datasets.MNIST
        files = sorted((tmp_path / "served").iterdir())
        monkeypatch.setattr(mnist, "mirrors", [f"http://127.0.0.1:{http.server_port}/"])
        monkeypatch.setattr(mnist, "resources", [(f.name, hashlib.md5(f.read_bytes()).hexdigest()) for f in files])
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield
        http.shutdown()
        thread.join()


@pytest.mark.usefixtures("server")
def test_a_download_reports_its_progress(tmp_path: Path) -> None:
    task = Watching()
    images = load_images(f"torchvision:MNIST?root={tmp_path}/new&download=true", task)
    assert len(images) == 300
    assert any(note == f"downloading MNIST: {PARTS[0]}.gz" and 0 < done == total for done, total, note in task.steps)


@pytest.mark.usefixtures("server")
def test_a_download_can_be_cancelled_and_taken_up_again(tmp_path: Path) -> None:
    ref = f"torchvision:MNIST?root={tmp_path}/new&download=true"
    with pytest.raises(Cancelled):
        load_images(ref, Watching(most=1))
    assert len(load_images(ref)) == 300


def test_offline_says_what_was_wanted_and_where_it_may_be_put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(
        ImageSetError, match=rf"CIFAR10 could not be downloaded from http.*cifar-10.*put its files into {tmp_path}"
    ):
        load_images(f"torchvision:CIFAR10?root={tmp_path}&download=true")
