"""Which few earlier units a unit is rebuilt from, which few those are rebuilt from, and so on down: a tree, checked by keeping only it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor

from workbench.analyses.analysis import Analysis, Result, register
from workbench.bootstrap import first_half, ratio_of_means
from workbench.circuit import CHOSEN_ON, Circuit, Edge, units_of
from workbench.figure_colours import ACCENT, INK, LIGHT
from workbench.finite import plain
from workbench.input_error import InputError
from workbench.models.affine import before_activation, layer_of
from workbench.models.centre_values import values_at_centre
from workbench.models.expanded import Part, centre, pieces_of, read_inputs, windows_of
from workbench.models.layer import Unit
from workbench.models.mean_activations import mean_activations
from workbench.models.nearest_source import nearest_source
from workbench.pursuit import keep_best, r2
from workbench.task import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from workbench.images.image_set import ImageSet
    from workbench.models.layer import Layer
    from workbench.models.traced_model import TracedModel

HALVES, NULL, BOOTSTRAP = range(3)
"""What random numbers are drawn for, each from a stream of its own."""
LINEAR = 0.5
"""Least R2 of all sources together at which a unit's parts are named: below, the linear account is not of this unit."""
Inputs = Sequence[tuple[Tensor, ...]]


@dataclass
class Node:
    """A unit of the tree.

    Attributes
    ----------
    unit, before
        As it is called, and its pre-activation.
    level
        Steps from the root.
    source
        Layer it is rebuilt from; empty for a leaf, and `why` says why it is one.
    parts
        Units of that layer, the one that explains most first.
    shares
        What the sum of the first so many keeps of the pre-activation's variance on the other images.
    whole
        What the sum of all units of the layer keeps: how far the linear account goes.
    """

    unit: Unit
    before: Unit
    level: int
    source: str = ""
    parts: list[int] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    whole: float = float("nan")
    why: str = ""

    @property
    def address(self) -> str:
        """Address of the unit."""
        return f"{self.unit.layer}:{self.unit.index}"


