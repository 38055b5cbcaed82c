"""The panel Canvas: two drawings that belong to the project, pictures brought onto them, corruptions, and what is shown while one draws."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PySide6.QtCore import QEvent, QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent, QGuiApplication, QImage, QKeySequence, QMouseEvent
from PySide6.QtWidgets import QApplication

from tests.widgets.conftest import CARD
from widgets.app import make_engine
from widgets.canvas.drawing_edit import push_drawings
from widgets.panels.patching_canvas import PatchingCanvasPanel
from widgets.relay import Relay
from widgets.session import Session
from workbench.images.drawing import Drawing
from workbench.images.drawn_stimulus import Stimulus
from workbench.images.raster import ink_of
from workbench.images.shapes import Rectangle, Stamp
from workbench.images.strokes import Arc, Brush, Line
from workbench.jobs.canvas_requests import PairOnNetwork, PartsOnPair
from workbench.jobs.picture_requests import CorruptPicture, DescribeStimuli, InkOf, Picture, PictureOfSet, ReadPicture
from workbench.models.layer import Unit
from workbench.project import Project
from workbench.task import Task

LAYER = "blocks.1.act"
PARTS = ("blocks.1.left", "blocks.1.right")


def on_network(request: PairOnNetwork) -> dict[str, Any]:
    """Answer as the worker does: unit u is u times as dark as the image, and what is darker is rather a dog."""
    dark = [1 - float(image.mean()) / 255 for image in (request.clean, request.corrupt)]
    shares = [np.array([1 - each, each], np.float32) for each in dark]
    return {
        "classes": ("cat", "dog"),
        "clean_classes": shares[0],
        "corrupt_classes": shares[1],
        "clean_units": np.arange(64, dtype=np.float32) * dark[0],
        "corrupt_units": np.arange(64, dtype=np.float32) * dark[1],
    }


def parts(request: PartsOnPair) -> dict[str, Any]:
    told: dict[str, Any] = {"blocks": ("blocks.0", "blocks.1"), "total": 2, "parts": (("blocks.0.left",), PARTS)}
    told |= {"metric": "logit cat − dog", "difference": 0.5}
    scores = {"blocks.1": np.array([0.9, -0.2])} | ({"blocks.0": np.array([1.0])} if request.affordable > 1 else {})
    return told | {"scores": scores, "alike": False, "seconds": 0.1}


def read(request: ReadPicture) -> Any:
    try:
        return request.run(None, Task())  # type: ignore[arg-type]
    except ValueError as error:
        return error


def grey(request: PictureOfSet) -> Picture:
    return Picture(np.full((*request.size, 3), 100 + request.index, np.uint8), f"image {request.index}", request.size[::-1])


def inverted(request: CorruptPicture) -> Picture:
    return Picture(255 - request.pixels, request.kind, request.pixels.shape[1::-1])  # type: ignore[arg-type]


@pytest.fixture
def panel(session: Session, runner: Any, qtbot: Any) -> PatchingCanvasPanel:
    runner.answers |= {
        PairOnNetwork: on_network,
        PartsOnPair: parts,
        PictureOfSet: grey,
        CorruptPicture: inverted,
        ReadPicture: read,
        InkOf: lambda request: ink_of(request.stimulus, request.size),
        DescribeStimuli: lambda request: request.run(SimpleNamespace(warm_up=lambda task: None), Task()),
    }
    made = PatchingCanvasPanel(session)
    qtbot.addWidget(made)
    made.resize(1000, 700)
    made.show()
    session.open_model("test:small", layer=LAYER)
    qtbot.waitUntil(lambda: bool(made.results.classes.data()))
    return made


def stroke(panel: PatchingCanvasPanel, side: str, *points: tuple[float, float], release: bool = True) -> None:
    canvas = panel.sides[side].canvas
    kinds = [QEvent.Type.MouseButtonPress, *[QEvent.Type.MouseMove] * (len(points) - 1)]
    kinds += [QEvent.Type.MouseButtonRelease] * release
    for kind, point in zip(kinds, [*points, points[-1]], strict=False):
        where = canvas.place(point)
        button = Qt.MouseButton.NoButton if kind == QEvent.Type.MouseMove else Qt.MouseButton.LeftButton
        there = QPointF(canvas.mapToGlobal(where))
        QApplication.sendEvent(canvas, QMouseEvent(kind, where, there, button, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier))


def drop(panel: PatchingCanvasPanel, side: str, mime: QMimeData) -> None:
    event = QDropEvent(QPointF(20, 20), Qt.DropAction.CopyAction, mime, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)
    panel.sides[side].canvas.dropEvent(event)


def drawings(session: Session) -> list[Drawing]:
    return [session.project.drawings.get(side, Drawing()) for side in ("clean", "corrupt")]


def messages(session: Session) -> list[str]:
    told: list[str] = []
    session.message.connect(lambda message: told.append(message.text))
    return told


# Drawing


def test_nothing_open_says_what_to_do_and_one_can_draw(session: Session, qtbot: Any):
    made = PatchingCanvasPanel(session)
    qtbot.addWidget(made)
    made.show()
    assert "Open a network" in made.results.classes.message and made.views() == [] and "drop" in made.sides["clean"].canvas.hint
    stroke(made, "clean", (0, 0), (0.1, 0.1))
    assert len(drawings(session)[0].objects) == 1 and made.views() == [made.sides["clean"].canvas]


def test_a_stroke_is_one_step_of_the_project(panel: PatchingCanvasPanel, session: Session):
    stroke(panel, "clean", (-0.2, 0.0), (0.0, 0.1), (0.2, 0.0))
    stroke(panel, "corrupt", (0.0, 0.0), (0.1, 0.0))
    clean, corrupt = drawings(session)
    assert isinstance(clean.objects[0], Brush) and len(corrupt.objects) == 1 and session.undo_stack.count() == 2 and session.modified
    session.undo_stack.undo()
    assert drawings(session)[1] == Drawing() and (panel.sides["corrupt"].canvas.pixels == 255).all()
    session.undo_stack.undo()
    assert (panel.sides["clean"].canvas.pixels == 255).all()
    session.undo_stack.redo()
    assert drawings(session)[0] == clean and not (panel.sides["clean"].canvas.pixels == 255).all()


def test_a_finished_stroke_makes_the_pair(panel: PatchingCanvasPanel, session: Session):
    told: list[object] = []
    session.pair_changed.connect(told.append)
    stroke(panel, "clean", (-0.2, 0.0), (0.2, 0.0), release=False)
    assert session.pair is None and told == [], "not while it is drawn"
    stroke(panel, "clean", (0.2, 0.0))
    assert session.pair is not None and len(told) == 1 and session.pair.name == "brush stroke / blank"
    clean = session.pair.clean.pixels
    assert np.array_equal(clean, panel.sides["clean"].canvas.pixels) and clean.shape == (224, 224, 3)
    panel.across["copy_right"].click()
    assert session.pair is None, "both are the same: nothing to patch between"


def test_drawings_are_copied_across_and_change_places(panel: PatchingCanvasPanel, session: Session):
    stroke(panel, "clean", (-0.2, 0.0), (0.2, 0.0))
    panel.across["copy_right"].click()
    clean, corrupt = drawings(session)
    assert clean == corrupt and clean.objects
    stroke(panel, "corrupt", (0.0, 0.3))
    panel.across["swap"].click()
    assert [len(each.objects) for each in drawings(session)] == [2, 1]
    panel.across["copy_left"].click()
    assert [len(each.objects) for each in drawings(session)] == [1, 1]


def test_objects_are_listed_and_their_numbers_are_fields(panel: PatchingCanvasPanel, session: Session):
    panel.tools.take("arc")
    stroke(panel, "clean", (0.0, 0.0), (0.0, -0.1), (0.0, -0.3))
    assert panel.objects.list.item(0).text() == "Arc" and panel.objects.field("radius").value() == pytest.approx(0.3, abs=0.005)
    panel.objects.field("radius").setValue(0.2)
    panel.objects.field("radius").setValue(0.25)
    (arc,) = drawings(session)[0].objects
    assert isinstance(arc, Arc) and arc.radius == 0.25 and session.undo_stack.count() == 2, "typing is one step"
    panel.objects.field("colour").take("#00ff00")
    assert drawings(session)[0].objects[0].colour == "#00ff00"  # type: ignore[attr-defined]
    session.undo_stack.undo()
    session.undo_stack.undo()
    assert drawings(session)[0].objects[0].radius == pytest.approx(0.3, abs=0.005)  # type: ignore[attr-defined]
    panel.objects.erase.click()
    assert drawings(session)[0].objects == () and panel.objects.list.isHidden()


def test_turning_is_one_step_and_its_angle_is_a_field(panel: PatchingCanvasPanel, session: Session, qtbot: Any, tmp_path: Path):
    canvas = panel.sides["clean"].canvas
    panel.tools.take("rectangle")
    stroke(panel, "clean", (-0.2, -0.1), (0.0, 0.0), (0.2, 0.1))
    handle = canvas.point(canvas.handles()["turn"])
    stroke(panel, "clean", handle, (-0.1, -0.2), (-0.2, -0.1), (-0.3, 0.0))
    (turned,) = drawings(session)[0].objects
    assert isinstance(turned, Rectangle) and turned.angle == pytest.approx(90, abs=1) and session.undo_stack.count() == 2
    assert panel.objects.field("angle").value() == pytest.approx(90, abs=1) and panel.objects.list.item(0).text() == "Rectangle, 90°"
    panel.objects.field("angle").setValue(30)
    assert drawings(session)[0].objects[0].angle == 30  # type: ignore[attr-defined]
    kept = Project.load(session.project.save(tmp_path / "turned.workbench"))
    assert kept.drawings["clean"].objects[0].angle == 30  # type: ignore[attr-defined]
    session.undo_stack.undo()
    session.undo_stack.undo()
    assert drawings(session)[0].objects[0].angle == 0, "one step for the whole movement"  # type: ignore[attr-defined]
    panel.tools.take("line")
    stroke(panel, "clean", (0.3, 0.3), (0.35, 0.3), (0.45, 0.3))
    assert panel.objects.field("angle").value() == pytest.approx(0, abs=1)
    panel.objects.field("angle").setValue(90)
    line = drawings(session)[0].objects[1]
    assert isinstance(line, Line) and (line.x, line.x2) == pytest.approx((0.375, 0.375), abs=0.01) and line.y2 < line.y


def test_a_stimulus_is_drawn_by_the_worker_and_stays_editable(panel: PatchingCanvasPanel, session: Session, runner: Any, qtbot: Any):
    panel.tools.take("stimulus")
    qtbot.waitUntil(lambda: bool(panel.hand.defaults))
    canvas = panel.sides["clean"].canvas
    stroke(panel, "clean", (0.0, 0.0))
    (placed,) = drawings(session)[0].objects
    assert isinstance(placed, Stimulus) and dict(placed.values)["radius"] == 0.3 and runner.asked(InkOf)
    qtbot.waitUntil(lambda: bool((canvas.pixels < 200).any()))
    qtbot.waitUntil(lambda: session.pair is not None)
    panel.objects.field("radius").setValue(0.15)
    assert dict(drawings(session)[0].objects[0].values)["radius"] == 0.15  # type: ignore[attr-defined]
    panel.objects.field("profile").setCurrentIndex(2)
    assert dict(drawings(session)[0].objects[0].values)["profile"] == 2  # type: ignore[attr-defined]
    qtbot.waitUntil(lambda: 100 < canvas.pixels[0, 0, 0] < 160)  # around an edge stands a mixture of ink and ground
    panel.hand.family = "gratings"
    stroke(panel, "corrupt", (0.0, 0.0))
    qtbot.waitUntil(lambda: bool((panel.sides["corrupt"].canvas.pixels < 200).any()))
    assert "window" not in dict(drawings(session)[1].objects[0].values), "what has no end by default is left to the family"  # type: ignore[attr-defined]


# Pictures


def encoded(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def test_a_huge_image_dropped_on_a_canvas_is_scaled_with_a_notice(panel: PatchingCanvasPanel, session: Session, qtbot: Any, tmp_path: Path):
    told = messages(session)
    path = tmp_path / "huge.png"
    Image.new("RGB", (4096, 4096), (10, 200, 30)).save(path, compress_level=1)
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path))])
    drop(panel, "corrupt", mime)
    qtbot.waitUntil(lambda: bool(told))
    assert told == ["huge.png: 4,096 × 4,096 pixels, scaled to the 224 × 224 that the network sees."]
    assert panel.sides["corrupt"].canvas.pixels[100, 100].tolist() == [10, 200, 30] and session.image is None
    assert (panel.sides["clean"].canvas.pixels == 255).all(), "only onto the canvas it was dropped on"
    session.undo_stack.undo()
    assert (panel.sides["corrupt"].canvas.pixels == 255).all()


def test_a_transparent_image_stands_on_the_ground_that_was_chosen(panel: PatchingCanvasPanel, session: Session, qtbot: Any):
    told = messages(session)
    panel.sides["clean"].ground.take("#0000ff")
    clear = Image.new("RGBA", (64, 64), (255, 0, 0, 255))
    clear.paste((0, 0, 0, 0), (32, 0, 64, 64))
    mime = QMimeData()
    mime.setData("image/png", encoded(clear))
    drop(panel, "clean", mime)
    canvas = panel.sides["clean"].canvas
    qtbot.waitUntil(lambda: canvas.pixels[100, 20].tolist() == [255, 0, 0])
    assert canvas.pixels[100, 200].tolist() == [0, 0, 255] and "transparent in parts: the ground (#0000ff)" in told[-1]
    panel.sides["clean"].ground.take("#00ff00")
    assert canvas.pixels[100, 200].tolist() == [0, 255, 0], "and on another one when it is changed"


def test_an_image_is_pasted_where_the_keyboard_is(panel: PatchingCanvasPanel, session: Session, qtbot: Any):
    image = QImage(8, 8, QImage.Format.Format_RGB32)
    image.fill(Qt.GlobalColor.red)
    QGuiApplication.clipboard().setImage(image)
    canvas = panel.sides["corrupt"].canvas
    qtbot.keySequence(canvas, QKeySequence(QKeySequence.StandardKey.Paste))
    qtbot.waitUntil(lambda: canvas.pixels[10, 10].tolist() == [255, 0, 0])
    assert drawings(session)[1].ground.source == "Pasted image" and session.image is None
    told = messages(session)
    drop(panel, "clean", QMimeData())
    assert told == ["There is no image in what was dropped."]


def test_what_is_dropped_while_the_stamp_is_held_is_stamped(panel: PatchingCanvasPanel, session: Session, qtbot: Any):
    panel.tools.take("stamp")
    mime = QMimeData()
    mime.setData("image/png", encoded(Image.new("RGB", (20, 10), "black")))
    drop(panel, "clean", mime)
    qtbot.waitUntil(lambda: bool(drawings(session)[0].objects))
    (stamp,) = drawings(session)[0].objects
    assert isinstance(stamp, Stamp) and stamp.across == pytest.approx(2 * stamp.down) and panel.sides["clean"].canvas.selected == 0
    stroke(panel, "corrupt", (0.1, 0.1))
    assert drawings(session)[1].objects[0].picture == stamp.picture  # type: ignore[attr-defined]


def test_drawings_start_from_the_set_the_inspector_and_nothing(panel: PatchingCanvasPanel, session: Session, qtbot: Any):
    side = panel.sides["clean"]
    side.starts.aboutToShow.emit()
    offered = {action.data()[0]: action for action in side.starts.actions()}
    assert not offered["random"].isEnabled() and "Open images" in offered["random"].toolTip() and not offered["shown"].isEnabled()
    session.open_images("test:images")
    qtbot.waitUntil(lambda: session.images is not None)
    session.drop_image(np.full((30, 30, 3), 7, np.uint8), "seven.png")
    side.starts.aboutToShow.emit()
    assert all(action.isEnabled() for action in offered.values())
    offered["random"].trigger()
    qtbot.waitUntil(lambda: side.canvas.pixels[0, 0].tolist() == [99] * 3)
    stroke(panel, "clean", (0.0, 0.0))
    offered["shown"].trigger()
    qtbot.waitUntil(lambda: side.canvas.pixels[0, 0].tolist() == [7] * 3)
    assert drawings(session)[0].told() == "brush stroke on seven.png", "what was drawn stays"
    panel.pictures.of_set((224, 224), panel._place("clean"), 55)
    qtbot.waitUntil(lambda: side.canvas.pixels[0, 0].tolist() == [155] * 3)
    offered["blank"].trigger()
    assert drawings(session)[0] == Drawing()


def test_what_cannot_be_read_is_said_and_changes_nothing(panel: PatchingCanvasPanel, session: Session, qtbot: Any, tmp_path: Path):
    told = messages(session)
    (tmp_path / "notes.png").write_text("no image", encoding="utf-8")
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(tmp_path / "notes.png"))])
    drop(panel, "clean", mime)
    qtbot.waitUntil(lambda: bool(told))
    assert "notes.png is not an image" in told[0] and session.undo_stack.count() == 0


# Corruptions


def test_the_corrupt_drawing_is_the_clean_one_without_a_stroke(panel: PatchingCanvasPanel, session: Session):
    stroke(panel, "clean", (-0.2, 0.0), (0.2, 0.0))
    stroke(panel, "clean", (-0.2, 0.2), (0.2, 0.2))
    first, last = drawings(session)[0].objects
    panel.erase(selected=False)
    assert drawings(session)[1].objects == (first,)
    panel.sides["clean"].canvas.select(0)
    panel._offer_corruptions()
    assert panel._erase_chosen.isEnabled()
    panel.erase(selected=True)
    assert drawings(session)[1].objects == (last,) and len(drawings(session)[0].objects) == 2


def test_a_corruption_makes_a_picture_of_the_clean_drawing(panel: PatchingCanvasPanel, session: Session, runner: Any, qtbot: Any):
    stroke(panel, "clean", (-0.2, 0.0), (0.2, 0.0))
    panel.strength.setValue(1.5)
    panel.corrupt_by("hue")
    qtbot.waitUntil(lambda: bool(drawings(session)[1].ground.picture))
    (asked,) = runner.asked(CorruptPicture)
    assert asked.strength == 1.5 and asked.kind == "hue" and asked.pixels.shape == (448, 448, 3)
    clean, corrupt = (panel.sides[side].canvas.pixels.astype(int) for side in ("clean", "corrupt"))
    assert np.abs(255 - clean - corrupt).max() <= 1 and drawings(session)[1].objects == ()
    panel.corrupt_by("hue")
    assert len(runner.asked(CorruptPicture)) == 2
    assert runner.asked(CorruptPicture)[-1].seed != asked.seed, "another place each time"


# What the network does


def test_bars_follow_while_the_stroke_is_drawn(panel: PatchingCanvasPanel, session: Session, runner: Any, qtbot: Any):
    results = panel.results
    panel.hand.width = 0.4
    stroke(panel, "corrupt", (-0.2, 0.0), (0.2, 0.0), release=False)
    qtbot.waitUntil(lambda: results.classes.data()["corrupt"][1] > 0.2)
    assert panel.sides["corrupt"].canvas.is_drawing and results.classes.data()["clean"].tolist() == [1, 0]
    units = results.units.data()
    assert units["names"].tolist() == [str(unit) for unit in range(63, 55, -1)], "those that differ most"
    assert units["corrupt"][0] == pytest.approx(63 * results.classes.data()["corrupt"][1], rel=1e-5)
    qtbot.waitUntil(lambda: bool(results.parts.rows))
    assert runner.asked(PartsOnPair)[0].affordable < 0.1, "what must be waited for is left for later"
    stroke(panel, "corrupt", (0.2, 0.0))
    qtbot.waitUntil(lambda: len(results.parts.data().get("scores", ())) == 3 and runner.asked(PartsOnPair)[-1].affordable > 1)
    shown = results.parts.data()
    assert shown["scores"].tolist() == [1.0, 0.9, -0.2] and shown["parts"].tolist() == ["blocks.0.left", *PARTS]
    assert len(panel.views()) == 4 and results.parts.made_from["metric"] == "logit cat − dog"
    assert results.parts.made_from["drawings"] == {"clean": "blank", "corrupt": "brush stroke"}


def test_what_was_left_out_is_shown_as_older(panel: PatchingCanvasPanel, session: Session):
    nothing = np.zeros((1, 1, 3), np.uint8)
    results, request = panel.results, PartsOnPair("test:small", nothing, nothing)
    results._take_patched(parts(request), {})
    results._take_patched(parts(replace(request, affordable=0.01)), {})
    early, late = results.parts.rows
    assert early.old and early.scores is not None and not late.old
    assert results.parts.data()["parts"].tolist() == list(PARTS), "older figures are not exported"
    assert not results.parts.caption.startswith("2 of")
    results._take_patched(parts(request) | {"total": 23}, {})
    assert results.parts.caption.startswith("2 of 23 blocks; logit cat")
    results._take_patched(parts(replace(request, affordable=0.01)), {})
    results._take_part({"blocks.0": np.array([0.5])}, {})
    assert not results.parts.rows[0].old and results.parts.data()["scores"][0] == 0.5
    results._take_patched(parts(request) | {"alike": True, "scores": {}}, {})
    assert results.parts.data() == {} and "the same logit cat" in results.parts.message


def test_one_question_at_a_time_and_the_newest_pair_next(panel: PatchingCanvasPanel, runner: Any, qtbot: Any):
    del runner.answers[PairOnNetwork]
    before = len(runner.asked(PairOnNetwork))
    stroke(panel, "corrupt", (-0.2, 0.0), (-0.1, 0.0), (0.0, 0.0), (0.1, 0.0), (0.2, 0.1))
    assert len(runner.asked(PairOnNetwork)) == before + 1
    job = max(number for number, request in runner.requests.items() if isinstance(request, PairOnNetwork))
    runner.tell(job, "done", result=on_network(runner.requests[job]))
    qtbot.waitUntil(lambda: len(runner.asked(PairOnNetwork)) == before + 2)
    assert runner.asked(PairOnNetwork)[-1].corrupt is panel.sides["corrupt"].canvas.pixels


def test_while_one_draws_the_pair_that_was_answered_is_patched(panel: PatchingCanvasPanel, runner: Any, qtbot: Any):
    """What it does is known then, and nothing has to be run for it."""
    del runner.answers[PairOnNetwork]
    asked = len(runner.asked(PartsOnPair))
    stroke(panel, "corrupt", (-0.2, 0.0), (-0.1, 0.0), release=False)
    first = panel.sides["corrupt"].canvas.pixels
    job = max(number for number, request in runner.requests.items() if isinstance(request, PairOnNetwork))
    drawn = runner.requests[job].corrupt
    assert len(runner.asked(PartsOnPair)) == asked, "nothing is known of this stroke yet"
    runner.tell(job, "done", result=on_network(runner.requests[job]))
    qtbot.waitUntil(lambda: len(runner.asked(PartsOnPair)) > asked)
    assert runner.asked(PartsOnPair)[asked].corrupt is drawn and drawn is not first


def test_scores_of_a_stroke_that_was_undone_are_dropped(panel: PatchingCanvasPanel, session: Session, runner: Any, qtbot: Any):
    del runner.answers[PartsOnPair]
    stroke(panel, "corrupt", (-0.2, 0.0), (0.2, 0.0))
    qtbot.waitUntil(lambda: bool(unanswered(runner, PartsOnPair)))
    (job,) = unanswered(runner, PartsOnPair)
    runner.cancel = lambda _job: None  # it was done before the worker heard of it
    session.undo_stack.undo()
    settle(qtbot)
    request = runner.requests[job]
    runner.tell(job, "running", partial={"blocks.1": np.array([0.9, -0.2])})
    runner.tell(job, "done", result=parts(request))
    settle(qtbot)
    assert panel.results.parts.data() == {} and "are the same" in panel.results.parts.message
    runner.answers[PartsOnPair] = parts
    session.undo_stack.redo()
    qtbot.waitUntil(lambda: bool(panel.results.parts.data()))


def test_an_answer_says_what_it_is_about_not_what_was_drawn_since(panel: PatchingCanvasPanel, session: Session, runner: Any, qtbot: Any):
    del runner.answers[PairOnNetwork], runner.answers[PartsOnPair]
    stroke(panel, "corrupt", (-0.2, 0.0), (0.2, 0.0))
    (activations,), (patching,) = unanswered(runner, PairOnNetwork), unanswered(runner, PartsOnPair)
    before = {"clean": "blank", "corrupt": "brush stroke"}
    drawing = session.project.drawings["corrupt"]
    push_drawings(session, {"corrupt": drawing.with_object(drawing.objects[0].moved(0.1, 0.1))}, "draw")
    assert session.project.drawings["corrupt"].told() != "brush stroke"
    runner.tell(activations, "done", result=on_network(runner.requests[activations]))
    runner.tell(patching, "done", result=parts(runner.requests[patching]))
    qtbot.waitUntil(lambda: bool(panel.results.parts.data()))
    assert [view.made_from["drawings"] for view in (panel.results.classes, panel.results.units, panel.results.parts)] == [before] * 3


def test_a_question_that_is_tried_again_is_answered(panel: PatchingCanvasPanel, session: Session, runner: Any, qtbot: Any):
    del runner.answers[PairOnNetwork]
    stroke(panel, "corrupt", (-0.2, 0.0), (0.2, 0.0))
    (job,) = unanswered(runner, PairOnNetwork)
    runner.cancel(job)
    settle(qtbot)
    (job,) = unanswered(runner, PairOnNetwork)  # what was drawn meanwhile
    asked = len(runner.asked(PairOnNetwork))
    runner.cancel(job)
    settle(qtbot)
    assert len(runner.asked(PairOnNetwork)) == asked, "who cancels it does not want it at once"
    runner.answers[PairOnNetwork] = on_network
    again = panel.results.live.activations
    heard: list[Any] = []
    again.ended.connect(heard.append)
    session.relay.retry(job)
    qtbot.waitUntil(lambda: bool(heard))
    assert heard[0].state == "done" and panel.results.classes.data()["corrupt"][1] > 0


def test_a_click_on_a_bar_selects_the_unit_and_on_a_block_the_layer(panel: PatchingCanvasPanel, session: Session, qtbot: Any):
    stroke(panel, "corrupt", (-0.2, 0.0), (0.2, 0.0))
    qtbot.waitUntil(lambda: panel.results.units.data()["names"][0] == "63")
    panel.results.units.clicked.emit(2)
    assert session.unit == Unit(LAYER, 61)
    session.select_together((3, 5, 7))
    assert panel.results.units.data()["names"].tolist() == ["3", "5", "7"], "the selected units, where there are several"
    panel.results.parts.clicked.emit("blocks.0:add")
    assert session.layer == "blocks.0:add"


def test_patching_reads_off_the_selected_unit_when_told_to(panel: PatchingCanvasPanel, session: Session, runner: Any, qtbot: Any):
    stroke(panel, "corrupt", (-0.2, 0.0), (0.2, 0.0))
    panel.results.reads.setCurrentIndex(1)
    assert "Select a unit" in panel.results.parts.message
    session.select_unit(Unit(LAYER, 4))
    qtbot.waitUntil(lambda: runner.asked(PartsOnPair)[-1].unit == Unit(LAYER, 4))


def test_a_failure_is_said_in_its_place(panel: PatchingCanvasPanel, runner: Any, qtbot: Any):
    runner.answers[PartsOnPair] = ValueError("this network is a plain chain")
    runner.answers[PairOnNetwork] = ValueError("the layer is gone")
    stroke(panel, "corrupt", (-0.2, 0.0), (0.2, 0.0))
    qtbot.waitUntil(lambda: panel.results.parts.message == "this network is a plain chain")
    qtbot.waitUntil(lambda: panel.results.said.text() == "the layer is gone")


# Kept


def test_drawings_are_saved_with_the_project_and_come_back(panel: PatchingCanvasPanel, session: Session, qtbot: Any, tmp_path: Path):
    stroke(panel, "clean", (-0.2, 0.0), (0.2, 0.0))
    mime = QMimeData()
    mime.setData("image/png", encoded(Image.new("RGB", (20, 20), (1, 2, 3))))
    drop(panel, "corrupt", mime)
    qtbot.waitUntil(lambda: bool(drawings(session)[1].ground.picture))
    shown = [panel.sides[side].canvas.pixels for side in ("clean", "corrupt")]
    path = session.project.save(tmp_path / "pair.workbench")
    session.project = Project()
    assert all((panel.sides[side].canvas.pixels == 255).all() for side in ("clean", "corrupt"))
    session.project = Project.load(path)
    again = [panel.sides[side].canvas.pixels for side in ("clean", "corrupt")]
    assert np.array_equal(again[0], shown[0]) and np.array_equal(again[1], shown[1])
    assert len(session.project.arrays) == 1
    session.project.drawings["corrupt"] = Drawing(objects=(Rectangle(0, 0, 0.1, 0.1),))
    assert Project.load(session.project.save(path)).arrays == {}, "a picture that no drawing shows is left out"


def test_the_brush_is_kept(panel: PatchingCanvasPanel, session: Session, qtbot: Any):
    panel.tools.take("ellipse")
    panel.hand.width, panel.hand.colour, panel.hand.filled = 0.11, "#a0b0c0", True
    other = PatchingCanvasPanel(session)
    qtbot.addWidget(other)
    other.restore_state(panel.save_state())
    assert (other.hand.tool, other.hand.width, other.hand.colour, other.hand.filled) == ("ellipse", 0.11, "#a0b0c0", True)
    assert other.tools.buttons["ellipse"].isChecked() and other.tools.width_.value() == pytest.approx(11)
    other.restore_state({"hand": {"tool": "axe", "width": 7.0, "colour": "red"}, "sizes": [1]})
    assert other.hand.tool == "ellipse" and other.hand.colour == "#a0b0c0"


def test_with_a_real_worker_and_the_bundled_network(qapp: QApplication, qtbot: Any):
    from workbench.jobs.runner import Runner

    session = Session(Relay(lambda deliver: Runner(deliver, make_engine)))
    try:
        made = PatchingCanvasPanel(session)
        qtbot.addWidget(made)
        made.resize(1000, 700)
        made.show()
        session.open_model("bundled:inception", layer="mixed4a")
        qtbot.waitUntil(lambda: bool(made.results.classes.data()), timeout=120_000)
        stroke(made, "corrupt", (-0.2, 0.0), (0.2, 0.0))
        qtbot.waitUntil(lambda: len(made.results.parts.data().get("scores", ())) == 36, timeout=120_000)
        assert np.isfinite(made.results.parts.data()["scores"]).all() and made.results.parts._columns()[1][:2] == ("1x1", "3x3")
        assert made.results.classes.data()["clean"].sum() <= 1.0001
    finally:
        session.close(10)


def test_a_stimulus_that_is_not_there_yet_is_waited_for_before_corrupting(panel: PatchingCanvasPanel, session: Session, runner: Any):
    del runner.answers[InkOf]
    told = messages(session)
    panel.tools.take("stimulus")
    stroke(panel, "clean", (0.0, 0.0))
    panel.corrupt_by("blur")
    assert "still being drawn" in told[0] and not runner.asked(CorruptPicture)


# What is open changes meanwhile


def unanswered(runner: Any, kind: type) -> list[int]:
    return [job for job, request in runner.requests.items() if type(request) is kind and job in runner.open]


def other_card(**changes: Any) -> Any:
    return replace(CARD, ref="test:other", weight_hash="f" * 64, **changes)


def settle(qtbot: Any) -> None:
    """Let everything that is on its way arrive."""
    qtbot.wait(30)


def test_an_answer_about_another_layer_or_network_is_dropped(panel: PatchingCanvasPanel, session: Session, runner: Any, qtbot: Any):
    del runner.answers[PairOnNetwork], runner.answers[PartsOnPair]
    heard: list[object] = []
    panel.results.live.answered.connect(lambda *found: heard.append(found))
    panel.results.live.patched.connect(lambda *found: heard.append(found))
    stroke(panel, "corrupt", (-0.2, 0.0), (0.2, 0.0))
    (activations,), (patching,) = unanswered(runner, PairOnNetwork), unanswered(runner, PartsOnPair)
    session.select_layer("blocks.0.act")
    panel.results.units.clicked.emit(0)
    assert session.unit is None, "the bars that still stand are of units of the layer before"
    runner.tell(activations, "done", result=on_network(runner.requests[activations]))
    qtbot.waitUntil(lambda: runner.asked(PairOnNetwork)[-1].layer == "blocks.0.act")
    assert heard == []
    (activations,) = unanswered(runner, PairOnNetwork)
    session.set_model(other_card())
    qtbot.waitUntil(lambda: runner.asked(PairOnNetwork)[-1].model == "test:other")
    assert activations not in runner.open and patching not in runner.open, "nobody waits for them"
    runner.tell(patching, "done", result=parts(runner.requests[patching]))
    settle(qtbot)
    assert heard == [] and panel.results.parts.data() == {} and panel.results.classes.data() == {}


def test_a_hidden_canvas_asks_nothing_until_it_is_shown(panel: PatchingCanvasPanel, session: Session, runner: Any, qtbot: Any):
    stroke(panel, "corrupt", (-0.2, 0.0), (0.2, 0.0))
    qtbot.waitUntil(lambda: bool(panel.results.parts.rows))
    settle(qtbot)
    panel.hide()
    before = len(runner.requests)
    session.select_layer("blocks.0.act")
    session.select_unit(Unit("blocks.0.act", 3))
    session.set_model(other_card(size=(96, 96)))
    settle(qtbot)
    assert [request for request in runner.requests.values() if isinstance(request, PairOnNetwork | PartsOnPair)][before:] == []
    assert len(runner.requests) == before
    panel.show()
    qtbot.waitUntil(lambda: len(runner.requests) > before + 1)
    assert runner.asked(PairOnNetwork)[-1].clean.shape == (96, 96, 3) and runner.asked(PairOnNetwork)[-1].model == "test:other"


def test_a_network_is_only_asked_about_images_of_its_size(panel: PatchingCanvasPanel, session: Session, runner: Any, qtbot: Any):
    stroke(panel, "corrupt", (-0.2, 0.0), (0.2, 0.0))
    qtbot.waitUntil(lambda: bool(panel.results.parts.rows))
    qtbot.wait(250)
    session.set_model(other_card(size=(96, 96)))
    qtbot.waitUntil(lambda: runner.asked(PartsOnPair)[-1].model == "test:other")
    settle(qtbot)
    asked = [each for kind in (PairOnNetwork, PartsOnPair) for each in runner.asked(kind) if each.model == "test:other"]
    assert {each.clean.shape for each in asked} == {(96, 96, 3)}
    session.set_model(replace(CARD, ref="test:third", size=(96, 96)))
    qtbot.waitUntil(lambda: runner.asked(PairOnNetwork)[-1].model == "test:third")  # the drawings have that size already
    qtbot.waitUntil(lambda: bool(panel.results.classes.data()))


def test_patching_reads_off_what_is_said(panel: PatchingCanvasPanel, session: Session, runner: Any, qtbot: Any):
    stroke(panel, "corrupt", (-0.2, 0.0), (0.2, 0.0))
    session.set_model(other_card(labels=()))
    session.select_unit(Unit(session.layer, 2))
    qtbot.waitUntil(lambda: runner.asked(PartsOnPair)[-1].model == "test:other")
    settle(qtbot)
    assert panel.results.reads.currentText() == "read off the output"
    assert {each.unit for each in runner.asked(PartsOnPair)} == {None}, "not off the selected unit"
    session.select_unit(None)
    before = len(runner.asked(PartsOnPair))
    panel.results.reads.setCurrentIndex(1)
    stroke(panel, "corrupt", (0.0, 0.2))
    qtbot.wait(300)
    assert len(runner.asked(PartsOnPair)) == before and "Select a unit" in panel.results.parts.message
    panel.results.reads.setCurrentIndex(0)
    qtbot.waitUntil(lambda: bool(panel.results.parts.rows))


def test_scores_of_another_metric_are_not_shown_as_older(panel: PatchingCanvasPanel):
    nothing = np.zeros((1, 1, 3), np.uint8)
    results, request = panel.results, PartsOnPair("test:small", nothing, nothing, affordable=0.01)
    results._take_patched(parts(replace(request, affordable=9.0)), {})
    results._take_patched(parts(request) | {"metric": "logit dog − cat"}, {})
    early, late = results.parts.rows
    assert early.scores is None and late.scores is not None


def test_swapping_announces_the_swapped_pair_alone(panel: PatchingCanvasPanel, session: Session):
    stroke(panel, "clean", (-0.2, 0.0), (0.2, 0.0))
    told: list[Any] = []
    session.pair_changed.connect(told.append)
    panel.across["swap"].click()
    assert [pair and pair.name for pair in told] == ["blank / brush stroke"]
    session.undo_stack.undo()
    assert [pair and pair.name for pair in told[1:]] == ["brush stroke / blank"]


def test_the_picture_that_was_stamped_stays_in_its_project(panel: PatchingCanvasPanel, session: Session, qtbot: Any, tmp_path: Path):
    panel.tools.take("stamp")
    mime = QMimeData()
    mime.setData("image/png", encoded(Image.new("RGB", (20, 10), "black")))
    drop(panel, "clean", mime)
    qtbot.waitUntil(lambda: bool(drawings(session)[0].objects))
    before = drawings(session)[0]
    asked: list[bool] = []
    panel.sides["clean"].canvas.picture_wanted.disconnect()
    panel.sides["clean"].canvas.picture_wanted.connect(lambda: asked.append(True))
    session.project = Project()
    stroke(panel, "clean", (0.0, 0.0))
    assert asked == [True] and drawings(session)[0] == Drawing(), "a drawing would name a picture that is not there"
    session.project = Project(drawings={"clean": before})
    assert panel.sides["clean"].canvas.message, "what is missing is said, not drawn from the project before"
