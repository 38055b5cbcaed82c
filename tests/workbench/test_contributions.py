"""The table of contributions against sums written out by hand, in float64, weight by weight."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import workbench
from workbench.analyses.analysis import Result
from workbench.analyses.contributions import Contributions
from workbench.images.array_set import ArraySet
from workbench.input_error import InputError
from workbench.models.affine import affine_sources, before_activation
from workbench.models.layer import Unit
from workbench.models.traced_model import TracedModel

BAR = 1e-5


def randomised(module: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for parameter in module.parameters():
        if parameter.dim() > 1:
            nn.init.kaiming_normal_(parameter)
        else:
            nn.init.uniform_(parameter, -0.5, 0.8)
    for name, buffer in module.named_buffers():
        if "running_var" in name:
            buffer.uniform_(0.5, 2)
        elif "running_mean" in name:
            buffer.normal_()
    return module.eval()


def images(number: int = 2, side: int = 17) -> ArraySet:
    return ArraySet(np.random.default_rng(0).integers(0, 256, (number, side, side, 3), dtype=np.uint8))


def traced(module: nn.Module, side: int = 17) -> TracedModel:
    return TracedModel.from_module(randomised(module), torch.randn(2, 3, side, side))


def activations(model: TracedModel, *layers: str, image: int = 0) -> list[Tensor]:
    """What the network computes on one image, in float64 for the sums."""
    pixels = np.array(images(side=model.preprocessing.size[0]).image(image, model.preprocessing.size))
    x = model.preprocess(pixels[None])
    with torch.no_grad():
        return [value[0].double() for value in model.activations(x, layers).values()]


def shares(conv: nn.Conv2d, x: Tensor, unit: int, y: int, x_: int) -> Tensor:
    """Sum over the kernel of weight * input, for each input channel, one product after the other."""
    weight = conv.weight.detach().double()[unit]
    per_group = conv.in_channels // conv.groups
    first = unit // (conv.out_channels // conv.groups) * per_group
    padded = F.pad(x, (conv.padding[1],) * 2 + (conv.padding[0],) * 2)
    found = torch.zeros(conv.in_channels, dtype=torch.float64)
    for channel in range(per_group):
        for i in range(conv.kernel_size[0]):
            for j in range(conv.kernel_size[1]):
                row, column = y * conv.stride[0] + i * conv.dilation[0], x_ * conv.stride[1] + j * conv.dilation[1]
                found[first + channel] += weight[channel, i, j] * padded[first + channel, row, column]
    return found


def folded(bn: nn.BatchNorm2d, unit: int) -> tuple[float, float]:
    """Factor and shift of BatchNorm."""
    factor = float(bn.weight[unit].double() / (bn.running_var[unit].double() + bn.eps).sqrt())
    return factor, float(bn.bias[unit].double() - bn.running_mean[unit].double() * factor)


def table(result: Result, layer: str) -> Tensor:
    """The contributions of one source, by unit."""
    arrays = result.arrays
    place = [source["layer"] for source in result.summary["sources"]].index(layer)
    mine = arrays["source"] == place
    found = torch.full((result.summary["sources"][place]["units"],), torch.nan, dtype=torch.float64)
    found[arrays["unit"][mine]] = torch.from_numpy(arrays["contribution"][mine]).double()
    return found


def holds(result: Result, expected: dict[str, Tensor], bias: float) -> None:
    """Every row is the sum written out, and together they are the pre-activation; against the sum of their sizes."""
    summary = result.summary
    assert [source["layer"] for source in summary["sources"]] == list(expected)
    size = sum(float(share.abs().sum()) for share in expected.values()) + abs(bias)
    for layer, share in expected.items():
        assert (table(result, layer) - share).abs().max() <= BAR * size, layer
    assert abs(summary["bias"] - bias) <= BAR * size
    total = float(result.arrays["contribution"].sum(dtype=np.float64)) + summary["bias"] + summary["remainder"]
    assert abs(total - summary["pre_activation"]) <= BAR * size
    assert summary["error"] == pytest.approx(abs(total - summary["pre_activation"]), abs=1e-12)
    assert summary["relative_error"] <= BAR
    assert len(result.arrays["unit"]) == sum(map(len, expected.values()))


class Plain(nn.Module):
    """Two convolutions, the second as asked for, with BatchNorm."""

    def __init__(self, **options: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 6, 3, **options)
        self.bn = nn.BatchNorm2d(6)
        self.act = nn.ReLU(inplace=True)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.bn(self.second(F.relu(self.first(x)))))
        return self.head(x.mean((2, 3)))


@pytest.mark.parametrize(
    "options",
    [{"stride": 2, "padding": 1}, {"groups": 2, "padding": 1}, {"dilation": 2, "padding": 2}, {"stride": 3, "groups": 2}],
    ids=str,
)
def test_rows_are_the_convolution_written_out(options: dict[str, int]) -> None:
    module = Plain(**options)
    model = traced(module)
    (source,) = (name for name in model.layers if model.layer(name).kind == "relu" and name != "act")
    (x,) = activations(model, source, image=1)
    y, x_ = 1, 3
    factor, shift = folded(module.bn, 4)
    expected = factor * shares(module.second, x, 4, y, x_)
    bias = factor * float(module.second.bias[4]) + shift
    for layer in ("bn", "act"):
        result = Contributions(layer=layer, unit=4, image=1, position=(y, x_)).run(model, images())
        holds(result, {source: expected}, bias)
        assert result.summary["pre"] == "bn:4"
        assert result.summary["activation"] == pytest.approx(
            result.summary["pre_activation"] if layer == "bn" else max(0, result.summary["pre_activation"])
        )
        assert result.summary["held"] == [] and result.summary["remainder"] == 0
        assert result.summary["explained"] == pytest.approx(1)


class Blocks(nn.Module):
    """A residual block whose skip is a convolution, one whose skip is nothing, and a concatenation with a pooled branch."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.down = nn.Conv2d(4, 6, 1, stride=2)
        self.inner = nn.Conv2d(4, 6, 3, stride=2, padding=1)
        self.outer = nn.Conv2d(6, 6, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(6)
        self.left = nn.Conv2d(6, 3, 1)
        self.right = nn.Conv2d(6, 5, 3, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.last = nn.Conv2d(14, 7, 3, padding=1)
        self.head = nn.Linear(7, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.stem(x))
        skip = self.down(x)
        x = self.act(self.inner(x))
        x = self.bn(self.outer(x))
        x += skip
        x = self.act(x)
        both = torch.cat([self.act(self.left(x)), self.act(self.right(x)), F.avg_pool2d(x, 3, 1, 1)], 1)
        return self.head(self.act(self.last(both)).mean((2, 3)))


@pytest.fixture(scope="module")
def blocks() -> tuple[Blocks, TracedModel]:
    module = Blocks()
    return module, traced(module)


def test_each_branch_of_a_residual_sum_is_a_source(blocks: tuple[Blocks, TracedModel]) -> None:
    module, model = blocks
    stem, inner = activations(model, "act", "act@1")
    factor, shift = folded(module.bn, 2)
    for position in ((0, 0), (4, 7)):
        expected = {"act": shares(module.down, stem, 2, *position), "act@1": factor * shares(module.outer, inner, 2, *position)}
        result = Contributions(layer="act@2", unit=2, position=position).run(model, images())
        holds(result, expected, float(module.down.bias[2]) + shift)


def test_each_branch_of_a_concatenation_is_a_source_through_average_pooling(blocks: tuple[Blocks, TracedModel]) -> None:
    module, model = blocks
    left, right, summed = activations(model, "act@3", "act@4", "act@2")
    both = torch.cat([left, right, F.avg_pool2d(summed[None], 3, 1, 1)[0]])
    share = shares(module.last, both, 6, 3, 8)
    result = Contributions(layer="act@5", unit=6, position=(3, 8)).run(model, images())
    holds(result, {"act@2": share[8:], "act@3": share[:3], "act@4": share[3:8]}, float(module.last.bias[6]))


def test_a_unit_of_a_concatenation_is_that_of_its_branch(blocks: tuple[Blocks, TracedModel]) -> None:
    _, model = blocks
    cat = next(name for name, layer in model.layers.items() if layer.kind == "cat")
    assert before_activation(model.graph, Unit(cat, 1)) == Unit("left", 1)
    assert before_activation(model.graph, Unit(cat, 6)) == Unit("right", 3)
    result = Contributions(layer=cat, unit=6).run(model, images())
    assert result.summary["unit"] == f"{cat}:6" and result.summary["pre"] == "right:3"
    assert result.summary["activation"] == max(0, result.summary["pre_activation"])
    assert [source["layer"] for source in result.summary["sources"]] == ["act@2"]


def test_what_is_not_asked_for_stands_in_one_row_and_the_sum_still_holds(blocks: tuple[Blocks, TracedModel]) -> None:
    module, model = blocks
    (down,) = activations(model, "down")
    whole = Contributions(layer="act@2", unit=2, position=(4, 7)).run(model, images())
    result = Contributions(layer="act@2", unit=2, position=(4, 7), sources=("act@1",)).run(model, images())
    assert torch.equal(table(result, "act@1"), table(whole, "act@1"))
    (rest,) = (source for source in result.summary["sources"] if not source["asked"])
    assert rest["layer"] == "down"
    assert rest["contribution"] == pytest.approx(float(down[2, 4, 7]), rel=1e-5)
    (row,) = np.flatnonzero(result.arrays["unit"] == -1)
    assert result.arrays["contribution"][row] == pytest.approx(rest["contribution"])
    assert np.isnan(result.arrays["activation"][row]) and (result.arrays["place"][row] == -1).all()
    assert result.summary["relative_error"] <= BAR
    assert result.summary["bias"] == pytest.approx(whole.summary["bias"] - float(module.down.bias[2]), rel=1e-5)


def test_maps_say_where_a_row_comes_from_and_a_row_can_be_followed(blocks: tuple[Blocks, TracedModel]) -> None:
    _, model = blocks
    result = Contributions(layer="act@5", unit=6, position=(3, 8), maps=3).run(model, images())
    arrays = result.arrays
    assert {name for name in arrays if name.startswith("map/")} == {"map/0", "map/1", "map/2"}
    assert (np.diff(np.abs(arrays["contribution"])) <= 0).all()
    for row in range(3):
        found = arrays[f"map/{row}"]
        assert found.shape == (9, 9)
        assert found.sum() == pytest.approx(arrays["contribution"][row], rel=1e-5)
        y, x = arrays["place"][row]
        assert abs(found[y, x]) == np.abs(found).max()
        reached = np.argwhere(found)
        assert np.abs(reached - [3, 8]).max() <= 2, "3 x 3, behind pooling over 3 x 3"
        layer, unit = result.summary["sources"][arrays["source"][row]]["layer"], int(arrays["unit"][row])
        followed = Contributions(layer=layer, unit=unit, position=(int(y), int(x))).run(model, images())
        assert followed.summary["activation"] == pytest.approx(float(arrays["activation"][row]), rel=1e-5)


def test_without_a_position_it_is_where_the_unit_is_most_active(blocks: tuple[Blocks, TracedModel]) -> None:
    _, model = blocks
    (pre,) = activations(model, "last")
    strongest = Contributions(layer="act@5", unit=6).run(model, images()).summary
    assert strongest["position"] == [int(i) for i in np.unravel_index(int(pre[6].argmax()), (9, 9))]
    assert strongest["pre_activation"] == pytest.approx(float(pre[6].max()), rel=1e-5)
    assert Contributions(layer="act@5", unit=6, at="centre").run(model, images()).summary["position"] == [4, 4]


def test_the_centre_of_a_transformer_is_its_middle_patch() -> None:
    model = workbench.load("bundled:vit")
    shown = images(side=model.preprocessing.size[0])
    summary = Contributions(layer="blocks.1", unit=5, at="centre", maps=0).run(model, shown).summary
    assert summary["positions"] == [65] and summary["position"] == [1 + 4 * 8 + 4], "behind the class token, of 8 x 8 patches"
    (value,) = activations(model, "blocks.1")
    assert summary["activation"] == pytest.approx(float(value[1 + 4 * 8 + 4, 5]), rel=1e-5)


def test_a_max_pooling_is_a_source_and_has_a_table_of_one_place() -> None:
    class Pooled(nn.Module):
        def __init__(self, pool: nn.Module) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 5, 3)
            self.pool = pool
            self.last = nn.Conv2d(5, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.pool(F.relu(self.conv(x)))).mean((2, 3))

    class WithPlaces(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.max_pool2d(x, 3, 2, return_indices=True)[0]

    for pool in (nn.MaxPool2d(3, 2), WithPlaces(), nn.AdaptiveMaxPool2d(2)):
        model = traced(Pooled(pool))
        assert affine_sources(model.graph, "last") == ["pool"]
        relu, pooled = activations(model, "conv", "pool")
        result = Contributions(layer="pool", unit=3, position=(1, 1)).run(model, images())
        assert result.arrays["contribution"][0] == pytest.approx(float(pooled[3, 1, 1]), rel=1e-6)
        assert result.arrays["unit"][0] == 3 and not result.arrays["contribution"][1:].any()
        y, x = result.arrays["place"][0]
        assert float(relu[3, y, x].relu()) == pytest.approx(float(pooled[3, 1, 1]), rel=1e-6)
        assert result.summary["relative_error"] <= BAR and len(result.summary["held"]) == 1
        if not isinstance(pool, nn.AdaptiveMaxPool2d):
            average = Contributions(layer="pool", unit=3, position=(1, 1), gate="derivative").run(model, images())
            expected = relu[3, 2:5, 2:5].relu().mean()
            assert table(average, average.summary["sources"][0]["layer"])[3] == pytest.approx(float(expected), rel=1e-5)
            assert average.summary["remainder"] == pytest.approx(float(pooled[3, 1, 1] - expected), rel=1e-4)


def test_a_network_captured_on_the_slow_road_has_the_same_table() -> None:
    """A write to a view: BatchNorm is then an operation that hands out several tensors."""

    class Late(Plain):
        def forward(self, x: Tensor) -> Tensor:
            x = F.relu(self.first(x))
            half = x[:, :4]
            x.mul_(2.0)
            x = self.act(self.bn(self.second(x)))
            return self.head(x.mean((2, 3)) + half.mean((1, 2, 3))[:, None])

    module = Late(stride=2, padding=1)
    model = traced(module)
    assert any("_native_batch_norm" in str(node.target) for node in model.graph.graph.nodes)
    (source,) = affine_sources(model.graph, "bn")
    (x,) = activations(model, source)
    factor, shift = folded(module.bn, 4)
    result = Contributions(layer="act", unit=4, position=(1, 3)).run(model, images())
    expected = factor * shares(module.second, 2 * x, 4, 1, 3)
    holds(result, {source: expected}, factor * float(module.second.bias[4]) + shift)


def test_linear_layers_and_the_input_itself() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 25, 7), nn.ReLU(), nn.Linear(7, 4))
    model = traced(module, 5)
    hidden, pixels = activations(model, "2", "input")
    result = Contributions(layer="3", unit=1).run(model, images(side=5))
    holds(result, {"2": module[3].weight[1].detach().double() * hidden}, float(module[3].bias[1]))
    assert result.summary["position"] == [] and result.arrays["place"].shape == (7, 0)
    result = Contributions(layer="2", unit=4).run(model, images(side=5))
    expected = (module[1].weight[4].detach().double().reshape(3, 5, 5) * pixels).sum((1, 2))
    holds(result, {"input": expected}, float(module[1].bias[4]))
    with pytest.raises(InputError, match="nothing comes before input"):
        Contributions(layer="input", unit=0).run(model, images(side=5))


