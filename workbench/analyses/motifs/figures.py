"""Figures of the motifs that were found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from workbench.figure_colours import ACCENT, INK, LIGHT
from workbench.motifs import KINDS, NULLS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from workbench.analyses.analysis import Result



def drawn(result: Result) -> dict[str, Figure]:
    """Draw counts beside those of the null, scores of all tests, and the templates."""
    figures = {"counts": _counts(result), "scores": _scores(result)}
    if len(result.arrays["templates"]):
        figures["templates"] = _templates(result)
    return figures


def _counts(result: Result) -> Figure:
    from matplotlib.figure import Figure

    summary = result.summary
    kinds = list(summary["kinds"])
    figure = Figure(figsize=(7, 0.55 * len(kinds) + 1.4), layout="constrained")
    axes = figure.subplots()
    at = np.arange(len(kinds))
    counts = [summary["kinds"][kind]["found"] for kind in kinds]
    null = [summary["kinds"][kind]["null_mean"] or 0.0 for kind in kinds]
    axes.barh(at - 0.2, counts, 0.38, color=INK, label="network")
    axes.barh(at + 0.2, null, 0.38, color=LIGHT, label=f"null, mean of {summary['draws']} draws")
    for place, kind in enumerate(kinds):
        told = summary["kinds"][kind]
        axes.text(counts[place], place - 0.2, f" {counts[place]} of {told['tests']:,} tests", va="center", fontsize=7)
        axes.text(null[place], place + 0.2, f" {null[place]:.2g} in {NULLS[kind]}", va="center", fontsize=7, color=INK)
    axes.set_yticks(at, [KINDS[kind][0] for kind in kinds], fontsize=8)
    axes.set_ylim(len(kinds) - 0.4, -0.6)
    axes.set_xlim(0, max([1, *counts, *null]) * 1.25)
    axes.set_xlabel(f"motifs at q <= {summary['alpha']:g} (Benjamini-Hochberg), n = {summary['images']} images", fontsize=8)
    axes.tick_params(axis="x", labelsize=7)
    axes.legend(fontsize=7, frameon=False, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _scores(result: Result) -> Figure:
    from matplotlib.figure import Figure

    summary = result.summary
    kinds = [kind for kind in summary["kinds"] if len(result.arrays[f"{kind}_score"])]
    figure = Figure(figsize=(2.4 * max(1, min(3, len(kinds))), 2.0 * max(1, -(-len(kinds) // 3))), layout="constrained")
    if not kinds:
        return figure
    every = figure.subplots(-(-len(kinds) // 3), min(3, len(kinds)), squeeze=False).ravel()
    for axes in every[len(kinds) :]:
        axes.set_axis_off()
    for axes, kind in zip(every, kinds, strict=False):
        scores, q = result.arrays[f"{kind}_score"], result.arrays[f"{kind}_q"]
        least = summary["kinds"][kind]["least"]
        found = (q <= summary["alpha"]) & (scores >= least)
        edges = np.histogram_bin_edges(scores, 30)
        axes.hist(scores[~found], edges, color=LIGHT)
        axes.hist(scores[found], edges, color=ACCENT)
        axes.axvline(least, color=INK, linewidth=0.8, linestyle=":")
        axes.set_yscale("symlog", linthresh=1)
        axes.set_title(KINDS[kind][0], fontsize=8)
        axes.set_xlabel("score (red: found; dotted: smallest that counts)", fontsize=6)
        axes.set_ylabel("tests", fontsize=7)
        axes.tick_params(labelsize=6)
    return figure


def _templates(result: Result) -> Figure:
    from matplotlib.figure import Figure

    templates = result.arrays["templates"]
    score, null = result.arrays["template_score"], result.arrays["template_q"]
    columns = min(8, len(templates))
    rows = -(-len(templates) // columns)
    figure = Figure(figsize=(1.1 * columns + 0.3, 1.35 * rows + 0.3), layout="constrained")
    every = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in every:
        axes.set_axis_off()
    for place, axes in enumerate(every[: len(templates)]):
        kept = np.isfinite(templates[place])
        side = round(float(np.sqrt(kept.sum())))
        template = templates[place][kept].reshape(side, side)
        most = float(np.abs(template).max()) or 1.0
        axes.imshow(template, cmap="RdBu_r", vmin=-most, vmax=most, interpolation="nearest")
        axes.set_title(f"{place}: {score[place]:.1%}\nq {null[place]:.1g}", fontsize=6)
    return figure
