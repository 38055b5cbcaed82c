"""A view draws one figure, with the same code on the screen and in a file.

`View` is what can be exported: it paints itself into a rectangle, and gives the numbers it shows and where they came from. The colours
of text, axes and background come from its `Ink`: the window's palette on the screen, black on white on paper. `ViewWidget` is a view
on the screen, with the context menu that every view has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, QSizeF, Qt
from PySide6.QtGui import (
    QColor,
    QContextMenuEvent,
    QFont,
    QFontMetricsF,
    QImage,
    QPaintEngine,
    QPainter,
    QPaintEvent,
    QPalette,
)
from PySide6.QtWidgets import QApplication, QMenu, QSizePolicy, QWidget

if TYPE_CHECKING:
    from workbench.recompute import Recomputation, TrainingRun


def blend(over: QColor, under: QColor, share: float) -> QColor:
    """Mix two colours; `share` in [0, 1] belongs to `over`."""
    mixed = [round(share * a + (1 - share) * b) for a, b in zip(over.getRgb()[:3], under.getRgb()[:3], strict=True)]
    return QColor(*mixed)


@dataclass(frozen=True)
class Ink:
    """The colours of a figure apart from its data.

    Attributes
    ----------
    paper, text, faint, line
        Background, text, secondary text, axes and frames.
    quiet
        Fill of placeholders and bands: just off the paper.
    bar, accent, marker
        Bars of a histogram, selection, and the one thing pointed at.
    """

    paper: QColor
    text: QColor
    faint: QColor
    line: QColor
    quiet: QColor
    bar: QColor
    accent: QColor
    marker: QColor

    @classmethod
    def from_palette(cls, palette: QPalette) -> Ink:
        """Take the ink from a widget's palette, light or dark."""
        paper, text = palette.color(QPalette.ColorRole.Base), palette.color(QPalette.ColorRole.Text)
        accent = palette.color(QPalette.ColorRole.Highlight)
        dark = paper.lightness() < 128
        return cls(
            paper=paper,
            text=text,
            faint=blend(text, paper, 0.62),
            line=blend(text, paper, 0.30),
            quiet=blend(text, paper, 0.07),
            bar=QColor("#6f9bd1" if dark else "#4a78b0"),
            accent=accent,
            marker=QColor("#ff9f43" if dark else "#c8500a"),
        )


PAPER = Ink(
    paper=QColor("#ffffff"),
    text=QColor("#000000"),
    faint=QColor("#4d4d4d"),
    line=QColor("#8c8c8c"),
    quiet=QColor("#efefef"),
    bar=QColor("#4a78b0"),
    accent=QColor("#1f5fae"),
    marker=QColor("#c8500a"),
)


_VECTOR = (QPaintEngine.Type.Pdf, QPaintEngine.Type.SVG)


class View:
    """Something that can be drawn, exported, and explained."""

    title: str = ""
    """What the figure is called: heading of the export and start of its file name."""
    ink: Ink = PAPER
    made_from: Mapping[str, object] = {}
    """Where the numbers came from (model, weights, layer, role, images, n) and its ``address``; the panel sets it."""

    recomputation: Recomputation | TrainingRun | None = None
    """What recomputes the numbers; None where that cannot be said. The panel sets it."""

    def paint(self, painter: QPainter, rect: QRectF) -> None:
        """Draw into `rect` (1 unit = 1/96 inch); the caller has filled the background."""
        raise NotImplementedError

    def data(self) -> dict[str, np.ndarray]:
        """Return the numbers that are shown, as named arrays."""
        raise NotImplementedError

    def provenance(self) -> dict[str, object]:
        """Say what is shown, what it was made from, and what recomputes it, as plain data."""
        again = self.recomputation
        lines = {} if again is None else {"python": again.python(), "command": again.command()}
        return {"view": type(self).__name__, "title": self.title, **self.made_from, **lines}

    def figure_size(self) -> QSizeF:
        """Size of the exported figure in 1/96 inch."""
        return QSizeF(480, 320)

    @contextmanager
    def on_paper(self) -> Iterator[None]:
        """Draw black on white for as long as the block lasts."""
        before, self.ink = self.ink, PAPER
        try:
            yield
        finally:
            self.ink = before


