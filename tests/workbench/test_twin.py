"""Random-weight twins: other weights, the same scale, and the network they are drawn from untouched."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import workbench
from workbench.images.emoji import EmojiSet
from workbench.jobs.engine import Engine
from workbench.models.loading import LoadError, Reference, load, network_of_twin, twin_of
from workbench.models.traced_model import TracedModel
from workbench.models.twin import dead_leaves

NETWORKS = [
    "bundled:inception",
    "bundled:efficientnet-lite0",
    "bundled:planted/curve_net",
    "timm:test_vit?pretrained=false",
    "timm:test_convnext?pretrained=false",
    "bundled:planted/style_unet",
]


def shown(model: TracedModel, number: int = 12) -> torch.Tensor:
    images = EmojiSet()
    batch = next(images.batches(model.preprocessing.size, number, range(0, len(images), len(images) // number)))
    return model.preprocess(batch.images)


@pytest.mark.parametrize("ref", NETWORKS)
def test_a_twin_computes_something_else_at_the_same_scale(ref: str) -> None:
    model = load(ref)
    before = {name: tensor.clone() for name, tensor in model.graph.root.state_dict().items()}
    weights = model.weight_hash
    twin, again, other = model.twin(0), model.twin(0), model.twin(1)

    assert model.weight_hash == weights
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.graph.root.state_dict().items())
    assert twin.weight_hash == again.weight_hash != other.weight_hash != weights
    assert "learned nothing" in twin.warnings[0]

    # Every weight that is not one number everywhere (a fresh gain, a position that is never trained) is another one.
    drawn = dict(twin.graph.root.named_parameters())
    same = [
        name
        for name, old in before.items()
        if name in drawn and torch.equal(drawn[name], old) and len(old.unique()) > 1
    ]
    assert same == []

    layers = [name for name in model.layers if name != "input"]
    x = shown(model)
    with torch.inference_mode():
        own, theirs, repeated = (one.activations(x, layers) for one in (model, twin, again))
    output = model.graph.output
    assert not torch.allclose(own[output], theirs[output], rtol=0.01)
    assert torch.equal(theirs[output], repeated[output])
    ratios = []
    for name in layers:
        a, b = own[name].float(), theirs[name].float()
        assert b.isfinite().all(), name
        if a.square().mean() > 0:
            ratios.append(float(b.square().mean().sqrt() / a.square().mean().sqrt()))
    assert 0.3 < np.median(ratios) < 3  # it was matched on other images
    assert min(ratios) > 0.05 and max(ratios) < 20


def test_what_depends_on_the_image_reaches_the_last_layer() -> None:
    """Kept at 0 and 1, BatchNorm's statistics would leave a millionth of it."""
    twin = load("bundled:inception?twin=3")
    with torch.inference_mode():
        activation = twin.activations(shown(twin), ["mixed5b"])["mixed5b"].amax((2, 3))
    assert (activation.std(0) / activation.abs().mean() > 0.05).float().mean() > 0.9


class Attending(nn.Module):
    """Weights of every kind: some that draw themselves, some that nobody draws, a gain that begins near zero, tied ones, a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.gain = Gain(8)
        self.first = nn.Linear(8, 8)
        self.second = nn.Linear(8, 8)
        self.second.weight = self.first.weight
        self.normed = nn.utils.parametrizations.weight_norm(nn.Linear(8, 5))
        self.register_buffer("mask", torch.rand(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1)
        x = x + self.gain(self.attention(x, x, x, need_weights=False)[0])
        return self.normed(self.second(torch.relu(self.first(x * self.mask)))[:, 0])


class Gain(nn.Module):
    def __init__(self, units: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.linspace(0.2, 0.9, units))

    def reset_parameters(self) -> None:
        nn.init.constant_(self.gamma, 1e-5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.gamma


def test_each_kind_of_weight_is_drawn_or_shuffled() -> None:
    module = Attending()
    model = TracedModel.from_module(module, torch.randn(2, 3, 16, 16))
    twin = model.twin(7)
    old, new = dict(model.graph.root.named_parameters()), dict(twin.graph.root.named_parameters())
    for shuffled in ("token", "gain.gamma", "normed.parametrizations.weight.original1"):
        assert torch.equal(new[shuffled].flatten().sort().values, old[shuffled].flatten().sort().values)
        assert not torch.equal(new[shuffled], old[shuffled])
    drawn = ("patches.weight", "attention.in_proj_weight", "attention.out_proj.weight", "first.weight")
    for name in drawn:
        assert not torch.equal(new[name].flatten().sort().values, old[name].flatten().sort().values)
    assert torch.equal(dict(twin.graph.root.named_buffers())["mask"], module.mask)
    with torch.inference_mode():
        assert twin(torch.randn(3, 3, 16, 16)).isfinite().all()


def test_a_reference_asks_for_a_twin_of_any_network() -> None:
    twin = load("bundled:planted/curve_net?twin=5")
    assert twin.ref == "bundled:planted/curve_net?twin=5"
    assert twin.weight_hash == load("bundled:planted/curve_net").twin(5).weight_hash
    assert twin.circuit is None
    assert load("timm:test_vit?pretrained=false&twin=1&seed=2").ref == "timm:test_vit?pretrained=false&seed=2&twin=1"
    with pytest.raises(LoadError, match="twin=x"):
        load("bundled:planted/curve_net?twin=x")
    with pytest.raises(LoadError, match=r"its options are: .*twin"):
        load("bundled:planted/curve_net?twins=1")


def test_names_of_twins() -> None:
    assert twin_of("file:a?b.pt", 3) == "file:a?b.pt?twin=3"
    assert twin_of("timm:resnet18?twin=1", 3) == "timm:resnet18?twin=3"
    assert twin_of("my network", 3) == "my network?twin=3"
    assert network_of_twin("timm:resnet18?twin=1&seed=2") == ("timm:resnet18?seed=2", 1)
    assert network_of_twin("timm:resnet18?seed=2") is network_of_twin("twin=2") is network_of_twin("a:b?twin=x") is None
    assert Reference.parse("timm:resnet18?twin=1&seed=2").without("twin") == Reference.parse("timm:resnet18?seed=2")


def test_the_engine_draws_a_twin_from_the_open_network(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine()
    model = engine.model("bundled:planted/curve_net")
    monkeypatch.setattr(workbench.models.loading, "load", lambda *_, **__: pytest.fail("read again"))
    twin = engine.model("bundled:planted/curve_net?twin=2")
    assert twin.weight_hash == model.twin(2).weight_hash
    assert engine.model("bundled:planted/curve_net?twin=2") is twin


def test_a_network_of_texts_has_a_twin_too() -> None:
    embed = nn.Sequential(nn.Embedding(11, 6), nn.LayerNorm(6), nn.Linear(6, 11))
    model = TracedModel.from_module(embed, torch.randint(0, 11, (2, 5)))
    twin = model.twin(0)
    words = torch.randint(0, 11, (3, 5))
    with torch.inference_mode():
        assert not torch.allclose(model(words), twin(words))


def test_dead_leaves_are_the_same_every_time() -> None:
    images = dead_leaves(8)
    assert images.shape == (8, 64, 64, 3) and np.array_equal(images, dead_leaves(8))
    colours = [len(np.unique(image.reshape(-1, 3), axis=0)) for image in images]
    assert max(colours[1::2]) <= 8 < min(colours[::2])
    assert (images[1] == 255).all(-1).any()
