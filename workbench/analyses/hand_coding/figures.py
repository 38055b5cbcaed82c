"""The figures of hand-coding: what is recovered beside its controls, and the kernels beside the network's own."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from workbench.figure_colours import ACCENT, INK, LIGHT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from workbench.analyses.analysis import Result

KERNELS, CHANNELS = 16, 6
"""Units and channels of each that are drawn."""


def recovered(result: Result) -> Figure:
    """Draw the mean losses on one axis, with the accuracies, and shuffled kernels beside those by hand."""
    from matplotlib.figure import Figure

    summary = result.summary
    figure = Figure(figsize=(6.8, 3.4), layout="constrained")
    axis = figure.subplots()
    rows = [("full", "network"), ("hand", "by hand"), ("offset", "offset alone"), ("ablated", "at their mean"), ("zeroed", "at zero")]
    values = [summary[f"loss_{row}"] for row, _ in rows]
    places = list(range(len(rows)))
    for place, value in zip(places, values, strict=True):  # dots, not bars: the axis does not begin at 0
        axis.axhline(place, color=LIGHT, linewidth=0.6, zorder=0)
        axis.plot(value, place, "o", color=ACCENT if place == 1 else INK, markersize=6)
    axis.set_yticks(places, [name for _, name in rows], fontsize=8)
    axis.invert_yaxis()
    for place, (row, _) in enumerate(rows):
        said = f"   {values[place]:.3f}"
        accuracy = summary.get(f"accuracy_{row}")
        said += f", accuracy {100 * accuracy:.1f} %" if accuracy is not None else ""
        axis.text(values[place], place, said, va="bottom", fontsize=7)
    shuffled = result.arrays["shuffled_loss"]
    if len(shuffled):
        beside, label = np.full(len(shuffled), places[1] + 0.3), f"{len(shuffled)} shuffled kernels"
        axis.plot(shuffled, beside, ".", color=INK, markersize=4, label=label)
        axis.legend(fontsize=7, frameon=False, loc="lower right")
    low, high = min(values), max([*values, *shuffled.tolist()])
    axis.set_xlim(low - 0.25 * (high - low), high + 0.35 * (high - low) + 1e-9)
    loss = {"classes": "minus the {}, nats", "kl": "{}, nats"}.get(summary["measure"], "{}").format(summary["task"])
    axis.set_xlabel(f"loss: {loss}, n = {summary['images']} images", fontsize=8, parse_math=False)
    axis.tick_params(labelsize=7)
    if summary["refused"]:
        told = "nothing can be said: " + summary["refused"]
    else:
        low, high = summary["recovered_low"], summary["recovered_high"]
        around = "" if low is None or high is None else f" [{100 * low:.0f}, {100 * high:.0f}]"
        told = f"recovered {100 * summary['recovered']:.0f} %{around}"
    axis.set_title(f"{summary['network']}: {len(summary['units'])} units by hand\n{told}", fontsize=8, parse_math=False, wrap=True)
    return figure


def kernels(result: Result) -> Figure:
    """Draw the kernels by hand and the network's own, side by side; over more channels than fit, the strongest of the two."""
    from matplotlib.figure import Figure

    units = result.summary["units"][:KERNELS]
    columns = min(4, len(units))
    rows = math.ceil(len(units) / columns)
    _, height, width = result.arrays["own/0"].shape
    each = 2.5 * 2 * (height + 1) / (min(CHANNELS, len(result.arrays["own/0"])) * (width + 1)) + 0.3
    figure = Figure(figsize=(2.6 * columns, each * rows + 0.4), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for place, axis in enumerate(grid.flat):
        axis.set_axis_off()
        if place < len(units):
            _pair(axis, result.arrays[f"own/{place}"], result.arrays[f"kernel/{place}"])
            alike = units[place]["correlation"]
            said = "" if alike is None else f", r {alike:.2f}"
            axis.set_title(f"{units[place]['unit']}{said}", fontsize=7, parse_math=False)
    figure.suptitle("own (above) and by hand (below); red excites, blue inhibits; r: correlation of the outputs", fontsize=7)
    return figure


def _pair(axis: Axes, own: npt.NDArray[np.float32], hand: npt.NDArray[np.float32]) -> None:
    strength = np.square(own).sum((1, 2)) / max(float(np.square(own).sum()), 1e-12)
    strength = strength + np.square(hand).sum((1, 2)) / max(float(np.square(hand).sum()), 1e-12)
    shown = np.sort(np.argsort(-strength, kind="stable")[:CHANNELS])
    gap = ((0, 0), (0, 1), (0, 1))
    lines = []
    for kernel in (own, hand):
        scaled = kernel[shown] / max(float(np.abs(kernel[shown]).max()), 1e-12)
        lines.append(np.concatenate(list(np.pad(scaled, gap, constant_values=np.nan)), 1))
    axis.imshow(np.concatenate(lines), cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")


def curve_maps(result: Result) -> Figure:
    """Draw for each unit the responses to curves by direction and radius, its own above and those of the kernel by hand below."""
    radii = ", ".join(f"{radius:g}" for radius in result.summary["radii"])
    return _maps(
        result,
        f"response before the non-linearity to black curves: across, direction 0° to 345°; down, radius {radii} of the side;\n"
        "own above, by hand below, each from its least to its most; r: correlation on curves of other radii",
    )


def boundary_maps(result: Result) -> Figure:
    """Draw for each unit the responses to boundaries by side and frequency, its own above and those of the kernel by hand below."""
    pairs = ", ".join(f"{fine:g} beside {coarse:g}" for fine, coarse in result.summary["frequencies"])
    return _maps(
        result,
        "response before the non-linearity to fine beside coarse texture: across, side of the fine one, 0° (right) to 330°;\n"
        f"down, {pairs} cycles a side; own above, by hand below, each from its least to its most;\n"
        "r: correlation on other textures than kernels were chosen by",
    )


def _maps(result: Result, title: str) -> Figure:
    """Draw ``own_map`` above ``hand_map`` for each unit, each scaled to itself."""
    from matplotlib.figure import Figure

    units = result.summary["units"][:KERNELS]
    columns = min(4, len(units))
    rows = math.ceil(len(units) / columns)
    figure = Figure(figsize=(2.6 * max(columns, 3), 1.5 * rows + 0.5), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for place, axis in enumerate(grid.flat):
        axis.set_axis_off()
        if place < len(units):
            pair = [result.arrays[name][place] for name in ("own_map", "hand_map")]
            scaled = [(one - one.min()) / max(float(np.ptp(one)), 1e-12) for one in pair]
            gap = np.full((1, scaled[0].shape[1]), np.nan)
            axis.imshow(np.concatenate([scaled[0], gap, scaled[1]]), aspect="auto", cmap="magma", interpolation="nearest")
            unit = units[place]
            held = "-" if unit["held_out"] is None else f"{unit['held_out']:.2f}"
            axis.set_title(f"{unit['unit']} {unit['prefers']:.0f}°, r {held}", fontsize=7, parse_math=False)
    figure.suptitle(title, fontsize=7)
    return figure


def scores(result: Result) -> Figure:
    """Draw the scores of all units of each layer that was looked through, and the highest of each random-weight twin."""
    from matplotlib.figure import Figure

    layers = list(result.summary["looked_through"])
    figure = Figure(figsize=(6.8, 0.32 * (len(layers) + 1) + 1.2), layout="constrained")
    axis = figure.subplots()
    for place, values in enumerate([*(result.arrays[f"scores/{name}"] for name in layers), result.arrays["twin_score"]]):
        axis.axhline(place, color=LIGHT, linewidth=0.6, zorder=0)
        colour = np.where(values > result.summary["twin_highest"], ACCENT, INK)
        axis.scatter(values, np.full(len(values), place), s=9, c=colour, linewidths=0, alpha=0.6)
    axis.axvline(result.summary["twin_highest"], color=INK, linewidth=0.8, linestyle="--")
    axis.set_yticks(range(len(layers) + 1), [*layers, f"highest of each of {result.summary['twins']} twins"], fontsize=7)
    axis.invert_yaxis()
    axis.tick_params(labelsize=7)
    axis.set_xlabel("score: part of the response to fine beside coarse texture that points to one side (0 none, 0.79 ideal)", fontsize=7)
    axis.set_title(
        f"{result.summary['network']}: high-low frequency detectors, before the non-linearity\n"
        f"a dot is a unit; dashed: the highest of the random-weight twins, {result.summary['twin_highest']:.2f}",
        fontsize=8,
        parse_math=False,
    )
    return figure
