"""Units that are put into a network at once, or grown little by little, are told apart over its checkpoints."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import workbench.analyses.phase_change as module
from workbench.analyses.phase_change import METRICS, PhaseChange
from workbench.input_error import InputError
from workbench.models.card import cards
from workbench.models.checkpoint_series import DENSE, Series, independent, series_of
from workbench.models.older_recipes import as_trained
from workbench.models.planted.curve import curve_net
from workbench.models.traced_model import TracedModel
from workbench.training.recipe import recipe

STEPS = [0, 1, 2, 4, 7, 12, 20, 33, 55, 90, 148, 245, 403, 665, 1097, 1808]


def network(grown: float, seed: int) -> TracedModel:
    """Give curve detectors whose weights are planted to some part, and random otherwise."""
    net = curve_net().module[:4]
    weight = net.curve.weight.data
    noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed)) * weight.std()
    net.curve.weight.data = grown * weight + (1 - grown) * noise
    return TracedModel.from_module(net, torch.zeros(2, 3, 33, 33), ref="test:curves")


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch):
    """Give a function that makes a training whose checkpoints hold so much of the planted weights."""

    def make(schedule, trainings: int = 1) -> None:
        log = ({"step": 0, "loss": 2.0}, {"step": 9, "loss": 1.0})
        kept = [Series(f"seed {seed}", {step: f"test:{seed}/{schedule(step)}" for step in STEPS}, log) for seed in range(trainings)]
        monkeypatch.setattr(module, "series_of", lambda ref, further: kept)
        monkeypatch.setattr(module, "load", lambda ref: network(float(ref.partition("/")[2]), int(ref[len("test:") : ref.index("/")])))

    return make


def test_what_is_there_at_once_is_a_phase_change(train) -> None:
    train(lambda step: float(step >= 60))
    result = PhaseChange(layer="curve_relu", number=4, orientations=12).run(network(1.0, 0))
    told = result.summary["verdicts"]["units"]
    for metric in ("r2", "match", "above"):
        assert told[metric]["verdict"] == "phase change", (metric, told[metric])
        best = told[metric]["curves"][0]
        (early, late), *_ = best["at_interval"]
        assert best["abrupt"] and best["name"] == told[metric]["best"]
        assert 55 <= best["at"][0] <= 90 and early <= 55 < 90 <= late <= 148
    values, fitted = result.arrays["values"][0], result.arrays["fitted"][0]
    each = result.arrays["each"]
    assert each.shape == (len(METRICS), 1, len(STEPS), 4) and np.allclose(each[0].mean(2), values[0])
    known = list(METRICS).index("match")
    assert np.abs(fitted[known] - values[known]).max() < 0.2, "the curve that was chosen goes through what was measured"
    above, match = (values[list(METRICS).index(name), 0] for name in ("above", "match"))
    assert above[-1] >= 0.5 > above[0] and match[-1] == pytest.approx(1)
    assert result.summary["few"] and result.arrays["loss"].shape == (1, 2, 2)
    assert len(result.summary["units"]["seed 0"]) == 4 and result.arrays["film"].shape == (1, len(STEPS), 12)
    assert set(PhaseChange.draw(result)) == {"metrics", "film"}


def test_a_transition_is_told_of_the_training_it_is_in(train, monkeypatch: pytest.MonkeyPatch) -> None:
    """One training has no value of a metric; the other's must not stand in its place."""
    rise = (np.array(STEPS) >= 60) * 1.0

    def follow(self: PhaseChange, series: Series, tell: object) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[int]]:
        values = np.tile(rise, (4, len(METRICS), 1))
        if series.name == "seed 0":
            values[:, list(METRICS).index("index")] = np.nan
        return values, np.repeat(values[0, :, :, None], 2, 2), np.zeros((len(STEPS), self.orientations)), [5, 2]

    train(float, trainings=2)
    monkeypatch.setattr(PhaseChange, "_follow", follow)
    result = PhaseChange(layer="curve_relu", orientations=12).run(network(1.0, 0))
    best = result.summary["verdicts"]["units"]["index"]["curves"][0]
    assert best["at"][0] is None and 55 <= best["at"][1] <= 90 and best["at_interval"][0] == [None, None]
    assert best["width"][0] is None and best["width"][1] is not None and len(best["width_interval"]) == 2
    place = list(METRICS).index("index")
    assert np.isnan(result.arrays["fitted"][0, place, 0]).all() and np.isfinite(result.arrays["fitted"][0, place, 1]).all()


