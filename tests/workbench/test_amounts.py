"""Times and sizes as people say them."""

from __future__ import annotations

import pytest

from workbench.amounts import duration, rough_duration, size


@pytest.mark.parametrize(
    ("seconds", "exact", "estimated"),
    [
        (0, "0.0 s", "1 s"),
        (0.44, "0.4 s", "1 s"),
        (3.44, "3.4 s", "3 s"),
        (9.96, "10 s", "10 s"),
        (12.2, "12 s", "12 s"),
        (59.6, "1 min 00 s", "60 s"),
        (65, "1 min 05 s", "65 s"),
        (200, "3 min 20 s", "3 min"),
        (3600, "1 h 00 min", "60 min"),
        (7500, "2 h 05 min", "2.1 h"),
    ],
)
def test_times(seconds: float, exact: str, estimated: str) -> None:
    assert duration(seconds) == exact
    assert rough_duration(seconds) == estimated


def test_sizes() -> None:
    assert [size(n) for n in (0, 12, 3_400, 9_940_000, 12_400_000, 1_430_000_000)] == [
        "nothing", "12 bytes", "3.4 kB", "9.9 MB", "12 MB", "1.4 GB"
    ]  # fmt: skip
