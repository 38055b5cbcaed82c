"""An architecture without its weights: what a weight file needs to be read into."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from workbench.models.loading import LoadError, Reference
from workbench.models.preprocessing import Preprocessing
from workbench.models.small_networks import SMALL_NETWORKS
from workbench.models.sources.tracing import class_names

State = Mapping[str, Tensor]
SIZE = 64
"""Pixels of a side that the bundled networks are built for."""


class Architecture(ABC):
    """A library's network that can be built with any number of classes and input channels.

    Attributes
    ----------
    ref
        ``timm:resnet18``, ``torchvision:googlenet`` or ``lucid:inceptionv1``.
    """

    ref: str

    @abstractmethod
    def build(self, *, classes: int | None = None, channels: int = 3, size: int | None = None) -> nn.Module:
        """Build it with random weights.

        Raises
        ------
        LoadError
            When the library refuses these sizes.
        """

    @abstractmethod
    def head(self, module: nn.Module) -> tuple[str, ...]:
        """Name the weights whose first axis counts the classes."""

    @abstractmethod
    def stem(self, module: nn.Module) -> str:
        """Name the weight whose second axis counts the image's channels; empty where there is none."""

    @abstractmethod
    def translate(self, state: State, module: nn.Module) -> State:
        """Rename what older releases, or the authors' own code, call differently."""

    @abstractmethod
    def preprocessing(self, size: int | None, channels: int) -> Preprocessing:
        """Return what its usual weights want the images to be."""

    def labels(self, classes: int) -> tuple[str, ...]:
        """Name the classes where their number tells what they are; else nothing."""
        return class_names(classes)

    def origin(self, path: Path) -> tuple[str, tuple[str, ...]]:
        """Say where the weights of a file come from, and what a user has to know of that."""
        return str(path.absolute()), ()


def find_architecture(ref: str) -> Architecture:
    """Return an architecture by its reference: ``timm:NAME``, ``torchvision:NAME`` or ``lucid:inceptionv1``.

    Raises
    ------
    LoadError
        When there is none of that name.
    """
    from workbench.models.sources.lucid import LucidArchitecture
    from workbench.models.sources.timm import TimmArchitecture
    from workbench.models.sources.torchvision import TorchvisionArchitecture

    reference = Reference.parse(ref)
    if reference.options:
        raise LoadError(
            f"architecture={ref}: give the architecture without options, {reference.scheme}:{reference.name}"
        )
    if reference.scheme == "timm":
        return TimmArchitecture(reference.name)
    if reference.scheme == "torchvision":
        return TorchvisionArchitecture(reference.name)
    if reference.scheme == "lucid":
        return LucidArchitecture(reference.name)
    raise LoadError(f"architecture={ref}: an architecture is timm:NAME or torchvision:NAME")


def classifier(network: str, classes: int, size: int) -> nn.Module:
    """Build an image classifier, by the name of a bundled one or as ``timm:NAME`` or ``torchvision:NAME``.

    The bundled ones are built for 64 pixels; one that knows places in an image by number gets as many as there are at `size`.

    Raises
    ------
    LoadError
        When there is none of that name, or its library refuses these sizes.
    """
    if network in SMALL_NETWORKS:
        module: Any = SMALL_NETWORKS[network](classes)
        if size != SIZE and hasattr(module, "set_input_size"):
            module.set_input_size(size)
        built: nn.Module = module
        return built
    if not network.startswith(("timm:", "torchvision:")):
        raise LoadError(f"no network is named {network!r}; there are {', '.join(SMALL_NETWORKS)}, timm:NAME and torchvision:NAME")
    return find_architecture(network).build(classes=classes, channels=3, size=size)


def mismatches(wanted: State, given: State) -> list[str]:
    """Say in words where two state dictionaries differ; counters of batches are not compared."""
    found = [
        f"{name} is {_shape(given[name])} and not {_shape(tensor)}"
        for name, tensor in wanted.items()
        if name in given and given[name].shape != tensor.shape
    ]
    found += [
        f"{name} {_shape(tensor)} is missing"
        for name, tensor in wanted.items()
        if name not in given and not counter(name)
    ]
    found += [
        f"{name} {_shape(tensor)} has no place"
        for name, tensor in given.items()
        if name not in wanted and not counter(name)
    ]
    return found


def counter(name: str) -> bool:
    """Whether a tensor is BatchNorm's count of batches, which old files lack and which changes nothing in eval mode."""
    return name.endswith("num_batches_tracked")


def _shape(tensor: Tensor) -> str:
    return "x".join(str(size) for size in tensor.shape) or "a single number"
