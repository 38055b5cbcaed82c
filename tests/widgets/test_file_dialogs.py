"""Dialogs for files and folders: what is chosen reaches who asked, and the next one begins where it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtWidgets import QFileDialog, QWidget

from widgets import file_dialogs
from widgets.file_dialogs import ask_for_file, ask_for_files, ask_for_folder, ask_where_to_write

KINDS = QFileDialog.FileMode


@pytest.fixture
def parent(qtbot, monkeypatch, tmp_path) -> QWidget:
    monkeypatch.setitem(file_dialogs.last, "folder", tmp_path)
    made = QWidget()
    qtbot.addWidget(made)
    return made


def choose(qtbot, parent: QWidget, kind: KINDS, begin: Path, paths: list[Path]) -> None:
    """Choose files or a folder in the dialog that is open, as a user does, and wait until it is gone."""
    (dialog,) = parent.findChildren(QFileDialog)
    assert dialog.isVisible() and dialog.fileMode() == kind and Path(dialog.directory().absolutePath()) == begin
    assert dialog.nameFilters() == ["Images (*.png)"] or kind == KINDS.Directory
    names = " ".join(f'"{path}"' for path in paths) if len(paths) > 1 else str(paths[0])
    dialog.findChild(QWidget, "fileNameEdit").setText(names)
    dialog.accept()
    qtbot.waitUntil(lambda: not parent.findChildren(QFileDialog))


def test_what_is_chosen_reaches_who_asked_and_the_next_begins_there(parent, qtbot, tmp_path):
    below, other = tmp_path / "below", tmp_path / "other"
    for folder in (below, other):
        folder.mkdir()
    files = [below / "a.png", below / "b.png"]
    for file in files:
        file.write_bytes(b"")
    taken: list[object] = []
    ask_for_file(parent, "Open", "Images (*.png)", taken.append)
    choose(qtbot, parent, KINDS.ExistingFile, tmp_path, files[:1])
    ask_for_files(parent, "Open", "Images (*.png)", taken.append)
    choose(qtbot, parent, KINDS.ExistingFiles, below, files)
    ask_for_folder(parent, "Open", taken.append, tmp_path)
    choose(qtbot, parent, KINDS.Directory, tmp_path, [other])
    ask_where_to_write(parent, "Save", "c.png", "Images (*.png)", taken.append)
    assert [Path(file).name for file in parent.findChild(QFileDialog).selectedFiles()] == ["c.png"]
    choose(qtbot, parent, KINDS.AnyFile, other, [other / "d"])
    assert taken == [str(files[0]), [str(file) for file in files], str(other), str(other / "d.png")]


def test_a_dialog_that_is_left_asks_for_nothing_and_moves_nothing(parent, qtbot, tmp_path):
    taken: list[object] = []
    ask_for_folder(parent, "Open", taken.append)
    parent.findChild(QFileDialog).reject()
    qtbot.waitUntil(lambda: not parent.findChildren(QFileDialog))
    assert taken == [] and file_dialogs.last["folder"] == tmp_path
