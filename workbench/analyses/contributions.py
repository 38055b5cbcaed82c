"""What a unit's pre-activation at one position of one image is the sum of: the upstream units, each with its share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor

from workbench.analyses.analysis import Analysis, Result, register
from workbench.figure_colours import ACCENT, INK, LIGHT
from workbench.input_error import InputError
from workbench.models.affine import affine_sources, before_activation, is_affine, is_real, layer_of, varying
from workbench.models.expanded import centre
from workbench.models.layer import Layer, Unit
from workbench.models.nodes import is_tensor
from workbench.task import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from workbench.images.image_set import ImageSet
    from workbench.models.graph import ModelGraph
    from workbench.models.traced_model import TracedModel

NAMED = 10
"""Rows named in the summary."""
DRAWN = 20
"""Rows drawn as bars."""
TOGETHER = -1
"""Unit of a row that is a whole layer."""


@register
class Contributions(Analysis):
    """Write the pre-activation of a unit, at one position of one image, as a sum over the units it is built from.

    The unit may be named before or after its non-linearity, or in a concatenation: what is written as a sum is what the non-linearity
    reads. The *sources* are the layers this is an affine function of (`workbench.models.affine`), through convolutions, BatchNorm,
    residual sums, concatenations, averages and linear layers; a max-pooling is a source. Then the shares of all units and the bias make
    up the pre-activation, but for rounding. The bias is what is left when all sources are 0: biases and BatchNorm's shifts on the way.

    From sources farther away every gate in between stands where it stands on this image (`workbench.models.linearise`), and a unit's share
    is gradient * activation. What these held gates leave unexplained is the *remainder*. With the gate ``ratio`` it is rounding; with
    ``derivative`` a share also tells what a small change of the source would do, and the remainder is what is not proportional to it.
    Where the layers named are not all that the unit is built from, each of the others has one row, for all its units together.

    Arrays, one row a unit (or other layer), sorted by the size of the contribution, the largest first:

    ``contribution``
        float32 ``row``: share of the pre-activation, summed over the source's positions.
    ``source`` ``unit``
        int32 ``row``: place of the row's layer in the summary's ``sources``, and the unit; -1 for all units of a layer not asked for.
    ``place``
        int32 ``row axis``: the source's position that contributes most; -1 behind the last axis of a source that has fewer. The same
        analysis of that source, unit and position follows the row.
    ``activation``
        float32 ``row``: the source's activation there; NaN for a unit of -1.
    ``map/ROW``
        float32 ``*position``, of the first `maps` rows of a unit that has positions: where in the source the contribution comes from.
    ``image``
        uint8 ``y x 3``: the image as the network was shown it.

    The summary says how exact the table is: ``error`` is how far rows, bias and remainder together are from the pre-activation,
    ``relative_error`` the same against the sum of their sizes. ``explained`` is 1 - sum(remainder^2) / sum((pre - bias)^2) over all
    positions of the unit on this image (None where there is nothing but bias); ``held`` names the operations that were held still.
    """

    title: ClassVar[str] = "Contributions"
    version: ClassVar[int] = 3
    needs_images: ClassVar[bool] = True

    layer: str = Field(description="Layer of the unit, before or after its non-linearity.")
    unit: int = Field(ge=0, description="Index of the unit.")
    image: int = Field(default=0, ge=0, description="Index of the image in the set.")
    position: tuple[int, ...] = Field(default=(), description="Row and column, or token; none: as 'at' says.")
    at: Literal["strongest", "centre"] = Field(
        default="strongest", description="Where no position is given: where the unit is most active, or the centre."
    )
    sources: tuple[str, ...] = Field(default=(), description="Layers upstream; none: the nearest it is a sum of.")
    gate: Literal["ratio", "derivative"] = Field(
        default="ratio", description="How non-linearities in between are held: output / input, or the slope."
    )
    maps: int = Field(default=12, ge=0, le=1024, description="Rows whose map over the source is kept.")

    def compute(
        self, model: TracedModel, images: ImageSet | None, task: Task
    ) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Run the network up to the unit, and the linearised piece before it forwards and backwards."""
        assert images is not None
        graph, asked = model.graph, model.layer(self.layer)
        asked.check((self.unit,))
        if self.image >= len(images):
            raise InputError(f"{images.name} has images 0 to {len(images) - 1}, not {self.image}")
        target = before_activation(graph, Unit(asked.name, self.unit))
        layer = layer_of(graph, graph.node(target.layer))
        names, others, held = self._sources(graph, target.layer)
        pixels = np.array(images.image(self.image, model.preprocessing.size))
        inputs = model.inputs(model.preprocess(pixels[None]))
        task.step(0, 3, note="running the network")
        with torch.no_grad():
            clean = model.activations(inputs, list(dict.fromkeys([*names, *others, target.layer, asked.name])))
            cut = graph.linearise([*names, *others], [target.layer], gate=self.gate)
            frozen = cut.freeze(cut.clean_run(*inputs))

        def of_unit(values: Tensor) -> Tensor:
            return layer.arrange(values)[0, target.index]

        task.step(1, 3, note="adding it up")
        values = [clean[name].detach().requires_grad_() for name in (*names, *others)]
        actual, linear = of_unit(clean[target.layer]), of_unit(cut(values, frozen)[0])
        position = self._position(actual, layer)
        gradients = torch.autograd.grad(linear[position], values, allow_unused=True)
        task.step(2, 3, note="what is left without any source")
        with torch.no_grad():
            bias = of_unit(cut([torch.zeros_like(value) for value in values], frozen)[0])
        shares = [
            _Share.of(layer_of(graph, graph.node(name)), clean[name], gradient, name in others)
            for name, gradient in zip((*names, *others), gradients, strict=True)
        ]
        arrays = _rows(shares, self.maps)
        unexplained = (actual - linear.detach()).double()
        remainder = float(unexplained[position]) if held else 0.0
        parts = [*arrays["contribution"].tolist(), float(bias[position]), remainder]
        error, size = abs(math.fsum(parts) - float(actual[position])), math.fsum(map(abs, parts))
        above_bias = float((actual - bias).double().square().sum())
        summary = {
            "unit": str(Unit(asked.name, self.unit)),
            "pre": str(target),
            "image": self.image,
            "image_id": images.ids[self.image],
            "position": list(position),
            "positions": list(actual.shape),
            "activation": float(asked.arrange(clean[asked.name])[0, self.unit][position]),
            "pre_activation": float(actual[position]),
            "bias": float(bias[position]),
            "remainder": remainder,
            "error": error,
            "relative_error": error / size if size else 0.0,
            "explained": 1 - float(unexplained.square().sum()) / above_bias if above_bias else None,
            "held": held,
            "sources": [share.described() for share in shares],
            "top": [_name(shares, arrays, row) for row in range(min(NAMED, len(arrays["unit"])))],
        }
        return arrays | {"image": pixels}, summary

    def _sources(self, graph: ModelGraph, target: str) -> tuple[list[str], list[str], list[str]]:
        """Return the layers whose units are rows, those that are one row each, and the operations that are held still behind both."""
        moving, others = varying(graph), list[str]()
        if self.sources:
            names = graph.sort(graph.layer(name).name for name in self.sources)
            for name in names:
                if graph.node(target) not in graph.downstream([name]):
                    raise InputError(f"{name} does not feed {target}; choose sources before it")
            beside = {name: graph.node(name) for name in graph.frontier(names, [target])}
            others = [name for name, node in beside.items() if node in moving and is_real(node)]
        else:
            names = affine_sources(graph, target)
        behind = graph.needed([graph.node(target)], {graph.node(name) for name in (*names, *others)})
        held = [node for node in behind if node in moving and not is_affine(node, moving)]
        return names, others, [graph.name(node) if is_tensor(node) else node.name for node in held]

    def _position(self, actual: Tensor, layer: Layer) -> tuple[int, ...]:
        """Return the position asked for; `actual` is the unit's pre-activation on the image, ``*position``, in `layer`."""
        shape, wanted = tuple(actual.shape), self.position
        if not wanted and self.at == "centre":
            return centre(layer)
        if not wanted:
            return tuple(int(place) for place in np.unravel_index(int(actual.argmax()), shape)) if shape else ()
        if len(wanted) != len(shape) or not all(0 <= place < size for place, size in zip(wanted, shape, strict=True)):
            there = " x ".join(f"0 to {size - 1}" for size in shape) or "none; leave it empty"
            raise InputError(f"{self.layer} has no position {','.join(map(str, wanted))}; there is {there}")
        return wanted

    @classmethod
    def draw(cls, result: Result) -> dict[str, Figure]:
        """Draw the image with the position, and the table as bars."""
        return {"contributions": _figure(result)}


