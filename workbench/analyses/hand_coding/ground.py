"""What the units that a kernel reads detect, measured with stimuli: lines of every direction and colour, gratings of every frequency."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from workbench.images.stimuli import Gratings, Lines
from workbench.images.stimulus import StimulusFamily, Table
from workbench.kernel_ground import Ground
from workbench.models.affine import layer_of
from workbench.models.kernel_site import KernelSite
from workbench.models.traced_model import TracedModel
from workbench.task import Task

DIRECTIONS, COARSE, HUES = 16, 8, 8
"""Lines around the half circle, of black and white and of colours; hues around the circle."""
WIDTHS = (0.02, 0.04, 0.08)
"""Of the side; each unit is taken at its best."""
LIGHTNESS, CHROMA = 0.7, 0.1
"""Of coloured lines, on a grey ground of the same lightness."""
WAVES = (2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0)
"""Cycles a side."""
SELECTIVE = 0.15
"""Vector strength from which a unit counts as a detector of lines: all its responses in one direction would be 1, all alike 0."""
BATCH, PIXELS = 32, 2**17
"""Stimuli computed at once, and pixels of them: what is between the layers of larger batches leaves the processor's cache."""
Responses = npt.NDArray[np.float64]
Stimuli = tuple[StimulusFamily, Table]


def measured_ground(model: TracedModel, site: KernelSite, index: int, task: Task) -> Ground:
    """Return what a unit's kernel is written over, with what the units it reads detect; over pixels nothing need be measured.

    A unit's line is the direction of the vector sum of its responses to black and white lines, on twice the angle; its strength is the
    length of that sum beside their total, over the size of its response, so that no detector counts more than others because it responds
    more; those that respond less than the median one are not raised.
    """
    ground = site.ground(model)
    if ground.over == "pixels":
        return ground
    channels = site.channels(model, index)
    lines = Lines()
    black = lines.grid(orientations=DIRECTIONS, width=WIDTHS)
    white = lines.grid(orientations=DIRECTIONS, width=WIDTHS, ink_lightness=1.0, ground_lightness=0.0)
    hued = lines.grid(
        ink_hues=HUES, orientations=COARSE, width=WIDTHS[1], ink_lightness=LIGHTNESS, ink_chroma=CHROMA, ground_lightness=LIGHTNESS
    )
    waves = [frequency for frequency in WAVES if frequency <= min(model.preprocessing.size) / 2]
    gratings = Gratings().grid(frequency=waves, orientations=4, phase=[0.0, 90.0])
    blank = lines.grid(ink_lightness=[0.0, LIGHTNESS, 1.0])
    for name in ("lightness", "chroma", "hue"):
        blank[f"ground_{name}"] = blank[f"ink_{name}"]
    parts: list[Stimuli] = [(lines, table) for table in (blank, black, white, hued)] + [(Gratings(), gratings)]
    total, done, found = sum(len(table) for _, table in parts), 0, []
    for family, table in parts:
        (largest,) = strongest(model, [site.reads], family, table, task_of(task, done, total))
        found.append(largest[:, channels.start : channels.stop])
        done += len(table)
    dark, grey, light = found[0]
    tuning = (found[1] - light).clip(0).reshape(DIRECTIONS, len(WIDTHS), -1).max(1)
    tuning = tuning + (found[2] - dark).clip(0).reshape(DIRECTIONS, len(WIDTHS), -1).max(1)
    twice = np.exp(2j * np.deg2rad(180 / DIRECTIONS * np.arange(DIRECTIONS)))
    summed, size = twice @ tuning, tuning.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        selective = np.where(size > 0, np.abs(summed) / size, 0.0)
        size_of = np.maximum(tuning.max(0), float(np.median(tuning.max(0))))
        equal = np.where(selective >= SELECTIVE, selective / np.maximum(size_of, 1e-12), 0.0)
    tints = (found[3] - grey).clip(0).reshape(HUES, COARSE, -1).max(1).T
    waved = found[4].reshape(len(waves), -1, len(channels)).max(1)
    cells = min(layer_of(model.graph, model.graph.node(site.reads)).positions)
    likes = np.array(waves)[waved.argmax(0)] / cells
    return replace(
        ground,
        angles=np.where(selective >= SELECTIVE, np.rad2deg(np.angle(summed)) / 2 % 180, np.nan),
        strengths=equal / max(equal.max(), 1e-12),
        frequencies=np.where(waved.max(0) > 1.05 * waved.min(0) + 1e-9, likes, np.nan),
        hues=np.linspace(0, 360, HUES, endpoint=False),
        tints=tints / np.maximum(tints.max(1, keepdims=True), 1e-12),
    )


def strongest(
    model: TracedModel, layers: Sequence[str], family: StimulusFamily, table: Table, tell: Callable[[int], None], part: float = 0.5
) -> list[Responses]:
    """Return for each layer each unit's largest value on each stimulus, ``stimulus unit``, over the middle `part` of positions each way."""
    found: list[list[Responses]] = [[] for _ in layers]
    done = 0
    for piece in pieces(model, table):
        for place, value in enumerate(values(model, layers, family, piece)):
            (top, bottom), (left, right) = (_inside(length, part) for length in value.shape[2:])
            found[place].append(value[:, :, top:bottom, left:right].amax((2, 3)).cpu().double().numpy())
        done += len(piece)
        tell(done)
    return [np.concatenate(one) for one in found]


def pieces(model: TracedModel, table: Table) -> Iterator[Table]:
    """Cut a table into batches."""
    rows, columns = model.preprocessing.size
    size = max(1, min(BATCH, PIXELS // (rows * columns)))
    return (table[start : start + size] for start in range(0, len(table), size))


def _inside(length: int, part: float) -> tuple[int, int]:
    """Return where the middle part of an axis begins and ends, at least one position."""
    before = min(round(length * (1 - part) / 2), (length - 1) // 2)
    return before, length - before


@torch.no_grad()
def values(model: TracedModel, layers: Sequence[str], family: StimulusFamily, table: Table) -> list[Tensor]:
    """Return the activations of some layers on stimuli."""
    images = family.render(table, model.preprocessing.size)
    return list(model.activations(model.preprocess(images), layers).values())


def task_of(task: Task, before: int, total: int) -> Callable[[int], None]:
    """Return what tells how many stimuli of a part are done."""
    return lambda done: task.step(before + done, total, note="showing stimuli")
