"""Under which reference an investigation keeps what is known of units.

A network that is opened with directions is the same network with layers more (`workbench.models.directions`), so what is known of its own
units is kept under the reference of the network alone, and is there whichever directions it is opened with. The directions' units are
another matter: they have a layer of their own, ``SITE~NAME``, which the network alone lacks, and stay under the reference with directions.
A checkpoint, a twin and another prompt are other networks: what is known of their units stays their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")


def owner_of(ref: str, layer: str = "") -> str:
    """Return the reference that what is known of a layer's units is kept under, as far as a network is opened with `ref`.

    Parameters
    ----------
    layer
        Name of a layer; empty for what is known of the network as a whole.
    """
    if "directions=" not in ref:
        return ref
    from workbench.models.loading import (  # loads numpy, which the window's start can do without
        directions_in,
        without_directions,
    )

    _, _, name = layer.rpartition("~")
    return ref if "~" in layer and name in directions_in(ref) else without_directions(ref)


def known_of(kept: Mapping[str, Mapping[str, T]], ref: str, layer: str) -> Mapping[str, T]:
    """Return what is kept of units by address under the reference that owns a layer, such as labels."""
    return kept.get(owner_of(ref, layer), {})


def listed_of(kept: Mapping[str, Sequence[T]], ref: str) -> list[T]:
    """Return what is kept in lists, such as families, of a network: of it alone, then of its directions."""
    return [one for owner in dict.fromkeys((owner_of(ref), ref)) for one in kept.get(owner, ())]
