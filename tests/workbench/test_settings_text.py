"""Parameters as they are typed: NAME=VALUE, read by what is wanted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import Field

from workbench import settings_text
from workbench.analyses.analysis import ANALYSES, Analysis
from workbench.task import Task


class Shapes(Analysis):
    """A question with all kinds of parameters."""

    title = "Shapes"
    layer: str
    units: tuple[int, ...] = ()
    names: list[str] = []
    mode: str | list[str] = "plain"
    limit: float | None = Field(None, ge=0, le=1, description="A limit.")
    on: bool = True
    steps: int = Field(16, ge=1, le=64)

    def compute(self, model: Any, images: Any, task: Task) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        return {}, {}


@pytest.fixture
def shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ANALYSES, "Shapes", Shapes)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("units=5,9", [5, 9]),
        ("units=5", [5]),
        ("units=[5, 9]", [5, 9]),
        ("units=", []),
        ("units=5, x", [5, "x"]),
        ("layer=layer2", "layer2"),
        ("layer=1", "1"),
        ("layer=a=b", "a=b"),
        ("names=a,1", ["a", "1"]),
        ("names=a", ["a"]),
        ("mode=plain", "plain"),
        ("mode=plain,fancy", ["plain", "fancy"]),
        ("limit=0.5", 0.5),
        ("limit=null", None),
        ("on=false", False),
        ("steps=8", 8),
        ("steps=many", "many"),
        ("unknown=3", 3),
    ],
)
def test_settings(shapes: None, setting: str, value: object) -> None:
    name = setting.partition("=")[0]
    assert settings_text.parse_settings("Shapes", [setting]) == {name: value}


def test_settings_of_the_real_analyses() -> None:
    settings = ["layer=2", "units=5,9", "objective=channel - 0.5 * diversity", "directions=[[1, 0], [0, 1]]", "steps=8"]
    values = settings_text.parse_settings("FeatureVisualization", settings)
    from workbench.jobs.engine import configured

    analysis = configured("FeatureVisualization", values)
    assert analysis.model_dump()["units"] == (5, 9) and analysis.model_dump()["directions"] == ((1.0, 0.0), (0.0, 1.0))
    assert settings_text.parse_settings("DatasetExamples", ["layers=conv1,layer2"]) == {"layers": ["conv1", "layer2"]}


@pytest.mark.parametrize(
    ("settings", "message"),
    [(["steps"], "--set steps is not NAME=VALUE"), (["=3"], "not NAME=VALUE"), (["steps=1", "steps=2"], "given twice")],
)
def test_settings_that_are_none(shapes: None, settings: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        settings_text.parse_settings("Shapes", settings)
