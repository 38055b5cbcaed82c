"""Hand-coding on networks whose truth is known: what is put back is recovered, what says nothing is not, and noise is refused."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
import torch

import workbench
from workbench.analyses.hand_coding import EarlyFamilies, HandCodedCurves, HandCoding
from workbench.analyses.hand_coding.fitting import fit
from workbench.analyses.hand_coding.recovery import mcnemar
from workbench.images.stimuli import Curves
from workbench.input_error import InputError
from workbench.jobs.engine import configured
from workbench.kernel_edits import KernelEdit
from workbench.kernel_ground import Ground
from workbench.kernel_templates import template
from workbench.models.kernel_site import KernelSite, with_kernels
from workbench.models.layer import Unit
from workbench.models.planted.kernels import gabor
from workbench.models.traced_model import TracedModel
from workbench.task import Task

HUES = "bundled:planted/hue_line_net"
TASK = "stimuli:lines?ink_hue=29,235&orientations=16&ink_lightness=0.7&ink_chroma=0.1&ground_lightness=0.7&width=0.05,0.08"


@pytest.fixture(scope="module")
def hues() -> TracedModel:
    return workbench.load(HUES)


def own(model: TracedModel, layer: str, units: range, times: float = 1.0) -> list[dict]:
    """Return the network's own kernels as edits."""
    found = []
    for unit in units:
        site, index = KernelSite.of(model, Unit(layer, unit))
        kernel, bias = site.kernel(model, index)
        found.append(KernelEdit(layer, unit, kernel * times, bias).document())
    return found


