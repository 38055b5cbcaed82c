"""Gradient ascent on images: parameterization -> transforms -> network, truncated after the last layer read -> objective -> step.

Everything but the network is kept small beside it: one leaf tensor and one optimiser for the whole batch, one batched inverse FFT,
one resampling for all transforms together, normalisation as one multiply-add. The weights take no gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.analyses.feature_visualization.folding import folded
from workbench.analyses.feature_visualization.gradients import (
    Gain,
    QuasiHyperbolicAdam,
    RedirectedRelu,
    beside,
    is_zero,
)
from workbench.analyses.feature_visualization.objectives import Neuron, Objective, Rows
from workbench.analyses.feature_visualization.parameterization import Maco, Parameterization
from workbench.analyses.feature_visualization.transforms import Robustness, crops, identity, resample
from workbench.input_error import InputError
from workbench.models.receptive_field import receptive_field

if TYPE_CHECKING:
    from workbench.models.layer import Layer
    from workbench.models.traced_model import TracedModel

GREY = 0.5
"""What lies outside a moved image (Lucid pads with it)."""
REDIRECTED_STEPS = 16
MACO_NOISE = 0.08


@dataclass(frozen=True)
class Subjects:
    """What each row of a batch is rendered for.

    Attributes
    ----------
    units
        One per row; the seeds of a unit stand together.
    seeds
        Rows per unit.
    directions
        One per row, where rows are rendered for directions.
    pictures
        One per row in [0, 1] at the size rendered, where rows are caricatures.
    """

    units: Int[Tensor, "row"]
    seeds: int = 1
    directions: Float[Tensor, "row unit"] | None = None
    pictures: Float[Tensor, "row channel y x"] | None = None

    def only(self, rows: Int[Tensor, "chosen"]) -> Subjects:
        """Return some of the rows, those of a unit all or none."""
        directions = self.directions[rows] if self.directions is not None else None
        pictures = self.pictures[rows] if self.pictures is not None else None
        return Subjects(self.units[rows], self.seeds, directions, pictures)


class Scene:
    """The plain network as a function of images in [0, 1]: what the objective reads, for one batch of subjects.

    Parameters
    ----------
    size
        Of the network's input; images of another size are resampled to it.
    optimising
        Use a version of the network that is faster to differentiate and equal but for rounding; the default is the network itself.
    bf16
        Run convolutions and products in bfloat16; the objective itself is always taken in float32.
    """

    def __init__(
        self,
        model: TracedModel,
        objective: Objective,
        subjects: Subjects,
        size: tuple[int, int],
        *,
        optimising: bool = False,
        bf16: bool = False,
    ) -> None:
        self.objective = objective
        self.size = size
        self.subjects = subjects
        self.layers = [model.layer(name) for name in objective.layers]
        cut = model.forward_to([layer.name for layer in self.layers])
        self.network = replace(cut, module=folded(cut.module)) if optimising else cut
        self.bf16 = bf16
        self.device, self.dtype = model.device, model.dtype
        channels = model.preprocessing.channels
        # Normalisation is affine per channel: as one multiply-add of (image - grey), which resampling pads with 0.
        flat = torch.full((1, channels, 1, 1), GREY, device=self.device)
        self.shift = model.normalise(flat)
        self.scale = (model.normalise(flat + GREY) - self.shift) / GREY

    def only(self, rows: Int[Tensor, "chosen"]) -> Scene:
        """Return the same network for some of the subjects."""
        chosen = copy(self)
        chosen.subjects = self.subjects.only(rows)
        return chosen

    def rows(
        self,
        images: Float[Tensor, "row channel y x"],
        maps: Float[Tensor, "map 2 3"] | None = None,
        noise: Float[Tensor, "map_and_row channel y2 x2"] | None = None,
    ) -> Rows:
        """Run the network on the images, each seen through every map.

        Parameters
        ----------
        maps
            From `transforms`; None shows the images as they are.
        noise
            Added to what the maps show, in units of the image's range.
        """
        if maps is None and tuple(images.shape[2:]) != self.size:
            maps = identity()
        count = 1 if maps is None else len(maps)
        subjects = self.subjects
        references = None
        if subjects.pictures is not None:
            with torch.no_grad():
                references = self._activations(subjects.pictures, maps, noise)
        return Rows(
            self._activations(images, maps, noise),
            subjects.units.repeat(count),
            subjects.seeds,
            subjects.directions.repeat(count, 1) if subjects.directions is not None else None,
            references,
        )

    def _activations(self, images: Tensor, maps: Tensor | None, noise: Tensor | None) -> Mapping[str, Tensor]:
        shown = images - GREY
        if maps is not None:
            shown = resample(shown, maps, self.size)
        if noise is not None:
            shown = shown + noise
        network_input = torch.addcmul(self.shift, shown, self.scale).to(self.dtype, memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            values = self.network(network_input)
        return {
            name: layer.arrange(value)
            for name, layer, value in zip(self.objective.layers, self.layers, values, strict=True)
        }

    def score(
        self,
        images: Float[Tensor, "row channel y x"],
        maps: Float[Tensor, "map 2 3"] | None = None,
    ) -> Float[Tensor, "row"]:
        """Return the objective as a mean over the maps, one map at a time, without gradient."""
        with torch.no_grad():
            each = [None] if maps is None else list(maps.split(1))
            return torch.stack([self.objective.value(self.rows(images, one)) for one in each]).mean(0)


def fitting_size(model: TracedModel, objective: Objective, size: tuple[int, int]) -> tuple[int, int]:
    """Return the input size to render at: `size` or the next larger at which the layers can be read, at most the network's own.

    Convolutions take any size that leaves something of the map; position embeddings, windows and flattened maps take one.
    """
    native = model.preprocessing.size
    for factor in (1, 1.25, 1.5, 2, 3):
        tried = size if factor == 1 else (16 * round(size[0] * factor / 16), 16 * round(size[1] * factor / 16))
        if tried == native or (factor > 1 and (tried[0] >= native[0] or tried[1] >= native[1])):
            break
        blank = torch.full((2, model.preprocessing.channels, *tried), GREY, device=model.device, dtype=model.dtype)
        try:
            with torch.no_grad():
                values = model.forward_to(objective.layers)(model.normalise(blank))
        except (RuntimeError, AssertionError):
            continue
        if all(value.numel() for value in values):
            return tried
    return native


def suggested_size(model: TracedModel, layer: Layer, objective: Objective) -> tuple[int, int]:
    """Return an image size that shows the layer whole and wastes nothing, at most the network's input.

    A single neuron sees its receptive field, and the transforms a margin beside it; a channel is given twice the field, so that its feature
    can stand in it, in multiples of 32 pixels.
    """
    native = model.preprocessing.size
    neuron = all(isinstance(term, Neuron) for _, term in objective.terms)
    field = receptive_field(model, layer)
    wanted = [32 * math.ceil((side * 1.2 if neuron else side * 2) / 32) for side in (field.height, field.width)]
    return min(wanted[0], native[0]), min(wanted[1], native[1])


@dataclass(frozen=True)
class Ascent:
    """How the images are optimised.

    Attributes
    ----------
    steps
        Optimisation steps.
    learning_rate
        Of the optimiser.
    robustness
        Transforms, drawn anew at each step; None for none.
    crops
        Crops per image and step, for MACO in place of `robustness`.
    tolerance
        Stop when no image's objective grew by more than this part of itself between the last 16 steps and the 16 before; 0 never stops.
    seed
        Of the transforms.
    """

    steps: int
    learning_rate: float
    robustness: Robustness | None
    crops: int
    tolerance: float = 0.0
    seed: int = 0

    def run(
        self,
        scene: Scene,
        parameterization: Parameterization,
        step: Callable[[float], None] = lambda done: None,
    ) -> tuple[Float[Tensor, "step row"], Float[Tensor, "row y x"] | None]:
        """Optimise the variables in place, calling `step` with the number of steps done after each, and with a part more inside it.

        Returns
        -------
        history
            The objective at each step, through that step's transforms.
        attention
            For MACO the absolute gradient of the image, summed over steps and channels: where the objective looked; else None.
        """
        variables = parameterization.variables
        optimiser = QuasiHyperbolicAdam(variables, self.learning_rate)
        generator = torch.Generator().manual_seed(self.seed)
        gain = Gain(len(variables), scene.device)
        history: list[Tensor] = []
        attention = None
        for done in range(1, self.steps + 1):
            maps, noise = self._maps(done, scene, parameterization, generator)
            image = parameterization.image()
            value = _value(scene, image, maps, noise)
            step(done - 0.5)  # who waits for the worker waits for half a step
            if isinstance(parameterization, Maco):
                gradient, of_image = torch.autograd.grad(value, [variables, image], gain.factors)
                seen = of_image.abs().sum(1) / gain.factors.view(-1, 1, 1)
                attention = seen if attention is None else attention + seen
            else:
                (gradient,) = torch.autograd.grad(value, variables, gain.factors)
            if done == 1 and not (value.isfinite().all() and gradient.isfinite().all()):
                raise InputError(f"{scene.objective} is not a finite number on noise; check the network's weights")
            if done <= REDIRECTED_STEPS:
                step(done - 0.25)
                gradient = _redirected(scene, parameterization, maps, noise, gain, gradient)
            optimiser.step(gain.settle(gradient))
            history.append(value.detach())
            step(done)
            if self._settled(history):
                break
        return torch.stack(history), attention

    def _maps(
        self, done: int, scene: Scene, parameterization: Parameterization, generator: torch.Generator
    ) -> tuple[Tensor | None, Tensor | None]:
        """Draw this step's maps, and the noise that MACO adds to its crops."""
        if isinstance(parameterization, Maco):
            width = 0.5 + (0.05 - 0.5) * (done - 1) / max(1, self.steps - 1)
            maps = crops(self.crops, width, generator)
            shape = (self.crops, parameterization.channels, *scene.size)
            drawn = torch.randn(shape, generator=generator) + torch.rand(shape, generator=generator) - 0.5
            return maps, MACO_NOISE * drawn.repeat_interleave(len(parameterization.variables), 0)
        if self.robustness is not None:
            return self.robustness.draw(1, generator, scene.size[1] / scene.size[0]), None
        return None, None

    def _settled(self, history: Sequence[Tensor]) -> bool:
        if not self.tolerance or len(history) < 48 or len(history) % 8:
            return False
        before, now = torch.stack(list(history[-32:-16])).mean(0), torch.stack(list(history[-16:])).mean(0)
        return bool((now - before <= self.tolerance * before.abs()).all())


def _value(scene: Scene, image: Tensor, maps: Tensor | None, noise: Tensor | None) -> Float[Tensor, "row"]:
    """Return the objective of each image, as a mean over the maps."""
    return scene.objective.value(scene.rows(image, maps, noise)).view(-1, len(image)).mean(0)


def _redirected(
    scene: Scene,
    parameterization: Parameterization,
    maps: Tensor | None,
    noise: Tensor | None,
    gain: Gain,
    gradient: Tensor,
) -> Tensor:
    """Return the gradient, in rows that got none replaced by what `RedirectedRelu` lets through."""
    blocked = is_zero(gradient)
    if not blocked.any():
        return gradient
    groups = blocked.view(-1, scene.subjects.seeds).any(1).repeat_interleave(scene.subjects.seeds)
    rows = groups.nonzero().flatten()
    if noise is not None:
        noise = noise.unflatten(0, (-1, len(blocked)))[:, rows].flatten(0, 1)
    with RedirectedRelu():
        value = _value(scene.only(rows), parameterization.image()[rows], maps, noise)
        (found,) = torch.autograd.grad(value, parameterization.variables, gain.factors[rows])
    return torch.where(beside(blocked, gradient), found, gradient)
