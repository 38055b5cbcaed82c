"""Small diffusion networks: a style neuron, and a unit that works at some noise levels only.

Both are diffusers' ``UNet2DConditionModel`` with random weights around what is planted. They read ``(image, timestep, text)``: an image
of 8 x 8 pixels in [-1, 1], a timestep of 0 to 999, and the embeddings of 4 tokens in 16 dimensions.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from workbench.models.known_circuit import KnownCircuit
from workbench.models.planted.network import PlantedNetwork, register_planted

SIDE, TOKENS, TEXT, WIDTH = 8, 4, 16, 32
STYLES = 5
UNIT = 17
"""Index of the style neuron in its feed-forward layer, and of the gated unit in its block."""
TIMESTEPS, ACTIVE = 1000, (300, 500)
"""All of them, and from which on to before which the gated unit is active."""


@register_planted("style_unet", "a diffusion network with one neuron for one style of the text")
def style_unet() -> PlantedNetwork:
    """Make a network in which one of five styles acts through one feed-forward neuron of the middle block and by no other way.

    A prompt has a style when its direction is added to the first token; the tokens are orthogonal to all styles otherwise. No key and no
    value of any cross-attention sees the style, but for one value dimension of the middle block, which writes it into a direction of the
    residual stream that nothing else writes and only the neuron reads. One leak is left: LayerNorm divides by a little more.
    """
    net = _unet()
    styles = torch.linalg.qr(torch.randn(TEXT, STYLES)).Q.T
    for name, module in net.named_modules():
        if name.endswith(("attn2.to_k", "attn2.to_v")):
            module.weight.copy_(without(module.weight, styles[0]))
    attentions = net.mid_block.attentions[0]
    block = attentions.transformer_blocks[0]
    # Of mean 0, so that LayerNorm's mean does not see them.
    directions = torch.randn(WIDTH, 2)
    read, write = torch.linalg.qr(directions - directions.mean(0)).Q.T
    feed_in, feed_out = block.ff.net[0].proj, block.ff.net[2]
    for writer in (attentions.proj_in, block.attn1.to_out[0], block.attn2.to_out[0], feed_out):
        writer.weight.copy_(without(writer.weight.flatten(1).T, read).T.view_as(writer.weight))
        writer.bias.copy_(without(writer.bias, read))
    for reader in (feed_in, attentions.proj_out):
        reader.weight.copy_(without(reader.weight.flatten(1), read).view_as(reader.weight))
    block.attn2.to_v.weight[0] = styles[0]
    block.attn2.to_out[0].weight[:, 0] = read
    # The neuron is value x gelu(gate): a value of 1, and a gate that the style opens.
    gate = UNIT + len(feed_in.weight) // 2
    feed_in.weight[UNIT], feed_in.bias[UNIT] = 0.0, 1.0
    feed_in.weight[gate], feed_in.bias[gate] = 24 * read, -4.0
    feed_out.weight[:, UNIT] = write
    path = "mid_block.attentions.0.transformer_blocks.0"
    neuron, value = f"{path}.ff.net.0:{UNIT}", f"{path}.attn2.to_v:0"
    circuit = KnownCircuit(
        "Which neuron writes which style, and what else changes without it?",
        units={neuron: {"feature": "style 0"}, value: {"feature": "style 0"}},
        edges=((value, neuron, 24.0),),
        facts={"styles": styles.tolist(), "write_direction": write.tolist(), "text": [TOKENS, TEXT]},
    )
    return PlantedNetwork(net, SIDE, (), circuit, _example())


@register_planted("gated_unet", "a diffusion network with a unit that is active at timesteps 300 to 499 only")
def gated_unet() -> PlantedNetwork:
    """Make a network with a unit that one fitted row of a ``time_emb_proj`` lifts inside a band of timesteps and holds down outside it.

    The row is the ridge regression of +1 inside and -1 outside on what the projection reads.
    """
    net = _unet()
    resnet = net.mid_block.resnets[0]
    timesteps = torch.arange(TIMESTEPS)
    read = nn.functional.silu(net.time_embedding(net.time_proj(timesteps))).double()
    read = torch.cat([read, torch.ones(TIMESTEPS, 1)], 1)
    inside = (timesteps >= ACTIVE[0]) & (timesteps < ACTIVE[1])
    row = torch.linalg.solve(read.T @ read + 1e-4 * torch.eye(read.shape[1]), read.T @ (2.0 * inside.double() - 1))
    # activation = silu((1 + scale) x normalised + shift), the shift 8 inside and -8 outside
    scale, shift = UNIT, UNIT + WIDTH
    resnet.time_emb_proj.weight[scale], resnet.time_emb_proj.bias[scale] = 0.0, -0.5
    resnet.time_emb_proj.weight[shift], resnet.time_emb_proj.bias[shift] = 8 * row[:-1].float(), 8 * row[-1].float()
    unit = f"mid_block.resnets.0.nonlinearity@2:{UNIT}"
    circuit = KnownCircuit(
        "At which noise levels does each unit work?",
        units={unit: {"timesteps": list(ACTIVE)}},
        edges=((f"mid_block.resnets.0.time_emb_proj:{shift}", unit, 1.0),),
        facts={"timesteps": TIMESTEPS, "text": [TOKENS, TEXT]},
    )
    return PlantedNetwork(net, SIDE, (), circuit, _example())


def without(vectors: Float[Tensor, "*batch d"], direction: Float[Tensor, "d"]) -> Float[Tensor, "*batch d"]:
    """Return the vectors with what they have of a direction (of length 1) taken out."""
    return vectors - (vectors @ direction)[..., None] * direction


def _unet() -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=SIDE,
        in_channels=3,
        out_channels=3,
        block_out_channels=(WIDTH,),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D",),
        up_block_types=("CrossAttnUpBlock2D",),
        mid_block_type="UNetMidBlock2DCrossAttn",
        cross_attention_dim=TEXT,
        attention_head_dim=2,
        norm_num_groups=8,
        resnet_time_scale_shift="scale_shift",
    )


def _example() -> tuple[Tensor, Tensor, Tensor]:
    return torch.randn(2, 3, SIDE, SIDE), torch.tensor([100, 400]), torch.randn(2, TOKENS, TEXT)
