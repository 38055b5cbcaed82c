"""Folders and files: every kind of image, every kind of broken file, and no more memory for more images."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from workbench.images.image_file import read_image
from workbench.images.image_set import ImageSetError, UnreadableImageError, load_images
from workbench.task import Cancelled, Task


@pytest.fixture
def scene() -> Image.Image:
    """Return a smooth picture, 60 wide and 40 high, red to the right, green downwards."""
    x, y = np.meshgrid(np.linspace(0, 255, 60), np.linspace(0, 255, 40))
    return Image.fromarray(np.stack([x, y, np.full_like(x, 80)], -1).astype(np.uint8))


def png_header(width: int, height: int) -> bytes:
    """Return a valid PNG that announces a size and has next to no data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def test_sub_folders_are_labels_and_the_order_is_that_of_names(tmp_path: Path, scene: Image.Image) -> None:
    for name in ("b/2.png", "b/10.jpg", "a/x.PNG", "a/deep/y.webp", "top.bmp"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        scene.save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not an image, and not called one")
    (tmp_path / ".hidden.png").write_bytes(b"")
    images = load_images(f"folder:{tmp_path}")
    assert list(images.ids) == ["a/deep/y.webp", "a/x.PNG", "b/10.jpg", "b/2.png", "top.bmp"]
    assert list(images.columns["label"]) == ["a/deep", "a", "b", "b", ""]
    assert images.name == tmp_path.name
    (batch,) = images.batches((40, 60), 8)
    assert len(batch.indices) == 5
    for image in batch.images:
        assert np.abs(image.astype(int) - np.asarray(scene).astype(int)).mean() < 6
    assert images.skipped == []


def test_folders_that_are_parts_of_a_data_set_are_no_labels(tmp_path: Path, scene: Image.Image) -> None:
    def opened(*names: str) -> dict[str, list[str]]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            scene.save(folder / name)
        images = load_images(f"folder:{folder}")
        assert list(images.ids) == sorted(names), "each is called as ever"
        return {name: list(column) for name, column in images.columns.items()}

    parted = opened("train/cat/1.png", "train/dog/big/1.png", "val/cat/1.png")
    assert parted == {"label": ["cat", "dog/big", "cat"], "split": ["train", "train", "val"]}
    assert opened("test/n02123045/1.png", "train/n02123045/1.png", "validation/n02123045/1.png") == {
        "label": ["n02123045"] * 3,
        "split": ["test", "train", "validation"],
        "synset": ["n02123045"] * 3,
        "class": ["tabby"] * 3,
    }
    assert opened("test/1.png", "train/cat/1.png") == {"label": ["test", "train/cat"]}, "the labels of one part are not known"
    assert opened("train/cat/1.png", "train/dog/1.png") == {"label": ["train/cat", "train/dog"]}
    assert opened("train/cat/1.png", "val/cat/1.png", "zebra/1.png") == {"label": ["train/cat", "val/cat", "zebra"]}
    assert opened("1.png", "train/cat/1.png", "val/cat/1.png") == {"label": ["", "train/cat", "val/cat"]}


def test_a_flat_folder_has_no_label(tmp_path: Path, scene: Image.Image) -> None:
    scene.save(tmp_path / "one.png")
    assert dict(load_images(f"folder:{tmp_path}").columns) == {}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_broken_files_are_skipped_by_name_and_nothing_else_is_lost(tmp_path: Path, scene: Image.Image) -> None:
    scene.save(tmp_path / "a good.png")
    (tmp_path / "b empty.png").write_bytes(b"")
    (tmp_path / "c text.png").write_text("hello, this is text")
    scene.resize((600, 400)).save(tmp_path / "d whole.jpg")
    (tmp_path / "d cut.jpg").write_bytes((tmp_path / "d whole.jpg").read_bytes()[:4000])
    (tmp_path / "e huge.png").write_bytes(png_header(30_000, 30_000))
    (tmp_path / "f large.png").write_bytes(png_header(10_000, 10_000))
    (tmp_path / "g no data.png").write_bytes(png_header(100, 100))
    Image.fromarray(np.full((4, 4), 7e3, np.float32)).save(tmp_path / "h float.tif")
    scene.save(tmp_path / "z good.png")
    images = load_images(f"folder:{tmp_path}")
    (batch,) = images.batches((32, 32), 16)
    assert [images.ids[i] for i in batch.indices] == ["a good.png", "d whole.jpg", "z good.png"]
    reasons = {image.id: image.reason for image in images.skipped}
    assert list(reasons) == [name for name in images.ids if "good" not in name and "whole" not in name]
    assert reasons["b empty.png"] == "is empty (0 bytes)"
    assert "it begins with b'hello, this is t'" in reasons["c text.png"]
    assert "truncated" in reasons["d cut.jpg"]
    assert "89 million pixels" in reasons["e huge.png"]
    assert reasons["f large.png"] == reasons["e huge.png"]
    assert "is damaged" in reasons["g no data.png"]
    assert "7000" in reasons["h float.tif"]
    assert not any("\n" in reason for reason in reasons.values())
    with pytest.raises(UnreadableImageError, match=r"^e huge.png: has more than 89 million pixels"):
        images.image(list(images.ids).index("e huge.png"))


def test_large_pictures_that_fit_are_read(tmp_path: Path) -> None:
    """A JPEG and a PNG of 20 million pixels, by two threads that take turns."""
    picture = np.zeros((4000, 5000), np.uint8)
    picture[:, 2500:] = 200
    Image.fromarray(picture).save(tmp_path / "a.jpg")
    Image.fromarray(picture).save(tmp_path / "b.png", compress_level=1)
    (batch,) = load_images(f"folder:{tmp_path}").batches((32, 40), 1 << 5)
    assert batch.indices.tolist() == [0, 1]
    assert (batch.images[:, :, 4] == 0).all()
    assert (batch.images[:, :, 36] == 200).all()


def test_a_huge_picture_is_refused_by_its_header(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    path.write_bytes(png_header(30_000, 30_000))
    tracemalloc.start()
    try:
        with pytest.raises(UnreadableImageError):
            read_image(path)
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()


def test_a_file_that_went_away_is_skipped(tmp_path: Path, scene: Image.Image) -> None:
    scene.save(tmp_path / "a.png")
    scene.save(tmp_path / "b.png")
    images = load_images(f"folder:{tmp_path}")
    (tmp_path / "a.png").unlink()
    (batch,) = images.batches((8, 8), 4)
    assert batch.indices.tolist() == [1]
    assert images.skipped[0].reason == "is not there any more"


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, silenced in use; pytest resets filters
def test_damage_of_every_sort_is_reported_never_raised(tmp_path: Path, scene: Image.Image) -> None:
    random = np.random.default_rng(0)
    count = 0
    for ending in ("png", "jpg", "gif", "webp", "bmp", "tif", "ppm"):
        scene.save(tmp_path / f"whole.{ending}")
        content = np.frombuffer((tmp_path / f"whole.{ending}").read_bytes(), np.uint8)
        for number in range(25):
            damaged = content.copy()
            damaged[random.integers(0, min(len(content), 400), 6)] = random.integers(0, 256, 6)
            cut = damaged[: random.integers(1, len(content))] if number % 2 else damaged
            (tmp_path / f"{number} damaged.{ending}").write_bytes(cut.tobytes())
            count += 1
    images = load_images(f"folder:{tmp_path}")
    read = sum(len(batch.indices) for batch in images.batches((16, 16), 32))
    assert read + len(images.skipped) == count + 7
    assert len(images.skipped) > 50
    assert not any("\n" in image.reason for image in images.skipped)


def test_pictures_are_upright_and_in_colour_whatever_their_mode(tmp_path: Path, scene: Image.Image) -> None:
    wanted = np.asarray(scene).astype(int)

    def far(path: Path, wanted: np.ndarray = wanted) -> float:
        return float(np.abs(read_image(path).astype(int) - wanted).mean())

    for orientation, turn in (
        (1, None),
        (3, Image.Transpose.ROTATE_180),
        (6, Image.Transpose.ROTATE_90),
        (8, Image.Transpose.ROTATE_270),
    ):
        exif = Image.Exif()
        exif[0x0112] = orientation
        lying = scene if turn is None else scene.transpose(turn)
        lying.save(tmp_path / "photo.jpg", exif=exif, quality=98, subsampling=0)
        assert far(tmp_path / "photo.jpg") < 2, orientation
    scene.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=98)
    assert far(tmp_path / "cmyk.jpg") < 4
    scene.quantize(256).save(tmp_path / "palette.png")
    assert far(tmp_path / "palette.png") < 8
    scene.convert("YCbCr").save(tmp_path / "ycbcr.tif")
    assert far(tmp_path / "ycbcr.tif") < 3

    grey = np.asarray(scene.convert("L"))
    of_grey = grey[..., None].astype(int)
    scene.convert("L").save(tmp_path / "grey.png")
    assert far(tmp_path / "grey.png", of_grey) == 0
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "16.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "16.tif")
    Image.fromarray((grey / 255).astype(np.float32)).save(tmp_path / "float.tif")
    assert (
        far(tmp_path / "16.png", of_grey)
        == far(tmp_path / "16.tif", of_grey)
        == far(tmp_path / "float.tif", of_grey)
        == 0
    )
    Image.fromarray(grey > 100).save(tmp_path / "bits.png")
    assert far(tmp_path / "bits.png", (grey > 100)[..., None] * 255) == 0


def test_what_is_transparent_shows_white(tmp_path: Path, scene: Image.Image) -> None:
    half = scene.convert("RGBA")
    half.putalpha(128)
    half.save(tmp_path / "half.png")
    expected = np.asarray(scene) * (128 / 255) + 255 * (127 / 255)
    assert np.abs(read_image(tmp_path / "half.png") - expected).max() <= 1.5
    grey = scene.convert("LA")
    grey.putalpha(0)
    grey.save(tmp_path / "grey.png")
    assert (read_image(tmp_path / "grey.png") == 255).all()
    palette = scene.quantize(8)
    palette.info["transparency"] = palette.getpixel((0, 0))
    palette.save(tmp_path / "palette.png")
    image = read_image(tmp_path / "palette.png")
    assert (image[0, 0] == 255).all()
    assert not (image[-1, -1] == 255).all()
    scene.convert("RGB").save(tmp_path / "key.png", transparency=(0, 0, 80))
    assert (read_image(tmp_path / "key.png")[0, 0] == 255).all()


def test_the_shorter_side_fits_and_the_middle_stays(tmp_path: Path) -> None:
    picture = np.zeros((100, 300, 3), np.uint8)
    picture[:, 100:200] = (200, 30, 60)
    for ending in ("png", "jpg"):
        Image.fromarray(picture).resize((1200, 400), Image.Resampling.NEAREST).save(
            tmp_path / f"wide.{ending}", quality=98
        )
        middle = read_image(tmp_path / f"wide.{ending}", (50, 50))
        assert middle.shape == (50, 50, 3)
        assert np.abs(middle[:, 2:-2].astype(int) - (200, 30, 60)).max() < 6
        whole = read_image(tmp_path / f"wide.{ending}", (50, 150))
        assert np.abs(whole[:, :48].astype(int)).max() < 6
        assert read_image(tmp_path / f"wide.{ending}", (90, 40)).shape == (90, 40, 3)
        assert read_image(tmp_path / f"wide.{ending}", (640, 512)).shape == (640, 512, 3)


def test_shrinking_is_anti_aliased(tmp_path: Path) -> None:
    stripes = (np.arange(512) % 2 * 255).astype(np.uint8)
    Image.fromarray(np.broadcast_to(stripes, (512, 512)).copy()).save(tmp_path / "stripes.png")
    Image.open(tmp_path / "stripes.png").save(tmp_path / "stripes.jpg", quality=100)
    for ending in ("png", "jpg"):
        assert np.abs(read_image(tmp_path / f"stripes.{ending}", (100, 100)).astype(int) - 127)[5:-5, 5:-5].max() <= 4


def test_the_hash_follows_the_files(tmp_path: Path, scene: Image.Image) -> None:
    (tmp_path / "a").mkdir()
    for name in ("a/1.png", "2.png"):
        scene.save(tmp_path / name)
    ref = f"folder:{tmp_path}"
    seen = [load_images(ref).content_hash]
    assert load_images(ref).content_hash == seen[0]
    (tmp_path / "notes.txt").write_text("no image")
    assert load_images(ref).content_hash == seen[0]
    (tmp_path / "2.png").rename(tmp_path / "3.png")
    seen.append(load_images(ref).content_hash)
    os.utime(tmp_path / "3.png", ns=(1, 1))
    seen.append(load_images(ref).content_hash)
    scene.save(tmp_path / "4.png")
    seen.append(load_images(ref).content_hash)
    assert len(set(seen)) == 4


def test_links_in_a_circle_end(tmp_path: Path, scene: Image.Image) -> None:
    (tmp_path / "a").mkdir()
    scene.save(tmp_path / "a/1.png")
    (tmp_path / "a/again").symlink_to(tmp_path)
    (tmp_path / "a/nowhere.png").symlink_to(tmp_path / "none.png")
    assert list(load_images(f"folder:{tmp_path}").ids) == ["a/1.png"]


def test_a_folder_without_images_says_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ImageSetError, match=r"no image in .*\.jpg.*, found 1 other files"):
        load_images(f"folder:{tmp_path}")
    with pytest.raises(ImageSetError, match="is not a folder"):
        load_images(f"folder:{tmp_path}/notes.txt")


