"""The libraries are imported beside the worker: who waits for them takes its steps, and what failed is tried again."""

from __future__ import annotations

import subprocess
import sys
import threading
from types import ModuleType

import pytest

from workbench.jobs import imports
from workbench.jobs.imports import Imports
from workbench.task import Cancelled, Task

NEW = """
import sys, threading
from workbench.jobs.engine import Engine
from workbench.jobs.first_look import first_looks
from workbench.jobs.requests import OpenImages
from workbench.task import Cancelled, Task

engine, steps = Engine(), []

class Leaves(Task):
    def step(self, done, total, partial=None, note=""):
        raise Cancelled

class Looks(Task):
    def step(self, done, total, partial=None, note=""):
        if note == "importing libraries" and not steps:
            look = first_looks()["bundled:inception"]
            assert look.thumbnails(look.index["layers"][0]["names"][0]) is not None
        steps.append((note, "timm.models" in sys.modules))

try:
    engine.warm_up(Leaves())
except Cancelled:
    pass
else:
    raise AssertionError("it was not cancelled")
images = OpenImages("emoji").run(engine, Looks())
assert len([note for note, _ in steps if note == "importing libraries"]) > 3, steps
engine.warm_up(Looks())
assert "timm.models" in sys.modules and images.length == 7850
engine.close()
assert threading.active_count() == 1, threading.enumerate()
"""


def test_in_a_new_process_a_job_that_waits_can_be_left_and_lets_others_look() -> None:
    subprocess.run([sys.executable, "-c", NEW], check=True)


@pytest.fixture
def nothing_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it look as though neither torch nor timm was imported, and the analyses' names are wanted."""
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
    made = Imports()
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

    made = Imports()
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
