"""The harness itself: a bare Qt program is found, seen, clicked, typed into and closed."""

from __future__ import annotations

import textwrap

import pytest

PROGRAM = """
import sys
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QApplication, QLineEdit, QMainWindow
app = QApplication(sys.argv)
window = QMainWindow()
window.resize(640, 400)
window.setStyleSheet("QMainWindow { background: #c02040 }")
line = QLineEdit(window)
line.setGeometry(20, 20, 200, 30)
line.textChanged.connect(lambda text: print("typed", text, flush=True))
window.show()
sys.exit(app.exec())
"""


@pytest.fixture
def bare(workbench, tmp_path, monkeypatch):
    (tmp_path / "main.py").write_text(textwrap.dedent(PROGRAM), encoding="utf-8")
    monkeypatch.setitem(workbench.start.__func__.__globals__, "ROOT", tmp_path)
    return workbench


def test_a_window_is_seen_typed_into_and_closed(bare):
    window = bare.start()
    pixels = window.screenshot("harness")
    assert pixels.shape == (400, 640, 3)
    assert tuple(pixels[300, 500]) == (0xC0, 0x20, 0x40)
    window.click(100, 35)
    window.type("mixed3b:379")
    window.wait_until("the typed text", lambda: "typed mixed3b:379\n" in window.output(), 10)
    assert window.close() == 0


def test_a_program_that_ends_before_its_window_shows_fails_with_its_output(bare, tmp_path):
    (tmp_path / "main.py").write_text("raise SystemExit('no such file: x')", encoding="utf-8")
    with pytest.raises(pytest.fail.Exception, match="no such file: x"):
        bare.start()
