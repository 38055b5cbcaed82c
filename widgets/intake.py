"""Bringing things in from outside: images, folders, networks and projects that are dropped, pasted or chosen in a dialog."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from PySide6.QtCore import QMimeData, Qt
from PySide6.QtGui import QImage, QImageReader, QPainter

if TYPE_CHECKING:
    import numpy as np

WEIGHTS = frozenset((".safetensors", ".pt", ".pth"))
PROJECT = ".workbench"
MOST_PIXELS = 100_000_000
"""Larger images are refused: they would need more than 400 MB only to be looked at."""
LONGEST = 2048
"""Images are reduced to this many pixels on their longer side; networks see far fewer."""

Kind = Literal["image", "images", "folder", "weights", "python", "project"]


@dataclass(frozen=True)
class Found:
    """What a path is to the workbench."""

    kind: Kind
    paths: tuple[Path, ...]


def classify(paths: Sequence[Path]) -> Found:
    """Say what was brought in.

    Raises
    ------
    ValueError
        When nothing can be done with it; the message says why and what can be brought in.
    """
    if not paths:
        raise ValueError(
            "nothing to open here; drop an image, a folder of images, a .safetensors, .pt or .py file, or a project"
        )
    first = paths[0]
    if not first.exists():
        raise ValueError(f"{first} does not exist")
    if len(paths) > 1:
        if all(path.is_file() for path in paths):
            return Found("images", tuple(paths))
        raise ValueError(f"{len(paths)} things at once, folders among them; drop one folder, or only image files")
    if first.is_dir():
        return Found("folder", (first,))
    suffix = first.suffix.lower()
    if suffix in WEIGHTS:
        return Found("weights", (first,))
    if suffix == ".py":
        return Found("python", (first,))
    if suffix == PROJECT:
        return Found("project", (first,))
    return Found("image", (first,))


def read_image(path: Path) -> np.ndarray:
    """Read an image file as uint8 ``[y, x, 3]``, transparent parts over white, turned as its camera says, at most `LONGEST` wide.

    Raises
    ------
    ValueError
        When it is no image that can be read; the message says why.
    """
    if path.stat().st_size == 0:
        raise ValueError(f"{path.name} is empty (0 bytes)")
    reader = QImageReader(str(path))
    reader.setDecideFormatFromContent(True)
    reader.setAutoTransform(True)
    if not reader.canRead():
        known = ", ".join(
            sorted({bytes(f.data()).decode() for f in QImageReader.supportedImageFormats()} & set(_COMMON))
        )
        raise ValueError(f"{path.name} is not an image that can be read here, whatever its name says; formats: {known}")
    size = reader.size()
    if size.width() * size.height() > MOST_PIXELS:
        raise ValueError(
            f"{path.name} has {size.width():,} x {size.height():,} pixels; at most {MOST_PIXELS // 1_000_000} million are opened: "
            "cut out or reduce the part you need"
        )
    if size.isValid() and max(size.width(), size.height()) > LONGEST:
        reader.setScaledSize(size.scaled(LONGEST, LONGEST, Qt.AspectRatioMode.KeepAspectRatio))
    image = reader.read()
    if image.isNull():
        raise ValueError(f"{path.name} cannot be read: {reader.errorString().lower()}; the file may be cut off")
    return to_array(image)


_COMMON = ("bmp", "gif", "jpeg", "png", "svg", "tiff", "webp", "ppm")


def to_array(image: QImage) -> np.ndarray:
    """Turn a `QImage` into uint8 ``[y, x, 3]``, transparent parts over white."""
    import numpy as np  # not needed for the window to show

    flat = QImage(image.size(), QImage.Format.Format_RGB32)
    flat.fill(Qt.GlobalColor.white)
    painter = QPainter(flat)
    painter.drawImage(0, 0, image)
    painter.end()
    flat = flat.convertToFormat(QImage.Format.Format_RGB888)
    rows = np.frombuffer(flat.constBits(), np.uint8).reshape(flat.height(), flat.bytesPerLine())
    return rows[:, : 3 * flat.width()].reshape(flat.height(), flat.width(), 3).copy()


def paths_of(mime: QMimeData) -> list[Path]:
    """Return the local files that were dropped or copied."""
    return [Path(url.toLocalFile()) for url in mime.urls() if url.isLocalFile()]


def factories(path: Path) -> list[str]:
    """Name the functions and classes of a Python file without running it, likely makers of networks first.

    Raises
    ------
    ValueError
        When the file is not Python.
    """
    import ast

    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    except (SyntaxError, UnicodeDecodeError) as error:
        raise ValueError(f"{path.name} is not a Python file that can be read: {error}") from error
    names = [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    ]
    likely = ("model", "net", "make", "build", "create")
    return sorted(names, key=lambda name: not any(word in name.lower() for word in likely))
