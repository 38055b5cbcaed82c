"""What the user holds while drawing: a tool, a colour, a width. Both canvases draw with the same."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Literal, get_args

from workbench.images.drawn_stimulus import Stimulus
from workbench.images.shapes import Ellipse, Fill, Rectangle, Stamp
from workbench.images.strokes import Arc, Brush, Line
from workbench.images.thing import Point, Thing
from workbench.jobs.tuning_requests import STIMULI

Tool = Literal["select", "brush", "eraser", "line", "arc", "rectangle", "ellipse", "fill", "picker", "stamp", "stimulus"]
TOOLS: tuple[Tool, ...] = get_args(Tool)
KEYS: dict[Tool, str] = {
    "select": "V",
    "brush": "B",
    "eraser": "E",
    "line": "L",
    "arc": "A",
    "rectangle": "R",
    "ellipse": "O",
    "fill": "F",
    "picker": "I",
    "stamp": "S",
    "stimulus": "M",
}
"""What key takes a tool while a canvas has the keyboard."""
STAMPED, USUAL = 0.6, 0.3
"""Of the shorter side: the longer side of a picture that is stamped, and half the size of what is put without a movement."""
WIDTHS = 0.005, 0.5
"""Of the shorter side: the thinnest and the thickest brush."""


@dataclass
class Hand:
    """The tool and how it draws.

    Attributes
    ----------
    width
        Of a stroke, a line, an outline: a fraction of the shorter side.
    filled
        Whether shapes are full.
    tolerance
        Of a fill, in levels of 255.
    picture, proportions
        Name of the picture that is stamped, empty for none, and its width over its height.
    family
        Kind of stimulus.
    defaults
        Values that a stimulus of each family begins with, as far as they are known.
    """

    tool: Tool = "brush"
    colour: str = "#000000"
    width: float = 0.05
    filled: bool = False
    tolerance: int = 40
    picture: str = ""
    proportions: float = 1.0
    family: str = "curves"
    defaults: dict[str, dict[str, float]] = field(default_factory=dict)

    def thicker(self, factor: float) -> None:
        """Take a thicker brush, or with a factor below 1 a thinner one."""
        self.width = min(WIDTHS[1], max(WIDTHS[0], self.width * factor))

    def restore(self, state: object) -> None:
        """Take back what was kept of a hand; what does not fit is left as it is."""
        given = state if isinstance(state, dict) else {}
        if given.get("tool") in TOOLS:
            self.tool = given["tool"]
        if isinstance(given.get("colour"), str) and re.fullmatch("#[0-9a-f]{6}", given["colour"]):
            self.colour = given["colour"]
        if isinstance(given.get("width"), float) and WIDTHS[0] <= given["width"] <= WIDTHS[1]:
            self.width = given["width"]
        self.filled = given.get("filled") is True
        if given.get("family") in STIMULI:
            self.family = given["family"]

    def spanned(self, start: Point, to: Point, even: bool) -> Thing:
        """Return the line, arc or shape between two places; `even`: at 15 degrees, or as wide as high."""
        right, down = to[0] - start[0], to[1] - start[1]
        if self.tool == "line":
            if even:
                length, turn = math.hypot(right, down), round(math.degrees(math.atan2(down, right)) / 15) * 15
                to = start[0] + length * math.cos(math.radians(turn)), start[1] + length * math.sin(math.radians(turn))
            return Line(*start, *to, self.width, self.colour)
        if self.tool == "arc":
            turn = math.degrees(math.atan2(-down, right))
            turn = round(turn / 15) * 15 if even else turn
            return Arc(*start, math.hypot(right, down), (turn - 90) % 360, 180, self.width, self.colour)
        across, high = abs(right), abs(down)
        if even:
            across = high = max(across, high)
            to = start[0] + math.copysign(across, right), start[1] + math.copysign(high, down)
        shape = Rectangle if self.tool == "rectangle" else Ellipse
        middle = (start[0] + to[0]) / 2, (start[1] + to[1]) / 2
        return shape(*middle, across, high, 0.0 if self.filled else self.width, self.colour)

    def placed(self, point: Point) -> Thing | None:
        """Return what the tool makes at a place, of its usual size; None for a tool that makes nothing without a movement."""
        x, y = point
        if self.tool == "fill":
            return Fill(x, y, self.colour, self.tolerance)
        if self.tool == "stamp" and self.picture:
            wide = STAMPED * min(1.0, self.proportions)
            return Stamp(x, y, wide, wide / self.proportions, self.picture)
        if self.tool == "stimulus":
            values = self.defaults.get(self.family, {"x": 0.0, "y": 0.0})
            here = {"x": x, "y": y} if "x" in values else {}
            return Stimulus(self.family, tuple((values | here).items()))
        if self.tool == "brush":
            return Brush((point,), self.width, self.colour)
        if self.tool == "arc":
            return self.spanned(point, (x, y - USUAL), False)
        if self.tool in ("line", "rectangle", "ellipse"):
            return self.spanned((x - USUAL, y - USUAL), (x + USUAL, y + USUAL), False)
        return None
