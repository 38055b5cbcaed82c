"""The curve detectors of a network, written by hand as tangents along an arc: which they are, and the kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from workbench.analyses.analysis import Analysis, Result, register
from workbench.analyses.hand_coding import figures
from workbench.analyses.hand_coding.directed import (
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
from workbench.analyses.hand_coding.ground import CHROMA, LIGHTNESS, Stimuli, strongest
from workbench.finite import plain
from workbench.images.stimuli import Curves, Lines
from workbench.images.stimulus import Table
from workbench.input_error import InputError
from workbench.models.kernel_site import KernelSite
from workbench.models.layer import Unit
from workbench.task import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from workbench.images.image_set import ImageSet
    from workbench.models.traced_model import TracedModel

AROUND = 24
"""Curves around the circle."""
RADII = (0.1, 0.2, 0.35)
HELD_OUT = (0.14, 0.28)
"""Of the side: radii that detectors are chosen and kernels fitted on, and those they are scored on."""
GRID: Mapping[str, Sequence[float]] = {
    "turn": (-15.0, 0.0, 15.0),
    "radius": (1.5, 2.5, 4.0, 8.0, 20.0),
    "echo": (0.0, 0.5, 1.0),
    "across": (0.0, 0.35, 0.8),
    "sharpness": (2.0, 6.0),
}
"""What is tried of each parameter; `turn` is added to the direction that the unit prefers."""
COLOURS = (0.5, 1.0)
MIDDLE = 0.25
"""Of the positions along each axis: those where the middle of the curve passes."""


@register
class HandCodedCurves(Analysis):
    """Find the units that prefer one direction of curve, and write each as tangent detectors along an arc, from stimuli alone.

    A unit's score is the length of the vector sum of its responses (what is above 0 before the non-linearity, over all radii) to curves
    around the circle over their total: 1 if it answers to one direction alone, 0 if to all alike. Polarity and direction are chosen on
    every second stimulus; the score is the part of the others' sum that points there, for units that answer to both halves. It is a curve
    detector where the score is above that of every unit of every random-weight twin (a maximum over all units, layers and twins). Where no
    layer is named, the one with most of them is taken; where there are not enough, the highest scores fill up, and the summary says how
    many are ``beyond_twins``.

    What a kernel reads are units as well: which line each detects is measured with lines of every direction and colour (`ground`). The
    template's direction is the unit's own, radius and weights are the best of a grid by the correlation with what the unit gives on black
    and white curves and lines; with `colour` also on coloured ones, of which the hue is chosen too. No image and no weight is used.

    Arrays; u a unit of the summary's ``units``:

    ``kernel/U``
        float32 ``channel y x``, its scale and offset not fitted yet (`HandCoding` does that).
    ``own_map`` ``hand_map``
        float64 ``u radius direction``: largest response to black curves, of the unit before its non-linearity and of the kernel.
    ``score`` ``twin_score``
        float64 ``u``, ``twin``: the highest of each twin.
    """

    title: ClassVar[str] = "Hand-coded curve detectors"
    version: ClassVar[int] = 1

    layer: str = Field(default="", description="Layer of the curve detectors; none: the one of the first layers that has most.")
    colour: bool = Field(default=True, description="Weigh line detectors by the hue they respond to as well.")
    number: int = Field(default=12, ge=1, le=256, description="Units that are written, those with the highest score.")
    twins: int = Field(default=20, ge=1, le=100, description="Random-weight twins.")
    seed: int = Field(default=0, ge=0, lt=2**31, description="Of the first twin.")

    def compute(
        self, model: TracedModel, images: ImageSet | None, task: Task
    ) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Choose layer and units, then write them."""
        layers = [one_layer(model, self.layer)] if self.layer else written_layers(model)
        if not layers:
            raise InputError(f"{model.name} has no kernels of 3 x 3 or more over units among its first layers; name a layer")
        if reason := unwritable(model, KernelSite.of(model, Unit(layers[0], 0))[0]):
            raise InputError(f"{layers[0]} cannot be written: {reason}; choose another layer")
        total = self.twins + 2 + self.number

        def told(done: int) -> None:
            task.step(done, total, note="looking for curve detectors, here and in random-weight twins")

        own = scores_of(model, layers, lambda _: told(0))
        found = search(model, own, scores_of, self.number, self.twins, self.seed, told)
        layer, units = found.layer, found.units
        black: Stimuli = (Curves(), _curves(RADII))
        writer = Writer.of(model, layer, "curve", [black, *self._fitting()], _held_out(), task)
        shown = writer.fitting.first(len(black[1]))
        task.step(self.twins + 1, total, note="writing kernels")
        rows, maps = [], []
        arrays: dict[str, npt.NDArray[Any]] = {}
        for place, unit in enumerate(units):
            parameters = self._parameters(writer, Unit(layer, unit), float(own[layer].prefers[unit]))
            edit, alike, held_out = writer.edit(Unit(layer, unit), parameters)
            arrays[f"kernel/{place}"] = edit.kernel
            maps.append([one.reshape(len(RADII), AROUND) for one in writer.largest(shown, edit)])
            rows.append(
                {
                    "unit": edit.address,
                    "score": plain(float(own[layer].score[unit])),
                    "prefers": float(own[layer].prefers[unit]),
                    "parameters": dict(edit.parameters),
                    "correlation": plain(alike),
                    "held_out": plain(held_out),
                    "edit": edit.document(),
                }
            )
            task.step(self.twins + 2 + place, total, note="writing kernels")
        arrays |= {name: np.stack([pair[which] for pair in maps]) for which, name in enumerate(("own_map", "hand_map"))}
        arrays |= {"score": own[layer].score[units], "twin_score": found.highest}
        return arrays, {
            "layer": layer,
            "reads": writer.site.reads,
            "line_detectors": int(np.isfinite(writer.ground.angles).sum()),
            "read_units": writer.ground.channels,
            "beyond_twins": found.beyond[layer],
            "beyond_twins_of": found.beyond,
            "twin_highest": found.bar,
            "twins": self.twins,
            "colour": self.colour,
            "radii": list(RADII),
            "radii_held_out": list(HELD_OUT),
            "network": model.name,
            "units": rows,
        }

    def _fitting(self) -> list[Stimuli]:
        """Return what parameters are chosen by, beside black curves."""
        lines: list[Stimuli] = [
            (Lines(), Lines().grid(orientations=16)),
            (Lines(), Lines().grid(orientations=16, ink_lightness=1.0, ground_lightness=0.0)),
        ]
        hued = {"ink_hues": 8, "orientations": 12, "ink_lightness": LIGHTNESS, "ink_chroma": CHROMA, "ground_lightness": LIGHTNESS}
        coloured: list[Stimuli] = [(Curves(), Curves().grid(radius=0.2, **hued))] if self.colour else []
        return [(Curves(), _curves(RADII, white=True)), *lines, *coloured]

    def _parameters(self, writer: Writer, unit: Unit, prefers: float) -> dict[str, float]:
        """Return the best of the grid, then the best hue."""
        best = writer.best(unit, _grid(prefers))
        if self.colour:
            hues = [{**best, "colour": amount, "hue": float(hue)} for amount, hue in product(COLOURS, writer.ground.hues)]
            best = writer.best(unit, [best, *hues])
        return best

    @classmethod
    def draw(cls, result: Result) -> dict[str, Figure]:
        """Draw what each unit and each kernel does on curves of every radius and direction."""
        return {"curves": figures.curve_maps(result)}


