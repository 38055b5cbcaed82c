"""Which few units, reading which of each other, make a unit what it is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field
from torch import Tensor

from workbench.analyses.analysis import Analysis, Result, register
from workbench.analyses.trace import attribution, candidates, circuits, figures, patching
from workbench.analyses.trace.experiment import Pictures, chosen, halves, means, runs
from workbench.analyses.trace.paths import Paths
from workbench.analyses.trace.pruning import Pruned, prune
from workbench.analyses.trace.runs import Ablation, Runs
from workbench.analyses.trace.scores import Scale
from workbench.analyses.trace.target import At, Target
from workbench.analyses.trace.wiring import Ends, Wiring
from workbench.circuit import CHOSEN_ON, Circuit, Edge
from workbench.task import Part, Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from workbench.images.image_set import ImageSet
    from workbench.models.traced_model import TracedModel

STAGES = {"read": 2, "units": 10, "edges": 4, "prune": 12, "score": 8}
"""Stages, and how long each takes of the whole, roughly."""
SUBSETS = 10
"""Random halves of the circuit that are taken out of it and of the network."""
FIGURES = (
    "faithfulness",
    "faithfulness_low",
    "faithfulness_high",
    "explained",
    "explained_low",
    "explained_high",
    "completeness",
    "minimality",
    "null_faithfulness_highest",
    "null_explained_highest",
)
"""What the circuit carries with it."""


@register
class Trace(Analysis):
    """Find a circuit: attribution patching of all units, exact patching of the best, and pruning of the edges between them.

    The circuit's nodes are units of a few `layers` and the target. An edge is what one reads from another directly, past all other nodes'
    layers; all that is not an edge of the circuit is ablated (edge-level ablation, as in ACDC). What bypasses the layers (a residual stream
    beside them) stays clean: the summary names it (`bypassing`).

    First each unit's effect is estimated by gradients at the clean run, at the ablated run and between; those that any estimate puts first
    are patched exactly, alone ablated and alone restored, and the `candidates` best of each layer kept. Then the edges between candidates,
    the least important first, are removed while the score stays above the `threshold`, measuring what is left each time.

    Images are parted by concept: the circuit is chosen on one half, everything in the summary is measured on the other. *Faithfulness* is
    (m(circuit) - m(ablated)) / (m(full) - m(ablated)) with m the mean of the target over images, each in the direction in which ablation
    changes it; *explained* is 1 - sum (circuit - full)^2 / sum (ablated - full)^2, which also sees errors that cancel in the mean. The
    score is the smaller of explained and 1 - |1 - faithfulness|. *Completeness* is 1 - the faithfulness of the whole network without
    the circuit's units; *incompleteness* the largest disagreement of circuit and network when random halves of the units are taken out
    of both (Wang et al., "Interpretability in the wild", 2023); *minimality* the smallest drop of the score when one edge is removed.
    The null is circuits of the same form made of units that were patched exactly and not kept, at random; of a layer with too few of
    these, of any other units (`null_drawn_from` says which). Intervals are of 95 %, by bootstrap over concepts.

    The circuit carries the images it was chosen on with it, so that `CircuitMeasures` leaves them out also after edits. It is in the
    summary as plain data: `workbench.analyses.trace.circuit_of` gives it as a `workbench.circuit.Circuit`.

    Arrays; i is an image of the second half, e an edge in the order of the circuit, s a step of the pruning, the largest circuit first:

    ``image`` ``full`` ``empty`` ``circuit``
        int64, float64 ``i``: index in the set; target in the whole network, with everything ablated, in the circuit.
    ``curve_edges`` ``curve_units``
        int64 ``s``: size.
    ``curve_faithfulness`` ``curve_explained`` ``choosing_faithfulness`` ``choosing_explained``
        float64 ``s``: on the second half, and on the half it was chosen on.
    ``edge_drop`` ``edge_attribution`` ``edge_effect`` ``edge_restored``
        float64 ``e``: drop of the score without the edge, on the second half. On the first: what of m is lost when it alone is ablated in
        the whole network, estimated and exact, and what is gained when its reader reads it alone.
    ``null_faithfulness`` ``null_explained``
        float64 ``draw``.
    ``unit_layer`` ``unit`` ``unit_kept`` ``unit_clean`` ``unit_ablated`` ``unit_path`` ``unit_alone_ablated`` ``unit_alone_restored``
        One a unit that was patched exactly: place of its layer in the summary's ``layers``, index, whether it became a candidate, the
        three estimates, and its exact effects, as root mean squares over the images of the first half.
    """

    title: ClassVar[str] = "Trace a circuit"
    version: ClassVar[int] = 3
    needs_images: ClassVar[bool] = True

    target: str = Field(description="What is explained: a unit (layer:index), a family (layer:1,2), or class:NAME.")
    at: At = Field(
        default="strongest",
        description="Where it is read: where it is strongest on each image, at the centre, or the mean.",
    )
    layers: tuple[str, ...] = Field(
        default=(), description="Layers of the circuit's units; none: the last two everything flows through."
    )
    candidates: int = Field(default=16, ge=1, le=512, description="Units of each layer that are kept for pruning.")
    ablation: Ablation = Field(
        default="mean",
        description="What ablated units become: their mean, or what they are on another concept's image.",
    )
    threshold: float = Field(
        default=0.8, gt=0, le=1, description="Score the circuit must keep, on the images it is chosen on."
    )
    limit: int = Field(default=96, ge=0, description="Images, chosen by the seed; 0: all of the set.")
    null_draws: int = Field(default=20, ge=20, le=1000, description="Random circuits of the same form.")
    seed: int = Field(default=0, ge=0, lt=2**31, description="Of the images, the halves, the null and the bootstrap.")

    def compute(
        self, model: TracedModel, images: ImageSet | None, task: Task
    ) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Choose on the first half, score on the second."""
        assert images is not None
        parts = _parts(task)
        target = Target.of(model, self.target, self.at)
        paths = Paths(model, target, self.layers)
        pictures = [
            Pictures(model, images, half, parts["read"])
            for half in halves(images, chosen(images, self.limit, self.seed), self.seed)
        ]
        mean = means(model, paths.layers, pictures[0].x)
        (choosing, scale), (scoring, ruler) = (
            runs(paths, half, self.ablation, mean, self.seed, place) for place, half in enumerate(pictures)
        )
        slopes: dict[str, list[Tensor]] = {}
        found = candidates.find(choosing, self.candidates, slopes, parts["units"])
        estimates = attribution.of_edges(
            choosing, [node for each in found for node in each.nodes], slopes, parts["edges"]
        )
        slopes.clear()
        sizes = {edge: candidates.largest(list(each.values())) for edge, each in estimates.items()}
        begin = Wiring(target.address, frozenset(sizes)).useful()
        pruned = prune(choosing, scale, begin, sizes, self.threshold, parts["prune"])
        wiring = pruned.way[pruned.chosen]
        edges = [edge for edge in sizes if edge in wiring.edges]
        ablated, restored = patching.edges(choosing, edges, parts["score"]) if edges else (None, None)
        attributed = [-float(scale.mean(estimates[edge]["clean"].cpu().numpy())) for edge in edges]
        effect = -scale.mean(ablated.cpu().numpy()) if ablated is not None else np.zeros(0)
        alone = scale.mean(restored.cpu().numpy()) if restored is not None else np.zeros(0)
        arrays = _curve(pruned, choosing, scale, scoring, ruler) | _units(found)
        tried = {each.layer: each.units[each.kept :].tolist() for each in found}
        summary, measured = self._score(scoring, ruler, wiring, edges, pictures[1].concepts, tried)
        arrays |= measured | {
            "image": pictures[1].indices,
            "edge_attribution": np.array(attributed),
            "edge_effect": effect,
            "edge_restored": alone,
        }
        nodes = sorted(wiring.nodes, key=lambda node: (paths.layers.index(paths.node(node)[0]), paths.node(node)[1]))
        circuit = Circuit(
            f"circuit of {target.address}",
            model.ref,
            images.ref,
            (*nodes, target.address),
            tuple(
                Edge(*ends, attribution=a, effect=float(e))
                for ends, a, e in zip(edges, attributed, effect, strict=True)
            ),
            {name: summary[name] for name in FIGURES}
            | {
                "null_draws": self.null_draws,
                "images": len(pictures[1].indices),
                "ablation": self.ablation,
                "at": self.at,
                CHOSEN_ON: pictures[0].indices.tolist(),
            },
        ).pinned(images.ref, images.content_hash)
        return arrays, {
            "target": target.address,
            "pre": [str(unit) for unit in target.units],
            "at": self.at,
            "layers": list(paths.layers),
            "bypassing": paths.bypassing(),
            "ablation": self.ablation,
            "images": [len(half.indices) for half in pictures],
            "concepts": [len(set(half.concepts)) for half in pictures],
            "left_out": ruler.left_out,
            "candidates": sum(each.kept for each in found),
            "candidate_edges": len(begin.edges),
            "candidates_faithfulness": float(arrays["curve_faithfulness"][0]),
            "candidates_explained": float(arrays["curve_explained"][0]),
            "threshold": self.threshold,
            "threshold_reached": pruned.least >= self.threshold,
            "least": pruned.least,
            "score_where_chosen": pruned.scores[pruned.chosen],
        } | summary | {"circuit": json.loads(circuit.to_json())}

    def _score(
        self,
        runs: Runs,
        scale: Scale,
        wiring: Wiring,
        edges: list[Ends],
        concepts: list[str],
        tried: dict[str, list[int]],
    ) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Measure the circuit on the images it was not chosen on."""
        summary, target = circuits.faithfulness(runs, scale, wiring, concepts, self.seed)
        beside, null = circuits.null(runs, scale, wiring, self.null_draws, self.seed, tried)
        each = circuits.minimality(runs, scale, wiring, edges)
        summary |= circuits.completeness(runs, scale, wiring) | {
            "incompleteness": circuits.incompleteness(runs, scale, wiring, SUBSETS, self.seed),
            "minimality": float(each["drop"].min()) if edges else None,
            "units": len(wiring.nodes),
            "edges": len(edges),
        }
        return summary | beside, null | {
            "full": runs.full.cpu().numpy(),
            "empty": runs.empty.cpu().numpy(),
            "circuit": target,
            "edge_drop": each["drop"],
        }

    @classmethod
    def draw(cls, result: Result) -> dict[str, Figure]:
        """Draw scores against size, the circuit beside its null and its edges, and the circuit itself."""
        return {"size": figures.size(result), "scores": figures.scores(result), "circuit": figures.circuit(result)}


def circuit_of(result: Result) -> Circuit:
    """Return the circuit that a trace found, or that was measured."""
    return Circuit.from_json(json.dumps(result.summary["circuit"]))


def _parts(task: Task) -> dict[str, Part]:
    """Share the progress out among the stages."""
    total, before, parts = sum(STAGES.values()), 0, {}
    for name, size in STAGES.items():
        parts[name] = Part(task, before, size, total)
        before += size
    return parts


def _curve(pruned: Pruned, choosing: Runs, scale: Scale, scoring: Runs, ruler: Scale) -> dict[str, npt.NDArray[Any]]:
    arrays: dict[str, npt.NDArray[Any]] = {
        "curve_edges": np.array([len(wiring.edges) for wiring in pruned.way]),
        "curve_units": np.array([len(wiring.nodes) for wiring in pruned.way]),
    }
    for name, part, on in (("choosing", choosing, scale), ("curve", scoring, ruler)):
        values = part.evaluate(pruned.way).cpu().numpy()
        arrays |= {f"{name}_faithfulness": on.faithfulness(values), f"{name}_explained": on.explained(values)}
    return arrays


def _units(found: list[candidates.Candidates]) -> dict[str, npt.NDArray[Any]]:
    def joined(name: str) -> npt.NDArray[Any]:
        return np.concatenate([getattr(each, name) for each in found])

    estimates = np.concatenate([each.estimates for each in found], 1)
    return {
        "unit_layer": np.repeat(np.arange(len(found)), [len(each.units) for each in found]),
        "unit": joined("units"),
        "unit_kept": np.concatenate([np.arange(len(each.units)) < each.kept for each in found]),
        "unit_alone_ablated": joined("ablated"),
        "unit_alone_restored": joined("restored"),
    } | {f"unit_{name}": estimates[place] for place, name in enumerate(attribution.ESTIMATES)}
