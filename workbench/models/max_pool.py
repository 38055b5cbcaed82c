"""Max pooling of a processor without a gradient, axis after axis: torch's own compares value by value, up to ten times as slowly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

LAYOUTS = (torch.contiguous_format, torch.channels_last)


def max_pool2d(
    value: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,),
    ceil_mode: bool = False,
) -> Tensor:
    """Return ``aten.max_pool2d`` of maps ``n c y x``, the very same numbers.

    The largest of a window is the largest of its rows' largest, and that of a whole line of windows at once is one comparison of two
    stretches of the map. What torch does as quickly itself (a gradient, another device, float32 channels-last) is left to it.
    """
    ours = (
        value.ndim == 4
        and value.device.type == "cpu"
        and value.is_floating_point()
        and not torch.is_grad_enabled()
        and (value.dtype != torch.float32 or not value.is_contiguous(memory_format=torch.channels_last) or value.is_contiguous())
    )
    if not ours:
        result: Tensor = torch.ops.aten.max_pool2d.default(value, kernel_size, stride, padding, dilation, ceil_mode)
        return result
    pooled: Tensor | None = value
    along = zip(*map(_two, (kernel_size, stride or kernel_size, padding, dilation)), strict=True)
    for axis, (size, step, pad, apart) in enumerate(along, 2):
        pooled = _along(pooled, axis, size, step, pad, apart, ceil_mode) if pooled is not None else None
    if pooled is None:  # windows that see nothing of the map, or none at all: torch says what is wrong
        pooled = torch.ops.aten.max_pool2d.default(value, kernel_size, stride, padding, dilation, ceil_mode)
    return pooled


def _along(value: Tensor, axis: int, size: int, step: int, pad: int, apart: int, ceil_mode: bool) -> Tensor | None:
    """Return the largest of each window along one axis; None where no window holds a value."""
    length = value.shape[axis]
    span = length + 2 * pad - apart * (size - 1) - 1
    windows = (-(-span // step) if ceil_mode else span // step) + 1
    if ceil_mode and (windows - 1) * step >= length + pad:  # it would lie behind the map altogether
        windows -= 1
    parts = []
    for place in range(size):
        offset = place * apart - pad
        first = max(0, -(offset // step))
        last = min(windows, (length - 1 - offset) // step + 1)
        if last > first:
            every: list[Any] = [slice(None)] * 4
            every[axis] = slice(first * step + offset, (last - 1) * step + offset + 1, step)
            parts.append((first, last, value[tuple(every)]))
    if not parts:
        return None
    parts.sort(key=lambda part: part[0] - part[1])  # one that reaches every window first
    first, last, pooled = parts[0]
    if last - first < windows:
        shape = list(value.shape)
        shape[axis] = windows
        layout = next((layout for layout in LAYOUTS[::-1] if value.is_contiguous(memory_format=layout)), LAYOUTS[0])
        pooled = torch.full(shape, -torch.inf, dtype=value.dtype, device=value.device).contiguous(memory_format=layout)
        own = True
    else:
        parts, own = parts[1:], False
    for first, last, part in parts:
        if last - first == windows and not own:
            pooled = torch.maximum(pooled, part)
        else:
            pooled = pooled if own else pooled.clone()
            reached = pooled.narrow(axis, first, last - first)
            torch.maximum(reached, part, out=reached)
        own = True
    return pooled if own else pooled.clone()


def _two(numbers: Sequence[int]) -> tuple[int, int]:
    """Return one for each axis; one alone stands for both."""
    first, *others = numbers
    return first, (others or [first])[0]