def scores_of(model: TracedModel, layers: Sequence[str], tell: Tell) -> dict[str, Selectivity]:
    """Measure layers; polarity and direction are chosen on every second direction and scored on the others."""
    sites = [KernelSite.of(model, Unit(layer, 0))[0].pre for layer in layers]
    shown = [strongest(model, sites, Curves(), _curves(RADII, white=white), tell, MIDDLE) for white in (False, True)]
    angles = np.linspace(0, 2 * np.pi, AROUND, endpoint=False)
    found = {}
    for layer, pair in zip(layers, zip(*shown, strict=True), strict=True):
        # Over all radii: polarity direction unit.
        response = np.stack([one.reshape(len(RADII), AROUND, -1).clip(0).sum(0) for one in pair])
        halves = (Half(angles[part], response[:, part]) for part in (slice(0, None, 2), slice(1, None, 2)))
        found[layer] = selectivity(*halves)
    return found


def _held_out() -> list[Stimuli]:
    """Return what no parameter is chosen by."""
    return [(Curves(), _curves(HELD_OUT, white=white)) for white in (False, True)]


def _curves(radii: Sequence[float], white: bool = False, **more: float) -> Table:
    inks = {"ink_lightness": 1.0, "ground_lightness": 0.0} if white else {}
    return Curves().grid(radius=list(radii), orientations=AROUND, **inks, **more)


def _grid(prefers: float) -> list[dict[str, float]]:
    """Return all that is tried for a unit that prefers a direction."""
    tried = [dict(zip(GRID, values, strict=True)) for values in product(*GRID.values())]
    return [{"orientation": (prefers + one["turn"]) % 360, **{name: one[name] for name in one if name != "turn"}} for one in tried]
