"""Figures as files: PNG at four times the screen's resolution, SVG and PDF as vectors, painted by the view itself.

Beside every figure go its numbers (``NAME.npz``) and where they came from (``NAME.json``), so that a figure in a paper can be redrawn
and traced back to a model and its weights.
"""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import PySide6
from PySide6.QtCore import QMarginsF, QRect, QRectF, QSize, QSizeF, Qt
from PySide6.QtGui import QGuiApplication, QImage, QPageLayout, QPageSize, QPaintDevice, QPainter, QPdfWriter
from PySide6.QtSvg import QSvgGenerator
from PySide6.QtWidgets import QMenu, QWidget

import workbench
from widgets.ancestry import outwards
from widgets.views.view import View, figure_font

ENLARGED = 4
FOOTNOTE = 16.0
"""Height of the line that says what must be known of the images."""
MOST_PIXELS = 60e6  # Qt itself refuses to read images of more than 256 MB; PDF and SVG have no such limit
FILTERS = {".pdf": "PDF, vector (*.pdf)", ".svg": "SVG, vector (*.svg)", ".png": "PNG, 384 dots per inch (*.png)"}


def export_view(
    view: View,
    path: str | Path,
    data: Mapping[str, np.ndarray] | None = None,
    provenance: Mapping[str, object] | None = None,
) -> tuple[Path, Path, Path]:
    """Write a figure, its data and its provenance; return the three paths (figure, ``.npz``, ``.json``).

    Parameters
    ----------
    view
        What is drawn: black on white, at its `figure_size`.
    path
        Ends in ``.png`` (4 pixels per 1/96 inch), ``.svg`` or ``.pdf``.
    data, provenance
        Instead of what the view gives of itself.

    Raises
    ------
    ValueError
        When the ending is none of the three.
    OSError
        When a file cannot be written.
    """
    path, numbers, origin = files_of(Path(path))
    draw = {".png": _draw_png, ".svg": _draw_svg, ".pdf": _draw_pdf}.get(path.suffix.lower())
    if draw is None:
        raise ValueError(f"a figure ends in .png, .svg or .pdf, not {path.suffix!r}: {path.name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        path.open("ab").close()  # says plainly why a file cannot be written; Qt does not
    arrays = dict(view.data() if data is None else data)
    document = {
        "figure": path.name,
        **(view.provenance() if provenance is None else provenance),
        "arrays": {name: {"shape": list(array.shape), "dtype": str(array.dtype)} for name, array in arrays.items()},
        "exported": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {
            "workbench": workbench.__version__,
            "python": sys.version.split()[0],
            "numpy": np.__version__,
            "pyside6": PySide6.__version__,
        },
    }
    text = json.dumps(document, indent=2, ensure_ascii=False, default=plain)
    # All three are written beside their place first: what was there stays whole until they are.
    with tempfile.TemporaryDirectory(prefix=".export-", dir=path.parent) as beside:
        drawn, saved, told = (Path(beside) / file.name for file in (path, numbers, origin))
        with view.on_paper():
            draw(view, drawn)
        np.savez(saved, **arrays)
        told.write_text(text + "\n", encoding="utf-8")
        for made, place in ((drawn, path), (saved, numbers), (told, origin)):
            os.replace(made, place)
    return path, numbers, origin


def files_of(path: Path) -> tuple[Path, Path, Path]:
    """Name what an export into `path` writes: figure, data, provenance."""
    return path, path.with_suffix(".npz"), path.with_suffix(".json")


def figure_image(view: View, enlarged: float = ENLARGED) -> QImage:
    """Paint a view on white, `enlarged` pixels to 1/96 inch; fewer for a figure so large that it would exceed `MOST_PIXELS`."""
    size = _size(view)
    enlarged = min(enlarged, math.sqrt(MOST_PIXELS / (size.width() * size.height())))
    image = QImage(round(size.width() * enlarged), round(size.height() * enlarged), QImage.Format.Format_RGB32)
    image.setDevicePixelRatio(enlarged)
    image.setDotsPerMeterX(round(96 * enlarged / 0.0254))
    image.setDotsPerMeterY(round(96 * enlarged / 0.0254))
    with view.on_paper():
        _paint(view, image, size)
    return image


def copy_image(view: View) -> None:
    """Put the figure on the clipboard, at the resolution of an exported PNG."""
    QGuiApplication.clipboard().setImage(figure_image(view))


def add_export_actions(menu: QMenu, view: View, parent: QWidget) -> None:
    """Add *Export…*, *Copy image* and what else can be copied to a view's menu."""
    from widgets.clippings import add_copy_actions
    from widgets.export_dialog import ExportDialog

    if not menu.isEmpty():
        menu.addSeparator()
    export = menu.addAction("Export…")
    export.setToolTip("Write the figure as PDF, SVG or PNG, with its data (.npz) and provenance (.json) beside it")
    export.triggered.connect(lambda: ExportDialog({"This view": [view]}, parent).open())
    host = pin_host(parent)
    if host is not None:
        pin = menu.addAction("Pin to notes")
        pin.setToolTip("Begin a note with this view as it is now, and what it was made from")
        pin.triggered.connect(lambda: host.pin_view(view))
    copy = menu.addAction("Copy image")
    copy.triggered.connect(lambda: copy_image(view))
    add_copy_actions(menu, view)


def pin_host(widget: QWidget | None) -> Any:
    """Return the window around a widget, which keeps notes; None for a widget on its own."""
    return next((at for at in outwards(widget) if hasattr(at, "pin_view")), None)


def _paint(view: View, device: QPaintDevice, size: QSizeF) -> None:
    painter = QPainter(device)
    rect = QRectF(0, 0, size.width(), size.height())
    painter.setRenderHints(
        QPainter.RenderHint.Antialiasing
        | QPainter.RenderHint.TextAntialiasing
        | QPainter.RenderHint.LosslessImageRendering
    )
    painter.fillRect(rect, view.ink.paper)
    painter.setFont(figure_font())
    badge = view.made_from.get("badge")
    if badge:
        below = QRectF(rect.left() + 8, rect.bottom() - FOOTNOTE, rect.width() - 16, FOOTNOTE)
        painter.setFont(figure_font(10))
        painter.setPen(view.ink.marker)
        painter.drawText(below, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, f"! {badge}")
        painter.setFont(figure_font())
        rect.setBottom(rect.bottom() - FOOTNOTE)
    view.paint(painter, rect)
    painter.end()


def _size(view: View) -> QSizeF:
    """Return the figure's size, with room for a footnote where its images need one."""
    size = view.figure_size()
    return QSizeF(size.width(), size.height() + FOOTNOTE) if view.made_from.get("badge") else size


def _draw_png(view: View, path: Path) -> None:
    if not figure_image(view).save(str(path), "PNG"):
        raise OSError(f"{path} cannot be written")


def _draw_svg(view: View, path: Path) -> None:
    size = _size(view)
    generator = QSvgGenerator(QSvgGenerator.SvgVersion.Svg11)
    generator.setFileName(str(path))
    generator.setResolution(96)
    whole = QSize(round(size.width()), round(size.height()))
    generator.setSize(whole)
    generator.setViewBox(QRect(0, 0, whole.width(), whole.height()))
    generator.setTitle(view.title)
    generator.setDescription("Circuit Workbench; data and provenance are in the files of the same name")
    _paint(view, generator, size)


def _draw_pdf(view: View, path: Path) -> None:
    size = _size(view)
    writer = QPdfWriter(str(path))
    writer.setResolution(96)
    writer.setCreator("Circuit Workbench")
    writer.setTitle(view.title)
    page = QPageSize(
        QSizeF(size.width() * 0.75, size.height() * 0.75),
        QPageSize.Unit.Point,
        "",
        QPageSize.SizeMatchPolicy.ExactMatch,
    )
    writer.setPageLayout(QPageLayout(page, QPageLayout.Orientation.Portrait, QMarginsF(0, 0, 0, 0)))
    _paint(view, writer, size)


def plain(value: object) -> object:
    """Turn what JSON does not know into what it does: arrays and sets into lists, the rest into text."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray | tuple | set | frozenset):
        return list(value)
    return str(value)
