"""What a parametric stimulus is: a table of parameters, and a function that draws its rows.

The parameters are the ground truth: exact numbers of which the picture is a sampled, anti-aliased rendering. They are written so that
the same row means the same picture at every size: lengths are fractions of the shorter side of the image, positions count from its
middle (x to the right, y downwards), angles are degrees counter-clockwise as seen, 0 pointing right. Colours are OKLCH (`colour.py`),
mixed as encoded sRGB values.

A new family is a subclass of `StimulusFamily` decorated with `register_family`; strokes are in `stroke_stimuli`, what fills an area in
`pattern_stimuli`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.images.colour import oklch_to_srgb
from workbench.images.image_set import Size, suggestion
from workbench.input_error import InputError

Table = npt.NDArray[Any]
"""Rows of parameters: a structured array with one float64 field a parameter."""

BLUR = 0.7
"""Standard deviation (pixels) of the Gaussian that edges are sampled with: the same softness in every direction.

With 0.5 a one-pixel line along the grid would carry 10 % less energy than an oblique one; with this, 1 %.
"""


CACHED = 2**18
"""Pixels drawn at once on a processor: few enough that what is computed in between stays in its cache, and so many that threads which draw
side by side do not wait for one another's Python between two operations (with an eighth of it, half as many images a second)."""
AT_ONCE = 2**24
"""Pixels drawn at once on another device."""


@dataclass(frozen=True)
class Parameter:
    """One number that a stimulus depends on.

    Attributes
    ----------
    name, plural
        ``orientation`` gives values, ``orientations`` a count of values spread over `usual`.
    unit
        Such as ``degrees``, ``of the side``, or empty.
    default
        Its value where nothing else is said.
    usual
        The range that counts are spread over and random values are drawn from.
    bounds
        What is allowed at all; for a circular parameter any number is, and `usual` is one full turn.
    spread
        Even steps, equal ratios, or a full turn without its end.
    names
        What the values 0, 1, 2, ... are called where it is a choice and not a quantity; references take the names.
    """

    name: str
    plural: str
    unit: str
    default: float
    usual: tuple[float, float]
    bounds: tuple[float, float]
    help: str
    spread: Literal["even", "ratio", "circular"] = "even"
    names: tuple[str, ...] = ()

    def spaced(self, count: int) -> npt.NDArray[np.float64]:
        """Return `count` values spread over the usual range; one alone is the default."""
        low, high = self.usual
        if count == 1:
            return np.array([self.default])
        if self.names:
            return np.arange(min(count, len(self.names)), dtype=np.float64)
        if self.spread == "ratio":
            return np.geomspace(low, high, count)
        return np.linspace(low, high, count, endpoint=self.spread != "circular")

    def drawn(self, count: int, random: np.random.Generator) -> npt.NDArray[np.float64]:
        """Return `count` random values over the usual range, evenly by ratio where that is the spread."""
        low, high = self.usual
        if self.names:
            return random.integers(0, len(self.names), count).astype(np.float64)
        if self.spread == "ratio":
            return np.exp(random.uniform(math.log(low), math.log(high), count))
        return random.uniform(low, high, count)

    def check(self, values: npt.NDArray[np.float64]) -> None:
        """Raise ValueError when a value is out of bounds or not a number."""
        low, high = self.bounds if self.spread != "circular" else (-1e9, 1e9)
        wrong = values[~((values >= low) & (values <= high))]
        if wrong.size:
            raise InputError(f"{self.name} {wrong[0]:g} is outside {low:g} to {high:g} {self.unit}".rstrip())
        if self.names and (values != values.round()).any():
            raise InputError(f"{self.name} is a choice, a whole number from 0: {', '.join(self.names)}")

    def read(self, text: str) -> float:
        """Return the value that a text names: a number, or one of `names`.

        Raises
        ------
        ValueError
            When it is neither.
        """
        if text in self.names:
            return float(self.names.index(text))
        try:
            return float(text)
        except ValueError:
            known = f"; {suggestion(text, self.names)}" if self.names else ", nor numbers with commas"
            raise InputError(f"{text} is not a number{known}") from None

    def written(self, value: float) -> str:
        """Return a value as a text: its name, or six digits."""
        return self.names[round(value)] if self.names else f"{value:.6g}"


