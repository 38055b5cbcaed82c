"""The graph on small networks whose right answers are known exactly."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import workbench
from workbench.analyses.unit_activations import as_map
from workbench.models.expanded import centre
from workbench.models.layer import Unit, on_grid, patch_grid
from workbench.models.nodes import CaptureError
from workbench.models.traced_model import TracedModel


class Branches(nn.Module):
    """In-place activations, a shared ReLU, a residual sum and a concatenation: everything a capture can get wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.bn = nn.BatchNorm2d(8)
        self.act = nn.ReLU(inplace=True)
        self.left = nn.Conv2d(8, 8, 3, padding=1)
        self.right = nn.Conv2d(8, 4, 1)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.bn(self.stem(x)))
        left = self.left(x)
        left += x
        left = self.drop(self.act(left))
        right = F.relu(self.right(x))
        return self.head(torch.cat([left, right], 1).mean((2, 3)))


class Late(nn.Module):
    """A view of a tensor that is written later: must take the slow road of functionalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        first = y[:, :2]
        y.mul_(2.0)
        return (first + y[:, 2:]).mean((2, 3))


class Copied(nn.Module):
    """A copy made before a write keeps the old value."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        before = y.clone()
        y.relu_()
        return (before - y).mean((2, 3))


class Noisy(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.5).mean((2, 3))


def randomise(module: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, 0.1, 0.5)
    for name, buffer in module.named_buffers():
        if "running_var" in name:
            buffer.uniform_(0.5, 2)
        elif "running_mean" in name:
            buffer.normal_()
    return module.eval()


@pytest.fixture(scope="module")
def branches() -> tuple[nn.Module, TracedModel]:
    module = randomise(Branches())
    return module, TracedModel.from_module(module, torch.randn(2, 3, 8, 8))


