"""Drawing with a diffusion network: from noise to an image in some tens of steps, each of which says what it expects to see.

The sampler is diffusers' deterministic one (DDIM, Song et al. 2021) with classifier-free guidance (Ho & Salimans 2022); it starts behind
the place where an image would be mixed with noise, in the same graph that all other analyses look into.
"""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int64
from pydantic import Field, field_validator
from torch import Tensor

from workbench.analyses.analysis import Analysis, Result, register
from workbench.input_error import InputError
from workbench.models.caption_tokenizer import tokens_of
from workbench.models.diffusion import NOISY, TEXT, Predict, Sampling, denoise, guided
from workbench.task import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from workbench.images.image_set import ImageSet
    from workbench.models.traced_model import TracedModel

BATCH, PIXELS = 16, 16 * 64**2
"""Images drawn together at most, and the pixels they may have together."""
SHOWN = 9
"""Steps of a trajectory that a figure shows."""
LETTERS = 200
"""Of a prompt that is refused."""


@register
class Generation(Analysis):
    """Draw images from prompts with a diffusion network.

    Every prompt is drawn from the same noise: image i of each prompt has the seed ``seed + i``, so that images of two prompts (or of one
    before and after an edit) differ by what was changed only.

    Arrays:

    * ``images`` float32 ``prompt image y x 3`` in [0, 1].
    * ``trajectory`` uint8 ``step prompt image y x 3``: the clean image the network expects at each step, guided.
    * ``timesteps`` int64 ``step``: the noise levels, from the highest on.

    Partial results are uint8 ``prompt image y x 3``: what is expected so far, grey where nothing is yet.
    """

    title: ClassVar[str] = "Generate images"
    version: ClassVar[int] = 3

    prompts: tuple[str, ...] = Field(("",), max_length=64, description="What is drawn, one text each; none: anything.")
    images: int = Field(4, ge=1, le=256, description="Images of each prompt.")
    seed: int = Field(0, ge=0, le=2**31 - 257, description="Of the first image's noise; the next one has the next.")
    steps: int = Field(40, ge=1, le=1000, description="Noise levels gone through.")
    guidance: float | None = Field(
        None,
        ge=0,
        le=30,
        description="How far a prompt is followed beyond what the network says with it; 1: no further, 0: not at all; "
        "none: as far as suits the network, else 3.",
    )

    @field_validator("prompts", mode="before")
    @classmethod
    def _at_least_one(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value or ("",)

    def compute(
        self, model: TracedModel, images: ImageSet | None, task: Task
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Draw all prompts, a few images at a time."""
        sampling = model.sampling
        if sampling is None:
            raise InputError(f"{model.name} draws nothing; open a diffusion network, such as diffusers:PATH_OR_ID")
        if any(self.prompts) and model.tokenize is None:
            raise InputError(f"{model.name} reads no prompt; leave it empty, and the style as well")
        self._check_lengths(model)
        levels = len(sampling.scheduler().alphas_cumprod)
        if self.steps > levels:
            raise InputError(f"steps = {self.steps}: {model.name} has {levels} noise levels")
        guidance = sampling.guidance if self.guidance is None else self.guidance
        rows = [(prompt, image) for prompt in range(len(self.prompts)) for image in range(self.images)]
        height, width = _pixels(sampling)
        batch = max(1, min(BATCH, PIXELS // (height * width)))
        expected = np.zeros((self.steps, len(rows), height, width, 3), np.uint8)
        drawn = np.zeros((len(rows), height, width, 3), np.float32)
        shown = np.full(drawn.shape, 128, np.uint8)
        shape = (len(self.prompts), self.images, *drawn.shape[1:])
        timesteps = np.zeros(self.steps, np.int64)
        with torch.inference_mode():
            for first in range(0, len(rows), batch):
                part = rows[first : first + batch]
                place = slice(first, first + len(part))
                predict = _predictor(model, [self.prompts[prompt] for prompt, _ in part], guidance)
                left = torch.cat([self._noise(sampling, image) for _, image in part]).to(model.device, model.dtype)
                for step, (timestep, clean, rest) in enumerate(denoise(sampling, predict, left, self.steps)):
                    timesteps[step], left = timestep, rest
                    expected[step, place] = shown[place] = np.rint(255 * _images(sampling, clean))
                    done = first * self.steps + (step + 1) * len(part)
                    task.step(done, len(rows) * self.steps, shown.reshape(shape).copy(), note=f"timestep {timestep}")
                drawn[place] = _images(sampling, left)
        arrays: dict[str, np.ndarray] = {
            "images": drawn.reshape(shape),
            "trajectory": expected.reshape(self.steps, *shape),
            "timesteps": timesteps,
        }
        seeds = [self.seed + image for image in range(self.images)]
        return arrays, {"prompts": list(self.prompts), "seeds": seeds, "guidance": guidance}

    def _check_lengths(self, model: TracedModel) -> None:
        """Refuse a prompt whose end, where the style stands, the tokenizer would cut off."""
        if model.tokenize is None:
            return
        most = model.tokenize([""]).shape[1]
        for prompt in self.prompts:
            tokens = tokens_of(model.tokenize, prompt)
            if tokens is not None and tokens > most:
                named = prompt if len(prompt) <= LETTERS else f"{prompt[: LETTERS - 1]}…"
                raise InputError(f"the prompt {named!r} has {tokens} tokens, {model.name} reads {most} at most; make it shorter")

    def _noise(self, sampling: Sampling, image: int) -> Float[Tensor, "1 c y x"]:
        return torch.randn((1, *sampling.shape), generator=torch.Generator().manual_seed(self.seed + image))

    @classmethod
    def draw(cls, result: Result) -> dict[str, Figure]:
        """Draw all images, and how the first of each prompt came to be."""
        return {"images": _sheet(result), "trajectory": _strips(result)}


def _predictor(model: TracedModel, prompts: list[str], guidance: float) -> Predict:
    """Return what the network says of noisy images at a timestep, with guidance."""
    if model.tokenize is None:
        alone = model.graph.cut([NOISY, "input:timestep"], [model.graph.output])
        return lambda noisy, timestep: alone(noisy, _level(timestep, noisy))[0]
    cut = model.graph.cut([NOISY, "input:timestep", TEXT], [model.graph.output])
    leads = guidance != 1
    texts = [*prompts, *([""] * len(prompts) if leads else [])]
    (read,) = model.graph.cut(["input:text"], [TEXT])(model.tokenize(texts).to(model.device))

    def predict(noisy: Float[Tensor, "n c y x"], timestep: int) -> Float[Tensor, "n c y x"]:
        predicted: Tensor = cut(noisy, _level(timestep, noisy), read)[0]
        return predicted

    return guided(predict, guidance) if leads else predict


def _level(timestep: int, noisy: Tensor) -> Int64[Tensor, " n"]:
    return torch.full((len(noisy),), timestep, device=noisy.device)


def _pixels(sampling: Sampling) -> tuple[int, int]:
    """Return height and width of the images."""
    with torch.inference_mode():
        decoded = sampling.decode(torch.zeros(1, *sampling.shape))
    return int(decoded.shape[2]), int(decoded.shape[3])


def _images(sampling: Sampling, denoised: Float[Tensor, "n c y x"]) -> np.ndarray:
    """Decode to float32 ``n y x 3`` in [0, 1], one after the other: a decoder of latents takes much memory."""
    images = torch.cat([sampling.decode(one).float() for one in denoised.split(1)])
    images = (images / 2 + 0.5).clamp(0, 1)
    images = images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images[:, :3]
    return images.permute(0, 2, 3, 1).cpu().numpy()


def _sheet(result: Result) -> Figure:
    from matplotlib.figure import Figure

    images, prompts = result.arrays["images"], result.summary["prompts"]
    seeds = result.summary["seeds"]
    columns = min(len(seeds), 12)
    lines = -(-len(seeds) // columns)
    figure = Figure(figsize=(1.2 + columns, 1.05 * lines * len(prompts) + 0.3), layout="constrained")
    axes = figure.subplots(lines * len(prompts), columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for row, prompt in enumerate(prompts):
        for place, seed in enumerate(seeds):
            axis = axes[row * lines + place // columns, place % columns]
            axis.imshow(images[row, place])
            if row == 0 and place < columns:
                axis.set_title(f"seed {seed}", fontsize=6, pad=2)
        _name(axes[row * lines, 0], prompt)
    return figure


def _strips(result: Result) -> Figure:
    from matplotlib.figure import Figure

    trajectory, timesteps = result.arrays["trajectory"], result.arrays["timesteps"]
    prompts = result.summary["prompts"]
    chosen = np.unique(np.linspace(0, len(timesteps) - 1, SHOWN).round().astype(int))
    figure = Figure(figsize=(1.2 + len(chosen), 1.05 * len(prompts) + 0.3), layout="constrained")
    axes = figure.subplots(len(prompts), len(chosen), squeeze=False)
    for row, prompt in enumerate(prompts):
        for place, step in enumerate(chosen):
            axes[row, place].imshow(trajectory[step, row, 0])
            axes[row, place].set_axis_off()
            if row == 0:
                axes[row, place].set_title(f"t = {timesteps[step]}", fontsize=6, pad=2)
        _name(axes[row, 0], prompt)
    return figure


def _name(axis: Any, prompt: str) -> None:
    axis.text(
        -0.08, 0.5, fill(prompt or "no prompt", 22), fontsize=6, ha="right", va="center", transform=axis.transAxes
    )