def paint(name: str, lightness: float, chroma: float) -> tuple[Parameter, Parameter, Parameter]:
    """Return the three parameters of a colour: how light it is, how colourful, which hue."""
    return (
        Parameter(
            f"{name}_lightness",
            f"{name}_lightnesses",
            "",
            lightness,
            (0.2, 0.9),
            (0, 1),
            "OKLCH lightness: 0 black, 1 white",
        ),
        Parameter(
            f"{name}_chroma", f"{name}_chromas", "", chroma, (0, 0.1), (0, 0.33), "OKLCH chroma: 0 grey, 0.1 colourful"
        ),
        Parameter(
            f"{name}_hue",
            f"{name}_hues",
            "degrees",
            0,
            (0, 360),
            (0, 360),
            "OKLCH hue: 29 red, 110 yellow, 142 green, 264 blue",
            "circular",
        ),
    )


INK = paint("ink", 0, 0)
GROUND = paint("ground", 1, 0)
PLACE = (
    Parameter(
        "x", "xs", "of the side", 0, (-0.25, 0.25), (-1, 1), "middle of the figure, to the right of the image's middle"
    ),
    Parameter("y", "ys", "of the side", 0, (-0.25, 0.25), (-1, 1), "middle of the figure, below the image's middle"),
)


class StimulusFamily(ABC):
    """A kind of stimulus: its parameters, how to make tables of them, and how to draw a table's rows.

    Every table has the ink and ground colours (`INK`, `GROUND`) beside what shapes the figure.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    version: ClassVar[int] = 1
    """Raised whenever the pictures change, so that cached results are not mistaken for today's."""
    parameters: ClassVar[tuple[Parameter, ...]]
    """In the order of a table's fields, ending with ink and ground."""
    counts: ClassVar[Mapping[str, int]]
    """Parameters that vary when nothing is asked for, and how many values of each."""

    @abstractmethod
    def coverage(self, parameters: Table, size: Size) -> Float[Tensor, "batch y x"]:
        """Return how much of each pixel is ink, 0 to 1; also the mask of the figure."""

    def render(
        self, parameters: Table, size: Size, device: torch.device | str = "cpu"
    ) -> Float[Tensor, "batch channel y x"]:
        """Draw every row as an image of `size` (height, width), float32, sRGB in [0, 1], on a device.

        Raises
        ------
        ValueError
            When a field is missing, a value is out of bounds, or a colour or frequency cannot be shown.
        """
        pixels = CACHED if torch.device(device).type == "cpu" else AT_ONCE
        rows = max(1, pixels // (size[0] * size[1]))
        with torch.device(device):
            ink, ground = (
                torch.as_tensor(colour.astype(np.float32))[:, :, None, None] for colour in self.colours(parameters)
            )
            images = torch.empty(len(parameters), 3, *size)
            for start in range(0, len(parameters), rows):
                piece = slice(start, start + rows)
                coverage = self.coverage(parameters[piece], size)[:, None]
                torch.addcmul(ground[piece], coverage, (ink - ground)[piece], out=images[piece])
        return images

    def colours(self, parameters: Table) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return the ink's and the ground's sRGB colour of every row, each ``n 3``, having checked every value of the table.

        Raises
        ------
        ValueError
            When a field is missing, a value is out of bounds, or a colour cannot be shown.
        """
        missing = [
            parameter.name for parameter in self.parameters if parameter.name not in (parameters.dtype.names or ())
        ]
        if missing:
            raise InputError(
                f"the table has no field {missing[0]!r}; make it with {type(self).__name__}().grid or .random"
            )
        for parameter in self.parameters:
            parameter.check(parameters[parameter.name])
        ink, ground = (oklch_to_srgb(*(parameters[part.name] for part in paint)) for paint in (INK, GROUND))
        return ink, ground

    def grid(self, **values: float | Sequence[float] | npt.NDArray[Any]) -> Table:
        """Return every combination of the given values as rows, the last one given changing fastest; the others at their default.

        A singular name gives values (``radius=[0.1, 0.2]``), a plural a count (``orientations=16``). Without any, `counts` is used.

        Raises
        ------
        ValueError
            When there is no such parameter, or a value is out of bounds.
        """
        axes: dict[str, npt.NDArray[np.float64]] = {}
        for name, given in (values or self.counts).items():
            parameter, counted = self._find(name)
            if parameter.name in axes:
                raise InputError(f"{parameter.name} is given twice, as values and as a count; give one of them")
            if counted:
                count = np.asarray(given)
                if count.ndim or count < 1 or count != int(count):
                    raise InputError(f"{name} is a count of values, a whole number of at least 1, not {given}")
                axes[parameter.name] = parameter.spaced(int(count))
            else:
                axes[parameter.name] = np.atleast_1d(np.asarray(given, dtype=np.float64))
            parameter.check(axes[parameter.name])
        table = self._blank(math.prod(map(len, axes.values())))
        rows = np.array(list(product(*axes.values())), dtype=np.float64).reshape(len(table), len(axes))
        for column, name in enumerate(axes):
            table[name] = rows[:, column]
        return table

    def random(self, count: int, seed: int, vary: Sequence[str] = ()) -> Table:
        """Return rows with the parameters named in `vary` drawn independently over their usual range (all of `counts` for none)."""
        generator = np.random.default_rng(seed)
        table = self._blank(count)
        for name in vary or self.counts:
            parameter, _ = self._find(name)
            table[parameter.name] = parameter.drawn(count, generator)
        return table

    def _blank(self, rows: int) -> Table:
        table = np.zeros(rows, dtype=[(parameter.name, np.float64) for parameter in self.parameters])
        for parameter in self.parameters:
            table[parameter.name] = parameter.default
        return table

    def _find(self, name: str) -> tuple[Parameter, bool]:
        """Return the parameter of that singular or plural name, and whether it was the plural."""
        for parameter in self.parameters:
            if name in (parameter.name, parameter.plural):
                return parameter, name == parameter.plural
        names = [name for parameter in self.parameters for name in (parameter.name, parameter.plural)]
        raise InputError(f"{self.name} have no parameter {name!r}; {suggestion(name, names)}")


FAMILIES: dict[str, StimulusFamily] = {}
FamilyT = TypeVar("FamilyT", bound=type[StimulusFamily])


def register_family(family: FamilyT) -> FamilyT:
    """Class decorator: make a family known by its name."""
    FAMILIES[family.name] = family()
    return family


def column(parameters: Table, name: str) -> Float[Tensor, "batch 1 1"]:
    """Return a field as a tensor that broadcasts over the pixels, on the device that is drawn on."""
    return torch.as_tensor(parameters[name].astype(np.float32))[:, None, None]


def pixel_grid(size: Size) -> tuple[Float[Tensor, "1 x"], Float[Tensor, "y 1"], float]:
    """Return x and y of the pixels' middles, and the size of a pixel, all as fractions of the shorter side."""
    pixel = 1 / min(size)
    y, x = (((torch.arange(length) + 0.5) - length / 2) * pixel for length in size)
    return x[None, :], y[:, None], pixel


def turned(
    parameters: Table, size: Size, direction: Float[Tensor, "batch 1 1"]
) -> tuple[Float[Tensor, "batch y x"], Float[Tensor, "batch y x"], float]:
    """Return each pixel's distance from the figure's middle along a direction (degrees) and across it (to its left), and a pixel's size."""
    x, y, pixel = pixel_grid(size)
    right, up = x - column(parameters, "x"), column(parameters, "y") - y
    cosine, sine = direction.deg2rad().cos(), direction.deg2rad().sin()
    return right * cosine + up * sine, up * cosine - right * sine, pixel


def inside(distance: Float[Tensor, "..."], pixel: float) -> Float[Tensor, "..."]:
    """Return how much of a pixel lies inside a straight edge that is `distance` away (negative outside), seen through `BLUR`."""
    return (distance * (math.sqrt(0.5) / (BLUR * pixel))).erf_().mul_(0.5).add_(0.5)
