"""How much of a network's task its circuits explain: everything outside them is ablated at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor

from workbench.analyses.analysis import Analysis, Result, register
from workbench.bootstrap import first_half, ratio_of_means
from workbench.circuit import units_of
from workbench.figure_colours import ACCENT, INK, LIGHT
from workbench.finite import plain
from workbench.input_error import InputError
from workbench.models.layer import Layer
from workbench.models.mean_activations import mean_activations
from workbench.task import Task
from workbench.task_metric import TaskMetric, described, kept

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from workbench.images.image_set import Batch, ImageSet
    from workbench.models.traced_model import TracedModel

HALVES, ORDER, RANDOM, BOOTSTRAP = range(4)
"""What random numbers are drawn for, each from a stream of its own."""
NAMED = 50
"""Units of a layer named in the summary."""
EXAMPLES = 256
"""Rows of a batch; those of the network as it is, of the circuit and of nothing always stand in one."""

Mask = npt.NDArray[np.bool_]
Masks = list[Mask]
"""For each layer, which of its units are kept."""


@register
class ExplainedFraction(Analysis):
    """Keep the circuits, ablate everything outside them in all their layers at once, and say how much of the task is left.

    What is kept is named (``circuit``, units by their addresses) or chosen: in each of ``layers`` the `number` units with most evidence on
    one half of the images. Evidence is the *attribution*, the first-order estimate of what the loss gains without the unit (|sum over
    places of gradient x (activation - mean)|, mean over images), or the *deviation* of the activation. Units outside become their mean over
    that half, or what they are on another image. A layer of ``layers`` in which nothing is kept is ablated as a whole.

    The explained fraction is (loss with nothing kept - loss with the circuit) / (loss with nothing kept - clean loss) on the other half of
    the images, a ratio of means: 1 with everything kept and 0 with nothing, exactly. Its null are random sets of as many units in each
    layer, the circuit's own among those they are drawn from: their largest and median, the per cent that explain less (``percentile``), and
    p = (1 + sets that explain at least as much) / (1 + sets). ``above_best`` is by how much the circuit explains more than the best of
    them. The loss is the first of `workbench.task_metric` that fits. Intervals are of 95 %, by bootstrap over concepts.

    Arrays:

    ``kept/L``
        bool ``unit``: what is kept of the layer at place L of the summary's ``layers``.
    ``evidence/L``
        float64 ``unit``, where units were chosen by evidence.
    ``image``
        int64 ``i``: images scored, by index in the set.
    ``loss_clean`` ``loss_circuit`` ``loss_nothing``
        float64 ``i``.
    ``null_explained`` ``null_loss`` ``null_right``
        float64 ``draw``: of each random set the fraction explained, its mean loss, and the part of images that are right.
    """

    title: ClassVar[str] = "Explained fraction"
    version: ClassVar[int] = 2
    needs_images: ClassVar[bool] = True

    circuit: tuple[str, ...] = Field(default=(), description="Units kept, such as layer:12; a number alone is of the layer before it.")
    layers: tuple[str, ...] = Field(default=(), description="Layers ablated outside the circuit; none: the circuit's own.")
    number: int = Field(default=0, ge=0, description="Units kept in each layer, those with most evidence; where no circuit is named.")
    ranking: Literal["attribution", "deviation"] = Field(
        default="attribution", description="Evidence: what the loss gains without the unit (estimated), or the activation's deviation."
    )
    method: Literal["mean", "resample"] = Field(
        default="mean", description="What units outside become: their mean, or what they are on another image."
    )
    draws: int = Field(default=20, ge=20, le=1000, description="Random sets of as many units.")
    images: int = Field(default=256, ge=8, description="Images, both halves together.")
    batch: int = Field(default=32, ge=2, le=1024, description="Images computed at once.")
    seed: int = Field(default=0, ge=0, lt=2**31, description="Of images, halves, random sets and bootstrap.")

    def compute(
        self, model: TracedModel, images: ImageSet | None, task: Task
    ) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Take means and evidence on one half, ablate on the other."""
        assert images is not None
        layers, named = self._asked(model)
        metric = TaskMetric.of(model, images)
        order = metric.usable(np.random.default_rng([self.seed, ORDER]).permutation(len(images)))[: self.images]
        concept = images.concepts
        first = first_half([concept[index] for index in order.tolist()], [self.seed, HALVES])
        halves = [self._batches(model, images, order[of]) for of in (first, ~first)]
        if any(sum(len(part.indices) for part in half) < 4 for half in halves):
            raise InputError(f"at least 8 images of {images.name} that the task can be measured on are needed, of two concepts and more")
        total = 2 * len(halves[0]) + len(halves[1])
        read = (model.preprocess(part.images) for part in halves[0])
        found_means = mean_activations(model, layers, read, lambda done: task.step(done, total, note="averaging the activations"))
        means = [mean.float() for mean in found_means]
        evidence: list[npt.NDArray[np.float64]] = []
        circuit = named
        if not self.circuit:
            evidence = self._evidence(model, layers, means, metric, halves[0], lambda done: task.step(len(halves[0]) + done, total))
            circuit = [_most(values, self.number) for values in evidence]
        sets = self._random(circuit)
        rows = [circuit, [np.zeros_like(mask) for mask in circuit], *sets]
        found: list[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]] = []
        for done, part in enumerate(halves[1]):
            found.append(metric(part.indices, self._run(model, layers, means, model.preprocess(part.images), rows)))
            task.step(2 * len(halves[0]) + done + 1, total, note="ablating")
        loss, right = (np.concatenate([one[which] for one in found], 1) for which in (0, 1))
        scored = np.concatenate([part.indices for part in halves[1]])
        groups = np.unique([concept[index] for index in scored.tolist()], return_inverse=True)[1]
        arrays, summary = self._compared(loss, right, groups)
        arrays |= {f"kept/{place}": mask for place, mask in enumerate(circuit)}
        arrays |= {f"evidence/{place}": values for place, values in enumerate(evidence)} | {"image": scored}
        return arrays, {
            "layers": [
                {"layer": layer.name, "units": layer.units, "kept": int(mask.sum()), "first": np.flatnonzero(mask)[:NAMED].tolist()}
                for layer, mask in zip(layers, circuit, strict=True)
            ],
            "chosen_by": "name" if self.circuit else self.ranking,
            "method": self.method,
            "task": metric.says(),
            "chance": metric.chance(scored),
            "images": len(scored),
            "chosen_on": sum(len(part.indices) for part in halves[0]),
            "groups": "concept" if "concept" in images.columns else "image",
            "network": model.name,
        } | summary

    # --- what is kept ----------------------------------------------------------------------------------------------------------

    def _asked(self, model: TracedModel) -> tuple[list[Layer], Masks]:
        """Return the layers, as they are computed, and what the circuit keeps of each."""
        units: dict[str, list[int]] = {model.layer(name).name: [] for name in self.layers}
        last = ""
        for entry in self.circuit:
            if entry.isdigit() and not last:
                raise InputError(f"{entry} names no layer; write the address of a unit, such as mixed3b:12")
            for unit in units_of(f"{last}:{entry}" if entry.isdigit() else entry):
                last = unit.layer
                layer = model.layer(last)
                layer.check((unit.index,))
                units.setdefault(layer.name, []).append(unit.index)
        if not units:
            raise InputError("name the circuit's units, or layers and a number of units to keep in each")
        if self.circuit and self.number:
            raise InputError("a circuit and a number of units to choose were given; give one of them")
        layers = [model.layer(name) for name in model.graph.sort(units)]
        return layers, [np.isin(np.arange(layer.units), units[layer.name]) for layer in layers]

    def _evidence(
        self,
        model: TracedModel,
        layers: Sequence[Layer],
        means: Sequence[Tensor],
        metric: TaskMetric,
        parts: Sequence[Batch],
        tell: Callable[[int], None],
    ) -> list[npt.NDArray[np.float64]]:
        """Weigh every unit of every layer on the first half of the images."""
        total = [np.zeros(layer.units) for layer in layers]
        names = [layer.name for layer in layers]
        for done, part in enumerate(parts):
            x = model.preprocess(part.images)
            with torch.set_grad_enabled(self.ranking == "attribution"):
                *values, output = model.forward_to([*names, model.graph.output])(x.requires_grad_(self.ranking == "attribution"))
                grads = torch.autograd.grad(_gain(metric, output, part), values) if self.ranking == "attribution" else values
            for place, (layer, value, grad, mean) in enumerate(zip(layers, values, grads, means, strict=True)):
                arranged = layer.arrange(value.detach())
                away = (arranged - layer.at_places(mean)).reshape(*arranged.shape[:2], -1).double()
                slope = layer.arrange(grad).reshape(away.shape).double()
                each = (slope * away).sum(2).abs() if self.ranking == "attribution" else away.square().mean(2)
                total[place] += each.sum(0).cpu().numpy()
            tell(done)
        number = sum(len(part.indices) for part in parts)
        return [values / number if self.ranking == "attribution" else np.sqrt(values / number) for values in total]

    def _random(self, circuit: Masks) -> list[Masks]:
        """Draw sets of as many units in each layer; none where there is no other such set."""
        if all(mask.all() or not mask.any() for mask in circuit):
            return []
        random = np.random.default_rng([self.seed, RANDOM])
        return [[random.permuted(mask) for mask in circuit] for _ in range(self.draws)]

    # --- what is left ----------------------------------------------------------------------------------------------------------

    def _run(self, model: TracedModel, layers: Sequence[Layer], means: Sequence[Tensor], x: Tensor, rows: Sequence[Masks]) -> Tensor:
        """Return the outputs, ``row image …``: of the clean network, then with what each row keeps."""
        with torch.no_grad():
            clean = model.activations(x, [layer.name for layer in layers]) if self.method == "resample" else {}

            def others(layer: Layer, mean: Tensor) -> Tensor:
                if self.method == "resample":
                    return layer.arrange(clean[layer.name]).roll(1, 0)
                return layer.at_places(mean)[None]

            edits: list[Mapping[str, Callable[[Tensor], Tensor]]] = [{}]
            for masks in rows:
                edits.append(
                    {
                        layer.name: _ablate(layer, mask, others(layer, mean))
                        for layer, mask, mean in zip(layers, masks, means, strict=True)
                    }
                )
            result: Tensor = model.edited(x, edits, max_examples=max(EXAMPLES, 3 * len(x)))
            return result

    def _compared(
        self, loss: npt.NDArray[np.float64], right: npt.NDArray[np.float64], groups: npt.NDArray[np.integer]
    ) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Say what is explained; rows are the clean network, the circuit, nothing, and random sets."""
        stream = (self.seed, BOOTSTRAP)
        clean, circuit, nothing = loss[:3]
        for name, values in (("only the circuit", circuit), ("nothing kept", nothing)):
            if broken := int((~np.isfinite(values)).sum()):
                raise InputError(f"with {name} the network says nothing finite on {broken} of {len(values)} images; choose another method")
        own = kept(circuit, nothing, clean, groups, stream)
        null = np.array([kept(one, nothing, clean, groups, stream).fraction.value for one in loss[3:]])
        names = ("clean", "circuit", "nothing")
        arrays = {f"loss_{name}": values for name, values in zip(names, loss, strict=False)}
        arrays |= {"null_explained": null, "null_loss": loss[3:].mean(1), "null_right": right[3:].mean(1)}
        summary = {name.replace("kept", "explained"): value for name, value in described(own).items()}
        summary |= {f"loss_{name}": float(values.mean()) for name, values in zip(names, loss, strict=False)}
        if np.isfinite(right).all():
            summary |= {f"accuracy_{name}": float(values.mean()) for name, values in zip(names, right, strict=False)}
        summary |= {"whole": plain(own.whole.value), "within_noise": own.within_noise, "null_draws": len(null)}
        if not len(null):
            return arrays, summary | {"null_missing": "all units are kept, or none: there is no other such set"}
        if own.known:
            best = int(null.argmax())
            beyond = ratio_of_means(loss[3 + best] - circuit, groups, list(stream), nothing - clean)
            summary |= {
                "null_max": float(null.max()),
                "null_median": float(np.median(null)),
                "null_min": float(null.min()),
                "percentile": float(100 * ((null < own.fraction.value).mean() + (null == own.fraction.value).mean() / 2)),
                "p": float((1 + (null >= own.fraction.value).sum()) / (1 + len(null))),
                "above_best": plain(beyond.value),
                "above_best_low": plain(beyond.low),
                "above_best_high": plain(beyond.high),
            }
        return arrays, summary

    def _batches(self, model: TracedModel, images: ImageSet, indices: npt.NDArray[np.int64]) -> list[Batch]:
        """Read some images in batches of nearly the same size: one image alone could not be resampled."""
        size = -(-len(indices) // max(1, -(-len(indices) // self.batch)))
        return list(images.batches(model.preprocessing.size, max(2, size), indices))

    @classmethod
    def draw(cls, result: Result) -> dict[str, Figure]:
        """Draw what the circuit explains over the histogram of random sets."""
        return {"explained": _figure(result)}


def _gain(metric: TaskMetric, output: Tensor, part: Batch) -> Tensor:
    """Return what the gradient is taken of: the loss, or where that is flat at the clean run what the network says most of."""
    if metric.measure == "output":
        return (output - output.detach().mean(0)).square().sum() / 2
    said = output.log_softmax(-1)
    wanted = torch.as_tensor(metric.classes[part.indices], device=said.device) if metric.measure == "classes" else said.argmax(-1)
    return -said.gather(1, wanted[:, None]).sum()


def _most(evidence: npt.NDArray[np.float64], number: int) -> Mask:
    """Tell which units have most evidence."""
    mask = np.zeros(len(evidence), bool)
    mask[np.argsort(-np.nan_to_num(evidence, nan=-1.0), kind="stable")[:number]] = True
    return mask


def _ablate(layer: Layer, mask: Mask, others: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the edit that leaves what is kept and puts `others` in the place of all else."""
    gone = torch.from_numpy(np.flatnonzero(~mask))

    def edit(activation: Tensor) -> Tensor:
        changed = activation.clone()
        arranged = layer.arrange(changed)
        where = gone.to(arranged.device)
        arranged[:, where] = others[:, where].to(arranged.dtype).expand_as(arranged[:, where])
        return changed

    return edit


