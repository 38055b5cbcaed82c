"""What a unit and a kernel in its place respond: curves over the direction of stimuli, and real images as dots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSizeF, Qt
from PySide6.QtGui import QColor, QPainter, QPen, QPolygonF
from PySide6.QtWidgets import QMenu, QWidget

from widgets.views.axes import tick, ticks
from widgets.views.plot import Plot
from widgets.views.view import ViewWidget, elided, figure_font

LEFT, BOTTOM, TOP, BETWEEN = 38.0, 30.0, 24.0, 40.0
DOTS = 600
"""Images drawn as dots; all are counted."""
Curve = tuple[np.ndarray, np.ndarray, np.ndarray]


class ResponsePlot(Plot):
    """One plot for each kind of stimulus, the unit's own in blue and by hand in orange, and one of real images, own against by hand."""

    axis = "response"
    note_share: ClassVar[float] = 0.6

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, logarithmic=False)
        self.setMinimumSize(200, 150)
        self.setAccessibleName("Responses before and after")
        self.clear()

    def clear(self, message: str = "") -> None:
        """Show nothing but a message."""
        self.message = message
        self._curves: dict[str, Curve] = {}
        self._images = (np.zeros(0), np.zeros(0))
        self.update()

    def show_responses(
        self,
        curves: Mapping[str, Curve],
        own: np.ndarray,
        hand: np.ndarray,
        *,
        title: str,
        note: str,
        made_from: Mapping[str, object] | None = None,
    ) -> None:
        """Show responses: by stimulus degrees, own, by hand; and of images the largest of each."""
        self._curves, self._images = dict(curves), (np.asarray(own, float), np.asarray(hand, float))
        self.title, self._note, self.made_from = title, note, made_from or {}
        self.setAccessibleDescription(f"{title}. {note}")
        self.update()

    def fill_menu(self, menu: QMenu) -> None:
        """Responses have no logarithmic axis: they may be negative."""
        ViewWidget.fill_menu(self, menu)

    def paint(self, painter: QPainter, rect: QRectF) -> None:
        """Draw the plots side by side."""
        if not self._curves:
            self.paint_message(painter, rect)
            return
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self.paint_heading(painter, rect)
        inner = rect.adjusted(LEFT, TOP + 14, -10, -BOTTOM)
        number = len(self._curves) + 1
        width = (inner.width() - BETWEEN * (number - 1)) / number
        plots = [QRectF(inner.left() + place * (width + BETWEEN), inner.top(), width, inner.height()) for place in range(number)]
        painter.setFont(figure_font(10))
        for plot, (name, (degrees, own, hand)) in zip(plots, self._curves.items(), strict=False):
            reach = degrees.min(), degrees.max()
            frame = self._frame(painter, plot, (f"{name}, by direction", "degrees"), reach, np.concatenate([own, hand]))
            for values, colour in ((own, self.ink.bar), (hand, self.ink.marker)):
                painter.setPen(QPen(colour, 1.6))
                painter.drawPolyline(QPolygonF([frame(a, b) for a, b in zip(degrees.tolist(), values.tolist(), strict=True)]))
        own, hand = self._images
        low, high = min(own.min(initial=0), hand.min(initial=0)), max(own.max(initial=1e-9), hand.max(initial=1e-9))
        frame = self._frame(painter, plots[-1], (f"by hand, {len(own):,} images", "own"), (low, high), np.array([low, high]))
        painter.setPen(QPen(self.ink.line, 1, Qt.PenStyle.DashLine))
        painter.drawLine(frame(low, low), frame(high, high))
        dot = QColor(self.ink.marker)
        dot.setAlpha(110)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(dot)
        for a, b in zip(own[:DOTS].tolist(), hand[:DOTS].tolist(), strict=True):
            painter.drawEllipse(frame(a, b), 1.6, 1.6)
        self._legend(painter, plots[0])
        painter.restore()

    def _frame(self, painter: QPainter, plot: QRectF, names: tuple[str, str], across: tuple[float, float], values: np.ndarray):
        """Draw axes and their names, above and below; return what turns numbers into places."""
        low, high = min(0.0, float(values.min())), float(values.max())
        high = high if high > low else low + 1
        left, right = float(across[0]), float(across[1]) if across[1] > across[0] else float(across[0]) + 1

        def place(x: float, y: float) -> QPointF:
            along, up = (x - left) / (right - left), (y - low) / (high - low)
            return QPointF(plot.left() + along * plot.width(), plot.bottom() - up * plot.height())

        painter.setPen(QPen(self.ink.line, 1))
        painter.drawLine(plot.topLeft(), plot.bottomLeft())
        painter.drawLine(plot.bottomLeft(), plot.bottomRight())
        painter.setPen(self.ink.text)
        above, below = names
        painter.drawText(QPointF(plot.left(), plot.top() - 6), elided(above, plot.width() + BETWEEN - 4, painter.font()))
        painter.setPen(self.ink.faint)
        for mark in ticks(low, high, 4):
            line = QRectF(plot.left() - LEFT, place(left, mark).y() - 7, LEFT - 4, 14)
            painter.drawText(line, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, tick(mark))
        for mark in ticks(left, right, 4):
            at = place(mark, low)
            painter.drawText(QRectF(at.x() - 20, plot.bottom() + 2, 40, 13), Qt.AlignmentFlag.AlignCenter, tick(mark))
        painter.drawText(QRectF(plot.left() - 20, plot.bottom() + 15, plot.width() + 40, 14), Qt.AlignmentFlag.AlignCenter, below)
        return place

    def _legend(self, painter: QPainter, plot: QRectF) -> None:
        """Say which colour is which."""
        for place, (name, colour) in enumerate((("own", self.ink.bar), ("by hand", self.ink.marker))):
            y = plot.top() + 8 + 13 * place
            painter.setPen(QPen(colour, 2))
            painter.drawLine(QPointF(plot.right() - 58, y), QPointF(plot.right() - 46, y))
            painter.setPen(self.ink.text)
            painter.drawText(QPointF(plot.right() - 42, y + 4), name)

    def data(self) -> dict[str, np.ndarray]:
        """By stimulus ``NAME_degrees``, ``NAME_own``, ``NAME_hand``; of the images ``images_own`` and ``images_hand``."""
        arrays = {
            f"{name}_{part}": values
            for name, curve in self._curves.items()
            for part, values in zip(("degrees", "own", "hand"), curve, strict=True)
        }
        return arrays | ({"images_own": self._images[0], "images_hand": self._images[1]} if self._curves else {})

    def figure_size(self) -> QSizeF:
        """Two columns of a page wide."""
        return QSizeF(624, 200)
