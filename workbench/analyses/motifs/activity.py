"""What the units that are read do on images: how much they vary, which go together, and what they need to be there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float32
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from workbench.models.affine import layer_of

if TYPE_CHECKING:
    from workbench.models.traced_model import TracedModel

PREFERENCES = ("colour", "detail", "side")
"""What a unit's response may depend on: colour (grey images), fine detail (blurred images), left and right (mirrored images)."""


@dataclass(frozen=True, eq=False)
class Activity:
    """What the units of one layer do, over all images and positions.

    Attributes
    ----------
    std
        Standard deviation; 0 for a dead unit, NaN for one that is no number.
    correlation
        Of every two units; 0 where one is dead.
    needs
        For each of `PREFERENCES`, which part of the variance is another without it: 0 where the unit does not care, about 1 where its
        response has nothing to do with what it was.
    """

    std: npt.NDArray[np.float32]
    correlation: Float32[np.ndarray, "unit unit"]
    needs: dict[str, npt.NDArray[np.float32]]


@torch.no_grad()
def observed(
    model: TracedModel, layers: Sequence[str], asked: Sequence[str], inputs: Sequence[tuple[Tensor, ...]], pulse: Callable[[], None]
) -> dict[str, Activity]:
    """Run the network on batches of what it reads; `pulse` is called after each.

    Parameters
    ----------
    layers
        Whose units are described.
    asked
        Those of them that are also shown grey, blurred and mirrored images.
    """
    described = {name: layer_of(model.graph, model.graph.node(name)) for name in layers}
    number = dict.fromkeys(layers, 0)
    total = {name: torch.zeros(layer.units, dtype=torch.float64) for name, layer in described.items()}
    products = {name: torch.zeros(layer.units, layer.units, dtype=torch.float64) for name, layer in described.items()}
    changed = {name: {what: torch.zeros(described[name].units, dtype=torch.float64) for what in PREFERENCES} for name in asked}
    for batch in inputs:
        clean = model.activations(batch, list(layers))
        for name, layer in described.items():
            flat = layer.arrange(clean[name]).transpose(0, 1).flatten(1).float()
            total[name] += flat.sum(1).double().cpu()
            products[name] += (flat @ flat.T).double().cpu()
            number[name] += flat.shape[1]
        for what in PREFERENCES if asked else ():
            other = model.activations((_without(batch[0], what), *batch[1:]), list(asked))
            for name in asked:
                before, after = (described[name].arrange(value[name]) for value in (clean, other))
                after = after.flip(-1) if what == "side" and after.dim() == 4 else after
                changed[name][what] += (before - after).square().transpose(0, 1).flatten(1).sum(1).double().cpu()
        pulse()
    found = {}
    for name in layers:
        mean = total[name] / number[name]
        covariance = products[name] / number[name] - torch.outer(mean, mean)
        variance = covariance.diagonal()
        # What varies by rounding alone does not.
        variance = torch.where(variance > 1e-10 * (1e-12 + mean.square()), variance, torch.where(variance.isnan(), variance, 0.0))
        std = variance.sqrt()
        scale = torch.where(std > 0, std, torch.inf)
        correlation = (covariance / scale[:, None] / scale[None]).nan_to_num(0.0).clamp(-1, 1)
        needs = {
            what: (value / (2 * number[name] * torch.where(std > 0, variance, torch.inf))).numpy().astype(np.float32)
            for what, value in changed.get(name, {}).items()
        }
        found[name] = Activity(std.numpy().astype(np.float32), correlation.numpy().astype(np.float32), needs)
    return found


def _without(image: Tensor, what: str) -> Tensor:
    """Return a batch of images without colour, without detail, or mirrored."""
    if what == "colour":
        return image.mean(1, keepdim=True).expand_as(image).contiguous()
    if what == "detail":
        return avg_pool2d(pad(image, (2, 2, 2, 2), mode="replicate"), 5, 1)
    return image.flip(-1)
