"""Asking for a file: one that is there, or one to write; neither stops the window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog, QWidget


def ask_for_file(parent: QWidget, title: str, patterns: str, take: Callable[[str], object]) -> None:
    """Ask for a file that is there, beginning in the user's home; `take` is given its path."""
    dialog = QFileDialog(parent, title, str(Path.home()), patterns)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
    dialog.fileSelected.connect(take)
    dialog.open()


def ask_where_to_write(parent: QWidget, title: str, name: str, patterns: str, write: Callable[[str], object]) -> None:
    """Ask for a file to write, offering `name` in the user's home; its ending is added where the user gives none."""
    dialog = QFileDialog(parent, title, str(Path.home() / name), patterns)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
    dialog.setDefaultSuffix(Path(name).suffix.removeprefix("."))
    dialog.fileSelected.connect(write)
    dialog.open()
