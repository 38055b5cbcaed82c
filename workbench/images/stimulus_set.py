"""Parametric stimuli as an image set: one image a row of parameters, and the parameters as its columns."""

from __future__ import annotations

import hashlib
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch

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
    whole_number,
)
from workbench.images.stimulus import FAMILIES, StimulusFamily, Table
from workbench.images.stimulus_ground import GROUNDS, VERSION, StimulusGround, stimulus_ground
from workbench.input_error import InputError
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
    background, seed
        What stands where the ground does (see `stimulus_ground`), and what it is drawn by; each row has a ground of its own.

    Raises
    ------
    ValueError
        When a value is out of bounds or a colour cannot be shown.
    """

    depicts = "parametric stimuli"

    def __init__(
        self,
        family: StimulusFamily,
        parameters: Table,
        ref: str = "stimuli:",
        background: StimulusGround = "plain",
        seed: int = 0,
    ) -> None:
        _, self._grounds = family.colours(parameters)
        self.background, self.seed = background, seed
        self.family = family
        self.parameters = parameters
        columns = {part.name: [part.written(value) for value in parameters[part.name]] for part in family.parameters}
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
        if self.background != "plain":
            content += f" {self.background} {VERSION} {self.seed}".encode()
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
        if self.background != "plain":
            images += self._ground_shown(rows, size)
        pixels: Pixels = (images * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
        return pixels


    def _ground_shown(self, rows: npt.NDArray[np.int64], size: Size) -> torch.Tensor:
        """Return what the images differ by when the background is not plain: what it differs by, where there is no ink."""
        assert self.background != "plain"
        plain = self._grounds[rows]
        behind = np.stack(
            [
                stimulus_ground(self.background, colour, size, self.seed, row)
                for colour, row in zip(plain, rows.tolist(), strict=True)
            ]
        )
        other = torch.from_numpy(behind).permute(0, 3, 1, 2) / 255 - torch.from_numpy(plain).float()[:, :, None, None]
        return other * (1 - self.family.coverage(self.parameters[rows], size))[:, None]


@register(
    "stimuli",
    "Parametric stimuli",
    [f"stimuli:{name}" for name in FAMILIES],
    options=[
        *sorted({name for family in FAMILIES.values() for part in family.parameters for name in (part.name, part.plural)}),
        "background",
        "seed",
    ],
)
def open_stimuli(reference: Reference, task: Task) -> StimulusSet:
    """Open the grid of a family: ``orientations=16`` asks for 16 values, ``radius=0.2,0.4`` for these; ``background=texture`` for noise."""
    if reference.target not in FAMILIES:
        raise ImageSetError(f"no stimuli are named {reference.target!r}; {suggestion(reference.target, FAMILIES)}")
    family = FAMILIES[reference.target]
    background = next((kind for kind in GROUNDS if kind == reference.options.get("background", "plain")), None)
    if background is None:
        raise ImageSetError(f"{reference.text}: there is no such background; {suggestion(reference.options['background'], GROUNDS)}")
    parts = {part.name: part for part in family.parameters}
    values: dict[str, float | list[float]] = {}
    for name, text in reference.options.items():
        if name in ("background", "seed"):
            continue
        try:
            numbers = [parts[name].read(one) if name in parts else float(one) for one in text.split(",")]
        except InputError as error:
            raise ImageSetError(f"{name}={text} in {reference.text!r}: {error}") from None
        except ValueError:
            raise ImageSetError(f"{name}={text} in {reference.text!r} is not a number, nor numbers with commas") from None
        values[name] = numbers if len(numbers) > 1 else numbers[0]
    try:
        return StimulusSet(family, family.grid(**values), reference.text, background, whole_number(reference, "seed", 0))
    except ValueError as error:
        raise ImageSetError(f"{reference.text}: {error}") from error