def test_what_grows_little_by_little_is_not_also_of_units_that_were_chosen(train) -> None:
    train(lambda step: min(1.0, np.log1p(step) / np.log1p(STEPS[-1])), trainings=2)
    result = PhaseChange(layer="curve_relu", units=(5, 2), number=4, orientations=12).run(network(1.0, 0))
    told = result.summary["verdicts"]["units"]
    assert told["match"]["verdict"] != "phase change" and told["r2"]["verdict"] != "phase change"
    assert result.summary["units"] == {"seed 0": [5, 2]}, "of one training alone: another has other units under these numbers"
    assert result.arrays["each"].shape[3] == 2 and result.summary["kinds"] == ["units", "layer", "lines", "random"]


def test_a_unit_that_is_not_there_is_refused(train) -> None:
    train(float)
    with pytest.raises(InputError, match="has units 0 to"):
        PhaseChange(layer="curve_relu", units=(99,), orientations=12).run(network(1.0, 0))


def test_checkpoints_are_found_by_seed_and_in_folders(tmp_path: Path) -> None:
    (first, *_) = series_of("bundled:inception?step=110")
    assert first.name == "seed 0" and list(first.refs)[:3] == [0, 1, 2]
    assert first.refs[110] == "bundled:inception?step=110&seed=0" and first.final == "bundled:inception"
    assert first.step_of("bundled:inception?seed=0&step=110") == first.step_of("bundled:inception?step=110&directions=a") == 110
    assert (first.step_of("bundled:inception"), first.step_of("bundled:inception?step=6")) == (4000, None)
    assert first.recipe == "Classifier" and first.settings["seed"] == 0
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    for step in (3, 20):
        (run / "checkpoints" / f"{step:08}.safetensors").touch()
    told = {"kind": "Classifier", "parameters": {"seed": 3}, "labels": [], "data": {}}
    (run / "recipe.json").write_text(json.dumps(told))
    (run / "log.jsonl").write_text(json.dumps({"step": 3, "loss": 1.5}) + '\n{"step": 4, "lo')
    (found,) = series_of(f"run:{run}")
    assert found.refs == {3: f"run:{run}?step=3", 20: f"run:{run}?step=20"} and found.logged == ({"step": 3, "loss": 1.5},)
    assert (found.recipe, dict(found.settings), found.step_of(f"run:{run}")) == ("Classifier", {"seed": 3}, 20)
    dense = tmp_path / "dense"
    (dense / "checkpoints").mkdir(parents=True)
    (dense / "checkpoints" / "00000004.safetensors").touch()
    (dense / "recipe.json").write_text(json.dumps(told | {"parameters": {"seed": 3, "dense_from": 4, "dense_to": 4}}))
    (both,) = series_of(f"run:{run}", [f"run:{dense}"])
    assert list(both.refs) == [3, 4, 20] and both.refs[4] == f"run:{dense}?step=4" and both.name == "run", "the same training, kept closer"
    assert both.step_of(f"run:{dense}?step=4") == 4 and both.final == f"run:{run}"
    other = replace(both, name="other", settings={"seed": 4})
    assert independent([both, replace(both, name="again"), other]) == [both, other], "no training counts twice"
    with pytest.raises(InputError, match="no checkpoints"):
        series_of("timm:resnet18")
    with pytest.raises(InputError, match="no checkpoints"):
        series_of(f"run:{tmp_path / 'none'}")


