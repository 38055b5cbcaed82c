"""What heads of attention compute is no map of the image, however many axes it has: it has tokens, and features of each."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from torch import nn

from workbench.analyses.activation_maps import ActivationMaps
from workbench.analyses.patching.parts import cells_inside
from workbench.analyses.unit_activations import Largest, as_map
from workbench.images.array_set import ArraySet
from workbench.models.expanded import centre
from workbench.models.layer import on_grid
from workbench.models.patching import grid_of, patches_of
from workbench.models.traced_model import TracedModel

Z = "blocks.0.attn:scaled_dot_product_attention"
HEADS, SIDE, WIDTH = 3, 4, 64
LEFT = (0.0, 0.0, 1.0, 0.5)


@pytest.fixture(scope="module")
def vit() -> TracedModel:
    torch.manual_seed(0)
    network = timm.create_model("vit_tiny_patch16_224", img_size=16 * SIDE, depth=1, num_classes=4)
    return TracedModel.from_module(network, torch.rand(2, 3, 16 * SIDE, 16 * SIDE))


class Folded(nn.Module):
    """Tokens that are folded into a map again, with the units last as in Swin, and first."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.mix = nn.Conv2d(3, 6, 4, 4), nn.LayerNorm(6), nn.Conv2d(6, 6, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.conv(x).flatten(2).transpose(1, 2)
        last = self.norm(tokens.reshape(-1, SIDE, SIDE, 6)).relu()
        first = last.flatten(1, 2).transpose(1, 2).reshape(-1, 6, SIDE, SIDE).sigmoid()
        return self.mix(first).mean((2, 3))


def test_heads_are_told_from_maps(vit: TracedModel) -> None:
    layer = vit.layer(Z)
    assert layer.positions == (1 + SIDE * SIDE, WIDTH) and not layer.is_map and layer.features == 1
    assert vit.layer("patch_embed.proj").is_map
    assert centre(layer) == (1 + 2 * SIDE + 2, WIDTH // 2), "the middle patch, behind the class token"
    written_out = vit.graph.expose_attention()
    assert written_out.layer(Z).features == 1 and not written_out.layer(Z).is_map
    assert not written_out.layer("blocks.0.attn:pattern").is_map and written_out.layer("blocks.0.attn:pattern").features == 0
    folded = TracedModel.from_module(Folded(), torch.rand(2, 3, 4 * SIDE, 4 * SIDE))
    assert {layer.kind: layer.is_map for layer in folded.layers.values() if len(layer.positions) == 2} == dict.fromkeys(
        ["input", "conv2d", "layer_norm", "relu", "sigmoid"], True
    )


def test_a_region_is_of_tokens_with_all_their_features(vit: TracedModel) -> None:
    layer, size = vit.layer(Z), vit.preprocessing.size
    assert grid_of(layer, size) == (1, SIDE, SIDE)
    tokens = [1 + SIDE * row + column for row in range(SIDE) for column in range(SIDE // 2)]
    assert cells_inside(layer, size, LEFT).tolist() == [WIDTH * token + feature for token in tokens for feature in range(WIDTH)]
    patches = patches_of(vit, Z, "cell")
    assert len(patches) == 1 + SIDE * SIDE and patches[0].name.endswith("at token 0") and patches[6].name.endswith("at row 1, column 1")
    assert patches[6].cells.tolist() == list(range(6 * WIDTH, 7 * WIDTH))


def test_heads_are_drawn_and_read_by_token(vit: TracedModel) -> None:
    layer, size = vit.layer(Z), vit.preprocessing.size
    images = ArraySet(np.random.default_rng(0).integers(0, 255, (2, 64, 64, 3), dtype=np.uint8))
    with torch.no_grad():
        z = vit.activations(vit.preprocess(np.array(images.image(0)[None])), [Z])[Z]
    of_patches = z[:, :, 1:].unflatten(2, (SIDE, SIDE))
    torch.testing.assert_close(as_map(z, layer, size), of_patches.amax(-1))
    torch.testing.assert_close(on_grid(layer, z, size), of_patches.mean(-1))
    found = Largest(LEFT)(layer, z, size, np.zeros(1, np.int64))
    torch.testing.assert_close(found, of_patches[:, :, :, : SIDE // 2].flatten(2).amax(2))
    maps = ActivationMaps(layer=Z).run(vit, images)
    assert maps.arrays["maps"].shape == (HEADS, 1 + SIDE * SIDE) and maps.summary["map"] == [SIDE, SIDE]
    np.testing.assert_allclose(maps.arrays["maps"], z[0].amax(-1).numpy(), atol=1e-5)
