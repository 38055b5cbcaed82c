"""The notes panel: writing, linking, deleting, and taking all of it back."""

from __future__ import annotations

import time

import pytest
from PySide6.QtCore import Qt

from widgets.panels.notes import CHANGED, TITLE, UNIT, NotesPanel, first_line
from workbench.jobs.requests import LoadModel
from workbench.models.layer import Unit
from workbench.project import Note, Project


@pytest.fixture
def session(session, qtbot):
    with qtbot.waitSignal(session.model_changed):
        session.open_model("test:small")
    session.select_layer("stem.conv")
    return session


@pytest.fixture
def panel(session, qtbot):
    made = NotesPanel(session)
    qtbot.addWidget(made)
    made.resize(900, 320)
    made.show()
    return made


def titles(panel) -> list[str]:
    rows = [panel.list.topLevelItem(row) for row in range(panel.list.topLevelItemCount())]
    return [item.text(TITLE) for item in rows if not item.isHidden()]


def write(panel, qtbot, title: str, text: str = "") -> Note:
    panel.add_note()
    qtbot.keyClicks(panel.page.title, title)
    qtbot.keyClicks(panel.page.text, text)
    return panel.current()


def test_an_empty_panel_says_what_to_do(panel, qtbot):
    assert panel.empty.isVisible() and "Ctrl+Shift+N" in panel.empty.text()
    assert not panel.delete.isEnabled()
    panel.add.trigger()
    assert panel.page.isVisible() and panel.delete.isEnabled()
    assert panel.page.title.hasFocus()


def test_a_new_note_is_about_the_selected_unit(panel, session, qtbot):
    session.select_unit(Unit("stem.conv", 12))
    note = write(panel, qtbot, "Curves", "Rims of plates.")
    assert session.project.notes == [note]
    assert (note.title, note.text, note.model, note.unit) == ("Curves", "Rims of plates.", "test:small", "stem.conv:12")
    assert abs(note.changed - time.time()) < 60
    item = panel.list.topLevelItem(0)
    assert item.text(TITLE) == "Curves" and item.text(UNIT) == "stem.conv:12" and item.text(CHANGED)
    assert session.modified


def test_a_note_without_a_title_goes_by_its_first_line(panel, qtbot):
    write(panel, qtbot, "", "colour contrast")
    panel.add_note()
    assert titles(panel) == ["colour contrast", "Untitled"]
    assert first_line("\n  \n  a b \nc") == "a b" and first_line("\n ") == ""


def test_everything_is_taken_back_step_by_step_and_done_again(panel, session, qtbot):
    first = write(panel, qtbot, "one", "first text")
    write(panel, qtbot, "two", "second")
    panel.select(first)
    panel.delete_note()
    assert titles(panel) == ["two"]
    steps = []
    while session.undo_stack.canUndo():
        session.undo_stack.undo()
        steps.append([(note.title, note.text) for note in session.project.notes])
    assert steps == [
        [("one", "first text"), ("two", "second")],
        [("one", "first text"), ("two", "")],
        [("one", "first text"), ("", "")],
        [("one", "first text")],
        [("one", "")],
        [("", "")],
        [],
    ]
    assert panel.empty.isVisible()
    while session.undo_stack.canRedo():
        session.undo_stack.redo()
    assert titles(panel) == ["two"] and session.project.notes[0].text == "second"


def test_undoing_a_deletion_brings_the_note_back_and_shows_it(panel, session, qtbot):
    for title in ("a", "b", "c"):
        write(panel, qtbot, title)
    middle = session.project.notes[1]
    panel.select(middle)
    panel.list.setFocus()
    qtbot.keyClick(panel.list, Qt.Key.Key_Delete)
    assert titles(panel) == ["a", "c"] and panel.current().title == "c", "the next one is chosen"
    session.undo_stack.undo()
    assert titles(panel) == ["a", "b", "c"] and panel.current() is middle
    panel.select(session.project.notes[2])
    panel.delete_note()
    assert panel.current().title == "b", "the last one's place is taken by the one before"


def test_del_in_the_text_deletes_a_letter_not_the_note(panel, qtbot):
    note = write(panel, qtbot, "a", "xy")
    panel.page.text.setFocus()
    qtbot.keyClick(panel.page.text, Qt.Key.Key_Home)
    qtbot.keyClick(panel.page.text, Qt.Key.Key_Delete)
    assert note.text == "y" and titles(panel) == ["a"]


