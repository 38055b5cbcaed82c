"""The generate panel with a scripted worker: what is asked for, what is shown meanwhile, and stepping through the end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from widgets.panels import generate
from widgets.panels.generate import NETWORK, GeneratePanel
from workbench.analyses.analysis import Result
from workbench.jobs.requests import LoadModel, RunAnalysis


@pytest.fixture
def panel(session, runner, qtbot, monkeypatch):
    monkeypatch.setattr(generate, "comes_with_workbench", lambda: True)
    runner.answers[LoadModel] = replace(
        runner.answers[LoadModel], ref=NETWORK, name="diffusion", draws=True, prompts="emoji of animals", guidance=1.6
    )
    with qtbot.waitSignal(session.model_changed):
        session.open_model(NETWORK)
    made = GeneratePanel(session)
    qtbot.addWidget(made)
    made.resize(700, 700)
    made.show()
    return made


@pytest.fixture
def tell(runner, qapp):
    """Send an event and let it arrive."""

    def send(job, state, **news):
        runner.tell(job, state, **news)
        qapp.processEvents()

    return send


def started(panel, runner) -> int:
    panel.start.click()
    job = max(runner.requests)
    runner.tell(job, "running")
    return job


def drawn(images: int = 3, steps: int = 4) -> Result:
    trajectory = np.linspace(0, 0.5, steps)[:, None, None, None, None, None] * np.ones((steps, 2, images, 8, 8, 3))
    arrays = {
        "images": np.ones((2, images, 8, 8, 3), np.float32),
        "trajectory": np.rint(255 * trajectory).astype(np.uint8),
        "timesteps": np.array([999, 700, 400, 100][:steps]),
    }
    return Result("Generation", {}, arrays, {})


def test_every_line_is_a_prompt_in_the_style(panel, runner):
    panel.prompts.setPlainText("cat\n\n turtle ")
    panel.style_box.setCurrentText("fluent 3d")
    panel.images.setValue(3)
    panel.seed.setValue(5)
    started(panel, runner)
    (asked,) = runner.asked(RunAnalysis)
    assert asked == RunAnalysis(
        "Generation",
        {
            "prompts": ["cat, fluent 3d style", "turtle, fluent 3d style"],
            "images": 3,
            "seed": 5,
            "steps": 40,
            "guidance": 1.6,
        },
        NETWORK,
    )
    assert panel.start.text() == "Stop" and not panel.another.isEnabled()
    panel.prompts.setPlainText("")
    assert panel.parameters()["prompts"] == [""]


def test_guidance_begins_where_the_network_draws_best_and_a_choice_stays(panel, session, runner, qtbot):
    assert panel.guidance.value() == 1.6
    for chosen, expected in ((1.6, 3.0), (5.0, 5.0)):
        panel.guidance.setValue(chosen)
        runner.answers[LoadModel] = replace(runner.answers[LoadModel], ref="diffusers:other", name="other", guidance=3.0)
        with qtbot.waitSignal(session.model_changed):
            session.open_model("diffusers:other")
        assert panel.guidance.value() == expected


def test_images_are_shown_while_they_are_drawn_and_can_be_stepped_through(panel, runner, tell, qtbot):
    panel.images.setValue(3)
    job = started(panel, runner)
    tell(job, "progress", done=3, total=12, partial=np.full((2, 3, 8, 8, 3), 77, np.uint8), note="timestep 700")
    assert [len(row.pictures) for row in panel.strip.rows] == [3, 3]
    assert (panel.strip.rows[1].pictures[2].pixels == 77).all() and panel.said.full_text == "timestep 700"
    tell(job, "done", result=drawn())
    assert panel.step.value() == panel.step.maximum() == 4 and panel.level.text() == "image"
    assert (panel.strip.rows[0].pictures[0].pixels == 255).all()
    panel.step.setValue(3)
    assert (panel.strip.rows[0].pictures[0].pixels == 128).all() and panel.level.text() == "t = 100"
    panel.strip.picked.emit(1, 2)
    assert panel.course.rows[0].label == "Seed 2 at timestep, grinning face, noto style"
    panel.course.picked.emit(0, 0)
    assert panel.step.value() == 0 and panel.level.text() == "t = 999"
    assert panel.views() == [panel.strip, panel.course] and panel.strip.data()
    panel.play.click()
    qtbot.waitUntil(lambda: not panel.play.isChecked(), timeout=5000)
    assert panel.step.value() == panel.step.maximum()


def test_it_can_be_stopped_and_goes_on_with_further_seeds(panel, runner, tell, qtbot):
    job = started(panel, runner)
    panel.start.click()
    assert job not in runner.open
    qtbot.waitUntil(lambda: panel.start.isEnabled() and panel.start.text() == "Generate")
    assert panel.start.text() == "Generate" and panel.said.full_text.startswith("Stopped")
    assert not panel.another.isEnabled(), "nothing was drawn that could be gone on from"
    panel.images.setValue(3)
    job = started(panel, runner)
    tell(job, "done", result=drawn())
    panel.images.setValue(5)
    panel.another.click()
    assert runner.asked(RunAnalysis)[-1].parameters["seed"] == 3


def test_images_of_the_network_before_say_whose_they_are(panel, runner, tell, session, qtbot):
    panel.images.setValue(3)
    tell(started(panel, runner), "done", result=drawn())
    assert panel.strip.rows[0].label == "turtle, noto style"
    runner.answers[LoadModel] = replace(runner.answers[LoadModel], ref=f"{NETWORK}?twin=0")
    with qtbot.waitSignal(session.model_changed):
        session.open_model(f"{NETWORK}?twin=0")
    assert panel.strip.rows[0].label == f"turtle, noto style, by {NETWORK}"
    tell(started(panel, runner), "done", result=drawn())
    assert panel.strip.rows[0].label == "turtle, noto style"


def test_a_network_that_draws_nothing_is_told_what_to_do(panel, runner, session, qtbot):
    runner.answers[LoadModel] = replace(runner.answers[LoadModel], ref="timm:resnet18", name="resnet18", draws=False)
    with qtbot.waitSignal(session.model_changed):
        session.open_model("timm:resnet18")
    assert not panel.start.isEnabled() and "resnet18 draws nothing" in panel.about.full_text and panel.open.isVisible()
    runner.answers[LoadModel] = replace(runner.answers[LoadModel], ref=NETWORK, draws=True)
    with qtbot.waitSignal(session.model_changed):
        panel.open.click()
    assert panel.start.isEnabled()


def test_a_failure_is_said(panel, runner, tell):
    job = started(panel, runner)
    tell(job, "failed", error="no memory left")
    assert panel.said.full_text == "no memory left" and panel.start.isEnabled()


def test_what_was_asked_for_is_kept(panel, session, qtbot):
    panel.prompts.setPlainText("owl")
    panel.guidance.setValue(5.5)
    panel.seed.setValue(9)
    other = GeneratePanel(session)
    qtbot.addWidget(other)
    other.restore_state(panel.save_state())
    assert other.parameters() == panel.parameters()
    other.restore_state({"seed": "nine"})
