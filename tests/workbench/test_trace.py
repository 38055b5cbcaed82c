"""Circuits that were planted are found, edge for edge; any circuit is measured as one computes it by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import main
from workbench.analyses.trace import CircuitMeasures, Trace, candidates, circuit_of, circuits, measure, patching
from workbench.analyses.trace.experiment import Pictures, halves
from workbench.analyses.trace.paths import Paths
from workbench.analyses.trace.runs import CLEAN, Reading, Runs
from workbench.analyses.trace.scores import Scale
from workbench.analyses.trace.target import At, Target
from workbench.analyses.trace.wiring import Wiring
from workbench.circuit import Circuit, Edge
from workbench.images.array_set import ArraySet
from workbench.images.image_set import ImageSet, load_images
from workbench.input_error import InputError
from workbench.jobs.circuit_requests import feeds
from workbench.models.loading import load
from workbench.models.narrowed import narrowed
from workbench.models.traced_model import TracedModel
from workbench.task import Cancelled, Task

PLACES = "&x=-0.06,-0.03,0,0.03,0.06,0.09&y=-0.06,0,0.06"
"""The planted networks' images, 18 of each, so that both halves have all kinds."""
GATES = {"AND": 0, "OR": 1, "XOR": 2}


def planted(name: str) -> tuple[TracedModel, ImageSet]:
    model = load(f"bundled:planted/{name}")
    assert model.circuit is not None
    return model, load_images(model.circuit.images + PLACES)


def truth(model: TracedModel, target: str) -> Wiring:
    assert model.circuit is not None
    return Wiring(target, frozenset((source, to) for source, to, _ in model.circuit.edges)).useful()


