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
    """Ask for a file to write, offering `name` in the user's home; the ending of the pattern is added where the user gives none."""
    dialog = QFileDialog(parent, title, str(Path.home() / name), patterns)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
    dialog.setDefaultSuffix(Path(name).suffix.removeprefix("."))

    def on_pattern(pattern: str) -> None:
        """Give the name the ending of another kind of file."""
        ending = pattern.rpartition("(*.")[2].partition(")")[0].partition(" ")[0]
        if pattern.count("(*.") and ending.isalnum():
            dialog.setDefaultSuffix(ending)
            for file in dialog.selectedFiles():
                dialog.selectFile(Path(file).with_suffix(f".{ending}").name)

    dialog.filterSelected.connect(on_pattern)
    dialog.fileSelected.connect(write)
    dialog.open()
