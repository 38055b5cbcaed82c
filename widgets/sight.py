"""Whether somebody can see a widget: Qt leaves what is behind another tab visible, outside the window."""

from __future__ import annotations

from PySide6.QtGui import QHideEvent, QShowEvent
from PySide6.QtWidgets import QApplication, QWidget

from widgets.ancestry import outwards

_BEHIND = "behind another tab"


def put_behind(panel: QWidget, behind: bool) -> None:
    """Say that a panel went behind another tab, or came out; it is told as though it were hidden and shown."""
    if bool(panel.property(_BEHIND)) != behind:
        panel.setProperty(_BEHIND, behind)
        if panel.isVisible():
            QApplication.sendEvent(panel, QHideEvent() if behind else QShowEvent())


def in_sight(widget: QWidget) -> bool:
    """Return whether a widget is visible and no panel around it is behind another tab: what is not need not be computed."""
    return widget.isVisible() and not any(at.property(_BEHIND) for at in outwards(widget))
