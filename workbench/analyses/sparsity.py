"""How sparse the weights between two layers are, and which few earlier units each unit is built from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from workbench.analyses.analysis import Analysis, Result, register
from workbench.bootstrap import first_half
from workbench.figure_colours import ACCENT, INK, LIGHT
from workbench.finite import plain
from workbench.input_error import InputError
from workbench.models.centre_values import values_at_centre
from workbench.models.expanded import (
    Ways,
    asked_of,
    moments_of,
    nothing,
    parts_of,
    pieces_of,
    read_inputs,
    windows_of,
)
from workbench.pursuit import keep_best, pursue, r2
from workbench.task import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from workbench.images.image_set import ImageSet
    from workbench.models.linearise import Gate
    from workbench.models.traced_model import TracedModel

NAMED = 10
"""Units whose parts are named in the summary."""
GAUSS, SHUFFLE, HALVES = range(3)
"""What random numbers are drawn for, each from a stream of its own."""


@register
class Sparsity(Analysis):
    """Say of each unit how its expanded weights are spread over the units of an earlier layer, and the smallest set it is built from.

    A unit's weight for a source is the norm of its expanded kernel (see `ExpandedWeights`), times the standard deviation of the source's
    activation with ``weighted``. Three measures: the Gini coefficient (0: all alike, 1: one alone), the participation ratio
    (sum w^2)^2 / sum w^4 (how many sources carry the energy), and the part of the energy in the k strongest.

    Two nulls, `draws` draws of each: *gaussian*: kernels of the same size with normal entries (norms of larger kernels are more alike, so
    that a Gini of .13 is nothing for 3 x 3 and .41 nothing for 1 x 1); *shuffled*: the unit's own kernel entries in random places across
    sources, before norms are taken. A measure that lies inside a null's range says nothing.

    *Built from*: at the centre position the unit's pre-activation is rebuilt from the contributions of single sources, one added at each
    step. With the pursuit ``kept`` it is the one whose contribution, as it is, takes away most of what is left: the network's own weights
    are the coefficients, so that a few images suffice. ``fitted`` is orthogonal matching pursuit (Pati et al. 1993): the one that points
    most along what is left, and all coefficients are fitted anew; among inputs that go together (.8) it finds 95 % of the parts with
    3,000 images a half. Sets and their sizes are chosen on one half of the images and measured on the other; drawings of one concept (the
    set's column ``concept``) stand in the same half. Gates and kernels are taken from all images. The claim is checked without any fit:
    the sources of the set contribute as they are and every other one is held at its mean (``kept``).

    Arrays; t is a target unit, k a number of sources:

    ``gini`` ``participation``
        float32 ``t``, NaN for a unit without weights.
    ``gini_gaussian`` ``gini_shuffled`` ``participation_gaussian`` ``participation_shuffled``
        float32 ``t 2``: smallest and largest of the draws; shuffled NaN for kernels of one entry, whose norms no shuffling changes.
    ``numbers`` ``energy``
        int32 ``k``, float32 ``t k``: part of the energy in so many of the strongest.
    ``support``
        int32 ``t keep``: the sources in the order they were added; -1 where nothing was left to explain.
    ``explained`` ``kept`` ``largest``
        float32 ``t keep``: R2 on the other half, of the fit; of the sources kept as they are; and of a fit on as many sources with the
        largest standard deviation of their contribution, for comparison.
    ``whole``
        float32 ``t``: R2 of all sources kept as they are: what the linear account can say at most.
    ``size``
        int32 ``t``: the smallest number of sources that keep `enough` of what all sources do, on the half they were chosen on; -1 where
        `keep` are too few or ``whole`` < .5. What they keep on the other half is ``kept`` at that number.
    """

    title: ClassVar[str] = "Sparsity"
    version: ClassVar[int] = 2
    needs_images: ClassVar[bool] = True

    source: str = Field(description="Earlier layer.")
    target: str = Field(description="Later layer; before its non-linearity where it stands behind one.")
    units: tuple[int, ...] = Field(default=(), description="Target units; none: all.")
    path: Ways = Field(default="all", description="Which ways from source to target count.")
    gate: Literal["mean", "linear"] = Field(default="mean", description="How non-linearities in between are held.")
    weighted: bool = Field(default=False, description="Weigh each source by the standard deviation of its activation.")
    pursuit: Literal["kept", "fitted"] = Field(
        default="kept", description="How parts are chosen: with the network's own weights, or with coefficients fitted to the activation."
    )
    draws: int = Field(default=20, ge=20, le=1000, description="Draws of each null.")
    keep: int = Field(default=24, ge=1, le=256, description="Sources a unit is built from, at most.")
    enough: float = Field(default=0.9, gt=0, le=1, description="Part of what all sources explain that is called enough.")
    images: int = Field(default=256, ge=8, description="Images.")
    batch: int = Field(default=16, ge=1, le=1024, description="Images computed at once.")
    seed: int = Field(default=0, ge=0, lt=2**31, description="Of the choice of images, of the halves and of the nulls.")

    def compute(
        self, model: TracedModel, images: ImageSet | None, task: Task
    ) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Take the kernels, measure them, and pursue each unit's parts."""
        assert images is not None
        source, asked, units = asked_of(model, self.source, self.target, self.units)
        inputs, seen = read_inputs(model, images, self.images, self.batch, self.seed)
        if len(seen) < 8:
            raise InputError(f"{len(seen)} images of {images.name} could be read; at least 8 are needed")
        concepts = images.columns.get("concept")
        half = first_half(seen if concepts is None else [concepts[index] for index in seen.tolist()], [self.seed, HALVES])
        rows: dict[int, dict[str, npt.NDArray[Any]]] = {}
        numbers = _numbers(source.units)
        nulls: dict[int, npt.NDArray[np.float64]] = {}

        def tell(_more: int = 0) -> None:
            task.step(len(rows), len(units), note=f"weights from {source.name} to {asked.name}")

        tell()
        statistics = moments_of(model, source, inputs, tell)
        weight = statistics.std if self.weighted else np.ones(source.units)
        gate: Gate = "one" if self.gate == "linear" else "derivative"
        for part in parts_of(model, asked, units):
            whole, direct = pieces_of(model, source, part.layer, inputs, self.path, gate, tell)
            reaches = whole is not None or direct is not None
            window = windows_of(whole, direct, part.units, tell) if reaches else nothing(source, len(part.units))
            values, actual = values_at_centre(model, source, part, inputs, window, tell)
            for place, row in enumerate(part.rows):
                kernel = window.kernels[place].reshape(source.units, -1).double().numpy()
                contributions = np.einsum("nsp,sp->ns", values, kernel)
                rows[row] = self._measures(kernel, weight, numbers, units[row], nulls) | self._built(contributions, actual[:, place], half)
                tell()
        arrays = {name: np.stack([rows[row][name] for row in range(len(units))]) for name in rows[0]}
        arrays |= {"numbers": np.array(numbers, np.int32)}
        sizes = arrays["size"]
        return arrays, {
            "source": source.name,
            "target": asked.name,
            "path": self.path,
            "weighted": self.weighted,
            "images": len(seen),
            "halves": [int(half.sum()), int((~half).sum())],
            "sources": source.units,
            "gini": _described(arrays["gini"]),
            "gini_above_nulls": int((arrays["gini"] > np.fmax(arrays["gini_gaussian"][:, 1], arrays["gini_shuffled"][:, 1])).sum()),
            "gini_above_nulls_by_chance": len(units) / (1 + self.draws),
            "gini_gaussian": _described(arrays["gini_gaussian"].mean(1)),
            "gini_shuffled": _described(arrays["gini_shuffled"].mean(1)),
            "participation": _described(arrays["participation"]),
            "participation_gaussian": _described(arrays["participation_gaussian"].mean(1)),
            "participation_shuffled": _described(arrays["participation_shuffled"].mean(1)),
            "whole": _described(arrays["whole"]),
            "size": _described(sizes[sizes > 0].astype(float)),
            "units_built": int((sizes > 0).sum()),
            "units": len(units),
            "enough": self.enough,
            "built_from": [
                {
                    "unit": int(unit),
                    "size": int(sizes[row]),
                    "sources": [int(s) for s in arrays["support"][row, : max(0, sizes[row])]],
                    "kept": plain(arrays["kept"][row, sizes[row] - 1]) if sizes[row] > 0 else None,
                    "whole": plain(arrays["whole"][row]),
                }
                for row, unit in enumerate(units[:NAMED])
            ],
        }

    def _measures(
        self,
        kernel: npt.NDArray[np.float64],
        weight: npt.NDArray[np.float64],
        numbers: Sequence[int],
        unit: int,
        nulls: dict[int, npt.NDArray[np.float64]],
    ) -> dict[str, npt.NDArray[Any]]:
        """Measure one unit's weights, ``source position``, beside both nulls."""
        reached = int((kernel != 0).any(0).sum())
        norms = np.linalg.norm(kernel, axis=1) * weight
        if reached not in nulls:  # the same for all units whose kernels have one size
            random = np.random.default_rng([self.seed, GAUSS, reached])
            drawn = np.sqrt(random.chisquare(max(1, reached), (self.draws, len(kernel)))) * weight
            nulls[reached] = np.stack([[gini(one), participation(one)] for one in drawn])
        gaussian = nulls[reached]
        random = np.random.default_rng([self.seed, SHUFFLE, unit])
        entries = kernel[:, (kernel != 0).any(0)]
        none = np.full((self.draws, 2), np.nan)
        shuffled = none if reached == 1 else np.stack(
            [
                [gini(one), participation(one)]
                for one in (
                    np.linalg.norm(random.permutation(entries.ravel()).reshape(entries.shape), axis=1) * weight for _ in range(self.draws)
                )
            ]
        )
        squares = np.sort(norms**2)[::-1]
        total = squares.sum()
        energy = np.cumsum(squares)[np.array(numbers) - 1] / total if total > 0 else np.full(len(numbers), np.nan)
        found: dict[str, npt.NDArray[Any]] = {
            "gini": np.array(gini(norms), np.float32),
            "participation": np.array(participation(norms), np.float32),
            "energy": energy.astype(np.float32),
        }
        for place, name in enumerate(("gini", "participation")):
            for null, drawn in (("gaussian", gaussian), ("shuffled", shuffled)):
                found[f"{name}_{null}"] = np.array([drawn[:, place].min(), drawn[:, place].max()], np.float32)
        return found

    def _built(
        self, contributions: npt.NDArray[np.float64], actual: npt.NDArray[np.float64], half: npt.NDArray[np.bool_]
    ) -> dict[str, npt.NDArray[Any]]:
        """Pursue one unit's parts on the images of one half, and measure on the other."""
        means = contributions[half].mean(0)
        fit, held = contributions[half] - means, contributions[~half] - means
        middle = actual[half].mean()
        wanted, truth = actual[half] - middle, actual[~half] - middle
        support = pursue(fit, wanted, self.keep) if self.pursuit == "fitted" else keep_best(fit, wanted, self.keep)
        largest = np.argsort(-fit.std(0), kind="stable")[: self.keep]
        explained, kept, reference = (np.full(self.keep, np.nan, np.float32) for _ in range(3))
        for k in range(1, len(support) + 1):
            explained[k - 1] = _fitted(fit, held, wanted, truth, support[:k])
            kept[k - 1] = r2(truth, held[:, support[:k]].sum(1))
        for k in range(1, min(len(largest), self.keep) + 1):
            reference[k - 1] = _fitted(fit, held, wanted, truth, largest[:k])
        whole = r2(truth, held.sum(1))
        of_fit = [r2(wanted, fit[:, support[:k]].sum(1)) for k in range(1, len(support) + 1)]
        reached = np.flatnonzero(np.array(of_fit) >= self.enough * r2(wanted, fit.sum(1))) if whole >= 0.5 else np.empty(0, int)
        padded = np.full(self.keep, -1, np.int32)
        padded[: len(support)] = support
        return {
            "support": padded,
            "explained": explained,
            "kept": kept,
            "largest": reference,
            "whole": np.array(whole, np.float32),
            "size": np.array(reached[0] + 1 if len(reached) else -1, np.int32),
        }

    @classmethod
    def draw(cls, result: Result) -> dict[str, Figure]:
        """Draw energy against k, both measures beside their nulls, and how much few sources keep."""
        return {"sparsity": _figure(result)}


def gini(weights: npt.NDArray[np.float64]) -> float:
    """Return the Gini coefficient of sizes: 0 where all are alike, near 1 where one is alone; NaN for nothing."""
    sizes = np.sort(np.abs(weights))
    total = sizes.sum()
    if not total > 0:
        return float("nan")
    places = np.arange(1, len(sizes) + 1)
    return float((2 * places - len(sizes) - 1) @ sizes / (len(sizes) * total))


def participation(weights: npt.NDArray[np.float64]) -> float:
    """Return (sum w^2)^2 / sum w^4: how many carry the energy; NaN for nothing."""
    squares = np.square(weights)
    fourth = np.square(squares).sum()
    return float(squares.sum() ** 2 / fourth) if fourth > 0 else float("nan")


def _numbers(sources: int) -> list[int]:
    """Return numbers of sources from 1 to all, evenly in their logarithm."""
    return sorted({round(float(k)) for k in np.geomspace(1, sources, 24)})


def _fitted(
    fit: npt.NDArray[Any],
    held: npt.NDArray[Any],
    wanted: npt.NDArray[Any],
    truth: npt.NDArray[Any],
    chosen: Sequence[int] | npt.NDArray[Any],
) -> float:
    """Return the R2 on the other half of coefficients fitted on the first."""
    coefficients = np.linalg.lstsq(fit[:, chosen], wanted, rcond=None)[0]
    return r2(truth, held[:, chosen] @ coefficients)


def _described(values: npt.NDArray[Any]) -> dict[str, float] | None:
    """Return median and quartiles; None for nothing."""
    known = values[np.isfinite(values)]
    if not known.size:
        return None
    low, middle, high = np.quantile(known, (0.25, 0.5, 0.75))
    return {"median": float(middle), "lower_quartile": float(low), "upper_quartile": float(high)}


def _medians(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return the median of each column over the same rows: where one ends early its last number goes on; NaN where nothing is."""
    values = values.copy()
    for column in range(1, values.shape[1]):
        ended = ~np.isfinite(values[:, column])
        values[ended, column] = values[ended, column - 1]
    known = (column[np.isfinite(column)] for column in values.T)
    return np.array([np.median(one) if one.size else np.nan for one in known], np.float64)


def _figure(result: Result) -> Figure:
    from matplotlib.figure import Figure

    arrays, summary = result.arrays, result.summary
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    title = f"Weights from {summary['source']} to {summary['target']}, {summary['units']} units, n = {summary['images']} images"
    figure.suptitle(title, fontsize=9, parse_math=False)
    energy, measures, built = figure.subplots(1, 3)
    for row in arrays["energy"][:200]:
        energy.plot(arrays["numbers"], row, color=LIGHT, linewidth=0.5)
    energy.plot(arrays["numbers"], _medians(arrays["energy"]), color=INK, linewidth=1.6, label="median unit")
    energy.set_xscale("log")
    energy.set_xlabel("strongest sources", fontsize=8)
    energy.set_ylabel("part of the energy", fontsize=8)
    energy.legend(fontsize=7, frameon=False)
    for place, (name, colour) in enumerate((("gini", INK), ("gini_gaussian", LIGHT), ("gini_shuffled", ACCENT))):
        values = arrays[name] if arrays[name].ndim == 1 else arrays[name].mean(1)
        values = values[np.isfinite(values)]
        if len(values) > 1 and values.std() > 1e-9:
            drawn = measures.violinplot(values, [place], showmedians=True, widths=0.8)
            for body in drawn["bodies"]:
                body.set_facecolor(colour)
            for line in ("cbars", "cmins", "cmaxes", "cmedians"):
                drawn[line].set_color(INK)
        else:
            measures.plot([place] * len(values), values, ".", color=colour)
    measures.set_xticks(range(3), ["units", "null: gaussian", "null: shuffled"], fontsize=8)
    measures.set_ylabel("Gini coefficient", fontsize=8)
    size = np.arange(1, arrays["kept"].shape[1] + 1)
    lowest = 0.0
    curves = (("kept", ACCENT, "chosen, as they are"), ("explained", INK, "chosen, fitted"), ("largest", LIGHT, "largest, fitted"))
    for name, colour, label in curves:
        middle = _medians(arrays[name])
        built.plot(size, middle, color=colour, label=label)
        lowest = min(lowest, float(np.nan_to_num(middle).min()))
    built.axhline(float(_medians(arrays["whole"][:, None])[0]), color=INK, linestyle=":", linewidth=0.8, label="all sources")
    built.set_ylim(max(lowest, -1.0), 1.02)
    built.set_xlabel("sources kept", fontsize=8)
    built.set_ylabel("R2 on other images, median unit", fontsize=8)
    built.legend(fontsize=7, frameon=False)
    for axis in (energy, measures, built):
        axis.tick_params(labelsize=7)
    return figure
