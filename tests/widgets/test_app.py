"""Starting from the command line: a picture without a screen, and arguments."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PySide6.QtGui import QImage

from widgets.app import parser

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    without = {
        name: value
        for name, value in os.environ.items()
        if name not in ("QT_QPA_PLATFORM", "DISPLAY", "WAYLAND_DISPLAY")
    }
    return subprocess.run(
        [sys.executable, str(ROOT / "main.py"), *arguments],
        env=without | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_a_picture_is_painted_without_a_screen(tmp_path: Path, scheme: str, dark: bool):
    path = tmp_path / "window.png"
    done = run(
        "--screenshot", str(path), "--model", "", "--images", "", "--scheme", scheme, "--data", str(tmp_path / "data")
    )
    assert done.returncode == 0, done.stderr
    image = QImage(str(path))
    assert (image.width(), image.height()) == (1600, 1000)
    assert (image.pixelColor(800, 998).lightnessF() < 0.5) == dark
    colours = {image.pixel(x, y) for x in range(0, 1600, 7) for y in range(0, 1000, 7)}
    assert len(colours) > 20  # text and lines, not an empty window
    assert not (tmp_path / "data").exists()  # a picture changes nothing of the user's


def test_a_problem_is_shown_in_the_picture(tmp_path: Path):
    pictures = []
    for number in ("7.1", "7.10"):
        path = tmp_path / f"{number}.png"
        done = run("--screenshot", str(path), "--problem", number, "--model", "", "--images", "")
        assert done.returncode == 0, done.stderr
        pictures.append(QImage(str(path)))
    assert pictures[0] != pictures[1]


def test_a_picture_that_cannot_be_written_is_said(tmp_path: Path):
    done = run("--screenshot", str(tmp_path / "no such folder" / "x.png"), "--model", "", "--images", "")
    assert done.returncode == 1
    assert "x.png could not be written" in done.stderr


FIRST = """
import sys
from widgets import app

class Window(app.MainWindow):
    def __init__(self, session, *rest, **options):
        super().__init__(session, *rest, **options)
        self.layers = 0
        session.relay.event.connect(self.told)

    def told(self, event):
        if type(event.request).__name__ != "Thumbnails" or event.request.level != "coarse" or event.state != "done":
            return
        print(event.request.layer, len(event.result) > 0, "torch" in sys.modules, flush=True)
        self.layers += 1
        if self.layers == 1:
            self.session.select_layer("mixed3b")
        elif event.request.layer == "mixed3b":
            self.close()

app.MainWindow = Window
app.FILLING = 3600.0  # so nothing is imported before the window closes
sys.exit(app.main(sys.argv[1:]))
"""


def test_the_pictures_of_a_bundled_network_are_there_before_the_libraries_are_imported(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-c", FIRST, "--data", str(tmp_path), "--model", "bundled:inception"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    told = [line.split() for line in done.stdout.splitlines()]
    assert told[-1][0] == "mixed3b" != told[0][0]
    assert {tuple(line[1:]) for line in told} == {("True", "False")}, "of the first layer, and of one chosen while they are imported"


CHILD = """
import signal, sys, time
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QMessageBox
from widgets import app

how = sys.argv.pop(1)
show = app.MainWindow.show

def shown(window):
    window.ready.connect(lambda: print("ready", flush=True))
    show(window)
    if how == "dialog":
        window.ready.connect(lambda: QTimer.singleShot(0, lambda: QMessageBox.question(window, "", "?")))

def hang(interrupt):
    print("hangs", flush=True)
    time.sleep(1000)

app.MainWindow.show = shown
app.Camera._ready = lambda camera: False
app.WorkerStart._make_engine = lambda starter: None  # nothing heavy is imported, which closing would wait for
if how == "hangs":
    app.Interrupt._end = hang
signal.signal(signal.SIGINT, signal.default_int_handler)
code = app.main(sys.argv[1:])
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
print("ended", flush=True)
sys.exit(code)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals as on Unix")
@pytest.mark.parametrize("how", ["window", "dialog", "screenshot", "hangs"])
def test_ctrl_c_in_the_terminal_closes_the_window(tmp_path: Path, how: str):
    picture, data = tmp_path / "window.png", tmp_path / "data"
    arguments = ["--model", "", "--images", "", "--data", str(data)] + ["--screenshot", str(picture)] * (how == "screenshot")
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, how, *arguments],
        env=os.environ | {"QT_QPA_PLATFORM": "offscreen", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == "ready\n", process.communicate()
        process.send_signal(signal.SIGINT)
        if how == "hangs":
            assert process.stdout.readline() == "hangs\n"
            process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert "Traceback" not in err, err
    if how == "hangs":
        assert process.returncode == -signal.SIGINT, "the second time at once"
        return
    assert process.returncode == 130 and out == "ended\n"
    assert not picture.exists() and any(data.rglob("*")) == (how != "screenshot"), "it closed as it does by its button"


def test_arguments(capsys: pytest.CaptureFixture[str]):
    given = parser().parse_args([])
    assert (given.model, given.images, given.file) == ("bundled:inception", "emoji", None)
    with pytest.raises(SystemExit) as left:
        parser().parse_args(["--scheme", "sepia"])
    assert left.value.code == 2
    assert "sepia" in capsys.readouterr().err


def test_a_problem_that_does_not_exist_is_refused_before_anything_opens(capsys):
    with pytest.raises(SystemExit) as left:
        parser().parse_args(["--screenshot", "never.png", "--problem", "99"])
    assert left.value.code == 2
    assert "there is no open problem '99'" in capsys.readouterr().err
