"""The random-weight twin's figures beside the network's own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.widgets.conftest import CARD
from widgets.unit_card.distribution import NULL, Distribution, rebinned
from widgets.unit_card.response import Response
from widgets.unit_card.visualizations import DIVERSITY, TWIN, Visualizations
from workbench.jobs.example_requests import UnitExamples
from workbench.jobs.on_image_requests import UnitOnImage
from workbench.jobs.requests import LoadModel, Sweep
from workbench.jobs.thumbnail_requests import Thumbnails
from workbench.models.layer import Unit

UNIT = Unit("blocks.1.act", 9)
REF = "test:small?twin=0"


@pytest.fixture
def opened(session, qtbot):
    session.open_model("test:small", layer=UNIT.layer)
    session.open_images("test:images")
    qtbot.waitUntil(lambda: session.model is not None and session.images is not None)
    session.select_unit(UNIT)
    return session


def shown(kind, session, qtbot):
    made = kind(session)
    qtbot.addWidget(made)
    made.resize(400, 300)
    made.show()
    made.show_unit(UNIT)
    made.ask()
    return made


def found(scale: float) -> dict[str, object]:
    counts, edges = np.array([60, 30, 10]), scale * np.arange(4.0)
    return {
        "max_histogram": counts, "max_histogram_edges": edges, "histogram": counts, "histogram_edges": edges,
        "active_images": 0.9, "sparsity": 0.5,
    }  # fmt: skip


def test_visualizations_get_a_row_of_the_twin(opened, runner, qtbot):
    section = shown(Visualizations, opened, qtbot)
    runner.answers[Thumbnails] = lambda request: {UNIT.index: np.full((4, 8, 8, 3), 10 if request.model == REF else 200, np.uint8)}
    qtbot.waitUntil(lambda: len(runner.asked(Thumbnails)) == 4)
    assert [row.label for row in section.strip.rows] == ["positive", "negative"]
    opened.show_twin(True)
    qtbot.waitUntil(lambda: any(request.model == REF for request in runner.asked(Thumbnails)))
    qtbot.waitUntil(lambda: section.strip.rows[-1].label == TWIN and section.strip.rows[-1].pictures[0].pixels is not None)
    assert section.strip.rows[-1].pictures[0].pixels[0, 0, 0] == 10 and section.strip.rows[0].pictures[0].pixels[0, 0, 0] == 200
    opened.show_twin(False)
    assert [row.label for row in section.strip.rows] == ["positive", "negative"]


def test_the_histogram_gets_the_twins_as_its_null(opened, runner, qtbot):
    section = shown(Distribution, opened, qtbot)
    section.show_found(found(1.0))
    assert "null_counts" not in section.histogram.data()
    opened.show_twin(True)
    (request,) = runner.asked(UnitExamples)
    assert request.model == REF and request.key != UnitExamples("test:small", "test:images", str(UNIT)).key
    runner.tell(max(runner.requests), "done", result=found(0.5))
    qtbot.waitUntil(lambda: "null_counts" in section.histogram.data())
    np.testing.assert_allclose(section.histogram.data()["null_counts"], [90, 10, 0])
    assert section.histogram.provenance()["null_level"] == NULL
    opened.show_twin(False)
    assert "null_counts" not in section.histogram.data()


def test_a_twin_that_was_not_swept_is_swept_on_demand(opened, runner, qtbot):
    section = shown(Distribution, opened, qtbot)
    section.show_found(found(1.0))
    opened.show_twin(True)
    runner.tell(max(runner.requests), "done", result=None)
    qtbot.waitUntil(section.sweep_twin.isVisible)
    section.sweep_twin.click()
    assert runner.asked(Sweep) == [Sweep(REF, "test:images", (UNIT.layer,))]
    runner.tell(max(runner.requests), "done", result=None)
    qtbot.waitUntil(lambda: len(runner.asked(UnitExamples)) == 2)


def test_counting_in_other_bins_keeps_the_total():
    counts, edges = np.array([4.0, 8.0]), np.array([0.0, 1.0, 2.0])
    np.testing.assert_allclose(rebinned(counts, edges, np.array([0.0, 0.5, 2.0])), [2, 10])
    np.testing.assert_allclose(rebinned(counts, edges, np.array([0.5, 1.0, 1.5])), [4, 8])
    assert rebinned(counts, edges, np.array([5.0, 6.0])).sum() == 12


def test_a_twin_has_no_twin_of_its_own(session, runner, qtbot):
    runner.answers[LoadModel] = replace(CARD, ref=REF)
    session.open_model(REF)
    qtbot.waitUntil(lambda: session.model is not None)
    session.show_twin(True)
    assert session.twin_ref == ""


def test_the_null_has_as_many_images_and_one_of_half_the_images_can_be_gone_on_with(opened, runner, qtbot):
    section = shown(Distribution, opened, qtbot)
    section.show_found(found(1.0))
    opened.show_twin(True)
    half = found(1.0)
    half["max_histogram"] = half["max_histogram"] // 2
    runner.tell(max(runner.requests), "done", result=half | {"finished": False})
    qtbot.waitUntil(lambda: "null_counts" in section.histogram.data())
    assert section.histogram.data()["null_counts"].sum() == pytest.approx(100) and section.sweep_twin.isVisible()


def test_your_image_is_shown_to_the_twin_too(opened, runner, qtbot):
    image = np.full((20, 30, 3), 90, np.uint8)
    opened.drop_image(image)
    runner.answers[UnitOnImage] = lambda request: {
        "input": image, "map": np.zeros((4, 4), np.float32), "value": 0.5 if request.model == REF else 7.0, "top_classes": (),
        "percentile": None, "n": 0,
    }  # fmt: skip
    section = shown(Response, opened, qtbot)
    qtbot.waitUntil(lambda: section.image.provenance()["caption"].startswith("largest 7.00"))
    assert "twin" not in section.image.provenance()["caption"]
    opened.show_twin(True)
    qtbot.waitUntil(lambda: section.image.provenance()["caption"].endswith("random-weight twin 0.500"))
    opened.show_twin(False)
    assert "twin" not in section.image.provenance()["caption"]


def test_diverse_images_are_others_and_are_asked_for_once_more(opened, runner, qtbot):
    section = shown(Visualizations, opened, qtbot)
    qtbot.waitUntil(lambda: len(runner.asked(Thumbnails)) == 4)
    plain = runner.asked(Thumbnails)[0]
    section.diverse.click()
    qtbot.waitUntil(lambda: len(runner.asked(Thumbnails)) == 8)
    assert {request.diversity for request in runner.asked(Thumbnails)[4:]} == {DIVERSITY}
    late = next(job for job, request in runner.requests.items() if request == plain)
    runner.tell(late, "done", result={UNIT.index: np.zeros((4, 8, 8, 3), np.uint8)})
    newest = max(job for job, request in runner.requests.items() if isinstance(request, Thumbnails) and not request.negative)
    runner.tell(newest, "done", result={UNIT.index: np.full((4, 8, 8, 3), 77, np.uint8)})
    qtbot.waitUntil(lambda: section.strip.rows[0].pictures[0].pixels is not None)
    assert section.strip.rows[0].pictures[0].pixels[0, 0, 0] == 77, "what comes late of the plain ones is not shown"
    assert f"diversity={DIVERSITY}" in section.strip.recomputation.python() and "Diverse" in section.strip.title
    assert section.save_state() == {"diverse": True}
    section.restore_state({})
    assert section.diversity == 0


def test_that_they_are_diverse_is_taken_up_before_a_unit_is_there(session, qtbot):
    section = Visualizations(session)
    qtbot.addWidget(section)
    section.restore_state({"diverse": True})
    assert section.diversity == DIVERSITY
