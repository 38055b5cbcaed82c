"""The bundled networks that read text as well, without their weights: CLIPs, a diffusion network and a language model.

All are the libraries' own classes (open_clip, diffusers, transformers) in small configurations, and read the tokens of
`workbench.models.caption_tokenizer`.
"""

from __future__ import annotations

from typing import Any, Literal

from torch import nn

from workbench.models.caption_tokenizer import CONTEXT, VOCABULARY_SIZE

Tower = Literal["vit", "resnet"]
WIDTH = 128
"""Of the joint space, and of all that reads text."""
TOWERS: dict[Tower, dict[str, Any]] = {
    "vit": {"layers": 6, "width": 128, "head_width": 32, "patch_size": 8, "image_size": 64, "patch_dropout": 0.5},
    "resnet": {"layers": [2, 2, 2, 2], "width": 16, "head_width": 64, "image_size": 64},
}
"""What open_clip takes; the transformer sees a random half of the patches while it is trained (Li et al. 2023)."""
SIDE = 32
"""Height and width of what the diffusion network draws."""
SCHEDULE: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_schedule": "squaredcos_cap_v2",
    "prediction_type": "v_prediction",
    "clip_sample": True,
    "timestep_spacing": "trailing",
}
"""The noise levels, as diffusers' schedulers take them; drawing begins at the last one (Lin et al. 2024)."""


def build_clip(tower: Tower) -> nn.Module:
    """Return open_clip's `CLIP` with a small image tower and a text tower of 3 layers, 4 heads, width 128."""
    from open_clip.model import CLIP

    text = {"context_length": CONTEXT, "vocab_size": VOCABULARY_SIZE, "width": WIDTH, "heads": 4, "layers": 3}
    network: nn.Module = CLIP(embed_dim=WIDTH, vision_cfg=TOWERS[tower], text_cfg=text)
    return network


def build_text_encoder() -> nn.Module:
    """Return transformers' CLIP text model: 2 layers, 4 heads, width 128, 32 tokens."""
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=VOCABULARY_SIZE,
            hidden_size=WIDTH,
            intermediate_size=2 * WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=CONTEXT,
            bos_token_id=VOCABULARY_SIZE - 2,
            eos_token_id=VOCABULARY_SIZE - 1,
            pad_token_id=0,
        )
    )


def build_unet(channels: tuple[int, int, int]) -> Any:
    """Return a UNet for 32 x 32 pixels in colour that reads captions at 8 x 8 only, on the way down and in the middle.

    There attention is cheapest, and still each of its blocks costs a fifth of what all convolutions do.
    """
    from diffusers import UNet2DConditionModel

    network: Any = UNet2DConditionModel(
        sample_size=SIDE,
        in_channels=3,
        out_channels=3,
        layers_per_block=1,
        block_out_channels=channels,
        down_block_types=("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D", "UpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=8,
        norm_num_groups=8,
    )
    return network


def build_language_model() -> nn.Module:
    """Return transformers' GPT-2 class: 3 layers, 4 heads, width 128."""
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=VOCABULARY_SIZE,
            n_positions=CONTEXT,
            n_embd=128,
            n_layer=3,
            n_head=4,
            bos_token_id=VOCABULARY_SIZE - 2,
            eos_token_id=VOCABULARY_SIZE - 1,
            resid_pdrop=0.1,
            embd_pdrop=0.1,
            attn_pdrop=0.1,
        )
    )
