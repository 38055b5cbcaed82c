"""Copied lines run as they are, in a process of their own, and give the same arrays."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from workbench.analyses.analysis import find
from workbench.jobs.engine import Engine
from workbench.jobs.example_requests import UnitExamples
from workbench.jobs.on_image_requests import ContributionsOnImage, MapsOnImage, UnitOnImage, UnitsOnImage
from workbench.jobs.requests import RunAnalysis, Sweep
from workbench.jobs.store import Store
from workbench.jobs.thumbnail_requests import Thumbnails
from workbench.kept_image import KeptImage
from workbench.recompute import (
    ROOT,
    Pick,
    Recomputation,
    Step,
    TrainingRun,
    of_contributions,
    of_image,
    of_images,
    of_pictures,
    of_result,
    of_strongest,
    of_sweep,
    of_visualizations,
    program,
)
from workbench.settings_text import parse_settings
from workbench.task import Task

NETWORK = """
import torch
from torch import nn

def make():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)), torch.rand(1, 3, 24, 24)
"""
SHOWN = ("top_values", "top_index", "top_position", "sample_values", "range_edges", "histogram", "histogram_edges", "max_histogram")
SAVING = """
import json, sys
import numpy as np
for number, text in enumerate(json.load(open(sys.argv[1], encoding="utf-8"))):
    scope = {}
    exec(compile(text, "copied", "exec"), scope)
    arrays = {name: value for name, value in scope.items() if isinstance(value, np.ndarray)}
    if "result" in scope:
        arrays |= {f"result:{name}": value for name, value in scope["result"].arrays.items()}
    np.savez(f"{sys.argv[2]}/{number}.npz", **arrays)
