"""Weight files: recognised, named, wrapped in many ways; and every kind of bad file refused in one line, nothing run."""

from __future__ import annotations

import argparse
import json
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from workbench.models.loading import LoadError, load
from workbench.models.sources.architecture import find_architecture
from workbench.models.sources.fitting import fit
from workbench.models.sources.recognition import INDEX, choose, make_index, recognise
from workbench.models.sources.tracing import seeded

TINY = "timm:test_resnet"


def weights(**options: int) -> OrderedDict[str, Tensor]:
    with seeded(5):
        module = find_architecture(TINY).build(**options)
        for tensor in module.state_dict().values():
            if tensor.is_floating_point():
                tensor.uniform_(0.1, 0.9)
    return OrderedDict(module.state_dict())


@pytest.fixture(scope="module")
def state() -> OrderedDict[str, Tensor]:
    return weights()


def refused(ref: str) -> str:
    with pytest.raises(LoadError) as error:
        load(ref)
    assert "\n" not in str(error.value)
    return str(error.value)


# --- good files ----------------------------------------------------------------------------------------------------------------


def test_a_safetensors_file_is_recognised_and_computes_the_same(tmp_path: Path) -> None:
    given = weights(classes=7, channels=1)
    path = tmp_path / "mine.safetensors"
    save_file(given, path)
    model = load(f"file:{path}?img_size=32")
    module = find_architecture(TINY).build(classes=7, channels=1).eval()
    module.load_state_dict(given)
    x = torch.randn(2, 1, 32, 32)
    with torch.no_grad():
        assert torch.equal(model(x), module(x))
    assert model.architecture == TINY and model.name == "mine" and model.origin == str(path)
    assert model.preprocessing.channels == 1 and model.labels == ()
    assert any("recognised as timm:test_resnet" in said for said in model.warnings)


def wrappings(state: OrderedDict[str, Tensor]) -> dict[str, object]:
    half = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    old = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    other = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
    return {
        "plain": state,
        "training": {"state_dict": state, "epoch": 3, "args": argparse.Namespace(lr=0.1), "optimizer": {"step": 1}},
        "averaged": {"state_dict": other, "state_dict_ema": state},
        "nested": {"checkpoint": 1, "model": {"state_dict": state}},
        "parallel": {"model": {f"module.{name}": tensor for name, tensor in state.items()}},
        "compiled": {f"_orig_mod.module.{name}": tensor for name, tensor in state.items()},
        "lightning": {"state_dict": {f"model.{name}": t for name, t in state.items()} | {"loss.weight": torch.ones(3)}},
        "half": half,
        "old": old,
    }


@pytest.mark.parametrize(
    "kind", ["plain", "training", "averaged", "nested", "parallel", "compiled", "lightning", "old"]
)
def test_wrappers_and_prefixes_come_off(kind: str, state: OrderedDict[str, Tensor], tmp_path: Path) -> None:
    from workbench.models.sources.checkpoint import read_state

    path = tmp_path / f"{kind}.pth"
    torch.save(wrappings(state)[kind], path)
    read, said = read_state(path)
    assert recognise(read) == (TINY,)
    fitted = fit(path, read, find_architecture(TINY))
    for name, tensor in fitted.module.state_dict().items():
        assert torch.equal(tensor, state[name]) or name.endswith("num_batches_tracked")
    if kind == "averaged":
        assert "state_dict_ema was read" in said[0]
    if kind == "lightning":
        assert fitted.said == ("left out of the file: loss.weight",)


