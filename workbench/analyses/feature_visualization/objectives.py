"""An algebra of objectives: what an image is optimised for.

An objective is a weighted sum of terms, each of which turns the activations of a batch into one number per image. Terms are plain
data, so an objective can be read, compared, stored and typed: its name is the expression that makes it again.

>>> objective = channel("mixed4a", 3) - 0.5 * diversity("mixed4a")
>>> str(objective)
"channel('mixed4a', 3) - 0.5 * diversity('mixed4a')"
>>> parse(str(objective)) == objective
True

A term without a unit, such as ``channel("mixed4a")``, reads in each row of the batch the unit that row is rendered for: one expression
serves a whole batch of units. The terms and their defaults are those of Lucid's ``optvis/objectives.py`` (Olah et al., "Feature
Visualization", Distill 2017).
"""

from __future__ import annotations

import ast
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.input_error import InputError

EPSILON = 1e-8


@dataclass(frozen=True)
class Rows:
    """What the terms read of one batch; a row is one image.

    Attributes
    ----------
    activations
        Per layer ``row unit *position``; positions are none (a vector), tokens, or y and x.
    units
        The unit each row is rendered for.
    seeds
        Images per unit; rows of one unit stand together.
    directions
        The direction each row is rendered for, where it is one.
    references
        Per layer the activations of the picture that each row caricatures, of the same shape as `activations`.
    """

    activations: Mapping[str, Tensor]
    units: Int[Tensor, "row"]
    seeds: int = 1
    directions: Float[Tensor, "row unit"] | None = None
    references: Mapping[str, Tensor] | None = None

    def of_unit(self, layer: str, unit: int | None) -> Float[Tensor, "row *position"]:
        """Return the map of one unit, or in each row of that row's own unit, in float32."""
        activation = self.activations[layer]
        if unit is not None:
            return activation[:, unit].float()
        return activation[torch.arange(len(activation), device=activation.device), self.units].float()


@dataclass(frozen=True)
class Term(ABC):
    """One thing to increase, read at one layer."""

    layer: str

    @abstractmethod
    def value(self, rows: Rows) -> Float[Tensor, "row"]:
        """Return one number per image; it is increased where the term's weight is positive."""

    def __str__(self) -> str:
        shown = [repr(self.layer)]
        positional = True
        for part in fields(self)[1:]:
            value = getattr(self, part.name)
            positional = positional and value != part.default
            if value != part.default:
                shown.append(repr(value) if positional else f"{part.name}={value!r}")
        return f"{type(self).__name__.lower()}({', '.join(shown)})"


@dataclass(frozen=True)
class Channel(Term):
    """Mean of one unit over all positions."""

    unit: int | None = None

    def value(self, rows: Rows) -> Float[Tensor, "row"]:
        """Return the mean activation of the unit."""
        chosen = rows.of_unit(self.layer, self.unit)
        return chosen.reshape(len(chosen), -1).mean(1)


