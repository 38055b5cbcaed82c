"""The log of a run, one mapping a line: the step, the learning rate, and the figures of the updates the line stands for. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

APART = ("step", "rate")
"""What is no figure."""


def curves_of(lines: Sequence[Mapping[str, float]]) -> dict[str, tuple[list[int], list[float]]]:
    """Return every figure by name as ``(steps, values)``, over the lines that have it."""
    names = dict.fromkeys(name for line in lines for name in line if name not in APART)
    return {
        name: ([int(line["step"]) for line in lines if name in line], [line[name] for line in lines if name in line])
        for name in names
    }
