"""Patching some parts of a layer: the best of an estimate on other pairs, others at random, and figures that are of all parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.workbench.colour_net import Colours
from workbench.analyses.patching import OTHERS, ActivationPatching, analysis
from workbench.analyses.patching.choice import choose_parts, set_apart
from workbench.analyses.patching.findings import concentration, findings
from workbench.analyses.patching.pairs import Pairs, draw_pairs
from workbench.images.array_set import ArraySet
from workbench.input_error import InputError
from workbench.models.patching import Patch
from workbench.models.preprocessing import Preprocessing
from workbench.models.traced_model import TracedModel
from workbench.patching_table import columns_of

SIDE = 12
RELU = "parts.relu"
NAMES = ("red", "green", "blue")


@pytest.fixture(scope="module")
def model() -> TracedModel:
    return TracedModel.from_module(
        Colours().eval(), torch.randn(2, 3, SIDE, SIDE), preprocessing=Preprocessing((SIDE, SIDE)), labels=NAMES
    )  # fmt: skip


def colours(number: int, concepts: int) -> ArraySet:
    """Return images of a colour each, some images of each concept, which are of all colours."""
    random = np.random.default_rng(0)
    shows = random.integers(0, 3, number)
    pixels = random.integers(20, 60, (number, SIDE, SIDE, 3)).astype(np.uint8)
    pixels[np.arange(number), :6, :6, shows] += 120
    made = ArraySet(pixels)
    made.columns = {"colour": [NAMES[one] for one in shows], "concept": [f"{at % concepts}" for at in range(number)]}
    return made


@pytest.fixture(scope="module")
def shown() -> ArraySet:
    return colours(300, 300)


def test_the_units_that_matter_are_found_on_other_pairs_and_patched_as_where_all_are(model: TracedModel, shown: ArraySet) -> None:
    """Three of twelve units are heard; with 8 patched, 4 for their estimate, these three are among them."""
    some = ActivationPatching(layers=(RELU,), part="unit", pairs=32, most=8, top=2).run(model, shown)
    left, _ = set_apart(shown, (np.arange(len(shown)), shown.columns["colour"]), 0)
    same = ArraySet(np.stack([shown.image(at, (SIDE, SIDE)) for at in left.tolist()]))  # the same pairs are drawn from it
    same.columns = {name: [values[at] for at in left.tolist()] for name, values in shown.columns.items()}
    whole = ActivationPatching(layers=(RELU,), part="unit", pairs=32, top=2).run(model, same)
    names = some.summary["names"]
    assert len(names) == 8 and {f"{RELU}:{unit}" for unit in range(3)} < set(names) and some.summary["of_layer"] == [12]
    stands_for = dict(zip(names, some.arrays["stands_for"].tolist(), strict=True))
    assert sorted(stands_for.values()) == [1] * 4 + [2] * 4 and all(stands_for[f"{RELU}:{unit}"] == 1 for unit in range(3))
    at = [whole.summary["names"].index(name) for name in names]
    assert some.arrays["denoise"] == pytest.approx(whole.arrays["denoise"][at], abs=1e-5)
    (row,), (of_all,) = some.summary["findings"], whole.summary["findings"]
    assert (row["parts"], row["of"]) == (8, 12) and (of_all["parts"], of_all["of"]) == (12, 12)
    assert row["concentration"] == pytest.approx(of_all["concentration"], abs=1e-6) and row["even"] == of_all["even"]
    assert whole.arrays["stands_for"].tolist() == [1] * 12
    assert columns_of(some)["stands_for"] == some.arrays["stands_for"].tolist() and "stands_for" not in columns_of(whole)
    assert len(ActivationPatching(layers=(RELU,), part="unit", pairs=32, most=12).run(model, shown).summary["names"]) == 12


@pytest.mark.parametrize(("number", "concepts"), [(150, 150), (200, 20), (1000, 100)])
def test_pairs_that_parts_are_chosen_by_have_no_concept_of_those_that_are_patched(
    model: TracedModel, number: int, concepts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there are fewer images than for all pairs that are asked for, there are fewer pairs of either kind."""
    drawn = []

    def keep(*given: Any) -> Pairs:
        drawn.append(draw_pairs(*given))
        return drawn[-1]

    monkeypatch.setattr(analysis, "draw_pairs", keep)
    images = colours(number, concepts)
    result = ActivationPatching(layers=(RELU,), part="unit", pairs=200, most=4).run(model, images)
    others, pairs = drawn
    seen, chosen_by = ({images.concepts[at] for at in (*each.indices.tolist(), *each.partners.tolist())} for each in (pairs, others))
    assert not seen & chosen_by and len(chosen_by) <= concepts // 4
    assert len(pairs) == min(200, number - number // 4) and 8 <= len(others) <= OTHERS
    assert result.summary["chosen_by"] == len(others) and result.summary["pairs"] <= len(pairs)


def test_where_no_other_pairs_are_it_says_so(model: TracedModel, shown: ArraySet, tmp_path) -> None:
    with pytest.raises(InputError, match=r"a quarter of the 3 concepts of .* has 0 images, .*patch all parts"):
        ActivationPatching(layers=(RELU,), part="unit", most=4).run(model, colours(300, 3))
    files = {}
    for name, colour in (("clean_file", 0), ("corrupt_file", 2)):
        files[name] = str(tmp_path / f"{name}.png")
        pixels = np.full((SIDE, SIDE, 3), 30, np.uint8)
        pixels[..., colour] = 220
        Image.fromarray(pixels).save(files[name])
    with pytest.raises(InputError, match="there is one only; patch all parts"):
        ActivationPatching(layers=(RELU,), part="unit", most=4, **files).run(model, shown)


def test_small_effects_are_not_squeezed_into_the_edge_of_their_figure(model: TracedModel, shown: ArraySet) -> None:
    result = ActivationPatching(layers=(RELU,), part="unit", pairs=16).run(model, shown)
    for row in result.summary["patches"]:
        row |= {name: value / 20 for name, value in row.items() if isinstance(value, float)}
    assert ActivationPatching.draw(result)["effects"].axes[0].get_xlim()[1] < 0.1


def test_figures_of_some_parts_say_how_sure_they_are() -> None:
    """Of 400 parts 20 are chosen and 20 of the rest drawn: nine of ten intervals have the figure that all parts give."""
    random = np.random.default_rng(3)
    there, wide = [], []
    for seed in range(40):
        effect = np.sort(random.standard_gamma(0.5, 400))[::-1, None] + random.normal(0, 0.5, (400, 40))
        arrays = {"denoise": effect, "noise": -effect, "denoise_estimate": effect, "noise_estimate": -effect, "unaligned": effect}
        shared = {"whole": np.ones(40), "half": np.arange(40) < 20}
        rows = np.concatenate([np.arange(20), random.choice(np.arange(20, 400), 20, replace=False)])
        number = np.where(rows < 20, 1.0, 19.0)
        figures = []
        for chosen, stands_for in ((np.arange(400), np.ones(400)), (rows, number)):
            given = {name: values[chosen] for name, values in arrays.items()}
            given |= {"layer": np.zeros(len(chosen), int), "stands_for": stands_for}
            figures += findings(given | shared, 1, np.arange(40), seed)["findings"]
        whole, some = figures
        assert not whole["sure"] and "reliability_twin" not in some["sure"]
        low, high = some["sure"]["reliability"]
        there.append(low <= whole["reliability"] <= high)
        wide.append(high - low)
    assert np.mean(there) > 0.85 and 0.1 < np.mean(wide) < 0.8


def test_where_no_pair_differs_there_is_nothing_to_choose_by() -> None:
    parts = [Patch(f"a:{unit}", "a", np.array([unit])) for unit in range(9)]
    with pytest.raises(InputError, match=r"none of the 3 pairs .* differs"):
        choose_parts([parts], np.zeros((9, 3)), np.zeros(3), 4, 0)


def test_half_are_the_best_and_half_stand_for_the_rest() -> None:
    parts = [Patch(f"a:{unit}", "a", np.array([unit])) for unit in range(20)]
    whole = np.array([1.0, -1.0, 1.0])
    estimates = np.linspace(0, 1, 20)[:, None] * whole  # of every pair alike, once its sign is turned
    drawn = set()
    for seed in range(30):
        (choice, all_of) = choose_parts([parts, parts[:3]], np.concatenate([estimates, estimates[:3]]), whole, 7, seed)
        assert all_of.parts == parts[:3] and all_of.stands_for.tolist() == [1, 1, 1]
        places = [int(part.units[0]) for part in choice.parts]
        best = [place for place, number in zip(places, choice.stands_for, strict=True) if number == 1]
        assert places == sorted(places) and best == [17, 18, 19] and choice.stands_for.sum() == pytest.approx(20)
        drawn |= set(places) - set(best)
    assert drawn == set(range(17)), "each of the rest has a chance"


def test_a_part_of_a_part_is_among_the_largest_tenth() -> None:
    """40 parts, of which four are the largest tenth: one that stands for one, and three of those ten that the next stands for."""
    scores, number = np.array([0.1, -2.0, 1.0]), np.array([29.0, 1.0, 10.0])
    assert concentration(scores, number) == pytest.approx((2 + 3) / (2 + 10 + 2.9))
    assert concentration(np.repeat(scores, number.astype(int)), np.ones(40)) == pytest.approx(5 / 14.9)
