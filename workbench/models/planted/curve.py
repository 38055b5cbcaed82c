"""Curve detectors made of Gabor filters."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from workbench.models.known_circuit import KnownCircuit
from workbench.models.planted.kernels import gabor, offsets
from workbench.models.planted.network import PlantedNetwork, edges, register_planted

GABORS, CURVES = 16, 8
RADIUS = 18.0
"""Radius of the curves in pixels."""
GABOR_SIDE, CURVE_SIDE, IMAGE_SIDE = 9, 25, 65
"""In pixels; odd, so that a unit stands in the very middle of the image."""


@register_planted("curve_net", "16 Gabor filters, and 8 curve detectors made of them")
def curve_net() -> PlantedNetwork:
    """Make curve detectors that are excited by tangents to their arc and inhibited by what runs across it.

    References
    ----------
    Cammarata et al., "Curve Circuits", Distill 2021, the section on the artificial network.
    """
    return _curves(opposite=0.0)


@register_planted("curve_net_inhibited", "curve_net, each curve also inhibited by the opposite one")
def curve_net_inhibited() -> PlantedNetwork:
    """Make curve detectors that are also inhibited by the arc that bulges the other way."""
    return _curves(opposite=1.0)


def _curves(opposite: float) -> PlantedNetwork:
    orientations = [180 / GABORS * i for i in range(GABORS)]
    bulges = [360 / CURVES * i for i in range(CURVES)]
    lines = nn.Conv2d(3, GABORS, GABOR_SIDE, bias=False)
    curves = nn.Conv2d(GABORS, CURVES, CURVE_SIDE, bias=False)
    # Negative: ink is darker than its ground.
    lines.weight.copy_(torch.stack([-gabor(angle, GABOR_SIDE) for angle in orientations])[:, None] / 3)
    curves.weight.copy_(
        torch.stack([arc(angle, orientations) - opposite * arc(angle + 180, orientations) for angle in bulges])
    )
    net = nn.Sequential(
        OrderedDict(
            gabor=lines,
            gabor_relu=nn.ReLU(),
            curve=curves,
            curve_relu=nn.ReLU(),
            pool=nn.AdaptiveMaxPool2d(1),
            flatten=nn.Flatten(),
        )
    )
    units = {f"gabor_relu:{i}": {"feature": "line", "orientation": angle} for i, angle in enumerate(orientations)}
    units |= {
        f"curve_relu:{i}": {"feature": "curve", "orientation": angle, "radius": RADIUS}
        for i, angle in enumerate(bulges)
    }
    circuit = KnownCircuit(
        "Which Gabors build a curve detector, and where on its arc?",
        f"stimuli:curves?orientations=72&radius={RADIUS / IMAGE_SIDE:.4g}",
        units,
        edges("gabor_relu", "curve_relu", curves.weight, least=0.2),
        {"family": [f"curve_relu:{i}" for i in range(CURVES)], "inhibited_by_opposite": bool(opposite)},
    )
    return PlantedNetwork(net, IMAGE_SIDE, tuple(f"curve {angle:g}°" for angle in bulges), circuit)


def arc(bulge: float, orientations: Sequence[float]) -> Float[Tensor, "gabor y x"]:
    """Return the weights from Gabors to a curve through the middle that bulges to `bulge`.

    Along the arc they are ``exp(8 (cos 2d - 1))`` for the angle d between a Gabor's stripes and the tangent there, less 0.35 times the same
    for the Gabor that runs across.
    """
    right, up = offsets(CURVE_SIDE)
    x, y = right + RADIUS * math.cos(math.radians(bulge)), up + RADIUS * math.sin(math.radians(bulge))
    on_arc = torch.exp(-(torch.hypot(x, y) - RADIUS).square() / 2) * (torch.hypot(right, up) <= CURVE_SIDE / 2)
    from_tangent = torch.atan2(y, x) + math.pi / 2 - torch.tensor(orientations).deg2rad()[:, None, None]
    alike = torch.cos(2 * from_tangent)
    weights: Tensor = on_arc * (torch.exp(8 * (alike - 1)) - 0.35 * torch.exp(8 * (-alike - 1)))
    return weights
