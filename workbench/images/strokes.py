"""What a user draws, as data: strokes, lines, arcs, shapes, pictures and stimuli, each of which stays what it is and can be edited.

Numbers are as those of parametric stimuli (`stimulus`), so that a drawing means the same picture at every size: lengths are fractions
of the shorter side, positions count from the middle (x to the right, y downwards), angles are degrees counter-clockwise as seen, 0
pointing right. Colours are ``#rrggbb``. `drawing` puts them together, `raster` computes what they look like; nothing here needs more than
Python, because a project that is read while the window starts may hold drawings.

A new kind of object is a frozen dataclass decorated with `register_object`, and a line in `raster`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import chain
from typing import ClassVar, TypeVar

from workbench.input_error import InputError

Point = tuple[float, float]
SMALLEST = 0.004
"""Of the shorter side: radius, length or width that nothing is made smaller than."""
FARTHEST = 4.0
"""Of the shorter side: how far from the middle, or how long, something may be."""
MOST_POINTS = 20_000
"""Of one stroke."""


@dataclass(frozen=True)
class Thing:
    """Base of what can stand in a drawing.

    `handles` says where it can be taken, `dragged` what becomes of it when a handle is moved.
    """

    kind: ClassVar[str]
    title: ClassVar[str]

    def handles(self) -> dict[str, Point]:
        """Return the places where it can be taken, by name; ``place`` moves all of it."""
        return {}

    def dragged(self, handle: str, to: Point) -> Thing:
        """Return it with a handle somewhere else.

        Raises
        ------
        InputError
            When it has no such handle.
        """
        raise InputError(f"{self.title.lower()} has no handle {handle!r}")

    def moved(self, right: float, down: float) -> Thing:
        """Return it somewhere else."""
        return self

    @property
    def pictures(self) -> frozenset[str]:
        """Names of the pictures that it shows."""
        return frozenset()


ThingT = TypeVar("ThingT", bound=type[Thing])
OBJECTS: dict[str, type[Thing]] = {}


def register_object(kind: str, title: str) -> Callable[[ThingT], ThingT]:
    """Make a kind of object known by the name that documents call it by, and the words the user reads."""

    def register(made: ThingT) -> ThingT:
        made.kind, made.title = kind, title
        OBJECTS[kind] = made
        return made

    return register


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
        return _by_place(self, handle, to)

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
        return _by_place(self, handle, to)

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
        return _by_place(self, handle, to)

    def moved(self, right: float, down: float) -> Thing:
        """Move the circle's middle."""
        return replace(self, x=self.x + right, y=self.y + down)


@dataclass(frozen=True)
class Box(Thing):
    """Something around (x, y), so wide and so high.

    Attributes
    ----------
    across, down
        Whole width and height.
    width
        Of its outline; 0 where all of it is full.
    """

    x: float
    y: float
    across: float
    down: float

    def __post_init__(self) -> None:
        within(self, x=self.x, y=self.y, across=self.across, down=self.down)

    def handles(self) -> dict[str, Point]:
        """Its middle, and a corner that makes it larger on all sides."""
        return {"place": (self.x, self.y), "corner": (self.x + self.across / 2, self.y + self.down / 2)}

    def dragged(self, handle: str, to: Point) -> Thing:
        """Move it, or make it another size around its middle."""
        if handle == "corner":
            return self.sized(2 * abs(to[0] - self.x), 2 * abs(to[1] - self.y))
        return _by_place(self, handle, to)

    def sized(self, across: float, down: float) -> Thing:
        """Return it at another size."""
        return replace(self, across=min(FARTHEST, max(SMALLEST, across)), down=min(FARTHEST, max(SMALLEST, down)))

    def moved(self, right: float, down: float) -> Thing:
        """Move its middle."""
        return replace(self, x=self.x + right, y=self.y + down)


@dataclass(frozen=True)
class Shape(Box):
    """A box that is drawn: its outline, or all of it where `width` is 0."""

    width: float = 0.0
    colour: str = "#000000"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width:
            within(self, width=self.width)
        colour_of(self.colour)


@register_object("rectangle", "Rectangle")
@dataclass(frozen=True)
class Rectangle(Shape):
    """With sides along the image's."""


@register_object("ellipse", "Ellipse")
@dataclass(frozen=True)
class Ellipse(Shape):
    """With axes along the image's sides."""


@register_object("fill", "Fill")
@dataclass(frozen=True)
class Fill(Thing):
    """All that has nearly the colour at (x, y) and is connected with it.

    Attributes
    ----------
    tolerance
        How far a channel may be off, in levels of 255.
    """

    x: float
    y: float
    colour: str = "#000000"
    tolerance: int = 40

    def __post_init__(self) -> None:
        within(self, x=self.x, y=self.y)
        colour_of(self.colour)
        if not 0 <= self.tolerance <= 255:
            raise InputError(f"a fill's tolerance is 0 to 255 levels, not {self.tolerance}")

    def handles(self) -> dict[str, Point]:
        """Where it begins."""
        return {"place": (self.x, self.y)}

    def dragged(self, handle: str, to: Point) -> Thing:
        """Begin somewhere else."""
        return _by_place(self, handle, to)

    def moved(self, right: float, down: float) -> Thing:
        """Begin somewhere else."""
        return replace(self, x=self.x + right, y=self.y + down)


