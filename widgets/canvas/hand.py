"""What the user holds while drawing: a tool, a colour, a width. Both canvases draw with the same."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal, get_args

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
