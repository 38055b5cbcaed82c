"""High-low frequency detectors: whether a network has any, and their kernels, written by hand from fine and coarse units before them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, product
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from workbench.analyses.analysis import Analysis, Result, register
from workbench.analyses.hand_coding import figures
from workbench.analyses.hand_coding.directed import (
    DEEPEST,
    Found,
    Half,
    Selectivity,
    Tell,
    Writer,
    one_layer,
    search,
    selectivity,
    unwritable,
    written_layers,
)
from workbench.analyses.hand_coding.ground import Responses, Stimuli, strongest
from workbench.finite import plain
from workbench.images.stimuli import Gratings, HighLow
from workbench.input_error import InputError
from workbench.models.kernel_site import KernelSite, with_kernels
from workbench.models.layer import Unit
from workbench.models.receptive_field import receptive_field
from workbench.task import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from workbench.images.image_set import ImageSet
    from workbench.models.traced_model import TracedModel

AROUND = 12
"""Sides that the fine texture is on, around the circle."""
FINE = (1.0, 0.75, 1.25)
"""Cycles a cell of the layer (a position of it), of the fine texture; where a cell is smaller than `FINEST` pixels, of that."""
FINEST, COARSER = 4.0, 4.0
"""The latter: how many times coarser the coarse texture is."""
OTHER = 1.1
"""Of the frequencies that units are scored with, beside those that they are chosen by."""
HALVES: tuple[Mapping[str, Sequence[float]], Mapping[str, Sequence[float]]] = (
    {"stripes": (0.0, 90.0), "phase": (0.0, 180.0)},
    {"stripes": (45.0, 135.0), "phase": (90.0, 270.0)},
)
"""Directions of the stripes from that of the boundary, and phases, that units are chosen by, and those they are scored on."""
MIDDLE = 0.25
"""Of the positions along each axis: those where the boundary passes."""
FIELD = 4
"""Cells that a unit has to see, at least: a coarse wave."""
GRID: Mapping[str, Sequence[float]] = {"turn": (-20.0, 0.0, 20.0), "softness": (0.3, 1.0, 3.0)}
"""What is tried of each parameter; `turn` is added to the side that the unit prefers on the stimuli that it is chosen by."""
SHARES, OFTEN = np.linspace(0.05, 1, 20), 0.8
"""Parts of a unit's response that are tried as an ideal detector's; how often such units have to be found."""


@register
class HandCodedHighLow(Analysis):
    """Find the units that prefer fine texture on one side and coarse on the other, and write each from fine and coarse units before it.

    A unit's response to a boundary is what it gives above 0 before its non-linearity: the largest of the positions near it, and the mean
    over stripes of two directions and phases. What counts of it is above its mean response to the fine and to the coarse texture alone,
    whichever is larger.
    The score is the length of the vector sum of that around the circle over the total response: an ideal detector (a cosine of the side,
    nothing on one texture) has 0.79, an edge or line detector, and one of fine or of coarse texture, about 0. Frequencies and side are
    chosen on one set of stimuli, the score is what points there on another, of other sides, frequencies, phases and directions of stripes.
    A unit is a detector where that is above the score of every unit of every random-weight twin (a maximum over units, layers and twins).

    ``visible`` is the smallest effect that this could have seen: of the units of the layer that are no detectors, each weakened and with an
    ideal detector of some side added, four of five are found from there on. It is what the added response has of the mean square of both
    together, the median over units. None: not even ideal ones (or every unit is one).

    Where no layer is named, those of the first with kernels of 3 x 3 and more over units are looked through, and where there are none of
    these, of the first that see a coarse wave; that with most detectors is reported. There the units with the highest score are written by
    the template over the frequencies that the units before them like, as `HandCodedCurves` writes curves: no image and no weight is used,
    and nothing of the stimuli that scores and ``held_out`` are of, not for the side either (``prefers`` is of all stimuli and says only
    what the unit does). ``highest`` is the highest score in any of the layers.
    Where a kernel of the layer cannot be such a pattern, ``unwritable`` says why, and units have no ``edit``.

    Arrays; u a unit of the summary's ``units``:

    ``kernel/U``
        float32 ``channel y x``, its scale and offset not fitted yet (`HandCoding` does that).
    ``own_map`` ``hand_map``
        float64 ``u frequency side``: response to boundaries, of the unit before its non-linearity and of the kernel.
    ``score`` ``twin_score``
        float64 ``u``, ``twin``: the highest of each twin.
    ``scores/LAYER``
        float64: of all units of each layer that was looked through, NaN where a unit does nothing.
    """

    title: ClassVar[str] = "Hand-coded high-low frequency detectors"
    version: ClassVar[int] = 2

    layer: str = Field(default="", description="Layer of the detectors; none: the one of the first layers that has most.")
    number: int = Field(default=12, ge=1, le=256, description="Units that are written, those with the highest score.")
    scales: int = Field(default=3, ge=1, le=len(FINE), description="Pairs of frequencies that are shown.")
    twins: int = Field(default=20, ge=1, le=100, description="Random-weight twins.")
    seed: int = Field(default=0, ge=0, lt=2**31, description="Of the first twin.")

    def compute(
        self, model: TracedModel, images: ImageSet | None, task: Task
    ) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Choose layer and units, then write them where that can be."""
        layers = [one_layer(model, self.layer)] if self.layer else written_layers(model) or seeing_layers(model)
        if not layers:
            raise InputError(f"{model.name} has no units of convolutions among its first layers that see enough; name a layer")
        total = self.twins + 2 + self.number

        def told(done: int) -> None:
            task.step(done, total, note="looking for high-low frequency detectors, here and in random-weight twins")

        def measure(network: TracedModel, names: Sequence[str], tell: Tell) -> dict[str, Selectivity]:
            return {name: selectivity(*halves) for name, halves in halves_of(network, names, self.scales, tell).items()}

        halves = halves_of(model, layers, self.scales, lambda _: told(0))
        own = {name: selectivity(*pair) for name, pair in halves.items()}
        found = search(model, own, measure, self.number, self.twins, self.seed, told)
        scores = own[found.layer]
        rows: list[dict[str, Any]] = [
            {
                "unit": f"{found.layer}:{unit}",
                "score": plain(float(scores.score[unit])),
                "prefers": float(scores.prefers[unit]),
                "beyond": bool(scores.score[unit] > found.bar),
            }
            for unit in found.units
        ]
        reason, arrays = self._write(model, found, rows, task)
        arrays |= {f"scores/{name}": one.score for name, one in own.items()}
        arrays |= {"score": scores.score[found.units], "twin_score": found.highest}
        site, _ = KernelSite.of(model, Unit(found.layer, 0))
        shown = pairs(model, found.layer, self.scales)
        return arrays, {
            "layer": found.layer,
            "looked_through": {name: model.layer(name).units for name in layers},
            "reads": site.reads,
            "beyond_twins": found.beyond[found.layer],
            "beyond_twins_of": found.beyond,
            "highest": found.most,
            "twin_highest": found.bar,
            "twins": self.twins,
            "visible": visible(*halves[found.layer], found.bar),
            "frequencies": [[plain(value) for value in pair] for pair in shown],
            "unwritable": reason,
            "network": model.name,
            "units": rows,
        }

    def _write(
        self, model: TracedModel, found: Found, rows: list[dict[str, Any]], task: Task
    ) -> tuple[str, dict[str, npt.NDArray[Any]]]:
        """Write the units, adding to their rows; return why it cannot be, and the arrays."""
        site, _ = KernelSite.of(model, Unit(found.layer, 0))
        if reason := unwritable(model, site):
            return reason, {}
        chosen, others = ([stimuli for one in stimuli_of(model, found.layer, self.scales, half) for stimuli in one] for half in (0, 1))
        writer = Writer.of(model, found.layer, "high_low_frequency", chosen, others, task)
        limits = list(combinations(np.unique(writer.ground.frequencies[np.isfinite(writer.ground.frequencies)]).tolist(), 2))
        if not limits:
            return f"the units of {site.reads} that it reads do not differ in the frequency they like", {}
        task.step(self.twins + 1, self.twins + 2 + self.number, note="writing kernels")
        arrays: dict[str, npt.NDArray[Any]] = {}
        maps, edits = [], []
        for place, (unit, row) in enumerate(zip(found.units, rows, strict=True)):
            own = Unit(found.layer, unit)
            edit, alike, held_out = writer.edit(own, writer.best(own, _grid(float(found.own[found.layer].chosen[unit]), limits)))
            arrays[f"kernel/{place}"] = edit.kernel
            edits.append(edit)
            maps.append([_by_side(one, self.scales) for one in writer.largest(writer.fitting, edit)])
            row |= {"parameters": dict(edit.parameters), "correlation": plain(alike), "held_out": plain(held_out), "edit": edit.document()}
            task.step(self.twins + 2 + place, self.twins + 2 + self.number, note="writing kernels")
        by_hand = halves_of(with_kernels(model, edits), [found.layer], self.scales, lambda _: None)[found.layer]
        for unit, row in zip(found.units, rows, strict=True):
            row["score_by_hand"] = plain(float(selectivity(*by_hand).score[unit]))
        arrays |= {name: np.stack([pair[which] for pair in maps]) for which, name in enumerate(("own_map", "hand_map"))}
        return "", arrays

    @classmethod
    def draw(cls, result: Result) -> dict[str, Figure]:
        """Draw the scores beside those of twins, and what each unit and each kernel does on boundaries of every side."""
        drawn = {"scores": figures.scores(result)}
        return drawn | ({"boundaries": figures.boundary_maps(result)} if "own_map" in result.arrays else {})


