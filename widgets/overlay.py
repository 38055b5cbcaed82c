"""A box over the upper middle of the window that takes the keyboard at once and gives it back."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QFocusEvent, QKeyEvent, QPalette
from PySide6.QtWidgets import QFrame, QLineEdit, QVBoxLayout, QWidget
from shiboken6 import isValid

from widgets.keyboard import with_keyboard


class Overlay(QFrame):
    """A line to type in, and what a subclass puts below it.

    It is part of the window and no window of its own, so that what is typed right after the shortcut arrives in it. Escape closes
    it; so does giving the keyboard to something else.

    Parameters
    ----------
    window
        What it lies over.
    width, height
        At most this many pixels; height 0 for as little as its content needs.
    """

    def __init__(self, window: QWidget, width: int, height: int = 0) -> None:
        super().__init__(window)
        self._before: QWidget | None = None
        self._most = (width, height)
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.setAutoFillBackground(True)
        self.setBackgroundRole(QPalette.ColorRole.Window)
        self.field = QLineEdit(clearButtonEnabled=True)
        self.field.installEventFilter(self)
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(8, 8, 8, 8)
        self.column.addWidget(self.field)
        self.hide()
        window.installEventFilter(self)

    def open(self) -> None:
        """Show it and take the keyboard."""
        if self.isHidden():
            self._before = with_keyboard(self.window())
        self.place()
        self.show()
        self.window().activateWindow()  # a floating panel may have had the keyboard
        self.raise_()
        self.field.setFocus(Qt.FocusReason.PopupFocusReason)

    def close_overlay(self) -> None:
        """Hide it and give the keyboard back."""
        if self.isHidden():
            return
        before, self._before = self._before, None
        self.hide()
        if before is not None and isValid(before):  # an editor in a list is gone as soon as it loses the keyboard
            before.window().activateWindow()
            before.setFocus(Qt.FocusReason.PopupFocusReason)

    def place(self) -> None:
        """Lie over the upper middle of the window."""
        window = self.window().rect()
        width, height = self._most
        width = min(width, window.width() - 40)
        height = min(height, window.height() - 80) if height else self.column.totalHeightForWidth(width)
        self.setGeometry((window.width() - width) // 2, min(70, window.height() // 10), width, height)

    def press(self, event: QKeyEvent) -> bool:
        """Do what a key in the line is for; return whether it was for something."""
        if event.key() == Qt.Key.Key_Escape:
            self.close_overlay()
            return True
        return False

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Watch the keys of the line, where the keyboard goes, and the window's size."""
        if watched is self.field and event.type() == QEvent.Type.KeyPress:
            assert isinstance(event, QKeyEvent)
            return self.press(event)
        if watched is self.field and event.type() == QEvent.Type.FocusOut:
            assert isinstance(event, QFocusEvent)
            if event.reason() not in (Qt.FocusReason.PopupFocusReason, Qt.FocusReason.ActiveWindowFocusReason):
                self.hide()
        elif watched is self.window() and event.type() == QEvent.Type.Resize and self.isVisible():
            self.place()
        return False
