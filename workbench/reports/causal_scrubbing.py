"""Problem 7.6: causal scrubbing of the claim that curve detectors are computed from line detectors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.analyses.causal_scrubbing import CausalScrubbing
from workbench.analyses.tuning import Tuning
from workbench.input_error import InputError
from workbench.models.affine import before_activation
from workbench.models.layer import Unit
from workbench.models.nearest_source import nearest_source
from workbench.report_page import Drawing, Section, Table, as_svg
from workbench.reports.report import Findings, Work, answers, cell, short

if TYPE_CHECKING:
    from workbench.analyses.analysis import Result

MODELS = ("bundled:planted/curve_net", "bundled:inception")
LAYERS = ("conv2d2", "curve_relu")
"""Where curve detectors are looked for; the first that a network has."""
STRAIGHT = 0.6
"""R2 of the tuning to lines from which a unit is called a line detector."""
EXAMPLES = {True: 512, False: 4096}
NATURAL = {True: 512, False: 4096}
"""Photographs or drawings that the hypothesis is tested on as well, quick and full."""
TURN = "= floor(orientation / 15)"
WITH_RADIUS = f"{TURN} + 100 * round(radius * 1000)"
RIVALS = (
    ("orientation and radius", WITH_RADIUS),
    ("orientation, radius and place", f"{WITH_RADIUS} + 1000000 * (round(x * 500) + 1000 * round(y * 500))"),
    ("what the units do, in 5 bins", "activation / 5"),
)


@dataclass(frozen=True)
class Subject:
    """A curve detector, what it reads, and stimuli around what it prefers."""

    unit: str
    source: str
    lines: tuple[int, ...]
    stimuli: str
    score: float | None


@answers("7.6", "What survives of curve detectors when all but their line detectors' claimed feature is resampled, beside rivals", MODELS)
def causal_scrubbing(work: Work) -> Findings:
    """Scrub one curve detector of each network on curves whose parameters are known, and on the report's images."""
    work.expect(4 * len(work.models))
    subjects = work.each(lambda ref: _subject(work, ref))

    def measured(ref: str) -> dict[str, Result]:
        subject = subjects.get(ref)
        if subject is None:
            return {}
        claim = {"name": "lines", "units": f"{subject.source}:{','.join(map(str, subject.lines))}"}
        curves = json.dumps({"units": subject.unit, "children": [claim | {"feature": TURN}]})
        natural = json.dumps({"units": subject.unit, "children": [claim | {"feature": "activation / 5"}]})
        examples = EXAMPLES[work.quick]
        synthetic = CausalScrubbing(
            hypothesis=curves, rivals=tuple(f"lines={feature}" for _, feature in RIVALS), images=100_000, examples=examples
        )
        found = {"curves": work.run(f"{short(ref)}-curves", synthetic, ref, subject.stimuli)}
        seen = CausalScrubbing(
            hypothesis=natural, rivals=("lines=activation / 20",), read="largest", images=NATURAL[work.quick], examples=examples
        )
        found["images"] = work.run(f"{short(ref)}-images", seen, ref)
        return found

    found = {ref: results for ref, results in work.each(measured).items() if results}
    drawings = [
        Drawing(f"{ref}, on {what}", as_svg(CausalScrubbing.draw(result)["recovered"], f"{short(ref)}-{what}"))
        for ref, results in found.items()
        for what, result in results.items()
    ]
    figures = {
        ref: {what: {"rows": result.summary["rows"], "nodes": result.summary["nodes"]} for what, result in results.items()}
        | {"unit": subjects[ref].unit, "lines": list(subjects[ref].lines)}
        for ref, results in found.items()
    }
    return Findings([_answer(found, subjects), _table(found), Section("Single examples", drawings), _missing(work)], figures)


