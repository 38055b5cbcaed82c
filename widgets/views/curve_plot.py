"""Quantities that change as something goes on, such as the loss of a training: one plot below the other, over one axis of steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSizeF, Qt
from PySide6.QtGui import QFontMetricsF, QMouseEvent, QPainter, QPen, QPolygonF
from PySide6.QtWidgets import QToolTip, QWidget

from widgets.views.axes import count, decades, number, tick, ticks
from widgets.views.plot import Plot
from widgets.views.view import figure_font

LEFT, RIGHT, TOP, BOTTOM = 52, 14, 24, 34
"""Room around the plots for heading, ticks and the name of the axis."""
GAP = 20
"""Between two plots, for the name of the lower one."""


class CurvePlot(Plot):
    """Each quantity has a plot of its own that reaches down to zero; the axis of steps is theirs in common, linear or logarithmic."""

    axis = "step"
    note_share = 0.6

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, logarithmic=False)
        self.setMouseTracking(True)
        self.setMinimumSize(160, 140)
        self.setAccessibleName("Curves")
        self.clear()

    def clear(self, message: str = "") -> None:
        """Show nothing but a message."""
        self.message = message
        self._curves: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self._label = self._note = ""
        self.setAccessibleDescription(message)
        self.update()

    def show_curves(
        self,
        curves: Mapping[str, tuple[Sequence[int], Sequence[float]]],
        *,
        title: str,
        label: str,
        note: str = "",
        made_from: Mapping[str, object] | None = None,
    ) -> None:
        """Show some quantities.

        Parameters
        ----------
        curves
            By name, ``(steps, values)``: rising numbers of steps, and the value at each.
        title
            Heading of the figure.
        label
            What the steps are, such as ``weight updates``.
        note
            Sample size and the like, such as ``each point the mean of 10 updates``.
        made_from
            Provenance.
        """
        self.message = ""
        self._curves = {
            name: (np.asarray(steps, float), np.asarray(values, float)) for name, (steps, values) in curves.items()
        }
        self.title, self._label, self._note, self.made_from = title, label, note, made_from or {}
        last = ", ".join(f"{name} {number(values[-1])}" for name, (_, values) in self._curves.items() if len(values))
        self.setAccessibleDescription(f"{title}. Last: {last}. {note}")
        self.update()

    def figure_size(self) -> QSizeF:
        """As wide as a column of text, and higher with each plot."""
        return QSizeF(400, TOP + BOTTOM + 120 * max(1, len(self._curves)) + GAP * max(0, len(self._curves) - 1))

    def data(self) -> dict[str, np.ndarray]:
        """Of every quantity its values under its name, and ``NAME_steps``, each ``[n]``."""
        return {
            key: array
            for name, (steps, values) in self._curves.items()
            for key, array in ((name, values), (f"{name}_steps", steps))
        }

    def provenance(self) -> dict[str, object]:
        """Name the axes beside what the numbers were made from."""
        return super().provenance() | {"x": self._label, "y": list(self._curves)}

    # ------------------------------------------------------------------------------------------------ drawing

    def _plots(self, rect: QRectF) -> dict[str, QRectF]:
        """Return where each quantity is drawn."""
        inner = rect.adjusted(LEFT, TOP + GAP - 6, -RIGHT, -BOTTOM)
        height = (inner.height() - GAP * (len(self._curves) - 1)) / len(self._curves)
        return {
            name: QRectF(inner.left(), inner.top() + place * (height + GAP), inner.width(), height)
            for place, name in enumerate(self._curves)
        }

    def _last(self) -> float:
        return max([1.0, *(float(steps[-1]) for steps, _ in self._curves.values() if len(steps))])

    def _share(self, steps: np.ndarray) -> np.ndarray:
        """Return where steps stand along the axis, in [0, 1]; on the logarithmic one it begins at 1."""
        if self._logarithmic:
            return np.log10(np.maximum(steps, 1)) / max(np.log10(self._last()), 1e-9)
        return steps / self._last()

    def paint(self, painter: QPainter, rect: QRectF) -> None:
        """Draw heading, axes and curves."""
        if not self._curves:
            self.paint_message(painter, rect)
            return
        painter.save()
        painter.setClipRect(rect)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self.paint_heading(painter, rect)
        painter.setFont(figure_font(10))
        plots = self._plots(rect)
        for name, plot in plots.items():
            self._paint_quantity(painter, name, plot)
        self._paint_steps(painter, list(plots.values()))
        painter.restore()

    def _paint_quantity(self, painter: QPainter, name: str, plot: QRectF) -> None:
        """Draw one plot with its axis of values."""
        ink, metrics = self.ink, QFontMetricsF(painter.font())
        steps, values = self._curves[name]
        known = np.isfinite(values)
        steps, values = steps[known], values[known]
        low, high = min(0.0, *values, 0.0), max(0.0, *values, 0.0)
        high += 0.04 * (high - low) or 1.0
        painter.setPen(ink.text)
        said = f"{name.replace('_', ' ')}  {number(values[-1])}" if len(values) else name
        painter.drawText(QPointF(plot.left(), plot.top() - 4), said)
        for mark in ticks(low, high, 4 if plot.height() > 70 else 3):
            y = plot.bottom() - (mark - low) / (high - low) * plot.height()
            painter.setPen(QPen(ink.quiet, 1))
            painter.drawLine(QPointF(plot.left(), y), QPointF(plot.right(), y))
            painter.setPen(ink.faint)
            text = tick(mark)
            painter.drawText(
                QPointF(plot.left() - 6 - metrics.horizontalAdvance(text), y + metrics.ascent() / 2 - 1), text
            )
        painter.setPen(QPen(ink.line, 1))
        painter.drawLine(plot.topLeft(), plot.bottomLeft())
        painter.drawLine(plot.bottomLeft(), plot.bottomRight())
        x = plot.left() + self._share(steps) * plot.width()
        y = plot.bottom() - (values - low) / (high - low) * plot.height()
        painter.setPen(QPen(ink.bar, 1.5))
        if len(x) == 1:
            painter.setBrush(ink.bar)
            painter.drawEllipse(QPointF(x[0], y[0]), 1.5, 1.5)
        painter.drawPolyline(QPolygonF([QPointF(a, b) for a, b in zip(x.tolist(), y.tolist(), strict=True)]))

    def _paint_steps(self, painter: QPainter, plots: Sequence[QRectF]) -> None:
        """Draw ticks and name of the axis that all plots share, below the last one."""
        lowest, last, metrics = plots[-1], self._last(), QFontMetricsF(painter.font())
        painter.setPen(self.ink.faint)
        for mark in decades(last) if self._logarithmic else ticks(0, last, 6):
            x = lowest.left() + float(self._share(np.array(mark))) * lowest.width()
            text = count(mark)
            width = metrics.horizontalAdvance(text)
            painter.drawLine(QPointF(x, lowest.bottom()), QPointF(x, lowest.bottom() + 3))
            at = min(max(x - width / 2, lowest.left() - width / 2), lowest.right() + RIGHT - 2 - width)
            painter.drawText(QPointF(at, lowest.bottom() + 4 + metrics.ascent()), text)
        line = QRectF(lowest.left(), lowest.bottom() + 17, lowest.width(), 16)
        painter.drawText(line, Qt.AlignmentFlag.AlignCenter, self._label)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Say the values nearest to the mouse."""
        place = event.position()
        plots = self._plots(QRectF(self.rect())) if self._curves else {}
        plot = next((plot for plot in plots.values() if plot.left() <= place.x() <= plot.right()), None)
        lines = []
        for name, (steps, values) in self._curves.items() if plot is not None else ():
            if len(steps):
                share = (place.x() - plot.left()) / plot.width()
                at = int(np.abs(self._share(steps) - share).argmin())
                lines.append(f"{count(steps[at])}: {name.replace('_', ' ')} {number(values[at])}")
        if lines:
            QToolTip.showText(event.globalPosition().toPoint(), "\n".join(lines), self)
        else:
            QToolTip.hideText()
