"""What became of every job of this window, whether the jobs panel is open or not."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from widgets.relay import Relay

if TYPE_CHECKING:
    from workbench.analyses.analysis import Result
    from workbench.jobs.job import JobEvent

KEPT = 200
"""Ended jobs that stay listed."""


@dataclass
class JobRecord:
    """The last news of a job, without what it computed.

    Attributes
    ----------
    event
        Its last event; `partial` and `result` are taken out, so that they can be freed.
    began, ended
        Seconds on the monotonic clock; None while it has not.
    result
        What an analysis found, to be looked at and saved; None for all other jobs.
    """

    event: JobEvent
    began: float | None = None
    ended: float | None = None
    result: Result | None = None

    @property
    def seconds(self) -> float | None:
        """How long it ran."""
        return self.ended - self.began if self.began is not None and self.ended is not None else None


class JobLog(QObject):
    """Listens to the relay from the start.

    A quick answer to a gesture is no job to a user: interactive jobs are listed only when they fail.
    """

    changed = Signal(int)
    """A job is new, or there is news of it."""
    removed = Signal(int)

    def __init__(self, relay: Relay, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.records: dict[int, JobRecord] = {}
        relay.event.connect(self._take)

    def running(self) -> list[JobRecord]:
        """Return the jobs at work; the one that is worked on now is last."""
        return [record for record in self.records.values() if record.event.state in ("running", "progress")]

    def waiting(self) -> list[JobRecord]:
        """Return the jobs that wait for their turn."""
        return [record for record in self.records.values() if record.event.state == "queued"]

    def clear_ended(self) -> None:
        """Forget all jobs that have ended."""
        for job in [job for job, record in self.records.items() if record.event.ended]:
            self._remove(job)

    def _take(self, event: JobEvent) -> None:
        if event.request.lane == "interactive" and event.state != "failed":
            return
        record = self.records.get(event.job)
        if record is None:
            record = self.records[event.job] = JobRecord(event)
        now = time.monotonic()
        if event.state == "running":
            record.began = now
            self.records[event.job] = self.records.pop(event.job)  # the one that works now is last
        if event.ended:
            record.ended = now
            if hasattr(event.result, "figures"):
                record.result = event.result
        record.event = replace(event, partial=None, result=None)
        self.changed.emit(event.job)
        if event.ended:
            ended = [job for job, record in self.records.items() if record.event.ended]
            for job in ended[:-KEPT]:
                self._remove(job)

    def _remove(self, job: int) -> None:
        del self.records[job]
        self.removed.emit(job)
