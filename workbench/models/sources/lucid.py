"""``lucid:inceptionv1``: the InceptionV1 of Distill's Circuits thread, with the weights that Lucent's users have."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote

from torch import nn

from workbench.models.inception_v1 import CLASSES, LOGITS, SIDE, InceptionV1, class_names
from workbench.models.loading import LoadError, Reference, Source, SourceEntry, register_source, suggestion
from workbench.models.preprocessing import Preprocessing
from workbench.models.published_families import INCEPTION5H
from workbench.models.sources.architecture import Architecture, State
from workbench.models.sources.checkpoint import read_state
from workbench.models.sources.download import fetch_url, git_hash_of
from workbench.models.sources.fitting import fit
from workbench.models.sources.tracing import random_weights, seeded, trace
from workbench.models.traced_model import TracedModel
from workbench.task import Task

NAME = "inceptionv1"
URL = "https://github.com/ProGamerGov/pytorch-old-tensorflow-models/raw/master/inception5h.pth"
"""Where Lucent takes it from."""
GIT_HASH = "119f77db85c8352960933e025312b507d9a96ed7"
"""What git calls that file in its repository, since April 2020."""
BYTE, MEAN = 255, 117
"""The network reads image * 255 - 117."""


@register_source("lucid")
class Lucid(Source):
    """Lucid's networks, as far as Distill's Circuits thread is about them: one."""

    options: ClassVar[dict[str, str]] = {
        "pretrained": "true for trained weights (the default), false for random ones",
        "seed": "seed of the random weights, 0 by default",
        "weights": "path of Lucent's inception5h.pth, where it is not in torch hub's checkpoint folder",
    }

    def entries(self) -> Iterable[SourceEntry]:
        """List it."""
        yield SourceEntry(
            f"lucid:{NAME}", "lucid", NAME, f"1,000 classes, {SIDE} x {SIDE} px, as in Distill's Circuits, Apache-2.0"
        )

    def load(self, reference: Reference, *, allow_code: bool, task: Task) -> TracedModel:
        """Build the network and give it its trained or random weights."""
        architecture = LucidArchitecture(reference.name)
        seed, given = reference.whole("seed", 0) or 0, reference.get("weights")
        if reference.flag("pretrained", True):
            path = Path(unquote(given)).expanduser() if given is not None else _published(task)
            task.step(0, 0, note=f"reading {path.name}")
            state, said = read_state(path)
            fitted = fit(path, state, architecture)
            module, channels, labels = fitted.module, fitted.channels, architecture.labels(fitted.classes)
            origin, told = architecture.origin(path)
            said, licence = (*said, *told, *fitted.said), "Apache-2.0" if origin == INCEPTION5H else "unknown"
        elif given is not None:
            raise LoadError(f"{reference} asks for trained weights and for none; leave one of the two options out")
        else:
            task.step(0, 0, note="drawing random weights")
            with seeded(seed):
                module = architecture.build()
            channels, labels = 3, architecture.labels(CLASSES)
            origin, said, licence = f"random weights, seed {seed}", (random_weights(seed),), ""
        return trace(
            module,
            architecture.preprocessing(None, channels),
            labels=labels,
            ref=str(reference),
            name="InceptionV1",
            architecture=reference.name,
            licence=licence,
            origin=origin,
            warnings=said,
            task=task,
        )


class LucidArchitecture(Architecture):
    """InceptionV1.

    Raises
    ------
    LoadError
        When another network is asked for.
    """

    def __init__(self, name: str) -> None:
        if name != NAME:
            raise LoadError(f"lucid has no network named {name!r}{suggestion(name, [NAME]) or f'; it has {NAME}'}")
        self.ref = f"lucid:{name}"

    def build(self, *, classes: int | None = None, channels: int = 3, size: int | None = None) -> nn.Module:
        """Build it with random weights."""
        if size not in (None, SIDE):
            raise LoadError(f"InceptionV1 reads {SIDE} x {SIDE} px, not img_size={size}")
        return InceptionV1(classes or CLASSES, channels)

    def head(self, module: nn.Module) -> tuple[str, ...]:
        """Take the last layer's weight."""
        return (f"{LOGITS}.weight",)

    def stem(self, module: nn.Module) -> str:
        """Take the first convolution's weight."""
        return next(iter(module.state_dict()))

    def translate(self, state: State, module: nn.Module) -> State:
        """Leave it as it is: there is one layout."""
        return state

    def preprocessing(self, size: int | None, channels: int) -> Preprocessing:
        """Return image * 255 - 117, as mean and deviation."""
        return Preprocessing(
            (SIDE, SIDE), (MEAN / BYTE,) * channels, (1 / BYTE,) * channels, channels, interpolation="bilinear"
        )

    def labels(self, classes: int) -> tuple[str, ...]:
        """Name the 1,008 outputs."""
        return class_names(classes)

    def origin(self, path: Path) -> tuple[str, tuple[str, ...]]:
        """Tell the published file by its content."""
        if git_hash_of(path) == GIT_HASH:
            return INCEPTION5H, ()
        return str(path.absolute()), (
            f"{path.name} is not Lucent's published file, though its tensors have the same names: what is published of InceptionV1's "
            "units need not hold for it",
        )


def _published(task: Task) -> Path:
    instead = f"give lucid:{NAME}?weights=PATH, or ?pretrained=false for random weights"
    return fetch_url(URL, task=task, instead=instead, git_hash=GIT_HASH)
