"""Problems 7.1 and 7.3: how far a ResNet and a ConvNeXt can be reverse engineered, beside other networks in one table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.analyses.explained_fraction import ExplainedFraction
from workbench.analyses.faithfulness import Faithfulness, compare, table
from workbench.analyses.label_selectivity import LabelSelectivity
from workbench.input_error import InputError
from workbench.report_page import Drawing, Section, Table, as_svg
from workbench.reports.report import Findings, Work, answers, cell, short

if TYPE_CHECKING:
    from workbench.analyses.analysis import Result

NETWORKS = tuple(f"bundled:{name}" for name in ("inception", "resnet", "convnext", "vit"))
IMAGES, LAYERS, UNITS = 120, 5, 24
"""Looked at with the budget quick: images, layers of each network, units of each layer."""
KEPT = 0.25
"""Units kept in every layer at once, as a part of those of the smallest."""
LABELLED = 600
"""Images on which labels are compared, with the budget quick."""
TWINS = {True: 1, False: 20}
"""Random-weight twins beside the labels: quick, full."""
NEURONS = re.compile(r"(.*blocks\.\d+)\.mlp\.act")
"""Where the neurons inside a block are, and the block whose output they are added to."""


@answers("7.1", "How few inputs tell what a ResNet's units compute, and what its strongest circuits keep of the task", NETWORKS)
def resnet(work: Work) -> Findings:
    """Compare faithfulness curves of several networks and say what a ResNet is like among them."""
    return _reverse_engineered(work, "resnet", basis=False)


@answers("7.3", "The same of a ConvNeXt, and which basis carries meaning: its stream or the neurons of its blocks", NETWORKS)
def convnext(work: Work) -> Findings:
    """Compare faithfulness curves, and labels read from the stream with labels read from the neurons inside blocks."""
    return _reverse_engineered(work, "convnext", basis=True)


def _reverse_engineered(work: Work, subject: str, basis: bool) -> Findings:
    of_bases = work.each(lambda ref: _bases(list(work.model(ref).layers), 2 if work.quick else 0) if basis else [])
    work.expect(2 * len(work.models) + 2 * sum(map(len, of_bases.values())))
    few: dict[str, Any] = {"images": IMAGES, "spread": LAYERS, "scored": UNITS} if work.quick else {"spread": 1000, "scored": 0}

    def measured(ref: str) -> tuple[Result, Result | None]:
        curves = work.run(f"{short(ref)}-faithfulness", Faithfulness(**few), ref)
        model = work.model(ref)
        inside = [layer for layer in curves.summary["layers"] if model.layer(layer["layer"]).name != model.layer(model.graph.output).name]
        if not inside:
            work.refused.append(f"{ref}, what its units keep together: it has no layer of units before its output")
            return curves, None
        number = max(1, round(KEPT * min(layer["units"] for layer in inside)))
        layers = tuple(layer["layer"] for layer in inside)
        joint = ExplainedFraction(layers=layers, number=number, images=2 * IMAGES if work.quick else 1024)
        return curves, work.run(f"{short(ref)}-explained", joint, ref)

    both = work.each(measured)
    curves = [pair[0] for pair in both.values()]
    fractions = {ref: pair[1] for ref, pair in both.items() if pair[1] is not None}
    rows = table(curves)
    sections = [_answer(rows, fractions, subject), _curves(curves, rows), *([_fraction(fractions)] if fractions else [])]
    figures: dict[str, Any] = {"layers": rows, "explained_fraction": {ref: dict(result.summary) for ref, result in fractions.items()}}
    if basis:
        compared = _bases_compared(work, of_bases)
        sections.insert(1, _which_basis(compared))
        figures["basis"] = compared
    return Findings([*sections, _missing(curves, fractions, rows, work)], figures)


def _answer(rows: Sequence[Mapping[str, Any]], fractions: Mapping[str, Result], subject: str) -> Section:
    said = []
    for ref in sorted(dict.fromkeys(str(row["model"]) for row in rows), key=lambda ref: subject not in ref):
        of = [row for row in rows if row["model"] == ref]
        needed, random = ([_part(row, name) for row in of] for name in ("k_90", "k_90_random"))
        on_task = [(row["task_area"], row["task_area_random"]) for row in of if row["task_area"] is not None]
        told = (
            f"{ref}: the median of {len(of)} layers needs {np.median(needed):.0%} of its inputs to explain 90 % of what its units compute "
            f"(chosen at random {np.median(random):.0%})"
        )
        if on_task:
            own, by_chance = np.median([one for one, _ in on_task]), np.median([np.nan if other is None else other for _, other in on_task])
            told += f"; averaged over log k, {own:.2f} of the task is kept (random {by_chance:.2f}; {len(on_task)} layers)"
        said.append(f"{told}. {_fraction_said(fractions[ref].summary)}" if ref in fractions else f"{told}.")
    return Section("Answer", said)


def _part(row: Mapping[str, Any], name: str) -> float:
    """Return a number of inputs as a part of all; all where even these do not suffice."""
    return 1.0 if row[name] is None else float(row[name] / row["inputs"])


def _curves(curves: Sequence[Result], rows: Sequence[Mapping[str, Any]]) -> Section:
    k, area = ("k half", "k 90 %", "95 %", "random k 90 %"), ("area", "random", "greedy", "task area", "random")
    columns = ("network", "layer", "inputs", "units", *k, *area)
    cells = [
        (
            str(row["network"]),
            str(row["layer"]),
            row["inputs"],
            row["scored"],
            cell(row["k_half"]),
            cell(row["k_90"]),
            f"{_text(row['k_90_low'])} to {_text(row['k_90_high'])}",
            *(cell(row[name]) for name in ("k_90_random", "area", "area_random", "area_greedy", "task_area", "task_area_random")),
        )
        for row in rows
    ]
    caption = (
        "k: strongest inputs kept, the others at their mean; medians over units, 95 % intervals over concepts. Area: mean of the curve "
        "over log k, 1 if one input told everything. Greedy: of some units, each next input the one that brings the sum nearest. Task: all "
        "units of the layer replaced at once, the rest of the network run on."
    )
    drawing = Drawing("Circuit faithfulness of several networks", as_svg(compare(curves), "faithfulness"))
    return Section("Faithfulness curves", [drawing, Table(columns, cells, caption)])


def _fraction_said(summary: Mapping[str, Any]) -> str:
    kept = f"{summary['layers'][0]['kept']} units in each of {len(summary['layers'])} layers, all others ablated at once"
    if summary["within_noise"]:
        return f"With {kept}, nothing can be said: ablating everything costs no more than noise."
    told = f"With {kept}, {_around(summary, 'explained')} of the task is left"
    if "null_max" not in summary:
        return f"{told}."
    return f"{told}; {summary['null_median']:.0%} with as many random units (at most {summary['null_max']:.0%}, p = {summary['p']:.2g})."


def _around(summary: Mapping[str, Any], name: str) -> str:
    low, high = summary.get(f"{name}_low"), summary.get(f"{name}_high")
    return f"{summary[name]:.0%}" + (f" [{low:.0%}, {high:.0%}]" if low is not None and high is not None else "")


def _fraction(fractions: Mapping[str, Result]) -> Section:
    columns = ("network", "layers", "units kept", "of", "task left", "random, median", "random, most", "p", "images", "chosen on")
    rows = []
    for ref, result in fractions.items():
        summary = result.summary
        kept, units = (sum(layer[name] for layer in summary["layers"]) for name in ("kept", "units"))
        left = "within noise" if summary["within_noise"] else _around(summary, "explained")
        beside = [cell(summary.get(name)) for name in ("null_median", "null_max", "p")]
        rows.append((ref, len(summary["layers"]), kept, units, left, *beside, summary["images"], summary["chosen_on"]))
    caption = (
        "Units with the largest first-order effect on the loss, chosen on one half of the images; outside them everything in all these "
        "layers is held at its mean at once. 100 % is the whole network, 0 nothing kept. Random: 20 sets of as many units in each layer."
    )
    drawn = [Drawing(ref, as_svg(result.figures()["explained"], f"{short(ref)}-explained")) for ref, result in fractions.items()]
    return Section("What the strongest units keep of the task together", [Table(columns, rows, caption), *drawn])


def _bases(layers: Sequence[str], number: int) -> list[tuple[str, str]]:
    """Return a block's output in the stream, and its neurons, for `number` blocks from early to late (0: all)."""
    found = [(match[1], name) for name in layers if (match := NEURONS.fullmatch(name)) is not None]
    known = set(layers)
    pairs = [(_stream(block, known), neurons) for block, neurons in found]
    whole = [(stream, neurons) for stream, neurons in pairs if stream]
    if number and len(whole) > number:
        return [whole[place] for place in np.linspace(0, len(whole) - 1, number + 1).round().astype(int)[1:]]
    return whole