@register_object("stamp", "Picture")
@dataclass(frozen=True)
class Stamp(Box):
    """A picture laid over the drawing; where it is transparent the drawing shows.

    Attributes
    ----------
    picture
        Its name among the pictures that are kept with the drawing.
    """

    picture: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        named(self, picture=self.picture)

    @property
    def pictures(self) -> frozenset[str]:
        """The one that it shows."""
        return frozenset((self.picture,))

    def sized(self, across: float, down: float) -> Thing:
        """Return it larger or smaller, its proportions kept."""
        factor = max(across / self.across, down / self.down, SMALLEST / min(self.across, self.down))
        factor = min(factor, FARTHEST / max(self.across, self.down))
        return replace(self, across=self.across * factor, down=self.down * factor)


TURNING = 0.25
"""Of the shorter side: how far the turning handle of a stimulus stands from its middle, where that says nothing but the angle."""


@register_object("stimulus", "Stimulus")
@dataclass(frozen=True)
class Stimulus(Thing):
    """A parametric stimulus (`stimulus.StimulusFamily`), its ink laid over what is below; exactly the one of the set where that is plain.

    Attributes
    ----------
    family
        Its name, such as ``curves``.
    values
        Pairs of a parameter's name and its value, ordered by name; the others have their defaults. The ground is the drawing's.
    """

    family: str
    values: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        named(self, family=self.family, **{f"parameter {place}": name for place, (name, _) in enumerate(self.values)})
        object.__setattr__(self, "values", tuple(sorted((name, float(value)) for name, value in self.values)))
        if not all(math.isfinite(value) for _, value in self.values):
            raise InputError(f"a parameter of the stimulus {self.family} is no number")

    def given(self, **values: float) -> Stimulus:
        """Return it with some values changed."""
        return replace(self, values=tuple((dict(self.values) | values).items()))

    def handles(self) -> dict[str, Point]:
        """Its middle, and one that turns it and sets its radius, as far as those values are known."""
        values = dict(self.values)
        if "x" not in values or "y" not in values:
            return {}
        x, y = values["x"], values["y"]
        found = {"place": (x, y)}
        away = min(0.48, values["radius"]) if self._bends else TURNING
        if "orientation" in values:
            turn = math.radians(values["orientation"])
            found["turn"] = x + away * math.cos(turn), y - away * math.sin(turn)
        elif self._bends:
            found["turn"] = x + away, y
        return found

    @property
    def _bends(self) -> bool:
        """Whether the distance of the turning handle is the radius: not of corners, where 0 is sharp."""
        values = dict(self.values)
        return "radius" in values and "angle" not in values

    def dragged(self, handle: str, to: Point) -> Thing:
        """Move it, or turn and bend it."""
        values = dict(self.values)
        if handle != "turn" or "turn" not in self.handles():
            return _by_place(self, handle, to)
        right, up = to[0] - values["x"], values["y"] - to[1]
        changed = {}
        if "orientation" in values:
            changed["orientation"] = math.degrees(math.atan2(up, right)) % 360
        if self._bends:
            changed["radius"] = max(0.02, math.hypot(right, up))
        return self.given(**changed)

    def moved(self, right: float, down: float) -> Thing:
        """Move its middle; what fills the whole image stays."""
        values = dict(self.values)
        if "x" not in values or "y" not in values:
            return self
        return self.given(x=min(1.0, max(-1.0, values["x"] + right)), y=min(1.0, max(-1.0, values["y"] + down)))


def colour_of(text: str) -> tuple[int, int, int]:
    """Read a colour.

    Raises
    ------
    InputError
        When it is not written ``#rrggbb``.
    """
    if not isinstance(text, str) or not re.fullmatch("#[0-9a-fA-F]{6}", text):
        raise InputError(f"a colour is written #rrggbb, not {text!r}")
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def within(one: Thing, **values: float) -> None:
    """Check lengths and places.

    Raises
    ------
    InputError
        When one is no number, or so far or long that nothing could be seen of it.
    """
    for name, value in values.items():
        if not isinstance(value, int | float) or not math.isfinite(value) or abs(value) > 2 * FARTHEST:
            raise InputError(f"{name} of {one.title.lower() if hasattr(one, 'title') else 'an object'} is {value!r}")
        if name in ("width", "radius", "across", "down") and value <= 0:
            raise InputError(f"{name} of {one.title.lower()} is {value:g}; it is more than 0")


def named(one: object, **names: str) -> None:
    """Check names.

    Raises
    ------
    InputError
        When one is no text.
    """
    for what, name in names.items():
        if not isinstance(name, str):
            raise InputError(f"{what} of {getattr(one, 'title', 'a ground').lower()} is a name, not {name!r}")


def _by_place(one: Thing, handle: str, to: Point) -> Thing:
    if handle != "place" or "place" not in one.handles():
        raise InputError(f"{one.title.lower()} has no handle {handle!r}")
    x, y = one.handles()["place"]
    return one.moved(to[0] - x, to[1] - y)


def _extreme(points: tuple[Point, ...]) -> tuple[float, float, float, float]:
    across, down = zip(*points, strict=True)
    return min(across), max(across), min(down), max(down)


def _part_of_turn(degrees: float) -> float:
    return degrees % 360 or 360.0
