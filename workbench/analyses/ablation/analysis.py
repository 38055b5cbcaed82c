"""The question: what the network loses without these units, and whether that is more than without as many others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor

from workbench.analyses.ablation import figures
from workbench.analyses.ablation.findings import by_class, overall
from workbench.analyses.ablation.outcome import Outcome
from workbench.analyses.ablation.replacement import Replacement, other_units
from workbench.analyses.analysis import Analysis, Result, register
from workbench.classes import classes_of, has_classes
from workbench.images.scaling import cover_all
from workbench.input_error import InputError
from workbench.models.mean_activations import mean_activations
from workbench.task import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from workbench.images.image_set import ImageSet
    from workbench.models.layer import Layer
    from workbench.models.traced_model import TracedModel

ORDER, NULL = range(2)
"""What random numbers are drawn for: each has a stream of its own, so that changing one leaves the other."""
UNREADABLE = 5
"""Images that cannot be read, named in the summary."""
HEIGHT = 96
"""Of the pictures of images that change most, in pixels, at most."""


@register
class Ablation(Analysis):
    """Take some units out of a layer, and compare the output with the clean one and with what as many random units would do.

    The units' activation becomes zero, its mean over images and positions, or that on another image (a *resample*: every image gives its
    activation to one other). Only what lies downstream is computed again; the clean run, the ablation and the null are rows of one
    batch, so that what changes nothing changes nothing to the last bit.

    What is measured is the *change*: of the log-probability of the class, ablated minus clean, in nats. The class is the one that the
    image set names, where it has a column of labels that the network knows; else the one the clean network predicts (the summary
    says which). For a network without classes it is the length of the change of the output vector, against the clean vectors' mean
    length. The null is measured on the first `null_images` images (they are in random order), and the units' own change on these
    stands beside it.

    Intervals are of 95 %, by bootstrap over concepts (the set's column ``concept``; images where it has none). ``detectable`` is the
    smallest change that a run as uncertain as this would find four times out of five. ``percentile`` is the per cent of random draws
    whose change is smaller in size, ``p`` (1 + draws at least as large) / (1 + draws); ``class_percentile`` compares the largest fall of a
    class with the largest of each draw.

    Arrays; c is a class in the order of the network's labels, i an image that was seen, by index in the set, ascending:

    ``image`` ``change``
        int64, float64 ``i``.
    ``class`` ``kl`` ``top_clean`` ``top_ablated``
        ``i``: class whose probability counts, KL(clean || ablated) in nats, and the likeliest class before and after.
    ``cosine``
        float64 ``i``, in place of these four without classes: of the output with the clean one.
    ``null_units``
        int64 ``draw unit``.
    ``null_image`` ``null_change``
        int64 ``j``, float64 ``draw``: images the null was measured on, and the mean change of each draw.
    ``class_names`` ``class_change`` ``class_low`` ``class_high`` ``class_images`` ``class_concepts``
        ``c``: the labels; mean change over the images of a class, NaN where there are none; its interval, NaN for fewer than two
        concepts; how many images and concepts.
    ``null_class_change`` ``class_change_on_null``
        ``draw c``, ``c``: the same of the null, and of the units on the null's images.
    ``output_change``
        float32, in the output's shape: mean change of each output (logit), ablated minus clean.
    ``most_image`` ``most_change`` ``most_pictures``
        int64, float64 ``k``, uint8 ``k y x 3``: the images that change most, largest first.

    Partial results are plain: ``images`` seen and mean ``change`` so far.
    """

    title: ClassVar[str] = "Ablation"
    version: ClassVar[int] = 2
    needs_images: ClassVar[bool] = True

    layer: str = Field(description="Layer of the units.")
    units: tuple[int, ...] = Field(min_length=1, description="Units taken out together.")
    method: Literal["mean", "zero", "resample"] = Field(
        default="mean",
        description="What they become: their mean over the images, zero, or what they are on another image.",
    )
    measure: Literal["auto", "classes", "output"] = Field(
        default="auto", description="Log-probability of a class, or the output vector; auto: classes where it has them."
    )
    column: str = Field(
        default="", description="Column of the image set that names the class; none: found by its values."
    )
    classes: tuple[str, ...] = Field(default=(), description="Classes whose images are shown; none: all.")
    limit: int = Field(default=1024, ge=0, description="Images, chosen by the seed; 0: all of the set.")
    null_draws: int = Field(default=20, ge=20, le=1000, description="Random sets of as many units.")
    null_images: int = Field(default=192, ge=0, description="Images that these are measured on; 0: all.")
    batch: int = Field(default=64, ge=1, le=65536, description="Images computed at once, edits included.")
    seed: int = Field(default=0, ge=0, lt=2**31, description="Of the images, the random units and the bootstrap.")

    def compute(
        self, model: TracedModel, images: ImageSet | None, task: Task
    ) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Show the images, a few at a time, to the network as it is, without the units, and without random others."""
        assert images is not None
        layer = model.layer(self.layer)
        self._check(layer)
        column, classes = self._classes(model, images)
        order = self._order(len(images), classes)
        drawn = other_units(self.units, layer.units, self.null_draws, [self.seed, NULL])
        outcome = Outcome(classes)
        with torch.inference_mode():
            self._measure(model, images, layer, order, drawn, outcome, task)
        found = outcome.per_image()
        groups = images.concepts
        concept = np.unique([groups[index] for index in found["image"].tolist()], return_inverse=True)[1]
        arrays, summary = overall(found, concept, drawn, self.seed)
        arrays["output_change"] = outcome.output_change()
        if classes is not None:
            more, about = by_class(found, concept, model.labels, self.seed, labelled=bool(column))
            arrays |= more
            summary |= about
        chosen = {images.ids[index] for index in order.tolist()}
        summary = {
            "layer": layer.name,
            "role": layer.role,
            "units": list(self.units),
            "method": self.method,
            "measure": _say(classes, column),
            "images": outcome.images,
            "skipped": len(order) - outcome.images,
            "unreadable": [asdict(one) for one in images.skipped if one.id in chosen][:UNREADABLE],
            "left_out": int((classes < 0).sum()) if classes is not None else 0,
            "groups": "concept" if "concept" in images.columns else "image",
        } | summary
        summary["most_changed"] = [
            {"image": index, "id": images.ids[index], "change": change}
            for index, change in zip(arrays["most_image"].tolist(), arrays["most_change"].tolist(), strict=True)
        ]
        return arrays | {"most_pictures": self._pictures(model, images, arrays["most_image"])}, summary

    # --- what is asked ---------------------------------------------------------------------------------------------------------

    def _check(self, layer: Layer) -> None:
        layer.check(self.units)
        if len(set(self.units)) < len(self.units):
            raise InputError(f"units {','.join(map(str, self.units))} name one twice; name each once")

    def _classes(self, model: TracedModel, images: ImageSet) -> tuple[str, npt.NDArray[np.int64] | None]:
        """Return the column that names the classes, and what `Outcome` wants to know of them."""
        known = has_classes(model)
        if self.measure == "classes" and not known:
            raise InputError(f"{model.name} names no classes; choose measure = output")
        if known and self.measure != "output":
            return classes_of(model, images, self.column, self.classes)
        if self.classes or self.column:
            raise InputError("classes and column are of no use where the output vector is measured; leave them empty")
        return "", None

    def _order(self, number: int, classes: npt.NDArray[np.int64] | None) -> npt.NDArray[np.int64]:
        """Choose the images and bring them in a random order."""
        usable = np.flatnonzero(classes >= 0) if classes is not None and len(classes) else np.arange(number)
        if not len(usable):
            raise InputError("there are no images to show" + (f" of {', '.join(self.classes)}" if self.classes else ""))
        chosen: npt.NDArray[np.int64] = np.random.default_rng([self.seed, ORDER]).permutation(usable)
        return chosen[: self.limit or None]

    # --- measuring -------------------------------------------------------------------------------------------------------------

    def _measure(
        self,
        model: TracedModel,
        images: ImageSet,
        layer: Layer,
        order: npt.NDArray[np.int64],
        drawn: npt.NDArray[np.int64],
        outcome: Outcome,
        task: Task,
    ) -> None:
        compared = order[: self.null_images or None] if len(drawn) else order[:0]
        parts = ((compared, drawn), (order[len(compared) :], drawn[:0]))
        total = sum(len(some) * (2 + len(null)) for some, null in parts) + len(order) * (self.method == "mean")
        replacement = self._replacement(model, images, layer, order, total, task)
        done = len(order) * (self.method == "mean")
        last: list[Tensor] = []
        for some, null in parts:
            rows = [replacement.keep(last), *(replacement.edit(units) for units in (self.units, *null.tolist()))]
            size = max(1, self.batch // len(rows))
            for batch in images.batches(model.preprocessing.size, size, some) if len(some) else ():
                edits = [{layer.name: row} for row in rows]
                x = model.preprocess(batch.images)
                outcome.add(batch.indices, model.edited(x, edits, max_examples=len(rows) * len(x)))
                replacement.before = last[0]
                done += len(rows) * len(x)
                task.step(done, total, outcome.so_far())
        if not outcome.images:
            raise InputError(f"no image of {images.name} can be read")
        if self.method == "resample" and outcome.images < 2:
            raise InputError("resampling needs two images, there is one; choose mean or zero")

    def _replacement(
        self,
        model: TracedModel,
        images: ImageSet,
        layer: Layer,
        order: npt.NDArray[np.int64],
        total: int,
        task: Task,
    ) -> Replacement:
        """Find out what takes the units' place."""
        size = model.preprocessing.size
        if self.method == "zero":
            return Replacement(layer, torch.zeros(layer.units, device=model.device))
        if self.method == "resample":
            # The images go round: each gets what the one before it has, the first what the last one has.
            last = next(images.batches(size, 1, order[::-1]), None)
            before = model.forward_to([layer.name])(model.preprocess(last.images))[0] if last is not None else None
            return Replacement(layer, None, before)
        seen = 0

        def read() -> Iterator[Tensor]:
            nonlocal seen
            for batch in images.batches(size, self.batch, order):
                seen += len(batch.indices)
                yield model.preprocess(batch.images)

        (mean,) = mean_activations(model, [layer], read(), lambda _: task.step(seen, total, note="averaging the activations"))
        return Replacement(layer, mean)

    @staticmethod
    def _pictures(model: TracedModel, images: ImageSet, most: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Read the images that change most, small."""
        size = model.preprocessing.size
        small = min(HEIGHT, size[0]), max(1, round(size[1] * min(HEIGHT, size[0]) / size[0]))
        return np.concatenate([cover_all(batch.images, small) for batch in images.batches(size, len(most), most)])

    @classmethod
    def draw(cls, result: Result) -> dict[str, Figure]:
        """Draw the effect beside its null, the classes that change most, and the images that do."""
        drawn = {"effect": figures.effect(result), "images": figures.images(result)}
        return drawn | ({"classes": figures.classes(result)} if "class_change" in result.arrays else {})


def _say(classes: npt.NDArray[np.int64] | None, column: str) -> str:
    if classes is None:
        return "length of the change of the output, against the clean output's mean length"
    return f"log-probability of the class {f'in column {column}' if column else 'that the clean network predicts'}"
