"""Directions as units: exact until edited, and then by that direction alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import workbench
from workbench.direction_set import DirectionSet, find_directions, list_directions
from workbench.input_error import InputError
from workbench.models.affine import affine_sources
from workbench.models.loading import with_directions_of, without_directions
from workbench.models.shares import shares_of
from workbench.models.tensors import tensors_of
from workbench.models.traced_model import TracedModel


@pytest.fixture(scope="module")
def planted() -> TracedModel:
    return workbench.load("bundled:planted/polysemantic_net")


def axes_of(layer: str, units: int, count: int, *, kept: int = 0, name: str = "axes") -> DirectionSet:
    random = np.random.default_rng(0)
    encoder = np.linalg.qr(random.normal(size=(units, units)))[0][:count].astype(np.float32)
    bias = random.normal(size=count).astype(np.float32) * (0 if kept else 1)
    return DirectionSet(name, layer, encoder, bias, encoder.copy(), np.ones(count, np.float32), kept)


def images(model: TracedModel, number: int = 4) -> torch.Tensor:
    return torch.rand(number, 3, *model.preprocessing.size, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize("kept", [0, 2])
def test_every_layer_stays_what_it_was_to_the_last_bit(planted: TracedModel, kept: int) -> None:
    x = images(planted)
    derived = planted.with_directions(axes_of("relu", 18, 5, kept=kept))
    before, after = planted.activations(x, list(planted.layers)), derived.activations(x, list(planted.layers))
    assert all(torch.equal(before[name], after[name]) for name in planted.layers)
    assert torch.equal(planted(x), derived(x))
    assert [name for name in derived.layers if name not in planted.layers] == ["relu~axes"]
    assert derived.layer("relu~axes").shape == (5, *planted.layer("relu").shape[1:])
    assert derived.weight_hash != planted.weight_hash and derived.ref == "bundled:planted/polysemantic_net?directions=axes"


def test_an_identity_edit_of_a_direction_changes_nothing_within_one_batch(planted: TracedModel) -> None:
    derived = planted.with_directions(axes_of("relu", 18, 5))
    clean, edited = derived.edited(images(planted), [{}, {"relu~axes": lambda z: z.clone()}])
    assert torch.equal(clean, edited)


def test_an_edit_moves_the_site_by_the_decoder_alone(planted: TracedModel) -> None:
    directions = axes_of("relu", 18, 5)
    derived = planted.with_directions(directions)
    x = images(planted)
    clean = planted.activations(x, ["relu"])["relu"]

    def ablate(z: torch.Tensor) -> torch.Tensor:
        z = z.clone()
        z[:, 3] = 0
        return z

    d = torch.from_numpy(directions.decoder[3])
    value = torch.einsum("bcyx,c->byx", clean, d) + float(directions.bias[3])
    wanted = clean - value[:, None] * d[:, None, None]
    got = derived.edited(x, {"relu~axes": ablate}, target="relu~axes:site")
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-5)
    patched = planted.edited(x, {"relu": wanted})
    torch.testing.assert_close(derived.edited(x, {"relu~axes": ablate}), patched, atol=1e-5, rtol=1e-5)


def test_top_k_keeps_the_largest_and_is_linear_with_its_gates_held(planted: TracedModel) -> None:
    derived = planted.with_directions(axes_of("relu", 18, 12, kept=3, name="sae"))
    x = images(planted)
    found = derived.activations(x, ["relu", "relu~sae"])
    assert int((found["relu~sae"] > 0).sum(1).max()) == 3
    cut = derived.graph.linearise(["relu"], ["relu~sae"])
    frozen = cut.freeze(cut.clean_run(x))
    torch.testing.assert_close(cut([found["relu"]], frozen)[0], found["relu~sae"], atol=1e-5, rtol=1e-5)


def test_linear_directions_have_shares_like_other_units(planted: TracedModel) -> None:
    derived = planted.with_directions(axes_of("relu", 18, 5))
    layer = derived.layer("relu~axes")
    assert affine_sources(derived.graph, layer.name) == ["relu"]
    (shares,) = shares_of(derived, ["relu"], layer, images(planted))
    np.testing.assert_allclose(shares.strength().numpy(), np.abs(derived.directions[0].encoder), atol=1e-5)


def test_tokens_and_twins_and_two_sets(tmp_path: object) -> None:
    model = workbench.load("bundled:planted/residual_sum_net")
    x = images(model)
    one, two = axes_of("blocks.0", 128, 3, name="one"), axes_of("blocks.0", 128, 4, kept=2, name="two")
    derived = model.with_directions(one).with_directions(two)
    assert torch.equal(model(x), derived(x)) and derived.layer("blocks.0~two").units == 4
    twin = derived.twin(0)
    assert {"blocks.0~one", "blocks.0~two"} <= set(twin.layers)
    assert torch.equal(twin(x), model.twin(0)(x))
    alone = model.with_directions(one).activations(x, ["blocks.0~one"])["blocks.0~one"]
    assert torch.equal(derived.activations(x, ["blocks.0~one"])["blocks.0~one"], alone)


def test_twins_of_a_network_with_directions_follow_what_was_done_to_it() -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 6, 3), torch.nn.ReLU(), torch.nn.Conv2d(6, 2, 3))
    model = TracedModel.from_module(net, torch.rand(2, 3, 9, 9), ref="test:small").with_directions(axes_of("1", 6, 2))
    model.arithmetic = "tf32"
    assert model.twin(0).arithmetic == "tf32"
    written = {"2.weight": torch.ones(2, 6, 3, 3)}
    (name,) = (name for name, tensor in tensors_of(model.graph.capture) if tuple(tensor.shape) == (2, 6, 3, 3))
    edited = model.with_tensors({name: written["2.weight"]}, "ones")
    plain = TracedModel.from_module(net, torch.rand(2, 3, 9, 9), ref="test:small").with_tensors({name: written["2.weight"]}, "ones")
    x = torch.rand(2, 3, 9, 9)
    assert torch.equal(edited.twin(0)(x), plain.twin(0)(x)), "the twin is of the edited network"
    assert not torch.equal(edited.twin(0)(x), model.twin(0)(x)), "the kernels have another scale"
    assert "1~axes" in edited.twin(0).layers
    moved = model.to("meta")
    assert moved._plain is not None and moved._plain.device.type == "meta"


def test_twins_of_a_network_with_directions_read_what_is_held() -> None:
    class Timed(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = torch.nn.Conv2d(3, 6, 3)

        def forward(self, x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
            return torch.relu(self.first(x)) * time[:, :, None, None]

    plain = TracedModel.from_module(Timed(), (torch.rand(2, 3, 9, 9), torch.ones(2, 1)), ref="test:timed")
    derived = plain.with_directions(axes_of("first", 6, 2))
    derived.hold("time", torch.full((1, 1), 3.0))
    x = torch.rand(2, 3, 9, 9)
    assert torch.equal(derived.twin(0).held["time"], torch.full((1, 1), 3.0)) and torch.equal(plain.held["time"], torch.ones(1, 1))
    plain.hold("time", torch.full((1, 1), 3.0))
    assert torch.equal(derived.twin(0)(x), plain.twin(0)(x))


def test_a_set_is_kept_and_opened_by_reference(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path))
    made = axes_of("relu", 18, 5, name="mine")
    made.save()
    assert find_directions("mine").digest == made.digest
    assert [(card.name, card.layer, card.directions) for card in list_directions()] == [("mine", "relu", 5)]
    model = workbench.load("bundled:planted/polysemantic_net?directions=mine")
    assert "relu~mine" in model.layers
    assert model.ref == "bundled:planted/polysemantic_net?directions=mine"
    assert without_directions(model.ref) == "bundled:planted/polysemantic_net"
    twin = workbench.load("bundled:planted/polysemantic_net?twin=1&directions=mine")
    assert twin.weight_hash == model.twin(1).weight_hash
    with pytest.raises(InputError, match="there are mine"):
        workbench.load("bundled:planted/polysemantic_net?directions=yours")
    with pytest.raises(InputError, match="no name for directions"):
        axes_of("relu", 18, 5, name="a b")
    with pytest.raises(InputError, match="of 17 units"):
        model.with_directions(axes_of("relu", 17, 5))
    assert with_directions_of("bundled:a?directions=x", "y") == "bundled:a?directions=x,y"
