"""What a hand draws as a line: strokes of the brush and the eraser, straight lines, arcs."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import chain

from workbench.images.thing import (
    FARTHEST,
    SMALLEST,
    Point,
    Thing,
    around,
    bearing,
    by_place,
    colour_of,
    register_object,
    within,
)
from workbench.input_error import InputError

MOST_POINTS = 20_000
"""Of one stroke."""


@dataclass(frozen=True)
class Path(Thing):
    """A line through points, as wide as the brush, with round ends."""

    points: tuple[Point, ...] = ()
    width: float = 0.03

    def __post_init__(self) -> None:
        if not 1 <= len(self.points) <= MOST_POINTS:
            raise InputError(f"a stroke has 1 to {MOST_POINTS:,} points, not {len(self.points):,}")
        if not all(map(math.isfinite, chain.from_iterable(self.points))):
            raise InputError("a point of a stroke is no number")
        within(self, width=self.width, **{f"point {i}": value for i, value in enumerate(_extreme(self.points))})

    def handles(self) -> dict[str, Point]:
        """Its middle."""
        left, right, top, bottom = _extreme(self.points)
        return {"place": ((left + right) / 2, (top + bottom) / 2)}

    def dragged(self, handle: str, to: Point) -> Thing:
        """Move it."""
        return by_place(self, handle, to)

    def moved(self, right: float, down: float) -> Thing:
        """Move all points."""
        return replace(self, points=tuple((x + right, y + down) for x, y in self.points))

    def on_to(self, point: Point) -> Path:
        """Return it drawn on to a further point."""
        return replace(self, points=(*self.points, point))


@register_object("brush", "Brush stroke")
@dataclass(frozen=True)
class Brush(Path):
    """What a brush drew."""

    colour: str = "#000000"

    def __post_init__(self) -> None:
        super().__post_init__()
        colour_of(self.colour)


@register_object("eraser", "Eraser stroke")
@dataclass(frozen=True)
class Eraser(Path):
    """Where the ground shows again, whatever lies below."""


@register_object("line", "Line")
@dataclass(frozen=True)
class Line(Thing):
    """Straight from (x, y) to (x2, y2), with round ends."""

    x: float
    y: float
    x2: float
    y2: float
    width: float = 0.03
    colour: str = "#000000"

    def __post_init__(self) -> None:
        within(self, x=self.x, y=self.y, x2=self.x2, y2=self.y2, width=self.width)
        colour_of(self.colour)

    def handles(self) -> dict[str, Point]:
        """Its middle and both ends."""
        return {"place": ((self.x + self.x2) / 2, (self.y + self.y2) / 2), "start": (self.x, self.y), "end": (self.x2, self.y2)}

    def dragged(self, handle: str, to: Point) -> Thing:
        """Move it, or one of its ends."""
        if handle == "start":
            return replace(self, x=to[0], y=to[1])
        if handle == "end":
            return replace(self, x2=to[0], y2=to[1])
        return by_place(self, handle, to)

    @property
    def direction(self) -> float:
        """From its start to its end."""
        return bearing((self.x, self.y), (self.x2, self.y2)) % 360

    def edge(self) -> tuple[float, float]:
        """Beside its middle."""
        return 90.0, self.width / 2

    def turned(self, direction: float) -> Thing:
        """Turn both ends about the middle."""
        x, y = self.handles()["place"]
        right, down = around((math.dist((self.x, self.y), (self.x2, self.y2)) / 2, 0.0), direction)
        return replace(self, x=x - right, y=y - down, x2=x + right, y2=y + down)

    def moved(self, right: float, down: float) -> Thing:
        """Move both ends."""
        return replace(self, x=self.x + right, y=self.y + down, x2=self.x2 + right, y2=self.y2 + down)


@register_object("arc", "Arc")
@dataclass(frozen=True)
class Arc(Thing):
    """A piece of the circle around (x, y), with round ends: from `start` on over `sweep` degrees counter-clockwise."""

    x: float
    y: float
    radius: float
    start: float = 0.0
    sweep: float = 180.0
    width: float = 0.03
    colour: str = "#000000"

    def __post_init__(self) -> None:
        within(self, x=self.x, y=self.y, radius=self.radius, width=self.width)
        if not math.isfinite(self.start) or not 0 < self.sweep <= 360:
            raise InputError(f"an arc sweeps more than 0 and at most 360 degrees, not {self.sweep:g}")
        colour_of(self.colour)

    def point(self, degrees: float) -> Point:
        """Return where the circle is in a direction."""
        turn = math.radians(degrees)
        return self.x + self.radius * math.cos(turn), self.y - self.radius * math.sin(turn)

    def handles(self) -> dict[str, Point]:
        """The circle's middle, the middle of the arc, which bends and turns it, and both ends."""
        found = {"place": (self.x, self.y), "radius": self.point(self.start + self.sweep / 2)}
        return found if self.sweep == 360 else found | {"start": self.point(self.start), "end": self.point(self.start + self.sweep)}

    def dragged(self, handle: str, to: Point) -> Thing:
        """Move it, bend and turn it, or make it longer at one end."""
        right, up = to[0] - self.x, self.y - to[1]
        turn = math.degrees(math.atan2(up, right))
        if handle == "radius":
            radius = min(FARTHEST, max(SMALLEST, math.hypot(right, up)))
            return replace(self, radius=radius, start=(turn - self.sweep / 2) % 360)
        if handle == "start":
            return replace(self, start=turn % 360, sweep=_part_of_turn(self.start + self.sweep - turn))
        if handle == "end":
            return replace(self, sweep=_part_of_turn(turn - self.start))
        return by_place(self, handle, to)

    @property
    def direction(self) -> float | None:
        """Where it starts; None for a whole circle."""
        return self.start if self.sweep < 360 else None

    def edge(self) -> tuple[float, float]:
        """Beyond the middle of the arc."""
        return self.sweep / 2, self.radius + self.width / 2

    def turned(self, direction: float) -> Thing:
        """Start elsewhere on the circle."""
        return replace(self, start=direction)

    def moved(self, right: float, down: float) -> Thing:
        """Move the circle's middle."""
        return replace(self, x=self.x + right, y=self.y + down)


def _extreme(points: tuple[Point, ...]) -> tuple[float, float, float, float]:
    across, down = zip(*points, strict=True)
    return min(across), max(across), min(down), max(down)


def _part_of_turn(degrees: float) -> float:
    return degrees % 360 or 360.0
