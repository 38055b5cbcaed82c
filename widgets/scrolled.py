"""`scrolled`: a widget that may be larger than the room it has."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QScrollArea, QWidget


def scrolled(content: QWidget, parent: QWidget | None = None, *, sideways: bool = True, tab_stop: bool = True) -> QScrollArea:
    """Return a frameless area that `content` fills, with scroll bars where it cannot.

    Parameters
    ----------
    sideways
        Whether there may be one below, too.
    tab_stop
        Whether the area itself takes the keyboard, to scroll what cannot.
    """
    area = QScrollArea(parent, widgetResizable=True, frameShape=QFrame.Shape.NoFrame)
    if not tab_stop:
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    if not sideways:
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setWidget(content)
    return area
