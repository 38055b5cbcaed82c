"""What the planted networks for images are said to compute, they compute: measured on the captured graph."""

from __future__ import annotations

from itertools import chain, combinations

import numpy as np
import pytest
import torch
from torch import Tensor

from workbench.images.image_set import load_images
from workbench.images.stimuli import Curves
from workbench.models.known_circuit import KnownCircuit
from workbench.models.layer import Unit
from workbench.models.loading import load
from workbench.models.traced_model import TracedModel


def opened(name: str) -> tuple[TracedModel, KnownCircuit]:
    model = load(f"bundled:planted/{name}")
    assert model.circuit is not None
    return model, model.circuit


def weight(model: TracedModel, name: str) -> Tensor:
    return model.graph.root.get_parameter(f"{name}.weight")


def stimuli(model: TracedModel, circuit: KnownCircuit) -> tuple[Tensor, dict[str, np.ndarray]]:
    """Return the images the circuit names, as network input, and their parameters as numbers."""
    images = load_images(circuit.images)
    pixels = np.stack([images.image(i, model.preprocessing.size) for i in range(len(images))])
    numbers = {name: values for name, values in images.columns.items() if name != "profile"}
    return model.preprocess(pixels), {name: np.array(values, dtype=float) for name, values in numbers.items()}


# --- curves --------------------------------------------------------------------------------------------------------------------


def tuning(model: TracedModel, step: float) -> np.ndarray:
    """Return how the unit in the middle of each curve map responds to arcs that bulge to 0, `step`, ... degrees: ``curve angle``."""
    table = Curves().grid(orientation=np.arange(0, 360, step), radius=18 / 65)
    images = model.normalise(Curves().render(table, model.preprocessing.size))
    field = images[:, :, 16:49, 16:49]  # all that the unit in the middle sees
    return model.activations(field, ["curve_relu"])["curve_relu"][:, :, 0, 0].T.numpy()


