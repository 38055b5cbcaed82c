"""The libraries are imported beside the worker: who waits for them takes its steps, and what failed is tried again."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType

import pytest

from workbench.jobs import imports
from workbench.jobs.imports import Imports
from workbench.task import Cancelled, Task

ROOT = Path(__file__).resolve().parents[2]
SLOW_TORCH = """
import builtins
assert builtins.looked.wait(10), "nobody looked while torch was imported"
raise ImportError("this is no torch")
"""
NEW = """
import builtins, sys, threading, time
builtins.looked = threading.Event()
sys.path.insert(0, sys.argv[1])
from workbench.jobs.engine import Engine
from workbench.jobs.first_look import first_looks
from workbench.jobs.requests import ListSources, OpenImages
from workbench.task import Cancelled, Task

engine = Engine(import_after=0.01)

class Leaves(Task):
    def step(self, done, total, partial=None, note=""):
        if "torch" in sys.modules:
            raise Cancelled

class Looks(Task):
    def __init__(self, inner=None):
        self.inner = inner

    def step(self, done, total, partial=None, note=""):
        if "torch" not in sys.modules or looked.is_set():
            return
        with engine.isolated():  # as the worker surrounds a job inside another
            look = first_looks()["bundled:inception"]
            assert look.thumbnails(look.index["layers"][0]["names"][0]) is not None
            if self.inner is None:
                looked.set()
                return
            try:
                self.inner.run(engine, Looks())
            except ImportError as error:
                print("inner", error)

try:
    ListSources().run(engine, Leaves())
except Cancelled:
    print("left")
try:
    OpenImages("emoji").run(engine, Looks(ListSources()))
except ImportError as error:
    print("outer", error)
engine.close()
print(threading.active_count())
"""


def test_while_torch_is_imported_a_job_can_be_left_and_others_look_and_all_who_wait_are_told_what_fails(tmp_path: Path) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text(SLOW_TORCH)
    done = subprocess.run([sys.executable, "-c", NEW, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["left", "inner this is no torch", "outer this is no torch", "1"]


REAL = """
import sys, threading
from workbench.jobs.engine import Engine
from workbench.jobs.requests import OpenImages
from workbench.task import Task

engine, notes = Engine(import_after=0.0), []

class Listens(Task):
    def step(self, done, total, partial=None, note=""):
        notes.append(note)

assert OpenImages("emoji").run(engine, Listens()).length == 7850 and "importing libraries" in notes
engine.warm_up(Listens())
import torch
assert "timm.models" in sys.modules and not torch.backends.cudnn.allow_tf32
engine.close()
assert threading.active_count() == 1, threading.enumerate()
"""


def test_a_new_process_has_everything_in_the_end() -> None:
    subprocess.run([sys.executable, "-c", REAL], check=True, cwd=ROOT)


def test_requests_wait_for_the_libraries_before_they_import_what_needs_them() -> None:
    light = ("workbench.images.image_file", "workbench.images.image_set", "workbench.models.layer", "workbench.models.card")
    heavy = re.compile(r"torch|timm|workbench\.(analyses|images|models|reports|training|tuned)\b")
    found: list[str] = []
    for path in sorted((ROOT / "workbench" / "jobs").glob("*.py")):
        for kind in [node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.ClassDef)]:
            for run in [node for node in kind.body if isinstance(node, ast.FunctionDef) and node.name == "run"]:
                waited = False
                for statement in run.body:
                    for node in ast.walk(statement):
                        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                        found += [f"{kind.name}: {name}" for name in names if heavy.match(name) and name not in light and not waited]
                    waited |= bool(re.search(r"engine\.(warm_up|model|run)\(", ast.unparse(statement)))
    assert not found


@pytest.fixture
def nothing_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it look as though neither torch nor timm was imported."""
    monkeypatch.setattr(imports, "sys", type("Fresh", (ModuleType,), {"modules": {}})("sys"))
    monkeypatch.setattr(imports, "load_torch_libraries", lambda: None)
    monkeypatch.setattr(imports.gc, "freeze", lambda: None)


def test_what_fails_is_told_to_who_waits_and_tried_again(nothing_imported: None, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = [OSError("no room for libtorch"), None]

    def load() -> None:
        error = broken.pop(0)
        if error is not None:
            raise error

    monkeypatch.setattr(imports, "load_torch_libraries", load)
    made = Imports(after=0.0)
    with pytest.raises(OSError, match="no room for libtorch"):
        made.wait(Task(), for_all=True)
    made.wait(Task(), for_all=True)
    made.finish()
    assert not broken and not [thread for thread in threading.enumerate() if thread.name == "workbench imports"]


def test_it_goes_on_when_the_one_who_waited_leaves(nothing_imported: None, monkeypatch: pytest.MonkeyPatch) -> None:
    go, begun = threading.Event(), []
    monkeypatch.setattr(imports, "load_torch_libraries", lambda: (begun.append(None), go.wait(10)))

    class Leaves(Task):
        def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
            raise Cancelled

    made = Imports(after=0.0)
    for for_all in (True, False):
        with pytest.raises(Cancelled):
            made.wait(Leaves(), for_all=for_all)
    go.set()
    made.wait(Task(), for_all=False)
    made.wait(Task(), for_all=True)
    made.finish()
    assert len(begun) == 1


def test_a_window_has_its_panels_filled_first(nothing_imported: None, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[None] = []
    monkeypatch.setattr(imports, "load_torch_libraries", lambda: begun.append(None))

    class Looks(Task):
        steps = 0

        def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
            self.steps += 1
            if self.steps == 3:
                raise Cancelled

    with pytest.raises(Cancelled):
        Imports(after=60).wait(Looks(), for_all=True)
    assert not begun
    made = Imports(after=0.01)
    made.wait(Task(), for_all=True)
    made.finish()
    assert len(begun) == 1


def test_a_program_without_a_window_imports_at_once_where_it_is(nothing_imported: None, monkeypatch: pytest.MonkeyPatch) -> None:
    imported_in: list[threading.Thread] = []

    def load() -> None:
        imported_in.append(threading.current_thread())
        if len(imported_in) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(imports, "load_torch_libraries", load)
    made = Imports()
    with pytest.raises(KeyboardInterrupt):
        made.wait(Task(), for_all=True)
    monkeypatch.setitem(sys.modules, "timm", None)  # whoever imports it fails
    made.wait(Task(), for_all=False)
    assert imported_in == [threading.current_thread()] * 2 and made.torch_is_there()
    with pytest.raises(ImportError):
        made.wait(Task(), for_all=True)
    monkeypatch.undo()
    made.wait(Task(), for_all=True)


def test_who_waited_for_what_failed_is_content_when_it_was_tried_again_meanwhile(
    nothing_imported: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, times = threading.Event(), []

    def load() -> None:
        times.append(None)
        if len(times) == 1:
            assert go.wait(10)
            raise OSError("the first time")

    monkeypatch.setattr(imports, "load_torch_libraries", load)
    made = Imports(after=0.0)

    class LetsIn(Task):
        inside = False

        def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
            if self.inside or not times:
                return
            self.inside = True
            go.set()
            with pytest.raises(OSError, match="the first time"):
                made.wait(Task(), for_all=True)
            made.wait(Task(), for_all=True)

    made.wait(LetsIn(), for_all=True)
    made.finish()
    assert len(times) == 2
