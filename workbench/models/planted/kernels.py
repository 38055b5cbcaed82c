"""Kernels the planted networks are made of. Angles are degrees counter-clockwise, as in `workbench.images.stimuli`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

BLUR = 0.7
"""Standard deviation (pixels) of the Gaussian that edges are sampled with, as in `workbench.images.stimulus`."""


def offsets(side: int) -> tuple[Float[Tensor, "1 x"], Float[Tensor, "y 1"]]:
    """Return how far each pixel of a square lies to the right of its middle, and above it."""
    from_middle = torch.arange(side) - (side - 1) / 2
    return from_middle[None], -from_middle[:, None]


def gabor(
    orientation: float, side: int = 9, wavelength: float = 5.0, sigma: float = 2.0, phase: float = 0.0
) -> Float[Tensor, "y x"]:
    """Return a Gabor filter whose stripes run along `orientation`, at `phase` 0 bright in the middle; of sum 0 and length 1."""
    right, up = offsets(side)
    angle = math.radians(orientation)
    across = up * math.cos(angle) - right * math.sin(angle)
    window = torch.exp(-(right**2 + up**2) / (2 * sigma**2))
    wave = window * torch.cos(2 * math.pi * across / wavelength + math.radians(phase))
    wave = wave - window * (wave.sum() / window.sum())
    return nn.functional.normalize(wave.flatten(), dim=0).view(side, side)


def smooth_kernels(count: int, side: int) -> Float[Tensor, "kernel 3 y x"]:
    """Return random colour patterns in a round window, of sum 0 in each colour and of length 1."""
    right, up = offsets(side)
    distance = torch.hypot(right, up)
    blur = torch.exp(-distance.square() / 2)[None, None]
    noise = torch.randn(count * 3, 1, side, side)
    window = (distance <= side / 2).float()
    patterns = nn.functional.conv2d(noise, blur, padding=side // 2).view(count, 3, side, side) * window
    patterns = patterns - window * patterns.sum((2, 3), keepdim=True) / window.sum()
    return nn.functional.normalize(patterns.flatten(1)).view(count, 3, side, side)


def line_image(
    orientation: float, width: float, ink: Sequence[float], ground: float, side: int
) -> Float[Tensor, "3 y x"]:
    """Draw a line through the middle of an image in [0, 1], `width` pixels wide; `ink` is sRGB, `ground` a grey."""
    right, up = offsets(side)
    angle = math.radians(orientation)
    across = (up * math.cos(angle) - right * math.sin(angle)).abs()
    coverage = torch.special.ndtr((width / 2 - across) / BLUR) - torch.special.ndtr((-width / 2 - across) / BLUR)
    image: Tensor = ground + coverage * (torch.tensor(ink)[:, None, None] - ground)
    return image


def calibrate(
    detectors: nn.Conv2d,
    images: Float[Tensor, "image 3 y x"],
    present: Bool[Tensor, "image unit"],
    absent_to: float,
    present_to: float,
) -> None:
    """Scale and shift the first detectors, which have no bias yet, so that one is strong where its feature is and weak elsewhere.

    Parameters
    ----------
    images
        In [0, 1]; each feature is in some and not in others.
    absent_to, present_to
        The strongest response to an image without the feature, and the weakest to one with it, each taken over all positions.
    """
    known = present.shape[1]
    found = detectors(images * 2 - 1).amax((2, 3))[:, :known]
    least = found.where(present, torch.inf).amin(0)
    most = found.where(~present, -torch.inf).amax(0)
    scale = (present_to - absent_to) / (least - most)
    detectors.weight[:known] *= scale[:, None, None, None]
    bias = torch.zeros(len(detectors.weight))
    bias[:known] = absent_to - scale * most
    detectors.bias = nn.Parameter(bias)
