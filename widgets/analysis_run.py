"""One analysis at a time that a panel runs when it is told to: the button that stops it, what is said meanwhile, its result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QPushButton

from widgets.buttons import push_button

if TYPE_CHECKING:
    from widgets.docks import Panel
    from workbench.jobs.job import JobEvent
    from workbench.jobs.requests import RunAnalysis


class AnalysisRun(QObject):
    """Asks for an analysis and takes what comes of it; a newer question replaces the older one, whose answer is not taken any more.

    Parameters
    ----------
    panel
        Whose session it asks.
    doing
        What is said of its progress where the analysis itself says nothing.
    tip
        Of the button that stops it.

    Attributes
    ----------
    cancel
        That button, shown while something is under way; the panel lays it out.
    request
        What was asked for last, until it is forgotten.
    """

    said = Signal(str, bool)
    """A line for the user, and whether something went wrong."""
    shown = Signal(object)
    """What can be shown already, as the analysis gives it."""
    done = Signal(object)
    """The result."""
    cancelled = Signal()
    """It has stopped before its end because it was told to; `said` says so before."""

    def __init__(self, panel: Panel, doing: str, tip: str) -> None:
        super().__init__(panel)
        self._relay, self._doing = panel.session.relay, doing
        self._job = 0
        self._start: QPushButton | None = None
        self.request: RunAnalysis | None = None
        self.cancel = push_button(panel, "Cancel", tip, self.stop)
        self.cancel.hide()

    def in_place_of(self, start: QPushButton) -> None:
        """Show the button that stops it in place of the one that starts it."""
        self._start = start

    @property
    def running(self) -> bool:
        """Whether an answer is awaited."""
        return not self.cancel.isHidden()

    def ask(self, request: RunAnalysis) -> None:
        """Ask for this, and for nothing that was asked for before."""
        self.forget()
        self.request = request
        self._swap(running=True)
        self.said.emit("Waiting for its turn …", False)
        self._job = self._relay.submit(request, self._take)

    def stop(self) -> None:
        """Cancel what is under way; that it was cancelled is said once it has stopped."""
        self._relay.cancel(self._job)

    def forget(self) -> None:
        """Cancel it if it is under way, and take nothing that still comes of it."""
        if self.running:
            self.stop()
        self.request = None
        self._swap(running=False)

    def _swap(self, running: bool) -> None:
        self.cancel.setVisible(running)
        if self._start is not None:
            self._start.setVisible(not running)

    def _take(self, event: JobEvent) -> None:
        if event.request is not self.request:  # of what was open before
            return
        if event.ended:
            self._swap(running=False)
        if event.partial is not None:
            self.shown.emit(event.partial)
        if event.state == "failed":
            self.said.emit(event.error, True)
        elif event.state == "cancelled":
            self.said.emit("Cancelled.", False)
            self.cancelled.emit()
        elif event.state == "progress" and event.total:
            self.said.emit(f"{event.note or self._doing}: {event.done / event.total:.0%}", False)
        elif event.state == "done":
            self.done.emit(event.result)
