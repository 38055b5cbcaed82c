"""Where the kernel of a unit is, and networks in which some units have kernels written by hand.

A unit of a convolutional layer is, before its non-linearity, ``sum(kernel * what it reads) + bias``: BatchNorm with fixed statistics only
scales and shifts, so it is folded in. `KernelSite` finds the weights behind that; `with_kernels` makes a network of its own in which some
of them are others, and never touches the one it is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor, fx

from workbench.input_error import InputError
from workbench.kernel_edits import KernelEdit
from workbench.kernel_ground import Ground
from workbench.models.affine import before_activation
from workbench.models.graph import ModelGraph
from workbench.models.layer import Unit
from workbench.models.nodes import NONLINEAR, SAME_VALUES, VIEWS, kind
from workbench.models.traced_model import TracedModel

Written = tuple[npt.NDArray[np.float32], float]
"""A kernel ``channel y x`` and what is added."""
ACROSS = frozenset("softmax _softmax log_softmax top_k_relu".split())
"""Non-linearities whose output for one unit depends on others."""


@dataclass(frozen=True)
class KernelSite:
    """One convolution with its normalisation.

    Attributes
    ----------
    reads, pre, post
        Layers: what is convolved, the sum with its normalisation, and that behind the non-linearity (`pre` where there is none).
    weight, bias, norm
        Names of the network's weights: of the convolution, its bias or empty, and of BatchNorm weight, bias, mean, variance (empty where
        it has none of that; no entry where there is no BatchNorm).
    epsilon
        Of BatchNorm.
    stride, padding, dilation, groups
        Of the convolution; the padding is a number along each axis or a word.
    """

    reads: str
    pre: str
    post: str
    weight: str
    bias: str
    norm: tuple[str, ...]
    epsilon: float
    stride: tuple[int, ...]
    padding: tuple[int, ...] | str
    dilation: tuple[int, ...]
    groups: int

    @classmethod
    def of(cls, model: TracedModel, unit: Unit) -> tuple[KernelSite, int]:
        """Find the kernel of a unit; return the site, and which of its units that is.

        Raises
        ------
        InputError
            When there is no such unit, or it has no kernel of its own that could be written: it is no unit of a convolution, or what
            stands behind it is no function of this unit alone (a softmax, a PReLU).
        """
        graph, layer = model.graph, model.layer_of(unit)
        before = before_activation(graph, Unit(layer.name, unit.index))
        node = graph.node(before.layer)
        while (reader := _only_reader(node)) is not None and kind(node) == "conv2d" and kind(reader) == "batch_norm":
            node = reader
        made, norm = node, None
        while kind(node) in SAME_VALUES or (kind(node) == "batch_norm" and norm is None):
            norm = node if kind(node) == "batch_norm" else norm
            (node, *_) = node.all_input_nodes
        if kind(node) != "conv2d":
            raise InputError(f"{unit} has no kernel that can be written: it is made by {kind(node)}, not by a convolution of maps")
        weights = [_weight(graph, node.args[1], unit), _weight(graph, node.args[2] if len(node.args) > 2 else None, unit)]
        statistics = [_weight(graph, argument, unit) for argument in norm.args[1:5]] if norm is not None else []
        behind = _only_reader(made)
        while behind is not None and kind(behind) in SAME_VALUES:
            behind = _only_reader(behind)
        post = behind if behind is not None and kind(behind) in NONLINEAR else made
        if post is not made and (kind(post) in ACROSS or len(post.all_input_nodes) > 1):
            why = "looks at several units at once" if kind(post) in ACROSS else "has weights of its own"
            raise InputError(f"the kernel of {unit} cannot be written: {kind(post)} behind it {why}, so no kernel can be fitted through it")
        given = [node.args[place] if len(node.args) > place else default for place, default in ((3, 1), (4, 0), (5, 1), (6, 1))]
        stride, padding, dilation = (value if isinstance(value, str) else _pair(value) for value in given[:3])
        assert not isinstance(stride, str) and not isinstance(dilation, str) and isinstance(node.args[0], fx.Node)
        site = cls(
            reads=graph.name(node.args[0]),
            pre=graph.name(made),
            post=graph.name(post),
            weight=weights[0],
            bias=weights[1],
            norm=tuple(statistics),
            epsilon=float(norm.args[7]) if norm is not None else 0.0,  # type: ignore[arg-type]
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=int(given[3]),  # type: ignore[arg-type]
        )
        return site, before.index

    @property
    def shift(self) -> str:
        """Name of the weight that a unit's bias is kept in, empty where it can have none."""
        return self.norm[1] if self.norm else self.bias

    def ground(self, model: TracedModel) -> Ground:
        """Return what its kernels are written over, units without any that is known of them."""
        shape = self._value(model, self.weight).shape
        read = model.graph.node(self.reads)
        while kind(read) == "pad" or kind(read) in SAME_VALUES:
            (read,) = read.all_input_nodes
        pixels = read is model.graph.inputs[0] and shape[1] in (1, 3)
        return Ground((int(shape[2]), int(shape[3])), int(shape[1]), tuple(model.preprocessing.std) if pixels else ())

    def channels(self, model: TracedModel, index: int) -> range:
        """Return which channels of what is read a unit reads: all, unless the convolution is grouped."""
        units, each = self._value(model, self.weight).shape[:2]
        first = index // (int(units) // self.groups) * int(each)
        return range(first, first + int(each))

    def kernel(self, model: TracedModel, index: int) -> Written:
        """Return a unit's own kernel and bias, normalisation folded in."""
        kernel = self._value(model, self.weight)[index].cpu().double()
        bias = self._value(model, self.bias)[index].cpu().double() if self.bias else torch.zeros((), dtype=torch.float64)
        if self.norm:
            gain, shift, mean, variance = (
                self._value(model, name)[index].cpu().double() if name else torch.tensor(default, dtype=torch.float64)
                for name, default in zip(self.norm, (1.0, 0.0, 0.0, 1.0), strict=True)
            )
            scale = gain / (variance + self.epsilon).sqrt()
            return (kernel * scale).float().numpy(), float((bias - mean) * scale + shift)
        return kernel.float().numpy(), float(bias)

    def replaced(self, model: TracedModel, written: Mapping[int, Written]) -> dict[str, Tensor]:
        """Return the weights under which some units have these kernels.

        Raises
        ------
        InputError
            When a kernel has another shape, or the convolution has nowhere to keep a bias.
        """
        names = [name for name in (self.weight, self.bias, *self.norm[:3]) if name]
        new = {name: self._value(model, name).detach().clone() for name in names}
        wanted = tuple(new[self.weight].shape[1:])
        for index, (kernel, bias) in written.items():
            if kernel.shape != wanted:
                raise InputError(f"the kernel of {self.pre}:{index} has the shape {wanted}, not {kernel.shape}")
            scale = 1.0
            if self.norm:
                gain, _, mean, variance = self.norm
                deviation = float((self._value(model, variance)[index].cpu().double() + self.epsilon).sqrt()) if variance else 1.0
                if gain:
                    new[gain][index] = deviation  # so that BatchNorm does nothing but shift
                else:
                    scale = deviation
                if mean:
                    new[mean][index] = 0
            if self.bias:
                new[self.bias][index] = 0
            new[self.weight][index] = torch.from_numpy(np.array(kernel) * scale)
            if self.shift:
                new[self.shift][index] = bias
            elif abs(bias) > 1e-12:
                raise InputError(f"{self.pre} has no bias, so a unit of it cannot be given one ({bias:.3g}); leave it 0")
        return new

    def respond(self, source: Tensor, kernels: Float[Tensor, "kernel channel y x"], channels: range) -> Float[Tensor, "batch kernel y2 x2"]:
        """Return what kernels do on `source` (values of `reads`), of which they read some channels; without any bias."""
        seen = source if len(channels) == source.shape[1] else source[:, channels.start : channels.stop]
        return torch.nn.functional.conv2d(seen, kernels.to(seen), None, self.stride, self.padding, self.dilation)

    def _value(self, model: TracedModel, name: str) -> Tensor:
        value = attrgetter(name)(model.graph.root)
        assert isinstance(value, Tensor)
        return value


