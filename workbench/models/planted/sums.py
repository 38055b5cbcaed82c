"""Units that are sums of a few others: in plain weights, through a residual stream, and where the linear path cancels."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import nn

from workbench.models.known_circuit import KnownCircuit
from workbench.models.planted.kernels import smooth_kernels
from workbench.models.planted.network import PlantedNetwork, edges, register_planted

INPUTS, SUMS, PARTS, NOISE = 1000, 16, 20, 0.02
FAMILY, ALIKE = 5, 0.8
"""Inputs come in families of 5, whose weights correlate by 0.8."""
WIDTH, NEURONS, SIDE = 128, 256, 16


@register_planted("sparse_net", "16 units, each the sum of 20 of 1,000 correlated ones")
def sparse_net() -> PlantedNetwork:
    """Make units with 20 weights of 1, in the second half among 980 of standard deviation 0.02; inputs of a family correlate by 0.8."""
    pixels = 3 * SIDE * SIDE
    features, sums = nn.Linear(pixels, INPUTS, bias=False), nn.Linear(INPUTS, SUMS, bias=False)
    shared = torch.randn(INPUTS // FAMILY, pixels).repeat_interleave(FAMILY, 0)
    own = torch.randn(INPUTS, pixels)
    features.weight.copy_((ALIKE**0.5 * shared + (1 - ALIKE) ** 0.5 * own) / pixels**0.5)
    sums.weight[: SUMS // 2] = 0.0
    sums.weight[SUMS // 2 :].normal_(0, NOISE)
    for unit in range(SUMS):
        sums.weight[unit, torch.randperm(INPUTS)[:PARTS]] = 1.0
    net = nn.Sequential(OrderedDict(flatten=nn.Flatten(), features=features, relu=nn.ReLU(), sums=sums))
    known = edges("relu", "sums", sums.weight, least=0.5)
    circuit = KnownCircuit(
        "Which of its inputs does each unit add up, and how sparse are its weights?",
        units={f"sums:{unit}": {"inputs": [a for a, b, _ in known if b == f"sums:{unit}"]} for unit in range(SUMS)},
        edges=known,
        facts={
            "noisy": [f"sums:{unit}" for unit in range(SUMS // 2, SUMS)],
            "gini": 0.72,
            "participation_ratio": 20.8,
            "family_size": FAMILY,
            "correlation_within_family": ALIKE,
        },
    )
    return PlantedNetwork(net, SIDE, tuple(f"sum {unit}" for unit in range(SUMS)), circuit)


@register_planted("residual_sum_net", "a ViT of width 128 with neurons that read the sum of three earlier ones")
def residual_sum_net() -> PlantedNetwork:
    """Make a ViT of two blocks, in which 16 neurons of the second read what three neurons of the first write, among random weights.

    Attention writes nothing, so the only path is the residual stream. A weight read off V = W_in diag(gamma) W_out stands out by about 6
    standard deviations.
    """
    from timm.models.vision_transformer import VisionTransformer

    net: Any = VisionTransformer(
        img_size=32, patch_size=8, num_classes=4, embed_dim=WIDTH, depth=2, num_heads=4, mlp_ratio=NEURONS // WIDTH
    )
    writes, reads = net.blocks[0].mlp.fc2.weight, net.blocks[1].mlp.fc1.weight
    parts = [torch.randperm(NEURONS)[:3].tolist() for _ in range(SUMS)]
    for name, parameter in net.named_parameters():
        if "norm" not in name:
            parameter.normal_(0, parameter.shape[-1] ** -0.5)
    for block in net.blocks:
        block.attn.proj.weight.zero_()
        block.attn.proj.bias.zero_()
    writes.copy_(nn.functional.normalize(writes, dim=0))
    reads[:SUMS] = nn.functional.normalize(torch.stack([writes[:, three].sum(1) for three in parts]))
    sums = {
        f"blocks.1.mlp.act:{unit}": [f"blocks.0.mlp.act:{part}" for part in three] for unit, three in enumerate(parts)
    }
    circuit = KnownCircuit(
        "Which neurons of the first block does each of the first 16 neurons of the second read?",
        "emoji",
        {unit: {"inputs": inputs} for unit, inputs in sums.items()},
        tuple((part, unit, 1.0) for unit, inputs in sums.items() for part in inputs),
    )
    return PlantedNetwork(net, 32, tuple(f"output {i}" for i in range(4)), circuit)


@register_planted("cancelling_path_net", "units whose linear path cancels, beside units where it tells all")
def cancelling_path_net() -> PlantedNetwork:
    """Make ``relu(a) + relu(-a) = |a|``, whose linear path cancels, and ``relu(a) - relu(-a) = a``, which is linear, of 4 features each."""
    count = 8
    features = nn.Conv2d(3, count, 9, bias=False)
    both = nn.Conv2d(count, 2 * count, 1, bias=False)
    sums = nn.Conv2d(2 * count, count, 1, bias=False)
    sign = torch.tensor([1.0] * 4 + [-1.0] * 4)
    features.weight.copy_(smooth_kernels(count, 9))
    both.weight[:, :, 0, 0] = torch.cat([torch.eye(count), -torch.eye(count)])
    sums.weight[:, :, 0, 0] = torch.cat([torch.eye(count), sign.diag()], 1)
    net = nn.Sequential(
        OrderedDict(
            features=features, both=both, relu=nn.ReLU(), sums=sums, pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten()
        )
    )
    circuit = KnownCircuit(
        "For which units of sums do expanded weights from features tell what they compute?",
        "emoji",
        {f"sums:{i}": {"computes": f"|features:{i}|" if i < 4 else f"features:{i}"} for i in range(count)},
        edges("features", "relu", both.weight) + edges("relu", "sums", sums.weight),
        {"cancelling": [f"sums:{i}" for i in range(4)], "linear": [f"sums:{i}" for i in range(4, count)]},
    )
    return PlantedNetwork(net, 33, tuple(f"sum {i}" for i in range(count)), circuit)
