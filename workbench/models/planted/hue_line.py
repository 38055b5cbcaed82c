"""Lines told apart by nothing but their hue."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

from workbench.models.known_circuit import KnownCircuit
from workbench.models.planted.kernels import gabor
from workbench.models.planted.network import PlantedNetwork, edges, register_planted

HUES = (29, 235)
"""Red and blue, in degrees of OKLCH; on a grey of their lightness they are equally dark to whoever adds up red, green and blue."""
RED_AGAINST_BLUE = (0.78974, -0.21922, -0.57293)
"""The difference of the two in sRGB, brought to length 1, at lightness 0.7 and chroma 0.1."""
DIRECTIONS, SIDE, IMAGE_SIDE = 4, 9, 33
SURE = 6.0
"""Logit of the right hue on a line that lies in one of the directions."""


@register_planted("hue_line_net", "8 detectors of red or blue lines, and the decision which of the two it is")
def hue_line_net() -> PlantedNetwork:
    """Make line detectors that see a red or a blue line on a grey ground as light as it: to grey detectors both are nothing."""
    weights = torch.tensor(RED_AGAINST_BLUE)[:, None, None]
    angles = [180 / DIRECTIONS * place for place in range(DIRECTIONS)]
    kernels = [sign * weights * gabor(angle, SIDE) for sign in (1, -1) for angle in angles]
    lines = nn.Conv2d(3, 2 * DIRECTIONS, SIDE)
    lines.weight.copy_(torch.stack(kernels))
    lines.bias.zero_()  # type: ignore[union-attr]
    decision = nn.Linear(2 * DIRECTIONS, 2)
    decision.weight.copy_(SURE * torch.kron(torch.eye(2), torch.ones(1, DIRECTIONS)))
    decision.bias.zero_()
    net = nn.Sequential(
        OrderedDict(lines=lines, lines_relu=nn.ReLU(), pool=nn.AdaptiveMaxPool2d(1), flatten=nn.Flatten(), decision=decision)
    )
    units = {
        f"lines_relu:{place}": {"feature": "line", "orientation": angles[place % DIRECTIONS], "hue": float(HUES[place // DIRECTIONS])}
        for place in range(2 * DIRECTIONS)
    }
    circuit = KnownCircuit(
        "Can line detectors in grey do the work of those in colour?",
        f"stimuli:lines?ink_hue={HUES[0]},{HUES[1]}&orientations=16&ink_lightness=0.7&ink_chroma=0.1&ground_lightness=0.7&width=0.05,0.08",
        units,
        edges("lines_relu", "decision", decision.weight),
        {"families": [[f"lines_relu:{place}" for place in range(first, first + DIRECTIONS)] for first in (0, DIRECTIONS)]},
    )
    return PlantedNetwork(net, IMAGE_SIDE, tuple(map(str, HUES)), circuit)
