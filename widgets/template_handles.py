"""Where the numbers of a kernel template are on its picture: which of them a place on it stands for, and which have no place.

Places are cells to the right of the kernel's middle, and above it; angles are degrees counter-clockwise from the right, as in
`workbench.kernel_templates`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

Place = tuple[float, float]
AT_RIM = 0.9
"""Of the rim: from there on a handle is still there where it was shown, when a hand leads it around the middle."""


@dataclass(frozen=True)
class Handle:
    """A place in some direction and distance from the middle; moving it changes one number or two.

    Attributes
    ----------
    name
        What it is called.
    turns
        Whether moving it around the middle changes the ``orientation``.
    beside
        Degrees between the template's orientation, where it has one, and where the handle stands.
    length
        Parameter that the distance stands for; empty where it stands for none and the handle is out at the rim.
    scale, factor
        Distance in cells of one unit of it: a factor, times another parameter where that is named.
    """

    name: str
    turns: bool = False
    beside: float = 0.0
    length: str = ""
    scale: str = ""
    factor: float = 1.0

    @property
    def changes(self) -> tuple[str, ...]:
        """Parameters that moving it changes."""
        return ("orientation",) * self.turns + (self.length,) * bool(self.length)

    def _unit(self, values: Mapping[str, float]) -> float:
        return self.factor * (values[self.scale] if self.scale else 1.0)

    def place(self, values: Mapping[str, float], rim: float) -> Place:
        """Return where it stands; `rim` is how far out it may be: a longer distance than that is shown there."""
        away = min(self._unit(values) * values[self.length], rim) if self.length else rim
        turn = math.radians(values.get("orientation", 0.0) + self.beside)
        return away * math.cos(turn), away * math.sin(turn)

    def moved(self, values: Mapping[str, float], to: Place, rim: float) -> dict[str, float]:
        """Return the parameters it changes when it is moved to a place.

        A distance that is too long to be shown stays as it is while the handle is at the rim or beyond; `values` are those it was taken at.
        """
        right, up = to
        found = {}
        if self.turns:
            found["orientation"] = (math.degrees(math.atan2(up, right)) - self.beside) % 360
        if self.length:
            turn = math.radians(found.get("orientation", values.get("orientation", 0.0)) + self.beside)
            away, unit = max(0.0, right * math.cos(turn) + up * math.sin(turn)), max(self._unit(values), 1e-9)
            stays = unit * values[self.length] > rim and away >= AT_RIM * rim
            found[self.length] = values[self.length] if stays else away / unit
        return found


@dataclass(frozen=True)
class Bend(Handle):
    """A place on an arc through the middle, that bulges to the orientation: how far it lies behind the tangent is the radius."""

    @property
    def changes(self) -> tuple[str, ...]:
        """The radius alone."""
        return ("radius",)

    def place(self, values: Mapping[str, float], rim: float) -> Place:
        """Return the place on the arc that is about a rim away along it."""
        radius, bulge = values["radius"], math.radians(values["orientation"])
        turn = min(rim / radius, math.pi / 2)
        out, left = radius * (math.cos(turn) - 1), radius * math.sin(turn)
        return out * math.cos(bulge) - left * math.sin(bulge), out * math.sin(bulge) + left * math.cos(bulge)

    def moved(self, values: Mapping[str, float], to: Place, rim: float) -> dict[str, float]:
        """Return the radius of the arc through the middle and a place."""
        bulge = math.radians(values["orientation"])
        behind = -(to[0] * math.cos(bulge) + to[1] * math.sin(bulge))
        return {"radius": (to[0] ** 2 + to[1] ** 2) / (2 * max(behind, 1e-3))}


TURN = Handle("turn", turns=True)
HANDLES: dict[str, tuple[Handle, ...]] = {
    "gabor": (
        Handle("length along the stripes", turns=True, length="elongation", scale="sigma"),
        Handle("dark stripe", beside=90, length="wavelength", factor=0.5),
        Handle("window", beside=-90, length="sigma"),
    ),
    "complex_gabor": (TURN, Handle("window", beside=90, length="size")),
    "line": (Handle("end", turns=True, length="length", factor=0.5), Handle("width", beside=90, length="width")),
    "curve": (TURN, Bend("bend"), Handle("width", beside=180, length="width")),
    "colour_contrast": (TURN, Handle("window", beside=90, length="size"), Handle("softness", beside=-90, length="softness")),
    "centre_surround": (Handle("centre", length="centre"), Handle("surround", beside=90, length="surround")),
    "line_end": (TURN, Handle("width", beside=90, length="width"), Handle("softness", beside=180, length="softness")),
    "high_low_frequency": (TURN, Handle("softness", beside=90, length="softness")),
    "boundary": (TURN, Handle("window", beside=90, length="size"), Handle("softness", beside=-90, length="softness")),
}
"""Handles of each template."""


def placed(template: str) -> frozenset[str]:
    """Return the parameters of a template that its handles change; the others have no place on the picture."""
    return frozenset(name for handle in HANDLES[template] for name in handle.changes)