def gabors(colour: float) -> list[dict]:
    """Return the family written from templates, in colour or in grey."""
    return [
        {
            "layer": "lines_relu",
            "unit": unit,
            "template": "gabor",
            "parameters": {
                "orientation": 45.0 * (unit % 4),
                "colour": colour,
                "hue": (29.0, 235.0)[unit // 4],
                "other_hue": (235.0, 29.0)[unit // 4],
            },
        }
        for unit in range(8)
    ]


def test_what_is_put_back_is_recovered_whole_and_zeros_recover_nothing(hues: TracedModel) -> None:
    images = workbench.load_images(TASK)
    back = HandCoding(edits=own(hues, "lines_relu", range(8), times=3.0), shuffles=3).run(hues, images).summary
    assert back["recovered"] == pytest.approx(1, abs=1e-3) and back["accuracy_recovered"] == pytest.approx(1)
    assert back["accuracy_full"] == 1 and back["accuracy_ablated"] < 0.7 and back["refused"] == ""
    assert all(unit["scale"] == pytest.approx(1 / 3, rel=1e-3) and unit["correlation"] > 0.999 for unit in back["units"])
    assert back["mcnemar"]["hand_ablated"]["p"] < 1e-3 and back["mcnemar"]["full_hand"]["p"] == 1
    nothing = HandCoding(edits=own(hues, "lines_relu", range(8), times=0.0), shuffles=0).run(hues, images).summary
    assert nothing["recovered"] == pytest.approx(0, abs=1e-3) and nothing["offset_recovered"] == pytest.approx(0, abs=1e-3)
    as_is = HandCoding(edits=own(hues, "lines_relu", range(8)), shuffles=0, fit=False).run(hues, images).summary
    assert as_is["recovered"] == pytest.approx(1, abs=1e-3) and as_is["fitted_on"] == 0


def test_colour_recovers_what_grey_does_not_and_shuffled_kernels_do_little(hues: TracedModel) -> None:
    images = workbench.load_images(TASK)
    colour, grey = (HandCoding(edits=gabors(amount)).run(hues, images).summary for amount in (1.0, 0.0))
    assert colour["recovered"] > 0.98 and grey["recovered"] < 0.2
    assert colour["recovered_low"] > (grey["recovered_high"] or 0) and abs(colour["shuffled_mean"]) < 0.3
    assert colour["recovered_low"] > colour["shuffled_max"] + 0.2, "a shuffled kernel can still tell the two hues a little"
    assert colour["units"][0]["kernel_cosine"] > 0.99


def test_hand_made_curves_of_measured_line_detectors_prefer_their_angle_and_are_as_narrow() -> None:
    model = workbench.load("bundled:planted/curve_net")
    edits = tuple(
        {"layer": "curve_relu", "unit": unit, "template": "curve", "parameters": {"orientation": 45.0 * unit, "radius": 18.0}}
        for unit in (1, 6)
    )
    analysis = configured("HandCoding", {"edits": edits})
    grounds: dict = {}
    version = with_kernels(model, [written.edit(model, grounds, Task()) for written in analysis.edits])
    assert len(grounds) == 1, "what the units detect is measured once"
    for unit in (1, 6):
        table = Curves().grid(orientation=(45.0 * unit + np.arange(-24, 24.5, 0.5)) % 360, radius=18 / 65)
        field = model.normalise(Curves().render(table, model.preprocessing.size))[:, :, 16:49, 16:49]
        curve = version.activations(field, ["curve_relu"])["curve_relu"][:, unit, 0, 0].numpy()
        assert curve.argmax() == 48, "its own angle, to half a degree"
        above = curve >= curve.max() / 2
        right, left = int(np.argmin(above[48:])), int(np.argmin(above[48::-1]))
        assert abs((left + right - 1) / 2 * 0.5 - 12.5) < 0.5


def test_several_layers_are_one_edit_and_later_ones_are_fitted_behind_earlier_ones() -> None:
    model = workbench.load("bundled:planted/curve_net")
    edits = [*own(model, "gabor_relu", range(16), times=2.0), *own(model, "curve_relu", range(8), times=5.0)]
    images = workbench.load_images("stimuli:curves?orientations=16&radius=0.277")
    found = HandCoding(edits=edits, shuffles=0).run(model, images).summary
    assert found["recovered"] == pytest.approx(1, abs=1e-3)
    scales = [unit["scale"] for unit in found["units"]]
    assert scales[:16] == pytest.approx([0.5] * 16, rel=1e-3) and scales[16:] == pytest.approx([0.2] * 8, rel=1e-3)


def test_planted_curve_detectors_are_found_and_written_from_stimuli(monkeypatch: pytest.MonkeyPatch) -> None:
    few = {"turn": (0.0,), "radius": (2.0, 4.0), "echo": (0.0, 1.0), "across": (0.35,), "sharpness": (2.0, 6.0)}
    monkeypatch.setattr("workbench.analyses.hand_coding.curves.GRID", few)
    angles = np.arange(12) * 15.0
    ground = Ground((7, 7), 12, angles=angles, strengths=np.ones(12))
    directions = [0.0, 70.0, 140.0, 225.0, 300.0]
    lines, curves = torch.nn.Conv2d(3, 12, 9, padding=4), torch.nn.Conv2d(12, 8, 7, padding=3)
    with torch.no_grad():
        lines.weight.copy_(torch.stack([-gabor(float(angle)) for angle in angles])[:, None] / 3)
        lines.bias.zero_()
        for unit, direction in enumerate(directions):
            kernel = template("curve").kernel(ground, {"orientation": direction, "radius": 4, "echo": 1, "sharpness": 6})
            curves.weight[unit] = torch.tensor(kernel)
        curves.weight[5:] = curves.weight[:3].flip(1)  # the same arcs of the wrong lines
        curves.bias.zero_()
    net = torch.nn.Sequential(OrderedDict(line=lines, line_relu=torch.nn.ReLU(), curve=curves, curve_relu=torch.nn.ReLU()))
    model = TracedModel.from_module(net, torch.zeros(2, 3, 32, 32))
    found = HandCodedCurves(number=5, twins=1, colour=False).run(model).summary
    assert found["layer"] == "curve_relu" and found["line_detectors"] == 12
    by_unit = {int(one["unit"].rpartition(":")[2]): one for one in found["units"]}
    there = [unit for unit in by_unit if unit < 5]
    assert len(there) >= 4
    for unit in there:
        apart = (by_unit[unit]["parameters"]["orientation"] - directions[unit] + 180) % 360 - 180
        assert abs(apart) < 20 and by_unit[unit]["held_out"] > 0.9


def test_nothing_is_said_where_ablation_costs_no_more_than_noise(hues: TracedModel) -> None:
    images = workbench.load_images("stimuli:lines?ink_hue=29,235&orientations=16&ink_lightness=0.7&ink_chroma=0&ground_lightness=0.7")
    result = HandCoding(edits=own(hues, "lines_relu", range(1)), shuffles=1).run(hues, images)
    assert result.summary["recovered"] is None and "within noise" in result.summary["refused"]
    assert set(result.figures()) == {"recovered", "kernels"}


def test_accuracy_is_not_spoken_of_where_no_class_is_known(hues: TracedModel) -> None:
    images = workbench.load_images("stimuli:lines?ink_hue=110,150&orientations=12")
    result = HandCoding(edits=own(hues, "lines_relu", range(1)), images=8, fit_images=8, shuffles=0).run(hues, images)
    assert result.summary["measure"] == "kl" and "mcnemar" not in result.summary and "accuracy_full" not in result.summary
    label = result.figures()["recovered"].axes[0].get_xlabel()
    assert "KL divergence" in label and "minus" not in label


def test_smooth_kernels_of_no_form_are_no_families_and_signs_are_kept() -> None:
    random = np.random.default_rng(0)
    window = np.exp(-(np.square(np.mgrid[-4:5, -4:5]).sum(0)) / 6)
    smooth = np.fft.irfft2(np.fft.rfft2(random.normal(size=(14, 1, 9, 9))) * np.abs(np.fft.rfft2(window)), s=(9, 9)).repeat(3, 1)
    smooth /= np.sqrt(np.square(smooth).sum((1, 2, 3), keepdims=True))
    conv = torch.nn.Conv2d(3, 16, 9)
    with torch.no_grad():
        conv.weight[:14] = torch.tensor(smooth)
        ground = Ground((9, 9), 3, (0.5, 0.5, 0.5))
        conv.weight[14] = -torch.tensor(template("centre_surround").kernel(ground, {"centre": 1.2, "surround": 2.5}))
        conv.weight[15] = -torch.tensor(template("gabor").kernel(ground, {"orientation": 30}))
    model = TracedModel.from_module(torch.nn.Sequential(conv, torch.nn.ReLU()), torch.zeros(2, 3, 16, 16))
    found = EarlyFamilies(draws=100, twins=2).run(model).summary
    assert found["phase_highest"] > found["twin_highest"] + 0.1, "white kernels are no match for smooth ones"
    assert sum(unit["present"] for unit in found["units"][:14]) <= 1
    spot, wave = found["units"][14:]
    assert spot["family"] == "centre_surround" and spot["sign"] == -1 and "sign turned" in spot["edit"]["label"]
    for unit, kernel in ((spot, conv.weight[14]), (wave, conv.weight[15])):
        again = template(unit["family"]).kernel(ground, unit["parameters"])
        assert unit["sign"] * float((kernel.detach().numpy() * again).sum()) > 0.9
    assert wave["family"] != "gabor" or wave["sign"] == 1


def test_layers_of_which_one_kernel_does_not_say_all_are_refused(hues: TracedModel) -> None:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Conv2d(8, 8, 3, groups=4), torch.nn.ReLU())
    with pytest.raises(InputError, match="grouped kernels"):
        HandCodedCurves(layer="3", twins=1).run(TracedModel.from_module(net, torch.zeros(2, 3, 32, 32)))
    with pytest.raises(InputError, match="joins several layers"):
        HandCodedCurves(layer="mixed3a", twins=1).run(workbench.load("bundled:inception"))


def test_offset_and_scale_are_found_behind_the_non_linearity() -> None:
    random = torch.Generator().manual_seed(0)
    k = torch.randn(4000, generator=random)
    before = 2.5 * k - 3
    noisy = torch.where(before < 0, before - 20 * torch.rand(4000, generator=random), before)  # nobody sees what is below zero
    found = fit(k, noisy, noisy.relu(), torch.relu)
    assert found.scale == pytest.approx(2.5, rel=1e-4) and found.offset == pytest.approx(-3, rel=1e-4) and found.r2 > 0.9999
    empty = fit(torch.zeros(4000), noisy, noisy.relu(), torch.relu)
    assert empty.offset == pytest.approx(float(noisy.relu().mean()), rel=1e-6)
    assert fit(k, 2 * k, (2 * k).relu(), torch.relu, shifts=False).offset == 0


def test_mcnemar_counts_what_only_one_gets_right() -> None:
    first, second = np.array([1.0] * 10 + [0.0] * 2 + [1.0] * 5), np.array([0.0] * 10 + [1.0] * 2 + [1.0] * 5)
    found = mcnemar(first, second)
    assert (found["only_first"], found["only_second"]) == (10, 2) and found["p"] == pytest.approx(0.0385742, rel=1e-4)
    assert mcnemar(first, first)["p"] == 1


def test_what_does_not_fit_is_refused(hues: TracedModel) -> None:
    images = workbench.load_images(TASK)
    for edit, said in (
        ({"layer": "decision", "unit": 0, "template": "gabor"}, "made by linear"),
        ({"layer": "lines_relu", "unit": 0, "template": "gabor", "parameters": {"wavelength": 1}}, "wavelength: 1 is not between 2 and 60"),
        ({"layer": "lines_relu", "unit": 0, "template": "garbor"}, "did you mean gabor"),
        ({"layer": "lines_relu", "unit": 0}, "no kernel that can be read"),
    ):
        with pytest.raises(InputError, match=said):
            configured("HandCoding", {"edits": [edit]}).run(hues, images)
