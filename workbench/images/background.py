"""What stands behind a drawing: white, grey, or one of many plain, graded and textured grounds drawn from a seed."""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np
from PIL import Image

Background = Literal["white", "grey", "random"]
BACKGROUNDS: tuple[Background, ...] = get_args(Background)


def background(kind: Background, size: tuple[int, int], seed: int, index: int) -> Image.Image:
    """Return a ground of `size` (height, width); a random one depends on seed and index only, and looks alike at every size.

    Random grounds are one third plain colours, one third straight gradients between two colours and one third textures: noise of 3 to
    24 cells a side around a colour, in one or three channels.
    """
    height, width = size
    if kind != "random":
        return Image.new("RGB", (width, height), (255, 255, 255) if kind == "white" else (128, 128, 128))
    random = np.random.default_rng((seed, index))
    colour = random.uniform(0, 255, 3)
    style = random.integers(3)
    if style == 0:
        return Image.new("RGB", (width, height), tuple(colour.round().astype(int).tolist()))
    if style == 1:
        # A straight gradient is its four corners, bilinear between them; it spans the square's extent along its direction.
        angle = random.uniform(0, 2 * math.pi)
        across = np.array([-1.0, 1.0]) * math.cos(angle), np.array([-1.0, 1.0]) * math.sin(angle)
        share = (across[0][None, :] + across[1][:, None]) / (abs(math.cos(angle)) + abs(math.sin(angle))) / 2 + 0.5
        cells = colour + share[..., None] * (random.uniform(0, 255, 3) - colour)
        grid, box = _to_image(cells), (0.5, 0.5, 1.5, 1.5)
        return grid.resize((width, height), Image.Resampling.BILINEAR, box=box)
    count = round(math.exp(random.uniform(math.log(3), math.log(24))))
    noise = random.normal(size=(count, count, random.choice([1, 3])))
    cells = colour + random.uniform(15, 60) * noise
    return _to_image(cells).resize((width, height), Image.Resampling.BICUBIC)


def _to_image(cells: np.ndarray) -> Image.Image:
    return Image.fromarray(cells.clip(0, 255).round().astype(np.uint8))
