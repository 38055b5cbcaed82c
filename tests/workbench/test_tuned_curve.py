"""Measures of tuning curves: on curves made by hand, and on the planted curve detectors whose figures are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from workbench.images.stimuli import Curves, Lines
from workbench.images.stimulus import StimulusFamily, Table
from workbench.models.planted.curve import curve_net, curve_net_inhibited
from workbench.models.traced_model import TracedModel
from workbench.tuned.curve import Fit, angles, curve_vs_line, fit, second_peak

ORIENTATIONS = 72
SEEN = 33
"""Pixels that a planted curve detector sees: in an image of that size it stands at one position only."""
PIXEL = 1 / SEEN


def bumps(preferred: np.ndarray, width: float, period: float, count: int = 24, start: float = 0.0) -> np.ndarray:
    """Return bumps of a known place and half-width, ``orientation unit``."""
    return Fit(preferred, np.full(len(preferred), float(width)), np.ones(len(preferred)), period).curve(angles(count, period, start))


@pytest.mark.parametrize("period", [180.0, 360.0])
def test_the_fit_finds_the_bump_that_is_there(period: float) -> None:
    preferred = np.linspace(0, period, 37, endpoint=False)
    responses = 3 + 2 * bumps(preferred, 30, period, start=5.0)
    found = fit(responses, period, start=5.0)
    away = np.abs((found.preferred - preferred + period / 2) % period - period / 2)
    assert away.max() < 0.3
    assert np.abs(found.half_width - 30).max() < 2
    assert found.r2.min() > 0.995
    other = 10 * bumps(preferred, 30, period, start=11.0)
    assert found.explains(other, start=11.0).min() > 0.99
    assert found.explains(-other, start=11.0).max() == 0


def test_noise_is_not_a_bump_on_other_stimuli() -> None:
    random = np.random.default_rng(0)
    first, second = random.normal(size=(2, 24, 400))
    found = fit(first)
    assert np.median(found.r2) > 0.2, "on what it was fitted to any noise looks tuned"
    assert found.explains(second).mean() < 0.08
    assert np.isnan(fit(np.ones((24, 2))).r2).all()
    assert np.isnan(fit(np.full((24, 1), 3.0) + 1e-9 * first[:, :1]).r2).all(), "rounding is no tuning"


def test_a_second_peak_is_found_and_a_shoulder_is_none() -> None:
    here, there = (bumps(np.array([place]), 20, 360, 72)[:, 0] for place in (60.0, 240.0))
    wide = bumps(np.array([60.0]), 100, 360, 72)[:, 0]
    responses = np.stack([here, here + 0.4 * there, here + there, wide, -here, 0 * here], 1)
    assert second_peak(responses)[:4] == pytest.approx([0, 0.4, 1, 0], abs=0.02)
    assert np.isnan(second_peak(responses)[5])
    plateau = np.minimum(here, 0.8)
    assert second_peak(plateau[:, None]) == pytest.approx([0], abs=1e-9)


def test_curve_vs_line_is_one_without_lines_and_negative_for_a_line_detector() -> None:
    curves, lines = np.array([[1.0, 2, 0, 1]]), np.array([[-1.0, 1, 1, 3]])
    assert curve_vs_line(curves, lines)[[0, 1, 3]] == pytest.approx([1, 0.5, -2])
    assert np.isnan(curve_vs_line(curves, lines)[2])


def centre(model: TracedModel, family: StimulusFamily, table: Table, layer: str = "curve_relu") -> np.ndarray:
    """Return what the units of a layer do in the middle of each stimulus."""
    with torch.inference_mode():
        activation = model.activations(model.preprocess(family.render(table, (SEEN, SEEN))), [layer])[layer]
    middle = [side // 2 for side in activation.shape[2:]]
    return activation[:, :, middle[0], middle[1]].double().numpy()


@pytest.mark.parametrize(("inhibited", "r2"), [(False, 0.73), (True, 0.83)])
def test_the_planted_curve_detectors_have_the_figures_that_are_known_of_them(inhibited: bool, r2: float) -> None:
    """Measured elsewhere on other strokes, so within a few hundredths: R2, half-width 12.5 degrees, second peak .31, curve-vs-line .49."""
    planted_net = (curve_net_inhibited if inhibited else curve_net)()
    model = TracedModel.from_module(planted_net.module[:4], torch.zeros(2, 3, SEEN, SEEN))
    stroke = {"width": 1.5 * PIXEL, "length": 32.5 * PIXEL, "profile": 0 if inhibited else 1}
    curves = centre(model, Curves(), Curves().grid(orientations=ORIENTATIONS, radius=18 * PIXEL, **stroke))
    lines = centre(model, Lines(), Lines().grid(orientations=ORIENTATIONS, **stroke))
    found, planted = fit(curves), np.arange(8) * 45.0
    assert np.abs((found.preferred - planted + 180) % 360 - 180).max() < 0.5, "preferred angles are exact"
    assert found.r2.mean() == pytest.approx(r2, abs=0.03)
    assert curves.argmax(0).tolist() == (np.arange(8) * 9).tolist()
    if not inhibited:
        assert found.half_width.mean() == pytest.approx(12.5, rel=0.1), "widths are tried in steps of a tenth"
        assert second_peak(curves).mean() == pytest.approx(0.31, abs=0.04)
        assert curve_vs_line(curves, lines).mean() == pytest.approx(0.49, abs=0.04)
    twins = []
    for seed in range(3):
        twin = model.twin(seed)
        twins.append(fit(centre(twin, Curves(), Curves().grid(orientations=ORIENTATIONS, radius=18 * PIXEL, **stroke), "curve")).r2)
    assert np.median(found.r2) > np.quantile(np.concatenate(twins), 0.5)
