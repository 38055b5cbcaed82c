"""Documents of saved investigations as older versions wrote them, brought up to today's; see `workbench.project`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

VERSION = 5
"""Version of the files written today."""


def _names_become_labels(document: dict[str, Any]) -> dict[str, Any]:
    """Version 1 had one name a unit, and did not know who gave it or when."""
    named = document.get("labels", {})
    labels = {
        model: {unit: [{"name": name, "created": 0.0}] for unit, name in units.items() if name.strip()} for model, units in named.items()
    }
    return document | {"labels": labels}


def _circuits_come_in(document: dict[str, Any]) -> dict[str, Any]:
    """Version 2 had no circuits."""
    return document | {"circuits": []}


def _edits_become_kernels_and_directions_come_in(document: dict[str, Any]) -> dict[str, Any]:
    """Version 3 had no directions, and room for edits of whole weight tensors, which nothing ever wrote; edits are of one kernel each."""
    return document | {"edits": [], "directions": []}


def _what_is_known_moves_to_its_owner(document: dict[str, Any]) -> dict[str, Any]:
    """Version 4 had no hypotheses and no drawings, and kept what is known of a network opened with directions apart.

    Where both have something of a unit or of a family's name, that of the network alone comes first.
    """
    from workbench.owner import owner_of

    labels, families, edits = dict(document.get("labels", {})), dict(document.get("families", {})), document.get("edits", [])
    for model in [model for model in labels if owner_of(model) != model]:
        for unit, given in labels.pop(model).items():
            of_owner = labels.setdefault(owner_of(model, unit.rpartition(":")[0]), {})
            kept = of_owner.get(unit, [])
            of_owner[unit] = kept + [label for label in given if label not in kept]
    for model in [model for model in families if owner_of(model) != model]:
        for family in families.pop(model):
            owned = families.setdefault(owner_of(model, family["layer"]), [])
            if family not in owned:
                owned.append(_of_a_free_name(family, owned))
    edits = [edit | {"model": owner_of(edit.get("model", ""), edit.get("layer", ""))} for edit in edits]
    return document | {"labels": labels, "families": families, "edits": edits, "hypotheses": [], "drawings": {}}


def _of_a_free_name(family: dict[str, Any], others: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a family under a name that no other of its layer has, in whatever case."""
    taken = {other["name"].casefold() for other in others if other["layer"] == family["layer"]}
    name, number = family["name"], 2
    while name.casefold() in taken:
        name, number = f"{family['name']} {number}", number + 1
    return family | {"name": name}


MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {
    1: _names_become_labels,
    2: _circuits_come_in,
    3: _edits_become_kernels_and_directions_come_in,
    4: _what_is_known_moves_to_its_owner,
}
"""Version -> what turns a document of that version into one of the next. A change of `Project`'s fields raises `VERSION` and adds one."""
