"""`as_it_can_be_opened`: whether the directions of an investigation are on this machine, and are still what they were."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.direction_set import list_directions
from workbench.models.loading import directions_in, with_directions_of, without_directions
from workbench.project import DirectionsUsed


def as_it_can_be_opened(ref: str, used: Sequence[DirectionsUsed]) -> tuple[str, str]:
    """Return the reference of a network with those of its directions that are there, and what the user must know; empty for nothing.

    Parameters
    ----------
    ref
        What the investigation was open with.
    used
        Directions of the investigation, each with the digest of its content.
    """
    there = {card.name: card.digest for card in list_directions()}
    wanted = directions_in(ref)
    missing = [name for name in dict.fromkeys([*wanted, *(one.name for one in used)]) if name not in there]
    changed = [one.name for one in used if there.get(one.name, one.digest) != one.digest]
    if any(name in missing for name in wanted):
        ref = without_directions(ref)
        for name in wanted:
            ref = with_directions_of(ref, name) if name in there else ref
    said = []
    if missing:
        said.append(f"The directions {', '.join(missing)} are not on this machine: make them anew, or copy their files.")
    if changed:
        said.append(f"The directions {', '.join(changed)} were made anew since: numbers of them may be others now.")
    return ref, " ".join(said)
