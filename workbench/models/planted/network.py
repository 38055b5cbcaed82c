"""What a planted network is, and the list of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn

from workbench.models.known_circuit import KnownCircuit
from workbench.models.preprocessing import Preprocessing

Edge = tuple[str, str, float]


@dataclass(frozen=True, eq=False)
class PlantedNetwork:
    """A network whose circuit was put there by hand; no weight of the circuit is trained.

    Attributes
    ----------
    module
        The network.
    side
        Height and width of its images in pixels.
    labels
        Names of its outputs.
    circuit
        What is true of it.
    example
        What it reads, where that is more than an image.
    """

    module: nn.Module
    side: int
    labels: tuple[str, ...]
    circuit: KnownCircuit
    example: tuple[Any, ...] | None = None

    @property
    def preprocessing(self) -> Preprocessing:
        """How images become its input: from [0, 1] to [-1, 1]."""
        return Preprocessing((self.side, self.side))


Factory = Callable[[], PlantedNetwork]


@dataclass(frozen=True)
class Entry:
    """A planted network by name: what makes it, and a few words on it."""

    make: Factory
    note: str


PLANTED: dict[str, Entry] = {}
"""All of them, by name."""


def register_planted(name: str, note: str) -> Callable[[Factory], Factory]:
    """Decorate a function without arguments: make the network it returns known by its name.

    The function is run with a seed of its own and without gradients, so that it always returns the same weights.
    """

    def register(make: Factory) -> Factory:
        @wraps(make)
        def seeded() -> PlantedNetwork:
            with torch.random.fork_rng(devices=[]), torch.no_grad():
                torch.manual_seed(0)
                return make()

        PLANTED[name] = Entry(seeded, note)
        return seeded

    return register


def edges(source: str, target: str, weight: Tensor, least: float = 0.0) -> tuple[Edge, ...]:
    """List the weights ``target source *position`` between two layers, the largest over positions, whose size is above `least`."""
    places = weight.flatten(2) if weight.dim() > 2 else weight[..., None]
    largest = places.gather(2, places.abs().argmax(2, keepdim=True))[..., 0]
    return tuple(
        (f"{source}:{i}", f"{target}:{j}", float(largest[j, i])) for j, i in (largest.abs() > least).nonzero().tolist()
    )
