"""A vision transformer with one head that does something."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from workbench.models.known_circuit import KnownCircuit
from workbench.models.planted.network import PlantedNetwork, register_planted

GRID, PATCH = 4, 8
SHARPNESS = 12.0
"""Score of the position looked at; all others have 0."""


@register_planted("attention_net", "a ViT whose first head looks one patch to the right and copies its colour")
def attention_net() -> PlantedNetwork:
    """Make a timm ViT of one block: patches embedded as their mean colour, positions one-hot, no normalisation.

    The first head's queries are its keys shifted by one patch; its value and output matrices copy the colour into dimensions of their own.
    The last column has no neighbour: there the head looks at the patch itself. The second head looks everywhere alike and copies nothing.
    The output is the average of the copied colours.
    """
    from timm.models.vision_transformer import VisionTransformer

    positions = torch.arange(GRID * GRID)
    heads, head_width = 2, 20
    width = heads * head_width
    net: Any = VisionTransformer(
        img_size=GRID * PATCH,
        patch_size=PATCH,
        num_classes=3,
        embed_dim=width,
        depth=1,
        num_heads=heads,
        mlp_ratio=1,
        class_token=False,
        global_pool="avg",
        norm_layer=nn.Identity,
        fc_norm=False,
    )
    colour, place, copied = torch.arange(3), 3 + positions, 3 + len(positions) + torch.arange(3)
    looks_at = torch.where(positions % GRID == GRID - 1, positions, positions + 1)
    attention = net.blocks[0].attn
    for parameter in net.parameters():
        parameter.zero_()
    net.patch_embed.proj.weight[colour, colour] = 1 / PATCH**2
    net.pos_embed[0, positions, place] = 1.0
    query, key, value = attention.qkv.weight.split(width)
    query[looks_at, place] = SHARPNESS * math.sqrt(head_width)
    key[positions, place] = 1.0
    value[colour, colour] = 1.0
    attention.proj.weight[copied, colour] = 1.0
    net.head.weight[colour, copied] = 1.0
    circuit = KnownCircuit(
        "Where does each head look, and what does it move?",
        "emoji",
        {
            "blocks.0.attn:scaled_dot_product_attention:0": {"head": 0, "offset": [0, 1], "copies": "colour"},
            "blocks.0.attn:scaled_dot_product_attention:1": {"head": 1, "offset": None, "copies": None},
        },
        facts={
            "grid": [GRID, GRID],
            "looks_at": looks_at.tolist(),
            "colour_dimensions": colour.tolist(),
            "position_dimensions": place.tolist(),
            "copied_dimensions": copied.tolist(),
        },
    )
    return PlantedNetwork(net, GRID * PATCH, ("red", "green", "blue"), circuit)
