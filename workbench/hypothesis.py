"""A hypothesis about what a network computes, as plain data: a tree of units and the features they are claimed to compute.

It is what causal scrubbing tests, what the panel Scrubbing edits, what a project keeps and what the analysis takes as JSON. Nothing here
needs torch: whether the network has these layers, and the images these features, is asked where both are open (`workbench.claims`).
A unit that several nodes read stands in the tree once under each of them (treeified).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from workbench.circuit import layer_of
from workbench.input_error import InputError

FORMAT = 1
"""Version of the JSON that is written."""
MOST_NODES = 200
"""Nodes of a tree; each is a run of the network on every example."""
FEWEST = 4
"""Images of one label below which a feature mostly resamples an image by itself."""
NULLS = {"identity": "identity", "whole": "the units, whole", "nothing": "no hypothesis", "random": "random units"}
"""What a result is compared with, the names of its rows by their kind: nothing is resampled; every node keeps its image, all that is not in
the tree being resampled; nothing is claimed of any node; the same is claimed of other units."""
LOSSES = {
    "distance": ("squared distance", "The root's values: their squared distance from what the network says"),
    "cross_entropy": ("cross-entropy", "The cross-entropy of the class that the images name; the root is all classes then"),
}
"""What a hypothesis must keep, in a word or two and in a sentence."""
Offsets = tuple[tuple[int, int], ...]


class HypothesisError(InputError):
    """A hypothesis that cannot be tested: which node is wrong, in which field, and why."""

    def __init__(self, node: str, field: str, reason: str) -> None:
        super().__init__(f"{node}, {field}: {reason}")
        self.node, self.field, self.reason = node, field, reason


@dataclass(frozen=True)
class Node:
    """Units, and the feature they are claimed to compute.

    Attributes
    ----------
    name
        Unique in the hypothesis.
    units
        Address of the units, such as ``relu:0``, or of several taken as one, such as ``mixed3a:4,7``.
    feature
        What they are claimed to compute (see `workbench.feature_labels`); the root's is not used.
    offsets
        Cells of its layer that it means, counted from the cell that its parent looks at: rows down, columns to the right. None: whole maps.
    children
        What it is claimed to be computed from.

    Raises
    ------
    HypothesisError
        When the name is empty or is no single line, the units are no address, or an offset stands there twice.
    """

    name: str
    units: str
    feature: str = "all"
    offsets: Offsets = ()
    children: tuple[Node, ...] = ()

    def __post_init__(self) -> None:
        if not self.name.strip() or self.name != " ".join(self.name.split()):
            raise HypothesisError(self.name.strip() or "a node", "name", "it must be one line of text")
        try:
            layer_of(self.units)
        except InputError as error:
            raise HypothesisError(self.name, "units", str(error)) from None
        if not self.feature.strip():
            raise HypothesisError(self.name, "feature", "there is none; write all where nothing is claimed")
        if len(set(self.offsets)) < len(self.offsets):
            raise HypothesisError(self.name, "offsets", "an offset stands there twice")

    def every(self) -> Iterator[Node]:
        """Return this node and all below it."""
        yield self
        for child in self.children:
            yield from child.every()

    def document(self) -> dict[str, Any]:
        """Return it as plain data; what is at its default is left out."""
        found: dict[str, Any] = {"name": self.name, "units": self.units, "feature": self.feature}
        if self.offsets:
            found["offsets"] = [list(offset) for offset in self.offsets]
        if self.children:
            found["children"] = [child.document() for child in self.children]
        return found


@dataclass(frozen=True)
class Hypothesis:
    """A tree of claims.

    Attributes
    ----------
    root
        What is explained.
    name
        What the user calls it.
    model, images
        References of the network it is about, and of the images it was made for; may be empty.
    rivals
        Other features that it is compared with, each ``NAME=FEATURE`` for the node of that name or ``*=FEATURE`` for all.

    Raises
    ------
    HypothesisError
        When two nodes have one name, or there are more than `MOST_NODES`.
    """

    root: Node
    name: str = ""
    model: str = ""
    images: str = ""
    rivals: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for node in self.root.every():
            if node.name in seen:
                raise HypothesisError(node.name, "name", "two nodes have this name")
            seen.add(node.name)
        if len(seen) > MOST_NODES:
            raise HypothesisError(
                self.root.name,
                "children",
                f"the tree has {len(seen):,} nodes, each a run of the network on every example; at most {MOST_NODES}: pool children",
            )

    def node(self, name: str) -> Node:
        """Return a node by its name.

        Raises
        ------
        InputError
            When there is none.
        """
        for node in self.root.every():
            if node.name == name:
                return node
        raise InputError(f"the hypothesis has no node {name!r}")

    def parent(self, name: str) -> Node | None:
        """Return what is above a node; None for the root."""
        return next((node for node in self.root.every() if any(child.name == name for child in node.children)), None)

    def free_name(self, wanted: str) -> str:
        """Return the name, with a number behind it where a node has it already."""
        taken = {node.name for node in self.root.every()}
        return next(name for number in range(1, len(taken) + 2) if (name := wanted if number == 1 else f"{wanted} ({number})") not in taken)

    def changed(self, name: str, change: Callable[[Node], Node]) -> Hypothesis:
        """Return the same with another node in the place of one; rivals of it follow its name, those of nodes that go are gone too."""
        after = change(self.node(name))

        def walk(node: Node) -> Node:
            return after if node.name == name else replace(node, children=tuple(walk(child) for child in node.children))

        return self.with_root(walk(self.root), {name: after.name})

    def with_root(self, root: Node, renamed: Mapping[str, str] | None = None) -> Hypothesis:
        """Return the same about another tree, without the rivals of nodes that are in it no more."""
        gone = {node.name for node in self.root.every()} - {node.name for node in root.every()}
        rivals = []
        for rival in self.rivals:
            name, sign, feature = (part.strip() for part in rival.partition("="))
            other = (renamed or {}).get(name, name)
            if other not in gone:
                rivals.append(rival if other == name else f"{other}{sign}{feature}")
        return replace(self, root=root, rivals=tuple(rivals))

    def with_child(self, parent: str, child: Node) -> Hypothesis:
        """Add a node below another, behind those that are there."""
        return self.changed(parent, lambda node: replace(node, children=(*node.children, child)))

    def without(self, name: str) -> Hypothesis:
        """Remove a node and all below it.

        Raises
        ------
        InputError
            When it is the root.
        """
        self.node(name)
        above = self.parent(name)
        if above is None:
            raise InputError(f"{name} is what the hypothesis is about, it cannot be removed; delete the hypothesis")
        return self.changed(above.name, lambda node: replace(node, children=tuple(c for c in node.children if c.name != name)))

    def document(self) -> dict[str, Any]:
        """Return it as plain data that `from_document` reads."""
        texts = {"name": self.name, "model": self.model, "images": self.images}
        return {"hypothesis": FORMAT, **texts, "rivals": list(self.rivals), "root": self.root.document()}

    def to_json(self) -> str:
        """Write it as JSON that `from_json` reads."""
        return json.dumps(self.document(), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Hypothesis:
        """Read what `to_json` wrote, or a root alone: ``{"units": "head:0", "children": [...]}``.

        Raises
        ------
        InputError
            When it is neither; the message names the node and the field.
        """
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            raise InputError("the hypothesis is no JSON") from None
        return cls.from_document(document)

    @classmethod
    def from_document(cls, document: object) -> Hypothesis:
        """Read what `document` gave, or a root alone.

        Raises
        ------
        InputError
            When it is neither, or of a later version; the message names the node and the field.
        """
        if isinstance(document, Mapping) and "hypothesis" in document:
            if document["hypothesis"] != FORMAT:
                raise InputError(f"this hypothesis is of version {document['hypothesis']}, this program reads version {FORMAT}")
            texts = {key: document.get(key, "") for key in ("name", "model", "images")}
            if wrong := [key for key, value in texts.items() if not isinstance(value, str)]:
                raise HypothesisError("the hypothesis", wrong[0], "it is no text")
            rivals = document.get("rivals", [])
            if not isinstance(rivals, list) or not all(isinstance(rival, str) for rival in rivals):
                raise HypothesisError("the hypothesis", "rivals", "they are no list of texts")
            return cls(_root(document.get("root")), **texts, rivals=tuple(rivals))
        return cls(_root(document))


@dataclass(frozen=True)
class NodeCard:
    """What can be said of a node before anything is scrubbed.

    Attributes
    ----------
    field, reason
        What is wrong, empty where nothing is.
    labels, least, itself
        How many labels its feature has, the images of the rarest, and the part of draws that give the image itself; 0 where what the units
        do would have to be computed, and at the root.
    cells
        Cells that it means; 0 for whole maps.
    """

    name: str
    field: str = ""
    reason: str = ""
    labels: int = 0
    least: int = 0
    itself: float = 0.0
    cells: int = 0


def _root(document: object) -> Node:
    if not isinstance(document, Mapping) or not isinstance(document.get("units"), str):
        raise InputError('the hypothesis has no root; write {"units": "layer:0", "children": [...]}')
    return _node(document, "root")


def _node(document: Mapping[str, Any], place: str, above: int = 0) -> Node:
    """Read a node below so many others; one without a name is called by its place."""
    name = document.get("name") or place
    if above >= MOST_NODES:
        raise HypothesisError(document.get("name") or "the lowest node", "children", f"the tree is deeper than {MOST_NODES} nodes")
    if not isinstance(name, str):
        raise HypothesisError(place, "name", f"{name!r} is no text")
    if unknown := sorted(set(document) - {"name", "units", "feature", "offsets", "children"}):
        raise HypothesisError(name, unknown[0], "a node has name, units, feature, offsets and children, nothing else")
    for key in ("units", "feature"):
        if not isinstance(document.get(key, "" if key == "units" else "all"), str):
            raise HypothesisError(name, key, f"{document[key]!r} is no text")
    offsets, children = document.get("offsets", []), document.get("children", [])
    if not isinstance(offsets, list) or not all(isinstance(o, list) and len(o) == 2 and all(type(n) is int for n in o) for o in offsets):
        raise HypothesisError(name, "offsets", "write pairs of whole numbers, rows down and columns to the right: [[0, -1], [2, 3]]")
    if not isinstance(children, list) or not all(isinstance(child, Mapping) for child in children):
        raise HypothesisError(name, "children", "it is no list of nodes")
    before = "node " if place == "root" else f"{name}."
    below = tuple(_node(child, f"{before}{at + 1}", above + 1) for at, child in enumerate(children))
    return Node(name, document.get("units", ""), document.get("feature", "all"), tuple((o[0], o[1]) for o in offsets), below)


def offsets_in(text: str) -> Offsets:
    """Read offsets as they are typed: pairs of rows down and columns to the right, ``0 -1; 2 3``; nothing for whole maps.

    Raises
    ------
    InputError
        When they are no such pairs.
    """
    found = []
    for part in filter(str.strip, re.split(r"[;\n]", text)):
        words = re.split(r"[\s,]+", part.strip())
        if len(words) != 2 or not all(re.fullmatch(r"[+−-]?\d+", word) for word in words):
            raise InputError(f"{part.strip()!r} is no offset; write rows down and columns to the right, such as 0 -1; 2 3")
        found.append((int(words[0].replace("−", "-")), int(words[1].replace("−", "-"))))
    return tuple(dict.fromkeys(found))


def offsets_text(offsets: Offsets) -> str:
    """Write offsets as `offsets_in` reads them."""
    return "; ".join(f"{down} {right}" for down, right in offsets)
