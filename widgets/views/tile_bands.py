"""Tiles composed into bands: images a few rows high and as wide as a grid, copied to the screen in one call each.

Everything here is in device pixels, so that tiles are sharp on any screen.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QPoint, QRect, QSize, Qt
from PySide6.QtGui import QFontMetrics, QImage, QPainter

from widgets.views.axes import number
from widgets.views.view import Ink, as_image, figure_font

CAPTIONED = 44  # narrower tiles have no room for a legible caption
NUMBERED = 20  # the same for a number inside a tile that has no image yet
WITH_VALUE = 64
MARGIN = 3  # between a tile and the edge of its cell; the selection frame lives here
BAND = 256  # least height of a band: a few fill a screen, one takes about 3 ms to compose
SMALL = 32  # pixels of the copy that small tiles are made from
SCALED_BYTES = 64 << 20  # images kept at the size of the tiles, so that resizing and selecting need no scaling


@dataclass(frozen=True)
class Geometry:
    """Where tiles stand: whole columns share the width, tiles grow by what is left.

    Attributes
    ----------
    columns
        Tiles side by side.
    cell
        Size of a tile with its margin and caption.
    side, margin, caption
        Width of a tile as drawn, space around it, height of the line below it.
    width
        Of the whole grid.
    ratio
        Device pixels in a pixel; all lengths above are in pixels.
    """

    columns: int
    cell: QSize
    side: int
    margin: int
    caption: int
    width: int
    ratio: float

    @classmethod
    def fitting(cls, width: int, tile: int, ratio: float) -> Geometry:
        """Lay tiles of at least `tile` pixels out over a width."""
        room = max(1, width - 1)  # Qt wraps an item that ends on the last pixel
        margin, caption = (MARGIN, QFontMetrics(figure_font(10)).height() + 1) if tile >= CAPTIONED else (1, 0)
        columns = max(1, room // (tile + 2 * margin))
        side = max(1, room // columns - 2 * margin)
        return cls(columns, QSize(side + 2 * margin, side + 2 * margin + caption), side, margin, caption, width, ratio)

    @property
    def lines_a_band(self) -> int:
        """Lines of tiles in a band."""
        return max(1, BAND // self.cell.height())

    def device_y(self, line: int) -> int:
        """Top of a line of tiles, from the top of the grid, in device pixels."""
        return round(line * self.cell.height() * self.ratio)

    def device_x(self, column: int) -> int:
        """Left edge of a column in device pixels."""
        return round(column * self.cell.width() * self.ratio)

    def cell_rect(self, row: int) -> QRect:
        """Where an item's cell is, from the top of the grid, in pixels."""
        line, column = divmod(row, self.columns)
        return QRect(QPoint(column * self.cell.width(), line * self.cell.height()), self.cell)


