"""Asking for files that are there, for one to write, or for a folder; none of them stops the window.

They begin in the folder where the last of them ended, the first in the user's home.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog, QWidget

FOLDER = QFileDialog.FileMode.Directory
last = {"folder": Path.home()}
"""Where the last dialog ended."""


def ask_for_file(parent: QWidget, title: str, patterns: str, take: Callable[[str], object]) -> None:
    """Ask for a file that is there; `take` is given its path."""
    dialog = _dialog(parent, title, last["folder"], QFileDialog.FileMode.ExistingFile, patterns)
    dialog.fileSelected.connect(take)
    dialog.open()


def ask_for_files(parent: QWidget, title: str, patterns: str, take: Callable[[list[str]], object]) -> None:
    """Ask for one or more files that are there; `take` is given their paths."""
    dialog = _dialog(parent, title, last["folder"], QFileDialog.FileMode.ExistingFiles, patterns)
    dialog.filesSelected.connect(take)
    dialog.open()


def ask_for_folder(parent: QWidget, title: str, take: Callable[[str], object], begin: Path | None = None) -> None:
    """Ask for a folder that is there, beginning at `begin` where that is told; `take` is given its path."""
    dialog = _dialog(parent, title, begin or last["folder"], FOLDER)
    dialog.fileSelected.connect(take)
    dialog.open()


def ask_where_to_write(parent: QWidget, title: str, name: str, patterns: str, write: Callable[[str], object]) -> None:
    """Ask for a file to write, offering `name`; the ending of the pattern is added where the user gives none."""
    dialog = _dialog(parent, title, last["folder"] / name, QFileDialog.FileMode.AnyFile, patterns)
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


def _dialog(parent: QWidget, title: str, begin: Path, kind: QFileDialog.FileMode, patterns: str = "") -> QFileDialog:
    dialog = QFileDialog(parent, title, str(begin), patterns)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.setFileMode(kind)
    dialog.filesSelected.connect(lambda paths: last.update(folder=Path(paths[0]) if kind is FOLDER else Path(paths[0]).parent))
    return dialog
