"""What a drawing looks like: its objects laid one over the other on a finer grid than the network's, whose cells are then averaged.

Every object is a *coverage*: how much of each fine pixel it hides, from the distance of the pixel's middle to its edge, so that edges are
as soft as a pixel in every direction. Colours are mixed as encoded sRGB values, as parametric stimuli are. A stimulus is drawn by its own
family at the network's size: on a plain ground it is the very picture of the stimulus set.

`Raster` keeps what lies below the objects that change: a stroke that grows costs as much as what was added to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from workbench.images.drawing import Drawing, Ground
from workbench.images.drawn_stimulus import Stimulus
from workbench.images.framing import cover
from workbench.images.image_set import Pixels, Size
from workbench.images.shapes import Box, Ellipse, Fill, Rectangle, Shape, Stamp
from workbench.images.strokes import Arc, Brush, Eraser, Line, Path
from workbench.images.thing import Point, Thing, colour_of
from workbench.input_error import InputError

Coverage = npt.NDArray[np.float32]
Ink = tuple[Coverage, npt.NDArray[np.float64]]
"""Of a stimulus: how much of each pixel of the network is ink, and its sRGB colour in [0, 1]."""
FINE = 256
"""Pixels that the fine grid's shorter side has at least, as far as `MOST` allows."""
MOST, LEAST = 4, 2
"""Fine pixels across one of the network's, at most and at least."""
KEPT = 8
"""Rasters of the lowest objects that are kept: one is found again when an object is edited, or taken back."""
FACETS = 96
"""Straight pieces of an ellipse's outline."""


def oversampling(size: Size) -> int:
    """Return how many fine pixels stand across one of the network's."""
    return max(LEAST, min(MOST, round(FINE / min(size))))


def ink_of(stimulus: Stimulus, size: Size) -> Ink:
    """Draw a stimulus by its family (this needs torch): the coverage ``y x`` at the network's size, and the ink.

    Raises
    ------
    InputError
        When there is no such family or parameter, a value is out of bounds, or a colour cannot be shown.
    """
    import workbench.images.stimuli  # noqa: F401  its families register themselves
    from workbench.images.image_set import suggestion
    from workbench.images.stimulus import FAMILIES

    if stimulus.family not in FAMILIES:
        raise InputError(f"no stimulus is named {stimulus.family!r}; {suggestion(stimulus.family, FAMILIES)}")
    family = FAMILIES[stimulus.family]
    defaults = {part.name: part.default for part in family.parameters}
    table = family.grid(**(defaults | dict(stimulus.values)))
    ink, _ = family.colours(table)
    return family.coverage(table, size)[0].clamp(0, 1).numpy(), ink[0]


@dataclass(eq=False)
class _Growing:
    """A stroke that is drawn on: how far each fine pixel is from its middle line, what lies below, and how many points are in."""

    place: int
    path: Path
    below: Pixels
    distance: Coverage


