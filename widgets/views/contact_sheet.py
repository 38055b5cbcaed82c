"""A page of thumbnails for a paper: many units of a layer with captions, the value they were sorted by, and what they were made from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSizeF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QImage, QPainter

from widgets.views.axes import number
from widgets.views.colour_scale import ColourScale
from widgets.views.view import PAPER, View, draw_image, elided, figure_font, fit

if TYPE_CHECKING:
    from widgets.views.thumbnail_grid import ThumbnailGrid

TILE = 72.0  # 0.75 inch: twelve fit the width of a page
GAP = 6.0
CAPTION = 14.0


class ContactSheet(View):
    """Units and their images in rows, under a heading that says layer, role, model and number of images.

    Parameters
    ----------
    units, images
        Unit numbers in order; images of those that have one.
    values, value_name
        What the units are sorted or coloured by (may be empty), and its name with unit.
    labels
        What units are called; stands behind their numbers where there is room.
    title, subtitle
        Two lines of heading.
    made_from
        Provenance of the images.
    """

    def __init__(
        self,
        units: Sequence[int],
        images: Mapping[int, QImage],
        values: Mapping[int, float] | None = None,
        value_name: str = "",
        *,
        labels: Mapping[int, str] | None = None,
        title: str = "",
        subtitle: str = "",
        made_from: Mapping[str, object] | None = None,
    ) -> None:
        self.ink = PAPER
        self.labels = labels or {}
        self.units = tuple(units)
        self.images = {unit: images[unit] for unit in self.units if unit in images}
        self.values = {unit: float(values[unit]) for unit in self.units if unit in values} if values else {}
        self.value_name = value_name
        self.title = title
        self.subtitle = subtitle
        self.made_from = made_from or {}
        self._scale = ColourScale.of(np.array(list(self.values.values())), value_name) if self.values else None

    @classmethod
    def of(cls, grid: ThumbnailGrid) -> ContactSheet:
        """Make the sheet of a grid: its selection when more than one unit is selected, else what is on screen."""
        selected = grid.selected_units()
        units = selected if len(selected) > 1 else grid.visible_units()
        images = {unit: image for unit in units if (image := grid.image(unit)) is not None}
        values = {unit: value for unit in units if (value := grid.value(unit)) is not None}
        return cls(
            units,
            images,
            values,
            grid.value_name,
            labels={unit: label for unit in units if (label := grid.label(unit))},
            title=grid.title,
            subtitle=grid.subtitle,
            made_from=grid.made_from,
        )

    @property
    def columns(self) -> int:
        """Thumbnails in a row: at most twelve, and rather wide than tall."""
        return max(1, min(12, math.ceil(math.sqrt(len(self.units) * 1.6))))

    def figure_size(self) -> QSizeF:
        """Grow with the number of units."""
        rows = math.ceil(len(self.units) / self.columns)
        width = max(300.0, self.columns * (TILE + GAP) - GAP)
        return QSizeF(width + 24, self._heading + rows * (TILE + CAPTION + GAP) + (44 if self._scale else 0) + 20)

    @property
    def _heading(self) -> float:
        return 42.0 if self.subtitle else 24.0

    def paint(self, painter: QPainter, rect: QRectF) -> None:
        """Draw heading, tiles and colour scale; all is scaled together when `rect` differs from the figure's size."""
        size = self.figure_size()
        painter.save()
        area = fit(rect, size.width(), size.height())
        painter.translate(area.topLeft())
        painter.scale(area.width() / size.width(), area.height() / size.height())
        page = QRectF(12, 10, size.width() - 24, size.height() - 20)
        heading, small = figure_font(13, bold=True), figure_font(10)
        painter.setPen(self.ink.text)
        painter.setFont(heading)
        painter.drawText(QPointF(page.left(), page.top() + 12), elided(self.title, page.width(), heading))
        painter.setFont(small)
        painter.setPen(self.ink.faint)
        painter.drawText(QPointF(page.left(), page.top() + 28), elided(self.subtitle, page.width(), small))
        for place, unit in enumerate(self.units):
            row, column = divmod(place, self.columns)
            corner = page.topLeft() + QPointF(column * (TILE + GAP), self._heading - 6 + row * (TILE + CAPTION + GAP))
            self._tile(painter, QRectF(corner, QSizeF(TILE, TILE)), unit)
        if self._scale:
            bar = QRectF(page.left(), page.bottom() - 36, min(260.0, page.width()), 36)
            self._scale.paint(painter, bar, self.ink)
        painter.restore()

    def _tile(self, painter: QPainter, tile: QRectF, unit: int) -> None:
        image = self.images.get(unit)
        if image is None:
            painter.fillRect(tile, self.ink.quiet)
        else:
            draw_image(painter, fit(tile, image.width(), image.height()), image, smooth=True)
        font = figure_font(9)
        painter.setFont(font)
        below = QRectF(tile.left(), tile.bottom(), tile.width(), CAPTION)
        painter.setPen(self.ink.text)
        value = self.values.get(unit)
        called = f"{unit} {self.labels[unit]}" if unit in self.labels else str(unit)
        if value is None or self._scale is None:
            painter.drawText(below, Qt.AlignmentFlag.AlignCenter, elided(called, below.width(), font))
            return
        painter.fillRect(
            QRectF(tile.left(), tile.bottom(), tile.width(), 3), QColor(*self._scale.colours(np.array(value)).tolist())
        )
        below.setTop(below.top() + 3)
        called = elided(called, below.width() - QFontMetricsF(font).horizontalAdvance(f"{number(value)}  "), font)
        painter.drawText(below, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, called)
        painter.setPen(self.ink.faint)
        painter.drawText(below, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, number(value))

    def data(self) -> dict[str, np.ndarray]:
        """``units`` int64 [n]; ``images`` uint8 [n_with_image, y, x, 3] and ``image_units``; ``values`` float64 [n] (NaN: none)."""
        have = [unit for unit in self.units if unit in self.images]
        sides = [max(self.images[unit].width(), self.images[unit].height()) for unit in have]
        side = max(sides, default=0)
        pictures = [_pixels(self.images[unit], side) for unit in have]
        return {
            "units": np.array(self.units, dtype=np.int64),
            "image_units": np.array(have, dtype=np.int64),
            "images": np.stack(pictures) if pictures else np.zeros((0, 0, 0, 3), np.uint8),
            "values": np.array([self.values.get(unit, math.nan) for unit in self.units]),
        }

    def provenance(self) -> dict[str, object]:
        """Name units and value beside what the images were made from."""
        return super().provenance() | {
            "subtitle": self.subtitle,
            "value": self.value_name,
            "units": list(self.units),
            "labels": {str(unit): label for unit, label in self.labels.items()},
            "without image": [unit for unit in self.units if unit not in self.images],
        }


def _pixels(image: QImage, side: int) -> np.ndarray:
    """Pixels uint8 ``side x side x 3``; a smaller (coarse) image is enlarged so that all go into one array."""
    if (image.width(), image.height()) != (side, side):
        image = image.scaled(
            side, side, Qt.AspectRatioMode.IgnoreAspectRatio, Qt.TransformationMode.SmoothTransformation
        )
    image = image.convertToFormat(QImage.Format.Format_RGB888)
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(side, image.bytesPerLine())
    return rows[:, : side * 3].reshape(side, side, 3).copy()
