"""Buttons that say what they do."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtWidgets import QPushButton, QWidget


def push_button(parent: QWidget, text: str, tip: str, run: Callable[[], object]) -> QPushButton:
    """Return a button with a text, a tooltip and what a click does."""
    button = QPushButton(text, parent)
    button.setToolTip(tip)
    button.clicked.connect(lambda _checked: run())
    return button
