"""Which class an image shows: what the image set says, in the words of the network's labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from workbench.input_error import InputError

if TYPE_CHECKING:
    from workbench.images.image_set import ImageSet
    from workbench.models.traced_model import TracedModel

ENOUGH = 0.5
"""Part of the images whose value must be a label for a column to be found by its values."""


def has_classes(model: TracedModel) -> bool:
    """Tell whether the network's output is one number for each of its labels."""
    return bool(model.labels) and model.layer(model.graph.output).shape == (len(model.labels),)


def classes_of(
    model: TracedModel, images: ImageSet, column: str = "", wanted: Sequence[str] = ()
) -> tuple[str, npt.NDArray[np.int64]]:
    """Return the column that names the classes, and the class of each image: its place among the labels, -1 for none (or none wanted).

    Without a column, the one in which most values are labels; where that is less than half of the images, ``""`` and an empty array.

    Raises
    ------
    InputError
        When the set has no such column, the column has no label, or the network no such class.
    """
    number = {label: place for place, label in reversed(list(enumerate(model.labels)))}
    begin = ", ".join(model.labels[:3])
    if column and column not in images.columns:
        raise InputError(f"{images.name} has no column {column!r}; it has {', '.join(images.columns) or 'none'}")
    for name in wanted:
        if name not in number:
            raise InputError(f"{model.name} has no class {name!r}; its classes begin with {begin}")
    known = {
        name: np.array([number.get(value, -1) for value in images.columns[name]], np.int64)
        for name in ([column] if column else images.columns)
    }
    best = max(known, key=lambda name: int((known[name] >= 0).sum()), default="")
    labelled = float((known[best] >= 0).mean()) if best and len(images) else 0.0
    if column and not labelled:
        raise InputError(f"no {column} of {images.name} is a class of {model.name}; its classes begin with {begin}")
    if not column and labelled < ENOUGH:
        if wanted:
            raise InputError(f"{images.name} does not say which class an image is; leave the classes empty")
        return "", np.zeros(0, np.int64)
    found = known[best]
    if wanted:
        found[~np.isin(found, [number[name] for name in wanted])] = -1
    return best, found
