"""Exact patching: what really changes when a unit, or what one unit reads from another, is ablated alone, and restored alone.

Ablated alone, of two reasons that each suffice neither matters (OR); restored alone where all else is ablated, of two that are both needed
neither does (AND). Each is measured, and a candidate needs one of the two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.analyses.trace.runs import ABLATED, CLEAN, Reading, Runs
from workbench.task import Task

ROWS = 16
"""Edits between two steps."""


def units(
    runs: Runs, layer: str, chosen: Sequence[int], task: Task
) -> tuple[Float[Tensor, "unit image"], Float[Tensor, "unit image"]]:
    """Return how the target changes when each unit is ablated, and when it alone is restored in a layer that is ablated as a whole."""
    whole, clean = (runs.arranged(layer, value) for value in (runs.ablated(layer), runs.clean(layer)))

    def write(units: Sequence[int], base: Tensor | None, value: Tensor, view: Tensor) -> None:
        if base is not None:
            view[:] = base
        view[:, list(units)] = value[:, list(units)]

    rows: list[Callable[[Tensor], None]] = [partial(write, [], None, whole), partial(write, [], whole, clean)]
    rows += [partial(write, [unit], None, whole) for unit in chosen]
    rows += [partial(write, [unit], whole, clean) for unit in chosen]
    found = []
    for first in range(0, len(rows), ROWS):
        task.step(first, len(rows), note=f"exact patching of {layer}")
        found.append(runs.edited([{layer: row} for row in rows[first : first + ROWS]]))
    target = torch.cat(found)
    intact, nothing, rest = target[0], target[1], target[2:]
    return rest[: len(chosen)] - intact, rest[len(chosen) :] - nothing


def edges(
    runs: Runs, ends: Sequence[tuple[str, str]], task: Task
) -> tuple[Float[Tensor, "edge image"], Float[Tensor, "edge image"]]:
    """Return how the target changes when a reader reads one source ablated, and when it reads that one alone clean.

    All behind the reader goes on as in the whole network (path patching), units that are no candidates included.
    """
    ablated = [Reading(reader, True, frozenset({(source, ABLATED)})) for source, reader in ends]
    nothing = [Reading(reader, False, frozenset()) for _, reader in ends]
    restored = [Reading(reader, False, frozenset({(source, CLEAN)})) for source, reader in ends]
    result = []
    for readings in (ablated, nothing, restored):
        found: list[Tensor] = []
        for first in range(0, len(ends), ROWS):
            task.step(first, len(ends), note="exact patching of edges")
            found += _lead_to(runs, readings[first : first + ROWS])
        result.append(torch.stack(found))
    return result[0] - runs.full, result[2] - result[1]


def _lead_to(runs: Runs, readings: Sequence[Reading]) -> list[Float[Tensor, " image"]]:
    """Return the target when each reader has the value its reading leads to."""
    target = runs.paths.target.address
    numbers = [runs.numbers([reading])[0] for reading in readings]
    inner = [
        (reading.node, number) for reading, number in zip(readings, numbers, strict=True) if reading.node != target
    ]
    found = iter(runs.edited([runs.replacing([pair]) for pair in inner])) if inner else iter(())
    return [
        runs.vector(number) if reading.node == target else next(found)
        for reading, number in zip(readings, numbers, strict=True)
    ]