def test_half_precision_and_the_older_format_are_read(state: OrderedDict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "half.pt"
    torch.save(wrappings(state)["half"], path, _use_new_zipfile_serialization=False)
    model = load(f"file:{path}?architecture={TINY}&img_size=32&mean=0,0,0&std=1,1,1")
    assert model.dtype == torch.float32 and model.preprocessing.mean == (0.0, 0.0, 0.0)
    assert not any("recognised" in said for said in model.warnings)
    assert any("ImageNet's classes" in said for said in model.warnings) and len(model.labels) == 1000


def test_the_authors_own_names_are_translated(tmp_path: Path) -> None:
    """ConvNeXt's authors call their layers otherwise; timm's translation is used when the architecture is named."""
    with seeded(0):
        ours = find_architecture("timm:convnext_atto").build().state_dict()
    theirs = {}
    for name, tensor in ours.items():
        name = name.replace("stem.0", "downsample_layers.0.0").replace("stem.1", "downsample_layers.0.1")
        for stage in range(4):
            for place in range(2):
                name = name.replace(f"stages.{stage}.downsample.{place}", f"downsample_layers.{stage}.{place}")
        name = name.replace(".blocks", "").replace("conv_dw", "dwconv").replace("mlp.fc", "pwconv")
        name = name.replace("head.fc", "head").replace("head.norm", "norm")
        theirs[name] = tensor
    assert theirs.keys() != ours.keys()
    module = fit(tmp_path / "x.pth", theirs, find_architecture("timm:convnext_atto")).module
    assert all(torch.equal(tensor, ours[name]) for name, tensor in module.state_dict().items())


def test_old_densenet_names_and_auxiliary_heads_fit_torchvision(tmp_path: Path) -> None:
    import re

    densenet = find_architecture("torchvision:densenet121")
    with seeded(0):
        ours = densenet.build().state_dict()
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", name): tensor for name, tensor in ours.items()}
    assert old.keys() != ours.keys()
    fit(tmp_path / "densenet121.pth", old, densenet)
    googlenet = find_architecture("torchvision:googlenet")
    with seeded(0):
        trunk = googlenet.build().state_dict()
    fitted = fit(tmp_path / "googlenet.pth", trunk | {"aux1.fc1.weight": torch.zeros(3, 3)}, googlenet)
    assert fitted.module.transform_input is True


def test_a_layout_version_is_kept(tmp_path: Path) -> None:
    """MNASNet tells an older stem by the version torch.save keeps; files without one have today's."""
    mnasnet = find_architecture("torchvision:mnasnet0_5")
    with seeded(0):
        state = mnasnet.build().state_dict()
    bare = {name: tensor.clone() for name, tensor in state.items()}
    for given in (state, bare):
        module = fit(tmp_path / "mnasnet.pth", given, mnasnet).module
        assert torch.equal(module.state_dict()["layers.0.weight"], state["layers.0.weight"])


# --- recognition ---------------------------------------------------------------------------------------------------------------


def test_the_index_holds_what_the_libraries_build_today() -> None:
    kept = json.loads(INDEX.read_text(encoding="utf-8"))
    known = [ref for found in kept["architectures"].values() for ref in found]
    assert len(known) == len(set(known)) > 1400
    sample = ["timm:resnet18", "timm:vit_tiny_patch16_224", "timm:levit_128s", "torchvision:mobilenet_v3_small"]
    made = make_index(sample)
    for key, (ref,) in made["architectures"].items():
        layout, _, print_ = key.partition("/")
        head_and_stem = made["layouts"][int(layout)]
        assert ref in kept["architectures"][f"{kept['layouts'].index(head_and_stem)}/{print_}"]


def test_the_files_name_decides_between_equals() -> None:
    found = recognise(find_architecture("timm:tf_efficientnet_b0").build().state_dict())
    assert {"timm:efficientnet_b0", "timm:tf_efficientnet_b0"} <= set(found)
    assert choose(found, Path("/w/weights.pth")) == "timm:efficientnet_b0"
    assert choose(found, Path("/w/tf_efficientnet_b0-1234.pth")) == "timm:tf_efficientnet_b0"
    assert choose(found, Path("/w/tf-efficientnet-b0/model.safetensors")) == "timm:tf_efficientnet_b0"


def test_equals_are_told(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    with seeded(0):
        torch.save(find_architecture("torchvision:resnet18").build(classes=3).state_dict(), path)
    said = load(f"file:{path}?img_size=32").warnings
    assert any("recognised as timm:resnet18" in line and "torchvision:resnet18" in line for line in said)


def test_an_unknown_network_says_what_to_give(tmp_path: Path) -> None:
    path = tmp_path / "own.pt"
    torch.save(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(4, 2)).state_dict(), path)
    said = refused(f"file:{path}")
    assert "the 4 tensors of" in said and "0.weight 4x3x3x3" in said
    assert f"file:{path}?architecture=timm:NAME" in said and "python:FILE.py:FACTORY" in said


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("resnet18", "such as timm:resnet18"),
        ("bundled:efficientnet-lite0", "an architecture is timm:NAME or torchvision:NAME"),
        ("timm:resnt18", "did you mean resnet18"),
        ("torchvision:resnt18", "did you mean resnet18"),
    ],
)
def test_a_wrong_kind_of_architecture_is_refused(
    given: str, expected: str, state: OrderedDict[str, Tensor], tmp_path: Path
) -> None:
    torch.save(state, tmp_path / "w.pt")
    assert expected in refused(f"file:{tmp_path / 'w.pt'}?architecture={given}")


