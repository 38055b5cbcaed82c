"""The images of a trace, in two halves that share no concept, and what ablated units become on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from workbench.analyses.trace.paths import Paths
from workbench.analyses.trace.runs import Ablation, Runs
from workbench.analyses.trace.scores import Scale
from workbench.input_error import InputError
from workbench.models.mean_activations import mean_activations
from workbench.task import Task

if TYPE_CHECKING:
    from workbench.images.image_set import ImageSet
    from workbench.models.traced_model import TracedModel

Indices = npt.NDArray[np.int64]
READ = 32
"""Images read between two steps."""
ORDER, HALVES, PARTNERS, NULL, BOOTSTRAP, SUBSETS = range(6)
"""What random numbers are drawn for: each has a stream of its own."""


class Pictures:
    """Images as network input, with the concept of each.

    Attributes
    ----------
    indices
        Which images of the set, those that can be read.
    """

    def __init__(self, model: TracedModel, images: ImageSet, indices: Indices, task: Task) -> None:
        inputs, read = list[Tensor](), list[Indices]()
        for batch in images.batches(model.preprocessing.size, READ, indices) if len(indices) else ():
            inputs.append(model.preprocess(batch.images))
            read.append(batch.indices)
            task.step(sum(map(len, read)), len(indices), note="reading images")
        if not read:
            raise InputError(f"no image of {images.name} can be read")
        self.x, self.indices = torch.cat(inputs), np.concatenate(read)
        self.concepts = concepts_of(images, self.indices)

    def partners(self, seed: Sequence[int]) -> list[int]:
        """Give each image another of another concept, no two the same one.

        Raises
        ------
        InputError
            When more than half of the images are of one concept.
        """
        names, concept, count = np.unique(self.concepts, return_inverse=True, return_counts=True)
        if 2 * count.max() > len(concept):
            raise InputError(
                f"resampling needs images of other concepts; too many are of {names[count.argmax()]}: choose ablation = mean"
            )
        # In an order by concept, a step as long as the largest concept leads out of every one.
        rank = np.random.default_rng(seed).permutation(len(names))
        order = np.argsort(rank[concept], kind="stable")
        partner = np.empty(len(order), np.int64)
        partner[order] = np.roll(order, -int(count.max()))
        return [int(place) for place in partner]


def concepts_of(images: ImageSet, indices: Indices) -> list[str]:
    """Return the concept of some images; each is one of its own where the set names none."""
    return [images.concepts[index] for index in indices.tolist()]


def chosen(images: ImageSet, limit: int, seed: int, without: Sequence[int] = ()) -> Indices:
    """Choose images by a seed.

    Parameters
    ----------
    without
        Images that are left out, and all others of their concepts with them.

    Raises
    ------
    InputError
        When none is left.
    """
    order: Indices = np.random.default_rng([seed, ORDER]).permutation(len(images))
    if len(without):
        known = np.array([index for index in without if 0 <= index < len(images)], np.int64)
        order = order[~np.isin(concepts_of(images, order), concepts_of(images, known))]
        if not len(order):
            raise InputError(
                f"the circuit was chosen on images of all concepts of {images.name}; measure it on another set of images"
            )
    return np.sort(order[: limit or None])


def halves(images: ImageSet, indices: Indices, seed: int) -> tuple[Indices, Indices]:
    """Part images into two halves of about the same size, no concept in both.

    Raises
    ------
    InputError
        When they are of one concept.
    """
    names, concept = np.unique(concepts_of(images, indices), return_inverse=True)
    if len(names) < 2:
        raise InputError(
            "a circuit is chosen on half of the concepts and scored on the others; there is only one, give more images"
        )
    order = np.random.default_rng([seed, HALVES]).permutation(len(names))
    before = np.cumsum(np.bincount(concept)[order])
    first = order[: 1 + int(np.abs(before[:-1] - len(indices) / 2).argmin())]
    inside = np.isin(concept, first)
    return indices[inside], indices[~inside]


def means(model: TracedModel, layers: Sequence[str], x: Tensor) -> dict[str, Tensor]:
    """Return the mean of each unit over images and places, ``unit *feature`` for each layer."""
    return dict(zip(layers, mean_activations(model, [model.layer(name) for name in layers], [model.inputs(x)]), strict=True))


def runs(
    paths: Paths, pictures: Pictures, ablation: Ablation, mean: Mapping[str, Tensor], seed: int, part: int = 0
) -> tuple[Runs, Scale]:
    """Make the runs on some images.

    Raises
    ------
    InputError
        When the target is no number somewhere, does not change although everything is ablated, or is never active.
    """
    made = Runs(paths, pictures.x, pictures.partners([seed, PARTNERS, part]) if ablation == "resample" else mean)
    scale = Scale(made.full.cpu().numpy(), made.empty.cpu().numpy())
    finite = np.isfinite(scale.full) & np.isfinite(scale.empty)
    if not finite.all():
        raise InputError(
            f"{paths.target.address} is not a finite number on {int((~finite).sum())} of {len(finite)} images; "
            "choose another unit, other layers or other images"
        )
    if scale.dead:
        raise InputError(
            f"{paths.target.address} is the same with all of {', '.join(paths.layers)} ablated; there is nothing to explain"
        )
    if not _active(made):
        raise InputError(
            f"{paths.target.address} is not active on any of {len(pictures.x)} images; choose another unit or other images"
        )
    return made, scale


def _active(runs: Runs) -> bool:
    """Tell whether what follows the non-linearity of the target varies at all."""
    target, layer = runs.paths.target, runs.paths.target.asked[0].layer
    if target.asked == target.units:
        return True
    value = runs.arranged(layer, runs.clean(layer))[:, [unit.index for unit in target.asked]]
    return bool((value != value.flatten()[0]).any())
