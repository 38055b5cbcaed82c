"""The units that one image drives, as an order of the grid."""

from __future__ import annotations

import numpy as np
import pytest

from widgets.image_ranking import PERCENTILE
from widgets.panels.neuron_grid import NeuronGridPanel
from workbench.analyses.analysis import Result
from workbench.jobs.on_image_requests import UnitsOnImage

PICTURE = np.full((20, 30, 3), 90, np.uint8)


@pytest.fixture
def panel(session, runner, qtbot):
    made = NeuronGridPanel(session)
    qtbot.addWidget(made)
    made.resize(700, 400)
    made.show()
    session.open_model("test:small", layer="stem.act")
    session.open_images("test:images")
    qtbot.waitUntil(lambda: session.model is not None and session.images is not None)
    return made


def is_offered(panel) -> bool:
    return panel.sort.model().item(panel.sort.findData(PERCENTILE)).isEnabled()


def answer(runner, percentile: np.ndarray) -> None:
    job = max(job for job, request in runner.requests.items() if isinstance(request, UnitsOnImage))
    runner.tell(job, "done", result=Result("UnitsOfImage", {}, {"percentile": percentile}, {"images": 100}))


def test_the_order_is_offered_with_an_image_and_asked_for_when_it_is_chosen(panel, session, runner, qtbot):
    assert not is_offered(panel)
    session.drop_image(PICTURE)
    assert is_offered(panel) and not runner.asked(UnitsOnImage)
    panel.sort.setCurrentIndex(panel.sort.findData(PERCENTILE))
    (request,) = runner.asked(UnitsOnImage)
    assert (request.layer, request.images) == ("stem.act", "test:images") and request.image is PICTURE
    percentile = np.zeros(16, np.float32)
    percentile[[3, 11]] = 0.5, 0.99
    answer(runner, percentile)
    qtbot.waitUntil(lambda: panel.grid.units[:2] == (11, 3))
    assert "percentile on your image" in panel.grid.value_name and "n = 100" in panel.summary.full_text
    assert len(runner.asked(UnitsOnImage)) == 1


def test_another_image_or_layer_is_another_ranking(panel, session, runner, qtbot):
    session.drop_image(PICTURE)
    panel.sort.setCurrentIndex(panel.sort.findData(PERCENTILE))
    answer(runner, np.linspace(0, 1, 16, dtype=np.float32))
    qtbot.waitUntil(lambda: panel.grid.units[0] == 15)
    session.drop_image(PICTURE.copy())
    assert len(runner.asked(UnitsOnImage)) == 2
    session.select_layer("blocks.0.act")
    assert runner.asked(UnitsOnImage)[-1].layer == "blocks.0.act"
    session.drop_image(None)
    assert panel.sort.currentIndex() == 0 and not is_offered(panel)


def test_what_goes_wrong_stands_below_the_grid(panel, session, runner, qtbot):
    session.drop_image(PICTURE)
    panel.sort.setCurrentIndex(panel.sort.findData(PERCENTILE))
    job = next(job for job, request in runner.requests.items() if isinstance(request, UnitsOnImage))
    runner.tell(job, "failed", error="too few images")
    qtbot.waitUntil(lambda: "too few images" in panel.summary.full_text)
    assert len(runner.asked(UnitsOnImage)) == 1


def test_a_region_is_ranked_and_copied(panel, session, runner, qtbot, monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path))
    session.drop_image(PICTURE)
    session.ranking_wanted.emit()
    assert panel.sort.currentData() == PERCENTILE
    answer(runner, np.linspace(0, 1, 16, dtype=np.float32))
    qtbot.waitUntil(lambda: panel.grid.units[0] == 15)
    box = (0.25, 0.0, 0.75, 0.5)
    session.look_at_region(box)
    assert runner.asked(UnitsOnImage)[-1].region == box
    answer(runner, np.linspace(1, 0, 16, dtype=np.float32))
    qtbot.waitUntil(lambda: "region against n = 100" in panel.summary.full_text)
    assert panel.grid.units[0] == 0
    (sheet,) = panel.views()
    lines = sheet.recomputation.python()
    assert "region=[0.25, 0.0, 0.75, 0.5]" in lines and 'percentile = ranking.arrays["percentile"]' in lines
    assert f'file="{tmp_path}' in lines and "--images test:images" in sheet.recomputation.command()
    session.look_at_region(None)
    assert runner.asked(UnitsOnImage)[-1].region is None


def test_without_images_a_ranking_says_what_is_missing(session, runner, qtbot):
    panel = NeuronGridPanel(session)
    qtbot.addWidget(panel)
    session.open_model("test:small", layer="stem.act")
    qtbot.waitUntil(lambda: session.model is not None)
    session.drop_image(PICTURE)
    with qtbot.waitSignal(session.message) as told:
        session.ranking_wanted.emit()
    assert "Open images first" in told.args[0].text


def test_another_image_has_no_region(session):
    session.drop_image(PICTURE)
    session.look_at_region((0.0, 0.0, 0.5, 0.5))
    session.drop_image(PICTURE.copy())
    assert session.region is None


def test_a_pass_under_way_is_finished_before_a_region_is_asked_for(panel, session, runner, qtbot):
    session.drop_image(PICTURE)
    session.ranking_wanted.emit()
    (first,) = (job for job, request in runner.requests.items() if isinstance(request, UnitsOnImage))
    session.look_at_region((0.0, 0.0, 0.5, 0.5))
    assert first in runner.open and len(runner.asked(UnitsOnImage)) == 1
    answer(runner, np.zeros(16, np.float32))
    qtbot.waitUntil(lambda: len(runner.asked(UnitsOnImage)) == 2)
    assert runner.asked(UnitsOnImage)[1].region == (0.0, 0.0, 0.5, 0.5)


def test_the_button_asks_again_after_a_failure(panel, session, runner, qtbot):
    session.drop_image(PICTURE)
    session.ranking_wanted.emit()
    job = max(job for job, request in runner.requests.items() if isinstance(request, UnitsOnImage))
    runner.tell(job, "failed", error="out of memory")
    qtbot.waitUntil(lambda: "out of memory" in panel.summary.full_text)
    session.ranking_wanted.emit()
    assert len(runner.asked(UnitsOnImage)) == 2
