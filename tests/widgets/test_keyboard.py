"""Which widget has the keyboard, and that asking leaves nothing behind."""

from __future__ import annotations

import gc

import pytest
from PySide6.QtCore import QCoreApplication, QEvent, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QDialog, QLineEdit, QListWidget, QVBoxLayout, QWidget
from shiboken6 import Shiboken

from widgets.keyboard import with_keyboard
from widgets.overlay import Overlay


def living_lines() -> int:
    """Count the lines to type in that Python has an object of, those that it believes to be alive."""
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    gc.collect()
    return sum(isinstance(wrapper, QLineEdit) for wrapper in Shiboken.getAllValidWrappers())


@pytest.fixture
def window(qtbot) -> QWidget:
    """Give a window with a list whose entries can be renamed, which has the keyboard."""
    window = QWidget()
    window.list = QListWidget()
    window.list.addItem("first")
    window.list.item(0).setFlags(window.list.item(0).flags() | Qt.ItemFlag.ItemIsEditable)
    QVBoxLayout(window).addWidget(window.list)
    qtbot.addWidget(window)
    window.show()
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    window.list.setFocus()
    return window


def test_it_is_found_in_windows_that_belong_to_the_window_and_in_no_other(window, qtbot):
    assert with_keyboard(window) is window.list and with_keyboard(window.list) is window.list
    other = QWidget()
    qtbot.addWidget(other)
    assert with_keyboard(other) is None
    dialog = QDialog(window)
    field = QLineEdit(dialog)
    dialog.open()
    qtbot.waitUntil(dialog.isActiveWindow)
    field.setFocus()
    assert with_keyboard(window) is field
    assert with_keyboard(window.list) is None
    dialog.close()


def test_an_editor_that_qt_made_and_deleted_is_forgotten(window):
    before = living_lines()
    window.list.editItem(window.list.item(0))
    assert isinstance(with_keyboard(window), QLineEdit)
    assert living_lines() == before
    QTest.keyClick(with_keyboard(window), Qt.Key.Key_Escape)
    assert living_lines() == before


def test_an_overlay_that_was_opened_over_such_an_editor_does_not_go_back_to_it(window):
    overlay = Overlay(window, 300)
    before = living_lines()
    window.list.editItem(window.list.item(0))
    overlay.open()
    assert with_keyboard(window) is overlay.field
    assert living_lines() == before, "the editor ends when it loses the keyboard"
    QTest.keyClick(overlay.field, Qt.Key.Key_Escape)
    assert overlay.isHidden()
    window.list.setFocus()
    overlay.open()
    overlay.open()
    overlay.close_overlay()
    assert with_keyboard(window) is window.list
