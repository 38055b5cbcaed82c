"""The curve detectors of a network, written by hand as tangents along an arc: which they are, and the kernels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor

from workbench.analyses.analysis import Analysis, Result, register
from workbench.analyses.hand_coding import figures
from workbench.analyses.hand_coding.ground import CHROMA, LIGHTNESS, measured_ground, strongest, values
from workbench.finite import plain
from workbench.images.stimuli import Curves, Lines
from workbench.images.stimulus import StimulusFamily, Table
from workbench.input_error import InputError
from workbench.kernel_edits import KernelEdit
from workbench.kernel_ground import Ground
from workbench.kernel_templates import template
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
LIVELY = 0.2
"""Of the layer's median response: units that respond less to every curve are asked nothing."""
DEEPEST = 5
"""Layers with kernels that are looked through where none is named."""
Responses = npt.NDArray[np.float64]


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
        layers = [model.layer(self.layer).name] if self.layer else written_layers(model)
        if not layers:
            raise InputError(f"{model.name} has no kernels of 3 x 3 or more over units among its first layers; name a layer")
        site, _ = KernelSite.of(model, Unit(layers[0], 0))
        if layers[0] not in (site.pre, site.post):
            raise InputError(f"{layers[0]} joins several layers, and only one of them would be looked at; choose one, such as {site.post}")
        if site.groups > 1:
            raise InputError(f"{layers[0]} has grouped kernels, which do not read the same units; choose a layer without groups")
        total = self.twins + 2 + self.number
        own = {name: scores_of(model, name, lambda: task.step(0, total, note="looking for curve detectors")) for name in layers}
        highest = np.empty(self.twins)
        for place in range(self.twins):
            twin = model.twin(self.seed + place)
            highest[place] = max(float(np.nanmax(scores_of(twin, name, _silent).score, initial=0.0)) for name in layers)
            task.step(place + 1, total, note="asking random-weight twins")
        beyond = {name: int((found.score > highest.max()).sum()) for name, found in own.items()}
        layer = max(layers, key=lambda name: (beyond[name], float(np.sort(np.nan_to_num(own[name].score))[-self.number :].mean())))
        units = np.argsort(-np.nan_to_num(own[layer].score, nan=-1.0), kind="stable")[: self.number].tolist()
        writer = Writer.of(model, layer, units[0], self.colour, task)
        task.step(self.twins + 1, total, note="writing kernels")
        rows, maps = [], []
        arrays: dict[str, npt.NDArray[Any]] = {}
        for place, unit in enumerate(units):
            edit, alike, held_out = writer.written(Unit(layer, unit), float(own[layer].prefers[unit]))
            arrays[f"kernel/{place}"] = edit.kernel
            maps.append(writer.maps(edit))
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
        arrays |= {"score": own[layer].score[units], "twin_score": highest}
        return arrays, {
            "layer": layer,
            "reads": writer.site.reads,
            "line_detectors": int(np.isfinite(writer.ground.angles).sum()),
            "read_units": writer.ground.channels,
            "beyond_twins": int(beyond[layer]),
            "beyond_twins_of": beyond,
            "twin_highest": float(highest.max()),
            "twins": self.twins,
            "colour": self.colour,
            "radii": list(RADII),
            "radii_held_out": list(HELD_OUT),
            "network": model.name,
            "units": rows,
        }

    @classmethod
    def draw(cls, result: Result) -> dict[str, Figure]:
        """Draw what each unit and each kernel does on curves of every radius and direction."""
        return {"curves": figures.curve_maps(result)}


def written_layers(model: TracedModel) -> list[str]:
    """Return the first layers behind a non-linearity whose kernels reach over more than one position of units."""
    found = []
    for layer in model.layers.values():
        if layer.role != "post" or len(layer.positions) != 2:
            continue
        try:
            site, _ = KernelSite.of(model, Unit(layer.name, 0))
        except InputError:  # made by something else
            continue
        ground = site.ground(model)
        if site.post == layer.name and ground.over == "family" and min(ground.side) > 1 and site.groups == 1:
            found.append(layer.name)
    return found[:DEEPEST]


