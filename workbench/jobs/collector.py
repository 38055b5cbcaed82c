"""Python's garbage collector at rest, around work that makes hundreds of thousands of objects: a pass over them stops all threads.

The window switches the collector off and collects in its own thread (see `widgets.garbage`); it asks `at_rest` before it does.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_resting = 0
_enabled = False


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """Keep the garbage collector from stopping all threads meanwhile; blocks may be nested, and overlap in several threads."""
    global _resting, _enabled
    with _lock:
        if _resting == 0:
            _enabled = gc.isenabled()
        gc.disable()
        _resting += 1
    try:
        yield
    finally:
        with _lock:
            _resting -= 1
            if _resting == 0 and _enabled:
                gc.enable()


def at_rest() -> bool:
    """Whether a `collector_at_rest` block is running, in whichever thread."""
    return _resting > 0
