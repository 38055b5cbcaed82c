"""What mean ablation puts in a unit's place: its mean over images and places; a head's is the vector of its features' means."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from workbench.models.layer import Layer

if TYPE_CHECKING:
    from workbench.models.traced_model import TracedModel


def mean_activations(
    model: TracedModel,
    layers: Sequence[Layer],
    inputs: Iterable[Tensor | tuple[Tensor, ...]],
    tell: Callable[[int], None] = lambda done: None,
) -> list[Tensor]:
    """Return the mean of every unit over images and places, float64 ``unit *feature`` for each layer.

    Parameters
    ----------
    inputs
        Batches of what the network reads.
    tell
        Called after each batch with how many were read before it.
    """
    total: list[Tensor | float] = [0.0] * len(layers)
    images = 0
    with torch.no_grad():
        for done, shown in enumerate(inputs):
            clean = model.activations(shown, [layer.name for layer in layers])
            for place, layer in enumerate(layers):
                arranged = layer.arrange(clean[layer.name])
                total[place] = total[place] + layer.over_places(arranged.double()).sum(0)
            images += len(shown[0]) if isinstance(shown, tuple) else len(shown)
            tell(done)
    return [torch.as_tensor(one) / max(1, images) for one in total]
