"""The command line: what it writes, what it refuses in one line, and that an interrupted run leaves nothing that looks whole."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import main
from workbench import cli
from workbench.analyses.analysis import ANALYSES, Analysis, Result
from workbench.input_error import InputError
from workbench.task import Task
from workbench.terminal import BAD_INPUT

ROOT = Path(__file__).resolve().parents[2]

NETWORK = """
import torch
from torch import nn

def make():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)), torch.rand(1, 3, 24, 24)

def broken():
    network, example = make()
    with torch.no_grad():
        network[0].weight[0] = float("nan")
    return network, example
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def network(tmp_path: Path) -> str:
    (tmp_path / "network.py").write_text(NETWORK)
    return f"python:{tmp_path / 'network.py'}:make"


@pytest.fixture
def pictures(tmp_path: Path) -> str:
    from PIL import Image

    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(60):
        pixels = np.random.default_rng(i).integers(0, 256, (24, 24, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:03d}.png")
    return f"folder:{folder}"


class Shapes(Analysis):
    """A question that is answered with nothing."""

    title = "Shapes"
    layer: str

    def compute(self, model: Any, images: Any, task: Task) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        return {}, {}


@pytest.fixture
def shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ANALYSES, "Shapes", Shapes)


def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "main.py"), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def run(*arguments: str, **options: Any) -> tuple[int, str, str]:
    process = start(*arguments, **options)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


# Parsing


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["list", "modells"], "invalid choice: 'modells' (choose from 'models', 'layers'"),
        (["list"], "required: kind"),
        (["run", "FeatureVisualization", "--out", "x"], "required: --model"),
        (["run", "FeatureVisualization", "--model", "x"], "required: --out"),
        (["list", "models", "--pattern", "x"], "unrecognized arguments: --pattern x"),
        (["list", "models", "x", "--json", "y"], "unrecognized arguments: y"),
        (["list", "models", "--json", "x", "y"], "unrecognized arguments: x y"),
        (["run", "Shapes", "--model", "x", "--out", "y", "z"], "unrecognized arguments: z"),
        (["lst", "models"], "there is no command or file 'lst'; did you mean list?"),
        (["rn"], "there is no command or file 'rn'; did you mean run?"),
    ],
)
def test_arguments_that_make_no_sense_take_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main.main(arguments)
    said = capsys.readouterr()
    assert left.value.code == 2 and not said.out
    assert message in said.err and said.err.count("\n") == 1 and said.err.startswith("error: ")


def test_everything_else_goes_to_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    from widgets import app

    monkeypatch.setattr(app, "main", lambda argv: seen.append(list(argv)) or 7)
    for argv in ([], ["--screenshot", "x.png", "--problem", "7.9"], ["window", "a.png"], ["mine.json"]):
        assert main.main(argv) == 7
    assert seen == [[], ["--screenshot", "x.png", "--problem", "7.9"], ["a.png"], ["mine.json"]]


# What is written


def result(n: int = 1) -> Result:
    return Result("Shapes", {"layer": "x"}, {"a": np.full(3, n)}, {"n": n}, {"model": "m"})


