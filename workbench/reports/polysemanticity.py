"""Problem 7.8: how many units mix several things, what happens in them, and what a sparse autoencoder makes of the layer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.analyses.polysemanticity import Polysemanticity
from workbench.facets import facets_of
from workbench.input_error import InputError
from workbench.models.layer import Unit
from workbench.models.loading import twin_of
from workbench.report_page import Drawing, Section, Table, as_svg
from workbench.reports.report import Findings, Work, answers, cell, short

if TYPE_CHECKING:
    from workbench.analyses.analysis import Result
    from workbench.models.traced_model import TracedModel

MODELS = ("bundled:inception",)
LAYERS = {True: 1, False: 4}
"""Of each network: quick, full."""
UNITS = {True: 40, False: 0}
"""Of each layer, evenly spread; 0: all."""
TWINS = {True: 1, False: 3}
LATENTS = {True: 768, False: 0}
"""Of each autoencoder; 0: as many as the recipe gives the layer."""
UPDATES = {True: 250, False: 4000}
SHOWN = 8
"""Units of each layer that are described."""
SURE = 1.96


@dataclass(frozen=True)
class Looked:
    """One layer: the units that were looked at there and in its twins, and the autoencoders' figures of both."""

    ref: str
    layer: str
    result: Result
    twins: Sequence[Result]
    autoencoders: Mapping[str, Mapping[str, float]]


@answers("7.8", "Which units mix several things, what each mixes, and what a sparse autoencoder makes of the layer", MODELS)
def polysemanticity(work: Work) -> Findings:
    """Look at layers spread over the depth of each network and of its random-weight twins."""
    chosen = work.each(lambda ref: layers_of(work.model(ref), LAYERS[work.quick]))
    work.expect(sum(len(layers) for layers in chosen.values()) * (3 + TWINS[work.quick]))

    def looked(ref: str) -> list[Looked]:
        return [_look(work, ref, layer) for layer in chosen[ref]]

    found = [one for of_network in work.each(looked).values() for one in of_network]
    figures = {f"{one.ref} {one.layer}": _figures(one) for one in found}
    units = (_units(one) for one in found)
    return Findings([_answer(found), _counts(found), _autoencoders(found), *units, _missing(found, work)], {"layers": figures})


def layers_of(model: TracedModel, number: int) -> list[str]:
    """Return layers with enough units, spread over the middle: blocks of branches where the network has several, else post-activation.

    Raises
    ------
    InputError
        When there is none.
    """
    maps = [layer for layer in model.layers.values() if layer.units >= 32 and layer.role != "pre" and "~" not in layer.name]
    blocks = [layer for layer in maps if layer.kind == "cat" and ":" not in layer.name]
    fitting = blocks if len(blocks) > 2 else [layer for layer in maps if layer.role == "post"] or maps
    fitting = fitting[1:-1] or fitting
    if not fitting:
        raise InputError(f"{model.name} has no layer of 32 units or more behind a non-linearity")
    places = np.unique(np.linspace(0, len(fitting) - 1, number + 2).round().astype(int)[1:-1])
    return [fitting[place].name for place in places]


def _look(work: Work, ref: str, layer: str) -> Looked:
    count = work.model(ref).layer(layer).units
    wanted = UNITS[work.quick] or count
    units = tuple(int(unit) for unit in np.unique(np.linspace(0, count - 1, min(wanted, count)).round()))
    analysis = Polysemanticity(layer=layer, units=units if len(units) < count else ())
    result = work.run(f"{short(ref)}-{short(layer)}", analysis, ref)
    twins = [work.run(f"{short(ref)}-{short(layer)}-twin-{seed}", analysis, twin_of(ref, seed)) for seed in range(TWINS[work.quick])]
    autoencoders = {}
    for name, network in (("trained", ref), ("random weights", twin_of(ref, 0))):
        settings: dict[str, Any] = {"network": network, "layer": layer, "images": work.images}
        settings |= {"latents": LATENTS[work.quick], "steps": UPDATES[work.quick]}
        _, autoencoders[name] = work.train("SparseAutoencoder", settings)
    return Looked(ref, layer, result, twins, autoencoders)


def _share(results: Sequence[Result], what: str = "polysemantic") -> tuple[int, int, float, float]:
    """Return how many units of how many, and the 95 % interval of the share (Wilson)."""
    some, all_ = (sum(int(result.summary[name]) for result in results) for name in (what, "tested"))
    if not all_:
        return 0, 0, math.nan, math.nan
    part = some / all_
    middle, width = part + SURE**2 / (2 * all_), SURE * math.sqrt(part * (1 - part) / all_ + SURE**2 / (4 * all_**2))
    return some, all_, (middle - width) / (1 + SURE**2 / all_), (middle + width) / (1 + SURE**2 / all_)


def _figures(one: Looked) -> dict[str, Any]:
    some, tested, low, high = _share([one.result])
    twin_some, twin_tested, twin_low, twin_high = _share(one.twins)
    rest = ("median_agreement", "rival_polysemantic", "smallest_score", "told", "downstream", "images", "expected_false")
    return {
        "polysemantic": some,
        "tested": tested,
        "interval": [low, high],
        "twin_polysemantic": twin_some,
        "twin_tested": twin_tested,
        "twin_interval": [twin_low, twin_high],
        "twin_told": _told_in(one.twins),
        "autoencoders": {name: dict(figures) for name, figures in one.autoencoders.items()},
        **{name: one.result.summary[name] for name in rest},
    }


def _told_in(results: Sequence[Result]) -> float | None:
    """Return the median over networks of how well facets are told apart downstream, None where none has any."""
    found = [float(result.summary["told"]) for result in results if result.summary["told"] is not None]
    return float(np.median(found)) if found else None


