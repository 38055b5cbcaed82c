"""What the window asks about directions, answered by the worker's engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from workbench.direction_set import DirectionSet
from workbench.facets import objective_of
from workbench.input_error import InputError
from workbench.jobs.direction_requests import FacetCrops, KeepAutoencoder, ListDirections, MakeDirections, UnitMixture
from workbench.jobs.engine import Engine
from workbench.jobs.store import Store
from workbench.jobs.training_requests import Train
from workbench.models.layer import Unit
from workbench.models.loading import load
from workbench.task import Task

NET, LINES = "bundled:planted/polysemantic_net", "stimuli:lines?orientations=6&xs=2&ys=2"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine(Store(tmp_path_factory.mktemp("store")))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path))
    return tmp_path


def test_directions_are_made_listed_and_read_and_a_network_opened_with_them_is_opened_anew(engine: Engine) -> None:
    request = MakeDirections("axes", {"layer": "mixed", "method": "pca", "number": 3, "places": 8}, NET, LINES)
    card = request.run(engine, Task())
    assert ListDirections().run(engine, Task()) == (card,) and card.directions == 3 and card.digest
    opened = engine.model(f"{NET}?directions=axes")
    assert opened.layer("mixed~axes").units == 3
    again = MakeDirections("axes", {"layer": "mixed", "method": "pca", "number": 2, "places": 8}, NET, LINES).run(engine, Task())
    assert engine.model(f"{NET}?directions=axes").layer("mixed~axes").units == 2 == again.directions
    mixture = UnitMixture("axes", 5).run(engine, Task())
    assert (np.diff(np.abs(mixture.share)) <= 0).all() and len(mixture.called) == len(mixture.direction) <= 2
    with pytest.raises(InputError, match="units 0 to 23"):
        UnitMixture("axes", 99).run(engine, Task())
    with pytest.raises(InputError, match="no name"):
        MakeDirections("a b", {}, NET, LINES).run(engine, Task())


def test_a_mixture_is_decoder_weight_times_spread() -> None:
    decoder = np.array([[1, 0], [2, -3]], np.float32)
    made = DirectionSet("d", "mixed", decoder, np.zeros(2, np.float32), decoder, np.array([0.5, 2], np.float32), labels=("a", "b"))
    assert made.mixture(1).tolist() == [0, -6] and made.called(1) == "b"


def test_who_agreed_to_a_network_s_code_agreed_for_its_directions_and_autoencoders(engine: Engine, folder: Path) -> None:
    (folder / "mine.py").write_text(
        "import torch\n\ndef make():\n    torch.manual_seed(0)\n    return torch.nn.Sequential(torch.nn.Conv2d(3, 8, 5), torch.nn.ReLU())\n"
    )
    ref = f"python:{folder / 'mine.py'}:make?img_size=16"
    settings = {"network": ref, "layer": "1", "images": LINES, "latents": 16, "kept": 2, "steps": 2, "batch": 32}
    with pytest.raises(InputError, match="runs the code"):
        Train("SparseAutoencoder", settings, folder / "runs" / "one").run(engine, Task())
    engine.model(ref, allow_code=True)
    Train("SparseAutoencoder", settings, folder / "runs" / "one").run(engine, Task())
    card = KeepAutoencoder(folder / "runs" / "one", "one").run(engine, Task())
    assert card.directions == 16 and card.provenance["run"] == "one"
    assert engine.model(f"{ref}&directions=one").layer("1~one").units == 16
    with pytest.raises(InputError, match="runs the code"):
        load(ref)


def test_crops_are_what_lies_before_the_positions(engine: Engine) -> None:
    layer = engine.model(NET).layer("relu")
    rows, columns = layer.positions
    asked = FacetCrops(NET, LINES, "relu", (0, 1, 0), (0, rows * columns - 1, columns - 1))
    crops = asked.run(engine, Task())
    images = engine.images(LINES)
    field = engine.receptive_field(engine.model(NET), "relu")
    assert crops.shape == (3, *field, 3)
    size = engine.model(NET).preprocessing.size
    assert np.array_equal(crops[0], images.image(0, size)[: field[0], : field[1]])
    assert np.array_equal(crops[1], images.image(1, size)[-field[0] :, -field[1] :])


def test_the_objective_of_a_facet_names_the_unit_and_what_drives_the_facet() -> None:
    said = objective_of(Unit("mixed", 3), ["relu:1", "relu:2", "relu:4"], [0.5, 0.25, -0.1], [1, -1, 1])
    assert said == "neuron('mixed', 3) + 1.00 * neuron('relu', 1) - 0.50 * neuron('relu', 2)"
