"""Numbers for each range of an activation as bars: one number, or shares of several classes on top of one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSizeF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QMouseEvent, QPainter, QPen
from PySide6.QtWidgets import QToolTip, QWidget

from widgets.views.axes import number, tick, ticks
from widgets.views.plot import Plot
from widgets.views.view import elided, figure_font

LEFT, RIGHT, TOP, BOTTOM = 52, 14, 26, 36
LEGEND = 15
COLOURS = ("#2a6f9e", "#8fbbd9", "#e0b36a", "#b9bec6", "#9b7fb5", "#7fae85", "#d98c8c", "#b3a58c", "#666c75")
"""Of the classes: from what it is to what has nothing to do with it."""


class BinPlot(Plot):
    """Bars over bins of an activation; several series stand on top of one another and have a legend."""

    axis = "value"
    note_share = 0.5

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, logarithmic=False)
        self.setMouseTracking(True)
        self.setMinimumSize(180, 150)
        self.setAccessibleName("Bars over activation")
        self.clear()

    def clear(self, message: str = "") -> None:
        """Show nothing but a message."""
        self.message = message
        self._edges, self._values, self._names = np.zeros(0), np.zeros((0, 1)), ()
        self._label = self._value_label = self._note = ""
        self.setAccessibleDescription(message)
        self.update()

    def show_bins(
        self,
        edges: np.ndarray,
        values: np.ndarray,
        *,
        title: str,
        label: str,
        value_label: str,
        names: Sequence[str] = (),
        note: str = "",
        logarithmic: bool = False,
        made_from: Mapping[str, object] | None = None,
    ) -> None:
        """Show bars.

        Parameters
        ----------
        edges, values
            ``bin + 1``, and ``bin`` or ``bin class``; NaN leaves a bin empty.
        label, value_label
            Names of the axes, with their units.
        names
            Of the classes.
        note
            Sample size and the like.
        """
        self.message = ""
        self._edges, self._values = np.asarray(edges, float), np.asarray(values, float).reshape(len(edges) - 1, -1)
        self._names, self._label, self._value_label, self._note = tuple(names), label, value_label, note
        self.title, self.made_from = title, made_from or {}
        self.logarithmic = logarithmic
        self.setAccessibleDescription(f"{title}: {value_label} over {label}. {note}")
        self.update()

    def figure_size(self) -> QSizeF:
        """Half a page wide."""
        return QSizeF(400, 240 + LEGEND * len(self._names))

    def data(self) -> dict[str, np.ndarray]:
        """``edges`` float64 ``[bin + 1]``, ``values`` ``[bin, class]``, ``names`` str ``[class]``."""
        return {"edges": self._edges, "values": self._values, "names": np.array(self._names, np.str_)}

    def provenance(self) -> dict[str, object]:
        """Name the axes beside what the numbers were made from."""
        return super().provenance() | {"x": self._label, "y": self._value_label}

    # ------------------------------------------------------------------------------------------------ drawing

    def _plot(self, rect: QRectF) -> QRectF:
        return rect.adjusted(LEFT, TOP + LEGEND * -(-len(self._names) // 2), -RIGHT, -BOTTOM)

    def _range(self) -> tuple[float, float]:
        """Return the lowest and highest value of the axis (their logarithms where it is logarithmic)."""
        totals = np.nansum(self._values, 1)
        if self._logarithmic:
            positive = totals[totals > 0]
            return (float(np.log10(positive.min())) - 0.4, float(np.log10(positive.max())) + 0.1) if len(positive) else (-1.0, 0.0)
        if self._names:
            return 0.0, 1.0
        low, high = min(0.0, float(totals.min())), max(0.0, float(totals.max()))
        return low - 0.05 * (high - low) * (low < 0), high + (0.06 * (high - low) or 1.0)

    def paint(self, painter: QPainter, rect: QRectF) -> None:
        """Draw heading, legend, axes and bars."""
        if not len(self._edges):
            self.paint_message(painter, rect)
            return
        painter.save()
        painter.setClipRect(rect)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self.paint_heading(painter, rect)
        painter.setFont(figure_font(10))
        plot = self._plot(rect)
        low, high = self._range()
        self._paint_legend(painter, rect)
        self._paint_axes(painter, plot, low, high)

        def height(value: float) -> float:
            shown = np.log10(max(value, 1e-300)) if self._logarithmic else value
            return plot.bottom() - (min(max(float(shown), low), high) - low) / (high - low) * plot.height()

        base = low if self._logarithmic else 0.0
        floor = plot.bottom() if self._logarithmic else height(base)
        for place, shares in enumerate(self._values):
            left, right = (self._x(plot, edge) for edge in self._edges[place : place + 2])
            before, below = 0.0, floor
            for one, share in enumerate(shares):
                if not np.isfinite(share) or share == 0:
                    continue
                before += float(share)
                above = height(before)
                colour = QColor(COLOURS[one % len(COLOURS)]) if self._names else self.ink.bar
                painter.fillRect(QRectF(left + 0.5, min(above, below), max(right - left - 1, 1), abs(below - above)), colour)
                below = above
        painter.setPen(QPen(self.ink.line, 1))
        painter.drawLine(QPointF(plot.left(), floor), QPointF(plot.right(), floor))
        painter.restore()

    def _x(self, plot: QRectF, value: float) -> float:
        first, last = self._edges[0], self._edges[-1]
        return plot.left() + float((value - first) / max(last - first, 1e-12)) * plot.width()

    def _paint_legend(self, painter: QPainter, rect: QRectF) -> None:
        width = (rect.width() - LEFT - RIGHT) / 2
        for place, name in enumerate(self._names):
            left, top = rect.left() + LEFT + (place % 2) * width, rect.top() + TOP - 2 + (place // 2) * LEGEND
            painter.fillRect(QRectF(left, top + 3, 9, 9), QColor(COLOURS[place % len(COLOURS)]))
            painter.setPen(self.ink.text)
            painter.drawText(QPointF(left + 14, top + 11), elided(name, width - 20, painter.font()))

    def _paint_axes(self, painter: QPainter, plot: QRectF, low: float, high: float) -> None:
        ink, metrics = self.ink, QFontMetricsF(painter.font())
        marks = [float(power) for power in range(int(np.ceil(low)), int(np.floor(high)) + 1)] if self._logarithmic else ticks(low, high, 5)
        for mark in marks:
            y = plot.bottom() - (mark - low) / (high - low) * plot.height()
            painter.setPen(QPen(ink.quiet, 1))
            painter.drawLine(QPointF(plot.left(), y), QPointF(plot.right(), y))
            painter.setPen(ink.faint)
            text = tick(10**mark if self._logarithmic else mark)
            painter.drawText(QPointF(plot.left() - 6 - metrics.horizontalAdvance(text), y + metrics.ascent() / 2 - 1), text)
        for mark in ticks(float(self._edges[0]), float(self._edges[-1]), 7):
            x, text = self._x(plot, mark), tick(mark)
            painter.setPen(ink.faint)
            painter.drawLine(QPointF(x, plot.bottom()), QPointF(x, plot.bottom() + 3))
            painter.drawText(QPointF(x - metrics.horizontalAdvance(text) / 2, plot.bottom() + 4 + metrics.ascent()), text)
        line = QRectF(plot.left() - LEFT, plot.bottom() + 19, plot.width() + LEFT, 16)
        said = f"{self._value_label} over {self._label}"
        painter.drawText(line, Qt.AlignmentFlag.AlignCenter, elided(said, line.width(), painter.font()))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Say the numbers of the bin under the mouse."""
        plot = self._plot(QRectF(self.rect()))
        x = event.position().x()
        if not len(self._edges) or not plot.left() <= x <= plot.right():
            QToolTip.hideText()
            return
        value = self._edges[0] + (x - plot.left()) / plot.width() * (self._edges[-1] - self._edges[0])
        place = int(np.clip(np.searchsorted(self._edges, value, "right") - 1, 0, len(self._values) - 1))
        lines = [f"{number(float(self._edges[place]))} to {number(float(self._edges[place + 1]))}"]
        names = self._names or (self._value_label,)
        lines += [f"{name}: {number(float(share))}" for name, share in zip(names, self._values[place], strict=False)]
        QToolTip.showText(event.globalPosition().toPoint(), "\n".join(lines), self)
