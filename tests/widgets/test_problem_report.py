"""The line that writes a problem's report: what it asks for, what it says meanwhile, and what it opens."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtGui import QDesktopServices

from widgets.problem_report import ProblemReport
from workbench.jobs.report_requests import PAGE, AnswerProblem, DescribeReports


@pytest.fixture
def line(session, runner, qtbot, tmp_path, monkeypatch) -> ProblemReport:
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path))
    runner.answers[DescribeReports] = {"7.10": "How sparse weights are"}
    made = ProblemReport(session)
    qtbot.addWidget(made)
    made.resize(700, 40)
    made.show_problem("7.10")
    qtbot.waitUntil(made.isVisible)
    return made


def written(folder: Path) -> Path:
    page = folder / "reports" / "7.10" / "2026-11-28 14.00.00" / PAGE
    page.parent.mkdir(parents=True)
    page.write_text("<html></html>")
    return page


def test_it_is_there_only_for_problems_that_have_a_report(line) -> None:
    assert line.isVisible()
    line.show_problem("7.6")
    assert not line.isVisible()
    line.show_problem("7.10")
    assert line.isVisible() and line.state.text() == "not written yet" and not line.open.isVisible()


def test_a_report_is_asked_for_followed_and_opened(line, runner, qtbot, tmp_path, monkeypatch) -> None:
    line.ask("full")
    (job,) = (job for job, request in runner.requests.items() if isinstance(request, AnswerProblem))
    assert runner.requests[job] == AnswerProblem("7.10", (), "", "full")
    assert line.cancel.isVisible() and not line.write.isEnabled()
    runner.tell(job, "progress", done=1, total=4, note="weights")
    qtbot.waitUntil(lambda: line.state.text().startswith("25%"))
    page = written(tmp_path)
    runner.tell(job, "done", result=str(page))
    qtbot.waitUntil(line.open.isVisible)
    qtbot.waitUntil(line.write.isEnabled)
    assert "2026-11-28 14:00:00" in line.state.text()
    opened = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toLocalFile()))
    line.open.click()
    assert opened == [str(page)]


def test_it_is_about_the_open_network_when_that_is_chosen(line, session, runner, qtbot) -> None:
    line.subject.setCurrentIndex(line.subject.findData("open"))
    line.ask("quick")
    assert not [request for request in runner.requests.values() if isinstance(request, AnswerProblem)], "no network is open"
    session.open_model("test:small")
    qtbot.waitUntil(lambda: session.model is not None)
    line.ask("quick")
    (asked,) = (request for request in runner.requests.values() if isinstance(request, AnswerProblem))
    assert asked.models == ("test:small",)


def test_a_failure_is_said_and_another_problem_shows_its_own_state(line, runner, qtbot) -> None:
    line.ask("quick")
    (job,) = (job for job, request in runner.requests.items() if isinstance(request, AnswerProblem))
    line.show_problem("7.6")
    runner.tell(job, "failed", error="no network of that name")
    assert not line.isVisible()
    line.show_problem("7.10")
    qtbot.waitUntil(lambda: line.state.text() == "no network of that name; not written yet")
    assert line.write.isEnabled()
