"""Running an analysis from its form."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import pytest
from pydantic import BaseModel, Field
from PySide6.QtCore import Qt
from shiboken6 import isValid

from widgets.analysis_dialog import AnalysisDialog, first_values
from workbench.analyses.analysis import Result
from workbench.jobs.requests import AnalysisCard, DescribeAnalyses, RunAnalysis
from workbench.models.layer import Layer, Unit


class Look(BaseModel):
    layer: str
    units: list[Annotated[int, Field(ge=0)]] = []
    steps: int = Field(default=256, ge=1, le=8192, description="Optimisation steps.")


class Sweep(BaseModel):
    layers: list[str] = []


CARDS = (
    AnalysisCard("Look", "Feature visualization", "Optimise images.\n\nMore of it.", Look.model_json_schema(), False),
    AnalysisCard("Sweep", "Dataset examples", "One pass.", Sweep.model_json_schema(), True),
)


@pytest.fixture
def dialog(session, runner, qtbot):
    runner.answers[DescribeAnalyses] = CARDS
    with qtbot.waitSignal(session.model_changed):
        session.open_model("test:small")
    session.select_unit(Unit("stem.act", 4))
    made = AnalysisDialog(session)
    made.open()
    qtbot.waitUntil(lambda: made.form is not None, timeout=10_000)
    yield made
    if isValid(made):
        made.close()


def test_it_begins_with_what_is_selected(dialog):
    assert dialog.list.count() == 2
    assert dialog.about.text() == "Optimise images."
    assert dialog.form.values() == {"layer": "stem.act", "units": [4], "steps": 256}
    assert "Small" in dialog.runs_on.text()
    assert dialog.run.isEnabled()


def test_the_parameters_are_reached_between_the_list_and_the_buttons(dialog, reached_with_tab, qtbot):
    dialog.list.setCurrentRow(1)
    dialog.list.setCurrentRow(0)
    qtbot.waitUntil(dialog.form.isVisible)
    reached = reached_with_tab(dialog.list)
    of_form = [at for at, widget in enumerate(reached) if dialog.form.isAncestorOf(widget)]
    assert [reached[at].accessibleName().partition(":")[0] for at in of_form] == ["Parameters", "units", "steps"]
    assert of_form == [1, 2, 3] and reached.index(dialog.run) > 3


def test_a_source_begins_with_the_layer_that_feeds_the_block_not_with_a_branch_of_it(session, qtbot):
    with qtbot.waitSignal(session.model_changed):
        session.open_model("test:small")
    branches = ["mixed4a", "mixed4a.1x1", "mixed4a.pool_reduce", "maxpool4", "mixed3b"]
    session.layers = {name: Layer(name, "max_pool2d" if "max" in name else "relu", (8, 4, 4), 0) for name in reversed(branches)}
    session.layer, session.unit = "mixed4a", None
    found = first_values(session, {"properties": {"source": {}, "target": {}}})
    assert found == {"source": "mixed3b", "target": "mixed4a"}


def test_a_run_shows_progress_and_its_result(dialog, session, runner, qtbot):
    dialog.form.set_value("steps", 16)
    dialog.run.click()
    assert runner.asked(RunAnalysis) == [
        RunAnalysis("Look", {"layer": "stem.act", "units": [4], "steps": 16}, "test:small")
    ]
    job = max(runner.requests)
    assert not dialog.run.isEnabled() and dialog.stop.isVisible()
    runner.tell(job, "progress", done=1, total=4, note="step 4")
    qtbot.waitUntil(lambda: dialog.bar.value() == 250)
    assert dialog.said.text() == "step 4"
    runner.tell(job, "done", result=Result("Look", {}, {"images": np.zeros(3)}, {"best": 1.5}))
    qtbot.waitUntil(dialog.show_result.isVisible)
    assert dialog.run.isEnabled() and not dialog.bar.isVisible()
    dialog.open_result()


def test_an_error_of_the_engine_stands_at_its_field(dialog, runner, qtbot):
    dialog.run.click()
    runner.tell(max(runner.requests), "failed", error="units = [99]: layer stem.act has units 0 to 15")
    qtbot.waitUntil(lambda: "has units 0 to 15" in dialog.said.text())
    assert "has units 0 to 15" in dialog.form._group.child("units").title()
    assert dialog.run.isEnabled()


def test_enter_runs_it(dialog, runner, qtbot):
    dialog.list.setFocus()
    qtbot.keyClick(dialog.list, Qt.Key.Key_Return)
    assert len(runner.asked(RunAnalysis)) == 1


def test_wrong_values_cannot_be_run(dialog, qtbot):
    dialog.form._group.child("units").setValue("1, two")
    assert not dialog.run.isEnabled()
    assert dialog.said.text().startswith("units: 'two'")


def test_an_analysis_of_images_needs_images(dialog, session, runner, qtbot):
    dialog.list.setCurrentRow(1)
    assert not dialog.run.isEnabled()
    assert dialog.said.text() == "This analysis needs images; open a set first."
    with qtbot.waitSignal(session.images_changed):
        session.open_images("test:images")
    assert dialog.run.isEnabled()
    dialog.run.click()
    assert runner.asked(RunAnalysis)[-1] == RunAnalysis("Sweep", {"layers": ["stem.act"]}, "test:small", "test:images")


def test_it_can_be_cancelled_and_closed_while_it_runs(dialog, runner, qtbot):
    dialog.run.click()
    job = max(runner.requests)
    dialog.stop.click()
    qtbot.waitUntil(lambda: dialog.said.text() == "Cancelled.")
    dialog.run.click()
    running = max(runner.requests)
    dialog.close()
    assert job not in runner.open and running in runner.open  # it goes on; the jobs panel has it
