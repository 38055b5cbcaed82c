"""Problem 7.5: which families of early vision a network has, and how much performance comes back when they are written by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from workbench.analyses.hand_coding import EarlyFamilies, HandCodedHighLow, HandCoding
from workbench.input_error import InputError
from workbench.report_page import Drawing, Section, Table, as_svg
from workbench.reports.hand_coded_curves import percent, recovered_table
from workbench.reports.report import Findings, Work, answers, cell, short

if TYPE_CHECKING:
    from workbench.analyses.analysis import Result

MODELS = ("bundled:inception", "bundled:efficientnet-lite0")
LARGE = 100
"""Pixels of the image's side from which a network is slow enough to be shown fewer images."""
FAMILIES_OF, HIGH_LOW = "families", "high_low"
"""What is asked of each network: about its first layer, and about high-low frequency detectors behind it."""
TOGETHER, NEAREST, WRITTEN = "all families", "nearest templates", "high_low_frequency"
"""What is written: the units of the first layer that are of a family; all of them where none is; the detectors behind it."""
NEAREST_UNITS = 6
"""High-low frequency detectors, or the units most like them, that are listed."""
FAMILIES = {True: 3, False: 20}
"""Families of each network, the ones with most units, that are written alone as well: quick, full."""


@answers("7.5", "Which families of early vision a network has, and what each brings back when it is written by hand", MODELS)
def early_vision(work: Work) -> Findings:
    """Compare first layers with templates and with random-weight twins, look for high-low frequency; write the families that are there."""
    work.expect(4 * len(work.models))

    def measured(ref: str) -> dict[str, Result]:
        large = max(work.model(ref).preprocessing.size) > LARGE
        number, fitted, shuffles = (2048, 512, 20) if not work.quick else (96, 48, 3) if large else (384, 128, 3)
        sizes: dict[str, Any] = {"images": number, "fit_images": fitted, "shuffles": shuffles, "batch": 4 if large else 64}
        few: dict[str, Any] = {"draws": 600} if work.quick else {}
        found = {FAMILIES_OF: work.run(f"{short(ref)}-families", EarlyFamilies(**few), ref)}
        present = [one for one in found[FAMILIES_OF].summary["units"] if one["present"]]
        wanted = {TOGETHER: present} if present else {NEAREST: found[FAMILIES_OF].summary["units"]}
        for family, _ in Counter(one["family"] for one in present).most_common(FAMILIES[work.quick]):
            wanted[str(family)] = [one for one in present if one["family"] == family]
        try:
            analysis = HandCodedHighLow(scales=1, twins=10) if work.quick and large else HandCodedHighLow()
            found[HIGH_LOW] = work.run(f"{short(ref)}-high-low", analysis, ref)
            detectors = _written_units(found[HIGH_LOW].summary)
            wanted |= {WRITTEN: detectors} if detectors else {}
        except InputError as error:
            work.refused.append(f"{ref}, high-low frequency: {error}")
        for family, units in wanted.items():
            coding = HandCoding(edits=tuple(one["edit"] for one in units), **sizes)
            found[family] = work.run(f"{short(ref)}-{short(family)}", coding, ref)
        return found

    found = work.each(measured)
    names = {family: family.replace("_", " ") for results in found.values() for family, _ in _written(results)}
    figures = {ref: _plain(results) for ref, results in found.items()}
    networks = (_network(ref, results) for ref, results in found.items())
    return Findings([_answer(found), recovered_table(found, names), *networks, _missing(found, work)], figures)


def _written(results: Mapping[str, Result]) -> list[tuple[str, Result]]:
    return [(family, result) for family, result in results.items() if family not in (FAMILIES_OF, HIGH_LOW)]


