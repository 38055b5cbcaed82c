"""A part of an image as fractions of it, whatever its size: top, left, bottom, right."""

from __future__ import annotations

from collections.abc import Sequence


def is_region(box: Sequence[float]) -> bool:
    """Tell whether four numbers are top, left, bottom and right of a part of an image that is not empty."""
    top, left, bottom, right = box
    return 0 <= top < bottom <= 1 and 0 <= left < right <= 1
