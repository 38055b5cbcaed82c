"""Comparing pinned units."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QToolButton

from widgets.panels.compare import MOST, ComparePanel
from workbench.jobs.example_requests import UnitExamples
from workbench.jobs.on_image_requests import UnitOnImage
from workbench.jobs.requests import LoadModel, Sweep
from workbench.jobs.thumbnail_requests import Thumbnails
from workbench.models.layer import Unit
from workbench.project import Project

UNIT = Unit("blocks.1.act", 9)
OTHER = Unit("blocks.1.act", 10)


def found(largest: float, images: int = 90) -> dict[str, object]:
    """What a sweep knows of a unit whose largest activation is `largest`."""
    return {
        "max_histogram": np.array([images - 1, 0, 1]),
        "max_histogram_edges": np.linspace(0, largest, 4),
        "top_values": np.linspace(largest, 1, 8),
        "top_images": np.zeros((8, 20, 20, 3), np.uint8),
        "top_names": tuple(f"animals/cat {i}.png" for i in range(8)),
    }


@pytest.fixture
def panel(session, runner, qtbot):
    made = ComparePanel(session)
    qtbot.addWidget(made)
    made.resize(900, 700)
    made.show()
    qtbot.waitExposed(made)
    session.open_model("test:small", layer=UNIT.layer)
    session.open_images("test:images")
    qtbot.waitUntil(lambda: session.model is not None and session.images is not None)
    session.select_unit(UNIT)
    return made


def answer(runner, qtbot, column, result) -> None:
    """End the column's newest question for examples."""
    job = max(
        job
        for job, request in runner.requests.items()
        if isinstance(request, UnitExamples) and request.purpose == f"compare {column._place}"
    )
    runner.tell(job, "done", result=result)
    qtbot.waitUntil(lambda: column._found == result)


def test_nothing_pinned_says_how_to_pin(panel):
    assert panel.invitation.isVisible() and not panel.scroll.isVisible()
    assert "Ctrl+K" in panel.invitation.text()


def test_a_pinned_unit_is_asked_for_beside_the_inspectors_requests(panel, runner):
    panel.pin_selected.click()
    assert not panel.invitation.isVisible()
    (examples,) = runner.asked(UnitExamples)
    assert (examples.model, examples.unit) == ("test:small", str(UNIT))
    assert examples.key != UnitExamples("test:small", "test:images", str(UNIT)).key
    assert [request.level for request in runner.asked(Thumbnails)] == ["coarse", "fine"]
    panel.pin("test:small", OTHER)
    assert len({request.key for request in runner.asked(UnitExamples)}) == 2


def test_histograms_share_their_axes_and_can_stop_doing_so(panel, runner, qtbot):
    panel.pin("test:small", UNIT)
    panel.pin("test:other", UNIT)
    first, second = panel.columns
    sweep = {"layer": UNIT.layer, "parameters": {"k": 8}}
    answer(runner, qtbot, first, found(2.0) | {"sweep": sweep})
    assert all("test:small" in view.recomputation.python() for view in panel.views()), "every figure says how to make it again"
    assert first.histogram.made_from["address"] == f"workbench:test:small#{UNIT}"
    assert 'arrays["blocks.1.act/max_histogram"][blocks_1_act_9]' in first.histogram.recomputation.python()
    answer(runner, qtbot, second, found(8.0, images=500))
    assert first.histogram._shared == second.histogram._shared == (0.0, 8.0, 499.0)
    assert first.histogram._range() == second.histogram._range()
    panel.same_scales.click()
    assert first.histogram._range() != second.histogram._range()
    assert [picture.caption for picture in first.examples.rows[0].pictures][:2] == ["2.00", "1.86"]


def test_a_layer_without_a_sweep_offers_one_and_follows_whoever_sweeps(panel, runner, qtbot):
    panel.pin("test:other", UNIT)
    (column,) = panel.columns
    job = max(job for job, request in runner.requests.items() if isinstance(request, UnitExamples))
    runner.tell(job, "done", result=None)
    qtbot.waitUntil(column.sweep.isVisible)
    assert "has not seen" in column.said.text()
    column.sweep.click()
    (sweep,) = runner.asked(Sweep)
    assert sweep == Sweep("test:other", "test:images", (UNIT.layer,))
    before = len(runner.asked(UnitExamples))
    runner.tell(max(runner.requests), "done", result=None)
    qtbot.waitUntil(lambda: len(runner.asked(UnitExamples)) == before + 1)
    assert column.sweep.isEnabled()


