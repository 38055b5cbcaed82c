"""Scores of a layer's units: conditions are chosen on the first rendering of the stimuli, what is reported is measured on the second."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from workbench.tuned import curve as tuning_curve
from workbench.tuned.probes import Probe, Responses, above_ground

if TYPE_CHECKING:
    from workbench.models.layer import Layer
    from workbench.models.traced_model import TracedModel

MEMBERS = 8
"""Angles of a family, in even steps."""
LEAST = 0.02
"""Of a unit's largest response to any of the stimuli: a condition with less is not chosen."""


@dataclass(frozen=True)
class Scores:
    """What is known of every unit of a layer, each ``unit``.

    Attributes
    ----------
    condition
        The one whose best response is the largest in the first rendering.
    preferred, half_width
        Degrees, of the bump fitted there.
    r2
        Part of the variance over orientations of the second rendering that this bump explains.
    second_peak
        Of the second rendering, over the first peak.
    index
        Curve against line in the second rendering: the best orientation at the chosen condition against the best of all lines; NaN
        without lines.
    best
        The largest response of the second rendering at the chosen condition, above that to the plain ground.
    family
        Units of the best family, -1 where no unit prefers that angle; chosen on the first rendering.
    family_r2, family_index
        Their mean in the second rendering; a missing member counts as 0.
    compared
        Whether there were lines to compare with.
    """

    condition: npt.NDArray[np.int64]
    preferred: Responses
    half_width: Responses
    r2: Responses
    second_peak: Responses
    index: Responses
    best: Responses
    family: npt.NDArray[np.int64]
    family_r2: float
    family_index: float
    compared: bool

    @property
    def score(self) -> Responses:
        """The weaker of R2 and the index, 0 where the index is negative or unknown: both must be high; R2 alone without lines."""
        return _weaker(self.r2, self.index if self.compared else None)


def measured(
    model: TracedModel,
    layer: Layer,
    probe: Probe,
    lines: Probe | None,
    field: float,
    seed: int,
    step: Callable[[], None] = lambda: None,
) -> tuple[list[Responses], Scores, int]:
    """Show two renderings to a layer, and score its units.

    Parameters
    ----------
    lines
        What the index compares with; None for features that have none.
    field
        Size of the receptive field, of the side.
    seed
        Of the second rendering.

    Returns
    -------
    tuple
        The responses in both renderings, ``condition orientation unit``, the scores, and the number of stimuli.
    """
    found, start, shown = [], 0.0, 0
    of_lines: list[Responses] = []
    for second in (None, (seed, 0)):
        table, start = probe.table(second, field)
        found.append(above_ground(model, layer, probe, table, step).reshape(len(probe.conditions), probe.orientations, -1))
        shown += len(table)
        if lines is not None:
            table, _ = lines.table(None if second is None else (seed, 1), field)
            of_lines.append(above_ground(model, layer, lines, table, step))
            shown += len(table)
    compared = (of_lines[0], of_lines[1]) if of_lines else None
    return found, score(found[0], found[1], compared, probe.period, start), shown


def score(
    first: Responses, second: Responses, lines: tuple[Responses, Responses] | None, period: float, start: float
) -> Scores:
    """Score all units.

    Parameters
    ----------
    first, second
        ``condition orientation unit``, above the response to the plain ground; the second begins at the orientation `start`.
    lines
        Responses to lines in both renderings, ``stimulus unit``.
    """
    conditions, count, units = first.shape
    peak = first.max(1)
    fits = tuning_curve.fit(first.transpose(1, 0, 2).reshape(count, -1), period)
    held_out = fits.explains(second.transpose(1, 0, 2).reshape(count, -1), start).reshape(conditions, units)
    own = np.arange(units)
    chosen = peak.argmax(0)
    preferred, width, r2 = (values.reshape(conditions, units) for values in (fits.preferred, fits.half_width, fits.r2))
    index: list[Responses] = [np.full((conditions, units), np.nan)] * 2
    if lines is not None:
        index = [
            np.stack([tuning_curve.curve_vs_line(curve, line) for curve in rendering])
            for rendering, line in zip((first, second), lines, strict=True)
        ]
    family, where = _family(preferred, _weaker(r2, index[0] if lines is not None else None), peak, period)
    there = family >= 0
    members = [np.nan_to_num(values[where, family]) * there for values in (held_out, index[1])]
    return Scores(
        chosen,
        preferred[chosen, own],
        width[chosen, own],
        held_out[chosen, own],
        tuning_curve.second_peak(second[chosen, :, own].T),
        index[1][chosen, own],
        second[chosen, :, own].max(1),
        family,
        float(members[0].mean()),
        float(members[1].clip(min=-1).mean()) if lines is not None else np.nan,
        lines is not None,
    )


def _weaker(r2: Responses, index: Responses | None) -> Responses:
    """Return the smaller of the two, or R2 alone; what is unknown counts as 0."""
    weaker: Responses = np.nan_to_num(r2).clip(min=0)
    return weaker if index is None else np.minimum(weaker, np.nan_to_num(index).clip(min=0))


def _family(preferred: Responses, value: Responses, peak: Responses, period: float) -> tuple[npt.NDArray[np.int64], int]:
    """Return the best unit for each of `MEMBERS` angles, and the condition that has the best such family, all by the first rendering."""
    value = np.where(peak > LEAST * peak.max(0), value, 0)
    place = np.rint(preferred * MEMBERS / period).astype(int) % MEMBERS
    of = np.where(place[:, None] == np.arange(MEMBERS)[:, None], value[:, None], 0)  # condition member unit
    units, found = of.argmax(2), of.max(2)
    where = int(found.mean(1).argmax())
    return np.where(found[where] > 0, units[where], -1), where
