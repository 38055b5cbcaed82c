"""Blind labels: a person says what pictures show without being told how active the unit was.

A `Labelling` is one sitting or several: which positions of which images were drawn from which range of the activation (`workbench.purity`),
in the shuffled order they are shown in, and what was said of each so far. It knows no torch and no window.

It is kept in a file of its own in the user's data folder, named after what it was drawn from, and not in the project: it is written again
after every key, so that nothing is lost when the program is killed, and an analysis or a colleague can be given it as a file.
"""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workbench.data_folder import data_folder
from workbench.input_error import InputError
from workbench.purity import Estimate, in_bins, over_concepts
from workbench.whole_file import write_whole

CLASSES = ("is one", "partly one", "related, not one", "unrelated")
"""What is said of a picture, as in "Curve Detectors" (curve, imperfect curve, related, unrelated); the user may call them otherwise."""
FORMAT = 1
"""Version of the files written today."""
TOP = 8192
"""Bytes at the start of a file that say what it is of."""


class Bins(BaseModel):
    """The ranges of the activation, and what the unit does in each over all positions that were looked at.

    Attributes
    ----------
    edges
        Activations between which the bins lie.
    mean, std
        Of the activation over all positions.
    counts
        Positions in each bin.
    sums
        Sum of their activations.
    images
        Images the positions are in.
    """

    model_config = ConfigDict(extra="forbid")

    edges: list[float]
    mean: float
    std: float
    counts: list[int]
    sums: list[float]
    images: int

    @property
    def density(self) -> npt.NDArray[np.float64]:
        """Share of all positions that lie in each bin."""
        return np.array(self.counts) / max(1, sum(self.counts))

    @property
    def expected(self) -> npt.NDArray[np.float64]:
        """What each bin adds to the mean activation: activation x density."""
        return np.array(self.sums) / max(1, sum(self.counts))

    @property
    def firing(self) -> npt.NDArray[np.bool_]:
        """Which bins lie above zero: where the unit fires."""
        return np.array(self.edges[:-1]) >= 0


class Shown(BaseModel):
    """A picture to be labelled: a position of an image.

    Attributes
    ----------
    image, name, concept
        Place in the image set, its name there, and what it is a drawing of (pictures of one concept are not independent).
    position
        In the layer's grid.
    activation, bin
        What the unit does there: not to be shown before all is labelled.
    """

    model_config = ConfigDict(extra="forbid")

    image: int
    name: str
    concept: str
    position: list[int]
    activation: float
    bin: int


class Judgement(BaseModel):
    """What somebody said of a picture: number of the class, who, and when (seconds since 1970, UTC)."""

    model_config = ConfigDict(extra="forbid")

    label: int = Field(ge=0)
    by: str = ""
    at: float = 0.0


