"""What was found, as plain data: the units, what they read, and the weights between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from workbench.analyses.motifs.activity import Activity
from workbench.analyses.motifs.branches import Branching, Told
from workbench.analyses.motifs.counting import Tests
from workbench.analyses.motifs.detectors import bands, cases_of, strengths
from workbench.analyses.motifs.null import weighed
from workbench.analyses.motifs.templates import Returning
from workbench.analyses.motifs.weights import Weights
from workbench.models.layer import Unit

SHOWN = 6
"""Units of a finding that is about a whole layer, and inputs of one that is about a unit."""
NAMED = 20
"""Units that could not be judged, by name."""

Finding = dict[str, Any]


def told(
    weights: Sequence[Weights], counted: Mapping[str, Tests], alpha: float, listed: int
) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any], list[Finding]]:
    """Return arrays, the counts of each kind beside those of the null, and the findings, kind by kind, largest score first."""
    arrays: dict[str, npt.NDArray[Any]] = {}
    counts: dict[str, Any] = {}
    all_found: list[Finding] = []
    for kind, tests in counted.items():
        found, q = tests.found(alpha)
        null = tests.found_in_null(alpha)
        arrays |= {f"{kind}_score": np.array(tests.score, np.float32), f"{kind}_p": np.array(tests.p, np.float32)}
        arrays |= {f"{kind}_q": q.astype(np.float32), f"{kind}_null": null}
        # The null that has most of them is the one that what is found must stand beside.
        hardest = null[np.lexsort((null.max(1), null.mean(1)))[-1]] if null.size else null.ravel()
        places = sorted(np.flatnonzero(found).tolist(), key=lambda place: -tests.score[place])
        described = list(_of_kind(kind, weights, tests, places, q))
        counts[kind] = {
            "tests": len(tests.score),
            "found": len(described),
            "null_mean": float(hardest.mean()) if len(hardest) else None,
            "null_most": int(hardest.max()) if len(hardest) else None,
            "least": tests.least,
            "detectable": float(np.median(tests.detectable)) if tests.detectable else None,
            "listed": min(len(described), listed),
        }
        all_found += described[:listed]
    return arrays, counts, all_found


def _of_kind(kind: str, weights: Sequence[Weights], tests: Tests, places: Sequence[int], q: npt.NDArray[np.floating]) -> Iterator[Finding]:
    """Describe what was found of a kind."""
    describe = DESCRIBED[kind]
    for place in places:
        finding = describe(weights, tests.what[place])
        yield {"kind": kind, **finding, "score": float(tests.score[place]), "p": float(tests.p[place]), "q": float(q[place])}


def _finding(
    weight: Weights, units: Sequence[str], inputs: Sequence[str], edges: Sequence[Sequence[object]], note: str, artefact: bool = False
) -> Finding:
    return {
        "source": weight.pair.source,
        "target": weight.pair.target,
        "units": list(units),
        "inputs": list(dict.fromkeys(inputs)),
        "edges": list({(edge[0], edge[1]): list(edge) for edge in edges}.values()),
        "note": note,
        "artefact": artefact,
    }


def _row(weight: Weights, row: int) -> npt.NDArray[np.float32]:
    """Return the strengths of all inputs of a target unit, 0 for dead ones."""
    found: npt.NDArray[np.float32] = strengths(weighed(weight.kernels[row : row + 1], weight.weight))[0]
    return found


def _pooling(weights: Sequence[Weights], what: tuple[int, int, int]) -> Finding:
    place, row, family = what
    weight = weights[place]
    members, strength = weight.families[family], _row(weight, row)
    inputs = [weight.input(column) for column in members]
    added = ", ".join(f"{strength[column]:+.2f}" for column in members)
    note = f"adds up {int((strength[list(members)] > 0).sum())} of a family of {len(members)} turned or mirrored units ({added})"
    return _finding(weight, [weight.unit(row)], inputs, [weight.edge(column, row) for column in members], note)


def _union(weights: Sequence[Weights], what: tuple[int, int, int]) -> Finding:
    place, row, number = what
    weight = weights[place]
    strength = _row(weight, row)
    cases = cases_of(strength, weight.common, number)
    columns = [column for case in cases for column in case]
    named = " or ".join(" + ".join(str(column) for column in case) for case in cases)
    note = f"{len(cases)} cases with nothing in common: {named}"
    return _finding(weight, [weight.unit(row)], [weight.input(c) for c in columns], [weight.edge(c, row) for c in columns], note)


def _opposite(weights: Sequence[Weights], what: tuple[int, int, int]) -> Finding:
    place, row, partner = what
    weight = weights[place]
    one, other = sorted((row, int(weight.rows[partner])))
    strongest = np.argsort(-np.abs(_row(weight, one)) - np.abs(_row(weight, other)), kind="stable")[:SHOWN].tolist()
    edges = [weight.edge(column, unit) for unit in (one, other) for column in strongest]
    units = [weight.unit(one), weight.unit(other)]
    return _finding(weight, units, [weight.input(column) for column in strongest], edges, "one set of weights, both signs")


def _bands(weights: Sequence[Weights], what: tuple[int]) -> Finding:
    weight = weights[what[0]]
    rows = weighed(weight.judged, weight.weight[weight.columns])
    down, across, whole = bands(rows).sum(1).T
    first = np.argsort(-(down - across) / np.where(whole > 0, whole, 1), kind="stable")[:SHOWN]
    units = [int(weight.rows[place]) for place in first]
    edges = [weight.edge(int(np.argmax(np.abs(_row(weight, row)))), row) for row in units]
    share, other = float(down.sum() / whole.sum()), float(across.sum() / whole.sum())
    pooled = "; an artefact of the global pooling behind it" if weight.pair.pooled else ""
    note = f"{len(rows)} units: {share:.0%} of the variation is from row to row, {other:.0%} from column to column{pooled}"
    return _finding(weight, [weight.unit(row) for row in units], [str(edge[0]) for edge in edges], edges, note, weight.pair.pooled)


def _branch(weights: Sequence[Weights], what: tuple[Branching, Told, list[tuple[int, int]]]) -> Finding:
    one, told_of, owners = what
    shown = owners[:SHOWN]
    edges = [weights[place].edge(int(np.argmax(np.abs(_row(weights[place], row)))), row) for place, row in shown]
    name = {"colour": "colour", "detail": "fine detail", "side": "left and right"}[told_of.what]
    more = "more" if told_of.auroc > 0.5 else "less"
    branch, means = one.branches[told_of.branch].name, f"{told_of.mean:.2f} against {told_of.others:.2f}"
    note = f"{branch} needs {name} {more} than the other branches: {means}"
    units = [weights[place].unit(row) for place, row in shown]
    return _finding(weights[shown[0][0]], units, [str(edge[0]) for edge in edges], edges, note)


def _template(weights: Sequence[Weights], what: tuple[int, Returning]) -> Finding:
    number, found = what
    shown = found.examples[:SHOWN].tolist()
    edges = [weights[place].edge(column, row) for place, row, column in shown]
    layers = sorted({weights[place].pair.target for place, _, _ in found.examples.tolist()})
    side = len(found.template)
    spread = f" in {', '.join(layers[:3])}" + (f" and {len(layers) - 3} more layers" if len(layers) > 3 else "")
    note = f"template {number}, {side} x {side}: {found.share:.1%} of the strongest kernels, {found.null:.1%} of the null's{spread}"
    finding = _finding(weights[shown[0][0]], [str(edge[1]) for edge in edges], [str(edge[0]) for edge in edges], edges, note)
    return finding | {"units": list(dict.fromkeys(finding["units"])), "template": number}


DESCRIBED: dict[str, Callable[[Sequence[Weights], Any], Finding]] = {
    "pooling": _pooling,
    "union": _union,
    "opposite": _opposite,
    "bands": _bands,
    "branch": _branch,
    "template": _template,
}
"""What describes a finding of each kind, from what its test was of."""


def not_judged(weights: Sequence[Weights], activity: Mapping[str, Activity]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Name the units that are dead on these images, that are no numbers, and that have no weights."""
    dead: dict[str, None] = {}
    broken: dict[str, None] = {}
    empty: dict[str, None] = {}
    for weight in weights:
        std = activity[weight.pair.source].std
        dead |= dict.fromkeys(str(Unit(weight.pair.source, int(unit))) for unit in np.flatnonzero(std == 0))
        broken |= dict.fromkeys(str(Unit(weight.pair.source, int(unit))) for unit in np.flatnonzero(~np.isfinite(std)))
        judged = set(weight.rows.tolist())
        for row in range(len(weight.kernels)):
            if row not in judged:
                (broken if row in weight.broken else empty)[weight.unit(row)] = None
    return _named(dead), _named(broken), _named(empty)


def _named(units: Mapping[str, None]) -> dict[str, Any]:
    return {"units": len(units), "first": list(units)[:NAMED]}
