"""One kernel tried in the place of a unit's own while it is painted: what it reads is kept, and only the kernel is convolved again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from workbench.analyses.hand_coding.fitting import fit
from workbench.analyses.hand_coding.ground import values
from workbench.images.stimuli import Curves, Lines
from workbench.kernel_edits import KernelEdit
from workbench.models.affine import layer_of
from workbench.models.kernel_site import KernelSite
from workbench.models.traced_model import TracedModel
from workbench.task import Task

if TYPE_CHECKING:
    from workbench.images.image_set import ImageSet

AROUND, RADIUS = 24, 0.2
ORDER = 0
SAMPLES = 20_000
BATCH = 64
MOST_BYTES = 2**29
"""Of what is read, that is kept: where images are so large in the layer, there are fewer of them."""
LEAST = 8
"""Images that are kept whatever they need."""


@dataclass(frozen=True, eq=False)
class Table:
    """What is kept for the units of one site that read the same channels; what they themselves give is convolved again.

    Attributes
    ----------
    source
        For each batch of images those channels, float ``image channel y x``.
    shown
        By the name of the stimuli their directions (degrees) and the channels.
    """

    source: list[Tensor]
    shown: dict[str, tuple[np.ndarray, Tensor]]

    @classmethod
    def of(cls, model: TracedModel, images: ImageSet, site: KernelSite, channels: range, limit: int, task: Task) -> Table:
        """Read images, chosen by a seed (at most `limit`, and what `MOST_BYTES` hold), and draw lines and curves around the circle."""

        def few(value: Tensor) -> Tensor:
            return value[:, channels.start : channels.stop].clone()  # a view would keep the whole

        each = len(channels) * math.prod(layer_of(model.graph, model.graph.node(site.reads)).positions) * model.dtype.itemsize
        order = np.random.default_rng(ORDER).permutation(len(images))[: min(limit, max(LEAST, MOST_BYTES // each))]
        source, seen = [], 0
        for part in images.batches(model.preprocessing.size, BATCH, order):
            source.append(model.forward_to([site.reads], {site.reads: few})(model.preprocess(part.images))[0])
            seen += len(part.indices)
            task.step(seen, len(order), note="reading images up to the kernel")
        lines = Lines().grid(orientations=AROUND)
        curves = Curves().grid(orientations=AROUND, radius=RADIUS)
        shown = {}
        for name, family, table in (("lines", Lines(), lines), ("curves", Curves(), curves)):
            (read,) = values(model, (site.reads,), family, table)
            shown[name] = (np.asarray(table["orientation"], float), few(read))
        return cls(source, shown)


def try_kernel(model: TracedModel, table: Table, site: KernelSite, index: int, edit: KernelEdit) -> dict[str, Any]:
    """Return what `workbench.jobs.kernel_requests.Trial` holds."""
    channels = site.channels(model, index)
    own, bias = site.kernel(model, index)
    kernels = torch.from_numpy(np.stack([edit.kernel, own]))
    cut = None if site.post == site.pre else model.graph.cut([site.pre], [site.post])

    def gate(value: Tensor) -> Tensor:
        return value if cut is None else cut(value)[0]

    both = torch.cat([site.respond(read, kernels, channels) for read in table.source])
    hand, before = both[:, 0], both[:, 1] + bias
    half = len(hand) // 2
    number = hand[:half].numel()
    chosen = torch.from_numpy(np.random.default_rng(ORDER).permutation(number)[:SAMPLES]).to(hand.device)
    behind = gate(before)
    few, sums, given = (value[:half].flatten()[chosen].cpu() for value in (hand, before, behind))
    found = fit(few, sums, given, gate, bool(site.shift))
    made = gate(hand * found.scale + found.offset)
    pair = torch.stack([made[half:].flatten(), behind[half:].flatten()]).cpu().double()
    left = (pair[0] - pair[1]).square().sum()
    total = (pair[1] - pair[1].mean()).square().sum()
    apart = pair - pair.mean(1, keepdim=True)
    size = apart.norm(dim=1).prod()
    curves = {}
    for name, (degrees, read) in table.shown.items():
        given = site.respond(read, kernels, channels)
        curves[name] = (degrees, _largest(gate(given[:, 1] + bias)), _largest(gate(given[:, 0] * found.scale + found.offset)))
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
    largest: np.ndarray = middle.amax((1, 2)).cpu().double().numpy()
    return largest
