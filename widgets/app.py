"""Starting the window, on a screen or without one.

Only Qt's core, gui and widgets modules are imported before the window shows; torch comes beside the worker thread, with the first network
or image set.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication, QElapsedTimer, QObject, QSize, QTimer
from PySide6.QtWidgets import QApplication

from widgets.garbage import GarbageCollector
from widgets.main_window import DEFAULT_IMAGES, DEFAULT_MODEL, MainWindow
from widgets.relay import OnEvent, Relay
from widgets.session import Session
from widgets.settings import Settings
from widgets.theme import Theme
from workbench.address import SCHEME, Address
from workbench.terminal import INTERRUPTED

if TYPE_CHECKING:
    from types import FrameType, TracebackType

    from workbench.jobs.engine import Engine
    from workbench.jobs.job import JobEvent
    from workbench.jobs.runner import Runner

SWITCH = 0.0005
"""Seconds a thread may keep the interpreter while another waits: the worker's Python code must not make the window stutter."""
FILLING = 0.3
"""Seconds in which the panels fill with what comes with a bundled network, before torch is imported."""
START_BY = 3.0
"""Seconds after which the worker begins even if the panels are not built."""
PICTURE = QSize(1600, 1000)
THUMBNAILS = 3
"""Deliveries of thumbnails that ``--screenshot`` waits for: those on screen, coarse."""
PATIENCE = 120.0
"""Seconds that ``--screenshot`` waits for the network and the first thumbnails before it paints what is there."""


def main(argv: Sequence[str]) -> int:
    """Open the window and return the exit code when it is closed: 130 when that was with Ctrl+C in the terminal.

    Parameters
    ----------
    argv
        Without the program's name: ``[--screenshot FILE] [--problem N] [--model REF] [--images REF] [--scheme light|dark] [--open ADDRESS]
        [FILE | ADDRESS]``.
    """
    options = parser().parse_args(argv)
    if options.screenshot:
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    application = make_application()
    settings = Settings(options.data)
    theme = Theme(application, options.scheme or settings.scheme)
    starter = WorkerStart()
    session = Session(Relay(starter.start))
    window = MainWindow(session, settings, theme, (options.model, options.images), remember=not options.screenshot)
    window.ready.connect(starter.go)
    sys.setswitchinterval(SWITCH)
    GarbageCollector(application)  # the application keeps it; it is never stopped, as the worker may outlive the window
    sys.excepthook = Excepthook(session)
    if options.problem:
        window.ready.connect(lambda: window.show_problem(options.problem))
    address = options.file if isinstance(options.file, Address) else options.open
    if address is not None:
        window.ready.connect(lambda: session.addresses.open(address))
    if options.screenshot:
        camera = Camera(window, options.screenshot)
        window.resize(PICTURE)
    elif isinstance(options.file, Path):
        window.ready.connect(lambda: window.reception.take([options.file]))
    interrupt = Interrupt(window)
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        window.show()
        code = application.exec()
    finally:
        signal.signal(signal.SIGINT, before)
    if interrupt.came:
        return INTERRUPTED
    return camera.code if options.screenshot else code


def _problem(number: str) -> str:
    """Return the number where there is such a problem, else refuse it before anything opens."""
    from workbench.problems import find

    try:
        return find(number).number
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _address(text: str) -> Address:
    """Read an address, short or whole, else refuse it before anything opens."""
    try:
        return Address.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _path_or_address(text: str) -> Path | Address:
    return _address(text) if text.startswith(SCHEME) else Path(text)


def parser() -> argparse.ArgumentParser:
    """Describe the arguments of the window."""
    made = argparse.ArgumentParser(prog="main.py", description="Open the Circuit Workbench.")
    made.add_argument(
        "file",
        nargs="?",
        type=_path_or_address,
        metavar="FILE | ADDRESS",
        help="an investigation, an image, a folder of images, a table of labels, or a network to open; or an address, in quotes: "
        "'workbench:bundled:inception#mixed3b:7'",
    )
    made.add_argument(
        "--screenshot", type=Path, metavar="FILE", help="paint the window without a screen into a PNG, then end"
    )
    made.add_argument("--problem", metavar="N", type=_problem, help="start the open problem of that number, such as 7.10")
    made.add_argument(
        "--open", metavar="ADDRESS", type=_address, help="go to an address; it may be short: --open mixed3b:7"
    )
    made.add_argument(
        "--model", default=DEFAULT_MODEL, metavar="REF", help="network to open when the investigation names none"
    )
    made.add_argument(
        "--images", default=DEFAULT_IMAGES, metavar="REF", help="image set to open when the investigation names none"
    )
    made.add_argument("--scheme", choices=("system", "light", "dark"), help="colours, instead of what was chosen last")
    made.add_argument("--data", type=Path, metavar="FOLDER", help="where settings and the running copy are kept")
    return made


