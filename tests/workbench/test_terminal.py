"""What every command does: its progress on a terminal and elsewhere, and its exit code."""

from __future__ import annotations

import io

import pytest

from workbench import terminal
from workbench.input_error import InputError
from workbench.jobs.progress import Progress
from workbench.task import Task


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_on_a_terminal_is_drawn_over_and_wiped_away(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(float(second) for second in range(100))
    monkeypatch.setattr(terminal.time, "monotonic", lambda: next(clock))
    stream = Terminal()
    task = terminal.TerminalTask(stream)
    task.step(0, 60, note="rendering")
    task.step(15, 60, note="rendering")
    lines = stream.getvalue().split("\r")
    assert lines[1].rstrip() == "[------------------------]   0%, rendering"
    assert lines[2].rstrip() == "[######------------------]  25%, 15 of 60, 15/s, 3 s left, rendering"
    task.clear()
    assert stream.getvalue().endswith("\r") and "\n" not in stream.getvalue()


def test_plain_lines_elsewhere_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(float(second) for second in range(100))
    monkeypatch.setattr(terminal.time, "monotonic", lambda: next(clock))
    stream = io.StringIO()
    task = terminal.TerminalTask(stream)
    for done in range(20):
        task.step(done, 20, note="rendering")
    task.clear()
    lines = stream.getvalue().splitlines()
    assert lines == [
        " 45%, 9 of 20, 1/s, 11 s left, rendering",
        " 70%, 14 of 20, 1/s, 6 s left, rendering",
        " 95%, 19 of 20, 1/s, 1 s left, rendering",
    ]
    assert "\r" not in stream.getvalue()


def test_unknown_lengths_have_no_share() -> None:
    progress = Progress()
    progress.add(0, 0, 0, "reading")
    assert terminal.describe(progress, bar=True) == "reading"
    progress.add(2, 50, 0, "reading")
    assert terminal.describe(progress, bar=True) == "50, 25/s, reading"


def code_of(error: BaseException | None) -> int:
    def command(task: Task) -> None:
        if error is not None:
            raise error

    return terminal.guarded(command)


def test_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(None) == 0
    assert code_of(InputError("no layer 'x'\n  did you mean y?")) == 2
    assert capsys.readouterr().err == "error: no layer 'x' did you mean y?\n"
    assert code_of(FileNotFoundError(2, "No such file", "weights.pt")) == 2
    assert code_of(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err.endswith("interrupted\n")
    assert code_of(ValueError("could not broadcast (3,)\ninto (4,)")) == 1
    hint = "; --traceback shows where\n"
    assert capsys.readouterr().err == f"internal error: ValueError: could not broadcast (3,) into (4,){hint}"
    assert code_of(ZeroDivisionError()) == 1
    assert capsys.readouterr().err == f"internal error: ZeroDivisionError{hint}"
    for error in (InputError("no"), ValueError("no")):
        with pytest.raises(ValueError, match="no"):
            terminal.guarded(lambda task, error=error: (_ for _ in ()).throw(error).__next__(), traceback=True)
