"""What is open and selected: opening, selecting, recording in the project, refusing what does not exist."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from workbench.jobs.first_look import first_looks
from workbench.jobs.requests import LoadModel, OpenImages, ReadImage
from workbench.labels import Label
from workbench.models.layer import Layer, Unit
from workbench.project import Project
from workbench.unit_families import Family


def signals(session) -> list[tuple[str, object]]:
    seen: list[tuple[str, object]] = []
    for name in ("model_changed", "layer_changed", "unit_changed", "images_changed", "message", "consent_needed"):
        getattr(session, name).connect(lambda *what, name=name: seen.append((name, *what)))
    return seen


@pytest.fixture
def opened(session, qtbot):
    with qtbot.waitSignal(session.model_changed):
        session.open_model("test:small")
    return session


def test_opening_a_model_selects_a_sensible_layer(session, qtbot):
    seen = signals(session)
    with qtbot.waitSignal(session.model_changed):
        session.open_model("test:small")
    assert session.model.name == "Small"
    assert session.layer == "blocks.0.act"  # a feature map behind a non-linearity, in the middle
    assert [name for name, *_ in seen] == ["model_changed", "layer_changed", "unit_changed"]
    assert (session.project.model, session.project.layer) == ("test:small", "blocks.0.act")
    assert not session.modified  # opening something is no edit


def test_blocks_of_branches_are_looked_at_first(session, runner, qtbot):
    blocks = tuple(Layer(f"mixed{name}", "cat", (64, 8, 8), 0) for name in ("3a", "3b", "4a"))
    branches = tuple(Layer(f"{block.name}.1x1", "relu", (16, 8, 8), 0, "post") for block in blocks)
    layers = tuple(layer for pair in zip(branches, blocks, strict=True) for layer in pair)
    runner.answers[LoadModel] = replace(runner.answers[LoadModel], layers=layers)
    with qtbot.waitSignal(session.model_changed):
        session.open_model("test:branches")
    assert session.layer == "mixed3b"


@pytest.mark.parametrize(
    ("name", "layer"),
    [("vit", "blocks.2.mlp.act"), ("clip", "visual.transformer.resblocks.2.mlp.gelu"), ("resnet", "layer2.0")],
)
def test_a_bundled_network_begins_with_a_layer_whose_units_are_there_at_once(session, runner, qtbot, name, layer):
    look = first_looks()[f"bundled:{name}"]
    runner.answers[LoadModel] = look.card()
    with qtbot.waitSignal(session.model_changed):
        session.open_model(look.ref)
    assert session.layer == layer and look.has(layer)


def test_a_wanted_layer_and_unit_are_selected(session, qtbot):
    with qtbot.waitSignal(session.unit_changed):
        session.open_model("test:small", layer="blocks.1.act", unit=Unit("blocks.1.act", 5))
    assert (session.layer, session.unit) == ("blocks.1.act", Unit("blocks.1.act", 5))


def test_a_wanted_unit_that_does_not_exist_is_left_out(session, qtbot):
    with qtbot.waitSignal(session.unit_changed):
        session.open_model("test:small", layer="gone", unit=Unit("gone", 5))
    assert (session.layer, session.unit) == ("blocks.0.act", None)


def test_selecting_checks_that_it_exists(opened):
    with pytest.raises(ValueError, match=r"no layer 'blocks\.0\.akt' in this model; did you mean blocks\.0\.act"):
        opened.select_layer("blocks.0.akt")
    with pytest.raises(ValueError, match=r"blocks\.0\.act:32 does not exist: blocks\.0\.act has units 0 to 31"):
        opened.select_unit(Unit("blocks.0.act", 32))
    opened.select_unit(Unit("head", 9))
    assert (opened.layer, opened.unit) == ("head", Unit("head", 9))
    opened.select_layer("stem.act")
    assert opened.unit is None
    assert (opened.project.layer, opened.project.unit) == ("stem.act", "")


def test_the_newest_request_wins(session, runner, qtbot):
    card = runner.answers.pop(LoadModel)
    session.open_model("test:one")
    session.open_model("test:two")
    first, second = (job for job, request in runner.requests.items() if isinstance(request, LoadModel))
    assert first not in runner.open  # cancelled
    runner.tell(second, "done", result=replace(card, ref="test:two"))
    qtbot.waitUntil(lambda: session.model is not None)
    assert session.model.ref == "test:two"


def test_a_network_that_fails_is_reported_and_what_was_open_stays(opened, runner, qtbot):
    runner.answers[LoadModel] = ValueError("no network named 'x' in timm; did you mean y?")
    with qtbot.waitSignal(opened.message) as said:
        opened.open_model("timm:x")
    assert said.args[0].text == "no network named 'x' in timm; did you mean y?"
    assert said.args[0].details == "Traceback of a test"
    assert opened.model.ref == "test:small"


def test_a_failed_open_that_is_retried_still_opens(session, runner, qtbot):
    card = runner.answers[LoadModel]
    runner.answers[LoadModel] = ValueError("offline")
    with qtbot.waitSignal(session.message):
        session.open_model("timm:x")
    runner.answers[LoadModel] = card
    with qtbot.waitSignal(session.model_changed):
        session.relay.retry(1)
    assert session.model is card


def test_python_references_ask_first(session, runner, qtbot):
    with qtbot.waitSignal(session.consent_needed) as asked:
        session.open_model("python:/tmp/net.py:make")
    assert asked.args == ["python:/tmp/net.py:make", "", None]
    assert runner.asked(LoadModel) == []
    session.open_model("python:/tmp/net.py:make", allow_code=True)
    assert runner.asked(LoadModel) == [LoadModel("python:/tmp/net.py:make", True)]


def test_what_waits_for_consent_does_not_touch_what_is_being_opened(session, runner, qtbot):
    card = runner.answers.pop(LoadModel)
    session.open_model("test:small", layer="blocks.1.act", unit=Unit("blocks.1.act", 5))
    session.open_model("python:/tmp/net.py:make", layer="head", unit=Unit("head", 1))
    with qtbot.waitSignal(session.model_changed):
        runner.tell(1, "done", result=card)
    assert session.unit == Unit("blocks.1.act", 5)


def test_images_open_and_are_recorded(session, runner, qtbot):
    with qtbot.waitSignal(session.images_changed):
        session.open_images("emoji")
    assert session.images.length == 100
    assert session.project.images == session.images.ref
    assert runner.asked(OpenImages) == [OpenImages("emoji")]


def test_a_dropped_image_is_checked_and_read_only(session):
    seen = []
    session.image_changed.connect(seen.append)
    session.drop_image(np.zeros((4, 5, 3), np.uint8))
    assert seen[0] is session.image and not session.image.flags.writeable
    with pytest.raises(ValueError, match=r"an image is uint8 \[y, x, 3\], got float64 \[4, 5\]"):
        session.drop_image(np.zeros((4, 5)))
    session.drop_image(None)
    assert session.image is None


@pytest.fixture
def readings(session, runner):
    """Give a function that asks for an image and returns its job, which a test ends by hand."""
    del runner.answers[ReadImage]

    def read(name: str) -> int:
        session.open_image(Path(name), name)
        assert session.reading == name
        return max(runner.requests)

    return read


def test_the_image_brought_in_last_is_shown(session, runner, qtbot, readings):
    first, second = readings("first.png"), readings("second.png")
    runner.tell(first, "done", result=np.zeros((1, 1, 3), np.uint8))  # it was on its way already
    runner.tell(second, "done", result=np.ones((2, 2, 3), np.uint8))
    seen = []
    session.image_changed.connect(seen.append)
    qtbot.waitUntil(lambda: session.reading == "")
    assert [image.shape for image in seen] == [(2, 2, 3)] and session.image_name == "second.png"


def test_an_image_put_away_while_it_is_read_does_not_come_back(session, runner, qtbot, readings):
    job = readings("late.png")
    session.drop_image(None)
    assert session.reading == ""
    runner.tell(job, "done", result=np.zeros((1, 1, 3), np.uint8))
    with qtbot.waitSignal(session.relay.event, check_params_cb=lambda event: event.ended):
        pass
    assert session.image is None


def test_an_image_that_cannot_be_read_is_named_and_can_be_tried_again(session, runner, qtbot, readings):
    session.drop_image(np.zeros((4, 5, 3), np.uint8), "good.png")
    job = readings("bad.png")
    with qtbot.waitSignal(session.message) as said:
        runner.tell(job, "failed", error="bad.png is damaged: cut short")
    assert said.args[0].text == "bad.png is damaged: cut short"
    assert session.reading == "" and session.image_name == "good.png"
    session.relay.retry(job)
    with qtbot.waitSignal(session.image_changed):
        runner.tell(max(runner.requests), "done", result=np.zeros((1, 1, 3), np.uint8))
    assert session.image_name == "bad.png"


def test_touching_marks_as_modified_and_another_project_clears_it(session):
    marks, touched = [], []
    session.modified_changed.connect(marks.append)
    session.touched.connect(lambda: touched.append(1))
    session.project.labels["m"] = {"u:1": [Label("curve")]}
    session.touch()
    session.touch()
    assert marks == [True] and len(touched) == 2
    changed = []
    session.project_changed.connect(lambda: changed.append(1))
    session.project = Project(model="x")
    assert marks == [True, False] and changed == [1] and session.undo_stack.count() == 0


def test_a_layer_answers_to_any_of_its_names(opened):
    opened.select_unit(Unit("blocks.0.sum", 3))
    assert opened.layer == "blocks.0:add"
    assert opened.unit == Unit("blocks.0:add", 3)
    opened.select_layer("stem.act")
    opened.select_layer("blocks.0.sum")
    assert opened.layer == "blocks.0:add"


def test_units_are_selected_together_until_another_is_chosen(opened):
    seen = []
    opened.selection_changed.connect(seen.append)
    opened.select_unit(Unit("blocks.1.act", 5))
    opened.select_together((9, 5))
    opened.select_together((9, 5))
    assert (opened.unit, opened.selection) == (Unit("blocks.1.act", 5), (9, 5))
    opened.select_unit(Unit("blocks.1.act", 7))
    opened.select_layer("stem.act")
    assert opened.selection == () and seen == [(), (5,), (9, 5), (7,), ()]


def test_a_family_is_selected_in_its_order_and_its_first_unit_looked_at(opened):
    opened.project.families["test:small"] = [Family("Curves", "blocks.0:add", [9, 3, 4]), Family("beyond", "head", [1, 10])]
    opened.select_family("blocks.0.sum", "curves")
    assert (opened.layer, opened.unit, opened.selection, opened.family) == ("blocks.0:add", Unit("blocks.0:add", 9), (9, 3, 4), "Curves")
    with pytest.raises(ValueError, match="head:10 does not exist: head has units 0 to 9"):
        opened.select_family("head", "beyond")
    with pytest.raises(ValueError, match="no family 'lines' in head in this investigation"):
        opened.select_family("head", "lines")
    assert opened.family == "Curves", "what cannot be selected changes nothing"
    opened.select_unit(Unit("blocks.0:add", 3))
    assert (opened.selection, opened.family) == ((3,), "")
