"""Motifs: every planted one is found and little else, shuffled weights and random twins have none, and each becomes a circuit."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import workbench
from workbench.analyses.analysis import Result
from workbench.analyses.motifs import Motifs, as_circuit, findings
from workbench.analyses.motifs.counting import Tests as Counted
from workbench.analyses.motifs.detectors import opposite
from workbench.analyses.motifs.families import Part as Kernels
from workbench.analyses.motifs.families import of_input, relations, turn
from workbench.analyses.motifs.null import Tail, corrected, dealt, mixed, rephased, scattered, shuffled, weighed
from workbench.analyses.motifs.templates import returning, strongest
from workbench.analyses.motifs.weights import related
from workbench.images.array_set import ArraySet
from workbench.images.image_set import ImageSet
from workbench.input_error import InputError
from workbench.models.adjacent import adjacent_layers
from workbench.models.planted import PLANTED
from workbench.models.preprocessing import Preprocessing
from workbench.models.traced_model import TracedModel
from workbench.motifs import KINDS, as_table
from workbench.task import Cancelled, Part, Task


def traced(net: nn.Module, side: int) -> TracedModel:
    return TracedModel.from_module(net, torch.randn(2, 3, side, side), preprocessing=Preprocessing((side, side)))


PLANTED_KINDS = {"invariance": "pooling", "union": "union", "opposite": "opposite"}


def noise(number: int, side: int, seed: int = 0) -> ArraySet:
    """Coarse random patterns, so that neighbouring pixels go together as they do in images."""
    coarse = np.random.default_rng(seed).integers(0, 256, (number, side // 3 + 1, side // 3 + 1, 3), np.uint8)
    return ArraySet(coarse.repeat(3, 1).repeat(3, 2)[:, :side, :side])


@pytest.fixture(scope="module")
def model() -> TracedModel:
    return workbench.load("bundled:planted/motif_net")


@pytest.fixture(scope="module")
def images() -> ImageSet:
    return noise(32, 33)


@pytest.fixture(scope="module")
def result(model: TracedModel, images: ImageSet) -> Result:
    return Motifs(images=32).run(model, images)


def of_kind(result: Result, kind: str) -> list[Mapping[str, Any]]:
    return [finding for finding in result.summary["findings"] if finding["kind"] == kind]


def planted(kind: str) -> set[tuple[str, ...]]:
    facts = PLANTED["motif_net"].make().circuit.facts
    return {tuple(one) if kind == "opposite" else (one["unit"],) for one in facts[kind]}


@pytest.mark.parametrize("kind", PLANTED_KINDS)
def test_planted_motifs_are_found_and_nothing_else(result: Result, kind: str) -> None:
    found = {tuple(finding["units"]) for finding in of_kind(result, PLANTED_KINDS[kind])}
    true = planted(kind)
    assert len(found & true) >= 0.9 * len(found) and len(found & true) >= 0.9 * len(true)
    told = result.summary["kinds"][PLANTED_KINDS[kind]]
    assert told["null_most"] <= max(1, 0.05 * told["tests"]) and told["found"] == len(found) and told["detectable"] < 1


def test_a_finding_names_what_the_unit_reads_and_becomes_a_circuit(result: Result) -> None:
    facts = PLANTED["motif_net"].make().circuit.facts
    inputs = {one["unit"]: set(one["inputs"]) for kind in ("invariance", "union") for one in facts[kind]}
    for kind in ("pooling", "union"):
        for finding in of_kind(result, kind):
            assert set(finding["inputs"]) == inputs[finding["units"][0]], finding["note"]
    for finding in result.summary["findings"]:
        circuit = as_circuit(finding, "bundled:planted/motif_net", "emoji")
        assert set(finding["units"]) <= set(circuit.units) and len(circuit.edges) == len(finding["edges"]) > 0
        assert type(circuit).from_json(circuit.to_json()).edges == circuit.edges
    pooled = as_circuit(of_kind(result, "pooling")[0])
    assert [edge.weight for edge in pooled.edges] == pytest.approx([1.0] * 4, abs=0.1)


def test_branches_are_told_apart_by_what_they_read(result: Result) -> None:
    (colour,) = [f for f in of_kind(result, "branch") if f["note"].startswith("features.colour needs colour more")]
    assert colour["score"] == 1.0 and colour["q"] < 1e-6
    assert {int(unit.rpartition(":")[2]) >= 32 for unit in colour["units"]} == {True}
    assert not any("shape needs colour more" in finding["note"] for finding in of_kind(result, "branch"))
    assert result.summary["kinds"]["branch"]["null_mean"] <= 0.5


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_random_twin_has_no_more_than_its_null(model: TracedModel, images: ImageSet, seed: int) -> None:
    twin = Motifs(images=32, seed=seed).run(model.twin(seed), images)
    assert not twin.summary["findings"]


def test_shuffled_weights_have_none(images: ImageSet) -> None:
    network = PLANTED["motif_net"].make()
    torch.manual_seed(3)
    false = tests = 0
    for _ in range(2):
        net = network.module
        with torch.no_grad():
            for weight in net.parameters():
                weight.copy_(weight.flatten()[torch.randperm(weight.numel())].view_as(weight))
        found = Motifs(images=32).run(traced(net, 33), images)
        false += len(found.summary["findings"])
        tests += sum(told["tests"] for told in found.summary["kinds"].values())
    assert false <= 0.05 * 24 and tests > 150


class Banded(nn.Module):
    """Kernels that vary from row to row before global pooling, and a layer before them that has no such look; one unit of each is dead."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 12, 5, padding=2)
        self.plain = nn.Conv2d(12, 16, 3, padding=1)
        self.banded = nn.Conv2d(16, 24, 5, padding=2)
        self.head = nn.Linear(24, 10)
        with torch.no_grad():
            rows = torch.randn(24, 16, 5, 1).expand(-1, -1, -1, 5)
            self.banded.weight.copy_(rows + 0.3 * torch.randn(24, 16, 5, 5))
            self.plain.bias[3], self.plain.weight[3] = -100.0, 0.01  # never active
            self.plain.weight[7], self.plain.bias[7] = 0, 1.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(self.plain(torch.relu(self.first(x))))
        return self.head(torch.relu(self.banded(hidden)).mean((2, 3)))


