"""The filter editor's promise: what painted kernels recover is told anew, of 2,000 images, while one paints.

`python -m tests.bench.bench_painting` prints JSON. Kernels of a unit of `bundled:inception`'s first layer, behind which lies the whole
network, are changed a little at random `PAINTED` times, and each time asked for as the panel asks.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

PAINTED = 15
BARS = {"painted_median_s": ("<=", 2.0)}


def measure() -> dict[str, float]:
    """Return the seconds from a kernel to the first figure and to that of all images."""
    from workbench.jobs.engine import Engine
    from workbench.jobs.kernel_requests import KernelOf, RecoverLive
    from workbench.jobs.store import Store
    from workbench.kernel_edits import KernelEdit
    from workbench.models.layer import Unit
    from workbench.task import Task

    model, unit = "bundled:inception", Unit("conv2d0", 3)
    with tempfile.TemporaryDirectory() as folder:

        class Heard(Task):
            def __init__(self) -> None:
                self.at: list[float] = []

            def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
                """Keep when there was something to show."""
                if partial is not None:
                    self.at.append(time.perf_counter())

        engine = Engine(Store(Path(folder)))
        card = KernelOf(model, unit).run(engine, Task())
        random = np.random.default_rng(0)
        took, first, images = [], [], 0
        for _ in range(PAINTED + 1):
            kernel = card.kernel + random.normal(0, 0.1 * card.kernel.std(), card.kernel.shape).astype(np.float32)
            edit = KernelEdit(unit.layer, unit.index, kernel, card.bias)
            began = time.perf_counter()
            images = RecoverLive(model, "emoji", (edit.document(),)).run(engine, heard := Heard())["images"]
            took.append(time.perf_counter() - began)
            first.append(heard.at[0] - began)
    return {
        "images": images,
        "painted_median_s": statistics.median(took[1:]),
        "painted_longest_s": max(took[1:]),
        "first_figure_median_s": statistics.median(first[1:]),
        "load_average": os.getloadavg()[0],
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(), indent=2) + "\n")
