"""Which labels the images of a set have: the values of its columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int64

from workbench.analyses.label_selectivity.auroc import Grouping
from workbench.input_error import InputError

if TYPE_CHECKING:
    from workbench.images.image_set import ImageSet

LISTS = ("keywords",)
"""Columns that hold several labels an image, separated by commas."""


@dataclass(frozen=True, eq=False)
class Labels:
    """Labels of some images.

    Attributes
    ----------
    names
        ``column:value``; where several labels are of the very same images, all of them with `` = `` between.
    group
        Which image has which, the images ordered by concept.
    order
        Which of the images given stands where in `group`.
    too_few
        Labels left out because too few concepts have them, or lack them.
    """

    names: tuple[str, ...]
    group: Grouping
    order: Int64[np.ndarray, "image"]
    too_few: int


def label_columns(images: ImageSet, columns: Sequence[str], concept: str) -> tuple[str, ...]:
    """Return the columns that labels are read from: those asked for, or all but that of the concepts.

    Raises
    ------
    InputError
        When the set has no such column, or no labels at all.
    """
    known = ", ".join(images.columns)
    for column in columns:
        if column not in images.columns:
            raise InputError(f"{images.name} has no column {column!r}; it has {known or 'none'}")
    found = tuple(columns) or tuple(column for column in images.columns if column != concept)
    if not found:
        raise InputError(
            f"{images.name} has no labels; open a set with columns, such as emoji or a folder with sub-folders"
        )
    return found


def labels_of(
    images: ImageSet,
    indices: Int64[np.ndarray, "image"],
    concepts: Int64[np.ndarray, "image"],
    columns: Sequence[str],
    least: int,
) -> Labels:
    """Collect the labels that at least `least` concepts have and as many lack.

    Parameters
    ----------
    indices, concepts
        The images, and the number of each one's concept.

    Raises
    ------
    InputError
        When no label is left.
    """
    order = np.argsort(concepts, kind="stable")
    numbers = np.unique(concepts[order], return_inverse=True)[1].astype(np.int64)
    members: dict[str, list[int]] = {}
    for column in columns:
        values = images.columns[column]
        for place, index in enumerate(indices[order].tolist()):
            texts = values[index].split(",") if column in LISTS else [values[index]]
            for text in dict.fromkeys(part.strip() for part in texts):
                if text:
                    members.setdefault(f"{column}:{text}", []).append(place)
    total = int(numbers[-1]) + 1
    whole = np.bincount(numbers)
    same: dict[bytes, list[str]] = {}
    for name, places in members.items():
        counted = np.bincount(numbers[places], minlength=total)
        if (counted > 0).sum() >= least and (counted < whole).sum() >= least:
            same.setdefault(np.asarray(places, np.int32).tobytes(), []).append(name)
    if not same:
        raise InputError(
            f"no label of {images.name} is had by {least} concepts and lacked by as many; it has {len(members):,} in {', '.join(columns)}"
        )
    member = np.zeros((len(order), len(same)), bool)
    for label, content in enumerate(same):
        member[np.frombuffer(content, np.int32), label] = True
    names = tuple(" = ".join(names) for names in same.values())
    return Labels(names, Grouping(numbers, member), order, len(members) - sum(map(len, same.values())))
