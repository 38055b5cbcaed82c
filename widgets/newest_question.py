"""One question of a kind at a time, and of those that come meanwhile the newest: what is asked while something is dragged or drawn.

A question that was replaced by each movement of the mouse would never be answered while the mouse moves. Here each runs to its end, and
what came last meanwhile is asked then, so there are as many answers as the worker has time for and none is about a place long left. One
that failed or was cancelled and is tried again counts as long as nothing else is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

if TYPE_CHECKING:
    from widgets.relay import Relay
    from workbench.jobs.job import JobEvent, Request


class NewestQuestion(QObject):
    """Asks the worker; whoever asks tells by the request whether the answer is still wanted."""

    ended = Signal(object)
    """The last `JobEvent` of every question that was not forgotten."""

    def __init__(self, relay: Relay, parent: QObject) -> None:
        super().__init__(parent)
        self._relay = relay
        self._asked: Request | None = None
        self._waiting: Request | None = None
        self._lost: Request | None = None  # that failed or was cancelled last: it may be tried again in the panel Jobs
        self._job = 0

    @property
    def newest(self) -> Request | None:
        """What was asked last; None when everything is answered."""
        return self._waiting or self._asked

    def ask(self, request: Request) -> None:
        """Ask now, or in the place of whatever waits when the question under way is answered."""
        if self._asked is not None:
            self._waiting = request
            return
        self._asked = request
        self._job = self._relay.submit(request, self._take)

    def forget(self) -> None:
        """Want no answer any more."""
        asked, self._asked, self._waiting, self._lost = self._asked, None, None, None
        if asked is not None:
            self._relay.cancel(self._job)

    def _take(self, event: JobEvent) -> None:
        again = self._asked is None and event.request is self._lost
        if not event.ended or not (again or event.request is self._asked):
            return
        self._lost = None if event.state == "done" else event.request
        waiting, self._asked, self._waiting = self._waiting, None, None
        if waiting is not None:
            self.ask(waiting)  # first: the worker need not wait until the answer is painted
        self.ended.emit(event)
