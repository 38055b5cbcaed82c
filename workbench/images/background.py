"""What stands behind a drawing: white, grey, or one of many plain, graded and textured grounds drawn from a seed."""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np
import torch
from torch.nn.functional import interpolate

from workbench.images.image_set import Pixels, Size
from workbench.images.scaling import cover_all

Background = Literal["white", "grey", "random"]
BACKGROUNDS: tuple[Background, ...] = get_args(Background)
LEVELS = {"white": 255, "grey": 128}
VERSION = 1
"""Raised whenever the random grounds change, so that cached results are not mistaken for today's."""


def random_ground(size: Size, seed: int, index: int) -> Pixels:
    """Return a ground, uint8 ``y x 3``, that depends on seed and index only and looks alike at every size.

    One third are plain colours, one third straight gradients between two colours and one third textures: noise of 3 to 24 cells a side
    around a colour, in one or three channels.
    """
    random = np.random.default_rng((seed, index))
    colour = random.uniform(0, 255, 3)
    kind = random.integers(3)
    if kind == 0:
        return np.full((*size, 3), colour.round(), np.uint8)
    if kind == 1:
        angle = random.uniform(0, 2 * math.pi)
        other = random.uniform(0, 255, 3)
        # A straight gradient is its four corners, bilinear between them.
        x, y = np.array([-1, 1]) * math.cos(angle), np.array([-1, 1]) * math.sin(angle)
        share = 0.5 + (x[None, :, None] + y[:, None, None]) / (abs(math.cos(angle)) + abs(math.sin(angle))) / 2
        corners = torch.from_numpy((colour + share * (other - colour)).round().astype(np.uint8))
        graded = interpolate(corners[None].permute(0, 3, 1, 2), size, mode="bilinear", align_corners=True)
        ground: Pixels = graded[0].permute(1, 2, 0).contiguous().numpy()
        return ground
    count = round(math.exp(random.uniform(math.log(3), math.log(24))))
    noise = random.normal(size=(count, count, random.choice([1, 3])))
    cells = (colour + random.uniform(15, 60) * noise).clip(0, 255).round().astype(np.uint8)
    texture: Pixels = cover_all(cells[None], size)[0]
    return texture


def over(colours: Pixels, opacity: Pixels, ground: Pixels) -> Pixels:
    """Put a drawing on a ground, all ``y x 3``: its colours are already multiplied by its opacity, which is the same in all channels."""
    shown = ground.astype(np.uint16)
    shown *= 255 - opacity
    shown += 128  # from here on: a division by 255, rounded, that stays within 16 bits
    shown += shown >> 8
    shown >>= 8
    mixed: Pixels = shown.astype(np.uint8)
    mixed += np.minimum(colours, opacity)  # scaling may leave a colour a little above its opacity
    return mixed
