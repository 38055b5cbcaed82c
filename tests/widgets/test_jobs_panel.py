"""The jobs panel: states, figures, cancel, retry, details, results; and what it knows of jobs from before it was open."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QProgressBar

from widgets.panels.jobs import JOB, LEFT, NOTE, PROGRESS, RATE, JobsPanel
from workbench.analyses.analysis import Result
from workbench.jobs.requests import ListSources, LoadModel, RunAnalysis


@pytest.fixture
def panel(session, qtbot):
    made = JobsPanel(session)
    qtbot.addWidget(made)
    made.resize(900, 250)
    made.show()
    return made


def row(panel, place: int = 0):
    return panel.list.topLevelItem(place)


def start(session, runner, **values) -> int:
    runner.answers.pop(RunAnalysis, None)
    return session.relay.submit(RunAnalysis("Sweep", values, "test:small"))


def test_progress_rate_and_time_left_are_shown(panel, session, runner, qtbot):
    assert panel._stack.currentWidget() is panel._empty
    job = start(session, runner)
    runner.tell(job, "running")
    runner.tell(job, "progress", done=300, total=1000, rate=12.5, seconds_left=56.0, note="layer 3")
    qtbot.waitUntil(lambda: panel.list.topLevelItemCount() == 1 and row(panel).text(NOTE) == "layer 3")
    assert panel._stack.currentWidget() is panel.list
    assert row(panel).text(JOB) == "Sweep of test:small"
    bar = panel.list.itemWidget(row(panel), PROGRESS)
    assert isinstance(bar, QProgressBar) and bar.value() == 300 and bar.toolTip() == "300 of 1,000"
    assert (row(panel).text(RATE), row(panel).text(LEFT)) == ("12.5/s", "56 s")
    runner.tell(job, "progress", done=600, total=1000, rate=1234.5)
    qtbot.waitUntil(lambda: row(panel).text(RATE) == "1,234/s")
    runner.tell(job, "done", result=None)
    qtbot.waitUntil(lambda: row(panel).text(PROGRESS).startswith("done after"))
    assert panel.list.itemWidget(row(panel), PROGRESS) is None
    assert row(panel).text(LEFT) == ""


def test_icons_and_errors_change_with_the_colours(panel, session, runner, qtbot, qapp):
    from widgets.theme import Theme, signal_colour

    theme = Theme(qapp, "light")
    job = start(session, runner)
    runner.tell(job, "failed", error="no")
    qtbot.waitUntil(lambda: row(panel) is not None and row(panel).text(NOTE) == "no")
    before = row(panel).icon(JOB).pixmap(16, 16).toImage()
    theme.choose("dark")
    qtbot.waitUntil(lambda: row(panel).foreground(NOTE).color() == signal_colour("error", qapp.palette()))
    assert row(panel).icon(JOB).pixmap(16, 16).toImage() != before
    theme.choose("light")


def test_unknown_totals_show_a_busy_bar(panel, session, runner, qtbot):
    job = start(session, runner)
    runner.tell(job, "progress", note="importing")
    qtbot.waitUntil(lambda: panel.list.topLevelItemCount() == 1 and row(panel).text(NOTE) == "importing")
    assert panel.list.itemWidget(row(panel), PROGRESS).maximum() == 0


def test_cancel_by_keyboard(panel, session, runner, qtbot):
    job = start(session, runner)
    runner.tell(job, "running")
    qtbot.waitUntil(lambda: panel.list.topLevelItemCount() == 1)
    panel.list.setFocus()
    panel.list.setCurrentItem(row(panel))
    assert panel.cancel.isEnabled() and not panel.retry.isEnabled()
    qtbot.keyClick(panel.list, Qt.Key.Key_Delete)
    qtbot.waitUntil(lambda: row(panel).text(PROGRESS).startswith("cancelled"))
    assert panel.retry.isEnabled() and not panel.cancel.isEnabled()


def test_a_failure_is_shown_copied_and_retried(panel, session, runner, qtbot):
    job = start(session, runner, k=3)
    runner.tell(job, "running")
    runner.tell(job, "failed", error="no layer 'x'", details="Traceback (most recent call last): x")
    qtbot.waitUntil(lambda: row(panel) is not None and row(panel).text(PROGRESS).startswith("failed"))
    assert row(panel).text(NOTE) == "no layer 'x'"
    row(panel).setSelected(True)
    panel.copy.trigger()
    copied = QGuiApplication.clipboard().text()
    assert "Sweep of test:small: failed" in copied and "Traceback" in copied and "'k': 3" in copied
    panel.retry.trigger()
    qtbot.waitUntil(lambda: panel.list.topLevelItemCount() == 2)
    assert runner.requests[2] is runner.requests[1]


def test_the_newest_is_on_top_and_finished_ones_are_cleared(panel, session, runner, qtbot):
    first, second = start(session, runner, n=1), start(session, runner, n=2)
    runner.tell(first, "done")
    qtbot.waitUntil(lambda: panel.clear.isEnabled() and panel.list.topLevelItemCount() == 2)
    assert row(panel).data(JOB, Qt.ItemDataRole.UserRole) == second
    panel.clear.trigger()
    assert panel.list.topLevelItemCount() == 1
    runner.tell(second, "cancelled")
    qtbot.waitUntil(lambda: panel.clear.isEnabled())
    panel.clear.trigger()
    assert panel._stack.currentWidget() is panel._empty


def test_quick_answers_are_no_jobs_unless_they_fail(panel, session, runner, qtbot):
    seen = []
    session.relay.event.connect(seen.append)
    session.relay.submit(ListSources())
    qtbot.waitUntil(lambda: bool(seen) and seen[-1].ended)
    assert panel.list.topLevelItemCount() == 0
    runner.answers[ListSources] = ValueError("no such source")
    session.relay.submit(ListSources("x:*"))
    qtbot.waitUntil(lambda: panel.list.topLevelItemCount() == 1)


def test_jobs_from_before_the_panel_was_open_are_listed(session, runner, qtbot):
    session.relay.submit(LoadModel("test:small"))
    qtbot.waitUntil(lambda: any(record.event.ended for record in session.jobs.records.values()))
    late = JobsPanel(session)
    qtbot.addWidget(late)
    assert row(late).text(JOB) == "Open test:small"
    assert row(late).text(PROGRESS).startswith("done")


def test_results_of_analyses_are_kept_for_looking_and_saving(panel, session, runner, qtbot, tmp_path):
    from widgets.result_window import ResultWindow

    result = Result(
        "Sweep", {"k": 3}, {"top": np.zeros((2, 3))}, {"units": {"dead": 1}, "share": 0.25}, {"model": "test:small"}
    )
    job = start(session, runner)
    runner.tell(job, "done", result=result)
    qtbot.waitUntil(lambda: row(panel) is not None and row(panel).text(PROGRESS).startswith("done"))
    assert session.jobs.records[job].event.result is None  # only the record's result keeps it
    panel.list.setCurrentItem(row(panel))
    from widgets.result_requests import DrawResult, SaveResult

    runner.answers[DrawResult] = {"figure": np.zeros((40, 60, 4), np.uint8)}
    runner.answers[SaveResult] = lambda request: request.folder
    panel.result.trigger()
    window = panel.findChild(ResultWindow)
    qtbot.waitUntil(lambda: window.figures.layout().count() >= 2)
    window.copy_summary()
    assert '"dead": 1' in QGuiApplication.clipboard().text()
    (tmp_path / "Sweep").mkdir()
    window.save(str(tmp_path))
    qtbot.waitUntil(lambda: window.said.text().startswith("Saved to"))
    assert window.said.text() == f"Saved to {tmp_path / 'Sweep-2'}"  # never over what is there
    window.close()


@pytest.mark.parametrize("key", [Qt.Key.Key_Return, Qt.Key.Key_Enter])
def test_enter_shows_the_result_and_says_so(panel, session, runner, qtbot, key):
    from widgets.result_window import ResultWindow

    job = start(session, runner)
    runner.tell(job, "done", result=Result("Sweep", {}, {}, {}, {}))
    qtbot.waitUntil(lambda: row(panel) is not None and row(panel).text(NOTE) == "result: Enter")
    panel.list.setFocus()
    panel.list.setCurrentItem(row(panel))
    qtbot.keyClick(panel.list, key)
    [window] = panel.findChildren(ResultWindow)
    window.close()


@pytest.mark.parametrize("width", [530, 690, 900])
def test_all_columns_are_in_sight_and_texts_end_in_dots(panel, session, runner, qtbot, width):
    job = start(session, runner)
    runner.tell(job, "failed", error="a sentence that says what went wrong, why, and what to do instead of that")
    qtbot.waitUntil(lambda: panel.list.topLevelItemCount() == 1)
    panel.resize(width, 200)
    qtbot.waitUntil(lambda: panel.width() == width)
    header = panel.list.header()
    assert header.length() <= panel.list.viewport().width()
    assert header.sectionSize(JOB) > header.sectionSize(NOTE) >= 90
    assert panel.list.textElideMode() == Qt.TextElideMode.ElideRight
    assert row(panel).toolTip(NOTE) == row(panel).text(NOTE)
