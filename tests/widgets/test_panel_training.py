"""The training panel: a tiny run through the real worker, paused, resumed, stopped; and what it says with a scripted one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PySide6.QtCore import Qt
from PySide6.QtGui import QAction

from widgets.app import make_engine
from widgets.panels.training import NAME, STEP, TrainingPanel
from widgets.relay import Relay
from widgets.session import Session
from workbench.jobs.requests import ImageSetCard, LoadModel
from workbench.jobs.runner import Runner
from workbench.jobs.runs import RunCard
from workbench.jobs.training_requests import DescribeRecipes, ListRuns, RecipeCard, Train, Trained
from workbench.training.recipe import schema_of
from workbench.training.trainer import Progress

SCHEMA = {
    "properties": {
        "steps": {"type": "integer", "default": 100, "minimum": 1, "description": "weight updates"},
        "images": {"type": "string", "default": "emoji"},
        "column": {"type": "string", "default": "subgroup"},
    }
}
RECIPES = (
    RecipeCard("small", "Image classifier", "Name images.\n\nMore of it.", SCHEMA),
    RecipeCard(
        "words", "Language model", "Continue captions.", {"properties": {"steps": SCHEMA["properties"]["steps"]}}
    ),
)
CURVES = {"loss": ([10, 20], [2.0, 1.0]), "accuracy": ([10, 20], [0.25, 0.5])}


def shown(qtbot, session, folder: Path) -> TrainingPanel:
    panel = TrainingPanel(session)
    qtbot.addWidget(panel)
    panel.folder.setText(str(folder))
    panel.list_runs()
    panel.resize(900, 700)
    panel.show()
    qtbot.waitUntil(lambda: panel.setup.form is not None, timeout=120_000)
    return panel


def card(folder: Path, step: int, steps: int = 100, curves: Any = CURVES) -> RunCard:
    return RunCard(folder, "Small", {"steps": steps, "seed": 3}, step, steps, curves, 1.7e9)


@pytest.fixture
def panel(session, runner, qtbot, tmp_path):
    runner.answers[DescribeRecipes] = RECIPES
    runner.answers[ListRuns] = (card(tmp_path / "old", 20), card(tmp_path / "full", 100, curves={}))
    made = shown(qtbot, session, tmp_path)
    qtbot.waitUntil(lambda: made.list.topLevelItemCount() == 2)
    return made


def started(panel, runner) -> int:
    panel.start.click()
    job = max(runner.requests)
    runner.tell(job, "running")
    return job


def begun(panel, runner) -> int:
    job = started(panel, runner)
    runner.tell(job, "progress", done=10, total=100, partial=Progress(10, CURVES, 10.0))
    return job


# Scripted


def test_the_form_of_a_recipe_becomes_a_run_in_a_new_folder(panel, runner, tmp_path, qtbot):
    assert panel.setup.recipe.itemText(0) == "small – Image classifier" and panel.setup.about.full_text == "Name images."
    panel.setup.form.set_value("steps", 30)
    panel.setup.device.setCurrentText("cpu")
    panel.setup.precision.setCurrentText("fp32")
    assert panel.name.placeholderText() == "small-1"
    panel.start.click()
    settings = {"steps": 30, "images": "emoji", "column": "subgroup"}
    assert runner.asked(Train) == [Train("small", settings, tmp_path / "small-1", "cpu", "fp32")]
    assert not panel.start.isEnabled() and panel.stop.isEnabled() and panel.pause.text() == "Pause"
    panel.setup.recipe.setCurrentIndex(1)
    assert panel.setup.form.values() == {"steps": 100}


@pytest.mark.parametrize("recipe", [0, 1])
def test_the_parameters_are_reached_between_the_recipe_and_the_images(panel, recipe, reached_with_tab, qtbot):
    panel.setup.recipe.setCurrentIndex(1 - recipe)
    panel.setup.recipe.setCurrentIndex(recipe)
    panel.setup.use_images.setEnabled(True)
    qtbot.waitUntil(panel.setup.form.isVisible)
    reached = reached_with_tab(panel.setup.recipe)
    place = {widget: reached.index(widget) for widget in (panel.setup.use_images, panel.start, panel.list)}
    of_form = [at for at, widget in enumerate(reached) if panel.setup.form.isAncestorOf(widget)]
    names = [reached[at].accessibleName() for at in of_form]
    assert names == ["Parameters", *(f"{name}: back to the default" for name in panel.setup.form.fields)]
    assert of_form == list(range(of_form[0], of_form[-1] + 1))
    assert of_form[-1] < place[panel.setup.use_images] < place[panel.start] < place[panel.list]


def test_runs_are_asked_for_before_the_recipes_that_take_torch(session, runner, qtbot):
    made = TrainingPanel(session)
    qtbot.addWidget(made)
    asked = [type(request) for _, request in sorted(runner.requests.items())]
    assert asked.index(ListRuns) < asked.index(DescribeRecipes)


def test_a_name_that_is_taken_is_not_trained_over(panel):
    panel.name.setText("old")
    assert not panel.start.isEnabled() and "There is a run old" in panel.start.toolTip()
    panel.name.setText("new")
    assert panel.start.isEnabled()
    panel.setup.form._group.child("images").setValue("")
    panel.setup.form.set_value("steps", 5)
    assert panel.new_folder().name == "new"


def test_curves_step_speed_and_time_left_are_shown_while_it_trains(panel, runner, qtbot):
    job = started(panel, runner)
    runner.tell(job, "progress", done=0, total=100, note="opening the data")
    qtbot.waitUntil(lambda: panel.state.full_text == "small-1: opening the data")
    assert panel.views() == []
    runner.tell(job, "progress", done=20, total=100, seconds_left=240.0, partial=Progress(20, CURVES, 118.4))
    qtbot.waitUntil(lambda: panel.state.full_text == "small-1: update 20 of 100 · 118 examples/s · 4 min left")
    assert panel.bar.value() == 200
    [view] = panel.views()
    np.testing.assert_array_equal(view.data()["accuracy"], [0.25, 0.5])
    np.testing.assert_array_equal(view.data()["accuracy_steps"], [10, 20])
    assert view.provenance()["settings"]["steps"] == 100 and view.title == "Training small-1"
    assert "loss 1.00" in view.accessibleDescription()
    runner.tell(job, "progress", done=100, total=100, note="measuring on the test part")
    qtbot.waitUntil(lambda: panel.state.full_text == "small-1: measuring on the test part")
    measured = {"train_top1": 0.75, "test_top1": 0.625, "test_images": 1200}
    runner.tell(job, "done", result=Trained(card(Path("small-1"), 100), measured, "skipped 1 unreadable image: a.png (is empty (0 bytes))"))
    qtbot.waitUntil(lambda: panel.said.text().startswith("Finished after 100 updates. On training batches: loss 1.00, accuracy 0.500.\n"))
    told = panel.said.text().splitlines()[1:]
    assert told == [
        "Measured: train top1 0.750, test top1 0.625, test images 1,200.",
        "Skipped 1 unreadable image: a.png (is empty (0 bytes)).",
    ]
    assert panel.start.isEnabled() and not panel.bar.isVisible()


def test_what_was_cancelled_before_it_began_is_not_called_paused(panel, runner, qtbot, tmp_path):
    for place, button in enumerate((panel.pause, panel.stop), 1):
        job = started(panel, runner)
        runner.tell(job, "progress", done=40, total=40, note="40 images found in birds")
        button.click()
        qtbot.waitUntil(lambda place=place: panel.said.text() == f"small-{place}: cancelled before it began; nothing was kept.")
        assert not panel.pause.isEnabled() and panel.start.isEnabled() and panel.state.full_text == ""
    started(panel, runner)
    folder = runner.asked(Train)[-1].folder
    folder.mkdir()
    (folder / "recipe.json").touch()  # an update was done, and no point of the curves is there yet
    panel.pause.click()
    qtbot.waitUntil(lambda: panel.said.text().startswith("Paused. Resume goes on from here"))


def test_what_was_cancelled_while_it_was_measured_is_finished(panel, runner, qtbot):
    job = started(panel, runner)
    runner.tell(job, "progress", done=100, total=100, partial=Progress(100, CURVES, 10.0))
    runner.tell(job, "cancelled", done=100, total=100, note="measuring on the test part")
    qtbot.waitUntil(lambda: panel.said.text() == "Finished after 100 updates; cancelled before it was measured.")
    assert panel.state.full_text == "small-1: finished"


def test_pause_and_resume_ask_for_the_same_run_again_and_stop_lets_go_of_it(panel, runner, qtbot):
    begun(panel, runner)
    panel.pause.click()
    qtbot.waitUntil(lambda: panel.said.text().startswith("Paused."))
    assert panel.pause.text() == "Resume" and panel.pause.isEnabled() and not panel.stop.isEnabled()
    panel.pause.click()
    first, second = runner.asked(Train)
    assert first == second
    runner.tell(max(runner.requests), "progress", done=20, total=100, partial=Progress(20, CURVES, 10.0))
    panel.stop.click()
    qtbot.waitUntil(lambda: panel.said.text() == "Stopped. Choose small-1 in the list to go on with it.")
    assert not panel.pause.isEnabled() and panel.start.isEnabled()


def test_an_earlier_run_shows_its_curves_and_is_gone_on_with(panel, runner, qtbot, tmp_path):
    assert [panel.list.topLevelItem(row).text(STEP) for row in (0, 1)] == ["20 of 100", "100 of 100"]
    assert '"seed": 3' in panel.list.topLevelItem(0).toolTip(NAME)
    panel.list.setCurrentItem(panel.list.topLevelItem(0))
    assert panel.plot.title == "Training old" and panel.state.full_text == "old: 20 of 100 updates"
    (plot,) = panel.views()
    assert str(tmp_path / "old") in plot.recomputation.python() and "train Small --set steps=100" in plot.recomputation.command()
    panel.setup.device.setCurrentText("cpu")
    panel.pause.click()
    assert runner.asked(Train) == [Train("Small", {"steps": 100, "seed": 3}, tmp_path / "old", "cpu", "auto")]
    assert panel.plot.title == "Training old"
    panel.stop.click()
    qtbot.waitUntil(lambda: not panel.stop.isEnabled())
    panel.list.setCurrentItem(panel.list.topLevelItem(1))
    assert not panel.pause.isEnabled() and panel.views() == []  # it is finished, and without a log


def test_another_run_can_be_looked_at_meanwhile(panel, runner, qtbot, tmp_path):
    job = started(panel, runner)
    panel.list.setCurrentItem(panel.list.topLevelItem(0))
    assert panel.plot.title == "Training old"
    runner.tell(job, "progress", done=30, total=100, partial=Progress(30, CURVES, 10.0))
    qtbot.waitUntil(lambda: "small-1: update 30" in panel.state.full_text)
    assert panel.plot.title == "Training old"
    panel.pause.click()
    qtbot.waitUntil(lambda: panel.said.text().startswith("Paused."))
    assert panel.plot.title == "Training small-1"
    panel.pause.click()
    assert [request.folder.name for request in runner.asked(Train)] == ["small-1", "small-1"]


def test_errors_are_told_at_the_field(panel, runner, qtbot):
    job = started(panel, runner)
    runner.tell(job, "failed", error="small: column: there is none of that name")
    qtbot.waitUntil(lambda: panel.said.text() == "small: column: there is none of that name")
    assert "there is none" in panel.setup.form._group.child("column").title()
    assert panel.start.isEnabled() and not panel.pause.isEnabled()


def test_a_run_that_the_jobs_panel_starts_again_is_followed(panel, session, runner, qtbot):
    job = started(panel, runner)
    runner.tell(job, "failed", error="no room on the disk")
    qtbot.waitUntil(lambda: panel.said.text() == "no room on the disk")
    again = session.relay.retry(job)
    runner.tell(again, "progress", done=20, total=100, partial=Progress(20, CURVES, 10.0))
    qtbot.waitUntil(lambda: "update 20" in panel.state.full_text)
    assert panel.stop.isEnabled()


def test_the_open_images_are_trained_on_by_a_column_they_have(panel, session, qtbot):
    assert not panel.setup.use_images.isEnabled()
    session.images = ImageSetCard("folder:birds", "birds", 90, {"id": 90, "label": 4}, "CC0", "00")
    session.images_changed.emit(session.images)
    panel.setup.use_images.click()
    assert panel.setup.form.values()["images"] == "folder:birds" and panel.setup.form.values()["column"] == "label"
    panel.setup.recipe.setCurrentIndex(1)
    assert not panel.setup.use_images.isEnabled() and "images of its own" in panel.setup.use_images.toolTip()


def test_an_autoencoder_is_shown_images_without_a_column(panel, session, qtbot):
    session.images = ImageSetCard("folder:birds", "birds", 90, {"id": 90, "label": 4}, "CC0", "00")
    session.images_changed.emit(session.images)
    card = RecipeCard("SparseAutoencoder", "Sparse autoencoder", "Take a layer apart.", schema_of("SparseAutoencoder"))
    panel.setup._recipes[card.name] = card
    panel.setup.recipe.addItem(card.title, card.name)
    panel.setup.recipe.setCurrentIndex(panel.setup.recipe.count() - 1)
    assert panel.setup.form.errors, "the network is not named yet"
    panel.setup.use_images.click()
    for name in panel.setup.form.errors:
        panel.setup.form.set_value(name, "mixed3a")
    assert panel.setup.form.values()["images"] == "folder:birds"


def test_what_is_chosen_is_there_again(panel, session, runner, qtbot, tmp_path):
    panel.setup.recipe.setCurrentIndex(1)
    panel.setup.precision.setCurrentText("fp32")
    panel.logarithmic.setChecked(True)
    other = shown(qtbot, session, tmp_path)
    other.restore_state(panel.save_state())
    assert other.setup.recipe.currentData() == "words" and other.setup.precision.currentText() == "fp32"
    assert other.plot.logarithmic and other.folder.text() == str(tmp_path)
    other.restore_state({"recipe": "gone", "precision": 3, "sizes": "x"})
    assert other.setup.recipe.currentData() == "small"


def test_commands_do_what_the_buttons_do(make_window, runner, qtbot):
    runner.answers[DescribeRecipes] = RECIPES
    window = make_window()
    window.docks.reveal("training")
    made = window.docks.panel("training")
    qtbot.waitUntil(lambda: made.setup.form is not None, timeout=60_000)
    action = {name: window.findChild(QAction, f"training.{name}") for name in ("start", "pause", "stop")}
    action["start"].trigger()
    assert len(runner.asked(Train)) == 1 and made.stop.isEnabled()
    job = max(job for job, request in runner.requests.items() if isinstance(request, Train))
    runner.tell(job, "progress", done=10, total=100, partial=Progress(10, CURVES, 1.0))
    qtbot.waitUntil(lambda: made._progress is not None)
    action["stop"].trigger()
    qtbot.waitUntil(lambda: made.said.text().startswith("Stopped."))
    assert not window.registry.find("training.stop").is_enabled()


# Through the worker


def test_a_run_is_paused_gone_on_with_stopped_and_taken_up_by_another_window(qapp, qtbot, tmp_path):
    random = np.random.default_rng(0)
    for index in range(20):
        path = tmp_path / "drawings" / "ab"[index % 2] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 255, (16, 16, 3), np.uint8)).save(path)
    sessions = [Session(Relay(lambda deliver: Runner(deliver, make_engine))) for _ in range(2)]
    try:
        panel = shown(qtbot, sessions[0], tmp_path / "runs")
        panel.setup.recipe.setCurrentIndex(panel.setup.recipe.findData("resnet"))
        small = {"images": f"folder:{tmp_path / 'drawings'}", "column": "label", "size": 16, "batch": 8, "steps": 5000}
        for name, value in small.items():
            panel.setup.form.set_value(name, value)
        panel.setup.precision.setCurrentText("fp32")
        panel.start.click()
        qtbot.waitUntil(lambda: len(panel.views()) == 1, timeout=60_000)
        panel.pause.click()
        qtbot.waitUntil(lambda: panel.said.text().startswith("Paused."), timeout=60_000)
        run = tmp_path / "runs" / "resnet-1"
        qtbot.waitUntil(lambda: run in panel._runs and panel._runs[run].step > 0, timeout=60_000)  # listed again
        paused = panel._runs[run]
        assert panel.list.topLevelItem(0).text(STEP) == f"{paused.step:,} of 5,000" and paused.step >= 10
        panel.pause.click()
        qtbot.waitUntil(lambda: panel._progress is not None, timeout=60_000)
        points = panel.plot.data()["loss_steps"]
        assert paused.step < points[-1] and list(points) == list(range(10, int(points[-1]) + 1, 10))
        panel.stop.click()
        qtbot.waitUntil(lambda: panel.said.text().startswith("Stopped."), timeout=60_000)
        sessions[0].close(30)

        other = shown(qtbot, sessions[1], tmp_path / "runs")
        qtbot.waitUntil(lambda: other.list.topLevelItemCount() == 1)
        other.setup.precision.setCurrentText("fp32")
        other.list.setCurrentItem(other.list.topLevelItem(0))
        stopped = other._runs[tmp_path / "runs" / "resnet-1"]
        qtbot.mouseClick(other.pause, Qt.MouseButton.LeftButton)
        qtbot.waitUntil(lambda: other._progress is not None, timeout=60_000)
        assert stopped.step < other._progress.step
        other.stop.click()
        qtbot.waitUntil(lambda: other.said.text().startswith("Stopped."), timeout=60_000)
    finally:
        for session in sessions:
            session.close(30)


def test_the_chosen_run_opens_as_a_network(panel, runner, qtbot, tmp_path):
    assert not panel.open_run.isEnabled()
    panel.list.setCurrentItem(panel.list.topLevelItem(0))
    panel.open_run.click()
    qtbot.waitUntil(lambda: bool(runner.asked(LoadModel)))
    assert runner.asked(LoadModel)[-1] == LoadModel(f"run:{tmp_path / 'old'}")
    panel._runs[panel._chosen] = replace(panel._runs[panel._chosen], recipe="SparseAutoencoder")
    panel._refresh()
    assert not panel.open_run.isEnabled() and "Open latents in the panel Mixtures" in panel.open_run.toolTip()
    panel.list.itemActivated.emit(panel.list.currentItem(), 0)
    assert len(runner.asked(LoadModel)) == 1
