"""An object of a drawing, whatever it is: where it can be taken, what becomes of it then, and what its numbers may be.

Numbers are as those of parametric stimuli (`stimulus`), so that a drawing means the same picture at every size: lengths are fractions
of the shorter side, positions count from the middle (x to the right, y downwards), angles are degrees counter-clockwise as seen, 0
pointing right. Colours are ``#rrggbb``.

Kinds of objects stand in `strokes`, `shapes` and `drawn_stimulus`; `drawing` puts them together, `raster` computes what they look like.
Nothing here needs more than Python, because a project that is read while the window starts may hold drawings. A new kind of object is a
frozen dataclass decorated with `register_object`, and a line in `raster`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from workbench.input_error import InputError

Point = tuple[float, float]
SMALLEST = 0.004
"""Of the shorter side: radius, length or width that nothing is made smaller than."""
FARTHEST = 4.0
"""Of the shorter side: how far from the middle, or how long, something may be."""
STEP = 15
"""Degrees between the directions that something snaps to."""


@dataclass(frozen=True)
class Thing:
    """Base of what can stand in a drawing.

    `handles` says where it can be taken, `dragged` what becomes of it when a handle is moved. What has a `direction` can be turned about
    its middle: `edge` says where its outline ends on the side of the handle for that, which stands outside.
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
    def direction(self) -> float | None:
        """Where it points, in degrees; None for what looks the same wherever it points."""
        return None

    def edge(self) -> tuple[float, float]:
        """Return on which side it is taken to be turned, in degrees from `direction`, and how far from the middle its outline is."""
        return 0.0, 0.0

    def turned(self, direction: float) -> Thing:
        """Return it pointing elsewhere, its middle where it was.

        Raises
        ------
        InputError
            When it has no direction.
        """
        raise InputError(f"{self.title.lower()} has no direction")

    def turned_by_hand(self, start: Point, to: Point, even: bool = False) -> Thing:
        """Return it turned as by a hand that goes from one place to another around its middle; `even`: by steps of `STEP` degrees.

        Raises
        ------
        InputError
            When it has no direction.
        """
        if self.direction is None:
            raise InputError(f"{self.title.lower()} has no direction")
        middle = self.handles()["place"]
        direction = self.direction + bearing(middle, to) - bearing(middle, start)
        return self.turned((round(direction / STEP) * STEP if even else direction) % 360)

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


def bearing(middle: Point, to: Point) -> float:
    """Return in which direction a place is seen from another, in degrees."""
    return math.degrees(math.atan2(middle[1] - to[1], to[0] - middle[0]))


def around(point: Point, degrees: float) -> Point:
    """Return a place turned about the origin."""
    across, down = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return point[0] * across + point[1] * down, point[1] * across - point[0] * down


def by_place(one: Thing, handle: str, to: Point) -> Thing:
    """Return it moved by the handle in its middle.

    Raises
    ------
    InputError
        When that is not the handle that is meant.
    """
    if handle != "place" or "place" not in one.handles():
        raise InputError(f"{one.title.lower()} has no handle {handle!r}")
    x, y = one.handles()["place"]
    return one.moved(to[0] - x, to[1] - y)
