"""What a device is good at."""

from __future__ import annotations

import torch


def computes_bf16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 natively; emulated, it is slower than float32."""
    if device.type == "cpu":
        return bool(torch.cpu.get_capabilities().get("avx512_bf16") or torch.cpu.get_capabilities().get("amx_bf16"))
    return device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
