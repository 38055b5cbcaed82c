"""A user's own network: asked before it runs, one clear line when it fails."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from workbench.models.loading import CodeNotAllowed, LoadError, load

NETWORK = """
import torch
from torch import nn
from pathlib import Path
from neighbour import WIDTH
Path(__file__).with_name("ran").touch()

class Net(nn.Module):
    def __init__(self, width=WIDTH):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)
    def forward(self, x):
        return self.conv(x).relu().mean((2, 3))

class Grey(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
    def forward(self, x):
        return self.conv(x).mean((2, 3))

def pair():
    return Grey(), torch.zeros(2, 1, 12, 10)

def traced():
    from workbench import TracedModel
    return TracedModel.from_module(Net(), torch.zeros(2, 3, 8, 8), ["a", "b", "c", "d"])

def broken():
    raise KeyError("no such layer")

def leaves():
    raise SystemExit("goodbye")

def number():
    return 3

def list_as_example():
    return Net(), [1, 2]

def nan():
    net = Net()
    with torch.no_grad():
        net.conv.bias[0] = float("nan")
    return net

class Fussy(nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return x.mean((2, 3))
        return x.amax((2, 3))

class Random(nn.Module):
    def forward(self, x):
        return x.mean((2, 3)) + torch.rand(())

small = Net
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "neighbour.py").write_text("WIDTH = 4\n")
    path = tmp_path / "net.py"
    path.write_text(NETWORK)
    return path


def test_nothing_runs_before_it_is_allowed(file: Path) -> None:
    with pytest.raises(CodeNotAllowed, match=r"runs the code of net\.py; allow it if you trust the file"):
        load(f"python:{file}:Net")
    assert not file.with_name("ran").exists()
    load(f"python:{file}:Net?img_size=8", allow_code=True)
    assert file.with_name("ran").exists()


def test_a_factory_may_return_a_module_a_pair_or_a_traced_model(file: Path) -> None:
    alone = load(f"python:{file}:Net?img_size=16", allow_code=True)
    assert alone.preprocessing.size == (16, 16) and alone.name == "net:Net"
    assert alone(torch.zeros(2, 3, 16, 16)).shape == (2, 4)
    assert load(f"python:{file}:small?img_size=9", allow_code=True).layer("conv").units == 4
    grey = load(f"python:{file}:pair", allow_code=True)
    assert (grey.preprocessing.size, grey.preprocessing.channels) == ((12, 10), 1)
    ref = f"python:{file}:traced"
    traced = load(ref, allow_code=True)
    assert (traced.ref, traced.labels) == (ref, ("a", "b", "c", "d"))


def test_changes_in_the_file_and_its_neighbours_are_seen(file: Path) -> None:
    ref, path = f"python:{file}:Net?img_size=8", list(sys.path)
    assert load(ref, allow_code=True).layer("conv").units == 4
    file.with_name("neighbour.py").write_text("WIDTH = 12345 % 7\n")
    assert load(ref, allow_code=True).layer("conv").units == 12345 % 7
    assert sys.path == path and "neighbour" not in sys.modules


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        ("broken", r"net\.py: broken failed on line 30: KeyError: 'no such layer'"),
        ("leaves", r"net\.py: leaves failed on line 33: SystemExit: goodbye"),
        ("number", r"number returned int; return a torch\.nn\.Module, or \(module, example_input\)"),
        ("list_as_example", "gave list as example input; give a tensor"),
        ("nan", r"NaN or infinite values in conv\.bias \(1 of 4\)"),
        ("Grey", "Grey does not run on an input of 2x3x224x224: .*channels"),
        ("Fussy", "Fussy cannot be exported as a graph"),
        ("Random", "Random gives different outputs for the same input"),
        ("Nett", "defines no 'Nett'; did you mean Net"),
        ("zzz", "defines no 'zzz'; it defines Net, Grey, pair"),
    ],
)
def test_what_goes_wrong_in_the_file_is_one_line(factory: str, said: str, file: Path) -> None:
    with pytest.raises(LoadError, match=said) as error:
        load(f"python:{file}:{factory}", allow_code=True)
    assert "\n" not in str(error.value)


def test_the_cause_is_kept_for_the_details(file: Path) -> None:
    with pytest.raises(LoadError) as error:
        load(f"python:{file}:broken", allow_code=True)
    assert isinstance(error.value.__cause__, KeyError)


def test_what_is_no_network_file_is_refused_unrun(tmp_path: Path, file: Path) -> None:
    (tmp_path / "bad.py").write_text("def f(:\n")
    (tmp_path / "import_error.py").write_text("import no_such_package\ndef f(): ...\n")
    for ref, said in {
        f"python:{tmp_path}/none.py:f": "there is no file",
        f"python:{tmp_path}/weights.pt": "is not a Python file; write python:FILE.py:FACTORY",
        f"python:{file}": "does not say what makes the network; write .*FACTORY .it defines Net, Grey",
        f"python:{tmp_path}/bad.py:f": "is not valid Python",
        f"python:{tmp_path}/import_error.py:f": "failed on line 1: ModuleNotFoundError: No module named 'no_such_package'",
    }.items():
        with pytest.raises(LoadError, match=said):
            load(ref, allow_code=True)
    assert not file.with_name("ran").exists()
