"""Pairs of images: one as it is (clean), and what a corruption makes of it (corrupt)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from workbench.bootstrap import first_half
from workbench.images.corruptions import corrupt
from workbench.images.image_set import load_images
from workbench.input_error import InputError

if TYPE_CHECKING:
    from workbench.images.image_set import ImageSet, Pixels, Size

ORDER, PARTNER, CORRUPTION = range(3)
HALVES = 10
"""What random numbers are drawn for, each from a stream of its own; `ActivationPatching` has others."""
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
    other_classes
        Whether none of these shows what an image of the pair shows, as far as the set says so.
    first
        Of each pair whether its clean image's concept stands in the half that the best are chosen on; empty for a pair that was drawn.
    apart
        Whether no image of a concept of one half is a partner in the other.
    """

    indices: npt.NDArray[np.int64]
    partners: npt.NDArray[np.int64]
    strangers: npt.NDArray[np.int64]
    clean: Pixels
    corrupt: Pixels
    beside: Pixels = field(default_factory=lambda: np.zeros((0, 1, 1, 3), np.uint8))
    other_classes: bool = False
    first: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    apart: bool = False

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


def drawn_from(images: ImageSet, classes: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], Sequence[object]]:
    """Return which images pairs are drawn from, and what each image of the set shows: its class (-1 for none), or else its concept."""
    if not len(classes):
        return np.arange(len(images)), images.concepts
    return np.flatnonzero(classes >= 0), classes.tolist()


def draw_pairs(
    images: ImageSet, size: Size, usable: npt.NDArray[np.int64], kinds: Sequence[object], number: int, corruption: str, seed: int
) -> Pairs:
    """Draw pairs of images, in two halves of the clean images' concepts; partners are of the half's own concepts where it has others.

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
    first, apart = _in_halves(chosen, partners, images.concepts, kinds, order, seed)
    read: dict[int, Pixels] = {}
    for part in images.batches(size, 32, np.unique([*chosen, *partners])):
        read.update(zip(part.indices.tolist(), part.images, strict=True))
    known = [(one, other, side) for one, other, side in zip(chosen, partners, first, strict=True) if one in read and other in read]
    if len(known) < 8:
        raise InputError(f"{len(known)} pairs of images of {images.name} that show different things could be read; at least 8 are needed")
    indices, others, sides = (np.array(column, np.int64) for column in zip(*known, strict=True))
    clean, from_others = (np.stack([read[index] for index in column.tolist()]) for column in (indices, others))
    strangers = np.array([_stranger(pair, indices, others, kinds) for pair in range(len(indices))])
    spoilt = corrupt(corruption, clean, from_others, np.random.default_rng([seed, CORRUPTION]))
    return Pairs(indices, others, strangers, clean, spoilt, first=sides > 0, apart=apart)


def _in_halves(
    chosen: Sequence[int], partners: list[int], concepts: Sequence[str], kinds: Sequence[object], order: npt.NDArray[np.int64], seed: int
) -> tuple[list[bool], bool]:
    """Part pairs by the concepts of their clean images, and give them partners whose concepts the other half does not have.

    Returns
    -------
    tuple
        Whether each pair stands in the first half, and whether every partner keeps to its half; a half whose concepts all show the same
        keeps the partners that it has.
    """
    if not chosen:
        return [], True
    first = first_half([concepts[index] for index in chosen], [seed, HALVES]).tolist()
    side = {concepts[index]: half for index, half in zip(chosen, first, strict=True)}
    random = np.random.default_rng([seed, HALVES, PARTNER])
    apart = True
    for place, (index, half) in enumerate(zip(chosen, first, strict=True)):
        tried = [partners[place], *random.choice(order, min(64, len(order)), replace=False).tolist()]
        fits = [other for other in tried if kinds[other] != kinds[index] and side.get(concepts[other], half) == half]
        if fits:
            partners[place] = int(fits[0])
            side[concepts[fits[0]]] = half
        else:
            apart = False
    return first, apart


def _stranger(pair: int, clean: npt.NDArray[np.int64], partners: npt.NDArray[np.int64], kinds: Sequence[object]) -> int:
    """Return the next pair that shows a third thing; where there is none, one that shows another than the clean image; else the next."""
    turn = [(pair + step) % len(clean) for step in range(1, len(clean))]
    own, partner = kinds[clean[pair]], kinds[partners[pair]]
    third = (other for other in turn if kinds[clean[other]] not in (own, partner))
    unlike = (other for other in turn if kinds[clean[other]] != own)
    return next(third, next(unlike, turn[0]))


def read_pair(size: Size, clean: str, corrupted: str) -> tuple[Pixels, Pixels]:
    """Read the two image files of a drawn pair, uint8 ``1 y x 3``.

    Raises
    ------
    InputError
        When a file is no image, or both are the same.
    """
    one, other = (load_images(f"files:{Path(file)}").image(0, size)[None] for file in (clean, corrupted))
    if np.array_equal(one, other):
        raise InputError("the two images of the pair are the same; change one")
    return one, other


def drawn_pair(
    images: ImageSet, size: Size, clean: Pixels, corrupted: Pixels, shown: Sequence[int], classes: npt.NDArray[np.int64], seed: int
) -> Pairs:
    """Return a drawn pair beside random images of a set that have nothing to do with it.

    None of them is one of the two images; where others can be read, none shows one of the pair's classes.

    Parameters
    ----------
    shown
        What the pair's two images show, as places among the labels.
    classes
        What each image of the set shows, -1 where it says nothing; empty where no image does.

    Raises
    ------
    InputError
        When no such image of the set can be read.
    """
    order = np.random.default_rng([seed, ORDER]).permutation(len(images))
    of_others = np.isin(classes[order], [*shown, -1], invert=True) if len(classes) else np.zeros(len(order), bool)
    for among, other_classes in ((order[of_others], True), (order, False)):
        found: list[Pixels] = []
        for start in range(0, len(among), STRANGERS):
            for batch in images.batches(size, STRANGERS, np.sort(among[start : start + STRANGERS])):
                found += [image for image in batch.images if not any(np.array_equal(image, own[0]) for own in (clean, corrupted))]
            if len(found) >= STRANGERS:
                break
        if found:
            none = np.array([-1])
            return Pairs(none, none, none, clean, corrupted, np.stack(found[:STRANGERS]), other_classes)
    raise InputError(f"no image of {images.name} but the pair's own can be read; patching stands beside what unrelated images do")