@pytest.fixture(scope="module")
def transformer() -> TracedModel:
    import timm

    return traced(timm.create_model("vit_tiny_patch16_224", img_size=32, depth=3, num_classes=5), 32)


def test_tokens_of_a_transformer(transformer: TracedModel) -> None:
    model = transformer
    weight, bias = (model.graph.root.get_parameter(f"blocks.1.mlp.fc1.{name}").detach().double() for name in ("weight", "bias"))
    (norm,) = activations(model, "blocks.1.norm2")
    result = Contributions(layer="blocks.1.mlp.act", unit=9, position=(3,)).run(model, images(side=32))
    holds(result, {"blocks.1.norm2": weight[9] * norm[3]}, float(bias[9]))


def test_the_stream_is_the_sum_of_everything_written_to_it(transformer: TracedModel) -> None:
    """Position embeddings and the class token depend on no image: they are bias."""
    result = Contributions(layer="blocks.2", unit=11, position=(0,)).run(transformer, images(side=32))
    sources = [source["layer"] for source in result.summary["sources"]]
    assert sources[0] == "input" and len(sources) == 7
    assert [transformer.layer(name).kind for name in sources[1:]] == ["scaled_dot_product_attention", "gelu"] * 3
    assert result.summary["held"] == [] and result.summary["relative_error"] <= BAR
    assert not table(result, "input").any(), "the class token is written by no pixel"


