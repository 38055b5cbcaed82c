"""Kernel templates: what each is, over pixels and over line detectors, and what is refused at which field."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from workbench.images.stimuli import HighLow, LineEnds
from workbench.input_error import InputError
from workbench.kernel_ground import Ground
from workbench.kernel_templates import TEMPLATES, TemplateError, contrast, template
from workbench.models.planted.curve import CURVE_SIDE, GABORS, RADIUS, arc
from workbench.models.planted.kernels import gabor

PIXELS = Ground((9, 9), 3, (0.5, 0.5, 0.5))
ANGLES = np.arange(8) * 22.5
LINES = Ground((7, 7), 9, angles=np.append(ANGLES, np.nan), strengths=np.ones(9), frequencies=np.append(np.linspace(0.05, 0.4, 8), np.nan))


def test_every_template_is_written_over_what_it_can_be() -> None:
    for name, one in TEMPLATES.items():
        assert one.title and one.help and one.__doc__ and template(name) is one
        for ground in (PIXELS, LINES):
            if ground.over in one.over:
                kernel = one.kernel(ground)
                assert kernel.shape == (ground.channels, *ground.side) and kernel.dtype == np.float32 and np.abs(kernel).max() > 0.01
                assert all(knob.low <= knob.default <= knob.high and knob.help for knob in one.parameters(ground.over))
            else:
                with pytest.raises(TemplateError) as refused:
                    one.kernel(ground)
                assert refused.value.field == ""


def test_a_gabor_is_the_planted_one() -> None:
    mine = template("gabor").kernel(PIXELS, {"orientation": 30, "wavelength": 5, "sigma": 2})
    for channel in mine:
        assert np.allclose(channel / np.linalg.norm(channel), gabor(30.0).numpy(), atol=1e-5)


@pytest.mark.parametrize("echo", [0.0, 1.0])
def test_a_curve_of_tangents_is_the_planted_one(echo: float) -> None:
    angles = [180 / GABORS * i for i in range(GABORS)]
    ground = Ground((CURVE_SIDE, CURVE_SIDE), GABORS, angles=np.array(angles), strengths=np.ones(GABORS))
    mine = template("curve").kernel(ground, {"orientation": 45, "radius": RADIUS, "width": 1, "echo": echo})
    planted = arc(45.0, angles) - echo * arc(225.0, angles)
    assert np.allclose(mine, planted.numpy(), atol=1e-5)


def test_what_stands_still_does_nothing_and_sides_are_where_they_are_said_to_be() -> None:
    for name in ("gabor", "line", "curve", "colour_contrast", "centre_surround", "boundary"):
        assert np.abs(template(name).kernel(PIXELS).sum((1, 2))).max() < 1e-5, "an even colour"
    edge = template("boundary").kernel(PIXELS, {"orientation": 0})[0]
    assert edge[:4].sum() > 0 > edge[5:].sum(), "the bright side lies to the left of a border that points right: above"
    arch = template("curve").kernel(PIXELS, {"orientation": 90, "radius": 4})[0]
    assert arch[4, 4] > 0 and arch[6, 1] > arch[2, 1], "an arch comes down at its sides"
    fine = template("high_low_frequency").kernel(LINES, {"orientation": 90})
    assert fine[7, 0].sum() > 0 > fine[0, 0].sum() and not fine[8].any()


def test_an_angle_of_a_template_is_the_same_angle_of_the_stimulus() -> None:
    angles = np.arange(0.0, 360, 30)
    size = (45, 45)
    ends = LineEnds().coverage(LineEnds().grid(orientation=angles, width=0.04), size).numpy()
    waves = HighLow().coverage(HighLow().grid(orientation=angles, high=18, low=5), size).numpy()
    steps = np.hypot(np.diff(waves, axis=1)[:, :, 1:], np.diff(waves, axis=2)[:, 1:])
    fine = np.pad(steps, ((0, 0), (1, 0), (1, 0)), mode="edge")
    texture = np.stack([fine.mean() - fine, fine], 1)
    units = Ground(size, 2, angles=np.full(2, np.nan), strengths=np.ones(2), frequencies=np.array([0.05, 0.4]))
    for place, angle in enumerate(angles):
        end = template("line_end").kernel(Ground(size, 3, (0.5, 0.5, 0.5)), {"orientation": angle})[0]
        assert (ends * end).sum((1, 2)).argmax() == place
        side = template("high_low_frequency").kernel(units, {"orientation": angle})
        assert (texture * side).sum((1, 2, 3)).argmax() == place


def test_colours_are_directions_in_rgb() -> None:
    assert np.allclose(contrast(0, 29, 195), 1 / np.sqrt(3))
    red = contrast(1, 29, 142)
    assert red[0] > 0.5 and red[1] < 0 and np.linalg.norm(red) == pytest.approx(1)
    unequal = Ground((9, 9), 3, (0.2, 0.4, 0.8))
    kernel = template("gabor").kernel(unequal)
    assert kernel[2, 4, 4] == pytest.approx(4 * kernel[0, 4, 4], rel=1e-4), "what the network divides by is put back"


def test_detectors_count_as_strongly_as_they_respond_to_the_hue() -> None:
    ground = Ground((5, 5), 2, angles=np.zeros(2), strengths=np.array([1.0, 0.5]), hues=np.array([29.0, 209.0]), tints=np.eye(2))
    plain = template("line").kernel(ground, {"orientation": 0})
    red = template("line").kernel(ground, {"orientation": 0, "colour": 1, "hue": 29})
    assert plain[1, 2, 2] == pytest.approx(plain[0, 2, 2] / 2) and red[0, 2, 2] > 0.99 and abs(red[1, 2, 2]) < 0.01
    with pytest.raises(TemplateError, match="not measured"):
        template("line").kernel(LINES, {"colour": 1})


@pytest.mark.parametrize(
    ("name", "ground", "values", "field", "said"),
    [
        ("gabor", PIXELS, {"wavelength": 1.5}, "wavelength", "not between 2 and 60 cells"),
        ("gabor", PIXELS, {"sigma": float("nan")}, "sigma", "nan is not between"),
        ("gabor", PIXELS, {"colour": 1, "hue": 29, "other_hue": 29}, "other_hue", "no contrast"),
        ("gabor", PIXELS, {"radius": 3}, "radius", "no such parameter"),
        ("centre_surround", PIXELS, {"centre": 3, "surround": 2}, "surround", "not larger than the centre"),
        ("curve", LINES, {"radius": 0}, "radius", "not between"),
        ("high_low_frequency", LINES, {"low": 0.3, "high": 0.2}, "high", "not above low"),
        ("high_low_frequency", LINES, {"high": 3}, "high", "no unit is known that likes so fine"),
        ("complex_gabor", PIXELS, {}, "", "reads the image itself"),
        ("line", Ground((3, 3), 4), {}, "", "none of the units it reads is known as a line detector"),
    ],
)
def test_the_impossible_is_refused_at_its_field(name: str, ground: Ground, values: dict[str, float], field: str, said: str) -> None:
    with pytest.raises(TemplateError, match=said) as refused:
        template(name).kernel(ground, values)
    assert refused.value.field == field


def test_an_unknown_template_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean curve"):
        template("curves")


def test_torch_is_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "tensor", None)
    assert template("curve").kernel(PIXELS).any()
