"""Colour for numbers: tables even in perceived lightness, and the bar that says which colour is which value.

The tables are computed here in OKLab (Ottosson 2020), where distance is close to perceived difference: lightness changes in equal
steps, so that a step in the data looks the same size anywhere on the scale, in print and to a colour-blind reader alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QFontMetricsF, QPainter, QPen

from widgets.views.axes import tick, ticks
from widgets.views.view import Ink, as_image, draw_image, elided, figure_font

_LMS = np.array([[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.2914855480]])
_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def _srgb(lightness: np.ndarray, chroma: np.ndarray, hue: np.ndarray) -> np.ndarray:
    """OKLCh to sRGB in [0, 1]; where a colour does not exist, chroma is lowered until it does, lightness stays."""

    def linear(chroma: np.ndarray) -> np.ndarray:
        lab = np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], axis=-1)
        return (lab @ _LMS.T) ** 3 @ _RGB.T

    low, high = np.zeros_like(chroma), chroma
    for _ in range(24):
        middle = (low + high) / 2
        inside = ((linear(middle) >= -1e-6) & (linear(middle) <= 1 + 1e-6)).all(axis=-1)
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    light = linear(low).clip(0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


@cache
def sequential() -> np.ndarray:
    """Table uint8 ``256 x 3`` from near black over violet and orange to pale yellow; for values from zero up."""
    t = np.linspace(0, 1, 256)
    table = _srgb(0.16 + 0.80 * t, 0.06 + 0.15 * np.sin(np.pi * t**0.9), np.deg2rad(-75 + 175 * t))
    return _frozen(table)


@cache
def diverging() -> np.ndarray:
    """Table uint8 ``256 x 3`` from blue over white to red, equally light at equal distance from the middle; for signed values."""
    t = np.abs(np.linspace(-1, 1, 256))
    hue = np.where(np.linspace(-1, 1, 256) < 0, np.deg2rad(256), np.deg2rad(27))
    return _frozen(_srgb(0.97 - 0.57 * t, 0.21 * t**0.8, hue))


def _frozen(table: np.ndarray) -> np.ndarray:
    pixels = np.round(table * 255).astype(np.uint8)
    pixels.setflags(write=False)
    return pixels


@dataclass(frozen=True)
class ColourScale:
    """Which colour stands for which value.

    Attributes
    ----------
    low, high
        Values at the two ends; what lies outside takes the end's colour.
    label
        Quantity and unit, such as ``activation (post)``.
    """

    low: float
    high: float
    label: str = ""

    @classmethod
    def of(cls, values: np.ndarray, label: str = "") -> ColourScale:
        """Make the scale that holds all `values`: from zero up when none is negative, else symmetric about zero."""
        finite = values[np.isfinite(values)]
        highest = float(np.abs(finite).max()) if finite.size else 0.0
        highest = highest or 1.0
        return cls(-highest if (finite < 0).any() else 0.0, highest, label)

    @property
    def signed(self) -> bool:
        """Whether zero lies within the scale, and so is white."""
        return self.low < 0 < self.high

    @property
    def table(self) -> np.ndarray:
        """The colours, uint8 ``256 x 3``."""
        return diverging() if self.signed else sequential()

    def place(self, values: np.ndarray) -> np.ndarray:
        """Return where values lie on the scale, in [0, 1]; not-a-number counts as the low end."""
        return np.nan_to_num((values - self.low) / (self.high - self.low), nan=0.0).clip(0, 1)

    def colours(self, values: np.ndarray) -> np.ndarray:
        """Colour values: any shape in, uint8 of that shape and 3 channels out."""
        return self.table[np.round(self.place(values) * 255).astype(np.intp)]

    def paint(self, painter: QPainter, rect: QRectF, ink: Ink) -> None:
        """Draw the bar with ticks and label into `rect`: upright when it is taller than wide."""
        font = figure_font(10)
        metrics = QFontMetricsF(font)
        painter.save()
        painter.setFont(font)
        if rect.height() > rect.width():
            label_room = metrics.height() + 2 if self.label else 0
            bar = QRectF(rect.left(), rect.top(), 10, rect.height()).adjusted(0, 5, 0, -5)
            draw_image(painter, bar, as_image(self.table[::-1, None]), smooth=False)
        else:
            label_room = 0
            bar = QRectF(rect.left(), rect.top(), rect.width(), 8).adjusted(8, 0, -8, 0)
            draw_image(painter, bar, as_image(self.table[None]), smooth=False)
        painter.setPen(QPen(ink.line, 1))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(bar)
        upright = rect.height() > rect.width()
        room = (
            bar.height() / (metrics.height() * 1.6) if upright else bar.width() / metrics.horizontalAdvance("−0.0000")
        )
        for value in ticks(self.low, self.high, max(2, min(6, int(room)))):
            share = (value - self.low) / (self.high - self.low)
            painter.setPen(QPen(ink.line, 1))
            if upright:
                y = bar.bottom() - share * bar.height()
                painter.drawLine(QPointF(bar.right(), y), QPointF(bar.right() + 3, y))
                painter.setPen(ink.text)
                painter.drawText(QPointF(bar.right() + 6, y + metrics.capHeight() / 2), tick(value))
            else:
                x = bar.left() + share * bar.width()
                painter.drawLine(QPointF(x, bar.bottom()), QPointF(x, bar.bottom() + 3))
                painter.setPen(ink.text)
                width = metrics.horizontalAdvance(tick(value))
                painter.drawText(QPointF(x - width / 2, bar.bottom() + 4 + metrics.ascent()), tick(value))
        painter.setPen(ink.faint)
        if upright and self.label:
            painter.translate(rect.right() - label_room / 2, bar.center().y())
            painter.rotate(-90)
            painter.drawText(
                QRectF(-rect.height() / 2, -label_room / 2, rect.height(), label_room),
                Qt.AlignmentFlag.AlignCenter,
                elided(self.label, rect.height(), painter.font()),
            )
        elif self.label:
            top = bar.bottom() + 4 + metrics.height()
            painter.drawText(
                QRectF(rect.left(), top, rect.width(), metrics.height()), Qt.AlignmentFlag.AlignCenter, self.label
            )
        painter.restore()
