"""The figures of an evidence card."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from workbench.evidence_card import labels_caption
from workbench.figure_colours import ACCENT, INK, LIGHT
from workbench.purity import drawn_edges

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from workbench.analyses.analysis import Result

STACK = ("#2a6f9e", "#8fbbd9", "#e0b36a", "#c9ccd1", "#9b7fb5", "#7fae85", "#d98c8c", "#b3a58c", "#666c75")
"""Colours of the classes: from what it is to what has nothing to do with it."""
Arrays = Mapping[str, npt.NDArray[Any]]


def captions(summary: Mapping[str, Any], arrays: Arrays) -> dict[str, str]:
    """Say what each figure shows, for those that the arrays suffice for."""
    unit, measured, n = summary["unit"], summary["measured"], summary["images"]
    role = " (pre-activation)" if measured != unit else ""
    told = {
        "density": f"Density and expected value of {measured}{role} over {summary['positions']:,} positions of {n:,} images; "
        f"SD {summary['std']:.3g}; the lowest bin reaches down to the smallest activation",
        "labels": labels_caption(summary),
        "visualizations": f"Images made for {measured}{role}, and how they compare in SD of the activation on images",
        "stimuli": f"Largest activation of {measured}{role} on synthetic stimuli, and the preference of each twin's best unit",
        "family": "Tuning curves of the family, each turned to its preferred orientation (chosen in another rendering)",
        "inputs": f"Pre-activation {measured} from its strongest inputs, at positions of every range of activation",
        "use": f"Change without {unit}, and without random units of its layer",
    }
    return {name: told[name] for name, (needed, _) in DRAWN.items() if needed in arrays}


def all_of(result: Result) -> dict[str, Figure]:
    """Draw all figures the result has the arrays for."""
    from matplotlib.figure import Figure

    drawn = {}
    for name, (needed, draw) in DRAWN.items():
        if needed in result.arrays:
            figure = Figure(figsize=(8, 3.2), layout="constrained")
            draw(figure, result.arrays, result.summary)
            for axis in figure.axes:
                axis.tick_params(labelsize=7)
                for side in ("top", "right"):
                    axis.spines[side].set_visible(False)
            drawn[name] = figure
    return drawn


def _density(figure: Figure, arrays: Arrays, summary: Mapping[str, Any]) -> None:
    edges = (drawn_edges(arrays["edges"]) - summary["mean"]) / summary["std"]
    middle, width = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    left, right = figure.subplots(1, 2)
    density = arrays["density"]
    left.bar(middle, density, width=width, color=LIGHT, edgecolor="white", linewidth=0.5)
    left.set_yscale("log")
    left.set_ylim(bottom=max(float(density[density > 0].min()) / 3, 1e-9))
    _name(left, "activation, SD above the mean", "share of positions (logarithmic)")
    colours = [LIGHT if value < 0 else INK for value in arrays["expected"]]
    right.bar(middle, arrays["expected"], width=width, color=colours, edgecolor="white", linewidth=0.5)
    right.axhline(0, color=INK, linewidth=0.6)
    _name(right, "activation, SD above the mean", "expected value: activation x density")


def _labels(figure: Figure, arrays: Arrays, summary: Mapping[str, Any]) -> None:
    edges = (drawn_edges(arrays["label_edges"]) - summary["mean"]) / summary["std"]
    middle, width = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    shares, counts, names = arrays["label_shares"], arrays["label_counts"], arrays["class_names"]
    left, right = figure.subplots(1, 2)
    bottom = np.zeros(len(middle))
    for place, name in enumerate(names):
        height = np.nan_to_num(shares[:, place])
        colour = STACK[place % len(STACK)]
        left.bar(middle, height, width=width, bottom=bottom, color=colour, edgecolor="white", linewidth=0.5, label=str(name))
        bottom += height
    for at, count in zip(middle, counts, strict=True):
        left.annotate(str(count), (at, 1.01), ha="center", fontsize=6, color=INK)
    left.set_ylim(0, 1.1)
    _name(left, "activation, SD above the mean (labels above the bars)", "p(label | activation)")
    left.legend(fontsize=6, frameon=False, loc="upper left", bbox_to_anchor=(0, -0.2), ncols=2)
    purity = arrays["purity"]
    known = np.isfinite(purity[:, 0])
    ends = np.abs(purity[known, 1:].T - purity[known, 0])
    right.errorbar(middle[known], purity[known, 0], yerr=ends, fmt="o", color=INK, ecolor=LIGHT, capsize=2, markersize=4)
    right.set_ylim(-0.03, 1.03)
    _name(right, "activation, SD above the mean", f"share of “{names[0]}”")


def _visualizations(figure: Figure, arrays: Arrays, summary: Mapping[str, Any]) -> None:
    pictures = arrays["visualizations"]
    figure.set_size_inches(8, 2.6)
    axes = figure.subplots(1, len(pictures) + 1, width_ratios=[1] * len(pictures) + [1.6])
    for axis, picture, score in zip(axes, pictures, arrays["visualization_scores"], strict=False):
        axis.imshow(picture.clip(0, 1))
        axis.set_title(f"{score:.1f} SD", fontsize=8, color=INK)
        axis.set_axis_off()
    last = axes[-1]
    largest = (summary["max"] - summary["mean"]) / summary["std"]
    rows = [("images made for it", arrays["visualization_scores"], ACCENT), ("strongest image", np.array([largest]), INK)]
    rows.append(("images made for units\nof a random twin", arrays["visualization_null"], LIGHT))
    for place, (_, values, colour) in enumerate(rows):
        last.plot(values, np.full(len(values), place), "o", color=colour, markersize=5)
    last.set_yticks(range(len(rows)), [name for name, _, _ in rows], fontsize=7)
    last.set_ylim(len(rows) - 0.5, -0.5)
    last.set_xlim(left=min(0.0, last.get_xlim()[0]))
    _name(last, "activation, SD above the mean", "")


def _stimuli(figure: Figure, arrays: Arrays, summary: Mapping[str, Any]) -> None:
    left, right = figure.subplots(1, 2, width_ratios=[1.6, 1])
    responses = (arrays["stimulus_responses"] - summary["mean"]) / summary["std"]
    family = arrays["stimulus_family"]
    for rendering, colour in ((0, LIGHT), (1, INK)):
        left.plot(responses[:, rendering], ".", color=colour, markersize=4, label=("chosen on", "scored on")[rendering])
    best = int(arrays["stimulus_best"])
    left.plot(best, responses[best, 1], "o", markersize=9, markerfacecolor="none", markeredgecolor=ACCENT, label="chosen")
    starts = np.flatnonzero(np.r_[True, family[1:] != family[:-1]])
    for start in starts[1:]:
        left.axvline(start - 0.5, color=LIGHT, linewidth=0.6)
    ends = np.r_[starts[1:], len(family)]
    left.set_xticks((starts + ends - 1) / 2, [str(family[start]) for start in starts])
    left.legend(fontsize=6, frameon=False)
    _name(left, "stimuli", "largest activation, SD of the images")
    if "stimulus_null" in arrays:
        piece = next(piece for piece in summary["checklist"] if piece["name"] == "generality")
        right.hist(arrays["stimulus_null"], bins=8, color=LIGHT, label="best unit of each twin")
        right.axvline(piece["value"], color=ACCENT, label="this unit")
        right.legend(fontsize=6, frameon=False)
        _name(right, "preference, SD over stimuli", "twins")


def _family(figure: Figure, arrays: Arrays, summary: Mapping[str, Any]) -> None:
    left, right = figure.subplots(1, 2, width_ratios=[1.6, 1])
    curves = arrays["family_aligned"]
    degrees = np.arange(len(curves)) / len(curves)
    for place, unit in enumerate(arrays["family_units"].tolist()):
        left.plot(degrees, curves[:, place], linewidth=1, label=f"{unit} ({arrays['family_preferred'][place]:.0f}°)")
    left.legend(fontsize=6, frameon=False, ncols=2)
    _name(left, "turns away from the preferred orientation", "response, mean 0 and length 1")
    piece = next(piece for piece in summary["checklist"] if piece["name"] == "family")
    if len(arrays["family_null"]):
        right.hist(arrays["family_null"], bins=20, color=LIGHT, label="random units of the layer")
    right.axvline(piece["value"], color=ACCENT, label="the family")
    right.legend(fontsize=6, frameon=False)
    _name(right, "mean correlation of aligned curves", "draws")


def _inputs(figure: Figure, arrays: Arrays, summary: Mapping[str, Any]) -> None:
    left, right = figure.subplots(1, 2)
    actual, predicted, tested = arrays["input_actual"], arrays["input_predicted"], arrays["input_tested"]
    ends = [float(min(actual.min(), predicted.min())), float(max(actual.max(), predicted.max()))]
    left.plot(ends, ends, color=LIGHT, linewidth=0.8)
    left.plot(actual[~tested], predicted[~tested], "o", color=LIGHT, markersize=4, label="inputs chosen on these")
    left.plot(actual[tested], predicted[tested], "o", color=INK, markersize=4, label="of concepts left out of choosing")
    left.legend(fontsize=6, frameon=False)
    _name(left, "pre-activation", f"predicted from {len(arrays['input_top'])} inputs")
    piece = next(piece for piece in summary["checklist"] if piece["name"] == "inputs")
    right.hist(arrays["input_null"], bins=20, color=LIGHT, label="as many random inputs")
    right.axvline(piece["value"], color=ACCENT, label="strongest inputs")
    right.legend(fontsize=6, frameon=False)
    _name(right, "R² on positions left out", "draws")


def _use(figure: Figure, arrays: Arrays, summary: Mapping[str, Any]) -> None:
    figure.set_size_inches(6, 2.8)
    axis = figure.subplots()
    piece = next(piece for piece in summary["checklist"] if piece["name"] == "use")
    if len(arrays["use_null"]):
        axis.hist(arrays["use_null"], bins=10, color=LIGHT, label="random units of the layer")
    if piece["low"] is not None:
        axis.axvspan(piece["low"], piece["high"], color=ACCENT, alpha=0.2, linewidth=0)
    axis.axvline(piece["value"], color=ACCENT, label="this unit, with its 95 % interval")
    axis.axvline(0, color=INK, linewidth=0.6)
    axis.legend(fontsize=6, frameon=False)
    _name(axis, f"change without it, {piece['unit']}; {piece['images']} images", "draws")


def _name(axis: Axes, x: str, y: str) -> None:
    axis.set_xlabel(x, fontsize=8, parse_math=False)
    axis.set_ylabel(y, fontsize=8, parse_math=False)


DRAWN: Mapping[str, tuple[str, Callable[[Figure, Arrays, Mapping[str, Any]], None]]] = {
    "density": ("density", _density),
    "labels": ("label_shares", _labels),
    "visualizations": ("visualizations", _visualizations),
    "stimuli": ("stimulus_responses", _stimuli),
    "family": ("family_curves", _family),
    "inputs": ("input_actual", _inputs),
    "use": ("use_change", _use),
}
"""Figure -> the array it needs, and what draws it."""
