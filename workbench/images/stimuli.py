"""The families of parametric stimuli; importing this makes them all known."""

from workbench.images.pattern_stimuli import CentreSurround, Checkers, Colours, Gratings, HighLow, Patches
from workbench.images.stimulus import turned
from workbench.images.stroke_stimuli import PROFILES, Circles, Corners, Curves, LineEnds, Lines, stroke

__all__ = [
    "PROFILES",
    "CentreSurround",
    "Checkers",
    "Circles",
    "Colours",
    "Corners",
    "Curves",
    "Gratings",
    "HighLow",
    "LineEnds",
    "Lines",
    "Patches",
    "stroke",
    "turned",
]
