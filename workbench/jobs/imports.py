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
    """One import of all libraries, begun when somebody first waits for it; what failed is tried again by the next one.

    What was imported is frozen as it is: to collect 400,000 objects once would stop all threads for a third of a second, and frees nothing
    to speak of.

    Parameters
    ----------
    after
        Seconds that the first who waits takes steps before anything is imported: a window fills its panels meanwhile, which takes a few
        times as long beside an import.
    """

    def __init__(self, after: float = 0.0) -> None:
        self._after = after
        self._thread: threading.Thread | None = None
        self._torch, self._all = threading.Event(), threading.Event()
        self._failure: BaseException | None = None

    def wait(self, task: Task, *, for_all: bool) -> None:
        """Return when torch is there, or all libraries are; a step of `task` is taken every `STEP` seconds until then.

        Raises
        ------
        workbench.task.Cancelled
            When the job is not wanted any more; the import goes on for the next one.
        """
        wanted = self._all if for_all else self._torch
        for event, name in ((self._torch, "torch"), (self._all, "timm")):
            if self._thread is None and name in sys.modules:  # a script has imported it, or another engine
                event.set()
        begun = time.monotonic()
        while self._thread is None and not wanted.is_set() and time.monotonic() - begun < self._after:
            task.step(0, 0, note="importing libraries")
            time.sleep(STEP)
        if self._thread is None and not wanted.is_set():
            self._thread = threading.Thread(target=self._run, name="workbench imports", daemon=False)
            self._thread.start()
        while not wanted.wait(STEP):
            task.step(0, 0, note="importing libraries")
        if self._failure is not None:
            failure = self._failure
            self.finish()
            self._failure = None
            self._torch.clear()
            self._all.clear()
            raise failure

    def finish(self) -> None:
        """Wait until nothing is imported any more."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        try:
            with collector_at_rest():
                load_torch_libraries()
                import torch  # noqa: F401

                self._torch.set()
                import timm  # noqa: F401 - it brings torchvision

                from workbench.analyses.analysis import discover

                discover()
                gc.freeze()
        except BaseException as error:  # raised where it is waited for
            self._failure = error
        finally:
            self._torch.set()
            self._all.set()
