"""What stands behind parametric stimuli: the ground's plain colour, a texture around it, or a piece of a photograph, drawn from a seed."""

from __future__ import annotations

import math
from functools import cache
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from workbench.images.image_set import Pixels, Size
from workbench.images.photos import PhotoSet
from workbench.images.scaling import cover_all

StimulusGround = Literal["plain", "texture", "photo"]
GROUNDS: tuple[StimulusGround, ...] = get_args(StimulusGround)
VERSION = 1
"""Raised whenever the grounds change, so that cached results are not mistaken for today's."""
CELLS = 3, 24
"""Of a texture, along a side."""
DEVIATION = 15, 45
"""Of a texture from the ground's colour: standard deviations in levels of 255."""
SMALLEST = 0.25
"""Of the shorter side of a photograph: the smallest piece that is shown."""


def stimulus_ground(
    kind: Literal["texture", "photo"], colour: npt.NDArray[np.float64], size: Size, seed: int, index: int
) -> Pixels:
    """Return a ground, uint8 ``y x 3``, that depends on colour, seed and index only and looks alike at every size.

    Parameters
    ----------
    kind
        A texture is smooth noise around the colour, in one or three channels; its mean is moved away from black and white by so much
        that the noise fits. A photo is a random piece of one of the sample photographs, whatever the colour.
    colour
        sRGB in [0, 1], ``3``.

    Raises
    ------
    workbench.images.image_set.ImageSetError
        When no sample photographs are installed.
    """
    random = np.random.default_rng((seed, index))
    if kind == "photo":
        photo = _photographs()[int(random.integers(len(_photographs())))]
        side = round(min(photo.shape[:2]) * random.uniform(SMALLEST, 1))
        top, left = (int(random.integers(0, length - side + 1)) for length in photo.shape[:2])
        piece: Pixels = cover_all(np.ascontiguousarray(photo[None, top : top + side, left : left + side]), size)[0]
        return piece
    count = round(math.exp(random.uniform(*np.log(CELLS))))
    noise = random.uniform(-1, 1, size=(count, count, random.choice([1, 3]))) * math.sqrt(3) * random.uniform(*DEVIATION)
    most = float(np.abs(noise).max())
    cells = ((255 * colour).clip(most, 255 - most) + noise).round().clip(0, 255).astype(np.uint8)
    texture: Pixels = cover_all(cells[None], size)[0]
    return texture


@cache
def _photographs() -> list[Pixels]:
    photos = PhotoSet()
    return [photos.image(index) for index in range(len(photos))]
