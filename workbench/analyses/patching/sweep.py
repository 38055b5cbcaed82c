"""The sweep: attribution of every part first, on all pairs, then every part exactly, the promising ones first."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.analyses.patching.parts import joined
from workbench.models.patching import Patch, Patcher, estimate
from workbench.models.path_patching import PathPatcher
from workbench.task import Task

if TYPE_CHECKING:
    from workbench.analyses.patching.metric import MetricOf, Reading
    from workbench.analyses.patching.pairs import Pairs
    from workbench.models.traced_model import TracedModel

Array = npt.NDArray[np.float64]
Direction = Literal["denoise", "noise"]
Measured = Literal["denoise", "noise", "unaligned"]
TOGETHER = 4
"""Pairs that are patched in one batch."""
EVERY = 0.3
"""Seconds between two partial results."""
RANDOM = 8
"""Draws of as many other parts at random, beside the best ones; all there are where these are fewer."""


def likeliest_but(said: Float[Tensor, "image class"], classes: Sequence[int]) -> list[int]:
    """Return the likeliest class of each image other than a given one."""
    others = said.clone()
    others[torch.arange(len(classes)), torch.tensor(classes)] = -torch.inf
    found: list[int] = others.argmax(1).tolist()
    return found


class Steps:
    """How far all of it is, and what can be shown of it.

    Parameters
    ----------
    total
        Parts times batches of pairs.
    show
        Makes a partial result of what was found so far.
    """

    def __init__(self, task: Task, total: int, show: Callable[[], Mapping[str, object]]) -> None:
        self._task, self._total, self._show, self._done = task, max(1, total), show, 0
        self._shown = -EVERY

    def tell(self, note: str, more: int = 0, partial: bool = False) -> None:
        """Say what is done; with `partial` also show what was found, now and then."""
        self._done += more
        shown = None
        if partial and time.monotonic() - self._shown >= EVERY:
            shown = self._show()
            self._shown = time.monotonic()
        self._task.step(self._done, self._total, shown, note)


class Sweep:
    """The pairs in batches, and what is run on each.

    Parameters
    ----------
    showing
        Whether what it finds is shown meanwhile; not that of a twin, or of pairs that parts are chosen by.

    Attributes
    ----------
    found
        What was measured so far, NaN where it was not: see `ActivationPatching`.
    """

    def __init__(
        self,
        model: TracedModel,
        metric: MetricOf,
        patchers: Sequence[Patcher | PathPatcher],
        parts: Sequence[Sequence[Patch]],
        pairs: Pairs,
        classes: npt.NDArray[np.int64],
        swaps: bool,
        put: str,
        showing: bool = True,
    ) -> None:
        self.showing = showing
        self.model, self.metric, self.patchers, self.parts, self.pairs, self.put = model, metric, patchers, parts, pairs, put
        self._classes, self._swaps = classes, swaps
        self._means: list[Tensor] | None = None
        self._readings: dict[tuple[int, ...], Reading] = {}
        self._batches = [np.arange(at, min(at + TOGETHER, len(pairs))) for at in range(0, len(pairs), TOGETHER)]
        number = sum(map(len, parts))
        names = ("denoise", "noise", "denoise_estimate", "noise_estimate")
        self.found = {name: np.full((number, len(pairs)), np.nan) for name in names} | {"whole": np.full(len(pairs), np.nan)}
        self.found["unaligned"] = np.full((number, len(pairs.beside) or len(pairs)), np.nan)

    @property
    def size(self) -> int:
        """Parts times batches of pairs."""
        return len(self._batches) * sum(map(len, self.parts))

    def joint_size(self, pairs: int) -> int:
        """How much longer it takes, in the same measure, to patch the best of each layer together on so many pairs."""
        return -(-pairs // TOGETHER) * (RANDOM + 2) * sum(len(each) > 1 for each in self.parts)

    def inputs(self, rows: npt.NDArray[np.integer]) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return what the network reads of the clean and of the corrupt images of some pairs."""
        model = self.model
        return (
            model.inputs(model.preprocess(self.pairs.clean[rows])),
            model.inputs(model.preprocess(self.pairs.corrupt[rows])),
        )

    def reading(self, rows: npt.NDArray[np.integer], clean: tuple[Tensor, ...], corrupt: tuple[Tensor, ...]) -> Reading:
        """Return the metric for some pairs: with their classes as the set says, or else as the network does."""
        if self.metric.metric in ("unit", "similarity"):
            return self.metric.reading([], [], self.model.device)
        key = tuple(rows.tolist())
        if key in self._readings:
            return self._readings[key]
        with torch.no_grad():
            said = [self.model.activations(x, [self.model.graph.output])[self.model.graph.output] for x in (clean, corrupt)]
        one, other = (value.argmax(1).tolist() for value in said)
        if len(self._classes):
            one = self._classes[self.pairs.indices[rows]].tolist()
            other = self._classes[self.pairs.partners[rows]].tolist()
        # A chosen class stands in the place of a pair's own, and none is compared with itself.
        if self.metric.of_class >= 0:
            one = [self.metric.of_class] * len(one)
        elif self.metric.against >= 0:
            likeliest = likeliest_but(said[0], [self.metric.against] * len(one))
            one = [near if near != self.metric.against else instead for near, instead in zip(one, likeliest, strict=True)]
        # What shows nothing else, or nothing that the network takes for something else, is compared with the likeliest wrong class.
        likeliest = likeliest_but(said[1], one)
        other = [far if self._swaps and far != near else next_best for near, far, next_best in zip(one, other, likeliest, strict=True)]
        self._readings[key] = self.metric.reading(one, other, self.model.device)
        return self._readings[key]

    def average(self, steps: Steps) -> None:
        """Take the mean of each layer over the clean images, as what is put; beside a pair that was drawn, over images of the set."""
        totals: list[Any] = [0.0] * len(self.patchers)
        images = self.pairs.beside if self.pairs.drawn else self.pairs.clean
        for start in range(0, len(images), TOGETHER):
            shown = self.model.inputs(self.model.preprocess(images[start : start + TOGETHER]))
            with torch.no_grad():
                values = self.model.activations(shown, [patcher.layer.name for patcher in self.patchers])
            for place, patcher in enumerate(self.patchers):
                totals[place] = totals[place] + values[patcher.layer.name].cpu().double().sum(patcher.layer.batch_axis, keepdim=True)
            steps.tell("averaging the activations")
        number = [len(images) * patcher.layer.rows for patcher in self.patchers]
        self._means = [total / count for total, count in zip(totals, number, strict=True)]

    def attribute(self, steps: Steps, directions: Sequence[Direction] = ("denoise", "noise")) -> None:
        """Estimate every part on every pair by gradients."""
        reads = list(dict.fromkeys(name for patcher in self.patchers for name in patcher.reads))
        for rows in self._batches:
            clean, corrupt = self.inputs(rows)
            read = self.reading(rows, clean, corrupt)

            def metric(value: Tensor, read: Reading = read) -> Tensor:
                return read(value[None])[0]

            with torch.no_grad():
                of_clean, of_corrupt = (self.model.activations(x, [*reads, read.target]) for x in (clean, corrupt))
                whole = metric(of_clean[read.target]) - metric(of_corrupt[read.target])
            self.found["whole"][rows] = whole.cpu().double().numpy()
            for name in directions:
                if name == "denoise":
                    inputs, base, other = corrupt, of_corrupt, of_clean
                else:
                    inputs, base, other = clean, of_clean, self._putting(of_corrupt)
                effects = self._estimates(inputs, base, other, metric, read.target)
                parts = [patch.of(effect) for effect, patches in zip(effects, self.parts, strict=True) for patch in patches]
                self.found[f"{name}_estimate"][:, rows] = torch.stack(parts).cpu().double().numpy()
            steps.tell("attribution: estimating all parts", partial=self.showing)

    def _estimates(
        self,
        inputs: tuple[Tensor, ...],
        base: Mapping[str, Tensor],
        other: Mapping[str, Tensor],
        metric: Callable[[Tensor], Tensor],
        target: str,
    ) -> list[Tensor]:
        layers = [patcher.layer.name for patcher in self.patchers]
        if all(isinstance(patcher, Patcher) for patcher in self.patchers):
            found = estimate(self.model, layers, inputs, other, metric, target)
            return [found[name] for name in layers]
        return [
            patcher.estimate([base[name] for name in patcher.reads], other[patcher.layer.name], metric)
            for patcher in self.patchers
            if isinstance(patcher, PathPatcher)
        ]

    def run(self, steps: Steps, what: Sequence[Measured]) -> None:
        """Patch every part of every layer on every pair."""
        reads = list(dict.fromkeys(name for patcher in self.patchers for name in patcher.reads))
        for rows in self._batches:
            clean, corrupt = self.inputs(rows)
            read = self.reading(rows, clean, corrupt)
            with torch.no_grad():
                of_clean, of_corrupt = (self.model.activations(x, reads) for x in (clean, corrupt))
                strangers = []
                for columns, images in self.pairs.unlike(rows) if "unaligned" in what else ():
                    strangers.append((columns, self.model.activations(self.model.inputs(self.model.preprocess(images)), reads)))
            start = 0
            for place, (patcher, patches) in enumerate(zip(self.patchers, self.parts, strict=True)):
                order = start + self._promising(start, len(patches))
                shown, spoilt = ([of[name] for name in patcher.reads] for of in (of_clean, of_corrupt))
                runs: list[tuple[Measured, npt.NDArray[np.integer], list[Tensor], list[Tensor], Tensor | None]]
                runs = [("denoise", rows, spoilt, shown, None), ("noise", rows, shown, spoilt, self._put(place, spoilt[0]))]
                for columns, strange in strangers:
                    runs.append(("unaligned", columns, spoilt, [strange[name] for name in patcher.reads], None))
                runs = [run for run in runs if run[0] in what]
                for chunk in patcher.chunks(len(patches), len(rows)):
                    at = order[chunk]
                    note = f"patching {patcher.layer.name}" + (" from unrelated images" if "denoise" not in what else "")
                    chosen = [patches[each] for each in (at - start).tolist()]
                    for name, columns, base, other, put in runs:
                        steps.tell(note)  # a run takes a second or two: whoever cancels should not wait for all of them
                        said = read(patcher.run(base, other, chosen, put)).cpu().double().numpy()
                        self.found[name][np.ix_(at, columns)] = said[2:] - said[0]
                        if name == "denoise":
                            self.found["whole"][rows] = said[1] - said[0]
                    steps.tell(note, len(at), partial=self.showing)
                start += len(patches)

    def _promising(self, start: int, number: int) -> npt.NDArray[np.int64]:
        """Return the places of a layer's parts, those with the largest estimate first."""
        size = np.abs(np.nan_to_num(self.found["denoise_estimate"][start : start + number])).mean(1)
        return np.argsort(-size, kind="stable")

    def together(
        self,
        place: int,
        chosen: Sequence[int],
        pairs: npt.NDArray[np.integer],
        random: np.random.Generator,
        steps: Steps,
        stands_for: npt.NDArray[np.float64],
    ) -> dict[str, Array]:
        """Denoise several parts of a layer at once, on some pairs.

        Parameters
        ----------
        stands_for
            How many parts each of the layer's patches stands for: it is drawn the more often.

        Returns
        -------
        dict
            float64: ``together`` ``i`` and ``random`` ``draw i``, m - m_corrupt of the chosen parts and of as many of the others, none of
            them among the chosen; ``unaligned`` ``i``, or a column for each unrelated image beside a pair that was drawn.
        """
        patcher, patches = self.patchers[place], self.parts[place]
        rest = np.setdiff1d(np.arange(len(patches)), chosen)
        if math.comb(len(rest), len(chosen)) <= RANDOM:
            others = [list(each) for each in combinations(rest.tolist(), len(chosen))]
        else:
            likely = stands_for[rest] / stands_for[rest].sum()
            others = [random.choice(rest, len(chosen), replace=False, p=likely).tolist() for _ in range(RANDOM)]
        rows_of = [joined([patches[at] for at in each]) for each in (chosen, *others)]
        found: dict[str, list[Array]] = {"together": [], "random": [], "unaligned": []}
        for at in range(0, len(pairs), TOGETHER):
            rows = pairs[at : at + TOGETHER]
            clean, corrupt = self.inputs(rows)
            read = self.reading(rows, clean, corrupt)
            base = patcher.values(corrupt)
            said = read(patcher.run(base, patcher.values(clean), rows_of)).cpu().double().numpy()
            found["together"].append(said[2] - said[0])
            found["random"].append(said[3:] - said[0])
            for _, images in self.pairs.unlike(rows):
                strange = patcher.values(self.model.inputs(self.model.preprocess(images)))
                said = read(patcher.run(base, strange, rows_of[:1])).cpu().double().numpy()
                found["unaligned"].append(said[2] - said[0])
            steps.tell(f"patching the best of {patcher.layer.name} together", RANDOM + 2)
        return {name: np.concatenate(each, -1) for name, each in found.items()}

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
