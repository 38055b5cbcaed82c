"""The window's two promises: it shows almost as fast as a bare Qt window, and it stays smooth while the worker works.

`python -m tests.bench.bench_window` prints JSON. Start-up is the median over alternating pairs of processes, from their birth to their
first paint. Smoothness is how late a 2 ms timer of the window's event loop comes, while the libraries are imported and the network is
loaded, and then during a sweep beside feature visualisations.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
PAIRS = 7
BARS = {
    "window_start_ratio": ("<=", 2.0),
    "loading_longest_ms": ("<=", 300.0),
    "working_p99_ms": ("<=", 20.0),
    "working_longest_ms": ("<=", 150.0),
}
WORK_SECONDS = 60.0

BARE = """
import os, sys
from PySide6.QtWidgets import QApplication, QMainWindow
class Window(QMainWindow):
    def paintEvent(self, event):
        super().paintEvent(event)
        print("painted", flush=True)
        os._exit(0)
app = QApplication(sys.argv)
window = Window()
window.resize(1400, 900)
window.show()
app.exec()
"""

OURS = """
import os, sys
from widgets import app
class Window(app.MainWindow):
    def paintEvent(self, event):
        super().paintEvent(event)
        print("painted", flush=True)
        os._exit(0)
app.MainWindow = Window
app.main(sys.argv[1:])
"""

BUSY = """
import json, sys, time
from PySide6.QtCore import QTimer, Qt
from widgets import app, main_window
seconds = float(sys.argv.pop())
late = {"loading": [], "working": [], "end": []}
phase = "loading"
make = main_window.MainWindow
seen = {"sweep": 0, "images": 0}

class Watched(make):
    def __init__(self, session, *rest, **options):
        super().__init__(session, *rest, **options)
        self._pulse = QTimer(self, interval=2)
        self._pulse.setTimerType(Qt.TimerType.PreciseTimer)
        self._last = time.perf_counter()
        self._pulse.timeout.connect(self._beat)
        self._pulse.start()
        session.relay.event.connect(self._count)

    def _beat(self):
        now = time.perf_counter()
        late[phase].append(max(0.0, now - self._last - 0.002))
        self._last = now

    def _count(self, event):
        if event.state == "failed":
            print(event.error, event.details, file=sys.stderr)
        if type(event.request).__name__ == "Sweep" and event.state == "progress":
            seen["sweep"] = event.done
        if type(event.request).__name__ == "Thumbnails" and event.partial:
            seen["images"] += len(event.partial)
        if type(event.request).__name__ == "ListSources" and event.state == "done":  # it, and what runs inside it, waits for all of that
            QTimer.singleShot(1500, self._work)

    def _work(self):
        global phase
        from workbench.jobs.requests import Sweep
        phase = "working"
        card = self.session.model
        layers = tuple(layer.name for layer in card.layers if layer.kind == "conv2d")
        self.session.relay.submit(Sweep(card.ref, "emoji", layers))
        self._next = 0
        self._walk = QTimer(self, interval=int(1000 * seconds / 3))
        self._walk.timeout.connect(self._another_layer)
        self._walk.start()
        QTimer.singleShot(int(1000 * seconds), self._end)

    def _another_layer(self):
        names = [layer.name for layer in self.session.model.layers if layer.role == "post"]
        self._next += 1
        self.session.select_layer(names[self._next * 3 % len(names)])

    def _end(self):
        global phase
        phase = "end"
        self._walk.stop()
        self._pulse.stop()
        self.close()

app.MainWindow = Watched
app.main(sys.argv[1:])
print(json.dumps({"late": late, "seen": seen}))
"""


def surroundings(folder: str) -> dict[str, str]:
    """Return the environment of a window without a screen that keeps everything in a folder."""
    return os.environ | {
        "QT_QPA_PLATFORM": "offscreen",
        "PYQTGRAPH_QT_LIB": "PySide6",
        "PYTHONPATH": str(ROOT),
        "WORKBENCH_CACHE": f"{folder}/cache",
        "XDG_CONFIG_HOME": f"{folder}/config",
        "XDG_DATA_HOME": f"{folder}/data",
    }


def said_by_window(script: str, *arguments: int) -> dict[str, Any]:
    """Run a script with a window of its own and return what it writes as its last line, JSON."""
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.run(
            [sys.executable, "-c", script, *map(str, arguments)],
            env=surroundings(folder),
            stdout=subprocess.PIPE,
            text=True,
            timeout=600,
            check=True,
        )
    said: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return said


def lateness(name: str, seconds: Sequence[float]) -> dict[str, float]:
    """Return median, 99th percentile and the longest of some times, in milliseconds."""
    late = 1000 * np.array(seconds)
    return {
        f"{name}_median_ms": float(np.median(late)),
        f"{name}_p99_ms": float(np.percentile(late, 99)),
        f"{name}_longest_ms": float(late.max()),
    }


def measure() -> dict[str, float]:
    """Return the start ratio, and the lateness of the event loop in milliseconds in both phases."""
    with tempfile.TemporaryDirectory() as folder:
        environment = surroundings(folder)
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # a program that is installed is compiled once, not at every start
        bare, ours = [], []
        for _ in range(PAIRS + 1):
            bare.append(seconds_to_paint([sys.executable, "-c", BARE], environment))
            ours.append(seconds_to_paint([sys.executable, "-c", OURS, "--data", f"{folder}/kept"], environment))
        busy = subprocess.run(
            [sys.executable, "-c", BUSY, "--data", f"{folder}/kept", str(WORK_SECONDS)],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            timeout=600,
            check=True,
        )
    report = json.loads(busy.stdout.splitlines()[-1])
    loading, working = report["late"]["loading"], report["late"]["working"]
    return {
        "bare_window_s": statistics.median(bare[1:]),
        "window_s": statistics.median(ours[1:]),
        "window_start_ratio": statistics.median(o / b for o, b in zip(ours[1:], bare[1:], strict=True)),
        "loading_p99_ms": 1000 * percentile(loading, 0.99),
        "loading_longest_ms": 1000 * max(loading),
        "working_p99_ms": 1000 * percentile(working, 0.99),
        "working_longest_ms": 1000 * max(working),
        "working_swept_images": report["seen"]["sweep"],
        "working_visualised_units": report["seen"]["images"],
    }


def seconds_to_paint(command: Sequence[str], environment: dict[str, str]) -> float:
    """Start a process and return the seconds until it says that it painted."""
    started = time.perf_counter()
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        seconds = time.perf_counter() - started
        if line.strip() != "painted":
            raise RuntimeError(f"the window never painted: {line!r}")
    return seconds


def percentile(values: Sequence[float], part: float) -> float:
    """Return the value below which `part` of the values lie."""
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(), indent=2) + "\n")
