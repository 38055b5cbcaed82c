"""The worker: one non-daemon thread that owns the device and does every job, one step at a time.

The order is: interactive jobs first, then the long lane by rank (opening something, filling what is on screen, work started on
purpose, training), each in the order in which they came. A job that takes its time calls `task.step`; inside that call waiting jobs of
a smaller precedence are done from beginning to end, so a click is answered in the middle of a sweep without a second thread on the device.
Cancelling is cooperative: `task.step` raises `Cancelled`.

Progress is told at most every `INTERVAL` seconds. A partial result is never lost: when it comes too early and is a mapping, it is kept,
merged key by key with later ones (the newer value of a key wins) and delivered with the next event, at the latest before the job's
end. A partial result that is not a mapping cannot be merged and goes out at once.
"""

from __future__ import annotations

import itertools
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from workbench.input_error import InputError
from workbench.jobs.job import JobEvent, Request, State, seal
from workbench.jobs.progress import Progress
from workbench.task import Cancelled, Task

if TYPE_CHECKING:
    from workbench.jobs.engine import Engine

INTERVAL = 0.05
"""Seconds between two progress events of a job."""
REMEMBERED = 100
"""How many jobs that failed or were cancelled can be retried."""


class Job:
    """One submitted request on its way."""

    def __init__(self, number: int, request: Request) -> None:
        self.number = number
        self.request = request
        self.cancelled = threading.Event()
        self.suspended = False
        self.announced = False  # its last event was delivered
        self.superseded = False
        self.progress = Progress()

    def event(self, state: State, **news: Any) -> JobEvent:
        """Make an event with the progress of this moment."""
        progress = self.progress
        return JobEvent(
            self.number,
            self.request,
            state,
            progress.done,
            progress.total,
            progress.note,
            progress.rate,
            progress.seconds_left,
            **news,
        )


class JobTask(Task):
    """The handle given to `Request.run`."""

    def __init__(self, job: Job, runner: Runner) -> None:
        self._job = job
        self._runner = runner
        self._lent = 0.0  # seconds spent in other jobs inside this one's steps
        self._last_event = self._last_partial = -INTERVAL
        self._held: dict[Any, Any] = {}

    def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
        """Report, let waiting jobs of smaller precedence run, and raise `Cancelled` when this one is not wanted any more."""
        now = time.monotonic()
        self._job.progress.add(now - self._lent, done, total, note)
        self._report(now, partial)
        self._stop_if_cancelled()
        self._lent += self._runner._lend(self._job)
        self._stop_if_cancelled()

    def flush(self) -> None:
        """Deliver the partial results that were held back."""
        if self._held:
            self._emit(self._held)

    def _report(self, now: float, partial: object) -> None:
        if isinstance(partial, Mapping):
            seal(partial)
            self._held = {**self._held, **partial}
        elif partial is not None:
            seal(partial)
            self._emit(partial)
        if self._held and now - self._last_partial >= INTERVAL:
            self._last_partial = now
            self._emit(self._held)
        elif now - self._last_event >= INTERVAL:
            self._emit(None)

    def _emit(self, partial: object) -> None:
        if partial is self._held:
            self._held = {}
        self._last_event = time.monotonic()
        self._runner._tell(self._job, "progress", partial=partial)

    def _stop_if_cancelled(self) -> None:
        if self._job.cancelled.is_set():
            raise Cancelled(self._job.request.title)