def hooked(module: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """What cloned forward hooks see, the k-th call of a module under ``name@k``."""
    seen: dict[str, Tensor] = {}
    counts: dict[str, int] = {}

    def record(name: str):
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            k = counts.get(name, 0)
            counts[name] = k + 1
            seen[f"{name}@{k}" if k else name] = output.clone()

        return hook

    handles = [child.register_forward_hook(record(name)) for name, child in module.named_modules() if name]
    with torch.no_grad():
        seen["output"] = module(x)
    for handle in handles:
        handle.remove()
    return seen


def test_every_layer_equals_a_cloned_hook_bit_for_bit(branches: tuple[nn.Module, TracedModel]) -> None:
    module, model = branches
    x = torch.randn(5, 3, 8, 8)
    seen = hooked(module, x)
    names = [name for name in seen if name != "output"]
    with torch.no_grad():
        activations = model.activations(x, names)
        assert torch.equal(model(x), seen["output"])
    assert {"bn", "act", "act@1", "drop", "left"} <= set(names)
    for name in names:
        assert torch.equal(activations[name], seen[name]), name


def test_layers_know_what_they_are(branches: tuple[nn.Module, TracedModel]) -> None:
    _, model = branches
    assert model.layer("bn").role == "pre"
    assert model.layer("act").role == "post"
    assert model.layer("left").shape == (8, 8, 8)
    assert model.layer("left").units == 8
    assert model.layer("left").positions == (8, 8)
    assert model.layer("head").units == 5
    assert model.layer(":cat").units == 12
    assert model.layer("drop") is model.layer("act@1")


def test_an_unknown_layer_names_its_neighbours(branches: tuple[nn.Module, TracedModel]) -> None:
    with pytest.raises(ValueError, match=r"no layer named 'lefft'.*left"):
        branches[1].layer("lefft")


def test_one_cut_after_another_is_the_whole(branches: tuple[nn.Module, TracedModel]) -> None:
    _, model = branches
    x = torch.randn(8, 3, 8, 8)
    with torch.no_grad():
        for layer in model.layers:
            if layer in ("input", model.graph.output):
                continue
            frontier = model.graph.frontier([layer], [model.graph.output])
            values = model.forward_to([layer, *frontier])(x)
            (output,) = model.graph.cut([layer, *frontier], [model.graph.output])(*values)
            assert torch.equal(output, model(x)), layer


def test_a_cut_that_is_not_closed_names_its_frontier(branches: tuple[nn.Module, TracedModel]) -> None:
    with pytest.raises(ValueError, match=r"also reads the network's input.*act"):
        branches[1].graph.cut(["left"], ["head"])


def test_a_cut_backwards_is_refused(branches: tuple[nn.Module, TracedModel]) -> None:
    with pytest.raises(ValueError, match=r"does not depend on|also reads"):
        branches[1].graph.cut(["head"], ["left"])


def test_placeholders_of_a_cut_are_its_sources(branches: tuple[nn.Module, TracedModel]) -> None:
    _, model = branches
    frontier = model.graph.frontier(["left"], ["head"])
    cut = model.graph.cut(["left", *frontier], ["head"])
    assert cut.sources == ("left", *frontier)
    assert len([node for node in cut.module.graph.nodes if node.op == "placeholder"]) == len(cut.sources)


def test_an_edit_of_nothing_changes_no_bit_and_rows_equal_single_edits(branches: tuple[nn.Module, TracedModel]) -> None:
    _, model = branches
    x = torch.randn(3, 3, 8, 8)
    with torch.no_grad():
        for layer in model.layers:
            clean = model.activations(x, [layer])[layer]
            double = {layer: lambda a: 2 * a}
            rows = model.edited(x, [{}, {layer: lambda a: a}, {layer: clean}, double, {layer: torch.zeros(())}])
            assert torch.equal(rows[0], rows[1]) and torch.equal(rows[0], rows[2]), layer
            assert rows.shape[:2] == (5, 3)
            scale = rows.abs().max()
            assert (rows[3] - model.edited(x, double)).abs().max() <= 1e-5 * scale
            assert (rows[0] - model(x)).abs().max() <= 1e-5 * scale


def test_edits_agree_with_the_module_itself(branches: tuple[nn.Module, TracedModel]) -> None:
    module, model = branches
    x = torch.randn(4, 3, 8, 8)
    handle = module.left.register_forward_hook(lambda _m, _i, output: output.index_fill(1, torch.tensor([2]), 0.0))
    with torch.no_grad():
        expected = module(x)
        handle.remove()
        edited = model.edited(x, {"left": lambda a: a.index_fill(1, torch.tensor([2]), 0.0)})
    assert torch.allclose(edited, expected, atol=1e-6)
    assert not torch.allclose(edited, model(x), atol=1e-3)


def test_an_edit_downstream_of_another_sees_its_effect(branches: tuple[nn.Module, TracedModel]) -> None:
    _, model = branches
    x = torch.randn(4, 3, 8, 8)
    seen: list[Tensor] = []

    def look(a: Tensor) -> Tensor:
        seen.append(a)
        return a

    with torch.no_grad():
        rows = model.edited(x, [{"act": lambda a: 0 * a, "left": look}, {"left": look}, {"act": lambda a: 0 * a}])
        bias = model.graph.root.get_parameter("left.bias")
    assert torch.allclose(seen[0], bias[:, None, None].expand_as(seen[0]), atol=1e-6)
    assert torch.allclose(seen[1], model.activations(x, ["left"])["left"], atol=1e-5)
    assert torch.equal(rows[0], rows[2])


def test_pieces_of_a_large_set_of_edits_give_the_same(branches: tuple[nn.Module, TracedModel]) -> None:
    _, model = branches
    x = torch.randn(4, 3, 8, 8)
    edits = [{"left": lambda a, s=s: a * s} for s in range(7)]
    with torch.no_grad():
        whole, cut = model.edited(x, edits), model.edited(x, edits, max_examples=8)
    assert (whole - cut).abs().max() <= 1e-5 * whole.abs().max()


def test_an_edit_of_another_shape_is_refused(branches: tuple[nn.Module, TracedModel]) -> None:
    with pytest.raises(ValueError, match=r"edit of left has the shape \(3, 7\)"):
        branches[1].edited(torch.randn(2, 3, 8, 8), {"left": torch.zeros(3, 7)})


def test_a_written_view_and_a_copy_keep_their_meaning() -> None:
    for network in (Late, Copied):
        module = randomise(network())
        model = TracedModel.from_module(module, torch.randn(2, 3, 8, 8))
        x = torch.randn(4, 3, 8, 8)
        with torch.no_grad():
            assert torch.equal(model(x), module(x))
    with torch.no_grad():
        conv = model.activations(x, ["conv"])["conv"]
    assert conv.min() < 0


def test_noise_is_refused() -> None:
    with pytest.raises(CaptureError, match="different outputs for the same input"):
        TracedModel.from_module(Noisy(), torch.randn(2, 3, 8, 8))


def test_weights_are_shared_with_the_network() -> None:
    module = randomise(Branches())
    model = TracedModel.from_module(module, torch.randn(2, 3, 8, 8))
    x = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        module.head.weight.mul_(2)
        assert torch.equal(model(x), module(x))


def test_a_reduction_runs_in_place_of_the_activation(branches: tuple[nn.Module, TracedModel]) -> None:
    _, model = branches
    x = torch.randn(4, 3, 8, 8)
    with torch.no_grad():
        means, left = model.forward_to(["act", "left"], {"act": lambda a: a.mean((2, 3))})(x)
        assert torch.equal(means, model.activations(x, ["act"])["act"].mean((2, 3)))
    assert left.shape == (4, 8, 8, 8)


def test_gradients_reach_the_input_alone(branches: tuple[nn.Module, TracedModel]) -> None:
    module, model = branches
    x = torch.randn(2, 3, 8, 8, requires_grad=True)
    model.forward_to(["left"])(x)[0].sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0
    assert module.stem.weight.grad is None


def test_the_address_of_a_unit() -> None:
    assert Unit.parse("blocks.3:add:12") == Unit("blocks.3:add", 12)
    assert str(Unit("mixed3b", 379)) == "mixed3b:379"
    with pytest.raises(ValueError, match="write layer:index"):
        Unit.parse("mixed3b")


# --- linearised cuts -----------------------------------------------------------------------------------------------------------


def test_a_linear_network_expands_to_its_composed_kernel() -> None:
    torch.manual_seed(0)
    first, second = nn.Conv2d(3, 6, 3, bias=False), nn.Conv2d(6, 4, 5, bias=False)
    model = TracedModel.from_module(nn.Sequential(first, nn.ReLU(), second).eval(), torch.randn(2, 3, 7, 7))
    cut = model.graph.linearise(["input"], ["2"], gate="one")
    expanded = torch.autograd.functional.jacobian(lambda x: cut([x], cut.freeze({}))[0], torch.zeros(1, 3, 7, 7))
    full = F.conv2d(first.weight.permute(1, 0, 2, 3), second.weight.flip(2, 3), padding=4).permute(1, 0, 2, 3)
    assert (expanded[0, :, 0, 0, 0] - full).abs().max() <= 1e-5 * full.abs().max()


@pytest.mark.parametrize(
    ("name", "options", "gate"),
    [
        ("resnet18", {}, "ratio"),
        ("efficientnet_lite0", {}, "ratio"),
        ("mobilenetv3_small_050", {}, "ratio"),
        ("convnext_atto", {}, "ratio"),
        ("vit_tiny_patch16_224", {"img_size": 64}, "ratio"),
    ],
)
def test_frozen_gates_reproduce_the_clean_run_and_are_affine(name: str, options: dict[str, int], gate: str) -> None:
    import timm

    module = randomise_gently(timm.create_model(name, **options)).double()
    model = TracedModel.from_module(module, torch.randn(2, 3, 64, 64, dtype=torch.float64))
    x, other = torch.randn(2, 2, 3, 64, 64, dtype=torch.float64)
    cut = model.graph.linearise(["input"], [model.graph.output], gate=gate)
    with torch.no_grad():
        frozen = cut.freeze(cut.clean_run(x))
        (value,) = cut([x], frozen)
        expected = model(x)
        assert (value - expected).abs().max() <= 1e-10 * expected.abs().max()
        (zero,), (second,), (both,) = cut([0 * x], frozen), cut([other], frozen), cut([x + other], frozen)
        assert (value + second - zero - both).abs().max() <= 1e-10 * both.abs().max()


def test_what_has_no_linearisation_is_named() -> None:
    class Sorted(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.sort(1).values.mean((2, 3))

    model = TracedModel.from_module(Sorted(), torch.randn(2, 3, 4, 4))
    with pytest.raises(ValueError, match=r"sort.*has no linearisation"):
        model.graph.linearise(["input"], [model.graph.output])


def randomise_gently(module: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for parameter in module.parameters():
        if parameter.dim() > 1:
            nn.init.kaiming_normal_(parameter)
        else:
            nn.init.uniform_(parameter, 0.2, 0.8)
    return module.eval()


# --- attention -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "size", "pattern", "attended"),
    [
        (
            "vit_tiny_patch16_224",
            {"img_size": 64},
            64,
            "blocks.3.attn:pattern",
            "blocks.3.attn:scaled_dot_product_attention",
        ),
        ("swin_tiny_patch4_window7_224", {"img_size": 56}, 56, "layers.1.blocks.0.attn:pattern", None),
    ],
)
def test_exposed_patterns_are_distributions_and_leave_the_output(
    name: str, options: dict[str, int], size: int, pattern: str, attended: str | None
) -> None:
    import timm

    module = randomise_gently(timm.create_model(name, **options))
    model = TracedModel.from_module(module, torch.randn(2, 3, size, size))
    exposed = model.graph.expose_attention()
    x = torch.randn(3, 3, size, size)
    with torch.no_grad():
        output, weights = exposed.cut(["input"], [exposed.output, pattern])(x)
        expected = model(x)
        assert (output - expected).abs().max() <= 1e-4 * expected.abs().max()
        assert torch.allclose(weights.sum(-1), torch.ones(()), atol=1e-5)
        assert exposed.layer(pattern).units == weights.shape[1]
        if attended:
            (fused,) = model.forward_to([attended])(x)
            (written_out,) = exposed.cut(["input"], [attended])(x)
            assert (fused - written_out).abs().max() <= 1e-4 * fused.abs().max()


def test_inference_overwrites_only_what_nobody_reads():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.bn, self.act = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(inplace=True)

        def forward(self, x):
            y = self.act(self.bn(self.conv(x)))
            z = self.conv(y)
            z += y  # y is read twice, z only here
            return self.act(z) + self.conv(z)

    torch.manual_seed(0)
    module = Block().eval()
    model = TracedModel.from_module(module, torch.rand(2, 3, 8, 8))
    x = torch.rand(4, 3, 8, 8)
    piece = model.graph.cut([model.graph.name(model.graph.inputs[0])], [model.graph.output])
    overwriting = [
        node for node in piece.module.graph.nodes if getattr(node.target, "__name__", "") in ("_relu", "_add")
    ]
    assert len(overwriting) >= 2
    with torch.no_grad():
        expected = module(x)
    with torch.inference_mode():
        every = {name: layer.clone() for name, layer in model.activations(x, list(model.layers)).items()}
        assert torch.equal(piece(x)[0], expected)
        for name in model.layers:  # alone, so that all others may be overwritten
            assert torch.equal(model.activations(x, [name])[name], every[name]), name
    with torch.autocast("cpu", torch.bfloat16):  # where a sum may be of two kinds of numbers
        with torch.no_grad():
            expected = piece(x)[0]
        with torch.inference_mode():
            assert torch.equal(piece(x)[0], expected)
    gradient = torch.autograd.grad(piece(x.requires_grad_())[0].sum(), x)[0]
    assert gradient.abs().sum() > 0


def test_a_short_number_is_not_overwritten_by_the_sum_with_a_long_one():
    module = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.Identity())

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = module

        def forward(self, x):
            return self.inner(x) + x

    model = TracedModel.from_module(Residual().eval(), torch.rand(2, 3, 8, 8))
    piece = model.graph.cut([model.graph.name(model.graph.inputs[0])], [model.graph.output])
    found = []
    for mode in (torch.no_grad, torch.inference_mode):
        with mode(), torch.autocast("cpu", torch.bfloat16):
            found.append(piece(torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)))[0])
    assert found[0].dtype == found[1].dtype == torch.float32 and torch.equal(found[0], found[1])


