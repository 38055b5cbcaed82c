"""Named effects with intervals, one line each: what units contribute, what classes lose, how well a label is told apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRectF, QSizeF, Qt, Signal
from PySide6.QtGui import QFontMetricsF, QHelpEvent, QKeyEvent, QMouseEvent, QPainter, QPen
from PySide6.QtWidgets import QToolTip, QWidget

from widgets.views.axes import number
from widgets.views.view import PAPER, ViewWidget, blend, elided, figure_font

LINE = 18.0
NAMES = 0.46
"""Part of the width that names take."""


@dataclass(frozen=True)
class Effect:
    """One line.

    Attributes
    ----------
    name
        What has the effect.
    value, low, high
        The effect and the ends of its interval; NaN for no interval.
    text
        What stands at the right; the value when empty.
    tip
        Tooltip.
    """

    name: str
    value: float
    low: float = math.nan
    high: float = math.nan
    text: str = ""
    tip: str = ""


class EffectList(ViewWidget):
    """Lines of a name, a bar from the zero line with its interval, and the value; a band marks the null level.

    Parameters
    ----------
    linked
        Whether lines can be clicked, or chosen with the arrow keys and Enter.
    """

    picked = Signal(int)
    """Place of the line that was clicked."""

    def __init__(self, parent: QWidget | None = None, *, linked: bool = False) -> None:
        super().__init__(parent)
        self._linked = linked
        self._effects: tuple[Effect, ...] = ()
        self._label, self._zero, self._focused, self._marked = "", 0.0, -1, -1
        self._null_name = ""
        self._null: tuple[float, float] | None = None
        self._span = (0.0, 1.0)
        self.setMouseTracking(linked)
        self.clear()

    @property
    def effects(self) -> tuple[Effect, ...]:
        """What is shown."""
        return self._effects

    def clear(self) -> None:
        """Show nothing."""
        self.show_effects(())

    def show_effects(
        self,
        effects: Sequence[Effect],
        *,
        title: str = "",
        label: str = "",
        zero: float = 0.0,
        null: tuple[float, float] | None = None,
        null_name: str = "chance",
        span: tuple[float, float] | None = None,
        made_from: Mapping[str, object] | None = None,
    ) -> None:
        """Show these lines in the order given.

        Parameters
        ----------
        label
            What the values are, with their unit.
        zero
            Where bars begin: what there would be without an effect.
        null
            Smallest and largest value of the null, drawn as a band.
        null_name
            What the null is.
        span
            Ends of the axis; by default what is needed.
        """
        self._effects = tuple(effects)
        self.title, self._label, self._zero, self._null = title, label, zero, null
        self._null_name = null_name
        self.made_from = made_from or {}
        self._focused = self._marked = -1
        ends = [zero, *(null or ())]
        for effect in effects:
            ends += [end for end in (effect.value, effect.low, effect.high) if math.isfinite(end)]
        self._span = span or (min(ends), max(max(ends), min(ends) + 1e-12))
        self.setAccessibleDescription(", ".join(f"{effect.name} {self._text(effect)}" for effect in self._effects[:12]))
        self.setFixedHeight(round(len(effects) * LINE + (LINE if label else 0) + 8) if effects else 0)
        self.update()

    def mark(self, place: int) -> None:
        """Point at one line; -1 for none."""
        self._marked = place
        self.update()

    def _text(self, effect: Effect) -> str:
        return effect.text or (number(effect.value) if math.isfinite(effect.value) else "?")

    def figure_size(self) -> QSizeF:
        """Two thirds of a page wide, one line for each effect."""
        return QSizeF(430, (len(self._effects) + bool(self._label)) * LINE + 36)

    def _top(self, rect: QRectF) -> float:
        return rect.top() + 4 + (22 if self.ink is PAPER else 0)

    def paint(self, painter: QPainter, rect: QRectF) -> None:
        """Draw names, null band, bars, intervals, values."""
        ink, font, small = self.ink, figure_font(11), figure_font(10)
        if ink is PAPER:
            painter.setFont(figure_font(11, bold=True))
            painter.setPen(ink.text)
            painter.drawText(QPointF(rect.left() + 8, rect.top() + 16), elided(self.title, rect.width() - 16, painter.font()))
        if not self._effects:
            return
        metrics = QFontMetricsF(small)
        numbers = max(metrics.horizontalAdvance(self._text(effect)) for effect in self._effects)
        left, right = rect.left() + 8, rect.right() - 8
        bars = QRectF(left + NAMES * rect.width(), self._top(rect), 0, len(self._effects) * LINE)
        bars.setRight(max(bars.left() + 20, right - numbers - 8))
        low, high = self._span

        def x(value: float) -> float:
            return bars.left() + (min(max(value, low), high) - low) / (high - low) * bars.width()

        if self._null is not None:
            band = QRectF(QPointF(x(self._null[0]), bars.top()), QPointF(x(self._null[1]) + 1, bars.bottom()))
            painter.fillRect(band, blend(ink.text, ink.paper, 0.14))
        for place, effect in enumerate(self._effects):
            line = QRectF(left, bars.top() + place * LINE, right - left, LINE)
            if place == self._focused and self.hasFocus():
                painter.fillRect(line, blend(ink.accent, ink.paper, 0.25))
            if place == self._marked:
                painter.fillRect(QRectF(line.left() - 6, line.top() + 2, 3, LINE - 4), ink.marker)
            painter.setFont(font)
            painter.setPen(ink.text)
            names = QRectF(line.left(), line.top(), bars.left() - left - 8, LINE)
            painter.drawText(
                names,
                Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft,
                elided(effect.name, names.width(), font, Qt.TextElideMode.ElideMiddle),
            )
            middle = line.center().y()
            if math.isfinite(effect.value):
                start, end = sorted((x(self._zero), x(effect.value)))
                colour = ink.bar if effect.value >= self._zero else ink.marker
                painter.fillRect(QRectF(start, middle - 5, max(1.0, end - start), 10), blend(colour, ink.paper, 0.75))
            if math.isfinite(effect.low) and math.isfinite(effect.high):
                painter.setPen(QPen(ink.text, 1))
                painter.drawLine(QPointF(x(effect.low), middle), QPointF(x(effect.high), middle))
                for value in (effect.low, effect.high):
                    painter.drawLine(QPointF(x(value), middle - 3), QPointF(x(value), middle + 3))
            painter.setFont(small)
            painter.setPen(ink.text)
            painter.drawText(line, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, self._text(effect))
        painter.setPen(QPen(ink.line, 1))
        painter.drawLine(QPointF(x(self._zero), bars.top()), QPointF(x(self._zero), bars.bottom()))
        if self._label:
            painter.setFont(small)
            painter.setPen(ink.faint)
            below = QRectF(left, bars.bottom(), right - left, LINE)
            band = f"; grey: {self._null_name}" if self._null is not None else ""
            said = elided(self._label + band, below.width(), small)
            painter.drawText(below, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, said)

    def data(self) -> dict[str, np.ndarray]:
        """``names`` str [n], ``values``, ``low``, ``high`` float64 [n], and ``null`` [2] where there is one."""
        effects = self._effects
        arrays = {
            "names": np.array([effect.name for effect in effects]),
            "values": np.array([effect.value for effect in effects]),
            "low": np.array([effect.low for effect in effects]),
            "high": np.array([effect.high for effect in effects]),
        }
        return arrays | ({"null": np.array(self._null)} if self._null is not None else {})

    def provenance(self) -> dict[str, object]:
        """Name the axis beside what the numbers were made from."""
        return super().provenance() | {
            "x": self._label,
            "zero": self._zero,
            "null": self._null_name if self._null is not None else None,
        }

    # ------------------------------------------------------------------------------------------------ choosing a line

    def _at(self, y: float) -> int:
        place = int((y - self._top(QRectF(self.rect()))) // LINE)
        return place if 0 <= place < len(self._effects) else -1

    def event(self, event: QEvent) -> bool:
        """Say what a line is about."""
        if isinstance(event, QHelpEvent):
            place = self._at(event.pos().y())
            tip = self._effects[place].tip or self._effects[place].name if place >= 0 else ""
            QToolTip.showText(event.globalPos(), tip, self)
            return True
        return super().event(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Show a hand over lines that can be clicked."""
        over = self._linked and self._at(event.position().y()) >= 0
        self.setCursor(Qt.CursorShape.PointingHandCursor if over else Qt.CursorShape.ArrowCursor)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Choose a line."""
        place = self._at(event.position().y())
        if self._linked and event.button() == Qt.MouseButton.LeftButton and place >= 0:
            self._focused = place
            self.update()
            self.picked.emit(place)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Walk through the lines with the arrow keys; Enter chooses one."""
        step = {Qt.Key.Key_Down: 1, Qt.Key.Key_Up: -1}.get(Qt.Key(event.key()), 0)
        if not self._linked or not self._effects:
            super().keyPressEvent(event)
        elif step:
            self._focused = min(max(self._focused + step, 0), len(self._effects) - 1)
            self.update()
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self._focused >= 0:
            self.picked.emit(self._focused)
        else:
            super().keyPressEvent(event)
