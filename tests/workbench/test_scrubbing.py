"""Causal scrubbing on planted logic: true hypotheses keep everything, false ones what can be computed by hand, and a mean hides nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import workbench
from workbench.images.image_set import load_images
from workbench.input_error import InputError
from workbench.models.traced_model import TracedModel
from workbench.scrubbing import Claim, Scrubber, check, occupancy, of_random_units, without_hypothesis

EXAMPLES = 4000
EVERYTHING = np.zeros(8, np.int64)


class Case:
    """A planted network on its eight images, and which of them lie, are red, are thick."""

    def __init__(self, name: str) -> None:
        self.model: TracedModel = workbench.load(f"bundled:planted/{name}")
        assert self.model.circuit is not None
        shown = load_images(self.model.circuit.images)
        self.inputs = self.model.preprocess(np.stack([shown.image(index, self.model.preprocessing.size) for index in range(8)]))
        saturate = self.model.activations(self.inputs, ["saturate"])["saturate"].round().long().numpy()
        self.lying, self.red, self.thick = saturate[:, :3].T
        self.facts = self.model.circuit.facts

    def scrubber(self, seed: int = 0) -> Scrubber:
        return Scrubber(self.model, self.inputs, seed, batch=1000)


@pytest.fixture(scope="module")
def logic() -> Case:
    return Case("and_or_net")


@pytest.fixture(scope="module")
def diamond() -> Case:
    return Case("diamond_net")


def of_properties(case: Case, output: str, *names: str) -> Claim:
    features = {"lying": (0, case.lying), "red": (1, case.red), "thick": (2, case.thick)}
    children = tuple(Claim(name, f"saturate:{features[name][0]}", features[name][1]) for name in names)
    return Claim("root", f"head:{case.model.labels.index(output)}", EVERYTHING, children)


@pytest.mark.parametrize("output", ["AND", "OR", "XOR"])
def test_a_true_hypothesis_keeps_all_and_one_without_a_variable_what_it_must(logic: Case, output: str) -> None:
    true = logic.scrubber().run(of_properties(logic, output, "lying", "red"), EXAMPLES)
    assert true.recovered >= 0.98
    missing = logic.scrubber().run(of_properties(logic, output, "lying"), EXAMPLES)
    error = missing.loss_scrubbed.std() / EXAMPLES**0.5 / missing.loss_random.mean()
    assert missing.recovered <= logic.facts["recovered_by_scrubbing_with_one_property"][output] + 4 * error
    assert missing.recovered < 0.5


def test_identity_keeps_everything_and_no_hypothesis_nothing(logic: Case) -> None:
    own = np.arange(8)
    identity = Claim("root", "head:2", EVERYTHING, (Claim("all", "saturate:0,1,2", own),))
    assert logic.scrubber().run(identity, 500).recovered == 1
    nothing = logic.scrubber().run(without_hypothesis(of_properties(logic, "XOR", "lying", "red")), EXAMPLES)
    assert nothing.recovered == pytest.approx(0, abs=0.1)
    assert occupancy(own).itself == 1 and occupancy(logic.lying).itself == 0.25 and occupancy(logic.lying).least == 4


def claimed(case: Case) -> Claim:
    """The planted wrong hypothesis: the first gate computes lying alone."""
    first = Claim("first", "relu:0", case.lying, (Claim("lying 1", "saturate:0", case.lying), Claim("red", "saturate:1", case.red)))
    both = case.lying * 2 + case.thick
    second = Claim("second", "relu:1", both, (Claim("lying 2", "saturate:0", case.lying), Claim("thick", "saturate:2", case.thick)))
    return Claim("root", "head:0", EVERYTHING, (first, second))


def test_agreeing_with_the_parent_sees_what_agreeing_with_the_root_does_not(diamond: Case) -> None:
    by_parent = diamond.scrubber().run(claimed(diamond), EXAMPLES)
    by_root = diamond.scrubber().run(claimed(diamond), EXAMPLES, agreement="root")
    assert by_parent.recovered == pytest.approx(diamond.facts["recovered_agreeing_with_parent"], abs=0.04)
    assert by_root.recovered == pytest.approx(diamond.facts["recovered_agreeing_with_root"], abs=1e-6)
    drawn = by_parent.sampled
    assert (diamond.lying[drawn["first"]] == diamond.lying[by_parent.data]).all()
    assert (diamond.red[drawn["red"]] == diamond.red[drawn["first"]]).all(), "with the gate's datum"
    assert (diamond.red[drawn["red"]] != diamond.red[by_parent.data]).any(), "not with the root's"


def test_nodes_scrubbed_one_after_the_other_name_the_claim_that_costs(diamond: Case) -> None:
    names = ["first", "lying 1", "red", "second", "lying 2", "thick"]
    scrubber = diamond.scrubber()
    kept = {name: scrubber.run(claimed(diamond), 2000, scrubbed=names[: place + 1]).recovered for place, name in enumerate(names)}
    assert kept["lying 1"] == pytest.approx(kept["first"], abs=0.06)
    assert kept["thick"] == pytest.approx(0.75, abs=0.06)


def test_a_kept_mean_hides_no_moved_outputs() -> None:
    case = Case("cancellation_net")
    red = torch.from_numpy(case.red)

    def loss(value: torch.Tensor, data: np.ndarray) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(value.reshape(len(value), -1), red[data], reduction="none")

    root = Claim("root", "head:0,1", EVERYTHING, (Claim("red", "saturate:1", case.red),))
    found = case.scrubber().run(root, EXAMPLES, loss)
    assert found.recovered == pytest.approx(case.facts["recovered_loss"], abs=0.05)
    share = found.distance.mean() / found.distance_random.mean()
    assert share == pytest.approx(case.facts["squared_distance_of_random"], abs=0.03)
    assert found.recovered_distance == pytest.approx(1 - share)


def test_a_datum_is_drawn_evenly_among_those_that_agree(logic: Case) -> None:
    """Labels of one, two and five data: each datum of a label is drawn equally often, whichever datum is asked for."""
    label = np.array([7, 3, 3, 0, 0, 0, 0, 0])
    root = Claim("root", "head:2", EVERYTHING, (Claim("a", "saturate:0", label),))
    found = logic.scrubber().run(root, 16_000)
    drawn = found.sampled["a"]
    assert (label[drawn] == label[found.data]).all()
    for datum in range(8):
        count = np.bincount(drawn[found.data == datum], minlength=8)
        share, alike = count / count.sum(), label == label[datum]
        assert share[alike] == pytest.approx(1 / alike.sum(), abs=4 * 0.5 / count.sum() ** 0.5)
        assert alike[count > 0].all() and (count[alike] > 0).all()


def test_other_units_of_the_same_layers_carry_less(logic: Case) -> None:
    root = Claim("root", "head:2", EVERYTHING, (Claim("red", "saturate:1", logic.red), Claim("lying", "saturate:0", logic.lying)))
    others = of_random_units(logic.model, root, 3)
    assert {child.units for child in others.children} != {child.units for child in root.children}
    assert len({child.units for child in others.children}) == 2
    assert logic.scrubber().run(others, EXAMPLES).recovered < 0.5


def test_what_cannot_be_tested_is_refused_at_its_node(logic: Case) -> None:
    lying = logic.lying
    for child, why in (
        (Claim("a", "nowhere:0", lying), "a, units: .*nowhere"),
        (Claim("a", "saturate:9", lying), "a, units: saturate has units 0 to 2"),
        (Claim("a", "saturate:0", lying[:5]), "a, feature: it has 5 labels, the data are 8"),
        (Claim("root", "saturate:0", lying), "root, name: two nodes"),
        (Claim("a", "relu:0", lying, (Claim("b", "head:0", lying),)), "b, units: head:0 stands above it already, as root"),
        (Claim("a", "relu:0", lying, (Claim("b", "saturate:0", lying), Claim("c", "saturate:0", lying))), r"c, units: .*claimed"),
    ):
        with pytest.raises(InputError, match=why):
            check(logic.model, Claim("root", "head:0", EVERYTHING, (child,)), 8)


def test_where_a_layer_has_few_others_the_null_takes_them_all(logic: Case) -> None:
    root = Claim("root", "head:2", EVERYTHING, (Claim("two", "saturate:0,1", logic.red),))
    drawn = {of_random_units(logic.model, root, seed).children[0].units for seed in range(8)}
    assert drawn == {"saturate:0,2", "saturate:1,2"}


def test_siblings_that_meet_at_a_cell_get_different_units_in_the_null(curves) -> None:
    model, inputs = curves
    free = np.zeros(len(inputs), np.int64)
    units = [f"gabor_relu:{','.join(map(str, range(start, start + 8)))}" for start in (0, 8)]
    for here in (((0, 0), (0, 1)), ()):
        children = (Claim("left", units[0], free, offsets=here), Claim("right", units[1], free, offsets=((0, -1), (0, 0))))
        root = Claim("root", "curve_relu:2", free, children)
        for seed in range(4):
            drawn = of_random_units(model, root, seed)
            check(model, drawn, len(inputs))
            assert [child.units for child in drawn.children] == units[::-1]
    crowded = Claim("root", "curve_relu:2", free, tuple(
        Claim(name, f"gabor_relu:{','.join(map(str, owned))}", free, offsets=at)
        for name, owned, at in (("a", range(8), ((0, 0),)), ("b", range(8), ((0, 1),)), ("c", range(8, 16), ((0, 0), (0, 1))))
    ))  # fmt: skip
    for seed in range(4):
        check(model, of_random_units(model, crowded, seed), len(inputs))


@pytest.fixture(scope="module")
def curves() -> tuple[TracedModel, torch.Tensor]:
    """The planted curve detectors, on curves of 24 directions at 9 places."""
    model = workbench.load("bundled:planted/curve_net")
    shown = load_images("stimuli:curves?orientations=24&radius=0.277&x=-0.03,0,0.03&y=-0.03,0,0.03")
    images = np.stack([shown.image(index, model.preprocessing.size) for index in range(len(shown))])
    return model, model.preprocess(images)


def test_cells_are_counted_from_where_the_parent_looks(curves) -> None:
    """Two nodes share the cells of a curve detector's 25 × 25 kernel: its value is the sum of what each was computed on, to the digit."""
    model, inputs = curves
    whole = [(down, right) for down in range(-12, 13) for right in range(-12, 13)]
    units, data = f"gabor_relu:{','.join(map(str, range(16)))}", len(inputs)
    free = np.zeros(data, np.int64)
    parts = (tuple(o for o in whole if o[1] < 0), tuple(o for o in whole if o[1] >= 0))
    children = tuple(Claim(name, units, free, offsets=part) for name, part in zip(("left", "right"), parts, strict=True))
    found = Scrubber(model, inputs, batch=64).run(Claim("root", "curve_relu:2", free, children), 100)
    read = model.activations(inputs, ["gabor_relu"])["gabor_relu"]
    weight = dict(model.graph.capture.root.named_parameters())
    kernel = next(value for value in weight.values() if value.shape == (8, 16, 25, 25))[2]
    around = read[:, :, 28 - 12 : 28 + 13, 28 - 12 : 28 + 13]
    left = torch.from_numpy(np.arange(25) < 12)
    summed = sum((kernel * around[found.sampled[name]])[..., side].sum((1, 2, 3)) for name, side in (("left", left), ("right", ~left)))
    assert found.scrubbed.shape == (100, 1, 1)
    torch.testing.assert_close(found.scrubbed[:, 0, 0], summed.clamp(min=0), rtol=1e-4, atol=1e-4)
    own = np.arange(data)
    kept = Scrubber(model, inputs).run(Claim("root", "curve_relu:2", free, tuple(replace(c, feature=own) for c in children)), 100)
    assert kept.recovered == pytest.approx(1, abs=1e-9), "all that the unit reads is claimed, so nothing else matters"


