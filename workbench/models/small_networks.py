"""The classifiers that are bundled, without their weights: small enough to be trained on two processor cores.

All but `Inception` are timm's own classes, in configurations for images of 64 pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from workbench.models.inception import Inception


def resnet(classes: int) -> nn.Module:
    """Return a ResNet-18 of half its width or less: 32, 64, 128, 192 channels at 16, 8, 4, 2 pixels."""
    from timm.models.resnet import BasicBlock, ResNet

    block: Any = BasicBlock  # timm annotates the class as an instance
    return ResNet(block, (2, 2, 2, 2), num_classes=classes, channels=(32, 64, 128, 192), drop_rate=0.2)


def convnext(classes: int) -> nn.Module:
    """Return a ConvNeXt of depths 2, 2, 4, 2 and 40, 80, 160, 240 channels, its stem a patch of 4 pixels."""
    from timm.models.convnext import ConvNeXt

    return ConvNeXt(num_classes=classes, depths=(2, 2, 4, 2), dims=(40, 80, 160, 240), drop_path_rate=0.1)


def vit(classes: int) -> nn.Module:
    """Return a vision transformer of 6 blocks, 4 heads, width 128, patches of 8 pixels: 64 of them and a class token.

    While it is trained it sees a random half of the patches (Li et al. 2023): half the time, and less is learned by heart.
    """
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(
        img_size=64,
        patch_size=8,
        embed_dim=128,
        depth=6,
        num_heads=4,
        num_classes=classes,
        drop_path_rate=0.1,
        patch_drop_rate=0.5,
    )


SMALL_NETWORKS: dict[str, Callable[[int], nn.Module]] = {
    "inception": Inception,
    "resnet": resnet,
    "convnext": convnext,
    "vit": vit,
}
"""Builders by name; each takes the number of classes."""
