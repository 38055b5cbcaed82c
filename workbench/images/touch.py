"""Which object of a drawing is under a point: what a click selects."""

from __future__ import annotations

import math

from workbench.images.drawing import Drawing
from workbench.images.drawn_stimulus import Stimulus
from workbench.images.shapes import Box, Ellipse, Shape
from workbench.images.strokes import Arc, Line, Path
from workbench.images.thing import Point, Thing, around

AROUND = 0.08
"""Of the shorter side: how near to the middle of a stimulus a click belongs to it."""


def object_at(drawing: Drawing, point: Point, reach: float) -> int:
    """Return the place of the uppermost object within `reach` of a point, -1 for none; a fill is all over and cannot be meant."""
    for place in range(len(drawing.objects) - 1, -1, -1):
        if distance(drawing.objects[place], point) <= reach:
            return place
    return -1


def distance(one: Thing, point: Point) -> float:
    """Return how far a point is from what an object shows, in fractions of the shorter side; 0 inside it."""
    if isinstance(one, Path):
        pieces = zip(one.points[:-1] or one.points, one.points[1:] or one.points, strict=True)
        return max(0.0, min(_to_piece(point, start, end) for start, end in pieces) - one.width / 2)
    if isinstance(one, Line):
        return max(0.0, _to_piece(point, (one.x, one.y), (one.x2, one.y2)) - one.width / 2)
    if isinstance(one, Arc):
        right, up = point[0] - one.x, one.y - point[1]
        turn = (math.degrees(math.atan2(up, right)) - one.start) % 360
        off = abs(math.hypot(right, up) - one.radius)
        if turn > one.sweep:
            off = min(math.dist(point, one.point(one.start)), math.dist(point, one.point(one.start + one.sweep)))
        return max(0.0, off - one.width / 2)
    if isinstance(one, Box):
        return _to_box(one, point)
    if isinstance(one, Stimulus):
        return min((max(0.0, math.dist(point, place) - AROUND) for place in one.handles().values()), default=math.inf)
    return math.inf


def _to_box(one: Box, point: Point) -> float:
    right, down = map(abs, around((point[0] - one.x, point[1] - one.y), -one.angle))
    if isinstance(one, Ellipse):
        off = (math.hypot(2 * right / one.across, 2 * down / one.down) - 1) * min(one.across, one.down) / 2
    else:
        beyond = right - one.across / 2, down - one.down / 2
        off = math.hypot(max(0.0, beyond[0]), max(0.0, beyond[1])) + min(0.0, max(beyond))
    outline = isinstance(one, Shape) and one.width > 0
    return max(0.0, abs(off) - one.width / 2) if outline and isinstance(one, Shape) else max(0.0, off)


def _to_piece(point: Point, start: Point, end: Point) -> float:
    along = end[0] - start[0], end[1] - start[1]
    length = along[0] ** 2 + along[1] ** 2
    part = ((point[0] - start[0]) * along[0] + (point[1] - start[1]) * along[1]) / length if length else 0.0
    part = min(1.0, max(0.0, part))
    return math.dist(point, (start[0] + part * along[0], start[1] + part * along[1]))
