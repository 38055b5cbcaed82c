"""Feature visualizations on paper."""

from __future__ import annotations

from textwrap import fill

from matplotlib.figure import Figure

from workbench.analyses.analysis import Result


def contact_sheet(result: Result) -> Figure:
    """Draw every image under its unit and score."""
    images, scores = result.arrays["images"], result.arrays["scores"]
    units, seeds = images.shape[:2]
    per_row = max(1, min(units, round((1.6 * units / seeds) ** 0.5)))
    rows = -(-units // per_row)
    width = max(3.0, 1.5 * per_row * seeds)
    summary = result.summary
    role = {"pre": " (pre-activation)", "post": " (post-activation)"}.get(summary["role"], "")
    title = fill(f"{summary['layer']}{role}: {summary['objective']}; unit and score", round(14 * width))
    figure = Figure(figsize=(width, 1.7 * rows + 0.15 * (title.count("\n") + 2)), layout="constrained")
    figure.suptitle(title, fontsize=8)
    axes = figure.subplots(rows, per_row * seeds, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for i, unit in enumerate(summary["units"]):
        for j in range(seeds):
            axis = axes[i // per_row, i % per_row * seeds + j]
            axis.imshow(images[i, j])
            axis.set_title(f"{unit}   {scores[i, j]:.3g}", fontsize=7, pad=2)
    return figure


def progress(result: Result) -> Figure:
    """Draw the course of the objective, one line an image."""
    course = result.arrays["history"]
    figure = Figure(figsize=(5, 3), layout="constrained")
    axis = figure.subplots()
    for i, unit in enumerate(result.summary["units"]):
        axis.plot(course[:, i], color=f"C{i % 10}", linewidth=0.8, label=str(unit) if i < 10 else None)
    axis.set_xlabel("step")
    axis.set_ylabel("objective, through that step's transforms")
    axis.set_title(f"{result.summary['layer']}, {len(result.summary['units'])} units", fontsize=8)
    axis.legend(fontsize=6, frameon=False, title="unit", title_fontsize=6)
    return figure
