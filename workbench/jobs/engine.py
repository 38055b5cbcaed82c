"""The engine: what the worker thread keeps between jobs: the open networks, the open image sets, the store.

Torch is imported with the first network or image set that is opened, beside the worker thread (see `workbench.jobs.imports`), so a window
has long been on the screen by then. The stops that an import of this size causes are full passes of the garbage collector: it rests while
something is imported or exported, and what was imported is frozen, so that later passes do not visit it.
"""

from __future__ import annotations

import gc
import hashlib
import json
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from workbench.input_error import InputError
from workbench.jobs.collector import collector_at_rest
from workbench.jobs.first_look import SWEEP, first_looks, unpack_sweep
from workbench.jobs.imports import Imports
from workbench.jobs.store import Store
from workbench.task import Cancelled, Task

if TYPE_CHECKING:
    from workbench.analyses.analysis import Analysis, Result
    from workbench.images.image_set import ImageSet
    from workbench.models.device import Arithmetic
    from workbench.models.receptive_field import ReceptiveField
    from workbench.models.traced_model import TracedModel

logger = logging.getLogger(__name__)

KEPT_MODELS, KEPT_PARAMETERS = 9, 500_000_000
"""Networks kept open: the one that is looked at, and those it is compared with, unless they take too much memory; two in any case."""
KEPT_IMAGE_SETS = 4
KEPT_THINGS = 9
"""Intermediate values that panels go on from: the canvas has three, kernels three and tuning three, and all may be open."""
T = TypeVar("T")
ACTIVATIONS = "activations"
"""Folder of the store where analyses of whole image sets share what units do on each image."""


@runtime_checkable
class Resumable(Protocol):
    """An analysis that can be given a folder in which it resumes, and where its finished arrays stay."""

    def kept_in(self, folder: str | Path) -> Analysis:
        """Return the same analysis with that folder."""


@runtime_checkable
class Sharing(Protocol):
    """An analysis that reads activations which other analyses can use as well."""

    def sharing(self, folder: str | Path) -> Analysis:
        """Return the same analysis with a folder where it finds and leaves them."""


@runtime_checkable
class Remembering(Protocol):
    """An analysis that does the same first, whatever unit of a layer is asked about."""

    def remembering(self, kept: Callable[[tuple[object, ...], Callable[[], Any]], Any]) -> Analysis:
        """Return the same analysis with a memory: `Engine.kept`, for this network."""


class AlreadyThere(Cancelled):
    """What was being loaded has been loaded by a job that was let in meanwhile."""


class Shield(Task):
    """Watches over the loading of a network that was shown before: it is loaded for whoever needs it first.

    That one may be cancelled; the loading goes on, because the next one will need it. Jobs that are let in may load it themselves; then
    there is nothing left to do.
    """

    def __init__(self, task: Task, there: Callable[[], bool]) -> None:
        self._task, self._there = task, there

    def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
        """Pass it on; raise `AlreadyThere` when there is nothing left to do."""
        try:
            self._task.step(done, total, partial, note)
        except Cancelled:
            self._task = Task()
        if self._there():
            raise AlreadyThere


