"""The canvas: tools by mouse and keyboard, handles, zoom, and what it says while something is drawn."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QMimeData, QPoint, QPointF, Qt
from PySide6.QtGui import QDropEvent, QImage, QMouseEvent, QPainter, QWheelEvent
from PySide6.QtWidgets import QApplication

from widgets.canvas.hand import Hand
from widgets.views.paint_canvas import PaintCanvas
from workbench.images.drawing import Drawing, Ground
from workbench.images.drawn_stimulus import Stimulus
from workbench.images.shapes import Ellipse, Fill, Rectangle, Stamp
from workbench.images.strokes import Arc, Brush, Eraser, Line
from workbench.images.thing import around
from workbench.images.touch import distance

SHIFT = Qt.KeyboardModifier.ShiftModifier
LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def canvas(qtbot: Any) -> PaintCanvas:
    made = PaintCanvas(Hand(), lambda stimulus, size: (np.ones(size, np.float32), np.zeros(3)), "Clean")
    qtbot.addWidget(made)
    made.resize(332, 332)
    made.show()
    made.said = SimpleNamespace(finished=[], shown=0, drawing=[])  # type: ignore[attr-defined]

    def count() -> None:
        made.said.shown += 1  # type: ignore[attr-defined]
        made.said.drawing.append(made.is_drawing)  # type: ignore[attr-defined]

    made.finished.connect(lambda drawing, text: made.said.finished.append((drawing, text)))  # type: ignore[attr-defined]
    made.shown.connect(count)
    return made


def drag(canvas: PaintCanvas, *points: tuple[float, float], held: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
    """Press at the first point, move over the others, release at the last."""
    kinds = [QEvent.Type.MouseButtonPress, *[QEvent.Type.MouseMove] * (len(points) - 1), QEvent.Type.MouseButtonRelease]
    for kind, point in zip(kinds, [*points, points[-1]], strict=True):
        where = canvas.place(point)
        button = Qt.MouseButton.NoButton if kind == QEvent.Type.MouseMove else LEFT
        buttons = Qt.MouseButton.NoButton if kind == QEvent.Type.MouseButtonRelease else LEFT
        QApplication.sendEvent(canvas, QMouseEvent(kind, where, QPointF(canvas.mapToGlobal(where)), button, buttons, held))


def near(*values: float) -> Any:
    return pytest.approx(values, abs=0.005)


def test_a_stroke_is_one_step_and_is_shown_while_it_is_drawn(canvas: PaintCanvas):
    canvas.hand.colour, canvas.hand.width = "#ff0000", 0.1
    drag(canvas, (-0.3, 0.0), (-0.1, 0.1), (0.1, 0.1), (0.3, 0.0))
    ((drawing, text),) = canvas.said.finished
    (stroke,) = drawing.objects
    assert isinstance(stroke, Brush) and len(stroke.points) == 4 and stroke.colour == "#ff0000" and text == "draw a stroke"
    assert canvas.said.drawing[:4] == [True] * 4 and canvas.said.drawing[-1] is False
    assert canvas.pixels.shape == (64, 64, 3) and canvas.pixels[36, 32].tolist() == [255, 0, 0] and canvas.selected == -1
    canvas.hand.tool = "eraser"
    drag(canvas, (0.0, 0.1))
    assert isinstance(canvas.drawing.objects[-1], Eraser) and canvas.pixels[38, 32].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    ("tool", "held", "expected"),
    [
        ("line", None, Line(-0.2, -0.1, 0.2, 0.1, 0.05)),
        ("line", SHIFT, Line(-0.2, -0.1, 0.187, 0.124, 0.05)),
        ("rectangle", None, Rectangle(0.0, 0.0, 0.4, 0.2, 0.05)),
        ("rectangle", SHIFT, Rectangle(0.0, 0.1, 0.4, 0.4, 0.05)),
        ("ellipse", None, Ellipse(0.0, 0.0, 0.4, 0.2, 0.05)),
        ("arc", None, Arc(-0.2, -0.1, math.hypot(0.4, 0.2), 243.43, 180, 0.05)),
        ("arc", SHIFT, Arc(-0.2, -0.1, math.hypot(0.4, 0.2), 240, 180, 0.05)),
    ],
)
def test_what_is_spanned_stands_between_both_places_and_is_selected(canvas: PaintCanvas, tool: Any, held: Any, expected: Any):
    canvas.hand.tool = tool
    drag(canvas, (-0.2, -0.1), (0.0, 0.0), (0.2, 0.1), held=held or Qt.KeyboardModifier.NoModifier)
    (found,) = canvas.drawing.objects
    assert type(found) is type(expected) and canvas.selected == 0
    for name, value in vars(expected).items():
        assert getattr(found, name) == (value if isinstance(value, str) else pytest.approx(value, abs=1 if name == "start" else 0.01))
    before = canvas.drawing
    drag(canvas, (0.3, 0.3))
    assert canvas.drawing is before, "a click alone spans nothing"


def test_the_radius_handle_of_an_arc_bends_it_whatever_the_tool(canvas: PaintCanvas):
    canvas.hand.tool = "arc"
    drag(canvas, (0.0, 0.1), (0.0, -0.1), (0.0, -0.2))
    (arc,) = canvas.drawing.objects
    assert isinstance(arc, Arc) and (arc.radius, arc.start % 360) == (pytest.approx(0.3, abs=0.005), pytest.approx(0, abs=1))
    assert set(canvas.handles()) == {"place", "radius", "start", "end", "turn"}
    canvas.hand.tool = "brush"
    drag(canvas, arc.handles()["radius"], (0.0, 0.0), (0.0, -0.05))
    bent = canvas.drawing.objects[0]
    assert isinstance(bent, Arc) and bent.radius == pytest.approx(0.15, abs=0.01) and len(canvas.drawing.objects) == 1
    assert canvas.said.finished[-1][1] == "change an arc"


def test_objects_are_selected_moved_and_erased(canvas: PaintCanvas, qtbot: Any):
    canvas.show_drawing(Drawing(objects=(Line(-0.3, 0.2, 0.3, 0.2), Rectangle(0.0, -0.2, 0.3, 0.2))), {})
    canvas.hand.tool = "select"
    drag(canvas, (0.0, -0.2), (0.1, -0.1))
    moved = canvas.drawing.objects[1]
    assert canvas.selected == 1 and isinstance(moved, Rectangle) and (moved.x, moved.y) == near(0.1, -0.1)
    qtbot.keyClick(canvas, Qt.Key.Key_Right)
    assert canvas.drawing.objects[1].x == pytest.approx(moved.x + 1 / 64)  # type: ignore[attr-defined]
    qtbot.keyClick(canvas, Qt.Key.Key_Delete)
    assert len(canvas.drawing.objects) == 1 and canvas.selected == -1
    drag(canvas, (0.4, -0.4))
    assert canvas.selected == -1
    qtbot.keyClick(canvas, Qt.Key.Key_Delete)
    assert len(canvas.drawing.objects) == 1


def test_fill_and_picker_take_colours(canvas: PaintCanvas, qtbot: Any):
    canvas.hand.tool, canvas.hand.colour = "fill", "#00ff00"
    drag(canvas, (0.2, 0.2))
    assert isinstance(canvas.drawing.objects[0], Fill) and canvas.pixels[0, 0].tolist() == [0, 255, 0]
    canvas.hand.tool = "picker"
    with qtbot.waitSignal(canvas.picked) as told:
        drag(canvas, (0.0, 0.0))
    assert told.args == ["#00ff00"]


def test_a_stamp_asks_for_a_picture_and_can_be_scaled(canvas: PaintCanvas, qtbot: Any):
    canvas.hand.tool = "stamp"
    with qtbot.waitSignal(canvas.picture_wanted):
        drag(canvas, (0.0, 0.0))
    picture = np.zeros((10, 20, 3), np.uint8)
    canvas.hand.picture, canvas.hand.proportions = "black", 2.0
    canvas.show_drawing(Drawing(Ground("#fefefe")), {"black": picture})
    drag(canvas, (0.0, 0.0))
    (stamp,) = canvas.drawing.objects
    assert isinstance(stamp, Stamp) and (stamp.across, stamp.down) == near(0.6, 0.3) and not canvas.pixels[32, 32].any()
    drag(canvas, stamp.handles()["corner"], (0.45, 0.2))
    larger = canvas.drawing.objects[0]
    assert isinstance(larger, Stamp) and (larger.across, larger.down) == near(0.9, 0.45)


def test_a_stimulus_is_placed_and_turned_by_its_handle(canvas: PaintCanvas):
    canvas.hand.tool = "stimulus"
    canvas.hand.defaults = {"curves": {"x": 0.0, "y": 0.0, "orientation": 90.0, "radius": 0.3}}
    drag(canvas, (0.1, 0.2))
    (placed,) = canvas.drawing.objects
    assert isinstance(placed, Stimulus) and dict(placed.values)["x"] == pytest.approx(0.1, abs=0.005)
    drag(canvas, placed.handles()["radius"], (0.3, 0.2))
    bent = dict(canvas.drawing.objects[0].values)  # type: ignore[attr-defined]
    assert bent["orientation"] % 360 == pytest.approx(0, abs=2) and bent["radius"] == pytest.approx(0.2, abs=0.01)
    drag(canvas, canvas.point(canvas.handles()["turn"]), (0.3, 0.0), (0.12, -0.1), held=SHIFT)
    turned = dict(canvas.drawing.objects[0].values)  # type: ignore[attr-defined]
    assert turned["orientation"] == 90 and turned["radius"] == bent["radius"], "turned alone, and by whole steps"


@pytest.mark.parametrize(
    "one", [Rectangle(0.0, 0.1, 0.4, 0.2), Ellipse(0, 0.1, 0.4, 0.2, 0.05), Line(-0.1, 0.1, 0.3, 0.2), Arc(0, 0.1, 0.2)]
)
def test_a_handle_outside_the_outline_turns_and_snaps_with_shift(canvas: PaintCanvas, one: Any, qtbot: Any):
    canvas.show_drawing(Drawing(objects=(one,)), {})
    canvas.select(0)
    middle = one.handles()["place"]
    at = canvas.point(canvas.handles()["turn"])
    assert distance(one, at) > 0.04, "outside"
    canvas.hand.tool = "brush"
    right, down = around((at[0] - middle[0], at[1] - middle[1]), 50)
    halfway = around((at[0] - middle[0], at[1] - middle[1]), 25)
    drag(canvas, at, (middle[0] + halfway[0], middle[1] + halfway[1]), (middle[0] + right, middle[1] + down))
    ((drawing, text),) = canvas.said.finished  # type: ignore[attr-defined]
    turned = drawing.objects[0]
    assert (turned.direction - one.direction) % 360 == pytest.approx(50, abs=0.5) and text.startswith("turn a") and canvas.selected == 0
    assert turned.handles()["place"] == pytest.approx(middle) and len(drawing.objects) == 1
    again = canvas.point(canvas.handles()["turn"])
    drag(canvas, again, (again[0] + 0.01, again[1]), (again[0] + 0.05, again[1] + 0.02), held=SHIFT)
    snapped = canvas.drawing.objects[0].direction
    assert snapped is not None and snapped / 15 == pytest.approx(round(snapped / 15))
    before = canvas.drawing.objects[0]
    qtbot.keyClick(canvas, Qt.Key.Key_Left, SHIFT)
    assert canvas.drawing.objects[0].direction == pytest.approx((before.direction + 5) % 360)  # type: ignore[operator]


def test_the_handle_that_turns_can_be_reached_at_the_border(canvas: PaintCanvas, qtbot: Any):
    for one in (Rectangle(0.0, 0.0, 0.9, 1.4), Rectangle(0.0, -0.48, 0.3, 0.2), Rectangle(0.47, 0.0, 0.2, 0.2, angle=-90)):
        canvas.show_drawing(Drawing(objects=(one,)), {})
        canvas.select(0)
        handle = canvas.handles()["turn"]
        assert canvas.rect().toRectF().contains(handle) and (handle - canvas.handles()["place"]).manhattanLength() > 20
        drag(canvas, canvas.point(handle), (0.2, 0.3), (0.3, 0.2))
        assert canvas.drawing.objects[0].direction != one.direction
    canvas.show_drawing(Drawing(objects=(Arc(0, 0, 0.2, 0, 360), Brush(((0, 0), (0.1, 0.1))))), {})
    for place in (0, 1):
        canvas.select(place)
        assert "turn" not in canvas.handles(), "what has no direction is not turned"
        before = canvas.drawing.objects[place]
        qtbot.keyClick(canvas, Qt.Key.Key_Left, SHIFT)
        assert canvas.drawing.objects[place] == before.moved(-1 / 64, 0.0), "it is moved, as without Shift"


def test_what_is_waited_for_is_not_shown_half(canvas: PaintCanvas):
    there: list[Any] = []
    canvas._ink = canvas._raster._ink = lambda stimulus, size: there[0] if there else None  # type: ignore[assignment]
    before = canvas.pixels
    canvas.show_drawing(Drawing(objects=(Stimulus("curves"), Rectangle(0, 0, 1, 1))), {})
    assert canvas.pixels is before
    there.append((np.ones((64, 64), np.float32), np.zeros(3)))
    canvas.refresh()
    assert not canvas.pixels.any()


def test_keys_take_tools_change_the_brush_and_put_things_in_the_middle(canvas: PaintCanvas, qtbot: Any):
    taken: list[object] = []
    canvas.tool_taken.connect(taken.append)
    canvas.thickened.connect(taken.append)
    for key in (Qt.Key.Key_A, Qt.Key.Key_E, Qt.Key.Key_BracketRight, Qt.Key.Key_BracketLeft):
        qtbot.keyClick(canvas, key)
    assert taken == ["arc", "eraser", 1.25, 0.8]
    for tool, kind in (("arc", Arc), ("line", Line), ("ellipse", Ellipse)):
        canvas.hand.tool = tool  # type: ignore[assignment]
        qtbot.keyClick(canvas, Qt.Key.Key_Return)
        assert isinstance(canvas.drawing.objects[-1], kind) and canvas.selected == len(canvas.drawing.objects) - 1
    qtbot.keyClick(canvas, Qt.Key.Key_Escape)
    assert canvas.selected == -1


def test_the_wheel_zooms_about_the_mouse_and_the_image_stays_in_sight(canvas: PaintCanvas, qtbot: Any):
    about = canvas.place((0.3, -0.2))
    nothing, wheel = QPoint(), QPoint(0, 480)
    event = QWheelEvent(
        about, about, nothing, wheel, Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False
    )
    QApplication.sendEvent(canvas, event)
    assert canvas.zoom == pytest.approx(1.25**4) and canvas.point(about) == near(0.3, -0.2)
    drag(canvas, (0.0, 0.0), (2.0, 2.0), held=Qt.KeyboardModifier.ControlModifier)
    assert canvas.frame().topLeft().x() <= 7 and not canvas.drawing.objects, "moved as far as the image goes, and nothing was drawn"
    drag(canvas, (-0.3, -0.3), (-0.2, -0.3))
    (stroke,) = canvas.drawing.objects
    assert stroke.points[0] == near(-0.3, -0.3)  # type: ignore[attr-defined]
    qtbot.keyClick(canvas, Qt.Key.Key_0)
    assert canvas.zoom == 1 and canvas.frame().center() == canvas.rect().toRectF().center()


def test_pixels_are_squares_at_any_zoom_and_on_paper(canvas: PaintCanvas):
    canvas.hint = ""
    canvas.show_drawing(Drawing(objects=(Rectangle(0.25, 0.0, 0.5, 2.0),)), {})
    shown = canvas.grab().toImage()
    frame = canvas.frame()
    row = {shown.pixelColor(round(frame.left()) + x, 100).lightness() for x in range(3, 318) if not 155 < x < 165}
    assert row == {0, 255}, "black and white, nothing in between"
    image = QImage(320, 340, QImage.Format.Format_RGB32)
    image.fill(Qt.GlobalColor.white)
    with canvas.on_paper():
        painter = QPainter(image)
        canvas.paint(painter, image.rect().toRectF())
        painter.end()
    assert image.pixelColor(300, 200).lightness() == 0 and canvas.data()["image"].shape == (64, 64, 3)
    assert canvas.provenance()["drawing"]["objects"][0]["kind"] == "rectangle"  # type: ignore[index]


def test_another_size_draws_the_same(canvas: PaintCanvas):
    canvas.show_drawing(Drawing(objects=(Rectangle(0.25, 0.0, 0.5, 2.0),)), {})
    canvas.set_size((32, 48))
    assert canvas.pixels.shape == (32, 48, 3) and not canvas.pixels[10, 28:40].any() and canvas.pixels[10, :20].all()


def test_a_drop_is_the_canvas_own_and_a_missing_picture_is_said(canvas: PaintCanvas, qtbot: Any):
    mime = QMimeData()
    mime.setImageData(QImage(4, 4, QImage.Format.Format_RGB32))
    event = QDropEvent(QPointF(20, 20), Qt.DropAction.CopyAction, mime, LEFT, Qt.KeyboardModifier.NoModifier)
    with qtbot.waitSignal(canvas.brought):
        canvas.dropEvent(event)
    canvas.show_drawing(Drawing(Ground(picture="gone")), {})
    assert "drop it onto the canvas again" in canvas.message


def test_what_is_being_drawn_goes_on_when_the_project_is_touched(canvas: PaintCanvas):
    where = canvas.place((0.0, 0.0))
    pressed = QMouseEvent(QEvent.Type.MouseButtonPress, where, where, LEFT, LEFT, Qt.KeyboardModifier.NoModifier)
    QApplication.sendEvent(canvas, pressed)
    canvas.show_drawing(Drawing(), {})
    assert canvas.is_drawing
    canvas.show_drawing(Drawing(Ground("#101010")), {})
    assert not canvas.is_drawing, "another drawing takes its place"


def test_a_stroke_ends_with_the_button_that_began_it(canvas: PaintCanvas):
    def send(kind: QEvent.Type, button: Qt.MouseButton, x: float) -> None:
        where = canvas.place((x, 0.0))
        there = QPointF(canvas.mapToGlobal(where))
        QApplication.sendEvent(canvas, QMouseEvent(kind, where, there, button, LEFT, Qt.KeyboardModifier.NoModifier))

    send(QEvent.Type.MouseButtonPress, LEFT, -0.2)
    send(QEvent.Type.MouseMove, Qt.MouseButton.NoButton, 0.0)
    for other in (Qt.MouseButton.RightButton, Qt.MouseButton.MiddleButton):
        send(QEvent.Type.MouseButtonPress, other, 0.0)
        send(QEvent.Type.MouseButtonRelease, other, 0.0)
    assert canvas.is_drawing and canvas.said.finished == []  # type: ignore[attr-defined]
    send(QEvent.Type.MouseMove, Qt.MouseButton.NoButton, 0.2)
    send(QEvent.Type.MouseButtonRelease, LEFT, 0.2)
    ((drawing, _),) = canvas.said.finished  # type: ignore[attr-defined]
    assert len(drawing.objects) == 1 and drawing.objects[0].points[-1][0] == pytest.approx(0.2, abs=0.01)