class Branches(nn.Module):
    """Convolutions, BatchNorm, two branches side by side, and a residual sum."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.act = nn.ReLU()
        self.left = nn.Sequential(nn.Conv2d(6, 4, 1), nn.BatchNorm2d(4), nn.ReLU())
        self.right = nn.Sequential(nn.Conv2d(6, 5, 3, padding=1), nn.BatchNorm2d(5), nn.ReLU())
        self.mix = nn.Identity()
        self.skip = nn.Conv2d(6, 7, 1)
        self.last, self.norm, self.out = nn.Conv2d(9, 7, 3, padding=1), nn.BatchNorm2d(7), nn.ReLU()
        self.head = nn.Linear(7, 3)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.running_mean, 0, 0.1)
                nn.init.uniform_(module.running_var, 0.5, 2)
                nn.init.uniform_(module.weight, 0.5, 2)
                nn.init.normal_(module.bias, 0.3, 0.2)

    def mixed(self, a: Tensor) -> Tensor:
        return torch.cat([self.left(a), self.right(a)], 1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.act(self.conv(x))
        return self.head(self.out(self.norm(self.last(self.mix(self.mixed(a)))) + self.skip(a)).mean((2, 3)))


@pytest.fixture(scope="module")
def branches() -> tuple[Branches, TracedModel, str]:
    """The module, the network, and the name of the layer that joins the branches."""
    module = Branches().eval()
    model = TracedModel.from_module(module, torch.rand(2, 3, 8, 8), ("a", "b", "c"))
    return module, model, next(layer.name for layer in model.layers.values() if layer.kind == "cat")


def noise(number: int = 12, side: int = 8) -> ArraySet:
    found = ArraySet(np.random.default_rng(0).integers(0, 255, (number, side, side, 3), dtype=np.uint8))
    found.columns = {"concept": [f"concept {place // 2}" for place in range(number)]}
    return found


def made(
    model: TracedModel, images: ImageSet, target: str, layers: tuple[str, ...] = (), at: At = "strongest"
) -> tuple[Runs, Scale]:
    paths = Paths(model, Target.of(model, target, at), layers)
    pictures = Pictures(model, images, np.arange(len(images)), Task())
    clean = model.activations(pictures.x, list(paths.layers))
    runs = Runs(
        paths,
        pictures.x,
        {name: model.layer(name).arrange(value).transpose(0, 1).flatten(1).mean(1) for name, value in clean.items()},
    )
    return runs, Scale(runs.full.numpy(), runs.empty.numpy())


# --- what was planted is found ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "ablation"), [("and_or_net", "mean"), ("and_or_net_decoys", "mean"), ("and_or_net_decoys", "resample")]
)
@pytest.mark.parametrize("gate", GATES)
def test_the_planted_edges_are_found_and_no_other(name: str, gate: str, ablation: str) -> None:
    model, images = planted(name)
    target = f"head:{GATES[gate]}"
    result = Trace(target=f"class:{gate}", candidates=8, threshold=0.95, ablation=ablation, limit=0).run(model, images)
    circuit, summary, arrays = circuit_of(result), result.summary, result.arrays
    found, true = {edge.ends for edge in circuit.edges}, truth(model, target).edges
    assert found == true, "precision and recall are 1"
    assert abs(1 - summary["faithfulness"]) <= 0.05 and summary["explained"] >= 0.95
    assert (arrays["edge_drop"] >= 0.2).all() and summary["minimality"] == arrays["edge_drop"].min()
    assert summary["candidate_edges"] > len(true) and summary["threshold_reached"]
    if name == "and_or_net_decoys":
        assert summary["candidates"] == 8 + 4 < 53 + 4, "fewer candidates are kept than exist"
        assert summary["null_explained_highest"] < 0.5
    assert circuit.units[-1] == target and circuit.figures["faithfulness"] == summary["faithfulness"]
    assert summary["completeness"] == pytest.approx(1, abs=0.1)


def test_attribution_alone_misses_reasons_that_each_suffice_and_both_ways_of_patching_find_them() -> None:
    model, images = planted("and_or_net_decoys")
    both, neither = (
        [place for place, name in enumerate(images.ids) if f"orientation={angle} " in name and f"ink_hue={hue}" in name]
        for angle, hue in ((0, 29), (90, 264))
    )
    paths = Paths(model, Target.of(model, "class:OR", "strongest"))
    x = Pictures(model, images, np.array(both), Task()).x
    elsewhere = model.activations(Pictures(model, images, np.array(neither), Task()).x, list(paths.layers))
    runs = Runs(paths, x, {name: value.mean(0) for name, value in elsewhere.items()})
    found = candidates.find(runs, 8, {}, Task())[0]
    size = {
        name: dict(zip(found.units.tolist(), found.estimates[place], strict=True))
        for place, name in enumerate(("clean", "ablated", "path"))
    }
    decoys = [unit for unit in found.units.tolist() if unit > 2]
    # At the clean run, where both reasons hold, the slope is that of OR at (1, 1): zero.
    assert all(sum(size["clean"][decoy] > size["clean"][reason] for decoy in decoys) >= 8 for reason in (0, 1))
    ablated, restored = patching.units(runs, "saturate", [0, 1], Task())
    assert ablated.abs().max() < 0.05, "nor does ablating either alone change anything"
    assert restored.abs().min() > 0.9, "either alone restores it"
    assert set(found.nodes[:2]) == {"saturate:0", "saturate:1"}


def test_the_squared_error_tells_what_the_mean_hides() -> None:
    model, images = planted("cancellation_net")
    only_red = Circuit(units=("saturate:1", "head:1"), edges=(Edge("saturate:1", "head:1"),))
    figures = measure(model, images, only_red, limit=0).figures
    assert figures["faithfulness"] == pytest.approx(1, abs=0.01) and figures["explained"] == pytest.approx(
        0.8, abs=0.01
    )
    model, images = planted("diamond_net")
    edges = truth(model, "head:0").edges - {("saturate:1", "relu:0")}
    units = ("saturate:0", "saturate:2", "relu:0", "relu:1", "head:0")
    wrong = Circuit(units=units, edges=tuple(Edge(*ends) for ends in sorted(edges)))
    result = CircuitMeasures(circuit=wrong.to_json(), limit=0).run(model, images)
    # Half of the images is off by a half to either side; with everything ablated the squares come to 4 times as much.
    assert result.summary["explained"] == pytest.approx(0.75, abs=0.01)
    assert result.summary["explained"] < result.summary["faithfulness"]
    error = result.arrays["circuit"] - result.arrays["full"]
    assert abs(error.mean()) < 0.01 < np.abs(error).mean()


# --- exactness -------------------------------------------------------------------------------------------------------------------


def test_keeping_all_is_one_and_keeping_nothing_zero_exactly(branches: tuple[Branches, TracedModel, str]) -> None:
    _, model, mix = branches
    layers = ("act", mix)
    runs, scale = made(model, noise(), "head:1", layers)
    nodes = [f"{layer}:{unit}" for layer in layers for unit in range(model.layer(layer).units)]
    every = Wiring("head:1", frozenset(runs.paths.possible(nodes)))
    whole, nothing = runs.evaluate([every, Wiring("head:1", frozenset())]).numpy()
    assert scale.faithfulness(whole) == scale.explained(whole) == scale.score(whole) == 1
    assert scale.faithfulness(nothing) == scale.explained(nothing) == scale.score(nothing) == 0
    families = [f"act:{','.join(map(str, range(6)))}", f"{mix}:{','.join(map(str, range(9)))}"]
    everyone = Circuit(units=(*families, "head:1"))
    assert measure(model, noise(), everyone).figures["faithfulness"] == 1, (
        "families as nodes, and no edges are all edges"
    )


def test_an_identity_edit_changes_no_bit_within_a_batch(branches: tuple[Branches, TracedModel, str]) -> None:
    _, model, mix = branches
    runs, _ = made(model, noise(), "head:1", ("act", mix))
    rows = runs.edited(
        [{}, runs.replacing([("act:1", CLEAN), (f"{mix}:3,5", CLEAN)]), runs.replacing([("act:2,4", CLEAN)])]
    )
    assert torch.equal(rows[0], rows[1]) and torch.equal(rows[0], rows[2])
    assert runs.numbers([Reading(f"{mix}:2", True, frozenset({("act:1", CLEAN)}))]) == [CLEAN]


def test_a_circuit_is_what_one_computes_by_hand(branches: tuple[Branches, TracedModel, str]) -> None:
    """Unit 7 of the branches reads units 1 and 2, unit 0 reads unit 2; the output reads both, and unit 4 past them."""
    module, model, mix = branches
    runs, _ = made(model, noise(), "head:1", ("act", mix))
    wiring = Wiring(
        "head:1",
        frozenset(
            {
                ("act:1", f"{mix}:7"),
                ("act:2", f"{mix}:7"),
                ("act:2", f"{mix}:0"),
                (f"{mix}:7", "head:1"),
                (f"{mix}:0", "head:1"),
                ("act:4", "head:1"),
            }
        ),
    )
    with torch.no_grad():
        a = module.act(module.conv(runs.inputs[0]))
        m = module.mixed(a)
        a0, m0 = (value.mean((0, 2, 3), keepdim=True).expand_as(value) for value in (a, m))

        def kept(clean: Tensor, ablated: Tensor, values: Mapping[int, Tensor]) -> Tensor:
            result = ablated.clone()
            for unit, value in values.items():
                result[:, unit] = value
            return result

        def of(*units: int) -> Tensor:
            return kept(a, a0, {unit: a[:, unit] for unit in units})

        read = kept(m, m0, {7: module.mixed(of(1, 2))[:, 7], 0: module.mixed(of(2))[:, 0]})
        out = module.out(module.norm(module.last(read)) + module.skip(of(4)))
        expected = module.head(out.mean((2, 3)))[:, 1]
        (value,) = runs.evaluate([wiring])
        assert torch.allclose(value, expected.double(), atol=1e-5)
        # The same edge ablated alone: all that is no candidate goes on with what changes.
        without = a.clone()
        without[:, 1] = a0[:, 1]
        changed = m.clone()
        changed[:, 7] = module.mixed(without)[:, 7]
        expected = module.head(module.out(module.norm(module.last(changed)) + module.skip(a)).mean((2, 3)))[:, 1]
        ablated, _ = patching.edges(runs, [("act:1", f"{mix}:7")], Task())
        assert torch.allclose(runs.full + ablated[0], expected.double(), atol=1e-5)
        # Both taken out of the whole network.
        m_without = module.mixed(without)
        m_without[:, 7] = m0[:, 7]
        expected = module.head(module.out(module.norm(module.last(m_without)) + module.skip(without)).mean((2, 3)))[
            :, 1
        ]
        rest = (
            1
            - circuits.completeness(
                runs,
                Scale(runs.full.numpy(), runs.empty.numpy()),
                Wiring("head:1", frozenset({("act:1", f"{mix}:7"), (f"{mix}:7", "head:1")})),
            )["completeness"]
        )
        assert rest == pytest.approx(
            float(Scale(runs.full.numpy(), runs.empty.numpy()).faithfulness(expected.double().numpy())), abs=1e-4
        )


def test_a_cut_for_some_units_gives_theirs(branches: tuple[Branches, TracedModel, str]) -> None:
    _, model, mix = branches
    values = model.activations(torch.rand(4, 3, 8, 8), ["input", "act", mix, "out", "norm", "head"])
    for source, target, units in (
        ("act", mix, [7, 0, 3, 5]),
        ("act", mix, [2]),
        ("input", "out", [6, 1]),
        ("act", "out", [0, 6]),
        (mix, "norm", [4]),
        ("act", "head", [2, 0]),
    ):
        beside = model.graph.frontier([source], [target])
        (found,) = narrowed(model.graph, [source, *beside], target, units)(
            values[source], *(model.activations(values["input"], beside)[name] for name in beside)
        )
        assert torch.allclose(found, values[target][:, units], atol=1e-6)
    with pytest.raises(InputError, match="add its frontier"):
        narrowed(model.graph, [mix], "out", [1])


def test_where_a_target_is_read(branches: tuple[Branches, TracedModel, str]) -> None:
    _, model, mix = branches
    x = Pictures(model, noise(), np.arange(12), Task()).x
    pre = model.activations(x, ["right.1"])["right.1"][:, 3].flatten(1).double()
    expected = {"strongest": pre.max(1).values, "centre": pre[:, 4 * 8 + 4], "mean": pre.mean(1)}
    for at, value in expected.items():
        runs, _ = made(model, noise(), f"{mix}:7", ("act",), at)  # type: ignore[arg-type]
        assert torch.allclose(runs.full, value, atol=1e-5)


def test_the_centre_of_a_transformer_is_its_middle_patch() -> None:
    model = load("bundled:vit")
    middle = 1 + 4 * 8 + 4  # behind the class token, of 8 x 8 patches
    shown = noise(4, model.preprocessing.size[0])
    value = model.activations(Pictures(model, shown, np.arange(4), Task()).x, ["blocks.1"])["blocks.1"]
    assert value.shape[1] == 65
    runs, _ = made(model, shown, "blocks.1:5", ("blocks.0",), "centre")
    assert torch.allclose(runs.full, value[:, middle, 5].double(), atol=1e-5)


# --- the form of a circuit -------------------------------------------------------------------------------------------------------


def test_what_has_lost_its_inputs_leaves_instead_of_being_given_for_nothing() -> None:
    wiring = Wiring("t", frozenset({("a", "b"), ("b", "t"), ("c", "t"), ("a", "d")}))
    assert wiring.useful().edges == {("a", "b"), ("b", "t"), ("c", "t")}, "nobody reads d"
    assert wiring.useful().without([("a", "b")]).edges == {("c", "t")}
    assert wiring.without_nodes(["c", "a"]).edges == frozenset()
    assert wiring.without([("b", "t")]).parents == {"t": {"c"}}


def test_a_family_is_one_node(branches: tuple[Branches, TracedModel, str]) -> None:
    _, model, mix = branches
    family = Circuit(
        units=("act:1,2", f"{mix}:0,7", "head:0"), edges=(Edge("act:1,2", f"{mix}:0,7"), Edge(f"{mix}:0,7", "head:0"))
    )
    alone = [Edge(f"act:{a}", f"{mix}:{m}") for a in (1, 2) for m in (0, 7)] + [
        Edge(f"{mix}:{m}", "head:0") for m in (0, 7)
    ]
    single = Circuit().with_edges(alone)
    found = [measure(model, noise(), circuit, target="head:0").figures for circuit in (family, single)]
    assert found[0]["faithfulness"] == pytest.approx(found[1]["faithfulness"], abs=1e-6)
    assert found[0]["completeness"] == pytest.approx(found[1]["completeness"], abs=1e-6)
    with pytest.raises(InputError, match=r"act:1 is in act:1,2 and in act:1; leave it in one"):
        measure(model, noise(), family.with_units(["act:1"]), target="head:0")


def test_random_circuits_have_the_form_and_none_of_the_units(branches: tuple[Branches, TracedModel, str]) -> None:
    _, model, mix = branches
    paths = Paths(model, Target.of(model, "head:0", "mean"), ("act", mix))
    wiring = Wiring("head:0", frozenset({("act:1,2", f"{mix}:3"), ("act:5", f"{mix}:3"), (f"{mix}:3", "head:0")}))
    drawn = circuits.random_circuits(paths, wiring, 20, 0)
    assert len(drawn) == 20 and len(set(drawn)) > 10
    for each in drawn:
        assert len(each.edges) == 3 and f"{mix}:3" not in each.nodes
        units = [unit for node in each.nodes if paths.node(node)[0] == "act" for unit in paths.node(node)[1]]
        assert len(units) == len(set(units)) == 3 and set(units) == {0, 3, 4}


def test_random_circuits_are_of_what_was_patched_where_that_is_enough(
    branches: tuple[Branches, TracedModel, str],
) -> None:
    _, model, mix = branches
    paths = Paths(model, Target.of(model, "head:0", "mean"), ("act", mix))
    wiring = Wiring("head:0", frozenset({("act:1", f"{mix}:3"), ("act:5", f"{mix}:3"), (f"{mix}:3", "head:0")}))
    tried = {mix: [0, 6], "act": [0, 2, 3]}
    pools = circuits.pools(paths, wiring, tried)
    assert {layer: name for layer, (name, _) in pools.items()} == {
        mix: "patched, not kept",
        "act": "outside the circuit",
    }
    drawn = circuits.random_circuits(paths, wiring, 20, 0, tried)
    assert {node for each in drawn for node in each.nodes if node.startswith(mix)} == {f"{mix}:0", f"{mix}:6"}
    assert {node for each in drawn for node in each.nodes if node.startswith("act")} == {f"act:{u}" for u in (0, 2, 3, 4)}


def test_a_circuit_is_not_measured_on_what_it_was_chosen_on(branches: tuple[Branches, TracedModel, str]) -> None:
    _, model, mix = branches
    images = noise()
    found = circuit_of(Trace(target=f"{mix}:7", candidates=3, limit=8).run(model, images))
    of = images.columns["concept"]
    known = {of[place] for place in found.chosen_on}
    held = [place for place in range(12) if of[place] not in known]
    assert known and held and found.figures["null_draws"] == 20
    edited = found.without_edges([found.edges[0].ends]) if len(found.edges) > 1 else found.with_units(["act:5"])
    assert edited.chosen_on == found.chosen_on and set(edited.figures) == {"chosen_on", "chosen_from"}
    result = CircuitMeasures(circuit=edited.to_json(), target=f"{mix}:7", limit=0).run(model, images)
    assert result.arrays["image"].tolist() == held and result.summary["not_held_out"] == 12 - len(held)
    assert circuit_of(result).chosen_on == found.chosen_on
    all_known = replace(found, figures={"chosen_on": list(range(12))})
    with pytest.raises(InputError, match="chosen on images of all concepts"):
        measure(model, images, all_known)
    elsewhere = replace(all_known, images="another set")
    assert CircuitMeasures(circuit=elsewhere.to_json(), limit=0).run(model, images).summary["images"] == 12


def test_the_images_it_was_chosen_on_stay_those_of_their_set(
    branches: tuple[Branches, TracedModel, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, model, mix = branches
    for folder, seed in (("one", 0), ("two", 1)):
        (tmp_path / folder).mkdir()
        for place, pixels in enumerate(np.random.default_rng(seed).integers(0, 255, (12, 8, 8, 3), dtype=np.uint8)):
            Image.fromarray(pixels).save(tmp_path / folder / f"{place:02}.png")
    monkeypatch.chdir(tmp_path)
    sets = {ref: load_images(ref) for ref in ("folder:one", f"folder:{tmp_path / 'one'}", "folder:two")}

    def measured(circuit: Circuit, ref: str) -> tuple[Circuit, list[int]]:
        result = CircuitMeasures(circuit=circuit.to_json(), target=f"{mix}:7", limit=0).run(model, sets[ref])
        assert result.summary["not_held_out"] == 12 - len(result.arrays["image"])
        return circuit_of(result), result.arrays["image"].tolist()

    found = circuit_of(Trace(target=f"{mix}:7", candidates=3, limit=8).run(model, sets["folder:one"]))
    held = [place for place in range(12) if place not in found.chosen_on]
    assert found.chosen_on and held
    assert measured(found, f"folder:{tmp_path / 'one'}")[1] == held, "the same images by another name, fresh from the trace"
    elsewhere, every = measured(found, "folder:two")
    assert every == list(range(12)) and elsewhere.images == "folder:two" and elsewhere.chosen_from[0] == "folder:one"
    again, left = measured(elsewhere.with_units(["act:5"]).without_units(["act:5"]), "folder:one")
    assert left == held, "back on its own set after it was measured on another and edited"
    assert measured(again, f"folder:{tmp_path / 'one'}")[1] == held, "the same images by another name"
    assert measured(again, "folder:two")[1] == list(range(12))


def test_a_target_that_is_no_number_is_refused(branches: tuple[Branches, TracedModel, str]) -> None:
    module = Branches().eval()
    with torch.no_grad():
        module.right[0].bias[3] = float("nan")
    model = TracedModel.from_module(module, torch.rand(2, 3, 8, 8))
    with pytest.raises(InputError, match=r"cat:7 is not a finite number on 6 of 6 images"):
        Trace(target=f"{branches[2]}:7", layers=("act",)).run(model, noise())


def test_branches_side_by_side_do_not_feed_each_other(branches: tuple[Branches, TracedModel, str]) -> None:
    _, model, mix = branches
    left, right = ([name for name in model.layers if name.startswith(side)][-1] for side in ("left", "right"))
    assert feeds(model, "act", (f"{left}:0",)) and feeds(model, "act", (f"{mix}:7",)) and feeds(model, mix, ("head:0",))
    assert not feeds(model, left, (f"{right}:0",)) and not feeds(model, left, (f"{mix}:0", f"{mix}:1"))


# --- what goes with it -----------------------------------------------------------------------------------------------------------


def test_halves_share_no_concept_and_partners_are_of_another() -> None:
    images = noise(20)
    first, second = halves(images, np.arange(20), 3)
    concepts = [{images.columns["concept"][place] for place in half} for half in (first, second)]
    assert not concepts[0] & concepts[1] and len(first) == len(second) == 10
    model = load("bundled:planted/and_or_net")
    pictures = Pictures(model, images, first, Task())
    partner = pictures.partners([0])
    assert sorted(partner) == list(range(10)) and all(
        pictures.concepts[i] != pictures.concepts[j] for i, j in enumerate(partner)
    )


def test_a_trace_is_the_same_each_time_and_draws_and_is_measured_again(
    tmp_path: Path, branches: tuple[Branches, TracedModel, str]
) -> None:
    _, model, mix = branches
    trace = Trace(target=f"{mix}:7", candidates=3, limit=0)
    first, again = trace.run(model, noise()), trace.run(model, noise())
    assert first.summary == again.summary and first.summary["layers"] == ["act"]
    assert all(np.array_equal(first.arrays[name], again.arrays[name], equal_nan=True) for name in first.arrays)
    assert first.arrays["curve_edges"][-1] == 0 and first.arrays["curve_faithfulness"][-1] == 0
    folder = first.save(tmp_path)
    assert {path.stem for path in (folder / "figures").iterdir()} == {"size", "scores", "circuit"}
    document = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    circuit = Circuit.from_json(json.dumps(document["summary"]["circuit"]))
    assert circuit == circuit_of(first) and circuit.edges[0].effect != 0
    measured = CircuitMeasures(circuit=circuit.to_json(), null_draws=20, limit=0)
    results = [measured.run(model, noise()) for _ in range(2)]
    assert results[0].summary == results[1].summary and set(results[0].figures()) == {"circuit", "scores"}
    assert (
        len(results[0].arrays["edge_faithfulness"]) == len(circuit.edges)
        and len(results[0].arrays["null_explained"]) == 20
    )


def test_the_command_line_writes_the_circuit(tmp_path: Path) -> None:
    images = "stimuli:lines?orientation=0,90&ink_hue=29,264&ink_lightness=0.5&ink_chroma=0.1&width=0.06,0.12" + PLACES
    command = [
        "run",
        "Trace",
        "--model",
        "bundled:planted/and_or_net",
        "--images",
        images,
        "--out",
        str(tmp_path / "out"),
    ]
    settings = ["target=class:OR", "threshold=0.95", "limit=64"]
    assert main.main([*command, *(part for setting in settings for part in ("--set", setting))]) == 0
    document = json.loads((tmp_path / "out" / "result.json").read_text(encoding="utf-8"))
    assert len(Circuit.from_json(json.dumps(document["summary"]["circuit"])).edges) == 6


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"target": "head:9"}, "head has units 0 to 2, not 9"),
        ({"target": "class:d"}, "knows no class 'd'"),
        ({"target": "head"}, "is not the address of a unit"),
        ({"target": "act:1", "layers": ("out",)}, "out does not feed act:1"),
        ({"target": "conv:1"}, "no layer of non-linearities comes before"),
    ],
)
def test_what_cannot_be_traced_is_refused_in_one_line(
    branches: tuple[Branches, TracedModel, str], parameters: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message) as raised:
        Trace(**parameters).run(branches[1], noise())
    assert "\n" not in str(raised.value)


def test_a_dead_target_is_refused(branches: tuple[Branches, TracedModel, str]) -> None:
    module = Branches().eval()
    with torch.no_grad():
        module.right[0].weight[3] = 0
        module.left[1].bias[1] = -1e3
    model = TracedModel.from_module(module, torch.rand(2, 3, 8, 8))
    with pytest.raises(InputError, match=r"cat:7 is the same with all of act ablated; there is nothing to explain"):
        Trace(target=f"{branches[2]}:7", layers=("act",)).run(model, noise())
    with pytest.raises(InputError, match="is not active on any of 6 images"):
        Trace(target=f"{branches[2]}:1", layers=("act",)).run(model, noise())


def test_circuits_that_cannot_be_measured_are_refused(branches: tuple[Branches, TracedModel, str]) -> None:
    _, model, _ = branches
    edge = Edge("act:1", "head:0")
    for circuit, more, message in (
        (Circuit(units=("head:0",)), {}, "no unit beside its target"),
        (Circuit().with_edges([edge, Edge("act:1", "head:1")]), {}, "head:0, head:1 could be it"),
        (Circuit().with_edges([edge]), {"target": "head:2"}, "head:2 is not in the circuit"),
        (Circuit().with_edges([edge, Edge("act:2", "act:1")]), {}, "act:1 reads nothing of act:2"),
        (Circuit().with_edges([Edge("act:77", "head:0")]), {}, "act has units 0 to 5, not 77"),
        (Circuit().with_edges([edge]), {"ablation": "resample", "limit": 1}, "too many are of"),
    ):
        with pytest.raises(InputError, match=message):
            measure(model, noise(), circuit, **more)


def test_cancelling_stops_it(branches: tuple[Branches, TracedModel, str]) -> None:
    class Impatient(Task):
        def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
            if note.startswith("pruning"):
                raise Cancelled

    with pytest.raises(Cancelled):
        Trace(target="head:0", layers=("act",)).run(branches[1], noise(), Impatient())
