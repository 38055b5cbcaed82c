"""The losses of a task: what they are of a network without classes, and of an output that is no number."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from workbench.input_error import InputError
from workbench.task_metric import TaskMetric, kept

INDICES = np.arange(2)
NOTHING = np.zeros(0, np.int64)
KL, OUTPUT = TaskMetric("kl", "", NOTHING, 3), TaskMetric("output", "", NOTHING, 0)


def test_one_number_an_image_is_an_output():
    loss, _ = OUTPUT(INDICES, torch.tensor([[1.0, 2.0], [3.0, 2.0]]))
    assert loss.tolist() == [[0, 0], [4, 0]]
    wide, _ = OUTPUT(INDICES, torch.tensor([[1.0, 2.0], [3.0, 2.0]])[..., None, None].expand(2, 2, 1, 3))
    assert wide.tolist() == [[0, 0], [12, 0]]


def test_an_output_that_is_no_number_is_no_loss_of_nothing():
    clean = torch.tensor([[0.0, 0.0, -2000.0], [1.0, 0.0, 0.0]])
    changed = torch.tensor([[math.nan, 0.0, 0.0], [1.0, 0.0, 0.0]])
    ruled_out = torch.tensor([[0.0, 0.0, -math.inf], [1.0, 0.0, 0.0]])
    loss, _ = KL(INDICES, torch.stack([clean, changed, ruled_out]))
    assert math.isnan(loss[1, 0]) and loss[1, 1] == 0
    assert loss[[0, 2]] == pytest.approx(np.zeros((2, 2)), abs=1e-12), "a class without probability adds nothing"


@pytest.mark.parametrize("metric", [KL, OUTPUT])
def test_a_clean_output_that_is_not_finite_is_refused(metric):
    with pytest.raises(InputError, match="not finite"):
        metric(INDICES, torch.full((2, 2, 3), math.nan))


def test_what_is_not_finite_is_not_called_noise():
    clean, nothing = np.zeros(8), np.ones(8)
    noise = kept(clean, np.where(np.arange(8) % 2, 1.0, -1.0), clean, np.arange(8), 0)
    assert not noise.known and noise.within_noise
    broken = kept(clean, np.where(np.arange(8) == 3, math.nan, nothing), clean, np.arange(8), 0)
    assert not broken.known and not broken.within_noise
    told = kept(clean, nothing, clean, np.arange(8), 0)
    assert told.known and not told.within_noise
