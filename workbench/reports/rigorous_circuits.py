"""Problem 7.11: one detector of each network with its circuit and its evidence, every claim with a figure or named as missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.analyses.dataset_examples import DatasetExamples
from workbench.analyses.evidence import Evidence
from workbench.analyses.trace import Trace
from workbench.evidence_card import checklist_table, pieces_of
from workbench.input_error import InputError
from workbench.models.adjacent import adjacent_layers
from workbench.models.layer import Unit
from workbench.report_page import Drawing, Section, Table, as_svg
from workbench.reports.report import Findings, Work, answers, cell, short

if TYPE_CHECKING:
    from workbench.analyses.analysis import Result
    from workbench.models.traced_model import TracedModel

MODELS = tuple(f"bundled:{name}" for name in ("inception", "resnet", "clip-rn", "clip"))
CURVES = "stimuli:curves"
DEPTH = 0.25
"""How far into the network the unit is looked for, as a part of its layers of weights."""

CANDIDATES = 32
"""Units of each layer that may be in the circuit, with the budget quick."""


@dataclass(frozen=True)
class Claimed:
    """A unit, why it was chosen, its circuit and its card."""

    unit: Unit
    response: float
    circuit: Result
    card: Result


@answers("7.11", "A unit of each network with its traced circuit and an evidence card: figures, nulls, and what is missing", MODELS)
def rigorous_circuits(work: Work) -> Findings:
    """Choose the unit that curves drive most, trace it, and fill its card."""
    work.expect(4 * len(work.models))

    def claimed_of(ref: str) -> Claimed:
        unit, response = _most_driven(work, ref, middle_layer(work.model(ref)))
        more: dict[str, Any] = {"candidates": CANDIDATES} if work.quick else {"candidates": 2 * CANDIDATES, "limit": 512}
        circuit = work.run(f"{short(ref)}-circuit", Trace(target=str(unit), **more), ref)
        few: dict[str, Any] = {"limit": 256, "steps": 48, "ablated": 96} if work.quick else {}
        return Claimed(unit, response, circuit, work.run(f"{short(ref)}-evidence", Evidence(layer=unit.layer, unit=unit.index, **few), ref))

    claimed = work.each(claimed_of)
    sections = [_answer(claimed), *(part for ref, each in claimed.items() for part in _sections(ref, each)), _missing(claimed, work)]
    return Findings(sections, {ref: _figures(each) for ref, each in claimed.items()})


def middle_layer(model: TracedModel) -> str:
    """Return the layer of units with maps that stands at `DEPTH` of the network's layers of weights.

    Raises
    ------
    InputError
        When there is none.
    """
    known = model.layers
    pairs = [pair for pair in adjacent_layers(model.graph) if pair.target in known and known[pair.target].positions]
    if not pairs:
        raise InputError("it has no layer whose units have positions, in which a detector of curves could be looked for")
    return pairs[round(DEPTH * (len(pairs) - 1))].target


def _most_driven(work: Work, ref: str, layer: str) -> tuple[Unit, float]:
    """Return the unit that curves drive most, in standard deviations of its activation on the report's images, and how far."""
    sweep = DatasetExamples(layers=(layer,))
    own, curves = (work.run(f"{short(ref)}-{name}", sweep, ref, images).arrays for name, images in (("images", ""), ("curves", CURVES)))
    with np.errstate(invalid="ignore", divide="ignore"):
        response = (curves[f"{layer}/max"] - own[f"{layer}/mean"]) / own[f"{layer}/std"]
    if not np.isfinite(response).any():
        raise InputError(f"no unit of {layer} varies on {work.images}")
    best = int(np.where(np.isfinite(response), response, -np.inf).argmax())
    return Unit(layer, best), float(response[best])


