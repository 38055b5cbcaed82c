"""How often a unit is how active: a histogram with a logarithmic count axis, quantile bands, a null level, and where one image falls."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSizeF, Qt
from PySide6.QtGui import QFontMetricsF, QMouseEvent, QPainter, QPainterPath, QPen
from PySide6.QtWidgets import QToolTip, QWidget

from widgets.views.axes import count, decades, number, tick, ticks
from widgets.views.plot import Plot
from widgets.views.view import blend, figure_font


@dataclass(frozen=True)
class Band:
    """A range of values with a name, such as ``99–100 %``; drawn as a stripe behind the bars."""

    label: str
    low: float
    high: float


class Histogram(Plot):
    """Counts in bins of equal or unequal width; bars show the count in each bin."""

    axis = "count"
    note_share = 0.7
    title_elide = Qt.TextElideMode.ElideLeft

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, logarithmic=True)
        self.setMouseTracking(True)
        self.setMinimumHeight(170)
        self._shared: tuple[float, float, float] | None = None
        self.setAccessibleName("Activation histogram")
        self.clear()

    def clear(self, message: str = "") -> None:
        """Show nothing but a message."""
        self.message = message
        self._edges = np.zeros(0)
        self._counts = np.zeros(0)
        self._bands: tuple[Band, ...] = ()
        self._label = self._unit_of_count = self._note = ""
        self._null: tuple[str, np.ndarray] | None = None
        self._marker: tuple[float, str] | None = None
        self.update()

    def show_counts(
        self,
        edges: np.ndarray,
        counts: np.ndarray,
        *,
        title: str,
        label: str,
        counted: str = "count",
        note: str = "",
        bands: Sequence[Band] = (),
        made_from: Mapping[str, object] | None = None,
    ) -> None:
        """Show a histogram.

        Parameters
        ----------
        edges, counts
            ``[n + 1]`` rising bin edges, ``[n]`` counts.
        title
            Heading of the exported figure.
        label
            Quantity on the x axis, such as ``activation (post-activation)``.
        counted
            What one count is, such as ``positions``.
        note
            Sample size and the like, such as ``7,850 images, 16 positions each``.
        bands
            Named ranges of values.
        made_from
            Provenance.

        Raises
        ------
        ValueError
            When edges and counts do not fit one another.
        """
        edges, counts = np.asarray(edges, float), np.asarray(counts, float)
        if len(edges) != len(counts) + 1 or not (np.diff(edges) > 0).all():
            raise ValueError(f"{len(counts)} counts need {len(counts) + 1} rising edges, got {len(edges)}")
        self.message = ""
        self._edges, self._counts = edges, counts
        self.title, self._label, self._unit_of_count, self._note = title, label, counted, note
        self._bands = tuple(bands)
        self._null = None
        self.made_from = made_from or {}
        self.setAccessibleDescription(f"{title}. {label}. {note}")
        self.update()

    def set_null(self, name: str, counts: np.ndarray) -> None:
        """Draw the null level (counts in the same bins) as an outline, scaled to the same total."""
        self._null = name, np.asarray(counts, float)
        self.update()

    def set_marker(self, value: float | None, text: str = "") -> None:
        """Mark one value, such as that of the dropped image; None takes the mark away."""
        self._marker = None if value is None or not math.isfinite(value) else (value, text)
        self.update()

    def share_axes(self, extent: tuple[float, float, float] | None) -> None:
        """Draw on axes that other histograms have as well: smallest and largest value, largest count; None for its own."""
        self._shared = extent
        self.update()

    def figure_size(self) -> QSizeF:
        """Five columns of a two-column page."""
        return QSizeF(400, 230)

    def data(self) -> dict[str, np.ndarray]:
        """``edges`` [n + 1], ``counts`` [n], and where present ``null_counts`` [n], ``bands`` [m, 2], ``marker`` []."""
        arrays = {"edges": self._edges, "counts": self._counts}
        if self._null:
            arrays["null_counts"] = self._null[1]
        if self._bands:
            arrays["bands"] = np.array([[band.low, band.high] for band in self._bands])
        if self._marker:
            arrays["marker"] = np.array(self._marker[0])
        return arrays

    def provenance(self) -> dict[str, object]:
        """Name axes and null beside what the numbers were made from."""
        return super().provenance() | {
            "x": self._label,
            "y": self._unit_of_count,
            "null": self._null[0] if self._null else None,
            "bands": [band.label for band in self._bands],
            "marker": self._marker[1] if self._marker else None,
        }

    # ------------------------------------------------------------------------------------------------ drawing

    def _plot(self, rect: QRectF) -> QRectF:
        return rect.adjusted(52, 24 + (14 if self._bands else 0), -14, -38)

    def _range(self) -> tuple[float, float]:
        low, high = self._shared[:2] if self._shared else (float(self._edges[0]), float(self._edges[-1]))
        if self._marker:
            low, high = min(low, self._marker[0]), max(high, self._marker[0])
        room = 0.01 * (high - low)
        return low - room, high + room

    def _x(self, value: float, plot: QRectF) -> float:
        low, high = self._range()
        return plot.left() + (value - low) / (high - low) * plot.width()

    @property
    def _most(self) -> float:
        return max(self._shared[2] if self._shared else float(self._counts.max()), 1.0)

    def _height(self, counted: np.ndarray) -> np.ndarray:
        """Height of bars as a share of the plot; on the logarithmic axis a count of 1 stands a little above the ground."""
        most = max(self._most, float(self._null[1].max()) if self._null else 0.0)
        if self._logarithmic:
            return np.log10(np.maximum(counted, 0.5) / 0.5) / math.log10(most * 1.15 / 0.5) * (counted > 0)
        return counted / (most * 1.05)

    def paint(self, painter: QPainter, rect: QRectF) -> None:
        """Draw axes, bands, bars, null, marker."""
        ink, small = self.ink, figure_font(10)
        if not len(self._counts):
            self.paint_message(painter, rect)
            return
        painter.save()
        painter.setClipRect(rect)
        plot = self._plot(rect)
        self.paint_heading(painter, rect)
        painter.setFont(small)
        self._paint_bands(painter, plot)
        self._paint_axes(painter, plot, rect)
        self._paint_bars(painter, plot)
        if self._range()[0] < 0 < self._range()[1]:
            painter.setPen(QPen(ink.line, 1, Qt.PenStyle.DashLine))
            zero = self._x(0, plot)
            painter.drawLine(QPointF(zero, plot.top()), QPointF(zero, plot.bottom()))
        if self._marker:
            self._paint_marker(painter, plot)
        painter.restore()

    def _paint_bands(self, painter: QPainter, plot: QRectF) -> None:
        metrics = QFontMetricsF(painter.font())
        taken = -math.inf
        for place, band in enumerate(self._bands):
            left, right = (min(max(self._x(v, plot), plot.left()), plot.right()) for v in (band.low, band.high))
            strip = QRectF(left, plot.top() - 14, right - left, plot.height() + 14)
            if place % 2 == 0:
                painter.fillRect(strip, self.ink.quiet)
            width = metrics.horizontalAdvance(band.label)
            middle = (left + right) / 2
            if width + 4 <= right - left and middle - width / 2 > taken:
                painter.setPen(self.ink.faint)
                painter.drawText(QPointF(middle - width / 2, plot.top() - 3), band.label)
                taken = middle + width / 2 + 4

    def _paint_axes(self, painter: QPainter, plot: QRectF, rect: QRectF) -> None:
        ink, metrics = self.ink, QFontMetricsF(painter.font())
        most = self._most
        marks = decades(most) if self._logarithmic else ticks(0, most, 5)
        for value in marks:
            y = plot.bottom() - float(self._height(np.array([float(value)]))[0]) * plot.height()
            painter.setPen(QPen(blend(ink.line, ink.paper, 0.4), 1))
            painter.drawLine(QPointF(plot.left(), y), QPointF(plot.right(), y))
            text = count(value)
            painter.setPen(ink.text)
            painter.drawText(
                QPointF(plot.left() - 6 - metrics.horizontalAdvance(text), y + metrics.capHeight() / 2), text
            )
        painter.setPen(QPen(ink.line, 1))
        painter.drawLine(plot.bottomLeft(), plot.bottomRight())
        painter.drawLine(plot.topLeft(), plot.bottomLeft())
        low, high = self._range()
        for value in ticks(low, high, max(2, int(plot.width() / 56))):
            x = self._x(value, plot)
            painter.setPen(QPen(ink.line, 1))
            painter.drawLine(QPointF(x, plot.bottom()), QPointF(x, plot.bottom() + 4))
            painter.setPen(ink.text)
            text = tick(value)
            painter.drawText(
                QPointF(x - metrics.horizontalAdvance(text) / 2, plot.bottom() + 5 + metrics.ascent()), text
            )
        painter.setPen(ink.text)
        below = QRectF(plot.left(), plot.bottom() + 5 + metrics.height(), plot.width(), metrics.height() + 2)
        painter.drawText(below, Qt.AlignmentFlag.AlignCenter, self._label)
        painter.save()
        painter.translate(rect.left() + 10, plot.center().y())
        painter.rotate(-90)
        axis = self._unit_of_count + (" (log)" if self._logarithmic else "")
        painter.drawText(QRectF(-plot.height() / 2, -8, plot.height(), 16), Qt.AlignmentFlag.AlignCenter, axis)
        painter.restore()

    def _outline(self, counts: np.ndarray, plot: QRectF, closed: bool) -> QPainterPath:
        path = QPainterPath(QPointF(self._x(self._edges[0], plot), plot.bottom()))
        for left, right, height in zip(self._edges[:-1], self._edges[1:], self._height(counts), strict=True):
            y = plot.bottom() - float(height) * plot.height()
            path.lineTo(self._x(left, plot), y)
            path.lineTo(self._x(right, plot), y)
        path.lineTo(self._x(self._edges[-1], plot), plot.bottom())
        if closed:
            path.closeSubpath()
        return path

    def _paint_bars(self, painter: QPainter, plot: QRectF) -> None:
        ink = self.ink
        painter.fillPath(self._outline(self._counts, plot, closed=True), ink.bar)
        if self._null:
            name, null = self._null
            painter.setPen(QPen(ink.text, 1, Qt.PenStyle.DotLine))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawPath(self._outline(null, plot, closed=False))
            legend = f"┄ {name}"
            painter.setPen(ink.faint)
            painter.drawText(
                plot.adjusted(0, 2, -4, 0), Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignRight, legend
            )

    def _paint_marker(self, painter: QPainter, plot: QRectF) -> None:
        assert self._marker is not None
        value, text = self._marker
        x, ink, metrics = self._x(value, plot), self.ink, QFontMetricsF(painter.font())
        painter.setPen(QPen(ink.marker, 2))
        painter.drawLine(QPointF(x, plot.top() + 8), QPointF(x, plot.bottom()))
        head = QPainterPath(QPointF(x, plot.bottom()))
        head.lineTo(x - 4, plot.bottom() - 7)
        head.lineTo(x + 4, plot.bottom() - 7)
        painter.fillPath(head, ink.marker)
        width = metrics.horizontalAdvance(text)
        left = x + 5 if x + 5 + width < plot.right() else x - 5 - width
        label = QRectF(left - 2, plot.top() + 6, width + 4, metrics.height())
        painter.fillRect(label, ink.paper)
        painter.setPen(ink.marker)
        painter.drawText(label, Qt.AlignmentFlag.AlignCenter, text)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Say what the bin under the mouse holds."""
        plot = self._plot(QRectF(self.rect()))
        place = event.position()
        if not len(self._counts) or not (plot.left() <= place.x() <= plot.right()):
            QToolTip.hideText()
            return
        low, high = self._range()
        value = low + (place.x() - plot.left()) / plot.width() * (high - low)
        bin_ = int(np.searchsorted(self._edges, value, side="right")) - 1
        if not 0 <= bin_ < len(self._counts):
            QToolTip.hideText()
            return
        share = self._counts[bin_] / max(self._counts.sum(), 1)
        QToolTip.showText(
            event.globalPosition().toPoint(),
            f"{number(self._edges[bin_])} to {number(self._edges[bin_ + 1])}: {count(self._counts[bin_])} "
            f"{self._unit_of_count} ({share:.2%})",
            self,
        )
