"""Polysemanticity on units whose causes were planted, and on points whose number of kinds is known."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
import torch

import workbench
from workbench.analyses.analysis import Result
from workbench.analyses.directions import Directions
from workbench.analyses.polysemanticity import Polysemanticity
from workbench.analyses.polysemanticity.analysis import corrected
from workbench.analyses.polysemanticity.clustering import adjusted_rand, clusters_of
from workbench.analyses.polysemanticity.relevance import Below, auroc, relevances, told_apart
from workbench.images.array_set import ArraySet
from workbench.images.image_set import ImageSet
from workbench.input_error import InputError
from workbench.models.known_circuit import KnownCircuit
from workbench.models.layer import Unit
from workbench.models.planted.network import PLANTED
from workbench.models.tensors import tensors_of
from workbench.models.traced_model import TracedModel


@pytest.fixture(scope="module")
def planted() -> TracedModel:
    return workbench.load("bundled:planted/polysemantic_net")


@pytest.fixture(scope="module")
def shown(planted: TracedModel) -> ImageSet:
    """Return the network's stimuli, drawn once."""
    images = workbench.load_images(known(planted).images)
    drawn = np.concatenate([batch.images for batch in images.batches((33, 33), 64)])
    kept = ArraySet(drawn, "lines", images.ids)
    kept.columns = images.columns
    return kept


@pytest.fixture(scope="module")
def found(planted: TracedModel, shown: ImageSet) -> Result:
    return Polysemanticity(layer="mixed", draws=20).run(planted, shown)


def known(model: TracedModel) -> KnownCircuit:
    assert model.circuit is not None
    return model.circuit


def mixes(circuit: KnownCircuit) -> np.ndarray:
    return np.array([f"mixed:{unit}" in circuit.facts["polysemantic"] for unit in range(24)])


def test_units_of_two_causes_are_told_from_units_of_one(planted: TracedModel, found: Result) -> None:
    truth, arrays = mixes(known(planted)), found.arrays
    assert float(auroc(arrays["score"][:, None].astype(float), truth)[0]) >= 0.95
    assert (arrays["number"][truth] == 2).all()
    assert (arrays["number"][~truth] > 1).mean() <= 0.05
    assert found.summary["polysemantic"] == 6 and found.summary["tested"] == 24


def test_facets_are_the_causes(planted: TracedModel, found: Result, shown: ImageSet) -> None:
    circuit, images = known(planted), shown
    for address in circuit.facts["polysemantic"]:
        row = Unit.parse(address).index
        causes = circuit.units[address]["causes"]
        index = found.arrays["example_index"][row]
        there = index >= 0
        cause = np.array(
            [
                next(
                    (
                        place
                        for place, name in enumerate(causes)
                        if float(images.columns["ink_hue"][i]) == circuit.units[name]["hue"]
                        and float(images.columns["orientation"][i]) == circuit.units[name]["orientation"]
                    ),
                    -1,
                )
                for i in index[there]
            ]
        )
        facets = found.arrays["facet"][row][there]
        purity = sum(np.bincount(cause[facets == facet] + 1).max() for facet in (0, 1)) / there.sum()
        assert purity >= 0.95 and (cause >= 0).all()
        named = {found.arrays["inputs"][row][facet][0] for facet in (0, 1)}
        assert named == set(causes)


def test_small_random_weights_do_not_make_units_polysemantic(shown: ImageSet) -> None:
    net = PLANTED["polysemantic_net"].make()
    with torch.no_grad():
        weight = net.module.get_parameter("mixed.weight")
        weight.add_(0.05 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)))
    model = TracedModel.from_module(net.module, torch.zeros(2, 3, 33, 33), preprocessing=net.preprocessing)
    truth = mixes(net.circuit)
    result = Polysemanticity(layer="mixed", draws=20).run(model, shown)
    assert float(auroc(result.arrays["score"][:, None].astype(float), truth)[0]) >= 0.95
    assert (result.arrays["number"][~truth] > 1).mean() <= 0.05 and (result.arrays["number"][truth] == 2).all()


def sparse(random: np.random.Generator) -> np.ndarray:
    """Return rectified points of one kind, some features far larger than others: on and off, but of one kind."""
    return np.maximum(random.normal(size=(100, 30)) + 0.3, 0) * np.exp(random.normal(size=30))


def test_points_of_one_kind_are_one_cluster_however_skewed() -> None:
    kinds = {
        "gaussian": lambda random: random.normal(size=(100, 20)),
        "skewed": lambda random: np.exp(random.normal(size=(100, 20))),
        "rectified": sparse,
    }
    for name, make in kinds.items():
        several = [clusters_of(make(np.random.default_rng(seed)), 4, 20, seed, 0.05).number > 1 for seed in range(12)]
        assert np.mean(several) <= 1 / 12, name


def test_two_and_three_kinds_are_counted() -> None:
    random = np.random.default_rng(0)
    for sizes in ((60, 40), (50, 25, 25)):
        points = np.maximum(random.normal(size=(100, 30)) * 0.3 + 0.1, 0)
        truth = np.repeat(np.arange(len(sizes)), sizes)
        for kind in range(len(sizes)):
            points[truth == kind, 3 * kind : 3 * kind + 3] += 1
        found = clusters_of(points, 4, 20, 0, 0.05)
        assert found.number == len(sizes) and adjusted_rand(found.labels, truth) >= 0.95 and found.score > 3


