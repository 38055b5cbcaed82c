"""Names of curves, each in the colour of its curve, in as many lines as they need."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QPointF
from PySide6.QtGui import QColor, QFontMetricsF, QPainter

from widgets.views.view import Ink, figure_font

LINE = 14
"""Height of a line of names."""
Named = tuple[str, QColor]


def shade(place: int, count: int, ink: Ink) -> QColor:
    """Return the colour of one of `count` curves beside the first: hues in even steps, away from that of the first (`Ink.bar`)."""
    hue = (0.6 + (place + 1) / (count + 1)) % 1
    return QColor.fromHsvF(hue, 0.75, 0.9 if ink.paper.lightness() < 128 else 0.72)


def in_lines(named: Sequence[Named], width: float) -> list[list[Named]]:
    """Return names in lines that fit a width."""
    metrics = QFontMetricsF(figure_font(10))
    lines: list[list[Named]] = [[]]
    room = width
    for called, colour in named:
        wide = metrics.horizontalAdvance(called) + 12
        if wide > room and lines[-1]:
            lines.append([])
            room = width
        lines[-1].append((called, colour))
        room -= wide
    return lines


def paint_names(painter: QPainter, corner: QPointF, lines: Sequence[Sequence[Named]]) -> None:
    """Write lines of names below a corner."""
    painter.setFont(figure_font(10))
    metrics = QFontMetricsF(painter.font())
    for row, line in enumerate(lines, 1):
        x = corner.x()
        for called, colour in line:
            painter.setPen(colour)
            painter.drawText(QPointF(x, corner.y() + LINE * row - 3), called)
            x += metrics.horizontalAdvance(called) + 12
