"""Families in the window: making, ordering, changing, deleting and selecting them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialogButtonBox, QMenu, QPushButton

from tests.widgets.conftest import CARD
from widgets.family_dialog import ANGLE, FamilyDialog
from widgets.panels.neuron_grid import NeuronGridPanel
from widgets.unit_card.membership import Membership
from workbench.jobs.requests import LoadModel
from workbench.labels import Label
from workbench.models.layer import Layer, Unit
from workbench.models.published_families import INCEPTION5H
from workbench.unit_families import Family

LAYER = "blocks.1.act"


@pytest.fixture
def panel(session, qtbot):
    """The panel Neurons with a layer whose units 5, 9 and 2 are called after angles."""
    panel = NeuronGridPanel(session)
    qtbot.addWidget(panel)
    panel.resize(700, 400)
    panel.show()
    session.open_model("test:small", layer=LAYER)
    qtbot.waitUntil(lambda: session.layer == LAYER)
    session.project.labels["test:small"] = {f"{LAYER}:{unit}": [Label(f"curve, {angle}°")] for unit, angle in ((5, 90), (9, 45), (2, -30))}
    session.touch()
    return panel


def dialog_of(panel) -> FamilyDialog:
    return panel.findChild(FamilyDialog)


def ok(dialog: FamilyDialog):
    return dialog.buttons.button(QDialogButtonBox.StandardButton.Ok)


def make(panel, session, qtbot, name: str, units: tuple[int, ...]) -> Family:
    session.select_unit(Unit(LAYER, units[0]))
    session.select_together(units)
    panel.commands()[0].run()
    dialog = dialog_of(panel)
    dialog.name.setText(name)
    with qtbot.waitSignal(dialog.destroyed):
        qtbot.mouseClick(ok(dialog), Qt.MouseButton.LeftButton)
    return session.project.families["test:small"][-1]


def test_a_family_is_made_of_the_selected_units_in_the_order_of_their_angles(panel, session, qtbot):
    command = panel.commands()[0]
    assert not command.is_enabled()
    session.select_unit(Unit(LAYER, 5))
    session.select_together((5, 9, 2))
    assert command.is_enabled()
    command.run()
    dialog = dialog_of(panel)
    assert (dialog.isVisible() and not dialog.isModal()) or dialog.isVisible()
    assert not ok(dialog).isEnabled() and dialog.said.text() == "Give the family a name."
    qtbot.keyClicks(dialog.name, "curve detectors")
    assert ok(dialog).isEnabled() and "blocks.1.act:{curve detectors}" in dialog.said.text()
    dialog.angles_from_labels()
    dialog.order_by_angle()
    assert dialog.units() == [2, 9, 5] and dialog.angles() == [-30.0, 45.0, 90.0]
    with qtbot.waitSignal(dialog.destroyed):
        qtbot.mouseClick(ok(dialog), Qt.MouseButton.LeftButton)
    assert session.project.families == {"test:small": [Family("curve detectors", LAYER, [2, 9, 5], [-30.0, 45.0, 90.0])]}
    assert (session.family, session.selection, session.unit) == ("curve detectors", (2, 9, 5), Unit(LAYER, 2))
    session.undo_stack.undo()
    assert session.project.families == {}
    session.undo_stack.redo()
    assert len(session.project.families["test:small"]) == 1


def test_units_are_moved_and_removed_and_angles_typed(panel, session, qtbot):
    session.select_unit(Unit(LAYER, 1))
    session.select_together((1, 2, 3, 4))
    panel.commands()[0].run()
    dialog = dialog_of(panel)
    dialog.name.setText("x")
    first = dialog.list.topLevelItem(0)
    dialog.list.setCurrentItem(first)
    dialog.move(-1)
    assert dialog.units() == [1, 2, 3, 4], "it is the first"
    dialog.move(1)
    dialog.list.topLevelItem(2).setSelected(True)
    dialog.move(1)
    assert dialog.units() == [2, 4, 1, 3] and dialog.list.currentItem() is first
    dialog.spread(180)
    assert dialog.angles() == [0.0, 45.0, 90.0, 135.0]
    dialog.spread(1)
    dialog.list.clearSelection()
    dialog.list.topLevelItem(1).setSelected(True)
    dialog.remove_chosen()
    assert dialog.units() == [2, 1, 3] and dialog.angles() == [0.0, 0.5, 0.75]
    first.setText(ANGLE, "steep")
    assert not ok(dialog).isEnabled() and dialog.said.text() == "The angle of unit 1 is not a number of degrees: steep"
    dialog.order_by_angle()
    assert dialog.units() == [2, 1, 3]
    first.setText(ANGLE, "−22,5 °")
    dialog.list.topLevelItem(2).setText(ANGLE, "")
    assert dialog.family() == Family("x", LAYER, [2, 1, 3], [0.0, -22.5, None])
    dialog.reject()
    assert session.project.families == {}


def test_a_name_that_is_taken_is_said(panel, session, qtbot):
    make(panel, session, qtbot, "curves", (5, 9))
    session.select_together((2, 3))
    panel.commands()[0].run()
    dialog = dialog_of(panel)
    qtbot.keyClicks(dialog.name, "CURVES")
    assert not ok(dialog).isEnabled() and dialog.said.text() == "There is a family curves in blocks.1.act already."
    dialog.accept()
    assert len(session.project.families["test:small"]) == 1
    dialog.reject()


def test_a_family_is_renamed_and_deleted_and_both_are_taken_back(panel, session, qtbot):
    curves = make(panel, session, qtbot, "curves", (5, 9))
    _, change, delete = panel.commands()
    assert change.is_enabled() and delete.is_enabled()
    change.run()
    dialog = dialog_of(panel)
    assert dialog.name.text() == "curves" and dialog.units() == [5, 9]
    dialog.name.setText("Curves")
    dialog.accept()
    assert session.project.families["test:small"] == [Family("Curves", LAYER, [5, 9])] and session.family == "Curves"
    delete.run()
    assert session.project.families == {} and session.family == "" and session.selection == (5, 9) and not delete.is_enabled()
    session.undo_stack.undo()
    session.undo_stack.undo()
    assert session.project.families["test:small"] == [curves]


def test_the_menu_lists_families_and_adds_units_to_them(panel, session, qtbot):
    menu = panel.family_menu
    menu.fill()
    texts = [action.text() for action in menu.actions()]
    assert texts[0] == "No families yet" and "Make a family…" in texts
    make(panel, session, qtbot, "curves", (5, 9))
    session.project.families["test:small"].append(Family("lines", "stem.act", [1]))
    session.select_unit(Unit(LAYER, 3))
    session.select_together((3, 9))
    menu.fill()
    actions = {action.text(): action for action in menu.actions()}
    assert not actions["curves (2)"].isChecked()
    actions["Add 1 unit to curves…"].trigger()
    dialog = dialog_of(panel)
    assert dialog.units() == [5, 9, 3]
    dialog.accept()
    assert session.project.families["test:small"][0].units == [5, 9, 3] and session.family == "curves"
    menu.fill()
    actions = {action.text(): action for action in menu.actions()}
    assert actions["curves (3)"].isChecked()
    [other] = actions["In other layers"].menu().actions()
    other.trigger()
    assert (session.layer, session.family) == ("stem.act", "lines")


def test_the_buttons_open_their_menus_and_wait_for_nobody(panel, session, qtbot):
    qtbot.mouseClick(panel.tools.families, Qt.MouseButton.LeftButton)
    assert panel.family_menu.isVisible() and panel.family_menu.actions()
    panel.family_menu.close()
    session.select_together((5, 9))
    panel.commands()[0].run()
    dialog = dialog_of(panel)
    [angles] = [button for button in dialog.findChildren(QPushButton) if button.accessibleName() == "Angles"]
    qtbot.mouseClick(angles, Qt.MouseButton.LeftButton)
    [menu] = dialog.findChildren(QMenu)
    assert menu.isVisible()
    menu.actions()[1].trigger()
    menu.close()
    assert dialog.angles() == [0.0, 180.0]
    dialog.reject()


def test_a_family_that_the_network_does_not_have_whole_is_said(panel, session, qtbot):
    session.project.families["test:small"] = [Family("beyond", LAYER, [5, 64])]
    panel.family_menu.fill()
    with qtbot.waitSignal(session.message) as said:
        panel.family_menu.actions()[0].trigger()
    assert "blocks.1.act:64 does not exist" in said.args[0].text and session.family == ""


def test_the_inspector_names_the_families_of_the_unit(panel, session, qtbot):
    lines = Membership(session)
    qtbot.addWidget(lines)
    session.project.families["test:small"] = [Family("curves", LAYER, [9, 5], [45.0, None]), Family("all", LAYER, [5, 6])]
    session.select_unit(Unit(LAYER, 5))
    assert [button.text() for button in lines.buttons] == ["curves", "all"]
    qtbot.mouseClick(lines.buttons[0], Qt.MouseButton.LeftButton)
    assert (session.family, session.selection) == ("curves", (9, 5))
    assert [button.text() for button in lines.buttons] == ["curves"] and not lines.isHidden()
    session.select_unit(Unit(LAYER, 1))
    assert lines.buttons == [] and lines.isHidden()


def test_a_family_in_print_is_taken_over_selected_and_undone(session, runner, qtbot):
    layer = Layer("mixed3b", "cat", (480, 28, 28), 0)
    runner.answers[LoadModel] = replace(CARD, origin=INCEPTION5H, layers=(layer, *CARD.layers))
    panel = NeuronGridPanel(session)
    qtbot.addWidget(panel)
    session.open_model("test:small", layer="mixed3b")
    qtbot.waitUntil(lambda: session.layer == "mixed3b")
    panel.family_menu.fill()
    shown = panel.family_menu.actions()
    menu = next(action.menu() for action in shown if action.text() == "In print")
    offered = menu.actions()
    action = next(action for action in offered if action.text().startswith("Curves"))
    assert "2020" in action.toolTip()
    action.trigger()
    (family,) = session.project.families["test:small"]
    assert 379 in family.units and session.family == family.name and session.selection == tuple(family.units)
    action.trigger()
    assert len(session.project.families["test:small"]) == 1, "once is enough"
    session.undo_stack.undo()
    assert session.project.families == {}


def test_other_networks_have_nothing_in_print(panel):
    panel.family_menu.fill()
    assert "In print" not in [action.text() for action in panel.family_menu.actions()]
