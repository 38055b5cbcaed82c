"""Asking for files that are there, for one to write, or for a folder; none of them stops the window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog, QWidget


def ask_for_file(parent: QWidget, title: str, patterns: str, take: Callable[[str], object]) -> None:
    """Ask for a file that is there, beginning in the user's home; `take` is given its path."""
    _dialog(parent, title, Path.home(), QFileDialog.FileMode.ExistingFile, patterns).fileSelected.connect(take)


def ask_for_files(parent: QWidget, title: str, patterns: str, take: Callable[[list[str]], object]) -> None:
    """Ask for one or more files that are there, beginning in the user's home; `take` is given their paths."""
    _dialog(parent, title, Path.home(), QFileDialog.FileMode.ExistingFiles, patterns).filesSelected.connect(take)


def ask_for_folder(parent: QWidget, title: str, take: Callable[[str], object], begin: Path | None = None) -> None:
    """Ask for a folder that is there, beginning in the user's home or where it is told; `take` is given its path."""
    _dialog(parent, title, begin or Path.home(), QFileDialog.FileMode.Directory).fileSelected.connect(take)


def _dialog(parent: QWidget, title: str, begin: Path, kind: QFileDialog.FileMode, patterns: str = "") -> QFileDialog:
    dialog = QFileDialog(parent, title, str(begin), patterns)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.setFileMode(kind)
    dialog.open()
    return dialog


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
