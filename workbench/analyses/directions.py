"""Directions of a layer's activations: principal axes, non-negative factors, the difference of two kinds of images, a probe."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, model_validator

from workbench.analyses.analysis import Analysis, Result, register
from workbench.analyses.unit_activations import Places
from workbench.bootstrap import first_half
from workbench.direction_set import DirectionSet
from workbench.factors import factors_of
from workbench.figure_colours import ACCENT, INK, LIGHT
from workbench.finite import finite_columns
from workbench.input_error import InputError
from workbench.task import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from workbench.images.image_set import ImageSet
    from workbench.models.layer import Layer
    from workbench.models.traced_model import TracedModel

Array = npt.NDArray[np.float64]
BATCH, SHUFFLES = 32, 20
"""Images read at once; times that the labels are shuffled, whole concepts at a time, for the null."""
PENALTY = 0.1
"""Inverse strength of the probe's L2 penalty, on activations of unit deviation (scikit-learn's C)."""


@register
class Directions(Analysis):
    """Make directions of a layer, and say how good they are on concepts that took no part in making them.

    ``pca``
        The first principal axes of the activations at some random positions of each image. Measured: the part of the variance (about the
        mean of the others) they explain on held-out concepts, beside as many random directions.
    ``nmf``
        Non-negative groups of units (`workbench.factors`), a unit's activations over images and positions being its kernel.
    ``difference``
        Mean of the images whose column is `positive`, less the mean of those that are `negative`.
    ``probe``
        Logistic regression between the two. Both are measured by the AUROC on held-out concepts, beside labels shuffled over concepts
        (the null that 19 of 20 stay below).

    The last two take the mean over positions of each image; all directions are read at each position. A direction's decoder is the
    pseudo-inverse of the encoder: setting one to a value leaves the others what they are. Units that are not finite somewhere count as 0.

    Arrays: ``encoder`` ``decoder`` float32 ``direction unit``, ``bias`` ``spread`` float32 ``direction``, ``explained`` and ``null``
    float32 ``direction`` (of pca and nmf), ``score`` float32 ``image`` and ``inside`` bool ``image`` (of the others, held-out images).
    """

    title: ClassVar[str] = "Directions"
    version: ClassVar[int] = 2
    needs_images: ClassVar[bool] = True

    layer: str = Field(description="Layer whose activations are read.")
    method: Literal["pca", "nmf", "difference", "probe"] = Field(default="pca", description="How directions are found.")
    number: int = Field(default=16, ge=1, le=512, description="Directions of pca and nmf.")
    column: str = Field(default="", description="Property of an image that tells the two kinds, for difference and probe: style, label …")
    positive: str = Field(default="", description="Value of the column of the first kind.")
    negative: str = Field(default="", description="Value of the second kind; empty: all others.")
    places: int = Field(default=4, ge=1, le=256, description="Random positions read of each image; any spread is taken there.")
    seed: int = Field(default=0, ge=0, lt=2**31, description="Of positions, halves of the concepts, and shuffles.")

    @model_validator(mode="after")
    def _kinds_are_named(self) -> Directions:
        if self.method in ("difference", "probe") and not (self.column and self.positive):
            raise ValueError(f"{self.method} needs a column and a positive value, such as column=style positive=noto")
        return self

    def compute(
        self, model: TracedModel, images: ImageSet | None, task: Task
    ) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Read the layer, find the directions on half of the concepts, and measure them on the other half."""
        assert images is not None
        layer = model.layer(self.layer)
        first = first_half(images.concepts, self.seed)
        if self.method in ("pca", "nmf"):
            rows, image = self._read(model, layer, images, np.arange(len(images)), self.places, task)
            rows, broken = finite_columns(rows)
            arrays, summary = self._factors(layer, rows, first[image], len(images), task)
            return arrays, summary | {"not_finite": int(broken.sum())}
        column = np.asarray(self._column(images))
        inside = column == self.positive
        outside = column == self.negative if self.negative else ~inside
        if not inside.any() or not outside.any():
            known = ", ".join(sorted(set(column.tolist()))[:8])
            raise InputError(f"{self.column} of {images.name} has no {self.positive!r} beside {self.negative or 'others'}; it has {known}")
        chosen = np.flatnonzero(inside | outside)
        rows, image = self._read(model, layer, images, chosen, 0, task)
        rows, broken = finite_columns(rows)
        concepts = np.asarray(images.concepts)[image]
        arrays, summary = self._between(layer, rows, inside[image], first[image], concepts, task)
        at_places, _ = self._read(model, layer, images, chosen[~first[chosen]], self.places, task)
        values = np.where(broken, 0, at_places) @ arrays["encoder"][0].astype(np.float64)
        return arrays | {"spread": np.array([values.std()], np.float32)}, summary | {"not_finite": int(broken.sum())}

    def _column(self, images: ImageSet) -> Sequence[str]:
        if self.column == "concept":
            raise InputError(f"{self.method} is tested on concepts it was not made of, so a concept cannot be a kind; use another column")
        if self.column not in images.columns:
            raise InputError(f"{images.name} has no column {self.column!r}; it has {', '.join(images.columns) or 'none'}")
        return images.columns[self.column]

    def _read(
        self, model: TracedModel, layer: Layer, images: ImageSet, chosen: npt.NDArray[np.int64], places: int, task: Task
    ) -> tuple[Array, npt.NDArray[np.int64]]:
        """Return activations, ``row unit``, and the image of each row; the mean of an image where `places` is 0."""
        forward = model.forward_to([layer.name])
        pick = Places(places, self.seed) if places else None
        found, of, seen = [], [], 0
        for batch in images.batches(model.preprocessing.size, BATCH, chosen):
            with torch.inference_mode():
                (activation,) = forward(*model.inputs(model.preprocess(batch.images)))
                if pick is None:
                    arranged = layer.arrange(activation)
                    rows = arranged.reshape(*arranged.shape[:2], -1).float().mean(2)
                else:
                    rows = pick(layer, activation, model.preprocessing.size, batch.indices).flatten(0, 1)
            found.append(rows.double().cpu().numpy())
            of.append(np.repeat(batch.indices, places or 1))
            seen += len(batch.indices)
            task.step(seen, len(chosen) + 10, note=f"reading {layer.name}")
        if not found:
            raise InputError(f"no image of {images.name} can be read")
        return np.concatenate(found), np.concatenate(of)

    def _factors(
        self, layer: Layer, rows: Array, first: npt.NDArray[np.bool_], count: int, task: Task
    ) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        number = min(self.number, layer.units)
        centre = rows[first].mean(0)
        mean = centre if self.method == "pca" else np.zeros(layer.units)
        if self.method == "pca":
            encoder = np.linalg.svd(rows[first] - mean, full_matrices=False)[2][:number]
        else:
            encoder = factors_of(rows[first], number, lambda: task.step(0, 0, note="finding factors")).sources.T
        if not len(encoder):
            raise InputError(f"{layer.name} is 0 on all of these images, so it has no factors; choose another layer or other images")
        random = np.linalg.qr(np.random.default_rng(self.seed).normal(size=(layer.units, len(encoder))))[0].T
        held = rows[~first] - centre
        explained, null = (_explained(held, some) for some in (encoder, random))
        decoder = np.linalg.pinv(encoder).T
        values = rows[~first] @ encoder.T - encoder @ mean
        arrays = _as_set(encoder, -encoder @ mean, decoder, values.std(0)) | {
            "explained": explained.astype(np.float32),
            "null": null.astype(np.float32),
        }
        return arrays, {
            "layer": layer.name,
            "method": self.method,
            "directions": len(encoder),
            "images": count,
            "explained": float(explained[-1]),
            "null": float(null[-1]),
            "null_is": "as many random directions",
        }

    def _between(
        self, layer: Layer, rows: Array, inside: npt.NDArray[np.bool_], first: npt.NDArray[np.bool_], concepts: npt.NDArray[Any], task: Task
    ) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        for part, name in ((first, "first"), (~first, "second")):
            if not inside[part].any() or inside[part].all():
                raise InputError(f"the {name} half of the concepts has one of the two kinds only; choose kinds with more concepts")
        weight, bias = self._direction(rows[first], inside[first])
        score = rows[~first] @ weight + bias
        auroc = _auroc(score, inside[~first])
        random = np.random.default_rng(self.seed)
        null = []
        for draw in range(SHUFFLES):
            shuffled = _shuffled(inside, concepts, random)
            if shuffled[first].any() and not shuffled[first].all() and shuffled[~first].any() and not shuffled[~first].all():
                other, _ = self._direction(rows[first], shuffled[first])
                null.append(_auroc(rows[~first] @ other, shuffled[~first]))
            task.step(len(rows) + draw * 10 / SHUFFLES, len(rows) + 10, note="shuffling labels")
        length = float(weight @ weight)
        arrays = _as_set(weight[None], np.array([bias]), weight[None] / length, np.full(1, np.nan)) | {
            "score": score.astype(np.float32),
            "inside": inside[~first],
        }
        return arrays, {
            "layer": layer.name,
            "method": self.method,
            "directions": 1,
            "images": len(rows),
            "auroc": auroc,
            "accuracy": _accuracy(score, inside[~first]),
            "null": float(np.quantile(null, 0.95)) if null else None,
            "null_is": "labels shuffled over concepts, 95th percentile",
            "kinds": [self.positive, self.negative or "others"],
        }

    def _direction(self, rows: Array, inside: npt.NDArray[np.bool_]) -> tuple[Array, float]:
        """Return weights and bias; 0 lies half way between the kinds."""
        if self.method == "difference":
            means = rows[inside].mean(0), rows[~inside].mean(0)
            weight = means[0] - means[1]
            weight = weight / max(float(np.linalg.norm(weight)), 1e-12)
            return weight, -float(weight @ (means[0] + means[1])) / 2
        from sklearn.linear_model import LogisticRegression

        deviation = np.where(rows.std(0) > 1e-9, rows.std(0), np.inf)
        fitted = LogisticRegression(C=PENALTY, max_iter=300, class_weight="balanced").fit((rows - rows.mean(0)) / deviation, inside)
        weight = fitted.coef_[0] / deviation
        return weight, float(fitted.intercept_[0] - weight @ rows.mean(0))

    @classmethod
    def draw(cls, result: Result) -> dict[str, Figure]:
        """Draw the variance explained, or the held-out scores of the two kinds."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5, 3), layout="constrained")
        axis, arrays, summary = figure.subplots(), result.arrays, result.summary
        if "explained" in arrays:
            count = np.arange(1, len(arrays["explained"]) + 1)
            axis.plot(count, arrays["explained"], "o-", color=INK, markersize=3, label=summary["method"])
            axis.plot(count, arrays["null"], "o-", color=LIGHT, markersize=3, label=summary["null_is"])
            axis.set_xlabel("directions", fontsize=8)
            axis.set_ylabel("held-out variance explained", fontsize=8)
            axis.set_ylim(0, 1)
        else:
            edges = np.linspace(arrays["score"].min(), arrays["score"].max() + 1e-9, 40).tolist()
            for kind, colour, name in zip((True, False), (ACCENT, INK), summary["kinds"], strict=True):
                axis.hist(arrays["score"][arrays["inside"] == kind], edges, color=colour, alpha=0.6, density=True, label=name)
            null = "-" if summary["null"] is None else f"{summary['null']:.2f}"
            axis.set_title(f"held-out AUROC {summary['auroc']:.3f} (null {null})", fontsize=8)
            axis.set_xlabel("direction, held-out images", fontsize=8)
        axis.legend(fontsize=7, frameon=False)
        axis.tick_params(labelsize=7)
        return {"directions": figure}


def set_of(result: Result, name: str) -> DirectionSet:
    """Make a set of what was found."""
    arrays, summary, given = result.arrays, result.summary, result.provenance
    kinds = summary.get("kinds")
    labels = (f"{kinds[0]} - {kinds[1]}",) if kinds else ()
    told = {part: value for part, value in summary.items() if part not in ("layer", "directions", "method")}
    about = {"how": summary["method"], "model": given["model"], "weights": given["weights"], "images": given["images"], **told}
    encoder, bias, decoder, spread = (np.array(arrays[part], np.float32) for part in ("encoder", "bias", "decoder", "spread"))
    return DirectionSet(name, summary["layer"], encoder, bias, decoder, spread, labels=labels, provenance=about)


def keep(result: Result, name: str, folder: Path | None = None) -> DirectionSet:
    """Make a set of what was found, and write it into the user's folder; return it."""
    made = set_of(result, name)
    made.save(folder)
    return made