class Watching(Task):
    """Notes every step, and cancels at the `last` one."""

    def __init__(self, last: int | None = None) -> None:
        self.notes: list[str] = []
        self.last = last

    def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
        self.notes.append(note)
        if len(self.notes) == self.last:
            raise Cancelled


def test_reading_a_large_folder_reports_and_can_be_cancelled(tmp_path: Path, scene: Image.Image) -> None:
    scene.save(tmp_path / "0.png")
    for number in range(1, 1700):
        os.link(tmp_path / "0.png", tmp_path / f"{number}.png")
    watching = Watching()
    assert len(load_images(f"folder:{tmp_path}", watching)) == 1700
    assert watching.notes[1].startswith("1,000 images found")
    with pytest.raises(Cancelled):
        load_images(f"folder:{tmp_path}", Watching(last=2))


def test_single_files_also_with_a_semicolon_in_their_name(tmp_path: Path, scene: Image.Image) -> None:
    names = ["one.png", "two;three.png", "four?seed=1.png"]
    for name in names:
        scene.save(tmp_path / name)
    images = load_images("files:" + ";".join(str(tmp_path / name) for name in names))
    assert [Path(name).name for name in images.ids] == names
    assert images.image(1).shape == (40, 60, 3)
    (tmp_path / "text.png").write_text("text")
    broken = load_images(f"files:{tmp_path}/text.png")
    assert broken.name == "text.png"
    with pytest.raises(UnreadableImageError, match=r"text.png: is not an image"):
        broken.image(0)


SWEEP = """
import re, resource, sys
from pathlib import Path
from workbench.images.folder import open_folder
from workbench.images.image_set import Reference
from workbench.task import Task
images = open_folder(Reference("", "folder", sys.argv[1]), Task())
count = sum(len(batch.indices) for batch in images.batches((96, 96), 32))
# On Linux getrusage tells the peak of the process that started this one, when that was higher.
status = Path("/proc/self/status")
peak = re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1] if status.exists() else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(count, peak)
"""


def test_ten_times_the_images_take_the_same_memory(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 80, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "0.jpg", quality=90)
    peaks = []
    for count in (600, 6000):
        folder = tmp_path / str(count)
        folder.mkdir()
        for number in range(count):
            os.link(tmp_path / "0.jpg", folder / f"{number}.jpg")
        output = subprocess.run(
            [sys.executable, "-c", SWEEP, str(folder)],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[2],
        ).stdout.split()
        assert int(output[0]) == count
        peaks.append(int(output[1]))
    names = 5400 * 0.4  # kilobytes; what is held of every image is its name
    assert peaks[1] < 1.05 * peaks[0] + names
