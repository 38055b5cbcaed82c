"""What happens to a gradient on its way to the image: let through where a ReLU blocks all of it, scaled, made into a step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class _Redirected(torch.autograd.Function):
    """A clamp whose gradient, where it would be zero for a whole image, leads back into the open range."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, low: float, high: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.range = low, high
        return x.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (x,), (gradient,) = ctx.saved_tensors, gradients
        low, high = ctx.range
        inside = (x > low) & (x < high)
        blocked = beside(is_zero(gradient * inside), x)
        # The optimiser follows the gradient: below the range only what pushes up may pass, above it only what pushes down.
        inwards = ((x <= low) & (gradient > 0)) | ((x >= high) & (gradient < 0))
        return gradient * (inside | (inwards & blocked)), None, None


class RedirectedRelu(TorchFunctionMode):
    """While this is on, a ReLU that would block an image's whole gradient lets pass what pushes back into its open range.

    Source: Lucid, misc/redirected_relu_grad.py. Also for ReLU6 and hard-tanh.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Replace the clamping operations, run all others as they are."""
        if func is torch.ops.aten.relu.default:
            return _Redirected.apply(args[0], 0.0, float("inf"))
        if func is torch.ops.aten.relu6.default:
            return _Redirected.apply(args[0], 0.0, 6.0)
        if func is torch.ops.aten.hardtanh.default:
            low, high = args[1:3] if len(args) == 3 else (-1.0, 1.0)
            return _Redirected.apply(args[0], float(low), float(high))
        return func(*args, **(kwargs or {}))


class Gain:
    """A power of two per row by which its gradient is multiplied on the way back, so that its mean magnitude begins near 1.

    Random networks give gradients so small that they become denormal numbers, which processors handle many times slower, or zero. Adam
    does not see a constant factor.
    """

    def __init__(self, rows: int, device: torch.device) -> None:
        self.factors = torch.full((rows,), 2.0**30, device=device)
        self._waiting = torch.ones(rows, dtype=torch.bool, device=device)

    def settle(self, gradient: Tensor) -> Tensor:
        """Choose the gain of rows that have a gradient for the first time; return the gradient as if it had been used already."""
        if not self._waiting.any():
            return gradient
        magnitude = gradient.abs().flatten(1).mean(1)
        now = self._waiting & (magnitude > 0) & magnitude.isfinite()
        # Kept below 2 ** 100: the product with a gradient, and its square in the optimiser, must stay finite.
        change = torch.where(now, torch.exp2(-magnitude.log2().round()), 1.0).minimum(2.0**100 / self.factors)
        self.factors = self.factors * change
        self._waiting = self._waiting & ~now
        return gradient * beside(change, gradient)


class QuasiHyperbolicAdam:
    """Adam whose step leans on the present gradient as much as on the running mean, on one tensor, upwards.

    Each step sees the image through other transforms, and beside Adam's own memory of ten steps the newest look is worth more: on
    EfficientNet-Lite0 this needs half the steps of Adam. Source: Ma and Yarats, "Quasi-hyperbolic momentum and Adam", ICLR 2019, with
    nu1 = 0.5, nu2 = 1 and beta = (0.9, 0.999).
    """

    def __init__(self, variables: Tensor, learning_rate: float) -> None:
        self.variables, self.learning_rate = variables, learning_rate
        self.mean, self.square = torch.zeros_like(variables), torch.zeros_like(variables)
        self.steps = 0

    @torch.no_grad()
    def step(self, gradient: Tensor) -> None:
        """Move the variables up the gradient."""
        self.steps += 1
        self.mean.lerp_(gradient, 0.1)
        self.square.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
        # With g = gradient and m, v unbiased: rate * (g + m) / 2 / sqrt(v).
        unbiased = 1 / (1 - 0.9**self.steps)
        root = (self.square / (1 - 0.999**self.steps)).sqrt_().add_(1e-20)
        self.variables.addcdiv_(gradient.add(self.mean, alpha=unbiased), root, value=self.learning_rate / 2)


def beside(rows: Tensor, values: Tensor) -> Tensor:
    """Give one number a row as many axes as the values have."""
    return rows.view(-1, *[1] * (values.dim() - 1))


def is_zero(gradient: Tensor) -> Tensor:
    """Tell the rows whose whole gradient is zero."""
    return (gradient == 0).flatten(1).all(1)
