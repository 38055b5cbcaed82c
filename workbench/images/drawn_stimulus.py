"""A parametric stimulus as an object of a drawing."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from workbench.images.thing import Point, Thing, around, bearing, by_place, named, register_object
from workbench.input_error import InputError

ARM = 0.25
"""Of the shorter side: how far from its middle a stimulus without a radius is taken to be turned."""


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
        """Its middle, and one that sets its radius and turns it, as far as those values are known."""
        values = dict(self.values)
        if "x" not in values or "y" not in values:
            return {}
        found = {"place": (values["x"], values["y"])}
        if self._bends:
            right, down = around((self._arm, 0.0), values.get("orientation", 0.0))
            found["radius"] = values["x"] + right, values["y"] + down
        return found

    @property
    def _bends(self) -> bool:
        """Whether it has a radius that can be taken: not of corners, where 0 is sharp."""
        values = dict(self.values)
        return "radius" in values and "angle" not in values

    @property
    def _arm(self) -> float:
        return min(0.48, dict(self.values)["radius"]) if self._bends else ARM

    def dragged(self, handle: str, to: Point) -> Thing:
        """Move it, or bend and turn it."""
        values = dict(self.values)
        if handle != "radius" or "radius" not in self.handles():
            return by_place(self, handle, to)
        middle = self.handles()["place"]
        changed = {"radius": max(0.02, math.dist(middle, to))}
        if "orientation" in values:
            changed["orientation"] = bearing(middle, to) % 360
        return self.given(**changed)

    @property
    def direction(self) -> float | None:
        """Its orientation; None where it has none, or stands nowhere."""
        return dict(self.values).get("orientation") if self.handles() else None

    def edge(self) -> tuple[float, float]:
        """Beyond its radius, or at some distance."""
        return 0.0, self._arm

    def turned(self, direction: float) -> Thing:
        """Give it another orientation."""
        if self.direction is None:
            return super().turned(direction)
        return self.given(orientation=direction)

    def moved(self, right: float, down: float) -> Thing:
        """Move its middle; what fills the whole image stays."""
        values = dict(self.values)
        if "x" not in values or "y" not in values:
            return self
        return self.given(x=min(1.0, max(-1.0, values["x"] + right)), y=min(1.0, max(-1.0, values["y"] + down)))
