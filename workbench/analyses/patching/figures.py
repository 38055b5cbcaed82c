"""Figures of patching: what each part carries, and whether the ways of measuring it agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from workbench.figure_colours import ACCENT, INK, LIGHT
from workbench.patching_table import partly

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from workbench.analyses.analysis import Result

BARS = 24
NEAR = 0.3
"""Score from which on 1 is shown: smaller ones would be squeezed into the edge of the figure."""


def _noise(result: Result) -> str:
    """Name the direction noise, and what it puts where that is not the other image's activation."""
    return "noise" + {"resample": "", "mean": " (puts the mean)", "zero": " (puts 0)"}[result.summary["put"]]


def _title(result: Result) -> str:
    told = result.summary
    count = f"n = {told['pairs']} pairs" + (f", {told['left_out']} that hardly differ left out" if told["left_out"] else "")
    if told["drawn"]:
        count = "one pair: no intervals"
    if some := partly(told):
        count += f"; of all parts {some}, each a point of its own"
    through = f" through {told['through']}" if told["through"] else ""
    unfinished = f"; cancelled, {told['exact']} of {len(told['names'])} exact" if told["incomplete"] else ""
    return f"Patching{through}, {told['corruption']}: {told['metric']}\n{count}{unfinished}"


def effects(result: Result) -> Figure:
    """Draw the scores of the parts with most effect, both directions with their intervals, and of strangers' activations."""
    from matplotlib.figure import Figure

    table = [row for row in result.summary["patches"] if row["denoise"] is not None]
    if len(table) > BARS:
        table = sorted(table, key=lambda row: -row["denoise"])[:BARS]
    figure = Figure(figsize=(8, 1.4 + 0.26 * len(table)), layout="constrained")
    axis = figure.subplots()
    for place, row in enumerate(table):
        for name, colour, off in (("denoise", ACCENT, -0.14), ("noise", INK, 0.14)):
            if row[name] is None:
                continue
            low, high = row[f"{name}_low"], row[f"{name}_high"]
            if low is not None and high is not None:
                axis.plot([low, high], [place + off] * 2, color=colour, linewidth=1.2)
            called = name if name == "denoise" else _noise(result)
            axis.plot(row[name], place + off, "o", color=colour, markersize=4, label=called if not place else None)
        if row["unaligned"] is not None:
            named = "null of denoise: from another pair" if not place else None
            axis.plot(row["unaligned"], place, "|", color=LIGHT, markersize=10, label=named)
    whole = max((row[name] for row in table for name in ("denoise", "noise", "unaligned") if row[name] is not None), default=1.0)
    for at in (0, 1) if whole > NEAR else (0,):
        axis.axvline(at, color=LIGHT, linewidth=0.8, linestyle=":")
    axis.set_yticks(range(len(table)), [row["name"] for row in table], fontsize=7, parse_math=False)
    axis.set_ylim(len(table) - 0.4, -0.6)
    axis.set_xlabel("part of the difference that comes with it (0: none, 1: all); bars: 95 % over concepts", fontsize=8)
    axis.set_title(_title(result), fontsize=8, parse_math=False)
    axis.tick_params(axis="x", labelsize=7)
    axis.legend(fontsize=7, frameon=False)
    return figure


def scatter(result: Result) -> Figure:
    """Draw denoise against noise, and exact scores against their first-order estimates."""
    from matplotlib.figure import Figure

    arrays = result.arrays
    denoise, noise, guess = arrays["denoise_score"], arrays["noise_score"], arrays["denoise_attribution"]
    figure = Figure(figsize=(8, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    _points(left, arrays["layer"], denoise, noise, result.summary["layers"])
    left.set_xlabel("denoise: suffices", fontsize=8)
    left.set_ylabel(f"{_noise(result)}: is needed", fontsize=8)
    _points(right, arrays["layer"], guess, denoise, result.summary["layers"])
    right.set_xlabel("attribution (first order)", fontsize=8)
    right.set_ylabel("exact, denoise", fontsize=8)
    left.legend(fontsize=6, frameon=False)
    figure.suptitle(_title(result), fontsize=8, parse_math=False)
    return figure


def halves(result: Result) -> Figure:
    """Draw the scores of one half of the concepts against those of the other."""
    from matplotlib.figure import Figure

    arrays = result.arrays
    half, whole = arrays["half"], arrays["whole"]
    figure = Figure(figsize=(4.4, 4), layout="constrained")
    axis = figure.subplots()
    one, other = (arrays["denoise"][:, of].mean(1) / whole[of].mean() for of in (half, ~half))
    _points(axis, arrays["layer"], one, other, result.summary["layers"])
    axis.set_xlabel(f"denoise, {int(half.sum())} pairs", fontsize=8)
    axis.set_ylabel(f"denoise, the other {int((~half).sum())} pairs, of other concepts", fontsize=8)
    if some := partly(result.summary):
        axis.set_title(f"of all parts {some}, each a point of its own", fontsize=8)
    return figure


def _points(axis: Axes, layer: np.ndarray, x: np.ndarray, y: np.ndarray, names: list[str]) -> None:
    from matplotlib import colormaps

    colours = colormaps["viridis"]
    for place, name in enumerate(names):
        of = layer == place
        axis.plot(x[of], y[of], ".", color=colours(place / max(1, len(names) - 1) * 0.9), markersize=4, label=name)
    known = np.concatenate([x, y])[np.isfinite(np.concatenate([x, y]))]
    ends = [float(known.min(initial=0.0)), float(known.max(initial=0.0))]
    axis.plot(ends, ends, color=LIGHT, linewidth=0.8, linestyle="--")
    axis.locator_params(nbins=5)
    axis.tick_params(labelsize=7)
