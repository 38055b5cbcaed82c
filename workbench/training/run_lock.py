"""`alone`: a run's folder belongs to one program as long as it trains there."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from workbench.training.recipe import RecipeError

LOCK = ".lock"

if sys.platform == "win32":
    import msvcrt

    def _take(file: IO[bytes]) -> None:
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError from error
else:
    import fcntl

    def _take(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other programs from training in a folder, which is made where there is none.

    The system lets go of it when this program ends, however it ends. The hidden file it is kept by stays: were it removed, two programs
    could hold a file of that name each.

    Raises
    ------
    RecipeError
        When another one trains there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("ab") as file:
        try:
            _take(file)
        except BlockingIOError:
            raise RecipeError(f"{folder.name} is being trained by another program; wait for its end, or give a new folder") from None
        except OSError:  # a file system without locks: as good as it gets there
            pass
        yield