def test_relevances_add_up_to_the_pre_activation(planted: TracedModel, shown: ImageSet) -> None:
    below = Below.of(planted, Unit("mixed", 3), ())
    (batch,) = shown.batches((33, 33), 8, np.arange(8))
    inputs = planted.inputs(planted.preprocess(batch.images))
    places = np.arange(8, dtype=np.int32) * 7
    shares, levels = relevances(planted, below, inputs, places)
    value = planted.activations(inputs, ["mixed"])["mixed"][:, 3].flatten(1)
    np.testing.assert_allclose(shares.sum(1), value[torch.arange(8), torch.from_numpy(places).long()].numpy(), rtol=1e-5, atol=1e-6)
    assert (levels >= 0).all(), "the units below are rectified"


def test_a_share_above_0_of_an_activation_below_0_is_told_by_its_sign() -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1, bias=False), torch.nn.Conv2d(2, 1, 1, bias=False))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0, 1, 1], [-1, -1, -1]])[..., None, None])
        net[1].weight.copy_(torch.tensor([[0.5, -1]])[..., None, None])
    model = TracedModel.from_module(net, torch.rand(2, 3, 4, 4))
    below = Below.of(model, Unit("1", 0), ("0",))
    shares, levels = relevances(model, below, (torch.rand(3, 3, 4, 4),), np.zeros(3, np.int32))
    assert (shares > 0).all() and (levels[:, 0] > 0).all() and (levels[:, 1] < 0).all()


def test_long_addresses_are_whole_and_images_are_read_in_pieces() -> None:
    long = "block_" * 20
    parts = {"first": torch.nn.Conv2d(3, 4, 3), long: torch.nn.ReLU(), "next": torch.nn.Conv2d(4, 2, 3)}
    with torch.no_grad():
        parts["next"].bias.fill_(3)  # all images drive it, more than are read at once
    model = TracedModel.from_module(torch.nn.Sequential(OrderedDict(parts)), torch.rand(2, 3, 9, 9))
    noise = ArraySet(np.random.default_rng(0).integers(0, 256, (40, 9, 9, 3), np.uint8), "noise")
    found = Polysemanticity(layer="next", draws=10, examples=40, least=0).run(model, noise)
    assert (found.arrays["example_index"] >= 0).all() and (found.arrays["facet"] >= 0).all()
    assert {Unit.parse(str(name)).layer for name in found.arrays["inputs"][:, 0].flat if name} == {long}


def test_a_unit_that_is_not_finite_is_left_out_and_named(planted: TracedModel, shown: ImageSet) -> None:
    (name,) = (name for name, tensor in tensors_of(planted.graph.capture) if tensor.shape[0] == 24 and tensor.dim() == 4)
    weight = dict(tensors_of(planted.graph.capture))[name].clone()
    weight[5] = torch.nan
    broken = planted.with_tensors({name: weight}, "a unit of NaN")
    found = Polysemanticity(layer="mixed", units=(0, 5), draws=10).run(broken, shown)
    assert found.summary["not_finite"] == ["mixed:0", "mixed:5"], "no gradient comes through the broken layer"
    assert found.summary["untested"] == [0, 5] and np.isfinite(found.arrays["rival_score"][0]) and found.figures()
    axes = Directions(layer="mixed", method="pca", number=3).run(broken, shown)
    assert axes.summary["not_finite"] == 1 and np.abs(axes.arrays["encoder"][:, 5]).max() < 1e-9 and axes.summary["explained"] > 0


def test_what_tells_facets_apart_is_chosen_on_one_half_and_measured_on_the_other() -> None:
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], 50)
    first = random.random(100) < 0.5
    noise = random.normal(size=(100, 300))
    assert abs(told_apart(noise, labels, 0, first)[1] - 0.5) < 0.25  # the best of 300 on the first half has .7 there
    noise[:, 7] -= 4 * labels
    assert told_apart(noise, labels, 0, first)[0] == 7 and told_apart(noise, labels, 0, first)[1] > 0.95


def test_corrected_is_benjamini_and_hochberg() -> None:
    np.testing.assert_allclose(corrected(np.array([0.01, np.nan, 0.02, 0.9])), [0.03, np.nan, 0.03, 0.9])


def test_what_cannot_be_asked_is_refused(planted: TracedModel, shown: ImageSet) -> None:
    images = shown
    with pytest.raises(InputError, match="units 0 to 23"):
        Polysemanticity(layer="mixed", units=(24,)).run(planted, images)
    with pytest.raises(InputError, match="does not feed"):
        Polysemanticity(layer="line", units=(0,), sources=("mixed",)).run(planted, images)
    few = Polysemanticity(layer="mixed", units=(0,)).run(planted, ArraySet(images.image(0, (33, 33))))
    assert few.summary["tested"] == 0 and few.summary["share"] is None and few.figures()
