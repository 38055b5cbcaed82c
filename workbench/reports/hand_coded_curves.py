"""Problem 7.4: curve detectors written by hand, in grey and in colour, and how much of the performance they bring back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.analyses.hand_coding import HandCodedCurves, HandCoding
from workbench.bootstrap import ratio_of_means
from workbench.kernel_edits import KernelEdit
from workbench.report_page import Drawing, Section, Table, as_svg
from workbench.reports.report import Findings, Work, answers, cell, short

if TYPE_CHECKING:
    from workbench.analyses.analysis import Result

IMAGES: dict[bool, dict[str, Any]] = {
    True: {"images": 1536, "fit_images": 256, "shuffles": 5},
    False: {"images": 2048, "fit_images": 512, "shuffles": 20},
}
"""Of the measurement of what is recovered: quick, full."""
KINDS = {"grey": "in grey", "colour": "in colour", "own": "own kernels put back (a check)"}
COLUMNS = ("network", "kernels", "recovered", "95 %", "accuracy", "ablated", "by hand", "offset alone", "shuffled", "most", "McNemar p")


@answers("7.4", "Curve detectors of tangents written by hand, in grey and in colour, beside shuffled kernels", ("bundled:inception",))
def hand_coded_curves(work: Work) -> Findings:
    """Find the family that is most like curve detectors, write it twice, and measure both on the same images."""
    work.expect(5 * len(work.models))

    def measured(ref: str) -> dict[str, Result]:
        found = {"family": work.run(f"{short(ref)}-curves-grey", HandCodedCurves(colour=False), ref)}
        layer = str(found["family"].summary["layer"])
        # The null is that of the run in grey: which units are curve detectors does not depend on the colour of their kernels.
        found["family colour"] = work.run(f"{short(ref)}-curves-colour", HandCodedCurves(layer=layer, twins=1), ref)
        kernels = {"grey": _edits(found["family"]), "colour": _edits(found["family colour"])}
        first: Result | None = None
        for kind, edits in kernels.items():
            found[kind] = first = work.run(f"{short(ref)}-{kind}", HandCoding(edits=edits, **IMAGES[work.quick]), ref)
        assert first is not None
        own: list[Any] = [
            KernelEdit(*_unit(one["unit"]), first.arrays[f"own/{place}"]).document() for place, one in enumerate(first.summary["units"])
        ]
        found["own"] = work.run(f"{short(ref)}-own", HandCoding(edits=tuple(own), **IMAGES[work.quick] | {"shuffles": 0}), ref)
        return found

    found = work.each(measured)
    figures = {
        ref: {kind: _plain(one[kind]) for kind in KINDS} | {"colour_over_grey": difference(one["grey"], one["colour"])}
        for ref, one in found.items()
    }
    networks = (_network(ref, results) for ref, results in found.items())
    return Findings([_answer(found, figures), recovered_table(found, KINDS), *networks, _missing(found, work)], figures)


def _edits(result: Result) -> tuple[Any, ...]:
    return tuple(one["edit"] for one in result.summary["units"])


def _unit(address: str) -> tuple[str, int]:
    layer, _, index = address.rpartition(":")
    return layer, int(index)


def _plain(result: Result) -> dict[str, Any]:
    names = ("recovered", "recovered_low", "recovered_high", "refused", "shuffled_mean", "shuffled_max", "images", "lost")
    return {name: result.summary.get(name) for name in names}


def difference(grey: Result, colour: Result) -> dict[str, float]:
    """Return by how much the loss is smaller in colour than in grey, in nats an image with its interval, on the same images."""
    one = ratio_of_means(grey.arrays["loss_hand"] - colour.arrays["loss_hand"], grey.arrays["group"], 0)
    return {"value": one.value, "low": one.low, "high": one.high, "detectable": one.detectable}


def _around(value: float | None, low: float | None, high: float | None) -> str:
    """Say a loss with its interval, as far as both are known."""
    if value is None or not np.isfinite(value):
        return "an unknown amount"
    known = low is not None and high is not None and bool(np.isfinite([low, high]).all())
    return f"{value:.3g}" + (f" [{low:.3g}, {high:.3g}]" if known else "")


def percent(summary: Mapping[str, Any]) -> str:
    """Say what is recovered, with its interval, or that nothing can be said."""
    if summary["recovered"] is None:
        return "nothing that could be told from noise"
    low, high = summary["recovered_low"], summary["recovered_high"]
    return f"{summary['recovered']:.0%}" + ("" if low is None or high is None else f" [{low:.0%}, {high:.0%}]")


def rows_of(found: Mapping[str, Mapping[str, Result]], kinds: Mapping[str, str]) -> list[tuple[str | int | float, ...]]:
    """Return a row for each network and each kind of kernels."""
    rows: list[tuple[str | int | float, ...]] = []
    for ref, results in found.items():
        for kind in (kind for kind in kinds if kind in results):
            summary = results[kind].summary
            accuracy = [_share(summary.get(f"accuracy_{row}")) for row in ("full", "ablated", "hand")]
            low, high = summary["recovered_low"], summary["recovered_high"]
            around = "-" if low is None or high is None else f"{low:.1%} to {high:.1%}"
            share = "within noise" if summary["recovered"] is None else f"{summary['recovered']:.1%}"
            p = f"{summary['mcnemar']['hand_ablated']['p']:.2g}" if "mcnemar" in summary else "-"
            null = [cell(None if summary.get(name) is None else f"{summary[name]:.1%}") for name in ("shuffled_mean", "shuffled_max")]
            rows.append((ref, kinds[kind], share, around, *accuracy, _share(summary["offset_recovered"]), *null, p))
    return rows


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def recovered_table(found: Mapping[str, Mapping[str, Result]], kinds: Mapping[str, str]) -> Section:
    """Return the table of what is recovered."""
    tasks = dict.fromkeys(str(results[kind].summary["task"]) for results in found.values() for kind in kinds if kind in results)
    caption = (
        f"Recovered: (by hand - ablated) / (whole - ablated) of the mean {' or '.join(tasks)}; ablated: the units at their "
        "mean. Scale and offset of each kernel, and the means, are fitted on one half of the concepts, everything is scored on the other. "
        "Shuffled: the same kernels with their entries in another order, fitted alike. McNemar: which images are right, by hand and "
        "ablated, with images taken as independent of one another (intervals are drawn by concept). Accuracy: of the whole network, with "
        "the units ablated, and with the kernels by hand."
    )
    return Section("What comes back", [Table(COLUMNS, rows_of(found, kinds), caption)])


def _answer(found: Mapping[str, Mapping[str, Result]], figures: Mapping[str, Any]) -> Section:
    said = []
    for ref, results in found.items():
        family, grey, colour = results["family"].summary, results["grey"].summary, results["colour"].summary
        apart = figures[ref]["colour_over_grey"]
        known = [one["score"] for one in family["units"] if one["score"] is not None]
        beyond = sum(score > family["twin_highest"] for score in known)
        lost = _around(grey["lost"], grey["lost_low"], grey["lost_high"])
        held = [one["held_out"] for one in family["units"] if one["held_out"] is not None]
        said.append(
            f"{ref}: {len(family['units'])} units of {family['layer']} that answer most to one direction of curve were written as tangents "
            f"along an arc of {family['line_detectors']} line detectors of {family['reads']}. Of what the network loses without them "
            f"({lost} nats an image), {percent(grey)} comes back in grey and "
            f"{percent(colour)} in colour; with shuffled kernels {_share(grey.get('shuffled_mean'))} (at most "
            f"{_share(grey.get('shuffled_max'))})."
            f" Colour lowers the loss by {_around(apart['value'], apart['low'], apart['high'])} nats an image more than grey."
        )
        said.append(
            f"{beyond} of these {len(family['units'])} are more selective than every unit of {family['twins']} random-weight twins "
            f"(highest score {family['twin_highest']:.2f}, theirs {max(known, default=0.0):.2f} at most); of the whole layer "
            f"{family['beyond_twins']} are"
            + (": strictly, none of the first layers has curve detectors, and these are the units most like them." if not beyond else ".")
            + (f" On curves of other radii, kernels correlate with their units by {np.median(held):.2f} in the median." if held else "")
        )
        if grey["refused"]:
            said.append(f"{ref}: {grey['refused']}.")
    return Section("Answer", said)


def _network(ref: str, results: Mapping[str, Result]) -> Section:
    parts: list[Any] = []
    rows = []
    for one, other in zip(results["family"].summary["units"], results["family colour"].summary["units"], strict=True):
        values = one["parameters"]
        numbers = (f"{values[name]:.3g}" for name in ("radius", "echo", "across"))
        hue = other["parameters"].get("hue")
        rows.append(
            (
                one["unit"],
                cell(one["score"]),
                f"{one['prefers']:.0f}°",
                *numbers,
                cell(one["held_out"]),
                "-" if hue is None else f"{hue:.0f}°",
                cell(other["held_out"]),
            )
        )
    columns = ("unit", "score", "prefers", "radius, cells", "echo", "across", "r in grey", "hue", "r in colour")
    parts.append(Table(columns, rows, "r: correlation with the unit on black and white curves of radii that were not fitted on."))
    for kind in ("family", "grey", "colour"):
        for name, drawn in results[kind].figures().items():
            parts.append(Drawing(f"{ref}: {kind}, {name}", as_svg(drawn, f"{short(ref)}-{kind}-{name}")))
    return Section(ref, parts)


def _missing(found: Mapping[str, Mapping[str, Result]], work: Work) -> Section:
    said = [
        f"{ref}: with n = {one['grey'].summary['images']} images and {len(one['grey'].summary['units'])} units, a recovery of "
        f"{one['grey'].summary['detectable']:.0%} or more would have been told from none four times out of five."
        for ref, one in found.items()
        if one["grey"].summary["detectable"] is not None
    ]
    said.append(
        "The layer below is taken as it is: its units are not all line detectors, and what they detect beside lines is not written. The "
        "figures of Curve Circuits itself need InceptionV1's own weights, which are not in this box."
    )
    if work.quick:
        said.append(f"Quick: {IMAGES[True]['images']} images; --budget full scores {IMAGES[False]['images']:,}.")
    return Section("What this could not see", [*said, *work.left()])
