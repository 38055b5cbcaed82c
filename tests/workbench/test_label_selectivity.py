"""Label selectivity against counting pairs, against shuffling for real, and on networks whose units respond to a known label."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import ndtri
from scipy.stats import false_discovery_control
from torch import nn

from workbench.analyses.label_selectivity import LabelSelectivity
from workbench.analyses.label_selectivity.auroc import (
    Grouping,
    auroc,
    chance,
    clustered_variance,
    halves,
    interval,
    ranks,
)
from workbench.analyses.label_selectivity.labels import labels_of
from workbench.images.emoji import EmojiSet
from workbench.images.image_set import ImageSet, UnreadableImageError
from workbench.input_error import InputError
from workbench.jobs.engine import Engine
from workbench.jobs.requests import RunAnalysis
from workbench.jobs.store import Store
from workbench.models.preprocessing import Preprocessing
from workbench.models.traced_model import TracedModel
from workbench.task import Task


def some_group(rng: np.random.Generator) -> Grouping:
    """Concepts of one to four images; a label of three concepts, one of any images, one of most concepts."""
    sizes = rng.integers(1, 5, 12)
    concept = np.repeat(np.arange(12), sizes)
    member = np.stack([np.isin(concept, [0, 3, 5]), rng.random(len(concept)) < 0.4, concept > 4], 1)
    return Grouping(concept, member)


def pairs(values: np.ndarray, member: np.ndarray) -> np.ndarray:
    """Whether an image with the label is above one without, ties half."""
    a, b = values[member][:, None], values[~member][None]
    return (a > b) + 0.5 * (a == b)


def test_auroc_counts_pairs() -> None:
    rng = np.random.default_rng(0)
    group = some_group(rng)
    values = rng.integers(0, 6, (len(group.concept), 4)).astype(np.float64)
    found = auroc(ranks(values), group)
    for unit in range(4):
        for label in range(3):
            assert found[unit, label] == pytest.approx(pairs(values[:, unit], group.member[:, label]).mean())


def test_variance_is_obuchowskis() -> None:
    """Equations 4 to 6 of the paper, written down as they stand."""
    rng = np.random.default_rng(1)
    for _ in range(4):
        group = some_group(rng)
        values = rng.integers(0, 6, (len(group.concept), 3)).astype(np.float64)
        ranked = ranks(values)
        found = auroc(ranked, group)
        variance = clustered_variance(ranked, found, group)
        for unit in range(3):
            for label in range(3):
                member = group.member[:, label]
                psi = pairs(values[:, unit], member)
                v10, v01, theta = psi.mean(1), psi.mean(0), psi.mean()
                concepts = range(group.concepts)
                d10 = np.array([(v10[group.concept[member] == c] - theta).sum() for c in concepts])
                d01 = np.array([(v01[group.concept[~member] == c] - theta).sum() for c in concepts])
                m, n, i = member.sum(), (~member).sum(), group.concepts
                i10, i01 = len(set(group.concept[member])), len(set(group.concept[~member]))
                s10, s01 = i10 / ((i10 - 1) * m) * (d10**2).sum(), i01 / ((i01 - 1) * n) * (d01**2).sum()
                s11 = i / (i - 1) * (d10 * d01).sum()
                assert variance[unit, label] == pytest.approx(s10 / m + s01 / n + 2 * s11 / (m * n), rel=1e-4)


@pytest.mark.parametrize(("true", "concepts"), [(0.5, 10), (0.8, 10), (0.8, 30), (0.95, 10), (0.99, 5)])
def test_intervals_hold_the_true_value(true: float, concepts: int) -> None:
    """Five drawings of a concept share half their variance; an interval for independent images would be too narrow by far."""
    rng = np.random.default_rng(2)
    concept = np.repeat(np.arange(200), 5)
    group = Grouping(concept, (concept < concepts)[:, None])
    shared, own = rng.normal(size=(200, 300)), rng.normal(size=(1000, 300))
    values = (shared[concept] + own) / np.sqrt(2) + np.sqrt(2) * ndtri(true) * group.member
    ranked = ranks(values)
    found = auroc(ranked, group)
    low, high = interval(found, clustered_variance(ranked, found, group), group)
    assert ((low <= true) & (true <= high)).mean() > 0.92
    assert (low <= found).all() and (found <= high).all() and (high - low > 0).all()


def test_perfect_separation_is_not_certain() -> None:
    concept = np.arange(40)
    group = Grouping(concept, (concept >= 34)[:, None])
    ranked = ranks(concept[:, None].astype(np.float64))
    found = auroc(ranked, group)
    low, high = interval(found, clustered_variance(ranked, found, group), group)
    assert found == 1 and high == 1 and 0.5 < low < 0.95


@pytest.mark.parametrize("active", [1.0, 0.3, 0.05])
def test_chance_is_that_of_shuffling(active: float) -> None:
    """Against 20,000 real shuffles; also where few images drive the unit, whose rank sums are far from normal."""
    rng = np.random.default_rng(3)
    concept = np.repeat(np.arange(120), 3)
    values = np.where(rng.random((120, 1)).repeat(3, 0) < active, rng.random((360, 1)) + 1, 0)
    group = Grouping(concept, np.stack([concept < 8, np.arange(360) % 3 == 0], 1))
    ranked = ranks(values)
    sums = group.in_concept @ ranked
    shuffled = np.array([sums[rng.permutation(120)[:8], 0].sum() for _ in range(20_000)])
    deviation = chance(ranked, group).deviation[0]
    assert shuffled.std() / (24 * 336) == pytest.approx(deviation[0], rel=0.03)
    within = np.array([ranked.reshape(120, 3)[np.arange(120), rng.integers(0, 3, 120)].sum() for _ in range(5_000)])
    assert within.std() / (120 * 240) == pytest.approx(deviation[1], rel=0.05)
    # How often are shuffled labels called as rare as 1 %? As often, and where ties are many, seldom more.
    members = np.stack([np.isin(concept, rng.permutation(120)[:8]) for _ in range(5_000)], 1)
    assert (chance(ranked, Grouping(concept, members)).p <= 0.01).mean() < 0.02


def test_a_label_within_concepts_is_shuffled_within_them() -> None:
    """A unit that knows the concept and not the drawing tells no style, however different the concepts are."""
    rng = np.random.default_rng(4)
    concept = np.repeat(np.arange(60), 4)
    group = Grouping(concept, np.tile(np.eye(4, dtype=bool), (60, 1)))
    values = 100 * rng.normal(size=60)[concept] + rng.normal(size=240) + 1.0 * group.member[:, 0]
    found = chance(ranks(values[:, None]), group)
    assert found.p[0, 0] < 1e-4 and (found.p[0, 1:] > 1e-4).all()


def test_halves_share_every_label() -> None:
    rng = np.random.default_rng(5)
    concept = np.arange(300)
    group = Grouping(concept, rng.random((300, 80)) < rng.uniform(0.02, 0.3, 80))
    side = halves(group, 0)
    assert 100 < side.sum() < 200 and not np.array_equal(side, halves(group, 1))
    parts = np.stack([group.member[side].sum(0), group.member[~side].sum(0)])
    enough = group.positives >= 4
    assert (parts.min(0)[enough] >= 2).all()


# On networks


class Drawings(ImageSet):
    """Forty concepts in three styles, plain images: red says whether the kind is ``planted``, the rest is noise of concept and style."""

    kinds = ("planted", "other", "third", "fourth")

    def __init__(self, shuffled: int | None = None, broken: tuple[int, ...] = ()) -> None:
        rng = np.random.default_rng(0)
        kind = np.arange(40) % 4
        shown = kind if shuffled is None else np.random.default_rng(shuffled).permutation(kind)
        concepts, styles = np.repeat(np.arange(40), 3), np.tile(np.arange(3), 40)
        columns = {
            "concept": [f"thing {c}" for c in concepts],
            "kind": [self.kinds[shown[c]] for c in concepts],
            "style": [f"style {s}" for s in styles],
            "keywords": [
                f"even, {self.kinds[shown[c]]} too" if c % 2 == 0 else f"odd, , {self.kinds[shown[c]]} too"
                for c in concepts
            ],
            "rare": ["once" if c == 3 else "" for c in concepts],
        }
        super().__init__("test:drawings", "Drawings", [f"{i}" for i in range(120)], columns)
        noise = rng.random((120, 3)) * 0.4 + rng.random((40, 3))[concepts] * 0.2
        noise[:, 0] += 0.4 * (kind[concepts] == 0)
        self.colours = (255 * noise.clip(0, 1)).astype(np.uint8)
        self.shuffled, self.broken = shuffled, broken

    @property
    def content_hash(self) -> str:
        return f"drawings {self.broken}"

    def _read(self, index: int, size: tuple[int, int] | None) -> np.ndarray:
        if index in self.broken:
            raise UnreadableImageError("broken on purpose")
        return np.broadcast_to(self.colours[index], (*(size or (8, 8)), 3)).copy()


class Colours(nn.Module):
    """Units of red, minus red, green, blue, nothing, and a value that is no number on green images."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 1)
        with torch.no_grad():
            self.conv.weight.zero_()
            self.conv.bias.zero_()
            for unit, (channel, weight) in enumerate([(0, 1.0), (0, -1.0), (1, 1.0), (2, 1.0)]):
                self.conv.weight[unit, channel] = weight
        self.broken = nn.Conv2d(3, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.conv(x), torch.sqrt(self.broken(x) - 100)], 1)


