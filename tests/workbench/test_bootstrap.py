"""Intervals of means of grouped numbers: they must hold the truth as often as they say."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.bootstrap import ratio_of_means


def grouped(random: np.random.Generator, groups: int = 60, each: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Numbers with a mean of 1 whose groups differ far more than their members."""
    values = 1 + np.repeat(random.normal(0, 1, groups), each) + random.normal(0, 0.2, groups * each)
    return values, np.repeat(np.arange(groups), each)


def test_the_interval_over_groups_holds_the_mean_and_that_over_items_does_not() -> None:
    random = np.random.default_rng(0)
    inside = {"groups": 0, "items": 0}
    for seed in range(200):
        values, groups = grouped(random)
        for name, of in (("groups", groups), ("items", np.arange(len(values)))):
            found = ratio_of_means(values, of, seed)
            inside[name] += found.low <= 1 <= found.high
    assert inside["groups"] >= 180
    assert inside["items"] <= 140


def test_what_is_called_detectable_is_found_four_times_out_of_five() -> None:
    random = np.random.default_rng(1)
    detectable = np.mean([ratio_of_means(*grouped(random), seed).detectable for seed in range(20)])
    found = 0
    for seed in range(200):
        values, groups = grouped(random)
        interval = ratio_of_means(values - 1 + detectable, groups, seed)
        found += interval.low > 0
    assert 140 <= found <= 180


def test_a_ratio_is_that_of_the_means_and_the_seed_decides() -> None:
    random = np.random.default_rng(2)
    above, below, groups = random.uniform(1, 2, 40), random.uniform(1, 9, 40), np.arange(40) // 4
    found = ratio_of_means(above, groups, [3, 1], below)
    assert found.value == pytest.approx(above.mean() / below.mean())
    assert found.low < found.value < found.high and found.groups == 10
    assert found == ratio_of_means(above, groups, [3, 1], below)
    assert found != ratio_of_means(above, groups, [3, 2], below)


def test_too_few_groups_have_no_interval() -> None:
    one = ratio_of_means(np.ones(3), ["cat"] * 3, 0)
    assert one.value == 1 and one.groups == 1 and np.isnan([one.low, one.high, one.detectable]).all()
    none = ratio_of_means(np.zeros(0), [], 0)
    assert none.groups == 0 and np.isnan(none.value)


def test_draws_of_other_seeds_and_sizes_are_others_though_the_last_are_kept() -> None:
    random = np.random.default_rng(2)
    values, groups = grouped(random)
    seeds = [ratio_of_means(values, groups, seed) for seed in ([3, 1], [3, 2], [3, 1])]
    assert seeds[0] == seeds[2] and seeds[0].low != seeds[1].low
    shorter = ratio_of_means(values[:100], groups[:100], [3, 1])
    assert shorter.groups == 20 and ratio_of_means(values, groups, (3, 1)) == seeds[0]