def test_an_earlier_result_is_replaced_and_others_files_are_safe(shapes: None, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "out"
    cli.write(result(1), cli.check_folder(folder))
    (folder / "figures").mkdir()
    (folder / "figures" / "old.png").touch()
    (folder / "notes.txt").write_text("mine")
    cli.write(result(2), cli.check_folder(folder))
    assert json.loads((folder / "result.json").read_text())["summary"] == {"n": 2}
    assert np.load(folder / "arrays.npz")["a"].tolist() == [2, 2, 2]
    assert (folder / "notes.txt").read_text() == "mine" and not (folder / "figures").exists()
    assert sorted(path.name for path in folder.parent.iterdir()) == ["out"]


def test_a_failure_while_saving_leaves_the_old_result(
    shapes: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out"
    cli.write(result(1), folder)

    def fail(cls: type, result: Result) -> dict[str, Any]:
        raise KeyboardInterrupt

    monkeypatch.setattr(Shapes, "draw", classmethod(fail))
    with pytest.raises(KeyboardInterrupt):
        cli.write(result(2), folder)
    assert json.loads((folder / "result.json").read_text())["summary"] == {"n": 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_folders_that_will_not_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    for out, message in (
        ("file", "is a file"),
        ("full", "holds no earlier result"),
        ("file/below", "cannot be written"),
    ):
        with pytest.raises(ValueError, match=message):
            cli.check_folder(tmp_path / out)
    (tmp_path / "empty").mkdir()
    cli.check_folder(tmp_path / "empty")


def test_a_folder_one_may_not_write_to_is_refused_before_anything_is_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path / "out")
    for folder in (tmp_path / "out", tmp_path / "out" / "new"):
        with pytest.raises(InputError, match=f"cannot be written: {tmp_path / 'out'} is not a folder one may write to"):
            cli.check_folder(folder)
    cli.check_folder(tmp_path / "other")


def test_what_a_killed_run_left_is_no_reason_to_refuse(shapes: None, tmp_path: Path) -> None:
    (tmp_path / "out" / ".1a2b3c.saving" / "new").mkdir(parents=True)
    cli.write(result(1), cli.check_folder(tmp_path / "out"))
    assert (tmp_path / "out" / "result.json").exists()


def test_the_folder_around_is_meant_when_it_is_given_by_dots(
    shapes: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out"
    cli.write(result(1), folder)
    (folder / "sub").mkdir()
    monkeypatch.chdir(folder / "sub")
    cli.write(result(2), cli.check_folder(Path("..")))
    assert json.loads((folder / "result.json").read_text())["summary"] == {"n": 2}
    assert np.load(folder / "arrays.npz")["a"].tolist() == [2, 2, 2] and not list((folder / "sub").iterdir())


# Drawings


@pytest.fixture
def drawing(monkeypatch: pytest.MonkeyPatch) -> list[Result]:
    """Stand in for a diffusion network: what is drawn last; the list grows by each time that one is asked."""
    asked: list[Result] = []

    def draw(*_: object) -> Result:
        arrays = {"images": np.full((1, 2, 4, 4, 3), 0.5, np.float32), "trajectory": np.zeros((3, 1, 2, 4, 4, 3), np.uint8)}
        summary = {"prompts": ["cat"], "seeds": [7, 8], "n": len(asked)}
        asked.append(Result("Generation", {}, arrays | {"timesteps": np.arange(3)}, summary, {}))
        return asked[-1]

    monkeypatch.setattr(cli, "open_model", lambda *_: None)
    monkeypatch.setattr("workbench.jobs.requests.RunAnalysis.run", draw)
    return asked


DRAWN = {f"{kind}/00-seed{seed}.png" for kind in ("images", "trajectories") for seed in (7, 8)}


def pictures_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for kind in ("images", "trajectories") for path in (folder / kind).rglob("*.*")}


def generate(out: Path) -> list[str]:
    return ["generate", "cat", "--model", "any", "--out", str(out)]


def test_earlier_drawings_are_replaced_and_pictures_of_others_are_not(
    shapes: None, tmp_path: Path, drawing: list[Result], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main.main(generate(out)) == 0 and pictures_in(out) == DRAWN
    (out / "images" / "03-seed9.png").touch()
    assert main.main(generate(out)) == 0 and pictures_in(out) == DRAWN and len(drawing) == 2
    cli.write(result(1), tmp_path / "mine")
    for kind in ("images", "trajectories"):
        (tmp_path / "mine" / kind).mkdir()
        (tmp_path / "mine" / kind / "holiday.png").touch()
        capsys.readouterr()
        assert f"holds a folder {kind} that is not of an earlier 'generate'" in refused(capsys, *generate(tmp_path / "mine"))
        assert len(drawing) == 2 and (tmp_path / "mine" / kind / "holiday.png").exists()
        (tmp_path / "mine" / kind).rename(tmp_path / kind)
    assert main.main(generate(tmp_path / "mine")) == 0, "another result is replaced"


def test_drawings_that_are_interrupted_while_they_are_written_leave_nothing_that_looks_whole(
    tmp_path: Path, drawing: list[Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    out, save = tmp_path / "out", Image.Image.save

    def interrupted(image: Image.Image, path: Any, *args: Any, **options: Any) -> None:
        if Path(str(path)).name == "00-seed8.png":
            raise KeyboardInterrupt
        save(image, path, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", interrupted)
        assert main.main(generate(out)) == 130 and not out.exists()
    assert main.main(generate(out)) == 0
    monkeypatch.setattr(Image.Image, "save", interrupted)
    assert main.main(generate(out)) == 130 and pictures_in(out) == DRAWN
    assert json.loads((out / "result.json").read_text())["summary"]["n"] == 1 and not list(out.glob(".*"))


# Exit codes, within the process


def test_a_mistake_in_an_analysis_is_not_laid_at_the_users_door(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, network: str, shapes: None
) -> None:
    monkeypatch.setattr(Shapes, "compute", lambda *_: ({}, {"n": np.zeros(3) + np.zeros(4)}))
    arguments = run_arguments(tmp_path, network, "layer=0", analysis="Shapes")
    assert main.main(arguments) == 1
    said = capsys.readouterr()
    assert said.err.splitlines()[-1].startswith("internal error: ValueError: operands could not be broadcast")
    assert not said.out and not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match="broadcast"):
        main.main([*arguments, "--traceback"])


@pytest.mark.parametrize("error", ["ImageSetError", "UnreadableImageError", "LoadError", "CaptureError", "ProjectError"])
def test_what_the_workbench_refuses_is_one_kind_of_error(error: str) -> None:
    import workbench.images.image_set
    import workbench.models.loading
    import workbench.models.nodes
    import workbench.project

    rooms = (workbench.images.image_set, workbench.models.nodes, workbench.models.loading, workbench.project)
    assert any(issubclass(getattr(room, error, int), InputError) for room in rooms)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main.main(arguments) == 2
    said = capsys.readouterr()
    assert not said.out
    lines = [line for line in said.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and said.err.endswith(lines[0] + "\n")
    return lines[0]


def run_arguments(tmp_path: Path, network: str, *settings: str, analysis: str = "FeatureVisualization") -> list[str]:
    pairs = [part for setting in settings for part in ("--set", setting)]
    return ["run", analysis, "--model", network, "--allow-code", *pairs, "--out", str(tmp_path / "out")]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["layer=0", "steps=0"], "steps = 0: "),
        (["layer=0", "stepps=1"], "did you mean steps?"),
        (["layer=nowhere"], "nowhere"),
        (["layer=0", "units=6"], "units 0 to 5"),
        ([], "needs the parameter layer"),
    ],
)
def test_bad_parameters(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, network: str, settings: list[str], message: str
) -> None:
    assert message in refused(capsys, *run_arguments(tmp_path, network, *settings))
    assert not (tmp_path / "out").exists()


def test_bad_references(capsys: pytest.CaptureFixture[str], tmp_path: Path, network: str, pictures: str) -> None:
    arguments = run_arguments(tmp_path, network, "layer=0")
    arguments.remove("--allow-code")
    assert "--allow-code" in refused(capsys, *arguments)
    assert "did you mean" in refused(capsys, *run_arguments(tmp_path, "timm:resnet81", "layer=0"))
    assert "timmm" in refused(capsys, *run_arguments(tmp_path, "timmm:resnet18", "layer=0"))
    assert "FeatureVisualization" in refused(capsys, *run_arguments(tmp_path, network, analysis="FeatureVisualisation"))
    assert "nan" in refused(capsys, *run_arguments(tmp_path, network.replace(":make", ":broken"), "layer=0")).lower()
    sweep = run_arguments(tmp_path, network, "layers=0", analysis="DatasetExamples")
    assert "needs images" in refused(capsys, *sweep)
    assert "emojis" in refused(capsys, *sweep, "--images", "emojis")
    assert str(tmp_path / "gone") in refused(capsys, *sweep, "--images", f"folder:{tmp_path / 'gone'}")
    assert "--model" in refused(capsys, "list", "layers")
    assert not (tmp_path / "out").exists()


def test_files_that_are_broken_or_dangerous(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from safetensors.torch import save_file

    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "ran"),)

    whole = tmp_path / "whole.safetensors"
    save_file({"weight": torch.zeros(64, 64)}, whole)
    (tmp_path / "cut.safetensors").write_bytes(whole.read_bytes()[:1000])
    (tmp_path / "empty.safetensors").touch()
    with (tmp_path / "bomb.pt").open("wb") as file:
        pickle.dump(Bomb(), file)
    for name in ("cut.safetensors", "empty.safetensors", "bomb.pt", "missing.pt"):
        line = refused(
            capsys, *run_arguments(tmp_path, f"file:{tmp_path / name}?architecture=timm:resnet18", "layer=x")
        )
        assert name in line
    assert not (tmp_path / "ran").exists() and not (tmp_path / "out").exists()


# Lists


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main.main(["list", *arguments]) == 0
    return capsys.readouterr().out


def test_lists(capsys: pytest.CaptureFixture[str], network: str) -> None:
    assert listed(capsys, "models", "timm:resnet18").splitlines() == ["timm:resnet18"]
    assert "bundled:efficientnet-lite0" in [entry["ref"] for entry in json.loads(listed(capsys, "models", "--json"))]
    assert "emoji" in listed(capsys, "images").splitlines()
    assert listed(capsys, "images", "stimuli:co*").splitlines() == ["stimuli:colours", "stimuli:corners"]
    layers = json.loads(listed(capsys, "layers", "--model", network, "--allow-code", "--json"))
    first = next(layer for layer in layers if layer["name"] == "0")
    assert (first["kind"], first["shape"], first["units"], first["role"]) == ("conv2d", [6, 22, 22], 6, "pre")
    assert "conv2d" in listed(capsys, "layers", "0", "--model", network, "--allow-code")
    assert listed(capsys, "models", "nothing*") == ""


def test_a_pattern_stands_before_or_after_the_options(capsys: pytest.CaptureFixture[str], network: str) -> None:
    options = ["--model", network, "--allow-code"]
    before = listed(capsys, "layers", "1", *options)
    assert before.startswith("1 ") and before.count("\n") == 1
    assert listed(capsys, "layers", *options, "1") == listed(capsys, *options, "layers", "1") == before
    assert json.loads(listed(capsys, "models", "--json", "timm:resnet18"))[0]["ref"] == "timm:resnet18"
    assert listed(capsys, "models", "timm:resnet18", "--json") == listed(capsys, "--json", "models", "timm:resnet18")


def test_analyses_are_listed_with_their_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    text = listed(capsys, "analyses", "Feature*")
    assert text.startswith("FeatureVisualization: ") and "    layer (needed) " in text
    assert "    steps (default 256, >= 1, <= 8192) Optimisation steps." in text
    entries = {entry["name"]: entry for entry in json.loads(listed(capsys, "analyses", "--json"))}
    assert entries["DatasetExamples"]["needs_images"]
    assert entries["FeatureVisualization"]["parameters"]["properties"]["steps"]["maximum"] == 8192


def test_problems_are_listed_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(listed(capsys, "problems").splitlines()) == 18
    (entry,) = json.loads(listed(capsys, "problems", "7.10", "--json"))
    assert entry["number"] == "7.10" and entry["difficulty"] == "B"
    code = (
        "import sys, main; main.main(['list', 'problems']); "
        "heavy = {'torch', 'timm', 'pydantic', 'numpy', 'zarr', 'PySide6', 'matplotlib'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    times = []
    for _ in range(3):
        began = time.perf_counter()
        assert run("list", "problems")[0] == 0
        times.append(time.perf_counter() - began)
    assert min(times) < 0.3


# Whole runs


def test_feature_visualization(capsys: pytest.CaptureFixture[str], tmp_path: Path, network: str) -> None:
    arguments = run_arguments(tmp_path, network, "layer=0", "units=5,2", "steps=8", "size=16", "seed=3")
    assert main.main(arguments) == 0
    out = tmp_path / "out"
    assert capsys.readouterr().out == f"{out}\n"
    document = json.loads((out / "result.json").read_text())
    assert document["analysis"] == "FeatureVisualization" and document["parameters"]["units"] == [5, 2]
    assert document["model"] == network and len(document["weights"]) == 64 and document["seed"] == 3
    assert document["images"] is None and document["versions"]["torch"] == torch.__version__ and document["seconds"] > 0
    assert np.load(out / "arrays.npz")["images"].shape == (2, 1, 16, 16, 3)
    assert list((out / "figures").glob("*.png")) and list((out / "figures").glob("*.pdf"))
    assert oct(out.stat().st_mode & 0o777) == oct(0o777 & ~umask())


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_dataset_examples(capsys: pytest.CaptureFixture[str], tmp_path: Path, network: str, pictures: str) -> None:
    arguments = run_arguments(tmp_path, network, "layers=0,4", "k=3", analysis="DatasetExamples")
    assert main.main([*arguments, "--images", pictures]) == 0
    document = json.loads((tmp_path / "out" / "result.json").read_text())
    assert document["images"] == pictures and document["images_hash"]
    arrays = np.load(tmp_path / "out" / "arrays.npz")
    assert arrays["0/top_values"].shape == (6, 3) and arrays["4/top_index"].shape == (4, 3)
    assert arrays["example_ids"][0] == "000.png"
    figures = {path.stem for path in (tmp_path / "out" / "figures").glob("*.png")}
    assert figures == {"histograms", "sparsity", "examples_1_0", "examples_2_4"}


def test_contributions(tmp_path: Path, network: str, pictures: str) -> None:
    arguments = run_arguments(tmp_path, network, "layer=1", "unit=3", "image=7", "position=2,5", analysis="Contributions")
    assert main.main([*arguments, "--images", pictures]) == 0
    summary = json.loads((tmp_path / "out" / "result.json").read_text())["summary"]
    assert summary["pre"] == "0:3" and summary["image_id"] == "007.png" and summary["relative_error"] <= 1e-5
    assert np.load(tmp_path / "out" / "arrays.npz")["map/0"].shape == (24, 24)
    assert [path.stem for path in (tmp_path / "out" / "figures").glob("*.png")] == ["contributions"]


def test_ablation(capsys: pytest.CaptureFixture[str], tmp_path: Path, network: str, pictures: str) -> None:
    (Path(pictures.removeprefix("folder:")) / "017.png").write_bytes(b"this is no image")
    arguments = run_arguments(tmp_path, network, "layer=1", "units=2,3", "method=zero", analysis="Ablation")
    assert main.main([*arguments, "--images", pictures]) == 0
    assert "skipped 1 unreadable image: 017.png (" in capsys.readouterr().err
    document = json.loads((tmp_path / "out" / "result.json").read_text())
    assert document["summary"]["images"] == 59 and document["summary"]["null_draws"] == 6, "four others, in pairs"
    assert document["summary"]["change"] > 0 and document["summary"]["groups"] == "image" and document["seed"] == 0
    assert np.load(tmp_path / "out" / "arrays.npz")["output_change"].shape == (4,)
    assert {path.stem for path in (tmp_path / "out" / "figures").glob("*.png")} == {"effect", "images"}


def test_images_that_cannot_be_read_are_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, network: str, pictures: str
) -> None:
    folder = Path(pictures.removeprefix("folder:"))
    for name in ("000.png", "017.png"):
        (folder / name).write_bytes(b"this is no image")
    arguments = run_arguments(tmp_path, network, "layers=0", "k=3", analysis="DatasetExamples")
    for _ in range(2):  # computed, then read from the store
        assert main.main([*arguments, "--images", pictures]) == 0
        said = capsys.readouterr()
        (line,) = [line for line in said.err.splitlines() if "unreadable" in line]
        assert line.startswith("skipped 2 unreadable images: 000.png (") and ", 017.png (" in line
        assert said.out == f"{tmp_path / 'out'}\n"
    summary = json.loads((tmp_path / "out" / "result.json").read_text())["summary"]
    assert summary["skipped"] == 2 and [image["id"] for image in summary["unreadable"]] == ["000.png", "017.png"]


def test_refused_in_a_process_of_its_own(tmp_path: Path, network: str) -> None:
    code, out, err = run(*run_arguments(tmp_path, network, "layer=nowhere"))
    assert code == 2 and not out
    *progress, error = err.splitlines()
    assert error.startswith("error: ") and "nowhere" in error and "Traceback" not in err
    loading = ("looking at the weights", "exporting the graph", "naming the layers", "comparing the graph with the network")
    said = [line for line in progress if line != f"finding {network.removeprefix('python:')}"]
    assert all(line.endswith(loading) for line in said), "on a busy machine it says how far it is before it refuses"
    assert not (tmp_path / "out").exists()


def test_interrupted_on_a_terminal(tmp_path: Path, network: str, cache: Path) -> None:
    arguments = run_arguments(tmp_path, network, "layer=0", "steps=8000", "size=64")
    terminal, its_end = pty.openpty()
    command = [sys.executable, str(ROOT / "main.py"), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=its_end)
    os.close(its_end)
    shown = b""
    while b"of 8000" not in shown:
        shown += os.read(terminal, 1000)
    process.send_signal(signal.SIGINT)
    with contextlib.suppress(OSError):  # that is how Linux says that the other side is closed
        while piece := os.read(terminal, 1000):
            shown += piece
    os.close(terminal)
    assert process.wait(30) == 130
    text = shown.decode()
    assert "[#" in text or "[-" in text
    assert text.rstrip().endswith("interrupted") and "Traceback" not in text
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".out-*"))
    assert not list(cache.rglob("*.npz"))


