"""The layers of weights that motifs are searched in, with what is known of the units they read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from torch import Tensor

from workbench.analyses.motifs.activity import Activity
from workbench.analyses.motifs.families import Part, Relations, of_input, relations, unknown
from workbench.analyses.motifs.null import Rows
from workbench.input_error import InputError
from workbench.models.adjacent import Adjacent, adjacent_layers, kernels_between
from workbench.models.affine import layer_of
from workbench.models.expanded import asked_of, parts_of
from workbench.models.layer import Unit
from workbench.task import Part as TaskPart

if TYPE_CHECKING:
    from workbench.models.traced_model import TracedModel

COMMON = 0.5
"""Cosine of weights in any turn, or correlation on images, from which on two units have something in common."""


@dataclass(frozen=True, eq=False)
class Weights:
    """One layer of weights.

    Attributes
    ----------
    kernels
        As they are; of units that are no numbers 0.
    rows, columns
        Units of the target and of the source that can be judged: not dead, with weights, and numbers.
    weight
        What a kernel counts, by its source: standard deviation of the activation, or 1; 0 where it is dead.
    common
        Which two of the source's units have something in common.
    families
        Families of the source's units, dead ones left out.
    broken
        Target units with weights that are no numbers.
    """

    pair: Adjacent
    kernels: Rows
    rows: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]
    weight: npt.NDArray[np.float32]
    common: npt.NDArray[np.bool_]
    families: tuple[tuple[int, ...], ...]
    broken: frozenset[int]

    def unit(self, row: int) -> str:
        """Return the address of a target unit, by its place in the kernels."""
        return str(Unit(self.pair.target, self.pair.first + int(row)))

    def input(self, column: int) -> str:
        """Return the address of a source unit."""
        return str(Unit(self.pair.source, int(column)))

    def edge(self, column: int, row: int) -> list[object]:
        """Return source, target and the sum of the kernel from one to the other."""
        return [self.input(column), self.unit(row), float(self.kernels[row, column].sum())]

    @property
    def judged(self) -> Rows:
        """Kernels of the units that can be judged, each unit's of length 1."""
        kept = self.kernels[np.ix_(self.rows, self.columns)]
        length = np.sqrt(np.einsum("tsyx,tsyx->t", kept, kept))
        return (kept / np.where(length > 0, length, 1)[:, None, None, None]).astype(np.float32)


def chosen_pairs(model: TracedModel, source: str, targets: Sequence[str]) -> tuple[list[Adjacent], set[Adjacent]]:
    """Return every layer of weights, and those motifs are searched in.

    Parameters
    ----------
    source
        A layer however far before the targets; empty for what each of them reads.
    targets
        Layers by any of their names; none for all.
    """
    pairs = adjacent_layers(model.graph)
    if not pairs:
        raise InputError(f"{model.name} has no convolution or linear layer")
    if source and not targets:
        raise InputError("a source needs targets: name the layers that read it")
    if source:
        far = set()
        for name in targets:
            first, asked, units = asked_of(model, source, name, ())
            for part in parts_of(model, asked, units):
                if model.graph.node(part.layer.name) in model.graph.downstream([first.name]):
                    far.add(Adjacent(first.name, asked.name, first.name, part.layer.name, part.rows[0], len(part.rows), 1, False))
        if not far:
            raise InputError(f"no unit of {', '.join(targets)} is built from {source}; choose an earlier source")
        return pairs, far
    if not targets:
        return pairs, set(pairs)
    found: set[Adjacent] = set()
    for name in targets:
        wanted = model.layer(name).name
        own = [pair for pair in pairs if wanted in (pair.target, pair.makes) or _is_part(model, wanted, pair)]
        if not own:
            some = ", ".join(dict.fromkeys(pair.target for pair in pairs[:4]))
            raise InputError(f"{wanted} is not what a layer of weights makes; choose one such as {some}")
        found |= set(own)
    return pairs, found