def _as_set(encoder: Array, bias: Array, decoder: Array, spread: Array) -> dict[str, npt.NDArray[Any]]:
    parts = {"encoder": encoder, "bias": bias, "decoder": decoder, "spread": spread}
    return {name: array.astype(np.float32) for name, array in parts.items()}


def _explained(held: Array, directions: Array) -> Array:
    """Return the part of the variance that the first of the directions explain, one more each time."""
    total = float(np.square(held).sum()) or 1.0
    basis = np.linalg.qr(directions.T)[0]
    return np.cumsum(np.square(held @ basis).sum(0)) / total


def _auroc(score: Array, inside: npt.NDArray[np.bool_]) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(inside, score))


def _accuracy(score: Array, inside: npt.NDArray[np.bool_]) -> float:
    """Return the mean of the parts of each kind that lie on their side of 0."""
    return float(((score[inside] > 0).mean() + (score[~inside] <= 0).mean()) / 2)


def _shuffled(inside: npt.NDArray[np.bool_], concepts: npt.NDArray[Any], random: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Give each concept the labels of another; where labels differ within concepts, shuffle them within each."""
    known, place = np.unique(concepts, return_inverse=True)
    rate = np.bincount(place, inside) / np.bincount(place)
    if ((rate == 0) | (rate == 1)).all():
        return random.permutation(rate)[place] > 0.5
    shuffled = inside.copy()
    for concept in range(len(known)):
        rows = np.flatnonzero(place == concept)
        shuffled[rows] = random.permutation(inside[rows])
    return shuffled
