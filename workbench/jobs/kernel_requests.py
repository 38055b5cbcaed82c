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
    from workbench.models.kernel_site import KernelSite
    from workbench.models.traced_model import TracedModel

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
    place
        The unit as its kernel is called whatever layer shows it, so that before and behind a non-linearity are one.
    """

    unit: Unit
    reads: str
    kernel: npt.NDArray[np.float32]
    bias: float
    shifts: bool
    ground: Ground
    place: Unit


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
        engine.warm_up(task)
        import torch

        from workbench.analyses.hand_coding.ground import measured_ground
        from workbench.models.kernel_site import KernelSite

        model = engine.model(self.model, task=task)
        with torch.no_grad():
            site, index = KernelSite.of(model, self.unit)
            place = ("ground", *_seen(model, site, index), site.ground(model).side)
            ground = engine.kept(place, lambda: measured_ground(model, site, index, task))
            kernel, bias = site.kernel(model, index)
        return KernelCard(self.unit, site.reads, kernel, bias, bool(site.shift), ground, Unit(site.post, index))


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
        How many: as many as were asked for, or as there is room for what the unit reads of them.
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
        engine.warm_up(task)
        import torch

        from workbench.analyses.hand_coding.trial import Table, try_kernel
        from workbench.kernel_edits import KernelEdit
        from workbench.models.kernel_site import KernelSite

        model, images = engine.model(self.model, task=task), engine.images(self.images, task)
        edit = KernelEdit.from_document(self.edit)
        with torch.no_grad():
            site, index = KernelSite.of(model, self.unit)
            place = ("table", *_seen(model, site, index), images.content_hash, self.limit)
            table = engine.kept(place, lambda: Table.of(model, images, site, site.channels(model, index), self.limit, task), alone=True)
            found = try_kernel(model, table, site, index, edit)
        return Trial(**found)


@dataclass(frozen=True)
class RecoverLive(Request):
    """Measure what the applied kernels recover of the performance -> what `LiveBench.recover` returns, and on the way.

    All but the kernels is computed once for the units that are written and kept, so that the next stroke takes seconds on thousands of
    images. `HandCoding` says the same with its controls.
    """

    model: str
    images: str
    edits: tuple[Mapping[str, Any], ...] = field(repr=False, compare=False)
    limit: int = IMAGES

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return "What 1 kernel recovers" if len(self.edits) == 1 else f"What {len(self.edits)} kernels recover"

    @property
    def key(self) -> str:
        """The kernels painted last win."""
        return "recover live"

    def run(self, engine: Engine, task: Task) -> dict[str, Any]:
        """Run the network from the first edited layer on."""
        engine.warm_up(task)
        from workbench.analyses.hand_coding import HandCoding
        from workbench.analyses.hand_coding.live import LiveBench
        from workbench.kernel_edits import KernelEdit
        from workbench.models.kernel_site import last_kernels

        model, images = engine.model(self.model, task=task), engine.images(self.images, task)
        coding = HandCoding(edits=self.edits, images=self.limit)  # type: ignore[arg-type]  # pydantic reads documents
        edits = last_kernels(model, [KernelEdit.from_document(document) for document in self.edits])
        units = tuple(Unit(edit.layer, edit.unit) for edit in edits)
        key = ("recovery", model.weight_hash, model.preprocessing, images.content_hash, units, self.limit)
        bench = engine.kept(key, lambda: LiveBench.of(coding, model, images, task), alone=True)
        return bench.recover(edits, task)


def _seen(model: TracedModel, site: KernelSite, index: int) -> tuple[object, ...]:
    """Return what decides what a unit's kernel sees: the network, how images come into it, and the channels that are read."""
    return model.weight_hash, model.preprocessing, site.reads, site.channels(model, index)


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes
    ----------
    path, card
        The network, and what says how it came to be.
    fitted_on
        Images that scale and offset were fitted on, 0 where the kernels were written as they are.
    """

    path: str
    card: str
    fitted_on: int


@dataclass(frozen=True)
class ExportNetwork(Request):
    """Write the network with kernels by hand as safetensors, with a card beside it -> `Exported`.

    With `images` every kernel gets the scale and the offset that `HandCoding` scores on them; without, kernels are written as they are.
    """

    model: str
    edits: tuple[Mapping[str, Any], ...] = field(repr=False)
    path: str = ""
    images: str = ""

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"Export {self.model} with {len(self.edits)} kernels"

    def run(self, engine: Engine, task: Task) -> Exported:
        """Fit the kernels, and write it."""
        engine.warm_up(task)
        from workbench.analyses.hand_coding import HandCoding
        from workbench.kernel_edits import KernelEdit
        from workbench.models.kernel_export import AS_WRITTEN, export_network

        model, number, fitted = engine.model(self.model, task=task), 0, AS_WRITTEN
        edits = [KernelEdit.from_document(document) for document in self.edits]
        if self.images and edits:
            images = engine.images(self.images, task)
            edits, number = HandCoding(edits=self.edits).fitted(model, images, task)  # type: ignore[arg-type]  # pydantic reads documents
            fitted = f"scale and offset fitted on {number} images of {self.images} (by HandCoding, seed 0)"
        path, card = export_network(model, edits, Path(self.path), fitted)
        return Exported(str(path), str(card), number)
