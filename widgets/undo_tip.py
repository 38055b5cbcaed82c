"""Buttons that take an edit back, or do it again, say which: all panels share one stack, and the last edit may be another panel's."""

from __future__ import annotations

from PySide6.QtGui import QUndoStack
from PySide6.QtWidgets import QAbstractButton


def tell_steps(stack: QUndoStack, undo: QAbstractButton, redo: QAbstractButton) -> None:
    """Name in the tooltips of two buttons what each would do, now and after every edit."""
    for button, changed, now in ((undo, stack.undoTextChanged, stack.undoText()), (redo, stack.redoTextChanged, stack.redoText())):
        tip, _, key = button.toolTip().partition(" (")

        def tell(text: str, button: QAbstractButton = button, tip: str = tip, key: str = key) -> None:
            button.setToolTip((f"{tip}: {text}" if text else tip) + (f" ({key}" if key else ""))

        changed.connect(tell)
        tell(now)