@dataclass(frozen=True, eq=False)
class Selectivity:
    """How much each unit prefers one direction of curve, 0 to 1 (NaN where it does nothing), and which (degrees)."""

    score: Responses
    prefers: Responses


def scores_of(model: TracedModel, layer: str, tell: Callable[[], None]) -> Selectivity:
    """Measure a layer; polarity and direction are chosen on every second direction and scored on the others."""
    site, _ = KernelSite.of(model, Unit(layer, 0))
    tables = [_curves(RADII), _curves(RADII, white=True)]
    found = [strongest(model, site.pre, Curves(), table, lambda _done: tell(), MIDDLE).reshape(len(RADII), AROUND, -1) for table in tables]
    response = np.stack([part.clip(0).sum(0) for part in found])  # over all radii: polarity direction unit
    angles = np.linspace(0, 2 * np.pi, AROUND, endpoint=False)
    halves = [_vector(response[:, part], angles[part]) for part in (slice(0, None, 2), slice(1, None, 2))]
    best = np.nan_to_num(np.abs(halves[0]), nan=-1.0).argmax(0)
    at = np.arange(response.shape[2])
    chosen, scored = (half[best, at] for half in halves)
    most = np.minimum(response[:, 0::2].max(1), response[:, 1::2].max(1))[best, at]
    lively = most > LIVELY * np.median(response.max(1)[best, at])
    with np.errstate(invalid="ignore"):
        agreed = np.real(scored * np.exp(-1j * np.angle(chosen)))
    whole = np.einsum("d,cdu->cu", np.exp(1j * angles), response)[best, at]
    return Selectivity(np.where(lively, agreed, np.nan), np.rad2deg(np.angle(whole)) % 360)


def _vector(response: Responses, angles: Responses) -> npt.NDArray[np.complex128]:
    with np.errstate(invalid="ignore", divide="ignore"):
        vector: npt.NDArray[np.complex128] = np.einsum("d,cdu->cu", np.exp(1j * angles), response) / response.sum(1)
    return vector


def _curves(radii: Sequence[float], white: bool = False, **more: float) -> Table:
    inks = {"ink_lightness": 1.0, "ground_lightness": 0.0} if white else {}
    return Curves().grid(radius=list(radii), orientations=AROUND, **inks, **more)


def _silent() -> None:
    """Tell nobody."""


@dataclass(frozen=True, eq=False)
class Shown:
    """What the layer that is read, and the units, give on some stimuli, at the middle of the image."""

    source: Tensor
    wanted: Tensor