@dataclass(frozen=True)
class Neuron(Term):
    """One unit at one position: by default the middle of a map, of an even number of positions the later of the two middle ones.

    In a layer of patches the middle patch is elsewhere: see `Objective.placed`.
    """

    unit: int | None = None
    position: tuple[int, ...] | None = None

    def value(self, rows: Rows) -> Float[Tensor, "row"]:
        """Return the activation of the unit at the position."""
        chosen = rows.of_unit(self.layer, self.unit)
        position = self.position if self.position is not None else tuple(size // 2 for size in chosen.shape[1:])
        sizes = tuple(chosen.shape[1:])
        if len(position) != len(sizes) or any(not 0 <= at < size for at, size in zip(position, sizes, strict=True)):
            raise InputError(
                f"position {position} does not exist in {self.layer}, whose map is {sizes} at this input size"
            )
        for at in position:
            chosen = chosen[:, at]
        return chosen


@dataclass(frozen=True)
class Direction(Term):
    """A direction of the layer's space: dot * max(0.1, cos)^power, mean over all positions, the direction at unit length.

    Power 0 is the plain dot product; higher powers punish what the direction does not contain.
    """

    vector: tuple[float, ...] | None = None
    power: float = 1.0

    def value(self, rows: Rows) -> Float[Tensor, "row"]:
        """Return the mean over positions of the projection, weighted by the cosine."""
        activation = rows.activations[self.layer].float()
        if self.vector is not None:
            vector = torch.tensor(self.vector, dtype=activation.dtype, device=activation.device).expand(len(activation), -1)
        elif rows.directions is not None:
            vector = rows.directions
        else:
            raise InputError(f"{self} names no vector and the rows have none; give `directions`")
        if vector.shape[1] != activation.shape[1]:
            raise InputError(f"a direction of {self.layer} needs {activation.shape[1]} numbers, got {vector.shape[1]}")
        vector = vector / (vector.norm(dim=1, keepdim=True) + EPSILON)
        dot = torch.einsum("ru...,ru->r...", activation, vector)
        if self.power:
            cosine = dot / (activation.norm(dim=1) + EPSILON)
            dot = dot * cosine.clamp(min=0.1).pow(self.power)
        return dot.reshape(len(dot), -1).mean(1)


@dataclass(frozen=True)
class DeepDream(Term):
    """Mean square of the whole layer: whatever it already sees, more of it (Mordvintsev et al. 2015)."""

    def value(self, rows: Rows) -> Float[Tensor, "row"]:
        """Return the mean over units and positions of the squared activation."""
        activation = rows.activations[self.layer].float()
        return activation.reshape(len(activation), -1).square().mean(1)


@dataclass(frozen=True)
class Caricature(Term):
    """What the layer sees in a picture, exaggerated: dot * max(0.1, cos)^power with the picture's own activations, per position.

    Source: Lucid's caricature notebooks ("Activation Atlas", "Exploring Neural Networks with Activation Atlases", 2019).
    """

    power: float = 1.0

    def value(self, rows: Rows) -> Float[Tensor, "row"]:
        """Return the mean over positions of the projection on the picture's activation, weighted by the cosine of all positions."""
        if rows.references is None:
            raise InputError(f"{self} needs pictures; give an image set and their indices as units")
        activation = rows.activations[self.layer].float()
        activation = activation.reshape(len(activation), -1)
        reference = rows.references[self.layer].float().reshape(len(activation), -1)
        reference = reference / (reference.norm(dim=1, keepdim=True) + EPSILON)
        dot: Tensor = (activation * reference).sum(1)
        cosine: Tensor = dot / (activation.norm(dim=1) + EPSILON)
        return dot * cosine.clamp(min=0.1).pow(self.power)


@dataclass(frozen=True)
class Diversity(Term):
    """How alike the images of one unit are: cosine between the Gram matrices of the layer, mean over the unit's other seeds.

    Subtract it to make the seeds differ. The cosine, in [-1, 1], is multiplied by the row's own root mean square activation (held
    constant), so that one weight means the same at every layer; with a single seed it is 0.
    """

    def value(self, rows: Rows) -> Float[Tensor, "row"]:
        """Return the likeness of each image to its siblings, in units of activation."""
        activation = rows.activations[self.layer].float()
        if rows.seeds == 1:
            return torch.zeros(len(activation), device=activation.device)
        activation = activation.reshape(*activation.shape[:2], -1)
        gram = (activation @ activation.transpose(1, 2)).flatten(1)
        gram = (gram / (gram.norm(dim=1, keepdim=True) + EPSILON)).unflatten(0, (-1, rows.seeds))
        cosine = gram @ gram.transpose(1, 2)
        others: Tensor = (cosine.sum(2) - cosine.diagonal(dim1=1, dim2=2)) / (rows.seeds - 1)
        scale = activation.detach().flatten(1).square().mean(1).sqrt()
        return others.flatten() * scale


@dataclass(frozen=True)
class Objective:
    """A weighted sum of terms; add, subtract, negate, and multiply by numbers.

    Attributes
    ----------
    terms
        (weight, term) pairs.
    """

    terms: tuple[tuple[float, Term], ...]

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that must be computed, each once."""
        return tuple(dict.fromkeys(term.layer for _, term in self.terms))

    def value(self, rows: Rows) -> Float[Tensor, "row"]:
        """Return the weighted sum, one number per image."""
        return torch.stack([weight * term.value(rows) for weight, term in self.terms]).sum(0)

    def without(self, kind: type[Term]) -> Objective:
        """Return the objective without its terms of one kind."""
        return Objective(tuple(pair for pair in self.terms if not isinstance(pair[1], kind)))

    def placed(self, middles: Mapping[str, tuple[int, ...]]) -> Objective:
        """Return the objective with the neurons that name no position put in the middle of their layers, as far as these are given."""
        return Objective(
            tuple(
                (weight, replace(term, position=middles.get(term.layer)))
                if isinstance(term, Neuron) and term.position is None
                else (weight, term)
                for weight, term in self.terms
            )
        )

    def at(self, layer: str, name: str) -> Objective:
        """Return the objective with one layer called by another name."""
        return Objective(
            tuple((weight, replace(term, layer=name) if term.layer == layer else term) for weight, term in self.terms)
        )

    def __add__(self, other: Objective) -> Objective:
        return Objective(self.terms + other.terms)

    def __neg__(self) -> Objective:
        return self * -1

    def __sub__(self, other: Objective) -> Objective:
        return self + -other

    def __mul__(self, factor: float) -> Objective:
        return Objective(tuple((weight * float(factor), term) for weight, term in self.terms))

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> Objective:
        return self * (1 / divisor)

    def __str__(self) -> str:
        shown = ""
        for weight, term in self.terms:
            sign = "-" if weight < 0 else "+"
            factor = "" if abs(weight) == 1 else f"{abs(weight):g} * "
            shown += f" {sign} {factor}{term}"
        return shown.removeprefix(" + ") if shown.startswith(" + ") else shown.replace(" - ", "-", 1)


def channel(layer: str, unit: int | None = None) -> Objective:
    """Return the objective "mean of the unit over all positions"."""
    return Objective(((1.0, Channel(layer, unit)),))


def neuron(layer: str, unit: int | None = None, position: tuple[int, ...] | None = None) -> Objective:
    """Return the objective "the unit at one position", by default the centre; a position is (y, x), or (token,)."""
    return Objective(((1.0, Neuron(layer, unit, position)),))


def direction(layer: str, vector: tuple[float, ...] | None = None, power: float = 1.0) -> Objective:
    """Return the objective "along a direction of the layer": dot * max(0.1, cos)^power."""
    return Objective(((1.0, Direction(layer, vector, power)),))


def deepdream(layer: str) -> Objective:
    """Return the objective "mean square of the whole layer"."""
    return Objective(((1.0, DeepDream(layer)),))


def caricature(layer: str, power: float = 1.0) -> Objective:
    """Return the objective "what the layer sees in the row's picture"."""
    return Objective(((1.0, Caricature(layer, power)),))


def diversity(layer: str) -> Objective:
    """Return the likeness of the images of one unit; subtract it to make the seeds differ."""
    return Objective(((1.0, Diversity(layer)),))


WORDS: dict[str, Callable[..., Objective]] = {
    "channel": channel,
    "neuron": neuron,
    "direction": direction,
    "deepdream": deepdream,
    "caricature": caricature,
    "diversity": diversity,
}
SUMS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


def parse(expression: str, layer: str | None = None) -> Objective:
    """Read an objective from the expression that names it.

    Parameters
    ----------
    expression
        Such as ``channel - 0.5 * diversity`` or ``channel('mixed4a', 3) + 0.2 * neuron('mixed5b', position=(3, 3))``. Only the
        words of this file, numbers, texts, tuples and + - * / are understood; nothing is executed.
    layer
        The layer of words that name none.

    Raises
    ------
    ValueError
        When the expression is not one of these.
    """

    def fail(reason: str) -> InputError:
        return InputError(f"cannot read the objective {expression!r}: {reason}; known words are {', '.join(WORDS)}")

    def read(node: ast.expr) -> Any:
        match node:
            case ast.BinOp(left, sign, right) if type(sign) in SUMS:
                a, b = read(left), read(right)
                try:
                    return SUMS[type(sign)](a, b)
                except (TypeError, AttributeError, ZeroDivisionError):
                    raise fail(f"{ast.unparse(node)} is not a sum of terms with numbers as weights") from None
            case ast.UnaryOp(ast.USub(), operand):
                return -read(operand)
            case ast.Name(word) if word in WORDS:
                return made(word, [], {})
            case ast.Call(ast.Name(word), arguments, keywords) if word in WORDS:
                named = {keyword.arg: literal(keyword.value) for keyword in keywords if keyword.arg}
                return made(word, [literal(argument) for argument in arguments], named)
            case ast.Constant(value) if type(value) in (int, float):
                return value
            case _:
                raise fail(f"{ast.unparse(node)} is unknown")

    def literal(node: ast.expr) -> Any:
        try:
            value = ast.literal_eval(node)
        except ValueError:
            raise fail(f"{ast.unparse(node)} is not a plain value") from None
        return tuple(value) if isinstance(value, list) else value

    def made(word: str, arguments: list[Any], named: dict[str, Any]) -> Objective:
        if "layer" not in named and not (arguments and isinstance(arguments[0], str)):
            if layer is None:
                raise fail(f"{word} names no layer")
            arguments = [layer, *arguments]
        try:
            return WORDS[word](*arguments, **named)
        except TypeError as error:
            raise fail(str(error)) from None

    try:
        found = read(ast.parse(expression.strip(), mode="eval").body)
    except SyntaxError as error:
        raise fail(error.msg) from None
    if not isinstance(found, Objective):
        raise fail("it names no term")
    return found
