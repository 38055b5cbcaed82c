"""How much a circuit explains. For any circuit, also one made by hand; fast enough to ask after every click."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakKeyDictionary

import numpy.typing as npt
from pydantic import Field

from workbench.analyses.analysis import Analysis, Result, register
from workbench.analyses.trace import circuits, figures
from workbench.analyses.trace.experiment import Pictures, chosen, means, runs
from workbench.analyses.trace.paths import Paths
from workbench.analyses.trace.runs import Ablation, Runs
from workbench.analyses.trace.scores import Scale
from workbench.analyses.trace.target import At, Target
from workbench.analyses.trace.wiring import Ends, Wiring
from workbench.circuit import Circuit, layer_of
from workbench.input_error import InputError
from workbench.task import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from workbench.images.image_set import ImageSet
    from workbench.models.traced_model import TracedModel

HELD = 2
"""Runs of one network that are kept: a circuit that is edited is measured again and again on the same images."""
_Kept = OrderedDict[tuple[Any, ...], tuple[Runs, Scale, Pictures]]
_kept: WeakKeyDictionary[TracedModel, _Kept] = WeakKeyDictionary()


@register
class CircuitMeasures(Analysis):
    """Measure a circuit: faithfulness, completeness, minimality, as `Trace` defines them, on images chosen by a seed.

    Nodes are units or families (``layer:1,2``). A unit that reads nobody in the circuit is taken as it is on the image, for the circuit
    claims nothing of what it is built from. A circuit without edges has all there can be between its units. Layers of the circuit are
    those of its units; name further ones where circuits of different layers are compared, since an edge is what passes through none of
    them. Images that `Trace` chose the circuit on, and all others of their concepts, are left out, whatever the set is called and on
    whichever other sets it was measured since; the summary says how many of the set those are (`not_held_out`).

    The summary and the arrays ``image``, ``full``, ``empty``, ``circuit``, ``edge_drop``, ``null_faithfulness`` and ``null_explained`` are
    as those of `Trace`; ``edge_faithfulness`` and ``edge_explained`` are the scores without each edge, in the order of the circuit.
    """

    title: ClassVar[str] = "Measure a circuit"
    version: ClassVar[int] = 4
    needs_images: ClassVar[bool] = True

    circuit: str = Field(description="The circuit as JSON, as Trace writes it.")
    target: str = Field(
        default="", description="Unit of the circuit that is explained; none: the one that nobody reads."
    )
    at: At = Field(
        default="strongest",
        description="Where it is read: where it is strongest on each image, at the centre, or the mean.",
    )
    layers: tuple[str, ...] = Field(
        default=(), description="Further layers that are ablated and that no edge may pass through."
    )
    ablation: Ablation = Field(
        default="mean",
        description="What ablated units become: their mean, or what they are on another concept's image.",
    )
    minimality: bool = Field(default=True, description="Whether each edge's removal is measured, too.")
    limit: int = Field(default=64, ge=0, description="Images, chosen by the seed; 0: all of the set.")
    null_draws: int = Field(default=0, ge=0, le=1000, description="Random circuits of the same form; 0: none.")
    seed: int = Field(default=0, ge=0, lt=2**31, description="Of the images, the null and the bootstrap.")

    def compute(
        self, model: TracedModel, images: ImageSet | None, task: Task
    ) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Run the circuit, the whole network without it, and the circuit without each edge."""
        assert images is not None
        given = Circuit.from_json(self.circuit).pinned(images.ref, images.content_hash)
        address = self.target or sink(given)
        if address not in given.units:
            raise InputError(f"the target {address} is not in the circuit")
        target = Target.of(model, address, self.at)
        without = given.chosen_in(images.ref, images.content_hash)
        held, scale, pictures = self._runs(model, images, target, given, without, task)
        wiring, ends = wired(held.paths, given)
        task.step(1, 3, note="measuring the circuit")
        summary, value = circuits.faithfulness(held, scale, wiring, pictures.concepts, self.seed)
        summary |= circuits.completeness(held, scale, wiring)
        arrays = {
            "image": pictures.indices,
            "full": held.full.cpu().numpy(),
            "empty": held.empty.cpu().numpy(),
            "circuit": value,
        }
        if self.minimality:
            task.step(2, 3, note="measuring it without each edge")
            each = circuits.minimality(held, scale, wiring, ends)
            arrays |= {f"edge_{name}": values for name, values in each.items()}
            summary["minimality"] = float(each["drop"].min()) if ends else None
        if self.null_draws:
            beside, null = circuits.null(held, scale, wiring, self.null_draws, self.seed)
            arrays, summary = arrays | null, summary | beside
        held.keep(wiring)
        measured = replace(given, model=model.ref, images=images.ref, figures=summary | given.lasting)
        return arrays, {
            "target": address,
            "pre": [str(unit) for unit in target.units],
            "at": self.at,
            "layers": list(held.paths.layers),
            "bypassing": held.paths.bypassing(),
            "ablation": self.ablation,
            "images": len(pictures.indices),
            "concepts": len(set(pictures.concepts)),
            "not_held_out": len(images) - len(chosen(images, 0, self.seed, without)),
            "left_out": scale.left_out,
            "units": len(wiring.nodes),
            "edges": len(ends),
        } | summary | {"circuit": json.loads(measured.to_json())}

    def _runs(
        self, model: TracedModel, images: ImageSet, target: Target, circuit: Circuit, without: tuple[int, ...], task: Task
    ) -> tuple[Runs, Scale, Pictures]:
        """Return the runs on these images, kept from the last time where nothing but the circuit's units has changed."""
        before = [layer_of(unit) for unit in circuit.units if unit != target.address]
        layers = tuple(model.graph.sort(model.layer(name).name for name in (*before, *self.layers)))
        if not layers:
            raise InputError("the circuit has no unit beside its target; add one that the target reads")
        key = (
            images.content_hash,
            target,
            layers,
            self.ablation,
            self.limit,
            self.seed,
            without,
            model.weight_hash,
            str(model.device),
        )
        kept = _kept.setdefault(model, OrderedDict())
        if key not in kept:
            task.step(0, 3, note="running the network")
            paths = Paths(model, target, layers)
            pictures = Pictures(model, images, chosen(images, self.limit, self.seed, without), task)
            kept[key] = (*runs(paths, pictures, self.ablation, means(model, layers, pictures.x), self.seed), pictures)
        kept.move_to_end(key)
        while len(kept) > HELD:
            kept.popitem(last=False)
        return kept[key]

    @classmethod
    def draw(cls, result: Result) -> dict[str, Figure]:
        """Draw the circuit, and its scores beside the null and without each edge."""
        return {"circuit": figures.circuit(result), "scores": figures.scores(result)}


