"""The panel Mixtures: searching a layer, the list beside its null, facets of a unit, directions, and training an autoencoder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.widgets.conftest import CARD
from widgets.panels.polysemanticity import INVITATION, PolysemanticityPanel, about
from widgets.polysemanticity.direction_box import quality
from widgets.polysemanticity.names import free_name
from workbench.analyses.analysis import Result
from workbench.direction_set import DirectionCard
from workbench.jobs.direction_requests import (
    FacetCrops,
    KeepAutoencoder,
    ListDirections,
    MakeDirections,
    Mixture,
    UnitMixture,
)
from workbench.jobs.job import JobEvent
from workbench.jobs.requests import LoadModel, RunAnalysis
from workbench.jobs.runs import RunCard
from workbench.jobs.training_requests import ListRuns, Train, Trained
from workbench.models.layer import Layer, Unit
from workbench.project import Project
from workbench.training.trainer import Progress

ACT = "blocks.1.act"
UNITS, EXAMPLES = 4, 40


def result(request: RunAnalysis) -> Result:
    """Unit 2 has two facets, the others one; unit 3 is driven by nothing."""
    if request.analysis == "FeatureVisualization":
        images = np.full((1, 1, 8, 8, 3), 0.5, np.float32)
        return Result(request.analysis, dict(request.parameters), {"images": images}, {}, {"model": request.model})
    facet = np.zeros((UNITS, EXAMPLES), np.int8)
    facet[2, 30:] = 1
    index = np.tile(np.arange(EXAMPLES, dtype=np.int32), (UNITS, 1))
    index[3], facet[3] = -1, -1
    inputs = np.full((UNITS, 4, 8), "", "<U96")
    inputs[2, 0, 0], inputs[2, 1, 0] = "blocks.0:add:1", "blocks.0:add:7"
    told = np.full((UNITS, 4), np.nan, np.float32)
    told[2, :2] = 0.8
    score = np.array([0.5, -1.0, 6.0, np.nan], np.float32)
    plane = np.random.default_rng(0).normal(size=(UNITS, EXAMPLES, 2)).astype(np.float32)
    arrays = {
        "unit": np.arange(UNITS, dtype=np.int32),
        "example_index": index,
        "example_value": np.linspace(2, 1, EXAMPLES, dtype=np.float32)[None].repeat(UNITS, 0),
        "example_place": np.zeros((UNITS, EXAMPLES), np.int32),
        "histogram": np.full((UNITS, 10), 3),
        "histogram_edges": np.linspace(0, 2, 11, dtype=np.float32)[None].repeat(UNITS, 0),
        "agreement": np.full(UNITS, 0.3, np.float32),
        "inputs": inputs,
        "input_share": np.where(inputs != "", 0.5, np.nan).astype(np.float32),
        "input_sign": np.where(inputs == "blocks.0:add:7", -1, 1).astype(np.float32),
        "told": told,
        "told_by": np.where(np.isfinite(told), "head:1", ""),
    }
    for name in ("", "rival_"):
        arrays |= {f"{name}facet": facet, f"{name}plane": plane, f"{name}score": score, f"{name}p": score * 0, f"{name}q": score * 0}
        arrays |= {f"{name}taken": score * 0 + 0.4, f"{name}null": score * 0 + 0.2, f"{name}number": np.array([1, 1, 2, 1], np.int32)}
    summary = {
        "layer": request.parameters["layer"],
        "images": 64,
        "units": UNITS,
        "tested": 3,
        "polysemantic": 1,
        "alpha": 0.05,
        "expected_false": 0.05,
        "smallest_score": 2.1,
        "rival_polysemantic": 0,
        "examples": EXAMPLES,
        "told": 0.8,
        "downstream": "head",
    }
    provenance = {"model": request.model, "weights": "abc", "images": request.images}
    return Result("Polysemanticity", dict(request.parameters), arrays, summary, provenance)


def card(request: MakeDirections | KeepAutoencoder) -> DirectionCard:
    made_of = getattr(request, "model", "test:small")
    return DirectionCard(request.name, ACT, 16, 8, 0, {"model": made_of, "explained": 0.6, "null": 0.2, "null_is": "random"})


@pytest.fixture
def panel(session, runner, qtbot, tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path))
    given = {"how": "pca", "model": "test:small"}
    runner.answers[ListDirections] = (
        DirectionCard("mine", ACT, 16, 8, 0, given),
        DirectionCard("other", "head", 2, 4, 0, given),
        DirectionCard("of-another-network", ACT, 16, 8, 0, given | {"model": "test:other"}),
    )
    runner.answers[FacetCrops] = lambda request: np.full((len(request.index), 6, 6, 3), 90, np.uint8)
    runner.answers[UnitMixture] = lambda request: Mixture(
        request.name, request.unit, np.array([5, 1]), np.array([0.4, -0.2]), ("5", "1")
    )
    made = PolysemanticityPanel(session)
    qtbot.addWidget(made)
    made.resize(900, 700)
    made.show()
    assert made.said.text() == INVITATION and not made.search.isEnabled()
    session.open_model("test:small", layer=ACT)
    session.open_images("test:images")
    qtbot.waitUntil(lambda: session.model is not None and session.images is not None)
    return made


@pytest.fixture
def searched(panel, runner, qtbot):
    runner.answers[RunAnalysis] = result
    panel.search.click()
    qtbot.waitUntil(lambda: panel.page._crops is not None and panel.page._mixture is not None)
    return panel


def test_the_layer_is_searched_and_ranked_beside_one_kind(searched, runner):
    (asked,) = runner.asked(RunAnalysis)
    assert asked.parameters == {"layer": ACT} and asked.model == "test:small"
    assert [effect.name for effect in searched.list.effects] == [f"{ACT}:2", f"{ACT}:0", f"{ACT}:1"]
    assert "2 facets" in searched.list.effects[0].text and searched.list.provenance()["images"] == "test:images"
    assert "1 of 3 units" in searched.said.text() and "0.80 (.5 by chance)" in searched.said.text()
    assert len(searched.views()) == 5 and all(view.data() for view in searched.views())
    assert all(view.made_from["address"] for view in searched.views()) and searched.list.recomputation is not None


def test_a_unit_shows_its_facets_and_follows_the_selection(searched, session, qtbot):
    rows = searched.page.strip.rows
    assert [len(row.pictures) for row in rows] == [24, 10] and "blocks.0:add:1" in rows[0].label and "AUROC 0.80" in rows[0].note
    assert rows[0].pictures[0].pixels is not None
    session.select_unit(Unit(ACT, 1))
    qtbot.waitUntil(lambda: len(searched.page.strip.rows) == 1)
    assert "one kind" in searched.page.heading.text() and not searched.page.visualize.isEnabled()
    searched.list.picked.emit(0)
    assert session.unit == Unit(ACT, 2) and searched.page.visualize.isEnabled()
    searched.page.rival.setChecked(True)
    assert "agreement" not in searched.page.heading.text() and not searched.page.visualize.isEnabled()
    session.select_unit(Unit(ACT, 3))
    assert "too few images" in searched.page.heading.text()


def test_facets_are_visualized_through_their_inputs(searched, runner, qtbot):
    searched.page.visualize.click()
    qtbot.waitUntil(lambda: len(searched.page._drawn) == 2)
    objectives = [request.parameters["objective"] for request in runner.asked(RunAnalysis)[1:]]
    assert objectives[0] == f"neuron('{ACT}', 2) + 1.00 * neuron('blocks.0:add', 1)"
    assert objectives[1] == f"neuron('{ACT}', 2) - 1.00 * neuron('blocks.0:add', 7)", "what drives it by being below 0 is made small"
    assert searched.page.strip.rows[1].pictures[0].caption == "visualization"


def test_pictures_of_facets_stay_with_their_unit(searched, runner, session, qtbot):
    del runner.answers[RunAnalysis]
    searched.page.visualize.click()
    jobs = sorted(runner.requests)[-2:]
    qtbot.waitUntil(lambda: len(searched.page._drawing) == 2)
    runner.tell(jobs[0], "done", result=result(runner.requests[jobs[0]]))
    qtbot.waitUntil(lambda: list(searched.page._drawn) == [0])
    assert not searched.page.visualize.isEnabled(), "the second is still being drawn"
    session.select_unit(Unit(ACT, 0))
    assert searched.page._drawn == {} and not runner.open & set(jobs), "jobs of the unit that was left are cancelled"
    runner.deliver(JobEvent(jobs[1], runner.requests[jobs[1]], "done", result=result(runner.requests[jobs[1]])))
    session.select_unit(Unit(ACT, 2))
    qtbot.wait(30)
    assert searched.page._drawn == {} and searched.page.visualize.isEnabled()


def test_a_point_says_the_facet_that_is_shown(searched):
    result = searched._result
    result.arrays["rival_facet"] = 1 - result.arrays["facet"]
    searched.page._point(39)
    assert "facet 2" in searched.page.pointed.text()
    searched.page.rival.setChecked(True)
    searched.page._point(39)
    assert "facet 1" in searched.page.pointed.text()


def test_a_direction_that_is_mixed_opens_as_a_unit(searched, runner, session, qtbot):
    assert searched.page.sets.count() == 1 and searched.page.sets.currentText() == "mine"
    assert [effect.value for effect in searched.page.latents.effects] == [0.4, -0.2]
    searched.page.latents.picked.emit(0)
    qtbot.waitUntil(lambda: len(runner.asked(LoadModel)) == 2)
    assert runner.asked(LoadModel)[1].ref == "test:small?directions=mine"
    assert searched._result is not None  # the same network with directions is no other


def test_directions_are_made_and_opened(panel, runner, session, qtbot):
    runner.answers[MakeDirections] = card
    panel.make.setChecked(True)
    box = panel.directions
    assert box.name.placeholderText() == "blocks.1.act-pca"
    box.make.click()
    qtbot.waitUntil(lambda: len(runner.asked(LoadModel)) == 2)
    (asked,) = runner.asked(MakeDirections)
    assert asked.parameters == {"layer": ACT, "method": "pca", "number": 16}
    [used] = session.project.directions
    assert (used.model, used.layer, used.name) == ("test:small", ACT, "blocks.1.act-pca")
    session.undo_stack.undo()
    assert session.project.directions == []
    assert "60%" in box.said.text() and "20% by random" in box.said.text()
    box.method.setCurrentIndex(box.method.findData("probe"))
    assert not box.make.isEnabled()
    box.positive.setText("noto")
    assert box.make.isEnabled()
    runner.answers[MakeDirections] = ValueError("style has no 'noto'")
    box.make.click()
    qtbot.waitUntil(lambda: "no 'noto'" in box.said.text())
    assert runner.asked(MakeDirections)[1].parameters["positive"] == "noto"
    assert [box.column.itemText(place) for place in range(box.column.count())] == ["group"], "halves are split by concept"
    box.name.setText("mine")
    assert not box.make.isEnabled() and "already" in box.said.text()


def test_directions_of_another_network_do_not_open_this_one(panel, runner, session, qtbot):
    runner.answers[MakeDirections] = lambda request: replace(card(request), provenance={"model": "test:other"})
    said = []
    session.message.connect(lambda message: said.append(message.text))
    panel.directions.make.click()
    qtbot.waitUntil(lambda: bool(said))
    assert len(runner.asked(LoadModel)) == 1 and "test:other?directions=blocks.1.act-pca" in said[0]
    assert session.project.directions[0].model == "test:other"


def test_directions_do_not_come_into_another_investigation_than_they_were_asked_for_in(panel, runner, session, qtbot):
    panel.directions.make.click()
    job, (asked,) = max(runner.requests), runner.asked(MakeDirections)
    session.project = Project()
    loads = len(runner.asked(LoadModel))
    with qtbot.waitSignal(session.message) as told:
        runner.tell(job, "done", result=card(asked))
    assert "asked for in another investigation, are made" in told.args[0].text
    assert session.project.directions == [] and not session.undo_stack.count() and not session.modified
    assert len(runner.asked(LoadModel)) == loads


def test_directions_that_are_made_anew_are_read_anew(panel, runner, session, qtbot):
    runner.answers[MakeDirections] = card
    runner.answers[LoadModel] = lambda request: replace(
        CARD, ref=request.ref, layers=(*CARD.layers, Layer(f"{ACT}~blocks.1.act-pca", "directions", (16, 14, 14), 0))
    )
    for count in (2, 3):
        panel.directions.make.click()
        qtbot.waitUntil(lambda count=count: len(runner.asked(LoadModel)) == count and session.layer.endswith("~blocks.1.act-pca"))
    assert runner.asked(LoadModel)[2].ref == "test:small?directions=blocks.1.act-pca"


def test_an_autoencoder_is_trained_paused_resumed_and_its_latents_opened(panel, runner, qtbot, tmp_path):
    runner.answers[ListRuns] = ()
    panel.train.setChecked(True)
    box = panel.training
    box.steps.setValue(500)
    box.start.click()
    (asked,) = runner.asked(Train)
    assert asked.recipe == "SparseAutoencoder" and asked.settings["layer"] == ACT and asked.folder == tmp_path / "runs" / "blocks.1.act-sae"
    curves = {"loss": ([10, 20], [1.0, 0.5]), "explained": ([10, 20], [0.2, 0.6]), "dead": ([10, 20], [0.0, 0.1]), "rate": ([10], [1.0])}
    job = max(runner.requests)
    runner.tell(job, "progress", done=20, total=500, partial=Progress(20, curves, 100.0))
    qtbot.waitUntil(lambda: "update 20 of 500" in box.said.text())
    assert set(box.curves.data()) >= {"loss", "explained", "dead"} and not box.start.isEnabled()
    runner.answers[ListRuns] = (RunCard(asked.folder, asked.recipe, asked.settings, 20, 500, curves, 1.0),)
    box.pause.click()
    qtbot.waitUntil(lambda: box.pause.text() == "Resume" and box.use.isEnabled())
    box.pause.click()
    qtbot.waitUntil(lambda: len(runner.asked(Train)) == 2)
    assert runner.asked(Train)[1].folder == asked.folder
    again = max(job for job, request in runner.requests.items() if isinstance(request, Train))
    measured = {"explained": 0.6125, "pca_explained": 0.5, "unused": 0.25, "held_out_images": 1024, "held_out_rows": 16384}
    skipped = "skipped 1 unreadable image: a.png (is empty (0 bytes))"
    runner.tell(again, "done", result=Trained(runner.answers[ListRuns][0], measured, skipped))
    qtbot.waitUntil(lambda: box.use.isEnabled())
    assert "finished; on 1,024 held-out images explained 0.613, unused 0.25. Skipped 1 unreadable image: a.png" in box.said.text()
    runner.answers[KeepAutoencoder] = card
    box.use.click()
    qtbot.waitUntil(lambda: len(runner.asked(LoadModel)) == 2)
    assert runner.asked(KeepAutoencoder) == [KeepAutoencoder(asked.folder, "blocks.1.act-sae")]
    assert runner.asked(LoadModel)[1].ref == "test:small?directions=blocks.1.act-sae"


def test_a_training_that_failed_or_never_began_leaves_no_run_behind(panel, runner, qtbot):
    kinds = {"kept": "SparseAutoencoder", "net": "Other"}
    runner.answers[ListRuns] = tuple(RunCard(Path(name), kind, {"layer": ACT}, 5, 5, {}, 1.0) for name, kind in kinds.items())
    panel.train.setChecked(True)
    box = panel.training
    qtbot.waitUntil(lambda: box.runs.count() == 1)
    runner.answers[Train] = ValueError("there are too few images")
    box.name.setText("first")
    box.start.click()
    qtbot.waitUntil(lambda: "too few images" in box.said.text() and len(runner.asked(ListRuns)) == 2)
    qtbot.wait(30)
    assert "too few images" in box.said.text(), "the list of runs does not write over it"
    assert [box.runs.itemText(place) for place in range(box.runs.count())] == ["kept"] and box.name.text() == "first"
    del runner.answers[Train]
    box.start.click()
    box.pause.click()
    qtbot.waitUntil(lambda: "cancelled before it began" in box.said.text())
    for name in ("a/b", "../x", "net", "kept"):
        box.name.setText(name)
        assert not box.start.isEnabled() and name in box.said.text()
    box.name.setText("free")
    assert box.start.isEnabled() and not box.said.text()


def test_latents_take_the_place_of_those_of_the_same_run_only(panel, runner, qtbot, tmp_path):
    cards = runner.answers[ListDirections]
    mine, run = replace(cards[0], provenance={"model": "test:small", "run": "ours"}), tmp_path / "runs"
    runner.answers[ListDirections] = (replace(mine, name="ours"), *cards)
    panel._forget()
    qtbot.waitUntil(lambda: len(panel._cards) == 4)
    panel._keep(run / "ours")
    panel._keep(run / "mine")
    assert [asked.name for asked in runner.asked(KeepAutoencoder)] == ["ours", "mine-2"]
    job = max(runner.requests)
    runner.tell(job, "progress", done=1, total=4, note="measuring")
    qtbot.waitUntil(lambda: panel.said.text() == "measuring: 25%")
    runner.cancel(job)
    qtbot.waitUntil(lambda: "Cancelled" in panel.said.text())


def test_what_failed_is_said_and_another_layer_begins_anew(panel, runner, session, qtbot):
    runner.answers[RunAnalysis] = ValueError("it has no images")
    panel.search.click()
    qtbot.waitUntil(lambda: panel.said.text() == "it has no images")
    runner.answers[RunAnalysis] = result
    panel.search.click()
    qtbot.waitUntil(lambda: panel._result is not None)
    session.select_layer("head")
    assert panel._result is None and "head" in panel.said.text() and panel.views() == []
    panel.restore_state({"training": True, "directions": False})
    assert panel.save_state() == {"training": True, "directions": False} and panel.training.isVisible()


def test_words_and_names() -> None:
    assert "choose others" in about({"tested": 0, "units": 4, "layer": "x"})
    assert "AUROC 0.900" in quality({"auroc": 0.9, "null": 0.6, "null_is": "shuffled", "images": 10}) and quality({}) == ""
    assert free_name("mixed4a:1x1 pca", {"mixed4a-1x1-pca"}) == "mixed4a-1x1-pca-2" and free_name("~", ()) == "directions"
