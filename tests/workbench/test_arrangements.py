"""Angles given to units in other ways: few are listed, the own among them; p is what it says where nothing is to be found."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.analyses.joint_tuning import _turns
from workbench.arrangements import arrangements, beside


def evenly(count: int) -> np.ndarray:
    return np.arange(count) * 360 / count


@pytest.mark.parametrize(("count", "ways"), [(2, 1), (3, 2), (4, 6), (5, 24), (6, 120)])
def test_ways_that_turn_the_whole_family_are_one(count: int, ways: int) -> None:
    found = arrangements([evenly(count)], _turns, lambda angles: float(np.array_equal(_turns(angles), _turns(evenly(count)))), 50, 0)
    assert found.complete and found.distinct == len(found.null) == ways
    assert found.p == pytest.approx(1 / ways) and (found.bar is None) == (ways < 20)
    assert found.others == (None if ways == 1 else 0)


def test_p_is_uniform_where_nothing_is_to_be_found() -> None:
    random = np.random.default_rng(0)
    p = []
    for seed in range(200):
        values: dict[bytes, float] = {}

        def explained(angles: np.ndarray, values: dict[bytes, float] = values) -> float:
            return values.setdefault(_turns(angles).tobytes(), random.random())

        p.append(arrangements([evenly(4)], _turns, explained, 50, seed).p)
    assert np.mean(np.array(p) <= 1 / 6 + 1e-9) == pytest.approx(1 / 6, abs=0.07) and np.mean(np.array(p) < 0.05) == 0


def test_many_are_drawn_with_the_own_among_them_and_two_angles_allow_few() -> None:
    many = arrangements([evenly(8)], _turns, lambda angles: float(angles[0]), 60, 0)
    assert not many.complete and len(many.null) == 60 and many.bar is not None
    two = arrangements([np.array([0.0, 180.0] * 2 + [0.0] * 6)], _turns, lambda angles: float(angles[0]), 60, 0)
    assert two.distinct <= 45 and two.p >= 1 / 61


def test_it_is_said() -> None:
    assert "no other angles" in beside("R2", 1.0, None, None, 1)
    assert "too few units for a null: their angles can be given in 6 ways" in beside("R2", 1.0, 0.2, None, 6)
    assert "95 % below 0.40" in beside("R2", 1.0, 0.2, 0.4, 120)
