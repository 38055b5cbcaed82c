"""What the window asks of the worker about the machine: where it computes, what a sweep will cost, what the store holds."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from workbench.jobs.job import Lane, Request
from workbench.jobs.store import PARTS
from workbench.task import Task

if TYPE_CHECKING:
    from workbench.jobs.engine import Engine
    from workbench.models.device import Arithmetic, Device

SWEEP_BATCH = 8
"""Images of one step of a sweep: a click waits for the step's end, and on a processor larger batches are no faster."""
OVERHEAD = 1.2
"""How much longer a sweep takes than the forward pass alone (`make bench` measures it)."""


@dataclass(frozen=True)
class MachineCard:
    """What there is to compute with, and what was kept.

    Attributes
    ----------
    devices
        The fastest first.
    device, arithmetic
        What is chosen: a device's name or ``auto``, and numbers.
    kept
        Bytes in the store by part: ``results``, ``thumbnails``, ``sweeps``.
    place
        Folder of the store.
    """

    devices: tuple[Device, ...]
    device: str
    arithmetic: Arithmetic
    kept: Mapping[str, int]
    place: str


@dataclass(frozen=True)
class DescribeMachine(Request):
    """Say what there is -> `MachineCard`."""

    lane: ClassVar[Lane] = "interactive"

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return "Look at devices and storage"

    @property
    def key(self) -> str:
        """Asked again, the newest answer counts."""
        return "describe machine"

    def run(self, engine: Engine, task: Task) -> MachineCard:
        """Ask torch and the disk."""
        engine.warm_up(task)
        from workbench.models.device import devices

        return MachineCard(devices(), *engine.computes_on, engine.store.sizes(), str(engine.store.root))


@dataclass(frozen=True)
class ComputeOn(Request):
    """Choose where networks are computed and with what numbers -> `MachineCard`; open networks are loaded anew when they are next used."""

    device: str
    arithmetic: Arithmetic
    lane: ClassVar[Lane] = "interactive"

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"Compute on {self.device} in {self.arithmetic}"

    @property
    def key(self) -> str:
        """The newest choice counts."""
        return "compute on"

    def run(self, engine: Engine, task: Task) -> MachineCard:
        """Choose."""
        engine.warm_up(task)
        engine.compute_on(self.device, self.arithmetic)
        return DescribeMachine().run(engine, task)


@dataclass(frozen=True)
class CleanStore(Request):
    """Delete what was kept of some parts of the store -> `MachineCard`; all of it can be computed again."""

    parts: tuple[str, ...] = tuple(PARTS)

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"Delete kept {', '.join(self.parts)}"

    def run(self, engine: Engine, task: Task) -> MachineCard:
        """Delete, when no long job is writing there."""
        engine.store.clear(self.parts)
        return DescribeMachine().run(engine, task)


@dataclass(frozen=True)
class SweepCost:
    """What a sweep will take.

    Attributes
    ----------
    seconds
        For all images, when nothing else is computed.
    bytes
        What is kept of it on disk.
    """

    seconds: float
    bytes: int


@dataclass(frozen=True)
class EstimateSweep(Request):
    """Show a few images to some layers -> `SweepCost` of showing all."""

    model: str
    images: str
    layers: tuple[str, ...]
    lane: ClassVar[Lane] = "interactive"

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"Estimate a sweep of {', '.join(self.layers)}"

    @property
    def key(self) -> str:
        """The layer looked at now wins."""
        return "estimate sweep"

    def run(self, engine: Engine, task: Task) -> SweepCost:
        """Measure one batch, after one that warms up."""
        engine.warm_up(task)
        import torch

        from workbench.analyses.dataset_examples import DatasetExamples
        from workbench.models.device import computing

        model, images = engine.model(self.model, task=task), engine.images(self.images, task)
        sweep = DatasetExamples(layers=self.layers, batch=SWEEP_BATCH)
        forward = model.forward_to([model.layer(name).name for name in self.layers])
        took = 0.0
        for repeat in range(2):
            began = time.perf_counter()
            shown = list(range(repeat * SWEEP_BATCH, (repeat + 1) * SWEEP_BATCH))
            with torch.inference_mode(), computing(model.device, sweep.arithmetic(model)):
                for batch in images.batches(model.preprocessing.size, SWEEP_BATCH, [i % len(images) for i in shown]):
                    for value in forward(model.preprocess(batch.images)):
                        value.amax().item()  # waits for the device
            took = time.perf_counter() - began
            task.step(repeat + 1, 2)
        return SweepCost(OVERHEAD * took / SWEEP_BATCH * len(images), sweep.kept_bytes(model, images))
