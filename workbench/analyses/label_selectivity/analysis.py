"""The question: which labels does each unit separate, and how surely."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy.stats import false_discovery_control

from workbench.analyses.analysis import Result, register
from workbench.analyses.label_selectivity import auroc, figures
from workbench.analyses.label_selectivity.labels import Labels, label_columns, labels_of
from workbench.analyses.unit_activations import OverImages, Responses, of_images
from workbench.finite import median
from workbench.task import Part, Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from workbench.images.image_set import ImageSet
    from workbench.models.traced_model import TracedModel

Values = npt.NDArray[np.floating[Any]]

CHUNK = 8
"""Units worked out between two steps of the task."""
CLEAREST = 20
"""Units described in the summary when none are named."""
COST = 0.2
"""Of the statistics, against one pass over the images, for the progress that is shown."""


@register
class LabelSelectivity(OverImages):
    """Which labels, keywords or styles of an image set each unit of a layer separates, by the AUROC over all images.

    The AUROC is the probability that an image with the label drives the unit more than one without: 1 or 0 separates perfectly, 0.5 not
    at all. It looks at all levels of activation, not only at the strongest examples. Every value of a column is a label; ``keywords`` holds
    several an image, separated by commas. A label that too few concepts have (or lack) is left out.

    Arrays (labels along the last axis, in the order of ``label_names``):

    ``auroc`` ``low`` ``high``
        float32 ``[unit, label]``: AUROC and its 95 % interval, which allows for drawings of one concept not being independent (Obuchowski
        1997; see `auroc.interval`). NaN for units whose activation is NaN somewhere.
    ``p`` ``q``
        float32 ``[unit, label]``: two-sided against labels shuffled over concepts (see `auroc.chance`), and as the false discovery rate
        over all units and labels (Benjamini and Hochberg 1995); 1 for units that are equally active on all images.
    ``label_names`` ``label_images`` ``label_concepts``
        ``[label]``: ``column:value``, how many images and concepts have it.
    ``detectable``
        float32 ``[label]``: the AUROC above one half which this run had an 80 % chance of calling significant, in the median unit.
    ``listed`` ``listed_auroc`` ``listed_low`` ``listed_high``
        int32 and float32 ``[unit, listed]``: the labels whose interval lies farthest from one half (on either side), chosen on one half of
        the concepts, farthest first; and AUROC and interval *on the other half*. -1 and NaN where there are fewer.
    ``listed_above``
        bool ``[unit, listed]``: whether the AUROC was above one half where the label was chosen.
    ``twin_highest`` ``twin_lowest``
        float32 ``[twin, label]``: the largest and smallest AUROC among all units of the same layer of each random-weight twin.

    A label is beyond chance when q is small, and beyond what the architecture does untrained when its AUROC is outside ``twin_lowest`` to
    ``twin_highest``: with three twins of 180 units that is the extreme of 540. The summary gives how many labels of a unit are, on the
    average, and the same for the units of each twin against the other twins.
    """

    title: ClassVar[str] = "Label selectivity"
    version: ClassVar[int] = 2

    layer: str = Field(description="Layer whose units are described.")
    units: tuple[int, ...] = Field(
        default=(), description="Units listed in the summary and drawn; empty for those with the clearest labels."
    )
    columns: tuple[str, ...] = Field(
        default=(), description="Columns of the image set that labels are read from; empty for all but the concept."
    )
    least: int = Field(default=5, ge=4, le=10000, description="Concepts that must have a label, and lack it.")
    listed: int = Field(default=10, ge=1, le=100, description="Labels listed of each unit.")
    twins: int = Field(
        default=3, ge=0, le=50, description="Random-weight twins that are compared, one pass over the images each."
    )
    level: float = Field(
        default=0.05, gt=0, lt=1, description="False discovery rate below which a label is called significant."
    )

    def compute(
        self, model: TracedModel, images: ImageSet | None, task: Task
    ) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Read the network, work out the statistics, then read the twins."""
        assert images is not None
        layer = model.layer(self.layer)
        layer.check(self.units)
        columns = label_columns(images, self.columns, self.concept)
        asked = self.chosen(images)
        # To complain before anything is read.
        labels_of(images, asked, self.concepts(images, asked), columns, self.least)
        total = (1 + COST) + self.twins
        read = self.activations(model, [self.layer], images, asked, Part(task, 0, 1, total))
        labels = labels_of(images, read.indices, self.concepts(images, read.indices), columns, self.least)
        arrays, found = self._statistics(self._values(read, labels), labels, Part(task, 1, COST, total))
        twins = self._twins(model, images, read.indices, labels, task, total)
        arrays |= {"twin_highest": twins.max(1), "twin_lowest": twins.min(1)}
        found |= {"twins": self.twins, **_beyond(arrays["auroc"], twins)}
        return arrays, self._summary(arrays, labels, found) | of_images(images, read, len(asked)) | {
            "layer": layer.name,
            "role": layer.role,
            "units_in_layer": layer.units,
        }

    def _values(self, read: Responses, labels: Labels) -> Values:
        """Return the activations in the order of the labels, ``image unit``."""
        return np.asarray(read.values[self.layer][labels.order])

    def _statistics(
        self, values: Values, labels: Labels, task: Task
    ) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Work out everything that needs no twin."""
        units, group = values.shape[1], labels.group
        broken = np.asarray(np.isnan(values).any(0))
        ranked = auroc.ranks(np.where(broken, 0, values).astype(np.float64))
        found, variance = auroc.auroc(ranked, group), np.empty((units, len(labels.names)))
        half = auroc.halves(group, self.seed)[group.concept]
        chosen_on, scored_on = (auroc.Grouping(*_part(group, part)) for part in (half, ~half))
        chosen, above = self._choose(np.where(broken, 0, values)[half], chosen_on)
        listed = np.full((3, *chosen.shape), np.nan)
        others = auroc.ranks(np.where(broken, 0, values)[~half].astype(np.float64))
        for first in range(0, units, CHUNK):
            some = slice(first, first + CHUNK)
            variance[some] = auroc.clustered_variance(ranked[:, some], found[some], group)
            for unit in range(*some.indices(units)):
                kept = chosen[unit] >= 0
                listed[:, unit, kept] = self._score(others[:, [unit]], scored_on, chosen[unit, kept])
            task.step(min(first + CHUNK, units), units, note="working out intervals")
        chance = auroc.chance(ranked, group)
        q = self._q(chance.p, broken)
        low, high = auroc.interval(found, variance, group)
        shuffled = self._shuffled(ranked, group)
        shuffled_q = self._q(auroc.chance(ranked, shuffled).p, broken)
        single = {
            "auroc": found,
            "low": low,
            "high": high,
            "p": chance.p,
            "q": q,
        }
        for array in single.values():
            array[broken] = np.nan
        significant = q < self.level
        # The weakest p that was still significant, or what the first discovery would have needed.
        threshold = float(chance.p[significant].max()) if significant.any() else self.level / q.size
        arrays = {name: array.astype(np.float32) for name, array in single.items()} | {
            "label_names": np.array(labels.names),
            "label_images": group.images.astype(np.int32),
            "label_concepts": group.positives.astype(np.int32),
            "detectable": auroc.detectable(chance, threshold).astype(np.float32),
            "listed": chosen,
            "listed_above": above,
            **{
                f"listed_{name}": array.astype(np.float32)
                for name, array in zip(("auroc", "low", "high"), listed, strict=True)
            },
        }
        return arrays, {
            "constant": np.flatnonzero((values == values[:1]).all(0)).tolist(),
            "nonfinite": np.flatnonzero(broken).tolist(),
            "significant": float(significant.mean()),
            "significant_shuffled": float((shuffled_q < self.level).mean()),
            "largest_significant_p": threshold,
        }

    def _choose(self, values: Values, group: auroc.Grouping) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
        """Return the labels whose interval is farthest from .5 and on which side, ``unit listed``, as if a concept were one image."""
        found = auroc.auroc(auroc.ranks(values.astype(np.float64)), group)
        low, high = auroc.interval(found, auroc.independent_variance(found, group.positives, group.negatives), group)
        clear = np.nan_to_num(np.maximum(low - 0.5, 0.5 - high), nan=-1.0)
        order = np.argsort(-clear, axis=1, kind="stable")[:, : self.listed]
        chosen = np.where(np.take_along_axis(clear, order, 1) > -1, order, -1)
        padding = ((0, 0), (0, max(0, self.listed - chosen.shape[1])))
        above = np.take_along_axis(found, order, 1) > 0.5
        return np.pad(chosen, padding, constant_values=-1).astype(np.int32), np.pad(above, padding)

    def _score(self, ranked: Values, group: auroc.Grouping, labels: npt.NDArray[np.int32]) -> Values:
        """Return AUROC, lower and upper limit of some labels for one unit, ``3 label``."""
        some = auroc.Grouping(group.concept, group.member[:, labels])
        found = auroc.auroc(ranked, some)
        return np.stack([found, *auroc.interval(found, auroc.clustered_variance(ranked, found, some), some)])[:, 0]

    def _shuffled(self, ranked: Values, group: auroc.Grouping) -> auroc.Grouping:
        """Give each concept the labels of another one, its images in random order; where it has more of them, some are given twice."""
        rng = np.random.default_rng(self.seed)
        first = np.concatenate([[0], np.cumsum(group.size)[:-1]]).astype(np.int64)
        mixed = np.lexsort((rng.random(len(group.concept)), group.concept))  # within each concept
        place = np.arange(len(group.concept)) - first[group.concept]
        other = rng.permutation(group.concepts)[group.concept]
        taken = first[other] + place % group.size[other].astype(np.int64)
        return auroc.Grouping(group.concept, group.member[mixed[taken]])

    def _q(self, p: Values, broken: npt.NDArray[np.bool_]) -> Values:
        q = np.ones(p.shape)
        if not broken.all():
            q[~broken] = false_discovery_control(p[~broken].ravel()).reshape(-1, p.shape[1])
        return q

    def _twins(
        self,
        model: TracedModel,
        images: ImageSet,
        indices: npt.NDArray[np.int64],
        labels: Labels,
        task: Task,
        total: float,
    ) -> npt.NDArray[np.float32]:
        """Return the AUROC of the twins' units, ``twin unit label``."""
        found = np.zeros((self.twins, model.layer(self.layer).units, len(labels.names)), np.float32)
        for twin in range(self.twins):
            part = Part(task, 1 + COST + twin, 1, total)
            read = self.activations(model.twin(self.seed + twin), [self.layer], images, indices, part)
            found[twin] = auroc.auroc(
                auroc.ranks(np.nan_to_num(self._values(read, labels).astype(np.float64))), labels.group
            )
        return found

    def _summary(self, arrays: dict[str, npt.NDArray[Any]], labels: Labels, found: dict[str, Any]) -> dict[str, Any]:
        """Say what the numbers rest on, and list the labels of the units asked for."""
        above = arrays["low"] - arrays["twin_highest"].max(0, initial=0.5)
        below = arrays["twin_lowest"].min(0, initial=0.5) - arrays["high"]
        clear = np.nan_to_num(np.maximum(above, below), nan=-1).max(1)
        units = list(self.units) or np.argsort(-clear, kind="stable")[:CLEAREST].tolist()
        return {
            "concepts": labels.group.concepts,
            "labels": len(labels.names),
            "labels_left_out": labels.too_few,
            "tests": int(arrays["auroc"].size),
            **found,
            "detectable_auroc": median(arrays["detectable"]),
            "units": [{"unit": unit, "labels": self._described(arrays, unit)} for unit in units],
        }

    def _described(self, arrays: dict[str, npt.NDArray[Any]], unit: int) -> list[dict[str, Any]]:
        """Describe the listed labels of one unit."""
        described = []
        for place, label in enumerate(arrays["listed"][unit].tolist()):
            if label < 0 or np.isnan(arrays["auroc"][unit, label]):
                continue
            whole = float(arrays["auroc"][unit, label])
            end = "twin_highest" if whole > 0.5 else "twin_lowest"
            twins = arrays[end][:, label]
            described.append(
                {
                    "label": str(arrays["label_names"][label]),
                    **{name: float(arrays[name][unit, label]) for name in ("auroc", "low", "high", "q")},
                    "held_out": [float(arrays[f"listed_{name}"][unit, place]) for name in ("auroc", "low", "high")],
                    "twins": (float(twins.max() if whole > 0.5 else twins.min())) if len(twins) else None,
                    "images": int(arrays["label_images"][label]),
                    "concepts": int(arrays["label_concepts"][label]),
                }
            )
        return described

    @classmethod
    def draw(cls, result: Result) -> dict[str, Figure]:
        """Draw the labels of the units in the summary, and how well each label is separated by any unit, against the twins."""
        drawn = {"units": figures.units(result)}
        return drawn | ({"labels": figures.labels(result)} if len(result.arrays["twin_highest"]) else {})


def _part(group: auroc.Grouping, images: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return concepts, numbered anew, and labels of some of the images."""
    return np.unique(group.concept[images], return_inverse=True)[1].astype(np.int64), group.member[images]


def _beyond(own: Values, twins: Values) -> dict[str, float]:
    """Return how many labels a unit has outside the range of all twins' units, on the average, and a twin's unit outside the others'."""

    def labels(some: Values, others: Values) -> float:
        return float(((some > others.max((0, 1))) | (some < others.min((0, 1)))).sum(1).mean())

    found = {"labels_beyond_twins": labels(own, twins)} if len(twins) else {}
    if len(twins) > 1:
        alone = [labels(twins[i], np.delete(twins, i, 0)) for i in range(len(twins))]
        found["labels_of_twins_beyond_twins"] = float(np.mean(alone))
    return found