def with_kernels(model: TracedModel, edits: Sequence[KernelEdit]) -> TracedModel:
    """Return the network with kernels written by hand; of several for one unit the last counts. Without any it is the network itself.

    Raises
    ------
    InputError
        When a unit has no kernel, or a kernel does not fit.
    """
    written: dict[KernelSite, dict[int, Written]] = {}
    for edit in edits:
        site, index = KernelSite.of(model, Unit(edit.layer, edit.unit))
        written.setdefault(site, {})[index] = (edit.kernel, edit.bias)
    if not written:
        return model
    replaced: dict[str, Tensor] = {}
    for site, units in written.items():
        replaced |= site.replaced(model, units)
    number = sum(map(len, written.values()))
    return model.with_tensors(replaced, f"{number} kernel{'s' if number > 1 else ''} written by hand")


def last_kernels(model: TracedModel, edits: Iterable[KernelEdit]) -> list[KernelEdit]:
    """Return the edits that count: of several of one kernel the last, whichever layers they name it by."""
    return list({KernelSite.of(model, Unit(edit.layer, edit.unit)): edit for edit in edits}.values())


def _only_reader(node: fx.Node) -> fx.Node | None:
    """Return the only node that reads another; None where there are several."""
    users = [user for user in node.users if user.op != "output"]
    return users[0] if len(users) == 1 and kind(users[0]) not in VIEWS else None


def _weight(graph: ModelGraph, argument: object, unit: Unit) -> str:
    """Return the name of a weight that nothing else reads; empty for none."""
    if argument is None:
        return ""
    if not isinstance(argument, fx.Node) or argument.op != "get_attr":
        raise InputError(f"{unit} has no kernel that can be written: its weights are computed")
    name = str(argument.target)
    readers = sum(len(node.users) for node in graph.graph.nodes if node.op == "get_attr" and str(node.target) == name)
    if readers > 1:
        raise InputError(f"the weights of {unit} ({name}) are used in {readers} places; writing them would change them all")
    return name


def _pair(value: object) -> tuple[int, ...]:
    numbers = value if isinstance(value, (list, tuple)) else (value,)
    whole = tuple(int(number) for number in numbers)
    return whole * 2 if len(whole) == 1 else whole