def _stream(block: str, layers: set[str]) -> str:
    """Return what the stream is called behind a block: the last block of a stage is called after the stage."""
    return next((name for name in (block, block.rpartition(".blocks.")[0]) if name in layers), "")


def _bases_compared(work: Work, of_bases: Mapping[str, Sequence[tuple[str, str]]]) -> list[dict[str, Any]]:
    """Compare both bases of every block; images without the column are told in `Work.refused`."""
    try:
        return [_basis(work, ref, stream, neurons) for ref, pairs in of_bases.items() for stream, neurons in pairs]
    except InputError as error:
        work.refused.append(f"stream against neurons: {error}")
        return []


def _basis(work: Work, ref: str, stream: str, neurons: str) -> dict[str, Any]:
    """Compare how well single units of either basis separate labels, chosen on one half of the concepts and scored on the other."""
    found: dict[str, Any] = {"model": ref}
    for basis, layer in (("stream", stream), ("neurons", neurons)):
        few: dict[str, Any] = {"sampled": LABELLED} if work.quick else {}
        analysis = LabelSelectivity(layer=layer, columns=("subgroup",), listed=1, twins=TWINS[work.quick], **few)
        result = work.run(f"{short(ref)}-{basis}-{short(layer)}", analysis, ref)
        held_out, above = (result.arrays[name][:, 0] for name in ("listed_auroc", "listed_above"))
        highest = np.nanmax(result.arrays["auroc"], 0)
        found[basis] = {
            "layer": layer,
            "units": len(held_out),
            "auroc": float(np.nanmedian(np.where(above, held_out, 1 - held_out))),
            "best_per_label": float(np.nanmedian(highest)),
            "twins_best_per_label": float(np.nanmedian(result.arrays["twin_highest"].max(0))),
            "labels_beyond_twins": result.summary.get("labels_beyond_twins"),
            "images": result.summary["images"],
            "detectable": result.summary["detectable_auroc"],
        }
    return found


