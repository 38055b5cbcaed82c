"""Parametric stimuli as an image set: one image a row of parameters, and the parameters as its columns."""

from __future__ import annotations

import hashlib
from functools import cached_property

import numpy as np
import numpy.typing as npt

import workbench.images.stimuli  # noqa: F401  its families register themselves
from workbench.images.image_set import (
    ImageSet,
    ImageSetError,
    Pixels,
    Reference,
    Size,
    UnreadableImage,
    UnreadableImageError,
    register,
    suggestion,
)
from workbench.images.stimulus import FAMILIES, StimulusFamily, Table
from workbench.task import Task

SIDE = 224
"""Height and width in pixels where no size is asked for."""


class StimulusSet(ImageSet):
    """The rows of a table, drawn when read.

    Parameters
    ----------
    family
        What is drawn.
    parameters
        The table (`StimulusFamily.grid`, `StimulusFamily.random`); it stays the exact ground truth of the columns, which are text.

    Raises
    ------
    ValueError
        When a value is out of bounds or a colour cannot be shown.
    """

    depicts = "parametric stimuli"

    def __init__(self, family: StimulusFamily, parameters: Table, ref: str = "stimuli:") -> None:
        family.colours(parameters)
        self.family = family
        self.parameters = parameters
        columns = {part.name: [f"{value:.6g}" for value in parameters[part.name]] for part in family.parameters}
        varying = [name for name, values in columns.items() if len(set(values)) > 1]
        ids = [
            f"{family.name}/{row}" + "".join(f" {name}={columns[name][row]}" for name in varying)
            for row in range(len(parameters))
        ]
        super().__init__(
            ref, f"Stimuli: {family.title.lower()}", ids, columns, "drawn by this program; no licence needed"
        )

    @cached_property
    def content_hash(self) -> str:
        """Digest of the family, its version and the table."""
        content = f"{self.family.name} {self.family.version} {self.parameters.dtype.names}".encode()
        return hashlib.sha256(content + self.parameters.tobytes()).hexdigest()[:32]

    def _read(self, index: int, size: Size | None) -> Pixels:
        try:
            images = self._draw(np.array([index]), size or (SIDE, SIDE))
        except ValueError as error:  # a grating too fine for this size
            raise UnreadableImageError(str(error)) from error
        image: Pixels = images[0]
        return image

    def _read_piece(
        self, piece: npt.NDArray[np.int64], size: Size
    ) -> tuple[npt.NDArray[np.int64], Pixels, dict[int, UnreadableImage]]:
        try:
            return piece, self._draw(piece, size), {}
        except ValueError:  # some of these rows cannot be drawn; one by one it shows which
            return super()._read_piece(piece, size)

    def _draw(self, rows: npt.NDArray[np.int64], size: Size) -> Pixels:
        images = self.family.render(self.parameters[rows], size)
        pixels: Pixels = (images * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
        return pixels


@register(
    "stimuli",
    "Parametric stimuli",
    [f"stimuli:{name}" for name in FAMILIES],
    options=sorted(
        {name for family in FAMILIES.values() for part in family.parameters for name in (part.name, part.plural)}
    ),
)
def open_stimuli(reference: Reference, task: Task) -> StimulusSet:
    """Open the grid of a family: ``orientations=16`` asks for 16 values, ``radius=0.2,0.4`` for these."""
    if reference.target not in FAMILIES:
        raise ImageSetError(f"no stimuli are named {reference.target!r}; {suggestion(reference.target, FAMILIES)}")
    family = FAMILIES[reference.target]
    values: dict[str, float | list[float]] = {}
    for name, text in reference.options.items():
        try:
            numbers = [float(number) for number in text.split(",")]
        except ValueError:
            raise ImageSetError(
                f"{name}={text} in {reference.text!r} is not a number, nor numbers with commas"
            ) from None
        values[name] = numbers if len(numbers) > 1 else numbers[0]
    try:
        return StimulusSet(family, family.grid(**values), reference.text)
    except ValueError as error:
        raise ImageSetError(f"{reference.text}: {error}") from error
