"""Kernels written by hand: where a unit's kernel is, networks with others, and that nothing is changed in place."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import workbench
from workbench.input_error import InputError
from workbench.kernel_edits import KernelEdit
from workbench.kernel_templates import TemplateError, template
from workbench.models.kernel_site import KernelSite, last_kernels, with_kernels
from workbench.models.layer import Unit
from workbench.models.traced_model import TracedModel


@pytest.fixture(scope="module")
def inception() -> TracedModel:
    return workbench.load("bundled:inception")


@pytest.mark.parametrize("address", ["conv2d0:3", "conv2d2:7", "mixed3a:30", "mixed3b:100", "conv2d2.bn:7", "conv2d2.conv:7"])
def test_the_folded_kernel_is_what_the_unit_computes(inception: TracedModel, address: str) -> None:
    site, index = KernelSite.of(inception, Unit.parse(address))
    kernel, bias = site.kernel(inception, index)
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = inception.activations(x, [site.reads, site.pre])
        mine = site.respond(found[site.reads], torch.from_numpy(kernel)[None], site.channels(inception, index)) + bias
    torch.testing.assert_close(mine[:, 0], found[site.pre][:, index], rtol=1e-3, atol=1e-4)


def test_the_kernel_of_a_grouped_convolution_reads_its_own_channels() -> None:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Conv2d(8, 8, 3, groups=4), torch.nn.ReLU())
    model = TracedModel.from_module(net, torch.randn(2, 3, 16, 16))
    site, index = KernelSite.of(model, Unit("3", 5))
    assert list(site.channels(model, index)) == [4, 5]
    kernel, bias = site.kernel(model, index)
    x = torch.randn(2, 3, 16, 16)
    found = model.activations(x, [site.reads, site.pre])
    mine = site.respond(found[site.reads], torch.from_numpy(kernel)[None], site.channels(model, index)) + bias
    torch.testing.assert_close(mine[:, 0], found[site.pre][:, index])


def test_a_network_with_other_kernels_is_a_network_of_its_own(inception: TracedModel) -> None:
    x = torch.randn(2, 3, 64, 64)
    before, weights = inception(x), inception.weight_hash
    site, index = KernelSite.of(inception, Unit("conv2d2", 7))
    own, bias = site.kernel(inception, index)
    same = with_kernels(inception, [KernelEdit("conv2d2", 7, own, bias)])
    torch.testing.assert_close(same(x), before, rtol=1e-4, atol=1e-4)
    written = KernelEdit("conv2d2", 7, np.zeros_like(own), 0.25)
    edited = with_kernels(inception, [KernelEdit("conv2d2", 7, own, bias), written])
    with torch.no_grad():
        found = edited.activations(x, ["conv2d2"])["conv2d2"]
        clean = inception.activations(x, ["conv2d2"])["conv2d2"]
    assert torch.allclose(found[:, 7], torch.tensor(0.25), atol=1e-6), "the last edit of a unit counts"
    assert torch.equal(found[:, :7], clean[:, :7]) and torch.equal(found[:, 8:], clean[:, 8:])
    assert torch.equal(inception(x), before) and inception.weight_hash == weights
    assert len({inception.weight_hash, edited.weight_hash, same.weight_hash}) == 3 and "1 kernel written by hand" in edited.name


def test_what_has_no_kernel_is_refused_in_one_line(inception: TracedModel) -> None:
    for address, said in (("softmax2:3", "made by linear"), ("conv2d2:720", "units 0 to 71"), ("maxpool:2", "no kernel|made by")):
        with pytest.raises(InputError, match=said):
            KernelSite.of(inception, Unit.parse(address))
    with pytest.raises(InputError, match=r"the shape \(24, 3, 3\), not \(3, 3, 3\)"):
        with_kernels(inception, [KernelEdit("conv2d2", 7, np.zeros((3, 3, 3), np.float32))])
    model = workbench.load("bundled:planted/curve_net")
    with pytest.raises(InputError, match="has no bias"):
        with_kernels(model, [KernelEdit("curve_relu", 0, np.zeros((16, 25, 25), np.float32), 1.0)])


def test_a_gate_that_is_no_function_of_one_unit_is_refused_and_a_grey_image_is_pixels() -> None:
    torch.manual_seed(0)
    for gate, said in ((torch.nn.PReLU(4), "prelu behind it has weights"), (torch.nn.Softmax(1), "softmax behind it looks at several")):
        net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), gate)
        with pytest.raises(InputError, match=said):
            KernelSite.of(TracedModel.from_module(net, torch.randn(2, 3, 8, 8)), Unit("1", 2))
    grey = TracedModel.from_module(torch.nn.Sequential(torch.nn.Conv2d(1, 4, 5), torch.nn.ReLU()), torch.randn(2, 1, 8, 8))
    ground = KernelSite.of(grey, Unit("1", 2))[0].ground(grey)
    assert ground.over == "pixels" and template("gabor").kernel(ground).shape == (1, 5, 5)
    with pytest.raises(TemplateError, match="grey image"):
        template("gabor").kernel(ground, {"colour": 0.5})


def test_one_kernel_named_by_two_layers_is_one_edit(inception: TracedModel) -> None:
    kernel = np.zeros((24, 3, 3), np.float32)
    edits = [KernelEdit("conv2d2", 7, kernel), KernelEdit("conv2d2.bn", 7, kernel, 0.5), KernelEdit("conv2d2", 8, kernel)]
    assert [(edit.address, edit.bias) for edit in last_kernels(inception, edits)] == [("conv2d2.bn:7", 0.5), ("conv2d2:8", 0.0)]


def test_an_edit_is_plain_data_and_comes_back() -> None:
    edit = KernelEdit("a", 3, np.arange(12, dtype=np.float32).reshape(3, 2, 2), -0.5, "gabor", {"phase": 90.0}, "edge")
    back = KernelEdit.from_document(edit.document())
    assert np.array_equal(back.kernel, edit.kernel) and (back.layer, back.unit, back.bias) == ("a", 3, -0.5)
    assert (back.template, dict(back.parameters), back.label) == ("gabor", {"phase": 90.0}, "edge")
    with pytest.raises(ValueError, match="read-only"):
        back.kernel[0] = 1
    with pytest.raises(InputError, match="channel y x"):
        KernelEdit("a", 3, np.zeros((2, 2), np.float32))
    with pytest.raises(InputError, match="no numbers"):
        KernelEdit("a", 3, np.full((1, 2, 2), np.nan, np.float32))
    with pytest.raises(InputError, match="no kernel that can be read"):
        KernelEdit.from_document(edit.document() | {"values": "AAAA"})
