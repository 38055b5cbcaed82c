"""Purity from blind labels: planted truths with unequal bins, coverage of intervals, and how positions are drawn."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.purity import (
    activation_bins,
    bin_of,
    draw,
    drawn_edges,
    in_bins,
    labels_needed,
    over_concepts,
    weighted,
    wilson,
)

DENSITY = np.array([0.30, 0.22, 0.16, 0.12, 0.08, 0.06, 0.04, 0.02])
TRUTH = np.array([0.59, 0.647, 0.70, 0.76, 0.82, 0.90, 0.95, 0.99])
"""p(label | bin): the weighted mean is 0.7, the plain mean over bins 0.79."""


def population(random: np.random.Generator, positions: int = 10_000) -> tuple[np.ndarray, np.ndarray]:
    bins = random.choice(len(DENSITY), positions, p=DENSITY)
    return bins, random.random(positions) < TRUTH[bins]


def simulate(seed: int, count: int) -> tuple[float, float, float, float]:
    """Draw, label truly, and return the estimate, its interval and the naive share."""
    random = np.random.default_rng(seed)
    bins, truth = population(random)
    chosen = draw(bins, np.arange(len(bins)), len(DENSITY), seed, count)
    found = in_bins(truth[chosen], bins[chosen], [str(one) for one in chosen], len(DENSITY))
    share = weighted(found, np.bincount(bins, minlength=len(DENSITY)))
    return share.value, share.low, share.high, float(truth[chosen].mean())


def test_the_planted_truth_is_what_it_says():
    assert pytest.approx(0.7, abs=0.001) == float(DENSITY @ TRUTH) and TRUTH.mean() > 0.78


def test_planted_purity_is_found_within_five_per_cent_and_the_plain_share_is_off():
    found = np.array([simulate(seed, 323) for seed in range(60)])
    near = np.abs(found[:, 0] - 0.7) <= 0.05
    assert near[0] and near.mean() >= 0.85
    assert abs(found[:, 0].mean() - 0.7) < 0.01, "unbiased"
    assert found[:, 3].mean() - 0.7 > 0.07 and np.mean(np.abs(found[:, 3] - 0.7) > 0.05) > 0.9
    more = np.array([simulate(seed, 800) for seed in range(100)])
    assert (np.abs(more[:, 0] - 0.7) <= 0.05).mean() >= 0.95


def test_intervals_cover_the_truth_about_nineteen_times_out_of_twenty():
    random = np.random.default_rng(1)
    covered = 0
    for _ in range(400):
        hits = [random.random(40) < one for one in TRUTH]
        found = in_bins(np.concatenate(hits), np.repeat(np.arange(8), 40), [str(i) for i in range(320)], 8)
        share = weighted(found, DENSITY)
        covered += share.low <= 0.7 <= share.high
    assert 0.92 <= covered / 400 <= 0.985


def test_an_interval_counts_concepts_and_not_images():
    hits = np.array([True] * 30 + [False] * 10)
    bins = np.zeros(40, np.int64)
    alone = in_bins(hits, bins, [str(i) for i in range(40)], 1)[0]
    together = in_bins(hits, bins, [str(i // 5) for i in range(40)], 1)[0]
    assert alone.value == together.value == 0.75 and (alone.concepts, together.concepts) == (40, 8)
    assert together.high - together.low > 1.8 * (alone.high - alone.low) and together.detectable > alone.detectable


def test_a_bin_without_labels_could_be_anything():
    found = in_bins(np.array([True] * 50), np.zeros(50, np.int64), [str(i) for i in range(50)], 2)
    assert np.isnan(found[1].value) and (found[1].low, found[1].high) == (0.0, 1.0)
    share = weighted(found, [0.5, 0.5])
    assert share.value == pytest.approx(0.75) and share.low <= 0.5 and share.high >= 0.99
    nothing = weighted(in_bins(np.zeros(0, bool), np.zeros(0, np.int64), [], 2), [0.5, 0.5])
    assert np.isnan(nothing.value) and (nothing.low, nothing.high) == (0.0, 1.0)


def test_wilsons_interval_against_known_values():
    assert wilson(0.7, 10) == pytest.approx((0.3968, 0.8922), abs=1e-4)
    assert wilson(0.0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson(0.5, 0) == (0.0, 1.0)


def test_as_many_are_drawn_from_every_bin_and_small_ones_give_all():
    sizes = [5000, 900, 12, 3]
    bins = np.repeat(np.arange(4), sizes)
    chosen = draw(bins, np.arange(len(bins)) // 50, 4, 0, 100)
    assert len(np.unique(chosen)) == len(chosen) == 100
    assert np.bincount(bins[chosen]).tolist() == [43, 42, 12, 3]
    assert not np.array_equal(np.sort(bins[chosen]), bins[chosen]), "shuffled"
    assert np.array_equal(chosen, draw(bins, np.arange(len(bins)) // 50, 4, 0, 100))
    assert len(draw(bins, np.arange(len(bins)) // 50, 4, 0, 10**6)) == sum(sizes)


def test_drawing_spreads_over_images_and_keeps_every_position_equally_likely():
    bins = np.zeros(1000, np.int64)
    groups = np.minimum(np.arange(1000) // 20, 25)  # 25 images of 20 positions, one of 500
    times = np.zeros(1000)
    for seed in range(300):
        chosen = draw(bins, groups, 1, seed, 20)
        times[chosen] += 1
        assert np.bincount(groups[chosen], minlength=26)[:25].max() <= 1, "no small image twice"
    share = np.array([times[groups == group].mean() for group in range(26)]) / 300
    assert share == pytest.approx(np.full(26, 0.02), abs=0.009)


def test_bins_are_of_one_width_with_an_edge_at_zero():
    edges = activation_bins(np.array([-30.0, -1.0, 0.0, 3.0, 16.0]), 8)
    assert edges.tolist() == [-30, -2, 0, 2, 4, 6, 8, 10, 12, 14, 16]
    assert bin_of(np.array([-30.0, -2.0, 0.0, 1.99, 2.0, 16.0]), edges).tolist() == [0, 1, 2, 2, 3, 9]
    assert drawn_edges(edges).tolist() == [-4, *edges[1:]] and edges[0] == -30
    assert activation_bins(np.array([0.0, 8.0]), 4).tolist() == [0, 2, 4, 6, 8]
    assert activation_bins(np.array([-4.0, -2.0]), 2).tolist() == [-4, -3, -2]


def test_how_many_labels_are_needed():
    random = np.random.default_rng(0)
    hits = random.random(320) < np.repeat(TRUTH, 40)
    found = in_bins(hits, np.repeat(np.arange(8), 40), [str(i) for i in range(320)], 8)
    needed = labels_needed(found, DENSITY)
    share = weighted(found, DENSITY)
    assert needed > 320 and needed == pytest.approx(320 * ((share.high - share.low) / 2 / 0.05) ** 2, rel=0.25)
    assert labels_needed(found, DENSITY, 0.5) == 320


def test_one_concept_in_all_bins_is_no_independent_evidence_of_each():
    hits, bins = np.tile(np.arange(20) % 2 == 0, 8), np.repeat(np.arange(8), 20)
    weights = np.full(8, 1 / 8)
    apart = over_concepts(hits, bins, [str(i) for i in range(160)], weights)
    same = over_concepts(hits, bins, [str(i % 20) for i in range(160)], weights)
    plain = weighted(in_bins(hits, bins, [str(i % 20) for i in range(160)], 8), weights)
    assert same.value == apart.value == plain.value == 0.5 and (apart.concepts, same.concepts) == (160, 20)
    assert same.high - same.low > 1.8 * (plain.high - plain.low), "as wide as of 20 concepts, not of 160"
    assert same.high - same.low == pytest.approx(2 * 1.96 * 0.5 / 20**0.5, rel=0.1)
    agreed = over_concepts(np.ones(160, bool), bins, [str(i % 20) for i in range(160)], weights)
    assert agreed.low < 1, "that all agree is no certainty"
