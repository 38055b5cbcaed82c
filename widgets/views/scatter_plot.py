"""Points in a plane, in groups: one colour each, that can be clicked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSizeF, Qt, Signal
from PySide6.QtGui import QColor, QMouseEvent, QPainter, QPen
from PySide6.QtWidgets import QWidget

from widgets.views.axes import tick, ticks
from widgets.views.view import ViewWidget, elided, figure_font

COLOURS = ("#4a78b0", "#c8500a", "#3f8f5b", "#8a5ca8", "#b8860b", "#2b9aa0", "#a0433a", "#6b6b6b")
"""Of the groups, in order; readable on light and dark paper."""
RADIUS, NEAR = 3.0, 12.0


class ScatterPlot(ViewWidget):
    """Points with the same scale on both axes, so that distances are what they look like."""

    picked = Signal(int)
    """Place of the point that was clicked."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMinimumSize(160, 160)
        self.setAccessibleName("Points")
        self.clear()

    def clear(self, message: str = "") -> None:
        """Show nothing but a message."""
        self.message = message
        self._points, self._groups = np.zeros((0, 2)), np.zeros(0, int)
        self._names: tuple[str, ...] = ()
        self._marked, self._label, self._diagonal = -1, "", False
        self.title = ""
        self.update()

    def show_points(
        self,
        points: np.ndarray,
        groups: np.ndarray,
        names: Sequence[str],
        *,
        title: str,
        label: str,
        diagonal: bool = False,
        made_from: Mapping[str, object] | None = None,
    ) -> None:
        """Show points.

        Parameters
        ----------
        points, groups
            ``[n, 2]``, and the group of each, ``[n]``.
        names
            Of the groups.
        label
            What the axes are.
        diagonal
            Whether both axes have one scale with numbers on it, and a line where the two are equal.
        """
        self.message, self._diagonal = "", diagonal
        self._points, self._groups, self._names = np.asarray(points, float), np.asarray(groups, int), tuple(names)
        self.title, self._label, self.made_from, self._marked = title, label, made_from or {}, -1
        counted = ", ".join(f"{name}: {int((self._groups == place).sum())}" for place, name in enumerate(names))
        self.setAccessibleDescription(f"{title}. {counted}")
        self.update()

    def mark(self, point: int) -> None:
        """Draw a ring around one point; -1 for none."""
        self._marked = point
        self.update()

    def figure_size(self) -> QSizeF:
        """Square, with room for the heading."""
        return QSizeF(300, 320)

    def data(self) -> dict[str, np.ndarray]:
        """``points`` float64 [n, 2], ``groups`` int [n]."""
        return {"points": self._points, "groups": self._groups}

    def provenance(self) -> dict[str, object]:
        """Name the axes and the groups."""
        return super().provenance() | {"axes": self._label, "groups": list(self._names)}

    def _area(self, rect: QRectF) -> QRectF:
        if not self._diagonal:
            return rect.adjusted(10, 40, -10, -22)
        room = rect.adjusted(48, 42, -14, -42)
        side = max(1.0, min(room.width(), room.height()))
        return QRectF(room.left(), room.top(), side, side)

    def _at(self, rect: QRectF) -> np.ndarray:
        """Return where each point lies."""
        return self._placed(rect, self._points)

    def _placed(self, rect: QRectF, points: np.ndarray) -> np.ndarray:
        area = self._area(rect)
        low, high = self._points.min(0), self._points.max(0)
        if self._diagonal:
            low, high = np.full(2, low.min()), np.full(2, high.max())
        scale = min(area.width(), area.height()) / max(float((high - low).max()), 1e-9)
        middle = np.array([area.center().x(), area.center().y()])
        turned = (points - (low + high) / 2) * np.array([1.0, -1.0])
        return middle + scale * turned

    def paint(self, painter: QPainter, rect: QRectF) -> None:
        """Draw the points, the names of the groups above them."""
        ink = self.ink
        painter.setPen(ink.text)
        bold, small = figure_font(11, bold=True), figure_font(10)
        painter.setFont(bold)
        painter.drawText(QPointF(rect.left() + 10, rect.top() + 15), elided(self.title, rect.width() - 20, bold))
        painter.setFont(small)
        if not len(self._points):
            painter.setPen(ink.faint)
            painter.drawText(
                rect.adjusted(16, 8, -16, -8), Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, self.message
            )
            return
        x = rect.left() + 10
        for place, name in enumerate(self._names):
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(COLOURS[place % len(COLOURS)]))
            painter.drawEllipse(QPointF(x + 4, rect.top() + 27), RADIUS, RADIUS)
            painter.setPen(ink.text)
            painter.drawText(QPointF(x + 11, rect.top() + 31), name)
            x += 22 + painter.fontMetrics().horizontalAdvance(name)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(ink.line)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(self._area(rect).adjusted(-5, -5, 5, 5))
        if self._diagonal:
            self._paint_scale(painter, rect)
        painter.setPen(Qt.PenStyle.NoPen)
        places = self._at(rect)
        for place, group in zip(places, self._groups, strict=True):
            colour = QColor(COLOURS[group % len(COLOURS)])
            colour.setAlpha(200)
            painter.setBrush(colour)
            painter.drawEllipse(QPointF(*place), RADIUS, RADIUS)
        if 0 <= self._marked < len(places):
            painter.setPen(ink.text)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawEllipse(QPointF(*places[self._marked]), 2 * RADIUS, 2 * RADIUS)
        painter.setPen(ink.faint)
        under = min(rect.bottom() - 4, self._area(rect).bottom() + 34) if self._diagonal else rect.bottom() - 4
        painter.drawText(QPointF(rect.left() + 10, under), elided(self._label, rect.width() - 20, small))

    def _paint_scale(self, painter: QPainter, rect: QRectF) -> None:
        """Draw the line of equal values, and numbers along both axes."""
        area, low, high = self._area(rect), float(self._points.min()), float(self._points.max())
        ends = self._placed(rect, np.array([[low, low], [high, high]]))
        painter.setPen(QPen(self.ink.faint, 1, Qt.PenStyle.DashLine))
        painter.drawLine(QPointF(*ends[0]), QPointF(*ends[1]))
        painter.setPen(self.ink.faint)
        for value in ticks(low, high, 4):
            x, y = self._placed(rect, np.array([[value, value]]))[0]
            below = QRectF(x - 30, area.bottom() + 6, 60, 13)
            painter.drawText(below, Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop, tick(value))
            beside = QRectF(rect.left(), y - 7, area.left() - rect.left() - 8, 14)
            painter.drawText(beside, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, tick(value))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Pick the nearest point, if one is near."""
        if event.button() == Qt.MouseButton.LeftButton and len(self._points):
            away = np.hypot(*(self._at(QRectF(self.rect())) - np.array([event.position().x(), event.position().y()])).T)
            if float(away.min()) <= NEAR:
                self.mark(int(away.argmin()))
                self.picked.emit(int(away.argmin()))
        super().mousePressEvent(event)
