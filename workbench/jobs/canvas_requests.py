"""What the window asks while two images are drawn: what the network does on each, which parts carry the difference, and pictures for them.

As in `requests`, nothing heavy is imported before `run`, in the worker thread.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from workbench.images.drawn_stimulus import Stimulus
from workbench.input_error import InputError
from workbench.jobs.few_threads import few_threads
from workbench.jobs.job import Lane, Request
from workbench.models.layer import Unit
from workbench.task import Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from workbench.images.stimulus import Parameter
    from workbench.jobs.engine import Engine
    from workbench.models.parts import Block
    from workbench.models.patching import Patcher
    from workbench.models.traced_model import TracedModel

Pixels = npt.NDArray[np.uint8]
SEEN = 4
"""Images whose activations are kept: while one draws on one of two, patching is a run or two behind."""
FADING = 0.9
"""Of the time that patching a block took, what still counts the next time."""
BLOCKS = 12
"""Blocks whose parts are patched while one draws."""
LIKELIEST = 6
"""Classes that are told."""
LONGEST = 1024
"""Pixels on the longer side that a picture for the canvas is reduced to."""


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
        engine.warm_up()
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
        engine.warm_up()
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


# Pictures


@dataclass(frozen=True, eq=False)
class Picture:
    """An image brought onto a canvas.

    Attributes
    ----------
    pixels
        uint8 ``[y, x, 3]``, or ``[y, x, 4]`` where something is transparent.
    name
        What it is called.
    was
        Width and height before it was reduced.
    """

    pixels: Pixels
    name: str
    was: tuple[int, int]

    @property
    def transparent(self) -> bool:
        """Whether something in it is."""
        return bool(self.pixels.shape[2] == 4)

    @property
    def reduced(self) -> bool:
        """Whether it was larger."""
        return self.was != (self.pixels.shape[1], self.pixels.shape[0])


@dataclass(frozen=True)
class ReadPicture(Request):
    """Read an image of the user's for a canvas -> `Picture`, upright, what is transparent kept, at most `LONGEST` pixels long.

    Attributes
    ----------
    name
        What it is called, in messages too.
    source
        As of `workbench.jobs.requests.ReadImage`.
    """

    name: str
    source: Path | bytes | Pixels = field(compare=False, repr=False)
    lane: ClassVar[Lane] = "interactive"

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"Read {self.name} for the canvas"

    @property
    def key(self) -> str:
        """The image brought in last wins."""
        return "read picture"

    def run(self, engine: Engine, task: Task) -> Picture:
        """Decode and reduce it."""
        from PIL import Image

        from workbench.images.image_file import FORMATS, read_image
        from workbench.images.image_set import UnreadableImageError

        def again() -> Path | BytesIO | Image.Image:
            if isinstance(self.source, Path):
                return self.source
            return BytesIO(self.source) if isinstance(self.source, bytes) else Image.fromarray(self.source)

        try:
            pixels = read_image(again(), longest=LONGEST, transparent=True)
        except UnreadableImageError as error:
            raise UnreadableImageError(f"{self.name} {error}") from error
        source = again()
        with source if isinstance(source, Image.Image) else Image.open(source, formats=FORMATS) as picture:
            wide, high = picture.size
        if (wide > high) != (pixels.shape[1] > pixels.shape[0]):  # it lay on its side
            wide, high = high, wide
        return Picture(pixels, self.name, (wide, high))


@dataclass(frozen=True)
class PictureOfSet(Request):
    """Read an image of an image set -> `Picture` of an exact size, named after it.

    Attributes
    ----------
    index
        Which; -1 for a random one.
    seed
        Of the random choice.
    """

    images: str
    size: tuple[int, int]
    index: int = -1
    seed: int = 0
    lane: ClassVar[Lane] = "interactive"

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"Read an image of {self.images} for the canvas"

    @property
    def key(self) -> str:
        """The one asked for last wins."""
        return "picture of set"

    def run(self, engine: Engine, task: Task) -> Picture:
        """Choose and decode it."""
        images = engine.images(self.images, task)
        index = self.index if self.index >= 0 else int(np.random.default_rng(self.seed).integers(len(images)))
        if index >= len(images):
            raise InputError(f"{images.name} has images 0 to {len(images) - 1}, not {index}")
        for batch in images.batches(self.size, 1, [index]):
            return Picture(np.array(batch.images[0]), str(images.ids[index]), self.size[::-1])
        raise InputError(f"{images.ids[index]} cannot be read; choose another image")


@dataclass(frozen=True)
class CorruptPicture(Request):
    """Corrupt a picture -> `Picture` of the same size, named after what was done.

    Attributes
    ----------
    pixels
        uint8 ``[y, x, 3]``.
    kind, strength
        As of `workbench.images.corruptions.corrupt`.
    images
        The set that another image is taken from, for those that need one; empty for none.
    source
        Id of the image that is not to be taken, nor another of its concept.
    seed
        Of the place and the other image.
    """

    pixels: Pixels = field(compare=False, repr=False)
    kind: str
    strength: float = 1.0
    images: str = ""
    source: str = ""
    seed: int = 0
    lane: ClassVar[Lane] = "interactive"

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"Corrupt the drawing: {self.kind}"

    @property
    def key(self) -> str:
        """The one asked for last wins."""
        return "corrupt picture"

    def run(self, engine: Engine, task: Task) -> Picture:
        """Take another image where one is needed, and corrupt."""
        engine.warm_up()
        from workbench.images.corruptions import corrupt

        size = self.pixels.shape[0], self.pixels.shape[1]
        random = np.random.default_rng(self.seed)
        other, told = self.pixels, ""
        if "swap" in self.kind:
            if not self.images:
                raise InputError("open images first: this takes something from another image of the set")
            images = engine.images(self.images, task)
            concepts = images.concepts
            own = {concepts[place] for place, id in enumerate(images.ids) if id == self.source}
            allowed = [place for place in range(len(images)) if concepts[place] not in own]
            if not allowed:
                raise InputError(f"{images.name} has no image of another concept; open a larger set")
            index = allowed[int(random.integers(len(allowed)))]
            for batch in images.batches(size, 1, [index]):
                other, told = np.array(batch.images[0]), f" with {images.ids[index]}"
                break
            else:
                raise InputError(f"{images.ids[index]} cannot be read; try again")
        changed = corrupt(self.kind, self.pixels[None], other[None], random, self.strength)[0]
        return Picture(np.array(changed), f"{self.kind}{told}", (size[1], size[0]))


# Stimuli


@dataclass(frozen=True)
class DescribeStimuli(Request):
    """Tell the parameters of every family of stimuli -> mapping of its name to a tuple of `Parameter`, without those of the ground."""

    lane: ClassVar[Lane] = "interactive"

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return "List stimuli"

    @property
    def key(self) -> str:
        """Asked again, the answer is the same."""
        return "describe stimuli"

    def run(self, engine: Engine, task: Task) -> dict[str, tuple[Parameter, ...]]:
        """Import them."""
        engine.warm_up()
        import workbench.images.stimuli  # noqa: F401  its families register themselves
        from workbench.images.stimulus import FAMILIES

        own = {name: [part for part in family.parameters if not part.name.startswith("ground_")] for name, family in FAMILIES.items()}
        return {name: tuple(parts) for name, parts in own.items()}


@dataclass(frozen=True)
class InkOf(Request):
    """Draw a stimulus for a canvas -> its coverage float32 ``y x`` and its ink float64 ``3``, as `workbench.images.raster.ink_of`."""

    stimulus: Stimulus
    size: tuple[int, int]
    lane: ClassVar[Lane] = "interactive"

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"Draw {self.stimulus.family} on the canvas"

    def run(self, engine: Engine, task: Task) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
        """Draw it."""
        engine.warm_up()
        from workbench.images.raster import ink_of

        return ink_of(self.stimulus, self.size)
