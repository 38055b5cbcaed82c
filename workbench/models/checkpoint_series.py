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
from workbench.models.older_recipes import as_trained
from workbench.models.sources.checkpoint import read_state
from workbench.models.sources.choosing import FURTHER
from workbench.models.sources.run import checkpoints, read_card, read_log, read_precision

STRUCTURE = ("network", "size", "tower", "channels", "layer", "latents")
"""Parameters of recipes that say which network is trained."""
ALIKE = 1e-3
"""Difference of two trainings' weights after the same update, as part of their norm, below which they are one: rounding stays below it for
long, another precision does not."""
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
    precision
        ``fp32`` or ``bf16``, as it was trained in; empty where that was not kept.
    """

    name: str
    refs: dict[int, str]
    logged: tuple[Mapping[str, float], ...] = field(default=(), compare=False)
    recipe: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict, compare=False)
    final: str = ""
    precision: str = field(default="", compare=False)

    @property
    def parameters(self) -> dict[str, Any]:
        """All parameters of the training, those as well that its recipe got later."""
        return as_trained(self.recipe, self.settings)

    @property
    def trained(self) -> str:
        """What decides how a training goes, whichever of its updates are kept: the same for one that was trained again."""
        told = {name: value for name, value in self.parameters.items() if name not in DENSE}
        return f"{self.recipe} {json.dumps(told, sort_keys=True, default=str)}" if self.recipe else self.name

    def step_of(self, ref: str) -> int | None:
        """Return after how many updates a network is, whatever it is opened with beside; None where it is none of these."""
        try:
            asked = _network(ref)
        except InputError:
            return None
        if _same(asked, _network(self.final or ref)) and self.final:
            return max(self.refs)
        if asked.get("seed") is None and "seed=" not in self.final and asked.scheme == "bundled":
            asked = asked.having("seed", str(self.settings["seed"]))
        return next((step for step, known in self.refs.items() if _same(asked, _network(known))), None)

    def read_as(self, ref: str) -> Series:
        """Return the same training with what another reference says of the inputs beside the image; itself where nothing changes."""
        chosen = tuple(pair for pair in Reference.parse(ref).options if pair[0] in FURTHER)

        def like(known: str) -> str:
            of = Reference.parse(known)
            return str(replace(of, options=(*(pair for pair in of.options if pair[0] not in FURTHER), *chosen)))

        changed = replace(self, refs={step: like(known) for step, known in self.refs.items()}, final=self.final and like(self.final))
        return self if changed == self else changed


def series_of(ref: str, further: Sequence[str] = ()) -> list[Series]:
    """Return the trainings that a network is known from.

    Parameters
    ----------
    ref
        ``bundled:NAME`` (all seeds whose checkpoints are in the box) or ``run:FOLDER``; of its options those
        are kept that choose inputs beside the image.
    further
        References of the same network from other trainings. A run that trains another one again, to keep more of it, is one with it
        where it was trained in the same precision and has the same weights after the last update that both keep.

    Raises
    ------
    InputError
        When there are no checkpoints of one of them, or it is a training of another network.
    """
    found: list[Series] = []
    for one in dict.fromkeys([ref, *further]):
        for series in _kept(Reference.parse(one)):
            if found and (differs := _differs(found[0], series)):
                raise InputError(f"{one} is no training of {found[0].final}: {differs}; give a run of the same network")
            again = next((at for at, known in enumerate(found) if _goes_on(known, series)), None)
            if again is not None:
                found[again] = replace(found[again], refs=dict(sorted((series.refs | found[again].refs).items())))
            elif series.final not in [known.final for known in found]:
                found.append(replace(series, name=_free_name(series, [known.name for known in found])))
    return [series.read_as(ref) for series in found]


def _kept(reference: Reference) -> list[Series]:
    """Return the trainings that one reference stands for, as of `series_of`."""
    if reference.scheme == "bundled" and reference.name in cards() and cards()[reference.name].early:
        card, found = cards()[reference.name], []
        for seed, early in card.early.items():
            refs = {step: f"bundled:{card.name}?step={step}&seed={seed}" for step in early.steps}
            published = int(seed) == card.parameters["seed"]
            final = f"bundled:{card.name}" if published else refs[max(refs)]
            settings = {**card.parameters, "seed": int(seed)}
            found.append(Series(f"seed {seed}", refs, early.logged, card.recipe, settings, final))
        return found
    folder = Path(reference.name).expanduser()
    if reference.scheme == "run" and (kept := checkpoints(folder)):
        refs = {step: f"run:{reference.name}?step={step}" for step in sorted(kept)}
        card, precision = read_card(folder), read_precision(folder)
        return [Series(folder.name, refs, read_log(folder), card.recipe, card.parameters, f"run:{reference.name}", precision)]
    raise InputError(f"no checkpoints are kept of {reference}; give bundled:inception, or run:FOLDER of a training")


def _differs(one: Series, other: Series) -> str:
    """Say why two trainings are not of the same network; empty where they are."""
    if one.recipe != other.recipe:
        return f"it follows the recipe {other.recipe} and not {one.recipe}"
    pairs = {name: (one.settings.get(name), other.settings.get(name)) for name in STRUCTURE}
    return ", ".join(f"its {name} is {its} and not {own}" for name, (own, its) in pairs.items() if own != its)


def _goes_on(known: Series, again: Series) -> bool:
    """Whether a run trains another run again, to keep more of it, and came to the same weights."""
    runs = known.final.startswith("run:") and again.final.startswith("run:") and known.final != again.final
    if not runs or known.trained != again.trained or known.precision != again.precision:
        return False
    shared = set(known.refs) & set(again.refs)
    return not shared or _alike(known.refs[max(shared)], again.refs[max(shared)])


def _alike(one: str, other: str) -> bool:
    """Whether two checkpoints of runs have the same weights but for rounding."""
    tensors = []
    for reference in map(Reference.parse, (one, other)):
        kept = checkpoints(Path(reference.name).expanduser())
        state, _ = read_state(kept[int(reference.get("step") or 0)])
        tensors.append({name: value.double() for name, value in state.items() if value.is_floating_point()})
    mine, its = tensors
    if {name: value.shape for name, value in mine.items()} != {name: value.shape for name, value in its.items()}:
        return False
    apart = sum(float((mine[name] - its[name]).square().sum()) for name in mine)
    return apart <= ALIKE**2 * sum(float(value.square().sum()) for value in mine.values())


def _free_name(series: Series, taken: Sequence[str]) -> str:
    """Return the name of a training, with more of its folder where another one has that name: results are told apart by it."""
    if series.name not in taken:
        return series.name
    name = "/".join(Path(Reference.parse(series.final).name).parts[-2:])
    return next(free for free in (name, *(f"{name} {number}" for number in range(2, len(taken) + 3))) if free not in taken)


def independent(series: Sequence[Series]) -> list[Series]:
    """Return trainings that differ in what decides how they go; of those that do not, the first: it would count twice."""
    return list({each.trained: each for each in reversed(series)}.values())[::-1]


def _network(ref: str) -> Reference:
    """Return a reference without what does not change which training and which update it is of."""
    found = Reference.parse(ref)
    for option in (TWIN, DIRECTIONS, *FURTHER):
        found = found.without(option)
    return found


def _same(one: Reference, other: Reference) -> bool:
    """Whether two references open the same network, in whichever order their options stand."""
    return (one.scheme, one.name, dict(one.options)) == (other.scheme, other.name, dict(other.options))