def test_a_killed_sweep_leaves_nothing_whole_and_goes_on(
    tmp_path: Path, network: str, pictures: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = run_arguments(tmp_path, network, "layers=0", "batch=2", analysis="DatasetExamples")
    arguments += ["--images", pictures]
    process = start(*arguments)
    while not (states := list(cache.rglob("state.safetensors"))):
        assert process.poll() is None, process.communicate()
        time.sleep(0.001)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL and states[0].exists() and not (tmp_path / "out").exists()
    interrupted_at = states[0].stat().st_mtime_ns
    assert main.main(arguments) == 0
    assert not states[0].exists()
    resumed = np.load(tmp_path / "out" / "arrays.npz")
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "another"))
    assert main.main([*arguments[:-3], str(tmp_path / "whole"), *arguments[-2:]]) == 0
    for name, array in np.load(tmp_path / "whole" / "arrays.npz").items():
        np.testing.assert_array_equal(resumed[name], array, err_msg=name)
    assert (tmp_path / "out" / "result.json").stat().st_mtime_ns > interrupted_at


def test_a_closed_pipe_is_no_error() -> None:
    process = start("list", "problems")
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()  # long before it writes
    assert process.wait(30) == 0 and process.stderr.read() == ""
    process.stderr.close()


def test_a_cache_that_cannot_be_written_costs_no_result(
    tmp_path: Path, network: str, pictures: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "file" / "cache"))
    assert main.main(run_arguments(tmp_path, network, "layer=0", "steps=8", "size=16")) == 0
    assert np.load(tmp_path / "out" / "arrays.npz")["images"].shape == (6, 1, 16, 16, 3)
    assert main.main([*run_arguments(tmp_path, network, "layers=0", "k=3", analysis="DatasetExamples"), "--images", pictures]) == 0
    assert np.load(tmp_path / "out" / "arrays.npz")["0/top_values"].shape == (6, 3)


def test_device_and_numbers_are_chosen_and_written_down(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["run", "DatasetExamples", "--model", "bundled:planted/curve_net", "--images", "stimuli:curves", "--set", "layers=input"]
    assert main.main([*line, "--out", str(tmp_path / "a"), "--device", "cpu", "--numbers", "bf16"]) == 0
    made = json.loads((tmp_path / "a" / "result.json").read_text())
    assert (made["device"], made["arithmetic"]) == ("cpu", "bf16")
    assert main.main([*line, "--out", str(tmp_path / "b"), "--device", "cuda:77"]) == BAD_INPUT
    assert "none on this machine" in capsys.readouterr().err
