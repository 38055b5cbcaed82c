"""Families: units of a layer that belong together, such as the curve detectors of all angles, in an order and each with an angle.

A family is a unit of its own where several units are looked at as one. Its address is ``layer:{name}`` (see `workbench.address`).
"""

# No postponed annotations here: `workbench.project` reads the real types off the fields.

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from workbench.input_error import InputError
from workbench.owner import owner_of


@dataclass
class Family:
    """Units of one layer under one name.

    Attributes
    ----------
    name
        One line; a layer has each name once, in whatever case.
    layer
        Name of the layer.
    units
        Their numbers, each once, in the family's order.
    angles
        Degrees of each unit in the same order, None where it has none; may be left empty for none at all.

    Raises
    ------
    InputError
        When there is no name or no unit, a unit stands there twice, or the angles do not fit.
    """

    name: str
    layer: str
    units: list[int]
    angles: list[float | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.name = " ".join(self.name.split())
        if not self.name:
            raise InputError("a family needs a name")
        if not self.units or min(self.units) < 0 or len(set(self.units)) != len(self.units):
            raise InputError(f"a family has units, each once, not {self.units}")
        self.angles = [None if angle is None else float(angle) for angle in self.angles] or [None] * len(self.units)
        if len(self.angles) != len(self.units) or not all(angle is None or math.isfinite(angle) for angle in self.angles):
            raise InputError(f"a family of {len(self.units)} units has as many angles in degrees, not {self.angles}")

    def angle(self, unit: int) -> float | None:
        """Return the angle of one of its units."""
        return self.angles[self.units.index(unit)]


Families = dict[str, list[Family]]
"""Model reference -> its families, in the user's order."""


def find_family(families: Families, model: str, layer: str, name: str) -> Family | None:
    """Return the family of that name (any case, any spaces) in a layer, or None."""
    wanted = " ".join(name.split()).casefold()
    kept = families.get(owner_of(model, layer), ())
    return next((one for one in kept if one.layer == layer and one.name.casefold() == wanted), None)


def families_with(families: Families, model: str, layer: str, unit: int) -> list[Family]:
    """Return the families that a unit belongs to."""
    return [family for family in families.get(owner_of(model, layer), ()) if family.layer == layer and unit in family.units]


def put_family(families: Families, model: str, before: Family | None, after: Family | None) -> None:
    """Add a family, put another in its place, or remove it, in place; it is kept by the owner of its layer.

    Raises
    ------
    InputError
        When another family of the layer has that name already; nothing is changed then.
    """
    layer = next((one.layer for one in (after, before) if one is not None), "")
    model = owner_of(model, layer)
    known = families.get(model, [])
    others = {model: [one for one in known if one != before]}
    if after is not None and find_family(others, model, after.layer, after.name) is not None:
        raise InputError(f"there is a family {after.name!r} in {after.layer} already")
    place = known.index(before) if before in known else len(known)
    changed = [*known[:place], *([after] if after is not None else []), *known[place + 1 :]]
    if changed:
        families[model] = changed
    else:
        families.pop(model, None)


def in_order_of_angle(units: Sequence[int], angles: Sequence[float | None]) -> list[int]:
    """Return the places of the units from the smallest angle to the largest; those without one stay behind, in the order they had."""
    return sorted(range(len(units)), key=lambda place: math.inf if (angle := angles[place]) is None else angle)


def angle_in(text: str) -> float | None:
    """Read the angle out of a label such as ``curve, -45°``; None when no number stands before a degree sign."""
    found = re.search(r"([-−–]?)(\d+(?:[.,]\d+)?)\s*°", text)
    return None if found is None else (-1 if found[1] else 1) * float(found[2].replace(",", "."))
