"""The labels of a unit in the inspector: typing, changing, accepting and removing them, all of it undone; and labels as files."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QToolButton

from widgets.label_edit import export_labels, import_labels
from widgets.panels.inspector import InspectorPanel
from widgets.unit_card.labels import LabelLine, UnitLabels, known_of, told
from workbench.labels import Label, put
from workbench.models.layer import Unit
from workbench.project import Project

UNIT, OTHER = Unit("blocks.1.act", 9), Unit("blocks.1.act", 10)


@pytest.fixture
def labels(session, qtbot):
    """The widget, of unit 9 of an open network."""
    session.open_model("test:small", layer=UNIT.layer, unit=UNIT)
    qtbot.waitUntil(lambda: session.unit == UNIT)
    made = UnitLabels(session)
    qtbot.addWidget(made)
    made.resize(360, 200)
    made.me = "Ann"
    made.show_unit("test:small", UNIT)
    made.show()
    return made


def given(session, unit: Unit = UNIT) -> list[Label]:
    return session.project.labels.get("test:small", {}).get(str(unit), [])


def button(line: LabelLine, what: str) -> QToolButton:
    return next(one for one in line.findChildren(QToolButton) if one.accessibleName().startswith(what))


def type_label(labels, qtbot, name: str, sure: int | None = None, why: str = "") -> None:
    qtbot.keyClicks(labels.name, name)
    if sure is not None:
        labels.confidence.setValue(sure)
    qtbot.keyClicks(labels.evidence, why)
    qtbot.keyClick(labels.name, Qt.Key.Key_Return)


def test_a_name_and_enter_label_the_unit(labels, session, qtbot):
    assert not labels.save.isVisible() and not labels.variable.isVisible()
    qtbot.keyClicks(labels.name, "curve,  45°")
    assert labels.save.isVisible() and labels.confidence.isVisible(), "what else can be said shows while a name is typed"
    qtbot.keyClick(labels.name, Qt.Key.Key_Return)
    [label] = given(session)
    assert (label.name, label.confidence, label.author, label.evidence, label.kind) == ("curve, 45°", None, "Ann", "", "typed")
    assert labels.name.text() == "" and not labels.save.isVisible() and session.modified
    assert [line.label for line in labels.lines] == [label]
    assert labels.variable.full_text == "In code: curve_45"


def test_confidence_author_and_evidence_are_seen(labels, session, qtbot):
    type_label(labels, qtbot, "curve", 90, "all four seeds agree")
    [line] = labels.lines
    assert line.about.full_text == "90 % · Ann · all four seeds agree"
    assert "Confidence: 0.90" in line.name.toolTip() and "Because: all four seeds agree" in line.name.toolTip()
    type_label(labels, qtbot, "line")
    assert [label.name for label in given(session)] == ["curve", "line"] and given(session)[1].confidence is None
    type_label(labels, qtbot, "Curve", 40)
    assert [(label.name, label.confidence) for label in given(session)] == [("Curve", 0.4), ("line", None)], "the same label again"
    assert given(session)[0].evidence == "all four seeds agree"


def test_a_click_on_a_label_changes_it_and_keeps_what_the_fields_cannot_hold(labels, session, qtbot):
    curve, line = Label("curve", 0.934, "Bo", "two\nlines", created=5.0), Label("line", created=6.0)
    put(session.project.labels, "test:small", str(UNIT), [curve, line])
    session.touch()
    qtbot.mouseClick(labels.lines[0].name, Qt.MouseButton.LeftButton)
    assert (labels.name.text(), labels.confidence.value(), labels.author.text(), labels.evidence.text()) == ("curve", 93, "Bo", "two lines")
    assert labels.name.hasFocus() and labels.save.text() == "Save"
    qtbot.keyClicks(labels.name, "arc")
    qtbot.mouseClick(labels.save, Qt.MouseButton.LeftButton)
    assert given(session)[0] == Label("arc", 0.934, "Bo", "two\nlines", created=5.0)
    assert labels.author.text() == "Ann" and labels.save.text() == "Add", "the next one is the user's own again"
    qtbot.mouseClick(labels.lines[0].name, Qt.MouseButton.LeftButton)
    qtbot.keyClicks(labels.name, "x")
    qtbot.keyClick(labels.name, Qt.Key.Key_Escape)
    assert given(session)[0].name == "arc" and labels.name.text() == "" and labels.author.text() == "Ann"
    labels.edit(given(session)[0])
    labels.name.setText("LINE")
    labels.author.clear()
    labels.commit()
    assert [(label.name, label.created) for label in given(session)] == [("LINE", 5.0)], "what it is now the same as gives way"


def test_removing_and_accepting_are_taken_back(labels, session, qtbot):
    proposed = Label("line", 0.8, "AUROC", "AUROC .93 for style noto over 7,850 emoji", "proposed", 5.0)
    typed = Label("curve", created=6.0)
    put(session.project.labels, "test:small", str(UNIT), [proposed, typed])
    session.touch()
    first = labels.lines[0]
    assert first.about.full_text.startswith("proposed · 80 % · AUROC · AUROC .93")
    assert not any(one.accessibleName().startswith("Accept") for one in labels.lines[1].findChildren(QToolButton))
    assert labels.variable.full_text == "In code: curve"
    qtbot.mouseClick(button(first, "Accept"), Qt.MouseButton.LeftButton)
    assert given(session)[0] == Label("line", 0.8, "AUROC, Ann", "AUROC .93 for style noto over 7,850 emoji", "typed", 5.0)
    assert labels.variable.full_text == "In code: line"
    qtbot.mouseClick(button(labels.lines[1], "Remove"), Qt.MouseButton.LeftButton)
    assert [label.name for label in given(session)] == ["line"]
    for expected in ([("line", "typed"), ("curve", "typed")], [("line", "proposed"), ("curve", "typed")]):
        session.undo_stack.undo()
        assert [(label.name, label.kind) for label in given(session)] == expected
        assert [line.label for line in labels.lines] == given(session)
    session.undo_stack.redo()
    session.undo_stack.redo()
    assert [line.label.name for line in labels.lines] == ["line"]


def test_the_last_label_leaves_nothing_behind(labels, session, qtbot):
    type_label(labels, qtbot, "curve")
    qtbot.mouseClick(button(labels.lines[0], "Remove"), Qt.MouseButton.LeftButton)
    assert session.project.labels == {} and not labels.variable.isVisible()
    session.undo_stack.undo()
    session.undo_stack.undo()
    assert session.project.labels == {}


def test_ctrl_z_takes_back_letters_first_then_the_label(labels, session, qtbot):
    undo = (labels.name, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    type_label(labels, qtbot, "curve")
    qtbot.keyClicks(labels.name, "arc")
    qtbot.keyClick(*undo)
    assert labels.name.text() == "" and len(given(session)) == 1
    labels.name.setText("")
    qtbot.keyClick(*undo)
    assert given(session) == []


def test_enter_in_any_field_adds_and_another_unit_gets_nothing(labels, session, qtbot):
    qtbot.keyClicks(labels.name, "curve")
    labels.confidence.setFocus()
    labels.confidence.lineEdit().selectAll()
    qtbot.keyClicks(labels.confidence, "55")
    qtbot.keyClick(labels.confidence, Qt.Key.Key_Return)
    assert [(label.name, label.confidence) for label in given(session)] == [("curve", 0.55)]
    qtbot.keyClicks(labels.name, "half typed")
    labels.show_unit("test:small", OTHER)
    assert [label.name for label in given(session)] == ["curve", "half typed"] and given(session, OTHER) == [] and labels.lines == []


def test_another_project_brings_its_own_labels(labels, session, qtbot):
    type_label(labels, qtbot, "curve")
    labels.edit(given(session)[0])
    session.project = Project(labels={"test:small": {str(UNIT): [Label("line")]}})
    assert [line.label.name for line in labels.lines] == ["line"] and labels.name.text() == "" and not labels.save.isVisible()


def test_what_is_known_of_a_label_is_told():
    label = Label("curve", 0.5, "Ann", "seen\ntwice", "proposed", 0.0)
    assert known_of(label) == ["proposed", "50 %", "Ann", "seen twice"] and known_of(Label("x")) == []
    assert told(label) == "curve (proposed)\nConfidence: 0.50\nBy Ann\nBecause: seen\ntwice"


def test_the_command_labels_the_selected_unit(session, qtbot):
    panel = InspectorPanel(session)
    qtbot.addWidget(panel)
    panel.show()
    [command] = panel.commands()
    assert command.shortcut == "Ctrl+L" and not command.is_enabled()
    session.open_model("test:small", layer=UNIT.layer, unit=UNIT)
    qtbot.waitUntil(command.is_enabled)
    wanted = []
    session.panels_wanted.connect(wanted.append)
    command.run()
    assert wanted == [("inspector",)] and panel.labels.name.hasFocus()
    panel.labels.me = "Bo"
    other = InspectorPanel(session)
    qtbot.addWidget(other)
    other.restore_state(panel.save_state())
    assert other.labels.me == "Bo"


# Files


def test_a_table_is_imported_as_one_edit_and_says_what_was_left_out(labels, session, qtbot, tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("unit;label\nblocks.0.sum:3;curve\nblocks.1.act:64;beyond\nblocks.1.act:9;line\n", encoding="utf-8-sig")
    with qtbot.waitSignal(session.message) as said:
        import_labels(session, table)
    message = said.args[0]
    assert message.text == "labels.csv: labels: 2 new, 0 changed, 0 as they were, 1 complaint"
    assert message.details == "line 3: blocks.1.act:64 does not exist, blocks.1.act has units 0 to 63; left out"
    assert [label.name for label in given(session, Unit("blocks.0:add", 3))] == ["curve"]
    assert [line.label.name for line in labels.lines] == ["line"]
    assert session.undo_stack.count() == 1
    session.undo_stack.undo()
    assert session.project.labels == {} and labels.lines == []


def test_what_was_exported_is_imported_unchanged(labels, session, qtbot, tmp_path):
    type_label(labels, qtbot, "curve", 90, "seen")
    before = dict(session.project.labels)
    with qtbot.waitSignal(session.message) as said:
        export_labels(session, tmp_path / "a.csv")
    assert said.args[0].level == "info" and "1 labels" in said.args[0].text
    steps = session.undo_stack.count()
    with qtbot.waitSignal(session.message) as said:
        import_labels(session, tmp_path / "a.csv")
    assert said.args[0].text == "a.csv: labels: 0 new, 0 changed, 1 as they were" and said.args[0].level == "info"
    assert session.project.labels == before and session.undo_stack.count() == steps


def test_what_is_no_table_is_said(session, qtbot, tmp_path):
    for name, content in (("a.csv", b"dear reader"), ("none.csv", None)):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with qtbot.waitSignal(session.message) as said:
            import_labels(session, tmp_path / name)
        assert said.args[0].level == "error" and f"{name} could not be imported" in said.args[0].text
    with qtbot.waitSignal(session.message) as said:
        export_labels(session, tmp_path / "no folder" / "a.csv")
    assert "could not be written: No such file" in said.args[0].text
