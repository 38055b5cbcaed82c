"""Which trainings a `PhaseChange` is of: a result is of the checkpoints there were, what is left out is said, controls are held out."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import workbench.analyses.phase_change as module
from workbench.analyses.phase_change import DIRECTIONS, KINDS, METRICS, PhaseChange
from workbench.models.checkpoint_series import Series
from workbench.models.planted.curve import curve_net
from workbench.models.traced_model import TracedModel
from workbench.reports.phase_change import _answer

LAYER = "curve_relu"


def network(ref: str, grown: float = 1.0) -> TracedModel:
    """Give curve detectors whose weights are planted to some part, and random otherwise."""
    net = curve_net().module[:4]
    weight = net.curve.weight.data
    noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)) * weight.std()
    net.curve.weight.data = grown * weight + (1 - grown) * noise
    return TracedModel.from_module(net, torch.zeros(2, 3, 33, 33), ref=ref)


@pytest.fixture
def run_in(tmp_path: Path):
    """Give a function that writes, or goes on with, the folder of a run that keeps so many checkpoints."""

    def make(name: str, count: int, seed: int) -> str:
        folder = tmp_path / name
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        for step in range(count):
            path = folder / "checkpoints" / f"{step:08}.safetensors"
            if not path.exists():
                save_file({"weight": torch.full((3, 3), float(seed))}, path)
        parameters = {"seed": seed, "network": "inception", "size": 64}
        (folder / "recipe.json").write_text(json.dumps({"kind": "Classifier", "parameters": parameters, "labels": [], "data": {}}))
        return f"run:{folder}"

    return make


def test_a_result_is_of_the_checkpoints_and_losses_that_there_were(run_in, tmp_path: Path) -> None:
    own, further = run_in("a", 12, seed=1), run_in("b", 12, seed=2)
    model = network(own)
    asked = PhaseChange(layer=LAYER, further=(further,))
    keys = [asked.key(model)]
    assert asked.key(model) == keys[0], "nothing has changed"
    run_in("b", 30, seed=2)
    keys.append(asked.key(model))
    file = tmp_path / "b" / "checkpoints" / "00000003.safetensors"
    os.utime(file, ns=(0, file.stat().st_mtime_ns + 10**9))
    keys.append(asked.key(model))
    (tmp_path / "a" / "log.jsonl").write_text('{"step": 3, "loss": 1.5}\n')
    keys.append(asked.key(model))
    run_in("a", 13, seed=1)
    keys.append(asked.key(model))
    assert len(set(keys)) == len(keys), "further checkpoints, other weights, a log, and more of its own training"
    alone = PhaseChange(layer=LAYER, further=(further,), units=(2,))
    before = alone.key(model)
    run_in("b", 31, seed=2)
    assert alone.key(model) == before, "units that were chosen are of the own training alone"


def test_a_result_of_a_network_in_the_box_is_of_the_digests_of_its_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    model, asked, known = network("bundled:inception"), PhaseChange(layer=LAYER), module.cards()
    before = asked.key(model)
    assert asked.key(model) == before
    early = {seed: of.model_copy(update={"sha256": "another"}) for seed, of in known["inception"].early.items()}
    monkeypatch.setattr(module, "cards", lambda: known | {"inception": known["inception"].model_copy(update={"early": early})})
    assert asked.key(model) != before


def test_trainings_that_are_left_out_are_told_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def training(name: str, checkpoints: int, seed: int) -> Series:
        return Series(name, {step: f"test:{name}/{step}" for step in range(checkpoints)}, (), "Classifier", {"seed": seed})

    def follow(self: PhaseChange, series: Series, tell: object) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[int]]:
        rise = (np.arange(len(series.refs)) > 6) * 1.0
        values = np.tile(rise, (len(KINDS), len(METRICS), 1))
        return values, np.repeat(values[0, :, :, None], 2, 2), np.zeros((len(rise), self.orientations)), [5, 2]

    kept = [training("short", 5, 0), training("first", 14, 0), training("again", 13, 0), training("other", 12, 1)]
    monkeypatch.setattr(module, "series_of", lambda ref, further: kept)
    monkeypatch.setattr(PhaseChange, "_follow", follow)
    result = PhaseChange(layer=LAYER, orientations=12).run(network("test:curves"))
    summary = result.summary
    assert summary["trainings"] == ["first", "other"], "a training that is too short takes no other one's place"
    assert summary["without"] == {
        "short": "it has 5 of the 12 checkpoints that are needed",
        "again": "it is trained as first is, seed and all, and would count twice",
    }
    (said,) = _answer({"test:curves": {LAYER: result}}).parts
    assert "2 trainings:" in said and "short is left out: it has 5 of the 12 checkpoints that are needed." in said
    kept[:] = kept[3:]
    assert PhaseChange(layer=LAYER, orientations=12).run(network("test:curves")).summary["without"] == {}


def test_a_direction_that_is_a_unit_is_measured_as_that_unit_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bump and condition are of the first rendering, R2 and index of the second, with the same lines: for controls, too."""
    units, real = (5, 2), np.random.default_rng

    class AsUnits:
        def normal(self, size: tuple[int, int]) -> np.ndarray:
            return np.eye(size[0])[:, list(units)]

    monkeypatch.setattr(np.random, "default_rng", lambda seed=None: AsUnits() if seed == [0, DIRECTIONS] else real(seed))
    monkeypatch.setattr(module, "load", lambda ref: network(ref, float(ref.rpartition("/")[2])))
    series = Series("seed 0", {step: f"test:0/{grown}" for step, grown in enumerate((0.2, 0.5, 1.0))})
    values, *_ = PhaseChange(layer=LAYER, units=units, number=2, orientations=12)._follow(series, lambda note, done: None)
    of_units, of_directions = values[list(KINDS).index("units")], values[list(KINDS).index("random")]
    assert np.isfinite(of_units).all()
    np.testing.assert_allclose(of_directions, of_units, atol=1e-9)
