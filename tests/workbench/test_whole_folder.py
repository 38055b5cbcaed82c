"""Folders that are filled whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from workbench.input_error import InputError
from workbench.whole_folder import check_writable, filling, names_in


def content(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def fill(folder: Path, text: str, *names: str) -> None:
    with filling(folder, last="last.txt", old=["gone"]) as new:
        for name in (*names, "last.txt"):
            (new / name).parent.mkdir(exist_ok=True)
            (new / name).write_text(text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an earlier result, and a file of somebody's."""
    fill(tmp_path / "out", "one", "a.txt", "gone/b.txt", "sub/c.txt")
    (tmp_path / "out" / "mine.txt").write_text("mine")
    return tmp_path / "out"


def test_an_earlier_result_goes_and_what_is_the_users_stays(folder: Path) -> None:
    fill(folder, "two", "a.txt", "sub/d.txt")
    assert content(folder) == {"a.txt": "two", "sub/d.txt": "two", "last.txt": "two", "mine.txt": "mine"}
    assert [path.name for path in folder.parent.iterdir()] == ["out"]


@pytest.mark.parametrize("failing", range(8))
def test_what_cannot_be_moved_leaves_the_earlier_result(folder: Path, monkeypatch: pytest.MonkeyPatch, failing: int) -> None:
    before, replace, moves = content(folder), os.replace, []

    def refuses(source: Any, target: Any) -> None:
        moves.append(source)
        if len(moves) == failing + 1:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuses)
    with pytest.raises(OSError, match="Input/output"):
        fill(folder, "two", "a.txt", "sub/c.txt", "e.txt")
    assert content(folder) == before and not list(folder.glob(".*"))


def test_a_failure_leaves_no_folder_where_there_was_none(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), filling(tmp_path / "deep" / "out", last="last.txt") as new:
        (new / "a.txt").write_text("half")
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_only_the_folder_itself_is_written_to(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder around it may be another's, and another file system."""
    mkdir, replace = os.mkdir, os.replace

    def inside(path: Any) -> None:
        if folder not in Path(path).parents:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(os, "mkdir", lambda path, *args, **options: (inside(path), mkdir(path, *args, **options)))
    monkeypatch.setattr(os, "replace", lambda source, target: (inside(source), inside(target), replace(source, target)))
    fill(folder, "two", "a.txt")
    assert content(folder)["a.txt"] == "two"


def test_what_a_kill_left_is_overlooked(folder: Path) -> None:
    (folder / ".x7k.saving").mkdir()
    assert names_in(folder) == {"a.txt", "gone", "sub", "last.txt", "mine.txt"} and names_in(folder / "none") == set()


def test_where_one_may_not_write_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in (folder, folder / "new" / "deep"):
        check_writable(place)
    with pytest.raises(InputError, match=r"below cannot be written: .*mine\.txt is not a folder one may write to"):
        check_writable(folder / "mine.txt" / "below")
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != folder)
    for place in (folder, folder / "new" / "deep"):
        with pytest.raises(InputError, match=f"cannot be written: {folder} is not"):
            check_writable(place)