def test_a_bundled_training_is_known_again_whatever_its_recipe_has_learnt_since() -> None:
    for seed, bundled in enumerate(series_of("bundled:inception")):
        settings = recipe("inception", {"seed": seed, "dense_from": 30, "dense_to": 100}).model_dump(mode="json")
        again = Series("again", {30: "run:again?step=30"}, recipe="Classifier", settings=settings, final="run:again")
        assert independent([bundled, again]) == [bundled], "else it would count twice"
        assert independent([bundled, replace(again, settings=settings | {"ground": "plain"})]) != [bundled]
    for card in cards().values():
        today = recipe(card.recipe, card.parameters).model_dump(mode="json")
        known = as_trained(card.recipe, card.parameters)
        missing = {name for name in today if name not in (*known, *DENSE)}
        assert not missing, f"{card.name} was trained before {', '.join(missing)} were there: tell LATER"
    assert as_trained("Classifier", {"move": 0.2})["recolour"] == 0.2, "as far as they were moved"
    assert as_trained("Classifier", {"move": 0.2, "recolour": 0.5})["recolour"] == 0.5


@pytest.fixture
def run_in(tmp_path: Path):
    """Give a function that writes the folder of a run: checkpoints that hold so much of one weight after some updates."""

    def make(name: str, weights: dict[int, float], precision: str | None = "bf16", **settings: object) -> str:
        folder = tmp_path / name
        (folder / "checkpoints").mkdir(parents=True)
        for step, value in weights.items():
            save_file({"weight": torch.full((3, 3), value)}, folder / "checkpoints" / f"{step:08}.safetensors")
        parameters = {"seed": 3, "network": "inception", "size": 64} | settings
        told = {"kind": "Classifier", "parameters": parameters, "labels": [], "data": {}, "precision": precision}
        (folder / "recipe.json").write_text(json.dumps(told))
        return f"run:{folder}"

    return make


def test_a_run_goes_on_another_where_it_has_the_same_weights(run_in) -> None:
    whole = run_in("run", {0: 1.0, 10: 2.0, 100: 3.0})
    dense = {"dense_from": 8, "dense_to": 10}
    same = run_in("same", {0: 1.0, 9: 1.9, 10: 2.0001}, **dense)
    (both,) = series_of(whole, [same])
    assert list(both.refs) == [0, 9, 10, 100] and both.precision == "bf16"
    astray = run_in("astray", {0: 1.0, 9: 1.9, 10: 2.1}, **dense)
    exact = run_in("exact", {0: 1.0, 9: 1.9, 10: 2.0}, precision="fp32", **dense)
    for other in (astray, exact):
        found = series_of(whole, [other])
        assert [list(series.refs) for series in found] == [[0, 10, 100], [0, 9, 10]], "side by side, not mixed"
        assert independent(found) == found[:1], "nor counted twice"
    assert series_of(run_in("untold", {0: 1.0}, precision=None))[0].precision == ""


def test_trainings_have_names_of_their_own(run_in) -> None:
    refs = [run_in(f"{place}/run", {0: 1.0}, seed=seed) for seed, place in enumerate(("a", "b", "c/b"))]
    assert [series.name for series in series_of(refs[0], refs)] == ["run", "b/run", "b/run 2"]


def test_a_training_of_another_network_is_refused(run_in) -> None:
    own = run_in("own", {0: 1.0})
    assert len(series_of(own, [run_in("longer", {0: 1.0}, seed=4, steps=9000)])) == 2
    with pytest.raises(InputError, match="its network is resnet and not inception; give a run of the same network"):
        series_of(own, [run_in("resnet", {0: 1.0}, network="resnet")])
    with pytest.raises(InputError, match="its size is 32 and not 64"):
        series_of("bundled:inception", [run_in("small", {0: 1.0}, size=32)])


def test_other_moments_read_beside_the_image_what_this_one_reads(run_in) -> None:
    run = run_in("run", {0: 1.0, 10: 2.0})
    (series,) = series_of(f"{run}?prompt=a turtle")
    assert series.refs[10] == f"{run}?step=10&prompt=a turtle" and series.final == f"{run}?prompt=a turtle"
    other = series.read_as(f"{run}?step=0&timestep=40&prompt=a cat")
    assert other.refs[0] == f"{run}?step=0&timestep=40&prompt=a cat" and series.read_as(series.refs[0]) is series
    assert (series.step_of(f"{run}?step=0"), series.step_of(other.refs[0]), other.step_of(run)) == (0, 0, 10)