def test_held_gates_leave_an_honest_remainder(transformer: TracedModel) -> None:
    model, root = transformer, transformer.graph.root
    first, second = (root.get_parameter(f"blocks.1.mlp.{name}.weight").detach().double() for name in ("fc1", "fc2"))
    shift = root.get_parameter("blocks.1.mlp.fc2.bias").detach().double()
    norm, hidden, out = activations(model, "blocks.1.norm2", "blocks.1.mlp.fc1", "blocks.1.mlp.fc2")
    there = {"layer": "blocks.1.mlp.fc2", "unit": 5, "position": (2,), "sources": ("blocks.1.norm2",)}
    point = hidden[2].clone().requires_grad_()
    (slope,) = torch.autograd.grad(F.gelu(point).sum(), point)
    for gate, held in (("derivative", slope), ("ratio", F.gelu(hidden[2]) / hidden[2])):
        result = Contributions(gate=gate, **there).run(model, images(side=32))
        expected = ((second[5] * held)[:, None] * first).sum(0) * norm[2]
        linear = float((second[5] * held * hidden[2]).sum() + shift[5])
        size = float(expected.abs().sum())
        assert (table(result, "blocks.1.norm2") - expected).abs().max() <= BAR * size
        assert abs(result.summary["remainder"] - (float(out[2, 5]) - linear)) <= BAR * size
        assert result.summary["relative_error"] <= BAR
        assert result.summary["held"] == ["blocks.1.mlp.act"]
        if gate == "derivative":
            assert abs(result.summary["remainder"]) > 1e-2 and result.summary["explained"] < 0.999
        else:
            assert result.summary["explained"] == pytest.approx(1)


