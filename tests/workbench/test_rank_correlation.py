"""Rank correlation under ties is that of scipy, and what has no order has none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr

from workbench.rank_correlation import average_ranks, rank_correlation


def test_ties_share_their_ranks() -> None:
    random = np.random.default_rng(0)
    one, other = random.integers(0, 4, (2, 60)).astype(float)
    one[5], other[7] = np.nan, np.nan
    known = np.isfinite(one) & np.isfinite(other)
    assert average_ranks(one[known]) == pytest.approx(rankdata(one[known]) - 1)
    assert rank_correlation(one, other) == pytest.approx(spearmanr(one[known], other[known]).statistic, abs=1e-12)


def test_in_half_of_which_all_are_alike_the_order_of_the_rows_does_not_count() -> None:
    one, other = np.array([0.0] * 50 + [0.3, 0.2, 0.1]), np.array([0.0] * 50 + [0.1, 0.2, 0.3])
    assert rank_correlation(one, other) == pytest.approx(spearmanr(one, other).statistic) and rank_correlation(one, one[::-1]) < 0


def test_what_has_no_order_has_no_correlation() -> None:
    line = np.arange(5.0)
    assert rank_correlation(line, np.ones(5)) is None and rank_correlation(line[:2], line[:2]) is None
    assert rank_correlation(line, 1e-6 * line, alike=1e-4) is None and rank_correlation(line, 1e-6 * line) == pytest.approx(1)


def test_a_number_that_stands_for_several_counts_as_these() -> None:
    random = np.random.default_rng(1)
    one, other = random.integers(0, 5, (2, 40)).astype(float)
    number = random.integers(1, 5, 40)
    many = number.astype(float)
    apart = rank_correlation(np.repeat(one, number), np.repeat(other, number))
    assert rank_correlation(one, other, weights=many) == pytest.approx(apart, abs=1e-12) != rank_correlation(one, other)
    assert rank_correlation(one, other, weights=np.ones(40)) == pytest.approx(rank_correlation(one, other), abs=1e-12)
    one[3] = np.nan
    apart = rank_correlation(np.repeat(one, number), np.repeat(other, number))
    assert rank_correlation(one, other, weights=many) == pytest.approx(apart, abs=1e-12)
