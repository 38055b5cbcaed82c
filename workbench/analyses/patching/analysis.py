"""Activation patching: the declaration, and the sweep over pairs, layers and patches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor

from workbench.analyses.analysis import Analysis, Result, register
from workbench.analyses.patching.figures import effects, halves, scatter
from workbench.analyses.patching.findings import findings
from workbench.analyses.patching.metric import WORDS, Metric, MetricOf, Reading
from workbench.analyses.patching.pairs import Pairs, draw_pairs
from workbench.bootstrap import first_half, ratio_of_means
from workbench.classes import classes_of, has_classes
from workbench.finite import plain
from workbench.input_error import InputError
from workbench.models.patching import Kind, Patch, Patcher, estimate, patches_of
from workbench.task import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from workbench.images.image_set import ImageSet
    from workbench.models.traced_model import TracedModel

Array = npt.NDArray[np.float64]
HALVES, BOOTSTRAP = 10, 11
"""What random numbers are drawn for, each from a stream of its own (`pairs` has others)."""
DIRECTIONS = ("denoise", "noise")
TOGETHER = 4
"""Pairs that are patched in one batch."""
LEAST = 0.05
"""Part of the median difference between two runs of a pair below which a pair says nothing."""
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

    Beside each exact score stands attribution patching, its first-order estimate. Of the layers' parts the `top` best of one half of the
    pairs (by the concept of the clean image) are patched together on the other half, beside the sum of what each gives alone there. In
    *unaligned* pairs, the null, the part comes from the clean image of another pair, of a third class where there is one; with `twin` a
    network of random weights is patched as well. Intervals are of 95 %, by bootstrap over concepts. Pairs whose two runs differ by less
    than 5 % of the median pair are left out and counted.

    Arrays; p is a patch in the order of the summary's ``names``, i a pair:

    ``layer``
        int32 ``p``: place of its layer in the summary's ``layers``.
    ``denoise`` ``noise``
        float64 ``p i``: m - m_base of each patch.
    ``denoise_estimate`` ``noise_estimate`` ``unaligned``
        float64 ``p i``: the same by attribution; and, denoising, from another pair.
    ``whole``
        float64 ``i``: m_clean - m_corrupt.
    ``twin`` ``twin_whole``
        Of the random network: as ``denoise`` and ``whole``.
    ``clean`` ``partner``
        int64 ``i``: images of the set.
    ``half``
        bool ``i``: whether a pair stands in the half that the best are chosen on.
    """

    title: ClassVar[str] = "Activation patching"
    version: ClassVar[int] = 1
    needs_images: ClassVar[bool] = True

    layers: tuple[str, ...] = Field(description="Layers whose parts are patched, one part at a time.")
    part: Kind = Field(default="layer", description="What is patched: a layer, a branch, a unit, a cell (position or token), a head.")
    corruption: Literal["swap", "patch swap", "blur", "occlusion"] = Field(default="swap", description="What makes the corrupt image.")
    metric: Metric = Field(default="logit difference", description="What is read off.")
    unit: str = Field(default="", description="The unit that is read, for the metric unit, such as mixed4a:12.")
    put: Literal["resample", "mean", "zero"] = Field(
        default="resample", description="What noise puts: the corrupt run's activation, the clean images' mean, or 0."
    )
    pairs: int = Field(default=64, ge=8, le=100_000, description="Pairs of images.")
    top: int = Field(default=10, ge=1, description="Parts of a layer patched together.")
    twin: bool = Field(default=False, description="Patch a network of random weights, too, as a null.")
    seed: int = Field(default=0, ge=0, lt=2**31, description="Of pairs, halves, bootstrap and the random network.")

    def compute(
        self, model: TracedModel, images: ImageSet | None, task: Task
    ) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Draw the pairs, patch every part in both directions, then the best together."""
        assert images is not None
        metric = MetricOf.of(model, self.metric, self.unit)
        names = model.graph.sort(model.layer(name).name for name in self.layers)
        if not names:
            raise InputError("name at least one layer")
        patchers = [Patcher(model, name, metric.target) for name in names]
        parts = [patches_of(model, name, self.part) for name in names]
        task.step(0, 0, note="reading the pairs")
        pairs, classes = self._pairs(model, images)
        number = sum(map(len, parts))
        steps = _Steps(task, (1 + self.twin) * number * -(-len(pairs) // TOGETHER))
        work = _Work(model, metric, patchers, pairs, classes, self.corruption == "swap", self.put, steps)
        if self.put == "mean":
            work.average()
        found = work.sweep(parts)
        if self.twin:
            other = model.twin(self.seed)
            twins = [Patcher(other, name, metric.target) for name in names]
            random = _Work(other, metric, twins, pairs, classes, self.corruption == "swap", "resample", steps).sweep(parts, alone=True)
            found |= {"twin": random["denoise"], "twin_whole": random["whole"]}
        concept = images.concepts
        groups = np.unique([concept[index] for index in pairs.indices.tolist()], return_inverse=True)[1]
        whole = found["whole"]
        known = np.abs(whole) >= LEAST * np.median(np.abs(whole)) if np.median(np.abs(whole)) > 0 else np.zeros(len(whole), bool)
        if known.sum() < 8 or len(np.unique(groups[known])) < 2:
            raise InputError(f"only {int(known.sum())} of {len(whole)} pairs differ in the {WORDS[self.metric]}; choose another corruption")
        half = first_half(groups, [self.seed, HALVES])
        layer = np.repeat(np.arange(len(names), dtype=np.int32), [len(each) for each in parts])
        joint = self._joint(work, parts, layer, found, known & half, known & ~half, groups)
        arrays: dict[str, npt.NDArray[Any]] = {name: values[..., known] for name, values in found.items()}
        arrays |= {"layer": layer, "clean": pairs.indices[known], "partner": pairs.partners[known], "half": half[known]}
        every = [patch.name for each in parts for patch in each]
        table = [
            {"name": name, "layer": names[place]} | self._scores(arrays, row, groups[known])
            for row, (name, place) in enumerate(zip(every, layer.tolist(), strict=True))
        ]
        summary = {
            "layers": names,
            "part": self.part,
            "corruption": self.corruption,
            "metric": WORDS[self.metric] + (f" {self.unit}" if self.metric == "unit" else ""),
            "put": self.put,
            "pairs": int(known.sum()),
            "left_out": int((~known).sum()),
            "clean_minus_corrupt": plain(float(whole[known].mean())),
            "names": every,
            "joint": joint,
        }
        summary |= findings(arrays, len(names), groups[known])
        best = sorted(table, key=lambda row: -(row["denoise"] if row["denoise"] is not None else -np.inf))
        return arrays, summary | {"patches": table if len(table) <= SHOWN else best[:SHOWN]}

    def _pairs(self, model: TracedModel, images: ImageSet) -> tuple[Pairs, npt.NDArray[np.int64]]:
        """Return the pairs, and the class of each image of the set where it says one (-1 where not; empty where no image has one)."""
        column, classes = classes_of(model, images) if has_classes(model) else ("", np.zeros(0, np.int64))
        usable = np.flatnonzero(classes >= 0) if column else np.arange(len(images))
        kinds: Sequence[object] = classes.tolist() if column else images.concepts
        return draw_pairs(images, model.preprocessing.size, usable, kinds, self.pairs, self.corruption, self.seed), classes

    def _scores(self, arrays: dict[str, npt.NDArray[Any]], row: int, groups: npt.NDArray[np.integer]) -> dict[str, Any]:
        told: dict[str, Any] = {}
        for name, below in (("denoise", arrays["whole"]), ("noise", -arrays["whole"]), ("unaligned", arrays["whole"])):
            score = ratio_of_means(arrays[name][row], groups, [self.seed, BOOTSTRAP], below)
            told[name] = plain(score.value)
            if name != "unaligned":
                told |= {f"{name}_low": plain(score.low), f"{name}_high": plain(score.high)}
        for name, sign in (("denoise", 1), ("noise", -1)):
            told[f"{name}_estimate"] = plain(float(arrays[f"{name}_estimate"][row].mean() / (sign * arrays["whole"].mean())))
        return told

    def _joint(
        self,
        work: _Work,
        parts: Sequence[Sequence[Patch]],
        layer: npt.NDArray[np.int32],
        found: dict[str, Array],
        chosen: npt.NDArray[np.bool_],
        held: npt.NDArray[np.bool_],
        groups: npt.NDArray[np.integer],
    ) -> list[dict[str, Any]]:
        """Patch the best parts of each layer together, on the pairs they were not chosen on."""
        told: list[dict[str, Any]] = []
        for place, patches in enumerate(parts):
            if len(patches) < 2 or not held.any() or not chosen.any():
                continue
            rows = np.flatnonzero(layer == place)
            order = np.argsort(-found["denoise"][rows][:, chosen].mean(1), kind="stable")[: self.top]
            together = work.together(place, [patches[at] for at in order.tolist()], np.flatnonzero(held))
            whole = found["whole"][held]
            score = ratio_of_means(together, groups[held], [self.seed, BOOTSTRAP], whole)
            alone = float(found["denoise"][rows[order]][:, held].mean(1).sum() / whole.mean())
            told.append(
                {
                    "layer": work.patchers[place].layer.name,
                    "parts": [patches[at].name for at in order.tolist()],
                    "together": plain(score.value),
                    "together_low": plain(score.low),
                    "together_high": plain(score.high),
                    "sum_of_singles": plain(alone),
                }
            )
        return told

    @classmethod
    def draw(cls, result: Result) -> dict[str, Figure]:
        """Draw the scores, denoising against noising, exact against attribution, and one half of the pairs against the other."""
        figures = {"effects": effects(result)}
        if len(result.summary["names"]) > 2:
            figures |= {"scatter": scatter(result), "halves": halves(result)}
        return figures


class _Steps:
    """How far all of it is."""

    def __init__(self, task: Task, total: int) -> None:
        self._task, self._total, self._done = task, max(1, total), 0

    def tell(self, note: str, more: int = 0) -> None:
        """Say what is done."""
        self._done += more
        self._task.step(self._done, self._total, note=note)


class _Work:
    """The pairs in batches, and what is run on each."""

    def __init__(
        self,
        model: TracedModel,
        metric: MetricOf,
        patchers: Sequence[Patcher],
        pairs: Pairs,
        classes: npt.NDArray[np.int64],
        swaps: bool,
        put: str,
        steps: _Steps,
    ) -> None:
        self.model, self.metric, self.patchers, self.pairs, self.put, self._steps = model, metric, patchers, pairs, put, steps
        self._classes, self._swaps = classes, swaps
        self._means: list[Tensor] | None = None
        self._batches = [np.arange(at, min(at + TOGETHER, len(pairs))) for at in range(0, len(pairs), TOGETHER)]

    def inputs(self, rows: npt.NDArray[np.integer]) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return what the network reads of the clean and of the corrupt images of some pairs."""
        model = self.model
        return (
            model.inputs(model.preprocess(self.pairs.clean[rows])),
            model.inputs(model.preprocess(self.pairs.corrupt[rows])),
        )

    def reading(self, rows: npt.NDArray[np.integer], clean: tuple[Tensor, ...], corrupt: tuple[Tensor, ...]) -> Reading:
        """Return the metric for some pairs: with their classes as the set says, or else as the network does."""
        if self.metric.metric == "unit":
            return self.metric.reading([], [], self.model.device)
        with torch.no_grad():
            said = [self.model.activations(x, [self.model.graph.output])[self.model.graph.output] for x in (clean, corrupt)]
        one, other = (value.argmax(1).tolist() for value in said)
        if len(self._classes):
            one = self._classes[self.pairs.indices[rows]].tolist()
            other = self._classes[self.pairs.partners[rows]].tolist()
        if not self._swaps:  # the corrupt image shows nothing else: against the likeliest wrong class
            wrong = said[1].clone()
            wrong[torch.arange(len(one)), torch.tensor(one)] = -torch.inf
            other = wrong.argmax(1).tolist()
        return self.metric.reading(one, other, self.model.device)

    def average(self) -> None:
        """Take the mean of each layer over the clean images, as what is put."""
        totals: list[Any] = [0.0] * len(self.patchers)
        for rows in self._batches:
            clean, _ = self.inputs(rows)
            with torch.no_grad():
                values = self.model.activations(clean, [patcher.layer.name for patcher in self.patchers])
            for place, patcher in enumerate(self.patchers):
                totals[place] = totals[place] + values[patcher.layer.name].cpu().double().sum(patcher.layer.batch_axis, keepdim=True)
            self._steps.tell("averaging the activations")
        number = [len(self.pairs) * patcher.layer.rows for patcher in self.patchers]
        self._means = [(total / count).float() for total, count in zip(totals, number, strict=True)]

    def sweep(self, parts: Sequence[Sequence[Patch]], alone: bool = False) -> dict[str, Array]:
        """Patch every part of every layer on every pair; `alone` only by denoising."""
        number = sum(map(len, parts))
        names = ("denoise", "noise", "denoise_estimate", "noise_estimate", "unaligned")
        found = {name: np.full((number, len(self.pairs)), np.nan) for name in names} | {"whole": np.full(len(self.pairs), np.nan)}
        layers = [patcher.layer.name for patcher in self.patchers]
        reads = list(dict.fromkeys(name for patcher in self.patchers for name in patcher.reads))
        for rows in self._batches:
            clean, corrupt = self.inputs(rows)
            stranger = self.inputs(self.pairs.strangers[rows])[0]
            read = self.reading(rows, clean, corrupt)
            with torch.no_grad():
                of_clean, of_corrupt, of_stranger = (self.model.activations(x, reads) for x in (clean, corrupt, stranger))

            def metric(value: Tensor, read: Reading = read) -> Tensor:
                return read(value[None])[0]

            guesses = {}
            if not alone:
                guesses["denoise_estimate"] = estimate(self.model, layers, corrupt, of_clean, metric, read.target)
                guesses["noise_estimate"] = estimate(self.model, layers, clean, self._putting(of_corrupt), metric, read.target)
            start = 0
            for place, (patcher, patches) in enumerate(zip(self.patchers, parts, strict=True)):
                here = slice(start, start + len(patches))
                start += len(patches)
                for name, guess in guesses.items():
                    effect = guess[patcher.layer.name]
                    found[name][here, rows] = torch.stack([patch.of(effect) for patch in patches]).cpu().double().numpy()
                shown, spoilt, strange = ([of[name] for name in patcher.reads] for of in (of_clean, of_corrupt, of_stranger))
                runs = (
                    ("denoise", spoilt, shown, None),
                    ("noise", shown, spoilt, self._put(place, spoilt[0])),
                    ("unaligned", spoilt, strange, None),
                )
                for chunk in patcher.chunks(len(patches), len(rows)):
                    at = np.arange(here.start + chunk.start, here.start + chunk.stop)
                    for name, base, other, put in runs[: 1 if alone else None]:
                        said = read(patcher.run(base, other, patches[chunk], put)).cpu().double().numpy()
                        found[name][np.ix_(at, rows)] = said[2:] - said[0]
                        if name == "denoise":
                            found["whole"][rows] = said[1] - said[0]
                    self._steps.tell(f"patching {patcher.layer.name}", chunk.stop - chunk.start)
        return found

    def together(self, place: int, patches: Sequence[Patch], chosen: npt.NDArray[np.integer]) -> Array:
        """Return m - m_corrupt with several parts of a layer denoised at once, on some pairs."""
        patcher = self.patchers[place]
        found = []
        for at in range(0, len(chosen), TOGETHER):
            rows = chosen[at : at + TOGETHER]
            clean, corrupt = self.inputs(rows)
            read = self.reading(rows, clean, corrupt)
            said = read(patcher.run(patcher.values(corrupt), patcher.values(clean), [joined(patches)]))
            found.append((said[2] - said[0]).cpu().double().numpy())
            self._steps.tell(f"patching the best of {patcher.layer.name} together")
        return np.concatenate(found)

    def _put(self, place: int, like: Tensor) -> Tensor | None:
        if self.put == "resample":
            return None
        return torch.zeros_like(like) if self._means is None else self._means[place].to(like)

    def _putting(self, corrupt: dict[str, Tensor]) -> dict[str, Tensor]:
        found = {}
        for place, patcher in enumerate(self.patchers):
            value = corrupt[patcher.layer.name]
            put = self._put(place, value)
            found[patcher.layer.name] = value if put is None else put.expand_as(value)
        return found


def joined(patches: Sequence[Patch]) -> Patch:
    """Return several parts of one layer, all units or all cells, as one."""
    by_units = patches[0].units is not None
    places = np.concatenate([np.asarray(patch.units if by_units else patch.cells) for patch in patches])
    name = ", ".join(patch.name for patch in patches)
    return Patch(name, patches[0].layer, places, None) if by_units else Patch(name, patches[0].layer, None, places)
