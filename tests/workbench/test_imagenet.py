"""ImageNet's classes by synset id: names, folders that have them, and the right output of networks in either order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from workbench import imagenet
from workbench.images.image_set import load_images
from workbench.jobs.engine import Engine
from workbench.jobs.requests import OpenImages
from workbench.models import inception_v1
from workbench.models.sources.tracing import class_names
from workbench.task import Task


def folder(root: Path, *paths: str) -> str:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(root / path)
    return f"folder:{root}"


def test_the_thousand_classes_have_different_names() -> None:
    assert len(imagenet.synsets()) == len(set(imagenet.names())) == 1000
    assert list(imagenet.synsets()) == sorted(imagenet.synsets())
    assert class_names(1000) == imagenet.names()
    assert imagenet.name("n02123045") == "tabby" and imagenet.name("n00000000") == ""
    assert (imagenet.name("n02012849"), imagenet.name("n03126707")) == ("crane (bird)", "crane (machine)")


def test_names_are_timms() -> None:
    from timm.data.imagenet_info import ImageNetInfo

    info = ImageNetInfo()
    assert tuple(info.label_names()) == imagenet.synsets()
    for synset, name in zip(imagenet.synsets(), imagenet.names(), strict=True):
        assert name.partition(" (")[0] in info.label_name_to_description(synset)


@pytest.mark.parametrize(
    ("path", "synset"),
    [
        ("n02123045/x.png", "n02123045"),
        ("train/n02123045/images/x.png", "n02123045"),
        ("n01440764/n02123045/x.png", "n02123045"),
        ("n02123045", ""),
        ("n02123045-tabby/x.png", ""),
        ("n99999999/x.png", ""),
    ],
)
def test_a_file_belongs_to_the_synset_whose_folder_it_is_in(path: str, synset: str) -> None:
    assert imagenet.synset_of(path) == synset


def test_a_folder_with_synsets_says_them_in_words(tmp_path: Path) -> None:
    ref = folder(tmp_path, "val/n01440764/a.png", "val/n02123045/b.png", "val/n02123045/c.png", "val/n00007846/d.png")
    images = load_images(ref)
    assert list(images.columns["label"]) == [
        f"val/{synset}" for synset in ("n00007846", "n01440764", "n02123045", "n02123045")
    ]
    assert list(images.columns["synset"]) == ["n00007846", "n01440764", "n02123045", "n02123045"]
    assert list(images.columns["class"]) == ["person", "tench", "tabby", "tabby"]
    assert images.depicts == "photographs"
    card = OpenImages(ref).run(Engine(), Task())
    assert card.depicts == "photographs" and card.columns["class"] == 3


def test_the_folder_itself_may_be_a_synsets(tmp_path: Path) -> None:
    images = load_images(folder(tmp_path / "n02123045", "a.png"))
    assert list(images.columns["class"]) == ["tabby"] and "label" not in images.columns


def test_images_outside_synsets_are_of_no_class(tmp_path: Path) -> None:
    images = load_images(folder(tmp_path, "n01440764/a.png", "others/b.png", "top.png"))
    assert list(images.columns["class"]) == ["tench", "", ""] and images.depicts == ""
    assert set(load_images(folder(tmp_path / "others", "c.png")).columns) == set()


def test_the_right_output_is_found_in_either_order(tmp_path: Path) -> None:
    given = ["n02119789", "n01440764", "n00007846", "", "n15075141"]
    usual = imagenet.class_indices(class_names(1000), given)
    assert usual is not None and usual.dtype == np.int64 and usual.tolist() == [278, 0, -1, -1, 999]
    labels = inception_v1.class_names(1008)
    released = imagenet.class_indices(labels, given)
    assert released is not None and released.tolist() == [1, 449, -1, -1, 889]
    assert [labels[place] for place in released if place >= 0] == ["kit fox", "tench", "toilet tissue"]


def test_networks_with_other_classes_have_no_right_output() -> None:
    assert imagenet.class_indices(("cat", "dog"), ["n01440764"]) is None
    assert imagenet.class_indices((), ["n01440764"]) is None
    assert imagenet.class_indices(imagenet.names()[:-1], ["n01440764"]) is None


def test_accuracy_can_be_measured_on_a_folder(tmp_path: Path) -> None:
    """Logits that choose the right class of every image, in the order of the released InceptionV1."""
    images = load_images(folder(tmp_path, "n02119789/a.png", "n01440764/b.png", "n02123045/c.png"))
    labels = inception_v1.class_names(1008)
    right = imagenet.class_indices(labels, images.columns["synset"])
    assert right is not None
    logits = np.array([[label == name for label in labels] for name in images.columns["class"]], float)
    assert (logits.argmax(1) == right).all()
