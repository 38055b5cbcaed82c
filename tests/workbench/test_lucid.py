"""InceptionV1 as released: its names, its numbers against formulas written out, and where its weights are looked for."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

import main
from workbench import imagenet
from workbench.models.inception_v1 import InceptionV1, LocalResponseNorm, SameConv2d, class_names
from workbench.models.layer import Unit
from workbench.models.linearise import linearise
from workbench.models.loading import LoadError, entries, load
from workbench.models.published_families import INCEPTION5H
from workbench.models.sources import download, lucid
from workbench.models.sources import file as file_source
from workbench.models.sources.lucid import LucidArchitecture
from workbench.models.sources.recognition import recognise
from workbench.models.traced_model import TracedModel
from workbench.task import Task

# Inputs and the widths of 1x1, 3x3_bottleneck, 3x3, 5x5_bottleneck, 5x5 and pool_reduce, as the convolutions in Lucent have them.
BLOCKS = {
    "mixed3a": (192, 64, 96, 128, 16, 32, 32),
    "mixed3b": (256, 128, 128, 192, 32, 96, 64),
    "mixed4a": (480, 192, 96, 204, 16, 48, 64),
    "mixed4b": (508, 160, 112, 224, 24, 64, 64),
    "mixed4c": (512, 128, 128, 256, 24, 64, 64),
    "mixed4d": (512, 112, 144, 288, 32, 64, 64),
    "mixed4e": (528, 256, 160, 320, 32, 128, 128),
    "mixed5a": (832, 256, 160, 320, 48, 128, 128),
    "mixed5b": (832, 384, 192, 384, 48, 128, 128),
}


def lucents_state() -> OrderedDict[str, Tensor]:
    """Random weights under the names and of the shapes of Lucent's file."""
    shapes = {"conv2d0": (64, 3, 7, 7), "conv2d1": (64, 64, 1, 1), "conv2d2": (192, 64, 3, 3)}
    for block, (inputs, plain, bottleneck3, wide3, bottleneck5, wide5, pooled) in BLOCKS.items():
        shapes |= {
            f"{block}_1x1": (plain, inputs, 1, 1),
            f"{block}_3x3_bottleneck": (bottleneck3, inputs, 1, 1),
            f"{block}_5x5_bottleneck": (bottleneck5, inputs, 1, 1),
            f"{block}_pool_reduce": (pooled, inputs, 1, 1),
            f"{block}_3x3": (wide3, bottleneck3, 3, 3),
            f"{block}_5x5": (wide5, bottleneck5, 5, 5),
        }
    named = {f"{name}_pre_relu_conv": shape for name, shape in shapes.items()} | {
        "softmax2_pre_activation_matmul": (1008, 1024)
    }
    generator = torch.Generator().manual_seed(7)
    state: OrderedDict[str, Tensor] = OrderedDict()
    for name, shape in named.items():
        fan = torch.Size(shape[1:]).numel()
        state[f"{name}.weight"] = torch.randn(shape, generator=generator) * (2 / fan) ** 0.5
        state[f"{name}.bias"] = torch.randn(shape[0], generator=generator)
    return state


@pytest.fixture(scope="module")
def state() -> OrderedDict[str, Tensor]:
    return lucents_state()


@pytest.fixture(scope="module")
def home(state: OrderedDict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home of torch hub that has a file of Lucent's name."""
    path = tmp_path_factory.mktemp("torch")
    (path / "hub/checkpoints").mkdir(parents=True)
    torch.save(state, path / "hub/checkpoints/inception5h.pth")
    return path


@pytest.fixture(scope="module")
def model(home: Path) -> Iterator[TracedModel]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(home))
        yield load("lucid:inceptionv1")


