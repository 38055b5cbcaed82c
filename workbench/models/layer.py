"""A layer is a named node of a network's graph; a unit is one channel, neuron, head or token feature of a layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["pre", "post", ""]


@dataclass(frozen=True)
class Layer:
    """One named node of the graph.

    Attributes
    ----------
    name
        The shortest name, as the library names its modules: ``layer1.0.conv1``, ``blocks.3:add``.
    kind
        The operation that makes it, such as ``conv2d``, ``relu``, ``add``, ``linear``.
    shape
        Shape of one example (no batch dimension), such as ``(64, 56, 56)`` or ``(197, 768)``.
    unit_axis
        Axis of `shape` that counts units: 0 for channels first, -1 for tokens and channels last.
    role
        ``pre`` when the layer feeds a non-linearity, ``post`` when it is the output of one, else empty.
    aliases
        Further names of the same node.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    unit_axis: int
    role: Role = ""
    aliases: tuple[str, ...] = ()

    @property
    def units(self) -> int:
        """Number of units."""
        return self.shape[self.unit_axis] if self.shape else 1

    @property
    def positions(self) -> tuple[int, ...]:
        """Shape without the unit axis: ``(y, x)`` of a feature map, ``(tokens,)`` of a sequence, ``()`` of a vector."""
        axis = self.unit_axis % len(self.shape) if self.shape else 0
        return tuple(size for i, size in enumerate(self.shape) if i != axis)


@dataclass(frozen=True)
class Unit:
    """One unit of a layer; its address is ``layer:index``."""

    layer: str
    index: int

    def __str__(self) -> str:
        return f"{self.layer}:{self.index}"

    @classmethod
    def parse(cls, address: str) -> Unit:
        """Read ``layer:index``.

        Raises
        ------
        ValueError
            When the part after the last colon is not a whole number.
        """
        layer, _, index = address.rpartition(":")
        if not layer or not index.isdigit():
            raise ValueError(f"{address!r} is not the address of a unit; write layer:index, such as mixed3b:379")
        return cls(layer, int(index))
