"""Pairs of images: one as it is (clean), and what a corruption makes of it (corrupt)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from workbench.images.corruptions import corrupt
from workbench.images.image_set import load_images
from workbench.input_error import InputError

if TYPE_CHECKING:
    from workbench.images.image_set import ImageSet, Pixels, Size

ORDER, PARTNER, CORRUPTION = range(3)
"""What random numbers are drawn for, each from a stream of its own."""
STRANGERS = 4
"""Images of the set whose activations stand beside a pair that was drawn."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Images of a set in pairs, or one pair that was drawn.

    Attributes
    ----------
    indices, partners
        Of each pair the clean image in the set, and the image of another class that a corruption may take from; -1 for one that was drawn.
    strangers
        Of each pair another pair, whose clean image shows neither what its clean nor what its partner shows, where there is one.
    clean, corrupt
        uint8 ``n y x 3``.
    beside
        uint8 ``n y x 3``: images of the set beside a pair that was drawn; none beside others.
    """

    indices: npt.NDArray[np.int64]
    partners: npt.NDArray[np.int64]
    strangers: npt.NDArray[np.int64]
    clean: Pixels
    corrupt: Pixels
    beside: Pixels = field(default_factory=lambda: np.zeros((0, 1, 1, 3), np.uint8))

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def drawn(self) -> bool:
        """Whether it is one pair, of no set."""
        return len(self.beside) > 0

    def unlike(self, rows: npt.NDArray[np.integer]) -> Iterator[tuple[npt.NDArray[np.integer], Pixels]]:
        """Give images that have nothing to do with some pairs, as many as these, and the columns that their effects go to."""
        if not self.drawn:
            yield rows, self.clean[self.strangers[rows]]
        for place, image in enumerate(self.beside):
            yield np.array([place]), image[None]


def draw_pairs(
    images: ImageSet, size: Size, usable: npt.NDArray[np.int64], kinds: Sequence[object], number: int, corruption: str, seed: int
) -> Pairs:
    """Draw pairs of images.

    Parameters
    ----------
    size
        Height and width that both are read at.
    usable
        Images to draw from, by index.
    kinds
        What each image of the set shows: partners show something else.

    Raises
    ------
    InputError
        When there are fewer than 8 pairs, or all images show the same.
    """
    order = np.random.default_rng([seed, ORDER]).permutation(usable)
    random = np.random.default_rng([seed, PARTNER])
    chosen: list[int] = []
    partners: list[int] = []
    for index in order.tolist():
        if len(chosen) == number:
            break
        for other in random.choice(order, min(16, len(order)), replace=False).tolist():
            if kinds[other] != kinds[index]:
                chosen.append(index)
                partners.append(int(other))
                break
    read: dict[int, Pixels] = {}
    for part in images.batches(size, 32, np.unique([*chosen, *partners])):
        read.update(zip(part.indices.tolist(), part.images, strict=True))
    known = [(one, other) for one, other in zip(chosen, partners, strict=True) if one in read and other in read]
    if len(known) < 8:
        raise InputError(f"{len(known)} pairs of images of {images.name} that show different things could be read; at least 8 are needed")
    indices, others = (np.array(column, np.int64) for column in zip(*known, strict=True))
    clean, from_others = (np.stack([read[index] for index in column.tolist()]) for column in (indices, others))
    strangers = np.array([_stranger(pair, indices, others, kinds) for pair in range(len(indices))])
    return Pairs(indices, others, strangers, clean, corrupt(corruption, clean, from_others, np.random.default_rng([seed, CORRUPTION])))


def _stranger(pair: int, clean: npt.NDArray[np.int64], partners: npt.NDArray[np.int64], kinds: Sequence[object]) -> int:
    """Return the next pair that shows a third thing; where there is none, one that shows another than the clean image; else the next."""
    turn = [(pair + step) % len(clean) for step in range(1, len(clean))]
    own, partner = kinds[clean[pair]], kinds[partners[pair]]
    for unlike in ((own, partner), (own,), ()):
        found = next((other for other in turn if kinds[clean[other]] not in unlike), None)
        if found is not None:
            return found
    return turn[0]


def drawn_pair(images: ImageSet, size: Size, clean: str, corrupted: str, seed: int) -> Pairs:
    """Return the pair of two image files, beside random images of a set.

    Raises
    ------
    InputError
        When a file is no image, or the set has none.
    """
    one, other = (load_images(f"files:{Path(file)}").image(0, size)[None] for file in (clean, corrupted))
    if np.array_equal(one, other):
        raise InputError("the two images of the pair are the same; change one")
    order = np.sort(np.random.default_rng([seed, ORDER]).permutation(len(images))[:STRANGERS])
    beside = [batch.images for batch in images.batches(size, STRANGERS, order)]
    if not beside:
        raise InputError(f"no image of {images.name} can be read; patching stands beside what unrelated images do")
    none = np.array([-1])
    return Pairs(none, none, none, one, other, np.concatenate(beside))
