"""The problems panel: searching, filtering, reading, what the user sets, starting."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QPoint, QRect, Qt, QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QStylePainter

from widgets.panels import PANELS
from widgets.panels.problems import ProblemsPanel
from widgets.problem_page import name_of, panels_for
from widgets.problem_table import DIFFICULTY, NUMBER, STATUS, WORKING
from workbench import problems
from workbench.jobs.requests import AnalysisCard, DescribeAnalyses
from workbench.project import ProblemState, Project

SIZES = ((220, 200), (300, 300), (300, 700), (480, 240), (532, 230), (700, 220), (900, 500))


@pytest.fixture
def panel(session, qtbot):
    made = ProblemsPanel(session)
    qtbot.addWidget(made)
    made.resize(1000, 320)
    made.show()
    return made


def shown(panel) -> list[str]:
    return [panel.filter.index(row, NUMBER).data() for row in range(panel.filter.rowCount())]


def cell(panel, number: str, column: int) -> str:
    row = [problem.number for problem in panel.model.problems].index(number)
    return panel.model.index(row, column).data()


def test_all_problems_are_listed_in_order_and_sorted_by_any_column(panel):
    assert shown(panel) == [f"7.{n}" for n in range(1, 19)]
    panel.table.sortByColumn(DIFFICULTY, Qt.SortOrder.DescendingOrder)
    assert shown(panel)[0] == "7.6", "the one very hard problem"
    panel.table.sortByColumn(NUMBER, Qt.SortOrder.DescendingOrder)
    assert shown(panel)[:3] == ["7.18", "7.17", "7.16"] and shown(panel)[-1] == "7.1"


def test_searching_finds_words_anywhere_and_says_how_many(panel, qtbot):
    qtbot.keyClicks(panel.field, "Curve HAND")
    assert shown(panel) == ["7.4", "7.5", "7.11"]
    assert panel.count.text() == "3 of 18"
    panel.field.setText("gandelsman")
    assert shown(panel) == ["7.11", "7.12"], "authors of existing work are searched too"
    panel.field.setText("xylophone")
    assert shown(panel) == [] and panel.nothing.isVisible()
    panel.nothing.linkActivated.emit("clear")
    assert len(shown(panel)) == 18 and panel.table.isVisible() and panel.count.text() == "18 problems"


def test_filters_narrow_together(panel, session):
    panel.difficulty.setCurrentIndex(panel.difficulty.findData("B"))
    assert all(problems.find(number).difficulty == "B" for number in shown(panel)) and len(shown(panel)) == 8
    panel.sub_category.setCurrentIndex(panel.sub_category.findData(""))
    assert shown(panel) == ["7.15"]
    panel.difficulty.setCurrentIndex(0)
    assert shown(panel) == ["7.14", "7.15"]
    panel.sub_category.setCurrentIndex(0)
    panel.status.setCurrentIndex(panel.status.findData("started"))
    assert shown(panel) == []
    session.project.problems["7.7"] = ProblemState("started")
    session.touch()
    assert shown(panel) == ["7.7"], "a filter follows what is set"


def test_choosing_a_row_shows_its_page(panel):
    panel.select("7.10")
    text = panel.page.text.toPlainText()
    assert text.startswith("7.10  How sparse are the weights between neighbouring layers?\n")
    assert "printed as 7.1\n" in text and "B: medium" in text
    assert problems.find("7.10").text in text and "Panels  Weights" in text
    panel.select("7.12")
    assert "Not built yet: attention." in panel.page.text.toPlainText()
    panel.field.setText("phase")
    panel.select("7.2")
    assert len(shown(panel)) == 18, "filters that hide it are taken away"
    assert panel.current().number == "7.2"


def test_every_link_is_on_the_page_and_opens_in_the_browser(panel, monkeypatch):
    opened: list[str] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toString()))
    for problem in panel.model.problems:
        panel.select(problem.number)
        html = panel.page.text.toHtml()
        assert all(f'href="{link.url}"' in html for link in problem.existing_work)
    panel.page.text.anchorClicked.emit(QUrl("https://distill.pub/2020/circuits/zoom-in/"))
    assert opened == ["https://distill.pub/2020/circuits/zoom-in/"]
    assert panel.page.text.toPlainText() != "", "the page itself stays"


def test_what_the_user_sets_is_in_the_project_and_can_be_taken_back(panel, session, qtbot):
    panel.select("7.8")
    qtbot.keyClicks(panel.page.working, "Ada")
    qtbot.keyClicks(panel.page.help, "a sparse autoencoder")
    panel.page.status.setCurrentIndex(panel.page.status.findData("partly answered"))
    panel.page.status.activated.emit(panel.page.status.currentIndex())
    assert session.project.problems == {"7.8": ProblemState("partly answered", "Ada", "a sparse autoencoder")}
    assert session.modified
    assert cell(panel, "7.8", STATUS) == "partly answered" and cell(panel, "7.8", WORKING) == "Ada"
    assert session.undo_stack.count() == 3, "a word that was typed is one edit"
    session.undo_stack.undo()
    assert panel.page.status.currentData() == "open"
    session.undo_stack.undo()
    session.undo_stack.undo()
    assert session.project.problems == {} and panel.page.working.text() == "" and panel.page.help.text() == ""
    session.undo_stack.redo()
    assert panel.page.working.text() == "Ada" == session.project.problems["7.8"].currently_working


def test_ctrl_z_in_a_field_goes_through_the_one_undo_stack(panel, session, qtbot):
    panel.select("7.8")
    panel.page.working.setFocus()
    qtbot.keyClicks(panel.page.working, "Ada")
    qtbot.keyClick(panel.page.working, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert panel.page.working.text() == "" and session.project.problems == {}
    qtbot.keyClick(panel.page.working, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    assert panel.page.working.text() == "Ada"


def test_typing_after_a_pause_is_an_edit_of_its_own(panel, session, qtbot, monkeypatch):
    panel.select("7.8")
    qtbot.keyClicks(panel.page.working, "Ada")
    monkeypatch.setattr("widgets.project_edit.PAUSE", -1.0)
    qtbot.keyClicks(panel.page.working, "!")
    session.undo_stack.undo()
    assert panel.page.working.text() == "Ada"


def test_the_cursor_stays_while_typing_in_the_middle(panel, qtbot):
    panel.select("7.8")
    qtbot.keyClicks(panel.page.working, "Aa")
    panel.page.working.setCursorPosition(1)
    qtbot.keyClicks(panel.page.working, "d")
    assert panel.page.working.text() == "Ada" and panel.page.working.cursorPosition() == 2


def test_edits_stay_with_their_problem_when_another_is_chosen(panel, session, qtbot):
    panel.select("7.8")
    qtbot.keyClicks(panel.page.working, "Ada")
    panel.select("7.9")
    assert panel.page.working.text() == ""
    session.undo_stack.undo()
    assert session.project.problems == {} and cell(panel, "7.8", WORKING) == ""


def test_another_project_brings_its_own(panel, session):
    panel.select("7.3")
    session.project = Project(problems={"7.3": ProblemState("answered", "Grace", "none")})
    assert panel.page.working.text() == "Grace" and panel.page.status.currentData() == "answered"
    assert cell(panel, "7.3", STATUS) == "answered"


def test_starting_opens_what_is_built_and_names_what_is_not(panel, session, qtbot):
    wanted, said = [], []
    session.panels_wanted.connect(wanted.append)
    session.message.connect(lambda message: said.append((message.level, message.text)))
    panel.select("7.12")
    qtbot.mouseClick(panel.page.start, Qt.MouseButton.LeftButton)
    assert wanted == [("inspector", "model_loader")]
    assert said == [("info", "Problem 7.12: not built yet: attention.")]
    assert session.project.problems["7.12"].status == "started"
    session.undo_stack.undo()
    assert session.project.problems == {}
    panel.page.edit("status", "answered")
    panel.start_problem("7.12")
    assert session.project.problems["7.12"].status == "answered", "starting again does not reset it"


def test_starting_a_problem_that_is_not_there_says_which_there_are(panel, session):
    said, wanted = [], []
    session.message.connect(lambda message: said.append(message.text))
    session.panels_wanted.connect(wanted.append)
    panel.start_problem("7.19")
    assert said == ["there is no open problem '7.19'; they are numbered 7.1 to 7.18"] and wanted == []


def test_every_problem_opens_something_and_says_what_is_missing(panel):
    for problem in panel.model.problems:
        there, missing = panels_for(problem)
        assert there and not set(missing) & set(PANELS)
        panel.select(problem.number)
        text = panel.page.text.toPlainText()
        assert all(name_of(id) in text for id in missing) and all(PANELS[id].title in text for id in there)


def test_analyses_are_told_apart_from_those_to_be_written(session, runner, qtbot):
    cards = (AnalysisCard("FeatureVisualization", "Feature visualization", "", {}, False),)
    del runner.answers[DescribeAnalyses]
    panel = ProblemsPanel(session)
    qtbot.addWidget(panel)
    panel.select("7.8")
    assert "Analyses" not in panel.page.text.toPlainText(), "nothing is claimed before the worker has answered"
    (job,) = (job for job, request in runner.requests.items() if isinstance(request, DescribeAnalyses))
    runner.tell(job, "done", result=cards)
    qtbot.waitUntil(lambda: "Analyses" in panel.page.text.toPlainText())
    assert "Feature visualization. Not built yet: dataset examples and polysemanticity." in panel.page.text.toPlainText()


def test_starting_in_the_window_brings_the_panels_to_the_front(make_window, qtbot):
    window = make_window()
    for id in ("inspector", "model_loader"):
        window.docks.close(id)
    window.show_problem("7.2")
    assert all(window.docks.is_visible(id) for id in ("neuron_grid", "inspector", "model_loader"))
    assert "not built yet: attention" in window.messages.messages[-1].text
    assert window.docks.panel("problems").current().number == "7.2"
    window.show_problem("7.6")
    assert window.docks.is_visible("scrubbing"), "a panel that is closed at first"
    window.session.set_modified(False)


def test_enter_in_the_table_starts_and_arrows_lead_from_the_search_into_it(panel, session, qtbot):
    wanted = []
    session.panels_wanted.connect(wanted.append)
    panel.field.setFocus()
    qtbot.keyClick(panel.field, Qt.Key.Key_Down)
    assert panel.table.hasFocus()
    qtbot.keyClick(panel.table, Qt.Key.Key_Down)
    assert panel.current().number == "7.2"
    qtbot.keyClick(panel.table, Qt.Key.Key_Return)
    assert len(wanted) == 1 and session.project.problems["7.2"].status == "started"


def test_the_panel_comes_back_as_it_was(panel, session, qtbot):
    panel.select("7.6")
    panel.field.setText("curve")
    panel.difficulty.setCurrentIndex(panel.difficulty.findData("D"))
    state = panel.save_state()
    again = ProblemsPanel(session)
    qtbot.addWidget(again)
    again.restore_state(state)
    assert again.field.text() == "curve" and shown(again) == ["7.6"] and again.current().number == "7.6"
    again.restore_state({"problem": "9.9", "filters": ["x", 99], "columns": "äö", "sizes": [1, "2"], "search": ""})
    assert again.current().number in {f"7.{n}" for n in range(1, 19)}


def test_the_page_stands_below_the_table_where_it_is_narrow(panel, qtbot):
    assert panel.splitter.orientation() == Qt.Orientation.Horizontal
    panel.resize(400, 700)
    qtbot.waitUntil(lambda: panel.width() == 400)
    assert panel.splitter.orientation() == Qt.Orientation.Vertical


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_nothing_overlaps_or_is_squeezed_whatever_the_size(panel, qtbot, width, height):
    panel.select("7.8")  # its title takes two lines
    panel.resize(width, height)
    qtbot.wait(1)  # the page moves below the table, and what scrolls is laid out after that
    page = panel.page
    fields = (panel.field, panel.difficulty, panel.sub_category, panel.status, panel.table)
    fields += (page.text, page.status, page.working, page.help, page.start)
    places = [QRect(field.mapTo(panel.splitter, QPoint()), field.size()) for field in fields]
    for field, place in zip(fields, places, strict=True):
        least = field.minimumSizeHint()
        assert place.width() >= least.width() and place.height() >= least.height(), field.accessibleName()
        assert width < 300 or panel.width() >= place.right(), f"{field.accessibleName()} only by scrolling sideways"
        assert panel.splitter.rect().contains(place), field.accessibleName()
        assert not any(place.intersects(other) for other in places if other is not place), field.accessibleName()


def test_a_filter_too_narrow_for_its_text_ends_in_dots(panel, monkeypatch):
    drawn: list[str] = []
    monkeypatch.setattr(QStylePainter, "drawControl", lambda _painter, _control, option: drawn.append(option.currentText))
    panel.sub_category.resize(300, 26)
    panel.sub_category.grab()
    panel.sub_category.resize(90, 26)
    panel.sub_category.grab()
    assert drawn[0] == "Sub-category: any" and drawn[1].endswith("…") and drawn[1].startswith("Sub")


def test_the_command_is_one_of_the_registry(panel):
    [command] = panel.commands()
    assert command.id == "problems.start" and command.help and command.menu == "Analysis"
