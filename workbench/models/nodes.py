"""What a node of a captured graph is: its operation, whether it is a tensor, and which of its axes counts examples; and the layer it is."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, fx

from workbench.input_error import InputError
from workbench.models.layer import Layer, Role

NONLINEAR = frozenset(
    "relu relu6 gelu silu hardswish hardsigmoid hardtanh leaky_relu elu celu selu mish sigmoid tanh softmax softplus "
    "log_softmax _softmax prelu rrelu clamp clamp_min top_k_relu".split()
)
"""Operations that make a layer ``post`` and their input ``pre``."""

SAME_VALUES = frozenset("dropout feature_dropout alpha_dropout contiguous clone to _to_copy alias detach".split())
"""Operations that hand their input on unchanged in eval mode."""

HANDED_ON = frozenset("dropout feature_dropout alpha_dropout alias detach".split())
"""Those of `SAME_VALUES` that hand on the very storage; a copy is not overwritten with its original."""

VIEWS = frozenset(
    "view reshape flatten unflatten transpose permute squeeze unsqueeze expand expand_as select slice narrow split split_with_sizes "
    "chunk unbind getitem t movedim swapaxes as_strided unfold_copy _unsafe_view view_as pixel_shuffle pixel_unshuffle".split()
)
"""Operations that only rearrange; listed as layers only where a module returns them."""


class CaptureError(InputError):
    """The network cannot be captured as one graph; the message says why."""


def kind(node: fx.Node) -> str:
    """Name of the node's operation without its overload: ``conv2d``, ``add``, ``getitem``; placeholders are ``input``."""
    if node.op == "placeholder":
        return "input"
    if node.op == "get_attr":
        return "parameter"
    target = node.target
    if isinstance(target, torch._ops.OpOverload):
        return target._schema.name.split("::")[-1].removesuffix("_")
    return getattr(target, "__name__", str(target))


def is_tensor(node: fx.Node) -> bool:
    """Whether the node's value is a single tensor."""
    return isinstance(node.meta.get("val"), Tensor)


def is_number(node: fx.Node) -> bool:
    """Whether the node's value is a number, such as that of the examples."""
    return isinstance(node.meta.get("val"), (int, float, torch.SymInt, torch.SymFloat))


def batch_of(node: fx.Node) -> tuple[int, int] | None:
    """Axis that counts examples and rows per example (windows), or None where the value does not depend on the batch."""
    value = node.meta.get("val")
    if not isinstance(value, Tensor):
        return None
    for axis, size in enumerate(value.shape):
        if isinstance(size, torch.SymInt):
            return axis, multiple(size)
    return None


def multiple(size: torch.SymInt) -> int:
    """Return a of a size ``a * batch``.

    Raises
    ------
    CaptureError
        When the size is not a multiple of the batch size.
    """
    expression = size.node.expr
    factor, rest = expression.as_coeff_Mul()
    if not rest.is_Symbol or not factor.is_Integer:
        raise CaptureError(f"a tensor has the size {expression}, which is not a multiple of the batch size")
    return int(factor)


def describe(node: fx.Node, names: tuple[str, ...], axis: int) -> Layer | None:
    """Return the layer a node is, or None where it does not depend on the batch or is not made of real numbers."""
    batch, value = batch_of(node), node.meta["val"]
    if batch is None or not value.dtype.is_floating_point:
        return None
    batch_axis, rows = batch
    shape = tuple(int(size) for i, size in enumerate(value.shape) if i != batch_axis)
    unit = axis - 1 if axis > batch_axis else axis
    if axis == batch_axis:
        unit = len(shape) - 1
    if unit == len(shape) - 1 and len(shape) > 1:
        unit = -1
    role: Role = ""
    if kind(node) in NONLINEAR:
        role = "post"
    elif any(kind(user) in NONLINEAR for user in _through_same_values(node)):
        role = "pre"
    return Layer(names[0], kind(node), shape, unit, role, names[1:], batch_axis, rows)


def _through_same_values(node: fx.Node) -> Iterator[fx.Node]:
    for user in node.users:
        if kind(user) in SAME_VALUES:
            yield from _through_same_values(user)
        else:
            yield user
