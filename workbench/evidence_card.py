"""The evidence card of a claimed detector: seven pieces of evidence, each with its figure or with what is missing.

There is no score over all pieces: a unit that an image can be made for and that nobody has labelled is not four sevenths of a detector. The
card is plain data, made by the analysis `Evidence`; here is its form, the piece that needs a person (purity), and its page.

Source: Cammarata et al., "Curve Detectors" (Distill 2020) and "Curve Circuits" (Distill 2021), and their list of evidence.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from workbench.blind_labels import Labelling
from workbench.purity import labels_needed
from workbench.recompute import of_result
from workbench.report_page import Details, Drawing, Part, Section, Table, as_svg, report_page

if TYPE_CHECKING:
    from workbench.analyses.analysis import Result

QUESTIONS = {
    "causality": "Does an image made for the unit drive it, and more than images made for units of a network that has learned nothing?",
    "generality": "Does the unit respond to synthetic stimuli that were never in the data, and prefer some to others?",
    "purity": "What share of what the unit fires at is what it is said to detect, as judged by somebody who does not see its activation?",
    "family": "Do the units of its family do the same at different orientations?",
    "inputs": "Is the unit's pre-activation what its inputs and weights add up to, and do a few inputs suffice?",
    "use": "Does the network use the unit: does taking it out change the output more than taking out random units of its layer?",
    "hand-coding": "Does a detector written by hand, from the claimed algorithm, do the same?",
}
"""Name of a piece -> what it asks, in the order of the card."""
PURITY, HAND_CODING = "missing: blind labels", "missing: hand-coded detector"


@dataclass(frozen=True)
class Piece:
    """One piece of evidence.

    Attributes
    ----------
    name
        One of `QUESTIONS`.
    figure
        The figure in words, with its interval; empty where it is missing.
    value, low, high
        The figure, its 95 % interval; None where it has none.
    unit
        What it is counted in.
    null
        What it stands beside, in words, with its figure.
    images, counted
        How many images it rests on, or of what else.
    detectable
        Smallest effect this would have found four times out of five, in the same unit.
    verdict
        What it says, in words.
    missing, todo
        What is missing, beginning ``missing: ``, and what to do about it.
    """

    name: str
    figure: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    unit: str = ""
    null: str = ""
    images: int = 0
    detectable: float | None = None
    verdict: str = ""
    missing: str = ""
    todo: str = ""
    counted: str = "images"

    @property
    def question(self) -> str:
        """What it asks."""
        return QUESTIONS[self.name]

    @property
    def line(self) -> str:
        """All of it in one line."""
        if self.missing:
            return f"{self.name}: {self.missing}. {self.todo}".strip()
        found = f"; smallest difference it would find: {self.detectable:.2g} {self.unit}".rstrip() if self.detectable is not None else ""
        return f"{self.name}: {self.figure}; null: {self.null}; n = {self.images:,} {self.counted}{found}. {self.verdict}"


def pieces_of(summary: Mapping[str, Any]) -> list[Piece]:
    """Return the checklist of a result's summary."""
    return [Piece(**piece) for piece in summary["checklist"]]


def purity_piece(labelling: Labelling | None) -> Piece:
    """Return the piece that only a person can give; without labels nothing takes its place."""
    if labelling is None or not labelling.done:
        return Piece("purity", missing=PURITY, todo="Label blind in the panel Evidence, or give a file of blind labels.")
    weights = labelling.bins.density * labelling.bins.firing
    if not weights.sum() > 0:
        return Piece("purity", missing="missing: it never fires on these images", todo="Label it on images that it fires on.")
    pure, share = labelling.purity(), labelling.share_of_expected_value()
    if np.isnan(pure.value):
        return Piece("purity", missing="missing: blind labels of positions at which it fires", todo="Go on labelling.")
    wide = labelling.purity((0, 1))
    firing = [estimate for estimate, there in zip(labelling.in_bins(), labelling.bins.firing, strict=True) if there]
    unlabelled = sum(not estimate.labels for estimate in firing)
    more = labels_needed(labelling.in_bins(), weights) - labelling.done
    naive = np.mean([said.label == 0 for said in labelling.judgements])
    by = ", ".join(sorted({said.by for said in labelling.judgements if said.by})) or "nobody named"
    name, partly = labelling.classes[:2]
    verdict = f"Labelled by {by}."
    if unlabelled:
        verdict += f" {unlabelled} of {len(firing)} bins above 0 have no label yet: they count as anything from 0 to 100 %."
    if more > 0:
        verdict += f" About {more:,} more labels would bring ±5 %."
    background = [estimate.value for estimate, there in zip(labelling.in_bins(), labelling.bins.firing, strict=True) if not there]
    known = [value for value in background if not np.isnan(value)]
    return Piece(
        "purity",
        f"“{name}”: {_percent(pure)} of the positions at which it fires, {_percent(share)} of how much it fires; "
        f"with “{partly}”: {_percent(wide)}",
        pure.value,
        pure.low,
        pure.high,
        "of the firing positions",
        (f"{max(known):.0%} of the positions at which it does not fire; " if known else "no position at which it does not fire; ")
        + f"without weighting by density it would be {naive:.0%}",
        labelling.done,
        pure.detectable,
        verdict,
        counted="labels",
    )


