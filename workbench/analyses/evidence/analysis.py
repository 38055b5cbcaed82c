"""The question: what is known of a unit that is said to be a detector, and what is not."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from workbench.analyses.analysis import Analysis, Result, register
from workbench.analyses.evidence import figures, parts
from workbench.analyses.evidence.population import Population
from workbench.blind_labels import Labelling
from workbench.evidence_card import HAND_CODING, Piece, label_arrays, purity_piece
from workbench.input_error import InputError
from workbench.models.layer import Unit
from workbench.task import Part, Task
from workbench.training_data import mismatch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from workbench.images.image_set import ImageSet
    from workbench.models.traced_model import TracedModel

BINS = 8
"""Bins of the activation above zero."""


@register
class Evidence(Analysis):
    """Fill the evidence card of one unit: causality, generality, purity, family, inputs, use, hand-coding.

    Each piece has a figure with its interval and its null, or says what is missing. Purity comes from blind labels and from nothing else:
    without them the card says ``missing: blind labels``. All activations are those of the unit's pre-activation where it has one, in
    standard deviations (SD) over all positions of the images.

    The summary's ``checklist`` has the pieces (`workbench.evidence_card.Piece`) in order, ``lines`` the same as text, and ``figures`` says
    what each figure shows. `workbench.evidence_card.page` writes the page.

    Arrays (those of a piece that is missing are missing too):

    ``edges`` ``density`` ``expected``
        float64 ``bin + 1``, ``bin``: bins of equal width of the activation, the share of all positions in each, and activation x density.
    ``label_edges`` ``label_shares`` ``label_counts`` ``purity`` ``class_names``
        ``bin + 1``; ``bin class``: p(label | activation), NaN without labels; ``bin``: labels; ``bin 3``: share of the first class and
        its interval. The bins are those the pictures were drawn from.
    ``visualizations`` ``visualization_scores`` ``visualization_null``
        float32 ``seed y x 3`` in [0, 1]; float64 ``seed``, ``unit``: SD that an image made for it drives the unit to, and that images made
        for random units of a twin drive these to.
    ``stimulus_responses`` ``stimulus_family`` ``stimulus_best`` ``stimulus_null``
        ``stimulus 2``: largest activation on each in two renderings; its family; place of the best; ``twin``: preference of its best unit.
    ``family_curves`` ``family_aligned`` ``family_preferred`` ``family_units`` ``family_null``
        ``orientation unit``: tuning curves as they are, and turned to their preferred orientation; ``unit``: that, degrees; ``draw``.
    ``input_shares`` ``input_layers`` ``input_top``
        float32 ``place input``: contribution of each unit of the source layers, one layer after the other; the strongest inputs.
    ``input_actual`` ``input_predicted`` ``input_tested`` ``input_error`` ``input_relative_error``
        ``place``: pre-activation, what the strongest inputs predict, whether it was left out of choosing them, what the full sum misses.
    ``input_null``
        ``draw``: R2 of as many random inputs.
    ``use_null`` ``use_change``
        ``draw`` and one number: change without random units, and without the unit.
    """

    title: ClassVar[str] = "Evidence card"
    version: ClassVar[int] = 2
    needs_images: ClassVar[bool] = True

    layer: str = Field(description="Layer of the unit.")
    unit: int = Field(ge=0, description="Index of the unit.")
    family: tuple[int, ...] = Field(default=(), description="Units of its family, itself included; none: that piece is missing.")
    angles: tuple[float, ...] = Field(default=(), description="Degrees of each unit of the family; none: not compared.")
    labels: str = Field(default="", description="File of blind labels; none: purity is missing.")
    limit: int = Field(default=512, ge=16, le=65536, description="Images whose positions are looked at, chosen by the seed.")
    steps: int = Field(default=64, ge=1, le=4096, description="Optimisation steps of the images made for the unit.")
    twins: int = Field(default=20, ge=20, le=200, description="Random-weight twins of the null of the stimuli.")
    places: int = Field(default=32, ge=8, le=1024, description="Positions at which the inputs are added up.")
    strongest: int = Field(default=10, ge=1, le=1024, description="Inputs that are to predict the pre-activation.")
    ablated: int = Field(default=128, ge=8, description="Images the network is shown without the unit.")
    null_images: int = Field(default=32, ge=2, description="Of these, how many without random other units too.")
    seed: int = Field(default=0, ge=0, lt=2**20, description="Of everything that is chosen at random.")

    def key(self, model: TracedModel, images: ImageSet | None = None) -> str:
        """Also depend on what is in the file of labels."""
        known = super().key(model, images)
        if not self.labels:
            return known
        try:
            content = Path(self.labels).read_bytes()
        except OSError as error:
            raise InputError(f"{self.labels} cannot be read: {error.strerror}") from None
        return hashlib.sha256(known.encode() + content).hexdigest()[:32]

    def compute(
        self, model: TracedModel, images: ImageSet | None, task: Task
    ) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Fill the card piece by piece."""
        assert images is not None
        layer = model.layer(self.layer)
        unit = Unit(layer.name, self.unit)
        if self.family and (self.unit not in self.family or not all(0 <= one < layer.units for one in self.family)):
            raise InputError(f"the family is of units 0 to {layer.units - 1} of {self.layer}, {self.unit} among them, not {self.family}")
        if self.angles and len(self.angles) != len(self.family):
            raise InputError(f"there are {len(self.family)} units in the family and {len(self.angles)} angles; give one each")
        labelling = self._labelling(model, images, unit)
        population = Population.read(model, unit, images, self.limit, self.seed, Part(task, 0, 10, 100))
        if not population.of_unit[1] > 0:
            raise InputError(f"{unit} does the same on all {len(population.indices)} images; choose another unit, or other images")
        bins = population.bins(BINS)
        seed = self.seed
        asked: dict[str, tuple[float, Callable[[Task], tuple[Piece, parts.Arrays]]]] = {
            "causality": (25, lambda part: parts.causality(model, images, population, self.steps, seed, part)),
            "generality": (35, lambda part: parts.generality(model, population, self.twins, seed, part)),
            "purity": (0, lambda part: (purity_piece(labelling), label_arrays(labelling) if labelling is not None else {})),
            "family": (2, lambda part: parts.family(model, layer.name, self.family, self.angles, seed)),
            "inputs": (8, lambda part: parts.inputs(model, images, population, self.places, self.strongest, seed, part)),
            "use": (20, lambda part: parts.use(model, images, unit, self.ablated, self.null_images, seed, part)),
        }
        arrays: dict[str, npt.NDArray[Any]] = {"edges": np.array(bins.edges), "density": bins.density, "expected": bins.expected}
        pieces, before = [], 10.0
        for name, (size, fill) in asked.items():
            task.step(before, 100, note=name)
            try:
                piece, found = fill(Part(task, before, size, 100))
            except InputError as error:  # this network or these images do not allow it; the others may
                piece, found = Piece(name, missing=f"missing: {name}", todo=f"{str(error)[:1].upper()}{str(error)[1:]}."), {}
            pieces.append(piece)
            arrays |= found
            before += size
        pieces.append(Piece("hand-coding", missing=HAND_CODING, todo="Write one with the editor for kernels, and compare the two."))
        mean, std = population.of_unit
        summary: dict[str, Any] = {
            "unit": str(unit),
            "measured": str(population.unit),
            "role": layer.role,
            "images": len(population.indices),
            "of": len(images),
            "positions": int(population.values.size),
            "mean": mean,
            "std": std,
            "max": float(population.values.max()),
            "badge": mismatch(model, images) or "",
            "lines": [piece.line for piece in pieces],
            "checklist": [asdict(piece) for piece in pieces],
        }
        return arrays, summary | {"figures": figures.captions(summary, arrays)}

    def _labelling(self, model: TracedModel, images: ImageSet, unit: Unit) -> Labelling | None:
        """Read the labels; refuse those of something else."""
        if not self.labels:
            return None
        found = Labelling.load(self.labels)
        if (found.weights, found.unit) != (model.weight_hash, str(unit)):
            raise InputError(f"{self.labels} has labels of {found.unit} of {found.model}, not of {unit} of {model.ref}")
        if found.images_hash != images.content_hash:
            raise InputError(f"{self.labels} has labels of images of {found.images}, not of {images.ref}")
        return found

    @classmethod
    def draw(cls, result: Result) -> dict[str, Figure]:
        """Draw the distribution, the labels, and what each piece compares."""
        return figures.all_of(result)


