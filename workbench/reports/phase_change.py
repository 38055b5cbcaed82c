"""Problem 7.14: whether curve detectors form as a phase change in training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from workbench.analyses.phase_change import KINDS, METRICS, RUNS, PhaseChange
from workbench.input_error import InputError
from workbench.phase_change import FEWEST, MARGIN, WIDEST
from workbench.report_page import Drawing, Section, Table, as_svg
from workbench.reports.report import Findings, Work, answers, cell, short

if TYPE_CHECKING:
    from workbench.analyses.analysis import Result

MODELS = ("bundled:inception",)
LAYERS = {True: ("conv2d2",), False: ("conv2d1", "conv2d2", "mixed3a")}
"""Quick, full; of a network that has none of them, its first layers behind a non-linearity."""


@answers("7.14", "Whether curve detectors form abruptly: curves of growth compared over checkpoints, with controls", MODELS)
def phase_change(work: Work) -> Findings:
    """Follow the units that end up best tuned to curves through the checkpoints of every training that is kept."""
    layers = work.each(lambda ref: layers_of(work, ref))
    work.expect(sum(map(len, layers.values())))

    def measured(ref: str) -> dict[str, Result]:
        return {name: work.run(f"{short(ref)}-{short(name)}", PhaseChange(layer=name), ref) for name in layers.get(ref, [])}

    found = {ref: results for ref, results in work.each(measured).items() if results}
    drawings = [
        Drawing(f"{ref}, {layer}: {name}", as_svg(figure, f"{short(ref)}-{short(layer)}-{name}"))
        for ref, results in found.items()
        for layer, result in results.items()
        for name, figure in PhaseChange.draw(result).items()
    ]
    figures = {ref: {layer: dict(result.summary["verdicts"]) for layer, result in results.items()} for ref, results in found.items()}
    return Findings([_answer(found), _table(found), Section("Over training", drawings), _missing(work, found)], figures)


def layers_of(work: Work, ref: str) -> list[str]:
    """Return the layers that are followed.

    Raises
    ------
    InputError
        When the network reads no images.
    """
    model = work.model(ref)
    if not model.sees:
        raise InputError("it reads no images")
    wanted = [name for name in LAYERS[work.quick] if name in model.layers]
    return wanted or [name for name, layer in model.layers.items() if layer.role == "post"][1 : 1 + len(LAYERS[work.quick])]


def _answer(found: Mapping[str, Mapping[str, Result]]) -> Section:
    said = []
    for ref, results in found.items():
        for layer, result in results.items():
            summary = result.summary
            trainings = len(summary["trainings"])
            verdicts = summary["verdicts"]["units"]
            by_verdict: dict[str, list[str]] = {}
            for metric, told in verdicts.items():
                if told is not None:
                    by_verdict.setdefault(told["verdict"], []).append(METRICS[metric])
            words = "; ".join(f"{verdict}: {', '.join(metrics)}" for verdict, metrics in by_verdict.items())
            few = f" Fewer than {RUNS} trainings, so this is of these only." if summary["few"] else ""
            without = "".join(f" {name} is left out: {why}." for name, why in summary["without"].items())
            said.append(f"{ref}, {layer}, {trainings} training{'s' * (trainings != 1)}: {words}.{few}{without}")
    return Section("Answer", said)


def _table(found: Mapping[str, Mapping[str, Result]]) -> Section:
    columns = ("network", "layer", "of", "metric", "verdict", "BIC margin", "best curve", "middle of the rise (updates)", "width")
    rows = []
    for ref, results in found.items():
        for layer, result in results.items():
            for kind, of in result.summary["verdicts"].items():
                for metric, told in of.items():
                    if told is None:
                        continue
                    best = told["curves"][0]
                    at = ", ".join(
                        "–" if middle is None else f"{middle:,.0f} [{low:,.0f}, {high:,.0f}]"
                        for middle, (low, high) in zip(best["at"], best["at_interval"], strict=True)
                    )
                    width = ", ".join("–" if value is None else f"{value:.2f}" for value in best["width"])
                    rows.append((ref, layer, KINDS[kind], METRICS[metric], told["verdict"], cell(told["margin"]), told["best"], at, width))
    caption = (
        "Margin: BIC of the best gradual curve minus that of the best abrupt one; "
        f"from {MARGIN:g} on it is a phase change, from -{MARGIN:g} on gradual. "
        f"Abrupt: a step, or a logistic whose rise from 10 to 90 % takes at most {WIDEST:.0%} of the axis, time or its logarithm. "
        "Width as part of that axis; in brackets between which updates the samples leave the middle open (95 %). All units of the layer, "
        "line units and random directions are controls: what they do as well is not about curves."
    )
    return Section("Curves of growth", [Table(columns, rows, caption)])


def _missing(work: Work, found: Mapping[str, Mapping[str, Result]]) -> Section:
    said = [
        f"A training needs {FEWEST} checkpoints or more; a transition between two of them is a step, however long it took between. "
        "`main.py train` with more checkpoints, from the one before, would tell.",
        "Units are those that end up best tuned, chosen on another rendering of the stimuli than they are measured on; units that were "
        "tuned for a while only are not followed.",
    ]
    if any(not result.arrays["loss"].shape[1] for results in found.values() for result in results.values()):
        said.append("No loss is drawn where the training's log is not kept, as for networks in the box.")
    return Section("What this could not see", [*said, *work.left()])
