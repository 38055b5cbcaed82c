"""What does a unit look for? An image is optimised until the unit responds to it.

The parts: `parameterization` (what is optimised in place of pixels), `transforms` (what the image must survive), `objectives` (what
is increased), `render` (the ascent), with `gradients` (what becomes of a gradient) and `folding` (a network cheaper to differentiate)
for it, and `figures`. Here they are put together, as `FeatureVisualization`.

Sources: Olah, Mordvintsev and Schubert, "Feature Visualization", Distill 2017, and its code, Lucid.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field, field_validator
from torch import Tensor

from workbench.analyses.analysis import Analysis, Result, register
from workbench.analyses.feature_visualization.objectives import (
    Caricature,
    Channel,
    Direction,
    Diversity,
    Neuron,
    Objective,
    diversity,
    parse,
)
from workbench.analyses.feature_visualization.parameterization import (
    Fourier,
    ImageStatistics,
    Maco,
    Parameterization,
    Pixel,
)
from workbench.analyses.feature_visualization.render import (
    GREY,
    Ascent,
    Scene,
    Subjects,
    fitting_size,
    suggested_size,
)
from workbench.analyses.feature_visualization.transforms import Robustness
from workbench.input_error import InputError
from workbench.models.device import computes_bf16
from workbench.models.expanded import centre
from workbench.task import Task
from workbench.visualization_levels import COARSE, FINE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from workbench.images.image_set import ImageSet
    from workbench.models.layer import Layer
    from workbench.models.traced_model import TracedModel

__all__ = ["COARSE", "FINE", "FeatureVisualization"]

STATISTICS_IMAGES = 256
"""Images of the set that colour and spectrum are measured on."""
HELD_OUT_SEED = 1 << 20
"""Far from any seed a user would choose: the transforms that score were not optimised for."""
PREVIEWS = 10
"""Previews per batch of units."""


@register
class FeatureVisualization(Analysis):
    """Optimise images for units, or for whatever an objective names.

    Arrays (unit and seed in the order asked for):

    * ``images`` float32 ``unit seed y x 3`` in [0, 1]: what was optimised. Of a network that reads neither 1 nor 3 channels, the first
      three; all of them are in ``channels``, ``unit seed y x channel``.
    * ``scores`` ``unit seed``: the objective (without diversity, and without the sign of `negative`) on the plain network, float32, the
      image as it is. ``robust_scores``: the same as a mean over held-out transforms. ``noise_scores``: of the noise it began with, the
      null level.
    * ``history`` ``step unit seed``: what was increased, through each step's transforms; NaN after an early stop.
    * ``attention`` ``unit seed y x`` (MACO only): the accumulated absolute gradient, largest value 1.

    Partial results are ``{unit: uint8 seed y x 3}`` of the batch at work.
    """

    title: ClassVar[str] = "Feature visualization"
    version: ClassVar[int] = 1

    layer: str = Field(description="Layer whose units are shown.")
    units: tuple[int, ...] = Field(
        (), description="Units of the layer; empty for all. For caricatures: indices of images of the set."
    )
    objective: str = Field(
        "channel",
        description="What is increased: channel, neuron, direction, deepdream, caricature, or an expression such as "
        "channel - 0.5 * diversity, or channel + 0.3 * neuron('mixed4a', 5).",
    )
    directions: tuple[tuple[float, ...], ...] = Field(
        (),
        description="For the objective direction: one image per direction of the layer's units, in place of `units`.",
    )
    negative: bool = Field(False, description="Decrease the objective: what the unit is most inhibited by.")
    seeds: int = Field(1, ge=1, le=16, description="Images per unit, from different noise.")
    diversity: float = Field(
        0.0, ge=0, le=100, description="Weight against likeness of a unit's images, relative to the layer's activation."
    )
    size: int = Field(
        0,
        ge=0,
        le=1024,
        description="Side of the image in pixels; 0: as large as the layer's receptive field asks, at most the input.",
    )
    steps: int = Field(256, ge=1, le=8192, description="Optimisation steps.")
    learning_rate: float = Field(0.05, gt=0, le=2, description="Step size of Adam.")
    parameterization: Literal["fourier", "maco", "pixel"] = Field(
        "fourier", description="fourier: scaled frequencies; maco: phases only, natural magnitudes; pixel: plain."
    )
    decay: float = Field(1.0, ge=0, le=3, description="fourier: power by which higher frequencies are damped.")
    decorrelate: bool = Field(True, description="Optimise in the colour space of natural images.")
    transforms: bool = Field(True, description="Move, scale and turn the image a little at each step.")
    crops: int = Field(8, ge=1, le=64, description="maco: crops of the image per step.")
    precision: Literal["fp32", "bf16", "auto"] = Field(
        "fp32",
        description="Number type of the network while optimising; auto: bf16 where the processor computes in it. "
        "Scores are always fp32.",
    )
    tolerance: float = Field(
        0.0, ge=0, le=1, description="Stop early when no image gained more than this part in 16 steps; 0: never."
    )
    batch: int = Field(8, ge=1, le=256, description="Units rendered together.")
    held_out: int = Field(8, ge=0, le=256, description="Transforms, not seen while optimising, for the robust scores.")
    seed: int = Field(0, ge=0, lt=2**20, description="Of noise and transforms.")

    @field_validator("objective")
    @classmethod
    def _readable(cls, expression: str) -> str:
        parse(expression, "layer")
        return expression

    def composed(self, layer: str) -> Objective:
        """Return what is increased, signs and diversity included; its name is in the provenance."""
        objective = parse(self.objective, layer)
        if self.negative:
            objective = -objective
        return objective - self.diversity * diversity(layer) if self.diversity else objective

    def provenance(self, model: TracedModel, images: ImageSet | None) -> dict[str, Any]:
        """Add the objective's full name."""
        return super().provenance(model, images) | {"objective": str(self.composed(model.layer(self.layer).name))}

    def key(self, model: TracedModel, images: ImageSet | None = None) -> str:
        """Set apart what was once rendered otherwise; a higher version would set apart the images that come with networks, too."""
        key = super().key(model, images)
        read = [model.layer(name) for name in _without_position(parse(self.objective, self.layer))]
        moved = any(centre(layer) != tuple(size // 2 for size in layer.positions) for layer in read)
        refused = bool(self.directions) and not self._reads_directions
        return hashlib.sha256(f"{key} 2".encode()).hexdigest()[:32] if moved or refused else key

    @property
    def _reads_directions(self) -> bool:
        """Whether a term of the objective is a direction that each row gives."""
        return any(isinstance(term, Direction) and term.vector is None for _, term in parse(self.objective, self.layer).terms)

    def compute(
        self, model: TracedModel, images: ImageSet | None, task: Task
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Render batch by batch; see the class for the arrays."""
        layer = model.layer(self.layer)
        objective = self.composed(layer.name)
        units = self._units(model, layer, objective, images)
        size = (self.size, self.size) if self.size else suggested_size(model, layer, objective)
        network_size = fitting_size(model, objective, size)
        stage = _Stage(
            size=size,
            network_size=network_size,
            middles=_middles(model, objective, network_size),
            statistics=self._statistics(model, images, size),
            bf16=self.precision == "bf16" or (self.precision == "auto" and computes_bf16(model.device)),
        )
        batches = [units[start : start + self.batch] for start in range(0, len(units), self.batch)]
        parts = [self._render(model, images, stage, batches, index, task) for index in range(len(batches))]
        arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        arrays["history"] = np.moveaxis(arrays["history"], 2, 0)
        arrays["images"] = np.ascontiguousarray(_as_rgb(arrays["channels"]))
        if model.preprocessing.channels in (1, 3):
            del arrays["channels"]
        return arrays, self._summary(layer, objective, units, stage, arrays)

    def _render(
        self,
        model: TracedModel,
        images: ImageSet | None,
        stage: _Stage,
        batches: list[list[int]],
        index: int,
        task: Task,
    ) -> dict[str, np.ndarray]:
        """Optimise one batch of units and score it; arrays begin with unit and seed."""
        units = batches[index]
        layer = model.layer(self.layer).name
        subjects = self._subjects(model, images, units, stage.size)
        parameterization = self._parameterization(units, stage, model.device)
        increased = self.composed(layer).placed(stage.middles)
        scene = Scene(model, increased, subjects, stage.network_size, optimising=True, bf16=stage.bf16)
        ascent = Ascent(
            self.steps,
            self.learning_rate,
            Robustness() if self.transforms else None,
            self.crops,
            self.tolerance,
            self.seed,
        )
        every = max(1, self.steps // PREVIEWS)

        def step(done: float) -> None:
            shown = done % every == 0
            partial = _previews(units, self.seeds, parameterization) if shown else None
            task.step(index * self.steps + done, len(batches) * self.steps, partial)

        with torch.no_grad():
            start = parameterization.image()
        history, attention = ascent.run(scene, parameterization, step)
        with torch.no_grad():
            image = parameterization.image()
        plain = Scene(model, self._scored(layer).placed(stage.middles), subjects, stage.network_size)
        missing = self.steps - len(history)
        rows = {
            "channels": image.permute(0, 2, 3, 1),
            "scores": plain.score(image),
            "noise_scores": plain.score(start),
            "history": torch.nn.functional.pad(history, (0, 0, 0, missing), value=float("nan")).T,
        }
        if self.held_out:
            generator = torch.Generator().manual_seed(HELD_OUT_SEED + self.seed)
            maps = Robustness().draw(self.held_out, generator, stage.size[1] / stage.size[0])
            rows["robust_scores"] = plain.score(image, maps)
        if attention is not None:
            rows["attention"] = attention / attention.amax((1, 2), keepdim=True).clamp(min=1e-30)
        return {name: values.unflatten(0, (len(units), self.seeds)).cpu().numpy() for name, values in rows.items()}

    def _units(self, model: TracedModel, layer: Layer, objective: Objective, images: ImageSet | None) -> list[int]:
        """Return what is rendered: units, or the indices of directions or of pictures; refuse what does not exist."""
        for _, term in objective.terms:
            named = model.layer(term.layer)
            unit = term.unit if isinstance(term, Channel | Neuron) else None
            if unit is not None:
                named.check((unit,))
        if self.directions and not self._reads_directions:
            raise InputError(f"the objective {self.objective!r} reads none of `directions`; choose direction, or leave `directions` empty")
        if self.directions:
            return list(range(len(self.directions)))
        if self._reads_directions:
            raise InputError(f"the objective {self.objective!r} needs `directions`, each of {layer.units} numbers")
        if any(isinstance(term, Caricature) for _, term in objective.terms):
            if images is None:
                raise InputError("a caricature needs pictures; give an image set, and indices of its images as units")
            kind, count = f"image set {images.name} has images", len(images)
        else:
            kind, count = f"layer {layer.name} has units", layer.units
        wrong = [unit for unit in self.units if not 0 <= unit < count]
        if wrong:
            raise InputError(f"{kind} 0 to {count - 1}, not {', '.join(map(str, wrong))}")
        return list(self.units) or list(range(count))

    def _subjects(
        self, model: TracedModel, images: ImageSet | None, units: list[int], size: tuple[int, int]
    ) -> Subjects:
        """Say what each row is rendered for, the seeds of a unit side by side."""
        rows = torch.tensor(units, device=model.device).repeat_interleave(self.seeds)
        objective = parse(self.objective, self.layer)
        directions = pictures = None
        if self.directions:
            directions = torch.tensor(self.directions, device=model.device)[rows]
        if images is not None and any(isinstance(term, Caricature) for _, term in objective.terms):
            shown = torch.from_numpy(np.stack([images.image(unit, size) for unit in units])).to(model.device)
            pictures = _fit_channels(shown.permute(0, 3, 1, 2) / 255, model.preprocessing.channels)
            pictures = pictures.repeat_interleave(self.seeds, 0)
        return Subjects(rows, self.seeds, directions, pictures)

    def _parameterization(self, units: list[int], stage: _Stage, device: torch.device) -> Parameterization:
        seeds = [noise_seed(self.seed, unit, number) for unit in units for number in range(self.seeds)]
        common: dict[str, Any] = {"decorrelate": self.decorrelate, "device": device}
        match self.parameterization:
            case "fourier":
                return Fourier(seeds, stage.size, stage.statistics, decay=self.decay, **common)
            case "pixel":
                return Pixel(seeds, stage.size, stage.statistics, **common)
            case "maco":
                return Maco(seeds, stage.size, stage.statistics, **common)

    def _scored(self, layer: str) -> Objective:
        """Return the objective without diversity and sign, so that a score is an activation."""
        objective = parse(self.objective, layer)
        return objective.without(Diversity) if objective.without(Diversity).terms else objective

    def _statistics(self, model: TracedModel, images: ImageSet | None, size: tuple[int, int]) -> ImageStatistics:
        """Measure colour and spectrum on the images where there are some the network could read, else take the usual ones."""
        channels = model.preprocessing.channels
        if images is None or not len(images) or channels not in (1, 3):
            return ImageStatistics.usual(channels)
        chosen = np.linspace(0, len(images) - 1, min(STATISTICS_IMAGES, len(images))).astype(np.int64)
        read = [torch.from_numpy(batch.images) for batch in images.batches(size, 32, chosen)]
        if not read:
            raise InputError(f"none of the images of {images.name} can be read; give another set, or none")
        return ImageStatistics.measured(_fit_channels(torch.cat(read).permute(0, 3, 1, 2) / 255, channels))

    def _summary(
        self, layer: Layer, objective: Objective, units: list[int], stage: _Stage, arrays: dict[str, np.ndarray]
    ) -> dict[str, Any]:
        history = arrays["history"]
        return {
            "objective": str(objective),
            "layer": layer.name,
            "role": layer.role,
            "units": units,
            "seeds": self.seeds,
            "size": list(stage.size),
            "network_size": list(stage.network_size),
            "precision": "bf16" if stage.bf16 else "fp32",
            "statistics": "measured on the images" if stage.statistics.spectrum is not None else "usual",
            "steps": int(np.isfinite(history).all((1, 2)).sum()),
            "median_score": float(np.median(arrays["scores"])),
            "median_noise_score": float(np.median(arrays["noise_scores"])),
            "blank": [
                unit
                for unit, scores, noise in zip(units, arrays["scores"], arrays["noise_scores"], strict=True)
                if np.allclose(scores, noise, rtol=1e-3, atol=0)
            ],
        }

    @classmethod
    def draw(cls, result: Result) -> dict[str, Figure]:
        """Draw the contact sheet, each image under its unit and score, and the course of the objective."""
        from workbench.analyses.feature_visualization.figures import contact_sheet, progress

        return {"contact_sheet": contact_sheet(result), "history": progress(result)}


@dataclass(frozen=True)
class _Stage:
    """What holds for all batches of a run."""

    size: tuple[int, int]
    network_size: tuple[int, int]
    middles: dict[str, tuple[int, ...]]
    statistics: ImageStatistics
    bf16: bool


def _without_position(objective: Objective) -> list[str]:
    """Return the layers of the neurons that name no position, each once."""
    found = (term.layer for _, term in objective.terms if isinstance(term, Neuron) and term.position is None)
    return list(dict.fromkeys(found))


def _middles(model: TracedModel, objective: Objective, size: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    """Return where the neurons that name no position are read, by layer, when the network reads images of a size."""
    names = _without_position(objective)
    if not names:
        return {}
    blank = torch.full((2, model.preprocessing.channels, *size), GREY, device=model.device, dtype=model.dtype)
    layers = [model.layer(name) for name in names]
    with torch.no_grad():
        values = model.forward_to([layer.name for layer in layers])(model.normalise(blank))
    arranged = (layer.arrange(value) for layer, value in zip(layers, values, strict=True))
    return {name: centre(layer, value.shape[2:]) for name, layer, value in zip(names, layers, arranged, strict=True)}


def noise_seed(seed: int, unit: int, number: int) -> int:
    """Return a seed for one image's noise that depends on nothing but the run's seed, the unit and the image's number."""
    return int(np.random.SeedSequence([seed, unit, number]).generate_state(1, np.uint64)[0] >> 1)


def _previews(units: list[int], seeds: int, parameterization: Parameterization) -> dict[int, np.ndarray]:
    with torch.no_grad():
        image = parameterization.image().permute(0, 2, 3, 1).unflatten(0, (len(units), seeds)).cpu().numpy()
    shown = (_as_rgb(image) * 255).round().astype(np.uint8)
    return dict(zip(units, shown, strict=True))


def _as_rgb(channels: np.ndarray) -> np.ndarray:
    """Return images of three channels (last axis) to look at: grey repeated, otherwise the first three."""
    count = channels.shape[-1]
    if count == 1:
        return np.repeat(channels, 3, -1)
    return np.pad(channels[..., :3], [(0, 0)] * (channels.ndim - 1) + [(0, max(0, 3 - count))])


def _fit_channels(images: Float[Tensor, "image channel y x"], channels: int) -> Float[Tensor, "image channel2 y x"]:
    return images.mean(1, keepdim=True) if channels == 1 else images
