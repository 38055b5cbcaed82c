"""The neuron grid: what it asks of the worker and in which order, how it sorts and filters, and that the newest wish wins."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import Qt

from widgets.grid_tools import SORTS
from widgets.panels.neuron_grid import NeuronGridPanel
from widgets.unit_names import units_matching
from workbench.jobs.example_requests import LayerStatistics
from workbench.jobs.requests import LoadModel, OpenImages, Sweep
from workbench.jobs.thumbnail_requests import Thumbnails
from workbench.labels import Label
from workbench.models.layer import Unit
from workbench.unit_families import Family


def thumbnails(request: Thumbnails) -> dict[int, np.ndarray]:
    side = 16 if request.level == "coarse" else 32
    return {unit: np.full((request.seeds, side, side, 3), unit, np.uint8) for unit in request.units}


@pytest.fixture
def panel(session, qtbot):
    panel = NeuronGridPanel(session)
    qtbot.addWidget(panel)
    panel.resize(500, 300)
    panel.show()
    qtbot.waitExposed(panel)
    return panel


@pytest.fixture
def opened(panel, session, runner, qtbot):
    """The panel with a network of which nothing is rendered yet."""
    session.open_model("test:small", layer="blocks.1.act")
    qtbot.waitUntil(lambda: session.layer == "blocks.1.act")
    qtbot.waitUntil(lambda: len(runner.asked(Thumbnails)) >= 2)
    qtbot.wait(120)  # the grid has told what is on screen
    return panel


def job_of(runner, request: Thumbnails) -> int:
    return next(job for job, asked in runner.requests.items() if asked is request)


def newest(runner, level: str) -> tuple[int, Thumbnails]:
    request = [request for request in runner.asked(Thumbnails) if request.level == level][-1]
    return job_of(runner, request), request


# Filter


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("", list(range(10))),
        ("0-2, 7", [0, 1, 2, 7]),
        ("8-", [8, 9]),
        ("3 - 4", [3, 4]),
        ("5 5 99", [5]),
        ("curve", [2, 4]),
        ("curve 0-3", [2]),
        ("CURVE left", [4]),
        ("nothing", []),
    ],
)
def test_filter_reads_numbers_ranges_and_labels(text, units):
    labels = {2: "curve 45°", 4: "curve, left side", 5: "line"}
    assert units_matching(text, 10, lambda unit: labels.get(unit, "")) == units


# Asking


def test_asks_for_what_is_on_screen_first_coarse_before_fine(opened, runner):
    visible = opened.grid.visible_units()
    assert 0 < len(visible) < 64
    coarse, fine = runner.asked(Thumbnails)[:2]
    assert (coarse.level, fine.level) == ("coarse", "fine")
    assert coarse.units[: len(visible)] == visible and len(coarse.units) <= 3 * len(visible)
    assert fine.units == visible
    assert coarse.model == "test:small" and coarse.layer == "blocks.1.act"


def test_the_whole_layer_becomes_coarse_and_only_the_screen_fine(opened, runner, qtbot):
    runner.answers[Thumbnails] = thumbnails
    for job, request in list(runner.requests.items()):
        if isinstance(request, Thumbnails):
            runner.tell(job, "done", result=thumbnails(request))
    qtbot.waitUntil(lambda: all(opened.grid.level(unit) for unit in range(64)))
    assert {unit for unit in range(64) if opened.grid.level(unit) == "fine"} == set(opened.grid.visible_units())
    qtbot.wait(50)
    assert not runner.open - {1} and not opened.progress.isVisible()
    asked = len(runner.requests)
    qtbot.wait(50)
    assert len(runner.requests) == asked  # it rests


def test_scrolling_asks_anew_and_selection_is_rendered_fine_too(opened, runner, qtbot):
    runner.answers[Thumbnails] = thumbnails
    opened.grid.verticalScrollBar().setValue(10**6)
    qtbot.waitUntil(lambda: any(63 in request.units for request in runner.asked(Thumbnails)))
    qtbot.waitUntil(lambda: opened.grid.level(63) == "fine")
    assert opened.grid.level(20) != "fine"
    opened.grid.selectAll()
    qtbot.waitUntil(lambda: all(opened.grid.level(unit) == "fine" for unit in range(64)))


def test_small_scrolls_do_not_throw_away_the_batch_at_work(opened, runner, qtbot):
    asked = len(runner.asked(Thumbnails))
    opened.grid.verticalScrollBar().setValue(3)
    qtbot.wait(150)
    assert len(runner.asked(Thumbnails)) == asked


def test_partial_results_are_shown_at_once(opened, runner, qtbot):
    job, _ = newest(runner, "coarse")
    runner.tell(job, "running")
    runner.tell(
        job,
        "progress",
        done=2,
        total=9,
        partial={0: np.zeros((1, 8, 8, 3), np.uint8), 1: np.zeros((1, 8, 8, 3), np.uint8)},
    )
    qtbot.waitUntil(lambda: opened.grid.level(1) == "coarse")
    assert opened.grid.level(2) == "" and opened.progress.isVisible()
    assert "2 of" in opened.status.text()


def test_another_layer_supersedes_and_late_answers_are_dropped(opened, runner, session, qtbot):
    old, request = newest(runner, "coarse")
    session.select_layer("stem.act")
    assert old not in runner.open  # cancelled
    qtbot.waitUntil(lambda: runner.asked(Thumbnails)[-1].layer == "stem.act")
    runner.requests[999] = request
    runner.tell(999, "done", result=thumbnails(request))
    qtbot.wait(30)
    assert opened.grid.level(0) == "" and opened.grid.units == tuple(range(16))


def test_a_hidden_panel_asks_for_nothing(session, runner, qtbot):
    panel = NeuronGridPanel(session)
    qtbot.addWidget(panel)
    session.open_model("test:small")
    qtbot.waitUntil(lambda: session.model is not None)
    qtbot.wait(30)
    assert not runner.asked(Thumbnails)
    panel.show()
    qtbot.waitUntil(lambda: bool(runner.asked(Thumbnails)))


def test_a_failure_in_many_words_does_not_make_the_panel_wide(opened, runner, qtbot):
    job, _ = newest(runner, "coarse")
    before = opened.minimumSizeHint().width()
    runner.tell(job, "failed", error="what went wrong and what to do " * 20)
    qtbot.waitUntil(lambda: opened.status.text().endswith("…"))
    assert opened.minimumSizeHint().width() == before and opened.status.toolTip().endswith("to do")


def test_cancelled_by_hand_rests_until_one_scrolls(opened, runner, qtbot):
    for job in sorted(runner.open):
        runner.cancel(job)
    qtbot.waitUntil(lambda: "stopped" in opened.status.text())
    asked = len(runner.asked(Thumbnails))
    qtbot.wait(50)
    assert len(runner.asked(Thumbnails)) == asked
    opened.grid.verticalScrollBar().setValue(10**6)
    qtbot.waitUntil(lambda: len(runner.asked(Thumbnails)) > asked)


def test_failure_is_said_and_not_repeated(opened, runner, qtbot):
    job, _ = newest(runner, "coarse")
    runner.tell(job, "failed", error="the gradient is NaN", details="Traceback …")
    qtbot.waitUntil(lambda: opened.status.text() == "the gradient is NaN")
    asked = len(runner.asked(Thumbnails))
    qtbot.wait(50)
    assert len(runner.asked(Thumbnails)) == asked and opened.status.toolTip() == "the gradient is NaN\nTraceback …"


def test_an_answer_without_what_was_asked_is_not_asked_for_ever(opened, runner, qtbot):
    runner.answers[Thumbnails] = {}
    for job, request in list(runner.requests.items()):
        if isinstance(request, Thumbnails):
            runner.tell(job, "done", result={})
    qtbot.wait(50)
    asked = len(runner.requests)
    qtbot.wait(50)
    assert len(runner.requests) == asked


def test_fine_images_take_turns_with_work_that_was_started_on_purpose(opened, runner, session, qtbot):
    before, _ = newest(runner, "fine")
    sweep = session.relay.submit(Sweep("test:small", "test:images", ("blocks.1.act",)))
    qtbot.waitUntil(lambda: before not in runner.open)  # the whole screen would keep the sweep waiting
    qtbot.waitUntil(lambda: newest(runner, "fine")[0] != before)
    visible = opened.grid.visible_units()
    batch, request = newest(runner, "fine")
    assert request.units == visible[:8]
    runner.tell(batch, "running")
    qtbot.wait(150)
    runner.tell(batch, "done", result=thumbnails(request))
    qtbot.waitUntil(lambda: opened.grid.level(0) == "fine")
    qtbot.wait(60)
    assert newest(runner, "fine")[0] == batch  # the sweep's turn, as long as the batch took
    qtbot.waitUntil(lambda: newest(runner, "fine")[1].units == visible[8:16])
    coarse, request = newest(runner, "coarse")
    runner.answers[Thumbnails] = thumbnails
    runner.tell(coarse, "done", result=thumbnails(request))
    runner.tell(newest(runner, "fine")[0], "done", result=thumbnails(newest(runner, "fine")[1]))
    qtbot.waitUntil(lambda: all(opened.grid.level(unit) == "fine" for unit in visible))
    qtbot.wait(30)
    assert opened.grid.level(63) == ""  # the rest of the layer waits
    runner.tell(sweep, "done", result=None)
    qtbot.waitUntil(lambda: opened.grid.level(63) == "coarse")


# Choosing


def test_click_selects_in_the_session_and_the_session_selects_in_the_grid(opened, session, qtbot):
    place = opened.grid.visualRect(opened.grid.model().index(2)).center()
    qtbot.mouseClick(opened.grid.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert session.unit == Unit("blocks.1.act", 2)
    session.select_unit(Unit("blocks.1.act", 60))
    assert opened.grid.current_unit() == 60 and 60 in opened.grid.visible_units()


def test_layers_are_chosen_by_name_and_by_steps(opened, session, qtbot):
    assert opened.layers.currentText() == "blocks.1.act"
    qtbot.mouseClick(opened.previous, Qt.MouseButton.LeftButton)
    assert session.layer == "blocks.0:add"
    opened.layers.lineEdit().selectAll()
    qtbot.keyClicks(opened.layers.lineEdit(), "stem.conv")
    qtbot.keyClick(opened.layers.lineEdit(), Qt.Key.Key_Return)
    assert session.layer == "stem.conv" and not opened.previous.isEnabled()
    assert opened.summary.full_text == "16 units · 56 × 56 · conv2d · pre-activation"
    opened.layers.lineEdit().setText("no such layer")
    opened.layers.lineEdit().editingFinished.emit()
    assert opened.layers.currentText() == "stem.conv" == session.layer


def test_filter_keeps_its_explanation_and_the_line_below_says_how_many_are_left(opened, qtbot):
    explained = opened.filter.toolTip()
    opened.filter.setText("0-9")
    qtbot.waitUntil(lambda: opened.summary.full_text.startswith("10 of 64 units ·"))
    assert opened.filter.toolTip() == explained and "128-" in explained
    opened.filter.clear()
    qtbot.waitUntil(lambda: opened.summary.full_text.startswith("64 units ·"))


def test_filter_finds_labels_given_meanwhile(opened, session, qtbot):
    opened.filter.setText("whisker")
    qtbot.waitUntil(lambda: opened.grid.units == ())
    assert "whisker" in opened.grid.message
    assert opened.grid.label(7) == ""
    session.project.labels["test:small"] = {"blocks.1.act:7": [Label("ears", kind="proposed"), Label("cat whiskers, 45°")]}
    session.touch()
    qtbot.waitUntil(lambda: opened.grid.units == (7,))
    assert opened.grid.describe(7).splitlines()[:2] == ["blocks.1.act:7", "cat whiskers, 45° · ears"]
    assert opened.grid.label(7) == "cat whiskers, 45°", "it stands below the image"
    for text in ("EARS", "cat_whiskers_45"):
        opened.filter.setText(text)
        qtbot.wait(150)
        assert opened.grid.units == (7,)
    (sheet,) = opened.views()
    assert sheet.provenance()["labels"] == {"7": "cat whiskers, 45°"}


def test_captions_of_the_answer_are_its_classes(opened, session, runner, qtbot):
    labels = tuple(f"class {i}" for i in range(10))
    runner.answers[LoadModel] = replace(runner.answers[LoadModel], labels=labels)
    session.open_model("test:small", layer="head")
    qtbot.waitUntil(lambda: opened.grid.label(3) == "class 3")


def test_a_filter_names_a_family_in_its_order(opened, session, qtbot):
    session.project.families["test:small"] = [Family("curve detectors", "blocks.1.act", [9, 3, 40]), Family("x", "stem.act", [1])]
    opened.filter.setText("{curve detectors}")
    qtbot.waitUntil(lambda: opened.grid.units == (9, 3, 40))
    opened.filter.setText("{Curve detectors} 0-10")
    qtbot.waitUntil(lambda: opened.grid.units == (9, 3))


# Selecting several


def click(opened, qtbot, unit: int, *keys: Qt.KeyboardModifier) -> None:
    row = opened.grid.units.index(unit)
    opened.grid.scrollTo(opened.grid.model().index(row))
    held = Qt.KeyboardModifier.NoModifier
    for key in keys:
        held |= key
    place = opened.grid.visualRect(opened.grid.model().index(row)).center()
    qtbot.mouseClick(opened.grid.viewport(), Qt.MouseButton.LeftButton, held, place)


def test_ctrl_and_shift_select_several_units(opened, session, qtbot):
    control, shift = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
    click(opened, qtbot, 2)
    click(opened, qtbot, 4, control)
    assert opened.grid.selected_units() == session.selection == (2, 4) and session.unit == Unit("blocks.1.act", 4)
    click(opened, qtbot, 2, control)
    assert opened.grid.selected_units() == session.selection == (4,)
    click(opened, qtbot, 6, shift)
    assert opened.grid.selected_units() == session.selection
    click(opened, qtbot, 3)
    assert opened.grid.selected_units() == session.selection == (3,)
    session.select_together((3, 8, 9))
    assert opened.grid.selected_units() == (3, 8, 9) and session.unit == Unit("blocks.1.act", 3)


def test_what_is_selected_together_is_shown_whatever_the_filter(opened, session, qtbot):
    session.project.families["test:small"] = [Family("curves", "blocks.1.act", [9, 3, 40])]
    opened.filter.setText("0-5")
    qtbot.waitUntil(lambda: len(opened.grid.units) == 6)
    session.select_family("blocks.1.act", "curves")
    assert opened.filter.text() == "" and opened.grid.selected_units() == (3, 9, 40) and session.selection == (9, 3, 40)
    opened.filter.setText("{curves}")
    qtbot.waitUntil(lambda: opened.grid.units == (9, 3, 40))
    assert opened.grid.selected_units() == (9, 3, 40)
    opened.filter.setText("0-5")
    qtbot.waitUntil(lambda: len(opened.grid.units) == 6)
    opened.filter.clear()
    qtbot.waitUntil(lambda: len(opened.grid.units) == 64)
    assert opened.grid.selected_units() == (3, 9, 40), "what a filter hid is selected again"


# Sorting


@pytest.fixture
def statistics(runner):
    values = np.random.default_rng(0).permutation(64).astype(np.float32)
    values[5] = np.nan
    found = {name: values * (i + 1) for i, name in enumerate(SORTS)} | {"seen": 97}
    runner.answers[LayerStatistics] = lambda request: found if request.layer == "blocks.1.act" else None
    return found


def test_sorting_needs_a_sweep_then_orders_and_captions(opened, runner, session, statistics, qtbot):
    item = opened.sort.model().item(opened.sort.findData("mean"))
    assert not item.isEnabled()
    session.open_images("test:images")
    qtbot.waitUntil(item.isEnabled)
    session.select_unit(Unit("blocks.1.act", 60))
    opened.sort.setCurrentIndex(opened.sort.findData("mean"))
    assert opened.grid.visible_units()[0] == opened.grid.units[0] and opened.grid.current_unit() == 60
    values = statistics["mean"]
    order = [unit for unit in opened.grid.units if unit != 5]
    assert (np.diff(values[order]) < 0).all() and opened.grid.units[-1] == 5  # not a number comes last
    assert opened.grid.value(order[0]) == values[order[0]]
    qtbot.mouseClick(opened.direction, Qt.MouseButton.LeftButton)
    order = opened.grid.units[:-1]
    assert (np.diff(values[list(order)]) > 0).all() and opened.grid.units[-1] == 5
    sheet = opened.views()[0]
    assert sheet.value_name == "mean activation (post-activation)" and "97 images of Test images" in sheet.subtitle
    session.select_layer("stem.act")
    qtbot.waitUntil(lambda: not item.isEnabled())
    assert opened.grid.units == tuple(range(16)) and opened.grid.value(0) is None


def test_statistics_come_with_the_end_of_a_sweep(opened, runner, session, qtbot, statistics):
    answers = runner.answers.pop(LayerStatistics)
    session.open_images("test:images")
    qtbot.waitUntil(lambda: bool(runner.asked(LayerStatistics)))
    runner.answers[LayerStatistics] = answers
    sweep = session.relay.submit(Sweep("test:small", "test:images", ("blocks.1.act",)))
    runner.tell(sweep, "done", result=None)
    qtbot.waitUntil(lambda: opened.sort.model().item(1).isEnabled())
    assert "Largest activation" in opened.grid.describe(3) and "97 images of Test images" in opened.grid.describe(3)


# The panel's contract


def test_state_is_kept(opened, session, qtbot):
    opened.grid.tile_size = 48
    opened.filter.setText("0-9")
    opened.reverse()
    state = opened.save_state()
    other = NeuronGridPanel(session)
    qtbot.addWidget(other)
    other.restore_state(state)
    assert other.save_state() == state and other.grid.units == tuple(range(9, -1, -1))
    assert other.size.value() == 48
    other.restore_state({"tile": "wide", "sort": "no such thing"})
    assert other.sort.currentData() == ""


def test_nothing_open_says_what_to_do(panel, runner, session, qtbot):
    assert "No network is open" in panel.grid.message and panel.views() == []
    assert not panel.layers.isEnabled()
    session.open_images("test:images")
    qtbot.wait(20)
    assert not runner.asked(Thumbnails) and not runner.asked(LayerStatistics)


def test_a_network_that_cannot_be_opened_says_why(panel, runner, session, qtbot):
    runner.answers[LoadModel] = ValueError("no such network")
    runner.answers[OpenImages] = None
    session.open_model("test:none")
    qtbot.waitUntil(lambda: panel.grid.message == "no such network")


def test_contact_sheet_holds_what_is_on_screen(opened, runner, qtbot):
    job, request = newest(runner, "fine")
    runner.tell(job, "done", result=thumbnails(request))
    qtbot.waitUntil(lambda: opened.grid.level(0) == "fine")
    (sheet,) = opened.views()
    assert sheet.units == opened.grid.visible_units()
    assert sheet.provenance()["weights"].startswith("0123") and sheet.provenance()["layer"] == "blocks.1.act"
    assert sheet.data()["images"][3].max() == 3 and "post-activation" in sheet.subtitle
