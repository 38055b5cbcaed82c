"""The command palette, by keyboard only."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from widgets.keyboard import with_keyboard


def open_palette(window, qtbot):
    window.activateWindow()
    window.docks.reveal("jobs")
    before = with_keyboard(window)
    QTest.keyClick(window, Qt.Key.Key_P, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    qtbot.waitUntil(window.palette_box.isVisible)
    return before


def test_a_command_runs_by_keyboard(make_window, qtbot):
    window = make_window()
    before = open_palette(window, qtbot)
    assert with_keyboard(window) is window.palette_box.field
    QTest.keyClicks(window.palette_box.field, "colours dark")
    assert window.palette_box.current().id == "view.colours.dark"
    QTest.keyClick(window.palette_box.field, Qt.Key.Key_Return)
    assert window.theme.scheme == "dark"
    assert window.palette_box.isHidden()
    assert with_keyboard(window) is before


def test_walking_and_escape(make_window, qtbot):
    window = make_window()
    before = open_palette(window, qtbot)
    field, listed = window.palette_box.field, window.palette_box.list
    first = window.palette_box.current()
    QTest.keyClick(field, Qt.Key.Key_Down)
    assert window.palette_box.current() is not first
    QTest.keyClick(field, Qt.Key.Key_Up)
    assert window.palette_box.current() is first
    QTest.keyClick(field, Qt.Key.Key_Up)  # round the end
    assert listed.indexOfTopLevelItem(listed.currentItem()) == listed.topLevelItemCount() - 1
    assert window.palette_box.about.text().startswith(window.palette_box.current().help)
    QTest.keyClick(field, Qt.Key.Key_Escape)
    assert window.palette_box.isHidden()
    assert with_keyboard(window) is before


def test_a_near_miss_is_offered_and_enter_takes_it(make_window, qtbot):
    window = make_window()
    open_palette(window, qtbot)
    QTest.keyClicks(window.palette_box.field, "reste layuot")
    assert "Did you mean <b>Reset layout</b>?" in window.palette_box.about.text()
    window.docks.close("notes")
    QTest.keyClick(window.palette_box.field, Qt.Key.Key_Return)
    assert window.docks.is_visible("notes")


def test_what_cannot_be_done_now_does_not_run(make_window, qtbot):
    window = make_window()
    open_palette(window, qtbot)
    QTest.keyClicks(window.palette_box.field, "edit undo")
    assert window.palette_box.current().id == "edit.undo"
    assert "Not available now" in window.palette_box.about.text()
    QTest.keyClick(window.palette_box.field, Qt.Key.Key_Return)
    assert window.palette_box.isVisible()