class Labelling(BaseModel):
    """Pictures in the order they are shown, and the judgements on the first of them.

    Attributes
    ----------
    model, weights, images, images_hash
        What was looked at: references and content.
    unit, measured
        Address of the unit, and of the one whose activation was binned: its pre-activation where it has one.
    wanted, seed
        How many pictures were asked for, and what they were drawn by.
    """

    model_config = ConfigDict(extra="forbid")

    labelling: int = FORMAT
    model: str
    weights: str
    images: str
    images_hash: str
    unit: str
    measured: str
    wanted: int
    seed: int
    bins: Bins
    pictures: list[Shown]
    classes: list[str] = Field(default=list(CLASSES), min_length=2, max_length=9)
    judgements: list[Judgement] = []

    # --- labelling -------------------------------------------------------------------------------------------------------------

    @property
    def done(self) -> int:
        """How many pictures are labelled; also the place of the next one."""
        return len(self.judgements)

    @property
    def finished(self) -> bool:
        """Whether all are labelled."""
        return self.done == len(self.pictures)

    def say(self, label: int, by: str = "") -> None:
        """Label the next picture.

        Raises
        ------
        InputError
            When there is none, or no such class.
        """
        if self.finished:
            raise InputError(f"all {len(self.pictures)} pictures are labelled; take the last label back to change it")
        if not 0 <= label < len(self.classes):
            raise InputError(f"there are classes 1 to {len(self.classes)}, not {label + 1}")
        self.judgements.append(Judgement(label=label, by=by, at=round(time.time(), 1)))

    def take_back(self) -> bool:
        """Forget the last label; False when there is none."""
        return bool(self.judgements) and bool(self.judgements.pop())

    def rename(self, label: int, name: str) -> None:
        """Call a class otherwise; what was labelled keeps its class.

        Raises
        ------
        InputError
            When the name is empty or another class has it.
        """
        name = " ".join(name.split())
        if not name or name in self.classes[:label] + self.classes[label + 1 :]:
            raise InputError(f"a class needs a name of its own, not {name!r}")
        self.classes[label] = name

    # --- what it comes to ------------------------------------------------------------------------------------------------------

    def shares(self) -> npt.NDArray[np.float64]:
        """Return p(label | activation), ``bin class``; NaN in bins without labels."""
        counts = np.zeros((len(self.bins.counts), len(self.classes)))
        for shown, said in zip(self.pictures, self.judgements, strict=False):
            counts[shown.bin, said.label] += 1
        with np.errstate(invalid="ignore"):
            found: npt.NDArray[np.float64] = counts / counts.sum(1, keepdims=True)
        return found

    def in_bins(self, labels: tuple[int, ...] = (0,)) -> list[Estimate]:
        """Return of every bin which share is labelled with one of these classes."""
        return in_bins(*self._said(labels), len(self.bins.counts))

    def _said(self, labels: tuple[int, ...]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64], list[str]]:
        """Return of every label whether it is one of these classes, the bin, and the concept."""
        seen = self.pictures[: self.done]
        hits = np.isin([said.label for said in self.judgements], labels)
        return hits, np.array([shown.bin for shown in seen], np.int64), [shown.concept for shown in seen]

    def purity(self, labels: tuple[int, ...] = (0,), above: float = 0.0) -> Estimate:
        """Return which share of the positions with an activation above `above` (an edge) are of these classes, bins weighted by density."""
        there = np.array(self.bins.edges[:-1]) >= above - 1e-9
        return over_concepts(*self._said(labels), self.bins.density * there)

    def share_of_expected_value(self, labels: tuple[int, ...] = (0,)) -> Estimate:
        """Return which share of the activation above zero is due to these classes, bins weighted by activation x density."""
        return over_concepts(*self._said(labels), np.where(self.bins.firing, self.bins.expected, 0))

    # --- keeping ---------------------------------------------------------------------------------------------------------------

    @property
    def key(self) -> str:
        """What it was drawn from."""
        return labelling_key(self.weights, self.images_hash, self.unit, self.wanted, self.seed)

    def save(self, path: Path | None = None) -> Path:
        """Write it, as a whole or not at all; return where.

        Parameters
        ----------
        path
            By default its place in the user's data folder.
        """
        path = path or place_of(self.key)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, self.model_dump_json(indent=1) + "\n")
        return path

    @classmethod
    def load(cls, path: str | Path) -> Labelling:
        """Read a file that `save` wrote.

        Raises
        ------
        InputError
            When there is no such file, or it holds no labelling that can be read.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise InputError(f"{path} does not hold blind labels") from None
        return cls.from_json(text, str(path))

    @classmethod
    def from_json(cls, text: str, name: str = "this text") -> Labelling:
        """Read what `save` writes; `name` is what messages call it.

        Raises
        ------
        InputError
            When it is none.
        """
        try:
            found = cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise InputError(f"{name} does not hold blind labels that can be read: {where} {first['msg']}".strip()) from None
        if found.labelling != FORMAT:
            raise InputError(f"{name} is of version {found.labelling}, this program reads version {FORMAT}")
        numbers = len(found.bins.counts)
        fits = len(found.bins.edges) == numbers + 1 and len(found.bins.sums) == numbers and found.done <= len(found.pictures)
        fits = fits and all(0 <= shown.bin < numbers for shown in found.pictures)
        if not fits or any(said.label >= len(found.classes) for said in found.judgements):
            raise InputError(f"{name} does not hold blind labels that fit together")
        return found


def labelling_key(weights: str, images_hash: str, unit: str, wanted: int, seed: int) -> str:
    """Return the content key of a labelling: the same pictures in the same order."""
    content = json.dumps([FORMAT, weights, images_hash, unit, wanted, seed])
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def place_of(key: str) -> Path:
    """Return where a labelling is kept."""
    return data_folder("blind_labels") / f"{key}.json"


def kept_of(weights: str, images_hash: str, unit: str) -> list[Path]:
    """Return where the labellings of a unit are kept, however many pictures were asked for.

    What a labelling is of stands at the top of its file, so that those of other units need not be read as a whole.
    """
    about = {"weights": weights, "images_hash": images_hash, "unit": unit}
    needed = [f'"{name}": {json.dumps(value, ensure_ascii=False)}'.encode() for name, value in about.items()]
    found = []
    for path in sorted(place_of("").parent.glob("*.json")):
        with path.open("rb") as file:
            top = file.read(TOP)
        if all(name in top for name in needed):
            found.append(path)
    return found
