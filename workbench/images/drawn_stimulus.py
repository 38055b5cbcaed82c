"""A parametric stimulus as an object of a drawing."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from workbench.images.thing import Point, Thing, by_place, named, register_object
from workbench.input_error import InputError

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
            return by_place(self, handle, to)
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
