"""The planted diffusion networks do what they are said to: measured on the captured graph."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from workbench.analyses.feature_visualization import FeatureVisualization
from workbench.input_error import InputError
from workbench.jobs.engine import Engine
from workbench.jobs.requests import LoadModel
from workbench.jobs.store import Store
from workbench.models.known_circuit import KnownCircuit
from workbench.models.layer import Unit
from workbench.models.loading import LoadError, load
from workbench.models.traced_model import TracedModel
from workbench.task import Task

COUNT = 16  # below 64, where diffusers' upsampler takes another branch


@pytest.fixture(scope="module")
def style_unet() -> TracedModel:
    return load("bundled:planted/style_unet")


@pytest.fixture(scope="module")
def gated_unet() -> TracedModel:
    return load("bundled:planted/gated_unet")


def circuit_of(model: TracedModel) -> KnownCircuit:
    assert model.circuit is not None
    return model.circuit


def prompts(styles: Tensor, style: int | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return noise, timesteps and texts, the same but for the style."""
    random = torch.Generator().manual_seed(0)
    noise = torch.randn(COUNT, 3, 8, 8, generator=random)
    timesteps = torch.randint(0, 1000, (COUNT,), generator=random)
    text = torch.randn(COUNT, 4, 16, generator=random)
    text = text - text @ styles.T @ styles
    if style is not None:
        text[:, 0] += styles[style]
    return noise, timesteps, text


def sample(model: TracedModel, inputs: tuple[Tensor, ...]) -> Tensor:
    return model(*inputs).sample


def test_what_is_not_given_beside_the_image_is_held(gated_unet: TracedModel) -> None:
    (address,) = circuit_of(gated_unet).units
    layer, _, unit = address.rpartition(":")
    images = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    kept, digest = dict(gated_unet.held), gated_unet.weight_hash
    try:
        text = gated_unet.held["encoder_hidden_states"].expand(6, -1, -1)
        digests = {digest}
        for timestep, active in ((100, False), (200, False), (360, True), (440, True), (600, False)):
            gated_unet.hold("timestep", torch.tensor([timestep]))
            found = gated_unet.activations(images, [layer])[layer]
            told = gated_unet.activations((images, torch.full((6,), timestep), text), [layer])[layer]
            assert torch.equal(found, told)
            assert (found[:, int(unit)].mean() > 1) == active
            digests.add(gated_unet.weight_hash)
        assert len(digests) >= 5  # results of one timestep are not taken for those of another
        clean = gated_unet.edited(images, {})
        assert (gated_unet.edited(images, {layer: lambda x: x}) - clean).abs().max() == 0
    finally:
        gated_unet.held.update(kept)
    with pytest.raises(InputError, match="has no further input 'time'; it has timestep, encoder_hidden_states"):
        gated_unet.hold("time", torch.tensor([4]))
    with pytest.raises(InputError, match=r"timestep of gated_unet has the shape \(1,\), not \(2,\)"):
        gated_unet.hold("timestep", torch.tensor([4, 5]))
    with pytest.raises(InputError, match=r"3 values are needed \(input, input:timestep, .*\), 2 were given"):
        gated_unet(torch.zeros(2, 3, 8, 8), torch.tensor([4, 5]))


def test_an_image_analysis_runs_at_the_timestep_of_the_reference(tmp_path: Path) -> None:
    heights = {}
    for timestep in (100, 400):
        model = load(f"bundled:planted/gated_unet?timestep={timestep}")
        layer, _, unit = next(iter(circuit_of(model).units)).rpartition(":")
        result = FeatureVisualization(layer=layer, units=[int(unit)], steps=8).run(model)
        heights[timestep] = result.summary["median_score"]
    card = LoadModel("bundled:planted/gated_unet?timestep=400").run(Engine(Store(tmp_path)), Task())
    assert card.held == {"encoder_hidden_states": "4 × 16"}
    assert card.further["timestep"][0] == "400"
    assert heights[400] > 5
    assert heights[100] < 0.1
    for ref, told in (("planted/gated_unet?timestep=1000", "0 to 999"), ("planted/curve_net?timestep=4", "reads no timestep")):
        with pytest.raises(LoadError, match=told):
            load(f"bundled:{ref}")


