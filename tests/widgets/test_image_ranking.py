"""The units that one image drives, as an order of the grid."""

from __future__ import annotations

import numpy as np
import pytest

from widgets.image_ranking import PERCENTILE
from widgets.panels.neuron_grid import NeuronGridPanel
from workbench.analyses.analysis import Result
from workbench.jobs.requests import UnitsOnImage

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