@pytest.fixture(scope="module")
def x(model: TracedModel) -> Tensor:
    return model.preprocess(torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(1)))


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a source hands to `trace`, which takes seconds and is not run."""
    kept: dict[str, Any] = {}

    def keep(module: Any, preprocessing: Any, **card: Any) -> TracedModel:
        kept.update(card, module=module, preprocessing=preprocessing)
        return TracedModel.__new__(TracedModel)

    for source in (lucid, file_source):
        monkeypatch.setattr(source, "trace", keep)
    return kept


# --- what it computes ----------------------------------------------------------------------------------------------------------


def same(x: Tensor, kernel: int, stride: int, value: float) -> Tensor:
    """TensorFlow's padding SAME, from its documentation: all of what is missing, the smaller half in front."""
    pads: list[int] = []
    for size in (x.shape[3], x.shape[2]):
        over = size % stride
        missing = max(kernel - (over if over else stride), 0)
        pads += [missing // 2, missing - missing // 2]
    return functional.pad(x, pads, value=value)


def written_out(state: OrderedDict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
    """Every layer, by functions alone."""
    found: dict[str, Tensor] = {}

    def unit(name: str, x: Tensor, stride: int = 1) -> Tensor:
        weight, bias = state[f"{name}_pre_relu_conv.weight"], state[f"{name}_pre_relu_conv.bias"]
        found[f"{name}_pre_relu_conv"] = functional.conv2d(same(x, weight.shape[2], stride, 0), weight, bias, stride)
        found[name] = found[f"{name}_pre_relu_conv"].clamp(min=0)
        return found[name]

    def pool(name: str, x: Tensor, stride: int) -> Tensor:
        found[name] = functional.max_pool2d(same(x, 3, stride, -torch.inf), 3, stride)
        return found[name]

    def norm(name: str, x: Tensor) -> Tensor:
        found[name] = functional.local_response_norm(x, 11, 11 * 1e-4, 0.5, 2)
        return found[name]

    x = norm("localresponsenorm0", pool("maxpool0", unit("conv2d0", x, 2), 2))
    x = pool("maxpool1", norm("localresponsenorm1", unit("conv2d2", unit("conv2d1", x))), 2)
    for block in BLOCKS:
        x = pool({"mixed4a": "maxpool4", "mixed5a": "maxpool10"}[block], x, 2) if block in ("mixed4a", "mixed5a") else x
        branches = [
            unit(f"{block}_1x1", x),
            unit(f"{block}_3x3", unit(f"{block}_3x3_bottleneck", x)),
            unit(f"{block}_5x5", unit(f"{block}_5x5_bottleneck", x)),
            unit(f"{block}_pool_reduce", pool(f"{block}_pool", x, 1)),
        ]
        x = found[block] = torch.cat(branches, 1)
    name = "softmax2_pre_activation_matmul"
    found[name] = x.mean((2, 3)) @ state[f"{name}.weight"].T + state[f"{name}.bias"]
    found["softmax2"] = found[name].softmax(1)
    return found


def test_every_layer_equals_the_network_written_out(
    model: TracedModel, state: OrderedDict[str, Tensor], x: Tensor
) -> None:
    with torch.no_grad():
        wanted = written_out(state, x)
        found = model.activations(x, list(wanted))
    for name, value in wanted.items():
        assert found[name].shape == value.shape
        assert (found[name] - value).abs().max() <= 2e-5 * value.abs().max(), name


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        ("conv2d0", (64, 112, 112)),
        ("maxpool0", (64, 56, 56)),
        ("localresponsenorm0", (64, 56, 56)),
        ("conv2d1", (64, 56, 56)),
        ("conv2d2", (192, 56, 56)),
        ("maxpool1", (192, 28, 28)),
        ("mixed3a", (256, 28, 28)),
        ("mixed3b", (480, 28, 28)),
        ("mixed4a", (508, 14, 14)),
        ("mixed4b", (512, 14, 14)),
        ("mixed4c", (512, 14, 14)),
        ("mixed4d", (528, 14, 14)),
        ("mixed4e", (832, 14, 14)),
        ("mixed5a", (832, 7, 7)),
        ("mixed5b", (1024, 7, 7)),
        ("softmax2", (1008,)),
    ],
)
def test_layers_have_the_published_names_and_sizes(layer: str, shape: tuple[int, ...], model: TracedModel) -> None:
    assert (model.layer(layer).name, model.layer(layer).shape, model.layer(layer).unit_axis) == (
        layer,
        shape,
        0 if shape else -1,
    )


