"""The tuning panel's promise: what a unit does is on the screen while the stimulus under it is dragged.

`python -m tests.bench.bench_tuning` prints JSON. In the panel Tuning with `bundled:inception` the handle that moves the stimulus is
dragged around once a turn of `MOVES` movements, and the one that bends it then, at a mouse's pace of a movement every `PACE` ms. A
movement counts as answered when the stimulus is painted with the activation that belongs to it, or to a later one.
"""

from __future__ import annotations

import json
import os
import sys

from tests.bench.bench_window import lateness, said_by_window

MOVES, PACE = 250, 8
BARS = {"drag_median_ms": ("<=", 50.0), "drag_p99_ms": ("<=", 50.0)}

SCRIPT = """
import json, math, sys, time
from PySide6.QtCore import QEvent, QPointF, QTimer, Qt
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QApplication
from widgets.app import make_engine
from widgets.garbage import GarbageCollector
from widgets.relay import Relay
from widgets.session import Session
from widgets.theme import Theme
from workbench.jobs.runner import Runner
from workbench.models.layer import Unit

sys.setswitchinterval(0.0005)  # as the application does
MOVES, PACE = map(int, sys.argv[1:3])
app = QApplication(sys.argv)
theme = Theme(app, "light")
collector = GarbageCollector(app)  # as the application does
session = Session(Relay(lambda deliver: Runner(deliver, make_engine)))
from widgets.panels.tuning import TuningPanel
from widgets.views.stimulus_view import StimulusView

moved, answered, latencies = {}, [], []
paint = StimulusView.paintEvent
def painted(self, event):
    paint(self, event)
    if answered:
        now, given = time.perf_counter(), answered[-1]
        answered.clear()
        done = next((number for number, (asked, _) in moved.items() if asked == given), None)
        if done is not None:
            for number in [number for number in moved if number <= done]:
                latencies.append(now - moved.pop(number)[1])
StimulusView.paintEvent = painted

panel = TuningPanel(session)
panel.resize(1000, 760)
panel.show()
view = panel.stimulus
state = {"move": 0, "handle": "", "begun": False}

def shown(event):
    if event.state == "done":
        answered.append({name: event.result["values"][name] for name in ("x", "y", "orientation", "radius")})
    if not state["begun"] and panel._curves is not None:
        state["begun"] = True
        QTimer.singleShot(300, lambda: hold("place"))
panel._live.ended.connect(shown)

def send(kind, place, buttons):
    button = Qt.MouseButton.NoButton if kind == QEvent.Type.MouseMove else Qt.MouseButton.LeftButton
    event = QMouseEvent(kind, place, QPointF(view.mapToGlobal(place)), button, buttons, Qt.KeyboardModifier.NoModifier)
    app.sendEvent(view, event)

def hold(handle):
    state["handle"], state["move"] = handle, 0
    send(QEvent.Type.MouseButtonPress, view.handles()[handle], Qt.MouseButton.LeftButton)
    assert view._held == handle, handle
    ticks.start()

def tick():
    state["move"] += 1
    turn = 2 * math.pi * state["move"] / MOVES
    frame = view._areas(view.rect().toRectF())[0]
    middle = frame.center() if state["handle"] == "place" else view.handles()["place"]
    place = middle + QPointF(math.cos(turn), math.sin(turn)) * frame.width() * 0.2
    if state["move"] > MOVES:
        ticks.stop()
        send(QEvent.Type.MouseButtonRelease, place, Qt.MouseButton.NoButton)
        QTimer.singleShot(500, lambda: hold("turn") if state["handle"] == "place" else end())
        return
    began = time.perf_counter()
    send(QEvent.Type.MouseMove, place, Qt.MouseButton.LeftButton)
    values = {name: view.values[name] for name in ("x", "y", "orientation", "radius")}
    moved[1000 * (state["handle"] == "turn") + state["move"]] = values, began

def end():
    print(json.dumps({"latencies": latencies, "unanswered": len(moved)}), flush=True)
    session.close(10)
    app.quit()

ticks = QTimer(interval=PACE)
ticks.setTimerType(Qt.TimerType.PreciseTimer)
ticks.timeout.connect(tick)
session.model_changed.connect(lambda card: session.select_unit(Unit("mixed4a", 3)))
session.open_model("bundled:inception", layer="mixed4a")
QTimer.singleShot(240_000, lambda: (print("too slow", file=sys.stderr), session.close(10), app.exit(1)))
code = app.exec()
collector.stop()
sys.exit(code)
"""


def measure() -> dict[str, float]:
    """Return how long movements of a handle took to be answered on the screen, in milliseconds."""
    found = said_by_window(SCRIPT, MOVES, PACE)
    return {
        "movements": len(found["latencies"]),
        "unanswered": found["unanswered"],
        **lateness("drag", found["latencies"]),
        "load_average": os.getloadavg()[0],
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(), indent=2) + "\n")