def test_offsets_that_mean_nothing_are_refused(curves) -> None:
    model, inputs = curves
    free = np.zeros(len(inputs), np.int64)
    line = Claim("line", "gabor_relu:0", free, offsets=((0, 3), (1, 3)))
    pixel = Claim("pixel", "input:0", free, offsets=((0, 0),))
    for child, why in (
        (replace(line, offsets=((0, 40),)), "line, offsets: row 28, column 68 is off the map of gabor_relu, which has 57 × 57 cells"),
        (replace(line, children=(replace(pixel, offsets=((0, 0), (0, 99))),)), "pixel, offsets: row 32, column 134 is off"),
        (replace(line, offsets=(), children=(pixel,)), "pixel, offsets: line means whole maps"),
    ):
        with pytest.raises(InputError, match=why):
            check(model, Claim("root", "curve_relu:0", free, (child,)), len(inputs))
    beside = replace(line, name="beside", offsets=((0, 5),))
    check(model, Claim("root", "curve_relu:0", free, (line, beside)), len(inputs))
    with pytest.raises(InputError, match=r"beside, units: gabor_relu:0 is claimed by line already"):
        check(model, Claim("root", "curve_relu:0", free, (line, replace(beside, offsets=((1, 3),)))), len(inputs))


def test_a_unit_that_is_its_own_input_is_refused(logic: Case) -> None:
    again = Claim("again", "relu:0", logic.lying)
    child = Claim("gate", "relu:0", logic.lying, (Claim("lying", "saturate:0", logic.lying, (again,)),))
    with pytest.raises(InputError, match=r"again, units: relu:0 stands above it already, as gate: .*a cycle"):
        check(logic.model, Claim("root", "head:0", EVERYTHING, (child,)), 8)
