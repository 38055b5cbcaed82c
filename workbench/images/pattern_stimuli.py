"""Stimuli that fill an area: gratings, checkers, centre and surround, high beside low frequency, patches and whole fields of colour."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.images.image_set import Size
from workbench.images.stimulus import (
    GROUND,
    INK,
    PLACE,
    Parameter,
    StimulusFamily,
    Table,
    column,
    inside,
    paint,
    pixel_grid,
    register_family,
    turned,
)
from workbench.input_error import InputError

CONTRAST = Parameter("contrast", "contrasts", "", 1, (0.1, 1), (0, 1), "1 goes from pure ink to pure ground")
PHASE = Parameter("phase", "phases", "degrees", 0, (0, 360), (0, 360), "0 has ink at (x, y), 180 ground", "circular")


@register_family
class Gratings(StimulusFamily):
    """Sine waves between ink and ground, whole or seen through a Gaussian window (a Gabor patch)."""

    name = "gratings"
    title = "Gratings"
    parameters = (
        Parameter(
            "orientation",
            "orientations",
            "degrees",
            0,
            (0, 180),
            (0, 180),
            "direction of the stripes: 0 lie, 90 stand",
            "circular",
        ),
        Parameter(
            "frequency", "frequencies", "cycles a side", 8, (2, 32), (0, 1000), "waves across the shorter side", "ratio"
        ),
        PHASE,
        CONTRAST,
        Parameter(
            "window",
            "windows",
            "of the side",
            math.inf,
            (0.1, 0.3),
            (0.001, math.inf),
            "standard deviation of the window",
            "ratio",
        ),
        *PLACE,
        *INK,
        *GROUND,
    )
    counts: ClassVar[Mapping[str, int]] = {"orientations": 12, "frequencies": 5, "phases": 4}

    def coverage(self, parameters: Table, size: Size) -> Float[Tensor, "batch y x"]:
        """Return the wave, half ink and half ground on average.

        Raises
        ------
        ValueError
            When the waves are too fine for the pixels: more than half a cycle a pixel would show as other, coarser waves.
        """
        refuse_finer(parameters, "frequency", min(size) / 2, size)
        along, across, _ = turned(parameters, size, column(parameters, "orientation") + 90)
        wave = torch.cos(2 * math.pi * column(parameters, "frequency") * along + column(parameters, "phase").deg2rad())
        window = torch.exp(-(along.square() + across.square()) / (2 * column(parameters, "window").square()))
        return 0.5 + 0.5 * column(parameters, "contrast") * window * wave


@register_family
class Checkers(StimulusFamily):
    """A board of squares, ink and ground in turn; a square of ink stands in the middle, at (x, y)."""

    name = "checkers"
    title = "Checkers"
    parameters = (
        Parameter(
            "orientation",
            "orientations",
            "degrees",
            0,
            (0, 90),
            (0, 90),
            "how far the board is turned: at 0 its rows lie",
            "circular",
        ),
        Parameter(
            "frequency", "frequencies", "cycles a side", 4, (1, 8), (0, 1000), "pairs of squares along the shorter side", "ratio"
        ),
        CONTRAST,
        *PLACE,
        *INK,
        *GROUND,
    )
    counts: ClassVar[Mapping[str, int]] = {"orientations": 8, "frequencies": 5}

    def coverage(self, parameters: Table, size: Size) -> Float[Tensor, "batch y x"]:
        """Return the board, half ink and half ground on average.

        Raises
        ------
        ValueError
            When a square would be smaller than two pixels.
        """
        refuse_finer(parameters, "frequency", min(size) / 4, size)
        along, across, pixel = turned(parameters, size, column(parameters, "orientation"))
        frequency = column(parameters, "frequency").clamp(min=1e-6)
        squares = [_square_wave(distance, frequency, pixel) for distance in (along, across)]
        return 0.5 + 0.5 * column(parameters, "contrast") * squares[0] * squares[1]


@register_family
class CentreSurround(StimulusFamily):
    """A spot of ink in a ring of ground, on the mixture of both: a pair of colours that stand against one another."""

    name = "centre_surround"
    title = "Centre and surround"
    parameters = (
        Parameter("radius", "radii", "of the side", 0.1, (0.03, 0.25), (0, 4), "radius of the spot", "ratio"),
        Parameter(
            "surround", "surrounds", "of the side", 0.2, (0.1, 0.5), (0, 4), "outer radius of the ring around it", "ratio"
        ),
        CONTRAST,
        *PLACE,
        *paint("ink", 0.65, 0.1),
        *paint("ground", 0.65, 0),
    )
    counts: ClassVar[Mapping[str, int]] = {"radii": 6, "ink_hues": 12}

    def coverage(self, parameters: Table, size: Size) -> Float[Tensor, "batch y x"]:
        """Return 1 in the spot, 0 in the ring and a half around them."""
        x, y, pixel = pixel_grid(size)
        right, down = x - column(parameters, "x"), y - column(parameters, "y")
        distance = (right.square() + down.square()).sqrt()
        radius = column(parameters, "radius")
        spot = inside(radius - distance, pixel)
        whole = inside(torch.maximum(column(parameters, "surround"), radius) - distance, pixel)
        return 0.5 + column(parameters, "contrast") * (spot - 0.5 * whole)


@register_family
class HighLow(StimulusFamily):
    """Fine waves on one side of a straight boundary through (x, y) and coarse ones on the other, both half ink and half ground on average.

    References
    ----------
    Schubert et al., "High-Low Frequency Detectors", Distill 2021.
    """

    name = "high_low"
    title = "High beside low frequency"
    parameters = (
        Parameter(
            "orientation",
            "orientations",
            "degrees",
            0,
            (0, 360),
            (0, 360),
            "on which side the high frequency is: 0 right, 90 above",
            "circular",
        ),
        Parameter("high", "highs", "cycles a side", 16, (10, 24), (0, 1000), "waves of the fine side", "ratio"),
        Parameter("low", "lows", "cycles a side", 4, (2, 8), (0, 1000), "waves of the coarse side", "ratio"),
        Parameter(
            "stripes",
            "stripe_directions",
            "degrees",
            90,
            (0, 180),
            (0, 180),
            "direction of the stripes from that of the boundary: 0 run along it, 90 meet it",
            "circular",
        ),
        PHASE,
        CONTRAST,
        *PLACE,
        *INK,
        *GROUND,
    )
    counts: ClassVar[Mapping[str, int]] = {"orientations": 16, "phases": 4}

    def coverage(self, parameters: Table, size: Size) -> Float[Tensor, "batch y x"]:
        """Return the waves.

        Raises
        ------
        ValueError
            When the waves are too fine for the pixels.
        """
        for name in ("high", "low"):
            refuse_finer(parameters, name, min(size) / 2, size)
        along, across, pixel = turned(parameters, size, column(parameters, "orientation"))
        stripes = column(parameters, "stripes").deg2rad()
        place, phase = along * stripes.cos() + across * stripes.sin(), column(parameters, "phase").deg2rad()
        high, low = (torch.cos(2 * math.pi * column(parameters, name) * place + phase) for name in ("high", "low"))
        return 0.5 + 0.5 * column(parameters, "contrast") * torch.lerp(low, high, inside(along, pixel))


@register_family
class Patches(StimulusFamily):
    """Squares of one colour on another."""

    name = "patches"
    title = "Patches of colour"
    parameters = (
        Parameter("extent", "extents", "of the side", 0.25, (0.05, 0.6), (0, 4), "length of the square's sides", "ratio"),
        Parameter(
            "orientation",
            "orientations",
            "degrees",
            0,
            (0, 90),
            (0, 90),
            "how far the square is turned: 0 stands on a side",
            "circular",
        ),
        CONTRAST,
        *PLACE,
        *paint("ink", 0.7, 0.1),
        *GROUND,
    )
    counts: ClassVar[Mapping[str, int]] = {"extents": 4, "ink_hues": 12}

    def coverage(self, parameters: Table, size: Size) -> Float[Tensor, "batch y x"]:
        """Return how much of each pixel is ink."""
        along, across, pixel = turned(parameters, size, column(parameters, "orientation"))
        half = column(parameters, "extent") / 2
        strips = [inside(half - distance, pixel) - inside(-half - distance, pixel) for distance in (along, across)]
        return column(parameters, "contrast") * strips[0] * strips[1]


@register_family
class Colours(StimulusFamily):
    """One even colour, the ink's; the ground does not show."""

    name = "colours"
    title = "Colours"
    parameters = (*paint("ink", 0.7, 0.1), *GROUND)
    counts: ClassVar[Mapping[str, int]] = {"ink_hues": 36}

    def coverage(self, parameters: Table, size: Size) -> Float[Tensor, "batch y x"]:
        """Return ink everywhere."""
        return torch.ones(len(parameters), *size)


def refuse_finer(parameters: Table, name: str, most: float, size: Size) -> None:
    """Raise InputError when a frequency, in cycles a side, is above what the pixels can show."""
    frequency = float(np.max(parameters[name], initial=0.0))
    if frequency > most:
        raise InputError(f"{frequency:g} cycles a side cannot be shown on {min(size)} pixels; at most {int(most)} can")


def _square_wave(
    distance: Float[Tensor, "batch y x"], frequency: Float[Tensor, "batch 1 1"], pixel: float
) -> Float[Tensor, "batch y x"]:
    """Return a square wave seen through `BLUR`, 1 around 0 and -1 half a wave away.

    From the three nearest edges; of those farther away nothing is seen where half a wave is at least two pixels.
    """
    half = 0.5 / frequency
    wave = distance * frequency
    middle = (wave - wave.round()).div_(frequency).abs_()  # from the middle of the nearest high part, up to half a wave
    nearest = half / 2 - middle
    others = inside(nearest - half, pixel).add_(inside(nearest + half, pixel))
    found: Tensor = inside(nearest, pixel).sub_(others).mul_(2).add_(1)
    return found
