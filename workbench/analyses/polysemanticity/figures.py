"""Figures of polysemanticity: the layer's scores beside what one kind would give, and the relevances of the first units."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from workbench.figure_colours import ACCENT, INK, LIGHT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from workbench.analyses.analysis import Result

FACETS = (INK, ACCENT, "#3a7ca5", "#b8860b", "#5b8c5a", "#7b5ea7", "#8c564b", "#4c4c4c")
"""Colours of the facets of a unit, the largest first."""
DRAWN = 8
"""Units whose relevances are drawn."""


def scores(result: Result) -> Figure:
    """Draw the scores in order, those called polysemantic in colour."""
    from matplotlib.figure import Figure

    arrays, summary = result.arrays, result.summary
    tested = np.flatnonzero(np.isfinite(arrays["score"]))
    order = tested[np.argsort(-arrays["score"][tested], kind="stable")]
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axis = figure.subplots()
    colours = [ACCENT if arrays["number"][row] > 1 else INK for row in order]
    axis.scatter(np.arange(len(order)), arrays["score"][order], s=9, c=colours, linewidths=0)
    axis.axhline(0, color=LIGHT, linewidth=1)
    axis.text(len(order), 0, " one kind", fontsize=7, color=LIGHT, va="center")
    axis.set_xlabel(f"units of {summary['layer']}, {summary['images']} images", fontsize=8, parse_math=False)
    axis.set_ylabel("score (deviations of the surrogates)", fontsize=8)
    axis.set_title(
        f"{summary['polysemantic']} of {summary['tested']} units have several facets (q <= {summary['alpha']:g})", fontsize=9
    )
    axis.tick_params(labelsize=7)
    return figure


def facets(result: Result) -> Figure:
    """Draw the relevances of the units with the largest scores on their two main axes, by facet."""
    from matplotlib.figure import Figure

    arrays, summary = result.arrays, result.summary
    order = np.argsort(-np.nan_to_num(arrays["score"], nan=-np.inf), kind="stable")[:DRAWN]
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    for axis, row in zip(figure.subplots(2, DRAWN // 2, squeeze=False).flat, order.tolist(), strict=False):
        labels, plane = arrays["facet"][row], arrays["plane"][row]
        for facet in range(arrays["number"][row]):
            inside = labels == facet
            axis.scatter(*plane[inside].T, s=7, color=FACETS[facet % len(FACETS)], linewidths=0)
        axis.set_title(f"{summary['layer']}:{arrays['unit'][row]}  {arrays['score'][row]:.1f}", fontsize=8, parse_math=False)
        axis.set_xticks([])
        axis.set_yticks([])
    figure.suptitle("relevances of the units below, two main axes; a point is an image, its colour the facet", fontsize=8)
    return figure
