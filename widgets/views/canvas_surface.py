"""The surface of a canvas: an image shown pixel by pixel, zoomed and moved, and where its places are in the widget."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSizeF, Qt
from PySide6.QtGui import QPainter, QPen, QResizeEvent, QWheelEvent
from PySide6.QtWidgets import QWidget

from widgets.views.view import PAPER, ViewWidget, as_image, draw_image, elided, figure_font, fit
from workbench.images.thing import Point

DEEPEST = 40.0
"""How far one can zoom in."""


class CanvasSurface(ViewWidget):
    """Shows pixels as squares at any zoom; places are fractions of the shorter side, counted from the middle."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.zoom = 1.0
        self._middle: Point = (0.0, 0.0)  # what stands in the middle of the widget
        self._pixels = np.full((64, 64, 3), 255, np.uint8)

    @property
    def pixels(self) -> np.ndarray:
        """The drawing as the network gets it, uint8 ``y x 3``, read-only."""
        return self._pixels

    @property
    def size_shown(self) -> tuple[int, int]:
        """Height and width in the network's pixels."""
        return self._pixels.shape[0], self._pixels.shape[1]

    def frame(self) -> QRectF:
        """Return where the image stands in the widget."""
        height, width = self.size_shown
        whole = fit(QRectF(self.rect()).adjusted(6, 6, -6, -6), width, height)
        size = QSizeF(whole.width() * self.zoom, whole.height() * self.zoom)
        side = min(size.width(), size.height())
        middle = QRectF(self.rect()).center() - QPointF(self._middle[0] * side, self._middle[1] * side)
        return QRectF(middle - QPointF(size.width() / 2, size.height() / 2), size)

    def point(self, position: QPointF) -> Point:
        """Return the place in the drawing that is shown somewhere in the widget."""
        frame = self.frame()
        away = (position - frame.center()) / min(frame.width(), frame.height())
        return away.x(), away.y()

    def place(self, point: Point) -> QPointF:
        """Return where a place of the drawing is shown."""
        frame = self.frame()
        side = min(frame.width(), frame.height())
        return frame.center() + QPointF(point[0] * side, point[1] * side)

    def zoom_by(self, factor: float, about: QPointF | None = None) -> None:
        """Zoom in or out, a place of the widget staying where it is."""
        about = about or QRectF(self.rect()).center()
        before = self.point(about)
        self.zoom = min(DEEPEST, max(1.0, self.zoom * factor))
        after = self.point(about)
        self._look_at((self._middle[0] + before[0] - after[0], self._middle[1] + before[1] - after[1]))

    def _look_at(self, middle: Point) -> None:
        height, width = self.size_shown
        side = min(height, width)
        far = [max(0.0, length / side / 2 * (1 - 1 / self.zoom)) for length in (width, height)]
        self._middle = tuple(min(most, max(-most, at)) for at, most in zip(middle, far, strict=True))  # type: ignore[assignment]
        self.update()

    def paint(self, painter: QPainter, rect: QRectF) -> None:
        """Draw the pixels as squares; on the screen also handles, the brush, and a message."""
        height, width = self.size_shown
        on_screen = self.ink is not PAPER
        frame = self.frame() if on_screen else fit(rect.adjusted(0, 20, 0, 0), width, height)
        painter.save()
        painter.setClipRect(rect)
        if on_screen:
            painter.fillRect(rect, self.palette().window())  # where the image ends is to be seen
        draw_image(painter, frame, as_image(self._pixels), smooth=False)
        painter.setPen(QPen(self.ink.line, 1))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(frame)
        if on_screen:
            self.paint_over(painter, frame)
        else:
            painter.setFont(figure_font(11, bold=True))
            painter.setPen(self.ink.text)
            painter.drawText(QPointF(rect.left(), rect.top() + 12), elided(self.title, rect.width(), painter.font()))
        painter.restore()

    def paint_over(self, painter: QPainter, frame: QRectF) -> None:
        """Draw what is on the screen only, over the image in `frame`."""

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom about the mouse."""
        self.zoom_by(1.25 ** (event.angleDelta().y() / 120), event.position())
        event.accept()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep what is shown within the image."""
        super().resizeEvent(event)
        self._look_at(self._middle)

    def data(self) -> dict[str, np.ndarray]:
        """``image`` uint8 ``y x 3``: the drawing as the network gets it."""
        return {"image": self._pixels}

    def figure_size(self) -> QSizeF:
        """A square with a title."""
        return QSizeF(320, 340)
