"""Activation patching: all 512 channels of GoogLeNet's inception4c at 224 pixels, beside one forward pass each.

`python -m tests.bench.bench_patching` prints JSON. The peers, in the same run: a forward pass of the whole network at batch 1, which is
what one patch costs without cuts; and the bare piece behind the layer at the same batch, made once and given the same rows again and
again, which is the most that patching could do.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

LAYER, SIZE = "inception4c", 224
BARS = {"forward_over_patch": (">=", 5.0), "bare_over_patch": (">=", 0.85)}


def measure() -> dict[str, Any]:
    """Return times by name."""
    import workbench
    from workbench.models.device import channels_last
    from workbench.models.patching import ROWS, Patcher, patches_of

    model = workbench.load("torchvision:googlenet?pretrained=false&seed=0")
    clean, corrupt = (model.inputs(torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))) for seed in (0, 1))
    patcher = Patcher(model, LAYER)
    patches = patches_of(model, LAYER, "unit")
    base, other = patcher.values(corrupt), patcher.values(clean)
    whole = model.forward_to([model.graph.output])

    def sweep() -> None:
        for chunk in patcher.chunks(len(patches), 1):
            patcher.run(base, other, patches[chunk])

    rows = [channels_last(value.repeat(ROWS, *[1] * (value.dim() - 1))) for value in base]
    with torch.no_grad():
        forward = median(lambda: whole(*corrupt), 15)
        bare = median(lambda: patcher.piece(*rows), 3) / ROWS
        patch = median(sweep, 3) / len(patches)
    return {
        "patches": len(patches),
        "batch": ROWS,
        "forward_ms": 1e3 * forward,
        "bare_ms": 1e3 * bare,
        "patch_ms": 1e3 * patch,
        "forward_over_patch": forward / patch,
        "bare_over_patch": bare / patch,
    }


def median(work: Callable[[], Any], times: int) -> float:
    """Return the seconds that something takes, after once for nothing."""
    work()
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


if __name__ == "__main__":
    json.dump(measure(), sys.stdout)
