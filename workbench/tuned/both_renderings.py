"""What a layer does on a feature and on lines in two renderings, and the scores of its units, or of directions, held out alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.tuned.probes import Probe, Responses, above_ground
from workbench.tuned.scores import Scores, score

if TYPE_CHECKING:
    from workbench.models.layer import Layer
    from workbench.models.traced_model import TracedModel


@dataclass(frozen=True)
class Shown:
    """Responses to the stimuli of a probe.

    Attributes
    ----------
    first, second
        In either rendering, ``condition orientation unit``.
    period, start
        Degrees after which the stimuli look the same, and first orientation of the second rendering.
    """

    first: Responses
    second: Responses
    period: float
    start: float

    @classmethod
    def to(cls, model: TracedModel, layer: Layer, probe: Probe, field: float, seed: tuple[int, int]) -> Shown:
        """Show a layer both renderings; the seed is of the second, `field` the size of the receptive field, of the side."""
        (table, _), (again, start) = probe.table(None, field), probe.table(seed, field)
        shape = len(probe.conditions), probe.orientations, layer.units
        first, second = (above_ground(model, layer, probe, rows, lambda: None).reshape(shape) for rows in (table, again))
        return cls(first, second, probe.period, start)

    def along(self, directions: Responses) -> Shown:
        """Return the responses of directions, ``unit direction``, in place of units."""
        return Shown(self.first @ directions, self.second @ directions, self.period, self.start)


@dataclass(frozen=True)
class BothRenderings:
    """What a layer does on all that its units are scored by.

    Attributes
    ----------
    feature, lines
        What units are tuned to, and the lines that the index compares it with.
    straight
        Lines at as many orientations as the feature has: what line units are told by.
    """

    feature: Shown
    lines: Shown
    straight: Shown

    @classmethod
    def of(cls, model: TracedModel, layer: Layer, feature: Probe, lines: Probe, straight: Probe, field: float, seed: int) -> BothRenderings:
        """Show a layer all of it; the seed is of the second renderings, which are those of `workbench.tuned.scores.measured`."""
        return cls(
            Shown.to(model, layer, feature, field, (seed, 0)),
            Shown.to(model, layer, lines, field, (seed, 1)),
            Shown.to(model, layer, straight, field, (seed, 0)),
        )

    def scores(self, directions: Responses | None = None) -> Scores:
        """Score all units, or directions (``unit direction``): condition and bump by the first rendering, the rest in the second."""
        feature, lines = (shown if directions is None else shown.along(directions) for shown in (self.feature, self.lines))
        compared = tuple(values.reshape(-1, values.shape[2]) for values in (lines.first, lines.second))
        return score(feature.first, feature.second, (compared[0], compared[1]), feature.period, feature.start)

    def straightness(self) -> Responses:
        """Return the R2 of all units on lines, bump and condition by the first rendering."""
        return score(self.straight.first, self.straight.second, None, self.straight.period, self.straight.start).r2
