"""The panel Weights: what it asks for, the matrix in its orders, a unit's inputs as kernels, and following them upstream."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QContextMenuEvent
from PySide6.QtWidgets import QApplication

from widgets.panels.weights import WeightsPanel
from widgets.views.colour_scale import ColourScale
from widgets.weight_card import cropped, kernel_pixels
from workbench.analyses.analysis import Result
from workbench.jobs.job import JobEvent
from workbench.jobs.requests import RunAnalysis
from workbench.jobs.thumbnail_requests import Thumbnails
from workbench.models.layer import Layer, Unit
from workbench.models.neighbours import sensible_source, sensible_target, sources_of, targets_of

SOURCE, SOURCES, TARGETS = "blocks.0:add", 6, 4


def result(request: RunAnalysis) -> Result:
    """Target 1 is built from sources 4 and 2; source 5 is dead; target 3 is not explained."""
    kernels = np.zeros((TARGETS, SOURCES, 5, 5), np.float32)
    kernels[1, 4, 2, 2], kernels[1, 2, 2, 1:4] = 2.0, -0.5
    kernels[0, 0], kernels[2, 5], kernels[3, 1] = 0.1, 0.2, -0.1
    flat = kernels.reshape(TARGETS, SOURCES, -1)
    std = np.array([1, 1, 1, 1, 1, 0], np.float32)
    norm = np.sqrt((flat**2).sum(2))
    arrays = {
        "kernels": kernels,
        "norm": norm,
        "sum": flat.sum(2),
        "contribution": norm * np.where(std > 0, std, np.nan)[None],
        "std": std,
        "r2": np.array([0.9, 0.8, 0.7, 0.1], np.float32),
        "similar_targets": np.array([3, 1, 0, 2], np.int32),
        "similar_sources": np.array([5, 4, 3, 2, 1, 0], np.int32),
        "factor_sources": np.array([[0, 1], [0.1, 0], [0.8, 0], [0, 0.2], [0.9, 0], [0, 0]], np.float32),
        "factor_kernels": np.stack([kernels[:, 4] / 2, kernels[:, 0]], 1),
    }
    summary = {
        "source": request.parameters["source"],
        "target": request.parameters["target"],
        "path": request.parameters["path"],
        "gate": request.parameters["gate"],
        "images": 64,
        "r2_median": 0.75,
        "r2_below": {"bar": 0.5, "units": 1, "first": [3]},
        "r2_unknown": {"units": 0, "first": []},
        "dead_sources": {"units": 1, "first": [5]},
        "factors_explain": 0.62,
    }
    provenance = {"model": request.model, "weights": "abc", "images": request.images}
    return Result("ExpandedWeights", dict(request.parameters), arrays, summary, provenance)


@pytest.fixture
def panel(session, runner, qtbot):
    runner.answers[RunAnalysis] = result
    runner.answers[Thumbnails] = lambda request: {unit: np.full((1, 8, 8, 3), 10 * unit, np.uint8) for unit in request.units}
    made = WeightsPanel(session)
    qtbot.addWidget(made)
    made.resize(800, 700)
    made.show()
    session.open_model("test:small", layer="blocks.1.act")
    session.open_images("test:images")
    qtbot.waitUntil(lambda: session.model is not None and session.images is not None)
    return made


def test_nothing_open_says_what_is_missing(session, qtbot):
    made = WeightsPanel(session)
    qtbot.addWidget(made)
    made.show()
    assert "Open a network and images" in made.matrix.message and made.views() == []


def test_the_matrix_of_the_layer_comes_by_itself_with_what_can_be_trusted(panel, session, runner, qtbot):
    qtbot.waitUntil(lambda: bool(panel.views()))
    (request,) = runner.asked(RunAnalysis)
    assert request.analysis == "ExpandedWeights" and (request.model, request.images) == ("test:small", "test:images")
    assert request.parameters == {"source": SOURCE, "target": "blocks.1.act", "path": "all", "gate": "mean"}
    for said in ("n = 64 images", "1 of 4 units below 0.5", f"1 of {SOURCES} units of {SOURCE} dead"):
        assert said in panel.said.text()
    shown = panel.matrix.data()["values"]
    assert shown[1, 4] == pytest.approx(2.0) and shown[1, 2] == pytest.approx(-1.5) and np.isnan(shown[:, 5]).all()
    assert "ExpandedWeights" in panel.matrix.recomputation.python() and panel.matrix.made_from["n"] == 64


def test_other_ways_are_asked_for_and_measures_only_shown(panel, runner, qtbot):
    qtbot.waitUntil(lambda: bool(panel.views()))
    panel.measure.setCurrentIndex(panel.measure.findData("norm"))
    assert len(runner.asked(RunAnalysis)) == 1
    assert panel.matrix.data()["values"][1, 2] == pytest.approx(np.sqrt(0.75))
    panel.path.setCurrentIndex(panel.path.findData("direct"))
    panel.linear.click()
    assert [r.parameters["path"] + r.parameters["gate"] for r in runner.asked(RunAnalysis)] == ["allmean", "directmean", "directlinear"]


def test_rows_and_columns_stand_in_the_order_chosen(panel, session, qtbot):
    qtbot.waitUntil(lambda: bool(panel.views()))
    panel.order.setCurrentIndex(panel.order.findData("similar"))
    data = panel.matrix.data()
    assert data["rows"].tolist() == [3, 1, 0, 2] and data["columns"].tolist() == [5, 4, 3, 2, 1, 0]
    assert data["values"][1, 1] == pytest.approx(2.0), "row 1, column 4, wherever they stand"
    with qtbot.waitSignal(panel.matrix.picked) as picked:
        panel.matrix.cell_picked.emit(1, 3)
    assert picked.args == [1, 2] and session.unit == Unit("blocks.1.act", 1)
    assert [picture.caption for picture in panel.strip.rows[0].pictures] == ["2", "4"], "the cell's kernel, then the strongest others"
    assert panel.strip.title.startswith("2 and the strongest inputs of blocks.1.act:1")
    session.select_unit(Unit("blocks.1.act", 3))
    assert "and the strongest" not in panel.strip.title
    panel.matrix.cell_picked.emit(1, 3)
    assert panel._picked == 2
    panel._forget("")
    assert panel._picked == -1, "the number of a unit of another layer"
    panel._renew()
    qtbot.waitUntil(lambda: bool(panel.views()))
    session.select_unit(Unit("blocks.1.act", 1))
    panel.order.setCurrentIndex(panel.order.findData("unit"))
    assert panel.matrix.data()["columns"].tolist()[:2] == [4, 2]
    panel.order.setCurrentIndex(panel.order.findData("factor"))
    data = panel.matrix.data()
    assert data["columns"].tolist() == [4, 2, 1, 5, 0, 3], "those of the first group, then of the second, each the strongest first"
    assert data["rows"].tolist()[0] == 1


def test_pictures_that_come_late_change_nothing_where_no_kernel_is_shown(panel, session, qtbot):
    qtbot.waitUntil(lambda: bool(panel.views()))
    session.select_unit(Unit("blocks.1.act", 1))
    qtbot.waitUntil(lambda: bool(panel.strip.rows) and panel.strip.rows[0].pictures[0].pixels is not None)
    panel._result.arrays["contribution"][3] = np.nan
    session.select_unit(Unit("blocks.1.act", 3))
    assert panel.strip.message.startswith("No weights")
    late = Thumbnails("test:small", SOURCE, (2,), "coarse", purpose="weights")
    panel._take_pictures(JobEvent(1, late, "done", result={2: np.zeros((1, 4, 4, 3), np.uint8)}))
    assert panel.strip.message.startswith("No weights")


def test_inputs_of_the_unit_are_kernels_with_names_and_lead_upstream_and_back(panel, session, runner, qtbot):
    qtbot.waitUntil(lambda: bool(panel.views()))
    assert "Click the matrix" in panel.strip.message
    session.select_unit(Unit("blocks.1.act", 1))
    qtbot.waitUntil(lambda: bool(panel.strip.rows) and panel.strip.rows[0].pictures[0].pixels is not None)
    named, drawn, groups = panel.strip.rows
    assert [picture.caption for picture in groups.pictures] == ["4, 2 …", "0, 3 …"] and "62%" in groups.note
    assert [picture.caption for picture in named.pictures] == ["4", "2"] and named.pictures[0].pixels[0, 0, 0] == 40
    assert named.note == "R² 0.80" and drawn.pictures[0].value == pytest.approx(2.0)
    red, blue = (picture.pixels.astype(int) for picture in drawn.pictures)
    assert red[red.shape[0] // 2, red.shape[1] // 2, 0] > red[red.shape[0] // 2, red.shape[1] // 2, 2]
    assert blue[0, 0, 2] > blue[0, 0, 0], "cut to the row of three that is not zero"
    assert len(panel.views()) == 2 and "FeatureVisualization" in panel.strip.recomputation.python()
    session.select_unit(Unit("blocks.1.act", 3))
    assert panel.strip.rows[0].note == "R² 0.10: the linear account explains little of it"
    qtbot.mouseClick(panel.back, Qt.MouseButton.LeftButton)
    assert session.unit == Unit("blocks.1.act", 1) and panel.forth.isEnabled()
    panel.strip.picked.emit(2, 1)
    assert session.unit == Unit(SOURCE, 0), "the strongest of the second group"
    qtbot.mouseClick(panel.back, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: bool(panel.strip.rows))
    panel.strip.picked.emit(1, 1)
    assert session.unit == Unit(SOURCE, 2) and session.layer == SOURCE
    assert runner.asked(RunAnalysis)[-1].parameters["target"] == SOURCE
    qtbot.mouseClick(panel.back, Qt.MouseButton.LeftButton)
    assert session.unit == Unit("blocks.1.act", 1)


def test_an_input_that_is_shown_goes_into_the_circuit_with_its_edge(panel, session, qtbot):
    qtbot.waitUntil(lambda: bool(panel.views()))
    session.select_unit(Unit("blocks.1.act", 1))
    qtbot.waitUntil(lambda: bool(panel.strip.rows))
    place = panel.strip._place(0, 1).center().toPoint()
    event = QContextMenuEvent(QContextMenuEvent.Reason.Mouse, place, panel.strip.mapToGlobal(place))
    with qtbot.waitSignal(session.panels_wanted) as wanted:
        QApplication.sendEvent(panel.strip, event)
        menu = QApplication.activePopupWidget()
        next(action for action in menu.actions() if action.text() == "Add to circuit").trigger()
        menu.close()
    assert wanted.args == [("circuit_graph",)]
    (edge,) = session.circuit.edges
    assert edge.ends == (f"{SOURCE}:2", "blocks.1.act:1") and edge.weight == pytest.approx(-1.5)
    assert (session.circuit.model, session.circuit.images) == ("test:small", "test:images")
    assert session.circuit.figures == {"weights": {"images": 64, "path": "all", "gate": "mean"}}
    panel.add_to_circuit(4)
    assert len(session.circuit.edges) == 2 and len(session.project.circuits) == 1
    session.undo_stack.undo()
    session.undo_stack.undo()
    assert session.circuit is None and session.project.circuits == []


def test_outputs_are_what_reads_the_layer_and_lead_downstream(panel, session, runner, qtbot):
    session.select_layer(SOURCE)
    session.select_unit(Unit(SOURCE, 2))
    panel.direction.setCurrentIndex(1)
    request = runner.asked(RunAnalysis)[-1]
    assert request.parameters["source"] == SOURCE and request.parameters["target"] == panel.other.currentText() != SOURCE
    qtbot.waitUntil(lambda: bool(panel.strip.rows) and panel.strip.rows[0].pictures[0].pixels is not None)
    named, drawn = panel.strip.rows
    assert named.label == f"outputs of {SOURCE}:2" and [picture.caption for picture in named.pictures] == ["1"]
    assert drawn.pictures[0].value == pytest.approx(np.sqrt(0.75)) and "R²" in named.pictures[0].tip
    panel.order.setCurrentIndex(panel.order.findData("unit"))
    assert panel.matrix.data()["rows"].tolist()[0] == 1
    panel.matrix.cell_picked.emit(0, 4)
    assert session.unit == Unit(SOURCE, 4)
    later = panel.other.currentText()
    qtbot.waitUntil(lambda: [picture.caption for picture in panel.strip.rows[0].pictures] == ["1"])
    panel.strip.picked.emit(0, 0)
    assert session.unit == Unit(later, 1) and panel.layer.text() == later


def test_a_hidden_panel_computes_nothing_and_a_failure_is_said(session, runner, qtbot):
    panel = WeightsPanel(session)
    qtbot.addWidget(panel)
    session.open_model("test:small", layer="blocks.1.act")
    session.open_images("test:images")
    qtbot.waitUntil(lambda: session.model is not None and session.images is not None)
    assert not runner.asked(RunAnalysis)
    panel.show()
    job = max(job for job, request in runner.requests.items() if isinstance(request, RunAnalysis))
    assert panel.cancel.isVisible()
    runner.tell(job, "failed", error="no direct path")
    qtbot.waitUntil(lambda: panel.said.text() == "no direct path")
    assert not panel.cancel.isVisible()


def test_cancelling_stops_it_and_it_can_be_asked_again(session, runner, qtbot):
    panel = WeightsPanel(session)
    qtbot.addWidget(panel)
    panel.show()
    session.open_model("test:small", layer="blocks.1.act")
    session.open_images("test:images")
    qtbot.waitUntil(lambda: bool(runner.asked(RunAnalysis)))
    qtbot.mouseClick(panel.cancel, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "Cancelled" in panel.said.text())
    qtbot.mouseClick(panel.compute, Qt.MouseButton.LeftButton)
    assert len(runner.asked(RunAnalysis)) == 2, "Compute asks for what was cancelled"
    panel.path.setCurrentIndex(2)
    assert len(runner.asked(RunAnalysis)) == 3


def test_what_was_asked_for_before_does_not_answer_for_what_is_asked_now(session, runner, qtbot):
    panel = WeightsPanel(session)
    qtbot.addWidget(panel)
    panel.show()
    session.open_model("test:small", layer="blocks.1.act")
    session.open_images("test:images")
    qtbot.waitUntil(lambda: bool(runner.asked(RunAnalysis)))
    panel.linear.click()
    panel.linear.click()
    first, _, last = (job for job, request in runner.requests.items() if isinstance(request, RunAnalysis))
    assert first not in runner.open and last in runner.open
    assert panel.said.text() == "Waiting for its turn …" and panel.cancel.isVisible()
    runner.tell(last, "done", result=result(runner.requests[last]))
    qtbot.waitUntil(lambda: bool(panel.views()))


def test_a_panel_behind_others_forgets_what_is_not_shown_any_more(panel, session, runner, qtbot):
    qtbot.waitUntil(lambda: bool(panel.views()))
    panel.hide()
    wide = next(layer for layer in reversed(session.layers.values()) if layer.units > TARGETS and layer.name != "blocks.1.act")
    session.select_unit(Unit(wide.name, wide.units - 1))
    assert panel.views() == [] and panel.matrix.data() == {}
    asked = len(runner.asked(RunAnalysis))
    session.select_unit(Unit(wide.name, 1))
    panel.show()
    qtbot.waitUntil(lambda: len(runner.asked(RunAnalysis)) == asked + 1)


def test_many_pairs_are_computed_when_that_is_wanted(panel, runner, qtbot, monkeypatch):
    qtbot.waitUntil(lambda: bool(panel.views()))
    monkeypatch.setattr("widgets.panels.weights.AT_ONCE", 10)
    panel.path.setCurrentIndex(1)
    assert len(runner.asked(RunAnalysis)) == 1 and panel.compute.isVisible() and "pairs of units" in panel.said.text()
    qtbot.mouseClick(panel.compute, Qt.MouseButton.LeftButton)
    assert len(runner.asked(RunAnalysis)) == 2 and not panel.compute.isVisible()


def test_what_is_chosen_is_kept(panel):
    panel.path.setCurrentIndex(1)
    panel.order.setCurrentIndex(1)
    panel.linear.setChecked(True)
    state = panel.save_state()
    panel.direction.setCurrentIndex(1)
    panel.restore_state({})
    assert panel.inputs and panel.path.currentIndex() == 0 and not panel.linear.isChecked()
    panel.restore_state(state)
    assert (panel.path.currentData(), panel.order.currentData(), panel.linear.isChecked()) == ("direct", "similar", True)


def test_the_source_is_the_nearest_layer_outside_the_targets_own_module():
    layers = [Layer(name, "relu", (8, 4, 4), 0, role) for name, role in (
        ("conv2d2", "post"), ("mixed3a.1x1", "post"), ("mixed3a", ""), ("mixed3b.1x1/bn", "pre"), ("mixed3b.1x1", "post"), ("mixed3b", ""),
    )]  # fmt: skip
    before = sources_of(layers, layers[-1])
    assert "mixed3b.1x1/bn" not in [layer.name for layer in before]
    assert sensible_source(before, layers[-1]).name == "mixed3a"
    assert sensible_source(sources_of(layers, layers[4]), layers[4]).name == "mixed3a"
    assert sensible_target(targets_of(layers, layers[2]), layers[2]).name == "mixed3b"
    assert sensible_target(targets_of(layers, layers[0]), layers[0]).name == "mixed3a"
    assert sensible_target(targets_of(layers, layers[1]), layers[1]).name == "mixed3b.1x1", "not what is set side by side with it"
    blocks = [Layer(name, "add", (8,), 0, "") for name in ("patch_embed", "blocks.0.mlp.act", "blocks.0", "blocks.1.mlp.act", "blocks.1")]
    assert sensible_source(blocks[:4], blocks[4]).name == "blocks.0" and sensible_source(blocks[:3], blocks[3]).name == "blocks.0"
    assert sensible_target(blocks[3:], blocks[2]).name == "blocks.1"


def test_kernels_of_any_shape_become_pictures():
    scale = ColourScale(-1.0, 1.0)
    assert kernel_pixels(np.array(0.5), scale).shape == (48, 48, 3)
    text = Layer("words", "add", (17, 8), -1, seen=False)
    patches, words = (kernel_pixels(np.linspace(-1, 1, 17), scale, source) for source in (None, text))
    assert patches.shape == (48, 48, 3) and words.shape[1] == 17 * words.shape[0], "rows of patches behind a class token; a text is one row"
    assert kernel_pixels(np.zeros((5, 3)), scale).shape == (45, 27, 3)
    assert kernel_pixels(np.zeros(3), scale).shape == (16, 48, 3)
    assert kernel_pixels(np.zeros(65), scale).shape == (48, 48, 3), "8 x 8 patches behind a class token"
    assert kernel_pixels(np.zeros((2, 3, 4)), scale).shape == (48, 32, 3)
    kernels = np.zeros((2, 5, 5))
    assert cropped(kernels).shape == kernels.shape
    kernels[1, 1:3, 4] = 1
    assert cropped(kernels).shape == (2, 2, 1)
    kernels[0, 0, 0] = -0.01
    assert cropped(kernels).shape == (2, 2, 1), "what has no colour is no reason to make the rest small"

