"""The figures of an ablation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.figure_colours import ACCENT, INK, LIGHT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from workbench.analyses.analysis import Result

CLASSES = 24
"""Classes drawn: those that fall most and those that rise most."""
ACROSS = 6


def effect(result: Result) -> Figure:
    """Draw the mean change with its interval over the histogram of what random units do."""
    from matplotlib.figure import Figure

    summary, null = result.summary, result.arrays["null_change"]
    figure = Figure(figsize=(6.5, 3.6), layout="constrained")
    axis = figure.subplots()
    if len(null):
        label = f"{len(null)} random draws of as many units, {summary['null_images']} images"
        axis.hist(null, bins=min(20, len(null)), color=LIGHT, label=label)
        own = summary["change_on_null_images"]
        axis.axvline(own, color=ACCENT, linestyle="--", label=f"these units on the same images: {own:.4g}")
    low, high = (summary["change"] if end is None else end for end in (summary["change_low"], summary["change_high"]))
    axis.axvspan(low, high, color=ACCENT, alpha=0.2, linewidth=0)
    axis.axvline(
        summary["change"], color=ACCENT, label=f"these units, {summary['images']} images: {summary['change']:.4g}"
    )
    axis.axvline(0, color=INK, linewidth=0.6)
    detectable = (
        "" if summary["detectable"] is None else f"\nsmallest change it would find: {summary['detectable']:.2g}"
    )
    beside = f"; random draws smaller in size: {summary['percentile']:.0f} %" if len(null) else ""
    axis.set_xlabel(f"change: {summary['measure']}{detectable}{beside}", fontsize=8)
    axis.set_ylabel("draws", fontsize=8)
    axis.tick_params(labelsize=7)
    figure.legend(loc="outside lower center", fontsize=7, frameon=False, ncols=2)
    _title(axis, result)
    return figure


def classes(result: Result) -> Figure:
    """Draw the change of the classes that fall and rise most, with intervals, and the null where it has images of the class."""
    from matplotlib.figure import Figure

    arrays = result.arrays
    change = arrays["class_change"]
    order = np.argsort(change)[: int(np.isfinite(change).sum())]
    chosen = order if len(order) <= CLASSES else np.concatenate([order[: CLASSES // 2], order[-CLASSES // 2 :]])
    figure = Figure(figsize=(7, 1 + 0.2 * len(chosen)), layout="constrained")
    axis = figure.subplots()
    names = arrays["class_names"]
    places = np.arange(len(chosen))
    axis.barh(places, change[chosen], color=[ACCENT if value < 0 else INK for value in change[chosen]], height=0.7)
    ends = np.stack([change - arrays["class_low"], arrays["class_high"] - change])[:, chosen]
    axis.errorbar(
        change[chosen], places, xerr=np.nan_to_num(ends).clip(0), fmt="none", ecolor=LIGHT, elinewidth=1, capsize=2
    )
    axis.set_yticks(
        places,
        [f"{names[place]} ({arrays['class_images'][place]})" for place in chosen.tolist()],
        fontsize=7,
        parse_math=False,
    )
    axis.invert_yaxis()
    axis.axvline(0, color=INK, linewidth=0.6)
    axis.tick_params(axis="x", labelsize=7)
    over = f"95 % over {result.summary['groups']}s"
    axis.set_xlabel(f"change of the class's log-probability on its images (their number), {over}", fontsize=8)
    _title(axis, result)
    return figure


def images(result: Result) -> Figure:
    """Draw the images that change most, each with its change."""
    from matplotlib.figure import Figure

    pictures, change = result.arrays["most_pictures"], result.arrays["most_change"]
    lines = -(-len(pictures) // ACROSS)
    figure = Figure(figsize=(1.3 * ACROSS, 1.5 * lines + 0.4), layout="constrained")
    for axis in figure.subplots(lines, ACROSS, squeeze=False).flat:
        axis.set_axis_off()
    for axis, picture, value in zip(figure.axes, pictures, change, strict=False):
        axis.imshow(picture)
        axis.set_title(f"{value:+.3g}", fontsize=7, color=ACCENT if value < 0 else INK, pad=2)
    figure.suptitle(f"{_what(result)}: images that change most", fontsize=9, parse_math=False)
    return figure


def _what(result: Result) -> str:
    summary = result.summary
    units = ",".join(map(str, summary["units"][:6])) + (",…" if len(summary["units"]) > 6 else "")
    return f"{summary['layer']}:{units} ablated ({summary['method']})"


def _title(axis: Any, result: Result) -> None:
    axis.set_title(f"{_what(result)}, {result.summary['images']} images", fontsize=9, parse_math=False)
