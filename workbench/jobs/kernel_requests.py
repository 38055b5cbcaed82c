"""What the window asks about kernels written by hand: a unit's own kernel, what another does in its place, and the network as a file.

As in `requests`, nothing heavy is imported before `run`, in the worker thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from workbench.jobs.job import Request
from workbench.kernel_ground import Ground
from workbench.models.layer import Unit
from workbench.task import Task

if TYPE_CHECKING:
    from workbench.jobs.engine import Engine

IMAGES = 2000
"""Images that a kernel is tried on while it is painted."""


@dataclass(frozen=True, eq=False)
class KernelCard:
    """A unit's own kernel, normalisation folded in, and what it is written over.

    Attributes
    ----------
    reads
        Layer that it reads.
    shifts
        Whether the unit can have a bias.
    """

    unit: Unit
    reads: str
    kernel: npt.NDArray[np.float32]
    bias: float
    shifts: bool
    ground: Ground


@dataclass(frozen=True)
class KernelOf(Request):
    """Read a unit's kernel and measure what the units it reads detect -> `KernelCard`."""

    model: str
    unit: Unit
    rank: ClassVar[int] = 1

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"Kernel of {self.unit}"

    @property
    def key(self) -> str:
        """The unit looked at now wins."""
        return "kernel of"

    def run(self, engine: Engine, task: Task) -> KernelCard:
        """Find it; what is read is measured with stimuli, once for a layer."""
        import torch

        from workbench.analyses.hand_coding.ground import measured_ground
        from workbench.models.kernel_site import KernelSite

        model = engine.model(self.model, task=task)
        with torch.no_grad():
            site, index = KernelSite.of(model, self.unit)
            place = ("ground", model.weight_hash, site.reads, site.channels(model, index).start, site.ground(model).side)
            ground = engine.kept(place, lambda: measured_ground(model, site, index, task))
            kernel, bias = site.kernel(model, index)
        return KernelCard(self.unit, site.reads, kernel, bias, bool(site.shift), ground)


@dataclass(frozen=True, eq=False)
class Trial:
    """What a kernel does in the place of a unit's own.

    Attributes
    ----------
    correlation
        Of the two outputs over images and positions, NaN where one does not vary.
    scale, offset, r2
        Fitted to one half of the images; 1 - SSE / SST on the other half.
    images
        How many.
    own, hand
        float32 ``image``: the largest output on each, of the unit and of the kernel with its scale and offset.
    curves
        By what is shown, ``(degrees, own, hand)``: largest output by direction.
    """

    correlation: float
    scale: float
    offset: float
    r2: float
    images: int
    own: npt.NDArray[np.float32]
    hand: npt.NDArray[np.float32]
    curves: Mapping[str, tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]]


@dataclass(frozen=True)
class TryKernel(Request):
    """Try a kernel in the place of a unit's own, on stimuli and on real images -> `Trial`.

    What lies before the unit is computed once and kept, so that the next kernel takes a moment.
    """

    model: str
    images: str
    unit: Unit
    edit: Mapping[str, Any] = field(repr=False, compare=False)
    limit: int = IMAGES
    rank: ClassVar[int] = 1

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"Try a kernel for {self.unit}"

    @property
    def key(self) -> str:
        """The kernel painted last wins."""
        return "try kernel"

    def run(self, engine: Engine, task: Task) -> Trial:
        """Convolve what was kept with the new kernel."""
        import torch

        from workbench.analyses.hand_coding.trial import Table, try_kernel
        from workbench.kernel_edits import KernelEdit
        from workbench.models.kernel_site import KernelSite

        model, images = engine.model(self.model, task=task), engine.images(self.images, task)
        edit = KernelEdit.from_document(self.edit)
        with torch.no_grad():
            site, index = KernelSite.of(model, self.unit)
            place = ("table", model.weight_hash, site.reads, site.pre, images.content_hash, self.limit)
            table = engine.kept(place, lambda: Table.of(model, images, site, self.limit, task))
            found = try_kernel(model, table, site, index, edit)
        return Trial(**found)


@dataclass(frozen=True)
class ExportNetwork(Request):
    """Write the network with kernels by hand as safetensors, with a card beside it -> the file's path."""

    model: str
    edits: tuple[Mapping[str, Any], ...] = field(repr=False)
    path: str = ""

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"Export {self.model} with {len(self.edits)} kernels"

    def run(self, engine: Engine, task: Task) -> str:
        """Write it."""
        from workbench.kernel_edits import KernelEdit
        from workbench.models.kernel_export import export_network

        edits = [KernelEdit.from_document(document) for document in self.edits]
        return str(export_network(engine.model(self.model, task=task), edits, Path(self.path)))
