"""The leak check catches what it promises to catch, and lets a clean test pass."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

LEAKS = """
import threading, time
from PySide6.QtCore import QObject, QThread, QTimer
from PySide6.QtWidgets import QLabel

kept = []

def test_clean(qtbot):
    label = QLabel("x")
    qtbot.addWidget(label)
    label.show()
    timer = QTimer(label)
    timer.start(1000)

def test_window(qtbot):
    kept.append(QLabel("x"))

def test_timer(qtbot):
    kept.append(QTimer())
    kept[-1].start(1000)

def test_qthread(qtbot):
    kept.append(QThread())
    kept[-1].start()

def test_thread():
    stop = threading.Event()
    kept.append(stop)
    threading.Thread(target=stop.wait, name="forgotten", daemon=True).start()

def test_end_all():
    kept[1].stop()
    kept[2].quit()
    kept[2].wait()
    kept[3].set()
"""


def test_each_kind_of_leak_fails_its_test(tmp_path: Path):
    check = Path(__file__).with_name("conftest.py").read_text(encoding="utf-8")
    (tmp_path / "conftest.py").write_text(check.replace("GRACE = 3.0", "GRACE = 0.2"), encoding="utf-8")
    (tmp_path / "test_leaks.py").write_text(LEAKS, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\nqt_api = pyside6\n", encoding="utf-8")
    run = subprocess.run([sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", str(tmp_path)], capture_output=True, text=True)
    output = run.stdout + run.stderr
    for line in ("left behind: top-level QLabel", "running timer", "running QThread", "thread forgotten"):
        assert line in output, output
    assert "test_clean PASSED" in output
    for leak in ("window", "timer", "qthread", "thread"):
        assert f"ERROR at teardown of test_{leak}" in output, output
    assert "6 passed, 4 errors" in output, output