def _is_part(model: TracedModel, layer: str, pair: Adjacent) -> bool:
    """Whether a layer is between a pair's sum and its target, such as a branch of a concatenation."""
    node = model.graph.node(layer)
    between = node is model.graph.node(pair.makes) or node in model.graph.downstream([pair.makes])
    return between and model.graph.node(pair.target) in model.graph.downstream([layer]) and _units(model, layer) == pair.units


def _units(model: TracedModel, layer: str) -> int:
    return layer_of(model.graph, model.graph.node(layer)).units


def read_kernels(
    model: TracedModel, pairs: Sequence[Adjacent], far: bool, inputs: Sequence[tuple[Tensor, ...]], task: TaskPart
) -> list[npt.NDArray[np.float32]]:
    """Take the weights of every pair; through non-linearities, with their mean slopes, where they are `far` apart."""
    found, total = [], sum(pair.units for pair in pairs)
    done = 0
    for pair in pairs:
        note = f"weights from {pair.source} to {pair.target}"
        small = [tuple(value[:1] for value in inputs[0])]

        def tell(more: int, done: int = done, note: str = note) -> None:
            task.step(done + more, total, note=note)

        found.append(kernels_between(model, pair, inputs if far else small, "derivative" if far else "one", tell))
        done += pair.units
        tell(pair.units)
    return found


def related(
    model: TracedModel, pairs: Sequence[Adjacent], kernels: Sequence[npt.NDArray[np.float32]], wanted: set[str], seed: int, task: TaskPart
) -> dict[str, Relations]:
    """Say what the units of every layer that is read are to one another, from the image on.

    Only layers that some wanted one depends on are looked at.
    """
    made: dict[str, list[int]] = {}
    for place, pair in enumerate(pairs):
        made.setdefault(pair.target, []).append(place)
    needed, waiting = set(), list(wanted)
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting.extend(pairs[place].source for place in made.get(name, ()))
    first = model.graph.name(model.graph.inputs[0])
    found = {first: of_input(_units(model, first))} if model.sees else {}
    ordered = [name for name in made if name in needed]
    for done, name in enumerate(ordered):
        task.step(done, len(ordered), note=f"families of {name}")
        units = _units(model, name)
        parts = []
        for place in made[name]:
            pair = pairs[place]
            source = found.get(pair.source) or unknown(kernels[place].shape[1])
            if kernels[place].shape[1] == source.turned.shape[1]:
                parts.append(Part(pair.first, _cleaned(kernels[place])[0], source))
        found[name] = relations(units, parts, seed) if parts else unknown(units)
    return found


def _cleaned(kernels: Rows) -> tuple[Rows, npt.NDArray[np.bool_]]:
    """Return kernels with 0 for every unit that is no number, and which units are numbers: one that is broken leaves the others theirs."""
    finite = np.isfinite(kernels).all((1, 2, 3))
    return np.where(finite[:, None, None, None], kernels, 0).astype(np.float32), finite


def judge(pair: Adjacent, kernels: Rows, activity: Activity, known: Relations | None, weighted: bool) -> Weights:
    """Set apart what can be judged, and say which inputs have something in common."""
    cleaned, finite = _cleaned(kernels)
    std = np.where(np.isfinite(activity.std), activity.std, 0).astype(np.float32)
    columns = np.flatnonzero(std > 0)
    rows = np.flatnonzero(finite & (np.abs(cleaned[:, columns]).max((1, 2, 3), initial=0) > 0))
    common = activity.correlation >= COMMON
    families: tuple[tuple[int, ...], ...] = ()
    if known is not None and known.alike.shape == common.shape:
        common = common | (known.alike >= COMMON)
        alive = set(columns.tolist())
        families = tuple(left for family in known.families if len(left := tuple(unit for unit in family if unit in alive)) > 1)
    weight = std if weighted else (std > 0).astype(np.float32)
    return Weights(pair, cleaned, rows, columns, weight, common, families, frozenset(np.flatnonzero(~finite).tolist()))
