"""How many parametric stimuli of 64 pixels are drawn in a second, family by family, on plain ground.

`python -m tests.bench.bench_stimuli` prints JSON: of every family the best of `REPEATS` renderings of `ROWS` random rows from two threads
(`images_per_s`), and what the processor time of one thread promises two idle cores (`images_per_cpu_s`), which other work on the machine
changes little. The bars are on the slowest family, and on the ratio to it of a plain colour, which only fills memory.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

import workbench.images.stimuli  # noqa: F401  its families register themselves
from workbench.images.stimulus import FAMILIES, StimulusFamily, Table

SIDE, ROWS, REPEATS, THREADS = 64, 512, 3, 2
BARS = {"slowest_images_per_cpu_s": (">=", 5000), "plain_colour_over_slowest": ("<=", 16)}


def fastest(family: StimulusFamily, table: Table, clock: Callable[[], float], threads: int) -> float:
    """Return images a second by a clock, of the best of some renderings, each shared among threads."""
    parts = [table[start::threads] for start in range(threads)]
    seconds = []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(1 + REPEATS):  # the first warms up
            started = clock()
            list(pool.map(lambda part: family.render(part, (SIDE, SIDE)), parts))
            seconds.append(clock() - started)
    return len(table) / min(seconds[1:])


def measure() -> dict[str, Any]:
    """Return images a second of every family, the strokes with each profile."""
    cases: dict[str, tuple[StimulusFamily, Table]] = {}
    for name, family in FAMILIES.items():
        table = family.random(ROWS, seed=0)
        if "profile" not in (table.dtype.names or ()):
            cases[name] = family, table
            continue
        for value, profile in enumerate(next(part for part in family.parameters if part.name == "profile").names):
            cases[f"{name} {profile}"] = family, table.copy()
            cases[f"{name} {profile}"][1]["profile"] = value
    torch.set_num_threads(1)
    wall = {name: round(fastest(*case, time.perf_counter, THREADS)) for name, case in cases.items()}
    processor = {name: round(THREADS * fastest(*case, time.process_time, 1)) for name, case in cases.items()}
    slowest = min(processor.values())
    return {
        "images_per_s": wall,
        "images_per_cpu_s": processor,
        "slowest_images_per_cpu_s": slowest,
        "plain_colour_over_slowest": processor["colours"] / slowest,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(), indent=2) + "\n")
