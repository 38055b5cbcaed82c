"""How many threads compute what is asked while something is drawn or dragged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

SMALL = 128 * 128
"""Pixels up to which an image is computed in one thread."""


@contextmanager
def few_threads(size: tuple[int, ...]) -> Iterator[None]:
    """Run a small image (height, width ...) in one thread: two that wait for one another after each layer wait for the window's as well."""
    from workbench.models.device import processor_threads

    with processor_threads(1 if size[0] * size[1] <= SMALL else None):
        yield