def _written_units(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [one for one in told["units"] if one["beyond"] and "edit" in one]


def _plain(results: Mapping[str, Result]) -> dict[str, Any]:
    keys = ("recovered", "recovered_low", "recovered_high", "refused")
    told: dict[str, Any] = {"families": dict(results[FAMILIES_OF].summary["families"])}
    told |= {family: {key: one.summary.get(key) for key in keys} for family, one in _written(results)}
    if HIGH_LOW in results:
        summary = results[HIGH_LOW].summary
        names = ("layer", "looked_through", "beyond_twins_of", "highest", "twin_highest", "visible", "unwritable")
        units = [{name: one[name] for name in ("unit", "score", "prefers", "beyond")} for one in summary["units"][:NEAREST_UNITS]]
        told[HIGH_LOW] = {name: summary[name] for name in names} | {"units": units}
    return told


def _answer(found: Mapping[str, Mapping[str, Result]]) -> Section:
    said = []
    for ref, results in found.items():
        summary = results[FAMILIES_OF].summary
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
        brought = {family: _brought(family, result.summary) for family, result in _written(results)}
        said.append(" ".join([line, *(one for family, one in brought.items() if family != WRITTEN)]))
        if HIGH_LOW in results:
            said.append(f"{ref}: {_high_low(results[HIGH_LOW].summary)} {brought.get(WRITTEN, '')}".rstrip())
    return Section("Answer", said)


def _brought(family: str, told: Mapping[str, Any]) -> str:
    known = told.get("shuffled_mean") is not None
    null = f" (shuffled {told['shuffled_mean']:.0%}, at most {told['shuffled_max']:.0%})" if known else ""
    return f"Written by hand, {family.replace('_', ' ')} ({len(told['units'])} units) bring back {percent(told)}{null}."


def _high_low(told: Mapping[str, Any]) -> str:
    """Say whether there are high-low frequency detectors, and what else could have been seen."""
    units = sum(told["looked_through"].values())
    there = {layer: number for layer, number in told["beyond_twins_of"].items() if number}
    looked = f"of {units} units of {', '.join(told['looked_through'])}"
    scores = f"(score {told['highest']:.2f} at most, theirs {told['twin_highest']:.2f}, an ideal detector's 0.79)"
    if there:
        number = sum(there.values())
        named = told["layer"] if len(there) == 1 else ", ".join(f"{layer} ({one})" for layer, one in there.items())
        said = f"{number} high-low frequency detector{'s' if number > 1 else ''} in {named}: "
        said += f"{looked}, {'these prefer' if number > 1 else 'this one prefers'} fine texture on one side and coarse on the "
        said += "other more than"
    else:
        said = f"no high-low frequency detectors: {looked}, none prefers fine texture on one side and coarse on the other more than"
    said += f" every unit of {told['twins']} random-weight twins {scores}."
    if told["visible"] is None and not there:
        said += " Not even an ideal detector of the size of these units would have been found four times out of five."
    elif told["visible"] is not None:
        said += f" Were an ideal detector's response added to a unit of {told['layer']}, the unit would be found four times out of five if "
        said += f"what was added had {told['visible']:.0%} or more of the mean square of both together."
    if 0 < (written := len(_written_units(told))) < sum(there.values()):
        said += f" Written were the {written} highest of {told['layer']}."
    if there and told["unwritable"]:
        said += f" They could not be written by the template: {told['unwritable']}."
    return said


def _network(ref: str, results: Mapping[str, Result]) -> Section:
    summary = results[FAMILIES_OF].summary
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
    shown = [(FAMILIES_OF, results[FAMILIES_OF]), *_written(results)[:1]]
    if HIGH_LOW in results:
        parts.append(_detectors(results[HIGH_LOW].summary))
        shown += [(name, results[name]) for name in (HIGH_LOW, WRITTEN) if name in results]
    for name, result in shown:
        for drawn, figure in result.figures().items():
            parts.append(Drawing(f"{ref}: {name.replace('_', ' ')}, {drawn}", as_svg(figure, f"{short(ref)}-{short(name)}-{drawn}")))
    return Section(ref, parts)


def _detectors(told: Mapping[str, Any]) -> Table:
    """List the units with the highest scores."""
    rows = [
        (
            one["unit"],
            cell(one["score"]),
            "yes" if one["beyond"] else "no",
            f"{one['prefers']:.0f}°",
            cell(one.get("held_out")),
            cell(one.get("score_by_hand")),
        )
        for one in told["units"][:NEAREST_UNITS]
    ]
    caption = (
        f"High-low frequency: the {len(rows)} units with the highest score of {told['looked_through'][told['layer']]} of {told['layer']}, "
        "before their non-linearity. Score: part of the response to fine beside coarse texture that points to one side, on textures that "
        f"this side was not chosen by; present: more than every unit of every random-weight twin, {told['twin_highest']:.2f}. Fine side: "
        "0° right, 90° above, on all textures. r: correlation of the kernel by hand with the unit on other textures than it was chosen by; "
        "score by hand: that of this kernel in the unit's place."
    )
    if (written := len(_written_units(told))) > len(rows):
        caption += f" {written} units are present and were written."
    if told["unwritable"]:
        caption += f" Nothing was written: {told['unwritable']}."
    return Table(("unit", "score", "present", "fine side", "r", "score by hand"), rows, caption)


def _missing(found: Mapping[str, Mapping[str, Result]], work: Work) -> Section:
    said = [
        f"{ref}, {family.replace('_', ' ')}: {result.summary['refused']}."
        for ref, results in found.items()
        for family, result in _written(results)
        if result.summary["refused"]
    ]
    said.append(
        "Templates are compared with the weights of the first layer, high-low frequency detectors are looked for by their responses: a "
        "unit that answers to fine (or coarse) texture beside anything else counts as well. Complex Gabor detectors need a layer below "
        "them and were not asked about; other families of later layers are not looked for here. What a template leaves unexplained may be "
        "noise of training or structure that nobody has named."
    )
    for ref, results in found.items():
        if WRITTEN in results and (least := results[WRITTEN].summary["detectable"]) is not None:
            told = results[WRITTEN].summary
            said.append(
                f"{ref}, high-low frequency: with n = {told['images']} images and {len(told['units'])} units, a recovery of {least:.0%} "
                "or more would have been told from none four times out of five."
            )
    if work.quick:
        said.append(
            "Quick: few images, three families of each network written alone, and where images are large one pair of frequencies and 10 "
            "twins to tell high-low frequency; --budget full scores 2,048, writes all, and shows three pairs to 20 twins."
        )
    return Section("What this could not see", [*said, *work.left()])
