"""The figures of a sweep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from workbench.analyses.analysis import Result

DRAWN = ("sparsity", "min", "max", "histogram", "histogram_edges", "top_values")
UNITS = 6
LAYERS = 8
INK, LIGHT, ACCENT = "#30343a", "#aab4c0", "#c8442f"


def histograms(result: Result) -> Figure:
    """Draw activation histograms: a row a layer (at most 8, evenly chosen), six units from the sparsest to the densest."""
    from matplotlib.figure import Figure

    summary = result.summary
    names = list(summary["layers"])
    names = [names[i] for i in np.unique(np.linspace(0, len(names) - 1, LAYERS).round().astype(int))]
    figure = Figure(figsize=(11, 1.7 * len(names) + 0.7), layout="constrained")
    figure.suptitle(
        f"Activations of {summary['images']} images, {summary['histogram_positions']} positions of each: number of positions; "
        f"red: the {result.parameters['k']} strongest images",
        fontsize=9,
    )
    for part, name in zip(figure.subfigures(len(names), 1, squeeze=False)[:, 0], names, strict=True):
        part.suptitle(
            _label(name, summary["layers"][name]), fontsize=8, x=0.01, ha="left", fontweight="bold", color=INK
        )
        order = np.argsort(result.arrays[f"{name}/sparsity"], kind="stable")
        chosen = np.unique(np.linspace(0, len(order) - 1, UNITS).round().astype(int))
        for axis, unit in zip(part.subplots(1, UNITS), order[chosen], strict=False):
            _draw_unit(axis, {what: result.arrays[f"{name}/{what}"][unit] for what in DRAWN}, int(unit))
        for axis in part.axes[len(chosen) :]:
            axis.set_axis_off()
    return figure


def _draw_unit(axis: Axes, found: Mapping[str, Any], unit: int) -> None:
    axis.set_title(f"unit {unit} · {100 * found['sparsity']:.0f} % > 0", fontsize=7, color=INK)
    axis.tick_params(labelsize=6)
    if not found["min"] < found["max"]:
        axis.set_axis_off()
        axis.text(0.5, 0.5, f"always {found['max']:.3g}", transform=axis.transAxes, ha="center", fontsize=7, color=INK)
        return
    used = np.flatnonzero(found["histogram"])
    bins = slice(used[0], used[-1] + 1)
    axis.stairs(found["histogram"][bins], found["histogram_edges"][used[0] : used[-1] + 2], fill=True, color=LIGHT)
    axis.set_yscale("log")
    top = found["top_values"]
    axis.plot(top, np.full_like(top, 0.03), "|", color=ACCENT, markersize=7, transform=axis.get_xaxis_transform())


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
    axis.set_xticks(
        places, [_label(name, summary["layers"][name]) for name in names], rotation=45, ha="right", fontsize=7
    )
    axis.set_ylim(-0.02, 1.02)
    axis.set_ylabel("median and middle 80 % of units")
    axis.set_title(f"Sparsity of {summary['images']} images", fontsize=9)
    axis.legend(fontsize=7, frameon=False)
    return figure


def _label(name: str, layer: Mapping[str, Any]) -> str:
    role = {"pre": " (pre-activation)", "post": " (post-activation)"}
    return name + role.get(str(layer["role"]), "")


def _known(values: np.ndarray) -> np.ndarray:
    """Return the numbers among the values, one zero where there is none."""
    known = values[np.isfinite(values)]
    return known if known.size else np.zeros(1)
