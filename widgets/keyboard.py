"""Which widget has the keyboard, also in a dock that floats: a window's own `focusWidget` does not look into windows that belong to it.

PySide, too, takes what that returns for a child of the window, and keeps Python's object of it as long as the window.
"""

from __future__ import annotations

from PySide6.QtWidgets import QApplication, QWidget

from widgets.ancestry import outwards


def with_keyboard(window: QWidget) -> QWidget | None:
    """Return the widget that has the keyboard, in this window or in a dock, dialog or popup of it; None when it is elsewhere."""
    widget = QApplication.focusWidget()
    return widget if any(at is window for at in outwards(widget)) else None