def seeing_layers(model: TracedModel) -> list[str]:
    """Return the first layers of convolutions of units, behind a non-linearity, that see at least `FIELD` cells."""
    found: list[str] = []
    for layer in model.layers.values():
        if layer.role != "post" or not layer.is_map or len(found) == DEEPEST:
            continue
        try:
            site, _ = KernelSite.of(model, Unit(layer.name, 0))
        except InputError:  # made by something else
            continue
        field, cell = receptive_field(model, layer), max(model.preprocessing.size) / max(layer.positions)
        reads_units = site.ground(model).over == "family"
        if site.post == layer.name and reads_units and min(field.height, field.width) >= FIELD * cell:
            found.append(layer.name)
    return found


def pairs(model: TracedModel, layer: str, scales: int) -> list[tuple[float, float]]:
    """Return fine and coarse frequencies for a layer, in cycles a side."""
    finest = min(min(model.layer(layer).positions), min(model.preprocessing.size) / FINEST)
    return [(finest * factor, finest * factor / COARSER) for factor in FINE[:scales]]


def stimuli_of(model: TracedModel, layer: str, scales: int, half: int) -> tuple[list[Stimuli], list[Stimuli]]:
    """Return boundaries, ``frequency side stripes phase``, and textures, ``frequency fine-or-coarse direction phase``, of one half."""
    boundaries, textures = [], []
    turned, times = (180 / AROUND, OTHER) if half else (0.0, 1.0)
    for fine, coarse in pairs(model, layer, scales):
        sides = turned + 360 / AROUND * np.arange(AROUND)
        boundaries.append(HighLow().grid(orientation=sides, **HALVES[half], high=times * fine, low=times * coarse))
        stripes = turned + 45.0 * np.arange(4)
        textures.append(Gratings().grid(frequency=[times * fine, times * coarse], orientation=stripes, phase=HALVES[half]["phase"]))
    return [(HighLow(), np.concatenate(boundaries))], [(Gratings(), np.concatenate(textures))]


