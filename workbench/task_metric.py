"""How well a network still does its task once something in it was changed, image by image.

Three measures, the first that fits: minus the log-probability of the right class, in nats, where the image set names a class that the
network knows; KL(clean || changed) of the classes' probabilities where it does not; the squared distance of the output from the clean one
for networks without classes. All are losses: 0 or more, and smaller is better.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from workbench.bootstrap import Interval, ratio_of_means
from workbench.classes import classes_of, has_classes
from workbench.finite import plain
from workbench.input_error import InputError

if TYPE_CHECKING:
    from workbench.images.image_set import ImageSet
    from workbench.models.traced_model import TracedModel

Measure = Literal["classes", "kl", "output"]
WORDS: dict[Measure, str] = {
    "classes": "log-probability of the right class",
    "kl": "KL divergence from the clean classes",
    "output": "squared distance from the clean output",
}


@dataclass(frozen=True, eq=False)
class TaskMetric:
    """What is measured.

    Attributes
    ----------
    column
        The image set's column that names the right class; empty where none does.
    classes
        Right class of each image of the set, -1 for one the network does not know; empty but for the measure *classes*.
    labels
        Number of classes, 0 where the output is not one number for each.
    """

    measure: Measure
    column: str
    classes: npt.NDArray[np.int64]
    labels: int

    @classmethod
    def of(cls, model: TracedModel, images: ImageSet) -> TaskMetric:
        """Choose the first measure that fits."""
        if not has_classes(model):
            return cls("output", "", np.zeros(0, np.int64), 0)
        column, classes = classes_of(model, images)
        return cls("classes" if column else "kl", column, classes, len(model.labels))

    def usable(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return those of some images on which it can be measured, in their order."""
        return indices[self.classes[indices] >= 0] if self.measure == "classes" else indices

    @torch.no_grad()
    def __call__(
        self, indices: npt.NDArray[np.int64], rows: Float[Tensor, "row image *output"]
    ) -> tuple[Float64[np.ndarray, "row image"], Float64[np.ndarray, "row image"]]:
        """Return the loss, and 1 where the likeliest class is right (NaN where that means nothing); the first row is the clean run.

        What was changed may be no number any more: its loss is NaN then, and not 0.

        Raises
        ------
        InputError
            When the clean output is not finite.
        """
        if not rows[0].isfinite().all():
            raise InputError("the network's output is not finite on these images; choose other images, or another network")
        if self.measure == "output":
            apart = rows.double() - rows[0].double()
            loss = apart.reshape(*apart.shape[:2], -1).square().sum(2).cpu().numpy()
            return loss, np.full(loss.shape, np.nan)
        said = rows.double().log_softmax(-1)
        top = said.argmax(-1)
        if self.measure == "kl":
            clean = said[0].exp()
            parts = torch.where((clean > 0) | said.isnan(), clean * (said[0] - said), 0.0)  # 0 (-inf) is 0, but NaN is no class ruled out
            loss = parts.sum(-1).clamp_min(0).cpu().numpy()
            return loss, (top == top[0]).double().cpu().numpy()
        right = torch.as_tensor(self.classes[indices], device=rows.device)
        loss = -said.gather(2, right[None, :, None].expand(len(rows), -1, 1))[..., 0].cpu().numpy()
        return loss, (top == right).double().cpu().numpy()

    def chance(self, indices: npt.NDArray[np.int64]) -> dict[str, float]:
        """Return loss and accuracy of saying all classes are equally likely, and the accuracy of always saying the most frequent one."""
        if self.measure != "classes":
            return {}
        most = float(np.bincount(self.classes[indices]).max() / len(indices)) if len(indices) else math.nan
        return {"loss": math.log(self.labels), "accuracy": 1 / self.labels, "accuracy_most_frequent": most}

    def says(self) -> str:
        """Say what it is, for a summary or an axis."""
        return WORDS[self.measure] + (f" (column {self.column})" if self.column else "")


@dataclass(frozen=True)
class Kept:
    """The part of what everything does for the task that a part of it does alone.

    Attributes
    ----------
    fraction
        (loss without anything - loss with the part) / (loss without anything - clean loss), a ratio of means.
    whole
        The denominator, in the metric's units.
    """

    fraction: Interval
    whole: Interval

    @property
    def known(self) -> bool:
        """Whether there is anything to keep: whether the denominator is more than noise."""
        return self.whole.low > 0 and math.isfinite(self.whole.value)

    @property
    def within_noise(self) -> bool:
        """Whether the denominator was measured and is no more than noise; not so where the loss is no number."""
        return not self.known and math.isfinite(self.whole.value)


def kept(
    loss: npt.NDArray[np.float64],
    nothing: npt.NDArray[np.float64],
    clean: npt.NDArray[np.float64],
    groups: npt.NDArray[np.integer],
    seed: int | tuple[int, ...],
) -> Kept:
    """Return what is kept of the task; one number an image each, of the same images.

    Raises
    ------
    InputError
        When there is no image.
    """
    if not len(loss):
        raise InputError("the task can be measured on none of these images; choose images of classes that the network knows")
    stream = [seed] if isinstance(seed, int) else list(seed)
    return Kept(ratio_of_means(nothing - loss, groups, stream, nothing - clean), ratio_of_means(nothing - clean, groups, stream))


def described(found: Kept) -> dict[str, Any]:
    """Return it as plain data; None for what cannot be told."""
    inside = found.fraction if found.known else Interval(math.nan, math.nan, math.nan, math.nan, found.fraction.groups)
    return {
        "kept": plain(inside.value),
        "kept_low": plain(inside.low),
        "kept_high": plain(inside.high),
        "detectable": plain(inside.detectable),
        "concepts": inside.groups,
    }