def test_the_wrong_architecture_names_the_first_differences(state: OrderedDict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    torch.save(state, path)
    said = refused(f"file:{path}?architecture=timm:resnet18")
    assert (
        "does not fit timm:resnet18: bn1.weight is 32 and not 64; " in said
        and " more. Its tensors are those of timm:test_resnet" in said
    )
    state = state.copy()
    del state["fc.bias"]
    state["extra"] = torch.zeros(2)
    torch.save(state, path)
    said = refused(f"file:{path}?architecture={TINY}")
    assert "fc.bias 1000 is missing" in said and "extra 2 has no place. Name another architecture with" in said


def test_weights_for_another_input_size_are_told(tmp_path: Path) -> None:
    mixer = find_architecture("timm:mixer_s32_224")
    with pytest.raises(LoadError, match=r"is \d+x49 and not \d+x4; .* another input than img_size=64"):
        fit(tmp_path / "mixer.pt", mixer.build().state_dict(), mixer, size=64)


@pytest.mark.parametrize("option", ["mean=0.5", "std=0,1,1", "mean=a,b,c"])
def test_impossible_preprocessing_is_refused(option: str, state: OrderedDict[str, Tensor], tmp_path: Path) -> None:
    torch.save(state, tmp_path / "w.pt")
    assert option.partition("=")[2] in refused(f"file:{tmp_path / 'w.pt'}?{option}")


# --- bad files -----------------------------------------------------------------------------------------------------------------


class Harmful:
    """What an attacker puts into a pickle: it makes a file when opened."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("form", ["zip", "old", "pickle", "pickle0"])
def test_a_file_that_would_run_code_is_not_opened(form: str, tmp_path: Path) -> None:
    mark, path = tmp_path / "mark", tmp_path / "w.pth"
    content = {"state_dict": {"conv1.weight": torch.zeros(3)}, "extra": Harmful(mark)}
    if form in ("zip", "old"):
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    else:
        path.write_bytes(pickle.dumps(Harmful(mark), protocol=0 if form == "pickle0" else 4))
    said = refused(f"file:{path}")
    assert not mark.exists()
    if form == "pickle0":
        assert "not a weight file" in said
    else:
        assert "would run code when opened (it asks for posix.system); not opened" in said
    # The file is what it is taken for: opened without care it does run.
    if form == "pickle":
        pickle.loads(path.read_bytes())
        assert mark.exists()


def test_a_whole_pickled_module_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "module.pt"
    torch.save(nn.Sequential(nn.Linear(2, 2)), path)
    said = refused(f"file:{path}")
    assert "would run code" in said and "torch.nn.modules" in said and "state_dict()" in said


def test_a_script_archive_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "script.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("script/data.pkl", b"\x80\x02}.")
        archive.writestr("script/constants.pkl", b"\x80\x02).")
        archive.writestr("script/code/__torch__.py", "class Net(Module): ...")
    assert "is a TorchScript archive, which is a program; not opened" in refused(f"file:{path}")


@pytest.mark.parametrize("keep", [4, 60, 5_000, -100])
def test_a_safetensors_file_cut_short_is_told(keep: int, state: OrderedDict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file(state, path)
    whole = path.read_bytes()
    path.write_bytes(whole[:keep])
    said = refused(f"file:{path}")
    if keep == 4:
        assert "is not a weight file" in said
    else:
        assert f"is cut short: {path.stat().st_size:,} bytes of the" in said and "download it again" in said
    if keep == -100:
        assert f"{len(whole):,} its header promises" in said


@pytest.mark.parametrize("old", [False, True])
def test_a_torch_file_cut_short_is_told(old: bool, state: OrderedDict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save(state, path, _use_new_zipfile_serialization=not old)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    said = refused(f"file:{path}")
    assert ("is damaged" if old else "is cut short") in said


def test_damaged_numbers_in_the_header_are_told(state: OrderedDict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    header = json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, "x"]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    assert "is damaged" in refused(f"file:{path}")


def test_files_that_are_no_weights(tmp_path: Path) -> None:
    (tmp_path / "empty.pt").touch()
    (tmp_path / "text.safetensors").write_text("hello there, these are no weights at all")
    (tmp_path / "noise.pt").write_bytes(bytes(range(200, 256)) * 4)
    torch.save([1, 2], tmp_path / "list.pt")
    torch.save({"epoch": 3, "loss": 0.5}, tmp_path / "log.pt")
    torch.save(torch.zeros(3), tmp_path / "tensor.pt")
    assert "is empty (0 bytes)" in refused(f"file:{tmp_path}/empty.pt")
    assert "starts with the text 'hello there, the'" in refused(f"file:{tmp_path}/text.safetensors")
    assert "is not a weight file" in refused(f"file:{tmp_path}/noise.pt")
    assert "holds a list, not weights by name" in refused(f"file:{tmp_path}/list.pt")
    assert "its top level has 'epoch', 'loss'" in refused(f"file:{tmp_path}/log.pt")
    assert "holds a Tensor" in refused(f"file:{tmp_path}/tensor.pt")
    assert "is a folder" in refused(f"file:{tmp_path}")
    assert "there is no file" in refused(f"file:{tmp_path}/emtpy.pt")
    assert "did you mean empty.pt" in refused(f"file:{tmp_path}/emtpy.pt")


@pytest.mark.parametrize(
    ("name", "value"), [("bn1.weight", torch.nan), ("bn1.running_var", torch.inf), ("fc.bias", -torch.inf)]
)
def test_broken_numbers_are_refused_by_name(
    name: str, value: float, state: OrderedDict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = OrderedDict((key, tensor.clone()) for key, tensor in state.items())
    broken[name].view(-1)[1] = value
    save_file(broken, tmp_path / "w.safetensors")
    monkeypatch.setattr(nn.Module, "__call__", lambda *_: pytest.fail("the network was run"))
    said = refused(f"file:{tmp_path}/w.safetensors")
    assert f"NaN or infinite values in {name} (1 of {broken[name].numel():,})" in said and "nothing was run" in said