def test_attention_and_layer_norm_are_held_and_nothing_is_lost(transformer: TracedModel) -> None:
    result = Contributions(layer="blocks.2.mlp.act", unit=3, position=(1,), sources=("blocks.0",)).run(
        transformer, images(side=32)
    )
    assert {"blocks.1.norm1", "blocks.1.attn:scaled_dot_product_attention", "blocks.1.mlp.act"} <= set(result.summary["held"])
    assert result.summary["relative_error"] <= BAR
    assert abs(result.summary["remainder"]) <= 1e-4 and result.summary["explained"] == pytest.approx(1, abs=1e-4)
    assert [source["layer"] for source in result.summary["sources"]] == ["blocks.0"]


def test_a_product_of_two_values_is_a_source() -> None:
    import timm

    model = traced(timm.create_model("mobilenetv3_small_050", num_classes=5), 32)
    linear = "blocks.2.0.conv_pwl"
    (source,) = affine_sources(model.graph, linear)
    assert model.layer(source).kind == "mul", "squeeze-and-excite"
    result = Contributions(layer=linear, unit=0).run(model, images(side=32))
    assert result.summary["relative_error"] <= BAR and result.summary["held"] == []
    farther = affine_sources(model.graph, source)
    result = Contributions(layer=linear, unit=0, sources=tuple(farther)).run(model, images(side=32))
    assert result.summary["held"] == [source] and result.summary["relative_error"] <= BAR


