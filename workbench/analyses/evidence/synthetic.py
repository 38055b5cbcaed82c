"""What a unit does on synthetic stimuli: whether it prefers some, and whether the units of a family prefer rotations of one another.

Everything is chosen on one rendering of the stimuli and scored on another (shifted a little, with other strokes). The null of a
preference is the best unit of each of some random-weight twins (a max-statistic), because the unit that is looked at was found among
many; that of a family are as many random units of its layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from workbench.bootstrap import ratio_of_means
from workbench.images.stimulus import FAMILIES, Table
from workbench.images.stimulus_set import StimulusSet

if TYPE_CHECKING:
    from workbench.models.layer import Layer
    from workbench.models.traced_model import TracedModel

SHIFT = 0.06
"""Of the side: how far a stimulus may lie from the middle."""
BATCH = 32
ORIENTATIONS = 24
DRAWS = 1000
"""Random families of the null."""
LIGHT = {"ink_lightness": 1.0, "ground_lightness": 0.0}
Responses = npt.NDArray[np.float64]


def stimuli() -> list[tuple[str, Table]]:
    """Return the tables of all families, dark on light and light on dark: few enough to be shown to twenty twins."""
    asked: list[tuple[str, dict[str, Any]]] = [
        ("curves", {"orientations": 8, "radius": [0.15, 0.35]}),
        ("lines", {"orientations": 8}),
        ("gratings", {"orientations": 4, "frequency": [4, 10], "phase": [0, 180]}),
        ("colours", {"ink_hues": 8}),
    ]
    tables = []
    for name, values in asked:
        family = FAMILIES[name]
        tables.append((name, family.grid(**values)))
        if name in ("curves", "lines"):
            table = family.grid(**values)
            for part, value in LIGHT.items():
                table[part] = value
            tables.append((name, table))
    return tables


def nudged(table: Table, random: np.random.Generator) -> Table:
    """Return the table with every stimulus shifted a little, strokes a little wider or thinner, colours a little lighter or darker."""
    other = table.copy()
    fields = other.dtype.names or ()
    if "x" in fields:
        for axis in ("x", "y"):
            other[axis] += random.uniform(-SHIFT, SHIFT, len(other))
        if "width" in fields:
            other["width"] *= random.uniform(0.8, 1.5, len(other))
    else:
        other["ink_lightness"] += random.uniform(-0.06, 0.06, len(other))
    return other


def drawn(model: TracedModel, tables: Sequence[tuple[str, Table]]) -> list[Tensor]:
    """Draw stimuli as the network reads them, in batches: once for the network and all its twins."""
    return [
        model.preprocess(batch.images)
        for name, table in tables
        for batch in StimulusSet(FAMILIES[name], table).batches(model.preprocessing.size, BATCH)
    ]


def respond(model: TracedModel, layer: Layer, stimuli: Sequence[Tensor]) -> Responses:
    """Return the largest activation of every unit over the positions of each stimulus, ``stimulus unit``."""
    forward = model.forward_to([layer.name], {layer.name: lambda value: _over_positions(layer.arrange(value)).amax(2)})
    with torch.inference_mode():
        return np.concatenate([forward(batch)[0].double().cpu().numpy() for batch in stimuli])


def _over_positions(arranged: Tensor) -> Tensor:
    """Return ``stimulus unit position``: one position where the layer has none."""
    return arranged.reshape(*arranged.shape[:2], -1)


def preference(chosen_on: Responses, scored_on: Responses) -> tuple[Responses, npt.NDArray[np.int64]]:
    """Return how far each unit's best stimulus stands out, and which it is.

    The best is chosen in the first rendering; the score is how many standard deviations its response in the second lies above the mean
    over all stimuli of the second. NaN for a unit that does the same on all.
    """
    best = chosen_on.argmax(0)
    spread = scored_on.std(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = (scored_on[best, np.arange(len(best))] - scored_on.mean(0)) / np.where(spread > 1e-12, spread, np.nan)
    return found, best


# Families


@dataclass(frozen=True)
class Tuning:
    """How the units of a layer respond to one kind of stimulus at all orientations.

    Attributes
    ----------
    kind, period
        Family of stimuli, and degrees after which it looks the same.
    first, second
        ``orientation unit``, in two renderings.
    """

    kind: str
    period: float
    first: Responses
    second: Responses


def tunings(model: TracedModel, layer: Layer, seed: int) -> list[Tuning]:
    """Show curves, lines and gratings at `ORIENTATIONS` orientations, twice."""
    random = np.random.default_rng([seed, 1])
    found = []
    asked: list[tuple[str, float, dict[str, Any]]] = [
        ("curves", 360, {"radius": [0.15, 0.3]}),
        ("lines", 180, {"width": [0.03, 0.06]}),
        ("gratings", 180, {"frequency": [4, 8]}),
    ]
    for kind, period, values in asked:
        table = FAMILIES[kind].grid(orientations=ORIENTATIONS, **values)
        halves = []
        for _ in range(2):
            responses = respond(model, layer, drawn(model, [(kind, nudged(table, random))]))
            halves.append(responses.reshape(ORIENTATIONS, -1, responses.shape[1]).mean(1))
        found.append(Tuning(kind, period, *halves))
    return found


def aligned(tuning: Tuning) -> Responses:
    """Return every unit's tuning curve, turned so that its preferred orientation stands first, mean 0 and length 1: ``orientation unit``.

    The preferred orientation is that of the first rendering, smoothed over its neighbours; the curve is that of the second.
    """
    preferred = preferred_orientation(tuning)
    rows = (np.arange(ORIENTATIONS)[:, None] + preferred[None]) % ORIENTATIONS
    curves = np.take_along_axis(tuning.second, rows, 0)
    curves = curves - curves.mean(0)
    length = np.linalg.norm(curves, axis=0)
    turned: Responses = curves / np.where(length > 1e-12, length, np.inf)
    return turned


def preferred_orientation(tuning: Tuning) -> npt.NDArray[np.int64]:
    """Return the place of each unit's preferred orientation in the first rendering."""
    smooth = tuning.first + 0.5 * (np.roll(tuning.first, 1, 0) + np.roll(tuning.first, -1, 0))
    found: npt.NDArray[np.int64] = smooth.argmax(0)
    return found


