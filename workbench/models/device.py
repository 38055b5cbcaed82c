"""Where networks are computed, and with what numbers."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch

from workbench.input_error import InputError

S = TypeVar("S")
T = TypeVar("T")
Arithmetic = Literal["fp32", "tf32", "bf16"]
"""Numbers that products and convolutions multiply: 24, 11 or 8 bits of precision; sums are always in fp32."""


@dataclass(frozen=True)
class Device:
    """A device of this machine.

    Attributes
    ----------
    name
        As torch takes it: ``cpu``, ``cuda:0``, ``mps``.
    title
        What its maker calls it.
    memory
        Bytes, 0 where that is not known.
    arithmetic
        What it multiplies natively, the exact one first.
    """

    name: str
    title: str
    memory: int
    arithmetic: tuple[Arithmetic, ...]


def devices() -> tuple[Device, ...]:
    """Return the devices of this machine: NVIDIA's in their order, Apple's, the processor last."""
    found = []
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        known = torch.cuda.get_device_properties(index)
        kinds: tuple[Arithmetic, ...] = ("fp32", "tf32", "bf16") if known.major >= 8 else ("fp32",)
        found.append(Device(f"cuda:{index}", known.name, known.total_memory, kinds))
    if torch.backends.mps.is_available():
        found.append(Device("mps", "Apple GPU", 0, ("fp32", "bf16")))
    native = computes_bf16(torch.device("cpu"))
    found.append(Device("cpu", f"Processor, {torch.get_num_threads()} threads", 0, ("fp32", "bf16") if native else ("fp32",)))
    return tuple(found)


def pick_device(name: str) -> torch.device:
    """Return the device of that name, for ``auto`` the fastest there is.

    Raises
    ------
    InputError
        When this machine has none of that name.
    """
    if name == "auto":
        return torch.device(devices()[0].name)
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError):
        known = ", ".join(device.name for device in devices())
        raise InputError(f"device {name!r}: there is none on this machine; it has {known}") from None
    return torch.device(name)


def computes_bf16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 natively; emulated, it is slower than float32."""
    if device.type == "cpu":
        return bool(torch.cpu.get_capabilities().get("avx512_bf16") or torch.cpu.get_capabilities().get("amx_bf16"))
    return device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)


def exact_by_default() -> None:
    """Forbid TF32 in this process, which torch itself allows in convolutions; `computing` allows it where it is chosen."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False


@contextmanager
def computing(device: torch.device, arithmetic: Arithmetic) -> Iterator[None]:
    """Compute with these numbers inside, and with none shorter."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = arithmetic == "tf32"
    try:
        with torch.autocast(device.type, torch.bfloat16, enabled=arithmetic == "bf16"):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@contextmanager
def processor_threads(count: int | None) -> Iterator[None]:
    """Compute with so many threads inside; None: with as many as before."""
    before = torch.get_num_threads()
    if count:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def side_by_side(device: torch.device, function: Callable[[S], T], things: Iterable[S]) -> Generator[T, None, None]:
    """Yield what a function makes of each thing, in order; on a processor as many at once as it has threads, each in one of them.

    Small networks keep two threads less than twice as busy as one: after each layer one waits for the other. Close it when leaving early.
    """
    count = torch.get_num_threads()
    if count == 1 or device.type != "cpu":
        yield from map(function, things)
        return
    with processor_threads(None), ThreadPoolExecutor(count, "beside", torch.set_num_threads, (1,)) as pool:
        yield from pool.map(function, things)


def channels_last(value: torch.Tensor) -> torch.Tensor:
    """Return maps with the channels of each place side by side, as processors convolve batches twice as fast; other values as they are."""
    return value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value
