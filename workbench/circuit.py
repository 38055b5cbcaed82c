"""A circuit as plain data: units of a network, the edges between them, and the figures that say how much it explains.

It is what a trace ends with, what the circuit graph shows and edits, what a project keeps and what is exported as JSON. Nothing here
needs torch; units are given by their addresses (``layer:index``, ``layer:1,2`` for a family taken as one).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from workbench.input_error import InputError
from workbench.models.layer import Unit as Unit
from workbench.models.layer import layer_of as layer_of
from workbench.models.layer import units_of as units_of

FORMAT = 1
"""Version of the JSON that is written."""
CHOSEN_ON = "chosen_on"
"""Figure that outlives every edit: the images a trace chose the circuit on, as indices in the set of `CHOSEN_FROM`."""
CHOSEN_FROM = "chosen_from"
"""Figure that outlives every edit, too: reference (``images``) and content hash (``content``) of the set it was chosen on."""
MEASURED = ("weight", "attribution", "effect")
"""What may be known of an edge beside its ends."""


@dataclass(frozen=True)
class Edge:
    """One unit read by another.

    Attributes
    ----------
    source, target
        Addresses.
    weight
        Sum of the expanded kernel from the one to the other; NaN where it has not been computed.
    attribution
        First-order estimate of what is lost without the edge (attribution patching), in units of the metric; NaN where not computed.
    effect
        What is really lost of the metric when this edge alone is patched; NaN where not computed.
    """

    source: str
    target: str
    weight: float = math.nan
    attribution: float = math.nan
    effect: float = math.nan

    @property
    def ends(self) -> tuple[str, str]:
        """Source and target."""
        return self.source, self.target


@dataclass(frozen=True)
class Circuit:
    """Units and edges between them; edges only between units of the circuit.

    Attributes
    ----------
    name
        What the user calls it.
    model, images
        References of the network and of the images it was traced on; empty where nothing was traced.
    units
        Addresses, in the order they came in.
    edges
        At most one from a unit to another.
    figures
        What was measured of it as it is now: ``faithfulness``, ``completeness``, ``minimality`` and what a trace adds; empty after an
        edit, until it is measured again, but for `CHOSEN_ON` and `CHOSEN_FROM`.
    """

    name: str = ""
    model: str = ""
    images: str = ""
    units: tuple[str, ...] = ()
    edges: tuple[Edge, ...] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(set(self.units)) < len(self.units):
            raise InputError("a unit can be in a circuit only once")
        if len({edge.ends for edge in self.edges}) < len(self.edges):
            raise InputError("there can be only one edge from a unit to another")
        if loose := [end for edge in self.edges for end in edge.ends if end not in self.units]:
            raise InputError(f"{loose[0]} is the end of an edge, but not in the circuit")

    @property
    def lasting(self) -> dict[str, Any]:
        """Those of the figures that hold after an edit, too: a circuit that is edited was still chosen on the same images."""
        return {name: value for name, value in self.figures.items() if name in (CHOSEN_ON, CHOSEN_FROM)}

    @property
    def chosen_on(self) -> tuple[int, ...]:
        """Indices of the images it was chosen on, in the set `chosen_from`; none where it was made by hand."""
        found = self.figures.get(CHOSEN_ON)  # a file may hold anything there
        rows = found if isinstance(found, list | tuple) else ()
        return tuple(each for each in rows if isinstance(each, int) and not isinstance(each, bool))

    @property
    def chosen_from(self) -> tuple[str, str]:
        """Reference and content hash of the set it was chosen on; older circuits know `images` alone, and no hash."""
        found = self.figures.get(CHOSEN_FROM)
        told = found if isinstance(found, Mapping) else {}
        ref, content = told.get("images"), told.get("content")
        return ref if isinstance(ref, str) else self.images, content if isinstance(content, str) else ""

    def chosen_in(self, images: str, content: str) -> tuple[int, ...]:
        """Return indices of the images of a set that it was chosen on; none where it was chosen on another set.

        Sets are the same when their content is, whatever they are called, and when their reference is: a folder's content hash changes
        with the time at which a file was written. A reference that opens nothing again, as ``array:``, tells only where no hash is known.

        Parameters
        ----------
        images, content
            Reference and content hash of the set.
        """
        ref, known = self.chosen_from
        named = images == ref and not (known and ref.endswith(":"))
        return self.chosen_on if named or content == known else ()

    def pinned(self, images: str, content: str) -> Circuit:
        """Return it with its set named beside `CHOSEN_ON`, so that `images` may become another one.

        Parameters
        ----------
        images, content
            Reference and content hash of a set that is open: a circuit that knows no hash is given this one, if it was chosen on this set.
        """
        if not self.chosen_on:
            return self
        ref, known = self.chosen_from
        known = known or (content if images == ref else "")
        return replace(self, figures={**self.figures, CHOSEN_FROM: {"images": ref, "content": known}})

    @property
    def ends(self) -> tuple[str, ...]:
        """Units and families that are read by no other; without edges the one that came in last."""
        if not self.edges:
            return self.units[-1:]
        read = {edge.source for edge in self.edges}
        return tuple(dict.fromkeys(edge.target for edge in self.edges if edge.target not in read))

    @property
    def layers(self) -> dict[str, list[str]]:
        """Units by their layer, layers in the order they came in; who knows the network sorts them."""
        found: dict[str, list[str]] = {}
        for unit in self.units:
            found.setdefault(layer_of(unit), []).append(unit)
        return found

    def with_units(self, units: Iterable[str]) -> Circuit:
        """Add units; those that are there already are left."""
        return replace(self, units=tuple(dict.fromkeys((*self.units, *units))), figures=self.lasting)

    def without_units(self, units: Iterable[str]) -> Circuit:
        """Remove units and every edge from or to them."""
        gone = set(units)
        kept = tuple(edge for edge in self.edges if gone.isdisjoint(edge.ends))
        return replace(self, units=tuple(unit for unit in self.units if unit not in gone), edges=kept, figures=self.lasting)

    def with_edges(self, edges: Iterable[Edge]) -> Circuit:
        """Add edges with their units; an edge between the same units is replaced."""
        edges = tuple(edges)
        merged = {edge.ends: edge for edge in (*self.edges, *edges)}
        units = dict.fromkeys((*self.units, *(end for edge in edges for end in edge.ends)))
        return replace(self, units=tuple(units), edges=tuple(merged.values()), figures=self.lasting)

    def without_edges(self, ends: Iterable[tuple[str, str]]) -> Circuit:
        """Remove edges, given by source and target; units stay."""
        gone = set(ends)
        return replace(self, edges=tuple(edge for edge in self.edges if edge.ends not in gone), figures=self.lasting)

    def document(self) -> dict[str, Any]:
        """Return it as plain data that `from_document` reads; figures that are no number become None."""
        return {
            "circuit": FORMAT,
            "name": self.name,
            "model": self.model,
            "images": self.images,
            "units": list(self.units),
            "edges": [{key: _plain(value) for key, value in vars(edge).items()} for edge in self.edges],
            "figures": _plain(self.figures),
        }

    def to_json(self) -> str:
        """Write it as JSON that `from_json` reads."""
        return json.dumps(self.document(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Circuit:
        """Read what `to_json` wrote.

        Raises
        ------
        InputError
            When it is not a circuit, or of a later version; the message says what is wrong.
        """
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            raise InputError("this file does not hold a circuit: it is no JSON") from None
        return cls.from_document(document)

    @classmethod
    def from_document(cls, document: object) -> Circuit:
        """Read what `document` gave.

        Raises
        ------
        InputError
            When it is not a circuit, or of a later version; the message says what is wrong.
        """
        if not isinstance(document, Mapping) or "circuit" not in document:
            raise InputError("this file does not hold a circuit")
        if document["circuit"] != FORMAT:
            raise InputError(f"this circuit is of version {document['circuit']}, this program reads version {FORMAT}")
        try:
            known = document["edges"]
            edges = [Edge(str(edge["source"]), str(edge["target"]), *(_number(edge[key]) for key in MEASURED)) for edge in known]
            units = tuple(str(unit) for unit in document["units"])
            for unit in units:
                layer_of(unit)
            names = {key: str(document[key]) for key in ("name", "model", "images")}
            return cls(**names, units=units, edges=tuple(edges), figures=dict(document["figures"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"this file does not hold a circuit that can be read: {error}") from None


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value
