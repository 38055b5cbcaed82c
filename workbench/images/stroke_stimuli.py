"""Stimuli made of strokes: lines, curves, the ends of lines, corners, circles.

Each is a signed distance from a line without width, positive on the side it bulges to, from which `painted` makes a plain bar, a bar
between bars of the other colour, or an edge.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

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
    pixel_grid,
    register_family,
    turned,
)

WIDTH = Parameter("width", "widths", "of the side", 0.03, (0.01, 0.1), (0.001, 1), "width of the stroke", "ratio")
PROFILES = ("bar", "balanced", "edge")
BAR, BALANCED, EDGE = range(3)
PROFILE = Parameter(
    "profile",
    "profiles",
    "",
    BAR,
    (0, 2),
    (0, 2),
    "across the stroke: bar is ink on ground; on a mixture of both, balanced is ink between two strips of ground half as wide, and edge "
    "a width of ink on the inner side (below a line of 0 degrees) beside a width of ground on the outer one",
    names=PROFILES,
)
CONTRAST = Parameter("contrast", "contrasts", "", 1, (0.1, 1), (0, 1), "1 shows pure ink, 0 nothing")
WHOLE = 1e3
"""How far away, in half lengths, the ends of an arc are that closes to a circle."""
STROKE = (WIDTH, PROFILE, CONTRAST, *PLACE, *INK, *GROUND)


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
        *STROKE,
    )
    counts: ClassVar[Mapping[str, int]] = {"orientations": 36}

    def coverage(self, parameters: Table, size: Size) -> Float[Tensor, "batch y x"]:
        """Return how much of each pixel is ink."""
        along, off, pixel = turned(parameters, size, column(parameters, "orientation"))
        return painted(parameters, off, along.abs_().sub_(column(parameters, "length") / 2), off, pixel)


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
        *STROKE,
    )
    counts: ClassVar[Mapping[str, int]] = {"orientations": 24, "radii": 6}

    def coverage(self, parameters: Table, size: Size) -> Float[Tensor, "batch y x"]:
        """Return how much of each pixel is ink."""
        return stroke(parameters, size, column(parameters, "orientation"), 1 / column(parameters, "radius"))


@register_family
class LineEnds(StimulusFamily):
    """Straight strokes that end, cut straight across, at (x, y)."""

    name = "line_ends"
    title = "Line ends"
    parameters = (
        Parameter(
            "orientation",
            "orientations",
            "degrees",
            0,
            (0, 360),
            (0, 360),
            "where the line points to as it ends: 0 comes from the left",
            "circular",
        ),
        Parameter(
            "length", "lengths", "of the side", 3, (0.1, 1), (0, 4), "length of the line, by default from beyond the image"
        ),
        *STROKE,
    )
    counts: ClassVar[Mapping[str, int]] = {"orientations": 36}

    def coverage(self, parameters: Table, size: Size) -> Float[Tensor, "batch y x"]:
        """Return how much of each pixel is ink."""
        along, off, pixel = turned(parameters, size, column(parameters, "orientation"))
        ends = inside(-along, pixel) - inside(-column(parameters, "length") - along, pixel)
        return profiled(parameters, off, ends, pixel)


@register_family
class Corners(StimulusFamily):
    """Two straight arms that meet at an angle, sharp or rounded; the tip, or the middle of the rounding, stands at (x, y).

    With the length and the angle held still, `radius` turns a corner (0) into an arc of a circle that turns by as much: at
    ``length / (pi - angle)``, the angle in radians, nothing of the arms is left.
    """

    name = "corners"
    title = "Corners"
    parameters = (
        Parameter(
            "orientation",
            "orientations",
            "degrees",
            90,
            (0, 360),
            (0, 360),
            "where the tip points to: 90 is a roof",
            "circular",
        ),
        Parameter("angle", "angles", "degrees", 90, (30, 150), (1, 180), "between the arms: 180 is a straight line"),
        Parameter("radius", "radii", "of the side", 0, (0, 0.3), (0, 10), "radius of the rounding: 0 is a sharp corner"),
        Parameter("length", "lengths", "of the side", 0.5, (0.2, 1), (0, 10), "length along both arms"),
        *STROKE,
    )
    counts: ClassVar[Mapping[str, int]] = {"orientations": 24, "angles": 5}

    def coverage(self, parameters: Table, size: Size) -> Float[Tensor, "batch y x"]:
        """Return how much of each pixel is ink."""
        u, v, pixel = turned(parameters, size, column(parameters, "orientation"))
        v, half = v.abs_(), column(parameters, "length") / 2
        radius = column(parameters, "radius")
        bend = (math.pi - column(parameters, "angle").deg2rad()) / 2
        bend = torch.minimum(bend, half / radius.clamp(min=1e-9))  # the rounding takes the whole length
        out = u.add_(radius)  # from the middle of the rounding
        along, beside = v * bend.cos() - out * bend.sin(), v * bend.sin() + out * bend.cos() - radius
        rounding = v.square_().add_(out.square_()).sqrt_().sub_(radius)
        off = torch.lerp(rounding, beside, (along > 0).float())
        return painted(parameters, off, along.sub_(half - radius * bend), beside, pixel)


@register_family
class Circles(StimulusFamily):
    """Whole circles, empty (rings) or full (discs)."""

    name = "circles"
    title = "Circles"
    parameters = (
        Parameter("radius", "radii", "of the side", 0.2, (0.05, 0.4), (0, 4), "radius of the stroke's middle", "ratio"),
        Parameter("filling", "fillings", "", 0, (0, 1), (0, 1), "0 is a ring, 1 a disc of as much ink within"),
        *STROKE,
    )
    counts: ClassVar[Mapping[str, int]] = {"radii": 12, "fillings": 2}

    def coverage(self, parameters: Table, size: Size) -> Float[Tensor, "batch y x"]:
        """Return how much of each pixel is ink."""
        x, y, pixel = pixel_grid(size)
        right, down = x - column(parameters, "x"), y - column(parameters, "y")
        off = (right.square() + down.square()).sqrt() - column(parameters, "radius")
        ring = profiled(parameters, off, 1.0, pixel)
        if not parameters["filling"].any():
            return ring
        disc = column(parameters, "contrast") * inside(column(parameters, "width") / 2 - off, pixel)
        return torch.lerp(ring, disc, column(parameters, "filling"))


def stroke(
    parameters: Table, size: Size, bulge: Float[Tensor, "batch 1 1"], curvature: Float[Tensor, "batch 1 1"]
) -> Float[Tensor, "batch y x"]:
    """Return how much of each pixel an arc covers that bulges towards `bulge` (degrees); curvature 0 is a straight line.

    All is written in the curvature k, not the radius, so that nothing is lost on the way to a straight line.
    """
    u, v, pixel = turned(parameters, size, bulge)  # u out of the curve, v along its tangent
    k, half = curvature, column(parameters, "length") / 2
    across, v = k * v, v.abs_()
    off = (u.square().add_(v.square()).mul_(k).add_(2 * u)).div_(
        across.square_().add_((1 + k * u).square_()).sqrt_().add_(1)
    )
    turn = (k * half).clamp(max=math.pi)
    # From the nearer end, along its tangent and across it; torch.sinc(x) is sin(pi x) / (pi x).
    beyond = v * turn.cos() - u * turn.sin() - half * torch.sinc(k * half / math.pi).where(k * half < math.pi, WHOLE)
    beside = v * turn.sin() + u * turn.cos() - half * turn / 2 * torch.sinc(turn / math.tau).square()
    return painted(parameters, off, beyond, beside, pixel)


def painted(
    parameters: Table,
    off: Float[Tensor, "batch y x"],
    beyond: Float[Tensor, "batch y x"],
    beside: Float[Tensor, "batch y x"],
    pixel: float,
) -> Float[Tensor, "batch y x"]:
    """Return how much ink a stroke leaves in each pixel, `off` from its line, `beyond` its nearer end and `beside` the tangent there.

    Bars have round ends; the other profiles, of which round ends would not be balanced, are cut straight across.
    """
    if (parameters["profile"] != BAR).any():
        return profiled(parameters, off, inside(-beyond, pixel), pixel)
    squared = off.square() + (beyond > 0) * (beyond.square() + beside.square() - off.square())
    return bar(parameters, squared.clamp_(min=0).sqrt_(), pixel)


def bar(parameters: Table, distance: Float[Tensor, "batch y x"], pixel: float) -> Float[Tensor, "batch y x"]:
    """Return how much of each pixel a stroke covers, by the distance from its middle; exact for a straight one seen through `BLUR`."""
    half = column(parameters, "width") / 2
    covered = inside(half - distance, pixel).sub_(inside(-half - distance, pixel))
    return covered.mul_(column(parameters, "contrast"))


def profiled(
    parameters: Table, off: Float[Tensor, "batch y x"], ends: Float[Tensor, "batch y x"] | float, pixel: float
) -> Float[Tensor, "batch y x"]:
    """Return how much ink a stroke of any profile leaves in each pixel; `ends` is 1 beside the stroke and 0 beyond its ends.

    The mean across a balanced stroke and across an edge is that of the mixture around it.
    """
    kinds = torch.as_tensor(parameters["profile"].astype("float32"))[:, None, None]
    width, contrast = column(parameters, "width"), column(parameters, "contrast")

    def strip(low: Tensor, high: Tensor) -> Tensor:
        return inside(high - off, pixel) - inside(low - off, pixel)

    found = torch.zeros_like(off)
    chosen = set(parameters["profile"].tolist())
    if BAR in chosen:
        found = found + (kinds == BAR) * contrast * ends * strip(-width / 2, width / 2)
    if BALANCED in chosen:
        wave = 2 * strip(-width / 2, width / 2) - strip(-width, width)
        found = found + (kinds == BALANCED) * (0.5 + 0.5 * contrast * ends * wave)
    if EDGE in chosen:
        step = strip(-width, torch.zeros_like(width)) - strip(torch.zeros_like(width), width)
        found = found + (kinds == EDGE) * (0.5 + 0.5 * contrast * ends * step)
    return found
