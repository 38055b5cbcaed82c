"""The inspector: what it asks for a unit, in which order it shows the answers, and that an answer about another unit comes too late."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QWidget

from tests.widgets.conftest import CARD
from widgets.elided_label import ElidedLabel
from widgets.export import export_view
from widgets.panels.inspector import InspectorPanel
from widgets.sight import put_behind
from widgets.unit_card.examples import short
from widgets.unit_card.response import as_map
from workbench.analyses.analysis import Result
from workbench.jobs.example_requests import PreActivation, UnitExamples
from workbench.jobs.on_image_requests import UnitOnImage
from workbench.jobs.requests import FetchImages, LoadModel, ReadImage, Sweep
from workbench.jobs.thumbnail_requests import Thumbnails
from workbench.labels import Label, put
from workbench.models.layer import Layer, Unit

UNIT = Unit("blocks.1.act", 9)
OTHER = Unit("blocks.1.act", 10)
PHOTO = np.full((30, 40, 3), 90, np.uint8)


def found(request: UnitExamples, seen: int = 100) -> dict[str, object]:
    """What a sweep of 100 images finds: 16 strongest, 5 ranges of 8, 16 weakest; value v comes from image ``v.png``."""

    def end(name: str, values: np.ndarray) -> dict[str, object]:
        shape = values.shape
        return {
            f"{name}_values": values.astype(np.float32),
            f"{name}_index": values.astype(int),
            f"{name}_position": np.full((*shape, 2), 7),
            f"{name}_images": np.broadcast_to(values.astype(np.uint8)[..., None, None, None], (*shape, 12, 12, 3)),
            f"{name}_boxes": np.broadcast_to(np.array([0, 0, 224, 224], np.int32), (*shape, 4)),
            f"{name}_names": tuple(f"set/{value}.png" for value in values.ravel()),
        }

    top = np.arange(100, 84, -1)
    edges = np.arange(0, 101, 20)
    sample = edges[:5, None] + np.arange(8)
    return {
        **end("top", top),
        **end("sample", sample),
        **end("bottom", np.arange(16)),
        "size": (224, 224),
        "finished": seen == 100,
        "range_edges": edges.astype(np.float32),
        "max_histogram": np.array([0, seen // 2, seen - seen // 2, 0]),
        "max_histogram_edges": np.array([-50.0, 0, 50, 100, 150], np.float32),
        "histogram": np.array([900, 700]),
        "histogram_edges": np.array([-1.0, 0, 1], np.float32),
        "active_images": np.float32(0.99),
        "sparsity": np.float32(0.4375),
    }


def response(request: UnitOnImage) -> dict[str, object]:
    map_ = np.zeros((14, 14), np.float32)
    map_[5, 8] = 42
    return {
        "input": np.zeros((224, 224, 3), np.uint8),
        "map": map_,
        "value": 42.0,
        "top_classes": (("cat", 0.9), ("dog", 0.1)),
        "percentile": 0.42,
        "n": 90,
    }


def thumbnails(request: Thumbnails) -> dict[int, np.ndarray]:
    side = 16 if request.level == "coarse" else 32
    return {unit: np.full((request.seeds, side, side, 3), 200, np.uint8) for unit in request.units}


@pytest.fixture
def panel(session, qtbot):
    panel = InspectorPanel(session)
    qtbot.addWidget(panel)
    panel.resize(420, 900)
    panel.show()
    qtbot.waitExposed(panel)
    return panel


@pytest.fixture
def opened(panel, session, runner, qtbot):
    """The panel with a network, images and a unit; the worker has not answered anything about the unit."""
    session.open_model("test:small", layer=UNIT.layer)
    session.open_images("test:images")
    qtbot.waitUntil(lambda: session.model is not None and session.images is not None)
    session.select_unit(UNIT)
    return panel


def answer(runner, kind, result=None, **news) -> int:
    """End the newest open job of a kind."""
    job = max(job for job in runner.open if isinstance(runner.requests[job], kind))
    runner.tell(job, "done", result=result, **news)
    return job


# Asking


def test_everything_is_asked_for_once_the_unit_stays(opened, runner, qtbot):
    assert runner.asked(UnitExamples) == [UnitExamples("test:small", "test:images", str(UNIT))]
    assert not runner.asked(Thumbnails) and not runner.asked(UnitOnImage)
    qtbot.waitUntil(lambda: len(runner.asked(Thumbnails)) == 4)
    asked = runner.asked(Thumbnails)
    assert [(r.level, r.negative) for r in asked] == [
        ("coarse", False),
        ("coarse", True),
        ("fine", False),
        ("fine", True),
    ]
    assert {(r.units, r.seeds, r.purpose) for r in asked} == {((9,), 4, "inspector")}
    assert len({r.key for r in asked}) == 4  # none supersedes another of the same unit


def test_leafing_through_units_renders_only_the_last(opened, runner, session, qtbot):
    for index in range(20, 30):
        session.select_unit(Unit(UNIT.layer, index))
    qtbot.waitUntil(lambda: bool(runner.asked(Thumbnails)))
    assert {request.units for request in runner.asked(Thumbnails)} == {(29,)}
    assert len({request.key for request in runner.asked(UnitExamples)}) == 1  # the newest supersedes


def test_a_hidden_panel_asks_when_it_is_shown(session, runner, qtbot):
    panel = InspectorPanel(session)
    qtbot.addWidget(panel)
    session.open_model("test:small", layer=UNIT.layer, unit=UNIT)
    session.open_images("test:images")
    qtbot.waitUntil(lambda: session.images is not None and session.unit == UNIT)
    qtbot.wait(20)
    assert not runner.asked(UnitExamples)
    panel.show()
    qtbot.waitUntil(lambda: bool(runner.asked(UnitExamples)) and bool(runner.asked(Thumbnails)))


def test_nothing_selected_says_what_to_do(panel, session, qtbot):
    assert panel.empty.isVisible() and "No network" in panel.empty.text() and panel.views() == []
    session.open_model("test:small")
    qtbot.waitUntil(lambda: "Click a unit" in panel.empty.text())


# Header and label


def test_header_says_which_unit_this_is(opened, qtbot):
    assert opened.address.text() == "blocks.1.act:9"
    assert opened.about.text() == "relu · post-activation · unit 9 of 64 · 14 × 14 positions"
    qtbot.mouseClick(opened.copy, Qt.MouseButton.LeftButton)
    assert QGuiApplication.clipboard().text() == "workbench:test:small#blocks.1.act:9"


def test_label_is_saved_with_the_unit_it_was_typed_for(opened, session, qtbot):
    qtbot.keyClicks(opened.labels.name, "whiskers")
    session.select_unit(OTHER)
    assert opened.labels.name.text() == ""
    [label] = session.project.labels["test:small"]["blocks.1.act:9"]
    assert label.name == "whiskers" and list(session.project.labels["test:small"]) == ["blocks.1.act:9"] and session.modified


def test_a_figure_says_what_the_unit_is_called(opened, session, runner, qtbot):
    runner.answers[Thumbnails] = thumbnails
    put(session.project.labels, "test:small", str(UNIT), [Label("whiskers", kind="proposed"), Label("ears")])
    session.select_unit(OTHER)
    session.select_unit(UNIT)
    qtbot.waitUntil(lambda: bool(opened.visualizations.views()))
    assert opened.visualizations.strip.provenance()["label"] == "ears"


# Feature visualization


def test_placeholders_then_coarse_then_fine(opened, runner, qtbot):
    rows = opened.visualizations.strip.rows
    assert [row.label for row in rows] == ["positive", "negative"]
    assert all(picture.pixels is None for row in rows for picture in row.pictures) and len(rows[0].pictures) == 4
    runner.answers[Thumbnails] = None
    del runner.answers[Thumbnails]
    qtbot.waitUntil(lambda: len(runner.asked(Thumbnails)) == 4)
    jobs = [job for job, request in runner.requests.items() if isinstance(request, Thumbnails)]
    for job, notes in zip(
        jobs,
        (["16 px, finer ones follow", "rendering …"], None, ["32 px", "16 px, finer ones follow"], ["32 px", "32 px"]),
        strict=True,
    ):
        runner.tell(job, "done", result=thumbnails(runner.requests[job]))
        if notes:
            qtbot.waitUntil(lambda notes=notes: [row.note for row in opened.visualizations.strip.rows] == notes)


def test_a_click_on_a_visualization_shows_it_to_the_network(opened, runner, session, qtbot):
    runner.answers[Thumbnails] = thumbnails
    qtbot.waitUntil(lambda: opened.visualizations.strip.rows[0].note == "32 px")
    opened.visualizations.strip.picked.emit(0, 2)
    assert session.image.shape == (32, 32, 3)
    assert session.image_name == "positive visualization of blocks.1.act:9, seed 2"
    (request,) = runner.asked(UnitOnImage)
    assert request.image is session.image and (request.layer, request.unit) == (UNIT.layer, 9)


def test_a_failed_visualization_says_why(opened, runner, qtbot):
    runner.answers[Thumbnails] = ValueError("the gradient is NaN")
    qtbot.waitUntil(lambda: opened.visualizations.strip.message == "the gradient is NaN")


# Dataset examples and sweep


def test_without_a_sweep_one_is_offered_and_started(opened, runner, qtbot):
    answer(runner, UnitExamples, None)
    qtbot.waitUntil(opened.examples.sweep.button.isVisible)
    assert opened.examples.sweep.button.text() == "Sweep Test images (100 images)"
    assert opened.views() == []
    qtbot.mouseClick(opened.examples.sweep.button, Qt.MouseButton.LeftButton)
    assert runner.asked(Sweep) == [Sweep("test:small", "test:images", (UNIT.layer,))]


def test_a_sweep_that_ends_behind_another_tab_is_asked_about_once_somebody_looks(opened, session, runner, qtbot):
    put_behind(opened, True)
    before = len(runner.asked(UnitExamples))
    job = session.relay.submit(Sweep("test:small", "test:images", (UNIT.layer,)))
    with qtbot.waitSignal(opened.examples.outdated):
        runner.tell(job, "done", result=swept())
    session.show_twin(True)
    assert len(runner.asked(UnitExamples)) == before
    put_behind(opened, False)
    later = runner.asked(UnitExamples)[before:]
    assert {request.model for request in later} == {"test:small", session.twin_ref}


def test_a_sweep_is_followed_whoever_started_it_and_gives_examples_meanwhile(
    opened, runner, session, qtbot, monkeypatch
):
    monkeypatch.setattr("widgets.unit_card.examples.SECONDS_BETWEEN_LOOKS", 0.0)
    answer(runner, UnitExamples, None)
    job = session.relay.submit(Sweep("test:small", "test:images", (UNIT.layer,)))
    qtbot.waitUntil(lambda: "waiting" in opened.examples.sweep.text.text())
    runner.tell(job, "progress", done=40, total=100, rate=8.0, seconds_left=7.5)
    qtbot.waitUntil(lambda: opened.examples.sweep.text.text() == "Sweep: 40 of 100 images · 8 images/s · 8 s left")
    assert opened.examples.sweep.bar.value() == 40
    qtbot.waitUntil(lambda: len(runner.asked(UnitExamples)) == 2)
    answer(runner, UnitExamples, found(UnitExamples("", "", ""), seen=40))
    qtbot.waitUntil(lambda: opened.examples.seen == 40)
    assert opened.examples.sweep.bar.isVisible() and opened.examples.strip.rows
    qtbot.mouseClick(opened.examples.sweep.cancel, Qt.MouseButton.LeftButton)
    assert job not in runner.open
    qtbot.waitUntil(lambda: len(runner.asked(UnitExamples)) == 3)
    answer(runner, UnitExamples, found(UnitExamples("", "", ""), seen=40))
    qtbot.waitUntil(opened.examples.sweep.button.isVisible)
    assert opened.examples.sweep.button.text() == "Go on with the sweep, about 8 s"  # at the rate it had


def test_the_end_of_a_sweep_brings_the_examples(opened, runner, session, qtbot):
    answer(runner, UnitExamples, None)
    runner.answers[UnitExamples] = found
    job = session.relay.submit(Sweep("test:small", "test:images", (UNIT.layer,)))
    said = []
    session.message.connect(said.append)
    runner.tell(job, "done", result=swept())
    qtbot.waitUntil(lambda: bool(opened.examples.strip.rows))
    assert opened.examples.sweep.isHidden() and not said


def swept(**summary: object) -> Result:
    return Result("DatasetExamples", {}, {}, {"skipped": 0, "unreadable": [], **summary})


def test_images_that_were_left_out_are_named_and_the_sweep_counts_as_whole(opened, runner, session, qtbot):
    answer(runner, UnitExamples, None)
    job = session.relay.submit(Sweep("test:small", "test:images", (UNIT.layer,)))
    runner.answers[UnitExamples] = lambda request: found(request, seen=60) | {"finished": True}
    unreadable = [{"id": f"{i}.png", "reason": "cannot identify image file"} for i in range(40)]
    with qtbot.waitSignal(session.message) as said:
        runner.tell(job, "done", result=swept(skipped=40, unreadable=unreadable))
    message = said.args[0]
    assert message.level == "info" and "skipped 40 unreadable images: 0.png (cannot identify image file), " in message.text
    assert message.text.endswith("4.png (cannot identify image file), and 35 more")
    qtbot.waitUntil(lambda: opened.examples.seen == 60)
    assert opened.examples.sweep.isHidden() and opened.examples.note.text() == "Test images, n = 60"


def test_a_sweep_that_was_stopped_says_so_however_little_is_missing(opened, runner, qtbot):
    answer(runner, UnitExamples, found(UnitExamples("", "", ""), seen=99))
    qtbot.waitUntil(opened.examples.sweep.button.isVisible)
    assert opened.examples.sweep.text.text() == "From 99 of 100 images: the sweep was stopped."


def test_a_failed_sweep_says_why_and_can_be_tried_again(opened, runner, session, qtbot):
    answer(runner, UnitExamples, None)
    job = session.relay.submit(Sweep("test:small", "test:images", (UNIT.layer,)))
    runner.tell(job, "failed", error="out of memory")
    qtbot.waitUntil(lambda: opened.examples.sweep.text.text() == "out of memory")
    assert opened.examples.sweep.button.isVisible()


def test_examples_come_from_every_range_strongest_first(opened, runner, qtbot):
    job = answer(runner, UnitExamples, found(UnitExamples("", "", "")))
    qtbot.waitUntil(lambda: bool(opened.examples.strip.rows))
    rows = opened.examples.strip.rows
    assert [row.label for row in rows] == [
        "strongest",
        *(f"{low}–{low + 20} % of images" for low in (80, 60, 40, 20, 0)),
        "weakest",
    ]
    assert [picture.value for picture in rows[1].pictures] == list(range(87, 79, -1)) and rows[1].note == "80.0 to 100"
    first = rows[0].pictures[0]
    assert (first.caption, first.label, first.pixels[0, 0, 0]) == ("100", "100", 100)
    assert first.tip == "set/100.png\nactivation 100\nat position (7, 7) of 14 × 14"
    assert first.mark == pytest.approx((7.5 / 14, 7.5 / 14))
    assert opened.examples.note.text() == "Test images, n = 100"
    assert job


def test_partial_examples_are_shown_before_the_rest(opened, runner, qtbot):
    whole = found(UnitExamples("", "", ""))
    partial = {
        name: value
        for name, value in whole.items()
        if name in ("top_images", "top_boxes", "top_names", "top_values", "size")
    }
    job = max(job for job in runner.open if isinstance(runner.requests[job], UnitExamples))
    runner.tell(job, "progress", done=1, total=3, partial=partial)
    qtbot.waitUntil(lambda: bool(opened.examples.strip.rows))
    assert [row.label for row in opened.examples.strip.rows] == ["strongest"]
    assert opened.distribution.views() == []


def test_fewer_images_than_places_leave_no_holes(opened, runner, qtbot):
    few = found(UnitExamples("", "", ""))
    few["top_values"] = np.where(np.arange(16) < 3, few["top_values"], np.nan)
    answer(runner, UnitExamples, few)
    qtbot.waitUntil(lambda: bool(opened.examples.strip.rows))
    assert len(opened.examples.strip.rows[0].pictures) == 3


def test_an_example_that_is_clicked_is_read_whole_and_shown_to_the_network(opened, runner, session, qtbot):
    answer(runner, UnitExamples, found(UnitExamples("", "", "")))
    qtbot.waitUntil(lambda: bool(opened.examples.strip.rows))
    opened.examples.strip.picked.emit(1, 2)  # value 85
    (request,) = runner.asked(FetchImages)
    assert request.indices == (85,) and request.size == (224, 224)
    answer(runner, FetchImages, np.full((1, 224, 224, 3), 85, np.uint8))
    qtbot.waitUntil(lambda: session.image is not None)
    assert session.image.max() == 85 and session.image_name == "set/85.png"


def test_an_example_does_not_replace_an_image_that_was_brought_in_after_it(opened, runner, session, qtbot):
    answer(runner, UnitExamples, found(UnitExamples("", "", "")))
    qtbot.waitUntil(lambda: bool(opened.examples.strip.rows))
    del runner.answers[ReadImage]
    opened.examples.strip.picked.emit(1, 2)
    session.open_image(b"", "mine.png")
    answer(runner, FetchImages, np.full((1, 224, 224, 3), 85, np.uint8))
    answer(runner, ReadImage, PHOTO.copy())
    qtbot.waitUntil(lambda: session.image is not None)
    assert session.image_name == "mine.png"


def test_late_answers_about_another_unit_are_dropped(opened, runner, session, qtbot):
    old = max(job for job in runner.open if isinstance(runner.requests[job], UnitExamples))
    session.select_unit(OTHER)
    runner.tell(old, "done", result=found(UnitExamples("", "", "")))
    qtbot.wait(30)
    assert opened.examples.strip.rows == () and opened.address.text() == str(OTHER)


def test_no_images_says_what_to_do(panel, runner, session, qtbot):
    session.open_model("test:small", layer=UNIT.layer, unit=UNIT)
    qtbot.waitUntil(lambda: session.unit == UNIT)
    assert "No images are open" in panel.examples.strip.message and not panel.examples.sweep.isVisible()
    session.open_images("test:images")
    qtbot.waitUntil(lambda: bool(runner.asked(UnitExamples)))


# Histogram


def test_histogram_shows_images_with_ranges_or_positions(opened, runner, qtbot):
    answer(runner, UnitExamples, found(UnitExamples("", "", "")))
    qtbot.waitUntil(lambda: bool(opened.distribution.views()))
    histogram = opened.distribution.histogram
    np.testing.assert_array_equal(histogram.data()["counts"], [50, 50])  # empty bins at the ends are left out
    np.testing.assert_array_equal(histogram.data()["edges"], [0, 50, 100])
    assert histogram.data()["bands"].tolist() == [[0, 20], [20, 40], [40, 60], [60, 80], [80, 100]]
    assert histogram.provenance()["sample"] == "n = 100 images · 99 % above 0"
    assert (
        histogram.provenance()["x"] == "largest post-activation of an image"
        and "none" in histogram.provenance()["null_level"]
    )
    opened.distribution.counted.setCurrentIndex(1)
    np.testing.assert_array_equal(histogram.data()["counts"], [900, 700])
    assert histogram.provenance()["sample"] == "n = 100 images, 1,600 positions · 44 % above 0"
    assert "bands" not in histogram.data()


# On your image


def test_your_image_shows_map_classes_and_place_in_the_histogram(opened, runner, session, qtbot):
    runner.answers[UnitOnImage] = response
    runner.answers[UnitExamples] = found
    session.select_unit(OTHER)
    session.drop_image(PHOTO.copy())
    qtbot.waitUntil(lambda: "marker" in opened.distribution.histogram.data())
    assert opened.distribution.histogram.data()["marker"] == 42
    assert opened.response.image.data()["map"][5, 8] == 42
    assert (
        opened.response.image.provenance()["caption"]
        == "largest 42.0 at (5, 8) of 14 × 14 · above 42.0 % of Test images (n = 90)"
    )
    assert opened.response.classes.data()["names"].tolist() == ["cat", "dog"]
    assert [type(view).__name__ for view in opened.views()][-3:] == ["Histogram", "ImageView", "BarList"]
    qtbot.mouseClick(opened.response.forget, Qt.MouseButton.LeftButton)
    assert session.image is None and "marker" not in opened.distribution.histogram.data()
    assert opened.response.views() == [] and "Drop an image" in opened.response.image.message


def test_an_image_that_is_read_is_told_and_named_in_the_figure(opened, runner, session, qtbot):
    runner.answers[UnitOnImage] = response
    del runner.answers[ReadImage]
    session.open_image(b"", "cat.jpg")
    assert opened.response.image.message == "Reading cat.jpg …"
    answer(runner, ReadImage, PHOTO.copy())
    qtbot.waitUntil(lambda: opened.response.note.text() == "42.0")
    assert opened.response.image.title == "blocks.1.act:9 (post-activation) on cat.jpg"
    assert opened.response.image.provenance()["image"] == "cat.jpg"
    session.open_image(b"", "dog.jpg")
    assert opened.response.note.text() == "Reading dog.jpg …"
    runner.tell(max(runner.open), "failed", error="dog.jpg is damaged")
    qtbot.waitUntil(lambda: opened.response.note.text() == "42.0")


def test_what_the_unit_does_on_a_new_image_comes_into_sight(opened, runner, session, qtbot):
    runner.answers |= {UnitOnImage: response, UnitExamples: found, Thumbnails: thumbnails}
    opened.resize(420, 500)
    session.select_unit(OTHER)
    qtbot.waitUntil(lambda: bool(opened.distribution.views()))
    opened.response.open = False
    viewport = opened.scroll.viewport()
    session.drop_image(PHOTO.copy())
    assert opened.response.open
    qtbot.waitUntil(lambda: viewport.rect().contains(opened.response.classes.mapTo(viewport, QPoint(0, 0))))
    opened.scroll.verticalScrollBar().setValue(0)
    session.select_unit(UNIT)  # the image was seen: leafing through units does not scroll
    qtbot.waitUntil(lambda: len(runner.asked(UnitOnImage)) == 2 and bool(opened.response.views()))
    qtbot.wait(20)
    assert opened.scroll.verticalScrollBar().value() == 0


def test_an_image_waits_for_a_unit(panel, runner, session, qtbot):
    session.drop_image(PHOTO.copy(), "cat.jpg")
    assert panel.empty.text() == "cat.jpg is here.\n\nNo network is open. Choose one in the panel Model."
    session.open_model("test:small")
    session.open_images("test:images")
    wanted = "cat.jpg is here.\n\nClick a unit in the panel Neurons to see where in it the unit is active."
    qtbot.waitUntil(lambda: panel.empty.text() == wanted and session.images is not None)
    runner.answers |= {UnitOnImage: response, UnitExamples: found, Thumbnails: thumbnails}
    panel.resize(420, 500)
    session.select_unit(UNIT)
    viewport = panel.scroll.viewport()
    qtbot.waitUntil(lambda: viewport.rect().contains(panel.response.classes.mapTo(viewport, QPoint(0, 0))))
    session.select_unit(None)
    session.drop_image(None)
    assert panel.empty.text() == "Click a unit in the panel Neurons to see what it responds to."


def test_sections_turned_while_no_unit_is_selected_show_nothing_of_the_last(opened, runner, session, qtbot):
    """As when another network was opened and then an investigation whose panel stood otherwise; pytest-qt tells what a slot raises."""
    session.set_model(replace(CARD, ref="test:other", layers=CARD.layers[:1]))
    assert session.unit is None
    state = opened.save_state()
    sections = {name: of | {"diverse": True, "counted": "pre max_histogram"} for name, of in state.items() if isinstance(of, dict)}
    asked = len(runner.requests)
    opened.restore_state(state | sections)
    session.show_twin(True)
    session.show_twin(False)
    assert len(runner.requests) == asked and opened.views() == []


def test_the_image_stays_while_units_change_but_not_what_the_last_one_did(opened, runner, session, qtbot):
    runner.answers[UnitOnImage] = response
    session.drop_image(PHOTO.copy())
    qtbot.waitUntil(lambda: "map" in opened.response.image.data())
    del runner.answers[UnitOnImage]
    session.select_unit(OTHER)
    assert set(opened.response.image.data()) == {"image"}
    assert [request.unit for request in runner.asked(UnitOnImage)] == [9, 10]
    late = max(job for job in runner.open if isinstance(runner.requests[job], UnitOnImage))
    session.drop_image(PHOTO.copy() + 1)
    runner.tell(late, "done", result=response(runner.requests[late]))
    qtbot.wait(30)
    assert "map" not in opened.response.image.data()  # that was of the image before


@pytest.mark.parametrize(
    ("shape", "laid_out"),
    [
        ((14, 14), (14, 14)),
        ((196,), (14, 14)),
        ((197,), (14, 14)),
        ((50,), (7, 7)),
        ((10,), (3, 3)),
        ((11,), None),
        ((), None),
    ],
)
def test_tokens_are_laid_out_over_the_image(shape, laid_out):
    values = np.arange(int(np.prod(shape)), dtype=np.float32).reshape(shape)
    made = as_map(values)
    assert (None if made is None else made.shape) == laid_out
    if shape == (197,):
        assert made[0, 0] == 1  # the class token has no place in the image


# Narrow


def test_nothing_is_cut_at_the_narrowest(opened, runner, session, qtbot):
    runner.answers |= {UnitOnImage: response, Thumbnails: thumbnails}
    answer(runner, UnitExamples, found(UnitExamples("", "", ""), seen=40))  # with the offer to go on above them
    session.drop_image(PHOTO.copy(), "cat.jpg")
    qtbot.waitUntil(lambda: len(opened.views()) == 5 and opened.visualizations.strip.rows[1].note == "32 px")
    content, viewport = opened.scroll.widget(), opened.scroll.viewport()
    opened.resize(10, 600)
    qtbot.waitUntil(lambda: opened.width() == opened.minimumSizeHint().width() and content.width() == viewport.width())
    assert opened.width() < 350
    for widget in content.findChildren(QWidget):
        if widget.isVisible():
            assert isinstance(widget, ElidedLabel) or widget.width() >= widget.minimumSizeHint().width(), widget
            assert widget.mapTo(content, QPoint(0, 0)).x() + widget.width() <= viewport.width(), widget
    assert len(opened.visualizations.strip._places(viewport.width())[0][1]) == 4  # every seed
    assert opened.distribution.counted.currentText() == "images"
    assert opened.response.note.text() == "42.0"


def test_a_long_address_keeps_its_unit(session, runner, qtbot, panel):
    layer = Layer("blocks.0.0.a_branch_with_a_long_name.project_in.point_wise.act", "relu", (64, 14, 14), 0, "post")
    session.set_model(replace(runner.answers[LoadModel], layers=(layer,)))
    session.select_unit(Unit(layer.name, 63))
    panel.resize(300, 600)
    qtbot.waitUntil(lambda: "…" in panel.address.text())
    assert panel.address.text().endswith(":63") and panel.address.toolTip() == f"{layer.name}:63"


# The panel's contract


def test_state_is_kept(opened, session, qtbot):
    opened.examples.open = False
    opened.response.opacity.setValue(33)
    opened.distribution.counted.setCurrentIndex(1)
    opened.distribution.histogram.logarithmic = False
    opened.examples.restore_state({"rates": {"test:small": 50.0, "broken": 0}})
    state = json.loads(json.dumps(opened.save_state()))
    other = InspectorPanel(session)
    qtbot.addWidget(other)
    other.restore_state(state)
    assert other.save_state() == state
    assert not other.examples.open and other.response.image.opacity == 0.33
    other.restore_state({})
    assert other.examples.open


def test_every_view_can_be_exported(opened, runner, session, qtbot, tmp_path):
    runner.answers |= {UnitOnImage: response, UnitExamples: found, Thumbnails: thumbnails}
    session.select_unit(OTHER)
    session.drop_image(PHOTO.copy())
    qtbot.waitUntil(lambda: len(opened.views()) == 5)
    for view in opened.views():
        for ending in ("png", "svg", "pdf"):
            export_view(view, tmp_path / f"{type(view).__name__}.{ending}")
        written = json.loads((tmp_path / f"{type(view).__name__}.json").read_text())
        assert (
            written["unit"] == str(OTHER) and written["role"] == "post-activation" and written["weights"] and view.title
        )


def test_names_are_short():
    assert [short(n) for n in ("noto/grinning face", r"C:\a\cat.jpeg", "St. Bernard")] == [
        "grinning face",
        "cat",
        "St. Bernard",
    ]


def test_a_sweep_in_shorter_numbers_says_so_also_when_exact_ones_are_chosen_now(opened, runner, qtbot):
    made = {"layer": UNIT.layer, "parameters": {}, "arithmetic": "bf16"}
    answer(runner, UnitExamples, found(UnitExamples("", "", "")) | {"sweep": made})
    qtbot.waitUntil(lambda: opened.examples.note.full_text == "Test images, n = 100 · bf16, not exact")
    assert opened.examples.strip.made_from["arithmetic"] == "bf16"
    assert opened.distribution.histogram.made_from["arithmetic"] == "bf16"


def test_the_histogram_is_of_the_pre_activation_when_that_is_wanted(opened, runner, session, qtbot):
    section = opened.distribution
    answer(runner, UnitExamples, found(UnitExamples("", "", "")))
    qtbot.waitUntil(lambda: bool(opened.views()) and section.views() == [section.histogram])
    assert section.histogram.title == f"Histogram of {UNIT}"
    section.counted.setCurrentText("pre: images")
    (request,) = runner.asked(PreActivation)
    assert (request.model, request.images, request.unit) == ("test:small", "test:images", str(UNIT)) and not section.views()
    answer(runner, PreActivation, {"unit": "blocks.1.bn:9", "found": None})
    qtbot.waitUntil(section.sweep_pre.isVisible)
    assert section.sweep_pre.text() == "Sweep blocks.1.bn"
    qtbot.mouseClick(section.sweep_pre, Qt.MouseButton.LeftButton)
    assert runner.asked(Sweep)[-1].layers == ("blocks.1.bn",)
    runner.tell(max(job for job, request in runner.requests.items() if isinstance(request, Sweep)), "done", result=Result("", {}, {}, {}))
    qtbot.waitUntil(lambda: len(runner.asked(PreActivation)) == 2)
    sweep = {"layer": "blocks.1.bn", "parameters": {"k": 16}}
    answer(runner, PreActivation, {"unit": "blocks.1.bn:9", "found": found(UnitExamples("", "", "")) | {"sweep": sweep}})
    qtbot.waitUntil(lambda: section.histogram.title == "Histogram of blocks.1.bn:9")
    assert section.histogram.made_from["pre_activation"] == "blocks.1.bn:9" and not section.sweep_pre.isVisible()
    assert "blocks.1.bn/max_histogram" in section.histogram.recomputation.python()
    session.select_unit(OTHER)
    assert not section.views() and len(runner.asked(PreActivation)) == 3
    section.counted.setCurrentText("images")
    answer(runner, UnitExamples, found(UnitExamples("", "", "")))
    qtbot.waitUntil(lambda: section.histogram.title == f"Histogram of {OTHER}")


def test_numbers_that_come_first_are_not_shown_under_the_pictures_of_the_last_answer(opened, runner, session, qtbot):
    answer(runner, UnitExamples, found(UnitExamples("", "", ""), seen=40))
    qtbot.waitUntil(lambda: bool(opened.examples.strip.rows))
    before = opened.examples.strip.rows
    opened.examples.ask()
    job = max(job for job, request in runner.requests.items() if isinstance(request, UnitExamples))
    news = found(UnitExamples("", "", ""))
    news["top_values"] = news["top_values"] + 500
    pictures = {f"{end}_{what}" for end in ("top", "sample", "bottom") for what in ("images", "names", "boxes")}
    numbers = {name: array for name, array in news.items() if name not in pictures}
    with qtbot.waitSignal(opened.examples.found):
        runner.tell(job, "progress", partial=numbers)
    assert opened.examples.strip.rows == before
    runner.tell(job, "done", result=news)
    qtbot.waitUntil(lambda: opened.examples.strip.rows[0].pictures[0].value == 600)


def test_another_network_that_ends_labelling_blind_takes_the_unit_away(opened, session, runner):
    session.keep_blind(True)
    session.model_changed.connect(lambda _card: session.keep_blind(False))  # as the panel Evidence does, for which nothing is left to label
    session.set_model(replace(session.model, layers=(Layer("other", "relu", (4, 8, 8), 0, "post"),)))
    assert session.unit is None and not session.blind
    assert "Click a unit" in opened.empty.text() and opened.empty.isVisible()
