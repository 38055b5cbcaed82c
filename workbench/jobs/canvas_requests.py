"""What the window asks while two images are drawn: what the network does on each, and which parts carry the difference.

As in `requests`, nothing heavy is imported before `run`, in the worker thread.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from workbench.images.image_set import Pixels
from workbench.input_error import InputError
from workbench.jobs.few_threads import few_threads
from workbench.jobs.job import Lane, Request
from workbench.models.layer import Unit
from workbench.task import Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from workbench.jobs.engine import Engine
    from workbench.models.parts import Block
    from workbench.models.patching import Patcher
    from workbench.models.traced_model import TracedModel

SEEN = 4
"""Images whose activations are kept: while one draws on one of two, patching is a run or two behind."""
FADING = 0.9
"""Of the time that patching a block took, what still counts the next time."""
BLOCKS = 12
"""Blocks whose parts are patched while one draws."""
LIKELIEST = 6
"""Classes that are told."""

_Told = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
"""Units and classes of one image."""


@dataclass(eq=False)
class SeenImages:
    """What was computed on the images asked about last: one run of the network serves everything that is told of an image.

    Attributes
    ----------
    layer
        The layer whose units were asked about last.
    reads
        Layers whose activations patching wants, in order: they are kept whenever the network is run.
    values
        Those of an image, by its `digest`; of the last `SEEN` images.
    told
        What was told of both images asked about last, by layer and `digest`.
    """

    layer: str = ""
    reads: tuple[str, ...] = ()
    values: OrderedDict[bytes, Mapping[str, Tensor]] = field(default_factory=OrderedDict)
    told: dict[tuple[str, bytes], _Told] = field(default_factory=dict)

    @classmethod
    def by(cls, engine: Engine, model: TracedModel) -> SeenImages:
        """Return what was computed with a network."""
        return engine.kept(("canvas images", model.ref, model.weight_hash), cls, alone=True)

    def ask_for(self, reads: tuple[str, ...]) -> None:
        """Say what patching wants from now on: what was told without it is computed anew."""
        self.reads = reads
        self.values.clear()
        self.told.clear()

    def keep(self, key: bytes, values: Mapping[str, Tensor]) -> None:
        """Keep the activations of an image, where any are wanted."""
        if self.reads:
            self.values[key] = values
            while len(self.values) > SEEN:
                self.values.popitem(last=False)

    def use(self, key: bytes) -> Mapping[str, Tensor]:
        """Return the activations of an image, and keep them longer than those of others; none where it was not seen."""
        if key in self.values:
            self.values.move_to_end(key)
        return self.values.get(key, {})


@dataclass(frozen=True)
class PairOnNetwork(Request):
    """What the network says of two images, and what the units of a layer do on each -> mapping.

    * ``classes``: names of the likeliest on either image, empty for a network without classes; ``clean_classes``, ``corrupt_classes``
      float32, their probabilities;
    * ``clean_units``, ``corrupt_units`` float32 ``unit``: the largest activation at any position.

    An image that was asked about before is not computed again: while one draws, only one of both changes.

    Attributes
    ----------
    clean, corrupt
        uint8 ``[y, x, 3]``.
    drawings
        What they show, in words, by side: for the provenance of what is shown of the answer.
    """

    model: str
    layer: str
    clean: Pixels = field(compare=False, repr=False)
    corrupt: Pixels = field(compare=False, repr=False)
    drawings: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    lane: ClassVar[Lane] = "interactive"

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"{self.layer} on the canvas"

    @property
    def key(self) -> str:
        """The newest wins."""
        return "canvas activations"

    def run(self, engine: Engine, task: Task) -> dict[str, Any]:
        """Run the network once."""
        engine.warm_up(task)
        import torch

        from workbench.classes import has_classes
        from workbench.models.one_call import one_call

        model = engine.model(self.model, task=task)
        layer, output = model.layer(self.layer), model.graph.output
        classes = has_classes(model)
        seen = SeenImages.by(engine, model)
        seen.layer = layer.name
        targets = tuple(dict.fromkeys((layer.name, *([output] if classes else []), *seen.reads)))

        def read(image: Pixels, key: bytes) -> _Told:
            with torch.inference_mode(), few_threads(image.shape):
                inputs = model.inputs(model.preprocess(np.array(image)[None]))
                place = ("canvas run", model.ref, model.weight_hash, targets, tuple(value.shape for value in inputs))
                run = engine.kept(place, lambda: one_call(model.forward_to(targets), inputs), alone=True)
                values = dict(zip(targets, run(*inputs), strict=True))
                seen.keep(key, {name: values[name] for name in seen.reads})
                arranged = layer.arrange(values[layer.name])
                units = arranged.reshape(*arranged.shape[:2], -1).amax(2)[0].float().cpu().numpy()
                shares = values[output][0].float().softmax(0).cpu().numpy() if classes else np.zeros(0, np.float32)
            return units, shares

        keys = [digest(image) for image in (self.clean, self.corrupt)]
        told: dict[bytes, _Told] = {}
        for key, image in zip(keys, (self.clean, self.corrupt), strict=True):
            told[key] = seen.told.get((layer.name, key)) or told.get(key) or read(image, key)
            seen.use(key)
        seen.told = {(layer.name, key): each for key, each in told.items()}
        (units, shares), (corrupt_units, corrupt_shares) = (told[key] for key in keys)
        likeliest = np.argsort(-np.maximum(shares, corrupt_shares), kind="stable")[:LIKELIEST]
        return {
            "classes": tuple(model.labels[place] for place in likeliest.tolist()),
            "clean_classes": shares[likeliest],
            "corrupt_classes": corrupt_shares[likeliest],
            "clean_units": units,
            "corrupt_units": corrupt_units,
        }


_Patching = tuple["list[Block]", int, "list[list[Patcher]]", dict[str, float]]
"""Blocks, how many there are, what patches the parts of each, and what each takes in seconds."""


@dataclass(frozen=True)
class PartsOnPair(Request):
    """How much of the difference between two images each part of each block carries -> mapping.

    * ``blocks``: names from early to late, at most `BLOCKS`; ``total``: how many there are; ``parts``: tuple of the parts' names of each;
    * ``scores``: mapping of a block to float64 ``part``: (patched - corrupt) / (clean - corrupt), the corrupt run given that part of the
      clean one; 0 when nothing of the difference comes with it, 1 when all does;
    * ``metric``: what is read off, in words; ``difference``: clean - corrupt; ``alike``: that is nothing, and there are no scores;
    * ``seconds``: what it took.

    Blocks are patched from late to early, since those are cheap first; ``scores`` of each block are partial results under its name.

    Attributes
    ----------
    clean, corrupt
        uint8 ``[y, x, 3]``.
    unit
        The unit that is read off; None for the logits of the two images' classes, or the output of a network without classes.
    affordable
        Blocks that took more seconds than this are left out, and where there is such an end, those never patched: while a stroke is drawn
        nothing may wait. What counts is the last time, or the longest one before where it, fading by `FADING` each time, is still more.
    drawings
        What the images show, in words, by side: for the provenance of what is shown of the answer.
    """

    model: str
    clean: Pixels = field(compare=False, repr=False)
    corrupt: Pixels = field(compare=False, repr=False)
    unit: Unit | None = None
    affordable: float = math.inf
    drawings: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    lane: ClassVar[Lane] = "interactive"
    precedence: ClassVar[float] = -0.5  # activations go first, also inside its steps

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return "Patching on the canvas"

    @property
    def key(self) -> str:
        """The newest wins."""
        return "canvas patching"

    def run(self, engine: Engine, task: Task) -> dict[str, Any]:
        """Patch every part of every block, one block at a time."""
        engine.warm_up(task)
        import torch

        model = engine.model(self.model, task=task)
        place = ("canvas parts", model.ref, model.weight_hash, self.unit.layer if self.unit is not None else "")
        blocks, total, patchers, costs = engine.kept(place, lambda: self._patchers(model), alone=True)
        began = time.perf_counter()
        target = patchers[0][0].target
        seen = SeenImages.by(engine, model)
        reads = tuple(dict.fromkeys([name for each in patchers for patcher in each for name in patcher.reads] + [target]))
        at_rest = self.affordable == math.inf
        if not seen.reads or (seen.reads != reads and at_rest):  # else later: recording the run once more takes as long as many strokes
            seen.ask_for(reads)
            if seen.layer and at_rest:
                PairOnNetwork(self.model, seen.layer, self.clean, self.corrupt).run(engine, task)

        def read(image: Pixels) -> Mapping[str, Tensor]:
            key = digest(image)
            if seen.reads == reads and key in seen.values:
                return seen.use(key)
            with torch.no_grad(), few_threads(image.shape):
                values = model.activations(model.inputs(model.preprocess(np.array(image)[None])), reads)
            if seen.reads == reads:
                seen.keep(key, values)
            return values

        runs = read(self.clean), read(self.corrupt)
        value = torch.cat([run[target] for run in runs])
        metric, words = self._metric(model, value)
        whole = metric(value[:, None])[:, 0]
        difference = float(whole[0] - whole[1])
        alike = abs(difference) <= 1e-6 * max(1.0, float(whole.abs().max()))
        told: dict[str, Any] = {
            "blocks": tuple(block.layer for block in blocks),
            "total": total,
            "parts": tuple(tuple(part.name for part in block.parts) for block in blocks),
            "metric": words,
            "difference": difference,
            "alike": alike,
        }
        scores: dict[str, npt.NDArray[np.float64]] = {}
        if not alike:
            for number, (block, each) in enumerate(zip(reversed(blocks), reversed(patchers), strict=True)):
                task.step(number, len(blocks))
                if costs.get(block.layer, math.inf) > self.affordable:
                    continue
                if block.layer not in costs:  # is recorded in its first run, which says nothing of those that follow
                    with few_threads(self.clean.shape):
                        self._scores(block, each, runs, metric)
                    task.step(number, len(blocks))  # outside: a job that is let in here has all threads
                with few_threads(self.clean.shape):
                    started = time.perf_counter()
                    scores[block.layer] = self._scores(block, each, runs, metric)
                # At rest it takes half of what it takes beside a window that paints: the most of the last times is what may be waited for.
                costs[block.layer] = max(time.perf_counter() - started, FADING * costs.get(block.layer, 0.0))
                task.step(number + 1, len(blocks), {block.layer: scores[block.layer]})
        return told | {"scores": scores, "seconds": time.perf_counter() - began}

    def _patchers(self, model: TracedModel) -> _Patching:
        """Return the blocks that feed what is read off and what patches their parts: one patcher for parts of one layer."""
        from workbench.models.parts import blocks_with_parts, spread_blocks
        from workbench.models.patching import Patcher

        target = model.layer(self.unit.layer).name if self.unit is not None else model.graph.output
        ahead = model.graph.node(target)
        feeding = [
            block
            for block in blocks_with_parts(model)
            if all(ahead in model.graph.downstream([part.layer]) and model.graph.node(part.layer) is not ahead for part in block.parts)
        ]
        if not feeding:
            raise InputError(f"no block of this network feeds {target}; read off a unit of a later layer")
        blocks = spread_blocks(feeding, BLOCKS)
        layers = [list(dict.fromkeys(part.layer for part in block.parts)) for block in blocks]
        return blocks, len(feeding), [[Patcher(model, layer, target, recorded=True) for layer in each] for each in layers], {}

    def _scores(
        self,
        block: Block,
        patchers: list[Patcher],
        runs: tuple[Mapping[str, Tensor], Mapping[str, Tensor]],
        metric: Callable[[Tensor], Tensor],
    ) -> npt.NDArray[np.float64]:
        from workbench.models.patching import scores

        found = []
        for patcher in patchers:
            clean, corrupt = ([run[name] for name in patcher.reads] for run in runs)
            patches = [part for part in block.parts if part.layer == patcher.layer.name]
            said = metric(patcher.run(corrupt, clean, patches))
            found.append(scores(said)[2:, 0].double().cpu().numpy())
        return np.concatenate(found)

    def _metric(self, model: TracedModel, value: Tensor) -> tuple[Callable[[Tensor], Tensor], str]:
        """Return what reads a number off the target's rows ``row pair ...``, and what that is called; `value` has both clean runs."""
        from workbench.analyses.patching.metric import MetricOf
        from workbench.classes import has_classes

        if self.unit is not None:
            return MetricOf.of_unit(model, str(self.unit)).reading([], [], model.device), f"largest activation of {self.unit}"
        if not has_classes(model):
            clean, corrupt = (value[run].flatten().double() for run in (0, 1))
            way = clean - corrupt
            length = float(way.square().sum()) or 1.0

            def along(rows: Tensor) -> Tensor:
                return (rows.flatten(2).double() - corrupt) @ way / length

            return along, f"{model.graph.output}, along the way from corrupt to clean"
        one, other = value.argmax(1).tolist()
        if one == other:  # both show the same: against the likeliest other class of the corrupt image
            rest = value[1].clone()
            rest[one] = -np.inf
            other = int(rest.argmax())
        reading = MetricOf.of_classes(model, "logit difference", "", "").reading([one], [other], model.device)
        return reading, f"logit {model.labels[one]} − {model.labels[other]}"


def digest(image: Pixels) -> bytes:
    """Return what tells an image from another."""
    return hashlib.sha256(str(image.shape).encode() + image.tobytes()).digest()
