"""The jobs panel: what is being computed, how far it is, what failed and why."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QPoint, Qt
from PySide6.QtGui import QAction, QGuiApplication, QKeySequence, QResizeEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QMenu,
    QProgressBar,
    QStackedLayout,
    QToolButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from widgets.docks import Panel
from widgets.job_log import JobRecord
from widgets.session import Session
from widgets.theme import icon, set_icon, signal_colour
from widgets.views.axes import count
from workbench.amounts import duration, rough_duration

JOB, PROGRESS, RATE, LEFT, NOTE = range(5)
HEADINGS = {
    "Job": "What was asked for; the newest is on top",
    "Progress": "How far it is, or how it ended",
    "Rate": "Steps per second over the last seconds: images, optimization steps or bytes, whatever the job counts in",
    "Time left": "Expected time to the end at this rate",
    "Now": "What is happening, or what went wrong",
}
WIDTHS = {PROGRESS: 138, RATE: 58, LEFT: 80}
"""Of the columns that hold figures, in pixels."""
MARGINS = 14
"""Pixels of the panel at the sides of the list and its frame."""
PICTURES = {
    "queued": "waiting",
    "running": "run",
    "progress": "run",
    "done": "done",
    "failed": "error",
    "cancelled": "cancel",
}


class JobsPanel(Panel):
    """Lists the jobs of this session with progress, rate and time left; cancels, retries, copies details, saves results."""

    id = "jobs"

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self._items: dict[int, QTreeWidgetItem] = {}
        self.list = QTreeWidget(  # of this panel from the start: Tab would skip what comes before the focus proxy
            self, columnCount=len(HEADINGS), rootIsDecorated=False, uniformRowHeights=True, allColumnsShowFocus=True
        )
        self.list.setAccessibleName("Jobs")
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.list.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.list.setHeaderLabels(list(HEADINGS))
        for column, tip in enumerate(HEADINGS.values()):
            self.list.headerItem().setToolTip(column, tip)
        header = self.list.header()
        header.setStretchLastSection(True)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        for column, width in WIDTHS.items():
            header.resizeSection(column, width)
        self.list.itemSelectionChanged.connect(self._refresh_actions)
        self.list.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.list.customContextMenuRequested.connect(self._open_menu)
        self.list.itemActivated.connect(self._show_result)

        self.cancel = self._action(
            "Cancel", "cancel", "Stop the selected jobs at their next step (Del)", self.cancel_selected
        )
        self.cancel.setShortcut(QKeySequence(QKeySequence.StandardKey.Delete))
        self.retry = self._action(
            "Retry", "retry", "Do the selected failed or cancelled jobs again", self.retry_selected
        )
        self.copy = self._action(
            "Copy details", "copy", "Copy what is known of the selected jobs, errors with traceback", self.copy_details
        )
        self.result = self._action(
            "Show result…", "analysis", "Look at the result of an analysis and save it (Enter)", self._show_result
        )
        self.result.setShortcuts([Qt.Key.Key_Return, Qt.Key.Key_Enter])
        self.clear = self._action(
            "Clear finished", "clear", "Take all jobs that have ended off the list", session.jobs.clear_ended
        )

        bar = QHBoxLayout()
        bar.setSpacing(2)
        for action in (self.cancel, self.retry, self.copy, self.result):
            bar.addWidget(self._button(action))
        bar.addStretch(1)
        bar.addWidget(self._button(self.clear))
        self._empty = QLabel(
            "Nothing has been computed yet.\nOpen a network in the panel Model, or start an analysis with Analysis › Run analysis (Ctrl+R)."
        )
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._empty.setWordWrap(True)
        self._empty.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._stack = QStackedLayout()
        self._stack.addWidget(self._empty)
        self._stack.addWidget(self.list)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 6)
        layout.setSpacing(4)
        layout.addLayout(bar)
        layout.addLayout(self._stack, 1)
        self.setFocusProxy(self.list)

        session.jobs.changed.connect(self._show_job)
        session.jobs.removed.connect(self._remove_job)
        for job in sorted(session.jobs.records):
            self._show_job(job)
        self._refresh_actions()

    def _action(self, text: str, picture: str, tip: str, run) -> QAction:
        action = QAction(text, self, toolTip=tip)
        action.setShortcutContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        set_icon(action, picture)
        action.triggered.connect(lambda: run())
        self.addAction(action)
        return action

    def _button(self, action: QAction) -> QToolButton:
        button = QToolButton(autoRaise=True)
        button.setDefaultAction(action)
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        return button

    # What is listed

    def _show_job(self, job: int) -> None:
        record = self.session.jobs.records[job]
        item = self._items.get(job)
        if item is None:
            item = self._items[job] = QTreeWidgetItem([record.event.request.title])
            item.setData(JOB, Qt.ItemDataRole.UserRole, job)
            item.setToolTip(JOB, record.event.request.title)
            for column in (RATE, LEFT):
                item.setTextAlignment(column, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            self.list.insertTopLevelItem(0, item)
            self._stack.setCurrentWidget(self.list)
        event = record.event
        if item.data(PROGRESS, Qt.ItemDataRole.UserRole) != event.state:
            item.setData(PROGRESS, Qt.ItemDataRole.UserRole, event.state)
            self._change_state(item, record)
            self._colour(item, record)
        if event.state in ("running", "progress"):
            bar = self.list.itemWidget(item, PROGRESS)
            bar.setRange(0, 1000 if event.total else 0)
            if event.total:
                bar.setValue(round(1000 * event.done / event.total))
                bar.setToolTip(f"{event.done:,.0f} of {event.total:,.0f}")
            item.setText(RATE, f"{count(event.rate) if event.rate >= 100 else format(event.rate, '.3g')}/s" if event.rate else "")
            item.setText(LEFT, rough_duration(event.seconds_left) if event.seconds_left is not None else "")
            item.setText(NOTE, event.note)
            item.setToolTip(NOTE, event.note)
        if event.ended:
            self._refresh_actions()

    def _change_state(self, item: QTreeWidgetItem, record: JobRecord) -> None:
        event = record.event
        if event.state in ("running", "progress"):
            if self.list.itemWidget(item, PROGRESS) is None:
                bar = QProgressBar(maximumHeight=14)
                bar.setAlignment(Qt.AlignmentFlag.AlignCenter)
                self.list.setItemWidget(item, PROGRESS, bar)
            item.setText(PROGRESS, "")
            return
        self.list.removeItemWidget(item, PROGRESS)
        item.setText(RATE, "")
        item.setText(LEFT, "")
        took = f" after {duration(record.seconds)}" if record.seconds is not None else ""
        item.setText(
            PROGRESS,
            {"queued": "waiting", "done": "done", "failed": "failed", "cancelled": "cancelled"}[event.state] + took,
        )
        item.setToolTip(PROGRESS, item.text(PROGRESS))
        item.setText(NOTE, event.error if record.result is None else "result: Enter")
        item.setToolTip(NOTE, event.error if record.result is None else "Enter or a double click shows the result")

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Share what room the figures leave between what was asked for and what comes of it."""
        super().resizeEvent(event)
        room = event.size().width() - MARGINS - sum(WIDTHS.values())
        self.list.header().resizeSection(JOB, room * 4 // 7)

    def changeEvent(self, event: QEvent) -> None:
        """Draw icons and errors again in the new colours."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange:
            for job, item in self._items.items():
                self._colour(item, self.session.jobs.records[job])

    def _colour(self, item: QTreeWidgetItem, record: JobRecord) -> None:
        item.setIcon(JOB, icon(PICTURES[record.event.state]))
        if record.event.state == "failed":
            for column in (PROGRESS, NOTE):
                item.setForeground(column, signal_colour("error", self.palette()))

    def _remove_job(self, job: int) -> None:
        item = self._items.pop(job, None)
        if item is not None:
            self.list.takeTopLevelItem(self.list.indexOfTopLevelItem(item))
        if not self._items:
            self._stack.setCurrentWidget(self._empty)
        self._refresh_actions()

    # What one can do

    def selected(self) -> list[JobRecord]:
        """Return the selected jobs; when none is selected, the only one that is listed."""
        items = self.list.selectedItems() or (list(self._items.values()) if len(self._items) == 1 else [])
        return [self.session.jobs.records[item.data(JOB, Qt.ItemDataRole.UserRole)] for item in items]

    def cancel_selected(self) -> None:
        """Ask the selected jobs to stop."""
        for record in self.selected():
            if not record.event.ended:
                self.session.relay.cancel(record.event.job)

    def retry_selected(self) -> None:
        """Do the selected failed or cancelled jobs again."""
        for record in self.selected():
            if record.event.state in ("failed", "cancelled"):
                try:
                    self.session.relay.retry(record.event.job)
                except ValueError as error:
                    self.session.report(str(error))

    def copy_details(self) -> None:
        """Copy title, state, error and traceback of the selected jobs."""
        texts = []
        for record in self.selected():
            event = record.event
            lines = [f"{event.request.title}: {event.state}", event.error, event.details, f"request: {event.request!r}"]
            texts.append("\n".join(line for line in lines if line))
        QGuiApplication.clipboard().setText("\n\n".join(texts))

    def _show_result(self) -> None:
        records = [record for record in self.selected() if record.result is not None]
        if records:
            from widgets.result_window import ResultWindow

            ResultWindow(self.session, records[0].result, records[0].event.request.title, self).show()

    def _open_menu(self, place: QPoint) -> None:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.addActions([self.cancel, self.retry, self.copy, self.result, self.clear])
        menu.popup(self.list.viewport().mapToGlobal(place))

    def _refresh_actions(self) -> None:
        records = self.selected()
        self.cancel.setEnabled(any(not record.event.ended for record in records))
        self.retry.setEnabled(any(record.event.state in ("failed", "cancelled") for record in records))
        self.copy.setEnabled(bool(records))
        self.result.setEnabled(any(record.result is not None for record in records))
        self.clear.setEnabled(any(record.event.ended for record in self.session.jobs.records.values()))
