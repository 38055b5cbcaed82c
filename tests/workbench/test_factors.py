"""One-sided NMF finds the groups that weights were made of, and says how much it gives back."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from workbench.factors import factors_of


def planted(seed: int, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Make the kernels of 30 sources from three groups of ten, each with one kernel of both signs."""
    random = np.random.default_rng(seed)
    groups = np.zeros((30, 3))
    for group in range(3):
        groups[10 * group : 10 * group + 10, group] = random.uniform(0.5, 1.5, 10)
    return random.normal(size=(25, 3)) @ groups.T + noise * random.normal(size=(25, 30)), groups


@pytest.mark.parametrize("seed", range(5))
def test_it_finds_the_groups_that_weights_were_made_of(seed: int) -> None:
    weights, groups = planted(seed, 0.02)
    found = factors_of(weights, 3)
    assert found.explained > 0.99 and (found.sources >= 0).all()
    np.testing.assert_allclose(np.linalg.norm(found.sources, axis=0), 1)
    cosines = groups.T / np.linalg.norm(groups, axis=0)[:, None] @ found.sources
    assert (cosines.max(1) > 0.99).all() and len(set(cosines.argmax(1))) == 3
    assert (found.kernels < 0).any() and (found.kernels > 0).any(), "kernels may have both signs"
    sizes = np.square(found.kernels).sum(0)
    assert (np.diff(sizes) <= 0).all(), "the one that explains most first"


def test_more_factors_never_explain_less_and_one_position_needs_two() -> None:
    weights = np.random.default_rng(0).normal(size=(9, 40))
    explained = [factors_of(weights, number).explained for number in (1, 2, 3, 6)]
    assert all(later >= earlier - 0.02 for earlier, later in pairwise(explained)) and explained[-1] > explained[0] + 0.2
    one = np.random.default_rng(1).normal(size=(1, 40))  # a kernel of one entry: what excites, and what inhibits
    found = factors_of(one, 3)
    assert found.explained > 0.999 and found.sources.shape[1] == 2
    assert sorted(np.sign(found.kernels[0])) == [-1, 1]


def test_random_weights_have_no_groups_to_find() -> None:
    weights = np.random.default_rng(2).normal(size=(400, 60))
    assert factors_of(weights, 3).explained < 0.15


def test_without_weights_there_is_nothing() -> None:
    found = factors_of(np.zeros((4, 6)), 3)
    assert found.sources.shape == (6, 0) and np.isnan(found.explained)