class Engine:
    """Opens networks and image sets by reference, once, and keeps the last few; lives in one thread.

    Parameters
    ----------
    store
        Where results are kept; the user's own by default.
    import_after
        Seconds after which libraries are imported, in a thread of their own; None: when they are needed, in this one (see `Imports`).

    Attributes
    ----------
    allowed
        Networks whose code the user agreed to run (`workbench.models.loading.code_of`).
    """

    def __init__(self, store: Store | None = None, *, import_after: float | None = None) -> None:
        self.store = store or Store()
        self._models: OrderedDict[str, TracedModel] = OrderedDict()
        self._images: OrderedDict[str, ImageSet] = OrderedDict()
        self.allowed: set[str] = set()
        self._glanced: tuple[str, TracedModel] | None = None  # its graph serves other checkpoints of its training
        self._imports = Imports(import_after)
        self._device = "auto"
        self._arithmetic: Arithmetic = "fp32"
        self._fields: dict[tuple[object, ...], ReceptiveField] = {}
        self._kept: OrderedDict[tuple[object, ...], Any] = OrderedDict()

    def warm_up(self, task: Task | None = None) -> None:
        """Import torch, the libraries of networks, and all analyses, if that was not done yet; `task` takes its steps meanwhile."""
        self._imports.wait(task or Task(), for_all=True)

    def model(self, ref: str, *, allow_code: bool = False, task: Task | None = None) -> TracedModel:
        """Return a network, loaded when it is not open.

        Parameters
        ----------
        allow_code
            The user agreed that a ``python:`` file is run; asked once per reference and session.

        Raises
        ------
        workbench.models.loading.LoadError
            When it cannot be loaded; one line says why.
        """
        self.warm_up(task)
        from workbench.models.loading import code_of

        if allow_code:
            self.allowed.add(code_of(ref))
        if ref not in self._models:
            with collector_at_rest():
                from workbench.models.loading import load, network_of_twin

                watched = task or Task()
                if ref in first_looks():
                    watched = Shield(watched, lambda: ref in self._models)
                network, seed = network_of_twin(ref) or ("", 0)
                with suppress(AlreadyThere):
                    if network in self._models:
                        self._models[ref] = self._placed(self._models[network].twin(seed))
                    else:
                        self._models[ref] = self._placed(load(ref, allow_code=code_of(ref) in self.allowed, task=watched))
                while len(self._models) > 2 and (
                    len(self._models) > KEPT_MODELS
                    or sum(model.parameter_count for model in self._models.values()) > KEPT_PARAMETERS
                ):
                    self._models.popitem(last=False)
            if gc.isenabled():  # where it is off the window collects, in its own thread
                gc.collect()  # what the export left, and the network that was let go: some 60 ms
        self._models.move_to_end(ref)
        return self._models[ref]

    def glance(self, ref: str, task: Task | None = None) -> TracedModel:
        """Return a network that is looked at once: where it is not open it is loaded, and kept until the next, so it takes no one's place.

        Raises
        ------
        workbench.models.loading.LoadError
            When it cannot be loaded.
        """
        if ref in self._models:
            return self._models[ref]
        if self._glanced is not None and self._glanced[0] == ref:
            return self._glanced[1]
        self.warm_up(task)
        with collector_at_rest():
            from workbench.models.loading import code_of, load

            model = self._placed(load(ref, allow_code=code_of(ref) in self.allowed, task=task))
        self._glanced = ref, model
        return model

    def has_model(self, ref: str) -> bool:
        """Whether a network is open."""
        return ref in self._models

    def compute_on(self, device: str, arithmetic: Arithmetic) -> None:
        """Choose the device of all networks, ``auto`` for the fastest there is, and the numbers that may be multiplied.

        Raises
        ------
        InputError
            When this machine has no such device; nothing changes then.
        """
        from workbench.models.device import pick_device

        pick_device(device)
        self._device, self._arithmetic = device, arithmetic
        self._kept.clear()
        self._glanced = None
        self._models.clear()  # loaded anew where they belong; what is under way goes on with what it has

    @property
    def computes_on(self) -> tuple[str, Arithmetic]:
        """The device and the numbers that were chosen."""
        return self._device, self._arithmetic

    def _placed(self, model: TracedModel) -> TracedModel:
        from workbench.models.device import pick_device

        device = pick_device(self._device)
        if model.device != device:
            model.to(device)
        model.arithmetic = self._arithmetic
        return model

    def forget(self, ref: str) -> None:
        """Let go of a network (and its twins) or image set, so that it is read from its file again."""
        from workbench.models.loading import network_of_twin

        twins = [known for known in self._models if (of := network_of_twin(known)) is not None and of[0] == ref]
        for known in (ref, *twins):
            self._models.pop(known, None)
        if self._glanced is not None and self._glanced[0] in (ref, *twins):
            self._glanced = None
        self._images.pop(ref, None)

    def forget_directions(self, name: str) -> None:
        """Let go of networks that were opened with directions of that name, which have been made anew."""
        from workbench.models.loading import directions_in

        for known in [ref for ref in self._models if name in directions_in(ref)]:
            del self._models[known]
        if self._glanced is not None and name in directions_in(self._glanced[0]):
            self._glanced = None

    def images(self, ref: str, task: Task | None = None) -> ImageSet:
        """Return an image set, opened when it is not open.

        Raises
        ------
        workbench.images.image_set.ImageSetError
            When it cannot be opened; one line says why.
        """
        if ref not in self._images:
            self._imports.wait(task or Task(), for_all=False)  # every kind of image set computes with torch
            from workbench.images.image_set import load_images

            self._images[ref] = load_images(ref, task or Task())
            while len(self._images) > KEPT_IMAGE_SETS:
                self._images.popitem(last=False)
        self._images.move_to_end(ref)
        return self._images[ref]

    def run(self, analysis: Analysis, model: str, images: str | None, task: Task) -> Result:
        """Return an analysis' result: from the store when it is there, else computed, and kept where the store can be written.

        Raises
        ------
        ValueError
            When the analysis does not fit the network or the images.
        """
        network = self.model(model, task=task)
        image_set = self.images(images, task) if images is not None else None
        key = analysis.key(network, image_set)
        known = self.store.load(key)
        if isinstance(analysis, Resumable):
            # It keeps its arrays in its folder, where they can be read one unit at a time; the store keeps the rest.
            place = f"{subject(network, image_set)}/{key}"
            if known is not None:
                try:
                    result = analysis.kept_in(self.store.folder(place)).run(network, image_set, task)
                    return replace(result, provenance=known.provenance)
                except Exception as error:
                    if isinstance(error, Cancelled):
                        raise
                    self.store.drop_folder(place, error)
            folder = self.store.writable_folder(place)
            result = (analysis.kept_in(folder) if folder is not None else analysis).run(network, image_set, task)
            self.store.save(key, replace(result, arrays={}))
            return result
        if known is None:
            if isinstance(analysis, Sharing) and (shared := self.store.writable_folder(ACTIVATIONS)) is not None:
                analysis = analysis.sharing(shared)
            if isinstance(analysis, Remembering):
                of = (type(analysis).__name__, network.ref, network.weight_hash)
                analysis = analysis.remembering(lambda key, make: self.kept((*of, *key), make))
            known = analysis.run(network, image_set, task)
            self.store.save(key, known)
        return known

    def unit_examples(self, model: TracedModel, images: ImageSet, layer: str, unit: int) -> dict[str, Any] | None:
        """Return what the newest sweep of the layer found of one unit (see `DatasetExamples`), or None when there is no sweep.

        A sweep that is still running gives what it has found so far; ``finished`` says whether it has seen all images. ``sweep`` has its
        ``parameters``, empty while they are not known, the ``layer`` as it is called there, and the ``arithmetic`` it was computed
        with, empty while that is not known.
        """
        from workbench.analyses.dataset_examples import is_finished, unit_examples

        def read(folder: Path, name: str) -> dict[str, Any]:
            done = is_finished(folder)
            parameters, arithmetic = self._sweep_made(folder, model, images) if done else ({}, "")
            sweep = {"layer": name, "parameters": parameters, "arithmetic": arithmetic}
            return unit_examples(folder, name, unit) | {"finished": done, "sweep": sweep}

        return self._from_sweep(model, images, layer, read)

    def _sweep_made(self, folder: Path, model: TracedModel, images: ImageSet) -> tuple[dict[str, Any], str]:
        """Return the parameters of the finished sweep in a folder of the store, and the numbers it was computed with.

        They are those of its result, else of a sweep that came along with a bundled network.
        """
        from workbench.analyses.dataset_examples import DatasetExamples, swept_layers

        known = self.store.load(folder.name)
        if known is not None:
            return dict(known.parameters), str(known.provenance.get("arithmetic", "fp32"))
        shipped = DatasetExamples(layers=swept_layers(folder), **SWEEP)  # type: ignore[arg-type]
        came_along = shipped.key(model, images) == folder.name
        return (shipped.model_dump(mode="json"), "fp32") if came_along else ({}, "")

    def layer_statistics(self, model: TracedModel, images: ImageSet, layer: str) -> dict[str, Any] | None:
        """Return mean, largest activation, sparsity … of all units of a layer and the images ``seen``, or None.

        They are those of its newest finished sweep.
        """
        from workbench.analyses.dataset_examples import layer_statistics

        return self._from_sweep(model, images, layer, layer_statistics)

    def _from_sweep(
        self, model: TracedModel, images: ImageSet, layer: str, read: Callable[[Path, str], dict[str, Any]]
    ) -> dict[str, Any] | None:
        """Read from the newest sweep that has the layer, under any of its names, last from one that comes with a bundled network."""
        about = subject(model, images)
        found = self._from_store(model, about, layer, read)
        if found is None and unpack_sweep(self.store, about):
            found = self._from_store(model, about, layer, read)
        return found

    def _from_store(
        self, model: TracedModel, about: str, layer: str, read: Callable[[Path, str], dict[str, Any]]
    ) -> dict[str, Any] | None:
        known = model.layer(layer)
        for folder in self.store.newest_in(about):
            for name in dict.fromkeys((layer, known.name, *known.aliases)):
                try:
                    return read(folder, name)
                except (FileNotFoundError, ValueError):  # nothing done yet, or a sweep of other layers
                    continue
                except Exception as error:  # damaged in some way; running the sweep again replaces it
                    logger.warning("cannot read the sweep in %s (%s: %s)", folder, type(error).__name__, error)
        return None

    def receptive_field(self, model: TracedModel, layer: str) -> tuple[int, int]:
        """Return height and width in pixels of what the layer's centre position reads, at most the network's input."""
        field = self.field_of_middle(model, layer)
        return field.height, field.width

    def field_of_middle(self, model: TracedModel, layer: str) -> ReceptiveField:
        """Return where in the network's input the layer's centre position looks."""
        from workbench.models.receptive_field import receptive_field

        place = (model.weight_hash, model.layer(layer).name, model.preprocessing)
        if place not in self._fields:
            self._fields[place] = receptive_field(model, model.layer(layer))
        return self._fields[place]

    def kept(self, key: tuple[object, ...], make: Callable[[], T], alone: bool = False) -> T:
        """Return what was made for a key, one of the last `KEPT_THINGS`, or make it: what several requests of one panel have in common.

        Parameters
        ----------
        alone
            Of what is large: whatever else is kept under a key that begins with the same word is let go before it is made.
        """
        if key not in self._kept:
            for other in [other for other in self._kept if alone and other[0] == key[0]]:
                del self._kept[other]
            made = make()
            self._kept[key] = made
            while len(self._kept) > KEPT_THINGS:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        found: T = self._kept[key]
        return found

    @contextmanager
    def isolated(self) -> Iterator[None]:
        """Surround a job that runs inside another one's step: its inference mode, random numbers and shorter numbers are not its own."""
        if not self._imports.torch_is_there():
            yield
            return
        import torch

        from workbench.models.device import computing, pick_device

        with ExitStack() as stack:
            for context in (torch.inference_mode(False), torch.enable_grad(), torch.random.fork_rng(devices=[])):
                stack.enter_context(context)
            for kind in {"cpu", pick_device(self._device).type}:
                stack.enter_context(computing(torch.device(kind), "fp32"))
            yield

    def close(self) -> None:
        """Let go of everything."""
        self._imports.finish()
        self._models.clear()
        self._images.clear()
        self._kept.clear()
        self._glanced = None


