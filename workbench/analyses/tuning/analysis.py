"""How units respond as a stimulus turns, and whether that is more than random weights give."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field, PrivateAttr

from workbench.analyses.analysis import Analysis, Result, register
from workbench.analyses.tuning import figures
from workbench.analyses.tuning.closely import (
    PLACES,
    CloseLook,
    amplitude,
    at_best_frequency,
    half_share,
    lean,
    strongest,
)
from workbench.finite import plain
from workbench.input_error import InputError
from workbench.models.receptive_field import receptive_field
from workbench.task import Task
from workbench.tuned.probes import FEATURES, Feature, Probe, Responses, probe_of, scaled
from workbench.tuned.scores import Scores, measured

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from workbench.images.image_set import ImageSet
    from workbench.models.layer import Layer
    from workbench.models.traced_model import TracedModel

Kept = Callable[[tuple[object, ...], Callable[[], Any]], Any]
"""What gives a value that was made before for a key, or makes it."""
SHOWN = 16
"""Units that further stimuli are shown to, at most."""
RANKED = 10
NULLS = (
    *("r2", "index", "score", "family_r2", "family_index", "curve", "hue", "grating", "morph"),
    *("hue_amplitude", "grating_amplitude", "position_share", "morph_lean"),
)
"""What is kept of each random-weight twin."""
NAMED = ("score", "r2", "index", "second_peak", "preferred", "half_width")


@register
class Tuning(Analysis):
    """Show stimuli of one kind at all orientations to a layer, fit a bump to each unit's response, and rank the units.

    Stimuli are sized to the receptive field of the layer's middle position and stand in its middle; what is read is the activation there,
    above that to the plain ground. Each unit's condition (radius, stroke, dark or light) is the one with the largest response in a first
    rendering, where the bump is fitted too; R2, second peak and curve-vs-line index (see `workbench.tuned.curve`) are those of a second
    one: orientations half a step further, other places and strokes. The index compares with all lines. The *best family* has a unit for
    each of eight angles at one condition, chosen on the first rendering.

    The null is a max-statistic: the same done with twins of random weights at the same scale, of which the best unit (and the best family)
    of the whole layer counts. What does not beat all twins may be what looking through a layer finds in any network.

    Arrays; u is a unit of the layer, s one that was asked for (at most 16), o an orientation, c a condition, t a twin:

    ``r2`` ``index`` ``score`` ``second_peak`` ``preferred`` ``half_width`` ``best`` ``condition``
        ``u``; score is the weaker of R2 and index, angles are degrees, best is an activation above that to the ground.
    ``null_r2`` ``null_index`` ``null_score`` ``null_family_r2`` ``null_family_index``
        float64 ``t``: the best of each twin's layer.
    ``null_curve``
        float64 ``t o``: each twin's best unit by score, turned so that it prefers 0, over its largest response.
    ``family``
        int64 ``8``: units of the best family, -1 where there is none for the angle.
    ``ranking``
        int64 ``u``: units, best score first.
    ``units`` ``orientations`` ``orientations_second`` ``curve`` ``curve_second``
        ``s``, degrees ``o``, float64 ``s o``: response at the unit's condition in both renderings.
    ``levels`` ``heatmap``
        ``l``, float64 ``s l o``: second variable of the stimuli (radius, frequency ... in fractions of, or cycles over, the image's side),
        and the response at the unit's stroke, mean of both renderings.
    ``frequencies`` ``grating``
        ``f``, float64 ``s f g``: best of four phases, at gratings of g orientations over 180 degrees.
    ``hues`` ``hue``
        Degrees ``h``, float64 ``s h``: patches of one colour as large as the receptive field, above a grey one.
    ``places`` ``position``
        Fractions of the receptive field ``p``, float64 ``s p p`` (y, x): the unit's best stimulus moved about.
    ``morph_radius`` ``morph``
        Radii ``m`` from a corner (0) to the arc of the same length and turn, and float64 ``s m``, at the orientation the unit prefers.
    ``strongest`` ``hue_amplitude`` ``grating_amplitude``
        float64 ``u``: largest response, up or down, to anything, at least a little of the layer's; amplitude of the first harmonic over the
        angles (gratings: at the unit's best frequency) over it.
    ``position_share`` ``morph_lean``
        float64 ``s``: part of the places with at least half of the largest response; arc less corner, over the largest.
    ``null_hue`` ``null_grating`` ``null_morph``
        float64 ``t h``, ``t g``, ``t m``: each twin's unit with the largest amplitude, turned so that it prefers 0, over its
        ``strongest``; the morph is of its best unit by score, over its largest, up or down (NaN where it does nothing).
    ``null_hue_amplitude`` ``null_grating_amplitude`` ``null_position_share`` ``null_morph_lean``
        float64 ``t``: the same of each twin, the largest of its layer, and of its best unit by score.
    """

    title: ClassVar[str] = "Tuning"
    version: ClassVar[int] = 3
    takes_bf16: ClassVar[bool] = False

    layer: str = Field(description="Layer; what is read is its middle position, before or behind a non-linearity as the layer stands.")
    units: tuple[int, ...] = Field(
        default=(), max_length=SHOWN, description="Units to look at closely: one, or those of a family; none: the best of the layer."
    )
    feature: Feature = Field(default="curves", description="What is turned.")
    orientations: int = Field(default=24, ge=12, le=180, description="Orientations in one period.")
    twins: int = Field(default=20, ge=0, le=200, description="Random-weight twins of the null; fewer than 20 are said to be too few.")
    seed: int = Field(default=0, ge=0, lt=2**31, description="Of the second rendering and the first twin.")

    _kept: Kept | None = PrivateAttr(default=None)

    def remembering(self, kept: Kept) -> Tuning:
        """Return the same analysis with a memory for what it does first, whichever units are looked at."""
        found = self.model_copy()
        found._kept = kept
        return found

    def compute(
        self, model: TracedModel, images: ImageSet | None, task: Task
    ) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Show the stimuli to the network and its twins, then more of them for the units looked at."""
        if not model.sees:
            raise InputError(f"{model.name} reads no images; there is nothing to show it")
        layer = model.layer(self.layer)
        layer.check(self.units)
        field, middle = scaled(model, receptive_field(model, layer))
        side = min(model.preprocessing.size)
        probe = probe_of(self.feature, field, middle, side, self.orientations)
        lines = probe_of("lines", field, middle, side, 12) if self.feature in ("curves", "corners") else None
        done, total = 0, self.twins + 2

        def within(note: str) -> Any:
            return lambda: task.step(done, total, note=note)

        def of_all() -> tuple[Any, ...]:
            note = within("showing stimuli to the network")
            look = CloseLook(model, layer, probe, field, middle, note)
            return measured(model, layer, probe, lines, field, self.seed, note), look.gratings(), look.hues()

        key = (layer.name, self.feature, self.orientations, self.seed)
        (responses, scores, shown), gratings, hues = of_all() if self._kept is None else self._kept(key, of_all)
        done = 1
        ranking = np.argsort(-scores.score, kind="stable")
        units = list(self.units) or ranking[: min(4, len(ranking))].tolist()
        look = CloseLook(model, layer, probe, field, middle, within("looking closely"))
        arrays = self._closely(look, responses, scores, units, gratings, hues)
        done = 2
        null: dict[str, list[Any]] = {name: [] for name in NULLS}
        for seed in range(self.twins):
            twin = model.twin(self.seed + seed)
            note = f"random-weight twin {seed + 1} of {self.twins}"
            other, found, _ = measured(twin, twin.layer(self.layer), probe, lines, field, self.seed, within(note))
            for name in ("r2", "index", "score"):
                null[name].append(np.nanmax(getattr(found, name), initial=0.0))
            null["family_r2"].append(found.family_r2)
            null["family_index"].append(found.family_index)
            best = int(found.score.argmax())
            curve = other[0][found.condition[best], :, best]
            null["curve"].append(np.roll(curve, -int(curve.argmax())) / max(float(curve.max()), 1e-12))
            look = CloseLook(twin, twin.layer(self.layer), probe, field, middle, within(note))
            for name, value in look.bands(other, found).items():
                null[name].append(value)
            done += 1
            task.step(done, total, note=note)
        arrays |= {f"null_{name}": np.array(values, np.float64) for name, values in null.items()}
        for name in ("curve", "hue", "grating", "morph"):  # also without a twin
            arrays[f"null_{name}"] = arrays[f"null_{name}"].reshape(self.twins, arrays[name].shape[-1])
        arrays |= {
            name: getattr(scores, name)
            for name in ("r2", "index", "score", "second_peak", "preferred", "half_width", "best", "condition", "family")
        }
        arrays["ranking"] = ranking
        stimuli = [_best(probe, scores, unit) for unit in units]
        return arrays, self._summary(layer, scores, arrays, ranking, shown, field * side) | {"best_stimuli": stimuli}

    def _closely(
        self,
        look: CloseLook,
        responses: list[Responses],
        scores: Scores,
        units: list[int],
        gratings: tuple[npt.NDArray[np.float64], Responses],
        patches: tuple[npt.NDArray[np.float64], Responses],
    ) -> dict[str, npt.NDArray[Any]]:
        """Return curves and maps of the units looked at."""
        probe = look.probe
        conditions, varied = probe.conditions, probe.conditions[probe.varied]
        levels = np.unique(varied)
        angles = np.arange(probe.orientations) * probe.period / probe.orientations
        strokes = [name for name in ("width", "ink_lightness", "phase", "low", "stripes") if name in (conditions.dtype.names or ())]
        heat, position, morph, bends = [], [], [], np.empty(0)
        for unit in units:
            own, preferred = conditions[scores.condition[unit]], float(scores.preferred[unit])
            same = np.all([conditions[name] == own[name] for name in strokes], axis=0)
            rows = [int(np.flatnonzero(same & (varied == level))[0]) for level in levels]
            heat.append((responses[0][rows, :, unit] + responses[1][rows, :, unit]) / 2)
            position.append(look.positions(own, preferred, unit))
            bends, rounded = look.morph(own, preferred, unit)
            morph.append(rounded)
        (frequencies, grating), (hues, hue) = gratings, patches
        most = strongest(responses, grating, hue)
        return {
            "units": np.array(units),
            "orientations": angles,
            "orientations_second": angles + probe.period / probe.orientations / 2,
            "curve": responses[0][scores.condition[units], :, units],
            "curve_second": responses[1][scores.condition[units], :, units],
            "levels": levels,
            "heatmap": np.stack(heat),
            "frequencies": frequencies,
            "grating": grating[:, :, units].transpose(2, 0, 1),
            "grating_amplitude": amplitude(at_best_frequency(grating), most),
            "strongest": most,
            "hues": hues,
            "hue": hue[:, units].T,
            "hue_amplitude": amplitude(hue, most),
            "places": np.linspace(-0.5, 0.5, PLACES),
            "position": np.stack(position),
            "position_share": np.array([half_share(one, most[unit]) for unit, one in zip(units, position, strict=True)]),
            "morph_radius": bends,
            "morph": np.stack(morph),
            "morph_lean": np.array([lean(one, most[unit]) for unit, one in zip(units, morph, strict=True)]),
        }

    def _summary(
        self,
        layer: Layer,
        scores: Scores,
        arrays: dict[str, npt.NDArray[Any]],
        ranking: npt.NDArray[np.int64],
        shown: int,
        field: float,
    ) -> dict[str, Any]:
        """Say what was found, each figure beside the best of the twins."""
        names = ("r2", "index", "score", "family_r2", "family_index")
        top = {name: float(arrays[f"null_{name}"].max()) if self.twins else float("nan") for name in names}
        both = self.feature in ("curves", "corners")
        beats = bool(scores.family_r2 > top["family_r2"] and (not both or scores.family_index > top["family_index"]))
        unit = int(ranking[0])
        verdict = f"The best family of {self.feature.replace('_', ' ')} in {layer.name} "
        if self.twins < 20:
            verdict = f"{self.twins} twins are too few for a null; ask for at least 20."
        elif beats:
            verdict += f"beats the best of {self.twins} random-weight twins."
        else:
            verdict += f"does not beat the best of {self.twins} random-weight twins: by this measure the layer has none."
        return {
            "layer": layer.name,
            "activation": {"pre": "pre-activation", "post": "post-activation"}.get(layer.role, "as the layer gives it"),
            "feature": self.feature,
            "period": FEATURES[self.feature][0],
            "varied": FEATURES[self.feature][1],
            "receptive_field": round(field, 2),
            "stimuli": shown,
            "twins": self.twins,
            "verdict": verdict,
            "family_beats_twins": beats if self.twins >= 20 else None,
            "family": [int(member) for member in scores.family],
            "family_r2": plain(scores.family_r2),
            "family_r2_null": plain(top["family_r2"]),
            "family_index": plain(scores.family_index),
            "family_index_null": plain(top["family_index"]),
            "best_unit": unit,
            "best_r2": plain(scores.r2[unit]),
            "r2_null": plain(top["r2"]),
            "best_index": plain(scores.index[unit]),
            "index_null": plain(top["index"]),
            "best_score": plain(scores.score[unit]),
            "score_null": plain(top["score"]),
            "units_above_null": int((scores.score > top["score"]).sum()) if self.twins else None,
            "units": layer.units,
            "ranked": [
                {"unit": int(one), **{name: plain(getattr(scores, name)[one]) for name in NAMED}} for one in ranking[:RANKED]
            ],
        }

    @classmethod
    def draw(cls, result: Result) -> dict[str, Figure]:
        """Draw each unit looked at, and the layer's scores beside the twins'."""
        return figures.draw(result)


def _best(probe: Probe, scores: Scores, unit: int) -> dict[str, float]:
    """Return the parameters of the stimulus a unit prefers."""
    row = probe.conditions[scores.condition[unit]]
    found = {name: float(row[name]) for name in probe.conditions.dtype.names or ()}
    return found | {"orientation": round(float(scores.preferred[unit]), 2)}
