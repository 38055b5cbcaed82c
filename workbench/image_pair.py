"""Two images that the user compares: one as it is, one changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.kept_image import KeptImage


@dataclass(frozen=True, eq=False)
class ImagePair:
    """What patching starts from.

    Attributes
    ----------
    clean, corrupt
        Of the same height and width.
    name
        What it is called where it is listed, such as ``turtle, blurred``.
    """

    clean: KeptImage
    corrupt: KeptImage
    name: str
