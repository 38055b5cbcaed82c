"""The panel Tuning: a stimulus that is dragged, the curves of the unit, and the ranking of its layer beside random weights."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QImage, QPainter

from tests.widgets.conftest import CARD
from widgets.label_edit import set_labels
from widgets.panels.tuning import TuningPanel
from widgets.tuning_figures import FIGURES
from widgets.tuning_ranking import TWINS
from widgets.views.polar_plot import PolarPlot
from widgets.views.view import elided, figure_font
from workbench.analyses.analysis import Result
from workbench.jobs.requests import RunAnalysis
from workbench.jobs.tuning_requests import STIMULI, UnitOnStimulus
from workbench.labels import Label
from workbench.models.layer import Unit

LAYER, UNITS, ORIENTATIONS = "blocks.1.act", 5, 12


def on_stimulus(request: UnitOnStimulus) -> dict:
    """Answer as the worker does, for a curve in the middle."""
    values = {"x": 0.0, "y": 0.0, "orientation": 90.0, "radius": 0.3} | dict(request.given)
    return {
        "image": np.full((64, 64, 3), 200, np.uint8),
        "values": values,
        "value": 1.5 + values["x"],
        "ground": 0.25,
        "largest": 2.0,
        "field": (16, 16, 33, 33),
    }


def tuning(request: RunAnalysis) -> Result:
    """Unit 3 is the best one, and the only one above the twins; whichever unit is asked for has its peak at 60 degrees."""
    shown = request.parameters.get("units", [3])
    curve = np.stack([(1 + row) * np.exp(np.cos(np.radians(np.arange(ORIENTATIONS) * 30.0 - 60 - 90 * row))) for row in range(len(shown))])
    twins = request.parameters["twins"]
    each = np.linspace(0.1, 0.5, UNITS)
    arrays = {
        "units": np.array(shown),
        "orientations": np.arange(ORIENTATIONS) * 30.0,
        "curve": curve,
        "curve_second": 0.9 * curve,
        "levels": np.array([0.1, 0.3]),
        "heatmap": np.stack([curve, 2 * curve], 1),
        "frequencies": np.array([2.0, 4.0, 8.0]),
        "grating": np.stack([np.eye(3, 12) * (1 + row) for row in range(len(shown))]),
        "hues": np.arange(24) * 15.0,
        "hue": np.stack([np.cos(np.radians(np.arange(24) * 15.0 - 90 - 30 * row)) for row in range(len(shown))]),
        "places": np.linspace(-0.5, 0.5, 7),
        "position": np.stack([np.eye(7) * (1 + row) for row in range(len(shown))]),
        "morph_radius": np.linspace(0, 0.3, 7),
        "morph": np.stack([np.linspace(1, 2, 7) * (1 + row) for row in range(len(shown))]),
        "strongest": np.array([1.0, 600, 1, 1, 1]),
        "hue_amplitude": each / 2,
        "grating_amplitude": each,
        "position_share": np.full(len(shown), 0.25),
        "morph_lean": np.full(len(shown), 0.5),
        "ranking": np.array([3, 4, 2, 1, 0]),
        "null_r2": np.full(twins, 0.6),
        "null_index": np.full(twins, 0.3),
        "null_score": np.full(twins, 0.3),
        "null_curve": np.full((twins, ORIENTATIONS), 0.2),
        "null_hue": np.full((twins, 24), 0.75),
        "null_grating": np.full((twins, 12), 0.2),
        "null_morph": np.array([[np.nan] * 7, *[[0.25] * 7] * (twins - 1)])[:twins],
        "null_hue_amplitude": np.linspace(0.1, 0.3, twins),
        "null_grating_amplitude": np.linspace(0.1, 0.4, twins),
        "null_position_share": np.array([np.nan, *[0.5] * twins])[:twins],
        "null_morph_lean": np.full(twins, -0.5),
    } | {name: each.copy() for name in ("score", "r2", "index", "second_peak", "preferred", "half_width")}
    arrays["score"] = np.array([0.1, 0.1, 0.2, 0.45, 0.25])
    arrays["r2"][3] = 0.8
    summary = {
        "layer": request.parameters["layer"],
        "activation": "post-activation",
        "feature": request.parameters["feature"],
        "period": 360,
        "varied": "radius",
        "stimuli": 768,
        "twins": twins,
        "verdict": "The best family does not beat the best of 20 random-weight twins: by this measure the layer has none.",
        "family_r2": 0.5,
        "family_r2_null": 0.55,
        "family_index": 0.2,
        "family_index_null": 0.25,
        "units_above_null": 1,
        "units": UNITS,
        "best_stimuli": [{"x": 0.0, "y": 0.0, "orientation": 90.0, "radius": 0.3}],
    }
    return Result("Tuning", dict(request.parameters), arrays, summary, {"model": request.model, "weights": "abc", "images": None})


@pytest.fixture
def panel(session, runner, qtbot):
    runner.answers[RunAnalysis] = tuning
    runner.answers[UnitOnStimulus] = on_stimulus
    made = TuningPanel(session)
    qtbot.addWidget(made)
    made.resize(900, 700)
    made.show()
    session.open_model("test:small", layer=LAYER)
    qtbot.waitUntil(lambda: session.model is not None)
    session.select_unit(Unit(LAYER, 2))
    qtbot.waitUntil(lambda: len(made.views()) == 3)
    return made


def test_nothing_open_says_what_to_do(session, qtbot):
    made = TuningPanel(session)
    qtbot.addWidget(made)
    made.show()
    assert "Open a network" in made.stimulus.message and made.views() == []


def test_the_selected_unit_is_shown_with_its_curve_and_map(panel, runner):
    (request,) = runner.asked(RunAnalysis)
    assert request.parameters == {"layer": LAYER, "units": [2], "feature": "curves", "twins": 0}
    data = panel.polar.data()
    assert data["orientation"][data["response"].argmax()] == 60 and "twins" not in data
    assert panel.figures.view.data()["values"].shape == (2, ORIENTATIONS)
    assert "rank the layer" in panel.said.text() and "post-activation" in panel.said.text()
    assert "Tuning" in panel.polar.recomputation.python()
    assert panel.polar.made_from["address"].endswith("tuning") or "tuning" in panel.polar.made_from["address"]
    assert panel.table.rowCount() == UNITS, "scores without a null stand there before the layer is ranked"
    assert panel.table.data(panel.table.index(0, 1)) == "0.45"
    assert "at the middle 1.50" in panel.stimulus.provenance()["caption"]


def test_units_that_are_selected_together_stand_in_one_plot_each_in_its_colour(panel, runner, session, qtbot):
    set_labels(session, "test:small", Unit(LAYER, 4), [Label("arc")], "label")
    session.select_together((1, 2, 4), "turned")
    qtbot.waitUntil(lambda: "beside" in panel.polar.data())
    assert runner.asked(RunAnalysis)[-1].parameters["units"] == [2, 1, 4], "the one that is looked at first"
    data = panel.polar.data()
    assert data["beside_names"].tolist() == ["1", "4 arc"] and panel.polar.title == "Radial tuning of turned"
    assert [data["orientation"][own.argmax()] for own in (data["response"], *data["beside"])] == [60, 150, 240]
    assert data["response"].max() == 1 and (data["beside"].max(1) == 1).all(), "each over its largest"
    assert len({panel.polar.colour(place).name() for place in range(2)} | {panel.polar.ink.bar.name()}) == 3
    assert not panel.polar.grab().isNull()
    session.select_together((2,))
    qtbot.waitUntil(lambda: "beside" not in panel.polar.data() and len(panel.polar.data()) > 0)
    assert panel.polar.data()["response"].max() > 2


def test_a_silent_unit_is_said_to_be_silent(panel, runner, session, qtbot):
    def silent(request: RunAnalysis) -> Result:
        found = tuning(request)
        for name in ("r2", "index", "second_peak"):
            found.arrays[name] = np.full(UNITS, np.nan)
        return found

    runner.answers[RunAnalysis] = silent
    session.select_unit(Unit(LAYER, 4))
    qtbot.waitUntil(lambda: "no response above the plain ground" in panel.said.text())
    assert "nan" not in panel.said.text() and "nan" not in str(panel.polar.provenance()["sample"])
    assert panel.polar.provenance()["sample"] == "no response above the plain ground at any orientation"


def test_each_unit_begins_with_what_it_prefers_until_the_stimulus_was_dragged(panel, runner, session, qtbot):
    def turned(request: RunAnalysis) -> Result:
        found = tuning(request)
        found.summary["best_stimuli"] = [{"orientation": 10.0 * unit} for unit in request.parameters["units"]]
        return found

    def shown() -> float | None:
        return dict(runner.asked(UnitOnStimulus)[-1].given).get("orientation")

    runner.answers[RunAnalysis] = turned
    for unit in (3, 4):
        session.select_unit(Unit(LAYER, unit))
        assert shown() is None, "what the unit before preferred says nothing of this one"
        qtbot.waitUntil(lambda unit=unit: shown() == 10.0 * unit)
    panel.stimulus.dragged.emit({"orientation": 77.0})
    session.select_unit(Unit(LAYER, 3))
    qtbot.waitUntil(lambda: panel._curves is not None)
    qtbot.wait(20)
    assert shown() == 77.0, "what the user put there stays, to compare units"
    assert panel.save_state()["given"] == {"curves": {"orientation": 77.0}}
    panel.best.click()
    qtbot.waitUntil(lambda: shown() == 30.0)
    assert panel.save_state()["given"] == {}


def test_curves_that_failed_come_once_they_are_tried_again(panel, runner, session, qtbot):
    runner.answers[RunAnalysis] = ValueError("out of memory")
    session.select_unit(Unit(LAYER, 4))
    qtbot.waitUntil(lambda: panel.polar.message == "out of memory")
    runner.answers[RunAnalysis] = tuning
    session.relay.retry(max(job for job, asked in runner.requests.items() if isinstance(asked, RunAnalysis)))
    qtbot.waitUntil(lambda: panel._curves is not None and bool(panel.polar.data()))


def given(panel: TuningPanel, runner, qtbot) -> dict:
    """Return what was asked about last, once it is answered."""
    qtbot.waitUntil(lambda: panel._live.newest is None)
    return dict(runner.asked(UnitOnStimulus)[-1].given)


def choose(panel: TuningPanel, figure: str):
    panel.figures.choice.setCurrentIndex(panel.figures.choice.findData(figure))
    return panel.figures.view


def test_each_figure_of_the_unit_is_chosen_and_none_is_computed_again(panel, runner):
    before = len(runner.requests)
    shown = {name: choose(panel, name) for name in FIGURES}
    assert len(runner.requests) == before, "they are all of one result"
    levels, gratings, places = (choose(panel, name).data() for name in ("levels", "frequency", "position"))
    assert levels["radius"].tolist() == [0.1, 0.3] and levels["orientation"][-1] == 330
    assert gratings["values"].shape == (3, 12) and gratings["orientation of stripes"][1] == 15 and gratings["frequency"][2] == 8
    assert places["values"].shape == (7, 7) and places["y downwards"][0] == -0.5
    hue = shown["hue"].data()
    assert hue["hue"][hue["response"].argmax()] == 90 and "grey" in shown["hue"].provenance()["radius"]
    assert shown["morph"].data()["response"].tolist() == [np.linspace(1, 2, 7).tolist()]
    for name in FIGURES:
        view = choose(panel, name)
        assert view.isVisible() and view in panel.views() and len(panel.views()) == 3 and not view.grab().isNull()
        told = view.provenance()
        assert f"{LAYER}:2" in told["title"] and "Tuning" in told["python"] and told["activation"] == "post-activation"
    for name in ("hue", "morph"):
        assert "post-activation" in shown[name].provenance()["sample"]


def test_units_that_are_selected_together_stand_in_the_hue_wheel_and_the_morph(panel, session, qtbot):
    session.select_together((1, 2), "pair")
    qtbot.waitUntil(lambda: "beside" in choose(panel, "hue").data())
    hue, morph = choose(panel, "hue").data(), choose(panel, "morph").data()
    assert hue["beside_names"].tolist() == ["1"] and hue["hue"][hue["beside"][0].argmax()] == 120
    assert panel.figures.hue._beside[0][1].max() == pytest.approx(1 / 30), "over 0.05 of what it does at best, which is much"
    assert morph["units"].tolist() == ["2", "1"] and morph["response"][:, -1].tolist() == [2, 4]


def test_once_the_layer_was_ranked_every_figure_stands_beside_the_twins(panel, qtbot):
    told = {name: choose(panel, name).provenance()["merit"] for name in FIGURES if name != "levels"}
    assert not any("twins" in said for said in told.values()) and "twins" not in choose(panel, "hue").data()
    assert choose(panel, "hue").provenance()["twins"] == "not computed"
    qtbot.mouseClick(panel.rank, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "does not beat" in panel.said.text())
    told = {name: choose(panel, name).provenance()["merit"] for name in told}
    assert told["hue"] == "amplitude 0.15 (best of 20 twins 0.10 – 0.30)"
    assert told["frequency"] == "amplitude 0.30 (best of 20 twins 0.10 – 0.40)"
    assert told["position"] == "half of its best on 0.25 of the places (best of 20 twins 0.50 – 0.50)"
    assert told["morph"] == "arc − corner, of its largest: 0.50 (best of 20 twins -0.50 – -0.50)"
    for name, said in told.items():
        view = choose(panel, name)
        assert elided(said, view.figure_size().width() - 24, figure_font(10)) == said, "all of it is in the exported figure"
        assert view.provenance()["twins"]["twins"] == TWINS and "post-activation" in view.provenance()["sample"]
    assert (choose(panel, "hue").data()["twins"] == 0.75).all(), "of what drives it most, whatever that is"
    assert choose(panel, "morph").data()["twins"].tolist() == [[0.5] * 7] * (TWINS - 1), "one of them does nothing there"
    assert not choose(panel, "hue").grab().isNull() and not choose(panel, "morph").grab().isNull()
    panel.family.setCurrentIndex(panel.family.findData("corners"))
    qtbot.waitUntil(lambda: bool(choose(panel, "hue").data()))
    assert "twins" not in choose(panel, "hue").data() and "twins" not in choose(panel, "morph").data(), "those were of curves"


def test_a_band_that_reaches_further_than_the_unit_makes_the_circle_larger(qtbot):
    plot = PolarPlot()
    qtbot.addWidget(plot)
    plot.show_tuning(np.arange(24) * 15.0, np.full(24, 0.1), period=360, angle="hue", band=np.full((3, 24), 0.5), whole=2.0, title="Hues")
    assert plot._most() == 1.0 and plot.data()["twins"].max() == 1.0


def test_a_colour_that_does_nothing_does_not_fill_the_wheel(qtbot):
    plot = PolarPlot()
    qtbot.addWidget(plot)
    hues = np.arange(24) * 15.0
    plot.show_tuning(hues, np.full(24, 0.001), period=360, angle="hue", least=[0.05], title="Hues")
    assert plot._most() == 0.05
    plot.show_tuning(hues, np.full(24, 0.001), period=360, angle="hue", least=[0.05, 2], title="Hues", beside=[("other", np.full(24, 0.5))])
    assert plot.data()["response"].max() == 0.02 and plot.data()["beside"].max() == 0.25, "each has its own"


def test_axes_tell_what_lies_under_the_mouse(panel):
    view = choose(panel, "frequency")
    assert view._tell(1, 1) == "frequency 4 cycles a side, orientation of stripes 15°: 1.00"
    assert view._tell(2, 3) == "frequency 8 cycles a side, orientation of stripes 45°: 0"
    assert "(degrees)" in view.provenance()["columns"] and "(cycles a side)" in view.provenance()["rows"]


def test_progress_is_told_while_stimuli_are_shown(panel, session, runner, qtbot):
    runner.answers.pop(RunAnalysis)
    session.select_unit(Unit(LAYER, 1))
    job = max(number for number, request in runner.requests.items() if isinstance(request, RunAnalysis))
    runner.tell(job, "progress", done=1, total=2, note="looking closely")
    qtbot.waitUntil(lambda: panel.polar.message == "Looking closely: 50%")
    assert panel.figures.view.message == "Looking closely: 50%" and panel.figures.views() == []


def moved(panel: TuningPanel, x: float) -> None:
    panel.stimulus.dragged.emit({"x": x})


def test_while_a_handle_is_dragged_one_question_is_asked_at_a_time_and_then_the_newest(panel, runner, qtbot):
    qtbot.waitUntil(lambda: panel._live.newest is None)
    runner.answers.pop(UnitOnStimulus)
    before = len(runner.asked(UnitOnStimulus))
    for step in range(1, 9):
        moved(panel, step / 100)
    assert [dict(request.given)["x"] for request in runner.asked(UnitOnStimulus)[before:]] == [0.01]
    for waiting in (0.01, 0.08):
        job = max(number for number, request in runner.requests.items() if isinstance(request, UnitOnStimulus))
        assert dict(runner.requests[job].given)["x"] == waiting and job in runner.open, "nothing under way is cancelled"
        runner.tell(job, "done", result=on_stimulus(runner.requests[job]))
        qtbot.waitUntil(lambda expected=waiting: f"{1.5 + expected:.2f}" in panel.stimulus.provenance()["caption"])
    assert len(runner.asked(UnitOnStimulus)) == before + 2 and panel._live.newest is None


def test_an_answer_about_a_unit_that_is_looked_at_no_more_is_dropped_and_the_next_one_asked_about(panel, session, runner, qtbot):
    qtbot.waitUntil(lambda: panel._live.newest is None)
    runner.answers.pop(UnitOnStimulus)
    moved(panel, 0.2)
    job = max(number for number, request in runner.requests.items() if isinstance(request, UnitOnStimulus))
    session.select_unit(Unit(LAYER, 4))
    with qtbot.waitSignal(panel._live.ended):
        runner.tell(job, "done", result=on_stimulus(runner.requests[job]))
    assert "1.70" not in panel.stimulus.provenance()["caption"]
    assert runner.asked(UnitOnStimulus)[-1].unit == 4
    session.set_model(None)
    assert panel._live.newest is None


def test_dragging_a_handle_asks_what_the_unit_does_there(panel, runner, qtbot):
    qtbot.waitUntil(lambda: panel._live.newest is None)
    before = len(runner.asked(UnitOnStimulus))
    place = panel.stimulus.handles()["place"].toPoint()
    side = min(panel.stimulus._areas(panel.stimulus.rect().toRectF())[0].width(), 1e9)
    qtbot.mousePress(panel.stimulus, Qt.MouseButton.LeftButton, pos=place)
    qtbot.mouseMove(panel.stimulus, place + QPoint(round(side / 10), 0))
    qtbot.mouseRelease(panel.stimulus, Qt.MouseButton.LeftButton, pos=place + QPoint(round(side / 10), 0))
    assert given(panel, runner, qtbot)["x"] == pytest.approx(0.1, abs=0.01) and len(runner.asked(UnitOnStimulus)) > before
    qtbot.waitUntil(lambda: "1.60" in panel.stimulus.provenance()["caption"])
    turn = panel.stimulus.handles()["turn"]
    assert (turn - panel.stimulus.handles()["place"]).y() == pytest.approx(-0.3 * side, abs=1), "an arch is held at its top"
    panel.stimulus._held = "turn"
    middle = panel.stimulus.handles()["place"]
    qtbot.mouseMove(panel.stimulus, (middle + QPointF(-0.2 * side, 0)).toPoint())
    panel.stimulus._held = ""
    now = given(panel, runner, qtbot)
    assert now["orientation"] == pytest.approx(180, abs=2) and now["radius"] == pytest.approx(0.2, abs=0.02)
    assert re.fullmatch(r"1(78|79|80|81|82)° · radius 0\.(18|19|20|21|22) · 0\.(09|10|11) right", panel.stimulus.where())
    panel.stimulus._values |= {"orientation": 359.6, "x": -0.001, "y": -0.2}
    assert panel.stimulus.where().startswith("0° · radius") and panel.stimulus.where().endswith(" · 0.20 up")


def test_the_stimulus_begins_at_what_the_unit_prefers_and_returns_there(panel, runner, qtbot):
    qtbot.waitUntil(lambda: dict(runner.asked(UnitOnStimulus)[-1].given).get("radius") == 0.3)
    panel.stimulus.dragged.emit({"radius": 0.11})
    assert given(panel, runner, qtbot)["radius"] == 0.11
    qtbot.mouseClick(panel.best, Qt.MouseButton.LeftButton)
    assert given(panel, runner, qtbot)["radius"] == 0.3


def test_keys_move_and_turn_the_stimulus(panel, runner, qtbot):
    qtbot.keyClick(panel.stimulus, Qt.Key.Key_Down)
    assert given(panel, runner, qtbot)["y"] == pytest.approx(1 / 64)
    qtbot.keyClick(panel.stimulus, Qt.Key.Key_Left, Qt.KeyboardModifier.ShiftModifier)
    assert given(panel, runner, qtbot)["orientation"] == 95


def test_the_ranking_stands_beside_the_twins_and_leads_to_units(panel, session, runner, qtbot):
    qtbot.mouseClick(panel.rank, Qt.MouseButton.LeftButton)
    assert runner.asked(RunAnalysis)[-1].parameters == {"layer": LAYER, "feature": "curves", "twins": TWINS}
    qtbot.waitUntil(lambda: "does not beat" in panel.said.text())
    assert "does not beat" in panel.said.text() and "family R² 0.50 (twins ≤ 0.55)" in panel.said.text()
    rows = [[panel.table.data(panel.table.index(row, column)) for column in range(3)] for row in range(2)]
    assert rows == [[3, "0.45 *", "0.80 *"], [4, "0.25", "0.50"]]
    assert "above the best unit" in panel.table.data(panel.table.index(0, 1), Qt.ItemDataRole.ToolTipRole)
    assert panel.polar.data()["twins"].shape == (TWINS, ORIENTATIONS)
    assert panel.list.currentIndex().row() == 2, "the unit that is looked at"
    panel.list.clicked.emit(panel.table.index(0, 0))
    assert session.unit == Unit(LAYER, 3)
    panel.family.setCurrentIndex(panel.family.findData("lines"))
    assert runner.asked(RunAnalysis)[-1].parameters["feature"] == "lines" and panel._null() == (None, {})


def test_what_cannot_be_turned_says_so_and_can_be_dragged(panel, runner, qtbot):
    panel.family.setCurrentIndex(panel.family.findData("patches"))
    assert "no orientation" in panel.polar.message and not panel.rank.isEnabled() and not panel.best.isEnabled()
    qtbot.waitUntil(lambda: runner.asked(UnitOnStimulus)[-1].family == "patches")
    qtbot.waitUntil(lambda: bool(choose(panel, "hue").data()))
    assert "no orientation" in choose(panel, "morph").message and panel.figures.views() == [] and panel.polar.data() == {}
    assert "orientation of stripes" in choose(panel, "frequency").data(), "gratings are the same, whatever stands beside them"
    panel.stimulus.dragged.emit({"extent": 0.3})
    assert given(panel, runner, qtbot)["extent"] == 0.3


def test_a_failure_is_said(panel, session, runner, qtbot):
    runner.answers[RunAnalysis] = ValueError("reads no images")
    session.select_unit(Unit(LAYER, 1))
    qtbot.waitUntil(lambda: panel.polar.message == "reads no images")
    qtbot.mouseClick(panel.rank, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.said.text() == "reads no images")


def test_what_is_chosen_is_kept(panel, session, qtbot):
    panel.family.setCurrentIndex(panel.family.findData("gratings"))
    panel.stimulus.dragged.emit({"frequency": 5.0})
    choose(panel, "morph")
    state = panel.save_state()
    other = TuningPanel(session)
    qtbot.addWidget(other)
    other.restore_state(state)
    assert other.figures.view is other.figures.morph
    assert other._kind == "gratings" and other._given["gratings"] == {"frequency": 5.0}
    other.restore_state({"family": "squares", "given": {"squares": {}}})
    assert other._kind == "curves"
    with qtbot.waitSignal(session.model_changed):
        session.set_model(None)
    later = TuningPanel(session)  # as at the start, when the network is still on its way
    qtbot.addWidget(later)
    later.restore_state(state)
    session.set_model(CARD)
    assert later._given == {"gratings": {"frequency": 5.0}} and later.save_state()["given"] == state["given"]
    session.set_model(replace(CARD, ref="test:other"))
    assert later._given == {}


def test_the_plot_draws_without_a_band_and_on_paper(qtbot):
    plot = PolarPlot()
    qtbot.addWidget(plot)
    angles = np.arange(12) * 15.0
    plot.show_tuning(angles, np.maximum(0, np.sin(np.radians(angles))), period=180, title="Unit 1")
    for _ in range(2):
        image = QImage(340, 370, QImage.Format.Format_RGB32)
        image.fill(Qt.GlobalColor.white)
        with plot.on_paper():
            painter = QPainter(image)
            plot.paint(painter, image.rect().toRectF())
            painter.end()
        assert len({image.pixel(x, 185) for x in range(340)}) > 3
        plot.show_tuning(angles, np.ones(12), period=180, band=np.full((20, 12), 0.5), second=np.ones(12), title="Unit 2")


def test_the_window_knows_every_family():
    import workbench.images.stimuli  # noqa: F401
    from workbench.images.stimulus import FAMILIES

    assert {name: family.title for name, family in FAMILIES.items()} == STIMULI
