"""What has been published about the units of a network: families and names, for the network they are true of.

The text is data, in ``resources/published_families.toml``. So far it is about one network, InceptionV1 as Distill's Circuits thread
looked into it; names belong to trained weights, so a network with others, or with random ones, gets none.

This module imports no torch: the window may read it.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from workbench.models.layer import Unit

PATH = Path(__file__).parents[2] / "resources" / "published_families.toml"
INCEPTION5H = "inception5h.pth as Lucent publishes it: TensorFlow's inception5h, trained on ImageNet"
"""Origin of the weights that the published families are about."""


@runtime_checkable
class Network(Protocol):
    """A network, or its card, as far as its origin goes."""

    @property
    def origin(self) -> str:
        """Where its weights come from."""


@dataclass(frozen=True)
class Article:
    """Where families were published, and under which terms."""

    title: str
    authors: str
    year: int
    url: str
    licence: str

    def __str__(self) -> str:
        return f"{self.authors}, “{self.title}” ({self.year}), {self.url}, {self.licence}"


@dataclass(frozen=True)
class PublishedFamily:
    """Units of one layer that an article names together.

    Attributes
    ----------
    name
        What the article calls the family.
    label
        What it calls a unit of it; the same as `name` where it says no more.
    units
        In the article's order.
    """

    layer: str
    name: str
    label: str
    units: tuple[int, ...]
    article: Article


class PublishedLabel(NamedTuple):
    """A unit's published name, the family it is in, and the article."""

    label: str
    family: str
    source: Article


def published_families(model: Network) -> tuple[PublishedFamily, ...]:
    """Return the families published of a network, in the order of the articles; nothing where the weights are others.

    A unit may be in several, in different articles.
    """
    return _families() if model.origin == INCEPTION5H else ()


def published_labels(model: Network) -> dict[str, PublishedLabel]:
    """Return one published name a unit, by the unit's address such as ``mixed3b:379``; nothing where the weights are others.

    Of several articles the first that names a unit counts: the overview of early vision.
    """
    found: dict[str, PublishedLabel] = {}
    for family in published_families(model):
        for unit in family.units:
            label = PublishedLabel(family.label, family.name, family.article)
            found.setdefault(str(Unit(family.layer, unit)), label)
    return found


@cache
def _families() -> tuple[PublishedFamily, ...]:
    found = []
    for source in tomllib.loads(PATH.read_text(encoding="utf-8"))["source"]:
        article = Article(source["title"], source["authors"], source["year"], source["url"], source["licence"])
        for entry in source["families"]:
            label = entry.get("label", entry["name"])
            found.append(PublishedFamily(entry["layer"], entry["name"], label, tuple(entry["units"]), article))
    return tuple(found)