def _told(some: int, tested: int, low: float, high: float) -> str:
    return f"{some} of {tested} ({low:.0%} to {high:.0%})" if tested else "none could be tested"


def _answer(found: Sequence[Looked]) -> Section:
    said = []
    for one in found:
        summary, sae = one.result.summary, one.autoencoders
        here, there = _share([one.result]), _share(one.twins)
        line = (
            f"{one.ref}, {one.layer}: {_told(*here)} units tested have several facets at q <= {summary['alpha']:g}, against "
            f"{_told(*there)} with random weights; about {summary['expected_false']:.1f} of them by chance."
        )
        if summary["told"] is not None:
            line += f" Units of {summary['downstream']} tell facets apart: median held-out AUROC {summary['told']:.2f} (chance .5"
            line += f", random weights {random_told:.2f})." if (random_told := _told_in(one.twins)) is not None else ")."
        trained, random = sae["trained"], sae["random weights"]
        line += (
            f" An autoencoder explains {trained['explained']:.0%} of the layer's variance on held-out concepts "
            f"({trained['pca_explained']:.0%} by as many principal axes; {random['explained']:.0%} of that of a layer with random weights)."
        )
        overlap = here[1] and there[1] and here[2] <= there[3] and there[2] <= here[3]
        if overlap:
            line += " The intervals of both shares overlap: here learning neither made nor unmade mixtures as far as this run can see."
        said.append(line)
    return Section("Answer", said or ["No layer could be looked at."])


def _counts(found: Sequence[Looked]) -> Section:
    counts = ("tested", "several facets", "95 % of the share", "by activations")
    columns = ("layer", "weights", *counts, "agreement", "least score", "told apart")
    rows = []
    for one in found:
        for name, results in (("trained", [one.result]), ("random", one.twins)):
            some, tested, low, high = _share(results)
            summary = results[0].summary
            rows.append(
                (
                    f"{one.ref} {one.layer}",
                    name,
                    tested,
                    some,
                    f"{low:.2f} to {high:.2f}" if tested else "-",
                    _share(results, "rival_polysemantic")[0],
                    cell(_round(summary["median_agreement"])),
                    cell(_round(summary["smallest_score"])),
                    cell(_round(summary["told"])),
                )
            )
    caption = (
        "Several facets: two clusters of the relevances take off more of the spread than in surrogates of one kind, q corrected over the "
        "units (Benjamini and Hochberg). By activations: the same with what the layer's other units do. Agreement: adjusted Rand of both. "
        "Least score: the smallest that counts. Told apart: median held-out AUROC of the best downstream unit; .5 is chance."
    )
    drawn = [
        Drawing(f"{one.ref} {one.layer}: {name}", as_svg(figure, f"{short(one.ref)}-{short(one.layer)}-{name}"))
        for one in found
        for name, figure in one.result.figures().items()
    ]
    return Section("How many, beside one kind and beside random weights", [Table(columns, rows, caption), *drawn])


def _autoencoders(found: Sequence[Looked]) -> Section:
    columns = ("layer", "weights", "explained", "as many axes", "never used", "held-out images")
    names = ("explained", "pca_explained", "unused", "held_out_images")
    rows = [
        (f"{one.ref} {one.layer}", kind, *(cell(figures[name]) for name in names))
        for one in found
        for kind, figures in one.autoencoders.items()
    ]
    caption = (
        "TopK autoencoders of the same size and number of updates on the trained network and on its random-weight twin. As many axes: as "
        "many principal axes as latents are active at a position, but the same everywhere."
    )
    return Section("What a sparse autoencoder explains", [Table(columns, rows, caption)])


def _units(one: Looked) -> Section:
    rows = []
    for ranked in one.result.summary["ranking"][:SHOWN]:
        for place, facet in enumerate(facets_of(one.result, Unit.parse(ranked["unit"]).index)):
            rows.append(
                (
                    ranked["unit"] if place == 0 else "",
                    f"{ranked['score']:.1f}" if place == 0 else "",
                    f"{ranked['q']:.2g}" if place == 0 else "",
                    len(facet.rows),
                    ", ".join(facet.inputs[:4]),
                    facet.told_by,
                    cell(_round(facet.told)),
                )
            )
    columns = ("unit", "score", "q", "images", "built from", "told apart by", "AUROC")
    caption = f"The {SHOWN} surest units, a line a facet; inputs that differ most from the unit's other facets."
    content: list[str | Table] = [Table(columns, rows, caption)] if rows else ["No unit has several facets."]
    return Section(f"{one.ref}: units of {one.layer}", content)


def _missing(found: Sequence[Looked], work: Work) -> Section:
    said = []
    for one in found:
        untested = one.result.summary["untested"]
        if untested:
            said.append(f"{one.layer}: {len(untested)} units are driven by fewer than 20 concepts and were not tested.")
    said.append(
        "A facet is a cluster of what a unit is built from on its strongest images of this set: another set may show others, and facets "
        "that a person would call one thing (left and right of the same) count as several."
    )
    said.append("Whether people find facets purer than units is not asked here; it needs blind labels.")
    if work.quick:
        said.append(
            f"Quick: {UNITS[True]} units of {LAYERS[True]} layer, {TWINS[True]} twin, autoencoders of {LATENTS[True]} latents and "
            f"{UPDATES[True]} updates, which are not trained to the end; --budget full takes all units of {LAYERS[False]} layers, "
            f"{TWINS[False]} twins and {UPDATES[False]:,} updates."
        )
    return Section("What this could not see", [*said, *work.left()])


def _round(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(float(value), 2)
