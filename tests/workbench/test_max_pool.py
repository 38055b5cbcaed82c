"""Max pooling axis after axis: the same numbers as torch's own, bit for bit, and torch's own where a gradient is wanted."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from workbench.models.max_pool import max_pool2d
from workbench.models.traced_model import TracedModel

pair = st.tuples(st.integers(1, 5), st.integers(1, 5))


@given(
    st.tuples(st.integers(5, 13), st.integers(5, 13)),
    pair,
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    pair,
    st.tuples(st.integers(1, 2), st.integers(1, 2)),
    st.booleans(),
    st.sampled_from([torch.bfloat16, torch.float64, torch.float32]),
    st.sampled_from([torch.contiguous_format, torch.channels_last]),
)
@settings(max_examples=150, deadline=None)
def test_it_is_torchs_own_bit_for_bit(size, kernel, stride, padding, dilation, ceil_mode, dtype, layout) -> None:
    kernel = tuple(min(k, (n - 1) // d + 1) for k, n, d in zip(kernel, size, dilation, strict=True))
    padding = tuple(p % (k // 2 + 1) for p, k in zip(padding, kernel, strict=True))
    value = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0)).to(dtype).to(memory_format=layout)
    value[0, 0, 2, 3], value[0, 1, 1] = torch.nan, -torch.inf
    kept = value.clone()
    wanted = torch.ops.aten.max_pool2d.default(value, kernel, stride, padding, dilation, ceil_mode)
    with torch.no_grad():
        found = max_pool2d(value, kernel, stride, padding, dilation, ceil_mode)
    assert found.shape == wanted.shape and found.dtype == dtype
    assert torch.equal(found.nan_to_num(99), wanted.nan_to_num(99)) and torch.equal(found.isnan(), wanted.isnan())
    assert torch.equal(value.nan_to_num(99), kept.nan_to_num(99)), "what is read is not written"
    assert found.data_ptr() != value.data_ptr()


@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (1, 3, 1, 1), (0, 3, 4, 4)])
def test_windows_without_a_value_are_torchs_affair(shape: tuple[int, ...]) -> None:
    value = torch.randn(shape)
    for kernel, dilation, padding in (((2, 2), (5, 5), (1, 1)), ((2, 2), (2, 2), (1, 1)), ((9, 9), (1, 1), (0, 0))):
        arguments = value, kernel, (1, 1), padding, dilation
        found: list[object] = []
        for run in (torch.ops.aten.max_pool2d.default, max_pool2d):
            with torch.no_grad():
                try:
                    found.append(run(*arguments).tolist())
                except RuntimeError as error:
                    found.append(str(error))
        assert found[0] == found[1]


@pytest.mark.parametrize("value", [torch.randn(3, 6, 6), torch.randint(9, (2, 3, 6, 6))])
def test_one_image_and_whole_numbers_are_pooled_too(value: torch.Tensor) -> None:
    with torch.no_grad():
        assert torch.equal(max_pool2d(value, [2, 2]), torch.ops.aten.max_pool2d.default(value, [2, 2]))


def test_the_layout_stays() -> None:
    for layout in (torch.contiguous_format, torch.channels_last):
        value = torch.randn(2, 8, 9, 9, dtype=torch.bfloat16).to(memory_format=layout)
        with torch.no_grad():
            assert max_pool2d(value, [3, 3], [2, 2], [1, 1]).is_contiguous(memory_format=layout)


@pytest.mark.parametrize("options", [{}, {"stride": 2}, {"stride": 1, "padding": 1}])
def test_a_cut_pools_so_and_still_has_torchs_gradient(options: dict[str, int]) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(3, **options), nn.Flatten(), nn.LazyLinear(2)).eval()
    x = torch.randn(2, 3, 12, 12)
    module(x)
    model = TracedModel.from_module(module, x)
    piece = model.graph.cut([model.graph.name(model.graph.inputs[0])], [model.graph.output])
    assert any(node.target is max_pool2d for node in piece.module.graph.nodes)
    with torch.no_grad():
        assert torch.equal(piece(x)[0], module(x))
    x.requires_grad_()
    expected, found = (torch.autograd.grad(run.sum(), x)[0] for run in (module(x), piece(x)[0]))
    assert torch.equal(found, expected), "of equal values the first gets all of it"
