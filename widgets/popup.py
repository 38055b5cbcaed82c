"""Buttons that open a menu, without the event loop of its own that Qt would start for it."""

from __future__ import annotations

from PySide6.QtWidgets import QAbstractButton, QMenu

ARROW = " ▾"


def opens(button: QAbstractButton, menu: QMenu) -> None:
    """Let a button open a menu below it; its text gets an arrow."""
    button.setAccessibleName(button.accessibleName() or button.text())
    button.setText(button.text() + ARROW)
    button.clicked.connect(lambda: menu.popup(button.mapToGlobal(button.rect().bottomLeft())))
