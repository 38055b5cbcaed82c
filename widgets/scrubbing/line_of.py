"""Widgets in a line."""

from __future__ import annotations

from PySide6.QtWidgets import QHBoxLayout, QWidget


def line_of(*widgets: QWidget | None) -> QHBoxLayout:
    """Return widgets beside one another; None is room."""
    line = QHBoxLayout()
    line.setContentsMargins(6, 3, 6, 3)
    line.setSpacing(5)
    for widget in widgets:
        if widget is None:
            line.addStretch(1)
        else:
            line.addWidget(widget)
    return line
