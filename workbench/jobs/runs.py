"""Training runs on disk, as the window lists them: what `workbench.training.trainer` leaves in a folder, read without torch."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.models.older_recipes import as_trained
from workbench.training.log import curves_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunCard:
    """What is known of a run.

    Attributes
    ----------
    recipe, settings
        Name of the recipe's kind and all its parameters: what it takes to go on.
    step, steps
        Updates that were done when the state was last written, and updates there will be.
    curves
        By name, ``(steps, values)``: the loss and the recipe's further figures, as far as the log goes.
    changed
        When it was last written, seconds since 1970.
    """

    folder: Path
    recipe: str
    settings: Mapping[str, Any]
    step: int
    steps: int
    curves: Mapping[str, tuple[list[int], list[float]]]
    changed: float

    @property
    def figures(self) -> dict[str, float]:
        """The last line of the log."""
        return {name: values[-1] for name, (_, values) in self.curves.items()}


def read_run(folder: Path) -> RunCard:
    """Read what a run's folder holds.

    Raises
    ------
    OSError, ValueError, KeyError, safetensors.SafetensorError
        When it holds no run, or one that is damaged.
    """
    from safetensors import safe_open

    document = json.loads((folder / "recipe.json").read_text(encoding="utf-8"))
    state, log = folder / "state.safetensors", folder / "log.jsonl"
    step, changed, lines = 0, (folder / "recipe.json").stat().st_mtime, []
    if state.exists():
        with safe_open(state, "np") as file:
            step = int(file.metadata()["step"])
        changed = state.stat().st_mtime
    if log.exists():
        lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    return RunCard(
        folder=folder,
        recipe=document["kind"],
        settings=as_trained(document["kind"], document["parameters"]),
        step=step,
        steps=document["parameters"]["steps"],
        curves=curves_of(lines),
        changed=changed,
    )


def find_runs(folder: Path) -> tuple[RunCard, ...]:
    """Return the runs in the folders of a folder, the one written last first; one that cannot be read is left out with a warning."""
    from safetensors import SafetensorError

    found = []
    for place in folder.glob("*/recipe.json"):
        try:
            found.append(read_run(place.parent))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
            logger.warning("cannot read the run in %s (%s: %s)", place.parent, type(error).__name__, error)
    return tuple(sorted(found, key=lambda run: -run.changed))
