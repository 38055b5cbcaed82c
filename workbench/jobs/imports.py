"""`Imports`: the libraries that networks need are imported beside the worker, which does what needs none of them meanwhile.

To import torch, timm and the analyses takes seconds. The worker's jobs that wait for them take their steps, so they can be cancelled, and
what is there already, such as the small images that come with a network, is shown inside them.
"""

from __future__ import annotations

import gc
import sys
import threading
import time

from workbench.jobs.collector import collector_at_rest
from workbench.jobs.torch_libraries import load_torch_libraries
from workbench.task import Task

STEP = 0.02
"""Seconds between two steps of a job that waits."""


class Imports:
    """One import of all libraries, begun when somebody first waits for it; what failed is tried again by who waits next.

    What was imported is frozen as it is: to collect 400,000 objects once would stop all threads for a third of a second, and frees nothing
    to speak of.

    Parameters
    ----------
    after
        Seconds that are let pass before anything is imported in a thread of its own: a window fills its panels meanwhile, which takes a few
        times as long beside an import. None: whoever waits imports, at once, as a program without a window does.
    """

    def __init__(self, after: float | None = None) -> None:
        self._after = after
        self._first: float | None = None  # when somebody first waited
        self._fresh = "timm" not in sys.modules  # else a script has imported what it wants
        self._told = self._all = False
        self._attempt: _Attempt | None = None

    def wait(self, task: Task, *, for_all: bool) -> None:
        """Return when torch is there, or all libraries are; a step of `task` is taken every `STEP` seconds until then.

        Raises
        ------
        workbench.task.Cancelled
            When the job is not wanted any more; the import goes on for the next one.
        """
        if self._after is None:
            self._import_here(for_all)
            return
        if self._attempt is None and "torch" not in sys.modules:
            self._first = self._first or time.monotonic()
            while self._attempt is None and time.monotonic() - self._first < self._after:
                task.step(0, 0, note="importing libraries")
                time.sleep(STEP)
        if self._attempt is None or self._attempt.failed:
            self._attempt = _Attempt(self._fresh)
        attempt = self._attempt
        wanted = attempt.all if for_all else attempt.torch
        while not wanted.wait(STEP):
            task.step(0, 0, note="importing libraries")
        if attempt.failure is not None and (for_all or not attempt.has_torch):
            if self._attempt is not attempt:  # a job inside a step tries again, or has
                self.wait(task, for_all=for_all)
                return
            raise attempt.failure

    def _import_here(self, for_all: bool) -> None:
        if not self._told:
            _import_torch()
            self._told = True
        if for_all and not self._all:
            if self._fresh:
                _import_the_rest()
            self._all = True

    def torch_is_there(self) -> bool:
        """Whether torch is there as a whole; while it is imported, to import it as well is to wait for its end."""
        if self._attempt is not None:
            return self._attempt.has_torch
        if "torch" in sys.modules:
            self._import_here(for_all=False)
        return self._told

    def finish(self) -> None:
        """Wait until nothing is imported any more."""
        if self._attempt is not None:
            self._attempt.thread.join()


class _Attempt:
    """One go at it in a thread of its own; several jobs may wait for the same, one inside the other.

    Parameters
    ----------
    fresh
        Whether timm and the analyses are imported, too.

    Attributes
    ----------
    torch, all
        Set when the import of torch, or of everything, has ended, one way or the other.
    has_torch
        Whether torch is there.
    failure
        Why it was not finished.
    """

    def __init__(self, fresh: bool) -> None:
        self._fresh = fresh
        self.torch, self.all = threading.Event(), threading.Event()
        self.has_torch = False
        self.failure: BaseException | None = None
        self.thread = threading.Thread(target=self._run, name="workbench imports", daemon=False)
        self.thread.start()

    @property
    def failed(self) -> bool:
        """Whether it has ended without everything."""
        return self.all.is_set() and self.failure is not None

    def _run(self) -> None:
        try:
            _import_torch()
            self.has_torch = True
            self.torch.set()
            if self._fresh:
                _import_the_rest()
        except BaseException as error:  # raised where it is waited for
            self.failure = error
        finally:
            self.torch.set()
            self.all.set()


def _import_torch() -> None:
    """Import torch, and forbid what would make it compute less exactly."""
    with collector_at_rest():
        load_torch_libraries()
        from tqdm import tqdm  # type: ignore[import-untyped]

        from workbench.models.device import exact_by_default

        exact_by_default()
        tqdm.monitor_interval = 0  # the libraries' progress bars would start a thread of their own


def _import_the_rest() -> None:
    with collector_at_rest():
        import timm  # noqa: F401 - it brings torchvision

        from workbench.analyses.analysis import discover

        discover()
        gc.freeze()
