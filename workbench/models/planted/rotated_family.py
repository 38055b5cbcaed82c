"""Families of kernels that are turns of one another."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

from workbench.models.known_circuit import KnownCircuit
from workbench.models.planted.kernels import smooth_kernels
from workbench.models.planted.network import PlantedNetwork, register_planted

FAMILIES, UNRELATED, SIDE = 6, 8, 9


@register_planted("rotated_family_net", "6 families of kernels that are quarter turns of one another, among 8 others")
def rotated_family_net() -> PlantedNetwork:
    """Make kernels that are exact quarter turns of one another, in random order among kernels that are not."""
    bases = smooth_kernels(FAMILIES + UNRELATED, SIDE)
    kernels = [torch.rot90(base, turn, (1, 2)) for base in bases[:FAMILIES] for turn in range(4)] + [*bases[FAMILIES:]]
    place: list[int] = torch.randperm(len(kernels)).tolist()
    features = nn.Conv2d(3, len(kernels), SIDE, bias=False)
    features.weight[place] = torch.stack(kernels)
    net = nn.Sequential(
        OrderedDict(features=features, relu=nn.ReLU(), pool=nn.AdaptiveMaxPool2d(1), flatten=nn.Flatten())
    )
    families = [[f"relu:{unit}" for unit in place[4 * i : 4 * i + 4]] for i in range(FAMILIES)]
    circuit = KnownCircuit(
        "Which units are turns of one another, and by how much?",
        "emoji",
        {
            unit: {"family": i, "turn": 90 * turn}
            for i, family in enumerate(families)
            for turn, unit in enumerate(family)
        },
        facts={"families": families, "unrelated": [f"relu:{unit}" for unit in place[4 * FAMILIES :]]},
    )
    return PlantedNetwork(net, 33, tuple(f"unit {unit}" for unit in range(len(kernels))), circuit)
