"""Two scores of the same things against each other, on the same scale, beside the line where they agree and the null of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRectF, QSizeF, Qt, Signal
from PySide6.QtGui import QColor, QFontMetricsF, QHelpEvent, QMouseEvent, QPainter, QPen
from PySide6.QtWidgets import QToolTip, QWidget

from widgets.views.axes import number, tick, ticks
from widgets.views.scatter_plot import COLOURS
from widgets.views.view import ViewWidget, blend, elided, figure_font

RADIUS, NEAR = 2.6, 10.0


class ScoreScatter(ViewWidget):
    """Points with ticks on both axes, the diagonal dashed, the null as bands along the axes; each group has a colour."""

    picked = Signal(int)
    """Place of the point that was clicked."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMinimumSize(150, 150)
        self.setAccessibleName("Scores against each other")
        self.clear()

    def clear(self, message: str = "") -> None:
        """Show nothing but a message."""
        self.message = message
        self._points, self._groups = np.zeros((0, 2)), np.zeros(0, int)
        self._groups_named: tuple[str, ...] = ()
        self._names: tuple[str, ...] = ()
        self._axes, self._note, self._marked = ("", ""), "", -1
        self._bands: tuple[tuple[float, float] | None, tuple[float, float] | None] = (None, None)
        self.title = ""
        self.update()

    def show_scores(
        self,
        x: np.ndarray,
        y: np.ndarray,
        names: Sequence[str],
        *,
        title: str,
        axes: tuple[str, str],
        groups: np.ndarray,
        group_names: Sequence[str],
        bands: tuple[tuple[float, float] | None, tuple[float, float] | None] = (None, None),
        note: str = "",
        made_from: Mapping[str, object] | None = None,
    ) -> None:
        """Show scores, ``n`` each; a point of which one is missing is not drawn.

        Parameters
        ----------
        axes
            What lies to the right and upwards.
        groups, group_names
            Number of the group of each, and what the groups are called.
        bands
            Smallest and largest null of either score.
        note
            Stands at the right of the heading, such as a correlation.
        """
        self.message = ""
        self._points, self._names = np.stack([np.asarray(x, float), np.asarray(y, float)], 1), tuple(names)
        self._groups, self._groups_named = np.asarray(groups, int), tuple(group_names)
        self.title, self._axes, self._bands, self._note, self.made_from = title, axes, bands, note, made_from or {}
        self.setAccessibleDescription(f"{title}: {int(self._there.sum())} points. {note}")
        self.update()

    def mark(self, point: int) -> None:
        """Draw a ring around one point; -1 for none."""
        self._marked = point
        self.update()

    @property
    def _there(self) -> np.ndarray:
        return np.isfinite(self._points).all(1)

    def figure_size(self) -> QSizeF:
        """Square, with room for the heading."""
        return QSizeF(320, 340)

    def data(self) -> dict[str, np.ndarray]:
        """``x`` and ``y`` float64 [n], ``names`` str [n], ``groups`` int [n]."""
        return {"x": self._points[:, 0], "y": self._points[:, 1], "names": np.array(self._names, np.str_), "groups": self._groups}

    def provenance(self) -> dict[str, object]:
        """Name the axes, the groups and the null beside what the numbers were made from."""
        told = {"x": self._axes[0], "y": self._axes[1], "groups": list(self._groups_named), "null": list(self._bands), "note": self._note}
        return super().provenance() | told

    def _frame(self, rect: QRectF) -> QRectF:
        return rect.adjusted(40, 24, -10, -34)

    def _span(self) -> tuple[float, float]:
        """Return the ends of both axes: 0, all points, and the null."""
        values = [0.0, *self._points[self._there].ravel(), *(end for band in self._bands if band is not None for end in band)]
        low, high = min(values), max(values)
        room = 0.04 * max(high - low, 1e-6)
        return low - room, high + room

    def _at(self, rect: QRectF) -> np.ndarray:
        """Return where each point lies, NaN for those that are not drawn."""
        frame, (low, high) = self._frame(rect), self._span()
        share = (self._points - low) / (high - low)
        return np.stack([frame.left() + share[:, 0] * frame.width(), frame.bottom() - share[:, 1] * frame.height()], 1)

    def paint(self, painter: QPainter, rect: QRectF) -> None:
        """Draw bands, axes, diagonal, points, and the ring."""
        ink, small, bold = self.ink, figure_font(10), figure_font(11, bold=True)
        if not self._there.any():
            painter.setPen(ink.faint)
            painter.drawText(rect.adjusted(12, 8, -12, -8), Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, self.message)
            return
        frame, (low, high) = self._frame(rect), self._span()
        metrics = QFontMetricsF(small)

        def x(value: float) -> float:
            return frame.left() + (value - low) / (high - low) * frame.width()

        def y(value: float) -> float:
            return frame.bottom() - (value - low) / (high - low) * frame.height()

        painter.setFont(small)
        painter.setPen(ink.faint)
        room = metrics.horizontalAdvance(self._note)
        line = QRectF(rect.left() + 6, rect.top() + 3, rect.width() - 12, 16)
        painter.drawText(line, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, self._note)
        painter.setFont(bold)
        painter.setPen(ink.text)
        title = elided(self.title, line.width() - room - 8, bold)
        painter.drawText(line, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, title)
        band = blend(ink.text, ink.paper, 0.10)
        if self._bands[0] is not None:
            painter.fillRect(QRectF(QPointF(x(self._bands[0][0]), frame.top()), QPointF(x(self._bands[0][1]) + 1, frame.bottom())), band)
        if self._bands[1] is not None:
            painter.fillRect(QRectF(QPointF(frame.left(), y(self._bands[1][1])), QPointF(frame.right(), y(self._bands[1][0]) + 1)), band)
        painter.setFont(small)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for value in ticks(low, high, max(3, int(frame.width() / 40))):
            painter.setPen(QPen(ink.line, 1))
            painter.drawLine(QPointF(x(value), frame.bottom()), QPointF(x(value), frame.bottom() + 3))
            painter.drawLine(QPointF(frame.left() - 3, y(value)), QPointF(frame.left(), y(value)))
            painter.setPen(ink.text)
            width = metrics.horizontalAdvance(tick(value))
            painter.drawText(QPointF(x(value) - width / 2, frame.bottom() + 4 + metrics.ascent()), tick(value))
            painter.drawText(QPointF(frame.left() - 5 - width, y(value) + metrics.capHeight() / 2), tick(value))
        painter.setPen(QPen(ink.line, 1, Qt.PenStyle.DashLine))
        painter.drawLine(QPointF(x(low), y(low)), QPointF(x(high), y(high)))
        painter.setPen(QPen(ink.line, 1))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(frame)
        painter.setPen(Qt.PenStyle.NoPen)
        places = self._at(rect)
        for place, group in zip(places[self._there], self._groups[self._there], strict=True):
            colour = QColor(COLOURS[group % len(COLOURS)])
            colour.setAlpha(190)
            painter.setBrush(colour)
            painter.drawEllipse(QPointF(*place), RADIUS, RADIUS)
        if 0 <= self._marked < len(places) and self._there[self._marked]:
            painter.setPen(QPen(ink.marker, 1.5))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawEllipse(QPointF(*places[self._marked]), 2.4 * RADIUS, 2.4 * RADIUS)
        painter.setPen(ink.faint)
        below = QRectF(frame.left(), frame.bottom() + 18, frame.width(), 14)
        painter.drawText(below, Qt.AlignmentFlag.AlignCenter, elided(self._axes[0], below.width(), small))
        painter.save()
        painter.translate(rect.left() + 8, frame.center().y())
        painter.rotate(-90)
        beside = QRectF(-frame.height() / 2, -7, frame.height(), 14)
        painter.drawText(beside, Qt.AlignmentFlag.AlignCenter, elided(self._axes[1], beside.width(), small))
        painter.restore()

    def _nearest(self, place: QPointF) -> int:
        """Return the point under the mouse; -1 for none."""
        if not self._there.any():
            return -1
        away = np.hypot(*(self._at(QRectF(self.rect())) - np.array([place.x(), place.y()])).T)
        away = np.where(self._there, away, np.inf)
        return int(away.argmin()) if float(away.min()) <= NEAR else -1

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Pick the nearest point, if one is near."""
        if event.button() == Qt.MouseButton.LeftButton and (point := self._nearest(event.position())) >= 0:
            self.picked.emit(point)
        super().mousePressEvent(event)

    def event(self, event: QEvent) -> bool:
        """Say what a point is."""
        if isinstance(event, QHelpEvent):
            point = self._nearest(QPointF(event.pos()))
            text = ""
            if point >= 0:
                x, y = self._points[point]
                text = f"{self._names[point]}\n{self._axes[0]}: {number(x)}\n{self._axes[1]}: {number(y)}"
            QToolTip.showText(event.globalPos(), text, self)
            return True
        return super().event(event)
