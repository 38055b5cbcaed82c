"""The search: every kind of motif in every layer of weights, in the network's and in the null's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from workbench.analyses.motifs.activity import PREFERENCES
from workbench.analyses.motifs.branches import Branching, needs_of, told_apart
from workbench.analyses.motifs.counting import Tests
from workbench.analyses.motifs.detectors import Seen, bands, opposite, pooling, strengths, union
from workbench.analyses.motifs.null import Rows, dealt, mixed, rephased, scattered, shuffled, weighed
from workbench.analyses.motifs.templates import FEWEST, Strongest, returning, strongest
from workbench.analyses.motifs.weights import Weights
from workbench.models.adjacent import Adjacent
from workbench.task import Task

LEAST = {"pooling": 0.25, "union": 0.4, "opposite": 0.6, "bands": 0.1, "branch": 0.65, "template": 0.0}
"""Smallest score that is called a motif."""
HARDER = {"pooling": dealt, "union": scattered, "opposite": mixed}
"""Second nulls; that of templates is `rephased`. `workbench.motifs.NULLS` says them in words."""
FEWEST_UNITS = 4
"""Units on either side of a layer of weights in which motifs are searched."""
NULL, HARD, BRANCH, CLUSTER = range(4)
"""What random numbers are drawn for, each from a stream of its own."""


def everything(
    weights: Sequence[Weights],
    beside: Sequence[Branching],
    needs: Mapping[str, dict[str, npt.NDArray[np.float32]]],
    pairs: Sequence[Adjacent],
    kinds: Sequence[str],
    draws: int,
    alpha: float,
    seed: int,
    task: Task,
) -> tuple[dict[str, Tests], list[npt.NDArray[np.float32]]]:
    """Return the tests of each kind, and the templates.

    Parameters
    ----------
    beside, needs, pairs
        Concatenations of branches, what the units they read need, and the layers of weights that they name.
    """
    tests = {kind: Tests(LEAST[kind]) for kind in kinds}
    of_size: dict[int, list[tuple[Strongest, list[list[Strongest]]]]] = {}
    total = sum(weight.kernels.size for weight in weights) or 1
    done = 0
    for place, weight in enumerate(weights):
        task.step(done, total, note=f"motifs from {weight.pair.source} to {weight.pair.target}")

        def pulse(done: int = done) -> None:
            task.step(done, total)

        _layer(place, weight, tests, of_size, draws, alpha, seed, pulse)
        done += weight.kernels.size
    if "branch" in tests:
        _branches(weights, beside, needs, pairs, tests["branch"], draws, seed)
    templates: list[npt.NDArray[np.float32]] = []
    for side, found in sorted(of_size.items()):
        if sum(len(one.kernels) for one, _ in found) < FEWEST:
            continue
        task.step(total, total, note=f"templates of {side} x {side}")
        random = np.random.default_rng([seed, CLUSTER, side])
        nulls = [[[of_null[null][draw] for _, of_null in found] for draw in range(draws)] for null in range(2)]
        for one in returning([one for one, _ in found], nulls, random):
            tests["template"].add_sure(one.share, one.p, (len(templates), one))
            for null, of_null in enumerate(one.drawn):
                tests["template"].add_draws([(np.array([share]), np.array([p])) for share, p in of_null], null)
            templates.append(one.template)
    return tests, templates


def _layer(
    place: int,
    weight: Weights,
    tests: dict[str, Tests],
    of_size: dict[int, list[tuple[Strongest, list[list[Strongest]]]]],
    draws: int,
    alpha: float,
    seed: int,
    pulse: Callable[[], None],
) -> None:
    """Search one layer of weights."""
    side = weight.kernels.shape[2]
    square = side == weight.kernels.shape[3] and side > 2
    kept, std = weight.judged, weight.weight[weight.columns]
    if min(kept.shape[:2]) < 1 or weight.pair.groups not in (1, weight.kernels.shape[1]):
        return
    if weight.pair.groups != 1:  # each unit reads one: there is nothing to find but the kernels' look
        if square and "template" in tests:
            rows = np.flatnonzero(np.isin(weight.rows, weight.columns))
            own = kept[rows, np.searchsorted(weight.columns, weight.rows[rows])][:, None]
            random = np.random.default_rng([seed, NULL, place])
            look = strongest(own, place)
            look.where[:, 2] = look.where[:, 1] = weight.rows[rows][look.where[:, 1]]
            drawn = [[strongest(null(own, random), place) for _ in range(draws)] for null in (shuffled, rephased)]
            of_size.setdefault(side, []).append((look, drawn))
        return
    if min(kept.shape[:2]) < FEWEST_UNITS and weight.pair.source != "input":
        return
    image = kept.shape[1] <= 4  # colours are no features: what a unit adds up are positions
    real = weighed(kept, std)
    common = weight.common[np.ix_(weight.columns, weight.columns)]
    families = [np.searchsorted(weight.columns, family).tolist() for family in weight.families]

    measures: dict[str, Callable[[Rows], Seen]] = {"opposite": opposite}
    if families:
        measures["pooling"] = lambda rows: pooling(strengths(rows), families)
    if not image:
        measures["union"] = lambda rows: union(strengths(rows), common)
    measures = {kind: measure for kind, measure in measures.items() if kind in tests}
    random, harder = (np.random.default_rng([seed, stream, place]) for stream in (NULL, HARD))
    nulls: dict[str, list[list[npt.NDArray[np.float32]]]] = {kind: [[], []] if kind in HARDER else [[]] for kind in measures}
    looks: list[list[Strongest]] = [[], []]
    for _ in range(draws):
        rows = weighed(shuffled(kept, random), std)
        for kind, measure in measures.items():
            nulls[kind][0].append(measure(rows).score)
            if kind in HARDER:
                nulls[kind][1].append(measure(HARDER[kind](real, harder)).score)
        if square and "template" in tests:
            looks[0].append(strongest(rows, place))
            looks[1].append(strongest(rephased(real, harder), place))
        pulse()
    for kind, measure in measures.items():
        seen = measure(real)
        what = [(place, int(row), int(of)) for row, of in zip(weight.rows[seen.row], seen.what, strict=True)]
        tests[kind].add(seen.score, what, nulls[kind], alpha)
    if square and "bands" in tests and not image:
        varied = bands(real).astype(np.float64).sum(0)
        tests["bands"].add_sure(*_banded(varied), (place,))
        transposed = [np.where(random.random(len(varied))[:, None] < 0.5, varied[:, [1, 0, 2]], varied) for _ in range(draws)]
        tests["bands"].add_draws([(np.array([score]), np.array([p])) for score, p in map(_banded, transposed)])
    if square and "template" in tests:
        look = strongest(real, place)
        look.where[:, 1], look.where[:, 2] = weight.rows[look.where[:, 1]], weight.columns[look.where[:, 2]]
        of_size.setdefault(side, []).append((look, looks))


def _banded(varied: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return how much more kernels vary from row to row than from column to column, and p when coins transpose each input's kernels.

    Parameters
    ----------
    varied
        ``source 3``, as `bands` gives them, summed over units.
    """
    down, across, whole = varied.T
    if not whole.sum() > 0:
        return 0.0, 1.0
    more = down - across
    spread = float(np.sqrt(np.square(more).sum()))
    return float(more.sum() / whole.sum()), float(norm.sf(more.sum() / spread)) if spread > 0 else 1.0


