"""`Inception`: GoogLeNet's shape and Distill's layer names, scaled to images of 64 pixels.

Each block has InceptionV1's four branches; what differs is the width, BatchNorm in place of local response normalization, and a stem
that halves the image once less, because 64 pixels allow no more. Szegedy et al., "Going deeper with convolutions" (2015); layers as
named by Olah et al., "Zoom In" (2020).
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, cat, nn

WIDTHS: dict[str, tuple[int, int, int, int, int, int]] = {
    "mixed3a": (64, 96, 128, 16, 32, 32),
    "mixed3b": (128, 128, 192, 32, 96, 64),
    "mixed4a": (192, 96, 208, 16, 48, 64),
    "mixed4b": (160, 112, 224, 24, 64, 64),
    "mixed4c": (128, 128, 256, 24, 64, 64),
    "mixed4d": (112, 144, 288, 32, 64, 64),
    "mixed4e": (256, 160, 320, 32, 128, 128),
    "mixed5a": (256, 160, 320, 32, 128, 128),
    "mixed5b": (384, 192, 384, 48, 128, 128),
}
"""Channels of the branches 1x1, 3x3_bottleneck, 3x3, 5x5_bottleneck, 5x5 and pool_reduce, as published."""


class ConvBlock(nn.Module):
    """Convolution, BatchNorm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()

    def forward(self, x: Float[Tensor, "batch inputs y x"]) -> Float[Tensor, "batch outputs y2 x2"]:
        """Return the rectified activations."""
        rectified: Tensor = self.relu(self.bn(self.conv(x)))
        return rectified


class Mixed(nn.Module):
    """The four branches of an inception block, side by side."""

    def __init__(self, inputs: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        plain, bottleneck3, wide3, bottleneck5, wide5, pooled = widths
        self.add_module("1x1", ConvBlock(inputs, plain, 1))
        self.add_module("3x3_bottleneck", ConvBlock(inputs, bottleneck3, 1))
        self.add_module("3x3", ConvBlock(bottleneck3, wide3, 3))
        self.add_module("5x5_bottleneck", ConvBlock(inputs, bottleneck5, 1))
        self.add_module("5x5", ConvBlock(bottleneck5, wide5, 5))
        self.pool = nn.MaxPool2d(3, 1, 1)
        self.pool_reduce = ConvBlock(inputs, pooled, 1)
        self.outputs = plain + wide3 + wide5 + pooled

    def forward(self, x: Float[Tensor, "batch inputs y x"]) -> Float[Tensor, "batch outputs y x"]:
        """Return the channels of 1x1, 3x3, 5x5 and pool, in this order."""
        branch = self.get_submodule
        return cat(
            [
                branch("1x1")(x),
                branch("3x3")(branch("3x3_bottleneck")(x)),
                branch("5x5")(branch("5x5_bottleneck")(x)),
                self.pool_reduce(self.pool(x)),
            ],
            1,
        )


class Inception(nn.Module):
    """InceptionV1 for small images.

    Parameters
    ----------
    classes
        Width of the last layer.
    width
        Factor on the published number of channels; every branch is rounded to whole channels, at least 4.
    dropout
        Part of the pooled features left out in training.
    """

    def __init__(self, classes: int, width: float = 0.375, dropout: float = 0.2) -> None:
        super().__init__()

        def scaled(channels: int) -> int:
            return max(4, round(channels * width))

        self.conv2d0 = ConvBlock(3, scaled(64), 7, 2)
        self.conv2d1 = ConvBlock(scaled(64), scaled(64), 1)
        self.conv2d2 = ConvBlock(scaled(64), scaled(192), 3)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        channels = scaled(192)
        for name, widths in WIDTHS.items():
            block = Mixed(channels, tuple(scaled(each) for each in widths))
            self.add_module(name, block)
            channels = block.outputs
        self.maxpool4 = nn.MaxPool2d(3, 2, 1)
        self.maxpool10 = nn.MaxPool2d(3, 2, 1)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.softmax2 = nn.Linear(channels, classes)

    def forward(self, x: Float[Tensor, "batch 3 y x"]) -> Float[Tensor, "batch classes"]:
        """Return the logits."""
        x = self.conv2d2(self.conv2d1(self.maxpool(self.conv2d0(x))))
        for name in WIDTHS:
            if name == "mixed4a":
                x = self.maxpool4(x)
            elif name == "mixed5a":
                x = self.maxpool10(x)
            x = self.get_submodule(name)(x)
        logits: Tensor = self.softmax2(self.dropout(self.avgpool(x).flatten(1)))
        return logits


EARLY = ("conv2d0", "conv2d1", "conv2d2", "mixed3a")
"""The layers whose checkpoints are bundled."""


class EarlyInception(nn.Module):
    """The first layers of `Inception`, up to mixed3a, under the same names."""

    def __init__(self) -> None:
        super().__init__()
        whole = Inception(2)
        for name in (*EARLY, "maxpool"):
            self.add_module(name, whole.get_submodule(name))

    def forward(self, x: Float[Tensor, "batch 3 y x"]) -> Float[Tensor, "batch channel y2 x2"]:
        """Return what mixed3a gives."""
        layer = self.get_submodule
        x = layer("conv2d2")(layer("conv2d1")(layer("maxpool")(layer("conv2d0")(x))))
        early: Tensor = layer("mixed3a")(x)
        return early
