"""What is left of the network's task when every unit of a layer keeps only some of its inputs, all units at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from workbench.analyses.faithfulness.orders import left_out, shuffled
from workbench.analyses.faithfulness.scoring import RANDOM, Layerwise, Shown
from workbench.task_metric import TaskMetric

LEVELS = 7
"""Numbers of inputs the task is measured at, none and all among them."""
EXAMPLES = 256
"""Rows of a batch, at most."""


@dataclass(frozen=True, eq=False)
class TaskCurves:
    """Losses and hits with so many inputs kept.

    Attributes
    ----------
    images
        Index of each image, by which the others are ordered.
    clean, clean_right
        Of the network as it is, ``image``.
    loss, right
        Ranked, ``number image``.
    random_loss, random_right
        ``draw number image``.
    """

    images: npt.NDArray[np.int64]
    numbers: list[int]
    clean: Float64[np.ndarray, "image"]
    clean_right: Float64[np.ndarray, "image"]
    loss: Float64[np.ndarray, "number image"]
    right: Float64[np.ndarray, "number image"]
    random_loss: Float64[np.ndarray, "draw number image"]
    random_right: Float64[np.ndarray, "draw number image"]


def task_curves(
    layer: Layerwise, metric: TaskMetric, order: npt.NDArray[np.int64], parts: Sequence[Shown], numbers: list[int], draws: int, seed: int
) -> TaskCurves:
    """Run the network on from the layer, for each number of inputs kept and for random ones in their place."""
    few = [0, *(numbers[place] for place in np.unique(np.linspace(1, len(numbers) - 1, LEVELS - 1).round().astype(int)).tolist())]
    units = layer.asked.layer.units
    # With none or all kept the order says nothing.
    orders = [(order, few), *((shuffled(units, layer.inputs, [seed, RANDOM, draw]), few[1:-1]) for draw in range(draws))]
    gone = np.concatenate([left_out(one, some) for one, some in orders], 2)
    masks = torch.from_numpy(gone).permute(2, 0, 1).to(layer.model.device)
    losses, rights = [], []
    for part in parts:
        moved = layer.moved(layer.clean(part))
        edits = [_leave_out(layer, masks[row], moved) for row in range(len(masks))]
        rows = [{}, *({layer.asked.layer.name: edit} for edit in _clean_and_full_first(edits, len(few)))]
        outputs = layer.model.edited(part.inputs, rows, max_examples=EXAMPLES)
        loss, right = metric(part.indices, outputs)
        losses.append(_back(loss, len(few)))
        rights.append(_back(right, len(few)))
        layer.tell(1)
    loss, right = np.concatenate(losses, 1), np.concatenate(rights, 1)
    split = 1 + len(few)

    def of_draws(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        inner = values[split:].reshape(draws, len(few) - 2, values.shape[1])
        ends = np.broadcast_to(values[1:split][[0, -1]], (draws, 2, values.shape[1]))
        return np.concatenate([ends[:, :1], inner, ends[:, 1:]], 1)

    images = np.concatenate([part.indices for part in parts])
    return TaskCurves(images, few, loss[0], right[0], loss[1:split], right[1:split], of_draws(loss), of_draws(right))


def _leave_out(layer: Layerwise, gone: Bool[Tensor, "unit input"], moved: Sequence[Tensor]) -> Callable[[Tensor], Tensor]:
    """Return the edit that takes from the layer what is left out, whatever else reaches it."""

    def edit(activation: Tensor) -> Tensor:
        layer.tell(0)
        changed = activation.clone()
        arranged = layer.asked.layer.arrange(changed)
        for start, stop, shares, values in zip(layer.starts[:-1], layer.starts[1:], layer.shares, moved, strict=True):
            arranged -= shares.added(values, gone[:, start:stop])
        return changed

    return edit


def _clean_and_full_first(edits: list[Callable[[Tensor], Tensor]], few: int) -> list[Callable[[Tensor], Tensor]]:
    """Bring the row with all inputs kept next to the clean run: only within one batch are equal computations equal to the last bit."""
    return [edits[few - 1], *edits[: few - 1], *edits[few:]]


def _back(values: npt.NDArray[np.float64], few: int) -> npt.NDArray[np.float64]:
    """Undo that for rows of results, of which the first is the clean run."""
    return np.concatenate([values[:1], values[2 : few + 1], values[1:2], values[few + 1 :]])