def test_the_neuron_is_first_under_every_score(style_unet: TracedModel) -> None:
    circuit = circuit_of(style_unet)
    styles = torch.tensor(circuit.facts["styles"])
    neuron = next(Unit.parse(address) for address in circuit.units if ".ff." in address)
    by_style = torch.stack(
        [style_unet.activations(prompts(styles, style), [neuron.layer])[neuron.layer].mean(1) for style in range(5)]
    )  # style prompt neuron
    means = by_style.abs().mean(1)
    share = means[0] / means.sum(0)
    rest = by_style[1:].flatten(0, 1)
    z = (by_style[0].mean(0) - rest.mean(0)) / rest.std(0)
    above = (by_style[0][:, None] > rest[None]).float().mean((0, 1))
    effect = style_unet.graph.root.get_parameter("mid_block.attentions.0.transformer_blocks.0.ff.net.2.weight").norm(
        dim=0
    )
    wanda = effect * (by_style[0].norm(dim=0) - rest.norm(dim=0))
    for score in (share, z, above, wanda):
        assert int(score.argmax()) == neuron.index
    assert share[neuron.index] > 0.99 and above[neuron.index] == 1


def test_the_style_changes_its_direction_only(style_unet: TracedModel) -> None:
    circuit = circuit_of(style_unet)
    styles = torch.tensor(circuit.facts["styles"])
    neuron = next(Unit.parse(address) for address in circuit.units if ".ff." in address)
    layers = [neuron.layer, neuron.layer.removesuffix(".net.0")]
    plain, styled = (style_unet.activations(prompts(styles, style), layers) for style in (None, 0))
    others = [i for i in range(128) if i != neuron.index]
    before, after = (values[neuron.layer][..., others] for values in (plain, styled))
    moved = (after - before).square().mean().sqrt() / before.std()
    assert moved <= 0.023
    change = (styled[layers[1]] - plain[layers[1]]).flatten(0, 1)
    along = change @ torch.tensor(circuit.facts["write_direction"])
    assert (along > 0.5).float().mean() > 0.98 and along.square().sum() / change.square().sum() > 0.999


def test_without_the_neuron_its_style_is_gone_and_the_others_stay(style_unet: TracedModel) -> None:
    circuit = circuit_of(style_unet)
    styles = torch.tensor(circuit.facts["styles"])
    neuron = next(Unit.parse(address) for address in circuit.units if ".ff." in address)

    def ablate(value: Tensor) -> Tensor:
        value = value.clone()
        value[..., neuron.index] = 0
        return value

    moved = []
    for style in range(5):
        inputs = prompts(styles, style)
        ablated = style_unet.edited(inputs, {neuron.layer: ablate}, max_examples=COUNT)
        clean = sample(style_unet, inputs)
        moved.append(float((clean - ablated).square().mean().sqrt() / clean.std()))
        if style == 0:
            plain = sample(style_unet, prompts(styles, None))
            assert (ablated - plain).square().mean().sqrt() / plain.std() <= 0.023
    assert moved[0] > 0.05 and max(moved[1:]) <= 0.023


def test_the_gated_unit_is_active_in_its_band_only(gated_unet: TracedModel) -> None:
    circuit = circuit_of(gated_unet)
    unit, (first, last) = next((Unit.parse(a), facts["timesteps"]) for a, facts in circuit.units.items())
    assert (first, last) == (300, 500)
    random = torch.Generator().manual_seed(0)
    means = []
    timesteps = torch.arange(0, 1000, 4)
    for batch in timesteps.split(50):
        inputs = (
            torch.randn(len(batch), 3, 8, 8, generator=random),
            batch,
            torch.randn(len(batch), 4, 16, generator=random),
        )
        means.append(gated_unet.activations(inputs, [unit.layer])[unit.layer].mean((2, 3)))
    profile = torch.cat(means)
    own = profile[:, unit.index]
    inside = (timesteps >= first) & (timesteps < last)
    active = own > own.max() / 2
    assert (active & inside).sum() / (active | inside).sum() >= 0.9
    assert own[inside].median() > 50 * own[~inside].abs().median()
    assert int(((profile[inside].mean(0) - profile[~inside].mean(0)) / profile.std(0)).argmax()) == unit.index


def test_ablating_the_gated_unit_matters_in_its_band(gated_unet: TracedModel) -> None:
    unit = Unit.parse(next(iter(circuit_of(gated_unet).units)))
    random = torch.Generator().manual_seed(0)

    def ablate(value: Tensor) -> Tensor:
        value = value.clone()
        value[:, unit.index] = 0
        return value

    effect = {}
    for t in (100, 250, 400, 550, 700):
        inputs = (
            torch.randn(16, 3, 8, 8, generator=random),
            torch.full((16,), t),
            torch.randn(16, 4, 16, generator=random),
        )
        ablated = gated_unet.edited(inputs, {unit.layer: ablate}, max_examples=16)
        effect[t] = float((ablated - sample(gated_unet, inputs)).square().mean().sqrt())
    assert effect[400] > 2 * max(effect[t] for t in effect if t != 400)