def test_bands_before_global_pooling_are_an_artefact_and_units_that_cannot_be_judged_are_named() -> None:
    net = Banded()
    subject = traced(net, 24)
    with torch.no_grad():
        net.banded.weight[5] = torch.nan
    found = Motifs(images=16).run(subject, noise(16, 24)).summary
    (bands,) = [finding for finding in found["findings"] if finding["kind"] == "bands"]
    assert bands["artefact"] and bands["score"] > 0.5 and "global pooling" in bands["note"]
    assert bands["target"] == ":relu@2" and ":relu@2:5" not in bands["units"]
    assert {":relu@1:3", ":relu@1:7"} <= set(found["dead"]["first"])
    assert ":relu@2:5" in found["not_numbers"]["first"] and found["without_weights"]["first"] == [":relu@1:7"]


def test_kernels_that_return_are_found_in_any_turn() -> None:
    class Edges(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(1)
            self.first, self.second = nn.Conv2d(3, 16, 1), nn.Conv2d(16, 96, 3)
            edge = torch.tensor([[-1.0, 0, 1]] * 3)
            with torch.no_grad():
                nn.init.normal_(self.second.weight, std=0.3)
                for unit in range(96):  # each has one edge, turned somehow, among random kernels
                    self.second.weight[unit, unit % 16] = torch.rot90(edge, unit % 4) + 0.1 * torch.randn(3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.relu(self.second(torch.relu(self.first(x))))

    found = Motifs(images=8, kinds=("template",)).run(traced(Edges(), 12), noise(8, 12))
    first = of_kind(found, "template")[0]
    template = found.arrays["templates"][first["template"]]
    edge = np.array([[-1.0, 0, 1]] * 3) / np.sqrt(6)
    assert max(float((turn(template, g) * edge).sum()) for g in range(8)) > 0.95
    assert all(int(edge[0].rpartition(":")[2]) == int(edge[1].rpartition(":")[2]) % 16 for edge in first["edges"])


def test_smooth_kernels_of_random_phases_are_no_template() -> None:
    random = np.random.default_rng(0)
    smooth = random.normal(size=(128, 8, 3, 1)) @ np.ones((1, 3)) + 0.05 * random.normal(size=(128, 8, 3, 3))
    rows = weighed(rephased(smooth.astype(np.float32), random), np.ones(8, np.float32))
    nulls = [[[strongest(null(rows, random), 0)] for _ in range(5)] for null in (shuffled, rephased)]
    one = strongest(rows, 0)
    white, honest = ([found.p for found in returning([one], chosen, random)] for chosen in (nulls[:1], nulls))
    assert min(white) < 1e-6 and min(honest) > 1e-3, "white noise alone is too easy a null"


def test_families_are_turned_kernels_and_not_merely_smooth_ones() -> None:
    network = PLANTED["rotated_family_net"].make()
    kernels = network.module.features.weight.detach().numpy()
    known = relations(len(kernels), [Kernels(0, kernels, of_input(3))], 0)
    planted_families = {tuple(sorted(int(unit.rpartition(":")[2]) for unit in family)) for family in network.circuit.facts["families"]}
    assert set(known.families) == planted_families
    random = np.random.default_rng(0)
    assert not relations(24, [Kernels(0, random.normal(size=(24, 3, 7, 7)).astype(np.float32), of_input(3))], 0).families


def test_a_broken_unit_leaves_the_others_their_families() -> None:
    subject = workbench.load("bundled:planted/rotated_family_net")
    pairs = adjacent_layers(subject.graph)[:1]
    kernels = PLANTED["rotated_family_net"].make().module.features.weight.detach().numpy().copy()
    whole = related(subject, pairs, [kernels], {pairs[0].target}, 0, Part(Task(), 0, 1, 1))[pairs[0].target].families
    broken = whole[0][0]
    kernels[broken, 0, 0, 0] = np.nan
    left = related(subject, pairs, [kernels], {pairs[0].target}, 0, Part(Task(), 0, 1, 1))[pairs[0].target].families
    assert set(whole[1:]) <= set(left) and not any(broken in family for family in left)


def test_nulls_keep_what_they_are_to_keep() -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(6, 5, 3, 3)).astype(np.float32)
    assert np.array_equal(np.sort(shuffled(rows, random), None), np.sort(rows, None))
    cut = np.pad(rows[..., :2, :], ((0, 0), (0, 0), (0, 1), (0, 0)))
    assert not shuffled(cut, random)[:, :, 2].any(), "what the image's edge cuts off is no pattern"
    given = dealt(rows, random)
    assert all({kernel.tobytes() for kernel in given[t]} == {kernel.tobytes() for kernel in rows[t]} for t in range(6))
    norms = [np.sort(np.square(one).sum((2, 3)), 1) for one in (rows, rephased(rows, random))]
    assert np.allclose(*norms, rtol=1e-4) and not np.allclose(np.sort(rephased(rows, random), None), np.sort(rows, None), atol=1e-3)
    strong = np.zeros((6, 5, 3, 3), np.float32)
    strong[:, :2] = random.normal(size=(6, 2, 3, 3))
    had = (scattered(strong, random) != 0).any((2, 3)).sum(1)
    assert had.sum() == 12 and had.max() > 2, "kernels stay whole, and not with their unit"
    flat = np.outer(random.normal(size=6), np.ones(45)).reshape(6, 5, 3, 3).astype(np.float32)
    assert np.linalg.matrix_rank(mixed(flat, random).reshape(6, -1)) == 1
    assert np.allclose(np.square(weighed(rows, np.arange(5, dtype=np.float32))).sum((1, 2, 3)), 1)


def test_p_of_a_tail_is_that_of_the_distribution_or_larger_and_q_is_benjamini_and_hochbergs() -> None:
    from scipy.stats import norm

    tail = Tail.of(np.random.default_rng(0).normal(size=20_000))
    for value in (1.0, 2.0, 3.0, 4.0, 5.0):
        p = float(tail.p(np.array([value]))[0])
        assert p >= 0.9 * norm.sf(value), value
    assert tail.p(np.array([2.0]))[0] == pytest.approx(norm.sf(2.0), rel=0.2)
    assert tail.value(float(tail.p(np.array([4.0]))[0])) == pytest.approx(4.0)
    assert Tail.of(np.zeros(0)).p(np.array([9.0]))[0] == 1
    assert corrected(np.array([0.01, 0.04, 0.03, 0.5])) == pytest.approx([0.04, 0.16 / 3, 0.16 / 3, 0.5])


def test_units_have_one_name_where_one_layer_makes_them_and_the_next_reads_them() -> None:
    pairs = adjacent_layers(workbench.load("bundled:planted/motif_net").graph)
    named = [(pair.source, pair.target, pair.first, pair.units) for pair in pairs]
    assert named == [("input", "relu1", 0, 32), ("input", "relu1", 32, 16), ("relu1", "relu2", 0, 48)]


def test_layers_can_be_chosen_and_a_source_far_before_them(model: TracedModel, images: ImageSet) -> None:
    chosen = Motifs(images=16, targets=("relu1",), kinds=("opposite", "branch")).run(model, images).summary
    assert chosen["layers"] == ["input > relu1"] * 2 and set(chosen["kinds"]) == {"opposite", "branch"}
    far = Motifs(images=16, targets=("relu2",), source="input", kinds=("opposite",)).run(model, images).summary
    assert far["behind_nonlinearities"] and far["layers"] == ["input > relu2"]
    for wrong, said in (
        ({"targets": ("pool",)}, "not what a layer of weights makes"),
        ({"source": "input"}, "name the layers"),
        ({"kinds": ("loops",)}, "no motif 'loops'"),
        ({"targets": ("relu1",), "source": "relu2"}, "does not feed"),
    ):
        with pytest.raises(InputError, match=said):
            Motifs(images=8, **wrong).run(model, images)


def test_it_tells_how_far_it_is_and_stops_when_it_is_told_to(model: TracedModel, images: ImageSet) -> None:
    class Impatient(Task):
        notes: list[str] = []

        def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
            assert 0 <= done <= total
            self.notes.append(note)
            if note.startswith("motifs"):
                raise Cancelled

    with pytest.raises(Cancelled):
        Motifs(images=16).run(model, images, Impatient())
    assert {note.split()[0] for note in Impatient.notes} == {"weights", "watching", "families", "motifs"}


def test_findings_are_a_table_and_figures(result: Result) -> None:
    lines = list(csv.DictReader(io.StringIO(as_table(result.summary["findings"]))))
    assert len(lines) == len(result.summary["findings"]) and {line["kind"] for line in lines} <= set(KINDS)
    assert lines[0]["inputs"].split() == result.summary["findings"][0]["inputs"]
    assert set(result.figures()) == {"counts", "scores", "templates"}


def test_the_count_beside_motifs_is_that_of_the_harder_null_and_a_pair_is_counted_once() -> None:
    random = np.random.default_rng(0)
    tests = Counted(0.1)
    easy = [random.uniform(-0.3, 0.3, 400) for _ in range(5)]
    hard = [np.append(random.uniform(-0.3, 0.3, 399), 0.99) for _ in range(5)]
    tests.add(np.array([0.2]), ["one"], [easy, hard], 0.05)
    null = tests.found_in_null(0.05)
    assert null.shape == (2, 5) and not null[0].any()
    told, summary, _ = findings.told([], {"union": tests}, 0.05, 10)
    assert summary["union"]["null_mean"] == null[1].mean() > 0 and told["union_null"].shape == (2, 5)
    row = random.normal(size=(1, 6, 1, 1)).astype(np.float32)
    seen = opposite(weighed(np.concatenate([row, -row, random.normal(size=(1, 6, 1, 1)).astype(np.float32)]), np.ones(6, np.float32)))
    assert seen.row.tolist() == [0] and seen.what.tolist() == [1] and seen.score == pytest.approx([1.0])
