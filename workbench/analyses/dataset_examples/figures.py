"""The figures of a sweep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from workbench.analyses.analysis import Result

UNITS = 6
LAYERS = 8
INK, LIGHT, ACCENT = "#30343a", "#aab4c0", "#c8442f"


def histograms(result: Result) -> Figure:
    """Draw activation histograms: a row a layer (at most 8, evenly chosen), six units from the sparsest to the densest."""
    from matplotlib.figure import Figure

    summary = result.summary
    names = list(summary["layers"])
    names = [names[i] for i in np.unique(np.linspace(0, len(names) - 1, LAYERS).round().astype(int))]
    figure = Figure(figsize=(11, 1.6 * len(names) + 0.9), layout="constrained")
    axes = figure.subplots(len(names), UNITS, squeeze=False)
    for row, name in zip(axes, names, strict=True):
        sparsity = result.arrays[f"{name}/sparsity"]
        order = np.argsort(sparsity, kind="stable")
        chosen = np.unique(np.linspace(0, len(order) - 1, UNITS).round().astype(int))
        for axis, rank in zip(row, chosen, strict=False):
            unit = int(order[rank])
            counts, edges = (result.arrays[f"{name}/{what}"][unit] for what in ("histogram", "histogram_edges"))
            used = np.flatnonzero(counts)
            if used.size:
                part = slice(used[0], used[-1] + 1)
                axis.stairs(counts[part], edges[used[0] : used[-1] + 2], fill=True, color=LIGHT)
                axis.set_yscale("log")
            top = result.arrays[f"{name}/top_values"][unit]
            axis.plot(top, np.ones_like(top), "|", color=ACCENT, markersize=7, clip_on=False)
            axis.set_title(f"unit {unit} · {100 * sparsity[unit]:.0f} % > 0", fontsize=7, color=INK)
            axis.tick_params(labelsize=6)
        for axis in row[len(chosen) :]:
            axis.set_axis_off()
        row[0].set_ylabel(f"{name}\n{_role(summary['layers'][name])}\npositions", fontsize=7)
    figure.supxlabel("activation", fontsize=8)
    figure.suptitle(
        f"Activations of {summary['images']} images, {summary['histogram_positions']} positions of each; "
        f"red: the {result.parameters['k']} strongest images",
        fontsize=9,
    )
    return figure


def sparsity(result: Result) -> Figure:
    """Draw how sparse each layer's units are: median and the middle 80 % of units, in the order the layers were named."""
    from matplotlib.figure import Figure

    summary = result.summary
    names = list(summary["layers"])
    figure = Figure(figsize=(max(5, 0.35 * len(names) + 3), 4), layout="constrained")
    axis = figure.subplots()
    places = np.arange(len(names))
    for what, label, colour, shift in (
        ("sparsity", "positions above 0", INK, -0.12),
        ("treves_rolls", "Treves-Rolls, over images' maxima", ACCENT, 0.12),
    ):
        low, middle, high = np.array(
            [np.nanquantile(_known(result.arrays[f"{name}/{what}"]), (0.1, 0.5, 0.9)) for name in names]
        ).T
        axis.errorbar(
            places + shift, middle, (middle - low, high - middle), fmt="o", color=colour, label=label, capsize=2
        )
    labels = [f"{name} ({_role(summary['layers'][name])})" for name in names]
    axis.set_xticks(places, labels, rotation=45, ha="right", fontsize=7)
    axis.set_ylim(-0.02, 1.02)
    axis.set_ylabel("part, median and middle 80 % of units")
    axis.set_title(f"Sparsity of {summary['images']} images", fontsize=9)
    axis.legend(fontsize=7, frameon=False)
    return figure


def _role(layer: Mapping[str, Any]) -> str:
    return {"pre": "pre-activation", "post": "post-activation"}.get(str(layer["role"]), "neither pre nor post")


def _known(values: np.ndarray) -> np.ndarray:
    """Return the numbers among the values, one zero where there is none."""
    known = values[np.isfinite(values)]
    return known if known.size else np.zeros(1)