class Runner:
    """Takes requests from any thread and does them in its own.

    Parameters
    ----------
    deliver
        Called with every `JobEvent`: in the worker thread, or for ``queued`` and for the cancelling of a job that does not
        run at the moment in the thread that submitted or cancelled. It must not block.
    engine_factory
        Makes the engine; called in the worker thread before the first job is chosen. When it fails so does that job, and the next one
        tries again.
    """

    def __init__(self, deliver: Callable[[JobEvent], None], engine_factory: Callable[[], Engine]) -> None:
        self._deliver = deliver
        self._engine_factory = engine_factory
        self._engine: Engine | None = None
        self._numbers = itertools.count(1)
        self._changed = threading.Condition()
        self._queue: list[Job] = []
        self._active: list[Job] = []  # the running one is last, the ones it runs inside are before it
        self._ended: dict[int, Job] = {}
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="workbench worker", daemon=False)
        self._thread.start()

    def submit(self, request: Request) -> int:
        """Queue a request and return its job number; older jobs of the same key are cancelled.

        Raises
        ------
        RuntimeError
            When the runner was closed.
        """
        if self._closing:
            raise RuntimeError(f"{request.title!r} was submitted after the worker was closed")
        job = Job(next(self._numbers), request)
        self._tell(job, "queued")
        with self._changed:
            older = [j for j in self._queue + self._active if request.key and j.request.key == request.key]
        for one in older:
            one.superseded = True
            self.cancel(one.number)
        with self._changed:
            if not self._closing:
                self._queue.append(job)
                self._changed.notify()
                return job.number
        self._tell(job, "cancelled")
        return job.number

    def cancel(self, job: int) -> None:
        """Cancel a job: at once when it waits or is suspended, at its next step when it runs; nothing when it has ended."""
        with self._changed:
            found = next((j for j in self._queue + self._active if j.number == job), None)
            if found is None:
                return
            found.cancelled.set()
            if found in self._queue:
                self._queue.remove(found)
            elif not found.suspended:
                return
        self._tell(found, "cancelled")

    def retry(self, job: int) -> int:
        """Submit the request of a failed or cancelled job again and return the new job number.

        Raises
        ------
        ValueError
            When no such job is remembered.
        """
        with self._changed:
            ended = self._ended.pop(job, None)
        if ended is None:
            raise ValueError(f"job {job} cannot be retried: it neither failed nor was cancelled, or it is too long ago")
        return self.submit(ended.request)

    def close(self, timeout: float = 10.0) -> bool:
        """Cancel everything and wait for the thread to end, at most `timeout` seconds; return whether it has."""
        with self._changed:
            self._closing = True
            numbers = [job.number for job in self._queue + self._active]
        for number in numbers:
            self.cancel(number)
        with self._changed:
            self._changed.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    # The rest runs in the worker thread.

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._queue) or self._closing)
                if not self._queue:
                    break
            failure = self._start_engine()
            with self._changed:
                job = self._take()
            if job is not None:
                self._run(job, nullcontext(), failure)
        if self._engine is not None:
            self._engine.close()

    def _start_engine(self) -> BaseException | None:
        """Make the engine if there is none, before a job is chosen: what is asked for meanwhile may go first. Return why it failed."""
        try:
            if self._engine is None:
                self._engine = self._engine_factory()
        except BaseException as error:
            return error
        return None

    def _take(self, below: float = float("inf")) -> Job | None:
        """Take the job to do next out of the queue, of a precedence smaller than `below`; the lock is held."""
        job = min(self._queue, key=lambda j: j.request.precedence, default=None)
        if job is None or job.request.precedence >= below:
            return None
        self._queue.remove(job)
        self._active.append(job)
        return job

    def _lend(self, lender: Job) -> float:
        """Do all waiting jobs that may run inside `lender`; return the seconds this took."""
        if not self._queue:  # most steps end here; a job that comes just now is seen at the next step
            return 0.0
        began = time.monotonic()
        while True:
            with self._changed:
                job = self._take(lender.request.precedence)
                lender.suspended = job is not None
            if job is None:
                return time.monotonic() - began
            assert self._engine is not None
            self._run(job, self._engine.isolated())

    def _run(self, job: Job, surroundings: AbstractContextManager[object], failure: BaseException | None = None) -> None:
        """Do a job from its beginning to its end; with a `failure` it fails for that reason."""
        task = JobTask(job, self)
        state: State
        news: dict[str, Any] = {}
        try:
            if job.cancelled.is_set():
                raise Cancelled(job.request.title)
            self._tell(job, "running")
            if failure is not None:
                raise failure
            assert self._engine is not None
            with surroundings:
                result = job.request.run(self._engine, task)
                seal(result)
            state, news = "done", {"result": result}
        except Cancelled:
            state = "cancelled"
        except BaseException as error:  # a user's own network may even call sys.exit; the worker outlives it
            state, news = "failed", {"error": one_line(error), "details": traceback.format_exc()}
        task.flush()
        with self._changed:
            self._active.remove(job)
        if job.cancelled.is_set() and state == "done":
            # It was superseded after its last step: its answer is not the one asked for now.
            state, news = "cancelled", {}
        self._tell(job, state, **news)

    def _tell(self, job: Job, state: State, **news: Any) -> None:
        event = job.event(state, **news)
        with self._changed:
            if job.announced:
                return
            job.announced = event.ended
            if state in ("failed", "cancelled"):
                self._ended[job.number] = job
                if len(self._ended) > REMEMBERED:  # what was superseded goes first: scrolling makes many of those
                    del self._ended[min(self._ended, key=lambda number: not self._ended[number].superseded)]
        self._deliver(event)


def one_line(error: BaseException) -> str:
    """Say an error in one line: its message, after the name of its type unless that is one which speaks to the user."""
    message = " ".join(str(error).split())
    if isinstance(error, InputError | OSError) and message:
        return message
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