def make_application() -> QApplication:
    """Make the application object with the names that settings and window managers go by."""
    # `setStyle` does the same, but its result makes PySide build a hundred enumerations before the window shows.
    application = QApplication([*sys.argv[:1], "-style", "fusion"])
    application.setApplicationName("circuit-workbench")
    application.setApplicationDisplayName("Circuit Workbench")
    application.setDesktopFileName("circuit-workbench")
    return application


class WorkerStart:
    """Starts the worker thread, and lets it import the engine when the panels are built.

    Both need the interpreter, and the panels are what the user waits for.
    """

    def __init__(self) -> None:
        self._go = threading.Event()

    def start(self, deliver: OnEvent) -> Runner:
        """Start the thread; requests are taken from now on."""
        from workbench.jobs.runner import Runner

        return Runner(deliver, self._make_engine)

    def go(self) -> None:
        """Let it begin."""
        self._go.set()

    def _make_engine(self) -> Engine:
        self._go.wait(START_BY)  # a window that is closed before it was ready does not say so
        return make_engine()


def make_engine() -> Engine:
    """Make the engine, in the worker thread."""
    from workbench.jobs.engine import Engine
    from workbench.jobs.first_look import first_looks

    first_looks()  # opened now: requests are put in order by what there is, while the window cannot ask for more
    return Engine(import_after=FILLING)


class Interrupt:
    """Closes the window at Ctrl+C in the terminal, as its own button does, and ends; pressed again it ends the process at once.

    Qt does not know Python's signals: this is called when Python runs next in the main thread, at the latest for the timer of the
    `GarbageCollector`, and in the middle of whatever runs then. So it only asks for the end.

    Attributes
    ----------
    came
        Whether it was pressed.
    """

    def __init__(self, window: MainWindow) -> None:
        self.came = False
        self._window = window

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Take the signal."""
        signal.signal(number, signal.SIG_DFL)
        self.came = True
        QTimer.singleShot(0, self._end)

    def _end(self) -> None:
        self._window.close()
        QCoreApplication.exit(INTERRUPTED)  # out of an open dialog, too


class Excepthook:
    """Shows an exception nobody caught in the message bar and on the terminal; the window lives on."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __call__(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """Take the place of `sys.excepthook`."""
        sys.__excepthook__(kind, error, trace)
        if isinstance(error, Exception):
            details = "".join(traceback.format_exception(kind, error, trace))
            self._session.report(f"Something went wrong in the window: {kind.__name__}: {error}", details)


class Camera(QObject):
    """Paints the window into a file when the network is open and the first thumbnails are there, then ends the application.

    Attributes
    ----------
    code
        Exit code: 0, or 1 when the file could not be written.
    """

    def __init__(self, window: MainWindow, path: Path) -> None:
        super().__init__(window)
        self.code = 1
        self._window = window
        self._path = path
        self._built = self._loaded = False
        self._thumbnails = 0
        self._clock = QElapsedTimer()
        self._clock.start()
        window.session.relay.event.connect(self._watch)
        window.ready.connect(self._window_ready)
        self._look = QTimer(self, interval=200)
        self._look.timeout.connect(self._shoot_when_ready)
        self._look.start()

    def _window_ready(self) -> None:
        self._built = True

    def _watch(self, event: JobEvent) -> None:
        kind = type(event.request).__name__
        if kind == "LoadModel" and event.ended:
            self._loaded = event.state == "done"
        elif kind == "Thumbnails" and (event.partial is not None or event.state in ("done", "failed")):
            self._thumbnails += 1

    def _ready(self) -> bool:
        if not self._built or self._window.session.is_opening:
            return False
        return not self._loaded or self._thumbnails >= THUMBNAILS

    def _shoot_when_ready(self) -> None:
        if not self._ready() and self._clock.elapsed() < 1000 * PATIENCE:
            return
        self._look.stop()
        QTimer.singleShot(300, self._shoot)  # what came last is laid out and painted first

    def _shoot(self) -> None:
        if self._window.grab().save(str(self._path), "PNG"):
            self.code = 0
        else:
            sys.stderr.write(f"{self._path} could not be written\n")
        self._window.close()
