"""Corruptions: what is done to an image to make the other one of a pair, so that patching can ask where the difference is carried.

Each is a function of decoded images and of as many others of the set; a new one is a function decorated with `register_corruption`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from workbench.images.image_set import Pixels, suggestion
from workbench.images.transformation import Hue
from workbench.input_error import InputError

Corruption = Callable[[Pixels, Pixels, np.random.Generator, float], Pixels]
CORRUPTIONS: dict[str, Corruption] = {}


def register_corruption(name: str) -> Callable[[Corruption], Corruption]:
    """Make a corruption known by its name."""

    def register(function: Corruption) -> Corruption:
        CORRUPTIONS[name] = function
        return function

    return register


def corrupt(kind: str, images: Pixels, others: Pixels, random: np.random.Generator, strength: float = 1.0) -> Pixels:
    """Return the corrupted images, uint8 ``n y x 3``.

    Parameters
    ----------
    kind
        One of `CORRUPTIONS`.
    others
        As many images of other classes, for those that take something from them.
    strength
        More than 0, 1 being usual: how wide the blur, how large the patch, how far the hues are turned.

    Raises
    ------
    InputError
        When there is no such corruption.
    """
    if kind not in CORRUPTIONS:
        raise InputError(f"no corruption is named {kind!r}; {suggestion(kind, CORRUPTIONS)}")
    return CORRUPTIONS[kind](images, others, random, strength)


@register_corruption("swap")
def swap(images: Pixels, others: Pixels, random: np.random.Generator, strength: float) -> Pixels:
    """Show another image instead."""
    return others


@register_corruption("patch swap")
def patch_swap(images: Pixels, others: Pixels, random: np.random.Generator, strength: float) -> Pixels:
    """Take the middle of another image, on a square whose side is half of the image's."""
    changed = images.copy()
    rows, columns = _middle(images, strength)
    changed[:, rows, columns] = others[:, rows, columns]
    return changed


@register_corruption("blur")
def blur(images: Pixels, others: Pixels, random: np.random.Generator, strength: float) -> Pixels:
    """Blur by a Gaussian whose deviation is a sixteenth of the side."""
    deviation = strength * min(images.shape[1:3]) / 16
    blurred: Pixels = gaussian_filter(images, (0, deviation, deviation, 0), output=np.float32, mode="nearest").round().astype(np.uint8)
    return blurred


@register_corruption("occlusion")
def occlusion(images: Pixels, others: Pixels, random: np.random.Generator, strength: float) -> Pixels:
    """Cover a square, its side half of the image's, at a random place with the image's mean colour."""
    changed = images.copy()
    height, width = images.shape[1:3]
    side = max(1, round(min(1.0, strength / 2) * min(height, width)))
    for image in changed:
        y, x = random.integers(0, height - side + 1), random.integers(0, width - side + 1)
        image[y : y + side, x : x + side] = image.reshape(-1, 3).mean(0).round()
    return changed


@register_corruption("hue")
def hue(images: Pixels, others: Pixels, random: np.random.Generator, strength: float) -> Pixels:
    """Turn all hues by a third of the circle; at a strength of 1.5 each becomes its opposite, which is as far as they turn."""
    shown = torch.from_numpy(images.copy()).permute(0, 3, 1, 2).float() / 255
    turned = Hue(min(180.0, 120 * strength)).after(shown)
    changed: Pixels = (turned * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    return changed


def _middle(images: Pixels, strength: float) -> tuple[slice, slice]:
    part = min(1.0, strength / 2)
    places = []
    for length in images.shape[1:3]:
        side = max(1, round(part * length))
        places.append(slice((length - side) // 2, (length - side) // 2 + side))
    return places[0], places[1]