def _subject(work: Work, ref: str) -> Subject:
    """Choose the unit of a layer that is best tuned to curves, and the line detectors of the layer before it."""
    model = work.model(ref)
    if not model.sees:
        raise InputError("it reads no images")
    layer = next((name for name in LAYERS if name in model.layers), None)
    if layer is None:
        raise InputError(f"it has neither of the layers {', '.join(LAYERS)}")
    tuned = work.run(f"{short(ref)}-tuning", Tuning(layer=layer, twins=0), ref)
    unit = int(tuned.summary["best_unit"])
    before = before_activation(model.graph, Unit(model.layer(layer).name, unit))
    source = nearest_source(model.graph, before.layer)
    if source is None:
        raise InputError(f"{layer} reads the image itself")
    straight = work.run(f"{short(ref)}-lines", Tuning(layer=source, feature="lines", twins=0), ref)
    lines = np.flatnonzero(np.nan_to_num(straight.arrays["r2"]) >= STRAIGHT)
    if not len(lines):
        raise InputError(f"no unit of {source} is tuned to lines (R2 of at least {STRAIGHT:g})")
    best = tuned.summary["best_stimuli"][0]
    radius, width, length = (float(best[name]) for name in ("radius", "width", "length"))
    middle, off = (float(best["x"]), float(best["y"])), 0.04 * tuned.summary["receptive_field"] / min(model.preprocessing.size)
    options = {
        "orientations": "24",
        "radius": ",".join(f"{radius * share:.4g}" for share in (0.7, 1, 1.4)),
        "x": ",".join(f"{middle[0] + step:.4g}" for step in (-off, 0, off)),
        "y": ",".join(f"{middle[1] + step:.4g}" for step in (-off, 0, off)),
        "width": f"{width:.4g}",
        "length": f"{length:.4g}",
        "ink_lightness": f"{best['ink_lightness']:g}",
        "ground_lightness": f"{best['ground_lightness']:g}",
    }
    stimuli = "stimuli:curves?" + "&".join(f"{name}={value}" for name, value in options.items())
    return Subject(f"{model.layer(layer).name}:{unit}", source, tuple(int(line) for line in lines), stimuli, tuned.summary["best_score"])


def _answer(found: Mapping[str, Mapping[str, Result]], subjects: Mapping[str, Subject]) -> Section:
    said = []
    for ref, results in found.items():
        subject = subjects[ref]
        curves, images = results["curves"].summary, results["images"].summary
        rows = {row["name"]: row for row in curves["rows"]}
        rivals = ", ".join(f"{name} {_told(rows[f'lines={feature}'])}" for name, feature in RIVALS)
        nulls = [row["recovered"] for row in curves["rows"] if row["kind"] == "null" and row["recovered"] is not None]
        moved = "" if curves["median_distance"] is None else f" The median example moves by {curves['median_distance']:.2f} of that."
        said.append(
            f"{ref}: {subject.unit} from {len(subject.lines)} line detectors of {subject.source} that carry only the curve's orientation, "
            f"all else resampled: {_told(curves)} of what resampling everything costs is kept, on {curves['images']} curves (nulls at most "
            f"{max(nulls, default=float('nan')):.2f}).{moved} If they carry more: {rivals}. On {images['images']} of the report's images, "
            f"the line detectors' own activation in 5 bins claimed: {_told(images)}."
        )
    return Section("Answer", said)


def _told(row: Mapping[str, Any]) -> str:
    if row["recovered"] is None:
        return "unknown"
    return f"{row['recovered']:.2f} [{row['recovered_low']:.2f}, {row['recovered_high']:.2f}]"


def _table(found: Mapping[str, Mapping[str, Result]]) -> Section:
    columns = ("network", "on", "what", "", "recovered", "from", "to", "median example")
    names = ("recovered", "recovered_low", "recovered_high", "median_distance")
    cells = [
        (ref, what, row["kind"], row["name"], *(cell(row[name]) for name in names))
        for ref, results in found.items()
        for what, result in results.items()
        for row in result.summary["rows"]
    ]
    caption = (
        "Recovered: 1 - L(scrubbed) / L(everything resampled), L the squared distance of the unit's activation from the clean one. "
        "Median example: median squared distance over the median with everything resampled. Nulls: nothing claimed; as many other units "
        "of the layer."
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
        "The hypothesis has two levels: a curve detector and line detectors of the layer it reads, their whole maps taken together. Which "
        "line stands where along the arc, and what lines are made of, is not tested; `main.py run CausalScrubbing` takes deeper trees.",
        f"Line detectors are units with an R2 of at least {STRAIGHT:g} for lines, without a null of their own.",
        "On natural images the only features known are what units do: bins of activation claim much and say little.",
    ]
    return Section("What this could not see", [*said, *work.left()])
