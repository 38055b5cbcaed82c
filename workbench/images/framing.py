"""Bring any picture to the asked size: scale it to cover, cut off evenly what sticks out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image


def cover(picture: Image.Image, size: tuple[int, int] | None) -> Image.Image:
    """Return the picture at `size` (height, width): shorter side scaled to fit, then the centre, with an anti-aliased bicubic filter.

    Pillow weighs colours by their opacity when it scales RGBA, so transparent pixels do not bleed.
    """
    if size is None or size == (picture.height, picture.width):
        return picture
    height, width = size
    scale = max(height / picture.height, width / picture.width)
    seen_width, seen_height = width / scale, height / scale
    left, top = (picture.width - seen_width) / 2, (picture.height - seen_height) / 2
    # Floating point can leave the box a hair outside the picture, which Pillow refuses.
    box = (max(0.0, left), max(0.0, top), min(picture.width, left + seen_width), min(picture.height, top + seen_height))
    return picture.resize((width, height), Image.Resampling.BICUBIC, box=box, reducing_gap=3.0)


def cover_all(images: npt.NDArray[np.uint8], size: tuple[int, int] | None) -> npt.NDArray[np.uint8]:
    """Return images of one shape, ``n y x channel``, at `size` as `cover` does, several times as fast; opacity is not regarded."""
    height, width = images.shape[1:3]
    if size is None or size == (height, width):
        return images
    scale = max(size[0] / height, size[1] / width)
    scaled = max(size[0], round(height * scale)), max(size[1], round(width * scale))
    # A copy whose strides leave no doubt: the fast path takes nothing else.
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).clone(memory_format=torch.channels_last)
    top, left = (scaled[0] - size[0]) // 2, (scaled[1] - size[1]) // 2
    whole = torch.nn.functional.interpolate(pixels, scaled, mode="bicubic", antialias=True).permute(0, 2, 3, 1)
    part: npt.NDArray[np.uint8] = whole[:, top : top + size[0], left : left + size[1]].contiguous().numpy()
    return part


def on_white(picture: Image.Image) -> Image.Image:
    """Return the picture as RGB, what is transparent in it shown on white."""
    if picture.mode == "RGB":
        return picture
    rgba = picture.convert("RGBA")
    page = Image.new("RGBA", rgba.size, "white")
    return Image.alpha_composite(page, rgba).convert("RGB")
