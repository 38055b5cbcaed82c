"""The panel Circuit: building a circuit by clicks, its weights, measures and traces, undo, and what is saved and exported."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QMenu

from widgets import circuit_edit
from widgets.circuit_measure import PAUSE, question
from widgets.circuit_trace import TraceDialog
from widgets.panels.circuit_graph import CircuitGraphPanel
from workbench.analyses.analysis import Result
from workbench.circuit import Circuit, Edge
from workbench.jobs.circuit_requests import Connected
from workbench.jobs.requests import AnalysisCard, DescribeAnalyses, RunAnalysis
from workbench.jobs.thumbnail_requests import Thumbnails
from workbench.labels import Label
from workbench.models.layer import Unit
from workbench.project import Project
from workbench.unit_families import Family

HIGH, MIDDLE, LOW = "blocks.1.act", "blocks.0:add", "stem.act"
SCHEMA = {"properties": {"target": {"type": "string"}, "top": {"type": "integer", "default": 5}}, "required": ["target"]}
TREE_SCHEMA = {"properties": {"unit": {"type": "string", "default": ""}, "depth": {"type": "integer", "default": 2}}}
CARDS = (
    AnalysisCard("Trace", "Trace a circuit", "Find it.", SCHEMA, True),
    AnalysisCard("ReconstructionTree", "Reconstruction tree", "Rebuild it.", TREE_SCHEMA, True),
    AnalysisCard("CircuitMeasures", "Measures", "M.", {}, True),
)


def weights(request: RunAnalysis) -> Result:
    """Source s has weight s - 4 for target t, and contributes s; unit 0 is dead."""
    units, sources = list(request.parameters["units"]), 12
    contribution = np.tile(np.arange(sources, dtype=np.float32), (len(units), 1))
    contribution[:, 0] = np.nan
    arrays = {"units": np.array(units), "contribution": contribution, "sum": np.tile(np.arange(sources) - 4.0, (len(units), 1))}
    summary = {"images": 64, "path": "all", "gate": "mean"}
    return Result("ExpandedWeights", dict(request.parameters), arrays, summary, {})


def run(request: RunAnalysis) -> Result | Exception:
    if request.analysis == "ExpandedWeights":
        return weights(request)
    if request.analysis == "Trace":
        found = Circuit("traced").with_edges([Edge(f"{MIDDLE}:1", request.parameters["target"], math.nan, 0.5)])
        missed = {"threshold": 0.8, "threshold_reached": False, "candidate_edges": 40, "candidates_faithfulness": 0.28}
        return Result("Trace", dict(request.parameters), {}, {"circuit": found.document(), **missed}, {})
    if request.analysis == "ReconstructionTree":
        found = Circuit("rebuilt").with_edges([Edge(f"{MIDDLE}:2", request.parameters["unit"])])
        kept = {"unit": request.parameters["unit"], "kept": 0.306, "kept_low": 0.28, "kept_high": 0.33, "null_highest": 0.093}
        return Result("ReconstructionTree", dict(request.parameters), {}, {"circuit": found.document(), **kept}, {})
    edges = json.loads(request.parameters["circuit"])["edges"]
    drops = np.array([float(edge["source"].rpartition(":")[2]) / 100 for edge in edges])
    target = request.parameters.get("target", f"{HIGH}:3")
    summary: dict[str, object] = {"target": target, "images": 128}
    summary |= {"faithfulness": 0.9, "faithfulness_low": 0.8, "faithfulness_high": 0.95, "completeness": 0.7}
    found = {"minimality": float(drops.min()), "null_faithfulness_highest": 0.1, "null_draws": 20, "ablation": "mean", "at": "strongest"}
    return Result("CircuitMeasures", dict(request.parameters), {"edge_drop": drops}, summary | found, {})


@pytest.fixture
def panel(session, runner, qtbot):
    runner.answers[RunAnalysis] = run
    runner.answers[DescribeAnalyses] = ()
    runner.answers[Connected] = lambda request: tuple(range(len(request.asked)))
    runner.answers[Thumbnails] = lambda request: {unit: np.full((1, 8, 8, 3), 9 * unit, np.uint8) for unit in request.units}
    made = CircuitGraphPanel(session)
    qtbot.addWidget(made)
    made.resize(900, 700)
    made.show()
    session.open_model("test:small", layer=HIGH)
    session.open_images("test:images")
    qtbot.waitUntil(lambda: session.model is not None and session.images is not None)
    return made


def command(panel: CircuitGraphPanel, id: str) -> None:
    next(command for command in panel.commands() if command.id == id).run()


def begin(panel: CircuitGraphPanel, qtbot, unit: int = 3) -> None:
    """Add a unit and its three strongest inputs."""
    panel.session.select_unit(Unit(HIGH, unit))
    panel.add_selected()
    panel.tools.count.setValue(3)
    qtbot.mouseClick(panel.tools.inputs, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: len(panel.circuit.edges) == 3)


def test_nothing_open_says_what_to_do_in_a_sentence(session, qtbot):
    panel = CircuitGraphPanel(session)
    qtbot.addWidget(panel)
    panel.show()
    assert panel.view.message.startswith("Click a unit") and panel.view.message.count(".") == 1
    assert panel.views() == [] and not panel.tools.inputs.isEnabled() and panel.tools.trace.isHidden() and panel.tools.live.isHidden()


def test_a_unit_and_its_strongest_inputs_become_a_graph_with_pictures(panel, session, runner, qtbot):
    begin(panel, qtbot)
    circuit = session.circuit
    assert circuit.name == f"Circuit of {HIGH}:3" and (circuit.model, circuit.images) == ("test:small", "test:images")
    assert {edge.source: edge.weight for edge in circuit.edges} == {f"{MIDDLE}:{s}": s - 4.0 for s in (11, 10, 9)}
    (request,) = runner.asked(RunAnalysis)
    assert request.parameters == {"source": MIDDLE, "target": HIGH, "units": [3], "path": "all", "gate": "mean"}
    assert list(panel.view._rows) == [MIDDLE, HIGH], "in the network's order"
    qtbot.waitUntil(lambda: panel.view._cards[f"{MIDDLE}:11"].pictures[0] is not None)
    assert panel.view._cards[f"{MIDDLE}:11"].pictures[0].pixelColor(0, 0).red() == 99
    assert {request.purpose for request in runner.asked(Thumbnails)} == {f"circuit {MIDDLE}", f"circuit {HIGH}"}
    assert "n = 64 images of test:images" in panel.view._captions[0] and panel.view._roles[HIGH] == "post-activation\n64 units"
    assert session.project.circuits == [circuit] and panel.views() == [panel.view]
    weighed, *pictures = panel.view.recomputation.steps
    assert (weighed.analysis, weighed.parameters) == ("ExpandedWeights", request.parameters)
    assert [(step.analysis, step.parameters["units"]) for step in pictures] == [
        ("FeatureVisualization", [unit.index for unit in map(Unit.parse, circuit.units) if unit.layer == layer]) for layer in (MIDDLE, HIGH)
    ]
    compile(panel.view.recomputation.python(), "copied", "exec")


def test_inputs_of_several_nodes_of_a_layer_are_one_run_from_the_layer_chosen(panel, runner, qtbot):
    begin(panel, qtbot)
    panel.view.select((f"{MIDDLE}:9", f"{MIDDLE}:10"))
    panel.tools.source.setCurrentIndex(panel.tools.source.findText(LOW))
    panel.tools.count.setValue(2)
    panel.add_inputs()
    qtbot.waitUntil(lambda: len(panel.circuit.edges) == 7)
    assert [r.parameters["units"] for r in runner.asked(RunAnalysis)] == [[3], [9, 10]]
    assert len(panel.circuit.units) == 6, "both read the same two"


def test_connecting_adds_the_edges_between_what_is_there(panel, session, runner, qtbot):
    session.select_unit(Unit(HIGH, 3))
    session.select_together((3, 5))
    panel.add_selected()
    circuit_edit.add_units(session, [f"{MIDDLE}:7", f"{MIDDLE}:4", f"{LOW}:1"], "add")
    panel.connect_units()
    qtbot.waitUntil(lambda: bool(panel.circuit.edges))
    ends = {edge.ends for edge in panel.circuit.edges}
    assert ends == {(f"{MIDDLE}:7", f"{HIGH}:3"), (f"{MIDDLE}:7", f"{HIGH}:5"), (f"{LOW}:1", f"{MIDDLE}:7"), (f"{LOW}:1", f"{MIDDLE}:4")}
    assert len(panel.circuit.units) == 5 and len(runner.asked(RunAnalysis)) == 2


def test_the_edges_of_a_trace_get_their_weights_and_no_others_come_in(panel, session, runner, qtbot):
    traced = Circuit("traced", "test:small", "test:images").with_edges(
        [Edge(f"{MIDDLE}:7", f"{HIGH}:3", math.nan, 0.5), Edge(f"{MIDDLE}:9", f"{HIGH}:5", math.nan, 0.25)]
    )
    session.open_circuit(traced)
    command(panel, "circuit.weigh")
    qtbot.waitUntil(lambda: math.isfinite(session.circuit.edges[0].weight))
    assert {edge.ends: (edge.weight, edge.attribution) for edge in session.circuit.edges} == {
        (f"{MIDDLE}:7", f"{HIGH}:3"): (3.0, 0.5), (f"{MIDDLE}:9", f"{HIGH}:5"): (5.0, 0.25),
    }  # fmt: skip


def test_every_edit_is_taken_back_and_done_again(panel, session, qtbot):
    begin(panel, qtbot)
    states = [session.circuit.to_json()]
    panel.view.select((f"{MIDDLE}:11",))
    panel.remove()
    states.append(session.circuit.to_json())
    panel.view.select((), (f"{MIDDLE}:10", f"{HIGH}:3"))
    panel.remove()
    assert len(session.circuit.edges) == 1 and len(session.circuit.units) == 3
    states.append(session.circuit.to_json())
    row = [unit for unit in session.circuit.units if unit.startswith(MIDDLE)]
    panel.view.moved.emit(row[0], 1)
    assert [unit for unit in session.circuit.units if unit.startswith(MIDDLE)] == row[::-1]
    states.append(session.circuit.to_json())
    panel.rename("curves")
    states.append(session.circuit.to_json())
    for state in reversed(states[:-1]):
        qtbot.mouseClick(panel.tools.undo, Qt.MouseButton.LeftButton)
        assert session.circuit.to_json() == state and session.project.circuits == [session.circuit]
    for state in states[1:]:
        qtbot.mouseClick(panel.tools.redo, Qt.MouseButton.LeftButton)
        assert session.circuit.to_json() == state
    while session.undo_stack.canUndo():
        session.undo_stack.undo()
    assert session.circuit is None and session.project.circuits == [] and panel.view.message


def test_what_the_user_put_in_order_stays_until_it_is_tidied(panel, session, qtbot):
    begin(panel, qtbot)
    row = [unit for unit in session.circuit.units if unit.startswith(MIDDLE)]
    circuit_edit.add_edges(session, [Edge(f"{LOW}:{i}", unit, 1.0) for i, unit in enumerate(row)], "add", {})
    panel.view.moved.emit(row[2], 0)
    assert [unit for unit in session.circuit.units if unit.startswith(MIDDLE)] == [row[2], row[0], row[1]]
    circuit_edit.add_units(session, [f"{HIGH}:9"], "add")
    assert [unit for unit in session.circuit.units if unit.startswith(MIDDLE)] == [row[2], row[0], row[1]]
    panel.tidy()
    places = [panel.view.place_of(unit).center().x() for unit in row]
    below = [panel.view.place_of(f"{LOW}:{i}").center().x() for i in range(3)]
    assert (np.argsort(places) == np.argsort(below)).all()


def test_a_click_on_a_node_shows_the_unit_in_the_inspector(panel, session, qtbot):
    begin(panel, qtbot)
    QTest.mouseClick(panel.view, Qt.MouseButton.LeftButton, pos=panel.view.place_of(f"{MIDDLE}:11").center().toPoint())
    assert session.unit == Unit(MIDDLE, 11) and session.layer == MIDDLE and panel.view.marked == f"{MIDDLE}:11"
    session.select_unit(Unit(HIGH, 3))
    assert panel.view.marked == f"{HIGH}:3"


def test_a_circuit_of_another_network_is_shown_and_leads_there(panel, session, runner, qtbot):
    other = Circuit("other", "test:other", "test:images").with_edges([Edge("a:1", "b:2", 1.0)])
    session.open_circuit(other)
    assert "is of test:other" in panel.said.text() and not panel.tools.connect_units.isEnabled()
    panel.view.picked.emit("b:2")
    assert [request.ref for request in runner.requests.values() if type(request).__name__ == "LoadModel"][-1] == "test:other"


def test_a_family_is_one_node_and_opens_again(panel, session, qtbot):
    session.project.families["test:small"] = [Family("curves", MIDDLE, [11, 10, 2])]
    begin(panel, qtbot)
    family = f"{MIDDLE}:11,10"
    panel.view.select((f"{MIDDLE}:10",))
    assert panel.tools.collapse.isEnabled() and panel.tools.collapse.text() == "Collapse"
    qtbot.mouseClick(panel.tools.collapse, Qt.MouseButton.LeftButton)
    assert set(panel.view.circuit.units) == {family, f"{MIDDLE}:9", f"{HIGH}:3"} and panel.view.selection == (family,)
    assert panel.view._cards[family].name == "curves" and len(panel.view._cards[family].pictures) == 2
    joined = next(edge for edge in panel.view.circuit.edges if edge.source == family)
    assert joined.weight == 7.0 + 6.0 and len(session.circuit.units) == 4, "the circuit itself has both"
    panel.view.picked.emit(family)
    assert session.unit == Unit(MIDDLE, 11) and session.selection == (11, 10)
    panel.remove()
    assert session.circuit.units == (f"{MIDDLE}:9", f"{HIGH}:3")
    session.undo_stack.undo()
    assert family in panel.view.circuit.units
    panel.view.opened.emit(family)
    assert len(panel.view.circuit.units) == 4 and panel.tools.collapse.text() == "Collapse"
    panel.add_family(session.project.families["test:small"][0])
    assert f"{MIDDLE}:11,10,2" in panel.view.circuit.units and len(session.circuit.units) == 5


def test_collapsing_is_taken_back_and_a_family_is_added_in_one_step(panel, session, qtbot):
    session.project.families["test:small"] = [Family("curves", MIDDLE, [11, 10, 2])]
    begin(panel, qtbot)
    stack, family = session.undo_stack, f"{MIDDLE}:11,10"
    single = panel.view.circuit.units
    panel.view.select((f"{MIDDLE}:10",))
    session.set_modified(False)
    panel.collapse()
    assert stack.undoText() == f"collapse {family}" and session.modified and family in panel.view.circuit.units
    name = session.circuit.name
    panel.rename("arcs")
    session.open_circuit(None)
    stack.undo()
    stack.undo()
    assert session.circuit.name == name and panel.view.circuit.units == single
    assert set(panel.view.selection) == {f"{MIDDLE}:11", f"{MIDDLE}:10"}
    stack.redo()
    stack.redo()
    assert session.circuit.name == "arcs" and family in panel.view.circuit.units
    panel.expand(family)
    assert stack.undoText() == f"expand {family}" and panel.view.circuit.units == single
    stack.undo()
    assert panel.view.selection == (family,)
    steps = stack.index()
    panel.add_family(session.project.families["test:small"][0])
    assert stack.index() == steps + 1 and stack.undoText() == "add the family curves" and f"{MIDDLE}:11,10,2" in panel.view.circuit.units
    stack.undo()
    assert set(panel.view.circuit.units) == {family, f"{MIDDLE}:9", f"{HIGH}:3"} and len(session.circuit.units) == 4
    panel.add_family(Family("one", MIDDLE, [10]))
    assert stack.index() == steps and stack.canRedo(), "it is there: nothing to be taken back"


def test_families_go_with_their_circuit_and_not_with_its_name(panel, session, qtbot):
    begin(panel, qtbot)
    name, stack = session.circuit.name, session.undo_stack
    panel.view.select((f"{MIDDLE}:10", f"{MIDDLE}:11"))
    panel.collapse()
    first = panel.folds.of(session.circuit)
    assert len(first) == 1
    other = Circuit("other", "test:small", "test:images").with_units([f"{MIDDLE}:1", f"{MIDDLE}:2"])
    session.open_circuit(other)
    panel.view.select((f"{MIDDLE}:1", f"{MIDDLE}:2"))
    panel.collapse()
    assert panel.folds.save() == {name: list(first), "other": [f"{MIDDLE}:1,2"]}
    panel.rename(name)
    assert session.circuit.name == "other" and panel.folds.save() == {name: list(first), "other": [f"{MIDDLE}:1,2"]}, "refused"
    panel.rename("arcs")
    assert panel.folds.save() == {name: list(first), "arcs": [f"{MIDDLE}:1,2"]}
    stack.undo()
    assert panel.folds.save() == {name: list(first), "other": [f"{MIDDLE}:1,2"]} and panel.view.circuit.units == (f"{MIDDLE}:1,2",)
    command(panel, "circuit.delete")
    assert panel.folds.save() == {name: list(first)}
    stack.undo()
    assert session.circuit.name == "other" and panel.view.circuit.units == (f"{MIDDLE}:1,2",)


def test_a_family_of_a_trace_is_taken_apart_for_good(panel, session, qtbot):
    session.open_circuit(Circuit("traced", "test:small", "test:images").with_edges([Edge(f"{MIDDLE}:1,2", f"{HIGH}:3", 1.0)]))
    panel.view.opened.emit(f"{MIDDLE}:1,2")
    assert set(session.circuit.units) == {f"{MIDDLE}:1", f"{MIDDLE}:2", f"{HIGH}:3"}
    assert all(math.isnan(edge.weight) for edge in session.circuit.edges)
    session.undo_stack.undo()
    assert f"{MIDDLE}:1,2" in session.circuit.units


def test_what_was_asked_for_an_older_circuit_is_not_added_to_another(session, runner, qtbot):
    panel = CircuitGraphPanel(session)
    qtbot.addWidget(panel)
    panel.show()
    session.open_model("test:small", layer=HIGH)
    session.open_images("test:images")
    qtbot.waitUntil(lambda: session.model is not None and session.images is not None)
    session.select_unit(Unit(HIGH, 3))
    panel.add_selected()
    first = session.circuit.name
    panel.add_inputs()
    (job,) = (job for job, request in runner.requests.items() if isinstance(request, RunAnalysis))
    assert not panel.tools.cancel.isHidden()
    command(panel, "circuit.new")
    runner.tell(job, "done", result=weights(runner.requests[job]))
    qtbot.waitUntil(panel.tools.cancel.isHidden)
    assert session.circuit.units == () and circuit_edit.named(session.project, first).edges == ()
    session.open_circuit(circuit_edit.named(session.project, first))
    panel.view.select((f"{HIGH}:3",))
    panel.add_inputs()
    last = max(runner.requests)
    qtbot.mouseClick(panel.tools.cancel, Qt.MouseButton.LeftButton)
    assert last not in runner.open
    panel.add_inputs()
    runner.tell(max(runner.requests), "failed", error="no direct path")
    qtbot.waitUntil(lambda: panel.said.text() == "no direct path")
    again = session.relay.retry(max(runner.requests))  # as the panel Jobs does
    runner.tell(again, "done", result=weights(runner.requests[again]))
    qtbot.waitUntil(lambda: bool(session.circuit.edges))
    assert not panel.work.running and panel.said.text() == ""


def test_a_trace_that_was_cancelled_in_the_panel_jobs_opens_once_it_is_tried_again_there(measured, session, runner, qtbot):
    answer = runner.answers.pop(RunAnalysis)
    measured.tracing.start("Trace", {"target": f"{HIGH}:3"})
    job = max(runner.requests)
    session.relay.cancel(job)
    qtbot.waitUntil(lambda: not measured.tracing.running)
    again = session.relay.retry(job)
    runner.tell(again, "running")
    qtbot.waitUntil(lambda: measured.tracing.running and not measured.tools.cancel.isHidden())
    runner.tell(again, "done", result=answer(runner.requests[again]))
    qtbot.waitUntil(lambda: session.circuit is not None and session.circuit.name == "traced")


def test_without_images_or_an_earlier_layer_it_says_what_is_missing(session, runner, qtbot):
    panel = CircuitGraphPanel(session)
    qtbot.addWidget(panel)
    panel.show()
    session.open_model("test:small", layer="stem.conv")
    qtbot.waitUntil(lambda: session.model is not None)
    session.select_unit(Unit(HIGH, 3))
    panel.add_selected()
    panel.add_inputs()
    assert "Open images first" in panel.said.text() and not runner.asked(RunAnalysis)
    session.select_unit(Unit("stem.conv", 1))
    panel.add_selected()
    panel.add_inputs()
    assert panel.said.text() == "No layer comes before stem.conv."


# ---------------------------------------------------------------------------------------------------- measures and traces


@pytest.fixture
def measured(panel, runner, qtbot):
    """The panel where the worker knows traces and measures."""
    runner.answers[DescribeAnalyses] = CARDS
    panel.session.relay.submit(DescribeAnalyses(), panel._on_analyses)
    qtbot.waitUntil(lambda: not panel.tools.live.isHidden() and not panel.tools.trace.isHidden())
    return panel


def asked_to_measure(runner) -> list[RunAnalysis]:
    return [request for request in runner.asked(RunAnalysis) if request.analysis == "CircuitMeasures"]


def test_a_circuit_is_measured_a_while_after_an_edit(measured, session, runner, qtbot):
    begin(measured, qtbot)
    assert not asked_to_measure(runner)
    qtbot.waitUntil(lambda: "faithfulness" in session.circuit.figures, timeout=PAUSE + 4000)
    (request,) = asked_to_measure(runner)
    assert request.parameters["null_draws"] == 20
    assert Circuit.from_json(request.parameters["circuit"]).edges and request.images == "test:images"
    assert session.circuit.figures["faithfulness_low"] == 0.8 and session.circuit.figures["weights"]["images"] == 64
    said = measured.view._captions[1]
    assert said == (
        "Faithfulness 0.900 [0.800, 0.950] (random circuits at most 0.100) · completeness 0.700 · "
        f"minimality 0.0900 (least drop without an edge: {MIDDLE}:9 → {HIGH}:3) · n = 128 images · "
        "mean ablation, the target's pre-activation where it is strongest · 20 random circuits."
    )
    assert "drop of the score without it: 0.110" in measured.view.edge_tip((f"{MIDDLE}:11", f"{HIGH}:3"))
    assert session.project.circuits == [session.circuit] and session.undo_stack.undoText().startswith("add inputs")
    assert "CircuitMeasures" in measured.view.recomputation.python()
    measured.view.select((f"{MIDDLE}:9",))
    measured.remove()
    assert "faithfulness" not in session.circuit.figures and "weights" in session.circuit.figures
    session.undo_stack.undo()
    assert session.circuit.figures["faithfulness"] == 0.9, "what was measured of this circuit holds again"
    qtbot.wait(PAUSE + 100)
    assert len(asked_to_measure(runner)) == 1, "and nothing is measured twice"


def test_of_a_circuit_with_two_ends_the_selected_one_is_measured(measured, session, runner, qtbot):
    edges = [Edge(f"{MIDDLE}:1", f"{HIGH}:3", 1.0), Edge(f"{MIDDLE}:1", f"{HIGH}:4", 1.0)]
    circuit_edit.add_circuit(session, Circuit("motif", "test:small", "test:images").with_edges(edges), "open")
    qtbot.waitUntil(lambda: "select the unit that they are of" in measured.said.text(), timeout=PAUSE + 4000)
    assert f"{HIGH}:3 or {HIGH}:4" in measured.said.text() and not asked_to_measure(runner)
    session.select_unit(Unit(MIDDLE, 1))
    qtbot.wait(PAUSE + 100)
    assert not asked_to_measure(runner), "that one is read"
    session.select_unit(Unit(HIGH, 4))
    qtbot.waitUntil(lambda: "faithfulness" in session.circuit.figures, timeout=PAUSE + 4000)
    assert asked_to_measure(runner)[0].parameters["target"] == f"{HIGH}:4" == session.circuit.figures["target"]
    assert f"pre-activation of {HIGH}:4" in measured.view._captions[-1]


def test_an_end_that_is_a_family_is_chosen_by_any_of_its_units(measured, session, runner, qtbot):
    edges = [Edge(f"{MIDDLE}:1", f"{HIGH}:3", 1.0), Edge(f"{MIDDLE}:1", f"{HIGH}:4,5", 1.0)]
    session.select_unit(Unit(HIGH, 5))
    circuit_edit.add_circuit(session, Circuit("motif", "test:small", "test:images").with_edges(edges), "open")
    qtbot.waitUntil(lambda: bool(asked_to_measure(runner)), timeout=PAUSE + 4000)
    assert asked_to_measure(runner)[0].parameters["target"] == f"{HIGH}:4,5"


def test_undo_says_what_it_takes_back_whatever_panel_did_it(panel, session, qtbot):
    assert panel.tools.undo.toolTip() == "Take back the last edit (Ctrl+Z)"
    begin(panel, qtbot)
    assert panel.tools.undo.toolTip() == f"Take back the last edit: {session.undo_stack.undoText()} (Ctrl+Z)"
    session.undo_stack.undo()
    assert panel.tools.redo.toolTip() == f"Do again what was taken back: {session.undo_stack.redoText()} (Ctrl+Shift+Z)"


def test_another_circuit_is_seen_whole(panel, session, qtbot):
    begin(panel, qtbot)
    panel.view.zoom_to(3.0)
    panel.view.select((f"{MIDDLE}:9",))
    panel.remove()
    panel.rename("called otherwise")
    assert panel.view.zoom == 3.0, "the same one stays where it is"
    circuit_edit.add_circuit(session, Circuit("other", "test:small", "test:images").with_units([f"{HIGH}:3"]), "open")
    assert panel.view.zoom == 1.0


def test_an_edit_gives_up_what_was_being_measured(measured, session, runner, qtbot):
    begin(measured, qtbot)
    del runner.answers[RunAnalysis]
    qtbot.waitUntil(lambda: len(asked_to_measure(runner)) == 1, timeout=PAUSE + 4000)
    job = max(job for job, request in runner.requests.items() if isinstance(request, RunAnalysis))
    old = runner.requests[job]
    measured.view.moved.emit(f"{MIDDLE}:9", 1 if session.circuit.units[0] == f"{MIDDLE}:9" else 0)
    assert job in runner.open, "the order of units does not matter"
    measured.view.select((f"{MIDDLE}:9",))
    measured.remove()
    assert job not in runner.open
    runner.tell(job, "done", result=run(old))
    qtbot.waitUntil(lambda: len(asked_to_measure(runner)) == 2, timeout=PAUSE + 4000)
    assert "faithfulness" not in session.circuit.figures, "the answer to the older question"
    newest = asked_to_measure(runner)[-1]
    assert newest.parameters["circuit"] == question(session.circuit)
    runner.tell(max(runner.open), "done", result=run(newest))
    qtbot.waitUntil(lambda: "faithfulness" in session.circuit.figures)


def test_nothing_is_measured_while_it_is_not_wanted_or_not_looked_at(measured, session, runner, qtbot):
    measured.tools.live.setChecked(False)
    begin(measured, qtbot)
    qtbot.wait(PAUSE + 100)
    assert not asked_to_measure(runner)
    measured.tools.live.setChecked(True)
    measured.hide()
    qtbot.wait(PAUSE + 100)
    assert not asked_to_measure(runner)


def test_a_trace_is_set_up_in_a_form_and_opens_as_a_circuit(measured, session, runner, qtbot):
    session.select_unit(Unit(HIGH, 3))
    qtbot.mouseClick(measured.tools.trace, Qt.MouseButton.LeftButton)
    dialog = measured.findChild(TraceDialog)
    qtbot.waitUntil(lambda: dialog.form is not None, timeout=30_000)  # pyqtgraph is imported
    assert dialog.form.values() == {"target": f"{HIGH}:3", "top": 5}
    with qtbot.waitSignal(session.message) as told:
        qtbot.keyClick(dialog, Qt.Key.Key_Return)
        qtbot.waitUntil(lambda: session.circuit is not None)
    assert "No circuit of the 40 candidate edges is as faithful as the 0.8 asked for" in told.args[0].text
    assert "all of them together reach 0.28" in told.args[0].text
    assert session.circuit.name == "traced" and session.circuit.model == "test:small" and session.circuit.images == "test:images"
    assert runner.asked(RunAnalysis)[-1] == RunAnalysis("Trace", {"target": f"{HIGH}:3", "top": 5}, "test:small", "test:images")
    assert measured.tools.measure.currentData() == "attribution", "what is known of its edges"
    assert measured.view.shares == {(f"{MIDDLE}:1", f"{HIGH}:3"): 1.0}


def test_a_unit_is_rebuilt_from_few_and_the_tree_opens_as_a_circuit(measured, session, runner, qtbot):
    session.select_unit(Unit(HIGH, 3))
    qtbot.mouseClick(measured.tools.tree, Qt.MouseButton.LeftButton)
    dialog = measured.findChild(TraceDialog)
    qtbot.waitUntil(lambda: dialog.form is not None, timeout=30_000)
    assert dialog.form.values() == {"unit": f"{HIGH}:3", "depth": 2} and dialog.run.text() == "Rebuild"
    with qtbot.waitSignal(session.message) as told:
        qtbot.mouseClick(dialog.run, Qt.MouseButton.LeftButton)
    assert told.args[0].text == (
        f"The tree alone keeps 0.31 [0.28, 0.33] of the variance of {HIGH}:3; trees of random units at most 0.09."
    )
    assert session.circuit.name == "rebuilt" and session.circuit.units == (f"{MIDDLE}:2", f"{HIGH}:3")
    assert session.undo_stack.undoText() == "rebuild from few"


def test_layers_that_do_not_feed_each_other_are_not_asked_for_weights(panel, session, runner, qtbot):
    circuit_edit.add_units(session, [f"{LOW}:1", f"{MIDDLE}:2", f"{HIGH}:3"], "add")
    runner.answers[Connected] = lambda request: tuple(i for i, (source, _) in enumerate(request.asked) if source == MIDDLE)
    panel.connect_units()
    qtbot.waitUntil(lambda: bool(session.circuit.edges))
    assert {request.parameters["source"] for request in runner.asked(RunAnalysis)} == {MIDDLE}
    runner.answers[Connected] = ()
    panel.connect_units()
    qtbot.waitUntil(lambda: "None of its layers feeds another" in panel.said.text())


def test_nothing_is_asked_of_a_network_that_is_not_open(measured, session, runner, qtbot):
    runner.requests.clear()
    session.open_circuit(Circuit("other", "test:other", "test:images").with_edges([Edge("a:1", "b:2", 1.0)]))
    qtbot.wait(PAUSE + 100)
    assert not runner.asked(Thumbnails) and not runner.asked(RunAnalysis)


def test_another_investigation_gives_up_traces_and_weights(measured, session, runner, qtbot):
    begin(measured, qtbot)
    del runner.answers[RunAnalysis]
    measured.weigh_edges()
    measured.tracing.start("Trace", {"target": f"{HIGH}:3"})
    jobs = [job for job, asked in runner.requests.items() if isinstance(asked, RunAnalysis) and job in runner.open]
    assert {runner.requests[job].analysis for job in jobs} >= {"Trace", "ExpandedWeights"}
    session.project = Project()
    assert not set(jobs) & set(runner.open) and not measured.work.running and not measured.tracing.running
    assert session.circuit is None


def test_weights_of_a_circuit_that_is_gone_say_so(panel, session, runner, qtbot):
    begin(panel, qtbot)
    del runner.answers[RunAnalysis]
    name = session.circuit.name
    panel.weigh_edges()
    job = max(runner.requests)
    circuit_edit.delete_circuit(session)
    runner.tell(job, "done", result=weights(runner.requests[job]))
    qtbot.waitUntil(lambda: f"the circuit {name} is not there any more" in panel.said.text())


def test_what_a_trace_chose_on_is_told_and_asked(measured, session, runner, qtbot):
    known = {"faithfulness": 0.9, "chosen_on": [1, 4], "images": 8, "ablation": "mean", "at": "centre", "weights": {}}
    found = Circuit("t", "test:small", "test:images").with_edges([Edge(f"{MIDDLE}:{s}", f"{HIGH}:3", 1.0) for s in (1, 2)])
    session.open_circuit(replace(found, figures=known))
    said = measured.view._captions[-1]
    assert "n = 8 images, of concepts it was not chosen on · mean ablation, the target's pre-activation at the centre" in said
    measured.view.select((f"{MIDDLE}:1",))
    measured.remove()
    qtbot.waitUntil(lambda: bool(asked_to_measure(runner)), timeout=PAUSE + 4000)
    (request,) = asked_to_measure(runner)
    assert Circuit.from_json(request.parameters["circuit"]).chosen_on == (1, 4)


# ---------------------------------------------------------------------------------------------------- kept, exported, offered


def test_circuits_are_saved_with_the_project_and_come_back(panel, session, qtbot, tmp_path):
    begin(panel, qtbot)
    command(panel, "circuit.duplicate")
    assert [circuit.name for circuit in session.project.circuits] == [f"Circuit of {HIGH}:3", f"Circuit of {HIGH}:3 2"]
    panel.view.select((f"{MIDDLE}:11", f"{MIDDLE}:9"))
    panel.collapse()
    panel.tools.least.setValue(35)
    state = json.loads(json.dumps(panel.save_state()))
    saved, open_now = session.project.save(tmp_path / "a.workbench"), session.circuit.to_json()
    session.project = Project()
    assert session.circuit is None and panel.tools.chooser.count() == 0
    session.project = Project.load(saved)
    assert session.circuit.name == f"Circuit of {HIGH}:3"
    panel.restore_state(state)
    assert session.circuit.to_json() == open_now and panel.tools.chooser.currentText() == session.circuit.name
    assert f"{MIDDLE}:11,9" in panel.view.circuit.units and panel.view.least == 0.35
    panel.restore_state({"collapsed": {"x": ["y", 3], "z": 5}, "least": "x"})
    assert panel.folds.save() == {} and panel.view.least == 0.35


def test_a_circuit_goes_through_a_file_as_it_is(panel, session, qtbot, tmp_path):
    begin(panel, qtbot)
    before = session.circuit
    circuit_edit.write_circuit(session, tmp_path / "a.json")
    assert (tmp_path / "a.json").read_text() == before.to_json()
    circuit_edit.delete_circuit(session)
    assert session.circuit is None
    circuit_edit.read_circuit(session, tmp_path / "a.json")
    assert session.circuit.to_json() == before.to_json()
    circuit_edit.read_circuit(session, tmp_path / "a.json")
    assert session.circuit.name == f"{before.name} 2" and len(session.project.circuits) == 2
    odd = {"weights": 3, "faithfulness": 0.5, "faithfulness_low": "x", "drops": [[1], 2, ["a", "b", None]], "images": "many"}
    (tmp_path / "odd.json").write_text(json.dumps(before.document() | {"name": "odd", "figures": odd}))
    circuit_edit.read_circuit(session, tmp_path / "odd.json")
    assert panel.view._captions[-1] == "Faithfulness 0.500 · no random circuits beside it.", "whatever a file says"
    assert panel.view.title.startswith("odd")
    circuit_edit.delete_circuit(session)
    (tmp_path / "b.json").write_text("{}")
    with qtbot.waitSignal(session.message) as told:
        circuit_edit.read_circuit(session, tmp_path / "b.json")
    assert "b.json could not be opened" in told.args[0].text and len(session.project.circuits) == 2


def test_a_circuit_that_another_panel_opens_is_taken_into_the_investigation(panel, session):
    found = Circuit("found", "test:small", "test:images").with_edges([Edge(f"{LOW}:1", f"{MIDDLE}:2", 1.0)])
    session.open_circuit(found)
    session.open_circuit(found)
    assert [circuit.name for circuit in session.project.circuits] == ["found"]
    session.open_circuit(found.with_units([f"{LOW}:3"]))
    assert [circuit.name for circuit in session.project.circuits] == ["found", "found 2"], "another one of that name takes nothing away"
    panel.tools.chooser.setCurrentIndex(0)
    panel.tools.chooser.activated.emit(0)
    assert session.circuit.name == "found" and len(panel.view.circuit.units) == 2


def test_a_panel_that_is_built_late_shows_what_was_made_for_it(panel, session, qtbot):
    begin(panel, qtbot)
    state = panel.save_state()
    circuit_edit.add_circuit(session, Circuit("made elsewhere", "test:small", "test:images").with_units([f"{LOW}:1"]))
    late = CircuitGraphPanel(session)
    qtbot.addWidget(late)
    late.restore_state(state)
    assert session.circuit.name == "made elsewhere" and late.view.circuit.units == (f"{LOW}:1",)
    session.circuit = None
    later = CircuitGraphPanel(session)
    qtbot.addWidget(later)
    later.restore_state(state)
    assert session.circuit.name == state["circuit"], "what was open when the window was closed"


def test_names_are_the_users_and_each_is_there_once(panel, session, qtbot):
    session.project.labels["test:small"] = {f"{HIGH}:3": [Label("curve, 45°")]}
    begin(panel, qtbot)
    assert panel.view._cards[f"{HIGH}:3"].name == "curve, 45°"
    command(panel, "circuit.new")
    with qtbot.waitSignal(session.message) as told:
        panel.rename(f"Circuit of  {HIGH}:3")
    assert "already" in told.args[0].text


def test_what_can_be_added_is_listed(panel, session, qtbot):
    panel.tools.units.aboutToShow.emit()
    assert [action.text() for action in panel.tools.units.actions()] == ["Select a unit first"]
    session.project.families["test:small"] = [Family("curves", MIDDLE, [1, 2])]
    session.select_unit(Unit(HIGH, 3))
    session.select_together((3, 4))
    session.pinned = (("test:small", Unit(LOW, 7)), ("test:other", Unit("x", 1)))
    panel.tools.units.aboutToShow.emit()
    actions = {action.text(): action for action in panel.tools.units.actions()}
    assert [text for text in actions if text] == [
        f"{HIGH}:3", "2 selected units, one by one", "2 selected units, as one node", f"{LOW}:7 (pinned)", f"{MIDDLE}: curves (2)",
    ]  # fmt: skip
    actions[f"{LOW}:7 (pinned)"].trigger()
    assert panel.view.selection == (f"{LOW}:7",) and panel.tools.inputs.isEnabled(), "its inputs can be added at once"
    actions[f"{MIDDLE}: curves (2)"].trigger()
    assert set(session.circuit.units) == {f"{LOW}:7", f"{MIDDLE}:1", f"{MIDDLE}:2"}
    actions["2 selected units, as one node"].trigger()
    assert set(panel.view.circuit.units) == {f"{LOW}:7", f"{MIDDLE}:1,2", f"{HIGH}:3,4"}


def test_the_menu_of_a_node_offers_what_can_be_done_with_it(panel, qtbot):
    begin(panel, qtbot)
    panel.view.select((f"{MIDDLE}:11",))
    menu = QMenu(panel)
    panel.view.fill_menu(menu)
    texts = [action.text() for action in menu.actions()]
    assert {"Add strongest inputs", "Remove from circuit", "Export…", "Copy as Python"} <= set(texts)
    next(action for action in menu.actions() if action.text() == "Remove from circuit").trigger()
    assert f"{MIDDLE}:11" not in panel.circuit.units


def test_every_command_says_what_it_does(panel):
    commands = panel.commands()
    assert len({command.id for command in commands}) == len(commands) >= 14
    assert all(command.menu == "Circuit" and command.help.endswith(".") for command in commands)
    assert all(isinstance(command.is_enabled(), bool) for command in commands)