@dataclass(frozen=True)
class Likeness:
    """How alike the tuning curves of a family are after each is turned to its preferred orientation.

    Attributes
    ----------
    value, low, high
        Mean correlation of pairs, and its interval over units.
    null
        ``draw``: the same of as many random units of the layer.
    angles
        Preferred orientation of each unit in degrees.
    """

    value: float
    low: float
    high: float
    null: Responses
    angles: Responses


def likeness(tuning: Tuning, units: Sequence[int], seed: int) -> Likeness:
    """Compare the units of a family with one another, and random units of the layer with one another."""
    curves = aligned(tuning)
    random = np.random.default_rng([seed, 2])
    own, layer = list(units), curves.shape[1]
    alike = curves[:, own].T @ curves[:, own]
    first, second = np.triu_indices(len(own), 1)
    pairs = alike[first, second]
    samples = np.stack([random.integers(0, len(own), len(own)) for _ in range(DRAWS)])
    again = []
    for sample in samples:
        here = alike[np.ix_(sample, sample)][sample[:, None] != sample[None]]  # a unit is no evidence for itself
        if here.size:
            again.append(float(here.mean()))
    low, high = np.quantile(again, (0.025, 0.975)) if len(own) > 2 else (np.nan, np.nan)
    others = np.setdiff1d(np.arange(layer), own)
    null = []
    for _ in range(DRAWS if len(others) >= len(own) else 0):
        chosen = curves[:, random.choice(others, len(own), replace=False)]
        total = chosen.sum(1)
        null.append((float(total @ total) - float((chosen**2).sum())) / (len(own) * (len(own) - 1)))
    angles = preferred_orientation(tuning)[own].astype(np.float64) * (tuning.period / ORIENTATIONS)
    return Likeness(float(pairs.mean()), float(low), float(high), np.array(null), angles)


def agreement(preferred: Responses, angles: Sequence[float], period: float, seed: int) -> tuple[float, float]:
    """Return how well preferred orientations follow the family's own angles, and the 95th percentile when these are shuffled.

    It is the length of the mean of ``exp(2 pi i (preferred - angle) / period)``, 1 when they differ by one constant; the angles may run
    either way round.
    """
    turn = 2 * np.pi / period
    own = np.exp(1j * turn * preferred)

    def of(given: npt.NDArray[np.floating]) -> float:
        return max(float(abs((own * np.exp(-1j * sign * turn * given)).mean())) for sign in (1, -1))

    random, known = np.random.default_rng([seed, 3]), np.array(angles, np.float64)
    null = [of(random.permutation(known)) for _ in range(DRAWS)]
    return of(known), float(np.quantile(null, 0.95))


def interval(values: Responses, seed: int) -> tuple[float, float, float]:
    """Return mean and 95 % interval over renderings."""
    found = ratio_of_means(values, np.arange(len(values)), seed)
    return found.value, found.low, found.high
