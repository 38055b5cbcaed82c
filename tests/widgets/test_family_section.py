"""Units that are selected together, in the inspector: shown in order, measured on the user's image, ablated as one."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import Qt

from widgets.panels.inspector import InspectorPanel
from widgets.panels.neuron_grid import NeuronGridPanel
from workbench.analyses.analysis import Result
from workbench.jobs.example_requests import StrongestImages
from workbench.jobs.on_image_requests import MapsOnImage
from workbench.jobs.requests import RunAnalysis, Sweep
from workbench.jobs.thumbnail_requests import Thumbnails
from workbench.models.layer import Unit
from workbench.unit_families import Family

LAYER = "blocks.1.act"
UNITS = (5, 9, 2)
PHOTO = np.full((30, 40, 3), 90, np.uint8)


def pictures(request: Thumbnails) -> dict[int, np.ndarray]:
    return {unit: np.full((request.seeds, 12, 12, 3), 10 * (unit % 20), np.uint8) for unit in request.units}


def strongest(request: StrongestImages) -> dict[str, object]:
    return {
        "images": np.zeros((len(request.units), 8, 8, 3), np.uint8),
        "values": np.array(request.units, np.float32),
        "names": tuple(f"{unit}.png" for unit in request.units),
        "n": 100,
        "finished": True,
        "sweep": {"layer": LAYER, "parameters": {"k": 16}},
    }


def maps(request: MapsOnImage) -> Result:
    found = np.zeros((len(request.units), 4, 4), np.float32)
    for place, unit in enumerate(request.units):
        found[place, place % 4, unit % 4] = unit
    return Result("ActivationMaps", {}, {"maps": found, "value": found.max((1, 2)), "input": PHOTO}, {"map": [4, 4]})


@pytest.fixture
def panel(session, runner, qtbot):
    runner.answers |= {Thumbnails: pictures, StrongestImages: strongest, MapsOnImage: maps}
    made = InspectorPanel(session)
    qtbot.addWidget(made)
    made.resize(420, 900)
    made.show()
    session.open_model("test:small", layer=LAYER)
    session.open_images("test:images")
    qtbot.waitUntil(lambda: session.model is not None and session.images is not None)
    session.project.families["test:small"] = [Family("curves", LAYER, list(UNITS), [0.0, 45.0, None])]
    return made


def test_one_unit_is_no_family(panel, session, runner):
    session.select_unit(Unit(LAYER, 5))
    assert not panel.family.isVisible() and panel.family.views() == []
    assert not runner.asked(StrongestImages) and not panel.ablation.whom.isVisible()


def test_a_family_is_shown_in_its_order_with_angles(panel, session, runner, qtbot):
    session.select_family(LAYER, "curves")
    section = panel.family
    qtbot.waitUntil(lambda: len(section.strip.rows) == 2)
    assert section.isVisible() and section.note.full_text == "curves · 3 units"
    excite, drive = section.strip.rows
    assert [picture.caption for picture in excite.pictures] == ["▸ 5: 0°", "9: 45°", "2"]
    assert [picture.pixels[0, 0, 0] for picture in excite.pictures] == [50, 90, 20]
    assert [picture.value for picture in drive.pictures] == [5.0, 9.0, 2.0] and drive.note == "Test images, n = 100"
    lines = section.strip.recomputation.python()
    assert "units=[5, 9, 2]" in lines and 'strongest = examples.arrays["blocks.1.act/top_index"]' in lines
    assert section.strip.made_from["family"] == "curves" and "{curves}" in section.strip.made_from["address"]


def test_a_click_looks_at_another_of_them_and_they_stay(panel, session, runner, qtbot):
    session.select_family(LAYER, "curves")
    asked = len(runner.asked(StrongestImages))
    qtbot.waitUntil(lambda: len(panel.family.strip.rows) == 2)
    panel.family.strip.picked.emit(0, 1)
    assert (session.unit, session.selection, session.family) == (Unit(LAYER, 9), UNITS, "curves")
    assert panel.address.text() == f"{LAYER}:9" and panel.family.isVisible()
    assert [picture.caption for picture in panel.family.strip.rows[0].pictures] == ["5: 0°", "▸ 9: 45°", "2"]
    assert len(runner.asked(StrongestImages)) == asked, "what is known is not asked again"
    session.select_unit(Unit(LAYER, 1))
    assert not panel.family.isVisible()
    with pytest.raises(ValueError, match="not among the selected"):
        session.look_at(9)


def test_the_image_is_measured_for_all_of_them(panel, session, runner, qtbot):
    session.select_family(LAYER, "curves")
    assert not panel.family.map.isVisible()
    session.drop_image(PHOTO, "arc.png")
    section = panel.family
    qtbot.waitUntil(lambda: len(section.response.effects) == 3)
    assert [(effect.name, effect.value) for effect in section.response.effects] == [("5: 0°", 5.0), ("9: 45°", 9.0), ("2", 2.0)]
    shown = section.map.data()["map"]
    assert shown[0, 1] == 5 and shown[1, 1] == 9 and shown[2, 2] == 2
    assert "most active: 9: 45°" in section.map.provenance()["caption"] and len(section.views()) == 3
    assert "largest = result" in section.response.recomputation.python()
    asked = len(runner.asked(MapsOnImage))
    session.look_at(9)
    assert len(runner.asked(MapsOnImage)) == asked
    session.drop_image(None)
    assert not section.response.effects and section.map.isHidden()


def test_what_is_made_anew_is_shown_by_number(panel, session, qtbot):
    session.select_unit(Unit(LAYER, 7))
    session.select_together((7, 3))
    assert panel.family.isVisible() and panel.family.note.full_text == "2 units"
    qtbot.waitUntil(lambda: len(panel.family.strip.rows) == 2)
    assert [picture.caption for picture in panel.family.strip.rows[0].pictures] == ["▸ 7", "3"]
    session.select_layer("stem.act")
    assert not panel.family.isVisible()


def test_a_family_is_ablated_as_one(panel, session, runner, qtbot):
    session.select_family(LAYER, "curves")
    ablation = panel.ablation
    ablation.open = True
    assert ablation.whom.isVisibleTo(ablation) and ablation.whom.itemText(1) == "curves (3 units)"
    ablation.whom.setCurrentIndex(1)
    qtbot.mouseClick(ablation.start, Qt.MouseButton.LeftButton)
    (request,) = runner.asked(RunAnalysis)
    assert request.parameters["units"] == [2, 5, 9] and ablation.who == f"curves, 3 units of {LAYER}"
    session.look_at(9)
    assert ablation.about()[1] == (2, 5, 9), "the answer is about all of them, whichever is looked at"
    ablation.whom.setCurrentIndex(0)
    assert ablation.parameters()["units"] == [9]
    ablation.whom.setCurrentIndex(1)
    session.select_unit(Unit(LAYER, 1))
    assert ablation.parameters()["units"] == [1] and not ablation.whom.isVisibleTo(ablation)


def test_another_selection_stops_what_is_rendered_of_the_last(panel, session, runner, qtbot):
    runner.answers.pop(Thumbnails)
    session.select_family(LAYER, "curves")

    def under_way() -> set[tuple[int, ...]]:
        return {
            runner.requests[job].units
            for job in runner.open
            if isinstance(runner.requests[job], Thumbnails) and runner.requests[job].purpose == "inspector family"
        }

    assert under_way() == {UNITS}
    asked = len(runner.asked(Thumbnails))
    session.look_at(9)
    assert under_way() == {UNITS}
    assert [r for r in runner.asked(Thumbnails)[asked:] if r.purpose == "inspector family"] == [], "what is under way is not asked again"
    session.select_unit(Unit(LAYER, 1))
    assert under_way() == set()


def test_a_layer_that_was_not_swept_says_so_until_it_is(panel, session, runner, qtbot):
    runner.answers[StrongestImages] = None
    session.select_family(LAYER, "curves")
    qtbot.waitUntil(lambda: len(panel.family.strip.rows) == 2)
    assert "not swept yet" in panel.family.strip.rows[1].note and not panel.family.strip.rows[1].pictures
    runner.answers[StrongestImages] = strongest
    job = session.relay.submit(Sweep("test:small", "test:images", (LAYER,)))
    runner.tell(job, "done", result=Result("", {}, {}, {}))
    qtbot.waitUntil(lambda: len(panel.family.strip.rows[1].pictures) == 3)


def test_the_grid_keeps_the_family_marked_while_another_of_it_is_looked_at(panel, session, runner, qtbot):
    grid = NeuronGridPanel(session)
    qtbot.addWidget(grid)
    grid.resize(700, 400)
    grid.show()
    session.select_family(LAYER, "curves")
    assert set(grid.grid.selected_units()) == set(UNITS)
    panel.family.strip.picked.emit(0, 1)
    assert set(grid.grid.selected_units()) == set(UNITS) and grid.grid.current_unit() == 9
    assert session.selection == UNITS
