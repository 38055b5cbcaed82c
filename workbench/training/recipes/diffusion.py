"""`Diffusion`: a small conditional UNet and its text encoder, trained together to draw emoji from captions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int64
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from workbench.images.emoji import EmojiSet
from workbench.models.caption_tokenizer import caption_tokenizer
from workbench.models.diffusion import Sampling, denoise, guided, kept_of, unchanged
from workbench.models.small_text_networks import SCHEDULE, SIDE, build_text_encoder, build_unet
from workbench.task import Task
from workbench.training.captions import Captions
from workbench.training.drawings import (
    Drawings,
    emoji_data,
    generator,
    network_input,
    order,
    split_emoji,
)
from workbench.training.judge import Judge
from workbench.training.plain_norms import norm_plainly
from workbench.training.recipe import Course, Figures, Recipe, register

MEASURED = 320
"""Drawings of either part that the error is measured on."""
DRAWN, STEPS = 320, 25
"""Images drawn for the judges, and steps to each."""
GROUPS = ("Animals & Nature", "Food & Drink", "Smileys & Emotion")
"""Whose concepts are drawn; all others are left to the classifiers."""


@register(diffusion={})
class Diffusion(Recipe):
    """Train a `UNet2DConditionModel` to predict the velocity at a random noise level, given a caption's tokens.

    v-prediction (Salimans & Ho 2022) with the weight min(SNR, 5) (Hang et al. 2023), a cosine schedule of 1,000 levels (Nichol & Dhariwal
    2021), captions left out at random for guidance (Ho & Salimans 2022).

    A drawing that is moved, however little, is resampled, and of one that is recoloured a network that cannot know how learns the mean
    colour: from `still` on neither is done, which sharpens what is drawn.
    """

    title: ClassVar[str] = "Diffusion model"

    steps: int = Field(16_200, ge=1, description="weight updates")
    restart: tuple[PositiveInt, ...] = Field(
        (6_200, 11_200), description="updates from each of which the learning rate rises and falls once more"
    )
    still: int = Field(11_200, ge=0, description="update from which drawings are neither moved nor recoloured; 0: they always are")
    batch: int = Field(64, ge=2, description="images an update")
    learning_rate: float = Field(1e-3, gt=0, description="at its largest, after the warm-up")
    weight_decay: float = Field(0.01, ge=0, description="of matrices and kernels (AdamW)")
    average: float = Field(0.999, ge=0, lt=1, description="decay of the running average of the weights that is kept")
    checkpoints: int = Field(2, ge=2, description="checkpoints kept, at logarithmically spaced updates")
    channels: tuple[int, int, int] = Field((32, 64, 112), description="of the UNet at 32, 16 and 8 pixels")
    unconditional: float = Field(0.1, ge=0, le=1, description="part of the captions left out")
    guidance: float = Field(1.3, ge=0, le=30, description="how far prompts are followed for the judges, and later unless told otherwise")

    def prepare(self, device: torch.device, task: Task) -> _Drawing:
        """Open the emoji and build UNet and text encoder."""
        return _Drawing(self, device)


class _Drawing(Course):
    def __init__(self, recipe: Diffusion, device: torch.device) -> None:
        self.recipe, self.device = recipe, device
        self.images = EmojiSet()
        drawn = torch.tensor([group in GROUPS for group in self.images.columns["group"]])
        self.known, self.unknown = (indices[drawn[indices]] for indices in split_emoji(self.images))
        self.captions = Captions(self.images)
        self.data = emoji_data(self.images) | {"groups": ", ".join(GROUPS)}
        torch.manual_seed(recipe.seed)
        self.unet, self.text_encoder = build_unet(recipe.channels), build_text_encoder()
        self.module = nn.ModuleDict({"unet": self.unet, "text_encoder": self.text_encoder}).to(device)
        if device.type == "cpu":
            norm_plainly(self.unet)
        self.tokenize = caption_tokenizer()
        self.schedule = kept_of(SCHEDULE).to(device)
        self._drawings: Drawings | None = None

    def loss(self, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted squared error of the velocity, and the plain error in four ranges of the noise level."""
        indices = self.known[order(len(self.known), self.recipe.seed, step * self.recipe.batch, self.recipe.batch)]
        return self._error(indices, generator(self.recipe.seed, step), step)

    def _error(self, indices: Int64[Tensor, " n"], random: torch.Generator, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        clean = network_input(self.shown(indices, random, step))
        noise = torch.randn(clean.shape, generator=random).to(self.device)
        level = torch.randint(1000, (len(clean),), generator=random).to(self.device)
        kept = self.schedule[level].view(-1, 1, 1, 1)
        noisy = kept.sqrt() * clean + (1 - kept).sqrt() * noise
        velocity = kept.sqrt() * noise - (1 - kept).sqrt() * clean
        told = self.text_encoder(input_ids=self._tokens(indices, random)).last_hidden_state
        predicted = self.unet(noisy, level, told).sample.float()
        error = (predicted - velocity).square().mean((1, 2, 3))
        ratio = kept.flatten() / (1 - kept.flatten())
        loss = (error * ratio.clamp(max=5) / (ratio + 1)).mean()
        within = {f"error t {low}-{low + 249}": (level >= low) & (level < low + 250) for low in range(0, 1000, 250)}
        return loss, {name: error.detach()[rows].mean() for name, rows in within.items() if rows.any()}

    def shown(self, indices: Int64[Tensor, " n"], random: torch.Generator, step: int) -> Float[Tensor, "n 3 32 32"]:
        """Return drawings as they are at an update: barely moved, then still, on white, in [0, 1].

        What stands behind them is nothing that a caption says.
        """
        if self._drawings is None:
            self._drawings = Drawings(self.images, self.device, SIDE, grounds=2)
        ground = torch.ones(len(indices), 3, 1, 1, device=self.device)
        moved = 0.0 if 0 < self.recipe.still <= step else 0.2
        return self._drawings.batch(indices, random, strength=moved, recolour=moved, flip=False, ground=ground)

    def _tokens(self, indices: Int64[Tensor, " n"], random: torch.Generator) -> Int64[Tensor, "n context"]:
        texts = []
        for index, draw in zip(indices.tolist(), torch.rand(len(indices), 2, generator=random).tolist(), strict=True):
            if draw[0] < self.recipe.unconditional:
                texts.append("")
            elif draw[1] < 0.6:
                texts.append(self.captions.plain(index))
            else:
                texts.append(self.captions.draw(index, random))
        tokens: Tensor = self.tokenize(texts)
        return tokens.to(self.device)

    def evaluate(self, module: nn.Module, task: Task) -> Figures:
        """Measure the error of the velocity, and whether what is drawn is what was asked for.

        * ``train_error``, ``test_error``: weighted, over `MEASURED` drawings that were trained on, and as many of held-out concepts;
        * ``style_top1``, ``style_family_top1``: the judge of styles names the style of the prompt, the second with both Fluent styles as
          one; ``object_top5``: the prompt's subgroup is among the judge of objects' five likeliest. Of `DRAWN` images from captions that
          were trained on;
        * ``judge_style_top1``, ``judge_object_top5``: what the judges say of the drawings themselves, the most one can expect.

        All are shown as at the last update of the recipe. Without the judges (``main.py train judge-style``) there are the errors only.
        """
        figures: Figures = {}
        for name, indices in (("train_error", self.known), ("test_error", self.unknown)):
            random = torch.Generator().manual_seed(self.recipe.seed)
            chosen = indices[torch.randperm(len(indices), generator=random)[:MEASURED]]
            losses = []
            with torch.inference_mode():
                for at, part in enumerate(chosen.split(64)):  # at 64 and more diffusers' upsampler takes another branch, no other result
                    losses.append(self._error(part, random, self.recipe.steps - 1)[0] * len(part))
                    task.step(64 * at, len(chosen), note=f"measuring the {name.replace('_', ' ')}")
            figures[name] = round(float(torch.stack(losses).sum()) / len(chosen), 5)
        style_judge, object_judge = Judge.of("style", self.device), Judge.of("object", self.device)
        if style_judge is None or object_judge is None:
            return figures
        random = torch.Generator().manual_seed(self.recipe.seed)
        chosen = self.known[torch.randperm(len(self.known), generator=random)[:DRAWN]]
        drawn, shown = [], []
        with torch.inference_mode():
            for at, part in enumerate(chosen.split(32)):
                task.step(32 * at, len(chosen), note="drawing for the judges")
                drawn.append(self.draw(module, [self.captions.plain(index) for index in part.tolist()], random))
                shown.append(network_input(self.shown(part, random, self.recipe.steps - 1)))
            columns = self.images.columns
            styles = [columns["style"][index] for index in chosen.tolist()]
            objects = [columns["subgroup"][index] for index in chosen.tolist()]
            for prefix, images in (("", torch.cat(drawn)), ("judge_", torch.cat(shown))):
                named = style_judge.likeliest(images, 1)
                figures[f"{prefix}style_top1"] = _share(style in found for style, found in zip(styles, named, strict=True))
                if not prefix:
                    families = [(style.partition("_")[0], found[0].partition("_")[0]) for style, found in zip(styles, named, strict=True)]
                    figures["style_family_top1"] = _share(wanted == found for wanted, found in families)
                five = object_judge.likeliest(images, 5)
                figures[f"{prefix}object_top5"] = _share(wanted in found for wanted, found in zip(objects, five, strict=True))
        return figures

    def draw(self, module: nn.Module, texts: list[str], random: torch.Generator) -> Float[Tensor, "n 3 32 32"]:
        """Draw one image of each text, in [-1, 1], in `STEPS` steps with the recipe's guidance."""
        parts: Any = module
        told = parts["text_encoder"](input_ids=self.tokenize([*texts, *[""] * len(texts)]).to(self.device)).last_hidden_state

        def predict(noisy: Tensor, timestep: int) -> Tensor:
            predicted: Tensor = parts["unet"](noisy, torch.full((len(noisy),), timestep, device=self.device), told).sample
            return predicted

        noise = torch.randn((len(texts), 3, SIDE, SIDE), generator=random).to(self.device)
        sampling = Sampling(SCHEDULE, (3, SIDE, SIDE), unchanged)
        *_, (_, _, images) = denoise(sampling, guided(predict, self.recipe.guidance), noise, STEPS)
        return images.clamp(-1, 1)


def _share(right: Iterable[bool]) -> float:
    """Return the part that is true, to four places."""
    values = list(right)
    return round(sum(values) / len(values), 4)
