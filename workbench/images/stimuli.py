"""The families of parametric stimuli: lines, curves, gratings, colours."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.images.image_set import Size
from workbench.images.stimulus import (
    BLUR,
    GROUND,
    INK,
    PLACE,
    Parameter,
    StimulusFamily,
    Table,
    column,
    paint,
    pixel_grid,
    register_family,
)
from workbench.input_error import InputError

WIDTH = Parameter("width", "widths", "of the side", 0.03, (0.01, 0.1), (0.001, 1), "width of the stroke", "ratio")


@register_family
class Lines(StimulusFamily):
    """Straight strokes with round ends."""

    name = "lines"
    title = "Lines"
    parameters = (
        Parameter(
            "orientation",
            "orientations",
            "degrees",
            0,
            (0, 180),
            (0, 180),
            "direction of the line: 0 lies, 90 stands",
            "circular",
        ),
        Parameter(
            "length", "lengths", "of the side", 3, (0.1, 1), (0, 4), "length of the line, by default beyond the image"
        ),
        WIDTH,
        *PLACE,
        *INK,
        *GROUND,
    )
    counts: ClassVar[Mapping[str, int]] = {"orientations": 36}

    def coverage(self, parameters: Table, size: Size) -> Float[Tensor, "batch y x"]:
        """Return how much of each pixel is ink."""
        return stroke(parameters, size, column(parameters, "orientation") + 90, torch.zeros(len(parameters), 1, 1))


@register_family
class Curves(StimulusFamily):
    """Arcs of circles with round ends; the middle of the arc is what stands at (x, y)."""

    name = "curves"
    title = "Curves"
    parameters = (
        Parameter(
            "orientation",
            "orientations",
            "degrees",
            90,
            (0, 360),
            (0, 360),
            "where the curve bulges to: 90 is an arch",
            "circular",
        ),
        Parameter("radius", "radii", "of the side", 0.3, (0.16, 1), (0.01, math.inf), "radius of the circle", "ratio"),
        Parameter("length", "lengths", "of the side", 0.5, (0.2, 1), (0, 10), "length along the arc"),
        WIDTH,
        *PLACE,
        *INK,
        *GROUND,
    )
    counts: ClassVar[Mapping[str, int]] = {"orientations": 24, "radii": 6}

    def coverage(self, parameters: Table, size: Size) -> Float[Tensor, "batch y x"]:
        """Return how much of each pixel is ink."""
        return stroke(parameters, size, column(parameters, "orientation"), 1 / column(parameters, "radius"))


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
        Parameter("phase", "phases", "degrees", 0, (0, 360), (0, 360), "0 has ink at (x, y), 180 ground", "circular"),
        Parameter("contrast", "contrasts", "", 1, (0.1, 1), (0, 1), "1 goes from pure ink to pure ground"),
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
        if len(parameters) and parameters["frequency"].max() > min(size) / 2:
            raise InputError(
                f"{parameters['frequency'].max():g} cycles a side cannot be shown on {min(size)} pixels; at most {min(size) // 2} can"
            )
        along, across, _ = turned(parameters, size, column(parameters, "orientation") + 90)
        wave = torch.cos(2 * math.pi * column(parameters, "frequency") * along + column(parameters, "phase").deg2rad())
        window = torch.exp(-(along.square() + across.square()) / (2 * column(parameters, "window").square()))
        return 0.5 + 0.5 * column(parameters, "contrast") * window * wave


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


def turned(
    parameters: Table, size: Size, direction: Float[Tensor, "batch 1 1"]
) -> tuple[Float[Tensor, "batch y x"], Float[Tensor, "batch y x"], float]:
    """Return each pixel's distance from the figure's middle along a direction (degrees) and across it (to its left), and a pixel's size."""
    x, y, pixel = pixel_grid(size)
    right, up = x - column(parameters, "x"), column(parameters, "y") - y
    cosine, sine = direction.deg2rad().cos(), direction.deg2rad().sin()
    return right * cosine + up * sine, up * cosine - right * sine, pixel


def stroke(
    parameters: Table, size: Size, bulge: Float[Tensor, "batch 1 1"], curvature: Float[Tensor, "batch 1 1"]
) -> Float[Tensor, "batch y x"]:
    """Return how much of each pixel an arc covers that bulges towards `bulge` (degrees); curvature 0 is a straight line.

    The profile across the stroke is exact for a straight line seen through a Gaussian of `BLUR` pixels. All is written in the curvature
    k, not the radius, so that nothing is lost on the way to a straight line.
    """
    u, v, pixel = turned(parameters, size, bulge)  # u out of the curve, v along its tangent
    k, half = curvature, column(parameters, "length") / 2
    off = (k * (u.square() + v.square()) + 2 * u) / (torch.hypot(1 + k * u, k * v) + 1)
    along = torch.where(k > 0, torch.atan2(k * v, 1 + k * u) / k.clamp(min=1e-12), v)
    turn = k * half / math.pi  # torch.sinc(x) is sin(pi x) / (pi x)
    end_v, end_u = half * torch.sinc(turn), -k * half.square() / 2 * torch.sinc(turn / 2).square()
    to_end = torch.hypot(u - end_u, v.abs() - end_v)
    distance = torch.where(along.abs() <= half, off.abs(), to_end)
    half_width = column(parameters, "width") / 2
    inner, outer = ((edge - distance) / (BLUR * pixel) for edge in (-half_width, half_width))
    coverage: Tensor = torch.special.ndtr(outer) - torch.special.ndtr(inner)
    return coverage
