"""Figures of the units that a transformation turns into one another, each beside its null."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.figure_colours import ACCENT, INK, LIGHT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from workbench.analyses.analysis import Result


def drawn(result: Result) -> dict[str, Figure]:
    """Draw the layers beside their nulls, and the gain of every pair."""
    return {"layers": layers(result), "gains": gains(result)}


def of(result: Result, name: str) -> list[Mapping[str, Any]]:
    """Return the figures of every layer under one transformation."""
    return [figure for figure in result.summary["figures"] if figure["transformation"] == name]


def layers(result: Result) -> Figure:
    """Draw matched part, excess and invariance of each layer beside those of the twins, a column for each transformation."""
    from matplotlib.figure import Figure

    names: Sequence[str] = result.summary["transformations"]
    figure = Figure(figsize=(0.8 + 3.4 * len(names), 7.4), layout="constrained")
    every = figure.subplots(3, len(names), squeeze=False, sharex="col", sharey="row")
    for column, name in enumerate(names):
        rows = of(result, name)
        top, middle, low = every[:, column]
        at = np.arange(len(rows))
        top.plot(at, [row["matched"] for row in rows], "o-", color=ACCENT, markersize=3, label="network")
        top.plot(at, [row["matched_null"] if row["matched_null"] is not None else np.nan for row in rows], "o-", color=LIGHT, markersize=3)
        top.set_title(f"{result.summary['titles'][column]}, n = {result.summary['tried'][name]['images']}", fontsize=8)
        _beside(middle, at, [row["excess"] for row in rows], [row["excess_null"] for row in rows])
        _beside(low, at, [row["invariance"] for row in rows], [row["invariance_null"] for row in rows])
        low.set_xticks(at, [row["layer"] for row in rows], rotation=90, fontsize=6)
    for axes, label in zip(every[:, 0], ("units with a partner", "mean excess of partners", "median invariance"), strict=True):
        axes.set_ylabel(label, fontsize=8)
    every[0, 0].legend(fontsize=6, frameon=False)
    for axes in every.ravel():
        axes.tick_params(labelsize=6)
        axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel(f"red: network; grey: {result.summary['twins']} random-weight twins (band: smallest to largest)", fontsize=7)
    return figure


def _beside(axes: Axes, at: np.ndarray, values: Sequence[float | None], null: Sequence[Sequence[float | None] | None]) -> None:
    """Draw figures beside the range of the null."""
    low, high = (np.array([np.nan if pair is None or pair[end] is None else pair[end] for pair in null], float) for end in (0, 1))
    axes.fill_between(at, low, high, color=LIGHT, linewidth=0)
    axes.plot(at, np.array([np.nan if value is None else value for value in values], float), "o-", color=ACCENT, markersize=3)
    axes.axhline(0, color=INK, linewidth=0.4)


def gains(result: Result) -> Figure:
    """Draw the lower end of every pair's gain beside what a pair of the twins reached."""
    from matplotlib.figure import Figure

    names: Sequence[str] = result.summary["transformations"]
    arrays = result.arrays
    figure = Figure(figsize=(0.8 + 3.4 * len(names), 3.6), layout="constrained")
    every = figure.subplots(1, len(names), squeeze=False, sharey=True)[0]
    for number, (axes, name) in enumerate(zip(every, names, strict=True)):
        for place, row in enumerate(of(result, name)):
            here = (arrays["transformation"] == number) & (arrays["layer"] == place)
            low, counts = arrays["low"][here], arrays["counts"][here]
            spread = np.linspace(-0.3, 0.3, max(1, len(low)))
            axes.scatter(place + spread[~counts], low[~counts], s=2, color=LIGHT)
            axes.scatter(place + spread[counts], low[counts], s=3, color=ACCENT)
            if row["bar"] is not None:
                axes.plot([place - 0.4, place + 0.4], [row["bar"]] * 2, color=INK, linewidth=1)
        axes.set_ylim(-0.5, 1.02)
        axes.set_title(result.summary["titles"][number], fontsize=8)
        axes.set_xticks(np.arange(len(of(result, name))), [row["layer"] for row in of(result, name)], rotation=90, fontsize=6)
        axes.tick_params(labelsize=6)
        axes.spines[["top", "right"]].set_visible(False)
    every[0].set_ylabel("gain of the partner, lower end of 95 %", fontsize=8)
    figure.supxlabel("red: counts; line: largest of any pair of the twins", fontsize=7)
    return figure
