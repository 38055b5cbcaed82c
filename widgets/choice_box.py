"""Boxes of a few choices, each with words and a tip."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox

Box = TypeVar("Box", bound=QComboBox)


def choice_box(box: Box, choices: Mapping[str, tuple[str, str]], name: str, changed: Callable[[], object] | None = None) -> Box:
    """Fill a box, whose data are the choices' keys then, and return it.

    Parameters
    ----------
    choices
        Key -> text and tip, which may be empty.
    name
        What the box is for: its tip, and what a screen reader says.
    changed
        Called when another one is chosen.
    """
    for data, (text, tip) in choices.items():
        box.addItem(text, data)
        box.setItemData(box.count() - 1, tip or None, Qt.ItemDataRole.ToolTipRole)
    box.setAccessibleName(name)
    box.setToolTip(name)
    if changed is not None:
        box.currentIndexChanged.connect(lambda _index: changed())
    return box