def _figure(result: Result) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    summary, null = result.summary, result.arrays["null_explained"]
    figure = Figure(figsize=(7, 3.9), layout="constrained")
    axis = figure.subplots()
    known = not summary["within_noise"]
    if len(null) and known:
        axis.hist(null, bins=min(8, len(null)), color=LIGHT, label=f"{len(null)} random sets of as many units, at best {null.max():.3g}")
        axis.axvline(null.max(), color=LIGHT, linewidth=0.8)
    for level, name in ((0.0, "nothing kept"), (1.0, "everything kept")):
        accuracy = summary.get("accuracy_nothing" if level == 0 else "accuracy_clean")
        says = "" if accuracy is None else f", accuracy {100 * accuracy:.0f} %"
        axis.axvline(level, color=INK, linewidth=0.8, linestyle=":" if level == 0 else "--", label=f"{name}{says}")
    if known and summary["explained"] is not None:
        accuracy = summary.get("accuracy_circuit")
        says = "" if accuracy is None else f", accuracy {100 * accuracy:.0f} %"
        low, high = (summary["explained"] if summary[end] is None else summary[end] for end in ("explained_low", "explained_high"))
        axis.axvspan(low, high, color=ACCENT, alpha=0.2, linewidth=0)
        axis.axvline(summary["explained"], color=ACCENT, label=f"the circuit: {summary['explained']:.3g}{says}")
    detectable = summary["detectable"]
    least = "" if detectable is None else f"\nsmallest difference it would find: {detectable:.2g}"
    axis.set_xlabel(f"explained fraction of the task: {summary['task']}{least}", fontsize=8)
    axis.set_ylabel("random sets", fontsize=8)
    axis.yaxis.set_major_locator(MaxNLocator(integer=True))
    axis.tick_params(labelsize=7)
    kept_units = sum(layer["kept"] for layer in summary["layers"])
    units = sum(layer["units"] for layer in summary["layers"])
    of = f"{kept_units:,} of {units:,} units of {len(summary['layers'])} layers kept"
    title = f"{summary['network']}: {of}, n = {summary['images']} images"
    axis.set_title(title if known else f"{title}\nablating everything costs no more than noise", fontsize=9, parse_math=False)
    figure.legend(loc="outside lower center", fontsize=7, frameon=False, ncols=2)
    return figure
