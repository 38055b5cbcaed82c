"""The line under a problem that writes its report, says how far it is, and opens the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QHBoxLayout, QMenu, QPushButton, QToolButton, QWidget

from widgets.elided_combo_box import ElidedComboBox
from widgets.elided_label import ElidedLabel
from widgets.theme import set_icon
from workbench.jobs.report_requests import AnswerProblem, DescribeReports, reports_of

if TYPE_CHECKING:
    from pathlib import Path

    from widgets.session import Session
    from workbench.jobs.job import JobEvent


class ProblemReport(QWidget):
    """Write and open reports of the problem that `show_problem` was given; hidden where there is none."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._known: dict[str, str] = {}
        self._problem = ""
        self._jobs: dict[str, int] = {}  # problem -> job that writes its report
        self._said: dict[str, str] = {}
        self._written: list[Path] = []  # of the problem shown, the newest first
        self.write = QPushButton("Report")
        set_icon(self.write, "run")
        menu = QMenu(self.write)
        for budget, text, tip in (
            ("quick", "Quick: some ten minutes at most", "Fewer images, layers and units; the report says what it could not have seen"),
            ("full", "Full: as long as it takes", "All layers and units, and more images; may take hours"),
        ):
            action = menu.addAction(text)
            action.setToolTip(tip)
            action.triggered.connect(lambda _checked=False, budget=budget: self.ask(budget))
        menu.setToolTipsVisible(True)
        self.write.setMenu(menu)
        self.write.setToolTip("Write a report of the problem")
        self.subject = ElidedComboBox(letters=8)
        self.subject.setAccessibleName("Networks of the report")
        self.subject.setToolTip("Which networks the report is about")
        self.subject.addItem("the bundled networks", "bundled")
        self.subject.addItem("the open network", "open")
        self.state = ElidedLabel("")
        self.state.setForegroundRole(self.state.palette().ColorRole.PlaceholderText)
        self.cancel = QToolButton(text="Cancel", toolTip="Stop writing the report")
        self.cancel.clicked.connect(lambda: session.relay.cancel(self._jobs.get(self._problem, 0)))
        self.open = QPushButton("Open", toolTip="Open the newest report of this problem in the browser")
        self.open.clicked.connect(self._open)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        for widget in (self.write, self.subject):
            row.addWidget(widget)
        row.addWidget(self.state, 1)
        row.addWidget(self.cancel)
        row.addWidget(self.open)
        self.hide()
        session.relay.submit(DescribeReports(), self._take_known)

    def show_problem(self, number: str) -> None:
        """Offer the reports of another problem."""
        self._problem = number
        self._written = reports_of(number)
        self._renew()

    def ask(self, budget: str) -> None:
        """Write a report about the networks chosen."""
        session, number = self._session, self._problem
        models: tuple[str, ...] = ()
        images = ""
        if self.subject.currentData() == "open":
            if session.model is None:
                session.inform("No network is open; open one, or choose the bundled networks.")
                return
            models = (session.model.ref,)
            images = session.images.ref if session.images is not None else ""
        self._said[number] = "waiting for its turn …"
        request = AnswerProblem(number, models, images, "full" if budget == "full" else "quick")
        self._jobs[number] = session.relay.submit(request, self._take)
        self._renew()

    def _take_known(self, event: JobEvent) -> None:
        if event.state == "failed":
            self._session.report(f"Which problems have a report could not be found out: {event.error}", event.details)
        elif event.state == "done":
            self._known = event.result  # type: ignore[assignment]
            self._renew()

    def _take(self, event: JobEvent) -> None:
        request = event.request
        assert isinstance(request, AnswerProblem)
        number = request.problem
        if event.state == "queued":  # asked here, or once more in the panel Jobs
            self._jobs[number] = event.job
        if self._jobs.get(number) != event.job:  # one that was asked for before
            return
        if event.state == "progress" and event.total:
            self._said[number] = f"{event.done / event.total:.0%}, {event.note}" if event.note else f"{event.done / event.total:.0%}"
        elif event.ended:
            del self._jobs[number]
            self._said[number] = {"done": "", "cancelled": "cancelled", "failed": event.error}[event.state]
            self._written = reports_of(self._problem)
            if event.state == "done":
                self._session.inform(f"The report of problem {number} is written.")
        if number == self._problem:
            self._renew()

    def _renew(self) -> None:
        number = self._problem
        self.setVisible(number in self._known)
        if number not in self._known:
            return
        running, written = number in self._jobs, self._written
        self.write.setEnabled(not running)
        self.write.setToolTip(f"{self._known[number]}: compute it and write it as one page")
        self.cancel.setVisible(running)
        self.open.setVisible(bool(written))
        last = f"last written {written[0].parent.name.replace('.', ':')}" if written else "not written yet"
        said = self._said.get(number)
        self.state.setText(last if not said else said if running else f"{said}; {last}")

    def _open(self) -> None:
        self._written = reports_of(self._problem)
        if self._written:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._written[0])))
        else:
            self._renew()
