"""How a quantity grows over the updates of a training, beside what it is compared with and the loss, which has an axis of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSizeF, Qt, Signal
from PySide6.QtGui import QColor, QFontMetricsF, QMouseEvent, QPainter, QPen, QPolygonF
from PySide6.QtWidgets import QToolTip, QWidget

from widgets.views.axes import count, decades, number, tick, ticks
from widgets.views.plot import Plot
from widgets.views.view import elided, figure_font

LEFT, RIGHT, TOP, BOTTOM, LEGEND = 48, 50, 24, 36, 18
Role = Literal["units", "each", "layer", "lines", "random", "fitted", "loss"]
ORDER: tuple[Role, ...] = ("loss", "random", "lines", "each", "layer", "units", "fitted")
"""What is drawn over what."""


@dataclass(frozen=True, eq=False)
class Growth:
    """One curve.

    Attributes
    ----------
    name
        For the legend; curves of one name have one entry. Empty: none.
    steps, values
        Updates, increasing, and the value at each; NaN where there is none.
    role
        What it is: of the units that are followed (their mean, or ``each``), a control, the curve fitted to the mean, or the loss.
    """

    name: str
    steps: np.ndarray
    values: np.ndarray
    role: Role


class GrowthPlot(Plot):
    """Curves over updates, linear or logarithmic; a click picks the moment, which a line marks."""

    axis = "update"
    note_share = 0.55

    picked = Signal(float)
    """Updates at the place that was clicked."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, logarithmic=True)
        self.setMouseTracking(True)
        self.setMinimumSize(240, 170)
        self.setAccessibleName("Growth over training")
        self._now: float | None = None
        self.clear()

    def clear(self, message: str = "") -> None:
        """Show nothing but a message."""
        self.message = message
        self._curves: tuple[Growth, ...] = ()
        self._label = self._note = ""
        self._span: tuple[float, float] | None = None
        self.setAccessibleDescription(message)
        self.update()

    def show_growth(
        self,
        curves: Sequence[Growth],
        *,
        title: str,
        label: str,
        note: str = "",
        span: tuple[float, float] | None = None,
        made_from: Mapping[str, object] | None = None,
    ) -> None:
        """Show curves.

        Parameters
        ----------
        label
            What the left axis measures.
        note
            Number of units and the like.
        span
            Between which updates the transition lies, for a band; None for none.
        """
        self.message, self._curves, self._span = "", tuple(curves), span
        self.title, self._label, self._note, self.made_from = title, label, note, made_from or {}
        self.setAccessibleDescription(f"{title}: {label}. {note}")
        self.update()

    def mark(self, step: float | None) -> None:
        """Mark the moment that is looked at."""
        self._now = step
        self.update()

    def figure_size(self) -> QSizeF:
        """One column of a page, wide."""
        return QSizeF(480, 280)

    def data(self) -> dict[str, np.ndarray]:
        """Of every curve its values under its name or role, and ``…_steps``; numbered where several have one name."""
        found: dict[str, np.ndarray] = {}
        for place, curve in enumerate(self._curves):
            name = curve.name or curve.role
            name = name if name not in found else f"{name} {place}"
            found |= {name: curve.values, f"{name}_steps": curve.steps}
        return found

    def provenance(self) -> dict[str, object]:
        """Name the axes beside what the numbers were made from."""
        return super().provenance() | {"x": "updates", "y": self._label, "transition between": self._span}

    # ------------------------------------------------------------------------------------------------ drawing

    def _frame(self, rect: QRectF) -> QRectF:
        return rect.adjusted(LEFT, TOP + LEGEND, -RIGHT, -BOTTOM)

    def _last(self) -> float:
        return max([1.0, *(float(curve.steps[-1]) for curve in self._curves if len(curve.steps))])

    def _share(self, steps: np.ndarray | float) -> np.ndarray:
        """Return where updates stand along the axis, in [0, 1]; on the logarithmic one update 0 stands where 1 would."""
        steps = np.asarray(steps, float)
        return np.log1p(steps) / np.log1p(self._last()) if self._logarithmic else steps / self._last()

    def _step_at(self, share: float) -> float:
        return float(np.expm1(share * np.log1p(self._last()))) if self._logarithmic else share * self._last()

    def _pen(self, role: Role) -> QPen:
        ink = self.ink
        thin = QColor(ink.marker)
        thin.setAlpha(90)
        styles: dict[Role, tuple[QColor, float, Qt.PenStyle]] = {
            "units": (ink.marker, 2.2, Qt.PenStyle.SolidLine),
            "each": (thin, 1.0, Qt.PenStyle.SolidLine),
            "layer": (ink.bar, 1.5, Qt.PenStyle.SolidLine),
            "lines": (ink.text, 1.2, Qt.PenStyle.SolidLine),
            "random": (ink.line, 1.2, Qt.PenStyle.SolidLine),
            "fitted": (ink.marker, 1.2, Qt.PenStyle.DotLine),
            "loss": (ink.faint, 1.0, Qt.PenStyle.DashLine),
        }
        return QPen(*styles[role])

    def _range(self, of_loss: bool) -> tuple[float, float] | None:
        found = [curve.values[np.isfinite(curve.values)] for curve in self._curves if (curve.role == "loss") == of_loss]
        values = np.concatenate(found) if found else np.empty(0)
        if not len(values):
            return None
        low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
        return low, high + (0.04 * (high - low) or 1.0)

    def paint(self, painter: QPainter, rect: QRectF) -> None:
        """Draw heading, legend, both axes, and the curves."""
        if not self._curves:
            self.paint_message(painter, rect)
            return
        ink, frame = self.ink, self._frame(rect)
        painter.save()
        painter.setClipRect(rect)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self.paint_heading(painter, rect)
        painter.setFont(figure_font(10))
        self._paint_legend(painter, rect)
        if self._span is not None:
            ends = frame.left() + self._share(np.array(self._span)) * frame.width()
            band = QColor(ink.marker)
            band.setAlpha(32)
            painter.fillRect(QRectF(QPointF(ends[0], frame.top()), QPointF(max(ends[1], ends[0] + 2), frame.bottom())), band)
        for of_loss in (False, True):
            ends = self._range(of_loss)
            if ends is not None:
                self._paint_axis(painter, frame, ends, of_loss)
        self._paint_steps(painter, frame)
        painter.setClipRect(frame.adjusted(-2, -2, 2, 2))
        for role in ORDER:
            for curve in self._curves:
                if curve.role == role:
                    self._paint_curve(painter, frame, curve)
        if self._now is not None:
            x = frame.left() + float(self._share(self._now)) * frame.width()
            painter.setPen(QPen(ink.accent, 1.4))
            painter.drawLine(QPointF(x, frame.top()), QPointF(x, frame.bottom()))
        painter.restore()

    def _paint_legend(self, painter: QPainter, rect: QRectF) -> None:
        metrics = QFontMetricsF(painter.font())
        x, y = rect.left() + 10, rect.top() + TOP + 9
        for name, role in dict.fromkeys((curve.name, curve.role) for curve in self._curves if curve.name):
            if x > rect.right() - 40:
                return
            painter.setPen(self._pen(role))
            painter.drawLine(QPointF(x, y - 3), QPointF(x + 16, y - 3))
            painter.setPen(self.ink.faint)
            text = elided(name, rect.right() - x - 24, painter.font())
            painter.drawText(QPointF(x + 20, y), text)
            x += 20 + metrics.horizontalAdvance(text) + 14

    def _paint_axis(self, painter: QPainter, frame: QRectF, ends: tuple[float, float], right: bool) -> None:
        """Draw the ticks and the name of the left axis, or those of the loss on the right."""
        ink, metrics = self.ink, QFontMetricsF(painter.font())
        low, high = ends
        edge = frame.right() if right else frame.left()
        for mark in ticks(low, high, 5):
            y = frame.bottom() - (mark - low) / (high - low) * frame.height()
            if not right:
                painter.setPen(QPen(ink.quiet, 1))
                painter.drawLine(QPointF(frame.left(), y), QPointF(frame.right(), y))
            painter.setPen(ink.faint)
            text = tick(mark)
            x = edge + 6 if right else edge - 6 - metrics.horizontalAdvance(text)
            painter.drawText(QPointF(x, y + metrics.ascent() / 2 - 1), text)
        painter.setPen(QPen(ink.line, 1))
        painter.drawLine(QPointF(edge, frame.top()), QPointF(edge, frame.bottom()))
        painter.save()
        painter.setPen(ink.faint)
        painter.translate(frame.right() + RIGHT - 8 if right else frame.left() - LEFT + 8, frame.center().y())
        painter.rotate(90 if right else -90)
        line = QRectF(-frame.height() / 2, -7, frame.height(), 14)
        words = "loss (dashed)" if right else elided(self._label, line.width(), painter.font())
        painter.drawText(line, Qt.AlignmentFlag.AlignCenter, words)
        painter.restore()

    def _paint_steps(self, painter: QPainter, frame: QRectF) -> None:
        last, metrics = self._last(), QFontMetricsF(painter.font())
        painter.setPen(QPen(self.ink.line, 1))
        painter.drawLine(frame.bottomLeft(), frame.bottomRight())
        painter.setPen(self.ink.faint)
        for mark in [0, *decades(last)] if self._logarithmic else ticks(0, last, 6):
            x = frame.left() + float(self._share(mark)) * frame.width()
            text = count(mark)
            painter.drawLine(QPointF(x, frame.bottom()), QPointF(x, frame.bottom() + 3))
            painter.drawText(QPointF(x - metrics.horizontalAdvance(text) / 2, frame.bottom() + 4 + metrics.ascent()), text)
        line = QRectF(frame.left(), frame.bottom() + 18, frame.width(), 15)
        said = "weight updates" + (" (logarithmic)" if self._logarithmic else "")
        painter.drawText(line, Qt.AlignmentFlag.AlignCenter, said)

    def _paint_curve(self, painter: QPainter, frame: QRectF, curve: Growth) -> None:
        ends = self._range(curve.role == "loss")
        if ends is None:
            return
        known = np.isfinite(curve.values)
        x = frame.left() + self._share(curve.steps[known]) * frame.width()
        y = frame.bottom() - (curve.values[known] - ends[0]) / (ends[1] - ends[0]) * frame.height()
        pen = self._pen(curve.role)
        painter.setPen(pen)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawPolyline(QPolygonF([QPointF(a, b) for a, b in zip(x.tolist(), y.tolist(), strict=True)]))
        if curve.role == "units":
            painter.setBrush(pen.color())
            painter.setPen(Qt.PenStyle.NoPen)
            for a, b in zip(x.tolist(), y.tolist(), strict=True):
                painter.drawEllipse(QPointF(a, b), 2.2, 2.2)

    # ------------------------------------------------------------------------------------------------ mouse

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Pick the moment under the mouse."""
        frame = self._frame(QRectF(self.rect()))
        if self._curves and event.button() == Qt.MouseButton.LeftButton and frame.left() <= event.position().x() <= frame.right():
            self.picked.emit(self._step_at((event.position().x() - frame.left()) / frame.width()))
        else:
            super().mousePressEvent(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Say the values at the nearest checkpoint."""
        frame = self._frame(QRectF(self.rect()))
        share = (event.position().x() - frame.left()) / max(frame.width(), 1)
        if not self._curves or not 0 <= share <= 1:
            QToolTip.hideText()
            return
        lines = []
        for curve in self._curves:
            if curve.name and len(curve.steps):
                at = int(np.abs(self._share(curve.steps) - share).argmin())
                lines.append(f"{curve.name}, {count(curve.steps[at])} updates: {number(float(curve.values[at]))}")
        QToolTip.showText(event.globalPosition().toPoint(), "\n".join(dict.fromkeys(lines)), self)