def halves_of(model: TracedModel, layers: Sequence[str], scales: int, tell: Tell) -> dict[str, tuple[Half, Half]]:
    """Show both halves of the stimuli; layers of as many positions see the same ones."""
    found: dict[str, list[Half]] = {name: [] for name in layers}
    grids = {name: tuple(model.layer(name).positions) for name in layers}
    for grid, half in product(dict.fromkeys(grids.values()), (0, 1)):
        alike = [name for name in layers if grids[name] == grid]
        sites = [KernelSite.of(model, Unit(name, 0))[0].pre for name in alike]
        shown: list[list[Responses]] = []
        for ((family, table),) in stimuli_of(model, alike[0], scales, half):
            shown.append(strongest(model, sites, family, table, tell, MIDDLE))
        angles = np.deg2rad((180 / AROUND if half else 0.0) + 360 / AROUND * np.arange(AROUND))
        for name, boundary, texture in zip(alike, *shown, strict=True):
            even = texture.clip(0).reshape(scales, 2, -1, texture.shape[1]).mean(2).max(1)
            found[name].append(Half(angles, boundary.clip(0).reshape(scales, AROUND, -1, boundary.shape[1]).mean(2), even))
    return {name: (first, second) for name, (first, second) in found.items()}


def visible(first: Half, second: Half, bar: float) -> float | None:
    """Return how much an ideal detector must add to the units that are none for `OFTEN` of them to be found; None: not even all.

    How much is the mean square of what is added over that of the sum, the median over units. The ideal detector of each unit is of another
    side, answers to a boundary as the cosine of the side does, and to no texture; the unit's own response is weakened as it grows.
    """
    units = first.response.shape[2]
    sides = np.pi * (3 - np.sqrt(5)) * np.arange(units)  # spread evenly
    size = np.sqrt(np.square(first.response).mean((0, 1)))
    none_yet = (size > 0) & ~(selectivity(first, second).score > bar)
    if not none_yet.any():
        return None
    for share in SHARES:
        mixed, added = [], np.zeros(units)
        for half in (first, second):
            ideal = np.cos(half.angles[:, None] - sides).clip(0)
            ideal = ideal * size / np.sqrt(np.square(ideal).mean(0))
            mixed.append(Half(half.angles, np.sqrt(1 - share) * half.response + np.sqrt(share) * ideal, np.sqrt(1 - share) * half.even))
            added += share * np.square(ideal).mean(0)
        if (selectivity(*mixed).score[none_yet] > bar).sum() >= OFTEN * none_yet.sum():
            whole = sum(np.square(one.response).mean((0, 1)) for one in mixed)
            return round(float(np.median((added / whole)[none_yet])), 2)
    return None


def _grid(side: float, limits: Sequence[tuple[float, float]]) -> list[dict[str, float]]:
    """Return all that is tried for a unit of a side, over units that like these frequencies."""
    return [
        {"orientation": (side + turn) % 360, "softness": softness, "low": low, "high": high}
        for turn, softness in product(*GRID.values())
        for low, high in limits
    ]


def _by_side(largest: Responses, scales: int) -> Responses:
    """Return the mean response above 0 to the boundaries of all that was shown, ``frequency side``."""
    number = AROUND * len(HALVES[0]["stripes"]) * len(HALVES[0]["phase"])
    mean: Responses = largest[: scales * number].clip(0).reshape(scales, AROUND, -1).mean(2)
    return mean
