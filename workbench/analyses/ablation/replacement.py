"""What takes the place of a unit's activation, and which other units the null is made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.models.layer import Layer


class Replacement:
    """Edits of a layer that put something else in the place of some units' activation.

    Parameters
    ----------
    mean
        ``unit *feature``: what the units become; None where each image gets the activation of the image before it.
    before
        Activation of the layer on the image before the first one, a batch of one; needed without a mean.
    """

    def __init__(self, layer: Layer, mean: Float[Tensor, "unit *feature"] | None, before: Tensor | None = None) -> None:
        self.layer = layer
        self.mean = mean
        self.before = before if before is None else layer.arrange(before)

    def edit(self, units: Sequence[int]) -> Callable[[Tensor], Tensor]:
        """Return the edit that replaces `units`."""
        chosen = list(units)

        def replace(activation: Tensor) -> Tensor:
            changed = activation.clone()
            arranged = self.layer.arrange(changed)
            if self.mean is not None:
                arranged[:, chosen] = self.layer.at_places(self.mean[chosen].to(arranged.dtype))
            else:
                assert self.before is not None
                clean = self.layer.arrange(activation)
                arranged[:, chosen] = torch.cat([self.before[:, chosen], clean[:-1, chosen]])
            return changed

        return replace

    def keep(self, last: list[Tensor]) -> Callable[[Tensor], Tensor]:
        """Return the edit that changes nothing and puts the activation on the last image into `last`, for the next batch."""

        def look(activation: Tensor) -> Tensor:
            last[:] = [self.layer.arrange(activation)[-1:].clone()]
            return activation

        return look


def other_units(units: Sequence[int], of: int, draws: int, seed: Sequence[int]) -> npt.NDArray[np.int64]:
    """Draw sets of as many units as `units`, none of them among these, from a layer of `of`: ``draw unit``, ascending, no set twice.

    Where there are no more than `draws` such sets, all of them.
    """
    others = sorted(set(range(of)) - set(units))
    size = len(units)
    if math.comb(len(others), size) <= draws:
        return np.array(list(combinations(others, size)), np.int64).reshape(-1, size)
    random = np.random.default_rng(seed)
    found: dict[tuple[int, ...], None] = {}
    while len(found) < draws:
        found[tuple(sorted(random.choice(others, size, replace=False).tolist()))] = None
    return np.array(list(found), np.int64)
