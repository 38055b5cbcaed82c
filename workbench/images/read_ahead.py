"""Compute ahead of the reader: results in order, a bounded number of them waiting, no thread left behind."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

WORKERS = min(8, os.cpu_count() or 1)


def read_ahead(function: Callable[[T], R], items: Iterable[T], ahead: int) -> Generator[R]:
    """Yield ``function(item)`` for every item in order, computed in threads while the reader is busy.

    At most `ahead` results are under way or waiting. The threads start with the first result asked for, and have ended when the
    generator is exhausted, closed, or left by an exception (the function's own exceptions come out at their place).
    """
    source = iter(items)
    pool = ThreadPoolExecutor(min(WORKERS, ahead), thread_name_prefix="read-ahead")
    try:
        waiting: deque[Future[R]] = deque(pool.submit(function, item) for item in islice(source, ahead))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(function, item) for item in islice(source, 1))
            yield result
            del result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
