"""An image that came from outside, written where lines that are copied can name it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.data_folder import data_folder
from workbench.whole_file import replacing

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, eq=False)
class KeptImage:
    """An image that was dropped, pasted or drawn. It becomes a file once somebody asks for its path.

    Attributes
    ----------
    pixels
        uint8 ``[y, x, 3]``.
    """

    pixels: np.ndarray

    @cached_property
    def path(self) -> Path:
        """The file, named after what is in it, and written unless it is there."""
        from PIL import Image

        content = hashlib.sha256(str(self.pixels.shape).encode() + self.pixels.tobytes())
        path = data_folder("pictures") / f"{content.hexdigest()[:16]}.png"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as beside:
                Image.fromarray(self.pixels).save(beside, "png", compress_level=1)  # the window waits for it
        return path

    @property
    def ref(self) -> str:
        """As `workbench.load_images` takes it."""
        return f"files:{self.path}"
