"""Where in the image a layer's middle position looks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.input_error import InputError
from workbench.models.expanded import centre
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


HELD, SMALL = 0.99, 0.5
"""Of the squared gradient, that a field holds which would be the whole image otherwise; and of the image, that it then is at most."""


def at_middle(arranged: Tensor, layer: Layer) -> Tensor:
    """Return what units do at a layer's middle position (`centre`), ``batch unit``, of an activation ``batch unit *position``."""
    return _at(arranged, centre(layer))


def receptive_field(model: TracedModel, layer: Layer) -> ReceptiveField:
    """Return what the layer's middle position reads.

    Taken from the gradient on noise, so a connection of weight zero is not counted. Where every position reaches the whole image a little
    (squeeze-and-excitation, GroupNorm, attention), it is the smallest rows and columns that hold `HELD` of the squared gradient, if these
    are at most `SMALL` of the image; what looks at most of it anyway keeps all of it.

    Raises
    ------
    InputError
        When the layer does not depend on the image.
    """
    generator = torch.Generator().manual_seed(0)
    size = model.preprocessing.size
    image = torch.rand((2, model.preprocessing.channels, *size), generator=generator)
    network_input = model.normalise(image.to(model.device, model.dtype)).requires_grad_(True)
    arranged = layer.arrange(model.forward_to([layer.name])(network_input)[0])
    middle = at_middle(arranged, layer)
    weights = torch.randn(middle.shape, generator=generator).to(middle)

    def energy(given: Tensor) -> Tensor:
        """Return the squared gradient of what units give, ``y x``."""
        gradient = None
        if given.requires_grad:
            (gradient,) = torch.autograd.grad((given * weights).sum(), network_input, retain_graph=True, allow_unused=True)
        if gradient is None:
            raise InputError(f"{layer.name} does not depend on the image; choose a layer that does")
        return gradient.cpu().double().square().sum((0, 1))

    seen = energy(middle)
    if not seen.any():
        return ReceptiveField(0, 0, *size)
    (top, height), (left, width) = (_span(seen.sum(axis), 1.0) for axis in (1, 0))
    whole = (height, width) == size and math.prod(layer.positions) > 1
    # What looks at the middle can see an image whole; that its first position reaches the far corner as well takes something global.
    if whole and energy(_at(arranged, _first(layer)))[-1, -1] > 0:
        (upper, rows), (first, columns) = (_span(seen.sum(axis), 1 - (1 - HELD) / 2) for axis in (1, 0))
        if rows * columns <= SMALL * height * width:
            return ReceptiveField(upper, first, rows, columns)
    return ReceptiveField(top, left, height, width)


def _at(arranged: Tensor, position: Sequence[int]) -> Tensor:
    for place in position:
        arranged = arranged[:, :, place]
    return arranged


def _first(layer: Layer) -> tuple[int, ...]:
    """Return the first position of the image: of a sequence the first patch behind its class token."""
    grid = layer.grid(layer.positions[0]) if len(layer.positions) == 1 else None
    return (grid[0],) if grid is not None else (0,) * len(layer.positions)


def _span(along: Tensor, share: float) -> tuple[int, int]:
    """Return start and length of the shortest run of an axis that holds a share of a sum; of all of it, from the first to the last."""
    if share >= 1:
        there = along.nonzero()
        return int(there.min()), int(there.max() - there.min()) + 1
    held = torch.cat([torch.zeros(1, dtype=along.dtype), along.cumsum(0)])
    ends = torch.searchsorted(held, held[:-1] + share * held[-1]).clamp_max(len(along))
    lengths = torch.where(held[ends] - held[:-1] >= share * held[-1] * (1 - 1e-9), ends - torch.arange(len(along)), len(along) + 1)
    start = int(lengths.argmin())
    return start, int(lengths[start])
