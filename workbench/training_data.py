"""Was a network trained on anything like these images? What it does on others is no statement about what it has learned.

>>> mismatch(model, images)
'emoji are not what this network was trained on (ImageNet)'
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

_RECIPE = re.compile(r"the recipe \w+ with seed \d+ on (\w+)")
_TIMM = re.compile(r"timm/[^.\s]+\.(\w+) \(timm ")
_TORCHVISION = re.compile(r"\w+_Weights\.IMAGENET1K_(?!SWAG)\w+ \(torchvision ")
_IMAGENET_TAGS = frozenset("in1k in12k in21k in22k".split())
_WEB_TAGS = re.compile(
    "laion|openai|clip|yfcc|webli|datacomp|dfn|merged|lvd|ig1b|ssl|sw[as]|jft|seer|inw|sam|sa1b|wsl|cc12m|radio|bamboo|dino"
)
"""Tags of timm's weights that also saw images gathered from the web, of which anything may be part."""


@runtime_checkable
class Network(Protocol):
    """A network, or its card, as far as its origin goes."""

    @property
    def origin(self) -> str:
        """Where its weights come from."""


@runtime_checkable
class Images(Protocol):
    """An image set, or its card, as far as what it shows goes."""

    @property
    def depicts(self) -> str:
        """What kind of pictures these are, in the plural, such as ``photographs``; empty when not known."""


@dataclass(frozen=True)
class TrainingData:
    """What a network was trained on: the name of the data, and what kind of pictures they are."""

    name: str
    depicts: str


IMAGENET = TrainingData("ImageNet", "photographs")
EMOJI = TrainingData("emoji", "emoji")


def training_data(model: Network) -> TrainingData | None:
    """Return what a network was trained on, or None when it is random or that is not known for certain."""
    origin = model.origin
    if recipe := _RECIPE.search(origin):
        return EMOJI if recipe[1] == "emoji" else None
    if tagged := _TIMM.match(origin):
        known = _IMAGENET_TAGS.intersection(tagged[1].split("_")) and not _WEB_TAGS.search(tagged[1])
        return IMAGENET if known else None
    return IMAGENET if "trained on ImageNet" in origin or _TORCHVISION.match(origin) else None


def mismatch(model: Network, images: Images) -> str | None:
    """Say in one line that images are of another kind than those a network was trained on; None when they are not, or when unknown.

    Parameters
    ----------
    model, images
        A network and an image set, or the cards the window has of them.
    """
    data = training_data(model)
    if data is None or not images.depicts or images.depicts == data.depicts:
        return None
    return f"{images.depicts} are not what this network was trained on ({data.name})"
