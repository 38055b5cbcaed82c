"""The same network at many moments of its training: references of every checkpoint that is kept, by seed and update."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from workbench.input_error import InputError
from workbench.models.card import cards
from workbench.models.loading import DIRECTIONS, TWIN, Reference
from workbench.models.sources.run import checkpoints, read_card, read_log

LATER: Mapping[str, Mapping[str, Any]] = {"Classifier": {"ground": "random"}}
"""Parameters that kinds of recipes got after networks had been trained with them, and what those were trained with."""
DENSE = ("dense_from", "dense_to")
"""Parameters that say which updates are kept and nothing of how a training goes."""


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
    recipe, settings
        Kind of the recipe and all its parameters: what it takes to train the same again.
    final
        Reference of the network that the training ended with.
    """

    name: str
    refs: dict[int, str]
    logged: tuple[Mapping[str, float], ...] = field(default=(), compare=False)
    recipe: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict, compare=False)
    final: str = ""

    @property
    def trained(self) -> str:
        """What decides how a training goes, whichever of its updates are kept: the same for one that was trained again."""
        told = {name: value for name, value in {**LATER.get(self.recipe, {}), **self.settings}.items() if name not in DENSE}
        return f"{self.recipe} {json.dumps(told, sort_keys=True, default=str)}" if self.recipe else self.name

    def step_of(self, ref: str) -> int | None:
        """Return after how many updates a network is, that may be opened as a twin or with directions; None where it is none of these."""
        try:
            asked = Reference.parse(ref).without(TWIN).without(DIRECTIONS)
        except InputError:
            return None
        if str(asked) == self.final:
            return max(self.refs)
        if asked.get("seed") is None and "seed=" not in self.final and asked.scheme == "bundled":
            asked = asked.having("seed", str(self.settings["seed"]))
        return next((step for step, known in self.refs.items() if _same(asked, Reference.parse(known))), None)


def series_of(ref: str, further: Sequence[str] = ()) -> list[Series]:
    """Return the trainings that a network is known from.

    Parameters
    ----------
    ref
        ``bundled:NAME`` (all seeds whose checkpoints are in the box) or ``run:FOLDER``; options are left out.
    further
        References of the same network from other trainings. A run that trains another one again, to keep more of it, is one with it.

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
                refs = {step: f"bundled:{card.name}?step={step}&seed={seed}" for step in early.steps}
                published = int(seed) == card.parameters["seed"]
                final = f"bundled:{card.name}" if published else refs[max(refs)]
                settings = {**card.parameters, "seed": int(seed)}
                found.append(Series(f"seed {seed}", refs, early.logged, card.recipe, settings, final))
            if card.early:
                continue
        if reference.scheme == "run":
            folder = Path(reference.name).expanduser()
            kept = checkpoints(folder)
            if kept:
                refs = {step: f"run:{reference.name}?step={step}" for step in sorted(kept)}
                own = read_card(folder)
                series = Series(folder.name, refs, read_log(folder), own.recipe, own.parameters, f"run:{reference.name}")
                runs = [at for at, each in enumerate(found) if each.final.startswith("run:")]
                again = next((at for at in runs if found[at].trained == series.trained), None)
                if again is None:
                    found.append(series)
                else:
                    found[again] = replace(found[again], refs=dict(sorted((refs | found[again].refs).items())))
                continue
        raise InputError(f"no checkpoints are kept of {one}; give bundled:inception, or run:FOLDER of a training")
    return found


def independent(series: Sequence[Series]) -> list[Series]:
    """Return trainings that differ in what decides how they go; of those that do not, the first: it would count twice."""
    return list({each.trained: each for each in reversed(series)}.values())[::-1]


def _same(one: Reference, other: Reference) -> bool:
    """Whether two references open the same network, in whichever order their options stand."""
    return (one.scheme, one.name, dict(one.options)) == (other.scheme, other.name, dict(other.options))
