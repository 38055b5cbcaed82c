"""Transformations of images under which units may be versions of one another: turned, mirrored, scaled, of another hue, in another style.

A network has units that go together under a transformation T when what unit a does on T x is what unit b does on x. Where T moves things
about in the image, what a does has to be moved back before it is compared. Each transformation is named by a few words, ``rotate:90``,
``flip``, ``scale:0.7``, ``hue:120`` or ``style:noto>twemoji`` (a column of the image set and two of its values: any two images of one
concept are a transformation too), which `transformation` reads.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Num
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from workbench.images.colour import LAB_TO_LMS, LMS_TO_RGB
from workbench.input_error import InputError

Images = Float[Tensor, "batch channel y x"]
Maps = Num[Tensor, "batch unit y x"]

GREY = 0.5
"""What stands outside the circle."""
SOFT = 0.06
"""Width of the circle's edge, in parts of its radius: a hard one would be an edge like any other."""
EXAMPLES = ("flip", "rotate:90", "hue:120", "scale:0.7", "style:noto>twemoji")


class Transformation(ABC):
    """What is done to images, and how what units do on them is moved back.

    Attributes
    ----------
    name
        As it is written: ``rotate:90``.
    title
        In words.
    step
        How far a unit's feature is from that of its partner, in the sense of `angles`: None where there is no angle.
    order
        How many times it is applied until nothing has changed; 0 where that never happens, None where nobody can say.
    exact
        Whether it maps the image's square, pixel by pixel, onto itself; otherwise images are shown in a circle.
    moves
        Whether things change their places.
    """

    name: str
    title: str
    step: float | None = None
    order: int | None = 0
    exact: bool = True
    moves: bool = True

    def before(self, images: Images) -> Images:
        """Return images as they are shown for comparison: in the same circle, where there is one."""
        return images if self.exact else in_circle(images)

    @abstractmethod
    def after(self, images: Images) -> Images:
        """Return the transformed images, in [0, 1]."""

    def back(self, maps: Maps) -> Maps:
        """Return what maps of transformed images show at the places where things were before."""
        return maps

    def seen(self, height: int, width: int) -> Bool[Tensor, "y x"]:
        """Tell which places of a map can be compared: those whose place after the transformation is inside the circle as well."""
        if self.exact:
            return torch.ones(height, width, dtype=torch.bool)
        y, x = (_centred(size) for size in (height, width))
        return torch.hypot(y[:, None], x[None]) <= 1

    def angles(self, steps: Sequence[int]) -> list[float | None]:
        """Return the angle of units so many partners after the first, in degrees in [0, 360); None where there is none.

        The partner does on x what the unit does on T x: it prefers what T turns into the unit's feature.
        """
        return [None if self.step is None else -self.step * taken % 360 for taken in steps]


@dataclass(frozen=True)
class Flip(Transformation):
    """Left and right change places."""

    name = "flip"
    title = "Mirrored left to right"
    order = 2

    def after(self, images: Images) -> Images:
        """Mirror them."""
        return images.flip(-1)

    def back(self, maps: Maps) -> Maps:
        """Mirror them again."""
        return maps.flip(-1)


@dataclass(frozen=True)
class Turn(Transformation):
    """By an angle, of something that comes round."""

    degrees: float
    what: ClassVar[str]
    written: ClassVar[str]
    words: ClassVar[str]

    def __post_init__(self) -> None:
        if not 0 < self.degrees < 360:
            raise InputError(f"{self.what} is turned by more than 0 and less than 360 degrees, not {self.degrees:g}")

    @property
    def name(self) -> str:  # type: ignore[override]
        """As it is written."""
        return f"{self.written}:{self.degrees:g}"

    @property
    def title(self) -> str:  # type: ignore[override]
        """In words."""
        return f"{self.words} by {self.degrees:g}°"

    @property
    def step(self) -> float:  # type: ignore[override]
        """Angle between a unit and its partner."""
        return self.degrees

    @property
    def order(self) -> int:  # type: ignore[override]
        """Until it is a whole turn."""
        return whole_turns(self.degrees)


@dataclass(frozen=True)
class Rotation(Turn):
    """Turned counter-clockwise around the middle, by degrees; only quarter turns need no interpolation and no circle."""

    what, written, words = "an image", "rotate", "Turned"

    @property
    def exact(self) -> bool:  # type: ignore[override]
        """Whether it is a number of quarter turns."""
        return self.degrees % 90 == 0

    def after(self, images: Images) -> Images:
        """Turn them."""
        self._square(images)
        return _turned(images, self.degrees) if self.exact else in_circle(_turned(images, self.degrees))

    def back(self, maps: Maps) -> Maps:
        """Turn them back."""
        self._square(maps)
        return _turned(maps, -self.degrees)

    def _square(self, images: Tensor) -> None:
        if images.shape[-1] != images.shape[-2]:
            raise InputError(f"only square images can be turned, not {images.shape[-1]} x {images.shape[-2]}; choose flip or hue")


