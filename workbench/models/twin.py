"""Random-weight twins: the same graph with weights that have learned nothing, to put beside every number.

A twin is what a fresh network of the architecture would be, brought to the scale of the trained one:

1. Every module that knows how to draw itself does, as it did when it was made (``reset_parameters``, from the seed). All other parameters
   (a class token, position embeddings), and gains that begin near zero so that training may begin gently (layer scale, with which a
   fresh block does nothing), keep their values in shuffled order.
2. On some random images BatchNorm's running statistics are measured, layer after layer, since in training a fresh network uses those of
   its batch. Left at 0 and 1, as a fresh module has them, they would not normalise at all, and what depends on the image dies out with
   depth: in ``mixed5b`` of ``bundled:inception`` to 5e-7, where 58 of 384 units are then the same on 2,000 emoji.
3. On the same images every convolution, linear layer and normalisation is multiplied by one number, so that its output has the root mean
   square that the trained one has there. Otherwise activations would shrink layer by layer until they are all bias where nothing
   normalises, and reach no bend of a non-linearity where a trained normalisation has learned a large gain.

So the two differ in how weights are arranged, not in how large activations are. The images are always the same: dead leaves (Lee,
Mumford and Huang 2001: discs that occlude one another, their radii a power law, which gives edges and the spectrum of photographs), half of
them with few discs on a plain ground, like drawings. Measured on emoji instead, units of a twin separate the labels of emoji neither better
nor worse (median over labels of the best unit's AUROC: .68 in ``mixed3b`` either way, .68 and .67 in ``mixed5b``).
"""

from __future__ import annotations

import copy
import hashlib
import inspect
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, fx, nn

from workbench.input_error import InputError
from workbench.models.capture import Capture
from workbench.models.nodes import kind
from workbench.models.tensors import assign, tensors_of

VERSION = 1
"""Raised whenever the same seed gives another twin."""
IMAGES = 32
SIDE = 64
"""Height and width in pixels of the images before they are fitted to the network."""
MOST_LEAVES = 96

_WEIGHTS = {
    **dict.fromkeys("conv1d conv2d conv3d conv_transpose2d convolution linear batch_norm".split(), slice(1, 3)),
    **dict.fromkeys(("layer_norm", "group_norm"), slice(2, 4)),
}
"""Where an operation has its weight and bias among its arguments."""


def twin_hash(weights: str, seed: int) -> str:
    """Return the weight hash of a twin: that of what it is made from, so that it is the same on every machine."""
    return hashlib.sha256(f"{weights} twin {VERSION} {seed}".encode()).hexdigest()


def draw(capture: Capture, seed: int) -> nn.Module:
    """Return a module that can take the place of ``capture.root``, with its parameters drawn anew; the captured one is left as it is.

    Raises
    ------
    InputError
        When the graph has a parameter that the captured module does not know by that name.
    """
    first = next(capture.root.parameters(), None)
    device = first.device if first is not None else torch.device("cpu")
    with torch.inference_mode(False), torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(twin_hash("", seed)[:15], 16))  # no seed that a training began with
        fresh = copy.deepcopy(capture.module).cpu()
        before = {name: tensor.clone() for name, tensor in fresh.named_parameters()}
        drawn: set[int] = set()

        def reset(module: nn.Module) -> None:
            function = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
            if callable(function) and not _needs_arguments(function):
                function()
                drawn.update(id(own) for own in module.parameters(recurse=False))

        fresh.apply(reset)
        for name, parameter in fresh.named_parameters():
            if id(parameter) not in drawn or _small_gain(parameter):
                shuffled = before[name].flatten()[torch.randperm(parameter.numel())]
                parameter.copy_(shuffled.view_as(parameter))
        fresh.to(device)
    tensors: dict[str, Tensor] = {
        **dict(fresh.named_buffers(remove_duplicate=False)),
        **dict(fresh.named_parameters(remove_duplicate=False)),
    }
    root = nn.Module()
    for name, value in tensors_of(capture):
        if isinstance(value, nn.Parameter) and name not in tensors:
            raise InputError(f"no twin can be drawn: {type(capture.module).__name__} has no parameter {name}")
        assign(root, name, tensors.get(name, value))
    return root