@pytest.mark.parametrize(("name", "half_width"), [("curve_net", 12.5), ("curve_net_inhibited", 9.0)])
def test_curves_prefer_their_angle_exactly(name: str, half_width: float) -> None:
    model, circuit = opened(name)
    response = tuning(model, 0.5)
    for unit, curve in enumerate(response):
        preferred = circuit.units[f"curve_relu:{unit}"]["orientation"]
        assert curve.argmax() * 0.5 == preferred
        above = np.roll(curve, len(curve) // 2 - int(curve.argmax())) >= curve.max() / 2
        middle = len(curve) // 2
        right, left = int(np.argmin(above[middle:])), int(np.argmin(above[middle::-1]))
        assert abs((left + right - 1) / 2 * 0.5 - half_width) < 0.5


def test_opposite_inhibition_lowers_the_second_peak() -> None:
    second = {}
    for name in ("curve_net", "curve_net_inhibited"):
        response = tuning(opened(name)[0], 2.5)
        away = np.stack([np.roll(curve, 72 - 18 * unit)[:36] for unit, curve in enumerate(response)])
        second[name] = float((away.max(1) / response.max(1)).mean())
    assert second["curve_net"] < 0.44 and second["curve_net_inhibited"] < second["curve_net"] - 0.05


def test_gabors_prefer_lines_of_their_orientation() -> None:
    model, circuit = opened("curve_net")
    images = load_images("stimuli:lines?orientations=16")
    pixels = np.stack([images.image(i, model.preprocessing.size) for i in range(len(images))])
    maps = model.activations(model.preprocess(pixels), ["gabor_relu"])["gabor_relu"]
    assert maps[:, :, 28, 28].argmax(0).tolist() == list(range(16))
    assert [circuit.units[f"gabor_relu:{i}"]["orientation"] for i in range(16)] == [11.25 * i for i in range(16)]


# --- families ------------------------------------------------------------------------------------------------------------------


def test_families_are_exact_turns_and_nothing_else_is() -> None:
    model, circuit = opened("rotated_family_net")
    kernels = weight(model, "features")
    families = [[Unit.parse(unit).index for unit in family] for family in circuit.facts["families"]]
    assert len(families) == 6 and all(len(family) == 4 for family in families)
    unrelated = [Unit.parse(unit).index for unit in circuit.facts["unrelated"]]
    assert sorted([*chain(*families), *unrelated]) == list(range(32))
    related = set()
    for family in families:
        for turn, unit in enumerate(family):
            assert torch.equal(kernels[unit], torch.rot90(kernels[family[0]], turn, (1, 2)))
            assert circuit.units[f"relu:{unit}"]["turn"] == 90 * turn
        related |= set(combinations(sorted(family), 2))
    for pair in set(combinations(range(len(kernels)), 2)) - related:
        turned = torch.stack([torch.rot90(kernels[pair[0]], turn, (1, 2)) for turn in range(4)])
        assert (turned * kernels[pair[1]]).sum((1, 2, 3)).abs().max() < 0.9


def test_turning_the_image_moves_the_response_within_the_family() -> None:
    model, circuit = opened("rotated_family_net")
    images = torch.randn(4, 3, 33, 33, generator=torch.Generator().manual_seed(0))
    before, after = model(images), model(torch.rot90(images, 1, (2, 3)))
    for family in circuit.facts["families"]:
        units = [Unit.parse(unit).index for unit in family]
        assert torch.allclose(after[:, units[1:] + units[:1]], before[:, units], atol=1e-5)


# --- polysemantic units --------------------------------------------------------------------------------------------------------


def test_units_respond_to_their_causes_and_to_nothing_else() -> None:
    model, circuit = opened("polysemantic_net")
    images, said = stimuli(model, circuit)
    response = model(images)
    assert len(images) == 450 and len(circuit.facts["polysemantic"]) == 6
    for unit in range(24):
        causes = [circuit.units[cause] for cause in circuit.units[f"mixed:{unit}"]["causes"]]
        assert (len(causes) == 2) == (f"mixed:{unit}" in circuit.facts["polysemantic"])
        seen = np.zeros(len(images), dtype=bool)
        for cause in causes:
            shown = (said["orientation"] == cause["orientation"]) & (said["ink_hue"] == cause["hue"])
            assert shown.sum() == 25
            seen |= shown
        assert response[seen, unit].min() > 0.8 and response[~seen, unit].max() < 0.2
        if len(causes) == 2:
            assert (
                abs(causes[0]["orientation"] - causes[1]["orientation"]) == 90 and causes[0]["hue"] != causes[1]["hue"]
            )


# --- gates ---------------------------------------------------------------------------------------------------------------------


def properties(said: dict[str, np.ndarray]) -> tuple[Tensor, Tensor, Tensor]:
    return tuple(
        torch.from_numpy(said[name] == value).float()
        for name, value in (("orientation", 0), ("ink_hue", 29), ("width", said["width"].max()))
    )


@pytest.mark.parametrize("name", ["and_or_net", "and_or_net_decoys", "diamond_net", "cancellation_net"])
def test_properties_of_the_line_become_exactly_0_or_1(name: str) -> None:
    model, circuit = opened(name)
    images, said = stimuli(model, circuit)
    assert len(images) == 8
    assert torch.equal(model.activations(images, ["saturate"])["saturate"][:, :3], torch.stack(properties(said), 1))


@pytest.mark.parametrize(("name", "tolerance"), [("and_or_net", 0.0), ("and_or_net_decoys", 0.1)])
def test_truth_tables(name: str, tolerance: float) -> None:
    model, circuit = opened(name)
    images, said = stimuli(model, circuit)
    lying, red, _ = properties(said)
    truth = torch.stack([lying * red, lying + red - lying * red, (lying - red).abs()], 1)
    assert (model(images) - truth).abs().max() <= tolerance
    assert model.labels == ("AND", "OR", "XOR")


def test_decoys_respond_to_the_images_and_the_edges_alone_tell_the_output() -> None:
    model, circuit = opened("and_or_net_decoys")
    images, _ = stimuli(model, circuit)
    decoys = model.activations(images, ["saturate"])["saturate"][:, 3:]
    assert decoys.shape[1] == 50 and (decoys.std(0) > 0.01).sum() >= 40
    edges = weight(model, "gates").abs()
    assert circuit.facts["decoy_edges"] == edges[:, 3:].numel() == 200
    assert edges[:, 3:].max() < 0.05 and len([e for e in circuit.edges if e[1].startswith("relu")]) == 8
    clean = model(images)
    cut = model.edited(images, {"saturate": lambda value: torch.cat([value[:, :3], 0 * value[:, 3:]], 1)})
    assert 1 - (clean - cut).square().sum() / (clean - clean.mean(0)).square().sum() > 0.95


def test_patching_and_and_or_differ_as_they_must() -> None:
    """Denoising one input restores OR and not AND; noising one destroys AND and not OR; single true gates carry all of AND."""
    model, circuit = opened("and_or_net")
    images, said = stimuli(model, circuit)
    lying, red, thick = properties(said)
    clean, corrupt = (images[(lying == v) & (red == v) & (thick == 1)] for v in (1, 0))
    values = model.activations(torch.cat([clean, corrupt]), ["saturate", "relu"])
    for unit in (0, 1):
        restored, destroyed = values["saturate"][1:].clone(), values["saturate"][:1].clone()
        restored[:, unit], destroyed[:, unit] = values["saturate"][0, unit], values["saturate"][1, unit]
        assert model.edited(corrupt, {"saturate": restored})[0, :2].tolist() == [0, 1]
        assert model.edited(clean, {"saturate": destroyed})[0, :2].tolist() == [0, 1]
    for gate in range(4):
        patched = values["relu"][1:].clone()
        patched[:, gate] = values["relu"][0, gate]
        assert float(model.edited(corrupt, {"relu": patched})[0, 0]) == (1.0 if gate == 0 else 0.0)


def test_scrubbing_recovers_what_the_facts_say() -> None:
    """Computed by hand over all draws, on the network's own outputs."""
    model, circuit = opened("and_or_net")
    images, said = stimuli(model, circuit)
    lying, *_ = properties(said)
    outputs = model(images)
    pairs = [(i, j) for i in range(8) for j in range(8)]
    for place, name in enumerate(model.labels):
        agreeing = [(i, j) for i, j in pairs if lying[i] == lying[j]]
        error = np.mean([float(outputs[i, place] - outputs[j, place]) ** 2 for i, j in agreeing])
        most = np.mean([float(outputs[i, place] - outputs[j, place]) ** 2 for i, j in pairs])
        expected = circuit.facts["recovered_by_scrubbing_with_one_property"][name]
        assert 1 - error / most == pytest.approx(expected, abs=1e-6)

    model, circuit = opened("diamond_net")
    images, said = stimuli(model, circuit)
    lying, *_ = properties(said)
    gates = model.activations(images, ["relu"])["relu"]
    head = weight(model, "head")
    # The claim of relu:0 is lying: its datum j agrees with i on that, and its inputs agree with j (parent) or with i (root).
    draws = [(i, j) for i, j in pairs if lying[i] == lying[j]]
    clean = [float(head @ gates[i]) for i, _ in draws]
    parent = [float(head @ torch.stack([gates[j, 0], gates[i, 1]])) for i, j in draws]
    most = np.mean([float(head @ (gates[i] - gates[j])) ** 2 for i, j in pairs])
    error = np.mean((np.array(clean) - np.array(parent)) ** 2)
    assert 1 - error / most == pytest.approx(circuit.facts["recovered_agreeing_with_parent"], abs=1e-6)


def test_cancellation_keeps_the_mean_loss_and_changes_outputs() -> None:
    model, circuit = opened("cancellation_net")
    images, said = stimuli(model, circuit)
    _, red, _ = properties(said)
    outputs, pairs = model(images), [(i, j) for i in range(8) for j in range(8)]
    agreeing = [(i, j) for i, j in pairs if red[i] == red[j]]

    def loss(drawn: list[tuple[int, int]]) -> float:
        rows, others = zip(*drawn, strict=True)
        return float(torch.nn.functional.cross_entropy(outputs[list(others)], red[list(rows)].long()))

    clean, most = loss([(i, i) for i in range(8)]), loss(pairs)
    assert 1 - (loss(agreeing) - clean) / (most - clean) == pytest.approx(circuit.facts["recovered_loss"], abs=1e-6)
    moved = np.mean([float((outputs[i] - outputs[j]).square().sum()) for i, j in agreeing])
    random = np.mean([float((outputs[i] - outputs[j]).square().sum()) for i, j in pairs])
    assert moved / random == pytest.approx(circuit.facts["squared_distance_of_random"], abs=1e-6)


# --- attention -----------------------------------------------------------------------------------------------------------------


def test_the_head_looks_one_patch_to_the_right_and_copies_its_colour() -> None:
    model, circuit = opened("attention_net")
    colours = torch.rand(64, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
    images = colours.repeat_interleave(8, 2).repeat_interleave(8, 3)
    found = model.activations(images, ["blocks.0.attn.qkv", "blocks.0.attn", "patch_embed"])
    query, key, _ = found["blocks.0.attn.qkv"].view(64, 16, 3, 2, 20).permute(2, 0, 3, 1, 4)
    pattern = (query @ key.transpose(2, 3) / 20**0.5).softmax(3)
    looks_at = torch.tensor(circuit.facts["looks_at"])
    assert pattern[:, 0, torch.arange(16), looks_at].min() >= 0.99
    assert (pattern[:, 1] - 1 / 16).abs().max() < 1e-6

    profile: dict[tuple[int, int], float] = {}
    for p in range(16):
        for q in range(16):
            offset = (q // 4 - p // 4, q % 4 - p % 4)
            profile[offset] = profile.get(offset, 0.0) + float(pattern[:, 0, p, q].mean())
    assert (
        max(profile, key=lambda offset: profile[offset])
        == tuple(circuit.units["blocks.0.attn:scaled_dot_product_attention:0"]["offset"])
        == (0, 1)
    )

    patches = colours.flatten(2).transpose(1, 2)
    copied = found["blocks.0.attn"][:, :, circuit.facts["copied_dimensions"]]
    assert torch.equal(copied.argmax(2), patches[:, looks_at].argmax(2))
    assert (copied - patches[:, looks_at]).abs().max() < 1e-3
    assert torch.allclose(found["patch_embed"][:, :, circuit.facts["colour_dimensions"]], patches, atol=1e-6)
    assert torch.allclose(model(images), patches[:, looks_at].mean(1), atol=1e-3)


# --- sums ----------------------------------------------------------------------------------------------------------------------


def test_sparse_weights_have_the_known_figures_and_inputs() -> None:
    model, circuit = opened("sparse_net")
    noisy = [Unit.parse(unit).index for unit in circuit.facts["noisy"]]
    weights = weight(model, "sums")[noisy].abs().double().sort(1).values
    place = torch.arange(1, 1001)
    gini = ((2 * place - 1001) * weights).sum(1) / (1000 * weights.sum(1))
    square = weights**2
    participation = square.sum(1) ** 2 / (square**2).sum(1)
    assert gini.mean() == pytest.approx(circuit.facts["gini"], abs=0.01)
    assert participation.mean() == pytest.approx(circuit.facts["participation_ratio"], abs=0.2)
    kernels = weight(model, "features")
    alike = torch.corrcoef(kernels[:100])
    within = torch.block_diag(*[torch.ones(5, 5)] * 20).bool() & ~torch.eye(100, dtype=torch.bool)
    assert alike[within].mean() == pytest.approx(0.8, abs=0.02) and alike[~within & (alike < 0.99)].abs().mean() < 0.05


def test_a_sum_of_twenty_is_had_from_its_twenty() -> None:
    model, circuit = opened("sparse_net")
    images = torch.randn(400, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    found = model.activations(images, ["relu", "sums"])
    for unit in range(16):
        inputs = [Unit.parse(address).index for address in circuit.units[f"sums:{unit}"]["inputs"]]
        assert len(inputs) == 20
        kept, total = found["relu"][:, inputs].sum(1), found["sums"][:, unit]
        explained = 1 - (total - kept).var() / total.var()
        assert explained > (0.95 if f"sums:{unit}" in circuit.facts["noisy"] else 1 - 1e-6)


def test_three_neurons_stand_out_on_the_direct_path() -> None:
    model, circuit = opened("residual_sum_net")
    reads, writes = weight(model, "blocks.1.mlp.fc1"), weight(model, "blocks.0.mlp.fc2")
    gamma = weight(model, "blocks.1.norm2")
    centred = writes - writes.mean(0)
    virtual = reads * gamma @ centred
    for unit in range(16):
        known = {Unit.parse(address).index for address in circuit.units[f"blocks.1.mlp.act:{unit}"]["inputs"]}
        assert set(virtual[unit].topk(3).indices.tolist()) == known
        others = virtual[unit][[i for i in range(256) if i not in known]]
        assert ((virtual[unit][list(known)] - others.mean()) / others.std()).min() >= 2.5


def test_the_linear_path_cancels_where_it_is_said_to() -> None:
    model, circuit = opened("cancelling_path_net")
    images = torch.randn(16, 3, 33, 33, generator=torch.Generator().manual_seed(0))
    found = model.activations(images, ["features", "both", "sums"])
    gates = (found["both"] > 0).float().mean((0, 2, 3))  # the mean derivative of the ReLU over the data
    through = weight(model, "sums").flatten(1) * gates @ weight(model, "both").flatten(1)
    linear = torch.einsum("oi,biyx->boyx", through, found["features"])
    residual = (linear - found["sums"]).var((0, 2, 3)) / found["sums"].var((0, 2, 3))
    for unit in range(8):
        feature = found["features"][:, unit]
        if f"sums:{unit}" in circuit.facts["cancelling"]:
            assert torch.allclose(found["sums"][:, unit], feature.abs(), atol=1e-6) and residual[unit] > 0.9
        else:
            assert torch.allclose(found["sums"][:, unit], feature, atol=1e-6) and residual[unit] < 0.1


# --- motifs --------------------------------------------------------------------------------------------------------------------


def test_motifs_are_in_the_weights() -> None:
    model, circuit = opened("motif_net")
    weights = weight(model, "motifs").flatten(1)
    assert {name: len(found) for name, found in circuit.facts.items()} == {"invariance": 8, "union": 8, "opposite": 8}
    for motif, count in (("invariance", 4), ("union", 2)):
        for entry in circuit.facts[motif]:
            inputs = sorted(Unit.parse(address).index for address in entry["inputs"])
            row = weights[Unit.parse(entry["unit"]).index]
            assert sorted(row.topk(count).indices.tolist()) == inputs and row[inputs].min() > 0.9
            described = [circuit.units[address] for address in entry["inputs"]]
            branches = {one["branch"] for one in described}
            assert branches == ({"shape"} if motif == "invariance" else {"shape", "colour"})
            if motif == "invariance":
                assert [one["turn"] for one in described] == [0, 90, 180, 270] and len(
                    {o["family"] for o in described}
                ) == 1
    for pair in circuit.facts["opposite"]:
        first, second = (weights[Unit.parse(unit).index] for unit in pair)
        assert torch.nn.functional.cosine_similarity(first, second, 0) < -0.98


def test_the_branches_are_for_shape_and_for_colour() -> None:
    model, _ = opened("motif_net")
    shape, colour = weight(model, "features.shape"), weight(model, "features.colour")
    assert torch.equal(shape[:, 0], shape[:, 1]) and torch.equal(shape[:, 1], shape[:, 2])
    assert colour.sum(1).abs().max() < 1e-6
    assert torch.equal(shape[1], torch.rot90(shape[0], 1, (1, 2)))
