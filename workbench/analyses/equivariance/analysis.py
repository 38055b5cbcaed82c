"""Families of units that a transformation of the image turns into one another, in every layer, beside networks that learned nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator

from workbench.analyses.analysis import Analysis, Result, register
from workbench.analyses.equivariance import figures, findings
from workbench.analyses.equivariance.matching import Cross, assigned
from workbench.analyses.equivariance.reading import Reader, Shown, shown_images
from workbench.analyses.equivariance.scoring import PairSums, Scores
from workbench.analyses.equivariance.weights import Confirmed, can_confirm, confirmed, kernels_of
from workbench.images.transformation import EXAMPLES, Transformation, transformation
from workbench.input_error import InputError
from workbench.models.adjacent import Adjacent, adjacent_layers
from workbench.models.layer import Layer
from workbench.task import Part, Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from workbench.images.image_set import ImageSet
    from workbench.models.traced_model import TracedModel

LEAST_UNITS = 4


@dataclass(frozen=True, eq=False)
class Matched:
    """The partner of every unit of a layer under one transformation, and how well it holds on the other half of the concepts."""

    partner: npt.NDArray[np.int64]
    scores: Scores


Found = dict[tuple[str, str], Matched]
"""By the names of transformation and layer."""


@register
class Equivariance(Analysis):
    """Which units are versions of one another: what one does on a turned, mirrored, scaled or recoloured image, the other does before.

    Olah et al., "Naturally Occurring Equivariance in Neural Networks" (Distill 2020), asked of activations, so that late layers are asked
    as early ones are. For a transformation T all units are read on x and on T x, places are moved back, and each unit a is given the
    partner b whose activation on x goes with a's on T x, by the assignment of all units with the largest sum of correlations. Partners are
    chosen on one half of the concepts; on the other half counts *gain*, the part of the squared distance between the standardised
    activations of a and b that T takes away: (corr(a(Tx), b(x)) - corr(a(x), b(x))) / (1 - corr(a(x), b(x))), so that two units that go
    together anyway have none, and its 95 % interval over concepts.

    A partner counts when the gain is at least ``least`` and the interval's lower end is above the *bar*: larger than that of any pair in
    the same layer of all random-weight twins, and than what the largest pair of a twin exceeds once in 20 times (extreme values fitted to
    the twins' largest), so that one layer in 20 has a pair by chance. Families are the orbits of partners that count, where they close as
    the transformation allows. Weights: cosine of a's kernels, moved back and given to the partners of what a reads, and b's; null: the
    layer's kernels with random phases (99 % of units have no such partner there).

    Arrays, one row for each unit of each layer under each transformation, in this order of nesting:

    ``transformation`` ``layer`` ``unit``
        int32: numbers of the transformation and layer in the summary's lists, and of the unit.
    ``partner``
        int32, -1 for units that do not vary on these images.
    ``agreement`` ``plain`` ``gain`` ``low`` ``high``
        float32: see above; NaN for a unit that is its own partner, or whose partner is the same unit for most purposes (`plain` >= 0.98).
    ``own`` ``invariance``
        float32: corr(a(Tx), a(x)), place by place, and of the largest activation of each image: equivariant to itself, and invariant.
    ``weights`` ``weights_bar``
        float32: cosine and its null; NaN where weights cannot be asked.
    ``counts`` ``symmetric``
        bool: whether the partner counts; whether the unit is its own partner, beyond every unit of the twins.
    ``family`` ``angle``
        int32 and float32: place in the summary's families or -1; degrees from the family's first unit, NaN where there are none.
    """

    title: ClassVar[str] = "Families and equivariance"
    needs_images: ClassVar[bool] = True
    takes_bf16: ClassVar[bool] = True

    transformations: tuple[str, ...] = Field(
        default=("flip",), min_length=1, description=f"What is done to images: {', '.join(EXAMPLES)} …"
    )
    layers: tuple[str, ...] = Field(default=(), description="Layers that are asked; none: all that a layer of weights makes.")
    images: int = Field(default=128, ge=0, description="Images (or pairs) tried, half to choose partners, half to score them; 0 for all.")
    twins: int = Field(default=20, ge=3, le=200, description="Random-weight twins, the null: two or more passes over the images each.")
    least: float = Field(default=0.3, ge=0, lt=1, description="Gain that a partner must have at least.")
    places: int = Field(default=128, ge=1, le=100_000, description="Most places of a map that are compared, drawn at random.")
    weights: bool = Field(default=True, description="Ask the weights as well, where kernels can be moved as images are.")
    batch: int = Field(default=16, ge=1, le=1024, description="Images computed at once.")
    seed: int = Field(default=0, ge=0, lt=2**31, description="Of the choice of images, halves and places, of intervals and twins.")

    @field_validator("transformations")
    @classmethod
    def _readable(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(transformation(name).name for name in names))

    def compute(
        self, model: TracedModel, images: ImageSet | None, task: Task
    ) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Match the network's units, then those of its twins, then say what is beyond these."""
        assert images is not None
        chosen = [transformation(name) for name in self.transformations]
        pairs = adjacent_layers(model.graph)
        asked = asked_layers(model, self.layers, pairs)
        moving = [one for one in chosen if can_confirm(one)] if self.weights else []
        making = [pair for pair in pairs if pair.target in {layer.name for layer in asked}] if moving else []
        also = [model.layer(name) for name in dict.fromkeys(pair.source for pair in making)]
        image = model.graph.name(model.graph.inputs[0])
        also = [layer for layer in also if layer.name != image and layer.name not in {one.name for one in asked}]
        shown = shown_images(images, chosen, self.images, self.seed)
        reader = Reader(model.preprocessing.size, self.places, self.seed)
        total = 1 + self.twins
        own = self._matched(model, images, shown, reader, [*asked, *also], Part(task, 0, 1, total))
        weights = self._confirmed(model, moving, asked, making, own, image, Part(task, 0, 1, total)) if moving else {}
        twins = []
        for place in range(self.twins):
            part = Part(task, 1 + place, 1, total)
            part.step(0, 1, note=f"drawing twin {place + 1} of {self.twins}")
            twins.append(self._matched(model.twin(self.seed + 1 + place), images, shown, reader, asked, part))
        arrays, told = findings.told(chosen, asked, own, twins, weights, self.least)
        tried = {one.name: counted(images, each) for each in shown for one in each.transformations}
        summary = {
            "transformations": [one.name for one in chosen],
            "titles": [one.title for one in chosen],
            "layers": [layer.name for layer in asked],
            **told,
            "tried": tried,
            "images": max(number["images"] for number in tried.values()),
            "twins": self.twins,
            "least": self.least,
        }
        return arrays, summary

    def _matched(
        self, model: TracedModel, images: ImageSet, shown: Sequence[Shown], reader: Reader, layers: Sequence[Layer], task: Task
    ) -> Found:
        """Choose every unit's partner on one half of the concepts, and score it on the other."""
        steps = [len(each.part(first)) * (1 + len(each.transformations)) for each in shown for first in (True, False)]
        total, done = sum(steps), 0
        crosses: dict[tuple[str, str], Cross] = {}
        sums: dict[tuple[str, str], PairSums] = {}
        for each in shown:
            for first in (True, False):
                part, one_pass = each.part(first), 1 + len(each.transformations)
                for at in range(0, len(part), self.batch):
                    some = part[at : at + self.batch]
                    task.step(done, total, note=f"{model.name}: {'choosing' if first else 'scoring'} partners")
                    for concepts, one, layer, before, after in reader.read(model, images, each, some, layers):
                        key = one.name, layer.name
                        if first:
                            crosses.setdefault(key, Cross()).see(before, after)
                        else:
                            sums[key].see(concepts, before, after)
                    done += len(some) * one_pass
                if first:
                    for one in each.transformations:
                        for layer in layers:
                            task.step(done, total, note=f"{model.name}: partners in {layer.name}")
                            cross = crosses.pop((one.name, layer.name), None)
                            if cross is None:
                                raise InputError(f"no image of {images.name} that was drawn could be read")
                            partner = assigned(cross.correlation, one.order == 2)
                            sums[one.name, layer.name] = PairSums(partner, int(each.concepts.max()) + 1)
        found = {}
        for key, each_sum in sums.items():
            task.step(done, total, note=f"{model.name}: intervals")
            found[key] = Matched(each_sum.partner, each_sum.scores(self.seed))
        return found

    def _confirmed(
        self,
        model: TracedModel,
        moving: Sequence[Transformation],
        asked: Sequence[Layer],
        making: list[Adjacent],
        own: Found,
        image: str,
        task: Task,
    ) -> dict[tuple[str, str], Confirmed]:
        """Ask the weights of every layer that has some."""

        def pulse() -> None:
            task.step(1, 1, note="comparing weights")

        kernels = kernels_of(model, making, pulse)
        found = {}
        for one in moving:
            sources: Mapping[str, npt.NDArray[np.int64]] = {
                image: np.arange(model.layer(image).units),
                **{layer: matched.partner for (name, layer), matched in own.items() if name == one.name},
            }
            for layer in asked:
                pulse()
                parts = [(pair, rows) for pair, rows in zip(making, kernels, strict=True) if pair.target == layer.name]
                partner = own[one.name, layer.name].partner
                found[one.name, layer.name] = confirmed(one, layer.units, partner, parts, sources, self.seed)
        return found

    @classmethod
    def draw(cls, result: Result) -> dict[str, Figure]:
        """Draw each layer's part of matched units beside its null, gains, and the largest families."""
        return figures.drawn(result)


def asked_layers(model: TracedModel, names: Sequence[str], pairs: Sequence[Adjacent]) -> list[Layer]:
    """Return the layers asked for; none: all that a layer of weights makes, of at least `LEAST_UNITS` units, but those inside a branch."""
    if not model.sees:
        raise InputError(f"{model.name} reads text, not images; there is nothing to turn or mirror")
    made = list(dict.fromkeys(pair.target for pair in pairs))
    joined = tuple(f"{name}." for name in made if model.layer(name).kind == "cat")
    asked = [model.layer(name) for name in names or (name for name in made if not name.startswith(joined))]
    found = [layer for layer in dict.fromkeys(asked) if layer.units >= LEAST_UNITS]
    if not found:
        raise InputError(f"no layer of {model.name} with {LEAST_UNITS} units or more was asked for; name one that has them")
    return found


def counted(images: ImageSet, shown: Shown) -> dict[str, int]:
    """Say how many images and concepts a transformation was tried on."""
    return {
        "images": len(shown.indices),
        "concepts": len(np.unique(shown.concepts)),
        "scored_on": int((~shown.first).sum()),
        "scored_concepts": len(np.unique(shown.concepts[~shown.first])),
    }