def subject(model: TracedModel, images: ImageSet | None) -> str:
    """Return the content key of a network with its preprocessing and the images shown to it: what several sweeps have in common."""
    content = [model.weight_hash, repr(model.preprocessing), images.content_hash if images is not None else None]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]


def configured(name: str, parameters: Mapping[str, Any]) -> Analysis:
    """Return the analysis of that name with these parameters.

    Raises
    ------
    ValueError
        In one line: no such analysis (the nearest is suggested), or the parameter that is wrong with its bounds.
    """
    from pydantic import ValidationError

    from workbench.analyses.analysis import find

    analysis = find(name)
    try:
        return analysis(**parameters)
    except ValidationError as error:
        raise InputError("; ".join(_complaint(analysis, one) for one in error.errors())) from None


def _complaint(analysis: type[Analysis], error: Mapping[str, Any]) -> str:
    """Say what is wrong with one parameter: its name, the value, the rule, and what is allowed."""
    from difflib import get_close_matches

    place = ".".join(str(part) for part in error["loc"])
    fields = analysis.model_fields
    if error["type"] == "extra_forbidden":
        close = get_close_matches(place, fields, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(fields)}"
        return f"{analysis.__name__} has no parameter {place!r}; {hint}"
    if error["type"] == "missing":
        return f"{analysis.__name__} needs the parameter {place}"
    message = str(error["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
    value = f" = {error['input']!r}" if place else ""
    return f"{place or analysis.__name__}{value}: {message[:1].lower()}{message[1:]}{_bounds(analysis, error['loc'])}"


def _bounds(analysis: type[Analysis], place: tuple[Any, ...]) -> str:
    """Say between which values a parameter may lie, from the field's constraints, or nothing."""
    if not place or place[0] not in analysis.model_fields:
        return ""
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "multiple_of": "a multiple of"}
    rules = [
        f"{sign} {getattr(rule, name)}"
        for rule in analysis.model_fields[str(place[0])].metadata
        for name, sign in signs.items()
        if getattr(rule, name, None) is not None
    ]
    return f" (allowed: {' and '.join(rules)})" if rules else ""
