"""Activation patching: the declaration, and what is asked of the sweep."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, field_validator

from workbench.analyses.analysis import Analysis, Result, register
from workbench.analyses.patching.choice import OTHERS, Choice, choose_parts, set_apart
from workbench.analyses.patching.figures import effects, halves, scatter
from workbench.analyses.patching.findings import findings
from workbench.analyses.patching.joint import BOOTSTRAP, joint_effects
from workbench.analyses.patching.metric import Metric, MetricOf
from workbench.analyses.patching.pairs import Pairs, draw_pairs, drawn_from, drawn_pair, read_pair
from workbench.analyses.patching.parts import Part, in_graph, parts_of, reading
from workbench.analyses.patching.scores import differing, oriented, scored
from workbench.analyses.patching.sweep import Steps, Sweep
from workbench.analyses.unit_activations import Box
from workbench.classes import classes_of, has_classes
from workbench.direction_set import find_directions
from workbench.finite import plain
from workbench.image_region import is_region
from workbench.images.image_set import load_images
from workbench.input_error import InputError
from workbench.models.patching import NoWay, Patch, Patcher, grid_of
from workbench.models.path_patching import PathPatcher, place_of
from workbench.task import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from workbench.images.image_set import ImageSet
    from workbench.models.traced_model import TracedModel

Arrays = dict[str, npt.NDArray[Any]]
SHOWN = 40
"""Patches named in the summary."""


@register
class ActivationPatching(Analysis):
    """Put a part of what the network computed on one image into its run on another, and see how much of the difference comes with it.

    Of each pair one image is *clean*, the other *corrupt* (`corruption`). In the direction *denoise* the corrupt run gets a part of the
    clean one: what suffices; in *noise* the clean run gets a part of the corrupt one: what is needed (Heimersheim & Nanda 2024). With the
    metric m the score is (m - m_corrupt) / (m_clean - m_corrupt) and (m_clean - m) / (m_clean - m_corrupt), a ratio of means over pairs:
    0 when nothing comes with the part, 1 when everything does; patching nothing and everything are rows of each batch and give these
    exactly. With `put` ``mean`` or ``zero`` the direction noise puts the layer's mean over the clean images, or 0, instead.

    With `through` it is path patching (Goldowsky-Dill et al. 2023): of what a part changes only what that receiver hears counts, and with
    `hold` only what gets there past some layers. The score is still a part of the whole difference. Layers without such a way, or behind
    what is read, are left out; the summary says which and why (``without``).

    Attribution patching, the first-order estimate, comes first, for all parts; then every part exactly. Of the layers' parts the `top` best
    of one half of the pairs (by the concept of the clean image; partners are of no concept that the other half has, where that can be: see
    ``apart`` in the summary) are patched together on the other half, beside the sum of what each gives alone there and as many of the other
    parts at random: at most half of a layer's parts, so that there are as many others.

    In *unaligned* pairs, the null of denoising, the part comes from the clean image of another pair, of a third class where there is one;
    noising has none. Any third image lies about halfway between two in what is read: where all passes through, the null is about 1/2 by
    construction, for it also takes away what speaks for the corrupt image. With `twin` one network of random weights is patched as well.
    Intervals are of 95 %, by bootstrap over concepts. Pairs whose two runs differ by less than 5 % of the median pair are left out and
    counted (``left_out``), and so are those of which the metric is no number (``no_number``).

    With `clean_file` and `corrupt_file` the one pair of these two images is patched: there are no intervals and no halves then, the best
    are patched together where they were chosen, and the null are the activations of 4 random images of the set, which come last: not the
    pair's own, and where the set says what its images show, not of the classes that the network sees in the pair, if there are others (the
    summary's ``unrelated``: how many, and whether so).

    Where a layer has more parts than `most`, only so many are patched: half of them those with the largest estimates on at most 64 other
    pairs (the summary's ``chosen_by``), and half at random of the rest, which then stand for the rest in the summary's ``findings`` (see
    `findings` for how sure these are). Up to a quarter of the concepts is set apart for these pairs, so that those patched may be fewer
    than asked for.

    What was found so far is shown meanwhile as a result of its own, ``incomplete`` in its summary: whoever cancels keeps it.

    Arrays; p is a patch in the order of the summary's ``names``, i a pair:

    ``layer``
        int32 ``p``: place of its layer in the summary's ``layers``.
    ``stands_for``
        float64 ``p``: how many parts of its layer each stands for in the summary's ``findings``.
    ``denoise`` ``noise``
        float64 ``p i``: m - m_base of each patch; NaN where it was not tried yet. Its sign is turned in pairs whose clean image has less
        of the metric than the corrupt one, as it may be of a unit, a text or a chosen class: no two pairs cancel one another.
    ``denoise_estimate`` ``noise_estimate`` ``unaligned``
        float64 ``p i``: the same by attribution; and, denoising, from another pair (of a drawn pair a column for each unrelated image).
    ``whole``
        float64 ``i``: m_clean - m_corrupt, turned likewise.
    ``twin`` ``twin_whole``
        Of the random network: as ``denoise`` and ``whole``.
    ``denoise_score`` ``denoise_low`` ``denoise_high`` ``denoise_attribution`` (and of ``noise``)
        float64 ``p``: score, interval, and score by attribution.
    ``unaligned_score`` ``unaligned_high`` ``twin_score``
        float64 ``p``: score in unaligned pairs, the upper end of its interval (of a drawn pair the largest); that of the random network.
    ``clean`` ``partner``
        int64 ``i``: images of the set; -1 for a pair that was drawn.
    ``half``
        bool ``i``: whether a pair stands in the half that the best are chosen on.
    ``clean_image`` ``corrupt_image``
        uint8 ``y x 3``: the first pair, as the network reads it.
    """

    title: ClassVar[str] = "Activation patching"
    version: ClassVar[int] = 6
    needs_images: ClassVar[bool] = True

    layers: tuple[str, ...] = Field(
        default=(), description="Layers whose parts are patched, one part at a time; none for families and directions, which have theirs."
    )
    part: Part = Field(
        default="layer",
        description="What is patched: a layer, a branch, a unit, a cell (position or token), a head, a region, a family, a direction.",
    )
    region: Box | None = Field(
        default=None, description="Patch only inside this part of the image: top, left, bottom, right in fractions of it; empty for all."
    )
    families: dict[str, str] = Field(
        default={}, description='Families by name with their units, for the part family, such as {"curves": "mixed3b:1,5"}.'
    )
    directions: str = Field(
        default="", description="Name of the directions or sparse autoencoder whose directions are patched, for the part direction."
    )
    through: str = Field(
        default="", description="Path patching: the layer or units (mixed4b:12) that alone hear what is patched; empty for all paths."
    )
    hold: tuple[str, ...] = Field(default=(), description="Layers on the way to the receiver that stay as they are: paths past them.")
    corruption: Literal["swap", "patch swap", "blur", "occlusion", "hue"] = Field(
        default="swap", description="What makes the corrupt image."
    )
    clean_file: str = Field(default="", description="A clean image file, to patch one pair in place of pairs of the set.")
    corrupt_file: str = Field(default="", description="The corrupt image file of that pair.")
    metric: Metric = Field(
        default="logit difference", description="What is read off; loss and logit are of one class, similarity is that of a CLIP to a text."
    )
    of_class: str = Field(default="", description="The class that is read, for logits and loss; empty for that of the clean image.")
    against: str = Field(default="", description="The class whose logit is subtracted; empty for that of the corrupt image.")
    unit: str = Field(default="", description="The unit that is read, for the metric unit, such as mixed4a:12.")
    text: str = Field(default="", description="The text of the metric similarity; empty for the one that the network was opened with.")
    against_text: str = Field(default="", description="A text whose similarity is subtracted; empty for none.")
    put: Literal["resample", "mean", "zero"] = Field(
        default="resample", description="What noise puts: the corrupt run's activation, the clean images' mean, or 0."
    )
    pairs: int = Field(default=64, ge=8, le=100_000, description="Pairs of images.")
    most: int = Field(
        default=0,
        ge=0,
        description="Parts of a layer that are patched: the best by attribution on other pairs, and as many others at random; 0 for all.",
    )
    top: int = Field(default=10, ge=1, description="Parts of a layer patched together; at most half of them, beside as many others.")
    twin: bool = Field(default=False, description="Patch a network of random weights, too, as a null.")
    seed: int = Field(default=0, ge=0, lt=2**31, description="Of pairs, halves, bootstrap and the random network.")

    @field_validator("region")
    @classmethod
    def _is_a_region(cls, value: Box | None) -> Box | None:
        if value is not None and not is_region(value):
            raise ValueError("a region is top, left, bottom, right with 0 <= top < bottom <= 1 and 0 <= left < right <= 1")
        return value

    @property
    def drawn(self) -> bool:
        """Whether one pair of two files is patched.

        Raises
        ------
        InputError
            When only one of the two files is given.
        """
        if bool(self.clean_file) != bool(self.corrupt_file):
            raise InputError("give both files of the pair, the clean and the corrupt one, or none")
        return bool(self.clean_file)

    def key(self, model: TracedModel, images: ImageSet | None = None) -> str:
        """Content key of the result; that of the files and of the directions is part of it."""
        given = self._given()
        key = super().key(model, images)
        return hashlib.sha256(f"{key} {sorted(given.items())}".encode()).hexdigest()[:32] if given else key

    def provenance(self, model: TracedModel, images: ImageSet | None) -> dict[str, Any]:
        """Say what the numbers were made from, the files and directions among it."""
        return super().provenance(model, images) | self._given()

    def _given(self) -> dict[str, str]:
        found = {}
        if self.drawn:
            found = {name: load_images(f"files:{getattr(self, name)}").content_hash for name in ("clean_file", "corrupt_file")}
        if self.part == "direction" and self.directions:
            found["directions"] = find_directions(self.directions).digest
        return found

    def compute(
        self, model: TracedModel, images: ImageSet | None, task: Task
    ) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Draw the pairs, estimate every part, patch it in both directions, then the best together."""
        assert images is not None
        made_from = self.provenance(model, images)
        layers: Sequence[str] = self.layers
        if self.part == "direction":
            if layers:
                raise InputError("directions are of a layer of their own; leave the layers empty")
            model = in_graph(model, self.directions)
            layers = (reading(model, self.directions),)
        metric = self._metric(model)
        parts = parts_of(model, layers, self.part, self.region, self.families)
        patchers, without = self._patchers(model, list(parts), metric.target)
        parts = {patcher.layer.name: parts[patcher.layer.name] for patcher in patchers}
        task.step(0, 0, note="reading the pairs")
        chooses = bool(self.most) and max(map(len, parts.values())) > self.most
        pairs, classes, others = self._pairs(model, images, chooses)
        swaps = self.drawn or self.corruption == "swap"
        choices = [Choice.whole(each) for each in parts.values()]
        if others is not None:
            guess = Sweep(model, metric, patchers, list(parts.values()), others, classes, swaps, self.put, showing=False)
            guess.attribute(Steps(task, 0, dict), ("denoise",))
            choices = choose_parts(list(parts.values()), guess.found["denoise_estimate"], guess.found["whole"], self.most, self.seed)
        parts = {name: choice.parts for name, choice in zip(parts, choices, strict=True)}
        concept = images.concepts
        groups = np.unique([concept[index] for index in pairs.indices.tolist()], return_inverse=True)[1]
        sweep = Sweep(model, metric, patchers, list(parts.values()), pairs, classes, swaps, self.put)
        stands_for = np.concatenate([choice.stands_for for choice in choices])
        told = self._about(parts, pairs, metric, model) | {"without": without}
        told["of_layer"] = [round(float(choice.stands_for.sum())) for choice in choices]
        told["chosen_by"] = 0 if others is None else len(others)

        def show() -> dict[str, Result]:
            arrays, summary = self._so_far(sweep.found, pairs, told)
            arrays["stands_for"] = stands_for
            return {"result": Result(type(self).__name__, self.model_dump(mode="json"), arrays, summary, made_from)}

        half = pairs.first if not pairs.drawn else np.zeros(1, bool)
        steps = Steps(task, (1 + self.twin + pairs.drawn) * sweep.size + sweep.joint_size(int((~half).sum())), show)
        if self.put == "mean":
            sweep.average(steps)
        sweep.attribute(steps)
        self._known(sweep.found["whole"], groups, metric)  # pairs without a difference are refused before the long part
        if pairs.drawn:  # the null takes longer than the scores themselves
            sweep.run(steps, ("denoise", "noise"))
            sweep.run(steps, ("unaligned",))
        else:
            sweep.run(steps, ("denoise", "noise", "unaligned"))
        found = dict(sweep.found)
        if self.twin:
            other = model.twin(self.seed)
            twins, _ = self._patchers(other, list(parts), metric.target)
            random = Sweep(other, self._metric(other), twins, sweep.parts, pairs, classes, swaps, "resample", showing=False)
            random.run(steps, ("denoise",))
            found |= {"twin": random.found["denoise"], "twin_whole": random.found["whole"]}
        turned = np.where(found["whole"] < 0, -1.0, 1.0)
        found = oriented(found, pairs.drawn)
        known = self._known(found["whole"], groups, metric)
        arrays = self._arrays(found, pairs, told, known, groups)
        arrays |= {"half": half[known], "stands_for": stands_for}
        chosen, held = (known, known) if pairs.drawn else (known & half, known & ~half)
        joint = joint_effects(sweep, found, turned, (chosen, held), groups, self.top, self.seed, steps, stands_for)
        summary = told | self._counted(found["whole"], known) | {"joint": joint, "incomplete": False}
        summary["no_number"] = int((~np.isfinite(found["whole"])).sum())
        summary |= findings(arrays, len(parts), groups[known], self.seed)
        return arrays, summary | {"patches": self._table(told["names"], told["layers"], arrays)}

    def _metric(self, model: TracedModel) -> MetricOf:
        if self.metric == "unit":
            return MetricOf.of_unit(model, self.unit)
        if self.metric == "similarity":
            return MetricOf.of_texts(model, self.text, self.against_text)
        return MetricOf.of_classes(model, self.metric, self.of_class, self.against if self.metric == "logit difference" else "")

    def _patchers(self, model: TracedModel, layers: Sequence[str], target: str) -> tuple[list[Patcher | PathPatcher], dict[str, str]]:
        """Return a patcher for each layer that has a way to what is read or to the receiver, and why the others have none.

        Raises
        ------
        InputError
            When none has.
        """
        if self.hold and not self.through:
            raise InputError("layers are held on the way to a receiver; give what is patched through, too")
        receiver = place_of(model, self.through) if self.through else None
        found: list[Patcher | PathPatcher] = []
        without: dict[str, str] = {}
        for name in layers:
            try:
                found.append(Patcher(model, name, target) if receiver is None else PathPatcher(model, name, receiver, target, self.hold))
            except NoWay as error:
                without[name] = str(error)
        if not found:
            raise NoWay(next(iter(without.values())))
        return found, without

    def _pairs(self, model: TracedModel, images: ImageSet, chooses: bool) -> tuple[Pairs, npt.NDArray[np.int64], Pairs | None]:
        """Return the pairs, what the images show, and where parts are chosen the pairs that they are chosen by.

        What they show is the class of each image of the set where it says one: -1 where not; empty where no image has one.

        Raises
        ------
        InputError
            When parts are to be chosen and there are no other pairs to do it by.
        """
        if chooses and self.drawn:
            raise InputError("parts are chosen by other pairs, and there is one only; patch all parts (most = 0)")
        size = model.preprocessing.size
        none = np.zeros(0, np.int64)
        column, classes = classes_of(model, images) if has_classes(model) else ("", none)
        if self.drawn:
            files = read_pair(size, self.clean_file, self.corrupt_file)
            shown = self._said(model, np.concatenate(files)) if column else []
            return drawn_pair(images, size, *files, shown, classes if column else none, self.seed), none, None
        usable, kinds = drawn_from(images, classes)
        others = None
        if chooses:
            usable, apart = set_apart(images, (usable, kinds), self.seed)
            others = draw_pairs(images, size, apart, kinds, OTHERS, self.corruption, self.seed)
        return draw_pairs(images, size, usable, kinds, self.pairs, self.corruption, self.seed), classes, others

    @staticmethod
    def _said(model: TracedModel, pixels: npt.NDArray[np.uint8]) -> list[int]:
        """Return the class that the network sees in each image."""
        output = model.graph.output
        with torch.no_grad():
            found: list[int] = model.activations(model.inputs(model.preprocess(pixels)), [output])[output].argmax(1).tolist()
        return found

    def _known(self, whole: npt.NDArray[np.float64], groups: npt.NDArray[np.integer], metric: MetricOf) -> npt.NDArray[np.bool_]:
        """Tell which pairs differ enough to say something; InputError when these are too few."""
        known, finite = differing(whole), np.isfinite(whole)
        if self.drawn and not finite.all():
            raise InputError(f"the {metric.words} is no number on this pair; open the network in fp32, or read something else")
        if self.drawn and not known.all():
            raise InputError(f"the two images do not differ in the {metric.words}; draw another pair, or read something else")
        if not self.drawn and (known.sum() < 8 or len(np.unique(groups[known])) < 2):
            if not finite.all():
                none = f"{int((~finite).sum())} of {len(whole)} pairs"
                raise InputError(f"the {metric.words} is no number in {none}; open the network in fp32, or read something else")
            raise InputError(f"only {int(known.sum())} of {len(whole)} pairs differ in the {metric.words}; choose another corruption")
        return known

    def _about(self, parts: Mapping[str, Sequence[Patch]], pairs: Pairs, metric: MetricOf, model: TracedModel) -> dict[str, Any]:
        """Return what is known of the patches before any was tried."""
        told: dict[str, Any] = {
            "layers": list(parts),
            "part": self.part,
            "corruption": "a drawn pair" if pairs.drawn else self.corruption,
            "drawn": pairs.drawn,
            "metric": metric.words,
            "put": self.put,
            "unrelated": {"images": len(pairs.beside), "other_classes": pairs.other_classes} if pairs.drawn else None,
            "apart": pairs.apart,
            "through": self.through,
            "names": [patch.name for each in parts.values() for patch in each],
            "in_layer": [len(each) for each in parts.values()],
            "grids": [(grid_of(model.layer(name), model.preprocessing.size) or (0, 0, 0))[1:] for name in parts],
        }
        if self.part == "direction":
            labels = next(known for known in model.directions if known.name == self.directions).labels
            told["labels"] = list(labels)
        return told

    def _counted(self, whole: npt.NDArray[np.float64], known: npt.NDArray[np.bool_]) -> dict[str, Any]:
        difference = plain(float(whole[known].mean())) if known.any() else None
        left_out = int((np.isfinite(whole) & ~known).sum())
        return {"pairs": int(known.sum()), "left_out": left_out, "no_number": 0, "clean_minus_corrupt": difference}

    def _so_far(self, found: Mapping[str, npt.NDArray[Any]], pairs: Pairs, told: Mapping[str, Any]) -> tuple[Arrays, dict[str, Any]]:
        """Return what was found so far, without intervals, halves and joint effects."""
        found = oriented(found, pairs.drawn)
        known = differing(found["whole"])
        arrays = self._arrays(found, pairs, told, known, None)
        arrays["half"] = np.zeros(int(known.sum()), bool)
        summary = dict(told) | self._counted(found["whole"], known) | {"joint": [], "findings": [], "incomplete": True}
        exact = int(np.isfinite(arrays["denoise_score"]).sum())
        return arrays, summary | {"exact": exact, "patches": self._table(told["names"], told["layers"], arrays)}

    def _arrays(
        self,
        found: Mapping[str, npt.NDArray[Any]],
        pairs: Pairs,
        told: Mapping[str, Any],
        known: npt.NDArray[np.bool_],
        groups: npt.NDArray[np.integer] | None,
    ) -> Arrays:
        apart = {"unaligned"} if pairs.drawn else set()
        arrays: Arrays = {name: values.copy() if name in apart else values[..., known] for name, values in found.items()}
        arrays |= scored(arrays, None if groups is None or pairs.drawn else groups[known], [self.seed, BOOTSTRAP], pairs.drawn)
        arrays["layer"] = np.repeat(np.arange(len(told["layers"]), dtype=np.int32), told["in_layer"])
        arrays |= {"clean": pairs.indices[known], "partner": pairs.partners[known]}
        return arrays | {"clean_image": pairs.clean[0].copy(), "corrupt_image": pairs.corrupt[0].copy()}

    @staticmethod
    def _table(names: Sequence[str], layers: Sequence[str], arrays: Arrays) -> list[dict[str, Any]]:
        """Return the patches with their figures; only the best where they are many."""
        score, guess = arrays["denoise_score"], arrays["denoise_attribution"]
        worth = np.nan_to_num(np.where(np.isfinite(score), score, guess), nan=-np.inf)
        rows = range(len(names)) if len(names) <= SHOWN else np.argsort(-worth, kind="stable")[:SHOWN].tolist()
        columns = {
            f"{way}{end}": f"{way}{end or '_score'}" for way in ("denoise", "noise") for end in ("", "_low", "_high")
        } | {"unaligned": "unaligned_score", "denoise_estimate": "denoise_attribution", "noise_estimate": "noise_attribution"}
        return [
            {"name": names[row], "layer": layers[int(arrays["layer"][row])]}
            | {column: plain(float(arrays[array][row])) for column, array in columns.items()}
            for row in rows
        ]

    @classmethod
    def draw(cls, result: Result) -> dict[str, Figure]:
        """Draw the scores, denoising against noising, exact against attribution, and one half of the pairs against the other."""
        figures = {"effects": effects(result)}
        if len(result.summary["names"]) > 2:
            figures["scatter"] = scatter(result)
            if result.arrays["half"].any():
                figures["halves"] = halves(result)
        return figures
