"""The bundled image set: 1,570 emoji concepts, each drawn in five styles.

It is kept as lossless WebP sheets of 8 x 4 drawings, in `resources/images/emoji` with the licence table beside them. The same concept
in several hands is what makes it useful: it tells a unit that knows the object from one that knows the drawing.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from workbench.images.background import BACKGROUNDS, LEVELS, VERSION, Background, over, random_ground
from workbench.images.image_set import (
    ImageSet,
    ImageSetError,
    Pixels,
    Reference,
    Size,
    UnreadableImage,
    register,
    suggestion,
    whole_number,
)
from workbench.images.scaling import cover_all
from workbench.task import Task

FOLDER = Path(__file__).parents[2] / "resources" / "images" / "emoji"
SIDE = 64
ACROSS = 8
PER_SHEET = 32
SHEETS_HELD = 32
"""Decoded sheets kept in memory, half a megabyte each."""


class EmojiSet(ImageSet):
    """Emoji in some or all styles, style after style, the concepts always in the same order.

    Columns: ``concept``, ``group``, ``subgroup``, ``style``, ``keywords`` (separated by commas).

    Parameters
    ----------
    styles
        Which of ``noto``, ``twemoji``, ``openmoji``, ``fluent_flat``, ``fluent_3d`` (the last two are nearly the same drawings); empty
        for all.
    background
        What shows through the transparent third to two thirds of every drawing.
    seed
        Of the random backgrounds; an emoji has the same one whichever styles are chosen.
    """

    depicts = "emoji"

    def __init__(
        self, styles: Sequence[str] = (), background: Background = "white", seed: int = 0, ref: str = "emoji"
    ) -> None:
        table: dict[str, Any] = json.loads((FOLDER / "concepts.json").read_text(encoding="utf-8"))
        known: list[str] = table["styles"]
        for style in styles:
            if style not in known:
                raise ImageSetError(f"no emoji style is named {style!r}; {suggestion(style, known)}")
        if background not in BACKGROUNDS:
            raise ImageSetError(f"no background is named {background!r}; {suggestion(background, BACKGROUNDS)}")
        self.styles = tuple(styles or known)
        self.background: Background = background
        self.seed = seed
        concepts = table["concepts"]
        self._concepts = len(concepts)
        self._first = [known.index(style) * len(concepts) for style in self.styles]
        keywords = [", ".join(concept["keywords"]) for concept in concepts]
        columns = {
            "concept": [concept["name"] for concept in concepts] * len(self.styles),
            "group": [concept["group"] for concept in concepts] * len(self.styles),
            "subgroup": [concept["subgroup"] for concept in concepts] * len(self.styles),
            "style": [style for style in self.styles for _ in concepts],
            "keywords": keywords * len(self.styles),
        }
        ids = [f"{style}/{concept['name']}" for style in self.styles for concept in concepts]
        licence = "; ".join(f"{style}: {table['licences'][style]}" for style in self.styles)
        super().__init__(ref, "Emoji", ids, columns, f"{licence}; names: {table['text']}")
        self._lock = threading.Lock()
        self._sheet = lru_cache(SHEETS_HELD)(_read_sheet)

    @cached_property
    def content_hash(self) -> str:
        """Digest of the sheets in use, the background and its seed."""
        ground = f"random {VERSION} {self.seed}" if self.background == "random" else self.background
        digest = hashlib.sha256(ground.encode())
        for style in self.styles:
            for path in sorted((FOLDER / style).glob("*.webp")):
                digest.update(path.read_bytes())
        return digest.hexdigest()[:32]

    def drawing(self, index: int) -> Pixels:
        """Return the drawing itself, uint8 ``64 64 4``, straight alpha; colours are black where it is fully transparent."""
        style, concept = divmod(index, self._concepts)
        sheet, place = divmod(concept, PER_SHEET)
        row, column = divmod(place, ACROSS)
        with self._lock:  # so that no two threads decode one sheet
            pixels = self._sheet(self.styles[style], sheet)
        return pixels[row * SIDE : (row + 1) * SIDE, column * SIDE : (column + 1) * SIDE]

    def _read(self, index: int, size: Size | None) -> Pixels:
        image: Pixels = self._draw([index], size)[0]
        return image

    def _read_piece(
        self, piece: npt.NDArray[np.int64], size: Size
    ) -> tuple[npt.NDArray[np.int64], Pixels, dict[int, UnreadableImage]]:
        return piece, self._draw(piece.tolist(), size), {}

    def _draw(self, indices: Sequence[int], size: Size | None) -> Pixels:
        """Return some images, ``n y x 3``."""
        drawings = np.stack([self.drawing(index) for index in indices])
        opacity = drawings[..., 3:].repeat(3, axis=3)
        colours = ((drawings[..., :3] * opacity.astype(np.uint16) + 127) // 255).astype(np.uint8)
        if self.background != "random":
            ground = np.full(colours.shape, LEVELS[self.background], np.uint8)
            return cover_all(over(colours, opacity, ground), size)
        colours, opacity = cover_all(colours, size), cover_all(opacity, size)
        shown = np.empty_like(colours)
        for row, index in enumerate(indices):
            style, concept = divmod(index, self._concepts)
            ground = random_ground(shown.shape[1:3], self.seed, self._first[style] + concept)
            shown[row] = over(colours[row], opacity[row], ground)
        return shown


def _read_sheet(style: str, sheet: int) -> Pixels:
    with Image.open(FOLDER / style / f"{sheet:02}.webp") as picture:
        return np.asarray(picture.convert("RGBA"))


@register(
    "emoji",
    "Emoji: 1,570 concepts in 5 drawing styles",
    ["emoji", "emoji?background=random"],
    options=["styles", "background", "seed"],
)
def open_emoji(reference: Reference, task: Task) -> EmojiSet:
    """Open the bundled emoji; `styles` is a list with commas."""
    if reference.target:
        raise ImageSetError(
            f"emoji takes options only, not {reference.target!r}; write emoji?styles={reference.target}"
        )
    styles = [style for style in reference.options.get("styles", "").split(",") if style]
    chosen = reference.options.get("background", "white")
    for kind in BACKGROUNDS:
        if kind == chosen:
            return EmojiSet(styles, kind, whole_number(reference, "seed", 0), reference.text)
    raise ImageSetError(f"no background is named {chosen!r}; {suggestion(chosen, BACKGROUNDS)}")
