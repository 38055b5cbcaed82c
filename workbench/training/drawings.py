"""Emoji as training examples: every drawing shifted, turned and scaled a little, on another ground each time it is shown.

The drawings are transparent around the object (34 to 62 % of their area), so what stands behind them can be anything; a network that saw
one ground only would know the object by it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, interpolate

from workbench.images.background import random_ground
from workbench.images.emoji import FOLDER, SIDE, EmojiSet
from workbench.images.image_set import Pixels
from workbench.training.recipe import update_seed

GROUNDS = 2048
GROUND_SEED = 1_000_003
"""Another one than any image set's, whose seeds are small: no ground of the evaluation is seen in training."""


@cache
def held_out_concepts(file: Path = FOLDER / "split.json") -> frozenset[str]:
    """Return the names of the concepts that no bundled network was trained on."""
    return frozenset(json.loads(file.read_text(encoding="utf-8"))["held_out"])


@cache
def held_out_variants(file: Path = FOLDER / "split.json") -> frozenset[str]:
    """Return those of them whose man, woman or person counterpart is trained on: nearly the same drawing, so not quite unseen."""
    return frozenset(json.loads(file.read_text(encoding="utf-8"))["variants"])


def emoji_data(images: EmojiSet) -> dict[str, str]:
    """Return what a run on emoji depends on: the drawings, their names and keywords, and which are held out."""
    texts = hashlib.sha256()
    for file in ("concepts.json", "split.json"):
        texts.update((FOLDER / file).read_bytes())
    return {"images": images.ref, "digest": images.content_hash, "texts": texts.hexdigest()[:32]}


def split_emoji(images: EmojiSet) -> tuple[Int64[Tensor, " train"], Int64[Tensor, " test"]]:
    """Return the indices to train on, and those of held-out concepts."""
    held = held_out_concepts()
    out = np.array([name in held for name in images.columns["concept"]])
    return torch.from_numpy(np.flatnonzero(~out)), torch.from_numpy(np.flatnonzero(out))


def by_concept(images: EmojiSet, indices: Int64[Tensor, " n"]) -> list[Int64[Tensor, " drawings"]]:
    """Return the drawings of each concept among `indices`, in the order in which concepts come first."""
    found: dict[str, list[int]] = {}
    for index in indices.tolist():
        found.setdefault(images.columns["concept"][index], []).append(index)
    return [torch.tensor(drawings) for drawings in found.values()]


def one_of_each(concepts: Sequence[Int64[Tensor, " drawings"]]) -> Int64[Tensor, " concepts"]:
    """Return one drawing of each concept, the first, second, … by turns, so that all styles are among them."""
    return torch.stack([drawings[place % len(drawings)] for place, drawings in enumerate(concepts)])


def in_unit_range(images: Pixels, device: torch.device) -> Float[Tensor, "n 3 y x"]:
    """Return decoded images, uint8 ``n y x 3``, as a tensor in [0, 1]."""
    return torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float().div_(255)


def network_input(images: Float[Tensor, "n 3 y x"]) -> Float[Tensor, "n 3 y x"]:
    """Return images in [0, 1] as every network trained here reads them: in [-1, 1], which is `Preprocessing`'s default."""
    return (images - 0.5) / 0.5


def random_moves(
    count: int, random: torch.Generator, strength: float, *, flip: bool, device: torch.device
) -> Float[Tensor, "n 2 3"]:
    """Draw affine maps for `affine_grid`.

    At a strength of 1 they shift by up to an eighth of the side, turn by up to 15 degrees and scale by .8 to 1.25; with `flip` every other
    one mirrors.
    """

    def uniform(*shape: int) -> Tensor:
        return signed(shape, random, device)

    angle = math.radians(15) * strength * uniform(count)
    scale = torch.exp(-math.log(1.25) * strength * uniform(count))
    mirror = torch.where(uniform(count) < 0, -1.0, 1.0) if flip else torch.ones(count, device=device)
    turn = torch.stack(
        [scale * mirror * angle.cos(), -scale * angle.sin(), scale * mirror * angle.sin(), scale * angle.cos()], 1
    ).view(count, 2, 2)
    return torch.cat([turn, 0.25 * strength * uniform(count, 2, 1)], 2)


def random_boxes(count: int, side: int, random: torch.Generator, device: torch.device) -> Bool[Tensor, "n 1 side side"]:
    """Draw boxes around any place of an image, their edges a quarter to three quarters of its side; cut off where the image ends."""
    edges = (0.25 + 0.5 * torch.rand(2, count, 1, generator=random)).to(device)
    middles = torch.rand(2, count, 1, generator=random).to(device)
    at = (torch.arange(side, device=device) + 0.5) / side
    inside = (at - middles).abs() < edges / 2
    return inside[0, :, None, :, None] & inside[1, :, None, None, :]