class Raster:
    """The picture of a drawing at one size, kept from one change to the next.

    Parameters
    ----------
    size
        Height and width of the network's input.
    ink
        What gives a stimulus' coverage and ink; None while it is not there yet: the stimulus is left out then.
    """

    def __init__(self, size: Size, ink: Callable[[Stimulus, Size], Ink | None] = ink_of) -> None:
        self.size = size
        self.fine = oversampling(size)
        self.height, self.width = size[0] * self.fine, size[1] * self.fine
        self.side = min(self.height, self.width)
        self._ink = ink
        self._ground: tuple[Ground, Pixels] | None = None
        self._objects: tuple[Thing, ...] = ()
        self._kept: dict[int, Pixels] = {}  # by how many of the lowest objects are in
        self._growing: _Growing | None = None
        self._scaled: tuple[tuple[str, int, int, float], Image.Image] | None = None

    def draw(self, drawing: Drawing, pictures: Mapping[str, Pixels]) -> Pixels:
        """Return the picture, uint8 ``y x 3`` at the network's size.

        Parameters
        ----------
        pictures
            Those that the drawing names: uint8 ``y x 3`` or ``y x 4``.

        Raises
        ------
        InputError
            When a picture is missing, or an object cannot be.
        """
        fine = self.draw_fine(drawing, pictures)
        return np.asarray(Image.fromarray(fine).reduce(self.fine))

    def draw_fine(self, drawing: Drawing, pictures: Mapping[str, Pixels]) -> Pixels:
        """Return the picture on the fine grid; it is read only."""
        ground = self._stand_on(drawing.ground, pictures)
        objects = drawing.objects
        same = 0
        while same < min(len(objects), len(self._objects)) and objects[same] == self._objects[same]:
            same += 1
        if self._grows(objects, same):
            return self._grow(objects, ground)
        self._objects = objects
        self._growing = None
        self._kept = {place: kept for place, kept in self._kept.items() if place <= same}
        start = max((place for place in self._kept if place <= len(objects)), default=0)
        picture = self._kept.get(start, ground)
        for place in range(start, len(objects)):
            picture = self._over(picture, objects[place], place, ground, pictures)
            if not self._waits_for_ink(objects[: place + 1]):
                self._keep(place + 1, picture)
        return picture

    def _keep(self, place: int, picture: Pixels) -> None:
        picture.setflags(write=False)
        self._kept[place] = picture
        while len(self._kept) > KEPT:
            del self._kept[min(self._kept)]

    def _waits_for_ink(self, objects: tuple[Thing, ...]) -> bool:
        return any(isinstance(one, Stimulus) and self._ink(one, self.size) is None for one in objects)

    # ------------------------------------------------------------------------------------------------ the ground

    def _stand_on(self, ground: Ground, pictures: Mapping[str, Pixels]) -> Pixels:
        """Return the ground on the fine grid; all that was kept stood on the one before."""
        if self._ground is None or self._ground[0] != ground:
            made = np.empty((self.height, self.width, 3), np.uint8)
            made[:] = colour_of(ground.colour)
            if ground.picture:
                picture = cover(Image.fromarray(found(ground.picture, pictures)), (self.height, self.width))
                base = Image.fromarray(made)
                base.paste(picture, (0, 0), picture if picture.mode == "RGBA" else None)
                made = np.array(base)
            made.setflags(write=False)
            self._ground, self._kept, self._growing, self._objects = (ground, made), {}, None, ()
        return self._ground[1]

    # ------------------------------------------------------------------------------------------------ a stroke that grows

    def _grows(self, objects: tuple[Thing, ...], same: int) -> bool:
        """Whether nothing is new but points at the end of the stroke drawn last."""
        growing = self._growing
        if growing is None or len(objects) != len(self._objects) or same < len(objects) - 1 or growing.place != len(objects) - 1:
            return False
        one, before = objects[-1], growing.path
        if type(one) is not type(before) or not isinstance(one, Path) or one.width != before.width:
            return False
        known = len(before.points)
        if isinstance(one, Brush) and isinstance(before, Brush) and one.colour != before.colour:
            return False
        return len(one.points) >= known and one.points[:known] == before.points

    def _grow(self, objects: tuple[Thing, ...], ground: Pixels) -> Pixels:
        growing = self._growing
        assert growing is not None
        path = objects[-1]
        assert isinstance(path, Path)
        picture = self._kept.pop(len(objects), None)
        picture = growing.below.copy() if picture is None else picture
        picture.setflags(write=True)
        new = path.points[len(growing.path.points) - 1 :]
        if len(new) > 1:
            box = self._approach(growing.distance, new, path.width)
            self._lay(picture, growing.below, box, self._soft(growing.distance[box], path.width), self._paint_of(path, ground))
        growing.path = path
        self._objects = objects
        self._keep(len(objects), picture)
        return picture

    # ------------------------------------------------------------------------------------------------ objects

    def _over(self, below: Pixels, one: Thing, place: int, ground: Pixels, pictures: Mapping[str, Pixels]) -> Pixels:
        """Return the picture with an object laid over what is below."""
        picture = below.copy()
        if isinstance(one, Path):
            distance = np.full((self.height, self.width), np.inf, np.float32)
            box = self._approach(distance, one.points, one.width)
            self._lay(picture, below, box, self._soft(distance[box], one.width), self._paint_of(one, ground))
            self._growing = _Growing(place, one, below, distance)
        elif isinstance(one, Stamp):
            self._stamp(picture, one, pictures)
        elif isinstance(one, Fill):
            box, covered = self._flood(below, one)
            self._lay(picture, below, box, covered, np.array(colour_of(one.colour), np.uint8))
        elif isinstance(one, Stimulus):
            ink = self._ink(one, self.size)
            if ink is not None:
                covered = np.repeat(np.repeat(ink[0], self.fine, 0), self.fine, 1)
                self._lay(picture, below, np.s_[:, :], covered, 255 * ink[1])
        else:
            box, covered = self._covered(one)
            self._lay(picture, below, box, covered, self._paint_of(one, ground))
        return picture

    def _paint_of(self, one: Thing, ground: Pixels) -> npt.NDArray[np.generic]:
        """Return what an object is painted with: a colour, or for the eraser the ground."""
        if isinstance(one, Eraser):
            return ground
        assert isinstance(one, Brush | Line | Arc | Shape)
        return np.array(colour_of(one.colour), np.uint8)

    def _lay(
        self, picture: Pixels, below: Pixels, box: tuple[slice, slice], covered: Coverage, paint: npt.NDArray[np.generic]
    ) -> None:
        """Mix a colour, or another picture, over what is below, within a box."""
        under = below[box].astype(np.float32)
        over = (paint[box] if paint.ndim == 3 else paint).astype(np.float32)
        picture[box] = (under + covered[..., None] * (over - under) + 0.5).astype(np.uint8)

    def _covered(self, one: Thing) -> tuple[tuple[slice, slice], Coverage]:
        """Return where a line, an arc or a shape is, and how much of each pixel there it hides."""
        if isinstance(one, Shape):
            if not one.width:
                return self._full(one)
            box, distance = self._along(outline(one), one.width)
            return box, self._soft(distance, one.width)
        if isinstance(one, Line):
            box, distance = self._along(((one.x, one.y), (one.x2, one.y2)), one.width)
            return box, self._soft(distance, one.width)
        assert isinstance(one, Arc)
        reach = one.radius + one.width
        box = self._box(one.x - reach, one.x + reach, one.y - reach, one.y + reach)
        x, y = self._grid(box)
        right, down = x - self._across(one.x), y - self._downwards(one.y)
        distance = np.abs(np.hypot(right, down) - one.radius * self.side)
        if one.sweep < 360:
            turn = (np.degrees(np.arctan2(-down, right)) - one.start) % 360
            ends = [one.point(one.start), one.point(one.start + one.sweep)]
            to_ends = [np.hypot(x - self._across(end[0]), y - self._downwards(end[1])) for end in ends]
            distance = np.where(turn <= one.sweep, distance, np.minimum(*to_ends))
        return box, self._soft(distance.astype(np.float32), one.width)

    def _full(self, one: Shape) -> tuple[tuple[slice, slice], Coverage]:
        corners = [one.inside(across * one.across / 2, down * one.down / 2) for across in (-1, 1) for down in (-1, 1)]
        xs, ys = zip(*corners, strict=True)
        box = self._box(min(xs), max(xs), min(ys), max(ys))
        x, y = self._grid(box)
        along, below = x - self._across(one.x), y - self._downwards(one.y)
        turn = math.radians(one.angle)
        right = np.abs(along * math.cos(turn) - below * math.sin(turn))
        down = np.abs(below * math.cos(turn) + along * math.sin(turn))
        wide, high = one.across / 2 * self.side, one.down / 2 * self.side
        if isinstance(one, Rectangle):
            covered = np.clip(wide - right + 0.5, 0, 1) * np.clip(high - down + 0.5, 0, 1)
        else:
            far = np.hypot(right / wide, down / high)  # the edge is where it is 1; how fast it grows there makes it a distance
            slope = np.hypot(right / wide**2, down / high**2) / np.maximum(far, 1e-6)
            covered = np.clip((1 - far) / np.maximum(slope, 1e-6) + 0.5, 0, 1)
        return box, covered.astype(np.float32)

    def _stamp(self, picture: Pixels, one: Stamp, pictures: Mapping[str, Pixels]) -> None:
        wide, high = max(1, round(one.across * self.side)), max(1, round(one.down * self.side))
        key = (one.picture, wide, high, one.angle)
        if self._scaled is None or self._scaled[0] != key:
            whole = Image.fromarray(found(one.picture, pictures))
            scaled = whole.resize((wide, high), Image.Resampling.BICUBIC, reducing_gap=3.0)
            if one.angle:  # what is beside it is transparent then
                scaled = scaled.convert("RGBA").rotate(one.angle, Image.Resampling.BICUBIC, expand=True)
            self._scaled = key, scaled
        scaled = self._scaled[1]
        corner = round(self._across(one.x) - scaled.width / 2), round(self._downwards(one.y) - scaled.height / 2)
        base = Image.fromarray(picture)
        base.paste(scaled, corner, scaled if scaled.mode == "RGBA" else None)
        picture[:] = np.asarray(base)

    def _flood(self, below: Pixels, one: Fill) -> tuple[tuple[slice, slice], Coverage]:
        """Return what is connected with a place by nearly its colour, a fine pixel more than that: the soft edge around it."""
        from scipy.ndimage import binary_dilation, label

        row, column = int(self._downwards(one.y)), int(self._across(one.x))
        if not (0 <= row < self.height and 0 <= column < self.width):
            return np.s_[0:0, 0:0], np.zeros((0, 0), np.float32)
        near = np.abs(below.astype(np.int16) - below[row, column].astype(np.int16)).max(2) <= one.tolerance
        parts, _ = label(near)
        return np.s_[:, :], binary_dilation(parts == parts[row, column]).astype(np.float32)

    # ------------------------------------------------------------------------------------------------ distances, in fine pixels

    def _across(self, x: float) -> float:
        return x * self.side + self.width / 2

    def _downwards(self, y: float) -> float:
        return y * self.side + self.height / 2

    def _box(self, left: float, right: float, top: float, bottom: float) -> tuple[slice, slice]:
        """Return the fine pixels that something between these places can touch."""
        rows = [math.floor(self._downwards(top)) - 1, math.ceil(self._downwards(bottom)) + 2]
        columns = [math.floor(self._across(left)) - 1, math.ceil(self._across(right)) + 2]
        first, last = (min(self.height, max(0, row)) for row in rows)
        begin, end = (min(self.width, max(0, column)) for column in columns)
        return slice(first, last), slice(begin, end)

    def _grid(self, box: tuple[slice, slice]) -> tuple[Coverage, Coverage]:
        rows, columns = box
        x = np.arange(columns.start, columns.stop, dtype=np.float32) + np.float32(0.5)
        y = np.arange(rows.start, rows.stop, dtype=np.float32) + np.float32(0.5)
        return x[None, :], y[:, None]

    def _soft(self, distance: Coverage, width: float) -> Coverage:
        """Return the coverage of a line, by the distance from its middle."""
        half = width * self.side / 2
        # One narrower than a fine pixel hides a part of it: never more than its width.
        covered: Coverage = np.clip(half - distance + 0.5, 0, min(1.0, 2 * half)).astype(np.float32)
        return covered

    def _along(self, points: tuple[Point, ...], width: float) -> tuple[tuple[slice, slice], Coverage]:
        distance = np.full((self.height, self.width), np.inf, np.float32)
        box = self._approach(distance, points, width)
        return box, distance[box]

    def _approach(self, distance: Coverage, points: tuple[Point, ...], width: float) -> tuple[slice, slice]:
        """Take the pieces between some points into a field of distances, and return the part of it that they can touch."""
        reach = width / 2 + 1 / self.side
        for (x, y), (x2, y2) in zip(points[:-1] or points, points[1:] or points, strict=True):
            box = self._box(min(x, x2) - reach, max(x, x2) + reach, min(y, y2) - reach, max(y, y2) + reach)
            across, down = self._grid(box)
            right, low = across - self._across(x), down - self._downwards(y)
            along, below = (x2 - x) * self.side, (y2 - y) * self.side
            length = along * along + below * below
            part = np.clip((right * along + low * below) / length, 0, 1) if length else 0.0
            np.minimum(distance[box], np.hypot(right - part * along, low - part * below), out=distance[box])
        xs, ys = zip(*points, strict=True)
        return self._box(min(xs) - reach, max(xs) + reach, min(ys) - reach, max(ys) + reach)


def found(name: str, pictures: Mapping[str, Pixels]) -> Pixels:
    """Return a picture by its name.

    Raises
    ------
    InputError
        When it is not there.
    """
    if name not in pictures:
        raise InputError("a picture of this drawing is missing; drop it onto the canvas again")
    return np.asarray(pictures[name], np.uint8)


def outline(one: Box) -> tuple[Point, ...]:
    """Return the corners of a rectangle, or enough points of an ellipse, the first once more at the end."""
    wide, high = one.across / 2, one.down / 2
    if isinstance(one, Ellipse):
        turns = np.linspace(0, 2 * math.pi, FACETS + 1).tolist()
        return tuple(one.inside(wide * math.cos(turn), high * math.sin(turn)) for turn in turns)
    signs = ((-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1))
    return tuple(one.inside(across * wide, down * high) for across, down in signs)
