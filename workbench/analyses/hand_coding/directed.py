"""Units that answer to one direction of a stimulus: found beside random-weight twins, and written by a template from stimuli alone.

`HandCodedCurves` and `HandCodedHighLow` differ in their stimuli and in what a template is tried with; what a score is, how layers are
searched and how a kernel is compared with its unit is here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from workbench.analyses.hand_coding.ground import Responses, Stimuli, measured_ground, pieces, values
from workbench.input_error import InputError
from workbench.kernel_edits import KernelEdit
from workbench.kernel_ground import Ground
from workbench.kernel_templates import template
from workbench.models.kernel_site import KernelSite
from workbench.models.layer import Unit
from workbench.models.traced_model import TracedModel
from workbench.task import Task

LIVELY = 0.2
"""Of the layer's median response: units that respond less to every stimulus are asked nothing."""
DEEPEST = 5
"""Layers that are looked through where none is named."""


@dataclass(frozen=True, eq=False)
class Half:
    """What the units of a layer do on one half of the stimuli.

    Attributes
    ----------
    angles
        Of the directions, in radians, evenly around the circle.
    response
        float64 ``condition direction unit``, at least 0.
    even
        float64 ``condition unit``: what they do where there is no direction, and which therefore does not count; 0 for nothing.
    """

    angles: Responses
    response: Responses
    even: Responses | float = 0.0

    @property
    def summed(self) -> npt.NDArray[np.complex128]:
        """Return the vector sum over directions of what is above `even`, ``condition unit``."""
        above = self.response - np.asarray(self.even)[..., None, :] if np.ndim(self.even) else self.response - self.even
        vector: npt.NDArray[np.complex128] = np.einsum("d,cdu->cu", np.exp(1j * self.angles), above.clip(0))
        return vector


@dataclass(frozen=True, eq=False)
class Selectivity:
    """How much each unit answers to one direction, 0 to 1 (NaN where it does nothing), and to which (degrees).

    Attributes
    ----------
    chosen
        Direction on the first half alone, which the score is of.
    prefers
        Direction over both halves.
    """

    score: Responses
    chosen: Responses
    prefers: Responses


def selectivity(first: Half, second: Half) -> Selectivity:
    """Choose condition and direction of each unit on the first half; its score is the part of the second half's sum that points there."""
    with np.errstate(invalid="ignore", divide="ignore"):
        halves = [half.summed / half.response.sum(1) for half in (first, second)]
    best = np.nan_to_num(np.abs(halves[0]), nan=-1.0).argmax(0)
    at = np.arange(len(best))
    chosen, scored = (half[best, at] for half in halves)
    largest = [half.response.max(1)[best, at] for half in (first, second)]
    lively = np.minimum(*largest) > LIVELY * np.median(np.maximum(*largest))
    with np.errstate(invalid="ignore"):
        agreed = np.real(scored * np.exp(-1j * np.angle(chosen)))
    directions = (np.rad2deg(np.angle(one)) % 360 for one in (chosen, (first.summed + second.summed)[best, at]))
    return Selectivity(np.where(lively, agreed, np.nan), *directions)


def written_layers(model: TracedModel) -> list[str]:
    """Return the first layers behind a non-linearity whose kernels reach over more than one position of units."""
    found = []
    for layer in model.layers.values():
        if layer.role != "post" or not layer.is_map:
            continue
        try:
            site, _ = KernelSite.of(model, Unit(layer.name, 0))
        except InputError:  # made by something else
            continue
        if site.post == layer.name and not unwritable(model, site):
            found.append(layer.name)
    return found[:DEEPEST]


def unwritable(model: TracedModel, site: KernelSite) -> str:
    """Say why no kernel of a site can be a pattern of the units before it; empty where one can."""
    ground = site.ground(model)
    if ground.over == "pixels":
        return "its kernels read the image itself"
    if site.groups > 1:
        return "it has grouped kernels, which do not read the same units"
    return "" if min(ground.side) > 1 else "its kernels reach over one position only"


def one_layer(model: TracedModel, name: str) -> str:
    """Return the name of a layer that was asked for.

    Raises
    ------
    InputError
        When it has no kernels, or joins several layers.
    """
    layer = model.layer(name).name
    site, _ = KernelSite.of(model, Unit(layer, 0))
    if layer not in (site.pre, site.post):
        raise InputError(f"{layer} joins several layers, and only one of them would be looked at; choose one, such as {site.post}")
    return layer


@dataclass(frozen=True, eq=False)
class Found:
    """The layer that has most units beyond the twins.

    Attributes
    ----------
    units
        Those with the highest score, best first.
    own
        Of every layer looked through.
    highest
        The highest score of each twin, over all its units and layers.
    """

    layer: str
    units: list[int]
    own: dict[str, Selectivity]
    highest: Responses

    @property
    def bar(self) -> float:
        """What a unit has to be above."""
        return float(self.highest.max())

    @property
    def beyond(self) -> dict[str, int]:
        """Return how many units of each layer are above every unit of every twin."""
        return _beyond(self.own, self.bar)

    @property
    def most(self) -> float:
        """The highest score of all units of all layers."""
        return _most(self.own)


