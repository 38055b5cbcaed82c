"""`scrolled`: a widget that may be larger than the room it has."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QScrollArea, QWidget


def scrolled(content: QWidget, parent: QWidget | None = None, *, sideways: bool = True, **properties: Any) -> QScrollArea:
    """Return a frameless area that `content` fills, with scroll bars where it cannot; `sideways`: also with one below."""
    area = QScrollArea(parent, widgetResizable=True, frameShape=QFrame.Shape.NoFrame, **properties)
    if not sideways:
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setWidget(content)
    return area