def test_ctrl_z_while_typing_goes_through_the_one_undo_stack(panel, session, qtbot):
    note = write(panel, qtbot, "a", "some text")
    panel.page.text.setFocus()
    qtbot.keyClick(panel.page.text, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert note.text == "" and panel.page.text.toPlainText() == ""
    qtbot.keyClick(panel.page.text, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert note.title == "" and titles(panel) == ["Untitled"]


def test_the_cursor_stays_while_typing_in_the_middle(panel, qtbot):
    note = write(panel, qtbot, "", "ab")
    qtbot.keyClick(panel.page.text, Qt.Key.Key_Left)
    qtbot.keyClicks(panel.page.text, "12")
    assert note.text == "a12b" and panel.page.text.textCursor().position() == 3


def test_typing_in_one_note_never_reaches_another(panel, session, qtbot):
    first = write(panel, qtbot, "one", "first")
    second = write(panel, qtbot, "two", "second")
    panel.select(first)
    qtbot.keyClicks(panel.page.title, "!")
    assert (first.title, second.title, first.text, second.text) == ("one!", "two", "first", "second")
    assert session.undo_stack.undoText() == "edit note: title"


def test_link_follow_and_unlink(panel, session, qtbot):
    note = write(panel, qtbot, "a")
    assert note.unit == "" and not panel.page.link.isEnabled() and not panel.page.unlink.isVisible()
    session.select_unit(Unit("stem.conv", 3))
    qtbot.mouseClick(panel.page.link, Qt.MouseButton.LeftButton)
    assert (note.model, note.unit) == ("test:small", "stem.conv:3")
    assert not panel.page.link.isVisible(), "it is linked to the selected unit already"
    session.select_unit(Unit("stem.conv", 14))
    assert panel.page.link.isVisible()
    panel.page.unit.linkActivated.emit("unit")
    assert session.unit == Unit("stem.conv", 3)
    qtbot.mouseClick(panel.page.unlink, Qt.MouseButton.LeftButton)
    assert note.unit == ""
    session.undo_stack.undo()
    assert note.unit == "stem.conv:3"


def test_following_a_link_opens_the_network_it_belongs_to(panel, session, runner):
    session.project = Project(notes=[Note("a", "", "timm:resnet50", "layer1.0:5"), Note("b", "", "test:small", "gone:1")])
    assert "timm:resnet50" in panel.page.unit.toolTip()
    panel.page.go_to_unit()
    assert runner.asked(LoadModel)[-1] == LoadModel("timm:resnet50", False)
    said = []
    session.message.connect(lambda message: said.append(message.text))
    panel.select(session.project.notes[1])
    panel.page.go_to_unit()
    assert said == ["no layer 'gone' in this model"]


def test_search_looks_at_title_text_and_unit(panel, session, qtbot):
    session.select_unit(Unit("stem.conv", 7))
    write(panel, qtbot, "Curves", "rims of plates")
    session.select_unit(None)
    write(panel, qtbot, "Colour", "orange and blue")
    for text, found in (("PLATES", ["Curves"]), ("stem.conv:7", ["Curves"]), ("blue orange", ["Colour"]), ("x", [])):
        panel.field.setText(text)
        assert titles(panel) == found
    panel.add_note()
    assert panel.field.text() == "" and len(titles(panel)) == 3, "a new note is never hidden"


def test_another_project_brings_its_own_notes(panel, session, qtbot):
    write(panel, qtbot, "old")
    session.project = Project(notes=[Note("new one", "text"), Note("new two")])
    assert titles(panel) == ["new one", "new two"] and panel.current().title == "new one"
    assert panel.page.text.toPlainText() == "text"
    session.project = Project()
    assert panel.empty.isVisible() and panel.page.note is None


def test_notes_are_saved_with_the_project(panel, session, qtbot, tmp_path):
    session.select_unit(Unit("stem.conv", 7))
    write(panel, qtbot, "Curves", "rims")
    saved = session.project.save(tmp_path / "a.workbench")
    session.project = Project()
    session.project = Project.load(saved)
    assert titles(panel) == ["Curves"] and panel.page.text.toPlainText() == "rims" and panel.page.note.unit == "stem.conv:7"


def test_the_panel_comes_back_as_it_was(panel, session, qtbot):
    session.project = Project(notes=[Note("a"), Note("b")])
    panel.select(session.project.notes[1])
    again = NotesPanel(session)
    qtbot.addWidget(again)
    again.restore_state(panel.save_state())
    assert again.current().title == "b"
    again.restore_state({"note": 7, "sizes": "x"})
    again.restore_state({})
    assert again.current().title == "b"


@pytest.mark.parametrize(("width", "dated"), [(400, False), (532, False), (900, True)])
def test_the_titles_keep_their_room_when_the_panel_is_narrow(panel, qtbot, width, dated):
    panel.resize(width, 230)
    qtbot.wait(1)
    assert panel.list.isColumnHidden(CHANGED) is not dated
    assert panel.list.header().sectionSize(TITLE) >= 90
