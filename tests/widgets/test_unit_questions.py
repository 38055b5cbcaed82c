"""What a unit is made of on an image, and what is lost without it: the inspector's sections that compute on demand."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt

from widgets.unit_card.ablation import AblationSection
from widgets.unit_card.contributions import ContributionsSection
from widgets.unit_card.neighbours import NeighboursSection
from widgets.unit_card.response import Response
from widgets.unit_card.selectivity import SelectivitySection
from widgets.views.effect_list import LINE, Effect, EffectList
from workbench.analyses.analysis import Result
from workbench.images.array_set import ArraySet
from workbench.jobs.on_image_requests import ContributionsOnImage, UnitOnImage
from workbench.jobs.requests import RunAnalysis
from workbench.models.layer import Unit

UNIT = Unit("blocks.1.act", 9)
PICTURE = np.full((32, 32, 3), 90, np.uint8)


@pytest.fixture
def opened(session, runner, qtbot):
    session.open_model("test:small", layer=UNIT.layer)
    session.open_images("test:images")
    qtbot.waitUntil(lambda: session.model is not None and session.images is not None)
    session.select_unit(UNIT)
    return session


def ablated() -> Result:
    summary = {
        "layer": UNIT.layer, "units": [9], "method": "mean", "images": 64, "measure": "log-probability of the class in column group",
        "groups": "concept", "change": -0.5, "change_low": -0.7, "change_high": -0.3,
        "null_low": -0.05, "null_high": 0.04, "percentile": 97.5, "class_percentile": 99.0,
        "classes": [
            {"class": "cat", "change": -2.0, "low": -2.5, "high": -1.5, "images": 30, "concepts": 6},
            {"class": "dog", "change": 0.1, "low": None, "high": None, "images": 5, "concepts": 1},
        ],
        "most_changed": [{"image": 4, "id": "a/cat 4.png", "change": -3.0}],
    }  # fmt: skip
    null = np.tile(np.array([[-0.3, np.nan, 0.2]]), (20, 1))
    arrays = {"class_change": np.array([-2.0, 0.1]), "null_class_change": null, "most_pictures": np.zeros((1, 16, 16, 3), np.uint8)}
    return Result("Ablation", {}, arrays, summary, {"model": "test:small", "images": "test:images", "seed": 0})


def table(position: tuple[int, ...] = (5, 8)) -> Result:
    arrays = {
        "contribution": np.array([2.0, -1.0, 0.5], np.float32),
        "source": np.array([0, 0, 1], np.int32),
        "unit": np.array([3, 1, -1], np.int32),
        "activation": np.array([1.0, 2.0, np.nan], np.float32),
    }
    summary = {
        "pre_activation": 1.7, "bias": 0.2, "remainder": 0.0, "held": [], "position": list(position), "relative_error": 1e-8,
        "sources": [{"layer": "blocks.0.act", "contribution": 1.0}, {"layer": "blocks.0:add", "contribution": 0.5}],
    }  # fmt: skip
    return Result("Contributions", {}, arrays, summary, {})


# Ablation


@pytest.fixture
def ablation(opened, qtbot):
    made = AblationSection(opened)
    qtbot.addWidget(made)
    made.resize(380, 400)
    made.show()
    made.show_unit(UNIT)
    return made


def test_an_ablation_is_asked_for_shown_and_remembered(ablation, opened, runner, qtbot):
    assert "random units" in ablation.said.text() and ablation.views() == []
    ablation.method.setCurrentIndex(1)
    ablation.start.click()
    (request,) = runner.asked(RunAnalysis)
    assert request == RunAnalysis("Ablation", {"layer": UNIT.layer, "units": [9], "method": "zero"}, "test:small", "test:images")
    assert ablation.start.text() == "Cancel"
    runner.tell(max(runner.requests), "progress", done=1, total=4, partial={"images": 8, "change": -0.25})
    qtbot.waitUntil(lambda: "25%" in ablation.said.text() and "−0.250" in ablation.said.text())
    runner.tell(max(runner.requests), "done", result=ablated())
    qtbot.waitUntil(lambda: bool(ablation.classes.effects))
    assert [effect.name for effect in ablation.classes.effects] == ["cat", "dog"]
    assert ablation.classes.effects[0].low == -2.5 and np.isnan(ablation.classes.effects[1].low)
    assert "−0.500 [−0.700, −0.300]" in ablation.said.text() and "98 %" in ablation.said.text()
    assert ablation.classes.data()["null"].tolist() == [-0.3, -0.3], "of each draw the class that falls most"
    assert ablation.views() == [ablation.classes, ablation.images]
    assert "Ablation" in ablation.classes.recomputation.python() and "test:images" in ablation.images.recomputation.command()
    ablation.show_unit(Unit(UNIT.layer, 10))
    assert ablation.views() == []
    ablation.show_unit(UNIT)
    assert ablation.views() and len(runner.asked(RunAnalysis)) == 1


def test_an_ablation_can_be_cancelled_and_says_what_went_wrong(ablation, runner, qtbot):
    ablation.start.click()
    ablation.start.click()
    qtbot.waitUntil(lambda: ablation.start.text() == "Ablate")
    ablation.start.click()
    runner.tell(max(runner.requests), "failed", error="there are no images to show")
    qtbot.waitUntil(lambda: ablation.said.text() == "there are no images to show")


def test_an_answer_for_another_unit_is_kept_but_not_shown(ablation, runner, qtbot):
    ablation.start.click()
    ablation.show_unit(Unit(UNIT.layer, 10))
    runner.tell(max(runner.requests), "done", result=ablated())
    qtbot.waitUntil(lambda: ablation.start.text() == "Ablate")
    assert ablation.views() == []
    ablation.show_unit(UNIT)
    assert ablation.classes.effects[0].name == "cat"


def test_a_job_that_is_retried_answers_for_the_unit_it_was_asked_about(ablation, session, runner, qtbot):
    ablation.start.click()
    first = max(runner.requests)
    ablation.start.click()  # cancelled
    qtbot.waitUntil(lambda: ablation.start.text() == "Ablate")
    ablation.show_unit(Unit(UNIT.layer, 10))
    ablation.start.click()
    second = max(runner.requests)
    again = session.relay.retry(first)
    runner.tell(again, "done", result=ablated())
    other = ablated()
    other.summary["classes"][0]["class"] = "bird"
    runner.tell(second, "done", result=other)
    qtbot.waitUntil(lambda: bool(ablation.classes.effects))
    assert ablation.classes.effects[0].name == "bird"
    ablation.show_unit(UNIT)
    assert ablation.classes.effects[0].name == "cat"


# Labels and neighbours


def measured(units: int = 64) -> Result:
    """Three labels of each unit: one beyond the twins, one within them, and a place that is empty."""
    listed = np.tile(np.array([1, 0, -1], np.int32), (units, 1))
    scored = np.tile(np.array([0.9, 0.4, np.nan], np.float32), (units, 1))
    arrays = {
        "listed": listed, "listed_auroc": scored, "listed_low": scored - 0.05, "listed_high": scored + 0.05,
        "auroc": np.tile(np.array([0.42, 0.92], np.float32), (units, 1)), "q": np.full((units, 2), 0.001, np.float32),
        "label_names": np.array(["style:noto", "keywords:fish"]), "label_images": np.array([20, 30]), "label_concepts": np.array([20, 6]),
        "twin_highest": np.full((3, 2), 0.6, np.float32), "twin_lowest": np.full((3, 2), 0.4, np.float32),
    }  # fmt: skip
    summary = {"images": 100, "concepts": 20, "labels": 2, "twins": 3, "detectable_auroc": 0.61}
    return Result("LabelSelectivity", {"layer": UNIT.layer}, arrays, summary, {"model": "test:small", "images": "test:images", "seed": 0})


def neighbours(units: int = 64) -> Result:
    index = np.tile(np.array([7, 3, -1], np.int32), (units, 1))
    values = np.tile(np.array([0.8, 0.5, np.nan], np.float32), (units, 1))
    arrays = {
        f"{UNIT.layer}/index": index, f"{UNIT.layer}/held_out": values, f"{UNIT.layer}/low": values - 0.1,
        f"{UNIT.layer}/high": values + 0.1, f"{UNIT.layer}/twins": np.linspace(0, 0.4, 3 * units).reshape(3, units),
        "weights/index": index[:, ::-1], "weights/cosine": values[:, ::-1], "weights/twins": np.full((3, units), np.nan),
    }  # fmt: skip
    made_from = {"model": "test:small", "images": "test:images", "seed": 0}
    return Result("NearestUnits", {"layer": UNIT.layer}, arrays, {"images": 100}, made_from)


@pytest.fixture(params=[SelectivitySection, NeighboursSection])
def section(request, opened, qtbot):
    made = request.param(opened)
    qtbot.addWidget(made)
    made.resize(380, 400)
    made.show()
    made.show_unit(UNIT)
    return made


def test_a_layer_is_measured_once_for_all_its_units(section, opened, runner, qtbot):
    section.start.click()
    assert runner.asked(RunAnalysis) == [RunAnalysis(section.analysis, {"layer": UNIT.layer}, "test:small", "test:images")]
    section.show_unit(Unit(UNIT.layer, 10))  # meanwhile the user goes on
    runner.tell(max(runner.requests), "done", result=measured() if section.analysis == "LabelSelectivity" else neighbours())
    qtbot.waitUntil(lambda: bool(section.views()))
    section.show_unit(Unit(UNIT.layer, 11))
    assert section.views() and len(runner.asked(RunAnalysis)) == 1
    section.show_unit(Unit("blocks.0.act", 1))
    assert section.views() == [] and section.invitation in section.said.text()


def test_labels_stand_beside_the_twins_and_become_proposals(opened, runner, qtbot):
    section = SelectivitySection(opened)
    qtbot.addWidget(section)
    section.show_unit(UNIT)
    section.start.click()
    runner.tell(max(runner.requests), "done", result=measured())
    qtbot.waitUntil(lambda: bool(section.labels.effects))
    fish, noto = section.labels.effects
    assert (fish.name, fish.text, noto.text) == ("keywords:fish", "0.90", "0.40 *")
    assert "twins reach 0.40 to 0.60" in fish.tip and "30 images of 6 concepts" in fish.tip
    section.labels.picked.emit(0)
    section.labels.picked.emit(0)  # once more changes nothing
    section.labels.picked.emit(1)
    labels = opened.project.labels["test:small"][str(UNIT)]
    assert [(label.name, label.kind, label.author) for label in labels] == [
        ("fish", "proposed", "LabelSelectivity"),
        ("not noto", "proposed", "LabelSelectivity"),
    ]
    assert labels[0].confidence == pytest.approx(0.8) and "AUROC 0.90 [0.85, 0.95]" in labels[0].evidence
    opened.undo_stack.undo()
    assert [label.name for label in opened.project.labels["test:small"][str(UNIT)]] == ["fish"]


def test_a_neighbour_is_followed(opened, runner, qtbot):
    section = NeighboursSection(opened)
    qtbot.addWidget(section)
    section.show_unit(UNIT)
    section.start.click()
    runner.tell(max(runner.requests), "done", result=neighbours())
    qtbot.waitUntil(lambda: bool(section.views()))
    assert [effect.name for effect in section.lists["activation"].effects] == [f"{UNIT.layer}:7", f"{UNIT.layer}:3"]
    assert "null" in section.lists["activation"].data() and "null" not in section.lists["weights"].data()
    section.lists["activation"].picked.emit(0)
    assert opened.unit == Unit(UNIT.layer, 7)


# Contributions


@pytest.fixture
def contributions(opened, qtbot):
    made = ContributionsSection(opened)
    qtbot.addWidget(made)
    made.resize(380, 400)
    made.show()
    made.show_unit(UNIT)
    return made


def test_the_table_comes_with_the_image_and_every_row_leads_on(contributions, opened, runner, qtbot):
    assert "Click a cell" in contributions.said.text()
    contributions.show_image(PICTURE)
    (request,) = runner.asked(ContributionsOnImage)
    assert (request.layer, request.unit, request.position) == (UNIT.layer, 9, ()) and request.image is PICTURE
    with qtbot.waitSignal(contributions.placed) as placed:
        runner.tell(max(runner.requests), "done", result=table())
    assert placed.args == [(5, 8)]
    names = [effect.name for effect in contributions.rows.effects]
    assert names == ["blocks.0.act:3", "blocks.0.act:1", "all of blocks.0:add", "bias"]
    assert sum(effect.value for effect in contributions.rows.effects) == pytest.approx(1.7)
    assert "(5, 8)" in contributions.said.text() and contributions.views() == [contributions.rows]
    contributions.rows.picked.emit(2)  # a whole layer leads nowhere
    assert opened.unit == UNIT
    qtbot.mouseClick(contributions.rows, Qt.MouseButton.LeftButton, pos=QPoint(20, int(4 + 1.5 * LINE)))
    assert opened.unit == Unit("blocks.0.act", 1)


def test_another_place_is_another_table_and_no_image_none(contributions, runner, qtbot):
    contributions.show_image(PICTURE)
    contributions.ask_at((2, 3))
    assert runner.asked(ContributionsOnImage)[-1].position == (2, 3)
    assert len({request.key for request in runner.asked(ContributionsOnImage)}) == 1
    runner.tell(max(runner.requests), "failed", error="something")
    qtbot.waitUntil(lambda: contributions.said.text() == "something")
    contributions.show_image(None)
    assert "Click a cell" in contributions.said.text()


def test_a_folded_section_asks_for_nothing(contributions, runner):
    contributions.open = False
    contributions.show_image(PICTURE)
    assert not runner.asked(ContributionsOnImage)
    contributions.open = True
    assert len(runner.asked(ContributionsOnImage)) == 1


@pytest.mark.parametrize(
    ("values", "cell", "position"),
    [(np.zeros((14, 14), np.float32), (5, 8), (5, 8)), (np.zeros(17, np.float32), (1, 2), (7,)), (np.zeros(16, np.float32), (1, 2), (6,))],
)
def test_a_cell_of_the_map_is_a_position_of_the_layer(opened, runner, qtbot, values, cell, position):
    section = Response(opened)
    qtbot.addWidget(section)
    section.show()
    opened.drop_image(PICTURE)
    section.show_unit(UNIT)
    section.ask()
    found = {"input": PICTURE, "map": values, "value": 0.0, "top_classes": (), "percentile": None, "n": 0}
    (request,) = runner.asked(UnitOnImage)
    assert request.image is PICTURE
    with qtbot.waitSignal(section.shown):
        runner.tell(max(runner.requests), "done", result=found)
    with qtbot.waitSignal(section.position_picked) as picked:
        section.image.cell_picked.emit(*cell)
    assert picked.args == [position]
    section.mark(position)
    assert section.image._cell == cell
    section.mark(None)
    assert section.image._cell is None


def test_a_click_on_the_image_is_a_cell_and_a_drag_is_not(opened, qtbot):
    section = Response(opened)
    qtbot.addWidget(section)
    view = section.image
    view.resize(300, 300)
    view.show()
    view.show_image(PICTURE)
    view.show_map(np.zeros((4, 4), np.float32))
    with qtbot.waitSignal(view.cell_picked) as picked:
        frame = view._areas(view.rect().toRectF())[0]
        qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=frame.center().toPoint() + QPoint(3, 3))
    assert picked.args == [2, 2]
    with qtbot.assertNotEmitted(view.cell_picked):
        qtbot.mousePress(view, Qt.MouseButton.LeftButton, pos=frame.center().toPoint())
        qtbot.mouseRelease(view, Qt.MouseButton.LeftButton, pos=frame.center().toPoint() + QPoint(60, 0))


def test_a_drag_over_the_image_marks_a_region_and_escape_takes_it_away(opened, qtbot):
    section = Response(opened)
    qtbot.addWidget(section)
    view = section.image
    view.resize(300, 300)
    section.show()
    opened.drop_image(PICTURE)
    section.show_unit(UNIT)
    view.show_image(PICTURE)
    view.show_map(np.zeros((4, 4), np.float32))
    frame = view._areas(view.rect().toRectF())[0]

    def drag(start: tuple[float, float], end: tuple[float, float], held=Qt.KeyboardModifier.NoModifier) -> None:
        places = [QPoint(round(frame.left() + x * frame.width()), round(frame.top() + y * frame.height())) for x, y in (start, end)]
        qtbot.mousePress(view, Qt.MouseButton.LeftButton, held, pos=places[0])
        qtbot.mouseMove(view, pos=places[1])
        qtbot.mouseRelease(view, Qt.MouseButton.LeftButton, held, pos=places[1])

    with qtbot.assertNotEmitted(view.cell_picked):
        drag((0.75, 0.5), (0.25, 0.9))
    assert opened.region == pytest.approx((0.5, 0.25, 0.9, 0.75), abs=0.02)
    drag((0.5, 0.5), (0.7, 1.4))
    assert opened.region == pytest.approx((0.5, 0.5, 1.0, 0.7), abs=0.02), "cut to the image"
    assert view.provenance()["region"] == list(opened.region) and "region" in section.rank.toolTip()
    qtbot.keyClick(view, Qt.Key.Key_Escape)
    assert opened.region is None and view._region is None
    view.zoom_to(2.0)
    drag((0.25, 0.25), (0.75, 0.75))
    assert opened.region is None, "a zoomed image is moved"
    drag((0.25, 0.25), (0.75, 0.75), Qt.KeyboardModifier.ShiftModifier)
    assert opened.region is not None
    opened.drop_image(PICTURE.copy())
    section.begin()
    assert view._region is None


def test_the_request_gives_a_table_that_adds_up(tmp_path):
    from workbench.jobs.engine import Engine
    from workbench.jobs.store import Store
    from workbench.task import Task

    engine = Engine(Store(tmp_path))
    model = engine.model("bundled:planted/curve_net")
    layer = next(layer for layer in reversed(model.layers.values()) if layer.role == "pre")
    image = ArraySet(np.random.default_rng(0).integers(0, 255, (*model.preprocessing.size, 3), np.uint8)).image(0, model.preprocessing.size)
    result = ContributionsOnImage("bundled:planted/curve_net", layer.name, 1, image).run(engine, Task())
    total = float(result.arrays["contribution"].sum(dtype=np.float64)) + result.summary["bias"] + result.summary["remainder"]
    assert total == pytest.approx(result.summary["pre_activation"], rel=1e-5, abs=1e-5)


# The list


def test_a_list_of_effects_is_walked_with_the_keyboard(qtbot):
    view = EffectList(linked=True)
    qtbot.addWidget(view)
    view.show_effects([Effect("a", 1.0), Effect("b", -2.0, -3.0, -1.0), Effect("c", float("nan"))], label="change", null=(-0.5, 0.5))
    view.resize(300, view.height())
    view.show()
    view.setFocus()
    for _ in range(2):
        qtbot.keyClick(view, Qt.Key.Key_Down)
    with qtbot.waitSignal(view.picked) as picked:
        qtbot.keyClick(view, Qt.Key.Key_Return)
    assert picked.args == [1]
    assert view.grab().toImage().width() > 0
    assert view.data()["values"].tolist()[:2] == [1.0, -2.0] and view.provenance()["x"] == "change"
    view.clear()
    assert view.effects == () and view.height() == 0