@dataclass(frozen=True)
class _Share:
    """What one source layer contributes.

    Attributes
    ----------
    maps, values
        ``unit *position``: gradient * activation, and the activation.
    together
        Whether the layer is one row, being none that was asked for.
    """

    layer: Layer
    maps: Tensor
    values: Tensor
    together: bool

    @classmethod
    def of(cls, layer: Layer, value: Tensor, gradient: Tensor | None, together: bool) -> _Share:
        product = torch.zeros_like(value) if gradient is None else gradient * value
        return cls(layer, layer.arrange(product)[0], layer.arrange(value)[0], together)

    def contribution(self) -> npt.NDArray[np.float64]:
        """Return ``unit``, or one number for all."""
        each: npt.NDArray[np.float64] = self.maps.double().reshape(len(self.maps), -1).sum(1).cpu().numpy()
        return each.sum(keepdims=True) if self.together else each

    def strongest(self, axes: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Return the position that contributes most, ``unit axis``, and the activation there, ``unit``."""
        if self.together:
            return np.full((1, axes), -1, np.int32), np.full(1, np.nan, np.float32)
        flat = self.maps.reshape(len(self.maps), -1).abs().argmax(1, keepdim=True)
        shape = tuple(self.maps.shape[1:])
        place = np.full((len(flat), axes), -1, np.int32)
        if shape:
            place[:, : len(shape)] = np.stack(np.unravel_index(flat[:, 0].cpu().numpy(), shape), 1)
        return place, self.values.reshape(len(flat), -1).gather(1, flat)[:, 0].float().cpu().numpy()

    def described(self) -> dict[str, Any]:
        total = float(self.contribution().sum())
        return {"layer": self.layer.name, "units": self.layer.units, "asked": not self.together, "contribution": total}


def _rows(shares: Sequence[_Share], maps: int) -> dict[str, npt.NDArray[Any]]:
    """Put the units of all sources into one table, the largest contribution first, with the maps of the first rows."""
    axes = max(share.maps.dim() - 1 for share in shares)
    each = [share.contribution() for share in shares]
    strongest = [share.strongest(axes) for share in shares]
    contribution = np.concatenate(each)
    order = np.argsort(-np.abs(contribution), kind="stable")
    source = np.repeat(np.arange(len(shares)), [len(one) for one in each])
    unit = np.concatenate([[TOGETHER] if share.together else np.arange(len(share.maps)) for share in shares])
    arrays = {
        "contribution": contribution.astype(np.float32),
        "source": source.astype(np.int32),
        "unit": unit.astype(np.int32),
        "place": np.concatenate([place for place, _ in strongest]),
        "activation": np.concatenate([activation for _, activation in strongest]),
    }
    arrays = {name: array[order] for name, array in arrays.items()}
    for row in range(min(maps, len(order))):
        share = shares[arrays["source"][row]]
        if not share.together and share.maps.dim() > 1:
            arrays[f"map/{row}"] = share.maps[int(arrays["unit"][row])].float().cpu().numpy()
    return arrays


def _name(shares: Sequence[_Share], arrays: Mapping[str, npt.NDArray[Any]], row: int) -> dict[str, Any]:
    share, unit = shares[arrays["source"][row]], int(arrays["unit"][row])
    return {
        "unit": share.layer.name if unit == TOGETHER else str(Unit(share.layer.name, unit)),
        "contribution": float(arrays["contribution"][row]),
        "position": [int(place) for place in arrays["place"][row] if place >= 0],
    }


def _bars(result: Result) -> list[tuple[str, float, bool]]:
    """Return name, length, and whether it is a unit, of each bar."""
    summary, arrays = result.summary, result.arrays
    contribution = arrays["contribution"]
    bars = []
    for row in range(min(DRAWN, len(contribution))):
        layer, unit = summary["sources"][arrays["source"][row]]["layer"], int(arrays["unit"][row])
        bars.append((layer if unit == TOGETHER else f"{layer}:{unit}", float(contribution[row]), unit != TOGETHER))
    if len(contribution) > DRAWN:
        rest = float(contribution[DRAWN:].sum(dtype=np.float64))
        bars.append((f"{len(contribution) - DRAWN:,} further rows", rest, False))
    bars.append(("bias", summary["bias"], False))
    return [*bars, ("remainder", summary["remainder"], False)] if summary["held"] else bars


def _figure(result: Result) -> Figure:
    from matplotlib.figure import Figure

    summary, image = result.summary, result.arrays["image"]
    bars = _bars(result)
    figure = Figure(figsize=(9, 1.2 + 0.19 * len(bars)), layout="constrained")
    picture, axis = figure.subplots(1, 2, width_ratios=(1, 2.4))
    picture.imshow(image)
    picture.set_axis_off()
    position, positions = summary["position"], summary["positions"]
    if len(position) == 2:
        y, x = (
            (place + 0.5) / size * side - 0.5
            for place, size, side in zip(position, positions, image.shape, strict=False)
        )
        picture.plot(x, y, "o", markersize=9, markerfacecolor="none", markeredgecolor=ACCENT, markeredgewidth=1.5)
    where = f" at {', '.join(map(str, position))}" if position else ""
    picture.set_title(f"{summary['image_id']}\n{summary['pre']}{where}", fontsize=8, color=INK, parse_math=False)
    places, lengths = np.arange(len(bars)), [length for _, length, _ in bars]
    colours = [LIGHT if not unit else INK if length >= 0 else ACCENT for _, length, unit in bars]
    axis.barh(places, lengths, color=colours)
    axis.set_yticks(places, [name for name, _, _ in bars], fontsize=7, parse_math=False)
    axis.invert_yaxis()
    axis.axvline(0, color=INK, linewidth=0.6)
    axis.tick_params(axis="x", labelsize=7)
    axis.set_xlabel(
        f"share of the pre-activation, which is {summary['pre_activation']:.4g} (the activation {summary['activation']:.4g}); "
        f"the rows add up to it within {summary['relative_error']:.0e} of their sizes",
        fontsize=7,
    )
    return figure
