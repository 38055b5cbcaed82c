"""The figures of a trace, and of a circuit that was measured."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.figure_colours import ACCENT, INK, LIGHT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from workbench.analyses.analysis import Result

EDGES = 40
"""Edges drawn as bars: those whose removal costs most."""


def size(result: Result) -> Figure:
    """Draw both scores against the number of edges, on the images it was scored on and, pale, on those it was chosen on."""
    from matplotlib.figure import Figure

    summary, arrays = result.summary, result.arrays
    figure = Figure(figsize=(7, 4), layout="constrained")
    axis = figure.subplots()
    edges = arrays["curve_edges"]
    for name, colour in (("faithfulness", INK), ("explained", ACCENT)):
        axis.plot(
            edges,
            arrays[f"curve_{name}"],
            "o-",
            color=colour,
            markersize=3,
            label=f"{name}, {summary['images'][1]} images",
        )
        axis.plot(
            edges,
            arrays[f"choosing_{name}"],
            "--",
            color=colour,
            alpha=0.4,
            label=f"{name}, {summary['images'][0]} images it was chosen on",
        )
    axis.axhline(summary["least"], color=LIGHT, linewidth=1, label=f"score that was kept: {summary['least']:.2f}")
    axis.axvline(summary["edges"], color=LIGHT, linewidth=1, linestyle=":")
    axis.set_xscale("symlog", linthresh=1)
    axis.set_xlim(-0.2, 1.2 * max(1, int(edges.max())))
    axis.set_ylim(
        min(-0.1, max(-1.0, float(arrays["curve_explained"].min()))),
        max(1.1, min(2.0, float(arrays["curve_faithfulness"].max()))),
    )
    axis.set_xlabel("edges of the circuit", fontsize=8)
    axis.set_ylabel("0: everything ablated, 1: the whole network", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.xaxis.set_major_formatter("{x:.0f}")
    figure.legend(loc="outside lower center", fontsize=7, frameon=False, ncols=2)
    axis.set_title(_what(result), fontsize=9, parse_math=False)
    return figure


def scores(result: Result) -> Figure:
    """Draw the scores with intervals over those of random circuits, and what the removal of each edge costs."""
    from matplotlib.figure import Figure

    summary, arrays = result.summary, result.arrays
    names = ("faithfulness", "explained")
    drops = arrays.get("edge_drop", np.zeros(0))
    order = np.argsort(-drops, kind="stable")[:EDGES]
    figure = Figure(figsize=(8, max(3.2, 1 + 0.19 * len(order))), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.4))
    for place, name in enumerate(names):
        value = math.nan if summary[name] is None else summary[name]
        low, high = (value if summary[f"{name}_{end}"] is None else summary[f"{name}_{end}"] for end in ("low", "high"))
        left.errorbar(
            place, value, yerr=[[max(0, value - low)], [max(0, high - value)]], fmt="o", color=ACCENT, capsize=3
        )
        null = arrays.get(f"null_{name}", np.zeros(0))
        left.plot(place + 0.25 + np.linspace(-0.06, 0.06, len(null)), null.clip(-1, 2), ".", color=LIGHT)
    left.set_xticks([0, 1], names, fontsize=8)
    left.set_xlim(-0.4, 1.6)
    left.axhline(0, color=INK, linewidth=0.6)
    left.axhline(1, color=LIGHT, linewidth=0.6)
    left.tick_params(axis="y", labelsize=7)
    beside = f"\npale: {summary['null_draws']} random circuits of its form" if summary.get("null_draws") else ""
    left.set_xlabel(f"95 % over concepts{beside}", fontsize=7)
    edges = summary["circuit"]["edges"]
    right.barh(range(len(order)), drops[order], color=[INK if drop >= 0 else ACCENT for drop in drops[order]])
    labels = [f"{edges[place]['source']} → {edges[place]['target']}" if edges else "" for place in order.tolist()]
    right.set_yticks(range(len(order)), labels, fontsize=6, parse_math=False)
    right.invert_yaxis()
    right.axvline(0, color=INK, linewidth=0.6)
    right.tick_params(axis="x", labelsize=7)
    right.set_xlabel("drop of the score without the edge", fontsize=7)
    figure.suptitle(_what(result), fontsize=9, parse_math=False)
    return figure


def circuit(result: Result) -> Figure:
    """Draw the circuit, its layers from left to right; an edge is as wide as what its removal costs."""
    from matplotlib.figure import Figure

    summary = result.summary
    found = summary["circuit"]
    columns = [*summary["layers"], None]
    by_layer: dict[Any, list[str]] = {layer: [] for layer in columns}
    for unit in found["units"]:
        by_layer[None if unit == summary["target"] else unit.rpartition(":")[0]].append(unit)
    tallest = max(map(len, by_layer.values()))
    figure = Figure(figsize=(2.6 * len(columns), max(3, 0.32 * tallest + 1)), layout="constrained")
    axis = figure.subplots()
    places = {
        unit: (column, (row + 0.5) / len(units))
        for column, units in enumerate(by_layer.values())
        for row, unit in enumerate(units)
    }
    drops = result.arrays.get("edge_drop", np.zeros(0))
    widest = float(np.abs(drops).max()) if len(drops) else 1.0
    for place, edge in enumerate(found["edges"]):
        (x, y), (to_x, to_y) = places[edge["source"]], places[edge["target"]]
        drop = float(drops[place]) if place < len(drops) else widest
        colour = INK if drop >= 0 else ACCENT
        axis.plot(
            [x, to_x], [y, to_y], color=colour, alpha=0.7, linewidth=0.4 + 3 * abs(drop) / (widest or 1), zorder=1
        )
    for unit, (x, y) in places.items():
        box = {"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": LIGHT}
        axis.text(x, y, unit, fontsize=7, ha="center", va="center", bbox=box, zorder=2, parse_math=False)
    axis.set_xlim(-0.5, len(columns) - 0.5)
    axis.set_ylim(1.05, -0.05)
    axis.set_axis_off()
    axis.set_title(_what(result), fontsize=9, parse_math=False)
    return figure


def _what(result: Result) -> str:
    summary = result.summary
    images = summary["images"] if isinstance(summary["images"], int) else summary["images"][1]
    return (
        f"{summary['target']} ({summary['at']} pre-activation): {summary['units']} units, {summary['edges']} edges\n"
        f"faithfulness {_told(summary['faithfulness'])}, explained {_told(summary['explained'])} on {images} images, "
        f"{summary['ablation']} ablation"
    )


def _told(score: float | None) -> str:
    return "unknown" if score is None else f"{score:.2f}"