def test_the_same_unit_is_pinned_in_another_network(panel, runner, qtbot):
    panel.pin_current()
    qtbot.keyClicks(panel.reference, "test:small?step=110")
    qtbot.keyClick(panel.reference, Qt.Key.Key_Return)
    assert [(column.model, column.unit) for column in panel.columns] == [("test:small", UNIT), ("test:small?step=110", UNIT)]
    assert panel.reference.text() == ""
    panel.columns[1].name.click()
    qtbot.waitUntil(lambda: any(request.ref == "test:small?step=110" for request in runner.asked(LoadModel)))


def test_a_network_that_cannot_be_opened_says_so_in_its_column(panel, runner, qtbot):
    panel.pin("test:nowhere", UNIT)
    (column,) = panel.columns
    job = next(job for job, request in runner.requests.items() if isinstance(request, Thumbnails))
    runner.tell(job, "failed", error="no network test:nowhere")
    qtbot.waitUntil(lambda: column.said.text() == "no network test:nowhere")


def test_of_more_than_six_the_oldest_gives_way_and_one_is_not_pinned_twice(panel, session, qtbot):
    for index in range(MOST + 2):
        panel.pin("test:small", Unit(UNIT.layer, index))
    assert [column.unit.index for column in panel.columns] == list(range(2, MOST + 2))
    with qtbot.waitSignal(session.message):
        panel.pin("test:small", Unit(UNIT.layer, 5))
    assert len(panel.columns) == MOST


def test_your_image_is_marked_in_every_column(panel, session, runner, qtbot):
    panel.pin("test:small", UNIT)
    (column,) = panel.columns
    answer(runner, qtbot, column, found(2.0))
    session.drop_image(np.zeros((32, 32, 3), np.uint8))
    assert len(runner.asked(UnitOnImage)) == 1
    runner.tell(max(runner.requests), "done", result={"value": 1.5})
    qtbot.waitUntil(lambda: "marker" in column.histogram.data())
    assert float(column.histogram.data()["marker"]) == 1.5
    session.drop_image(None)
    assert "marker" not in column.histogram.data()


def test_pins_are_there_again(panel, session, runner, qtbot):
    panel.pin("test:small", UNIT)
    panel.pin("test:other", OTHER)
    state = panel.save_state()
    again = ComparePanel(session)
    qtbot.addWidget(again)
    again.restore_state(state)
    assert [(column.model, column.unit) for column in again.columns] == [("test:small", UNIT), ("test:other", OTHER)]
    first, _ = again.columns
    again.unpin(first)
    assert [column.unit for column in again.columns] == [OTHER]


def test_views_can_be_exported(panel, runner, qtbot):
    panel.pin("test:small", UNIT)
    (column,) = panel.columns
    assert panel.views() == []
    answer(runner, qtbot, column, found(2.0))
    assert panel.views() == [column.histogram, column.examples]
    assert column.histogram.provenance()["model"] == "test:small"


def test_a_hidden_panel_asks_when_it_is_shown_and_a_closed_column_stops(panel, session, runner, qtbot):
    panel.pin("test:small", UNIT)
    asked = len(runner.asked(UnitExamples))
    panel.hide()
    with qtbot.waitSignal(session.images_changed):
        session.open_images("test:more")
    session.drop_image(np.zeros((32, 32, 3), np.uint8))
    assert len(runner.asked(UnitExamples)) == asked and not runner.asked(UnitOnImage)
    panel.show()
    assert len(runner.asked(UnitExamples)) == asked + 1 and len(runner.asked(UnitOnImage)) == 1
    panel.unpin(panel.columns[0])
    qtbot.waitUntil(lambda: not any(isinstance(runner.requests[job], Thumbnails) for job in runner.open))


def test_a_cross_that_is_clicked_twice_takes_one_column_away(panel, qtbot):
    panel.pin("test:small", UNIT)
    panel.pin("test:small", OTHER)
    cross = next(button for button in panel.findChildren(QToolButton) if button.accessibleName() == f"Unpin {UNIT} of test:small")
    with qtbot.captureExceptions() as wrong:
        qtbot.mouseClick(cross, Qt.MouseButton.LeftButton)
        cross.click()
    assert not wrong
    assert [column.unit for column in panel.columns] == [OTHER]


def test_what_cannot_be_read_is_left_out_and_another_investigation_has_its_own_pins(panel, session):
    units = ({}, {"unit": "no unit"}, {"unit": str(UNIT)})
    panel.restore_state({"pins": [{"model": "test:small", **unit} for unit in units]})
    assert [column.unit for column in panel.columns] == [UNIT]
    session.project = Project()
    assert panel.columns == []
