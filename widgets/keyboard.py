"""Which widget has the keyboard, also in a dock that floats: a window's own `focusWidget` does not look into windows that belong to it.

Nor is it harmless: PySide takes what `focusWidget` and `nextInFocusChain` return for a child of the widget they were asked of.
"""

from __future__ import annotations

from PySide6.QtWidgets import QApplication, QWidget


def with_keyboard(window: QWidget) -> QWidget | None:
    """Return the widget that has the keyboard, in a window or a window of its own that belongs to it; None where it is elsewhere."""
    widget = at = QApplication.focusWidget()
    while at is not None and at is not window:
        at = at.parentWidget()
    return widget if at is not None else None
