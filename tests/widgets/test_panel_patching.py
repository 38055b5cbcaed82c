"""The panel Patching: what it asks, what it shows while it runs and after it was cancelled, and that one choice is made in all views."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, QRectF, Qt
from PySide6.QtWidgets import QFileDialog

from tests.widgets.conftest import CARD
from widgets.panels.patching import PatchingPanel
from widgets.patching.layer_choice import sensible_layers
from widgets.patching.settings import read_region
from widgets.patching.words import about, noise_words, null_words
from workbench.analyses.analysis import Result
from workbench.direction_set import DirectionCard
from workbench.image_pair import ImagePair
from workbench.jobs.direction_requests import ListDirections
from workbench.jobs.requests import FetchImages, LoadModel, RunAnalysis
from workbench.kept_image import KeptImage
from workbench.models.layer import Layer, Unit
from workbench.patching_table import columns_of, numbers_in, write_table
from workbench.unit_families import Family

ACT, ADD, STEM = "blocks.1.act", "blocks.0:add", "stem.act"
IMAGE = np.full((8, 8, 3), 120, np.uint8)


def found(request: RunAnalysis, exact: int | None = None) -> Result:
    """Return a result of units or cells of two layers, of which so many are exact (None for all)."""
    asked = dict(request.parameters)
    drawn, part = "clean_file" in asked, asked["part"]
    layers = asked["layers"][:2]
    names = [f"{layer}:{unit}" for layer in layers for unit in range(6)]
    if part == "cell":
        names = [f"{layer} at row {at // 3}, column {at % 3}" for layer in layers for at in range(6)]
    number = len(names)
    score = np.linspace(0.5, -0.05, number)[np.random.default_rng(0).permutation(number)]
    known = np.arange(number) < (number if exact is None else exact)
    seen = np.where(known, score, np.nan)
    arrays = {
        "layer": np.repeat(np.arange(len(layers), dtype=np.int32), 6),
        "denoise": np.repeat(seen[:, None], 4, 1),
        "denoise_score": seen,
        "denoise_low": seen - (np.nan if drawn or exact is not None else 0.1),
        "denoise_high": seen + 0.1,
        "denoise_attribution": score * 0.9,
        "noise_score": np.where(known, score[::-1], np.nan),
        "noise_low": seen * np.nan,
        "noise_high": seen * np.nan,
        "noise_attribution": score,
        "unaligned_score": np.where(known, 0.02, np.nan),
        "unaligned_high": np.where(known, 0.08, np.nan),
        "stands_for": np.ones(number),
        "clean_image": IMAGE,
        "corrupt_image": IMAGE // 2,
    }
    joint = {"layer": layers[0], "parts": names[:3], "of": 6, "patched": 6, "together": 0.71, "sum_of_singles": 0.8, "random_largest": 0.08}
    joint |= {"unaligned": 0.05, "held_out": not drawn, "together_low": None if drawn else 0.6, "together_high": None if drawn else 0.8}
    summary = {
        "layers": layers, "part": part, "corruption": "a drawn pair" if drawn else asked["corruption"], "drawn": drawn,
        "metric": "logit of it", "put": asked["put"], "through": asked.get("through", ""), "names": names,
        "in_layer": [6] * len(layers), "of_layer": [6] * len(layers), "pairs": 1 if drawn else 32, "left_out": 0 if drawn else 2,
        "unrelated": {"images": 3, "other_classes": True} if drawn else None, "apart": True,
        "no_number": 0, "without": {}, "grids": [(2, 3)] * len(layers),
        "joint": [joint] if exact is None else [], "incomplete": exact is not None, "exact": exact,
    }  # fmt: skip
    provenance = {"model": request.model, "weights": "abc", "images": request.images}
    return Result(request.analysis, {"region": None} | asked, arrays, summary, provenance)


@pytest.fixture
def panel(session, qtbot):
    made = PatchingPanel(session)
    qtbot.addWidget(made)
    made.resize(1000, 700)
    made.show()
    session.open_model("test:small", layer=ACT)
    session.open_images("test:images")
    qtbot.waitUntil(lambda: session.model is not None and session.images is not None)
    return made


def ask(panel, runner, qtbot, part="unit", **answers):
    """Run with two layers, and wait for the result."""
    runner.answers[RunAnalysis] = found
    panel.settings.part.setCurrentIndex(panel.settings.part.findData(part))
    panel.settings.layers.choose([STEM, ACT])
    qtbot.mouseClick(panel.start, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: bool(panel.views()))
    return runner.asked(RunAnalysis)[-1]


def test_nothing_open_says_what_to_do(session, qtbot):
    made = PatchingPanel(session)
    qtbot.addWidget(made)
    made.show()
    assert "Open a network and images" in made.results.matrix.message and not made.start.isEnabled() and made.views() == []


def test_where_only_some_parts_were_patched_it_says_so_and_counts_what_they_stand_for(panel, runner, qtbot):
    def sampled(request: RunAnalysis) -> Result:
        made = found(request)
        made.arrays["stands_for"] = np.tile([1.0, 1.0, 1.0, 10.0, 10.0, 10.0], 2)
        made.summary["of_layer"] = [33, 33]
        made.summary["joint"][0]["of"] = 33
        return made

    ask(panel, runner, qtbot)
    whole = panel.results.attribution.title, panel.results.directions._note
    assert "patched" not in panel.results.matrix.title and "patched" not in whole[0]
    runner.answers[RunAnalysis] = sampled
    panel.settings.part.setCurrentIndex(panel.settings.part.findData("unit"))
    panel.settings.layers.choose([STEM])
    panel.settings.layers.choose([STEM, ACT])
    qtbot.mouseClick(panel.start, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "12 of 66 patched" in panel.results.matrix.title)
    assert "drawn at random" in panel.results.matrix._caption and "12 of 66 patched" in panel.results.attribution.title
    assert panel.results.directions._note != whole[1], "of all parts, not of those patched"
    assert "3 of 33 channels of stem.act, 6 of which were patched, carry" in about(panel.results.result)


def test_sensible_layers_are_the_blocks(panel):
    assert panel.settings.kind == "cell", "it has no branches"
    assert panel.settings.layers.chosen == ["stem.act", "blocks.0.act", "blocks.1.act"], "two sums are no stream"
    blocks = [Layer(f"mixed{at}", "cat", (8, 4, 4), 0) for at in range(3)]
    stream = [Layer(f"blocks.{at}", "add", (8, 4, 4), 0) for at in range(4)] + [Layer("blocks.0:add", "add", (8, 4, 4), 0)]
    attention = Layer("blocks.0.attn:scaled_dot_product_attention", "scaled_dot_product_attention", (4, 16, 8), 0)
    assert sensible_layers([*blocks, *stream], "unit") == ["mixed0", "mixed1", "mixed2"] == sensible_layers([*blocks, *stream], "branch")
    assert sensible_layers([*stream, attention], "cell") == [f"blocks.{at}" for at in range(4)]
    assert sensible_layers([*stream, attention], "head") == [attention.name]
    tower = [Layer(f"visual.layer{at}:add", "add", (8, 4, 4), 0) for at in range(3)]
    assert sensible_layers([*tower, *stream, attention], "unit") == [layer.name for layer in tower], "of a CLIP the tower that sees"


def test_what_is_chosen_is_what_is_asked(panel, runner, qtbot):
    settings = panel.settings
    settings.pairs.setValue(48)
    settings.most.setValue(16)
    settings.through.setText("head")
    settings.hold.setText("blocks.0:add, blocks.1.act")
    settings.of_class.setText("cat")
    settings.against.setText("dog")
    settings.region.setText("0, 0, 0.5, 1")
    request = ask(panel, runner, qtbot)
    assert request.analysis == "ActivationPatching" and dict(request.parameters) == {
        "part": "unit", "metric": "logit difference", "put": "resample", "top": 3, "most": 16, "corruption": "swap", "pairs": 48,
        "layers": [STEM, ACT], "region": [0, 0, 0.5, 1], "of_class": "cat", "against": "dog", "through": "head",
        "hold": ["blocks.0:add", "blocks.1.act"],
    }  # fmt: skip
    from workbench.analyses.patching import ActivationPatching

    ActivationPatching(**request.parameters)
    settings.most.setValue(settings.most.minimum())
    assert settings.most.text() == "all" and "most" not in settings.parameters()
    settings.metric.setCurrentIndex(settings.metric.findData("unit"))
    settings.unit.setText("head:3")
    assert {"of_class", "against"}.isdisjoint(settings.parameters()) and settings.parameters()["unit"] == "head:3"


def test_what_is_missing_is_said(panel, runner, qtbot):
    settings = panel.settings
    for part, said in (("region", "Drag a box"), ("family", "no family"), ("unit", "at least one layer")):
        settings.part.setCurrentIndex(settings.part.findData(part))
        if part == "unit":
            settings.layers.choose([])
        qtbot.mouseClick(panel.start, Qt.MouseButton.LeftButton)
        assert said in panel.said.text()
    settings.source.setCurrentIndex(1)
    qtbot.mouseClick(panel.start, Qt.MouseButton.LeftButton)
    assert "no drawn pair yet" in panel.said.text() and not runner.asked(RunAnalysis)
    for text in ("a, b", "0, 0, 2, 1", "0.5, 0, 0.5, 1"):
        with pytest.raises(ValueError, match="is no region"):
            read_region(text)


def test_a_choice_in_one_view_is_made_in_all_and_in_the_window(panel, runner, qtbot, session):
    ask(panel, runner, qtbot)
    results = panel.results
    scores = results.result.arrays["denoise_score"]
    best = int(scores.argmax())
    qtbot.mouseClick(results.bars, Qt.MouseButton.LeftButton, pos=QPoint(30, 10))
    assert results.chosen == best and session.unit == Unit(*[(STEM, ACT)[best // 6], best % 6])
    assert results.bars._marked == 0 and results.attribution._marked == results.directions._marked == best
    row, column = results.matrix._cell
    assert results._grid[row, column] == best and column == 0 and row == best // 6, "the strongest of its layer stands first"
    picked = results.table.patch_at(results.table.currentIndex().row())
    assert picked == best
    place = results.directions._at(QRectF(results.directions.rect()))[4]
    qtbot.mouseClick(results.directions, Qt.MouseButton.LeftButton, pos=QPointF(*place).toPoint())
    assert results.chosen == 4 and session.unit == Unit(STEM, 4)
    session.select_unit(Unit(ACT, 2))
    assert results.chosen == 8, "and what is selected elsewhere is pointed at here"
    results.table.setCurrentIndex(results.table.model().index(11, 0))
    assert results.chosen == int(scores.argmin())


def test_the_sentence_names_interval_null_and_pairs(panel, runner, qtbot):
    ask(panel, runner, qtbot)
    assert "3 of 6 channels of stem.act carry 71 % [60, 80] of the difference, on other concepts" in panel.said.text()
    assert "as many others at most 8.0 %, with unrelated images 5.0 %" in panel.said.text()
    assert "32 pairs, 2 that hardly differ left out" in panel.said.text()
    assert panel.results.bars.data()["null"] == pytest.approx([0.02, 0.02])


def test_attribution_is_shown_at_once_and_what_was_found_stays_when_cancelled(panel, runner, qtbot, tmp_path):
    panel.settings.part.setCurrentIndex(panel.settings.part.findData("unit"))
    panel.settings.layers.choose([STEM, ACT])
    qtbot.mouseClick(panel.start, Qt.MouseButton.LeftButton)
    (job,) = (job for job, asked in runner.requests.items() if isinstance(asked, RunAnalysis))
    request = runner.requests[job]
    runner.tell(job, "progress", done=0, total=12, note="attribution", partial={"result": found(request, 0)})
    qtbot.waitUntil(lambda: "So far 0 of 12 exact" in panel.said.text())
    assert panel.results.bars.effects[0].text.startswith("≈") and "first order" in panel.said.text()
    assert "Exact scores follow" in panel.results.attribution.message and not panel.results.attribution._there.any()
    runner.tell(job, "progress", done=7, total=12, partial={"result": found(request, 7)})
    qtbot.waitUntil(lambda: "So far 7 of 12 exact" in panel.said.text())
    assert int(panel.results.attribution._there.sum()) == 7
    qtbot.mouseClick(panel.run.cancel, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.progress.text() == "Cancelled: what was found stays.")
    assert panel.start.isVisible() and len(panel.views()) == 6 and "So far 7 of 12 exact" in panel.said.text()
    panel.write_table(str(tmp_path / "part.csv"))
    lines = list(csv.DictReader((tmp_path / "part.csv").open()))
    assert [line["exact"] for line in lines] == ["True"] * 7 + ["False"] * 5 and lines[8]["denoise_score"] == ""
    assert float(lines[8]["denoise_attribution"]) == pytest.approx(panel.results.result.arrays["denoise_attribution"][8])


def test_the_drawn_pair_is_shown_and_asked_and_positions_lie_over_it(panel, runner, qtbot, session, tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path))
    session.set_pair(ImagePair(KeptImage(IMAGE), KeptImage(IMAGE // 2), "turtle, blurred"))
    assert panel.settings.is_drawn and panel.settings.drawn.text() == "turtle, blurred"
    assert (panel.results.clean.data()["image"] == IMAGE).all() and panel.settings.pairs.isHidden()
    request = ask(panel, runner, qtbot, part="cell")
    asked = request.parameters
    assert asked["clean_file"].endswith(".png") and asked["corrupt_file"] != asked["clean_file"] and "pairs" not in asked
    assert "on the pair that they were chosen on: no interval" in panel.said.text()
    results = panel.results
    scores = results.result.arrays["denoise_score"]
    shown = results.clean.data()["map"]
    layer = int(scores.argmax()) // 6
    assert shown.ravel() == pytest.approx(scores[6 * layer : 6 * layer + 6], abs=1e-6)
    results.clean.cell_picked.emit(1, 2)
    assert results.chosen == 6 * layer + 5 and session.layer == (STEM, ACT)[layer]
    results.pick(6 * (1 - layer))
    assert results.clean.data()["map"].ravel() == pytest.approx(scores[6 * (1 - layer) :][:6], abs=1e-6)
    session.set_pair(None)
    assert panel.views() == [], "another pair forgets what was found of this one"


def test_a_box_on_the_clean_image_is_the_region(panel, session):
    session.set_pair(ImagePair(KeptImage(IMAGE), KeptImage(IMAGE // 2), "a pair"))
    panel.results.clean.region_marked.emit((0.1, 0.2, 0.5, 0.75))
    assert panel.settings.parameters()["region"] == [0.1, 0.2, 0.5, 0.75]
    panel.results.clean.region_marked.emit(None)
    assert "region" not in panel.settings.parameters()


def test_families_of_the_investigation_and_directions_that_fit(panel, runner, qtbot, session):
    session.project.families["test:small"] = [Family("curves", ACT, [7, 1])]
    panel.settings.part.setCurrentIndex(panel.settings.part.findData("family"))
    assert panel.settings.parameters()["families"] == {f"curves ({ACT})": f"{ACT}:7,1"} and "layers" not in panel.settings.parameters()
    card = DirectionCard("axes", ACT, 4, 64, 0, {})
    runner.answers[ListDirections] = (card, replace(card, name="others", layer="elsewhere"))
    panel.settings.part.setCurrentIndex(panel.settings.part.findData("direction"))
    qtbot.waitUntil(lambda: panel.settings.directions.count() > 0)
    assert panel.settings.directions.count() == 1 and panel.settings.parameters()["directions"] == "axes"


def test_a_network_without_classes_reads_a_unit(session, runner, qtbot):
    runner.answers[LoadModel] = replace(CARD, labels=())
    made = PatchingPanel(session)
    qtbot.addWidget(made)
    made.show()
    session.open_model("test:small")
    qtbot.waitUntil(lambda: session.model is not None)
    assert made.settings.metric.currentData() == "unit" and made.settings.of_class.isHidden()


def test_figures_and_table_are_written_and_parquet_says_what_it_needs(panel, runner, qtbot, session, tmp_path, monkeypatch):
    from widgets.export import figure_image

    ask(panel, runner, qtbot)
    assert all(not figure_image(view, 1).isNull() for view in panel.views())
    assert all("ActivationPatching(" in view.recomputation.python() for view in panel.views())
    panel.write_table(str(tmp_path / "table.csv"))
    lines = list(csv.DictReader((tmp_path / "table.csv").open()))
    assert len(lines) == 12 and lines[7]["name"] == f"{ACT}:1" and lines[7]["unit"] == "1"
    origin = json.loads((tmp_path / "table.json").read_text())
    assert origin["weights"] == "abc" and origin["parameters"]["part"] == "unit" and origin["summary"]["metric"] == "logit of it"
    assert {path.name for path in tmp_path.glob("*table*")} == {"table.csv", "table.json"}
    said = []
    session.message.connect(lambda message: said.append(message.text))
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    panel.write_table(str(tmp_path / "table.parquet"))
    assert "pip install 'circuit-workbench[parquet]'" in said[-1] and not list(tmp_path.glob("*parquet*"))
    panel.write_table(str(tmp_path / "table.xls"))
    assert "ends in .csv or .parquet" in said[-1]


def test_settings_are_hidden_and_kept(panel, qtbot):
    qtbot.mouseClick(panel.fold, Qt.MouseButton.LeftButton)
    assert not panel.settings.isVisible() and panel.fold.text() == "Settings"
    qtbot.mouseClick(panel.fold, Qt.MouseButton.LeftButton)
    panel.settings.part.setCurrentIndex(panel.settings.part.findData("cell"))
    panel.settings.pairs.setValue(99)
    for box, choice in ((panel.settings.metric, "loss"), (panel.settings.source, "drawn")):
        box.setCurrentIndex(box.findData(choice))
    panel.settings.twin.setChecked(True)
    state = panel.save_state()
    panel.restore_state({})
    assert not panel.settings.is_drawn and not panel.settings.twin.isChecked()
    assert panel.settings.kind == "branch"
    panel.restore_state(state)
    assert panel.settings.kind == "cell" and panel.settings.pairs.value() == 99
    assert panel.settings.is_drawn and panel.settings.twin.isChecked() and panel.settings.metric.currentData() == "loss"


def test_the_better_of_two_parts_is_one_alone():
    request = RunAnalysis("ActivationPatching", {"part": "region", "layers": [STEM], "put": "resample", "corruption": "blur"}, "a", "b")
    result = found(request)
    assert about(result).startswith("stem.act:") and "unrelated images at most 2.0 %" in about(result)


def test_a_parquet_file_holds_the_table_and_its_origin(tmp_path):
    from pyarrow import parquet

    request = RunAnalysis("ActivationPatching", {"part": "unit", "layers": [STEM, ACT], "put": "resample", "corruption": "blur"}, "a", "b")
    result = found(request, 7)
    table = parquet.read_table(write_table(result, tmp_path / "table.parquet"))
    assert table.to_pydict() == columns_of(result) and table.schema.metadata[b"model"] == b"a"


def running(panel, runner, qtbot):
    """Start a sweep that the test goes on with, and return its job."""
    panel.settings.part.setCurrentIndex(panel.settings.part.findData("unit"))
    panel.settings.layers.choose([STEM, ACT])
    qtbot.mouseClick(panel.start, Qt.MouseButton.LeftButton)
    return next(job for job, asked in runner.requests.items() if isinstance(asked, RunAnalysis))


def test_partial_results_that_are_superseded_are_dropped_and_the_table_waits_for_its_tab(panel, runner, qtbot, monkeypatch):
    job = running(panel, runner, qtbot)
    request, shown = runner.requests[job], []
    show = panel.results.show_result
    monkeypatch.setattr(panel.results, "show_result", lambda result, made: (shown.append(result.summary["exact"]), show(result, made)))
    for exact in range(1, 8):
        runner.tell(job, "progress", done=exact, total=12, partial={"result": found(request, exact)})
    qtbot.waitUntil(lambda: "So far 7 of 12 exact" in panel.said.text())
    assert shown == [7] and panel.results.table.model().rowCount() == 0
    panel.results.tabs.setCurrentIndex(1)
    assert panel.results.table.model().rowCount() == 12
    panel._pause = 60_000  # what comes now waits, unless it is stopped
    runner.tell(job, "progress", done=8, total=12, partial={"result": found(request, 8)})
    qtbot.waitUntil(panel._soon.isActive)
    qtbot.mouseClick(panel.run.cancel, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "what was found stays" in panel.progress.text())
    assert shown == [7, 8] and not panel._soon.isActive()


def test_the_table_keeps_the_users_column_and_order(panel, runner, qtbot):
    job = running(panel, runner, qtbot)
    request, table = runner.requests[job], panel.results.table
    panel.results.tabs.setCurrentIndex(1)
    runner.tell(job, "progress", done=6, total=12, partial={"result": found(request, 6)})
    qtbot.waitUntil(lambda: table.model().rowCount() == 12)
    score = found(request).arrays["denoise_score"]
    assert [table.patch_at(row) for row in range(6)] == np.argsort(-score[:6]).tolist(), "the best first, the unknown last"
    panel.results.pick(3)
    noise = next(at for at in range(9) if table.model().headerData(at, Qt.Orientation.Horizontal) == "Attrib.")
    for _ in range(2):
        table.horizontalHeader().sectionClicked.emit(noise)
    assert [table.patch_at(row) for row in range(12)] == np.argsort(score, kind="stable").tolist()
    assert table.patch_at(table.currentIndex().row()) == 3 == panel.results.chosen
    runner.tell(job, "progress", done=9, total=12, partial={"result": found(request, 9)})
    qtbot.waitUntil(lambda: "So far 9 of 12" in panel.said.text())
    assert [table.patch_at(row) for row in range(12)] == np.argsort(score, kind="stable").tolist()
    assert table.patch_at(table.currentIndex().row()) == 3
    table.horizontalHeader().sectionClicked.emit(0)
    assert [table.patch_at(row) for row in range(12)] == list(range(6, 12)) + list(range(6)), "blocks before stem"
    assert sorted(["a:10", "a:2", "a", "b:1"], key=numbers_in) == ["a", "a:2", "a:10", "b:1"]


def test_a_stroke_leaves_a_sweep_over_the_set_alone(panel, runner, qtbot, session):
    job = running(panel, runner, qtbot)
    session.set_pair(ImagePair(KeptImage(IMAGE), KeptImage(IMAGE // 2), "a stroke"))
    assert panel.run.running and job in runner.open
    runner.tell(job, "progress", done=5, total=12, partial={"result": found(runner.requests[job], 5)})
    qtbot.waitUntil(lambda: "So far 5 of 12" in panel.said.text())
    session.set_pair(ImagePair(KeptImage(IMAGE), KeptImage(IMAGE // 3), "another stroke"))
    assert panel.run.running and panel.views()


def test_a_box_can_be_dragged_before_and_while_it_runs(panel, runner, qtbot, session):
    clean = panel.results.clean
    assert runner.asked(FetchImages)[-1].indices == (0,)
    runner.tell(max(runner.requests), "done", result=IMAGE[None])
    qtbot.waitUntil(lambda: "image" in clean.data())
    job = running(panel, runner, qtbot)
    request = runner.requests[job]
    runner.tell(job, "progress", done=1, total=12, partial={"result": found(request, 1)})
    qtbot.waitUntil(lambda: "So far 1 of 12" in panel.said.text())
    middle = clean.rect().center()
    qtbot.mousePress(clean, Qt.MouseButton.LeftButton, pos=middle - QPoint(30, 30))
    qtbot.mouseMove(clean, middle)
    runner.tell(job, "progress", done=7, total=12, partial={"result": found(request, 7)})
    qtbot.waitUntil(lambda: "So far 7 of 12" in panel.said.text())
    qtbot.mouseMove(clean, middle + QPoint(20, 20))
    qtbot.mouseRelease(clean, Qt.MouseButton.LeftButton, pos=middle + QPoint(20, 20))
    assert panel.settings.region.text() and clean._region is not None
    runner.tell(job, "progress", done=9, total=12, partial={"result": found(request, 9)})
    qtbot.waitUntil(lambda: "So far 9 of 12" in panel.said.text())
    assert clean._region is not None, "and it stays"


def test_positions_of_a_region_lie_where_they_are_in_the_image(panel, runner, qtbot):
    def inside(request):
        result = found(request)
        return replace(result, summary=result.summary | {"grids": [(4, 5)] * 2})

    runner.answers[RunAnalysis] = inside
    panel.settings.part.setCurrentIndex(panel.settings.part.findData("cell"))
    panel.settings.layers.choose([STEM, ACT])
    qtbot.mouseClick(panel.start, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: bool(panel.views()))
    shown = panel.results.clean.data()["map"]
    assert shown.shape == (4, 5) and np.isfinite(shown).sum() == 6 and np.isfinite(shown[:2, :3]).all()


def test_held_layers_without_a_receiver_are_refused(panel, runner, qtbot):
    panel.settings.hold.setText("blocks.0:add")
    qtbot.mouseClick(panel.start, Qt.MouseButton.LeftButton)
    assert "write it into Through" in panel.said.text() and not runner.asked(RunAnalysis)


def test_directions_are_those_of_the_network_that_is_open(panel, runner, qtbot, session):
    card = DirectionCard("axes", ACT, 4, 64, 0, {})
    runner.answers[ListDirections] = (card, replace(card, name="late"))
    box = panel.settings.directions
    panel.settings.part.setCurrentIndex(panel.settings.part.findData("direction"))
    qtbot.waitUntil(lambda: box.count() == 2)
    box.setCurrentText("late")
    runner.answers[ListDirections] = (card, replace(card, name="late"), replace(card, name="new"))
    panel.settings.part.setCurrentIndex(panel.settings.part.findData("unit"))
    panel.settings.part.setCurrentIndex(panel.settings.part.findData("direction"))
    qtbot.waitUntil(lambda: box.count() == 3)
    assert box.currentText() == "late", "which is still there"
    runner.answers[LoadModel] = replace(CARD, ref="test:other", layers=tuple(layer for layer in CARD.layers if layer.name != ACT))
    session.open_model("test:other")
    qtbot.waitUntil(lambda: session.model is not None and session.model.ref == "test:other" and box.count() == 0)
    assert box.currentText() == ""
    qtbot.mouseClick(panel.start, Qt.MouseButton.LeftButton)
    assert "no directions of the open network" in panel.said.text()
    said = []
    session.message.connect(lambda message: said.append(message.text))
    runner.answers[ListDirections] = ValueError("the folder cannot be read")
    panel.settings._on_part(0)
    qtbot.waitUntil(lambda: bool(said))
    assert "cannot be read" in said[0]
    assert ListDirections().key == "", "panels that ask at once are both answered"


def test_parts_that_the_network_does_not_have_cannot_be_chosen(panel):
    part = panel.settings.part
    for kind in ("branch", "head"):
        item = part.model().item(part.findData(kind))
        assert not item.isEnabled() and "has no" in item.toolTip()
    assert part.model().item(part.findData("unit")).isEnabled()


def test_words_name_the_null_what_is_put_and_what_was_left_out():
    request = RunAnalysis("ActivationPatching", {"part": "layer", "layers": [STEM], "put": "zero", "corruption": "blur"}, "a", "b")
    result = found(request)
    result.summary.update(joint=[], without={"head": "why"}, no_number=2)
    result.arrays["unaligned_score"][:] = 0.5
    result.arrays["twin_score"] = result.arrays["unaligned_score"]
    assert "unrelated images and one random network at most 50 % (any third image lies about halfway" in about(result)
    assert "left out: head" in about(result) and "2 of which it is no number" in about(result)
    assert noise_words("zero") == "noise, putting 0" and noise_words("resample") == "noise"
    result.summary["unrelated"] = {"images": 1, "other_classes": False}
    assert null_words(result) == "1 image of the set, of any class and one random network"


def test_another_kind_of_file_changes_the_ending(panel, qtbot):
    panel._ask_file()
    dialog = panel.findChild(QFileDialog)
    dialog.filterSelected.emit("Parquet (*.parquet)")
    assert dialog.defaultSuffix() == "parquet" and [Path(file).name for file in dialog.selectedFiles()] == ["patching.parquet"]
    dialog.reject()
