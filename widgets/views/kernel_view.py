"""A unit's kernel before and after, channel by channel, to be painted on cell by cell."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSizeF, Qt, Signal
from PySide6.QtGui import QMouseEvent, QPainter, QPen
from PySide6.QtWidgets import QToolTip, QWidget

from widgets.views.axes import number
from widgets.views.colour_scale import ColourScale
from widgets.views.view import ViewWidget, as_image, draw_image, elided, figure_font

SHOWN = 24
"""Channels that are shown, the strongest before and after together."""
LINE, GAP, LEFT, BAR = 16.0, 4.0, 52.0, 62.0
LARGEST = 176.0


class KernelView(ViewWidget):
    """Two rows of squares: the unit's own kernel, and the one written by hand; a drag over the lower row paints."""

    painted = Signal(object)
    """The new kernel, float32 ``channel y x``, when a stroke of the brush is over."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.brush = 1.0
        """Weight that painting gives, in parts of the colour scale's end: 1 is its full red, -1 its full blue."""
        self.message = ""
        self._own = self._hand = np.zeros((0, 0, 0), np.float32)
        self._names: tuple[str, ...] = ()
        self._shown: np.ndarray = np.zeros(0, int)
        self._scale = ColourScale(-1, 1)
        self._stroke: np.ndarray | None = None
        self.setMouseTracking(True)
        self.setMinimumSize(200, 130)
        self.setAccessibleName("Kernel before and after")

    def show_kernels(
        self,
        own: np.ndarray,
        hand: np.ndarray,
        names: Sequence[str],
        *,
        title: str = "",
        made_from: Mapping[str, object] | None = None,
    ) -> None:
        """Show two kernels ``channel y x`` on one scale; `names` are the channels'."""
        self._own, self._hand, self._names = own, np.array(hand, np.float32), tuple(names)
        strength = np.square(own).sum((1, 2)) + np.square(hand).sum((1, 2))
        self._shown = np.sort(np.argsort(-strength, kind="stable")[:SHOWN])
        most = float(max(np.abs(own).max(initial=0), np.abs(hand).max(initial=0))) or 1.0
        self._scale = ColourScale(-most, most, "weight")
        self.title, self.made_from, self._stroke = title, made_from or {}, None
        self.setAccessibleDescription(f"{len(own)} channels of {own.shape[1]} x {own.shape[2]}, {len(self._shown)} shown")
        self.update()

    def clear(self, message: str = "") -> None:
        """Show nothing but a message."""
        self.message = message
        self._own = self._hand = np.zeros((0, 0, 0), np.float32)
        self._shown, self._stroke = np.zeros(0, int), None
        self.update()

    @property
    def hand(self) -> np.ndarray:
        """The kernel written by hand, as it is shown."""
        return self._hand if self._stroke is None else self._stroke

    def _squares(self, rect: QRectF) -> tuple[float, int, list[tuple[QPointF, QPointF]]]:
        """Return the side of a square, how many stand side by side, and for each channel where its two squares begin."""
        number_shown = max(1, len(self._shown))
        width, height = rect.width() - LEFT - BAR, rect.height() - LINE
        best, columns = 0.0, 1
        for lines in range(1, number_shown + 1):
            across = math.ceil(number_shown / lines)
            side = min(LARGEST, width / across - GAP, (height / lines - LINE - 2 * GAP) / 2)
            if side > best:
                best, columns = side, across
        best = max(best, 4.0)
        places = []
        for place in range(len(self._shown)):
            x = rect.left() + LEFT + place % columns * (best + GAP)
            y = rect.top() + LINE + place // columns * (2 * best + LINE + 2 * GAP)
            places.append((QPointF(x, y), QPointF(x, y + best + GAP)))
        return best, columns, places

    def paint(self, painter: QPainter, rect: QRectF) -> None:
        """Draw both rows with the channels' names, and the scale."""
        ink = self.ink
        if not len(self._shown):
            painter.setPen(ink.faint)
            painter.drawText(rect.adjusted(16, 8, -16, -8), Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, self.message)
            return
        side, columns, places = self._squares(rect)
        painter.setFont(figure_font(11, bold=True))
        painter.setPen(ink.text)
        hidden = len(self._own) - len(self._shown)
        title = self.title + (f" · the strongest {len(self._shown)} of {len(self._own)} channels" if hidden else "")
        painter.drawText(QPointF(rect.left() + 6, rect.top() + 12), elided(title, rect.width() - 12, painter.font()))
        small = figure_font(10)
        painter.setFont(small)
        for place, (channel, (above, below)) in enumerate(zip(self._shown.tolist(), places, strict=True)):
            for corner, kernel in ((above, self._own), (below, self.hand)):
                square = QRectF(corner.x(), corner.y(), side, side)
                pixels = np.ascontiguousarray(self._scale.colours(kernel[channel]))
                draw_image(painter, square, as_image(pixels), smooth=False)
                painter.setPen(QPen(ink.line, 1))
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.drawRect(square)
            painter.setPen(ink.faint)
            name = QRectF(below.x(), below.y() + side, side, LINE - 2)
            painter.drawText(name, Qt.AlignmentFlag.AlignCenter, elided(self._names[channel], side, small))
            if place % columns == 0:
                for corner, word in ((above, "own"), (below, "by hand")):
                    line = QRectF(rect.left() + 4, corner.y(), LEFT - 8, side)
                    painter.drawText(line, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, word)
        bar = QRectF(rect.right() - BAR + 8, rect.top() + LINE, BAR - 10, min(rect.height() - LINE - 8, 140))
        self._scale.paint(painter, bar, ink)

    # ------------------------------------------------------------------------------------------------ painting

    def _cell(self, position: QPointF, row: int) -> tuple[int, int, int] | None:
        """Return channel, row and column of the cell under the mouse in the upper (0) or the lower (1) kernels."""
        if not len(self._shown):
            return None
        side, _, places = self._squares(QRectF(self.rect()))
        rows, columns = self._own.shape[1:]
        for channel, corners in zip(self._shown.tolist(), places, strict=True):
            inside = position - corners[row]
            if 0 <= inside.x() < side and 0 <= inside.y() < side:
                return channel, int(inside.y() / side * rows), int(inside.x() / side * columns)
        return None

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Begin a stroke."""
        if event.button() == Qt.MouseButton.LeftButton and self._cell(event.position(), 1) is not None:
            self._stroke = self._hand.copy()
            self._dab(event)
        else:
            super().mousePressEvent(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Go on with a stroke, or say what lies under the mouse."""
        if self._stroke is not None:
            self._dab(event)
            return
        for row, kernel, word in ((0, self._own, "own"), (1, self._hand, "by hand")):
            cell = self._cell(event.position(), row)
            if cell is not None:
                text = f"{self._names[cell[0]]}, row {cell[1]}, column {cell[2]}\n{word}: {number(float(kernel[cell]))}"
                QToolTip.showText(event.globalPosition().toPoint(), text, self)
        self.setCursor(Qt.CursorShape.CrossCursor if self._cell(event.position(), 1) else Qt.CursorShape.ArrowCursor)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """End the stroke."""
        if self._stroke is not None and event.button() == Qt.MouseButton.LeftButton:
            self._hand, self._stroke = self._stroke, None
            self.painted.emit(self._hand)

    def _dab(self, event: QMouseEvent) -> None:
        cell = self._cell(event.position(), 1)
        if cell is not None and self._stroke is not None:
            self._stroke[cell] = self.brush * self._scale.high
            self.update()

    def data(self) -> dict[str, np.ndarray]:
        """``own`` and ``hand`` float32 [channel, y, x], and which channels are ``shown``."""
        return {"own": self._own, "hand": self.hand, "shown": self._shown} if len(self._shown) else {}

    def figure_size(self) -> QSizeF:
        """Two columns of a page wide."""
        return QSizeF(624, 260)
