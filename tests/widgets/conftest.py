"""After each test of the window nothing of it may be left: no top-level widget, no running timer, no thread."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QCoreApplication, QEvent, Qt, QThread, QTimer
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget
from shiboken6 import isValid

from widgets.app import make_engine
from widgets.garbage import GarbageCollector
from widgets.main_window import MainWindow
from widgets.relay import OnEvent, Relay
from widgets.session import Session
from widgets.settings import Settings
from widgets.theme import Theme
from workbench.jobs.job import JobEvent, Request
from workbench.jobs.report_requests import DescribeReports
from workbench.jobs.requests import (
    DescribeAnalyses,
    ImageSetCard,
    ListSources,
    LoadModel,
    ModelCard,
    OpenImages,
    ReadImage,
)
from workbench.models.layer import Layer
from workbench.task import Task

GRACE = 3.0
"""Seconds that what is on its way out may take to go."""
OF_ZARR = ("zarr_io", "asyncio_")
"""Names of the threads that zarr starts when it is first used, and keeps."""


def _describe(widget: QWidget) -> str:
    return f"top-level {type(widget).__name__} {widget.objectName() or widget.windowTitle() or ''}".rstrip()


@pytest.fixture(autouse=True)
def collector_rests() -> Iterator[None]:
    """Keep Python from collecting during a test: in a worker it would free the windows of tests before, which Qt does not survive."""
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(autouse=True, scope="package")
def windows_are_freed() -> Iterator[None]:
    """Free all windows in the main thread before tests without one go on, which have workers as well."""
    yield
    gc.collect()


@pytest.fixture(autouse=True)
def nothing_left_behind(collector_rests: None, monkeypatch: pytest.MonkeyPatch, qapp: QApplication) -> Iterator[None]:
    """Fail a test that leaves a top-level widget, a running QTimer or QThread, or a Python thread."""
    windows = {id(widget) for widget in QApplication.topLevelWidgets()}
    threads = set(threading.enumerate())
    started: list[weakref.ref[Any]] = []

    def watch(kind: type) -> None:
        start: Callable[..., None] = kind.start

        def recorded(self: Any, *args: Any) -> None:
            started.append(weakref.ref(self))
            start(self, *args)

        monkeypatch.setattr(kind, "start", recorded)

    watch(QTimer)
    watch(QThread)

    def left() -> list[str]:
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        QCoreApplication.processEvents()
        alive = [thing for ref in started if (thing := ref()) is not None and isValid(thing)]
        return [
            *(_describe(widget) for widget in QApplication.topLevelWidgets() if id(widget) not in windows and isValid(widget)),
            *(f"running timer of {type(t.parent()).__name__}" for t in alive if isinstance(t, QTimer) and t.isActive()),
            *(f"running {type(t).__name__}" for t in alive if isinstance(t, QThread) and t.isRunning()),
            *(f"thread {thread.name}" for thread in set(threading.enumerate()) - threads if not thread.name.startswith(OF_ZARR)),
        ]

    yield
    deadline = time.monotonic() + GRACE
    while left() and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.02)
    remains = left()
    assert not remains, "left behind: " + "; ".join(remains)


CARD = ModelCard(
    ref="test:small",
    name="Small",
    architecture="small",
    parameters=4_652_008,
    size=(224, 224),
    channels=3,
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    origin="made for tests",
    licence="Apache-2.0",
    weight_hash="0123456789abcdef" * 4,
    labels=("cat", "dog"),
    layers=(
        Layer("stem.conv", "conv2d", (16, 56, 56), 0, "pre"),
        Layer("stem.act", "relu", (16, 56, 56), 0, "post"),
        Layer("blocks.0.conv", "conv2d", (32, 28, 28), 0, "pre"),
        Layer("blocks.0.act", "relu", (32, 28, 28), 0, "post"),
        Layer("blocks.0:add", "add", (32, 28, 28), 0, aliases=("blocks.0.sum",)),
        Layer("blocks.1.act", "relu", (64, 14, 14), 0, "post"),
        Layer("head", "linear", (10,), 0),
    ),
    warnings=(),
)
IMAGES = ImageSetCard("test:images", "Test images", 100, {"group": 4}, "CC0", "fedcba9876543210")


def read(request: ReadImage) -> Any:
    """Read an image as the worker does."""
    try:
        return request.run(None, Task())
    except ValueError as error:
        return error


class ScriptedRunner:
    """Stands in for the worker: answers at once what it knows the answer of; a test ends the other jobs by hand.

    `answers` maps a kind of request to its result, or to a function of the request; an exception fails the job.
    """

    def __init__(self, deliver: OnEvent) -> None:
        self.deliver = deliver
        self.answers: dict[type[Request], Any] = {
            LoadModel: CARD,
            OpenImages: IMAGES,
            ListSources: (),
            DescribeAnalyses: (),
            DescribeReports: {},
            ReadImage: read,
        }
        self.requests: dict[int, Request] = {}
        self.open: set[int] = set()
        self.closed = False

    def submit(self, request: Request) -> int:
        assert not self.closed
        job = len(self.requests) + 1
        self.requests[job] = request
        self.open.add(job)
        self.tell(job, "queued")
        if type(request) in self.answers:
            answer = self.answers[type(request)]
            answer = answer(request) if callable(answer) else answer
            self.tell(job, "running")
            if isinstance(answer, Exception):
                self.tell(job, "failed", error=str(answer), details="Traceback of a test")
            else:
                self.tell(job, "done", result=answer)
        return job

    def tell(self, job: int, state: Any, **news: Any) -> None:
        """Send an event of a job."""
        event = JobEvent(job, self.requests[job], state, **news)
        if event.ended:
            self.open.discard(job)
        self.deliver(event)

    def cancel(self, job: int) -> None:
        if job in self.open:
            self.tell(job, "cancelled")

    def retry(self, job: int) -> int:
        return self.submit(self.requests[job])

    def close(self, timeout: float = 10.0) -> bool:
        self.closed = True
        for job in sorted(self.open):
            self.cancel(job)
        return True

    def asked(self, kind: type[Request]) -> list[Any]:
        """Return the requests of one kind, oldest first."""
        return [request for request in self.requests.values() if isinstance(request, kind)]


@pytest.fixture
def runner() -> ScriptedRunner:
    """Give the stand-in for the worker that `session` and `make_window` are connected to."""
    return ScriptedRunner(lambda event: None)


def _relay(runner: ScriptedRunner) -> Relay:
    def start(deliver: OnEvent) -> Any:
        runner.deliver = deliver
        return runner

    return Relay(start)


@pytest.fixture
def session(runner: ScriptedRunner, qapp: QApplication) -> Iterator[Session]:
    """Give a session with nothing open."""
    session = Session(_relay(runner))
    yield session
    session.close(1)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Give settings in a folder of their own."""
    return Settings(tmp_path / "data")


