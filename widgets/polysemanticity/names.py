"""Names for directions that are free and can stand in a reference."""

from __future__ import annotations

import re
from collections.abc import Container


def free_name(wanted: str, taken: Container[str]) -> str:
    """Return a name like `wanted` that is not taken."""
    plain = re.sub(r"[^A-Za-z0-9_.\-]+", "-", wanted).strip("-.") or "directions"
    name, place = plain, 2
    while name in taken:
        name, place = f"{plain}-{place}", place + 1
    return name
