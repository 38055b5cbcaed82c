"""The panel Scrubbing: a tree that is edited and taken back, faults at their nodes, runs side by side, and images of examples."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import numpy as np
import pytest
from PySide6.QtCore import QCoreApplication, QEvent, QPoint, Qt
from PySide6.QtWidgets import QFileDialog

from tests.widgets.conftest import CARD, IMAGES, ScriptedRunner
from widgets.hypothesis_edit import export_hypothesis, import_hypothesis
from widgets.panels.scrubbing import GROWING, INVITATION, READY, ScrubbingPanel
from widgets.session import Session
from workbench.analyses.analysis import Result
from workbench.analyses.causal_scrubbing import CausalScrubbing
from workbench.circuit import Circuit, Edge
from workbench.hypothesis import LOSSES, NULLS, Hypothesis, Node, NodeCard
from workbench.jobs.job import JobEvent
from workbench.jobs.requests import FetchImages, OpenImages, ReadImage, RunAnalysis
from workbench.jobs.scrubbing_requests import FindCurveHypothesis, InspectHypothesis
from workbench.models.layer import Unit
from workbench.project import Project

ACT, ADD, CONV = "blocks.1.act", "blocks.0:add", "blocks.0.conv"
COLUMNS = {"orientation": 24, "radius": 3, "width": 1}
EXAMPLES = 40


def cards(request: InspectHypothesis):
    """What the worker would say: 24 labels of a column, a coarse one has few images, a layer is not there."""
    told = {"orientation": (24, 27, 0.04), "itself": (100, 1, 1.0), "radius": (3, 9, 0.01)}
    for node in request.root.every():
        if "nowhere" in node.units:
            yield NodeCard(node.name, "units", "no layer 'nowhere'")
        elif node.feature.startswith("orientation / 90"):
            yield NodeCard(node.name, "feature", "orientation / 90: bin 2 of 90 is empty")
        elif node is request.root or node.feature not in told:
            yield NodeCard(node.name)
        else:
            yield NodeCard(node.name, "", "", *told[node.feature])


def result(request: RunAnalysis) -> Result | Exception:
    """Half is kept; a node called bad cannot be tested."""
    document = json.loads(request.parameters["hypothesis"])
    nodes = [node for node in Hypothesis.from_document(document).root.every()][1:]
    if any(node.name == "bad" for node in nodes):
        return ValueError("bad, feature: activation / 5: bin 1 of 5 is empty, 9 of 40 images have the one value 0; take fewer bins")

    def row(kind: str, name: str, value: float | None) -> dict[str, object]:
        low, high = (None, None) if value is None else (value - 0.1, min(1.0, value + 0.1))
        scores = {"recovered": value, "recovered_low": low, "recovered_high": high, "median_distance": 0.2, "detectable": 0.03}
        return {"kind": kind, "name": name} | scores

    rows = [row("hypothesis", "the hypothesis", 0.5), *(row("ladder", node.name, 0.8) for node in nodes[:-1])]
    rows += [row("rival", text, None) | {"refused": "it cannot"} for text in request.parameters["rivals"]]
    rows += [row(kind, NULLS[kind], value) for kind, value in (("identity", 1.0), ("whole", 0.9), ("nothing", 0.0))]
    rows += [row("random", f"random units {draw + 1}", 0.1 * draw) for draw in range(3)]
    clean = np.linspace(0, 4, EXAMPLES, dtype=np.float32)
    arrays = {"image": np.arange(EXAMPLES), "clean": clean, "scrubbed": clean * 0.5, "random": clean[::-1].copy()}
    arrays |= {"distance": (clean * 0.5) ** 2, "distance_random": np.ones(EXAMPLES)}
    arrays |= {f"sampled/{node.name}": (np.arange(EXAMPLES) + 1 + place) % 100 for place, node in enumerate(nodes)}
    summary = rows[0] | {
        "root": document["units"], "loss": request.parameters["loss"], "images": 100, "examples": EXAMPLES, "groups": "image", "rows": rows,
        "nodes": [{"name": node.name, "units": node.units, "feature": node.feature} for node in nodes],
        "sparse": [node.name for node in nodes if node.feature == "itself"],
    }  # fmt: skip
    made = {"model": request.model, "weights": "w", "images": request.images}
    return Result(request.analysis, dict(request.parameters), arrays, summary, made)


def settle() -> None:
    """Let what the worker has sent arrive, and what is asked because of it."""
    for _ in range(6):
        QCoreApplication.processEvents()


@pytest.fixture
def panel(session: Session, runner: ScriptedRunner, qtbot) -> ScrubbingPanel:
    """Give the panel with a network and stimuli open, shown."""
    runner.answers |= {
        OpenImages: replace(IMAGES, columns=COLUMNS),
        InspectHypothesis: lambda request: tuple(cards(request)),
        RunAnalysis: result,
        FetchImages: lambda request: np.full((len(request.indices), 8, 8, 3), 90, np.uint8),
        ReadImage: np.zeros((8, 8, 3), np.uint8),
    }
    panel = ScrubbingPanel(session)
    qtbot.addWidget(panel)
    panel.resize(1000, 700)
    panel.show()
    session.open_model("test:small")
    session.open_images("test:images")
    settle()
    return panel


def begin(panel: ScrubbingPanel, feature: str = "orientation") -> None:
    """Make a hypothesis about a unit with two children."""
    session = panel.session
    session.select_unit(Unit("head", 1))
    panel.new.blank()
    assert panel.page.sentence.text() == GROWING and not panel.start.isEnabled()
    session.select_unit(Unit(ACT, 3))
    panel.editor.child.click()
    panel.editor.form.feature.setEditText(feature)
    panel.editor.form.feature.lineEdit().editingFinished.emit()
    panel.editor.tree.choose("head:1")
    session.select_layer(ADD)
    session.select_unit(Unit(ADD, 4))
    session.select_together((4, 9))
    panel.editor.child.click()
    settle()


def names(panel: ScrubbingPanel) -> list[str]:
    shown = panel.hypothesis
    return [] if shown is None else [node.name for node in shown.root.every()]


def test_with_nothing_open_it_says_how_to_begin(session: Session, qtbot) -> None:
    panel = ScrubbingPanel(session)
    qtbot.addWidget(panel)
    assert panel.page.sentence.text() == INVITATION and not panel.start.isEnabled()
    assert panel.editor.isHidden() and panel.views() == []
    panel.new.fill()
    assert not any(action.isEnabled() for action in panel.new.offers.actions())


def test_a_tree_is_built_of_what_is_selected(panel: ScrubbingPanel) -> None:
    begin(panel)
    assert "orientation (24), radius (3)" in panel.about.text() and "width" not in panel.about.text()
    root = panel.hypothesis.root
    assert (root.units, [(c.units, c.feature) for c in root.children]) == (
        "head:1", [(f"{ACT}:3", "orientation"), (f"{ADD}:4,9", "itself")],
    )  # fmt: skip
    assert panel.editor.tree.names() == ["head:1", f"{ACT}:3", f"{ADD}:4,9"] == names(panel)
    assert panel.editor.tree.reason_at(f"{ACT}:3") == "24 labels, 27+ each"
    assert panel.page.sentence.text() == READY
    offered = [panel.editor.form.feature.itemText(place) for place in range(panel.editor.form.feature.count())]
    assert offered[:3] == ["orientation", "orientation / 8", "radius"] and "width" not in offered and "activation / 5" in offered
    panel.editor.tree.choose(f"{ADD}:4,9")
    assert "100% of the draws give the image itself" in panel.editor.form.said.text(), "occupancy at the node"
    panel.editor.form.name.setText("lines")
    panel.editor.form.name.editingFinished.emit()
    settle()
    panel.editor.form.offsets.setText("0 -1; 0 1")
    panel.editor.form.offsets.editingFinished.emit()
    settle()
    node = panel.hypothesis.node("lines")
    assert node.offsets == ((0, -1), (0, 1)) and panel.editor.tree.current == "lines"
    panel.session.select_together((4, 5, 6))
    panel.editor.form.take.click()
    settle()
    assert panel.hypothesis.node("lines").units == f"{ADD}:4,5,6"
    panel.editor.tree.choose("head:1")
    panel.editor.each.click()
    settle()
    assert names(panel)[-3:] == [f"{ADD}:4", f"{ADD}:5", f"{ADD}:6"]


def test_every_edit_is_taken_back_and_saved(panel: ScrubbingPanel, tmp_path) -> None:
    begin(panel)
    stack, whole = panel.session.undo_stack, panel.hypothesis
    panel.editor.tree.choose(f"{ACT}:3")
    panel.editor.remove.click()
    settle()
    assert names(panel) == ["head:1", f"{ADD}:4,9"] and panel.editor.tree.current == "head:1"
    stack.undo()
    settle()
    assert panel.hypothesis == whole
    panel.editor.rivals.setText("*=all; ")
    panel.editor.rivals.editingFinished.emit()
    settle()
    assert panel.hypothesis.rivals == ("*=all",)
    panel.chooser.setEditText("Mine")
    panel.chooser.lineEdit().editingFinished.emit()
    settle()
    assert panel.hypothesis.name == panel.chooser.currentText() == "Mine"
    kept = panel.hypothesis
    assert Project.load(panel.session.project.save(tmp_path / "a.workbench")).hypotheses == [kept]
    panel.delete.click()
    settle()
    assert panel.hypothesis is None and panel.editor.isHidden()
    stack.undo()
    settle()
    assert panel.hypothesis == kept
    while stack.canUndo():
        stack.undo()
        settle()
    assert panel.session.project.hypotheses == [] and panel.editor.tree.names() == []
    while stack.canRedo():
        stack.redo()
        settle()
    assert panel.session.project.hypotheses == []


def test_what_cannot_be_written_leaves_the_hypothesis_as_it_was(panel: ScrubbingPanel) -> None:
    begin(panel)
    before = panel.hypothesis
    panel.editor.tree.choose(f"{ACT}:3")
    for field, text, why in (
        (panel.editor.form.name, "head:1", "two nodes have this name"),
        (panel.editor.form.units, "blocks", "is not the address of a unit"),
        (panel.editor.form.offsets, "1 2 3", "is no offset"),
    ):
        was = field.text()
        field.setText(text)
        field.editingFinished.emit()
        settle()
        assert why in panel.editor.form.said.text() and panel.hypothesis == before
        field.setText(was)
    panel.new.blank()
    settle()
    second = panel.hypothesis.name
    panel.chooser.setEditText("  ")
    panel.chooser.lineEdit().editingFinished.emit()
    settle()
    assert panel.hypothesis.name == second == panel.chooser.currentText() and "needs a name" in panel.said.text()


def test_a_fault_stands_at_its_node(panel: ScrubbingPanel) -> None:
    begin(panel)
    panel.editor.tree.choose(f"{ACT}:3")
    panel.editor.form.units.setText("nowhere:3")
    panel.editor.form.units.editingFinished.emit()
    settle()
    assert panel.editor.tree.reason_at(f"{ACT}:3") == "units: no layer 'nowhere'" == panel.editor.form.said.text()
    panel.session.undo_stack.undo()
    settle()
    assert panel.editor.tree.reason_at(f"{ACT}:3") == "24 labels, 27+ each"
    panel.editor.form.name.setText("bad")
    panel.editor.form.name.editingFinished.emit()
    settle()
    panel.editor.tree.choose("head:1")
    panel.start.click()
    settle()
    assert panel.said.text().startswith("bad, feature: activation / 5: bin 1 of 5 is empty")
    assert panel.editor.tree.current == "bad", "the run's reason leads to its node"
    assert panel.editor.tree.reason_at("bad").startswith("feature: activation / 5")
    assert panel.editor.form.said.text() == panel.editor.tree.reason_at("bad")
    panel.session.undo_stack.undo()
    settle()
    assert panel.editor.tree.reason_at(f"{ACT}:3") == "24 labels, 27+ each"


def test_a_feature_is_counted_while_it_is_typed(panel: ScrubbingPanel, qtbot) -> None:
    begin(panel)
    panel.editor.tree.choose(f"{ACT}:3")
    before = panel.hypothesis
    line = panel.editor.form.feature.lineEdit()
    for text, said in (("radius", "3 labels, at least 9 images each"), ("orientation / 90", "bin 2 of 90 is empty")):
        line.selectAll()
        qtbot.keyClicks(line, text)
        qtbot.waitUntil(lambda said=said: said in panel.editor.form.said.text())
    assert panel.hypothesis == before
    qtbot.keyClick(line, Qt.Key.Key_Return)
    assert panel.hypothesis.node(f"{ACT}:3").feature == "orientation / 90"


def test_a_result_says_what_it_stands_beside(panel: ScrubbingPanel, runner: ScriptedRunner) -> None:
    begin(panel)
    panel.editor.rivals.setText("*=all")
    panel.editor.rivals.editingFinished.emit()
    settle()
    panel.start.click()
    settle()
    asked = runner.asked(RunAnalysis)[-1]
    assert asked.parameters["rivals"] == ["*=all"] and asked.parameters["read"] == "centre"
    assert json.loads(asked.parameters["hypothesis"]) == panel.hypothesis.root.document()
    said = panel.page.sentence.text()
    assert said.startswith("head:1 keeps 50 % [40, 60] of what it loses")
    assert "its units with all they do 90 %" in said and "as many other units of the layers 0 to 20 %" in said
    assert "an effect from 3 % on" in said and "moves by 0.20" in said and f"Few images share a label of {ADD}:4,9" in said
    effects = {effect.name: effect for effect in panel.page.bars.effects}
    assert list(effects) == [
        "the hypothesis", f"claims up to {ACT}:3", "rival: all", "null: identity", "null: the units, whole", "null: no hypothesis",
    ]  # fmt: skip
    assert effects["null: identity"].value == 1 and effects["rival: all"].text == "cannot be tested"
    assert panel.page.bars.data()["null"].tolist() == pytest.approx([0, 0.2])
    panel.page.bars.picked.emit(1)
    assert panel.editor.tree.current == f"{ACT}:3"
    assert panel.views() == [panel.page.bars, panel.page.points, panel.page.strip]
    assert all(view.recomputation is not None and view.provenance()["n"] == 100 for view in panel.views())
    panel.editor.remove.click()
    settle()
    assert panel.page.sentence.text().startswith("The hypothesis was changed since")


def test_an_example_leads_to_the_images_it_was_computed_on(panel: ScrubbingPanel, runner: ScriptedRunner, qtbot) -> None:
    begin(panel)
    panel.start.click()
    settle()
    rows = panel.page.strip.rows
    assert [row.label for row in rows] == ["Example", f"{ACT}:3", f"{ADD}:4,9"]
    assert all(picture.pixels is not None for row in rows for picture in row.pictures) and len(rows[0].pictures) == 6
    at = panel.page.points._at(panel.page.points.rect().toRectF())[EXAMPLES + 30]  # behind those with everything resampled
    qtbot.mouseClick(panel.page.points, Qt.MouseButton.LeftButton, pos=QPoint(round(at[0]), round(at[1])))
    settle()
    assert panel.page.strip.rows[0].pictures[0].tip == "image 30 of the set"
    assert panel.page.strip.rows[1].pictures[0].tip == "image 31 of the set"
    panel.page.strip.picked.emit(1, 0)
    settle()
    assert runner.asked(ReadImage)[-1].name == "image 31 of Test images"
    assert panel.session.image is not None


def test_hypotheses_are_compared(panel: ScrubbingPanel, runner: ScriptedRunner) -> None:
    begin(panel)
    begin(panel, "radius")
    assert [one.name for one in panel.session.project.hypotheses] == ["head:1", "head:1 2"]
    panel.start_all.click()
    settle()
    assert len(runner.asked(RunAnalysis)) == 2
    assert panel.page.bars.effects[-1].name == "other hypothesis: head:1"
    panel.chooser.activated.emit(0)
    settle()
    assert panel.hypothesis.name == "head:1" and panel.page.bars.effects[-1].name == "other hypothesis: head:1 2"
    panel.session.open_images("test:images")
    settle()
    assert panel.page.result is None, "of other images"


def test_a_run_is_cancelled(panel: ScrubbingPanel, runner: ScriptedRunner) -> None:
    del runner.answers[RunAnalysis]
    begin(panel)
    begin(panel)
    panel.start_all.click()
    settle()
    assert not panel.run.cancel.isHidden() and panel.start.isHidden()
    panel.run.cancel.click()
    settle()
    assert "Cancelled" in panel.said.text() and panel.run.cancel.isHidden() and len(runner.asked(RunAnalysis)) == 1, "nor the next one"


def test_it_begins_from_a_circuit(panel: ScrubbingPanel) -> None:
    session = panel.session
    edges = [Edge(f"{ADD}:{unit}", f"{ACT}:1") for unit in range(8)]
    session.open_circuit(Circuit("mine", "test:small").with_edges([*edges, Edge(f"{CONV}:0", f"{ADD}:0"), Edge(f"{CONV}:0", f"{ADD}:1")]))
    panel.new.fill()
    actions = {action.text(): action for action in panel.new.offers.actions()}
    actions[f"{ACT}:1 of the circuit mine"].trigger()
    settle()
    assert len(names(panel)) == 11 and f"{CONV}:0 (2)" in names(panel)
    panel.editor.pool.click()
    settle()
    assert len(panel.hypothesis.root.children) == 6 and not panel.editor.pool.isEnabled(), "no more can be put together"
    actions[f"{ACT}:1 of the circuit mine, at most 6 children a node"].trigger()
    settle()
    assert [len(child.units.split(",")) for child in panel.hypothesis.root.children].count(1) == 4
    session.open_circuit(session.circuit.with_edges([Edge(f"{ACT}:1", f"{CONV}:0"), Edge(f"{ACT}:1", "head:1")]))
    panel.new.from_circuit("head:1")
    settle()
    assert "a cycle" in panel.said.text()


def test_the_curve_hypothesis_is_measured(panel: ScrubbingPanel, runner: ScriptedRunner) -> None:
    root = Node(f"{ACT}:3", f"{ACT}:3", children=(Node("tangents 1", f"{ADD}:1,2", "orientation", ((0, 1),)),))
    hypothesis = Hypothesis(root, f"Curve {ACT}:3", "test:small", "stimuli:curves?x=0", ("*=radius",))
    found = SimpleNamespace(hypothesis=hypothesis, stimuli="stimuli:curves?x=0", about="It bulges to 90°.")
    runner.answers[FindCurveHypothesis] = lambda _request: found
    panel.session.select_unit(Unit(ACT, 3))
    panel.new.fill()
    next(action for action in panel.new.offers.actions() if action.text().startswith("Curve hypothesis")).trigger()
    settle()
    assert panel.hypothesis == hypothesis and panel.said.text() == "It bulges to 90°."
    assert runner.asked(OpenImages)[-1].ref == "stimuli:curves?x=0"
    panel.editor.settings.read.setCurrentIndex(panel.editor.settings.read.findData("mean"))
    panel.start.click()
    settle()
    assert runner.asked(RunAnalysis)[-1].parameters["read"] == "centre", "cells are counted from the middle"
    runner.answers[FindCurveHypothesis] = ValueError("it is not tuned to curves")
    panel._ask_curve()
    settle()
    assert "not tuned to curves" in panel.said.text()
    panel.session.open_images("test:images")
    settle()
    assert panel.said.text() == "", "what failed is of before"


def test_it_stands_as_it_was(panel: ScrubbingPanel) -> None:
    begin(panel)
    begin(panel)
    panel.chooser.activated.emit(0)
    settle()
    panel.editor.settings.examples.setValue(99)
    state = json.loads(json.dumps(panel.save_state()))
    panel.chooser.activated.emit(1)
    settle()
    panel.editor.settings.examples.setValue(16)
    panel.restore_state(state)
    assert panel.hypothesis.name == "head:1" and panel.editor.settings.examples.value() == 99
    panel.restore_state({"images": "many", "hypothesis": 3})
    panel.chooser.activated.emit(1)
    settle()
    panel.session.set_model(None)
    panel.restore_state(state)  # as at the start, when the network is still on its way
    assert panel.save_state()["hypothesis"] == "head:1"
    panel.session.set_model(CARD)
    assert panel.hypothesis.name == "head:1"
    panel.resize(640, 900)
    assert panel.splitter.orientation() == Qt.Orientation.Vertical


def test_a_curve_hypothesis_that_comes_late_comes_into_no_other_investigation(panel: ScrubbingPanel, runner: ScriptedRunner) -> None:
    session = panel.session
    root = Node(f"{ACT}:3", f"{ACT}:3", children=(Node("tangents 1", f"{ADD}:1,2", "orientation", ((0, 1),)),))
    found = SimpleNamespace(hypothesis=Hypothesis(root, "Curve", "test:small"), stimuli="stimuli:curves?x=0", about="It bulges to 90°.")
    opened = len(runner.asked(OpenImages))

    def another_project() -> None:
        session.project = Project()

    for change in (another_project, lambda: session.open_model("test:small")):
        session.select_unit(Unit(ACT, 3))
        panel._ask_curve()
        settle()
        job = max(runner.requests)
        runner.cancel = lambda _job: None  # it is too late to stop it
        change()
        settle()
        runner.tell(job, "done", result=found)
        settle()
        del runner.cancel
        assert session.project.hypotheses == [] and "bulges" not in panel.said.text() and len(runner.asked(OpenImages)) == opened
    session.select_unit(Unit(ACT, 3))
    panel._ask_curve()
    settle()
    session.project = Project()
    settle()
    assert max(runner.requests) not in runner.open, "nobody waits for it"


def test_a_run_does_not_outlive_its_investigation(panel: ScrubbingPanel, runner: ScriptedRunner) -> None:
    del runner.answers[RunAnalysis]
    begin(panel)
    begin(panel, "radius")
    kept = list(panel.session.project.hypotheses)
    panel.start_all.click()
    settle()
    job, request = max(runner.requests), runner.asked(RunAnalysis)[-1]
    panel.session.project = Project(hypotheses=kept)
    settle()
    assert not panel.run.running and job not in runner.open
    runner.tell(job, "done", result=result(request))
    settle()
    assert panel.page.result is None and len(runner.asked(RunAnalysis)) == 1, "nor the one that waited"


def test_a_result_is_that_of_a_tree_and_not_of_a_name(panel: ScrubbingPanel, runner: ScriptedRunner) -> None:
    del runner.answers[RunAnalysis]
    stack = panel.session.undo_stack
    begin(panel)
    panel.start.click()
    settle()
    job, request = max(runner.requests), runner.asked(RunAnalysis)[-1]
    panel.chooser.setEditText("Mine")
    panel.chooser.lineEdit().editingFinished.emit()
    settle()
    runner.tell(job, "done", result=result(request))
    settle()
    assert panel.hypothesis.name == "Mine" and panel.page.result is not None, "renamed while it ran"
    stack.undo()
    settle()
    assert panel.hypothesis.name == "head:1" and panel.page.result is not None, "the name taken back"
    begin(panel, "radius")
    assert panel.page.result is None
    panel.start.click()
    settle()
    panel.delete.click()
    settle()
    assert not panel.run.running and max(runner.requests) not in runner.open, "deleted while it ran"
    begin(panel, "orientation / 8")
    assert panel.page.result is None, "another of that name"


def test_settings_that_a_run_would_now_have_are_compared(panel: ScrubbingPanel) -> None:
    begin(panel)
    panel.start.click()
    settle()
    asked = "As it was:"
    assert asked not in panel.page.sentence.text()
    before = panel.editor.settings.examples.value()
    panel.editor.settings.examples.setValue(before + 1)
    assert asked in panel.page.sentence.text()
    panel.editor.settings.examples.setValue(before)
    assert asked not in panel.page.sentence.text()
    panel.editor.settings.read.setCurrentIndex(panel.editor.settings.read.findData("mean"))
    assert asked in panel.page.sentence.text()
    panel.editor.settings.read.setCurrentIndex(panel.editor.settings.read.findData("centre"))
    panel.editor.rivals.setText("*=all")
    panel.editor.rivals.editingFinished.emit()
    settle()
    assert panel.page.sentence.text().startswith("The hypothesis was changed since")


def test_the_loss_is_chosen_as_the_analysis_has_it_and_named_beside_the_result(panel: ScrubbingPanel, runner: ScriptedRunner) -> None:
    settings = panel.editor.settings
    kinds = get_args(CausalScrubbing.model_fields["loss"].annotation)
    assert [settings.loss.itemData(place) for place in range(settings.loss.count())] == list(kinds) == list(LOSSES)
    begin(panel)
    panel.start.click()
    settle()
    assert runner.asked(RunAnalysis)[-1].parameters["loss"] == "distance" and "(by squared distance; " in panel.page.sentence.text()
    settings.loss.setCurrentIndex(settings.loss.findData("cross_entropy"))
    settle()
    assert "another loss" in panel.page.sentence.text() and "As it was:" in panel.page.sentence.text()
    begin(panel, "radius")
    panel.start.click()
    settle()
    assert runner.asked(RunAnalysis)[-1].parameters["loss"] == "cross_entropy" and "(by cross-entropy; " in panel.page.sentence.text()
    assert "by cross-entropy" in panel.page.bars.provenance()["x"]
    assert panel.page.bars.effects[-1].name == "other hypothesis: head:1, by squared distance"
    state = json.loads(json.dumps(panel.save_state()))
    settings.loss.setCurrentIndex(0)
    panel.restore_state(state)
    assert settings.loss.currentData() == "cross_entropy"
    panel.restore_state(state | {"loss": "hinge"})
    assert settings.loss.currentData() == "distance"


def test_a_loss_that_images_without_labels_do_not_have_is_refused_at_the_root(panel: ScrubbingPanel, runner: ScriptedRunner) -> None:
    why = "Test images has no labels that are classes of small; choose the squared distance"

    def asked(request: InspectHypothesis):
        told = tuple(cards(request))
        return (replace(told[0], field="loss", reason=why), *told[1:]) if request.loss == "cross_entropy" else told

    runner.answers |= {InspectHypothesis: asked, RunAnalysis: ValueError(f"head:1, loss: {why}")}
    begin(panel)
    assert panel.editor.tree.reason_at("head:1") == ""
    loss = panel.editor.settings.loss
    loss.setCurrentIndex(loss.findData("cross_entropy"))
    settle()
    assert panel.editor.tree.reason_at("head:1") == f"loss: {why}", "before anything is run"
    panel.editor.tree.choose("head:1")
    settle()
    said = panel.editor.form.said
    assert said.text() == f"loss: {why}" and said.height() >= said.heightForWidth(said.width()) > said.fontMetrics().height()
    panel.start.click()
    settle()
    assert panel.said.text() == f"head:1, loss: {why}" and panel.editor.tree.current == "head:1"
    loss.setCurrentIndex(0)
    settle()
    assert panel.editor.tree.reason_at("head:1") == ""


def test_a_hypothesis_goes_into_a_file_and_comes_back_and_the_analysis_takes_it(panel: ScrubbingPanel, tmp_path) -> None:
    panel.file.offers.actions()[1].trigger()
    assert panel.findChild(QFileDialog) is None and not panel.file.out.isEnabled(), "there is none"
    begin(panel)
    panel.editor.rivals.setText("*=all")
    panel.editor.rivals.editingFinished.emit()
    settle()
    whole, told = panel.hypothesis, []
    panel.session.message.connect(told.append)
    path = tmp_path / "mine.json"
    command = {one.id: one for one in panel.commands()}
    command["hypothesis.export"].run()
    dialog = panel.findChild(QFileDialog)
    assert Path(dialog.selectedFiles()[0]).name == "head-1.json" and dialog.acceptMode() == QFileDialog.AcceptMode.AcceptSave
    dialog.fileSelected.emit(str(path))
    dialog.close()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    assert Hypothesis.from_json(path.read_text(encoding="utf-8")) == whole and str(path) in told[-1].text
    assert CausalScrubbing(hypothesis=path.read_text(encoding="utf-8")).hypothesis == whole.to_json()
    command["hypothesis.import"].run()
    dialog = panel.findChild(QFileDialog)
    dialog.fileSelected.emit(str(path))
    dialog.close()
    settle()
    assert panel.hypothesis == replace(whole, name="head:1 2"), "beside the one that is there"
    stack = panel.session.undo_stack
    assert stack.undoText() == "import mine.json"
    stack.undo()
    settle()
    assert panel.hypothesis == whole and panel.session.project.hypotheses == [whole]
    stack.redo()
    settle()
    assert len(panel.session.project.hypotheses) == 2
    path.write_text(replace(whole, name="", model="test:other").to_json(), encoding="utf-8")
    assert import_hypothesis(panel.session, path).name == "mine" and "which is not open" in told[-1].text
    export_hypothesis(panel.session, tmp_path, whole)
    assert "could not be written" in told[-1].text and told[-1].level == "error"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"{", "the hypothesis is no JSON"),
        (b"\xff\xfe\x00", "no text in UTF-8"),
        (b"[" * 100_000, "the hypothesis is no JSON"),
        (b'{"nodes": []}', "the hypothesis has no root"),
        (b'{"hypothesis": 9, "root": {}}', "this hypothesis is of version 9, this program reads version 1"),
        (b'{"units": "head:0", "children": [{"units": "a:0"}, {"name": "lines", "units": "blocks"}]}', "lines, units: "),
        (b'{"units": "head:0", "children": [{"units": "a:0", "offsets": [[1]]}]}', "node 1, offsets: write pairs of whole numbers"),
        (b'{"units": "head:0", "children": [{"units": "a:0", "children": [{"unit": "b:1"}]}]}', "node 1.1, unit: a node has name, units"),
        (b'{"units": "head:0", "children": [{"name": "a", "units": "a:0"}, {"name": "a", "units": "a:1"}]}', "a, name: two nodes have"),
        (b'{"units": "a:0", "children": [' * 400 + b'{"units": "a:0"}' + b"]}" * 400, "children: the tree is deeper than 200 nodes"),
    ],
)
def test_a_broken_file_is_refused_with_its_node_and_the_reason(panel: ScrubbingPanel, tmp_path, content: bytes, why: str) -> None:
    told = []
    panel.session.message.connect(told.append)
    path = tmp_path / "broken.json"
    path.write_bytes(content)
    assert import_hypothesis(panel.session, path) is None
    assert told[-1].text.startswith("broken.json could not be imported: ") and why in told[-1].text and told[-1].level == "error"
    assert panel.session.project.hypotheses == [] and not panel.session.undo_stack.canUndo()


def test_columns_keep_the_width_that_the_user_gave_them(panel: ScrubbingPanel) -> None:
    begin(panel)
    tree = panel.editor.tree
    fitting = [tree.columnWidth(column) for column in range(4)]
    tree.choose(f"{ACT}:3")
    panel.editor.form.name.setText("a name that is so long that it needs all the room")
    panel.editor.form.name.editingFinished.emit()
    settle()
    assert tree.columnWidth(0) > fitting[0], "nobody has chosen one yet"
    for column, width in ((0, 123), (1, 77)):
        tree.setColumnWidth(column, width)
    panel.editor.form.name.setText("short")
    panel.editor.form.name.editingFinished.emit()
    settle()
    panel.editor.remove.click()
    settle()
    panel.editor.inspect()
    begin(panel, "radius")
    assert names(panel)[0] == "head:1" and [tree.columnWidth(column) for column in range(2)] == [123, 77]
    assert [tree.columnWidth(column) for column in (2, 3)] == fitting[2:]


def test_a_node_may_be_called_like_a_null(panel: ScrubbingPanel) -> None:
    begin(panel)
    for old, new in ((f"{ACT}:3", "random units of mine"), (f"{ADD}:4,9", "no hypothesis")):
        panel.editor.tree.choose(old)
        panel.editor.form.name.setText(new)
        panel.editor.form.name.editingFinished.emit()
        settle()
    panel.start.click()
    settle()
    assert "claims up to random units of mine" in [effect.name for effect in panel.page.bars.effects]
    assert "no hypothesis 0 %" in panel.page.sentence.text()


def test_an_edit_elsewhere_leaves_what_is_typed(panel: ScrubbingPanel) -> None:
    begin(panel)
    panel.editor.tree.choose(f"{ACT}:3")
    panel.editor.form.units.setText("half typed")
    panel.editor.tree.setColumnWidth(0, 155)
    panel.session.touch()
    settle()
    assert panel.editor.form.units.text() == "half typed" and panel.editor.tree.columnWidth(0) == 155
    panel.editor.form.units.setText(f"{ACT}:3")


def test_an_answer_of_before_is_not_taken(panel: ScrubbingPanel, runner: ScriptedRunner) -> None:
    """The worker answers late: nodes are marked, and images shown, by what was asked last."""
    begin(panel)
    panel.start.click()
    settle()
    said = panel.editor.tree.reason_at(f"{ACT}:3")
    old = next(job for job, request in runner.requests.items() if isinstance(request, InspectHypothesis))
    node = NodeCard(f"{ACT}:3", "feature", "an old answer")
    runner.requests[old] = replace(runner.requests[old], number=9)
    panel.editor._take_cards(JobEvent(old, runner.requests[old], "done", result=(node,)))
    assert panel.editor.tree.reason_at(f"{ACT}:3") == said
    fetched = runner.asked(FetchImages)[-1]
    panel._take_pictures(JobEvent(1, replace(fetched), "done", result=np.full((len(fetched.indices), 8, 8, 3), 7, np.uint8)))
    assert (panel.page.picture(fetched.indices[0]) == 90).all(), "of other images"
