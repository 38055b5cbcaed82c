"""What the window asks about directions and the units that mix them: sets that are there, new ones, what a unit mixes, crops of facets.

As in `requests`, nothing heavy is imported before `run`, in the worker thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from workbench.direction_set import DirectionCard, DirectionSet, check_name, find_directions, list_directions
from workbench.jobs.job import Lane, Request
from workbench.models.loading import agreed
from workbench.task import Task

if TYPE_CHECKING:
    from workbench.jobs.engine import Engine


@dataclass(frozen=True)
class ListDirections(Request):
    """List the user's sets of directions -> tuple of `DirectionCard`, the one written last first.

    It has no key: two panels that ask at once are both answered.
    """

    lane: ClassVar[Lane] = "interactive"

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return "List directions"

    def run(self, engine: Engine, task: Task) -> tuple[DirectionCard, ...]:
        """Read their headings."""
        return tuple(list_directions())


@dataclass(frozen=True)
class MakeDirections(Request):
    """Run the analysis `Directions` and keep what it finds under a name -> `DirectionCard`.

    `parameters` are plain values by name; `model` and `images` are references.
    """

    name: str
    parameters: Mapping[str, Any]
    model: str
    images: str

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"Directions {self.name} of {self.model}"

    @property
    def key(self) -> str:
        """Two of one name would write over one another."""
        return f"directions {self.name}"

    def run(self, engine: Engine, task: Task) -> DirectionCard:
        """Find them, and write them."""
        check_name(self.name)
        engine.warm_up(task)
        from workbench.jobs.engine import configured

        result = engine.run(configured("Directions", self.parameters), self.model, self.images, task)
        from workbench.analyses.directions import keep

        made = keep(result, self.name)
        engine.forget_directions(self.name)
        return card_of(made)


@dataclass(frozen=True)
class KeepAutoencoder(Request):
    """Keep the latents of an autoencoder's run, finished or not, as directions -> `DirectionCard`."""

    folder: Path
    name: str

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"Directions {self.name} of the run {self.folder.name}"

    @property
    def key(self) -> str:
        """Two of one name would write over one another."""
        return f"directions {self.name}"

    def run(self, engine: Engine, task: Task) -> DirectionCard:
        """Measure the autoencoder on held-out images, and write its latents."""
        check_name(self.name)
        engine.warm_up(task)
        from workbench.training.recipes.sparse_autoencoder import directions_of

        with agreed(engine.allowed):
            made = directions_of(self.folder, self.name, task)
        made.save()
        engine.forget_directions(self.name)
        return card_of(made)


@dataclass(frozen=True)
class Mixture:
    """What a unit mixes: directions by the size of what they add to it, ``[n]`` each.

    Attributes
    ----------
    direction
        Their numbers.
    share
        Decoder weight times the direction's standard deviation, in the unit's own activation.
    called
        Their names.
    """

    name: str
    unit: int
    direction: np.ndarray
    share: np.ndarray
    called: tuple[str, ...]


@dataclass(frozen=True)
class UnitMixture(Request):
    """Say which directions of a set a unit of its layer mixes -> `Mixture`."""

    name: str
    unit: int
    most: int = 16
    lane: ClassVar[Lane] = "interactive"

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"What unit {self.unit} mixes of {self.name}"

    @property
    def key(self) -> str:
        """The unit looked at now wins."""
        return "unit mixture"

    def run(self, engine: Engine, task: Task) -> Mixture:
        """Read the set."""
        directions = find_directions(self.name)
        share = directions.mixture(self.unit)
        order = np.argsort(-np.abs(share), kind="stable")[: self.most]
        order = order[share[order] != 0]
        return Mixture(self.name, self.unit, order, share[order], tuple(directions.called(int(one)) for one in order))


@dataclass(frozen=True)
class FacetCrops(Request):
    """Cut out what a unit saw in some images -> uint8 ``[n, y, x, 3]``, of the size of the receptive field.

    `places` are flattened positions of the layer.
    """

    model: str
    images: str
    layer: str
    index: tuple[int, ...]
    places: tuple[int, ...]
    lane: ClassVar[Lane] = "interactive"

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"Cut out {len(self.index)} images of {self.layer}"

    @property
    def key(self) -> str:
        """The unit looked at now wins."""
        return "facet crops"

    def run(self, engine: Engine, task: Task) -> np.ndarray:
        """Decode and cut."""
        from workbench.jobs.example_requests import cut_out, receptive_boxes

        model, images = engine.model(self.model, task=task), engine.images(self.images, task)
        layer = model.layer(self.layer)
        places = np.asarray(self.places)
        positions = np.zeros((len(places), 2), int)
        if len(layer.positions) == 2:
            positions = np.stack(np.unravel_index(places, layer.positions), -1)
        boxes = receptive_boxes(
            positions, layer.positions, engine.receptive_field(model, layer.name), model.preprocessing.size
        )
        found = np.zeros((0, 1, 1, 3), np.uint8)
        for found, there in cut_out(images, np.asarray(self.index), boxes, model.preprocessing.size):  # noqa: B007 - the last is whole
            task.step(int(there.sum()), len(there), note="cutting out what the unit saw")
        return found


def card_of(directions: DirectionSet) -> DirectionCard:
    """Return what a list shows of a set."""
    sizes = (len(directions), directions.units, directions.kept)
    return DirectionCard(directions.name, directions.layer, *sizes, dict(directions.provenance), directions.digest)
