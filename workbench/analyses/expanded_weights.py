"""How the units of a layer are built from those of an earlier one: expanded weights, and how far they can be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from workbench.analyses.analysis import Analysis, Result, register
from workbench.extent import extent
from workbench.factors import factors_of
from workbench.figure_colours import INK
from workbench.finite import plain
from workbench.input_error import InputError
from workbench.models.expanded import (
    Fit,
    Ways,
    Window,
    asked_of,
    joined,
    moments_of,
    nothing,
    parts_of,
    pieces_of,
    read_inputs,
    windows_of,
)
from workbench.task import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from workbench.images.image_set import ImageSet
    from workbench.models.linearise import Gate
    from workbench.models.traced_model import TracedModel

NAMED = 10
"""Inputs named in the summary for each unit, and units that cannot be trusted."""
TRUSTED = 0.5
"""R2 below which a linear account is called not to be trusted."""
POSITIVE = "#b2182b"


@register
class ExpandedWeights(Analysis):
    """The weights between two layers, however many layers lie in between (Olah et al., "Visualizing Weights", Distill 2021).

    The weight of a source unit for a target unit is the gradient of the target's pre-activation, at one position, with respect to the
    source, with every non-linearity in between held at a gate. Gates are the mean derivative over `images` images, or 1 ("linear", the
    article's); max-pooling is average-pooling; normalisations are divided by their mean deviation; attention reads with its mean pattern.

    ``path`` chooses which ways through the network count. *direct*: those that meet no further non-linearity (through the residual stream
    and normalisations, or from one layer to the next); *indirect*: all others; *all*: their sum. What reaches the target beside the source
    is held at its mean. Units of a concatenation whose branch the source does not reach have no weights, and an ``r2`` of NaN.

    ``r2`` says for each target unit what part of the variance of its true pre-activation, over images and positions, the linear account
    by this source explains: 1 - SSE / SST, negative where it does worse than the mean. Below .5 a kernel is a picture and no
    explanation. For *indirect* it is that of all ways together.

    Arrays; t is a target unit in the order asked for, s a source unit:

    ``kernels``
        float32 ``t s *position``: cut to where any of them is not zero; ``y x`` for maps, ``token`` for sequences, none for vectors.
    ``norm`` ``sum`` ``positive`` ``negative``
        float32 ``t s``: L2 norm of the kernel, sum of its entries, of the positive and of the negative ones.
    ``contribution``
        float32 ``t s``: norm times the standard deviation of the source's activation, over images and positions.
    ``std`` ``mean``
        float32 ``s``: of the source's activation; a unit whose ``std`` is 0 is dead on these images, and its contributions are NaN.
    ``r2``
        float32 ``t``; NaN where the target does not vary.
    ``units``
        int32 ``t``.
    ``similar_targets`` ``similar_sources``
        int32 ``t``, ``s``: an order in which units with like weights stand together (average linkage of the cosines of rows and columns of
        ``sum``).
    ``factor_sources`` ``factor_kernels``
        float32 ``s factor``, ``t factor *position``: groups of sources, and what stands in place of the kernels of each group's sources
        (`workbench.factors`, one-sided NMF); the one that explains most first. The summary's ``factors_explain`` is the part of the
        squared weights they give back together.
    """

    title: ClassVar[str] = "Expanded weights"
    version: ClassVar[int] = 2
    needs_images: ClassVar[bool] = True

    source: str = Field(description="Earlier layer.")
    target: str = Field(description="Later layer; before its non-linearity where it stands behind one.")
    units: tuple[int, ...] = Field(default=(), description="Target units; none: all.")
    path: Ways = Field(default="all", description="Which ways from source to target count.")
    gate: Literal["mean", "linear"] = Field(
        default="mean", description="How non-linearities in between are held: mean derivative over the images, or 1."
    )
    factors: int = Field(default=3, ge=0, le=16, description="Groups of sources that the weights are written with, at most.")
    images: int = Field(default=64, ge=2, description="Images that gates, R2 and standard deviations are taken over.")
    batch: int = Field(default=16, ge=1, le=1024, description="Images computed at once.")
    seed: int = Field(default=0, ge=0, lt=2**31, description="Of the choice of images.")

    def compute(
        self, model: TracedModel, images: ImageSet | None, task: Task
    ) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Take gradients through the linearised piece, branch by branch, then run it beside the network."""
        assert images is not None
        source, asked, units = asked_of(model, self.source, self.target, self.units)
        inputs, _ = read_inputs(model, images, self.images, self.batch, self.seed)
        if not inputs:
            raise InputError(f"no image of {images.name} could be read")
        parts = parts_of(model, asked, units)
        windows, fits, measured = list[Window](), list[Fit](), list[int]()
        done = 0

        def tell(more: int = 0) -> None:
            task.step(done + more, len(units) + len(inputs), note=f"weights from {source.name} to {asked.name}")

        def look() -> None:
            nonlocal done
            done += 1
            task.step(done, len(units) + len(inputs), note=f"{source.name} and {asked.name} on images")

        tell()
        for part in parts:
            gate: Gate = "one" if self.gate == "linear" else "derivative"
            whole, direct = pieces_of(model, source, part.layer, inputs, self.path, gate, tell)
            fitted = whole or direct
            if fitted is None:
                windows.append(nothing(source, len(part.units)))
            else:
                windows.append(windows_of(whole, direct, part.units, tell))
                fits.append(Fit(fitted, part.units))
                measured += part.rows
            done += len(part.units)
        if not fits and self.path == "direct":
            raise InputError(f"every way from {source.name} to {asked.name} meets a further non-linearity; there is no direct path")
        if not fits:
            raise InputError(f"{source.name} is a part of {asked.name}, not what it is built from; choose a source before it")
        statistics = moments_of(model, source, inputs, look, fits)
        r2 = np.full(len(units), np.nan)
        r2[measured] = np.concatenate([fit.r2 for fit in fits])
        window = joined(windows)
        back = np.argsort(np.concatenate([part.rows for part in parts]), kind="stable")
        kernels = window.kernels.numpy()[back] if len(parts) > 1 else window.kernels.numpy()
        flat = kernels.reshape(len(kernels), source.units, -1)
        grouped = factors_of(np.nan_to_num(flat).transpose(0, 2, 1).reshape(-1, source.units), self.factors, tell)
        per_target = grouped.kernels.reshape(len(kernels), -1, grouped.kernels.shape[1]).transpose(0, 2, 1)
        std = statistics.std
        norm = np.sqrt(np.einsum("tsp,tsp->ts", flat, flat))
        contribution = norm * np.where(std > 0, std, np.nan)[None]
        arrays = {
            "kernels": kernels,
            "norm": norm,
            "sum": flat.sum(2),
            "positive": flat.clip(min=0).sum(2),
            "negative": flat.clip(max=0).sum(2),
            "contribution": contribution.astype(np.float32),
            "std": std.astype(np.float32),
            "mean": statistics.mean.astype(np.float32),
            "r2": r2.astype(np.float32),
            "units": np.array(units, np.int32),
            "similar_targets": alike(flat.sum(2)),
            "similar_sources": alike(flat.sum(2).T),
            "factor_sources": grouped.sources.astype(np.float32),
            "factor_kernels": per_target.reshape(len(kernels), -1, *kernels.shape[2:]).astype(np.float32),
        }
        dead = np.flatnonzero(std == 0)
        doubtful = [int(unit) for unit, fit in zip(units, r2, strict=True) if fit < TRUSTED]
        unknown = [int(unit) for unit, fit in zip(units, r2, strict=True) if not np.isfinite(fit)]
        return arrays, {
            "source": source.name,
            "target": asked.name,
            "pre": [part.layer.name for part in parts],
            "path": self.path,
            "gate": self.gate,
            "images": sum(len(part[0]) for part in inputs),
            "window": list(kernels.shape[2:]),
            "window_start": list(window.start),
            "source_positions": list(source.positions),
            "r2_median": plain(np.nanmedian(r2)) if np.isfinite(r2).any() else None,
            "r2_below": {"bar": TRUSTED, "units": len(doubtful), "first": doubtful[:NAMED]},
            "r2_unknown": {"units": len(unknown), "first": unknown[:NAMED]},
            "factors_explain": plain(grouped.explained),
            "dead_sources": {"units": len(dead), "first": dead[:NAMED].tolist()},
            "strongest": [_strongest(unit, row, contribution, flat, std) for row, unit in enumerate(units[:NAMED])],
        }

    @classmethod
    def draw(cls, result: Result) -> dict[str, Figure]:
        """Draw the strongest kernels of the first units, and the matrix of norms."""
        return {"kernels": _kernels(result), "matrix": _matrix(result)}


def _strongest(
    unit: int, row: int, contribution: npt.NDArray[Any], flat: npt.NDArray[Any], std: npt.NDArray[Any]
) -> dict[str, Any]:
    """Name a unit's inputs that contribute most."""
    order = np.argsort(-np.nan_to_num(contribution[row], nan=-1.0), kind="stable")[:NAMED]
    inputs = [
        {"unit": int(s), "contribution": float(contribution[row, s]), "sum": float(flat[row, s].sum())}
        for s in order
        if std[s] > 0 and np.isfinite(contribution[row, s])
    ]
    return {"unit": int(unit), "inputs": inputs}


def alike(rows: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    """Return an order of rows in which those that point the same way stand together; rows of nothing come last."""
    from scipy.cluster.hierarchy import leaves_list, linkage

    length = np.linalg.norm(rows, axis=1)
    there, empty = np.flatnonzero(length > 0), np.flatnonzero(~(length > 0))
    if len(there) < 3:
        return np.concatenate([there, empty]).astype(np.int32)
    unit = rows[there] / length[there, None]
    return np.concatenate([there[leaves_list(linkage(unit, "average", "cosine"))], empty]).astype(np.int32)


def _kernels(result: Result) -> Figure:
    """Draw the strongest inputs of the first units as kernels, red excites and blue inhibits; maps only."""
    from matplotlib.figure import Figure

    summary, kernels = result.summary, result.arrays["kernels"]
    shown = summary["strongest"] if kernels.ndim in (3, 4) else []
    figure = Figure(figsize=(10, 1.1 * max(1, len(shown)) + 0.5), layout="constrained")
    title = f"Expanded weights from {summary['source']} to {summary['target']}, {summary['path']} paths"
    figure.suptitle(title, fontsize=9, parse_math=False)
    if not shown:
        return figure
    axes = figure.subplots(len(shown), NAMED, squeeze=False)
    for row, of_unit in enumerate(shown):
        for axis in axes[row]:
            axis.set_axis_off()
        inputs = [entry["unit"] for entry in of_unit["inputs"]]
        largest = max((float(np.abs(kernels[row, s]).max()) for s in inputs), default=0.0) or 1e-12
        seen = extent(np.abs(kernels[row]).max(0) > 0) or ...
        for axis, entry in zip(axes[row], of_unit["inputs"], strict=False):
            kernel = kernels[row, entry["unit"]][seen]
            kernel = kernel if kernel.ndim == 2 else kernel[None]
            axis.imshow(kernel, cmap="RdBu_r", vmin=-largest, vmax=largest, aspect="auto" if kernels.ndim == 3 else "equal")
            axis.set_title(f"{entry['unit']}: {entry['contribution']:.2g}", fontsize=6)
        axes[row, 0].text(-0.4, 0.5, f"unit {of_unit['unit']}", transform=axes[row, 0].transAxes, fontsize=7, ha="right", va="center")
    return figure


def _matrix(result: Result) -> Figure:
    """Draw sums of kernels, target by source, beside R2."""
    from matplotlib.figure import Figure

    summary, arrays = result.summary, result.arrays
    figure = Figure(figsize=(8, 5), layout="constrained")
    matrix, fits = figure.subplots(1, 2, width_ratios=(5, 1))
    values = arrays["sum"] * np.where(arrays["std"] > 0, arrays["std"], 0)[None]
    largest = float(np.quantile(np.abs(values), 0.995)) or float(np.abs(values).max()) or 1.0
    drawn = matrix.imshow(values, cmap="RdBu_r", vmin=-largest, vmax=largest, aspect="auto", interpolation="nearest")
    matrix.set_xlabel(f"unit of {summary['source']}", fontsize=8, parse_math=False)
    matrix.set_ylabel(f"unit of {summary['target']}, in the order asked for", fontsize=8, parse_math=False)
    matrix.tick_params(labelsize=7)
    figure.colorbar(drawn, ax=matrix, label="sum of the kernel x standard deviation of the source")
    fits.barh(np.arange(len(arrays["r2"])), arrays["r2"].clip(-1, 1), color=INK, height=1.0)
    fits.axvline(TRUSTED, color=POSITIVE, linewidth=0.8)
    fits.set_ylim(len(arrays["r2"]) - 0.5, -0.5)
    fits.set_xlim(min(0.0, float(np.nanmin([0, *arrays["r2"].clip(-1)]))), 1)
    fits.set_xlabel(f"R2 (cut at -1), n = {summary['images']} images", fontsize=8)
    fits.tick_params(labelsize=7)
    return figure
