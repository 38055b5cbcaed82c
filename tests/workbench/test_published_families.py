"""Published families: what the articles count, and only for the weights they are about."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest

from workbench.models.inception_v1 import WIDTHS
from workbench.models.published_families import INCEPTION5H, published_families, published_labels


@dataclass(frozen=True)
class Network:
    origin: str


PUBLISHED = Network(INCEPTION5H)
OVERVIEW = "An Overview of Early Vision in InceptionV1"
SIZES = {"conv2d0": 64, "conv2d1": 64, "conv2d2": 192} | {
    name: widths[0] + widths[2] + widths[4] + widths[5] for name, widths in WIDTHS.items()
}


@pytest.mark.parametrize(
    ("layer", "groups", "named"),
    # Of the article's 77 groups over 1,056 units, without the one of each layer that is called "Other Units".
    [("conv2d0", 2, 55), ("conv2d1", 7, 61), ("conv2d2", 13, 178), ("mixed3a", 17, 242), ("mixed3b", 33, 438)],
)
def test_the_overview_puts_each_unit_into_one_group(layer: str, groups: int, named: int) -> None:
    families = [
        family for family in published_families(PUBLISHED) if family.article.title == OVERVIEW and family.layer == layer
    ]
    units = Counter(unit for family in families for unit in family.units)
    assert len(families) == len({family.name for family in families}) == groups
    assert len(units) == named and set(units.values()) == {1}


def test_every_unit_is_one_of_its_layer() -> None:
    for family in published_families(PUBLISHED):
        assert family.units and all(0 <= unit < SIZES[family.layer] for unit in family.units), family.name


@pytest.mark.parametrize(
    ("address", "label", "family", "article"),
    [
        ("conv2d0:9", "Gabor Filters", "Gabor Filters", OVERVIEW),
        ("mixed3a:110", "High-Low Frequency", "High-Low Frequency", OVERVIEW),
        ("mixed3b:379", "Curves", "Curves", OVERVIEW),
        ("mixed4a:406", "Curve Detectors", "Curve Detectors", "Curve Detectors"),
        ("mixed4e:55", "Cat faces, fronts of cars, cat legs", "Polysemantic", "Zoom In: An Introduction to Circuits"),
    ],
)
def test_units_have_the_names_the_articles_give_them(address: str, label: str, family: str, article: str) -> None:
    found = published_labels(PUBLISHED)[address]
    assert (found.label, found.family, found.source.title) == (label, family, article)
    assert found.source.url.startswith("https://distill.pub/2020/circuits/") and found.source.licence == "CC-BY 4.0"
    assert str(found.source).count(found.source.title) == 1


def test_the_article_on_curves_agrees_with_the_overview() -> None:
    """Two articles, two figures, one numbering: nearly all curve detectors are in a group of the overview that is about curves."""
    families = published_families(PUBLISHED)
    for layer, curves in (("conv2d2", "Tiny Curves"), ("mixed3a", "Curves"), ("mixed3b", "Curves")):
        (group,) = [set(f.units) for f in families if f.layer == layer and f.name == curves]
        (detectors,) = [set(f.units) for f in families if f.layer == layer and f.name == "Curve Detectors"]
        assert len(group & detectors) >= 0.8 * len(detectors)


@pytest.mark.parametrize("origin", ["random weights, seed 0", "/somewhere/inception5h.pth", "trained on ImageNet", ""])
def test_other_weights_have_no_published_names(origin: str) -> None:
    assert published_labels(Network(origin)) == {} and published_families(Network(origin)) == ()
