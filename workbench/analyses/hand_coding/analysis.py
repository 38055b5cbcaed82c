"""The question: how much of what a network loses without some units comes back when they are written by hand."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict, Field

from workbench.analyses.analysis import Analysis, Result, register
from workbench.analyses.hand_coding import figures
from workbench.analyses.hand_coding.bench import Bench
from workbench.analyses.hand_coding.ground import measured_ground
from workbench.analyses.hand_coding.recovery import accuracy, recovered
from workbench.analyses.hand_coding.scoring import Scores, Train, emptied, score, shuffled
from workbench.bootstrap import first_half
from workbench.finite import plain
from workbench.input_error import InputError
from workbench.kernel_edits import KernelEdit
from workbench.kernel_ground import Ground
from workbench.kernel_templates import template
from workbench.models.kernel_site import KernelSite, last_kernels
from workbench.models.layer import Unit
from workbench.task import Task
from workbench.task_metric import TaskMetric

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from workbench.images.image_set import ImageSet
    from workbench.models.traced_model import TracedModel

HALVES, ORDER, SHUFFLES, BOOTSTRAP, POSITIONS = range(5)
"""What random numbers are drawn for, each from a stream of its own."""
ROWS = ("full", "ablated", "zeroed", "offset", "hand")
"""What the losses are of: the network, its units at their mean, at zero, with kernels of zeros and a fitted offset, with those by hand."""


class WrittenKernel(BaseModel):
    """One kernel as a parameter: its values, or a template that it is written from (see `workbench.kernel_edits`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layer: str
    unit: int = Field(ge=0)
    template: str = ""
    parameters: dict[str, float] = Field(default_factory=dict)
    shape: tuple[int, ...] = ()
    values: str = ""
    bias: float = 0.0
    label: str = ""

    def edit(self, model: TracedModel, grounds: dict[tuple[str, range], Ground], task: Task) -> KernelEdit:
        """Return the edit; a template without values is written now, over what the units it reads are measured to detect.

        `grounds` keeps what was measured of this network, by what is read and which channels of it.
        """
        if self.values or not self.template:
            return KernelEdit.from_document(self.model_dump())
        site, index = KernelSite.of(model, Unit(self.layer, self.unit))
        place = site.reads, site.channels(model, index)
        if place not in grounds:
            grounds[place] = measured_ground(model, site, index, task)
        kernel = template(self.template).kernel(replace(grounds[place], side=site.ground(model).side), self.parameters)
        return KernelEdit(self.layer, self.unit, kernel, self.bias, self.template, self.parameters, self.label)


@register
class HandCoding(Analysis):
    """Put kernels written by hand in the place of learned ones, all at once, and say how much of the performance comes back.

    ``recovered`` = (hand - ablated) / (full - ablated), of the mean log-probability of the right class (or of the measure of
    `workbench.task_metric` that fits), a ratio of means; accuracy stands beside it. *Full* is the network, *ablated* has the units at their
    mean behind the non-linearity, *hand* has the kernels written by hand. Means, and offset and scale of every kernel, are taken on one
    half of the concepts, all else on the other. Where the ablation costs no more than noise there is nothing to recover: ``refused`` says
    so, and the ratios are None.

    Controls: *offset* has kernels of zeros and a fitted offset, which repairs an ablation to zero (``offset_repairs``) and must
    recover nothing here; *shuffled* has the entries of each kernel in another order, fitted in the same way, several times.
    McNemar's exact test compares which images are right, each image counted as independent of the others, so where a concept has several
    p is too small. Both, and accuracy, are given where the image set names the right class. Intervals are of 95 %, by bootstrap over
    concepts.

    Arrays; i an image of the half that is scored:

    ``image`` ``group``
        int64 ``i``: by index in the set, and the number of its concept, as intervals are drawn.
    ``loss_full`` ``loss_ablated`` ``loss_zeroed`` ``loss_offset`` ``loss_hand`` and ``right_…``
        float64 ``i``: minus the log-probability (or what else is measured), and 1 where the likeliest class is right.
    ``shuffled_recovered`` ``shuffled_loss``
        float64 ``draw``.
    ``kernel/U`` ``own/U``
        float32 ``channel y x``: of the unit at place U of the summary's ``units`` the kernel by hand, with its scale, and its own.
    """

    title: ClassVar[str] = "Hand-coding"
    version: ClassVar[int] = 2
    needs_images: ClassVar[bool] = True

    edits: tuple[WrittenKernel, ...] = Field(
        min_length=1, description='Kernels: [{"layer": "conv2d0", "unit": 3, "template": "gabor", "parameters": {"orientation": 45}}, …].'
    )
    fit: bool = Field(default=True, description="Fit offset and scale of every kernel on one half of the concepts; else as they are.")
    images: int = Field(default=512, ge=8, description="Images that are scored.")
    fit_images: int = Field(default=192, ge=8, description="Images, of other concepts, that offset and scale are fitted on.")
    shuffles: int = Field(default=5, ge=0, le=1000, description="Kernels with their entries shuffled, as a control.")
    batch: int = Field(default=64, ge=1, le=4096, description="Images computed at once.")
    seed: int = Field(default=0, ge=0, lt=2**31, description="Of halves, images, shuffles and bootstrap.")

    def compute(
        self, model: TracedModel, images: ImageSet | None, task: Task
    ) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Fit on one half of the concepts, score on the other."""
        assert images is not None
        edits, bench, metric = self.begun(model, images, task)
        read = [list(images.batches(model.preprocessing.size, self.batch, half)) for half in self.halves(images, metric)]
        written = [edits, emptied(edits), *(shuffled(edits, draw, [self.seed, SHUFFLES]) for draw in range(self.shuffles))]
        begun, step = len(read[0]) + len(written), len(written) + 3
        total = begun + step * len(read[1])
        with torch.no_grad():
            train = Train(bench, read[0], lambda done: task.step(done, total, note="fitting"), [self.seed, POSITIONS])
            versions, fits = [], []
            for place, version in enumerate(written):
                found = train.fitted(version, as_written=not self.fit and place == 0)
                versions.append(found[0])
                fits.append(found[1])
                task.step(len(read[0]) + place + 1, total, note="fitting")
            tell = partial(_tell, task, begun, step, total)
            scores = score(bench, train.means, versions, metric, read[1], tell)
        concept = images.concepts
        groups = np.unique([concept[index] for index in scores.image.tolist()], return_inverse=True)[1]
        own = [place.site.kernel(model, place.index)[0] for place in bench.places]
        arrays, summary = self._compared(scores, groups, metric)
        arrays |= {"group": groups}
        arrays |= {f"kernel/{place}": edit.kernel for place, edit in enumerate(versions[0])}
        arrays |= {f"own/{place}": kernel for place, kernel in enumerate(own)}
        units = [
            {
                "unit": edit.address,
                "template": edit.template,
                "parameters": dict(edit.parameters),
                "scale": plain(one.scale),
                "offset": plain(one.offset),
                "r2": plain(one.r2),
                "correlation": plain(alike),
                "kernel_cosine": plain(_cosine(edit.kernel, kernel)),
            }
            for edit, one, alike, kernel in zip(versions[0], fits[0], scores.alike, own, strict=True)
        ]
        return arrays, {
            "units": units,
            "task": metric.says(),
            "measure": metric.measure,
            "images": len(scores.image),
            "fitted_on": sum(len(part.indices) for part in read[0]) if self.fit else 0,
            "groups": "concept" if "concept" in images.columns else "image",
            "chance": metric.chance(scores.image),
            "network": model.name,
        } | summary

    def fitted(self, model: TracedModel, images: ImageSet, task: Task) -> tuple[list[KernelEdit], int]:
        """Return the kernels with the scale and the offset that `compute` scores them with, and on how many images these are fitted."""
        edits, bench, metric = self.begun(model, images, task)
        parts = list(images.batches(model.preprocessing.size, self.batch, self.halves(images, metric)[0]))
        with torch.no_grad():
            train = Train(bench, parts, lambda done: task.step(done, len(parts), note="fitting"), [self.seed, POSITIONS])
            return train.fitted(edits, as_written=not self.fit)[0], sum(len(part.indices) for part in parts)

    def begun(self, model: TracedModel, images: ImageSet, task: Task) -> tuple[list[KernelEdit], Bench, TaskMetric]:
        """Write the kernels, and find what they are measured by."""
        grounds: dict[tuple[str, range], Ground] = {}
        edits = last_kernels(model, [written.edit(model, grounds, task) for written in self.edits])
        return edits, Bench.of(model, [Unit(edit.layer, edit.unit) for edit in edits]), TaskMetric.of(model, images)

    def halves(self, images: ImageSet, metric: TaskMetric) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Choose the images to fit on and those to score, of different concepts."""
        order = metric.usable(np.random.default_rng([self.seed, ORDER]).permutation(len(images)))
        concept = images.concepts
        first = first_half([concept[index] for index in order.tolist()], [self.seed, HALVES])
        halves = order[first][: self.fit_images], order[~first][: self.images]
        if min(map(len, halves)) < 4:
            raise InputError(f"at least 8 images of {images.name} that the task can be measured on are needed, of two concepts and more")
        return halves

    def _compared(
        self, scores: Scores, groups: npt.NDArray[np.integer], metric: TaskMetric
    ) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Put the rows beside one another."""
        stream = [self.seed, BOOTSTRAP]
        loss = dict(zip(ROWS, scores.loss[[0, 1, 2, 4, 3]], strict=True))
        right = dict(zip(ROWS, scores.right[[0, 1, 2, 4, 3]], strict=True))
        told = {row: recovered(loss[row], loss["ablated"], loss["full"], groups, stream) for row in ("hand", "offset")}
        null = [recovered(one, loss["ablated"], loss["full"], groups, stream)["recovered"] for one in scores.loss[5:]]
        summary = told["hand"] | {f"loss_{row}": float(values.mean()) for row, values in loss.items()}
        summary |= {"offset_recovered": told["offset"]["recovered"]}
        repaired = recovered(loss["offset"], loss["zeroed"], loss["full"], groups, stream)
        summary |= {"offset_repairs": repaired["recovered"], "zeroing_refused": repaired["refused"]}
        if metric.measure == "classes":  # else the likeliest class is only compared with the clean one
            summary |= accuracy([right["full"], right["ablated"], right["hand"]], groups, stream)
        drawn = np.array([np.nan if value is None else value for value in null])
        summary |= {"shuffles": len(null)}
        if len(null) and np.isfinite(drawn).all():
            summary |= {"shuffled_mean": float(drawn.mean()), "shuffled_max": float(drawn.max())}
        arrays = {f"loss_{row}": values for row, values in loss.items()} | {f"right_{row}": values for row, values in right.items()}
        return arrays | {"image": scores.image, "shuffled_recovered": drawn, "shuffled_loss": scores.loss[5:].mean(1)}, summary

    @classmethod
    def draw(cls, result: Result) -> dict[str, Figure]:
        """Draw what is recovered beside its controls, and the kernels beside the network's own."""
        return {"recovered": figures.recovered(result), "kernels": figures.kernels(result)}


def _tell(task: Task, begun: int, step: int, total: int, done: int) -> None:
    task.step(begun + done * step, total, note="scoring")


def _cosine(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    size = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float((one * other).sum()) / size if size > 0 else float("nan")
