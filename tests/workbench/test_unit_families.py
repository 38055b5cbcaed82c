"""Families of units: what one may be, finding, replacing and ordering them."""

from __future__ import annotations

import pytest

from workbench.input_error import InputError
from workbench.unit_families import (
    Families,
    Family,
    angle_in,
    families_with,
    find_family,
    in_order_of_angle,
    put_family,
)


def test_a_family_has_a_name_units_and_as_many_angles():
    family = Family(" curve\ndetectors ", "a", [5, 2], [90, None])
    assert family.name == "curve detectors" and family.angles == [90.0, None]
    assert (family.angle(5), family.angle(2)) == (90.0, None)
    assert Family("x", "a", [1, 2]).angles == [None, None]
    for wrong in (
        lambda: Family(" ", "a", [1]),
        lambda: Family("x", "a", []),
        lambda: Family("x", "a", [1, 1]),
        lambda: Family("x", "a", [-1]),
        lambda: Family("x", "a", [1, 2], [1.0]),
        lambda: Family("x", "a", [1], [float("nan")]),
    ):
        with pytest.raises(InputError):
            wrong()


def test_families_are_found_replaced_and_removed_in_their_places():
    families: Families = {}
    curves, lines, other = Family("Curves", "a", [1, 2]), Family("lines", "a", [3, 2]), Family("curves", "b", [1])
    for family in (curves, lines, other):
        put_family(families, "m", None, family)
    assert find_family(families, "m", "a", " curves ") is curves and find_family(families, "m", "b", "CURVES") is other
    assert find_family(families, "m", "a", "none") is None and find_family(families, "n", "a", "curves") is None
    assert families_with(families, "m", "a", 2) == [curves, lines] and families_with(families, "m", "b", 2) == []
    renamed = Family("curve detectors", "a", [2, 1])
    put_family(families, "m", curves, renamed)
    assert families["m"] == [renamed, lines, other]
    with pytest.raises(InputError, match="there is a family 'LINES' in a already"):
        put_family(families, "m", renamed, Family("LINES", "a", [9]))
    assert families["m"] == [renamed, lines, other]
    put_family(families, "m", lines, Family("Lines", "a", [3]))  # its own name in another case
    for family in list(families["m"]):
        put_family(families, "m", family, None)
    assert families == {}


def test_units_are_put_in_the_order_of_their_angles():
    assert in_order_of_angle([7, 8, 9, 10], [90.0, None, -45.0, None]) == [2, 0, 1, 3]


@pytest.mark.parametrize(
    ("label", "angle"), [("curve, 45°", 45.0), ("-22,5 °", -22.5), ("− 30°", 30.0), ("curve 45", None), ("3 lines 90°", 90.0), ("", None)]
)
def test_an_angle_is_read_out_of_a_label(label: str, angle: float | None):
    assert angle_in(label) == angle
