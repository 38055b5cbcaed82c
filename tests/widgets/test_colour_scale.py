"""The colours are even in lightness, and stand for the values they are labelled with."""

from __future__ import annotations

import numpy as np
import pytest

from widgets.views.axes import count, decades, number, tick, ticks
from widgets.views.colour_scale import ColourScale, diverging, sequential


def lightness(table: np.ndarray) -> np.ndarray:
    """CIE L* of sRGB colours: another measure of lightness than the one the tables were made with."""
    share = table / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    y = linear @ [0.2126, 0.7152, 0.0722]
    return np.where(y > 0.008856, 116 * np.cbrt(y) - 16, 903.3 * y)


def test_sequential_table_gets_lighter_in_even_steps():
    light = lightness(sequential())
    steps = np.diff(light[::16])
    assert (steps > 0).all() and light[0] < 12 and light[-1] > 90
    assert steps.max() / steps.min() < 2


def test_diverging_table_is_white_in_the_middle_and_equally_dark_at_both_ends():
    table = diverging()
    light = lightness(table)
    assert light[127:129].min() > 93
    assert np.abs(light - light[::-1]).max() < 6
    assert table[0, 2] > table[0, 0] and table[-1, 0] > table[-1, 2]  # blue is negative, red is positive


def test_scale_is_symmetric_about_zero_only_when_there_are_negative_values():
    assert ColourScale.of(np.array([0.5, 3.0])) == ColourScale(0.0, 3.0)
    signed = ColourScale.of(np.array([-1.0, 4.0, np.nan]))
    assert (signed.low, signed.high) == (-4.0, 4.0)
    assert (signed.colours(np.array([0.0])) > 235).all()
    assert (signed.colours(np.array([9.0])) == diverging()[-1]).all()
    assert ColourScale.of(np.zeros(3)).high == 1.0


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (2.9, "2.90"),
        (12.345, "12.3"),
        (-0.5, "−0.500"),
        (123456, "1.2e5"),
        (1e-5, "1.0e-5".replace("-", "−")),
    ],
)
def test_numbers_have_three_significant_digits(value, text):
    assert number(value) == text


def test_ticks_are_round_and_few():
    assert ticks(0, 10, 6) == [0, 2, 4, 6, 8, 10]
    assert [tick(t) for t in ticks(-0.3, 0.31, 4)] == ["−0.2", "0", "0.2"]
    for low, high in ((0, 1e-9), (3, 3.0001), (-5e6, 1e7)):
        assert 1 <= len(ticks(low, high, 5)) <= 5
    assert decades(20_000) == [1, 10, 100, 1000, 10_000]
    assert len(decades(1e12)) <= 6 and decades(3) == [1, 2] and decades(0) == [1]
    assert (count(7850), count(2.5e6)) == ("7,850", "2.5 M")
