"""Writing a file that the user asked for, and saying so."""

from __future__ import annotations

from pathlib import Path

from widgets.session import Session
from workbench.whole_file import write_whole


def write_and_say(session: Session, path: str | Path, content: bytes | str, what: str = "") -> None:
    """Write a file, whole or not at all, and say where it is, or why it could not be written.

    Parameters
    ----------
    what
        What is in it: ``12 families``.
    """
    try:
        write_whole(Path(path), content)
    except OSError as error:
        session.report(f"{path} could not be written: {error.strerror}")
    else:
        session.inform(f"Written: {path}" + (f", {what}" if what else ""))
