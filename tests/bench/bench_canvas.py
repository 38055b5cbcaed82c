"""The canvas' promise: what the network makes of a stroke is on the screen while it is drawn.

`python -m tests.bench.bench_canvas` prints JSON. In the panel Canvas with `bundled:inception` an arc is drawn, copied across, and then
`STROKES` strokes of the brush on the corrupt drawing, at a mouse's pace of a movement every `PACE` ms. A movement counts as answered when
the bars of classes and units are painted that belong to it, or to a later one; the activations of each drawing, its classes and the
patching of the blocks run in the worker's thread meanwhile. `patched_ms` is the time from one set of scores while drawing to the next.
"""

from __future__ import annotations

import json
import sys

import numpy as np

from tests.bench.bench_window import lateness, said_by_window

STROKES, MOVES, PACE = 6, 200, 8
BARS = {"stroke_median_ms": ("<=", 50.0), "stroke_p99_ms": ("<=", 100.0)}

SCRIPT = """
import json, math, sys, time
from PySide6.QtCore import QEvent, QPointF, QTimer, Qt
from PySide6.QtGui import QMouseEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from widgets.app import make_engine
from widgets.garbage import GarbageCollector
from widgets.relay import Relay
from widgets.session import Session
from widgets.theme import Theme
from workbench.jobs.runner import Runner

sys.setswitchinterval(0.0005)  # as the application does
STROKES, MOVES, PACE = map(int, sys.argv[1:4])
app = QApplication(sys.argv)
theme = Theme(app, "light")
collector = GarbageCollector(app)  # as the application does
session = Session(Relay(lambda deliver: Runner(deliver, make_engine)))
from widgets.panels.patching_canvas import PatchingCanvasPanel
from widgets.views.pair_bars import PairBars
from workbench.images.drawing import Drawing
from workbench.images.strokes import Arc

moved, answered, latencies, patched, gaps = {}, [], [], [], []
paint = PairBars.paintEvent
def painted(self, event):
    paint(self, event)
    if answered and self is panel.results.units:
        now, corrupt = time.perf_counter(), answered[-1]
        answered.clear()
        done = next((number for number, (pixels, _) in moved.items() if pixels is corrupt), None)
        if done is not None:
            for number in [number for number in moved if number <= done]:
                latencies.append(now - moved.pop(number)[1])
PairBars.paintEvent = painted

panel = PatchingCanvasPanel(session)
panel.resize(1100, 800)
panel.show()
canvas, live = panel.sides["corrupt"].canvas, panel.results.live
state = {"stroke": -1, "move": 0, "ready": False, "begun": False}

def shown(event):  # which pair is this?
    if event.state == "done":
        answered.append(event.request.corrupt)
live.activations.ended.connect(shown)
live.patched.connect(lambda found: (patched.append(time.perf_counter()) if canvas.is_drawing else patched.clear()) or settle(found))

def settle(found):
    if canvas.is_drawing:
        if len(patched) > 1:
            gaps.append(patched[-1] - patched[-2])
    elif not state["begun"] and found["scores"]:
        state["begun"] = True
        QTimer.singleShot(300, stroke)

def point(stroke, move):
    turn = 2 * math.pi * move / MOVES + stroke
    return 0.35 * math.cos(turn) * (0.4 + stroke / STROKES / 2), 0.35 * math.sin(2 * turn)

def stroke():
    state["stroke"] += 1
    state["move"] = 0
    patched.clear()
    if state["stroke"] == STROKES:
        print(json.dumps({"latencies": latencies, "gaps": gaps}), flush=True)
        session.close(10)
        app.quit()
        return
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=canvas.place(point(state["stroke"], 0)).toPoint())  # held, for whoever asks
    ticks.start()

def tick():
    state["move"] += 1
    number = state["stroke"] * 1000 + state["move"]
    if state["move"] > MOVES:
        ticks.stop()
        moved.clear()
        QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=canvas.place(point(state["stroke"], MOVES)).toPoint())
        QTimer.singleShot(1500, stroke)
        return
    began = time.perf_counter()
    before = canvas.pixels
    place = canvas.place(point(state["stroke"], state["move"]))
    where, left, none = QPointF(canvas.mapToGlobal(place)), Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
    app.sendEvent(canvas, QMouseEvent(QEvent.Type.MouseMove, place, where, none, left, Qt.KeyboardModifier.NoModifier))
    if canvas.pixels is not before:
        moved[number] = canvas.pixels, began

ticks = QTimer(interval=PACE)
ticks.setTimerType(Qt.TimerType.PreciseTimer)
ticks.timeout.connect(tick)

def opened(card):
    from widgets.canvas.drawing_edit import push_drawings
    arc = Drawing().with_object(Arc(0.0, 0.1, 0.3, width=0.06))
    push_drawings(session, {"clean": arc, "corrupt": arc.with_replaced(0, Arc(0.0, 0.1, 0.3, 0, 90, 0.06))}, "draw")
session.model_changed.connect(opened)
session.open_model("bundled:inception", layer="mixed4a")
QTimer.singleShot(240_000, lambda: (print("too slow", file=sys.stderr), session.close(10), app.exit(1)))
code = app.exec()
collector.stop()
sys.exit(code)
"""


def measure() -> dict[str, float]:
    """Return how long movements of the brush took to be answered on the screen, in milliseconds."""
    found = said_by_window(SCRIPT, STROKES, MOVES, PACE)
    return {
        "movements": len(found["latencies"]),
        **lateness("stroke", found["latencies"]),
        "patched_ms": 1000 * float(np.median(found["gaps"])) if found["gaps"] else float("nan"),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(), indent=2) + "\n")
