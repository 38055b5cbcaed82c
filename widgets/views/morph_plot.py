"""What units do as one shape turns into another: a curve for each over how far it is on its way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSizeF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QMouseEvent, QPainter, QPainterPath, QPen, QPolygonF
from PySide6.QtWidgets import QToolTip, QWidget

from widgets.views.axes import number, tick, ticks
from widgets.views.legend import LINE, Named, in_lines, paint_names, shade
from widgets.views.plot import Plot
from widgets.views.view import ViewWidget, elided, figure_font

LEFT, RIGHT, TOP, BELOW = 52.0, 16.0, 30.0, 58.0
SHAPE = 7.0
"""Pixels from the middle of a shape below the axis to its ends."""


class MorphPlot(Plot):
    """Responses from a sharp corner to the arc of the same length and turn; both are drawn below the axis."""

    axis = "response"
    note_share = 0.5

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, logarithmic=False)
        self.setMouseTracking(True)
        self.setMinimumSize(180, 160)
        self.setAccessibleName("Response from corner to arc")
        self.clear()

    def clear(self, message: str = "") -> None:
        """Show nothing but a message."""
        self.message, self.title, self._note, self._merit = message, "", "", ""
        self._radii = np.empty(0)
        self._curves: tuple[tuple[str, np.ndarray], ...] = ()
        self._band = np.empty((0, 0))
        self.setAccessibleDescription(message)
        self.update()

    def show_morph(
        self,
        radii: np.ndarray,
        curves: Sequence[tuple[str, np.ndarray]],
        *,
        band: np.ndarray | None = None,
        title: str,
        note: str = "",
        merit: str = "",
        made_from: Mapping[str, object] | None = None,
    ) -> None:
        """Show responses of units, by name, at radii of the rounding (of the image's side): 0 is the corner, the last one the arc.

        The band is ``twin radius``, what the best unit of each random-weight twin does over its largest response, up or down; it is drawn
        at the first unit's largest. `merit` is the one figure that says how much there is to see, on a line of its own.
        """
        self.message, self._radii = "", np.asarray(radii, float)
        self._curves = tuple((name, np.asarray(values, float)) for name, values in curves)
        largest = float(np.abs(self._curves[0][1]).max())
        self._band = np.empty((0, 0)) if band is None else np.asarray(band, float) * largest
        self.title, self._note, self._merit, self.made_from = title, note, merit, made_from or {}
        own = self._curves[0][1]
        self.setAccessibleDescription(f"{title}. Corner {number(float(own[0]))}, arc {number(float(own[-1]))}. {merit} {note}")
        self.update()

    def figure_size(self) -> QSizeF:
        """As wide as a column of text."""
        return QSizeF(400, 280)

    def data(self) -> dict[str, np.ndarray]:
        """``radius`` of the rounding, of the side, and ``response`` ``[unit, radius]`` of ``units`` by name."""
        if not self._curves:
            return {}
        names, values = zip(*self._curves, strict=True)
        found = {"radius": self._radii, "response": np.stack(values), "units": np.array(names)}
        return found | ({"twins": self._band} if len(self._band) else {})

    def provenance(self) -> dict[str, object]:
        """Name the axes beside what the numbers were made from."""
        axes = {"x": "radius of the rounding (of the side): corner to arc", "y": "response above the plain ground"}
        return super().provenance() | axes

    def fill_menu(self, menu: object) -> None:
        """Responses have no logarithmic axis: they may be negative."""
        ViewWidget.fill_menu(self, menu)

    # ------------------------------------------------------------------------------------------------ drawing

    def _colour(self, place: int) -> QColor:
        return self.ink.bar if not place else shade(place - 1, len(self._curves) - 1, self.ink)

    def _names(self, width: float) -> list[list[Named]]:
        """Return the names with their colours in lines; none for one unit, which the title names."""
        named = [(name, self._colour(place)) for place, (name, _) in enumerate(self._curves)]
        return in_lines(named, width) if len(named) > 1 else []

    def _frame(self, rect: QRectF) -> QRectF:
        return rect.adjusted(LEFT, TOP + (LINE if self._merit else 0) + LINE * len(self._names(rect.width() - 12)), -RIGHT, -BELOW)

    def _across(self, frame: QRectF) -> np.ndarray:
        return frame.left() + frame.width() * self._radii / max(float(self._radii[-1]), 1e-9)

    def paint(self, painter: QPainter, rect: QRectF) -> None:
        """Draw axes, curves, and the two shapes."""
        if not self._curves:
            self.paint_message(painter, rect)
            return
        ink = self.ink
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self.paint_heading(painter, rect)
        paint_names(painter, rect.topLeft() + QPointF(8, 22 + (LINE if self._merit else 0)), self._names(rect.width() - 12))
        frame = self._frame(rect)
        every = np.concatenate([*(values for _, values in self._curves), self._band.ravel()])
        low, high = min(0.0, float(every.min())), max(0.0, float(every.max()))
        high += 0.06 * (high - low) or 1.0
        painter.setFont(figure_font(10))
        metrics = QFontMetricsF(painter.font())
        for mark in ticks(low, high, max(2, int(frame.height() / 28))):
            y = frame.bottom() - (mark - low) / (high - low) * frame.height()
            painter.setPen(QPen(ink.line if mark == 0 else ink.quiet, 1))
            painter.drawLine(QPointF(frame.left(), y), QPointF(frame.right(), y))
            painter.setPen(ink.faint)
            text = tick(mark)
            painter.drawText(QPointF(frame.left() - 6 - metrics.horizontalAdvance(text), y + metrics.capHeight() / 2), text)
        painter.setPen(QPen(ink.line, 1))
        painter.drawLine(frame.topLeft(), frame.bottomLeft())
        painter.drawLine(frame.bottomLeft(), frame.bottomRight())
        across = self._across(frame)
        if len(self._band):
            self._paint_band(painter, frame, across, low, high)
        for place in range(len(self._curves) - 1, -1, -1):
            y = frame.bottom() - (self._curves[place][1] - low) / (high - low) * frame.height()
            points = [QPointF(a, b) for a, b in zip(across.tolist(), y.tolist(), strict=True)]
            painter.setPen(QPen(self._colour(place), 1.5 if place else 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawPolyline(QPolygonF(points))
            painter.setBrush(self._colour(place))
            for point in points:
                painter.drawEllipse(point, 2, 2)
        self._paint_below(painter, rect, frame)
        painter.restore()

    def _paint_band(self, painter: QPainter, frame: QRectF, across: np.ndarray, low: float, high: float) -> None:
        """Fill between the least and the most that the twins do."""
        colour = QColor(self.ink.line)
        colour.setAlpha(70)
        y = frame.bottom() - (np.concatenate([self._band.max(0), self._band.min(0)[::-1]]) - low) / (high - low) * frame.height()
        x = np.concatenate([across, across[::-1]])
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colour)
        painter.drawPolygon(QPolygonF([QPointF(a, b) for a, b in zip(x.tolist(), y.tolist(), strict=True)]))

    def _paint_below(self, painter: QPainter, rect: QRectF, frame: QRectF) -> None:
        """Draw the ticks, the corner and the arc, and what the axis is."""
        metrics = QFontMetricsF(painter.font())
        painter.setPen(self.ink.faint)
        for mark in ticks(0, float(self._radii[-1]), 5):
            x, text = frame.left() + frame.width() * mark / max(float(self._radii[-1]), 1e-9), tick(mark)
            painter.drawText(QPointF(x - metrics.horizontalAdvance(text) / 2, frame.bottom() + 3 + metrics.ascent()), text)
        line = QRectF(rect.left() + 4, rect.bottom() - 17, rect.width() - 8, 14)
        painter.drawText(line, Qt.AlignmentFlag.AlignCenter, self._below(line.width(), painter))
        side = QRectF(rect.left() + 2, frame.top(), 14, frame.height())
        painter.save()
        painter.translate(side.left() + metrics.ascent(), side.center().y())
        painter.rotate(-90)
        upright = QRectF(-side.height() / 2, -metrics.ascent(), side.height(), metrics.height())
        painter.drawText(upright, Qt.AlignmentFlag.AlignCenter, "above the plain ground")
        painter.restore()
        painter.setPen(QPen(self.ink.text, 1.5))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        y = frame.bottom() + 32
        corner = QPolygonF([QPointF(frame.left() + dx, y + dy) for dx, dy in ((-SHAPE, SHAPE / 2), (0, -SHAPE / 2), (SHAPE, SHAPE / 2))])
        painter.drawPolyline(corner)
        arc = QPainterPath(QPointF(frame.right() - SHAPE, y + SHAPE / 2))
        arc.quadTo(QPointF(frame.right(), y - SHAPE), QPointF(frame.right() + SHAPE, y + SHAPE / 2))
        painter.drawPath(arc)

    def _below(self, width: float, painter: QPainter) -> str:
        """Say what the axis is, and what the grey is."""
        said = "radius of the rounding (of the side)"
        if len(self._band):
            said += f" · grey: best units of {len(self._band)} twins" + (", at the first one's scale" if len(self._curves) > 1 else "")
        return elided(said, width, painter.font())

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Say the responses at the nearest radius."""
        if not self._curves:
            return
        at = int(np.abs(self._across(self._frame(QRectF(self.rect()))) - event.position().x()).argmin())
        lines = [f"radius {self._radii[at]:.3g} of the side"]
        lines += [f"{name}: {number(float(values[at]))}" for name, values in self._curves]
        QToolTip.showText(event.globalPosition().toPoint(), "\n".join(lines), self)
