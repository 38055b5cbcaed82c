"""A network and versions of it with other kernels, run from the edited layers on: what lies before them is computed once an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.models.kernel_site import KernelSite
from workbench.models.layer import Unit
from workbench.models.traced_model import TracedModel


@dataclass(frozen=True)
class Place:
    """One unit that is written by hand: its site, and which of the site's units it is."""

    unit: Unit
    site: KernelSite
    index: int


@dataclass(frozen=True, eq=False)
class Bench:
    """What all versions have in common.

    Attributes
    ----------
    places
        The units that are written, in the order in which the network computes them.
    sources
        Layers that no edit changes and that everything behind the edits can be computed from.
    """

    model: TracedModel
    places: tuple[Place, ...]
    sources: tuple[str, ...]

    @classmethod
    def of(cls, model: TracedModel, units: Sequence[Unit]) -> Bench:
        """Find where the units' kernels are, and what lies before all of them."""
        graph = model.graph
        found = [Place(unit, *KernelSite.of(model, unit)) for unit in units]
        order = {name: place for place, name in enumerate(graph.sort({place.site.pre for place in found}))}
        found.sort(key=lambda place: order[place.site.pre])
        changed = graph.downstream(list(order))
        roots = graph.sort({place.site.reads for place in found if graph.node(place.site.reads) not in changed})
        return cls(model, tuple(found), (*roots, *(name for name in graph.frontier(roots, [graph.output]) if name not in roots)))

    @property
    def sites(self) -> list[KernelSite]:
        """Each once, in the order in which they are computed."""
        return list(dict.fromkeys(place.site for place in self.places))

    def before(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the values of the sources on a network input."""
        return tuple(self.model.activations(x, self.sources).values())

    def run(self, version: TracedModel, before: Sequence[Tensor], layers: Sequence[str] = ()) -> list[Tensor]:
        """Return the output of a version (the network itself is one), and then some layers of it."""
        return list(version.graph.cut(self.sources, [version.graph.output, *layers])(*before))

    def layers(self, version: TracedModel, before: Sequence[Tensor], names: Sequence[str]) -> list[Tensor]:
        """Return some layers of a version; nothing behind the last of them is computed."""
        return list(version.graph.cut(self.sources, list(names))(*before))

    def ablated(self, before: Sequence[Tensor], values: Mapping[Unit, float]) -> Tensor:
        """Return the output with each of the units at a value of its own, wherever it is."""
        edits = {}
        for post in dict.fromkeys(place.site.post for place in self.places):
            at = [place for place in self.places if place.site.post == post]

            def edit(activation: Tensor, at: list[Place] = at) -> Tensor:
                changed = activation.clone()
                changed[:, [place.index for place in at]] = torch.tensor([values[place.unit] for place in at]).to(changed)[:, None, None]
                return changed

            edits[post] = edit
        output: Tensor = self.model.graph.cut(self.sources, [self.model.graph.output], edits=edits)(*before)[0]
        return output
