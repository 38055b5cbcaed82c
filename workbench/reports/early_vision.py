"""Problem 7.5: which families of early vision a first layer has, and how much performance comes back when they are written by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from workbench.analyses.hand_coding import EarlyFamilies, HandCoding
from workbench.report_page import Drawing, Section, Table, as_svg
from workbench.reports.hand_coded_curves import percent, recovered_table
from workbench.reports.report import Findings, Work, answers, cell, short

if TYPE_CHECKING:
    from workbench.analyses.analysis import Result

MODELS = ("bundled:inception", "bundled:efficientnet-lite0")
LARGE = 100
"""Pixels of the image's side from which a network is slow enough to be shown fewer images."""
TOGETHER, NEAREST = "all families", "nearest templates"
"""What is written: the units that are of a family; all units where none is."""
FAMILIES = {True: 3, False: 20}
"""Families of each network, the ones with most units, that are written alone as well: quick, full."""


@answers("7.5", "Which families of early vision the first layer has, and what each brings back when it is written by hand", MODELS)
def early_vision(work: Work) -> Findings:
    """Compare first layers with templates and with random-weight twins; write those families that are there."""
    work.expect(3 * len(work.models))

    def measured(ref: str) -> dict[str, Result]:
        large = max(work.model(ref).preprocessing.size) > LARGE
        number, fitted, shuffles = (2048, 512, 20) if not work.quick else (96, 48, 3) if large else (384, 128, 3)
        sizes: dict[str, Any] = {"images": number, "fit_images": fitted, "shuffles": shuffles, "batch": 16 if large else 64}
        few: dict[str, Any] = {"draws": 600} if work.quick else {}
        found = {"families": work.run(f"{short(ref)}-families", EarlyFamilies(**few), ref)}
        present = [one for one in found["families"].summary["units"] if one["present"]]
        wanted = {TOGETHER: present} if present else {NEAREST: found["families"].summary["units"]}
        for family, _ in Counter(one["family"] for one in present).most_common(FAMILIES[work.quick]):
            wanted[str(family)] = [one for one in present if one["family"] == family]
        for family, units in wanted.items():
            analysis = HandCoding(edits=tuple(one["edit"] for one in units), **sizes)
            found[family] = work.run(f"{short(ref)}-{short(family)}", analysis, ref)
        return found

    found = work.each(measured)
    names = {family: family.replace("_", " ") for results in found.values() for family in results if family != "families"}
    keys = ("recovered", "recovered_low", "recovered_high", "refused")
    figures: dict[str, Any] = {
        ref: {"families": dict(results["families"].summary["families"])}
        | {family: {key: one.summary.get(key) for key in keys} for family, one in _written(results)}
        for ref, results in found.items()
    }
    networks = (_network(ref, results) for ref, results in found.items())
    return Findings([_answer(found), recovered_table(found, names), *networks, _missing(found, work)], figures)


def _written(results: Mapping[str, Result]) -> list[tuple[str, Result]]:
    return [(family, result) for family, result in results.items() if family != "families"]


def _answer(found: Mapping[str, Mapping[str, Result]]) -> Section:
    said = []
    for ref, results in found.items():
        summary = results["families"].summary
        there = {family: told for family, told in summary["families"].items() if told["present"]}
        listed = ", ".join(f"{told['present']} {family.replace('_', ' ')}" for family, told in there.items())
        lacking = ", ".join(family.replace("_", " ") for family in summary["families"] if family not in there)
        line = (
            f"{ref}: of {len(summary['units'])} units of {summary['layer']}, {listed or 'none'} are more like a template than any unit of "
            f"{summary['twins']} random-weight twins (which reach {summary['twin_highest']:.2f}) and than any of the layer's own kernels "
            f"with random phases, {summary['twins']} times (which reach {summary['phase_highest']:.2f})."
        )
        line += f" Not found: {lacking}." if lacking else ""
        if not there:
            line += " Strictly, then, no family is told from smooth noise; every unit was written as what it is most like."
        for family, result in _written(results):
            told = result.summary
            known = told.get("shuffled_mean") is not None
            null = f" (shuffled {told['shuffled_mean']:.0%}, at most {told['shuffled_max']:.0%})" if known else ""
            line += f" Written by hand, {family.replace('_', ' ')} ({len(told['units'])} units) bring back {percent(told)}{null}."
        said.append(line)
    return Section("Answer", said)


def _network(ref: str, results: Mapping[str, Result]) -> Section:
    summary = results["families"].summary
    rows = [
        (
            one["unit"],
            one["family"].replace("_", " ") + (", sign turned" if one["sign"] < 0 else ""),
            cell(one["fit"]),
            "yes" if one["present"] else "no",
            ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in one["parameters"].items()),
        )
        for one in summary["units"]
    ]
    caption = (
        "Fit: part of the kernel, colours and all, that the template explains. Present: more than the best of both nulls, twins "
        f"{summary['twin_highest']:.2f} and own kernels with random phases {summary['phase_highest']:.2f}."
    )
    parts: list[Any] = [Table(("unit", "most like", "fit", "present", "parameters"), rows, caption)]
    for name, result in (("families", results["families"]), *_written(results)[:1]):
        for drawn, figure in result.figures().items():
            parts.append(Drawing(f"{ref}: {name}, {drawn}", as_svg(figure, f"{short(ref)}-{short(name)}-{drawn}")))
    return Section(ref, parts)


def _missing(found: Mapping[str, Mapping[str, Result]], work: Work) -> Section:
    said = [
        f"{ref}, {family.replace('_', ' ')}: {result.summary['refused']}."
        for ref, results in found.items()
        for family, result in _written(results)
        if result.summary["refused"]
    ]
    said.append(
        "Templates are compared with the weights of the first layer. High-low frequency and complex Gabor detectors need a layer below "
        "them and were not asked about; families of later layers are not looked for here. What a template leaves unexplained may be noise "
        "of training or structure that nobody has named."
    )
    if work.quick:
        said.append("Quick: few images, and three families of each network written alone; --budget full scores 2,048 and writes all.")
    return Section("What this could not see", [*said, *work.left()])
