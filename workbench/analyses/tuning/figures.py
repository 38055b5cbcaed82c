"""The figures of a tuning analysis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.figure_colours import ACCENT, INK, LIGHT
from workbench.tuned.band import known, told, within

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from workbench.analyses.analysis import Result


MERITS = ("hue_amplitude", "grating_amplitude", "position_share", "morph_lean")
"""Figures of a unit that stand beside those of random-weight twins."""


def draw(result: Result) -> dict[str, Figure]:
    """Return ``layer`` and one figure a unit."""
    found = {"layer": _layer(result)}
    for place, unit in enumerate(result.arrays["units"].tolist()):
        found[f"unit_{unit}"] = _unit(result, place)
    return found


def _layer(result: Result) -> Figure:
    """Draw every unit's R2 and index, and the best of each twin."""
    from matplotlib.figure import Figure

    arrays, summary = result.arrays, result.summary
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    axis = figure.subplots()
    index = arrays["index"] if np.isfinite(arrays["index"]).any() else arrays["second_peak"]
    name = "curve-vs-line index" if index is arrays["index"] else "second peak over first"
    axis.scatter(arrays["r2"], index.clip(-1), s=10, color=INK, label=f"{summary['units']} units of {summary['layer']}")
    if summary["twins"]:
        axis.axvline(arrays["null_r2"].max(), color=LIGHT, label=f"best of {summary['twins']} random-weight twins")
        if index is arrays["index"]:
            axis.axhline(arrays["null_index"].max(), color=LIGHT)
    family = [unit for unit in summary["family"] if unit >= 0]
    ring: dict[str, Any] = {"s": 30, "facecolors": "none", "edgecolors": ACCENT}
    axis.scatter(arrays["r2"][family], index[family].clip(-1), label="best family", **ring)
    axis.set_xlabel("R² of the von Mises fit, on the second rendering", fontsize=8)
    axis.set_ylabel(name, fontsize=8)
    axis.tick_params(labelsize=7)
    axis.set_title(f"{summary['feature'].replace('_', ' ')} · {summary['activation']} · {summary['stimuli']} stimuli", fontsize=9)
    figure.legend(loc="outside lower center", fontsize=7, frameon=False, ncols=3)
    return figure


def _unit(result: Result, place: int) -> Figure:
    """Draw radial tuning, two heatmaps, hues, positions and the morph of one unit."""
    from matplotlib.figure import Figure

    arrays, summary = result.arrays, result.summary
    unit, period = int(arrays["units"][place]), summary["period"]
    figure = Figure(figsize=(10, 6), layout="constrained")
    turn = 2 * np.pi / period
    polar = figure.add_subplot(2, 3, 1, projection="polar")
    for name, style, color in (("curve", "-", INK), ("curve_second", "--", ACCENT)):
        angles = arrays["orientations" if name == "curve" else "orientations_second"]
        closed = np.append(np.arange(len(angles)), 0)
        label = "first rendering" if style == "-" else "second"
        polar.plot(angles[closed] * turn, arrays[name][place][closed].clip(0), style, color=color, label=label)
    polar.set_xticks(np.arange(8) * np.pi / 4, [f"{period / 8 * step:g}°" for step in range(8)])
    if len(arrays["null_curve"]):
        most = float(arrays["curve"][place].max())
        band = np.roll(arrays["null_curve"], int(arrays["curve"][place].argmax()), axis=1) * most
        shown = np.append(np.arange(len(arrays["orientations"])), 0)
        low, high = (edge[shown].clip(0) for edge in (band.min(0), band.max(0)))
        polar.fill_between(arrays["orientations"][shown] * turn, low, high, color=LIGHT, alpha=0.5, label="twins' best units")
    polar.legend(fontsize=6, loc="upper left", bbox_to_anchor=(-0.35, 1.15), frameon=False)
    null = "" if summary["r2_null"] is None else f" (best of {summary['twins']} twins {summary['r2_null']:.2f})"
    polar.set_title(f"R² {arrays['r2'][unit]:.2f}{null}", fontsize=8)
    polar.tick_params(labelsize=7)
    extents = ("orientation (degrees)", summary["varied"])
    _heat(figure, 2, arrays["heatmap"][place], arrays["orientations"], arrays["levels"], extents)
    grating = np.arange(12) * 15.0
    beside = {name: "" if not summary["twins"] else f"\n({within(arrays[f'null_{name}'])})" for name in MERITS}
    _heat(figure, 3, arrays["grating"][place], grating, arrays["frequencies"], ("orientation of stripes (degrees)", "cycles a side"))
    figure.axes[-2].set_title(f"amplitude {told(arrays['grating_amplitude'][unit])}{beside['grating_amplitude']}", fontsize=8)
    hue = figure.add_subplot(2, 3, 4, projection="polar")
    hue.bar(np.radians(arrays["hues"]), arrays["hue"][place].clip(0), width=2 * np.pi / len(arrays["hues"]), color=INK)
    strongest, own = float(arrays["strongest"][unit]), arrays["hue"][place]
    most = max(float(own.max()), 0.05 * strongest, 1e-9)
    if len(arrays["null_hue"]):
        band = np.roll(arrays["null_hue"].max(0), int(own.argmax())).clip(0) * strongest
        most = max(most, float(band.max()))
        hue.bar(np.radians(arrays["hues"]), band, width=2 * np.pi / len(arrays["hues"]), color=LIGHT, alpha=0.5)
    hue.set_ylim(0, most)
    hue.tick_params(labelsize=7)
    said = f"amplitude {told(arrays['hue_amplitude'][unit])}{beside['hue_amplitude']}"
    hue.set_title(f"OKLCH hue above grey: {said}", fontsize=8)
    _heat(figure, 5, arrays["position"][place], arrays["places"], arrays["places"], ("x (receptive fields)", "y"))
    said = f"half of its best on {told(arrays['position_share'][place])}{beside['position_share']}"
    figure.axes[-2].set_title(said, fontsize=8)
    morph = figure.add_subplot(2, 3, 6)
    others = known(arrays["null_morph"]) * float(np.abs(arrays["morph"][place]).max())
    if len(others):
        morph.fill_between(arrays["morph_radius"], others.min(0), others.max(0), color=LIGHT, alpha=0.5)
    morph.set_title(f"arc − corner {told(arrays['morph_lean'][place])}{beside['morph_lean']}", fontsize=8)
    morph.plot(arrays["morph_radius"], arrays["morph"][place], "o-", color=INK)
    morph.set_xlabel("radius of the rounding (of the side): corner → arc", fontsize=8)
    morph.set_ylabel("above the ground", fontsize=8)
    kind = f"{summary['feature'].replace('_', ' ')}, {summary['stimuli']} stimuli"
    figure.suptitle(f"{summary['layer']}:{unit} · {summary['activation']} above the plain ground · {kind}", fontsize=10)
    return figure


def _heat(figure: Figure, at: int, values: Any, x: Any, y: Any, names: tuple[str, str]) -> None:
    axis = figure.add_subplot(2, 3, at)
    shown = axis.imshow(values, aspect="auto", cmap="viridis")
    columns, rows = np.linspace(0, len(x) - 1, min(5, len(x))).round().astype(int), np.arange(len(y))
    axis.set_xticks(columns, [f"{x[column]:.3g}" for column in columns], fontsize=6)
    axis.set_yticks(rows, [f"{y[row]:.2g}" for row in rows], fontsize=6)
    axis.set_xlabel(names[0], fontsize=8)
    axis.set_ylabel(names[1], fontsize=8)
    figure.colorbar(shown, ax=axis).ax.tick_params(labelsize=6)
