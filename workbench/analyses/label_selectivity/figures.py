"""The figures of label selectivity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.figure_colours import ACCENT, INK, LIGHT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from workbench.analyses.analysis import Result

DRAWN = 6
"""Units drawn."""
NAMED = 15
"""Labels named beside their points."""


def units(result: Result) -> Figure:
    """Draw the listed labels of the first units: AUROC with interval, on the half they were not chosen on, and the twins' extreme."""
    from matplotlib.figure import Figure

    shown = result.summary["units"][:DRAWN]
    rows = max((len(unit["labels"]) for unit in shown), default=0)
    figure = Figure(figsize=(11, 1.2 + 0.28 * max(rows, 1) * -(-len(shown) // 2) + 0.5), layout="constrained")
    figure.suptitle(
        f"Labels that units of {_layer(result)} separate: AUROC over {result.summary['images']:,} images of "
        f"{result.summary['concepts']:,} concepts, 95 % intervals",
        fontsize=9,
    )
    for axis, unit in zip(figure.subplots(-(-len(shown) // 2), 2, squeeze=False).flat, shown, strict=False):
        _draw(axis, unit)
    for axis in figure.axes[len(shown) :]:
        axis.set_axis_off()
    return figure


def _draw(axis: Axes, unit: Mapping[str, Any]) -> None:
    listed = unit["labels"]
    places = np.arange(len(listed))
    axis.set_title(f"unit {unit['unit']}", fontsize=8, color=INK, loc="left")
    axis.axvline(0.5, color=LIGHT, linewidth=1)
    for key, shift, colour, name in (
        (None, -0.14, INK, "all concepts"),
        ("held_out", 0.14, ACCENT, "half not chosen on"),
    ):
        rows = np.array([one[key] if key else [one["auroc"], one["low"], one["high"]] for one in listed]).reshape(-1, 3)
        middle, low, high = rows.T
        errors = np.maximum([middle - low, high - middle], 0)
        axis.errorbar(middle, places + shift, xerr=errors, fmt="o", color=colour, markersize=3, linewidth=1, label=name)
    twins = [one["twins"] if one["twins"] is not None else np.nan for one in listed]
    axis.plot(twins, places, "|", color=INK, markersize=9, label="extreme of all twin units")
    axis.set_yticks(places, [_short(one["label"]) for one in listed], fontsize=6, parse_math=False)
    axis.set_xlim(-0.02, 1.02)
    axis.tick_params(labelsize=6)
    axis.invert_yaxis()
    axis.legend(fontsize=5, frameon=False, loc="lower left")


def labels(result: Result) -> Figure:
    """Draw the largest AUROC that any unit reaches for each label, against that of the twins; the labels farthest above are named."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 5.5), layout="constrained")
    axis = figure.subplots()
    own, twins = np.nanmax(result.arrays["auroc"], axis=0), result.arrays["twin_highest"].max(0)
    axis.plot([0.5, 1], [0.5, 1], color=LIGHT, linewidth=1)
    axis.plot(twins, own, "o", markersize=2, color=INK)
    for label in np.argsort(twins - own)[:NAMED].tolist():
        name = _short(str(result.arrays["label_names"][label]))
        axis.annotate(
            name,
            (twins[label], own[label]),
            (3, 0),
            textcoords="offset points",
            fontsize=5,
            color=ACCENT,
            va="center",
            parse_math=False,
        )
    axis.set_xlabel(f"largest AUROC of any unit of {len(result.arrays['twin_highest'])} random-weight twins")
    axis.set_ylabel(f"of the {len(result.arrays['auroc'])} units of {_layer(result)}")
    axis.set_title(f"{len(own)} labels, {result.summary['images']:,} images", fontsize=9)
    return figure


def _layer(result: Result) -> str:
    role = {"pre": " (pre-activation)", "post": " (post-activation)"}
    return f"{result.summary['layer']}{role.get(result.summary['role'], '')}"


def _short(name: str) -> str:
    return name if len(name) <= 40 else f"{name[:39]}…"
