"""The figures of a sweep."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.analyses.dataset_examples.sheet import UNITS, columns, drawn_layers, drawn_units
from workbench.figure_colours import ACCENT, INK, LIGHT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from workbench.analyses.analysis import Result

DRAWN = ("sparsity", "min", "max", "histogram", "histogram_edges", "top_values")
WIDTH, HEADER, CAPTION, GAP, MARGIN = 11.0, 0.75, 0.24, 0.1, 0.75
"""Of a sheet, in inches: its width, its head, what stands below an image, between two groups of columns, left of the images."""


def histograms(result: Result) -> Figure:
    """Draw activation histograms: a row a layer (at most 8, evenly chosen), six units from the sparsest to the densest."""
    from matplotlib.figure import Figure

    summary = result.summary
    names = drawn_layers(list(summary["layers"]))
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
        chosen = drawn_units(result.arrays[f"{name}/sparsity"])
        for axis, unit in zip(part.subplots(1, UNITS), chosen, strict=False):
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


def examples(result: Result) -> dict[str, Figure]:
    """Draw the example images: a figure a layer, a row a unit, from the strongest images to the weakest."""
    names = drawn_layers(list(result.summary["layers"]))
    return {
        f"examples_{place + 1}_{re.sub(r'[^A-Za-z0-9]+', '-', name).strip('-')}": _sheet(result, name, place)
        for place, name in enumerate(names)
    }


def _sheet(result: Result, name: str, place: int) -> Figure:
    from matplotlib.figure import Figure

    summary, arrays, parameters = result.summary, result.arrays, result.parameters
    layer, ranges = summary["layers"][name], parameters["ranges"]
    shown = columns(parameters["k"], ranges, parameters["samples"])
    pictures = arrays["sheet_images"][place]
    units = arrays["sheet_units"][place][arrays["sheet_units"][place] >= 0]
    groups = ranges + 1
    side = (WIDTH - MARGIN - GAP * groups - 0.1) / len(shown)
    tall = side * pictures.shape[2] / pictures.shape[3]
    height = HEADER + len(units) * (tall + CAPTION)
    left = [MARGIN + at * side + column.group * GAP for at, column in enumerate(shown)]
    figure = Figure(figsize=(WIDTH, height))
    axis = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    images = result.provenance.get("images")
    head = (
        f"{_label(name, layer)}: {len(units)} of {layer['units']} units, from the sparsest to the densest; "
        f"{summary['images']:,} images" + (f" of {images}" if images else ""),
        "Below an image: the unit's largest activation in it (last column: its smallest), on the layer's own scale, and the image's name. "
        f"Per cent: ranks by it among {summary['sampled_images']:,} random images.",
    )
    axis.text(0.1, 0.2, head[0], fontsize=9, fontweight="bold", color=INK, va="center", parse_math=False)
    axis.text(0.1, 0.4, head[1], fontsize=7, color=INK, va="center")
    titles = ["strongest"]
    titles += [f"{100 * i / ranges:.0f}–{100 * (i + 1) / ranges:.0f} %" for i in reversed(range(ranges))]
    titles += ["weakest" if layer["role"] == "post" else "most negative"]
    for group, title in enumerate(titles):
        edges = [edge for edge, column in zip(left, shown, strict=True) if column.group == group]
        axis.text((edges[0] + edges[-1] + side) / 2, HEADER - 0.1, title, fontsize=7, color=INK, ha="center")
    for row, unit in enumerate(units.tolist()):
        top = HEADER + row * (tall + CAPTION)
        share = 100 * arrays[f"{name}/sparsity"][unit]
        axis.text(0.1, top + tall / 2, f"unit {unit}\n{share:.0f} % > 0", fontsize=7, color=INK, va="center")
        for at, (edge, column) in enumerate(zip(left, shown, strict=True)):
            where = (unit, *column.place)
            index = arrays[f"{name}/{column.end}_index"][where]
            if index < 0:
                continue
            axis.imshow(pictures[row, at], extent=(edge + 0.01, edge + side - 0.01, top + tall, top), aspect="auto")
            image = str(arrays["example_ids"][np.searchsorted(arrays["example_index"], index)])
            caption = f"{arrays[f'{name}/{column.end}_values'][where]:.3g}\n{_short(image)}"
            axis.text(
                edge + side / 2,
                top + tall + 0.02,
                caption,
                fontsize=5,
                color=INK,
                ha="center",
                va="top",
                linespacing=1.0,
                parse_math=False,
            )
    axis.set_xlim(0, WIDTH)
    axis.set_ylim(height, 0)
    axis.set_axis_off()
    return figure


def _short(name: str) -> str:
    """Return the end of an image's name, as much as fits below it."""
    stem = PurePosixPath(name).stem
    return stem if len(stem) <= 16 else f"…{stem[-15:]}"


def _label(name: str, layer: Mapping[str, Any]) -> str:
    role = {"pre": " (pre-activation)", "post": " (post-activation)"}
    return name + role.get(str(layer["role"]), "")


def _known(values: np.ndarray) -> np.ndarray:
    """Return the numbers among the values, one zero where there is none."""
    known = values[np.isfinite(values)]
    return known if known.size else np.zeros(1)
