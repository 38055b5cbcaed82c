"""The units of a family around a circle, each at its angle."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSizeF, Qt, Signal
from PySide6.QtGui import QKeyEvent, QMouseEvent, QPainter, QPen
from PySide6.QtWidgets import QToolTip, QWidget

from widgets.views.view import PAPER, ViewWidget, as_image, draw_image, elided, figure_font

HEADING, CAPTION = 22.0, 34.0
NAME = 15.0
"""Height of the words under a picture."""
LARGEST = 150.0


class FamilyWheel(ViewWidget):
    """Pictures at the units' angles, counter-clockwise from the right; units without one are spread evenly.

    Parameters
    ----------
    pictures
        Gives the image of a unit, uint8 ``y x 3``; None while there is none.
    """

    picked = Signal(int)
    """Unit whose picture was clicked."""

    def __init__(self, pictures: Callable[[int], np.ndarray | None], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._pictures = pictures
        self.message = ""
        self._units: tuple[int, ...] = ()
        self._angles: tuple[float | None, ...] = ()
        self._caption = ""
        self._tell: Callable[[int], str] = str
        self.current: int | None = None
        self._circle = QRectF()
        self.setMouseTracking(True)
        self.setMinimumSize(180, 180)
        self.setAccessibleName("Family wheel")

    def show_family(
        self,
        units: Sequence[int],
        angles: Sequence[float | None],
        *,
        title: str,
        caption: str = "",
        tell: Callable[[int], str] | None = None,
        made_from: Mapping[str, object] | None = None,
    ) -> None:
        """Show a family; `tell` gives the tooltip of a unit."""
        self._units, self._angles, self.title, self._caption = tuple(units), tuple(angles), title, caption
        self._tell, self.made_from = tell or str, made_from or {}
        self.setAccessibleDescription(f"{title}: {', '.join(map(str, units))}. {caption}")
        self.update()

    def clear(self, message: str) -> None:
        """Show nothing but a message."""
        self.message, self._units, self._angles = message, (), ()
        self.update()

    def point_at(self, unit: int | None) -> None:
        """Mark a unit."""
        self.current = unit
        self.update()

    @property
    def units(self) -> tuple[int, ...]:
        """What is shown."""
        return self._units

    def figure_size(self) -> QSizeF:
        """A square with its heading and caption."""
        return QSizeF(420, 420 + HEADING + CAPTION)

    def data(self) -> dict[str, np.ndarray]:
        """``units`` int, ``angles`` float (NaN for none)."""
        angles = [math.nan if angle is None else angle for angle in self._angles]
        return {"units": np.array(self._units, int), "angles": np.array(angles, float)}

    def places(self, rect: QRectF) -> dict[int, QRectF]:
        """Return where each unit's picture is; units of one angle stand behind one another, the later ones nearer to the middle."""
        number = len(self._units)
        if not number:
            return {}
        area = rect.adjusted(8, HEADING + 4, -8, -CAPTION - 4)
        room = max(40.0, min(area.width(), area.height()))
        angles = [360 * place / number if angle is None else angle for place, angle in enumerate(self._angles)]
        rings: dict[int, int] = {}
        ring = []
        for angle in angles:
            key = round(angle) % 360
            ring.append(rings.get(key, 0))
            rings[key] = ring[-1] + 1
        side = min(LARGEST, room / (2.2 + max(ring)) * 0.92, self._apart(sorted(rings), room))
        radius = (room - side - NAME) / 2
        self._circle = QRectF(area.center().x() - radius, area.center().y() - radius - NAME / 2, 2 * radius, 2 * radius)
        found = {}
        for unit, angle, behind in zip(self._units, angles, ring, strict=True):
            far = max(0.0, radius - behind * (side + NAME))
            x = area.center().x() + far * math.cos(math.radians(angle))
            y = area.center().y() - far * math.sin(math.radians(angle)) - NAME / 2
            found[unit] = QRectF(x - side / 2, y - side / 2, side, side)
        return found

    @staticmethod
    def _apart(angles: Sequence[int], room: float) -> float:
        """Return how large pictures may be so that neighbours do not touch."""
        gaps = [(after - before) % 360 or 360 for before, after in zip(angles, [*angles[1:], angles[0]], strict=True)]
        share = math.sin(math.radians(min(180, *gaps, 180) / 2))
        return max(18.0, (room - 2 * NAME) * share / (1.5 + share))

    def paint(self, painter: QPainter, rect: QRectF) -> None:
        """Draw the heading, the pictures with their names, and the caption."""
        ink = self.ink
        if not self._units:
            painter.setPen(ink.faint)
            painter.drawText(rect.adjusted(24, 12, -24, -12), Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, self.message)
            return
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(figure_font(12, bold=True))
        painter.setPen(ink.text)
        painter.drawText(QPointF(rect.left() + 8, rect.top() + 16), elided(self.title, rect.width() - 16, painter.font()))
        places = self.places(rect)
        painter.setFont(figure_font(10))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(ink.quiet, 2))
        painter.drawEllipse(self._circle)
        for unit, angle in zip(self._units, self._angles, strict=True):
            place = places[unit]
            picture = self._pictures(unit)
            if picture is None:
                painter.fillRect(place, ink.quiet)
            else:
                draw_image(painter, place, as_image(picture), smooth=True)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            pointed = unit == self.current and ink is not PAPER
            painter.setPen(QPen(ink.accent if pointed else ink.line, 2 if pointed else 1))
            painter.drawRect(place)
            painter.setPen(ink.text)
            name = str(unit) if angle is None else f"{unit}, {angle:g}°"
            words = QRectF(place.left() - 20, place.bottom() + 1, place.width() + 40, NAME)
            painter.drawText(words, Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop, name)
        painter.setPen(ink.faint)
        below = QRectF(rect.left() + 8, rect.bottom() - CAPTION, rect.width() - 16, CAPTION - 2)
        painter.drawText(below, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop | Qt.TextFlag.TextWordWrap, self._caption)
        painter.restore()

    def _unit_at(self, point: QPointF) -> int | None:
        return next((unit for unit, place in self.places(QRectF(self.rect())).items() if place.contains(point)), None)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Pick the unit under the mouse."""
        unit = self._unit_at(event.position())
        if event.button() == Qt.MouseButton.LeftButton and unit is not None:
            self.picked.emit(unit)
        super().mousePressEvent(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Say what is under the mouse."""
        unit = self._unit_at(event.position())
        QToolTip.showText(event.globalPosition().toPoint(), self._tell(unit) if unit is not None else "", self)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Go around with the arrow keys."""
        steps = {Qt.Key.Key_Right: 1, Qt.Key.Key_Down: 1, Qt.Key.Key_Left: -1, Qt.Key.Key_Up: -1}
        if self._units and event.key() in steps:
            at = self._units.index(self.current) if self.current in self._units else -1
            self.picked.emit(self._units[(at + steps[event.key()]) % len(self._units)])
        else:
            super().keyPressEvent(event)