"""


class Made:
    """What a window shows of a small network, and the lines it offers to copy for it."""

    def __init__(self, folder: Path) -> None:
        (folder / "my nets").mkdir()
        (folder / "my nets" / "small net.py").write_text(NETWORK)
        pictures = folder / "pictures & more"
        pictures.mkdir()
        for i in range(40):
            pixels = np.random.default_rng(i).integers(0, 256, (24, 24, 3), np.uint8)
            Image.fromarray(pixels).save(pictures / f"{i:03d}.png")
        for i in range(24):
            place = folder / "labelled" / ("left", "right")[i % 2]
            place.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(100 + i).integers(0, 256, (24, 24, 3), np.uint8)
            Image.fromarray(pixels).save(place / f"{i:03d}.png")
        labelled = f"folder:{folder / 'labelled'}"
        model, images = f"python:{folder / 'my nets' / 'small net.py'}:make", f"folder:{pictures}"
        engine = Engine(Store(folder / "cache"))
        engine.model(model, allow_code=True)
        names = {3: "curve_45", 1: "result"}

        def pixels(units: tuple[int, ...], level: Any, negative: bool, seeds: int) -> np.ndarray:
            found = Thumbnails(model, "1", units, level, negative, seeds).run(engine, Task())
            return np.stack([found[unit] for unit in units])

        inspector = of_visualizations(model, "1", (3,), "coarse", 2, {"positive": False, "negative": True}, names)
        both = {"positive": pixels((3,), "coarse", False, 2)[0], "negative": pixels((3,), "coarse", True, 2)[0]}
        grid = of_visualizations(model, "1", (1, 3, 5), "coarse", 1, {"pictures": False}, names)

        Sweep(model, images, ("1", "4")).run(engine, Task())
        examples = UnitExamples(model, images, "1:3").run(engine, Task())
        assert examples is not None
        swept = of_sweep(model, images, examples["sweep"], 3, SHOWN, "1", names)
        assert swept is not None

        pasted = np.random.default_rng(99).integers(0, 256, (40, 30, 3), np.uint8)
        image = KeptImage(pasted)
        seen = UnitOnImage(model, "1", 3, pasted, images).run(engine, Task())
        names_and_shares = list(zip(*seen["top_classes"], strict=True))
        on_image = {
            "image": seen["input"],
            "activation": seen["map"],
            "names": np.array(names_and_shares[0]),
            "shares": np.array(names_and_shares[1], np.float32),
        }
        sums = ContributionsOnImage(model, "4", 1, pasted, ()).run(engine, Task())
        ranking = UnitsOnImage(model, "1", pasted, images).run(engine, Task())
        together = MapsOnImage(model, "1", (3, 1), pasted).run(engine, Task())
        mixed = of_pictures(model, "1", {1: "coarse", 3: "fine", 5: ""}, names)
        assert mixed is not None
        ranked = Step("UnitsOfImage", {"layer": "1", "file": image}, "ranking", (Pick("percentile", "percentile"),))

        asked = [
            RunAnalysis("Ablation", {"layer": "1", "units": [3], "limit": 16, "null_images": 8}, model, images),
            RunAnalysis("NearestUnits", {"layer": "1", "twins": 1}, model, images),
            RunAnalysis("ExpandedWeights", {"source": "1", "target": "4", "images": 8}, model, images),
            RunAnalysis("Sparsity", {"source": "1", "target": "4", "images": 16}, model, images),
            RunAnalysis("LabelSelectivity", {"layer": "1", "twins": 1}, model, labelled),
        ]
        answers = [request.run(engine, Task()) for request in asked]

        analysis = RunAnalysis("FeatureVisualization", {"layer": "1", "units": (1, 3), "steps": 8, "size": 24, "held_out": 2}, model)
        result = analysis.run(engine, Task())
        self.expected: list[tuple[Recomputation, dict[str, np.ndarray]]] = [
            (inspector, both),
            (grid, {"pictures": pixels((1, 3, 5), "coarse", False, 1)}),
            (swept, {name: examples[name] for name in SHOWN}),
            (of_result(result, "1", names), {f"result:{name}": array for name, array in result.arrays.items()}),
            (of_image(model, image, "1", 3, names), on_image),
            (of_contributions(model, image, "4", 1, (), {}), {f"result:{name}": array for name, array in sums.arrays.items()}),
            (
                replace(mixed, images=images, steps=(*mixed.steps, ranked)),
                {
                    "percentile": ranking.arrays["percentile"],
                    "coarse_pictures": pixels((1,), "coarse", False, 1)[0],
                    "fine_pictures": pixels((3,), "fine", False, 1)[0],
                },
            ),
            (
                of_strongest(of_pictures(model, "1", {1: "coarse", 3: "coarse"}, names), images, examples["sweep"]),
                {"pictures": pixels((1, 3), "coarse", False, 1)},
            ),
            (of_images(model, image, "1", (3, 1), names), {"largest": together.arrays["value"], "activation": together.arrays["maps"]}),
            *((of_result(answer), {f"result:{name}": array for name, array in answer.arrays.items()}) for answer in answers),
        ]
        self.result = result


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("made"))


def test_copied_python_gives_the_same_arrays_in_a_fresh_process(made: Made, tmp_path: Path):
    (tmp_path / "texts.json").write_text(json.dumps([again.python() for again, _ in made.expected]), encoding="utf-8")
    command = [sys.executable, "-c", SAVING, str(tmp_path / "texts.json"), str(tmp_path)]
    run = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    for number, (_, arrays) in enumerate(made.expected):
        found = np.load(tmp_path / f"{number}.npz")
        for name, array in arrays.items():
            assert found[name].dtype == array.dtype, name
            np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_a_copied_command_gives_the_same_arrays(made: Made, tmp_path: Path):
    again, _ = made.expected[3]
    words = shlex.split(again.command())
    assert words[1:4] == ["main.py", "run", "FeatureVisualization"] and words[-2:] == ["--out", "FeatureVisualization-1"]
    words[:2] = [sys.executable, str(ROOT / "main.py")]
    environment = os.environ | {"WORKBENCH_CACHE": str(tmp_path / "cache")}
    run = subprocess.run(words, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    found = np.load(tmp_path / "FeatureVisualization-1" / "arrays.npz")
    for name, array in made.result.arrays.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_an_image_of_the_users_becomes_a_file_when_lines_are_copied(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path / "my data"))
    image = KeptImage(np.random.default_rng(1).integers(0, 256, (9, 7, 3), np.uint8))
    again = of_image("m", image, "1", 3, {3: "curve"})
    assert not (tmp_path / "my data").exists()
    words = shlex.split(again.command())
    path = Path(words[words.index("--images") + 1].removeprefix("files:"))
    np.testing.assert_array_equal(np.asarray(Image.open(path)), image.pixels)
    assert path.parent == tmp_path / "my data" / "pictures" and "units=[curve]" in again.python()
    before = path.stat().st_mtime_ns
    assert KeptImage(image.pixels.copy()).path == path and path.stat().st_mtime_ns == before, "one file for one image"
    ranked = Recomputation("m", "emoji", (Step("UnitsOfImage", {"layer": "1", "file": image}),))
    assert f"file={path}" in shlex.split(ranked.command()) and f'file="{path}"' in ranked.python()


def test_curves_of_a_run_are_read_again_and_trained_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    folder = tmp_path / "a run"
    folder.mkdir()
    (folder / "recipe.json").write_text(json.dumps({"kind": "Classifier", "parameters": {"steps": 20, "images": "emoji"}}))
    (folder / "log.jsonl").write_text('{"step": 10, "loss": 2.5}\n{"step": 20, "loss": 1.5, "accuracy": 0.5}\n')
    again = TrainingRun(folder, "Classifier", {"steps": 20, "sizes": (3, 4)})
    scope: dict[str, Any] = {}
    exec(again.python(), scope)
    assert scope["curves"] == {"loss": ([10, 20], [2.5, 1.5]), "accuracy": ([20], [0.5])}
    assert shlex.split(again.command())[1:] == [
        "main.py", "train", "Classifier", "--set", "steps=20", "--set", "sizes=3,4", "--out", f"{folder}-again"
    ]  # fmt: skip


def test_units_stand_there_by_name(made: Made):
    inspector, swept, result = (made.expected[i][0].python().splitlines() for i in (0, 2, 3))
    assert inspector[2].endswith(", allow_code=True)") and inspector[3] == "curve_45 = 3  # 1:3"
    assert "    units=[curve_45]," in inspector and inspector[-1].startswith("negative = (negative_result.arrays")
    assert inspector.count("    negative=True,") == 1
    assert 'top_values = result.arrays["1/top_values"][curve_45]' in swept and '    layers=["1"],' in swept
    assert result[3:5] == ["curve_45 = 3  # 1:3", "result_unit = 1  # 1:1"], "a name of something else in the lines is not taken"
    assert "    units=[result_unit, curve_45]," in result


ODD = "timm:a 'b' \"c\" $HOME; rm -rf \\ `x` # & ä\n.pt"


def test_whatever_a_reference_holds_is_quoted():
    again = Recomputation(ODD, f"folder:{ODD}", (Step("DatasetExamples", {"layers": ["a b", "c,d"], "k": 3}),))
    scope: dict[str, Any] = {}

    class Fake:
        class analyses:
            @staticmethod
            def DatasetExamples(**given: Any) -> Any:
                scope["given"] = given
                return Fake

        @staticmethod
        def load(ref: str) -> str:
            return ref

        load_images = load

        @staticmethod
        def run(model: str, images: str) -> str:
            return model + images

    exec(again.python().replace("import workbench\n", ""), scope | {"workbench": Fake} | {"scope": scope}, scope)
    assert scope["result"] == f"{ODD}folder:{ODD}" and scope["given"] == {"layers": ["a b", "c,d"], "k": 3}
    words = shlex.split(again.command())
    assert words[words.index("--model") + 1] == ODD and words[words.index("--images") + 1] == f"folder:{ODD}"
    assert "--allow-code" not in words and words[-1] == "DatasetExamples-a-b-c-d"


@pytest.mark.parametrize(
    ("analysis", "parameters"),
    [
        ("FeatureVisualization", {"layer": "1", "units": [5], "objective": "channel + 0.3 * neuron('mixed4a', 5)", "decay": 0.5}),
        ("FeatureVisualization", {"layer": "a,b", "units": [], "directions": [[1.0, -0.5], [0.0, 1e-9]], "negative": True}),
        ("DatasetExamples", {"layers": ["mixed3a", "mixed3b"], "k": 12}),
        ("DatasetExamples", {"layers": ["1"]}),
        ("DatasetExamples", {"layers": ["true", "[1]", "a, b"]}),
        ("Generation", {"prompts": ["a cat, sitting", ""], "seed": 3}),
    ],
)
def test_the_command_line_reads_the_parameters_back(analysis: str, parameters: dict[str, Any]):
    whole = find(analysis)(**parameters).model_dump(mode="json")
    for given in (parameters, whole):
        words = shlex.split(Recomputation("m", None, (Step(analysis, given),)).command())
        settings = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
        assert json.loads(json.dumps(parse_settings(analysis, settings))) == given


def test_the_program_is_named_as_one_types_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", str(ROOT / ".venv/bin/python"))
    assert program() == (".venv/bin/python", "main.py")
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
    assert program() == ("/usr/bin/python3", "main.py")


def test_an_unknown_sweep_offers_no_lines(made: Made):
    assert of_sweep("m", "i", {"layer": "1", "parameters": {}}, 3, SHOWN, "1", {}) is None
    two = replace(made.expected[1][0], names={})
    assert "units=[1, 3, 5]" in two.python()
