"""What units see at the centre of every image: the values in their windows, of which their contributions are made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from workbench.models.expanded import Part, Window, centre

if TYPE_CHECKING:
    from workbench.models.layer import Layer
    from workbench.models.traced_model import TracedModel


def values_at_centre(
    model: TracedModel,
    source: Layer,
    part: Part,
    inputs: Sequence[tuple[Tensor, ...]],
    window: Window,
    pulse: Callable[[], None],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """Return the source's activations in a window, ``image source position``, and the units' values at the centre, ``image unit``."""
    values, actual = [], []
    inside = [slice(None), slice(None)]
    for start, size in zip(window.start, window.kernels.shape[2:], strict=True):
        inside.append(slice(start, start + size))
    position = centre(part.layer)
    with torch.no_grad():
        for one in inputs:
            clean = model.activations(one, [source.name, part.layer.name])
            arranged = source.arrange(clean[source.name])
            values.append(arranged[tuple(inside)].reshape(*arranged.shape[:2], -1).float().cpu().numpy())
            reached = part.layer.arrange(clean[part.layer.name])[:, part.units]
            for place in position:
                reached = reached.select(2, place)
            actual.append(reached.double().cpu().numpy())
            pulse()
    return np.concatenate(values), np.concatenate(actual)