def test_two_inputs_that_are_one_tensor_in_the_example_stay_two() -> None:
    class Difference(nn.Module):
        def forward(self, first: Tensor, second: Tensor) -> Tensor:
            return 2 * first - second

    same = torch.rand(2, 3, 4, 4)
    model = TracedModel.from_module(Difference(), (same, same))
    first, second = torch.rand(2, 2, 3, 4, 4)
    assert torch.equal(model(first, second), 2 * first - second)


def test_the_tokens_of_a_text_are_no_patches_of_an_image() -> None:
    """32 tokens would be seven before 5 x 5 patches, where nobody knows better."""
    caption = workbench.load("bundled:caption-lm")
    texts = [layer for layer in caption.layers.values() if len(layer.positions) == 1 and layer.rows == 1]
    clip = workbench.load("bundled:clip-rn")
    texts += [layer for layer in clip.layers.values() if layer.name.startswith("transformer.") and len(layer.positions) == 1]
    texts = [layer for layer in texts if layer.rows == 1]
    assert len(texts) > 20 and not any(layer.seen for layer in texts)
    for layer in texts:
        tokens = layer.positions[0]
        assert patch_grid(tokens) is not None and layer.grid(tokens) is None
        values = torch.arange(float(tokens)).expand(1, layer.units, tokens)
        values = (values if layer.unit_axis == 0 else values.movedim(1, 2)).movedim(0, layer.batch_axis)
        assert on_grid(layer, values, (32, 32)).shape == (1, layer.units, 1, 1), "the mean over the words, and no map"
        assert as_map(layer.arrange(values), layer, (32, 32)) is None
        assert centre(layer) == (tokens // 2,), "the word in the middle"
    vit = workbench.load("bundled:vit")
    assert all(layer.seen for layer in vit.layers.values()) and vit.layer("blocks.2").grid(vit.layer("blocks.2").positions[0]) is not None
    assert all(layer.seen == name.startswith("visual") for name, layer in clip.layers.items() if len(layer.positions) == 1)