@dataclass(frozen=True, eq=False)
class Writer:
    """Writes the units of one layer, from what it and the layer it reads do on stimuli."""

    model: TracedModel
    site: KernelSite
    ground: Ground
    fitting: Shown
    held_out: Shown
    black: Shown
    colour: bool

    @classmethod
    def of(cls, model: TracedModel, layer: str, unit: int, colour: bool, task: Task) -> Writer:
        """Measure what is read, and show the stimuli."""
        site, index = KernelSite.of(model, Unit(layer, unit))
        ground = measured_ground(model, site, index, task)
        lines: list[tuple[StimulusFamily, Table]] = [
            (Lines(), Lines().grid(orientations=16)),
            (Lines(), Lines().grid(orientations=16, ink_lightness=1.0, ground_lightness=0.0)),
        ]
        hued = Curves().grid(
            radius=0.2, ink_hues=8, orientations=12, ink_lightness=LIGHTNESS, ink_chroma=CHROMA, ground_lightness=LIGHTNESS
        )
        black: tuple[StimulusFamily, Table] = (Curves(), _curves(RADII))
        white: tuple[StimulusFamily, Table] = (Curves(), _curves(RADII, white=True))
        others: list[tuple[StimulusFamily, Table]] = [(Curves(), _curves(HELD_OUT, white=white_ink)) for white_ink in (False, True)]
        coloured: list[tuple[StimulusFamily, Table]] = [(Curves(), hued)] if colour else []
        return cls(
            model,
            site,
            ground,
            _shown(model, site, [black, white, *lines, *coloured]),
            _shown(model, site, others),
            _shown(model, site, [black]),
            colour,
        )

    def written(self, unit: Unit, prefers: float) -> tuple[KernelEdit, float, float]:
        """Return the best kernel of the grid, and its correlation with the unit on the stimuli it was chosen by and on others."""
        _, index = KernelSite.of(self.model, unit)
        best = self._best(index, _grid(prefers))
        if self.colour:
            hues = [{**best, "colour": amount, "hue": float(hue)} for amount, hue in product(COLOURS, self.ground.hues)]
            best = self._best(index, [best, *hues])
        kernel = template("curve").kernel(self.ground, best)
        edit = KernelEdit(unit.layer, unit.index, kernel, 0.0, "curve", best, f"curve, {best['orientation']:.0f}°")
        fitted, other = (float(self._alike(shown, index, kernel[None])[0]) for shown in (self.fitting, self.held_out))
        return edit, fitted, other

    def _best(self, index: int, tried: list[dict[str, float]]) -> dict[str, float]:
        kernels = np.stack([template("curve").kernel(self.ground, one) for one in tried])
        return tried[int(np.nan_to_num(self._alike(self.fitting, index, kernels), nan=-1.0).argmax())]

    def _alike(self, shown: Shown, index: int, kernels: npt.NDArray[np.float32]) -> Responses:
        """Return the correlation of kernels with a unit, over stimuli and positions."""
        wanted = shown.wanted[:, index].flatten()
        wanted = wanted - wanted.mean()
        found = []
        for start in range(0, len(kernels), 64):
            given = self._responses(shown, kernels[start : start + 64]).transpose(0, 1).flatten(1)
            given = given - given.mean(1, keepdim=True)
            found.append((given @ wanted / (given.norm(dim=1) * wanted.norm())).cpu().double().numpy())
        return np.concatenate(found)

    def _responses(self, shown: Shown, kernels: npt.NDArray[np.float32]) -> Tensor:
        weights = torch.from_numpy(np.array(kernels, np.float32))
        return _middle(self.site.respond(shown.source, weights, range(shown.source.shape[1])))

    def maps(self, edit: KernelEdit) -> tuple[Responses, Responses]:
        """Return the largest response of the unit and of its kernel to black curves, ``radius direction``."""
        _, index = KernelSite.of(self.model, Unit(edit.layer, edit.unit))
        own, hand = self.black.wanted[:, index], self._responses(self.black, edit.kernel[None])[:, 0]
        first, second = (value.amax((1, 2)).cpu().double().numpy().reshape(len(RADII), AROUND) for value in (own, hand))
        return first, second


def _grid(prefers: float) -> list[dict[str, float]]:
    """Return all that is tried for a unit that prefers a direction."""
    tried = [dict(zip(GRID, values, strict=True)) for values in product(*GRID.values())]
    return [{"orientation": (prefers + one["turn"]) % 360, **{name: one[name] for name in one if name != "turn"}} for one in tried]


def _shown(model: TracedModel, site: KernelSite, stimuli: Sequence[tuple[StimulusFamily, Table]]) -> Shown:
    source, wanted = [], []
    for family, table in stimuli:
        for start in range(0, len(table), 32):
            read, made = values(model, (site.reads, site.pre), family, table[start : start + 32])
            source.append(read)
            wanted.append(_middle(made))
    return Shown(torch.cat(source), torch.cat(wanted))


def _middle(value: Tensor) -> Tensor:
    """Cut out the middle half along each axis of position."""
    rows, columns = value.shape[2:]
    return value[:, :, rows // 4 : max(rows - rows // 4, 1), columns // 4 : max(columns - columns // 4, 1)]
