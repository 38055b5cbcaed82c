"""The handles of a selected object: where they stand in a canvas, which of them is meant, what they look like."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from PySide6.QtCore import QPointF, QRectF, QSizeF, Qt
from PySide6.QtGui import QPainter, QPen

from workbench.images.thing import Thing

if TYPE_CHECKING:
    from widgets.views.canvas_surface import CanvasSurface
    from widgets.views.view import Ink

REACH = 11.0
"""Pixels around a handle, or an object, that belong to it."""
OUTSIDE = 22.0
"""Pixels from an object's outline to the handle that turns it."""
TIPS = {
    "place": "Move it",
    "turn": "Turn it; with Shift by steps of 15°",
    "corner": "Make it larger or smaller",
    "radius": "Bend and turn it",
    "start": "Move this end",
    "end": "Move this end",
}


def handles_of(one: Thing, surface: CanvasSurface) -> dict[str, QPointF]:
    """Return where the handles of an object stand in the widget, by name; ``turn`` outside its outline, as far as there is room."""
    found = {name: surface.place(point) for name, point in one.handles().items()}
    if one.direction is None:
        return found
    side, edge = one.edge()
    turn = math.radians(one.direction + side)
    middle, way = found["place"], QPointF(math.cos(turn), -math.sin(turn))
    frame = surface.frame()
    away = edge * min(frame.width(), frame.height()) + OUTSIDE
    inside = QRectF(surface.rect()).adjusted(8, 8, -8, -8)
    there, behind = (room(middle, each, inside) for each in (way, -way))
    if there < min(away, 2 * REACH) and behind > there:  # it stands at the border: taken from the other side
        found["turn"] = middle - way * min(away, behind)
    else:
        found["turn"] = middle + way * (min(away, there) if there > 0 else away)
    return found


def room(start: QPointF, way: QPointF, inside: QRectF) -> float:
    """Return how far one can go from a place until a rectangle ends; 0 from outside."""
    if not inside.contains(start):
        return 0.0
    across = ((inside.right() if way.x() > 0 else inside.left()) - start.x()) / way.x() if abs(way.x()) > 1e-9 else math.inf
    down = ((inside.bottom() if way.y() > 0 else inside.top()) - start.y()) / way.y() if abs(way.y()) > 1e-9 else math.inf
    return min(across, down)


def handle_at(handles: dict[str, QPointF], position: QPointF) -> str:
    """Return the name of the handle at a place of the widget, empty for none."""
    near = {name: (place - position).manhattanLength() for name, place in handles.items()}
    # The middle is taken last: in a small object the other handles stand close to it.
    nearest = min(near, key=lambda name: near[name] + 3 * (name == "place"), default="")
    return nearest if nearest and near[nearest] <= REACH else ""


def draw_handles(painter: QPainter, handles: dict[str, QPointF], ink: Ink, told: str) -> None:
    """Draw them: the middle as a square, the one that turns as a ring with what is `told` beside it, the others as discs."""
    if "place" in handles:
        painter.setPen(QPen(ink.marker, 1.2, Qt.PenStyle.DotLine))
        for place in handles.values():
            painter.drawLine(handles["place"], place)
    for name, place in handles.items():
        painter.setPen(QPen(ink.accent, 2.5) if name == "turn" else QPen(Qt.GlobalColor.white, 1.5))
        painter.setBrush(Qt.GlobalColor.white if name == "turn" else ink.marker if name == "place" else ink.accent)
        if name == "place":
            painter.drawRect(QRectF(place - QPointF(5, 5), QSizeF(10, 10)))
        else:
            painter.drawEllipse(place, 5.5, 5.5)
    if told and "turn" in handles:
        _tell(painter, handles["turn"], told, ink)


def _tell(painter: QPainter, place: QPointF, told: str, ink: Ink) -> None:
    """Write beside a handle, on the side where there is room."""
    size = painter.fontMetrics().size(0, told)
    left = place.x() + 10 if place.x() + 16 + size.width() < painter.device().width() else place.x() - 16 - size.width()
    box = QRectF(left, place.y() - size.height() / 2 - 1, size.width() + 6, size.height() + 2)
    painter.fillRect(box, ink.paper)
    painter.setPen(ink.text)
    painter.drawText(box, Qt.AlignmentFlag.AlignCenter, told)
