"""What is shown to some units beside the stimuli that a whole layer is ranked by: gratings, hues, their best one moved about and rounded.

Each has one figure that says how much there is to see, so that a unit can be held against units of random weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from workbench.images.stimulus import FAMILIES, Table
from workbench.tuned.probes import Probe, Responses, above_ground, probe_of, show
from workbench.tuned.scores import LEAST, Scores

if TYPE_CHECKING:
    from workbench.models.layer import Layer
    from workbench.models.traced_model import TracedModel

PLACES, MORPHS, HUES, GRATINGS = 7, 7, 24, 12


@dataclass(frozen=True)
class CloseLook:
    """A layer of a network, the stimuli that it is ranked by, and what its middle position sees: `field` of the side around `middle`."""

    model: TracedModel
    layer: Layer
    probe: Probe
    field: float
    middle: tuple[float, float]
    step: Callable[[], None]

    def gratings(self) -> tuple[npt.NDArray[np.float64], Responses]:
        """Return frequencies ``f``, and ``f g unit``: the best of four phases at g orientations over 180 degrees."""
        probe = probe_of("gratings", self.field, self.middle, min(self.model.preprocessing.size), GRATINGS)
        waves = probe.conditions["frequency"]
        found = above_ground(self.model, self.layer, probe, probe.table()[0], self.step).reshape(len(waves), GRATINGS, -1)
        frequencies = np.unique(waves)
        return frequencies, np.stack([found[waves == wave].max(0) for wave in frequencies])

    def hues(self) -> tuple[npt.NDArray[np.float64], Responses]:
        """Return OKLCH hues in degrees ``h``, and ``h unit``: patches as large as the field, above a grey one."""
        family, (x, y) = FAMILIES["patches"], self.middle
        colours = family.grid(ink_hues=HUES, extent=self.field, x=x, y=y, ground_lightness=0.7)
        grey = show(self.model, self.layer, family, family.grid(ink_chroma=0, ground_lightness=0.7), self.step)
        return colours["ink_hue"], show(self.model, self.layer, family, colours, self.step) - grey

    def positions(self, best: np.void, orientation: float, unit: int) -> Responses:
        """Return ``y x``: what a unit does where its best stimulus is moved about its field."""
        shifts = self.field * np.linspace(-0.5, 0.5, PLACES)
        table = np.repeat(np.array([best]), PLACES * PLACES)
        table["orientation"] = orientation
        table["x"] += np.tile(shifts, PLACES)
        table["y"] += np.repeat(shifts, PLACES)
        return above_ground(self.model, self.layer, self.probe, table, self.step)[:, unit].reshape(PLACES, PLACES)

    def morph(self, best: np.void, orientation: float, unit: int) -> tuple[npt.NDArray[np.float64], Responses]:
        """Return radii of the rounding, and what a unit does from a corner (0) to the arc of the same length and turn.

        What is the same after half a turn says of the corner only that it points one way or the other: the one that does more counts.
        """
        bends, table = morphing(best, orientation, self.field)
        if self.probe.period < 360:
            opposite = table.copy()
            opposite["orientation"] += 180
            table = np.concatenate([table, opposite])
        probe = Probe("corners", 360, "radius", table, 1)
        found = above_ground(self.model, self.layer, probe, table, self.step)[:, unit].reshape(-1, MORPHS)
        return bends, found[int(np.abs(found).max(1).argmax())]

    def bands(self, responses: Sequence[Responses], scores: Scores) -> dict[str, npt.NDArray[np.float64]]:
        """Return what the layer's best units do, each as a null's: over the unit's largest response, the first two turned to prefer 0.

        Hues and gratings are of the unit with the largest `amplitude`, place and rounding of the one that scores best.
        """
        (_, gratings), (_, hues) = self.gratings(), self.hues()
        most = strongest(responses, gratings, hues)
        by_hue, by_grating = amplitude(hues, most), amplitude(at_best_frequency(gratings), most)
        of_hue, of_grating, best = int(by_hue.argmax()), int(by_grating.argmax()), int(scores.score.argmax())
        condition, orientation = self.probe.conditions[scores.condition[best]], float(scores.preferred[best])
        position = self.positions(condition, orientation, best)
        _, morph = self.morph(condition, orientation, best)
        turned = at_best_frequency(gratings)[:, of_grating]
        return {
            "hue": _turned(hues[:, of_hue]) / most[of_hue],
            "grating": _turned(turned) / most[of_grating],
            "morph": morph / np.abs(morph).max() if np.abs(morph).max() > LEAST * most[best] else np.full(len(morph), np.nan),
            "hue_amplitude": by_hue[of_hue],
            "grating_amplitude": by_grating[of_grating],
            "position_share": half_share(position, most[best]),
            "morph_lean": lean(morph, most[best]),
        }


def strongest(responses: Sequence[Responses], gratings: Responses, hues: Responses) -> Responses:
    """Return each unit's largest response, up or down, to all of these, at least `LEAST` of the layer's: what does little is not much.

    Parameters
    ----------
    responses
        ``condition orientation unit``, to what it is ranked by, one a rendering.
    """
    most = np.maximum.reduce([np.abs(each).max((0, 1)) for each in (*responses, gratings)] + [np.abs(hues).max(0)])
    found: Responses = np.fmax(most, max(LEAST * float(np.nanmax(most)), 1e-12))
    return found


def amplitude(curves: Responses, most: Responses) -> Responses:
    """Return the amplitude of the first harmonic of curves ``angle unit`` over each unit's `strongest` response.

    0 is no tuning; 1 a cosine that swings as far, either way, as anything that was shown drives the unit.
    """
    found: Responses = np.abs(np.fft.fft(curves, axis=0)[1]) * 2 / len(curves) / most
    return found


def at_best_frequency(gratings: Responses) -> Responses:
    """Return ``g unit`` of ``f g unit``: each unit at the frequency that does most to it, up or down."""
    where = np.abs(gratings).max(1).argmax(0)
    return gratings[where, :, np.arange(len(where))].T


def half_share(position: Responses, strongest: float) -> float:
    """Return the part of the places at which a unit does at least half of what it does at the best one.

    NaN where nothing drives it: where that is less than `LEAST` of its strongest response.
    """
    most = float(position.max())
    return float((position >= most / 2).mean()) if most > LEAST * strongest else np.nan


def lean(morph: Responses, strongest: float) -> float:
    """Return how much more an arc drives a unit than a corner, over the largest response, up or down: -2 to 2.

    NaN where it does nothing: less than `LEAST` of its strongest response.
    """
    most = float(np.abs(morph).max())
    return float(morph[-1] - morph[0]) / most if most > LEAST * strongest else np.nan


def morphing(condition: np.void, orientation: float, field: float) -> tuple[npt.NDArray[np.float64], Table]:
    """Return radii from a corner (0) to an arc of the same length and turn of 90 degrees, and the table of these at an orientation."""
    length = 0.9 * field
    bends = np.linspace(0, length / (np.pi / 2), MORPHS)
    given = {name: float(condition[name]) for name in ("x", "y", "ink_lightness", "ground_lightness")}
    width = float(condition["width"]) if "width" in (condition.dtype.names or ()) else 0.06 * field
    table = FAMILIES["corners"].grid(radius=bends, angle=90, length=length, width=max(width, 0.001), **given)
    table["orientation"] = orientation
    return bends, table


def _turned(curve: Responses) -> Responses:
    """Return a curve that is largest at its first angle."""
    found: Responses = np.roll(curve, -int(curve.argmax()))
    return found
