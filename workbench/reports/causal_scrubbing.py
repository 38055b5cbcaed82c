"""Problem 7.6: causal scrubbing of the claim that curve detectors are computed from line detectors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.analyses.causal_scrubbing import CausalScrubbing, Read
from workbench.analyses.tuning import Tuning
from workbench.input_error import InputError
from workbench.models.layer import Unit
from workbench.report_page import Drawing, Section, Table, as_svg
from workbench.reports.report import Findings, Work, answers, cell, short
from workbench.tuned.curve_hypothesis import RIVALS, STRAIGHT, TURN, CurveTemplate, curve_template

if TYPE_CHECKING:
    from workbench.analyses.analysis import Result

MODELS = ("bundled:planted/curve_net", "bundled:inception")
LAYERS = ("conv2d2", "curve_relu")
"""Where curve detectors are looked for; the first that a network has."""
EXAMPLES = {True: 256, False: 4096}
NATURAL = {True: 512, False: 4096}
"""Photographs or drawings that the hypothesis is tested on as well, quick and full."""

@dataclass(frozen=True)
class Subject:
    """A curve detector, the curve hypothesis about it, and how well it is tuned."""

    unit: str
    template: CurveTemplate
    score: float | None

    @property
    def flat(self) -> dict[str, Any]:
        """The line detectors as one node, whole maps."""
        layer, lines = self.template.lines
        return {"name": "lines", "units": f"{layer}:{','.join(map(str, lines))}"}


@answers("7.6", "What survives of curve detectors when all but their line detectors' claimed feature is resampled, beside rivals", MODELS)
def causal_scrubbing(work: Work) -> Findings:
    """Scrub one curve detector of each network on curves whose parameters are known, and on the report's images."""
    work.expect(4 * len(work.models))
    subjects = work.each(lambda ref: _subject(work, ref))

    def measured(ref: str) -> dict[str, Result]:
        subject = subjects.get(ref)
        if subject is None:
            return {}
        everywhere = json.dumps({"units": subject.unit, "children": [subject.flat | {"feature": TURN}]})
        natural = json.dumps({"units": subject.unit, "children": [subject.flat | {"feature": "activation / 5"}]})
        examples, rivals = EXAMPLES[work.quick], subject.template.hypothesis.rivals
        asked: dict[str, tuple[str, tuple[str, ...], Read]] = {
            "curves": (subject.template.hypothesis.to_json(), rivals, "centre"),
            "whole maps": (everywhere, rivals, "centre"),
            "images": (natural, ("lines=activation / 20",), "largest"),
        }
        found = {}
        for name, (hypothesis, against, read) in asked.items():
            limit = NATURAL[work.quick] if name == "images" else 100_000
            analysis = CausalScrubbing(hypothesis=hypothesis, rivals=against, read=read, images=limit, examples=examples)
            on = () if name == "images" else (subject.template.stimuli,)
            found[name] = work.run(f"{short(ref)}-{name.replace(' ', '-')}", analysis, ref, *on)
        return found

    found = {ref: results for ref, results in work.each(measured).items() if results}
    drawings = [
        Drawing(f"{ref}, on {what}", as_svg(CausalScrubbing.draw(result)["recovered"], f"{short(ref)}-{what}"))
        for ref, results in found.items()
        for what, result in results.items()
    ]
    figures = {
        ref: {what: {"rows": result.summary["rows"], "nodes": result.summary["nodes"]} for what, result in results.items()}
        | {"unit": subjects[ref].unit, "lines": list(subjects[ref].template.lines[1])}
        | {"hypothesis": subjects[ref].template.hypothesis.document()}
        for ref, results in found.items()
    }
    return Findings([_answer(found, subjects), _table(found), Section("Single examples", drawings), _missing(work)], figures)


def _subject(work: Work, ref: str) -> Subject:
    """Choose the unit of a layer that is best tuned to curves, and write the curve hypothesis about it."""
    model = work.model(ref)
    if not model.sees:
        raise InputError("it reads no images")
    layer = next((name for name in LAYERS if name in model.layers), None)
    if layer is None:
        raise InputError(f"it has neither of the layers {', '.join(LAYERS)}")
    tuned = work.run(f"{short(ref)}-tuning", Tuning(layer=layer, twins=0), ref)
    unit = Unit(model.layer(layer).name, int(tuned.summary["best_unit"]))
    return Subject(str(unit), curve_template(model, unit), tuned.summary["best_score"])


