"""One kernel tried in the place of a unit's own while it is painted: what it reads is kept, and only the kernel is convolved again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from workbench.analyses.hand_coding.fitting import fit
from workbench.analyses.hand_coding.ground import values
from workbench.images.stimuli import Curves, Lines
from workbench.kernel_edits import KernelEdit
from workbench.models.kernel_site import KernelSite
from workbench.models.traced_model import TracedModel
from workbench.task import Task

if TYPE_CHECKING:
    from workbench.images.image_set import ImageSet

AROUND, RADIUS = 24, 0.2
ORDER = 0
SAMPLES = 20_000
BATCH = 64


@dataclass(frozen=True, eq=False)
class Table:
    """What is kept for the units of one site.

    Attributes
    ----------
    source, wanted
        For each batch of images, and then of stimuli, what is read and what the site gives before its non-linearity.
    degrees
        Directions of the stimuli, by name.
    """

    source: list[Tensor]
    wanted: list[Tensor]
    shown: dict[str, tuple[np.ndarray, Tensor, Tensor]]

    @classmethod
    def of(cls, model: TracedModel, images: ImageSet, site: KernelSite, limit: int, task: Task) -> Table:
        """Read images, chosen by a seed, and draw lines and curves of every direction."""
        order = np.random.default_rng(ORDER).permutation(len(images))[:limit]
        source, wanted, seen = [], [], 0
        for part in images.batches(model.preprocessing.size, BATCH, order):
            read, made = model.forward_to([site.reads, site.pre])(model.preprocess(part.images))
            source.append(read)
            wanted.append(made)
            seen += len(part.indices)
            task.step(seen, len(order), note="reading images up to the kernel")
        lines = Lines().grid(orientations=AROUND)
        curves = Curves().grid(orientations=AROUND, radius=RADIUS)
        shown = {}
        for name, family, table in (("lines", Lines(), lines), ("curves", Curves(), curves)):
            read, made = values(model, (site.reads, site.pre), family, table)
            shown[name] = (np.asarray(table["orientation"], float), read, made)
        return cls(source, wanted, shown)


def try_kernel(model: TracedModel, table: Table, site: KernelSite, index: int, edit: KernelEdit) -> dict[str, Any]:
    """Return what `workbench.jobs.kernel_requests.Trial` holds."""
    channels = site.channels(model, index)
    kernel = torch.tensor(edit.kernel)[None]
    cut = None if site.post == site.pre else model.graph.cut([site.pre], [site.post])

    def gate(value: Tensor) -> Tensor:
        return value if cut is None else cut(value)[0]

    hand = torch.cat([site.respond(read, kernel, channels)[:, 0] for read in table.source])
    before = torch.cat([made[:, index] for made in table.wanted])
    half = len(hand) // 2
    number = hand[:half].numel()
    chosen = torch.from_numpy(np.random.default_rng(ORDER).permutation(number)[:SAMPLES])
    behind = gate(before)
    found = fit(hand[:half].flatten()[chosen], before[:half].flatten()[chosen], behind[:half].flatten()[chosen], gate, bool(site.shift))
    made = gate(hand * found.scale + found.offset)
    pair = torch.stack([made[half:].flatten(), behind[half:].flatten()]).double()
    left = (pair[0] - pair[1]).square().sum()
    total = (pair[1] - pair[1].mean()).square().sum()
    apart = pair - pair.mean(1, keepdim=True)
    size = apart.norm(dim=1).prod()
    curves = {}
    for name, (degrees, read, original) in table.shown.items():
        response = gate(site.respond(read, kernel, channels)[:, 0] * found.scale + found.offset)
        curves[name] = (degrees, _largest(gate(original[:, index])), _largest(response))
    return {
        "correlation": float(apart[0] @ apart[1] / size) if float(size) > 0 else float("nan"),
        "scale": found.scale,
        "offset": found.offset,
        "r2": 1 - float(left / total) if float(total) > 0 else float("nan"),
        "images": len(hand),
        "own": behind.amax((1, 2)).float().cpu().numpy(),
        "hand": made.amax((1, 2)).float().cpu().numpy(),
        "curves": curves,
    }


def _largest(value: Tensor) -> np.ndarray:
    """Return the largest value of each stimulus over the middle half of the positions."""
    rows, columns = value.shape[1:]
    middle = value[:, rows // 4 : max(rows - rows // 4, 1), columns // 4 : max(columns - columns // 4, 1)]
    largest: np.ndarray = middle.amax((1, 2)).double().cpu().numpy()
    return largest
