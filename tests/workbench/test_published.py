"""Networks with a card that read more than an image: opened, told something else, run, cut and drawn with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import main
from tests.workbench.shelf import shelf_in
from workbench.analyses import DatasetExamples, FeatureVisualization
from workbench.images.image_set import load_images
from workbench.input_error import InputError
from workbench.models.loading import LoadError, Reference, list_models, load
from workbench.models.sources import published
from workbench.training.recipe import recipe

FIGURES = {"test_subgroup_top1": 0.3, "test_perplexity": 9.0, "test_error": 0.1}
SMALL = {
    "clip": {"batch": 4},
    "clip-rn": {"batch": 4},
    "caption-lm": {"batch": 4},
    "diffusion": {"batch": 4, "channels": (8, 16, 16)},
}


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of bundled networks of each kind, hardly trained."""
    shelf = tmp_path_factory.mktemp("models")
    with shelf_in(shelf, FIGURES) as kept:
        for name, settings in SMALL.items():
            kept.put(name, recipe(name, {"steps": 1, "checkpoints": 2, **settings}))
        yield shelf


def test_each_is_listed_with_what_it_can_do(shelf: Path) -> None:
    assert {f"bundled:{name}" for name in SMALL} <= set(list_models("bundled:*"))
    assert all(published.note(found) for found in published.published().values())


@pytest.mark.parametrize("name", ["clip", "clip-rn"])
def test_a_clip_reads_an_image_and_a_text(shelf: Path, name: str) -> None:
    model = load(f"bundled:{name}?text=cat, noto style")
    images = torch.rand(3, 3, 64, 64)
    seen, read, _ = model(images)
    assert seen.shape == read.shape == (3, 128) and torch.equal(read[0], read[1])
    assert model.tokenize is not None
    tokens = model.tokenize(["cat, noto style", "a dog", ""])
    _, others, _ = model(images, tokens)
    assert torch.allclose(others[0], read[0], atol=1e-6) and not torch.allclose(others[1], read[0], atol=1e-2)
    assert model.further["text"].value == "cat, noto style"
    before = model.weight_hash
    model.choose("text", "a dog")
    assert model.weight_hash != before and torch.allclose(model(images)[1][0], others[1], atol=1e-6)
    layer = "visual.transformer.resblocks.2.mlp.gelu" if name == "clip" else "visual.layer2.0.act3"
    inside = model.activations(images, [layer, "transformer.resblocks.1.mlp.gelu"])
    assert inside[layer].shape[0] == 3 and inside["transformer.resblocks.1.mlp.gelu"].shape == (3, 32, 512)


def test_a_cut_through_a_tower_equals_the_whole(shelf: Path) -> None:
    model = load("bundled:clip")
    images = torch.rand(2, 3, 64, 64)
    clean = model(images)[0]
    layer = "visual.transformer.resblocks.2"
    activation = model.activations(images, [layer])[layer]
    rows = model.edited(images, [{}, {layer: activation}, {layer: activation.flip(0)}])
    assert torch.equal(rows[0], rows[1]) and torch.allclose(rows[0], clean, atol=1e-5)
    assert torch.allclose(rows[2], clean.flip(0), atol=1e-5)


def test_a_language_model_says_what_comes_next(shelf: Path) -> None:
    model = load("bundled:caption-lm")
    assert model.tokenize is not None and not model.held and not model.sees
    for analysis in (FeatureVisualization(layer="model.transformer.h.0.mlp.act"), DatasetExamples(layers=("model.transformer.h.0",))):
        with pytest.raises(InputError, match="caption-lm reads text, not images"):
            analysis.run(model, load_images("stimuli:lines"))
    logits = model(model.tokenize(["a turtle", "a cat", "a turtle, noto"]))
    assert logits.shape == (3, 32, 1538)
    assert torch.allclose(logits[0, :3], logits[2, :3], atol=1e-5), "what comes later says nothing about what came before"


def test_a_diffusion_network_is_looked_at_at_a_noise_level_and_a_prompt(shelf: Path) -> None:
    model = load("bundled:diffusion?prompt=cat, noto style&timestep=100&noise=3")
    assert {name: given.value for name, given in model.further.items()} == {
        "prompt": "cat, noto style",
        "timestep": "100",
        "noise": "3",
    }
    image = torch.rand(2, 3, 32, 32) * 2 - 1
    predicted = model(image)
    assert predicted.shape == image.shape
    noise = model.held["noise"].expand(2, -1, -1, -1)
    assert torch.equal(noise[:1], torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(3)))
    (noisy,) = model.forward_to(["noisy"])(image)
    kept = model.graph.root.get_buffer("noisy.kept")[100]
    assert torch.allclose(noisy, kept.sqrt() * image + (1 - kept).sqrt() * noise, atol=1e-6)
    behind = model.graph.cut(["noisy", "input:timestep", "text_encoder"], [model.graph.output])
    told = model.forward_to(["text_encoder"])(image)[0]
    assert torch.allclose(behind(noisy, torch.full((2,), 100), told)[0], predicted, atol=1e-5)
    model.choose("prompt", "")
    assert not torch.allclose(model(image), predicted, atol=1e-7)


@pytest.mark.parametrize(
    ("ref", "said"),
    [
        ("bundled:diffusion?timestep=1000", "timestep=1000: timestep is a whole number of 0 to 999"),
        ("bundled:diffusion?text=cat", "diffusion reads no text; it reads prompt, timestep, noise"),
        ("bundled:caption-lm?prompt=cat", "caption-lm reads no prompt"),
    ],
)
def test_what_it_cannot_read_is_said(shelf: Path, ref: str, said: str) -> None:
    with pytest.raises(LoadError, match=said):
        load(ref)


def test_a_prompt_with_any_sign_stands_in_a_reference(shelf: Path) -> None:
    text = "50% off? cats & dogs=pets, noto style"
    ref = str(Reference.parse("bundled:clip?text=cat").having("text", text))
    assert load(ref).further["text"].value == text


@pytest.mark.parametrize("styles", [["--style", "noto, fluent_3d,"], ["--style", "noto", "--style", "fluent_3d"]])
def test_generate_writes_every_image_and_how_it_came_to_be(
    styles: list[str], shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "out"
    asked = ["generate", "turtle", "cat", "--images", "2", "--seed", "7", "--steps", "3", *styles]
    assert main.main([*asked, "--model", "bundled:diffusion", "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    names = [f"{row:02}-seed{seed}.png" for row in range(4) for seed in (7, 8)]
    assert sorted(path.name for path in (out / "images").iterdir()) == names
    assert Image.open(out / "trajectories" / names[0]).size == (3 * 32, 32)
    arrays = np.load(out / "arrays.npz")
    assert np.array_equal(np.asarray(Image.open(out / "images" / names[-1])), np.rint(255 * arrays["images"][3, 1]).astype(np.uint8))
    assert "cat, fluent 3d style" in (out / "result.json").read_text(encoding="utf-8")
    assert main.main(["generate", "--model", "bundled:clip", "--out", str(tmp_path / "none")]) == 2
    assert "clip draws nothing; open a diffusion network" in capsys.readouterr().err