def _answer(claimed: Mapping[str, Claimed]) -> Section:
    said = []
    for ref, each in claimed.items():
        summary, pieces = each.circuit.summary, pieces_of(each.card.summary)
        there = [piece for piece in pieces if not piece.missing]
        missing = ", ".join(piece.missing.removeprefix("missing: ") for piece in pieces if piece.missing)
        said.append(
            f"{ref}: {each.unit} is the unit of its layer that curves drive most ({each.response:.1f} SD). {_circuit_said(summary)} "
            f"{len(there)} of {len(pieces)} pieces of evidence have a figure; missing: {missing}."
        )
    return Section("Answer", said)


def _circuit_said(summary: Mapping[str, Any]) -> str:
    """Say how good the circuit is, or that there is none among the candidates."""
    asked = f"{summary['threshold']:.0%} was asked for, on the images it is chosen on"
    if not summary["edges"]:
        return (
            f"No circuit was found ({asked}): the {summary['candidates']} candidates with all their {summary['candidate_edges']} edges "
            f"keep {summary['candidates_faithfulness']:.0%} of it, and fewer no more; what they read together is spread over other units."
        )
    short_of = "" if summary["threshold_reached"] else f", short of what was asked for ({asked})"
    return (
        f"A circuit of {summary['units']} units and {summary['edges']} edges keeps {_interval(summary, 'faithfulness')} of it{short_of}; "
        f"random circuits of the same form at most {summary['null_faithfulness_highest']:.0%}."
    )


def _interval(summary: Mapping[str, Any], name: str) -> str:
    low, high = summary.get(f"{name}_low"), summary.get(f"{name}_high")
    around = f" [{low:.0%}, {high:.0%}]" if low is not None and high is not None else ""
    return f"{summary[name]:.0%}{around}"


def _sections(ref: str, each: Claimed) -> list[Section]:
    summary = each.circuit.summary
    names = ("faithfulness", "explained", "completeness", "incompleteness", "minimality")
    beside = ("null_faithfulness_highest", "null_explained_highest")
    figures = [(name.replace("_", " "), cell(summary.get(name))) for name in (*names, *beside)]
    edges = [(edge["source"], edge["target"], cell(edge["attribution"]), cell(edge["effect"])) for edge in summary["circuit"]["edges"]]
    circuit = Section(
        f"{ref}: the circuit of {each.unit}",
        [
            Table(("figure", "value"), figures, f"Measured on images the circuit was not chosen on ({summary['images'][1]} images)"),
            Table(("from", "to", "attribution", "effect"), edges, "Edges: what of the unit is lost without each, estimated and exact"),
            *_drawn(ref, each.circuit, {}),
        ],
    )
    checklist = checklist_table(pieces_of(each.card.summary))
    drawn = _drawn(ref, each.card, each.card.summary["figures"])
    return [circuit, Section(f"{ref}: evidence for {each.unit}", [checklist, *drawn])]


def _drawn(ref: str, result: Result, said: Mapping[str, str]) -> Sequence[Drawing]:
    names = result.figures().items()
    return [Drawing(said.get(name, name), as_svg(figure, f"{short(ref)}-{result.analysis}-{name}")) for name, figure in names]


def _figures(each: Claimed) -> dict[str, Any]:
    return {
        "unit": str(each.unit),
        "curve_response": each.response,
        "circuit": each.circuit.summary["circuit"],
        "checklist": each.card.summary["checklist"],
    }


def _missing(claimed: Mapping[str, Claimed], work: Work) -> Section:
    said = [
        "The unit was chosen by its response to drawn curves, so that its generality is that of the best of its layer: the null beside it "
        "is the best unit of random-weight twins.",
        "Purity needs a person: label blind in the panel Evidence and write the card again. Without labels nothing takes their place.",
    ]
    said += [f"{ref}: {piece.line}" for ref, each in claimed.items() for piece in pieces_of(each.card.summary) if piece.missing]
    for ref, each in claimed.items():
        given = each.circuit.parameters
        said.append(
            f"{ref}: the circuit rests on {sum(each.circuit.summary['images'])} images and {given['candidates']} candidates a layer, the "
            f"card on {each.card.parameters['limit']} images{'; --budget full takes more' if work.quick else ''}."
        )
    return Section("What this could not see", [*said, *work.left()])
