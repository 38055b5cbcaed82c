"""Images that are in memory already: what was pasted, drawn or computed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from workbench.images.framing import cover, on_white
from workbench.images.image_set import ImageSet, ImageSetError, Pixels, Size


class ArraySet(ImageSet):
    """Images from one array; no reference opens it again.

    Parameters
    ----------
    images
        ``y x``, ``y x channel`` or ``n y x channel`` with 1 (grey), 3 (RGB) or 4 (RGBA, shown on white) channels; uint8, or floats in
        [0, 1].
    ids
        One name an image; by default numbers.

    Raises
    ------
    ImageSetError
        When the array has another shape or type, is empty, or its floats leave [0, 1].
    """

    def __init__(self, images: npt.NDArray[Any], name: str = "Pasted image", ids: Sequence[str] | None = None) -> None:
        stack = images[None, ..., None] if images.ndim == 2 else images[None] if images.ndim == 3 else images
        if stack.ndim != 4 or stack.shape[3] not in (1, 3, 4) or not stack.size:
            raise ImageSetError(
                f"an array of shape {images.shape} is no image; give y x, y x channel or n y x channel with 1, 3 or 4 channels"
            )
        if np.issubdtype(stack.dtype, np.floating):
            if not (stack.min() >= 0 and stack.max() <= 1):
                raise ImageSetError(
                    f"values from {stack.min():g} to {stack.max():g} are no image; scale them to [0, 1]"
                )
            stack = (stack * 255).round().astype(np.uint8)
        if stack.dtype != np.uint8:
            raise ImageSetError(f"an array of {stack.dtype} is no image; give uint8, or floats in [0, 1]")
        if ids is not None and len(ids) != len(stack):
            raise ImageSetError(f"{len(ids)} names were given for {len(stack)} images; give one each")
        self._images: Pixels = stack
        super().__init__("array:", name, ids or [str(number) for number in range(len(stack))], {})

    @cached_property
    def content_hash(self) -> str:
        """Digest of shape and pixels."""
        content = np.ascontiguousarray(self._images)
        return hashlib.sha256(str(content.shape).encode() + content.tobytes()).hexdigest()[:32]

    def _read(self, index: int, size: Size | None) -> Pixels:
        pixels = self._images[index]
        picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        return np.asarray(on_white(cover(picture, size)))
