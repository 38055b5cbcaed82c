"""The collector runs in the main thread alone."""

from __future__ import annotations

import gc
import threading
import weakref

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QWidget

from widgets.garbage import GarbageCollector


class Knot:
    """Refers to itself, so only the collector can free it."""

    def __init__(self, freed_in: list[threading.Thread]) -> None:
        self.self = self
        self.freed_in = freed_in

    def __del__(self) -> None:
        self.freed_in.append(threading.current_thread())


def test_knots_made_in_another_thread_are_freed_in_the_main_one(qtbot):
    freed_in: list[threading.Thread] = []
    gc.enable()
    collector = GarbageCollector(interval=5)
    assert not gc.isenabled()
    try:

        def work() -> None:
            for _ in range(5000):
                Knot(freed_in)

        worker = threading.Thread(target=work)
        worker.start()
        worker.join()
        assert not freed_in
        qtbot.waitUntil(lambda: len(freed_in) == 5000, timeout=5000)
        assert set(freed_in) == {threading.main_thread()}
    finally:
        collector.stop()
    assert gc.isenabled()


def test_the_oldest_generation_waits_while_a_button_is_held(qtbot, monkeypatch):
    collected: list[int] = []
    held = QWidget()
    qtbot.addWidget(held)
    held.show()
    collector = GarbageCollector(interval=100_000)
    try:
        monkeypatch.setattr(gc, "get_count", lambda: (10**6, 10**6, 10**6))
        monkeypatch.setattr(gc, "collect", collected.append)
        qtbot.mousePress(held, Qt.MouseButton.LeftButton)
        collector.collect()
        qtbot.mouseRelease(held, Qt.MouseButton.LeftButton)
        collector.collect()
    finally:
        monkeypatch.undo()
        collector.stop()
    assert collected == [1, 2]


def test_it_stops_collecting_when_told(qtbot):
    collector = GarbageCollector(interval=5)
    collector.stop()
    assert not gc.isenabled(), "it did not collect by itself before, either"
    gone = weakref.ref(collector)
    del collector
    gc.collect()
    assert gone() is None