def signed(shape: Sequence[int], random: torch.Generator, device: torch.device) -> Tensor:
    """Draw numbers in [-1, 1)."""
    return (2 * torch.rand(*shape, generator=random) - 1).to(device)


def plain_grounds(count: int, random: torch.Generator, device: torch.device) -> Float[Tensor, "n 3 1 1"]:
    """Draw colours to put behind drawings, half of them white, in [0, 1]."""
    colour = torch.rand(count, 3, 1, 1, generator=random).to(device)
    white = torch.rand(count, 1, 1, 1, generator=random).to(device) < 0.5
    return torch.where(white, torch.ones_like(colour), colour)


class Drawings:
    """All drawings of an emoji set on one device, and grounds to put behind them.

    Parameters
    ----------
    images
        Which styles; its background is not used.
    """

    def __init__(self, images: EmojiSet, device: torch.device, size: int = SIDE, grounds: int = GROUNDS) -> None:
        self.size, self.device = size, device
        stacked = np.stack([images.drawing(index) for index in range(len(images))])
        self.drawings = torch.from_numpy(stacked).permute(0, 3, 1, 2).contiguous().to(device)
        behind = np.stack([random_ground((SIDE, SIDE), GROUND_SEED, index) for index in range(grounds)])
        self.grounds = torch.from_numpy(behind).permute(0, 3, 1, 2).contiguous().to(device)

    def batch(
        self,
        indices: Int64[Tensor, " n"],
        generator: torch.Generator,
        *,
        strength: float = 1.0,
        recolour: float = 1.0,
        flip: bool = True,
        ground: Float[Tensor, "n 3 _ _"] | None = None,
    ) -> Float[Tensor, "n 3 y x"]:
        """Return drawings as they are shown in training, in the range [0, 1].

        Parameters
        ----------
        strength
            How far they are moved (see `random_moves`).
        recolour
            How far they are recoloured: at 1 brightness and colour change by up to a quarter.
        flip
            Whether every other one is mirrored.
        ground
            What stands behind, in [0, 1]; drawn at random when not given.
        """
        count = len(indices)

        def uniform(*shape: int) -> Tensor:
            return signed(shape, generator, self.device)

        move = random_moves(count, generator, strength, flip=flip, device=self.device)
        shown = self.drawings[indices].float().div_(255)
        opacity = shown[:, 3:]
        shown[:, :3] *= opacity
        if self.size != SIDE:
            shown = interpolate(shown, (self.size, self.size), mode="bilinear", antialias=True)
        shown = grid_sample(shown, affine_grid(move, list(shown.shape), align_corners=False), align_corners=False)
        colours, opacity = shown[:, :3], shown[:, 3:]
        colours = colours * (1 + 0.25 * recolour * uniform(count, 1, 1, 1)) * (1 + 0.12 * recolour * uniform(count, 3, 1, 1))
        grey = colours.mean(1, keepdim=True)
        colours = grey + (colours - grey) * (1 + 0.25 * recolour * uniform(count, 1, 1, 1))
        behind = self.ground(count, generator) if ground is None else ground
        return (colours.clamp(min=0).minimum(opacity) + (1 - opacity) * behind).contiguous(memory_format=torch.channels_last)

    def ground(self, count: int, generator: torch.Generator) -> Float[Tensor, "n 3 y x"]:
        """Draw grounds: one in six white or grey, the others plain, graded or textured."""
        chosen = torch.randint(len(self.grounds), (count,), generator=generator).to(self.device)
        behind = self.grounds[chosen].float().div_(255)
        if self.size != SIDE:
            behind = interpolate(behind, (self.size, self.size), mode="bilinear", antialias=True)
        plain = torch.rand(count, 1, 1, 1, generator=generator).to(self.device)
        behind = torch.where(plain < 1 / 12, torch.ones_like(behind), behind)
        return torch.where((plain >= 1 / 12) & (plain < 1 / 6), torch.full_like(behind, 128 / 255), behind)


def order(length: int, seed: int, start: int, count: int) -> Int64[Tensor, " count"]:
    """Return places `start` to `start + count` of an endless series of shuffled passes over ``range(length)``."""
    places: list[Tensor] = []
    while count > 0:
        epoch, at = divmod(start, length)
        shuffled = torch.randperm(length, generator=torch.Generator().manual_seed(seed * 100_003 + epoch))
        part = shuffled[at : at + count]
        places.append(part)
        start += len(part)
        count -= len(part)
    return torch.cat(places)


def generator(seed: int, step: int) -> torch.Generator:
    """Return the generator of one update."""
    return torch.Generator().manual_seed(update_seed(seed, step))
