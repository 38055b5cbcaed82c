"""Python's garbage collector, kept in the main thread.

Left alone, the collector runs in whichever thread happens to allocate: in the worker it would destroy windows from the wrong side, which
Qt does not survive. So it is switched off, and a timer of the main thread collects when the collector's own thresholds say so; not
while the worker imports or exports, when a pass would go over half a million objects that stay. The oldest generation waits while a
button of the mouse is held, too: a pass over it takes as long as several movements of a brush.
"""

from __future__ import annotations

import gc

from PySide6.QtCore import QObject, Qt, QTimer
from PySide6.QtGui import QGuiApplication

from workbench.jobs.collector import at_rest


class GarbageCollector(QObject):
    """Collects in the thread it lives in, and nowhere else, until `stop` is called.

    Parameters
    ----------
    interval
        Milliseconds between looks at the thresholds.
    """

    def __init__(self, parent: QObject | None = None, interval: int = 500) -> None:
        super().__init__(parent)
        self._thresholds = gc.get_threshold()
        self._before = gc.isenabled()
        gc.disable()
        self._timer = QTimer(self, interval=interval)
        self._timer.timeout.connect(self.collect)
        self._timer.start()

    def collect(self) -> None:
        """Collect the oldest generation whose threshold is passed, and the younger ones with it."""
        if at_rest():
            return
        counts = gc.get_count()
        busy = QGuiApplication.mouseButtons() != Qt.MouseButton.NoButton
        due = [generation for generation in range(2 if busy else 3) if counts[generation] > self._thresholds[generation]]
        if due:
            gc.collect(due[-1])

    def stop(self) -> None:
        """Let Python collect by itself again, if it did; for those who go on without a window, as tests do."""
        self._timer.stop()
        if self._before:
            gc.enable()
