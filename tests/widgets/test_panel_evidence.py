"""The panel Evidence: the checklist with what is missing, labelling by keys that goes on after a kill, plots, and the page."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication

from widgets.panels.evidence import EvidencePanel
from widgets.panels.inspector import InspectorPanel
from workbench.analyses.analysis import Result
from workbench.blind_labels import Bins, Labelling, Shown, place_of
from workbench.evidence_card import HAND_CODING, PURITY, QUESTIONS, Piece, purity_piece
from workbench.jobs.evidence_requests import PrepareLabelling, WriteEvidencePage
from workbench.jobs.requests import RunAnalysis
from workbench.models.layer import Unit
from workbench.unit_families import Family

UNIT = Unit("blocks.1.act", 7)
PICTURES = 20


def result(request: RunAnalysis) -> Result:
    """All that a computer can find, except the family."""
    pieces = {name: Piece(name, "8.0 SD", 8.0, 7.5, 8.5, "SD", "twins 5.1", 512, 0.4, "It stands out.") for name in QUESTIONS}
    pieces["purity"] = purity_piece(None)
    pieces["family"] = Piece("family", missing="missing: family", todo="Name the units of its family.")
    pieces["hand-coding"] = Piece("hand-coding", missing=HAND_CODING, todo="Write one.")
    summary = {
        "unit": f"{request.parameters['layer']}:{request.parameters['unit']}",
        "measured": "blocks.1.conv:7",
        "images": 512,
        "positions": 100_352,
        "mean": 0.0,
        "std": 0.5,
        "max": 4.0,
        "checklist": [asdict(piece) for piece in pieces.values()],
        "figures": {},
    }
    arrays = {"edges": np.array([-1.0, 0, 2, 4]), "density": np.array([0.9, 0.09, 0.01]), "expected": np.array([-0.4, 0.1, 0.03])}
    origin = {"model": request.model, "images": request.images, "weights": "ab"}
    return Result("Evidence", dict(request.parameters), arrays, summary, origin)


def pictures(request: PrepareLabelling) -> tuple[Labelling, np.ndarray]:
    bins = Bins(edges=[-1, 0, 2, 4], mean=0.0, std=0.5, counts=[900, 90, 10], sums=[-400, 90, 30], images=50)
    shown = [
        Shown(image=i, name=f"noto/{i}", concept=str(i), position=[1, 2], activation=-0.5 + i % 3, bin=i % 3) for i in range(PICTURES)
    ]
    about = {"model": request.model, "images": request.images, "unit": request.unit, "measured": "blocks.1.conv:7"}
    card = {"weights": "0123456789abcdef" * 4, "images_hash": "fedcba9876543210"}
    found = Labelling(**about, **card, wanted=request.count, seed=0, bins=bins, pictures=shown)
    kept = place_of(found.key)
    numbers = np.arange(PICTURES, dtype=np.uint8)[:, None, None, None]  # every pixel is the picture's number
    return Labelling.load(kept) if kept.exists() else found, np.broadcast_to(numbers, (PICTURES, 12, 12, 3)).copy()


@pytest.fixture
def make_panel(session, runner, qtbot, tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path))
    runner.answers[RunAnalysis] = result
    runner.answers[PrepareLabelling] = pictures

    def make() -> EvidencePanel:
        made = EvidencePanel(session)
        qtbot.addWidget(made)
        made.resize(900, 760)
        made.show()
        return made

    session.open_model("test:small", layer=UNIT.layer)
    session.open_images("test:images")
    qtbot.waitUntil(lambda: session.model is not None and session.images is not None)
    session.select_unit(UNIT)
    return make


@pytest.fixture
def panel(make_panel):
    return make_panel()


def begin(panel: EvidencePanel, qtbot) -> None:
    qtbot.mouseClick(panel.label, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.pages.currentIndex() == 1)


def test_nothing_open_says_what_is_missing(session, qtbot):
    made = EvidencePanel(session)
    qtbot.addWidget(made)
    made.show()
    assert "select a unit" in made.said.text() and not made.compute.isEnabled() and not made.label.isEnabled() and made.views() == []
    assert QUESTIONS["use"] in made.checklist.text("use")


def test_the_checklist_has_every_figure_with_its_null_or_what_is_missing(panel, runner, qtbot):
    qtbot.mouseClick(panel.compute, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "5 of 7" not in panel.said.text() and "of 7 pieces" in panel.said.text())
    (request,) = runner.asked(RunAnalysis)
    assert request.analysis == "Evidence" and request.parameters == {"layer": UNIT.layer, "unit": 7}
    assert "4 of 7 pieces" in panel.said.text() and "no score" in panel.said.text()
    assert panel.checklist.text("causality") == (
        "8.0 SD\nNull: twins 5.1 · n = 512 images · smallest difference it would find: 0.4 SD\nIt stands out."
    )
    assert panel.checklist.text("purity").startswith(PURITY) and panel.checklist.text("hand-coding").startswith(HAND_CODING)
    assert [view.title for view in panel.views()] == ["Density", "Expected value"]
    assert panel.density.data()["edges"].tolist() == [-2, 0, 4, 8], "in standard deviations"
    assert panel.density.recomputation is not None and panel.density.made_from["unit"] == str(UNIT)


def test_what_is_missing_has_a_way_there(panel, session, qtbot):
    qtbot.mouseClick(panel.compute, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.checklist.buttons["family"].isVisible())
    for name, target in (("family", "inspector"), ("hand-coding", "problems")):
        with qtbot.waitSignal(session.panels_wanted) as wanted:
            qtbot.mouseClick(panel.checklist.buttons[name], Qt.MouseButton.LeftButton)
        assert wanted.args[0] == (target,)
    qtbot.mouseClick(panel.checklist.buttons["purity"], Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.pages.currentIndex() == 1)


def test_a_family_of_the_unit_is_asked_about(panel, session):
    session.project.families["test:small"] = [Family("curves", UNIT.layer, [3, 7], [0, 45])]
    assert panel.parameters() == {"layer": UNIT.layer, "unit": 7, "family": [3, 7], "angles": [0.0, 45.0]}


def test_labelling_by_keys_keeps_every_label_and_hides_the_activation(panel, session, qtbot):
    begin(panel, qtbot)
    view = panel.labelling
    assert "Picture 1 of 20" in view.said.text() and panel.views() == []
    for key in (Qt.Key.Key_1, Qt.Key.Key_4, Qt.Key.Key_2, Qt.Key.Key_9):
        qtbot.keyClick(view, key)
    assert [said.label for said in view.labelling.judgements] == [0, 3, 1], "there is no ninth class"
    assert view.picture.pixels[0, 0, 0] == 3 and Labelling.load(view.path) == view.labelling
    qtbot.keyClick(view, Qt.Key.Key_Backspace)
    assert view.labelling.done == 2 and view.picture.pixels[0, 0, 0] == 2 and Labelling.load(view.path).done == 2
    qtbot.mouseClick(view.keys[2], Qt.MouseButton.LeftButton)
    assert view.labelling.judgements[-1].label == 2
    qtbot.keyClick(view, Qt.Key.Key_Escape)
    assert panel.pages.currentIndex() == 0 and "Go on labelling (3 of 20)" in panel.label.text()
    assert panel.stack.isHidden() and PURITY not in panel.checklist.text("causality")


def test_it_goes_on_where_it_stopped_also_in_another_window(panel, make_panel, qtbot):
    begin(panel, qtbot)
    for _ in range(5):
        qtbot.keyClick(panel.labelling, Qt.Key.Key_1)
    other = make_panel()  # as after a kill: it knows nothing but the file
    assert "Go on labelling (5 of 20)" in other.label.text()
    begin(other, qtbot)
    assert "Picture 6 of 20" in other.labelling.said.text() and other.labelling.picture.pixels[0, 0, 0] == 5


def test_finished_labels_fill_the_purity_and_the_stack_plot(panel, qtbot):
    qtbot.mouseClick(panel.compute, Qt.MouseButton.LeftButton)
    begin(panel, qtbot)
    for place in range(PICTURES):
        qtbot.keyClick(panel.labelling, Qt.Key.Key_1 if place % 3 else Qt.Key.Key_4)
    qtbot.waitUntil(lambda: panel.pages.currentIndex() == 0)
    assert "100%" in panel.checklist.text("purity") and "0% of the positions at which it does not fire" in panel.checklist.text("purity")
    assert [view.title for view in panel.views()] == ["Blind labels", "Density", "Expected value"]
    assert panel.stack.data()["values"][:, 0].tolist() == [0, 1, 1] and not panel.label.isEnabled()
    qtbot.mouseClick(panel.copy, Qt.MouseButton.LeftButton)
    assert "labels=" in QGuiApplication.clipboard().text() and "workbench.analyses.Evidence" in QGuiApplication.clipboard().text()


def test_classes_are_renamed_and_the_keys_come_back(panel, session, qtbot):
    begin(panel, qtbot)
    field = panel.labelling.names[0]
    field.setFocus()
    field.selectAll()
    qtbot.keyClicks(field, "curve 1")
    qtbot.keyClick(field, Qt.Key.Key_Return)
    assert panel.labelling.labelling.classes[0] == "curve 1" and panel.labelling.labelling.done == 0, "digits of a name are no labels"
    field.setText(panel.labelling.labelling.classes[1])
    with qtbot.waitSignal(session.message) as told:
        field.editingFinished.emit()
    assert "a name of its own" in told.args[0].text and field.text() == "curve 1"


def test_the_page_is_written_by_the_worker(panel, session, runner, qtbot, tmp_path):
    runner.answers[WriteEvidencePage] = lambda request: request.path
    qtbot.mouseClick(panel.compute, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(panel.export.isEnabled)
    with qtbot.waitSignal(session.message) as told:
        panel.write(str(tmp_path / "e.html"))
    assert "e.html" in told.args[0].text and runner.asked(WriteEvidencePage)[0].result.summary["unit"] == str(UNIT)


def test_computing_can_be_cancelled_and_asked_again(panel, runner, qtbot):
    del runner.answers[RunAnalysis]
    qtbot.mouseClick(panel.compute, Qt.MouseButton.LeftButton)
    assert panel.compute.text() == "Cancel"
    qtbot.mouseClick(panel.compute, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.said.text() == "Cancelled." and panel.compute.text() == "Compute")
    qtbot.mouseClick(panel.compute, Qt.MouseButton.LeftButton)
    job = max(runner.requests)
    runner.tell(job, "failed", error="no image can be read")
    qtbot.waitUntil(lambda: panel.said.text() == "no image can be read")


def test_another_unit_leaves_the_labelling(panel, session, qtbot):
    begin(panel, qtbot)
    qtbot.keyClick(panel.labelling, Qt.Key.Key_1)
    session.select_unit(Unit(UNIT.layer, 3))
    assert panel.pages.currentIndex() == 0 and panel.name.full_text == "blocks.1.act:3" and panel.label.text() == "Label blind…"
    session.select_unit(UNIT)
    assert "Go on labelling (1 of 20)" in panel.label.text()


def test_what_is_known_of_the_unit_is_hidden_while_it_is_labelled_blind(make_panel, session, qtbot, monkeypatch):
    inspector = InspectorPanel(session)
    qtbot.addWidget(inspector)
    inspector.show()
    panel = make_panel()  # in this order, as in the window
    label = next(command for command in inspector.commands() if command.id == "edit.label")
    monkeypatch.setattr(inspector.examples, "views", lambda: [panel.stack])
    assert inspector.views() == [panel.stack]
    assert inspector.scroll.isVisible() and not inspector.empty.isVisible() and label.enabled()
    begin(panel, qtbot)
    assert inspector.views() == [] and not label.enabled(), "neither exported nor labelled"
    assert not inspector.scroll.isVisible() and not inspector.header.isVisible()
    assert str(UNIT) in inspector.empty.text() and "pause: Esc there" in inspector.empty.text()
    qtbot.keyClick(panel.labelling, Qt.Key.Key_Escape)
    assert inspector.scroll.isVisible() and inspector.header.isVisible() and not inspector.empty.isVisible()
    begin(panel, qtbot)
    session.select_unit(Unit(UNIT.layer, 3))
    assert inspector.scroll.isVisible(), "of another unit everything may be seen"
    session.select_unit(UNIT)
    begin(panel, qtbot)
    session.project_changed.emit()
    assert inspector.scroll.isVisible() and not session.blind, "another investigation begins with the card"


def test_what_is_chosen_is_kept(panel):
    panel.count.setValue(150)
    state = panel.save_state()
    panel.restore_state({})
    assert panel.count.value() == 400
    panel.restore_state(state)
    assert panel.count.value() == 150


def test_labels_belong_to_the_pictures_that_were_drawn_and_not_to_the_number_chosen_since(panel, runner, qtbot):
    del runner.answers[PrepareLabelling]
    qtbot.mouseClick(panel.label, Qt.MouseButton.LeftButton)
    assert not panel.count.isEnabled()
    panel.count.setValue(50)  # as a restored state may
    drawn, shown = pictures(runner.asked(PrepareLabelling)[0])
    runner.tell(max(runner.requests), "done", result=(drawn, shown))
    qtbot.waitUntil(lambda: panel.pages.currentIndex() == 1)
    qtbot.keyClick(panel.labelling, Qt.Key.Key_1)
    assert panel.labelling.path == place_of(drawn.key) and Labelling.load(place_of(drawn.key)).wanted == 400


def test_pictures_that_could_not_be_drawn_come_once_it_is_tried_again(panel, session, runner, qtbot):
    runner.answers[PrepareLabelling] = ValueError("out of memory")
    qtbot.mouseClick(panel.label, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.said.text() == "out of memory")
    assert panel.label.isEnabled() and panel.count.isEnabled()
    runner.answers[PrepareLabelling] = pictures
    session.relay.retry(max(runner.requests))
    qtbot.waitUntil(lambda: panel.pages.currentIndex() == 1)


def test_complete_labels_stand_on_the_card_whatever_number_is_chosen(panel, make_panel, qtbot):
    qtbot.mouseClick(panel.compute, Qt.MouseButton.LeftButton)
    begin(panel, qtbot)
    for _ in range(PICTURES):
        qtbot.keyClick(panel.labelling, Qt.Key.Key_1)
    panel.count.setValue(800)
    assert "is one" in panel.checklist.text("purity") and panel.result().parameters["labels"] == str(panel.labelling.path)
    assert panel.label.isEnabled() and panel.label.text() == "Label blind…", "more can be labelled"
    other = make_panel()  # knows nothing but the file
    other.count.setValue(150)
    assert "is one" in other.checklist.text("purity")


def test_another_units_card_is_not_waited_for(panel, session, runner, qtbot):
    del runner.answers[RunAnalysis]
    qtbot.mouseClick(panel.compute, Qt.MouseButton.LeftButton)
    first, (request,) = max(runner.requests), runner.asked(RunAnalysis)
    session.select_unit(Unit(UNIT.layer, 3))
    assert panel.compute.text() == "Compute" and "Waiting" not in panel.said.text()
    runner.tell(first, "done", result=result(request))
    session.select_unit(UNIT)
    qtbot.waitUntil(lambda: panel.compute.text() == "Compute again")
