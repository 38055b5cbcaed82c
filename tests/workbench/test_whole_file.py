"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from workbench.whole_file import replacing, write_whole


def test_a_file_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    write_whole(path, "one")
    with replacing(path) as beside:
        beside.write_text("two")
        assert path.read_text() == "one", "until the new one is whole"
    assert path.read_text() == "two" and list(tmp_path.iterdir()) == [path]
    write_whole(path, "drei Häuser")
    assert path.read_bytes() == "drei Häuser".encode()
    write_whole(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"


@pytest.mark.parametrize("written", [True, False])
def test_what_goes_wrong_leaves_the_older_one_alone(tmp_path: Path, written: bool) -> None:
    path = tmp_path / "notes.txt"
    write_whole(path, "one")
    with pytest.raises(KeyboardInterrupt), replacing(path) as beside:
        if written:
            beside.write_text("half of tw")
        raise KeyboardInterrupt
    assert path.read_text() == "one" and list(tmp_path.iterdir()) == [path]


def test_an_error_names_the_file_that_was_to_be_written(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "notes.txt"
    with pytest.raises(FileNotFoundError) as caught:
        write_whole(path, "one")
    assert str(caught.value) == f"[Errno 2] No such file or directory: '{path}'" and not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("one")
    with pytest.raises(NotADirectoryError, match="notes"):
        write_whole(tmp_path / "file" / "notes.txt", "two")
    with pytest.raises(IsADirectoryError) as refused:
        write_whole(tmp_path, "two")
    assert ".saving" not in str(refused.value)


@pytest.mark.skipif(os.name != "posix", reason="links and access rights as on Unix")
def test_links_are_followed_and_access_rights_kept(tmp_path: Path) -> None:
    path, link = tmp_path / "notes.txt", tmp_path / "link.txt"
    write_whole(path, "one")
    path.chmod(0o600)
    link.symlink_to(path)
    write_whole(link, "two")
    assert link.is_symlink() and path.read_text() == "two" and path.stat().st_mode & 0o777 == 0o600
