"""A layer is a named node of a network's graph; a unit is one channel, neuron, head or token feature of a layer."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from workbench.input_error import InputError

if TYPE_CHECKING:
    from torch import Tensor

Role = Literal["pre", "post", ""]
ATTENTION = "scaled_dot_product_attention"
"""What fused attention is called; written out (`attention.expose`) it keeps the name."""
MOST_PREFIX_TOKENS = 8
"""Tokens before the patches: a class token, registers."""


def patch_grid(tokens: int, size: tuple[int, int] = (1, 1)) -> tuple[int, int, int] | None:
    """Return how many tokens stand before the patches, and the patches' rows and columns; None for a sequence of no such patches.

    Parameters
    ----------
    size
        Height and width of the image that is cut into patches; only their proportion counts.
    """
    for prefix in range(MOST_PREFIX_TOKENS + 1):
        patches = tokens - prefix
        columns = round(math.sqrt(max(patches, 0) * size[1] / size[0]))
        if columns > 1 and patches % columns == 0 and patches // columns == round(columns * size[0] / size[1]):
            return prefix, patches // columns, columns
    return None


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
    batch_axis
        Axis of the full tensor that counts examples.
    rows
        Rows of that axis per example: 1, or the number of windows where attention works in windows.
    seen
        Whether it is computed from the image: the tokens of a text are no patches of one, however many there are.
    mapped
        Whether two position axes are rows and columns of the image: those of a head of attention are tokens and what it computes of each
        (features), or queries and keys.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    unit_axis: int
    role: Role = ""
    aliases: tuple[str, ...] = ()
    batch_axis: int = 0
    rows: int = 1
    seen: bool = field(default=True, compare=False)  # cards of networks that were kept before say nothing of it
    mapped: bool = field(default=True, compare=False)  # nor of this

    @property
    def units(self) -> int:
        """Number of units."""
        return self.shape[self.unit_axis] if self.shape else 1

    def check(self, units: Iterable[int]) -> None:
        """Raise InputError when it has not all of these units."""
        for unit in units:
            if not 0 <= unit < self.units:
                raise InputError(f"{self.name} has units 0 to {self.units - 1}, not {unit}")

    @property
    def positions(self) -> tuple[int, ...]:
        """Shape without the unit axis: ``(y, x)`` of a feature map, ``(tokens,)`` of a sequence, ``()`` of a vector.

        Where an example has several rows (windows), their number stands first.
        """
        axis = self.unit_axis % len(self.shape) if self.shape else 0
        rest = tuple(size for i, size in enumerate(self.shape) if i != axis)
        return (self.rows, *rest) if self.rows > 1 else rest

    @property
    def is_map(self) -> bool:
        """Whether its positions are rows and columns of the image."""
        return self.mapped and self.rows == 1 and len(self.positions) == 2

    @property
    def features(self) -> int:
        """Number of axes at the end of `positions` that are no places: 1 where the units are heads and each computes several features.

        Attention that a network spells out itself is not known as such: its products have none.
        """
        names = (f":{self.kind}", self.name, *self.aliases)
        return int(len(self.positions) > 1 and any(name.rpartition(":")[2].partition("@")[0] == ATTENTION for name in names))

    def over_places(self, arranged: Tensor) -> Tensor:
        """Return the mean over the places of an arranged activation, ``batch unit *feature``: of a head a vector, of others a number."""
        places = tuple(range(2, arranged.dim() - self.features))
        return arranged.mean(places) if places else arranged

    def at_places(self, mean: Tensor) -> Tensor:
        """View what is one for all places, ``unit *feature``, as ``unit *position``, so that it fits an arranged activation."""
        places = [1] * (len(self.positions) - (mean.dim() - 1))
        return mean.reshape(len(mean), *places, *mean.shape[1:])

    def grid(self, tokens: int, size: tuple[int, int] = (1, 1)) -> tuple[int, int, int] | None:
        """Return where the patches of the image are among so many tokens of this layer, as `patch_grid`; None where it does not see it."""
        return patch_grid(tokens, size) if self.seen else None

    def arrange(self, activation: Tensor) -> Tensor:
        """View an activation of this layer as ``batch unit *position``, whatever order its axes have.

        The size of the position axes is that of the activation, which differs from `positions` at another input size.
        """
        full = activation.movedim(self.batch_axis, 0)
        unit = self.unit_axis % len(self.shape) + 1 if self.shape else 0
        if self.rows > 1:
            full = full.unflatten(0, (-1, self.rows))
            unit += 1
        return full.movedim(unit, 1) if self.shape else full.unsqueeze(1)


def on_grid(layer: Layer, activation: Tensor, size: tuple[int, int]) -> Tensor:
    """Return a layer's activations as maps, float ``batch unit y x``; of what has no grid the mean over its positions, one cell.

    Of the features that a head computes their mean.

    Parameters
    ----------
    size
        Height and width of the image, for a transformer's patches.
    """
    arranged = layer.arrange(activation).float()
    if layer.is_map:
        return arranged
    if layer.features:
        arranged = arranged.mean(-1)
    grid = layer.grid(arranged.shape[2], size) if arranged.dim() == 3 and layer.rows == 1 else None
    if grid is not None:
        prefix, rows, columns = grid
        maps: Tensor = arranged[:, :, prefix:].unflatten(2, (rows, columns))
        return maps
    return arranged.flatten(2).mean(2)[..., None, None] if arranged.dim() > 2 else arranged[..., None, None]


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
        if not layer or not (index.isascii() and index.isdigit()):
            raise InputError(f"{address!r} is not the address of a unit; write layer:index, such as mixed3b:379")
        return cls(layer, int(index))


def layer_of(address: str) -> str:
    """Return the layer of a unit's address (or of a family's).

    Raises
    ------
    InputError
        When it is no such address.
    """
    layer, _, units = address.rpartition(":")
    if not layer or not all(part.isascii() and part.isdigit() for part in units.split(",")):
        raise InputError(f"{address!r} is not the address of a unit, such as mixed3b:12, or of several, such as mixed3b:12,40")
    return layer


def units_of(address: str) -> tuple[Unit, ...]:
    """Return the units an address names: one, or those of a family."""
    layer = layer_of(address)
    return tuple(Unit(layer, int(part)) for part in address.rpartition(":")[2].split(","))
