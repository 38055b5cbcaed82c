"""The question: does a unit respond to one thing, or to several that are built from different units below."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence, Set
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor

from workbench.analyses.analysis import Analysis, Result, register
from workbench.analyses.polysemanticity import figures
from workbench.analyses.polysemanticity.clustering import FEWEST, Clusters, adjusted_rand, clusters_of
from workbench.analyses.polysemanticity.examples import Examples, strongest
from workbench.analyses.polysemanticity.relevance import Below, around, relevances, told_apart
from workbench.bootstrap import first_half
from workbench.finite import finite_columns
from workbench.input_error import InputError
from workbench.models.layer import Layer, Unit
from workbench.models.neighbours import sensible_target, targets_of
from workbench.task import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from workbench.images.image_set import ImageSet
    from workbench.models.traced_model import TracedModel

INPUTS, BATCH = 8, 32
"""Units below named for each facet; images whose relevances are computed at once."""
Arrays = dict[str, npt.NDArray[Any]]


@register
class Polysemanticity(Analysis):
    """Cluster the images of each unit by what it is built from on them, and say how many clusters there are, one included.

    The images are the `examples` concepts a unit responds to most, one image each, at the position of its maximum. *Relevances* are the
    shares of the units below in the unit's pre-activation there (PURE: Dreyer et al. 2024). Their clusters are the unit's *facets*. The
    rival clusters what the layer's other units do at that position. The score is how much more two clusters take off the spread than they
    take off surrogates of one kind with the same mean, deviations and correlations, in standard deviations of these; `q` is its chance
    corrected over the units of the layer (Benjamini and Hochberg). Random directions of the layer are no null: they are mixtures.

    Arrays, the unit's place among those asked for first:

    ``unit``
        int32 ``unit``.
    ``example_index`` ``example_value`` ``example_place``
        ``unit example``: the images, strongest first, with the activation and the flattened position; -1, NaN, -1 behind the last.
    ``facet`` ``rival_facet``
        int8 ``unit example``: facet by relevances, and by activations, the largest facet 0; -1 behind the last image.
    ``plane`` ``rival_plane``
        float32 ``unit example 2``: the points that were clustered, of length 1, on their two main axes. Units beside or below that are not
        finite on some image count as 0.
    ``score`` ``p`` ``q`` ``number`` ``taken`` ``null``
        ``unit``: of the relevances; ``taken`` is the part of the spread that two clusters take off, ``null`` that of the surrogates. NaN
        for units with fewer than 20 images, and where no relevance is finite. With ``rival_`` before it, of the activations.
    ``agreement``
        float32 ``unit``: adjusted Rand index of the two clusterings.
    ``inputs`` ``input_share`` ``input_sign``
        str and float32 ``unit facet input``: the units below that differ most from the unit's other facets (of one facet: with the largest
        shares), their mean part of the relevance there, and -1 where it comes of activations below 0.
    ``told`` ``told_by``
        float32 and str ``unit facet``: AUROC, on concepts that took no part in choosing, of the downstream unit that tells the facet from
        the others best, and that unit; .5 is chance. NaN and empty where there is nothing to tell.
    ``histogram`` ``histogram_edges``
        ``unit bin``, ``unit edge``: of the largest activation of every concept.
    """

    title: ClassVar[str] = "Polysemanticity"
    version: ClassVar[int] = 2
    needs_images: ClassVar[bool] = True

    layer: str = Field(description="Layer whose units are asked about.")
    units: tuple[int, ...] = Field(default=(), description="Which of them; none: all.")
    sources: tuple[str, ...] = Field(default=(), description="Layers below whose units' shares are clustered; none: the nearest.")
    downstream: str = Field(default="", description="Layer that may tell facets apart; empty: the next one that reads this layer.")
    examples: int = Field(default=100, ge=FEWEST, le=1000, description="Images of a unit, the strongest of as many concepts.")
    least: float = Field(default=0.25, ge=0, lt=1, description="Part of the unit's largest activation that an image has at least.")
    most: int = Field(default=4, ge=2, le=8, description="Facets of a unit, at most.")
    draws: int = Field(default=30, ge=10, le=1000, description="Surrogates of one kind drawn for each unit.")
    alpha: float = Field(default=0.05, gt=0, lt=0.5, description="False discoveries among the units called polysemantic.")
    seed: int = Field(default=0, ge=0, lt=2**31, description="Of surrogates, beginnings of clusterings, and the halves of the concepts.")

    def compute(self, model: TracedModel, images: ImageSet | None, task: Task) -> tuple[Arrays, dict[str, Any]]:
        """Look for the strongest images of all units in one pass, then at each unit by itself."""
        assert images is not None
        layer = model.layer(self.layer)
        units = self.units or tuple(range(layer.units))
        wrong = [unit for unit in units if not 0 <= unit < layer.units]
        if wrong or len(set(units)) < len(units):
            raise InputError(f"{self.layer} has units 0 to {layer.units - 1}, each once, not {wrong or list(units)}")
        above = self._above(model, layer)
        each = max(1, len(images) // 50)  # steps that one unit counts
        total = len(images) + each * len(units)
        examples = strongest(model, images, layer, units, self.examples, self.least, task, total)
        first = first_half(images.concepts, self.seed)
        rows: list[_Row] = []
        pieces: dict[str, Below] = {}
        for row, unit in enumerate(units):
            below = Below.of(model, Unit(layer.name, unit), self.sources)
            shared = pieces.setdefault(below.target.layer, below)
            below = Below(below.target, below.layer, below.sources, below.others, shared.cut)

            def pulse(done: int = len(images) + each * row, unit: int = unit) -> None:
                task.step(done, total, note=f"{layer.name}:{unit}")

            rows.append(self._unit(model, images, layer, above, below, examples, row, unit, first, pulse))
        task.step(total, total)
        arrays = self._arrays(units, examples, rows)
        return arrays, self._summary(layer, units, examples, rows, arrays, above)

    def _above(self, model: TracedModel, layer: Layer) -> Layer | None:
        """Return the layer that may tell facets apart, or None where nothing reads this one."""
        graph = model.graph
        if self.downstream:
            found = model.layer(self.downstream)
            if graph.node(found.name) not in graph.downstream([layer.name]):
                raise InputError(f"{found.name} does not read {layer.name}; choose a layer behind it")
            return found
        reached = graph.downstream([layer.name])
        read_outs = {directions.reading for directions in model.directions}  # they tell everything apart that a direction can
        layers = [other for other in model.layers.values() if other.name not in read_outs or other.name == layer.name]
        behind = [other for other in targets_of(layers, layer) if graph.node(other.name) in reached]
        return sensible_target(behind, layer) if behind else None

    def _unit(
        self,
        model: TracedModel,
        images: ImageSet,
        layer: Layer,
        above: Layer | None,
        below: Below,
        examples: Examples,
        row: int,
        unit: int,
        first: npt.NDArray[np.bool_],
        pulse: Callable[[], None],
    ) -> _Row:
        """Cluster the images of one unit both ways, and look above."""
        index = examples.index[row][examples.index[row] >= 0].astype(np.int64)
        place = examples.place[row][: len(index)]
        if not len(index):
            return _Row.nothing(below)
        read = [layer.name] if above is None else [layer.name, above.name]
        parts, levels, others, behind = [], [], [], []
        for start in range(0, len(index), BATCH):
            some = slice(start, start + BATCH)
            inputs = model.inputs(model.preprocess(examples.shown(images, model.preprocessing.size, index[some])))
            share, level = relevances(model, below, inputs, place[some])
            with torch.inference_mode():
                found = model.activations(inputs, read)
            parts.append(share)
            levels.append(level)
            others.append(around(layer, found[layer.name], unit, place[some]))
            if above is not None:
                behind.append(_largest(above, found[above.name]))
            pulse()
        shares, broken = finite_columns(np.concatenate(parts))
        beside, broken_beside = finite_columns(np.concatenate(others))
        names = below.features
        lost = {str(Unit(layer.name, other)) for other in np.flatnonzero(broken_beside).tolist()}
        given = (self.most, self.draws, self.seed, self.alpha, pulse)
        rival = clusters_of(beside, *given)
        if broken.all():  # a gradient through a layer with a unit of NaN is NaN everywhere
            lost.add(str(Unit(layer.name, unit)))
            facets = Clusters.unknown(len(index), len(names))
        else:
            lost |= {str(Unit(*names[feature])) for feature in np.flatnonzero(broken).tolist()}
            facets = clusters_of(shares, *given)
        told = []
        for facet in range(facets.number if facets.number > 1 and above is not None else 0):
            assert above is not None
            by, value = told_apart(np.concatenate(behind), facets.labels, facet, first[index])
            told.append((str(Unit(above.name, by)) if by >= 0 else "", value))
        return _Row(facets, rival, shares, np.concatenate(levels), below, told, lost)

    def _arrays(self, units: Sequence[int], examples: Examples, rows: Sequence[_Row]) -> Arrays:
        shape = (len(units), examples.index.shape[1])
        arrays: Arrays = {
            "unit": np.asarray(units, np.int32),
            "example_index": examples.index,
            "example_value": examples.value,
            "example_place": examples.place,
            "histogram": examples.counts,
            "histogram_edges": examples.edges,
            "agreement": np.full(len(units), np.nan, np.float32),
            "input_share": np.full((len(units), self.most, INPUTS), np.nan, np.float32),
            "input_sign": np.full((len(units), self.most, INPUTS), np.nan, np.float32),
            "told": np.full((len(units), self.most), np.nan, np.float32),
        }
        inputs = [[[""] * INPUTS for _ in range(self.most)] for _ in units]
        told_by = [[""] * self.most for _ in units]
        for name in ("", "rival_"):
            found = [row.rival if name else row.facets for row in rows]
            labels, plane = np.full(shape, -1, np.int8), np.full((*shape, 2), np.nan, np.float32)
            for place, clusters in enumerate(found):
                labels[place, : len(clusters.labels)] = clusters.labels
                plane[place, : len(clusters.plane)] = clusters.plane
            arrays |= {f"{name}facet": labels, f"{name}plane": plane}
            for what in ("score", "p", "taken", "null"):
                arrays[f"{name}{what}"] = np.array([getattr(one, what) for one in found], np.float32)
            p = np.array([one.p for one in found])
            arrays[f"{name}q"] = corrected(p).astype(np.float32)
            sure = arrays[f"{name}q"] <= self.alpha
            arrays[f"{name}number"] = np.array([one.number if is_sure else 1 for one, is_sure in zip(found, sure, strict=True)], np.int32)
            labels[~sure] = np.minimum(labels[~sure], 0)
        for place, row in enumerate(rows):
            if len(row.facets.labels):
                facet = arrays["facet"][place, : len(row.facets.labels)].astype(np.int64)
                rival = arrays["rival_facet"][place, : len(row.facets.labels)].astype(np.int64)
                arrays["agreement"][place] = adjusted_rand(facet, rival)
                for one in range(arrays["number"][place]):
                    chosen, share, sign = row.inputs(facet, one)
                    inputs[place][one][: len(chosen)] = chosen
                    arrays["input_share"][place, one, : len(share)] = share
                    arrays["input_sign"][place, one, : len(sign)] = sign
            if arrays["number"][place] > 1:
                for one, (by, value) in enumerate(row.told):
                    arrays["told"][place, one], told_by[place][one] = value, by
        return arrays | {"inputs": np.array(inputs), "told_by": np.array(told_by)}

    def _summary(
        self, layer: Layer, units: Sequence[int], examples: Examples, rows: Sequence[_Row], arrays: Arrays, above: Layer | None
    ) -> dict[str, Any]:
        tested = np.isfinite(arrays["score"])
        mixed = np.flatnonzero(tested & (arrays["number"] > 1))
        order = mixed[np.argsort(-arrays["score"][mixed], kind="stable")]
        kept = (arrays["example_index"] >= 0).sum(1)
        return {
            "layer": layer.name,
            "images": examples.seen,
            "units": len(units),
            "tested": int(tested.sum()),
            "not_finite": sorted(set[str]().union(*(row.lost for row in rows))),
            "untested": [int(unit) for unit in np.asarray(units)[~tested]],
            "polysemantic": len(mixed),
            "share": len(mixed) / int(tested.sum()) if tested.any() else None,
            "alpha": self.alpha,
            "expected_false": self.alpha * len(mixed),
            "rival_polysemantic": int((tested & (arrays["rival_number"] > 1)).sum()),
            "median_agreement": float(np.median(arrays["agreement"][mixed])) if len(mixed) else None,
            "smallest_score": smallest(arrays["score"], arrays["q"], self.alpha),
            "examples": int(np.median(kept[tested])) if tested.any() else 0,
            "sources": sorted({source.name for row in rows for source in row.below.sources}),
            "downstream": above.name if above is not None else None,
            "told": float(np.nanmedian(arrays["told"][mixed])) if np.isfinite(arrays["told"][mixed]).any() else None,
            "ranking": [
                {
                    "unit": str(Unit(layer.name, int(arrays["unit"][row]))),
                    "score": float(arrays["score"][row]),
                    "q": float(arrays["q"][row]),
                    "facets": np.bincount(arrays["facet"][row][arrays["facet"][row] >= 0]).tolist(),
                    "inputs": [[name for name in facet[:3] if name] for facet in arrays["inputs"][row][: arrays["number"][row]].tolist()],
                    "told": [None if math.isnan(value) else float(value) for value in arrays["told"][row][: arrays["number"][row]]],
                }
                for row in order.tolist()
            ],
        }

    @classmethod
    def draw(cls, result: Result) -> dict[str, Figure]:
        """Draw the scores of the layer, and the relevances of its first units."""
        return {"scores": figures.scores(result), "facets": figures.facets(result)}


class _Row:
    """What was found of one unit."""

    def __init__(
        self,
        facets: Clusters,
        rival: Clusters,
        shares: npt.NDArray[np.float64],
        levels: npt.NDArray[np.float64],
        below: Below,
        told: Sequence[tuple[str, float]],
        lost: Set[str] = frozenset(),
    ) -> None:
        self.facets, self.rival, self.shares, self.levels = facets, rival, shares, levels
        self.below, self.told, self.lost = below, told, lost

    @classmethod
    def nothing(cls, below: Below) -> _Row:
        """A unit that responds to nothing."""
        nothing = Clusters.unknown(0, 0)
        none = np.zeros((0, len(below.features)))
        return cls(nothing, nothing, none, none, below, ())

    def inputs(
        self, labels: npt.NDArray[np.int64], facet: int
    ) -> tuple[list[str], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Name the units below that a facet is built from more than the others, their part of its relevance, and their sign."""
        size = np.abs(self.shares).sum(1, keepdims=True)
        parts = np.divide(self.shares, size, out=np.zeros_like(self.shares), where=size > 0)
        inside = parts[labels == facet].mean(0)
        outside = parts[labels != facet].mean(0) if (labels != facet).any() else np.zeros_like(inside)
        order = np.argsort(-(inside - outside), kind="stable")[:INPUTS]
        order = order[(inside - outside)[order] > 0]
        names = self.below.features
        sign = np.where(self.levels[labels == facet].mean(0) < 0, -1.0, 1.0)
        return [str(Unit(*names[place])) for place in order.tolist()], inside[order], sign[order]


def _largest(layer: Layer, activation: Tensor) -> npt.NDArray[np.float64]:
    arranged = layer.arrange(activation)
    found: npt.NDArray[np.float64] = arranged.reshape(*arranged.shape[:2], -1).amax(2).double().cpu().numpy()
    return found


def corrected(p: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return Benjamini and Hochberg's q of each p, NaN where there is none."""
    q = np.full(len(p), np.nan)
    there = np.flatnonzero(np.isfinite(p))
    order = there[np.argsort(p[there], kind="stable")]
    raised = p[order] * len(order) / np.arange(1, len(order) + 1)
    q[order] = np.minimum.accumulate(raised[::-1])[::-1].clip(max=1)
    return q


def smallest(score: npt.NDArray[np.floating], q: npt.NDArray[np.floating], alpha: float) -> float | None:
    """Return the smallest score at which a unit would have been called polysemantic."""
    from scipy.special import ndtri

    tested = int(np.isfinite(score).sum())
    if not tested:
        return None
    called = int((q <= alpha).sum())
    return float(-ndtri(alpha * min(called + 1, tested) / tested))