def measure(model: TracedModel, images: ImageSet, circuit: Circuit, **parameters: Any) -> Circuit:
    """Return the circuit with its figures; parameters are those of `CircuitMeasures`."""
    result = CircuitMeasures(circuit=circuit.to_json(), **parameters).run(model, images)
    return replace(circuit, model=model.ref, images=images.ref, figures=result.summary["circuit"]["figures"])


def sink(circuit: Circuit) -> str:
    """Return the unit that nobody reads.

    Raises
    ------
    InputError
        When there is none, or more than one.
    """
    if len(circuit.ends) != 1:
        raise InputError(f"say which unit is the target; {', '.join(circuit.ends) or 'none'} could be it")
    return circuit.ends[0]


def wired(paths: Paths, circuit: Circuit) -> tuple[Wiring, list[Ends]]:
    """Return a circuit's edges as they are computed, and the same in the circuit's order.

    Raises
    ------
    InputError
        When an edge leads nowhere, or a unit is in two nodes.
    """
    target, seen = paths.target.address, dict[tuple[str, int], str]()
    nodes = [unit for unit in circuit.units if unit != target]
    for node in nodes:
        layer, units = paths.node(node)
        for unit in units:
            if (layer, unit) in seen:
                raise InputError(f"{layer}:{unit} is in {seen[layer, unit]} and in {node}; leave it in one of them")
            seen[layer, unit] = node
    possible = paths.possible(nodes)
    ends: Sequence[Ends] = [edge.ends for edge in circuit.edges] or possible
    for source, reader in ends:
        if (source, reader) not in possible:
            raise InputError(f"{reader} reads nothing of {source} past {', '.join(paths.layers)}; remove this edge")
    return Wiring(target, frozenset(ends)).useful(), list(ends)