@register
class ReconstructionTree(Analysis):
    """Rebuild a unit from few units of the layer before it, those from few of the layer before theirs, and keep only this tree.

    At every step a unit's pre-activation at the centre is rebuilt from the contributions (expanded weight times activation) of single units
    of the nearest layer that all its ways pass through: one is added at a time, the one that takes away most of what is left, with the
    network's own weights as coefficients, until `enough` of what all of them explain is reached. Parts are chosen on one half of the images
    (concepts) and measured on the other. A unit whose linear account keeps less than half of its variance is a leaf.

    The tree is then tried as a whole, without any linearisation: in every layer it uses, each unit outside it is held at its mean, and
    ``kept`` is the part of the root's variance that is left: 1 - mean (x - x_tree)^2 / mean (x - x_nothing)^2 on the other half, where
    x_nothing has every unit of these layers at its mean. Its null are trees of random units, as many in each layer. Intervals are of 95 %,
    by bootstrap over concepts.

    Arrays; i is an image scored, d a random draw:

    ``image``
        int64 ``i``: index in the set.
    ``clean`` ``tree`` ``nothing``
        float32 ``i``: pre-activation of the root at the centre.
    ``null_kept``
        float32 ``d``.
    """

    title: ClassVar[str] = "Reconstruction tree"
    version: ClassVar[int] = 2
    needs_images: ClassVar[bool] = True

    unit: str = Field(description="The unit at the root, such as mixed3b:12.")
    depth: int = Field(default=2, ge=1, le=16, description="Layers the tree goes back.")
    keep: int = Field(default=6, ge=1, le=256, description="Parts of a unit, at most.")
    enough: float = Field(default=0.8, gt=0, le=1, description="Part of what all sources explain at which no more are added.")
    draws: int = Field(default=20, ge=20, le=1000, description="Random trees.")
    images: int = Field(default=256, ge=16, description="Images, both halves together.")
    batch: int = Field(default=16, ge=1, le=1024, description="Images computed at once.")
    seed: int = Field(default=0, ge=0, lt=2**31, description="Of images, halves, random trees and bootstrap.")

    def compute(
        self, model: TracedModel, images: ImageSet | None, task: Task
    ) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Grow the tree level by level, then keep only it."""
        assert images is not None
        root = self._root(model)
        inputs, seen = read_inputs(model, images, self.images, self.batch, self.seed)
        concept = images.concepts
        groups = np.unique([concept[index] for index in seen.tolist()], return_inverse=True)[1]
        if len(seen) < 16 or len(np.unique(groups)) < 2:
            raise InputError(f"at least 16 images of {images.name} of two concepts and more are needed; {len(seen)} could be read")
        chosen = first_half(groups, [self.seed, HALVES])
        nodes = {root.address: root}
        waiting = [root]
        for level in range(self.depth):
            task.step(level, self.depth + 1, note=f"level {level + 1}: rebuilding {len(waiting)} units")
            waiting = self._grow(model, waiting, nodes, inputs, chosen, lambda at=level: task.step(at, self.depth + 1))  # type: ignore[misc]
        for node in waiting:
            node.why = "the tree ends here"
        uses: dict[str, set[int]] = {}
        for node in nodes.values():
            if node.source:
                uses.setdefault(node.source, set()).update(node.parts)
        task.step(self.depth, self.depth + 1, note="keeping only the tree")
        arrays, summary = self._keep(model, root, uses, inputs, chosen, task)
        scored = groups[~chosen]
        if len(arrays["tree"]):
            lost = ratio_of_means(
                np.square(arrays["clean"] - arrays["tree"]).astype(np.float64),
                scored,
                [self.seed, BOOTSTRAP],
                np.square(arrays["clean"] - arrays["nothing"]).astype(np.float64),
            )
            null = arrays["null_kept"]
            summary |= {
                "kept": plain(1 - lost.value),
                "kept_low": plain(1 - lost.high),
                "kept_high": plain(1 - lost.low),
                "detectable": plain(lost.detectable),
                "null_highest": plain(float(null.max())) if len(null) else None,
                "null_median": plain(float(np.median(null))) if len(null) else None,
                "p": float((1 + (null >= 1 - lost.value).sum()) / (1 + len(null))) if len(null) else None,
            }
        edges = tuple(
            Edge(f"{node.source}:{part}", node.address) for node in nodes.values() for part in node.parts if node.source
        )
        circuit = Circuit(f"{root.address}, rebuilt", model.ref, images.ref, (root.address,)).with_edges(edges)
        figures = {CHOSEN_ON: seen[chosen].tolist()} | {name: summary[name] for name in ("kept", "null_highest") if name in summary}
        arrays |= {"image": seen[~chosen]}
        task.step(self.depth + 1, self.depth + 1)
        return arrays, summary | {
            "unit": root.address,
            "depth": self.depth,
            "images": len(scored),
            "chosen_on": int(chosen.sum()),
            "groups": "concept" if "concept" in images.columns else "image",
            "layers": [{"layer": layer, "units": model.layer(layer).units, "kept": len(units)} for layer, units in uses.items()],
            "tree": [_said(node) for node in nodes.values()],
            "circuit": replace(circuit, figures=figures).pinned(images.ref, images.content_hash).document(),
        }

    def _root(self, model: TracedModel) -> Node:
        asked = units_of(self.unit)
        if len(asked) != 1:
            raise InputError(f"a tree has one unit at its root, not {self.unit}")
        layer = model.layer(asked[0].layer)
        layer.check((asked[0].index,))
        unit = Unit(layer.name, asked[0].index)
        root = Node(unit, before_activation(model.graph, unit), 0)
        if nearest_source(model.graph, root.before.layer) is None:
            raise InputError(f"{self.unit} reads the image itself; choose a unit of a later layer")
        return root

    def _grow(
        self,
        model: TracedModel,
        waiting: Sequence[Node],
        nodes: dict[str, Node],
        inputs: Inputs,
        chosen: npt.NDArray[np.bool_],
        pulse: Callable[[], None],
    ) -> list[Node]:
        """Find the parts of each node, and return those that are new in the tree."""
        by_layer: dict[str, list[Node]] = {}
        for node in waiting:
            by_layer.setdefault(node.before.layer, []).append(node)
        new: list[Node] = []
        for name, members in by_layer.items():
            source_name = nearest_source(model.graph, name)
            if source_name is None:
                for node in members:
                    node.why = "it reads the image"
                continue
            source, layer = model.layer(source_name), layer_of(model.graph, model.graph.node(name))
            units = [node.before.index for node in members]
            whole, _ = pieces_of(model, source, layer, inputs, "all", "derivative", pulse)
            assert whole is not None, "what dominates a layer feeds it"
            window = windows_of(whole, None, units, lambda _done: pulse())
            part = Part(layer, units, list(range(len(units))))
            values, actual = values_at_centre(model, source, part, inputs, window, pulse)
            for place, node in enumerate(members):
                kernel = window.kernels[place].reshape(source.units, -1).double().numpy()
                self._pursue(node, np.einsum("nsp,sp->ns", values, kernel), actual[:, place], chosen)
                if not node.parts:
                    continue
                node.source = source.name
                for index in node.parts:
                    unit = Unit(source.name, index)
                    child = Node(unit, before_activation(model.graph, unit), node.level + 1)
                    if child.address not in nodes:
                        nodes[child.address] = child
                        new.append(child)
                pulse()
        return new

    def _pursue(
        self,
        node: Node,
        contributions: npt.NDArray[np.float64],
        actual: npt.NDArray[np.float64],
        chosen: npt.NDArray[np.bool_],
    ) -> None:
        means, middle = contributions[chosen].mean(0), actual[chosen].mean()
        fit, held = contributions[chosen] - means, contributions[~chosen] - means
        wanted, truth = actual[chosen] - middle, actual[~chosen] - middle
        on_fit = r2(wanted, fit.sum(1))
        node.whole = r2(truth, held.sum(1))
        if not on_fit >= LINEAR:
            node.why = "it never varies" if not wanted.any() else f"its linear account keeps {max(0.0, on_fit):.0%} of it only"
            return
        order = keep_best(fit, wanted, self.keep)
        reached = [r2(wanted, fit[:, order[:k]].sum(1)) >= self.enough * on_fit for k in range(1, len(order) + 1)]
        node.parts = order[: reached.index(True) + 1] if any(reached) else order
        node.shares = [r2(truth, held[:, node.parts[:k]].sum(1)) for k in range(1, len(node.parts) + 1)]

    def _keep(
        self,
        model: TracedModel,
        root: Node,
        uses: Mapping[str, set[int]],
        inputs: Inputs,
        chosen: npt.NDArray[np.bool_],
        task: Task,
    ) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Return the root with only the tree, with nothing, and with random trees."""
        layers = [model.layer(name) for name in model.graph.sort(uses)]
        masks = [np.isin(np.arange(layer.units), sorted(uses[layer.name])) for layer in layers]
        random = np.random.default_rng([self.seed, NULL])
        rows = [masks, [np.zeros_like(mask) for mask in masks]]
        if any(not mask.all() for mask in masks):
            rows += [[random.permuted(mask) for mask in masks] for _ in range(self.draws)]
        if not layers:
            empty = np.zeros(0, np.float32)
            return {"clean": empty, "tree": empty, "nothing": empty, "null_kept": empty}, {"null_draws": 0}
        means = [self._means(model, layer, inputs, chosen) for layer in layers]
        target = layer_of(model.graph, model.graph.node(root.before.layer))
        position = centre(target)
        found, start = [], 0
        for done, one in enumerate(inputs):
            wanted = ~chosen[start : start + len(one[0])]
            start += len(one[0])
            task.step(self.depth + done / len(inputs), self.depth + 1)
            if not wanted.any():
                continue
            x = tuple(value[torch.from_numpy(wanted)] for value in one)
            edits: list[Mapping[str, Callable[[Tensor], Tensor]]] = [{}]
            edits += [
                {layer.name: _hold(layer, mask, mean) for layer, mask, mean in zip(layers, row, means, strict=True)} for row in rows
            ]
            with torch.no_grad():
                value = model.edited(x, edits, target=target.name, max_examples=max(256, 3 * len(x[0])))
            arranged = torch.stack([target.arrange(each)[:, root.before.index] for each in value])
            for place in position:
                arranged = arranged.select(2, place)
            found.append(arranged.float().cpu().numpy())
        clean, tree, nothing, *null = np.concatenate(found, 1)
        spread = float(np.square(clean - nothing).mean())
        kept = [1 - float(np.square(clean - each).mean()) / spread if spread > 0 else float("nan") for each in null]
        return {
            "clean": clean,
            "tree": tree,
            "nothing": nothing,
            "null_kept": np.array(kept, np.float32),
        }, {"null_draws": len(null)}

    def _means(self, model: TracedModel, layer: Layer, inputs: Inputs, chosen: npt.NDArray[np.bool_]) -> Tensor:
        starts = np.cumsum([0, *(len(one[0]) for one in inputs)])
        rows = [torch.from_numpy(chosen[at : at + len(one[0])]) for at, one in zip(starts, inputs, strict=False)]
        used = [tuple(value[row] for value in one) for one, row in zip(inputs, rows, strict=True) if row.any()]
        return mean_activations(model, [layer], used)[0].float()

    @classmethod
    def draw(cls, result: Result) -> dict[str, Figure]:
        """Draw the tree."""
        return {"tree": _figure(result)}