@dataclass(frozen=True)
class Scale(Transformation):
    """Made smaller (below 1) or larger; a smaller image is continued by the colours of its edge."""

    factor: float
    exact = False

    def __post_init__(self) -> None:
        if not 0.2 <= self.factor <= 5 or self.factor == 1:
            raise InputError(f"an image is scaled by a factor from 0.2 to 5 other than 1, not {self.factor:g}")

    @property
    def name(self) -> str:  # type: ignore[override]
        """As it is written."""
        return f"scale:{self.factor:g}"

    @property
    def title(self) -> str:  # type: ignore[override]
        """In words."""
        return f"Scaled to {self.factor:.0%}"

    def after(self, images: Images) -> Images:
        """Scale them around their middle."""
        return in_circle(_zoomed(images, self.factor))

    def back(self, maps: Maps) -> Maps:
        """Scale them back."""
        return _zoomed(maps, 1 / self.factor)

    def seen(self, height: int, width: int) -> Bool[Tensor, "y x"]:
        """Tell which places are inside the circle before and after."""
        y, x = (_centred(size) for size in (height, width))
        inside: Bool[Tensor, "y x"] = torch.hypot(y[:, None], x[None]) <= min(1.0, 1 / self.factor)
        return inside


@dataclass(frozen=True)
class Hue(Turn):
    """Every colour's hue turned in OKLab: lightness and chroma stay, save where no screen shows the colour and the nearest one stands."""

    moves = False
    what, written, words = "a hue", "hue", "Hues turned"

    def after(self, images: Images) -> Images:
        """Turn the hues."""
        if images.shape[1] != 3:
            raise InputError("only images of three channels have hues; choose flip or rotate:90")
        return turned_hue(images, self.degrees)


@dataclass(frozen=True)
class Paired(Transformation):
    """One image for another of the same concept: the image set has them, nothing is computed."""

    column: str
    first: str
    second: str
    order = None
    moves = False

    @property
    def name(self) -> str:  # type: ignore[override]
        """As it is written."""
        return f"{self.column}:{self.first}>{self.second}"

    @property
    def title(self) -> str:  # type: ignore[override]
        """In words."""
        return f"{self.column.capitalize()} {self.first} for {self.second}"

    def after(self, images: Images) -> Images:
        """Do nothing: these are the other images."""
        return images


def transformation(name: str) -> Transformation:
    """Read a transformation by its name.

    Raises
    ------
    InputError
        When it cannot be read; the line says how they are written.
    """
    kind, _, rest = name.strip().partition(":")
    if kind == "flip" and not rest:
        return Flip()
    if ">" in rest:
        first, _, second = (part.strip() for part in rest.partition(">"))
        if first and second and first != second:
            return Paired(kind, first, second)
    elif kind in ("rotate", "hue", "scale"):
        try:
            number = float(rest)
        except ValueError:
            number = math.nan
        if math.isfinite(number):
            return Rotation(number) if kind == "rotate" else Hue(number) if kind == "hue" else Scale(number)
    raise InputError(f"{name!r} is no transformation; write one such as {', '.join(EXAMPLES)}")


def whole_turns(degrees: float) -> int:
    """Return how many times an angle makes whole turns; 0 for more than 72 times."""
    for times in range(1, 73):
        turns = times * degrees / 360
        if abs(turns - round(turns)) < 1e-6:
            return times
    return 0


def in_circle(images: Images) -> Images:
    """Put grey outside the largest circle, whose edge is soft."""
    y, x = (_centred(size, images.device) for size in images.shape[-2:])
    inside = ((1 - torch.hypot(y[:, None], x[None])) / SOFT).clamp(0, 1)
    return GREY + inside * (images - GREY)


def turned_hue(images: Float[Tensor, "batch 3 y x"], degrees: float) -> Float[Tensor, "batch 3 y x"]:
    """Turn the hue of sRGB images in [0, 1]; what lies outside the colours of a screen is cut off.

    References
    ----------
    B. Ottosson, "A perceptual color space for image processing" (2020).
    """
    to_lms = torch.tensor(LAB_TO_LMS, dtype=torch.float64)
    to_rgb = torch.tensor(LMS_TO_RGB, dtype=torch.float64)
    angle = math.radians(degrees)
    turn = torch.eye(3, dtype=torch.float64)
    turn[1:, 1:] = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    before = torch.linalg.inv(to_rgb).to(images)
    between = (to_lms @ turn @ torch.linalg.inv(to_lms)).to(images)  # cube roots of the cones' answers, before and after
    linear = torch.where(images <= 0.04045, images / 12.92, ((images + 0.055) / 1.055) ** 2.4)
    roots = torch.einsum("ij,bjyx->biyx", before, linear).clamp(min=0) ** (1 / 3)
    shown = torch.einsum("ij,bjyx->biyx", to_rgb.to(images), torch.einsum("ij,bjyx->biyx", between, roots) ** 3).clamp(0, 1)
    return torch.where(shown <= 0.0031308, 12.92 * shown, 1.055 * shown ** (1 / 2.4) - 0.055)


def _centred(size: int, device: torch.device | None = None) -> Float[Tensor, "place"]:
    """Return how far the middle of each cell is from that of all, in halves of the whole."""
    return (torch.arange(size, device=device) - (size - 1) / 2) / (size / 2)


def _turned(images: Tensor, degrees: float) -> Tensor:
    if degrees % 90 == 0:
        return torch.rot90(images, round(degrees / 90), (-2, -1))
    angle = math.radians(degrees)
    # Where each new place was before; y points down.
    return _moved(images, [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def _zoomed(images: Tensor, factor: float) -> Tensor:
    return _moved(images, [[1 / factor, 0.0], [0.0, 1 / factor]])


def _moved(images: Tensor, matrix: list[list[float]]) -> Tensor:
    theta = torch.tensor([[*row, 0.0] for row in matrix], device=images.device, dtype=images.dtype)
    grid = affine_grid(theta.expand(len(images), 2, 3), list(images.shape), align_corners=False)
    return grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
