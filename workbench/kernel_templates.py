"""Kernels written by hand from a few numbers: Gabor filters, lines, curves, colour contrasts and the other families of early vision.

A template is written over a *ground*: the red, green and blue of an image, or the units of an earlier layer, of which it is known which
line each detects (`Ground`). Over pixels a template is a pattern in space times a colour; over line detectors it says how strong, and in
which direction, a line has to be at each place, and every detector is weighted by how well it fits: a curve is made of tangents.

Directions are degrees counter-clockwise, 0 pointing right, as in `workbench.images.stimuli`; lengths are cells of the layer that is read.

References
----------
Olah et al., "An Overview of Early Vision in InceptionV1" (Distill 2020), for what the families are; Cammarata et al., "Curve Circuits"
(Distill 2021), the section on the artificial network, for curves made of tangent detectors.
"""

from __future__ import annotations

import math
from abc import ABC
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from workbench.images.colour import oklch_to_srgb
from workbench.input_error import InputError
from workbench.kernel_ground import Ground, Over, Plane

Kernel = npt.NDArray[np.float32]
"""``channel y x``."""
NO_LINES = "none of the units it reads is known as a line detector; measure them first, or choose a layer whose inputs are"


class TemplateError(InputError):
    """A template cannot be written so; `field` names the parameter that must change, empty where none would help."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field, self.reason = field, message


@dataclass(frozen=True)
class Knob:
    """One number of a template, with the bounds between which it means something."""

    name: str
    unit: str
    default: float
    low: float
    high: float
    help: str


SHARED: dict[Over, tuple[Knob, ...]] = {
    "pixels": (
        Knob("colour", "", 0, 0, 1, "0: light against dark; 1: one hue against another, equally light"),
        Knob("hue", "degrees", 29, 0, 360, "hue that excites, where there is colour: 29 red, 110 yellow, 142 green, 264 blue"),
        Knob("other_hue", "degrees", 195, 0, 360, "hue that inhibits, where there is colour"),
    ),
    "family": (
        Knob("sharpness", "", 8, 0.5, 100, "how exactly a detector has to fit: exp(sharpness (cos 2d - 1)) for d degrees beside it"),
        Knob("across", "", 0.35, 0, 2, "how much detectors of lines that run across inhibit"),
        Knob("colour", "", 0, 0, 1, "0: detectors of all colours alike; 1: each as it responds to lines of the hue"),
        Knob("hue", "degrees", 29, 0, 360, "hue of the line, where there is colour: 29 red, 110 yellow, 142 green, 264 blue"),
    ),
}
"""Further parameters that every template has over pixels, and over units."""


class Template(ABC):
    """A kind of kernel: what its numbers are, and how it is written from them."""

    name: ClassVar[str]
    title: ClassVar[str]
    help: ClassVar[str]
    knobs: ClassVar[tuple[Knob, ...]]
    over: ClassVar[tuple[Over, ...]]
    defaults: ClassVar[Mapping[str, float]] = {}
    """Other defaults of shared knobs."""

    def parameters(self, over: Over) -> tuple[Knob, ...]:
        """Return all knobs it has over pixels, or over units."""
        shared = (
            Knob(k.name, k.unit, self.defaults.get(k.name, k.default), k.low, k.high, k.help)
            for k in SHARED[over]
            if k.name not in self.without()
        )
        return (*self.knobs, *shared)

    def without(self) -> frozenset[str]:
        """Name shared knobs that mean nothing here."""
        return frozenset()

    def checked(self, ground: Ground, values: Mapping[str, float]) -> dict[str, float]:
        """Return all values, defaults filled in.

        Raises
        ------
        TemplateError
            At the field that is unknown, out of bounds, or impossible beside the others.
        """
        if ground.over not in self.over:
            raise TemplateError("", f"{self.title.lower()}: {self.refusal(ground.over)}")
        knobs = {knob.name: knob for knob in self.parameters(ground.over)}
        for name, value in values.items():
            if name not in knobs:
                raise TemplateError(name, f"{self.title} has no such parameter; it has {', '.join(knobs)}")
            knob = knobs[name]
            if not (math.isfinite(value) and knob.low <= value <= knob.high):
                raise TemplateError(name, f"{value:g} is not between {knob.low:g} and {knob.high:g} {knob.unit}".rstrip())
        whole = {name: float(values.get(name, knob.default)) for name, knob in knobs.items()}
        if ground.over == "pixels" and whole["colour"] > 0 and ground.channels == 1:
            raise TemplateError("colour", "the network reads a grey image; leave it 0")
        if ground.over == "pixels" and whole["colour"] > 0 and abs(_turn(whole["hue"] - whole["other_hue"])) < 1:
            raise TemplateError("other_hue", "it is the hue that excites: there would be no contrast")
        self.check(whole, ground)
        return whole

    def refusal(self, over: Over) -> str:
        """Say why it cannot be written over pixels, or over units."""
        if over == "pixels":
            return "it is made of detectors of an earlier layer, and this layer reads the image itself"
        return "it is made of colours, and this layer reads units, not the image"

    def check(self, values: Mapping[str, float], ground: Ground) -> None:  # noqa: B027 - most have nothing to check
        """Raise `TemplateError` where values do not fit one another."""

    def kernel(self, ground: Ground, values: Mapping[str, float] | None = None) -> Kernel:
        """Write the kernel, ``channel y x``.

        Over pixels it has length 1. Over units a detector that fits exactly has weight 1 where the line is strongest.

        Raises
        ------
        TemplateError
            See `checked`; also where no unit is known to detect anything it could be made of.
        """
        whole = self.checked(ground, values or {})
        right, up = ground.offsets
        if ground.over == "family":
            return self.over_units(whole, ground, right, up).astype(np.float32)
        pattern = self.pattern(whole, right, up)
        length = float(np.linalg.norm(pattern))
        if length < 1e-9:
            raise TemplateError(self.knobs[0].name, "nothing of the pattern is inside the kernel")
        colour = contrast(whole["colour"], whole["hue"], whole["other_hue"]) if ground.channels > 1 else np.ones(1)
        weights = colour[:, None, None] * (pattern / length) * np.asarray(ground.std)[:, None, None]
        written: Kernel = (weights / np.linalg.norm(weights)).astype(np.float32)
        return written

    def pattern(self, values: Mapping[str, float], right: Plane, up: Plane) -> Plane:
        """Return the pattern in space, over pixels."""
        raise NotImplementedError

    def lines(self, values: Mapping[str, float], right: Plane, up: Plane) -> tuple[Plane, Plane]:
        """Return how strong a line has to be at each cell, and in which direction it runs (degrees), over line detectors."""
        raise NotImplementedError

    def over_units(self, values: Mapping[str, float], ground: Ground, right: Plane, up: Plane) -> Plane:
        """Weight every line detector by how well it fits at each cell."""
        known = np.isfinite(ground.angles) if len(ground.angles) else np.zeros(ground.channels, bool)
        if not known.any():
            raise TemplateError("", NO_LINES)
        strength, direction = self.lines(values, right, up)
        beside = np.deg2rad(direction[None] - np.where(known, np.nan_to_num(ground.angles), 0)[:, None, None])
        alike, sharp = np.cos(2 * beside), values["sharpness"]
        fits = np.exp(sharp * (alike - 1)) - values["across"] * np.exp(sharp * (-alike - 1))
        weight = np.where(known, ground.strengths, 0) * tinted(ground, values)
        written: Plane = weight[:, None, None] * strength[None] * fits
        return written


TEMPLATES: dict[str, Template] = {}
"""All of them by name, in the order they are offered."""


def _register(kind: type[Template]) -> type[Template]:
    TEMPLATES[kind.name] = kind()
    return kind


def template(name: str) -> Template:
    """Return a template by its name.

    Raises
    ------
    InputError
        When there is none; the nearest is suggested.
    """
    if name not in TEMPLATES:
        close = get_close_matches(name, TEMPLATES, n=1, cutoff=0.4)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(TEMPLATES)}"
        raise InputError(f"no template is named {name!r}; {hint}")
    return TEMPLATES[name]


def contrast(colour: float, hue: float, other: float) -> Plane:
    """Return the weights of red, green and blue, of length 1: light against dark, one hue against another, or between the two."""
    grey = np.full(3, 1 / math.sqrt(3))
    if not colour:
        return grey
    two = oklch_to_srgb(np.full(2, 0.7), np.full(2, 0.1), np.array([hue, other], np.float64))
    between = two[0] - two[1]
    mixed: Plane = (1 - colour) * grey + colour * between / np.linalg.norm(between)
    mixed /= np.linalg.norm(mixed)
    return mixed


def tinted(ground: Ground, values: Mapping[str, float]) -> Plane:
    """Return a factor for every unit: how well it responds to the hue, as far as that is to count."""
    if not values["colour"]:
        return np.ones(ground.channels)
    if not len(ground.hues):
        raise TemplateError("colour", "how the units respond to colours was not measured; leave it 0")
    apart = np.deg2rad(values["hue"] - ground.hues)
    near = np.exp(4 * (np.cos(apart) - 1))
    response: Plane = ground.tints @ (near / near.sum())
    return (1 - values["colour"]) + values["colour"] * response


def _turn(angle: float) -> float:
    """Bring degrees between -180 and 180."""
    return (angle + 180) % 360 - 180


def _turned(angle: float, right: Plane, up: Plane) -> tuple[Plane, Plane]:
    """Return how far each cell lies along a direction, and to the left of it."""
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return right * cosine + up * sine, up * cosine - right * sine


def _ridge(off: Plane, width: float, window: Plane) -> Plane:
    """Return a bright ridge between two dark flanks, of sum 0 in its window."""
    ridge = np.exp(-(off**2) / (2 * width**2)) * window
    flanks = np.exp(-(off**2) / (2 * (2 * width) ** 2)) * window
    balanced: Plane = ridge - flanks * (ridge.sum() / flanks.sum())
    return balanced


def _disc(right: Plane, up: Plane) -> Plane:
    """Return the largest disc inside the kernel."""
    rows, columns = right.shape
    inside: Plane = (np.hypot(right, up) <= min(rows, columns) / 2).astype(float)
    return inside


def _step(off: Plane, softness: float, window: Plane) -> Plane:
    """Return an edge, bright to the left of it, of sum 0 in its window."""
    edge = np.tanh(off / softness) * window
    balanced: Plane = edge - window * (edge.sum() / window.sum())
    return balanced


ORIENTATION = Knob("orientation", "degrees", 0, -360, 360, "direction of the line: 0 lies, 90 stands")
WIDTH = Knob("width", "cells", 1, 0.2, 20, "standard deviation of the line's profile")
SIZE = Knob("size", "cells", 2, 0.3, 40, "standard deviation of the round window")
SOFTNESS = Knob("softness", "cells", 0.7, 0.05, 20, "how gradual the edge is")


@_register
class Gabor(Template):
    """A wave in a Gaussian window."""

    name, title = "gabor", "Gabor"
    help = "A wave seen through a round window: an edge or a line of one orientation and width."
    over = ("pixels",)
    knobs = (
        ORIENTATION,
        Knob("wavelength", "cells", 5, 2, 60, "distance from one bright stripe to the next; two cells are the least that can be sampled"),
        Knob("phase", "degrees", 0, -360, 360, "0: bright in the middle; 90: an edge"),
        Knob("sigma", "cells", 2, 0.3, 40, "standard deviation of the window across the stripes"),
        Knob("elongation", "", 1, 0.2, 5, "the window's length along the stripes, in its widths"),
    )

    def pattern(self, values: Mapping[str, float], right: Plane, up: Plane) -> Plane:
        """Return the wave, of sum 0."""
        along, across = _turned(values["orientation"], right, up)
        window = np.exp(-(across**2 + (along / values["elongation"]) ** 2) / (2 * values["sigma"] ** 2))
        wave = window * np.cos(2 * math.pi * across / values["wavelength"] + math.radians(values["phase"]))
        balanced: Plane = wave - window * (wave.sum() / window.sum())
        return balanced


@_register
class ComplexGabor(Template):
    """The same line wherever it lies."""

    name, title = "complex_gabor", "Complex Gabor"
    help = "Adds up detectors of one orientation over a window, whatever their phase: a line or edge anywhere in it."
    over = ("family",)
    knobs = (ORIENTATION, SIZE)

    def lines(self, values: Mapping[str, float], right: Plane, up: Plane) -> tuple[Plane, Plane]:
        """Ask for the line everywhere in the window."""
        window: Plane = np.exp(-(right**2 + up**2) / (2 * values["size"] ** 2))
        return window, np.full(right.shape, values["orientation"])


@_register
class Line(Template):
    """A straight line through the middle."""

    name, title = "line", "Line"
    help = "A straight line through the middle; over units, detectors of its orientation placed along it."
    over = ("pixels", "family")
    knobs = (ORIENTATION, WIDTH, Knob("length", "cells", 8, 0.5, 200, "length of the line"))

    def pattern(self, values: Mapping[str, float], right: Plane, up: Plane) -> Plane:
        """Return the line between its dark flanks."""
        along, across = _turned(values["orientation"], right, up)
        return _ridge(across, values["width"], np.exp(-((2 * along / values["length"]) ** 4)))

    def lines(self, values: Mapping[str, float], right: Plane, up: Plane) -> tuple[Plane, Plane]:
        """Ask for the line along itself."""
        along, across = _turned(values["orientation"], right, up)
        strength: Plane = np.exp(-(across**2) / (2 * values["width"] ** 2)) * np.exp(-((2 * along / values["length"]) ** 4))
        return strength, np.full(right.shape, values["orientation"])


@_register
class Curve(Template):
    """An arc through the middle."""

    name, title = "curve", "Curve"
    help = "An arc through the middle; over units, line detectors placed along it as its tangents."
    over = ("pixels", "family")
    knobs = (
        Knob("orientation", "degrees", 90, -360, 360, "where the curve bulges to: 90 is an arch"),
        Knob("radius", "cells", 6, 1, 1000, "radius of the circle"),
        WIDTH,
        Knob("echo", "", 0, 0, 2, "how much the arc that bulges the other way inhibits"),
    )

    def _arc(self, values: Mapping[str, float], right: Plane, up: Plane, turn: float) -> tuple[Plane, Plane]:
        """Return how far each cell is off the arc, and the direction of the tangent there."""
        bulge = math.radians(values["orientation"] + turn)
        x, y = right + values["radius"] * math.cos(bulge), up + values["radius"] * math.sin(bulge)
        return np.hypot(x, y) - values["radius"], np.rad2deg(np.arctan2(y, x)) + 90

    def pattern(self, values: Mapping[str, float], right: Plane, up: Plane) -> Plane:
        """Return the arc between its dark flanks, less its echo."""
        disc = _disc(right, up)
        own, other = (_ridge(self._arc(values, right, up, turn)[0], values["width"], disc) for turn in (0.0, 180.0))
        return own - values["echo"] * other

    def lines(self, values: Mapping[str, float], right: Plane, up: Plane) -> tuple[Plane, Plane]:
        """Ask for tangents along the arc."""
        off, tangent = self._arc(values, right, up, values.get("turn", 0.0))
        strength: Plane = np.exp(-(off**2) / (2 * values["width"] ** 2)) * _disc(right, up)
        return strength, tangent

    def over_units(self, values: Mapping[str, float], ground: Ground, right: Plane, up: Plane) -> Plane:
        """Take the echo off what the arc asks for."""
        own = super().over_units(values, ground, right, up)
        if not values["echo"]:
            return own
        return own - values["echo"] * super().over_units({**values, "turn": 180.0}, ground, right, up)


@_register
class ColourContrast(Template):
    """One colour beside another."""

    name, title = "colour_contrast", "Colour contrast"
    help = "One hue on one side and another on the other."
    over = ("pixels",)
    knobs = (Knob("orientation", "degrees", 0, -360, 360, "direction of the border; the hue that excites is to its left"), SOFTNESS, SIZE)
    defaults: ClassVar[Mapping[str, float]] = {"colour": 1}

    def pattern(self, values: Mapping[str, float], right: Plane, up: Plane) -> Plane:
        """Return the border in its window."""
        _, across = _turned(values["orientation"], right, up)
        return _step(across, values["softness"], np.exp(-(right**2 + up**2) / (2 * values["size"] ** 2)))


@_register
class CentreSurround(Template):
    """A spot on another ground."""

    name, title = "centre_surround", "Centre-surround"
    help = "A round spot that is lighter, or of another hue, than what is around it."
    over = ("pixels",)
    knobs = (
        Knob("centre", "cells", 1, 0.2, 20, "standard deviation of the spot"),
        Knob("surround", "cells", 2, 0.3, 40, "standard deviation of what is around it"),
        Knob("balance", "", 1, 0, 2, "1: an even colour does nothing; 0: no surround"),
    )

    def check(self, values: Mapping[str, float], ground: Ground) -> None:
        """The surround is the larger one."""
        if values["surround"] <= values["centre"]:
            raise TemplateError("surround", f"it is not larger than the centre ({values['centre']:g} cells)")

    def pattern(self, values: Mapping[str, float], right: Plane, up: Plane) -> Plane:
        """Return the difference of two Gaussians."""
        near, far = (np.exp(-(right**2 + up**2) / (2 * values[name] ** 2)) for name in ("centre", "surround"))
        spot: Plane = near / near.sum() - values["balance"] * far / far.sum()
        return spot


@_register
class LineEnd(Template):
    """A line that stops in the middle."""

    name, title = "line_end", "Line end"
    help = "A line that comes from one side and stops in the middle; its going on inhibits."
    over = ("pixels", "family")
    knobs = (
        Knob("orientation", "degrees", 0, -360, 360, "where the line points to as it ends: 0 comes from the left"),
        WIDTH,
        SOFTNESS,
        Knob("stop", "", 1, 0, 2, "how much a line that goes on inhibits"),
    )

    def _half(self, values: Mapping[str, float], right: Plane, up: Plane) -> tuple[Plane, Plane]:
        along, across = _turned(values["orientation"], right, up)
        there = (1 - np.tanh(along / values["softness"])) / 2
        side: Plane = there - values["stop"] * (1 - there)
        return across, side * _disc(right, up)

    def pattern(self, values: Mapping[str, float], right: Plane, up: Plane) -> Plane:
        """Return half a line less its other half."""
        across, side = self._half(values, right, up)
        return _ridge(across, values["width"], _disc(right, up)) * side

    def lines(self, values: Mapping[str, float], right: Plane, up: Plane) -> tuple[Plane, Plane]:
        """Ask for the line on one side and against it on the other."""
        across, side = self._half(values, right, up)
        strength: Plane = side * np.exp(-(across**2) / (2 * values["width"] ** 2))
        return strength, np.full(right.shape, values["orientation"])


@_register
class HighLowFrequency(Template):
    """Fine texture beside coarse."""

    name, title = "high_low_frequency", "High-low frequency"
    help = "Detectors of fine texture on one side and of coarse texture on the other."
    over = ("family",)
    knobs = (
        Knob("orientation", "degrees", 0, -360, 360, "on which side the fine texture is: 0 right, 90 above"),
        SOFTNESS,
        Knob("low", "cycles a cell", 0.1, 0.001, 10, "frequency up to which texture is coarse"),
        Knob("high", "cycles a cell", 0.25, 0.001, 10, "frequency from which on texture is fine"),
    )

    def without(self) -> frozenset[str]:
        """It asks for no direction of lines."""
        return frozenset(("sharpness", "across"))

    def check(self, values: Mapping[str, float], ground: Ground) -> None:
        """High is above low, and there are units of either kind."""
        if values["high"] <= values["low"]:
            raise TemplateError("high", f"it is not above low ({values['low']:g} cycles a cell)")
        known = ground.frequencies[np.isfinite(ground.frequencies)]
        if not (known >= values["high"]).any():
            raise TemplateError("high", f"no unit is known that likes so fine a texture (at most {known.max(initial=0.0):.2g})")
        if not (known <= values["low"]).any():
            raise TemplateError("low", f"no unit is known that likes so coarse a texture (at least {known.min(initial=np.inf):.2g})")

    def over_units(self, values: Mapping[str, float], ground: Ground, right: Plane, up: Plane) -> Plane:
        """Give fine units the one sign and coarse units the other, on the one side and the other way round on the other."""
        along, _ = _turned(values["orientation"], right, up)
        side = np.tanh(along / values["softness"]) * _disc(right, up)
        frequency = np.nan_to_num(ground.frequencies, nan=math.sqrt(values["low"] * values["high"]))
        sign = (frequency >= values["high"]).astype(float) - (frequency <= values["low"])
        weight: Plane = (sign * tinted(ground, values))[:, None, None] * side[None]
        return weight


@_register
class Boundary(Template):
    """Where one thing ends and another begins."""

    name, title = "boundary", "Boundary"
    help = "An edge: light beside dark; over units, lines along it, and more of what has no orientation on its left than on its right."
    over = ("pixels", "family")
    knobs = (
        Knob("orientation", "degrees", 0, -360, 360, "direction of the border; the bright side is to its left"),
        SOFTNESS,
        SIZE,
        Knob("sides", "", 0.5, 0, 4, "how much the two sides count beside the line between them (over units)"),
    )

    def pattern(self, values: Mapping[str, float], right: Plane, up: Plane) -> Plane:
        """Return the edge in its window."""
        _, across = _turned(values["orientation"], right, up)
        return _step(across, values["softness"], np.exp(-(right**2 + up**2) / (2 * values["size"] ** 2)))

    def lines(self, values: Mapping[str, float], right: Plane, up: Plane) -> tuple[Plane, Plane]:
        """Ask for the line along the border."""
        _, across = _turned(values["orientation"], right, up)
        window = np.exp(-(right**2 + up**2) / (2 * values["size"] ** 2))
        strength: Plane = window * np.exp(-(across**2) / (2 * values["softness"] ** 2))
        return strength, np.full(right.shape, values["orientation"])

    def over_units(self, values: Mapping[str, float], ground: Ground, right: Plane, up: Plane) -> Plane:
        """Add what has no orientation, on either side."""
        along = super().over_units(values, ground, right, up)
        _, across = _turned(values["orientation"], right, up)
        side = _step(across, values["softness"], np.exp(-(right**2 + up**2) / (2 * values["size"] ** 2)))
        plain = ~np.isfinite(ground.angles) * tinted(ground, values)
        return along + values["sides"] * plain[:, None, None] * side[None]
