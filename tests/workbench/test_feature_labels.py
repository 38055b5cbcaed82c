"""Features written as text become labels of images; what is no feature is refused in one line."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.feature_labels import labels_of
from workbench.input_error import InputError

COLUMNS = {
    "orientation": [str(angle) for angle in range(0, 360, 30)],
    "radius": [f"{0.1 + 0.05 * (i % 3):.3g}" for i in range(12)],
    "style": ["noto", "twemoji"] * 6,
}


def labels(feature: str, activation: np.ndarray | None = None) -> list[int]:
    return labels_of(feature, COLUMNS, 12, lambda: np.zeros(12) if activation is None else activation).tolist()


def test_features_are_labels() -> None:
    assert labels("all") == [0] * 12 and labels("itself") == list(range(12))
    assert labels("style") == [0, 1] * 6
    assert labels("radius") == [0, 1, 2] * 4
    assert labels("radius / 2") == [0, 1, 1] * 4
    assert labels("activation / 3", np.arange(12.0)) == [0] * 4 + [1] * 4 + [2] * 4


def test_a_full_turn_has_bins_of_one_width() -> None:
    assert np.bincount(labels("orientation / 4")).tolist() == [3, 3, 3, 3]
    assert np.bincount(labels("orientation / 12")).tolist() == [1] * 12


def test_expressions_are_read() -> None:
    assert labels("= floor(orientation / 180) + 10 * (radius > 0.12)") == [0, 2, 2] * 2 + [1, 3, 3] * 2
    assert labels("= orientation >= 90 and orientation < 180") == [0] * 3 + [1] * 3 + [0] * 6
    assert labels("= min(radius, 5, 0)") == [0] * 12, "none of three is left out"
    assert labels("= max(1, radius, 5)") == [0] * 12
    assert labels("= -max(radius, 0.15) ** 2") == [1, 1, 0] * 4


@pytest.mark.parametrize(
    ("feature", "why"),
    [
        ("hue", "no column is named 'hue'"),
        ("style / 3", "holds text"),
        ("radius / 0", "at least one bin"),
        ("= hue + 1", "no column"),
        ("= radius +", "no expression"),
        ("= __import__('os')", "cannot be in an expression"),
        ("= radius.real", "cannot be in an expression"),
        ("= abs(radius, radius, radius, radius)", "abs takes one value, not 4"),
        ("= floor(radius, 2)", "floor takes one value, not 2"),
        ("= round()", "round takes one value, not 0"),
        ("= min(radius)", "min takes two values or more, not 1"),
        ("radius / 99999999999", "99,999,999,999 bins of 12 images"),
        ("activation / 13", "13 bins of 12 images"),
        ("= radius + 1" + "0" * 400, "a number is too large"),
        ("= " + "-" * 5000 + "radius", "nested too deeply|no expression"),
        ("= " + "+".join(["radius"] * 5000), "nested too deeply|no expression"),
        ("= radius\0", "no expression"),
        ("= 1 / (orientation * 0)", "is no number for"),
    ],
)
def test_what_is_no_feature_is_refused(feature: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        labels(feature)
