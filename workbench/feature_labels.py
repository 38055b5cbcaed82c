"""Features that a hypothesis claims units compute, as a label of every image: two images agree where their labels are equal.

Written as text, so that a hypothesis is plain data:

```
all                        every image agrees with every other: nothing is claimed
itself                     no image agrees with another: everything is
orientation                the values of a column
orientation / 8            a column of numbers in 8 even bins over its range (angles of a full turn: the last ends where the first begins)
activation / 5             what the units do themselves, at their strongest place, in 5 bins of as many images each
= floor(radius * 10) + 100 * (ink_lightness > 0.5)       an expression of columns; equal values agree
```

An expression is read, not run: numbers, names of columns, ``+ - * / // % **``, comparisons, ``and or not``, and the functions below.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from workbench.input_error import InputError

Labels = npt.NDArray[np.int64]
FUNCTIONS: dict[str, Callable[..., npt.NDArray[Any]]] = {
    "abs": np.abs,
    "floor": np.floor,
    "round": np.round,
    "sqrt": np.sqrt,
    "sin": np.sin,
    "cos": np.cos,
    "min": lambda *values: np.minimum.reduce(values),
    "max": lambda *values: np.maximum.reduce(values),
}
_OF_SEVERAL = ("min", "max")
"""Functions of two values and more; the others are of one."""
_BINNED = re.compile(r"(?P<name>.+?)\s*/\s*(?P<bins>\d{1,18})\Z")
_OPERATIONS: dict[type, Callable[..., npt.NDArray[Any]]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.FloorDiv: np.floor_divide,
    ast.Mod: np.mod,
    ast.Pow: np.power,
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
    ast.And: np.logical_and,
    ast.Or: np.logical_or,
    ast.Not: np.logical_not,
    ast.USub: np.negative,
    ast.UAdd: np.positive,
}


def labels_of(
    feature: str, columns: Mapping[str, Sequence[str]], number: int, activation: Callable[[], npt.NDArray[np.floating]]
) -> Labels:
    """Return the label of every image.

    Parameters
    ----------
    columns
        What is known of the images, one text an image each.
    number
        Images.
    activation
        Gives what the claimed units do on each image; called only where the feature asks for it.

    Raises
    ------
    InputError
        When it names no column, bins what is no number or so finely that a bin is empty, or is no expression.
    """
    text = feature.strip()
    if text == "all":
        return np.zeros(number, np.int64)
    if text == "itself":
        return np.arange(number)
    if text.startswith("="):
        return _places(_evaluated(text[1:], columns, number))
    if text in columns:
        return _places(np.asarray(columns[text]))
    binned = _BINNED.match(text)
    if binned is None:
        raise InputError(f"no column is named {text!r}; there are {', '.join(columns) or 'none'}")
    name, bins = binned["name"], int(binned["bins"])
    if bins < 1:
        raise InputError(f"{text}: there must be at least one bin")
    if bins > number:
        raise InputError(f"{text}: {bins:,} bins of {number:,} images leave some empty; take fewer bins")
    if name == "activation":
        values = np.asarray(activation(), np.float64)
        edges = np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1])
        value, count = np.unique(values, return_counts=True)
        why = f"{count.max()} of {number} images have the one value {value[count.argmax()]:.4g}"
        return _filled(text, np.searchsorted(edges, values, side="right").astype(np.int64), bins, lambda _empty: why)
    values = _numbers(name, columns)
    low, high = _range(values)
    if high == low:
        return _filled(text, np.zeros(number, np.int64), bins, lambda _empty: f"all images have {name} {low:g}")
    found: Labels = np.minimum((values - low) / (high - low) * bins + 1e-9, bins - 1).astype(np.int64)  # an edge is of the upper bin
    wide = (high - low) / bins
    return _filled(text, found, bins, lambda e: f"no image has {name} from {low + e * wide:.4g} to {low + (e + 1) * wide:.4g}")


def _filled(text: str, found: Labels, bins: int, why: Callable[[int], str]) -> Labels:
    """Refuse bins that no image is in: there would be fewer than the hypothesis says; `why` is told the number of the bin, from 0."""
    empty = np.flatnonzero(np.bincount(found, minlength=bins) == 0)
    if len(empty):
        raise InputError(f"{text}: bin {empty[0] + 1} of {bins} is empty, {why(int(empty[0]))}; take fewer bins")
    return found


def _range(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return the ends that bins are spread over; of even steps around a full turn, whose end is not among them, one whole turn."""
    distinct = np.unique(values)
    low, high = float(distinct[0]), float(distinct[-1])
    step = (high - low) / max(1, len(distinct) - 1)
    if len(distinct) > 2 and np.allclose(np.diff(distinct), step) and math.isclose(high - low + step, 360, rel_tol=1e-6):
        return low, low + 360
    return low, high


def _places(values: npt.NDArray[np.generic]) -> Labels:
    found: Labels = np.unique(values, return_inverse=True)[1].astype(np.int64)
    return found


def _numbers(name: str, columns: Mapping[str, Sequence[str]]) -> npt.NDArray[np.float64]:
    if name not in columns:
        raise InputError(f"no column is named {name!r}; there are {', '.join(columns) or 'none'}")
    try:
        return np.array(columns[name], np.float64)
    except ValueError:
        raise InputError(f"the column {name} holds text, not numbers") from None


_DEEP = "{} is nested too deeply"


def _short(text: str) -> str:
    """Return an expression as it is told."""
    return text.strip() if len(text.strip()) <= 80 else f"{text.strip()[:79]}…"


def _evaluated(text: str, columns: Mapping[str, Sequence[str]], number: int) -> npt.NDArray[np.float64]:
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError) as error:
        raise InputError(f"{_short(text)!r} is no expression: {getattr(error, 'msg', error)}") from None
    except (RecursionError, MemoryError):
        raise InputError(_DEEP.format(_short(text))) from None

    def value(node: ast.expr) -> npt.NDArray[Any]:
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            return np.full(number, float(node.value))
        if isinstance(node, ast.Name):
            return _numbers(node.id, columns)
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
            return _OPERATIONS[type(node.op)](value(node.left), value(node.right))
        if isinstance(node, ast.UnaryOp) and type(node.op) in _OPERATIONS:
            return _OPERATIONS[type(node.op)](value(node.operand))
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _OPERATIONS:
            return _OPERATIONS[type(node.ops[0])](value(node.left), value(node.comparators[0]))
        if isinstance(node, ast.BoolOp):
            first, *rest = (value(part) for part in node.values)
            for other in rest:
                first = _OPERATIONS[type(node.op)](first, other)
            return first
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS and not node.keywords:
            several = node.func.id in _OF_SEVERAL
            if len(node.args) < 2 if several else len(node.args) != 1:
                raise InputError(f"{node.func.id} takes {'two values or more' if several else 'one value'}, not {len(node.args)}")
            return FUNCTIONS[node.func.id](*(value(argument) for argument in node.args))
        raise InputError(f"{ast.unparse(node)} cannot be in an expression; use columns, numbers and {', '.join(FUNCTIONS)}")

    with np.errstate(all="ignore"):
        try:
            found = np.asarray(value(tree), np.float64)
        except OverflowError:
            raise InputError(f"{_short(text)}: a number is too large") from None
        except RecursionError:
            raise InputError(_DEEP.format(_short(text))) from None
    if not np.isfinite(found).all():
        raise InputError(f"{text.strip()} is no number for {int((~np.isfinite(found)).sum())} images")
    return found
