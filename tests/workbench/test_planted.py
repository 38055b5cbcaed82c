"""Every planted network opens at once, is the same each time, and says what is true of it in plain data."""

from __future__ import annotations

import json
import time
from dataclasses import asdict

import pytest
import torch

import main
from workbench.images.image_set import load_images
from workbench.models.layer import Unit
from workbench.models.loading import LoadError, entries, load
from workbench.models.planted import PLANTED


@pytest.mark.parametrize("name", PLANTED)
def test_it_opens_at_once_and_its_circuit_names_units_it_has(name: str) -> None:
    PLANTED[name].make()  # libraries are imported now
    began = time.process_time()
    network = PLANTED[name].make()
    assert time.process_time() - began < 1
    assert sum(parameter.numel() for parameter in network.module.parameters()) < 1_000_000
    model = load(f"bundled:planted/{name}")
    circuit = model.circuit
    assert circuit is not None and circuit == network.circuit
    assert json.loads(json.dumps(asdict(circuit)))["question"].endswith("?")
    assert circuit.units and not model.warnings and bool(model.held) == ("unet" in name) and model.licence == "Apache-2.0"
    for address in [*circuit.units, *(end for edge in circuit.edges for end in edge[:2])]:
        unit = Unit.parse(address)
        assert unit.index < model.layer(unit.layer).units
    if circuit.images:
        assert len(load_images(circuit.images))


@pytest.mark.parametrize("name", PLANTED)
def test_its_weights_are_the_same_each_time_and_no_random_number_is_taken(name: str) -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    first = PLANTED[name].make().module.state_dict()
    assert torch.equal(torch.rand(3), expected)
    second = PLANTED[name].make().module.state_dict()
    assert all(torch.equal(tensor, second[key]) for key, tensor in first.items())


def test_they_are_listed_in_a_group_of_their_own() -> None:
    found = entries("bundled:planted/*")
    assert [entry.ref for entry in found] == [f"bundled:planted/{name}" for name in sorted(PLANTED)]
    assert {entry.group for entry in found} == {"bundled/planted"} and all(entry.note for entry in found)


@pytest.mark.parametrize("ref", ["bundled:planted/curvenet", "bundled:curve_net", "bundled:planted/curve_nte"])
def test_a_wrong_name_brings_the_nearest(ref: str) -> None:
    with pytest.raises(LoadError, match="did you mean planted/curve_net"):
        load(ref)


def test_a_name_near_nothing_says_what_there_is() -> None:
    with pytest.raises(
        LoadError, match=r"no bundled network named 'zzz'; there are efficientnet-lite0, .*inception.* and planted/NAME"
    ):
        load("bundled:zzz")


def test_the_circuit_can_be_listed(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["list", "circuit", "relu:0", "--model", "bundled:planted/and_or_net"]
    assert main.main(command) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["unit", "relu:0", '{"feature":', '"lying', "and", 'red"}']
    assert ["edge", "saturate:0", "->", "relu:0", "1.0"] in lines and [
        "edge",
        "relu:0",
        "->",
        "head:1",
        "-1.0",
    ] in lines
    assert len(lines) == 5
    assert main.main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["value"] == {"feature": "lying and red"}


def test_only_a_planted_network_has_a_circuit_to_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["list", "circuit"]) == 2
    assert "add --model REF, such as --model bundled:planted/curve_net" in capsys.readouterr().err
    assert main.main(["list", "circuit", "--model", "timm:test_resnet?pretrained=false&img_size=32"]) == 2
    assert "nothing is known of the circuit of timm:test_resnet" in capsys.readouterr().err