def _hold(layer: Layer, mask: npt.NDArray[np.bool_], mean: Tensor) -> Callable[[Tensor], Tensor]:
    """Return an edit that leaves the units of a mask and holds all others at their mean."""
    out = torch.from_numpy(np.flatnonzero(~mask)).to(mean.device)

    def edit(activation: Tensor) -> Tensor:
        edited = activation.clone()
        view = layer.arrange(edited)
        view[:, out] = layer.at_places(mean[out].to(view.dtype))
        return edited

    return edit


def _said(node: Node) -> dict[str, Any]:
    return {
        "unit": node.address,
        "level": node.level,
        "from": node.source,
        "parts": list(node.parts),
        "kept": [plain(share) for share in node.shares],
        "whole": plain(node.whole),
        "leaf": node.why,
    }


def _figure(result: Result) -> Figure:
    from matplotlib.figure import Figure

    summary = result.summary
    nodes: list[dict[str, Any]] = summary["tree"]
    levels: dict[int, list[dict[str, Any]]] = {}
    for node in nodes:
        levels.setdefault(node["level"], []).append(node)
    widest = max(len(each) for each in levels.values())
    figure = Figure(figsize=(max(6.0, min(16.0, 0.62 * widest + 2)), 1.1 * len(levels) + 0.9), layout="constrained")
    axis = figure.subplots()
    places = {
        node["unit"]: ((at + 0.5) / len(members), -level) for level, members in levels.items() for at, node in enumerate(members)
    }
    for node in nodes:
        x, y = places[node["unit"]]
        before = 0.0
        for part, share in zip(node["parts"], node["kept"], strict=True):
            gain = max(0.0, (share or 0.0) - before)
            before = max(before, share or 0.0)
            below = places[f"{node['from']}:{part}"]
            axis.plot([x, below[0]], [y, below[1]], color=LIGHT if gain < 0.1 else INK, linewidth=0.5 + 4 * gain, zorder=1)
    small = 7 if widest <= 16 else 5.5
    for node in nodes:
        x, y = places[node["unit"]]
        layer, _, index = node["unit"].rpartition(":")
        text = f"{layer}:{index}" if not node["level"] else index
        text += f"\n{node['kept'][-1]:.2f}" if node["kept"] and node["kept"][-1] is not None else ""
        axis.text(
            x, y, text, ha="center", va="center", fontsize=small + (1 if not node["level"] else 0), parse_math=False,
            bbox={"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": ACCENT if node["kept"] else LIGHT}, zorder=2,
        )
    for level, members in levels.items():
        named = sorted({node["unit"].rpartition(":")[0] for node in members})
        axis.text(-0.01, -level, "\n".join(named), ha="right", va="center", fontsize=7, color=INK, parse_math=False)
    said = "" if summary.get("kept") is None else f"; the tree alone keeps {summary['kept']:.2f}"
    if summary.get("kept_low") is not None:
        said += f" [{summary['kept_low']:.2f}, {summary['kept_high']:.2f}]"
    if summary.get("null_highest") is not None:
        said += f", the best of {summary['null_draws']} random trees {summary['null_highest']:.2f}"
    axis.set_title(
        f"{summary['unit']} rebuilt from few{said}; n = {summary['images']} images\n"
        "under a unit: R2 of its pre-activation with these parts alone, on other images than they were chosen on",
        fontsize=8, parse_math=False,
    )
    axis.set_xlim(-0.02, 1.02)
    axis.set_ylim(-max(levels) - 0.35, 0.35)
    axis.axis("off")
    return figure
