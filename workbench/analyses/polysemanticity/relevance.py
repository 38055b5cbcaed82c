"""What makes a unit fire on each of its images: the shares of the units below, its layer's other units, and what the units above do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float64, Int32, Int64
from torch import Tensor

from workbench.input_error import InputError
from workbench.models.affine import affine_sources, before_activation, is_real, layer_of, varying
from workbench.models.layer import Layer, Unit

if TYPE_CHECKING:
    from workbench.models.linearise import LinearCut
    from workbench.models.traced_model import TracedModel


@dataclass(frozen=True, eq=False)
class Below:
    """The piece below a unit's pre-activation, held still on each image.

    Attributes
    ----------
    target
        The unit before its non-linearity.
    layer
        Its layer.
    sources, others
        Layers whose units have a share each, and those that are needed beside them.
    cut
        From both to the target.
    """

    target: Unit
    layer: Layer
    sources: tuple[Layer, ...]
    others: tuple[str, ...]
    cut: LinearCut

    @classmethod
    def of(cls, model: TracedModel, unit: Unit, sources: Sequence[str]) -> Below:
        """Find it; without `sources` they are the nearest layers that the pre-activation is a sum of."""
        graph = model.graph
        target = before_activation(graph, unit)
        others: list[str] = []
        if sources:
            names = graph.sort(graph.layer(name).name for name in sources)
            for name in names:
                if graph.node(target.layer) not in graph.downstream([name]):
                    raise InputError(f"{name} does not feed {target.layer}; choose sources before it")
            moving = varying(graph)
            beside = {name: graph.node(name) for name in graph.frontier(names, [target.layer])}
            others = [name for name, node in beside.items() if node in moving and is_real(node)]
        else:
            names = affine_sources(graph, target.layer)
        cut = graph.linearise([*names, *others], [target.layer], gate="ratio")
        layers = tuple(layer_of(graph, graph.node(name)) for name in names)
        return cls(target, layer_of(graph, graph.node(target.layer)), layers, tuple(others), cut)

    @property
    def features(self) -> list[tuple[str, int]]:
        """Layer and unit of every share, in order."""
        return [(layer.name, unit) for layer in self.sources for unit in range(layer.units)]


def relevances(
    model: TracedModel, below: Below, inputs: tuple[Tensor, ...], places: Int32[np.ndarray, " image"]
) -> tuple[Float64[np.ndarray, "image feature"], Float64[np.ndarray, "image feature"]]:
    """Return the share of each unit below in the unit's pre-activation at one position of each image: gradient times activation.

    Beside it the unit's own activation where it has its share (the mean over positions, weighted by the size of the share): a share above 0
    may come of an activation below 0 and a weight below 0.

    They are PURE's lower-layer relevances, conditional on the unit (Dreyer et al., "PURE: turning polysemantic neurons into pure features
    by identifying relevant circuits", 2024). Where nothing but sums stands between, they add up to the pre-activation less its bias.
    """
    cut, names = below.cut, [layer.name for layer in below.sources]
    with torch.no_grad():
        clean = model.activations(inputs, [*names, *below.others])
        frozen = cut.freeze(cut.clean_run(*inputs))
    values = [clean[name].detach().requires_grad_(name in names) for name in (*names, *below.others)]
    with torch.enable_grad():
        reached = below.layer.arrange(cut(values, frozen)[0])[:, below.target.index]
        flat = reached.reshape(len(reached), -1)
        here = flat.gather(1, torch.from_numpy(places.astype(np.int64))[:, None].to(flat.device))
        gradients = torch.autograd.grad(here.sum(), values[: len(names)], allow_unused=True)
    found, levels = [], []
    for layer, value, gradient in zip(below.sources, values, gradients, strict=False):
        activation = layer.arrange(value).detach().double()
        activation = activation.reshape(*activation.shape[:2], -1)
        share = activation * (0 if gradient is None else layer.arrange(gradient).double().reshape(activation.shape))
        found.append(share.sum(2))
        levels.append((share.abs() * activation).sum(2) / share.abs().sum(2).clamp_min(1e-300))
    return torch.cat(found, 1).cpu().numpy(), torch.cat(levels, 1).cpu().numpy()


def around(layer: Layer, activation: Tensor, unit: int, places: Int32[np.ndarray, " image"]) -> Float64[np.ndarray, "image feature"]:
    """Return what the layer's other units do where the unit is looked at."""
    arranged = layer.arrange(activation)
    flat = arranged.reshape(*arranged.shape[:2], -1)
    index = torch.from_numpy(places.astype(np.int64)).to(flat.device)[:, None, None].expand(-1, flat.shape[1], 1)
    found: Float64[np.ndarray, "image feature"] = flat.gather(2, index)[..., 0].double().cpu().numpy()
    found[:, unit] = 0
    return found


def told_apart(
    above: Float64[np.ndarray, "image unit"], labels: Int64[np.ndarray, " image"], facet: int, first: np.ndarray
) -> tuple[int, float]:
    """Return the unit above that tells a facet from the others best on the first half of the images, and its AUROC on the second.

    The AUROC is turned so that what was above .5 on the first half counts as right; NaN where a half has none of the facet, or all.
    """
    inside = labels == facet
    ways = [auroc(above[part], inside[part]) for part in (first, ~first)]
    if not np.isfinite(ways[0]).any() or not np.isfinite(ways[1]).any():
        return -1, float("nan")
    best = int(np.nanargmax(np.abs(ways[0] - 0.5)))
    value = float(ways[1][best])
    return best, value if ways[0][best] >= 0.5 else 1 - value


def auroc(values: Float64[np.ndarray, "image unit"], inside: np.ndarray) -> Float64[np.ndarray, " unit"]:
    """Return for each unit the chance that an image inside has a larger value than one outside; ties count half."""
    from scipy.stats import rankdata

    many, rest = int(inside.sum()), int((~inside).sum())
    if not many or not rest:
        return np.full(values.shape[1], np.nan)
    ranks = rankdata(values, axis=0)[inside].sum(0)
    found: Float64[np.ndarray, " unit"] = (ranks - many * (many + 1) / 2) / (many * rest)
    return found
