"""Curves over one axis, thin ones beside the one that counts, with the band of what chance gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSizeF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QMouseEvent, QPainter, QPen, QPolygonF
from PySide6.QtWidgets import QToolTip, QWidget

from widgets.views.axes import number, tick, ticks
from widgets.views.view import ViewWidget, blend, elided, figure_font

LEFT, RIGHT, TOP, GAP, LABEL = 48.0, 14.0, 24.0, 22.0, 20.0


@dataclass(frozen=True, eq=False)
class Curves:
    """One plot: what it shows, the curve that counts, thin curves beside it, and the band of the null.

    Attributes
    ----------
    values
        ``x``; NaN where there is none.
    beside
        ``curve x``, or none.
    low, high
        ``x`` of the null's band, or none.
    """

    name: str
    values: np.ndarray
    beside: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    low: np.ndarray | None = None
    high: np.ndarray | None = None


class LinePlot(ViewWidget):
    """Plots under one another over the same places, which have names."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.message = self._label = self._note = ""
        self._plots: tuple[Curves, ...] = ()
        self._names: tuple[str, ...] = ()
        self.setMouseTracking(True)
        self.setMinimumSize(200, 160)
        self.setAccessibleName("Curves beside their null")

    def show_plots(
        self,
        names: Sequence[str],
        plots: Sequence[Curves],
        *,
        title: str,
        label: str,
        note: str = "",
        made_from: Mapping[str, object] | None = None,
    ) -> None:
        """Show plots over places of these names, some of which may be empty; `label` says what places are, `note` sample and null."""
        self._names, self._plots = tuple(names), tuple(plots)
        self.title, self._label, self._note, self.made_from = title, label, note, made_from or {}
        self.setAccessibleDescription(f"{title}. {note}")
        self.update()

    def clear(self, message: str) -> None:
        """Show nothing but a message."""
        self.message, self._plots = message, ()
        self.update()

    def figure_size(self) -> QSizeF:
        """As wide as a page's column, and higher with each plot."""
        return QSizeF(480, 110 + 130 * max(1, len(self._plots)))

    def data(self) -> dict[str, np.ndarray]:
        """``places`` by name, and of each plot its values, curves beside and band."""
        found = {"places": np.array(self._names)}
        for plot in self._plots:
            found[plot.name] = plot.values
            if plot.beside.size:
                found[f"{plot.name}, each"] = plot.beside
            if plot.low is not None and plot.high is not None:
                found[f"{plot.name}, null"] = np.stack([plot.low, plot.high])
        return found

    def provenance(self) -> dict[str, object]:
        """Name axis and sample beside what the numbers were made from."""
        return super().provenance() | {"x": self._label, "sample": self._note}

    def _areas(self, rect: QRectF) -> list[QRectF]:
        metrics = QFontMetricsF(figure_font(9))
        longest = max((metrics.horizontalAdvance(name) for name in self._names), default=0.0)
        self._upright = longest + 6 > (rect.width() - LEFT - RIGHT) / max(1, sum(map(bool, self._names)))
        below = (min(longest, rect.height() / 4) + 8 if self._upright else 16) + LABEL + 14
        inner = rect.adjusted(LEFT, TOP + GAP - 4, -RIGHT, -below)
        height = (inner.height() - GAP * (len(self._plots) - 1)) / max(1, len(self._plots))
        return [QRectF(inner.left(), inner.top() + at * (height + GAP), inner.width(), height) for at in range(len(self._plots))]

    def _x(self, area: QRectF) -> np.ndarray:
        count = len(self._names)
        return area.left() + area.width() * (np.arange(count) + 0.5) / count

    def paint(self, painter: QPainter, rect: QRectF) -> None:
        """Draw all plots and their axis."""
        ink = self.ink
        painter.save()
        painter.setClipRect(rect)
        if not self._plots:
            painter.setPen(ink.faint)
            painter.drawText(rect.adjusted(24, 12, -24, -12), Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, self.message)
            painter.restore()
            return
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(figure_font(12, bold=True))
        painter.setPen(ink.text)
        painter.drawText(QPointF(rect.left() + 8, rect.top() + 16), elided(self.title, rect.width() - 16, painter.font()))
        areas = self._areas(rect)
        for plot, area in zip(self._plots, areas, strict=True):
            self._paint_plot(painter, plot, area)
        painter.setFont(figure_font(9))
        painter.setPen(ink.faint)
        last, metrics = areas[-1], QFontMetricsF(figure_font(9))
        for x, name in zip(self._x(last).tolist(), self._names, strict=True):
            if self._upright:
                painter.save()
                painter.translate(x + metrics.ascent() / 2 - 1, last.bottom() + 5)
                painter.rotate(90)
                painter.drawText(QPointF(0, 0), elided(name, rect.height() / 4, painter.font()))
                painter.restore()
            else:
                painter.drawText(QPointF(x - metrics.horizontalAdvance(name) / 2, last.bottom() + 4 + metrics.ascent()), name)
        painter.setFont(figure_font(10))
        foot = QRectF(rect.left() + 8, rect.bottom() - LABEL - 14, rect.width() - 16, LABEL + 12)
        painter.drawText(foot, Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop | Qt.TextFlag.TextWordWrap, self._said())
        painter.restore()

    def _said(self) -> str:
        return f"{self._label}\n{self._note}" if self._note else self._label

    def _paint_plot(self, painter: QPainter, plot: Curves, area: QRectF) -> None:
        ink = self.ink
        every = [plot.values, plot.beside.ravel(), *(band for band in (plot.low, plot.high) if band is not None)]
        finite = np.concatenate([values[np.isfinite(values)] for values in every])
        low, high = min(0.0, float(finite.min(initial=0))), max(0.0, float(finite.max(initial=0)))
        high += 0.06 * (high - low) or 1.0
        x = self._x(area)

        def y(values: np.ndarray) -> np.ndarray:
            return area.bottom() - (values - low) / (high - low) * area.height()

        painter.setFont(figure_font(10))
        painter.setPen(ink.text)
        painter.drawText(QPointF(area.left(), area.top() - 5), plot.name)
        metrics = QFontMetricsF(painter.font())
        for mark in ticks(low, high, 4):
            at = float(y(np.array(mark)))
            painter.setPen(QPen(ink.quiet, 1))
            painter.drawLine(QPointF(area.left(), at), QPointF(area.right(), at))
            painter.setPen(ink.faint)
            text = tick(mark)
            painter.drawText(QPointF(area.left() - 6 - metrics.horizontalAdvance(text), at + metrics.ascent() / 2 - 1), text)
        if plot.low is not None and plot.high is not None:
            there = np.isfinite(plot.low) & np.isfinite(plot.high)
            half = area.width() / len(x) / 2
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(blend(ink.text, ink.paper, 0.16))
            painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)  # bars stand side by side without a seam
            for at, top, bottom in zip(x[there].tolist(), y(plot.high[there]).tolist(), y(plot.low[there]).tolist(), strict=True):
                painter.drawRect(QRectF(QPointF(at - half, top), QPointF(at + half, bottom)))
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for curve in plot.beside:
            self._line(painter, x, y(curve), ink.line, 1.0)
        self._line(painter, x, y(plot.values), ink.marker, 2.0)
        painter.setBrush(ink.marker)
        for a, b in zip(x.tolist(), y(plot.values).tolist(), strict=True):
            if np.isfinite(b) and len(x) <= 40:
                painter.drawEllipse(QPointF(a, b), 2, 2)
        painter.setPen(QPen(ink.line, 1))
        painter.drawLine(area.topLeft(), area.bottomLeft())
        painter.drawLine(area.bottomLeft(), area.bottomRight())

    def _line(self, painter: QPainter, x: np.ndarray, y: np.ndarray, colour: QColor, width: float) -> None:
        painter.setPen(QPen(colour, width))
        there = np.isfinite(y)
        painter.drawPolyline(QPolygonF([QPointF(a, b) for a, b in zip(x[there].tolist(), y[there].tolist(), strict=True)]))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Say the values at the nearest place."""
        areas = self._areas(QRectF(self.rect())) if self._plots else []
        if not areas or not areas[0].left() <= event.position().x() <= areas[0].right():
            QToolTip.hideText()
            return
        at = int(np.abs(self._x(areas[0]) - event.position().x()).argmin())
        lines = [self._names[at]] if self._names[at] else []
        for plot in self._plots:
            null = f" (null {number(plot.low[at])} to {number(plot.high[at])})" if plot.low is not None and plot.high is not None else ""
            lines.append(f"{plot.name}: {number(float(plot.values[at]))}{null}")
        QToolTip.showText(event.globalPosition().toPoint(), "\n".join(lines), self)
