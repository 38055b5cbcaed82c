"""The figures: the curves of one network's layers, and several networks beside one another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.figure_colours import ACCENT, INK, LIGHT
from workbench.input_error import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from workbench.analyses.analysis import Result

ACROSS = 4
TASK = "#2f6db5"
NETWORKS = ("#c8442f", "#2f6db5", "#3c8a4e", "#8a5aa8", "#c98a1b", "#4d5561")
LOWEST = -0.25
"""Where curves are cut: an input taken alone may lead away."""


def layers(result: Result) -> Figure:
    """Draw, for each layer, variance and task kept against the number of inputs kept, beside random and greedy orders."""
    from matplotlib.figure import Figure

    summary = result.summary
    found = summary["layers"]
    lines = -(-len(found) // ACROSS)
    across = min(ACROSS, len(found))
    figure = Figure(figsize=(max(6.5, 2.9 * across), 2.35 * lines + 1.15), layout="constrained")
    axes = figure.subplots(lines, across, squeeze=False, sharey=True)
    for axis in axes.flat[len(found) :]:
        axis.set_axis_off()
    for place, (axis, layer) in enumerate(zip(axes.flat, found, strict=False)):
        _layer(axis, result, place, layer)
    for row in axes:
        row[0].set_ylabel("kept (1: all, 0: as with none)", fontsize=8)
    low, _ = axes[0, 0].get_ylim()
    axes[0, 0].set_ylim(min(-0.04, max(LOWEST, low)), 1.08)
    by_label = {label: line for axis in axes.flat for line, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(by_label.values(), by_label.keys(), loc="outside lower center", ncols=3, fontsize=7, frameon=False)
    title = f"{_network(result)}: how much of a layer its units' strongest inputs keep"
    figure.suptitle(f"{title}\n{_about(result)}", fontsize=9, parse_math=False)
    return figure


def _layer(axis: Axes, result: Result, place: int, layer: dict[str, Any]) -> None:
    arrays = result.arrays
    numbers = arrays[f"numbers/{place}"]
    curve, random = arrays[f"curve/{place}"], arrays[f"random/{place}"]
    varies = np.isfinite(arrays[f"explained/{place}"]).all(1)
    shown = slice(1, None)
    axis.axhline(0, color=LIGHT, linewidth=0.6)
    axis.axhline(1, color=LIGHT, linewidth=0.6)
    if varies.any():
        drawn = np.median(random[:, varies], 1)
        axis.fill_between(numbers[shown], drawn.min(0)[shown], drawn.max(0)[shown], color=LIGHT, alpha=0.7, linewidth=0)
        axis.plot(numbers[shown], np.median(drawn, 0)[shown], color=INK, linestyle="--", linewidth=0.9, label="variance, random inputs")
        axis.fill_between(numbers[shown], curve[1][shown], curve[2][shown], color=ACCENT, alpha=0.25, linewidth=0)
        axis.plot(numbers[shown], curve[0][shown], color=ACCENT, linewidth=1.6, label="variance of the pre-activation, median unit")
    greedy = arrays[f"greedy/{place}"]
    if len(greedy):
        middle = np.median(greedy, 0)[shown]
        axis.plot(numbers[shown], middle, color=INK, linestyle=":", linewidth=1.2, label="variance, greedy order, a few units")
    if f"task_kept/{place}" in arrays:
        few, kept = arrays[f"task_numbers/{place}"][1:], arrays[f"task_kept/{place}"][:, 1:]
        axis.fill_between(few, kept[1], kept[2], color=TASK, alpha=0.15, linewidth=0)
        axis.plot(few, kept[0], "o-", color=TASK, linewidth=1.2, markersize=2.5, label="task, all units at once")
        random_task = np.median(arrays[f"task_kept_random/{place}"][:, 1:], 0)
        axis.plot(few, random_task, color=TASK, linestyle="--", linewidth=0.9, label="task, random inputs")
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter("{x:,.0f}")
    axis.set_xlim(0.9, max(2, numbers[-1]) * 1.1)
    axis.tick_params(labelsize=7)
    axis.set_xlabel(f"inputs kept, of {layer['inputs']:,}", fontsize=7)
    lost = layer["dead"]["units"] + layer["not_finite"]["units"]
    note = f"{layer['scored']} units" + (f", {lost} left out" if lost else "")
    enough = f"; 90 % with {layer['k_90']:.0f}" if layer.get("k_90") is not None else ""
    if layer.get("task", {}).get("within_noise"):
        says = "task: without all inputs no worse than noise"
        axis.text(0.97, 0.03, says, transform=axis.transAxes, fontsize=6, color=TASK, ha="right")
    axis.set_title(f"{layer['layer']}\n{note}{enough}", fontsize=7.5, parse_math=False)


def compare(results: Sequence[Result]) -> Figure:
    """Draw several networks beside one another: the part of its inputs that a unit needs, layer by layer, and what the task needs.

    Raises
    ------
    InputError
        When there is no result, or one of another analysis.
    """
    from matplotlib.figure import Figure

    _check(results)
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    curves, needed, areas = figure.subplots(1, 3)
    for number, result in enumerate(results):
        colour = NETWORKS[number % len(NETWORKS)]
        found, name = result.summary["layers"], _network(result)
        depth = np.linspace(0, 1, len(found)) if len(found) > 1 else np.array([0.5])
        grid = np.linspace(0, 1, 60)
        each = []
        for place in range(len(found)):
            numbers, curve = result.arrays[f"numbers/{place}"], result.arrays[f"curve/{place}"][0]
            if len(numbers) > 2 and np.isfinite(curve).all():
                share = np.log(numbers[1:]) / np.log(numbers[-1])
                each.append(np.interp(grid, share, curve[1:]))
                curves.plot(share, curve[1:], color=colour, linewidth=0.5, alpha=0.45)
        if each:
            curves.plot(grid, np.median(each, 0), color=colour, linewidth=2, label=name)
        for key, style, marker in (("k_90", "-", "o"), ("k_90_random", "--", "")):
            part = [np.nan if layer.get(key) is None else layer[key] / layer["inputs"] for layer in found]
            needed.plot(depth, part, style, marker=marker, markersize=3.5, color=colour, linewidth=1.3 if style == "-" else 0.8)
        on_task = [layer.get("task", {}) for layer in found]
        for key, style, marker in (("area", "-", "o"), ("area_random", "--", "")):
            part = [np.nan if task.get(key) is None else task[key] for task in on_task]
            areas.plot(depth, part, style, marker=marker, markersize=3.5, color=colour, linewidth=1.3 if style == "-" else 0.8)
    curves.set_xlabel("log k / log of all inputs", fontsize=8)
    curves.set_ylabel("variance explained, median unit\n(thick: median layer)", fontsize=8)
    curves.set_ylim(min(-0.02, max(LOWEST, curves.get_ylim()[0])), 1.03)
    needed.set_yscale("log")
    needed.set_yticks([0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1], ["0.1 %", "0.3 %", "1 %", "3 %", "10 %", "30 %", "100 %"])
    needed.minorticks_off()
    needed.set_ylim(0.5 * min([0.1, *(value for line in needed.lines for value in np.asarray(line.get_ydata()) if value > 0)]), 1.2)
    needed.set_xlabel("depth: first to last layer looked at", fontsize=8)
    needed.set_ylabel("part of the inputs that explains 90 %", fontsize=8)
    areas.set_xlabel("depth: first to last layer looked at", fontsize=8)
    areas.set_ylabel("task kept, mean over log k", fontsize=8)
    areas.set_ylim(min(-0.02, max(LOWEST, areas.get_ylim()[0])), 1.03)
    for axis in (curves, needed, areas):
        axis.tick_params(labelsize=7)
        axis.grid(color=LIGHT, alpha=0.35, linewidth=0.5)
    figure.legend(loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    figure.suptitle(f"Circuit faithfulness; dashed: random inputs\n{_about(results[0])}", fontsize=9, parse_math=False)
    return figure


def table(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return one row a network and layer, with the figures that answer the question; None where there is none.

    Raises
    ------
    InputError
        When there is no result, or one of another analysis.
    """
    _check(results)
    columns = ("k_half", "k_half_random", "k_90", "k_90_low", "k_90_high", "k_90_random", "area", "area_low", "area_high", "area_random")
    on_task = ("k_half", "k_90", "k_90_random", "area", "area_random", "accuracy_clean", "accuracy_none_kept")
    rows = []
    for result in results:
        for layer in result.summary["layers"]:
            row = {"network": _network(result), "model": result.provenance.get("model")}
            row |= {name: layer[name] for name in ("layer", "inputs", "units", "scored", "exact")}
            row |= {"left_out": layer["dead"]["units"] + layer["not_finite"]["units"]}
            row |= {name: layer.get(name) for name in (*columns, "area_detectable", "area_greedy", "area_ranked_of_greedy_units")}
            task = layer.get("task", {})
            row |= {f"task_{name}": task.get(name) for name in on_task}
            rows.append(row | {"images": result.summary["images"], "task_images": result.summary["task_images"]})
    return rows


def _check(results: Sequence[Result]) -> None:
    if not results:
        raise InputError("there is nothing to compare; give at least one result of Faithfulness")
    if other := [result.analysis for result in results if result.analysis != "Faithfulness"]:
        raise InputError(f"a result of {other[0]} has no faithfulness curves; give results of Faithfulness")


def _network(result: Result) -> str:
    return str(result.summary["network"])


def _about(result: Result) -> str:
    summary = result.summary
    rest = {"mean": "at their mean", "resample": "as on another image"}[summary["method"]]
    rank = {"contribution": "the deviation of what they add", "weight_mean": "|weight| x mean activation"}[summary["ranking"]]
    return f"inputs ranked by {rank} on {summary['ranked_on']} images, the others {rest}, scored on {summary['scored_on']} others" + (
        f"\ntask: {summary['task']}, n = {summary['task_images']}" if summary["task"] else ""
    )