def _which_basis(compared: Sequence[Mapping[str, Any]]) -> Section:
    aurocs = ("AUROC of a unit's label", "best unit of a label", "random weights", "labels a unit beyond")
    columns = ("network", "basis", "layer", "units", *aurocs, "images")
    names = ("layer", "units", "auroc", "best_per_label", "twins_best_per_label", "labels_beyond_twins", "images")
    rows = [(each["model"], basis, *(cell(each[basis][name]) for name in names)) for each in compared for basis in ("stream", "neurons")]
    wins = sum(each["neurons"]["auroc"] > each["stream"]["auroc"] for each in compared)
    said = (
        f"In {wins} of {len(compared)} blocks the median neuron inside the block separates its label better than the median channel of the "
        "stream does: a unit's label and the side of .5 are chosen on one half of the concepts and scored on the other, so that more units "
        "give no advantage and .5 is chance. So few blocks prove no rule. The best unit of a label is the largest of all units of the "
        "layer, beside the same of random weights."
        if compared
        else "No block was compared: these networks have none with a stream and neurons of their own under the names looked for "
        "(blocks.N.mlp.act), or the images no subgroups."
    )
    return Section("Which basis carries meaning", [said, *([Table(columns, rows, "Labels: subgroups of the images")] if rows else [])])


def _missing(curves: Sequence[Result], fractions: Mapping[str, Result], rows: Sequence[Mapping[str, Any]], work: Work) -> Section:
    smallest = [row["area_detectable"] for row in rows if row["area_detectable"] is not None]
    lost = sum(row["left_out"] for row in rows)
    first = curves[0].summary
    said = [
        f"A layer's curve would have been told from random inputs if their areas differed by {np.median(smallest):.3f} (median layer, four "
        "times out of five)."
        if smallest
        else "No layer had enough concepts for an interval.",
        f"Left out of the medians: {lost} units that do not vary on these images or are not finite.",
        "The inputs of a unit are those of one layer of weights: what is said is how sparse each step is, not that a whole path has been "
        "understood. In a residual network the strongest input may be the unit itself, a block earlier. Which inputs mean something is not "
        "asked here; see the evidence of single units (problem 7.11).",
        "The images include concepts that the bundled networks were trained on, so accuracies are higher than their cards say.",
        f"Images: {first['images']} for the curves ({first['task_images']} for the task)."
        + "".join(
            f" For what is kept together {joint.summary['chosen_on']} to choose and {joint.summary['images']} to score."
            for joint in list(fractions.values())[:1]
        ),
    ]
    if work.quick:
        said.append(f"Quick: {LAYERS} layers of each network, {UNITS} units of each; --budget full takes all layers and units.")
        firm = f"--budget full takes {TWINS[False]}, as a firm claim needs"
        said.append(f"Labels of both bases stand beside {TWINS[True]} random-weight twin; {firm}.")
    return Section("What this could not see", [*said, *work.left()])


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
