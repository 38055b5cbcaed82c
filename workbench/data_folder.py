"""Where what the user made is kept when no folder is given."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_data_dir


def data_folder(name: str) -> Path:
    """Return the folder of that name in ``WORKBENCH_DATA``, else in the user's data folder."""
    return Path(os.environ.get("WORKBENCH_DATA") or user_data_dir("circuit-workbench")) / name
