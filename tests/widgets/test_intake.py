"""What is brought in from outside: good images in the right colours, bad files with one clear line each."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtGui import QImage

from widgets.intake import classify, factories, read_image, to_array


def write_png_header(path: Path, width: int, height: int) -> None:
    """Write a PNG that promises a size and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


def test_pixels_arrive_as_they_are(tmp_path: Path):
    image = QImage(3, 2, QImage.Format.Format_RGB32)
    image.fill(0xFF102030)
    image.setPixel(2, 1, 0xFFFF0000)
    image.save(str(tmp_path / "a.png"))
    array = read_image(tmp_path / "a.png")
    assert array.shape == (2, 3, 3) and array.dtype == np.uint8
    assert array[0, 0].tolist() == [0x10, 0x20, 0x30]
    assert array[1, 2].tolist() == [255, 0, 0]


def test_transparent_parts_are_white():
    image = QImage(2, 1, QImage.Format.Format_ARGB32)
    image.fill(0)
    assert to_array(image).tolist() == [[[255, 255, 255], [255, 255, 255]]]


def test_large_images_are_reduced(tmp_path: Path):
    image = QImage(5000, 1000, QImage.Format.Format_RGB32)
    image.fill(0xFF00FF00)
    image.save(str(tmp_path / "wide.jpg"))
    assert read_image(tmp_path / "wide.jpg").shape == (409, 2048, 3)


def test_what_an_image_is_is_read_from_its_content(tmp_path: Path):
    image = QImage(4, 4, QImage.Format.Format_RGB32)
    image.fill(0)
    image.save(str(tmp_path / "a.png"))
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert read_image(tmp_path / "a.jpg").shape == (4, 4, 3)


def test_bad_files_say_what_is_wrong(tmp_path: Path):
    huge, empty, text, cut = (tmp_path / name for name in ("huge.png", "empty.png", "text.png", "cut.jpg"))
    write_png_header(huge, 30_000, 30_000)
    empty.write_bytes(b"")
    text.write_text("this is no image", encoding="utf-8")
    image = QImage(300, 300, QImage.Format.Format_RGB32)
    image.fill(0)
    image.save(str(tmp_path / "whole.png"))
    cut.write_bytes((tmp_path / "whole.png").read_bytes()[:60])
    with pytest.raises(ValueError, match=r"huge\.png has 30,000 x 30,000 pixels; at most 100 million are opened"):
        read_image(huge)
    with pytest.raises(ValueError, match=r"empty\.png is empty \(0 bytes\)"):
        read_image(empty)
    with pytest.raises(ValueError, match=r"text\.png is not an image that can be read here"):
        read_image(text)
    with pytest.raises(ValueError, match=r"cut\.jpg cannot be read: .*cut off"):
        read_image(cut)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.png", "image"),
        ("w.safetensors", "weights"),
        ("w.PTH", "weights"),
        ("net.py", "python"),
        ("x.workbench", "project"),
    ],
)
def test_files_are_told_apart(tmp_path: Path, name: str, kind: str):
    (tmp_path / name).write_bytes(b"x")
    assert classify([tmp_path / name]).kind == kind


def test_folders_and_several_files(tmp_path: Path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"x")
    assert classify([tmp_path]).kind == "folder"
    assert classify([tmp_path / "a.png", tmp_path / "b.png"]).kind == "images"
    with pytest.raises(ValueError, match="2 things at once, folders among them"):
        classify([tmp_path, tmp_path / "a.png"])
    with pytest.raises(ValueError, match="does not exist"):
        classify([tmp_path / "gone.png"])
    with pytest.raises(ValueError, match="nothing to open"):
        classify([])


def test_factories_are_found_without_running_the_file(tmp_path: Path):
    ran = tmp_path / "ran"
    path = tmp_path / "net.py"
    path.write_text(
        f"open({str(ran)!r}, 'w')\ndef other(): ...\ndef make_net(): ...\nclass Net: ...\ndef _private(): ...\n",
        encoding="utf-8",
    )
    assert factories(path) == ["make_net", "Net", "other"]
    assert not ran.exists()
    path.write_text("def broken(:", encoding="utf-8")
    with pytest.raises(ValueError, match=r"net\.py is not a Python file that can be read"):
        factories(path)
