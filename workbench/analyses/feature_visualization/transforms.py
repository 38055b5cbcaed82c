"""Robustness transforms: an image is optimised to keep its effect when it is moved, scaled and turned a little.

Lucid composes pad 12, jitter 8, scale 0.9-1.1, rotate +-10 degrees, jitter 4, one resampling each. All of these are affine, so
their composition is sampled as one map and the image is resampled once. Lengths are given for 224 pixels and scale with the input:
taken as they are they would move a 32-pixel image out of view.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

REFERENCE_SIZE = 224


@dataclass(frozen=True)
class Robustness:
    """What may happen to an image between parameterization and network.

    Attributes
    ----------
    jitter_before, jitter_after
        Width in pixels at an input of 224 of the square in which the image moves, before and after scaling and turning.
    scale
        Magnification.
    turn
        Degrees, counter-clockwise.
    still
        Part of the maps that are not turned at all (Lucid draws angle 0 five times as often as any other).
    """

    jitter_before: float = 8.0
    scale: tuple[float, float] = (0.9, 1.1)
    turn: tuple[float, float] = (-10.0, 10.0)
    still: float = 5 / 26
    jitter_after: float = 4.0

    def draw(self, count: int, generator: torch.Generator, aspect: float = 1.0) -> Float[Tensor, "count 2 3"]:
        """Return `count` affine maps from output to input coordinates, both in [-1, 1], as `resample` wants them.

        Parameters
        ----------
        aspect
            Width of the image divided by its height, without which a turn would shear.
        """
        scale = _uniform(*self.scale, count, generator)
        angle = torch.deg2rad(_uniform(*self.turn, count, generator))
        angle = angle * (torch.rand(count, generator=generator) >= self.still)
        # Half of the width in pixels, in coordinates whose whole width is 2, is width / size.
        first, last = self.jitter_before / REFERENCE_SIZE, self.jitter_after / REFERENCE_SIZE
        before = _uniform(-first, first, 2 * count, generator).view(count, 2)
        after = _uniform(-last, last, 2 * count, generator).view(count, 2)
        cosine, sine = torch.cos(angle) / scale, torch.sin(angle) / scale
        turned = torch.stack([torch.stack([cosine, -sine / aspect], 1), torch.stack([sine * aspect, cosine], 1)], 1)
        shift = before + (turned @ after.unsqueeze(2)).squeeze(2)
        return torch.cat([turned, shift.unsqueeze(2)], 2)


def _uniform(low: float, high: float, count: int, generator: torch.Generator) -> Float[Tensor, "count"]:
    return low + (high - low) * torch.rand(count, generator=generator)


def identity(count: int = 1) -> Float[Tensor, "count 2 3"]:
    """Return maps that change nothing."""
    return torch.eye(2, 3).expand(count, 2, 3)


def crops(count: int, width: float, generator: torch.Generator) -> Float[Tensor, "count 2 3"]:
    """Return maps that each cut out a square, centred near the middle: MACO's (Fel et al. 2023, section 3.2).

    Parameters
    ----------
    width
        Mean width of the squares as a part of the image; the widths vary by 0.05, the centres by 0.15 (standard deviations).
    """
    widths = (width + 0.05 * torch.randn(count, generator=generator)).clamp(0.05, 1.0)
    centres = 0.3 * torch.randn(count, 2, generator=generator)  # 0.15 of the width, in coordinates from -1 to 1
    limit = (1 - widths).unsqueeze(1)
    centres = torch.maximum(torch.minimum(centres, limit), -limit)
    return torch.cat([torch.diag_embed(widths.unsqueeze(1).expand(-1, 2)), centres.unsqueeze(2)], 2)


def resample(
    images: Float[Tensor, "row channel y x"], maps: Float[Tensor, "map 2 3"], size: tuple[int, int]
) -> Float[Tensor, "map_and_row channel y2 x2"]:
    """Show every image through every map; what lies outside an image is 0.

    All rows of one map are resampled together, so that a batch costs the arithmetic of one image's grid.

    Returns
    -------
    Tensor
        Rows of the first map, then rows of the second, and so on.
    """
    rows, channels, height, width = images.shape
    count = len(maps)
    # The sampler runs one thread per entry of its batch: split the planes among the threads when there are fewer maps.
    parts = 1 if count > 1 else math.gcd(rows * channels, torch.get_num_threads())
    grid = F.affine_grid(maps.to(images), [count, 1, *size], align_corners=False)
    planes = images.reshape(parts, -1, height, width)
    shown = F.grid_sample(
        planes.expand(max(parts, count), -1, -1, -1),
        grid.expand(max(parts, count), -1, -1, -1),
        mode="bilinear",
        padding_mode="zeros",
        align_corners=False,
    )
    return shown.reshape(count * rows, channels, *size)
