"""Commands: complete, without clashes, found by a part of their name, in the menus and in the manual."""

from __future__ import annotations

import pytest
from PySide6.QtGui import QAction

from widgets.commands import Command, Registry, fuzzy_score, normalise


def command(id: str = "file.open", title: str = "Open…", help: str = "Opens.", **more) -> Command:
    return Command(id, title, more.pop("run", lambda: None), help, **more)


def test_a_command_without_help_is_refused():
    with pytest.raises(ValueError, match=r"'file\.open' has no help text"):
        command(help="  ")


def test_a_shortcut_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"'Strg\+Q'"):
        command(shortcut="Strg+Q")


@pytest.mark.parametrize(
    ("typed", "normal"), [("ctrl+shift+p", "Ctrl+Shift+P"), ("F6", "F6"), ("Foo+Bar", ""), ("Ctrl+Del", "Ctrl+Del")]
)
def test_shortcuts_are_written_one_way(typed: str, normal: str):
    assert normalise(typed) == normal


def test_duplicates_are_refused_with_both_names():
    registry = Registry()
    registry.add(command(shortcut="Ctrl+O"))
    with pytest.raises(ValueError, match=r"already"):
        registry.add(command())
    with pytest.raises(ValueError, match=r"'b' wants Ctrl\+O, which 'file\.open' has"):
        registry.add(command("b", shortcut="ctrl+o"))


def test_a_near_miss_suggests_the_right_name():
    registry = Registry()
    registry.add(command("view.palette", "Command palette…"), command("file.export", "Export view…"))
    with pytest.raises(KeyError, match=r"did you mean 'file\.export'"):
        registry.find("file.exprot")
    assert registry.search("exprot") == []
    near = registry.near_miss("exprot viwe")
    assert near is not None and near.id == "file.export"
    assert registry.near_miss("zzzzzz") is None


def test_search_prefers_word_starts_and_runs():
    registry = Registry()
    registry.add(command("a", "Reset layout"), command("b", "Run analysis…"), command("c", "Close message"))
    assert registry.search("ra")[0].id == "b"
    assert [c.id for c in registry.search("lay")] == ["a"]
    assert len(registry.search("")) == 3
    assert fuzzy_score("oi", "Open image") > fuzzy_score("oi", "Choose initials")
    assert fuzzy_score("xyz", "Open image") == 0


def test_every_command_of_the_window_is_complete(make_window):
    window = make_window()
    commands = list(window.registry)
    assert len(commands) > 30
    for each in commands:
        assert each.help.strip().endswith("."), f"the help of {each.id} is no sentence: {each.help!r}"
        assert len(each.help) > 15, f"the help of {each.id} says nothing"
        assert each.menu, f"{each.id} is in no menu"
    actions = {action.objectName(): action for action in window.findChildren(QAction)}
    for each in commands:
        assert actions[each.id].shortcut().toString() == normalise(each.shortcut)


def test_the_manual_lists_every_command_and_panel(make_window):
    from widgets.manual import Manual, manual_page

    window = make_window()
    page = manual_page(window.registry, window.docks.entries)
    for each in window.registry:
        assert each.title.replace("&", "&amp;") in page
    for entry in window.docks.entries.values():
        assert entry.title in page
    window.registry.find("help.manual").run()
    shown = window.findChild(Manual)
    assert "Command palette" in shown.page.toPlainText()
    shown.field.setText("Problems")
    shown._find()
    assert shown.page.textCursor().selectedText() == "Problems"
    shown.close()


def test_menus_show_what_can_be_done_now(make_window, qtbot):
    window = make_window()
    menu = window.menus.menu("Edit")
    menu.aboutToShow.emit()
    states = {action.objectName(): action.isEnabled() for action in menu.actions()}
    assert not states["edit.undo"]
    assert states["edit.paste"]
    panels = window.menus.menu("View/Panels")
    panels.aboutToShow.emit()
    assert {a.objectName(): a.isChecked() for a in panels.actions()}["view.panel.jobs"]
