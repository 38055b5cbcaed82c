"""The directions of an investigation: what is not there is left out, and what was made anew is said."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.direction_set import DirectionSet
from workbench.directions_there import as_it_can_be_opened
from workbench.project import DirectionsUsed


def test_what_is_missing_is_left_out_and_what_changed_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path))
    axes, one = np.eye(3, dtype=np.float32), np.ones(3, np.float32)
    made = DirectionSet("here", "relu", axes, one, axes, one)
    made.save()
    used = DirectionsUsed("bundled:a", "relu", "here", made.digest)
    assert as_it_can_be_opened("bundled:a?directions=here", [used]) == ("bundled:a?directions=here", "")
    ref, said = as_it_can_be_opened("bundled:a?directions=gone,here", [used])
    assert ref == "bundled:a?directions=here" and "gone are not on this machine" in said
    DirectionSet("here", "relu", axes, 2 * one, axes, one).save()
    ref, said = as_it_can_be_opened("bundled:a?directions=here", [used])
    assert ref == "bundled:a?directions=here" and "here were made anew" in said
