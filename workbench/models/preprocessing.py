"""`Preprocessing`: how images become what a network reads, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

from workbench.input_error import InputError


@dataclass(frozen=True)
class Preprocessing:
    """What the network wants its images to be.

    Attributes
    ----------
    size
        Height and width in pixels.
    mean, std
        Per channel, in the range [0, 1] of images: the network reads (image - mean) / std.
    channels
        Number of image channels; images of three channels are averaged to one or repeated where it differs.
    interpolation
        How images are resized: ``bicubic`` or ``bilinear``.
    crop
        Part of the shorter side that the centre crop keeps, in (0, 1].
    resize
        ``crop`` keeps the proportions and cuts what stands over; ``squash`` gives the whole image the wanted size.
    """

    size: tuple[int, int]
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    channels: int = 3
    interpolation: str = "bicubic"
    crop: float = 1.0
    resize: Literal["crop", "squash"] = "crop"

    def normalise(self, images: Float[Tensor, "batch channel y x"]) -> Float[Tensor, "batch channel2 y x"]:
        """Turn images in [0, 1] into network input: fit the channels, subtract the mean, divide by the deviation; differentiable.

        Raises
        ------
        InputError
            When they have other channels than the network reads, and can neither be averaged nor repeated.
        """
        if images.shape[1] != self.channels and images.shape[1] == 3 and self.channels == 1:
            images = images.mean(1, keepdim=True)
        elif images.shape[1] != self.channels and images.shape[1] == 1:
            images = images.expand(-1, self.channels, -1, -1)
        elif images.shape[1] != self.channels:
            raise InputError(f"the network reads {self.channels} channels, the images have {images.shape[1]}")
        mean = torch.tensor(self.mean, device=images.device, dtype=images.dtype)[:, None, None]
        std = torch.tensor(self.std, device=images.device, dtype=images.dtype)[:, None, None]
        return (images - mean) / std

    def fit(self, images: Tensor) -> Float[Tensor, "batch channel y x"]:
        """Bring images to the network's size, in [0, 1].

        Parameters
        ----------
        images
            uint8 ``batch y x channel``, or float in [0, 1] ``batch channel y x``, of any size.

        Raises
        ------
        InputError
            When uint8 images have another shape.
        """
        if images.dtype == torch.uint8:
            if images.dim() != 4 or images.shape[-1] not in (1, 3, self.channels):
                raise InputError(f"uint8 images must be batch y x channel, got the shape {tuple(images.shape)}")
            images = images.permute(0, 3, 1, 2).to(torch.float32).div_(255)
        return images if tuple(images.shape[2:]) == self.size else self._resize(images)

    def _resize(self, images: Float[Tensor, "batch channel y x"]) -> Float[Tensor, "batch channel y2 x2"]:
        """Scale the shorter side to size / crop, and cut out the centre; or scale both sides to the size."""
        rows, columns = height, width = self.size
        if self.resize == "crop":
            scale = max(height / images.shape[2], width / images.shape[3]) / self.crop
            rows, columns = max(height, round(images.shape[2] * scale)), max(width, round(images.shape[3] * scale))
        images = interpolate(images, (rows, columns), mode=self.interpolation, antialias=True, align_corners=False)
        top, left = (rows - height) // 2, (columns - width) // 2
        return images[:, :, top : top + height, left : left + width].clamp(0, 1)

    def pixels(self, shown: Float[Tensor, "batch channel y x"]) -> np.ndarray:
        """Turn the first image of a network input back into pixels, uint8 ``y x 3``."""
        image = shown[0].float().cpu().permute(1, 2, 0).numpy() * self.std + self.mean
        if self.channels == 1:
            image = image.repeat(3, -1)
        return np.rint(image[..., :3].astype(np.float32) * 255).clip(0, 255).astype(np.uint8)
