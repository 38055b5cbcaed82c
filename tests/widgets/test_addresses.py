"""Addresses in the window: copied, pasted, followed from a note, opened from the command line; and what is copied of a view."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QMenu

from widgets.address_box import AddressBox
from widgets.address_text import AddressText, utf16
from widgets.app import parser
from widgets.clippings import UNKNOWN, Clippings
from widgets.result_window import ResultWindow
from workbench.address import Address
from workbench.analyses.analysis import Result
from workbench.jobs.example_requests import UnitExamples
from workbench.jobs.requests import LoadModel, OpenImages
from workbench.jobs.thumbnail_requests import Thumbnails
from workbench.labels import Label
from workbench.models.layer import Unit
from workbench.unit_families import Family

LAYER = "blocks.1.act"


def clipboard() -> str:
    return QGuiApplication.clipboard().text()


@pytest.fixture
def opened(session, qtbot):
    """A session with a network, images and a family."""
    session.open_model("test:small", layer=LAYER)
    session.open_images("test:images")
    qtbot.waitUntil(lambda: session.model is not None and session.images is not None)
    session.project.families["test:small"] = [Family("curves", LAYER, [9, 3])]
    return session


# Of what is selected


def test_a_layer_a_unit_several_and_a_family_have_addresses(opened):
    addresses = opened.addresses
    assert str(addresses.selected()) == "workbench:test:small#blocks.1.act"
    opened.select_unit(Unit(LAYER, 5))
    assert str(addresses.selected()) == "workbench:test:small#blocks.1.act:5"
    opened.select_together((7, 5))
    assert str(addresses.selected()) == "workbench:test:small#blocks.1.act:7,5"
    opened.select_family(LAYER, "curves")
    assert str(addresses.selected()) == "workbench:test:small#blocks.1.act:{curves}"
    opened.project.families.clear()
    assert str(addresses.selected()) == "workbench:test:small#blocks.1.act:9,3", "the family was deleted meanwhile"
    view = addresses.of_unit(Unit(LAYER, 5), "inspector.histogram")
    assert str(view) == "workbench:test:small#blocks.1.act:5&images=test:images&view=inspector.histogram"


def test_every_address_leads_back(opened):
    for select in (
        lambda: opened.select_unit(Unit(LAYER, 5)),
        lambda: opened.select_together((7, 5)),
        lambda: opened.select_family(LAYER, "curves"),
    ):
        select()
        address, before = opened.addresses.selected(), (opened.unit, opened.selection, opened.family)
        opened.select_layer("head")
        opened.addresses.go(Address.parse(str(address)))
        assert (opened.selection, opened.family) == before[1:] and opened.layer == LAYER


# Going there


def test_going_opens_the_network_and_the_images_that_are_not_open(opened, runner, qtbot):
    card, images = runner.answers[LoadModel], runner.answers[OpenImages]
    runner.answers[LoadModel] = lambda request: replace(card, ref=request.ref)
    runner.answers[OpenImages] = lambda request: replace(images, ref=request.ref)
    views = []
    opened.addresses.view_wanted.connect(views.append)
    with qtbot.waitSignal(opened.addresses.view_wanted):
        opened.addresses.open("workbench:test:other?seed=1#blocks.0.sum:4,2&images=test:more&view=inspector.histogram")
    assert (opened.model.ref, opened.layer, opened.unit, opened.selection) == (
        "test:other?seed=1",
        "blocks.0:add",
        Unit("blocks.0:add", 4),
        (4, 2),
    )
    qtbot.waitUntil(lambda: opened.images.ref == "test:more")
    assert views == ["inspector.histogram"]
    asked = len(runner.asked(LoadModel))
    opened.addresses.open("blocks.1.act:3")
    assert opened.unit == Unit(LAYER, 3) and len(runner.asked(LoadModel)) == asked, "a short one is of the network that is open"


def test_a_family_of_a_network_that_is_not_open_is_selected_in_it(opened, runner, qtbot):
    runner.answers[LoadModel] = replace(runner.answers[LoadModel], ref="test:other")
    opened.project.families["test:other"] = [Family("lines", "head", [4, 1])]
    with qtbot.waitSignal(opened.selection_changed, check_params_cb=lambda units: units == (4, 1)):
        opened.addresses.open("workbench:test:other#head:{Lines}")
    assert (opened.family, opened.unit) == ("lines", Unit("head", 4))


def test_a_short_address_waits_for_the_network_that_is_being_opened(session, qtbot):
    session.open_model("test:small")
    session.addresses.open("head:3")
    qtbot.waitUntil(lambda: session.unit == Unit("head", 3))


def test_python_code_is_not_run_by_an_address(opened, runner):
    asked = []
    opened.consent_needed.connect(lambda *what: asked.append(what))
    opened.addresses.open("workbench:python:/tmp/net.py:make#head:1")
    assert asked == [("python:/tmp/net.py:make", "head", Unit("head", 1))] and len(runner.asked(LoadModel)) == 1


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("head:10", "head:10 does not exist: head has units 0 to 9"),
        ("head:1,10", "head:10 does not exist: head has units 0 to 9"),
        ("hed:1", "no layer 'hed' in this model; did you mean head?"),
        ("hed", "no layer 'hed' in this model; did you mean head?"),
        ("head:{x}", "no family 'x' in head in this investigation"),
        ("head:", "'head:' names no unit; write layer:index, such as mixed3b:379"),
    ],
)
def test_what_is_not_there_is_said_and_nothing_changes(opened, qtbot, address, says):
    opened.select_unit(Unit(LAYER, 5))
    with qtbot.waitSignal(opened.message) as said:
        opened.addresses.open(address)
    assert said.args[0].text == says and (opened.unit, opened.selection) == (Unit(LAYER, 5), (5,))


def test_what_the_opened_network_does_not_have_is_said(opened, runner, qtbot):
    runner.answers[LoadModel] = replace(runner.answers[LoadModel], ref="test:other")
    with qtbot.waitSignal(opened.message) as said:
        opened.addresses.open("workbench:test:other#head:2,77")
    assert said.args[0].text == "head:77 does not exist: head has units 0 to 9"


def test_without_a_network_a_place_is_nowhere(session, qtbot):
    with qtbot.waitSignal(session.message) as said:
        session.addresses.open("head:3")
    assert said.args[0].text == "no network is open to go to head:3 in"


# In the window


@pytest.fixture
def window(make_window, qtbot, runner):
    runner.answers[Thumbnails] = lambda request: {
        unit: np.full((request.seeds, 16, 16, 3), 200, np.uint8) for unit in request.units
    }
    window = make_window()
    qtbot.waitUntil(lambda: window.session.model is not None and window.session.images is not None)
    window.session.select_unit(Unit(LAYER, 5))
    return window


def run(window, id: str) -> None:
    window.registry.find(id).run()


def test_the_shortcut_copies_the_selection_and_ctrl_g_takes_it_back(window, qtbot):
    session = window.session
    session.project.families["test:small"] = [Family("curves", LAYER, [9, 3])]
    session.select_family(LAYER, "curves")
    window.docks.reveal("neuron_grid")
    QTest.keyClick(window, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    assert clipboard() == "workbench:test:small#blocks.1.act:{curves}" and clipboard() in window.statusBar().currentMessage()
    session.select_layer("head")
    run(window, "model.unit")
    box = window.findChild(AddressBox)
    box.field.setText(clipboard())
    QTest.keyClick(box.field, Qt.Key.Key_Return)
    assert (session.family, session.selection) == ("curves", (9, 3)) and box.isHidden()
    run(window, "model.unit")
    box.field.setText("workbench:test:small#head:99")
    QTest.keyClick(box.field, Qt.Key.Key_Return)
    assert box.complaint.text() == "head:99 does not exist: head has units 0 to 9" and box.isVisible()
    box.close_overlay()


def test_a_view_with_the_keyboard_has_an_address_that_brings_it_into_sight(window, qtbot):
    inspector = window.docks.panel("inspector")
    qtbot.waitUntil(lambda: bool(inspector.visualizations.views()))
    inspector.visualizations.strip.setFocus()
    run(window, "edit.copy_address")
    assert clipboard() == "workbench:test:small#blocks.1.act:5&images=test:images&view=inspector.visualizations"
    for section in inspector.sections.values():
        section.open = False
    window.session.select_unit(Unit(LAYER, 6))
    window.docks.reveal("jobs")
    window.session.addresses.open(clipboard())
    assert window.session.unit == Unit(LAYER, 5) and inspector.visualizations.open and not inspector.distribution.open
    assert window.docks.current() is inspector
    with qtbot.waitSignal(window.session.message) as said:
        window.session.addresses.open("#head:1&view=kitchen.sink")
    assert "there is no panel 'kitchen'" in said.args[0].text


def test_what_grows_above_a_view_does_not_push_it_out_of_sight_until_the_user_scrolls(window, qtbot):
    inspector = window.docks.panel("inspector")
    bar = inspector.scroll.verticalScrollBar()
    window.session.addresses.open("#blocks.1.act:5&view=inspector.image")
    for height in (600, 1200):
        before = bar.maximum()
        inspector.examples.strip.setFixedHeight(height)
        qtbot.waitUntil(lambda before=before: bar.maximum() > before and not inspector.response.visibleRegion().isEmpty())
    bar.triggerAction(bar.SliderAction.SliderToMinimum)
    inspector.examples.strip.setFixedHeight(1500)
    qtbot.waitUntil(lambda: bar.maximum() > 900)
    qtbot.wait(20)
    assert bar.value() == 0 and inspector.response.visibleRegion().isEmpty()


def test_the_grid_says_which_units_its_sheet_shows(window):
    grid = window.docks.panel("neuron_grid")
    window.session.select_together((9, 3, 5))
    [sheet] = grid.views()
    assert Address.parse(sheet.provenance()["address"]) == Address("test:small", layer=LAYER, units=(9, 3, 5), view="neuron_grid")
    window.session.select_unit(Unit(LAYER, 5))
    [sheet] = grid.views()
    assert Address.parse(sheet.provenance()["address"]).units == sheet.units == grid.grid.visible_units()


def test_lines_are_copied_of_the_view_with_the_keyboard(window, qtbot, runner):
    window.session.project.labels["test:small"] = {f"{LAYER}:5": [Label("curve, 45°")]}
    window.session.touch()
    window.session.select_unit(Unit(LAYER, 6))
    window.session.select_unit(Unit(LAYER, 5))
    inspector = window.docks.panel("inspector")
    strip = inspector.visualizations.strip
    qtbot.waitUntil(lambda: strip.recomputation is not None and "steps=128" in strip.recomputation.python())
    run(window, "edit.copy_python")
    assert "curve_45 = 5  # blocks.1.act:5" in clipboard() and "negative=True" in clipboard() and "seeds=4" in clipboard()
    assert clipboard() == strip.provenance()["python"], "an exported figure says it too"
    run(window, "edit.copy_command")
    assert clipboard().count(" run FeatureVisualization --model test:small ") == 2
    window.docks.reveal("neuron_grid")
    window.session.select_together((5, 9))
    run(window, "edit.copy_python")
    assert "units=[curve_45, 9]" in clipboard() and "pictures = " in clipboard()
    inspector.response.image.setFocus()
    assert Clippings(window).view() is inspector.response.image
    with qtbot.waitSignal(window.session.message) as said:
        run(window, "edit.copy_python")
    assert said.args[0].text == f"{UNKNOWN}."


def test_lines_of_a_sweep_need_to_know_how_it_was_made(window, qtbot, runner):
    inspector = window.docks.panel("inspector")
    histogram = {"max_histogram": np.array([3, 1]), "max_histogram_edges": np.array([0.0, 1, 2]), "range_edges": np.array([0.0, 2])}
    found = {**histogram, "histogram": np.array([3, 1]), "histogram_edges": np.array([0.0, 1, 2]), "active_images": 1.0, "sparsity": 0.5}
    job = max(job for job in runner.open if isinstance(runner.requests[job], UnitExamples))
    sweep = {"layer": "blocks.1.act", "parameters": {"layers": ["stem.act", "blocks.1.act"], "k": 12}}
    runner.tell(job, "done", result=found | {"sweep": sweep})
    qtbot.waitUntil(lambda: bool(inspector.distribution.views()))
    lines = inspector.distribution.histogram.recomputation.python()
    assert 'DatasetExamples(layers=["blocks.1.act"], k=12).run(model, images=images)' in lines
    assert 'max_histogram = result.arrays["blocks.1.act/max_histogram"][blocks_1_act_5]' in lines
    inspector.distribution.show_found(found | {"sweep": {"layer": LAYER, "parameters": {}}})
    assert inspector.distribution.histogram.recomputation is None


def test_a_views_menu_copies_and_says_what_it_cannot(window, qtbot):
    inspector = window.docks.panel("inspector")
    qtbot.waitUntil(lambda: inspector.visualizations.strip.recomputation is not None)
    texts = {}
    for view in (inspector.visualizations.strip, inspector.distribution.histogram):
        menu = QMenu(view)
        view.fill_menu(menu)
        texts[view] = {action.text(): action for action in menu.actions()}
    strip, histogram = texts.values()
    strip["Copy address"].trigger()
    assert clipboard().endswith("&view=inspector.visualizations")
    strip["Copy as command"].trigger()
    assert " run FeatureVisualization " in clipboard()
    assert not histogram["Copy as Python"].isEnabled() and histogram["Copy as Python"].toolTip() == UNKNOWN


def test_a_result_offers_its_lines(window):
    given = {"model": "test:small", "images": None}
    dialog = ResultWindow(window.session, Result("FeatureVisualization", {"layer": LAYER, "units": [5]}, {}, {}, given), "x", window)
    other = ResultWindow(window.session, Result("FeatureVisualization", {}, {}, {}, {}), "x", window)
    actions = {action.text(): action for action in dialog.findChildren(QMenu)[0].actions()}
    actions["Copy as Python"].trigger()
    assert 'result = workbench.analyses.FeatureVisualization(layer="blocks.1.act", units=[5]).run(model)' in clipboard()
    assert not other.findChildren(QMenu)[0].actions()[0].isEnabled()
    for one in (dialog, other):
        one.reject()


# In notes


@pytest.fixture
def text(qtbot):
    text = AddressText()
    qtbot.addWidget(text)
    text.resize(600, 200)
    text.setPlainText("😀 See workbench:test:small#head:3, it is round.\nNothing here")
    text.show()
    return text


def place_of(text: AddressText, position: int):
    cursor = text.textCursor()
    cursor.setPosition(position)
    return text.cursorRect(cursor).center()


def test_an_address_in_a_text_is_a_link(text, qtbot):
    [link] = text.document().firstBlock().layout().formats()
    assert (link.start, link.length) == (utf16("😀 See "), len("workbench:test:small#head:3")) and link.format.fontUnderline()
    assert text.document().lastBlock().layout().formats() == []


def test_a_link_is_followed_with_ctrl(text, qtbot):
    inside, outside = place_of(text, 20), place_of(text, 45)
    assert text.address_at(inside) == "workbench:test:small#head:3" and text.address_at(outside) == ""
    followed = []
    text.followed.connect(followed.append)
    qtbot.mouseClick(text.viewport(), Qt.MouseButton.LeftButton, pos=inside)
    qtbot.mouseClick(text.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ControlModifier, outside)
    assert followed == []
    with qtbot.waitSignal(text.followed):
        qtbot.mouseClick(text.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ControlModifier, inside)
    cursor = text.textCursor()
    cursor.setPosition(20)
    text.setTextCursor(cursor)
    with qtbot.waitSignal(text.followed):
        qtbot.keyClick(text, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    assert followed == ["workbench:test:small#head:3"] * 2
    before = text.toPlainText()
    cursor.setPosition(len(before))
    text.setTextCursor(cursor)
    qtbot.keyClick(text, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    assert followed == ["workbench:test:small#head:3"] * 2


def test_a_note_leads_to_the_address_that_was_pasted_into_it(window, qtbot):
    window.docks.reveal("notes")
    notes = window.docks.panel("notes")
    window.session.project.families["test:small"] = [Family("curves", LAYER, [9, 3])]
    window.session.select_family(LAYER, "curves")
    notes.add_note()
    note = notes.current()
    assert (note.model, note.unit) == ("test:small", "blocks.1.act:{curves}"), "a note may be about a family"
    run(window, "edit.copy_address")
    notes.page.text.setFocus()
    notes.page.text.paste()
    assert note.text == "workbench:test:small#blocks.1.act:{curves}"
    window.session.select_unit(Unit("head", 1))
    notes.page.text.followed.emit(note.text)
    assert window.session.family == "curves"
    window.session.select_unit(Unit("head", 1))
    notes.page.go_to_unit()
    assert window.session.family == "curves"


# From the command line


def test_the_command_line_takes_addresses(capsys):
    address = Address("bundled:inception", layer="mixed3b", units=(7,))
    assert parser().parse_args([str(address)]).file == address
    assert parser().parse_args(["--open", "mixed3b:7"]).open == Address(layer="mixed3b", units=(7,))
    assert str(parser().parse_args(["some/folder"]).file) == "some/folder"
    for wrong in (["workbench:m#a:9-3"], ["--open", "mixed3b:"]):
        with pytest.raises(SystemExit) as left:
            parser().parse_args(wrong)
        assert left.value.code == 2
    assert "names no unit" in capsys.readouterr().err
