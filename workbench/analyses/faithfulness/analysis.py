"""The question: how few inputs tell what the units of a layer compute, layer by layer."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field

from workbench.analyses.analysis import Analysis, Result, register
from workbench.analyses.faithfulness import figures
from workbench.analyses.faithfulness.findings import of_layer, of_task
from workbench.analyses.faithfulness.scoring import UNITS, Layerwise, Method, Ranking, Shown
from workbench.analyses.faithfulness.targets import Asked, asked_of
from workbench.analyses.faithfulness.task import task_curves
from workbench.bootstrap import first_half
from workbench.input_error import InputError
from workbench.task import Task
from workbench.task_metric import TaskMetric
from workbench.training_data import mismatch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from workbench.images.image_set import ImageSet
    from workbench.models.traced_model import TracedModel

FEWEST = 8
"""Images, at least."""
HALVES, ORDER = 3, 4
"""Streams of random numbers beside those of `scoring` and `findings`."""
NAMED = 5
"""Images that cannot be read, named in the summary."""


@register
class Faithfulness(Analysis):
    """Measure how well few inputs tell what a unit computes, for layers from a network's beginning to its end: circuit faithfulness curves.

    The inputs of a unit are the units of the layers that its pre-activation is a sum of (`workbench.models.affine`): what each adds
    to it, its *share*, is exact (`workbench.models.shares`). Of every unit the k strongest inputs are kept, and the rest is ablated:
    held at its mean, or as it is on another image. What is left is 1 - SSE(k) / SSE(0) of the true pre-activation over images and places:
    0 with no input and 1 with all of them, exactly. Beside it stand random orders of the inputs, and, for some units, the *greedy* order,
    in which each next input is the one that brings the sum nearest. Inputs are ranked on one half of the images and scored on the
    other; a concept (the set's column ``concept``) stands in one half only.

    Inputs are ranked by the standard deviation of their share. The ranking ``weight_mean``, |weight| x mean activation, is the known bad
    one: what an input always adds, its mean adds as well. In a residual network the strongest input of a unit may be that unit itself, a
    block earlier: ``itself`` counts the units for which it is.

    *Task*: every unit of the layer gets the value that its k inputs give, all at once and at every place, and the network is run on from
    there. ``kept`` is (loss with none - loss with k) / (loss with none - clean loss): a ratio of means. The loss is the first of
    `workbench.task_metric` that fits: minus the log-probability of the right class, KL from the clean classes, squared distance of the
    output.

    With ``sources`` farther away than the layer is a sum of, gates in between are held at their mean over the training half, as in
    `ExpandedWeights`; the layer is then read at its centre only, all inputs explain less than 1 (``all_inputs_explain``), and there is no
    task. Units that do not vary, and those that are not finite, are counted and named and are in no median.

    Arrays; L is the layer's place in the summary's ``layers``, u a unit scored, k a number of inputs, d a random order:

    ``units/L`` ``numbers/L``
        int32 ``u``, ``k``: the first of the numbers is 0, the last all.
    ``explained/L`` ``random/L``
        float32 ``u k``, ``d u k``; NaN for units that do not vary or are not finite.
    ``greedy/L`` ``greedy_units/L``
        float32 ``v k``, int32 ``v``: of the units that have a greedy order.
    ``curve/L``
        float32 ``3 k``: median over units, and its 95 % interval over concepts.
    ``strongest/L``
        int32 ``u n``: the inputs of each unit that are kept first, counted through the summary's ``sources`` in order.
    ``task_numbers/L`` ``task_kept/L`` ``task_kept_random/L``
        int32 ``k``, float32 ``3 k`` (with its 95 % interval), ``d k``; NaN where ablating all inputs costs no more than noise.
    ``task_loss/L`` ``task_loss_random/L`` ``task_right/L`` ``task_right_random/L``
        float64 ``k``, ``d k``: mean loss, and the part of the images whose likeliest class is right (that of the clean network for KL).

    The summary has, a layer: ``k_half`` and ``k_90``, how many inputs explain half and 90 % of the variance (median over units; None
    where all do not); ``area``, the mean of a unit's curve over the logarithm of k; the same of random orders; and ``area_detectable``,
    the smallest difference of areas from random that this run would have found four times out of five.
    """

    title: ClassVar[str] = "Circuit faithfulness"
    version: ClassVar[int] = 2
    needs_images: ClassVar[bool] = True

    layers: tuple[str, ...] = Field(
        default=(), description="Target layers, before their non-linearity where they stand behind one; none: a spread over the network."
    )
    sources: tuple[str, ...] = Field(default=(), description="Layers whose units are the inputs; none: the nearest each layer is a sum of.")
    spread: int = Field(default=8, ge=1, le=1000, description="Layers, evenly over the network, where none is named.")
    ranking: Ranking = Field(
        default="contribution",
        description="What ranks the inputs: the deviation of what they add, or |weight| x mean activation (known to be bad).",
    )
    method: Method = Field(default="mean", description="What the other inputs become: their mean, or what they are on another image.")
    scored: int = Field(default=48, ge=0, description="Units of each layer that are scored, chosen by the seed; 0: all.")
    positions: int = Field(default=8, ge=1, description="Places looked at in each image.")
    levels: int = Field(default=14, ge=2, le=200, description="Numbers of inputs kept, evenly in their logarithm.")
    draws: int = Field(default=4, ge=1, le=100, description="Random orders.")
    greedy_units: int = Field(default=6, ge=0, description="Units that also get a greedy order, which is slow.")
    task_images: int = Field(default=48, ge=0, description="Images of the scoring half that the task is measured on; 0: none.")
    images: int = Field(default=200, ge=FEWEST, description="Images, both halves together.")
    batch: int = Field(default=16, ge=2, le=1024, description="Images computed at once.")
    seed: int = Field(default=0, ge=0, lt=2**31, description="Of images, halves, units, places, random orders and bootstrap.")

    def compute(
        self, model: TracedModel, images: ImageSet | None, task: Task
    ) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Go through the layers, one after the other."""
        assert images is not None
        asked = asked_of(model, self.layers, self.sources, self.spread)
        if self.method == "resample" and not all(one.exact for one in asked):
            raise InputError("resampling needs sources that the layer is a sum of; choose nearer sources, or the mean")
        train, test = self._halves(model, images)
        metric = TaskMetric.of(model, images)
        concept = images.concepts
        usable = metric.usable(np.concatenate([part.indices for part in test]))[: self.task_images]
        for_task = self._show(model, images, usable) if len(usable) > 1 else []
        arrays: dict[str, npt.NDArray[Any]] = {}
        found = []
        passes = 1 + (self.ranking == "contribution") + (self.greedy_units > 0)
        batches = passes * len(train) + len(test) + len(for_task)
        for place, one in enumerate(asked):
            steps = 0

            def tell(more: int = 1, place: int = place, one: Asked = one) -> None:
                nonlocal steps
                steps += more
                task.step(place + min(1.0, steps / batches), len(asked), note=f"inputs of {one.layer.name}")

            tell(0)
            with torch.no_grad():
                layer = Layerwise(model, one, train, self.method, self.positions, self.seed, tell)
                curves = layer.score(test, self.ranking, self._units(one), self.greedy_units, self.levels, self.draws)
                measured = of_layer(curves, _concepts(concept, test), self.seed)
                summary, more = measured.summary, measured.arrays
                if one.exact and for_task:
                    on_task = task_curves(layer, metric, curves.order, for_task, curves.numbers, self.draws, self.seed)
                    of = of_task(on_task, metric, _concepts(concept, for_task), self.seed)
                    summary, more = summary | {"task": of.summary}, more | of.arrays
            found.append(summary)
            arrays |= {f"{name}/{place}": values for name, values in more.items()}
        read = sum(len(part.indices) for part in (*train, *test))
        return arrays, {
            "layers": found,
            "ranking": self.ranking,
            "method": self.method,
            "task": metric.says() if for_task else None,
            "images": read,
            "ranked_on": sum(len(part.indices) for part in train),
            "scored_on": sum(len(part.indices) for part in test),
            "task_images": sum(len(part.indices) for part in for_task),
            "groups": "concept" if "concept" in images.columns else "image",
            "draws": self.draws,
            "network": model.name,
            "mismatch": mismatch(model, images),
            "unreadable": [asdict(one) for one in images.skipped[:NAMED]],
        }

    def _halves(self, model: TracedModel, images: ImageSet) -> tuple[list[Shown], list[Shown]]:
        """Choose images, and read those that rank and those that score."""
        order = np.random.default_rng([self.seed, ORDER]).permutation(len(images))[: self.images]
        first = first_half([images.concepts[index] for index in order.tolist()], [self.seed, HALVES])
        halves = [self._show(model, images, order[of]) for of in (first, ~first)]
        if any(sum(len(part.indices) for part in half) < FEWEST // 2 for half in halves):
            raise InputError(f"at least {FEWEST} images of {images.name} of two concepts and more are needed; choose more images")
        return halves[0], halves[1]

    def _show(self, model: TracedModel, images: ImageSet, indices: npt.NDArray[np.int64]) -> list[Shown]:
        """Read some images in batches of nearly the same size: one image alone could not be resampled."""
        size = -(-len(indices) // max(1, -(-len(indices) // self.batch)))
        return [
            Shown(part.indices, model.inputs(model.preprocess(part.images)))
            for part in images.batches(model.preprocessing.size, max(2, size), indices)
        ]

    def _units(self, one: Asked) -> npt.NDArray[np.int64]:
        chosen = np.random.default_rng([self.seed, UNITS]).permutation(one.layer.units)
        return chosen[: self.scored or None]

    @classmethod
    def draw(cls, result: Result) -> dict[str, Figure]:
        """Draw the curves of all layers, and the network's profile."""
        return {"faithfulness": figures.layers(result), "profile": figures.compare([result])}


def _concepts(concept: Any, parts: list[Shown]) -> npt.NDArray[np.int64]:
    """Number the concepts of some images."""
    names = [concept[index] for part in parts for index in part.indices.tolist()]
    numbers: npt.NDArray[np.int64] = np.unique(names, return_inverse=True)[1]
    return numbers