class TileBands:
    """Holds the images of a grid and composes them; a new image redraws its own tile and nothing else.

    Attributes
    ----------
    units
        Unit numbers by row.
    selected
        Rows that are framed.
    values
        Numbers beside the unit numbers in the captions.
    labels
        What units are called, behind their numbers in the captions, as much of it as fits.
    """

    def __init__(self, geometry: Geometry, ink: Ink) -> None:
        self.units: tuple[int, ...] = ()
        self.selected: set[int] = set()
        self.values: Mapping[int, float] = {}
        self.labels: Mapping[int, str] = {}
        self._geometry, self._ink = geometry, ink
        self._images: dict[int, tuple[QImage, QImage]] = {}  # whole, and small
        self._scaled: dict[int, QImage] = {}
        self._bands: OrderedDict[int, QImage] = OrderedDict()

    @property
    def geometry(self) -> Geometry:
        """Where tiles stand; another one makes all bands anew."""
        return self._geometry

    @geometry.setter
    def geometry(self, geometry: Geometry) -> None:
        if (geometry.side, geometry.ratio) != (self._geometry.side, self._geometry.ratio):
            self._scaled.clear()
        self._geometry = geometry
        self.clear()

    @property
    def ink(self) -> Ink:
        """Colours of everything but the images; others make all bands anew."""
        return self._ink

    @ink.setter
    def ink(self, ink: Ink) -> None:
        self._ink = ink
        self.clear()

    def clear(self) -> None:
        """Compose all bands anew when they are needed."""
        self._bands.clear()

    def put(self, unit: int, pixels: np.ndarray) -> None:
        """Take the image of a unit, uint8 ``y x 3``."""
        whole = as_image(pixels).convertToFormat(QImage.Format.Format_RGB32)
        self._images[unit] = whole, _fit(whole, SMALL)
        self._scaled.pop(unit, None)

    def forget_images(self) -> None:
        """Drop all images."""
        self._images.clear()
        self._scaled.clear()
        self.clear()

    def image(self, unit: int) -> QImage | None:
        """Return a unit's image at its full size."""
        return self._images[unit][0] if unit in self._images else None

    @property
    def count(self) -> int:
        """Number of bands that hold all units."""
        of_band = self._geometry.lines_a_band * self._geometry.columns
        return -(-len(self.units) // of_band)

    def band(self, index: int, kept: int) -> QImage:
        """Return a band, composed when it is not there; `kept` bands stay for the next time, the last used ones."""
        if index not in self._bands:
            geometry = self._geometry
            lines = geometry.lines_a_band
            height = geometry.device_y((index + 1) * lines) - geometry.device_y(index * lines)
            band = QImage(round(geometry.width * geometry.ratio) + 1, height, QImage.Format.Format_RGB32)
            band.fill(self._ink.paper)
            self._bands[index] = band
            first = index * lines * geometry.columns
            with self._painter(band) as painter:
                for row in range(first, min(len(self.units), first + lines * geometry.columns)):
                    self._draw_tile(painter, row)
            while len(self._bands) > kept:
                self._bands.popitem(last=False)
        self._bands.move_to_end(index)
        return self._bands[index]

    def redraw(self, row: int) -> bool:
        """Draw an item's tile anew; return whether its band is composed, so that the screen may have to follow."""
        geometry = self._geometry
        line, column = divmod(row, geometry.columns)
        index = line // geometry.lines_a_band
        band = self._bands.get(index)
        if band is None:
            return False
        left, right = geometry.device_x(column), geometry.device_x(column + 1)
        top, bottom = geometry.device_y(line), geometry.device_y(line + 1)
        with self._painter(band) as painter:
            begin = geometry.device_y(index * geometry.lines_a_band)
            painter.fillRect(left, top - begin, right - left, bottom - top, self._ink.paper)
            self._draw_tile(painter, row)
        return True

    @contextmanager
    def _painter(self, band: QImage) -> Iterator[QPainter]:
        painter = QPainter(band)
        painter.setFont(figure_font(round(10 * self._geometry.ratio)))
        yield painter
        painter.end()

    def _draw_tile(self, painter: QPainter, row: int) -> None:
        """Draw one tile with caption and selection frame into its band."""
        geometry, ink, unit = self._geometry, self._ink, self.units[row]
        line, column = divmod(row, geometry.columns)
        top = geometry.device_y(line) - geometry.device_y(line // geometry.lines_a_band * geometry.lines_a_band)
        margin, side = round(geometry.margin * geometry.ratio), round(geometry.side * geometry.ratio)
        left, right = geometry.device_x(column), geometry.device_x(column + 1)
        x, y = left + (right - left - side) // 2, top + margin
        if row in self.selected:
            frame = max(2, round(2 * geometry.ratio)) if geometry.margin > 1 else 1
            painter.fillRect(x - frame, y - frame, side + 2 * frame, side + 2 * frame, ink.accent)
        if unit in self._images:
            image = self._scaled.get(unit) or self._scale(unit, side)
            if image.width() != image.height():
                painter.fillRect(x, y, side, side, ink.quiet)
            painter.drawImage(x + (side - image.width()) // 2, y + (side - image.height()) // 2, image)
        else:
            painter.fillRect(x, y, side, side, ink.quiet)
            if not geometry.caption and geometry.side >= NUMBERED:
                painter.setPen(ink.faint)
                painter.drawText(QRect(x, y, side, side), Qt.AlignmentFlag.AlignCenter, str(unit))
        if geometry.caption:
            below = QRect(x, y + side, side, round(geometry.caption * geometry.ratio))
            painter.setPen(ink.text if row in self.selected or unit in self.labels else ink.faint)
            self._caption(painter, below, unit)

    def _caption(self, painter: QPainter, below: QRect, unit: int) -> None:
        """Write the unit's number, what it is called, and its value."""
        wide = self._geometry.side >= WITH_VALUE
        value, label = (self.values.get(unit), self.labels.get(unit, "")) if wide else (None, "")
        text, room = str(unit), below.width()
        if value is not None:
            shown = number(value)
            painter.drawText(below, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, shown)
            room -= painter.fontMetrics().horizontalAdvance(f"{shown}  ")
        if label:
            called = painter.fontMetrics().elidedText(f"{text} {label}", Qt.TextElideMode.ElideRight, room)
            text = called if len(called) > len(text) + 2 else text  # a single letter of it says nothing
        side = Qt.AlignmentFlag.AlignHCenter if value is None else Qt.AlignmentFlag.AlignLeft
        painter.drawText(below, Qt.AlignmentFlag.AlignVCenter | side, text)

    def _scale(self, unit: int, side: int) -> QImage:
        if len(self._scaled) * side * side * 4 > SCALED_BYTES:
            self._scaled.clear()
        whole, small = self._images[unit]
        self._scaled[unit] = _fit(small if side <= SMALL else whole, side)
        return self._scaled[unit]


def _fit(image: QImage, side: int) -> QImage:
    """Fit an image into a square; Qt averages areas here, and does so ten times faster than a painter that scales while drawing."""
    return image.scaled(side, side, Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation)
