"""Times and sizes as people say them."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Say a time as people do: ``40 s``, ``3 min``, ``2.0 h``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def size(count: int) -> str:
    """Say a number of bytes as people do: ``3 kB``, ``12 MB``, ``1.4 GB``."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}" if count < 10 * factor else f"{count / factor:.0f} {unit}"
    return f"{count} bytes" if count else "nothing"
