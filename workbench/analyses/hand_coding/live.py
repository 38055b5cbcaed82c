"""What kernels by hand recover while they are painted: all but the kernels is computed once and kept.

Where the device multiplies bfloat16 natively the network's outputs are computed in it, twice as fast; what is compared is computed in the
same way, so the original kernels still recover all. Scale and offset are fitted in float32.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from workbench.analyses.hand_coding.analysis import BOOTSTRAP, POSITIONS, HandCoding
from workbench.analyses.hand_coding.bench import Bench
from workbench.analyses.hand_coding.recovery import recovered
from workbench.analyses.hand_coding.scoring import Edits, Train
from workbench.models.device import Arithmetic, channels_last, computes_bf16, computing, side_by_side
from workbench.models.kernel_site import with_kernels
from workbench.task import Task
from workbench.task_metric import TaskMetric

if TYPE_CHECKING:
    from workbench.images.image_set import ImageSet
    from workbench.models.traced_model import TracedModel

MOST_BYTES = 2**29
"""Of what lies before the edited layers, that is kept: where it is large, there are fewer images."""
LEAST = 64
"""Images that are kept whatever they need."""


@dataclass(frozen=True, eq=False)
class LiveBench:
    """A `HandCoding` of some units, ready for whatever kernels they get.

    Attributes
    ----------
    parts
        Of each batch of the half that is scored, its images by index, and the values of the bench's sources.
    full, ablated
        float64 ``image``: loss of the network, and with the units at their mean, in the order of the parts.
    groups
        Number of each image's concept.
    arithmetic
        What all outputs are computed in.
    """

    bench: Bench
    metric: TaskMetric
    train: Train
    parts: list[tuple[npt.NDArray[np.int64], tuple[Tensor, ...]]]
    full: npt.NDArray[np.float64]
    ablated: npt.NDArray[np.float64]
    groups: npt.NDArray[np.int64]
    seed: int
    arithmetic: Arithmetic

    @classmethod
    def of(cls, coding: HandCoding, model: TracedModel, images: ImageSet, task: Task) -> LiveBench:
        """Read as many images as `coding` asks for, or as there is room for, and measure what does not depend on the kernels.

        Raises
        ------
        InputError
            When there are too few images, or a unit has no kernel.
        """
        _, bench, metric = coding.begun(model, images, task)
        fitted, scored = coding.halves(images, metric)
        size, total = model.preprocessing.size, len(fitted) + len(scored)
        arithmetic: Arithmetic = "bf16" if computes_bf16(model.device) else "fp32"
        with torch.no_grad():
            read = list(images.batches(size, coding.batch, fitted))
            tell = lambda done: task.step(done * coding.batch, total, note="measuring what is to be recovered")  # noqa: E731
            train = Train(bench, read, tell, [coding.seed, POSITIONS])
            parts, losses, held = [], [], 0
            for part in images.batches(size, coding.batch, scored):
                before = tuple(channels_last(value) for value in bench.before(model.preprocess(part.images)))
                with torch.inference_mode(), computing(model.device, arithmetic):  # as versions are run
                    (full,) = bench.run(model, before)
                    outputs = torch.stack([full, bench.ablated(before, train.means)])
                losses.append(metric(part.indices, outputs.float())[0])
                parts.append((part.indices, before))
                held += sum(value.numel() * value.element_size() for value in before)
                done = sum(len(indices) for indices, _ in parts)
                task.step(len(fitted) + done, total, note="measuring what is to be recovered")
                if held >= MOST_BYTES and done >= LEAST:
                    break
        full_loss, ablated = np.concatenate(losses, 1)
        concept = images.concepts
        order = [concept[index] for indices, _ in parts for index in indices.tolist()]
        groups = np.unique(order, return_inverse=True)[1].astype(np.int64)
        return cls(bench, metric, train, parts, full_loss, ablated, groups, coding.seed, arithmetic)

    def recover(self, edits: Edits, task: Task) -> dict[str, Any]:
        """Fit kernels and score them; return what `recovery.recovered` says, and ``images``, ``of`` (how many there are), ``nats``.

        The same of the first images, four times as many each time, is handed out on the way: there at once, with wide intervals.
        """
        with torch.no_grad():
            version = with_kernels(self.bench.model, self.train.fitted(edits)[0])
            first = self._scored(version, self.parts[0])  # alone: what runs is made in the first run
            losses: list[npt.NDArray[np.float64]] = []
            with closing(side_by_side(version.device, lambda part: self._scored(version, part), self.parts[1:])) as others:
                for done, found in enumerate(chain([first], others), 1):
                    losses.append(found)
                    partial = self._recovered(losses) if done in (1, 4, 16, 64, 256) else None
                    task.step(sum(map(len, losses)), len(self.full), partial, note="running the network with it")
            return self._recovered(losses)

    def _scored(self, version: TracedModel, part: tuple[npt.NDArray[np.int64], tuple[Tensor, ...]]) -> npt.NDArray[np.float64]:
        """Return the loss of a version of the network on each image of a part."""
        indices, before = part
        with torch.inference_mode(), computing(version.device, self.arithmetic):
            outputs = torch.stack([self.bench.run(each, before)[0] for each in self._compared(version)])
        loss: npt.NDArray[np.float64] = self.metric(indices, outputs.float())[0][-1]
        return loss

    def _recovered(self, losses: list[npt.NDArray[np.float64]]) -> dict[str, Any]:
        hand = np.concatenate(losses)
        seen = slice(len(hand))
        told = recovered(hand, self.ablated[seen], self.full[seen], self.groups[seen], [self.seed, BOOTSTRAP])
        return told | {"images": len(hand), "of": len(self.full), "nats": self.metric.measure != "output"}

    def _compared(self, version: TracedModel) -> list[TracedModel]:
        """Return what the metric needs to see: where the right class is not known, it compares with the network itself."""
        return [version] if self.metric.measure == "classes" else [self.bench.model, version]