@pytest.fixture(scope="module")
def model() -> TracedModel:
    return TracedModel.from_module(
        Colours(), torch.randn(2, 3, 8, 8), preprocessing=Preprocessing((8, 8)), name="Colours"
    )


def test_the_planted_label_ranks_first(model: TracedModel) -> None:
    result = LabelSelectivity(layer="conv", units=(0, 1, 2), twins=2).run(model, Drawings())
    names, arrays = result.arrays["label_names"].tolist(), result.arrays
    planted = names.index("kind:planted = keywords:planted too")
    for unit, direction in ((0, 1), (1, -1)):
        assert (direction * arrays["auroc"][unit]).argmax() == planted
        assert arrays["listed"][unit, 0] == planted
        assert abs(arrays["listed_auroc"][unit, 0] - 0.5) > 0.45
        assert arrays["q"][unit, planted] < 1e-3
    assert (arrays["q"][2:4] > 0.05).all()  # green and blue know no label
    first = result.summary["units"][0]["labels"][0]
    assert (
        first["label"] == names[planted]
        and first["held_out"][1] > 0.8
        and first["concepts"] == 10
        and first["images"] == 30
    )
    assert 0 < first["twins"] < first["auroc"]
    # rare:once, and that of no concept twice as many labels as there are keywords
    assert result.summary["labels_left_out"] == 1 and result.summary["labels"] == len(names) == 4 + 3 + 2
    assert result.summary["constant"] == [4]
    assert arrays["auroc"][4] == pytest.approx(0.5) and (arrays["p"][4] == 1).all()
    assert 0.5 < result.summary["detectable_auroc"] < 0.9
    json.dumps(result.summary, allow_nan=False)
    assert set(result.figures()) == {"units", "labels"}


