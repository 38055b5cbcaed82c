"""What every command does: `TerminalTask` draws its progress, `guarded` makes one line and an exit code of what goes wrong.

Exit codes: 0 when all went well, 2 when what was asked for makes no sense or the system refuses it (one line on stderr says why and
what to do), 1 when something went wrong that nobody foresaw, 130 when interrupted with Ctrl+C.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from workbench.amounts import rough_duration
from workbench.input_error import InputError
from workbench.jobs.progress import Progress
from workbench.task import Task

if TYPE_CHECKING:
    from workbench.analyses.analysis import Result
    from workbench.jobs.engine import Engine
    from workbench.models.traced_model import TracedModel

INTERNAL_ERROR = 1
BAD_INPUT = 2
INTERRUPTED = 130
QUIET = 10.0
"""Seconds until a log file hears of progress."""


@runtime_checkable
class Stream(Protocol):
    """Where progress is written."""

    def write(self, text: str, /) -> int:
        """Write some text."""

    def flush(self) -> None:
        """Show what was written."""

    def isatty(self) -> bool:
        """Say whether somebody is looking."""


class TerminalTask(Task):
    """Draws a progress bar with rate and time left on a terminal; elsewhere (a log file) writes a plain line now and then.

    Plain lines begin after `QUIET` seconds: what is short, or refused, leaves no more in a log than its outcome.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._interval = 0.1 if self._terminal else 5.0
        self._next = 0.0 if self._terminal else time.monotonic() + QUIET
        self._progress = Progress()
        self._width = 0
        self.so_far: Result | None = None

    def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
        """Redraw the bar, not too often; keep what was found so far where that is a result of its own."""
        if isinstance(partial, Mapping) and "result" in partial:
            self.so_far = partial["result"]
        now = time.monotonic()
        self._progress.add(now, done, total, note)
        if now < self._next:
            return
        self._next = now + self._interval
        line = describe(self._progress, bar=self._terminal)
        if self._terminal:
            line = line[: shutil.get_terminal_size().columns - 1]
            self._stream.write("\r" + line.ljust(self._width))
            self._width = len(line)
        else:
            self._stream.write(line + "\n")
        self._stream.flush()

    def say(self, line: str) -> None:
        """Write a line of its own."""
        self.clear()
        self._stream.write(f"{line}\n")

    def clear(self) -> None:
        """Wipe the bar away, so that the next line stands alone."""
        if self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._stream.flush()
            self._width = 0


def describe(progress: Progress, *, bar: bool) -> str:
    """Say in one line how far the work is, such as ``42 %, 128 of 305, 12.5/s, 14 s left, rendering``."""
    parts = []
    if progress.total:
        share = min(1.0, max(0.0, progress.done / progress.total))
        drawing = f"[{'#' * round(24 * share):-<24}] " if bar else ""
        parts.append(f"{drawing}{share:4.0%}")
    if progress.rate:
        count = f"{progress.done:.0f} of {progress.total:.0f}" if progress.total else f"{progress.done:.0f}"
        parts += [count, f"{progress.rate:.3g}/s"]
    if progress.seconds_left is not None:
        parts.append(f"{rough_duration(progress.seconds_left)} left")
    if progress.note:
        parts.append(progress.note)
    return ", ".join(parts) or "working"


def guarded(command: Callable[[TerminalTask], None], *, traceback: bool = False) -> int:
    """Do a command with a progress bar and return the exit code; what goes wrong becomes one line on stderr.

    Bad input is what the workbench refuses (`InputError`) and what the operating system does (`OSError`: no such file, disk full). All
    else is a mistake of the program's.

    Parameters
    ----------
    traceback
        Let errors raise, to see where they were noticed.
    """
    task = TerminalTask(sys.stderr)
    try:
        try:
            command(task)
            sys.stdout.flush()
        finally:
            task.clear()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (`| head`) has seen enough; what Python flushes at exit must have somewhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if traceback:
            raise
        from workbench.jobs.runner import one_line

        if isinstance(error, InputError | OSError):
            sys.stderr.write(f"error: {one_line(error)}\n")
            return BAD_INPUT
        sys.stderr.write(f"internal error: {one_line(error)}; --traceback shows where\n")
        return INTERNAL_ERROR
    return 0


def open_model(engine: Engine, ref: str, allow_code: bool, task: Task) -> TracedModel:
    """Load a network; that its code may not be run is said with the flag that allows it."""
    from workbench.models.loading import CodeNotAllowed

    try:
        return engine.model(ref, allow_code=allow_code, task=task)
    except CodeNotAllowed:
        raise InputError(f"{ref} runs a Python file; add --allow-code if you trust it") from None
