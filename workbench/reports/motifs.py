"""Problem 7.9: the circuits and motifs in the weights of a whole network, each count beside that of weights without any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workbench.analyses.motifs import Motifs
from workbench.motifs import KINDS, NULLS
from workbench.report_page import Drawing, Section, Table, as_svg
from workbench.reports.report import Findings, Work, answers, cell, short

if TYPE_CHECKING:
    from workbench.analyses.analysis import Result

MODELS = tuple(f"bundled:{name}" for name in ("inception", "resnet", "convnext"))
SHOWN = 4
"""Findings of each kind that are named."""
DRAWS = {True: 5, False: 50}
"""Draws of each null: quick, full."""


@answers("7.9", "Motifs in the weights of whole networks, each count beside that of weights without any", MODELS)
def motifs(work: Work) -> Findings:
    """Search every layer of weights of each network."""
    work.expect(len(work.models))
    found = work.each(lambda ref: work.run(f"{short(ref)}-motifs", Motifs(draws=DRAWS[work.quick]), ref))
    figures = {ref: {"kinds": dict(result.summary["kinds"]), "layers": len(result.summary["layers"])} for ref, result in found.items()}
    networks = (_network(ref, result) for ref, result in found.items())
    return Findings([_answer(found), _counts(found), *networks, _missing(found, work)], figures)


def _answer(found: Mapping[str, Result]) -> Section:
    said = []
    for ref, result in found.items():
        kinds: Mapping[str, Mapping[str, Any]] = result.summary["kinds"]
        more = {kind: counts for kind, counts in kinds.items() if counts["null_most"] is not None and counts["found"] > counts["null_most"]}
        beyond = "; ".join(
            f"{counts['found']} of {KINDS[kind][0].lower()} ({counts['null_mean']:.1f} in {NULLS[kind]}, at most {counts['null_most']})"
            for kind, counts in more.items()
        )
        lost = ", ".join(KINDS[kind][0].lower() for kind in kinds if kind not in more)
        told = f"{ref}: in {len(result.summary['layers'])} layers of weights, {beyond or 'nothing more often than in its null'}."
        said.append(told + (f" No more often than in their null, or not testable: {lost}." if lost else ""))
    return Section("Answer", said)


def _counts(found: Mapping[str, Result]) -> Section:
    columns = ("network", "motif", "tests", "found", "null, mean", "null, most", "smallest score that counts", "draws")
    names = ("tests", "found", "null_mean", "null_most", "detectable")
    rows = [
        (ref, KINDS[kind][0], *(cell(counts[name]) for name in names), result.summary["draws"])
        for ref, result in found.items()
        for kind, counts in result.summary["kinds"].items()
    ]
    alpha = next(iter(found.values())).summary["alpha"] if found else 0.05
    caption = (
        f"Found: q at most {alpha:g}, corrected over all tests of a kind in the network (Benjamini and Hochberg). Null: the same count in "
        "the null that has most of them."
    )
    what = [f"{title}: {text} Null: {NULLS[kind]}." for kind, (title, text) in KINDS.items()]
    return Section("How many, beside chance", [Table(columns, rows, caption), *what])


def _network(ref: str, result: Result) -> Section:
    rows = []
    for kind in result.summary["kinds"]:
        some: Sequence[Mapping[str, Any]] = [finding for finding in result.summary["findings"] if finding["kind"] == kind][:SHOWN]
        rows += [
            (
                KINDS[kind][0] + (" (artefact)" if finding["artefact"] else ""),
                ", ".join(finding["units"][:SHOWN]),
                ", ".join(finding["inputs"][:SHOWN]),
                f"{finding['score']:.2f}",
                f"{finding['q']:.2g}",
                finding["note"],
            )
            for finding in some
        ]
    columns = ("motif", "units", "they read", "score", "q", "note")
    drawn = [Drawing(f"{ref}: {name}", as_svg(figure, f"{short(ref)}-{name}")) for name, figure in result.figures().items()]
    caption = f"The largest scores of each kind, at most {SHOWN}; all are in results/{short(ref)}-motifs"
    return Section(ref, [Table(columns, rows, caption) if rows else "Nothing was found.", *drawn])


def _missing(found: Mapping[str, Result], work: Work) -> Section:
    said = []
    for ref, result in found.items():
        lost = {"dead on these images": "dead", "whose weights are no numbers": "not_numbers", "without weights": "without_weights"}
        told = [f"{count} {what}" for what, name in lost.items() if (count := result.summary[name]["units"])]
        if told:
            said.append(f"{ref}: not judged were units {', '.join(told)} ({result.summary['images']} images).")
    said.append(
        "Motifs are patterns of weights between adjacent layers: what the units of a motif respond to is not looked at here, and a union "
        "that the weights show may be of things that never occur."
    )
    if work.quick:
        said.append(f"Quick: {DRAWS[True]} draws of each null; --budget full takes {DRAWS[False]}.")
    return Section("What this could not see", [*said, *work.left()])
