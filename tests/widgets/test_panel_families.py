"""The panel Families: finding on demand, the list beside the null, the wheel, keeping a family, tuning and weights, the table."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QRectF, Qt
from PySide6.QtGui import QImage

from widgets.panels.families import FamiliesPanel
from widgets.views.line_plot import Curves, LinePlot
from workbench.analyses.analysis import Result
from workbench.jobs.requests import RunAnalysis
from workbench.jobs.thumbnail_requests import Thumbnails
from workbench.models.layer import Unit
from workbench.unit_families import Family

ACT, ADD = "blocks.1.act", "blocks.0:add"


def figure(name: str, layer: str) -> dict[str, object]:
    told = {"judged": 60, "counting": 6, "matched": 0.1, "matched_null": 0.002, "bar": 0.31, "detectable": 0.4, "symmetric": 7}
    told |= {"misfits": 0, "excess": 0.1, "excess_null": [0.0, 0.02], "invariance": 0.8, "invariance_null": [0.5, None]}
    return {"transformation": name, "layer": layer} | told | ({"detectable": 0.6} if layer == ADD else {})


def family(name: str, layer: str, units: list[int], angles: list[float | None], gain: float, **more: object) -> dict[str, object]:
    told = {"transformation": name, "layer": layer, "units": units, "angles": angles, "closed": True, "gain": gain, "low": gain - 0.1}
    return told | {"agreement": 0.8, "plain": 0.1, "weights": None, "weights_bar": None} | more


def found(request: RunAnalysis) -> Result:
    """Return a result of each of the three analyses."""
    provenance = {"model": request.model, "weights": "abc", "images": request.images}
    asked = dict(request.parameters)
    if request.analysis == "JointTuning":
        steps = np.arange(-180, 180, 45).astype(np.float32)
        arrays = {"steps": steps, "aligned": np.cos(np.deg2rad(steps))[None].repeat(len(asked["units"]), 0)}
        summary = {"layer": asked["layer"], "role": "post", "together": 0.9, "together_bar": 0.4, "images": 64, "images_turned": 24}
        return Result(request.analysis, asked, arrays, summary, provenance)
    if request.analysis == "RelativeWeights":
        arrays = {
            "unrolled": np.arange(16.0).reshape(4, 4),
            "differences": np.array([0.0, 90, 180, 270]),
            "target_units": np.array(asked["target_units"]),
            "target_angles": np.array(asked["target_angles"]),
        }
        summary = {"source": asked["source"], "target": asked["target"], "r2": 0.7, "r2_bar": None, "images": 32}
        return Result(request.analysis, asked, arrays, summary, provenance)
    (name,) = asked["transformations"]
    turned = name.startswith("rotate")
    families = [
        family(name, ACT, [3, 5], [0.0, 270.0] if turned else [None, None], 0.6, closed=not turned),
        family(name, ACT, [7, 1, 9, 2], [0.0, 270.0, 180.0, 90.0] if turned else [None] * 4, 0.9, weights=0.7, weights_bar=0.3),
    ]
    summary = {
        "families": families if name != "hue:120" else [],
        "figures": [figure(name, layer) for layer in asked.get("layers", (ADD, ACT))],
        "titles": [f"Under {name}"],
        "images": 128,
        "twins": 20,
    }
    return Result(request.analysis, asked, {}, summary, provenance)


@pytest.fixture
def panel(session, runner, qtbot):
    runner.answers[Thumbnails] = lambda request: {unit: np.full((1, 8, 8, 3), 10 * unit, np.uint8) for unit in request.units}
    made = FamiliesPanel(session)
    qtbot.addWidget(made)
    made.resize(900, 600)
    made.show()
    session.open_model("test:small", layer=ACT)
    session.open_images("test:images")
    qtbot.waitUntil(lambda: session.model is not None and session.images is not None)
    return made


def search(panel, runner, qtbot, name="rotate:90"):
    runner.answers[RunAnalysis] = found
    panel.what.setCurrentText(name)
    qtbot.mouseClick(panel.find, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: bool(panel.views()))


def test_nothing_open_says_what_to_do(session, qtbot):
    made = FamiliesPanel(session)
    qtbot.addWidget(made)
    made.show()
    assert "Open a network and images" in made.wheel.message and not made.find.isEnabled() and made.views() == []


def test_it_finds_when_told_to_says_how_far_it_is_and_stops(panel, runner, qtbot):
    assert not runner.asked(RunAnalysis)
    qtbot.mouseClick(panel.find, Qt.MouseButton.LeftButton)
    (request,) = runner.asked(RunAnalysis)
    assert (request.analysis, dict(request.parameters)) == ("Equivariance", {"transformations": ["flip"], "layers": [ACT]})
    job = next(job for job, asked in runner.requests.items() if asked is request)
    runner.tell(job, "progress", done=1, total=4, note="twin 1")
    qtbot.waitUntil(lambda: panel.said.text() == "twin 1: 25%")
    qtbot.mouseClick(panel.run.cancel, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.said.text() == "Cancelled.")
    assert panel.find.isVisible() and not panel.run.cancel.isVisible()
    runner.answers[RunAnalysis] = ValueError("'mirror' is no transformation")
    qtbot.mouseClick(panel.find, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.said.text() == "'mirror' is no transformation")


def test_all_layers_are_asked_without_naming_them(panel, runner, qtbot):
    panel.scope.setCurrentIndex(1)
    search(panel, runner, qtbot)
    assert dict(runner.asked(RunAnalysis)[0].parameters) == {"transformations": ["rotate:90"]}
    assert panel.layers.data()["places"].tolist() == [ADD, ACT]
    assert "120 units" in panel.said.text() and "10.0%; twins 0.2%" in panel.said.text()
    assert "from 0.40 on, in some layers 0.60," in panel.said.text()


def test_families_stand_beside_their_null_the_surest_first(panel, runner, qtbot, session):
    search(panel, runner, qtbot)
    texts = [panel.list.topLevelItem(0).text(column) for column in range(6)]
    assert texts == [ACT, "7, 1, 9, 2 ↻", "0.90", "0.80", "0.31", "0.70 ✓"]
    assert panel.list.topLevelItem(1).text(1) == "3, 5"
    assert panel.wheel.units == (7, 1, 9, 2) and panel.wheel.data()["angles"].tolist() == [0, 270, 180, 90]
    assert "bar of 20 twins 0.31" in panel.wheel._caption and "Equivariance(" in panel.wheel.recomputation.python()
    qtbot.waitUntil(lambda: panel._levels.get((ACT, 9)) == "fine")
    places = panel.wheel.places(QRectF(panel.wheel.rect()))
    assert places[7].center().x() > places[9].center().x() and places[2].center().y() < places[1].center().y(), "90° is above"
    qtbot.mouseClick(panel.wheel, Qt.MouseButton.LeftButton, pos=places[9].center().toPoint())
    assert session.unit == Unit(ACT, 9) and panel.wheel.current == 9
    qtbot.keyClick(panel.wheel, Qt.Key.Key_Right)
    assert session.unit == Unit(ACT, 2)


def test_the_chosen_family_is_kept_and_taken_out_again(panel, runner, qtbot, session):
    search(panel, runner, qtbot)
    qtbot.mouseClick(panel.keep, Qt.MouseButton.LeftButton)
    (kept,) = session.project.families["test:small"]
    assert kept == Family("turned by 90°, 1", ACT, [7, 1, 9, 2], [0, 270, 180, 90])
    qtbot.mouseClick(panel.keep, Qt.MouseButton.LeftButton)
    assert [one.name for one in session.project.families["test:small"]] == ["turned by 90°, 1", "turned by 90°, 2"]
    session.undo_stack.undo()
    session.undo_stack.undo()
    assert not session.project.families.get("test:small")


def test_a_family_that_was_found_is_a_node_of_the_circuit_and_selected_with_one_click(make_window, runner, qtbot):
    runner.answers[RunAnalysis] = found
    window = make_window()
    session = window.session
    window.docks.reveal("families")
    panel = window.docks.panel("families")
    assert not panel.use.isEnabled()
    qtbot.waitUntil(lambda: session.model is not None and session.images is not None)
    session.select_layer(ACT)
    search(panel, runner, qtbot)
    assert panel.list.columnWidth(1) >= panel.list.sizeHintForColumn(1), "the units can be read"
    for _ in range(2):  # pressed again, it is not kept again
        qtbot.mouseClick(panel.use, Qt.MouseButton.LeftButton)
        (kept,) = session.project.families["test:small"]
        assert kept == Family("turned by 90°, 1", ACT, [7, 1, 9, 2], [0, 270, 180, 90])
        assert session.selection == (7, 1, 9, 2) and session.family == kept.name, "patching and scrubbing offer what is selected"
        assert set(session.circuit.units) == {f"{ACT}:{unit}" for unit in kept.units}
    graph = window.docks.panel("circuit_graph")
    assert window.docks.is_visible("circuit_graph") and len(graph.view.selection) == 1, "the four units are one node"
    assert graph.folds.of(session.circuit) == graph.view.selection
    assert list(window.docks.panel("patching").settings.families_given().values()) == [f"{ACT}:7,1,9,2"]
    session.undo_stack.undo()
    session.undo_stack.undo()
    assert not session.project.families.get("test:small")


def test_tuning_curves_are_asked_of_the_family(panel, runner, qtbot):
    search(panel, runner, qtbot)
    panel.tabs.setCurrentWidget(panel.tuning)
    qtbot.mouseClick(panel.tuning.ask, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.tuning.result is not None)
    asked = dict(runner.asked(RunAnalysis)[-1].parameters)
    assert asked == {"layer": ACT, "units": [7, 1, 9, 2], "angles": [0, 270, 180, 90], "turned": "image"}
    assert panel.tuning.said.text() == "Together 0.90; of random angles 95 % are below 0.40"
    assert panel.tuning.view in panel.views()
    panel.list.setCurrentItem(panel.list.topLevelItem(1))
    assert panel.tuning.result is None, "another family forgets it"


def test_weights_are_asked_from_an_earlier_family(panel, runner, qtbot, session):
    hues = Family("hues turned by 120°, 1", ADD, [5, 6, 7], [0, 120, 240])
    session.project.families["test:small"] = [Family("lines", ADD, [4, 8], [0, 90]), Family("no angles", ADD, [1, 2]), hues]
    search(panel, runner, qtbot)
    panel.tabs.setCurrentWidget(panel.weights)
    assert [panel.weights.other.itemText(i) for i in range(panel.weights.other.count())] == [f"{ADD}: lines"]
    qtbot.mouseClick(panel.weights.ask, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.weights.result is not None)
    asked = dict(runner.asked(RunAnalysis)[-1].parameters)
    assert (asked["source"], asked["source_units"], asked["target_units"]) == (ADD, [4, 8], [7, 1, 9, 2])
    assert "R2 of the difference alone 0.70; too few units" in panel.weights.said.text()
    assert panel.weights.view.title.startswith(f"Weights from lines, {ADD}, to ")


def test_weights_from_one_family_do_not_stay_under_the_name_of_another(panel, runner, qtbot, session):
    session.project.families["test:small"] = [Family("lines", ADD, [4, 8], [0, 90]), Family("arcs", ADD, [1, 2], [0, 90])]
    search(panel, runner, qtbot)
    panel.tabs.setCurrentWidget(panel.weights)
    qtbot.mouseClick(panel.weights.ask, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.weights.result is not None)
    panel.weights.other.setCurrentText(f"{ADD}: arcs")
    assert panel.weights.result is None and panel.weights.said.text() == "" and panel.weights.views() == []
    assert "choose one, then Unroll weights" in panel.weights.view.message and panel.weights.ask.isEnabled()


def test_pairs_without_angles_ask_for_neither(panel, runner, qtbot):
    search(panel, runner, qtbot, "flip")
    assert not panel.tuning.ask.isEnabled() and not panel.weights.ask.isEnabled()
    assert np.isnan(panel.wheel.data()["angles"]).all()
    search(panel, runner, qtbot, "hue:120")
    assert "No two units are partners" in panel.wheel.message and panel.tabs.currentWidget() is panel.layers
    assert not panel.keep.isEnabled()


def test_the_table_and_the_figures_hold_what_is_shown(panel, runner, qtbot, tmp_path):
    from widgets.export import figure_image

    search(panel, runner, qtbot)
    panel.write_table(str(tmp_path / "families.csv"))
    lines = list(csv.DictReader((tmp_path / "families.csv").open()))
    assert [line["units"] for line in lines] == ["3 5", "7 1 9 2"] and lines[1]["angles"] == "0 270 180 90" and lines[0]["weights"] == ""
    assert all(not figure_image(view, 1).isNull() for view in panel.views())


def test_the_null_of_a_single_layer_can_be_seen(qtbot):
    plot = LinePlot()
    qtbot.addWidget(plot)
    plot.resize(300, 240)

    def drawn(high: float) -> np.ndarray:
        curves = Curves("matched", np.array([0.8]), low=np.zeros(1), high=np.array([high]))
        plot.show_plots(["one layer"], [curves], title="", label="")
        image = plot.grab().toImage().convertToFormat(QImage.Format.Format_Grayscale8)
        return np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())[:, : image.width()].copy()

    assert (drawn(0.6) != drawn(0.0)).mean() > 0.1, "a bar as wide as the place"


def test_another_network_forgets_what_was_found(panel, runner, qtbot, session):
    search(panel, runner, qtbot)
    session.set_model(session.model)
    assert panel.views() == [] and not panel.keep.isEnabled() and panel.list.topLevelItemCount() == 0


def test_what_is_asked_is_kept(panel):
    panel.what.setCurrentText("rotate:45")
    panel.scope.setCurrentIndex(1)
    state = panel.save_state()
    panel.restore_state({})
    assert (panel.what.currentText(), panel.scope.currentData()) == ("flip", "layer")
    panel.restore_state(state)
    assert (panel.what.currentText(), panel.scope.currentData()) == ("rotate:45", "all")


def test_units_of_one_angle_stand_behind_one_another(panel):
    panel.wheel.show_family([1, 2, 3], [0, 90, 0], title="twice")
    places = panel.wheel.places(QRectF(0, 0, 400, 400))
    assert places[3].center().x() < places[1].center().x() and not places[1].intersects(places[3])
    assert panel.wheel._unit_at(QPoint(0, 0)) is None


@pytest.mark.parametrize("angles", [[0, 270], [0, 180], [0, 90, 180, 270], list(range(0, 360, 30)), [None] * 7])
def test_neighbours_do_not_touch(panel, angles):
    panel.wheel.show_family(range(len(angles)), angles, title="a family")
    places = list(panel.wheel.places(QRectF(0, 0, 420, 476)).values())
    assert not any(one.intersects(other) for i, one in enumerate(places) for other in places[:i])
    assert all(QRectF(0, 0, 420, 476).contains(place) for place in places)