def test_hardly_a_shuffled_label_is_significant(model: TracedModel) -> None:
    """Labels shuffled over concepts, where the units know kinds and concepts alike."""
    shares = []
    for seed in range(12):
        found = LabelSelectivity(layer="conv", columns=("kind",), twins=0).run(model, Drawings(shuffled=seed))
        shares.append(found.summary["significant"])
        assert found.summary["significant_shuffled"] <= 0.05
    assert np.mean(shares) <= 0.05


def test_hardly_a_shuffled_label_of_emoji_is_significant() -> None:
    """All labels of emoji against colours at some places, dense and sparse: they tell many labels, and hardly any once shuffled."""
    images = EmojiSet(["noto", "twemoji"])
    seen = (
        np.concatenate([batch.images for batch in images.batches((4, 4), 512)])
        .reshape(len(images), -1)
        .astype(np.float64)
    )
    values = np.concatenate([seen[:, ::5], np.maximum(128 - seen[:, ::7], 0) * (seen[:, 3::7][:, :7] > 250)], 1)
    analysis = LabelSelectivity(layer="any")
    indices = np.arange(len(images))
    labels = labels_of(
        images, indices, analysis.concepts(images, indices), ("group", "subgroup", "style", "keywords"), 5
    )
    ranked, group = ranks(values)[labels.order], labels.group
    known = false_discovery_control(chance(ranked, group).p.ravel()) < 0.05
    assert known.mean() > 0.05
    called = []
    for seed in range(10):
        shuffled = LabelSelectivity(layer="any", seed=seed)._shuffled(ranked, group)
        assert np.array_equal(shuffled.images, group.images) and np.array_equal(shuffled.positives, group.positives)
        called.append((false_discovery_control(chance(ranked, shuffled).p.ravel()) < 0.05).mean())
    assert np.mean(called) < 0.001 and max(called) < 0.05
    assert np.mean([share > 0 for share in called]) <= 0.5


