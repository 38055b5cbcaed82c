"""The inspector's promise: a click on a unit of EfficientNet-Lite0 shows all of it at once, and nothing else in the window waits.

`python -m tests.bench.bench_inspector` prints JSON. A layer is swept over `IMAGES` photographs' worth of noise, and each of a few units
is looked at once, so that its visualizations are in the store. Then each is clicked again, while the worker goes on rendering the grid's
thumbnails. A click counts as answered when the section of every kind has what it shows: visualizations of both signs, the examples of
all ranges, and the histogram. How late a 2 ms timer of the event loop comes meanwhile says whether anything else waited.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from tests.bench.bench_window import surroundings

IMAGES, SIDE = 512, 256
BARS = {
    "click_longest_ms": ("<=", 300.0),
    "waited_longest_ms": ("<=", 100.0),
}

SCRIPT = """
import json, sys, time
from PySide6.QtCore import QTimer, Qt
from widgets import app, main_window

UNITS = (3, 11, 19, 27, 35, 42)
make = main_window.MainWindow

class Watched(make):
    def __init__(self, session, *rest, **options):
        super().__init__(session, *rest, **options)
        self.clicks, self.late, self.left, self.measuring, self.began = [], [], [], False, None
        self.pulse = QTimer(self, interval=2)
        self.pulse.setTimerType(Qt.TimerType.PreciseTimer)
        self.pulse.timeout.connect(self.beat)
        session.model_changed.connect(self.begin)
        session.images_changed.connect(self.begin)

    def begin(self, _card):
        if self.session.model is None or self.session.images is None:
            return
        from workbench.jobs.requests import Sweep
        layers = [layer for layer in self.session.model.layers if layer.role == "post" and layer.units >= 64]
        self.layer = layers[len(layers) // 2].name
        self.session.select_layer(self.layer)
        self.session.relay.submit(Sweep(self.session.model.ref, self.session.images.ref, (self.layer,)), self.swept)

    def swept(self, event):
        if event.state == "failed":
            print(event.error, event.details, file=sys.stderr)
            self.close()
        elif event.state == "done":
            from widgets.panels.inspector import InspectorPanel
            self.inspector = self.findChild(InspectorPanel)
            self.left = [(unit, False) for unit in UNITS] + [(unit, True) for unit in UNITS]
            self.last = time.perf_counter()
            self.pulse.start()
            self.click()

    def click(self):
        from workbench.models.layer import Unit
        if not self.left:
            self.pulse.stop()
            print(json.dumps({"clicks": self.clicks, "late": self.late}), flush=True)
            self.close()
            return
        unit, self.measuring = self.left.pop(0)
        self.began = time.perf_counter()
        self.session.select_unit(Unit(self.layer, unit))

    def complete(self):
        card = self.inspector
        found = card.examples._found
        pictures = {row for row, level in card.visualizations._found}
        return (
            pictures == {"positive", "negative"}
            and all(f"{end}_images" in found for end in ("top", "sample", "bottom"))
            and bool(card.distribution.views())
        )

    def beat(self):
        now = time.perf_counter()
        if self.measuring:
            self.late.append(max(0.0, now - self.last - 0.002))
        self.last = now
        if self.began is not None and self.complete():
            if self.measuring:
                self.clicks.append(now - self.began)
            self.began = None
            QTimer.singleShot(400, self.click)

app.MainWindow = Watched
app.main(sys.argv[1:])
"""


def measure() -> dict[str, float]:
    """Return how long clicks took to be answered whole, and how late the event loop came meanwhile, in milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        random = np.random.default_rng(0)
        photos = Path(folder, "photos")
        photos.mkdir()
        for index in range(IMAGES):
            coarse = Image.fromarray(random.integers(0, 256, (16, 16, 3), dtype=np.uint8))
            coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(photos / f"{index:04}.jpg")
        opened = ["--model", "bundled:efficientnet-lite0", "--images", f"folder:{photos}"]
        run = subprocess.run(
            [sys.executable, "-c", SCRIPT, "--data", f"{folder}/kept", *opened],
            env=surroundings(folder),
            stdout=subprocess.PIPE,
            text=True,
            timeout=1200,
            check=True,
        )
    found = json.loads(run.stdout.splitlines()[-1])
    return {
        "click_median_ms": 1000 * float(np.median(found["clicks"])),
        "click_longest_ms": 1000 * max(found["clicks"]),
        "waited_p99_ms": 1000 * float(np.percentile(found["late"], 99)),
        "waited_longest_ms": 1000 * max(found["late"]),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(), indent=2) + "\n")
