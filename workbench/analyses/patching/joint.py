"""The best parts of each layer patched together, on pairs they were not chosen on, beside as many others and strangers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from workbench.analyses.patching.sweep import Steps, Sweep
from workbench.bootstrap import ratio_of_means
from workbench.finite import plain

BOOTSTRAP, OTHERS = 11, 12
"""What random numbers are drawn for, each from a stream of its own (`pairs` has others)."""


def joint_effects(
    sweep: Sweep,
    found: Mapping[str, npt.NDArray[Any]],
    turned: npt.NDArray[np.float64],
    halves: tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]],
    groups: npt.NDArray[np.integer],
    top: int,
    seed: int,
    steps: Steps,
    stands_for: npt.NDArray[np.float64],
) -> list[dict[str, Any]]:
    """Return for each layer of several parts what its best parts carry together: ``of`` all its parts, of the ``patched``.

    Parameters
    ----------
    found
        What was measured, `oriented`.
    turned
        Signs of the pairs.
    halves
        Pairs that the best are chosen on, and pairs that they are patched together on; the same for a pair that was drawn.
    groups
        Concept of each pair.
    top
        So many of the best; at most half of a layer's parts, for as many others must be left.
    stands_for
        float64 ``p``: how many parts each stands for.
    """
    told: list[dict[str, Any]] = []
    (chosen, held), drawn, start = halves, sweep.pairs.drawn, 0
    for place, patches in enumerate(sweep.parts):
        rows = np.arange(start, start + len(patches))
        start += len(patches)
        if len(patches) < 2 or not held.any() or not chosen.any():
            continue
        best = min(top, len(patches) // 2)
        order = np.argsort(-found["denoise"][rows][:, chosen].mean(1), kind="stable")[:best]
        random = np.random.default_rng([seed, OTHERS, place])
        values = sweep.together(place, order.tolist(), np.flatnonzero(held), random, steps, stands_for[rows])
        values = {name: each * (turned[:1] if drawn else turned[held]) for name, each in values.items()}
        whole = found["whole"][held]
        score = ratio_of_means(values["together"], groups[held], [seed, BOOTSTRAP], whole)
        strange = values["unaligned"] / whole.mean() if drawn else values["unaligned"].mean() / whole.mean()
        alone = float(found["denoise"][rows[order]][:, held].mean(1).sum() / whole.mean())
        told.append(
            {
                "layer": sweep.patchers[place].layer.name,
                "parts": [patches[at].name for at in order.tolist()],
                "of": round(float(stands_for[rows].sum())),
                "patched": len(patches),
                "together": plain(score.value),
                "together_low": plain(score.low),
                "together_high": plain(score.high),
                "sum_of_singles": plain(alone),
                "random_largest": plain(float((values["random"].mean(1) / whole.mean()).max())),
                "random_draws": len(values["random"]),
                "unaligned": plain(float(np.max(strange))),
                "held_out": not drawn,
            }
        )
    return told
