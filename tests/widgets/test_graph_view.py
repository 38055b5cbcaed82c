"""The drawing of a circuit: what its edges show, what lies where, what mouse and keys do, and files of it."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QImage, QMouseEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from widgets.export import export_view, figure_image
from widgets.views.graph_drawing import Card, edge_colour
from widgets.views.graph_hand import GraphHand
from widgets.views.view import PAPER, as_image
from workbench.circuit import Circuit, Edge

CIRCUIT = Circuit("curves", "test:small", "test:images").with_edges(
    [
        Edge("low:1", "mid:4", 1.0, 0.1),
        Edge("low:2", "mid:4", -0.5, -0.4),
        Edge("low:2", "mid:5", 0.05),
        Edge("mid:4", "top:7", 8.0, 0.2),
        Edge("mid:5", "top:7", math.nan),
        Edge("low:1", "top:7", 0.25, 0.3),
    ]
)
ROWS = {"low": ["low:1", "low:2"], "mid": ["mid:4", "mid:5"], "top": ["top:7"]}


def picture(grey: int) -> QImage:
    return as_image(np.full((16, 16, 3), grey, np.uint8))


@pytest.fixture
def view(qtbot):
    made = GraphHand()
    qtbot.addWidget(made)
    made.resize(700, 620)
    made.show_circuit(CIRCUIT, ROWS, roles={"low": "post-activation"}, captions=["n = 64 images"], title="curves")
    made.show_cards({unit: Card(unit, unit.partition(":")[2], "curve", (picture(90),)) for unit in CIRCUIT.units})
    made.show()
    return made


def centre(view: GraphHand, unit: str) -> QPoint:
    return view.place_of(unit).center().toPoint()


def on_edge(view: GraphHand, ends: tuple[str, str]) -> QPoint:
    return view._transform(QRectF(view.rect())).map(view._paths[ends].pointAtPercent(0.5)).toPoint()


def test_weights_are_compared_between_two_layers_and_attributions_with_all(view):
    shares = view.shares
    assert shares["low:1", "mid:4"] == shares["mid:4", "top:7"] == 1.0 and shares["low:2", "mid:4"] == 0.5
    assert math.isnan(shares["mid:5", "top:7"]), "not computed"
    view.show_edges("attribution", 0.0, False)
    assert view.shares["low:2", "mid:4"] == 1.0 and view.shares["mid:4", "top:7"] == pytest.approx(0.5)


def test_weak_edges_are_left_out_of_the_picture_and_stay_in_the_data(view):
    view.show_edges("weight", 0.6, False)
    assert [edge.ends for edge in view.drawn][-1] in (("low:1", "mid:4"), ("mid:4", "top:7"), ("low:1", "top:7"))
    assert ("low:2", "mid:4") in {edge.ends for edge in view.drawn}, "the strongest of its unit, although weaker than that"
    assert ("low:2", "mid:5") not in {edge.ends for edge in view.drawn} and ("mid:5", "top:7") in {e.ends for e in view.drawn}
    data = view.data()
    assert data["weight"].shape == (6,) and data["source"][2] == "low:2" and data["units"].tolist() == list(CIRCUIT.units)
    assert view.provenance()["edges drawn"] == 5 and view.provenance()["circuit"]["edges"][4]["weight"] is None


def test_what_excites_is_red_and_what_inhibits_blue(view):
    image = figure_image(view, 2)
    red, blue = edge_colour(1.0, PAPER), edge_colour(-1.0, PAPER)
    assert red.red() > 2 * red.blue() and blue.blue() > 2 * blue.red()
    colours = {QColor(image.pixel(x, y)).name() for x in range(0, image.width(), 2) for y in range(0, image.height(), 2)}
    assert {red.name(), blue.name(), edge_colour(math.nan, PAPER).name(), "#5a5a5a"} <= colours


def test_cards_do_not_overlap_and_rows_go_up(view):
    places = [view.place_of(unit) for unit in CIRCUIT.units]
    assert not any(a.intersects(b) for i, a in enumerate(places) for b in places[i + 1 :])
    assert view.place_of("top:7").bottom() < view.place_of("mid:4").top() < view.place_of("low:1").top()
    assert all(QRectF(view.rect()).contains(place) for place in places)


def test_a_click_selects_a_node_or_an_edge_and_says_so(view, qtbot):
    with qtbot.waitSignal(view.picked) as picked:
        QTest.mouseClick(view, Qt.MouseButton.LeftButton, pos=centre(view, "mid:5"))
    assert picked.args == ["mid:5"] and view.selection == ("mid:5",)
    QTest.mouseClick(view, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ControlModifier, centre(view, "mid:4"))
    assert view.selection == ("mid:5", "mid:4")
    ends = ("low:1", "mid:4")
    QTest.mouseClick(view, Qt.MouseButton.LeftButton, pos=on_edge(view, ends))
    assert view.selected_edge == ends and view.selection == ()
    assert view.edge_tip(ends).splitlines() == [
        "low:1 → mid:4",
        "weight: 1.00 (100% of the strongest between the same two layers)",
        "attribution: 0.100",
        "effect when patched alone: not computed",
    ]
    QTest.mouseClick(view, Qt.MouseButton.LeftButton, pos=QPoint(view.width() - 20, 20))
    assert view.selected_edge is None


def test_a_node_is_dragged_in_its_row(view, qtbot):
    left, right = sorted(("low:1", "low:2"), key=lambda unit: view.place_of(unit).left())
    start, end = centre(view, left), centre(view, right) + QPoint(30, 0)
    with qtbot.waitSignal(view.moved) as moved:
        QTest.mousePress(view, Qt.MouseButton.LeftButton, pos=start)
        held, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
        place = view.mapToGlobal(QPointF(end))
        QApplication.sendEvent(
            view, QMouseEvent(QEvent.Type.MouseMove, QPointF(end), place, none, held, Qt.KeyboardModifier.NoModifier)
        )
        QTest.mouseRelease(view, Qt.MouseButton.LeftButton, pos=end)
    assert moved.args == [left, 1]
    assert not view.place_of("low:1").intersects(view.place_of("low:2"))


def test_keys_go_from_node_to_node_move_and_remove(view, qtbot):
    QTest.keyClick(view, Qt.Key.Key_Up)
    assert view.selection == ("top:7",)
    QTest.keyClick(view, Qt.Key.Key_Down)
    assert view.selection[0] in ROWS["mid"]
    view.select(("mid:4",))
    QTest.keyClick(view, Qt.Key.Key_Right)
    QTest.keyClick(view, Qt.Key.Key_Right)
    assert view.selection == ("mid:5",)
    with qtbot.waitSignal(view.moved) as moved:
        QTest.keyClick(view, Qt.Key.Key_Left, Qt.KeyboardModifier.AltModifier)
    assert moved.args == ["mid:5", 0]
    with qtbot.waitSignal(view.picked) as picked:
        QTest.keyClick(view, Qt.Key.Key_Return)
    assert picked.args == ["mid:5"]
    with qtbot.waitSignal(view.removal_wanted):
        QTest.keyClick(view, Qt.Key.Key_Delete)
    QTest.keyClick(view, Qt.Key.Key_Escape)
    assert view.selection == ()


def test_zoom_keeps_the_place_under_the_mouse_and_goes_back(view):
    at = QPointF(centre(view, "low:1"))
    before = view._on_page(at)
    view.zoom_to(2.0, at)
    after = view._on_page(at)
    assert (after - before).manhattanLength() < 1 or view.centre.x() in (0.0, 1.0)
    assert view.place_of("low:1").width() > 1.5 * view._size[0] * 0.8
    QTest.keyClick(view, Qt.Key.Key_0)
    assert view.zoom == 1.0 and view.centre == QPointF(0.5, 0.5)


def test_the_figure_is_written_as_vectors_with_its_words(view, tmp_path):
    for kind in ("svg", "pdf"):
        path, _, told = export_view(view, tmp_path / f"figure.{kind}")
        assert path.stat().st_size > 2000
    words = " ".join(element.text or "" for element in ElementTree.parse(tmp_path / "figure.svg").iter("{http://www.w3.org/2000/svg}text"))
    for said in ("curves", "excites", "inhibits", "not computed", "post-activation", "64 images", "strongest"):
        assert said in words
    assert '"weakest share drawn"' in told.read_text()


def test_an_edge_inside_a_row_and_one_that_leads_down_are_drawn_too(view):
    odd = Circuit("odd").with_edges([Edge("low:1", "low:2", 1.0), Edge("top:7", "mid:4", -1.0)])
    view.show_circuit(odd, {"low": ["low:1", "low:2"], "mid": ["mid:4"], "top": ["top:7"]})
    assert view._paths["low:1", "low:2"].boundingRect().height() > 10
    assert view._paths["top:7", "mid:4"].pointAtPercent(0).y() < view._paths["top:7", "mid:4"].pointAtPercent(1).y()
    assert not view.grab().isNull()


def test_nothing_shown_says_what_to_do(view):
    view.select(("mid:4",))
    view.clear("Click a unit.")
    assert view.data() == {} and view.selection == () and view.message == "Click a unit."
    assert not view.grab().isNull() and view.node_at(QPointF(10, 10)) == ""
