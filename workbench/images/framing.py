"""Bring any picture to the asked size: scale it to cover, cut off evenly what sticks out."""

from __future__ import annotations

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


def on_white(picture: Image.Image) -> Image.Image:
    """Return the picture as RGB, what is transparent in it shown on white."""
    if picture.mode == "RGB":
        return picture
    rgba = picture.convert("RGBA")
    page = Image.new("RGBA", rgba.size, "white")
    return Image.alpha_composite(page, rgba).convert("RGB")
