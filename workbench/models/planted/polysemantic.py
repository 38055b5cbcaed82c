"""Units with two unrelated causes."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

from workbench.models.known_circuit import KnownCircuit
from workbench.models.planted.kernels import calibrate, gabor, line_image
from workbench.models.planted.network import PlantedNetwork, edges, register_planted

ORIENTATIONS = (0, 30, 60, 90, 120, 150)
HUES = {29: (0.84, 0.53, 0.48), 149: (0.44, 0.69, 0.49), 269: (0.52, 0.61, 0.87)}
"""OKLCH hue in degrees, and its sRGB at a lightness of 0.7 and a chroma of 0.1."""
GROUND = 0.62
"""The grey of the same lightness."""
SIDE, WIDTH = 33, 2.0


@register_planted("polysemantic_net", "6 units of two unrelated causes, among 18 of one")
def polysemantic_net() -> PlantedNetwork:
    """Make detectors of lines of one orientation and hue; a unit of ``mixed`` is the sum of two of them, or one.

    The two causes of a unit are never seen in one line: they differ by 90 degrees and in hue.
    """
    features = [(angle, hue) for angle in ORIENTATIONS for hue in HUES]
    lines = nn.Conv2d(3, len(features), 9, bias=False)
    inks = {hue: torch.tensor(ink) - GROUND for hue, ink in HUES.items()}
    causes = [[i] for i in range(len(features))]
    for i, (angle, hue) in enumerate(features[: len(features) // 2]):
        if hue != 269:
            causes.append([i, features.index((angle + 90, 149 if hue == 29 else 269))])
    causes = [causes[i] for i in torch.randperm(len(causes)).tolist()]
    mixed = nn.Conv2d(len(features), len(causes), 1, bias=False)
    for i, (angle, hue) in enumerate(features):
        lines.weight[i] = inks[hue][:, None, None] * gabor(angle)
    images = torch.stack([line_image(angle, WIDTH, HUES[hue], GROUND, SIDE) for angle, hue in features])
    calibrate(lines, images, torch.eye(len(features), dtype=torch.bool), 0.0, 1.0)
    mixed.weight.zero_()
    for unit, parts in enumerate(causes):
        mixed.weight[unit, parts] = 1.0
    net = nn.Sequential(
        OrderedDict(line=lines, relu=nn.ReLU(), mixed=mixed, pool=nn.AdaptiveMaxPool2d(1), flatten=nn.Flatten())
    )
    units: dict[str, dict[str, object]] = {
        f"relu:{i}": {"orientation": angle, "hue": hue} for i, (angle, hue) in enumerate(features)
    }
    units |= {f"mixed:{unit}": {"causes": [f"relu:{i}" for i in parts]} for unit, parts in enumerate(causes)}
    circuit = KnownCircuit(
        "Which units of mixed have two causes, and which?",
        f"stimuli:lines?orientations={len(ORIENTATIONS)}&ink_hue={','.join(map(str, HUES))}&ink_lightness=0.7&ink_chroma=0.1"
        f"&ground_lightness=0.7&width={WIDTH / SIDE:.3g}&xs=5&ys=5",
        units,
        edges("relu", "mixed", mixed.weight),
        {"polysemantic": [f"mixed:{unit}" for unit, parts in enumerate(causes) if len(parts) == 2]},
    )
    return PlantedNetwork(net, SIDE, tuple(f"unit {unit}" for unit in range(len(causes))), circuit)
