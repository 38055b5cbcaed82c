"""Problem 7.15: whether activation patching works on Inception, and what "works" means there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workbench.analyses.patching import ActivationPatching
from workbench.input_error import InputError
from workbench.report_page import Drawing, Section, Table, as_svg
from workbench.reports.report import Findings, Work, answers, cell, short

if TYPE_CHECKING:
    from workbench.analyses.analysis import Result
    from workbench.models.patching import Kind
    from workbench.models.traced_model import TracedModel

MODELS = ("bundled:inception",)
PAIRS = 200
CHANNELS = 64
"""Units of a layer that are patched with the budget quick, at most; all of them with the budget full."""
LAYERS, UNIT_LAYERS = 3, 3
"""Blocks whose branches are patched, and whose units are, with the budget quick; all of them with the budget full."""
RELIABLE = 0.5
"""Rank correlation between two halves of the concepts below which a ranking is called unreliable."""


@answers("7.15", "Whether activation patching works: reliability, directions, attribution, joint effects, beside two nulls", MODELS)
def activation_patching(work: Work) -> Findings:
    """Patch layers, branches and channels over pairs of images."""
    from workbench.models.parts import spread

    blocks = work.each(lambda ref: blocks_of(work.model(ref)))
    work.expect(3 * len(blocks))  # layers, branches and channels; the channels' twin is part of theirs

    def measured(ref: str) -> dict[str, Result]:
        names = blocks[ref]
        found = {"layer": _patched(work, ref, "layer", names)}
        joined = concatenations(work.model(ref), names)
        if joined:
            found["branch"] = _patched(work, ref, "branch", spread(joined, LAYERS if work.quick else len(joined)))
        chosen = spread(names, UNIT_LAYERS if work.quick else len(names))
        try:
            found["unit"] = _channels(work, ref, chosen)
        except InputError as error:  # layers and branches stand without them
            work.refused.append(f"{ref}, channels: {error}")
        return found

    of_network = work.each(lambda ref: measured(ref) if ref in blocks else {})
    sections = [_answer(of_network), _figures(of_network)]
    sections += [section for ref, found in of_network.items() for section in _network(ref, found)]
    figures = {
        ref: {
            kind: {"findings": result.summary["findings"], "joint": result.summary["joint"], "patches": result.summary["patches"]}
            for kind, result in found.items()
        }
        for ref, found in of_network.items()
    }
    return Findings([*sections, _missing(work)], figures)


def _patched(work: Work, ref: str, part: Kind, layers: Sequence[str], twin: bool = False, most: int = 0) -> Result:
    asked = ActivationPatching(layers=tuple(layers), part=part, pairs=PAIRS, twin=twin, most=most)
    return work.run(f"{short(ref)}-{part}", asked, ref)


def _channels(work: Work, ref: str, layers: Sequence[str]) -> Result:
    """Patch the channels of some layers: with the budget quick a choice of them, and all where the images are too few to choose by."""
    if work.quick:
        try:
            return _patched(work, ref, "unit", layers, twin=True, most=CHANNELS)
        except InputError as error:
            work.refused.append(f"{ref}: a choice of {CHANNELS} channels; all are patched instead: {error}")
    return _patched(work, ref, "unit", layers, twin=True)


def blocks_of(model: TracedModel) -> list[str]:
    """Return the layers that everything passes through, from early to late: what a layer-by-layer answer is about.

    Raises
    ------
    InputError
        When there is none, or the network has no classes.
    """
    from workbench.classes import has_classes
    from workbench.models.parts import passed_by_all

    if not has_classes(model):
        raise InputError("it has no classes whose logits could be compared")
    return passed_by_all(model)


def concatenations(model: TracedModel, names: Sequence[str]) -> list[str]:
    """Return those of some layers that are put together from branches."""
    return [name for name in names if model.layer(name).kind == "cat"]


def _answer(found: Mapping[str, Mapping[str, Result]]) -> Section:
    said = []
    for ref, results in found.items():
        for part in ("branch", "unit"):
            if part not in results:
                continue
            summary = results[part].summary
            rows = summary["findings"]
            if not rows:
                continue
            reliable = [row for row in rows if row["reliability"] is not None and row["reliability"] >= RELIABLE]
            names = ", ".join(f"{summary['layers'][row['layer']]} {_with_ends(row, 'reliability')}" for row in rows)
            beyond = [
                f"{one['layer']}: the best {len(one['parts'])} {_among(one)}together {said_of(one['together'])}, "
                f"one by one {said_of(one['sum_of_singles'])}"
                for one in summary["joint"]
            ]
            what = {"branch": "Branches", "unit": "Channels"}[part]
            said.append(
                f"{ref}, {what.lower()}: their ranking is the same on other concepts (rank correlation at least {RELIABLE:g}) in "
                f"{len(reliable)} of {len(rows)} layers ({names}), {_pairs(summary)}{_sampled(summary)}. Chosen on one half of the "
                f"clean images' concepts and patched on the other: {'; '.join(beyond)}."
            )
        layers = results["layer"].summary["patches"]
        off = max(abs((row["denoise_estimate"] or 0) - (row["denoise"] or 0)) for row in layers)
        carried = [row["denoise"] for row in layers]
        said.append(
            f"{ref}: everything passes through the layers listed, and patching any of them as a whole carries {said_of(min(carried))} to "
            f"{said_of(max(carried))} of the difference; attribution patching of whole layers is off by up to {said_of(off)}."
        )
    return Section("Answer", said)


def _pairs(summary: Mapping[str, Any]) -> str:
    """Say how many pairs there were, and whether these are fewer than asked for."""
    drawn = summary["pairs"] + summary["left_out"] + summary["no_number"]
    fewer = f" (of {PAIRS} that were asked for: the images gave {drawn})" if drawn < PAIRS else ""
    return f"{summary['pairs']} pairs{fewer}"


def _among(joint: Mapping[str, Any]) -> str:
    return f"of {joint['patched']} patched " if joint["patched"] < joint["of"] else ""


def _sampled(summary: Mapping[str, Any]) -> str:
    """Say how the parts were chosen, where these are not all."""
    some = [row for row in summary["findings"] if row["parts"] < row["of"]]
    if not some:
        return ""
    counts = ", ".join(f"{row['parts']} of {row['of']}" for row in some)
    return (
        f"; of {len(some)} of these layers {counts} were patched, half of them the best by attribution on {summary['chosen_by']} pairs "
        "of other concepts, half drawn at random of the rest, which stand for the rest in these rank correlations and in the table below "
        "(in brackets: 95 %, were others of the rest drawn), but not in the drawings and in what is patched together"
    )


def _with_ends(row: Mapping[str, Any], name: str) -> str:
    """Write a figure of a layer, with its interval where it depends on which parts were drawn."""
    value = row[name]
    if value is None or name not in row["sure"]:
        return said_of(value)
    low, high = row["sure"][name]
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"


def said_of(value: float | None) -> str:
    """Write a figure in a sentence."""
    return "unknown" if value is None else f"{value:.2f}"


def _figures(found: Mapping[str, Mapping[str, Result]]) -> Section:
    columns = (
        "network", "parts", "layer", "number", "reliability", "noise", "random net", "directions", "attribution", "noise",
        "in the top tenth", "strangers", "random net", "if even",
    )  # fmt: skip
    names = (
        "reliability", "reliability_noise", "reliability_twin", "directions", "attribution", "attribution_noise",
        "concentration", "concentration_unaligned", "concentration_twin", "even",
    )  # fmt: skip
    cells = [
        (ref, part, result.summary["layers"][row["layer"]], _number(row), *(_figure(row, name) for name in names))
        for ref, results in found.items()
        for part, result in results.items()
        for row in result.summary["findings"]
    ]
    caption = (
        "Reliability: rank correlation of the parts' scores between two halves of the concepts, denoising and noising, and in one "
        "network of random weights. Directions: between denoise and noise. Attribution: between exact scores and first-order estimates. "
        "The last four: part of all absolute scores that the strongest tenth has; with activations of another pair's image (null); in one "
        "network of random weights; and where all are alike. In "
        "brackets, where only some of a layer's channels were patched: 95 % interval of the figure when those drawn at random are drawn "
        "again. What is largest with strangers and in the random network was not chosen: the parts of their strongest tenths are low "
        "more often than not, and a difference from them is less than it looks."
    )
    return Section("What works", [Table(columns, cells, caption)])


def _figure(row: Mapping[str, Any], name: str) -> str | int | float:
    return _with_ends(row, name) if name in row["sure"] else cell(row[name])


def _number(row: Mapping[str, Any]) -> str | int:
    return row["parts"] if row["parts"] == row["of"] else f"{row['parts']} of {row['of']}"


def _network(ref: str, results: Mapping[str, Result]) -> list[Section]:
    sections = []
    for part, result in results.items():
        drawings = ActivationPatching.draw(result)
        if part == "layer":  # all of the difference comes with each of them: the other figures would show one point
            drawings = {"effects": drawings["effects"]}
        title = {"layer": "Layers", "branch": "Branches", "unit": "Channels"}[part]
        shown: list[Any] = [
            Drawing(f"{title} of {ref}: {name}", as_svg(figure, f"{short(ref)}-{part}-{name}")) for name, figure in drawings.items()
        ]
        sections.append(Section(f"{title}, {ref}", shown))
    return sections


def _missing(work: Work) -> Section:
    said = [
        "Pairs are two drawings of different subgroups, and the metric is the difference of their two logits: another image's activations "
        "also take away what speaks for the corrupt class, so that the null of unrelated pairs is well above 0 for whole layers.",
        "Corruptions that keep the picture (blur, occlusion, a patch of another image) and paths between two places are not in this "
        "report; `main.py run ActivationPatching --corruption blur` asks for the first.",
    ]
    if work.quick:
        said.append(
            f"Quick: channels of {UNIT_LAYERS} layers, {CHANNELS} of each at most, and branches of {LAYERS}; --budget full takes all "
            "layers and all channels. What the best channels carry together is of those that were patched: one that attribution on other "
            "pairs misses may be better."
        )
    return Section("What this could not see", [*said, *work.left()])
