"""Folders of results are made inside a hidden folder of their own and moved out at the end: who reads one finds the old or the new.

Only the folder itself must be writable, not the one around it, and it may be a file system of its own. A kill leaves a hidden
``.*.saving``, which nothing reads.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from workbench.input_error import InputError

SAVING = ".saving"


def names_in(folder: Path) -> set[str]:
    """Return the names of what is in a folder, without what a kill left there; none where there is no such folder."""
    there = folder.iterdir() if folder.is_dir() else ()
    return {path.name for path in there if not (path.name.startswith(".") and path.name.endswith(SAVING))}


def check_writable(folder: Path) -> None:
    """Look whether a folder can be written, or made.

    Raises
    ------
    InputError
        When it, or the nearest one above it that is there, is not a folder one may write to.
    """
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise InputError(f"{folder} cannot be written: {nearest} is not a folder one may write to")


@contextmanager
def filling(folder: Path, last: str, old: Iterable[str] = ()) -> Iterator[Path]:
    """Give an empty folder; all that was put into it is moved into `folder` in the end, unless something goes wrong.

    Parameters
    ----------
    folder
        Resolved; made when missing. Whatever else is in it stays.
    last
        The file that says that the folder is whole: the first to go, the last to come.
    old
        Further names of an earlier result, which go even if nothing of that name comes.

    Raises
    ------
    OSError
        When it cannot be written; `folder` is then what it was.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", suffix=SAVING, dir=folder) as temporary:
            new, before = Path(temporary) / "new", Path(temporary) / "old"
            new.mkdir()
            before.mkdir()
            yield new
            coming = sorted((path.name for path in new.iterdir()), key=lambda name: name == last)
            going = [name for name in dict.fromkeys((last, *old, *coming)) if os.path.lexists(folder / name)]
            _move([*((folder / name, before / name) for name in going), *((new / name, folder / name) for name in coming)])
    except BaseException:
        for path in missing:
            with suppress(OSError):  # another process has put something there meanwhile
                path.rmdir()
        raise


def _move(pairs: Iterable[tuple[Path, Path]]) -> None:
    """Move one after the other; when one cannot be moved, or at Ctrl+C, all go back."""
    begun: list[tuple[Path, Path]] = []
    try:
        for source, target in pairs:
            begun.append((source, target))
            os.replace(source, target)
    except BaseException:
        for source, target in reversed(begun):
            if not os.path.lexists(source):
                os.replace(target, source)
        raise
