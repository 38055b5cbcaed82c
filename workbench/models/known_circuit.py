"""What is known to be true of a network, as plain data: what its units stand for, and which feed which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class KnownCircuit:
    """The truth an analysis can be checked against; strings, numbers, lists and mappings only, so that it can be written as JSON.

    Attributes
    ----------
    question
        What an analysis should find, in one line.
    images
        Reference of an image set that shows it, empty where none does.
    units
        What units stand for, by their address ``layer:index``: features and preferred values (angles in degrees, lengths in pixels).
    edges
        ``(from, to, weight)`` between addresses, the weight the largest over positions; only what belongs to the circuit.
    facts
        What else is known, such as families of units or the figure an analysis must arrive at.
    """

    question: str
    images: str = ""
    units: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    edges: tuple[tuple[str, str, float], ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
