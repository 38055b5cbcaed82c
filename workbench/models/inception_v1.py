"""`InceptionV1`: the network that Distill's Circuits thread looks into, under the names Lucid and Lucent have for its layers.

Google trained it and released it as TensorFlow's *inception5h*; Lucent's users have it as ``inception5h.pth``, converted by ProGamerGov,
whose names of tensors these are. It is the GoogLeNet of Szegedy et al., "Going deeper with convolutions" (2015), but for three numbers:
mixed4a's 3x3 branch has 204 channels for 208, the bottleneck of mixed5a's 5x5 branch 48 for 32, and there are 1,008 classes.

What TensorFlow does otherwise than PyTorch is done here as TensorFlow does it: padding ``SAME`` puts the odd row and column behind the
image, and local response normalisation has the attributes of the released graph (see `LocalResponseNorm`). Lucent's own port normalises
otherwise (alpha / 9 over 9 channels, bias 1), so its activations differ a little from these.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool3d, pad

from workbench import imagenet
from workbench.models.inception import WIDTHS as PAPER

WIDTHS = PAPER | {"mixed4a": (192, 96, 204, 16, 48, 64), "mixed5a": (256, 160, 320, 48, 128, 128)}
"""Channels of the branches 1x1, 3x3_bottleneck, 3x3, 5x5_bottleneck, 5x5 and pool_reduce, as released."""
CLASSES = 1008
SIDE = 224
CONVOLUTION = "_pre_relu_conv"
"""What a layer's convolution is called behind the layer's own name."""
LOGITS = "softmax2_pre_activation_matmul"
ORDER = Path(__file__).parents[2] / "resources" / "inception5h_classes.txt"


@cache
def class_names(classes: int) -> tuple[str, ...]:
    """Return names for the 1,008 outputs, ImageNet's where an output stands for a class; nothing for another number.

    Output 0 and those from 1001 on were never trained on anything. The order of the others is that of the label file in TensorFlow's
    ``inception5h.zip``, which is the order of ILSVRC 2012's own ids and not the usual, alphabetical one of synsets.
    """
    if classes != CLASSES:
        return ()
    order = [line for line in ORDER.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    named = [imagenet.name(synset) for synset in " ".join(order).split()]
    return ("unused 0", *named, *(f"unused {place}" for place in range(len(named) + 1, classes)))


class SameConv2d(nn.Conv2d):
    """Convolution with TensorFlow's padding ``SAME``: what cannot be shared evenly comes behind."""

    def forward(self, x: Float[Tensor, "batch inputs y x"]) -> Float[Tensor, "batch outputs y2 x2"]:
        """Return ceil(size / stride) rows and columns."""
        sizes = zip(x.shape[2:], self.kernel_size, self.stride, strict=True)
        missing = [max((-(-size // stride) - 1) * stride + kernel - size, 0) for size, kernel, stride in sizes]
        rows, columns = missing
        convolved: Tensor = super().forward(pad(x, (columns // 2, -(-columns // 2), rows // 2, -(-rows // 2))))
        return convolved


class LocalResponseNorm(nn.Module):
    """x_c / (bias + alpha * sum of x_k^2 over the channels k with |k - c| <= radius)^(1/2), TensorFlow's LRN with beta = 1/2.

    The defaults are the attributes ``depth_radius``, ``bias`` and ``alpha`` of both such nodes in the released graph. PyTorch's function of
    this name divides alpha by the number of channels in the window; TensorFlow's does not.
    """

    def __init__(self, radius: int = 5, bias: float = 2.0, alpha: float = 1e-4) -> None:
        super().__init__()
        self.radius, self.bias, self.alpha = radius, bias, alpha

    def forward(self, x: Float[Tensor, "batch channel y x"]) -> Float[Tensor, "batch channel y x"]:
        """Return the normalised activations."""
        window = 2 * self.radius + 1
        mean = avg_pool3d((x * x).unsqueeze(1), (window, 1, 1), 1, (self.radius, 0, 0)).squeeze(1)
        return x / torch.sqrt(self.bias + window * self.alpha * mean)


class Concatenation(nn.Module):
    """Branches side by side, a module for the sake of its name."""

    def forward(self, *branches: Float[Tensor, "batch _ y x"]) -> Float[Tensor, "batch channel y x"]:
        """Return the channels of the first, then those of the next."""
        return torch.cat(branches, 1)


class InceptionV1(nn.Module):
    """The network; its state dictionary has the names of Lucent's ``inception5h.pth``.

    A unit of a block counts through the branches 1x1, 3x3, 5x5 and pool_reduce in this order, as in ``mixed3b:379``.

    Parameters
    ----------
    classes
        Width of the last layer.
    channels
        Channels of the image.
    """

    def __init__(self, classes: int = CLASSES, channels: int = 3) -> None:
        super().__init__()
        self._add_unit("conv2d0", channels, 64, 7, 2)
        self.maxpool0 = _halving()
        self.localresponsenorm0 = LocalResponseNorm()
        self._add_unit("conv2d1", 64, 64, 1)
        self._add_unit("conv2d2", 64, 192, 3)
        self.localresponsenorm1 = LocalResponseNorm()
        self.maxpool1 = _halving()
        inputs = 192
        for name, (plain, bottleneck3, wide3, bottleneck5, wide5, pooled) in WIDTHS.items():
            if name == "mixed4a":
                self.maxpool4 = _halving()
            elif name == "mixed5a":
                self.maxpool10 = _halving()
            self._add_unit(f"{name}_1x1", inputs, plain, 1)
            self._add_unit(f"{name}_3x3_bottleneck", inputs, bottleneck3, 1)
            self._add_unit(f"{name}_3x3", bottleneck3, wide3, 3)
            self._add_unit(f"{name}_5x5_bottleneck", inputs, bottleneck5, 1)
            self._add_unit(f"{name}_5x5", bottleneck5, wide5, 5)
            self.add_module(f"{name}_pool", nn.MaxPool2d(3, 1, 1))
            self._add_unit(f"{name}_pool_reduce", inputs, pooled, 1)
            self.add_module(name, Concatenation())
            inputs = plain + wide3 + wide5 + pooled
        self.avgpool0 = nn.AvgPool2d(7, 1)
        self.add_module(LOGITS, nn.Linear(inputs, classes))
        self.softmax2 = nn.Softmax(1)

    def _add_unit(self, name: str, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        convolution = (
            SameConv2d(inputs, outputs, kernel, stride)
            if stride > 1
            else nn.Conv2d(inputs, outputs, kernel, 1, kernel // 2)
        )
        # Without BatchNorm PyTorch's own first weights would leave nothing of an image after nine blocks.
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        self.add_module(name + CONVOLUTION, convolution)
        self.add_module(name, nn.ReLU())

    def _unit(self, name: str, x: Tensor) -> Tensor:
        rectified: Tensor = self.get_submodule(name)(self.get_submodule(name + CONVOLUTION)(x))
        return rectified

    def _block(self, name: str, x: Tensor) -> Tensor:
        side_by_side: Tensor = self.get_submodule(name)(
            self._unit(f"{name}_1x1", x),
            self._unit(f"{name}_3x3", self._unit(f"{name}_3x3_bottleneck", x)),
            self._unit(f"{name}_5x5", self._unit(f"{name}_5x5_bottleneck", x)),
            self._unit(f"{name}_pool_reduce", self.get_submodule(f"{name}_pool")(x)),
        )
        return side_by_side

    def forward(
        self, x: Float[Tensor, "batch channels y x"]
    ) -> tuple[Float[Tensor, "batch classes"], Float[Tensor, "batch classes"]]:
        """Return the logits, and ``softmax2``, the probabilities."""
        x = self.localresponsenorm0(self.maxpool0(self._unit("conv2d0", x)))
        x = self.maxpool1(self.localresponsenorm1(self._unit("conv2d2", self._unit("conv2d1", x))))
        for name in WIDTHS:
            if name == "mixed4a":
                x = self.maxpool4(x)
            elif name == "mixed5a":
                x = self.maxpool10(x)
            x = self._block(name, x)
        logits: Tensor = self.get_submodule(LOGITS)(self.avgpool0(x).flatten(1))
        return logits, self.softmax2(logits)


def _halving() -> nn.MaxPool2d:
    """Return a pool that is TensorFlow's ``SAME`` on an even number of rows, whose last window hangs over the edge by one."""
    return nn.MaxPool2d(3, 2, ceil_mode=True)
