"""Dialogs for files and folders: what is chosen reaches who asked, and nothing of the dialog is left."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtWidgets import QFileDialog, QWidget

from widgets.file_dialogs import ask_for_file, ask_for_files, ask_for_folder


@pytest.fixture
def parent(qtbot) -> QWidget:
    made = QWidget()
    qtbot.addWidget(made)
    return made


def choose(qtbot, parent: QWidget, paths: list[Path]) -> None:
    """Choose files or a folder in the dialog that is open, as a user does, and wait until it is gone."""
    (dialog,) = parent.findChildren(QFileDialog)
    assert not parent.isVisible() and dialog.isVisible(), "the window is not stopped: it is open, and we are here"
    dialog.setDirectory(str(paths[0].parent))
    names = " ".join(f'"{path.name}"' for path in paths) if len(paths) > 1 else str(paths[0])
    dialog.findChild(QWidget, "fileNameEdit").setText(names)
    dialog.accept()
    qtbot.waitUntil(lambda: not parent.findChildren(QFileDialog))


def test_a_file_some_files_or_a_folder_reach_who_asked(parent, qtbot, tmp_path):
    files = [tmp_path / "a.png", tmp_path / "b.png"]
    for file in files:
        file.write_bytes(b"")
    taken: list[object] = []
    ask_for_file(parent, "Open", "Images (*.png)", taken.append)
    choose(qtbot, parent, files[:1])
    ask_for_files(parent, "Open", "Images (*.png)", taken.append)
    choose(qtbot, parent, files)
    ask_for_folder(parent, "Open", taken.append, tmp_path.parent)
    assert Path(parent.findChild(QFileDialog).directory().absolutePath()) == tmp_path.parent, "where it is told to begin"
    choose(qtbot, parent, [tmp_path])
    assert taken == [str(files[0]), [str(file) for file in files], str(tmp_path)]


def test_a_dialog_that_is_left_asks_for_nothing(parent, qtbot):
    taken: list[object] = []
    ask_for_folder(parent, "Open", taken.append)
    parent.findChild(QFileDialog).reject()
    qtbot.waitUntil(lambda: not parent.findChildren(QFileDialog))
    assert taken == []