def test_units_without_numbers_are_left_out(model: TracedModel) -> None:
    result = LabelSelectivity(layer=model.graph.output, twins=1).run(model, Drawings())
    assert result.summary["nonfinite"] == [5]
    assert np.isnan(result.arrays["auroc"][5]).all() and np.isfinite(result.arrays["auroc"][:5]).all()
    assert 5 not in [unit["unit"] for unit in result.summary["units"] if unit["labels"]]


def test_unreadable_images_are_counted(model: TracedModel) -> None:
    result = LabelSelectivity(layer="conv", twins=0).run(model, Drawings(broken=(0, 77)))
    assert result.summary["images"] == 118 and result.summary["skipped"] == 2
    assert [image["id"] for image in result.summary["unreadable"]] == ["0", "77"]


def test_whole_concepts_are_sampled(model: TracedModel) -> None:
    images = Drawings()
    chosen = LabelSelectivity(layer="conv", sampled=50, seed=3).chosen(images)
    assert len(chosen) == 48 and (np.bincount(chosen // 3, minlength=40) % 3 == 0).all()
    assert (np.diff(chosen) > 0).all()


def test_labels_of_many_columns() -> None:
    images = Drawings()
    found = labels_of(images, np.arange(120), np.arange(120) // 3, ("kind", "rare", "keywords"), 4)
    assert "keywords:even" in found.names and "keywords:" not in found.names
    member = dict(zip(found.names, found.group.member.T, strict=True))
    assert np.array_equal(member["keywords:even"], np.arange(120) // 3 % 2 == 0)


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"columns": ("kinds",)}, "no column 'kinds'; it has concept, kind"),
        ({"concept": "thing"}, "no column 'thing'"),
        ({"units": (9,)}, "units 0 to 4, not 9"),
        ({"columns": ("kind",), "least": 30}, "no label of Drawings is had by 30 concepts"),
    ],
)
def test_what_does_not_fit_is_said(model: TracedModel, parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        LabelSelectivity(layer="conv", twins=0, **parameters).run(model, Drawings())


def test_images_without_labels_are_refused(model: TracedModel) -> None:
    images = Drawings()
    images.columns = {}
    with pytest.raises(InputError, match="no labels"):
        LabelSelectivity(layer="conv").run(model, images)


def test_analyses_share_what_was_read(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second analysis of the same layer reads no image; what is damaged is read again."""
    engine = Engine(Store(tmp_path))
    images, ref = "emoji?styles=noto", "bundled:planted/motif_net"
    layer = next(name for name in engine.model(ref).layers if name != "input")
    parameters = {"layer": layer, "twins": 1, "columns": ["group"], "sampled": 64}
    result = RunAnalysis("LabelSelectivity", parameters, ref, images).run(engine, Task())
    kept = list((tmp_path / "folders" / "activations").glob("*.npz"))
    assert len(kept) == 2  # the network's and the twin's
    monkeypatch.setattr(type(engine.images(images)), "batches", lambda *_, **__: pytest.fail("read again"))
    again = RunAnalysis("LabelSelectivity", {**parameters, "listed": 3}, ref, images).run(engine, Task())
    assert np.array_equal(again.arrays["auroc"], result.arrays["auroc"])
    kept[0].write_bytes(b"damaged")
    monkeypatch.undo()
    third = RunAnalysis("LabelSelectivity", {**parameters, "listed": 4}, ref, images).run(engine, Task())
    assert np.array_equal(third.arrays["auroc"], result.arrays["auroc"], equal_nan=True)
