"""Widgets in a line."""

from __future__ import annotations

from PySide6.QtWidgets import QHBoxLayout, QWidget


def line_of(*widgets: QWidget | None, spacing: int = 5, around: tuple[int, int] | None = (6, 3)) -> QHBoxLayout:
    """Return widgets beside one another, None is room; `around`: what is free beside, and above and below; None: as the style has it."""
    line = QHBoxLayout()
    if around is not None:
        line.setContentsMargins(*around, *around)
    line.setSpacing(spacing)
    for widget in widgets:
        if widget is None:
            line.addStretch(1)
        else:
            line.addWidget(widget)
    return line
