"""The panel Training time: a slider that every panel follows, what grows beside its controls, and a stretch trained again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtWidgets import QPushButton

from tests.widgets.conftest import CARD
from widgets.panels.phase_change import NOT_YET, PhaseChangePanel
from widgets.training_time.curve_table import CurveTable
from widgets.training_time.film import captions
from widgets.training_time.growth import METRICS
from workbench.analyses.analysis import Result
from workbench.input_error import InputError
from workbench.jobs.checkpoint_requests import DescribeTrainings, PrepareCheckpoints, UnitFilm
from workbench.jobs.requests import LoadModel, RunAnalysis
from workbench.jobs.training_requests import Train
from workbench.models.checkpoint_series import Series
from workbench.models.layer import Unit

STEPS = [0, 1, 3, 10, 30, 100, 300, 1000]
LAYER = "blocks.0.act"
LOG = tuple({"step": step, "loss": 3.0 / (1 + step / 100)} for step in range(10, 1001, 10))


def series(seed: int, log: tuple = ()) -> Series:
    refs = {step: f"test:net?step={step}&seed={seed}" for step in STEPS}
    final = refs[1000] if seed else "test:net"
    return Series(f"seed {seed}", refs, log, "Classifier", {"seed": seed, "steps": 1000}, final)


def opened(request: LoadModel) -> Any:
    """Answer as the worker does: checkpoints have fewer layers than the final network."""
    layers = CARD.layers if "step=" not in request.ref else CARD.layers[:4]
    return CARD.__class__(**{**vars(CARD), "ref": request.ref, "layers": layers})


def followed(request: RunAnalysis) -> Result:
    """Answer as the analysis does: the units rise between 30 and 100 updates, the layer grows gradually."""
    metrics, kinds = list(METRICS), ["units", "layer", "lines", "random"]
    trainings = ["seed 0"] if request.parameters.get("units") else ["seed 0", "seed 1"]
    values = np.full((4, len(metrics), len(trainings), len(STEPS)), np.nan)
    values[0] = (np.array(STEPS) > 50) * 0.8
    values[1] = np.linspace(0, 0.3, len(STEPS))
    steps = np.tile(np.array(STEPS, float), (len(trainings), 1))
    curve = {"name": "change point", "abrupt": True, "bic": -90.0, "at": [55.0, 60.0], "at_interval": [[30.0, 100.0], [30.0, 100.0]]}
    curve |= {"width": [0.0, 0.0], "width_interval": [[0.0, 0.0], [0.0, 0.0]]}
    none = {"at": [None, None], "at_interval": [[None, None]] * 2, "width": [None, None], "width_interval": [[None, None]] * 2}
    slow = {"name": "power in time", "abrupt": False, "bic": -50.0, **none}
    told = {"verdict": "phase change", "margin": 40.0, "best": "change point", "curves": [curve, slow]}
    gradual = {"verdict": "gradual", "margin": -30.0, "best": "power in time", "curves": [slow, curve]}
    verdicts = {"units": told, "layer": gradual, "lines": None, "random": gradual}
    units = list(request.parameters.get("units", (4, 5)))
    summary = {
        "layer": request.parameters["layer"],
        "feature": "curves",
        "trainings": trainings,
        "without": {"short": "it has 5 of the 12 checkpoints that are needed"},
        "few": True,
        "units": {name: units for name in trainings},
        "kinds": kinds,
        "metrics": metrics,
        "verdicts": {kind: dict.fromkeys(metrics, of) for kind, of in verdicts.items()},
    }
    each = np.repeat(values[0][..., None], len(units), 3)
    arrays = {"steps": steps, "values": values, "each": each, "fitted": values, "loss": np.empty((2, 0, 2))}
    return Result("PhaseChange", dict(request.parameters), arrays, summary, {"model": request.model, "weights": "abc", "images": None})


@pytest.fixture
def panel(session, runner, qtbot):
    runner.answers[LoadModel] = opened
    runner.answers[DescribeTrainings] = (series(0, LOG), series(1))
    runner.answers[RunAnalysis] = followed
    runner.answers[UnitFilm] = lambda request: {step: np.full((7, 7, 3), step % 255, np.uint8) for step, _ in request.checkpoints}
    made = PhaseChangePanel(session)
    qtbot.addWidget(made)
    made.resize(1000, 700)
    made.show()
    session.open_model("test:net", layer=LAYER, unit=Unit(LAYER, 3))
    qtbot.waitUntil(lambda: made.scrubber.step == 1000 and len(made.views()) == 2)
    return made


def ref(panel: PhaseChangePanel) -> str:
    return panel.session.model.ref


def test_nothing_open_says_what_to_do_and_offers_what_has_checkpoints(session, qtbot, runner):
    made = PhaseChangePanel(session)
    qtbot.addWidget(made)
    made.show()
    assert "Open a network whose training was kept" in made.plot.message and made.views() == []
    qtbot.mouseClick(made.example, Qt.MouseButton.LeftButton)
    assert runner.asked(LoadModel)[-1].ref == "bundled:inception"


def test_a_network_without_checkpoints_says_so(session, qtbot, runner):
    runner.answers[DescribeTrainings] = InputError("no checkpoints are kept of test:small; give bundled:inception, or run:FOLDER")
    made = PhaseChangePanel(session)
    qtbot.addWidget(made)
    made.show()
    session.open_model("test:small")
    qtbot.waitUntil(lambda: "no checkpoints are kept" in made.plot.message)
    assert "panel Training" in made.plot.message and not made.compute.isEnabled() and made.example.isVisible()
    assert not made.densify.isVisible()


def test_dragging_opens_that_moment_and_keeps_layer_unit_and_family(panel, session, qtbot):
    session.select_together((3, 5), "turned")
    panel.scrubber.slider.setValue(5)
    assert panel.scrubber.where.text().startswith("100 updates · loss 1.50"), "said at once"
    qtbot.waitUntil(lambda: ref(panel) == "test:net?step=100&seed=0")
    assert (session.layer, session.unit) == (LAYER, Unit(LAYER, 3))
    qtbot.waitUntil(lambda: session.selection == (3, 5) and session.family == "turned")
    assert panel.scrubber.step == 100 and len(panel.scrubber.trainings) == 2, "it stays on its training"
    assert [picture.caption for picture in panel.film.strip.rows[0].pictures if picture.chosen] == ["100"]
    assert panel.film.strip.rows[0].pictures[-1].caption == "1000"
    assert captions([9, 4000, 12_000, 2_000_000]) == ["9", "4000", "12k", "2M"], "no wider than the smallest frame"
    assert captions([12_000, 12_001]) == ["12,000", "12,001"], "not if they were the same"
    qtbot.mouseClick(panel.scrubber.final, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: ref(panel) == "test:net")
    assert panel.scrubber.step == 1000 and not panel.scrubber.final.isEnabled() and session.layer == LAYER


def test_of_a_fast_drag_the_first_and_the_last_are_opened(panel, runner, qtbot):
    before = len(runner.asked(LoadModel))
    for place in (6, 5, 4, 3, 2):
        panel.scrubber.slider.setValue(place)
    qtbot.waitUntil(lambda: ref(panel) == "test:net?step=3&seed=0")
    qtbot.wait(20)
    assert [request.ref for request in runner.asked(LoadModel)[before:]] == ["test:net?step=300&seed=0", "test:net?step=3&seed=0"]
    assert panel.scrubber.step == 3 == panel.scrubber.slider.value() + 1


def test_pictures_of_the_neighbours_are_made_ready_once_the_slider_rests(panel, runner, qtbot):
    first = runner.asked(PrepareCheckpoints)
    assert [(one.models, one.units) for one in first] == [(("test:net?step=1000&seed=0",), ())], "the graph only, before it was moved"
    panel.scrubber.slider.setValue(1)
    qtbot.waitUntil(lambda: len(runner.asked(PrepareCheckpoints)) == 2)
    request = runner.asked(PrepareCheckpoints)[-1]
    assert [ref.partition("step=")[2].partition("&")[0] for ref in request.models] == ["0", "3", "10", "30", "100", "300"]
    assert request.layer == LAYER and set(request.units) == {*range(16)} and request.units[0] == 3


def test_what_is_shown_stays_where_a_checkpoint_cannot_be_opened(panel, runner, session, qtbot):
    told = []
    session.message.connect(lambda message: told.append(message.text))
    runner.answers[LoadModel] = InputError("the file is damaged")
    panel.scrubber.slider.setValue(2)
    qtbot.waitUntil(lambda: bool(told))
    qtbot.waitUntil(lambda: panel.scrubber.step == 1000)
    assert ref(panel) == "test:net"


def test_a_layer_that_checkpoints_lack_is_there_again_in_the_final_network(panel, session, qtbot):
    session.select_unit(Unit("blocks.1.act", 7))
    panel.scrubber.slider.setValue(1)
    qtbot.waitUntil(lambda: ref(panel) == "test:net?step=1&seed=0")
    assert session.layer != "blocks.1.act"
    panel.scrubber.open_final()
    qtbot.waitUntil(lambda: ref(panel) == "test:net")
    assert session.unit == Unit("blocks.1.act", 7)


def test_another_training_is_looked_at_at_the_same_moment(panel, qtbot):
    panel.scrubber.slider.setValue(4)
    qtbot.waitUntil(lambda: ref(panel) == "test:net?step=30&seed=0")
    panel.scrubber.training.setCurrentIndex(1)
    panel.scrubber.training.activated.emit(1)
    qtbot.waitUntil(lambda: ref(panel) == "test:net?step=30&seed=1")
    assert panel.scrubber.series.name == "seed 1"
    qtbot.waitUntil(lambda: panel.film.strip.title.startswith(f"{LAYER}:3 over seed 1"))
    assert "no loss" not in panel.said.text().lower() and panel.plot.message.startswith(NOT_YET[:20])
    assert "loss of this training was not kept" in panel.plot.message or "no loss was kept" in panel.plot.message.lower()


def test_growth_stands_beside_controls_loss_and_the_curves_that_were_compared(panel, runner, qtbot):
    assert set(panel.plot.data()) == {"loss", "loss_steps"}, "the loss is there before anything was computed"
    qtbot.mouseClick(panel.compute, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "units" in panel.plot.data())
    (request,) = runner.asked(RunAnalysis)
    assert request.parameters == {"layer": LAYER, "feature": "curves"} and request.model == "test:net"
    data = panel.plot.data()
    assert {"units", "whole layer", "best curve", "loss", "units_steps"} <= set(data) and "line units" not in data
    assert data["units"].tolist() == [0, 0, 0, 0, 0, 0.8, 0.8, 0.8]
    assert panel.plot.provenance()["transition between"] == (30.0, 100.0)
    rows = [[panel.table.topLevelItem(row).text(column) for column in range(5)] for row in range(2)]
    assert rows[0] == ["✓ change point", "abrupt", "0.0", "55 [30, 100] · 60 [30, 100]", "0.00 [0.00, 0.00] · 0.00 [0.00, 0.00]"]
    assert rows[1][:3] == ["power in time", "gradual", "40.0"] and rows[1][3] == "–"
    assert "Phase change" in panel.said.text() and "controls: whole layer gradual" in panel.said.text()
    assert "of 2 trainings only" in panel.said.text()
    assert "short is left out: it has 5 of the 12 checkpoints that are needed" in panel.said.text()
    assert "PhaseChange" in panel.plot.recomputation.python()
    panel.each.setChecked(True)
    assert "each unit" in panel.plot.data()
    for on in (False, True):
        panel.logarithmic.setChecked(on)
        assert panel.plot.logarithmic is on and not panel.plot.grab().isNull()


def test_a_training_without_a_transition_keeps_its_place_in_the_table(qtbot):
    table = CurveTable(None)
    qtbot.addWidget(table)
    curve = {"name": "change point", "abrupt": True, "bic": 1.0, "at": [None, 60.0], "at_interval": [[None, None], [30.0, 100.0]]}
    table.show_curves({"curves": [curve | {"width": [None, 0.1], "width_interval": [[None, None], [0.0, 0.2]]}]})
    row = table.topLevelItem(0)
    assert (row.text(3), row.text(4)) == ("– · 60 [30, 100]", "– · 0.10 [0.00, 0.20]")


def test_selected_units_are_followed_in_this_training(panel, runner, session, qtbot):
    session.select_together((3, 5, 8))
    panel.who.setCurrentIndex(panel.who.findData("selected"))
    assert panel.units.full_text == f"{LAYER}: 3, 5, 8"
    qtbot.mouseClick(panel.compute, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "units" in panel.plot.data())
    assert runner.asked(RunAnalysis)[-1].parameters["units"] == [3, 5, 8]


def test_a_click_into_the_plot_and_on_a_frame_goes_there(panel, qtbot):
    frame = panel.plot._frame(panel.plot.rect().toRectF())
    x = frame.left() + float(panel.plot._share(30)) * frame.width()
    qtbot.mouseClick(panel.plot, Qt.MouseButton.LeftButton, pos=QPointF(x, frame.center().y()).toPoint())
    qtbot.waitUntil(lambda: ref(panel) == "test:net?step=30&seed=0")
    panel.film.strip.picked.emit(0, 1)
    qtbot.waitUntil(lambda: ref(panel) == "test:net?step=1&seed=0")
    qtbot.mouseMove(panel.plot, QPoint(round(x), 80))


def test_before_anything_is_known_a_stretch_beside_the_moment_is_offered(panel, qtbot):
    assert (panel.densify.first.value(), panel.densify.last.value()) == (300, 1000) and panel.densify.start.isEnabled()
    panel.densify.first.setRange(0, 9000)
    panel.densify.last.setRange(0, 9000)
    panel.densify.last.setValue(9000)
    assert not panel.densify.start.isEnabled() and "too many" in panel.densify.about.full_text


def test_the_stretch_around_the_transition_is_trained_again(panel, runner, qtbot):
    qtbot.mouseClick(panel.compute, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.densify.first.value() == 30)
    assert panel.densify.last.value() == 100 and "71 networks" in panel.densify.about.full_text
    assert "no optimizer state" in panel.densify.start.toolTip()
    qtbot.mouseClick(panel.densify.start, Qt.MouseButton.LeftButton)
    (request,) = runner.asked(Train)
    asked = {"seed": 0, "steps": 1000, "dense_from": 30, "dense_to": 100}
    assert asked.items() <= request.settings.items() and request.until == 100
    assert request.settings["recolour"] == 1.0, "as it was when that was no parameter of its own"
    assert request.recipe == "Classifier" and request.folder.name == "net-seed0-dense-30-100"
    job = max(job for job, one in runner.requests.items() if isinstance(one, Train))
    runner.tell(job, "progress", done=50, total=100, note="loss 1.2")
    qtbot.waitUntil(lambda: "update 50 of 100" in panel.said.text())
    qtbot.mouseClick(panel.densify.cancel, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.densify.start.isVisible() and "Stopped" in panel.said.text())
    qtbot.mouseClick(panel.densify.start, Qt.MouseButton.LeftButton)
    job = max(job for job, one in runner.requests.items() if isinstance(one, Train))
    dense = Series("net-dense", {step: f"run:{request.folder}?step={step}" for step in range(30, 101)})
    runner.answers[DescribeTrainings] = (series(0, LOG), series(1), dense)
    runner.tell(job, "done", result=None)
    qtbot.waitUntil(lambda: len(panel.scrubber.trainings) == 3)
    assert runner.asked(DescribeTrainings)[-1].further == (f"run:{request.folder}",)
    panel.densify.last.setValue(30)
    assert not panel.densify.start.isEnabled() and "after the first" in panel.densify.start.toolTip()


def test_a_stretch_is_trained_in_the_precision_of_its_training(panel, runner):
    panel.densify.look_at(replace(series(0), precision="fp32"), (30, 100), 50)
    panel.densify.start.click()
    panel.densify.look_at(series(0), (30, 100), 50)
    panel.densify.start.click()
    assert [request.precision for request in runner.asked(Train)] == ["fp32", "auto"]


def test_a_stretch_of_another_network_is_not_taken_in(panel, runner, session, qtbot):
    panel.densify.start.click()
    runner.answers[DescribeTrainings] = (Series("other", {0: "test:other?step=0", 9: "test:other?step=9"}, final="test:other"),)
    session.open_model("test:other")
    qtbot.waitUntil(lambda: len(panel.scrubber.trainings) == 1)
    before = len(runner.asked(DescribeTrainings))
    runner.tell(max(job for job, one in runner.requests.items() if isinstance(one, Train)), "done", result=None)
    qtbot.waitUntil(lambda: "open test:net, then add" in panel.said.text())
    assert len(runner.asked(DescribeTrainings)) == before and panel.scrubber.trainings[0].name == "other"


def test_what_came_while_the_dock_was_hidden_is_looked_up_and_the_curves_stay(panel, runner, qtbot):
    qtbot.mouseClick(panel.compute, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "units" in panel.plot.data())
    panel.scrubber.training.setCurrentIndex(1)
    before = len(runner.asked(DescribeTrainings))
    panel.hide()
    panel.show()
    assert len(runner.asked(DescribeTrainings)) == before, "nothing is new"
    panel.hide()
    panel.add_training("run:more")
    assert len(runner.asked(DescribeTrainings)) == before
    panel.show()
    assert runner.asked(DescribeTrainings)[-1] == DescribeTrainings("test:net", ("run:more",))
    assert "units" in panel.plot.data()


def test_the_slider_goes_on_with_the_prompt_that_the_network_is_opened_with(panel, session, qtbot):
    session.open_model("test:net?step=30&seed=0&prompt=a cat", layer=LAYER, unit=Unit(LAYER, 3))
    qtbot.waitUntil(lambda: panel.scrubber.step == 30)
    panel.scrubber.slider.setValue(5)
    qtbot.waitUntil(lambda: ref(panel) == "test:net?step=100&seed=0&prompt=a cat")
    qtbot.waitUntil(lambda: panel.film._request.checkpoints[0][1].endswith("&prompt=a cat"))


def test_the_slider_ends_at_the_last_checkpoint_also_of_a_network_that_is_none(session, runner, qtbot):
    runner.answers[LoadModel] = opened
    runner.answers[DescribeTrainings] = (series(0),)
    made = PhaseChangePanel(session)
    qtbot.addWidget(made)
    made.show()
    session.open_model("test:net?of=nothing", layer=LAYER)
    qtbot.waitUntil(lambda: made.scrubber.series is not None)
    made.scrubber.slider.setValue(99)
    assert made.scrubber.step == 1000


def test_another_network_has_its_own_trainings(panel, runner, session, qtbot):
    qtbot.mouseClick(panel.compute, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "units" in panel.plot.data())
    runner.answers[DescribeTrainings] = InputError("no checkpoints are kept of test:other")
    session.open_model("test:other")
    qtbot.waitUntil(lambda: "no checkpoints are kept of test:other" in panel.plot.message)
    assert panel.views() == [] and panel.table.topLevelItemCount() == 0 and panel.scrubber.series is None


def test_its_state_comes_back(panel, session, qtbot, tmp_path: Path):
    panel.measure.setCurrentIndex(2)
    panel.logarithmic.setChecked(False)
    state = panel.save_state()
    other = PhaseChangePanel(session)
    qtbot.addWidget(other)
    other.restore_state(state)
    assert other.measure.currentIndex() == 2 and not other.plot.logarithmic
    assert all(isinstance(button.toolTip(), str) and button.toolTip() for button in other.findChildren(QPushButton))
