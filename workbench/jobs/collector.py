"""Python's garbage collector at rest, around work that makes hundreds of thousands of objects: a pass over them stops all threads.

The window switches the collector off and collects in its own thread (see `widgets.garbage`); it asks `at_rest` before it does.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_resting = 0


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """Keep the garbage collector from stopping all threads meanwhile; it may be nested."""
    global _resting
    enabled = gc.isenabled()
    gc.disable()
    _resting += 1
    try:
        yield
    finally:
        _resting -= 1
        if enabled:
            gc.enable()


def at_rest() -> bool:
    """Whether a `collector_at_rest` block is running, in whichever thread."""
    return _resting > 0