@pytest.fixture
def make_window(qapp: QApplication, qtbot: Any, runner: ScriptedRunner, settings: Settings) -> Iterator[Callable[..., MainWindow]]:
    """Give a function that opens the window as the application does and waits until all visible panels are built.

    The worker is `runner`, unless a real one is asked for with ``worker=True``.
    """
    made: list[MainWindow] = []
    collectors: list[GarbageCollector] = []

    def make(worker: bool = False, show: bool = True, **options: Any) -> MainWindow:
        from workbench.jobs.runner import Runner

        relay = Relay(lambda deliver: Runner(deliver, make_engine)) if worker else _relay(runner)
        if worker and not collectors:  # as the application does: garbage goes meanwhile, in the main thread
            collectors.append(GarbageCollector())
        runner.closed = False
        theme = Theme(qapp, settings.scheme)
        window = MainWindow(Session(relay), settings, theme, **{"defaults": ("test:small", "test:images")} | options)
        made.append(window)
        if show:
            with qtbot.waitSignal(window.ready, timeout=10_000):
                window.show()
            qtbot.waitUntil(lambda: window.docks.panel("jobs") is not None)
            window.activateWindow()
            qtbot.waitUntil(window.isActiveWindow)
        return window

    yield make
    for window in made:
        window.close()
        window.deleteLater()
    for collector in collectors:
        collector.stop()


@pytest.fixture
def reached_with_tab(qtbot: Any) -> Callable[[QWidget], list[QWidget]]:
    """Give a function that returns what Tab reaches, from a widget on until it is back there."""

    def walk(first: QWidget) -> list[QWidget]:
        first.window().activateWindow()
        qtbot.waitUntil(first.window().isActiveWindow)
        first.setFocus(Qt.FocusReason.TabFocusReason)
        reached = [first]
        while True:
            assert QApplication.focusWidget() is reached[-1]
            QTest.keyClick(reached[-1], Qt.Key.Key_Tab)
            following = QApplication.focusWidget()
            if following is first:
                return reached
            assert following not in reached, f"Tab never comes back from {following}"
            reached.append(following)

    return walk
