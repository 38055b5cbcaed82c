"""The grid shows thousands of images: order, selection, keys, what is on screen, and that new images cost no more than themselves."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QApplication

from widgets.views.contact_sheet import ContactSheet
from widgets.views.thumbnail_grid import ThumbnailGrid

RED, GREEN = (220, 20, 20), (20, 200, 20)


def plain(colour: tuple[int, int, int], side: int = 32) -> np.ndarray:
    return np.full((side, side, 3), colour, np.uint8)


@pytest.fixture
def grid(qtbot):
    grid = ThumbnailGrid()
    qtbot.addWidget(grid)
    grid.resize(640, 480)
    grid.show_units(range(500))
    grid.show()
    qtbot.waitExposed(grid)
    return grid


def colour_at(grid: ThumbnailGrid, unit: int) -> tuple[int, int, int]:
    place = grid.visualRect(grid.model().index(grid.units.index(unit))).center()
    return grid.viewport().grab().toImage().pixelColor(place).getRgb()[:3]


@pytest.mark.parametrize("width", [130, 333, 640, 641, 1003])
@pytest.mark.parametrize("size", [16, 43, 96, 200])
def test_painting_and_qt_agree_on_where_items_are(grid, width, size):
    grid.resize(width, 480)
    grid.tile_size = size
    QApplication.processEvents()
    for row in (0, 1, 7, 41, 499):
        assert grid.visualRect(grid.model().index(row)) == grid._cell_rect(row)
        at = grid._cell_rect(row).center()
        if grid.viewport().rect().contains(at):
            assert grid.indexAt(at).row() == row


def test_coarse_is_replaced_by_fine_and_never_the_other_way(grid):
    assert grid.level(3) == ""
    grid.set_images({3: plain(RED, 16)}, fine=False)
    assert grid.level(3) == "coarse" and colour_at(grid, 3) == RED
    grid.set_images({3: plain(GREEN, 64)}, fine=True)
    assert grid.level(3) == "fine" and colour_at(grid, 3) == GREEN
    grid.set_images({3: plain(RED)}, fine=False)
    assert colour_at(grid, 3) == GREEN
    grid.forget_images()
    assert grid.level(3) == "" and colour_at(grid, 3) not in (RED, GREEN)


def test_a_new_image_redraws_its_own_tile_only(grid, monkeypatch):
    grid.viewport().grab()
    drawn = []
    monkeypatch.setattr(grid._tiles, "_draw_tile", lambda painter, row: drawn.append(row))
    grid.set_images({7: plain(RED), 450: plain(RED)}, fine=True)  # 450 is far below the screen
    assert drawn == [7]


def test_order_and_filter_keep_selection_current_and_images_with_their_units(grid):
    grid.set_images({40: plain(RED)}, fine=True)
    grid.select_unit(40)
    grid.show_units([99, 40, 5])
    assert grid.selected_units() == (40,) and grid.current_unit() == 40
    assert colour_at(grid, 40) == RED
    grid.show_units([99, 5])
    assert grid.selected_units() == () and grid.current_unit() is None


def test_keys_move_in_reading_order(grid, qtbot):
    columns = grid._tiles.geometry.columns
    grid.select_unit(0)
    moved = []
    grid.unit_selected.connect(moved.append)
    page = max(1, grid.viewport().height() // grid._tiles.geometry.cell.height()) * columns
    for key, unit in [
        (Qt.Key.Key_Right, 1),
        (Qt.Key.Key_Down, 1 + columns),
        (Qt.Key.Key_Left, columns),
        (Qt.Key.Key_Left, columns - 1),
        (Qt.Key.Key_Up, None),  # no row above: stays
        (Qt.Key.Key_PageDown, columns - 1 + page),
        (Qt.Key.Key_PageUp, columns - 1),
        (Qt.Key.Key_End, 499),
        (Qt.Key.Key_Right, None),
        (Qt.Key.Key_Home, 0),
    ]:
        before = len(moved)
        qtbot.keyClick(grid, key)
        if unit is None:
            assert len(moved) == before
        else:
            assert moved[-1] == unit == grid.current_unit()
    with qtbot.waitSignal(grid.unit_activated) as activated:
        qtbot.keyClick(grid, Qt.Key.Key_Return)
    assert activated.args == [0]


def test_typing_a_number_jumps_to_it(grid, qtbot):
    for digit in "217":
        qtbot.keyClick(grid, digit)
    assert grid.current_unit() == 217 and 217 in grid.visible_units()


def test_click_selects_and_shift_click_extends(grid, qtbot):
    def click(unit, modifier=Qt.KeyboardModifier.NoModifier):
        place = grid.visualRect(grid.model().index(unit)).center()
        qtbot.mouseClick(grid.viewport(), Qt.MouseButton.LeftButton, modifier, place)

    with qtbot.waitSignal(grid.unit_selected) as selected:
        click(4)
    assert selected.args == [4]
    click(9, Qt.KeyboardModifier.ShiftModifier)
    assert grid.selected_units() == tuple(range(4, 10))
    assert ContactSheet.of(grid).units == tuple(range(4, 10))


def test_selecting_in_code_is_silent(grid, qtbot):
    with qtbot.assertNotEmitted(grid.unit_selected):
        grid.select_unit(300)
        grid.show_units(range(400))
    assert 300 in grid.visible_units()


def test_visible_range_is_told_once_scrolling_rests(grid, qtbot):
    qtbot.wait(120)
    told = []
    grid.visible_range.connect(told.append)
    with qtbot.waitSignal(grid.visible_range):
        for value in range(0, 2000, 100):
            grid.verticalScrollBar().setValue(value)
    assert len(told) == 1, "once"
    assert told[0] == grid.visible_units() and 0 not in told[0]
    rows = {grid.visualRect(grid.model().index(unit)).top() for unit in told[0]}
    height = grid.viewport().height()
    assert all(-grid._tiles.geometry.cell.height() < top < height for top in rows)


def test_ctrl_wheel_changes_the_tiles_and_keeps_the_place(grid, qtbot):
    grid.select_unit(250)
    grid.scrollTo(grid.currentIndex(), grid.ScrollHint.PositionAtCenter)
    before = grid.tile_size
    place = QPointF(50, 50)
    turned = QWheelEvent(
        place,
        grid.mapToGlobal(place),
        QPoint(),
        QPoint(0, -120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.ControlModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(grid.viewport(), turned)
    assert grid.tile_size < before and 250 in grid.visible_units()
    grid.tile_size = 5000
    assert grid.tile_size == 320 and 250 in grid.visible_units()


@pytest.mark.parametrize("ratio", [1.0, 1.25, 2.0])
def test_tiles_fill_the_same_places_on_any_screen(grid, monkeypatch, ratio):
    monkeypatch.setattr(grid, "devicePixelRatioF", lambda: ratio)
    grid.set_images({unit: plain(RED) for unit in range(50)}, fine=True)
    grid._lay_out()
    band = grid._tiles.band(0, 9)
    assert abs(band.width() - grid.viewport().width() * ratio) <= 2
    for row in (0, 5, grid._tiles.geometry.columns - 1):
        centre = QPointF(grid._cell_rect(row).center()) * ratio
        assert band.pixelColor(centre.toPoint()).getRgb()[:3] == RED


def test_palette_is_followed(grid):
    seen = []
    for paper, text in ((Qt.GlobalColor.white, Qt.GlobalColor.black), (Qt.GlobalColor.black, Qt.GlobalColor.white)):
        palette = grid.palette()
        palette.setColor(palette.ColorRole.Base, paper)
        palette.setColor(palette.ColorRole.Text, text)
        grid.setPalette(palette)
        seen.append(sum(colour_at(grid, 1)))
    assert seen[0] > 650 and seen[1] < 100


def test_tooltip_describes_the_unit(grid, qtbot):
    from PySide6.QtGui import QHelpEvent
    from PySide6.QtWidgets import QToolTip

    grid.show_units(grid.units, lambda unit: f"layer:{unit}, mean 0.3")
    place = grid._cell_rect(2).center()
    QApplication.sendEvent(grid.viewport(), QHelpEvent(QEvent.Type.ToolTip, place, grid.viewport().mapToGlobal(place)))
    assert QToolTip.text() == "layer:2, mean 0.3"
    QToolTip.hideText()


def test_empty_grid_shows_its_message_and_takes_keys(grid, qtbot):
    grid.show_units([])
    grid.set_message("No unit matches")
    qtbot.keyClick(grid, Qt.Key.Key_Down)
    qtbot.keyClick(grid, Qt.Key.Key_Return)
    assert grid.visible_units() == () and grid.current_unit() is None
    assert grid.grab().toImage().allGray() is False or grid.message


def test_images_that_are_no_images_are_refused(grid):
    with pytest.raises(ValueError, match="uint8"):
        grid.set_images({1: np.zeros((8, 8, 3), np.float32)}, fine=True)