def _beyond(own: Mapping[str, Selectivity], bar: float) -> dict[str, int]:
    return {name: int((one.score > bar).sum()) for name, one in own.items()}


def _most(own: Mapping[str, Selectivity]) -> float:
    return max(float(np.nanmax(one.score, initial=0.0)) for one in own.values())


Tell = Callable[[int], None]
Measure = Callable[[TracedModel, Sequence[str], Tell], dict[str, Selectivity]]


def search(
    model: TracedModel, own: dict[str, Selectivity], measure: Measure, number: int, twins: int, seed: int, tell: Tell
) -> Found:
    """Measure the layers in random-weight twins too, and choose one; `tell` is given the number of twins begun, again and again."""
    layers = list(own)
    highest = np.empty(twins)
    for place in range(twins):
        begun = place + 1
        highest[place] = _most(measure(model.twin(seed + place, layers), layers, lambda _, begun=begun: tell(begun)))  # type: ignore[misc]
    beyond = _beyond(own, float(highest.max()))
    layer = max(layers, key=lambda name: (beyond[name], float(np.sort(np.nan_to_num(own[name].score))[-number:].mean())))
    units = np.argsort(-np.nan_to_num(own[layer].score, nan=-1.0), kind="stable")[:number].tolist()
    return Found(layer, units, own, highest)


@dataclass(frozen=True, eq=False)
class Shown:
    """What the layer that is read, and the units, give on some stimuli, at the middle of the image."""

    source: Tensor
    wanted: Tensor

    @classmethod
    def of(cls, model: TracedModel, site: KernelSite, stimuli: Sequence[Stimuli]) -> Shown:
        """Show them."""
        source, wanted = [], []
        for family, table in stimuli:
            for piece in pieces(model, table):
                read, made = values(model, (site.reads, site.pre), family, piece)
                source.append(read)
                wanted.append(_middle(made))
        return cls(torch.cat(source), torch.cat(wanted))

    def first(self, number: int) -> Shown:
        """Return so many of the stimuli, from the first on."""
        return Shown(self.source[:number], self.wanted[:number])


@dataclass(frozen=True, eq=False)
class Writer:
    """Writes the units of one layer as a template, from what it and the layer it reads do on stimuli.

    Attributes
    ----------
    ground
        What the units that are read detect.
    fitting, held_out
        Stimuli that parameters are chosen by, and others.
    """

    model: TracedModel
    site: KernelSite
    template: str
    ground: Ground
    fitting: Shown
    held_out: Shown

    @classmethod
    def of(
        cls, model: TracedModel, layer: str, name: str, fitting: Sequence[Stimuli], held_out: Sequence[Stimuli], task: Task
    ) -> Writer:
        """Measure what is read, and show the stimuli."""
        site, index = KernelSite.of(model, Unit(layer, 0))
        ground = measured_ground(model, site, index, task)
        return cls(model, site, name, ground, *(Shown.of(model, site, stimuli) for stimuli in (fitting, held_out)))

    def best(self, unit: Unit, tried: Sequence[dict[str, float]]) -> dict[str, float]:
        """Return those parameters whose kernel does most nearly what the unit does."""
        kernels = np.stack([template(self.template).kernel(self.ground, one) for one in tried])
        alike = self._alike(self.fitting, KernelSite.of(self.model, unit)[1], kernels)
        return tried[int(np.nan_to_num(alike, nan=-1.0).argmax())]

    def edit(self, unit: Unit, parameters: dict[str, float]) -> tuple[KernelEdit, float, float]:
        """Return the kernel, and its correlation with the unit on the stimuli parameters are chosen by and on others."""
        kernel = template(self.template).kernel(self.ground, parameters)
        label = f"{self.template.replace('_', ' ')}, {parameters['orientation']:.0f}°"
        edit = KernelEdit(unit.layer, unit.index, kernel, 0.0, self.template, parameters, label)
        index = KernelSite.of(self.model, unit)[1]
        fitted, other = (float(self._alike(shown, index, kernel[None])[0]) for shown in (self.fitting, self.held_out))
        return edit, fitted, other

    def largest(self, shown: Shown, edit: KernelEdit) -> tuple[Responses, Responses]:
        """Return the largest response to each stimulus of a unit, before its non-linearity, and of its kernel by hand."""
        _, index = KernelSite.of(self.model, Unit(edit.layer, edit.unit))
        own, hand = shown.wanted[:, index], self._responses(shown, edit.kernel[None])[:, 0]
        first, second = (value.amax((1, 2)).cpu().double().numpy() for value in (own, hand))
        return first, second

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


def _middle(value: Tensor) -> Tensor:
    """Cut out the middle half along each axis of position."""
    rows, columns = value.shape[2:]
    return value[:, :, rows // 4 : max(rows - rows // 4, 1), columns // 4 : max(columns - columns // 4, 1)]
