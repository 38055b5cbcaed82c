"""Pinning views to notes, and the notes as a page."""

from __future__ import annotations

import base64
import json
import re

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QMenu

from widgets.panels.notes import NotesPanel
from widgets.pinned_figures import FigureDialog
from widgets.views.histogram import Histogram
from workbench.models.layer import Unit
from workbench.notes_page import notes_page, write_notes_page
from workbench.project import Figure, Note, Project


@pytest.fixture
def view(qtbot):
    made = Histogram()
    qtbot.addWidget(made)
    made.show_counts(
        np.arange(4), np.array([5, 2, 1]), title="Histogram of a:1", label="activation", made_from={"model": "test:small", "n": np.int64(8)}
    )
    return made


@pytest.fixture
def panel(session, qtbot):
    with qtbot.waitSignal(session.model_changed):
        session.open_model("test:small")
    session.select_unit(Unit("stem.conv", 3))
    made = NotesPanel(session)
    qtbot.addWidget(made)
    made.resize(900, 420)
    made.show()
    return made


def test_a_pinned_view_is_a_note_about_the_unit_with_its_provenance(panel, session, view):
    panel.pin(view)
    (note,) = session.project.notes
    assert (note.title, note.model, note.unit) == ("Histogram of a:1", "test:small", "stem.conv:3")
    (figure,) = note.figures
    assert figure.origin["model"] == "test:small" and figure.origin["n"] == 8
    image = QImage.fromData(session.project.arrays[figure.image].tobytes(), "PNG")
    assert (image.width(), image.height()) == (800, 460)
    assert panel.page.figures.count() == 1 and panel.page.figures.isVisible()
    assert panel.page.text.hasFocus()  # the comment is what comes next
    session.undo_stack.undo()
    assert session.project.notes == []
    session.undo_stack.redo()
    assert session.project.notes[0].figures == [figure]


def test_a_view_of_another_unit_is_a_note_about_that_one(panel, session, view):
    view.made_from = {"model": "test:other", "unit": "stem.conv:9"}
    panel.pin(view)
    (note,) = session.project.notes
    assert (note.model, note.unit) == ("test:other", "stem.conv:9")


def test_a_figure_is_taken_off_and_brought_back(panel, session, view, qtbot):
    panel.pin(view)
    panel.page.figures.setCurrentRow(0)
    panel.page.figures.setFocus()
    qtbot.keyClick(panel.page.figures, Qt.Key.Key_Delete)
    assert session.project.notes[0].figures == [] and not panel.page.figures.isVisible()
    session.undo_stack.undo()
    assert panel.page.figures.count() == 1


def test_a_figure_can_be_enlarged(panel, view, qtbot):
    panel.pin(view)
    panel.page.figures.enlarge(0)
    (dialog,) = panel.window().findChildren(FigureDialog)
    assert dialog.windowTitle() == "Histogram of a:1"
    dialog.close()


def test_notes_with_figures_are_saved_and_what_no_note_shows_is_let_go(panel, session, view, tmp_path):
    panel.pin(view)
    project = session.project
    project.save(tmp_path / "a.workbench")
    assert Project.load(tmp_path / "a.workbench") == project
    panel.delete_note()
    project.save(tmp_path / "a.workbench")
    assert project.arrays and Project.load(tmp_path / "a.workbench").arrays == {}


def test_the_menu_of_a_view_pins_it(make_window, view, qtbot):
    window = make_window()
    view.setParent(window.docks._docks["inspector"])
    menu = QMenu()
    qtbot.addWidget(menu)
    view.fill_menu(menu)
    next(action for action in menu.actions() if action.text() == "Pin to notes").trigger()
    assert [note.title for note in window.session.project.notes] == ["Histogram of a:1"]
    assert window.docks.is_visible("notes")


def test_pinning_without_a_view_says_so(make_window, qtbot):
    window = make_window()
    with qtbot.waitSignal(window.session.message) as told:
        window.pin_focused()
    assert "no view" in told.args[0].text


def test_the_page_holds_everything_and_nothing_of_it_is_code(tmp_path):
    png = np.frombuffer(b"\x89PNG not really", np.uint8)
    evil = "<script>alert(1)</script>"
    project = Project(model="bundled:inception", images="emoji", arrays={"figure 1": png})
    project.notes.append(
        Note(f"Curves {evil}", f"Line one.\n{evil}", "bundled:inception", "mixed3a:7", figures=[Figure(evil, "figure 1", {"k": evil})])
    )
    project.notes.append(Note(text="second, without a title", figures=[Figure("lost", "figure 2")]))
    page = write_notes_page(project, tmp_path / "n.html", "My notes").read_text(encoding="utf-8")
    assert page == notes_page(project, "My notes") or page.count("<article") == 2  # the minute may have changed
    assert evil not in page and page.count("&lt;script&gt;") == 6  # heading, contents, text, picture, caption, provenance
    (image,) = re.findall(r'src="data:image/png;base64,([^"]*)"', page)
    assert base64.b64decode(image) == png.tobytes()
    assert "mixed3a:7" in page and "bundled:inception" in page and "image is missing" in page
    assert "second, without a title</h2>" in page
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)  # nothing is fetched from anywhere


def test_the_window_writes_the_page(make_window, tmp_path, qtbot):
    window = make_window()
    window.session.project.notes.append(Note("Curves"))
    with qtbot.waitSignal(window.session.message) as told:
        window.write_notes(str(tmp_path / "notes.html"))
    assert "Curves" in (tmp_path / "notes.html").read_text(encoding="utf-8") and "notes.html" in told.args[0].text
    with qtbot.waitSignal(window.session.message) as told:
        window.write_notes(str(tmp_path / "nowhere" / "notes.html"))
    assert "cannot be written" in told.args[0].text
    assert json.dumps(told.args[0].level) == '"error"'
