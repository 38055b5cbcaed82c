"""After each test of the window nothing of it may be left: no top-level widget, no running timer, no thread."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PySide6.QtCore import QCoreApplication, QEvent, QThread, QTimer
from PySide6.QtWidgets import QApplication, QWidget
from shiboken6 import isValid

GRACE = 3.0
"""Seconds that what is on its way out may take to go."""


def _describe(widget: QWidget) -> str:
    return f"top-level {type(widget).__name__} {widget.objectName() or widget.windowTitle() or ''}".rstrip()


@pytest.fixture(autouse=True)
def nothing_left_behind(monkeypatch: pytest.MonkeyPatch, qapp: QApplication) -> Iterator[None]:
    """Fail a test that leaves a top-level widget, a running QTimer or QThread, or a Python thread."""
    windows = {id(widget) for widget in QApplication.topLevelWidgets()}
    threads = set(threading.enumerate())
    started: list[weakref.ref[Any]] = []

    def watch(kind: type) -> None:
        start: Callable[..., None] = kind.start

        def recorded(self: Any, *args: Any) -> None:
            started.append(weakref.ref(self))
            start(self, *args)

        monkeypatch.setattr(kind, "start", recorded)

    watch(QTimer)
    watch(QThread)

    def left() -> list[str]:
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        QCoreApplication.processEvents()
        alive = [thing for ref in started if (thing := ref()) is not None and isValid(thing)]
        return [
            *(_describe(widget) for widget in QApplication.topLevelWidgets() if id(widget) not in windows and isValid(widget)),
            *(f"running timer of {type(t.parent()).__name__}" for t in alive if isinstance(t, QTimer) and t.isActive()),
            *(f"running {type(t).__name__}" for t in alive if isinstance(t, QThread) and t.isRunning()),
            *(f"thread {thread.name}" for thread in set(threading.enumerate()) - threads),
        ]

    yield
    deadline = time.monotonic() + GRACE
    while left() and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.02)
    remains = left()
    assert not remains, "left behind: " + "; ".join(remains)
