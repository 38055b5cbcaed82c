"""Which units are worth a closer look: attribution patching of all, exact patching of those that any estimate puts first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from workbench.analyses.trace import attribution, patching
from workbench.analyses.trace.runs import Runs
from workbench.models.layer import Unit
from workbench.task import Part, Task


@dataclass(frozen=True)
class Candidates:
    """What was found of the units of one layer; sizes are root mean squares over images, in units of the target.

    Attributes
    ----------
    units
        Those that were patched exactly, the largest effect first; the first `kept` are candidates.
    estimates
        ``estimate unit``, in the order of `attribution.ESTIMATES`.
    ablated, restored
        Effect of ablating each alone, and of restoring it alone where its layer is ablated.
    """

    layer: str
    units: npt.NDArray[np.int64]
    kept: int
    estimates: npt.NDArray[np.float64]
    ablated: npt.NDArray[np.float64]
    restored: npt.NDArray[np.float64]

    @property
    def nodes(self) -> list[str]:
        """Addresses of the candidates."""
        return [str(Unit(self.layer, unit)) for unit in self.units[: self.kept].tolist()]


def find(runs: Runs, number: int, slopes: dict[str, list[Tensor]], task: Task) -> list[Candidates]:
    """Choose candidates in every layer, and leave the slopes of the target for the edges.

    Parameters
    ----------
    number
        Candidates in each layer, at most.
    slopes
        Filled with what `attribution.slopes` returns of each layer.
    """
    found, layers = [], runs.paths.layers
    for place, layer in enumerate(layers):
        slopes[layer] = attribution.slopes(runs, layer, Part(task, 2 * place, 1, 2 * len(layers)))
        estimates = attribution.of_units(runs, layer, slopes[layer])
        sizes = torch.stack([usual(estimates[name].T) for name in attribution.ESTIMATES])
        pool = sorted({unit for size in sizes for unit in size.argsort(descending=True, stable=True)[:number].tolist()})
        ablated, restored = (
            usual(effect) for effect in patching.units(runs, layer, pool, Part(task, 2 * place + 1, 1, 2 * len(layers)))
        )
        order = torch.maximum(ablated, restored).argsort(descending=True, stable=True)
        units = torch.tensor(pool, device=order.device)[order]
        arrays = [units, sizes[:, units], ablated[order], restored[order]]
        units_, *rest = (each.cpu().numpy() for each in arrays)
        found.append(Candidates(layer, units_, min(number, len(pool)), *rest))
    return found


def usual(effect: Tensor) -> Tensor:
    """Return the root mean square over images, ``... image`` to ``...``."""
    return effect.double().square().mean(-1).sqrt()


def largest(estimates: Sequence[Tensor]) -> float:
    """Return the largest of several estimates' sizes."""
    return max(float(usual(each)) for each in estimates)
