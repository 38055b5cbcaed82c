"""Where in the image a layer's middle position looks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.models.layer import Layer
from workbench.models.traced_model import TracedModel


@dataclass(frozen=True)
class ReceptiveField:
    """A rectangle of the network's input, in pixels.

    Attributes
    ----------
    top, left, height, width
        Of the image, at most all of it.
    """

    top: int
    left: int
    height: int
    width: int

    def middle(self, size: tuple[int, int]) -> tuple[float, float]:
        """Return x and y of its middle from that of an image of a size, as fractions of the shorter side (y downwards)."""
        x, y = self.left + self.width / 2 - size[1] / 2, self.top + self.height / 2 - size[0] / 2
        return x / min(size), y / min(size)


def at_middle(arranged: Tensor) -> Tensor:
    """Return what units do at a layer's middle position, ``batch unit``, of an activation ``batch unit *position``."""
    while arranged.dim() > 2:
        arranged = arranged[:, :, arranged.shape[2] // 2]
    return arranged


def receptive_field(model: TracedModel, layer: Layer) -> ReceptiveField:
    """Return what the layer's middle position reads.

    Taken from the gradient on noise, so a connection of weight zero is not counted, and global pooling or attention counts as all.
    """
    generator = torch.Generator().manual_seed(0)
    size = model.preprocessing.size
    image = torch.rand((2, model.preprocessing.channels, *size), generator=generator)
    network_input = model.normalise(image.to(model.device, model.dtype)).requires_grad_(True)
    middle = at_middle(layer.arrange(model.forward_to([layer.name])(network_input)[0]))
    weights = torch.randn(middle.shape, generator=generator).to(middle)
    (gradient,) = torch.autograd.grad((middle * weights).sum(), network_input)
    seen = (gradient != 0).any(0).any(0)
    if not seen.any():
        return ReceptiveField(0, 0, *size)
    rows, columns = (seen.any(axis).nonzero() for axis in (1, 0))
    top, left = int(rows.min()), int(columns.min())
    return ReceptiveField(top, left, int(rows.max()) - top + 1, int(columns.max()) - left + 1)
