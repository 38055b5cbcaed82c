"""The same network at many moments of its training: references of every checkpoint that is kept, by seed and update."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from workbench.input_error import InputError
from workbench.models.card import cards
from workbench.models.loading import Reference
from workbench.models.sources.run import checkpoints


@dataclass(frozen=True)
class Series:
    """One training.

    Attributes
    ----------
    name
        Such as ``seed 1``.
    refs
        Reference of the network after each number of updates, in order.
    logged
        Update, loss and what else was measured while it trained, one mapping an entry of its log; empty where no log is kept.
    """

    name: str
    refs: dict[int, str]
    logged: tuple[dict[str, float], ...] = field(default=(), compare=False)


def series_of(ref: str, further: Sequence[str] = ()) -> list[Series]:
    """Return the trainings that a network is known from.

    Parameters
    ----------
    ref
        ``bundled:NAME`` (all seeds whose checkpoints are in the box) or ``run:FOLDER``; options are left out.
    further
        References of the same network from other trainings.

    Raises
    ------
    InputError
        When there are no checkpoints of one of them.
    """
    found: list[Series] = []
    for one in dict.fromkeys([ref, *further]):
        reference = Reference.parse(one)
        if reference.scheme == "bundled" and reference.name in cards():
            card = cards()[reference.name]
            for seed, early in card.early.items():
                found.append(Series(f"seed {seed}", {step: f"bundled:{card.name}?step={step}&seed={seed}" for step in early.steps}))
            if card.early:
                continue
        if reference.scheme == "run":
            folder = Path(reference.name).expanduser()
            kept = checkpoints(folder)
            if kept:
                found.append(Series(folder.name, {step: f"run:{reference.name}?step={step}" for step in sorted(kept)}, _log(folder)))
                continue
        raise InputError(f"no checkpoints are kept of {one}; give bundled:inception, or run:FOLDER of a training")
    return found


def _log(folder: Path) -> tuple[dict[str, float], ...]:
    """Return the entries of a run's log; a last line that is cut off, as after a kill, is left out."""
    found = []
    path = folder / "log.jsonl"
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        with suppress(ValueError):
            found.append(json.loads(line))
    return tuple(found)