def _percent(share: Any) -> str:
    return "an unknown share" if np.isnan(share.value) else f"{share.value:.0%} [{share.low:.0%}, {share.high:.0%}]"


def labels_caption(summary: Mapping[str, Any]) -> str:
    """Say what the figure of the labels shows."""
    role = " (pre-activation)" if summary["measured"] != summary["unit"] else ""
    return f"What blind labels say at each activation of {summary['measured']}{role}; bars are Wilson's 95 % intervals over concepts"


def label_arrays(labelling: Labelling) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of `Evidence` that come from labels."""
    found = labelling.in_bins()
    return {
        "label_edges": np.array(labelling.bins.edges),
        "label_shares": labelling.shares(),
        "label_counts": np.array([estimate.labels for estimate in found]),
        "purity": np.array([[estimate.value, estimate.low, estimate.high] for estimate in found]),
        "class_names": np.array(labelling.classes, np.str_),
    }


def with_labels(result: Result, labelling: Labelling, path: str) -> Result:
    """Return a result of `Evidence` with these labels in place of its own, as if it had been given the file `path`.

    Nothing else on the card depends on them, so that labelling does not mean computing for a minute again.
    """
    checklist = [
        asdict(purity_piece(labelling)) if piece["name"] == "purity" else piece for piece in result.summary["checklist"]
    ]
    return dataclasses.replace(
        result,
        parameters={**result.parameters, "labels": path},
        arrays={**result.arrays, **label_arrays(labelling)},
        summary={
            **result.summary,
            "checklist": checklist,
            "lines": [Piece(**piece).line for piece in checklist],
            "figures": {**result.summary["figures"], "labels": labels_caption(result.summary)},
        },
    )


def checklist_table(pieces: Sequence[Piece]) -> Table:
    """Return the pieces as a table for a page."""
    rows = [
        (one.name, one.figure or one.missing, one.null or "–", number, one.verdict or one.todo)
        for one in pieces
        for number in [f"{one.images:,} {one.counted}" if one.images else "–"]
    ]
    there = sum(not piece.missing for piece in pieces)
    caption = f"{there} of {len(pieces)} pieces computed. Intervals in brackets are of 95 %. There is no score over all pieces."
    return Table(("piece", "figure", "null", "n", "what it says"), rows, caption)


def page(result: Result) -> str:
    """Return the card as a page: the checklist, then every figure."""
    summary, made = result.summary, result.provenance
    pieces = pieces_of(summary)
    drawings: list[Part] = [
        Drawing(summary["figures"].get(name, name), as_svg(figure, name)) for name, figure in result.figures().items()
    ]
    asked: list[Part] = [f"{piece.name}: {piece.question}" for piece in pieces]
    again: list[Part] = [Details("Python", of_result(result).python()), Details("Command", of_result(result).command())]
    return report_page(
        f"Evidence: {summary['unit']}",
        [
            Section("Checklist", [checklist_table(pieces), *([summary["badge"]] if summary.get("badge") else [])]),
            Section("Figures", drawings),
            Section("What each piece asks", asked),
            Section("Computed by", again),
        ],
        f"What is {summary['unit']} known to be? Every figure is of {summary['measured']}"
        + (", its pre-activation." if summary["measured"] != summary["unit"] else "."),
        {
            "network": str(made.get("model", "")),
            "weights": str(made.get("weights", ""))[:16],
            "images": str(made.get("images", "")),
            "workbench": str(made.get("versions", {}).get("workbench", "")),
        },
    )
