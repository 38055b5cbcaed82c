"""The stimuli that units are tuned to: sized to what a layer's middle position sees, in two renderings, and what units do there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import torch

import workbench.images.stimuli  # noqa: F401  its families register themselves
from workbench.images.stimulus import FAMILIES, StimulusFamily, Table
from workbench.input_error import InputError
from workbench.models.receptive_field import ReceptiveField, at_middle

if TYPE_CHECKING:
    from workbench.models.layer import Layer
    from workbench.models.traced_model import TracedModel

Feature = Literal["curves", "lines", "corners", "line_ends", "gratings", "high_low"]
FEATURES: dict[str, tuple[float, str]] = {
    "curves": (360, "radius"),
    "lines": (180, "length"),
    "corners": (360, "angle"),
    "line_ends": (360, "length"),
    "gratings": (180, "frequency"),
    "high_low": (360, "high"),
}
"""Kinds of stimuli that can be turned: degrees after which they look the same, and what else is varied."""
Responses = npt.NDArray[np.float64]
BATCH = 64
LEAST_WIDTH = 1.2
"""Pixels of the thinnest stroke."""
JITTER = 0.04
"""Of the receptive field: how far a stimulus of the second rendering may lie from its place."""


@dataclass(frozen=True)
class Probe:
    """Stimuli of one kind at all orientations, under some conditions.

    Attributes
    ----------
    feature, period, varied
        Family of stimuli, degrees after which it looks the same, and what else is varied, beside the stroke.
    conditions
        One table row each, orientation aside.
    orientations
        Number of them, in even steps.
    """

    feature: str
    period: float
    varied: str
    conditions: Table
    orientations: int

    @property
    def family(self) -> StimulusFamily:
        """What draws it."""
        return FAMILIES[self.feature]

    def table(self, second: Sequence[int] | None = None, field: float = 1.0) -> tuple[Table, float]:
        """Return rows in the order ``condition orientation``, and the first orientation.

        Parameters
        ----------
        second
            Seed of the second rendering: turned by half a step, shifted by up to `JITTER` of the field, strokes a little wider or thinner.
        field
            Size of the receptive field, of the side.
        """
        table = np.repeat(self.conditions, self.orientations)
        step = self.period / self.orientations
        start = step / 2 if second is not None else 0.0
        table["orientation"] = np.tile(start + step * np.arange(self.orientations), len(self.conditions))
        if second is not None:
            random = np.random.default_rng(second)
            for axis in ("x", "y"):
                table[axis] += field * random.uniform(-JITTER, JITTER, len(table))
            if "width" in (table.dtype.names or ()):
                table["width"] *= random.uniform(0.85, 1.2, len(table))
        return table, start


def scaled(model: TracedModel, field: ReceptiveField) -> tuple[float, tuple[float, float]]:
    """Return the size of a receptive field and its middle, as fractions of the image's shorter side."""
    size = model.preprocessing.size
    return min(field.height, field.width, *size) / min(size), field.middle(size)


def probe_of(feature: str, field: float, middle: tuple[float, float], side: int, orientations: int) -> Probe:
    """Return the stimuli of a kind for units that see `field` of the side around `middle`, in images of `side` pixels.

    Raises
    ------
    InputError
        When the field is too small for two frequencies side by side.
    """
    family, (period, varied) = FAMILIES[feature], FEATURES[feature]
    thin = max(0.06 * field, LEAST_WIDTH / side)
    values: dict[str, Any] = {}
    if feature == "curves":
        values = {"radius": [max(0.02, field * share) for share in (0.25, 0.4, 0.65, 1.1)], "length": 0.9 * field}
    elif feature == "lines":
        values = {"length": [min(4.0, field * share) for share in (0.5, 1.0, 2.0)]}
    elif feature == "line_ends":
        values = {"length": [min(4.0, field * share) for share in (0.3, 0.6, 1.2)]}
    elif feature == "corners":
        values = {"angle": [60, 90, 120, 150], "length": 0.9 * field}
    elif feature == "gratings":
        values = {"frequency": _frequencies((1.5, 2.5, 4, 6), field, side), "phase": [0, 90, 180, 270]}
    else:
        low, *high = _frequencies((1.5, 4, 6), field, side)
        if not high:
            raise InputError(f"units that see {field * side:.3g} pixels cannot tell two frequencies apart; choose a later layer")
        values = {"high": high, "low": low, "phase": [0, 180], "stripes": [0, 90]}
    rows = [family.grid(**values, x=middle[0], y=middle[1])]
    if "width" in (rows[0].dtype.names or ()):
        strokes = product((thin, 2 * thin), (0, 1))
        rows = [_with(rows[0], width=width, ink_lightness=ink, ground_lightness=1 - ink) for width, ink in strokes]
    return Probe(feature, period, varied, np.concatenate(rows), orientations)


def _frequencies(cycles: Sequence[float], field: float, side: int) -> list[float]:
    """Return cycles a side that are some cycles a field, none too fine for the pixels."""
    return sorted({min(side / 2.5, cycle / field) for cycle in cycles})


def _with(table: Table, **values: float) -> Table:
    other = table.copy()
    for name, value in values.items():
        other[name] = value
    return other


def show(
    model: TracedModel, layer: Layer, family: StimulusFamily, table: Table, step: Callable[[], None] = lambda: None
) -> Responses:
    """Return what the units of a layer do at its middle position on each row of a table, ``stimulus unit``."""
    forward = model.forward_to([layer.name], {layer.name: lambda value: at_middle(layer.arrange(value), layer)})
    found = []
    for start in range(0, len(table), BATCH):
        with torch.inference_mode():
            images = family.render(table[start : start + BATCH], model.preprocessing.size, model.device)
            found.append(forward(*model.inputs(model.preprocess(images)))[0].cpu().double().numpy())
        step()
    return np.concatenate(found)


def above_ground(model: TracedModel, layer: Layer, probe: Probe, table: Table, step: Callable[[], None]) -> Responses:
    """Return the responses to a table less those to the same grounds without ink, ``stimulus unit``."""
    grounds, which = np.unique(table["ground_lightness"], return_inverse=True)
    blank = table[[int(np.flatnonzero(which == place)[0]) for place in range(len(grounds))]].copy()
    blank["contrast"] = 0
    nothing = show(model, layer, probe.family, blank, step)
    return show(model, layer, probe.family, table, step) - nothing[which]