def test_what_does_not_fit_is_said_in_one_line(blocks: tuple[Blocks, TracedModel]) -> None:
    _, model = blocks
    for wrong, message in (
        ({"unit": 6}, "act@2 has units 0 to 5, not 6"),
        ({"image": 2}, "has images 0 to 1, not 2"),
        ({"position": (9, 0)}, "no position 9,0; there is 0 to 8 x 0 to 8"),
        ({"position": (1,)}, "no position 1; there is"),
        ({"sources": ("act@3",)}, "act@3 does not feed"),
        ({"sources": ("actt@1",)}, "did you mean"),
    ):
        with pytest.raises(InputError, match=message):
            Contributions(**{"layer": "act@2", "unit": 2} | wrong).run(model, images())


def test_bundled_networks(tmp_path) -> None:
    curve = workbench.load("bundled:planted/curve_net")
    emoji = workbench.load_images("emoji")
    result = Contributions(layer="curve_relu", unit=2, image=40).run(curve, emoji)
    assert [source["layer"] for source in result.summary["sources"]] == ["gabor_relu"]
    assert result.summary["relative_error"] <= BAR
    pooled = Contributions(layer="pool", unit=2, image=40).run(curve, emoji)
    assert pooled.summary["pre_activation"] == pytest.approx(result.summary["activation"], rel=1e-6)
    result.save(tmp_path)
    assert (tmp_path / "figures" / "contributions.png").stat().st_size > 5000
