"""The panel Motifs: searching on demand, the list by kind beside its null, filters, following a unit, opening a circuit, the table."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt

from widgets.panels.motifs import EVERYWHERE, MotifsPanel, nothing
from widgets.views.finding_list import PICTURE
from workbench.analyses.analysis import Result
from workbench.jobs.requests import RunAnalysis
from workbench.jobs.thumbnail_requests import Thumbnails
from workbench.models.layer import Unit

ACT, ADD = "blocks.1.act", "blocks.0:add"


def finding(kind: str, units: list[str], inputs: list[str], score: float, **more: object) -> dict[str, object]:
    edges = [[source, target, 0.5] for target in units for source in inputs]
    plain = {"kind": kind, "source": ADD, "target": ACT, "units": units, "inputs": inputs, "edges": edges, "score": score}
    return plain | {"p": 1e-6, "q": 1e-5, "note": f"{kind} of a test", "artefact": False} | more


def result(request: RunAnalysis) -> Result:
    """A union, an opposite pair, and bands; no family to add up."""

    def counted(tests: int, found: int) -> dict[str, object]:
        told = {"tests": tests, "found": found, "least": 0.4, "detectable": 0.8, "listed": found}
        return told | {"null_mean": 0.1 if tests else None, "null_most": 1 if tests else None}

    templates = np.full((1, 5, 5), np.nan, np.float32)
    templates[0, 1:4, 1:4] = np.eye(3)
    findings = [
        finding("union", [f"{ACT}:3"], [f"{ADD}:1", f"{ADD}:7"], 0.91),
        finding("opposite", [f"{ACT}:5", f"{ACT}:6"], [f"{ADD}:2"], 0.97),
        finding("bands", ["head:1"], [f"{ACT}:5"], 0.3, artefact=True),
        finding("template", ["head:2"], [f"{ACT}:9"], 0.2, template=0),
    ]
    summary = {
        "kinds": {
            "pooling": counted(0, 0),
            "union": counted(64, 1),
            "opposite": counted(64, 1),
            "bands": counted(4, 1),
            "template": counted(3, 1),
        },
        "findings": findings,
        "layers": ["a > b"] * 5,
        "units": 123,
        "images": 64,
        "draws": 10,
        "alpha": 0.05,
        "dead": {"units": 4, "first": [f"{ADD}:{unit}" for unit in range(4)]},
        "not_numbers": {"units": 0, "first": []},
        "without_weights": {"units": 0, "first": []},
        "grouped": [],
    }
    provenance = {"model": request.model, "weights": "abc", "images": request.images}
    return Result("Motifs", dict(request.parameters), {"templates": templates}, summary, provenance)


@pytest.fixture
def panel(session, runner, qtbot):
    runner.answers[Thumbnails] = lambda request: {unit: np.full((1, 8, 8, 3), 10 * unit, np.uint8) for unit in request.units}
    made = MotifsPanel(session)
    qtbot.addWidget(made)
    made.resize(700, 600)
    made.show()
    session.open_model("test:small", layer=ACT)
    session.open_images("test:images")
    qtbot.waitUntil(lambda: session.model is not None and session.images is not None)
    return made


@pytest.fixture
def searched(panel, runner, qtbot):
    runner.answers[RunAnalysis] = result
    qtbot.mouseClick(panel.search, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: bool(panel.views()))
    return panel


def click(panel, qtbot, place, x=12, double=False):
    top, _ = panel.list.place_of(place)
    (qtbot.mouseDClick if double else qtbot.mouseClick)(panel.list, Qt.MouseButton.LeftButton, pos=QPoint(x, round(top + PICTURE / 2)))


def test_nothing_open_says_what_to_do(session, qtbot):
    made = MotifsPanel(session)
    qtbot.addWidget(made)
    made.show()
    assert "Open a network and images" in made.list.message and not made.search.isEnabled() and made.views() == []


def test_it_searches_when_told_to_says_how_far_it_is_and_stops(panel, runner, qtbot):
    assert not runner.asked(RunAnalysis) and "Search goes through" in panel.list.message
    qtbot.mouseClick(panel.search, Qt.MouseButton.LeftButton)
    (request,) = runner.asked(RunAnalysis)
    assert (request.analysis, request.model, request.images) == ("Motifs", "test:small", "test:images")
    job = next(job for job, asked in runner.requests.items() if asked is request)
    runner.tell(job, "progress", done=1, total=4, note="weights from a to b")
    qtbot.waitUntil(lambda: panel.said.text() == "weights from a to b: 25%")
    assert panel.run.cancel.isVisible() and not panel.search.isVisible()
    qtbot.mouseClick(panel.run.cancel, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.said.text() == "Cancelled.")
    assert panel.search.isVisible() and not panel.run.cancel.isVisible()


def test_a_failure_is_said(panel, runner, qtbot):
    runner.answers[RunAnalysis] = ValueError("no convolution")
    qtbot.mouseClick(panel.search, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.said.text() == "no convolution")


def test_kinds_stand_beside_their_null_and_say_why_there_is_none(searched):
    heads = {group.title: group for group in searched.list.groups}
    assert "1 found in 64 tests" in heads["Opposite pair"].counts
    assert "0.1 in shuffled entries, or units mixed at random (at most 1" in heads["Opposite pair"].counts
    assert "nothing to add up" in heads["Equivariant to invariant"].nothing
    assert heads["Weight banding"].found[0].marked == "artefact"
    for said in ("123 units of 5 layers", "n = 64 images", f"4 dead on these images: {ADD}:0"):
        assert said in searched.said.text()
    assert "Motifs(" in searched.list.recomputation.python() and searched.list.made_from["n"] == 64


@pytest.mark.parametrize(("kind", "said"), [("union", "enough units"), ("opposite", "enough units"), ("bands", "3 x 3")])
def test_a_kind_that_was_not_asked_says_what_is_too_small(kind, said):
    made = result(RunAnalysis("Motifs", {}, "test:small", "test:images"))
    made.summary["kinds"][kind] |= {"tests": 0, "found": 0}
    assert said in nothing(made, kind, EVERYWHERE)


def test_kind_and_layer_filter_the_list(searched):
    searched.kind.setCurrentIndex(searched.kind.findData("union"))
    assert [one.units for one in searched.list.found] == [(f"{ACT}:3",)] and "nothing in common" in searched.meaning.text()
    assert "Null: shuffled entries, or whole" in searched.meaning.text()
    searched.kind.setCurrentIndex(0)
    searched.layer.setCurrentIndex(searched.layer.findText("head"))
    assert [one.units for one in searched.list.found] == [("head:1",), ("head:2",)]
    assert searched.list.found[1].pattern.shape == (24, 24, 3), "a template without what pads it"
    assert next(group for group in searched.list.groups if group.title == "Opposite pair").nothing == "None in head."


def test_pictures_come_and_a_click_on_one_looks_at_the_unit(searched, session, runner, qtbot):
    qtbot.waitUntil(lambda: searched._levels.get(f"{ACT}:6") == "fine")
    assert {request.layer for request in runner.asked(Thumbnails)} >= {ACT, ADD}
    click(searched, qtbot, 0)
    assert session.unit == Unit(ACT, 3) and searched.open.isEnabled()


def test_the_chosen_motif_opens_as_a_circuit(searched, session, qtbot):
    assert not searched.open.isEnabled()
    searched.list.choose(1)
    with qtbot.waitSignal(session.circuit_changed) as opened:
        qtbot.mouseClick(searched.open, Qt.MouseButton.LeftButton)
    (circuit,) = opened.args
    assert session.circuit is circuit and circuit.units == (f"{ADD}:2", f"{ACT}:5", f"{ACT}:6")
    assert (circuit.model, circuit.images, len(circuit.edges)) == ("test:small", "test:images", 2)
    with qtbot.waitSignal(session.circuit_changed) as opened:
        click(searched, qtbot, 0, x=600, double=True)
    assert opened.args[0].units[-1] == f"{ACT}:3"
    qtbot.keyClick(searched.list, Qt.Key.Key_Down)
    assert searched.list.current == 1


def test_the_table_and_the_figure_hold_what_is_shown(searched, qtbot, tmp_path):
    searched.write_table(str(tmp_path / "motifs.csv"))
    lines = list(csv.DictReader((tmp_path / "motifs.csv").open()))
    assert [line["kind"] for line in lines] == ["union", "opposite", "bands", "template"] and lines[1]["units"] == f"{ACT}:5 {ACT}:6"
    data = searched.list.data()
    assert data["score"].tolist() == [0.91, 0.97, 0.3, 0.2] and data["inputs"][0] == f"{ADD}:1 {ADD}:7"
    from widgets.export import figure_image

    assert not figure_image(searched.list, 1).isNull()


def test_another_network_forgets_what_was_found(searched, session):
    session.set_model(session.model)
    assert searched.views() == [] and not searched.open.isEnabled() and searched.layer.count() == 1


def test_the_kind_is_kept(panel):
    panel.kind.setCurrentIndex(2)
    state = panel.save_state()
    panel.restore_state({})
    assert panel.kind.currentIndex() == 0
    panel.restore_state(state)
    assert panel.kind.currentIndex() == 2
