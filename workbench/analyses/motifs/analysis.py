"""Which motifs return in the weights of a whole network, and how sure each is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from workbench.analyses.analysis import Analysis, Result, register
from workbench.analyses.motifs import figures, findings, search
from workbench.analyses.motifs.activity import observed
from workbench.analyses.motifs.branches import branchings
from workbench.analyses.motifs.weights import chosen_pairs, judge, read_kernels, related
from workbench.input_error import InputError
from workbench.models.expanded import read_inputs
from workbench.motifs import KINDS
from workbench.task import Part, Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from workbench.images.image_set import ImageSet
    from workbench.models.traced_model import TracedModel


@register
class Motifs(Analysis):
    """Find motifs over a whole network: patterns of weights that return, each with how sure it is beside weights that have none.

    Searched are all layers of weights (a convolution or a linear layer, BatchNorm and layer scale included), or those of some targets. Each
    unit's kernels are brought to length 1 together; with ``weighted`` each is first multiplied by the standard deviation of what it reads.

    *Equivariant to invariant* and *union over cases*: Olah et al., "Zoom In" (Distill 2020). *Opposite pair*: two units with one set of
    weights and both signs. *Weight banding*: Petrov et al. (Distill 2021). *Branch specialisation*: Voss et al. (Distill 2021). *Kernel
    template*: what a clustering finds. `workbench.motifs.KINDS` says what each score is. Families of turned units: "Naturally Occurring
    Equivariance" (Distill 2020).

    Nulls, `draws` draws of each: *shuffled*: kernel entries of a layer in random places across inputs and units, before any norm is taken;
    *dealt* (pooling): each unit's kernels whole, given to other inputs; *scattered* (unions): kernels whole, given to any unit and input;
    *mixed* (opposites): units drawn anew from what the layer's units span; *rephased* (templates): kernels of the same spectrum with random
    phases. Of two nulls the harder one counts. p beyond what so many draws can tell comes from an exponential tail fitted to the null's
    highest 5 %. Over all tests of a kind in the network p is corrected as Benjamini and Hochberg do (q). A branch is compared by ranks,
    banding by coins that transpose the kernels of each input, a template by its frequency among the null's kernels.

    A source that is not what the targets read lies behind non-linearities: its weights are expanded with mean slopes (see
    `ExpandedWeights`), and since what lies between mixes them, shuffled entries are too easy a null; the summary says so.

    Arrays, for each kind of `workbench.motifs.KINDS`:

    ``KIND_score`` ``KIND_p`` ``KIND_q``
        float32, one for each test.
    ``KIND_null``
        int64 ``null draw``: how many each draw of each null finds, in the units of the tests; the summary gives those of the null that has
        most. An opposite pair is one test.
    ``templates``
        float32 ``template y x``: kernels of length 1, padded with NaN to the largest; `summary` says of each finding which it is.
    """

    title: ClassVar[str] = "Motifs"
    version: ClassVar[int] = 3
    needs_images: ClassVar[bool] = True

    targets: tuple[str, ...] = Field(default=(), description="Layers whose weights are searched; none: all of the network.")
    source: str = Field(default="", description="What the targets are built from, however far before; none: what each of them reads.")
    kinds: tuple[str, ...] = Field(default=(), description=f"Of {', '.join(KINDS)}; none: all.")
    weighted: bool = Field(default=False, description="Weigh each kernel by the standard deviation of what it reads.")
    draws: int = Field(default=10, ge=5, le=1000, description="Draws of each null.")
    alpha: float = Field(default=0.05, gt=0, lt=1, description="Part of what is found that may be false.")
    listed: int = Field(default=100, ge=1, le=100_000, description="Findings of a kind that are listed, the largest scores first.")
    images: int = Field(default=64, ge=8, description="Images that deviations and correlations are taken over.")
    batch: int = Field(default=8, ge=1, le=1024, description="Images computed at once.")
    seed: int = Field(default=0, ge=0, lt=2**31, description="Of the choice of images and of the nulls.")

    def compute(
        self, model: TracedModel, images: ImageSet | None, task: Task
    ) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Read the weights, watch what is read, say which units are turned versions of one another, then search."""
        assert images is not None
        if wrong := [kind for kind in self.kinds if kind not in KINDS]:
            raise InputError(f"there is no motif {wrong[0]!r}; choose of {', '.join(KINDS)}")
        kinds = self.kinds or tuple(KINDS)
        pairs, wanted = chosen_pairs(model, self.source, self.targets)
        inputs, seen_images = read_inputs(model, images, self.images, self.batch, self.seed)
        number = len(seen_images)
        if number < 8:
            raise InputError(f"{number} images of {images.name} could be read; at least 8 are needed")
        far = bool(self.source)
        searched = [pair for pair in pairs if pair in wanted] if not far else sorted(wanted, key=lambda pair: pair.first)
        kernels = read_kernels(model, pairs, False, inputs, Part(task, 0, 40, 100))
        far_kernels = read_kernels(model, searched, True, inputs, Part(task, 40, 5, 100)) if far else []
        beside = [one for one in branchings(model.graph, pairs) if not far and any(pairs[b.pairs[0]] in wanted for b in one.branches)]
        asked = sorted({one.source for one in beside} - {_image(model)})
        reads = list(dict.fromkeys(pair.source for pair in searched))
        seen, step = [0], Part(task, 45, 10, 100)

        def pulse() -> None:
            seen[0] += 1
            step.step(seen[0], len(inputs), note="watching the units that are read")

        activity = observed(model, reads, asked if "branch" in kinds else [], inputs, pulse)
        known = related(model, pairs, kernels, {pair.source for pair in searched}, self.seed, Part(task, 55, 10, 100))
        own = far_kernels if far else [kernel for pair, kernel in zip(pairs, kernels, strict=True) if pair in wanted]
        weights = [
            judge(pair, kernel, activity[pair.source], known.get(pair.source), self.weighted)
            for pair, kernel in zip(searched, own, strict=True)
        ]
        needs = {name: activity[name].needs for name in asked}
        counted, templates = search.everything(
            weights, beside, needs, pairs, kinds, self.draws, self.alpha, self.seed, Part(task, 65, 35, 100)
        )
        arrays, told, found = findings.told(weights, counted, self.alpha, self.listed)
        dead, broken, empty = findings.not_judged(weights, activity)
        summary = {
            "kinds": told,
            "findings": found,
            "layers": [f"{pair.source} > {pair.target}" for pair in searched],
            "units": len({weight.unit(row) for weight in weights for row in range(len(weight.kernels))}),
            "images": number,
            "draws": self.draws,
            "alpha": self.alpha,
            "families": {name: [list(family) for family in known[name].families] for name in reads if name in known},
            "dead": dead,
            "not_numbers": broken,
            "without_weights": empty,
            "grouped": [f"{pair.source} > {pair.target}" for pair in searched if pair.groups != 1],
            "behind_nonlinearities": far,
        }
        return arrays | {"templates": _stacked(templates)}, summary

    @classmethod
    def draw(cls, result: Result) -> dict[str, Figure]:
        """Draw counts beside their nulls, scores beside what each kind asks, and the templates."""
        return figures.drawn(result)


def _image(model: TracedModel) -> str:
    return model.graph.name(model.graph.inputs[0])


def _stacked(templates: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """Put templates of several sizes into one array."""
    side = max((len(one) for one in templates), default=0)
    whole = np.full((len(templates), side, side), np.nan, np.float32)
    for place, one in enumerate(templates):
        start = (side - len(one)) // 2
        whole[place, start : start + len(one), start : start + len(one)] = one
    return whole