def match_scale(
    trained: nn.Module, twin: nn.Module, graph: fx.Graph, inputs: Sequence[Tensor], piece: fx.Graph | None = None
) -> None:
    """Measure the twin's BatchNorm statistics and bring its layers to the trained ones' scale, on `inputs`; changes `twin` in place.

    Parameters
    ----------
    piece
        Of the graph, with the same inputs: only its layers are brought to scale, and to the same as with the whole graph.
    """
    run = graph if piece is None else piece
    readers = Counter(id(attrgetter(str(node.target))(twin)) for node in graph.nodes if node.op == "get_attr" for _ in node.users)
    with torch.inference_mode(False), torch.no_grad():
        recorded = _Recorded(fx.GraphModule(trained, run))
        recorded.run(*inputs)
        _Matched(fx.GraphModule(twin, run), recorded.scales, readers).run(*inputs)


def dead_leaves(number: int, side: int = SIDE, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Return random images, uint8 ``n side side 3``, every second with few discs on a plain ground (white in every fourth)."""
    rng = np.random.default_rng(seed)
    images = np.empty((number, side, side, 3), np.uint8)
    y, x = np.mgrid[:side, :side]
    for place, image in enumerate(images):
        few = place % 2 == 1
        image[:] = 255 if place % 4 == 1 else rng.integers(0, 256, 3)
        for _ in range(rng.integers(1, 8) if few else MOST_LEAVES):
            # Radii with density r^-3 between 1/32 and 1/2 of the side.
            radius = side / math.sqrt(rng.uniform(4, 1024))
            centre = rng.uniform(0, side, 2)
            image[(y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2] = rng.integers(0, 256, 3)
    return images


class _Recorded(fx.Interpreter):
    """Runs a graph and notes the root mean square of what each layer with weights gives."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.scales: dict[str, float] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if kind(n) in _WEIGHTS:
            self.scales[n.name] = _root_mean_square(value)
        return value


class _Matched(fx.Interpreter):
    """Runs the twin's graph; every layer is put right before the next one reads it."""

    def __init__(self, module: fx.GraphModule, scales: Mapping[str, float], readers: Mapping[int, int]) -> None:
        super().__init__(module)
        self.scales, self.readers = scales, readers

    def run_node(self, n: fx.Node) -> Any:
        if kind(n) == "batch_norm":
            self._measure(n)
        value = super().run_node(n)
        if kind(n) in _WEIGHTS:
            weights = self._weights(n)
            scale = _root_mean_square(value)
            factor = self.scales[n.name] / scale if scale > 0 else 1.0
            if weights and 0 < factor < math.inf:
                for weight in weights:
                    weight.mul_(factor)
                value.mul_(factor)
        return value

    def _measure(self, n: fx.Node) -> None:
        if n.args[3] is None:  # it keeps no statistics
            return
        value, mean, variance = (self.env[n.args[i]] for i in (0, 3, 4))  # type: ignore[index]
        for statistic, measured in zip(
            (mean, variance), torch.batch_norm_update_stats(value.float(), None, None, 0.0), strict=True
        ):
            statistic.copy_(measured)

    def _weights(self, n: fx.Node) -> list[Tensor]:
        """Return weight and bias of a layer where both are parameters that nothing else reads, else nothing."""
        nodes = [node for node in n.args[_WEIGHTS[kind(n)]] if isinstance(node, fx.Node)]
        values = [self.env[node] for node in nodes]
        own = all(
            node.op == "get_attr" and self.readers[id(value)] == 1 for node, value in zip(nodes, values, strict=True)
        )
        return values if own else []


def _root_mean_square(value: Tensor) -> float:
    return float(torch.linalg.vector_norm(value.float())) / math.sqrt(value.numel())


def _needs_arguments(function: Any) -> bool:
    parameters = inspect.signature(function).parameters.values()
    named = (p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD))
    return any(p.default is p.empty for p in named)


def _small_gain(parameter: Tensor) -> bool:
    """Whether a parameter was reset to one value everywhere that is neither 0 nor 1."""
    if parameter.numel() < 2:
        return False
    value = parameter.flatten()[0]
    return bool(value != 0 and value != 1 and (parameter == value).all())
