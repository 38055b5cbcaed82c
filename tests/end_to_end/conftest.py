"""A real screen without a monitor (Xvfb), a real window manager, and `main.py` in a process of its own.

    def test_opens(workbench):
        window = workbench.start()          # waits until the window is mapped and its size stands still
        window.key("ctrl+shift+p")
        window.type("export")
        image = window.screenshot()         # uint8, y x channel: what a person would see
        assert window.close() == 0          # asks politely, as the window manager's close button does

Screenshots are also written into ``build/end_to_end`` for a person to look at.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("Xvfb", "openbox", "xdotool")
Found = TypeVar("Found")


def wait_for(what: str, look: Callable[[], Found | None], seconds: float = 30.0) -> Found:
    """Look until something is found; fail with `what` was waited for after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        if found := look():
            return found
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds:g} s for {what}")
        time.sleep(0.02)


class Screen:
    """One Xvfb display of 1600 x 1000 pixels with openbox on it."""

    size = (1600, 1000)

    def __init__(self, folder: Path) -> None:
        read, write = os.pipe()
        width, height = self.size
        self.server = subprocess.Popen(
            [
                "Xvfb",
                "-displayfd",
                str(write),
                "-screen",
                "0",
                f"{width}x{height}x24",
                "-fbdir",
                str(folder),
                "-nolisten",
                "tcp",
                "-noreset",  # else it begins anew when its last client leaves, and drops one that is just coming
            ],
            pass_fds=[write],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(write)
        with os.fdopen(read) as chosen:
            number = chosen.readline().strip()
        if not number:
            pytest.fail(f"Xvfb did not start (exit code {self.server.wait(10)})")
        self.name = f":{number}"
        self.pixels = folder / "Xvfb_screen0"
        self.words = folder / "openbox.log"
        with self.words.open("wb") as log:
            self.manager = subprocess.Popen(
                ["openbox", "--sm-disable"], env=os.environ | {"DISPLAY": self.name}, stdout=log, stderr=log
            )
        try:
            wait_for("openbox", self._managed)
        except BaseException:
            self.close()
            raise

    def _managed(self) -> bool:
        for name, process in (("Xvfb", self.server), ("openbox", self.manager)):
            if process.poll() is not None:
                said = self.words.read_text(errors="replace")
                pytest.fail(f"{name} ended with exit code {process.returncode}; openbox said: {said}")
        return self.xdotool("get_num_desktops", check=False).strip().isdigit()

    def xdotool(self, *words: str, check: bool = True) -> str:
        """Run one xdotool command on this display and return what it prints."""
        run = subprocess.run(
            ["xdotool", *words], env=os.environ | {"DISPLAY": self.name}, capture_output=True, text=True, timeout=30
        )
        if check and run.returncode:
            pytest.fail(f"xdotool {' '.join(words)}: {run.stderr.strip()}")
        return run.stdout if run.returncode == 0 else ""

    def grab(self) -> np.ndarray:
        """Return the whole screen, uint8 y x channel, from the frame buffer file (XWD: a big-endian header, then BGRX)."""
        raw = self.pixels.read_bytes()
        header = np.frombuffer(raw, ">u4", 25)
        width, height, bytes_per_line, colours = (int(header[i]) for i in (4, 5, 12, 19))
        start = int(header[0]) + 12 * colours
        lines = np.frombuffer(raw, np.uint8, height * bytes_per_line, start).reshape(height, bytes_per_line)
        return lines[:, : 4 * width].reshape(height, width, 4)[..., 2::-1].copy()

    def close(self) -> None:
        for process in (self.manager, self.server):
            process.terminate()
            process.wait(10)


class Window:
    """The running program and its main window."""

    def __init__(self, screen: Screen, process: subprocess.Popen[bytes], log: Path) -> None:
        self.screen, self.process, self.log = screen, process, log
        self.id = wait_for("the window", self._mapped, 60)
        shape = ""
        while shape != (now := screen.xdotool("getwindowgeometry", "--shell", self.id)):
            shape = now
            time.sleep(0.2)

    def _mapped(self) -> str | None:
        if self.process.poll() is not None:
            pytest.fail(
                f"main.py ended with exit code {self.process.returncode} before its window showed:\n{self.output()}"
            )
        found = self.screen.xdotool("search", "--onlyvisible", "--pid", str(self.process.pid), check=False).split()
        sizes = {window: self.geometry(window) for window in found}
        return max(sizes, key=lambda w: sizes[w][2] * sizes[w][3], default=None)

    def geometry(self, window: str | None = None) -> tuple[int, int, int, int]:
        """Return x, y, width and height on the screen, in pixels."""
        text = self.screen.xdotool("getwindowgeometry", "--shell", window or self.id, check=False)
        values = dict(line.split("=") for line in text.split() if "=" in line)
        return (
            int(values.get("X", 0)),
            int(values.get("Y", 0)),
            int(values.get("WIDTH", 0)),
            int(values.get("HEIGHT", 0)),
        )

    def windows(self) -> int:
        """Return how many windows of the program are on the screen."""
        pid = str(self.process.pid)
        return len(self.screen.xdotool("search", "--onlyvisible", "--pid", pid, check=False).split())

    def click(self, x: int, y: int, button: int = 1, times: int = 1) -> None:
        """Move the mouse to a place of the window (pixels from its top left) and click."""
        self.screen.xdotool("mousemove", "--sync", "--window", self.id, str(x), str(y))
        self.screen.xdotool("click", "--repeat", str(times), "--delay", "80", str(button))

    def key(self, *keys: str) -> None:
        """Press keys as xdotool names them: ``ctrl+shift+p``, ``Return``."""
        self.screen.xdotool("key", "--delay", "30", *keys)

    def type(self, text: str) -> None:
        """Type text into whatever has the keyboard."""
        self.screen.xdotool("type", "--delay", "15", text)

    def screenshot(self, name: str = "window") -> np.ndarray:
        """Return what the window shows, uint8 y x channel, and keep it as ``build/end_to_end/NAME.png``."""
        from PIL import Image

        x, y, width, height = self.geometry()
        pixels = self.screen.grab()[max(y, 0) : y + height, max(x, 0) : x + width]
        path = ROOT / "build" / "end_to_end" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        return pixels

    def wait_until(self, what: str, true: Callable[[], bool], seconds: float = 60) -> None:
        """Wait for something the window does; fail at once when the program ends meanwhile."""

        def look() -> bool:
            if self.process.poll() is not None:
                pytest.fail(
                    f"main.py ended with exit code {self.process.returncode} while waiting for {what}:\n{self.output()}"
                )
            return true()

        wait_for(what, look, seconds)

    def output(self) -> str:
        """Return what the program wrote to its terminal."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def close(self, seconds: float = 30) -> int:
        """Close the window as a person would; return the exit code of the program."""
        self.screen.xdotool("windowactivate", "--sync", self.id)
        self.key("alt+F4")
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f"main.py was still running {seconds:g} s after its window was closed:\n{self.output()}")

    def kill(self) -> None:
        """End the program without a chance to save anything."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)


class Workbench:
    """Starts the program on a screen with a home of its own, which later starts in the same test find again."""

    def __init__(self, screen: Screen, home: Path) -> None:
        self.screen, self.home = screen, home
        self.started: list[Window] = []

    def start(self, *arguments: str) -> Window:
        """Run ``main.py ARGUMENTS`` and wait for its window."""
        self.home.mkdir(exist_ok=True)
        ours = {
            "DISPLAY": self.screen.name,
            "QT_QPA_PLATFORM": "xcb",
            "HOME": str(self.home),
            "XDG_CACHE_HOME": str(self.home / ".cache"),
            "XDG_CONFIG_HOME": str(self.home / ".config"),
            "XDG_DATA_HOME": str(self.home / ".local/share"),
            "XDG_STATE_HOME": str(self.home / ".local/state"),
            "XDG_RUNTIME_DIR": str(self.home),
        }
        log = self.home / f"terminal-{len(self.started)}.log"
        environment = {name: value for name, value in os.environ.items() if name != "WAYLAND_DISPLAY"} | ours
        self.home.chmod(0o700)
        with log.open("wb") as terminal:
            process = subprocess.Popen(
                [sys.executable, str(ROOT / "main.py"), *arguments],
                cwd=self.home,
                env=environment,
                stdout=terminal,
                stderr=subprocess.STDOUT,
            )
        try:
            window = Window(self.screen, process, log)
        except BaseException:
            process.kill()
            raise
        self.started.append(window)
        return window


@pytest.fixture(scope="session")
def screen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Screen]:
    """Give the display; skipped where Xvfb, openbox or xdotool is missing, which in CI is a failure."""
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    if absent:
        reason = f"{', '.join(absent)} not installed: no screen for the end-to-end test"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    display = Screen(tmp_path_factory.mktemp("screen"))
    yield display
    display.close()


@pytest.fixture
def workbench(screen: Screen, tmp_path: Path) -> Iterator[Workbench]:
    """Give the starter of the program; what a test left running is killed after it."""
    bench = Workbench(screen, tmp_path / "home")
    yield bench
    for window in bench.started:
        if window.process.poll() is None:
            window.kill()
