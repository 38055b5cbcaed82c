"""Whether the weights between two families depend on nothing but how their units are turned against one another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from workbench.analyses.analysis import Analysis, Result, register
from workbench.arrangements import arrangements, beside
from workbench.figure_colours import INK, LIGHT
from workbench.finite import plain
from workbench.input_error import InputError
from workbench.models.expanded import asked_of, joined, nothing, parts_of, pieces_of, read_inputs, windows_of
from workbench.task import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from workbench.images.image_set import ImageSet
    from workbench.models.traced_model import TracedModel

Values = npt.NDArray[np.float64]
ROUND = 5.0
"""Degrees that differences are rounded to."""


@register
class RelativeWeights(Analysis):
    """Unroll the weights from one family to another: rows are the later family's units, columns how far the earlier unit is turned from it.

    In a network that is equivariant to turns, W[a -> b] depends on the difference of the two angles alone, so that all rows are alike (Olah
    et al., "Naturally Occurring Equivariance in Neural Networks", Distill 2020, "the weights between two families are a circular
    convolution"). *R2* is the part of the weights' variance that the mean over each difference explains; null: angles of both families
    given to their units in other ways, the own among them (`workbench.arrangements`); ways with the same equal differences (turning or
    mirroring all of a family) are one.

    Arrays (t units of the target, s of the source, d differences):

    ``weights`` ``kernels``
        float32 ``t s`` and ``t s *position``: sums of the kernels, and the kernels (`ExpandedWeights`), in the order of the angles.
    ``target_units`` ``target_angles`` ``source_units`` ``source_angles``
        int32 and float32.
    ``differences``
        float32 ``d``: source's angle minus target's, degrees in [0, 360).
    ``unrolled`` ``profile``
        float32 ``t d`` and ``d``: mean weight for each difference, NaN where there is no such pair; and over all targets.
    ``null``
        float32 ``arrangement``: R2 with the angles given in all ways that differ, or drawn ones.
    """

    title: ClassVar[str] = "Weights by relative angle"
    version: ClassVar[int] = 2
    needs_images: ClassVar[bool] = True

    source: str = Field(description="Layer of the earlier family.")
    source_units: tuple[int, ...] = Field(description="Its units.", min_length=2)
    source_angles: tuple[float, ...] = Field(description="Degrees of each.", min_length=2)
    target: str = Field(description="Layer of the later family.")
    target_units: tuple[int, ...] = Field(description="Its units.", min_length=2)
    target_angles: tuple[float, ...] = Field(description="Degrees of each.", min_length=2)
    draws: int = Field(default=1000, ge=100, le=100_000, description="Draws of random angles, where there are too many to list.")
    images: int = Field(default=32, ge=2, description="Images that gates in between are averaged over.")
    batch: int = Field(default=16, ge=1, le=1024, description="Images computed at once.")
    seed: int = Field(default=0, ge=0, lt=2**31, description="Of the choice of images and of the null.")

    @model_validator(mode="after")
    def _fits(self) -> RelativeWeights:
        for side in ("source", "target"):
            units, angles = getattr(self, f"{side}_units"), getattr(self, f"{side}_angles")
            if len(units) != len(angles):
                raise ValueError(f"{len(units)} units of the {side} have as many angles, not {len(angles)}")
        return self

    def compute(
        self, model: TracedModel, images: ImageSet | None, task: Task
    ) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Expand the weights, order them by angle, and see how much the difference explains."""
        assert images is not None
        s_order, t_order = (np.argsort(np.asarray(angles) % 360, kind="stable") for angles in (self.source_angles, self.target_angles))
        sources, targets = np.asarray(self.source_units)[s_order], np.asarray(self.target_units)[t_order]
        source_angles = np.asarray(self.source_angles)[s_order] % 360
        target_angles = np.asarray(self.target_angles)[t_order] % 360
        source, asked, units = asked_of(model, self.source, self.target, targets.tolist())
        source.check(sources.tolist())
        inputs, seen = read_inputs(model, images, self.images, self.batch, self.seed)
        if not inputs:
            raise InputError(f"no image of {images.name} could be read")

        def tell(done: int = 0) -> None:
            task.step(done, len(units), note=f"weights from {source.name} to {asked.name}")

        windows, rows = [], list[int]()
        for part in parts_of(model, asked, units):
            whole, _ = pieces_of(model, source, part.layer, inputs, "all", "derivative", tell)
            windows.append(windows_of(whole, None, part.units, tell) if whole is not None else nothing(source, len(part.units)))
            rows += part.rows
        window = joined(windows)
        kernels = np.empty((len(units), len(sources), *window.kernels.shape[2:]), np.float32)
        kernels[rows] = window.kernels[:, sources.tolist()].numpy()
        weights = kernels.reshape(*kernels.shape[:2], -1).sum(2).astype(np.float64)
        if not np.abs(weights).max(initial=0) > 0 or not np.isfinite(weights).all():
            raise InputError(f"{source.name} has no weights to these units of {asked.name}; choose a family that they are built from")
        families = (target_angles, source_angles)
        null = arrangements(families, _parts, lambda targets, sources: explains(weights, targets, sources), self.draws, self.seed)
        differences, unrolled, profile = unrolled_by_difference(weights, target_angles, source_angles)
        arrays = {
            "weights": weights.astype(np.float32),
            "kernels": kernels,
            "target_units": targets.astype(np.int32),
            "target_angles": target_angles.astype(np.float32),
            "source_units": sources.astype(np.int32),
            "source_angles": source_angles.astype(np.float32),
            "differences": differences.astype(np.float32),
            "unrolled": unrolled.astype(np.float32),
            "profile": profile.astype(np.float32),
            "null": null.null.astype(np.float32),
        }
        return arrays, {
            "source": source.name,
            "target": asked.name,
            "r2": plain(null.own),
            "r2_null": null.others,
            "r2_bar": null.bar,
            "p": null.p if null.distinct > 1 else None,
            "arrangements": null.distinct,
            "differences": len(differences),
            "draws": self.draws,
            "images": len(seen),
        }

    @classmethod
    def draw(cls, result: Result) -> dict[str, Figure]:
        """Draw the unrolled matrix above its mean row."""
        from matplotlib.figure import Figure

        arrays, summary = result.arrays, result.summary
        figure = Figure(figsize=(5.5, 4.5), layout="constrained")
        matrix, row = figure.subplots(2, 1, height_ratios=(2, 1), sharex=True)
        most = float(np.nanmax(np.abs(arrays["unrolled"]))) or 1.0
        drawn = matrix.imshow(arrays["unrolled"], cmap="RdBu_r", vmin=-most, vmax=most, aspect="auto", interpolation="nearest")
        labels = [f"{unit} ({angle:g}°)" for unit, angle in zip(arrays["target_units"], arrays["target_angles"], strict=True)]
        matrix.set_yticks(np.arange(len(labels)), labels, fontsize=7)
        matrix.set_ylabel(f"unit of {summary['target']}", fontsize=8)
        figure.colorbar(drawn, ax=matrix, label="sum of the kernel")
        for one in arrays["unrolled"]:
            row.plot(np.arange(len(one)), one, color=LIGHT, linewidth=0.8)
        row.plot(np.arange(len(arrays["profile"])), arrays["profile"], "o-", color=INK, markersize=3)
        row.set_xticks(np.arange(len(arrays["differences"])), [f"{angle:g}°" for angle in arrays["differences"]], fontsize=7)
        said = beside("R2", *(summary[part] for part in ("r2", "r2_null", "r2_bar", "arrangements")))
        row.set_xlabel(f"angle of the unit of {summary['source']} minus that of {summary['target']}\n{said}", fontsize=7)
        return {"unrolled": figure}


def _parts(target_angles: Values, source_angles: Values) -> npt.NDArray[np.int64]:
    """Return which pairs of units have the same difference, numbered in the order in which they come first."""
    _, first, place = np.unique(between(target_angles, source_angles), return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[place.ravel()])


def between(target_angles: Values, source_angles: Values) -> Values:
    """Return each source's angle minus each target's, ``t s``, rounded, in [0, 360)."""
    found: Values = np.round((source_angles[None] - target_angles[:, None]) / ROUND) * ROUND % 360
    return found


def explains(weights: Values, target_angles: Values, source_angles: Values) -> float:
    """Return the part of the weights' variance that the mean over each difference explains; 1 where there is none to explain."""
    _, place = np.unique(between(target_angles, source_angles), return_inverse=True)
    flat, place = weights.ravel(), place.ravel()
    mean = np.bincount(place, flat) / np.bincount(place)
    total = float(((flat - flat.mean()) ** 2).sum())
    return 1.0 - float(((flat - mean[place]) ** 2).sum()) / total if total > 0 else 1.0


def unrolled_by_difference(weights: Values, target_angles: Values, source_angles: Values) -> tuple[Values, Values, Values]:
    """Return the differences there are, the mean weight of each target for each, and that over all targets."""
    apart = between(target_angles, source_angles)
    differences = np.unique(apart)
    unrolled = np.full((len(weights), len(differences)), np.nan)
    profile = np.empty(len(differences))
    for column, difference in enumerate(differences):
        here = apart == difference
        profile[column] = weights[here].mean()
        for row in np.flatnonzero(here.any(1)):
            unrolled[row, column] = weights[row, here[row]].mean()
    return differences, unrolled, profile
