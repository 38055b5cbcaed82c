"""Histogram, image, strips and bars: what they show, and that one can reach it with mouse and keys."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QImage, QMouseEvent, QPainter
from PySide6.QtWidgets import QApplication, QMenu, QScrollArea, QToolTip, QVBoxLayout, QWidget

from widgets.views.bar_list import BarList
from widgets.views.colour_scale import ColourScale
from widgets.views.curve_plot import CurvePlot
from widgets.views.histogram import Band, Histogram
from widgets.views.image_strip import ImageStrip, Picture, Row
from widgets.views.image_view import ImageView
from widgets.views.view import PAPER, View

EDGES = np.linspace(-2, 8, 41)


def painted(view: View) -> QImage:
    """Paint on paper, one pixel to 1/96 inch."""
    size = view.figure_size().toSize()
    image = QImage(size, QImage.Format.Format_RGB32)
    image.fill(Qt.GlobalColor.white)
    painter = QPainter(image)
    with view.on_paper():
        view.paint(painter, QRectF(0, 0, size.width(), size.height()))
    painter.end()
    return image


def pixels(image: QImage) -> np.ndarray:
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine() // 4, 4)
    return rows[:, : image.width(), 2::-1].astype(int)


def count_of(image: QImage, colour: QColor) -> int:
    return int((pixels(image) == colour.getRgb()[:3]).all(-1).sum())


@pytest.fixture
def histogram(qtbot):
    view = Histogram()
    qtbot.addWidget(view)
    view.show_counts(EDGES, np.ones(40), title="a:1", label="activation", counted="images", note="n = 40 images")
    return view


# Histogram


def test_bars_are_as_high_as_their_counts(histogram):
    histogram.logarithmic = False
    counts = np.zeros(40)
    counts[10], counts[30] = 100, 50
    histogram.show_counts(EDGES, counts, title="a:1", label="activation", counted="images")
    columns = (pixels(painted(histogram)) == PAPER.bar.getRgb()[:3]).all(-1).sum(0)
    tall, small = columns[columns > 0].max(), np.median(columns[(columns > 0) & (columns < 0.75 * columns.max())])
    assert small / tall == pytest.approx(0.5, abs=0.04)


def test_logarithmic_axis_shows_a_single_image_among_thousands(histogram):
    counts = np.zeros(40)
    counts[5], counts[39] = 100_000, 1
    for logarithmic, seen in ((False, False), (True, True)):
        histogram.logarithmic = logarithmic
        histogram.show_counts(EDGES, counts, title="a:1", label="activation", counted="images")
        bars = (pixels(painted(histogram)) == PAPER.bar.getRgb()[:3]).all(-1)
        assert bars[:, bars.shape[1] * 3 // 4 :].any() == seen


def test_marker_stands_at_its_value_even_outside_of_the_data(histogram):
    for value in (0.0, 20.0):
        histogram.set_marker(value, "your image")
        image = painted(histogram)
        found = np.argwhere((pixels(image) == PAPER.marker.getRgb()[:3]).all(-1))
        plot = histogram._plot(QRectF(image.rect()))
        line = np.bincount(found[:, 1]).argmax()
        assert line == pytest.approx(histogram._x(value, plot), abs=1.5)
    histogram.set_marker(math.nan)
    assert count_of(painted(histogram), PAPER.marker) == 0 and "marker" not in histogram.data()


def test_null_and_bands_are_part_of_the_data(histogram):
    histogram.show_counts(
        EDGES, np.ones(40), title="a:1", label="activation", counted="images", bands=[Band("80–100 %", 3, 8)]
    )
    histogram.set_null("random weights", np.full(40, 2.0))
    assert histogram.data()["null_counts"].sum() == 80
    np.testing.assert_array_equal(histogram.data()["bands"], [[3, 8]])
    assert histogram.provenance()["null"] == "random weights"
    assert count_of(painted(histogram), PAPER.quiet) > 500


def test_edges_that_do_not_fit_are_refused(histogram):
    with pytest.raises(ValueError, match="41 rising edges"):
        histogram.show_counts(EDGES[:-1], np.ones(40), title="", label="", counted="")


def test_menu_switches_the_axis_and_offers_export(histogram):
    menu = QMenu()
    histogram.fill_menu(menu)
    titles = [action.text() for action in menu.actions() if action.text()]
    assert titles == ["Logarithmic count axis", "Export…", "Copy image", "Copy as Python", "Copy as command"]
    menu.actions()[0].trigger()
    assert not histogram.logarithmic


def test_the_mouse_reads_a_bin(histogram, qtbot):
    from PySide6.QtWidgets import QToolTip

    histogram.resize(500, 260)
    histogram.show()
    plot = histogram._plot(QRectF(histogram.rect()))
    place = QPoint(round(histogram._x(0.1, plot)), round(plot.center().y()))
    qtbot.mouseMove(histogram, place)
    assert QToolTip.text().startswith("0 to 0.250: 1 images (2.50%)")
    QToolTip.hideText()


# Image with a map


@pytest.fixture
def image(qtbot):
    view = ImageView()
    qtbot.addWidget(view)
    view.resize(400, 300)
    view.show_image(np.full((60, 90, 3), 128, np.uint8), title="photo")
    return view


def test_map_covers_where_the_unit_is_active(image):
    values = np.zeros((6, 9), np.float32)
    values[1, 7] = 5
    image.smooth = False
    image.show_map(values, label="activation (post)")
    picture = pixels(painted(image))
    with image.on_paper():
        frame, _ = image._areas(QRectF(0, 0, picture.shape[1], picture.shape[0]))

    def at(row: int, column: int) -> np.ndarray:
        place = frame.topLeft() + QPointF((column + 0.5) / 9 * frame.width(), (row + 0.5) / 6 * frame.height())
        return picture[round(place.y()), round(place.x())]

    assert at(1, 7).min() > 100 and at(1, 7).max() > 200  # pale yellow
    assert np.abs(at(3, 2) - at(4, 5)).max() <= 1 and at(3, 2).max() < 128  # dark, and the image shines through
    image.opacity = 0
    assert (pixels(painted(image))[round(frame.center().y()), round(frame.center().x())] == 128).all()


def test_signed_maps_are_centred_on_zero(image):
    image.show_map(np.array([[-3.0, 1.0], [0.5, 2.0]]), label="activation (pre)")
    assert image.provenance()["colour scale"] == {"low": -3.0, "high": 3.0, "quantity": "activation (pre)"}
    assert ColourScale(-3, 3).signed


def test_zoom_keeps_the_point_under_the_mouse(image):
    at = QPointF(250, 120)
    frame, _ = image._areas(QRectF(image.rect()))
    before = image._to_image(at, frame)
    image.zoom_to(4, at)
    after = image._to_image(at, frame)
    assert (before.x(), before.y()) == pytest.approx((after.x(), after.y()), abs=1e-6)
    image.zoom_to(1000)
    assert image.zoom == 32
    image.zoom_to(0.1)
    assert image.zoom == 1 and image._centre == QPointF(0.5, 0.5)


def test_another_image_takes_the_map_away(image):
    image.show_map(np.ones((2, 2)))
    image.show_image(np.zeros((60, 90, 3), np.uint8))
    assert set(image.data()) == {"image"}
    image.clear("Drop an image")
    assert image.data() == {} and not painted(image).isNull()


# Strip of images


def pictures(n: int, start: int = 0) -> tuple[Picture, ...]:
    return tuple(
        Picture(np.full((20, 20, 3), 10 * i + start, np.uint8), f"{i}", value=float(i), tip=f"image {i}")
        for i in range(n)
    )


@pytest.fixture
def strip(qtbot):
    view = ImageStrip(smallest=50, largest=80)
    qtbot.addWidget(view)
    view.resize(300, 100)
    view.show_rows([Row("top", pictures(12), lines=2), Row("bottom", pictures(3, 100), "−1 to 0")], title="Examples")
    view.show()
    return view


def test_images_that_shrink_with_the_width_never_make_a_scroll_bar_come_and_go_without_end(qtbot):
    """Without the bar that stays, at one of these heights the layout calls itself until the stack is full."""
    area = QScrollArea(widgetResizable=True)
    qtbot.addWidget(area)
    page = QWidget()
    column = QVBoxLayout(page)
    strip = ImageStrip()
    column.addWidget(strip)
    column.addStretch(1)
    area.setWidget(page)
    area.resize(380, 200)
    area.show()
    assert not area.verticalScrollBar().isVisible(), "beside nothing there is none"
    strip.show_rows([Row("", (Picture(np.zeros((8, 8, 3), np.uint8)),) * 4)])
    tall, narrow = strip.height_for(strip.width() + 16), strip.height_for(strip.width())
    assert narrow < tall
    for height in range(int(narrow), int(tall) + 40):
        area.resize(380, height)
        QApplication.processEvents()
        assert area.verticalScrollBar().isVisible()


def test_rows_wrap_as_often_as_they_may_and_height_follows(strip):
    (_, top), (_, bottom) = strip._places(300)
    columns = len({rect.left() for rect in top})
    assert len(top) == 2 * columns == 10 and len(bottom) == 3
    assert all(50 <= rect.width() <= 80 for rect in top)
    assert max(rect.right() for rect in top) <= 300
    tall = strip.height()
    assert tall >= bottom[-1].bottom()
    strip.resize(900, strip.height())
    assert strip.height() < tall  # all twelve stand in one line
    strip.clear()
    assert strip.height() == 0


def test_click_and_keys_pick_an_image(strip, qtbot):
    picked = []
    strip.picked.connect(lambda row, place: picked.append((row, place)))
    place = strip._places(strip.width())[1][1][2].center().toPoint()
    qtbot.mouseClick(strip, Qt.MouseButton.LeftButton, pos=place)
    qtbot.mouseClick(strip, Qt.MouseButton.LeftButton, pos=QPoint(1, 1))
    for key in (Qt.Key.Key_Left, Qt.Key.Key_Up, Qt.Key.Key_Up, Qt.Key.Key_Return):
        qtbot.keyClick(strip, key)
    assert picked == [(1, 2), (0, 1)]


def test_images_are_drawn_in_their_places_and_missing_ones_are_quiet(strip):
    strip.show_rows([Row("top", (*pictures(1, 200), Picture(None, "soon")))], title="Examples")
    picture = painted(strip)
    with strip.on_paper():
        (_, (first, second)) = strip._places(picture.width(), 22.0)[0]
    assert picture.pixelColor(first.center().toPoint()).red() == 200
    assert picture.pixelColor(second.topLeft().toPoint() + QPoint(3, 3)) == PAPER.quiet


def test_data_holds_every_image_and_value(strip):
    data = strip.data()
    assert data["images_0"].shape == (12, 20, 20, 3) and data["images_1"][2, 0, 0, 0] == 120
    np.testing.assert_array_equal(data["values_0"], np.arange(12))
    assert strip.provenance()["rows"][1]["note"] == "−1 to 0"


# Bars


def test_bars_are_as_long_as_their_shares(qtbot):
    view = BarList()
    qtbot.addWidget(view)
    view.show_shares([("cat", 0.75), ("dog", 0.25)], title="Classes")
    picture = pixels(painted(view))
    widths = [(np.ptp(np.argwhere((row != 255).any(-1) & (row != 239).any(-1)))) for row in (picture[28], picture[46])]
    assert widths[0] / widths[1] > 2
    assert view.data()["names"].tolist() == ["cat", "dog"]
    view.show_shares([])
    assert view.height() == 0


# Curves


@pytest.fixture
def curves(qtbot):
    view = CurvePlot()
    qtbot.addWidget(view)
    steps = [10, 100, 1000]
    view.show_curves({"loss": (steps, [4.0, 2.0, 1.0]), "top_1": (steps, [0.1, math.nan, 0.5])}, title="a run", label="updates")
    return view


def test_every_curve_has_a_plot_from_zero_to_its_largest_value(curves):
    picture = pixels(painted(curves))
    of_curve = np.argwhere((picture == PAPER.bar.getRgb()[:3]).all(-1))
    for plot, first in zip(curves._plots(QRectF(painted(curves).rect())).values(), (4.0, 0.1), strict=True):
        inside = of_curve[(of_curve[:, 0] >= plot.top()) & (of_curve[:, 0] <= plot.bottom())]
        assert len(inside), "the curve is not drawn"
        height = (plot.bottom() - inside[inside[:, 1].argmin(), 0]) / plot.height()
        assert height == pytest.approx(first / (1.04 * max(first, 0.5)), abs=0.03)


def test_the_step_axis_is_linear_or_logarithmic(curves):
    np.testing.assert_allclose(curves._share(np.array([10, 100, 1000])), [0.01, 0.1, 1])
    linear = painted(curves)
    curves.logarithmic = True
    np.testing.assert_allclose(curves._share(np.array([0, 10, 100, 1000])), [0, 1 / 3, 2 / 3, 1])
    assert painted(curves) != linear


def test_curves_are_exported_with_their_steps_and_axes(curves):
    assert set(curves.data()) == {"loss", "loss_steps", "top_1", "top_1_steps"}
    assert curves.provenance()["x"] == "updates" and curves.provenance()["y"] == ["loss", "top_1"]
    assert "Last: loss 1.00, top_1 0.500" in curves.accessibleDescription()
    curves.clear("nothing yet")
    assert curves.data() == {} and count_of(painted(curves), PAPER.bar) == 0


def test_the_mouse_reads_the_nearest_point(curves, qtbot):
    curves.resize(400, 330)
    curves.show()
    place = curves._plots(QRectF(curves.rect()))["loss"].topRight().toPoint() - QPoint(2, -20)
    event = QMouseEvent(
        QEvent.Type.MouseMove, QPointF(place), QPointF(curves.mapToGlobal(place)), Qt.MouseButton.NoButton,
        Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier,
    )
    curves.mouseMoveEvent(event)
    assert QToolTip.text() == "1,000: loss 1.00\n1,000: top 1 0.500"
    QToolTip.hideText()
