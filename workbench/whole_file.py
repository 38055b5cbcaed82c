"""Files are written beside their place and moved there: whoever reads one finds the old or the new, whole, even after a kill."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a new path beside `path`; the file written there takes its place in the end, unless something goes wrong.

    Links are followed, and the access rights of a file that is there are kept. A kill leaves a hidden ``.*.saving``, which nothing reads.

    Raises
    ------
    OSError
        When it cannot be written; `path` is then what it was.
    """
    target = Path(os.path.realpath(path))
    beside = target.with_name(f".{target.name}.{os.urandom(4).hex()}.saving")
    try:
        yield beside
        with suppress(FileNotFoundError):
            os.chmod(beside, target.stat().st_mode)
        os.replace(beside, target)
    except BaseException as error:
        with suppress(OSError):
            beside.unlink()
        if isinstance(error, OSError) and str(error.filename) == str(beside):
            error.filename = str(path)  # what the user knows it by
            if error.filename2 is not None:
                del error.filename2  # set to None, it would be told
        raise


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file, text as UTF-8, whole or not at all; see `replacing`."""
    with replacing(path) as beside:
        beside.write_bytes(content.encode() if isinstance(content, str) else content)