def test_the_graph_equals_the_module_bit_for_bit(
    model: TracedModel, state: OrderedDict[str, Tensor], x: Tensor
) -> None:
    module = InceptionV1().eval()
    module.load_state_dict(state)
    with torch.no_grad():
        logits, probabilities = module(x)
        found = model(x)
        read = model.activations(x, [model.graph.output, "softmax2"])
    assert torch.equal(found[0], logits) and torch.equal(found[1], probabilities)
    assert model.graph.output == "softmax2_pre_activation_matmul"
    assert torch.equal(read[model.graph.output], logits) and torch.equal(read["softmax2"], probabilities)
    assert torch.allclose(probabilities.sum(1), torch.ones(2))


def test_units_of_a_block_are_numbered_through_its_branches(model: TracedModel, x: Tensor) -> None:
    """Distill's mixed3b:379 is the unit 59 of the 5x5 branch, behind 128 units of 1x1 and 192 of 3x3."""
    unit = Unit.parse("mixed3b:379")
    names = ["mixed3b_1x1", "mixed3b_3x3", "mixed3b_5x5", "mixed3b_pool_reduce"]
    found = model.activations(x, [unit.layer, *names])
    assert torch.equal(found[unit.layer][:, unit.index], found["mixed3b_5x5"][:, 59])
    assert torch.equal(found[unit.layer], torch.cat([found[name] for name in names], 1))


def test_images_become_what_the_network_reads(model: TracedModel) -> None:
    levels = torch.arange(256).div(255).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    read = model.preprocess(functional.interpolate(levels, (224, 224), mode="nearest"))
    assert (read[:, :, ::14, ::14].flatten(2) - (torch.arange(256) - 117.0)).abs().max() < 1e-4
    assert model.preprocessing.size == (224, 224) and model.preprocessing.crop == 1.0


def test_response_normalisation_is_tensorflows_formula() -> None:
    x = torch.randn(2, 20, 3, 4, dtype=torch.float64) * 40
    wanted = torch.empty_like(x)
    for c in range(20):
        window = x[:, max(c - 5, 0) : c + 6]  # depth_radius 5: eleven channels, fewer at the ends
        wanted[:, c] = x[:, c] / (2 + 1e-4 * window.square().sum(1)) ** 0.5
    assert (LocalResponseNorm()(x) - wanted).abs().max() < 1e-12
    assert (functional.local_response_norm(x, 9, 1e-4, 0.5, 1) - wanted).abs().max() > 1, (
        "Lucent's port, which is another function"
    )


