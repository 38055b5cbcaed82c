"""The one handle between work and the outside.

Everything that takes time (an analysis, loading a network, reading a folder) is given a `Task` and calls `task.step(...)` at each
natural stop. That call is the only contact with the outside: it reports progress and partial results, raises `Cancelled` when the
user changed their mind, and lets a waiting interactive job run. A plain `Task()` does nothing, so the same code runs in a notebook.
"""

from __future__ import annotations


class Cancelled(Exception):
    """Raised by `Task.step` when the work is no longer wanted. Let it pass; never swallow it."""


class Task:
    """Progress, partial results and cancellation for one piece of work; this class itself listens to nobody."""

    def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
        """Say how far the work is.

        Parameters
        ----------
        done, total
            Progress in whatever the work counts in (images, steps, bytes); `total` 0 means unknown.
        partial
            What can already be shown: numpy arrays and plain data, never a tensor.
        note
            A few words on what is happening now, such as ``"exporting the graph"``.

        Raises
        ------
        Cancelled
            When the work is no longer wanted.
        """


class Part(Task):
    """The steps of one part of a piece of work, told as steps of the whole.

    Parameters
    ----------
    whole
        Task of the whole.
    before, size, total
        How much was done before this part, how much this part is, and how much there is.
    """

    def __init__(self, whole: Task, before: float, size: float, total: float) -> None:
        self._whole, self._before, self._size, self._total = whole, before, size, total

    def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
        """Pass the step on, without the partial result: it is one of the part."""
        share = min(1.0, done / total) if total else 0.0
        self._whole.step(self._before + self._size * share, self._total, note=note)
