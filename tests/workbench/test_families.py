"""The graph against the network it was made from, over families of timm and torchvision with random weights.

Weights are random down to the heads, running statistics and layer scales: fresh ones give all-zero logits, behind which any mistake
would hide. Networks are the smallest of their family, images as small as they take.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from workbench.models.layer import Layer
from workbench.models.traced_model import TracedModel

BATCH = 2


@dataclass(frozen=True)
class Family:
    name: str
    build: Callable[[], nn.Module]
    size: int = 64


def from_timm(name: str, size: int = 64, fixed: bool = False, **options: object) -> Family:
    if fixed:
        options["img_size"] = size
    return Family(f"timm {name}", partial(timm.create_model, name, **options), size)


def from_torchvision(name: str, size: int = 64, **options: object) -> Family:
    return Family(f"torchvision {name}", partial(getattr(torchvision.models, name), weights=None, **options), size)


FAMILIES = [
    from_timm("resnet18"),
    from_timm("tf_efficientnet_lite0"),
    from_timm("mobilenetv3_small_050"),
    from_timm("convnext_atto"),
    from_timm("vit_tiny_patch16_224", fixed=True, depth=4),
    from_timm("swin_tiny_patch4_window7_224", 56, fixed=True, depths=(2, 2, 2, 1)),
    from_timm("mixer_s32_224", fixed=True),
    from_timm("levit_128s", fixed=True),
    from_timm("cait_xxs24_224", fixed=True, depth=4),
    from_timm("deit_tiny_distilled_patch16_224", fixed=True, depth=4),
    from_timm("maxvit_pico_rw_256", fixed=True, depths=(1, 1, 1, 1)),
    from_timm("poolformer_s12"),
    from_timm("regnety_002"),
    from_torchvision("googlenet", init_weights=False, transform_input=True),
    from_torchvision("inception_v3", 96, init_weights=False),
    Family("torchvision densenet", partial(torchvision.models.DenseNet, growth_rate=8, block_config=(2, 3, 3, 2))),
    from_torchvision("squeezenet1_1"),
    from_torchvision("shufflenet_v2_x0_5"),
    from_torchvision("mnasnet0_5"),
    from_torchvision("mobilenet_v2"),
    from_torchvision("vgg11", 32),
    Family(
        "torchvision vit",
        partial(
            torchvision.models.VisionTransformer,
            image_size=64, patch_size=16, num_layers=3, num_heads=4, hidden_dim=64, mlp_dim=128,
        ),
    ),
    Family(
        "torchvision swin",
        partial(
            torchvision.models.SwinTransformer,
            patch_size=[4, 4], embed_dim=32, depths=[2, 2], num_heads=[2, 4], window_size=[7, 7],
        ),
    ),
]  # fmt: skip


@dataclass(frozen=True)
class Subject:
    module: nn.Module
    model: TracedModel
    x: Tensor
    rows: int = BATCH


def randomise(module: nn.Module) -> nn.Module:
    """Random numbers everywhere, of a size that neither dies out nor blows up on the way."""
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        with torch.no_grad():
            if not tensor.is_floating_point():
                continue
            if isinstance(tensor, nn.Parameter) and tensor.dim() > 1:
                tensor.normal_(0, (1 / max(1, tensor[0].numel())) ** 0.5)
            elif name.endswith(("bias", "running_mean")):
                tensor.normal_(0, 0.3)
            elif isinstance(tensor, nn.Parameter) or name.endswith("running_var"):
                tensor.uniform_(0.5, 1)
    return module.eval()


@pytest.fixture(scope="module", params=FAMILIES, ids=lambda family: family.name)
def subject(request: pytest.FixtureRequest) -> Subject:
    family: Family = request.param
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = randomise(family.build())
    model = TracedModel.from_module(module, torch.randn(2, 3, family.size, family.size))
    return Subject(module, model, torch.randn(BATCH, 3, family.size, family.size))


def hooked(module: nn.Module, x: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """Return what every module makes (cloned at once: in-place operations overwrite it later), and the output.

    The k-th call of a module stands under ``name@k``. Modules that hand on what they are given make nothing.
    """
    seen: dict[str, Tensor] = {}
    counts: dict[str, int] = {}

    def record(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
            k = counts.get(name, 0)
            counts[name] = k + 1
            made = [value for value in (output if isinstance(output, tuple) else (output,)) if isinstance(value, Tensor)]
            if len(made) == 1 and not any(made[0] is value for value in inputs):
                seen[f"{name}@{k}" if k else name] = made[0].clone()

        return hook

    handles = [child.register_forward_hook(record(name)) for name, child in module.named_modules() if name]
    with torch.no_grad():
        output = module(x)
    for handle in handles:
        handle.remove()
    return seen, output


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format], ids=["channels_last", "contiguous"])
def test_output_and_every_layer_equal_a_cloned_hook_bit_for_bit(subject: Subject, layout: torch.memory_format) -> None:
    x = subject.x.contiguous(memory_format=layout)
    seen, output = hooked(subject.module, x)
    assert output.isfinite().all() and output.std() > 1e-3 and not torch.equal(output[0], output[1])
    with torch.no_grad():
        assert torch.equal(subject.model(x), output)
        captured = subject.model.activations(x, list(seen))
    assert len(seen) >= 10
    for name, expected in seen.items():
        assert torch.equal(captured[name], expected), name


def sampled(model: TracedModel, count: int) -> list[Layer]:
    """Take layers at equal distances from the first after the input to the last before the output."""
    inner = [layer for layer in model.layers.values() if layer.name not in ("input", model.graph.output)]
    return [inner[round(i * (len(inner) - 1) / (count - 1))] for i in range(count)]


def test_an_edit_that_changes_nothing_changes_no_bit(subject: Subject) -> None:
    model, x = subject.model, subject.x
    with torch.no_grad():
        for layer in sampled(model, 4):
            clean = model.activations(x, [layer.name])[layer.name]
            rows = model.edited(x, [{}, {layer.name: lambda a: a}, {layer.name: clean}, {}])
            assert torch.equal(rows[0], rows[1]) and torch.equal(rows[0], rows[2]), layer.name


def test_many_edits_in_one_batch_are_the_same_one_at_a_time(subject: Subject) -> None:
    model, x = subject.model, subject.x
    layers = sampled(model, 3)
    edits = [{}] + [{layer.name: partial(torch.mul, other=factor)} for layer in layers for factor in (0.0, 1.5)]
    edits.append({layer.name: partial(torch.add, other=0.1) for layer in layers})
    with torch.no_grad():
        rows = model.edited(x, edits)
        largest = rows.abs().max()
        for row, edit in zip(rows, edits, strict=True):
            single = model.edited(x, edit)
            assert (row - single).abs().max() <= 1e-5 * largest, edit
        assert (rows[0] - model(x)).abs().max() <= 1e-5 * largest
        assert all((row - rows[0]).abs().max() > 0 for row in rows[1:])


def test_one_cut_after_another_is_the_whole(subject: Subject) -> None:
    model, x = subject.model, subject.x
    output = model.graph.output
    with torch.no_grad():
        (whole,) = model.forward_to([output])(x)
        for layer in sampled(model, 3):
            frontier = model.graph.frontier([layer.name], [output])
            values = model.forward_to([layer.name, *frontier])(x)
            (rest,) = model.graph.cut([layer.name, *frontier], [output])(*values)
            assert torch.equal(rest, whole), layer.name


def test_layers_say_their_shape(subject: Subject) -> None:
    model = subject.model
    layers = sampled(model, 8)
    with torch.no_grad():
        activations = model.activations(subject.x, [layer.name for layer in layers])
    for layer in layers:
        arranged = layer.arrange(activations[layer.name])
        assert arranged.shape == (BATCH, layer.units, *layer.positions), layer