@pytest.mark.parametrize("size", [(224, 224), (20, 33), (7, 8)])
@pytest.mark.parametrize(("kernel", "stride"), [(7, 2), (3, 2), (5, 1), (3, 3)])
def test_same_padding_is_tensorflows(size: tuple[int, int], kernel: int, stride: int) -> None:
    convolution = SameConv2d(2, 3, kernel, stride)
    x = torch.randn(1, 2, *size)
    wanted = functional.conv2d(same(x, kernel, stride, 0), convolution.weight, convolution.bias, stride)
    assert torch.equal(convolution(x), wanted)
    assert wanted.shape[2:] == (-(-size[0] // stride), -(-size[1] // stride))


def test_pooling_pads_as_tensorflow_does() -> None:
    """An offset of one would not show in sizes: the corner that hangs over is told from the corner in front."""
    x = torch.zeros(1, 64, 112, 112)
    x[..., 0, 0], x[..., 111, 111] = 1, 1
    pooled = InceptionV1().maxpool0(x)
    assert torch.equal(pooled, functional.max_pool2d(same(x, 3, 2, -torch.inf), 3, 2))
    assert pooled[0, 0].nonzero().tolist() == [[0, 0], [55, 55]]


@pytest.mark.parametrize(("source", "target"), [("conv2d0", "conv2d1_pre_relu_conv"), ("conv2d2", "mixed3a")])
def test_the_way_through_a_response_normalisation_can_be_linearised(
    source: str, target: str, model: TracedModel, x: Tensor
) -> None:
    cut = linearise(model.graph, [source], [target], "ratio")
    values = model.activations(x, [source, target])
    (found,) = cut([values[source]], cut.freeze(cut.clean_run(x)))
    assert (found - values[target]).abs().max() <= 1e-5 * values[target].abs().max()


# --- what it is called ---------------------------------------------------------------------------------------------------------


def test_outputs_are_named_in_the_order_of_the_released_labels(model: TracedModel) -> None:
    labels = model.labels
    assert len(labels) == len(set(labels)) == 1008
    assert set(labels[1:1001]) == set(imagenet.names())
    known = {
        1: "kit fox",
        2: "English setter",
        55: "tiger cat",
        230: "airliner",
        429: "crane (bird)",
        450: "goldfish",
        1000: "dumbbell",
    }
    assert {place: labels[place] for place in known} == known
    assert (labels[0], *labels[1001:]) == ("unused 0", *(f"unused {place}" for place in range(1001, 1008)))
    assert class_names(1000) == ()


def test_it_is_listed() -> None:
    (entry,) = entries("lucid:*")
    assert (entry.ref, entry.group) == ("lucid:inceptionv1", "lucid") and "224 x 224 px" in entry.note


# --- where its weights come from -----------------------------------------------------------------------------------------------


def test_weights_come_from_the_checkpoint_folder_and_what_they_are_is_told(model: TracedModel, home: Path) -> None:
    assert model.origin == str(home / "hub/checkpoints/inception5h.pth") and model.licence == "unknown"
    assert [said.partition(",")[0] for said in model.warnings] == ["inception5h.pth is not Lucent's published file"]
    assert (model.name, model.architecture, model.parameter_count) == ("InceptionV1", "inceptionv1", 7_066_380)


def test_the_published_file_is_known_by_its_content(
    home: Path, card: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = home / "hub/checkpoints/inception5h.pth"
    monkeypatch.setattr(lucid, "GIT_HASH", download.git_hash_of(path))
    monkeypatch.setenv("TORCH_HOME", str(home))
    load("lucid:inceptionv1")
    assert (card["origin"], card["licence"], card["warnings"]) == (INCEPTION5H, "Apache-2.0", ())


def test_weights_are_read_from_a_path(state: OrderedDict[str, Tensor], card: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "a & b" / "mine.pth"
    path.parent.mkdir()
    torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}, path)
    load("lucid:inceptionv1?weights=" + str(path).replace("&", "%26"))
    assert card["origin"] == str(path)
    assert all(torch.equal(tensor, state[name]) for name, tensor in card["module"].state_dict().items())


def test_another_number_of_classes_has_no_names(
    state: OrderedDict[str, Tensor], card: dict[str, Any], tmp_path: Path
) -> None:
    head = {name: tensor[:5] for name, tensor in state.items() if name.startswith("softmax2")}
    torch.save({**state, **head}, tmp_path / "five.pth")
    load(f"lucid:inceptionv1?weights={tmp_path / 'five.pth'}")
    assert card["labels"] == () and card["module"](torch.zeros(1, 3, 224, 224))[0].shape == (1, 5)


def test_a_file_is_recognised_by_its_tensors(
    state: OrderedDict[str, Tensor], card: dict[str, Any], tmp_path: Path
) -> None:
    assert recognise(state) == ("lucid:inceptionv1",)
    path = tmp_path / "from_lucent.pth"
    torch.save(state, path)
    load(f"file:{path}")
    assert card["architecture"] == "lucid:inceptionv1" and card["labels"][450] == "goldfish"
    assert card["preprocessing"] == LucidArchitecture("inceptionv1").preprocessing(None, 3)
    assert any("recognised as lucid:inceptionv1" in said for said in card["warnings"])
    assert any("is not Lucent's published file" in said for said in card["warnings"])
    with pytest.raises(LoadError, match="InceptionV1 reads 224 x 224 px, not img_size=64"):
        load(f"file:{path}?img_size=64")


def test_random_weights_need_no_file_and_are_told(card: dict[str, Any]) -> None:
    load("lucid:inceptionv1?pretrained=false&seed=3")
    first = card["module"].state_dict()
    assert card["origin"] == "random weights, seed 3" and card["warnings"] == (
        "random weights (seed 3): this network has learned nothing",
    )
    assert card["labels"][450] == "goldfish" and card["licence"] == ""
    load("lucid:inceptionv1?pretrained=false&seed=3")
    assert all(torch.equal(tensor, first[name]) for name, tensor in card["module"].state_dict().items())
    load("lucid:inceptionv1?pretrained=false")
    assert not torch.equal(
        card["module"].state_dict()["conv2d0_pre_relu_conv.weight"], first["conv2d0_pre_relu_conv.weight"]
    )


@pytest.mark.parametrize(
    ("ref", "said"),
    [
        ("lucid:inception", r"lucid has no network named 'inception'; did you mean inceptionv1\?"),
        ("lucid:vgg", r"lucid has no network named 'vgg'; it has inceptionv1"),
        ("lucid:inceptionv1?pretrained=false&weights=x.pth", "asks for trained weights and for none"),
        ("lucid:inceptionv1?weights=/nowhere/x.pth", "there is no file /nowhere/x.pth"),
        ("lucid:inceptionv1?img_size=64", "lucid has no option 'img_size'"),
    ],
)
def test_what_cannot_be_loaded_is_told(ref: str, said: str) -> None:
    with pytest.raises(LoadError, match=said):
        load(ref)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, tmp_path / "other.pth")
    with pytest.raises(
        LoadError, match=r"does not fit lucid:inceptionv1: conv2d0_pre_relu_conv.weight 64x3x7x7 is missing"
    ):
        load(f"lucid:inceptionv1?weights={tmp_path / 'other.pth'}")


def test_offline_without_weights_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(LoadError) as error:
        load("lucid:inceptionv1")
    said = str(error.value)
    assert f"inception5h.pth is not on this machine (looked in {tmp_path}/hub/checkpoints)" in said
    assert lucid.URL in said and "lucid:inceptionv1?weights=PATH, or ?pretrained=false for random weights" in said
    assert "\n" not in said


@pytest.mark.parametrize("whole", [True, False])
def test_a_download_is_compared_with_the_published_hash(
    whole: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    served = tmp_path / "inception5h.pth"
    served.write_bytes(b"weights" if whole else b"weigths")
    monkeypatch.setattr(lucid, "URL", served.as_uri())
    monkeypatch.setattr(lucid, "GIT_HASH", hashlib.sha1(b"blob 7\0weights").hexdigest())
    kept = tmp_path / "home/hub/checkpoints"
    if whole:
        assert lucid._published(Task()) == kept / "inception5h.pth"
        assert (kept / "inception5h.pth").read_bytes() == b"weights"
    else:
        with pytest.raises(LoadError, match=r"inception5h.pth arrived damaged from .*, or was changed there"):
            lucid._published(Task())
        assert not list(kept.iterdir())


def test_a_files_hash_is_gits(tmp_path: Path) -> None:
    (tmp_path / "hello").write_bytes(b"hello\n")
    assert download.git_hash_of(tmp_path / "hello") == "ce013625030ba8dba906f756967f9e9ca394464a"


# --- with the rest of the workbench --------------------------------------------------------------------------------------------


def test_units_are_visualised_without_a_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    arguments = ["run", "FeatureVisualization", "--model", "lucid:inceptionv1?pretrained=false"]
    chosen = ["--set", "layer=mixed3b", "--set", "units=379", "--set", "steps=2", "--out", str(tmp_path / "out")]
    assert main.main([*arguments, *chosen]) == 0
    written = json.loads((tmp_path / "out/result.json").read_text())
    assert written["model"] == "lucid:inceptionv1?pretrained=false" and written["summary"]["units"] == [379]
    images = np.load(tmp_path / "out/arrays.npz")["images"]
    assert images.shape[:2] == (1, 1) and images.std() > 0
