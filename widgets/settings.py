"""What the window remembers between two starts apart from the project: colours, recent files, which project was open."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from PySide6.QtCore import QByteArray, QSettings, QStandardPaths

from widgets.theme import Scheme

RECENT = 10
"""How many projects are remembered."""


class Settings:
    """Reads and writes ``settings.ini`` in a folder.

    Parameters
    ----------
    folder
        Where it and the running copy of the project stand; the user's data folder of this application when None.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or Path(QStandardPaths.writableLocation(QStandardPaths.StandardLocation.AppDataLocation))
        self._store = QSettings(str(self.folder / "settings.ini"), QSettings.Format.IniFormat)

    @property
    def running_copy(self) -> Path:
        """The project as it is now, saved or not: written after every change, read at the next start."""
        return self.folder / "investigation.json"

    @property
    def scheme(self) -> Scheme:
        """Light, dark, or what the system says."""
        value = self._store.value("scheme", "system")
        return value if value in get_args(Scheme) else "system"

    @scheme.setter
    def scheme(self, scheme: Scheme) -> None:
        self._store.setValue("scheme", scheme)

    @property
    def computing(self) -> tuple[str, str]:
        """Device and numbers that networks are computed with, as of `ComputeOn`."""
        return str(self._store.value("device", "auto")), str(self._store.value("arithmetic", "fp32"))

    @computing.setter
    def computing(self, chosen: tuple[str, str]) -> None:
        for name, value in zip(("device", "arithmetic"), chosen, strict=True):
            self._store.setValue(name, value)

    @property
    def project_file(self) -> Path | None:
        """The file that the running copy was opened from or saved to, or None while it has none."""
        value = self._store.value("project_file", "")
        return Path(value) if value else None

    @project_file.setter
    def project_file(self, path: Path | None) -> None:
        self._store.setValue("project_file", str(path) if path else "")

    @property
    def modified(self) -> bool:
        """Whether the running copy has changes that its file has not."""
        return self._store.value("modified", "false") == "true"

    @modified.setter
    def modified(self, modified: bool) -> None:
        self._store.setValue("modified", "true" if modified else "false")

    @property
    def place(self) -> tuple[bytes, bytes]:
        """Where the window and its docks stood: what `saveGeometry` and `saveState` returned, empty at the first start."""
        return tuple(bytes(self._store.value(f"window/{part}", b"") or b"") for part in ("geometry", "docks"))

    @place.setter
    def place(self, place: tuple[bytes, bytes]) -> None:
        for part, value in zip(("geometry", "docks"), place, strict=True):
            self._store.setValue(f"window/{part}", QByteArray(value))

    def recent(self) -> list[Path]:
        """Return the projects that were opened or saved lately, newest first."""
        value = self._store.value("recent", [])
        return [Path(name) for name in ([value] if isinstance(value, str) else value or [])]

    def remember(self, path: Path) -> None:
        """Put a project at the top of the recent ones."""
        paths = [path, *(known for known in self.recent() if known != path)]
        self._store.setValue("recent", [str(known) for known in paths[:RECENT]])

    def forget(self, path: Path) -> None:
        """Take a project out of the recent ones, since it is gone or unreadable."""
        self._store.setValue("recent", [str(known) for known in self.recent() if known != path])

    def flush(self) -> None:
        """Write to disk now."""
        self._store.sync()
