"""What the branches of a concatenation are for.

Voss et al., "Branch Specialization" (Distill 2021): units that go together settle in one branch. Here each branch is asked what its first
layer reads, since all branches choose from the same units there: for every unit of that layer the energy-weighted mean, over the units it
reads, of how much these need colour, fine detail, or left and right. With random weights it makes no difference which branch a unit is
in, so the null is exact: ranks dealt to branches anew (Mann and Whitney's test). Units further inside a branch share the few they read, and
would look specialised with any weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import fx

from workbench.analyses.motifs.activity import PREFERENCES
from workbench.analyses.motifs.null import Rows
from workbench.models.adjacent import Adjacent
from workbench.models.graph import ModelGraph
from workbench.models.nodes import kind

FEWEST = 3
"""Units of a branch that can be told from the others'."""


@dataclass(frozen=True)
class Branch:
    """One branch of a concatenation: its name, and which of the pairs its first layers are."""

    name: str
    pairs: tuple[int, ...]


@dataclass(frozen=True)
class Branching:
    """Branches side by side that read the same units."""

    layer: str
    source: str
    branches: tuple[Branch, ...]


def branchings(graph: ModelGraph, pairs: Sequence[Adjacent]) -> list[Branching]:
    """Return the concatenations of units whose branches begin at one layer."""
    by_sum = {graph.node(pair.makes): place for place, pair in enumerate(pairs)}
    order = {pair.source: place for place, pair in enumerate(pairs)}
    found = []
    for node in graph.graph.nodes:
        axis = node.args[1] if len(node.args) > 1 else 0
        if kind(node) != "cat" or node not in graph.capture.unit_axes or not isinstance(axis, int):
            continue
        if axis % node.meta["val"].dim() != graph.capture.unit_axes[node]:
            continue
        reached = [(part, _pairs_before(part, by_sum)) for part in node.args[0]]
        common = set.intersection(*({pairs[place].source for place in places} for _, places in reached))
        if len(reached) < 2 or not common:
            continue
        source = max(common, key=lambda name: order[name])
        branches = tuple(
            Branch(graph.name(part), tuple(sorted(place for place in places if pairs[place].source == source and pairs[place].groups == 1)))
            for part, places in reached
        )
        if all(branch.pairs for branch in branches):
            found.append(Branching(graph.name(node), source, branches))
    return found


def _pairs_before(part: fx.Node, by_sum: dict[fx.Node, int]) -> set[int]:
    """Return the layers of weights on the way back from a branch to the next concatenation."""
    found, seen, waiting = set(), set(), [part]
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if node in by_sum:
            found.add(by_sum[node])
        if kind(node) != "cat":
            waiting.extend(node.all_input_nodes)
    return found


def needs_of(rows: Rows, needs: dict[str, npt.NDArray[np.float32]]) -> dict[str, npt.NDArray[np.float64]]:
    """Return what the units of a layer read needs, in the mean; of units that read an image, what their kernels need."""
    energy = np.einsum("tsyx,tsyx->ts", rows, rows).astype(np.float64)
    whole = energy.sum(1)
    whole[whole == 0] = np.nan
    if needs:
        return {what: energy @ needs[what] / whole for what in PREFERENCES}
    grey = rows.mean(1, keepdims=True)
    padded = np.pad(rows, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    height, width = rows.shape[2:]
    blurred = np.mean([padded[..., y : y + height, x : x + width] for y in range(3) for x in range(3)], axis=0)
    other = {"colour": rows - grey, "detail": rows - blurred, "side": (rows - rows[..., ::-1]) / np.sqrt(2)}
    return {what: np.square(other[what]).sum((1, 2, 3)).astype(np.float64) / whole for what in PREFERENCES}


@dataclass(frozen=True, eq=False)
class Told:
    """Whether one branch reads something else than the others.

    Attributes
    ----------
    auroc
        How often a unit of the branch needs it more than one of another does.
    p
        Two-sided.
    mean, others
        Mean need of the branch's units and of the others'.
    """

    what: str
    branch: int
    auroc: float
    p: float
    mean: float
    others: float


def told_apart(values: Sequence[npt.NDArray[np.float64]], what: str) -> list[Told]:
    """Compare each branch with all others, from what its units need."""
    from scipy.stats import mannwhitneyu

    found = []
    for place, own in enumerate(values):
        own = own[np.isfinite(own)]
        rest = np.concatenate([other for at, other in enumerate(values) if at != place])
        rest = rest[np.isfinite(rest)]
        if len(own) < FEWEST or len(rest) < FEWEST:
            continue
        tested = mannwhitneyu(own, rest)
        auroc = float(tested.statistic) / (len(own) * len(rest))
        found.append(Told(what, place, auroc, float(tested.pvalue), float(own.mean()), float(rest.mean())))
    return found
