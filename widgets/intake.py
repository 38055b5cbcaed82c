"""Bringing things in from outside: images, folders, networks and projects that are dropped, pasted or chosen in a dialog."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from PySide6.QtCore import QMimeData
from PySide6.QtGui import QImage

if TYPE_CHECKING:
    import numpy as np

WEIGHTS = frozenset((".safetensors", ".pt", ".pth"))
PROJECT = ".workbench"
TABLES = frozenset((".csv", ".tsv"))
ENCODED = ("image/png", "image/webp", "image/tiff", "image/jpeg", "image/bmp")
"""Formats of images on the clipboard, the one that loses least first."""

Kind = Literal["image", "images", "folder", "weights", "python", "project", "labels"]


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
            "nothing to open here; drop an image, a folder of images, a .safetensors, .pt or .py file, a table of labels, or a project"
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
    if suffix in TABLES:
        return Found("labels", (first,))
    return Found("image", (first,))


def content_of(mime: QMimeData) -> bytes | np.ndarray | None:
    """Return the image that was copied or dragged without a file, undecoded where it has a format, else its pixels; None for none."""
    kind = next((kind for kind in ENCODED if mime.hasFormat(kind)), None)
    if kind is not None:
        return bytes(mime.data(kind).data())
    image = QImage(mime.imageData()) if mime.hasImage() else QImage()
    return None if image.isNull() else pixels_of(image)


def pixels_of(image: QImage) -> np.ndarray:
    """Turn a `QImage` into uint8 ``[y, x, 4]``, RGBA."""
    import numpy as np  # not needed for the window to show

    image = image.convertToFormat(QImage.Format.Format_RGBA8888)
    return np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.width(), 4).copy()


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
