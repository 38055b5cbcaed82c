"""The only thread crossing between the window and the worker.

`Relay` lives in the main thread. The worker calls `deliver`, which only emits a signal that is connected as queued; from there on
everything runs in the main thread. Nothing else may connect across threads: a lambda or a plain method connected to a signal of an
object in another thread runs *there*, and touches widgets from the wrong side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt, Signal, Slot
from shiboken6 import isValid

if TYPE_CHECKING:
    from workbench.jobs.job import JobEvent, Request
    from workbench.jobs.runner import Runner

OnEvent = Callable[["JobEvent"], None]

REPEATABLE = 100
"""Jobs that failed or were cancelled whose listeners are remembered, in case they are retried."""


class Relay(QObject):
    """Sends requests to the worker and brings its news back into the main thread.

    Parameters
    ----------
    start
        Called with `deliver` at the first request; returns the running `Runner`. So no thread starts, and nothing heavy is
        imported, before somebody asks for something.
    """

    event = Signal(object)
    """Every `JobEvent`, in the main thread, in the order in which the worker sent them."""

    _arrived = Signal(object)

    def __init__(self, start: Callable[[OnEvent], Runner], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._start = start
        self._runner: Runner | None = None
        self._closed = False
        self._listeners: dict[int, OnEvent] = {}
        self._repeatable: dict[int, OnEvent] = {}  # of jobs that failed or were cancelled
        self._arrived.connect(self._dispatch, Qt.ConnectionType.QueuedConnection)

    def deliver(self, event: JobEvent) -> None:
        """Take one event from any thread; it is handed on in the main thread."""
        self._arrived.emit(event)

    def submit(self, request: Request, on_event: OnEvent | None = None) -> int:
        """Ask for something and return its job number.

        Parameters
        ----------
        request
            What to do.
        on_event
            Called in the main thread with every event of this job, until its end. Give a method of the widget that asked:
            events of a widget that was deleted meanwhile are dropped.

        Once the relay is closed nothing is done and 0 returned: a timer of a panel may still fire while the window closes.
        """
        if self._closed:
            return 0
        number = self._running().submit(request)
        if on_event is not None:  # no event can have been dispatched yet: that happens in this thread, later
            self._listeners[number] = on_event
        return number

    def cancel(self, job: int) -> None:
        """Ask a job to stop; its ``cancelled`` event follows."""
        if self._runner is not None:
            self._runner.cancel(job)

    def retry(self, job: int) -> int:
        """Submit the request of a failed or cancelled job again, for whoever asked first, and return the new job's number.

        Raises
        ------
        ValueError
            When it has not failed and was not cancelled, or that was too long ago.
        """
        if self._closed:
            return 0
        number = self._running().retry(job)
        if job in self._repeatable:
            self._listeners[number] = self._repeatable.pop(job)
        return number

    def close(self, timeout: float = 10.0) -> None:
        """Cancel all jobs, wait for the worker to end, then stop listening. Later events are dropped."""
        if self._closed:
            return
        self._closed = True
        if self._runner is not None:
            self._runner.close(timeout)
        self._arrived.disconnect(self._dispatch)
        self._listeners.clear()
        self._repeatable.clear()

    def _running(self) -> Runner:
        if self._runner is None:
            self._runner = self._start(self.deliver)
        return self._runner

    @Slot(object)
    def _dispatch(self, event: JobEvent) -> None:
        if self._closed:  # what was on its way arrives even at a signal that was disconnected meanwhile
            return
        listener = self._listeners.get(event.job)
        if event.ended:
            self._listeners.pop(event.job, None)
            if listener is not None and event.state != "done":
                self._repeatable[event.job] = listener
                while len(self._repeatable) > REPEATABLE:
                    del self._repeatable[next(iter(self._repeatable))]
        self.event.emit(event)
        if listener is None:
            return
        owner = getattr(listener, "__self__", None)
        if not isinstance(owner, QObject) or isValid(owner):
            listener(event)
