"""What a widget is in."""

from __future__ import annotations

from collections.abc import Iterator

from PySide6.QtWidgets import QWidget


def outwards(widget: QWidget | None) -> Iterator[QWidget]:
    """Yield a widget, then what it is in, out to the window and on to what that belongs to; nothing for None."""
    while widget is not None:
        yield widget
        widget = widget.parentWidget()