def _branches(
    weights: Sequence[Weights],
    beside: Sequence[Branching],
    needs: Mapping[str, dict[str, npt.NDArray[np.float32]]],
    pairs: Sequence[Adjacent],
    tests: Tests,
    draws: int,
    seed: int,
) -> None:
    """Test every branch of every concatenation for every preference, and branches that units were dealt to anew."""
    by_pair = {weight.pair: place for place, weight in enumerate(weights)}
    random = np.random.default_rng([seed, BRANCH])
    dealt_out: list[list[tuple[float, float]]] = [[] for _ in range(draws)]
    for one in beside:
        places = [[by_pair[pairs[p]] for p in branch.pairs if pairs[p] in by_pair] for branch in one.branches]
        if sum(bool(own) for own in places) < 2:
            continue
        owners = [[(place, int(row)) for place in own for row in weights[place].rows] for own in places]
        values: list[dict[str, npt.NDArray[np.float64]]] = []
        for own in places:
            parts = [_needs(weights[place], needs.get(weights[place].pair.source, {})) for place in own]
            values.append({what: np.concatenate([part[what] for part in parts]) if parts else np.zeros(0) for what in PREFERENCES})
        for what in PREFERENCES:
            of = [value[what] for value in values]
            for told in told_apart(of, what):
                score = max(told.auroc, 1 - told.auroc)
                first = np.argsort(-of[told.branch] if told.auroc > 0.5 else of[told.branch], kind="stable")
                tests.add_sure(score, told.p, (one, told, [owners[told.branch][i] for i in first]))
            everyone, sizes = np.concatenate(of), np.cumsum([len(value) for value in of])[:-1]
            for draw in dealt_out:
                again = told_apart(np.split(random.permutation(everyone), sizes), what)
                draw += [(max(t.auroc, 1 - t.auroc), t.p) for t in again]
    if dealt_out[0]:
        tests.add_draws([(np.array([s for s, _ in draw]), np.array([p for _, p in draw])) for draw in dealt_out])


def _needs(weight: Weights, needs: dict[str, npt.NDArray[np.float32]]) -> dict[str, npt.NDArray[np.float64]]:
    """Return what the units of a layer of weights need, of those that can be judged."""
    known = {what: value[weight.columns] for what, value in needs.items()}
    return needs_of(weighed(weight.judged, weight.weight[weight.columns]), known)
