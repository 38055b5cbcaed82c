"""What is brought in from outside: told apart, and handed on as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QMimeData
from PySide6.QtGui import QImage

from widgets.intake import classify, content_of, factories, pixels_of


def test_pixels_from_the_clipboard_keep_colours_and_transparency():
    image = QImage(3, 2, QImage.Format.Format_ARGB32)
    image.fill(0x80102030)
    image.setPixel(2, 1, 0xFFFF0000)
    pixels = pixels_of(image)
    assert pixels.shape == (2, 3, 4) and pixels.dtype == np.uint8
    assert pixels[0, 0].tolist() == [0x10, 0x20, 0x30, 0x80]
    assert pixels[1, 2].tolist() == [255, 0, 0, 255]


def test_an_image_that_has_a_format_is_not_decoded_here():
    mime = QMimeData()
    mime.setData("image/jpeg", b"lossy")
    mime.setData("image/png", b"not even a PNG")
    assert content_of(mime) == b"not even a PNG"
    bare = QMimeData()
    bare.setImageData(QImage(3, 2, QImage.Format.Format_RGB32))
    assert content_of(bare).shape == (2, 3, 4)
    assert content_of(QMimeData()) is None


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.png", "image"),
        ("w.safetensors", "weights"),
        ("w.PTH", "weights"),
        ("net.py", "python"),
        ("x.workbench", "project"),
        ("labels.CSV", "labels"),
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
