"""The motifs that are searched for, and what becomes of one that was found: a circuit, a line of a table. Plain data; needs no torch.

A finding is a mapping with ``kind``, ``source`` and ``target`` (layers), ``units`` (addresses of the units that show the motif), ``inputs``
(addresses of what they read there), ``edges`` (source, target, weight), ``score``, ``p``, ``q``, ``note`` and ``artefact``.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

from workbench.circuit import Circuit, Edge

KINDS: dict[str, tuple[str, str]] = {
    "pooling": (
        "Equivariant to invariant",
        "A unit that adds up several units which are turned or mirrored versions of one another, so that it no longer cares which way up. "
        "Score: strength of all but the strongest of them; .87 for four that are all there is, .71 for two.",
    ),
    "union": (
        "Union over cases",
        "A unit that is excited by two to four things that have nothing in common. Score: the part of its weights (squared) that these "
        "have, times the weakest over the strongest.",
    ),
    "opposite": (
        "Opposite pair",
        "Two units with one set of weights, with both signs: what excites the one inhibits the other. Score: minus the cosine of their "
        "weights.",
    ),
    "bands": (
        "Weight banding",
        "Kernels of a layer vary from row to row and not from column to column. Just before global pooling that is an artefact of the "
        "pooling. Score: variation from row to row less that from column to column, as a part of all.",
    ),
    "branch": (
        "Branch specialisation",
        "The units of one branch read units that need colour, fine detail, or left and right more (or less) than those the other branches "
        "read. Score: how often a unit of the branch needs it more than another (.5: no difference).",
    ),
    "template": (
        "Kernel template",
        "A pattern, in any of its eight turns, that many kernels of the network have, found without being looked for. Score: the part of "
        "the strongest kernels of its size that fit it.",
    ),
}
"""Name of each kind -> its title, and what it is."""

NULLS: dict[str, str] = {
    "pooling": "shuffled entries, or kernels dealt to other inputs",
    "union": "shuffled entries, or whole kernels at random units and inputs",
    "opposite": "shuffled entries, or units mixed at random",
    "bands": "kernels transposed by coins",
    "branch": "units dealt to branches anew",
    "template": "shuffled entries, or kernels of random phases",
}
"""Name of each kind -> the null its count stands beside; of two, the one that has more of it."""


def as_circuit(finding: Mapping[str, Any], model: str = "", images: str = "") -> Circuit:
    """Return the units of a finding, what they read, and the weights between them, as a circuit that can be opened and edited.

    Parameters
    ----------
    finding
        One of ``summary["findings"]`` of the analysis `Motifs`.
    model, images
        References of what it was found in.
    """
    edges = tuple(Edge(source, target, weight) for source, target, weight in finding["edges"])
    units = dict.fromkeys((*finding["inputs"], *finding["units"], *(end for edge in edges for end in edge.ends)))
    figures = {name: finding[name] for name in ("kind", "score", "p", "q", "note", "artefact")}
    return Circuit(f"{KINDS[finding['kind']][0]}: {', '.join(finding['units'][:2])}", model, images, tuple(units), edges, figures)


def as_table(findings: Iterable[Mapping[str, Any]]) -> str:
    """Return findings as CSV, one a line, addresses separated by spaces."""
    columns = ("kind", "source", "target", "units", "inputs", "score", "p", "q", "artefact", "note")
    text = io.StringIO()
    written = csv.writer(text, lineterminator="\n")
    written.writerow(columns)
    for finding in findings:
        written.writerow([" ".join(finding[name]) if name in ("units", "inputs") else finding[name] for name in columns])
    return text.getvalue()