class ViewWidget(QWidget, View):
    """A view on the screen: paints itself with the window's colours, and offers export and copy on a right click."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.ink = Ink.from_palette(self.palette())
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the view into the whole widget."""
        painter = QPainter(self)
        painter.fillRect(event.rect(), self.ink.paper)
        painter.setFont(figure_font())
        self.paint(painter, QRectF(self.rect()))
        if self.hasFocus() and self.focusPolicy() & Qt.FocusPolicy.TabFocus:
            painter.setPen(self.ink.accent)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))

    def changeEvent(self, event: QEvent) -> None:
        """Follow the palette when the scheme changes between light and dark."""
        if event.type() == QEvent.Type.PaletteChange:
            self.ink = Ink.from_palette(self.palette())
            self.update()
        super().changeEvent(event)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """Open the view's menu; the Menu key opens it too."""
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.fill_menu(menu)
        menu.popup(event.globalPos())

    def fill_menu(self, menu: QMenu) -> None:
        """Add what the view offers; a subclass adds its own entries first, then calls this."""
        from widgets.export import add_export_actions

        add_export_actions(menu, self, self)

    def sizeHint(self) -> QSize:
        """Ask for the size of the exported figure."""
        return self.figure_size().toSize()


def figure_font(pixels: int = 11, bold: bool = False) -> QFont:
    """Return the figures' font; 11 units are 8.25 pt in print."""
    font = QFont(QApplication.font())
    font.setPixelSize(pixels)
    font.setBold(bold)
    return font


def elided(text: str, width: float, font: QFont, mode: Qt.TextElideMode = Qt.TextElideMode.ElideRight) -> str:
    """Shorten `text` with an ellipsis so that it fits `width`."""
    return QFontMetricsF(font).elidedText(text, mode, width)


def as_image(pixels: np.ndarray) -> QImage:
    """Wrap ``y x 3`` (RGB), ``y x 4`` (RGBA, not premultiplied) or ``y x`` (grey) uint8 pixels; the image keeps the array alive.

    Raises
    ------
    ValueError
        When the array is not uint8 or has another number of channels.
    """
    formats = {1: QImage.Format.Format_Grayscale8, 3: QImage.Format.Format_RGB888, 4: QImage.Format.Format_RGBA8888}
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or channels not in formats:
        raise ValueError(f"an image for display is uint8 y x channel, not {pixels.dtype} {pixels.shape}")
    pixels = np.ascontiguousarray(pixels)
    height, width = pixels.shape[:2]
    image = QImage(pixels.data, width, height, channels * width, formats[channels])
    image._pixels = pixels
    return image


def draw_image(painter: QPainter, rect: QRectF, image: QImage, smooth: bool) -> None:
    """Draw `image` into `rect`: interpolated when `smooth`, else every pixel a square.

    Readers of PDF and SVG interpolate as they please, so for a file the enlarging is done here, at two pixels to 1/96 inch.
    """
    painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, smooth)
    if painter.paintEngine().type() in _VECTOR and image.width() < rect.width():
        if smooth:
            width = min(2048, round(2 * rect.width()))
        else:
            width = image.width() * max(1, round(min(2048.0, 2 * rect.width()) / image.width()))
        how = Qt.TransformationMode.SmoothTransformation if smooth else Qt.TransformationMode.FastTransformation
        height = max(1, round(width * image.height() / image.width()))
        image = image.scaled(width, height, Qt.AspectRatioMode.IgnoreAspectRatio, how)
    painter.drawImage(rect, image)


def fit(rect: QRectF, width: float, height: float) -> QRectF:
    """Return the largest rectangle of the given proportions in the middle of `rect`."""
    scale = min(rect.width() / max(width, 1e-9), rect.height() / max(height, 1e-9))
    size = QSizeF(width * scale, height * scale)
    return QRectF(rect.center() - QPointF(size.width() / 2, size.height() / 2), size)
