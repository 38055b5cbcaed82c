"""What covers an area: shapes, pictures, fills."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from workbench.images.thing import (
    FARTHEST,
    SMALLEST,
    Point,
    Thing,
    around,
    by_place,
    colour_of,
    named,
    register_object,
    within,
)
from workbench.input_error import InputError


@dataclass(frozen=True)
class Box(Thing):
    """Something around (x, y), so wide and so high, turned about its middle.

    Attributes
    ----------
    across, down
        Whole width and height, before it is turned.
    angle
        How far it is turned.
    """

    x: float
    y: float
    across: float
    down: float
    angle: float = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        within(self, x=self.x, y=self.y, across=self.across, down=self.down)
        if not isinstance(self.angle, int | float) or not math.isfinite(self.angle):
            raise InputError(f"angle of {self.title.lower()} is {self.angle!r}")
        object.__setattr__(self, "angle", self.angle % 360)

    def inside(self, right: float, down: float) -> Point:
        """Return where a place of it stands that is so far from its middle before it is turned."""
        away = around((right, down), self.angle)
        return self.x + away[0], self.y + away[1]

    def handles(self) -> dict[str, Point]:
        """Its middle, and a corner that makes it larger on all sides."""
        return {"place": (self.x, self.y), "corner": self.inside(self.across / 2, self.down / 2)}

    def dragged(self, handle: str, to: Point) -> Thing:
        """Move it, or make it another size around its middle."""
        if handle == "corner":
            right, down = around((to[0] - self.x, to[1] - self.y), -self.angle)
            return self.sized(2 * abs(right), 2 * abs(down))
        return by_place(self, handle, to)

    @property
    def direction(self) -> float:
        """Where its right side points."""
        return self.angle

    def edge(self) -> tuple[float, float]:
        """Above its upper side."""
        return 90.0, self.down / 2

    def turned(self, direction: float) -> Thing:
        """Turn it about its middle."""
        return replace(self, angle=direction)

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

    def edge(self) -> tuple[float, float]:
        """Above its upper side, or the outline there."""
        return 90.0, (self.down + self.width) / 2


@register_object("rectangle", "Rectangle")
@dataclass(frozen=True)
class Rectangle(Shape):
    """With sides along the image's, before it is turned."""


@register_object("ellipse", "Ellipse")
@dataclass(frozen=True)
class Ellipse(Shape):
    """With axes along the image's sides, before it is turned."""


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
        return by_place(self, handle, to)

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
