"""What covers an area: shapes, pictures, fills."""

from __future__ import annotations

from dataclasses import dataclass, replace

from workbench.images.thing import FARTHEST, SMALLEST, Point, Thing, by_place, colour_of, named, register_object, within
from workbench.input_error import InputError


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
        return by_place(self, handle, to)

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
