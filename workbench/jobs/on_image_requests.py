"""What the window asks about units on one image: what they do on it, which of them stand out, and what one is made of there.

As in `requests`, nothing heavy is imported before `run`, in the worker thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from workbench.images.image_set import Pixels
from workbench.jobs.job import Lane, Request
from workbench.models.layer import Unit
from workbench.task import Task

if TYPE_CHECKING:
    from workbench.analyses.analysis import Result
    from workbench.jobs.engine import Engine
    from workbench.models.traced_model import TracedModel


@dataclass(frozen=True)
class UnitOnImage(Request):
    """What one unit does on one image -> mapping, see below.

    * ``input`` uint8 ``[y, x, 3]``: what the network was shown: the image scaled and cut to its input's size, as images of a set are;
    * ``map`` float32: the unit's activation at every position, ``[y, x]``, ``[token]`` or ``[]``;
    * ``value``: the largest of it;
    * ``top_classes``: up to five pairs of label and probability, the likeliest first; empty when the network does not classify;
    * ``percentile``: the part of the images that a sweep has seen on which the unit's largest activation is smaller, in
      [0, 1]; None when `images` is None or no sweep holds this layer; and ``n``, how many images that are.
    """

    model: str
    layer: str
    unit: int
    image: Pixels = field(compare=False)
    images: str | None = None
    purpose: str = "inspector"
    lane: ClassVar[Lane] = "interactive"

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"{self.layer}:{self.unit} on an image"

    @property
    def key(self) -> str:
        """The newest of one purpose wins."""
        return f"unit on image {self.purpose}"

    def run(self, engine: Engine, task: Task) -> dict[str, Any]:
        """Run the network once, read the layer and the output."""
        engine.warm_up(task)
        from workbench.analyses.activation_maps import ActivationMaps
        from workbench.images.array_set import ArraySet

        model = engine.model(self.model, task=task)
        model.layer_of(Unit(self.layer, self.unit))
        found = ActivationMaps(layer=self.layer, units=(self.unit,)).run(model, ArraySet(np.array(self.image)), task)
        value = found.summary["units"][0]["value"]
        share, seen_by_sweep = self._percentile(engine, model, value)
        return {
            "input": found.arrays["input"],
            "map": found.arrays["maps"][0],
            "value": value,
            "top_classes": tuple((name, probability) for name, probability in found.summary["classes"]),
            "percentile": share,
            "n": seen_by_sweep,
        }

    def _percentile(self, engine: Engine, model: TracedModel, value: float) -> tuple[float | None, int]:
        if self.images is None:
            return None, 0
        from workbench.analyses.dataset_examples import percentile

        found = engine.unit_examples(model, engine.images(self.images), self.layer, self.unit)
        return (None, 0) if found is None else (percentile(found, value), int(found["max_histogram"].sum()))


@dataclass(frozen=True)
class MapsOnImage(Request):
    """What several units of a layer do on one image -> `Result` of `ActivationMaps`.

    Attributes
    ----------
    image
        uint8 ``y x 3``, of any size.
    """

    model: str
    layer: str
    units: tuple[int, ...]
    image: Pixels = field(compare=False, repr=False)
    lane: ClassVar[Lane] = "interactive"

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"{len(self.units)} units of {self.layer} on an image"

    @property
    def key(self) -> str:
        """The units and the image looked at now win."""
        return "maps on image"

    def run(self, engine: Engine, task: Task) -> Result:
        """Run the network once."""
        engine.warm_up(task)
        from workbench.analyses.activation_maps import ActivationMaps
        from workbench.images.array_set import ArraySet

        model = engine.model(self.model, task=task)
        return ActivationMaps(layer=self.layer, units=self.units).run(model, ArraySet(np.array(self.image)), task)


@dataclass(frozen=True)
class UnitsOnImage(Request):
    """Which units of a layer one image drives more than the images of a set do -> `Result` of `UnitsOfImage`.

    What the layer does on the set is read once, a pass over it, and kept; from then on this takes a moment, except for a region that is
    compared with the same region of each image.

    Attributes
    ----------
    model, images
        References.
    image
        uint8 ``y x 3``, of any size.
    region
        Top, left, bottom, right in fractions of what the network is shown of it (see `UnitOnImage`); None for all of it.
    parameters
        Further ones of `UnitsOfImage`, by name.
    """

    model: str
    layer: str
    image: Pixels = field(compare=False, repr=False)
    images: str
    region: tuple[float, float, float, float] | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    rank: ClassVar[int] = 1

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"Units of {self.layer} on an image"

    @property
    def key(self) -> str:
        """The image looked at now wins."""
        return "units on image"

    def run(self, engine: Engine, task: Task) -> Result:
        """Run it, from the store when it was computed before."""
        engine.warm_up(task)
        from workbench.analyses.units_of_image import UnitsOfImage
        from workbench.jobs.engine import configured

        analysis = configured("UnitsOfImage", {"layer": self.layer, "region": self.region, **self.parameters})
        assert isinstance(analysis, UnitsOfImage)
        return engine.run(analysis.of(self.image), self.model, self.images, task)


@dataclass(frozen=True)
class ContributionsOnImage(Request):
    """Write the unit's pre-activation on an image as a sum over the units before it -> `Result` of `Contributions`.

    Attributes
    ----------
    image
        uint8 ``y x 3``, of any size.
    position
        Row and column, or token; empty for where the unit is most active.
    """

    model: str
    layer: str
    unit: int
    image: Pixels = field(compare=False)
    position: tuple[int, ...] = ()
    lane: ClassVar[Lane] = "interactive"

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"What {self.layer}:{self.unit} is made of on an image"

    @property
    def key(self) -> str:
        """The unit and position looked at now win."""
        return "contributions on image"

    def run(self, engine: Engine, task: Task) -> Result:
        """Run the analysis on that one image."""
        engine.warm_up(task)
        from workbench.analyses.contributions import Contributions
        from workbench.images.array_set import ArraySet

        model = engine.model(self.model, task=task)
        analysis = Contributions(layer=self.layer, unit=self.unit, position=self.position, maps=0)
        return analysis.run(model, ArraySet(np.array(self.image)), task)
