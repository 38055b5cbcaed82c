"""The engine imports without Qt, the window without torch: seen in running processes, whatever the import contracts say."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def modules_after(code: str) -> set[str]:
    """Run `code` in a fresh Python process; return the names of all modules it ended with."""
    report = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", report], cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert run.returncode == 0, run.stderr
    return set(json.loads(run.stdout.splitlines()[-1]))


def engine() -> list[str]:
    return [module.name for module in pkgutil.walk_packages([str(ROOT / "workbench")], "workbench.")]


def test_every_module_of_the_engine_imports_and_brings_no_qt():
    names = engine()
    on_disk = {path.stem for path in (ROOT / "workbench").rglob("*.py")} - {"__init__"}
    assert {name.rpartition(".")[2] for name in names} >= on_disk, "a folder of workbench/ has no __init__.py"
    loaded = modules_after("import importlib\n" + "\n".join(f"importlib.import_module({name!r})" for name in names))
    assert set(names) <= loaded
    assert not {name for name in loaded if name.split(".")[0] in {"PySide6", "shiboken6", "pyqtgraph", "widgets"}}


@pytest.mark.parametrize("module", ["widgets.app", "main"])
def test_the_window_imports_nothing_heavy(module: str):
    loaded = {name.split(".")[0] for name in modules_after(f"import {module}")}
    heavy = {"torch", "torchvision", "timm", "zarr", "scipy", "sklearn", "matplotlib", "networkx", "pyqtgraph"}
    assert not loaded & heavy


def test_importing_the_engine_alone_is_light():
    assert not {name.split(".")[0] for name in modules_after("import workbench")} & {"torch", "numpy", "pydantic"}