def _answer(found: Mapping[str, Mapping[str, Result]], subjects: Mapping[str, Subject]) -> Section:
    said = []
    for ref, results in found.items():
        subject = subjects[ref]
        curves, flat, images = (results[name].summary for name in ("curves", "whole maps", "images"))
        rows = {row["kind"]: row for row in curves["rows"]}
        others = {row["name"]: row for row in curves["rows"] if row["kind"] == "rival"}
        rivals = ", ".join(f"{name} {_told(others[f'*={feature}'])}" for name, feature in RIVALS)
        nulls = [row["recovered"] for row in curves["rows"] if row["kind"] == "random" and row["recovered"] is not None]
        moved = "" if curves["median_distance"] is None else f" The median example moves by {curves['median_distance']:.2f} of that."
        nodes = len(curves["nodes"])
        said.append(
            f"{ref}: {subject.template.about} The hypothesis of {nodes} nodes below {subject.unit} (tangents along the arc excite, lines "
            "across inhibit, Gabor filters below where there are any; all carry only the curve's direction, to 15°) keeps "
            f"{_told(curves)} of what resampling everything costs, on {curves['images']} curves. The same units with all they do, where "
            f"they stand, keep {_told(rows['whole'])}: what their features are measured by. Without a hypothesis "
            f"{_told(rows['nothing'])}, as many other units at the same cells at most {max(nulls, default=float('nan')):.2f}; "
            f"nothing resampled {_told(rows['identity'])}.{moved} If they carry more: {rivals}."
        )
        said.append(
            f"{ref}, without places: {len(subject.template.lines[1])} line detectors of {subject.template.lines[0]}, their whole maps "
            f"carrying the curve's direction, keep {_told(flat)}. On {images['images']} of the report's images, their own activation in 5 "
            f"bins claimed: {_told(images)}."
        )
    return Section("Answer", said)


def _told(row: Mapping[str, Any]) -> str:
    if row["recovered"] is None:
        return f"unknown ({row['refused']})" if row.get("refused") else "unknown"
    if row["recovered_low"] is None or row["recovered_high"] is None:
        return f"{row['recovered']:.2f} (no interval: all examples are of one concept)"
    return f"{row['recovered']:.2f} [{row['recovered_low']:.2f}, {row['recovered_high']:.2f}]"


def _table(found: Mapping[str, Mapping[str, Result]]) -> Section:
    columns = ("network", "on", "what", "", "recovered", "from", "to", "detectable", "median example")
    names = ("recovered", "recovered_low", "recovered_high", "detectable", "median_distance")
    cells = [
        (ref, what, row["kind"], row["name"], *(cell(row[name]) for name in names))
        for ref, results in found.items()
        for what, result in results.items()
        for row in result.summary["rows"]
    ]
    caption = (
        "Recovered: 1 - L(scrubbed) / L(everything resampled), L the squared distance of the unit's activation from the clean one. "
        "Detectable: the smallest effect that this run could have found. Median example: median squared distance over the median with "
        "everything resampled. Nulls: nothing resampled (must be 1); the "
        "units of the tree with all they do; nothing claimed; as many other units of the layers."
    )
    nodes = [
        (ref, what, node["name"], node["feature"], node["labels"], node["least"], cell(node["itself"]))
        for ref, results in found.items()
        for what, result in results.items()
        for node in result.summary["nodes"]
    ]
    occupied = Table(
        ("network", "on", "node", "feature", "labels", "images of the rarest", "drawn itself"),
        nodes,
        "Drawn itself: part of the draws that give the same image back and change nothing; they make a hypothesis look better than it is.",
    )
    return Section("What is recovered", [Table(columns, cells, caption), occupied])


def _missing(work: Work) -> Section:
    said = [
        "The arc is cut into at most five pieces, and every piece is claimed to carry the direction of the whole curve: where exactly a "
        "line stands within a piece is not tested. The panel Scrubbing and `main.py run CausalScrubbing` take other trees.",
        f"Line detectors are units with an R2 of at least {STRAIGHT:g} for lines, without a null of their own.",
        "On natural images the only features known are what units do: bins of activation claim much and say little. Images are resampled, "
        "not positions in them, so there the hypothesis is that of whole maps.",
    ]
    return Section("What this could not see", [*said, *work.left()])
