"""Without a mouse and without eyes: what can be pressed or filled in says what it is and what it does, and is reached with Tab."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QHeaderView,
    QLineEdit,
    QPlainTextEdit,
    QScrollBar,
    QTabBar,
    QTextEdit,
    QWidget,
)

from widgets.keyboard import with_keyboard
from widgets.panels import PANELS
from workbench.analyses.analysis import Result
from workbench.jobs.requests import AnalysisCard, DescribeAnalyses
from workbench.models.layer import Unit

FIELDS = (QLineEdit, QComboBox, QAbstractSpinBox, QAbstractSlider, QAbstractItemView, QPlainTextEdit, QTextEdit)


def buttons(root: QWidget) -> list[QAbstractButton]:
    """Return the buttons that are ours, not those that Qt makes a field, tabs or a table of."""
    inner = (*FIELDS, QHeaderView, QTabBar)
    return [button for button in root.findChildren(QAbstractButton) if not isinstance(button.parent(), inner)]


def fields(root: QWidget) -> list[QWidget]:
    """Return what takes text or a choice, without the parts that Qt makes these of."""
    found = [widget for kind in FIELDS for widget in root.findChildren(kind)]
    skipped = (QScrollBar, QHeaderView)
    return [w for w in found if not isinstance(w, skipped) and not isinstance(w.parent(), FIELDS) and w.window() is root.window()]


def complaints(root: QWidget) -> list[str]:
    """Say what is missing in a part of the window."""
    missing = []
    for button in buttons(root):
        if isinstance(box := button.parent(), QDialogButtonBox) and box.standardButton(button) != box.StandardButton.NoButton:
            continue  # Close and Cancel say all there is to say
        name = button.accessibleName() or button.text()
        said = f"button {name or button.toolTip() or button.objectName()!r} of {type(button.parent()).__name__}"
        missing += [f"{said} has no accessible name"] * (not name) + [f"{said} has no tooltip"] * (not button.toolTip())
        missing += [f"{said} is not reached with Tab"] * (not button.focusPolicy() & Qt.FocusPolicy.TabFocus)
    for field in fields(root):
        said = f"{type(field).__name__} {field.accessibleName()!r} of {type(field.parent()).__name__}"
        missing += [f"{said} has no accessible name"] * (not field.accessibleName())
        missing += [f"{said} is not reached with Tab"] * (not field.focusPolicy() & Qt.FocusPolicy.TabFocus)
    return missing


@pytest.fixture
def window(make_window, qtbot):
    """The window with a network, images, a unit, an image of the user's and a note."""
    window = make_window()
    session = window.session
    qtbot.waitUntil(lambda: session.model is not None and session.images is not None)
    session.select_unit(Unit("blocks.1.act", 7))
    session.drop_image(np.zeros((8, 8, 3), np.uint8))
    return window


@pytest.mark.parametrize("id", PANELS)
def test_every_part_of_a_panel_has_a_name_and_is_reached_with_tab(window, id):
    window.docks.reveal(id)
    panel = window.docks.panel(id)
    assert buttons(panel) and fields(panel)
    assert complaints(panel) == []
    assert panel.isAncestorOf(with_keyboard(window))


def test_what_stands_around_the_panels_has_names(window):
    window.session.report("something", "and its details")
    assert complaints(window.messages) == []
    assert complaints(window.statusBar()) == []


def test_dialogs_and_windows_have_names(window, qtbot, runner):
    from widgets.analysis_dialog import AnalysisDialog
    from widgets.result_window import ResultWindow

    schema = {"properties": {"steps": {"type": "integer", "default": 16}, "layer": {"type": "string"}}}
    runner.answers[DescribeAnalyses] = (AnalysisCard("Steps", "Steps", "Counts.", schema, False),)
    result = ResultWindow(window.session, Result("Sweep", {"k": 3}, {}, {"units": 1}, {}), "Sweep", window)
    window.run_analysis()
    dialog = window.findChild(AnalysisDialog)
    qtbot.waitUntil(lambda: dialog.form is not None, timeout=30_000)  # pyqtgraph is imported
    window.go_to_unit()
    window.show_manual()
    found = [complaint for dialog in window.findChildren(QDialog) for complaint in complaints(dialog)]
    result.close()
    assert found == [], "\n".join(found)


def test_tab_leads_through_every_panel_and_shows_where_it_is(window, qtbot):
    for id in PANELS:
        window.docks.reveal(id)
        qtbot.wait(1)
    first = with_keyboard(window)
    walked: list[QWidget] = []
    while (at := with_keyboard(window)) is not first or not walked:
        walked += [at] * (at not in walked)
        qtbot.wait(1)
        panel = window.docks.current()
        assert panel is None or not panel.visibleRegion().isEmpty(), f"{panel.title} has the keyboard behind a tab"
        if isinstance(at, QAbstractButton | QComboBox | QLineEdit | QAbstractSlider):
            focused = at.grab().toImage()
            at.clearFocus()
            assert at.grab().toImage() != focused, f"{at.accessibleName()} does not show that it has the keyboard"
            at.setFocus(Qt.FocusReason.TabFocusReason)
        QTest.keyClick(at, Qt.Key.Key_Tab)
    for panel in window.docks.panels():
        parts = [w for w in (*buttons(panel), *fields(panel)) if w.isVisibleTo(panel) and w.isEnabled()]
        assert [w.accessibleName() or w.text() for w in parts if w not in walked] == []
